// A vector of floats of the widest kind that the file's compile flags allow: `vf`, VF_LEN of them at once.
//
// For code that is written once and compiled per tier (CMakeLists.txt, nn_isa_flags). With no flags VF_LEN is 1 and the
// code is plain C. Every operation rounds as IEEE says, so the same code gives the same bits on every tier; only sums over
// a row depend on VF_LEN. Where an operand is not a number, vf_min and vf_max give the second one.
//
// No function here needs aligned memory. A file that defines NN_SIMD_256 has no wider vectors than that.
#ifndef MERIT_NN_SIMD_H
#define MERIT_NN_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define NN_INLINE static inline __attribute__((always_inline, unused))

#if defined(__AVX512F__) && !defined(NN_SIMD_256)

enum { VF_LEN = 16 };
typedef __m512 vf;

NN_INLINE vf vf_set(float x)
{
    return _mm512_set1_ps(x);
}
NN_INLINE vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
NN_INLINE void vf_store(float *p, vf a)
{
    _mm512_storeu_ps(p, a);
}
// The first n (0 to VF_LEN - 1) of them; the others are 0, and not touched.
NN_INLINE vf vf_load_part(const float *p, uint32_t n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1U << n) - 1), p);
}
NN_INLINE void vf_store_part(float *p, vf a, uint32_t n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1U << n) - 1), a);
}
NN_INLINE vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}
NN_INLINE vf vf_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}
NN_INLINE vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}
NN_INLINE vf vf_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}
// a * b + c, rounded once.
NN_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}
NN_INLINE vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
NN_INLINE vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
NN_INLINE vf vf_abs(vf a)
{
    return _mm512_abs_ps(a);
}
// To the nearest integer, ties to even.
NN_INLINE vf vf_round(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
// a * 2^n for whole n from -126 to 127.
NN_INLINE vf vf_scale(vf a, vf n)
{
    __m512i bits = _mm512_slli_epi32(_mm512_cvtps_epi32(n), 23);
    return _mm512_mul_ps(a,
                         _mm512_castsi512_ps(_mm512_add_epi32(bits, _mm512_set1_epi32(127 << 23))));
}
NN_INLINE float vf_hmin(vf a)
{
    return _mm512_reduce_min_ps(a);
}
NN_INLINE float vf_hmax(vf a)
{
    return _mm512_reduce_max_ps(a);
}
NN_INLINE float vf_hsum(vf a)
{
    return _mm512_reduce_add_ps(a);
}
// The same bits as whole numbers, converted.
NN_INLINE vf vf_from_s32(vf bits)
{
    return _mm512_cvtepi32_ps(_mm512_castps_si512(bits));
}
// Values that lie within the type, rounded to nearest even; VF_LEN of them are written.
NN_INLINE void vf_store_u8(uint8_t *p, vf a)
{
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)));
}
NN_INLINE void vf_store_s16(int16_t *p, vf a)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(a)));
}

#elif defined(__AVX2__)

enum { VF_LEN = 8 };
typedef __m256 vf;

