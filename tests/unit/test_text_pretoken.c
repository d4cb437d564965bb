// text/pretoken: pieces and places beside the reference's, what is refused and how, hostile texts, and no memory.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/rng.h"
#include "helper/pretoken_cases.h"
#include "text/pretoken.h"
#include "text/tokenizer.h"

static enum result open_text(const char *config, char *problem, struct pretoken **out)
{
    struct arena arena;
    struct json j;
    arena_init(&arena, 0, 1 << 20);
    assert_int_equal(json_parse(&j, slice_cstr(config), &json_limits_default, &arena), RESULT_OK);
    enum result r = pretoken_open(&j, 0, problem, out);
    arena_deinit(&arena);
    return r;
}

static bool inside(struct slice text, size_t at)
{
    return at < text.len && ((unsigned char)text.ptr[at] & 0xc0) == 0x80;
}

// Bytes of the text given that a piece stands for.
static void place_of(const struct pretoken_cut *cut, struct slice text, uint32_t i, size_t *begin,
                     size_t *end)
{
    struct pretoken_piece p = cut->pieces[i];
    *begin = cut->from ? cut->from[p.begin] : p.begin;
    *end = cut->from ? cut->from[p.end - 1] + (size_t)1 : p.end;
    while (inside(text, *begin))
        --*begin;
    while (inside(text, *end))
        ++*end;
}

static void check_case(const struct reference_case *c)
{
    struct pretoken *p;
    struct pretoken_scratch *s;
    struct pretoken_cut cut;
    struct slice text = slice_cstr(c->text), left = slice_cstr(c->pieces), want;
    assert_int_equal(open_text(c->config, NULL, &p), RESULT_OK);
    assert_int_equal(pretoken_scratch_open(&s), RESULT_OK);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(pretoken_cut(p, s, text, true, &cut), RESULT_OK);
        left = slice_cstr(c->pieces);
        for (uint32_t i = 0; i < cut.count; i++) {
            struct pretoken_piece at = cut.pieces[i];
            size_t begin, end;
            assert_true(slice_split(&left, '|', &want));
            if (!slice_eq(want, slice_make(cut.text.ptr + at.begin, at.end - at.begin)))
                fail_msg("%s: piece %u is not '%.*s'", c->config, i, SLICE_FMT(want));
            place_of(&cut, text, i, &begin, &end);
            assert_int_equal(begin, c->places[2 * i]);
            assert_int_equal(end, c->places[2 * i + 1]);
        }
        assert_null(left.ptr);
        assert_int_equal(c->places[2 * cut.count + 1], 0);
    }
    pretoken_scratch_close(s);
    pretoken_close(p);
}

static void test_reference(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MERIT_COUNT(reference_cases); i++)
        check_case(&reference_cases[i]);
}

#define METASPACE_FIRST                                                                            \
    "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"first\"}"

// Only the text that begins the original is given the prefix.
static void test_first(void **state)
{
    (void)state;
    for (int at_start = 0; at_start < 2; at_start++) {
        struct pretoken *p;
        struct pretoken_scratch *s;
        struct pretoken_cut cut;
        assert_int_equal(open_text(METASPACE_FIRST, NULL, &p), RESULT_OK);
        assert_int_equal(pretoken_scratch_open(&s), RESULT_OK);
        assert_int_equal(pretoken_cut(p, s, SLICE("a b"), at_start != 0, &cut), RESULT_OK);
        assert_int_equal(cut.count, 2);
        assert_true(slice_eq_cstr(cut.text, at_start ? "_a_b" : "a_b"));
        assert_int_equal(pretoken_cut(p, s, SLICE_EMPTY, at_start != 0, &cut), RESULT_OK);
        assert_int_equal(cut.count, 0);
        pretoken_scratch_close(s);
        pretoken_close(p);
    }
}

