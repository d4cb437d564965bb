// text/json: what is accepted, the tape, look-ups, decoding, numbers, edits and writing, in every tier of this CPU.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "text/json.h"

static const enum json_tier tiers[] = {JSON_TIER_SCALAR, JSON_TIER_SSE2, JSON_TIER_AVX2,
                                       JSON_TIER_NEON, JSON_TIER_BEST};

// Calls `test` once per tier that this CPU has.
static void each_tier(void (*test)(void))
{
    unsigned seen = 0;
    for (size_t i = 0; i < MERIT_COUNT(tiers); i++) {
        if (json_force_tier(tiers[i]))
            continue;
        test();
        seen++;
    }
    assert_true(seen >= 2);
    assert_int_equal(json_force_tier(JSON_TIER_BEST), RESULT_OK);
}

struct verdict {
    struct slice text;
    enum result want;
    uint32_t error_at;
};
#define V(text, want, at)                                                                          \
    {                                                                                              \
        SLICE(text), RESULT_##want, at                                                             \
    }

static const struct verdict verdicts[] = {
    V("{}", OK, 0),
    V(" [ ] \r\n\t", OK, 0),
    V("0", OK, 0),
    V("-0", OK, 0),
    V("\"\"", OK, 0),
    V("null", OK, 0),
    V("[1,-2.5e+10,0.0,1E5,1e-0]", OK, 0),
    V("[true,false,null]", OK, 0),
    V("{\"\":\"\"}", OK, 0),
    V("{\"a\":1,\"a\":2}", OK, 0),
    V("\"\\u0000\\uD834\\udd1e\\/\\b\\f\\n\\r\\t\\\"\\\\\"", OK, 0),
    V("\"\x7f\xc2\x80\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf\"", OK, 0),
    V("", SYNTAX, 0),
    V("  ", SYNTAX, 2),
    V("\xef\xbb\xbf{}", SYNTAX, 0),
    V("{} x", SYNTAX, 3),
    V("{}{}", SYNTAX, 2),
    V("[1,]", SYNTAX, 3),
    V("[,1]", SYNTAX, 1),
    V("[1 2]", SYNTAX, 3),
    V("[1", SYNTAX, 2),
    V("[", SYNTAX, 1),
    V("]", SYNTAX, 0),
    V("[}", SYNTAX, 1),
    V("{]", SYNTAX, 1),
    V("{\"a\"}", SYNTAX, 4),
    V("{\"a\":}", SYNTAX, 5),
    V("{\"a\":1,}", SYNTAX, 7),
    V("{\"a\":1 \"b\":2}", SYNTAX, 7),
    V("{a:1}", SYNTAX, 1),
    V("{1:1}", SYNTAX, 1),
    V("{'a':1}", SYNTAX, 1),
    V("01", SYNTAX, 1),
    V("-", SYNTAX, 1),
    V("-a", SYNTAX, 1),
    V("+1", SYNTAX, 0),
    V("1.", SYNTAX, 2),
    V(".5", SYNTAX, 0),
    V("1e", SYNTAX, 2),
    V("1e+", SYNTAX, 3),
    V("0x10", SYNTAX, 1),
    V("NaN", SYNTAX, 0),
    V("Infinity", SYNTAX, 0),
    V("tru", SYNTAX, 0),
    V("nul", SYNTAX, 0),
    V("falsy", SYNTAX, 0),
    V("truex", SYNTAX, 4),
    V("True", SYNTAX, 0),
    V("\"", SYNTAX, 1),
    V("\"abc", SYNTAX, 4),
    V("\"\\", SYNTAX, 1),
    V("\"\\\"", SYNTAX, 3),
    V("\"\\x41\"", SYNTAX, 1),
    V("\"\\u12g4\"", SYNTAX, 1),
    V("\"\\u123\"", SYNTAX, 1),
    V("\"\\u123", SYNTAX, 1),
    V("\"\\U0041\"", SYNTAX, 1),
    V("\"\\ud800\"", SYNTAX, 1),
    V("\"\\udc00\"", SYNTAX, 1),
    V("\"\\ud800\\ud800\"", SYNTAX, 1),
    V("\"\\ud800\\n\"", SYNTAX, 1),
    V("\"\\ud800\\udc0", SYNTAX, 1),
    V("\"\n\"", SYNTAX, 1),
    V("\"\0\"", SYNTAX, 1),
    V("\"\x1f\"", SYNTAX, 1),
    V("[1,\0]", SYNTAX, 3),
    V("[1]\0", SYNTAX, 3),
    V("[\x0b]", SYNTAX, 1),
    V("[\xc2\xa0]", SYNTAX, 1),
    V("/* c */ 1", SYNTAX, 0),
    V("\"\x80\"", UTF8, 1),
    V("\"\xc0\x80\"", UTF8, 1),
    V("\"\xed\xa0\x80\"", UTF8, 1),
    V("\"\xf4\x90\x80\x80\"", UTF8, 1),
    V("\"\xe2\x82\"", UTF8, 1),
    V("{\"\xff\":1}", UTF8, 2),
};

