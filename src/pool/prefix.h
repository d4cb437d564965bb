// Which place was sent which prompt prefix: an estimate of what the prefix caches of a model's places hold.
//
// An engine keeps the KV cache of prompts in blocks, and reuses as many blocks of a new prompt as it has seen from the
// start of one. Merit sees the same bytes go there, so it keeps the same book: a prompt is cut into blocks, each block has
// the hash of all bytes up to its end (a chain), and the index remembers to which place a block was sent and how much was
// sent there since. A block counts as held while less than the place's capacity in new blocks has followed it; using it
// again makes it young. What comes back as usage.cached_tokens corrects the capacity.
//
//   prefix_prompt(pieces, ...)     once per request: one pass over the bytes, no copy
//   prefix_match(p, prompt, tok)   the held length at all places of the model, in one walk down the chain
//   prefix_sent(p, prompt, place)  when it was sent
//   prefix_came(p, place, ...)     what the answer says of it
//
// The pieces are the bytes of the request's `tools` and then of its `messages`, as they stand in the body: chat templates
// render tools before messages and messages in order, clients append to a conversation and repeat the rest byte for byte.
// Bytes become tokens by the request's own proportion. Of the last block only whole ones count.
//
// One index per model with more than one place; places are columns 0 to 63 (work/pool.h). Fixed memory, made once. Any
// thread may call anything but open, inherit and close: entries are relaxed atomics without locks, and a race costs a wrong
// estimate of one block, never more. Capacities and blocks as in llm-d's approximate prefix producer (31,250 blocks of 16
// tokens a server where nothing is known; prompts to 131,072 tokens); blocks of AIBrix's 128 tokens.
#ifndef MERIT_POOL_PREFIX_H
#define MERIT_POOL_PREFIX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "work/pool.h"

enum {
    PREFIX_BLOCK_BYTES = 512,     // about 128 tokens
    PREFIX_BLOCKS_MAX = 1024,     // of a prompt; what is beyond is not looked at
    PREFIX_PIECES_MAX = 8,        // of a prompt
    PREFIX_CAPACITY_TOK = 500000, // of a place whose cache is not known. Grade: cited (above)
    PREFIX_SLOTS_MAX = 1 << 18,   // blocks that an index remembers
    PREFIX_TOK_BYTES =
        4, // bytes of a token, for capacities. Grade: cited (siblings count characters / 4)
};

struct prefix_prompt {
    uint32_t count;                    // blocks
    uint32_t bytes;                    // of all pieces
    uint32_t tok;                      // the whole prompt's, as estimated
    uint32_t end[PREFIX_BLOCKS_MAX];   // bytes up to the block's end
    uint64_t chain[PREFIX_BLOCKS_MAX]; // hash of all bytes up to there
};

// A piece ends its last block, so that prompts with the same tools share them whatever the first message is. `salt`: what
// keeps equal bytes apart (the body's cache_salt); empty for none. `tok`: estimated tokens of the prompt.
void prefix_prompt(struct prefix_prompt *out, struct slice salt, const struct slice *pieces,
                   uint32_t count, uint32_t tok);

struct prefix;

// `places` columns at most POOL_PLACES_PER_MODEL_MAX, `tok`: the caches of all of them together, 0: not known.
// RESULT_LIMIT, RESULT_NOMEM.
enum result prefix_open(struct prefix **out, uint32_t places, uint64_t tok) MERIT_NODISCARD;
void prefix_close(struct prefix *p); // NULL: no-op

// Tokens that the place's KV cache holds, as scraped; 0: not known. What was sent there is kept in mind unless the capacity
// changes by more than a third.
void prefix_capacity(struct prefix *p, uint32_t place, uint32_t tok);
// The place was restarted or removed: its cache is empty.
void prefix_forget(struct prefix *p, uint32_t place);

// Tokens of the prompt that each place is believed to hold, into `tok[0]` to before `tok[places]`.
void prefix_match(const struct prefix *p, const struct prefix_prompt *prompt, uint32_t places,
                  uint32_t *tok);
// The prompt goes to the place, and will be in its cache.
void prefix_sent(struct prefix *p, const struct prefix_prompt *prompt, uint32_t place);
// The place counted `cached_tok` of `input_tok` tokens from its cache, where `believed_tok` were expected. A place that has
// never told of any cached token says nothing by telling of none.
void prefix_came(struct prefix *p, uint32_t place, uint32_t believed_tok, uint32_t input_tok,
                 uint32_t cached_tok);

// Takes over what `old` knows, before any loop has seen `p`; loops may go on writing to `old`. `to[c]` is the column here of its
// column c, or -1: that place went away. What finds no room here is dropped, the oldest first.
void prefix_inherit(struct prefix *p, const struct prefix *old, const int32_t *to);

// For tests and the admin side: tokens that the place is taken to hold at most, blocks remembered, bytes of memory.
uint32_t prefix_capacity_tok(const struct prefix *p, uint32_t place);
uint32_t prefix_blocks(const struct prefix *p);
uint64_t prefix_bytes(const struct prefix *p);

#endif
