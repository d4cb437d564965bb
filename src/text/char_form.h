// Unicode forms of characters as the reference tokenizers have them, which are of several Unicode versions: libutf8proc
// with a small table of where they differ (scripts/char-forms). Private to text/. Arguments are scalar values.
#ifndef MERIT_TEXT_CHAR_FORM_H
#define MERIT_TEXT_CHAR_FORM_H

#include <stdbool.h>
#include <stdint.h>

enum { CHAR_DECOMPOSED_MAX = 18, CHAR_LOWER_MAX = 2 };

// Removed by BertNormalizer's clean_text.
bool char_bert_removed(uint32_t code);
// A nonspacing mark to BertNormalizer's strip_accents.
bool char_bert_mark(uint32_t code);
// Han, to BertNormalizer's handle_chinese_chars.
bool char_bert_han(uint32_t code);
// A combining mark to StripAccents.
bool char_accent(uint32_t code);
// White_Space.
bool char_white(uint32_t code);

// Canonical combining class.
uint8_t char_combining(uint32_t code);
// The full decomposition, not ordered across characters; returns how many (1 with the character itself where there is
// none).
unsigned char_decompose(uint32_t code, bool compatible, uint32_t out[CHAR_DECOMPOSED_MAX]);
// The primary composite of two characters, or 0.
uint32_t char_compose(uint32_t first, uint32_t second);
// Of what does not decompose: a starter that joins with nothing before it, so that normalisation may begin anew at it.
bool char_starts(uint32_t code);
unsigned char_lower(uint32_t code, uint32_t out[CHAR_LOWER_MAX]);

#endif
