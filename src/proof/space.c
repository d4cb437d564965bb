#include "proof/space.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "proof/space_inner.h"

// Per question a few hundred milliseconds at most on a machine of 2026, all together a few seconds; an ordinary policy
// needs a thousandth of it. Grade: measured, 2026-11.
const struct sat_limits space_limits_default = {
    .conflicts = 10000,
    .propagations = 20000000,
    .conflicts_all = 60000,
    .propagations_all = 200000000,
    .bytes = 128 * 1024 * 1024,
};

// Claims of a question that is searched only among the fields that it looks at.
enum { FEW_CLAIMS = 12 };

// ---- opening

static enum result make_maps(struct space *s)
{
    for (uint32_t k = 0; k < s->image_count; k++) {
        const struct policy_image *p = s->images[k];
        s->signal_input[k] = alloc_zeroed(p->signals.count + 1, sizeof **s->signal_input);
        s->signal_work[k] = alloc_zeroed(p->signals.count + 1, sizeof **s->signal_work);
        s->signal_derived[k] = alloc_bytes((p->signals.count + 1) * sizeof **s->signal_derived);
        s->atom_formula[k] = alloc_bytes((p->atoms.count + 1) * sizeof **s->atom_formula);
        if (!s->signal_input[k] || !s->signal_work[k] || !s->signal_derived[k] ||
            !s->atom_formula[k])
            return RESULT_NOMEM;
        for (uint32_t i = 0; i < p->signals.count; i++)
            s->signal_derived[k][i] = UINT32_MAX;
        for (uint32_t i = 0; i < p->atoms.count; i++)
            s->atom_formula[k][i] = UINT32_MAX;
    }
    return RESULT_OK;
}

static uint32_t add_node(struct space *s, const struct node *like, const uint32_t *list);

static void start(struct space *s)
{
    s->groups.cap = s->inputs.cap = s->fields.cap = s->literals.cap = s->possible.cap =
        s->derived.cap = s->nodes.cap = s->lists.cap = s->wanted.cap = s->visited.cap =
            s->assumed.cap = s->core.cap = s->stack.cap = UINT32_MAX / 2;
    map_init(&s->by_key, (struct hash_key){1, 2}, UINT32_MAX);
    map_init(&s->by_name, (struct hash_key){1, 2}, UINT32_MAX);
    map_init(&s->by_form, (struct hash_key){1, 2}, UINT32_MAX);
    arena_init(&s->names, 0, s->limits.bytes);
}

enum result space_open(const struct policy_image *const *images, uint32_t count,
                       const struct sat_limits *limits, struct space **out)
{
    assert(count > 0 && count <= SPACE_IMAGES_MAX);
    struct space *s = alloc_zeroed(1, sizeof *s);
    *out = NULL;
    if (!s)
        return RESULT_NOMEM;
    s->limits = *limits;
    s->image_count = count;
    for (uint32_t i = 0; i < count; i++)
        s->images[i] = images[i];
    start(s);
    enum result r = sat_open(limits, &s->sat);
    if (!r) {
        s->sound = sat_new(s->sat);
        r = make_maps(s);
    }
    if (!r)
        r = space_make_fields(s);
    if (!r)
        r = space_make_draws(s);
    // So that no pointer into them is made from nothing.
    if (!r && SPACE_PUSH(s, &s->lists, 0) && SPACE_PUSH(s, &s->stack, 0))
        s->stack.len = 0;
    if (!r) {
        uint32_t one = add_node(s, &(struct node){.kind = NODE_TRUE, .literal = SAT_TRUE}, NULL);
        assert(s->err || one == 0);
        (void)one;
        r = space_finish_derived(s);
    }
    if (!r)
        r = space_result(s);
    if (r) {
        space_close(s);
        return r;
    }
    *out = s;
    return RESULT_OK;
}

