// What may follow when an attempt at what was decided has failed.
//
// Only what the decision found feasible, and only what is known to be: a constraint that nobody needed to know counts as if
// it held. What attempts may have taken so far counts against every hard budget per request that may hold and every
// proved cost of the policy (`prove ... costs <= x`), so that both stay true of a request that went from model to model.
//
// Pure; the run is the one that decided, and is not changed but for what it learns of constraints.
#ifndef MERIT_ROUTE_AFTER_H
#define MERIT_ROUTE_AFTER_H

#include <stdbool.h>
#include <stdint.h>

#include "route/route.h"

enum { AFTER_UNITS = IMAGE_UNIT_REQUESTS + 1 };

// The most that the attempts so far can have taken, per enum image_unit; saturates. Milliseconds are those that passed:
// the caller sets them in both.
struct after_spent {
    int64_t unit[AFTER_UNITS];   // by the request's own length: what budgets are held to
    int64_t window[AFTER_UNITS]; // by the model's window: what is proved
};

// An attempt that may have been worked on has been made.
void after_spend(struct after_spent *spent, const struct route_run *run, int32_t model);

// How an option of the decision is to be asked. Option 0 is what was chosen.
struct after_terms {
    struct image_binding binding;
    uint64_t closed;         // bit per endpoint of the model
    uint32_t output_cap_tok; // 0: the request's own
    uint32_t timeout_ms;     // 0: none
    uint32_t copies;         // that may be sent when it is slow
    bool effort_dropped;
};

// The decision's own options, or where it lists none what is feasible, in the policy's order.
uint32_t after_options(const struct route_run *run);
void after_terms(struct route_run *run, uint32_t option, struct after_terms *out);
// Whether one more attempt, with `model`, stays within what is promised whatever happens.
bool after_may(struct route_run *run, const struct after_spent *spent, int32_t model);

#endif
