#include "api/decider.h"

#include "policy/policy.h"
#include "proof/check.h"
#include "signal/doubt.h"
#include "signal/registry.h"

static enum result make_ready(struct decider *d, struct slice patterns, struct diag_list *diags)
{
    enum result r = plan_open(d->image, &signal_registry, d->trunk, patterns, diags, &d->plan);
    if (!r)
        r = route_costs_guess(d->image, d->plan, &d->arena, &d->costs);
    if (!r)
        r = route_table_open(d->image, &d->costs, &d->arena, &d->table);
    if (r)
        decider_close(d);
    return r;
}

static enum result prove(struct decider *d, const struct policy_places *places,
                         enum decider_proof proof, struct arena *work, struct diag_list *diags)
{
    struct proof_report report;
    const struct proof_options options = {
        .places = places, .registry = &signal_registry, .serving = proof == DECIDER_SERVED};
    enum result r = plan_doubts(d->plan, places, diags);
    if (!r)
        r = proof_check(d->image, &options, work, diags, &report);
    if (!r && diags->errors)
        r = RESULT_SYNTAX;
    if (r)
        decider_close(d);
    return r;
}

enum result decider_open(struct decider *d, struct slice text, const struct trunk_service *trunk,
                         enum decider_proof proof, struct diag_list *diags)
{
    return decider_open_priced(d, text, trunk, proof, NULL, diags);
}

enum result decider_open_priced(struct decider *d, struct slice text,
                                const struct trunk_service *trunk, enum decider_proof proof,
                                const struct price_list *prices, struct diag_list *diags)
{
    // Compiling and proving need far more memory than the result: they get an arena of their own, and only the image is
    // kept.
    struct arena work;
    const struct tree *tree;
    const struct policy_image *image = NULL;
    const struct policy_places *places;
    *d = (struct decider){.trunk = trunk};
    arena_init(&d->arena, 0, POLICY_ARENA_MAX);
    arena_init(&work, 64 * 1024, POLICY_ARENA_MAX);
    enum result r = policy_parse(text, &work, diags, &tree);
    if (tree) {
        enum result compiled =
            policy_compile_priced(tree, &signal_registry, prices, &work, diags, &image, &places);
        r = r ? r : compiled;
    }
    void *copy = r ? NULL : arena_alloc(&d->arena, image->size);
    if (copy)
        d->image = memcpy(copy, image, image->size);
    else if (!r)
        r = RESULT_NOMEM;
    if (r)
        arena_deinit(&d->arena);
    else
        r = make_ready(d, SLICE_EMPTY, diags);
    if (!r && proof != DECIDER_ANY)
        r = prove(d, places, proof, &work, diags);
    arena_deinit(&work);
    return r;
}

enum result decider_open_image(struct decider *d, const struct policy_image *image,
                               const struct trunk_service *trunk, struct slice patterns,
                               struct diag_list *diags)
{
    *d = (struct decider){.image = image, .trunk = trunk};
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

enum result decider_begin(const struct decider *d, struct plan_scratch *scratch,
                          const struct work *work, const struct pool_view *pool,
                          const struct route_options *options, const struct plan_clock *clock,
                          struct arena *arena, struct decider_job *job)
{
    *job = (struct decider_job){
        .decider = d, .scratch = scratch, .work = work, .clock = clock, .arena = arena};
    return route_begin(&job->run, d->table, work, pool, options, arena);
}

void decider_expire(struct decider_job *job)
{
    job->late = true;
    job->run.decision->late = true;
    if (job->signals)
        plan_answer_all(job->signals, RESULT_TIMEOUT);
}

static bool is_begun(const struct decider_job *job, int32_t signal)
{
    for (uint32_t i = 0; i < job->begun_count; i++)
        if (job->begun[i] == signal)
            return true;
    return false;
}

static bool compute(struct decider_job *job, int32_t signal)
{
    struct fact *fact = route_fact(&job->run, signal);
    if (plan_compute(job->signals, signal, fact)) {
        route_feed(&job->run, signal, fact);
        return true;
    }
    fact->state = FACT_UNKNOWN;
    return false;
}

// `signal` waits for an encoder. True when something else was learned meanwhile, so that it may not be wanted any more.
static bool use_the_wait(struct decider_job *job, int32_t signal)
{
    int32_t beside[ROUTE_BESIDE_MAX];
    bool learned = false;
    if (is_begun(job, signal))
        return false;
    uint32_t count = route_beside(&job->run, signal, beside);
    job->begun[0] = signal;
    job->begun_count = 1;
    for (uint32_t i = 0; i < count; i++) {
        if (compute(job, beside[i]))
            learned = true;
        else
            job->begun[job->begun_count++] = beside[i];
    }
    return learned;
}

// What was begun together and can be finished: those that ask for more wait until they are wanted.
static void finish_begun(struct decider_job *job)
{
    for (uint32_t i = 0; i < job->begun_count; i++)
        if (route_fact(&job->run, job->begun[i])->state == FACT_UNKNOWN)
            compute(job, job->begun[i]);
    job->begun_count = 0;
}

// RESULT_OK: the signal is known. RESULT_AGAIN, RESULT_NOMEM.
static enum result buy(struct decider_job *job, int32_t signal)
{
    if (job->late && plan_cost(job->decider->plan, signal) != SIGNAL_COST_FREE) {
        route_fail(&job->run, signal, FACT_ERROR_DEADLINE);
        return RESULT_OK;
    }
    if (!job->signals) {
        job->signals =
            plan_begin(job->decider->plan, job->scratch, job->work, job->arena, job->clock);
        if (!job->signals)
            return RESULT_NOMEM;
        if (job->sliced)
            plan_slice(job->signals);
    }
    if (compute(job, signal))
        return RESULT_OK;
    if (plan_waits(job->signals) && use_the_wait(job, signal))
        return RESULT_OK;
    return RESULT_AGAIN;
}

enum result decider_step(struct decider_job *job)
{
    const struct plan_clock *clock = job->clock;
    uint64_t begin = clock ? clock->now_ns(clock->ctx) : 0;
    enum result r = RESULT_OK;
    int32_t signal;
    if (job->signals && job->sliced)
        plan_slice(job->signals);
    if (job->begun_count && !plan_waits(job->signals))
        finish_begun(job);
    while (!r && route_step(&job->run, &signal) == ROUTE_NEED)
        r = buy(job, signal);
    job->spent_ns += clock ? clock->now_ns(clock->ctx) - begin : 0;
    job->run.decision->decide_ns =
        job->spent_ns > UINT32_MAX ? UINT32_MAX : (uint32_t)job->spent_ns;
    return r;
}

enum result decider_run(const struct decider *d, struct plan_scratch *scratch,
                        const struct work *work, const struct pool_view *pool,
                        const struct route_options *options, const struct plan_clock *clock,
                        struct arena *arena, struct decision **out)
{
    struct decider_job job;
    *out = NULL;
    enum result r = decider_begin(d, scratch, work, pool, options, clock, arena, &job);
    while (!r && (r = decider_step(&job)) == RESULT_AGAIN) {
        uint64_t begin = clock ? clock->now_ns(clock->ctx) : 0;
        if (d->trunk)
            d->trunk->answer(d->trunk->ctx, plan_asks(job.signals), arena);
        plan_answer_all(job.signals, RESULT_NOT_FOUND);
        job.spent_ns += clock ? clock->now_ns(clock->ctx) - begin : 0;
        r = RESULT_OK;
    }
    if (!r)
        *out = job.run.decision;
    return r;
}
