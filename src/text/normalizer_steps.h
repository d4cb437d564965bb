// The steps of a normaliser. Private to text/normalizer*.c.
#ifndef MERIT_TEXT_NORMALIZER_STEPS_H
#define MERIT_TEXT_NORMALIZER_STEPS_H

#include "base/alloc.h"
#include "base/arena.h"
#include "text/charsmap.h"
#include "text/normalizer.h"

// What a step reads: a text, and for each of its bytes a byte of the first text (NULL: the same place).
struct norm_text {
    struct slice text;
    const uint32_t *from;
};

// What a step writes. Three of them are enough for any number of steps: one to write, one or two that the step reads.
struct norm_buf {
    char *text;
    uint32_t *from;
    uint32_t len, room, from_room;
    bool mapped; // `from` is written; else bytes stand where they stood
};

// A character on its way through a normalisation form. `change` is counted as the reference does: 1 for one that was
// added (it stands for what the one before stands for), else minus the characters of the text that it takes up besides
// the one whose place it takes. Order may change in between: the count is what decides what stands for what.
struct norm_item {
    uint32_t code;
    int16_t change;
    uint8_t combining;
};

// Characters that are put into canonical order together.
struct norm_cluster {
    struct norm_item *items, *sorted;
    uint32_t *sources; // places in the text of the characters that items come from
    uint32_t item_count, item_room, sorted_room, source_count, source_room;
};

struct normalizer_scratch {
    struct norm_buf bufs[3];
    struct norm_cluster cluster;
    struct charsmap_scratch charsmap;
};

enum norm_kind {
    NORM_BERT,
    NORM_LOWER,
    NORM_FORM,
    NORM_NMT,
    NORM_ACCENTS,
    NORM_STRIP,
    NORM_PREPEND,
    NORM_REPLACE,
    NORM_CHARSMAP,
};

enum { NORM_CLASS_MAX = 16 };

struct norm_step {
    enum norm_kind kind;
    // NORM_BERT
    bool clean, han, strip_accents, lower;
    // NORM_FORM
    bool compatible, compose;
    // NORM_STRIP
    bool left, right;
    // NORM_PREPEND, NORM_REPLACE: what is put in; NORM_REPLACE: the string, or a run of at least `repeat_min` (at most
    // `repeat_max`) characters of the class.
    struct slice content, pattern;
    uint32_t class[NORM_CLASS_MAX];
    uint32_t class_count, repeat_min, repeat_max;
    bool class_white;
    struct charsmap *charsmap;
    uint8_t ascii[256]; // NORM_BERT, NORM_LOWER: what a byte becomes; 0: it needs a closer look
};

struct normalizer {
    struct norm_step steps[NORMALIZER_STEPS_MAX];
    uint32_t count;
    struct arena arena;
};

enum result norm_reserve(struct norm_buf *b, uint32_t more);
enum result norm_reserve_from(struct norm_buf *b, const struct norm_text *in);

// Appends `n` bytes that stand for byte `at` of the text.
static inline enum result norm_put(struct norm_buf *b, const struct norm_text *in, const char *p,
                                   uint32_t n, uint32_t at)
{
    enum result r = norm_reserve(b, n);
    if (!r && !b->mapped)
        r = norm_reserve_from(b, in);
    if (r)
        return r;
    uint32_t from = in->from ? in->from[at] : at;
    for (uint32_t i = 0; i < n; i++) {
        b->text[b->len + i] = p[i];
        b->from[b->len + i] = from;
    }
    b->len += n;
    return RESULT_OK;
}

// Appends `n` bytes that stand one for one for those from `at` on.
enum result norm_copy(struct norm_buf *b, const struct norm_text *in, const char *p, uint32_t n,
                      uint32_t at);
// One character that stands for the one at `at`.
enum result norm_char(struct norm_buf *b, const struct norm_text *in, uint32_t code, uint32_t at);

// The character at `at`, which moves behind it.
static inline uint32_t norm_next(struct slice s, uint32_t *at)
{
    const unsigned char *p = (const unsigned char *)s.ptr + *at;
    if (p[0] < 0x80) {
        *at += 1;
        return p[0];
    }
    if (p[0] < 0xe0) {
        *at += 2;
        return (uint32_t)(p[0] & 31) << 6 | (p[1] & 63);
    }
    if (p[0] < 0xf0) {
        *at += 3;
        return (uint32_t)(p[0] & 15) << 12 | (uint32_t)(p[1] & 63) << 6 | (p[2] & 63);
    }
    *at += 4;
    return (uint32_t)(p[0] & 7) << 18 | (uint32_t)(p[1] & 63) << 12 | (uint32_t)(p[2] & 63) << 6 |
           (p[3] & 63);
}

// Where items[i] stands, for i = 0, 1, ... in turn; begin with *next = 0.
static inline uint32_t norm_cluster_place(const struct norm_cluster *c, uint32_t i, uint32_t *next)
{
    int change = c->items[i].change;
    uint32_t place = change > 0 ? *next - (*next > 0) : *next;
    if (change <= 0)
        *next += (uint32_t)(1 - change);
    return c->sources[place < c->source_count ? place : c->source_count - 1];
}

// Each reads `in` and either writes `out` and sets *changed, or leaves things as they are.
enum result norm_bert(const struct norm_step *s, struct normalizer_scratch *scratch,
                      const struct norm_text *in, struct norm_buf *out, bool *changed);
enum result norm_form(const struct norm_step *s, struct normalizer_scratch *scratch,
                      const struct norm_text *in, struct norm_buf *out, bool *changed);

#endif
