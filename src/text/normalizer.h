// Normalisers of a `tokenizer.json`: text is rewritten before it is cut, and each byte remembers which byte of the
// original it stands for. Private to text/.
//
// Known: BertNormalizer, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, StripAccents, Strip, Prepend, Precompiled, Replace (of a
// string, or of an expression that is one character or class, repeated or not, such as " {2,}" or "\s+") and sequences
// of these.
#ifndef MERIT_TEXT_NORMALIZER_H
#define MERIT_TEXT_NORMALIZER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "text/json.h"

enum { NORMALIZER_STEPS_MAX = 32, NORMALIZER_BYTES_MAX = 64 * 1024 * 1024 };

struct normalizer; // immutable, for all threads

// From the "normalizer" object of the tape; JSON_NONE or null: text stays as it is. RESULT_SYNTAX, RESULT_UNSUPPORTED
// (named in `problem`, as in text/tokenizer.h), RESULT_LIMIT (NORMALIZER_STEPS_MAX), RESULT_NOMEM.
enum result normalizer_open(const struct json *j, uint32_t node, char *problem,
                            struct normalizer **out) MERIT_NODISCARD;
void normalizer_close(struct normalizer *n); // NULL is fine

struct normalizer_scratch; // of one thread
enum result normalizer_scratch_open(struct normalizer_scratch **out) MERIT_NODISCARD;
void normalizer_scratch_close(struct normalizer_scratch *s); // NULL is fine

// `text` is well-formed UTF-8. `*out` is the text itself or lives in the scratch until the next call. `*from` NULL: byte
// i stands for byte i. Else (*from)[i] is a byte of the character of `text` that byte i of `*out` stands for. Linear.
// RESULT_LIMIT (NORMALIZER_BYTES_MAX in the result), RESULT_NOMEM.
enum result normalizer_apply(const struct normalizer *n, struct normalizer_scratch *s,
                             struct slice text, struct slice *out,
                             const uint32_t **from) MERIT_NODISCARD;

#endif
