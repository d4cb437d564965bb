// Choosing among what is feasible: by the objective alone where nothing else is known, by dispatch where something is.
#include <math.h>
#include <string.h>

#include "base/compiler.h"
#include "route/dispatch.h"
#include "route/energy.h"
#include "route/estimate.h"
#include "route/fit.h"
#include "route/lengths.h"
#include "route/price.h"

struct choice {
    struct route_run *run;
    const struct fit_ask *ask;
    const struct image_step *step;
    const struct image_binding *bindings;
    // Places of feasible bindings among the step's, best first by the objective; those behind the last do not matter.
    uint32_t order[DISPATCH_ACTIONS_MAX];
    uint32_t count;
    struct lengths_task task;
};

static enum image_objective objective_of(const struct fit_ask *ask)
{
    return ask->route ? ask->route->objective : IMAGE_OBJECTIVE_ORDER;
}

// True when `b` is strictly better than `a` under the route's objective; `*loser` is the verdict on the other one.
static bool better(const struct route_run *run, enum image_objective objective, int32_t a,
                   int32_t b, enum model_verdict *loser)
{
    const struct model_outcome *o = run->decision->model_outcomes;
    *loser = MODEL_LATER;
    if (objective == IMAGE_OBJECTIVE_COST && o[a].cost_nusd != o[b].cost_nusd) {
        *loser = MODEL_DEARER;
        return o[b].cost_nusd < o[a].cost_nusd;
    }
    if (objective == IMAGE_OBJECTIVE_ENERGY) {
        int64_t ea = fit_energy_uj(run, a), eb = fit_energy_uj(run, b);
        if (ea != eb)
            *loser = MODEL_HUNGRIER;
        return eb < ea;
    }
    if (objective == IMAGE_OBJECTIVE_QUALITY) {
        float qa = image_model(run->table->image, a)->quality,
              qb = image_model(run->table->image, b)->quality;
        if (qa != qb)
            *loser = MODEL_LOWER_QUALITY;
        return qb > qa;
    }
    return false;
}

static void put_in_order(struct choice *c)
{
    enum model_verdict loser;
    enum image_objective objective = objective_of(c->ask);
    c->count = 0;
    for (uint32_t i = 0; i < c->step->bindings.count; i++) {
        if (!table_bit(c->run->fits, i))
            continue;
        uint32_t at = c->count;
        while (at > 0 && better(c->run, objective, c->bindings[c->order[at - 1]].model,
                                c->bindings[i].model, &loser))
            at--;
        if (at == DISPATCH_ACTIONS_MAX)
            continue;
        c->count += c->count < DISPATCH_ACTIONS_MAX;
        memmove(&c->order[at + 1], &c->order[at], (c->count - 1 - at) * sizeof *c->order);
        c->order[at] = i;
    }
}

// ---- what each is expected to take

static const struct image_zone *zone_of(const struct policy_image *p, const struct image_model *m)
{
    return m->zone >= 0 ? IMAGE_AT(p, p->zones, struct image_zone) + m->zone : NULL;
}

static void keep_length(struct route_run *run, uint32_t binding_at, const struct price_length *l)
{
    struct decision *d = run->decision;
    run->lengths_seen[d->lengths_count++] =
        (struct decision_length){binding_at, (uint32_t)l->input_tok, (uint32_t)l->output_tok,
                                 (uint32_t)l->low_tok, (uint32_t)l->high_tok};
    d->lengths = run->lengths_seen;
}

// Of a record: what it expected then.
static bool recorded_length(const struct route_run *run, uint32_t binding_at,
                            struct price_length *out)
{
    for (uint32_t i = 0; i < run->expected_count; i++) {
        const struct decision_length *l = &run->expected[i];
        if (l->binding_at == binding_at) {
            *out = (struct price_length){.input_tok = l->input_tok,
                                         .output_tok = l->output_tok,
                                         .low_tok = l->low_tok,
                                         .high_tok = l->high_tok};
            return true;
        }
    }
    return false;
}

