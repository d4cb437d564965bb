// Reading texts with an encoder, beside a naive reading of the same windows: a tiny encoder made of a seed, a tokenizer of a
// few words.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/rng.h"
#include "model/reader.h"
#include "nn/gemm.h"

enum {
    HIDDEN = 64,
    INNER = 128,
    VOCAB = 40,
    POSITIONS = 128,
    WORDS = 30,
    LABELS = 5,
    TOK_MAX = 4096
};

static const struct slice labels[LABELS] = {
    {"O", 1}, {"B-CITY", 6}, {"I-CITY", 6}, {"B-NAME", 6}, {"I-NAME", 6}};

// --- weights: the same for the same name, wherever it is read

static uint64_t shape_of(struct slice name, struct tensor_shape *s)
{
    static const struct {
        const char *part;
        uint64_t rows, columns;
    } shapes[] = {
        {"word_embeddings.weight", VOCAB, HIDDEN},
        {"position_embeddings.weight", POSITIONS, HIDDEN},
        {"token_type_embeddings.weight", 2, HIDDEN},
        {"LayerNorm.weight", HIDDEN, 0},
        {"LayerNorm.bias", HIDDEN, 0},
        {"intermediate.dense.weight", INNER, HIDDEN},
        {"intermediate.dense.bias", INNER, 0},
        {"attention.output.dense.weight", HIDDEN, HIDDEN},
        {"output.dense.weight", HIDDEN, INNER},
        {"output.dense.bias", HIDDEN, 0},
        {"classifier.weight", LABELS, HIDDEN},
        {"classifier.bias", LABELS, 0},
        {"query.weight", HIDDEN, HIDDEN},
        {"key.weight", HIDDEN, HIDDEN},
        {"value.weight", HIDDEN, HIDDEN},
        {"query.bias", HIDDEN, 0},
        {"key.bias", HIDDEN, 0},
        {"value.bias", HIDDEN, 0},
    };
    for (size_t i = 0; i < MERIT_COUNT(shapes); i++) {
        if (!slice_ends_with(name, slice_cstr(shapes[i].part)))
            continue;
        *s = (struct tensor_shape){.rank = shapes[i].columns ? 2 : 1,
                                   .dim = {shapes[i].rows, shapes[i].columns}};
        return shapes[i].columns ? shapes[i].columns : 1;
    }
    return 0;
}

static enum result source_shape(void *ctx, struct slice name, struct tensor_shape *out)
{
    (void)ctx;
    return shape_of(name, out) ? RESULT_OK : RESULT_NOT_FOUND;
}

static enum result source_read(void *ctx, struct slice name, uint64_t first, uint64_t rows,
                               float *out)
{
    struct tensor_shape s;
    uint64_t width = shape_of(name, &s);
    double centre = slice_ends_with(name, SLICE("LayerNorm.weight")) ? 1 : 0;
    // The classifier is loud, so that tokens differ in what they are.
    double scale = slice_ends_with(name, SLICE("classifier.weight")) ? 1.5 : 0.25;
    struct rng r;
    (void)ctx;
    if (!width)
        return RESULT_NOT_FOUND;
    rng_seed(&r, hash_fnv(7, name));
    for (uint64_t i = 0; i < (first + rows) * width; i++) {
        double v = centre + (rng_unit(&r) * 2 - 1) * scale;
        if (i >= first * width)
            out[i - first * width] = (float)v;
    }
    return RESULT_OK;
}

static const struct tensor_source SOURCE = {NULL, source_shape, source_read};

// --- the model

struct rig {
    struct encoder *encoder;
    struct tokenizer *tokenizer;
    void *block;
    struct reader_model model;
    struct reader *reader;
    struct encoder_scratch *passes;
    struct tokenizer_scratch *scratch;
    struct arena arena;
};

