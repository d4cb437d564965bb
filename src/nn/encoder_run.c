#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "nn/encoder_block.h"

const struct encoder_config *encoder_config(const struct encoder *e)
{
    return &e->head->config;
}

static const float *vector(const struct encoder *e, uint64_t at)
{
    return at ? (const float *)(const void *)(e->base + at) : NULL;
}

static struct gemm_weights weights(const struct encoder *e, const struct block_linear *l)
{
    return (struct gemm_weights){(enum nn_tier)e->head->tier, (enum nn_precision)l->precision, l->k,
                                 l->n, e->base + l->at};
}

struct encoder_layer encoder_layer_of(const struct encoder *e, uint32_t i)
{
    const struct block_layer *b = e->layers + i;
    struct encoder_layer l = {
        .norm1_gain = vector(e, b->norm1_gain),
        .norm1_bias = vector(e, b->norm1_bias),
        .norm2_gain = vector(e, b->norm2_gain),
        .norm2_bias = vector(e, b->norm2_bias),
        .pos_key = vector(e, b->pos_key),
        .pos_query = vector(e, b->pos_query),
        .window = e->head->config.window,
        .local = encoder_layer_local(&e->head->config, i),
    };
    for (unsigned j = 0; j < ENCODER_LINEARS; j++)
        l.linear[j] = weights(e, &b->linear[j]);
    return l;
}

static void most_packed(const struct encoder *e, const struct block_linear *l, size_t *most)
{
    struct gemm_weights w = weights(e, l);
    size_t n = l->n ? gemm_rows_bytes(&w, RUN_PACKED) : 0;
    if (n > *most)
        *most = n;
}

enum result encoder_scratch_open(const struct encoder *e, uint32_t tok,
                                 struct encoder_scratch **out)
{
    const struct encoder_config *c = &e->head->config;
    size_t packed = 0;
    for (uint32_t i = 0; i < c->layers; i++)
        for (unsigned j = 0; j < ENCODER_LINEARS; j++)
            most_packed(e, &e->layers[i].linear[j], &packed);
    most_packed(e, &e->head->dense, &packed);
    most_packed(e, &e->head->labels, &packed);
    return encoder_scratch_make(c, e->elem, e->attention, packed, tok, out);
}

void encoder_scratch_close(struct encoder_scratch *s)
{
    if (!s)
        return;
    alloc_free(s->memory);
    alloc_free(s);
}

size_t encoder_scratch_bytes(const struct encoder_scratch *s)
{
    return s->bytes + sizeof *s;
}

static void add_row(const struct encoder *e, const struct block_table *t, uint32_t row, float *x)
{
    uint32_t h = e->head->config.hidden;
    const char *at = e->base + t->at;
    size_t first = (size_t)row * h;
    if (t->kind == TABLE_F32) {
        e->elem->add(x, (const float *)(const void *)at + first, h);
        return;
    }
    float scale = ((const float *)(const void *)(e->base + t->scales))[row];
    if (t->kind == TABLE_S16)
        e->elem->axpy_s16(x, (const int16_t *)(const void *)at + first, scale, h);
    else
        e->elem->axpy_s8(x, (const int8_t *)(const void *)at + first, scale, h);
}

void encoder_embed(const struct encoder *e, const struct encoder_pass *p)
{
    const struct block_head *b = e->head;
    const struct encoder_config *c = &b->config;
    float *x = p->scratch->x;
    for (uint32_t s = 0; s < p->count; s++) {
        const struct encoder_sequence *q = &p->sequences[s];
        uint32_t real = 0; // RoBERTa numbers positions by tokens that are not padding
        for (uint32_t i = 0; i < q->count; i++, x += c->hidden) {
            memset(x, 0, c->hidden * sizeof(float));
            add_row(e, &b->words, q->ids[i], x);
            uint32_t at = i;
            if (c->family == ENCODER_ROBERTA)
                at = c->pad_id + (q->ids[i] == c->pad_id ? 0 : ++real);
            if (b->positions.kind)
                add_row(e, &b->positions, at, x);
            if (b->types.kind)
                add_row(e, &b->types, q->types ? q->types[i] : 0, x);
            e->elem->norm(x, x, vector(e, b->norm_gain), vector(e, b->norm_bias), c->hidden,
                          c->norm_eps);
        }
    }
}

