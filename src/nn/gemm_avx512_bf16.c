// AVX-512 with BF16: vdpbf16ps. The other precisions of that tier are those of gemm_avx512.c.
#if defined(__x86_64__)
#include "nn/gemm_avx512.h"

TILE_HEIGHTS_8(bf16, GEMM_FORM_BF16)

static void store_bf16(uint16_t *out, vf v)
{
    __m256i bits = (__m256i)_mm512_cvtneps_pbh(v);
    _mm256_storeu_si256((__m256i *)(void *)out, bits);
}

static void pack_bf16(const struct gemm_pack *p, const float *a, struct gemm_row *row)
{
    uint16_t *out = (uint16_t *)(void *)(row + 1);
    uint32_t i = 0, left = p->k % VF_LEN;
    row->scale = 1;
    row->zero = 0;
    memset(out + p->k, 0, ((size_t)p->steps * 2 - p->k) * sizeof *out);
    for (; i + VF_LEN <= p->k; i += VF_LEN)
        store_bf16(out + i, gemm_value(p, a, i));
    if (left) {
        uint16_t last[VF_LEN];
        store_bf16(last, gemm_value_part(p, a, i, left));
        memcpy(out + i, last, left * sizeof last[0]);
    }
}

const struct gemm_kernel gemm_avx512_bf16 = {.form = GEMM_FORM_BF16,
                                             .columns = COLUMNS,
                                             .rows = ROWS,
                                             .tile = bf16,
                                             .pack = pack_bf16,
                                             .act = gemm_act_row};
#endif
