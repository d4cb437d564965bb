// Tokenizers made in the test: each rule by itself, beside naive versions of the algorithms, hostile files and texts.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/rng.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

#define BERT_SPLIT "{\"type\":\"BertPreTokenizer\"}"
#define WORDS "{\"type\":\"WhitespaceSplit\"}"
#define LOWER "{\"type\":\"Lowercase\"}"
#define NONE "null"

// A WordPiece tokenizer whose tokens are the words of `vocab`, numbered in order.
static struct slice make_json(struct buf *b, const char *vocab, const char *normalizer,
                              const char *pre, const char *post, const char *added)
{
    buf_init(b, 1 << 22);
    buf_printf(
        b, "{\"version\":\"1.0\",\"truncation\":{\"max_length\":2},\"padding\":{\"pad_id\":0},");
    buf_printf(b, "\"added_tokens\":[%s],\"normalizer\":%s,\"pre_tokenizer\":%s,", added,
               normalizer, pre);
    buf_printf(b, "\"post_processor\":%s,\"model\":{\"type\":\"WordPiece\",", post);
    buf_printf(b, "\"unk_token\":\"[UNK]\",\"vocab\":{");
    struct slice rest = slice_cstr(vocab), word;
    for (unsigned id = 0; slice_split(&rest, ' ', &word); id++) {
        buf_printf(b, "%s\"%.*s\":%u", id ? "," : "", SLICE_FMT(word), id);
    }
    BUF_LIT(b, "}}}");
    assert_int_equal(buf_result(b), RESULT_OK);
    return buf_slice(b);
}

static struct tokenizer *make(const char *vocab, const char *normalizer, const char *pre,
                              const char *post, const char *added)
{
    struct buf b;
    struct tokenizer *t = NULL;
    char problem[TOKENIZER_PROBLEM_BYTES];
    enum result r = tokenizer_open(make_json(&b, vocab, normalizer, pre, post, added), problem, &t);
    if (r)
        fail_msg("%s: %s", result_name(r), problem);
    buf_deinit(&b);
    return t;
}

// "id:begin-end" of each token; with `full` also ".type" and "*" for what was inserted.
static const char *show(const struct tokenizer *t, struct slice text, struct slice pair,
                        struct tokenizer_options options, bool full)
{
    static char out[65536];
    struct tokenizer_scratch *s;
    const struct token *tokens;
    uint32_t count;
    assert_int_equal(tokenizer_scratch_open(t, &s), RESULT_OK);
    enum result r = tokenizer_encode(t, s, text, pair, &options, &tokens, &count);
    size_t len = 0;
    out[0] = 0;
    if (r)
        snprintf(out, sizeof out, "%s", result_name(r));
    for (uint32_t i = 0; !r && i < count; i++) {
        len += (size_t)snprintf(out + len, sizeof out - len, "%s%u:%u-%u", i ? " " : "",
                                tokens[i].id, tokens[i].begin, tokens[i].end);
        if (full)
            len += (size_t)snprintf(out + len, sizeof out - len, "/%u.%u%s", tokens[i].sequence,
                                    tokens[i].type, tokens[i].special ? "*" : "");
    }
    tokenizer_scratch_close(s);
    return out;
}

#define EXPECT(t, text, wanted)                                                                    \
    assert_string_equal(show(t, slice_make(text, sizeof(text) - 1), SLICE_EMPTY,                   \
                             (struct tokenizer_options){0}, false),                                \
                        wanted)

static void words_are_cut_greedily(void **state)
{
    (void)state;
    struct tokenizer *t =
        make("[UNK] un ##aff ##able ##ab affable a ##a ##ff ##b \xc3\xa9 ##\xc3\xa9", NONE, WORDS,
             NONE, "");
    EXPECT(t, "unaffable", "1:0-2 2:2-5 3:5-9");
    EXPECT(t, "  affable\tun ", "5:2-9 1:10-12");
    // The longest match is taken although what is left is unknown then.
    EXPECT(t, "unaffabl", "0:0-8");
    EXPECT(t, "unaffab", "1:0-2 2:2-5 4:5-7");
    EXPECT(t, "xun", "0:0-3");
    EXPECT(t, "\xc3\xa9\xc3\xa9", "10:0-2 11:2-4");
    EXPECT(t, "", "");
    EXPECT(t, " ", "");
    assert_int_equal(tokenizer_vocab(t), 12);
    assert_int_equal(tokenizer_id(t, SLICE("##able")), 3);
    assert_int_equal(tokenizer_id(t, SLICE("able")), UINT32_MAX);
    tokenizer_close(t);
}

