#include "route/table.h"

#include <string.h>

enum { QUICK_WORDS_MAX = 8, LANES = 4 };

// Four words that are worked on at once; plain C where the machine has nothing of the kind.
typedef uint64_t lanes __attribute__((vector_size(LANES * sizeof(uint64_t))));

struct builder {
    const struct policy_image *image;
    const struct image_node *tree; // of the guard being built
    struct table_node *nodes;
    struct table_literals *literals;
    uint32_t node_count, literal_count;
};

// Looks through NOTs: the node that decides, and whether it is negated.
static uint32_t through_not(const struct builder *b, uint32_t at, bool *negated)
{
    while (b->tree[at].kind == IMAGE_NODE_NOT) {
        *negated = !*negated;
        at++;
    }
    return at;
}

static bool is_all(const struct image_node *n, bool negated)
{
    return (n->kind == IMAGE_NODE_AND) != negated;
}

static void literal_add(struct builder *b, struct table_node *node, uint32_t atom, bool negated)
{
    uint32_t word = atom / 64, i = node->literal_at;
    while (i < b->literal_count && b->literals[i].word != word)
        i++;
    if (i == b->literal_count)
        b->literals[b->literal_count++] = (struct table_literals){.word = word};
    uint64_t bit = UINT64_C(1) << (atom % 64);
    if (negated)
        b->literals[i].neg |= bit;
    else
        b->literals[i].pos |= bit;
}

// Collects the literals of a flattened node: those of the group `at` and of groups of the same kind inside it.
static void gather(struct builder *b, struct table_node *node, uint32_t at, bool negated)
{
    uint32_t end = at + b->tree[at].size;
    for (uint32_t child = at + 1; child < end; child += b->tree[child].size) {
        bool n = negated;
        uint32_t c = through_not(b, child, &n);
        const struct image_node *what = &b->tree[c];
        if (what->kind == IMAGE_NODE_ATOM)
            literal_add(b, node, what->arg, n);
        else if (what->kind != IMAGE_NODE_TRUE && is_all(what, n) == node->all)
            gather(b, node, c, n);
    }
}

static void build(struct builder *b, uint32_t at, bool negated);

static void build_children(struct builder *b, bool all, uint32_t at, bool negated)
{
    uint32_t end = at + b->tree[at].size;
    for (uint32_t child = at + 1; child < end; child += b->tree[child].size) {
        bool n = negated;
        uint32_t c = through_not(b, child, &n);
        const struct image_node *what = &b->tree[c];
        if (what->kind == IMAGE_NODE_ATOM)
            continue;
        if (what->kind != IMAGE_NODE_TRUE && is_all(what, n) == all)
            build_children(b, all, c, n);
        else
            build(b, c, n);
    }
}

static void build(struct builder *b, uint32_t at, bool negated)
{
    at = through_not(b, at, &negated);
    const struct image_node *what = &b->tree[at];
    uint32_t index = b->node_count++;
    struct table_node *node = &b->nodes[index];
    *node = (struct table_node){.literal_at = b->literal_count};
    if (what->kind == IMAGE_NODE_ATOM) {
        node->all = true;
        literal_add(b, node, what->arg, negated);
    } else if (what->kind == IMAGE_NODE_TRUE) {
        node->all = !negated;
    } else {
        node->all = is_all(what, negated);
        gather(b, node, at, negated);
    }
    node->literal_count = b->literal_count - node->literal_at;
    if (what->kind == IMAGE_NODE_AND || what->kind == IMAGE_NODE_OR)
        build_children(b, node->all, at, negated);
    node->size = b->node_count - index;
}

static uint32_t build_guard(struct builder *b, struct image_list guard)
{
    static const struct image_node always = {.kind = IMAGE_NODE_TRUE, .size = 1};
    uint32_t at = b->node_count;
    b->tree = guard.count ? IMAGE_AT(b->image, guard, struct image_node) : &always;
    build(b, 0, false);
    return at;
}

static size_t nodes_of_terms(const struct policy_image *p, uint32_t *terms)
{
    size_t nodes = 0;
    *terms = 0;
    for (uint32_t i = 0; i < p->signals.count; i++) {
        const struct image_signal *s = image_signal(p, (int32_t)i);
        const struct image_term *t = IMAGE_AT(p, s->terms, struct image_term);
        if (s->derive == IMAGE_DERIVE_NONE)
            continue;
        *terms += s->terms.count;
        for (uint32_t k = 0; k < s->terms.count; k++)
            nodes += t[k].guard.count + 1;
    }
    return nodes;
}