static enum result check_sequences(const struct encoder *e, const struct encoder_scratch *s,
                                   const struct encoder_sequence *sequences, uint32_t count,
                                   uint32_t *tok)
{
    const struct encoder_config *c = &e->head->config;
    uint32_t longest = s->longest, total = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct encoder_sequence *q = &sequences[i];
        if (q->count == 0)
            return RESULT_RANGE;
        if (q->count > longest || q->count > s->tok - total)
            return RESULT_LIMIT;
        total += q->count;
        uint32_t types = e->head->types.kind ? e->head->types.rows : 0;
        for (uint32_t j = 0; j < q->count; j++)
            if (q->ids[j] >= c->vocab || (q->types && types && q->types[j] >= types))
                return RESULT_RANGE;
    }
    *tok = total;
    return RESULT_OK;
}

static void pool(const struct encoder *e, const float *x, uint32_t rows, float *out)
{
    const struct encoder_config *c = &e->head->config;
    memset(out, 0, c->hidden * sizeof(float));
    if (c->pool == ENCODER_POOL_CLS)
        rows = 1;
    double all = 0;
    for (uint32_t i = 0; i < rows; i++) {
        float w = c->pool == ENCODER_POOL_WEIGHTED ? (float)(i + 1) : 1.0f;
        e->elem->axpy(out, x + (size_t)i * c->hidden, w, c->hidden);
        all += (double)w;
    }
    for (uint32_t k = 0; k < c->hidden; k++)
        out[k] = (float)((double)out[k] / all);
}

static void normalise(float *x, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    double f = sum > 0 ? 1.0 / sqrt(sum) : 0;
    for (uint32_t i = 0; i < n; i++)
        x[i] = (float)((double)x[i] * f);
}

static void run_linear(const struct encoder_pass *p, const struct encoder *e,
                       const struct block_linear *l, const float *x, uint32_t rows, float *y)
{
    struct gemm_weights w = weights(e, l);
    gemm_rows_pack(&w, x, l->k, rows, p->scratch->packed);
    gemm_run(&w, p->scratch->packed, rows, y, l->n);
}

// What stands between a row and its labels: pooler or prediction head. In place.
static void head_rows(const struct encoder_pass *p, const struct encoder *e, float *x,
                      uint32_t rows)
{
    const struct encoder_config *c = &e->head->config;
    uint32_t h = c->hidden;
    if (e->head->dense.n == 0)
        return;
    run_linear(p, e, &e->head->dense, x, rows, x);
    for (size_t i = 0; i < (size_t)rows * h; i++)
        if (c->family == ENCODER_BERT || c->family == ENCODER_ROBERTA)
            x[i] = tanhf(x[i]);
    if (c->family == ENCODER_BERT || c->family == ENCODER_ROBERTA)
        return;
    for (uint32_t i = 0; i < rows; i++) {
        float *row = x + (size_t)i * h;
        p->elem->gelu(row, h);
        if (c->family == ENCODER_MODERNBERT)
            p->elem->norm(row, row, vector(e, e->head->dense_gain), vector(e, e->head->dense_bias),
                          h, c->norm_eps);
    }
}

static void sequence_logits(const struct encoder_pass *p, const struct encoder *e, const float *x,
                            uint32_t rows, float *logits)
{
    const struct encoder_config *c = &e->head->config;
    float *v = p->scratch->pooled;
    if (c->family == ENCODER_MODERNBERT && c->classifier_mean) {
        memset(v, 0, c->hidden * sizeof(float));
        for (uint32_t i = 0; i < rows; i++)
            e->elem->axpy(v, x + (size_t)i * c->hidden, 1.0f, c->hidden);
        for (uint32_t k = 0; k < c->hidden; k++)
            v[k] /= (float)rows;
    } else {
        memcpy(v, x, c->hidden * sizeof(float));
    }
    head_rows(p, e, v, 1);
    run_linear(p, e, &e->head->labels, v, 1, logits);
}

