// The compiled policy: one block of memory without pointers, so that it can be written to a file and mapped.
//
// policy/compile.c builds it, everyone else reads it. Strings and lists are offsets from the start of the block.
// It is immutable; several threads may read it. `image_open` checks magic, version, checksum and every offset, index,
// size and enum, so that neither a damaged nor a hostile file can make a reader leave the block. Guards stand one behind
// the other in the order of terms, routes, constraints and theorems; each belongs to one of those, or to several that
// follow each other. Money is nano-USD per million tokens. The same policy text gives the same bytes.
#ifndef MERIT_WORK_IMAGE_H
#define MERIT_WORK_IMAGE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/result.h"
#include "base/slice.h"
#include "work/fact.h"

enum {
    IMAGE_VERSION = 6,
    IMAGE_BYTES_MAX = 64 * 1024 * 1024,
    IMAGE_DIGEST_BYTES = 32,
    IMAGE_NONE = -1,
    IMAGE_GUARD_DEPTH_MAX = 136, // nodes of a guard inside each other
    IMAGE_WORDS_MAX = 64,        // values of an enum
    IMAGE_TOK_MAX = 1000000000,  // of a window or an output
    IMAGE_LATTICES_MAX = 4,
    IMAGE_DERIVE_DEPTH_MAX = 8,
    IMAGE_CHAINS_MAX = 64,      // of a route
    IMAGE_CHAIN_STEPS_MAX = 64, // of a chain
    IMAGE_RETRIES_MAX = 8,      // of a step; also of the questions of `clarify`
    IMAGE_HEDGES_MAX = 4,
    IMAGE_BUDGETS_MAX = 16, // that bear on one request
};
// Of a price, nano-USD per million tokens (100,000 USD). A price times IMAGE_TOK_MAX exceeds 64 bits: divide first or
// multiply in 128.
#define IMAGE_PRICE_MAX INT64_C(100000000000000)
// Of an energy, microjoules per million tokens (1 GJ).
#define IMAGE_ENERGY_MAX INT64_C(1000000000000000)

// Of the carbon of a kWh, micrograms of CO2e (10 kg).
#define IMAGE_CARBON_MAX INT64_C(10000000000)
// Of what a second, a kWh or a kilogram is worth, nano-USD (1,000 USD).
#define IMAGE_WORTH_MAX INT64_C(1000000000000)
// Of a scorer's weight.
#define IMAGE_SCORE_WEIGHT_MAX 1000

struct image_str {
    uint32_t at, len;
};

struct image_list {
    uint32_t at, count;
};

// A chain of levels, lowest first: `lattice exposure = public < internal < phi`. The product of all chains is the
// lattice; a level's name stands for one level of one chain.
struct image_lattice {
    struct image_str name;
    struct image_list levels; // struct image_str, 2 to IMAGE_WORDS_MAX
    uint32_t line;
};

// What a place may see: per lattice the highest level it clears; 0, the lowest one, where the policy says nothing.
struct image_clearance {
    uint8_t level[IMAGE_LATTICES_MAX];
};

// Where a thing stands in the source, for explanations: 1-based line.
// `pue 1.2`: power of the whole building per power of the machines. `carbon 380 g/kWh average`; a file
// (`carbon "grid.csv" marginal`) has it by the hour, and the figure holds where the file does not.
struct image_zone {
    struct image_str name;
    struct image_clearance clears;
    uint32_t line;
    uint32_t pue_milli; // 1200 is 1.2; 0: not stated, reckoned as 1 and said so
    bool carbon_stated, carbon_marginal;
    int64_t carbon_ug_kwh;        // micrograms of CO2e per kWh, when stated
    struct image_str carbon_file; // empty without
};

enum image_sink_kind {
    IMAGE_SINK_VERIFIER, // `verify`: a model or program of its own that sees question and answer
    IMAGE_SINK_JUDGE,    // the same, a rented one
    IMAGE_SINK_RETRIEVER,
    IMAGE_SINK_CACHE,
    IMAGE_SINK_EMBEDDING, // a remote embedding service: sees all text that is embedded. Without one it is done here
    IMAGE_SINK_MEMORY, // every answered request is written there, when declared
    IMAGE_SINK_LOG,    // gets values and places; text only when it `carries text`
    IMAGE_SINK_TRACE,  // the same
    IMAGE_SINK_KIND_COUNT_
};

