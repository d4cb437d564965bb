#include "text/token_vocab.h"

#include <assert.h>

#include "base/alloc.h"
#include "base/hash.h"

static const struct hash_key
    vocab_key; // the same everywhere: vocabularies are not chosen per request

enum result token_vocab_open(struct token_vocab *v, uint32_t count, size_t bytes)
{
    *v = (struct token_vocab){0};
    if (bytes > UINT32_MAX || count > 1u << 30)
        return RESULT_LIMIT;
    v->slot_count = 8;
    while (v->slot_count < count * (uint64_t)2)
        v->slot_count *= 2;
    v->limit = count;
    v->bytes = alloc_bytes(bytes + 1);
    v->words = alloc_bytes((size_t)(count + 1) * sizeof *v->words);
    v->slots = alloc_zeroed(v->slot_count, sizeof *v->slots);
    if (v->bytes && v->words && v->slots)
        return RESULT_OK;
    token_vocab_close(v);
    return RESULT_NOMEM;
}

void token_vocab_close(struct token_vocab *v)
{
    alloc_free(v->bytes);
    alloc_free(v->words);
    alloc_free(v->slots);
    *v = (struct token_vocab){0};
}

// The slot of the word, or the free one where it would go. Words are looked at only where the hash's upper half agrees.
static uint32_t slot_of(const struct token_vocab *v, struct slice word, uint64_t hash)
{
    uint32_t mask = v->slot_count - 1, at = (uint32_t)hash & mask;
    for (; v->slots[at]; at = (at + 1) & mask)
        if (v->slots[at] >> 32 == hash >> 32 &&
            slice_eq(token_vocab_text(v, (uint32_t)v->slots[at] - 1), word))
            break;
    return at;
}

void token_vocab_add(struct token_vocab *v, struct slice word, uint32_t id)
{
    uint64_t hash = hash_sip13(&vocab_key, word);
    uint32_t slot = slot_of(v, word, hash);
    if (v->slots[slot]) {
        v->words[(uint32_t)v->slots[slot] - 1].id = id;
        return;
    }
    assert(v->count < v->limit);
    if (word.len)
        memcpy(v->bytes + v->used, word.ptr, word.len);
    v->words[v->count] = (struct token_vocab_word){(uint32_t)v->used, (uint32_t)word.len, id};
    v->used += word.len;
    v->slots[slot] = (hash >> 32 << 32) | ++v->count;
    if (word.len > v->longest)
        v->longest = (uint32_t)word.len;
}

uint32_t token_vocab_find(const struct token_vocab *v, struct slice word)
{
    if (!v->slot_count || word.len > v->longest)
        return UINT32_MAX;
    uint64_t slot = v->slots[slot_of(v, word, hash_sip13(&vocab_key, word))];
    return slot ? v->words[(uint32_t)slot - 1].id : UINT32_MAX;
}
