#include "route/route.h"

#include <assert.h>
#include <string.h>

#include "route/buy.h"
#include "route/estimate.h"
#include "route/table.h"

static bool text_among(const struct policy_image *p, const struct image_atom *atom,
                       struct slice text)
{
    const struct image_str *texts = IMAGE_AT(p, atom->texts, struct image_str);
    for (uint32_t i = 0; i < atom->texts.count; i++)
        if (slice_eq(image_text(p, texts[i]), text))
            return true;
    return false;
}

static bool number_holds(const struct image_atom *atom, double v)
{
    switch (atom->op) {
    case IMAGE_OP_TRUE:
        return v != 0;
    case IMAGE_OP_EQ:
        return v == atom->number;
    case IMAGE_OP_NE:
        return v != atom->number;
    case IMAGE_OP_LT:
        return v < atom->number;
    case IMAGE_OP_LE:
        return v <= atom->number;
    case IMAGE_OP_GT:
        return v > atom->number;
    case IMAGE_OP_GE:
        return v >= atom->number;
    case IMAGE_OP_IN:
        return v >= 0 && v < 64 && (atom->words >> (unsigned)v & 1);
    case IMAGE_OP_FAILED: // asked of the fact, not of its value
        break;
    }
    return false;
}

bool route_atom_holds(const struct policy_image *image, const struct image_atom *atom,
                      const struct fact *fact)
{
    bool among = false;
    if (atom->op == IMAGE_OP_FAILED)
        return fact->state == FACT_FAILED;
    switch (image_signal(image, atom->signal)->type) {
    case SIGNAL_BOOL:
    case SIGNAL_NUMBER:
    case SIGNAL_ENUM:
        return number_holds(atom, fact->number);
    case SIGNAL_TEXT:
        if (atom->op == IMAGE_OP_TRUE)
            return fact->text.len > 0;
        among = text_among(image, atom, fact->text);
        break;
    case SIGNAL_SET:
        if (atom->op == IMAGE_OP_TRUE)
            return fact->text_count > 0;
        for (uint32_t i = 0; i < fact->text_count && !among; i++)
            among = text_among(image, atom, fact->texts[i]);
        break;
    }
    return atom->op == IMAGE_OP_NE ? !among : among;
}

static uint32_t group_bit(const struct route_run *run, int32_t signal)
{
    uint8_t g = run->costs->group[signal];
    return g ? UINT32_C(1) << g : 0;
}

// Whether the signal has brought its group's artifact. Cheap ones always; a dear one (an encoder's pass) may have been
// spared because a first tier was sure, and then the next signal still has to pay: what it cost tells, and a pass is
// always measured.
static bool paid_for_group(const struct route_run *run, int32_t signal, const struct fact *fact)
{
    enum { DEAR_NS = 100 * 1000 };
    if (fact->share)
        return true;
    uint32_t group_ns = run->costs->group_ns[run->costs->group[signal]][run->length];
    return group_ns < DEAR_NS || fact->cost_ns >= DEAR_NS;
}

static void learn(struct route_run *run, int32_t signal, const struct fact *fact)
{
    const struct route_table *t = run->table;
    const struct image_atom *atoms = IMAGE_AT(t->image, t->image->atoms, struct image_atom);
    for (uint32_t i = t->signal_at[signal]; i < t->signal_at[signal + 1]; i++) {
        uint32_t atom = t->signal_atoms[i];
        uint64_t bit = UINT64_C(1) << (atom % 64);
        run->known[atom / 64] |= bit;
        if (route_atom_holds(t->image, &atoms[atom], fact))
            run->value[atom / 64] |= bit;
    }
}

struct fact *route_fact(struct route_run *run, int32_t signal)
{
    assert(signal >= 0 && (uint32_t)signal < run->table->image->signals.count);
    return &run->decision->facts[signal];
}

