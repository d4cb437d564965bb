// A BERT of two layers with weights from a seeded generator, and a WordPiece tokenizer of a dozen words: a whole model
// folder for tests. After cmocka.h and model_folder.h.
#ifndef TESTS_MODEL_TINY_H
#define TESTS_MODEL_TINY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "nn/safetensors.h"

enum { TINY_HIDDEN = 64, TINY_INNER = 128, TINY_VOCAB = 16, TINY_POSITIONS = 32, TINY_MAX = 48 };

static const char tiny_tokenizer[] =
    "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":["
    "{\"id\":0,\"content\":\"[PAD]\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
    "\"normalized\":false,\"special\":true},"
    "{\"id\":1,\"content\":\"[UNK]\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
    "\"normalized\":false,\"special\":true},"
    "{\"id\":2,\"content\":\"[CLS]\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
    "\"normalized\":false,\"special\":true},"
    "{\"id\":3,\"content\":\"[SEP]\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
    "\"normalized\":false,\"special\":true}],"
    "\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,"
    "\"strip_accents\":null,\"lowercase\":true},"
    "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":["
    "{\"SpecialToken\":{\"id\":\"[CLS]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}"
    "},"
    "{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":0}}],\"pair\":["
    "{\"SpecialToken\":{\"id\":\"[CLS]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}"
    "},"
    "{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_id\":1}"
    "},"
    "{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":1}}],\"special_tokens\":{"
    "\"[CLS]\":{\"id\":\"[CLS]\",\"ids\":[2],\"tokens\":[\"[CLS]\"]},"
    "\"[SEP]\":{\"id\":\"[SEP]\",\"ids\":[3],\"tokens\":[\"[SEP]\"]}}},"
    "\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true},"
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##"
    "\","
    "\"max_input_chars_per_word\":100,\"vocab\":{\"[PAD]\":0,\"[UNK]\":1,\"[CLS]\":2,\"[SEP]\":3,"
    "\"the\":4,\"cat\":5,\"sat\":6,\"##s\":7,\"mat\":8,\"on\":9,\"a\":10,\"b\":11,\"c\":12}}}";

struct tiny {
    struct safetensors_entry entries[TINY_MAX];
    char names[TINY_MAX][96];
    float *data[TINY_MAX];
    uint32_t count;
    struct rng rng;
};

static void tiny_add(struct tiny *t, const char *name, uint64_t rows, uint64_t width, float centre)
{
    uint64_t n = rows * (width ? width : 1);
    uint32_t i = t->count++;
    assert_true(i < TINY_MAX);
    t->data[i] = malloc((size_t)n * sizeof(float));
    assert_non_null(t->data[i]);
    for (uint64_t k = 0; k < n; k++)
        t->data[i][k] = centre + (float)(rng_unit(&t->rng) - 0.5) * 0.3f;
    snprintf(t->names[i], sizeof t->names[i], "%s", name);
    t->entries[i] = (struct safetensors_entry){
        slice_cstr(t->names[i]), NUMBER_F32, {width ? 2 : 1, {rows, width}}, t->data[i]};
}

static void tiny_linear(struct tiny *t, const char *name, uint64_t out, uint64_t in)
{
    char full[96];
    snprintf(full, sizeof full, "%s.weight", name);
    tiny_add(t, full, out, in, 0);
    snprintf(full, sizeof full, "%s.bias", name);
    tiny_add(t, full, out, 0, 0);
}

static void tiny_norm(struct tiny *t, const char *name)
{
    char full[96];
    snprintf(full, sizeof full, "%s.weight", name);
    tiny_add(t, full, TINY_HIDDEN, 0, 1);
    snprintf(full, sizeof full, "%s.bias", name);
    tiny_add(t, full, TINY_HIDDEN, 0, 0);
}

static void tiny_layer(struct tiny *t, int layer)
{
    static const char *const attention[] = {"self.query", "self.key", "self.value", "output.dense"};
    char name[64];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "encoder.layer.%d.attention.%s", layer, attention[i]);
        tiny_linear(t, name, TINY_HIDDEN, TINY_HIDDEN);
    }
    snprintf(name, sizeof name, "encoder.layer.%d.attention.output.LayerNorm", layer);
    tiny_norm(t, name);
    snprintf(name, sizeof name, "encoder.layer.%d.intermediate.dense", layer);
    tiny_linear(t, name, TINY_INNER, TINY_HIDDEN);
    snprintf(name, sizeof name, "encoder.layer.%d.output.dense", layer);
    tiny_linear(t, name, TINY_HIDDEN, TINY_INNER);
    snprintf(name, sizeof name, "encoder.layer.%d.output.LayerNorm", layer);
    tiny_norm(t, name);
}

static void tiny_weights(struct tiny *t, uint64_t seed)
{
    memset(t, 0, sizeof *t);
    rng_seed(&t->rng, seed);
    tiny_add(t, "embeddings.word_embeddings.weight", TINY_VOCAB, TINY_HIDDEN, 0);
    tiny_add(t, "embeddings.position_embeddings.weight", TINY_POSITIONS, TINY_HIDDEN, 0);
    tiny_add(t, "embeddings.token_type_embeddings.weight", 2, TINY_HIDDEN, 0);
    tiny_norm(t, "embeddings.LayerNorm");
    tiny_layer(t, 0);
    tiny_layer(t, 1);
}

static void tiny_config(struct buf *out, const char *architecture, const char *more)
{
    buf_printf(out,
               "{\"architectures\":[\"%s\"],\"model_type\":\"bert\",\"hidden_act\":\"gelu\","
               "\"hidden_size\":%d,\"intermediate_size\":%d,\"layer_norm_eps\":1e-12,"
               "\"max_position_embeddings\":%d,\"num_attention_heads\":2,\"num_hidden_layers\":2,"
               "\"pad_token_id\":0,\"type_vocab_size\":2,\"vocab_size\":%d%s}",
               architecture, TINY_HIDDEN, TINY_INNER, TINY_POSITIONS, TINY_VOCAB, more);
}

// Puts a whole model folder to tmp/NAME; `tokens`: a token classifier of three labels instead of a sentence encoder.
static inline void put_tiny(const char *name, uint64_t seed, bool tokens)
{
    struct tiny *t = malloc(sizeof *t);
    struct buf b;
    char path[128];
    assert_non_null(t);
    tiny_weights(t, seed);
    if (tokens)
        tiny_linear(t, "classifier", 3, TINY_HIDDEN);
    buf_init(&b, 1 << 22);
    assert_int_equal(safetensors_write(&b, t->entries, t->count, NULL, 0), RESULT_OK);
    snprintf(path, sizeof path, "%s/model.safetensors", name);
    put(path, buf_slice(&b));
    buf_reset(&b);
    tiny_config(&b, tokens ? "BertForTokenClassification" : "BertModel",
                tokens ? ",\"id2label\":{\"0\":\"O\",\"1\":\"B-CITY\",\"2\":\"I-CITY\"}" : "");
    snprintf(path, sizeof path, "%s/config.json", name);
    put(path, buf_slice(&b));
    snprintf(path, sizeof path, "%s/tokenizer.json", name);
    put_text(path, tiny_tokenizer);
    buf_deinit(&b);
    for (uint32_t i = 0; i < t->count; i++)
        free(t->data[i]);
    free(t);
}

#endif