static void open_tokenizer(struct rig *r)
{
    struct buf b;
    char problem[TOKENIZER_PROBLEM_BYTES] = "";
    buf_init(&b, 1 << 20);
    BUF_LIT(
        &b,
        "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[],"
        "\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"Whitespace\"},"
        "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":["
        "{\"SpecialToken\":{\"id\":\"[CLS]\",\"type_id\":0}},"
        "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},"
        "{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":0}}],\"pair\":["
        "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}],"
        "\"special_tokens\":{"
        "\"[CLS]\":{\"id\":\"[CLS]\",\"ids\":[2],\"tokens\":[\"[CLS]\"]},"
        "\"[SEP]\":{\"id\":\"[SEP]\",\"ids\":[3],\"tokens\":[\"[SEP]\"]}}},\"decoder\":null,"
        "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\","
        "\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":100,\"vocab\":{"
        "\"[PAD]\":0,\"[UNK]\":1,\"[CLS]\":2,\"[SEP]\":3");
    for (int i = 0; i < WORDS; i++)
        buf_printf(&b, ",\"w%d\":%d", i, 4 + i);
    BUF_LIT(&b, "}}}");
    if (tokenizer_open(buf_slice(&b), problem, &r->tokenizer))
        fail_msg("tokenizer: %s", problem);
    buf_deinit(&b);
}

static void open_rig(struct rig *r, bool tokens)
{
    char json[1024], problem[ENCODER_PROBLEM_BYTES] = "";
    struct encoder_config config;
    struct encoder_pack_options o = {.tier = nn_tier_best(), .plan = ENCODER_PLAN_F32};
    size_t bytes, used;
    memset(r, 0, sizeof *r);
    snprintf(json, sizeof json,
             "{\"architectures\":[\"%s\"],\"model_type\":\"bert\",\"hidden_act\":\"gelu\","
             "\"hidden_size\":%d,\"intermediate_size\":%d,\"layer_norm_eps\":1e-12,"
             "\"max_position_embeddings\":%d,\"num_attention_heads\":2,\"num_hidden_layers\":2,"
             "\"pad_token_id\":0,\"type_vocab_size\":2,\"vocab_size\":%d,"
             "\"id2label\":{\"0\":\"O\",\"1\":\"B-CITY\",\"2\":\"I-CITY\",\"3\":\"B-NAME\",\"4\":"
             "\"I-NAME\"}}",
             tokens ? "BertForTokenClassification" : "BertModel", HIDDEN, INNER, POSITIONS, VOCAB);
    if (encoder_config_read(slice_cstr(json), &config, problem))
        fail_msg("config: %s", problem);
    config.normalise = true;
    if (encoder_pack_bytes(&config, &SOURCE, &o, &bytes, problem))
        fail_msg("size: %s", problem);
    r->block = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (encoder_pack(&config, &SOURCE, &o, r->block, bytes, &used, problem))
        fail_msg("packing: %s", problem);
    assert_int_equal(encoder_open(slice_make(r->block, used), &r->encoder), RESULT_OK);
    open_tokenizer(r);
    r->model = (struct reader_model){.encoder = r->encoder,
                                     .tokenizer = r->tokenizer,
                                     .labels = tokens ? labels : NULL,
                                     .label_count = tokens ? LABELS : 0};
    assert_int_equal(reader_open(&r->model, &r->reader), RESULT_OK);
    assert_int_equal(encoder_scratch_open(r->encoder, POSITIONS, &r->passes), RESULT_OK);
    assert_int_equal(tokenizer_scratch_open(r->tokenizer, &r->scratch), RESULT_OK);
    arena_init(&r->arena, 0, 256 << 20);
}

static void close_rig(struct rig *r)
{
    reader_close(r->reader);
    encoder_scratch_close(r->passes);
    tokenizer_scratch_close(r->scratch);
    tokenizer_close(r->tokenizer);
    encoder_close(r->encoder);
    free(r->block);
    arena_deinit(&r->arena);
}

// `n` words of the vocabulary, of which word i is chosen by the seed.
static struct slice words(struct rig *r, uint32_t n, uint64_t seed)
{
    struct rng g;
    char *at = arena_alloc(&r->arena, n * 5 + 1), *begin = at;
    assert_non_null(at);
    rng_seed(&g, seed);
    for (uint32_t i = 0; i < n; i++)
        at += sprintf(at, "%sw%d", i ? " " : "", (int)(rng_next(&g) % WORDS));
    return slice_make(begin, (size_t)(at - begin));
}

static struct trunk_ask ask_of(enum trunk_reading reading, const struct slice *texts, uint32_t n)
{
    return (struct trunk_ask){.reading = reading, .texts = texts, .count = n};
}

