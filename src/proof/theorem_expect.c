// Merit's own answers to the questions of the SMT-LIB script.
#include "base/alloc.h"
#include "proof/theorem_inner.h"

static const struct way *way_of(const struct theorem_prover *p, int32_t route)
{
    // Routes stand first, in their order.
    return &p->ways.at[route];
}

static uint32_t any_case(struct theorem_run *r)
{
    uint32_t *any = alloc_zeroed(r->cases.len + 1, sizeof *any), all;
    if (!any) {
        r->err = RESULT_NOMEM;
        return SPACE_TRUE;
    }
    for (size_t i = 0; i < r->cases.len; i++)
        any[i] = space_and(r->p->space, r->cases.at[i].formulas, r->cases.at[i].count);
    all = space_or(r->p->space, any, (uint32_t)r->cases.len);
    alloc_free(any);
    return all;
}

// Taken, and the next route whose guard holds does something else.
static uint32_t redundant(struct theorem_prover *p, int32_t route)
{
    struct space *s = p->space;
    uint32_t same = SPACE_FALSE;
    for (int32_t i = (int32_t)p->image->routes.count - 1; i > route; i--) {
        uint32_t guard = space_route(s, 0, i);
        bool equal = smtlib_same_effect(p->image, route, i);
        same = equal ? space_or(s, (const uint32_t[]){guard, same}, 2)
                     : space_and(s, (const uint32_t[]){space_not(guard), same}, 2);
    }
    return space_and(
        s, (const uint32_t[]){feasible_enters(p->feasible, way_of(p, route)), space_not(same)}, 2);
}

static uint32_t infeasible(struct theorem_prover *p, int32_t route)
{
    const struct way *w = way_of(p, route);
    uint32_t all = feasible_enters(p->feasible, w);
    for (uint32_t c = 0; c < w->count; c++)
        all = space_and(p->space,
                        (const uint32_t[]){all, space_not(feasible_chain_bare(p->feasible, w, c))},
                        2);
    return all;
}

static bool lacks(const struct way_chain *c, const struct image_constraint *q)
{
    if (!c->delivers)
        return false;
    if (!c->refuses && !way_chain_passes(c, q->step, q->sink))
        return true;
    for (uint32_t i = 0; i < c->count; i++)
        if (c->steps[i].is->kind == IMAGE_STEP_CACHE && !way_hit_passes(c, i, q->step, q->sink))
            return true;
    return false;
}

static uint32_t missed(struct theorem_prover *p, int32_t route, int32_t constraint)
{
    const struct way *w = way_of(p, route);
    const struct image_constraint *q =
        IMAGE_AT(p->image, p->image->constraints, struct image_constraint) + constraint;
    uint32_t any = SPACE_FALSE;
    for (uint32_t c = 0; c < w->count; c++) {
        if (!lacks(&w->chains[c], q))
            continue;
        uint32_t all = feasible_chain_bare(p->feasible, w, c);
        for (uint32_t k = 0; k < w->count; k++)
            if (k > c || (k < c && !w->chains[k].fails))
                all = space_and(
                    p->space, (const uint32_t[]){all, space_not(feasible_chain(p->feasible, w, k))},
                    2);
        any = space_or(p->space, (const uint32_t[]){any, all}, 2);
    }
    const uint32_t all[] = {feasible_enters(p->feasible, w),
                            feasible_active(p->feasible, (uint32_t)constraint), any};
    return space_and(p->space, all, 3);
}

static uint32_t leaks(struct theorem_run *r, int32_t way, int32_t place)
{
    int32_t models = (int32_t)r->p->image->models.count;
    const struct image_claim c = {.kind = IMAGE_CLAIM_REACHES,
                                  .negated = true,
                                  .target = place < models ? IMAGE_FORBID_MODEL : IMAGE_FORBID_SINK,
                                  .index = place < models ? place : place - models,
                                  .lattice = THEOREM_UNCLEARED};
    r->claim = &c;
    theorem_shows(r, &r->p->ways.at[way]);
    r->claim = NULL;
    return any_case(r);
}

static uint32_t broken(struct theorem_run *r, int32_t theorem, int32_t claim)
{
    const struct policy_image *p = r->p->image;
    r->theorem = IMAGE_AT(p, p->theorems, struct image_theorem) + theorem;
    r->claim = IMAGE_AT(p, r->theorem->claims, struct image_claim) + claim;
    r->flags = r->theorem->is_test ? 0 : SPACE_FAILURES;
    theorem_cases(r);
    return space_and(
        r->p->space,
        (const uint32_t[]){space_guard(r->p->space, 0, r->theorem->guard), any_case(r)}, 2);
}

enum sat_answer theorem_expect(void *ctx, const struct smtlib_question *q)
{
    struct theorem_prover *p = ctx;
    struct theorem_run r = {.p = p, .cases = {.cap = 1u << 24}};
    uint32_t f = SPACE_FALSE;
    switch (q->ask) {
    case SMTLIB_VACUOUS:
        f = space_route(p->space, 0, q->a);
        break;
    case SMTLIB_SHADOWED:
        f = feasible_enters(p->feasible, way_of(p, q->a));
        break;
    case SMTLIB_REDUNDANT:
        f = redundant(p, q->a);
        break;
    case SMTLIB_OVERLAP:
        f = space_and(
            p->space,
            (const uint32_t[]){space_route(p->space, 0, q->a), space_route(p->space, 0, q->b)}, 2);
        break;
    case SMTLIB_INFEASIBLE:
        f = infeasible(p, q->a);
        break;
    case SMTLIB_OBLIGATION:
        f = missed(p, q->a, q->b);
        break;
    case SMTLIB_FLOW:
        r.flags = SPACE_FAILURES;
        f = leaks(&r, q->a, q->b);
        break;
    case SMTLIB_CLAIM:
        f = broken(&r, q->a, q->b);
        break;
    case SMTLIB_ASK_COUNT_:
        break;
    }
    VEC_DEINIT(&r.cases);
    if (r.err || feasible_result(p->feasible))
        return SAT_UNKNOWN;
    return space_ask(p->space, &f, 1, r.flags);
}
