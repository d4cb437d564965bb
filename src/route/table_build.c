// What a table holds beside the guards: shape checks, atoms made ready, derived signals in order, constraints by target.
#include <math.h>

#include "route/table.h"

// ---- shape: nothing below needs a check

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

static enum result guard_list_check(const struct policy_image *p, struct image_list guard)
{
    const struct image_node *tree = IMAGE_AT(p, guard, struct image_node);
    if (!guard.count)
        return RESULT_OK;
    enum result r = guard_check(p, tree, 0, guard.count, 0);
    return !r && tree[0].size != guard.count ? RESULT_SYNTAX : r;
}

static bool inside(int32_t index, uint32_t count)
{
    return index >= 0 && (uint32_t)index < count;
}

static bool inside_or_none(int32_t index, uint32_t count)
{
    return index == IMAGE_NONE || inside(index, count);
}

static enum result steps_check(const struct policy_image *p, struct image_list list)
{
    const struct image_step *steps = IMAGE_AT(p, list, struct image_step);
    for (uint32_t i = 0; i < list.count; i++) {
        const struct image_binding *b = IMAGE_AT(p, steps[i].bindings, struct image_binding);
        if ((unsigned)steps[i].kind >= IMAGE_STEP_KIND_COUNT_ ||
            !inside_or_none(steps[i].sink, p->sinks.count) ||
            !inside_or_none(steps[i].lattice, p->lattices.count))
            return RESULT_SYNTAX;
        for (uint32_t k = 0; k < steps[i].bindings.count; k++)
            if (!inside(b[k].model, p->models.count) ||
                (unsigned)b[k].effort >= IMAGE_EFFORT_COUNT_)
                return RESULT_SYNTAX;
    }
    return RESULT_OK;
}

static enum result routes_check(const struct policy_image *p)
{
    for (uint32_t i = 0; i < p->routes.count; i++) {
        const struct image_route *r = image_route(p, (int32_t)i);
        enum result e = guard_list_check(p, r->guard);
        for (uint32_t c = 0; c < r->chains.count && !e; c++)
            e = steps_check(p, image_chains(p, r)[c].steps);
        if (e)
            return e;
    }
    return RESULT_OK;
}

static bool target_ok(const struct policy_image *p, const struct image_constraint *c)
{
    const uint32_t counts[] = {
        [IMAGE_FORBID_ZONE] = p->zones.count,        [IMAGE_FORBID_BELOW] = p->lattices.count,
        [IMAGE_FORBID_MODEL] = p->models.count,      [IMAGE_FORBID_ENDPOINT] = p->endpoints.count,
        [IMAGE_FORBID_EFFORT] = IMAGE_EFFORT_COUNT_, [IMAGE_FORBID_STEP] = IMAGE_STEP_KIND_COUNT_,
        [IMAGE_FORBID_SINK] = p->sinks.count,
    };
    return (unsigned)c->target < MERIT_COUNT(counts) && inside(c->index, counts[c->target]);
}

static enum result constraints_check(const struct policy_image *p)
{
    const struct image_constraint *c = IMAGE_AT(p, p->constraints, struct image_constraint);
    bool endpoints = false;
    for (uint32_t i = 0; i < p->constraints.count; i++, c++) {
        enum result e = guard_list_check(p, c->guard);
        endpoints |= c->kind == IMAGE_FORBID && c->target == IMAGE_FORBID_ENDPOINT;
        if (e)
            return e;
        if ((unsigned)c->kind > IMAGE_BUDGET || (c->kind == IMAGE_FORBID && !target_ok(p, c)) ||
            (c->kind == IMAGE_REQUIRE && (unsigned)c->step >= IMAGE_STEP_KIND_COUNT_) ||
            (c->kind == IMAGE_ALLOW && (unsigned)c->extra >= IMAGE_EXTRA_COUNT_) ||
            (c->kind == IMAGE_BUDGET && (unsigned)c->unit > IMAGE_UNIT_REQUESTS))
            return RESULT_SYNTAX;
    }
    for (uint32_t i = 0; i < p->models.count; i++) {
        const struct image_model *m = image_model(p, (int32_t)i);
        if (!inside_or_none(m->zone, p->zones.count))
            return RESULT_SYNTAX;
        if (m->endpoints.count > ROUTE_ENDPOINTS_MAX && endpoints)
            return RESULT_LIMIT;
    }
    return RESULT_OK;
}

