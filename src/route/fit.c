#include "route/fit.h"

#include <string.h>

#include "route/estimate.h"

static const struct image_constraint *constraint_at(const struct route_run *run, uint32_t i)
{
    return IMAGE_AT(run->table->image, run->table->image->constraints, struct image_constraint) + i;
}

const struct image_binding *fit_bindings(const struct route_run *run, const struct fit_ask *ask,
                                         const struct image_step *s)
{
    return ask->named ? ask->named : IMAGE_AT(run->table->image, s->bindings, struct image_binding);
}

enum tri fit_constraint(struct route_run *run, uint32_t i)
{
    uint64_t bit = UINT64_C(1) << (i % 64);
    int32_t why;
    if (run->spared && run->spared[i / 64] & bit)
        return TRI_FALSE;
    if (run->constraints_known[i / 64] & bit)
        return run->constraints_hold[i / 64] & bit ? TRI_TRUE : TRI_FALSE;
    enum tri v =
        table_eval(run->table, run->table->constraints.guard_at[i], run->known, run->value, &why);
    if (v == TRI_UNKNOWN)
        return v;
    run->constraints_known[i / 64] |= bit;
    if (v == TRI_TRUE)
        run->constraints_hold[i / 64] |= bit;
    return v;
}

// ---- several constraints that each would have the same effect

struct verdict {
    enum tri is;        // TRI_TRUE: `constraint` holds
    int32_t constraint; // or IMAGE_NONE
};

// What is open is noted only where nothing else has settled the matter: run->noting is set for a second look.
static void open_add(struct route_run *run, uint32_t i)
{
    if (run->noting)
        run->open[i / 64] |= UINT64_C(1) << (i % 64);
}

static void join(struct route_run *run, struct verdict *v, uint32_t i)
{
    enum tri is = v->is == TRI_TRUE ? TRI_FALSE : fit_constraint(run, i);
    if (is == TRI_TRUE)
        *v = (struct verdict){TRI_TRUE, (int32_t)i};
    else if (is == TRI_UNKNOWN) {
        v->is = TRI_UNKNOWN;
        open_add(run, i);
    }
}

// Whether a `redact` in front of the step has brought text below the level that a FORBID_BELOW is about.
static bool redacted(const struct fit_ask *ask, uint32_t at, const struct image_constraint *c)
{
    if (c->kind != IMAGE_FORBID || c->target != IMAGE_FORBID_BELOW)
        return false;
    for (uint32_t i = 0; i < at; i++)
        if (ask->steps[i].kind == IMAGE_STEP_REDACT && ask->steps[i].lattice == c->index &&
            ask->steps[i].level < c->level)
            return true;
    return false;
}

// Joins the constraints of a row of bits, for step `at`.
static void join_row(struct route_run *run, const uint64_t *row, const struct fit_ask *ask,
                     uint32_t at, struct verdict *v)
{
    for (uint32_t w = 0; w < run->table->constraints.words; w++)
        for (uint64_t bits = row[w]; bits && v->is != TRI_TRUE; bits &= bits - 1) {
            uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(bits);
            if (!at || !redacted(ask, at, constraint_at(run, i)))
                join(run, v, i);
        }
}

// ---- endpoints

static bool same_endpoint(const struct policy_image *p, const struct image_constraint *c,
                          const struct image_endpoint *e)
{
    const struct image_endpoint *named = IMAGE_AT(p, p->endpoints, struct image_endpoint);
    return slice_eq(image_text(p, named[c->index].url), image_text(p, e->url));
}

static struct verdict endpoint_closed(struct route_run *run, const struct image_endpoint *e)
{
    struct verdict v = {TRI_FALSE, IMAGE_NONE};
    const uint64_t *row = run->table->constraints.endpoint;
    for (uint32_t w = 0; w < run->table->constraints.words; w++)
        for (uint64_t bits = row[w]; bits; bits &= bits - 1) {
            uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(bits);
            if (same_endpoint(run->table->image, constraint_at(run, i), e))
                join(run, &v, i);
        }
    return v;
}

// Notes what is open about an endpoint, unless something closes it for sure.
static void note_endpoint(struct route_run *run, const struct image_endpoint *e)
{
    bool noting = run->noting;
    run->noting = false;
    run->noting = endpoint_closed(run, e).is == TRI_UNKNOWN;
    endpoint_closed(run, e);
    run->noting = noting;
}

