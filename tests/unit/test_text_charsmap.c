// text/charsmap and text/grapheme: a map made here of a few entries, cluster rules case by case, broken maps, no memory.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/compiler.h"
#include "base/rng.h"
#include "text/charsmap.h"
#include "text/grapheme.h"

#define ACUTE "\xcc\x81"
#define DIAERESIS "\xcc\x88"
#define COMPOSED "e" ACUTE
#define ZWJ "\xe2\x80\x8d"
#define BOY "\xf0\x9f\x91\xa6"

static const struct {
    const char *key, *with;
} entries[] = {
    {"\t", " "},
    {"\x01", ""},
    {"e" ACUTE, "\xc3\xa9"},
    {"\xc2\xaa", "a"},
    {"\xef\xac\x81", "fi"},
    {"\xc2\xad", ""},
    {"\xe2\x91\xa0", "\xe6\xbc\xa2"},
    {"Q", "qq"},
};

enum { UNITS = 256 * 64 };

struct made {
    uint32_t units[UNITS], base_of[UNITS], blocks;
    char words[256], base64[UNITS * 8];
    uint32_t word_bytes;
    size_t len; // of base64
};

static uint32_t offset_unit(uint32_t at, uint32_t base)
{
    return (at ^ base) << 10;
}

// Each node with children has a block of its own, so that nothing ever collides.
static void add_key(struct made *m, const char *key, uint32_t word)
{
    uint32_t node = 0;
    for (const char *p = key;; p++) {
        if (!m->base_of[node]) {
            m->base_of[node] = 256 * ++m->blocks;
            m->units[node] |= offset_unit(node, m->base_of[node]);
        }
        if (!*p)
            break;
        node = m->base_of[node] ^ (unsigned char)*p;
        m->units[node] |= (unsigned char)*p;
    }
    m->units[node] |= 256;
    m->units[m->base_of[node]] = word | 0x80000000;
}

static void encode_base64(struct made *m, const unsigned char *p, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    m->len = 0;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t bits = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) |
                        (i + 2 < n ? p[i + 2] : 0);
        for (unsigned k = 0; k < 4; k++)
            m->base64[m->len++] = k > 1 && i + k - 1 >= n ? '=' : digits[bits >> (18 - 6 * k) & 63];
    }
}

static unsigned char blob[UNITS * 4 + 300];

static size_t make_blob(struct made *m)
{
    uint32_t size = UNITS * 4;
    for (unsigned i = 0; i < 4; i++)
        blob[i] = (unsigned char)(size >> (8 * i));
    for (uint32_t i = 0; i < UNITS; i++)
        for (unsigned k = 0; k < 4; k++)
            blob[4 + i * 4 + k] = (unsigned char)(m->units[i] >> (8 * k));
    memcpy(blob + 4 + size, m->words, m->word_bytes);
    return 4 + size + m->word_bytes;
}

static struct made *make(void)
{
    struct made *m = calloc(1, sizeof *m);
    for (unsigned i = 0; i < MERIT_COUNT(entries); i++) {
        add_key(m, entries[i].key, m->word_bytes);
        memcpy(m->words + m->word_bytes, entries[i].with, strlen(entries[i].with) + 1);
        m->word_bytes += (uint32_t)strlen(entries[i].with) + 1;
    }
    encode_base64(m, blob, make_blob(m));
    return m;
}

static struct charsmap *open_made(void)
{
    struct made *m = make();
    struct charsmap *c;
    assert_int_equal(charsmap_open(slice_make(m->base64, m->len), &c), RESULT_OK);
    free(m);
    return c;
}

// `from` as digits, one per byte of the result, for texts of up to 36 bytes.
static void check(struct charsmap *c, struct charsmap_scratch *s, const char *text,
                  const char *want, const char *places)
{
    struct slice out;
    const uint32_t *from;
    size_t n = strlen(text);
    char *exact = malloc(n + 1);
    memcpy(exact, text, n);
    assert_int_equal(charsmap_apply(c, s, slice_make(exact, n), &out, &from), RESULT_OK);
    if (!slice_eq_cstr(out, want))
        fail_msg("'%s' became '%.*s'", text, SLICE_FMT(out));
    assert_int_equal(from == NULL, places == NULL);
    for (size_t i = 0; places && i < out.len; i++)
        if (from[i] != (uint32_t)(places[i] <= '9' ? places[i] - '0' : places[i] - 'a' + 10))
            fail_msg("'%s': byte %zu is from %u", text, i, from[i]);
    free(exact);
}

