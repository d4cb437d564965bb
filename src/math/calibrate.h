// Fitting the map from scores to probabilities on data that the scores have not seen.
#ifndef MERIT_MATH_CALIBRATE_H
#define MERIT_MATH_CALIBRATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The slope t that minimises the mean -log softmax(t * logits)[truth] (temperature 1 / t; Guo et al. 2017). Between 1/64
// and 64.
float calibrate_slope(const float *logits, const uint32_t *truth, uint32_t rows, uint32_t labels);

// Platt's sigmoid p = 1 / (1 + exp(-(slope * score + shift))) by Newton's method, with his targets that keep p off 0 and 1
// (Platt 1999; Lin, Lin and Weng 2007).
void calibrate_platt(const float *score, const bool *positive, uint32_t rows, float *slope,
                     float *shift);

// Isotonic regression by pooling adjacent violators: fitted[i] for values in the order of their scores, each weighing
// weight[i] (NULL: 1). `fitted` may be `value`.
void calibrate_isotonic(const double *value, const double *weight, uint32_t count, double *fitted);

#endif
