// Dispatch: which action (model and effort) and which place, by the least total price.
//
// For each feasible action and each open place of its model
//
//   price = money + kwh * energy + kg * carbon                what it takes, marginal: the replica runs anyway
//         + sum over budgets of shadow price * expected use   what its use takes from others
//         + second * (queue + prefill + first + n_out * each)  what waiting is worth, and more beyond a deadline
//         + scorers                                            slots, KV cache, adapter, session, context, each with a weight
//
// in nano-USD. Under `minimise cost` the least price wins; under `minimise energy` money is left out and energy counts at
// the price of electricity; `maximise quality` and an order of the policy's come first, and the price decides among equals
// and, always, the place. Where nothing is known of places, budgets and speeds, the price is the cost alone, so that
// decisions without telemetry are those of the policy's objective.
//
// Pure, no allocation: 16 actions over 64 places take a few microseconds. Sources of the formulas beside each scorer
// (route/score_*.c).
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
    uint64_t
        closed; // bit per place of the model that is not open to this request, or was tried already
    struct estimate expect; // work/decision.h
    float quality;          // declared or learned; < 0: not known
};

struct dispatch_ask {
    const struct policy_image *image;
    const struct work *work;
    const struct pool_view *pool;      // NULL: nothing is known
    const struct budget_view *budgets; // NULL: none bears
    enum image_objective objective;
    const struct dispatch_action *actions; // in the policy's order
    uint32_t count;
};

// Fills `out` with the best place of every action, the best first, at most `most`; returns how many. An action whose model
// has no open place is left out when places are known.
uint32_t dispatch_choose(const struct dispatch_ask *ask, struct decision_option *out,
                         uint32_t most);

#endif
