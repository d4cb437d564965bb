#include "text/charsmap.h"

#include <stdbool.h>

#include "base/alloc.h"
#include "text/char_class.h"
#include "text/grapheme.h"
#include "text/utf8.h"

enum {
    OUT_MAX = 64 * 1024 * 1024,
    WHOLE_BYTES = 6, // a cluster shorter than this is looked up whole
};
static const uint32_t label_mask = 0x800000ff;

struct charsmap {
    uint32_t *units; // of the trie, as darts-clone packs them
    uint32_t unit_count;
    struct slice words; // replacements, each ended by a zero byte; owned
    // Of each byte: an ASCII character that by itself stays as it is, carriage return apart.
    bool plain[256];
};

// Opening.

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

// Into `out`, which has room for 3 bytes for each 4 characters.
static bool base64_decode(struct slice s, unsigned char *out, size_t *len)
{
    uint32_t bits = 0;
    *len = 0;
    if (s.len % 4)
        return false;
    while (s.len && s.ptr[s.len - 1] == '=')
        s.len--;
    if (s.len % 4 == 1)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        int digit = base64_digit(s.ptr[i]);
        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4) // the first of four gives no whole byte
            out[(*len)++] = (unsigned char)(bits >> (6 - i % 4 * 2));
    }
    return true;
}

// The replacement of the shortest entry that is a prefix of `key`; ptr NULL when there is none.
static struct slice look_up(const struct charsmap *c, const unsigned char *key, size_t len)
{
    uint32_t unit = c->units[0], at = (unit >> 10) << ((unit & 512) >> 6);
    for (size_t i = 0; i < len && key[i]; i++) {
        at ^= key[i];
        if (at >= c->unit_count || ((unit = c->units[at]) & label_mask) != key[i])
            break;
        at ^= (unit >> 10) << ((unit & 512) >> 6);
        if (!(unit & 256))
            continue;
        uint32_t word = at < c->unit_count ? c->units[at] & 0x7fffffff : UINT32_MAX;
        // The words are well-formed as a whole; an offset into the middle of a character is no entry.
        if (word >= c->words.len || ((unsigned char)c->words.ptr[word] & 0xc0) == 0x80)
            break;
        const char *p = c->words.ptr + word;
        const char *end = memchr(p, 0, c->words.len - word);
        return slice_make(p, end ? (size_t)(end - p) : c->words.len - word);
    }
    return SLICE_EMPTY;
}

enum result charsmap_open(struct slice base64, struct charsmap **out)
{
    size_t len;
    enum result r = RESULT_NOMEM;
    unsigned char *bytes = NULL;
    struct charsmap *c = NULL;
    *out = NULL;
    if (base64.len / 4 * 3 > CHARSMAP_BYTES_MAX)
        return RESULT_LIMIT;
    bytes = alloc_bytes(base64.len / 4 * 3 + 4);
    c = alloc_zeroed(1, sizeof *c);
    if (!bytes || !c)
        goto out;
    r = RESULT_SYNTAX;
    if (!base64_decode(base64, bytes, &len) || len < 8)
        goto out;
    uint32_t size =
        bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    if (size > len - 4 || size % 4 || !size)
        goto out;
    c->unit_count = size / 4;
    c->words.len = len - 4 - size;
    c->units = alloc_bytes(size);
    c->words.ptr = alloc_bytes(c->words.len + 1);
    r = RESULT_NOMEM;
    if (!c->units || !c->words.ptr)
        goto out;
    for (uint32_t i = 0; i < c->unit_count; i++) {
        const unsigned char *p = bytes + 4 + i * 4;
        c->units[i] = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    }
    memcpy((char *)c->words.ptr, bytes + 4 + size, c->words.len);
    r = RESULT_SYNTAX;
    if (!utf8_valid(c->words))
        goto out;
    for (unsigned i = 0; i < 128; i++) {
        unsigned char byte = (unsigned char)i;
        c->plain[i] = i != '\r' && !look_up(c, &byte, 1).ptr;
    }
    *out = c;
    c = NULL;
    r = RESULT_OK;
out:
    alloc_free(bytes);
    charsmap_close(c);
    return r;
}

void charsmap_close(struct charsmap *c)
{
    if (!c)
        return;
    alloc_free(c->units);
    alloc_free((char *)c->words.ptr);
    alloc_free(c);
}

void charsmap_scratch_deinit(struct charsmap_scratch *s)
{
    alloc_free(s->text);
    alloc_free(s->from);
    *s = (struct charsmap_scratch){0};
}

// Applying. The reference collects the new characters, each with a change: 1 is inserted, 0 replaces one character of
// the old text, -n replaces one and swallows n more; then it aligns them in one go. Where a replacement is shorter than
// what it replaces, the last character so far swallows the rest, whichever it is. So one character is held back here.

struct applying {
    const struct charsmap *map;
    struct charsmap_scratch *s;
    struct slice text;
    uint32_t len;   // of the result so far
    size_t old;     // where in the old text the alignment stands
    bool modified;  // before, nothing has been written
    bool held;      // a character is held back
    uint32_t code;  // which
    int64_t change; // and its change
};

static enum result reserve(struct applying *a, size_t more)
{
    struct charsmap_scratch *s = a->s;
    if (s->room - a->len >= more)
        return RESULT_OK;
    if (more > OUT_MAX - a->len)
        return RESULT_LIMIT;
    size_t room = (a->len + more) * 3 / 2 + 256;
    char *text = alloc_resize(s->text, room);
    if (!text)
        return RESULT_NOMEM;
    s->text = text;
    uint32_t *from = alloc_resize(s->from, room * sizeof *from);
    if (!from)
        return RESULT_NOMEM;
    s->from = from;
    s->room = (uint32_t)room;
    return RESULT_OK;
}