static void take_in(struct route_run *run, int32_t signal, const struct fact *fact)
{
    struct fact *at = route_fact(run, signal);
    assert(!run->decided && fact->state != FACT_UNKNOWN);
    if (at != fact)
        *at = *fact;
    if (at->state != FACT_GIVEN && paid_for_group(run, signal, at))
        run->groups_paid |= group_bit(run, signal);
    learn(run, signal, at);
}

void route_feed(struct route_run *run, int32_t signal, const struct fact *fact)
{
    take_in(run, signal, fact);
    route_fact(run, signal)->step = fact->state == FACT_GIVEN ? 0 : run->bought;
    if (signal == run->asked)
        run->asked = IMAGE_NONE;
}

void route_fail(struct route_run *run, int32_t signal, enum fact_error why)
{
    const struct policy_image *p = run->table->image;
    const struct image_signal *s = image_signal(p, signal);
    struct fact *f = route_fact(run, signal);
    *f = (struct fact){.state = FACT_FAILED, .error = why, .number = s->error_number};
    f->text = image_text(p, s->error_text);
    if (s->type == SIGNAL_SET && f->text.len) {
        f->texts = &f->text;
        f->text_count = 1;
    }
    route_feed(run, signal, f);
}

// Whether the model can serve the work at all, whatever the route wants of it.
static enum model_verdict model_able(const struct route_run *run, int32_t index,
                                     struct model_outcome *o)
{
    const struct work *w = run->work;
    const struct image_model *m = image_model(run->table->image, index);
    enum pool_model_state state = POOL_MODEL_UP;
    if (run->pool && run->pool->states && (uint32_t)index < run->pool->count)
        state = run->pool->states[index];
    if (state == POOL_MODEL_NO_KEY)
        return MODEL_NO_KEY;
    if (state != POOL_MODEL_UP)
        return MODEL_DOWN;
    o->missing = w->needs & ~m->can;
    if (o->missing)
        return MODEL_LACKS;
    if (m->output_tok && w->max_output_tok > m->output_tok) {
        o->need_tok = w->max_output_tok;
        return MODEL_OUTPUT;
    }
    uint64_t need = (uint64_t)w->input_tok + estimate_reserve_tok(w, m, run->output_tok);
    if (m->context_tok && need > m->context_tok) {
        o->need_tok = need > UINT32_MAX ? UINT32_MAX : (uint32_t)need;
        return MODEL_WINDOW;
    }
    return MODEL_CHOSEN;
}

static enum model_verdict model_allowed(const struct route_run *run,
                                        const struct image_route *route,
                                        const struct image_binding *b, struct model_outcome *o)
{
    enum model_verdict v = model_able(run, b->model, o);
    if (v != MODEL_CHOSEN || !route)
        return v;
    const struct image_model *m = image_model(run->table->image, b->model);
    if (route->quality_min > 0 && !(m->quality >= route->quality_min))
        return MODEL_QUALITY;
    if (o->cost_nusd < 0 && (route->cost_max_nusd >= 0 || route->objective == IMAGE_OBJECTIVE_COST))
        return MODEL_UNPRICED;
    if (route->cost_max_nusd >= 0 && o->cost_nusd > route->cost_max_nusd)
        return MODEL_COST;
    return MODEL_CHOSEN;
}

// True when `b` is strictly better than `a` under the route's objective; `*loser` is the verdict on the other one.
static bool better(const struct route_run *run, const struct image_route *route, int32_t a,
                   int32_t b, enum model_verdict *loser)
{
    const struct model_outcome *o = run->decision->model_outcomes;
    *loser = MODEL_LATER;
    if (route && route->objective == IMAGE_OBJECTIVE_COST && o[a].cost_nusd != o[b].cost_nusd) {
        *loser = MODEL_DEARER;
        return o[b].cost_nusd < o[a].cost_nusd;
    }
    if (route && route->objective == IMAGE_OBJECTIVE_QUALITY) {
        float qa = image_model(run->table->image, a)->quality,
              qb = image_model(run->table->image, b)->quality;
        if (qa != qb)
            *loser = MODEL_LOWER_QUALITY;
        return qb > qa;
    }
    return false;
}

