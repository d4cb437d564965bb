// What is told from pieces and folded text alone never contradicts the comparison of words.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "helper/image_build.h"
#include "helper/text_make.h"
#include "signal/artifacts.h"
#include "signal/pieces.h"
#include "signal/plan.h"
#include "signal/similar.h"

enum { ROUNDS = 30000, ROOM = 1024 };

static const char *const vocabulary[] = {"kubernetes",
                                         "terraform",
                                         "postgresql",
                                         "i want my money back",
                                         "this does not work",
                                         "liability",
                                         "stories",
                                         "governing law",
                                         "breach",
                                         "the",
                                         "work",
                                         "go",
                                         "x",
                                         "machine learning",
                                         "tries",
                                         "policy",
                                         "damages",
                                         "codes",
                                         "2024 v2",
                                         "aaaa aaab",
                                         "running",
                                         "flying",
                                         "sky",
                                         "abababab",
                                         "not this"};

// A text of the vocabulary with edits, cases and separators; in a few also characters beyond ASCII.
static struct slice make(struct rng *r, char *room, uint32_t words, bool ascii)
{
    static const char *const between[] = {" ", " ", " ", ", ", "\n", " - ", "...", "\t", "/", "'"};
    size_t len = 0;
    if (!ascii && rng_below(r, 3) == 0)
        return text_make(r, room, 300);
    for (uint32_t i = 0; i < words; i++) {
        const char *word = vocabulary[rng_below(r, MERIT_COUNT(vocabulary))];
        size_t begin = len, n = strlen(word);
        memcpy(room + len, word, n);
        len += n;
        for (uint64_t edits = rng_below(r, 4); edits > 0 && len > begin + 1; edits--) {
            size_t at = begin + rng_below(r, len - begin - 1);
            char c = room[at];
            switch (rng_below(r, 5)) {
            case 0:
                memmove(room + at, room + at + 1, --len - at);
                break;
            case 1:
                memmove(room + at + 1, room + at, len++ - at);
                room[at] = (char)('a' + rng_below(r, 26));
                break;
            case 2:
                room[at] = room[at + 1];
                room[at + 1] = c;
                break;
            case 3:
                room[at] = (char)('a' + rng_below(r, 26));
                break;
            default:
                room[at] = (char)(c >= 'a' && c <= 'z' && rng_below(r, 2) ? c - 32 : c);
            }
        }
        if (!ascii && rng_below(r, 4) == 0)
            len += (size_t)snprintf(room + len, 8, "%s",
                                    rng_below(r, 2) ? "\xC5\xBF" : "\xE2\x84\xAA");
        const char *space = between[rng_below(r, MERIT_COUNT(between))];
        memcpy(room + len, space, strlen(space));
        len += strlen(space);
    }
    return slice_make(room, len);
}

struct bench {
    struct arena arena;
    struct rng rng;
    char room[2][ROOM], phrase[ROOM];
    struct text_view view[2];
    struct text_words words;
    struct slice folded;
};

// One text or two, split and folded.
static bool next_text(struct bench *x, bool ascii)
{
    arena_reset(&x->arena);
    uint32_t views = 1 + (rng_below(&x->rng, 4) == 0);
    for (uint32_t i = 0; i < views; i++)
        x->view[i].text = make(&x->rng, x->room[i], (uint32_t)rng_below(&x->rng, 14), ascii);
    struct text_views v = {x->view, views, false};
    assert_int_equal(text_words_split(&v, &x->arena, &x->words), RESULT_OK);
    return text_fold_fast(&v, &x->arena, &x->folded) == RESULT_OK;
}

static bool open(struct bench *x, uint64_t seed)
{
    rng_seed(&x->rng, seed);
    arena_init(&x->arena, 1 << 18, 1 << 22);
    if (next_text(x, true))
        return true;
    arena_deinit(&x->arena);
    return false;
}

static struct slice phrase(struct bench *x)
{
    uint32_t words = 1 + (uint32_t)rng_below(&x->rng, 2);
    if (rng_below(&x->rng, 3))
        return slice_cstr(vocabulary[rng_below(&x->rng, MERIT_COUNT(vocabulary))]);
    return make(&x->rng, x->phrase, words, rng_below(&x->rng, 4) > 0);
}

