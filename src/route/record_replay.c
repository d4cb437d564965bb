// Deciding again from a record.
#include "route/record.h"

#include <string.h>

enum result record_replay(const struct route_table *table, const struct decision *d,
                          struct arena *arena, struct decision **out)
{
    struct route_run run;
    struct work *work = ARENA_NEW(arena, struct work);
    int32_t signal;
    *out = NULL;
    if (!work)
        return RESULT_NOMEM;
    work->model_asked = d->model_asked;
    work->needs = d->needs;
    work->max_output_tok = d->max_output_tok;
    work->choices = d->choices;
    work->input_tok = d->input_tok;
    work->anchor = WORK_NO_ANCHOR;
    struct pool_view pool = {
        .epoch = d->pool_epoch, .states = d->pool_states, .count = d->image->models.count};
    const struct budget_view budgets = {.states = d->budgets, .count = d->image->constraints.count};
    const struct route_options options = {.given = d->facts,
                                          .budgets = d->budgets ? &budgets : NULL,
                                          .observe = d->observed,
                                          .output_tok = d->expected_tok,
                                          .all_steps = d->all_steps,
                                          .first_chain = d->first_chain,
                                          .spent = d->spent,
                                          .effort = d->effort_asked};
    enum result r = route_begin(&run, table, work, &pool, &options, arena);
    if (r)
        return r;
    if (route_step(&run, &signal) != ROUTE_DECIDED)
        return RESULT_SYNTAX;
    struct decision *again = run.decision;
    memcpy(again->id, d->id, sizeof again->id);
    again->wall_us = d->wall_us;
    again->decide_ns = d->decide_ns;
    again->late = d->late;
    again->anchor = d->anchor;
    again->message_count = d->message_count;
    // What was spared is known by the costs of that time only.
    again->costs_epoch = d->costs_epoch;
    again->avoided_ns = d->avoided_ns;
    *out = again;
    return RESULT_OK;
}
