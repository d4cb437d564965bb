// Private to text/json*.c: the scan of one string, in a version per instruction set.
#ifndef MERIT_TEXT_JSON_SCAN_H
#define MERIT_TEXT_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "text/json.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>

// Four bits for each byte: narrowing by a shift of four is the shortest way to a mask.
static inline uint64_t json_neon_mask(uint8x16_t v)
{
    return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(v), 4)), 0);
}
#endif

struct json_found {
    const unsigned char
        *stop; // the closing quote, or the byte that is wrong (`end` when it is missing)
    bool closed;
    bool escaped;
    bool high; // some byte was above 0x7f; may also be set by bytes behind the string
};

// From behind the opening quote. Checks escapes, surrogate pairs and control characters, not UTF-8.
typedef struct json_found json_scan_fn(const unsigned char *p, const unsigned char *end);

// Copies to `out` (room for n) up to the first byte that a string must escape, or that is above 0x7f when `stop_high`;
// returns how many. Bytes of `out` behind those may be overwritten.
typedef size_t json_copy_fn(char *out, const unsigned char *p, size_t n, bool stop_high);

struct json_kernels {
    json_scan_fn *scan;
    json_copy_fn *copy;
    bool probe; // whether json_scan_probe may be tried first
};

// Those in force: of the forced tier, else of the best of this CPU.
const struct json_kernels *json_kernels_active(void);

// Most keys are short: where the next 16 bytes close the string, with nothing but plain ASCII before, gives its length
// without a call; -1 tells nothing. Of the instructions that every CPU of this kind has.
static inline int json_scan_probe(const unsigned char *p, const unsigned char *end)
{
    if (end - p < 16)
        return -1;
#if defined(__SSE2__)
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    unsigned quote = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')));
    // As signed bytes those above 0x7f are below the space too.
    unsigned other = (unsigned)_mm_movemask_epi8(_mm_or_si128(
        _mm_cmpgt_epi8(_mm_set1_epi8(' '), v), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));
    return quote && !(other & (quote ^ (quote - 1))) ? __builtin_ctz(quote) : -1;
#elif defined(__aarch64__)
    uint8x16_t v = vld1q_u8(p);
    uint8x16_t others =
        vorrq_u8(vceqq_u8(v, vdupq_n_u8('\\')), vcltq_s8(vreinterpretq_s8_u8(v), vdupq_n_s8(' ')));
    uint64_t quote = json_neon_mask(vceqq_u8(v, vdupq_n_u8('"'))), other = json_neon_mask(others);
    return quote && !(other & (quote ^ (quote - 1))) ? __builtin_ctzll(quote) >> 2 : -1;
#else
    return -1;
#endif
}

// Length of the escape at the backslash `p` (2, 6, or 12 for a surrogate pair); 0 when it is not legal.
unsigned json_escape_length(const unsigned char *p, const unsigned char *end);
// The code point of a legal escape.
uint32_t json_escape_code(const unsigned char *p);

#endif
