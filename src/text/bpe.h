// Private to text/bpe*.c: a byte-pair model as it lies in memory.
//
// A unit is what merging begins with: a character, or a byte behind a byte-level pre-tokeniser.
#ifndef MERIT_TEXT_BPE_H
#define MERIT_TEXT_BPE_H

#include <stdbool.h>

#include "text/token_model.h"
#include "text/token_vocab.h"

enum { BPE_NONE = UINT32_MAX };

struct bpe_merge {
    uint64_t key; // left id << 32 | right id; UINT64_MAX: free
    uint32_t rank, id;
};

struct bpe_unit {
    uint32_t code, id; // code BPE_NONE: free
};

struct bpe {
    struct token_vocab vocab; // byte-level: decoded to bytes
    struct token_vocab odd;   // byte-level: words outside the alphabet, as they are spelt
    struct bpe_merge *merges;
    uint32_t merge_mask;
    uint32_t low[256];      // ids of the units below 128 (byte-level: 256)
    struct bpe_unit *units; // of the others
    uint32_t unit_mask;
    uint32_t bytes[256]; // ids of <0x00> .. <0xFF>
    // One bit per pair of units (hashed) that some merge's result holds side by side. Between two units without it no
    // merge ever reaches, so that a text may be cut there.
    uint64_t *pairs;
    uint32_t pair_mask;
    uint32_t unk; // id, or BPE_NONE
    uint32_t ids; // one more than the largest
    bool byte_level, byte_fallback, fuse_unk, ignore_merges;
    bool cuts;                   // pairs may be used
    struct slice prefix, suffix; // continuing_subword_prefix, end_of_word_suffix; owned
};

enum result bpe_open(const struct json *j, uint32_t node, bool byte_level, char *problem,
                     void **model);
void bpe_close(void *model);
// A word as tokenizer.json spells it.
uint32_t bpe_find(const struct bpe *m, struct slice word);

static inline uint64_t bpe_mix(uint64_t key)
{
    key *= 0x9e3779b97f4a7c15u;
    return key ^ key >> 32;
}

// NULL: the two do not merge.
static inline const struct bpe_merge *bpe_merge_of(const struct bpe *m, uint32_t a, uint32_t b)
{
    uint64_t key = (uint64_t)a << 32 | b;
    for (uint32_t at = (uint32_t)bpe_mix(key) & m->merge_mask;; at = (at + 1) & m->merge_mask) {
        if (m->merges[at].key == key)
            return &m->merges[at];
        if (m->merges[at].key == UINT64_MAX)
            return NULL;
    }
}

// Id of a unit, BPE_NONE when the vocabulary lacks it.
static inline uint32_t bpe_unit_id(const struct bpe *m, uint32_t code)
{
    if (code < 128 || m->byte_level)
        return m->low[code];
    uint32_t at = (uint32_t)bpe_mix(code) & m->unit_mask;
    while (m->units[at].code != BPE_NONE && m->units[at].code != code)
        at = (at + 1) & m->unit_mask;
    return m->units[at].id;
}

static inline uint32_t bpe_pair_bit(const struct bpe *m, uint32_t a, uint32_t b)
{
    uint32_t h = a * 0x9e3779b1u + b * 0x85ebca6bu;
    return (h ^ h >> 15) & m->pair_mask;
}

static inline bool bpe_joins(const struct bpe *m, uint32_t a, uint32_t b)
{
    uint32_t bit = bpe_pair_bit(m, a, b);
    return m->pairs[bit / 64] >> (bit % 64) & 1;
}

#endif
