// text/bpe: random models beside a quadratic one written from the definition, long pieces, what is refused, no memory.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "helper/token_make.h"
#include "text/tokenizer.h"

enum { WORDS = 700, WORD_BYTES = 64, MERGES = 80, PIECE_LETTERS = 120, NONE = -1 };

struct word {
    char text[WORD_BYTES];
    size_t len;
};

// A model as plain lists.
struct naive {
    struct word words[WORDS];
    int count;
    int left[MERGES], right[MERGES], result[MERGES];
    int merges;
    int unk;
    bool byte_level, byte_fallback, fuse_unk, ignore_merges, as_strings;
    const char *prefix, *suffix;
};

static int naive_find(const struct naive *m, const char *text, size_t len)
{
    for (int i = m->count - 1; i >= 0; i--)
        if (m->words[i].len == len && memcmp(m->words[i].text, text, len) == 0)
            return i;
    return NONE;
}

static int naive_add(struct naive *m, const char *text, size_t len)
{
    int found = naive_find(m, text, len);
    if (found != NONE || m->count == WORDS || len > WORD_BYTES)
        return found;
    memcpy(m->words[m->count].text, text, len);
    m->words[m->count].len = len;
    return m->count++;
}

static void add_affixed(struct naive *m, const char *unit)
{
    char text[WORD_BYTES];
    for (int k = 0; k < 4; k++) {
        int n = snprintf(text, sizeof text, "%s%s%s", k & 1 ? m->prefix : "", unit,
                         k & 2 ? m->suffix : "");
        naive_add(m, text, (size_t)n);
    }
}

static void make_merge(struct rng *rng, struct naive *m)
{
    char text[2 * WORD_BYTES];
    size_t skip = strlen(m->prefix);
    int a = (int)rng_below(rng, (uint64_t)m->count), b = (int)rng_below(rng, (uint64_t)m->count);
    const struct word *x = &m->words[a], *y = &m->words[b];
    if (y->len <= skip || memcmp(y->text, m->prefix, skip) || x->len + y->len - skip > 24 ||
        x->text[0] == '<' || y->text[0] == '<')
        return;
    memcpy(text, x->text, x->len);
    memcpy(text + x->len, y->text + skip, y->len - skip);
    int result = naive_add(m, text, x->len + y->len - skip);
    if (result == NONE)
        return;
    m->left[m->merges] = a;
    m->right[m->merges] = b;
    m->result[m->merges++] = result;
}

static void make(struct rng *rng, struct naive *m)
{
    *m = (struct naive){.prefix = "", .suffix = "", .unk = NONE};
    m->byte_level = rng_below(rng, 3) == 0;
    m->as_strings = rng_below(rng, 2);
    m->ignore_merges = rng_below(rng, 3) == 0;
    if (m->byte_level) {
        for (int i = 0; i < 256; i++)
            naive_add(m, &(char){(char)i}, 1);
    } else {
        m->byte_fallback = rng_below(rng, 2);
        m->fuse_unk = rng_below(rng, 2);
        if (rng_below(rng, 3) == 0)
            m->prefix = "##";
        if (rng_below(rng, 3) == 0)
            m->suffix = "</w>";
        if (rng_below(rng, 4))
            m->unk = naive_add(m, "<unk>", 5);
        for (int i = 0; i < TOKEN_LETTERS; i++)
            if (rng_below(rng, 5))
                add_affixed(m, token_letters[i]);
        // Sometimes a byte is missing, so that some characters cannot fall back.
        for (int i = 0, gap = (int)rng_below(rng, 512); m->byte_fallback && i < 256; i++) {
            char name[8];
            snprintf(name, sizeof name, "<0x%02X>", (unsigned)i);
            if (i != gap)
                naive_add(m, name, 6);
        }
    }
    static const char pairs[] = "abcd\xc3\xa9_";
    // Of few words first, so that long ones arise.
    int tries = 20 + (int)rng_below(rng, 400), units = m->count;
    for (; tries > 0 && m->merges < MERGES && units; tries--) {
        if (m->byte_level && rng_below(rng, 2)) {
            int a = naive_find(m, &pairs[rng_below(rng, 7)], 1);
            int b = naive_find(m, &pairs[rng_below(rng, 7)], 1);
            char both[2] = {m->words[a].text[0], m->words[b].text[0]};
            m->left[m->merges] = a;
            m->right[m->merges] = b;
            m->result[m->merges++] = naive_add(m, both, 2);
            continue;
        }
        make_merge(rng, m);
    }
}