void space_close(struct space *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->groups.len; i++) {
        struct group *g = &s->groups.at[i];
        VEC_DEINIT(&g->cuts);
        VEC_DEINIT(&g->texts);
        VEC_DEINIT(&g->class_of);
        VEC_DEINIT(&g->shown);
        map_deinit(&g->index);
    }
    for (size_t i = 0; i < s->groups.len && s->drawn_number; i++)
        alloc_free(s->drawn_number[i]);
    for (size_t i = 0; i < s->derived.len; i++)
        VEC_DEINIT(&s->derived.at[i].leaves);
    VEC_DEINIT(&s->derived);
    VEC_DEINIT(&s->groups);
    VEC_DEINIT(&s->inputs);
    VEC_DEINIT(&s->fields);
    VEC_DEINIT(&s->literals);
    VEC_DEINIT(&s->possible);
    VEC_DEINIT(&s->nodes);
    VEC_DEINIT(&s->lists);
    VEC_DEINIT(&s->wanted);
    VEC_DEINIT(&s->visited);
    VEC_DEINIT(&s->assumed);
    VEC_DEINIT(&s->core);
    VEC_DEINIT(&s->stack);
    for (uint32_t k = 0; k < s->image_count; k++) {
        alloc_free(s->signal_input[k]);
        alloc_free(s->signal_work[k]);
        alloc_free(s->signal_derived[k]);
        alloc_free(s->atom_formula[k]);
    }
    map_deinit(&s->by_key);
    map_deinit(&s->by_name);
    map_deinit(&s->by_form);
    arena_deinit(&s->names);
    alloc_free(s->buckets);
    alloc_free(s->bits);
    alloc_free(s->live);
    alloc_free(s->cells);
    alloc_free(s->model);
    alloc_free(s->number);
    alloc_free(s->pinned);
    alloc_free(s->drawn_number);
    alloc_free(s->bounds);
    alloc_free(s->kept);
    alloc_free(s->kleene);
    sat_close(s->sat);
    alloc_free(s);
}

enum result space_result(const struct space *s)
{
    return s->err ? s->err : s->sat ? sat_result(s->sat) : RESULT_NOMEM;
}

const struct policy_image *space_image(const struct space *s, uint32_t image)
{
    assert(image < s->image_count);
    return s->images[image];
}

struct sat_effort space_effort(const struct space *s)
{
    return sat_effort(s->sat);
}

// ---- nodes

static uint32_t hash_node(const struct node *n, const uint32_t *list)
{
    uint64_t h = n->kind * UINT64_C(0x9e3779b97f4a7c15) ^ n->tag;
    for (uint32_t i = 0; i < n->list_count; i++)
        h = (h ^ list[i]) * UINT64_C(0xbf58476d1ce4e5b9) ^ h >> 29;
    return (uint32_t)(h >> 32);
}

static bool rehash(struct space *s)
{
    uint32_t count = s->bucket_count ? s->bucket_count * 2 : 1024;
    uint32_t *buckets = alloc_bytes(count * sizeof *buckets);
    if (!buckets)
        return space_fail(s, RESULT_NOMEM);
    for (uint32_t i = 0; i < count; i++)
        buckets[i] = UINT32_MAX;
    for (uint32_t i = 0; i < s->nodes.len; i++) {
        struct node *n = &s->nodes.at[i];
        uint32_t b = hash_node(n, s->lists.at + n->list_at) & (count - 1);
        n->next = buckets[b];
        buckets[b] = i;
    }
    alloc_free(s->buckets);
    s->buckets = buckets;
    s->bucket_count = count;
    return true;
}

// `out` holds exactly when all of the list hold.
static void conjunction(struct space *s, uint32_t out, const uint32_t *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        sat_clause(s->sat, (uint32_t[]){sat_not(out), list[i]}, 2);
        if (!SPACE_PUSH(s, &s->stack, sat_not(list[i])))
            return;
    }
    if (!SPACE_PUSH(s, &s->stack, out))
        return;
    s->stack.len -= count + 1;
    sat_clause(s->sat, s->stack.at + s->stack.len, count + 1);
}

static uint32_t cells_literal(struct space *s, const struct node *n, const uint32_t *list)
{
    const struct field *f = &s->fields.at[n->tag];
    const uint32_t *l = s->literals.at + f->literal_at;
    if (f->kind == FIELD_BOOL)
        return l[0];
    if (f->kind == FIELD_CLASS && n->list_count == 1)
        return l[list[0]];
    if (f->kind == FIELD_ORDER && list[1] == f->cells)
        return l[list[0]];
    uint32_t out = sat_new_defined(s->sat);
    if (f->kind == FIELD_ORDER) {
        conjunction(s, out, (uint32_t[]){l[list[0]], sat_not(l[list[1]])}, 2);
        return out;
    }
    // Its opposite is the conjunction of not being in any of the cells.
    uint32_t *none = alloc_bytes(n->list_count * sizeof *none);
    if (!none) {
        space_fail(s, RESULT_NOMEM);
        return SAT_TRUE;
    }
    for (uint32_t i = 0; i < n->list_count; i++)
        none[i] = sat_not(l[list[i]]);
    conjunction(s, sat_not(out), none, n->list_count);
    alloc_free(none);
    return out;
}