// Whether all endpoints of a model are closed.
static void join_endpoints(struct route_run *run, const struct image_model *m, struct verdict *v)
{
    const struct policy_image *p = run->table->image;
    const struct image_endpoint *e = IMAGE_AT(p, m->endpoints, struct image_endpoint);
    struct verdict all = {TRI_TRUE, IMAGE_NONE};
    if (!run->table->endpoints_forbidden || !m->endpoints.count || v->is == TRI_TRUE)
        return;
    bool noting = run->noting;
    run->noting = false;
    for (uint32_t i = 0; i < m->endpoints.count && all.is != TRI_FALSE; i++) {
        struct verdict one = endpoint_closed(run, &e[i]);
        if (one.is != TRI_TRUE)
            all.is = one.is;
        else if (all.constraint == IMAGE_NONE)
            all.constraint = one.constraint;
    }
    run->noting = noting;
    if (all.is == TRI_TRUE)
        *v = all;
    if (all.is != TRI_UNKNOWN)
        return;
    v->is = TRI_UNKNOWN;
    for (uint32_t i = 0; noting && i < m->endpoints.count; i++)
        note_endpoint(run, &e[i]);
}

enum tri fit_endpoints(struct route_run *run, int32_t model, uint32_t *closed)
{
    const struct policy_image *p = run->table->image;
    const struct image_model *m = image_model(p, model);
    const struct image_endpoint *e = IMAGE_AT(p, m->endpoints, struct image_endpoint);
    enum tri known = TRI_TRUE;
    *closed = 0;
    if (!run->table->endpoints_forbidden)
        return TRI_TRUE;
    memset(run->open, 0, run->table->constraints.words * sizeof *run->open);
    for (uint32_t i = 0; i < m->endpoints.count; i++) {
        enum tri is = endpoint_closed(run, &e[i]).is;
        if (is == TRI_TRUE)
            *closed |= UINT32_C(1) << i;
        else if (is == TRI_UNKNOWN) {
            known = TRI_UNKNOWN;
            note_endpoint(run, &e[i]);
        }
    }
    return known;
}

enum tri fit_asked_effort(struct route_run *run, bool *dropped)
{
    const struct table_constraints *t = &run->table->constraints;
    struct verdict v = {TRI_FALSE, IMAGE_NONE};
    *dropped = false;
    if (!t->words || run->decision->effort != IMAGE_EFFORT_DEFAULT ||
        run->asked_effort == IMAGE_EFFORT_DEFAULT)
        return TRI_TRUE;
    memset(run->open, 0, t->words * sizeof *run->open);
    run->noting = true;
    for (uint32_t i = 0; i < t->count; i++)
        if (table_bit(t->effort + (size_t)run->asked_effort * t->words, i))
            join(run, &v, i);
    run->noting = false;
    *dropped = v.is == TRI_TRUE;
    return v.is == TRI_UNKNOWN ? TRI_UNKNOWN : TRI_TRUE;
}

// ---- without a run

// Whether a constraint without a guard closes the endpoint.
static int32_t always_closed(const struct route_table *t, const struct image_endpoint *e)
{
    const struct policy_image *p = t->image;
    const struct image_constraint *c = IMAGE_AT(p, p->constraints, struct image_constraint);
    for (uint32_t w = 0; w < t->constraints.words; w++)
        for (uint64_t bits = t->constraints.endpoint[w] & t->constraints.always[w]; bits;
             bits &= bits - 1) {
            uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(bits);
            if (same_endpoint(p, &c[i], e))
                return (int32_t)i;
        }
    return IMAGE_NONE;
}

bool route_may_pass(const struct route_table *t, int32_t model, uint32_t *closed,
                    int32_t *constraint)
{
    const struct policy_image *p = t->image;
    const struct image_model *m = image_model(p, model);
    const struct image_endpoint *e = IMAGE_AT(p, m->endpoints, struct image_endpoint);
    const uint64_t *row = t->constraints.model + (size_t)model * t->constraints.words;
    uint32_t open = m->endpoints.count;
    *closed = 0;
    *constraint = IMAGE_NONE;
    for (uint32_t w = 0; w < t->constraints.words; w++)
        if (row[w] & t->constraints.always[w]) {
            *constraint = (int32_t)(w * 64) + __builtin_ctzll(row[w] & t->constraints.always[w]);
            return false;
        }
    for (uint32_t i = 0; t->endpoints_forbidden && i < m->endpoints.count; i++) {
        int32_t by = always_closed(t, &e[i]);
        if (by == IMAGE_NONE)
            continue;
        *closed |= UINT32_C(1) << i;
        *constraint = by;
        open--;
    }
    return open > 0 || !m->endpoints.count;
}

