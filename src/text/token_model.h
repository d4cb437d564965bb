// The inner parts of a tokenizer, each made from its object in `tokenizer.json`: pre-tokenisers (text/pretoken.h) cut
// normalised text into pieces, a model turns one piece into tokens. Private to text/.
//
// Offsets here are bytes of the piece and may lie inside a character (byte-level and byte-fallback tokens);
// text/tokenizer.c maps them back through the pre-tokeniser and the normaliser and widens them to whole characters.
#ifndef MERIT_TEXT_TOKEN_MODEL_H
#define MERIT_TEXT_TOKEN_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "text/json.h"

struct piece_token {
    uint32_t id;
    uint32_t begin, end; // bytes of the piece
};

// A growing list that a scratch owns; begin with {0}, give back with alloc_free(at).
struct piece_tokens {
    struct piece_token *at;
    uint32_t count, room;
};

enum { PIECE_TOKENS_MAX = 1 << 26 };

// Room for `more` further tokens. RESULT_LIMIT (PIECE_TOKENS_MAX), RESULT_NOMEM.
static inline enum result piece_tokens_reserve(struct piece_tokens *t, uint32_t more)
{
    if (MERIT_LIKELY(t->room - t->count >= more))
        return RESULT_OK;
    if (more > PIECE_TOKENS_MAX - t->count)
        return RESULT_LIMIT;
    uint32_t room = t->room > PIECE_TOKENS_MAX / 2 ? PIECE_TOKENS_MAX : t->room * 2;
    if (room < t->count + more)
        room = t->count + more + 64;
    struct piece_token *at = alloc_resize(t->at, (size_t)room * sizeof *at);
    if (!at)
        return RESULT_NOMEM;
    t->at = at;
    t->room = room;
    return RESULT_OK;
}

static inline enum result piece_tokens_add(struct piece_tokens *t, uint32_t id, uint32_t begin,
                                           uint32_t end)
{
    enum result r = piece_tokens_reserve(t, 1);
    if (MERIT_UNLIKELY(r != RESULT_OK))
        return r;
    t->at[t->count++] = (struct piece_token){id, begin, end};
    return RESULT_OK;
}

// Writes what is wrong (`problem` may be NULL) and returns `r`.
enum result token_problem(char *problem, enum result r, const char *fmt, ...) MERIT_PRINTF(3, 4);

// One kind of model: a constant in wordpiece.c, bpe.c, unigram.c.
struct token_model_kind {
    const char *name; // as tokenizer.json writes "type"
    // From the "model" object of the tape, of which nothing is kept. `problem` (TOKENIZER_PROBLEM_BYTES, may be NULL) as
    // in text/tokenizer.h. `byte_level`: the vocabulary is spelt in the byte-level alphabet while pieces are raw bytes
    // (pretoken_byte_level); RESULT_UNSUPPORTED from models that cannot.
    enum result (*open)(const struct json *j, uint32_t node, bool byte_level, char *problem,
                        void **model);
    void (*close)(void *model);
    // Per thread: caches, heaps, lattices; grows to the longest piece.
    enum result (*scratch_open)(const void *model, void **scratch);
    void (*scratch_close)(void *scratch);
    // Appends the tokens of one piece. Linear time (n log n for BPE) and bounded memory: a stretch above a million
    // characters that a model cannot cut by itself is cut there, which no reference does. RESULT_NOMEM, RESULT_LIMIT.
    enum result (*encode)(const void *model, void *scratch, struct slice piece,
                          struct piece_tokens *out);
    // Id of a token of the vocabulary as tokenizer.json spells it, UINT32_MAX when there is none.
    uint32_t (*find)(const void *model, struct slice token);
    uint32_t (*vocab)(const void *model); // one more than the largest id
};

extern const struct token_model_kind token_wordpiece, token_bpe, token_unigram;

#endif
