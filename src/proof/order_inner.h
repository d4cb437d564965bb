// Inside of the order check: what its files share. For proof/order*.c only.
#ifndef MERIT_PROOF_ORDER_INNER_H
#define MERIT_PROOF_ORDER_INNER_H

#include "base/vec.h"
#include "proof/order.h"

struct order {
    struct space *s;
    uint32_t image;
    const struct policy_image *p;
    struct arena *arena;
    struct order_report *out;
    uint32_t count; // routes
    struct order_route *routes;
    uint32_t *guards;  // formulas
    uint32_t *effects; // routes of one class end a request in the same way
    uint32_t *claims;  // scratch: count + 2
    uint32_t words;
    uint64_t *left; // drawn requests that no route so far takes
    uint32_t *
        *chains; // per effect: per route "the first from here on that holds has another effect"
    uint32_t chained;
    uint64_t effect_steps; // propagations spent on finding redundant routes
    uint64_t pairs;        // asked of the solver
    uint64_t pair_steps;   // its propagations before
    VEC(struct order_idle) idle;
    enum result err;
};

// A question that counts as one of the report's; `single`: about one route.
enum sat_answer order_ask(struct order *o, const uint32_t *claims, uint32_t count, unsigned flags,
                          bool single);
// Counts a question that was answered without asking.
void order_count(struct order *o, bool decided, bool single);

// order_effect.c
bool order_effects(struct order *o);
// order_pairs.c
void order_overlaps(struct order *o);
// order_conditions.c
void order_conditions(struct order *o);

#endif
