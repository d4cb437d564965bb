// Tiles of AVX-512: 8 rows by 48 channels are 24 sums, with 3 registers of weights and 1 broadcast value. 48 divides the
// widths of the encoders in use (384, 768, 1152, 1536, 2304, 3072).
//
// The products are inline assembly with the sum as a tied operand: gcc 12 makes copies of the sums of an intrinsic and
// spills them, at a third of the speed.
#ifndef MERIT_NN_GEMM_AVX512_H
#define MERIT_NN_GEMM_AVX512_H

#include "nn/gemm_kernel.h"
#include "nn/simd.h"

enum { COLUMNS = 48, ROWS = 8 };

NN_INLINE vf tile_step(enum gemm_form form, vf sum, vf a, vf w)
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

#include "nn/gemm_tile.h"

#endif
