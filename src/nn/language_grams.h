// Private to nn/language.c and its trainer: what a text is to the language model, and how the model's file is laid out.
//
// Letters and marks are folded to lower case and cut into words; each word stands between spaces, and every run of 1 to
// LANGUAGE_ORDER characters of that is a gram, known by a 64-bit hash. The file is a safetensors container:
//
//   index        U32 [2^bits + 1]   where the entries of each bucket begin; the bucket is the hash's highest bits
//   entry        U32 [n]            16 bits of the hash (those below), 7 bits language, 9 bits weight in 1/LANGUAGE_UNIT
//   prior        F32 [languages]    added for each gram
//   slope        F32 [LANGUAGE_LENGTHS]  softmax(slope * score), by the logarithm of the number of grams
//   "languages"  JSON array of codes, in the metadata
#ifndef MERIT_NN_LANGUAGE_GRAMS_H
#define MERIT_NN_LANGUAGE_GRAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "nn/language.h"
#include "text/utf8.h"

enum {
    LANGUAGE_ORDER = 5,
    LANGUAGE_WORD_MAX = 40,
    LANGUAGE_UNIT = 16,
    LANGUAGE_LENGTHS = 24,
    LANGUAGE_WEIGHT_MAX = 511,
    LANGUAGE_BITS_MIN = 8,
    LANGUAGE_BITS_MAX = 24,
};

static inline uint64_t language_step(uint64_t hash, uint32_t code)
{
    hash = (hash ^ code) * UINT64_C(0x9fb21c651e98df25);
    return hash ^ hash >> 29;
}

// The last step, so that the highest bits depend on every character.
static inline uint64_t language_hash(uint64_t hash)
{
    return (hash ^ hash >> 32) * UINT64_C(0xd6e8feb86659fd93);
}

// Half steps of the base 2 logarithm of the number of grams.
static inline uint32_t language_length(uint32_t grams)
{
    uint32_t whole = 0, n = grams;
    while (n > 1) {
        n >>= 1;
        whole++;
    }
    uint32_t half = grams && (grams >> (whole ? whole - 1 : 0) & 1) && whole ? 1 : 0;
    uint32_t at = 2 * whole + half;
    return at < LANGUAGE_LENGTHS ? at : LANGUAGE_LENGTHS - 1;
}

// `gram` is called for each gram of `text`: (ctx, hash, order, touches an edge of its word). The callers' functions are inlined.
static inline __attribute__((always_inline)) void
language_word(const uint32_t *word, uint32_t len,
              void (*gram)(void *ctx, uint64_t hash, uint32_t order, bool edge), void *ctx)
{
    for (uint32_t i = 0; i < len; i++) {
        uint64_t hash = 0;
        for (uint32_t k = i; k < len && k < i + LANGUAGE_ORDER; k++) {
            hash = language_step(hash, word[k]);
            if (k > i || (i > 0 && i + 1 < len))
                gram(ctx, language_hash(hash), k + 1 - i, i == 0 || k + 1 == len);
        }
    }
}

static inline __attribute__((always_inline)) void
language_grams(struct slice text, void (*gram)(void *ctx, uint64_t hash, uint32_t order, bool edge),
               void *ctx)
{
    uint32_t word[LANGUAGE_WORD_MAX + 2] = {' '}, len = 1;
    size_t end = text.len < LANGUAGE_TEXT_MAX ? text.len : LANGUAGE_TEXT_MAX;
    for (size_t at = 0; at < end;) {
        uint32_t code = (unsigned char)text.ptr[at];
        bool letter;
        if (code < 0x80) {
            at++;
            code = code - 'A' < 26 ? code + 32 : code;
            letter = code - 'a' < 26;
        } else {
            code = utf8_next(text, &at);
            letter = utf8_is_word(code);
            code = utf8_fold(code);
        }
        if (letter)
            word[len++] = code;
        if (len > 1 && (!letter || len == LANGUAGE_WORD_MAX + 1)) {
            word[len] = ' ';
            language_word(word, len + 1, gram, ctx);
            len = 1;
        }
    }
    if (len > 1) {
        word[len] = ' ';
        language_word(word, len + 1, gram, ctx);
    }
}

// scores[language_count] before the softmax, and how many grams the text has.
uint32_t language_score(const struct language_model *m, struct slice text, float *scores);

#endif
