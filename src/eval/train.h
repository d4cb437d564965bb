// Training of heads: a first tier over n-grams, a second over embeddings, each fitted on folds and judged on what it had not
// seen, calibrated there, and then fitted on everything.
//
//   rows, grouped by near-duplicates  ->  folds
//   each epoch: every fold's model learns one pass and scores the rows that were kept from it
//   the epoch whose kept scores are likeliest (once calibrated) wins; training stops when none was better for a while
//   calibration and the threshold of the first tier come from those kept scores
//   the shipped weights are fitted on all rows for that many epochs
//
// Same data, options and seed: same bytes.
#ifndef MERIT_EVAL_TRAIN_H
#define MERIT_EVAL_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/result.h"
#include "eval/dataset.h"
#include "eval/embeddings.h"
#include "nn/ngram.h"

enum { TRAIN_PROBLEM_BYTES = 320, TRAIN_FOLDS_MAX = 20, TRAIN_FILES_MAX = 8 };

enum train_kind { TRAIN_NGRAM, TRAIN_LOGISTIC, TRAIN_MLP };

struct train_options {
    const char *signal;
    enum train_kind kind;
    bool first; // with LOGISTIC and MLP: a first tier, too, and the second stacked on it
    struct ngram_spec spec;
    uint32_t folds, epochs_max, hidden;
    uint64_t seed;
    float first_rate, second_rate, drop, shrink;
    double enough;   // the threshold of the first tier; 0: the least that loses at most loss_max
    double loss_max; // of accuracy that answers of the first tier may cost
    const char *data, *licence, *date, *command; // for the file
    const struct embeddings_source *encoder;     // with LOGISTIC and MLP
    const char *cache;
};

// spec, folds, rates and so on as `merit train` has them.
void train_defaults(struct train_options *o);

// What the kept scores said.
struct train_tier {
    bool is;
    uint32_t epochs;
    double accuracy, low, high, macro_f1, auc, ece, brier,
        nll; // auc of label 1, of two labels only
};
struct train_file {
    uint32_t rows, right_first, right_second, right_both, asked;
    double recall_first,
        recall_second; // of label 0 against label 1 (two labels) at .01 false positives
};
struct train_report {
    struct train_tier first, second;
    struct train_file files[TRAIN_FILES_MAX]; // as they were read
    uint32_t file_count;
    uint32_t rows, groups, labels, folds;
    double enough, asked,
        accuracy; // the threshold, the share of texts that goes on to the encoder, accuracy of both tiers
    uint64_t bytes;
};

// Trains on the rows of `d` (dataset_finish was called) and appends the head's file to `out`. `log` is told a line at a time
// (may be NULL). RESULT_RANGE (fewer than two labels, too few rows), RESULT_NOMEM, and what the encoder says.
enum result train_head(struct dataset *d, const struct train_options *o, struct buf *out,
                       struct train_report *report, void (*log)(const char *line),
                       char problem[TRAIN_PROBLEM_BYTES]) MERIT_NODISCARD;
void train_report_json(const struct train_report *r, struct buf *out);

#endif
