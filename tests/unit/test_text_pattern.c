// text/pattern: literals beside a plain search with word boundaries, expressions, saving and
// loading, limits.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "helper/text_make.h"
#include "text/pattern.h"
#include "text/utf8.h"

struct found {
    struct pattern_match at[512];
    uint32_t count;
    uint32_t stop_at;
};

static bool on_match(void *ctx, const struct pattern_match *m)
{
    struct found *f = ctx;
    assert_true(f->count < MERIT_COUNT(f->at));
    f->at[f->count++] = *m;
    return f->stop_at && f->count == f->stop_at;
}

static struct pattern_set *build(const struct pattern_builder *b)
{
    struct pattern_set *s;
    uint32_t bad;
    char diag[PATTERN_DIAG_BYTES];
    enum result r = pattern_build(b, &s, &bad, diag);
    if (r)
        fail_msg("%s %u %s", result_name(r), bad, diag);
    return s;
}

static bool spaced(struct slice t, size_t at)
{
    uint32_t code = utf8_next(t, &at);
    return utf8_is_word(code) && !utf8_is_cjk(code);
}

static size_t last_of(struct slice t)
{
    size_t at = 0, last = 0;
    while (at < t.len) {
        last = at;
        utf8_next(t, &at);
    }
    return last;
}

// Where the literal stands as a whole word, by folding and comparing code point by code point.
static uint32_t naive_find(struct slice t, struct slice word, bool match_case, uint32_t ends[512])
{
    uint32_t n = 0;
    for (size_t from = 0, before = SIZE_MAX; from < t.len;) {
        size_t i = from, k = 0;
        bool same = true;
        while (same && k < word.len) {
            if (i >= t.len) {
                same = false;
                break;
            }
            uint32_t a = utf8_next(t, &i), b = utf8_next(word, &k);
            same = a == b || (!match_case && utf8_fold(a) == utf8_fold(b));
        }
        if (same && spaced(word, 0) && before != SIZE_MAX && spaced(t, before))
            same = false;
        if (same && spaced(word, last_of(word)) && i < t.len && spaced(t, i))
            same = false;
        if (same)
            ends[n++] = (uint32_t)i;
        before = from;
        utf8_next(t, &from);
    }
    return n;
}

static const char *const literals[] = {"the",
                                       "word",
                                       "a",
                                       "the word",
                                       "9",
                                       "\xC3\x89T\xC3\x89",
                                       "\xE9\x93\xB6",
                                       "\xE8\xA1\x8C"
                                       "a",
                                       "http://",
                                       "- a",
                                       "\xED\x95\x9C",
                                       "ab",
                                       "x",
                                       "kubernetes",
                                       "\xD0\xBF\xD1\x80"};

static void literals_equal_a_plain_search(void **state)
{
    (void)state;
    struct pattern_builder *b;
    struct pattern_scratch *scratch;
    struct rng r;
    uint32_t ids[2 * MERIT_COUNT(literals)], total = 0;
    char room[300];
    static struct found f;
    assert_int_equal(pattern_builder_open(&b), RESULT_OK);
    for (uint32_t i = 0; i < MERIT_COUNT(ids); i++)
        assert_int_equal(
            pattern_add(b, PATTERN_LITERAL, slice_cstr(literals[i / 2]), i % 2, &ids[i]),
            RESULT_OK);
    struct pattern_set *s = build(b);
    assert_int_equal(pattern_scratch_open(&scratch, s), RESULT_OK);
    rng_seed(&r, 5);
    for (int round = 0; round < 4000; round++) {
        struct slice t = text_make(&r, room, sizeof room);
        f = (struct found){0};
        assert_int_equal(pattern_scan(s, scratch, t, on_match, &f), RESULT_OK);
        for (uint32_t i = 0; i < MERIT_COUNT(ids); i++) {
            struct slice word = slice_cstr(literals[i / 2]);
            bool once = !spaced(word, 0) && !spaced(word, last_of(word));
            uint32_t ends[512], want = naive_find(t, word, i % 2, ends), got = 0;
            for (uint32_t k = 0; k < f.count; k++) {
                if (f.at[k].id != ids[i])
                    continue;
                assert_true(got < want);
                assert_int_equal(f.at[k].end, ends[got]);
                // The begin is right when the matched run is the literal again.
                uint32_t again[512];
                struct slice run = slice_make(t.ptr + f.at[k].begin, f.at[k].end - f.at[k].begin);
                assert_int_equal(naive_find(run, word, i % 2, again), 1);
                got++;
            }
            assert_int_equal(got, once && want ? 1 : want);
            total += got;
        }
    }
    assert_true(total > 10000);
    pattern_scratch_close(scratch);
    pattern_set_close(s);
    pattern_builder_close(b);
}

