#include "api/decider.h"

#include "policy/policy.h"
#include "signal/registry.h"

static enum result make_ready(struct decider *d, struct slice patterns, struct diag_list *diags)
{
    enum result r = plan_open(d->image, &signal_registry, patterns, diags, &d->plan);
    if (!r)
        r = route_costs_guess(d->image, d->plan, &d->arena, &d->costs);
    if (!r)
        r = route_table_open(d->image, &d->costs, &d->arena, &d->table);
    if (r)
        decider_close(d);
    return r;
}

enum result decider_open(struct decider *d, struct slice text, struct diag_list *diags)
{
    // Compiling needs far more memory than its result: it gets an arena of its own, and only the image is kept.
    struct arena work;
    const struct policy_image *image;
    *d = (struct decider){.image = NULL};
    arena_init(&d->arena, 0, POLICY_ARENA_MAX);
    arena_init(&work, 64 * 1024, POLICY_ARENA_MAX);
    enum result r = policy_load(text, &signal_registry, &work, diags, &image);
    void *copy = r ? NULL : arena_alloc(&d->arena, image->size);
    if (copy)
        d->image = memcpy(copy, image, image->size);
    else if (!r)
        r = RESULT_NOMEM;
    arena_deinit(&work);
    return r ? r : make_ready(d, SLICE_EMPTY, diags);
}

enum result decider_open_image(struct decider *d, const struct policy_image *image,
                               struct slice patterns, struct diag_list *diags)
{
    *d = (struct decider){.image = image};
    arena_init(&d->arena, 0, POLICY_ARENA_MAX);
    return make_ready(d, patterns, diags);
}

void decider_close(struct decider *d)
{
    if (d->plan)
        plan_close(d->plan);
    d->plan = NULL;
    arena_deinit(&d->arena);
}

enum result decider_run(const struct decider *d, struct plan_scratch *scratch,
                        const struct work *work, const struct pool_view *pool,
                        const struct route_options *options, const struct plan_clock *clock,
                        struct arena *arena, struct decision **out)
{
    struct route_run run;
    int32_t signal;
    *out = NULL;
    uint64_t begin = clock ? clock->now_ns(clock->ctx) : 0;
    enum result r = route_begin(&run, d->table, work, pool, options, arena);
    if (r)
        return r;
    struct plan_run *signals = NULL;
    while (route_step(&run, &signal) == ROUTE_NEED) {
        if (!signals)
            signals = plan_begin(d->plan, scratch, work, arena, clock);
        if (!signals)
            return RESULT_NOMEM;
        struct fact *fact = route_fact(&run, signal);
        plan_compute(signals, signal, fact);
        route_feed(&run, signal, fact);
    }
    uint64_t took = clock ? clock->now_ns(clock->ctx) - begin : 0;
    run.decision->decide_ns = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
    *out = run.decision;
    return RESULT_OK;
}
