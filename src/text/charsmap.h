// sentencepiece's precompiled character map (a normaliser): a double-array trie from byte strings to replacements.
//
// Applied as the reference does it, per extended grapheme cluster: a cluster shorter than 6 bytes is replaced whole by
// the first entry, shortest key first, that is a prefix of it; else each character by itself. Private to text/.
#ifndef MERIT_TEXT_CHARSMAP_H
#define MERIT_TEXT_CHARSMAP_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"

enum { CHARSMAP_BYTES_MAX = 16 * 1024 * 1024 };

struct charsmap; // immutable, for all threads

// From the text of "precompiled_charsmap" (base64); need not outlive the call. RESULT_SYNTAX, RESULT_LIMIT,
// RESULT_NOMEM.
enum result charsmap_open(struct slice base64, struct charsmap **out) MERIT_NODISCARD;
void charsmap_close(struct charsmap *c); // NULL is fine

// Of one thread; begin with {0}. Buffers that grow.
struct charsmap_scratch {
    char *text;
    uint32_t *from;
    uint32_t room;
};
void charsmap_scratch_deinit(struct charsmap_scratch *s);

// `text` is well-formed UTF-8. `*from` NULL: nothing changed and `*out` is the text. Else both live in the scratch until
// the next call, and (*from)[i] is a byte of the character of `text` whose place byte i of `*out` takes, as the
// reference aligns it. Linear. RESULT_LIMIT (a result above 64 MiB), RESULT_NOMEM.
enum result charsmap_apply(const struct charsmap *c, struct charsmap_scratch *s, struct slice text,
                           struct slice *out, const uint32_t **from) MERIT_NODISCARD;

#endif
