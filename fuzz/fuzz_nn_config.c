// config.json of a foreign model: any bytes give a configuration within the limits or a named error; a configuration that
// is accepted can be sized and packed from a source that has every tensor, and runs, when it is small.
#include <assert.h>
#include <stdlib.h>

#include "nn/encoder.h"

enum { BLOCK_BYTES = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Every name is there; its shape is whatever the last error asked for, so answers are random by name.
static enum result any_shape(void *ctx, struct slice name, struct tensor_shape *out)
{
    const struct encoder_config *c = ctx;
    const uint64_t sizes[] = {c->hidden, c->inner, c->vocab, c->positions};
    bool matrix = slice_ends_with(name, SLICE("embeddings.weight")) ||
                  slice_ends_with(name, SLICE("dense.weight")) ||
                  slice_ends_with(name, SLICE("query.weight"));
    out->rank = matrix ? 2 : 1;
    out->dim[0] = sizes[slice_ends_with(name, SLICE("word_embeddings.weight")) ? 2 : 0];
    out->dim[1] = c->hidden;
    return RESULT_OK;
}

static enum result any_read(void *ctx, struct slice name, uint64_t first, uint64_t rows, float *out)
{
    struct tensor_shape s;
    (void)first;
    if (any_shape(ctx, name, &s))
        return RESULT_NOT_FOUND;
    for (uint64_t i = 0; i < rows * (s.rank == 2 ? s.dim[1] : 1); i++)
        out[i] = (float)(i % 7) * 0.01f;
    return RESULT_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct encoder_config c;
    char problem[ENCODER_PROBLEM_BYTES];
    enum result r = encoder_config_read(slice_make(data, size), &c, problem);
    if (r) {
        assert(problem[0]);
        return 0;
    }
    assert(c.layers && c.layers <= ENCODER_LAYERS_MAX && c.hidden <= ENCODER_HIDDEN_MAX);
    assert(c.heads && c.hidden % c.heads == 0 && c.labels <= ENCODER_LABELS_MAX);
    struct tensor_source source = {&c, any_shape, any_read};
    struct encoder_pack_options o = {.tier = NN_SCALAR, .plan = ENCODER_PLAN_F32};
    size_t bytes, used;
    r = encoder_pack_bytes(&c, &source, &o, &bytes, problem);
    if (r || bytes > BLOCK_BYTES)
        return 0;
    void *block = aligned_alloc(64, bytes);
    if (block)
        r = encoder_pack(&c, &source, &o, block, bytes, &used, problem);
    free(block);
    return 0;
}
