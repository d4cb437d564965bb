// The official OpenAI package for Node: each case prints a line; the test reads them.
import OpenAI from 'openai';

const client = new OpenAI({ baseURL: process.env.BASE, apiKey: 'sk-client', maxRetries: 0, timeout: 60000 });
const messages = [{ role: 'user', content: 'Say hello.' }];
const say = (name, value) => console.log(JSON.stringify({ [name]: value }));
const failing = async (name, call) => {
    try {
        await call();
        say(name, 'no error');
    } catch (e) {
        say(name, { kind: e.constructor.name, status: e.status, code: e.code, type: e.type });
    }
};

const cases = {
    async answer() {
        const r = await client.chat.completions.create({ model: 'auto', messages });
        say('answer', r.choices[0].message.content);
        say('total', r.usage.total_tokens);
    },
    async stream() {
        let text = '', usages = 0;
        for await (const c of await client.chat.completions.create({ model: 'auto', messages, stream: true })) {
            text += c.choices[0]?.delta?.content ?? '';
            usages += c.usage ? 1 : 0;
        }
        say('stream', text);
        say('usages', usages);
    },
    async helper() {
        const s = client.chat.completions.stream({ model: 'auto', messages, stream_options: { include_usage: true } });
        say('helper', (await s.finalChatCompletion()).usage.total_tokens);
    },
    async tools() {
        const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: {} } } }];
        const r = await client.chat.completions.create({ model: 'auto', messages, tools });
        say('tools', r.choices[0].message.tool_calls[0].function);
    },
    async errors() {
        await failing('bad', () => client.chat.completions.create({ model: 'auto', messages: 'x' }));
        await failing('unknown', () => client.chat.completions.create({ model: 'nobody', messages }));
        await failing('path', () => client.embeddings.create({ model: 'small', input: 'x' }));
    },
    async limited() {
        await failing('limited', () => client.chat.completions.create({ model: 'auto', messages }));
    },
    async broken() {
        let text = '';
        await failing('broken', async () => {
            for await (const c of await client.chat.completions.create({ model: 'auto', messages, stream: true }))
                text += c.choices[0]?.delta?.content ?? '';
        });
        say('before', text);
    },
    async cancel() {
        const stream = await client.chat.completions.create({ model: 'auto', messages, stream: true });
        let seen = 0;
        for await (const _ of stream) if (++seen === 3) stream.controller.abort();
        say('cancel', seen);
        await new Promise((r) => setTimeout(r, 3000));
    },
    async models() {
        const ids = [];
        for await (const m of await client.models.list()) ids.push(m.id);
        say('models', ids);
    },
};
for (const name of process.argv.slice(2)) await cases[name]();
