// How fast answers come: time to the first token and time per further token of streams, by model, effort and task (the
// route is what a policy tells tasks apart by), as histograms.
//
// In a shard of the metrics (api/metrics.h): one writer, its loop; anyone may read. Rows are taken as they are needed,
// PACE_ROWS at most; what has none left is counted under model, effort and route 0, "other".
#ifndef MERIT_API_PACE_H
#define MERIT_API_PACE_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/buf.h"
#include "work/image.h"

enum { PACE_ROWS = 256, PACE_FIRST = 12, PACE_EACH = 11 };

struct pace_row {
    _Atomic uint64_t key; // 0: free
    _Atomic uint64_t first[PACE_FIRST + 1], each[PACE_EACH + 1];
    _Atomic uint64_t first_us, each_us; // sums
};

struct pace {
    struct pace_row rows[PACE_ROWS];
};

// `model` and `route` are slots of the metrics' names; `each_us` of one token, 0: none followed the first.
void pace_saw(struct pace *p, uint16_t model, enum image_effort effort, uint16_t route,
              uint64_t first_us, uint64_t each_us);

struct metrics_names;
// Both histograms, summed over shards. Names are those of metrics.h.
void pace_write(struct pace *const *shards, uint32_t count, const struct metrics_names *names,
                struct buf *out);

#endif
