// Matrix kernels in plain C: the fallback of every CPU, and the model of what the others compute.
#include <math.h>

#include "nn/gemm_rows.h"

enum { COLUMNS = 16, ROWS = 4 };

static float flushed(float x)
{
    return fabsf(x) < 0x1p-126F ? copysignf(0, x) : x;
}

// One channel of one row: four bytes of each side per step.
static float product(enum gemm_form form, const struct gemm_row *row, const char *w, uint32_t steps,
                     const float *tail)
{
    const char *a = (const char *)(row + 1);
    float bias = tail[2 * COLUMNS], sum = bias;
    int32_t exact = 0;
    for (uint32_t s = 0; s < steps; s++, a += 4, w += (size_t)COLUMNS * 4) {
        if (form == GEMM_FORM_F32) {
            float x, y;
            memcpy(&x, a, 4);
            memcpy(&y, w, 4);
            sum = fmaf(x, y, sum);
        } else if (form == GEMM_FORM_BF16) {
            uint16_t x[2], y[2];
            memcpy(x, a, 4);
            memcpy(y, w, 4);
            for (int e = 1; e >= 0; e--)
                sum = flushed(
                    fmaf(flushed(nn_bf16_float(x[e])), flushed(nn_bf16_float(y[e])), flushed(sum)));
        } else if (form == GEMM_FORM_S16) {
            int16_t x[2], y[2];
            memcpy(x, a, 4);
            memcpy(y, w, 4);
            exact += x[0] * y[0] + x[1] * y[1];
        } else {
            const uint8_t *x = (const uint8_t *)a;
            const int8_t *y = (const int8_t *)w;
            exact += x[0] * y[0] + x[1] * y[1] + x[2] * y[2] + x[3] * y[3];
        }
    }
    if (form == GEMM_FORM_F32 || form == GEMM_FORM_BF16)
        return sum;
    float t = (float)exact;
    if (form == GEMM_FORM_U8)
        t = fmaf(-row->zero, tail[COLUMNS], t);
    return fmaf(t * row->scale, tail[0], bias);
}

NN_INLINE void tile(const struct gemm_tile *t, uint32_t rows, enum gemm_form form)
{
    const float *tail = (const float *)(const void *)(t->panel + (size_t)t->steps * COLUMNS * 4);
    for (uint32_t i = 0; i < rows; i++)
        for (uint32_t j = 0; j < COLUMNS; j++) {
            const void *row = t->a + i * t->a_stride;
            float value = product(form, row, t->panel + (size_t)4 * j, t->steps, tail + j);
            float *c = t->c + i * t->c_stride + j;
            *c = t->add ? value + *c : value;
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
    static const gemm_tile_fn name[ROWS] = {name##_1, name##_2, name##_3, name##_4};

HEIGHTS(f32, GEMM_FORM_F32)
HEIGHTS(bf16, GEMM_FORM_BF16)
HEIGHTS(s16, GEMM_FORM_S16)
HEIGHTS(u8, GEMM_FORM_U8)

static void pack_bf16(const struct gemm_pack *p, const float *a, struct gemm_row *row)
{
    uint16_t *out = (uint16_t *)(void *)(row + 1);
    row->scale = 1;
    row->zero = 0;
    for (uint32_t i = 0; i < p->k; i++)
        out[i] = nn_bf16(p->inverse ? a[i] * p->inverse[i] : a[i]);
    memset(out + p->k, 0, ((size_t)p->steps * 2 - p->k) * sizeof *out);
}

const struct gemm_kernel gemm_scalar[NN_PRECISIONS] = {
    [NN_F32] = {GEMM_FORM_F32, COLUMNS, ROWS, false, false, f32, gemm_pack_f32, gemm_act_row},
    [NN_BF16] = {GEMM_FORM_BF16, COLUMNS, ROWS, false, false, bf16, pack_bf16, gemm_act_row},
    [NN_S16] = {GEMM_FORM_S16, COLUMNS, ROWS, false, false, s16, gemm_pack_s16, gemm_act_row},
    [NN_INT8] = {GEMM_FORM_U8, COLUMNS, ROWS, false, false, u8, gemm_pack_u8, gemm_act_row},
};
