#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "nn/encoder_pack.h"

enum { NAME_BYTES = 160, TABLE_ROWS = 256 }; // rows of a table that are read together

static const char *const prefixes[] = {"", "bert.", "roberta.", "model.", "deberta.", "encoder."};

enum nn_precision encoder_half(enum nn_tier tier)
{
    return tier == NN_AVX512_BF16 ? NN_BF16 : NN_S16;
}

void encoder_linear_size(const struct encoder_config *c, unsigned which, uint32_t *k, uint32_t *n)
{
    *k = which == LINEAR_DOWN ? c->inner : c->hidden;
    *n = which == LINEAR_QKV ? 3 * c->hidden : which == LINEAR_UP ? encoder_up_n(c) : c->hidden;
}

// Room for `bytes` in the block: its offset.
static enum result reserve(struct encoder_packer *p, uint64_t bytes, uint64_t *at)
{
    uint64_t size = (bytes + BLOCK_ALIGN - 1) & ~(uint64_t)(BLOCK_ALIGN - 1);
    *at = p->at;
    if (size > p->room - p->at)
        return encoder_problem(p->problem, RESULT_LIMIT, "the model is too large");
    if (p->block)
        memset(p->block + p->at, 0, size);
    p->at += size;
    return RESULT_OK;
}

// Reads rows of a tensor, which must be [dim0] (dim1 0) or [dim0][dim1]. `out` NULL: only looks at the shape.
static enum result fetch(struct encoder_packer *p, const char *name, uint64_t dim0, uint64_t dim1,
                         uint64_t first, uint64_t rows, float *out)
{
    struct slice n = slice_cstr(name);
    struct tensor_shape shape;
    enum result r = p->source->shape(p->source->ctx, n, &shape);
    if (r)
        return encoder_problem(p->problem, r, "the weights lack %s", name);
    if (shape.rank != (dim1 ? 2u : 1u) || shape.dim[0] != dim0 || (dim1 && shape.dim[1] != dim1))
        return encoder_problem(p->problem, RESULT_TYPE,
                               "%s has not the shape that config.json tells", name);
    if (!out)
        return RESULT_OK;
    r = p->source->read(p->source->ctx, n, first, rows, out);
    if (r)
        return encoder_problem(
            p->problem, r,
            r == RESULT_RANGE ? "%s holds a number that is not finite" : "%s cannot be read", name);
    return RESULT_OK;
}

static bool there(struct encoder_packer *p, const char *name)
{
    struct tensor_shape shape;
    return p->source->shape(p->source->ctx, slice_cstr(name), &shape) == RESULT_OK;
}

