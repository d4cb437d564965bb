// A sketch of how numbers are spread: counts in buckets whose width grows with the number.
//
// Whole numbers below SKETCH_EXACT have a bucket each, above it an octave has SKETCH_PER_OCTAVE of them, so that a quantile
// is at most 1/16 off in relative terms (within a bucket it is interpolated). Sums are kept beside the buckets, so the
// mean is exact. Counts are weights: they may be scaled down, so that what is old counts less. Plain data, no allocation;
// one writer.
#ifndef MERIT_MATH_SKETCH_H
#define MERIT_MATH_SKETCH_H

#include <stdint.h>

enum {
    SKETCH_EXACT = 16,
    SKETCH_PER_OCTAVE = 8,
    SKETCH_BUCKETS = SKETCH_EXACT + 28 * SKETCH_PER_OCTAVE // to the end of 32 bits
};

struct sketch {
    double weight, sum;
    float at[SKETCH_BUCKETS];
};

uint32_t sketch_bucket(uint32_t v);
// The least number of a bucket; of SKETCH_BUCKETS it is 2^32.
uint64_t sketch_from(uint32_t bucket);
// What stands for a number in it: the middle.
double sketch_middle(uint32_t bucket);

void sketch_add(struct sketch *s, uint32_t v, float weight);
// Everything that was counted so far counts `by` times as much, 0 <= by <= 1.
void sketch_scale(struct sketch *s, float by);
// to += by * from
void sketch_join(struct sketch *to, const struct sketch *from, double by);

// 0 when nothing was counted.
double sketch_mean(const struct sketch *s);
// The number below which the share `q` of the weight lies, 0 <= q <= 1; exact numbers are whole. 0 when empty.
double sketch_quantile(const struct sketch *s, double q);
// The share of the weight that lies below `v`, `v` itself not included where it has a bucket of its own.
double sketch_below(const struct sketch *s, double v);

// Numbers [low, high] that hold all but the share `miss`: half of it below and half above, and where one side cannot hold its
// half, because many numbers are the same there, the other side has what is left over.
void sketch_interval(const struct sketch *s, double miss, double *low, double *high);

#endif