NN_INLINE vf vf_set(float x)
{
    return _mm256_set1_ps(x);
}
NN_INLINE vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
NN_INLINE void vf_store(float *p, vf a)
{
    _mm256_storeu_ps(p, a);
}
NN_INLINE __m256i vf_part_mask(uint32_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
NN_INLINE vf vf_load_part(const float *p, uint32_t n)
{
    return _mm256_maskload_ps(p, vf_part_mask(n));
}
NN_INLINE void vf_store_part(float *p, vf a, uint32_t n)
{
    _mm256_maskstore_ps(p, vf_part_mask(n), a);
}
NN_INLINE vf vf_add(vf a, vf b)
{
    return _mm256_add_ps(a, b);
}
NN_INLINE vf vf_sub(vf a, vf b)
{
    return _mm256_sub_ps(a, b);
}
NN_INLINE vf vf_mul(vf a, vf b)
{
    return _mm256_mul_ps(a, b);
}
NN_INLINE vf vf_div(vf a, vf b)
{
    return _mm256_div_ps(a, b);
}
NN_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}
NN_INLINE vf vf_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}
NN_INLINE vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}
NN_INLINE vf vf_abs(vf a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0F), a);
}
NN_INLINE vf vf_round(vf a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
NN_INLINE vf vf_scale(vf a, vf n)
{
    __m256i bits = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    return _mm256_mul_ps(a,
                         _mm256_castsi256_ps(_mm256_add_epi32(bits, _mm256_set1_epi32(127 << 23))));
}
NN_INLINE float vf_hmin(vf a)
{
    __m128 b = _mm_min_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_min_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_min_ss(b, _mm_movehdup_ps(b)));
}
NN_INLINE float vf_hmax(vf a)
{
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}
NN_INLINE float vf_hsum(vf a)
{
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
NN_INLINE vf vf_from_s32(vf bits)
{
    return _mm256_cvtepi32_ps(_mm256_castps_si256(bits));
}
NN_INLINE __m128i vf_to_s16(vf a)
{
    __m256i v = _mm256_cvtps_epi32(a);
    return _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}
NN_INLINE void vf_store_u8(uint8_t *p, vf a)
{
    __m128i v = vf_to_s16(a);
    _mm_storel_epi64((__m128i *)p, _mm_packus_epi16(v, v));
}
NN_INLINE void vf_store_s16(int16_t *p, vf a)
{
    _mm_storeu_si128((__m128i *)p, vf_to_s16(a));
}

#elif defined(__aarch64__)

enum { VF_LEN = 4 };
typedef float32x4_t vf;

NN_INLINE vf vf_set(float x)
{
    return vdupq_n_f32(x);
}
NN_INLINE vf vf_load(const float *p)
{
    return vld1q_f32(p);
}
NN_INLINE void vf_store(float *p, vf a)
{
    vst1q_f32(p, a);
}
NN_INLINE vf vf_load_part(const float *p, uint32_t n)
{
    float t[4] = {0, 0, 0, 0};
    memcpy(t, p, n * sizeof t[0]);
    return vld1q_f32(t);
}
NN_INLINE void vf_store_part(float *p, vf a, uint32_t n)
{
    float t[4];
    vst1q_f32(t, a);
    memcpy(p, t, n * sizeof t[0]);
}
NN_INLINE vf vf_add(vf a, vf b)
{
    return vaddq_f32(a, b);
}
NN_INLINE vf vf_sub(vf a, vf b)
{
    return vsubq_f32(a, b);
}
NN_INLINE vf vf_mul(vf a, vf b)
{
    return vmulq_f32(a, b);
}
NN_INLINE vf vf_div(vf a, vf b)
{
    return vdivq_f32(a, b);
}
NN_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return vfmaq_f32(c, a, b);
}
NN_INLINE vf vf_min(vf a, vf b)
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}
NN_INLINE vf vf_max(vf a, vf b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}
NN_INLINE vf vf_abs(vf a)
{
    return vabsq_f32(a);
}
NN_INLINE vf vf_round(vf a)
{
    return vrndnq_f32(a);
}
NN_INLINE vf vf_scale(vf a, vf n)
{
    int32x4_t bits = vshlq_n_s32(vcvtnq_s32_f32(n), 23);
    return vmulq_f32(a, vreinterpretq_f32_s32(vaddq_s32(bits, vdupq_n_s32(127 << 23))));
}
NN_INLINE float vf_hmin(vf a)
{
    return vminvq_f32(a);
}
NN_INLINE float vf_hmax(vf a)
{
    return vmaxvq_f32(a);
}
NN_INLINE float vf_hsum(vf a)
{
    return vaddvq_f32(a);
}
NN_INLINE vf vf_from_s32(vf bits)
{
    return vcvtq_f32_s32(vreinterpretq_s32_f32(bits));
}
NN_INLINE void vf_store_u8(uint8_t *p, vf a)
{
    uint16x4_t v = vqmovun_s32(vcvtnq_s32_f32(a));
    uint32_t bytes = vget_lane_u32(vreinterpret_u32_u8(vqmovn_u16(vcombine_u16(v, v))), 0);
    memcpy(p, &bytes, sizeof bytes);
}
NN_INLINE void vf_store_s16(int16_t *p, vf a)
{
    vst1_s16(p, vqmovn_s32(vcvtnq_s32_f32(a)));
}

#else

enum { VF_LEN = 1 };
typedef float vf;

NN_INLINE vf vf_set(float x)
{
    return x;
}
NN_INLINE vf vf_load(const float *p)
{
    return *p;
}
NN_INLINE void vf_store(float *p, vf a)
{
    *p = a;
}
NN_INLINE vf vf_load_part(const float *p, uint32_t n)
{
    (void)p, (void)n;
    return 0;
}
NN_INLINE void vf_store_part(float *p, vf a, uint32_t n)
{
    (void)p, (void)a, (void)n;
}
NN_INLINE vf vf_add(vf a, vf b)
{
    return a + b;
}
NN_INLINE vf vf_sub(vf a, vf b)
{
    return a - b;
}
NN_INLINE vf vf_mul(vf a, vf b)
{
    return a * b;
}
NN_INLINE vf vf_div(vf a, vf b)
{
    return a / b;
}
NN_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return fmaf(a, b, c);
}
NN_INLINE vf vf_min(vf a, vf b)
{
    return a < b ? a : b;
}
NN_INLINE vf vf_max(vf a, vf b)
{
    return a > b ? a : b;
}
NN_INLINE vf vf_abs(vf a)
{
    return fabsf(a);
}
NN_INLINE vf vf_round(vf a)
{
    return nearbyintf(a);
}
// As the vector instructions do it: what is no int32 becomes the least one.
NN_INLINE int32_t vf_to_int(float a)
{
    return a > -2147483648.0f && a < 2147483648.0f ? (int32_t)nearbyintf(a) : INT32_MIN;
}
NN_INLINE vf vf_scale(vf a, vf n)
{
    uint32_t bits = ((uint32_t)vf_to_int(n) + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return a * scale;
}
NN_INLINE float vf_hmin(vf a)
{
    return a;
}
NN_INLINE float vf_hmax(vf a)
{
    return a;
}
NN_INLINE float vf_hsum(vf a)
{
    return a;
}
NN_INLINE void vf_store_u8(uint8_t *p, vf a)
{
    *p = (uint8_t)vf_to_int(a);
}
NN_INLINE void vf_store_s16(int16_t *p, vf a)
{
    *p = (int16_t)vf_to_int(a);
}

#endif

// The bf16 nearest to x (ties to even); a value that is not a number stays one. Subnormals become 0, as vcvtneps2bf16 does.
NN_INLINE uint16_t nn_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7f800000) == 0)
        return (uint16_t)(bits >> 16 & 0x8000);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
NN_INLINE float nn_bf16_float(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

// For arrays on the stack that are not kept in registers when sanitizers are on: their stack is not aligned to vectors.
typedef vf vf_any __attribute__((aligned(4)));

#endif
