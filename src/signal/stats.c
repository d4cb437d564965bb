// One pass over a text that counts what signal/structure.c offers.
//
// The text is taken in blocks of 64 bytes. A block of ASCII becomes a few bit masks (letters and
// digits, digits, line ends, question marks, '.' and ':'), from which words are counted by
// arithmetic; the rarer events are looked at one by one. Characters beyond ASCII are decoded.
// Fenced code is found first, since only words and characters count in it.
#include <string.h>

#include "signal/artifacts.h"
#include "text/utf8.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

struct block {
    uint64_t word, digit, newline, question, mark, high;
};

typedef void block_scan(const char *p, struct block *b);

// The pass is compiled once per instruction set, with its block scan and bit counts inside.
#define INLINE inline __attribute__((always_inline))

static bool is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

static bool is_alnum(char c)
{
    return is_digit(c) || (unsigned char)((c | 32) - 'a') < 26;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static inline void block_scalar(const char *p, struct block *b)
{
    *b = (struct block){0};
    for (unsigned i = 0; i < 64; i++) {
        uint64_t bit = (uint64_t)1 << i;
        char c = p[i];
        if (is_alnum(c))
            b->word |= bit;
        if (is_digit(c))
            b->digit |= bit;
        if (c == '\n')
            b->newline |= bit;
        if (c == '?')
            b->question |= bit;
        if (c == '.' || c == ':')
            b->mark |= bit;
        if ((unsigned char)c >= 0x80)
            b->high |= bit;
    }
}

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,bmi,popcnt")))

AVX2 static inline uint64_t half_avx2(__m256i v, struct block *b, int shift)
{
    __m256i lower = _mm256_or_si256(v, _mm256_set1_epi8(32));
    // A signed comparison does for an unsigned one after moving the range to the bottom.
    __m256i letter = _mm256_cmpgt_epi8(
        _mm256_set1_epi8(-128 + 26), _mm256_add_epi8(lower, _mm256_set1_epi8((char)(-128 - 'a'))));
    __m256i digit = _mm256_cmpgt_epi8(_mm256_set1_epi8(-128 + 10),
                                      _mm256_add_epi8(v, _mm256_set1_epi8((char)(-128 - '0'))));
    __m256i mark = _mm256_or_si256(_mm256_cmpeq_epi8(v, _mm256_set1_epi8('.')),
                                   _mm256_cmpeq_epi8(v, _mm256_set1_epi8(':')));
#define MASK(x) ((uint64_t)(uint32_t)_mm256_movemask_epi8(x) << shift)
    uint64_t digits = MASK(digit);
    b->digit |= digits;
    b->word |= MASK(letter) | digits;
    b->newline |= MASK(_mm256_cmpeq_epi8(v, _mm256_set1_epi8('\n')));
    b->question |= MASK(_mm256_cmpeq_epi8(v, _mm256_set1_epi8('?')));
    b->mark |= MASK(mark);
    return MASK(v);
#undef MASK
}

AVX2 static inline void block_avx2(const char *p, struct block *b)
{
    *b = (struct block){0};
    b->high = half_avx2(_mm256_loadu_si256((const __m256i *)(const void *)p), b, 0);
    b->high |= half_avx2(_mm256_loadu_si256((const __m256i *)(const void *)(p + 32)), b, 32);
}

static inline void block_sse2(const char *p, struct block *b)
{
    *b = (struct block){0};
    for (int shift = 0; shift < 64; shift += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + shift));
        __m128i lower = _mm_or_si128(v, _mm_set1_epi8(32));
        __m128i letter = _mm_cmplt_epi8(_mm_add_epi8(lower, _mm_set1_epi8((char)(-128 - 'a'))),
                                        _mm_set1_epi8(-128 + 26));
        __m128i digit = _mm_cmplt_epi8(_mm_add_epi8(v, _mm_set1_epi8((char)(-128 - '0'))),
                                       _mm_set1_epi8(-128 + 10));
        __m128i mark = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('.')),
                                    _mm_cmpeq_epi8(v, _mm_set1_epi8(':')));
#define MASK(x) ((uint64_t)(uint32_t)_mm_movemask_epi8(x) << shift)
        uint64_t digits = MASK(digit);
        b->digit |= digits;
        b->word |= MASK(letter) | digits;
        b->newline |= MASK(_mm_cmpeq_epi8(v, _mm_set1_epi8('\n')));
        b->question |= MASK(_mm_cmpeq_epi8(v, _mm_set1_epi8('?')));
        b->mark |= MASK(mark);
        b->high |= MASK(v);
