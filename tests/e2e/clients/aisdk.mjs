// The Vercel AI SDK: text and a tool loop, streamed and not, over both of its chat providers.
import { generateText, stepCountIs, streamText, tool } from 'ai';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { z } from 'zod';

const [kind, mode] = process.argv.slice(2);
const options = { baseURL: process.env.BASE, apiKey: 'sk-client', name: 'merit', includeUsage: true };
const model = kind === 'openai' ? createOpenAI(options).chat('auto') : createOpenAICompatible(options)('auto');
const errors = [];
const request = {
    model,
    prompt: 'What is the weather in Bern?',
    maxRetries: 0,
    stopWhen: stepCountIs(4),
    onError: (e) => errors.push(String(e.error ?? e)),
    tools: {
        weather: tool({
            description: 'Weather of a city',
            inputSchema: z.object({ city: z.string() }),
            execute: async ({ city }) => `sunny in ${city}`,
        }),
    },
};
if (mode === 'generate') {
    const r = await generateText(request);
    console.log(JSON.stringify({ text: r.text, steps: r.steps.length, finish: r.finishReason, usage: r.totalUsage }));
} else {
    const r = streamText(request);
    let text = '', finish = '', failed = '';
    try {
        for await (const part of r.textStream) text += part;
        finish = await r.finishReason;
    } catch (e) {
        failed = String(e);
    }
    console.log(JSON.stringify({ text, finish, failed, errors }));
}
process.exit(0);
