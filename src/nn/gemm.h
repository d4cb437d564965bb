// Matrix products of an encoder: C[m][n] = A[m][k] * W[n][k]^T + bias, W packed once, A packed row by row.
//
// Precisions:
//   NN_F32   both sides f32
//   NN_BF16  both sides bf16, f32 sums; vdpbf16ps on NN_AVX512_BF16 and its scalar model on NN_SCALAR; on the other tiers
//            values are rounded to bf16 and multiplied in f32, at the speed and size of f32
//   NN_S16   both sides s16 with one scale per row and per channel, s32 sums without overflow: near lossless, the place
//            of bf16 on CPUs without it
//   NN_INT8  activations u8 with one scale and zero point per row, weights s8 with one scale per channel; no partial sum
//            can saturate, by construction (on NN_AVX2 the weight scale of a channel is grown until the worst case fits)
//
// What is computed, bit for bit (fma is one rounding; `y` is a row of activations after its operation and balance):
//   F32   c = bias, then c = fma(y[i], w[i], c) for i = 0, 1, ...
//   BF16  c = bias, then for each pair c = fma(odd), c = fma(even), subnormals taken and given as 0 (vdpbf16ps)
//   S16   L = gemm_s16_level(k); row scale s = max(max|y| / L, 1e-30), q = round(y * (1 / s)) within +-L
//   INT8  hi = max(0, max y), lo = min(0, min y), s = max(hi/255 - lo/255, 1e-30), z = round(-lo * (1 / s)),
//         q = round(fma(y, 1 / s, z)) within 0..255
//   both  t = (float)(exact sum of q * w); INT8: t = fma(-z, colsum, t); c = fma(t * s, channel scale, bias)
//   gemm_run_add: the old c is added last
// A row with a value that is not finite gives values that are not finite or not meaningful, and no harm.
// Rounding is to nearest even. F32 and S16 give the same bits on every tier, INT8 on every tier but NN_AVX2. Any split of
// the rows over calls and threads gives the same bits.
//
// Pure and allocation-free: the caller brings memory of the sizes told here, aligned to 64 bytes.
#ifndef MERIT_NN_GEMM_H
#define MERIT_NN_GEMM_H

#include <stddef.h>
#include <stdint.h>

#include "nn/tier.h"

enum nn_precision { NN_F32, NN_BF16, NN_S16, NN_INT8, NN_PRECISIONS };

enum { GEMM_K_MAX = 65536, GEMM_N_MAX = 1 << 20 };

// The weights of one linear layer, packed for one tier. The block behind `data` is position-independent, so that it can
// lie in a mapped file.
struct gemm_weights {
    enum nn_tier tier;
    enum nn_precision precision;
    uint32_t k, n;
    const void *
        data; // gemm_weights_bytes() bytes, aligned to 64: head, panels with scales and bias, balance
};

// `k` from 1 to GEMM_K_MAX, `n` from 1 to GEMM_N_MAX.
size_t gemm_weights_bytes(enum nn_tier tier, enum nn_precision p, uint32_t k, uint32_t n);
// `w` is [n][k] row-major f32, `bias` [n] or NULL, `balance` [k] or NULL: column k of the activations is divided by it
// when they are packed and the weights multiplied (research: activation balance). Deterministic; runs on any CPU.
void gemm_weights_pack(enum nn_tier tier, enum nn_precision p, uint32_t k, uint32_t n,
                       const float *w, const float *bias, const float *balance, void *data);

// Packed rows stand one after another, gemm_row_bytes() each and each by itself, so that any part of them may be packed
// or multiplied by itself: row i is at packed + i * gemm_row_bytes(w).
size_t gemm_row_bytes(const struct gemm_weights *w);
size_t gemm_rows_bytes(const struct gemm_weights *w, uint32_t rows);
void gemm_rows_pack(const struct gemm_weights *w, const float *a, size_t stride, uint32_t rows,
                    void *packed);

// An operation on a row while it is packed. It overwrites a[row][0..k).
enum gemm_act {
    GEMM_ACT_GELU,      // x/2 * (1 + erf(x / sqrt 2))
    GEMM_ACT_GELU_GATE, // GELU(a[i]) * a[k + i]; a row has 2k values
};
void gemm_rows_pack_act(const struct gemm_weights *w, enum gemm_act act, float *a, size_t stride,
                        uint32_t rows, void *packed);

// c[row][0..n) with `stride` floats between rows. The packed rows may serve several weights of equal k, tier, precision
// and balance.
void gemm_run(const struct gemm_weights *w, const void *packed, uint32_t rows, float *c,
              size_t stride);
// The same added to what c holds: a residual connection.
void gemm_run_add(const struct gemm_weights *w, const void *packed, uint32_t rows, float *c,
                  size_t stride);

// Largest |q| of an activation in NN_S16; the longer the sum, the smaller.
int gemm_s16_level(uint32_t k);

#endif
