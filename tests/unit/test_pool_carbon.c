// Carbon by the hour: what a file may say, what holds when it says nothing, and that a file which breaks leaves what was
// read to grow old.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/rng.h"
#include "pool/carbon.h"
#include "pool/carbon_feed.h"
#include "support/image_builder.h"

static char why[CARBON_WHY_BYTES];
static struct carbon_table table;

static uint64_t at(const char *iso)
{
    struct tm tm = {0};
    assert_non_null(strptime(iso, "%Y-%m-%dT%H:%M", &tm));
    return (uint64_t)timegm(&tm) * 1000000;
}

static enum result read_text(const char *text)
{
    carbon_table_free(&table);
    return carbon_read(slice_cstr(text), SLICE("de"), &table, why);
}

static enum carbon_from look(const char *iso, int64_t *ug)
{
    return carbon_at(&table, at(iso), ug);
}

static void test_hours(void **state)
{
    (void)state;
    int64_t ug;
    assert_int_equal(read_text("# grid\nhour,g_kwh,zone\n2026-11-21T10:00Z,312.5,de\n"
                               "2026-11-21T10:00Z,1,fr\n2024-02-29T23Z,0.000001,de\r\n"
                               "2026-11-21T09:00:00Z,300,de\n\n 10 , 290 , de \n03,280,de\n"),
                     RESULT_OK);
    assert_int_equal(table.count, 3);
    assert_int_equal(look("2026-11-21T10:59", &ug), CARBON_HOUR);
    assert_int_equal(ug, 312500000);
    assert_int_equal(look("2026-11-21T09:00", &ug), CARBON_HOUR);
    assert_int_equal(ug, 300000000);
    assert_int_equal(look("2026-11-21T13:59", &ug), CARBON_LATE);
    assert_int_equal(ug, 312500000);
    assert_int_equal(look("2026-11-21T14:00", &ug), CARBON_UNKNOWN);
    assert_int_equal(ug, -1);
    assert_int_equal(look("2027-01-01T10:00", &ug), CARBON_TYPICAL);
    assert_int_equal(ug, 290000000);
    assert_int_equal(look("2020-01-01T03:00", &ug), CARBON_TYPICAL);
    assert_int_equal(ug, 280000000);
    assert_int_equal(look("2024-03-01T02:00", &ug), CARBON_LATE);
    assert_int_equal(ug, 1);
    assert_int_equal(carbon_at(&table, 0, &ug), CARBON_UNKNOWN);
    assert_int_equal(carbon_at(&table, UINT64_MAX, &ug), CARBON_UNKNOWN);
    carbon_table_free(&table);
    assert_int_equal(carbon_at(&table, 5, &ug), CARBON_UNKNOWN);
}

// Every hour of a hundred years stands where the C library has it.
static void test_calendar(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 3);
    for (int i = 0; i < 3000; i++) {
        time_t t = (time_t)(rng_below(&r, 100 * 365 * 24) * 3600);
        struct tm tm;
        char text[128], day[32];
        int64_t ug;
        gmtime_r(&t, &tm);
        strftime(day, sizeof day, "%Y-%m-%dT%H:00Z", &tm);
        snprintf(text, sizeof text, "hour,g_kwh\n%s,7\n", day);
        assert_int_equal(read_text(text), RESULT_OK);
        assert_int_equal(table.rows[0].hour, t / 3600);
        assert_int_equal(carbon_at(&table, (uint64_t)t * 1000000, &ug), CARBON_HOUR);
    }
}

static void refused(const char *row, unsigned line)
{
    char text[256], begin[32];
    snprintf(text, sizeof text, "hour,g_kwh\n2026-01-01T00:00Z,5\n%s\n", row);
    snprintf(begin, sizeof begin, "line %u: ", line);
    if (read_text(text) != RESULT_SYNTAX || strncmp(why, begin, strlen(begin)) != 0)
        fail_msg("`%s`: %s", row, why);
    assert_int_equal(table.count, 0);
}