static void length_of(struct choice *c, uint32_t binding_at, struct price_length *out)
{
    struct route_run *run = c->run;
    const struct image_binding *b = &c->bindings[binding_at];
    const struct image_model *m = image_model(run->table->image, b->model);
    struct lengths_expect e;
    if (!run->lengths && !run->expected) {
        uint32_t tok = estimate_output_tok(run->work, m, run->output_tok);
        *out = (struct price_length){
            .input_tok = run->work->input_tok, .output_tok = tok, .low_tok = tok, .high_tok = tok};
        return;
    }
    if (!recorded_length(run, binding_at, out)) {
        uint64_t name = lengths_name(image_text(run->table->image, m->name));
        lengths_expect(run->lengths, name, b->effort, &c->task,
                       estimate_output_most_tok(run->work, m, c->step), &e);
        *out = (struct price_length){
            .input_tok = lengths_input(run->lengths, name, run->work->input_tok).expected_tok,
            .output_tok = (uint64_t)(e.mean_tok + 0.5F),
            .low_tok = e.low_tok,
            .high_tok = e.high_tok};
    }
    keep_length(run, binding_at, out);
}

// By what the policy says; where it goes is not known yet.
static void expect(struct choice *c, uint32_t binding_at, bool whole, struct estimate *out)
{
    const struct policy_image *p = c->run->table->image;
    int32_t model = c->bindings[binding_at].model;
    struct price_length l;
    length_of(c, binding_at, &l);
    if (whole) {
        const struct image_model *m = image_model(p, model);
        price_expect(m, zone_of(p, m), &l, &PRICE_HERE_UNKNOWN, out);
        return;
    }
    int64_t cost = c->run->decision->model_outcomes[model].cost_nusd;
    *out = (struct estimate){.input_tok = (uint32_t)l.input_tok,
                             .output_tok = (uint32_t)l.output_tok,
                             .output_low_tok = (uint32_t)l.low_tok,
                             .output_high_tok = (uint32_t)l.high_tok,
                             .cost_nusd = cost,
                             .cost_low_nusd = cost,
                             .cost_high_nusd = cost,
                             .energy_uj = -1,
                             .energy_low_uj = -1,
                             .energy_high_uj = -1,
                             .marginal_uj = -1,
                             .carbon_ug = -1};
}

// ---- what is seen

static bool knows_places(const struct route_run *run)
{
    return run->rows_room > 0 && !run->no_room;
}

// To thousandths below 4096 and whole numbers above: exact in a record, and as good as anybody knows it. < 0: not known.
static float rounded(float v)
{
    if (!(v >= 0))
        return -1;
    return v < 4096 ? (float)(rint((double)v * 1000) / 1000) : v < 1e15F ? rintf(v) : 1e15F;
}

static void round_row(struct pool_place *r)
{
    float *const all[] = {&r->queue,       &r->running,    &r->kv_use,       &r->prefill_tok_s,
                          &r->first_ms,    &r->each_ms,    &r->carbon_g_kwh, &r->weight,
                          &r->slot_nusd_s, &r->drain_tok_s};
    for (unsigned i = 0; i < MERIT_COUNT(all); i++)
        *all[i] = rounded(*all[i]);
}

