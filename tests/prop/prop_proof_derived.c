// Labels, scores and exclusive groups: what the space says of random policies with derived signals against an
// interpreter that computes them from concrete values. What is possible has a witness that holds however the rest turns
// out; what is impossible is hunted for on a grid and at random.
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

enum { POLICIES = 700, QUESTIONS = 14, CLAIMS = 3, HUNT = 1200, COMPLETIONS = 40 };

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

static void random_request(struct naive_request *r, bool failures)
{
    naive_random(&n, r, failures);
    for (uint32_t f = 0; f < n.families; f++)
        if (n.raw[f] == SIGNAL_NUMBER && !n.whole[f] && naive_below(2))
            r->of[f].number = rng_unit(&naive_rng) * 5;
}

// Sets what a witness gives; the signals of one family may give it by thresholds only, and then it is left as it is when
// it shows them already.
static void give(const struct fact *facts, struct naive_request *r)
{
    for (uint32_t i = 0; i < n.p->signals.count; i++) {
        const struct fact *f = &facts[i];
        const struct image_signal *s = image_signal(n.p, (int32_t)i);
        struct naive_value *v = &r->of[n.family_of[i]];
        if (f->state == FACT_UNKNOWN)
            continue;
        r->failed[i] = f->state == FACT_FAILED;
        if (r->failed[i] || s->has_threshold)
            continue;
        v->number = f->number;
        v->members = 0;
        if (s->type == SIGNAL_TEXT)
            v->text = naive_texts[naive_text(f->text)];
        for (uint32_t k = 0; k < f->text_count; k++)
            v->members |= 1u << naive_text(f->texts[k]);
    }
}

static bool gives(const struct fact *facts, const struct naive_request *r)
{
    for (uint32_t i = 0; i < n.p->signals.count; i++)
        if (facts[i].state == FACT_GIVEN && n.p->signals.count &&
            image_signal(n.p, (int32_t)i)->has_threshold &&
            naive_shown(&n, i, r).number != facts[i].number)
            return false;
    return true;
}

static void check_witness(const struct question *q, const struct fact *facts)
{
    struct naive_request r;
    for (uint32_t i = 0; i < n.p->signals.count; i++)
        assert_true(facts[i].state == FACT_UNKNOWN || !image_signal(n.p, (int32_t)i)->derive);
    for (int i = 0; i < COMPLETIONS; i++) {
        random_request(&r, q->flags & SPACE_FAILURES);
        give(facts, &r);
        if (gives(facts, &r))
            assert_true(holds(q, &r));
    }
}

// Every route's "it is taken" decided by route/ from the facts of the witness alone.
static void replay(struct space *s, uint32_t route, unsigned flags, struct arena *arena)
{
    static const uint32_t own[NAIVE_SIGNALS];
    static const uint8_t group[NAIVE_SIGNALS];
    static const struct work work = {.choices = 1, .anchor = WORK_NO_ANCHOR};
    const struct route_costs costs = {.own_ns = own, .group = group};
    const struct route_table *table;
    struct space_witness w;
    struct route_run run;
    uint32_t claims[32];
    int32_t signal;
    assert_true(route < 31);
    for (uint32_t i = 0; i <= route; i++)
        claims[i] = space_route(s, 0, (int32_t)i) ^ (i < route);
    if (space_ask(s, claims, route + 1, flags) != SAT_YES)
        return;
    assert_int_equal(space_witness(s, 0, claims, route + 1, arena, &w), RESULT_OK);
    struct route_options options = {.given = w.facts};
    assert_int_equal(route_table_open(n.p, &costs, arena, &table), RESULT_OK);
    assert_int_equal(route_begin(&run, table, &work, NULL, &options, arena), RESULT_OK);
    assert_int_equal(route_step(&run, &signal), ROUTE_DECIDED);
    assert_int_equal(run.decision->route, route);
}

