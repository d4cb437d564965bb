// The safetensors container: an eight-byte length, a JSON header, and tensors behind it. Reading and writing.
//
// Everything is checked when it is opened: shapes times element sizes are the bytes that stand there, offsets lie inside the
// file, do not overlap and leave no hole, names stand once. What was opened is slices of the caller's bytes (a mapped file),
// and a table in the caller's arena. Values are little-endian, as the format has them.
#ifndef MERIT_NN_SAFETENSORS_H
#define MERIT_NN_SAFETENSORS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "nn/tensor.h"

enum safetensors_type {
    SAFETENSORS_BOOL,
    SAFETENSORS_U8,
    SAFETENSORS_I8,
    SAFETENSORS_U16,
    SAFETENSORS_I16,
    SAFETENSORS_F16,
    SAFETENSORS_BF16,
    SAFETENSORS_U32,
    SAFETENSORS_I32,
    SAFETENSORS_F32,
    SAFETENSORS_U64,
    SAFETENSORS_I64,
    SAFETENSORS_F64,
    SAFETENSORS_TYPES
};

enum {
    SAFETENSORS_HEADER_MAX = 16 * 1024 * 1024,
    SAFETENSORS_TENSORS_MAX = 65536,
    SAFETENSORS_PROBLEM_BYTES = 160,
};

struct safetensors_tensor {
    struct slice name;
    enum safetensors_type type;
    struct tensor_shape shape; // rank at most TENSOR_RANK_MAX
    struct slice data;         // alignment is whatever the file has
};

struct safetensors_pair {
    struct slice key, value;
};

struct safetensors {
    const struct safetensors_tensor *tensors; // by name, in byte order
    uint32_t count;
    const struct safetensors_pair *meta; // "__metadata__", in the order of the file
    uint32_t meta_count;
};

// Bytes of one element.
uint32_t safetensors_type_bytes(enum safetensors_type type);
// "F32".
const char *safetensors_type_name(enum safetensors_type type);

// `file` outlives what is opened. RESULT_EOF (cut short), RESULT_SYNTAX, RESULT_UNSUPPORTED (a type or rank that is not
// known), RESULT_RANGE (offsets), RESULT_DUPLICATE, RESULT_LIMIT, RESULT_NOMEM; the tensor is named in `problem`.
enum result safetensors_open(struct slice file, struct arena *arena,
                             char problem[SAFETENSORS_PROBLEM_BYTES],
                             struct safetensors *out) MERIT_NODISCARD;
// NULL when there is none.
const struct safetensors_tensor *safetensors_find(const struct safetensors *s, struct slice name);
// The empty slice when there is none.
struct slice safetensors_meta(const struct safetensors *s, struct slice key);

// Appends a whole file: the metadata and the tensors in the order given, the data aligned to 64 bytes. Same input, same
// bytes. RESULT_LIMIT, RESULT_NOMEM.
enum result safetensors_write(const struct safetensors_pair *meta, uint32_t meta_count,
                              const struct safetensors_tensor *tensors, uint32_t count,
                              struct buf *out) MERIT_NODISCARD;

#endif
