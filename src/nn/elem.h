// What an encoder does between its matrix products, per tier: norms, activations, tables, attention.
//
// Every function works row by row in a fixed order of sums, so that a row's bits depend on nothing but the row. Lengths
// are free; no alignment is asked for. Pure and allocation-free: attention works in memory of the caller.
#ifndef MERIT_NN_ELEM_H
#define MERIT_NN_ELEM_H

#include <stddef.h>
#include <stdint.h>

#include "nn/tier.h"

// How attention computes its two products.
enum attention_kind {
    ATTENTION_F32,
    ATTENTION_FAST, // bf16 pairs with f32 sums where the tier has them, else as ATTENTION_F32
};

// One head of one sequence.
struct attention_job {
    const float *q, *k, *v; // row i at i * stride
    size_t stride;
    float *out; // row i at i * out_stride; may be q itself
    size_t out_stride;
    uint32_t count;       // rows of the sequence, all of them keys
    uint32_t first, rows; // queries wanted: [first, first + rows)
    uint32_t width;       // numbers of a head, at most ENCODER_HEAD_MAX
    uint32_t window;      // i sees j when |i - j| <= window; UINT32_MAX: everything
    float scale;          // of a score
    const float *rope; // [count][width]: width / 2 cosines, then as many sines; NULL: no rotation
    // Disentangled positions (DeBERTa); NULL: none. A score grows by q_i * pos_key[b] and by pos_query[b] * k_j, with
    // b = bucket[i - j + count - 1], before it is scaled. Either table may be NULL.
    const float *pos_key, *pos_query; // [buckets][width], pos_stride between rows
    size_t pos_stride;
    const uint16_t *bucket;
    uint32_t buckets;
    void *room; // attention_bytes(), aligned to 64
};

struct nn_elem {
    // out = (x - mean) / sqrt(variance + eps) * gain + bias; gain and bias may be NULL; out may be x.
    void (*norm)(float *out, const float *x, const float *gain, const float *bias, uint32_t n,
                 float eps);
    void (*add)(float *x, const float *y, uint32_t n); // x += y
    // x += y, then as norm; `out` may be x.
    void (*add_norm)(float *out, float *x, const float *y, const float *gain, const float *bias,
                     uint32_t n, float eps);
    void (*gelu)(float *x, uint32_t n);                          // x * Phi(x), erf's form
    void (*axpy)(float *x, const float *y, float a, uint32_t n); // x += a * y
    void (*axpy_s8)(float *x, const int8_t *y, float a, uint32_t n);
    void (*axpy_s16)(float *x, const int16_t *y, float a, uint32_t n);
    size_t (*attention_bytes)(enum attention_kind kind, uint32_t count, uint32_t width,
                              uint32_t buckets);
    void (*attention)(enum attention_kind kind, const struct attention_job *job);
};

// The nearest of this build at or below `tier`; NN_SCALAR's on a CPU that this build has no vector form for.
const struct nn_elem *nn_elem(enum nn_tier tier);

// The tables behind nn_elem.
extern const struct nn_elem nn_elem_scalar, nn_elem_avx2, nn_elem_avx512, nn_elem_avx512_bf16;

#endif
