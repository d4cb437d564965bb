// What a text says once the encodings are undone in which instructions are hidden: a reading per encoding that yields
// something legible.
//
//   base64, base32, hex, binary, decimal codes   runs that decode to printable ASCII
//   %41, \u0041, \x41, &#65;                      escapes
//   Unicode tag characters                        invisible ASCII
//   Morse                                         runs of dots and dashes
//   Caesar's shifts (rot13), Atbash, reversed     whole texts that have common English words only then
//   leetspeak, spaced-out letters                 the same
//
// A reading is a text of its own; `begin` and `end` say which bytes of the original it was read from. Readings are candidates:
// that something is encoded is no offence. Looks at the first UNMASK_TEXT_MAX bytes, for ciphers at the first 2,048; linear.
#ifndef MERIT_TEXT_UNMASK_H
#define MERIT_TEXT_UNMASK_H

#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"

enum { UNMASK_MAX = 16, UNMASK_TEXT_MAX = 64 * 1024 };

struct unmasked {
    const char *how; // "base64"
    struct slice text;
    uint32_t begin, end;
};

// `text` as it came: a skeleton has lost its tags. At most UNMASK_MAX readings; RESULT_NOMEM.
enum result unmask(struct slice text, struct arena *arena, struct unmasked *out,
                   uint32_t *count) MERIT_NODISCARD;

#endif
