#include <math.h>

#include "signal/similar.h"
#include "text/utf8.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { GRAMS_MAX = SIMILAR_PHRASE_CHARS_MAX + SIMILAR_ARITY_MAX, SLOTS = 256 };

// A gram's code points, 21 bits each.
typedef unsigned __int128 gram_key;

struct ngram {
    uint32_t words, arity, grams, letters;
    uint32_t unique;
    gram_key mask; // of a key
    gram_key gram[GRAMS_MAX];
    uint8_t count[GRAMS_MAX]; // how often each unique gram occurs
    uint8_t slots[SLOTS];     // index of a unique gram + 1, or 0; linear probing
    // For the sieve, when the phrase is ASCII: in which of eight buckets there is a gram with this
    // character (of 32 classes) at the first, second or third place.
    bool ascii;
    uint8_t bucket[3][32];
};

// The padded phrase, and which gram begins at each of its places.
struct padded {
    uint32_t code[SIMILAR_PHRASE_CHARS_MAX + 2 * SIMILAR_ARITY_MAX];
    uint32_t grams;
};

static gram_key key_next(const struct ngram *g, gram_key key, uint32_t code)
{
    return (key << 21 | code) & g->mask;
}

static uint32_t hash_gram(gram_key key)
{
    return (uint32_t)(((uint64_t)key ^ (uint64_t)(key >> 60)) * 0x9E3779B97F4A7C15u >> 56);
}

// False when the text has more characters than are compared.
static bool append(struct padded *p, uint32_t *n, struct slice folded)
{
    for (size_t at = 0; at < folded.len;) {
        if (*n == SIMILAR_PHRASE_CHARS_MAX + SIMILAR_ARITY_MAX)
            return false;
        p->code[(*n)++] = utf8_next(folded, &at);
    }
    return true;
}

static void pad(uint32_t *code, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        code[i] = ' ';
}

static inline int find(const struct ngram *g, gram_key key, uint32_t *slot)
{
    uint32_t i = hash_gram(key);
    for (; g->slots[i]; i = (i + 1) % SLOTS)
        if (g->gram[g->slots[i] - 1] == key)
            return g->slots[i] - 1;
    if (slot)
        *slot = i;
    return -1;
}

// The key of the characters before the first gram ends.
static gram_key key_begin(const struct ngram *g, const uint32_t *code)
{
    gram_key key = 0;
    for (uint32_t i = 0; i + 1 < g->arity; i++)
        key = key_next(g, key, code[i]);
    return key;
}

static void fill_buckets(struct ngram *g)
{
    g->ascii = true;
    for (uint32_t i = 0; i < g->unique; i++)
        for (uint32_t k = 0; k < 3; k++) {
            // Grams of two have any character at the third place.
            uint32_t code =
                k < g->arity ? (uint32_t)(g->gram[i] >> 21 * (g->arity - 1 - k)) & 0x1FFFFF : 0;
            g->ascii &= code < 0x80;
            for (uint32_t c = 0; c < 32; c++)
                if (k >= g->arity || c == (code & 31))
                    g->bucket[k][c] |= (uint8_t)(1u << i % 8);
        }
}

enum result ngram_prepare(struct slice phrase, uint32_t arity, struct arena *arena,
                          struct ngram **out)
{
    struct ngram *g = ARENA_NEW(arena, struct ngram);
    struct padded p;
    uint32_t n = arity - 1;
    if (arity < SIMILAR_ARITY_MIN || arity > SIMILAR_ARITY_MAX)
        return RESULT_RANGE;
    if (!g)
        return RESULT_NOMEM;
    struct slice folded = text_words_fold(phrase, arena, &g->words);
    if (!folded.ptr)
        return RESULT_NOMEM;
    if (folded.len == 0)
        return RESULT_SYNTAX;
    // A NUL stands for a word that is too long.
    if (memchr(folded.ptr, '\0', folded.len))
        return RESULT_LIMIT;
    g->arity = arity;
    g->mask = ((gram_key)1 << 21 * arity) - 1;
    pad(p.code, n);
    if (!append(&p, &n, folded) || n - (arity - 1) > SIMILAR_PHRASE_CHARS_MAX)
        return RESULT_LIMIT;
    for (uint32_t i = arity - 1; i < n; i++)
        g->letters |= p.code[i] == ' ' ? 0 : 1u << (p.code[i] & 31);
    pad(p.code + n, arity - 1);
    g->grams = n;
    gram_key key = key_begin(g, p.code);
    for (uint32_t i = 0; i < g->grams; i++) {
        uint32_t slot = 0;
        key = key_next(g, key, p.code[i + arity - 1]);
        int known = find(g, key, &slot);
        if (known < 0) {
            known = (int)g->unique++;
            g->slots[slot] = (uint8_t)(known + 1);
            g->gram[known] = key;
        }
        g->count[known]++;
    }
    fill_buckets(g);
    *out = g;
    return RESULT_OK;
}