// --- the naive reading: one window, one pass

// Tokens [first, first + count) of the text between [CLS] and [SEP].
static void naive(struct rig *r, const struct token *t, uint32_t first, uint32_t count,
                  float *vector, float *logits)
{
    uint32_t ids[POSITIONS];
    assert_true(count + 2 <= POSITIONS);
    ids[0] = 2;
    for (uint32_t i = 0; i < count; i++)
        ids[1 + i] = t[first + i].id;
    ids[count + 1] = 3;
    struct encoder_sequence s = {ids, NULL, count + 2};
    struct encoder_output o = {.embedding = vector, .logits = logits};
    assert_int_equal(encoder_run(r->encoder, r->passes, &s, 1, &o, NULL), RESULT_OK);
}

static const struct token *tokens_of(struct rig *r, struct slice text, uint32_t *n)
{
    const struct token *t;
    const struct tokenizer_options bare = {.bare = true};
    assert_int_equal(tokenizer_encode(r->tokenizer, r->scratch, text, SLICE_EMPTY, &bare, &t, n),
                     RESULT_OK);
    return t;
}

static void check_window(struct rig *r, const struct trunk_window *w, struct slice text,
                         uint32_t index, uint32_t first, uint32_t count)
{
    float want[HIDDEN];
    uint32_t n;
    const struct token *t = tokens_of(r, text, &n);
    assert_true(first + count <= n);
    assert_int_equal(w->text, index);
    assert_int_equal(w->begin, t[first].begin);
    assert_int_equal(w->end, t[first + count - 1].end);
    naive(r, t, first, count, want, NULL);
    // The same bits, whatever else was in the pass.
    assert_memory_equal(want, w->vector, sizeof want);
}

static void texts_are_windows(void **state)
{
    (void)state;
    struct rig r;
    open_rig(&r, false);
    assert_int_equal(reader_window(&r.model), POSITIONS);
    const uint32_t most = POSITIONS - 2, half = most / 2;
    struct slice texts[] = {words(&r, 3, 1),        words(&r, 0, 2),   words(&r, most, 3),
                            words(&r, most + 1, 4), words(&r, 700, 5), SLICE("   ")};
    // By topic: head, middle and tail of what is long.
    struct trunk_ask q = ask_of(TRUNK_TOPIC, texts, 6);
    reader_answer(r.reader, &q, &r.arena, NULL);
    assert_int_equal(q.answer.result, RESULT_OK);
    assert_int_equal(q.answer.window_count, 1 + 0 + 1 + 3 + 3 + 0);
    const struct trunk_window *w = q.answer.windows;
    check_window(&r, w++, texts[0], 0, 0, 3);
    check_window(&r, w++, texts[2], 2, 0, most);
    check_window(&r, w++, texts[3], 3, 0, half);
    check_window(&r, w++, texts[3], 3, (most + 1 - half) / 2, half);
    check_window(&r, w++, texts[3], 3, most + 1 - half, half);
    check_window(&r, w++, texts[4], 4, 0, half);
    check_window(&r, w++, texts[4], 4, (700 - half) / 2, half);
    check_window(&r, w++, texts[4], 4, 700 - half, half);
    assert_int_equal(q.answer.text_tok[0], 5);
    assert_int_equal(q.answer.text_tok[1], 0);
    assert_int_equal(q.answer.text_tok[2], POSITIONS);
    assert_int_equal(q.answer.text_tok[4], 3 * (half + 2));
    assert_int_equal(q.answer.tokens, 5 + POSITIONS + 6 * (half + 2));

    // All of it: windows that overlap, the last one full as well.
    struct trunk_ask all = ask_of(TRUNK_WHOLE, texts, 6);
    reader_answer(r.reader, &all, &r.arena, NULL);
    assert_int_equal(all.answer.result, RESULT_OK);
    uint32_t at = 2, step = most - READER_OVERLAP_TOK;
    check_window(&r, &all.answer.windows[at++], texts[3], 3, 0, most);
    check_window(&r, &all.answer.windows[at++], texts[3], 3, 1, most);
    for (uint32_t first = 0;; first += step) {
        bool last = first + most >= 700;
        check_window(&r, &all.answer.windows[at++], texts[4], 4, last ? 700 - most : first, most);
        if (last)
            break;
    }
    assert_int_equal(all.answer.window_count, at);
    close_rig(&r);
}

