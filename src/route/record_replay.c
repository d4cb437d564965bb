// Deciding again from a record.
#include "route/record.h"

#include <string.h>

// The rows that were seen, under their numbers.
static bool see_places(const struct decision *d, struct arena *arena, struct pool_view *out)
{
    uint32_t models = d->image->models.count, room = 0;
    for (uint32_t i = 0; i < d->places_count; i++) {
        uint32_t end = d->places[i].first + d->places[i].count;
        room = end > room ? end : room;
    }
    struct pool_place *places = ARENA_ARRAY(arena, struct pool_place, room + 1);
    uint32_t *first = ARENA_ARRAY(arena, uint32_t, models + 1);
    uint32_t *end = ARENA_ARRAY(arena, uint32_t, models + 1);
    if (!places || !first || !end)
        return false;
    for (uint32_t i = 0; i < d->places_count; i++) {
        const struct decision_places *p = &d->places[i];
        first[p->model] = p->first;
        end[p->model] = p->first + p->count;
        memcpy(places + p->first, p->rows, p->count * sizeof *places);
    }
    out->places = places;
    out->first = first;
    out->end = end;
    out->session_place = d->seen.session_place;
    out->session_model = d->seen.session_model;
    out->session_locked = d->seen.session_locked;
    out->session_tok = d->seen.session_tok;
    out->deadline_ms = d->seen.deadline_ms;
    out->seed = d->seen.seed;
    out->turn = d->seen.turn;
    out->region = d->seen.region;
    return true;
}

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
    work->stream = d->streams;
    work->input_tok = d->input_tok;
    work->anchor = WORK_NO_ANCHOR;
    struct pool_view pool = {.epoch = d->pool_epoch,
                             .states = d->pool_states,
                             .count = d->image->models.count,
                             .session_place = IMAGE_NONE,
                             .session_model = IMAGE_NONE};
    if (d->priced && d->places_count && !see_places(d, arena, &pool))
        return RESULT_NOMEM;
    const struct budget_view budgets = {.states = d->budgets, .count = d->image->constraints.count};
    const struct route_options options = {.given = d->facts,
                                          .observe = d->observed,
                                          .output_tok = d->expected_tok,
                                          .all_steps = d->all_steps,
                                          .budgets = d->budgets ? &budgets : NULL,
                                          .expected = d->lengths,
                                          .expected_count = d->lengths_count,
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