struct regex_case {
    const char *regex, *text;
    int begin, end; // of the longest match that begins first; -1: none
};

static void regexes_find_places(void **state)
{
    (void)state;
    static const struct regex_case cases[] = {
        {"\\d+", "ab 123 c", 3, 6},
        {"\\bcat\\b", "concat cat", 7, 10},
        {"caf\xC3\xA9", "CAF\xC3\x89!", 0, 5},
        {"a.c",
         "a\xE9\x93\xB6"
         "c",
         0, 5},
        {"^start", "not start", -1, -1},
        {"(foo|bar)+baz", "xfoobarbaz", 1, 10},
        {"\\p{Han}", "ab\xE9\x93\xB6", 2, 5},
    };
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        struct pattern_builder *b;
        struct pattern_scratch *scratch;
        uint32_t id;
        struct found f = {0}, places = {0};
        assert_int_equal(pattern_builder_open(&b), RESULT_OK);
        assert_int_equal(pattern_add(b, PATTERN_REGEX, slice_cstr(cases[i].regex), false, &id),
                         RESULT_OK);
        struct pattern_set *s = build(b);
        assert_int_equal(pattern_scratch_open(&scratch, s), RESULT_OK);
        assert_int_equal(pattern_scan(s, scratch, slice_cstr(cases[i].text), on_match, &f),
                         RESULT_OK);
        assert_int_equal(pattern_places(s, scratch, slice_cstr(cases[i].text), on_match, &places),
                         RESULT_OK);
        assert_int_equal(f.count, cases[i].begin >= 0);
        if (cases[i].begin >= 0) {
            assert_int_equal(f.at[0].begin, f.at[0].end);
            assert_true(places.count >= 1);
            assert_int_equal(places.at[0].begin, cases[i].begin);
            assert_int_equal(places.at[places.count - 1].end, cases[i].end);
        } else {
            assert_int_equal(places.count, 0);
        }
        pattern_scratch_close(scratch);
        pattern_set_close(s);
        pattern_builder_close(b);
    }
}

static void bad_expressions_are_named(void **state)
{
    (void)state;
    static const char *const bad[] = {"a(", "(?<=x)y", "(a)\\1", "a*", "[z-a]"};
    char diag[PATTERN_DIAG_BYTES];
    for (size_t i = 0; i < MERIT_COUNT(bad); i++) {
        assert_int_equal(pattern_check(slice_cstr(bad[i]), diag), RESULT_SYNTAX);
        assert_true(diag[0] != '\0');
    }
    assert_int_equal(pattern_check(SLICE("a\0b"), diag), RESULT_SYNTAX);
    assert_int_equal(pattern_check(SLICE(""), diag), RESULT_SYNTAX);
    assert_int_equal(pattern_check(SLICE("\xFF"), diag), RESULT_UTF8);
    assert_int_equal(pattern_check(SLICE("a+b"), diag), RESULT_OK);

    struct pattern_builder *b;
    struct pattern_set *s;
    uint32_t id, wrong = 0;
    static char long_text[PATTERN_BYTES_MAX + 1];
    memset(long_text, 'a', sizeof long_text);
    assert_int_equal(pattern_builder_open(&b), RESULT_OK);
    assert_int_equal(
        pattern_add(b, PATTERN_LITERAL, slice_make(long_text, sizeof long_text), false, &id),
        RESULT_LIMIT);
    assert_int_equal(pattern_add(b, PATTERN_LITERAL, SLICE("fine"), false, &id), RESULT_OK);
    assert_int_equal(pattern_add(b, PATTERN_REGEX, SLICE("a("), false, &id), RESULT_OK);
    assert_int_equal(pattern_build(b, &s, &wrong, diag), RESULT_SYNTAX);
    assert_int_equal(wrong, id);
    pattern_builder_close(b);
}

