// signal/: the counting pass, the word split and the likeness measures beside naive oracles.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/rng.h"
#include "helper/text_make.h"
#include "signal/artifacts.h"
#include "signal/similar.h"
#include "text/utf8.h"

enum { TEXTS = 20000, TEXT_MAX = 400 };

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool alnum(char c)
{
    return digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// --- The counting pass: line by line, one rule after the other.

// The run of fence characters at the line's head, 0 without one.
static size_t fence_run(struct slice line, char *c, struct slice *rest)
{
    size_t i = 0, n = 0;
    while (i < line.len && blank(line.ptr[i]))
        i++;
    if (i == line.len || (line.ptr[i] != '`' && line.ptr[i] != '~'))
        return 0;
    *c = line.ptr[i];
    for (; i < line.len && line.ptr[i] == *c; i++)
        n++;
    *rest = slice_from(line, i);
    return n >= 3 ? n : 0;
}

static void naive_head(struct slice l, struct text_stats *s)
{
    size_t i = 0, k;
    while (i < l.len && blank(l.ptr[i]))
        i++;
    l = slice_from(l, i);
    bool mark = slice_starts_with(l, SLICE("- ")) || slice_starts_with(l, SLICE("* ")) ||
                slice_starts_with(l, SLICE("+ ")) || slice_starts_with(l, SLICE("-\t")) ||
                slice_starts_with(l, SLICE("*\t")) || slice_starts_with(l, SLICE("+\t")) ||
                slice_starts_with(l, SLICE("\xE2\x80\xA2 ")) ||
                slice_starts_with(l, SLICE("\xE2\x80\xA2\t"));
    bool open = l.len && l.ptr[0] == '(';
    for (k = open; k < l.len && digit(l.ptr[k]);)
        k++;
    size_t digits = k - open;
    bool numbered = digits >= 1 && digits <= 9 && k < l.len &&
                    (l.ptr[k] == ')' || (!open && l.ptr[k] == '.')) &&
                    (k + 1 == l.len || blank(l.ptr[k + 1]) || l.ptr[k + 1] == '\r');
    s->list_items += mark || numbered;
    bool step = l.len > 5 && slice_ieq(slice_head(l, 4), SLICE("step")) && blank(l.ptr[4]);
    for (k = 5; step && k < l.len && blank(l.ptr[k]);)
        k++;
    s->ordered_steps += numbered || (step && k < l.len && digit(l.ptr[k]));
}

static void naive_line(struct slice l, struct text_stats *s)
{
    for (size_t i = 0; i < l.len;) {
        size_t from = i;
        bool asks = false;
        for (; i < l.len && (l.ptr[i] == '?' || l.ptr[i] == '!'); i++)
            asks |= l.ptr[i] == '?';
        if (asks)
            s->questions += i == l.len || !(alnum(l.ptr[i]) || l.ptr[i] == '_');
        if (i == from)
            i++;
    }
    for (size_t i = 0; i < l.len;) {
        if (slice_starts_with(slice_from(l, i), SLICE("\xEF\xBC\x9F")) ||
            slice_starts_with(slice_from(l, i), SLICE("\xD8\x9F")))
            s->questions++;
        utf8_next(l, &i);
    }
    for (size_t i = 0; i < l.len; i++) {
        char b = i ? l.ptr[i - 1] : ' ';
        if (!digit(l.ptr[i]) || alnum(b) || b == '_')
            continue;
        if ((b == '.' || b == ',' || b == ':') && i > 1 && digit(l.ptr[i - 2]))
            continue;
        s->numbers++;
    }
    for (size_t i = 0; i < l.len; i++) {
        if (i && alnum(l.ptr[i - 1]))
            continue;
        struct slice t = slice_from(l, i);
        bool web = slice_ieq(slice_head(t, 7), SLICE("http://")) ||
                   slice_ieq(slice_head(t, 8), SLICE("https://"));
        bool www = slice_ieq(slice_head(t, 4), SLICE("www.")) && t.len > 4 && alnum(t.ptr[4]) &&
                   (i == 0 || l.ptr[i - 1] != '/');
        s->links += web || www;
    }
    naive_head(l, s);
}

static struct text_stats naive_stats(struct slice text)
{
    struct text_stats s = {0};
    bool in_word = false;
    for (size_t i = 0; i < text.len;) {
        uint32_t code = utf8_next(text, &i);
        s.chars++;
        if (utf8_is_cjk(code)) {
            s.words++;
            in_word = false;
        } else {
            bool word = utf8_is_word(code);
            s.words += word && !in_word;
            in_word = word;
        }
    }
    struct slice rest = text, line;
    size_t fence = 0;
    char with = 0;
    while (slice_split(&rest, '\n', &line)) {
        char c = 0;
        struct slice tail = SLICE_EMPTY;
        size_t run = fence_run(line, &c, &tail);
        if (fence) {
            bool only = true;
            for (size_t i = 0; i < tail.len; i++)
                only &= blank(tail.ptr[i]) || tail.ptr[i] == '\r';
            if (run >= fence && c == with && only)
                fence = 0;
        } else if (run && (c == '~' || tail.len == 0 || !memchr(tail.ptr, '`', tail.len))) {
            fence = run;
            with = c;
            s.code_blocks++;
        } else {
            naive_line(line, &s);
        }
    }
    return s;
}

static void assert_stats(struct slice text, const struct text_stats *got,
                         const struct text_stats *want)
{
    if (memcmp(got, want, sizeof *got) == 0)
        return;
    fail_msg("words %u %u chars %u %u questions %u %u numbers %u %u items %u %u steps %u %u code "
             "%u %u links %u %u of\n%.*s",
             got->words, want->words, got->chars, want->chars, got->questions, want->questions,
             got->numbers, want->numbers, got->list_items, want->list_items, got->ordered_steps,
             want->ordered_steps, got->code_blocks, want->code_blocks, got->links, want->links,
             SLICE_FMT(text));
}

static void stats_equal_a_line_scanner(void **state)
{
    (void)state;
    struct rng r;
    char room[TEXT_MAX];
    rng_seed(&r, 7);
    for (int i = 0; i < TEXTS; i++) {
        struct slice t = text_make(&r, room, TEXT_MAX);
        struct text_stats want = naive_stats(t), got = {0}, scalar = {0};
        text_stats_add(&got, t);
        text_stats_add_scalar(&scalar, t);
        assert_stats(t, &got, &want);
        assert_stats(t, &scalar, &want);
        assert_int_equal(text_questions(t), want.questions);
    }
}

// --- Words.

static void split(struct slice text, struct arena *arena, struct text_words *out)
{
    struct text_view *view = arena_alloc(arena, sizeof *view);
    *view = (struct text_view){text, 0, 0};
    struct text_views views = {view, 1, false};
    struct text_stats stats = {0};
    text_stats_add(&stats, text);
    assert_int_equal(text_words_split(&views, arena, out), RESULT_OK);
    assert_int_equal(out->count, stats.words);
    assert_false(out->cut);
}

static void words_equal_a_character_scanner(void **state)
{
    (void)state;
    struct rng r;
    struct arena arena;
    char room[TEXT_MAX];
    rng_seed(&r, 8);
    arena_init(&arena, 65536, 1 << 20);
    for (int i = 0; i < TEXTS; i++) {
        struct slice t = text_make(&r, room, TEXT_MAX);
        struct text_words words;
        split(t, &arena, &words);
        uint32_t n = 0;
        for (size_t at = 0; at < t.len;) {
            size_t from = at;
            uint32_t code = utf8_next(t, &at);
            bool cjk = utf8_is_cjk(code);
            if (!cjk && !utf8_is_word(code))
                continue;
            char folded[TEXT_MAX * 2];
            size_t len = 0, chars = 0, end = from;
            for (size_t k = from; k < t.len;) {
                uint32_t c = utf8_next(t, &k);
                if (k > at && (cjk || utf8_is_cjk(c) || !utf8_is_word(c)))
                    break;
                c = utf8_fold(c);
                len += utf8_put(c, folded + len);
                chars++;
                end = k;
            }
            const struct text_word *w = &words.at[n++];
            assert_int_equal(w->begin, from);
            assert_int_equal(word_len(w), end - from);
            if (chars <= SIGNAL_WORD_CHARS_MAX) {
                assert_int_equal(word_chars(w), chars);
                assert_int_equal(word_folded_len(w), len);
                assert_memory_equal(words.folded + w->folded, folded, len);
                assert_int_equal(words.folded[w->folded + len], ' ');
            }
            at = end;
        }
        assert_int_equal(n, words.count);
        arena_reset(&arena);
    }
    arena_deinit(&arena);
}

// --- Edit distance and n-grams on texts of code points.

static uint32_t naive_osa(const uint32_t *a, uint32_t n, const uint32_t *b, uint32_t m)
{
    uint32_t d[65][65];
    for (uint32_t i = 0; i <= n; i++)
        for (uint32_t j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            uint32_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            best = d[i - 1][j] + 1 < best ? d[i - 1][j] + 1 : best;
            best = d[i][j - 1] + 1 < best ? d[i][j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[n][m];
}

static void distance_equals_the_table(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 9);
    for (int i = 0; i < 200000; i++) {
        uint32_t a[12], b[12], n = (uint32_t)rng_below(&r, 12), m = (uint32_t)rng_below(&r, 12);
        for (uint32_t k = 0; k < 12; k++) {
            a[k] = (uint32_t)rng_below(&r, 4);
            b[k] = rng_below(&r, 3) ? a[k] : (uint32_t)rng_below(&r, 4);
        }
        uint32_t want = naive_osa(a, n, b, m), limit = (uint32_t)rng_below(&r, 5);
        assert_int_equal(fuzzy_distance(a, n, b, m, limit), want <= limit ? want : limit + 1);
    }
}

// The folded words [first, first + k) joined by spaces, as code points; 0 when there are more than
// 64.
static uint32_t joined(const struct text_words *w, uint32_t first, uint32_t k, uint32_t *out)
{
    uint32_t n = 0;
    for (uint32_t i = first; i < first + k; i++) {
        struct slice s = slice_make(w->folded + w->at[i].folded, word_folded_len(&w->at[i]));
        if (i > first)
            out[n++] = ' ';
        if (s.len == 0)
            return 0;
        for (size_t at = 0; at < s.len;) {
            if (n == 64)
                return 0;
            out[n++] = utf8_next(s, &at);
        }
    }
    return n;
}

static const char *const phrases[] = {"kubernetes",
                                      "machine learning",
                                      "the word",
                                      "Running flies",
                                      "word",
                                      "\xC3\xA9t\xC3\xA9 kubernetes",
                                      "\xE9\x93\xB6\xE8\xA1\x8C",
                                      "a x 9 the"};

static void fuzzy_equals_trying_all(void **state)
{
    (void)state;
    struct rng r;
    struct arena arena;
    char room[TEXT_MAX];
    uint32_t hits = 0;
    rng_seed(&r, 10);
    arena_init(&arena, 65536, 1 << 20);
    for (int i = 0; i < TEXTS; i++) {
        struct text_words words, phrase;
        const char *text = phrases[rng_below(&r, MERIT_COUNT(phrases))];
        struct fuzzy *f;
        struct similar_place place = {0};
        uint32_t limit = 1 + (uint32_t)rng_below(&r, 3), p[64], q[64];
        split(text_make(&r, room, TEXT_MAX), &arena, &words);
        split(slice_cstr(text), &arena, &phrase);
        uint32_t n = joined(&phrase, 0, phrase.count, p);
        assert_int_equal(fuzzy_prepare(slice_cstr(text), limit, &arena, &f), RESULT_OK);
        if (limit > n / 4)
            limit = n / 4;
        bool want = false;
        uint32_t at = 0;
        for (uint32_t k = 0; k + phrase.count <= words.count && !want; k++) {
            uint32_t m = joined(&words, k, phrase.count, q);
            want = m && naive_osa(p, n, q, m) <= limit;
            at = k;
        }
        if (fuzzy_find(f, &words, &place) != want)
            fail_msg("%s within %u at word %u of %.*s", text, limit, at, (int)words.folded_len,
                     words.folded + 1);
        if (want)
            assert_int_equal(place.first_word, at);
        hits += want;
        arena_reset(&arena);
    }
    assert_true(hits > TEXTS / 20 && hits < TEXTS - TEXTS / 20);
    arena_deinit(&arena);
}

static double naive_likeness(const uint32_t *a, uint32_t n, const uint32_t *b, uint32_t m,
                             uint32_t arity)
{
    uint32_t x[160], y[160], both = 0, pad = arity - 1, gx = n + pad, gy = m + pad;
    bool used[160] = {false};
    for (uint32_t i = 0; i < 160; i++)
        x[i] = y[i] = ' ';
    memcpy(x + pad, a, n * sizeof *a);
    memcpy(y + pad, b, m * sizeof *b);
    for (uint32_t i = 0; i < gx; i++)
        for (uint32_t j = 0; j < gy; j++)
            if (!used[j] && memcmp(x + i, y + j, arity * sizeof *x) == 0) {
                used[j] = true;
                both++;
                break;
            }
    return (double)both / (gx + gy - both);
}

static void ngram_equals_trying_all(void **state)
{
    (void)state;
    uint32_t near = 0, far = 0;
    struct rng r;
    struct arena arena;
    char room[TEXT_MAX];
    rng_seed(&r, 11);
    arena_init(&arena, 65536, 1 << 20);
    for (int i = 0; i < TEXTS; i++) {
        struct text_words words, phrase;
        const char *text = phrases[rng_below(&r, MERIT_COUNT(phrases))];
        struct ngram *g;
        struct similar_place place;
        uint32_t arity = 2 + (uint32_t)rng_below(&r, 5), p[64], q[64];
        split(text_make(&r, room, TEXT_MAX), &arena, &words);
        split(slice_cstr(text), &arena, &phrase);
        uint32_t n = joined(&phrase, 0, phrase.count, p);
        assert_int_equal(ngram_prepare(slice_cstr(text), arity, &arena, &g), RESULT_OK);
        double want = 0;
        for (uint32_t k = 0; k + phrase.count <= words.count; k++) {
            uint32_t m = joined(&words, k, phrase.count, q);
            double likeness = m ? naive_likeness(p, n, q, m, arity) : 0;
            want = likeness > want ? likeness : want;
        }
        double floor = rng_below(&r, 3) ? 0 : rng_unit(&r);
        double got = ngram_best(g, &words, floor, &arena, &place);
        if (want <= floor)
            want = 0;
        assert_true(fabs(got - want) < 1e-12);
        near += floor > 0 && want > 0;
        far += floor > 0 && want == 0;
        if (want > 0) {
            assert_true(place.found);
            uint32_t m = joined(&words, place.first_word, place.words, q);
            assert_true(fabs(naive_likeness(p, n, q, m, arity) - want) < 1e-12);
        }
        arena_reset(&arena);
    }
    assert_true(near > 500 && far > 500);
    arena_deinit(&arena);
}

// --- BM25: the formula written out over lists of stems.

enum { STEMS_MAX = 256 };
struct stems {
    char at[STEMS_MAX][72];
    uint32_t count;
};

static void stems_of(const char *text, bool stop, struct stems *out)
{
    static const char *const stops[] = {"the", "a", "and", "of", "with", "in", "to", "is"};
    out->count = 0;
    for (const char *p = text; *p;) {
        size_t n = 0;
        char *word = out->at[out->count];
        for (; alnum(*p); p++)
            word[n++] = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
        if (n == 0) {
            p++;
            continue;
        }
        word[n] = '\0';
        bool drop = false;
        for (size_t i = 0; stop && i < MERIT_COUNT(stops); i++)
            drop |= strcmp(word, stops[i]) == 0;
        word[similar_stem(word, n)] = '\0';
        out->count += !drop;
    }
}

static uint32_t occurs(const struct stems *s, const char *stem)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->count; i++)
        n += strcmp(s->at[i], stem) == 0;
    return n;
}