static void test_apply(void **state)
{
    (void)state;
    struct charsmap *c = open_made();
    struct charsmap_scratch s = {0};
    check(c, &s, "", "", NULL);
    check(c, &s, "plain text", "plain text", NULL);
    check(c, &s, "d" ACUTE " \xe6\xbc\xa2", "d" ACUTE " \xe6\xbc\xa2", NULL);
    check(c, &s, "ab\tcd", "ab cd", "01234");
    check(c, &s, "e" ACUTE "x", "\xc3\xa9x", "003");
    // A cluster below six bytes becomes the entry that it begins with, and the rest of it is lost.
    check(c, &s, "\xc2\xaa" ACUTE "x", "ax", "04");
    check(c, &s, "e" ACUTE DIAERESIS "x", "\xc3\xa9x", "005");
    // From six bytes on each character is looked up by itself.
    check(c, &s, "\xc2\xaa" ACUTE DIAERESIS "x", "a" ACUTE DIAERESIS "x", "022446");
    check(c, &s, "e" ACUTE DIAERESIS ACUTE, "e" ACUTE DIAERESIS ACUTE, NULL);
    // More characters than before: those too many stand where the one before does.
    check(c, &s, "\xef\xac\x81x", "fix", "023");
    check(c, &s, "xQ", "xqq", "011");
    check(c, &s,
          "\xe2\x91\xa0"
          "b",
          "\xe6\xbc\xa2"
          "b",
          "0003");
    // What is removed belongs to the character before it; at the very beginning to none, and the rest is one off.
    check(c, &s,
          "a\x01"
          "b",
          "ab", "02");
    check(c, &s,
          "a\xc2\xad\xc2\xad"
          "b\t",
          "ab ", "056");
    check(c, &s,
          "\x01"
          "ab",
          "ab", "01");
    check(c, &s,
          "Q\x01"
          "b",
          "qqb", "012");
    check(c, &s,
          "\xef\xac\x81\x01"
          "b",
          "fib", "034");
    check(c, &s, "\x01\x01", "", "");
    charsmap_scratch_deinit(&s);
    charsmap_close(c);
    charsmap_close(NULL);
}

// The places of plain runs must not depend on how they are taken.
static void test_runs(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "a",      "bc",       " plain words here ", "\t",       "\x01", "Q",
        COMPOSED, "\xc2\xaa", "\xef\xac\x81",       "\xc2\xad", "\r\n"};
    struct charsmap *c = open_made();
    struct charsmap_scratch s = {0};
    struct rng rng;
    rng_seed(&rng, 3);
    for (int round = 0; round < 2000; round++) {
        char text[600], want[1200];
        size_t len = 0, n = 0, removed = 0;
        bool changed = false;
        for (uint64_t k = rng_below(&rng, 20); k > 0; k--) {
            uint64_t pick = rng_below(&rng, MERIT_COUNT(parts));
            const char *part = parts[pick], *with = part;
            for (unsigned i = 0; i < MERIT_COUNT(entries); i++)
                if (strcmp(entries[i].key, part) == 0)
                    with = entries[i].with;
            changed |= with != part;
            removed += !*with;
            memcpy(text + len, part, strlen(part));
            len += strlen(part);
            memcpy(want + n, with, strlen(with));
            n += strlen(with);
        }
        struct slice out;
        const uint32_t *from;
        char *exact = malloc(len + 1);
        memcpy(exact, text, len);
        assert_int_equal(charsmap_apply(c, &s, slice_make(exact, len), &out, &from), RESULT_OK);
        assert_true(slice_eq(out, slice_make(want, n)));
        assert_int_equal(from != NULL, changed);
        for (size_t i = 0; from && i < out.len; i++) {
            assert_true(from[i] < len && (!i || from[i] >= from[i - 1]));
            // Without removals at the beginning the first byte stands for the first byte.
            assert_true(i || removed || from[i] == 0);
        }
        free(exact);
    }
    charsmap_scratch_deinit(&s);
    charsmap_close(c);
}

static void expect_open(struct slice base64, enum result want)
{
    struct charsmap *c;
    assert_int_equal(charsmap_open(base64, &c), want);
    assert_int_equal(c != NULL, want == RESULT_OK);
    charsmap_close(c);
}

