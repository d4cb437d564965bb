// Instruction sets: which this CPU has, and which is used.
//
// Detected once (cpuid with xgetbv, getauxval); a test or the environment's MERIT_NN_TIER may ask for a lower one.
#ifndef MERIT_NN_TIER_H
#define MERIT_NN_TIER_H

#include <stdbool.h>

enum nn_tier {
    NN_SCALAR,      // plain C: the model of every other tier's arithmetic
    NN_AVX2,        // AVX2, FMA, F16C
    NN_AVXVNNI,     // the same with VEX vpdpbusd
    NN_AVX512_VNNI, // AVX-512 F, BW, VL, DQ, VNNI
    NN_AVX512_BF16, // the same with vdpbf16ps
    NN_NEON_DOT,    // AArch64 with sdot and udot
    NN_TIERS
};

bool nn_tier_has(enum nn_tier tier); // this CPU and operating system can run it
enum nn_tier nn_tier_best(void);
const char *nn_tier_name(enum nn_tier tier); // "avx512-vnni"

#endif
