#include "nn/ngram.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "text/utf8.h"

// A word that is longer is read as several.
enum { WORD_CODES_MAX = 48 };

// What a hash stands for, so that a word and a run of characters never share a bucket by name.
enum kind {
    KIND_CHAR = 1,
    KIND_WORD,
    KIND_FIRST = KIND_WORD + NGRAM_WORD_MAX,
    KIND_SHAPE = KIND_FIRST + 3
};

struct ngram_scratch {
    uint32_t bucket_bits, text_max;
    uint64_t *seen; // a bit per bucket, all clear between calls
    uint32_t *buckets;
    uint32_t count, room;
};

struct shape {
    uint32_t bytes, lines, words, marks, digits, upper, other;
    uint32_t last; // the last character that is no space
};

// A text being read.
struct reader {
    const struct ngram_spec *spec;
    struct ngram_scratch *s;
    uint32_t word[WORD_CODES_MAX + 2]; // with a space at both ends
    uint32_t len;                      // of the word, the first space included
    uint64_t hashes[NGRAM_WORD_MAX];   // of the last words, newest first
    uint32_t words;
    struct shape shape;
};

enum result ngram_spec_check(const struct ngram_spec *s)
{
    bool chars = s->char_min == 0 ? s->char_max == 0
                                  : s->char_min <= s->char_max && s->char_max <= NGRAM_CHAR_MAX;
    bool ok = chars && s->word_max <= NGRAM_WORD_MAX && (s->char_max || s->word_max) &&
              s->bucket_bits >= NGRAM_BITS_MIN && s->bucket_bits <= NGRAM_BITS_MAX &&
              s->flags <= (NGRAM_FIRST << 1) - 1 && s->text_max >= 1 &&
              s->text_max <= NGRAM_TEXT_MAX;
    return ok ? RESULT_OK : RESULT_RANGE;
}

// The most buckets that a text of that many bytes can fill.
static uint64_t features_max(uint32_t bucket_bits, uint32_t text_max)
{
    uint64_t most = (uint64_t)text_max * (NGRAM_CHAR_MAX + NGRAM_WORD_MAX) + 256;
    return most < (UINT64_C(1) << bucket_bits) ? most : UINT64_C(1) << bucket_bits;
}

enum result ngram_scratch_open(uint32_t bucket_bits, uint32_t text_max, struct ngram_scratch **out)
{
    struct ngram_scratch *s = alloc_zeroed(1, sizeof *s);
    *out = NULL;
    if (!s)
        return RESULT_NOMEM;
    s->bucket_bits = bucket_bits;
    s->text_max = text_max;
    s->room = (uint32_t)features_max(bucket_bits, text_max);
    s->seen = alloc_zeroed((UINT64_C(1) << bucket_bits) / 64, sizeof *s->seen);
    s->buckets = alloc_zeroed(s->room, sizeof *s->buckets);
    if (!s->seen || !s->buckets) {
        ngram_scratch_close(s);
        return RESULT_NOMEM;
    }
    *out = s;
    return RESULT_OK;
}

void ngram_scratch_close(struct ngram_scratch *s)
{
    if (!s)
        return;
    alloc_free(s->seen);
    alloc_free(s->buckets);
    alloc_free(s);
}

static uint64_t step(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9fb21c651e98df25);
    return hash ^ hash >> 32;
}

static void add(struct reader *r, enum kind kind, uint64_t hash)
{
    struct ngram_scratch *s = r->s;
    hash = (hash ^ (uint64_t)kind << 56) * UINT64_C(0xd6e8feb86659fd93);
    uint32_t bucket = (uint32_t)(hash >> (64 - r->spec->bucket_bits));
    uint64_t bit = UINT64_C(1) << (bucket & 63);
    if (s->seen[bucket >> 6] & bit)
        return;
    s->seen[bucket >> 6] |= bit;
    s->buckets[s->count++] = bucket;
}

