// The expressions that byte-level tokenizers cut text with, as state machines: what a backtracking engine would match
// first at a place is known from the classes of the characters there.
#include "text/pretoken_split.h"

enum { KINDS = CHAR_LETTER | CHAR_NUMBER | CHAR_SPACE };

// Bytes of the letters behind an apostrophe that make a contraction: s t m d re ve ll; 0 for none. `fold`: in either
// case, where the long s is an s.
static unsigned contraction(const unsigned char *p, const unsigned char *end, bool fold)
{
    if (p == end)
        return 0;
    unsigned char a = fold && *p < 0x80 ? *p | 0x20 : *p;
    switch (a) {
    case 's':
    case 't':
    case 'm':
    case 'd':
        return 1;
    case 'r':
    case 'v':
    case 'l':
        break;
    case 0xc5:
        return fold && p[1] == 0xbf ? 2 : 0;
    default:
        return 0;
    }
    if (p + 1 == end)
        return 0;
    unsigned char b = fold && p[1] < 0x80 ? p[1] | 0x20 : p[1];
    return b == (a == 'l' ? 'l' : 'e') ? 2 : 0;
}

// \s+(?!\S)|\s+ at white space: all of the run, less its last character where something follows and something is left.
static const unsigned char *spaces(const unsigned char *at, const unsigned char *end)
{
    const unsigned char *p = at, *last = at;
    unsigned n;
    while (p < end && (pretoken_class(p, &n) & CHAR_SPACE)) {
        last = p;
        p += n;
    }
    return p == end || last == at ? p : last;
}

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
const unsigned char *pretoken_gpt2(const unsigned char *at, const unsigned char *end)
{
    unsigned n;
    unsigned kind = pretoken_class(at, &n) & KINDS;
    const unsigned char *p = at + n;
    if (kind == CHAR_SPACE) {
        if (*at != ' ' || p == end)
            return spaces(at, end);
        kind = pretoken_class(p, &n) & KINDS;
        if (kind == CHAR_SPACE)
            return spaces(at, end);
        p += n;
    } else if (*at == '\'') {
        unsigned more = contraction(p, end, false);
        if (more)
            return p + more;
    }
    return pretoken_run(p, end, KINDS, kind);
}

static const unsigned char *newlines(const unsigned char *p, const unsigned char *end)
{
    while (p < end && (*p == '\r' || *p == '\n'))
        p++;
    return p;
}

// \s*[\r\n]+ takes a run up to its last line end; without any, as spaces().
static const unsigned char *spaces_or_lines(const unsigned char *at, const unsigned char *end)
{
    const unsigned char *p = at, *line = NULL;
    unsigned n;
    while (p < end && (pretoken_class(p, &n) & CHAR_SPACE)) {
        bool is_line = *p == '\r' || *p == '\n';
        p += n;
        if (is_line)
            line = p;
    }
    return line ? line : spaces(at, end);
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
const unsigned char *pretoken_llama3(const unsigned char *at, const unsigned char *end,
                                     unsigned digits)
{
    unsigned n, next_n;
    unsigned kind = pretoken_class(at, &n) & KINDS;
    const unsigned char *p = at + n;
    if (kind == CHAR_LETTER)
        return pretoken_run(p, end, CHAR_LETTER, CHAR_LETTER);
    if (kind == CHAR_NUMBER) {
        while (--digits && p < end && (pretoken_class(p, &n) & CHAR_NUMBER))
            p += n;
        return p;
    }
    if (*at == '\'') {
        unsigned more = contraction(p, end, true);
        if (more)
            return p + more;
    }
    unsigned next = p < end ? pretoken_class(p, &next_n) & KINDS : (unsigned)CHAR_SPACE;
    if (next == CHAR_LETTER && *at != '\r' && *at != '\n')
        return pretoken_run(p + next_n, end, CHAR_LETTER, CHAR_LETTER);
    if (kind == 0 || (*at == ' ' && next == 0))
        return newlines(pretoken_run(p, end, KINDS, 0), end);
    return spaces_or_lines(at, end);
}