// A place that data can reach beside the answering models: `sink judge  zone cloud  clears internal`. What it clears is
// at most what its zone clears.
struct image_sink {
    struct image_str name;
    enum image_sink_kind kind;
    int32_t zone; // or IMAGE_NONE
    struct image_clearance clears;
    struct image_clearance
        holds;           // labels of what comes out of it (`holds phi`): a retriever's documents
    bool carries_text;   // of a log or trace
    uint32_t cap_tok;    // most tokens that a retriever adds (`adds 4k tok`); 0: unbounded
    int64_t call_nusd;   // `price 0.001 usd/call`; negative when not stated
    int64_t call_uj;     // `energy 20 J/call`; negative when not stated
    uint32_t timeout_ms; // 0: not stated
    uint32_t line;
};

// Energy of decoding one token in a batch of b requests, by the fitted form: joule of the machines alone, without PUE.
enum image_curve {
    IMAGE_CURVE_NONE,    // `energy 40 in, 300 out kJ/Mtok`, or nothing stated
    IMAGE_CURVE_INVERSE, // e(b) = a + c / b
    IMAGE_CURVE_POWER,   // e(b) = a * b ^ -c
};

enum image_grade { IMAGE_GRADE_NONE, IMAGE_GRADE_MEASURED, IMAGE_GRADE_CITED, IMAGE_GRADE_GUESSED };

// `energy h100 8b`, `energy estimate 200b`: constants that the compiler has taken from its table (policy/energy_list.h).
struct image_energy {
    enum image_curve curve;
    enum image_grade grade;
    double a, c;          // J/token, as the form says
    double prefill_j_tok; // J per input token that is computed, not read from a prefix cache
    double batch;         // the batch to reckon with while nothing is known of the endpoint's load
    double batch_max;     // largest batch of the fit; beyond it the curve is held flat
    double
        step_s; // a step of decoding b requests takes step_s * (1 + step_growth * b); 0: not known
    double step_growth;
    double prefill_s_tok; // seconds of the machines per input token that is computed; 0: not known
    uint32_t gpus;        // that one instance runs on; 0: not known
    struct image_str hardware; // "2 h100", for explanations
    struct image_str source;   // of the constants
};

// How an effort is said to an endpoint.
enum image_knob {
    IMAGE_KNOB_REASONING_EFFORT, // `reasoning_effort`: "none", "low", "medium", "high"
    IMAGE_KNOB_TEMPLATE, // `chat_template_kwargs`: {`knob_name`: true or false}; `effort off, on by template "enable_thinking"`
    IMAGE_KNOB_THINKING, // a budget of thinking tokens in the member `knob_name` (or of the protocol): `by thinking "thinking_budget"`
    IMAGE_KNOB_COUNT_
};

enum image_key_source { IMAGE_KEY_NONE, IMAGE_KEY_ENV, IMAGE_KEY_FILE };

enum image_effort {
    IMAGE_EFFORT_DEFAULT,
    IMAGE_EFFORT_OFF,
    IMAGE_EFFORT_LOW,
    IMAGE_EFFORT_MEDIUM,
    IMAGE_EFFORT_HIGH,
    IMAGE_EFFORT_ON,
    IMAGE_EFFORT_COUNT_
};

struct image_model {
    struct image_str name;          // how the policy calls it
    struct image_str upstream_name; // what goes into the request's `model`
    struct image_list endpoints;    // struct image_endpoint
    int32_t zone;                   // index, or IMAGE_NONE
    uint32_t line;
    uint32_t context_tok, output_tok; // output_tok is context_tok when the policy states none
    uint32_t can;                     // enum work_need bits
    uint32_t efforts;                 // bit per enum image_effort
    enum image_key_source key_source;
    struct image_str key_name; // the variable's or the file's name, never the key
    bool priced;               // false: the policy states no price, costs are unknown, not zero
    int64_t price_in_nusd, price_out_nusd, price_cached_nusd; // per million tokens
    float quality;             // declared, 0..1; negative when the policy states none
    struct image_str provider; // "openai", or empty
    int64_t energy_in_uj,
        energy_out_uj; // per million tokens (`energy 40 in, 300 out kJ/Mtok`); negative: not stated
    uint32_t timeout_ms; // for one whole answer (`timeout 60 s`); 0: not stated
    // The rest of the price: `price 1.25 in, 10 out, 0.125 cached, 1.5 written usd/Mtok, 0.001 usd/request`.
    int64_t
        price_written_nusd; // per million input tokens written to the provider's cache; 0: as price_in
    int64_t price_call_nusd; // per request, whatever its length
    int64_t
        price_gpu_nusd_h; // `gpu 4.02 usd/h`: of the machines of one endpoint; shared by what runs there; 0 without
    uint32_t batch_percent; // of the price that deferred work pays (`batch 50 %`); 0: no batch rate
    bool price_listed;      // taken from the list of prices, not from the policy
    struct image_str price_date, price_source; // "2026-11-01"; empty: not stated
    struct image_energy energy; // beyond energy_in_uj and energy_out_uj, which then are its bounds
    enum image_knob knob;
    struct image_str knob_name;                 // empty: IMAGE_KNOB_REASONING_EFFORT
    uint32_t thinking_tok[IMAGE_EFFORT_COUNT_]; // IMAGE_KNOB_THINKING
};

