// Keeps a process's reckoning going (api/reckon.h): its ticks on the control loop, its news on standard error.
#ifndef MERIT_CLI_RECKONING_H
#define MERIT_CLI_RECKONING_H

#include "api/reckon.h"
#include "net/loop.h"

struct reckoning {
    struct reckon *reckon;
    // Private from here on.
    struct loop *loop;
    struct loop_timer timer;
    const struct metrics_names *names;
    const struct pool *pool; // of what is served
};

// RESULT_NOMEM.
enum result reckoning_open(struct reckoning *r, uint32_t loops, const struct metrics_names *names,
                           const struct meter_places *places) MERIT_NODISCARD;
// Begins to tick on the control loop.
void reckoning_start(struct reckoning *r, struct loop *loop);
// On the control thread, before the policy is served.
void reckoning_use(struct reckoning *r, const struct pool *pool); // stays until the next one

void reckoning_stop(struct reckoning *r); // before the loop is closed; also when it was not started
void reckoning_close(struct reckoning *r); // when no loop is at work any more
#endif