static void put_row(struct block_table *t, char *block, uint32_t row, const float *x, uint32_t n)
{
    float most = 0, levels = t->kind == TABLE_S8 ? 127.0f : 32767.0f;
    size_t first = (size_t)row * n;
    if (t->kind == TABLE_F32) {
        memcpy(block + t->at + first * sizeof(float), x, n * sizeof(float));
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    float scale = most > 1e-30f ? most / levels : 1e-30f;
    memcpy(block + t->scales + (size_t)row * sizeof(float), &scale, sizeof scale);
    for (uint32_t i = 0; i < n; i++) {
        float q = rintf(x[i] / scale);
        q = q > levels ? levels : q < -levels ? -levels : q;
        if (t->kind == TABLE_S8)
            ((int8_t *)(void *)(block + t->at))[first + i] = (int8_t)q;
        else
            ((int16_t *)(void *)(block + t->at))[first + i] = (int16_t)q;
    }
}

static enum result pack_table(struct encoder_packer *p, const char *name, uint32_t rows,
                              enum block_table_kind kind, struct block_table *t)
{
    static const uint8_t sizes[] = {[TABLE_F32] = 4, [TABLE_S16] = 2, [TABLE_S8] = 1};
    uint32_t h = p->config->hidden;
    char full[NAME_BYTES];
    snprintf(full, sizeof full, "%s%s", p->prefix, name);
    t->kind = kind;
    t->rows = rows;
    enum result r = reserve(p, (uint64_t)rows * h * sizes[kind], &t->at);
    if (!r && kind != TABLE_F32)
        r = reserve(p, (uint64_t)rows * sizeof(float), &t->scales);
    if (!r)
        r = fetch(p, full, rows, h, 0, 0, NULL);
    if (r || !p->block)
        return r;
    float *x = alloc_bytes((size_t)TABLE_ROWS * h * sizeof(float));
    if (!x)
        return RESULT_NOMEM;
    for (uint32_t i = 0, n; !r && i < rows; i += n) {
        n = rows - i < TABLE_ROWS ? rows - i : TABLE_ROWS;
        r = fetch(p, full, rows, h, i, n, x);
        for (uint32_t j = 0; !r && j < n; j++)
            put_row(t, p->block, i + j, x + (size_t)j * h, h);
    }
    alloc_free(x);
    return r;
}

// A vector of the trunk's width; `optional` ones stay absent when the source lacks them. `name` is complete.
static enum result pack_vector(struct encoder_packer *p, const char *name, bool optional,
                               uint64_t *at)
{
    *at = 0;
    if (optional && !there(p, name))
        return RESULT_OK;
    enum result r = reserve(p, (uint64_t)p->config->hidden * sizeof(float), at);
    if (r)
        return r;
    float *out = p->block ? (float *)(void *)(p->block + *at) : NULL;
    return fetch(p, name, p->config->hidden, 0, 0, p->config->hidden, out);
}

// Gain and bias of a norm; old checkpoints say gamma and beta.
static enum result pack_norm(struct encoder_packer *p, const char *prefix, const char *name,
                             bool no_bias, uint64_t *gain, uint64_t *bias)
{
    char full[NAME_BYTES];
    snprintf(full, sizeof full, "%s%s.gamma", prefix, name);
    bool old = there(p, full);
    if (!old)
        snprintf(full, sizeof full, "%s%s.weight", prefix, name);
    enum result r = pack_vector(p, full, false, gain);
    snprintf(full, sizeof full, "%s%s.%s", prefix, name, old ? "beta" : "bias");
    return r ? r : pack_vector(p, full, no_bias, bias);
}

static enum result write_linear(struct encoder_packer *p, struct block_linear *l,
                                enum nn_precision precision, const float *w, const float *bias,
                                const float *balance)
{
    l->precision = precision;
    enum result r = reserve(p, gemm_weights_bytes(p->options->tier, precision, l->k, l->n), &l->at);
    if (!r && p->block)
        gemm_weights_pack(p->options->tier, precision, l->k, l->n, w, bias, balance,
                          p->block + l->at);
    return r;
}

// A linear layer of the model's head, in f32: it is small, and labels hang on it.
static enum result pack_head_linear(struct encoder_packer *p, const char *name, uint32_t n,
                                    struct block_linear *l)
{
    uint32_t k = p->config->hidden;
    char full[NAME_BYTES];
    float *w = NULL, *bias = NULL;
    l->k = k;
    l->n = n;
    if (p->block) {
        w = alloc_bytes(((size_t)n * k + n) * sizeof(float));
        if (!w)
            return RESULT_NOMEM;
        bias = w + (size_t)n * k;
    }
    snprintf(full, sizeof full, "%s.weight", name);
    enum result r = fetch(p, full, n, k, 0, n, w);
    snprintf(full, sizeof full, "%s.bias", name);
    bool has = there(p, full);
    if (!r && has)
        r = fetch(p, full, n, 0, 0, n, bias);
    if (!r)
        r = write_linear(p, l, NN_F32, w, has ? bias : NULL, NULL);
    alloc_free(w);
    return r;
}

static enum result pack_head(struct encoder_packer *p)
{
    const struct encoder_config *c = p->config;
    struct block_head *h = &p->head;
    enum result r = RESULT_OK;
    bool sequence = c->task == ENCODER_SEQUENCE;
    if (c->task == ENCODER_EMBED)
        return RESULT_OK;
    if (c->family == ENCODER_MODERNBERT) {
        r = pack_head_linear(p, "head.dense", c->hidden, &h->dense);
        if (!r)
            r = pack_norm(p, "head.", "norm", true, &h->dense_gain, &h->dense_bias);
    } else if (c->family == ENCODER_ROBERTA && sequence) {
        r = pack_head_linear(p, "classifier.dense", c->hidden, &h->dense);
        return r ? r : pack_head_linear(p, "classifier.out_proj", c->labels, &h->labels);
    } else if (c->family == ENCODER_BERT && sequence) {
        r = pack_head_linear(p, "bert.pooler.dense", c->hidden, &h->dense);
    } else if (c->family == ENCODER_DEBERTA && sequence) {
        r = pack_head_linear(p, "pooler.dense", c->hidden, &h->dense);
    }
    return r ? r : pack_head_linear(p, "classifier", c->labels, &h->labels);
}

static enum result pack_embeddings(struct encoder_packer *p)
{
    const struct encoder_config *c = p->config;
    struct block_head *h = &p->head;
    enum encoder_plan plan = p->options->plan;
    enum block_table_kind kind = plan == ENCODER_PLAN_F32    ? TABLE_F32
                                 : plan == ENCODER_PLAN_HALF ? TABLE_S16
                                                             : TABLE_S8;
    bool modern = c->family == ENCODER_MODERNBERT;
    enum result r = pack_table(
        p, modern ? "embeddings.tok_embeddings.weight" : "embeddings.word_embeddings.weight",
        c->vocab, kind, &h->words);
    bool positions = !modern && (c->family != ENCODER_DEBERTA || c->position_input);
    if (!r && positions)
        r = pack_table(p, "embeddings.position_embeddings.weight", c->positions, TABLE_F32,
                       &h->positions);
    if (!r && c->types)
        r = pack_table(p, "embeddings.token_type_embeddings.weight", c->types, TABLE_F32,
                       &h->types);
    if (!r)
        r = pack_norm(p, p->prefix, modern ? "embeddings.norm" : "embeddings.LayerNorm", modern,
                      &h->norm_gain, &h->norm_bias);
    if (!r && modern)
        r = pack_norm(p, p->prefix, "final_norm", true, &h->final_gain, &h->final_bias);
    return r;
}

// Names of a layer's parts behind "layer.N.": of the three that make queries, keys and values, or of one.
static const char *const parts_bert[] = {"attention.self.query", "attention.self.key",
                                         "attention.self.value", "attention.output.dense",
                                         "intermediate.dense",   "output.dense"};
static const char *const parts_deberta[] = {"attention.self.query_proj", "attention.self.key_proj",
                                            "attention.self.value_proj", "attention.output.dense",
                                            "intermediate.dense",        "output.dense"};
static const char *const parts_modern[] = {"attn.Wqkv", NULL, NULL, "attn.Wo", "mlp.Wi", "mlp.Wo"};

static void layer_name(const struct encoder_packer *p, uint32_t layer, const char *part,
                       char out[NAME_BYTES])
{
    bool modern = p->config->family == ENCODER_MODERNBERT;
    snprintf(out, NAME_BYTES, "%s%s.%u.%s", p->prefix, modern ? "layers" : "encoder.layer", layer,
             part);
}

// Weights [n][k] and bias of one part into w and bias, which are NULL while sizes are counted.
static enum result fetch_part(struct encoder_packer *p, uint32_t layer, const char *part,
                              uint32_t n, uint32_t k, float *w, float *bias, bool *has_bias)
{
    char name[NAME_BYTES], full[NAME_BYTES + 8];
    layer_name(p, layer, part, name);
    snprintf(full, sizeof full, "%s.weight", name);
    enum result r = fetch(p, full, n, k, 0, n, w);
    if (r)
        return r;
    snprintf(full, sizeof full, "%s.bias", name);
    *has_bias = there(p, full);
    if (*has_bias)
        return fetch(p, full, n, 0, 0, n, bias);
    if (p->config->family != ENCODER_MODERNBERT)
        return encoder_problem(p->problem, RESULT_NOT_FOUND, "the weights lack %s", full);
    return RESULT_OK;
}

static enum result fetch_layer(struct encoder_packer *p, uint32_t layer)
{
    const struct encoder_config *c = p->config;
    const char *const *parts = c->family == ENCODER_MODERNBERT ? parts_modern
                               : c->family == ENCODER_DEBERTA  ? parts_deberta
                                                               : parts_bert;
    enum result r = RESULT_OK;
    for (unsigned i = 0; !r && i < ENCODER_LINEARS; i++) {
        uint32_t k, n;
        encoder_linear_size(c, i, &k, &n);
        if (i != LINEAR_QKV || !parts[1]) {
            r = fetch_part(p, layer, parts[i == LINEAR_QKV ? 0 : i + 2], n, k, p->w[i], p->bias[i],
                           &p->has_bias[i]);
            continue;
        }
        for (unsigned j = 0; !r && j < 3; j++) {
            uint32_t h = c->hidden;
            r = fetch_part(p, layer, parts[j], h, h, p->w[i] ? p->w[i] + (size_t)j * h * h : NULL,
                           p->bias[i] ? p->bias[i] + (size_t)j * h : NULL, &p->has_bias[i]);
        }
    }
    return r;
}

static enum result pack_layer_norms(struct encoder_packer *p, uint32_t layer, struct block_layer *l)
{
    char name[NAME_BYTES];
    bool modern = p->config->family == ENCODER_MODERNBERT;
    enum result r = RESULT_OK;
    if (!modern || layer > 0) {
        layer_name(p, layer, modern ? "attn_norm" : "attention.output.LayerNorm", name);
        r = pack_norm(p, "", name, modern, &l->norm1_gain, &l->norm1_bias);
    }
    if (r)
        return r;
    layer_name(p, layer, modern ? "mlp_norm" : "output.LayerNorm", name);
    return pack_norm(p, "", name, modern, &l->norm2_gain, &l->norm2_bias);
}

// [rows][hidden] times a [hidden][hidden] matrix, with bias.
static enum result project(struct encoder_packer *p, const float *x, uint32_t rows, const float *w,
                           const float *bias, float *out)
{
    uint32_t h = p->config->hidden;
    struct gemm_weights g = {p->options->tier, NN_F32, h, h, NULL};
    size_t bytes = gemm_weights_bytes(g.tier, NN_F32, h, h), packed = gemm_rows_bytes(&g, rows);
    char *memory = alloc_bytes(bytes + packed + 128);
    if (!memory)
        return RESULT_NOMEM;
    char *at = (char *)(((uintptr_t)memory + 63) & ~(uintptr_t)63);
    gemm_weights_pack(g.tier, NN_F32, h, h, w, bias, NULL, at);
    g.data = at;
    at += (bytes + 63) & ~(size_t)63;
    gemm_rows_pack(&g, x, h, rows, at);
    gemm_run(&g, at, rows, out, h);
    alloc_free(memory);
    return RESULT_OK;
}

// DeBERTa: the relative table, normed.
static enum result fetch_relative(struct encoder_packer *p, float *x)
{
    const struct encoder_config *c = p->config;
    uint32_t h = c->hidden, rows = 2 * encoder_spread(c);
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%sencoder.rel_embeddings.weight", p->prefix);
    enum result r = fetch(p, name, rows, h, 0, rows, x);
    if (r || !c->relative_norm)
        return r;
    float *gain = x ? x + (size_t)rows * h : NULL, *bias = gain ? gain + h : NULL;
    snprintf(name, sizeof name, "%sencoder.LayerNorm.weight", p->prefix);
    r = fetch(p, name, h, 0, 0, h, gain);
    if (r)
        return r;
    snprintf(name, sizeof name, "%sencoder.LayerNorm.bias", p->prefix);
    r = fetch(p, name, h, 0, 0, h, bias);
    for (uint32_t i = 0; !r && x && i < rows; i++)
        nn_elem(p->options->tier)
            ->norm(x + (size_t)i * h, x + (size_t)i * h, gain, bias, h, c->norm_eps);
    return r;
}

// One projected relative table: with the layer's own query or key weights when they are shared.
static enum result pack_relative_of(struct encoder_packer *p, uint32_t layer, const float *x,
                                    const char *part, unsigned shared, uint64_t *at)
{
    const struct encoder_config *c = p->config;
    uint32_t h = c->hidden, rows = 2 * encoder_spread(c);
    enum result r = reserve(p, (uint64_t)rows * h * sizeof(float), at);
    if (r)
        return r;
    float *out = p->block ? (float *)(void *)(p->block + *at) : NULL;
    if (c->share_att_key)
        return out ? project(p, x, rows, p->w[LINEAR_QKV] + (size_t)shared * h * h,
                             p->bias[LINEAR_QKV] + (size_t)shared * h, out)
                   : RESULT_OK;
    float *w = NULL;
    bool has = false;
    if (out) {
        w = alloc_zeroed((size_t)h * h + h, sizeof(float));
        if (!w)
            return RESULT_NOMEM;
    }
    r = fetch_part(p, layer, part, h, h, w, w ? w + (size_t)h * h : NULL, &has);
    if (!r && out)
        r = project(p, x, rows, w, w + (size_t)h * h, out);
    alloc_free(w);
    return r;
}

static enum result pack_relative(struct encoder_packer *p, uint32_t layer, struct block_layer *l)
{
    const struct encoder_config *c = p->config;
    float *x = NULL;
    if (c->family != ENCODER_DEBERTA)
        return RESULT_OK;
    if (p->block) {
        size_t rows = (size_t)2 * encoder_spread(c) + 2;
        x = alloc_bytes(rows * c->hidden * sizeof(float));
        if (!x)
            return RESULT_NOMEM;
    }
    enum result r = fetch_relative(p, x);
    if (!r && c->pos_c2p)
        r = pack_relative_of(p, layer, x, "attention.self.pos_key_proj", 1, &l->pos_key);
    if (!r && c->pos_p2c)
        r = pack_relative_of(p, layer, x, "attention.self.pos_query_proj", 0, &l->pos_query);
    alloc_free(x);
    return r;
}

static enum nn_precision most_bytes(const struct encoder_packer *p, uint32_t k, uint32_t n)
{
    enum nn_precision half = encoder_half(p->options->tier);
    switch (p->options->plan) {
    case ENCODER_PLAN_F32:
        return NN_F32;
    case ENCODER_PLAN_INT8:
        return NN_INT8;
    case ENCODER_PLAN_HALF:
        return half;
    default:
        return gemm_weights_bytes(p->options->tier, half, k, n) >
                       gemm_weights_bytes(p->options->tier, NN_INT8, k, n)
                   ? half
                   : NN_INT8;
    }
}

static enum result pack_layer(struct encoder_packer *p, uint32_t layer,
                              struct encoder_calibration *cal)
{
    struct block_layer unwritten = {0}, *l = p->block ? p->layers + layer : &unwritten;
    enum nn_precision precision[ENCODER_LINEARS];
    const float *balance[ENCODER_LINEARS] = {0};
    enum result r = fetch_layer(p, layer);
    if (!r)
        r = pack_layer_norms(p, layer, l);
    if (!r)
        r = pack_relative(p, layer, l);
    if (r)
        return r;
    for (unsigned i = 0; i < ENCODER_LINEARS; i++) {
        encoder_linear_size(p->config, i, &l->linear[i].k, &l->linear[i].n);
        precision[i] = most_bytes(p, l->linear[i].k, l->linear[i].n);
    }
    if (cal)
        encoder_calibrate(cal, p, layer, precision, balance);
    for (unsigned i = 0; !r && i < ENCODER_LINEARS; i++)
        r = write_linear(p, &l->linear[i], precision[i], p->w[i],
                         p->has_bias[i] ? p->bias[i] : NULL,
                         precision[i] == NN_INT8 ? balance[i] : NULL);
    return r;
}

static enum result find_prefix(struct encoder_packer *p)
{
    const char *word = p->config->family == ENCODER_MODERNBERT
                           ? "embeddings.tok_embeddings.weight"
                           : "embeddings.word_embeddings.weight";
    char name[NAME_BYTES];
    for (size_t i = 0; i < MERIT_COUNT(prefixes); i++) {
        snprintf(name, sizeof name, "%s%s", prefixes[i], word);
        if (there(p, name)) {
            p->prefix = prefixes[i];
            return RESULT_OK;
        }
    }
    return encoder_problem(p->problem, RESULT_NOT_FOUND, "the weights lack %s", word);
}

static enum result layer_memory(struct encoder_packer *p)
{
    size_t floats = 0;
    for (unsigned i = 0; i < ENCODER_LINEARS; i++) {
        uint32_t k, n;
        encoder_linear_size(p->config, i, &k, &n);
        floats += (size_t)n * k + n;
    }
    float *at = p->memory = alloc_bytes(floats * sizeof(float));
    if (!at)
        return RESULT_NOMEM;
    for (unsigned i = 0; i < ENCODER_LINEARS; i++) {
        uint32_t k, n;
        encoder_linear_size(p->config, i, &k, &n);
        p->w[i] = at;
        p->bias[i] = at + (size_t)n * k;
        at = p->bias[i] + n;
    }
    return RESULT_OK;
}

static enum result walk(struct encoder_packer *p)
{
    const struct encoder_config *c = p->config;
    struct encoder_calibration *cal = NULL;
    uint64_t unused;
    enum result r = find_prefix(p);
    if (!r)
        r = reserve(p, sizeof p->head, &unused);
    if (!r)
        r = reserve(p, (uint64_t)c->layers * sizeof(struct block_layer), &p->head.layers);
    if (!r)
        r = pack_embeddings(p);
    if (!r)
        r = pack_head(p);
    if (!r && p->block) {
        p->layers = (void *)(p->block + p->head.layers);
        memcpy(p->block, &p->head, sizeof p->head);
        enum encoder_plan plan = p->options->plan;
        r = layer_memory(p);
        if (!r && (plan == ENCODER_PLAN_AUTO || plan == ENCODER_PLAN_INT8))
            r = encoder_calibration_open(p, &cal);
    }
    for (uint32_t i = 0; !r && i < c->layers; i++) {
        if (p->block && p->options->progress &&
            !p->options->progress(p->options->ctx, i, c->layers))
            r = RESULT_CANCELLED;
        if (!r)
            r = pack_layer(p, i, cal);
    }
    encoder_calibration_close(cal);
    return r;
}

static enum result start(struct encoder_packer *p)
{
    const char *bad = encoder_config_wrong(p->config);
    p->problem[0] = 0;
    if (bad)
        return encoder_problem(p->problem, RESULT_LIMIT, "%s does not fit the other values", bad);
    if (p->options->tier >= NN_TIERS || !nn_tier_has(p->options->tier))
        return encoder_problem(p->problem, RESULT_UNSUPPORTED,
                               "this processor lacks the instructions asked for");
    p->head = (struct block_head){.magic = BLOCK_MAGIC,
                                  .version = BLOCK_VERSION,
                                  .head_bytes = sizeof(struct block_head),
                                  .tier = p->options->tier,
                                  .plan = p->options->plan};
    memcpy(&p->head.config, p->config, sizeof p->head.config);
    return RESULT_OK;
}

enum result encoder_pack_bytes(const struct encoder_config *config,
                               const struct tensor_source *source,
                               const struct encoder_pack_options *options, size_t *bytes,
                               char problem[ENCODER_PROBLEM_BYTES])
{
    struct encoder_packer p = {.config = config,
                               .source = source,
                               .options = options,
                               .problem = problem,
                               .room = (uint64_t)SIZE_MAX / 4};
    enum result r = start(&p);
    if (!r)
        r = walk(&p);
    *bytes = r ? 0 : (size_t)p.at;
    return r;
}

enum result encoder_pack(const struct encoder_config *config, const struct tensor_source *source,
                         const struct encoder_pack_options *options, void *block, size_t bytes,
                         size_t *used, char problem[ENCODER_PROBLEM_BYTES])
{
    assert((uintptr_t)block % BLOCK_ALIGN == 0);
    struct encoder_packer p = {.config = config,
                               .source = source,
                               .options = options,
                               .problem = problem,
                               .block = block,
                               .room = bytes};
    *used = 0;
    enum result r = start(&p);
    if (!r)
        r = walk(&p);
    alloc_free(p.memory);
    if (r)
        return r;
    p.head.bytes = p.at;
    memcpy(p.block, &p.head, sizeof p.head);
    size_t behind = offsetof(struct block_head, hash) + sizeof p.head.hash;
    p.head.hash = encoder_block_hash(p.block + behind, (size_t)p.at - behind);
    memcpy(p.block, &p.head, sizeof p.head);
    *used = (size_t)p.at;
    return RESULT_OK;
}