static void test_broken(void **state)
{
    (void)state;
    struct made *m = make();
    size_t n = make_blob(m);
    expect_open(SLICE_EMPTY, RESULT_SYNTAX);
    expect_open(SLICE("AAAA"), RESULT_SYNTAX);
    expect_open(SLICE("AAA"), RESULT_SYNTAX);
    expect_open(SLICE("A==="), RESULT_SYNTAX);
    expect_open(SLICE("AAAAAAAAAAAA"), RESULT_SYNTAX); // no trie at all
    expect_open(SLICE("AA!AAAAAAAAA"), RESULT_SYNTAX);
    expect_open(slice_make(m->base64, m->len / 8 * 4), RESULT_SYNTAX);
    blob[0] ^= 1; // a size that is no multiple of a unit
    encode_base64(m, blob, n);
    expect_open(slice_make(m->base64, m->len), RESULT_SYNTAX);
    blob[0] ^= 1;
    blob[n - 2] = 0xff; // words that are not UTF-8
    encode_base64(m, blob, n);
    expect_open(slice_make(m->base64, m->len), RESULT_SYNTAX);
    // Steps and words that lead outside are no entries.
    struct rng rng;
    struct charsmap_scratch s = {0};
    rng_seed(&rng, 8);
    for (int round = 0; round < 200; round++) {
        n = make_blob(m);
        for (int k = 0; k < 40; k++) {
            uint32_t unit = 4 + 4 * (uint32_t)rng_below(&rng, round % 2 ? UNITS : 2000);
            blob[unit + rng_below(&rng, 4)] = (unsigned char)rng_next(&rng);
        }
        for (unsigned k = 0; k < 4; k++)
            blob[4 + k] = (unsigned char)(round % 5 ? blob[4 + k] : rng_next(&rng));
        encode_base64(m, blob, n);
        struct charsmap *c;
        struct slice out;
        const uint32_t *from;
        assert_int_equal(charsmap_open(slice_make(m->base64, m->len), &c), RESULT_OK);
        assert_int_equal(
            charsmap_apply(c, &s, SLICE("e" ACUTE "\t\xc2\xaaQ\x01\xe2\x91\xa0 end"), &out, &from),
            RESULT_OK);
        charsmap_close(c);
    }
    charsmap_scratch_deinit(&s);
    free(m);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct made *m = make();
    enum result r = RESULT_NOMEM;
    for (uint64_t n = 1; r != RESULT_OK; n++) {
        struct charsmap *c;
        struct charsmap_scratch s = {0};
        struct slice out;
        const uint32_t *from;
        alloc_fail_at(n, 0);
        r = charsmap_open(slice_make(m->base64, m->len), &c);
        if (!r)
            r = charsmap_apply(c, &s, SLICE("a plain text, then\tQQQQQQQQ"), &out, &from);
        alloc_fail_at(0, 0);
        assert_true(r == RESULT_OK || r == RESULT_NOMEM);
        assert_true(n < 50);
        charsmap_scratch_deinit(&s);
        charsmap_close(c);
    }
    free(m);
}

// Clusters written with | between them.
static void test_graphemes(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "a|b",
        "e" ACUTE DIAERESIS "|x",
        "\r\n|a",
        "\n|\r",
        "a|\r\n|" ACUTE,
        "\n|" ACUTE,
        // Hangul: L V T, LV T, LVT T, and a syllable that begins anew.
        "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8|\xe1\x84\x80",
        "\xea\xb0\x80\xe1\x86\xa8|a",
        "\xea\xb0\x81\xe1\x86\xa8|\xea\xb0\x80",
        "\xea\xb0\x81|\xe1\x85\xa1",
        "\xea\xb0\x80\xe1\x85\xa1|\xe1\x84\x80\xea\xb0\x80",
        "\xe1\x86\xa8|\xe1\x85\xa1",
        // Flags come in twos.
        "\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa|\xf0\x9f\x87\xab\xf0\x9f\x87\xb7|\xf0\x9f\x87\xa9",
        // Joined pictographs, with marks between; a joiner alone joins nothing else.
        BOY ZWJ BOY "|" BOY,
        BOY ACUTE DIAERESIS ZWJ BOY,
        "a" ZWJ "|" BOY,
        BOY ZWJ "|a",
        BOY ZWJ ZWJ BOY,
        "\xf0\x9f\x87\xa9" ZWJ "|" BOY,
        // Conjuncts: consonant, linker, consonant.
        "\xe0\xa4\x95\xe0\xa5\x8d\xe0\xa4\x95|\xe0\xa4\x95",
        "\xe0\xa4\x95\xe0\xa5\x8d" ZWJ "\xe0\xa4\x95",
        "\xe0\xa4\x95" ZWJ "|\xe0\xa4\x95",
        "a\xe0\xa5\x8d|\xe0\xa4\x95",
        "\xe0\xa4\x95\xe0\xa5\x8d|a",
        // Prepended and spacing marks.
        "\xd8\x80"
        "a|b",
        "\xd8\x80|\n",
        "\xe0\xa4\x95\xe0\xa4\xbe|\xe0\xa4\x95",
        "\xd8\x80\xd8\x80"
        "1",
    };
    for (unsigned i = 0; i < MERIT_COUNT(cases); i++) {
        unsigned char text[128];
        size_t ends[32], count = 0, len = 0;
        for (const char *p = cases[i]; *p; p++) {
            if (*p == '|')
                ends[count++] = len;
            else
                text[len++] = (unsigned char)*p;
        }
        ends[count++] = len;
        size_t at = 0;
        for (size_t k = 0; k < count; k++) {
            at = grapheme_end(text, len, at);
            if (at != ends[k])
                fail_msg("case %u: cluster %zu ends at %zu, not %zu", i, k, at, ends[k]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_apply),     cmocka_unit_test(test_runs),
        cmocka_unit_test(test_broken),    cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_graphemes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
