#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "nn/encoder_block.h"

uint32_t encoder_up_n(const struct encoder_config *c)
{
    return c->family == ENCODER_MODERNBERT ? 2 * c->inner : c->inner;
}

uint32_t encoder_spread(const struct encoder_config *c)
{
    return c->buckets ? c->buckets : c->relative_max;
}

uint32_t encoder_tokens(const struct encoder_config *c)
{
    uint32_t n = c->family == ENCODER_ROBERTA ? c->positions - c->pad_id - 1 : c->positions;
    return n < ENCODER_TOKENS_MAX ? n : ENCODER_TOKENS_MAX;
}

bool encoder_layer_local(const struct encoder_config *c, uint32_t layer)
{
    return c->family == ENCODER_MODERNBERT && !(c->global_layers >> layer & 1);
}

// Angles as the reference computes them, in f32: the frequency, then its product with the position.
static void fill_rope(float *table, uint32_t tok, uint32_t width, double theta)
{
    uint32_t half = width / 2;
    for (uint32_t d = 0; d < half; d++) {
        float f = 1.0f / (float)pow((double)(float)theta, (double)((float)(2 * d) / (float)width));
        for (uint32_t i = 0; i < tok; i++) {
            float angle = (float)i * f;
            table[(size_t)i * width + d] = (float)cos((double)angle);
            table[(size_t)i * width + half + d] = (float)sin((double)angle);
        }
    }
}

// DeBERTa-v2's log buckets: exact up to half of them, then logarithmic up to the largest distance.
static int32_t bucket_of(int32_t distance, uint32_t buckets, uint32_t most)
{
    int32_t mid = (int32_t)buckets / 2, size = distance < 0 ? -distance : distance;
    if (buckets == 0 || size <= mid)
        return distance;
    float steps = logf((float)size / (float)mid) / logf((float)(most - 1) / (float)mid);
    int32_t b = (int32_t)ceilf(steps * (float)(mid - 1)) + mid;
    return distance < 0 ? -b : b;
}

static void fill_buckets(const struct encoder_config *c, uint16_t *table, uint32_t tok)
{
    int32_t spread = (int32_t)encoder_spread(c);
    for (int32_t d = 1 - (int32_t)tok; d < (int32_t)tok; d++) {
        int32_t b = bucket_of(d, c->buckets, c->relative_max) + spread;
        b = b < 0 ? 0 : b > 2 * spread - 1 ? 2 * spread - 1 : b;
        table[d + (int32_t)tok - 1] = (uint16_t)b;
    }
}

enum result encoder_scratch_make(const struct encoder_config *c, const struct nn_elem *elem,
                                 enum attention_kind attention, size_t packed_bytes, uint32_t tok,
                                 struct encoder_scratch **out)
{
    *out = NULL;
    if (tok == 0 || tok > ENCODER_TOKENS_MAX)
        return RESULT_LIMIT;
    uint32_t width = c->hidden / c->heads;
    uint32_t longest = tok < encoder_tokens(c) ? tok : encoder_tokens(c);
    bool rope = c->family == ENCODER_MODERNBERT, relative = c->family == ENCODER_DEBERTA;
    struct encoder_scratch *s = alloc_zeroed(1, sizeof *s);
    if (!s)
        return RESULT_NOMEM;
    size_t at = 0, sizes[10] = {
                       (size_t)tok * c->hidden * sizeof(float),
                       (size_t)tok * 3 * c->hidden * sizeof(float),
                       (size_t)(RUN_ROWS + 1) * c->hidden * sizeof(float),
                       (size_t)RUN_ROWS * encoder_up_n(c) * sizeof(float),
                       (size_t)c->hidden * sizeof(float),
                       rope ? (size_t)longest * width * sizeof(float) : 0,
                       rope ? (size_t)longest * width * sizeof(float) : 0,
                       packed_bytes,
                       elem->attention_bytes(attention, longest, width,
                                             relative ? 2 * encoder_spread(c) : 0),
                       (size_t)c->inner * sizeof(float),
                   };
    for (unsigned i = 0; i < 10; i++)
        at += (sizes[i] + 63) & ~(size_t)63;
    size_t buckets = relative ? ((size_t)2 * longest * sizeof(uint16_t) + 63) & ~(size_t)63 : 0;
    s->memory = alloc_bytes(at + buckets + 64);
    if (!s->memory) {
        alloc_free(s);
        return RESULT_NOMEM;
    }
    char *p = (char *)(((uintptr_t)s->memory + 63) & ~(uintptr_t)63);
    void *places[10];
    for (unsigned i = 0; i < 10; i++) {
        places[i] = p;
        p += (sizes[i] + 63) & ~(size_t)63;
    }
    s->x = places[0], s->qkv = places[1], s->y = places[2], s->inner = places[3];
    s->pooled = places[4], s->rope[0] = places[5], s->rope[1] = places[6];
    s->packed = places[7], s->attention = places[8];
    s->spare = places[9], s->buckets = (uint16_t *)(void *)p;
    s->bytes = at + buckets + 64;
    s->tok = tok;
    s->longest = longest;
    if (rope) {
        fill_rope(s->rope[0], longest, width, c->rope_global);
        fill_rope(s->rope[1], longest, width, c->rope_local);
    }
    if (relative)
        fill_buckets(c, s->buckets, longest);
    *out = s;
    return RESULT_OK;
}