static void ids_are_dense_and_shared(void **state)
{
    (void)state;
    struct pattern_builder *b;
    uint32_t a, c, d, e;
    assert_int_equal(pattern_builder_open(&b), RESULT_OK);
    assert_int_equal(pattern_add(b, PATTERN_LITERAL, SLICE("x"), false, &a), RESULT_OK);
    assert_int_equal(pattern_add(b, PATTERN_LITERAL, SLICE("x"), true, &c), RESULT_OK);
    assert_int_equal(pattern_add(b, PATTERN_REGEX, SLICE("x"), false, &d), RESULT_OK);
    uint64_t digest = pattern_digest(b);
    assert_int_equal(pattern_add(b, PATTERN_LITERAL, SLICE("x"), false, &e), RESULT_OK);
    assert_int_equal(a, 0);
    assert_int_equal(c, 1);
    assert_int_equal(d, 2);
    assert_int_equal(e, a);
    assert_int_equal(pattern_count(b), 3);
    assert_true(digest == pattern_digest(b));
    assert_int_equal(pattern_add(b, PATTERN_LITERAL, SLICE("y"), false, &e), RESULT_OK);
    assert_true(digest != pattern_digest(b));
    pattern_builder_close(b);
}

static void saved_sets_load_or_are_refused(void **state)
{
    (void)state;
    struct pattern_builder *b, *other;
    struct pattern_set *s, *again;
    struct pattern_scratch *scratch;
    struct buf saved;
    uint32_t id;
    assert_int_equal(pattern_builder_open(&b), RESULT_OK);
    assert_int_equal(pattern_builder_open(&other), RESULT_OK);
    assert_int_equal(pattern_add(b, PATTERN_LITERAL, SLICE("word"), false, &id), RESULT_OK);
    assert_int_equal(pattern_add(b, PATTERN_REGEX, SLICE("\\d{3}"), false, &id), RESULT_OK);
    assert_int_equal(pattern_add(other, PATTERN_LITERAL, SLICE("word"), false, &id), RESULT_OK);
    assert_int_equal(pattern_add(other, PATTERN_REGEX, SLICE("\\d{4}"), false, &id), RESULT_OK);
    s = build(b);
    buf_init(&saved, 1 << 20);
    assert_int_equal(pattern_save(s, &saved), RESULT_OK);
    assert_int_equal(pattern_load(b, buf_slice(&saved), &again), RESULT_OK);
    assert_int_equal(pattern_scratch_open(&scratch, again), RESULT_OK);
    struct found f = {0}, stopped = {.stop_at = 1};
    assert_int_equal(pattern_scan(again, scratch, SLICE("a Word, 1234 words"), on_match, &f),
                     RESULT_OK);
    assert_int_equal(f.count, 2);
    assert_int_equal(pattern_scan(again, scratch, SLICE("a Word, 1234 words"), on_match, &stopped),
                     RESULT_OK);
    assert_int_equal(stopped.count, 1);
    assert_int_equal(pattern_scan(again, scratch, SLICE(""), on_match, &f), RESULT_OK);
    pattern_scratch_close(scratch);
    pattern_set_close(again);

    assert_int_equal(pattern_load(other, buf_slice(&saved), &again), RESULT_VERSION);
    assert_int_equal(pattern_load(b, slice_head(buf_slice(&saved), 20), &again), RESULT_SYNTAX);
    assert_int_equal(pattern_load(b, slice_head(buf_slice(&saved), saved.len - 1), &again),
                     RESULT_SYNTAX);
    // Every byte that is damaged is noticed: the head by its fields, the rest by its check.
    for (size_t i = 0; i < saved.len; i += i < 128 ? 1 : 97) {
        saved.ptr[i] ^= 0x20;
        enum result r = pattern_load(b, buf_slice(&saved), &again);
        saved.ptr[i] ^= 0x20;
        if (r == RESULT_OK) {
            pattern_set_close(again);
            // Only the four bytes of padding mean nothing.
            assert_true(i >= 28 && i < 32);
        }
    }
    buf_deinit(&saved);
    pattern_set_close(s);
    pattern_builder_close(b);
    pattern_builder_close(other);
}

