// How good predictions are: pure counts and sums, with 90 % intervals.
//
// Probabilities come as rows of `labels` numbers that sum to 1. Labels are indices below `labels`. Memory that is needed
// comes from the arena; functions that need none cannot fail.
#ifndef MERIT_MATH_MEASURE_H
#define MERIT_MATH_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/result.h"

struct measure {
    double value, low, high; // the interval holds the truth in 90 % of samples
};

enum { MEASURE_BINS = 15 };

// A share of `of` trials, with Wilson's interval (1927). of 0: 0 within 0 to 1.
struct measure measure_share(uint64_t hits, uint64_t of);

struct measure_class {
    uint64_t truth, told, hit; // rows of the label, rows that were called so, both
    double precision, recall, f1;
};

// The largest probability of each row decides. `classes` [labels] out, `confusion` [truth][told] out or NULL. Returns the
// mean F1 of the labels that occur.
double measure_classes(const float *p, const uint32_t *truth, uint32_t rows, uint32_t labels,
                       struct measure_class *classes, uint64_t *confusion);

// Expected calibration error of the largest probability: MEASURE_BINS bins of equal width, the gaps between mean
// probability and accuracy weighted by size (Naeini et al. 2015). `bins` out or NULL.
struct measure_bin {
    uint64_t count;
    double confidence, accuracy;
};
double measure_ece(const float *p, const uint32_t *truth, uint32_t rows, uint32_t labels,
                   struct measure_bin bins[MEASURE_BINS]);
// Mean over rows of the squared distance between p and the truth as a unit vector (Brier 1950): 0 to 2.
double measure_brier(const float *p, const uint32_t *truth, uint32_t rows, uint32_t labels);
// Mean of -log p[truth], each at most 30.
double measure_nll(const float *p, const uint32_t *truth, uint32_t rows, uint32_t labels);

// Area under the ROC curve, ties counting one half; 0.5 when a side is empty. RESULT_NOMEM.
enum result measure_auc(const float *score, const bool *positive, uint32_t rows,
                        struct arena *arena, double *out);
// The largest share of positives above a threshold that at most `rate` of the negatives pass; the threshold is the least
// score still told (infinity: none). RESULT_NOMEM.
enum result measure_recall_at(const float *score, const bool *positive, uint32_t rows, double rate,
                              struct arena *arena, struct measure *recall, float *threshold);

// Interval of a statistic by resampling rows with replacement `times` times, seeded: the 5th and 95th percentile.
// `statistic` gets row numbers. RESULT_NOMEM.
enum result measure_bootstrap(uint32_t rows, uint32_t times, uint64_t seed,
                              double (*statistic)(void *ctx, const uint32_t *pick, uint32_t count),
                              void *ctx, struct arena *arena, struct measure *out);

#endif