static void check_verdicts(void)
{
    for (size_t i = 0; i < MERIT_COUNT(verdicts); i++) {
        const struct verdict *v = &verdicts[i];
        // A copy of just its length, so that a read behind it is found by the sanitizer.
        char *copy = malloc(v->text.len ? v->text.len : 1);
        memcpy(copy, v->text.ptr, v->text.len);
        struct arena a;
        struct json j;
        arena_init(&a, 0, 1 << 20);
        enum result r = json_parse(&j, slice_make(copy, v->text.len), &json_limits_default, &a);
        if (r != v->want || (r && j.error_at != v->error_at))
            fail_msg("%.*s: %s at %u", SLICE_FMT(v->text), result_name(r), j.error_at);
        if (r)
            assert_int_equal(j.count, 0);
        arena_deinit(&a);
        free(copy);
    }
}

static void verdicts_hold(void **state)
{
    (void)state;
    each_tier(check_verdicts);
}

// Each interesting byte at each offset of a long string: block borders of all tiers.
static void check_positions(void)
{
    static const struct {
        struct slice bytes;
        enum result want;
    } cases[] = {
        {SLICE("\\n"), RESULT_OK},          {SLICE("\\\\\\\""), RESULT_OK},
        {SLICE("\\u00e9"), RESULT_OK},      {SLICE("\\ud83d\\ude00"), RESULT_OK},
        {SLICE("\xc3\xa9"), RESULT_OK},     {SLICE("\xf0\x9f\x98\x80"), RESULT_OK},
        {SLICE("\x1f"), RESULT_SYNTAX},     {SLICE("\0"), RESULT_SYNTAX},
        {SLICE("\\x"), RESULT_SYNTAX},      {SLICE("\\ude00"), RESULT_SYNTAX},
        {SLICE("\"x"), RESULT_SYNTAX},      {SLICE("\xc3"), RESULT_UTF8},
        {SLICE("\\ud83dx"), RESULT_SYNTAX},
    };
    struct arena a;
    arena_init(&a, 0, 1 << 20);
    for (size_t c = 0; c < MERIT_COUNT(cases); c++) {
        size_t n = cases[c].bytes.len;
        for (size_t pad = 0; pad < 70; pad++) {
            for (size_t behind = 0; behind < 70; behind += 1 + behind / 3) {
                size_t len = 1 + pad + n + behind + 1;
                char *text = malloc(len);
                memset(text, 'a', len);
                text[0] = text[len - 1] = '"';
                memcpy(text + 1 + pad, cases[c].bytes.ptr, n);
                struct json j;
                arena_reset(&a);
                enum result r = json_parse(&j, slice_make(text, len), &json_limits_default, &a);
                assert_int_equal(r, cases[c].want);
                if (!r) {
                    assert_int_equal(j.tokens[0].len, len - 2);
                    assert_int_equal(j.tokens[0].escaped, cases[c].bytes.ptr[0] == '\\');
                }
                free(text);
            }
        }
    }
    arena_deinit(&a);
}

