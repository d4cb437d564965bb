// text/unigram and the trie below it: random models beside a plain table of best ways, what is refused, no memory.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "helper/token_make.h"
#include "text/token_trie.h"
#include "text/tokenizer.h"

enum { WORDS = 600, WORD_BYTES = 48, PIECE_LETTERS = 80, PIECE_BYTES = PIECE_LETTERS * 4 };

struct naive {
    struct {
        char text[WORD_BYTES];
        size_t len;
        double score;
    } words[WORDS];
    uint32_t count, unk;
    bool byte_fallback;
};

// The last of equal words, as in the reference.
static uint32_t naive_find(const struct naive *m, const char *text, size_t len)
{
    for (uint32_t i = m->count; i-- > 0;)
        if (m->words[i].len == len && memcmp(m->words[i].text, text, len) == 0)
            return i;
    return UINT32_MAX;
}

static void add(struct naive *m, const char *text, size_t len, double score)
{
    memcpy(m->words[m->count].text, text, len);
    m->words[m->count].len = len;
    m->words[m->count++].score = score;
}

static void make(struct rng *rng, struct naive *m)
{
    m->count = 0;
    m->byte_fallback = rng_below(rng, 2);
    unsigned words = 1 + (unsigned)rng_below(rng, 200), letters = 2 + (unsigned)rng_below(rng, 8);
    m->unk = (uint32_t)rng_below(rng, words);
    for (unsigned i = 0; i < words; i++) {
        char text[WORD_BYTES];
        size_t len = i == m->unk ? (size_t)sprintf(text, "<unk>")
                                 : token_make_text(rng, text, 0, 1 + rng_below(rng, 11), letters);
        // Few different scores, so that many ways are equally good.
        add(m, text, len, rng_below(rng, 3) ? -(double)rng_below(rng, 8) / 4 : rng_unit(rng) * -9);
    }
    for (unsigned i = 0, gap = (unsigned)rng_below(rng, 512); m->byte_fallback && i < 256; i++) {
        char text[8];
        if (i != gap)
            add(m, text, (size_t)sprintf(text, "<0x%02X>", i), -3);
    }
}

static void write_json(const struct naive *m, struct buf *b)
{
    buf_reset(b);
    buf_printf(b, "{\"unk_id\":%u,\"byte_fallback\":%s,\"vocab\":[", m->unk,
               m->byte_fallback ? "true" : "false");
    for (uint32_t i = 0; i < m->count; i++) {
        buf_cstr(b, i ? ",[" : "[");
        json_write_string(b, slice_make(m->words[i].text, m->words[i].len));
        buf_printf(b, ",%.17g]", m->words[i].score);
    }
    BUF_LIT(b, "]}");
    assert_int_equal(buf_result(b), RESULT_OK);
}