static uint32_t node_literal(struct space *s, const struct node *n, const uint32_t *list)
{
    if (n->kind == NODE_CELLS)
        return cells_literal(s, n, list);
    if (n->kind == NODE_ATOM)
        return space_literal(s, list[0]);
    uint32_t *parts = alloc_bytes((n->list_count + 1) * sizeof *parts);
    if (!parts) {
        space_fail(s, RESULT_NOMEM);
        return SAT_TRUE;
    }
    for (uint32_t i = 0; i < n->list_count; i++)
        parts[i] = space_literal(s, list[i]);
    uint32_t out = sat_new_defined(s->sat);
    conjunction(s, out, parts, n->list_count);
    alloc_free(parts);
    return out;
}

static bool room_for_bits(struct space *s)
{
    if (s->nodes.len < s->bits_room)
        return true;
    size_t room = s->bits_room ? s->bits_room * 2 : 256;
    uint64_t *bits = alloc_resize(s->bits, room * s->words * sizeof *bits);
    if (!bits)
        return space_fail(s, RESULT_NOMEM);
    s->bits = bits;
    s->bits_room = room;
    return true;
}

// The node of this kind and list, made when there is none yet. `list` is not part of s->lists. SPACE_TRUE on failure.
static uint32_t add_node(struct space *s, const struct node *like, const uint32_t *list)
{
    if (s->err || (s->nodes.len >= s->bucket_count && !rehash(s)))
        return SPACE_TRUE;
    uint32_t bucket = hash_node(like, list) & (s->bucket_count - 1);
    for (uint32_t i = s->buckets[bucket]; i != UINT32_MAX; i = s->nodes.at[i].next) {
        const struct node *n = &s->nodes.at[i];
        if (n->kind == like->kind && n->tag == like->tag && n->list_count == like->list_count &&
            (!n->list_count ||
             !memcmp(s->lists.at + n->list_at, list, n->list_count * sizeof *list)))
            return i * 2;
    }
    struct node n = *like;
    uint32_t at = (uint32_t)s->nodes.len;
    if (n.kind != NODE_TRUE)
        n.literal = node_literal(s, &n, list);
    if (n.kind == NODE_CELLS && s->fields.at[n.tag].derived != UINT32_MAX)
        n.derived = s->derived.at[s->fields.at[n.tag].derived].relies;
    for (uint32_t i = 0; i < n.list_count && n.kind != NODE_CELLS; i++)
        n.derived |= s->nodes.at[list[i] >> 1].derived;
    n.list_at = (uint32_t)s->lists.len;
    n.next = s->buckets[bucket];
    for (uint32_t i = 0; i < n.list_count; i++)
        (void)SPACE_PUSH(s, &s->lists, list[i]);
    if (!s->err && sat_result(s->sat))
        space_fail(s, sat_result(s->sat));
    if (s->err || !room_for_bits(s) || !SPACE_PUSH(s, &s->nodes, n))
        return SPACE_TRUE;
    s->buckets[bucket] = at;
    space_draw_node(s, at);
    return at * 2;
}

uint32_t space_cells_node(struct space *s, uint32_t field, const uint32_t *list, uint32_t count)
{
    struct node n = {.kind = NODE_CELLS, .tag = field, .list_count = count};
    return add_node(s, &n, list);
}

uint32_t space_atom_node(struct space *s, uint32_t input, uint32_t inner)
{
    struct node n = {.kind = NODE_ATOM, .tag = input, .list_count = 1};
    // The same for an atom and its opposite.
    return add_node(s, &n, (uint32_t[]){inner & ~1u}) ^ (inner & 1);
}