// What the reference does, with a search for every substring.
static uint32_t naive_wordpiece(char (*vocab)[16], uint32_t count, const char *word, uint32_t *ids)
{
    uint32_t n = 0;
    for (size_t at = 0, len = strlen(word); at < len;) {
        size_t end = len;
        uint32_t id = UINT32_MAX;
        for (; end > at && id == UINT32_MAX; end--) {
            char sub[64];
            snprintf(sub, sizeof sub, "%s%.*s", at ? "##" : "", (int)(end - at), word + at);
            for (uint32_t i = 1; i < count; i++) {
                if (strcmp(vocab[i], sub) == 0)
                    id = i;
            }
            if (id != UINT32_MAX)
                break;
        }
        if (id == UINT32_MAX) {
            ids[0] = 0;
            return 1;
        }
        ids[n++] = id;
        at = end;
    }
    return n;
}

static void words_are_cut_as_by_search(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 7);
    for (unsigned round = 0; round < 60; round++) {
        char vocab[40][16] = {"[UNK]"};
        uint32_t count = 1;
        struct buf b;
        buf_init(&b, 1 << 16);
        BUF_LIT(&b, "[UNK]");
        for (unsigned i = 0; i < 30; i++) {
            char token[16] = "";
            size_t len = 0;
            if (rng_below(&rng, 3))
                len = (size_t)snprintf(token, sizeof token, "##");
            for (uint64_t k = 1 + rng_below(&rng, 1 + round % 7); k; k--)
                token[len++] = "abc#"[rng_below(&rng, round % 2 ? 2 : 4)];
            token[len] = 0;
            bool known = false;
            for (uint32_t k = 0; k < count; k++)
                known |= strcmp(vocab[k], token) == 0;
            if (known)
                continue;
            snprintf(vocab[count++], sizeof vocab[0], "%s", token);
            buf_printf(&b, " %s", token);
        }
        buf_byte(&b, 0);
        struct tokenizer *t = make(b.ptr, NONE, WORDS, NONE, "");
        buf_deinit(&b);
        for (unsigned i = 0; i < 200; i++) {
            char word[32] = "", wanted[4096] = "";
            size_t len = 1 + rng_below(&rng, 20), at = 0, shown = 0;
            for (size_t k = 0; k < len; k++)
                word[k] = "abc#"[rng_below(&rng, round % 2 ? 2 : 4)];
            uint32_t ids[32], n = naive_wordpiece(vocab, count, word, ids);
            for (uint32_t k = 0; k < n; k++) {
                size_t size = ids[k] ? strlen(vocab[ids[k]]) - (at ? 2 : 0) : len;
                shown += (size_t)snprintf(wanted + shown, sizeof wanted - shown, "%s%u:%zu-%zu",
                                          k ? " " : "", ids[k], at, at + size);
                at += size;
            }
            assert_string_equal(
                show(t, slice_cstr(word), SLICE_EMPTY, (struct tokenizer_options){0}, false),
                wanted);
        }
        tokenizer_close(t);
    }
}

static void long_words_are_unknown(void **state)
{
    (void)state;
    struct tokenizer *t = make("[UNK] a ##a \xc3\xa9 ##\xc3\xa9", NONE, WORDS, NONE, "");
    char word[400], wanted[32];
    memset(word, 'a', sizeof word);
    const char *shown =
        show(t, slice_make(word, 100), SLICE_EMPTY, (struct tokenizer_options){0}, false);
    assert_true(strncmp(shown, "1:0-1 2:1-2 ", 12) == 0);
    snprintf(wanted, sizeof wanted, "0:0-101");
    assert_string_equal(
        show(t, slice_make(word, 101), SLICE_EMPTY, (struct tokenizer_options){0}, false), wanted);
    for (size_t i = 0; i < 200; i += 2)
        memcpy(word + i, "\xc3\xa9", 2);
    shown = show(t, slice_make(word, 200), SLICE_EMPTY, (struct tokenizer_options){0}, false);
    assert_true(strncmp(shown, "3:0-2 4:2-4 ", 12) == 0);
    tokenizer_close(t);
}