static void nothing_is_a_set_too(void **state)
{
    (void)state;
    struct pattern_builder *b;
    struct pattern_scratch *scratch;
    struct found f = {0};
    assert_int_equal(pattern_builder_open(&b), RESULT_OK);
    struct pattern_set *s = build(b);
    assert_int_equal(pattern_set_count(s), 0);
    assert_int_equal(pattern_scratch_open(&scratch, s), RESULT_OK);
    assert_int_equal(pattern_scan(s, scratch, SLICE("text"), on_match, &f), RESULT_OK);
    assert_int_equal(f.count, 0);
    pattern_scratch_close(scratch);
    pattern_set_close(s);
    pattern_builder_close(b);
}

static bool count_only(void *ctx, const struct pattern_match *m)
{
    (void)m;
    (*(uint32_t *)ctx)++;
    return false;
}

static void a_flood_of_places_is_cut(void **state)
{
    (void)state;
    struct pattern_builder *b;
    struct pattern_scratch *scratch;
    uint32_t id, n = 0;
    size_t size = 4 * PATTERN_PLACES_MAX;
    char *text = malloc(size);
    memset(text, 'a', size);
    assert_int_equal(pattern_builder_open(&b), RESULT_OK);
    assert_int_equal(pattern_add(b, PATTERN_REGEX, SLICE("a"), false, &id), RESULT_OK);
    struct pattern_set *s = build(b);
    assert_int_equal(pattern_scratch_open(&scratch, s), RESULT_OK);
    assert_int_equal(pattern_scan(s, scratch, slice_make(text, size), count_only, &n), RESULT_OK);
    assert_int_equal(n, 1);
    n = 0;
    assert_int_equal(pattern_places(s, scratch, slice_make(text, size), count_only, &n),
                     RESULT_LIMIT);
    assert_int_equal(n, PATTERN_PLACES_MAX);
    free(text);
    pattern_scratch_close(scratch);
    pattern_set_close(s);
    pattern_builder_close(b);
}

static enum result all_of_it(void)
{
    struct pattern_builder *b = NULL;
    struct pattern_set *s = NULL, *again = NULL;
    struct pattern_scratch *scratch = NULL;
    struct buf saved;
    uint32_t id;
    char diag[PATTERN_DIAG_BYTES];
    buf_init(&saved, 1 << 20);
    enum result r = pattern_builder_open(&b);
    for (int i = 0; i < 20 && !r; i++) {
        char text[32];
        snprintf(text, sizeof text, i % 2 ? "word%d" : "a{%d}b", i + 1);
        r = pattern_add(b, i % 2 ? PATTERN_LITERAL : PATTERN_REGEX, slice_cstr(text), false, &id);
    }
    if (!r)
        r = pattern_build(b, &s, &id, diag);
    if (!r)
        r = pattern_save(s, &saved);
    if (!r)
        r = pattern_load(b, buf_slice(&saved), &again);
    if (!r)
        r = pattern_scratch_open(&scratch, again);
    pattern_scratch_close(scratch);
    pattern_set_close(again);
    pattern_set_close(s);
    pattern_builder_close(b);
    buf_deinit(&saved);
    return r;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    uint64_t n = 1;
    for (;; n++) {
        alloc_fail_at(n, 0);
        enum result r = all_of_it();
        alloc_fail_at(0, 0);
        if (r == RESULT_OK)
            break;
        assert_int_equal(r, RESULT_NOMEM);
        assert_true(n < 1000);
    }
    assert_true(n > 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literals_equal_a_plain_search),
        cmocka_unit_test(regexes_find_places),
        cmocka_unit_test(bad_expressions_are_named),
        cmocka_unit_test(ids_are_dense_and_shared),
        cmocka_unit_test(saved_sets_load_or_are_refused),
        cmocka_unit_test(nothing_is_a_set_too),
        cmocka_unit_test(a_flood_of_places_is_cut),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