uint32_t space_literal(const struct space *s, uint32_t formula)
{
    return s->nodes.at[formula >> 1].literal ^ (formula & 1);
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

// The conjunction of what lies on the stack from `base` on, which is taken off. No opposites are looked for: a formula
// stays as undecided as its guard while signals are unknown.
uint32_t space_fold(struct space *s, size_t base)
{
    if (s->err)
        return SPACE_TRUE;
    uint32_t *list = s->stack.at + base, n = 0, count = (uint32_t)(s->stack.len - base);
    if (count > 1)
        qsort(list, count, sizeof *list, by_number);
    s->stack.len = base;
    for (uint32_t i = 0; i < count; i++) {
        if (list[i] == SPACE_FALSE)
            return SPACE_FALSE;
        if (list[i] != SPACE_TRUE && (n == 0 || list[n - 1] != list[i]))
            list[n++] = list[i];
    }
    if (n < 2)
        return n ? list[0] : SPACE_TRUE;
    // Making the node uses the stack.
    uint32_t *own = alloc_bytes(n * sizeof *own);
    if (!own) {
        space_fail(s, RESULT_NOMEM);
        return SPACE_TRUE;
    }
    memcpy(own, list, n * sizeof *own);
    struct node node = {.kind = NODE_AND, .list_count = n};
    uint32_t f = add_node(s, &node, own);
    alloc_free(own);
    return f;
}

uint32_t space_and(struct space *s, const uint32_t *formulas, uint32_t count)
{
    size_t base = s->stack.len;
    for (uint32_t i = 0; i < count; i++)
        if (!SPACE_PUSH(s, &s->stack, formulas[i]))
            return SPACE_TRUE;
    return space_fold(s, base);
}

uint32_t space_or(struct space *s, const uint32_t *formulas, uint32_t count)
{
    size_t base = s->stack.len;
    for (uint32_t i = 0; i < count; i++)
        if (!SPACE_PUSH(s, &s->stack, space_not(formulas[i])))
            return SPACE_TRUE;
    return space_not(space_fold(s, base));
}

uint32_t space_atom(struct space *s, uint32_t image, uint32_t atom)
{
    uint32_t *known = &s->atom_formula[image][atom];
    if (*known == UINT32_MAX && !s->err)
        *known = space_make_atom(s, image, atom);
    return s->err ? SPACE_TRUE : *known;
}

static uint32_t guard(struct space *s, uint32_t image, const struct image_node *n)
{
    if (n->kind == IMAGE_NODE_TRUE)
        return SPACE_TRUE;
    if (n->kind == IMAGE_NODE_ATOM)
        return space_atom(s, image, n->arg);
    if (n->kind == IMAGE_NODE_NOT)
        return space_not(guard(s, image, n + 1));
    uint32_t flip = n->kind == IMAGE_NODE_OR;
    size_t base = s->stack.len;
    for (const struct image_node *c = n + 1, *end = n + n->size; c < end; c += c->size) {
        uint32_t part = guard(s, image, c) ^ flip;
        if (!SPACE_PUSH(s, &s->stack, part))
            return SPACE_TRUE;
    }
    return space_fold(s, base) ^ flip;
}

uint32_t space_guard(struct space *s, uint32_t image, struct image_list list)
{
    return list.count ? guard(s, image, IMAGE_AT(s->images[image], list, struct image_node))
                      : SPACE_TRUE;
}

uint32_t space_route(struct space *s, uint32_t image, int32_t route)
{
    return space_guard(s, image, image_route(s->images[image], route)->guard);
}

// ---- questions

uint32_t space_drawn(const struct space *s)
{
    return s->drawn;
}

const uint64_t *space_bits(const struct space *s, uint32_t formula)
{
    return s->bits + (size_t)(formula >> 1) * s->words;
}

const uint64_t *space_live(const struct space *s)
{
    return s->live;
}

void space_choose(struct space *s, uint32_t i)
{
    assert(i < s->drawn);
    for (size_t f = 0; f < s->fields.len; f++)
        s->model[f] = s->cells[f * s->drawn + i];
    for (size_t k = 0; k < s->groups.len && s->derived.len; k++) {
        const struct group *g = &s->groups.at[k];
        if (s->drawn_number[k])
            s->number[k] = s->drawn_number[k][i];
        else if (g->raw == SIGNAL_NUMBER)
            (void)space_number_in(g, s->model[g->field_at], &s->number[k]);
    }
}

// The drawn requests of word `w` for which all claims hold.
static uint64_t held(const struct space *s, const uint32_t *claims, uint32_t count, uint32_t w)
{
    uint64_t all = s->live[w];
    for (uint32_t i = 0; i < count && all; i++) {
        uint64_t bits = s->bits[(size_t)(claims[i] >> 1) * s->words + w];
        all &= claims[i] & 1 ? ~bits : bits;
    }
    return all;
}

// The one that holds; of a field that the question did not look at one that may hold.
static uint32_t class_cell(const struct space *s, const struct field *f, const uint32_t *l)
{
    uint32_t open = 0;
    for (uint32_t c = f->cells; c-- > 0;) {
        if (sat_known(s->sat, l[c]) && sat_value(s->sat, l[c]))
            return c;
        if (!sat_known(s->sat, l[c]))
            open = c;
    }
    return open;
}

void space_take_cells(struct space *s)
{
    for (size_t i = 0; i < s->fields.len; i++) {
        const struct field *f = &s->fields.at[i];
        const uint32_t *l = s->literals.at + f->literal_at;
        uint32_t cell = 0;
        if (f->kind == FIELD_BOOL)
            cell = sat_value(s->sat, l[0]);
        else if (f->kind == FIELD_CLASS)
            cell = class_cell(s, f, l);
        else
            while (cell + 1 < f->cells && sat_value(s->sat, l[cell + 1]))
                cell++;
        s->model[i] = (uint16_t)cell;
    }
}

static bool whole_core(struct space *s, uint32_t count)
{
    s->core.len = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!SPACE_PUSH(s, &s->core, i))
            return false;
    return true;
}