static void positions_do_not_matter(void **state)
{
    (void)state;
    each_tier(check_positions);
}

static struct json parse(struct arena *a, const char *text)
{
    struct json j;
    assert_int_equal(json_parse(&j, slice_cstr(text), &json_limits_default, a), RESULT_OK);
    return j;
}

static void tape_is_in_document_order(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0, 1 << 20);
    struct json j = parse(&a, " {\"a\" : [1, {\"b\":null}], \"c\":\"x\\n\"} ");
    static const struct json_token want[] = {
        {1, 34, 9, JSON_OBJECT, false, false},  {3, 1, 2, JSON_STRING, false, true},
        {8, 15, 7, JSON_ARRAY, false, false},   {9, 1, 4, JSON_NUMBER, false, false},
        {12, 10, 7, JSON_OBJECT, false, false}, {14, 1, 6, JSON_STRING, false, true},
        {17, 4, 7, JSON_NULL, false, false},    {26, 1, 8, JSON_STRING, false, true},
        {30, 3, 9, JSON_STRING, true, false},
    };
    assert_int_equal(j.count, MERIT_COUNT(want));
    for (uint32_t i = 0; i < j.count; i++) {
        assert_int_equal(j.tokens[i].at, want[i].at);
        assert_int_equal(j.tokens[i].len, want[i].len);
        assert_int_equal(j.tokens[i].next, want[i].next);
        assert_int_equal(j.tokens[i].type, want[i].type);
        assert_int_equal(j.tokens[i].escaped, want[i].escaped);
        assert_int_equal(j.tokens[i].is_key, want[i].is_key);
    }
    uint32_t at = 0, key, value, n = 0;
    while (json_member(&j, 0, &at, &key, &value))
        assert_int_equal(value, n++ ? 8 : 2);
    assert_int_equal(n, 2);
    for (at = n = 0; json_element(&j, 2, &at, &value); n++)
        assert_int_equal(value, n ? 4 : 3);
    assert_int_equal(n, 2);
    arena_deinit(&a);
}

static void keys_are_compared_unescaped(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0, 1 << 20);
    struct json j =
        parse(&a, "{\"x\":{\"model\":0},\"mod\\u0065l\":1,\"\":2,\"model\":3,\"a\\u0000b\":4,"
                  "\"\\ud83d\\ude00\":5}");
    bool twice;
    uint32_t value = json_get(&j, 0, SLICE("model"), &twice);
    assert_true(twice);
    assert_true(slice_eq(json_raw(&j, value), SLICE("1")));
    assert_true(slice_eq(json_raw(&j, json_get(&j, 0, SLICE(""), &twice)), SLICE("2")));
    assert_false(twice);
    assert_true(slice_eq(json_raw(&j, json_get(&j, 0, SLICE("a\0b"), NULL)), SLICE("4")));
    assert_true(
        slice_eq(json_raw(&j, json_get(&j, 0, SLICE("\xf0\x9f\x98\x80"), NULL)), SLICE("5")));
    assert_int_equal(json_get(&j, 0, SLICE("mode"), &twice), JSON_NONE);
    assert_int_equal(json_get(&j, 0, SLICE("mod\\u0065l"), &twice), JSON_NONE);
    assert_int_equal(json_get(&j, 0, SLICE("a"), NULL), JSON_NONE);
    assert_false(json_string_is(&j, 0, SLICE("model")));
    arena_deinit(&a);
}

