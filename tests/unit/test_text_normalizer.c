// Normalisers by themselves: what they write, and which byte of the text each byte stands for.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <utf8proc.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/rng.h"
#include "text/char_form.h"
#include "text/normalizer.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

static struct normalizer *open_json(const char *text)
{
    struct arena arena;
    struct json j;
    struct normalizer *n = NULL;
    char problem[TOKENIZER_PROBLEM_BYTES] = "";
    arena_init(&arena, 0, 1 << 20);
    assert_int_equal(json_parse(&j, slice_cstr(text), &json_limits_default, &arena), RESULT_OK);
    enum result r = normalizer_open(&j, 0, problem, &n);
    if (r)
        fail_msg("%s: %s", result_name(r), problem);
    arena_deinit(&arena);
    return n;
}

// `places`: for each character of the result the byte of the text that its first byte stands for.
static void check(const char *json, const char *text, const char *wanted, const char *places)
{
    struct normalizer *n = open_json(json);
    struct normalizer_scratch *s;
    struct slice out;
    const uint32_t *from;
    char shown[4096] = "";
    size_t len = 0;
    assert_int_equal(normalizer_scratch_open(&s), RESULT_OK);
    assert_int_equal(normalizer_apply(n, s, slice_cstr(text), &out, &from), RESULT_OK);
    assert_int_equal(out.len, strlen(wanted));
    if (out.len)
        assert_memory_equal(out.ptr, wanted, out.len);
    for (size_t i = 0; i < out.len; i++) {
        uint32_t at = from ? from[i] : (uint32_t)i;
        assert_true(at < strlen(text));
        if (((unsigned char)out.ptr[i] & 0xc0) != 0x80)
            len += (size_t)snprintf(shown + len, sizeof shown - len, "%s%u", len ? " " : "", at);
    }
    assert_string_equal(shown, places);
    normalizer_scratch_close(s);
    normalizer_close(n);
}

#define BERT(rest) "{\"type\":\"BertNormalizer\"" rest "}"

static void bert(void **state)
{
    (void)state;
    check(BERT(""),
          "\xc3\x89\xe4\xb8\xad\xe2\x80\x8b"
          "A\t",
          "e \xe4\xb8\xad a ", "0 2 2 2 8 9");
    check(BERT(""), "ABC def", "abc def", "0 1 2 3 4 5 6");
    check(BERT(""),
          "A\x01"
          "B\x7f",
          "ab", "0 2");
    check(BERT(",\"clean_text\":false"),
          "A\x01"
          "B\n",
          "a\x01"
          "b\n",
          "0 1 2 3");
    check(BERT(",\"strip_accents\":false"), "\xc3\x89", "\xc3\xa9", "0");
    check(BERT(",\"lowercase\":false"), "\xc3\x89", "\xc3\x89", "0");
    check(BERT(",\"lowercase\":false,\"strip_accents\":true"), "\xc3\x89", "E", "0");
    check(BERT(",\"handle_chinese_chars\":false"), "\xe4\xb8\xad", "\xe4\xb8\xad", "0");
    // A compatibility ideograph is set apart, then decomposed.
    check(BERT(""), "\xef\xa4\x80", " \xe8\xb1\x88 ", "0 0 0");
    // Hangul is decomposed and stays so.
    check(BERT(""), "\xea\xb0\x81", "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", "0 0 0");
    // Decomposes into marks although it is none: they are ordered among those before them.
    check(BERT(""), "a\xe0\xbd\xb3\xe0\xbd\xb1", "a", "0");
    check(BERT(""), "\xcc\x81", "", "");
}

