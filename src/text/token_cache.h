// What a model made of short pieces before: a bounded cache of one thread. Private to text/.
//
// Two ways per set; a piece that is longer, or made more tokens, than an entry holds is not kept. Whoever uses it must
// give the same tokens for the same piece every time.
#ifndef MERIT_TEXT_TOKEN_CACHE_H
#define MERIT_TEXT_TOKEN_CACHE_H

#include <stdbool.h>

#include "text/token_model.h"

enum { TOKEN_CACHE_KEY = 22, TOKEN_CACHE_TOKENS = 8, TOKEN_CACHE_SETS = 4096 };

// One cache line.
struct token_cache_entry {
    uint8_t len, count; // len 0: free
    char key[TOKEN_CACHE_KEY];
    uint32_t ids[TOKEN_CACHE_TOKENS];
    uint8_t ends[TOKEN_CACHE_TOKENS]; // each token begins where the one before ends
};

struct token_cache {
    struct token_cache_entry (*sets)[2]; // 512 KiB, in `block`
    void *block;
};

// RESULT_NOMEM.
enum result token_cache_open(struct token_cache *c) MERIT_NODISCARD;
void token_cache_close(struct token_cache *c); // a zeroed one is fine
// Keeps tokens [first, out->count) of `piece`, whose offsets are `base` too large, where they fit.
void token_cache_store(struct token_cache *c, struct slice piece, uint32_t base,
                       const struct piece_tokens *out, uint32_t first);

// Of 1 to TOKEN_CACHE_KEY bytes.
static inline uint64_t token_cache_hash(const char *p, size_t n)
{
    const uint64_t k = 0x9e3779b97f4a7c15u;
    uint64_t h = n * k, v = 0;
    for (; n > 8; p += 8, n -= 8) {
        memcpy(&v, p, 8);
        h = (h ^ v) * k;
        h ^= h >> 32;
    }
    if (n >= 4) {
        uint32_t a, b;
        memcpy(&a, p, 4);
        memcpy(&b, p + n - 4, 4);
        v = a | (uint64_t)b << 32;
    } else {
        v = (unsigned char)p[0] | (uint64_t)(unsigned char)p[n / 2] << 8 |
            (uint64_t)(unsigned char)p[n - 1] << 16;
    }
    h = (h ^ v) * k;
    return h ^ h >> 29;
}

// NULL when the piece is not there.
static inline const struct token_cache_entry *token_cache_find(const struct token_cache *c,
                                                               struct slice piece)
{
    if (piece.len > TOKEN_CACHE_KEY || !piece.len)
        return NULL;
    const struct token_cache_entry *e =
        c->sets[token_cache_hash(piece.ptr, piece.len) % TOKEN_CACHE_SETS];
    for (int way = 0; way < 2; way++, e++)
        if (e->len == piece.len && memcmp(e->key, piece.ptr, piece.len) == 0)
            return e;
    return NULL;
}

// Appends an entry's tokens, `base` bytes further on.
static inline enum result token_cache_put(const struct token_cache_entry *e, uint32_t base,
                                          struct piece_tokens *out)
{
    enum result r = piece_tokens_reserve(out, e->count);
    if (r != RESULT_OK)
        return r;
    uint32_t begin = base;
    for (unsigned i = 0; i < e->count; i++) {
        out->at[out->count++] = (struct piece_token){e->ids[i], begin, base + e->ends[i]};
        begin = base + e->ends[i];
    }
    return RESULT_OK;
}

#endif
