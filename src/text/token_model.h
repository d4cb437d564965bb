// The inner parts of a tokenizer, each made from its object in `tokenizer.json`: pre-tokenisers (text/pretoken.h) cut
// normalised text into pieces, a model turns one piece into tokens. Private to text/.
//
// Offsets here are bytes of the piece; text/tokenizer.c maps them back through the normaliser to bytes of the original.
#ifndef MERIT_TEXT_TOKEN_MODEL_H
#define MERIT_TEXT_TOKEN_MODEL_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "text/json.h"

struct piece_token {
    uint32_t id;
    uint32_t begin, end; // bytes of the piece
};

// A growing list that a scratch owns.
struct piece_tokens {
    struct piece_token *at;
    uint32_t count, room;
};

// One kind of model: a constant in wordpiece.c, bpe.c, unigram.c.
struct token_model_kind {
    const char *name; // as tokenizer.json writes "type"
    // From the "model" object of the tape. `problem` as in text/tokenizer.h.
    enum result (*open)(const struct json *j, uint32_t node, char *problem, void **model);
    void (*close)(void *model);
    // Per thread: caches, heaps, lattices; grows to the longest piece.
    enum result (*scratch_open)(const void *model, void **scratch);
    void (*scratch_close)(void *scratch);
    // Appends the tokens of one piece. Linear time (or n log n for BPE). RESULT_NOMEM, RESULT_LIMIT.
    enum result (*encode)(const void *model, void *scratch, struct slice piece,
                          struct piece_tokens *out);
    // Id of a token of the vocabulary, UINT32_MAX when there is none.
    uint32_t (*find)(const void *model, struct slice token);
    uint32_t (*vocab)(const void *model);
};

extern const struct token_model_kind token_wordpiece, token_bpe, token_unigram;

#endif
