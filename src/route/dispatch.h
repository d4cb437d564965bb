// Dispatch: which action (model and effort) and which place, by the least total price.
//
// For each feasible action and each open place of its model
//
//   price = money + kwh * energy + kg * carbon                what it takes, marginal: the replica runs anyway
//         + sum over budgets of shadow price * expected use   what its use takes from others
//         + second * (turn + prefill + first + n_out * each)  what waiting is worth, and more beyond a deadline
//         + scorers                                           slots, KV cache, adapter, session, context, each with a weight
//
// in nano-USD (route/score_*.c: one file per scorer, with formula and source). The best place of an action is the one of
// least price, whatever the objective. Actions are put in order by
//
//   1. the lock: while a call of a tool is outstanding, the session's model before all others
//   2. the objective: `maximise quality`, the order of the policy
//   3. the price; under `minimise energy` without the money, with energy at DISPATCH_KWH_NUSD when the policy states no price
//      of it
//
// What counts between actions under 3 is money, energy, carbon and budgets; seconds, slots, session and the rest count there
// only in a policy with a `dispatch` statement, which says what a second is worth: without one `minimise cost` does not take
// the dearer model because it is faster. A model that has no room at all is left out either way, so load overflows.
//
// Of places whose prices are equal but for less than they are known, two are drawn by the view's seed, and the one with fewer of
// Merit's own calls is taken: loops that decide at once on the same rows do not all go to the same place. The same ask gives the same answer, bit for bit in one build.
//
// Modes of `dispatch`: price; and as baselines least_request (Merit's own calls there, over the weight), power_of_two (the
// better of two drawn ones) and round_robin (by weight, by the view's turn). They choose the place only, and look at nothing
// else there.
//
// Pure, no allocation: 16 actions over 64 places take a few microseconds.
#ifndef MERIT_ROUTE_DISPATCH_H
#define MERIT_ROUTE_DISPATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "work/budget.h"
#include "work/decision.h"
#include "work/image.h"
#include "work/pool.h"
#include "work/work.h"

enum { DISPATCH_ACTIONS_MAX = 64 };

// What an action is expected to take, before it is known where.
struct dispatch_action {
    struct image_binding binding;
    uint32_t binding_at; // among the step's
    // Bit per place of the model that is not open to this request, or was tried already.
    uint64_t closed;
    struct estimate expect; // work/decision.h
    float quality;          // declared or learned; < 0: not known
};

struct dispatch_ask {
    const struct policy_image *image;
    const struct work *work;
    const struct pool_view *pool;      // NULL: nothing is known
    const struct budget_view *budgets; // NULL: none bears
    const uint64_t *holds;             // bit per constraint that holds; NULL: all do
    enum image_objective objective;
    const struct dispatch_action *actions; // in the policy's order
    uint32_t count;                        // at most DISPATCH_ACTIONS_MAX
};

// Price of electricity that `minimise energy` ranks by when the policy states none: 0.10 USD/kWh. Grade: guessed, 2026-11.
// Only its proportion to carbon, budgets and waiting matters.
enum { DISPATCH_KWH_NUSD = 100000000 };

// Fills `out` with the best place of every action, the best first, at most `most`; returns how many. An action whose model
// has no open place is left out when places are known (`dispatch_open` tells); option.place is the place's number in the view.
uint32_t dispatch_choose(const struct dispatch_ask *ask, struct decision_option *out,
                         uint32_t most);

// Bit per place of the model that may be given this request: in service, below the slots that its endpoint states, and the
// session's own where it is draining. 0 when the view knows no places of it.
uint64_t dispatch_open(const struct policy_image *image, const struct pool_view *pool,
                       int32_t model);

// What of an option's price counts between actions.
double dispatch_between(const struct policy_image *image, const struct decision_option *option);

// Whether seconds and slots count between actions (a `dispatch` statement).
static inline bool dispatch_timed(const struct policy_image *image)
{
    return image->dispatch.line > 0;
}

#endif