static void strings_decode_and_map_back(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0, 1 << 20);
    const char *raw = "h\\u00e9\\n\\\"\\uD83D\\uDE00z\\u0000";
    char text[64];
    snprintf(text, sizeof text, "\"%s\"", raw);
    struct json j = parse(&a, text);
    struct slice want = SLICE("h\xc3\xa9\n\"\xf0\x9f\x98\x80z\0");
    struct slice got = json_string(&j, 0, &a);
    assert_true(slice_eq(got, want));
    assert_true(json_string_is(&j, 0, want));
    assert_false(json_string_is(&j, 0, slice_head(want, want.len - 1)));
    static const uint32_t back[] = {0, 1, 1, 7, 9, 11, 11, 11, 11, 23, 24, 30};
    for (uint32_t i = 0; i <= want.len; i++)
        assert_int_equal(json_raw_offset(json_raw(&j, 0), i), back[i]);
    assert_int_equal(json_raw_offset(SLICE_EMPTY, 0), 0);
    // An unescaped string is a slice of the text.
    j = parse(&a, "[\"plain\"]");
    assert_ptr_equal(json_string(&j, 1, &a).ptr, j.text.ptr + 2);
    arena_deinit(&a);
}

static void limits_have_names(void **state)
{
    (void)state;
    struct arena a;
    struct json j;
    arena_init(&a, 0, 1 << 20);
    struct json_limits limits = {2, 5};
    assert_int_equal(json_parse(&j, SLICE("[[1,2]]"), &limits, &a), RESULT_OK);
    assert_int_equal(json_parse(&j, SLICE("[[[]]]"), &limits, &a), RESULT_DEPTH);
    assert_int_equal(j.error_at, 2);
    assert_int_equal(json_parse(&j, SLICE("[1,2,3,4]"), &limits, &a), RESULT_OK);
    assert_int_equal(json_parse(&j, SLICE("[1,2,3,4,5]"), &limits, &a), RESULT_LIMIT);
    assert_int_equal(j.error_at, 9);
    limits = (struct json_limits){0, 0};
    assert_int_equal(json_parse(&j, SLICE("1"), &limits, &a), RESULT_LIMIT);
    // Deep nesting costs no stack.
    enum { DEEP = 200000 };
    char *deep = malloc(2 * DEEP);
    memset(deep, '[', DEEP);
    memset(deep + DEEP, ']', DEEP);
    struct arena big;
    arena_init(&big, 0, 64 << 20);
    assert_int_equal(json_parse(&j, slice_make(deep, 2 * DEEP), &json_limits_default, &big),
                     RESULT_DEPTH);
    assert_int_equal(j.error_at, 64);
    limits = (struct json_limits){DEEP, DEEP};
    assert_int_equal(json_parse(&j, slice_make(deep, 2 * DEEP), &limits, &big), RESULT_OK);
    assert_int_equal(j.tokens[DEEP - 1].at, DEEP - 1);
    assert_int_equal(j.tokens[DEEP - 1].next, DEEP);
    free(deep);
    arena_deinit(&big);
    arena_deinit(&a);
}

