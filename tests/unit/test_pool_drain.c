// How fast lines move: against sums over all that was seen, and what a place tells of its own.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "base/rng.h"
#include "helper/pool_make.h"
#include "pool/drain.h"

enum { SECOND = 1000 * 1000, SEEN = 200 };

static void a_steady_line_is_seen_as_it_moves(void **state)
{
    struct drain d = {0};
    (void)state;
    assert_true(drain_tok_s(&d, 0, 0, SECOND) < 0);
    // 100 tokens every 50 ms, never without a line.
    for (uint64_t t = SECOND; t <= 21 * SECOND; t += 50000) {
        drain_learn(&d, 100, 1, SECOND - 50000, t);
        double seen = drain_tok_s(&d, 0, SECOND, t);
        if (t < SECOND + 400000)
            assert_true(seen < 0); // a line of less than half a second tells nothing
        if (t > SECOND + 600000)
            assert_true(fabs(seen - 2000) < 1);
    }
    // It stands: the longer, the slower.
    assert_true(drain_tok_s(&d, 0, SECOND, 22 * SECOND) < 1900);
    assert_true(drain_tok_s(&d, 0, SECOND, 51 * SECOND) < 100);
    // Nobody waits: what was is what is known, and then it is too long ago.
    assert_true(fabs(drain_tok_s(&d, 0, 0, 30 * SECOND) - 2000) < 1);
    assert_true(drain_tok_s(&d, 0, 0, 81 * SECOND) < 0);
    // Half as fast from now on: most of it is believed within ten seconds.
    for (uint64_t t = 21 * SECOND + 100000; t <= 31 * SECOND; t += 100000)
        drain_learn(&d, 100, 1, SECOND, t);
    double seen = drain_tok_s(&d, 0, SECOND, 31 * SECOND);
    assert_true(seen > 1000 && seen < 1400);
}

// Tokens and seconds of all that was seen, each with the weight of its age.
static void agrees_with_all_that_was_seen(void **state)
{
    struct rng r;
    (void)state;
    rng_seed(&r, 7);
    for (int round = 0; round < 50; round++) {
        struct drain d = {0};
        uint64_t at[SEEN], line[SEEN], tok[SEEN], now = 1000, last = 0;
        for (int i = 0; i < SEEN; i++) {
            uint64_t began = now + rng_below(&r, 300000);
            line[i] = i && rng_below(&r, 3) ? line[i - 1] : began;
            now = began + rng_below(&r, 400000);
            at[i] = now;
            tok[i] = rng_below(&r, 5000);
            drain_learn(&d, tok[i], 1, line[i], now);
        }
        double t = 0, s = 0, calls = 0;
        for (int i = 0; i < SEEN; i++) {
            double weight = exp(-((double)(now - at[i]) / 1e6) / DRAIN_MEMORY_S);
            uint64_t from = line[i] > last ? line[i] : last;
            t += weight * (double)tok[i];
            calls += weight;
            s += weight * (double)(at[i] - from) / 1e6;
            last = at[i];
        }
        double seen = drain_tok_s(&d, 0, 0, now);
        assert_true(fabs(seen - t / s) < 1e-6 * seen);
        // A line of much longer prompts than those that left it.
        seen = drain_tok_s(&d, 1e6, 0, now);
        assert_true(fabs(seen - 1e6 * calls / s) < 1e-6 * seen);
        double pending = drain_tok_s(&d, 0, line[SEEN - 1], now + 3 * SECOND);
        double keep = exp(-3 / DRAIN_MEMORY_S);
        assert_true(fabs(pending - t * keep / (s * keep + 3)) < 1e-6 * pending);
    }
}

