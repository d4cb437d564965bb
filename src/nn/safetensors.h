// Safetensors files: named tensors behind a JSON header, read where they lie and written for Merit's own heads.
//
//   8 bytes      length N of the header, little-endian
//   N bytes      {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...,
//                 "__metadata__": {"KEY": "TEXT", ...}}, filled up with spaces
//   the rest     the data; offsets count from here
//
// The reader is strict: tensors lie behind each other without a hole or an overlap and fill the file, sizes are those of
// the shapes, no name stands twice. (github.com/huggingface/safetensors, "Format".)
#ifndef MERIT_NN_SAFETENSORS_H
#define MERIT_NN_SAFETENSORS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "nn/number.h"
#include "nn/tensor.h"

enum {
    SAFETENSORS_HEADER_MAX = 16 * 1024 * 1024,
    SAFETENSORS_TENSORS_MAX = 100000,
    SAFETENSORS_METADATA_MAX = 1000,
    SAFETENSORS_PROBLEM_BYTES = 160,
};

struct safetensors_tensor {
    struct slice name;
    enum number_type type;
    bool known; // of a type that number_read knows; else `type` says nothing
    struct tensor_shape
        shape;         // rank 0: one number. A rank above TENSOR_RANK_MAX keeps no dimensions
    uint64_t count;    // numbers
    struct slice data; // in the file
};

struct safetensors_metadata {
    struct slice key, text;
};

struct safetensors {
    struct arena arena;
    struct safetensors_tensor *tensors; // sorted by name, in byte order
    uint32_t count;
    struct safetensors_metadata *metadata; // as the file has them
    uint32_t metadata_count;
};

// `file` outlives `s`. What is wrong goes to `problem` (may be NULL). RESULT_EOF (cut short), RESULT_SYNTAX,
// RESULT_DUPLICATE, RESULT_LIMIT, RESULT_NOMEM; nothing is held then.
enum result safetensors_open(struct safetensors *s, struct slice file,
                             char problem[SAFETENSORS_PROBLEM_BYTES]) MERIT_NODISCARD;
void safetensors_close(struct safetensors *s);

// NULL when there is none.
const struct safetensors_tensor *safetensors_find(const struct safetensors *s, struct slice name);
// The metadata's text; ptr NULL when there is none.
struct slice safetensors_text(const struct safetensors *s, const char *key);

// As tensor_source: RESULT_NOT_FOUND, RESULT_LIMIT (rank above TENSOR_RANK_MAX).
enum result safetensors_shape(const struct safetensors *s, struct slice name,
                              struct tensor_shape *out) MERIT_NODISCARD;
// Also RESULT_TYPE for numbers that are not weights.
enum result safetensors_read(const struct safetensors *s, struct slice name, uint64_t first,
                             uint64_t rows, float *out) MERIT_NODISCARD;
// `s` must outlive the source.
struct tensor_source safetensors_source(struct safetensors *s);

// --- Writing

struct safetensors_entry {
    struct slice name;
    enum number_type type;
    struct tensor_shape shape;
    const void *data; // in the machine's order, which is the file's
};

// Appends a whole file: the same entries give the same bytes, in any order (data lies sorted by name, 8-byte aligned at
// its beginning). RESULT_DUPLICATE, RESULT_SYNTAX (the name is empty or "__metadata__"), RESULT_LIMIT (the buffer's),
// RESULT_NOMEM.
enum result safetensors_write(struct buf *out, const struct safetensors_entry *entries,
                              uint32_t count, const struct safetensors_metadata *metadata,
                              uint32_t metadata_count) MERIT_NODISCARD;

#endif
