// Which language a text is in: 75 languages, one small table, microseconds.
//
// The script decides first where it can; then character n-grams of each word and whole words, as sums of quantised log
// likelihoods that were reweighted by training (`merit train language`). Probabilities are calibrated by length.
//
// Pure. A model is slices of mapped bytes, shared by threads, and needs no scratch: nothing is allocated.
#ifndef MERIT_NN_LANGUAGE_H
#define MERIT_NN_LANGUAGE_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"

enum {
    LANGUAGE_MAX = 128,
    LANGUAGE_CODE_BYTES = 8,
    LANGUAGE_TEXT_MAX = 2048, // longer texts: this much of the beginning
    LANGUAGE_PROBLEM_BYTES = 160,
};

struct language_model;

struct language_guess {
    uint32_t language; // index, see language_code
    float probability; // calibrated
};

// `file` outlives the model. RESULT_SYNTAX, RESULT_VERSION, RESULT_EOF, RESULT_RANGE, RESULT_NOMEM; told in `problem`.
enum result language_open(struct slice file, char problem[LANGUAGE_PROBLEM_BYTES],
                          struct language_model **out) MERIT_NODISCARD;
void language_close(struct language_model *m);
uint32_t language_count(const struct language_model *m);
// "pt"; ISO 639-1 where there is a code.
struct slice language_code(const struct language_model *m, uint32_t language);

// The most likely languages, best first, at most `max`; how many. 0 when the text has no letters.
uint32_t language_identify(const struct language_model *m, struct slice text,
                           struct language_guess *guesses, uint32_t max);

#endif
