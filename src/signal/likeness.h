// How like a text is to examples: by what it means (vectors of the encoder) or by its characters and words (hashed n-grams),
// for intent(...), similar(...) and reask(...).
//
// Examples are prepared once per policy: their n-grams always, their vectors when an encoder is at hand. Immutable.
#ifndef MERIT_SIGNAL_LIKENESS_H
#define MERIT_SIGNAL_LIKENESS_H

#include <stdint.h>

#include "base/arena.h"
#include "base/result.h"
#include "base/slice.h"
#include "nn/ngram.h"
#include "signal/artifacts.h"
#include "work/signal.h"

enum {
    LIKENESS_EXAMPLES_MAX = 4096, // of one definition
    LIKENESS_TEXT_MAX = 4096,     // bytes of an example
};

// Of texts, words and characters: what two phrasings of one wish share.
extern const struct ngram_spec likeness_spec;

struct likeness {
    uint32_t count;
    const struct slice *texts;
    const uint32_t **grams; // distinct buckets of each
    uint32_t *gram_counts;
    uint32_t dim;         // 0: no vectors
    const float *vectors; // [count][dim], of length 1
};

// `texts` live as long as the plan. RESULT_LIMIT, RESULT_NOMEM; a failing encoder leaves dim 0.
enum result likeness_prepare(const struct slice *texts, uint32_t count,
                             const struct signal_load *load, struct arena *arena,
                             struct likeness *out) MERIT_NODISCARD;

// By n-grams, 0 to 1: shared / sqrt(one's * the other's). scores[count]; RESULT_NOMEM.
enum result likeness_by_grams(const struct likeness *l, struct signal_context *ctx,
                              struct slice text, float *scores) MERIT_NODISCARD;
// By meaning, cosine. `vector` is [dim].
void likeness_by_vector(const struct likeness *l, const float *vector, float *scores);

// The score of a group of examples: .75 of the best and .25 of the mean of the two best.
float likeness_group(const float *scores, uint32_t count);

#endif
