// Exponential, logarithm and square root that give the same bits on every machine, compiler and C library: what is trained
// or calibrated with them has the same bytes everywhere. Within 2 units in the last place of a double.
#ifndef MERIT_MATH_REAL_H
#define MERIT_MATH_REAL_H

#include <stdint.h>

// 0 below -745, infinity above 709.78; NaN stays.
double real_exp(double x);
// Natural logarithm; minus infinity for 0, NaN for negative numbers.
double real_log(double x);
// Correctly rounded, as IEEE 754 asks.
double real_sqrt(double x);

// p[i] = softmax of slope * logits[i] + shift[i] (shift NULL: none); `p` may be `logits`.
void real_softmax(const float *logits, uint32_t count, float slope, const float *shift, float *p);
// 1 / (1 + exp(-x)).
double real_logistic(double x);

#endif
