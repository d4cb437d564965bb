// The tile of every vector instruction set: up to ROWS packed rows by COLUMNS channels, all sums in registers.
//
// A file that includes it has defined COLUMNS, ROWS and tile_step(form, sum, a, w), which adds the products of one step
// (four bytes of a in each lane, four bytes of w per channel) to the sums of VF_LEN channels. It then instantiates
// TILE_HEIGHTS(name, form), which defines `name`, the table of heights 1 to ROWS.
//
// A tile of height `rows` is one function, inlined with constant height and form, so that all loops over rows and vectors
// are unrolled and no sum leaves its register; tests/unit/test_nn_gemm_peak.c watches that.
#ifndef MERIT_NN_GEMM_TILE_H
#define MERIT_NN_GEMM_TILE_H

#include "nn/gemm_rows.h"

enum { VECTORS = COLUMNS / VF_LEN };

#if defined(__clang__)
#define TILE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define TILE_UNROLL _Pragma("GCC unroll 8")
#endif

NN_INLINE bool tile_is_float(enum gemm_form form)
{
    return form == GEMM_FORM_F32 || form == GEMM_FORM_BF16;
}

NN_INLINE vf tile_broadcast(const char *p)
{
    float four;
    memcpy(&four, p, sizeof four);
    return vf_set(four);
}

NN_INLINE const float *tile_tail(const struct gemm_tile *t)
{
    return (const float *)(const void *)(t->panel + (size_t)t->steps * COLUMNS * 4);
}

// From sums to results: scales, zero point, bias, what c holds; then out.
NN_INLINE void tile_finish(const struct gemm_tile *t, int rows, enum gemm_form form,
                           vf_any sum[ROWS][VECTORS])
{
    const float *scale = tile_tail(t), *colsum = scale + COLUMNS, *bias = colsum + COLUMNS;
    TILE_UNROLL
    for (int i = 0; i < rows; i++) {
        const struct gemm_row *row = (const void *)(t->a + (size_t)i * t->a_stride);
        float *c = t->c + (size_t)i * t->c_stride;
        vf by = vf_set(row->scale), zero = vf_set(-row->zero);
        TILE_UNROLL
        for (int j = 0; j < COLUMNS; j += VF_LEN) {
            vf v = sum[i][j / VF_LEN];
            if (!tile_is_float(form)) {
                v = vf_from_s32(v);
                if (form == GEMM_FORM_U8)
                    v = vf_fma(zero, vf_load(colsum + j), v);
                v = vf_fma(vf_mul(v, by), vf_load(scale + j), vf_load(bias + j));
            }
            if (t->add)
                v = vf_add(v, vf_load(c + j));
            vf_store(c + j, v);
        }
    }
}

NN_INLINE void tile_begin(const struct gemm_tile *t, int rows, enum gemm_form form,
                          vf_any sum[ROWS][VECTORS], const char *a[ROWS])
{
    const float *bias = tile_tail(t) + 2 * COLUMNS;
    TILE_UNROLL
    for (int i = 0; i < rows; i++) {
        a[i] = t->a + (size_t)i * t->a_stride + sizeof(struct gemm_row);
        TILE_UNROLL
        for (int j = 0; j < COLUMNS; j += 16)
            __builtin_prefetch(t->c + (size_t)i * t->c_stride + j, 1, 3);
        TILE_UNROLL
        for (int j = 0; j < VECTORS; j++)
            sum[i][j] = tile_is_float(form) ? vf_load(bias + j * VF_LEN) : vf_set(0);
    }
}

NN_INLINE void tile_prefetch(const char *next)
{
    TILE_UNROLL
    for (int j = 0; j < COLUMNS * 4; j += 64)
        __builtin_prefetch(next + j, 0, 3);
}

// One step: the products of four bytes of each row and four bytes of each channel.
NN_INLINE void tile_products(enum gemm_form form, int rows, vf_any sum[ROWS][VECTORS],
                             const char *a[ROWS], size_t k, const char *panel)
{
    vf_any w[VECTORS];
    TILE_UNROLL
    for (int j = 0; j < VECTORS; j++)
        w[j] = vf_load((const float *)(const void *)panel + j * VF_LEN);
    TILE_UNROLL
    for (int i = 0; i < rows; i++) {
        vf x = tile_broadcast(a[i] + k);
        TILE_UNROLL
        for (int j = 0; j < VECTORS; j++)
            sum[i][j] = tile_step(form, sum[i][j], x, w[j]);
    }
}

NN_INLINE void tile_run(const struct gemm_tile *t, int rows, enum gemm_form form)
{
    vf_any sum[ROWS][VECTORS];
    const char *a[ROWS], *panel = t->panel, *next = t->next;
    size_t end = (size_t)t->steps * 4, next_step = t->next_step;
    tile_begin(t, rows, form, sum, a);
    for (size_t k = 0; k < end; k += 8, panel += (size_t)COLUMNS * 8, next += next_step) {
        tile_prefetch(next);
        tile_products(form, rows, sum, a, k, panel);
        tile_products(form, rows, sum, a, k + 4, panel + (size_t)COLUMNS * 4);
    }
    tile_finish(t, rows, form, sum);
}

#define TILE_HEIGHT(name, form, rows)                                                              \
    static void name##_##rows(const struct gemm_tile *t)                                           \
    {                                                                                              \
        tile_run(t, rows, form);                                                                   \
    }
#define TILE_HEIGHTS_4(name, form)                                                                 \
    TILE_HEIGHT(name, form, 1)                                                                     \
    TILE_HEIGHT(name, form, 2)                                                                     \
    TILE_HEIGHT(name, form, 3)                                                                     \
    TILE_HEIGHT(name, form, 4)
#define TILE_HEIGHTS_6(name, form)                                                                 \
    TILE_HEIGHTS_4(name, form)                                                                     \
    TILE_HEIGHT(name, form, 5)                                                                     \
    TILE_HEIGHT(name, form, 6)                                                                     \
    static const gemm_tile_fn name[] = {name##_1, name##_2, name##_3, name##_4, name##_5, name##_6};
#define TILE_HEIGHTS_8(name, form)                                                                 \
    TILE_HEIGHTS_4(name, form)                                                                     \
    TILE_HEIGHT(name, form, 5)                                                                     \
    TILE_HEIGHT(name, form, 6)                                                                     \
    TILE_HEIGHT(name, form, 7)                                                                     \
    TILE_HEIGHT(name, form, 8)                                                                     \
    static const gemm_tile_fn name[] = {name##_1, name##_2, name##_3, name##_4,                    \
                                        name##_5, name##_6, name##_7, name##_8};

#endif
