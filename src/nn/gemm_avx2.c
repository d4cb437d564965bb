// AVX2 with FMA: f32 and s16 in tiles of 6 rows by 16 channels, int8 in tiles of 3 by 16.
//
// int8: vpmaddubsw multiplies u8 by s8 and adds two products in 16 bits; two of these are added in 16 bits, too, before
// vpmaddwd by one widens them. gemm_weights_pack has grown the scale of each channel until no such sum can saturate.
// The sums are inline assembly because gcc 12 spills those of the intrinsics.
#if defined(__x86_64__)
#include "nn/gemm_kernel.h"
#include "nn/simd.h"

enum { COLUMNS = 16, ROWS = 6, ROWS_U8 = 3 };

NN_INLINE vf tile_step(enum gemm_form form, vf sum, vf a, vf w)
{
    vf products;
    if (form == GEMM_FORM_F32)
        __asm__("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(w));
    else
        __asm__("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0"
                : "+x"(sum), "=&x"(products)
                : "x"(a), "x"(w));
    return sum;
}

#include "nn/gemm_tile.h"

TILE_HEIGHTS_6(f32, GEMM_FORM_F32)
TILE_HEIGHTS_6(s16, GEMM_FORM_S16)

NN_INLINE __m256i products_u8(vf a, __m256i w)
{
    return _mm256_maddubs_epi16(_mm256_castps_si256(a), w);
}

// sum += the s16 lanes of `pairs`, two by two.
NN_INLINE vf widen(vf sum, __m256i pairs, __m256i one)
{
    __asm__("vpmaddwd %2, %1, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "+x"(pairs) : "x"(one));
    return sum;
}

NN_INLINE void tile_run_u8(const struct gemm_tile *t, int rows)
{
    vf_any sum[ROWS][VECTORS];
    const char *a[ROWS], *panel = t->panel, *next = t->next;
    const __m256i one = _mm256_set1_epi16(1);
    size_t end = (size_t)t->steps * 4, next_step = t->next_step;
    tile_begin(t, rows, GEMM_FORM_U8, sum, a);
    for (size_t k = 0; k < end; k += 8, panel += (size_t)COLUMNS * 8, next += next_step) {
        tile_prefetch(next);
        __m256i_u w[2 * VECTORS];
        TILE_UNROLL
        for (int j = 0; j < 2 * VECTORS; j++)
            w[j] = _mm256_loadu_si256((const __m256i *)(const void *)panel + j);
        TILE_UNROLL
        for (int i = 0; i < rows; i++) {
            vf x = tile_broadcast(a[i] + k), y = tile_broadcast(a[i] + k + 4);
            TILE_UNROLL
            for (int j = 0; j < VECTORS; j++) {
                __m256i pairs =
                    _mm256_add_epi16(products_u8(x, w[j]), products_u8(y, w[VECTORS + j]));
                sum[i][j] = widen(sum[i][j], pairs, one);
            }
        }
    }
    tile_finish(t, rows, GEMM_FORM_U8, sum);
}

static void u8_1(const struct gemm_tile *t)
{
    tile_run_u8(t, 1);
}
static void u8_2(const struct gemm_tile *t)
{
    tile_run_u8(t, 2);
}
static void u8_3(const struct gemm_tile *t)
{
    tile_run_u8(t, 3);
}
static const gemm_tile_fn u8[ROWS_U8] = {u8_1, u8_2, u8_3};

const struct gemm_kernel gemm_avx2[NN_PRECISIONS] = {
    [NN_F32] = {GEMM_FORM_F32, COLUMNS, ROWS, false, false, f32, gemm_pack_f32, gemm_act_row},
    [NN_BF16] = {GEMM_FORM_F32, COLUMNS, ROWS, false, true, f32, gemm_pack_rounded, gemm_act_row},
    [NN_S16] = {GEMM_FORM_S16, COLUMNS, ROWS, false, false, s16, gemm_pack_s16, gemm_act_row},
    [NN_INT8] = {GEMM_FORM_U8, COLUMNS, ROWS_U8, true, false, u8, gemm_pack_u8, gemm_act_row},
};
#endif
