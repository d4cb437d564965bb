#include "cli/reckoning.h"

#include <stdio.h>

#include "base/clock.h"

static void say(void *ctx, struct slice line)
{
    (void)ctx;
    fprintf(stderr, "merit: %.*s\n", SLICE_FMT(line));
}

static void on_due(struct loop_timer *t)
{
    struct reckoning *r = MERIT_CONTAINER(t, struct reckoning, timer);
    reckon_tick(r->reckon, r->names, clock_mono_us(&clock_system), clock_wall_us(&clock_system),
                say, NULL);
    if (r->pool)
        reckon_places(r->reckon, r->pool, clock_mono_us(&clock_system));
    loop_timer_set(r->loop, t, reckon_every_ms(r->reckon));
}

enum result reckoning_open(struct reckoning *r, uint32_t loops, const struct metrics_names *names,
                           const struct meter_places *places)
{
    r->names = names;
    r->timer.on_due = on_due;
    return reckon_open(&r->reckon, loops, places);
}

void reckoning_start(struct reckoning *r, struct loop *loop, struct dns *dns, uint32_t feed_ms,
                     uint32_t stale_ms)
{
    const struct carbon_feeds_options options = {.loop = loop,
                                                 .dns = dns,
                                                 .carbon = reckon_carbon(r->reckon),
                                                 .every_ms = feed_ms,
                                                 .say = say};
    r->loop = loop;
    carbon_stale_after(options.carbon, stale_ms);
    if (carbon_feeds_open(&r->feeds, &options))
        fprintf(stderr, "merit: no memory to ask feeds of carbon\n");
    else
        carbon_feeds_use(r->feeds, r->tls);
    loop_timer_set(loop, &r->timer, reckon_every_ms(r->reckon));
}

void reckoning_use(struct reckoning *r, const struct pool *pool, struct tls_context *tls)
{
    if (!r->reckon)
        return;
    enum result result = reckon_use(r->reckon, pool->image, clock_mono_us(&clock_system),
                                    clock_wall_us(&clock_system));
    if (result)
        fprintf(stderr, "merit: some meters or files of carbon are left out: %s\n",
                result == RESULT_LIMIT ? "there are too many" : result_name(result));
    r->pool = pool;
    r->tls = tls;
    if (r->feeds)
        carbon_feeds_use(r->feeds, tls);
    reckon_places(r->reckon, pool, clock_mono_us(&clock_system));
    if (r->loop)
        loop_timer_set(r->loop, &r->timer, reckon_every_ms(r->reckon));
}

void reckoning_stop(struct reckoning *r)
{
    if (r->loop)
        loop_timer_cancel(r->loop, &r->timer);
    carbon_feeds_close(r->feeds);
    r->feeds = NULL;
    r->loop = NULL;
    r->pool = NULL;
}

void reckoning_close(struct reckoning *r)
{
    reckon_close(r->reckon);
    r->reckon = NULL;
}
