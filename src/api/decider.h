// A policy made ready to decide: for the server, libmerit, `merit route` and tests.
//
// Opened once from the text; immutable afterwards and shared by threads, each with a plan_scratch of its own.
#ifndef MERIT_API_DECIDER_H
#define MERIT_API_DECIDER_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/diag.h"
#include "base/result.h"
#include "base/slice.h"
#include "route/route.h"
#include "signal/plan.h"
#include "work/decision.h"

struct decider {
    struct arena arena;
    const struct policy_image *image;
    struct plan *plan;
    struct route_costs costs;
    const struct route_table *table;
};

// `text` need not outlive the call. Findings go to `diags`, whose spans are of `text`. RESULT_SYNTAX, RESULT_LIMIT,
// RESULT_NOMEM; nothing is left open then.
enum result decider_open(struct decider *d, struct slice text,
                         struct diag_list *diags) MERIT_NODISCARD;
// The same from an image that was compiled before and outlives the decider. `patterns` as for plan_open.
enum result decider_open_image(struct decider *d, const struct policy_image *image,
                               struct slice patterns, struct diag_list *diags) MERIT_NODISCARD;
// No-op on one that is not open (all zero).
void decider_close(struct decider *d);

// Decides on one piece of work. `clock` may be NULL: costs and decide_ns stay 0. The decision lies in `arena`; its id
// and time are the caller's to set. RESULT_NOMEM.
enum result decider_run(const struct decider *d, struct plan_scratch *scratch,
                        const struct work *work, const struct pool_view *pool,
                        const struct route_options *options, const struct plan_clock *clock,
                        struct arena *arena, struct decision **out) MERIT_NODISCARD;

#endif
