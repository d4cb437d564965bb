// The vector words that nn/elem_body.h is written in: AVX-512 F, BW, VL, DQ, 16 wide.
#ifndef MERIT_NN_SIMD_AVX512_H
#define MERIT_NN_SIMD_AVX512_H

#include <immintrin.h>
#include <stdint.h>

#define SIMD static inline __attribute__((always_inline))
#define VW 16u
#define TILE_ROWS 8u // of an attention tile
#define TILE_VECS 3u // vectors of a panel of keys
typedef __m512 vf;

SIMD __mmask16 simd_first(uint32_t n)
{
    return (__mmask16)(n >= 16 ? 0xffff : (1u << n) - 1);
}
SIMD vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
SIMD vf vf_load_n(const float *p, uint32_t n)
{
    return _mm512_maskz_loadu_ps(simd_first(n), p);
}
SIMD void vf_store(float *p, vf v)
{
    _mm512_storeu_ps(p, v);
}
SIMD void vf_store_n(float *p, vf v, uint32_t n)
{
    _mm512_mask_storeu_ps(p, simd_first(n), v);
}
SIMD vf vf_set(float x)
{
    return _mm512_set1_ps(x);
}
SIMD vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}
SIMD vf vf_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}
SIMD vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}
SIMD vf vf_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}
SIMD vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}
SIMD vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
SIMD vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
SIMD vf vf_round(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
SIMD vf vf_scale(vf p, vf n)
{
    __mmask16 keep = _mm512_cmp_ps_mask(n, _mm512_set1_ps(-126), _CMP_GE_OQ);
    return _mm512_maskz_scalef_ps(keep, p, n);
}
SIMD vf vf_between(vf v, uint32_t at, uint32_t lo, uint32_t hi, float otherwise)
{
    __m512i i = _mm512_add_epi32(
        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
        _mm512_set1_epi32((int)at));
    __mmask16 in = _mm512_cmpge_epi32_mask(i, _mm512_set1_epi32((int)lo)) &
                   _mm512_cmplt_epi32_mask(i, _mm512_set1_epi32((int)hi));
    return _mm512_mask_mov_ps(_mm512_set1_ps(otherwise), in, v);
}
SIMD float vf_sum(vf v)
{
    return _mm512_reduce_add_ps(v);
}
SIMD float vf_high(vf v)
{
    return _mm512_reduce_max_ps(v);
}
SIMD vf vf_from_s8(const int8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}
SIMD vf vf_from_s16(const int16_t *p)
{
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p)));
}

#endif
