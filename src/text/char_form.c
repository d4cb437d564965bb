#include "text/char_form.h"

#include <utf8proc.h>

#include "base/compiler.h"
#include "text/char_form_table.h"

enum {
    MARKS_FIRST = 0x300, // no mark and no second half of a composite stands below
    L_FIRST = 0x1100,
    V_FIRST = 0x1161,
    T_BEFORE = 0x11a7,
    SYLLABLES = 0xac00,
    L_COUNT = 19,
    V_COUNT = 21,
    T_COUNT = 28,
    SYLLABLE_COUNT = L_COUNT * V_COUNT * T_COUNT,
};

static bool within(const struct char_range *ranges, size_t count, uint32_t code)
{
    size_t low = 0;
    while (low < count) {
        size_t middle = (low + count) / 2;
        if (ranges[middle].last < code)
            low = middle + 1;
        else
            count = middle;
    }
    return ranges[low].first <= code && code <= ranges[low].last;
}

// One past the last range is never read: every search is for codes up to the table's last one.
#define WITHIN(table, code)                                                                        \
    ((code) <= (table)[MERIT_COUNT(table) - 1].last && within((table), MERIT_COUNT(table), (code)))

bool char_bert_removed(uint32_t code)
{
    return WITHIN(bert_removed, code);
}

bool char_bert_mark(uint32_t code)
{
    return code >= MARKS_FIRST && WITHIN(bert_marks, code);
}

bool char_bert_han(uint32_t code)
{
    return (code >= 0x4e00 && code <= 0x9fff) || (code >= 0x3400 && code <= 0x4dbf) ||
           (code >= 0x20000 && code <= 0x2a6df) || (code >= 0x2a700 && code <= 0x2b73f) ||
           (code >= 0x2b740 && code <= 0x2b81f) || (code >= 0x2b920 && code <= 0x2ceaf) ||
           (code >= 0xf900 && code <= 0xfaff) || (code >= 0x2f800 && code <= 0x2fa1f);
}

bool char_accent(uint32_t code)
{
    return code >= MARKS_FIRST && WITHIN(accents, code);
}

bool char_white(uint32_t code)
{
    if (code < 0x80)
        return code == ' ' || code - '\t' < 5;
    return code == 0x85 || code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) ||
           code == 0x2028 || code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

uint8_t char_combining(uint32_t code)
{
    if (code < MARKS_FIRST)
        return 0;
    utf8proc_propval_t class = utf8proc_get_property((utf8proc_int32_t)code)->combining_class;
    return class && !WITHIN(no_class, code) ? (uint8_t) class : 0;
}

unsigned char_decompose(uint32_t code, bool compatible, uint32_t out[CHAR_DECOMPOSED_MAX])
{
    out[0] = code;
    if (code < 0x80)
        return 1;
    if (code - SYLLABLES < SYLLABLE_COUNT) {
        uint32_t s = code - SYLLABLES;
        out[0] = L_FIRST + s / (V_COUNT * T_COUNT);
        out[1] = V_FIRST + s % (V_COUNT * T_COUNT) / T_COUNT;
        out[2] = T_BEFORE + s % T_COUNT;
        return s % T_COUNT ? 3 : 2;
    }
    if (compatible ? WITHIN(no_compatible, code) : WITHIN(no_canonical, code))
        return 1;
    int boundary = 0;
    utf8proc_int32_t buf[CHAR_DECOMPOSED_MAX];
    utf8proc_ssize_t n = utf8proc_decompose_char(
        (utf8proc_int32_t)code, buf, CHAR_DECOMPOSED_MAX,
        UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0), &boundary);
    if (n < 1 || n > CHAR_DECOMPOSED_MAX)
        return 1;
    for (utf8proc_ssize_t i = 0; i < n; i++)
        out[i] = (uint32_t)buf[i];
    return (unsigned)n;
}

uint32_t char_compose(uint32_t first, uint32_t second)
{
    if (second < MARKS_FIRST)
        return 0;
    if (first - L_FIRST < L_COUNT && second - V_FIRST < V_COUNT)
        return SYLLABLES + ((first - L_FIRST) * V_COUNT + (second - V_FIRST)) * T_COUNT;
    if (first - SYLLABLES < SYLLABLE_COUNT)
        return (first - SYLLABLES) % T_COUNT == 0 && second - (T_BEFORE + 1) < T_COUNT - 1
                   ? first + (second - T_BEFORE)
                   : 0;
    utf8proc_int32_t pair[2] = {(utf8proc_int32_t)first, (utf8proc_int32_t)second};
    if (utf8proc_normalize_utf32(pair, 2, UTF8PROC_STABLE | UTF8PROC_COMPOSE) != 1)
        return 0;
    uint32_t composite = (uint32_t)pair[0];
    return WITHIN(no_canonical, composite) ? 0 : composite;
}

bool char_starts(uint32_t code)
{
    if (code < MARKS_FIRST)
        return true;
    if (code - V_FIRST < 0x9f) // Hangul vowels and finals
        return false;
    utf8proc_propval_t category = utf8proc_get_property((utf8proc_int32_t)code)->category;
    return category != UTF8PROC_CATEGORY_MN && category != UTF8PROC_CATEGORY_MC &&
           category != UTF8PROC_CATEGORY_ME;
}

unsigned char_lower(uint32_t code, uint32_t out[CHAR_LOWER_MAX])
{
    if (code < 0x80) {
        out[0] = code - 'A' < 26 ? code + 32 : code;
        return 1;
    }
    if (code == 0x130) { // the dotted capital I is the only one with two
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    out[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
    if (code >= lower_cases[0].first) {
        for (size_t i = 0; i < MERIT_COUNT(lower_cases); i++) {
            if (code >= lower_cases[i].first && code <= lower_cases[i].last)
                out[0] = (uint32_t)((int32_t)code + lower_cases[i].add);
        }
    }
    return 1;
}
