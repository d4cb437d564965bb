// The vector words that nn/elem_body.h is written in, one number wide: the model of the other tiers.
#ifndef MERIT_NN_SIMD_SCALAR_H
#define MERIT_NN_SIMD_SCALAR_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define SIMD static inline __attribute__((always_inline))
#define VW 1u
#define TILE_ROWS 4u // of an attention tile
#define TILE_VECS 4u // vectors of a panel of keys
typedef float vf;

SIMD vf vf_load(const float *p)
{
    return *p;
}
SIMD vf vf_load_n(const float *p, uint32_t n)
{
    return n ? *p : 0;
}
SIMD void vf_store(float *p, vf v)
{
    *p = v;
}
SIMD void vf_store_n(float *p, vf v, uint32_t n)
{
    if (n)
        *p = v;
}
SIMD vf vf_set(float x)
{
    return x;
}
SIMD vf vf_add(vf a, vf b)
{
    return a + b;
}
SIMD vf vf_sub(vf a, vf b)
{
    return a - b;
}
SIMD vf vf_mul(vf a, vf b)
{
    return a * b;
}
SIMD vf vf_div(vf a, vf b)
{
    return a / b;
}
SIMD vf vf_fma(vf a, vf b, vf c)
{
    return __builtin_fmaf(a, b, c);
}
SIMD vf vf_max(vf a, vf b)
{
    return a > b ? a : b;
}
SIMD vf vf_min(vf a, vf b)
{
    return a < b ? a : b;
}
SIMD vf vf_round(vf a)
{
    return __builtin_rintf(a);
}
// p * 2^n for whole n in [-126, 127]; 0 where n is below.
SIMD vf vf_scale(vf p, vf n)
{
    float s;
    if (!(n >= -126))
        return 0;
    uint32_t bits = (uint32_t)((int32_t)n + 127) << 23;
    memcpy(&s, &bits, sizeof s);
    return p * s;
}
// v where lo <= at + lane < hi, else `otherwise`.
SIMD vf vf_between(vf v, uint32_t at, uint32_t lo, uint32_t hi, float otherwise)
{
    return at >= lo && at < hi ? v : otherwise;
}
SIMD float vf_sum(vf v)
{
    return v;
}
SIMD float vf_high(vf v)
{
    return v;
}
SIMD vf vf_from_s8(const int8_t *p)
{
    return *p;
}
SIMD vf vf_from_s16(const int16_t *p)
{
    return *p;
}

#endif
