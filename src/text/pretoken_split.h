// Private to text/pretoken*.c: where the next match of a part begins and ends.
#ifndef MERIT_TEXT_PRETOKEN_SPLIT_H
#define MERIT_TEXT_PRETOKEN_SPLIT_H

#include <stdbool.h>

#include "base/slice.h"
#include "text/char_class.h"

// Well-formed UTF-8; `at` < `end`. Each returns the end of the match that begins at `at`: these expressions match
// everywhere.
const unsigned char *pretoken_gpt2(const unsigned char *at, const unsigned char *end);
// `digits`: how many digits one match takes, 1 or 3.
const unsigned char *pretoken_llama3(const unsigned char *at, const unsigned char *end,
                                     unsigned digits);

// `*n` becomes the length of the character.
static inline unsigned pretoken_class(const unsigned char *p, unsigned *n)
{
    if (MERIT_LIKELY(*p < 0x80)) {
        *n = 1;
        return char_class_ascii[*p];
    }
    return char_lookup(char_decode(p, n)) & 63;
}

// Behind the run of characters at `p` with (class & mask) == want.
static inline const unsigned char *pretoken_run(const unsigned char *p, const unsigned char *end,
                                                unsigned mask, unsigned want)
{
    unsigned n;
    while (p < end && (pretoken_class(p, &n) & mask) == want)
        p += n;
    return p;
}

#endif