static void check_policy(uint32_t counts[3])
{
    struct space *s;
    struct arena arena;
    arena_init(&arena, 0, 1 << 24);
    assert_int_equal(space_open(&n.p, 1, &space_limits_default, &s), RESULT_OK);
    for (int i = 0; i < QUESTIONS; i++) {
        struct question q = {.count = 1 + naive_below(CLAIMS),
                             .flags = naive_below(3) ? 0 : SPACE_FAILURES};
        uint32_t claims[CLAIMS];
        struct naive_request r;
        struct space_witness w;
        for (uint32_t k = 0; k < q.count; k++) {
            q.routes[k] = naive_below(n.p->routes.count * 2);
            claims[k] = space_route(s, 0, (int32_t)(q.routes[k] >> 1)) ^ (q.routes[k] & 1);
        }
        enum sat_answer answer = space_ask(s, claims, q.count, q.flags);
        counts[answer]++;
        if (answer == SAT_YES) {
            for (uint32_t k = 0; k < q.count; k++)
                assert_true(space_holds(s, claims[k]));
            assert_int_equal(space_witness(s, 0, claims, q.count, &arena, &w), RESULT_OK);
            check_witness(&q, w.facts);
        }
        for (int k = 0; k < HUNT && answer == SAT_NO; k++) {
            random_request(&r, q.flags & SPACE_FAILURES);
            assert_false(holds(&q, &r));
        }
    }
    for (uint32_t i = 0; i < n.p->routes.count * 2; i++)
        replay(s, i / 2, i % 2 ? SPACE_FAILURES : 0, &arena);
    assert_int_equal(space_result(s), RESULT_OK);
    space_close(s);
    arena_deinit(&arena);
    ib_deinit(&n.b);
}

static void derived_signals(void **state)
{
    (void)state;
    uint32_t counts[3] = {0};
    rng_seed(&naive_rng, 41);
    for (int i = 0; i < POLICIES; i++) {
        naive_make_derived(&n, 2 + naive_below(5), 1 + naive_below(8), 1 + naive_below(4),
                           2 + naive_below(5), 2, 3);
        check_policy(counts);
    }
    print_message("yes %u, no %u, not decided %u\n", counts[SAT_YES], counts[SAT_NO],
                  counts[SAT_UNKNOWN]);
    assert_true(counts[SAT_YES] > 1000 && counts[SAT_NO] > 500);
    assert_true(counts[SAT_UNKNOWN] * 100 < counts[SAT_YES] + counts[SAT_NO]);
}

// Two images of one policy are one to the space: every guard is the same formula in both.
static void equal_policies_are_one(void **state)
{
    (void)state;
    rng_seed(&naive_rng, 43);
    for (int i = 0; i < 200; i++) {
        struct space *s;
        naive_make_derived(&n, 2 + naive_below(8), 1 + naive_below(12), naive_below(5),
                           2 + naive_below(6), 3, 3);
        const struct policy_image *both[] = {n.p, n.p};
        assert_int_equal(space_open(both, 2, &space_limits_default, &s), RESULT_OK);
        for (uint32_t r = 0; r < n.p->routes.count; r++)
            assert_int_equal(space_route(s, 0, (int32_t)r), space_route(s, 1, (int32_t)r));
        space_close(s);
        ib_deinit(&n.b);
    }
}

static void out_of_memory(void **state)
{
    (void)state;
    rng_seed(&naive_rng, 47);
    naive_make_derived(&n, 6, 8, 4, 5, 2, 3);
    for (uint64_t k = 1;; k++) {
        struct space *s = NULL;
        struct arena arena;
        struct space_witness w;
        arena_init(&arena, 1 << 12, 1 << 24);
        alloc_fail_at(k, 0);
        enum result e = space_open(&n.p, 1, &space_limits_default, &s);
        for (uint32_t r = 0; r < n.p->routes.count && !e; r++) {
            uint32_t claims[] = {space_route(s, 0, (int32_t)r),
                                 space_not(space_route(s, 0, (int32_t)(r / 2)))};
            enum sat_answer a = space_ask(s, claims, 2, SPACE_FAILURES);
            if (a == SAT_YES)
                e = space_witness(s, 0, claims, 2, &arena, &w);
            else if (a == SAT_NO && !space_least(s, claims, 0, SPACE_FAILURES))
                e = space_result(s);
            if (!e)
                e = space_result(s);
        }
        alloc_fail_at(0, 0);
        space_close(s);
        arena_deinit(&arena);
        if (e == RESULT_OK)
            break;
        assert_int_equal(e, RESULT_NOMEM);
    }
    ib_deinit(&n.b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(derived_signals),
        cmocka_unit_test(equal_policies_are_one),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
