// AVX-512 with VNNI: f32 by FMA, s16 by vpdpwssd, int8 by vpdpbusd.
#if defined(__x86_64__)
#include "nn/gemm_avx512.h"

TILE_HEIGHTS_8(f32, GEMM_FORM_F32)
TILE_HEIGHTS_8(s16, GEMM_FORM_S16)
TILE_HEIGHTS_8(u8, GEMM_FORM_U8)

const struct gemm_kernel gemm_avx512[NN_PRECISIONS] = {
    [NN_F32] = {GEMM_FORM_F32, COLUMNS, ROWS, false, false, f32, gemm_pack_f32, gemm_act_row},
    [NN_BF16] = {GEMM_FORM_F32, COLUMNS, ROWS, false, true, f32, gemm_pack_rounded, gemm_act_row},
    [NN_S16] = {GEMM_FORM_S16, COLUMNS, ROWS, false, false, s16, gemm_pack_s16, gemm_act_row},
    [NN_INT8] = {GEMM_FORM_U8, COLUMNS, ROWS, false, false, u8, gemm_pack_u8, gemm_act_row},
};
#endif
