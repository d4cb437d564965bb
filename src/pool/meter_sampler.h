// The meters that a policy's endpoints name, read again and again by the control side, and shared out to what runs there.
//
// Endpoints with the same meter share a board (pool/meter_board.h): one machine may serve several models. A meter that cannot be
// opened is tried again every METER_RETRY_MS, and says why until it can be; nothing is metered there meanwhile. Meters and
// boards outlive policies: requests of an old one may still run on them.
#ifndef MERIT_POOL_METER_SAMPLER_H
#define MERIT_POOL_METER_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/result.h"
#include "pool/meter_board.h"

enum {
    METERS_MAX = 64,
    METER_EVERY_MS =
        100, // a good interval: NVML's counter moves every 20 to 100 ms (cited: Zeus, NVML reference)
    METER_RETRY_MS = 60000,
};

struct meter_sampler;

// `places` as for meter_open, kept; NULL: the system's. RESULT_NOMEM.
enum result meter_sampler_new(struct meter_sampler **out,
                              const struct meter_places *places) MERIT_NODISCARD;
// When no loop is at work any more. NULL: no-op.
void meter_sampler_free(struct meter_sampler *s);

// Control thread, when a policy is taken up: the meters that its endpoints name, with the curve of a model that runs there.
// RESULT_LIMIT: more than METERS_MAX in the life of the process; those are not metered. RESULT_NOMEM.
enum result meter_sampler_use(struct meter_sampler *s, const struct policy_image *image,
                              uint64_t mono_us) MERIT_NODISCARD;
// Control thread, every METER_EVERY_MS or so: reads all meters and shares out what went by. True when a meter came up or
// went down, for a log line (meter_sampler_each).
bool meter_sampler_tick(struct meter_sampler *s, uint64_t mono_us);
// Requests on that machine which are not Merit's (what the engine says it runs, less what Merit has there).
void meter_sampler_others(struct meter_sampler *s, enum image_meter kind, uint32_t index,
                          uint32_t requests);

// Any thread; NULL: no such meter. The board stays until meter_sampler_free. `*up`: whether the meter counts now; only then
// a request begins on its board.
struct meter_board *meter_sampler_board(const struct meter_sampler *s, enum image_meter kind,
                                        uint32_t index, bool *up);

struct meter_view {
    enum image_meter kind;
    uint32_t index;
    bool up;
    const char *why; // it is not up; "" when it is
    uint64_t resets; // of its counter
    double watts;    // over the last interval; negative: none yet
    struct meter_totals totals;
};
// Control thread. False: no more.
bool meter_sampler_each(const struct meter_sampler *s, uint32_t i, struct meter_view *out);
// "nvml", "rapl".
const char *meter_kind_name(enum image_meter kind);
// Metrics in Prometheus' text format: merit_meter_up, _joules_total{part=...}, _watts, _resets_total.
void meter_sampler_metrics(const struct meter_sampler *s, struct buf *out);

#endif