static void what_is_no_utf8_is_a_replacement(void **state)
{
    (void)state;
    struct tokenizer *t = make("[UNK] a ##a \xef\xbf\xbd ##\xef\xbf\xbd ##b", NONE, WORDS, NONE,
                               "{\"id\":6,\"content\":\"<x>\",\"special\":true}");
    EXPECT(t,
           "a\xff"
           "b",
           "1:0-1 4:1-2 5:2-3");
    EXPECT(t, "\xe2\x82 a", "3:0-1 4:1-2 1:3-4");
    EXPECT(t, "\xf0\x9f\x92\xa9", "0:0-4");
    EXPECT(t, "a\xff<x>\xff", "1:0-1 4:1-2 6:2-5 3:5-6");
    EXPECT(t, "\xed\xa0\x80", "3:0-1 4:1-2 4:2-3");
    tokenizer_close(t);
}

#define ADDED(id, content, rules) "{\"id\":" #id ",\"content\":\"" content "\"" rules "}"
#define RAW ",\"normalized\":false"

static void added_tokens_keep_their_rules(void **state)
{
    (void)state;
    struct tokenizer *t = make(
        "[UNK] a b ab", NONE, WORDS, NONE,
        ADDED(4, "<m>", RAW ",\"lstrip\":true") "," ADDED(
            5, "<r>",
            RAW
            ",\"rstrip\":true") "," ADDED(6, "<mm>",
                                          RAW) "," ADDED(7, "one",
                                                         RAW
                                                         ",\"single_word\":true") "," ADDED(8,
                                                                                            "<m><"
                                                                                            "m>",
                                                                                            RAW));
    EXPECT(t, "a <m> b", "1:0-1 4:1-5 2:6-7");
    EXPECT(t, "a <r>  b", "1:0-1 5:2-7 2:7-8");
    EXPECT(t, "<m><m><m>", "8:0-6 4:6-9");
    EXPECT(t, "<m><mm>", "4:0-3 6:3-7");
    EXPECT(t, "one", "7:0-3");
    EXPECT(t, "ab one", "3:0-2 7:3-6");
    EXPECT(t, "aone one_ one", "0:0-4 0:5-9 7:10-13");
    EXPECT(t, "\xc3\xa9one", "0:0-5");
    // Space that one took in behind it is not taken again by the next one.
    EXPECT(t, "<r>  <m>", "5:0-5 4:5-8");
    EXPECT(t, "\xe3\x80\x80<m>", "4:0-6");
    // The model's id holds where it has the token, and the last of equal contents counts.
    struct tokenizer *u =
        make("[UNK] a b", NONE, WORDS, NONE,
             ADDED(9, "b", RAW) "," ADDED(7, "c", RAW ",\"lstrip\":true") "," ADDED(7, "c", RAW));
    EXPECT(u, "ab c", "1:0-1 2:1-2 7:3-4");
    assert_int_equal(tokenizer_id(u, SLICE("c")), 7);
    assert_int_equal(tokenizer_vocab(u), 8);
    tokenizer_close(u);
    tokenizer_close(t);
}

static void normalized_tokens_are_found_in_normalised_text(void **state)
{
    (void)state;
    struct tokenizer *t = make("[UNK] a", LOWER, WORDS, NONE,
                               ADDED(2, "Day", ",\"normalized\":true") "," ADDED(3, "Dawn", RAW));
    EXPECT(t, "DAY a day", "2:0-3 1:4-5 2:6-9");
    EXPECT(t, "dawn Dawn", "0:0-4 3:5-9");
    tokenizer_close(t);
}

// All matches by trying every token at every place.
static void naive_added(struct slice text, char (*tokens)[16], uint32_t count, char *out)
{
    size_t at = 0, len = 0;
    out[0] = 0;
    while (at < text.len) {
        uint32_t best = UINT32_MAX;
        for (uint32_t i = 0; i < count; i++) {
            size_t n = strlen(tokens[i]);
            if (slice_starts_with(slice_from(text, at), slice_cstr(tokens[i])) &&
                (best == UINT32_MAX || n > strlen(tokens[best])))
                best = i;
        }
        if (best == UINT32_MAX) {
            at++;
            continue;
        }
        len += (size_t)sprintf(out + len, "%s%u:%zu-%zu", len ? " " : "", best + 1, at,
                               at + strlen(tokens[best]));
        at += strlen(tokens[best]);
    }
}

