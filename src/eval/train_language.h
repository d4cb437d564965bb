// Training of the language model (nn/language.h) from labelled texts and from counts of n-grams.
//
// The weight of a gram in a language is the logarithm of how much more often than never it was seen there: in the labelled
// texts, plus (for grams inside words) in the counts. Grams that tell little are left out until the file has the size that was
// asked for. Slopes are fitted by length on texts that the weights had not seen. Same data, same bytes.
#ifndef MERIT_EVAL_TRAIN_LANGUAGE_H
#define MERIT_EVAL_TRAIN_LANGUAGE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/result.h"
#include "eval/dataset.h"
#include "eval/train.h"

enum { TRAIN_LANGUAGE_FILES_MAX = 8 };

struct train_language_options {
    const char
        *counts;      // path of lines "code TAB gram TAB occurrences per 10^9", .gz too; NULL: none
    uint32_t entries; // most entries of the table, 4 bytes each
    double smooth;    // added to each count in the labelled texts
    double counts_weight,
        counts_floor; // of the counts' logarithms; what an absent gram has, per 10^9
    const char *data, *licence, *date, *command;
};

void train_language_defaults(struct train_language_options *o);

struct train_language_report {
    uint32_t rows[TRAIN_LANGUAGE_FILES_MAX], right[TRAIN_LANGUAGE_FILES_MAX];
    uint32_t files, languages, entries;
    double ece;
    uint64_t bytes;
};

// `d` was finished with `folds` folds; its labels are the languages.
enum result train_language(struct dataset *d, const struct train_language_options *o,
                           uint32_t folds, struct buf *out, struct train_language_report *report,
                           char problem[TRAIN_PROBLEM_BYTES]) MERIT_NODISCARD;

#endif
