// One engine as vLLM's V1 scheduler works, as a pure discrete-event model in virtual time.
//
// Requests wait in one queue, first come first served. The engine works in steps. A step takes what runs, in the order of
// admission: one token of each that decodes, as much of each prompt as the step's token budget leaves (chunked prefill);
// then it admits from the queue while there are places (max_seqs), budget and KV blocks. When a running sequence finds no
// block, the one admitted last is preempted: its blocks go, it stands first in the queue again, and what it had computed is
// computed again (but for what the prefix cache still has). A request whose adapter does not fit beside those that run is
// passed over, and only it.
//
// A step lasts
//
//   overhead + max(weights, tokens * token) + context * KV read + pairs * attention, and adapters that it loads
//
// where tokens are those computed in the step, context the tokens that its sequences attend to, pairs the chunk x context
// products of its prefills. The constants are those of a roofline of one model on one accelerator (docs/sim.md tells source
// and grade). A token is there at the end of its step.
//
// Blocks and prefix cache: sim/blocks.h. A block is found by the hash of everything up to its end, so the caller gives
// chained hashes; what an answer generated is cached likewise when the hashes go on behind the prompt. Where there is no hash
// a block can be found by its own request alone, after a preemption.
//
// Energy: power follows the logistic curve P(b) of the accelerator with b the tokens computed in the step, so that a prefill
// chunk counts as a full batch (a guess; the curve is for decoding); idle power between steps. The meter is the integral.
//
// Deterministic by seed. No clock, no I/O: the owner calls engine_run with times that never go back and that are never
// behind engine_next_us of any event that it wants in order. One owner, one thread. Times are microseconds.
#ifndef MERIT_SIM_ENGINE_H
#define MERIT_SIM_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"
#include "base/rng.h"
#include "sim/blocks.h"

enum {
    ENGINE_NAME_BYTES = 32,
    ENGINE_SEQS_MAX = 4096,
    ENGINE_QUEUE_MAX = 1000000,
    ENGINE_ADAPTERS_MAX = 64,
};
#define ENGINE_NEVER UINT64_MAX

struct engine_profile {
    char name[ENGINE_NAME_BYTES];
    // Time
    double overhead_us; // of every step: scheduling, launches, sampling
    double weights_us;  // to read the weights once
    double token_us;    // arithmetic of one token
    double context_ns;  // to read the KV of one token of context
    double pair_ns;     // attention of one token of a prefill chunk to one of its context
    double first_us; // a first token comes at least so long after admission (tokenizing, network)
    double jitter;   // relative standard deviation of a step; 0: none
    double first_jitter;
    double load_factor; // a step takes up to so many times as long when all places run; 1: none
    // Room
    uint32_t block_tok, blocks;
    uint32_t max_seqs;
    uint32_t chunk_tok; // tokens of a step (max_num_batched_tokens)
    uint32_t max_len_tok;
    uint32_t queue_max; // requests that may wait
    bool prefix_cache;
    // Adapters
    uint32_t max_lora; // at once; 0: none
    double lora_load_us;
    // Power of the whole replica, W: idle + (nominal - idle) / (1 + exp(-steep (log2 b - middle)))
    double idle_w, nominal_w, steep, middle;
    double restart_us; // from the start of a restart until it serves
};
// An H100 with an 8B model, without a source for each constant: for tests and for an endpoint without a file.
extern const struct engine_profile engine_profile_default;

enum engine_end {
    ENGINE_DONE,
    ENGINE_LOST, // the engine restarted under it; the callee cancels no other request of this engine then
};
enum engine_stage { ENGINE_WAITING, ENGINE_RUNNING, ENGINE_ENDED };

// What is asked. Hash i is of everything up to the end of the i-th piece of `hash_tok` tokens (a multiple of the engine's
// block size), prompt first, then the answer; there may be none. They must live until the request has ended.
struct engine_ask {
    uint32_t prompt_tok, output_tok; // at least 1
    const uint64_t *hashes;
    uint32_t hash_count, hash_tok;
    int32_t adapter; // its number, or -1
    void *user;
};

// For reading. Freed by the engine after on_end.
struct engine_request {
    struct engine_ask ask;
    uint64_t serial;
    uint64_t submitted_us, admitted_us, first_us; // 0: not yet
    uint32_t cached_tok;   // of the prompt, found in the prefix cache at the first admission
    uint32_t computed_tok; // whose KV is there now
    uint32_t produced_tok; // of the answer
    uint32_t preempted;    // times
    enum engine_stage stage;
    struct engine_request *next, *prev; // private, as are the rest
    uint32_t *blocks;
    uint32_t block_count, step_tok;
    uint64_t hold_us;
    bool gone;
};

struct engine;
struct engine_sink {
    // At the end of a step, in the order of admission. The callee may submit to and cancel on the same engine.
    void (*on_token)(void *user, struct engine_request *r, uint64_t now_us);
    void (*on_end)(void *user, struct engine_request *r, enum engine_end why, uint64_t now_us);
    void *user;
};

struct engine_stats {
    uint32_t waiting, running, blocks, blocks_free, blocks_cached;
    double kv_use; // share of blocks that are held
    uint32_t running_adapters[ENGINE_ADAPTERS_MAX], running_adapter_count;
    uint32_t waiting_adapters[ENGINE_ADAPTERS_MAX], waiting_adapter_count;
    // Since the engine was made; a restart does not reset them.
    uint64_t submitted, finished, lost, cancelled, refused, preemptions, restarts, steps;
    uint64_t prefill_tok, decode_tok; // computed: of prompts, of answers
    int64_t again_tok; // of those, what had been computed before a preemption took it
    uint64_t generated_tok;
    uint64_t prefix_asked_tok, prefix_found_tok; // of prompts at their first admission
    uint64_t adapter_loads, evictions;
    uint64_t busy_us;
};

// RESULT_RANGE when the profile makes no sense (a time negative or not finite, no room for a sequence), RESULT_NOMEM.
enum result engine_open(struct engine **out, const struct engine_profile *profile,
                        const struct engine_sink *sink, uint64_t seed);
// Without callbacks.
void engine_close(struct engine *e);

// RESULT_LIMIT (the queue is full), RESULT_RANGE (longer than max_len_tok or all blocks; no such adapter room),
// RESULT_AGAIN (it restarts), RESULT_NOMEM.
enum result engine_submit(struct engine *e, const struct engine_ask *ask, uint64_t now_us,
                          struct engine_request **out);
// Given up by its client; no callback follows.
void engine_cancel(struct engine *e, struct engine_request *r, uint64_t now_us);
// What runs and waits is lost (on_end), caches are empty, and it serves again after restart_us.
void engine_restart(struct engine *e, uint64_t now_us);
bool engine_is_up(const struct engine *e, uint64_t now_us);

// The end of the step that runs, or ENGINE_NEVER.
uint64_t engine_next_us(const struct engine *e);
// Ends the steps that are due by then, each with its callbacks, and begins the ones that follow.
void engine_run(struct engine *e, uint64_t until_us);

void engine_stats(const struct engine *e, struct engine_stats *out);
const struct engine_profile *engine_profile(const struct engine *e);
// Tokens of this prompt that the prefix cache holds now.
uint32_t engine_cached_tok(const struct engine *e, const struct engine_ask *ask);
// Prompt tokens that wait or run and are not computed yet.
uint64_t engine_backlog_tok(const struct engine *e);
// Joules since it was made, up to now.
double engine_joules(const struct engine *e, uint64_t now_us);
double engine_power_w(const struct engine_profile *p, double batch);

#endif
