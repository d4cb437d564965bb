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
#include "work/trunk.h"

struct decider {
    struct arena arena;
    const struct policy_image *image;
    const struct trunk_service *trunk; // NULL: no encoder
    struct plan *plan;
    struct route_costs costs;
    const struct route_table *table;
};

struct price_list; // policy/price_list.h

// What must hold of a policy beside its form before it decides.
enum decider_proof {
    DECIDER_ANY,    // nothing: for whoever asks what a policy does, whatever is wrong with it
    DECIDER_PROVED, // proof/check.h finds no error
    DECIDER_SERVED, // ... and this build's server can run all that can be reached
};

// `text` need not outlive the call, `trunk` (may be NULL) outlives the decider. Findings go to `diags`, whose spans are of `text`. RESULT_SYNTAX, RESULT_LIMIT,
// RESULT_NOMEM; nothing is left open then.
enum result decider_open(struct decider *d, struct slice text, const struct trunk_service *trunk,
                         enum decider_proof proof, struct diag_list *diags) MERIT_NODISCARD;
// The same, with the list that `price listed` looks at (NULL: the built-in one), which need not outlive the call.
enum result decider_open_priced(struct decider *d, struct slice text,
                                const struct trunk_service *trunk, enum decider_proof proof,
                                const struct price_list *prices,
                                struct diag_list *diags) MERIT_NODISCARD;
// The same from an image that was compiled and proved before and outlives the decider. `patterns` as for plan_open.
enum result decider_open_image(struct decider *d, const struct policy_image *image,
                               const struct trunk_service *trunk, struct slice patterns,
                               struct diag_list *diags) MERIT_NODISCARD;
// No-op on one that is not open (all zero).
void decider_close(struct decider *d);

// Deciding in steps, for a caller that must not wait while an encoder reads:
//
//   decider_begin(d, ..., &job)
//   while (decider_step(&job) == RESULT_AGAIN)
//       have plan_asks(job.signals) answered, on another thread; what stays open: plan_answer_all
//       nothing to do when it is `sliced` and !plan_waits(job.signals): it only lets others have their turn
//   job.run.decision
//
// When a signal makes it wait, others that are cheap against the wait are computed in the same step, first (route_beside).
// Past a deadline of the caller's, decider_expire: what waits for an encoder goes on without its answer, what was not begun
// fails with FACT_ERROR_DEADLINE, and on_error decides. Only what is read off the request (SIGNAL_COST_FREE) is still
// taken: it needs no time.
//
// A job is plain memory and needs no closing; everything it names must live until it is done.
struct decider_job {
    struct route_run run;
    struct plan_run *signals; // NULL before the first signal
    const struct decider *decider;
    struct plan_scratch *scratch;
    const struct work *work;
    const struct plan_clock *clock;
    struct arena *arena;
    uint64_t spent_ns;
    bool late;
    int32_t begun[1 + ROUTE_BESIDE_MAX]; // signals that wait for an encoder
    uint32_t begun_count;
    bool sliced; // set by the caller: no step takes more than a few milliseconds (plan_slice)
};
enum result decider_begin(const struct decider *d, struct plan_scratch *scratch,
                          const struct work *work, const struct pool_view *pool,
                          const struct route_options *options, const struct plan_clock *clock,
                          struct arena *arena, struct decider_job *job) MERIT_NODISCARD;
// RESULT_OK: decided. RESULT_AGAIN, RESULT_NOMEM.
enum result decider_step(struct decider_job *job) MERIT_NODISCARD;

// The deadline has passed: the next decider_step decides. The decision is marked (decision.late).
void decider_expire(struct decider_job *job);

// Decides on one piece of work at once; waits for the encoder where one is needed. `clock` may be NULL: costs and decide_ns stay 0. The decision lies in `arena`; its id
// and time are the caller's to set. RESULT_NOMEM.
enum result decider_run(const struct decider *d, struct plan_scratch *scratch,
                        const struct work *work, const struct pool_view *pool,
                        const struct route_options *options, const struct plan_clock *clock,
                        struct arena *arena, struct decision **out) MERIT_NODISCARD;

#endif
