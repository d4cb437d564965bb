// Encoders of random weights in the shape of known models, for tests and benches; include behind encoder_load.h.
#ifndef MERIT_TESTS_ENCODER_RANDOM_H
#define MERIT_TESTS_ENCODER_RANDOM_H

#include "encoder_load.h"

enum random_shape { RANDOM_MINILM, RANDOM_MODERNBERT, RANDOM_LONG };

static const char *const random_configs[] = {
    [RANDOM_MINILM] =
        "{\"model_type\":\"bert\",\"architectures\":[\"BertModel\"],\"num_hidden_layers\":6,"
        "\"hidden_size\":384,\"num_attention_heads\":12,\"intermediate_size\":1536,"
        "\"vocab_size\":4096,\"max_position_embeddings\":512,\"type_vocab_size\":2}",
    [RANDOM_MODERNBERT] =
        "{\"model_type\":\"modernbert\",\"architectures\":[\"ModernBertModel\"],"
        "\"num_hidden_layers\":22,\"hidden_size\":768,\"num_attention_heads\":12,"
        "\"intermediate_size\":1152,\"vocab_size\":4096,\"max_position_embeddings\":8192}",
    [RANDOM_LONG] = "{\"model_type\":\"modernbert\",\"architectures\":[\"ModernBertModel\"],"
                    "\"num_hidden_layers\":3,\"hidden_size\":64,\"num_attention_heads\":2,"
                    "\"intermediate_size\":96,\"vocab_size\":4096,\"max_position_embeddings\":8192,"
                    "\"local_attention\":128}",
};

// The shape that a tensor of this name has in a model of this configuration; false when it has none.
static inline bool random_shape_of(const struct encoder_config *c, struct slice name,
                                   struct tensor_shape *out)
{
    static const struct {
        const char *end;
        char rows,
            columns; // h hidden, i inner, w words, p positions, t types, 2 and 3 times that: I, H
    } parts[] = {
        {"word_embeddings.weight", 'w', 'h'},
        {"tok_embeddings.weight", 'w', 'h'},
        {"position_embeddings.weight", 'p', 'h'},
        {"token_type_embeddings.weight", 't', 'h'},
        {"Norm.weight", 'h', 0},
        {"Norm.bias", 'h', 0},
        {"norm.weight", 'h', 0},
        {"intermediate.dense.weight", 'i', 'h'},
        {"intermediate.dense.bias", 'i', 0},
        {"attention.output.dense.weight", 'h', 'h'},
        {"attention.output.dense.bias", 'h', 0},
        {"output.dense.weight", 'h', 'i'},
        {"output.dense.bias", 'h', 0},
        {"self.query.weight", 'h', 'h'},
        {"self.query.bias", 'h', 0},
        {"self.key.weight", 'h', 'h'},
        {"self.key.bias", 'h', 0},
        {"self.value.weight", 'h', 'h'},
        {"self.value.bias", 'h', 0},
        {"attn.Wqkv.weight", 'H', 'h'},
        {"attn.Wo.weight", 'h', 'h'},
        {"mlp.Wi.weight", 'I', 'h'},
        {"mlp.Wo.weight", 'h', 'i'},
    };
    bool modern = c->family == ENCODER_MODERNBERT;
    for (size_t i = 0; i < MERIT_COUNT(parts); i++) {
        const char kinds[2] = {parts[i].rows, parts[i].columns};
        if (!slice_ends_with(name, slice_cstr(parts[i].end)) ||
            (modern && slice_eq_cstr(name, "layers.0.attn_norm.weight")))
            continue;
        out->rank = kinds[1] ? 2 : 1;
        for (unsigned d = 0; d < 2; d++)
            out->dim[d] = kinds[d] == 'h'   ? c->hidden
                          : kinds[d] == 'H' ? 3 * c->hidden
                          : kinds[d] == 'i' ? c->inner
                          : kinds[d] == 'I' ? 2 * c->inner
                          : kinds[d] == 'w' ? c->vocab
                          : kinds[d] == 'p' ? c->positions
                                            : c->types;
        bool prefixed = slice_starts_with(name, SLICE("bert.")) ||
                        slice_starts_with(name, SLICE("roberta.")) ||
                        slice_starts_with(name, SLICE("model.")) ||
                        slice_starts_with(name, SLICE("deberta.")) ||
                        slice_starts_with(name, SLICE("encoder.embeddings"));
        return !prefixed;
    }
    return false;
}

static inline enum result random_shape(void *ctx, struct slice name, struct tensor_shape *out)
{
    return random_shape_of(ctx, name, out) ? RESULT_OK : RESULT_NOT_FOUND;
}

// Weights near 1 / sqrt(columns), vectors small, gains near 1; the same for the same name.
static inline enum result random_read(void *ctx, struct slice name, uint64_t first, uint64_t rows,
                                      float *out)
{
    struct tensor_shape s;
    if (!random_shape_of(ctx, name, &s))
        return RESULT_NOT_FOUND;
    uint64_t columns = s.rank == 2 ? s.dim[1] : 1;
    bool table = slice_ends_with(name, SLICE("embeddings.weight"));
    bool gain = slice_ends_with(name, SLICE("orm.weight"));
    float size = table ? 1.0f : s.rank == 2 ? 2.0f / sqrtf((float)columns) : 0.2f;
    for (uint64_t r = first; r < first + rows; r++) {
        struct rng rng;
        uint64_t seed = r;
        for (size_t i = 0; i < name.len; i++)
            seed = seed * 1099511628211u + (unsigned char)name.ptr[i];
        rng_seed(&rng, seed);
        for (uint64_t k = 0; k < columns; k++, out++)
            *out = ((float)rng_unit(&rng) - 0.5f) * size + (gain ? 1 : 0);
    }
    return RESULT_OK;
}

static inline bool load_random(struct loaded *l, enum random_shape shape)
{
    char problem[ENCODER_PROBLEM_BYTES];
    memset(l, 0, sizeof *l);
    buf_init(&l->config_text, 1 << 20);
    buf_init(&l->weights_text, 1);
    enum result r = encoder_config_read(slice_cstr(random_configs[shape]), &l->config, problem);
    l->source = (struct tensor_source){&l->config, random_shape, random_read};
    if (r)
        fprintf(stderr, "%s\n", problem);
    return r == RESULT_OK;
}

#endif