static double naive_bm25(const struct stems *docs, uint32_t count, uint32_t d,
                         const struct stems *query)
{
    double score = 0, total = 0;
    for (uint32_t i = 0; i < count; i++)
        total += docs[i].count;
    for (uint32_t q = 0; q < query->count; q++) {
        bool again = false;
        for (uint32_t k = 0; k < q; k++)
            again |= strcmp(query->at[k], query->at[q]) == 0;
        if (again)
            continue;
        double n = 0, tf = occurs(&docs[d], query->at[q]);
        for (uint32_t i = 0; i < count; i++)
            n += occurs(&docs[i], query->at[q]) > 0;
        if (tf == 0)
            continue;
        double idf = log((count - n + 0.5) / (n + 0.5) + 1);
        score += idf * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * docs[d].count / (total / count)));
    }
    return score;
}

static void bm25_equals_the_formula(void **state)
{
    (void)state;
    static const char *const vocabulary[] = {
        "deploy", "deploying", "cluster", "clusters", "container", "the",  "with",  "cooking",
        "pasta",  "sauces",    "flies",   "fly",      "running",   "run",  "x",     "a",
        "in",     "Stories",   "story",   "coded",    "codes",     "code", "glass", "status"};
    static struct stems docs[8], query;
    struct rng r;
    struct arena arena;
    rng_seed(&r, 12);
    arena_init(&arena, 65536, 1 << 20);
    for (int i = 0; i < 5000; i++) {
        char text[9][512];
        struct slice slices[8];
        uint32_t count = 1 + (uint32_t)rng_below(&r, 8);
        for (uint32_t d = 0; d <= count; d++) {
            size_t len = 0;
            uint32_t words = 1 + (uint32_t)rng_below(&r, 12);
            for (uint32_t k = 0; k < words; k++)
                len += (size_t)snprintf(text[d] + len, sizeof text[d] - len, "%s%s", k ? ", " : "",
                                        vocabulary[rng_below(&r, MERIT_COUNT(vocabulary))]);
            if (d < count) {
                slices[d] = slice_cstr(text[d]);
                stems_of(text[d], true, &docs[d]);
            }
        }
        stems_of(text[count], true, &query);
        struct bm25 *b;
        struct text_words words;
        struct similar_place places[8];
        double scores[8];
        assert_int_equal(bm25_prepare(slices, count, &arena, &b), RESULT_OK);
        split(slice_cstr(text[count]), &arena, &words);
        assert_int_equal(bm25_scores(b, &words, &arena, scores, places), RESULT_OK);
        for (uint32_t d = 0; d < count; d++) {
            double want = naive_bm25(docs, count, d, &query);
            assert_true(fabs(scores[d] - want) < 1e-9);
            assert_int_equal(places[d].found, want > 0);
        }
        arena_reset(&arena);
    }
    arena_deinit(&arena);
}

static void stems_are_as_stated(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"stories", "story"}, {"clusters", "cluster"},
        {"running", "run"},   {"coded", "cod"},
        {"codes", "cod"},     {"code", "cod"},
        {"glass", "glass"},   {"status", "status"},
        {"ties", "tie"},      {"falling", "fall"},
        {"red", "red"},       {"string", "string"},
        {"shoes", "sho"},     {"\xC3\xA9t\xC3\xA9s", "\xC3\xA9t\xC3\xA9s"}};
    for (size_t i = 0; i < MERIT_COUNT(pairs); i++) {
        char word[32];
        strcpy(word, pairs[i][0]);
        size_t n = similar_stem(word, strlen(word));
        word[n] = '\0';
        assert_string_equal(word, pairs[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stats_equal_a_line_scanner),
        cmocka_unit_test(words_equal_a_character_scanner),
        cmocka_unit_test(distance_equals_the_table),
        cmocka_unit_test(fuzzy_equals_trying_all),
        cmocka_unit_test(ngram_equals_trying_all),
        cmocka_unit_test(bm25_equals_the_formula),
        cmocka_unit_test(stems_are_as_stated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
