// Deciding: from one piece of work under one policy to a route, a model and the reasons.
//
// A resumable pure function. Knowledge of the policy's questions (atoms) is three-valued; a run asks for the signal
// that costs least per probability of settling the first undecided route (route/buy.h), is fed its fact, and stops when nothing can change
// the outcome any more:
//
//   route_table_open(image, costs, arena, &table)                  once per policy
//   route_begin(&run, table, work, pool, options, arena)           once per piece of work
//   while (route_step(&run, &signal) == ROUTE_NEED) {
//       plan_compute(signals, signal, route_fact(&run, signal));   or a failure, or a deadline
//       route_feed(&run, signal, route_fact(&run, signal));
//   }
//   run.decision                                                   whole, and never changed by route/ again
//
// Whatever the order in which signals are bought, route, model and the verdicts on models are the same as if all of
// them had been computed first, as long as the same signals have the same values.
//
// Pure: no I/O, no clock, no globals; memory only from the arena, all of it in route_begin, so that a step cannot fail.
// A table is immutable and may be shared by threads; a run belongs to one.
#ifndef MERIT_ROUTE_ROUTE_H
#define MERIT_ROUTE_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "route/costs.h"
#include "work/budget.h"
#include "work/decision.h"
#include "work/fact.h"
#include "work/image.h"
#include "work/pool.h"
#include "work/work.h"

enum {
    ROUTE_GUARD_DEPTH_MAX = 256,
    ROUTE_ENDPOINTS_MAX = 32, // of one model, where a constraint is about an endpoint
};

// The policy's guards made ready for evaluation. Image, costs and arena must outlive it.
// RESULT_SYNTAX (an index or a guard out of shape), RESULT_DEPTH, RESULT_LIMIT, RESULT_NOMEM.
struct lengths_epoch;
struct route_table;
enum result route_table_open(const struct policy_image *image, const struct route_costs *costs,
                             struct arena *arena, const struct route_table **out) MERIT_NODISCARD;

struct route_options {
    // One per signal of the image, or NULL. Those that are not FACT_UNKNOWN are taken as they are and not computed:
    // `--given`, tests, replay of a record.
    const struct fact *given;
    struct slice model;              // asked for instead of work->model_asked; empty: that one
    bool observe;                    // marks the decision; it is made all the same
    const struct route_costs *costs; // an epoch of measured costs instead of the table's, or NULL
    uint32_t output_tok; // tokens of output to expect instead of the rule (route/estimate.h), or 0
    const struct budget_view *budgets;   // NULL: none bears
    const struct lengths_epoch *lengths; // what output lengths were seen (route/lengths.h), or NULL
    // Lengths that another decision expected, instead: for deciding again from its record.
    const struct decision_length *expected;
    uint32_t expected_count;
    // Options have whole estimates (energy, carbon, intervals) also where nothing is known of places.
    bool estimates;
    // Chains with steps that this build cannot run are decided as if it could, rather than passed over: for whoever asks
    // what a policy does.
    bool all_steps;
    // The request goes on after a failure: chains before this one are out, and attempts may have taken so much (per enum
    // image_unit; NULL: nothing).
    uint32_t first_chain;
    const int64_t *spent;
    enum image_effort
        effort; // that the client asks for; it counts where the policy leaves the effort open
};

enum route_status { ROUTE_NEED, ROUTE_DECIDED };