// The solver's core as indices of claims.
static bool take_core(struct space *s, const uint32_t *claims, uint32_t count)
{
    uint32_t n;
    const uint32_t *core = sat_core(s->sat, &n);
    s->core.len = 0;
    for (uint32_t i = 0, k = 0; i < count && k < n; i++) {
        while (k < n && core[k] == s->sound)
            k++;
        if (k < n && core[k] == space_literal(s, claims[i])) {
            if (!SPACE_PUSH(s, &s->core, i))
                return false;
            k++;
        }
    }
    return true;
}

static bool first_visit(struct space *s, size_t i)
{
    while (s->visited.len <= i)
        if (!SPACE_PUSH(s, &s->visited, 0))
            return false;
    bool first = s->visited.at[i] != s->visit;
    s->visited.at[i] = s->visit;
    return first;
}

// The literals of all fields that a formula looks at. Depth is that of formulas.
static void want(struct space *s, uint32_t formula)
{
    uint32_t at = formula >> 1;
    if (s->err || !first_visit(s, s->fields.len + at))
        return;
    const struct node *n = &s->nodes.at[at];
    for (uint32_t i = 0; i < n->list_count && n->kind != NODE_CELLS; i++)
        want(s, s->lists.at[n->list_at + i]);
    if (n->kind != NODE_CELLS || !first_visit(s, n->tag))
        return;
    const struct field *f = &s->fields.at[n->tag];
    uint32_t count = f->kind == FIELD_BOOL ? 1 : f->cells;
    for (uint32_t i = 0; i < count; i++)
        (void)SPACE_PUSH(s, &s->wanted, s->literals.at[f->literal_at + i]);
}

// Few claims look at few fields, and those that they do not look at can have any cell: no need to search there. Derived
// signals tie fields together, so that this does not hold.
static enum sat_answer solve(struct space *s, const uint32_t *claims, uint32_t count,
                             unsigned flags)
{
    s->assumed.len = s->wanted.len = 0;
    if (!(flags & SPACE_FAILURES))
        (void)SPACE_PUSH(s, &s->assumed, s->sound);
    for (uint32_t i = 0; i < count; i++)
        (void)SPACE_PUSH(s, &s->assumed, space_literal(s, claims[i]));
    if (s->err)
        return SAT_UNKNOWN;
    uint32_t assumed = (uint32_t)s->assumed.len;
    if (s->derived.len || count > FEW_CLAIMS)
        return sat_solve(s->sat, s->assumed.at, assumed);
    s->visit++;
    for (uint32_t i = 0; i < count; i++)
        want(s, claims[i]);
    if (s->err)
        return SAT_UNKNOWN;
    return sat_solve_part(s->sat, s->assumed.at, assumed, s->wanted.at, (uint32_t)s->wanted.len);
}

