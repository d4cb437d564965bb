#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "nn/elem.h"
#include "nn/encoder.h"

#if defined(__x86_64__)

#include "nn/elem_simd.h"
#include "nn/gemm_rows.h"

#include "nn/elem_body.h"

#include "nn/attention_body.h"

const struct nn_elem nn_elem_avx2 = {
    elem_norm_of, elem_add,      elem_add_norm,   elem_gelu, elem_axpy,
    elem_axpy_s8, elem_axpy_s16, attention_bytes, attention,
};

#endif
