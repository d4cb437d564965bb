#include "text/utf8.h"

#include <assert.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <utf8proc.h>

#include "base/compiler.h"

enum { REPLACEMENT = 0xfffd };

static const uint64_t HIGH_BITS = 0x8080808080808080u;

static inline bool continues(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

// Length of the well-formed sequence at p, which begins with a byte >= 0x80; 0 when it is none.
static inline unsigned sequence(const unsigned char *p, size_t room)
{
    unsigned char c = p[0];
    if (c < 0xe0)
        return c >= 0xc2 && room >= 2 && continues(p[1]) ? 2 : 0;
    if (c < 0xf0) {
        if (room < 3 || !continues(p[1]) || !continues(p[2]))
            return 0;
        return (c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] >= 0xa0) ? 0 : 3;
    }
    if (c > 0xf4 || room < 4 || !continues(p[1]) || !continues(p[2]) || !continues(p[3]))
        return 0;
    return (c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] >= 0x90) ? 0 : 4;
}

bool utf8_valid_scalar(struct slice s)
{
    if (!s.len)
        return true;
    const unsigned char *p = (const unsigned char *)s.ptr, *end = p + s.len;
    while (p < end) {
        if (*p < 0x80) {
            uint64_t a, b;
            while (end - p >= 16) {
                memcpy(&a, p, 8);
                memcpy(&b, p + 8, 8);
                if ((a | b) & HIGH_BITS)
                    break;
                p += 16;
            }
            while (p < end && *p < 0x80)
                p++;
            continue;
        }
        unsigned n = sequence(p, (size_t)(end - p));
        if (!n)
            return false;
        p += n;
    }
    return true;
}

#if defined(__x86_64__)
// The lookup algorithm of Keiser and Lemire, "Validating UTF-8 in less than one instruction per byte" (2021): each pair
// of neighbouring bytes is looked up by three of its nibbles; an error is a bit that all three tables name.
enum {
    TOO_SHORT = 1,        // a lead without a continuation
    TOO_LONG = 2,         // ASCII before a continuation
    OVERLONG_3 = 4,       // e0 80..9f
    TOO_LARGE = 8,        // f4 90..bf, f5..ff with 90..bf
    SURROGATE = 16,       // ed a0..bf
    OVERLONG_2 = 32,      // c0, c1
    LARGE_OR_LONG_4 = 64, // f0 80..8f, f5..ff 80..8f
    TWO_MORE = 128,       // two continuations, right as the third and fourth byte only
    ANY_LOW = TOO_SHORT | TOO_LONG | TWO_MORE,
    LARGE = ANY_LOW | TOO_LARGE | LARGE_OR_LONG_4,
    SECOND = TOO_LONG | OVERLONG_2 | TWO_MORE,
};

static const unsigned char first_high[16] = {
    TOO_LONG,
    TOO_LONG,
    TOO_LONG,
    TOO_LONG,
    TOO_LONG,
    TOO_LONG,
    TOO_LONG,
    TOO_LONG,
    TWO_MORE,
    TWO_MORE,
    TWO_MORE,
    TWO_MORE,
    TOO_SHORT | OVERLONG_2,
    TOO_SHORT,
    TOO_SHORT | OVERLONG_3 | SURROGATE,
    TOO_SHORT | TOO_LARGE | LARGE_OR_LONG_4,
};
static const unsigned char first_low[16] = {
    ANY_LOW | OVERLONG_2 | OVERLONG_3 | LARGE_OR_LONG_4,
    ANY_LOW | OVERLONG_2,
    ANY_LOW,
    ANY_LOW,
    ANY_LOW | TOO_LARGE,
    LARGE,
    LARGE,
    LARGE,
    LARGE,
    LARGE,
    LARGE,
    LARGE,
    LARGE,
    LARGE | SURROGATE,
    LARGE,
    LARGE,
};
static const unsigned char second_high[16] = {
    TOO_SHORT,
    TOO_SHORT,
    TOO_SHORT,
    TOO_SHORT,
    TOO_SHORT,
    TOO_SHORT,
    TOO_SHORT,
    TOO_SHORT,
    SECOND | OVERLONG_3 | LARGE_OR_LONG_4,
    SECOND | OVERLONG_3 | TOO_LARGE,
    SECOND | SURROGATE | TOO_LARGE,
    SECOND | SURROGATE | TOO_LARGE,
    TOO_SHORT,
    TOO_SHORT,
    TOO_SHORT,
    TOO_SHORT,
};

#define AVX2 __attribute__((target("avx2")))

AVX2 static inline __m256i look_up(const unsigned char table[16], __m256i nibbles)
{
    __m128i half = _mm_loadu_si128((const __m128i *)(const void *)table);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(half), nibbles);
}

// Not zero where the block is wrong, given the one before it.
AVX2 static inline __m256i block_errors(__m256i block, __m256i before)
{
    const __m256i low = _mm256_set1_epi8(0x0f);
    __m256i across = _mm256_permute2x128_si256(before, block, 0x21);
    __m256i back1 = _mm256_alignr_epi8(block, across, 15);
    __m256i back2 = _mm256_alignr_epi8(block, across, 14);
    __m256i back3 = _mm256_alignr_epi8(block, across, 13);
    __m256i a = look_up(first_high, _mm256_and_si256(_mm256_srli_epi16(back1, 4), low));
    __m256i b = look_up(first_low, _mm256_and_si256(back1, low));
    __m256i c = look_up(second_high, _mm256_and_si256(_mm256_srli_epi16(block, 4), low));
    __m256i wrong = _mm256_and_si256(_mm256_and_si256(a, b), c);
    // The top bit stays where a lead two or three bytes back asks for a continuation.
    __m256i third = _mm256_subs_epu8(back2, _mm256_set1_epi8((char)(0xe0 - 0x80)));
    __m256i fourth = _mm256_subs_epu8(back3, _mm256_set1_epi8((char)(0xf0 - 0x80)));
    __m256i wanted = _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8((char)0x80));
    return _mm256_xor_si256(wrong, wanted);
}