// All guards in one array of nodes.
static enum result build_guards(struct route_table *t, struct table_derived *derived,
                                struct arena *arena)
{
    const struct policy_image *p = t->image;
    const struct image_constraint *constraints =
        IMAGE_AT(p, p->constraints, struct image_constraint);
    uint32_t terms, term = 0;
    size_t nodes = nodes_of_terms(p, &terms);
    for (uint32_t i = 0; i < p->routes.count; i++)
        nodes += image_route(p, (int32_t)i)->guard.count + 1;
    for (uint32_t i = 0; i < p->constraints.count; i++)
        nodes += constraints[i].guard.count + 1;
    uint32_t *of_route = ARENA_ARRAY(arena, uint32_t, p->routes.count + 1);
    uint32_t *of_constraint = ARENA_ARRAY(arena, uint32_t, p->constraints.count + 1);
    uint32_t *of_term = ARENA_ARRAY(arena, uint32_t, terms + 1);
    struct builder b = {.image = p,
                        .nodes = ARENA_ARRAY(arena, struct table_node, nodes + 1),
                        .literals = ARENA_ARRAY(arena, struct table_literals, nodes + 1)};
    if (!of_route || !of_constraint || !of_term || !b.nodes || !b.literals)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < p->routes.count; i++)
        of_route[i] = build_guard(&b, image_route(p, (int32_t)i)->guard);
    for (uint32_t i = 0; i < p->constraints.count; i++)
        of_constraint[i] = build_guard(&b, constraints[i].guard);
    for (uint32_t d = 0; d < t->derived_count; d++) {
        const struct image_signal *s = image_signal(p, derived[d].signal);
        derived[d].guard_at = term;
        for (uint32_t k = 0; k < s->terms.count; k++)
            of_term[term++] = build_guard(&b, IMAGE_AT(p, s->terms, struct image_term)[k].guard);
    }
    t->nodes = b.nodes;
    t->literals = b.literals;
    t->guard_at = of_route;
    t->constraints.guard_at = of_constraint;
    t->term_guards = of_term;
    return RESULT_OK;
}

static enum result table_quick(struct route_table *t, struct arena *arena);

// What a run must have room for.
static void measure(struct route_table *t)
{
    const struct policy_image *p = t->image;
    t->chains_max = t->bindings_max = 1;
    for (uint32_t i = 0; i < p->routes.count; i++) {
        const struct image_route *r = image_route(p, (int32_t)i);
        const struct image_chain *chains = image_chains(p, r);
        if (r->chains.count > t->chains_max)
            t->chains_max = r->chains.count;
        for (uint32_t c = 0; c < r->chains.count; c++) {
            const struct image_step *s = IMAGE_AT(p, chains[c].steps, struct image_step);
            for (uint32_t k = 0; k < chains[c].steps.count; k++)
                if (s[k].bindings.count > t->bindings_max)
                    t->bindings_max = s[k].bindings.count;
        }
    }
}

enum result route_table_open(const struct policy_image *image, const struct route_costs *costs,
                             struct arena *arena, const struct route_table **out)
{
    *out = NULL;
    enum result r = table_check(image);
    if (r)
        return r;
    struct route_table *t = ARENA_NEW(arena, struct route_table);
    struct table_derived *derived;
    if (!t)
        return RESULT_NOMEM;
    t->image = image;
    t->costs = costs;
    measure(t);
    r = table_index_atoms(t, arena);
    if (!r)
        r = table_index_derived(t, &derived, arena);
    if (!r)
        r = build_guards(t, derived, arena);
    if (!r)
        r = table_quick(t, arena);
    if (!r)
        r = table_index_constraints(t, arena);
    if (!r)
        *out = t;
    return r;
}

static int32_t first_atom(const struct table_literals *l, uint64_t of)
{
    return (int32_t)(l->word * 64 + (uint32_t)__builtin_ctzll(of));
}

