// Words of a text, folded, for the signals that compare words.
//
// ASCII is taken in blocks of 64 bytes whose letters and digits become a bit mask; the mask's edges
// are the words. Everything else goes character by character.
#include <string.h>

#include "signal/artifacts.h"
#include "text/utf8.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { COPY = 16, PAD = 64 };

// The folded character of an ASCII letter or digit, 0 for all other bytes.
static const char fold_ascii[256] = {
    ['0'] = '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ['A'] = 'a', 'b', 'c',
    'd',         'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n',         'o', 'p',
    'q',         'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', ['a'] = 'a', 'b', 'c',
    'd',         'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n',         'o', 'p',
    'q',         'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z',
};

struct splitter {
    struct slice text;
    uint16_t view;
    struct text_word *at;
    uint32_t count, room;
    char *folded;
    size_t len;
    bool ascii;
};

// Where the next word is put. Kept in locals while ASCII is split: stores through a char pointer
// would have the compiler read a structure again after each.
struct place {
    char *put;
    struct text_word *word;
};

// A word of ASCII from `begin` to `end`.
static inline __attribute__((always_inline)) struct place
put_ascii(const struct splitter *s, struct place to, size_t begin, size_t end)
{
    size_t n = end - begin, left = s->text.len - begin;
    uint64_t len = n, folded_len = n, chars = n;
    const char *from = s->text.ptr + begin;
    if (MERIT_UNLIKELY(to.word == s->at + s->room))
        return to;
    struct text_word w;
    if (MERIT_LIKELY(n <= COPY && left >= COPY)) {
        // A letter or digit is folded by one bit, so that 16 bytes go at a time; what is too much
        // is overwritten.
        uint64_t part[2];
        memcpy(part, from, COPY);
        part[0] |= 0x2020202020202020u;
        part[1] |= 0x2020202020202020u;
        memcpy(to.put, part, COPY);
    } else if (n <= SIGNAL_WORD_CHARS_MAX) {
        for (size_t i = 0; i < n; i++)
            to.put[i] = fold_ascii[(unsigned char)from[i]];
    } else {
        len = n < UINT16_MAX ? n : UINT16_MAX;
        folded_len = 0;
        chars = UINT16_MAX;
        *to.put = '\0';
        n = 1;
    }
    to.put[n] = ' ';
    w = (struct text_word){.begin = (uint32_t)begin,
                           .folded = (uint32_t)(to.put - s->folded),
                           .rest = len | folded_len << 16 | chars << 32 | (uint64_t)s->view << 48};
    *to.word = w;
    return (struct place){to.put + n + 1, to.word + 1};
}

// The word that begins at `at`, whatever its characters; returns where it ends.
static size_t put_any(struct splitter *s, size_t at)
{
    const char *t = s->text.ptr;
    size_t begin = at, end = s->text.len;
    uint32_t chars = 0;
    char *to = s->folded + s->len, *put = to;
    while (at < end) {
        unsigned char c = (unsigned char)t[at];
        if (c < 0x80) {
            if (!fold_ascii[c])
                break;
            if (chars < SIGNAL_WORD_CHARS_MAX)
                *put++ = fold_ascii[c];
            at++;
            chars++;
            continue;
        }
        size_t next = at;
        uint32_t code = utf8_next(s->text, &next);
        bool cjk = utf8_is_cjk(code);
        if ((cjk && chars) || !(cjk || utf8_is_word(code)))
            break;
        if (chars < SIGNAL_WORD_CHARS_MAX)
            put += utf8_put(utf8_fold(code), put);
        at = next;
        chars++;
        if (cjk)
            break;
    }
    bool fits = chars <= SIGNAL_WORD_CHARS_MAX;
    size_t n = fits ? (size_t)(put - to) : 1, len = at - begin;
    if (s->count == s->room)
        return at;
    if (!fits)
        *to = '\0';
    to[n] = ' ';
    s->len += n + 1;
    s->ascii &= n == chars;
    uint64_t told = len < UINT16_MAX ? len : UINT16_MAX;
    s->at[s->count++] = (struct text_word){.begin = (uint32_t)begin,
                                           .folded = (uint32_t)(to - s->folded),
                                           .rest = told | (uint64_t)(fits ? n : 0) << 16 |
                                                   (uint64_t)(fits ? chars : UINT16_MAX) << 32 |
                                                   (uint64_t)s->view << 48};
    return at;
}

// Around a character beyond ASCII at `at`: the word that it is in or begins, from `begin` when one
// is open, or the characters between words. Returns where ASCII outside of words goes on.
static size_t put_other(struct splitter *s, size_t begin, size_t at)
{
    if (begin != SIZE_MAX)
        at = put_any(s, begin);
    while (at < s->text.len && (unsigned char)s->text.ptr[at] >= 0x80) {
        size_t next = at;
        uint32_t code = utf8_next(s->text, &next);
        at = utf8_is_cjk(code) || utf8_is_word(code) ? put_any(s, at) : next;
    }
    return at;
}

