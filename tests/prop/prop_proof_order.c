// Every verdict about the order of routes against all requests of small random policies, tried one by one by a naive
// interpreter; witnesses read from their JSON and decided by route/ from what they give alone; larger policies, where what
// is called unreachable is hunted for by random search.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "proof/order.h"
#include "route/route.h"
#include "support/proof_naive.h"

enum { SMALL = 1600, LARGE = 120, ROUTES_MAX = 40, ALL_MAX = 20000, HUNT = 3000 };

static struct naive_policy n;
static struct naive_request *all; // of the policy at hand
static uint32_t all_count;
static bool *held; // per request and route

static bool holds(uint32_t request, uint32_t route)
{
    return held[request * n.p->routes.count + route];
}

static uint32_t taken(uint32_t request, uint32_t without)
{
    uint32_t i = 0;
    while (i == without || !holds(request, i))
        i++;
    return i;
}

static bool enumerate(void)
{
    uint64_t count = 1;
    for (uint32_t f = 0; f < n.families && count <= ALL_MAX; f++)
        count *= naive_choices(&n, f);
    if (count > ALL_MAX)
        return false;
    all_count = (uint32_t)count;
    for (uint32_t i = 0; i < all_count; i++) {
        uint32_t at = i;
        memset(&all[i], 0, sizeof all[i]);
        for (uint32_t f = 0; f < n.families; f++) {
            all[i].of[f] = naive_choice(&n, f, at % naive_choices(&n, f));
            at /= naive_choices(&n, f);
        }
    }
    return true;
}

static void hunt(void)
{
    all_count = HUNT;
    for (uint32_t i = 0; i < all_count; i++)
        naive_random(&n, &all[i], false);
}

static void hold(void)
{
    for (uint32_t i = 0; i < all_count; i++)
        for (uint32_t r = 0; r < n.p->routes.count; r++)
            held[i * n.p->routes.count + r] = naive_route_holds(&n, r, &all[i]);
}

static bool same_effect(uint32_t a, uint32_t b)
{
    const struct image_route *x = image_route(n.p, (int32_t)a), *y = image_route(n.p, (int32_t)b);
    const struct image_step *s = IMAGE_AT(n.p, image_chains(n.p, x)->steps, struct image_step),
                            *t = IMAGE_AT(n.p, image_chains(n.p, y)->steps, struct image_step);
    return slice_eq(image_text(n.p, s->text), image_text(n.p, t->text));
}

// The route that route/ takes from the given facts alone; the last one plus one when it wants to know more.
static uint32_t replay(struct slice json, struct arena *arena)
{
    static const uint32_t own[NAIVE_SIGNALS];
    static const uint8_t group[NAIVE_SIGNALS];
    static const struct work work = {.choices = 1, .anchor = WORK_NO_ANCHOR};
    const struct route_costs costs = {.own_ns = own, .group = group};
    const struct route_table *table;
    struct fact facts[NAIVE_SIGNALS];
    struct route_options options = {.given = facts};
    struct route_run run;
    int32_t signal;
    assert_true(naive_given(n.p, json, arena, facts));
    assert_int_equal(route_table_open(n.p, &costs, arena, &table), RESULT_OK);
    assert_int_equal(route_begin(&run, table, &work, NULL, &options, arena), RESULT_OK);
    if (route_step(&run, &signal) != ROUTE_DECIDED)
        return n.p->routes.count;
    return (uint32_t)run.decision->route;
}

// A request that shows the facts, or NULL when none was tried.
static const struct naive_request *shown_by(struct slice json, struct arena *arena, uint32_t *from)
{
    struct fact facts[NAIVE_SIGNALS];
    assert_true(naive_given(n.p, json, arena, facts));
    for (; *from < all_count; ++*from)
        if (naive_shows(&n, facts, &all[*from]))
            return &all[(*from)++];
    return NULL;
}

