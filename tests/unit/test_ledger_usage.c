// Providers' usage exports: forms, columns, sums, and what is wrong with a file by its line.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/alloc.h"
#include "ledger/usage.h"

static struct arena arena;
static char reason[400];

static enum result read_text(struct usage *u, struct slice text)
{
    struct buf why;
    buf_init(&why, sizeof reason - 1);
    arena_deinit(&arena);
    arena_init(&arena, 0, 1 << 26);
    enum result r = usage_read(u, text, &arena, &why);
    memset(reason, 0, sizeof reason);
    if (why.len)
        memcpy(reason, why.ptr, why.len);
    buf_deinit(&why);
    return r;
}

static void expect(const struct usage_sum *s, const char *day, const char *model, int64_t requests,
                   int64_t input, int64_t output, int64_t tokens, int64_t nusd)
{
    char text[11];
    usage_day_text(s->day, text);
    assert_string_equal(text, day);
    assert_true(slice_eq_cstr(s->model, model));
    const int64_t want[USAGE_FIELDS] = {requests, input, output, tokens, nusd};
    for (int i = 0; i < USAGE_FIELDS; i++)
        assert_int_equal(s->of[i], want[i]);
}

static void test_days(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int32_t day; // -1: none
    } cases[] = {{"1970-01-01", 0},
                 {"2026-11-21", 20778},
                 {"2026-11-21T23:59:59Z", 20778},
                 {" 2026-11-21 04:00:00+00:00 ", 20778},
                 {"2028-02-29", 21243},
                 {"2026-02-29", -1},
                 {"2026-13-01", -1},
                 {"2026-1-1", -1},
                 {"1795293015", 20778},
                 {"1795293015.25", 20778},
                 {"1795293015123", 20778},
                 {"99999999999999999999", -1},
                 {"21.11.2026", -1},
                 {"", -1},
                 {"2026-11-21x", -1}};
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        int32_t day = -1;
        bool is = usage_day(slice_cstr(cases[i].text), &day);
        assert_int_equal(is ? day : -1, cases[i].day);
    }
    // Every day and its text, to 2200.
    for (int32_t day = 0; day < 84000; day++) {
        char text[11];
        int32_t back;
        usage_day_text(day, text);
        assert_true(usage_day(slice_cstr(text), &back));
        assert_int_equal(back, day);
    }
}

static void test_csv(void **state)
{
    (void)state;
    struct usage u;
    assert_int_equal(
        read_text(&u, SLICE("\xef\xbb\xbf"
                            "Date,organisation,Model,input_tokens,output_tokens,cost_usd\r\n"
                            "2026-11-22,\"Acme, Inc.\",gpt-5.5,10,20,$0.5\r\n"
                            "2026-11-21,\"a \"\"b\"\"\nc\",gpt-5.5,100,200,0.000000001\r\n"
                            "\r\n"
                            "2026-11-21,x,\"gpt-5.5\",1.0,,1e-3\r\n"
                            "2026-11-21,x,gpt-5.5-mini,7,8,12.25")),
        RESULT_OK);
    assert_int_equal(u.count, 3);
    assert_int_equal(u.lines, 4);
    assert_int_equal(u.fields, 1u << USAGE_INPUT | 1u << USAGE_OUTPUT | 1u << USAGE_TOKENS |
                                   1u << USAGE_NUSD);
    expect(&u.sums[0], "2026-11-21", "gpt-5.5", 0, 101, 200, 301, 1000001);
    expect(&u.sums[1], "2026-11-21", "gpt-5.5-mini", 0, 7, 8, 15, 12250000000);
    expect(&u.sums[2], "2026-11-22", "gpt-5.5", 0, 10, 20, 30, 500000000);
}

static void test_json(void **state)
{
    (void)state;
    struct usage u;
    assert_int_equal(read_text(&u, SLICE("{\"start_time\": 1795293015, \"model\": \"m\", "
                                         "\"num_model_requests\": 3, \"input_tokens\": 5,"
                                         "\"output_tokens\": 6, \"results\": [1, 2]}\n\n"
                                         "{\"date\": \"2026-11-21\", \"model\": \"m\", "
                                         "\"total_tokens\": \"4\", \"cost\": null}\r\n")),
                     RESULT_OK);
    assert_int_equal(u.count, 1);
    expect(&u.sums[0], "2026-11-21", "m", 3, 5, 6, 15, 0);
    // Cached input is told apart and belongs to the input.
    assert_int_equal(
        read_text(&u, SLICE("[{\"day\":\"2026-11-21\",\"model\":\"n\\u00e9\","
                            "\"uncached_input_tokens\":10,\"cache_read_input_tokens\":90,"
                            "\"cache_creation_input_tokens\":5,\"output_tokens\":1}]")),
        RESULT_OK);
    expect(&u.sums[0], "2026-11-21", "n\xc3\xa9", 0, 105, 1, 106, 0);
}