static void forms(void **state)
{
    (void)state;
    check("{\"type\":\"NFC\"}", "e\xcc\x81x", "\xc3\xa9x", "0 3");
    check("{\"type\":\"NFC\"}", "abc", "abc", "0 1 2");
    check("{\"type\":\"NFD\"}", "x\xc3\xa9", "xe\xcc\x81", "0 1 1");
    check("{\"type\":\"NFKC\"}", "\xef\xac\x81.", "fi.", "0 0 3");
    check("{\"type\":\"NFKD\"}", "\xef\xac\x81", "fi", "0 0");
    // What was added by a decomposition stands for what stands before it, and marks that change places change what they
    // stand for, as in the reference: the dot above stands where the dot below stood.
    check("{\"type\":\"NFD\"}", "\xe1\xba\x9b\xcc\xa3", "\xc5\xbf\xcc\xa3\xcc\x87", "0 3 3");
    check("{\"type\":\"NFC\"}", "e\xcc\xa7\xcc\x81", "\xc8\xa9\xcc\x81", "0 3");
    check("{\"type\":\"NFC\"}", "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", "\xea\xb0\x81", "0");
    // Composed by newer versions of Unicode than the reference's.
    check("{\"type\":\"NFC\"}", "\xf0\x91\xa4\xb5\xf0\x91\xa4\xb0",
          "\xf0\x91\xa4\xb5\xf0\x91\xa4\xb0", "0 4");
    check("{\"type\":\"NFKC\"}", "\xe3\x8b\xbf", "\xe3\x8b\xbf", "0");
}

static void single_steps(void **state)
{
    (void)state;
    check("{\"type\":\"Lowercase\"}", "\xc4\xb0X", "i\xcc\x87x", "0 0 2");
    check("{\"type\":\"Lowercase\"}", "\xce\xa3\xce\xa3", "\xcf\x83\xcf\x83", "0 2");
    check("{\"type\":\"StripAccents\"}", "e\xcc\x81x", "ex", "0 3");
    check("{\"type\":\"Nmt\"}", "a\x01\tb\xe2\x80\x8b", "a b ", "0 2 3 4");
    check("{\"type\":\"Strip\"}", "\xe3\x80\x80 a b\n", "a b", "4 5 6");
    check("{\"type\":\"Strip\",\"strip_left\":false}", " a ", " a", "0 1");
    check("{\"type\":\"Strip\",\"strip_right\":false}", " a ", "a ", "1 2");
    check("{\"type\":\"Strip\"}", " \n ", "", "");
    check("{\"type\":\"Prepend\",\"prepend\":\"\xe2\x96\x81\"}", "ab",
          "\xe2\x96\x81"
          "ab",
          "0 0 1");
    check("{\"type\":\"Prepend\",\"prepend\":\"x\"}", "", "", "");
    check("null", "A\xc3\xa9", "A\xc3\xa9", "0 1");
}

#define REPLACE(pattern, content)                                                                  \
    "{\"type\":\"Replace\",\"pattern\":{" pattern "},\"content\":\"" content "\"}"

static void replacements(void **state)
{
    (void)state;
    check(REPLACE("\"String\":\" \"", "\xe2\x96\x81"), "a b",
          "a\xe2\x96\x81"
          "b",
          "0 1 2");
    check(REPLACE("\"String\":\"ab\"", "xyz"), "cabab", "cxyzxyz", "0 2 2 2 4 4 4");
    check(REPLACE("\"String\":\"aa\"", ""), "aaab", "ab", "2 3");
    check(REPLACE("\"String\":\"aab\"", "x"), "aaaabaa", "aaxaa", "0 1 4 5 6");
    check(REPLACE("\"String\":\"aaaaaaaab\"", "x"), "aaaaaaaaaaba", "aaxa", "0 1 10 11");
    check(REPLACE("\"Regex\":\" {2,}\"", "_"), "a b  c   d", "a b_c_d", "0 1 2 4 5 8 9");
    check(REPLACE("\"Regex\":\"\\\\s+\"", " "), "a\xc2\xa0\nb", "a b", "0 3 4");
    check(REPLACE("\"Regex\":\"[\\\\n\\\\r]\"", "|"), "a\n\rb", "a||b", "0 1 2 3");
    check(REPLACE("\"Regex\":\"a{2}\"", "b"), "aaaaa", "bba", "1 3 4");
    check(REPLACE("\"Regex\":\"a{1,3}\"", "b"), "aaaaa", "bb", "2 4");
}

static void sequences(void **state)
{
    (void)state;
    check("{\"type\":\"Sequence\",\"normalizers\":[]}", "A", "A", "0");
    check("{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKD\"},{\"type\":\"StripAccents\"},"
          "{\"type\":\"Lowercase\"},{\"type\":\"Sequence\",\"normalizers\":[" REPLACE(
              "\"String\":\"f\"", "gg") ",{\"type\":\"Prepend\",\"prepend\":\"_\"}]}]}",
          "\xc3\x89\xef\xac\x81X", "_eggix", "0 0 2 2 2 5");
}