static void added_tokens_are_found_as_by_search(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 11);
    for (unsigned round = 0; round < 100; round++) {
        char tokens[12][16];
        uint32_t count = 0;
        struct buf b;
        buf_init(&b, 1 << 16);
        for (unsigned i = 0; i < 12; i++) {
            char token[16] = "";
            for (uint64_t k = 0, n = 1 + rng_below(&rng, 6); k < n; k++)
                token[k] = "xyz"[rng_below(&rng, 2 + round % 2)];
            bool known = false;
            for (uint32_t k = 0; k < count; k++)
                known |= strcmp(tokens[k], token) == 0;
            if (known)
                continue;
            snprintf(tokens[count++], sizeof tokens[0], "%s", token);
            buf_printf(&b, "%s{\"id\":%u,\"content\":\"%s\",\"special\":true}",
                       count > 1 ? "," : "", count, token);
        }
        buf_byte(&b, 0);
        // Text between tokens is white space to the pre-tokeniser, so that only the tokens are left.
        struct tokenizer *t = make("[UNK]",
                                   "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"[xyz]\"},"
                                   "\"content\":\" \"}",
                                   WORDS, NONE, b.ptr);
        buf_deinit(&b);
        for (unsigned i = 0; i < 50; i++) {
            char text[64] = "", wanted[4096];
            for (uint64_t k = 0, n = rng_below(&rng, 60); k < n; k++)
                text[k] = "xyz"[rng_below(&rng, 2 + round % 2)];
            naive_added(slice_cstr(text), tokens, count, wanted);
            assert_string_equal(
                show(t, slice_cstr(text), SLICE_EMPTY, (struct tokenizer_options){0}, false),
                wanted);
        }
        tokenizer_close(t);
    }
}

#define TEMPLATE                                                                                   \
    "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"C\",\"type_id\":0}}" \
    ","                                                                                            \
    "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"S\",\"type_id\":0}}]" \
    ","                                                                                            \
    "\"pair\":[{\"SpecialToken\":{\"id\":\"C\",\"type_id\":0}},"                                   \
    "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"S\",\"type_id\":1}}," \
    "{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}],\"special_tokens\":{"                            \
    "\"C\":{\"id\":\"C\",\"ids\":[1],\"tokens\":[\"C\"]},"                                         \
    "\"S\":{\"id\":\"S\",\"ids\":[2,3],\"tokens\":[\"S\",\"T\"]}}}"

static void templates_frame_texts(void **state)
{
    (void)state;
    static const char *const posts[] = {
        TEMPLATE,
        "{\"type\":\"BertProcessing\",\"cls\":[\"C\",1],\"sep\":[\"S\",2]}",
        "{\"type\":\"RobertaProcessing\",\"cls\":[\"C\",1],\"sep\":[\"S\",2],\"trim_offsets\":"
        "false}",
        "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\",\"trim_offsets\":false}]}",
    };
    static const char *const wanted[][3] = {
        {"1:0-0/0.0* 4:0-1/0.0 2:0-0/0.0* 3:0-0/0.0*",
         "1:0-0/0.0* 4:0-1/0.0 2:0-0/0.1* 3:0-0/0.1* 5:1-2/1.1", "4:0-1/0.0 5:1-2/1.1"},
        {"1:0-0/0.0* 4:0-1/0.0 2:0-0/0.0*", "1:0-0/0.0* 4:0-1/0.0 2:0-0/0.0* 5:1-2/1.1 2:0-0/0.1*",
         "4:0-1/0.0 5:1-2/1.1"},
        {"1:0-0/0.0* 4:0-1/0.0 2:0-0/0.0*",
         "1:0-0/0.0* 4:0-1/0.0 2:0-0/0.0* 2:0-0/0.0* 5:1-2/1.0 2:0-0/0.0*", "4:0-1/0.0 5:1-2/1.0"},
        {"4:0-1/0.0", "4:0-1/0.0 5:1-2/1.1", "4:0-1/0.0 5:1-2/1.1"},
    };
    for (unsigned i = 0; i < MERIT_COUNT(posts); i++) {
        struct tokenizer *t = make("[UNK] C S T a b", NONE, WORDS, posts[i], "");
        struct tokenizer_options with = {0}, bare = {.bare = true};
        assert_string_equal(show(t, SLICE("a"), SLICE_EMPTY, with, true), wanted[i][0]);
        assert_string_equal(show(t, SLICE("a"), SLICE(" b"), with, true), wanted[i][1]);
        assert_string_equal(show(t, SLICE("a"), SLICE(" b"), bare, true), wanted[i][2]);
        const struct token *before, *behind;
        uint32_t heads, tails;
        tokenizer_frame(t, &before, &heads, &behind, &tails);
        assert_int_equal(heads, i < 3);
        assert_int_equal(tails, i == 0 ? 2 : i < 3);
        if (heads)
            assert_true(before[0].id == 1 && before[0].special && behind[0].id == 2);
        tokenizer_close(t);
    }
}

