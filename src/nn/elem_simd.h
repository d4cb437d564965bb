// What attention and tables need beyond nn/simd.h, and the shapes of attention's tiles per vector width.
#ifndef MERIT_NN_ELEM_SIMD_H
#define MERIT_NN_ELEM_SIMD_H

#include "nn/simd.h"

// Queries of a tile, and vectors of keys or columns beside them: their products stay in registers.
#if defined(__AVX512F__)
#define TILE_ROWS 8
#define TILE_VECS 3
#elif defined(__AVX2__)
#define TILE_ROWS 6
#define TILE_VECS 2
#elif defined(__aarch64__)
#define TILE_ROWS 6
#define TILE_VECS 4
#else
#define TILE_ROWS 4
#define TILE_VECS 4
#endif

// The first n of them, or all.
NN_INLINE vf vf_load_n(const float *p, uint32_t n)
{
    return n >= VF_LEN ? vf_load(p) : vf_load_part(p, n);
}
NN_INLINE void vf_store_n(float *p, vf a, uint32_t n)
{
    if (n >= VF_LEN)
        vf_store(p, a);
    else
        vf_store_part(p, a, n);
}

// vf_scale_low: a * 2^n for whole n <= 127; 0 where n < -126.
// vf_between: `a` where lo <= at + lane < hi, else `otherwise`.
#if defined(__AVX512F__)

NN_INLINE vf vf_scale_low(vf a, vf n)
{
    __mmask16 keep = _mm512_cmp_ps_mask(n, _mm512_set1_ps(-126), _CMP_GE_OQ);
    return _mm512_maskz_scalef_ps(keep, a, n);
}
NN_INLINE vf vf_between(vf a, uint32_t at, uint32_t lo, uint32_t hi, float otherwise)
{
    __m512i i =
        _mm512_add_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                         _mm512_set1_epi32((int)at));
    __mmask16 in = _mm512_cmpge_epi32_mask(i, _mm512_set1_epi32((int)lo)) &
                   _mm512_cmplt_epi32_mask(i, _mm512_set1_epi32((int)hi));
    return _mm512_mask_mov_ps(_mm512_set1_ps(otherwise), in, a);
}
NN_INLINE vf vf_from_s8(const int8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
NN_INLINE vf vf_from_s16(const int16_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)p)));
}

#elif defined(__AVX2__)

NN_INLINE vf vf_scale_low(vf a, vf n)
{
    __m256i bits = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    vf keep = _mm256_cmp_ps(n, _mm256_set1_ps(-126), _CMP_GE_OQ);
    return _mm256_and_ps(keep, _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), bits)));
}
NN_INLINE vf vf_between(vf a, uint32_t at, uint32_t lo, uint32_t hi, float otherwise)
{
    __m256i i =
        _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32((int)at));
    __m256i in = _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32((int)lo), i),
                                     _mm256_cmpgt_epi32(_mm256_set1_epi32((int)hi), i));
    return _mm256_blendv_ps(_mm256_set1_ps(otherwise), a, _mm256_castsi256_ps(in));
}
NN_INLINE vf vf_from_s8(const int8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
NN_INLINE vf vf_from_s16(const int16_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)p)));
}

#elif defined(__aarch64__)

NN_INLINE vf vf_scale_low(vf a, vf n)
{
    int32x4_t bits = vshlq_n_s32(vcvtnq_s32_f32(n), 23);
    uint32x4_t keep = vcgeq_f32(n, vdupq_n_f32(-126));
    return vreinterpretq_f32_u32(
        vandq_u32(keep, vreinterpretq_u32_s32(vaddq_s32(vreinterpretq_s32_f32(a), bits))));
}
NN_INLINE vf vf_between(vf a, uint32_t at, uint32_t lo, uint32_t hi, float otherwise)
{
    static const uint32_t lanes[] = {0, 1, 2, 3};
    uint32x4_t i = vaddq_u32(vld1q_u32(lanes), vdupq_n_u32(at));
    uint32x4_t in = vandq_u32(vcgeq_u32(i, vdupq_n_u32(lo)), vcltq_u32(i, vdupq_n_u32(hi)));
    return vbslq_f32(in, a, vdupq_n_f32(otherwise));
}
NN_INLINE vf vf_from_s8(const int8_t *p)
{
    float f[4] = {p[0], p[1], p[2], p[3]};
    return vld1q_f32(f);
}
NN_INLINE vf vf_from_s16(const int16_t *p)
{
    return vcvtq_f32_s32(vmovl_s16(vld1_s16(p)));
}

#else

NN_INLINE vf vf_scale_low(vf a, vf n)
{
    return n >= -126 ? vf_scale(a, n) : 0;
}
NN_INLINE vf vf_between(vf a, uint32_t at, uint32_t lo, uint32_t hi, float otherwise)
{
    return at >= lo && at < hi ? a : otherwise;
}
NN_INLINE vf vf_from_s8(const int8_t *p)
{
    return *p;
}
NN_INLINE vf vf_from_s16(const int16_t *p)
{
    return *p;
}

#endif

#endif
