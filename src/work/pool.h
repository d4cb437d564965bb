// The state of the pool that a decision may look at: an immutable epoch.
#ifndef MERIT_WORK_POOL_H
#define MERIT_WORK_POOL_H

#include <stdbool.h>
#include <stdint.h>

enum pool_model_state { POOL_MODEL_UP, POOL_MODEL_DOWN, POOL_MODEL_NO_KEY };

// One state per model of the policy image, in its order. `states` NULL means that all are up.
struct pool_view {
    uint64_t epoch;
    const uint8_t *states; // enum pool_model_state
    uint32_t count;
};

#endif