static void test_byte_level(void **state)
{
    (void)state;
    struct pretoken *p;
    assert_int_equal(open_text("{\"type\":\"ByteLevel\"}", NULL, &p), RESULT_OK);
    assert_true(pretoken_byte_level(p));
    pretoken_close(p);
    assert_int_equal(open_text("null", NULL, &p), RESULT_OK);
    assert_false(pretoken_byte_level(p));
    pretoken_close(p);
    pretoken_close(NULL);
    pretoken_scratch_close(NULL);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *config;
        enum result result;
        const char *named;
    } cases[] = {
        {"{\"type\":\"UnicodeScripts\"}", RESULT_UNSUPPORTED, "UnicodeScripts"},
        {"{\"type\":\"Split\",\"pattern\":{\"Regex\":\"x+y\"},\"behavior\":\"Removed\"}",
         RESULT_UNSUPPORTED, "x+y"},
        {"{\"type\":\"Split\",\"pattern\":{\"String\":\"x\"},\"behavior\":\"Odd\"}", RESULT_SYNTAX,
         "behavior"},
        {"{\"type\":\"Split\",\"pattern\":{},\"behavior\":\"Removed\"}", RESULT_SYNTAX, "pattern"},
        {"{\"type\":\"Split\",\"pattern\":7,\"behavior\":\"Removed\"}", RESULT_SYNTAX, "pattern"},
        {"{\"type\":\"Split\",\"pattern\":{\"String\":7},\"behavior\":\"Removed\"}", RESULT_SYNTAX,
         "pattern"},
        {"{\"type\":\"Punctuation\",\"behavior\":\"\"}", RESULT_SYNTAX, "behavior"},
        {"{\"type\":\"Metaspace\"}", RESULT_SYNTAX, "replacement"},
        {"{\"type\":\"Metaspace\",\"replacement\":\"ab\"}", RESULT_SYNTAX, "replacement"},
        {"{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"odd\"}", RESULT_SYNTAX,
         "prepend_scheme"},
        {"{\"type\":\"Metaspace\",\"replacement\":\"_\",\"add_prefix_space\":false}", RESULT_SYNTAX,
         "contradicts"},
        {"{\"type\":\"Sequence\"}", RESULT_SYNTAX, "Sequence"},
        {"{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\"},{\"type\":\"Digits\"}]"
         "}",
         RESULT_UNSUPPORTED, "Digits behind ByteLevel"},
        {"{\"type\":\"Sequence\",\"pretokenizers\":[7]}", RESULT_SYNTAX, "type"},
        {"{}", RESULT_SYNTAX, "type"},
        {"[]", RESULT_SYNTAX, "type"},
        {"{\"type\":7}", RESULT_SYNTAX, "type"},
    };
    for (unsigned i = 0; i < MERIT_COUNT(cases); i++) {
        char problem[TOKENIZER_PROBLEM_BYTES] = "";
        struct pretoken *p;
        assert_int_equal(open_text(cases[i].config, problem, &p), cases[i].result);
        assert_null(p);
        if (!strstr(problem, cases[i].named))
            fail_msg("'%s' does not name %s", problem, cases[i].named);
        assert_int_equal(open_text(cases[i].config, NULL, &p), cases[i].result);
    }
}

static void test_too_many(void **state)
{
    (void)state;
    char config[PRETOKEN_STAGES_MAX * 24 + 200] = "{\"type\":\"Sequence\",\"pretokenizers\":[";
    for (int i = 0; i < PRETOKEN_STAGES_MAX; i++)
        strcat(config, i ? ",{\"type\":\"Digits\"}" : "{\"type\":\"Digits\"}");
    size_t full = strlen(config);
    struct pretoken *p;
    strcpy(config + full, "]}");
    assert_int_equal(open_text(config, NULL, &p), RESULT_OK);
    pretoken_close(p);
    strcpy(config + full, ",{\"type\":\"Digits\"}]}");
    assert_int_equal(open_text(config, NULL, &p), RESULT_LIMIT);
    strcpy(config + full, ",{\"type\":\"ByteLevel\"}]}");
    assert_int_equal(open_text(config, NULL, &p), RESULT_LIMIT);
}

// Pieces are in order, not empty and within the text; where nothing is dropped they are the text.
static void check_pieces(const char *config, struct slice text)
{
    struct pretoken *p;
    struct pretoken_scratch *s;
    struct pretoken_cut cut;
    assert_int_equal(open_text(config, NULL, &p), RESULT_OK);
    assert_int_equal(pretoken_scratch_open(&s), RESULT_OK);
    assert_int_equal(pretoken_cut(p, s, text, true, &cut), RESULT_OK);
    uint32_t at = 0;
    size_t sum = 0;
    for (uint32_t i = 0; i < cut.count; i++) {
        assert_true(cut.pieces[i].begin >= at && cut.pieces[i].end > cut.pieces[i].begin);
        at = cut.pieces[i].end;
        sum += at - cut.pieces[i].begin;
    }
    assert_true(at <= cut.text.len);
    if (!strstr(config, "White") && !strstr(config, "Bert") && !strstr(config, "Removed") &&
        !strstr(config, "CharDelimiter"))
        assert_int_equal(sum, cut.text.len);
    for (size_t i = 0; cut.from && i < cut.text.len; i++)
        assert_true(cut.from[i] < text.len && (!i || cut.from[i] >= cut.from[i - 1]));
    pretoken_scratch_close(s);
    pretoken_close(p);
}