// Of a very long text three parts are looked at; a character of several bytes is not cut.
static void very_long_texts_cost_no_more(void **state)
{
    (void)state;
    struct rig r;
    open_rig(&r, false);
    const uint32_t half = (POSITIONS - 2) / 2;
    for (int shift = 0; shift < 4; shift++) {
        size_t n = 4 * READER_TOPIC_BYTES;
        char *text = arena_alloc(&r.arena, n);
        assert_non_null(text);
        struct slice head = words(&r, 400, 1), tail = words(&r, 400, 2);
        for (size_t i = 0; i < n; i++)
            text[i] = "\xf0\x9f\x98\x80"[(i + (size_t)shift) % 4];
        memset(text, ' ', 4);
        memcpy(text + 4, head.ptr, head.len);
        text[4 + head.len] = ' ';
        memcpy(text + n - tail.len, tail.ptr, tail.len);
        text[n - tail.len - 1] = ' ';
        struct slice whole = slice_make(text, n);
        struct trunk_ask q = ask_of(TRUNK_TOPIC, &whole, 1);
        reader_answer(r.reader, &q, &r.arena, NULL);
        assert_int_equal(q.answer.result, RESULT_OK);
        // The middle is one word that nobody knows.
        assert_int_equal(q.answer.window_count, 3);
        const struct trunk_window *w = q.answer.windows;
        struct slice first = slice_make(text, 4 + head.len);
        check_window(&r, &w[0], first, 0, 0, half);
        assert_true(w[1].begin >= (n - READER_TOPIC_PART) / 2 &&
                    w[1].begin % 4 == (4u - (unsigned)shift) % 4);
        assert_int_equal(w[2].end, n);
        uint32_t count;
        tokens_of(&r, tail, &count);
        struct trunk_window moved = w[2];
        moved.begin -= (uint32_t)(n - tail.len);
        moved.end -= (uint32_t)(n - tail.len);
        check_window(&r, &moved, tail, 0, count - half, half);
        assert_int_equal(q.answer.tokens, 2 * (half + 2) + 1 + 2);
    }
    close_rig(&r);
}

// What a classifier says of each token: in an overlap the window whose middle is nearer is believed.
static void entities_are_runs_of_a_kind(void **state)
{
    (void)state;
    struct rig r;
    open_rig(&r, true);
    struct slice kinds[LABELS];
    assert_int_equal(reader_kinds(&r.model, kinds, LABELS), 2);
    assert_true(slice_eq_cstr(kinds[0], "CITY") && slice_eq_cstr(kinds[1], "NAME"));
    const uint32_t most = POSITIONS - 2, step = most - READER_OVERLAP_TOK;
    static float logits[POSITIONS * LABELS];
    static uint8_t kind[TOK_MAX];
    static double sure[TOK_MAX];
    uint32_t found = 0;
    for (uint32_t length = 1; length < 700; length += 61) {
        struct slice text = words(&r, length, length);
        struct trunk_ask q = ask_of(TRUNK_WHOLE, &text, 1);
        reader_answer(r.reader, &q, &r.arena, NULL);
        assert_int_equal(q.answer.result, RESULT_OK);
        uint32_t n;
        const struct token *t = tokens_of(&r, text, &n);
        double edge[TOK_MAX];
        for (uint32_t i = 0; i < n; i++)
            edge[i] = -1;
        for (uint32_t first = 0, last = 0; !last; first += step) {
            last = first + most >= n;
            uint32_t from = n <= most ? 0 : last ? n - most : first, count = n < most ? n : most;
            naive(&r, t, from, count, NULL, logits);
            for (uint32_t i = 0; i < count; i++) {
                const float *row = logits + (size_t)(1 + i) * LABELS;
                double distance = i + 0.5 < count - i - 0.5 ? i + 0.5 : count - i - 0.5, sum = 0;
                // The text's own ends are no edges.
                if (from == 0 && i + 0.5 < count / 2.0)
                    distance = 1e9;
                if (from + count == n && i + 0.5 > count / 2.0)
                    distance = 1e9;
                // At equal distance the later window is believed.
                if (distance < edge[from + i])
                    continue;
                edge[from + i] = distance;
                uint32_t best = 0;
                for (uint32_t l = 1; l < LABELS; l++)
                    best = row[l] > row[best] ? l : best;
                for (uint32_t l = 0; l < LABELS; l++)
                    sum += exp((double)row[l] - (double)row[best]);
                sure[from + i] = 1 / sum;
                kind[from + i] = (uint8_t)((best + 1) / 2);
            }
        }
        uint32_t e = 0;
        for (uint32_t i = 0; i < n;) {
            if (!kind[i] || sure[i] < 0.5) {
                i++;
                continue;
            }
            uint32_t first = i;
            double sum = 0;
            for (; i < n && kind[i] == kind[first] && sure[i] >= 0.5; i++)
                sum += sure[i];
            assert_true(e < q.answer.entity_count);
            const struct trunk_entity *got = &q.answer.entities[e++];
            if (got->begin != t[first].begin || got->end != t[i - 1].end ||
                got->label + 1 != kind[first])
                fail_msg("length %u, entity %u: %u-%u of kind %u, wanted %u-%u of %u", length,
                         e - 1, got->begin, got->end, got->label, t[first].begin, t[i - 1].end,
                         kind[first] - 1);
            assert_true(fabs((double)got->probability - sum / (i - first)) < 1e-5);
        }
        assert_int_equal(e, q.answer.entity_count);
        found += e;
    }
    assert_true(found > 20); // the weights are loud enough for the test to mean something
    close_rig(&r);
}

