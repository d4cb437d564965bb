#include "text/char_class.h"

#include "base/compiler.h"
#include "text/char_class_table.h"

enum { CODE_SHIFT = 11, VALUE = (1 << CODE_SHIFT) - 1, PAGE_SHIFT = 8 };

#define OTHER_8 0, 0, 0, 0, 0, 0, 0, 0
#define PUNCT_4 8, 8, 8, 8
#define DIGIT (CHAR_NUMBER | CHAR_NUMERIC | CHAR_WORD)
#define LETTER (CHAR_LETTER | CHAR_WORD)
#define LETTER_13                                                                                  \
    LETTER, LETTER, LETTER, LETTER, LETTER, LETTER, LETTER, LETTER, LETTER, LETTER, LETTER,        \
        LETTER, LETTER

const uint8_t char_class_ascii[128] = {
    // Control characters; 9 to 13 are white space.
    OTHER_8, 0, 4, 4, 4, 4, 4, 0, 0, OTHER_8, OTHER_8,
    // From the space to the slash, digits, to @.
    4, 8, 8, 8, PUNCT_4, PUNCT_4, PUNCT_4, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT,
    DIGIT, DIGIT, 8, 8, 8, PUNCT_4,
    // Letters, with what stands between and behind them; the underscore counts for words.
    LETTER_13, LETTER_13, PUNCT_4, 8 | CHAR_WORD, 8, LETTER_13, LETTER_13, PUNCT_4, 0};

uint32_t char_lookup(uint32_t code)
{
    uint32_t low = 0, high = MERIT_COUNT(char_runs) - 1, page = code >> PAGE_SHIFT;
    if (page + 1 < MERIT_COUNT(char_pages)) {
        low = char_pages[page];
        high = char_pages[page + 1];
    } else {
        low = char_pages[MERIT_COUNT(char_pages) - 1];
    }
    while (low < high) {
        uint32_t middle = (low + high + 1) / 2;
        if (char_runs[middle] >> CODE_SHIFT <= code)
            low = middle;
        else
            high = middle - 1;
    }
    return char_runs[low] & VALUE;
}