static void check_overlaps(const struct order_report *r, uint32_t j, bool exact,
                           struct arena *arena)
{
    const struct order_route *o = &r->routes[j];
    uint32_t overlaps = 0, first = UINT32_MAX, from = 0;
    if (o->status == ORDER_VACUOUS || image_route(n.p, (int32_t)j)->is_otherwise)
        return;
    for (uint32_t i = 0; i < j; i++) {
        bool together = false;
        if (same_effect(i, j))
            continue;
        for (uint32_t k = 0; k < all_count && !together; k++)
            together = holds(k, i) && holds(k, j);
        overlaps += together;
        if (together && first == UINT32_MAX)
            first = i;
    }
    if (exact) {
        assert_int_equal(o->overlaps, overlaps);
        assert_int_equal(o->shown, overlaps < ORDER_SHOWN ? overlaps : ORDER_SHOWN);
        if (overlaps)
            assert_int_equal(o->overlap[0], first);
    } else {
        assert_true(o->overlaps >= overlaps);
    }
    assert_int_equal(o->overlaps_open, 0);
    if (!o->overlaps)
        return;
    for (const struct naive_request *x; (x = shown_by(o->overlap_witness, arena, &from));) {
        assert_true(naive_route_holds(&n, (uint32_t)o->overlap[0], x));
        assert_true(naive_route_holds(&n, j, x));
    }
    assert_true(!exact || from > 0);
}

static void check_cover(const struct order_route *o, uint32_t route, bool exact)
{
    assert_true(o->cover_count > 0 && o->cover_least);
    for (uint32_t skip = 0; skip <= o->cover_count; skip++) {
        bool covered = true;
        for (uint32_t k = 0; k < all_count && covered; k++) {
            bool some = !holds(k, route);
            for (uint32_t c = 0; c < o->cover_count; c++)
                some |= c != skip && holds(k, (uint32_t)o->cover[c]);
            covered = some;
        }
        // All of them cover it, and no one can be spared.
        if (skip == o->cover_count || exact)
            assert_int_equal(covered, skip == o->cover_count);
    }
}

static void check_route(const struct order_report *r, uint32_t i, bool exact, struct arena *arena)
{
    const struct order_route *o = &r->routes[i];
    bool ever = false, takes = false, matters = false;
    for (uint32_t k = 0; k < all_count; k++) {
        ever |= holds(k, i);
        if (taken(k, UINT32_MAX) != i)
            continue;
        takes = true;
        matters |= i + 1 < n.p->routes.count && !same_effect(taken(k, i), i);
    }
    assert_int_not_equal(o->status, ORDER_OPEN);
    assert_int_not_equal(o->effect, ORDER_UNKNOWN);
    if (exact)
        assert_int_equal(o->status, takes ? ORDER_TAKEN : ever ? ORDER_SHADOWED : ORDER_VACUOUS);
    assert_true(!takes || o->status == ORDER_TAKEN);
    assert_true(!ever || o->status != ORDER_VACUOUS);
    if (o->status == ORDER_TAKEN && i + 1 < n.p->routes.count) {
        if (exact)
            assert_int_equal(o->effect, matters ? ORDER_MATTERS : ORDER_REDUNDANT);
        assert_true(!matters || o->effect == ORDER_MATTERS);
    }
    if (o->effect == ORDER_REDUNDANT)
        assert_int_equal(replay(o->witness, arena), i);
    if (o->status == ORDER_SHADOWED) {
        uint32_t from = 0;
        check_cover(o, i, exact);
        assert_true((uint32_t)o->taken_by < i);
        assert_int_equal(replay(o->witness, arena), o->taken_by);
        for (const struct naive_request *x; (x = shown_by(o->witness, arena, &from));)
            assert_true(naive_route_holds(&n, i, x));
    }
    check_overlaps(r, i, exact, arena);
}