static enum result signal_check(const struct policy_image *p, const struct image_signal *s)
{
    const struct image_term *t = IMAGE_AT(p, s->terms, struct image_term);
    if ((unsigned)s->derive > IMAGE_DERIVE_EXCLUSIVE || (unsigned)s->type > SIGNAL_SET)
        return RESULT_SYNTAX;
    if (s->derive == IMAGE_DERIVE_NONE)
        return RESULT_OK;
    if (s->type == SIGNAL_TEXT || s->type == SIGNAL_SET || s->words.count > IMAGE_WORDS_MAX ||
        (s->type == SIGNAL_ENUM && !s->words.count))
        return RESULT_SYNTAX;
    bool bands = s->derive == IMAGE_DERIVE_SCORE && s->type == SIGNAL_ENUM;
    if (bands && (s->bands.count == 0 || s->bands.count > s->words.count))
        return RESULT_SYNTAX;
    bool label = s->derive == IMAGE_DERIVE_LABEL;
    if (s->derive != IMAGE_DERIVE_SCORE &&
        (s->type != SIGNAL_ENUM || (label ? s->error_level : s->otherwise) >= s->words.count))
        return RESULT_SYNTAX;
    for (uint32_t i = 0; i < s->terms.count; i++, t++) {
        enum result e = guard_list_check(p, t->guard);
        bool needs = s->derive == IMAGE_DERIVE_EXCLUSIVE;
        if (!e &&
            (!inside_or_none(t->signal, p->signals.count) || (needs && t->signal == IMAGE_NONE) ||
             (s->derive != IMAGE_DERIVE_SCORE && t->word >= s->words.count) ||
             (t->signal != IMAGE_NONE && image_signal(p, t->signal)->type != SIGNAL_NUMBER)))
            e = RESULT_SYNTAX;
        if (e)
            return e;
    }
    return RESULT_OK;
}

enum result table_check(const struct policy_image *p)
{
    const struct image_atom *atoms = IMAGE_AT(p, p->atoms, struct image_atom);
    if (p->lattices.count > IMAGE_LATTICES_MAX)
        return RESULT_SYNTAX;
    for (uint32_t i = 0; i < p->atoms.count; i++)
        if (!inside(atoms[i].signal, p->signals.count))
            return RESULT_SYNTAX;
    const struct image_alias *aliases = IMAGE_AT(p, p->aliases, struct image_alias);
    for (uint32_t i = 0; i < p->aliases.count; i++) {
        uint32_t limit = aliases[i].target == IMAGE_TARGET_ROUTE   ? p->routes.count
                         : aliases[i].target == IMAGE_TARGET_MODEL ? p->models.count
                                                                   : UINT32_MAX;
        if (limit != UINT32_MAX && !inside(aliases[i].index, limit))
            return RESULT_SYNTAX;
    }
    enum result r = RESULT_OK;
    for (uint32_t i = 0; i < p->signals.count && !r; i++)
        r = signal_check(p, image_signal(p, (int32_t)i));
    if (!r)
        r = routes_check(p);
    return r ? r : constraints_check(p);
}

// ---- atoms

