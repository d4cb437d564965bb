#include "text/grapheme.h"

#include <stdbool.h>

#include "text/char_class.h"

struct place {
    uint32_t code;
    enum char_grapheme class;
};

static struct place place_at(const unsigned char *p, unsigned *n)
{
    uint32_t code = char_decode(p, n);
    return (struct place){code, char_grapheme(code)};
}

static bool is_lv(struct place p)
{
    return p.class == GRAPHEME_SYLLABLE && (p.code - 0xac00) % 28 == 0;
}

// Rules GB6 to GB8.
static bool hangul_joins(struct place a, struct place b)
{
    switch (a.class) {
    case GRAPHEME_L:
        return b.class == GRAPHEME_L || b.class == GRAPHEME_V || b.class == GRAPHEME_SYLLABLE;
    case GRAPHEME_V:
        return b.class == GRAPHEME_V || b.class == GRAPHEME_T;
    case GRAPHEME_T:
        return b.class == GRAPHEME_T;
    case GRAPHEME_SYLLABLE:
        return b.class == GRAPHEME_T || (b.class == GRAPHEME_V && is_lv(a));
    default:
        return false;
    }
}

// What the rules need to know of more than the last character.
struct behind {
    bool pictograph; // a pictograph with nothing but extending characters behind it
    bool regional;   // an odd number of regional indicators
    bool consonant;  // a consonant with nothing but what may stand in a conjunct behind it
    bool linker;     // and among that a linker
};

static void remember(struct behind *s, struct place p)
{
    bool extends = p.class == GRAPHEME_EXTEND || p.class == GRAPHEME_LINKER;
    s->pictograph =
        p.class == GRAPHEME_PICTOGRAPH || (s->pictograph && (extends || p.class == GRAPHEME_ZWJ));
    s->regional = p.class == GRAPHEME_REGIONAL && !s->regional;
    s->linker = s->consonant && (p.class == GRAPHEME_LINKER || s->linker);
    s->consonant = p.class == GRAPHEME_CONSONANT ||
                   (s->consonant && (extends || p.class == GRAPHEME_ZWJ) && p.code != 0x200c);
    if (p.class == GRAPHEME_CONSONANT)
        s->linker = false;
}

static bool joins(struct place a, struct place b, const struct behind *s)
{
    if (a.class == GRAPHEME_CONTROL || b.class == GRAPHEME_CONTROL)
        return a.code == '\r' && b.code == '\n';
    switch (b.class) {
    case GRAPHEME_EXTEND:
    case GRAPHEME_LINKER:
    case GRAPHEME_ZWJ:
    case GRAPHEME_SPACING:
        return true;
    default:
        break;
    }
    if (a.class == GRAPHEME_PREPEND)
        return true;
    if (b.class == GRAPHEME_PICTOGRAPH)
        return a.class == GRAPHEME_ZWJ && s->pictograph;
    if (b.class == GRAPHEME_CONSONANT)
        return s->consonant && s->linker;
    if (b.class == GRAPHEME_REGIONAL)
        return s->regional;
    return hangul_joins(a, b);
}

size_t grapheme_end(const unsigned char *text, size_t len, size_t at)
{
    unsigned n;
    struct behind behind = {0};
    struct place before = place_at(text + at, &n);
    remember(&behind, before);
    for (at += n; at < len; at += n) {
        struct place next = place_at(text + at, &n);
        if (!joins(before, next, &behind))
            break;
        remember(&behind, next);
        before = next;
    }
    return at;
}