static void token_logits(const struct encoder_pass *p, const struct encoder *e, const float *x,
                         uint32_t rows, float *logits)
{
    uint32_t h = e->head->config.hidden, n;
    float *y = p->scratch->y;
    for (uint32_t from = 0; from < rows; from += n) {
        n = rows - from < RUN_ROWS ? rows - from : RUN_ROWS;
        memcpy(y, x + (size_t)from * h, (size_t)n * h * sizeof(float));
        head_rows(p, e, y, n);
        run_linear(p, e, &e->head->labels, y, n, logits + (size_t)from * e->head->labels.n);
    }
}

static void write_outputs(const struct encoder_pass *p, const struct encoder *e, bool first_only,
                          const struct encoder_output *outputs)
{
    const struct encoder_config *c = &e->head->config;
    const float *x = p->scratch->x;
    for (uint32_t i = 0; i < p->count; i++) {
        uint32_t rows = first_only ? 1 : p->sequences[i].count;
        const struct encoder_output *o = &outputs[i];
        if (o->states)
            memcpy(o->states, x, (size_t)rows * c->hidden * sizeof(float));
        if (o->embedding) {
            pool(e, x, rows, o->embedding);
            if (c->normalise)
                normalise(o->embedding, c->hidden);
        }
        if (o->logits && c->task == ENCODER_TOKENS)
            token_logits(p, e, x, rows, o->logits);
        else if (o->logits)
            sequence_logits(p, e, x, rows, o->logits);
        x += (size_t)rows * c->hidden;
    }
}

// Nobody looks at other rows than the first of each sequence.
static bool wants_first_only(const struct encoder_config *c, const struct encoder_output *outputs,
                             uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct encoder_output *o = &outputs[i];
        bool mean = c->family == ENCODER_MODERNBERT && c->classifier_mean;
        if (o->states || (o->embedding && c->pool != ENCODER_POOL_CLS) ||
            (o->logits && (c->task == ENCODER_TOKENS || mean)))
            return false;
    }
    return true;
}

enum result encoder_run(const struct encoder *e, struct encoder_scratch *s,
                        const struct encoder_sequence *sequences, uint32_t count,
                        const struct encoder_output *outputs, const atomic_bool *stop)
{
    const struct encoder_config *c = &e->head->config;
    struct encoder_pass p = {c, e->elem, e->attention, s, sequences, count, 0};
    enum result r = check_sequences(e, s, sequences, count, &p.tok);
    if (r || count == 0)
        return r;
    for (uint32_t i = 0; i < count; i++)
        if (outputs[i].logits && e->head->labels.n == 0)
            return RESULT_UNSUPPORTED;
    bool first_only = wants_first_only(c, outputs, count);
    encoder_embed(e, &p);
    for (uint32_t i = 0; i < c->layers; i++) {
        if (stop && atomic_load_explicit(stop, memory_order_relaxed))
            return RESULT_CANCELLED;
        struct encoder_layer l = encoder_layer_of(e, i);
        encoder_layer_run(&p, &l, first_only && i + 1 == c->layers);
    }
    uint32_t rows = first_only ? count : p.tok;
    for (uint32_t i = 0; c->family == ENCODER_MODERNBERT && i < rows; i++) {
        float *row = s->x + (size_t)i * c->hidden;
        e->elem->norm(row, row, vector(e, e->head->final_gain), vector(e, e->head->final_bias),
                      c->hidden, c->norm_eps);
    }
    write_outputs(&p, e, first_only, outputs);
    return RESULT_OK;
}