static void places_are_trimmed(void **state)
{
    (void)state;
    static const char json[] =
        "{\"added_tokens\":[{\"id\":4,\"content\":\"<m>\",\"special\":true,\"lstrip\":true}],"
        "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"use_regex\":true},"
        "\"post_processor\":{\"type\":\"ByteLevel\",\"add_prefix_space\":%s,\"trim_offsets\":%s},"
        "\"model\":{\"type\":\"BPE\",\"vocab\":{\"\xc4\xa0\":0,\"a\":1,\"\xc4\xa0"
        "a\":2,\"b\":3},"
        "\"merges\":[\"\xc4\xa0 a\"]}}";
    static const char *const settings[][3] = {
        {"true", "false", "2:0-1 0:1-2 2:2-4 4:4-9 0:9-10 3:9-10"},
        // Nothing is taken off the space that was put before the text.
        {"true", "true", "2:0-1 0:2-2 2:3-4 4:6-9 0:10-10 3:9-10"},
        {"false", "true", "2:1-1 0:2-2 2:3-4 4:6-9 0:10-10 3:9-10"},
    };
    for (unsigned i = 0; i < MERIT_COUNT(settings); i++) {
        char text[1024];
        struct tokenizer *t;
        snprintf(text, sizeof text, json, settings[i][0], settings[i][1]);
        assert_int_equal(tokenizer_open(slice_cstr(text), NULL, &t), RESULT_OK);
        EXPECT(t, "a  a  <m>b", settings[i][2]);
        tokenizer_close(t);
    }
}

// Takes one token away at a time from the longer text, from the second where they are equal.
static void naive_truncate(uint32_t max, uint32_t *a, uint32_t *b)
{
    bool swap = *a > *b;
    uint32_t *shorter = swap ? b : a, *longer = swap ? a : b;
    while (*a + *b > max) {
        if (*longer > *shorter)
            --*longer;
        else
            --*shorter;
    }
}

static void pairs_are_cut_longest_first(void **state)
{
    (void)state;
    struct tokenizer *t = make("[UNK] C S T a b", NONE, WORDS, TEMPLATE, "");
    struct tokenizer_scratch *s;
    assert_int_equal(tokenizer_scratch_open(t, &s), RESULT_OK);
    char text[64];
    for (unsigned i = 0; i < sizeof text; i += 2)
        memcpy(text + i, "a ", 2);
    for (uint32_t a = 0; a < 12; a++) {
        for (uint32_t b = 0; b < 12; b++) {
            for (uint32_t max = 3; max < 30; max++) {
                const struct token *tokens;
                uint32_t count, want_a = a, want_b = b, got[2] = {0};
                naive_truncate(max - 3, &want_a, &want_b);
                assert_int_equal(
                    tokenizer_encode(t, s, slice_make(text, a * 2), slice_make(text, b * 2),
                                     &(struct tokenizer_options){.max_tok = max}, &tokens, &count),
                    RESULT_OK);
                for (uint32_t i = 0; i < count; i++) {
                    if (!tokens[i].special)
                        got[tokens[i].sequence]++;
                }
                assert_int_equal(got[0], want_a);
                assert_int_equal(got[1], want_b);
                assert_true(count <= max);
            }
        }
    }
    assert_string_equal(
        show(t, SLICE("a a a"), SLICE_EMPTY, (struct tokenizer_options){.max_tok = 5}, false),
        "1:0-0 4:0-1 4:2-3 2:0-0 3:0-0");
    assert_string_equal(
        show(t, SLICE("a"), SLICE_EMPTY, (struct tokenizer_options){.max_tok = 2}, false), "limit");
    assert_string_equal(show(t, SLICE("a a"), SLICE_EMPTY,
                             (struct tokenizer_options){.max_tok = 1, .bare = true}, false),
                        "4:0-1");
    tokenizer_scratch_close(s);
    tokenizer_close(t);
}

static void refused(enum result wanted, const char *says, const char *json)
{
    char problem[TOKENIZER_PROBLEM_BYTES];
    struct tokenizer *t = NULL;
    enum result r = tokenizer_open(slice_cstr(json), problem, &t);
    if (r != wanted || !strstr(problem, says))
        fail_msg("%s: %s, \"%s\" (wanted %s, \"%s\")", json, result_name(r), problem,
                 result_name(wanted), says);
    assert_null(t);
    assert_int_equal(tokenizer_open(slice_cstr(json), NULL, &t), wanted);
}