enum sat_answer space_ask(struct space *s, const uint32_t *claims, uint32_t count, unsigned flags)
{
    s->core.len = 0;
    s->asked = 0;
    if (s->err)
        return SAT_UNKNOWN;
    for (uint32_t i = 0; i < count; i++)
        s->asked |= s->nodes.at[claims[i] >> 1].derived;
    for (uint32_t w = 0; w < s->words && !(flags & SPACE_NOT_DRAWN); w++) {
        uint64_t all = held(s, claims, count, w);
        if (all) {
            space_choose(s, w * 64 + (uint32_t)__builtin_ctzll(all));
            return SAT_YES;
        }
    }
    bool none = s->exact && !(flags & SPACE_FAILURES);
    if (flags & SPACE_DRAWN_ONLY)
        return none && whole_core(s, count) ? SAT_NO : SAT_UNKNOWN;
    enum sat_answer answer = solve(s, claims, count, flags);
    if (answer == SAT_YES) {
        assert(!none);
        space_take_cells(s);
        space_settle(s);
        return s->err ? SAT_UNKNOWN : SAT_YES;
    }
    if (answer == SAT_NO)
        return take_core(s, claims, count) ? SAT_NO : SAT_UNKNOWN;
    return none && !space_result(s) && whole_core(s, count) ? SAT_NO : SAT_UNKNOWN;
}

const uint32_t *space_core(const struct space *s, uint32_t *count)
{
    *count = (uint32_t)s->core.len;
    return s->core.at;
}

// Puts the places of a part (`asked`, which is `kept` without `at`) that the core names, and the first `hard` ones,
// together at the begin of `kept`. Gives how many; `*before` of them stood before `at`.
static uint32_t narrow(const struct space *s, uint32_t *kept, uint32_t at, uint32_t hard,
                       uint32_t *before)
{
    uint32_t n = hard;
    *before = hard;
    for (uint32_t i = 0; i < s->core.len; i++) {
        uint32_t from = s->core.at[i] + (s->core.at[i] >= at);
        if (from < hard)
            continue;
        *before += from < at;
        kept[n++] = kept[from];
    }
    return n;
}

bool space_least(struct space *s, const uint32_t *claims, uint32_t hard, unsigned flags)
{
    uint32_t n = hard, most = hard + (uint32_t)s->core.len;
    uint32_t *kept = alloc_bytes((most + 1) * sizeof *kept),
             *asked = alloc_bytes((most + 1) * sizeof *asked);
    bool sure = kept && asked;
    if (!sure) {
        space_fail(s, RESULT_NOMEM);
        goto out;
    }
    for (uint32_t i = 0; i < hard; i++)
        kept[i] = i;
    for (uint32_t i = 0; i < s->core.len; i++)
        if (s->core.at[i] >= hard)
            kept[n++] = s->core.at[i];
    for (uint32_t at = n; at-- > hard;) {
        uint32_t m = 0, before;
        for (uint32_t i = 0; i < n; i++)
            if (i != at)
                asked[m++] = claims[kept[i]];
        enum sat_answer answer = space_ask(s, asked, m, flags);
        sure &= answer != SAT_UNKNOWN;
        if (answer != SAT_NO)
            continue;
        // The new core may be smaller still. What stood behind `at` was found to be needed.
        n = narrow(s, kept, at, hard, &before);
        at = before;
    }
    s->core.len = 0;
    for (uint32_t i = 0; i < n; i++)
        (void)SPACE_PUSH(s, &s->core, kept[i]);
out:
    alloc_free(kept);
    alloc_free(asked);
    return sure && !s->err;
}

struct space_share space_share_of(const struct space *s, uint64_t held)
{
    double share = (double)held / s->drawn;
    // Wilson's interval, whose width does not vanish at 0 and 1.
    double z = 1.96, d = s->drawn;
    double half = z / (1 + z * z / d) * sqrt(share * (1 - share) / d + z * z / (4 * d * d));
    return (struct space_share){share, s->exact ? 0 : half, s->exact};
}

struct space_share space_share(const struct space *s, const uint32_t *claims, uint32_t count)
{
    uint64_t n = 0;
    for (uint32_t w = 0; w < s->words && !s->err; w++)
        n += (uint64_t)__builtin_popcountll(held(s, claims, count, w));
    return s->err ? (struct space_share){0, 1, false} : space_share_of(s, n);
}