typedef void mask_scan(const char *p, uint64_t *word, uint64_t *high);

static inline __attribute__((always_inline)) void split(struct splitter *s, mask_scan *scan)
{
    size_t at = 0, end = s->text.len, open = SIZE_MAX;
    struct place to = {s->folded + s->len, s->at + s->count};
    char tail[64];
    while (at < end) {
        const char *from = s->text.ptr + at;
        unsigned n = 64;
        uint64_t word, high;
        if (end - at < 64) {
            n = (unsigned)(end - at);
            memset(tail, 0, sizeof tail);
            memcpy(tail, from, n);
            from = tail;
        }
        scan(from, &word, &high);
        if (MERIT_UNLIKELY(high != 0)) {
            n = (unsigned)__builtin_ctzll(high);
            word &= ((uint64_t)1 << n) - 1;
        }
        uint64_t before = word << 1 | (open != SIZE_MAX);
        uint64_t starts = word & ~before, ends = ~word & before;
        if (n < 64)
            ends &= ((uint64_t)1 << n) - 1;
        if (open != SIZE_MAX && ends) {
            to = put_ascii(s, to, open, at + (unsigned)__builtin_ctzll(ends));
            ends &= ends - 1;
            open = SIZE_MAX;
        }
        for (; ends; ends &= ends - 1, starts &= starts - 1)
            to = put_ascii(s, to, at + (unsigned)__builtin_ctzll(starts),
                           at + (unsigned)__builtin_ctzll(ends));
        if (starts)
            open = at + (unsigned)__builtin_ctzll(starts);
        at += n;
        if (MERIT_UNLIKELY(high != 0)) {
            s->len = (size_t)(to.put - s->folded);
            s->count = (uint32_t)(to.word - s->at);
            at = put_other(s, open, at);
            to = (struct place){s->folded + s->len, s->at + s->count};
            open = SIZE_MAX;
        }
    }
    if (open != SIZE_MAX)
        to = put_ascii(s, to, open, end);
    s->len = (size_t)(to.put - s->folded);
    s->count = (uint32_t)(to.word - s->at);
}

// At least as many as there are words: runs of ASCII letters and digits, and characters beyond
// ASCII.
static inline __attribute__((always_inline)) size_t count_most(struct slice text, mask_scan *scan)
{
    size_t n = 0;
    uint64_t open = 0;
    char tail[64];
    for (size_t at = 0; at < text.len; at += 64) {
        const char *from = text.ptr + at;
        uint64_t word, high;
        if (text.len - at < 64) {
            memset(tail, 0, sizeof tail);
            memcpy(tail, from, text.len - at);
            from = tail;
        }
        scan(from, &word, &high);
        n += (unsigned)__builtin_popcountll(word & ~(word << 1 | open));
        open = word >> 63;
        if (high)
            n += (unsigned)__builtin_popcountll(high);
    }
    return n;
}

static inline void mask_scalar(const char *p, uint64_t *word, uint64_t *high)
{
    *word = *high = 0;
    for (unsigned i = 0; i < 64; i++) {
        *word |= (uint64_t)(fold_ascii[(unsigned char)p[i]] != 0) << i;
        *high |= (uint64_t)((unsigned char)p[i] >= 0x80) << i;
    }
}

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,bmi,popcnt")))

AVX2 static inline __m256i alnum_avx2(__m256i v)
{
    __m256i lower = _mm256_or_si256(v, _mm256_set1_epi8(32));
    // A signed comparison does for an unsigned one after moving the range to the bottom.
    __m256i letter = _mm256_add_epi8(lower, _mm256_set1_epi8((char)(-128 - 'a')));
    __m256i digit = _mm256_add_epi8(v, _mm256_set1_epi8((char)(-128 - '0')));
    return _mm256_or_si256(_mm256_cmpgt_epi8(_mm256_set1_epi8(-128 + 26), letter),
                           _mm256_cmpgt_epi8(_mm256_set1_epi8(-128 + 10), digit));
}

AVX2 static inline void mask_avx2(const char *p, uint64_t *word, uint64_t *high)
{
    __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)p);
    __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32));
    *word = (uint64_t)(uint32_t)_mm256_movemask_epi8(alnum_avx2(a)) |
            (uint64_t)(uint32_t)_mm256_movemask_epi8(alnum_avx2(b)) << 32;
    *high = (uint64_t)(uint32_t)_mm256_movemask_epi8(a) |
            (uint64_t)(uint32_t)_mm256_movemask_epi8(b) << 32;
}

