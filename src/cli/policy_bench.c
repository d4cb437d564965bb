#include "cli/policy_bench.h"

#include <string.h>

#include "signal/registry.h"

enum result policy_bench_open(struct policy_bench *b, const struct policy_image *image,
                              const struct trunk_service *trunk, struct arena *arena,
                              struct diag_list *diags)
{
    memset(b, 0, sizeof *b);
    b->arena = arena;
    b->image = image;
    enum result r = decider_open_image(&b->decider, image, trunk, SLICE_EMPTY, diags);
    b->ready = !r;
    if (!r)
        r = plan_scratch_open(b->decider.plan, &b->scratch);
    if (!r) {
        r = theorem_open(&b->prover, image, &signal_registry, NULL, arena);
        b->proving = !r;
    }
    return r;
}

void policy_bench_close(struct policy_bench *b)
{
    if (b->proving)
        theorem_close(&b->prover);
    if (b->scratch)
        plan_scratch_close(b->scratch);
    if (b->ready)
        decider_close(&b->decider);
    memset(b, 0, sizeof *b);
}

static enum result make_work(struct slice user, struct arena *arena, struct work *w)
{
    struct buf body;
    struct openai_request request;
    struct openai_fault fault;
    memset(w, 0, sizeof *w);
    buf_init(&body, OPENAI_BODY_MAX);
    BUF_LIT(&body, "{\"messages\":[{\"role\":\"user\",\"content\":");
    json_write_string(&body, user);
    BUF_LIT(&body, "}]}");
    enum result r = buf_result(&body);
    struct slice kept = r ? SLICE_EMPTY : arena_copy(arena, buf_slice(&body));
    buf_deinit(&body);
    if (!r && !kept.ptr)
        r = RESULT_NOMEM;
    return r ? r : openai_request_parse(kept, arena, w, &request, &fault);
}

static enum result compute(struct policy_bench *b, const struct work *w, const struct fact *given,
                           struct arena *arena, struct fact *facts)
{
    const struct trunk_service *trunk = b->decider.trunk;
    struct plan_run *run = plan_begin(b->decider.plan, b->scratch, w, arena, NULL);
    if (!run)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < b->image->signals.count; i++) {
        if (given && given[i].state != FACT_UNKNOWN) {
            facts[i] = given[i];
            continue;
        }
        if (image_signal(b->image, (int32_t)i)->derive)
            continue;
        while (!plan_compute(run, (int32_t)i, &facts[i])) {
            if (trunk)
                trunk->answer(trunk->ctx, plan_asks(run), arena);
            plan_answer_all(run, RESULT_NOT_FOUND);
        }
    }
    return RESULT_OK;
}

enum result policy_bench_facts(struct policy_bench *b, struct slice user, const struct fact *given,
                               struct arena *arena, const struct fact **out)
{
    struct work w;
    struct fact *facts = ARENA_ARRAY(arena, struct fact, b->image->signals.count + 1);
    enum result r = facts ? make_work(user, arena, &w) : RESULT_NOMEM;
    if (!r)
        r = compute(b, &w, given, arena, facts);
    struct route_options options = {.given = facts};
    struct route_run run;
    if (!r)
        r = route_begin(&run, b->decider.table, &w, NULL, &options, arena);
    int32_t signal;
    // All that is computed is given, so that it asks for nothing; derived signals come out of it.
    while (!r && route_step(&run, &signal) == ROUTE_NEED)
        route_fail(&run, signal, FACT_ERROR_INPUT);
    for (uint32_t i = 0; i < b->image->signals.count && !r; i++)
        if (facts[i].state == FACT_UNKNOWN)
            facts[i] = run.decision->facts[i];
    *out = facts;
    return r;
}

enum result policy_bench_decide(struct policy_bench *b, struct slice user, const struct fact *given,
                                struct arena *arena, struct decision **out)
{
    struct work w;
    struct route_options options = {.given = given};
    enum result r = make_work(user, arena, &w);
    return r ? r : decider_run(&b->decider, b->scratch, &w, NULL, &options, NULL, arena, out);
}