// Checks whole blocks; moves *at to where a byte-wise reader goes on, which is at most three bytes before their end.
AVX2 static bool valid_blocks(const unsigned char **at, const unsigned char *end)
{
    const unsigned char *p = *at;
    __m256i before = _mm256_setzero_si256(), wrong = before;
    bool ascii = true;
    for (; end - p >= 32; p += 32) {
        __m256i block = _mm256_loadu_si256((const __m256i *)(const void *)p);
        bool was_ascii = ascii;
        ascii = _mm256_movemask_epi8(block) == 0;
        if (!ascii || !was_ascii)
            wrong = _mm256_or_si256(wrong, block_errors(block, before));
        before = block;
    }
    if (!_mm256_testz_si256(wrong, wrong))
        return false;
    const unsigned char *begin = *at;
    *at = p;
    for (int back = 1; back <= 3 && p - back >= begin && p[-back] >= 0x80; back++) {
        if (p[-back] >= 0xc0) {
            *at = p - back;
            break;
        }
    }
    return true;
}
#endif

bool utf8_valid(struct slice s)
{
#if defined(__x86_64__)
    if (s.len >= 64 && __builtin_cpu_supports("avx2")) {
        const unsigned char *begin = (const unsigned char *)s.ptr, *p = begin;
        if (!valid_blocks(&p, begin + s.len))
            return false;
        s = slice_from(s, (size_t)(p - begin));
    }
#endif
    return utf8_valid_scalar(s);
}

uint32_t utf8_next(struct slice s, size_t *at)
{
    assert(*at < s.len);
    const unsigned char *p = (const unsigned char *)s.ptr + *at;
    if (p[0] < 0x80) {
        *at += 1;
        return p[0];
    }
    unsigned n = sequence(p, s.len - *at);
    *at += n ? n : 1;
    switch (n) {
    case 2:
        return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
    case 3:
        return (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
    case 4:
        return (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
    default:
        return REPLACEMENT;
    }
}

unsigned utf8_put(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        if (code >= 0xd800 && code < 0xe000)
            return 0;
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    if (code > 0x10ffff)
        return 0;
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

// Unicode 15 blocks, so that unassigned places in them already count.
static const struct {
    uint32_t first, last;
} cjk[] = {
    {0x1100, 0x11ff},   // Hangul Jamo
    {0x2e80, 0x2fdf},   // radicals
    {0x3005, 0x3007},   // iteration and closing marks, ideographic zero
    {0x3021, 0x3029},   // Hangzhou numerals
    {0x3031, 0x3035},   // kana repeat marks
    {0x3038, 0x303c},   // more numerals and marks
    {0x3041, 0x3096},   // Hiragana
    {0x3099, 0x30ff},   // voicing marks, Katakana
    {0x3131, 0x318e},   // Hangul compatibility Jamo
    {0x31f0, 0x31ff},   // Katakana extensions
    {0x3400, 0x4dbf},   // Han extension A
    {0x4e00, 0x9fff},   // Han
    {0xa960, 0xa97f},   // Hangul Jamo extended A
    {0xac00, 0xd7ff},   // Hangul syllables, Jamo extended B
    {0xf900, 0xfaff},   // Han compatibility
    {0xff66, 0xffdc},   // half-width Katakana and Hangul
    {0x1aff0, 0x1b16f}, // kana supplements
    {0x20000, 0x323af}, // Han extensions B to H
};

bool utf8_is_cjk(uint32_t code)
{
    if (code < cjk[0].first)
        return false;
    for (size_t i = 0; i < MERIT_COUNT(cjk); i++) {
        if (code <= cjk[i].last)
            return code >= cjk[i].first;
    }
    return false;
}

bool utf8_is_word(uint32_t code)
{
    if (code < 0x80)
        return (code | 0x20) - 'a' < 26 || code - '0' < 10;
    // Latin-1, where only these are letters or numbers; then Latin Extended A and B, where all are.
    if (code < 0x100)
        return code >= 0xc0 ? code != 0xd7 && code != 0xf7
                            : code == 0xaa || code == 0xb2 || code == 0xb3 || code == 0xb5 ||
                                  code == 0xb9 || code == 0xba || (code >= 0xbc && code <= 0xbe);
    if (code < 0x250)
        return true;
    if (code > 0x10ffff)
        return false;
    switch (utf8proc_category((utf8proc_int32_t)code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return true;
    default:
        return false;
    }
}

uint32_t utf8_fold(uint32_t code)
{
    if (code < 0x80)
        return code - 'A' < 26 ? code + 32 : code;
    if (code < 0x100) {
        if (code == 0xb5)
            return 0x3bc;
        return code >= 0xc0 && code <= 0xde && code != 0xd7 ? code + 32 : code;
    }
    if (code > 0x10ffff)
        return code;
    utf8proc_int32_t full[8];
    int boundary = UTF8PROC_BOUNDCLASS_START;
    utf8proc_ssize_t n =
        utf8proc_decompose_char((utf8proc_int32_t)code, full, 8, UTF8PROC_CASEFOLD, &boundary);
    if (n == 1)
        return (uint32_t)full[0];
    // Where full folding gives several, simple folding is the lower case, except for the dotted I, which has none.
    return n > 1 && code != 0x130 ? (uint32_t)utf8proc_tolower((utf8proc_int32_t)code) : code;
}