static void memory_is_small_and_faults_are_clean(void **state)
{
    (void)state;
    struct arena a;
    struct json j;
    char body[1500];
    memset(body, 'x', sizeof body);
    memcpy(body, "{\"a\":\"", 6);
    memcpy(body + sizeof body - 2, "\"}", 2);
    arena_init(&a, 4096, 4096);
    assert_int_equal(json_parse(&j, slice_make(body, sizeof body), &json_limits_default, &a),
                     RESULT_OK);
    // Three tokens are kept; what was estimated above that went back, and all of it after a failure.
    assert_true((size_t)(a.end - a.at) >= 4096 - 3 * sizeof(struct json_token));
    const char *at = a.at;
    body[sizeof body - 1] = ']';
    assert_int_equal(json_parse(&j, slice_make(body, sizeof body), &json_limits_default, &a),
                     RESULT_SYNTAX);
    assert_ptr_equal(a.at, at);
    arena_deinit(&a);

    // 30,000 tokens: fails at each allocation in turn, then succeeds.
    char *numbers = malloc(60001);
    for (int i = 0; i < 30000; i++)
        memcpy(numbers + 2 * i, i ? ",1" : "[1", 2);
    numbers[60000] = ']';
    enum result r = RESULT_NOMEM;
    int n = 0;
    for (; r; n++) {
        arena_init(&a, 4096, 8 << 20);
        alloc_fail_at((uint64_t)n + 1, 0);
        r = json_parse(&j, slice_make(numbers, 60001), &json_limits_default, &a);
        alloc_fail_at(0, 0);
        assert_true(r == RESULT_OK || r == RESULT_NOMEM);
        if (!r) {
            assert_int_equal(j.count, 30001);
            // Doubling leaves the halves behind: at most four times the tape.
            assert_true(a.used <= (size_t)4 * 30001 * sizeof(struct json_token));
        }
        arena_deinit(&a);
    }
    assert_true(n > 3);
    arena_init(&a, 4096, 100000);
    assert_int_equal(json_parse(&j, slice_make(numbers, 60001), &json_limits_default, &a),
                     RESULT_NOMEM);
    arena_deinit(&a);
    free(numbers);
}

static void whole_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum result want;
        uint64_t value;
    } cases[] = {
        {"0", RESULT_OK, 0},
        {"-0", RESULT_OK, 0},
        {"0e5", RESULT_OK, 0},
        {"-0.000", RESULT_OK, 0},
        {"42", RESULT_OK, 42},
        {"1e3", RESULT_OK, 1000},
        {"12.50e1", RESULT_OK, 125},
        {"100.0", RESULT_OK, 100},
        {"0.001E3", RESULT_OK, 1},
        {"18446744073709551615", RESULT_OK, UINT64_MAX},
        {"1844674407370955161.5e1", RESULT_OK, UINT64_MAX},
        {"18446744073709551616", RESULT_RANGE, 0},
        {"1e20", RESULT_RANGE, 0},
        {"1e19", RESULT_OK, 10000000000000000000u},
        {"1e99999999999999999999", RESULT_RANGE, 0},
        {"0e99999999999999999999", RESULT_OK, 0},
        {"-1", RESULT_RANGE, 0},
        {"1.5", RESULT_RANGE, 0},
        {"0.99999999999999999999999", RESULT_RANGE, 0},
        {"1e-1", RESULT_RANGE, 0},
        {"\"1\"", RESULT_TYPE, 0},
        {"null", RESULT_TYPE, 0},
    };
    struct arena a;
    arena_init(&a, 0, 1 << 20);
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        struct json j = parse(&a, cases[i].text);
        uint64_t v = 0;
        assert_int_equal(json_u64(&j, 0, &v), cases[i].want);
        if (!cases[i].want)
            assert_true(v == cases[i].value);
    }
    struct json j = parse(&a, "true");
    uint64_t v;
    double d;
    assert_int_equal(json_u64(&j, JSON_NONE, &v), RESULT_TYPE);
    assert_int_equal(json_double(&j, JSON_NONE, &d), RESULT_TYPE);
    assert_int_equal(json_double(&j, 0, &d), RESULT_TYPE);
    assert_true(json_bool(&j, 0, false));
    assert_true(json_bool(&j, JSON_NONE, true));
    j = parse(&a, "[false,null]");
    assert_false(json_bool(&j, 1, true));
    assert_true(json_bool(&j, 2, true));
    assert_false(json_bool(&j, 2, false));
    arena_deinit(&a);
}

static double read_double(const char *text)
{
    struct arena a;
    double d = -1;
    arena_init(&a, 0, 1 << 20);
    struct json j = parse(&a, text);
    assert_int_equal(json_double(&j, 0, &d), RESULT_OK);
    arena_deinit(&a);
    return d;
}