enum image_engine {
    IMAGE_ENGINE_NONE, // nothing is known: not scraped
    IMAGE_ENGINE_VLLM,
    IMAGE_ENGINE_SGLANG,
    IMAGE_ENGINE_LLAMACPP,
    IMAGE_ENGINE_TGI,
    IMAGE_ENGINE_COUNT_
};
enum image_discovery {
    IMAGE_DISCOVER_NONE,
    IMAGE_DISCOVER_DNS,  // every address of the name
    IMAGE_DISCOVER_FILE, // every line of a file
    IMAGE_DISCOVER_SRV   // every service record of the name, with its port
};
enum image_meter { IMAGE_METER_NONE, IMAGE_METER_NVML, IMAGE_METER_RAPL };

// An endpoint as the policy states it. At run time it is one place or, discovered, several (work/pool.h).
//   endpoint "http://a:8000/v1" engine vllm weight 2 slots 32 rate 600 requests/minute region eu serves to 8k tok
//                                      meter nvml 0,
//            dns "http://pool.svc:8000/v1", file "places.txt"
struct image_endpoint {
    struct image_str
        url; // http(s)://host[:port]/base, or "demo:"; the path of a file of such lines
    int32_t model;
    uint32_t line;
    enum image_discovery discovery;
    enum image_engine engine;
    uint32_t weight_milli;                   // 0: not stated, 1000
    uint32_t slots;                          // most requests at once; 0: no limit stated
    uint32_t rate_min, rate_tok_min;         // requests and tokens a minute; 0: no limit
    uint32_t serves_from_tok, serves_to_tok; // pool of short or long requests; 0: open
    bool maintenance;                        // gets no new request
    enum image_meter meter;
    uint32_t meter_index; // of the GPU or package
    struct image_str region;
    struct image_str metrics_url; // empty: where the engine has it
    struct image_str health;      // path to ask while it is out; empty: the engine's
};

// How endpoints are chosen, and what seconds, joules and grams are worth: `dispatch ...`, at most one in a policy.
enum image_dispatch_mode {
    IMAGE_DISPATCH_PRICE, // least total price (route/dispatch.h)
    IMAGE_DISPATCH_LEAST_REQUEST,
    IMAGE_DISPATCH_POWER_OF_TWO,
    IMAGE_DISPATCH_ROUND_ROBIN,
    IMAGE_DISPATCH_MODE_COUNT_
};
enum image_scorer {
    IMAGE_SCORE_QUEUE,   // requests waiting there
    IMAGE_SCORE_RUNNING, // requests in its batch, against its slots
    IMAGE_SCORE_KV,      // use of its KV cache
    IMAGE_SCORE_PREFIX,  // tokens of the prompt that it has to compute
    IMAGE_SCORE_LORA,    // the adapter is not loaded there
    IMAGE_SCORE_SESSION, // leaving the place where the session is
    IMAGE_SCORE_LATENCY, // expected seconds, and the part beyond a deadline
    IMAGE_SCORE_CONTEXT, // outside the lengths that it serves
    IMAGE_SCORE_COUNT_
};
struct image_dispatch {
    enum image_dispatch_mode mode;
    float weights[IMAGE_SCORE_COUNT_]; // factor on each scorer's price; 1 unless stated
    int64_t second_nusd;               // what a second of waiting is worth
    int64_t kwh_nusd; // what a kWh is worth beyond what the price of tokens has of it
    int64_t kg_nusd;  // what a kilogram of CO2e is worth
    uint32_t line;    // 0: the policy has no such statement, these are the defaults
};
// Defaults of struct image_dispatch. Grade guessed, 2026-11: an hour of waiting at 3.6 USD; energy and carbon are no
// price unless the policy says so.
enum { IMAGE_SECOND_NUSD = 1000000 };
static inline struct image_dispatch image_dispatch_default(void)
{
    struct image_dispatch d = {.mode = IMAGE_DISPATCH_PRICE, .second_nusd = IMAGE_SECOND_NUSD};
    for (int i = 0; i < IMAGE_SCORE_COUNT_; i++)
        d.weights[i] = 1;
    return d;
}

