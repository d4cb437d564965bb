// Keeps a process's reckoning going (api/reckon.h): its ticks on the control loop, its news on standard error.
#ifndef MERIT_CLI_RECKONING_H
#define MERIT_CLI_RECKONING_H

#include "api/reckon.h"
#include "net/dns.h"
#include "net/loop.h"
#include "net/tls.h"
#include "pool/carbon_feed.h"

struct reckoning {
    struct reckon *reckon;
    // Private from here on.
    struct loop *loop;
    struct loop_timer timer;
    const struct metrics_names *names;
    const struct pool *pool; // of what is served
    struct tls_context *tls; // of that, for feeds
    struct carbon_feeds *feeds;
};

// RESULT_NOMEM.
enum result reckoning_open(struct reckoning *r, uint32_t loops, const struct metrics_names *names,
                           const struct meter_places *places) MERIT_NODISCARD;
// Begins to tick on the control loop.
// ... and to ask feeds every `feed_ms`, whose figures count `stale_ms`.
void reckoning_start(struct reckoning *r, struct loop *loop, struct dns *dns, uint32_t feed_ms,
                     uint32_t stale_ms);
// On the control thread, before the policy is served.
void reckoning_use(struct reckoning *r, const struct pool *pool,
                   struct tls_context *tls); // they stay until the next ones

void reckoning_stop(struct reckoning *r); // before the loop is closed; also when it was not started
void reckoning_close(struct reckoning *r); // when no loop is at work any more
#endif