static void test_refuses(void **state)
{
    (void)state;
    static const char *const rows[] = {"2026-11-21T10:00Z",
                                       "2026-11-21T10:00Z,5,de",
                                       "2026-11-21T10:00Z,",
                                       "2026-11-21T10:00Z,-5",
                                       "2026-11-21T10:00Z,NaN",
                                       "2026-11-21T10:00Z,5001",
                                       "2026-11-21T10:00Z,5000.1",
                                       "2026-11-21T10:00Z,1e3",
                                       "2026-11-21T10:00Z,0.0000001",
                                       "2026-11-21T10:00Z,.5",
                                       "2026-11-21T10:30Z,5",
                                       "2026-11-21T24:00Z,5",
                                       "2026-02-29T10:00Z,5",
                                       "2026-00-10T10:00Z,5",
                                       "2026-13-10T10:00Z,5",
                                       "2026-11-31T10:00Z,5",
                                       "2026-11-00T10:00Z,5",
                                       "1969-12-31T10:00Z,5",
                                       "2026-11-21T10:00,5",
                                       "2026-11-21 10:00Z,5",
                                       "24,5",
                                       "2026-01-01T00:00:00Z,6",
                                       "1,2\n1,3",
                                       "soon,5"};
    for (size_t i = 0; i < MERIT_COUNT(rows); i++)
        refused(rows[i], strchr(rows[i], '\n') ? 4 : 3);
    assert_int_equal(read_text("2026-11-21T10:00Z,5\n"), RESULT_SYNTAX);
    assert_int_equal(read_text("<html>"), RESULT_SYNTAX);
    assert_int_equal(read_text(""), RESULT_SYNTAX);
    assert_int_equal(read_text("hour,g_kwh\n"), RESULT_OK);
    size_t n = CARBON_BYTES_MAX + 1;
    char *big = malloc(n);
    memset(big, '#', n);
    carbon_table_free(&table);
    assert_int_equal(carbon_read(slice_make(big, n), SLICE("de"), &table, why), RESULT_LIMIT);
    for (size_t i = 0; i < n; i++)
        big[i] = i % 4 == 3 ? '\n' : '1';
    assert_int_equal(carbon_read(slice_make(big, n - 1), SLICE("de"), &table, why), RESULT_LIMIT);
    free(big);
}

static void write_file(const char *path, const char *text)
{
    assert_int_equal(file_replace(path, slice_cstr(text), 0600), RESULT_OK);
}