static void test_hostile(void **state)
{
    (void)state;
    static const char *const units[] = {"a",  " ",   "\n",  " \n", "'",        "'s",          "-",
                                        "1a", "\t ", "_-_", "\r",  "\xcc\x81", "\xe3\x80\x80"};
    enum { BYTES = 1 << 17 };
    char *text = malloc(BYTES);
    for (unsigned u = 0; u < MERIT_COUNT(units); u++) {
        size_t n = strlen(units[u]), len = 0;
        for (; len + n <= BYTES; len += n)
            memcpy(text + len, units[u], n);
        for (unsigned i = 0; i < MERIT_COUNT(reference_cases); i += 4)
            check_pieces(reference_cases[i].config, slice_make(text, len));
    }
    free(text);
}

static void test_random(void **state)
{
    (void)state;
    static const char *const parts[] = {"a",
                                        "S",
                                        "'s",
                                        "'",
                                        " ",
                                        "  ",
                                        "\n",
                                        "\r\n",
                                        "1",
                                        "22",
                                        "-",
                                        "_",
                                        "!",
                                        "\xc2\xb2",
                                        "\xe2\x96\x81",
                                        "\xc2\xa0",
                                        "\xe6\xbc\xa2",
                                        "\xf0\x9f\x98\x80",
                                        "\xcc\x81"};
    struct rng rng;
    rng_seed(&rng, 1);
    for (int round = 0; round < 3000; round++) {
        char text[400];
        size_t len = 0;
        for (uint64_t n = rng_below(&rng, 60); n > 0; n--) {
            const char *part = parts[rng_below(&rng, MERIT_COUNT(parts))];
            memcpy(text + len, part, strlen(part));
            len += strlen(part);
        }
        char *exact = malloc(len + 1);
        memcpy(exact, text, len);
        check_pieces(reference_cases[(unsigned)round % MERIT_COUNT(reference_cases)].config,
                     slice_make(exact, len));
        free(exact);
    }
}

static enum result cut_once(const struct reference_case *c)
{
    struct arena arena;
    struct json j;
    struct pretoken *p = NULL;
    struct pretoken_scratch *s = NULL;
    struct pretoken_cut cut;
    arena_init(&arena, 0, 1 << 20);
    enum result r = json_parse(&j, slice_cstr(c->config), &json_limits_default, &arena);
    if (!r)
        r = pretoken_open(&j, 0, NULL, &p);
    if (!r)
        r = pretoken_scratch_open(&s);
    if (!r)
        r = pretoken_cut(p, s, slice_cstr(c->text), true, &cut);
    pretoken_scratch_close(s);
    pretoken_close(p);
    arena_deinit(&arena);
    return r;
}

static void test_no_memory(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MERIT_COUNT(reference_cases); i++) {
        enum result r = RESULT_NOMEM;
        for (uint64_t n = 1; r != RESULT_OK; n++) {
            alloc_fail_at(n, 0);
            r = cut_once(&reference_cases[i]);
            alloc_fail_at(0, 0);
            assert_true(r == RESULT_OK || r == RESULT_NOMEM);
            assert_true(n < 100);
        }
    }
}

static void test_limit(void **state)
{
    (void)state;
    struct pretoken *p;
    struct pretoken_scratch *s;
    struct pretoken_cut cut;
    assert_int_equal(open_text("null", NULL, &p), RESULT_OK);
    assert_int_equal(pretoken_scratch_open(&s), RESULT_OK);
    // The length is all that is looked at.
    assert_int_equal(pretoken_cut(p, s, slice_make("x", (size_t)PRETOKEN_TEXT_MAX + 1), true, &cut),
                     RESULT_LIMIT);
    pretoken_scratch_close(s);
    pretoken_close(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),  cmocka_unit_test(test_first),
        cmocka_unit_test(test_byte_level), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_too_many),   cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_random),     cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
