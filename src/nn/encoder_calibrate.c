#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "nn/encoder_pack.h"

enum { REPEATS = 3, LENGTHS = 8, SEQUENCES = REPEATS * LENGTHS };
static const uint32_t lengths[LENGTHS] = {2, 3, 4, 6, 10, 18, 34, 62}; // with first and last token

// The gate: how large a share of a layer's output may be error because one part of the layer is in NN_INT8. The parts
// behind the activation function are what moves embeddings most; no later layer adds to what the last one does; other
// parts only fail when something is broken. NN_AVX2 has fewer levels per weight, and what its other parts lose leaves less
// room. Set so that all-MiniLM-L6-v2 keeps a mean cosine above .999 (measured 2026-11; test_nn_encoder_golden prints it).
#define GATE_ANY 0.02
#define GATE_DOWN 0.009
#define GATE_DOWN_AVX2 0.0085
#define GATE_LAST 1.2

struct encoder_calibration {
    struct encoder view; // of the block under construction
    struct encoder_pass pass;
    struct encoder_sequence sequences[SEQUENCES];
    uint32_t *ids;
    float *before, *after;                                   // [tok][hidden]
    float *high[ENCODER_LINEARS], *balance[ENCODER_LINEARS]; // [k]
    void *packed[ENCODER_LINEARS];                           // NN_F32
    void *trial;                                             // NN_INT8, one part
    void *memory;
};

static uint64_t part(uint64_t *at, uint64_t bytes)
{
    uint64_t here = *at;
    *at += (bytes + BLOCK_ALIGN - 1) & ~(uint64_t)(BLOCK_ALIGN - 1);
    return here;
}

// Lays the arrays out from `base`; the bytes they take.
static uint64_t place(struct encoder_calibration *c, const struct encoder_packer *p, uint32_t tok,
                      char *base)
{
    const struct encoder_config *f = p->config;
    uint64_t at = 0, states = (uint64_t)tok * f->hidden * sizeof(float), most = 0;
    c->ids = (void *)(base + part(&at, tok * sizeof(uint32_t)));
    c->before = (void *)(base + part(&at, states));
    c->after = (void *)(base + part(&at, states));
    for (unsigned i = 0; i < ENCODER_LINEARS; i++) {
        uint32_t k, n;
        encoder_linear_size(f, i, &k, &n);
        uint64_t small = gemm_weights_bytes(p->options->tier, NN_INT8, k, n);
        c->high[i] = (void *)(base + part(&at, k * sizeof(float)));
        c->balance[i] = (void *)(base + part(&at, k * sizeof(float)));
        c->packed[i] = base + part(&at, gemm_weights_bytes(p->options->tier, NN_F32, k, n));
        most = small > most ? small : most;
    }
    c->trial = base + part(&at, most);
    return at;
}

static uint32_t fill_ids(struct encoder_calibration *c, const struct encoder_config *f)
{
    struct rng rng;
    uint32_t total = 0, longest = encoder_tokens(f);
    uint32_t low = f->vocab > 2000 ? 1000 : 0; // below lie special and unused ones
    rng_seed(&rng, 1);
    for (uint32_t s = 0; s < SEQUENCES; s++) {
        uint32_t n = lengths[s % LENGTHS] < longest ? lengths[s % LENGTHS] : longest;
        for (uint32_t i = 0; c->ids && i < n; i++)
            c->ids[total + i] = i == 0       ? f->first_id
                                : i == n - 1 ? f->last_id
                                             : low + (uint32_t)rng_below(&rng, f->vocab - low);
        for (uint32_t i = 0; c->ids && i < n; i++)
            if (c->ids[total + i] >= f->vocab)
                c->ids[total + i] = 0;
        c->sequences[s] = (struct encoder_sequence){c->ids ? c->ids + total : NULL, NULL, n};
        total += n;
    }
    return total;
}

enum result encoder_calibration_open(struct encoder_packer *p, struct encoder_calibration **out)
{
    const struct encoder_config *f = p->config;
    struct encoder_calibration *c = alloc_zeroed(1, sizeof *c);
    *out = c; // what is there so far is closed by the caller
    if (!c)
        return RESULT_NOMEM;
    uint32_t tok = fill_ids(c, f);
    uint64_t bytes = place(c, p, tok, NULL);
    c->ids = NULL;
    c->memory = alloc_bytes(bytes + BLOCK_ALIGN);
    if (!c->memory)
        return RESULT_NOMEM;
    uintptr_t base = ((uintptr_t)c->memory + BLOCK_ALIGN - 1) & ~(uintptr_t)(BLOCK_ALIGN - 1);
    place(c, p, tok, (char *)base);
    fill_ids(c, f);
    c->view = (struct encoder){.base = p->block,
                               .head = (const void *)p->block,
                               .layers = p->layers,
                               .elem = nn_elem(p->options->tier),
                               .attention = ATTENTION_F32};
    size_t packed = 0;
    for (unsigned i = 0; i < ENCODER_LINEARS; i++) {
        struct gemm_weights w = {.tier = p->options->tier, .precision = NN_F32};
        encoder_linear_size(f, i, &w.k, &w.n);
        size_t n = gemm_rows_bytes(&w, RUN_PACKED);
        packed = n > packed ? n : packed;
    }
    struct encoder_scratch *scratch;
    enum result r = encoder_scratch_make(f, c->view.elem, ATTENTION_F32, packed, tok, &scratch);
    if (r)
        return r;
    c->pass = (struct encoder_pass){f,         c->view.elem, ATTENTION_F32, scratch, c->sequences,
                                    SEQUENCES, tok};
    encoder_embed(&c->view, &c->pass);
    return RESULT_OK;
}