static void doubles_read_as_the_library_reads_them(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "0",
        "-0",
        "0.1",
        "-2.5e-3",
        "1e22",
        "1e23",
        "123456789012345678",
        "9007199254740993",
        "1.7976931348623157e308",
        "2.2250738585072011e-308",
        "4.9e-324",
        "2e-324",
        "1e-400",
        "0.30000000000000004",
        "8.442911973260991817129021e-309",
        "100000000000000000000000000000",
        // Half-way between two doubles, then just above it.
        "9007199254740993."
        "00000000000000000000000000000000000000000000000000000000000000000000000001",
    };
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        double want = strtod(cases[i], NULL), got = read_double(cases[i]);
        assert_memory_equal(&got, &want, sizeof got);
    }
    // More digits than are kept: the cut ones still decide a tie.
    static char tie[1100] = "9007199254740993.";
    memset(tie + 17, '0', 1000);
    assert_true(read_double(tie) == 9007199254740992.0);
    tie[1016] = '1';
    assert_true(read_double(tie) == 9007199254740994.0);
    // A long fraction and a large exponent cancel out.
    static char tiny[300100] = "0.";
    memset(tiny + 2, '0', 300000);
    memcpy(tiny + 300002, "25e300001", 10);
    assert_true(read_double(tiny) == 2.5);
    struct arena a;
    double d;
    arena_init(&a, 0, 1 << 20);
    struct json j = parse(&a, "-1e999");
    assert_int_equal(json_double(&j, 0, &d), RESULT_RANGE);
    arena_deinit(&a);
}

static void doubles_survive_writing(void **state)
{
    (void)state;
    static const struct {
        double v;
        const char *want;
    } cases[] = {
        {0, "0"},
        {-0.0, "-0"},
        {1, "1"},
        {-17, "-17"},
        {0.1, "0.1"},
        {0.25, "0.25"},
        {123.456, "123.456"},
        {1e15, "1000000000000000"},
        {0.000012, "0.000012"},
        {0.30000000000000004, "0.30000000000000004"},
        {1e300, "1e+300"},
        {-0.5, "-0.5"},
        {9007199254740992.0, "9007199254740992"},
        {99999999999999.5, "99999999999999.5"},
        {1.0 / 0.0, "null"},
        {-1.0 / 0.0, "null"},
        {0.00001, "0.00001"},
        {0.9999999, "0.9999999"},
    };
    struct buf b;
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        buf_reset(&b);
        json_write_double(&b, cases[i].v);
        if (!slice_eq_cstr(buf_slice(&b), cases[i].want))
            fail_msg("%s: %.*s", cases[i].want, SLICE_FMT(buf_slice(&b)));
    }
    struct rng r;
    rng_seed(&r, 5);
    for (int i = 0; i < 120000; i++) {
        uint64_t bits = rng_next(&r);
        double v;
        memcpy(&v, &bits, 8);
        if (i % 3 == 1)
            v = (double)(int64_t)(bits >> (bits & 63)) / (double)(1u << (bits & 15));
        if (i % 3 == 2)
            v = (double)rng_below(&r, 1000000000) / 1e7;
        if (i % 6 == 5)
            v = (double)(float)rng_unit(&r);
        if (i % 6 == 4)
            v = rng_unit(&r) * (double)(1 << (bits & 15));
        if (i % 600 == 3)
            v = 1.0 / (double)(1 << (bits & 15)); // the unit below is half as large
        if (v - v != 0)
            continue;
        buf_reset(&b);
        json_write_double(&b, v);
        buf_byte(&b, 0);
        // No shorter decimal reads back the same.
        char shortest[40];
        size_t places = 0, zeros = 0;
        for (int digits = 1; digits <= 17; digits++) {
            snprintf(shortest, sizeof shortest, "%.*e", digits - 1, v);
            if (strtod(shortest, NULL) == v)
                break;
        }
        for (const char *p = shortest; *p && *p != 'e'; p++)
            places += *p >= '0' && *p <= '9';
        size_t got_places = 0;
        for (const char *p = b.ptr; *p && *p != 'e'; p++) {
            bool digit = *p >= '0' && *p <= '9';
            got_places += digit && (got_places || *p != '0');
            zeros = !digit ? zeros : *p == '0' ? zeros + 1 : 0;
        }
        if (got_places > places + zeros)
            fail_msg("%s is longer than %s", b.ptr, shortest);
        double got = read_double(b.ptr), library = strtod(b.ptr, NULL);
        assert_memory_equal(&got, &v, 8);
        assert_memory_equal(&library, &v, 8);
    }
    buf_deinit(&b);
}

