#include "text/json_scan.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// What stands behind the backslash: the decoded byte, 1 for 'u', 0 when not legal.
static const unsigned char escapes[256] = {
    ['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b', ['f'] = '\f',
    ['n'] = '\n', ['r'] = '\r',  ['t'] = '\t', ['u'] = 1,
};

static inline int hex_digit(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// The four digits at p, or -1.
static int32_t hex4(const unsigned char *p)
{
    int a = hex_digit(p[0]), b = hex_digit(p[1]), c = hex_digit(p[2]), d = hex_digit(p[3]);
    return (a | b | c | d) < 0 ? -1 : a << 12 | b << 8 | c << 4 | d;
}

static unsigned unicode_length(const unsigned char *p, const unsigned char *end)
{
    if (end - p < 6)
        return 0;
    int32_t code = hex4(p + 2);
    if (code < 0 || (code >= 0xdc00 && code < 0xe000))
        return 0;
    if (code < 0xd800 || code >= 0xe000)
        return 6;
    if (end - p < 12 || p[6] != '\\' || p[7] != 'u')
        return 0;
    int32_t low = hex4(p + 8);
    return low >= 0xdc00 && low < 0xe000 ? 12 : 0;
}

static inline unsigned escape_length(const unsigned char *p, const unsigned char *end)
{
    unsigned char kind = end - p >= 2 ? escapes[p[1]] : 0;
    if (MERIT_LIKELY(kind > 1))
        return 2;
    return kind ? unicode_length(p, end) : 0;
}

unsigned json_escape_length(const unsigned char *p, const unsigned char *end)
{
    return escape_length(p, end);
}

uint32_t json_escape_code(const unsigned char *p)
{
    if (p[1] != 'u')
        return escapes[p[1]];
    uint32_t code = (uint32_t)hex4(p + 2);
    if (code < 0xd800 || code >= 0xe000)
        return code;
    return 0x10000 + ((code - 0xd800) << 10) + ((uint32_t)hex4(p + 8) - 0xdc00);
}

// What is left when less than a block is: at most 63 bytes of a text.
static struct json_found scan_tail(const unsigned char *p, const unsigned char *end,
                                   struct json_found found)
{
    for (; p < end; p++) {
        if (*p == '"') {
            found.closed = true;
            break;
        }
        if (*p == '\\') {
            unsigned n = escape_length(p, end);
            if (!n)
                break;
            found.escaped = true;
            p += n - 1;
        } else if (*p < 0x20) {
            break;
        } else if (*p >= 0x80) {
            found.high = true;
        }
    }
    found.stop = p;
    return found;
}

#define LOW_BITS 0x7f7f7f7f7f7f7f7fu
#define HIGH_BITS 0x8080808080808080u
#define EVERY(byte) (0x0101010101010101u * (byte))

// 0x80 in each byte that is zero, without borrow from its neighbours.
static inline uint64_t zero_bytes(uint64_t x)
{
    return ~(((x & LOW_BITS) + LOW_BITS) | x) & HIGH_BITS;
}

static inline uint64_t word_load(const unsigned char *p)
{
    uint64_t w;
    memcpy(&w, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    w = __builtin_bswap64(w);
#endif
    return w;
}

static inline uint64_t word_special(uint64_t w)
{
    return zero_bytes(w ^ EVERY('"')) | zero_bytes(w ^ EVERY('\\')) | zero_bytes(w & EVERY(0xe0));
}

// What is left when less than a block is, or a byte of this block stops the copy.
static size_t copy_tail(char *out, const unsigned char *p, size_t n, size_t at, bool stop_high)
{
    for (; n - at >= 8; at += 8) {
        uint64_t w = word_load(p + at);
        if (word_special(w) || (stop_high && w & HIGH_BITS))
            break;
        memcpy(out + at, p + at, 8);
    }
    // The last eight overlap what is copied already.
    if (n - at < 8 && n >= 8) {
        uint64_t w = word_load(p + n - 8);
        if (!word_special(w) && !(stop_high && w & HIGH_BITS)) {
            memcpy(out + n - 8, p + n - 8, 8);
            return n;
        }
    }
    for (; at < n; at++) {
        unsigned char c = p[at];
        if (c == '"' || c == '\\' || c < 0x20 || (stop_high && c >= 0x80))
            break;
        out[at] = (char)c;
    }
    return at;
}

#define SCAN_NAME scan_scalar
#define COPY_NAME copy_scalar
#define SCAN_TARGET
#define SCAN_WIDTH 8
#define SCAN_SHIFT 3
#define SCAN_MASK uint64_t
#define SCAN_BLOCK uint64_t
#define SCAN_NONE 0
#define SCAN_LOAD(p) word_load(p)
#define SCAN_OR(a, b) ((a) | (b))
#define SCAN_SPECIAL(block) word_special(block)
#define SCAN_HIGH(block) ((block)&HIGH_BITS)
#include "text/json_scan_body.h"

#if defined(__x86_64__)
static inline uint32_t sse2_special(__m128i v)
{
    __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
    __m128i slash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    return (uint32_t)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, slash), control));
}