#undef MASK
    }
}
#endif

struct pass {
    struct text_stats *stats;
    struct slice text;
    size_t end;   // of the range that is being counted
    bool code;    // it is fenced code
    bool in_word; // the character before was a letter or digit, not CJK
};

// Digits from `at`, and behind them.
static size_t skip_digits(const struct pass *p, size_t at)
{
    while (at < p->end && is_digit(p->text.ptr[at]))
        at++;
    return at;
}

static bool blank_or_end(const struct pass *p, size_t at)
{
    return at >= p->end || is_blank(p->text.ptr[at]) || p->text.ptr[at] == '\n' ||
           p->text.ptr[at] == '\r';
}

// The first character of a line: list markers and step markers.
static void line_head(struct pass *p, size_t at)
{
    const char *t = p->text.ptr;
    while (at < p->end && is_blank(t[at]))
        at++;
    if (at >= p->end)
        return;
    char c = t[at];
    if (c == '-' || c == '*' || c == '+') {
        p->stats->list_items += at + 1 < p->end && is_blank(t[at + 1]);
    } else if (c == '\xE2') {
        p->stats->list_items +=
            p->end - at > 3 && memcmp(t + at, "\xE2\x80\xA2", 3) == 0 && is_blank(t[at + 3]);
    } else if (is_digit(c) || c == '(') {
        bool bracket = c == '(';
        size_t from = at + bracket, to = skip_digits(p, from);
        bool closed = to < p->end && (t[to] == ')' || (!bracket && t[to] == '.'));
        if (to > from && to - from <= 9 && closed && blank_or_end(p, to + 1)) {
            p->stats->list_items++;
            p->stats->ordered_steps++;
        }
    } else if ((c | 32) == 's' && p->end - at > 5 && (t[at + 1] | 32) == 't' &&
               (t[at + 2] | 32) == 'e' && (t[at + 3] | 32) == 'p' && is_blank(t[at + 4])) {
        for (at += 5; at < p->end && is_blank(t[at]);)
            at++;
        p->stats->ordered_steps += at < p->end && is_digit(t[at]);
    }
}

// A question mark: one question per run of ? and !, when no letter, digit or underscore follows (as
// in a link's query).
static void question(struct pass *p, size_t at)
{
    const char *t = p->text.ptr;
    size_t i = at;
    while (i > 0 && t[i - 1] == '!')
        i--;
    if (i > 0 && t[i - 1] == '?')
        return;
    for (i = at + 1; i < p->end && (t[i] == '?' || t[i] == '!');)
        i++;
    p->stats->questions += i >= p->end || !(is_alnum(t[i]) || t[i] == '_');
}

// The first digit of a run: one number unless it continues a name ("v2") or a number ("3.14",
// "1,000", "12:30").
static void number(struct pass *p, size_t at)
{
    const char *t = p->text.ptr;
    if (at > 0) {
        char before = t[at - 1];
        if (is_alnum(before) || before == '_')
            return;
        if ((before == '.' || before == ',' || before == ':') && at > 1 && is_digit(t[at - 2]))
            return;
    }
    p->stats->numbers++;
}

static bool folded_before(struct slice t, size_t at, const char *word, size_t n)
{
    if (at < n)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((t.ptr[at - n + i] | 32) != word[i])
            return false;
    return at == n || !is_alnum(t.ptr[at - n - 1]);
}

// '.' or ':': http://, https:// and www.
static void mark(struct pass *p, size_t at)
{
    struct slice t = p->text;
    if (t.ptr[at] == ':') {
        if (p->end - at > 2 && t.ptr[at + 1] == '/' && t.ptr[at + 2] == '/')
            p->stats->links += folded_before(t, at, "http", 4) || folded_before(t, at, "https", 5);
    } else if (at + 1 < p->end && is_alnum(t.ptr[at + 1]) && folded_before(t, at, "www", 3)) {
        p->stats->links += at == 3 || t.ptr[at - 4] != '/';
    }
}