// GPT-2's alphabet, by its own recipe.
static uint32_t letter_of(unsigned char byte)
{
    uint32_t next = 256;
    for (unsigned b = 0; b < 256; b++) {
        bool printing = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        if (b == byte)
            return printing ? b : next;
        next += !printing;
    }
    return 0;
}

static size_t spell(const struct naive *m, int word, char *out)
{
    if (!m->byte_level) {
        memcpy(out, m->words[word].text, m->words[word].len);
        return m->words[word].len;
    }
    size_t len = 0;
    for (size_t i = 0; i < m->words[word].len; i++) {
        uint32_t code = letter_of((unsigned char)m->words[word].text[i]);
        if (code < 128) {
            out[len++] = (char)code;
        } else {
            out[len++] = (char)(0xc0 | code >> 6);
            out[len++] = (char)(0x80 | (code & 63));
        }
    }
    return len;
}

static void write_json(const struct naive *m, struct buf *b)
{
    char a[3 * WORD_BYTES], both[6 * WORD_BYTES];
    buf_reset(b);
    BUF_LIT(b, "{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":");
    buf_cstr(b, m->unk == NONE ? "null" : "\"<unk>\"");
    buf_printf(b, ",\"byte_fallback\":%s,\"fuse_unk\":%s,\"ignore_merges\":%s",
               m->byte_fallback ? "true" : "false", m->fuse_unk ? "true" : "false",
               m->ignore_merges ? "true" : "false");
    buf_printf(b, ",\"continuing_subword_prefix\":\"%s\",\"end_of_word_suffix\":\"%s\"", m->prefix,
               m->suffix);
    BUF_LIT(b, ",\"vocab\":{");
    for (int i = 0; i < m->count; i++) {
        buf_cstr(b, i ? "," : "");
        json_write_string(b, slice_make(a, spell(m, i, a)));
        buf_printf(b, ":%d", i);
    }
    BUF_LIT(b, "},\"merges\":[");
    for (int i = 0; i < m->merges; i++) {
        buf_cstr(b, i ? "," : "");
        size_t n = spell(m, m->left[i], both);
        if (m->as_strings) {
            both[n++] = ' ';
            n += spell(m, m->right[i], both + n);
            json_write_string(b, slice_make(both, n));
        } else {
            buf_byte(b, '[');
            json_write_string(b, slice_make(both, n));
            buf_byte(b, ',');
            json_write_string(b, slice_make(a, spell(m, m->right[i], a)));
            buf_byte(b, ']');
        }
    }
    BUF_LIT(b, "]}");
    assert_int_equal(buf_result(b), RESULT_OK);
}

struct symbol {
    int id;
    size_t len;
};

static int unit_length(const struct naive *m, const char *p)
{
    unsigned char c = (unsigned char)*p;
    return m->byte_level || c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

static bool naive_bytes(const struct naive *m, const char *text, size_t len, struct symbol *out,
                        int *count)
{
    int ids[WORD_BYTES];
    for (size_t i = 0; i < len; i++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)(unsigned char)text[i]);
        if ((ids[i] = naive_find(m, name, 6)) == NONE)
            return false;
    }
    for (size_t i = 0; i < len; i++)
        out[(*count)++] = (struct symbol){ids[i], 1};
    return true;
}

