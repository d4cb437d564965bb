#include "proof/theorem.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "policy/explain.h"
#include "proof/theorem_inner.h"
#include "route/route.h"

const char *theorem_verdict_name(enum theorem_verdict v)
{
    static const char *const names[] = {"proved", "refuted", "empty", "not proved"};
    return names[v];
}

static bool signals_embed(const struct policy_image *p, const struct signal_registry *registry)
{
    for (uint32_t i = 0; registry && i < p->signals.count; i++) {
        const struct image_signal *s = image_signal(p, (int32_t)i);
        const struct signal_family *f =
            s->derive ? NULL : signal_family_find(registry, image_text(p, s->family));
        enum signal_cost cost = !f ? SIGNAL_COST_FREE : f->cost_of ? f->cost_of(p, s) : f->cost;
        if (cost == SIGNAL_COST_EMBED || cost == SIGNAL_COST_ENCODER)
            return true;
    }
    return false;
}

enum result theorem_open(struct theorem_prover *p, const struct policy_image *image,
                         const struct signal_registry *registry, const struct sat_limits *limits,
                         struct arena *arena)
{
    *p = (struct theorem_prover){
        .image = image, .arena = arena, .signals_embed = signals_embed(image, registry)};
    enum result r = ways_open(image, arena, &p->ways);
    if (!r)
        r = space_open(&image, 1, limits ? limits : &space_limits_default, &p->space);
    if (!r)
        r = feasible_open(p->space, 0, image, arena, &p->feasible);
    if (r)
        theorem_close(p);
    return r;
}

void theorem_close(struct theorem_prover *p)
{
    if (p->space)
        space_close(p->space);
    p->space = NULL;
}

bool theorem_speaks_of(const struct theorem_run *r, const struct way *way)
{
    if (way->kind == WAY_ROUTE)
        return true;
    enum image_claim_kind k = r->claim->kind;
    if (r->theorem->is_test || k == IMAGE_CLAIM_ROUTE || k == IMAGE_CLAIM_REFUSE ||
        k == IMAGE_CLAIM_FEASIBLE)
        return false;
    return way->kind != WAY_PASS || k == IMAGE_CLAIM_REACHES;
}

enum sat_answer theorem_question(struct theorem_run *r, const uint32_t *formulas, uint32_t count)
{
    uint32_t all[8] = {r->guard};
    for (uint32_t i = 0; i < count; i++)
        all[i + 1] = formulas[i];
    r->answer->questions++;
    return space_ask(r->p->space, all, count + 1, r->flags);
}

void theorem_way_text(const struct policy_image *p, const struct way *w, struct buf *out)
{
    struct slice name;
    switch (w->kind) {
    case WAY_ROUTE:
        name = image_text(p, image_route(p, w->route)->name);
        buf_printf(out, image_route(p, w->route)->is_otherwise ? "%.*s" : "route %.*s",
                   SLICE_FMT(name));
        break;
    case WAY_ALIAS:
        name = image_text(p, IMAGE_AT(p, p->aliases, struct image_alias)[w->index].name);
        buf_printf(out, "a request for alias %.*s", SLICE_FMT(name));
        break;
    case WAY_MODEL:
        name = image_text(p, image_model(p, w->model)->name);
        buf_printf(out, "a request that names model %.*s", SLICE_FMT(name));
        break;
    case WAY_PASS:
        name = image_text(p, IMAGE_AT(p, p->passes, struct image_pass)[w->index].path);
        buf_printf(out, "what is passed on by %.*s", SLICE_FMT(name));
        break;
    }
}

static struct slice way_model_asked(const struct policy_image *p, const struct way *w)
{
    if (!w || w->kind == WAY_ROUTE)
        return SLICE_EMPTY;
    if (w->kind == WAY_ALIAS)
        return image_text(p, IMAGE_AT(p, p->aliases, struct image_alias)[w->index].name);
    if (w->kind == WAY_PASS)
        return image_text(p, IMAGE_AT(p, p->passes, struct image_pass)[w->index].path);
    return image_text(p, image_model(p, w->model)->name);
}

void theorem_refute(struct theorem_run *r, const struct theorem_case *c, struct slice why)
{
    struct theorem_answer *a = r->answer;
    struct space_witness w;
    uint32_t all[8] = {r->guard};
    memcpy(all + 1, c->formulas, c->count * sizeof *c->formulas);
    enum result e = space_witness(r->p->space, 0, all, c->count + 1, r->p->arena, &w);
    if (e) {
        r->err = e;
        return;
    }
    a->verdict = THEOREM_REFUTED;
    a->claim = (int32_t)(r->claim - IMAGE_AT(r->p->image, r->theorem->claims, struct image_claim));
    a->witness = w.json;
    a->facts = w.facts;
    a->model = way_model_asked(r->p->image, c->way);
    a->route = c->route >= 0 ? c->route : c->way ? c->way->route : IMAGE_NONE;
    a->why = arena_copy(r->p->arena, why);
    if (!a->why.ptr)
        r->err = RESULT_NOMEM;
}