struct route_run {
    struct decision *decision; // in the arena; id, wall_us and decide_ns are the caller's to set
    // Private from here on.
    const struct route_table *table;
    const struct work *work;
    uint8_t *states; // of the models, as the pool was seen
    const struct route_costs *costs;
    uint64_t *known, *value;      // bitsets over atoms; value is a subset of known
    struct derive_state *derived; // route/derive.h
    uint64_t *dirty, *seen;       // scratch of derive
    uint64_t *constraints_known, *constraints_hold; // bitsets over constraints
    uint64_t *open, *spare;                         // scratch of fit, the same
    const struct pool_view *pool;
    const struct budget_view *budgets;
    const struct lengths_epoch *lengths;
    const struct decision_length *expected;
    uint32_t expected_count;
    // Room for what a choice keeps: options, places, their rows, budgets, lengths.
    struct decision_option *options;
    struct decision_places *places;
    struct pool_place *rows;
    uint32_t rows_room;
    uint32_t *kept_first, *kept_end; // per model, into `rows`
    bool rows_kept;                  // the rows of the first look stay
    bool no_room;                    // no place has; they do not count any more
    struct budget_state *budgets_seen;
    struct decision_length *lengths_seen;
    const uint64_t *spared;     // constraints that are taken for not there; NULL: none
    uint64_t *fits;             // bit per binding of the step that answers: the feasible set
    struct image_binding named; // by the client
    uint64_t added_tok;         // what retrieval adds on the chain that is looked at
    uint32_t next_chain;        // the first one not settled
    uint32_t taken_in;          // signals whose facts are there
    uint64_t *core;
    size_t cleared; // bytes of the block that begin as zero
    enum image_effort asked_effort;
    bool matched, noting, all_steps, estimates;
    uint32_t next_route;  // the first one not settled
    uint32_t output_tok;  // expectation, 0: by rule
    uint32_t groups_paid; // bit per group
    uint32_t length;      // class of the anchored text's length (route/costs.h)
    uint16_t bought;      // purchases so far
    int32_t asked;        // the signal of the last ROUTE_NEED, or IMAGE_NONE
    bool decided;
};

// `work`, `pool` and what `options` (NULL: none) points to must live until the run is decided; the image and `work` as long as the
// decision is read. `pool` NULL: everything is up. RESULT_NOMEM.
enum result route_begin(struct route_run *run, const struct route_table *table,
                        const struct work *work, const struct pool_view *pool,
                        const struct route_options *options, struct arena *arena) MERIT_NODISCARD;
// ROUTE_NEED: `*signal` is to be fed; asking again gives the same one. ROUTE_DECIDED: the decision is whole.
enum route_status route_step(struct route_run *run, int32_t *signal);
// After ROUTE_NEED, when `signal` makes the caller wait (an encoder's pass): further signals of the first undecided
// routes that are cheap against that wait, or heads of the same pass. To be computed and fed in the same step, before the
// waiting begins: they may settle what would be waited for. Returns how many; their number is ROUTE_BESIDE_MAX at most.
enum { ROUTE_BESIDE_MAX = 8, ROUTE_BESIDE_ROUTES = 4 };
uint32_t route_beside(struct route_run *run, int32_t signal, int32_t out[ROUTE_BESIDE_MAX]);
// The place of a signal's fact in the decision, to be computed in place.
struct fact *route_fact(struct route_run *run, int32_t signal);
// Takes in a fact of any state but FACT_UNKNOWN, of this or any other signal that is not known yet; copied unless it
// stands in its place already. Not after ROUTE_DECIDED.
void route_feed(struct route_run *run, int32_t signal, const struct fact *fact);
// Feeds the definition's on_error with the reason.
void route_fail(struct route_run *run, int32_t signal, enum fact_error why);

// What became of a route, and the question that refuted it.
struct route_outcome route_outcome(const struct decision *d, uint32_t route);

// Whether bytes that no signal has read may go to a model: no FORBID without a guard removes it. `closed` has a bit per
// endpoint that is closed to them, `constraint` what is in the way.
bool route_may_pass(const struct route_table *table, int32_t model, uint32_t *closed,
                    int32_t *constraint);

// The fact of a signal that could not be computed: its definition's on_error, for a label the level that it is raised to.
void route_failed_fact(const struct policy_image *image, int32_t signal, enum fact_error why,
                       struct fact *out);

// Whether an atom holds for a fact.
bool route_atom_holds(const struct policy_image *image, const struct image_atom *atom,
                      const struct fact *fact);

#endif
