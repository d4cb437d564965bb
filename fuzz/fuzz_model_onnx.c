// ONNX files: whatever is accepted can be asked for every tensor, and gives finite numbers or a named error.
#include <stdlib.h>
#include <string.h>

#include "model/onnx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

enum { COUNT_MAX = 1 << 16 };

static void check_tensor(struct onnx *o, uint32_t i)
{
    struct tensor_source s = onnx_source(o);
    struct tensor_shape shape;
    struct slice name = onnx_name(o, i);
    enum result r = s.shape(s.ctx, name, &shape);
    MUST(!i || slice_cmp(onnx_name(o, i - 1), name) <= 0);
    if (r) {
        MUST(r == RESULT_LIMIT || r == RESULT_DUPLICATE);
        return;
    }
    uint64_t rows = shape.rank ? shape.dim[0] : 1, count = 1;
    for (uint32_t k = 0; k < shape.rank; k++) {
        if (__builtin_mul_overflow(count, shape.dim[k], &count) || count > COUNT_MAX)
            return;
    }
    float *out = malloc(count ? (size_t)count * sizeof *out : 1);
    MUST(out);
    r = s.read(s.ctx, name, 0, rows, out);
    MUST(r == RESULT_OK || r == RESULT_RANGE || r == RESULT_TYPE);
    for (uint64_t k = 0; !r && k < count; k++)
        MUST(out[k] - out[k] == 0);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct onnx *o;
    char problem[ONNX_PROBLEM_BYTES];
    char *copy = malloc(size ? size : 1);
    MUST(copy);
    if (size)
        memcpy(copy, data, size);
    enum result r = onnx_open(slice_make(copy, size), problem, &o);
    MUST(!r == (o != NULL));
    MUST(!r || r == RESULT_NOMEM || problem[0]);
    for (uint32_t i = 0; !r && i < onnx_count(o) && i < 64; i++)
        check_tensor(o, i);
    onnx_close(o);
    free(copy);
    return 0;
}
