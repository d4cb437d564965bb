// A double-array trie over the words of a vocabulary: one step per byte, no search. Private to text/.
#ifndef MERIT_TEXT_TOKEN_TRIE_H
#define MERIT_TEXT_TOKEN_TRIE_H

#include <stdbool.h>

#include "text/token_vocab.h"

enum { TOKEN_TRIE_ROOT = 0, TOKEN_TRIE_NONE = UINT32_MAX };

struct token_trie_node {
    uint32_t base;   // its child by a byte stands at base ^ byte, if that node's parent is this one
    uint32_t parent; // TOKEN_TRIE_NONE: free
    uint32_t id;     // of the word that ends here, TOKEN_TRIE_NONE when none does
};

struct token_trie {
    struct token_trie_node *nodes;
    uint32_t count; // a multiple of 256, so that no step leads outside
};

// Of all words of `v` that are not empty. RESULT_LIMIT, RESULT_NOMEM.
enum result token_trie_open(struct token_trie *t, const struct token_vocab *v) MERIT_NODISCARD;
void token_trie_close(struct token_trie *t); // a zeroed one is fine

// Moves `*node` along one byte; false when no word goes on that way.
static inline bool token_trie_step(const struct token_trie *t, uint32_t *node, unsigned char byte)
{
    uint32_t next = t->nodes[*node].base ^ byte;
    if (t->nodes[next].parent != *node)
        return false;
    *node = next;
    return true;
}

#endif
