// Words of a text, folded, for the signals that compare words.
#include <string.h>

#include "signal/artifacts.h"
#include "text/utf8.h"

// The folded character of an ASCII letter or digit, 0 for all other bytes.
static const char fold_ascii[256] = {
    ['0'] = '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ['A'] = 'a', 'b', 'c',
    'd',         'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n',         'o', 'p',
    'q',         'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', ['a'] = 'a', 'b', 'c',
    'd',         'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n',         'o', 'p',
    'q',         'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z',
};

struct splitter {
    struct slice text;
    size_t at;
    char *folded;
    size_t folded_len;
};

// Where the next word begins; the text's length at its end.
static size_t word_begin(struct slice text, size_t at)
{
    while (at < text.len) {
        unsigned char c = (unsigned char)text.ptr[at];
        if (c < 0x80) {
            if (fold_ascii[c])
                return at;
            at++;
            continue;
        }
        size_t from = at;
        uint32_t code = utf8_next(text, &at);
        if (utf8_is_cjk(code) || utf8_is_word(code))
            return from;
    }
    return text.len;
}

// The next word, which is folded behind the others; false at the end.
static bool next_word(struct splitter *s, struct text_word *w)
{
    const char *t = s->text.ptr;
    size_t end = s->text.len, at = word_begin(s->text, s->at);
    uint32_t chars = 0, letters = 0;
    char *from = s->folded + s->folded_len, *put = from;
    w->folded = (uint32_t)s->folded_len;
    w->begin = (uint32_t)at;
    while (at < end) {
        unsigned char c = (unsigned char)t[at];
        if (c < 0x80) {
            char folded = fold_ascii[c];
            if (!folded)
                break;
            *put++ = folded;
            letters |= 1u << (folded & 31);
            at++;
            chars++;
            continue;
        }
        size_t next = at;
        uint32_t code = utf8_next(s->text, &next);
        bool cjk = utf8_is_cjk(code);
        if ((cjk && chars) || !(cjk || utf8_is_word(code)))
            break;
        code = utf8_fold(code);
        put += utf8_put(code, put);
        letters |= 1u << (code & 31);
        at = next;
        chars++;
        if (cjk)
            break;
    }
    s->at = at;
    w->end = (uint32_t)at;
    w->letters = letters;
    // A longer word compares with nothing, so that its length need not fit.
    w->chars = chars <= SIGNAL_WORD_CHARS_MAX ? (uint16_t)chars : UINT16_MAX;
    w->folded_len = chars <= SIGNAL_WORD_CHARS_MAX ? (uint16_t)(put - from) : 0;
    s->folded_len += w->folded_len;
    return chars > 0;
}

// Folding a character makes it at most one byte longer, and never an ASCII one.
static size_t folded_room(struct slice text)
{
    return text.len + text.len / 2 + 4;
}

enum result text_words_split(const struct text_views *views, uint32_t count, struct arena *arena,
                             struct text_words *out)
{
    size_t room = count < SIGNAL_WORDS_MAX ? count : SIGNAL_WORDS_MAX, bytes = 0;
    *out = (struct text_words){.cut = views->cut};
    for (uint32_t i = 0; i < views->count; i++)
        bytes += folded_room(views->at[i].text);
    struct text_word *at = arena_alloc(arena, (room + 1) * sizeof *at);
    struct splitter s = {.folded = arena_alloc_aligned(arena, bytes + 1, 1)};
    if (!at || !s.folded)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < views->count; i++) {
        s.text = views->at[i].text;
        s.at = 0;
        for (;;) {
            struct text_word w = {.view = i};
            if (!next_word(&s, &w))
                break;
            if (out->count == room) {
                out->cut = true;
                break;
            }
            at[out->count++] = w;
        }
    }
    out->at = at;
    out->folded = s.folded;
    return RESULT_OK;
}

struct slice text_words_fold(struct slice text, struct arena *arena, uint32_t *words)
{
    struct text_view view = {text, 0, 0};
    struct text_views views = {&view, 1, false};
    struct text_words split;
    *words = 0;
    struct text_stats stats = {0};
    text_stats_add(&stats, text);
    if (text_words_split(&views, stats.words, arena, &split))
        return SLICE_EMPTY;
    char *joined = arena_alloc_aligned(arena, folded_room(text) + split.count + 1, 1);
    if (!joined)
        return SLICE_EMPTY;
    size_t len = 0;
    for (uint32_t i = 0; i < split.count; i++) {
        if (i)
            joined[len++] = ' ';
        memcpy(joined + len, split.folded + split.at[i].folded, split.at[i].folded_len);
        len += split.at[i].folded_len;
    }
    *words = split.count;
    return slice_make(joined, len);
}