void encoder_linear_run(const struct encoder_pass *p, const struct gemm_weights *w, unsigned which,
                        const float *x, size_t stride, uint32_t rows, float *y, size_t y_stride)
{
    struct encoder_scratch *s = p->scratch;
    if (s->observe)
        s->observe(s->observe_ctx, which, x, stride, rows);
    gemm_rows_pack(w, x, stride, rows, s->packed);
    gemm_run(w, s->packed, rows, y, y_stride);
}

// Rows [from, from + n) of equal blocks of at most RUN_ROWS.
static uint32_t block_at(uint32_t rows, uint32_t blocks, uint32_t i)
{
    return (uint32_t)((uint64_t)rows * i / blocks);
}

static uint32_t block_count(uint32_t rows)
{
    return (rows + RUN_ROWS - 1) / RUN_ROWS;
}

static void run_queries(const struct encoder_pass *p, const struct encoder_layer *l)
{
    const struct encoder_config *c = p->config;
    struct encoder_scratch *s = p->scratch;
    uint32_t h = c->hidden, blocks = block_count(p->tok);
    bool before = c->family == ENCODER_MODERNBERT && l->norm1_gain;
    for (uint32_t b = 0; b < blocks; b++) {
        uint32_t from = block_at(p->tok, blocks, b), n = block_at(p->tok, blocks, b + 1) - from;
        const float *x = s->x + (size_t)from * h;
        for (uint32_t i = 0; before && i < n; i++)
            p->elem->norm(s->y + (size_t)i * h, x + (size_t)i * h, l->norm1_gain, l->norm1_bias, h,
                          c->norm_eps);
        encoder_linear_run(p, &l->linear[LINEAR_QKV], LINEAR_QKV, before ? s->y : x, h, n,
                           s->qkv + (size_t)from * 3 * h, (size_t)3 * h);
    }
}

// The context takes the place of the queries.
static void run_attention(const struct encoder_pass *p, const struct encoder_layer *l,
                          bool first_only)
{
    const struct encoder_config *c = p->config;
    struct encoder_scratch *s = p->scratch;
    uint32_t h = c->hidden, width = h / c->heads, from = 0;
    unsigned terms = 1 + (l->pos_key != NULL) + (l->pos_query != NULL);
    struct attention_job job = {
        .stride = (size_t)3 * h,
        .out_stride = (size_t)3 * h,
        .width = width,
        .window = l->local ? c->window : UINT32_MAX,
        .scale = 1.0f / sqrtf((float)(width * terms)),
        .rope = c->family == ENCODER_MODERNBERT ? s->rope[l->local] : NULL,
        .pos_stride = h,
        .buckets = terms > 1 ? 2 * encoder_spread(c) : 0,
        .room = s->attention,
    };
    for (uint32_t i = 0; i < p->count; i++) {
        float *rows = s->qkv + (size_t)from * 3 * h;
        job.count = p->sequences[i].count;
        job.rows = first_only ? 1 : job.count;
        job.bucket = terms > 1 ? s->buckets + (s->longest - job.count) : NULL;
        for (uint32_t head = 0; head < c->heads; head++) {
            size_t at = (size_t)head * width;
            job.q = job.out = rows + at;
            job.k = rows + h + at;
            job.v = rows + 2 * (size_t)h + at;
            job.pos_key = l->pos_key ? l->pos_key + at : NULL;
            job.pos_query = l->pos_query ? l->pos_query + at : NULL;
            p->elem->attention(p->attention, &job);
        }
        from += job.count;
    }
}

static void keep_first(const struct encoder_pass *p)
{
    struct encoder_scratch *s = p->scratch;
    uint32_t h = p->config->hidden, from = 0;
    for (uint32_t i = 0; i < p->count; from += p->sequences[i++].count) {
        memmove(s->x + (size_t)i * h, s->x + (size_t)from * h, h * sizeof(float));
        memmove(s->qkv + (size_t)i * 3 * h, s->qkv + (size_t)from * 3 * h, h * sizeof(float));
    }
}

// Takes what stands out of `row` and puts it into `out`: the sum of both is the row.
static void split_row(float *row, float *out, uint32_t n)
{
    float most = 0;
    for (uint32_t i = 0; i < n; i++)
        most = fabsf(row[i]) > most ? fabsf(row[i]) : most;
    for (uint32_t i = 0; i < n; i++) {
        bool stands_out = fabsf(row[i]) > most * (1.0f / 8);
        out[i] = stands_out ? row[i] : 0;
        row[i] = stands_out ? 0 : row[i];
    }
}

