#include "proof/order.h"

#include "base/alloc.h"
#include "proof/order_inner.h"

// Earlier pairs of "this route, then that one" that are tried one by one before a formula is made for all of them.
enum { TRY_PAIRS = 6, CORE_ROUNDS = 4, NO_FORMULA = UINT32_MAX };

void order_count(struct order *o, bool decided, bool single)
{
    o->out->questions++;
    o->out->decided += decided;
    o->out->route_questions += single;
    o->out->route_decided += single && decided;
}

enum sat_answer order_ask(struct order *o, const uint32_t *claims, uint32_t count, unsigned flags,
                          bool single)
{
    enum sat_answer a = space_ask(o->s, claims, count, flags);
    order_count(o, a != SAT_UNKNOWN, single);
    return a;
}

// ---- what never holds

// The parts of a guard that exclude each other: the children of an AND at its root, or the whole.
static void contradict(struct order *o, uint32_t route)
{
    struct order_route *r = &o->routes[route];
    struct image_list guard = image_route(o->p, (int32_t)route)->guard;
    const struct image_node *n = IMAGE_AT(o->p, guard, struct image_node);
    uint32_t parts = guard.count && n->kind == IMAGE_NODE_AND ? n->arg : 1, at = 1, count;
    uint32_t *nodes = ARENA_ARRAY(o->arena, uint32_t, parts),
             *claims = ARENA_ARRAY(o->arena, uint32_t, parts);
    if (!nodes || !claims) {
        o->err = RESULT_NOMEM;
        return;
    }
    claims[0] = o->guards[route];
    for (uint32_t i = 0; i < parts && parts > 1; i++, at += n[at].size) {
        struct image_list part = {guard.at + at * (uint32_t)sizeof *n, n[at].size};
        nodes[i] = at;
        claims[i] = space_guard(o->s, o->image, part);
    }
    if (parts > 1) {
        if (space_ask(o->s, claims, parts, 0) != SAT_NO)
            return;
        (void)space_least(o->s, claims, 0, 0);
    }
    const uint32_t *core = space_core(o->s, &count);
    if (parts == 1)
        count = 0;
    for (uint32_t i = 0; i < count; i++)
        nodes[i] = nodes[core[i]]; // ascending, so never read after it was written over
    r->contradiction = nodes;
    r->contradiction_count = parts == 1 ? 1 : count;
}

// ---- what is shadowed

// claims: not the guards of routes before `route`, then its own. Gives how many.
static uint32_t claim_reach(struct order *o, uint32_t route)
{
    for (uint32_t i = 0; i < route; i++)
        o->claims[i] = space_not(o->guards[i]);
    o->claims[route] = o->guards[route];
    return route + 1;
}