enum image_alias_target { IMAGE_TARGET_ROUTES, IMAGE_TARGET_ROUTE, IMAGE_TARGET_MODEL };

struct image_alias {
    struct image_str name;
    enum image_alias_target target;
    int32_t index; // of the route or model
    uint32_t line;
};

enum image_arg_kind { IMAGE_ARG_STRING, IMAGE_ARG_NUMBER, IMAGE_ARG_WORD };

struct image_arg {
    enum image_arg_kind kind;
    struct image_str name; // of a named argument; empty for positional
    struct image_str tag;  // "regex" in keywords(regex "a+b"); empty without
    struct image_str text; // of a string or word
    double number;
    uint32_t begin, end; // span in the source
};

enum image_derive {
    IMAGE_DERIVE_NONE,      // computed by its family
    IMAGE_DERIVE_LABEL,     // the highest level that a term raises it to; the lowest without any
    IMAGE_DERIVE_SCORE,     // sum of the terms' weights times their values
    IMAGE_DERIVE_EXCLUSIVE, // softmax over the members: the winner's word, or `otherwise`
};

// An input of a derived signal. Derived signals may look at derived ones, at most IMAGE_DERIVE_DEPTH_MAX inside each
// other and never in a circle (image_open checks it).
struct image_term {
    struct image_list
        guard; // struct image_node. LABEL: raises to `word` where it holds (TRUE: always); SCORE without a signal: its
               // value is 1 where it holds, else 0
    int32_t signal; // SCORE: a number signal; EXCLUSIVE: the member; else IMAGE_NONE
    uint32_t word;  // LABEL: the level; EXCLUSIVE: the member's word
    double weight;  // SCORE
};

// A score's band: the word holds from `from` on, up to the next band's.
struct image_band {
    double from; // inclusive; of the first band -infinity
};

struct image_signal {
    struct image_str name;
    struct image_str family; // of a derived signal "label", "score", "exclusive"
    enum image_derive derive;
    int32_t lattice;         // LABEL: index; else IMAGE_NONE
    struct image_list terms; // struct image_term; empty unless derived
    uint32_t
        depth; // 0 of what a family computes; of a derived signal more than that of all it looks at
    struct image_list bands;    // struct image_band, one per word, ascending; SCORE with bands
    double temperature, margin; // EXCLUSIVE; margin is a difference of probabilities
    uint32_t
        otherwise; // EXCLUSIVE: the word when no member wins by the margin, or one is not known
    // LABEL: the level that it is raised to when a signal that a term looks at could not be computed.
    uint32_t error_level;
    bool hidden; // made by the compiler (`max(caller, ...)`): not shown among the policy's signals
    // Range of a number before any threshold, as the family tells or the score's weights allow; whole: no fractions.
    double number_min, number_max;
    bool whole;
    bool closed;             // of a set: `words` are all that it can hold
    struct image_list args;  // struct image_arg
    enum signal_type type;   // after the comparison below
    struct image_list words; // struct image_str: the values when the type is SIGNAL_ENUM
    // `above t` / `below t` turns the family's number into a truth value.
    bool has_threshold, threshold_above;
    double threshold;
    // on_error: what holds when it cannot be computed.
    double error_number;
    struct image_str error_text;
    uint32_t line;
};