void encoder_calibration_close(struct encoder_calibration *c)
{
    if (!c)
        return;
    encoder_scratch_close(c->pass.scratch);
    alloc_free(c->memory);
    alloc_free(c);
}

static float larger(float a, float b)
{
    return a > b ? a : b;
}

static void observe(void *ctx, unsigned linear, const float *rows, size_t stride, uint32_t count)
{
    struct encoder_calibration *c = ctx;
    uint32_t k, n;
    encoder_linear_size(c->pass.config, linear, &k, &n);
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < k; j++)
            c->high[linear][j] = larger(c->high[linear][j], fabsf(rows[i * stride + j]));
}

// A column of activations is divided by b and its weights multiplied: with b = sqrt(activations / weights) both have
// the same range, so that neither's outliers cost the other columns their precision.
static void find_balance(struct encoder_calibration *c, const struct encoder_packer *p,
                         unsigned linear)
{
    uint32_t k, n;
    encoder_linear_size(p->config, linear, &k, &n);
    float *b = c->balance[linear];
    memset(b, 0, k * sizeof *b);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < k; j++)
            b[j] = larger(b[j], fabsf(p->w[linear][(size_t)i * k + j]));
    for (uint32_t j = 0; j < k; j++)
        b[j] = sqrtf(larger(c->high[linear][j], 1e-3f) / larger(b[j], 1e-4f));
}

static double share_of_error(const float *x, const float *want, size_t n)
{
    double error = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)x[i] - (double)want[i];
        error += d * d;
        size += (double)want[i] * (double)want[i];
    }
    return sqrt(error / fmax(size, 1e-30));
}

static bool good_enough(struct encoder_calibration *c, const struct encoder_packer *p,
                        const struct encoder_layer *layer, unsigned linear, bool last)
{
    struct encoder_layer trial = *layer;
    struct gemm_weights *w = &trial.linear[linear];
    size_t n = (size_t)c->pass.tok * p->config->hidden;
    w->precision = NN_INT8;
    w->data = c->trial;
    gemm_weights_pack(w->tier, NN_INT8, w->k, w->n, p->w[linear],
                      p->has_bias[linear] ? p->bias[linear] : NULL, c->balance[linear], c->trial);
    memcpy(c->pass.scratch->x, c->before, n * sizeof(float));
    encoder_layer_run(&c->pass, &trial, false);
    double share = share_of_error(c->pass.scratch->x, c->after, n);
    if (linear != LINEAR_DOWN)
        return share <= GATE_ANY;
    double limit = p->options->tier == NN_AVX2 ? GATE_DOWN_AVX2 : GATE_DOWN;
    return share <= (last ? limit * GATE_LAST : limit);
}

void encoder_calibrate(struct encoder_calibration *c, struct encoder_packer *p, uint32_t layer,
                       enum nn_precision precision[ENCODER_LINEARS],
                       const float *balance[ENCODER_LINEARS])
{
    struct encoder_scratch *s = c->pass.scratch;
    struct encoder_layer l = encoder_layer_of(&c->view, layer);
    size_t bytes = (size_t)c->pass.tok * p->config->hidden * sizeof(float);
    for (unsigned i = 0; i < ENCODER_LINEARS; i++) {
        struct gemm_weights w = {p->options->tier, NN_F32, 0, 0, c->packed[i]};
        encoder_linear_size(p->config, i, &w.k, &w.n);
        gemm_weights_pack(w.tier, NN_F32, w.k, w.n, p->w[i], p->has_bias[i] ? p->bias[i] : NULL,
                          NULL, c->packed[i]);
        memset(c->high[i], 0, w.k * sizeof(float));
        l.linear[i] = w;
    }
    memcpy(c->before, s->x, bytes);
    s->observe = observe;
    s->observe_ctx = c;
    encoder_layer_run(&c->pass, &l, false);
    s->observe = NULL;
    memcpy(c->after, s->x, bytes);
    for (unsigned i = 0; i < ENCODER_LINEARS; i++) {
        find_balance(c, p, i);
        balance[i] = c->balance[i];
        if (p->options->plan == ENCODER_PLAN_INT8 ||
            good_enough(c, p, &l, i, layer + 1 == p->config->layers))
            precision[i] = NN_INT8;
    }
    memcpy(s->x, c->after, bytes);
}