void theorem_unproved(struct theorem_run *r)
{
    struct sat_effort e = space_effort(r->p->space);
    r->answer->verdict = THEOREM_NOT_PROVED;
    r->answer->claim =
        (int32_t)(r->claim - IMAGE_AT(r->p->image, r->theorem->claims, struct image_claim));
    r->answer->why = arena_printf(
        r->p->arena, "a limit was reached after %llu questions and %llu conflicts of the solver",
        (unsigned long long)r->answer->questions, (unsigned long long)e.conflicts);
    if (!r->answer->why.ptr)
        r->err = RESULT_NOMEM;
}

// ---- what is known of a text

// Whether a guard looks at the signal, itself or through derived ones.
static bool speaks_of_signal(const struct policy_image *p, struct image_list guard, int32_t signal,
                             unsigned depth)
{
    const struct image_atom *atoms = IMAGE_AT(p, p->atoms, struct image_atom);
    const struct image_node *nodes = IMAGE_AT(p, guard, struct image_node);
    for (uint32_t i = 0; i < guard.count; i++) {
        if (nodes[i].kind != IMAGE_NODE_ATOM)
            continue;
        int32_t at = atoms[nodes[i].arg].signal;
        if (at == signal)
            return true;
        const struct image_signal *s = image_signal(p, at);
        const struct image_term *t = IMAGE_AT(p, s->terms, struct image_term);
        for (uint32_t k = 0; k < s->terms.count && depth < IMAGE_DERIVE_DEPTH_MAX; k++)
            if (t[k].signal == signal || speaks_of_signal(p, t[k].guard, signal, depth + 1))
                return true;
    }
    return false;
}

static bool rests_on(const struct policy_image *p, int32_t signal, const bool *free, unsigned depth)
{
    const struct image_signal *s = image_signal(p, signal);
    const struct image_term *t = IMAGE_AT(p, s->terms, struct image_term);
    const struct image_atom *atoms = IMAGE_AT(p, p->atoms, struct image_atom);
    if (free[signal])
        return true;
    for (uint32_t k = 0; k < s->terms.count && depth <= IMAGE_DERIVE_DEPTH_MAX; k++) {
        const struct image_node *nodes = IMAGE_AT(p, t[k].guard, struct image_node);
        if (t[k].signal >= 0 && rests_on(p, t[k].signal, free, depth + 1))
            return true;
        for (uint32_t i = 0; i < t[k].guard.count; i++)
            if (nodes[i].kind == IMAGE_NODE_ATOM &&
                rests_on(p, atoms[nodes[i].arg].signal, free, depth + 1))
                return true;
    }
    return false;
}

// Every answer to a question about a signal that the guard leaves alone is as the text's facts say.
static uint32_t pin(struct theorem_run *r, const struct fact *computed)
{
    const struct policy_image *p = r->p->image;
    const struct image_atom *atoms = IMAGE_AT(p, p->atoms, struct image_atom);
    bool *open = alloc_zeroed(p->signals.count + 1, sizeof *open);
    uint32_t *terms = alloc_zeroed((size_t)p->atoms.count + p->signals.count + 1, sizeof *terms);
    uint32_t n = 0, all = SPACE_TRUE;
    if (open && terms) {
        for (uint32_t i = 0; i < p->signals.count; i++)
            open[i] = computed[i].state == FACT_UNKNOWN ||
                      speaks_of_signal(p, r->theorem->guard, (int32_t)i, 0);
        for (uint32_t i = 0; i < p->signals.count; i++) {
            if (open[i] || image_signal(p, (int32_t)i)->derive)
                continue;
            uint32_t failed = space_failed(r->p->space, 0, (int32_t)i);
            terms[n++] = computed[i].state == FACT_FAILED ? failed : space_not(failed);
        }
        for (uint32_t i = 0; i < p->atoms.count; i++) {
            if (rests_on(p, atoms[i].signal, open, 0))
                continue;
            bool holds = route_atom_holds(p, &atoms[i], &computed[atoms[i].signal]);
            uint32_t f = space_atom(r->p->space, 0, i);
            terms[n++] = holds ? f : space_not(f);
        }
        all = space_and(r->p->space, terms, n);
    } else {
        r->err = RESULT_NOMEM;
    }
    alloc_free(open);
    alloc_free(terms);
    return all;
}

// ---- answers

