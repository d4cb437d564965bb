// A text as it looks: what people disguise is folded so that patterns and heads see through it.
//
//   zero-width and other invisible characters (format controls, variation selectors, soft hyphens)   dropped
//   combining marks behind a letter that has more than SKELETON_MARKS_MAX of them                    dropped
//   full-width, mathematical, circled, superscript forms                                             their ASCII letter or digit
//   decimal digits of any script                                                                     0 to 9
//   spaces and dashes of any kind                                                                    ' ' and '-'
//   Cyrillic and Greek letters that look like Latin ones, in a word that has Latin letters           those
//
// Everything else stays as it is, letter case and accents, too. Every byte of the skeleton maps back to the text. Text that
// is ASCII is its own skeleton. Linear; bytes that are no UTF-8 stay.
#ifndef MERIT_TEXT_SKELETON_H
#define MERIT_TEXT_SKELETON_H

#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"

enum { SKELETON_MARKS_MAX = 2 };

struct skeleton {
    struct slice text;    // never longer than the original
    const uint32_t *from; // text.len + 1 offsets of the original, or NULL: the same
    bool
        disguised; // invisible characters inside words, or letters that only look like Latin, were folded
};

// RESULT_NOMEM, RESULT_LIMIT (4 GiB).
enum result skeleton_make(struct slice text, struct arena *arena,
                          struct skeleton *out) MERIT_NODISCARD;

// Bytes of the original for bytes of the skeleton: where it begins, and where what ends at `end` ends.
static inline uint32_t skeleton_begin(const struct skeleton *s, uint32_t at)
{
    return s->from ? s->from[at] : at;
}

uint32_t skeleton_end(const struct skeleton *s, struct slice original, uint32_t end);

#endif
