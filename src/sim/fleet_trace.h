// A trace played to a fleet at a stated load.
//
// Load 1 is the rate at which the fleet's replicas, each alone with more of the trace's requests than it can serve and no two
// of them alike, finish them together. So it depends on constants and trace only, not on how requests are placed; what a
// placement saves by prefixes is its gain. The trace's own times are scaled to the rate wanted, so bursts keep their shape;
// it begins at a row that the seed draws and goes round as often as the time takes. Each round's prompts are new ones.
#ifndef MERIT_SIM_FLEET_TRACE_H
#define MERIT_SIM_FLEET_TRACE_H

#include "sim/fleet.h"
#include "sim/trace.h"

// Requests a second. RESULT_RANGE, RESULT_NOMEM.
enum result fleet_capacity(const struct constants *c, const struct trace *t, double *per_s);

struct fleet_play {
    const struct constants *constants;
    const struct trace *trace;
    const struct fleet_placement *placement;
    double per_s;   // requests a second
    double seconds; // that they come for
    uint64_t seed;
    uint32_t scrape_ms;
    // Called about once a virtual second; may be NULL.
    void (*on_progress)(void *user, double now_s, double share);
    void *user;
};

struct fleet_result {
    uint64_t requests, failed, retried;
    double first_p50_s, first_p90_s, first_p99_s,
        first_mean_s; // to the first token, since it arrived
    double whole_p50_s, whole_p99_s;
    double each_p50_ms;                                        // per token after the first
    double prompt_tok, cached_tok, prefill_tok, generated_tok; // sums; prefill: computed
    double joules, seconds;                                    // until the last one ended
    uint64_t preemptions;
    uint32_t replicas;
    double placed[CONSTANTS_REPLICAS_MAX]; // requests sent there
    double busy[CONSTANTS_REPLICAS_MAX];   // share of its time in which a step ran
};
// RESULT_RANGE, RESULT_NOMEM.
enum result fleet_play(const struct fleet_play *play, struct fleet_result *out);

#endif