#define MODEL "\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"[UNK]\":0,\"a\":1}}"

static void bad_files_are_named(void **state)
{
    (void)state;
    refused(RESULT_SYNTAX, "not JSON", "");
    refused(RESULT_SYNTAX, "not JSON at byte 9", "{\"model\":}");
    refused(RESULT_SYNTAX, "no object", "[]");
    refused(RESULT_SYNTAX, "no model", "{}");
    refused(RESULT_UNSUPPORTED, "version", "{\"version\":\"2.0\"," MODEL "}");
    refused(RESULT_UNSUPPORTED, "model WordLevel",
            "{\"model\":{\"type\":\"WordLevel\",\"vocab\":{}}}");
    refused(RESULT_SYNTAX, "vocab is missing", "{\"model\":{\"type\":\"WordPiece\"}}");
    refused(RESULT_SYNTAX, "vocab is empty", "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{}}}");
    refused(RESULT_SYNTAX, "an id that is none",
            "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"[UNK]\":-1}}}");
    refused(RESULT_SYNTAX, "an id that is none",
            "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"[UNK]\":4294967296}}}");
    refused(RESULT_SYNTAX, "unk_token", "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":0}}}");
    refused(RESULT_UNSUPPORTED, "normalizer Other",
            "{\"normalizer\":{\"type\":\"Other\"}," MODEL "}");
    refused(RESULT_SYNTAX, "Sequence has no list",
            "{\"normalizer\":{\"type\":\"Sequence\"}," MODEL "}");
    refused(RESULT_UNSUPPORTED, "expression (a|b)",
            "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"(a|b)\"},\"content\":"
            "\"\"}," MODEL "}");
    refused(RESULT_SYNTAX, "no pattern",
            "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"\"}"
            "," MODEL "}");
    refused(RESULT_SYNTAX, "\"content\" is no string",
            "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"}}," MODEL "}");
    refused(RESULT_SYNTAX, "neither true nor false",
            "{\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":1}," MODEL "}");
    refused(RESULT_SYNTAX, "added_tokens is no list", "{\"added_tokens\":{}," MODEL "}");
    refused(RESULT_SYNTAX, "\"content\" is no string", "{\"added_tokens\":[1]," MODEL "}");
    refused(RESULT_SYNTAX, "an added token has an id",
            "{\"added_tokens\":[{\"content\":\"x\"}]," MODEL "}");
    refused(RESULT_UNSUPPORTED, "post_processor Other",
            "{\"post_processor\":{\"type\":\"Other\"}," MODEL "}");
    refused(RESULT_SYNTAX, "outside the vocabulary",
            "{\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"a\",1],\"sep\":[\"b\",2]}"
            "," MODEL "}");
    refused(RESULT_SYNTAX, "no special token S",
            "{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{"
            "\"id\":\"S\","
            "\"type_id\":0}}],\"pair\":[],\"special_tokens\":{}}," MODEL "}");
    refused(RESULT_SYNTAX, "names no text",
            "{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{"
            "\"id\":\"B\","
            "\"type_id\":0}}],\"pair\":[],\"special_tokens\":{}}," MODEL "}");
    refused(RESULT_UNSUPPORTED, "two templates",
            "{\"post_processor\":{\"type\":\"Sequence\",\"processors\":[{\"type\":"
            "\"BertProcessing\",\"cls\":"
            "[\"a\",1],\"sep\":[\"b\",1]},{\"type\":\"BertProcessing\",\"cls\":[\"a\",1],\"sep\":["
            "\"b\",1]}]}," MODEL "}");
    char *deep = alloc_bytes(4096);
    assert_non_null(deep);
    memset(deep, '[', 4095);
    deep[4095] = 0;
    refused(RESULT_SYNTAX, "depth", deep);
    alloc_free(deep);
}

static void many_steps_are_refused(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    BUF_LIT(&b, "{" MODEL ",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[" LOWER);
    for (unsigned i = 0; i < 32; i++)
        BUF_LIT(&b, "," LOWER);
    BUF_LIT(&b, "]}}");
    buf_byte(&b, 0);
    refused(RESULT_LIMIT, "more than 32 normalizers", b.ptr);
    buf_reset(&b);
    BUF_LIT(&b, "{" MODEL ",\"added_tokens\":[{\"id\":5,\"content\":\"");
    for (unsigned i = 0; i < 4097; i++)
        buf_byte(&b, 'x');
    BUF_LIT(&b, "\"}]}");
    buf_byte(&b, 0);
    refused(RESULT_LIMIT, "longer than 4096 bytes", b.ptr);
    buf_deinit(&b);
}