static INLINE void ascii_block(struct pass *p, struct block *b, size_t at, unsigned n)
{
    uint64_t live = n == 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1;
    uint64_t word = b->word & live;
    p->stats->chars += n;
    p->stats->words += (unsigned)__builtin_popcountll(word & ~(word << 1 | p->in_word));
    p->in_word = word >> (n - 1) & 1;
    if (p->code)
        return;
    for (uint64_t m = b->newline & live; m; m &= m - 1)
        line_head(p, at + (unsigned)__builtin_ctzll(m) + 1);
    for (uint64_t m = b->question & live; m; m &= m - 1)
        question(p, at + (unsigned)__builtin_ctzll(m));
    for (uint64_t m = b->mark & live; m; m &= m - 1)
        mark(p, at + (unsigned)__builtin_ctzll(m));
    uint64_t digit = b->digit & live;
    bool digit_before = at > 0 && is_digit(p->text.ptr[at - 1]);
    for (uint64_t m = digit & ~(digit << 1 | digit_before); m; m &= m - 1)
        number(p, at + (unsigned)__builtin_ctzll(m));
}

// Characters beyond ASCII, from `at` up to the next ASCII one; returns where that is.
static size_t other_run(struct pass *p, size_t at)
{
    do {
        uint32_t code = utf8_next(p->text, &at);
        p->stats->chars++;
        if ((code >= 0x4E00 && code < 0xA000) || utf8_is_cjk(code)) {
            p->stats->words++;
            p->in_word = false;
        } else if (utf8_is_word(code)) {
            p->stats->words += !p->in_word;
            p->in_word = true;
        } else {
            p->in_word = false;
            // Full-width and Arabic question marks.
            p->stats->questions += !p->code && (code == 0xFF1F || code == 0x61F);
        }
    } while (at < p->end && (unsigned char)p->text.ptr[at] >= 0x80);
    return at;
}

static INLINE void count_range(struct pass *p, block_scan *scan, size_t at, size_t end, bool code)
{
    char tail[64];
    struct block b;
    p->end = end;
    p->code = code;
    if (at < end && !code)
        line_head(p, at);
    while (at < end) {
        const char *from = p->text.ptr + at;
        unsigned n = 64;
        if (end - at < 64) {
            n = (unsigned)(end - at);
            memcpy(tail, from, n);
            memset(tail + n, 0, 64 - n);
            from = tail;
        }
        scan(from, &b);
        if (b.high) {
            unsigned ascii = (unsigned)__builtin_ctzll(b.high);
            if (ascii)
                ascii_block(p, &b, at, ascii);
            at = other_run(p, at + ascii);
        } else {
            ascii_block(p, &b, at, n);
            at += n;
        }
    }
}

// Where a line ends, behind its newline.
static size_t line_end(struct slice t, size_t at)
{
    const char *nl = memchr(t.ptr + at, '\n', t.len - at);
    return nl ? (size_t)(nl - t.ptr) + 1 : t.len;
}

static size_t run_end(struct slice t, size_t at)
{
    char c = t.ptr[at];
    while (at < t.len && t.ptr[at] == c)
        at++;
    return at;
}

// The next run of three or more of `c`, or the text's end. memchr, because runs are rare and memmem
// is five times slower.
static size_t find_run(struct slice t, size_t from, char c)
{
    while (from < t.len) {
        const char *p = memchr(t.ptr + from, c, t.len - from);
        if (!p)
            break;
        size_t at = (size_t)(p - t.ptr);
        from = run_end(t, at);
        if (from - at >= 3)
            return at;
    }
    return t.len;
}

// The start of the line of `at` when only blanks stand between, else SIZE_MAX.
static size_t line_of(struct slice t, size_t at)
{
    size_t i = at;
    while (i > 0 && is_blank(t.ptr[i - 1]))
        i--;
    return i == 0 || t.ptr[i - 1] == '\n' ? i : SIZE_MAX;
}

// Behind the closing fence of one that opened with `length` times `c`; the text's end when it is
// not closed.
static size_t close_fence(struct slice t, size_t at, char c, size_t length)
{
    while ((at = find_run(t, at, c)) < t.len) {
        size_t to = run_end(t, at), rest = to;
        bool whole = to - at >= length && line_of(t, at) != SIZE_MAX;
        while (rest < t.len && (is_blank(t.ptr[rest]) || t.ptr[rest] == '\r'))
            rest++;
        if (whole && (rest == t.len || t.ptr[rest] == '\n'))
            return rest < t.len ? rest + 1 : rest;
        at = to;
    }
    return t.len;
}

