// Tokens that are found in the text itself, before a model sees it: special tokens, and those added to a vocabulary.
// Private to text/.
//
// Of all matches the leftmost counts, and of those at one place the longest. All matches of a block of text are found by
// one pass from its end to its beginning over an automaton of the reversed tokens (Aho and Corasick, 1975), so that the
// cost is linear whatever the tokens are.
#ifndef MERIT_TEXT_ADDED_TOKEN_H
#define MERIT_TEXT_ADDED_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"

enum { ADDED_TOKENS_MAX = 1 << 18, ADDED_BYTES_MAX = 4096, ADDED_NODES_MAX = 1 << 23 };

struct added_token {
    struct slice content; // what is searched for; of the owner
    uint32_t id;
    bool single_word, lstrip, rstrip;
};

struct added_set; // immutable, for all threads

// `tokens` must outlive the set. Empty contents are passed over; of equal ones the last counts. `*out` is NULL when
// there is nothing to search for. RESULT_LIMIT (ADDED_BYTES_MAX in one content, ADDED_NODES_MAX in all), RESULT_NOMEM.
enum result added_set_open(const struct added_token *tokens, uint32_t count,
                           struct added_set **out) MERIT_NODISCARD;
void added_set_close(struct added_set *s); // NULL is fine

struct added_split {
    uint32_t begin, end;
    const struct added_token *token; // NULL: text between tokens
};

struct added_found {
    uint32_t at, token;
};

// Where a search stands.
struct added_search {
    const struct added_set *set;
    struct slice text;
    uint32_t done;             // all before it is given out
    uint32_t at;               // where the next match may begin
    uint32_t block, block_end; // what `found` holds matches of
    struct added_found *found; // by place, last first
    uint32_t count, room;
    uint32_t white_begin, white_end; // the last run of white space that was measured
    struct added_split pending;      // a token behind the text that is given out first
    bool is_pending;
};

// Begins with {0}; keeps its memory from search to search.
void added_search_deinit(struct added_search *s);
// `set` NULL finds nothing. `text` is well-formed UTF-8.
void added_search_begin(struct added_search *s, const struct added_set *set, struct slice text);

// The next part of the text, in order. False at the end. Where a token that takes in white space behind it is followed
// by one that begins in that space, parts overlap, as in the reference. RESULT_NOMEM.
enum result added_search_next(struct added_search *s, struct added_split *out, bool *more);

#endif
