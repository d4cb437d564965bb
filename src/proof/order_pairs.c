// Routes whose guards can hold together although they end in different ways: there the order decides.
#include "base/alloc.h"
#include "proof/order_inner.h"

static bool drawn_together(const struct order *o, uint32_t a, uint32_t b)
{
    const uint64_t *x = space_bits(o->s, a), *y = space_bits(o->s, b), *live = space_live(o->s);
    uint64_t flip_x = a & 1 ? ~UINT64_C(0) : 0, flip_y = b & 1 ? ~UINT64_C(0) : 0;
    for (uint32_t w = 0; w < o->words; w++)
        if ((x[w] ^ flip_x) & (y[w] ^ flip_y) & live[w])
            return true;
    return false;
}

static enum sat_answer together(struct order *o, uint32_t i, uint32_t j)
{
    uint32_t claims[] = {o->guards[i], o->guards[j]};
    if (drawn_together(o, claims[0], claims[1])) {
        order_count(o, true, false);
        return SAT_YES;
    }
    if (o->pairs >= ORDER_PAIRS_MAX ||
        space_effort(o->s).propagations - o->pair_steps >= ORDER_PAIR_STEPS_MAX) {
        order_count(o, false, false);
        return SAT_UNKNOWN;
    }
    o->pairs++;
    return order_ask(o, claims, 2, SPACE_NOT_DRAWN, false);
}

static void show(struct order *o, uint32_t i, uint32_t j)
{
    uint32_t claims[] = {o->guards[i], o->guards[j]};
    struct space_witness w;
    if (space_ask(o->s, claims, 2, 0) != SAT_YES)
        return;
    if (space_witness(o->s, o->image, claims, 2, o->arena, &w) == RESULT_OK)
        o->routes[j].overlap_witness = w.json;
    else if (space_result(o->s) == RESULT_NOMEM)
        o->err = RESULT_NOMEM;
}

static bool idle_route(const struct order *o, uint32_t i)
{
    return o->routes[i].status == ORDER_VACUOUS || image_route(o->p, (int32_t)i)->is_otherwise;
}

void order_overlaps(struct order *o)
{
    o->pair_steps = space_effort(o->s).propagations;
    for (uint32_t j = 1; j < o->count && !o->err; j++) {
        struct order_route *r = &o->routes[j];
        if (idle_route(o, j))
            continue;
        for (uint32_t i = 0; i < j && !o->err; i++) {
            if (o->effects[i] == o->effects[j] || idle_route(o, i))
                continue;
            enum sat_answer a = together(o, i, j);
            r->overlaps_open += a == SAT_UNKNOWN;
            if (a != SAT_YES)
                continue;
            if (r->overlaps++ == 0)
                show(o, i, j);
            if (r->shown < ORDER_SHOWN)
                r->overlap[r->shown++] = (int32_t)i;
        }
    }
}
