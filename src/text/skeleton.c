#include "text/skeleton.h"

#include <utf8proc.h>

#include "text/utf8.h"

// Cyrillic and Greek letters and the Latin ones they look like (Unicode's confusables, the single letters of common
// fonts).
static const struct {
    uint16_t code;
    char like;
} looks_like[] = {
    {0x0391, 'A'}, {0x0392, 'B'}, {0x0395, 'E'}, {0x0396, 'Z'}, {0x0397, 'H'}, {0x0399, 'I'},
    {0x039A, 'K'}, {0x039C, 'M'}, {0x039D, 'N'}, {0x039F, 'O'}, {0x03A1, 'P'}, {0x03A4, 'T'},
    {0x03A5, 'Y'}, {0x03A7, 'X'}, {0x03B1, 'a'}, {0x03B9, 'i'}, {0x03BA, 'k'}, {0x03BD, 'v'},
    {0x03BF, 'o'}, {0x03C1, 'p'}, {0x03C5, 'u'}, {0x03C7, 'x'}, {0x0405, 'S'}, {0x0406, 'I'},
    {0x0408, 'J'}, {0x0410, 'A'}, {0x0412, 'B'}, {0x0415, 'E'}, {0x041A, 'K'}, {0x041C, 'M'},
    {0x041D, 'H'}, {0x041E, 'O'}, {0x0420, 'P'}, {0x0421, 'C'}, {0x0422, 'T'}, {0x0425, 'X'},
    {0x0430, 'a'}, {0x0435, 'e'}, {0x043E, 'o'}, {0x0440, 'p'}, {0x0441, 'c'}, {0x0443, 'y'},
    {0x0445, 'x'}, {0x0455, 's'}, {0x0456, 'i'}, {0x0458, 'j'}, {0x04BB, 'h'}, {0x0501, 'd'},
    {0x051B, 'q'}, {0x051D, 'w'}, {0x0261, 'g'}, {0x0131, 'i'},
};

static char look_of(uint32_t code)
{
    if (code < 0x0131 || code > 0x051D)
        return 0;
    for (unsigned i = 0; i < MERIT_COUNT(looks_like); i++)
        if (looks_like[i].code == code)
            return looks_like[i].like;
    return 0;
}

static bool latin(uint32_t c)
{
    return (c | 32) >= 'a' && (c | 32) <= 'z';
}

// Blocks of decimal digits are ten code points in a row that begin where the last hex digit is 0 or 6.
static int digit_value(uint32_t code)
{
    uint32_t low = code & 15;
    if (low < 6)
        return (int)low;
    bool from_zero = utf8proc_category((utf8proc_int32_t)(code - low)) == UTF8PROC_CATEGORY_ND;
    return (int)(from_zero && low < 10 ? low : low - 6);
}

enum { DROP = -1, KEEP = -2 };

// What a character that is not ASCII becomes: an ASCII character, DROP or KEEP.
static int fold(uint32_t code, utf8proc_category_t category)
{
    switch (category) {
    case UTF8PROC_CATEGORY_CF:
        return DROP;
    case UTF8PROC_CATEGORY_ZS:
        return ' ';
    case UTF8PROC_CATEGORY_PD:
        return '-';
    case UTF8PROC_CATEGORY_ND:
        return '0' + digit_value(code);
    case UTF8PROC_CATEGORY_MN:
        return (code >= 0xFE00 && code <= 0xFE0F) || (code >= 0xE0100 && code <= 0xE01EF) ||
                       code == 0x034F
                   ? DROP
                   : KEEP;
    default:
        break;
    }
    if (code == 0x2212) // the minus sign
        return '-';
    if (code == 0x115F || code == 0x1160 || code == 0x3164 || code == 0xFFA0) // fillers
        return DROP;
    if (code <
        0x2000) // no compatibility forms of ASCII below that are not letters in their own right
        return KEEP;
    utf8proc_int32_t into[4];
    int boundary = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)code, into, 4,
                                                 UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE, &boundary);
    return n == 1 && into[0] > 32 && into[0] < 127 ? into[0] : KEEP;
}