static void folded_text_is_the_words(void **state)
{
    (void)state;
    static struct bench x;
    if (!open(&x, 1))
        skip();
    for (int i = 0; i < ROUNDS; i++) {
        bool ascii = true, long_word = false;
        char want[2 * ROOM + 8];
        size_t n = 0;
        uint32_t view = UINT32_MAX;
        bool folds = next_text(&x, rng_below(&x.rng, 4) > 0);
        for (uint32_t k = 0; k < x.words.count; k++) {
            const struct text_word *w = &x.words.at[k];
            long_word |= word_folded_len(w) == 0;
            if (word_view(w) != view)
                want[n++] = ' ';
            view = word_view(w);
            memcpy(want + n, x.words.folded + w->folded, word_folded_len(w) + 1u);
            n += word_folded_len(w) + 1u;
        }
        for (uint32_t k = 0; k < x.words.count && ascii; k++)
            ascii = x.words.ascii;
        if (!folds || long_word)
            continue;
        assert_true(ascii);
        // Each view without words leaves its blank alone.
        struct slice got = x.folded;
        size_t at = 0;
        for (size_t k = 0; k < got.len; k++) {
            if (got.ptr[k] == ' ' && (at == n || want[at] != ' '))
                continue;
            assert_true(at < n);
            assert_int_equal(got.ptr[k], want[at++]);
        }
        assert_int_equal(at, n);
    }
    arena_deinit(&x.arena);
}

static void fuzzy_finds_nothing_without_a_piece(void **state)
{
    (void)state;
    static struct bench x;
    uint32_t found = 0, ruled_out = 0;
    if (!open(&x, 2))
        skip();
    for (int i = 0; i < ROUNDS; i++) {
        struct fuzzy *f;
        struct piece_set set;
        struct similar_place place;
        struct slice pieces[SIMILAR_DISTANCE_MAX + 1];
        if (!next_text(&x, true) ||
            fuzzy_prepare(phrase(&x), 1 + (uint32_t)rng_below(&x.rng, 3), &x.arena, &f))
            continue;
        uint32_t n = fuzzy_pieces(f, &x.arena, pieces);
        if (n == 0)
            continue;
        assert_int_equal(pieces_prepare(pieces, n, &x.arena, &set), RESULT_OK);
        bool is = fuzzy_find(f, &x.words, &place), may = pieces_occur(&set, x.folded),
             naive = false;
        for (uint32_t k = 0; k < n; k++)
            naive |= slice_find(x.folded, pieces[k]) >= 0;
        assert_int_equal(may, naive);
        assert_true(may || !is);
        found += is;
        ruled_out += !may;
    }
    assert_true(found > ROUNDS / 20 && ruled_out > ROUNDS / 20);
    arena_deinit(&x.arena);
}

static void bm25_is_0_without_a_piece(void **state)
{
    (void)state;
    static struct bench x;
    uint32_t found = 0, ruled_out = 0;
    if (!open(&x, 3))
        skip();
    for (int i = 0; i < ROUNDS; i++) {
        struct bm25 *b;
        struct piece_set set;
        struct similar_place places[3];
        struct slice docs[3], pieces[PIECES_MAX];
        double scores[3];
        uint32_t n, count = 1 + (uint32_t)rng_below(&x.rng, 3);
        if (!next_text(&x, true))
            continue;
        for (uint32_t k = 0; k < count; k++)
            docs[k] = arena_copy(&x.arena, phrase(&x));
        assert_int_equal(bm25_prepare(docs, count, &x.arena, &b), RESULT_OK);
        assert_int_equal(bm25_scores(b, &x.words, &x.arena, scores, places), RESULT_OK);
        assert_true(bm25_pieces(b, &x.arena, pieces, PIECES_MAX, &n));
        assert_int_equal(pieces_prepare(pieces, n, &x.arena, &set), RESULT_OK);
        bool is = false, may = pieces_occur(&set, x.folded), naive = false;
        for (uint32_t k = 0; k < count; k++)
            is |= scores[k] > 0 || places[k].found;
        for (uint32_t k = 0; k < n; k++)
            naive |= slice_find(x.folded, pieces[k]) >= 0;
        assert_int_equal(may, naive);
        assert_true(may || !is);
        found += is;
        ruled_out += !may;
    }
    assert_true(found > ROUNDS / 20 && ruled_out > ROUNDS / 20);
    arena_deinit(&x.arena);
}

