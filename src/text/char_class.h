// What the reference tokenizers take a character for: one look-up for all of their engines. Private to text/.
//
// The tables are made by scripts/char-classes, which asks the reference itself.
#ifndef MERIT_TEXT_CHAR_CLASS_H
#define MERIT_TEXT_CHAR_CLASS_H

#include <stdint.h>

enum {
    CHAR_LETTER = 1, // \p{L} of an expression
    CHAR_NUMBER = 2, // \p{N}
    CHAR_SPACE = 4,  // \s, and white space elsewhere
    CHAR_PUNCTUATION =
        8, // BertPreTokenizer's and Punctuation's: ASCII punctuation and symbols, P elsewhere
    CHAR_NUMERIC = 16, // of Digits
    CHAR_WORD = 32,    // \w of Whitespace
};

// Grapheme break property; as in UAX 29, but that Hangul syllables are one class and that conjuncts' consonants and
// linkers have their own.
enum char_grapheme {
    GRAPHEME_OTHER,
    GRAPHEME_CONTROL, // CR and LF too
    GRAPHEME_EXTEND,
    GRAPHEME_ZWJ,
    GRAPHEME_REGIONAL,
    GRAPHEME_PREPEND,
    GRAPHEME_SPACING,
    GRAPHEME_L,
    GRAPHEME_V,
    GRAPHEME_T,
    GRAPHEME_SYLLABLE, // LV where (code - 0xac00) % 28 == 0, else LVT
    GRAPHEME_PICTOGRAPH,
    GRAPHEME_CONSONANT,
    GRAPHEME_LINKER, // extends, too
};

extern const uint8_t char_class_ascii[128];

// Classes | enum char_grapheme << 6, of any code point.
uint32_t char_lookup(uint32_t code);

static inline unsigned char_class(uint32_t code)
{
    return code < 128 ? char_class_ascii[code] : char_lookup(code) & 63;
}

static inline enum char_grapheme char_grapheme(uint32_t code)
{
    return (enum char_grapheme)(char_lookup(code) >> 6);
}

// The code point of well-formed UTF-8 at `p`; `*n` is its length.
static inline uint32_t char_decode(const unsigned char *p, unsigned *n)
{
    if (p[0] < 0x80) {
        *n = 1;
        return p[0];
    }
    if (p[0] < 0xe0) {
        *n = 2;
        return (uint32_t)(p[0] & 31) << 6 | (p[1] & 63);
    }
    if (p[0] < 0xf0) {
        *n = 3;
        return (uint32_t)(p[0] & 15) << 12 | (uint32_t)(p[1] & 63) << 6 | (p[2] & 63);
    }
    *n = 4;
    return (uint32_t)(p[0] & 7) << 18 | (uint32_t)(p[1] & 63) << 12 | (uint32_t)(p[2] & 63) << 6 |
           (p[3] & 63);
}

#endif
