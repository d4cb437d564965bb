// The feasible set: what the policy's constraints leave of a chain, as far as they are known. Private to route/.
//
// A chain is feasible when no constraint that holds forbids one of its steps or their sinks, its answer has passed each
// step that is required, what needs an `allow` is allowed, and each step that asks a model has one that can serve and that
// nothing removes (`fuse`: all of its models). A constraint is looked at only where it would make a difference, and only then its guard is open.
//
//   FORBID  removes a model (zone, below, model, effort, all of its endpoints) or closes a chain (step, sink, and the
//           zone of a sink). An endpoint is its URL, whichever models name it. Behind `redact(LEVEL)` text is labelled
//           at most LEVEL, so `forbid zone below` of a higher level is met there.
//   REQUIRE of `verify` wants one behind the last step that answers; of retrieve, redact and clarify one before the first.
//           What comes out of a cache has passed what stands before the cache. A model that the client names has passed
//           nothing.
//   ALLOW   allows as many on one chain as the greatest count of those that hold.
//   BUDGET  over time, `hard cheaper`, removes a model one attempt of which can take more than is left (MODEL_SPENT); a plain
//           hard one leaves the choice to the objective, and the reservation refuses.
//   BUDGET  (hard, per request) removes a model whose bound, together with the least that the chain's other steps can
//           cost, is above it; of `fuse` all models are counted, of time the longest.
#ifndef MERIT_ROUTE_FIT_H
#define MERIT_ROUTE_FIT_H

#include <stdbool.h>
#include <stdint.h>

#include "route/route.h"
#include "route/table.h"

// A chain under one route (NULL: the client named a model).
struct fit_ask {
    const struct image_route *route;
    const struct image_step *steps;
    uint32_t count;
    const struct image_binding *named; // the client's: stands for the bindings of the one step
};

// The chains of the decision's route, or the one of a model that the client named.
uint32_t fit_chains(const struct route_run *run);
void fit_ask_of(const struct route_run *run, uint32_t chain, struct fit_ask *ask);

// No step of it answers.
bool fit_refuses(const struct fit_ask *ask);

// What is known of a constraint.
enum tri fit_constraint(struct route_run *run, uint32_t constraint);

// TRI_TRUE: the chain is feasible and its set known; TRI_FALSE: it is not, `out` says why; TRI_UNKNOWN: run->open has the
// constraints whose guards can still change that. Fills the outcomes of the models that it asks for unless it is unknown.
enum tri fit_chain(struct route_run *run, const struct fit_ask *ask, struct chain_outcome *out);

// Chooses among the candidates of a feasible chain's first step that answers, and fills the decision: its options and what
// they rest on, too. In route/choose.c.
void fit_choose(struct route_run *run, const struct fit_ask *ask);
// Whether it is known which endpoints of all candidates are closed: TRI_UNKNOWN, and run->open has what can still change
// that. Only asked where places are known, because only then another place can make another model the best.
enum tri fit_places(struct route_run *run, const struct fit_ask *ask);

// The candidates of a step, and the first step that answers (or refuses; ask->count without one).
const struct image_binding *fit_bindings(const struct route_run *run, const struct fit_ask *ask,
                                         const struct image_step *s);
uint32_t fit_answers(const struct fit_ask *ask);
// Expected joules of a model by what the policy alone says; -1: not known.
int64_t fit_energy_uj(const struct route_run *run, int32_t model);

// Which endpoints of a model are closed: TRI_UNKNOWN, and run->open has what can still change that, or TRI_TRUE.
enum tri fit_endpoints(struct route_run *run, int32_t model, uint32_t *closed);

// Whether all budgets over time that bear on the caller are known to hold or not: a reservation asks all of them.
// TRI_UNKNOWN: run->open has the others.
enum tri fit_budgets(struct route_run *run);

// Whether the effort that the client asks for is forbidden: TRI_UNKNOWN, and run->open has what can still change that.
enum tri fit_asked_effort(struct route_run *run, bool *dropped);

// Of constraints that hold, a set that leaves none of the chains feasible while no member of it can be spared; into
// `core`. Everything that matters must be known.
void fit_core(struct route_run *run, uint64_t *core);

#endif
