// Matrix products of an encoder: C[m][n] = A[m][k] * W[n][k]^T + bias, W packed once, A packed by the quantiser.
//
// Precisions:
//   NN_F32   both sides f32
//   NN_BF16  both sides bf16, f32 sums (NN_AVX512_BF16; elsewhere weights bf16, sums as the tier can)
//   NN_S16   both sides s16 with one scale per row and per channel, s32 sums without overflow: near lossless, the place
//            of bf16 on CPUs without it
//   NN_INT8  activations u8 with one scale and zero point per row, weights s8 with one scale per channel; no partial sum
//            can saturate, by construction (on NN_AVX2 the weight scale of a channel is grown until the worst case fits)
// Each tier's result is bit for bit that of a scalar model of its own arithmetic (tests/unit/test_nn_gemm.c), and the
// same for any split of rows over calls and threads.
//
// Pure and allocation-free: the caller brings memory of the sizes told here, aligned to 64 bytes.
#ifndef MERIT_NN_GEMM_H
#define MERIT_NN_GEMM_H

#include <stddef.h>
#include <stdint.h>

#include "nn/tier.h"

enum nn_precision { NN_F32, NN_BF16, NN_S16, NN_INT8, NN_PRECISIONS };

// The weights of one linear layer, packed for one tier. The block behind `data` is position-independent, so that it can
// lie in a mapped file.
struct gemm_weights {
    enum nn_tier tier;
    enum nn_precision precision;
    uint32_t k, n;
    const void *data; // gemm_weights_bytes() bytes: panels, scales, corrections, balance, bias
};

size_t gemm_weights_bytes(enum nn_tier tier, enum nn_precision p, uint32_t k, uint32_t n);
// `w` is [n][k] row-major f32, `bias` [n] or NULL, `balance` [k] or NULL: column k of the activations is divided by it
// when they are packed and the weights multiplied (research: activation balance). Deterministic.
void gemm_weights_pack(enum nn_tier tier, enum nn_precision p, uint32_t k, uint32_t n,
                       const float *w, const float *bias, const float *balance, void *data);

// Rows of activations in the packed form that `w` wants, with their scales.
size_t gemm_rows_bytes(const struct gemm_weights *w, uint32_t rows);
void gemm_rows_pack(const struct gemm_weights *w, const float *a, size_t stride, uint32_t rows,
                    void *packed);
// c[row][0..n) with `stride` floats between rows. The packed rows may serve several weights of equal k, tier, precision
// and balance.
void gemm_run(const struct gemm_weights *w, const void *packed, uint32_t rows, float *c,
              size_t stride);

#endif