// ---- what a model can do, whatever the constraints

// Whether the model can serve the work at all, whatever the route wants of it.
static enum model_verdict model_able(const struct route_run *run, int32_t index,
                                     struct model_outcome *o)
{
    const struct work *w = run->work;
    const struct image_model *m = image_model(run->table->image, index);
    enum pool_model_state state = run->states[index];
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

int64_t fit_energy_uj(const struct route_run *run, int32_t model)
{
    const struct image_model *m = image_model(run->table->image, model);
    return estimate_energy_uj(m, run->work->input_tok,
                              estimate_output_tok(run->work, m, run->output_tok));
}

static enum model_verdict model_wanted(const struct route_run *run, const struct image_route *route,
                                       int32_t index, struct model_outcome *o)
{
    enum model_verdict v = model_able(run, index, o);
    if (v != MODEL_CHOSEN || !route)
        return v;
    const struct image_model *m = image_model(run->table->image, index);
    if (route->quality_min > 0 && !(m->quality >= route->quality_min))
        return MODEL_QUALITY;
    if (o->cost_nusd < 0 && (route->cost_max_nusd >= 0 || route->objective == IMAGE_OBJECTIVE_COST))
        return MODEL_UNPRICED;
    if (route->cost_max_nusd >= 0 && o->cost_nusd > route->cost_max_nusd)
        return MODEL_COST;
    if (route->objective == IMAGE_OBJECTIVE_ENERGY && fit_energy_uj(run, index) < 0)
        return MODEL_UNMETERED;
    return MODEL_CHOSEN;
}

// ---- bindings under the constraints

static struct verdict binding_forbidden(struct route_run *run, const struct fit_ask *ask,
                                        uint32_t at, const struct image_binding *b)
{
    const struct table_constraints *c = &run->table->constraints;
    struct verdict v = {TRI_FALSE, IMAGE_NONE};
    if (!c->count)
        return v;
    join_row(run, c->model + (size_t)b->model * c->words, ask, at, &v);
    join_row(run, c->effort + (size_t)b->effort * c->words, ask, at, &v);
    join_endpoints(run, image_model(run->table->image, b->model), &v);
    return v;
}

// The most that a step can cost with `model` (NULL: by its sink).
static int64_t step_bound(const struct route_run *run, const struct image_step *s,
                          const struct image_model *m, enum image_unit unit)
{
    const struct policy_image *p = run->table->image;
    const struct image_sink *sink =
        m || s->sink == IMAGE_NONE ? NULL : IMAGE_AT(p, p->sinks, struct image_sink) + s->sink;
    if (!m && !sink)
        return 0;
    if (unit == IMAGE_UNIT_UG)
        return estimate_carbon_bound(p, m ? m->zone : sink->zone,
                                     step_bound(run, s, m, IMAGE_UNIT_UJ));
    return m ? estimate_bound(run->work, m, unit, run->added_tok, s)
             : estimate_sink_bound(sink, unit, s);
}

static int64_t add_bound(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? ESTIMATE_UNBOUNDED : sum;
}

// What two models of one `fuse` take together: they are asked side by side, so of time the longer one.
static int64_t fuse_bound(enum image_unit unit, int64_t a, int64_t b)
{
    return unit != IMAGE_UNIT_MS ? add_bound(a, b) : a > b ? a : b;
}

// The least bound of a step over the bindings that are left: with `sure` those that nothing can remove any more, else all
// that nothing has removed so far.
static int64_t least_bound(struct route_run *run, const struct fit_ask *ask, uint32_t at,
                           enum image_unit unit, bool sure)
{
    const struct image_step *s = &ask->steps[at];
    const struct image_binding *b = fit_bindings(run, ask, s);
    int64_t least = ESTIMATE_UNBOUNDED, all = 0;
    if (!s->bindings.count)
        return step_bound(run, s, NULL, unit);
    for (uint32_t i = 0; i < s->bindings.count; i++) {
        int64_t one = step_bound(run, s, image_model(run->table->image, b[i].model), unit);
        enum tri gone = binding_forbidden(run, ask, at, &b[i]).is;
        all = fuse_bound(unit, all, one);
        if (gone == TRI_FALSE || (gone == TRI_UNKNOWN && !sure))
            least = one < least ? one : least;
    }
    return s->kind == IMAGE_STEP_FUSE ? all : least;
}

// Whether the chain with this binding can cost more than the budget, if that holds.
static bool above(struct route_run *run, const struct fit_ask *ask, uint32_t at,
                  const struct image_binding *b, const struct image_constraint *c, bool sure)
{
    int64_t sum =
        step_bound(run, &ask->steps[at], image_model(run->table->image, b->model), c->unit);
    for (uint32_t i = 0;
         ask->steps[at].kind == IMAGE_STEP_FUSE && i < ask->steps[at].bindings.count; i++) {
        const struct image_binding *other = &fit_bindings(run, ask, &ask->steps[at])[i];
        int64_t one =
            step_bound(run, &ask->steps[at], image_model(run->table->image, other->model), c->unit);
        if (other != b)
            sum = fuse_bound(c->unit, sum, one);
    }
    for (uint32_t i = 0; i < ask->count; i++)
        if (i != at)
            sum = add_bound(sum, least_bound(run, ask, i, c->unit, sure));
    return add_bound(sum, run->decision->spent[c->unit]) > c->limit;
}

static void join_budgets(struct route_run *run, const struct fit_ask *ask, uint32_t at,
                         const struct image_binding *b, struct verdict *v)
{
    const struct table_constraints *t = &run->table->constraints;
    for (uint32_t w = 0; w < t->words; w++)
        for (uint64_t bits = t->budget[w]; bits && v->is != TRI_TRUE; bits &= bits - 1) {
            uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(bits);
            const struct image_constraint *c = constraint_at(run, i);
            enum tri holds = fit_constraint(run, i);
            if (holds == TRI_FALSE || !above(run, ask, at, b, c, true))
                continue;
            if (above(run, ask, at, b, c, false))
                join(run, v, i);
            else // what removes another step's models decides
                v->is = TRI_UNKNOWN;
            if (holds == TRI_UNKNOWN)
                open_add(run, i);
        }
}

// ---- budgets over time

static bool bears_on(const struct route_run *run, uint32_t i)
{
    return run->decision->budgets && !run->decision->budgets[i].open;
}

// Whether one attempt can take more than is left: what is reserved is one attempt's, and the next one's is when it comes.
static bool spent(struct route_run *run, const struct image_step *s, int32_t model, uint32_t i)
{
    const struct image_constraint *c = constraint_at(run, i);
    struct image_step once = *s;
    struct image_model m = *image_model(run->table->image, model);
    once.retries = once.hedges = 0;
    m.endpoints.count = 1;
    int64_t one = c->unit == IMAGE_UNIT_REQUESTS ? 1 : step_bound(run, &once, &m, c->unit);
    return one > run->decision->budgets[i].left;
}

// Those that go on to the next cheaper choice.
static void join_spent(struct route_run *run, const struct image_step *s,
                       const struct image_binding *b, struct verdict *v)
{
    const struct table_constraints *t = &run->table->constraints;
    for (uint32_t w = 0; w < t->words; w++)
        for (uint64_t bits = t->over[w]; bits && v->is != TRI_TRUE; bits &= bits - 1) {
            uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(bits);
            if (constraint_at(run, i)->exhausted == IMAGE_EXHAUSTED_CHEAPER && bears_on(run, i) &&
                spent(run, s, b->model, i))
                join(run, v, i);
        }
}

enum tri fit_budgets(struct route_run *run)
{
    const struct table_constraints *t = &run->table->constraints;
    enum tri known = TRI_TRUE;
    if (!run->decision->budgets)
        return TRI_TRUE;
    memset(run->open, 0, t->words * sizeof *run->open);
    for (uint32_t i = 0; i < t->count; i++)
        if (table_bit(t->over, i) && bears_on(run, i) && fit_constraint(run, i) == TRI_UNKNOWN) {
            run->open[i / 64] |= UINT64_C(1) << (i % 64);
            known = TRI_UNKNOWN;
        }
    return known;
}

// What becomes of one binding: TRI_TRUE when it stays, for sure.
static enum tri binding_fits(struct route_run *run, const struct fit_ask *ask, uint32_t at,
                             const struct image_binding *b, struct model_outcome *o)
{
    o->constraint = IMAGE_NONE;
    o->verdict = model_wanted(run, ask->steps[at].kind == IMAGE_STEP_VERIFY ? NULL : ask->route,
                              b->model, o);
    if (o->verdict != MODEL_CHOSEN)
        return TRI_FALSE;
    struct verdict v = binding_forbidden(run, ask, at, b);
    if (v.is == TRI_TRUE) {
        o->verdict = MODEL_FORBIDDEN;
        o->constraint = v.constraint;
        return TRI_FALSE;
    }
    if (run->table->constraints.count)
        join_budgets(run, ask, at, b, &v);
    if (v.is == TRI_TRUE) {
        o->verdict = MODEL_OVER_BUDGET;
        o->constraint = v.constraint;
        return TRI_FALSE;
    }
    if (run->decision->budgets)
        join_spent(run, &ask->steps[at], b, &v);
    if (v.is == TRI_TRUE) {
        o->verdict = MODEL_SPENT;
        o->constraint = v.constraint;
        return TRI_FALSE;
    }
    return v.is == TRI_FALSE ? TRI_TRUE : TRI_UNKNOWN;
}

// ---- chains

static bool answers(const struct image_step *s)
{
    return s->kind == IMAGE_STEP_ANSWER || s->kind == IMAGE_STEP_FUSE;
}

// Whether this build runs the chain.
static bool runs(const struct fit_ask *ask, int32_t *step)
{
    for (uint32_t i = 0; i < ask->count; i++) {
        enum image_step_kind k = ask->steps[i].kind;
        *step = (int32_t)i;
        if (i > 0 || (k != IMAGE_STEP_ANSWER && k != IMAGE_STEP_REFUSE))
            return false;
    }
    return ask->count > 0;
}

static bool meets(const struct image_step *s, enum image_step_kind step, int32_t sink)
{
    return s->kind == step && (sink == IMAGE_NONE || s->sink == sink);
}

// Whether what the steps deliver has passed a step: a verification behind the last one that answers; what looks up,
// redacts or asks back before the first.
static bool line_passes(const struct image_step *s, uint32_t count, enum image_step_kind step,
                        int32_t sink)
{
    uint32_t first = count, last = 0, from = 0, to = count;
    for (uint32_t i = 0; i < count; i++) {
        if (!answers(&s[i]))
            continue;
        first = i < first ? i : first;
        last = i;
    }
    if (step == IMAGE_STEP_VERIFY)
        from = last;
    else if (step == IMAGE_STEP_RETRIEVE || step == IMAGE_STEP_REDACT || step == IMAGE_STEP_CLARIFY)
        to = first;
    while (from < to && !meets(&s[from], step, sink))
        from++;
    return from < to;
}

static bool refuses(const struct image_step *s, uint32_t count)
{
    return count > 0 && s[count - 1].kind == IMAGE_STEP_REFUSE;
}

// What comes out of the cache of step `at` has passed what stands before it, and nothing else for sure.
static bool hit_passes(const struct fit_ask *ask, uint32_t at, const struct image_constraint *c)
{
    for (uint32_t i = 0; i <= at; i++)
        if (meets(&ask->steps[i], c->step, c->sink))
            return true;
    return false;
}

// Whether no answer leaves the chain, out of a cache neither, that has not passed what is required.
static bool passes(const struct fit_ask *ask, const struct image_constraint *c)
{
    bool any = false;
    for (uint32_t i = 0; i < ask->count; i++) {
        any |= answers(&ask->steps[i]);
        if (ask->steps[i].kind == IMAGE_STEP_CACHE && !hit_passes(ask, i, c))
            return false;
    }
    return !any || refuses(ask->steps, ask->count) ||
           line_passes(ask->steps, ask->count, c->step, c->sink);
}

static uint32_t extras_of(const struct image_step *s, enum image_extra e)
{
    return e == IMAGE_EXTRA_ESCALATE ? s->escalated
           : e == IMAGE_EXTRA_FUSE   ? s->kind == IMAGE_STEP_FUSE
                                     : s->hedges;
}

// Whether what the chain needs of an extra is allowed; `step`: one that needs it.
static enum tri allowed(struct route_run *run, const struct fit_ask *ask, enum image_extra e,
                        int32_t *step)
{
    const struct table_constraints *t = &run->table->constraints;
    uint64_t need = 0;
    enum tri is = TRI_FALSE;
    for (uint32_t i = 0; i < ask->count; i++) {
        uint32_t n = extras_of(&ask->steps[i], e);
        need += n;
        if (n)
            *step = (int32_t)i;
    }
    if (!need)
        return TRI_TRUE;
    for (uint32_t w = 0; w < t->words; w++)
        for (uint64_t bits = t->allow[w]; bits; bits &= bits - 1) {
            uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(bits);
            const struct image_constraint *c = constraint_at(run, i);
            enum tri holds = c->extra == e && c->count >= need ? fit_constraint(run, i) : TRI_FALSE;
            if (holds == TRI_TRUE)
                return TRI_TRUE;
            if (holds == TRI_UNKNOWN) {
                is = TRI_UNKNOWN;
                open_add(run, i);
            }
        }
    return is;
}

// The sinks that see the text at a step: its own, and a remote embedding service where it looks something up.
static void join_sinks(struct route_run *run, const struct fit_ask *ask, uint32_t at,
                       struct verdict *v)
{
    const struct image_step *s = &ask->steps[at];
    const struct policy_image *p = run->table->image;
    const struct table_constraints *t = &run->table->constraints;
    const struct image_sink *sinks = IMAGE_AT(p, p->sinks, struct image_sink);
    bool embeds = s->kind == IMAGE_STEP_RETRIEVE || s->kind == IMAGE_STEP_CACHE;
    if (s->sink != IMAGE_NONE)
        join_row(run, t->sink + (size_t)s->sink * t->words, ask, at, v);
    for (uint32_t i = 0; embeds && i < p->sinks.count; i++)
        if (sinks[i].kind == IMAGE_SINK_EMBEDDING)
            join_row(run, t->sink + (size_t)i * t->words, ask, at, v);
}

// What closes the chain as a whole: TRI_TRUE when something does.
static enum tri closed(struct route_run *run, const struct fit_ask *ask, struct chain_outcome *out)
{
    const struct table_constraints *t = &run->table->constraints;
    enum tri is = TRI_FALSE;
    for (uint32_t e = 0; e < IMAGE_EXTRA_COUNT_; e++) {
        enum tri may = allowed(run, ask, (enum image_extra)e, &out->step);
        if (may == TRI_FALSE) {
            out->verdict = CHAIN_NOT_ALLOWED;
            return TRI_TRUE;
        }
        is = may == TRI_UNKNOWN ? TRI_UNKNOWN : is;
    }
    for (uint32_t i = 0; i < ask->count && t->count; i++) {
        const struct image_step *s = &ask->steps[i];
        struct verdict v = {TRI_FALSE, IMAGE_NONE};
        join_row(run, t->step + (size_t)s->kind * t->words, ask, i, &v);
        join_sinks(run, ask, i, &v);
        if (v.is == TRI_TRUE) {
            *out = (struct chain_outcome){CHAIN_FORBIDDEN, (int32_t)i, v.constraint};
            return TRI_TRUE;
        }
        is = v.is == TRI_UNKNOWN ? TRI_UNKNOWN : is;
    }
    struct verdict v = {TRI_FALSE, IMAGE_NONE};
    for (uint32_t w = 0; w < t->words; w++)
        for (uint64_t bits = t->require[w]; bits && v.is != TRI_TRUE; bits &= bits - 1) {
            uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(bits);
            if (!passes(ask, constraint_at(run, i)))
                join(run, &v, i);
        }
    if (v.is == TRI_TRUE) {
        *out = (struct chain_outcome){CHAIN_UNMET, IMAGE_NONE, v.constraint};
        return TRI_TRUE;
    }
    return v.is == TRI_UNKNOWN ? TRI_UNKNOWN : is;
}

uint32_t fit_answers(const struct fit_ask *ask)
{
    uint32_t i = 0;
    while (i < ask->count && !answers(&ask->steps[i]) && ask->steps[i].kind != IMAGE_STEP_REFUSE)
        i++;
    return i;
}

// Of one step that asks models: TRI_TRUE when one stays for sure and the fate of all is known.
static enum tri step_fits(struct route_run *run, const struct fit_ask *ask, uint32_t at)
{
    const struct image_step *s = &ask->steps[at];
    const struct image_binding *b = fit_bindings(run, ask, s);
    struct model_outcome *all = run->decision->model_outcomes;
    uint32_t stay = 0, open = 0;
    bool kept = answers(s) && at == fit_answers(ask);
    if (kept)
        memset(run->fits, 0, (s->bindings.count + 63) / 64 * sizeof *run->fits);
    for (uint32_t i = 0; i < s->bindings.count; i++) {
        struct model_outcome o = {.cost_nusd = all[b[i].model].cost_nusd};
        enum tri fits = binding_fits(run, ask, at, &b[i], &o);
        if (fits == TRI_UNKNOWN) {
            run->noting = true;
            binding_fits(run, ask, at, &b[i], &o);
            run->noting = false;
        }
        if (kept && fits == TRI_TRUE)
            run->fits[i / 64] |= UINT64_C(1) << (i % 64);
        stay += fits == TRI_TRUE;
        open += fits == TRI_UNKNOWN;
        if (fits == TRI_FALSE) {
            all[b[i].model] = o;
            if (s->kind == IMAGE_STEP_FUSE)
                return TRI_FALSE;
        }
    }
    return open ? TRI_UNKNOWN : stay ? TRI_TRUE : TRI_FALSE;
}

enum tri fit_chain(struct route_run *run, const struct fit_ask *ask, struct chain_outcome *out)
{
    *out = (struct chain_outcome){CHAIN_TAKEN, IMAGE_NONE, IMAGE_NONE};
    if (!run->all_steps && !runs(ask, &out->step)) {
        out->verdict = CHAIN_CANNOT_RUN;
        return TRI_FALSE;
    }
    out->step = IMAGE_NONE;
    if (run->table->constraints.words)
        memset(run->open, 0, run->table->constraints.words * sizeof *run->open);
    run->added_tok = estimate_added_tok(run->table->image, ask->steps, ask->count);
    enum tri shut = closed(run, ask, out);
    if (shut == TRI_TRUE)
        return TRI_FALSE;
    if (shut == TRI_UNKNOWN) {
        run->noting = true;
        closed(run, ask, out);
        run->noting = false;
    }
    enum tri is = shut == TRI_UNKNOWN ? TRI_UNKNOWN : TRI_TRUE;
    for (uint32_t i = 0; i < ask->count; i++) {
        if (ask->steps[i].kind == IMAGE_STEP_REFUSE)
            break;
        if (!ask->steps[i].bindings.count)
            continue;
        enum tri fits = step_fits(run, ask, i);
        if (fits == TRI_FALSE) {
            *out = (struct chain_outcome){CHAIN_NO_MODEL, (int32_t)i, IMAGE_NONE};
            return TRI_FALSE;
        }
        is = fits == TRI_UNKNOWN ? TRI_UNKNOWN : is;
    }
    return is;
}

// ---- chains of a decision

uint32_t fit_chains(const struct route_run *run)
{
    int32_t route = run->decision->route;
    return route == IMAGE_NONE ? 1 : image_route(run->table->image, route)->chains.count;
}

bool fit_refuses(const struct fit_ask *ask)
{
    uint32_t at = fit_answers(ask);
    return at == ask->count || ask->steps[at].kind == IMAGE_STEP_REFUSE;
}

void fit_ask_of(const struct route_run *run, uint32_t chain, struct fit_ask *ask)
{
    static const struct image_step named = {
        .kind = IMAGE_STEP_ANSWER, .bindings = {0, 1}, .sink = IMAGE_NONE, .lattice = IMAGE_NONE};
    const struct policy_image *p = run->table->image;
    if (run->decision->route == IMAGE_NONE) {
        *ask = (struct fit_ask){NULL, &named, 1, &run->named};
        return;
    }
    const struct image_route *r = image_route(p, run->decision->route);
    struct image_list steps = image_chains(p, r)[chain].steps;
    *ask = (struct fit_ask){r, IMAGE_AT(p, steps, struct image_step), steps.count, NULL};
}
