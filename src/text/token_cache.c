#include "text/token_cache.h"

enum { LINE = 64 };

enum result token_cache_open(struct token_cache *c)
{
    c->block = alloc_zeroed(1, TOKEN_CACHE_SETS * sizeof *c->sets + LINE);
    // Entries begin with cache lines.
    c->sets = (void *)(((uintptr_t)c->block + LINE - 1) & ~(uintptr_t)(LINE - 1));
    return c->block ? RESULT_OK : RESULT_NOMEM;
}

void token_cache_close(struct token_cache *c)
{
    alloc_free(c->block);
    *c = (struct token_cache){0};
}

void token_cache_store(struct token_cache *c, struct slice piece, uint32_t base,
                       const struct piece_tokens *out, uint32_t first)
{
    uint32_t count = out->count - first;
    if (!piece.len || piece.len > TOKEN_CACHE_KEY || count > TOKEN_CACHE_TOKENS)
        return;
    struct token_cache_entry *e =
        c->sets[token_cache_hash(piece.ptr, piece.len) % TOKEN_CACHE_SETS];
    e[1] = e[0];
    e->len = (uint8_t)piece.len;
    e->count = (uint8_t)count;
    memcpy(e->key, piece.ptr, piece.len);
    for (uint32_t i = 0; i < count; i++) {
        e->ids[i] = out->at[first + i].id;
        e->ends[i] = (uint8_t)(out->at[first + i].end - base);
    }
}