static size_t letter_length(const char *p)
{
    unsigned char c = (unsigned char)*p;
    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

// For each end in turn the best start, the earliest of equals.
static uint32_t naive_encode(const struct naive *m, struct slice piece, struct piece_token *out)
{
    double best[PIECE_BYTES + 1], least = m->words[0].score;
    uint32_t start[PIECE_BYTES + 1], id[PIECE_BYTES + 1], ends[PIECE_BYTES + 1], n = 0;
    for (uint32_t i = 0; i < m->count; i++)
        least = m->words[i].score < least ? m->words[i].score : least;
    best[0] = 0;
    for (size_t end = 1; end <= piece.len; end++) {
        start[end] = UINT32_MAX;
        for (size_t at = 0; at < end; at++) {
            if ((at && start[at] == UINT32_MAX) || ((unsigned char)piece.ptr[at] & 0xc0) == 0x80)
                continue;
            uint32_t word = naive_find(m, piece.ptr + at, end - at);
            double score = word == UINT32_MAX ? least - 10 : m->words[word].score;
            if (word == UINT32_MAX && letter_length(piece.ptr + at) != end - at)
                continue;
            if (start[end] != UINT32_MAX && score + best[at] <= best[end])
                continue;
            best[end] = score + best[at];
            start[end] = (uint32_t)at;
            id[end] = word == UINT32_MAX ? m->unk : word;
        }
    }
    for (size_t at = piece.len; at > 0; at = start[at])
        ends[n++] = (uint32_t)at;
    uint32_t count = 0;
    while (n > 0) {
        uint32_t end = ends[--n], begin = start[end];
        if (id[end] != m->unk) {
            out[count++] = (struct piece_token){id[end], begin, end};
            continue;
        }
        while (n > 0 && id[ends[n - 1]] == m->unk)
            end = ends[--n];
        uint32_t word = naive_find(m, piece.ptr + begin, end - begin);
        bool bytes = m->byte_fallback && word == UINT32_MAX;
        uint32_t first = count;
        for (uint32_t i = begin; i < end && bytes; i++) {
            char name[8];
            uint32_t byte = naive_find(
                m, name, (size_t)sprintf(name, "<0x%02X>", (unsigned)(unsigned char)piece.ptr[i]));
            bytes = byte != UINT32_MAX;
            out[count++] = (struct piece_token){byte, begin, end};
        }
        if (!bytes) {
            count = first;
            out[count++] = (struct piece_token){word == UINT32_MAX ? m->unk : word, begin, end};
        }
    }
    return count;
}

static void check(const struct naive *m, const void *model, void *scratch, struct slice piece)
{
    struct piece_token want[PIECE_BYTES];
    struct piece_tokens got = {0};
    uint32_t n = naive_encode(m, piece, want);
    for (int again = 0; again < 2; again++) {
        got.count = 0;
        assert_int_equal(token_unigram.encode(model, scratch, piece, &got), RESULT_OK);
        assert_int_equal(got.count, n);
        assert_memory_equal(got.at, want, n * sizeof *want);
    }
    alloc_free(got.at);
}

static void test_naive(void **state)
{
    (void)state;
    struct rng rng;
    struct naive *m = malloc(sizeof *m);
    struct buf json;
    rng_seed(&rng, 9);
    buf_init(&json, 1 << 20);
    for (int round = 0; round < 300; round++) {
        char problem[TOKENIZER_PROBLEM_BYTES] = "", piece[PIECE_BYTES];
        void *model, *scratch;
        make(&rng, m);
        write_json(m, &json);
        if (token_make_model(&token_unigram, buf_slice(&json), false, problem, &model))
            fail_msg("%s\n%.*s", problem, SLICE_FMT(buf_slice(&json)));
        assert_int_equal(token_unigram.vocab(model), m->count);
        for (uint32_t i = 0; i < m->count; i += 5) {
            struct slice word = slice_make(m->words[i].text, m->words[i].len);
            assert_int_equal(token_unigram.find(model, word), naive_find(m, word.ptr, word.len));
        }
        assert_int_equal(token_unigram.find(model, SLICE("no such word")), UINT32_MAX);
        assert_int_equal(token_unigram.scratch_open(model, &scratch), RESULT_OK);
        for (int i = 0; i < 30; i++) {
            size_t len = token_make_text(&rng, piece, 1, i % 4 ? 14 : PIECE_LETTERS,
                                         2 + (unsigned)rng_below(&rng, TOKEN_LETTERS - 1));
            check(m, model, scratch, slice_make(piece, len));
        }
        // Text that is spelt like the unknown word joins its neighbours.
        check(m, model, scratch, SLICE("a<unk>\xf0\x9f\x98\x80x<unk>"));
        token_unigram.scratch_close(scratch);
        token_unigram.close(model);
    }
    buf_deinit(&json);
    free(m);
}

// Every word is found with its id, and every proper prefix of a word is a node without one unless it is a word.
static void check_trie(const struct token_trie *t, const struct token_vocab *v, struct slice text)
{
    uint32_t node = TOKEN_TRIE_ROOT;
    bool on = true;
    for (size_t n = 0; n < text.len && on; n++) {
        bool is_prefix = false;
        struct slice head = slice_head(text, n + 1);
        for (uint32_t i = 0; i < v->count && !is_prefix; i++)
            is_prefix = slice_starts_with(token_vocab_text(v, i), head);
        on = token_trie_step(t, &node, (unsigned char)text.ptr[n]);
        assert_int_equal(on, is_prefix);
        if (on)
            assert_int_equal(t->nodes[node].id, token_vocab_find(v, head));
    }
}

static void test_trie(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 2);
    for (int round = 0; round < 60; round++) {
        enum { COUNT = 400 };
        struct token_vocab v;
        struct token_trie t;
        char text[32];
        unsigned bytes = round % 3 == 0 ? 256 : round % 3 == 1 ? 2 : 20;
        assert_int_equal(token_vocab_open(&v, COUNT, COUNT * sizeof text), RESULT_OK);
        for (uint32_t i = 0; i < COUNT; i++) {
            size_t len = rng_below(&rng, round % 2 ? 4 : sizeof text);
            for (size_t k = 0; k < len; k++)
                text[k] = (char)rng_below(&rng, bytes);
            token_vocab_add(&v, slice_make(text, len), i);
        }
        assert_int_equal(token_trie_open(&t, &v), RESULT_OK);
        for (uint32_t i = 0; i < v.count; i++)
            check_trie(&t, &v, token_vocab_text(&v, i));
        for (int i = 0; i < 300; i++) {
            for (size_t k = 0; k < sizeof text; k++)
                text[k] = (char)rng_below(&rng, i % 2 ? 256 : bytes);
            check_trie(&t, &v, slice_make(text, sizeof text));
        }
        token_trie_close(&t);
        token_vocab_close(&v);
    }
}

#define SMALL                                                                                      \
    "{\"unk_id\":0,\"vocab\":[[\"<unk>\",0],[\"a\",-1],[\"aa\",-1.5],[\"aaaa\",-2.5],[\"b\",-1]]}"

