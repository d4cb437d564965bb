// Packing of one row of activations, for the vector width of the file that includes it (nn/simd.h). Every operation is
// elementwise or a minimum or maximum, so the packed bytes are the same on every tier.
#ifndef MERIT_NN_GEMM_ROWS_H
#define MERIT_NN_GEMM_ROWS_H

#include <string.h>

#include "nn/gemm_kernel.h"
#include "nn/simd.h"

static const float GEMM_SCALE_MIN = 1e-30F;

// erf(z) = z * P(z^2) / Q(z^2) for |z| <= 4, beyond which it is 1 in f32. Own least-maximum fit; error in f32 below 4e-7.
NN_INLINE vf gemm_erf(vf z)
{
    z = vf_min(vf_max(z, vf_set(-4)), vf_set(4));
    vf t = vf_mul(z, z), p = vf_set(1.974815e-06F), q = vf_set(3.7480688e-05F);
    p = vf_fma(p, t, vf_set(0.0002880411F));
    p = vf_fma(p, t, vf_set(0.004003669F));
    p = vf_fma(p, t, vf_set(0.05346755F));
    p = vf_fma(p, t, vf_set(0.19624965F));
    p = vf_fma(p, t, vf_set(1.128379F));
    q = vf_fma(q, t, vf_set(0.0012163639F));
    q = vf_fma(q, t, vf_set(0.015444471F));
    q = vf_fma(q, t, vf_set(0.116476685F));
    q = vf_fma(q, t, vf_set(0.5072529F));
    q = vf_fma(q, t, vf_set(1));
    vf e = vf_div(vf_mul(z, p), q);
    return vf_min(vf_max(e, vf_set(-1)), vf_set(1));
}

NN_INLINE vf gemm_gelu(vf x)
{
    vf half = vf_mul(x, vf_set(0.5F));
    return vf_fma(half, gemm_erf(vf_mul(x, vf_set(0.70710678F))), half);
}

NN_INLINE vf gemm_act_of(enum gemm_act act, vf x, vf gate)
{
    vf y = gemm_gelu(x);
    return act == GEMM_ACT_GELU_GATE ? vf_mul(y, gate) : y;
}

static void gemm_act_row(enum gemm_act act, float *a, uint32_t k)
{
    const float *gate = act == GEMM_ACT_GELU_GATE ? a + k : a;
    uint32_t i = 0, left = k % VF_LEN;
    for (; i + VF_LEN <= k; i += VF_LEN)
        vf_store(a + i, gemm_act_of(act, vf_load(a + i), vf_load(gate + i)));
    if (left)
        vf_store_part(
            a + i, gemm_act_of(act, vf_load_part(a + i, left), vf_load_part(gate + i, left)), left);
}

NN_INLINE vf gemm_value(const struct gemm_pack *p, const float *a, uint32_t i)
{
    vf v = vf_load(a + i);
    return p->inverse ? vf_mul(v, vf_load(p->inverse + i)) : v;
}

NN_INLINE vf gemm_value_part(const struct gemm_pack *p, const float *a, uint32_t i, uint32_t n)
{
    vf v = vf_load_part(a + i, n);
    return p->inverse ? vf_mul(v, vf_load_part(p->inverse + i, n)) : v;
}

// The least and the greatest of a row and 0.
NN_INLINE void gemm_range(const struct gemm_pack *p, const float *a, float *low, float *high)
{
    vf lo = vf_set(0), hi = lo, lo2 = lo, hi2 = lo;
    uint32_t i = 0, left = p->k % VF_LEN;
    for (; i + 2 * VF_LEN <= p->k; i += 2 * VF_LEN) {
        vf v = gemm_value(p, a, i), u = gemm_value(p, a, i + VF_LEN);
        lo = vf_min(v, lo);
        hi = vf_max(v, hi);
        lo2 = vf_min(u, lo2);
        hi2 = vf_max(u, hi2);
    }
    for (; i + VF_LEN <= p->k; i += VF_LEN) {
        vf v = gemm_value(p, a, i);
        lo = vf_min(v, lo);
        hi = vf_max(v, hi);
    }
    if (left) {
        vf v = gemm_value_part(p, a, i, left);
        lo = vf_min(v, lo);
        hi = vf_max(v, hi);
    }
    *low = vf_hmin(vf_min(lo, lo2));
    *high = vf_hmax(vf_max(hi, hi2));
}

