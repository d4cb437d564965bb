// The ratio of estimates to settlements: beside a naive window over random answers and a clock that jumps, and the alarm
// with its two pairs of bounds.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "route/ratio.h"

#define HOUR UINT64_C(3600000000)
#define PIECE (HOUR * RATIO_PIECE_H)

static void test_alarm(void **state)
{
    (void)state;
    struct ratio *r;
    uint32_t model;
    enum ratio_unit unit;
    struct ratio_view v;
    assert_int_equal(ratio_open(&r, 2), RESULT_OK);
    uint64_t now = 5 * HOUR;
    ratio_take(r, now);
    assert_true(ratio_of(r, 3, RATIO_USD).ratio == 1);
    // Too few answers to say anything.
    for (int i = 0; i < RATIO_ANSWERS - 1; i++)
        ratio_count(r, (uint32_t)i % 2, 3, RATIO_USD, 130, 100);
    ratio_take(r, now);
    v = ratio_of(r, 3, RATIO_USD);
    assert_true(fabs(v.ratio - 1.3) < 1e-12 && !v.alarm && v.answers == RATIO_ANSWERS - 1);
    assert_false(ratio_event(r, &model, &unit, &v));
    ratio_count(r, 1, 3, RATIO_USD, 130, 100);
    ratio_count(r, 1, 3, RATIO_USD, -1, 100); // not known
    ratio_count(r, 1, 3, RATIO_USD, 100, -1);
    ratio_count(r, 2, 3, RATIO_USD, 100, 1); // no such loop
    ratio_count(r, 1, RATIO_MODELS_MAX, RATIO_USD, 100, 1);
    ratio_take(r, now);
    assert_true(ratio_event(r, &model, &unit, &v));
    assert_true(model == 3 && unit == RATIO_USD && v.alarm && v.answers == RATIO_ANSWERS);
    assert_false(ratio_event(r, &model, &unit, &v));
    // Inside the outer bounds it stays, inside the inner ones it is cleared.
    for (int i = 0; i < RATIO_ANSWERS; i++)
        ratio_count(r, 0, 3, RATIO_USD, 110, 100);
    ratio_take(r, now);
    assert_true(fabs(ratio_of(r, 3, RATIO_USD).ratio - 1.2) < 1e-12);
    assert_true(ratio_of(r, 3, RATIO_USD).alarm && !ratio_event(r, &model, &unit, &v));
    for (int i = 0; i < RATIO_ANSWERS; i++)
        ratio_count(r, 0, 3, RATIO_USD, 100, 100);
    ratio_take(r, now);
    assert_true(ratio_event(r, &model, &unit, &v) && !v.alarm);
    // Something for nothing; and the other units are others.
    for (int i = 0; i < RATIO_ANSWERS; i++)
        ratio_count(r, 0, 3, RATIO_J, 5, 0);
    ratio_take(r, now);
    assert_true(ratio_event(r, &model, &unit, &v) && unit == RATIO_J && v.ratio == HUGE_VAL);
    assert_true(ratio_of(r, 3, RATIO_TOK).answers == 0);
    // The window ends, and the alarm with it.
    ratio_take(r, now + (RATIO_PIECES - 1) * PIECE);
    assert_true(ratio_of(r, 3, RATIO_J).alarm);
    ratio_take(r, now + (RATIO_PIECES + 1) * PIECE);
    assert_true(ratio_event(r, &model, &unit, &v) && !v.alarm && v.answers == 0);
    ratio_close(r);
    ratio_close(NULL);
}

enum { ANSWERS = 4000 };

// Each answer keeps the piece in which it was taken: those of the last RATIO_PIECES count. Time goes back, stands and leaps.
static void test_clock(void **state)
{
    (void)state;
    static struct {
        uint64_t piece, expected, settled;
    } seen[ANSWERS];
    struct rng g;
    struct ratio *r;
    rng_seed(&g, 9);
    assert_int_equal(ratio_open(&r, 3), RESULT_OK);
    uint64_t now = 1000 * HOUR, latest = 0;
    uint32_t n = 0, fresh = 0;
    ratio_take(r, now);
    latest = now / PIECE;
    while (n < ANSWERS) {
        for (uint64_t k = rng_below(&g, 5); k && n < ANSWERS; k--) {
            seen[n].expected = rng_below(&g, 1000);
            seen[n].settled = rng_below(&g, 1000);
            ratio_count(r, (uint32_t)rng_below(&g, 3), 7, RATIO_TOK, (int64_t)seen[n].expected,
                        (int64_t)seen[n].settled);
            n++;
        }
        uint64_t how = rng_below(&g, 10);
        now = how == 0                             ? now - rng_below(&g, 50 * HOUR)
              : how == 1                           ? now + rng_below(&g, 100 * HOUR)
              : how == 2 && rng_below(&g, 20) == 0 ? now + rng_below(&g, 4000 * HOUR)
                                                   : now + rng_below(&g, HOUR);
        if (now / PIECE > latest)
            latest = now / PIECE;
        ratio_take(r, now);
        for (; fresh < n; fresh++)
            seen[fresh].piece = latest;
        double expected = 0, settled = 0;
        uint64_t answers = 0;
        for (uint32_t i = 0; i < n; i++)
            if (seen[i].piece + RATIO_PIECES > latest) {
                expected += (double)seen[i].expected;
                settled += (double)seen[i].settled;
                answers++;
            }
        struct ratio_view v = ratio_of(r, 7, RATIO_TOK);
        assert_true(v.expected == expected && v.settled == settled && v.answers == answers);
    }
    ratio_close(r);
}

static void test_no_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct ratio *r;
        alloc_fail_at(n, 0);
        enum result result = ratio_open(&r, 2);
        alloc_fail_at(0, 0);
        if (!result) {
            ratio_close(r);
            break;
        }
        assert_int_equal(result, RESULT_NOMEM);
        assert_null(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alarm),
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
