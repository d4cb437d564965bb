// Instruction sets: which this CPU has, and which is used.
//
// Pure: asks the CPU (cpuid with xgetbv, getauxval), never the environment; whoever starts the program reads MERIT_NN_TIER
// and passes it to nn_tier_choose. Every call asks again and takes under a microsecond; keep the answer.
#ifndef MERIT_NN_TIER_H
#define MERIT_NN_TIER_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/result.h"

enum nn_tier {
    NN_SCALAR,      // plain C, on every CPU
    NN_AVX2,        // AVX2, FMA, F16C
    NN_AVXVNNI,     // the same with VEX vpdpbusd
    NN_AVX512_VNNI, // AVX-512 F, BW, VL, DQ, VNNI
    NN_AVX512_BF16, // the same with vdpbf16ps
    NN_NEON_DOT,    // AArch64 with sdot
    NN_TIERS
};

bool nn_tier_has(enum nn_tier tier); // this CPU and operating system can run it
enum nn_tier nn_tier_best(void);
const char *nn_tier_name(enum nn_tier tier); // "avx512-vnni"
// The tier called `name`; the best when `name` is NULL, empty or "auto". RESULT_NOT_FOUND (no such name),
// RESULT_UNSUPPORTED (this CPU cannot run it).
enum result nn_tier_choose(const char *name, enum nn_tier *out) MERIT_NODISCARD;

#endif
