// The metrics pages of inference engines, as a simulated one writes them.
//
// Names after vllm/v1/metrics/loggers.py (vLLM 0.10 and later), sglang/srt/metrics/collector.py, llama.cpp's
// tools/server, TGI's router; only what a gateway reads, and what its operator looks at first.
#ifndef MERIT_SIM_LIVE_METRICS_H
#define MERIT_SIM_LIVE_METRICS_H

#include "base/buf.h"
#include "sim/live.h"

enum live_series {
    LIVE_FIRST,  // seconds to the first token
    LIVE_EACH,   // between tokens
    LIVE_WHOLE,  // of a request
    LIVE_QUEUE,  // until it was admitted
    LIVE_PROMPT, // tokens
    LIVE_OUTPUT,
    LIVE_SERIES
};
enum { LIVE_BUCKETS_MAX = 24 };

struct live_counts {
    struct {
        uint64_t buckets[LIVE_BUCKETS_MAX]; // not cumulated; the last used one is +Inf
        uint64_t count;
        double sum;
    } series[LIVE_SERIES];
    bool faked;
    double fake_running, fake_waiting, fake_kv_use;
};

struct live_seen {
    struct slice model;
    const struct engine_profile *profile;
    const struct live_counts *counts;
    struct engine_stats stats;
    double running, waiting, kv_use, wall_s, real_s, joules;
    char running_adapters[1024], waiting_adapters[1024];
};

void live_observe(struct live_counts *c, enum live_series series, double value);
void live_metrics_write(const struct live_seen *s, enum live_kind kind, struct buf *out);

#endif