static void limits_and_stops(void **state)
{
    (void)state;
    struct rig r;
    open_rig(&r, false);
    struct slice text = words(&r, READER_TOKENS_MAX + 1, 1);
    struct trunk_ask q = ask_of(TRUNK_WHOLE, &text, 1);
    reader_answer(r.reader, &q, &r.arena, NULL);
    assert_int_equal(q.answer.result, RESULT_LIMIT);
    assert_int_equal(q.answer.window_count, 0);
    assert_null(q.answer.text_tok);
    atomic_bool stop;
    atomic_init(&stop, true);
    text = words(&r, 300, 1);
    reader_answer(r.reader, &q, &r.arena, &stop);
    assert_int_equal(q.answer.result, RESULT_CANCELLED);
    atomic_store(&stop, false);
    reader_answer(r.reader, &q, &r.arena, &stop);
    assert_int_equal(q.answer.result, RESULT_OK);
    // No text at all.
    struct trunk_ask none = ask_of(TRUNK_TOPIC, NULL, 0);
    reader_answer(r.reader, &none, &r.arena, NULL);
    assert_int_equal(none.answer.result, RESULT_OK);
    assert_int_equal(none.answer.tokens, 0);
    // An arena that is full.
    struct arena tight;
    arena_init(&tight, 0, 8192);
    reader_answer(r.reader, &q, &tight, NULL);
    assert_int_equal(q.answer.result, RESULT_NOMEM);
    arena_deinit(&tight);
    close_rig(&r);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct rig r;
    open_rig(&r, true);
    struct slice texts[] = {words(&r, 20, 1), words(&r, 200, 2)};
    bool whole = false;
    for (uint64_t n = 1; !whole && n < 200; n++) {
        struct reader *reader = NULL;
        struct arena arena;
        struct trunk_ask q = ask_of(TRUNK_WHOLE, texts, 2);
        arena_init(&arena, 0, 1 << 24);
        alloc_fail_at(n, 0);
        uint64_t before = alloc_count();
        enum result res = reader_open(&r.model, &reader);
        if (!res) {
            reader_answer(reader, &q, &arena, NULL);
            res = q.answer.result;
        }
        whole = alloc_count() - before < n;
        alloc_fail_at(0, 0);
        assert_int_equal(res, whole ? RESULT_OK : RESULT_NOMEM);
        reader_close(reader);
        arena_deinit(&arena);
    }
    assert_true(whole);
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_windows),
        cmocka_unit_test(very_long_texts_cost_no_more),
        cmocka_unit_test(entities_are_runs_of_a_kind),
        cmocka_unit_test(limits_and_stops),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