// The rows of the candidates, as they are now: the loop's own move on while a request waits for an encoder, and the record
// has to tell what was decided on.
static void keep_places(struct choice *c)
{
    struct route_run *run = c->run;
    struct decision *d = run->decision;
    const struct pool_view *v = run->pool;
    uint32_t used = 0;
    if (run->rows_kept)
        return;
    run->rows_kept = true;
    d->places = run->places;
    for (uint32_t i = 0; i < c->count; i++) {
        int32_t model = c->bindings[c->order[i]].model;
        bool again = (uint32_t)model >= v->count;
        for (uint32_t k = 0; k < d->places_count && !again; k++)
            again = run->places[k].model == model;
        if (again)
            continue;
        uint32_t first = v->first[model],
                 n = (v->end ? v->end[model] : v->first[model + 1]) - first;
        n = n < run->rows_room - used ? n : run->rows_room - used;
        n = n < POOL_PLACES_PER_MODEL_MAX ? n : POOL_PLACES_PER_MODEL_MAX;
        struct pool_place *rows = run->rows + used;
        memcpy(rows, v->places + first, n * sizeof *rows);
        for (uint32_t k = 0; k < n; k++) {
            if (v->prefix_tok)
                rows[k].prefix_tok = v->prefix_tok[first + k];
            round_row(&rows[k]);
        }
        run->places[d->places_count++] = (struct decision_places){model, first, n, rows};
        used += n;
    }
    d->seen = (struct decision_seen){.session_place = v->session_place,
                                     .session_model = v->session_model,
                                     .session_locked = v->session_locked,
                                     .session_tok = v->session_tok,
                                     .deadline_ms = v->deadline_ms,
                                     .seed = v->seed,
                                     .turn = v->turn,
                                     .region = v->region};
}

static const struct decision_places *places_of(const struct decision *d, int32_t model)
{
    for (uint32_t i = 0; i < d->places_count; i++)
        if (d->places[i].model == model)
            return &d->places[i];
    return NULL;
}

static bool budgets_priced(const struct route_run *run)
{
    const struct budget_state *b = run->decision->budgets;
    for (uint32_t i = 0; b && i < run->table->image->constraints.count; i++)
        if (!b[i].open && b[i].price_nusd > 0)
            return true;
    return false;
}

enum tri fit_places(struct route_run *run, const struct fit_ask *ask)
{
    uint32_t at = fit_answers(ask), closed;
    if (!run->table->endpoints_forbidden || !knows_places(run) || at == ask->count ||
        ask->steps[at].kind == IMAGE_STEP_REFUSE)
        return TRI_TRUE;
    const struct image_step *s = &ask->steps[at];
    const struct image_binding *b = fit_bindings(run, ask, s);
    for (uint32_t i = 0; i < s->bindings.count; i++)
        if (table_bit(run->fits, i) && fit_endpoints(run, b[i].model, &closed) == TRI_UNKNOWN)
            return TRI_UNKNOWN;
    return TRI_TRUE;
}

// Whether a row's endpoint is one of those that are closed; an endpoint is its URL.
static bool is_closed(const struct policy_image *p, const struct image_model *m, uint32_t closed,
                      int32_t endpoint)
{
    const struct image_endpoint *own = IMAGE_AT(p, m->endpoints, struct image_endpoint);
    if (endpoint < 0 || (uint32_t)endpoint >= p->endpoints.count)
        return false;
    struct slice url =
        image_text(p, IMAGE_AT(p, p->endpoints, struct image_endpoint)[endpoint].url);
    for (uint32_t k = 0; k < m->endpoints.count && k < 32; k++)
        if (closed >> k & 1 && slice_eq(image_text(p, own[k].url), url))
            return true;
    return false;
}

// Places whose endpoint a constraint forbids.
static uint64_t closed_places(struct route_run *run, const struct decision_places *places)
{
    const struct policy_image *p = run->table->image;
    uint32_t closed = 0;
    uint64_t bits = 0;
    if (!places || !run->table->endpoints_forbidden)
        return 0;
    fit_endpoints(run, places->model, &closed);
    const struct image_model *m = image_model(p, places->model);
    for (uint32_t i = 0; closed && i < places->count; i++)
        if (is_closed(p, m, closed, places->rows[i].endpoint))
            bits |= UINT64_C(1) << i;
    return bits;
}

// ---- the choice