// Which of the rows [from, from + n) begin a sequence, into `first`; how many.
static uint32_t first_rows(const struct encoder_pass *p, bool first_only, uint32_t from, uint32_t n,
                           uint32_t first[RUN_ROWS])
{
    uint32_t count = 0, at = 0;
    for (uint32_t i = 0; i < p->count && at < from + n; i++) {
        if (at >= from)
            first[count++] = at - from;
        at += first_only ? 1 : p->sequences[i].count;
    }
    return count;
}

// A sequence's first token is what attention leaves its surplus on; behind the activation function it has a few numbers
// far above the others, which would cost the row its precision in NN_INT8, and every later layer looks at it. Such a row
// goes in two parts, the few and the rest, each with a scale of its own. `packed` has the rows already.
static void run_down(const struct encoder_pass *p, const struct gemm_weights *w, float *inner,
                     size_t stride, uint32_t n, const uint32_t *first, uint32_t count,
                     float *residual)
{
    struct encoder_scratch *s = p->scratch;
    uint32_t h = p->config->hidden;
    size_t bytes = gemm_row_bytes(w);
    char *packed = s->packed, *more = packed + n * bytes;
    for (uint32_t i = 0; i < count; i++) {
        float *row = inner + first[i] * stride;
        split_row(row, s->spare, w->k);
        gemm_rows_pack(w, row, w->k, 1, packed + first[i] * bytes);
        gemm_rows_pack(w, s->spare, w->k, 1, more + (i + 1) * bytes);
    }
    gemm_run_add(w, packed, n, residual, h);
    if (count == 0)
        return;
    memset(s->spare, 0, w->k * sizeof(float)); // gives the bias, which both parts bring
    gemm_rows_pack(w, s->spare, w->k, 1, more);
    gemm_run(w, more, count + 1, s->y, h);
    for (uint32_t i = 0; i < count; i++) {
        float *x = residual + (size_t)first[i] * h, *part = s->y + (size_t)(i + 1) * h;
        p->elem->axpy(part, s->y, -1.0f, h);
        p->elem->add(x, part, h);
    }
}

// residual += down(act(up(x))), for rows [from, from + n) of those that are left.
static void run_inner(const struct encoder_pass *p, const struct encoder_layer *l, const float *x,
                      uint32_t from, uint32_t n, bool first_only, float *residual)
{
    const struct encoder_config *c = p->config;
    struct encoder_scratch *s = p->scratch;
    uint32_t f = c->inner, wide = encoder_up_n(c), first[RUN_ROWS], count = 0;
    const struct gemm_weights *down = &l->linear[LINEAR_DOWN];
    encoder_linear_run(p, &l->linear[LINEAR_UP], LINEAR_UP, x, c->hidden, n, s->inner, wide);
    gemm_rows_pack_act(down, wide == f ? GEMM_ACT_GELU : GEMM_ACT_GELU_GATE, s->inner, wide, n,
                       s->packed);
    if (down->precision == NN_INT8)
        count = first_rows(p, first_only, from, n, first);
    if (s->observe)
        s->observe(s->observe_ctx, LINEAR_DOWN, s->inner, wide, n);
    run_down(p, down, s->inner, wide, n, first, count, residual);
}

void encoder_layer_run(const struct encoder_pass *p, const struct encoder_layer *l, bool first_only)
{
    const struct encoder_config *c = p->config;
    const struct nn_elem *elem = p->elem;
    struct encoder_scratch *s = p->scratch;
    uint32_t h = c->hidden;
    bool before = c->family == ENCODER_MODERNBERT;
    run_queries(p, l);
    run_attention(p, l, first_only);
    if (first_only)
        keep_first(p);
    uint32_t rows = first_only ? p->count : p->tok, blocks = block_count(rows);
    for (uint32_t b = 0; b < blocks; b++) {
        uint32_t from = block_at(rows, blocks, b), n = block_at(rows, blocks, b + 1) - from;
        float *x = s->x + (size_t)from * h, *y = before ? s->y : x;
        float *context = s->qkv + (size_t)from * 3 * h;
        const struct gemm_weights *out = &l->linear[LINEAR_OUT];
        if (s->observe)
            s->observe(s->observe_ctx, LINEAR_OUT, context, (size_t)3 * h, n);
        gemm_rows_pack(out, context, (size_t)3 * h, n, s->packed);
        gemm_run_add(out, s->packed, n, x, h);
        const float *gain = before ? l->norm2_gain : l->norm1_gain;
        const float *bias = before ? l->norm2_bias : l->norm1_bias;
        for (uint32_t i = 0; i < n; i++)
            elem->norm(y + (size_t)i * h, x + (size_t)i * h, gain, bias, h, c->norm_eps);
        run_inner(p, l, y, from, n, first_only, x);
        for (uint32_t i = 0; !before && i < n; i++)
            elem->norm(x + (size_t)i * h, x + (size_t)i * h, l->norm2_gain, l->norm2_bias, h,
                       c->norm_eps);
    }
}
