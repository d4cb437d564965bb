// A place: one address that serves one model, with what all loops know of it.
//
// A place outlives the policy that named it: when the next policy has the same model at the same address, the same
// `struct place` serves on, and with it what is under way there, its health, what it has learned and what was scraped.
// Counted references; freed with the last. All fields that loops touch are atomics with relaxed order: a decision may see a
// number that is a moment old, never one that was not there. Whoever changes `health` uses pool/health.h.
#ifndef MERIT_POOL_PLACES_H
#define MERIT_POOL_PLACES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/slice.h"
#include "pool/drain.h"
#include "pool/health.h"
#include "pool/limits.h"
#include "pool/speeds.h"

// What was scraped or reported, as the control side wrote it down. Negative: not known.
struct place_gauges {
    _Atomic uint64_t at_ms;    // loop time; 0: never
    _Atomic uint64_t fresh_ms; // it counts until then
    _Atomic uint32_t ends,
        in_flight; // calls of ours that had ended, and were under way, at that time
    _Atomic float queue, running, kv_use;
    _Atomic uint32_t slots; // that it runs side by side; 0: not known
    _Atomic bool lora_loaded, lora_room;
    // Not for decisions: what people see, and what others ask for.
    _Atomic float prefix_hit_share; // of prompt tokens, since it started
    _Atomic uint32_t block_tok;     // of its prefix cache; 0: not known
    _Atomic uint32_t blocks;
    _Atomic uint64_t preemptions;
    _Atomic uint32_t restarts; // seen: a counter fell
    _Atomic uint32_t fault;    // enum telemetry_fault of the last reading
};

struct place {
    // Read by every decision.
    _Alignas(64) struct health health;
    _Atomic uint64_t limited_until_ms;
    _Atomic uint32_t busy;   // 429 in a row that did not say for how long
    _Atomic uint32_t denied; // requests in a row that were forbidden here and taken elsewhere
    _Atomic uint32_t in_flight, ends;
    _Atomic uint32_t in_flight_tok, wait_tok;
    _Atomic float prefill_tok_s, first_ms, each_ms; // learned; < 0: not known
    _Atomic float carbon_g_kwh;                     // of its zone now; < 0: not known
    _Atomic bool carbon_stale; // that is the zone's figure, because its feed tells nothing now
    struct place_gauges gauges;
    // Written by every call.
    _Alignas(64) _Atomic uint64_t calls, errors, limited; // ever
    _Atomic uint64_t last_call_ms;
    _Atomic uint64_t last_sign_ms; // a call of ours came to its first byte or its end
    _Atomic bool
        cut_off; // its last failure was that of its connection: it died, and to ask it costs it nothing
    struct rate requests, tokens;
    // Of the control side's last look at them (outliers).
    uint64_t judged_calls, judged_errors;
    uint32_t judged_firsts;
    _Atomic uint32_t firsts;       // calls with a first byte
    _Atomic float recent_first_ms; // of the last few
    _Atomic float slow_ms;         // 95 of 100 first bytes come sooner; < 0: not known
    // Since when calls without a first byte wait there without a pause, 0: none do; and what has left that line since the
    // learner looked last.
    _Atomic uint64_t line_us;
    _Atomic uint32_t drained_tok, drained_calls;
    _Atomic uint32_t wait_calls; // those whose tokens wait_tok are
    // The learner. Who finds the lock taken lets its call teach nothing.
    atomic_flag learning;
    struct speeds speeds;
    struct drain drain;
    // What the line moved by (pool/drain.h), as decisions read it.
    _Atomic float drain_tok, drain_calls, drain_s;
    _Atomic uint64_t drain_at_us;

    _Atomic uint32_t refs;
    uint64_t key; // of model and address
    struct slice model, url;
    char text[]; // that these lie in
};

// A new one for what the policy calls `model`, at `url`, with one reference. NULL without memory.
struct place *place_open(struct slice model, struct slice url) MERIT_NODISCARD;
struct place *place_ref(struct place *p);
void place_unref(struct place *p); // NULL is a no-op
bool place_is(const struct place *p, struct slice model, struct slice url);

// One call's lesson. Any thread; never waits.
void place_learn(struct place *p, const struct speeds_call *call);
// Calls join and leave the line of those without a first byte; `served`: with one.
void place_join(struct place *p, uint32_t tok, uint64_t now_us);
void place_leave(struct place *p, uint32_t tok, bool served, uint64_t now_us);
// As drain_tok_s.
float place_drain_tok_s(const struct place *p, uint64_t now_us);
// Asked to be left alone until then.
void place_limit(struct place *p, uint64_t until_ms);

#endif
