// UTF-8: validation and code points.
#ifndef MERIT_TEXT_UTF8_H
#define MERIT_TEXT_UTF8_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

// Well-formed by Unicode's table 3-7: no surrogates, no overlong forms, nothing above U+10FFFF. NUL is allowed.
bool utf8_valid(struct slice s);
// The same without vector instructions; tests compare the two.
bool utf8_valid_scalar(struct slice s);
// The code point at *at, which moves behind it; U+FFFD for a bad byte, which counts as one. *at < s.len.
uint32_t utf8_next(struct slice s, size_t *at);
// Bytes written (1 to 4) for a scalar value; 0 for a surrogate or a value out of range.
unsigned utf8_put(uint32_t code, char out[4]);
// Han, Hiragana, Katakana, Hangul: text written without spaces between words.
bool utf8_is_cjk(uint32_t code);
// A letter or digit by Unicode (general categories L and N, and marks that continue them).
bool utf8_is_word(uint32_t code);
// Simple case folding.
uint32_t utf8_fold(uint32_t code);

#endif