AVX2 static void split_avx2(struct splitter *s)
{
    split(s, mask_avx2);
}

AVX2 static size_t count_avx2(struct slice text)
{
    return count_most(text, mask_avx2);
}
#endif

static void split_scalar(struct splitter *s)
{
    split(s, mask_scalar);
}

static size_t count_scalar(struct slice text)
{
    return count_most(text, mask_scalar);
}

// Folding a character makes it at most half longer; every word has a space behind it, and a copy of
// 16 bytes may reach over the end.
static size_t folded_room(struct slice text)
{
    return text.len * 2 + PAD;
}

enum result text_words_split(const struct text_views *views, struct arena *arena,
                             struct text_words *out)
{
    size_t bytes = PAD, most = 0;
    struct splitter s = {.ascii = true};
    void (*best)(struct splitter *) = split_scalar;
    size_t (*count)(struct slice) = count_scalar;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
        __builtin_cpu_supports("popcnt")) {
        best = split_avx2;
        count = count_avx2;
    }
#endif
    for (uint32_t i = 0; i < views->count; i++) {
        bytes += folded_room(views->at[i].text);
        most += count(views->at[i].text);
    }
    s.room = most < SIGNAL_WORDS_MAX ? (uint32_t)most : SIGNAL_WORDS_MAX;
    s.at = arena_alloc(arena, (s.room + 1) * sizeof *s.at);
    s.folded = arena_alloc_aligned(arena, bytes, 64);
    if (!s.at || !s.folded)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < views->count; i++) {
        s.text = views->at[i].text;
        s.view = (uint16_t)i;
        s.folded[s.len++] = '\0';
        best(&s);
    }
    s.folded[s.len] = '\0';
    *out = (struct text_words){s.at,     s.count,
                               s.folded, (uint32_t)s.len,
                               s.ascii,  views->cut || s.count == SIGNAL_WORDS_MAX};
    return RESULT_OK;
}

struct slice text_words_fold(struct slice text, struct arena *arena, uint32_t *words)
{
    struct text_view view = {text, 0, 0};
    struct text_views views = {&view, 1, false};
    struct text_words split_words;
    *words = 0;
    if (text_words_split(&views, arena, &split_words))
        return SLICE_EMPTY;
    *words = split_words.count;
    // Without the NUL before and the space behind.
    return slice_make(split_words.folded + 1, split_words.count ? split_words.folded_len - 2 : 0);
}

#if defined(__x86_64__)
#define AVX512                                                                                     \
    __attribute__((target("avx2,avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi,popcnt")))

AVX512 static char *fold_avx512(struct slice text, char *put)
{
    bool in_word = false;
    const __m512i blank = _mm512_set1_epi8(' ');
    for (size_t at = 0; at < text.len; at += 64) {
        size_t left = text.len - at;
        __mmask64 live = left < 64 ? ((uint64_t)1 << left) - 1 : ~(uint64_t)0;
        __m512i v = _mm512_maskz_loadu_epi8(live, text.ptr + at);
        if (_mm512_movepi8_mask(v))
            return NULL;
        // A letter or digit is folded by one bit.
        __m512i lower = _mm512_or_si512(v, blank);
        uint64_t word =
            _mm512_cmplt_epu8_mask(_mm512_sub_epi8(lower, _mm512_set1_epi8('a')),
                                   _mm512_set1_epi8(26)) |
            _mm512_cmplt_epu8_mask(_mm512_sub_epi8(v, _mm512_set1_epi8('0')), _mm512_set1_epi8(10));
        uint64_t keep = word | (word << 1 | in_word);
        __m512i folded = _mm512_mask_mov_epi8(blank, word, lower);
        _mm512_storeu_si512(put, _mm512_maskz_compress_epi8(keep, folded));
        put += __builtin_popcountll(keep);
        in_word = word >> 63;
    }
    *put = ' ';
    return put + in_word;
}
#endif

enum result text_fold_fast(const struct text_views *views, struct arena *arena, struct slice *out)
{
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx512vbmi2") || !__builtin_cpu_supports("avx512vbmi") ||
        !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl"))
        return RESULT_UNSUPPORTED;
    size_t room = FOLD_PAD;
    for (uint32_t i = 0; i < views->count; i++)
        room += views->at[i].text.len + 2;
    char *begin = arena_alloc_aligned(arena, room, 64), *put = begin;
    if (!begin)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < views->count; i++) {
        *put = ' ';
        put = fold_avx512(views->at[i].text, put + 1);
        if (!put)
            return RESULT_UNSUPPORTED;
    }
    memset(put, 0, FOLD_PAD);
    *out = slice_make(begin, (size_t)(put - begin));
    return RESULT_OK;
#else
    (void)views;
    (void)arena;
    (void)out;
    return RESULT_UNSUPPORTED;
#endif
}