static const uint32_t pool[] = {
    'a',    'e',    'o',     ' ',     0xe9,    0x1e9b, 0x1ed9,  0x300,  0x301,  0x307,  0x308,
    0x315,  0x323,  0x327,   0x345,   0x344,   0x1100, 0x1112,  0x1161, 0x1175, 0x11a8, 0x11c2,
    0xac00, 0xac01, 0xd7a3,  0x9c7,   0x9be,   0x9d7,  0xdd9,   0xdca,  0xddc,  0xf73,  0xf71,
    0xf72,  0xf74,  0x5d0,   0x5b4,   0xfb1d,  0xfb01, 0xfdfa,  0x2126, 0x212b, 0xff76, 0xff9e,
    0x304b, 0x3099, 0x1d157, 0x1d165, 0x1d15e, 0x4e2d, 0x2f800, 0xf900, 0x0fdc, 0x93c,  0x958,
};

// All four forms of random strings, beside utf8proc's.
static void forms_are_those_of_utf8proc(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        int options;
    } all[] = {
        {"{\"type\":\"NFC\"}", UTF8PROC_STABLE | UTF8PROC_COMPOSE},
        {"{\"type\":\"NFD\"}", UTF8PROC_STABLE | UTF8PROC_DECOMPOSE},
        {"{\"type\":\"NFKC\"}", UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT},
        {"{\"type\":\"NFKD\"}", UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT},
    };
    struct rng rng;
    struct normalizer_scratch *s;
    rng_seed(&rng, 3);
    assert_int_equal(normalizer_scratch_open(&s), RESULT_OK);
    for (unsigned k = 0; k < MERIT_COUNT(all); k++) {
        struct normalizer *n = open_json(all[k].json);
        for (unsigned i = 0; i < 20000; i++) {
            char text[512];
            size_t len = 0;
            // Some runs of marks are longer than what is sorted by insertion.
            uint64_t size = rng_below(&rng, i % 50 ? 12 : 100), marks = rng_below(&rng, 2);
            for (uint64_t c = 0; c < size; c++)
                len += utf8_put(marks && c ? pool[7 + rng_below(&rng, 9)]
                                           : pool[rng_below(&rng, MERIT_COUNT(pool))],
                                text + len);
            utf8proc_uint8_t *wanted = NULL;
            utf8proc_ssize_t want = utf8proc_map((const utf8proc_uint8_t *)text,
                                                 (utf8proc_ssize_t)len, &wanted, all[k].options);
            struct slice out;
            const uint32_t *from;
            assert_int_equal(normalizer_apply(n, s, slice_make(text, len), &out, &from), RESULT_OK);
            assert_int_equal(out.len, want);
            assert_memory_equal(out.len ? out.ptr : "", wanted, out.len);
            for (size_t b = 0; from && b < out.len; b++)
                assert_true(from[b] < len);
            free(wanted);
        }
        normalizer_close(n);
    }
    normalizer_scratch_close(s);
}

static void results_are_limited(void **state)
{
    (void)state;
    enum { LARGE = 8 * 1024 * 1024 };
    struct normalizer *n = open_json(REPLACE("\"String\":\"a\"", "0123456789"));
    struct normalizer_scratch *s;
    struct slice out;
    const uint32_t *from;
    assert_int_equal(normalizer_scratch_open(&s), RESULT_OK);
    char *text = alloc_bytes(LARGE);
    assert_non_null(text);
    memset(text, 'a', LARGE);
    assert_int_equal(normalizer_apply(n, s, slice_make(text, LARGE), &out, &from), RESULT_LIMIT);
    assert_int_equal(normalizer_apply(n, s, slice_make(text, 10), &out, &from), RESULT_OK);
    assert_int_equal(out.len, 100);
    assert_int_equal(from[99], 9);
    alloc_free(text);
    normalizer_scratch_close(s);
    normalizer_close(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bert),
        cmocka_unit_test(forms),
        cmocka_unit_test(single_steps),
        cmocka_unit_test(replacements),
        cmocka_unit_test(sequences),
        cmocka_unit_test(forms_are_those_of_utf8proc),
        cmocka_unit_test(results_are_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
