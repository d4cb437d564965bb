#include "lsp/words.h"

const struct lsp_word lsp_words[] = {
    // Statements.
    {"policy", "policy \"NAME\" version N", "The header: the first statement of the file."},
    {"zone", "zone NAME clears LEVEL", "Where models run. In a model: the zone it runs in."},
    {"model", "model NAME endpoint \"URL\" context 32k tok ...",
     "A model: where it is served, what it can do, what it costs."},
    {"alias", "alias NAME -> routes | route R | model M", "A name that clients may ask for."},
    {"pass", "pass \"/v1/PATH\" to MODEL at most 0.05 usd",
     "Another path of the API that goes to a model's endpoint as it is; what one request over it "
     "takes at most, which hard budgets reserve."},
    {"signal", "signal NAME = FAMILY(...)",
     "A named fact about a request, computed only when the outcome depends on it."},
    {"path", "path NAME(a, b) = STEP -> STEP else STEP",
     "A name for what stands behind an arrow; its parameters stand for models."},
    {"route", "route NAME when GUARD -> PATH",
     "Routes are tried in their order: the first whose guard holds decides."},
    {"otherwise", "otherwise -> PATH",
     "The route that takes what is left. Mandatory, and the last."},
    {"lattice", "lattice NAME = LOW < HIGH", "Levels of how secret data is, from the lowest up."},
    {"sink", "sink NAME KIND zone ZONE clears LEVEL",
     "A place that data can reach: a verifier, judge, retriever, cache, embedding, memory, log or "
     "trace."},
    {"forbid", "forbid zone Z | model M | step S | sink S ... when GUARD as \"WHY\"",
     "What no request may get. Constraints are a set: forbidding wins, order changes nothing."},
    {"require", "require verify(SINK) when GUARD as \"WHY\"",
     "No answer is delivered that has not passed this step."},
    {"allow", "allow escalate N when GUARD",
     "`escalate`, `fuse` and `hedge` happen only where they are allowed."},
    {"budget", "budget per team 5 usd/day paced, 0.25 usd/request hard",
     "A bound on what may be spent. A hard one per request takes away what may cost more."},
    {"dispatch", "dispatch price  second 0.001 usd, kWh 0.1 usd  weights prefix 2",
     "How endpoints are chosen, and what seconds, joules and grams are worth. At most one."},
    {"prove", "prove CLAIM when GUARD",
     "A claim that holds for every request, or the policy does not load."},
    {"test", "test \"NAME\" given GUARD expect CLAIM",
     "A small theorem: what is not given may be anything."},
    {"assume", "assume CODE NAME \"WHY\"",
     "Takes a finding as settled, with a reason that every explanation repeats."},
    // Header, zones, models.
    {"version", "version N", "The version of the policy, a whole number."},
    {"clears", "clears LEVEL", "The highest level of data that may come here."},
    {"pue", "pue 1.2", "Power of the whole building per power of its machines."},
    {"carbon", "carbon 380 g/kWh average | carbon \"FILE or URL\" 380 g/kWh marginal",
     "Carbon of a kWh there; with a file, or a feed at a URL, by the hour, and the figure where "
     "that "
     "does not tell."},
    {"average", "carbon 380 g/kWh average", "What all power there emits, shared by who takes it."},
    {"marginal", "carbon 380 g/kWh marginal", "What the plant emits that one more kWh is made in."},
    {"endpoint", "endpoint \"URL\", ...",
     "Where the model is served, up to and with /v1; several are copies. `endpoint demo` is the "
     "simulated pool."},
    {"demo", "endpoint demo", "The simulated pool inside Merit."},
    {"provider", "provider NAME \"MODEL\"", "A provider whose address is known."},
    {"as", "as \"TEXT\"", "Another name: of a model at its endpoint, of a constraint in messages."},
    {"key", "key env NAME | key file \"PATH\"",
     "Where the key of the endpoint is. Keys themselves never stand in a policy."},
    {"env", "key env NAME", "The key is in this environment variable."},
    {"file", "key file \"PATH\" | endpoint file \"PATH\"",
     "The key is in this file; of endpoints, a file with one address on a line."},
    {"context", "context N tok", "How much the model can read."},
    {"output", "output N tok", "How much the model can write; without it, what its window holds."},
    {"can", "can tools, images, ...", "What the model can do."},
    {"engine", "engine vllm | sglang | llamacpp | tgi",
     "What runs there: its metrics are read, so that dispatch knows its queue and its cache."},
    {"weight", "weight 2",
     "How much of the work it is meant for, beside the others; 1 unless said."},
    {"slots", "slots 32", "The most requests that it gets at once."},
    {"rate", "rate 600 requests/minute | rate 200k tok/minute",
     "The most that it gets in a minute; one of each may be said."},
    {"region", "region NAME", "Where it stands, for its numbers."},
    {"serves", "serves from 8k tok to 64k tok",
     "The lengths of requests that it is meant for: pools of short and of long ones."},
    {"meter", "meter nvml N | rapl N", "The meter of the machine that it runs on."},
    {"maintenance", "maintenance", "It gets no new request."},
    {"metrics", "metrics \"URL\"", "Where its metrics are, when not where the engine has them."},
    {"health", "health \"/PATH\"", "What is asked of it while it is out."},
    {"dns", "endpoint dns \"URL\"",
     "Every address that the host's name resolves to is an endpoint."},
    {"srv", "endpoint srv \"http://_SERVICE._tcp.NAME/v1\"",
     "Every service record of the name is an endpoint, with its port, weight and priority."},
    {"effort", "effort low, high by template \"enable_thinking\"",
     "Reasoning efforts that may be asked for."},
    {"by", "effort ... by reasoning_effort | template \"NAME\" | thinking \"NAME\" low 1k tok",
     "How an effort is said to the endpoint."},
    {"reasoning_effort", "by reasoning_effort", "The member of OpenAI's protocol; so unless said."},
    {"template", "by template \"enable_thinking\"",
     "An argument of the chat template that is true or false."},
    {"thinking", "by thinking \"thinking_budget\" low 1k tok, high 8k tok",
     "A member that says how many tokens may be thought."},
    {"price", "price A in, B out, C cached usd/Mtok since 2026-11-21 from \"URL\"",
     "US dollars per million tokens. Without it costs are unknown, not zero."},
    {"listed", "price listed", "As the list says that ships with Merit, with its date."},
    {"written", "price D written usd/Mtok",
     "In a price: input that the provider puts in its cache."},
    {"gpu", "price gpu 4.02 usd/h",
     "What an hour of the endpoint's machines costs; who runs there shares it."},
    {"batch", "price batch 50 %", "The part of the price that is asked for what may wait."},
    {"since", "price ... since 2026-11-21", "The day on which the price was seen."},
    {"from", "price ... from \"URL\" | serves from 8k tok",
     "Where the price was seen; of lengths, the least."},
    {"in", "NAME in (A, B) | price A in", "One of several; in a price, what the model reads."},
    {"out", "price B out", "In a price: what the model writes."},
    {"cached", "price C cached", "In a price: input that the provider has cached."},
    {"quality", "quality Q", "How good the model is, from 0 to 1, as you judge it."},
    {"energy", "energy A in, B out kJ/Mtok | energy 2 h100 32b | energy estimate 200b",
     "What a model, or a call of a sink, takes: stated, as measured for such a machine and size, "
     "or "
     "estimated."},
    {"estimate", "energy estimate 200b | 235b-a22b",
     "By size alone: billions of parameters, and those that work on a token."},
    {"timeout", "timeout N s", "How long a call may take."},
    // Sinks.
    {"holds", "holds LEVEL", "What comes out of the sink is labelled so."},
    {"adds", "adds N tok", "How much a retriever adds at most."},
    {"carries", "carries text", "A log or trace that gets texts, not signal values alone."},
    // Names that clients ask for.
    {"routes", "alias NAME -> routes", "The routes decide."},
    {"to", "pass \"PATH\" to MODEL | serves to 8k tok",
     "The model whose endpoint gets it; of lengths, the most."},
    // Signals.
    {"label", "signal NAME label LATTICE = ...", "The signal's value is a level of a lattice."},
    {"above", "above N", "Turns a number into a truth value: greater than N."},
    {"below", "below N", "Turns a number into a truth value: less than N."},
    {"on_error", "on_error VALUE", "What holds when the signal cannot be computed."},
    {"bands", "bands low, high above 0.7", "Words for what a score comes to, the lowest first."},
    {"temperature", "temperature T", "How sharply an exclusive group tells its members apart."},
    {"margin", "margin M", "How far the first member of a group must lead the second."},
    // Guards.
    {"when", "when GUARD", "The condition under which this holds."},
    {"and", "A and B", "Both hold. Binds tighter than `or`."},
    {"or", "A or B", "At least one holds."},
    {"not", "not A", "It does not hold. Binds tighter than `and`."},
    {"true", "true", "What always holds."},
    {"false", "false", "What never holds."},
    // Paths.
    {"else", "else STEP", "What happens when no candidate can serve the request."},
    {"refuse", "refuse \"WHY\"", "The request is refused with this message."},
    {"escalate", "escalate STEP", "A dearer try after a cheaper one did not do."},
    {"minimise", "minimise cost", "The cheapest candidate that can."},
    {"maximise", "maximise quality", "The candidate with the highest declared quality."},
    {"within", "within N usd", "Only candidates whose expected cost is at most this."},
    {"where", "where quality >= Q", "Only candidates that declare at least this."},
    {"at", "escalate at risk R | costs at most N", "Part of `at risk` and of `at most`."},
    {"risk", "escalate at risk R", "The risk of being wrong that is accepted."},
    {"retry", "retry N", "How often the step before is tried again."},
    {"cap", "cap N tok", "The most that the step before may write."},
    {"hedge", "hedge N", "Copies of the step before that run at once; the first answer counts."},
    // Constraints.
    {"step", "forbid step cache", "A step of a path that is forbidden."},
    {"per", "per session | loop | key | caller | team | tenant", "Whose budget it is."},
    {"hard", "N usd/request hard | N usd/day hard cheaper",
     "Never exceeded: what may cost more is not feasible, or refused when it is spent."},
    {"cheaper", "N usd/day hard cheaper",
     "When it is spent, the next choice that it bears; a refusal only where there is none."},
    {"paced", "N usd/day paced",
     "Spread over its span by a price that rises as it is spent; nothing is refused."},
    // Dispatch.
    {"least_request", "dispatch least_request", "The endpoint with the fewest requests."},
    {"power_of_two", "dispatch power_of_two", "The better one of two that are drawn."},
    {"round_robin", "dispatch round_robin", "One endpoint after the other."},
    {"second", "second 0.001 usd", "What a second of waiting is worth."},
    {"kWh", "kWh 0.1 usd", "What a kWh is worth beyond the price of tokens."},
    {"kg", "kg 0.05 usd", "What a kilogram of carbon is worth."},
    {"weights", "weights prefix 2, queue 0.5",
     "Factors on what the scorers say: queue, running, kv, prefix, lora, session, latency, "
     "context."},
    // Proofs and tests.
    {"corpus", "test corpus \"FILE\"", "Cases from a file of JSON lines."},
    {"given", "given GUARD", "What is known of the request; the rest is arbitrary."},
    {"user", "given user \"TEXT\"", "The text of the request: its signals are computed."},
    {"expect", "expect CLAIM, ...", "What must hold for every such request."},
    {"never", "never GUARD", "No request makes this true."},
    {"no", "no LEVEL reaches zone Z", "Nothing labelled so gets there."},
    {"reaches", "no LEVEL reaches zone | model | sink NAME",
     "Where something labelled may not get."},
    {"every", "every path costs at most N usd", "Holds for all paths."},
    {"costs", "costs at most N usd, N s", "An upper bound, retries and escalations counted."},
    {"most", "costs at most N usd | pass \"PATH\" to MODEL at most N usd", "An upper bound."},
    {"passes", "passes verify", "Every answer has passed this step."},
    {"feasible", "feasible", "Constraints leave the request an answer."},
    {"agree", "agree >= 0.98", "The share of a corpus that gets what its lines say."},
};
const size_t lsp_word_count = sizeof lsp_words / sizeof *lsp_words;

static const struct lsp_word steps[] = {
    {"answer", "answer(MODEL, ...)", "One of these models answers; `any` is all of them."},
    {"refuse", "refuse \"WHY\"", "The request is refused with this message."},
    {"retrieve", "retrieve(SINK)", "Documents of a retriever are added."},
    {"verify", "verify(SINK)",
     "A verifier, judge or model checks the answer before anybody reads it."},
    {"clarify", "clarify(N)", "Asks the user back, at most N times."},
    {"redact", "redact(LEVEL)",
     "Takes out what is above the level. The only way down; taken on trust."},
    {"fuse", "fuse(A, B)", "Several models answer, and their answers become one."},
    {"cache", "cache(SINK)", "An answer that was given before, or is kept for later."},
};

const struct lsp_word *lsp_step_find(struct slice step)
{
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (slice_eq_cstr(step, steps[i].word))
            return &steps[i];
    return NULL;
}

const struct lsp_word *lsp_word_find(struct slice word)
{
    for (size_t i = 0; i < lsp_word_count; i++)
        if (slice_eq_cstr(word, lsp_words[i].word))
            return &lsp_words[i];
    return NULL;
}
