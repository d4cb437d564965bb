// Linear models over hashed character and word n-grams: the first tier of learned signals, microseconds per text.
//
// A text is normalised (below), cut into words, and each distinct n-gram becomes one of 2^bucket_bits buckets. The score of
// column c is
//
//   logit[c] = bias[c] + scale[c] / norm * sum over distinct buckets b of idf[b] * weight[b][c]
//   norm     = sqrt(sum over distinct buckets b of idf[b]^2)
//
// with int8 weights and u8 idf, summed in integers: the same bits on every machine. Character n-grams run over each word with
// a space at both ends; word n-grams over neighbouring words.
//
// Pure. A model is slices of mapped bytes and is shared by threads; each thread brings a scratch.
#ifndef MERIT_NN_NGRAM_H
#define MERIT_NN_NGRAM_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"

enum ngram_flag {
    NGRAM_FOLD = 1, // upper to lower case
    NGRAM_SKELETON =
        2, // of the text's skeleton (text/skeleton.h), which the caller makes: disguises are seen through
    NGRAM_DIGITS = 4, // each digit to 0
    NGRAM_SHAPE =
        8, // buckets for length, lines, shares of marks, digits, capitals, other scripts, and the last mark
    NGRAM_FIRST = 16, // the first one, two and three words have buckets of their own
};

enum {
    NGRAM_CHAR_MAX = 6,
    NGRAM_WORD_MAX = 3,
    NGRAM_BITS_MIN = 8,
    NGRAM_BITS_MAX = 20,
    NGRAM_COLUMNS_MAX = 1024,
    NGRAM_TEXT_MAX = 1 << 20, // of text_max
};

struct ngram_spec {
    uint32_t char_min, char_max; // 0, 0: no character n-grams
    uint32_t word_max;           // 0: no word n-grams
    uint32_t bucket_bits;
    uint32_t flags;
    uint32_t
        text_max; // longer texts: this many bytes, half from the beginning and half from the end
};

struct ngram_scratch;

// RESULT_RANGE: numbers outside the limits above.
enum result ngram_spec_check(const struct ngram_spec *s) MERIT_NODISCARD;
// Serves every spec with at most these bucket_bits and text_max. RESULT_NOMEM.
enum result ngram_scratch_open(uint32_t bucket_bits, uint32_t text_max,
                               struct ngram_scratch **out) MERIT_NODISCARD;
void ngram_scratch_close(struct ngram_scratch *s);

// The distinct buckets of a text in order of first occurrence; they live in the scratch until the next call. What is not
// UTF-8 is read as U+FFFD.
uint32_t ngram_features(const struct ngram_spec *spec, struct ngram_scratch *s, struct slice text,
                        const uint32_t **buckets);

struct ngram_model {
    struct ngram_spec spec;
    uint32_t columns;
    const int8_t *weights;     // [buckets][columns]
    const uint8_t *idf;        // [buckets], or NULL: all 1
    const float *scale, *bias; // [columns]
};

// logits[columns].
void ngram_score(const struct ngram_model *m, struct ngram_scratch *s, struct slice text,
                 float *logits);
// The same from buckets that ngram_features gave: heads of equal specs share them.
void ngram_score_buckets(const struct ngram_model *m, const uint32_t *buckets, uint32_t count,
                         float *logits);

#endif