// Keeps what the solver said of it; the routes that can be spared are taken out later (order_covers).
static void keep_cover(struct order *o, uint32_t route)
{
    struct order_route *r = &o->routes[route];
    uint32_t count;
    const uint32_t *core = space_core(o->s, &count);
    int32_t *list = ARENA_ARRAY(o->arena, int32_t, count + 1);
    if (!list) {
        o->err = RESULT_NOMEM;
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        if (core[i] < route)
            list[r->cover_count++] = (int32_t)core[i];
    r->cover = list;
}

// What is irreducible is the earlier routes beside its own guard.
static void least_cover(struct order *o, uint32_t route, bool spare)
{
    struct order_route *r = &o->routes[route];
    for (int round = 0; round < CORE_ROUNDS && !o->err; round++) {
        uint32_t count, n = 1;
        int32_t *list = ARENA_ARRAY(o->arena, int32_t, r->cover_count + 1);
        if (!list) {
            o->err = RESULT_NOMEM;
            return;
        }
        o->claims[0] = o->guards[route];
        for (uint32_t i = 0; i < r->cover_count; i++)
            o->claims[n++] = space_not(o->guards[r->cover[i]]);
        if (space_ask(o->s, o->claims, n, SPACE_NOT_DRAWN) != SAT_NO)
            return;
        const uint32_t *core = space_core(o->s, &count);
        bool last = count <= ORDER_COVER_MAX || round + 1 == CORE_ROUNDS;
        if (last && spare && count <= ORDER_COVER_MAX) {
            r->cover_least = space_least(o->s, o->claims, 1, 0);
            core = space_core(o->s, &count);
        }
        n = 0;
        for (uint32_t i = 0; i < count; i++)
            if (core[i] > 0)
                list[n++] = r->cover[core[i] - 1];
        r->cover = list;
        r->cover_count = n;
        if (last)
            return;
    }
}

static void keep_witness(struct order *o, const uint32_t *claims, uint32_t count, struct slice *out)
{
    struct space_witness w;
    if (space_witness(o->s, o->image, claims, count, o->arena, &w) == RESULT_OK)
        *out = w.json;
    else if (space_result(o->s) == RESULT_NOMEM)
        o->err = RESULT_NOMEM;
}

// A request whose guard holds, and who takes it instead.
static void show_shadow(struct order *o, uint32_t route)
{
    struct order_route *r = &o->routes[route];
    if (space_ask(o->s, &o->guards[route], 1, 0) != SAT_YES)
        return;
    uint32_t by = 0;
    while (by < route && !space_holds(o->s, o->guards[by]))
        by++;
    uint32_t n = claim_reach(o, by);
    o->claims[n++] = o->guards[route];
    r->taken_by = (int32_t)by;
    keep_witness(o, o->claims, n, &r->witness);
}

static void decide_status(struct order *o, uint32_t route, bool drawn)
{
    struct order_route *r = &o->routes[route];
    if (r->status == ORDER_VACUOUS)
        return;
    if (drawn) {
        order_count(o, true, true);
        return;
    }
    enum sat_answer a = order_ask(o, o->claims, claim_reach(o, route), SPACE_NOT_DRAWN, true);
    r->status = a == SAT_YES ? ORDER_TAKEN : a == SAT_NO ? ORDER_SHADOWED : ORDER_OPEN;
    if (a == SAT_NO)
        keep_cover(o, route);
}

// ---- what changes nothing

// Drawn requests that reach the route and would end otherwise without it.
static bool drawn_otherwise(const struct order *o, uint32_t route, const uint64_t *reach)
{
    for (uint32_t w = 0; w < o->words; w++) {
        uint64_t rest = reach[w];
        for (uint32_t j = route + 1; j < o->count && rest; j++) {
            uint32_t g = o->guards[j];
            uint64_t bits = space_bits(o->s, g)[w], hit = rest & (g & 1 ? ~bits : bits);
            if (hit && o->effects[j] != o->effects[route])
                return true;
            rest &= ~hit;
        }
    }
    return false;
}

// "The first route from `from` on whose guard holds has another effect". Made from the end, and kept for each effect.
static uint32_t otherwise_formula(struct order *o, uint32_t from, uint32_t effect)
{
    if (!o->chains[effect]) {
        if (o->chained + o->count > ORDER_CHAIN_MAX)
            return NO_FORMULA;
        uint32_t *chain = ARENA_ARRAY(o->arena, uint32_t, o->count + 1);
        if (!chain) {
            o->err = RESULT_NOMEM;
            return NO_FORMULA;
        }
        chain[o->count] = SPACE_FALSE;
        for (uint32_t j = o->count; j-- > from; o->chained++) {
            uint32_t g = o->guards[j];
            // g ? other : the rest
            chain[j] = o->effects[j] != effect
                           ? space_or(o->s, (uint32_t[]){g, chain[j + 1]}, 2)
                           : space_and(o->s, (uint32_t[]){space_not(g), chain[j + 1]}, 2);
        }
        o->chains[effect] = chain; // later questions are about later routes
    }
    return o->chains[effect][from];
}

static enum sat_answer ends_otherwise(struct order *o, uint32_t route)
{
    uint32_t n = claim_reach(o, route), tries = 0;
    uint32_t *claims = o->claims;
    bool sure = true;
    for (uint32_t j = route + 1; j < o->count && tries < TRY_PAIRS; j++) {
        if (o->effects[j] != o->effects[route]) {
            claims[n] = o->guards[j];
            enum sat_answer a = space_ask(o->s, claims, n + 1, SPACE_NOT_DRAWN);
            if (a == SAT_YES)
                return SAT_YES;
            sure &= a == SAT_NO;
            tries++;
        }
        claims[n++] = space_not(o->guards[j]);
    }
    if (tries < TRY_PAIRS && sure)
        return SAT_NO;
    claims[route + 1] = otherwise_formula(o, route + 1, o->effects[route]);
    if (claims[route + 1] == NO_FORMULA)
        return SAT_UNKNOWN;
    return space_ask(o->s, claims, route + 2, SPACE_NOT_DRAWN);
}

static bool named_by_alias(const struct order *o, uint32_t route)
{
    const struct image_alias *a = IMAGE_AT(o->p, o->p->aliases, struct image_alias);
    for (uint32_t i = 0; i < o->p->aliases.count; i++)
        if (a[i].target == IMAGE_TARGET_ROUTE && a[i].index == (int32_t)route)
            return true;
    return false;
}

static void choose_drawn(struct order *o, const uint64_t *reach)
{
    uint32_t w = 0;
    while (!reach[w])
        w++;
    space_choose(o->s, w * 64 + (uint32_t)__builtin_ctzll(reach[w]));
}

static void decide_effect(struct order *o, uint32_t route, const uint64_t *reach, bool drawn)
{
    struct order_route *r = &o->routes[route];
    bool same_later = false;
    r->effect = ORDER_NOT_ASKED;
    if (r->status != ORDER_TAKEN || route + 1 == o->count || named_by_alias(o, route))
        return;
    for (uint32_t j = route + 1; j < o->count && !same_later; j++)
        same_later = o->effects[j] == o->effects[route];
    r->effect = ORDER_MATTERS;
    if (!same_later || (drawn && drawn_otherwise(o, route, reach))) {
        order_count(o, true, true);
        return;
    }
    uint64_t spent = space_effort(o->s).propagations;
    enum sat_answer a =
        o->effect_steps < ORDER_EFFECT_STEPS_MAX ? ends_otherwise(o, route) : SAT_UNKNOWN;
    o->effect_steps += space_effort(o->s).propagations - spent;
    order_count(o, a != SAT_UNKNOWN, true);
    r->effect = a == SAT_YES ? ORDER_MATTERS : a == SAT_NO ? ORDER_REDUNDANT : ORDER_UNKNOWN;
    if (a == SAT_NO) {
        uint32_t n = claim_reach(o, route);
        if (drawn)
            choose_drawn(o, reach);
        if (drawn || space_ask(o->s, o->claims, n, SPACE_NOT_DRAWN) == SAT_YES)
            keep_witness(o, o->claims, n, &r->witness);
    }
}

// ---- all routes

// Whose guard never holds. Before the walk, so that there one question goes on where the last one ended.
static void find_vacuous(struct order *o)
{
    for (uint32_t i = 0; i < o->count && !o->err; i++) {
        if (order_ask(o, &o->guards[i], 1, 0, true) != SAT_NO)
            continue;
        o->routes[i].status = ORDER_VACUOUS;
        contradict(o, i);
    }
}

// The solver's core of a core is often smaller. Then claim by claim, while there are few and that was not much work.
static void explain_shadows(struct order *o)
{
    uint64_t begin = space_effort(o->s).conflicts;
    for (uint32_t i = 0; i < o->count && !o->err; i++) {
        if (o->routes[i].status != ORDER_SHADOWED)
            continue;
        least_cover(o, i, space_effort(o->s).conflicts - begin < ORDER_COVER_CONFLICTS_MAX);
        show_shadow(o, i);
    }
}

static bool walk(struct order *o)
{
    uint64_t *reach = ARENA_ARRAY(o->arena, uint64_t, o->words + 1);
    if (!reach)
        return false;
    memcpy(o->left, space_live(o->s), o->words * sizeof *o->left);
    for (uint32_t i = 0; i < o->count && !o->err; i++) {
        struct order_route *r = &o->routes[i];
        uint32_t g = o->guards[i];
        uint64_t held = 0;
        for (uint32_t w = 0; w < o->words; w++) {
            uint64_t bits = space_bits(o->s, g)[w];
            reach[w] = o->left[w] & (g & 1 ? ~bits : bits);
            o->left[w] &= ~reach[w];
            held += (uint64_t)__builtin_popcountll(reach[w]);
        }
        r->takes = space_share_of(o->s, held);
        r->holds = space_share(o->s, &g, 1);
        decide_status(o, i, held > 0);
        decide_effect(o, i, reach, held > 0);
    }
    return true;
}

static bool start(struct order *o)
{
    o->count = o->p->routes.count;
    o->words = (space_drawn(o->s) + 63) / 64;
    o->routes = ARENA_ARRAY(o->arena, struct order_route, o->count + 1);
    o->guards = ARENA_ARRAY(o->arena, uint32_t, o->count + 1);
    o->effects = ARENA_ARRAY(o->arena, uint32_t, o->count + 1);
    o->claims = ARENA_ARRAY(o->arena, uint32_t, o->count + 4);
    o->chains = ARENA_ARRAY(o->arena, uint32_t *, o->count + 1);
    o->left = ARENA_ARRAY(o->arena, uint64_t, o->words + 1);
    if (!o->routes || !o->guards || !o->chains || !o->effects || !o->claims || !o->left ||
        !order_effects(o))
        return false;
    for (uint32_t i = 0; i < o->count; i++) {
        o->guards[i] = space_route(o->s, o->image, (int32_t)i);
        o->routes[i].taken_by = IMAGE_NONE;
    }
    return true;
}

enum result order_check(struct space *s, uint32_t image, struct arena *arena,
                        struct order_report *out)
{
    const struct policy_image *p = space_image(s, image);
    struct order o = {.s = s, .image = image, .p = p, .arena = arena, .out = out};
    *out = (struct order_report){.image = p};
    o.idle.cap = UINT32_MAX;
    if (!start(&o))
        o.err = RESULT_NOMEM;
    else
        find_vacuous(&o);
    if (!o.err && !walk(&o))
        o.err = RESULT_NOMEM;
    if (!o.err)
        explain_shadows(&o);
    if (!o.err)
        order_conditions(&o);
    struct order_idle *idle = ARENA_ARRAY(arena, struct order_idle, o.idle.len + 1);
    if (!idle)
        o.err = RESULT_NOMEM;
    else if (o.idle.len)
        memcpy(idle, o.idle.at, o.idle.len * sizeof *idle);
    out->routes = o.routes;
    out->idle = idle;
    out->idle_count = (uint32_t)o.idle.len;
    out->effort = space_effort(s);
    VEC_DEINIT(&o.idle);
    return o.err ? o.err : space_result(s) == RESULT_NOMEM ? RESULT_NOMEM : RESULT_OK;
}

enum result order_compare(struct space *s, uint32_t image, struct arena *arena,
                          struct order_report *report)
{
    struct order o = {.s = s,
                      .image = image,
                      .p = space_image(s, image),
                      .arena = arena,
                      .out = report,
                      .count = report->image->routes.count,
                      .routes = report->routes,
                      .words = (space_drawn(s) + 63) / 64};
    o.guards = ARENA_ARRAY(arena, uint32_t, o.count + 1);
    o.effects = ARENA_ARRAY(arena, uint32_t, o.count + 1);
    if (!o.guards || !o.effects || !order_effects(&o))
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < o.count; i++)
        o.guards[i] = space_route(s, image, (int32_t)i);
    order_overlaps(&o);
    report->effort = space_effort(s);
    return o.err ? o.err : space_result(s) == RESULT_NOMEM ? RESULT_NOMEM : RESULT_OK;
}