// Chooses among the candidates of one answer step; false when none of them can serve.
static bool choose(struct route_run *run, const struct image_route *route,
                   const struct image_binding *all, uint32_t count)
{
    struct decision *d = run->decision;
    const struct image_binding *best = NULL;
    enum model_verdict loser;
    for (uint32_t i = 0; i < count; i++) {
        struct model_outcome *o = &d->model_outcomes[all[i].model];
        enum model_verdict v = model_allowed(run, route, &all[i], o);
        if (v != MODEL_CHOSEN) {
            o->verdict = v;
        } else if (!best) {
            best = &all[i];
        } else if (better(run, route, best->model, all[i].model, &loser)) {
            best = &all[i];
        }
    }
    if (!best)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        struct model_outcome *o = &d->model_outcomes[all[i].model], scratch = *o;
        if (all[i].model == best->model ||
            model_allowed(run, route, &all[i], &scratch) != MODEL_CHOSEN)
            continue;
        better(run, route, best->model, all[i].model, &loser);
        o->verdict = loser;
    }
    d->model_outcomes[best->model].verdict = MODEL_CHOSEN;
    d->end = DECISION_ANSWER;
    d->model = best->model;
    d->effort = best->effort;
    return true;
}

// Takes the steps of a path; false when no model could serve it.
static bool take(struct route_run *run, const struct image_route *route, struct image_list list)
{
    const struct policy_image *p = run->table->image;
    const struct image_step *steps = IMAGE_AT(p, list, struct image_step);
    for (uint32_t i = 0; i < list.count; i++) {
        if (steps[i].kind == IMAGE_STEP_REFUSE) {
            run->decision->end = DECISION_REFUSE;
            run->decision->message = image_text(p, steps[i].text);
            return true;
        }
        return choose(run, route, IMAGE_AT(p, steps[i].bindings, struct image_binding),
                      steps[i].bindings.count);
    }
    return false;
}

// Which question refuted each route before `end`. Asked again at the end, when all is known that will be: so a replay,
// which knows it from the start, names the same.
static void refute(struct route_run *run, uint32_t end)
{
    const struct route_table *t = run->table;
    for (uint32_t i = 0; i < end; i++) {
        struct route_outcome *o = &run->decision->route_outcomes[i];
        o->verdict = ROUTE_FALSE;
        table_eval(t, t->guard_at[i], run->known, run->value, &o->atom);
    }
}

// Estimates for all models: the choice needs them for some, and the record shows them for all.
static void estimate(struct route_run *run)
{
    const struct policy_image *p = run->table->image;
    struct decision *d = run->decision;
    for (uint32_t i = 0; i < p->models.count; i++) {
        const struct image_model *m = image_model(p, (int32_t)i);
        d->model_outcomes[i] = (struct model_outcome){
            .verdict = MODEL_NOT_CANDIDATE,
            .cost_nusd = estimate_cost_nusd(m, run->work->input_tok, 0,
                                            estimate_output_tok(run->work, m, run->output_tok)),
        };
    }
}

static void finish(struct route_run *run)
{
    const struct policy_image *p = run->table->image;
    const struct route_costs *c = run->costs;
    struct decision *d = run->decision;
    const struct image_model *m = d->model >= 0 ? image_model(p, d->model) : NULL;
    d->output_tok =
        d->end == DECISION_REFUSE ? 0 : estimate_output_tok(run->work, m, run->output_tok);
    d->cost_nusd = m ? d->model_outcomes[d->model].cost_nusd : d->end == DECISION_REFUSE ? 0 : -1;
    uint64_t avoided = 0;
    uint32_t groups = run->groups_paid;
    for (uint32_t i = 0; i < p->signals.count; i++) {
        if (d->facts[i].state != FACT_UNKNOWN)
            continue;
        avoided += route_price_ns(c, run->length, groups, (int32_t)i);
        groups |= group_bit(run, (int32_t)i);
    }
    d->avoided_ns = avoided > UINT32_MAX ? UINT32_MAX : (uint32_t)avoided;
    run->decided = true;
}