static INLINE void add(struct text_stats *stats, struct slice text, block_scan *scan)
{
    struct pass p = {.stats = stats, .text = text};
    size_t from = 0, tick = find_run(text, 0, '`'), tilde = find_run(text, 0, '~');
    while (tick < text.len || tilde < text.len) {
        size_t at = tick < tilde ? tick : tilde, to = run_end(text, at), begin = line_of(text, at);
        char c = text.ptr[at];
        size_t line = line_end(text, to);
        // In the first line of a fence of backticks there is no other backtick: that would be
        // inline code.
        bool opens = begin != SIZE_MAX && begin >= from &&
                     (c == '~' || !memchr(text.ptr + to, '`', line - to));
        if (opens) {
            count_range(&p, scan, from, begin, false);
            from = close_fence(text, line, c, to - at);
            count_range(&p, scan, begin, from, true);
            stats->code_blocks++;
            to = from;
        }
        if (tick < to)
            tick = find_run(text, to, '`');
        if (tilde < to)
            tilde = find_run(text, to, '~');
    }
    count_range(&p, scan, from, text.len, false);
}

#if defined(__x86_64__)
AVX2 static void add_avx2(struct text_stats *stats, struct slice text)
{
    add(stats, text, block_avx2);
}

static void add_sse2(struct text_stats *stats, struct slice text)
{
    add(stats, text, block_sse2);
}
#endif

void text_stats_add(struct text_stats *stats, struct slice text)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
        __builtin_cpu_supports("popcnt"))
        add_avx2(stats, text);
    else
        add_sse2(stats, text);
#else
    add(stats, text, block_scalar);
#endif
}

void text_stats_add_scalar(struct text_stats *stats, struct slice text)
{
    add(stats, text, block_scalar);
}

static uint32_t all_questions(struct slice text)
{
    struct text_stats stats = {0};
    text_stats_add(&stats, text);
    return stats.questions;
}

#if defined(__x86_64__)
AVX2 static inline __m256i rare(__m256i v)
{
#define EQUAL(c) _mm256_cmpeq_epi8(v, _mm256_set1_epi8((char)(c)))
    __m256i quote = _mm256_or_si256(EQUAL('`'), EQUAL('~'));
    return _mm256_or_si256(_mm256_or_si256(EQUAL('?'), quote),
                           _mm256_or_si256(EQUAL(0xD8), EQUAL(0xEF)));
#undef EQUAL
}

AVX2 static inline uint64_t equal(__m256i low, __m256i high, int c)
{
    __m256i v = _mm256_set1_epi8((char)c);
    return (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, v)) |
           (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, v)) << 32;
}

// Question marks are few, so a pass for them alone is several times cheaper. Where fenced code could
// hold some of them, or other scripts have theirs, everything is counted.
AVX2 static uint32_t questions_avx2(struct slice text)
{
    struct text_stats stats = {0};
    struct pass p = {.stats = &stats, .text = text, .end = text.len};
    bool fence = false, other = false, asked = false;
    uint64_t run = 0; // the block before: backticks or tildes
    char tail[64];
    for (size_t at = 0; at < text.len; at += 64) {
        const char *from = text.ptr + at;
        if (text.len - at < 64) {
            memset(tail, 0, sizeof tail);
            memcpy(tail, from, text.len - at);
            from = tail;
        }
        __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)from);
        __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(from + 32));
        // Most blocks have none of it. The last two are the first bytes of U+061F and U+FF1F.
        if (!_mm256_movemask_epi8(_mm256_or_si256(rare(a), rare(b)))) {
            run = 0;
            continue;
        }
        uint64_t question_marks = equal(a, b, '?'), marks = equal(a, b, '`') | equal(a, b, '~');
        other |= (equal(a, b, 0xD8) | equal(a, b, 0xEF)) != 0;
        fence |= (marks & (marks << 1 | run >> 63) & (marks << 2 | run >> 62)) != 0;
        run = marks;
        asked |= question_marks != 0;
        for (; question_marks; question_marks &= question_marks - 1)
            question(&p, at + (unsigned)__builtin_ctzll(question_marks));
    }
    return other || (fence && asked) ? all_questions(text) : stats.questions;
}
#endif

uint32_t text_questions(struct slice text)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
        __builtin_cpu_supports("popcnt"))
        return questions_avx2(text);
#endif
    return all_questions(text);
}
