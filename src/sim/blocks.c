#include "sim/blocks.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"

// Places in `next` and `prev` behind the blocks' own: the ends of the free list.
static uint32_t list_end(const struct blocks *b)
{
    return b->count;
}

static uint32_t place_of(const struct blocks *b, uint64_t hash)
{
    return (uint32_t)((hash * 0x9e3779b97f4a7c15u) >> (64 - b->table_bits));
}

enum result blocks_init(struct blocks *b, uint32_t count)
{
    *b = (struct blocks){.count = count};
    if (!count || count > BLOCKS_MAX)
        return RESULT_LIMIT;
    while ((1u << b->table_bits) < 2 * count)
        b->table_bits++;
    b->refs = alloc_zeroed(count, sizeof *b->refs);
    b->hash = alloc_zeroed(count, sizeof *b->hash);
    b->next = alloc_zeroed(count + 1, sizeof *b->next);
    b->prev = alloc_zeroed(count + 1, sizeof *b->prev);
    b->table = alloc_zeroed((size_t)1 << b->table_bits, sizeof *b->table);
    if (!b->refs || !b->hash || !b->next || !b->prev || !b->table) {
        blocks_deinit(b);
        return RESULT_NOMEM;
    }
    blocks_clear(b);
    return RESULT_OK;
}

void blocks_deinit(struct blocks *b)
{
    alloc_free(b->refs);
    alloc_free(b->hash);
    alloc_free(b->next);
    alloc_free(b->prev);
    alloc_free(b->table);
    *b = (struct blocks){0};
}

void blocks_clear(struct blocks *b)
{
    memset(b->refs, 0, b->count * sizeof *b->refs);
    memset(b->hash, 0, b->count * sizeof *b->hash);
    memset(b->table, 0xff, ((size_t)1 << b->table_bits) * sizeof *b->table);
    for (uint32_t i = 0; i <= b->count; i++) {
        b->next[i] = i == b->count ? 0 : i + 1;
        b->prev[i] = i ? i - 1 : b->count;
    }
    b->free = b->count;
    b->cached = 0;
}

static void unlink_free(struct blocks *b, uint32_t block)
{
    b->next[b->prev[block]] = b->next[block];
    b->prev[b->next[block]] = b->prev[block];
    b->free--;
}

uint32_t blocks_find(const struct blocks *b, uint64_t hash)
{
    uint32_t mask = (1u << b->table_bits) - 1;
    for (uint32_t at = place_of(b, hash); b->table[at] != BLOCKS_NONE; at = (at + 1) & mask) {
        if (b->hash[b->table[at]] == hash)
            return b->table[at];
    }
    return BLOCKS_NONE;
}

void blocks_hold(struct blocks *b, uint32_t block)
{
    if (!b->refs[block]++)
        unlink_free(b, block);
}

// Removal by backward shift, so that no tombstones pile up.
static void forget(struct blocks *b, uint32_t block)
{
    uint32_t mask = (1u << b->table_bits) - 1, at = place_of(b, b->hash[block]);
    while (b->table[at] != block)
        at = (at + 1) & mask;
    for (uint32_t to = (at + 1) & mask; b->table[to] != BLOCKS_NONE; to = (to + 1) & mask) {
        uint32_t home = place_of(b, b->hash[b->table[to]]);
        if (((to - home) & mask) >= ((to - at) & mask)) {
            b->table[at] = b->table[to];
            at = to;
        }
    }
    b->table[at] = BLOCKS_NONE;
    b->hash[block] = 0;
    b->cached--;
}

uint32_t blocks_take(struct blocks *b)
{
    uint32_t block = b->next[list_end(b)];
    if (block == list_end(b))
        return BLOCKS_NONE;
    unlink_free(b, block);
    if (b->hash[block]) {
        forget(b, block);
        b->evictions++;
    }
    b->refs[block] = 1;
    return block;
}

void blocks_give(struct blocks *b, uint32_t block)
{
    assert(b->refs[block]);
    if (--b->refs[block])
        return;
    uint32_t end = list_end(b), last = b->prev[end];
    b->next[last] = block;
    b->prev[block] = last;
    b->next[block] = end;
    b->prev[end] = block;
    b->free++;
}

void blocks_name(struct blocks *b, uint32_t block, uint64_t hash)
{
    uint32_t mask = (1u << b->table_bits) - 1, at = place_of(b, hash);
    if (b->hash[block] || blocks_find(b, hash) != BLOCKS_NONE)
        return;
    while (b->table[at] != BLOCKS_NONE)
        at = (at + 1) & mask;
    b->table[at] = block;
    b->hash[block] = hash;
    b->cached++;
}