__attribute__((unused)) static void gemm_pack_f32(const struct gemm_pack *p, const float *a,
                                                  struct gemm_row *row)
{
    float *out = (float *)(void *)(row + 1);
    uint32_t i = 0, left = p->k % VF_LEN;
    row->scale = 1;
    row->zero = 0;
    memset(out + p->k, 0, (p->steps - p->k) * sizeof *out);
    for (; i + VF_LEN <= p->k; i += VF_LEN)
        vf_store(out + i, gemm_value(p, a, i));
    if (left)
        vf_store_part(out + i, gemm_value_part(p, a, i, left), left);
}

// f32 of values rounded to bf16, for tiers without its product.
__attribute__((unused)) static void gemm_pack_rounded(const struct gemm_pack *p, const float *a,
                                                      struct gemm_row *row)
{
    gemm_pack_f32(p, a, row);
    float *out = (float *)(void *)(row + 1);
    for (uint32_t i = 0; i < p->k; i++)
        out[i] = nn_bf16_float(nn_bf16(out[i]));
}

__attribute__((unused)) static void gemm_pack_s16(const struct gemm_pack *p, const float *a,
                                                  struct gemm_row *row)
{
    float low, high;
    gemm_range(p, a, &low, &high);
    float level = (float)p->level, most = high > -low ? high : -low, scale = most / level;
    if (!(scale > GEMM_SCALE_MIN))
        scale = GEMM_SCALE_MIN;
    row->scale = scale;
    row->zero = 0;
    vf inverse = vf_set(1.0F / scale), top = vf_set(level), bottom = vf_set(-level);
    int16_t *out = (int16_t *)(void *)(row + 1);
    uint32_t i = 0, left = p->k % VF_LEN;
    memset(out + p->k, 0, ((size_t)p->steps * 2 - p->k) * sizeof *out);
    for (; i + VF_LEN <= p->k; i += VF_LEN) {
        vf q = vf_mul(gemm_value(p, a, i), inverse);
        vf_store_s16(out + i, vf_min(vf_max(q, bottom), top));
    }
    if (left) {
        int16_t last[VF_LEN];
        vf q = vf_mul(gemm_value_part(p, a, i, left), inverse);
        vf_store_s16(last, vf_min(vf_max(q, bottom), top));
        memcpy(out + i, last, left * sizeof last[0]);
    }
}

__attribute__((unused)) static void gemm_pack_u8(const struct gemm_pack *p, const float *a,
                                                 struct gemm_row *row)
{
    float low, high;
    gemm_range(p, a, &low, &high);
    float scale = high / 255 - low / 255;
    if (!(scale > GEMM_SCALE_MIN))
        scale = GEMM_SCALE_MIN;
    float inverse = 1.0F / scale;
    row->scale = scale;
    row->zero = nearbyintf(-low * inverse);
    vf by = vf_set(inverse), zero = vf_set(row->zero), top = vf_set(255), bottom = vf_set(0);
    uint8_t *out = (uint8_t *)(row + 1);
    uint32_t i = 0, left = p->k % VF_LEN;
    memset(out + p->k, 0, (size_t)p->steps * 4 - p->k);
    for (; i + VF_LEN <= p->k; i += VF_LEN) {
        vf q = vf_fma(gemm_value(p, a, i), by, zero);
        vf_store_u8(out + i, vf_min(vf_max(q, bottom), top));
    }
    if (left) {
        uint8_t last[VF_LEN];
        vf q = vf_fma(gemm_value_part(p, a, i, left), by, zero);
        vf_store_u8(last, vf_min(vf_max(q, bottom), top));
        memcpy(out + i, last, left);
    }
}

#endif