#define RICH                                                                                       \
    "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKC\"},{\"type\":\"Prepend\","           \
    "\"prepend\":"                                                                                 \
    "\"ab\"},{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"bb\"},{\"type\":"  \
    "\"BertNormalizer\"}]}"
#define RICH_TOKENS                                                                                \
    ADDED(20, "<x>", RAW ",\"lstrip\":true") "," ADDED(21, "Q\xc3\x89", ",\"normalized\":true")

static void every_allocation_may_fail(void **state)
{
    (void)state;
    static const char text[] = "Ab <x>\xef\xac\x81 e\xcc\x81\xcc\xa7 q\xc3\x89 \xff\xe4\xb8\xad b";
    struct buf b;
    struct slice json = make_json(&b, "[UNK] C S T a b ##b fi e \xe4\xb8\xad", RICH, BERT_SPLIT,
                                  TEMPLATE, RICH_TOKENS);
    enum result r = RESULT_NOMEM;
    uint64_t n = 1;
    for (; r != RESULT_OK; n++) {
        struct tokenizer *t = NULL;
        struct tokenizer_scratch *s = NULL;
        const struct token *tokens;
        uint32_t count;
        alloc_fail_at(n, n % 2 == 0);
        r = tokenizer_open(json, NULL, &t);
        if (!r)
            r = tokenizer_scratch_open(t, &s);
        if (!r)
            r = tokenizer_encode(t, s, slice_make(text, sizeof text - 1), SLICE("a b"),
                                 &(struct tokenizer_options){0}, &tokens, &count);
        alloc_fail_at(0, 0);
        assert_true(r == RESULT_OK || r == RESULT_NOMEM);
        if (r && s) // what failed once goes on
            assert_int_equal(tokenizer_encode(t, s, slice_make(text, sizeof text - 1), SLICE_EMPTY,
                                              &(struct tokenizer_options){0}, &tokens, &count),
                             RESULT_OK);
        tokenizer_scratch_close(s);
        tokenizer_close(t);
    }
    assert_true(n > 30);
    buf_deinit(&b);
}

static void a_grown_scratch_allocates_nothing(void **state)
{
    (void)state;
    static const char text[] = "Ab <x>\xef\xac\x81 e\xcc\x81\xcc\xa7 q\xc3\x89 \xff\xe4\xb8\xad b";
    struct tokenizer *t =
        make("[UNK] C S T a b ##b fi e \xe4\xb8\xad", RICH, BERT_SPLIT, TEMPLATE, RICH_TOKENS);
    struct tokenizer_scratch *s;
    assert_int_equal(tokenizer_scratch_open(t, &s), RESULT_OK);
    uint64_t before = 0;
    for (unsigned i = 0; i < 5; i++) {
        const struct token *tokens;
        uint32_t count;
        if (i == 2)
            before = alloc_count();
        assert_int_equal(tokenizer_encode(t, s, slice_make(text, sizeof text - 1), SLICE("a b"),
                                          &(struct tokenizer_options){0}, &tokens, &count),
                         RESULT_OK);
        assert_true(count > 5);
    }
    assert_int_equal(alloc_count(), before);
    tokenizer_scratch_close(s);
    tokenizer_close(t);
}

static void a_long_text_leaves_nothing_behind(void **state)
{
    (void)state;
    enum { LARGE = 1024 * 1024 + 1 };
    struct tokenizer *t =
        make("[UNK] C S T a b ##b", LOWER, WORDS, TEMPLATE, ADDED(20, "<x>", RAW));
    struct tokenizer_scratch *s;
    assert_int_equal(tokenizer_scratch_open(t, &s), RESULT_OK);
    char *text = alloc_bytes(LARGE);
    assert_non_null(text);
    memset(text, 'A', LARGE);
    // With each allocation of the call behind the long text failing in turn: nothing or all is as before.
    uint64_t n = 0;
    for (enum result r = RESULT_NOMEM; r || n < 5;) {
        const struct token *tokens;
        uint32_t count;
        const struct tokenizer_options options = {0};
        assert_int_equal(
            tokenizer_encode(t, s, slice_make(text, LARGE), SLICE_EMPTY, &options, &tokens, &count),
            RESULT_OK);
        assert_int_equal(count, 4);
        uint64_t before = alloc_count();
        alloc_fail_at(++n, 1);
        r = tokenizer_encode(t, s,
                             SLICE("a <x>\xff"
                                   "B"),
                             SLICE_EMPTY, &options, &tokens, &count);
        alloc_fail_at(0, 0);
        assert_true(r == RESULT_OK || r == RESULT_NOMEM);
        assert_true(alloc_count() > before);
        if (r)
            continue;
        assert_int_equal(count, 6);
        assert_true(tokens[3].begin == 5 && tokens[3].end == 7);
    }
    alloc_free(text);
    tokenizer_scratch_close(s);
    tokenizer_close(t);
}