struct maker {
    struct slice in;
    char *out;
    uint32_t *from;
    uint32_t len;
    uint32_t word; // where the current word began in `out`
    bool word_latin, word_other;
    bool disguised;
};

// The word that ends here: letters that only look Latin become so when it has Latin ones.
static void end_word(struct maker *m)
{
    if (m->word_latin && m->word_other) {
        struct slice word = slice_make(m->out, m->len);
        size_t at = m->word;
        uint32_t to = m->word;
        while (at < word.len) {
            size_t begin = at;
            char look = look_of(utf8_next(word, &at));
            uint32_t from = m->from[begin];
            if (look) {
                m->from[to] = from;
                m->out[to++] = look;
                continue;
            }
            for (size_t i = begin; i < at; i++, to++) {
                m->from[to] = m->from[i];
                m->out[to] = m->out[i];
            }
        }
        m->len = to;
        m->disguised = true;
    }
    m->word = m->len;
    m->word_latin = m->word_other = false;
}

static void put(struct maker *m, char c, size_t from)
{
    m->from[m->len] = (uint32_t)from;
    m->out[m->len++] = c;
}

static void make(struct maker *m)
{
    unsigned marks = 0;
    for (size_t at = 0; at < m->in.len;) {
        size_t begin = at;
        uint32_t code = utf8_next(m->in, &at);
        if (code < 128) {
            marks = 0;
            if (latin(code))
                m->word_latin = true;
            else if (code < '0' || code > '9')
                end_word(m);
            put(m, (char)code, begin);
            continue;
        }
        utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
        int becomes = fold(code, category);
        bool mark = category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_ME;
        marks = mark ? marks + 1 : 0;
        if (becomes == DROP || (mark && marks > SKELETON_MARKS_MAX)) {
            m->disguised |= m->len > m->word && becomes == DROP;
            continue;
        }
        if (becomes >= 0) {
            if (latin((uint32_t)becomes))
                m->word_latin = true;
            else if (becomes < '0' || becomes > '9')
                end_word(m);
            put(m, (char)becomes, begin);
            continue;
        }
        if (look_of(code))
            m->word_other = true;
        else if (!mark && !utf8_is_word(code))
            end_word(m);
        for (size_t i = begin; i < at; i++)
            put(m, m->in.ptr[i], i);
    }
    end_word(m);
}

enum result skeleton_make(struct slice text, struct arena *arena, struct skeleton *out)
{
    *out = (struct skeleton){text, NULL, false};
    if (text.len >= UINT32_MAX)
        return RESULT_LIMIT;
    size_t i = 0;
    for (uint64_t eight; i + 8 <= text.len; i += 8) {
        memcpy(&eight, text.ptr + i, 8);
        if (eight & UINT64_C(0x8080808080808080))
            break;
    }
    while (i < text.len && !(text.ptr[i] & 0x80))
        i++;
    if (i == text.len)
        return RESULT_OK;
    struct maker m = {.in = text,
                      .out = arena_alloc(arena, text.len),
                      .from = arena_alloc(arena, (text.len + 1) * sizeof(uint32_t))};
    if (!m.out || !m.from)
        return RESULT_NOMEM;
    make(&m);
    m.from[m.len] = (uint32_t)text.len;
    *out = (struct skeleton){slice_make(m.out, m.len), m.from, m.disguised};
    return RESULT_OK;
}

uint32_t skeleton_end(const struct skeleton *s, struct slice original, uint32_t end)
{
    if (!s->from || end == 0)
        return end;
    // Behind the last character, whatever was dropped behind it.
    size_t at = s->from[end - 1];
    utf8_next(original, &at);
    return (uint32_t)(at < s->from[end] ? at : s->from[end]);
}
