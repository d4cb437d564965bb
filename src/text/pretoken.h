// Pre-tokenisers: normalised text is cut into the pieces that a model sees. Private to text/.
//
// Known: ByteLevel (GPT-2's expression, with or without a prefixed space), Split by GPT-2's, Llama 3's and cl100k's
// expressions or by a literal (every behaviour, inverted or not), BertPreTokenizer, Whitespace, WhitespaceSplit,
// Metaspace (every prepend_scheme, with and without split), Digits, Punctuation, and sequences of these. They are state
// machines by hand, linear in the text; character classes are those of the reference's engines (text/char_class.h).
//
// The byte-level alphabet is never written out: behind ByteLevel a piece holds the raw bytes, and the model is opened
// for that (text/token_model.h).
#ifndef MERIT_TEXT_PRETOKEN_H
#define MERIT_TEXT_PRETOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "text/json.h"

enum { PRETOKEN_STAGES_MAX = 16, PRETOKEN_TEXT_MAX = 64 * 1024 * 1024 };

struct pretoken;         // immutable, for all threads
struct pretoken_scratch; // of one thread

// From the "pre_tokenizer" object of the tape; JSON_NONE or null: the whole text is one piece. RESULT_SYNTAX,
// RESULT_UNSUPPORTED (another type or expression, named in `problem`, which is as in text/tokenizer.h), RESULT_LIMIT
// (PRETOKEN_STAGES_MAX), RESULT_NOMEM.
enum result pretoken_open(const struct json *j, uint32_t node, char *problem,
                          struct pretoken **out) MERIT_NODISCARD;
void pretoken_close(struct pretoken *p); // NULL is fine
// The pieces are raw bytes of a vocabulary in the byte-level alphabet.
bool pretoken_byte_level(const struct pretoken *p);

enum result pretoken_scratch_open(struct pretoken_scratch **out) MERIT_NODISCARD;
void pretoken_scratch_close(struct pretoken_scratch *s); // NULL is fine

struct pretoken_piece {
    uint32_t begin, end; // bytes of pretoken_cut's text; never empty
};

struct pretoken_cut {
    struct slice
        text; // the text given, or one in the scratch where a part writes (Metaspace, a prefixed space)
    // NULL: offsets are those of the text given. Else for each byte of `text` a byte of the character in the text given
    // that it stands for: bytes [b, e) stand for [from[b], from[e - 1] + 1), widened to whole characters.
    const uint32_t *from;
    const struct pretoken_piece *pieces; // in order; gaps are what was dropped (white space)
    uint32_t count;
};

// Cuts well-formed UTF-8. `at_start`: the text's first byte stands for byte 0 of the original (matters to Metaspace's
// "first"). What `out` points to lives in the scratch until the next call. RESULT_LIMIT (PRETOKEN_TEXT_MAX),
// RESULT_NOMEM.
enum result pretoken_cut(const struct pretoken *p, struct pretoken_scratch *s, struct slice text,
                         bool at_start, struct pretoken_cut *out) MERIT_NODISCARD;

#endif
