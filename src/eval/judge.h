// How good a signal is: its definition is put into a policy of one signal, every text goes through the plan that serves, and
// what comes out is held against the labels. So the figures are those of both tiers together, as a policy sees them.
#ifndef MERIT_EVAL_JUDGE_H
#define MERIT_EVAL_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "eval/dataset.h"
#include "math/measure.h"
#include "work/trunk.h"

enum { JUDGE_FAMILIES_MAX = 32, JUDGE_PROBLEM_BYTES = 400, JUDGE_GROUPS_MAX = 16 };

struct judge_family {
    struct slice name;
    uint64_t rows, right, told; // told: called positive, of a yes-or-no signal
};

struct judge_report {
    uint32_t rows,
        labels; // labels of the data; one more column in `confusion` for what is none of them
    struct measure accuracy;
    double macro_f1, ece, brier;
    const struct measure_class *classes; // [labels + 1]
    const uint64_t *confusion;           // [labels + 1][labels + 1]
    struct measure_bin bins[MEASURE_BINS];
    bool binary; // two labels, the signal is a number: `auc` and `recall` are there
    double auc;
    struct measure recall,
        false_positives;                     // at `at`; share of the other label above it
    struct measure recall_at_1, recall_at_5; // at 1 and 5 % false positives
    double oos_auc; // of the probability, rows labelled `oos` against the others; 0 without
    double asked;   // share of texts for which the encoder was asked
    double failed;  // share that failed
    double us_mean, us_p50, us_p99; // CPU
    struct judge_family families[JUDGE_FAMILIES_MAX];
    uint32_t family_count;
};

struct judge_options {
    const char *
        signal; // a family ("domain"), a whole definition ("intent(...)"), or a head's name or file
    const struct trunk_service *trunk; // NULL: the first tier alone
    const char
        *positive;   // the label that a number is the probability of; NULL: guessed from the data
    double at;       // of a number: from where it says yes; 0: one half
    const char *oos; // the label of what belongs to none; NULL: none
    // Told now and then; may be NULL.
    void (*progress)(void *ctx, uint32_t done, uint32_t total);
    void *ctx;
};

// Memory of the report is `arena`'s. RESULT_SYNTAX (no such signal, a type that has no labels), ..., with `problem`.
enum result judge_labels(const struct dataset *d, const struct judge_options *o,
                         struct arena *arena, struct judge_report *out,
                         char problem[JUDGE_PROBLEM_BYTES]) MERIT_NODISCARD;

// Spans of personal data, by group: EMAIL_ADDRESS, EMAIL -> email and so on; types of the data that the signal does not know
// are left out.
struct judge_group {
    const char *name;
    uint64_t gold, found;         // spans
    uint64_t gold_hit, found_hit; // overlapped by one of the same group
    uint64_t exact;               // found with both ends right
    uint64_t chars_gold, chars_found, chars_both;
};
struct judge_spans {
    uint32_t rows;
    struct judge_group groups[JUDGE_GROUPS_MAX], all;
    uint32_t group_count;
    double us_mean;
    bool model; // the entity model was asked
};
enum result judge_pii(const struct dataset *d, const struct judge_options *o,
                      struct judge_spans *out, char problem[JUDGE_PROBLEM_BYTES]) MERIT_NODISCARD;
double judge_f1(uint64_t hit_gold, uint64_t gold, uint64_t hit_found, uint64_t found);

#endif