// Bytes of the message that most signals read.
static uint64_t anchor_bytes(const struct work *w)
{
    uint64_t sum = 0;
    if (w->anchor == WORK_NO_ANCHOR || w->anchor >= w->message_count)
        return 0;
    const struct work_message *m = &w->messages[w->anchor];
    for (uint32_t i = 0; i < m->part_count; i++)
        sum += w->parts[m->part_first + i].text.len;
    return sum;
}

// The route is found: follow it.
static void settle(struct route_run *run, int32_t index)
{
    struct decision *d = run->decision;
    const struct image_route *route = image_route(run->table->image, index);
    d->route = index;
    d->route_outcomes[index] = (struct route_outcome){ROUTE_MATCHED, IMAGE_NONE};
    estimate(run);
    const struct image_chain *chains = image_chains(run->table->image, route);
    uint32_t i = 0;
    while (i < route->chains.count && !take(run, route, chains[i].steps))
        i++;
    d->took_else = i > 0 && route->chains.count > 1;
    if (i == route->chains.count) {
        d->end = DECISION_INFEASIBLE;
        d->route_outcomes[index].verdict = ROUTE_INFEASIBLE;
    }
    finish(run);
}

static void settle_model(struct route_run *run, int32_t model)
{
    const struct image_binding b = {model, IMAGE_EFFORT_DEFAULT};
    estimate(run);
    if (!choose(run, NULL, &b, 1))
        run->decision->end = DECISION_INFEASIBLE;
    finish(run);
}

// What the client asked for by name; decides at once unless the routes are to.
static void aim(struct route_run *run)
{
    const struct policy_image *p = run->table->image;
    struct decision *d = run->decision;
    struct slice asked = d->model_asked;
    if (!asked.len)
        return;
    const struct image_alias *alias = image_find_alias(p, asked);
    int32_t model = alias ? IMAGE_NONE : image_find_model(p, asked);
    if (alias) {
        if (alias->target == IMAGE_TARGET_ROUTES)
            return;
        d->by = DECISION_BY_ALIAS;
    } else if (model == IMAGE_NONE && slice_eq(asked, SLICE("auto"))) {
        return;
    } else {
        d->by = DECISION_BY_NAME;
    }
    for (uint32_t i = 0; i < p->routes.count; i++)
        d->route_outcomes[i].verdict = ROUTE_BYPASSED;
    if (alias && alias->target == IMAGE_TARGET_ROUTE) {
        settle(run, alias->index);
    } else if (alias) {
        settle_model(run, alias->index);
    } else if (model != IMAGE_NONE) {
        settle_model(run, model);
    } else {
        estimate(run);
        d->end = DECISION_NO_MODEL;
        finish(run);
    }
}

// One block for the decision and all it points to.
static struct decision *decision_alloc(struct route_run *run, struct arena *arena)
{
    const struct route_table *t = run->table;
    const struct policy_image *p = t->image;
    size_t words = (size_t)t->words * 2 * sizeof(uint64_t);
    size_t facts = p->signals.count * sizeof(struct fact);
    size_t models = p->models.count * sizeof(struct model_outcome);
    size_t routes = p->routes.count * sizeof(struct route_outcome);
    char *at = arena_alloc(arena, sizeof(struct decision) + words + facts + models + routes);
    if (!at)
        return NULL;
    struct decision *d = (struct decision *)(void *)at;
    memset(at, 0, sizeof *d + words);
    at += sizeof *d;
    run->known = (uint64_t *)(void *)at;
    run->value = run->known + t->words;
    at += words;
    d->facts = (struct fact *)(void *)at;
    at += facts;
    d->model_outcomes = (struct model_outcome *)(void *)at;
    at += models;
    d->route_outcomes = (struct route_outcome *)(void *)at;
    // A fact that nobody asked for has a state and nothing else: clearing all of them would cost more than deciding.
    for (uint32_t i = 0; i < p->signals.count; i++)
        d->facts[i].state = FACT_UNKNOWN;
    for (uint32_t i = 0; i < p->routes.count; i++)
        d->route_outcomes[i] = (struct route_outcome){ROUTE_NOT_REACHED, IMAGE_NONE};
    return d;
}