enum image_op {
    IMAGE_OP_TRUE, // the signal is true (bool), non-empty (text, set)
    IMAGE_OP_EQ,   // the one of `texts` (text), the word `number` (enum), `number`
    IMAGE_OP_NE,   // the compiler writes NOT EQ instead, so that both are one atom
    IMAGE_OP_LT,
    IMAGE_OP_LE,
    IMAGE_OP_GT,
    IMAGE_OP_GE,
    IMAGE_OP_IN,     // one of `texts` (text, enum), any of them (set)
    IMAGE_OP_FAILED, // the signal could not be computed: labels only
};

// A question about one signal. Equal questions are one atom, wherever they stand.
struct image_atom {
    int32_t signal;
    enum image_op op;
    double number;           // of a number, bool, or the index of an enum's word
    struct image_list texts; // struct image_str, for EQ, NE and IN on text and set
    uint64_t words;          // for IN on an enum: bit per word (an enum has at most 64)
    struct image_str shown;  // as the policy writes it: `questions > 3`
};

enum image_node_kind {
    IMAGE_NODE_TRUE,
    IMAGE_NODE_ATOM,
    IMAGE_NODE_NOT,
    IMAGE_NODE_AND,
    IMAGE_NODE_OR
};

// A guard in prefix order: AND and OR are followed by `count` subtrees; `size` is the number of nodes of the whole
// subtree, itself included, so that one can be stepped over. AND and OR have at least
// two children; depth is at most IMAGE_GUARD_DEPTH_MAX.
struct image_node {
    enum image_node_kind kind;
    uint32_t arg; // atom index, or child count
    uint32_t size;
};

enum image_step_kind {
    IMAGE_STEP_ANSWER,
    IMAGE_STEP_REFUSE, // ends the path
    IMAGE_STEP_RETRIEVE,
    IMAGE_STEP_VERIFY,
    IMAGE_STEP_CLARIFY, // asks the user instead, at most `count` times in a session; then the path goes on
    IMAGE_STEP_REDACT, // from here on text is labelled at most `level` of `lattice`: the only declassifier
    IMAGE_STEP_FUSE,  // all bindings answer, one answer is made of them
    IMAGE_STEP_CACHE, // a hit ends the path; the answer of a miss is written there
    IMAGE_STEP_KIND_COUNT_
};

// A model with an effort, as a candidate of `answer`.
struct image_binding {
    int32_t model;
    enum image_effort effort;
};

struct image_step {
    enum image_step_kind kind;
    bool any;
    bool escalated; // `escalate answer(...)`: needs an `allow escalate`
    struct image_list
        bindings; // struct image_binding, in the policy's order; `any` is written out. Of ANSWER, FUSE and
                  // a VERIFY by a model
    struct image_str text; // the message of a refusal
    int32_t sink;          // of RETRIEVE, VERIFY by a sink, CACHE; else IMAGE_NONE
    uint32_t retries;      // `retry 2`: times that a failed step is tried again
    uint32_t cap_tok;      // `cap 1k tok`: most output; 0 none
    uint32_t
        hedges; // `hedge 1`: copies sent to other endpoints when it is slow; needs an `allow hedge`
    uint32_t count;  // CLARIFY
    int32_t lattice; // REDACT
    uint32_t level;  // REDACT
};

// One line of steps, in order. When a step fails (a verdict against the answer, an upstream error after its retries, a
// time out) or the line is not feasible, the path goes on with the next chain of its route; when there is none the
// request is refused. Steps before the failure may have spent and seen; nothing of them is delivered.
struct image_chain {
    struct image_list steps; // struct image_step
};

enum image_objective {
    IMAGE_OBJECTIVE_ORDER,
    IMAGE_OBJECTIVE_COST,
    IMAGE_OBJECTIVE_QUALITY,
    IMAGE_OBJECTIVE_ENERGY
};

enum image_constraint_kind {
    IMAGE_FORBID,  // what `target` names is not used
    IMAGE_REQUIRE, // every answer that is delivered has passed `step`
    IMAGE_ALLOW,   // `step` (or an extra) may be used, at most `count` times on a way
    IMAGE_BUDGET,
};

enum image_target {
    IMAGE_FORBID_ZONE,
    IMAGE_FORBID_BELOW, // zones and sinks that do not clear `level` of `lattice`
    IMAGE_FORBID_MODEL,
    IMAGE_FORBID_ENDPOINT,
    IMAGE_FORBID_EFFORT,
    IMAGE_FORBID_STEP,
    IMAGE_FORBID_SINK,
};

