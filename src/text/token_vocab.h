// The strings of a vocabulary and their ids. Private to text/.
#ifndef MERIT_TEXT_TOKEN_VOCAB_H
#define MERIT_TEXT_TOKEN_VOCAB_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"

struct token_vocab {
    char *bytes;
    struct token_vocab_word *words;
    uint64_t *slots; // upper half of the hash << 32 | index into words + 1; 0: free
    uint32_t count, slot_count, longest, limit;
    size_t used;
};

struct token_vocab_word {
    uint32_t at, len, id;
};

// Room for `count` words of `bytes` bytes in all. RESULT_LIMIT (4 GiB), RESULT_NOMEM.
enum result token_vocab_open(struct token_vocab *v, uint32_t count, size_t bytes) MERIT_NODISCARD;
void token_vocab_close(struct token_vocab *v); // a zeroed one is fine
// Copies the word; one that is there already gets the new id. Within the room given: asserted.
void token_vocab_add(struct token_vocab *v, struct slice word, uint32_t id);
// UINT32_MAX when it is not there.
uint32_t token_vocab_find(const struct token_vocab *v, struct slice word);

static inline struct slice token_vocab_text(const struct token_vocab *v, uint32_t word)
{
    return slice_make(v->bytes + v->words[word].at, v->words[word].len);
}

#endif
