#include "nn/tier.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

enum {
    // cpuid leaf 1, ecx
    BIT_FMA = 1 << 12,
    BIT_OSXSAVE = 1 << 27,
    BIT_F16C = 1 << 29,
    // leaf 7, subleaf 0
    EBX_AVX2 = 1 << 5,
    EBX_AVX512F = 1 << 16,
    EBX_AVX512DQ = 1 << 17,
    EBX_AVX512BW = 1 << 30,
    ECX_AVX512VNNI = 1 << 11,
    // leaf 7, subleaf 1, eax
    EAX_AVXVNNI = 1 << 4,
    EAX_AVX512BF16 = 1 << 5,
    // What the operating system saves on a switch (XCR0).
    XCR_YMM = 0x06,
    XCR_ZMM = 0xe6,
};
static const uint32_t EBX_AVX512VL = UINT32_C(1) << 31;

static uint32_t saved_state(void)
{
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static unsigned tiers_here(void)
{
    unsigned a, b, c, d, have = 1U << NN_SCALAR;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & BIT_OSXSAVE))
        return have;
    uint32_t saved = saved_state();
    bool fma = (c & BIT_FMA) && (c & BIT_F16C) && (saved & XCR_YMM) == XCR_YMM;
    if (!fma || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & EBX_AVX2))
        return have;
    have |= 1U << NN_AVX2;
    bool wide = (b & EBX_AVX512F) && (b & EBX_AVX512DQ) && (b & EBX_AVX512BW) &&
                (b & EBX_AVX512VL) && (c & ECX_AVX512VNNI) && (saved & XCR_ZMM) == XCR_ZMM;
    uint32_t more = a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) ? a : 0;
    if (more & EAX_AVXVNNI)
        have |= 1U << NN_AVXVNNI;
    if (wide)
        have |= 1U << NN_AVX512_VNNI;
    if (wide && (more & EAX_AVX512BF16))
        have |= 1U << NN_AVX512_BF16;
    return have;
}

#elif defined(__aarch64__)
#include <sys/auxv.h>

enum { HWCAP_DOT_PRODUCT = 1 << 20 }; // HWCAP_ASIMDDP

static unsigned tiers_here(void)
{
    return 1U << NN_SCALAR | (getauxval(AT_HWCAP) & HWCAP_DOT_PRODUCT ? 1U << NN_NEON_DOT : 0);
}

#else

static unsigned tiers_here(void)
{
    return 1U << NN_SCALAR;
}

#endif

static const char *const NAMES[NN_TIERS] = {"scalar",      "avx2",        "avx-vnni",
                                            "avx512-vnni", "avx512-bf16", "neon-dot"};

bool nn_tier_has(enum nn_tier tier)
{
    return (unsigned)tier < NN_TIERS && (tiers_here() >> tier & 1);
}

enum nn_tier nn_tier_best(void)
{
    unsigned have = tiers_here();
    int best = NN_TIERS - 1;
    while (!(have >> best & 1))
        best--;
    return (enum nn_tier)best;
}

const char *nn_tier_name(enum nn_tier tier)
{
    return (unsigned)tier < NN_TIERS ? NAMES[tier] : "unknown";
}

enum result nn_tier_choose(const char *name, enum nn_tier *out)
{
    if (!name || !*name || strcmp(name, "auto") == 0) {
        *out = nn_tier_best();
        return RESULT_OK;
    }
    for (int i = 0; i < NN_TIERS; i++)
        if (strcmp(name, NAMES[i]) == 0) {
            *out = (enum nn_tier)i;
            return nn_tier_has(*out) ? RESULT_OK : RESULT_UNSUPPORTED;
        }
    return RESULT_NOT_FOUND;
}