static void add_chars(struct reader *r)
{
    const struct ngram_spec *spec = r->spec;
    uint32_t len = r->len;
    // A word that is shorter than the shortest n-gram is one itself.
    uint32_t min = spec->char_min < len ? spec->char_min : len;
    for (uint32_t i = 0; i + min <= len; i++) {
        uint64_t hash = 0;
        uint32_t end = i + spec->char_max < len ? i + spec->char_max : len;
        for (uint32_t k = i; k < end; k++) {
            hash = step(hash, r->word[k]);
            if (k + 1 - i >= min)
                add(r, KIND_CHAR, hash);
        }
    }
}

static void add_words(struct reader *r)
{
    uint64_t hash = 0;
    for (uint32_t k = 1; k < r->len; k++)
        hash = step(hash, r->word[k]);
    memmove(r->hashes + 1, r->hashes, sizeof r->hashes - sizeof r->hashes[0]);
    r->hashes[0] = hash;
    r->words++;
    uint64_t phrase = 0;
    for (uint32_t n = 0; n < r->spec->word_max && n < r->words; n++) {
        phrase = step(phrase, r->hashes[n]);
        add(r, (enum kind)(KIND_WORD + n), phrase);
    }
    if ((r->spec->flags & NGRAM_FIRST) && r->words <= 3) {
        phrase = 0;
        for (uint32_t n = 0; n < r->words && n < NGRAM_WORD_MAX; n++)
            phrase = step(phrase, r->hashes[n]);
        add(r, (enum kind)(KIND_FIRST + r->words - 1), phrase);
    }
}

static void end_word(struct reader *r)
{
    if (r->len == 1)
        return;
    add_words(r);
    r->word[r->len++] = ' ';
    if (r->spec->char_max)
        add_chars(r);
    r->len = 1;
}

static void add_code(struct reader *r, uint32_t code)
{
    r->word[r->len++] = code;
    if (r->len == WORD_CODES_MAX + 1)
        end_word(r);
}

static bool is_space(uint32_t code)
{
    return code <= ' ' || code == 0x7f || code == 0x85 || code == 0xa0 || code == 0x1680 ||
           (code >= 0x2000 && code <= 0x200a) || (code >= 0x2028 && code <= 0x202f) ||
           code == 0x205f || code == 0x3000;
}

static void read_text(struct reader *r, struct slice text)
{
    uint32_t flags = r->spec->flags;
    for (size_t at = 0; at < text.len;) {
        uint32_t code = (unsigned char)text.ptr[at];
        if (code < 0x80)
            at++;
        else
            code = utf8_next(text, &at);
        if (is_space(code)) {
            end_word(r);
            r->shape.lines += code == '\n';
            continue;
        }
        r->shape.last = code;
        r->shape.upper += code - 'A' < 26;
        r->shape.other += code >= 0x80;
        if (!utf8_is_word(code)) {
            // A mark is a word of its own, so that "it's" and "c++" keep theirs.
            end_word(r);
            r->shape.marks++;
            add_code(r, code);
            end_word(r);
            continue;
        }
        if (code - '0' < 10) {
            r->shape.digits++;
            if (flags & NGRAM_DIGITS)
                code = '0';
        } else if (flags & NGRAM_FOLD) {
            code = utf8_fold(code);
        }
        add_code(r, code);
    }
    end_word(r);
}

// One bucket for each power of the square root of two that `value` reaches, so that a linear model can bend.
static void add_steps(struct reader *r, uint64_t what, uint32_t value)
{
    double reach = 1;
    for (uint32_t i = 0; i < 48 && value >= reach; i++, reach *= 1.41421356237309515)
        add(r, KIND_SHAPE, what << 32 | i);
}

static void add_share(struct reader *r, uint64_t what, uint32_t part, uint32_t of)
{
    uint32_t share = of ? (uint32_t)((uint64_t)part * 32 / of) : 0;
    for (uint32_t i = 1; i <= share && i <= 16; i++)
        add(r, KIND_SHAPE, what << 32 | i);
}

