#include "signal/pieces.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static int by_sieved(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    return slice_cmp(slice_from(x->text, x->sieved), slice_from(y->text, y->sieved));
}

// How rare a character is, in tenths of a bit of English text; digits like the rarer letters.
uint32_t pieces_rarity(char c)
{
    static const uint8_t letter[26] = {36, 61, 52, 45, 30, 55, 56, 40, 38, 94, 70, 46, 54,
                                       39, 37, 57, 99, 41, 40, 35, 52, 67, 54, 94, 56, 99};
    return c == ' ' ? 25 : c >= 'a' && c <= 'z' ? letter[c - 'a'] : 70;
}

// The rarest run of so many characters as the sieve looks at.
static uint32_t rarest(struct slice text)
{
    uint32_t best = 0, worth = 0;
    for (uint32_t i = 0; i + PIECES_SIEVED <= text.len; i++) {
        uint32_t w = 0;
        for (uint32_t k = 0; k < PIECES_SIEVED; k++)
            w += pieces_rarity(text.ptr[i + k]);
        if (w > worth) {
            best = i;
            worth = w;
        }
    }
    return best;
}

enum result pieces_prepare(const struct slice *texts, uint32_t count, struct arena *arena,
                           struct piece_set *out)
{
    *out = (struct piece_set){.pieces = ARENA_ARRAY(arena, struct piece, count + 1)};
    if (!out->pieces)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        out->pieces[i] = (struct piece){texts[i], rarest(texts[i])};
    // Pieces that are alike share a bucket, which keeps the others narrow.
    qsort(out->pieces, count, sizeof *out->pieces, by_sieved);
    out->count = count;
    for (uint32_t b = 0; b <= PIECES_BUCKETS; b++)
        out->first[b] = count * b / PIECES_BUCKETS;
    for (uint32_t b = 0; b < PIECES_BUCKETS; b++)
        for (uint32_t i = out->first[b]; i < out->first[b + 1]; i++) {
            struct slice s = slice_from(out->pieces[i].text, out->pieces[i].sieved);
            for (uint32_t k = 0; k < PIECES_SIEVED; k++)
                for (uint32_t c = 0; c < 32; c++)
                    if (k >= s.len || (s.ptr[k] & 31) == (int)c)
                        out->bucket[k][c] |= (uint8_t)(1u << b);
        }
    return RESULT_OK;
}

#if defined(__x86_64__)
// Whether a piece of the buckets stands where the sieve stopped.
static bool stands(const struct piece_set *set, struct slice folded, size_t at, unsigned buckets)
{
    for (; buckets; buckets &= buckets - 1) {
        unsigned b = (unsigned)__builtin_ctz(buckets);
        for (uint32_t i = set->first[b]; i < set->first[b + 1]; i++) {
            const struct piece *p = &set->pieces[i];
            if (at >= p->sieved && at - p->sieved < folded.len &&
                slice_starts_with(slice_from(folded, at - p->sieved), p->text))
                return true;
        }
    }
    return false;
}

#define AVX512 __attribute__((target("avx2,avx512f,avx512bw,avx512vl,avx512vbmi,bmi,popcnt")))

// The buckets that the characters at `p` and on may belong to, by the table for one place of a piece.
AVX512 static inline __m512i look_up(const char *p, const uint8_t *bucket)
{
    __m256i half = _mm256_loadu_si256((const __m256i *)(const void *)bucket);
    return _mm512_permutexvar_epi8(_mm512_loadu_si512(p), _mm512_broadcast_i64x4(half));
}

AVX512 static bool occur_avx512(const struct piece_set *set, struct slice folded)
{
    _Static_assert(PIECES_SIEVED == 4, "one look-up each below");
    for (size_t at = 0; at < folded.len; at += 64) {
        const char *p = folded.ptr + at;
        __m512i low = _mm512_and_si512(look_up(p, set->bucket[0]), look_up(p + 1, set->bucket[1]));
        __m512i high =
            _mm512_and_si512(look_up(p + 2, set->bucket[2]), look_up(p + 3, set->bucket[3]));
        __m512i hit = _mm512_and_si512(low, high);
        uint64_t places = _mm512_test_epi8_mask(hit, hit);
        if (MERIT_LIKELY(places == 0))
            continue;
        uint8_t buckets[64];
        _mm512_storeu_si512(buckets, hit);
        for (; places; places &= places - 1) {
            unsigned i = (unsigned)__builtin_ctzll(places);
            if (stands(set, folded, at + i, buckets[i]))
                return true;
        }
    }
    return false;
}
#endif

bool pieces_occur(const struct piece_set *set, struct slice folded)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512bw"))
        return occur_avx512(set, folded);
#endif
    (void)set;
    (void)folded;
    return true;
}
