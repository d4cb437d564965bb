#include "nn/elem.h"

const struct nn_elem *nn_elem(enum nn_tier tier)
{
    switch (tier) {
#if defined(__x86_64__)
    case NN_AVX2:
    case NN_AVXVNNI:
        return &nn_elem_avx2;
    case NN_AVX512_VNNI:
        return &nn_elem_avx512;
    case NN_AVX512_BF16:
        return &nn_elem_avx512_bf16;
#endif
    default:
        return &nn_elem_scalar;
    }
}