// Shared grams of the phrase and the padded text, as multisets.
static uint32_t shared(const struct ngram *g, const struct padded *p)
{
    uint8_t left[GRAMS_MAX];
    uint32_t n = 0;
    gram_key key = key_begin(g, p->code);
    memcpy(left, g->count, g->unique);
    for (uint32_t i = 0; i < p->grams; i++) {
        key = key_next(g, key, p->code[i + g->arity - 1]);
        int known = find(g, key, NULL);
        if (known >= 0 && left[known]) {
            left[known]--;
            n++;
        }
    }
    return n;
}

static struct slice window(const struct text_words *words, uint32_t first, uint32_t count)
{
    const struct text_word *a = &words->at[first], *b = &words->at[first + count - 1];
    return slice_make(words->folded + a->folded, b->folded + word_folded_len(b) - a->folded);
}

// No likeness can be greater. A character that only one side has spoils the grams that it is part
// of: `n` different ones at least n + arity - 1.
static double likeness_bound(const struct ngram *g, uint32_t chars, uint32_t letters)
{
    uint32_t theirs = chars + g->arity - 1, ours = g->grams;
    uint32_t only_theirs = (uint32_t)__builtin_popcount(letters & ~g->letters);
    uint32_t only_ours = (uint32_t)__builtin_popcount(g->letters & ~letters);
    uint32_t a = only_theirs ? only_theirs + g->arity - 1 : 0,
             b = only_ours ? only_ours + g->arity - 1 : 0;
    uint32_t left_a = theirs > a ? theirs - a : 0, left_b = ours > b ? ours - b : 0;
    uint32_t both = left_a < left_b ? left_a : left_b;
    return (double)both / (theirs + ours - both);
}

// The likeness of a folded text of at most SIMILAR_PHRASE_CHARS_MAX characters when it is above
// `floor`, else 0.
static double likeness_of(const struct ngram *g, struct slice folded, uint32_t chars, double floor)
{
    uint32_t letters = 0, n = g->arity - 1;
    struct padded p;
    double grams = chars + g->arity - 1;
    if ((grams < g->grams ? grams / g->grams : g->grams / grams) <= floor)
        return 0;
    pad(p.code, n);
    append(&p, &n, folded);
    for (uint32_t i = g->arity - 1; i < n; i++)
        letters |= p.code[i] == ' ' ? 0 : 1u << (p.code[i] & 31);
    if (likeness_bound(g, chars, letters) <= floor)
        return 0;
    pad(p.code + n, g->arity - 1);
    p.grams = n;
    uint32_t both = shared(g, &p);
    double value = (double)both / (g->grams + p.grams - both);
    return value > floor ? value : 0;
}

// Of the words from `first` on.
static double likeness(const struct ngram *g, const struct text_words *words, uint32_t first,
                       double floor)
{
    uint32_t chars = g->words - 1;
    for (uint32_t k = 0; k < g->words; k++)
        chars += word_chars(&words->at[first + k]);
    if (chars > SIMILAR_PHRASE_CHARS_MAX ||
        word_view(&words->at[first]) != word_view(&words->at[first + g->words - 1]))
        return 0;
    return likeness_of(g, window(words, first, g->words), chars, floor);
}

// The sieve: where in the folded text there can be a window above `floor`. A window shares more
// than floor * grams grams, and has less than grams / floor of its own. So many places of the text
// that begin like a gram of the phrase must stand in so short a range; they are counted in groups
// of eight.
enum { GROUP = 8, RANGE_GROUPS_MAX = 8 };

struct sieve {
    uint32_t need, groups; // gram places, in so many groups
};

static bool sieve_init(struct sieve *v, const struct ngram *g, double floor)
{
    if (!g->ascii || floor <= 0.05)
        return false;
    double hidden = 2.0 * (g->arity - 2), need = trunc(floor * g->grams * (1 - 1e-9)) + 1 - hidden;
    double range = g->grams / floor * (1 + 1e-9);
    *v = (struct sieve){need > 0 ? (uint32_t)need : 0, (uint32_t)(range + 14) / GROUP};
    // With fewer grams than that, chance would pass most texts.
    return need >= 4 && v->groups <= RANGE_GROUPS_MAX;
}

// Bit i: the gram places of text[i..] are in one bucket. Reads 66 bytes.
typedef uint64_t place_scan(const struct ngram *g, const char *text);