static void atom_make(const struct policy_image *p, const struct image_atom *a,
                      struct table_atom *out)
{
    enum signal_type type = image_signal(p, a->signal)->type;
    double n = a->number;
    *out = (struct table_atom){.lo = n, .hi = n, .kind = ATOM_RANGE};
    switch (a->op) {
    case IMAGE_OP_TRUE:
        out->lo = out->hi = 0;
        out->negated = true;
        break;
    case IMAGE_OP_NE:
        out->negated = true;
        break;
    case IMAGE_OP_EQ:
        break;
    case IMAGE_OP_LT:
    case IMAGE_OP_LE:
        out->lo = -INFINITY;
        if (a->op == IMAGE_OP_LT)
            out->hi = nextafter(n, -INFINITY);
        if (a->op == IMAGE_OP_LT && n == -INFINITY)
            out->lo = INFINITY;
        break;
    case IMAGE_OP_GT:
    case IMAGE_OP_GE:
        out->hi = INFINITY;
        if (a->op == IMAGE_OP_GT)
            out->lo = nextafter(n, INFINITY);
        if (a->op == IMAGE_OP_GT && n == INFINITY)
            out->hi = -INFINITY;
        break;
    case IMAGE_OP_IN:
        out->kind = ATOM_WORDS;
        break;
    case IMAGE_OP_FAILED:
        out->kind = ATOM_FAILED;
        return;
    }
    if (type == SIGNAL_TEXT || type == SIGNAL_SET) {
        out->kind = ATOM_TEXTS;
        return;
    }
    for (unsigned v = 0; v < 64; v++) {
        bool holds = out->kind == ATOM_WORDS ? a->words >> v & 1
                                             : (v >= out->lo && v <= out->hi) != out->negated;
        out->words |= (uint64_t)holds << v;
    }
}

enum result table_index_atoms(struct route_table *t, struct arena *arena)
{
    const struct policy_image *p = t->image;
    const struct image_atom *atoms = IMAGE_AT(p, p->atoms, struct image_atom);
    uint32_t *at = ARENA_ARRAY(arena, uint32_t, p->signals.count + 1);
    uint32_t *ids = ARENA_ARRAY(arena, uint32_t, p->atoms.count + 1);
    int32_t *signal = ARENA_ARRAY(arena, int32_t, p->atoms.count + 1);
    struct table_atom *made = ARENA_ARRAY(arena, struct table_atom, p->atoms.count + 1);
    if (!at || !ids || !signal || !made)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < p->atoms.count; i++) {
        atom_make(p, &atoms[i], &made[i]);
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
    t->atoms = made;
    t->words = (p->atoms.count + 63) / 64;
    return RESULT_OK;
}

// ---- derived signals

struct order {
    const struct policy_image *p;
    uint8_t *depth; // per signal: 0 not seen, 255 being looked at, else 1 + how deep it stands
    uint32_t *seen; // per signal: who mentioned it last, plus one
    int32_t *place;
    struct table_derived *derived;
    int32_t *mentions;
    uint32_t count, mention_count;
};

enum { BEING = 255 };

static void mention(struct order *o, int32_t by, int32_t signal)
{
    if (signal == IMAGE_NONE || o->seen[signal] == (uint32_t)by + 1)
        return;
    o->seen[signal] = (uint32_t)by + 1;
    o->mentions[o->mention_count++] = signal;
}

static void mention_guard(struct order *o, int32_t by, struct image_list guard)
{
    const struct image_node *n = IMAGE_AT(o->p, guard, struct image_node);
    const struct image_atom *atoms = IMAGE_AT(o->p, o->p->atoms, struct image_atom);
    for (uint32_t i = 0; i < guard.count; i++)
        if (n[i].kind == IMAGE_NODE_ATOM)
            mention(o, by, atoms[n[i].arg].signal);
}

static void mention_all(struct order *o, int32_t by)
{
    const struct image_signal *s = image_signal(o->p, by);
    const struct image_term *t = IMAGE_AT(o->p, s->terms, struct image_term);
    for (uint32_t i = 0; i < s->terms.count; i++) {
        mention(o, by, t[i].signal);
        mention_guard(o, by, t[i].guard);
    }
}

// Puts what a signal looks at in front of it. The depth of the recursion is bounded by IMAGE_DERIVE_DEPTH_MAX.
static enum result place(struct order *o, int32_t signal, unsigned depth)
{
    if (image_signal(o->p, signal)->derive == IMAGE_DERIVE_NONE || o->place[signal] != IMAGE_NONE)
        return RESULT_OK;
    if (o->depth[signal] == BEING)
        return RESULT_SYNTAX;
    if (depth > IMAGE_DERIVE_DEPTH_MAX)
        return RESULT_DEPTH;
    o->depth[signal] = BEING;
    uint32_t at = o->mention_count, deepest = 0;
    mention_all(o, signal);
    uint32_t end = o->mention_count;
    for (uint32_t i = at; i < end; i++) {
        enum result r = place(o, o->mentions[i], depth + 1);
        if (r)
            return r;
        if (o->depth[o->mentions[i]] > deepest)
            deepest = o->depth[o->mentions[i]];
    }
    if (deepest + 1 > IMAGE_DERIVE_DEPTH_MAX)
        return RESULT_DEPTH;
    o->depth[signal] = (uint8_t)(deepest + 1);
    o->place[signal] = (int32_t)o->count;
    o->derived[o->count++] =
        (struct table_derived){.signal = signal, .mention_at = at, .mention_count = end - at};
    return RESULT_OK;
}