enum tri table_eval(const struct route_table *t, uint32_t at, const uint64_t *known,
                    const uint64_t *value, int32_t *why)
{
    const struct table_node *n = &t->nodes[at];
    bool open = false;
    int32_t reason = IMAGE_NONE, ignored;
    for (uint32_t i = 0; i < n->literal_count; i++) {
        const struct table_literals *l = &t->literals[n->literal_at + i];
        uint64_t k = known[l->word], v = value[l->word], all = l->pos | l->neg;
        uint64_t hold = (l->pos & v) | (l->neg & k & ~v), fail = (l->pos & k & ~v) | (l->neg & v);
        if (n->all && fail) {
            *why = first_atom(l, fail);
            return TRI_FALSE;
        }
        if (!n->all && hold)
            return TRI_TRUE;
        open |= (all & ~k) != 0;
        if (reason == IMAGE_NONE)
            reason = first_atom(l, all);
    }
    for (uint32_t child = at + 1, end = at + n->size; child < end; child += t->nodes[child].size) {
        enum tri v =
            table_eval(t, child, known, value, n->all || reason == IMAGE_NONE ? &reason : &ignored);
        if (v == TRI_UNKNOWN)
            open = true;
        else if (n->all && v == TRI_FALSE) {
            *why = reason;
            return TRI_FALSE;
        } else if (!n->all && v == TRI_TRUE)
            return TRI_TRUE;
    }
    if (open)
        return TRI_UNKNOWN;
    *why = reason;
    return n->all ? TRI_TRUE : TRI_FALSE;
}

static enum result table_quick(struct route_table *t, struct arena *arena)
{
    uint32_t routes = t->image->routes.count;
    if (!t->words || t->words > QUICK_WORDS_MAX)
        return RESULT_OK;
    t->row = (routes + LANES - 1) / LANES * LANES;
    size_t bytes = (size_t)t->words * t->row * sizeof(uint64_t);
    uint64_t *must = arena_alloc_aligned(arena, bytes, sizeof(lanes));
    uint64_t *must_not = arena_alloc_aligned(arena, bytes, sizeof(lanes));
    uint8_t *whole = ARENA_ARRAY(arena, uint8_t, t->row + 1);
    if (!must || !must_not || !whole)
        return RESULT_NOMEM;
    memset(must, 0, bytes);
    memset(must_not, 0, bytes);
    for (uint32_t i = 0; i < routes; i++) {
        const struct table_node *n = &t->nodes[t->guard_at[i]];
        if (!n->all)
            continue;
        whole[i] = n->size == 1;
        for (uint32_t k = 0; k < n->literal_count; k++) {
            const struct table_literals *l = &t->literals[n->literal_at + k];
            must[l->word * t->row + i] |= l->pos;
            must_not[l->word * t->row + i] |= l->neg;
        }
    }
    t->must = must;
    t->must_not = must_not;
    t->whole = whole;
    return RESULT_OK;
}

// The first route from `i` on whose conjunction nothing refutes; t->row or a route of nothing behind the last one.
static uint32_t not_refuted(const struct route_table *t, const uint64_t *fails,
                            const uint64_t *holds, uint32_t i)
{
    for (uint32_t block = i / LANES * LANES; block < t->row; block += LANES) {
        lanes bad = {0};
        for (uint32_t w = 0; w < t->words; w++) {
            lanes pos, neg;
            memcpy(&pos, t->must + (size_t)w * t->row + block, sizeof pos);
            memcpy(&neg, t->must_not + (size_t)w * t->row + block, sizeof neg);
            bad |= (pos & fails[w]) | (neg & holds[w]);
        }
        for (uint32_t k = 0; k < LANES; k++)
            if (!bad[k] && block + k >= i)
                return block + k;
    }
    return t->row;
}

static enum tri conjunction(const struct route_table *t, const uint64_t *known, uint32_t i)
{
    uint64_t open = 0;
    for (uint32_t w = 0; w < t->words; w++)
        open |= (t->must[(size_t)w * t->row + i] | t->must_not[(size_t)w * t->row + i]) & ~known[w];
    return open ? TRI_UNKNOWN : TRI_TRUE;
}

enum tri table_first(const struct route_table *t, const uint64_t *known, const uint64_t *value,
                     uint32_t *route)
{
    uint32_t routes = t->image->routes.count;
    uint64_t fails[QUICK_WORDS_MAX];
    int32_t why;
    for (uint32_t w = 0; t->must && w < t->words; w++)
        fails[w] = known[w] & ~value[w];
    for (uint32_t i = *route; i < routes; i++) {
        if (t->must)
            i = not_refuted(t, fails, value, i);
        if (i >= routes)
            break;
        enum tri v = t->must && t->whole[i] ? conjunction(t, known, i)
                                            : table_eval(t, t->guard_at[i], known, value, &why);
        if (v != TRI_FALSE) {
            *route = i;
            return v;
        }
    }
    *route = routes;
    return TRI_FALSE;
}