static int naive_symbols(const struct naive *m, struct slice piece, struct symbol *out)
{
    int count = 0;
    struct symbol waiting = {NONE, 0};
    for (size_t at = 0; at < piece.len;) {
        size_t n = (size_t)unit_length(m, piece.ptr + at);
        char text[WORD_BYTES] = "";
        size_t len = 0;
        if (at) {
            memcpy(text, m->prefix, strlen(m->prefix));
            len = strlen(m->prefix);
        }
        memcpy(text + len, piece.ptr + at, n);
        len += n;
        at += n;
        if (at == piece.len) {
            memcpy(text + len, m->suffix, strlen(m->suffix));
            len += strlen(m->suffix);
        }
        int id = naive_find(m, text, len);
        if (id != NONE) {
            if (waiting.len)
                out[count++] = waiting;
            waiting.len = 0;
            out[count++] = (struct symbol){id, n};
        } else if (m->byte_fallback && naive_bytes(m, text, len, out, &count)) {
            continue;
        } else if (m->unk != NONE) {
            if (waiting.len && !m->fuse_unk) {
                out[count++] = waiting;
                waiting.len = 0;
            }
            waiting = (struct symbol){m->unk, waiting.len + n};
        }
    }
    if (waiting.len)
        out[count++] = waiting;
    return count;
}

static int naive_encode(const struct naive *m, struct slice piece, struct symbol *s)
{
    int whole = m->ignore_merges ? naive_find(m, piece.ptr, piece.len) : NONE;
    if (whole != NONE) {
        s[0] = (struct symbol){whole, piece.len};
        return 1;
    }
    int n = naive_symbols(m, piece, s);
    for (;;) {
        int best = m->merges, at = NONE;
        for (int i = 0; i + 1 < n; i++) {
            int rank = m->merges; // the last one that names this pair
            for (int k = 0; k < m->merges; k++)
                if (m->left[k] == s[i].id && m->right[k] == s[i + 1].id)
                    rank = k;
            if (rank < best) {
                best = rank;
                at = i;
            }
        }
        if (at == NONE)
            return n;
        s[at] = (struct symbol){m->result[best], s[at].len + s[at + 1].len};
        memmove(s + at + 1, s + at + 2, (size_t)(n - at - 2) * sizeof *s);
        n--;
    }
}

static void check(const struct naive *m, const void *model, void *scratch, struct slice piece,
                  const char *json)
{
    struct symbol want[PIECE_LETTERS * 12];
    struct piece_tokens got = {0};
    int n = naive_encode(m, piece, want);
    // Once as it is made, once out of the cache.
    for (int again = 0; again < 2; again++) {
        size_t at = 0;
        got.count = 0;
        assert_int_equal(token_bpe.encode(model, scratch, piece, &got), RESULT_OK);
        if (got.count != (uint32_t)n)
            fail_msg("%u tokens, not %d: %.*s\n%s", got.count, n, SLICE_FMT(piece), json);
        for (int i = 0; i < n; i++) {
            size_t end = at + want[i].len < piece.len ? at + want[i].len : piece.len;
            if (got.at[i].id != (uint32_t)want[i].id || got.at[i].begin != at ||
                got.at[i].end != end)
                fail_msg("token %d is %u [%u, %u), not %d [%zu, %zu): %.*s\n%s", i, got.at[i].id,
                         got.at[i].begin, got.at[i].end, want[i].id, at, end, SLICE_FMT(piece),
                         json);
            at = end;
        }
    }
    alloc_free(got.at);
}

