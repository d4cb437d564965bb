// Blocks of a KV cache with a prefix cache over them: reference counts, a table of hashes, eviction of the least recently
// used free block. Manner of vLLM's V1 block pool: a block that nobody holds stays cached until its place in the free list
// comes up; a sequence gives its blocks back last one first, so that the tails of prompts go before their heads.
//
// Pure: no clock, no I/O. One owner, one thread.
#ifndef MERIT_SIM_BLOCKS_H
#define MERIT_SIM_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"

enum { BLOCKS_NONE = UINT32_MAX, BLOCKS_MAX = 4 * 1024 * 1024 };

struct blocks {
    uint32_t count, free; // in all; held by nobody (cached ones among them)
    uint32_t cached;      // with a hash
    uint32_t *refs, *next, *prev;
    uint64_t *hash;  // 0: none
    uint32_t *table; // hash -> block, open addressing
    uint32_t table_bits;
    uint64_t evictions;
};

// RESULT_LIMIT for 0 or more than BLOCKS_MAX blocks, RESULT_NOMEM.
enum result blocks_init(struct blocks *b, uint32_t count);
void blocks_deinit(struct blocks *b);
// Nothing is held and nothing cached, as after a restart.
void blocks_clear(struct blocks *b);

// The block with this hash, or BLOCKS_NONE; holds nothing.
uint32_t blocks_find(const struct blocks *b, uint64_t hash);
// One more holder.
void blocks_hold(struct blocks *b, uint32_t block);
// A free block, its old content forgotten, with one holder; BLOCKS_NONE when none is free.
uint32_t blocks_take(struct blocks *b);
// One holder less; without any the block goes to the end of the free list.
void blocks_give(struct blocks *b, uint32_t block);
// The block's content is whole and can be found from now on; no-op when another block has that hash, or this one has one.
void blocks_name(struct blocks *b, uint32_t block, uint64_t hash);

#endif
