// An engine in real time behind a server: sim/engine.h driven by an event loop, with the metrics that its kind exposes.
//
// The server (sim/pool.c) asks live_submit for each chat completion and is told as its tokens come. Everything here belongs
// to the loop's thread. Times that are shown outside (metrics, lives) are real ones: an engine with a time factor of 10 has
// first tokens ten times sooner, and says so.
#ifndef MERIT_SIM_LIVE_H
#define MERIT_SIM_LIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "net/loop.h"
#include "sim/engine.h"
#include "sim/script.h"

enum live_kind { LIVE_VLLM, LIVE_SGLANG, LIVE_LLAMACPP, LIVE_TGI, LIVE_KINDS };
extern const char *const live_kind_names[LIVE_KINDS]; // "vllm", ...

enum live_failure {
    LIVE_RATE_LIMIT,      // 429
    LIVE_INVALID_API_KEY, // 401
    LIVE_CONTEXT_LENGTH,  // 400
    LIVE_SERVER_ERROR,    // 500
    LIVE_INVALID_REQUEST, // 400
    LIVE_MODEL_NOT_FOUND, // 404
    LIVE_OVERLOADED,      // 503 with Retry-After
    LIVE_BREAK,           // the connection breaks without an answer
    LIVE_FAILURES
};
extern const char *const live_failure_names[LIVE_FAILURES]; // "rate_limit", ...

enum { LIVE_ADAPTERS_MAX = 32, LIVE_FULL_STATUS = 429 };

struct live_options {
    enum live_kind kind;
    struct engine_profile profile;
    double time_factor;     // engine seconds in a real one; > 0
    double failure_rate;    // share of requests, 0 to 1
    uint32_t failure_types; // bit per enum live_failure
    int full_status;        // 429 or 503, when the queue is full
    bool echo;              // answers are the last user message
    struct slice
        fake_metrics; // JSON {"running-requests", "waiting-requests", "kv-cache-usage"}, or empty
    const char *const *adapters; // names of LoRA adapters that are there from the start
    uint32_t adapter_count;
    const char *lives; // file that is appended to, or NULL: who was alive when (docs/sim.md)
};

struct live;
struct live_call {
    struct engine_request *request; // NULL before and after
    uint32_t granted;               // tokens that have come
    uint32_t cached_tok;            // of its prompt, known with the first token
    uint64_t last_us;               // when the last one came, engine time
    // After each token, and with `ended` after the last one (ENGINE_DONE) or when the engine was lost.
    void (*on_progress)(struct live_call *c, bool ended, enum engine_end why);
};

// Everything is allocated from `arena` or owned; `port` is for the log of lives. RESULT_RANGE (the profile or the fake
// metrics make no sense), RESULT_IO (the log), RESULT_NOMEM, RESULT_LIMIT (adapters).
enum result live_open(struct live **out, struct loop *loop, const struct live_options *o,
                      struct slice model, uint16_t port, uint64_t seed, struct arena *arena);
void live_close(struct live *l);

// As engine_submit. `hashes` must live until the call has ended or was dropped. The first progress comes later.
enum result live_submit(struct live *l, struct live_call *c, const struct engine_ask *ask);
void live_drop(struct live *l, struct live_call *c); // no-op when it does not run
// Whether this request is to fail, and how; draws.
bool live_fails(struct live *l, enum live_failure *how);
// The engine is lost for `down_ms` real milliseconds; running calls are told.
void live_restart(struct live *l, uint32_t down_ms);
bool live_is_up(const struct live *l);

const struct live_options *live_options(const struct live *l);
struct engine *live_engine(struct live *l);
int32_t live_adapter(const struct live *l, struct slice name); // -1: no such
struct slice live_adapter_name(const struct live *l, int32_t number);
uint32_t live_adapters(const struct live *l);
enum result live_adapter_add(struct live *l,
                             struct slice name); // RESULT_EXISTS, RESULT_LIMIT, RESULT_NOMEM
enum result live_adapter_remove(struct live *l, struct slice name); // RESULT_NOT_FOUND

void live_metrics(struct live *l, struct buf *out);
// {"running": ..., "waiting": ..., "joules": ...}: what the engine knows of itself, for tests and benchmarks.
void live_state(struct live *l, struct buf *out);
// The value of `endpoint-load-metrics` in the format that a request asked for ("TEXT" or "JSON"); empty for another one.
struct slice live_orca(struct live *l, struct slice format, struct arena *arena);

#endif
