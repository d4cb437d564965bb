// How long upstreams want to be left alone, in every form that there is and in some that there is not.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <time.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "path/retry_after.h"

static const int64_t NOV_1994 = 784111777; // Sun, 06 Nov 1994 08:49:37 GMT

static uint32_t says(const char *retry, const char *ms, const char *date, int64_t wall_s)
{
    static struct http_head head;
    const struct http_header all[] = {{SLICE("Retry-After"), slice_cstr(retry)},
                                      {SLICE("retry-after-ms"), slice_cstr(ms)},
                                      {SLICE("Date"), slice_cstr(date)}};
    head.header_count = 0;
    for (size_t i = 0; i < MERIT_COUNT(all); i++)
        if (all[i].value.ptr)
            head.headers[head.header_count++] = all[i];
    return retry_after_s(&head, (uint64_t)wall_s * 1000000);
}

static void test_forms(void **state)
{
    (void)state;
    assert_int_equal(says("7", NULL, NULL, 0), 7);
    assert_int_equal(says("0", NULL, NULL, 0), 0);
    assert_int_equal(says("86401", NULL, NULL, 0), RETRY_AFTER_MAX_S);
    assert_int_equal(says("99999999999999999999999999", NULL, NULL, 0), RETRY_AFTER_MAX_S);
    static const char *const dates[] = {"Sun, 06 Nov 1994 08:49:37 GMT",
                                        "Sunday, 06-Nov-94 08:49:37 GMT",
                                        "Sun Nov  6 08:49:37 1994"};
    for (size_t i = 0; i < MERIT_COUNT(dates); i++) {
        int64_t at;
        assert_true(retry_after_date(slice_cstr(dates[i]), &at));
        assert_int_equal(at, NOV_1994);
        assert_int_equal(says(dates[i], NULL, NULL, NOV_1994 - 30), 30);
        assert_int_equal(says(dates[i], NULL, NULL, NOV_1994), 0);
        assert_int_equal(says(dates[i], NULL, NULL, NOV_1994 + 1), 0); // it is over
        // By its own clock, wherever ours is.
        assert_int_equal(says(dates[i], NULL, "Sun, 06 Nov 1994 08:49:27 GMT", 5), 10);
        assert_int_equal(says(dates[i], NULL, "yesterday", NOV_1994 - 3), 3);
    }
    assert_int_equal(says("Fri, 31 Dec 2999 23:59:59 GMT", NULL, NULL, NOV_1994),
                     RETRY_AFTER_MAX_S);
    assert_int_equal(says(NULL, "1500", NULL, 0), 2);
    assert_int_equal(says(NULL, "1000", NULL, 0), 1);
    assert_int_equal(says(NULL, "18446744073709551616", NULL, 0), RETRY_AFTER_MAX_S);
    assert_int_equal(says("3", "900000", NULL, 0), 3);
    assert_int_equal(says("soon", "900", NULL, 0), 1);
    assert_int_equal(says(NULL, NULL, NULL, 0), 0);
}

static void test_what_is_none(void **state)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "-1",
                                      "1.5",
                                      "+7",
                                      "7s",
                                      "0x10",
                                      "NaN",
                                      "soon",
                                      "Sun, 06 Nov 1994 08:49:37",
                                      "Sun, 6 Nov 1994 08:49:37 GMT",
                                      "Sun, 06 Nov 1994 24:49:37 GMT",
                                      "Sun, 06 Nov 1994 08:60:37 GMT",
                                      "Sun, 00 Nov 1994 08:49:37 GMT",
                                      "Sun, 32 Nov 1994 08:49:37 GMT",
                                      "Sun, 06 Foo 1994 08:49:37 GMT",
                                      "Sun, 06 Nov 1969 08:49:37 GMT",
                                      "Sun, 06 Nov 1994 08:49:37 GMT ",
                                      "Sun, 06 Nov 1994 08:49:37 PST",
                                      "Sun, 06-Nov-1994 08:49:37 GMT",
                                      "Sun Nov 6 08:49:37 1994",
                                      "Sun Nov  6 08:49:37 94",
                                      "1994-11-06T08:49:37Z",
                                      ",",
                                      "Sun,",
                                      "Sun"};
    (void)state;
    for (size_t i = 0; i < MERIT_COUNT(bad); i++)
        assert_int_equal(says(bad[i], NULL, NULL, 0), 0);
}

// Against the C library, over 120 years.
static void test_dates(void **state)
{
    struct rng rng;
    (void)state;
    rng_seed(&rng, 9);
    for (int i = 0; i < 5000; i++) {
        time_t t = (time_t)rng_below(&rng, UINT64_C(120) * 365 * 86400);
        struct tm tm;
        char text[64];
        int64_t at;
        gmtime_r(&t, &tm);
        size_t n = i % 2 ? strftime(text, sizeof text, "%a %b %e %H:%M:%S %Y", &tm)
                         : strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        assert_true(n > 0);
        assert_true(retry_after_date(slice_cstr(text), &at));
        assert_int_equal(at, t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_what_is_none),
        cmocka_unit_test(test_dates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
