// Tokenizers as their `tokenizer.json` describes them: ids and byte offsets equal to those of the reference
// implementation (data/golden/tokenizers decides).
//
//   text -> added tokens cut out -> normaliser -> pre-tokeniser -> model (text/token_model.h) -> post-processor
//
// A tokenizer is immutable once open and may be shared by threads; each thread brings a scratch, whose word cache is
// bounded and whose buffers grow with the text; what a text above 1 MiB made of them is given back before the next
// shorter one. Work is linear in the text for every family (n log n in the longest piece for BPE), whatever the text;
// nothing is allocated per call once a scratch has grown to its working size.
//
// Truncation and padding that a file asks for are left to the caller: see tokenizer_options.
#ifndef MERIT_TEXT_TOKENIZER_H
#define MERIT_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"

enum {
    TOKENIZER_JSON_MAX = 64 * 1024 * 1024,
    TOKENIZER_VOCAB_MAX = 1 << 20,
    TOKENIZER_TEXT_MAX = 16 * 1024 * 1024,
    TOKENIZER_PROBLEM_BYTES = 160,
};

struct tokenizer;
struct tokenizer_scratch;

// `json` need not outlive the call. What is wrong goes to `problem` (may be NULL). RESULT_SYNTAX (not JSON, or not of a
// tokenizer's shape: ids outside the vocabulary, cyclic or missing merges), RESULT_UNSUPPORTED (a part that this build does
// not know, by name), RESULT_LIMIT, RESULT_NOMEM. Models: WordPiece, BPE, Unigram; the other parts are named in
// text/normalizer.h, text/pretoken.h and text/token_post.h. An added token whose content normalises to nothing is passed
// over.
enum result tokenizer_open(struct slice json, char problem[TOKENIZER_PROBLEM_BYTES],
                           struct tokenizer **out) MERIT_NODISCARD;
void tokenizer_close(struct tokenizer *t);
uint32_t tokenizer_vocab(const struct tokenizer *t); // one more than the largest id
// UINT32_MAX when there is no such token.
uint32_t tokenizer_id(const struct tokenizer *t, struct slice token);

enum result tokenizer_scratch_open(const struct tokenizer *t,
                                   struct tokenizer_scratch **out) MERIT_NODISCARD;
void tokenizer_scratch_close(struct tokenizer_scratch *s);

struct token {
    uint32_t id;
    // Bytes of the text (of the pair for sequence 1), whole characters; 0, 0 for what the post-processor inserted.
    uint32_t begin, end;
    uint8_t sequence; // 0 or 1: which of the two texts
    uint8_t type;     // token type id, as the post-processor says
    bool special;     // inserted by the post-processor
};

struct tokenizer_options {
    bool bare;        // without the post-processor's tokens
    uint32_t max_tok; // in all, special ones included; longest first, from the right. 0: no limit
};

// `text` and `pair` (ptr NULL: none) are bytes; what is not UTF-8 is read as U+FFFD and offsets stay those of the
// bytes. The tokens live in the scratch until the next call. RESULT_LIMIT (TOKENIZER_TEXT_MAX, NORMALIZER_BYTES_MAX in
// normalised text, or max_tok below the special tokens), RESULT_NOMEM. `s` is of the same tokenizer.
enum result tokenizer_encode(const struct tokenizer *t, struct tokenizer_scratch *s,
                             struct slice text, struct slice pair,
                             const struct tokenizer_options *options, const struct token **tokens,
                             uint32_t *count) MERIT_NODISCARD;

// The tokens that the post-processor puts before and behind a single text, for callers that cut windows themselves out
// of a bare encoding: `before` and `behind` point into the tokenizer.
void tokenizer_frame(const struct tokenizer *t, const struct token **before, uint32_t *before_count,
                     const struct token **behind, uint32_t *behind_count);

#endif
