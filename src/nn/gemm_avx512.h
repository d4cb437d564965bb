// Tiles of AVX-512: 8 rows by 48 channels, 24 sums in registers, 3 of weights, 1 broadcast value. Included by the files
// that are compiled for one set of instructions each.
//
// The products are inline assembly with the sum as a tied operand: gcc 12 makes copies of the sums of an intrinsic and
// spills them, at a third of the speed.
#ifndef MERIT_NN_GEMM_AVX512_H
#define MERIT_NN_GEMM_AVX512_H

#include "nn/gemm_rows.h"

enum { COLUMNS = 48, VECTORS = COLUMNS / 16, ROWS = 8 };

#define UNROLLED _Pragma("GCC unroll 8")

NN_INLINE __m512i step(enum gemm_form form, __m512i sum, __m512i a, __m512i w)
{
    if (form == GEMM_FORM_F32)
        __asm__("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(w));
    else if (form == GEMM_FORM_BF16)
        __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(w));
    else if (form == GEMM_FORM_S16)
        __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(w));
    else
        __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(w));
    return sum;
}

NN_INLINE __m512 finish(enum gemm_form form, __m512i sum, const struct gemm_row *row,
                        const float *tail)
{
    if (form == GEMM_FORM_F32 || form == GEMM_FORM_BF16)
        return _mm512_castsi512_ps(sum);
    __m512 t = _mm512_cvtepi32_ps(sum);
    if (form == GEMM_FORM_U8)
        t = _mm512_fnmadd_ps(_mm512_set1_ps(row->zero), _mm512_loadu_ps(tail + COLUMNS), t);
    t = _mm512_mul_ps(t, _mm512_set1_ps(row->scale));
    return _mm512_fmadd_ps(t, _mm512_loadu_ps(tail), _mm512_loadu_ps(tail + 2 * COLUMNS));
}

NN_INLINE void tile(const struct gemm_tile *t, int rows, enum gemm_form form)
{
    const char *a[ROWS], *w = t->panel, *next = t->next;
    const float *tail = (const float *)(const void *)(t->panel + (size_t)t->steps * COLUMNS * 4);
    size_t end = (size_t)t->steps * 4, next_step = t->next_step;
    __m512i sum[ROWS][VECTORS];
    UNROLLED for (int i = 0; i < rows; i++)
    {
        a[i] = t->a + (size_t)i * t->a_stride + sizeof(struct gemm_row);
        UNROLLED for (int j = 0; j < VECTORS; j++)
        {
            sum[i][j] = form == GEMM_FORM_F32 || form == GEMM_FORM_BF16
                            ? _mm512_castps_si512(_mm512_loadu_ps(tail + 2 * COLUMNS + 16 * j))
                            : _mm512_setzero_si512();
        }
    }
    for (size_t k = 0; k < end; k += 4, w += (size_t)COLUMNS * 4, next += next_step) {
        __m512i v[VECTORS];
        UNROLLED for (int j = 0; j < VECTORS; j++)
        {
            v[j] = _mm512_loadu_si512(w + 64 * j);
            _mm_prefetch(next + 64 * j, _MM_HINT_T1);
        }
        UNROLLED for (int i = 0; i < rows; i++)
        {
            __m512i x = _mm512_castps_si512(
                _mm512_broadcastss_ps(_mm_load_ss((const float *)(const void *)(a[i] + k))));
            UNROLLED for (int j = 0; j < VECTORS; j++)
            {
                sum[i][j] = step(form, sum[i][j], x, v[j]);
            }
        }
    }
    UNROLLED for (int i = 0; i < rows; i++)
    {
        const void *row = t->a + (size_t)i * t->a_stride;
        UNROLLED for (int j = 0; j < VECTORS; j++)
        {
            float *c = t->c + (size_t)i * t->c_stride + 16 * j;
            __m512 value = finish(form, sum[i][j], row, tail + 16 * j);
            if (t->add)
                value = _mm512_add_ps(value, _mm512_loadu_ps(c));
            _mm512_storeu_ps(c, value);
        }
    }
}

#define HEIGHT(name, form, rows)                                                                   \
    static void name##_##rows(const struct gemm_tile *t)                                           \
    {                                                                                              \
        tile(t, rows, form);                                                                       \
    }
#define HEIGHTS(name, form)                                                                        \
    HEIGHT(name, form, 1)                                                                          \
    HEIGHT(name, form, 2)                                                                          \
    HEIGHT(name, form, 3)                                                                          \
    HEIGHT(name, form, 4)                                                                          \
    HEIGHT(name, form, 5)                                                                          \
    HEIGHT(name, form, 6)                                                                          \
    HEIGHT(name, form, 7)                                                                          \
    HEIGHT(name, form, 8)                                                                          \
    static const gemm_tile_fn name[ROWS] = {name##_1, name##_2, name##_3, name##_4,                \
                                            name##_5, name##_6, name##_7, name##_8};

#endif
