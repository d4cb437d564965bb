// Questions about random policies against an interpreter that tries requests one by one: what the space calls possible
// has a witness that holds however the signals that it leaves out turn out; what it calls impossible is not found among
// all requests, or, where these are many, by random search.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "proof/space.h"
#include "route/route.h"
#include "support/proof_naive.h"

enum { POLICIES = 1200, QUESTIONS = 12, CLAIMS = 4, ALL_MAX = 30000, HUNT = 1500 };

static struct naive_policy n;

struct question {
    uint32_t routes[CLAIMS]; // route * 2 + 1 when its guard must not hold
    uint32_t count;
    unsigned flags;
};

static bool holds(const struct question *q, const struct naive_request *r)
{
    for (uint32_t i = 0; i < q->count; i++)
        if (naive_route_holds(&n, q->routes[i] >> 1, r) == (q->routes[i] & 1))
            return false;
    return true;
}

// Tries all requests, or many where there are too many. `count`: how many hold; false when it was not all.
static bool try_all(const struct question *q, uint64_t *held, uint64_t *tried)
{
    uint64_t all = 1;
    struct naive_request r;
    for (uint32_t f = 0; f < n.families && all <= ALL_MAX; f++)
        all *= naive_choices(&n, f);
    *held = 0;
    *tried = all <= ALL_MAX && !q->flags ? all : HUNT;
    for (uint64_t i = 0; i < *tried; i++) {
        if (*tried == all && !q->flags) {
            uint64_t at = i;
            memset(&r, 0, sizeof r);
            for (uint32_t f = 0; f < n.families; f++) {
                r.of[f] = naive_choice(&n, f, (uint32_t)(at % naive_choices(&n, f)));
                at /= naive_choices(&n, f);
            }
        } else {
            naive_random(&n, &r, q->flags & SPACE_FAILURES);
        }
        *held += holds(q, &r);
    }
    return *tried == all && !q->flags;
}

// Atoms of given facts, three-valued: 0, 1, or 2 while the signal is open.
static int three_valued(const struct image_node *node, const struct fact *facts)
{
    const struct image_atom *atoms = IMAGE_AT(n.p, n.p->atoms, struct image_atom);
    if (node->kind == IMAGE_NODE_TRUE)
        return 1;
    if (node->kind == IMAGE_NODE_ATOM) {
        const struct image_atom *a = &atoms[node->arg];
        const struct fact *f = &facts[a->signal];
        return f->state == FACT_UNKNOWN ? 2 : route_atom_holds(n.p, a, f);
    }
    if (node->kind == IMAGE_NODE_NOT) {
        int v = three_valued(node + 1, facts);
        return v == 2 ? 2 : !v;
    }
    int settles = node->kind == IMAGE_NODE_OR, v = !settles;
    const struct image_node *child = node + 1;
    for (uint32_t i = 0; i < node->arg; i++, child += child->size) {
        int c = three_valued(child, facts);
        if (c == settles)
            return c;
        if (c == 2)
            v = 2;
    }
    return v;
}

static void check_witness(const struct question *q, const struct fact *facts)
{
    for (uint32_t i = 0; i < q->count; i++) {
        struct image_list g = image_route(n.p, (int32_t)(q->routes[i] >> 1))->guard;
        int v = g.count ? three_valued(IMAGE_AT(n.p, g, struct image_node), facts) : 1;
        assert_int_equal(v, !(q->routes[i] & 1));
    }
    // No signal is given in vain.
    struct fact copy[NAIVE_SIGNALS];
    memcpy(copy, facts, n.p->signals.count * sizeof *copy);
    for (uint32_t i = 0; i < n.p->signals.count; i++) {
        if (facts[i].state == FACT_UNKNOWN)
            continue;
        copy[i].state = FACT_UNKNOWN;
        bool still = true;
        for (uint32_t k = 0; k < q->count; k++) {
            struct image_list g = image_route(n.p, (int32_t)(q->routes[k] >> 1))->guard;
            still &= (g.count ? three_valued(IMAGE_AT(n.p, g, struct image_node), copy) : 1) ==
                     !(q->routes[k] & 1);
        }
        assert_false(still);
        copy[i] = facts[i];
    }
}

static struct question random_question(void)
{
    struct question q = {.count = 1 + naive_below(CLAIMS),
                         .flags = naive_below(3) ? 0 : SPACE_FAILURES};
    for (uint32_t i = 0; i < q.count; i++)
        q.routes[i] = naive_below(n.p->routes.count * 2);
    return q;
}

static void ask(struct space *s, struct arena *arena, uint32_t *yes, uint32_t *no)
{
    struct question q = random_question();
    uint32_t claims[CLAIMS], core_count;
    uint64_t held, tried;
    struct space_witness w;
    for (uint32_t i = 0; i < q.count; i++)
        claims[i] = space_route(s, 0, (int32_t)(q.routes[i] >> 1)) ^ (q.routes[i] & 1);
    enum sat_answer answer = space_ask(s, claims, q.count, q.flags);
    bool all = try_all(&q, &held, &tried);
    assert_int_not_equal(answer, SAT_UNKNOWN);
    if (all)
        assert_int_equal(answer, held ? SAT_YES : SAT_NO);
    else if (held)
        assert_int_equal(answer, SAT_YES);
    if (answer == SAT_YES) {
        ++*yes;
        assert_int_equal(space_witness(s, 0, claims, q.count, arena, &w), RESULT_OK);
        check_witness(&q, w.facts);
        return;
    }
    ++*no;
    for (int least = 0; least < 2; least++) {
        if (least)
            assert_true(space_least(s, claims, 0, q.flags));
        const uint32_t *core = space_core(s, &core_count);
        struct question part = {.count = core_count, .flags = q.flags};
        for (uint32_t i = 0; i < core_count; i++) {
            assert_true(core[i] < q.count && (i == 0 || core[i] > core[i - 1]));
            part.routes[i] = q.routes[core[i]];
        }
        try_all(&part, &held, &tried);
        assert_int_equal(held, 0);
        uint32_t kept[CLAIMS], fewer[CLAIMS];
        memcpy(kept, core, core_count * sizeof *kept);
        for (uint32_t skip = 0; least && skip < core_count; skip++) {
            uint32_t m = 0;
            for (uint32_t i = 0; i < core_count; i++)
                if (i != skip)
                    fewer[m++] = claims[kept[i]];
            assert_int_equal(space_ask(s, fewer, m, q.flags), SAT_YES);
        }
    }
}

static void answers_match(void **state)
{
    (void)state;
    uint32_t yes = 0, no = 0;
    rng_seed(&naive_rng, 11);
    for (int i = 0; i < POLICIES; i++) {
        struct space *s;
        struct arena arena;
        arena_init(&arena, 0, 1 << 24);
        naive_make(&n, 1 + naive_below(i % 4 ? 5 : 14), 1 + naive_below(14), 1 + naive_below(8),
                   naive_below(4), 3);
        assert_int_equal(space_open(&n.p, 1, &space_limits_default, &s), RESULT_OK);
        for (int k = 0; k < QUESTIONS; k++)
            ask(s, &arena, &yes, &no);
        assert_int_equal(space_result(s), RESULT_OK);
        space_close(s);
        ib_deinit(&n.b);
        arena_deinit(&arena);
    }
    assert_true(yes > 2000 && no > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