static void test_reload(void **state)
{
    (void)state;
    static struct image_builder b;
    char path[] = "/tmp/merit-carbon-XXXXXX";
    struct carbon *c;
    struct carbon_view v;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    ib_init(&b);
    int32_t grid = ib_zone(&b, "de"), flat = ib_zone(&b, "flat"), none = ib_zone(&b, "none");
    b.zones[grid].carbon_file = ib_str(&b, path);
    b.zones[grid].carbon_marginal = true;
    b.zones[grid].carbon_stated = b.zones[flat].carbon_stated = true;
    b.zones[grid].carbon_ug_kwh = 111;
    b.zones[flat].carbon_ug_kwh = 222;
    const struct policy_image *p = ib_finish(&b);
    write_file(path, "hour,g_kwh,zone\n2026-11-21T10:00Z,300,de\n");
    assert_int_equal(carbon_new(&c), RESULT_OK);
    uint64_t now = at("2026-11-21T10:00"), hour = UINT64_C(3600000000);
    assert_int_equal(carbon_use(c, p, now), RESULT_OK);
    assert_int_equal(carbon_use(c, p, now), RESULT_OK);
    struct carbon_now n = carbon_now(c, p, grid);
    assert_true(n.ug_kwh == 300000000 && n.marginal && n.from == CARBON_HOUR);
    n = carbon_now(c, p, flat);
    assert_true(n.ug_kwh == 222 && !n.marginal && n.from == CARBON_POLICY);
    assert_true(carbon_now(c, p, none).ug_kwh == -1);
    assert_true(carbon_now(c, p, IMAGE_NONE).from == CARBON_UNKNOWN);
    assert_true(carbon_now(NULL, p, grid).from == CARBON_POLICY);
    assert_false(carbon_tick(c, 0, now));
    // A file that breaks keeps what was read, which grows old.
    write_file(path, "<html>502</html>\n");
    assert_true(carbon_tick(c, 0, now + hour));
    assert_false(carbon_tick(c, 0, now + hour));
    n = carbon_now(c, p, grid);
    assert_true(n.ug_kwh == 300000000 && n.from == CARBON_LATE);
    assert_true(carbon_each(c, 0, &v) && v.why[0] && v.rows == 1 && !carbon_each(c, 1, &v));
    carbon_tick(c, 0, now + 4 * hour);
    n = carbon_now(c, p, grid);
    assert_true(n.ug_kwh == 111 && n.from == CARBON_POLICY);
    unlink(path);
    assert_true(carbon_tick(c, 0, now + 4 * hour));
    assert_true(carbon_each(c, 0, &v) && strcmp(v.why, "No such file or directory") == 0);
    write_file(path, "hour,g_kwh\n14,7\n");
    assert_true(carbon_tick(c, 0, now + 4 * hour));
    n = carbon_now(c, p, grid);
    assert_true(n.ug_kwh == 7000000 && n.from == CARBON_TYPICAL);
    // A clock that jumps is only another hour.
    carbon_tick(c, 0, 0);
    assert_int_equal(carbon_now(c, p, grid).from, CARBON_POLICY);
    struct buf out;
    buf_init(&out, 1 << 16);
    carbon_tick(c, 0, now + 4 * hour);
    carbon_metrics(c, &out);
    buf_byte(&out, 0);
    assert_non_null(strstr(out.ptr, "merit_carbon_g_per_kwh{zone=\"de\",from=\"typical\"} 7\n"));
    assert_non_null(strstr(out.ptr, "merit_carbon_file_up{zone=\"de\"} 1\n"));
    buf_deinit(&out);
    // Without memory: what was there stays, and the file is read later.
    write_file(path, "hour,g_kwh\n14,8\n");
    alloc_fail_at(1, 1);
    carbon_tick(c, 0, now + 4 * hour);
    alloc_fail_at(0, 0);
    assert_int_equal(carbon_now(c, p, grid).ug_kwh, 7000000);
    carbon_tick(c, 0, now + 4 * hour);
    assert_int_equal(carbon_now(c, p, grid).ug_kwh, 8000000);
    carbon_free(c);
    carbon_free(NULL);
    ib_deinit(&b);
    unlink(path);
}

static enum result fed(const char *text, const char *when)
{
    carbon_table_free(&table);
    return carbon_read_feed(slice_cstr(text), SLICE("de"), at(when), &table, why);
}