static void test_naive(void **state)
{
    (void)state;
    struct rng rng;
    struct naive *m = malloc(sizeof *m);
    struct buf json;
    rng_seed(&rng, 4);
    buf_init(&json, 1 << 20);
    for (int round = 0; round < 400; round++) {
        char problem[TOKENIZER_PROBLEM_BYTES] = "", piece[PIECE_LETTERS * 4];
        void *model, *scratch;
        make(&rng, m);
        write_json(m, &json);
        if (token_make_model(&token_bpe, buf_slice(&json), m->byte_level, problem, &model))
            fail_msg("%s\n%.*s", problem, SLICE_FMT(buf_slice(&json)));
        assert_int_equal(token_bpe.vocab(model), m->count);
        for (int i = 0; i < m->count; i += 7) {
            char spelt[3 * WORD_BYTES];
            assert_int_equal(token_bpe.find(model, slice_make(spelt, spell(m, i, spelt))), i);
        }
        assert_int_equal(token_bpe.find(model, SLICE("\n not a word")), UINT32_MAX);
        assert_int_equal(token_bpe.scratch_open(model, &scratch), RESULT_OK);
        buf_byte(&json, '\0');
        for (int i = 0; i < 40; i++) {
            size_t most = i % 4 ? 20 : PIECE_LETTERS - 1;
            unsigned letters = 2 + (unsigned)rng_below(&rng, TOKEN_LETTERS - 1);
            size_t len = token_make_text(&rng, piece, 1, most, letters);
            check(m, model, scratch, slice_make(piece, len), json.ptr);
        }
        token_bpe.scratch_close(scratch);
        token_bpe.close(model);
    }
    buf_deinit(&json);
    free(m);
}

// Two letters and many merges of them: long pieces have no place to be cut, and pairs in the heap grow stale.
static void test_heap(void **state)
{
    (void)state;
    struct rng rng;
    struct naive *m = malloc(sizeof *m);
    struct buf json;
    rng_seed(&rng, 6);
    buf_init(&json, 1 << 20);
    for (int round = 0; round < 300; round++) {
        char piece[PIECE_LETTERS * 4];
        void *model, *scratch;
        *m = (struct naive){.prefix = "", .suffix = "", .unk = NONE};
        naive_add(m, "a", 1);
        naive_add(m, "b", 1);
        for (int tries = 8 + (int)rng_below(&rng, 150); tries > 0 && m->merges < MERGES; tries--)
            make_merge(&rng, m);
        write_json(m, &json);
        assert_int_equal(token_make_model(&token_bpe, buf_slice(&json), false, NULL, &model),
                         RESULT_OK);
        assert_int_equal(token_bpe.scratch_open(model, &scratch), RESULT_OK);
        buf_byte(&json, '\0');
        for (int i = 0; i < 30; i++) {
            size_t len = token_make_text(&rng, piece, 25, PIECE_LETTERS - 1, 2);
            check(m, model, scratch, slice_make(piece, len), json.ptr);
        }
        token_bpe.scratch_close(scratch);
        token_bpe.close(model);
    }
    buf_deinit(&json);
    free(m);
}

// A word of the vocabulary that no merge makes is taken whole as a piece, and spelt as a part of a longer one.
static void test_whole_words(void **state)
{
    (void)state;
    enum { REPEAT = 9 };
    static const char json[] =
        "{\"ignore_merges\":true,\"merges\":[\"a b\",\"a a\"],\"vocab\":{\"a\":0,"
        "\"b\":1,\"ab\":2,\"c\":3,\"aa\":4,\"aab\":5}}";
    void *model, *scratch;
    struct piece_tokens got = {0};
    char piece[4 * REPEAT];
    for (int i = 0; i < REPEAT; i++)
        memcpy(piece + 4 * (size_t)i, "aabc", 4);
    assert_int_equal(token_make_model(&token_bpe, SLICE(json), false, NULL, &model), RESULT_OK);
    assert_int_equal(token_bpe.scratch_open(model, &scratch), RESULT_OK);
    for (int again = 0; again < 2; again++) {
        got.count = 0;
        assert_int_equal(token_bpe.encode(model, scratch, SLICE("aab"), &got), RESULT_OK);
        assert_int_equal(got.count, 1);
        assert_int_equal(got.at[0].id, 5);
        // Cut before and behind each c.
        got.count = 0;
        assert_int_equal(token_bpe.encode(model, scratch, slice_make(piece, sizeof piece), &got),
                         RESULT_OK);
        assert_int_equal(got.count, 3 * REPEAT);
        for (uint32_t i = 0; i < got.count; i++)
            assert_int_equal(got.at[i].id, i % 3 == 0 ? 0 : i % 3 == 1 ? 2 : 3);
    }
    alloc_free(got.at);
    token_bpe.scratch_close(scratch);
    token_bpe.close(model);
}

