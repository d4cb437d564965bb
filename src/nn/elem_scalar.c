#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "nn/elem.h"
#include "nn/encoder.h"

#include "nn/elem_simd.h"
#include "nn/gemm_rows.h"

#include "nn/elem_body.h"

#include "nn/attention_body.h"

static size_t attention_bytes(enum attention_kind kind, uint32_t count, uint32_t width,
                              uint32_t buckets)
{
    (void)kind;
    return attention_f32_bytes(count, width, buckets);
}

static void attention(enum attention_kind kind, const struct attention_job *job)
{
    (void)kind;
    attention_f32(job);
}

const struct nn_elem nn_elem_scalar = {
    elem_norm_of, elem_add,      elem_add_norm, elem_gelu, elem_axpy,
    elem_axpy_s8, elem_axpy_s16, attention_bytes, attention,
};
