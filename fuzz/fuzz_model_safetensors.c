// Safetensors: an accepted file's tensors lie inside it, and what is written from them is accepted and the same.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "nn/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

enum { TENSORS_MAX = 64, COUNT_MAX = 1 << 16 };

static void check_tensor(const struct safetensors *s, const struct safetensors_tensor *t,
                         struct slice file)
{
    struct tensor_shape shape;
    MUST(t->data.ptr >= file.ptr && t->data.ptr + t->data.len <= file.ptr + file.len);
    MUST(safetensors_find(s, t->name) == t);
    if (t->shape.rank > TENSOR_RANK_MAX) {
        MUST(safetensors_shape(s, t->name, &shape) == RESULT_LIMIT);
        return;
    }
    MUST(safetensors_shape(s, t->name, &shape) == RESULT_OK);
    if (t->count > COUNT_MAX)
        return;
    uint64_t rows = shape.rank ? shape.dim[0] : 1;
    float *out = malloc(t->count ? (size_t)t->count * sizeof *out : 1);
    MUST(out);
    enum result r = safetensors_read(s, t->name, 0, rows, out);
    MUST(r == RESULT_OK || r == RESULT_RANGE || r == RESULT_TYPE);
    for (uint64_t i = 0; !r && i < t->count; i++)
        MUST(out[i] - out[i] == 0);
    MUST(safetensors_read(s, t->name, rows, 1, out) == RESULT_RANGE);
    free(out);
}

static void check_written(const struct safetensors *s)
{
    struct safetensors_entry entries[TENSORS_MAX];
    struct safetensors again;
    struct buf out;
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct safetensors_tensor *t = &s->tensors[i];
        if (!t->known || t->shape.rank > TENSOR_RANK_MAX || !t->name.len)
            return;
        entries[n++] = (struct safetensors_entry){t->name, t->type, t->shape, t->data.ptr};
    }
    buf_init(&out, 1 << 24);
    MUST(!safetensors_write(&out, entries, n, s->metadata, s->metadata_count));
    MUST(!safetensors_open(&again, buf_slice(&out), NULL));
    MUST(again.count == n && again.metadata_count == s->metadata_count);
    for (uint32_t i = 0; i < n; i++)
        MUST(slice_eq(again.tensors[i].name, s->tensors[i].name) &&
             slice_eq(again.tensors[i].data, s->tensors[i].data));
    safetensors_close(&again);
    buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct safetensors s;
    char problem[SAFETENSORS_PROBLEM_BYTES];
    char *copy = malloc(size ? size : 1);
    MUST(copy);
    if (size)
        memcpy(copy, data, size);
    struct slice file = slice_make(copy, size);
    if (!safetensors_open(&s, file, problem)) {
        for (uint32_t i = 0; i < s.count; i++)
            check_tensor(&s, &s.tensors[i], file);
        if (s.count <= TENSORS_MAX)
            check_written(&s);
        safetensors_close(&s);
    }
    free(copy);
    return 0;
}
