// Texts with labels from JSON lines, plain or gzip, for training and measuring signals.
//
// A line is an object with a text (string) and a label: a string, a number or true/false. Empty lines are skipped. Other
// keys are ignored. Near-duplicates (Jaccard similarity of character 5-grams of about .7 and more, found by MinHash) get one
// group, so that a split never puts them on both sides.
#ifndef MERIT_EVAL_DATASET_H
#define MERIT_EVAL_DATASET_H

#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "base/vec.h"

enum {
    DATASET_ROWS_MAX = 4000000,
    DATASET_LINE_MAX = 32 * 1024 * 1024,
    DATASET_LABELS_MAX = 1024,
    DATASET_PROBLEM_BYTES = 300,
    DATASET_NO_LABEL = UINT32_MAX,
};

struct dataset_span {
    uint32_t begin, end; // bytes of the text
    struct slice type;
};

struct dataset_row {
    struct slice text;
    uint32_t label;             // index into labels, or DATASET_NO_LABEL
    uint32_t group, fold, file; // file: which call of dataset_read
    const struct dataset_span *spans;
    uint32_t span_count;
    struct slice family; // the value of "family", where a line has one
};

struct dataset {
    struct arena arena;
    VEC(struct dataset_row) rows;
    struct slice labels[DATASET_LABELS_MAX];
    uint32_t label_count, file_count;
    char digest[65]; // sha256 over all texts and labels in order, hex, once dataset_finish ran
};

struct dataset_options {
    const char *text_key, *label_key; // "text", "label"
    // Spans ("spans": [{"type", "start", "end"}, ...], in characters of the text) instead of labels.
    bool spans;
    bool fixed; // labels are those that are there already; others are RESULT_NOT_FOUND
};

void dataset_init(struct dataset *d);
void dataset_deinit(struct dataset *d);
// Appends a file. RESULT_NOT_FOUND, RESULT_IO, RESULT_SYNTAX (not JSON, no text, no label; the line is told), RESULT_LIMIT,
// RESULT_NOMEM.
enum result dataset_read(struct dataset *d, const char *path, const struct dataset_options *o,
                         char problem[DATASET_PROBLEM_BYTES]) MERIT_NODISCARD;
// Sorts the labels by name (numbers by value), finds the groups, and deals them to `folds` folds of about equal share of
// each label, by `seed`.
enum result dataset_finish(struct dataset *d, uint32_t folds, uint64_t seed) MERIT_NODISCARD;

#endif