static void test_one_letter(void **state)
{
    (void)state;
    enum { BYTES = (1 << 20) + 16 };
    void *model, *scratch;
    struct piece_tokens got = {0};
    char *text = malloc(BYTES);
    memset(text, 'a', BYTES);
    assert_int_equal(token_make_model(&token_unigram, SLICE(SMALL), false, NULL, &model),
                     RESULT_OK);
    assert_int_equal(token_unigram.scratch_open(model, &scratch), RESULT_OK);
    assert_int_equal(token_unigram.encode(model, scratch, slice_make(text, BYTES), &got),
                     RESULT_OK);
    // The window's edge is a multiple of four, so that it does not show.
    assert_int_equal(got.count, BYTES / 4);
    for (uint32_t i = 0; i < BYTES / 4; i++)
        assert_true(got.at[i].id == 3 && got.at[i].begin == 4 * i && got.at[i].end == 4 * i + 4);
    // Nor does it fall into a character: of these one is left at the edge, unknown.
    for (size_t i = 0; i + 3 <= BYTES; i += 3)
        memcpy(text + i, "\xe6\xbc\xa2", 3);
    got.count = 0;
    assert_int_equal(token_unigram.encode(model, scratch, slice_make(text, BYTES / 3 * 3), &got),
                     RESULT_OK);
    assert_int_equal(got.count, 2);
    assert_int_equal(got.at[0].end % 3, 0);
    assert_int_equal(got.at[1].begin, got.at[0].end);
    alloc_free(got.at);
    token_unigram.scratch_close(scratch);
    token_unigram.close(model);
    free(text);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        bool byte_level;
        enum result result;
        const char *named;
    } cases[] = {
        {"7", false, RESULT_SYNTAX, "object"},
        {"{\"unk_id\":0}", false, RESULT_SYNTAX, "vocab"},
        {"{\"unk_id\":0,\"vocab\":{}}", false, RESULT_SYNTAX, "vocab"},
        {"{\"unk_id\":0,\"vocab\":[]}", false, RESULT_SYNTAX, "unk_id"},
        {"{\"unk_id\":1,\"vocab\":[[\"a\",0]]}", false, RESULT_SYNTAX, "unk_id"},
        {"{\"unk_id\":-1,\"vocab\":[[\"a\",0]]}", false, RESULT_SYNTAX, "unk_id"},
        {"{\"unk_id\":null,\"vocab\":[[\"a\",0]]}", false, RESULT_UNSUPPORTED, "unk_id"},
        {"{\"unk_id\":0,\"vocab\":[7]}", false, RESULT_SYNTAX, "pair"},
        {"{\"unk_id\":0,\"vocab\":[[]]}", false, RESULT_SYNTAX, "pair"},
        {"{\"unk_id\":0,\"vocab\":[[\"a\"]]}", false, RESULT_SYNTAX, "pair"},
        {"{\"unk_id\":0,\"vocab\":[[7,0]]}", false, RESULT_SYNTAX, "pair"},
        {"{\"unk_id\":0,\"vocab\":[[\"a\",\"0\"]]}", false, RESULT_SYNTAX, "pair"},
        {"{\"unk_id\":0,\"vocab\":[[\"a\",1e999]]}", false, RESULT_SYNTAX, "pair"},
        {"{\"unk_id\":0,\"vocab\":[[\"a\",0,0]]}", false, RESULT_SYNTAX, "pair"},
        {SMALL, true, RESULT_UNSUPPORTED, "ByteLevel"},
    };
    for (unsigned i = 0; i < MERIT_COUNT(cases); i++) {
        char problem[TOKENIZER_PROBLEM_BYTES] = "";
        void *model;
        assert_int_equal(token_make_model(&token_unigram, slice_cstr(cases[i].json),
                                          cases[i].byte_level, problem, &model),
                         cases[i].result);
        assert_null(model);
        if (!strstr(problem, cases[i].named))
            fail_msg("case %u: '%s' does not name %s", i, problem, cases[i].named);
    }
}

static enum result encode_once(struct slice piece)
{
    void *model = NULL, *scratch = NULL;
    struct piece_tokens got = {0};
    enum result r = token_make_model(&token_unigram, SLICE(SMALL), false, NULL, &model);
    if (!r)
        r = token_unigram.scratch_open(model, &scratch);
    if (!r)
        r = token_unigram.encode(model, scratch, piece, &got);
    alloc_free(got.at);
    token_unigram.scratch_close(scratch);
    token_unigram.close(model);
    return r;
}

static void test_no_memory(void **state)
{
    (void)state;
    char piece[3000];
    memset(piece, 'a', sizeof piece);
    enum result r = RESULT_NOMEM;
    for (uint64_t n = 1; r != RESULT_OK; n++) {
        alloc_fail_at(n, 0);
        r = encode_once(slice_make(piece, sizeof piece));
        alloc_fail_at(0, 0);
        assert_true(r == RESULT_OK || r == RESULT_NOMEM);
        assert_true(n < 200);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_naive),      cmocka_unit_test(test_trie),
        cmocka_unit_test(test_one_letter), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