static void ngram_is_below_the_floor_where_told(void **state)
{
    (void)state;
    static struct bench x;
    uint32_t found = 0, ruled_out = 0;
    if (!open(&x, 4))
        skip();
    for (int i = 0; i < ROUNDS; i++) {
        struct ngram *g;
        struct similar_place place;
        double floor = rng_below(&x.rng, 4) ? 0.3 + 0.6 * rng_unit(&x.rng) : rng_unit(&x.rng);
        if (!next_text(&x, true) ||
            ngram_prepare(phrase(&x), 2 + (uint32_t)rng_below(&x.rng, 5), &x.arena, &g))
            continue;
        double best = ngram_best(g, &x.words, floor, &x.arena, &place);
        bool may = ngram_possible(g, x.folded, floor);
        assert_true(may || best == 0);
        found += best > 0;
        ruled_out += !may;
    }
    assert_true(found > ROUNDS / 20 && ruled_out > ROUNDS / 20);
    arena_deinit(&x.arena);
}

// A text too long for its words to be compared fails as it does without pieces, and a long one does
// not.
static void long_texts_keep_their_limit(void **state)
{
    (void)state;
    enum { LONG = 60000 };
    static char text[LONG];
    struct image_build *b = build_new();
    build_signal(b, "keywords");
    build_string(b, "fuzzy", "kubernetes");
    build_signal(b, "keywords");
    build_string(b, "bm25", "breach of contract");
    build_signal(b, "keywords");
    build_string(b, "ngram", "i want my money back");
    build_above(b, true, 0.6);
    struct arena arena;
    struct plan *plan;
    struct plan_scratch *scratch;
    arena_init(&arena, 1 << 20, 1 << 24);
    assert_int_equal(plan_open(build_done(b), &signal_registry, NULL, SLICE_EMPTY, NULL, &plan),
                     RESULT_OK);
    assert_int_equal(plan_scratch_open(plan, &scratch), RESULT_OK);
    for (size_t i = 0; i < LONG; i++)
        text[i] = i % 2 ? ' ' : 'q';
    // Around where SIGNAL_WORDS_MAX words are reached.
    static const size_t lengths[] = {100, 32000, 32765, 32766, 32767, 32768, 40000, LONG};
    for (size_t i = 0; i < MERIT_COUNT(lengths); i++) {
        struct work_part part = {.kind = WORK_TEXT, .text = slice_make(text, lengths[i])};
        struct work_message m = {WORK_USER, 0, 1, 0, false};
        struct work w = {.messages = &m, .message_count = 1, .parts = &part, .part_count = 1};
        bool cut = (lengths[i] + 1) / 2 >= SIGNAL_WORDS_MAX;
        arena_reset(&arena);
        struct plan_run *run = plan_begin(plan, scratch, &w, &arena, NULL);
        assert_non_null(run);
        for (int32_t s = 0; s < 3; s++) {
            struct fact f;
            assert_true(plan_compute(run, s, &f));
            assert_int_equal(f.state, cut ? FACT_FAILED : FACT_KNOWN);
            assert_int_equal(f.error, cut ? FACT_ERROR_LIMIT : FACT_ERROR_NONE);
            assert_true(f.number == 0);
        }
    }
    plan_scratch_close(scratch);
    plan_close(plan);
    arena_deinit(&arena);
    build_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folded_text_is_the_words),
        cmocka_unit_test(fuzzy_finds_nothing_without_a_piece),
        cmocka_unit_test(bm25_is_0_without_a_piece),
        cmocka_unit_test(ngram_is_below_the_floor_where_told),
        cmocka_unit_test(long_texts_keep_their_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