static void skip_old(struct applying *a)
{
    unsigned n;
    if (a->old >= a->text.len)
        return;
    char_decode((const unsigned char *)a->text.ptr + a->old, &n);
    a->old += n;
}

static enum result flush(struct applying *a)
{
    if (!a->held)
        return RESULT_OK;
    enum result r = reserve(a, 4);
    if (r != RESULT_OK)
        return r;
    size_t from = a->change > 0 && a->old ? a->old - 1 : a->old;
    if (from >= a->text.len)
        from = a->text.len - 1;
    unsigned n = utf8_put(a->code, a->s->text + a->len);
    for (unsigned i = 0; i < n; i++)
        a->s->from[a->len++] = (uint32_t)from;
    for (int64_t i = a->change; i <= 0; i++)
        skip_old(a);
    a->held = false;
    return RESULT_OK;
}

static enum result put(struct applying *a, uint32_t code, int change)
{
    enum result r = flush(a);
    a->held = true;
    a->code = code;
    a->change = change;
    return r;
}

// Everything before `at` stayed as it was, so far unwritten.
static enum result begin_writing(struct applying *a, size_t at)
{
    a->modified = true;
    a->len = 0;
    if (!at)
        return RESULT_OK;
    unsigned n;
    size_t last = at - 1;
    while (((unsigned char)a->text.ptr[last] & 0xc0) == 0x80)
        last--;
    enum result r = reserve(a, at);
    if (r != RESULT_OK)
        return r;
    memcpy(a->s->text, a->text.ptr, last);
    for (size_t i = 0; i < last; i++)
        a->s->from[i] = (uint32_t)i;
    a->len = (uint32_t)last;
    a->old = last;
    return put(a, char_decode((const unsigned char *)a->text.ptr + last, &n), 0);
}

static int64_t count_chars(const unsigned char *p, size_t n)
{
    int64_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += (p[i] & 0xc0) != 0x80;
    return count;
}

// The `n` bytes of the text at `at` become `with`.
static enum result replace(struct applying *a, size_t at, size_t n, struct slice with)
{
    const unsigned char *p = (const unsigned char *)with.ptr;
    enum result r = a->modified ? RESULT_OK : begin_writing(a, at);
    int64_t fewer =
        count_chars((const unsigned char *)a->text.ptr + at, n) - count_chars(p, with.len);
    int64_t left = -fewer - count_chars(p, with.len); // below 0: characters that replace one each
    unsigned len;
    for (size_t i = 0; i < with.len && r == RESULT_OK; i += len, left++)
        r = put(a, char_decode(p + i, &len), fewer < 0 && left >= 0);
    if (fewer > 0 && a->held)
        a->change -= fewer;
    return r;
}

static enum result keep(struct applying *a, size_t at, size_t n)
{
    unsigned len;
    enum result r = RESULT_OK;
    if (!a->modified)
        return r;
    const unsigned char *p = (const unsigned char *)a->text.ptr;
    for (size_t i = at; i < at + n && r == RESULT_OK; i += len)
        r = put(a, char_decode(p + i, &len), 0);
    return r;
}

// Plain ASCII: by blocks while the alignment keeps up with the text.
static enum result keep_plain(struct applying *a, size_t at, size_t n)
{
    if (!a->modified)
        return RESULT_OK;
    enum result r = flush(a);
    if (r == RESULT_OK && a->old == at && n > 1) {
        r = reserve(a, n);
        if (r != RESULT_OK)
            return r;
        memcpy(a->s->text + a->len, a->text.ptr + at, n - 1);
        for (size_t i = 0; i < n - 1; i++)
            a->s->from[a->len + i] = (uint32_t)(at + i);
        a->len += (uint32_t)(n - 1);
        a->old += n - 1;
        at += n - 1;
        n = 1;
    }
    return r == RESULT_OK ? keep(a, at, n) : r;
}

static enum result apply_cluster(struct applying *a, size_t at, size_t end)
{
    const unsigned char *p = (const unsigned char *)a->text.ptr;
    enum result r = RESULT_OK;
    unsigned n;
    if (end - at < WHOLE_BYTES) {
        struct slice with = look_up(a->map, p + at, end - at);
        if (with.ptr)
            return replace(a, at, end - at, with);
    }
    for (; at < end && r == RESULT_OK; at += n) {
        char_decode(p + at, &n);
        struct slice with = look_up(a->map, p + at, n);
        r = with.ptr ? replace(a, at, n, with) : keep(a, at, n);
    }
    return r;
}

enum result charsmap_apply(const struct charsmap *c, struct charsmap_scratch *s, struct slice text,
                           struct slice *out, const uint32_t **from)
{
    const unsigned char *p = (const unsigned char *)text.ptr;
    struct applying a = {.map = c, .s = s, .text = text};
    enum result r = text.len > OUT_MAX ? RESULT_LIMIT : RESULT_OK;
    for (size_t at = 0; at < text.len && r == RESULT_OK;) {
        size_t end = at;
        while (end < text.len && c->plain[p[end]])
            end++;
        if (end < text.len && p[end] >= 0x80 && end > at)
            end--; // what follows may belong to the last one
        if (end > at) {
            r = keep_plain(&a, at, end - at);
            at = end;
            continue;
        }
        end = grapheme_end(p, text.len, at);
        r = apply_cluster(&a, at, end);
        at = end;
    }
    if (r == RESULT_OK && a.modified)
        r = flush(&a);
    *out = a.modified ? slice_make(s->text, a.len) : text;
    *from = a.modified ? s->from : NULL;
    return r;
}