static enum result index_dependents(struct route_table *t, struct arena *arena)
{
    uint32_t signals = t->image->signals.count, total = 0;
    uint32_t *at = ARENA_ARRAY(arena, uint32_t, signals + 2);
    for (uint32_t d = 0; d < t->derived_count; d++)
        total += t->derived[d].mention_count;
    uint32_t *list = ARENA_ARRAY(arena, uint32_t, total + 1);
    if (!at || !list)
        return RESULT_NOMEM;
    for (uint32_t d = 0; d < t->derived_count; d++)
        for (uint32_t i = 0; i < t->derived[d].mention_count; i++)
            at[t->mentions[t->derived[d].mention_at + i] + 2]++;
    for (uint32_t i = 2; i < signals + 2; i++)
        at[i] += at[i - 1];
    for (uint32_t d = 0; d < t->derived_count; d++)
        for (uint32_t i = 0; i < t->derived[d].mention_count; i++)
            list[at[t->mentions[t->derived[d].mention_at + i] + 1]++] = d;
    t->dependent_at = at;
    t->dependents = list;
    return RESULT_OK;
}

enum result table_index_derived(struct route_table *t, struct table_derived **out,
                                struct arena *arena)
{
    const struct policy_image *p = t->image;
    uint32_t n = p->signals.count;
    struct order o = {.p = p,
                      .depth = ARENA_ARRAY(arena, uint8_t, n + 1),
                      .seen = ARENA_ARRAY(arena, uint32_t, n + 1),
                      .place = ARENA_ARRAY(arena, int32_t, n + 1)};
    uint32_t derived = 0, mentions = 0;
    if (!o.depth || !o.seen || !o.place)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < n; i++) {
        const struct image_signal *s = image_signal(p, (int32_t)i);
        const struct image_term *t0 = IMAGE_AT(p, s->terms, struct image_term);
        o.place[i] = IMAGE_NONE;
        if (s->derive == IMAGE_DERIVE_NONE)
            continue;
        derived++;
        for (uint32_t k = 0; k < s->terms.count; k++)
            mentions += 1 + t0[k].guard.count;
    }
    o.derived = ARENA_ARRAY(arena, struct table_derived, derived + 1);
    o.mentions = ARENA_ARRAY(arena, int32_t, mentions + 1);
    if (!o.derived || !o.mentions)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < n; i++) {
        enum result r = place(&o, (int32_t)i, 1);
        if (r)
            return r;
    }
    *out = o.derived;
    t->derived = o.derived;
    t->derived_count = o.count;
    t->derived_of = o.place;
    t->mentions = o.mentions;
    return index_dependents(t, arena);
}

// ---- constraints

static bool clears(const struct policy_image *p, int32_t zone, const struct image_constraint *c)
{
    if (zone == IMAGE_NONE)
        return c->level == 0;
    return IMAGE_AT(p, p->zones, struct image_zone)[zone].clears.level[c->index] >= c->level;
}

static bool removes_model(const struct policy_image *p, const struct image_constraint *c,
                          const struct image_model *m, int32_t index)
{
    switch (c->target) {
    case IMAGE_FORBID_ZONE:
        return m->zone == c->index;
    case IMAGE_FORBID_BELOW:
        return !clears(p, m->zone, c);
    case IMAGE_FORBID_MODEL:
        return c->index == index;
    default:
        return false;
    }
}

