// AArch64 with dot product: f32 by fmla, s16 by smlal, int8 by sdot, in tiles of 6 rows by 16 channels.
//
// sdot takes signed bytes on both sides, so the rows hold q - 128, and the sums begin at 128 * colsum: from there on they are
// those of the other tiers. s16 has no product of pairs: even and odd values are told apart by ld2 and multiplied in turn.
#if defined(__aarch64__)
#include "nn/gemm_kernel.h"
#include "nn/simd.h"

enum { COLUMNS = 16, ROWS = 6 };

NN_INLINE vf tile_step(enum gemm_form form, vf sum, vf a, vf w)
{
    if (form == GEMM_FORM_F32)
        return vfmaq_f32(sum, a, w);
    return vreinterpretq_f32_s32(
        vdotq_s32(vreinterpretq_s32_f32(sum), vreinterpretq_s8_f32(w), vreinterpretq_s8_f32(a)));
}

#include "nn/gemm_tile.h"

TILE_HEIGHTS_6(f32, GEMM_FORM_F32)

NN_INLINE void tile_run_u8(const struct gemm_tile *t, int rows)
{
    vf_any sum[ROWS][VECTORS];
    const char *a[ROWS], *panel = t->panel;
    const float *colsum = tile_tail(t) + COLUMNS;
    size_t end = (size_t)t->steps * 4;
    tile_begin(t, rows, GEMM_FORM_U8, sum, a);
    TILE_UNROLL
    for (int j = 0; j < VECTORS; j++) {
        int32x4_t start = vshlq_n_s32(vcvtq_s32_f32(vf_load(colsum + j * VF_LEN)), 7);
        TILE_UNROLL
        for (int i = 0; i < rows; i++)
            sum[i][j] = vreinterpretq_f32_s32(start);
    }
    for (size_t k = 0; k < end; k += 4, panel += (size_t)COLUMNS * 4)
        tile_products(GEMM_FORM_U8, rows, sum, a, k, panel);
    tile_finish(t, rows, GEMM_FORM_U8, sum);
}

NN_INLINE void tile_run_s16(const struct gemm_tile *t, int rows)
{
    int32x4_t sum[ROWS][VECTORS];
    vf_any out[ROWS][VECTORS];
    const char *a[ROWS], *panel = t->panel;
    size_t end = (size_t)t->steps * 4;
    tile_begin(t, rows, GEMM_FORM_S16, out, a);
    TILE_UNROLL
    for (int i = 0; i < rows; i++) {
        TILE_UNROLL
        for (int j = 0; j < VECTORS; j++)
            sum[i][j] = vdupq_n_s32(0);
    }
    for (size_t k = 0; k < end; k += 4) {
        TILE_UNROLL
        for (int h = 0; h < VECTORS; h += 2, panel += (size_t)COLUMNS * 2) {
            int16x8x2_t w = vld2q_s16((const int16_t *)(const void *)panel);
            TILE_UNROLL
            for (int i = 0; i < rows; i++) {
                int16_t x[2];
                memcpy(x, a[i] + k, sizeof x);
                int32x4_t low = sum[i][h], high = sum[i][h + 1];
                low = vmlal_n_s16(low, vget_low_s16(w.val[0]), x[0]);
                high = vmlal_high_n_s16(high, w.val[0], x[0]);
                sum[i][h] = vmlal_n_s16(low, vget_low_s16(w.val[1]), x[1]);
                sum[i][h + 1] = vmlal_high_n_s16(high, w.val[1], x[1]);
            }
        }
    }
    TILE_UNROLL
    for (int i = 0; i < rows; i++) {
        TILE_UNROLL
        for (int j = 0; j < VECTORS; j++)
            out[i][j] = vreinterpretq_f32_s32(sum[i][j]);
    }
    tile_finish(t, rows, GEMM_FORM_S16, out);
}

#define HEIGHTS_OF(name)                                                                           \
    static void name##_1(const struct gemm_tile *t)                                                \
    {                                                                                              \
        tile_run_##name(t, 1);                                                                     \
    }                                                                                              \
    static void name##_2(const struct gemm_tile *t)                                                \
    {                                                                                              \
        tile_run_##name(t, 2);                                                                     \
    }                                                                                              \
    static void name##_3(const struct gemm_tile *t)                                                \
    {                                                                                              \
        tile_run_##name(t, 3);                                                                     \
    }                                                                                              \
    static void name##_4(const struct gemm_tile *t)                                                \
    {                                                                                              \
        tile_run_##name(t, 4);                                                                     \
    }                                                                                              \
    static void name##_5(const struct gemm_tile *t)                                                \
    {                                                                                              \
        tile_run_##name(t, 5);                                                                     \
    }                                                                                              \
    static void name##_6(const struct gemm_tile *t)                                                \
    {                                                                                              \
        tile_run_##name(t, 6);                                                                     \
    }                                                                                              \
    static const gemm_tile_fn name[ROWS] = {name##_1, name##_2, name##_3,                          \
                                            name##_4, name##_5, name##_6};
HEIGHTS_OF(u8)
HEIGHTS_OF(s16)

static void pack_signed(const struct gemm_pack *p, const float *a, struct gemm_row *row)
{
    gemm_pack_u8(p, a, row);
    uint8_t *q = (uint8_t *)(row + 1);
    for (uint32_t i = 0; i < p->steps * 4; i++)
        q[i] ^= 0x80;
}

const struct gemm_kernel gemm_neon[NN_PRECISIONS] = {
    [NN_F32] = {GEMM_FORM_F32, COLUMNS, ROWS, false, false, f32, gemm_pack_f32, gemm_act_row},
    [NN_BF16] = {GEMM_FORM_F32, COLUMNS, ROWS, false, true, f32, gemm_pack_rounded, gemm_act_row},
    [NN_S16] = {GEMM_FORM_S16, COLUMNS, ROWS, false, false, s16, gemm_pack_s16, gemm_act_row},
    [NN_INT8] = {GEMM_FORM_U8, COLUMNS, ROWS, false, false, u8, pack_signed, gemm_act_row},
};
#endif