// What needs an `allow`.
enum image_extra { IMAGE_EXTRA_ESCALATE, IMAGE_EXTRA_FUSE, IMAGE_EXTRA_HEDGE, IMAGE_EXTRA_COUNT_ };

enum image_unit {
    IMAGE_UNIT_NUSD,
    IMAGE_UNIT_UJ,
    IMAGE_UNIT_UG,
    IMAGE_UNIT_MS,
    IMAGE_UNIT_TOK,
    IMAGE_UNIT_CALLS,   // of models
    IMAGE_UNIT_REQUESTS // of clients: `budget per key 60 requests/minute hard`
};

// A path of the API that goes to a model's endpoint as it is: `pass "/v1/audio" to small at most 0.05 usd, 20 J`.
struct image_pass {
    struct image_str path;
    int32_t model;
    uint32_t line;
    int64_t most[IMAGE_UNIT_TOK + 1]; // that one request takes; negative: not stated
};

enum image_window {
    IMAGE_PER_REQUEST,
    IMAGE_PER_MINUTE,
    IMAGE_PER_HOUR,
    IMAGE_PER_DAY,
    IMAGE_PER_MONTH,
    IMAGE_PER_LIFE // of the session or loop: `budget per loop 50k tok hard`
};
// What a hard budget does that does not bear the choice.
enum image_exhausted {
    IMAGE_EXHAUSTED_REFUSE, // 402 (or what `budgets.status` says)
    IMAGE_EXHAUSTED_CHEAPER, // `hard cheaper`: the next cheaper feasible path that it bears, and only then a refusal
};
enum image_scope {
    IMAGE_SCOPE_ALL,
    IMAGE_SCOPE_SESSION,
    IMAGE_SCOPE_KEY,
    IMAGE_SCOPE_CALLER,
    IMAGE_SCOPE_TEAM,
    IMAGE_SCOPE_TENANT,
    IMAGE_SCOPE_LOOP // one task of an agent within a session
};

// Constraints are a set: order, duplicates and names never matter. Everything is allowed that no FORBID names, but the
// extras, which need an ALLOW. `forbid zone a, b` is two of them with one name; `forbid zone below data` is one per
// level of the label above the lowest, each with the guard `data >= level` and what does not clear it as its target.
struct image_constraint {
    struct image_str name; // `as "..."`, else made of its text
    enum image_constraint_kind kind;
    struct image_list guard;  // struct image_node; empty: always
    enum image_target target; // FORBID
    int32_t
        index; // of the zone, model, endpoint, sink; the enum's value of an effort or step; the lattice
    uint32_t level;            // IMAGE_FORBID_BELOW
    enum image_step_kind step; // REQUIRE
    int32_t sink;              // REQUIRE verify(NAME): that one; else IMAGE_NONE
    enum image_extra extra;    // ALLOW
    uint32_t count;            // ALLOW: times on one way
    enum image_unit unit;      // BUDGET, in whole units of it
    int64_t limit;
    enum image_window window;
    enum image_scope scope;
    bool hard; // else paced
    bool
        strict; // of a hard budget per request: the input is reckoned as the most it can be, not as it is estimated
    uint32_t line;
    enum image_exhausted exhausted; // of a hard budget over time
};

// What a `prove` or a `test` states of every request under its guard.
enum image_claim_kind {
    IMAGE_CLAIM_NEVER, // the guard never holds
    IMAGE_CLAIM_ROUTE, // the route `index` is taken
    IMAGE_CLAIM_ZONE, // every answer that can be delivered or asked for comes from a zone of `list`
    IMAGE_CLAIM_MODEL, // ... by a model of `list`
    IMAGE_CLAIM_PASSES, // every answer delivered has passed `step`, of sink `index` when that is not IMAGE_NONE
    IMAGE_CLAIM_REFUSE,   // it is refused by its route
    IMAGE_CLAIM_FEASIBLE, // some model can serve it, as far as constraints go
    IMAGE_CLAIM_COSTS, // whatever happens it costs at most `limit` of `unit`; `index`: a route's, or IMAGE_NONE
    IMAGE_CLAIM_REACHES, // a label of at least `level` of `lattice` is seen by zone, model or sink `index` (`target`)
};

struct image_claim {
    enum image_claim_kind kind;
    bool negated; // `not route quick`; of REACHES: `no phi reaches ...`
    int32_t index;
    struct image_list list; // struct image_index: zones, models
    enum image_target target;
    int32_t lattice;
    uint32_t level;
    enum image_step_kind step;
    enum image_unit unit;
    int64_t limit;
    uint32_t begin, end; // span in the source
};