static void case_text(const struct theorem_run *r, const struct theorem_case *c, struct buf *out)
{
    const struct policy_image *p = r->p->image;
    const struct image_zone *zones = IMAGE_AT(p, p->zones, struct image_zone);
    if (c->way)
        theorem_way_text(p, c->way, out);
    else if (c->route >= 0)
        buf_printf(out, image_route(p, c->route)->is_otherwise ? "%.*s" : "route %.*s",
                   SLICE_FMT(image_text(p, image_route(p, c->route)->name)));
    else
        BUF_LIT(out, "a request");
    buf_printf(out, " %s", c->what);
    if (c->model >= 0) {
        const struct image_model *m = image_model(p, c->model);
        buf_printf(out, " %.*s", SLICE_FMT(image_text(p, m->name)));
        if (m->zone >= 0)
            buf_printf(out, ", in zone %.*s", SLICE_FMT(image_text(p, zones[m->zone].name)));
    }
    if (c->sink >= 0)
        buf_printf(
            out, " %.*s",
            SLICE_FMT(image_text(p, IMAGE_AT(p, p->sinks, struct image_sink)[c->sink].name)));
}

static void refute_by(struct theorem_run *r, const struct theorem_case *c)
{
    struct buf why;
    buf_init(&why, 64 * 1024);
    case_text(r, c, &why);
    if (buf_result(&why))
        r->err = buf_result(&why);
    else
        theorem_refute(r, c, buf_slice(&why));
    buf_deinit(&why);
}

// One question for all ways of breaking it; when there is such a request, or nobody can tell, one for each.
static void answer_claim(struct theorem_run *r)
{
    struct space *s = r->p->space;
    r->cases.len = 0;
    theorem_cases(r);
    if (r->err || !r->cases.len)
        return;
    uint32_t *any = alloc_zeroed(r->cases.len, sizeof *any);
    if (!any) {
        r->err = RESULT_NOMEM;
        return;
    }
    for (size_t i = 0; i < r->cases.len; i++)
        any[i] = space_and(s, r->cases.at[i].formulas, r->cases.at[i].count);
    uint32_t one = space_or(s, any, (uint32_t)r->cases.len);
    alloc_free(any);
    enum sat_answer a = theorem_question(r, &one, 1);
    for (size_t i = 0; i < r->cases.len && a != SAT_NO; i++) {
        const struct theorem_case *c = &r->cases.at[i];
        if (theorem_question(r, c->formulas, c->count) == SAT_YES) {
            refute_by(r, c);
            return;
        }
    }
    if (a != SAT_NO)
        theorem_unproved(r);
}

enum result theorem_given(struct theorem_prover *p, uint32_t index, const struct fact *computed,
                          uint32_t *formula)
{
    struct theorem_run r = {
        .p = p, .theorem = IMAGE_AT(p->image, p->image->theorems, struct image_theorem) + index};
    *formula = space_guard(p->space, 0, r.theorem->guard);
    if (computed)
        *formula = space_and(p->space, (const uint32_t[]){*formula, pin(&r, computed)}, 2);
    return r.err;
}

enum result theorem_ask(struct theorem_prover *p, uint32_t index, const struct fact *computed,
                        struct theorem_answer *out)
{
    const struct image_theorem *t = IMAGE_AT(p->image, p->image->theorems, struct image_theorem);
    const struct image_claim *c;
    struct theorem_run r = {
        .p = p, .theorem = t + index, .answer = out, .cases = {.cap = 1u << 24}};
    *out = (struct theorem_answer){
        .verdict = THEOREM_PROVED, .claim = IMAGE_NONE, .route = IMAGE_NONE};
    assert(index < p->image->theorems.count);
    r.flags = r.theorem->is_test && !computed ? 0 : SPACE_FAILURES;
    r.err = theorem_given(p, index, computed, &r.guard);
    c = IMAGE_AT(p->image, r.theorem->claims, struct image_claim);
    r.claim = c;
    bool never = r.theorem->claims.count == 1 && c->kind == IMAGE_CLAIM_NEVER;
    if (!r.err && !never && theorem_question(&r, NULL, 0) == SAT_NO)
        out->verdict = THEOREM_EMPTY;
    for (uint32_t i = 0; i < r.theorem->claims.count && !r.err && out->verdict == THEOREM_PROVED;
         i++) {
        r.claim = &c[i];
        if (c[i].kind == IMAGE_CLAIM_COSTS)
            theorem_costs(&r);
        else
            answer_claim(&r);
    }
    VEC_DEINIT(&r.cases);
    if (!r.err)
        r.err = feasible_result(p->feasible);
    if ((r.err == RESULT_LIMIT || r.err == RESULT_UNSUPPORTED) && out->verdict != THEOREM_REFUTED) {
        r.err = RESULT_OK;
        theorem_unproved(&r);
    }
    return r.err;
}