static void add_shape(struct reader *r)
{
    const struct shape *s = &r->shape;
    add_steps(r, 1, s->bytes);
    add_steps(r, 2, s->lines);
    add_steps(r, 3, r->words);
    add_share(r, 4, s->marks, s->bytes);
    add_share(r, 5, s->digits, s->bytes);
    add_share(r, 6, s->upper, s->bytes);
    add_share(r, 7, s->other, s->bytes);
    add(r, KIND_SHAPE, UINT64_C(8) << 32 | s->last);
}

// Where a character begins at or before `at`.
static size_t boundary(struct slice text, size_t at)
{
    for (int i = 0; i < 3 && at > 0 && ((unsigned char)text.ptr[at] & 0xc0) == 0x80; i++)
        at--;
    return at;
}

uint32_t ngram_features(const struct ngram_spec *spec, struct ngram_scratch *s, struct slice text,
                        const uint32_t **buckets)
{
    struct reader r = {.spec = spec, .s = s, .word = {' '}, .len = 1};
    uint32_t most = spec->text_max < s->text_max ? spec->text_max : s->text_max;
    r.shape.bytes = text.len < UINT32_MAX ? (uint32_t)text.len : UINT32_MAX;
    s->count = 0;
    if (text.len <= most) {
        read_text(&r, text);
    } else {
        read_text(&r, slice_head(text, boundary(text, most / 2)));
        size_t back = text.len - (most - most / 2);
        while (back < text.len && ((unsigned char)text.ptr[back] & 0xc0) == 0x80)
            back++;
        read_text(&r, slice_from(text, back));
        r.shape.bytes = most;
    }
    if (spec->flags & NGRAM_SHAPE)
        add_shape(&r);
    for (uint32_t i = 0; i < s->count; i++)
        s->seen[s->buckets[i] >> 6] = 0;
    *buckets = s->buckets;
    return s->count;
}

// Sums of a block of buckets that cannot overflow: 255 * 127 * 65,536 < 2^31.
enum { BLOCK = 65536, COLUMNS_BLOCK = 64 };

static void sum_columns(const struct ngram_model *m, const uint32_t *buckets, uint32_t count,
                        uint32_t first, uint32_t columns, int64_t *sums)
{
    int32_t part[COLUMNS_BLOCK];
    for (uint32_t from = 0; from < count; from += BLOCK) {
        uint32_t to = count - from < BLOCK ? count : from + BLOCK;
        memset(part, 0, sizeof part);
        for (uint32_t i = from; i < to; i++) {
            const int8_t *w = m->weights + (size_t)buckets[i] * m->columns + first;
            int32_t idf = m->idf ? m->idf[buckets[i]] : 1;
            for (uint32_t c = 0; c < columns; c++)
                part[c] += idf * w[c];
        }
        for (uint32_t c = 0; c < columns; c++)
            sums[c] += part[c];
    }
}

void ngram_score_buckets(const struct ngram_model *m, const uint32_t *buckets, uint32_t count,
                         float *logits)
{
    uint64_t square = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t idf = m->idf ? m->idf[buckets[i]] : 1;
        square += idf * idf;
    }
    float norm = square ? 1 / sqrtf((float)square) : 0;
    for (uint32_t first = 0; first < m->columns; first += COLUMNS_BLOCK) {
        uint32_t columns = m->columns - first < COLUMNS_BLOCK ? m->columns - first : COLUMNS_BLOCK;
        int64_t sums[COLUMNS_BLOCK] = {0};
        sum_columns(m, buckets, count, first, columns, sums);
        for (uint32_t c = 0; c < columns; c++)
            logits[first + c] = m->bias[first + c] + m->scale[first + c] * norm * (float)sums[c];
    }
}

void ngram_score(const struct ngram_model *m, struct ngram_scratch *s, struct slice text,
                 float *logits)
{
    const uint32_t *buckets;
    uint32_t count = ngram_features(&m->spec, s, text, &buckets);
    ngram_score_buckets(m, buckets, count, logits);
}
