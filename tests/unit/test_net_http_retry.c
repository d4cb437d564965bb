// net/http_retry.c: what peers say of when to come again.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/rng.h"
#include "net/http_retry.h"

static uint32_t after(const char *value, uint64_t wall_s)
{
    return http_retry_after_s(slice_cstr(value), wall_s * 1000000);
}

static void numbers(void **state)
{
    static const struct {
        const char *value;
        uint32_t s, of_ms;
    } cases[] = {
        {"0", 0, 0},          {"1", 1, 1},
        {"120", 120, 1},      {"1500", 1500, 2},
        {"0.5", 1, 1},        {"2.0", 2, 1},
        {"2.", 2, 1},         {"86400", 86400, 87},
        {"86401", 86400, 87}, {"99999999999999999999999999", 86400, 86400},
        {"", 0, 0},           {"-1", 0, 0},
        {"+1", 0, 0},         {"1e3", 0, 0},
        {"1 2", 0, 0},        {".5", 0, 0},
        {"soon", 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        assert_int_equal(after(cases[i].value, 1000), cases[i].s);
        assert_int_equal(http_retry_after_ms_s(slice_cstr(cases[i].value)), cases[i].of_ms);
    }
}

static void dates(void **state)
{
    static const char *const no[] = {
        "Sun, 06 Nov 1994 08:49:37 UTC",  "Sun, 06 Nov 1994 08:49:3 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 24:49:37 GMT",  "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nev 1994 08:49:37 GMT",  "Sun, 06 Nov 1969 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:4x:37 GMT",  "Sun; 06 Nov 1994 08:49:37 GMT",
    };
    (void)state;
    assert_int_equal(after("Sun, 06 Nov 1994 08:49:37 GMT", 784111777 - 30), 30);
    assert_int_equal(after("Sun, 06 Nov 1994 08:49:37 GMT", 784111777), 0);
    assert_int_equal(after("Sun, 06 Nov 1994 08:49:37 GMT", 784111777 + 5), 0);
    assert_int_equal(after("Sun, 06 Nov 1994 08:49:37 GMT", 0), 86400);
    for (size_t i = 0; i < MERIT_COUNT(no); i++)
        assert_int_equal(after(no[i], 0), 0);
}

// As the C library writes them.
static void dates_are_the_librarys(void **state)
{
    struct rng rng;
    (void)state;
    rng_seed(&rng, 7);
    for (int i = 0; i < 20000; i++) {
        time_t then = (time_t)rng_below(&rng, UINT32_MAX);
        struct tm tm;
        char text[64];
        gmtime_r(&then, &tm);
        assert_int_equal(strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm), 29);
        assert_int_equal(after(text, then > 77 ? (uint64_t)then - 77 : 0), then > 77 ? 77 : then);
    }
}

static void test_by_its_own_clock(void **state)
{
    struct slice date = SLICE("Sun, 06 Nov 1994 08:49:37 GMT");
    const uint64_t then_us = UINT64_C(784111777000000);
    (void)state;
    assert_int_equal(http_peer_clock_us(date, 5), then_us);
    assert_int_equal(http_peer_clock_us(SLICE("yesterday"), 5), 5);
    assert_int_equal(http_peer_clock_us(SLICE_EMPTY, 5), 5);
    // Ours is a day off, and it is asked for three seconds all the same.
    struct slice later = SLICE("Sun, 06 Nov 1994 08:49:40 GMT");
    assert_int_equal(
        http_retry_after_s(later, http_peer_clock_us(date, then_us - UINT64_C(86400000000))), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_its_own_clock),
        cmocka_unit_test(numbers),
        cmocka_unit_test(dates),
        cmocka_unit_test(dates_are_the_librarys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