struct image_index {
    int32_t index;
};

// `prove ... when ...` and `test "..." given ... expect ...`.
struct image_theorem {
    struct image_str name;
    bool is_test;
    struct image_list guard;  // struct image_node: what is given; what is not is arbitrary
    struct image_list claims; // struct image_claim, all of them
    struct image_str
        user; // test: text of the user's message, whose signals are computed; empty without
    struct image_str corpus; // test: path of a file of JSON lines; empty without
    double agree_min;        // ... the share of lines that must agree
    uint32_t line;
    uint32_t begin, end; // span in the source
};

// `assume not-proved "why"`: a finding of this code, about this name (empty: any), does not stop a load.
struct image_assume {
    struct image_str code, name, reason;
    uint32_t line;
};

struct image_route {
    struct image_str name;
    uint32_t line;
    struct image_list guard;    // struct image_node
    struct image_list chains;   // struct image_chain: the path, then what each `else` goes on with
    struct image_str path_name; // "answer", "refuse", or the name of a `path`
    enum image_objective objective;
    float quality_min;     // `where quality >= x`; 0 without
    int64_t cost_max_nusd; // `within x usd`; negative without
    float risk;            // `escalate at risk x`; negative without
    bool is_otherwise;     // the last one
};

struct policy_image {
    char magic[8]; // "MERITPOL"
    uint32_t version;
    uint32_t size;                      // of the whole block
    uint64_t checksum;                  // over the block with this field zero, see image_seal
    uint8_t digest[IMAGE_DIGEST_BYTES]; // SHA-256 of the policy's text
    struct image_str name;
    uint32_t policy_version;
    struct image_dispatch dispatch;
    struct image_list lattices, zones, sinks, models, endpoints, aliases, passes, signals, terms,
        bands, args, atoms, nodes, bindings, steps, chains, routes, constraints, indexes, claims,
        theorems, assumes;
    struct image_list strs;  // struct image_str: what lists of texts and words point into
    struct image_list chars; // the bytes of all strings
};

// A view of the block. `size` is what is readable; `block` is aligned to 8. Reads all of it once.
// RESULT_VERSION, RESULT_SYNTAX (damaged).
enum result image_open(const void *block, size_t size,
                       const struct policy_image **out) MERIT_NODISCARD;

// Sets the checksum of a block whose `size` is right; for whoever writes one.
void image_seal(struct policy_image *p);

static inline struct slice image_text(const struct policy_image *p, struct image_str s)
{
    return slice_make((const char *)p + s.at, s.len);
}

#define IMAGE_AT(p, list, type) ((const type *)(const void *)((const char *)(p) + (list).at))

// The element, with its bounds asserted.
static inline const struct image_model *image_model(const struct policy_image *p, int32_t i)
{
    assert(i >= 0 && (uint32_t)i < p->models.count);
    return IMAGE_AT(p, p->models, struct image_model) + i;
}

static inline const struct image_signal *image_signal(const struct policy_image *p, int32_t i)
{
    assert(i >= 0 && (uint32_t)i < p->signals.count);
    return IMAGE_AT(p, p->signals, struct image_signal) + i;
}

static inline const struct image_route *image_route(const struct policy_image *p, int32_t i)
{
    assert(i >= 0 && (uint32_t)i < p->routes.count);
    return IMAGE_AT(p, p->routes, struct image_route) + i;
}

static inline const struct image_chain *image_chains(const struct policy_image *p,
                                                     const struct image_route *r)
{
    return IMAGE_AT(p, r->chains, struct image_chain);
}

// Index of a name, or IMAGE_NONE.
int32_t image_find_model(const struct policy_image *p, struct slice name);
int32_t image_find_route(const struct policy_image *p, struct slice name);
int32_t image_find_signal(const struct policy_image *p, struct slice name);
const struct image_alias *image_find_alias(const struct policy_image *p, struct slice name);
// "default", "off", "low", ...
const char *image_effort_name(enum image_effort e);
// "==", "in", ...; empty for IMAGE_OP_TRUE.
const char *image_op_name(enum image_op op);
// "bool", "number", "enum", "text", "set".
const char *image_type_name(enum signal_type type);

#endif