static double cpu_ms(const struct tokenizer *t, struct tokenizer_scratch *s, struct slice text)
{
    double best = 1e9;
    for (unsigned i = 0; i < 3; i++) {
        struct timespec a, b;
        const struct token *tokens;
        uint32_t count;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
        assert_int_equal(tokenizer_encode(t, s, text, SLICE_EMPTY, &(struct tokenizer_options){0},
                                          &tokens, &count),
                         RESULT_OK);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
        double ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
        best = ms < best ? ms : best;
    }
    return best;
}

// Sixteen times the text takes at most 60 times as long (256 times where work is quadratic).
static void work_is_linear(void **state)
{
    (void)state;
    enum { SMALL = 64 * 1024, LARGE = 1024 * 1024 };
    static const char *const units[] = {
        "a",   " ",  "\xcc\x81",     "\xcc\x81\xcc\xa7", "\xff",
        "<x>", "<x", "  <x>",        "\xe4\xb8\xad",     "\xea\xb0\x81",
        "ab",  ".",  "\xef\xb7\xba", "xxxxxxxy"};
    struct tokenizer *t =
        make("[UNK] C S T a ##a ##aaaab b",
             "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKC\"},"
             "{\"type\":\"BertNormalizer\"}]}",
             BERT_SPLIT, TEMPLATE,
             ADDED(20, "<x>", RAW ",\"lstrip\":true,\"rstrip\":true") "," ADDED(
                 21, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxy", RAW));
    struct tokenizer_scratch *s;
    assert_int_equal(tokenizer_scratch_open(t, &s), RESULT_OK);
    char *text = alloc_bytes(LARGE + 16);
    assert_non_null(text);
    for (unsigned k = 0; k < MERIT_COUNT(units); k++) {
        size_t n = strlen(units[k]);
        for (size_t i = 0; i < LARGE; i += n)
            memcpy(text + i, units[k], n);
        double large = cpu_ms(t, s, slice_make(text, LARGE / n * n)),
               small = cpu_ms(t, s, slice_make(text, SMALL / n * n));
        if (large > 60 * (small < .05 ? .05 : small))
            fail_msg("unit %u: %.2f ms for %d bytes, %.2f ms for %d", k, small, SMALL, large,
                     LARGE);
    }
    alloc_free(text);
    tokenizer_scratch_close(s);
    tokenizer_close(t);
}

static void long_texts_are_refused(void **state)
{
    (void)state;
    struct tokenizer *t = make("[UNK] a", NONE, WORDS, NONE, "");
    struct slice text = {"a", TOKENIZER_TEXT_MAX + 1};
    assert_string_equal(show(t, text, SLICE_EMPTY, (struct tokenizer_options){0}, false), "limit");
    assert_string_equal(show(t, SLICE("a"), text, (struct tokenizer_options){0}, false), "limit");
    tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_cut_greedily),
        cmocka_unit_test(words_are_cut_as_by_search),
        cmocka_unit_test(long_words_are_unknown),
        cmocka_unit_test(what_is_no_utf8_is_a_replacement),
        cmocka_unit_test(added_tokens_keep_their_rules),
        cmocka_unit_test(normalized_tokens_are_found_in_normalised_text),
        cmocka_unit_test(added_tokens_are_found_as_by_search),
        cmocka_unit_test(templates_frame_texts),
        cmocka_unit_test(places_are_trimmed),
        cmocka_unit_test(pairs_are_cut_longest_first),
        cmocka_unit_test(bad_files_are_named),
        cmocka_unit_test(many_steps_are_refused),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(a_grown_scratch_allocates_nothing),
        cmocka_unit_test(a_long_text_leaves_nothing_behind),
        cmocka_unit_test(work_is_linear),
        cmocka_unit_test(long_texts_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
