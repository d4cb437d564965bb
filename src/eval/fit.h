// Fitting multinomial logistic models by stochastic gradients: sparse rows (n-grams) and dense ones (embeddings) alike,
// and small networks with one hidden layer of rectified units.
//
// One example at a time in a seeded order; each input has one learning rate that falls with the gradients it has seen
// (AdaGrad per row of weights), so that rare n-grams learn as fast as frequent ones. Arithmetic is f32 and f64 in a fixed
// order without fused operations: same data and seed, same bits, on every machine.
#ifndef MERIT_EVAL_FIT_H
#define MERIT_EVAL_FIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "base/rng.h"

// Rows of inputs. Dense rows have `index` NULL and `inputs` values each.
struct fit_rows {
    uint32_t count, inputs;
    const uint64_t *start; // [count + 1]: where a row's numbers begin; NULL for dense rows
    const uint32_t *index; // input of each number, or NULL
    const float *value;
};

struct fit_options {
    uint32_t columns;
    uint32_t hidden; // 0: none
    float rate;      // of an input's first step
    float shrink;    // L2 weight decay per step and input that it touches, times its rate
    float drop;      // share of a sparse row's inputs that each visit leaves out
};

struct fit;

enum result fit_open(uint32_t inputs, const struct fit_options *o, uint64_t seed,
                     struct fit **out) MERIT_NODISCARD;
void fit_close(struct fit *f);
// One pass over `order` (row numbers), which is shuffled first. Row r has label labels[r]; where columns is 1 the label
// is 0 or 1. `weights` [rows] or NULL: how much each row counts.
void fit_epoch(struct fit *f, const struct fit_rows *rows, const uint32_t *labels,
               const float *weights, uint32_t *order, uint32_t count);
// raw[columns].
void fit_score(const struct fit *f, const struct fit_rows *rows, uint32_t row, float *raw);

// The weights: [inputs][stride] of the first layer (stride >= its outputs), and so on. For writing heads.
struct fit_layer {
    uint32_t inputs, outputs, stride;
    float *weight, *rate, *bias; // rate: sums of squared gradients per input, then one for the bias
};
// 0 the first, 1 the second where there is a hidden layer.
const struct fit_layer *fit_layer(const struct fit *f, uint32_t which);

#endif