#define AAAA                                                                                       \
    "{\"vocab\":{\"a\":0,\"aa\":1,\"aaaa\":2,\"aaaaaaaa\":3,\"b\":4},\"merges\":[\"a a\",\"aa "    \
    "aa\",\"aaaa aaaa\"]}"

// A piece of one letter has no place to be cut; its pairs go through the heap.
static void test_one_letter(void **state)
{
    (void)state;
    enum { BYTES = (1 << 20) + 5 };
    void *model, *scratch;
    struct piece_tokens got = {0};
    char *text = malloc(BYTES);
    memset(text, 'a', BYTES);
    assert_int_equal(token_make_model(&token_bpe, SLICE(AAAA), false, NULL, &model), RESULT_OK);
    assert_int_equal(token_bpe.scratch_open(model, &scratch), RESULT_OK);
    assert_int_equal(token_bpe.encode(model, scratch, slice_make(text, BYTES), &got), RESULT_OK);
    assert_int_equal(got.count, BYTES / 8 + 2);
    for (uint32_t i = 0; i < BYTES / 8; i++)
        assert_true(got.at[i].id == 3 && got.at[i].begin == 8 * i && got.at[i].end == 8 * i + 8);
    assert_int_equal(got.at[BYTES / 8].id, 2);
    assert_int_equal(got.at[BYTES / 8 + 1].id, 0);
    alloc_free(got.at);
    token_bpe.scratch_close(scratch);
    token_bpe.close(model);
    free(text);
}

#define MODEL(vocab, merges) "{\"vocab\":{" vocab "},\"merges\":[" merges "]}"

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        bool byte_level;
        enum result result;
        const char *named;
    } cases[] = {
        {"[]", false, RESULT_SYNTAX, "object"},
        {"{\"merges\":[]}", false, RESULT_SYNTAX, "vocab"},
        {"{\"vocab\":[],\"merges\":[]}", false, RESULT_SYNTAX, "vocab"},
        {"{\"vocab\":{}}", false, RESULT_SYNTAX, "merges"},
        {MODEL("\"a\":-1", ""), false, RESULT_SYNTAX, "id"},
        {MODEL("\"a\":\"1\"", ""), false, RESULT_SYNTAX, "id"},
        {MODEL("\"a\":1048576", ""), false, RESULT_SYNTAX, "id"},
        {MODEL("\"a\":0", "\"a b\""), false, RESULT_SYNTAX, "vocab lacks"},
        {MODEL("\"a\":0", "\"a a\""), false, RESULT_SYNTAX, "result vocab lacks"},
        {MODEL("\"a\":0", "\"aa\""), false, RESULT_SYNTAX, "pair"},
        {MODEL("\"a\":0", "\"a a a\""), false, RESULT_SYNTAX, "pair"},
        {MODEL("\"a\":0", "[\"a\"]"), false, RESULT_SYNTAX, "pair"},
        {MODEL("\"a\":0", "[\"a\",\"a\",\"a\"]"), false, RESULT_SYNTAX, "pair"},
        {MODEL("\"a\":0", "[\"a\",0]"), false, RESULT_SYNTAX, "string"},
        {MODEL("\"a\":0", "7"), false, RESULT_SYNTAX, "string"},
        {"{\"dropout\":0.1,\"vocab\":{},\"merges\":[]}", false, RESULT_UNSUPPORTED, "dropout"},
        {"{\"unk_token\":\"u\",\"vocab\":{},\"merges\":[]}", false, RESULT_SYNTAX, "unk_token"},
        {"{\"unk_token\":7,\"vocab\":{},\"merges\":[]}", false, RESULT_SYNTAX, "string"},
        {"{\"end_of_word_suffix\":7,\"vocab\":{},\"merges\":[]}", false, RESULT_SYNTAX, "string"},
        {"{\"continuing_subword_prefix\":\"##\",\"vocab\":{\"a\":0},\"merges\":[\"a a\"]}", false,
         RESULT_SYNTAX, "prefix"},
        {"{\"continuing_subword_prefix\":\"##\",\"vocab\":{},\"merges\":[]}", true,
         RESULT_UNSUPPORTED, "continuing_subword_prefix"},
        {"{\"byte_fallback\":true,\"vocab\":{},\"merges\":[]}", true, RESULT_UNSUPPORTED,
         "byte_fallback"},
    };
    for (unsigned i = 0; i < MERIT_COUNT(cases); i++) {
        char problem[TOKENIZER_PROBLEM_BYTES] = "";
        void *model;
        assert_int_equal(token_make_model(&token_bpe, slice_cstr(cases[i].json),
                                          cases[i].byte_level, problem, &model),
                         cases[i].result);
        assert_null(model);
        if (!strstr(problem, cases[i].named))
            fail_msg("case %u: '%s' does not name %s", i, problem, cases[i].named);
    }
}