// Rows as they were kept, model by model one behind the other, so that numbers are not the pool's.
static struct pool_view kept_view(struct route_run *run)
{
    const struct decision *d = run->decision;
    struct pool_view v = *run->pool;
    memset(run->kept_first, 0, (run->table->image->models.count + 1) * sizeof *run->kept_first);
    memset(run->kept_end, 0, run->table->image->models.count * sizeof *run->kept_end);
    uint32_t used = 0;
    // Where the session is, when that is no candidate: at no place of the view.
    v.session_place = d->seen.session_place < 0 ? -1 : INT32_MAX;
    for (uint32_t i = 0; i < d->places_count; i++) {
        const struct decision_places *p = &d->places[i];
        int64_t in = (int64_t)d->seen.session_place - p->first;
        run->kept_first[p->model] = used;
        run->kept_end[p->model] = used + p->count;
        if (d->seen.session_place >= 0 && in >= 0 && in < p->count)
            v.session_place = (int32_t)(used + in);
        used += p->count;
    }
    v.count = run->table->image->models.count;
    v.places = run->rows;
    v.first = run->kept_first;
    v.end = run->kept_end;
    v.prefix_tok = NULL;
    v.session_model = d->seen.session_model;
    v.session_locked = d->seen.session_locked;
    v.session_tok = d->seen.session_tok;
    v.deadline_ms = d->seen.deadline_ms;
    v.seed = d->seen.seed;
    v.turn = d->seen.turn;
    v.region = d->seen.region;
    return v;
}

// The chosen place is known now: what it holds of the prompt, the batch that runs there, the carbon of its zone.
static void expect_there(struct choice *c, struct decision_option *o)
{
    const struct policy_image *p = c->run->table->image;
    const struct image_model *m = image_model(p, o->binding.model);
    const struct decision_places *places = places_of(c->run->decision, o->binding.model);
    if (o->place < 0 || !places)
        return;
    const struct decision_seen *seen = &c->run->decision->seen;
    const struct pool_place *row = &places->rows[(uint32_t)o->place - places->first];
    uint32_t hit = row->prefix_tok;
    if (seen->session_place == o->place && seen->session_tok > hit)
        hit = seen->session_tok;
    const struct price_length l = {.input_tok = o->expect.input_tok,
                                   .cached_tok =
                                       hit < o->expect.input_tok ? hit : o->expect.input_tok,
                                   .output_tok = o->expect.output_tok,
                                   .low_tok = o->expect.output_low_tok,
                                   .high_tok = o->expect.output_high_tok};
    struct price_here here = PRICE_HERE_UNKNOWN;
    float running = !row->stale && row->running >= 0 ? row->running : (float)row->in_flight;
    if (!row->stale && row->running >= 0)
        here.batch = (double)running + 1;
    if (row->each_ms >= 0)
        here.each_ms = (double)row->each_ms;
    if (row->carbon_g_kwh >= 0)
        here.carbon_ug_kwh = (int64_t)((double)row->carbon_g_kwh * 1e6);
    price_expect(m, zone_of(p, m), &l, &here, &o->expect);
}

static uint32_t by_dispatch(struct choice *c)
{
    struct route_run *run = c->run;
    struct decision *d = run->decision;
    struct dispatch_action actions[DISPATCH_ACTIONS_MAX];
    struct pool_view view;
    // Back in the policy's order, which breaks ties.
    for (uint32_t i = 1; i < c->count; i++) {
        uint32_t v = c->order[i], at = i;
        for (; at > 0 && c->order[at - 1] > v; at--)
            c->order[at] = c->order[at - 1];
        c->order[at] = v;
    }
    for (uint32_t i = 0; i < c->count; i++) {
        const struct image_binding *b = &c->bindings[c->order[i]];
        actions[i].binding = *b;
        actions[i].binding_at = c->order[i];
        actions[i].quality = image_model(run->table->image, b->model)->quality;
        actions[i].closed = closed_places(run, places_of(d, b->model));
        expect(c, c->order[i], true, &actions[i].expect);
        d->model_outcomes[b->model].cost_nusd = actions[i].expect.cost_nusd;
    }
    bool places = knows_places(run);
    if (places)
        view = kept_view(run);
    const struct budget_view budgets = {.states = d->budgets,
                                        .count = run->table->constraints.count};
    const struct dispatch_ask ask = {.image = run->table->image,
                                     .work = run->work,
                                     .pool = places ? &view : NULL,
                                     .budgets = d->budgets ? &budgets : NULL,
                                     .holds = d->constraints_hold,
                                     .objective = objective_of(c->ask),
                                     .actions = actions,
                                     .count = c->count};
    d->option_count = dispatch_choose(&ask, run->options, DECISION_OPTIONS_MAX);
    for (uint32_t i = 0; i < d->option_count; i++) {
        struct decision_option *o = &run->options[i];
        if (o->place >= 0)
            o->place += (int32_t)places_of(d, o->binding.model)->first -
                        (int32_t)run->kept_first[o->binding.model];
    }
    if (d->option_count)
        expect_there(c, &run->options[0]);
    return d->option_count;
}

