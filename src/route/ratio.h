// How far estimates were from what was settled: the ratio per model and unit over the last seven days, and an alarm when it is
// not near one any more.
//
//   loops     ratio_count        what one attempt was expected to take and what it took; no lock, no allocation
//   control   ratio_take         now and then: the loops' growth into the window
//             ratio_of           expected / settled, summed over the window: 1.1 is a tenth too much
//             ratio_event        alarms raised and cleared since the last call, for the log
//
// The alarm is raised when the ratio leaves RATIO_LOW to RATIO_HIGH with at least RATIO_ANSWERS answers in the window, and
// cleared when it is well inside again. What is not known of an attempt (negative) is not counted. Time is monotonic
// microseconds, of ratio_take alone; a clock that goes back stands still, one that jumps ahead ages the window, and neither
// loses nor doubles what is counted. Nothing is kept over a restart.
#ifndef MERIT_ROUTE_RATIO_H
#define MERIT_ROUTE_RATIO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"

enum ratio_unit { RATIO_USD, RATIO_J, RATIO_TOK, RATIO_UNITS };
enum {
    RATIO_MODELS_MAX = 256, // slots, as the metrics number models
    RATIO_PIECES = 28,      // of a window
    RATIO_PIECE_H = 6,
    RATIO_ANSWERS = 100,
};
// Of expected / settled. The bounds are those of the design; the inner ones, against flutter, are guessed, 2026-11.
#define RATIO_LOW 0.8
#define RATIO_HIGH 1.25
#define RATIO_LOW_CLEAR 0.85
#define RATIO_HIGH_CLEAR 1.18

struct ratio;
// `loops` that will count. RESULT_NOMEM.
enum result ratio_open(struct ratio **out, uint32_t loops) MERIT_NODISCARD;
void ratio_close(struct ratio *r); // NULL: no-op

// "usd", "joule", "token".
const char *ratio_unit_name(enum ratio_unit unit);

// On loop number `loop`. Negative amounts and models past RATIO_MODELS_MAX are not counted; amounts are held to 2^52.
void ratio_count(struct ratio *r, uint32_t loop, uint32_t model, enum ratio_unit unit,
                 int64_t expected, int64_t settled);

// --- control

void ratio_take(struct ratio *r, uint64_t mono_us);
struct ratio_view {
    double expected, settled; // sums, in the units' own integers
    uint64_t answers;
    double
        ratio; // expected / settled; HUGE_VAL when only something was expected; 1 when nothing was counted
    bool alarm;
};
struct ratio_view ratio_of(const struct ratio *r, uint32_t model, enum ratio_unit unit);
// False: no more.
bool ratio_event(struct ratio *r, uint32_t *model, enum ratio_unit *unit, struct ratio_view *out);

#endif