// The guard with one node taken as a constant.
static bool forced(const struct image_node *first, uint32_t at, uint32_t node, bool as,
                   const struct naive_request *r)
{
    const struct image_node *x = &first[at];
    if (at == node)
        return as;
    if (x->kind == IMAGE_NODE_TRUE || x->kind == IMAGE_NODE_ATOM)
        return naive_node_holds(&n, x, r);
    if (x->kind == IMAGE_NODE_NOT)
        return !forced(first, at + 1, node, as, r);
    uint32_t count = 0, c = at + 1;
    for (uint32_t i = 0; i < x->arg; i++, c += first[c].size)
        count += forced(first, c, node, as, r);
    return x->kind == IMAGE_NODE_AND ? count == x->arg : count > 0;
}

static void check_idle(const struct order_report *r, bool exact)
{
    uint32_t found = 0, told = 0;
    for (uint32_t i = 0; i < n.p->routes.count; i++) {
        struct image_list g = image_route(n.p, (int32_t)i)->guard;
        const struct image_node *first = IMAGE_AT(n.p, g, struct image_node);
        for (uint32_t node = 0; node < g.count && r->routes[i].status != ORDER_VACUOUS; node++) {
            bool same[2] = {true, true};
            const struct order_idle *idle = NULL;
            if (first[node].kind != IMAGE_NODE_ATOM)
                continue;
            for (uint32_t k = 0; k < all_count; k++)
                for (int as = 0; as < 2; as++)
                    same[as] &= forced(first, 0, node, as, &all[k]) == holds(k, i);
            for (uint32_t k = 0; k < r->idle_count && !idle; k++)
                if (r->idle[k].route == (int32_t)i && r->idle[k].node == node)
                    idle = &r->idle[k];
            found += same[0] || same[1];
            told += idle != NULL;
            if (idle)
                assert_true(same[idle->always]);
        }
    }
    assert_int_equal(told, r->idle_count);
    if (exact)
        assert_int_equal(found, told);
}

static void check_policy(bool small, uint32_t counts[4])
{
    struct space *s;
    struct arena arena;
    struct order_report r;
    bool exact = small && enumerate();
    if (!exact)
        hunt();
    hold();
    arena_init(&arena, 1 << 16, 1 << 26);
    assert_int_equal(space_open(&n.p, 1, &space_limits_default, &s), RESULT_OK);
    assert_int_equal(order_check(s, 0, &arena, &r), RESULT_OK);
    assert_int_equal(order_compare(s, 0, &arena, &r), RESULT_OK);
    assert_int_equal(r.questions, r.decided);
    double share = 0;
    for (uint32_t i = 0; i < n.p->routes.count; i++) {
        check_route(&r, i, exact, &arena);
        share += r.routes[i].takes.share;
        counts[0] += r.routes[i].status == ORDER_VACUOUS;
        counts[1] += r.routes[i].status == ORDER_SHADOWED;
        counts[2] += r.routes[i].effect == ORDER_REDUNDANT;
    }
    assert_true(share > 1 - 1e-9 && share < 1 + 1e-9);
    check_idle(&r, exact);
    counts[3] += r.idle_count;
    space_close(s);
    arena_deinit(&arena);
    ib_deinit(&n.b);
}

static void small_policies(void **state)
{
    (void)state;
    uint32_t counts[4] = {0};
    rng_seed(&naive_rng, 21);
    for (int i = 0; i < SMALL; i++) {
        naive_make(&n, 1 + naive_below(4), 1 + naive_below(10), naive_below(7), naive_below(4),
                   1 + naive_below(3));
        check_policy(true, counts);
    }
    for (int i = 0; i < 4; i++)
        assert_true(counts[i] > 200);
}

static void large_policies(void **state)
{
    (void)state;
    uint32_t counts[4] = {0};
    rng_seed(&naive_rng, 22);
    for (int i = 0; i < LARGE; i++) {
        naive_make(&n, 10 + naive_below(NAIVE_SIGNALS - 9), 30, 5 + naive_below(ROUTES_MAX - 5), 3,
                   1 + naive_below(4));
        check_policy(false, counts);
    }
    assert_true(counts[1] > 100);
}