static void test_what_feeds_say(void **state)
{
    (void)state;
    int64_t ug;
    assert_int_equal(fed(" {\"g_kwh\": 312.5, \"source\": {\"a\": [1]}}\n", "2026-11-21T10:59"),
                     RESULT_OK);
    assert_int_equal(look("2026-11-21T10:00", &ug), CARBON_HOUR);
    assert_int_equal(ug, 312500000);
    assert_int_equal(fed("{\"hour\": \"2026-11-21T09:00Z\", \"g_kwh\": 0, \"zone\": \"de\"}",
                         "2026-11-21T10:59"),
                     RESULT_OK);
    assert_int_equal(look("2026-11-21T10:00", &ug), CARBON_LATE);
    assert_int_equal(ug, 0);
    assert_int_equal(
        fed("{\"rows\": [{\"hour\": \"2026-11-21T10:00Z\", \"g_kwh\": 1, \"zone\": \"fr\"},"
            "{\"hour\": \"2026-11-21T11Z\", \"g_kwh\": 2}, {\"hour\": 12, \"g_kwh\": 3}]}",
            "2026-11-21T10:59"),
        RESULT_OK);
    assert_int_equal(table.count, 1);
    assert_int_equal(look("2026-11-21T11:30", &ug), CARBON_HOUR);
    assert_int_equal(look("2026-11-22T12:30", &ug), CARBON_TYPICAL);
    assert_int_equal(ug, 3000000);
    assert_int_equal(fed("hour,g_kwh,zone\n10,290,de\n", "2026-11-21T10:59"), RESULT_OK);
    static const struct {
        const char *text, *why;
        enum result result;
    } bad[] = {
        {"", "it is empty", RESULT_SYNTAX},
        {" \n", "it is empty", RESULT_SYNTAX},
        {"\n<!DOCTYPE html><html>", "it is a web page", RESULT_SYNTAX},
        {"{\"g_kwh\": NaN}", "byte 10 is no JSON", RESULT_SYNTAX},
        {"{\"g_kwh\": 1", "is no JSON", RESULT_SYNTAX},
        {"{\"g_kwh\": -1}", "0 to 5000", RESULT_SYNTAX},
        {"{\"g_kwh\": 5000.000001}", "0 to 5000", RESULT_SYNTAX},
        {"{\"g_kwh\": 1e2}", "0 to 5000", RESULT_SYNTAX},
        {"{\"g_kwh\": \"12\"}", "no number", RESULT_SYNTAX},
        {"{\"g_kwh\": null}", "no number", RESULT_SYNTAX},
        {"{\"error\": \"no credit\"}", "g_kwh is missing", RESULT_SYNTAX},
        {"{\"rows\": {}}", "no array", RESULT_SYNTAX},
        {"{\"rows\": [{\"g_kwh\": 1}, 3]}", "row 2: a row is an object", RESULT_SYNTAX},
        {"{\"rows\": [{\"g_kwh\": 1}, {\"g_kwh\": 2}]}", "an hour stands twice", RESULT_SYNTAX},
        {"{\"hour\": 24, \"g_kwh\": 1}", "the hour is", RESULT_SYNTAX},
        {"{\"hour\": true, \"g_kwh\": 1}", "the hour is", RESULT_SYNTAX},
        {"{\"rows\": []}", "no figure of this zone", RESULT_NOT_FOUND},
        {"{\"g_kwh\": 1, \"zone\": \"fr\"}", "no figure of this zone", RESULT_NOT_FOUND},
        {"{\"g_kwh\": 1, \"zone\": 3}", "no figure of this zone", RESULT_NOT_FOUND},
        {"hour,g_kwh\n", "no figure of this zone", RESULT_NOT_FOUND},
        {"hour,g_kwh\n10,nan\n", "line 2: the figure is", RESULT_SYNTAX},
        {"nothing of use", "line 1: the file begins", RESULT_SYNTAX},
    };
    for (size_t i = 0; i < MERIT_COUNT(bad); i++) {
        assert_int_equal(fed(bad[i].text, "2026-11-21T10:59"), bad[i].result);
        if (!strstr(why, bad[i].why))
            fail_msg("%s: %s", bad[i].text, why);
        assert_int_equal(table.count, 0);
    }
    for (size_t n = 1;; n++) {
        alloc_fail_at(n, 1);
        enum result r = fed("{\"rows\": [{\"g_kwh\": 1}]}", "2026-11-21T10:59");
        alloc_fail_at(0, 0);
        if (!r)
            break;
        assert_int_equal(r, RESULT_NOMEM);
        assert_string_equal(why, "out of memory");
    }
    carbon_table_free(&table);
}

