#include "work/tokens.h"

#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// Weights in 1/1024 token; see tokens.h.
enum { WORD = 738, LETTER = 77, UPPER = 140, DIGIT = 1048, PUNCT = 626, NEWLINE = 633 };

// Characters beyond ASCII, by the first byte of their UTF-8 form.
struct lead {
    unsigned char first, last;
    short weight;
};
static const struct lead leads[] = {
    {0xC0, 0xCB, 2089}, // Latin with marks
    {0xCC, 0xCF, 759},  // Greek
    {0xD0, 0xD3, 507},  // Cyrillic
    {0xD4, 0xD7, 854},  // Armenian, Hebrew
    {0xD8, 0xDF, 634},  // Arabic
    {0xE0, 0xE0, 802},  // Indic, Thai
    {0xE1, 0xE1, 512},  // guessed: it stands for Vietnamese and for rare scripts
    {0xE2, 0xE2, 2349}, // punctuation and symbols
    {0xE3, 0xE3, 945},  // kana
    {0xE4, 0xE9, 999},  // Han
    {0xEA, 0xED, 1116}, // Hangul
    {0xEE, 0xEF, 1817}, // full-width forms
    {0xF0, 0xFF, 2537}, // emoji
};

struct counts {
    uint64_t words, letters, uppers, digits, newlines, blanks, ascii;
    uint64_t other; // weight of the characters beyond ASCII
    bool in_word;   // the last character was a letter
};

static bool is_letter(unsigned char c)
{
    return (unsigned char)((c | 32) - 'a') < 26;
}

static unsigned lead_weight(unsigned char c)
{
    for (size_t i = 0; i < MERIT_COUNT(leads); i++)
        if (c <= leads[i].last)
            return c >= leads[i].first ? (unsigned)leads[i].weight : 0;
    return 0;
}

static void count_scalar(struct counts *n, const unsigned char *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = p[i];
        if (c >= 0x80) {
            // The bytes that continue a character change nothing.
            if (c >= 0xC0) {
                n->other += lead_weight(c);
                n->in_word = c <= 0xCB;
            }
            continue;
        }
        bool letter = is_letter(c);
        n->ascii++;
        n->words += letter && !n->in_word;
        n->letters += letter;
        n->uppers += letter && c < 'a';
        n->digits += (unsigned char)(c - '0') < 10;
        n->newlines += c == '\n';
        n->blanks += c == ' ' || c == '\t' || c == '\r';
        n->in_word = letter;
    }
}

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,popcnt")))

// Bytes from `first` on, `n` of them; a signed comparison after moving the range to the bottom.
AVX2 static inline __m256i in_range(__m256i v, int first, int n)
{
    return _mm256_cmpgt_epi8(_mm256_set1_epi8((char)(-128 + n)),
                             _mm256_add_epi8(v, _mm256_set1_epi8((char)(-128 - first))));
}

AVX2 static inline uint64_t sum_bytes(__m256i v)
{
    __m256i four = _mm256_sad_epu8(v, _mm256_setzero_si256());
    __m128i two = _mm_add_epi64(_mm256_castsi256_si128(four), _mm256_extracti128_si256(four, 1));
    return (uint64_t)_mm_cvtsi128_si64(two) + (uint64_t)_mm_extract_epi64(two, 1);
}

// Counts per byte of a register; a true comparison is -1, so that counting is subtracting.
struct lanes {
    __m256i letters, uppers, digits, newlines, blanks;
};

AVX2 static inline __m256i count_lanes(struct lanes *l, __m256i v)
{
#define EQUAL(c) _mm256_cmpeq_epi8(v, _mm256_set1_epi8(c))
    __m256i letter = in_range(_mm256_or_si256(v, _mm256_set1_epi8(32)), 'a', 26);
    // Tab (9) and carriage return (13) differ in one bit.
    __m256i blank =
        _mm256_or_si256(EQUAL(' '), _mm256_cmpeq_epi8(_mm256_or_si256(v, _mm256_set1_epi8(4)),
                                                      _mm256_set1_epi8('\r')));
    l->letters = _mm256_sub_epi8(l->letters, letter);
    l->uppers = _mm256_sub_epi8(l->uppers, in_range(v, 'A', 26));
    l->digits = _mm256_sub_epi8(l->digits, in_range(v, '0', 10));
    l->newlines = _mm256_sub_epi8(l->newlines, EQUAL('\n'));
    l->blanks = _mm256_sub_epi8(l->blanks, blank);
#undef EQUAL
    return letter;
}