static void check_string_writing(void)
{
    static const struct {
        struct slice in, out;
    } cases[] = {
        {SLICE(""), SLICE("\"\"")},
        {SLICE("plain"), SLICE("\"plain\"")},
        {SLICE("a\"b\\c/"), SLICE("\"a\\\"b\\\\c/\"")},
        {SLICE("\b\f\n\r\t\x01\x1f\x7f\0"), SLICE("\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\\u0000\"")},
        {SLICE("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\n"),
         SLICE("\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\\n\"")},
        {SLICE("a\xff\xc3"), SLICE("\"a\xef\xbf\xbd\xef\xbf\xbd\"")},
        {SLICE("\xc3\xa9\xed\xa0\x80\""),
         SLICE("\"\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\\\"\"")},
    };
    struct buf b;
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        for (size_t pad = 0; pad < 70; pad++) {
            char in[128], want[160];
            memset(in, 'p', pad);
            memcpy(in + pad, cases[i].in.ptr, cases[i].in.len);
            want[0] = '"';
            memset(want + 1, 'p', pad);
            memcpy(want + 1 + pad, cases[i].out.ptr + 1, cases[i].out.len - 1);
            // The cap is what is needed and not a byte more.
            buf_init(&b, pad + cases[i].out.len);
            json_write_string(&b, slice_make(in, pad + cases[i].in.len));
            assert_int_equal(buf_result(&b), RESULT_OK);
            assert_true(slice_eq(buf_slice(&b), slice_make(want, pad + cases[i].out.len)));
            buf_deinit(&b);
            buf_init(&b, pad + cases[i].out.len - 1);
            json_write_string(&b, slice_make(in, pad + cases[i].in.len));
            assert_int_equal(buf_result(&b), RESULT_LIMIT);
            buf_deinit(&b);
        }
    }
}

static void strings_are_written(void **state)
{
    (void)state;
    each_tier(check_string_writing);
}

static void expect_edit(struct json_edits *e, const struct json *j, const char *want)
{
    struct slice pieces[2 * JSON_EDITS_MAX + 1];
    uint64_t total;
    uint32_t n = json_edit_pieces(e, j->text, pieces, &total);
    struct buf b;
    buf_init(&b, 1 << 20);
    for (uint32_t i = 0; i < n; i++)
        buf_add(&b, pieces[i]);
    assert_int_equal(b.len, total);
    if (!slice_eq_cstr(buf_slice(&b), want))
        fail_msg("%.*s, not %s", SLICE_FMT(buf_slice(&b)), want);
    buf_deinit(&b);
}