static const struct route_options no_options = {.given = NULL};

enum result route_begin(struct route_run *run, const struct route_table *table,
                        const struct work *work, const struct pool_view *pool,
                        const struct route_options *options, struct arena *arena)
{
    if (!options)
        options = &no_options;
    *run = (struct route_run){
        .table = table,
        .work = work,
        .pool = pool,
        .costs = options->costs ? options->costs : table->costs,
        .output_tok = options->output_tok,
        .length = route_length_class(anchor_bytes(work)),
        .asked = IMAGE_NONE,
    };
    struct decision *d = run->decision = decision_alloc(run, arena);
    if (!d)
        return RESULT_NOMEM;
    d->image = table->image;
    d->pool_epoch = pool ? pool->epoch : 0;
    d->costs_epoch = run->costs->epoch;
    d->by = DECISION_BY_ROUTES;
    d->route = d->model = IMAGE_NONE;
    d->observed = options->observe;
    d->model_asked = options->model.len ? options->model : work->model_asked;
    d->input_tok = work->input_tok;
    d->anchor = work->anchor;
    d->message_count = work->message_count;
    for (uint32_t i = 0; options->given && i < table->image->signals.count; i++)
        if (options->given[i].state != FACT_UNKNOWN)
            take_in(run, (int32_t)i, &options->given[i]);
    aim(run);
    return RESULT_OK;
}

static struct buy_view view_of(const struct route_run *run)
{
    return (struct buy_view){run->table, run->costs,       run->known,
                             run->value, run->groups_paid, run->length};
}

uint32_t route_beside(struct route_run *run, int32_t signal, int32_t out[ROUTE_BESIDE_MAX])
{
    const struct route_table *t = run->table;
    const struct buy_view view = view_of(run);
    uint32_t nodes[ROUTE_BESIDE_ROUTES], count = 0;
    int32_t why;
    for (uint32_t i = run->next_route; i < t->image->routes.count && count < MERIT_COUNT(nodes);
         i++) {
        enum tri v = table_eval(t, t->guard_at[i], run->known, run->value, &why);
        if (v == TRI_TRUE)
            break;
        if (v == TRI_UNKNOWN)
            nodes[count++] = t->guard_at[i];
    }
    return buy_beside(&view, signal, nodes, count, out, ROUTE_BESIDE_MAX);
}

enum route_status route_step(struct route_run *run, int32_t *signal)
{
    const struct route_table *t = run->table;
    while (!run->decided && run->next_route < t->image->routes.count) {
        uint32_t root = t->guard_at[run->next_route];
        int32_t why = IMAGE_NONE;
        enum tri v = table_eval(t, root, run->known, run->value, &why);
        if (v == TRI_UNKNOWN) {
            const struct buy_view view = view_of(run);
            *signal = buy_next(&view, root);
            // What is fed until the asked-for signal is known belongs to the same step.
            if (run->asked == IMAGE_NONE)
                run->bought++;
            run->asked = *signal;
            return ROUTE_NEED;
        }
        if (v == TRI_FALSE) {
            run->next_route++;
            continue;
        }
        refute(run, run->next_route);
        settle(run, (int32_t)run->next_route);
    }
    if (!run->decided) {
        // A policy ends with `otherwise`, so this is an image that was not compiled by Merit: refuse to guess.
        refute(run, run->next_route);
        estimate(run);
        run->decision->end = DECISION_INFEASIBLE;
        finish(run);
    }
    return ROUTE_DECIDED;
}