#define SCAN_NAME scan_sse2
#define COPY_NAME copy_sse2
#define SCAN_TARGET
#define SCAN_WIDTH 16
#define SCAN_SHIFT 0
#define SCAN_MASK uint32_t
#define SCAN_BLOCK __m128i
#define SCAN_NONE _mm_setzero_si128()
#define SCAN_LOAD(p) _mm_loadu_si128((const __m128i *)(const void *)(p))
#define SCAN_OR(a, b) _mm_or_si128(a, b)
#define SCAN_SPECIAL(block) sse2_special(block)
#define SCAN_HIGH(block) _mm_movemask_epi8(block)
#include "text/json_scan_body.h"

#define AVX2 __attribute__((target("avx2,bmi")))

AVX2 static inline uint32_t avx2_special(__m256i v)
{
    __m256i quote = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('"'));
    __m256i slash = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\\'));
    __m256i control = _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(0x1f)), v);
    return (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(_mm256_or_si256(quote, slash), control));
}

#define SCAN_NAME scan_avx2
#define COPY_NAME copy_avx2
#define SCAN_TARGET AVX2
#define SCAN_WIDTH 32
#define SCAN_SHIFT 0
#define SCAN_MASK uint32_t
#define SCAN_BLOCK __m256i
#define SCAN_NONE _mm256_setzero_si256()
#define SCAN_LOAD(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define SCAN_OR(a, b) _mm256_or_si256(a, b)
#define SCAN_SPECIAL(block) avx2_special(block)
#define SCAN_HIGH(block) _mm256_movemask_epi8(block)
#include "text/json_scan_body.h"
#elif defined(__aarch64__)
static inline uint64_t neon_special(uint8x16_t v)
{
    uint8x16_t quote = vceqq_u8(v, vdupq_n_u8('"')), slash = vceqq_u8(v, vdupq_n_u8('\\'));
    return json_neon_mask(vorrq_u8(vorrq_u8(quote, slash), vcltq_u8(v, vdupq_n_u8(0x20))));
}

#define SCAN_NAME scan_neon
#define COPY_NAME copy_neon
#define SCAN_TARGET
#define SCAN_WIDTH 16
#define SCAN_SHIFT 2
#define SCAN_MASK uint64_t
#define SCAN_BLOCK uint8x16_t
#define SCAN_NONE vdupq_n_u8(0)
#define SCAN_LOAD(p) vld1q_u8(p)
#define SCAN_OR(a, b) vorrq_u8(a, b)
#define SCAN_SPECIAL(block) neon_special(block)
#define SCAN_HIGH(block) (vmaxvq_u8(block) & 0x80)
#include "text/json_scan_body.h"
#endif

static const struct json_kernels scalar = {scan_scalar, copy_scalar, false};
#if defined(__x86_64__)
static const struct json_kernels sse2 = {scan_sse2, copy_sse2, true};
static const struct json_kernels avx2 = {scan_avx2, copy_avx2, true};
#elif defined(__aarch64__)
static const struct json_kernels neon = {scan_neon, copy_neon, true};
#endif

static const struct json_kernels *tier_kernels(enum json_tier tier)
{
    switch (tier) {
    case JSON_TIER_SCALAR:
        return &scalar;
#if defined(__x86_64__)
    case JSON_TIER_SSE2:
        return &sse2;
    case JSON_TIER_AVX2:
    case JSON_TIER_BEST:
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi"))
            return &avx2;
        return tier == JSON_TIER_BEST ? &sse2 : NULL;
#elif defined(__aarch64__)
    case JSON_TIER_NEON:
    case JSON_TIER_BEST:
        return &neon;
#else
    case JSON_TIER_BEST:
        return &scalar;
#endif
    default:
        return NULL;
    }
}

// The only state of this layer: which tier tests asked for.
static _Atomic(enum json_tier) forced = JSON_TIER_BEST;

const struct json_kernels *json_kernels_active(void)
{
    return tier_kernels(atomic_load_explicit(&forced, memory_order_relaxed));
}

enum result json_force_tier(enum json_tier tier)
{
    if (!tier_kernels(tier))
        return RESULT_UNSUPPORTED;
    atomic_store_explicit(&forced, tier, memory_order_relaxed);
    return RESULT_OK;
}
