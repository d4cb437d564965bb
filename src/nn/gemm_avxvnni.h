// Tiles of AVX-VNNI: 6 rows by 16 channels in 256-bit registers. Included by gemm_avxvnni.c, with the VEX forms of the
// instructions, and by gemm_avxvnni_evex.c, with the EVEX forms that CPUs with AVX-512 have: the same arithmetic, so that
// it can be tested there. The includer defines VNNI_FORM, the assembler's prefix, and VNNI_KERNELS, the table's name.
#ifndef MERIT_NN_GEMM_AVXVNNI_H
#define MERIT_NN_GEMM_AVXVNNI_H

#include "nn/gemm_kernel.h"
#include "nn/simd.h"

enum { COLUMNS = 16, ROWS = 6 };

NN_INLINE vf tile_step(enum gemm_form form, vf sum, vf a, vf w)
{
    if (form == GEMM_FORM_S16)
        __asm__(VNNI_FORM "vpdpwssd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(w));
    else
        __asm__(VNNI_FORM "vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(w));
    return sum;
}

#include "nn/gemm_tile.h"

TILE_HEIGHTS_6(s16, GEMM_FORM_S16)
TILE_HEIGHTS_6(u8, GEMM_FORM_U8)

// f32 and bf16 are those of AVX2.
const struct gemm_kernel VNNI_KERNELS[NN_PRECISIONS] = {
    [NN_S16] = {GEMM_FORM_S16, COLUMNS, ROWS, false, false, s16, gemm_pack_s16, gemm_act_row},
    [NN_INT8] = {GEMM_FORM_U8, COLUMNS, ROWS, false, false, u8, gemm_pack_u8, gemm_act_row},
};

#endif
