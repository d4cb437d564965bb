// Which route takes a request, before and after, and whether what is done with it is the same.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "proof/diff_inner.h"

static uint32_t enters(struct diff *d, unsigned side, uint32_t route)
{
    const struct theorem_prover *p = &d->side[side].prover;
    return feasible_enters(p->feasible, &p->ways.at[route]);
}

static uint32_t differ(struct diff *d, uint32_t a, uint32_t b)
{
    return diff_or2(d, diff_and2(d, a, space_not(b)), diff_and2(d, space_not(a), b));
}

// Requests that get the effect; chain `c` of it is tried (c >= 0); a binding of a step may be used (k >= 0).
static uint32_t with_effect(struct diff *d, unsigned side, uint32_t effect, int32_t c,
                            uint32_t step, int32_t k)
{
    const struct diff_side *s = &d->side[side];
    uint32_t any = SPACE_FALSE;
    for (uint32_t r = 0; r < s->image->routes.count; r++) {
        const struct way *w = &s->prover.ways.at[r];
        if (s->effect[r] != effect)
            continue;
        any = diff_or2(d, any,
                       c < 0 ? feasible_enters(s->prover.feasible, w)
                       : k < 0
                           ? feasible_tried(s->prover.feasible, w, (uint32_t)c)
                           : feasible_used(s->prover.feasible, w, (uint32_t)c, step, (uint32_t)k));
    }
    return any;
}

static uint32_t effect_differs(struct diff *d, uint32_t effect, const struct way *like)
{
    uint32_t any =
        differ(d, with_effect(d, OLD, effect, -1, 0, -1), with_effect(d, NEW, effect, -1, 0, -1));
    for (uint32_t c = 0; like && c < like->count; c++) {
        any = diff_or2(d, any,
                       differ(d, with_effect(d, OLD, effect, (int32_t)c, 0, -1),
                              with_effect(d, NEW, effect, (int32_t)c, 0, -1)));
        for (uint32_t i = 0; i < like->chains[c].count; i++)
            for (uint32_t k = 0; k < like->chains[c].steps[i].binding_count; k++)
                any = diff_or2(d, any,
                               differ(d, with_effect(d, OLD, effect, (int32_t)c, i, (int32_t)k),
                                      with_effect(d, NEW, effect, (int32_t)c, i, (int32_t)k)));
    }
    return any;
}

// A route that has the effect, on either side.
static const struct way *like(const struct diff *d, uint32_t effect)
{
    for (unsigned side = 0; side < 2; side++)
        for (uint32_t r = 0; r < d->side[side].image->routes.count; r++)
            if (d->side[side].effect[r] == effect)
                return &d->side[side].prover.ways.at[r];
    return NULL;
}

// By its name: whether the model may be asked.
static uint32_t by_name(struct diff *d, unsigned side, struct slice model)
{
    const struct theorem_prover *p = &d->side[side].prover;
    int32_t m = image_find_model(p->image, model);
    for (uint32_t w = 0; w < p->ways.count && m >= 0; w++)
        if (p->ways.at[w].kind == WAY_MODEL && p->ways.at[w].model == m)
            return feasible_chain(p->feasible, &p->ways.at[w], 0);
    return SPACE_FALSE;
}

uint32_t diff_others(struct diff *d)
{
    uint32_t any = SPACE_FALSE;
    for (uint32_t e = 0; e < d->effects; e++)
        any = diff_or2(d, any, effect_differs(d, e, like(d, e)));
    for (unsigned side = 0; side < 2; side++) {
        const struct policy_image *p = d->side[side].image;
        for (uint32_t m = 0; m < p->models.count; m++) {
            struct slice name = image_text(p, image_model(p, (int32_t)m)->name);
            if (side == NEW && image_find_model(d->side[OLD].image, name) >= 0)
                continue;
            any = diff_or2(d, any, differ(d, by_name(d, OLD, name), by_name(d, NEW, name)));
        }
        for (uint32_t i = 0; i < p->constraints.count; i++) {
            enum image_unit unit;
            int64_t limit;
            if (!diff_budget(d, side, i, &unit, &limit))
                continue;
            any = diff_or2(d, any,
                           differ(d, feasible_unkept(d->side[OLD].prover.feasible, unit, limit),
                                  feasible_unkept(d->side[NEW].prover.feasible, unit, limit)));
        }
    }
    return any;
}

// ---- moves

// A change of route that changes nothing else is no move.
static bool is_move(const struct diff *d, int32_t from, int32_t to)
{
    return d->side[OLD].effect[from] != d->side[NEW].effect[to];
}

static void add_move(struct diff *d, int32_t from, int32_t to)
{
    const uint32_t claims[] = {enters(d, OLD, (uint32_t)from), enters(d, NEW, (uint32_t)to)};
    struct space_share s = space_share(d->space, claims, 2);
    struct diff_move m = {
        .from = from, .to = to, .share = s.share, .error = s.error, .exact = s.exact};
    if (space_ask(d->space, claims, 2, 0) != SAT_YES) {
        d->open++;
        return;
    }
    m.witness_old = diff_witness(d, OLD, claims, 2);
    m.witness_new = diff_witness(d, NEW, claims, 2);
    if (!VEC_PUSH(&d->moves, m))
        d->err = RESULT_NOMEM;
}

// All new routes that take a request which `from` took. First whether there is any left that has another effect: mostly
// there is none, and one question says so.
static void moves_from(struct diff *d, int32_t from)
{
    const struct policy_image *new = d->side[NEW].image;
    uint32_t taken = enters(d, OLD, (uint32_t)from), left = SPACE_FALSE;
    for (uint32_t to = 0; to < new->routes.count; to++)
        if (is_move(d, from, (int32_t)to))
            left = diff_or2(d, left, enters(d, NEW, to));
    for (uint32_t to = 0; to < new->routes.count && !d->err; to++) {
        if (!is_move(d, from, (int32_t)to))
            continue;
        const uint32_t any[] = {taken, left};
        enum sat_answer a = space_ask(d->space, any, 2, 0);
        if (a == SAT_NO)
            return;
        uint32_t here = enters(d, NEW, to);
        const uint32_t claims[] = {taken, here};
        a = space_ask(d->space, claims, 2, 0);
        if (a == SAT_YES)
            add_move(d, from, (int32_t)to);
        d->open += a == SAT_UNKNOWN;
        left = diff_and2(d, left, space_not(here));
    }
}

static int by_share(const void *a, const void *b)
{
    const struct diff_move *x = a, *y = b;
    if (x->share != y->share)
        return x->share < y->share ? 1 : -1;
    return x->from != y->from ? (x->from < y->from ? -1 : 1) : x->to < y->to ? -1 : 1;
}

void diff_moves(struct diff *d, struct diff_report *out)
{
    uint32_t moved = SPACE_FALSE;
    for (uint32_t i = 0; i < d->side[OLD].image->routes.count && !d->err; i++)
        moves_from(d, (int32_t)i);
    if (d->moves.len > 1)
        qsort(d->moves.at, d->moves.len, sizeof *d->moves.at, by_share);
    for (size_t i = 0; i < d->moves.len; i++)
        moved = diff_or2(d, moved,
                         diff_and2(d, enters(d, OLD, (uint32_t)d->moves.at[i].from),
                                   enters(d, NEW, (uint32_t)d->moves.at[i].to)));
    struct space_share s = space_share(d->space, &moved, 1);
    out->moved = s.share;
    out->moved_error = s.error;
    out->moved_exact = s.exact;
    uint32_t others = diff_others(d);
    out->same = space_ask(d->space, &others, 1, SPACE_FAILURES) == SAT_NO;
}
