// Conditions that never decide their guard. A condition decides for those requests for which it is observable: on the way
// from it to the root, what stands beside it in an AND holds and in an OR does not.
#include "base/alloc.h"
#include "proof/order_inner.h"

struct watch {
    struct order *o;
    uint32_t route;
    const struct image_node *nodes;
    uint32_t *formula; // per node
    uint64_t *seen;    // per depth: drawn requests for which the node is observable
    uint32_t *beside;  // claims under which it is
    uint32_t beside_count, beside_room;
};

static uint64_t bits_of(const struct order *o, uint32_t formula, uint32_t w)
{
    uint64_t bits = space_bits(o->s, formula)[w];
    return formula & 1 ? ~bits : bits;
}

static void make_formulas(struct watch *x, uint32_t at, uint32_t base)
{
    const struct image_node *n = &x->nodes[at];
    struct image_list part = {base + at * (uint32_t)sizeof *n, n->size};
    x->formula[at] = space_guard(x->o->s, x->o->image, part);
    for (uint32_t c = at + 1; c < at + n->size; c += x->nodes[c].size)
        make_formulas(x, c, base);
}

// Whether the condition decides for some request where it is (`value`) or is not true.
static enum sat_answer decides(struct watch *x, uint32_t at, const uint64_t *seen, bool value)
{
    struct order *o = x->o;
    uint32_t f = x->formula[at] ^ !value;
    for (uint32_t w = 0; w < o->words; w++)
        if (seen[w] & bits_of(o, f, w)) {
            order_count(o, true, false);
            return SAT_YES;
        }
    x->beside[x->beside_count] = f;
    return order_ask(o, x->beside, x->beside_count + 1, SPACE_NOT_DRAWN, false);
}

static void condition(struct watch *x, uint32_t at, const uint64_t *seen)
{
    struct order *o = x->o;
    // It does not matter that it is false where it is never observably false: it could be left out as true.
    for (int always = 1; always >= 0; always--) {
        if (decides(x, at, seen, !always) != SAT_NO)
            continue;
        uint32_t f = x->formula[at] ^ (uint32_t)always;
        struct order_idle idle = {(int32_t)x->route, at, always != 0,
                                  space_ask(o->s, &f, 1, 0) == SAT_NO};
        if (!VEC_PUSH(&o->idle, idle))
            o->err = RESULT_NOMEM;
        return;
    }
}

static void look(struct watch *x, uint32_t at, uint32_t depth)
{
    struct order *o = x->o;
    const struct image_node *n = &x->nodes[at];
    const uint64_t *seen = x->seen + (size_t)depth * o->words;
    uint64_t *next = x->seen + ((size_t)depth + 1) * o->words;
    if (n->kind == IMAGE_NODE_ATOM)
        condition(x, at, seen);
    if (n->kind == IMAGE_NODE_NOT) {
        memcpy(next, seen, o->words * sizeof *next);
        look(x, at + 1, depth + 1);
    }
    if (n->kind != IMAGE_NODE_AND && n->kind != IMAGE_NODE_OR)
        return;
    uint32_t flip = n->kind == IMAGE_NODE_OR, end = at + n->size, before = x->beside_count;
    for (uint32_t c = at + 1; c < end && !o->err; c += x->nodes[c].size) {
        memcpy(next, seen, o->words * sizeof *next);
        for (uint32_t k = at + 1; k < end; k += x->nodes[k].size) {
            if (k == c)
                continue;
            x->beside[x->beside_count++] = x->formula[k] ^ flip;
            for (uint32_t w = 0; w < o->words; w++)
                next[w] &= bits_of(o, x->formula[k] ^ flip, w);
        }
        look(x, c, depth + 1);
        x->beside_count = before;
    }
}

static void route(struct order *o, uint32_t i)
{
    struct image_list guard = image_route(o->p, (int32_t)i)->guard;
    struct watch x = {.o = o, .route = i, .nodes = IMAGE_AT(o->p, guard, struct image_node)};
    size_t depth = guard.count < IMAGE_GUARD_DEPTH_MAX ? guard.count : IMAGE_GUARD_DEPTH_MAX;
    x.formula = alloc_bytes(guard.count * sizeof *x.formula);
    x.beside = alloc_bytes((guard.count + 1) * sizeof *x.beside);
    x.seen = alloc_bytes((depth + 2) * o->words * sizeof *x.seen);
    if (!x.formula || !x.beside || !x.seen) {
        o->err = RESULT_NOMEM;
    } else {
        make_formulas(&x, 0, guard.at);
        memcpy(x.seen, space_live(o->s), o->words * sizeof *x.seen);
        if (!space_result(o->s))
            look(&x, 0, 0);
    }
    alloc_free(x.formula);
    alloc_free(x.beside);
    alloc_free(x.seen);
}

void order_conditions(struct order *o)
{
    for (uint32_t i = 0; i < o->count && !o->err; i++) {
        uint32_t nodes = image_route(o->p, (int32_t)i)->guard.count;
        if (!nodes || o->routes[i].status == ORDER_VACUOUS)
            continue;
        if (nodes > ORDER_CONDITIONS_MAX)
            order_count(o, false, false);
        else
            route(o, i);
    }
}
