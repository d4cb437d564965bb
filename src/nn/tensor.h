// Where an encoder's weights come from when they are packed: named tensors, told as f32 whatever the file holds.
//
// model/ implements it over safetensors and over ONNX initialisers (int8 and 4-bit blocks dequantised, matrices turned to
// [out][in]); names are those of Hugging Face folders.
#ifndef MERIT_NN_TENSOR_H
#define MERIT_NN_TENSOR_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"

enum { TENSOR_RANK_MAX = 4 };

struct tensor_shape {
    uint32_t rank;
    uint64_t dim[TENSOR_RANK_MAX];
};

struct tensor_source {
    void *ctx;
    // RESULT_NOT_FOUND.
    enum result (*shape)(void *ctx, struct slice name, struct tensor_shape *out);
    // Rows [first, first + rows) of the first dimension (of a vector: elements), row-major, checked to be finite.
    // RESULT_NOT_FOUND, RESULT_RANGE (outside the shape, or a weight that is not finite), RESULT_EOF (the file is cut).
    enum result (*read)(void *ctx, struct slice name, uint64_t first, uint64_t rows, float *out);
};

#endif
