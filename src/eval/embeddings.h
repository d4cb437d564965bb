// Embeddings of many texts for training, remembered on disk between runs.
//
// The cache is one file per encoder, DIR/<first 16 hex digits of the encoder's digest>-<dim>.bin: records of 16 bytes (the
// beginning of the text's SHA-256) and dim floats, only ever appended. A record that was cut short at the end is ignored and
// overwritten.
#ifndef MERIT_EVAL_EMBEDDINGS_H
#define MERIT_EVAL_EMBEDDINGS_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"

enum { EMBEDDINGS_PROBLEM_BYTES = 200, EMBEDDINGS_BATCH = 32 };

// Where embeddings come from.
struct embeddings_source {
    const char *name;
    const char *digest; // lower-case hex, at least 16 digits
    uint32_t dim;
    // out[count][dim]; NULL: there is only the cache.
    enum result (*embed)(void *ctx, const struct slice *texts, uint32_t count, float *out);
    void *ctx;
};

// out[count][dim], from the cache in the folder `dir` or else from the source, which the cache then holds. RESULT_NOT_FOUND
// (not in the cache, and the source cannot embed), RESULT_IO, RESULT_NOMEM, and what the source says.
enum result embeddings_of(const struct embeddings_source *source, const char *dir,
                          const struct slice *texts, uint32_t count, float *out,
                          char problem[EMBEDDINGS_PROBLEM_BYTES]) MERIT_NODISCARD;

#endif