static void by_objective(struct choice *c)
{
    struct route_run *run = c->run;
    struct decision *d = run->decision;
    bool learned = run->lengths || run->expected;
    bool energy = objective_of(c->ask) == IMAGE_OBJECTIVE_ENERGY;
    uint32_t count = c->count < DECISION_OPTIONS_MAX ? c->count : DECISION_OPTIONS_MAX;
    memset(run->options, 0, count * sizeof *run->options);
    d->option_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct decision_option *o = &run->options[i];
        o->binding = c->bindings[c->order[i]];
        o->binding_at = c->order[i];
        o->place = -1;
        // Nobody asks for more of those that may follow (`estimated`), and a decision is short.
        if (i > 0 && !run->estimates && !learned)
            continue;
        bool whole = run->estimates || learned || knows_places(run);
        expect(c, c->order[i], whole, &o->expect);
        if (learned)
            d->model_outcomes[o->binding.model].cost_nusd = o->expect.cost_nusd;
        int64_t money = d->model_outcomes[o->binding.model].cost_nusd;
        int64_t uj = energy ? fit_energy_uj(run, o->binding.model) : 0;
        double nusd = energy ? (double)uj * DISPATCH_KWH_NUSD / 3.6e12 : (double)money;
        o->price_nusd = nusd > 0 ? nusd : 0;
        o->terms_nusd[energy ? PRICE_ENERGY : PRICE_MONEY] = o->price_nusd;
    }
}

static bool is_live(const struct choice *c)
{
    const struct route_run *run = c->run;
    if (c->step->kind != IMAGE_STEP_ANSWER)
        return false;
    if (c->count > 1)
        return knows_places(run) || run->lengths || run->expected || budgets_priced(run);
    const struct decision_places *p =
        c->count ? places_of(run->decision, c->bindings[c->order[0]].model) : NULL;
    return p && p->count > 1;
}

static const struct decision_option *option_of(const struct decision *d, int32_t model)
{
    for (uint32_t i = 0; i < d->option_count; i++)
        if (d->options[i].binding.model == model)
            return &d->options[i];
    return NULL;
}

// Why a feasible model is not the one, when dispatch chose.
static enum model_verdict verdict_on(const struct choice *c, int32_t model)
{
    const struct decision *d = c->run->decision;
    const struct decision_option *o = option_of(d, model), *best = &d->options[0];
    enum image_objective objective = objective_of(c->ask);
    enum model_verdict loser;
    const struct decision_places *p = places_of(d, model);
    if (!o && p && p->count && d->option_count < DECISION_OPTIONS_MAX)
        return MODEL_BUSY;
    bool would = better(c->run, objective, d->model, model, &loser);
    if (objective == IMAGE_OBJECTIVE_ORDER)
        return o && o->binding_at < best->binding_at ? MODEL_PRICIER : MODEL_LATER;
    if (would ||
        (loser == MODEL_LATER && o &&
         dispatch_between(c->run->table->image, o) > dispatch_between(c->run->table->image, best)))
        return MODEL_PRICIER;
    return loser;
}

