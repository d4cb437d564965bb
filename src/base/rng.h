// Pseudo-random numbers behind a handle: xoshiro256** (Blackman and Vigna, 2018), seeded through splitmix64.
// Not for secrets: those come from rng_secret. One owner, one thread.
#ifndef MERIT_BASE_RNG_H
#define MERIT_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
// Uniform in [0, n), n > 0, without modulo bias.
uint64_t rng_below(struct rng *r, uint64_t n);
// Uniform in [0, 1).
double rng_unit(struct rng *r);
// Bytes from the kernel, for keys and seeds. RESULT_IO when it has none to give.
enum result rng_secret(void *out, size_t n) MERIT_NODISCARD;

#endif