static uint64_t places_scalar(const struct ngram *g, const char *text)
{
    uint64_t bits = 0;
    for (unsigned i = 0; i < 64; i++)
        bits |= (uint64_t)((g->bucket[0][text[i] & 31] & g->bucket[1][text[i + 1] & 31] &
                            g->bucket[2][text[i + 2] & 31]) != 0)
                << i;
    return bits;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static inline __m256i look_up(const uint8_t table[32],
                                                              const char *text)
{
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)text);
    __m256i low =
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)table));
    __m256i high =
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(table + 16)));
    __m256i index = _mm256_and_si256(v, _mm256_set1_epi8(15));
    // Bit 4 chooses the half; blending looks at bit 7.
    return _mm256_blendv_epi8(_mm256_shuffle_epi8(low, index), _mm256_shuffle_epi8(high, index),
                              _mm256_slli_epi16(v, 3));
}

__attribute__((target("avx2"))) static inline uint32_t places_half(const struct ngram *g,
                                                                   const char *text)
{
    __m256i hit = _mm256_and_si256(
        _mm256_and_si256(look_up(g->bucket[0], text), look_up(g->bucket[1], text + 1)),
        look_up(g->bucket[2], text + 2));
    return ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(hit, _mm256_setzero_si256()));
}

__attribute__((target("avx2"))) static uint64_t places_avx2(const struct ngram *g, const char *text)
{
    return places_half(g, text) | (uint64_t)places_half(g, text + 32) << 32;
}
#endif

// Set bits of each byte.
static uint64_t byte_counts(uint64_t x)
{
    x -= x >> 1 & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    return (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
}

// What is left of the text: where a window may stand.
struct sifted {
    uint8_t *may;   // per group, whether enough places stand in it and behind it; NULL: everywhere
    uint64_t *bits; // the places
};

// False: no memory. *any: there is a window that may be above the floor.
static bool sift(const struct ngram *g, const struct sieve *v, const struct text_words *words,
                 struct arena *arena, struct sifted *out, bool *any)
{
    place_scan *scan = places_scalar;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        scan = places_avx2;
#endif
    // The folded text has room for reading behind it; groups behind the last count nothing.
    size_t blocks = words->folded_len / 64 + 1, groups = blocks * 8;
    uint8_t *count = arena_alloc(arena, groups + 16);
    uint64_t *bits = arena_alloc(arena, (blocks + 2) * sizeof *bits);
    if (!count || !bits)
        return false;
    *any = false;
    for (size_t i = 0; i < blocks; i++) {
        bits[i] = scan(g, words->folded + i * 64);
        uint64_t counts = byte_counts(bits[i]);
        memcpy(count + i * 8, &counts, 8);
    }
    bits[blocks] = bits[blocks + 1] = 0;
    memset(count + groups, 0, 16);
    for (size_t i = 0; i < groups; i += 8) {
        uint64_t sum = 0, part;
        for (uint32_t k = 0; k < v->groups; k++) {
            memcpy(&part, count + i + k, 8);
            sum += part;
        }
        // A byte gets its highest bit when its sum, at most 64, reaches what is needed.
        sum = (sum + (128 - v->need) * 0x0101010101010101u) & 0x8080808080808080u;
        *any |= sum != 0;
        memcpy(count + i, &sum, 8);
    }
    *out = (struct sifted){count, bits};
    return true;
}

// Whether the places of a window leave it a chance: `places` are those from the blank before it on.
static inline bool window_may(const struct ngram *g, uint64_t places, uint32_t chars, double floor)
{
    uint32_t n = chars + 3 - g->arity;
    if (chars + 1 < g->arity || n > 64)
        return true;
    double grams = (double)g->grams + chars + g->arity - 1, hidden = 2.0 * (g->arity - 2);
    return (__builtin_popcountll(places << (64 - n)) + hidden) * (1 + floor) >
           floor * grams * (1 - 1e-9);
}

// 64 of the bits from `at` on; one more word than asked for is read.
static inline uint64_t bits_at(const uint64_t *bits, size_t at)
{
    uint64_t low = bits[at / 64] >> at % 64;
    return at % 64 ? low | bits[at / 64 + 1] << (64 - at % 64) : low;
}

static bool may_be_above(const struct ngram *g, const struct sifted *s,
                         const struct text_words *words, uint32_t first, double floor)
{
    const struct text_word *b = &words->at[first + g->words - 1];
    uint32_t from = words->at[first].folded - 1, end = b->folded + word_folded_len(b);
    return s->may[from / GROUP] && window_may(g, bits_at(s->bits, from), end - from - 1, floor);
}

double ngram_best(const struct ngram *g, const struct text_words *words, double floor,
                  struct arena *arena, struct similar_place *place)
{
    double best = floor > 0 ? floor : 0;
    struct sieve v;
    struct sifted sifted = {NULL, NULL};
    bool any = true;
    *place = (struct similar_place){0};
    if (words->ascii && sieve_init(&v, g, best) && sift(g, &v, words, arena, &sifted, &any) && !any)
        return 0;
    for (uint32_t i = 0; i + g->words <= words->count && best < 1; i++) {
        if (sifted.may && !may_be_above(g, &sifted, words, i, best))
            continue;
        double value = likeness(g, words, i, best);
        if (value > best) {
            best = value;
            *place = (struct similar_place){i, g->words, true};
        }
    }
    return place->found ? best : 0;
}

// Highest bits of the bytes whose group begins a range with enough places. The longest range ends
// in the next block.
static inline __attribute__((always_inline)) uint64_t ranges(const struct sieve *v, uint64_t first,
                                                             uint64_t second)
{
    if ((uint32_t)(__builtin_popcountll(first) + __builtin_popcountll(second)) < v->need)
        return 0;
    uint64_t a = byte_counts(first), b = byte_counts(second), sum = a;
    for (uint32_t k = 1; k < v->groups; k++)
        sum += a >> 8 * k | b << (64 - 8 * k);
    return (sum + (128 - v->need) * 0x0101010101010101u) & 0x8080808080808080u;
}

#if defined(__x86_64__)
#define AVX512 __attribute__((target("avx2,avx512f,avx512bw,avx512vl,avx512vbmi,bmi,bmi2,popcnt")))

// Blocks that are looked at together, and what is known of those behind them.
enum { BLOCKS = 32, BEHIND = 3 };

// 32 bytes in both halves.
AVX512 static inline __m512i twice_avx512(const uint8_t *bytes)
{
    return _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(const void *)bytes));
}