// Words that begin in 32 bytes whose letters are given.
AVX2 static inline void count_words(struct counts *n, __m256i letters)
{
    uint32_t letter = (uint32_t)_mm256_movemask_epi8(letters);
    n->words += (unsigned)__builtin_popcount(letter & ~(letter << 1 | n->in_word));
    n->in_word = letter >> 31;
}

AVX2 static inline void sum_lanes(struct counts *n, const struct lanes *l)
{
    n->letters += sum_bytes(l->letters);
    n->uppers += sum_bytes(l->uppers);
    n->digits += sum_bytes(l->digits);
    n->newlines += sum_bytes(l->newlines);
    n->blanks += sum_bytes(l->blanks);
}

// Fewer than 32 bytes behind `done` others of the same text; bytes that are not of it become NULs, which
// only `ascii` counts.
AVX2 static inline __m256i load_tail(const unsigned char *p, size_t len, size_t done)
{
    static const signed char keep[64] = {[32] = -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                                         -1,        -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                                         -1,        -1, -1, -1, -1, -1, -1, -1, -1, -1};
    if (done < 32) {
        unsigned char room[32] = {0};
        memcpy(room, p, len);
        return _mm256_loadu_si256((const __m256i *)(const void *)room);
    }
    // The last 32 bytes of the text, those that were counted before blotted out.
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(p + len - 32));
    return _mm256_and_si256(v, _mm256_loadu_si256((const __m256i *)(const void *)(keep + len)));
}

AVX2 static void count_avx2(struct counts *n, const unsigned char *p, size_t len)
{
    size_t done = 0;
    while (len - done >= 32) {
        // A lane holds 255 counts.
        struct lanes l = {0};
        size_t end = len - done < 255 * 32 ? len : done + 255 * 32, from = done;
        for (; end - done >= 32; done += 32) {
            __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(p + done));
            if (_mm256_movemask_epi8(v))
                break;
            count_words(n, count_lanes(&l, v));
        }
        n->ascii += done - from;
        sum_lanes(n, &l);
        if (end - done >= 32) {
            count_scalar(n, p + done, 32);
            done += 32;
        }
    }
    if (done == len)
        return;
    __m256i v = load_tail(p + done, len - done, done);
    if (_mm256_movemask_epi8(v)) {
        count_scalar(n, p + done, len - done);
        return;
    }
    struct lanes l = {0};
    __m256i letters = count_lanes(&l, v);
    // Where the tail begins, a word may go on.
    unsigned first = done < 32 ? 0 : 32 - (unsigned)(len - done);
    uint32_t letter = (uint32_t)_mm256_movemask_epi8(letters);
    n->words +=
        (unsigned)__builtin_popcount(letter & ~(letter << 1 | (uint32_t)n->in_word << first));
    n->in_word = p[len - 1] < 0x80 && is_letter(p[len - 1]);
    n->ascii += len - done;
    sum_lanes(n, &l);
}
#endif

static uint32_t weigh(const struct counts *n)
{
    uint64_t punct = n->ascii - n->letters - n->digits - n->newlines - n->blanks;
    uint64_t sum = WORD * n->words + LETTER * n->letters + UPPER * n->uppers + DIGIT * n->digits +
                   NEWLINE * n->newlines + PUNCT * punct + n->other;
    uint64_t tokens = (sum + 512) / 1024;
    // A text of blanks alone has tokens too.
    if (tokens == 0 && (n->ascii || n->other))
        tokens = 1;
    return tokens < UINT32_MAX ? (uint32_t)tokens : UINT32_MAX;
}

uint32_t tokens_of_text_scalar(struct slice text)
{
    struct counts n = {0};
    count_scalar(&n, (const unsigned char *)text.ptr, text.len);
    return weigh(&n);
}

uint32_t tokens_of_text(struct slice text)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt")) {
        struct counts n = {0};
        count_avx2(&n, (const unsigned char *)text.ptr, text.len);
        return weigh(&n);
    }
#endif
    return tokens_of_text_scalar(text);
}

uint32_t tokens_of_work(const struct work *w)
{
    uint64_t n = TOKENS_PER_REQUEST + (uint64_t)TOKENS_PER_MESSAGE * w->message_count +
                 w->tool_bytes / TOKENS_TOOL_BYTES;
    for (uint32_t i = 0; i < w->part_count; i++) {
        switch (w->parts[i].kind) {
        case WORK_TEXT:
            n += tokens_of_text(w->parts[i].text);
            break;
        case WORK_IMAGE:
            n += TOKENS_PER_IMAGE;
            break;
        case WORK_AUDIO:
            n += TOKENS_PER_AUDIO;
            break;
        case WORK_FILE:
            n += TOKENS_PER_FILE;
            break;
        case WORK_PART_OTHER:
            break;
        }
    }
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}
