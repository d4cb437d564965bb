// Words of a text, folded, for the signals that compare words.
#include <string.h>

#include "signal/artifacts.h"
#include "text/utf8.h"

static bool is_ascii_word(unsigned char c)
{
    return (unsigned char)(c - '0') < 10 || (unsigned char)((c | 32) - 'a') < 26;
}

struct splitter {
    struct slice text;
    size_t at;
    char *folded;
    size_t folded_len;
};

// The next word, which is folded behind the others; false at the end.
static bool next_word(struct splitter *s, struct text_word *w)
{
    const char *t = s->text.ptr;
    size_t end = s->text.len, at = s->at, from = at;
    uint32_t code = 0;
    bool cjk = false;
    for (; at < end; from = at) {
        unsigned char c = (unsigned char)t[at];
        if (c < 0x80) {
            if (is_ascii_word(c))
                break;
            at++;
            continue;
        }
        code = utf8_next(s->text, &at);
        cjk = utf8_is_cjk(code);
        if (cjk || utf8_is_word(code))
            break;
    }
    if (from >= end) {
        s->at = end;
        return false;
    }
    w->folded = (uint32_t)s->folded_len;
    w->begin = (uint32_t)from;
    w->letters = 0;
    uint32_t chars = 0;
    char *put = s->folded + s->folded_len;
    for (at = from; at < end;) {
        unsigned char c = (unsigned char)t[at];
        if (c < 0x80) {
            if (!is_ascii_word(c))
                break;
            c = (unsigned char)(c < 'A' ? c : c | 32);
            *put++ = (char)c;
            w->letters |= 1u << (c & 31);
            at++;
        } else {
            size_t next = at;
            code = utf8_next(s->text, &next);
            bool other = utf8_is_cjk(code);
            if ((other && chars) || !(other || utf8_is_word(code)))
                break;
            code = utf8_fold(code);
            put += utf8_put(code, put);
            w->letters |= 1u << (code & 31);
            at = next;
            if (other) {
                chars++;
                break;
            }
        }
        chars++;
    }
    w->end = (uint32_t)at;
    size_t len = (size_t)(put - s->folded) - s->folded_len;
    // A longer word compares with nothing, so that its length need not fit.
    w->chars = chars <= SIGNAL_WORD_CHARS_MAX ? (uint16_t)chars : UINT16_MAX;
    w->folded_len = chars <= SIGNAL_WORD_CHARS_MAX ? (uint16_t)len : 0;
    s->folded_len += w->folded_len;
    s->at = at;
    return true;
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