// Shares against a count of cells that are known: two truth values and a number cut in four.
static void shares_are_exact(void **state)
{
    (void)state;
    struct image_builder b;
    struct arena arena;
    struct space *s;
    struct order_report r;
    ib_init(&b);
    ib_model(&b, "m");
    b.signals[ib_signal(&b, "a", SIGNAL_BOOL)].family = ib_str(&b, "fa");
    b.signals[ib_signal(&b, "b", SIGNAL_BOOL)].family = ib_str(&b, "fb");
    b.signals[ib_signal(&b, "x", SIGNAL_NUMBER)].family = ib_str(&b, "fx");
    uint32_t a = ib_atom(&b, 0, IMAGE_OP_TRUE, 0, "a"),
             low = ib_atom(&b, 2, IMAGE_OP_LT, 1, "x < 1"),
             high = ib_atom(&b, 2, IMAGE_OP_GT, 3, "x > 3"),
             mid = ib_atom(&b, 2, IMAGE_OP_GE, 2, "x >= 2");
    (void)ib_atom(&b, 1, IMAGE_OP_TRUE, 0, "b");
    const struct image_node first[] = {{IMAGE_NODE_AND, 2, 3},
                                       {IMAGE_NODE_ATOM, a, 1},
                                       {IMAGE_NODE_ATOM, low, 1}},
                            second[] = {{IMAGE_NODE_OR, 2, 3},
                                        {IMAGE_NODE_ATOM, mid, 1},
                                        {IMAGE_NODE_ATOM, high, 1}};
    ib_route(&b, "first", first, 3, ib_refuse(&b, "one"));
    ib_route(&b, "second", second, 3, ib_refuse(&b, "two"));
    ib_route(&b, "", NULL, 0, ib_refuse(&b, "three"));
    const struct policy_image *p = ib_finish(&b);
    arena_init(&arena, 0, 1 << 20);
    assert_int_equal(space_open(&p, 1, &space_limits_default, &s), RESULT_OK);
    assert_int_equal(order_check(s, 0, &arena, &r), RESULT_OK);
    const double takes[] = {1.0 / 8, 1.0 / 2, 3.0 / 8};
    for (int i = 0; i < 3; i++) {
        assert_true(r.routes[i].takes.exact && r.routes[i].takes.error == 0);
        assert_true(r.routes[i].takes.share == takes[i]);
    }
    assert_int_equal(r.idle_count, 1); // x > 3 beside x >= 2
    assert_int_equal(r.idle[0].node, 2);
    assert_false(r.idle[0].always);
    space_close(s);
    arena_deinit(&arena);
    ib_deinit(&b);
}

static void out_of_memory(void **state)
{
    (void)state;
    rng_seed(&naive_rng, 31);
    naive_make(&n, 8, 16, 8, 3, 2);
    for (uint64_t k = 1;; k++) {
        struct space *s = NULL;
        struct arena arena;
        struct order_report r;
        struct diag_list diags;
        arena_init(&arena, 1 << 12, 1 << 26);
        diag_init(&diags, &arena, 200);
        alloc_fail_at(k, 0);
        enum result e = space_open(&n.p, 1, &space_limits_default, &s);
        if (!e)
            e = order_check(s, 0, &arena, &r);
        if (!e)
            e = order_compare(s, 0, &arena, &r);
        alloc_fail_at(0, 0);
        if (!e) {
            struct order_telling t = {.diags = &diags};
            order_tell(&r, &t);
            order_tell_notes(&r, &t);
        }
        space_close(s);
        arena_deinit(&arena);
        if (e == RESULT_OK)
            break;
        assert_int_equal(e, RESULT_NOMEM);
        assert_true(k < 100000);
    }
    ib_deinit(&n.b);
}

static int open_memory(void **state)
{
    (void)state;
    all = calloc(ALL_MAX + 1, sizeof *all);
    held = calloc((size_t)(ALL_MAX + 1) * (ROUTES_MAX + 1), sizeof *held);
    return !all || !held;
}

static int close_memory(void **state)
{
    (void)state;
    free(all);
    free(held);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_policies),
        cmocka_unit_test(large_policies),
        cmocka_unit_test(shares_are_exact),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, open_memory, close_memory);
}