// What the step's bound counted on: so many attempts, and no more output.
static void hold_to(struct route_run *run, const struct image_step *s)
{
    struct decision *d = run->decision;
    const struct table_constraints *t = &run->table->constraints;
    const struct image_constraint *all =
        IMAGE_AT(run->table->image, run->table->image->constraints, struct image_constraint);
    bool bounded = s->cap_tok > 0;
    for (uint32_t w = 0; w < t->words; w++)
        for (uint64_t bits = t->budget[w] & run->constraints_hold[w]; bits; bits &= bits - 1) {
            enum image_unit unit = all[w * 64 + (uint32_t)__builtin_ctzll(bits)].unit;
            bounded |= unit != IMAGE_UNIT_MS && unit != IMAGE_UNIT_CALLS;
        }
    // What is reserved of a budget over time is kept in the same way.
    for (uint32_t i = 0; d->budgets && i < t->count; i++)
        bounded |= table_bit(t->over, i) && table_bit(run->constraints_hold, i) && all[i].hard &&
                   !d->budgets[i].open && all[i].unit != IMAGE_UNIT_MS &&
                   all[i].unit != IMAGE_UNIT_CALLS && all[i].unit != IMAGE_UNIT_REQUESTS;
    d->attempts_max = s->retries ? 1 + s->retries : 0;
    d->output_cap_tok =
        bounded ? estimate_output_most_tok(run->work, image_model(run->table->image, d->model), s)
                : 0;
}

// From the bindings that the last look at the chain has left.
void fit_choose(struct route_run *run, const struct fit_ask *ask)
{
    struct decision *d = run->decision;
    uint32_t at = fit_answers(ask);
    if (at == ask->count || ask->steps[at].kind == IMAGE_STEP_REFUSE) {
        d->end = DECISION_REFUSE;
        if (at < ask->count)
            d->message = image_text(run->table->image, ask->steps[at].text);
        return;
    }
    struct choice c;
    enum model_verdict loser;
    c.run = run;
    c.ask = ask;
    c.step = &ask->steps[at];
    c.bindings = fit_bindings(run, ask, c.step);
    put_in_order(&c);
    d->options = run->options;
    d->option_count = d->lengths_count = 0;
    if (run->lengths)
        c.task = lengths_task_of(run->work, run->table->image, ask->route, d->facts);
    if (knows_places(run))
        keep_places(&c);
    bool live = is_live(&c);
    d->priced = live && by_dispatch(&c) > 0;
    if (live && !d->priced) {
        // No place of any has room: one has to do all the same, chosen as if nothing were known of places.
        run->no_room = true;
        d->places_count = d->lengths_count = 0;
        put_in_order(&c);
        d->priced = is_live(&c) && by_dispatch(&c) > 0;
        if (!d->priced) {
            d->lengths_count = 0;
            put_in_order(&c);
        }
    }
    d->estimated = run->estimates || d->priced;
    if (!d->priced)
        by_objective(&c);
    const struct decision_option *best = &d->options[0];
    d->end = DECISION_ANSWER;
    d->model = best->binding.model;
    d->effort = best->binding.effort;
    d->place = best->place;
    for (uint32_t i = 0; i < c.step->bindings.count; i++) {
        int32_t model = c.bindings[i].model;
        struct model_outcome *o = &d->model_outcomes[model];
        if (!table_bit(run->fits, i))
            continue;
        const struct decision_option *option = d->priced ? option_of(d, model) : NULL;
        if (option)
            o->cost_nusd = option->expect.cost_nusd;
        if (d->priced)
            loser = verdict_on(&c, model);
        else
            better(run, objective_of(ask), d->model, model, &loser);
        *o = (struct model_outcome){loser, 0, 0, o->cost_nusd, IMAGE_NONE};
    }
    d->model_outcomes[d->model].verdict = MODEL_CHOSEN;
    hold_to(run, c.step);
}