// Words outside the byte-level alphabet are found by their spelling and nothing else.
static void test_odd_words(void **state)
{
    (void)state;
    static const char json[] = "{\"merges\":[],\"vocab\":{\" \":0,\"\xc4\xa0\":1,\"<x y>\":2,"
                               "\"#version\":3,\"a\":4}}";
    void *model, *scratch;
    struct piece_tokens got = {0};
    assert_int_equal(token_make_model(&token_bpe, SLICE(json), true, NULL, &model), RESULT_OK);
    assert_int_equal(token_bpe.find(model, SLICE(" ")), 0);
    assert_int_equal(token_bpe.find(model, SLICE("\xc4\xa0")), 1);
    assert_int_equal(token_bpe.find(model, SLICE("<x y>")), 2);
    assert_int_equal(token_bpe.find(model, SLICE("\xff")), UINT32_MAX);
    assert_int_equal(token_bpe.scratch_open(model, &scratch), RESULT_OK);
    assert_int_equal(token_bpe.encode(model, scratch, SLICE(" a"), &got), RESULT_OK);
    assert_int_equal(got.count, 2);
    assert_int_equal(got.at[0].id, 1);
    assert_int_equal(got.at[1].id, 4);
    alloc_free(got.at);
    token_bpe.scratch_close(scratch);
    token_bpe.close(model);
}

static enum result encode_once(const char *json, bool byte_level, struct slice piece)
{
    void *model = NULL, *scratch = NULL;
    struct piece_tokens got = {0};
    enum result r = token_make_model(&token_bpe, slice_cstr(json), byte_level, NULL, &model);
    if (!r)
        r = token_bpe.scratch_open(model, &scratch);
    if (!r)
        r = token_bpe.encode(model, scratch, piece, &got);
    alloc_free(got.at);
    token_bpe.scratch_close(scratch);
    token_bpe.close(model);
    return r;
}

static void test_no_memory(void **state)
{
    (void)state;
    static const char affixed[] =
        "{\"continuing_subword_prefix\":\"##\",\"end_of_word_suffix\":\"</w>\",\"unk_token\":\"u\","
        "\"vocab\":{\"a\":0,\"##a\":1,\"##a</w>\":2,\"aa\":3,\"u\":4},\"merges\":[\"a ##a\"]}";
    char piece[3000];
    memset(piece, 'a', sizeof piece);
    for (int k = 0; k < 3; k++) {
        enum result r = RESULT_NOMEM;
        for (uint64_t n = 1; r != RESULT_OK; n++) {
            alloc_fail_at(n, 0);
            r = encode_once(k == 2 ? affixed : AAAA, k == 1, slice_make(piece, sizeof piece));
            alloc_fail_at(0, 0);
            assert_true(r == RESULT_OK || r == RESULT_NOMEM);
            assert_true(n < 200);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_naive),       cmocka_unit_test(test_heap),
        cmocka_unit_test(test_whole_words), cmocka_unit_test(test_one_letter),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_odd_words),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