static void edits_settle_commas(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0, 1 << 20);
    static const char *const after[8] = {
        // By which of a, b, c are removed; without and with an added member.
        "{ \"a\":1 , \"b\":2 , \"c\":3 }",
        "{ \"b\":2 , \"c\":3 }",
        "{ \"a\":1 , \"c\":3 }",
        "{ \"c\":3 }",
        "{ \"a\":1 , \"b\":2 }",
        "{ \"b\":2 }",
        "{ \"a\":1 }",
        "{  }",
    };
    static const char *const added[8] = {
        "{\"n\":0, \"a\":1 , \"b\":2 , \"c\":3 }",
        "{\"n\":0  , \"b\":2 , \"c\":3 }",
        "{\"n\":0, \"a\":1 , \"c\":3 }",
        "{\"n\":0  , \"c\":3 }",
        "{\"n\":0, \"a\":1 , \"b\":2 }",
        "{\"n\":0  , \"b\":2 }",
        "{\"n\":0, \"a\":1 }",
        "{\"n\":0  }",
    };
    struct json j = parse(&a, after[0]);
    for (int set = 0; set < 16; set++) {
        // Backwards every other time: the order of the calls does not matter.
        for (int order = 0; order < 2; order++) {
            struct json_edits e;
            json_edits_init(&e);
            if (set & 8)
                assert_int_equal(json_edit_member(&e, &j, 0, SLICE("\"n\":0")), RESULT_OK);
            for (int i = 0; i < 3; i++) {
                uint32_t k = (uint32_t)(order ? 2 - i : i);
                if (set >> k & 1)
                    assert_int_equal(json_edit_remove(&e, &j, 0, 1 + 2 * k), RESULT_OK);
            }
            expect_edit(&e, &j, set & 8 ? added[set & 7] : after[set & 7]);
        }
    }
    j = parse(&a, "{\"x\":{},\"y\":\"s\",\"z\":[1]}");
    struct json_edits e;
    json_edits_init(&e);
    assert_int_equal(json_edit_value(&e, &j, json_get(&j, 0, SLICE("z"), NULL), SLICE("null")),
                     RESULT_OK);
    assert_int_equal(json_edit_member(&e, &j, 2, SLICE("\"p\":1")), RESULT_OK);
    assert_int_equal(json_edit_member(&e, &j, 2, SLICE("\"q\":2")), RESULT_OK);
    assert_int_equal(json_edit_value(&e, &j, json_get(&j, 0, SLICE("y"), NULL), SLICE("\"tt\"")),
                     RESULT_OK);
    expect_edit(&e, &j, "{\"x\":{\"p\":1,\"q\":2},\"y\":\"tt\",\"z\":null}");
    json_edits_init(&e);
    expect_edit(&e, &j, j.text.ptr);
    json_edits_init(&e);
    for (int i = 0; i < JSON_EDITS_MAX / 2; i++)
        assert_int_equal(json_edit_member(&e, &j, 0, SLICE("\"p\":1")), RESULT_OK);
    assert_int_equal(json_edit_value(&e, &j, 2, SLICE("1")), RESULT_LIMIT);
    assert_int_equal(json_edit_member(&e, &j, 0, SLICE("\"p\":1")), RESULT_LIMIT);
    assert_int_equal(json_edit_remove(&e, &j, 0, 1), RESULT_LIMIT);
    arena_deinit(&a);
}

static void tiers_are_named(void **state)
{
    (void)state;
    assert_int_equal(json_force_tier((enum json_tier)99), RESULT_UNSUPPORTED);
#if defined(__x86_64__)
    assert_int_equal(json_force_tier(JSON_TIER_NEON), RESULT_UNSUPPORTED);
#endif
    assert_int_equal(json_force_tier(JSON_TIER_BEST), RESULT_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_hold),
        cmocka_unit_test(positions_do_not_matter),
        cmocka_unit_test(tape_is_in_document_order),
        cmocka_unit_test(keys_are_compared_unescaped),
        cmocka_unit_test(strings_decode_and_map_back),
        cmocka_unit_test(limits_have_names),
        cmocka_unit_test(memory_is_small_and_faults_are_clean),
        cmocka_unit_test(whole_numbers),
        cmocka_unit_test(doubles_read_as_the_library_reads_them),
        cmocka_unit_test(doubles_survive_writing),
        cmocka_unit_test(strings_are_written),
        cmocka_unit_test(edits_settle_commas),
        cmocka_unit_test(tiers_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
