// Weights of ONNX files under the names that the model's folder would have: initialisers and the nodes that use them are
// read, nothing of the graph is run.
//
// An exporter keeps the names of biases and norms, and of embeddings but for a suffix where they are quantised. Matrices
// lose theirs ("onnx::MatMul_787") and lie turned, [in][out]; the node's place in the module tree
// ("/encoder/layer.0/attention/self/query/MatMul") or else the bias that is added behind it gives the name back. Read are:
//
//   f32, f16, bf16 initialisers
//   MatMul, Gemm                      turned to [out][in] where they lie otherwise
//   NAME_quantized, NAME_scale, NAME_zero_point      int8 or u8, per tensor, per row or per column (MatMulInteger)
//   MatMulNBits of 4 bits (com.microsoft)            [out][in/block][block/2] nibbles, one scale per block
#ifndef MERIT_MODEL_ONNX_H
#define MERIT_MODEL_ONNX_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "nn/tensor.h"

enum { ONNX_TENSORS_MAX = 100000, ONNX_NODES_MAX = 200000, ONNX_PROBLEM_BYTES = 200 };

struct onnx;

// `file` outlives the result. What is wrong goes to `problem` (may be NULL). RESULT_SYNTAX, RESULT_EOF (cut short),
// RESULT_UNSUPPORTED (weights in other files, kinds that are not read), RESULT_RANGE (a scale that is not finite),
// RESULT_DUPLICATE, RESULT_LIMIT, RESULT_NOMEM.
enum result onnx_open(struct slice file, char problem[ONNX_PROBLEM_BYTES],
                      struct onnx **out) MERIT_NODISCARD;
void onnx_close(struct onnx *o);

uint32_t onnx_count(const struct onnx *o);
// The i-th name, in byte order.
struct slice onnx_name(const struct onnx *o, uint32_t i);
// `o` must outlive the source. Also returns RESULT_DUPLICATE for a name that two matrices would have, and RESULT_TYPE for
// numbers that are no weights.
struct tensor_source onnx_source(struct onnx *o);

#endif