static void a_place_knows_its_line(void **state)
{
    struct pool_made f;
    struct pool_call calls[40];
    uint32_t models[] = {2};
    const struct pool_ask ask = {.compute_tok = 1000, .output_tok = 10};
    const struct pool_report ok = {.outcome = POOL_OK, .known = true},
                             failed = {.outcome = POOL_DROPPED};
    (void)state;
    pool_made_policy(&f, models, 1);
    pool_made_open(&f);
    struct pool_loop *l = &f.loops[0];
    uint64_t now = 10 * SECOND;
    for (int i = 0; i < 40; i++)
        assert_int_equal(pool_begin(l, 0, &ask, now, &calls[i]), RESULT_OK);
    // Ten leave without an answer, and do not count; then one comes to its first byte each quarter of a second.
    for (int i = 0; i < 10; i++)
        pool_end(l, &calls[i], &failed, now);
    for (int i = 10; i < 30; i++) {
        now += SECOND / 4;
        pool_first(l, &calls[i], now);
    }
    struct pool_view v = pool_made_view(&f, 0, now);
    assert_int_equal(v.places[0].wait_tok, 10 * 1000);
    assert_true(fabsf(v.places[0].drain_tok_s - 4000) < 1);
    assert_true(v.places[1].drain_tok_s < 0);
    // Whole answers leave the line as they end.
    for (int i = 30; i < 40; i++) {
        now += SECOND / 4;
        pool_end(l, &calls[i], &ok, now);
    }
    v = pool_made_view(&f, 0, now);
    assert_int_equal(v.places[0].wait_tok, 0);
    assert_true(v.places[0].drain_tok_s < 0); // no line
    // A new one begins: the minute without one does not count, and after it what was is forgotten.
    struct pool_call later;
    assert_int_equal(pool_begin(l, 0, &ask, now + SECOND, &later), RESULT_OK);
    v = pool_made_view(&f, 0, now + SECOND);
    assert_true(fabsf(v.places[0].drain_tok_s - 4000) < 1);
    pool_end(l, &later, &failed, now + SECOND);
    assert_int_equal(pool_begin(l, 0, &ask, now + 60 * SECOND, &later), RESULT_OK);
    v = pool_made_view(&f, 0, now + 60 * SECOND);
    assert_true(v.places[0].drain_tok_s < 0);
    pool_end(l, &later, &failed, now + 60 * SECOND);
    for (int i = 10; i < 30; i++)
        pool_end(l, &calls[i], &ok, now + 60 * SECOND);
    pool_made_close(&f);
}

// Where the engine says that nobody waits, calls without a first byte are being computed, and there is no line.
static void no_queue_is_no_line(void **state)
{
    struct pool_made f;
    struct pool_call calls[10];
    uint32_t models[] = {2};
    const struct pool_ask ask = {.compute_tok = 1000, .output_tok = 10};
    const struct pool_report dropped = {.outcome = POOL_DROPPED};
    (void)state;
    pool_made_policy(&f, models, 1);
    pool_made_open(&f);
    struct pool_loop *l = &f.loops[0];
    struct place_gauges *g = &pool_site(&f.pool, 0)->place->gauges;
    uint64_t now = 10 * SECOND;
    for (int i = 0; i < 10; i++)
        assert_int_equal(pool_begin(l, 0, &ask, now, &calls[i]), RESULT_OK);
    for (int i = 0; i < 5; i++)
        pool_first(l, &calls[i], now += SECOND / 4);
    for (int queue = 0; queue < 3; queue++) {
        g->queue = (float)queue;
        g->running = (float)(10 - queue);
        g->in_flight = 10;
        g->fresh_ms = now / 1000 + 1000;
        pool_changed(&f.pool);
        struct pool_view v = pool_made_view(&f, 0, now);
        assert_int_equal(v.places[0].wait_tok, 5000);
        assert_true(queue ? fabsf(v.places[0].drain_tok_s - 4000) < 1
                          : v.places[0].drain_tok_s < 0);
    }
    for (int i = 0; i < 10; i++)
        pool_end(l, &calls[i], &dropped, now);
    pool_made_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_steady_line_is_seen_as_it_moves),
        cmocka_unit_test(agrees_with_all_that_was_seen),
        cmocka_unit_test(a_place_knows_its_line),
        cmocka_unit_test(no_queue_is_no_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