// Until it answers, when it stops to, and when what it says does not reach to now, the policy's figure holds and is marked.
static void test_a_feed_grows_old(void **state)
{
    (void)state;
    static struct image_builder b;
    struct carbon *c;
    struct carbon_view v;
    struct carbon_now n;
    ib_init(&b);
    int32_t grid = ib_zone(&b, "de");
    b.zones[grid].carbon_file = ib_str(&b, "https://grid.example/now?zone=de");
    b.zones[grid].carbon_stated = b.zones[grid].carbon_marginal = true;
    b.zones[grid].carbon_ug_kwh = 111000000;
    const struct policy_image *p = ib_finish(&b);
    uint64_t now = at("2026-11-21T10:00"), hour = UINT64_C(3600000000), second = 1000000, mono = 77;
    assert_int_equal(carbon_new(&c), RESULT_OK);
    carbon_stale_after(c, 60000);
    assert_int_equal(carbon_use(c, p, now), RESULT_OK);
    n = carbon_now(c, p, grid);
    assert_true(n.ug_kwh == 111000000 && n.marginal && n.from == CARBON_STALE);
    assert_false(carbon_tick(c, mono, now));
    const char *good = "{\"rows\": [{\"hour\": \"2026-11-21T10Z\", \"g_kwh\": 0},"
                       "{\"hour\": \"2026-11-21T11Z\", \"g_kwh\": 200}]}";
    carbon_fed(c, 0, slice_cstr(good), mono, now);
    n = carbon_now(c, p, grid);
    assert_true(n.ug_kwh == 0 &&
                n.from == CARBON_HOUR); // a grid that emits nothing is something else
    carbon_tick(c, mono + 60 * second, now + hour);
    assert_int_equal(carbon_now(c, p, grid).ug_kwh, 200000000);
    // It lies: what was read stays until it is too old.
    carbon_fed(c, 0, SLICE("<html>"), mono + 60 * second, now + hour);
    assert_true(carbon_each(c, 0, &v) && v.feed && v.used && v.why[0] && v.from == CARBON_HOUR);
    carbon_age(c, 0, mono + 60 * second + 1, now + hour);
    n = carbon_now(c, p, grid);
    assert_true(n.ug_kwh == 111000000 && n.from == CARBON_STALE);
    struct buf out;
    buf_init(&out, 1 << 16);
    carbon_metrics(c, &out);
    buf_byte(&out, 0);
    assert_non_null(strstr(out.ptr, "merit_carbon_g_per_kwh{zone=\"de\",from=\"stale\"} 111\n"));
    assert_non_null(strstr(out.ptr, "merit_carbon_file_up{zone=\"de\"} 0\n"));
    buf_deinit(&out);
    // It is there again; and then with nothing for this hour.
    carbon_fed(c, 0, slice_cstr(good), mono + 90 * second, now + hour);
    assert_int_equal(carbon_now(c, p, grid).from, CARBON_HOUR);
    carbon_fed(c, 0, slice_cstr(good), mono + 91 * second, now + 9 * hour);
    assert_int_equal(carbon_now(c, p, grid).from, CARBON_STALE);
    carbon_not_fed(c, 0, "it cannot be reached");
    assert_true(carbon_each(c, 0, &v) && strcmp(v.why, "it cannot be reached") == 0);
    carbon_free(c);
    ib_deinit(&b);
}

static void test_urls_of_feeds(void **state)
{
    static const struct {
        const char *url, *origin, *target;
    } good[] = {
        {"http://a", "http://a", ""},
        {"https://a:8/b/", "https://a:8/b/", "/b/"},
        {"https://a/b?zone=de&k=%20", "https://a/b", "/b?zone=de&k=%20"},
        {"http://[::1]:80/?x", "http://[::1]:80/", "/?x"},
    };
    static const char *const bad[] = {
        "a/b",          "ftp://a",     "http://",        "http://a?x",
        "http://a/b#c", "http://a/ b", "http://a/b?x y", "http://u@a/"};
    struct slice origin, target;
    (void)state;
    for (size_t i = 0; i < MERIT_COUNT(good); i++) {
        assert_true(carbon_feed_url(slice_cstr(good[i].url), &origin, &target));
        assert_true(slice_eq_cstr(origin, good[i].origin) && slice_eq_cstr(target, good[i].target));
    }
    for (size_t i = 0; i < MERIT_COUNT(bad); i++)
        assert_false(carbon_feed_url(slice_cstr(bad[i]), &origin, &target));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hours),          cmocka_unit_test(test_calendar),
        cmocka_unit_test(test_refuses),        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_what_feeds_say), cmocka_unit_test(test_a_feed_grows_old),
        cmocka_unit_test(test_urls_of_feeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
