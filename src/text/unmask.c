#include "text/unmask.h"

#include <stdbool.h>

#include "text/utf8.h"

enum {
    RUN_MIN = 16,     // characters of a run of base64 or base32
    BYTES_MIN = 6,    // decoded bytes that are worth a reading
    HITS_MIN = 2,     // common words that make a whole-text reading legible
    WHOLE_MAX = 2048, // bytes that the ciphers are tried on: there are 29 of them
    WORD_LEN_MAX = 12,
};

struct masks {
    struct slice s;
    struct arena *arena;
    struct unmasked *out;
    uint32_t count;
    char *room;     // s.len + 1 bytes, where a reading is tried
    uint32_t plain; // common words of the text as it is
    bool nomem;
};

static bool letter(char c)
{
    return (c | 32) >= 'a' && (c | 32) <= 'z';
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static int hex(char c)
{
    return digit(c) ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

// Frequent English words, and those that orders to a model are made of.
static const char *const words[] = {
    "about",     "above",        "all",        "and",        "answer",  "any",     "are",
    "begin",     "but",          "bypass",     "can",        "command", "could",   "developer",
    "disregard", "every",        "explain",    "filter",     "follow",  "for",     "forget",
    "from",      "give",         "guidelines", "have",       "hidden",  "how",     "ignore",
    "instead",   "instructions", "into",       "jailbreak",  "make",    "mode",    "model",
    "must",      "not",          "now",        "our",        "out",     "output",  "override",
    "password",  "please",       "pretend",    "previous",   "print",   "prompt",  "repeat",
    "respond",   "restrictions", "reveal",     "rules",      "safety",  "secret",  "should",
    "show",      "start",        "system",     "tell",       "that",    "the",     "their",
    "then",      "there",        "this",       "unfiltered", "use",     "was",     "what",
    "when",      "which",        "who",        "will",       "with",    "without", "would",
    "write",     "you",          "your",
};
// Where the words of each letter begin; the last entry is their number.
static const uint8_t first_of[27] = {0,  7,  10, 13, 15, 17, 22, 24, 27, 31, 32, 32, 32, 36,
                                     38, 42, 48, 48, 53, 59, 66, 68, 68, 78, 78, 80, 80};

// Whole words of the list.
static uint32_t hits(struct slice s)
{
    uint32_t n = 0;
    for (size_t i = 0; i < s.len;) {
        if (!letter(s.ptr[i])) {
            i++;
            continue;
        }
        char word[WORD_LEN_MAX + 1];
        size_t len = 0, begin = i;
        while (i < s.len && letter(s.ptr[i])) {
            if (len < WORD_LEN_MAX)
                word[len++] = (char)(s.ptr[i] | 32);
            i++;
        }
        if (i - begin < 3 || i - begin > WORD_LEN_MAX)
            continue;
        for (unsigned w = first_of[word[0] - 'a']; w < first_of[word[0] - 'a' + 1]; w++)
            if (slice_eq(slice_make(word, len), slice_cstr(words[w]))) {
                n++;
                break;
            }
    }
    return n;
}

static void keep(struct masks *m, const char *how, const char *text, size_t len, size_t begin,
                 size_t end)
{
    if (m->count == UNMASK_MAX)
        return;
    struct slice copy = arena_copy(m->arena, slice_make(text, len));
    if (!copy.ptr) {
        m->nomem = true;
        return;
    }
    m->out[m->count++] = (struct unmasked){how, copy, (uint32_t)begin, (uint32_t)end};
}

// Bytes that are a text: printable, mostly letters and blanks.
static bool legible(const char *p, size_t n)
{
    size_t good = 0;
    if (n < BYTES_MIN)
        return false;
    for (size_t i = 0; i < n; i++) {
        if ((p[i] < 32 && p[i] != '\n' && p[i] != '\t' && p[i] != '\r') || p[i] == 127)
            return false;
        good += letter(p[i]) || p[i] == ' ';
    }
    return good * 10 >= n * 7;
}

static int sextet(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : digit(c)             ? c - '0' + 52
           : c == '+' || c == '-' ? 62
           : c == '/' || c == '_' ? 63
                                  : -1;
}

static int quintet(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' : c >= '2' && c <= '7' ? c - '2' + 26 : -1;
}

// Runs of one alphabet of `bits` a character.
static void try_base(struct masks *m, const char *how, int (*value)(char), unsigned bits)
{
    for (size_t at = 0; at < m->s.len;) {
        size_t end = at, n = 0;
        uint32_t sum = 0;
        unsigned have = 0;
        while (end < m->s.len && value(m->s.ptr[end]) >= 0) {
            sum = sum << bits | (uint32_t)value(m->s.ptr[end++]);
            have += bits;
            if (have >= 8) {
                have -= 8;
                m->room[n++] = (char)(sum >> have);
                sum &= (1u << have) - 1;
            }
        }
        if (end - at >= RUN_MIN && legible(m->room, n))
            keep(m, how, m->room, n, at, end);
        at = end + 1;
    }
}

// Two hex digits a byte, with blanks, "0x", "\x", "%" or ":" between; and escapes of one character each.
static void try_hex(struct masks *m)
{
    const char *s = m->s.ptr;
    for (size_t at = 0; at + 1 < m->s.len; at++) {
        size_t i = at, n = 0, end = at;
        if (hex(s[i]) < 0 && s[i] != '%' && s[i] != '\\')
            continue;
        if (at && (letter(s[at - 1]) || digit(s[at - 1])))
            continue;
        while (i + 1 < m->s.len) {
            size_t k = i;
            if (s[k] == '%')
                k++;
            else if ((s[k] == '\\' || s[k] == '0') && (s[k + 1] | 32) == 'x')
                k += 2;
            if (k + 1 >= m->s.len || hex(s[k]) < 0 || hex(s[k + 1]) < 0)
                break;
            m->room[n++] = (char)(hex(s[k]) << 4 | hex(s[k + 1]));
            i = end = k + 2;
            while (i < m->s.len && (s[i] == ' ' || s[i] == ':' || s[i] == ','))
                i++;
        }
        if (n >= BYTES_MIN && legible(m->room, n))
            keep(m, "hex", m->room, n, at, end);
        if (n > 1) // a run is looked at once, whatever it is
            at = end - 1;
    }
}

// Groups of eight bits, or decimal codes of letters.
static void try_numbers(struct masks *m)
{
    for (size_t at = 0; at < m->s.len;) {
        size_t i = at, n = 0, end = at;
        bool bits = true;
        while (i < m->s.len && digit(m->s.ptr[i])) {
            unsigned v = 0, b = 0, len = 0;
            bool binary = true;
            for (; i < m->s.len && digit(m->s.ptr[i]) && len < 9; i++, len++) {
                v = v * 10 + (unsigned)(m->s.ptr[i] - '0');
                b = b << 1 | (unsigned)(m->s.ptr[i] & 1);
                binary &= m->s.ptr[i] <= '1';
            }
            binary &= len == 8;
            if (!binary && (v < 32 || v > 126))
                break;
            bits &= binary;
            m->room[n++] = (char)(binary ? b : v);
            end = i;
            while (i < m->s.len && (m->s.ptr[i] == ' ' || m->s.ptr[i] == ','))
                i++;
        }
        if (n >= BYTES_MIN && legible(m->room, n))
            keep(m, bits ? "binary" : "codes", m->room, n, at, end);
        at = end > at ? end : at + 1;
    }
}

// &#105; \u0069 and the like anywhere in the text, the rest as it is.
static void try_escapes(struct masks *m)
{
    const char *s = m->s.ptr;
    size_t n = 0, undone = 0;
    for (size_t i = 0; i < m->s.len;) {
        unsigned v = 0, digits = 0;
        size_t k = i;
        bool entity = s[i] == '&' && i + 3 < m->s.len && s[i + 1] == '#';
        if (entity) {
            bool is_hex = (s[i + 2] | 32) == 'x';
            for (k = i + 2 + is_hex;
                 k < m->s.len && digits < 6 && (is_hex ? hex(s[k]) >= 0 : digit(s[k]));
                 k++, digits++)
                v = v * (is_hex ? 16 : 10) + (unsigned)hex(s[k]);
            k += k < m->s.len && s[k] == ';';
        } else if (s[i] == '\\' && i + 5 < m->s.len && s[i + 1] == 'u') {
            for (k = i + 2; digits < 4 && hex(s[k]) >= 0; k++, digits++)
                v = v << 4 | (unsigned)hex(s[k]);
        }
        if (digits >= 2 && v >= 32 && v < 127) {
            m->room[n++] = (char)v;
            undone++;
            i = k;
        } else {
            m->room[n++] = s[i++];
        }
    }
    if (undone >= BYTES_MIN)
        keep(m, "escapes", m->room, n, 0, m->s.len);
}

// U+E0020 to U+E007E are invisible copies of ASCII.
static void try_tags(struct masks *m)
{
    size_t n = 0, first = 0, last = 0;
    for (size_t at = 0; at < m->s.len;) {
        if ((unsigned char)m->s.ptr[at] != 0xF3) {
            at++;
            continue;
        }
        size_t begin = at;
        uint32_t code = utf8_next(m->s, &at);
        if (code < 0xE0020 || code > 0xE007E)
            continue;
        if (!n)
            first = begin;
        m->room[n++] = (char)(code - 0xE0000);
        last = at;
    }
    if (n >= BYTES_MIN)
        keep(m, "tags", m->room, n, first, last);
}

static char morse(unsigned code)
{
    // A leading 1, then a bit per sign: 0 dot, 1 dash.
    static const uint8_t letters[26] = {5, 24, 26, 12, 2,  18, 14, 16, 4,  23, 13, 20, 7,
                                        6, 15, 22, 29, 10, 8,  3,  9,  17, 11, 25, 27, 28};
    for (unsigned i = 0; i < 26; i++)
        if (letters[i] == code)
            return (char)('a' + i);
    return 0;
}

static void try_morse(struct masks *m)
{
    for (size_t at = 0; at < m->s.len;) {
        size_t i = at, n = 0, end = at;
        while (i < m->s.len && (m->s.ptr[i] == '.' || m->s.ptr[i] == '-')) {
            unsigned code = 1;
            for (; i < m->s.len && (m->s.ptr[i] == '.' || m->s.ptr[i] == '-') && code < 64; i++)
                code = code << 1 | (m->s.ptr[i] == '-');
            char c = morse(code);
            if (!c)
                break;
            m->room[n++] = c;
            end = i;
            bool gap = false;
            while (i < m->s.len && (m->s.ptr[i] == ' ' || m->s.ptr[i] == '/')) {
                gap |= m->s.ptr[i] == '/';
                i++;
            }
            if (gap)
                m->room[n++] = ' ';
        }
        if (n >= BYTES_MIN)
            keep(m, "morse", m->room, n, at, end);
        at = end > at ? end : at + 1;
    }
}

// A reading of the whole text that has common words which the text itself does not have.
static void try_whole(struct masks *m, const char *how)
{
    struct slice tried = slice_make(m->room, m->s.len);
    uint32_t n = hits(tried);
    if (n >= HITS_MIN && n > m->plain / 2)
        keep(m, how, m->room, m->s.len, 0, m->s.len);
}

static void try_ciphers(struct masks *m)
{
    for (unsigned shift = 1; shift <= 26; shift++) {
        for (size_t i = 0; i < m->s.len; i++) {
            char c = m->s.ptr[i], a = c & 32 ? 'a' : 'A';
            m->room[i] = !letter(c)   ? c
                         : shift < 26 ? (char)(a + (c - a + (int)shift) % 26)
                                      : (char)(a + 25 - (c - a)); // Atbash
        }
        try_whole(m, shift == 26 ? "atbash" : "shift");
    }
    for (size_t i = 0; i < m->s.len; i++)
        m->room[i] = m->s.ptr[m->s.len - 1 - i];
    try_whole(m, "reversed");
    // Each word reversed where it stands.
    for (size_t i = 0; i < m->s.len;) {
        size_t end = i;
        while (end < m->s.len && letter(m->s.ptr[end]))
            end++;
        for (size_t k = i; k < end; k++)
            m->room[k] = m->s.ptr[end - 1 - (k - i)];
        if (end == i) {
            m->room[i] = m->s.ptr[i];
            end++;
        }
        i = end;
    }
    try_whole(m, "reversed");
}

static char leet(char c)
{
    static const char from[] = "013457@$!|+89", to[] = "oieastasiltbg";
    const char *p = c ? strchr(from, c) : NULL;
    return p ? to[p - from] : c;
}

static void try_leet(struct masks *m)
{
    for (size_t i = 0; i < m->s.len;) {
        size_t end = i;
        bool letters = false;
        while (end < m->s.len && (unsigned char)m->s.ptr[end] > ' ') {
            letters |= letter(m->s.ptr[end]);
            end++;
        }
        for (size_t k = i; k < end; k++)
            m->room[k] = letters || end - i > 2 ? leet(m->s.ptr[k]) : m->s.ptr[k];
        if (end < m->s.len)
            m->room[end] = m->s.ptr[end];
        i = end + 1;
    }
    if (hits(slice_make(m->room, m->s.len)) >= m->plain + HITS_MIN)
        keep(m, "leet", m->room, m->s.len, 0, m->s.len);
}

// "i g n o r e", "i-g-n-o-r-e": single letters with one separator between; two or more separators end a word.
static void try_spaced(struct masks *m)
{
    size_t n = 0, joined = 0;
    for (size_t i = 0; i < m->s.len;) {
        size_t run = 0, k = i;
        char separator = k + 1 < m->s.len ? m->s.ptr[k + 1] : 0;
        if (letter(m->s.ptr[i]) && separator && strchr(" -._*|", separator) &&
            (i == 0 || !letter(m->s.ptr[i - 1])))
            while (k + 2 < m->s.len && letter(m->s.ptr[k]) && m->s.ptr[k + 1] == separator &&
                   letter(m->s.ptr[k + 2]) && (k + 3 >= m->s.len || !letter(m->s.ptr[k + 3]))) {
                k += 2;
                run++;
            }
        if (run < 3) {
            m->room[n++] = m->s.ptr[i++];
            continue;
        }
        for (size_t c = i; c <= k; c += 2)
            m->room[n++] = m->s.ptr[c];
        joined += run + 1;
        i = k + 1;
    }
    if (joined >= BYTES_MIN)
        keep(m, "spaced", m->room, n, 0, m->s.len);
}

enum result unmask(struct slice text, struct arena *arena, struct unmasked *out, uint32_t *count)
{
    struct masks m = {.s = slice_head(text, UNMASK_TEXT_MAX), .arena = arena, .out = out};
    *count = 0;
    m.room = arena_alloc(arena, m.s.len + 1);
    if (!m.room)
        return RESULT_NOMEM;
    m.plain = hits(m.s);
    try_tags(&m);
    try_base(&m, "base64", sextet, 6);
    try_base(&m, "base32", quintet, 5);
    try_hex(&m);
    try_numbers(&m);
    try_escapes(&m);
    try_morse(&m);
    try_spaced(&m);
    try_leet(&m);
    m.s = slice_head(m.s, WHOLE_MAX);
    m.plain = hits(m.s);
    try_ciphers(&m);
    *count = m.count;
    return m.nomem ? RESULT_NOMEM : RESULT_OK;
}