// Places and blanks of BLOCKS + BEHIND blocks.
AVX512 static void look_avx512(const struct ngram *g, struct slice folded, size_t block,
                               uint64_t *bits, uint64_t *blanks)
{
    // No array of vectors: where the sanitizer keeps one, it is not aligned for them.
    __m512i table_0 = twice_avx512(g->bucket[0]), table_1 = twice_avx512(g->bucket[1]),
            table_2 = twice_avx512(g->bucket[2]);
    for (size_t i = 0; i < BLOCKS + BEHIND; i++) {
        size_t at = (block + i) * 64;
        if (at >= folded.len) {
            memset(bits + i, 0, (BLOCKS + BEHIND - i) * sizeof *bits);
            memset(blanks + i, 0, (BLOCKS + BEHIND - i) * sizeof *blanks);
            break;
        }
        const char *p = folded.ptr + at;
        __m512i first = _mm512_loadu_si512(p);
        __m512i second = _mm512_permutexvar_epi8(_mm512_loadu_si512(p + 1), table_1);
        __m512i third = _mm512_permutexvar_epi8(_mm512_loadu_si512(p + 2), table_2);
        __m512i hit = _mm512_and_si512(_mm512_permutexvar_epi8(first, table_0),
                                       _mm512_and_si512(second, third));
        bits[i] = _mm512_test_epi8_mask(hit, hit);
        blanks[i] = _mm512_cmpeq_epi8_mask(first, _mm512_set1_epi8(' '));
    }
}

// Windows that begin with one of the blanks of block i.
AVX512 static bool windows_avx512(const struct ngram *g, const char *folded, const uint64_t *bits,
                                  const uint64_t *blanks, size_t i, uint64_t from, double floor)
{
    for (; from; from &= from - 1) {
        size_t at = i * 64 + (unsigned)__builtin_ctzll(from);
        // As many blanks on there is its end, if that is near enough.
        uint64_t end = _pdep_u64((uint64_t)1 << (g->words - 1), bits_at(blanks, at + 1));
        uint32_t chars = end ? (uint32_t)__builtin_ctzll(end) : SIMILAR_PHRASE_CHARS_MAX;
        if (!end && !(bits_at(blanks, at + 1 + SIMILAR_PHRASE_CHARS_MAX) & 1))
            continue;
        if (window_may(g, bits_at(bits, at), chars, floor) &&
            likeness_of(g, slice_make(folded + at + 1, chars), chars, floor) > 0)
            return true;
    }
    return false;
}

AVX512 static bool possible_avx512(const struct ngram *g, const struct sieve *v,
                                   struct slice folded, double floor)
{
    uint64_t bits[BLOCKS + BEHIND], blanks[BLOCKS + BEHIND];
    for (size_t block = 0; block * 64 < folded.len; block += BLOCKS) {
        look_avx512(g, folded, block, bits, blanks);
        for (size_t i = 0; i < BLOCKS; i++) {
            uint64_t may = ranges(v, bits[i], bits[i + 1]);
            if (may && windows_avx512(g, folded.ptr + block * 64, bits, blanks, i,
                                      blanks[i] & (may >> 7) * 255, floor))
                return true;
        }
    }
    return false;
}
#endif

bool ngram_possible(const struct ngram *g, struct slice folded, double floor)
{
    struct sieve v;
    if (!sieve_init(&v, g, floor))
        return true;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("bmi2"))
        return possible_avx512(g, &v, folded, floor);
#endif
    (void)folded;
    return true;
}
