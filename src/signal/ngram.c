#include <stdlib.h>

#include "signal/similar.h"
#include "text/utf8.h"

enum { GRAMS_MAX = SIMILAR_PHRASE_CHARS_MAX + SIMILAR_ARITY_MAX, SLOTS = 256 };

// Grams are compared by their code points, eight bits of hash only find them.
struct gram {
    uint32_t code[SIMILAR_ARITY_MAX];
};

struct ngram {
    uint32_t words, arity, grams, letters;
    uint32_t unique;
    struct gram gram[GRAMS_MAX];
    uint8_t count[GRAMS_MAX]; // how often each unique gram occurs
    uint8_t slots[SLOTS];     // index of a unique gram + 1, or 0; linear probing
};

// The padded phrase, and which gram begins at each of its places.
struct padded {
    uint32_t code[SIMILAR_PHRASE_CHARS_MAX + 2 * SIMILAR_ARITY_MAX];
    uint32_t grams;
};

static uint32_t hash_gram(const uint32_t *code, uint32_t arity)
{
    uint32_t h = 0;
    for (uint32_t i = 0; i < arity; i++)
        h = (h ^ code[i]) * 0x9E3779B1u;
    return h >> 24;
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

static int find(const struct ngram *g, const uint32_t *code, uint32_t *slot)
{
    uint32_t i = hash_gram(code, g->arity);
    for (; g->slots[i]; i = (i + 1) % SLOTS)
        if (memcmp(g->gram[g->slots[i] - 1].code, code, g->arity * sizeof *code) == 0)
            return g->slots[i] - 1;
    if (slot)
        *slot = i;
    return -1;
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
    g->arity = arity;
    pad(p.code, n);
    if (!append(&p, &n, folded) || n - (arity - 1) > SIMILAR_PHRASE_CHARS_MAX)
        return RESULT_LIMIT;
    for (uint32_t i = arity - 1; i < n; i++)
        g->letters |= p.code[i] == ' ' ? 0 : 1u << (p.code[i] & 31);
    pad(p.code + n, arity - 1);
    g->grams = n;
    for (uint32_t i = 0; i < g->grams; i++) {
        uint32_t slot;
        int known = find(g, p.code + i, &slot);
        if (known < 0) {
            known = (int)g->unique++;
            g->slots[slot] = (uint8_t)(known + 1);
            memcpy(g->gram[known].code, p.code + i, arity * sizeof *p.code);
        }
        g->count[known]++;
    }
    *out = g;
    return RESULT_OK;
}

// Shared grams of the phrase and the padded text, as multisets.
static uint32_t shared(const struct ngram *g, const struct padded *p)
{
    uint8_t left[GRAMS_MAX];
    uint32_t n = 0;
    memcpy(left, g->count, g->unique);
    for (uint32_t i = 0; i < p->grams; i++) {
        int known = find(g, p->code + i, NULL);
        if (known >= 0 && left[known]) {
            left[known]--;
            n++;
        }
    }
    return n;
}

static bool window(const struct ngram *g, const struct text_words *words, uint32_t first,
                   struct padded *p)
{
    uint32_t n = g->arity - 1;
    pad(p->code, n);
    for (uint32_t k = 0; k < g->words; k++) {
        const struct text_word *w = &words->at[first + k];
        if (k)
            p->code[n++] = ' ';
        if (w->folded_len == 0 ||
            !append(p, &n, slice_make(words->folded + w->folded, w->folded_len)))
            return false;
        if (n >= SIMILAR_PHRASE_CHARS_MAX + g->arity - 1 && k + 1 < g->words)
            return false;
    }
    if (n - (g->arity - 1) > SIMILAR_PHRASE_CHARS_MAX)
        return false;
    pad(p->code + n, g->arity - 1);
    p->grams = n;
    return true;
}

// No likeness can be greater. A character that only one side has spoils the grams that it is part of: `n`
// different ones at least n + arity - 1.
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

double ngram_best(const struct ngram *g, const struct text_words *words,
                  struct similar_place *place)
{
    double best = 0;
    struct padded p;
    *place = (struct similar_place){0};
    for (uint32_t i = 0; i + g->words <= words->count && best < 1; i++) {
        uint32_t chars = g->words - 1, letters = 0;
        for (uint32_t k = 0; k < g->words; k++) {
            chars += words->at[i + k].chars;
            letters |= words->at[i + k].letters;
        }
        if (likeness_bound(g, chars, letters) <= best ||
            words->at[i].view != words->at[i + g->words - 1].view)
            continue;
        if (!window(g, words, i, &p))
            continue;
        uint32_t both = shared(g, &p);
        double likeness = (double)both / (g->grams + p.grams - both);
        if (likeness > best) {
            best = likeness;
            *place = (struct similar_place){i, g->words, true};
        }
    }
    return best;
}
