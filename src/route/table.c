#include "route/table.h"

struct builder {
    const struct policy_image *image;
    const struct image_node *tree; // of the guard being built
    struct table_node *nodes;
    struct table_literals *literals;
    uint32_t node_count, literal_count;
};

// Checks shape and indexes of the subtree at `at`, so that building needs no checks. `limit` is the end of the guard.
static enum result guard_check(const struct policy_image *p, const struct image_node *tree,
                               uint32_t at, uint32_t limit, unsigned depth)
{
    if (depth > ROUTE_GUARD_DEPTH_MAX)
        return RESULT_DEPTH;
    if (at >= limit || tree[at].size == 0 || tree[at].size > limit - at)
        return RESULT_SYNTAX;
    const struct image_node *n = &tree[at];
    uint32_t end = at + n->size, child = at + 1, count = 0;
    switch (n->kind) {
    case IMAGE_NODE_TRUE:
        return n->size == 1 ? RESULT_OK : RESULT_SYNTAX;
    case IMAGE_NODE_ATOM:
        return n->size == 1 && n->arg < p->atoms.count ? RESULT_OK : RESULT_SYNTAX;
    case IMAGE_NODE_NOT:
    case IMAGE_NODE_AND:
    case IMAGE_NODE_OR:
        break;
    default:
        return RESULT_SYNTAX;
    }
    while (child < end) {
        enum result r = guard_check(p, tree, child, end, depth + 1);
        if (r)
            return r;
        child += tree[child].size;
        count++;
    }
    return count == (n->kind == IMAGE_NODE_NOT ? 1 : n->arg) ? RESULT_OK : RESULT_SYNTAX;
}

static enum result steps_check(const struct policy_image *p, struct image_list list)
{
    const struct image_step *steps = IMAGE_AT(p, list, struct image_step);
    for (uint32_t i = 0; i < list.count; i++) {
        const struct image_binding *b = IMAGE_AT(p, steps[i].bindings, struct image_binding);
        for (uint32_t k = 0; steps[i].kind == IMAGE_STEP_ANSWER && k < steps[i].bindings.count; k++)
            if (b[k].model < 0 || (uint32_t)b[k].model >= p->models.count)
                return RESULT_SYNTAX;
    }
    return RESULT_OK;
}

static enum result image_check(const struct policy_image *p)
{
    const struct image_atom *atoms = IMAGE_AT(p, p->atoms, struct image_atom);
    for (uint32_t i = 0; i < p->atoms.count; i++)
        if (atoms[i].signal < 0 || (uint32_t)atoms[i].signal >= p->signals.count)
            return RESULT_SYNTAX;
    const struct image_alias *aliases = IMAGE_AT(p, p->aliases, struct image_alias);
    for (uint32_t i = 0; i < p->aliases.count; i++) {
        uint32_t limit = aliases[i].target == IMAGE_TARGET_ROUTE   ? p->routes.count
                         : aliases[i].target == IMAGE_TARGET_MODEL ? p->models.count
                                                                   : UINT32_MAX;
        if (limit != UINT32_MAX && (aliases[i].index < 0 || (uint32_t)aliases[i].index >= limit))
            return RESULT_SYNTAX;
    }
    for (uint32_t i = 0; i < p->routes.count; i++) {
        const struct image_route *r = image_route(p, (int32_t)i);
        enum result e = RESULT_OK;
        for (uint32_t c = 0; c < r->chains.count && !e; c++)
            e = steps_check(p, image_chains(p, r)[c].steps);
        if (!e && r->guard.count) {
            const struct image_node *tree = IMAGE_AT(p, r->guard, struct image_node);
            e = guard_check(p, tree, 0, r->guard.count, 0);
            if (!e && tree[0].size != r->guard.count)
                e = RESULT_SYNTAX;
        }
        if (e)
            return e;
    }
    return RESULT_OK;
}

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

static bool index_atoms(struct route_table *t, struct arena *arena)
{
    const struct policy_image *p = t->image;
    const struct image_atom *atoms = IMAGE_AT(p, p->atoms, struct image_atom);
    uint32_t *at = ARENA_ARRAY(arena, uint32_t, p->signals.count + 1);
    uint32_t *ids = ARENA_ARRAY(arena, uint32_t, p->atoms.count + 1);
    int32_t *signal = ARENA_ARRAY(arena, int32_t, p->atoms.count + 1);
    if (!at || !ids || !signal)
        return false;
    for (uint32_t i = 0; i < p->atoms.count; i++) {
        signal[i] = atoms[i].signal;
        at[atoms[i].signal + 1]++;
    }
    for (uint32_t i = 0; i < p->signals.count; i++)
        at[i + 1] += at[i];
    for (uint32_t i = p->atoms.count; i-- > 0;)
        ids[--at[atoms[i].signal + 1]] = i;
    // Each at[s + 1] has walked back to the begin of s: shift them into place.
    for (uint32_t i = 0; i < p->signals.count; i++)
        at[i] = at[i + 1];
    at[p->signals.count] = p->atoms.count;
    t->signal_at = at;
    t->signal_atoms = ids;
    t->atom_signal = signal;
    t->words = (p->atoms.count + 63) / 64;
    return true;
}

enum result route_table_open(const struct policy_image *image, const struct route_costs *costs,
                             struct arena *arena, const struct route_table **out)
{
    *out = NULL;
    enum result r = image_check(image);
    if (r)
        return r;
    size_t nodes = 0;
    for (uint32_t i = 0; i < image->routes.count; i++)
        nodes += image_route(image, (int32_t)i)->guard.count + 1;
    struct route_table *t = ARENA_NEW(arena, struct route_table);
    uint32_t *guards = ARENA_ARRAY(arena, uint32_t, image->routes.count + 1);
    struct builder b = {.image = image,
                        .nodes = ARENA_ARRAY(arena, struct table_node, nodes + 1),
                        .literals = ARENA_ARRAY(arena, struct table_literals, nodes + 1)};
    if (!t || !guards || !b.nodes || !b.literals)
        return RESULT_NOMEM;
    t->image = image;
    t->costs = costs;
    if (!index_atoms(t, arena))
        return RESULT_NOMEM;
    static const struct image_node always = {.kind = IMAGE_NODE_TRUE, .size = 1};
    for (uint32_t i = 0; i < image->routes.count; i++) {
        const struct image_route *route = image_route(image, (int32_t)i);
        guards[i] = b.node_count;
        b.tree = route->guard.count ? IMAGE_AT(image, route->guard, struct image_node) : &always;
        build(&b, 0, false);
    }
    t->nodes = b.nodes;
    t->literals = b.literals;
    t->guard_at = guards;
    *out = t;
    return RESULT_OK;
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