static void test_what_is_wrong_is_named_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum result result;
        const char *says;
    } cases[] = {
        {"", RESULT_SYNTAX, "line 1: the file is empty"},
        {" \n ", RESULT_SYNTAX, "the file is empty"},
        {"model,cost\nm,1\n", RESULT_NOT_FOUND, "line 1: no column tells the day"},
        {"date,cost\n2026-11-21,1\n", RESULT_NOT_FOUND, "line 1: no column tells the model"},
        {"date,model\n2026-11-21,m\n", RESULT_NOT_FOUND, "requests, tokens or dollars"},
        {"date,model,cost\n2026-11-21,m,1\nyesterday,m,1\n", RESULT_SYNTAX,
         "line 3: this is no day like 2026-11-21: \"yesterday\""},
        {"date,model,cost\n2026-11-21,m,-1\n", RESULT_RANGE,
         "line 2: this is no amount of dollars"},
        {"date,model,cost\n2026-11-21,m,nan\n", RESULT_RANGE, "no amount of dollars"},
        {"date,model,cost\n2026-11-21,m,0x10\n", RESULT_RANGE, "no amount of dollars"},
        {"date,model,tokens\n2026-11-21,m,1.5\n", RESULT_RANGE, "no whole number"},
        {"date,model,tokens\n2026-11-21,m,9999999999999999999\n", RESULT_RANGE, "no whole number"},
        {"date,model,cost\n2026-11-21,,1\n", RESULT_NOT_FOUND, "line 2: it has no model"},
        {"date,model,cost\n2026-11-21,m,1,2\n", RESULT_SYNTAX, "more cells than the header"},
        {"date,model,cost\n2026-11-21,\"m,1\n", RESULT_SYNTAX, "a quote is not closed"},
        {"date,model,cost\n2026-11-21,\"m\"x,1\n", RESULT_SYNTAX, "behind a closing quote"},
        {"{\"date\": \"2026-11-21\", \"model\": \"m\", \"cost\": 1}\n{oops\n", RESULT_SYNTAX,
         "line 2: this is not JSON: \"{oops\""},
        {"{\"date\": \"2026-11-21\", \"model\": \"m\", \"cost\": [1]}\n", RESULT_TYPE,
         "line 1: this is neither a text nor a number: \"cost\""},
        {"[1]", RESULT_SYNTAX, "this is no object"},
        {"date,model,cost\n2026-11-21,\xff,1\n", RESULT_UTF8, "the file is not UTF-8"},
    };
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        struct usage u;
        enum result r = read_text(&u, slice_cstr(cases[i].text));
        if (r != cases[i].result || !strstr(reason, cases[i].says))
            fail_msg("case %zu: %s, \"%s\"", i, result_name(r), reason);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct usage u;
    struct buf text;
    buf_init(&text, 8 << 20);
    BUF_LIT(&text, "date,model,tokens\n2026-11-21,");
    for (int i = 0; i < 129; i++)
        buf_byte(&text, 'm');
    BUF_LIT(&text, ",1\n");
    assert_int_equal(read_text(&u, buf_slice(&text)), RESULT_LIMIT);
    buf_reset(&text);
    BUF_LIT(&text, "date,model,tokens\n");
    for (int i = 0; i < USAGE_SUMS_MAX + 1; i++)
        buf_printf(&text, "2026-11-21,m%d,1\n", i);
    assert_int_equal(read_text(&u, buf_slice(&text)), RESULT_LIMIT);
    assert_non_null(strstr(reason, "line 65538: more than 65536 days times models"));
    buf_reset(&text);
    for (int i = 0; i < 129; i++)
        BUF_LIT(&text, "x,");
    assert_int_equal(read_text(&u, buf_slice(&text)), RESULT_LIMIT);
    buf_deinit(&text);
}

// Lines in any order give the sums of a naive count.
static void test_sums_of_a_shuffled_file(void **state)
{
    (void)state;
    enum { DAYS = 40, MODELS = 5, LINES = 5000 };
    static int64_t want[DAYS][MODELS];
    struct usage u;
    struct buf text;
    uint32_t seed = 7;
    memset(want, 0, sizeof want);
    buf_init(&text, 8 << 20);
    BUF_LIT(&text, "model,tokens,date\n");
    for (int i = 0; i < LINES; i++) {
        seed = seed * 1664525 + 1013904223;
        uint32_t day = (seed >> 8) % DAYS, model = (seed >> 16) % MODELS, tokens = seed % 1000;
        char date[11];
        usage_day_text(20000 + (int32_t)day, date);
        buf_printf(&text, "m%u,%u,%s\n", model, tokens, date);
        want[day][model] += tokens;
    }
    assert_int_equal(read_text(&u, buf_slice(&text)), RESULT_OK);
    assert_int_equal(u.count, DAYS * MODELS);
    for (uint32_t i = 0; i < u.count; i++)
        assert_int_equal(u.sums[i].of[USAGE_TOKENS],
                         want[u.sums[i].day - 20000][u.sums[i].model.ptr[1] - '0']);
    buf_deinit(&text);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    struct slice text = SLICE("date,model,tokens\n2026-11-21,m,1\n2026-11-22,n,1\n");
    for (uint64_t n = 1;; n++) {
        struct usage u;
        struct arena a;
        struct buf why;
        arena_init(&a, 0, 1 << 20);
        buf_init(&why, 300);
        alloc_fail_at(n, 0);
        enum result r = usage_read(&u, text, &a, &why);
        alloc_fail_at(0, 0);
        arena_deinit(&a);
        buf_deinit(&why);
        if (r == RESULT_OK) {
            assert_true(n > 2);
            return;
        }
        assert_int_equal(r, RESULT_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_days),
        cmocka_unit_test(test_csv),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_what_is_wrong_is_named_with_its_line),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_sums_of_a_shuffled_file),
        cmocka_unit_test(test_out_of_memory),
    };
    arena_init(&arena, 0, 1 << 26);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_deinit(&arena);
    return failed;
}