static bool removes_sink(const struct image_constraint *c, const struct image_sink *s,
                         int32_t index)
{
    switch (c->target) {
    case IMAGE_FORBID_ZONE:
        return s->zone == c->index;
    case IMAGE_FORBID_BELOW:
        return s->clears.level[c->index] < c->level;
    case IMAGE_FORBID_SINK:
        return c->index == index;
    default:
        return false;
    }
}

static inline void set_bit(uint64_t *bits, uint32_t i)
{
    bits[i / 64] |= UINT64_C(1) << (i % 64);
}

struct rows {
    uint64_t *model, *effort, *step, *sink, *below, *endpoint, *require, *allow, *budget, *over,
        *always;
};

static void forbid_add(const struct policy_image *p, const struct image_constraint *c, uint32_t i,
                       uint32_t words, struct rows *r)
{
    const struct image_sink *sinks = IMAGE_AT(p, p->sinks, struct image_sink);
    for (uint32_t m = 0; m < p->models.count; m++)
        if (removes_model(p, c, image_model(p, (int32_t)m), (int32_t)m))
            set_bit(r->model + (size_t)m * words, i);
    for (uint32_t s = 0; s < p->sinks.count; s++)
        if (removes_sink(c, &sinks[s], (int32_t)s))
            set_bit(r->sink + (size_t)s * words, i);
    if (c->target == IMAGE_FORBID_EFFORT)
        set_bit(r->effort + (size_t)c->index * words, i);
    if (c->target == IMAGE_FORBID_STEP)
        set_bit(r->step + (size_t)c->index * words, i);
    if (c->target == IMAGE_FORBID_BELOW)
        set_bit(r->below, i);
    if (c->target == IMAGE_FORBID_ENDPOINT)
        set_bit(r->endpoint, i);
}

enum result table_index_constraints(struct route_table *t, struct arena *arena)
{
    const struct policy_image *p = t->image;
    const struct image_constraint *c = IMAGE_AT(p, p->constraints, struct image_constraint);
    uint32_t words = (p->constraints.count + 63) / 64;
    struct rows r;
    uint64_t **const rows[] = {&r.effort, &r.step, &r.below,  &r.endpoint, &r.require, &r.allow,
                               &r.budget, &r.over, &r.always, &r.model,    &r.sink};
    const size_t counts[] = {IMAGE_EFFORT_COUNT_, IMAGE_STEP_KIND_COUNT_, 1, 1, 1, 1, 1, 1, 1,
                             p->models.count,     p->sinks.count};
    static_assert(MERIT_COUNT(rows) == MERIT_COUNT(counts), "one count per row");
    size_t all = 0;
    for (size_t i = 0; i < MERIT_COUNT(counts); i++)
        all += counts[i];
    uint64_t *at = ARENA_ARRAY(arena, uint64_t, all * words + 1);
    if (!at)
        return RESULT_NOMEM;
    for (size_t i = 0; i < MERIT_COUNT(rows); i++) {
        *rows[i] = at;
        at += counts[i] * words;
    }
    for (uint32_t i = 0; i < p->constraints.count; i++, c++) {
        if (!c->guard.count || IMAGE_AT(p, c->guard, struct image_node)->kind == IMAGE_NODE_TRUE)
            set_bit(r.always, i);
        if (c->kind == IMAGE_FORBID)
            forbid_add(p, c, i, words, &r);
        else if (c->kind == IMAGE_REQUIRE)
            set_bit(r.require, i);
        else if (c->kind == IMAGE_ALLOW)
            set_bit(r.allow, i);
        else if (c->window != IMAGE_PER_REQUEST)
            set_bit(r.over, i);
        else if (c->hard)
            set_bit(r.budget, i);
    }
    for (uint32_t w = 0; w < words; w++)
        t->endpoints_forbidden |= r.endpoint[w] != 0;
    t->constraints = (struct table_constraints){.count = p->constraints.count,
                                                .words = words,
                                                .guard_at = t->constraints.guard_at,
                                                .model = r.model,
                                                .effort = r.effort,
                                                .step = r.step,
                                                .sink = r.sink,
                                                .below = r.below,
                                                .endpoint = r.endpoint,
                                                .require = r.require,
                                                .allow = r.allow,
                                                .budget = r.budget,
                                                .over = r.over,
                                                .always = r.always};
    return RESULT_OK;
}
