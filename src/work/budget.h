// What is left of the budgets that bear on one request: an immutable view that the ledger makes for one decision.
#ifndef MERIT_WORK_BUDGET_H
#define MERIT_WORK_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

// One per constraint of the image, in its order; those that are no budget over time, or not of this caller (it has no team,
// no session), are `open`.
struct budget_state {
    bool open;    // nothing is limited here
    int64_t left; // in the budget's unit: limit less settled less reserved; hard and paced
    double
        price_nusd; // shadow price of one unit (nano-USD, microjoule, microgram, ms, token, call, request); 0: none
    uint64_t renews_us; // wall time at which the window ends; 0: never
};

struct budget_view {
    uint64_t epoch;
    const struct budget_state *states; // NULL: no budget bears
    uint32_t count;
};

#endif
