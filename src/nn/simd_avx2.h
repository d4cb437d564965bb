// The vector words that nn/elem_body.h is written in: AVX2 with FMA, 8 wide.
#ifndef MERIT_NN_SIMD_AVX2_H
#define MERIT_NN_SIMD_AVX2_H

#include <immintrin.h>
#include <stdint.h>

#define SIMD static inline __attribute__((always_inline))
#define VW 8u
#define TILE_ROWS 6u // of an attention tile
#define TILE_VECS 2u // vectors of a panel of keys
typedef __m256 vf;

SIMD __m256i simd_first(uint32_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
SIMD vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
SIMD vf vf_load_n(const float *p, uint32_t n)
{
    return n >= 8 ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, simd_first(n));
}
SIMD void vf_store(float *p, vf v)
{
    _mm256_storeu_ps(p, v);
}
SIMD void vf_store_n(float *p, vf v, uint32_t n)
{
    if (n >= 8)
        _mm256_storeu_ps(p, v);
    else
        _mm256_maskstore_ps(p, simd_first(n), v);
}
SIMD vf vf_set(float x)
{
    return _mm256_set1_ps(x);
}
SIMD vf vf_add(vf a, vf b)
{
    return _mm256_add_ps(a, b);
}
SIMD vf vf_sub(vf a, vf b)
{
    return _mm256_sub_ps(a, b);
}
SIMD vf vf_mul(vf a, vf b)
{
    return _mm256_mul_ps(a, b);
}
SIMD vf vf_div(vf a, vf b)
{
    return _mm256_div_ps(a, b);
}
SIMD vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}
SIMD vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}
SIMD vf vf_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}
SIMD vf vf_round(vf a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
SIMD vf vf_scale(vf p, vf n)
{
    __m256i e = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    vf keep = _mm256_cmp_ps(n, _mm256_set1_ps(-126), _CMP_GE_OQ);
    return _mm256_and_ps(keep, _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), e)));
}
SIMD vf vf_between(vf v, uint32_t at, uint32_t lo, uint32_t hi, float otherwise)
{
    __m256i i = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
                                 _mm256_set1_epi32((int)at));
    __m256i in = _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32((int)lo), i),
                                     _mm256_cmpgt_epi32(_mm256_set1_epi32((int)hi), i));
    return _mm256_blendv_ps(_mm256_set1_ps(otherwise), v, _mm256_castsi256_ps(in));
}
SIMD float vf_sum(vf v)
{
    __m128 a = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    a = _mm_add_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)));
}
SIMD float vf_high(vf v)
{
    __m128 a = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    a = _mm_max_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_max_ss(a, _mm_movehdup_ps(a)));
}
SIMD vf vf_from_s8(const int8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}
SIMD vf vf_from_s16(const int16_t *p)
{
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}

#endif
