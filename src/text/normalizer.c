#include "text/normalizer.h"

#include "text/char_form.h"
#include "text/normalizer_steps.h"
#include "text/utf8.h"

enum result norm_reserve(struct norm_buf *b, uint32_t more)
{
    if (MERIT_LIKELY(b->room - b->len >= more && (!b->mapped || b->from_room - b->len >= more)))
        return RESULT_OK;
    if (more > NORMALIZER_BYTES_MAX - b->len)
        return RESULT_LIMIT;
    uint32_t need = b->len + more;
    if (b->room < need) {
        uint32_t room = need + need / 2 + 64;
        if (room > NORMALIZER_BYTES_MAX)
            room = NORMALIZER_BYTES_MAX;
        char *text = alloc_resize(b->text, room);
        if (!text)
            return RESULT_NOMEM;
        b->text = text;
        b->room = room;
    }
    if (b->mapped && b->from_room < need) {
        uint32_t *from = alloc_resize(b->from, b->room * sizeof *from);
        if (!from)
            return RESULT_NOMEM;
        b->from = from;
        b->from_room = b->room;
    }
    return RESULT_OK;
}

enum result norm_reserve_from(struct norm_buf *b, const struct norm_text *in)
{
    if (b->from_room < b->room) {
        uint32_t *from = alloc_resize(b->from, b->room * sizeof *from);
        if (!from)
            return RESULT_NOMEM;
        b->from = from;
        b->from_room = b->room;
    }
    for (uint32_t i = 0; i < b->len; i++)
        b->from[i] = in->from ? in->from[i] : i;
    b->mapped = true;
    return RESULT_OK;
}

enum result norm_copy(struct norm_buf *b, const struct norm_text *in, const char *p, uint32_t n,
                      uint32_t at)
{
    enum result r = norm_reserve(b, n);
    if (!r && !b->mapped && at != b->len)
        r = norm_reserve_from(b, in);
    if (r || !n)
        return r;
    if (p != b->text + b->len)
        memcpy(b->text + b->len, p, n);
    if (b->mapped) {
        for (uint32_t i = 0; i < n; i++)
            b->from[b->len + i] = in->from ? in->from[at + i] : at + i;
    }
    b->len += n;
    return RESULT_OK;
}

enum result norm_char(struct norm_buf *b, const struct norm_text *in, uint32_t code, uint32_t at)
{
    char bytes[4];
    unsigned n = utf8_put(code, bytes);
    uint32_t end = at;
    norm_next(in->text, &end);
    return end - at == n ? norm_copy(b, in, bytes, n, at) : norm_put(b, in, bytes, n, at);
}

static enum result lower(const struct norm_step *s, const struct norm_text *in,
                         struct norm_buf *out, bool *changed)
{
    const unsigned char *p = (const unsigned char *)in->text.ptr;
    uint32_t n = (uint32_t)in->text.len;
    enum result r = norm_reserve(out, n);
    *changed = true;
    for (uint32_t at = 0; !r && at < n;) {
        uint32_t begin = at;
        if (s->ascii[p[at]]) {
            r = norm_reserve(out, n - at);
            if (r)
                break;
            char *to = out->text + out->len;
            for (uint8_t c; at < n && (c = s->ascii[p[at]]); at++)
                *to++ = (char)c;
            r = norm_copy(out, in, out->text + out->len, at - begin, begin);
            continue;
        }
        uint32_t low[CHAR_LOWER_MAX];
        unsigned count = char_lower(norm_next(in->text, &at), low);
        for (unsigned i = 0; !r && i < count; i++)
            r = norm_char(out, in, low[i], begin);
    }
    return r;
}

// What `code` becomes, or UINT32_MAX where it is removed.
static uint32_t nmt(uint32_t code)
{
    if ((code >= 1 && code <= 8) || code == 0xb || (code >= 0xe && code <= 0x1f) || code == 0x7f ||
        code == 0x8f || code == 0x9f)
        return UINT32_MAX;
    if (code == '\t' || code == '\n' || code == '\f' || code == '\r' || code == 0x1680 ||
        (code >= 0x200b && code <= 0x200f) || code == 0x2028 || code == 0x2029 || code == 0x2581 ||
        code == 0xfeff || code == 0xfffd)
        return ' ';
    return code;
}

// Nmt and StripAccents: each character by itself.
static enum result each(const struct norm_step *s, const struct norm_text *in, struct norm_buf *out,
                        bool *changed)
{
    uint32_t n = (uint32_t)in->text.len, kept = 0;
    enum result r = RESULT_OK;
    for (uint32_t at = 0; !r && at < n;) {
        uint32_t begin = at, code = norm_next(in->text, &at);
        uint32_t to = s->kind == NORM_NMT ? nmt(code) : char_accent(code) ? UINT32_MAX : code;
        if (to == code)
            continue;
        *changed = true;
        r = norm_copy(out, in, in->text.ptr + kept, begin - kept, kept);
        kept = at;
        if (!r && to != UINT32_MAX)
            r = norm_char(out, in, to, begin);
    }
    return r || !*changed ? r : norm_copy(out, in, in->text.ptr + kept, n - kept, kept);
}

static enum result strip(const struct norm_step *s, const struct norm_text *in,
                         struct norm_buf *out, bool *changed)
{
    uint32_t begin = 0, end = 0, n = (uint32_t)in->text.len, at = 0;
    bool blank = true;
    while (at < n) {
        uint32_t here = at;
        if (char_white(norm_next(in->text, &at)))
            continue;
        if (blank)
            begin = here;
        blank = false;
        end = at;
    }
    if (blank)
        begin = s->left ? n : 0;
    if (!s->left)
        begin = 0;
    if (!s->right)
        end = n;
    if (end < begin)
        end = begin;
    if (begin == 0 && end == n)
        return RESULT_OK;
    *changed = true;
    return norm_copy(out, in, in->text.ptr + begin, end - begin, begin);
}

static enum result prepend(const struct norm_step *s, const struct norm_text *in,
                           struct norm_buf *out, bool *changed)
{
    if (!in->text.len || !s->content.len)
        return RESULT_OK;
    *changed = true;
    enum result r = norm_put(out, in, s->content.ptr, (uint32_t)s->content.len, 0);
    return r ? r : norm_copy(out, in, in->text.ptr, (uint32_t)in->text.len, 0);
}

static bool of_class(const struct norm_step *s, uint32_t code)
{
    for (uint32_t i = 0; i < s->class_count; i++) {
        if (s->class[i] == code)
            return true;
    }
    return s->class_white && char_white(code);
}

// Where the string next begins in `s`, or NULL. Most are a character or two; long ones are left to a linear search.
static const char *find(struct slice s, struct slice pattern)
{
    if (pattern.len > 8)
        return memmem(s.ptr, s.len, pattern.ptr, pattern.len);
    const char *end = s.ptr + s.len;
    for (const char *p = s.ptr; (size_t)(end - p) >= pattern.len; p++) {
        p = memchr(p, pattern.ptr[0], (size_t)(end - p));
        if (!p || (size_t)(end - p) < pattern.len)
            return NULL;
        if (memcmp(p, pattern.ptr, pattern.len) == 0)
            return p;
    }
    return NULL;
}

// The next match at or behind `*begin`; false when there is none.
static bool match(const struct norm_step *s, struct slice text, uint32_t *begin, uint32_t *end)
{
    uint32_t n = (uint32_t)text.len;
    if (s->pattern.len) {
        const char *p = find(slice_from(text, *begin), s->pattern);
        if (!p)
            return false;
        *begin = (uint32_t)(p - text.ptr);
        *end = *begin + (uint32_t)s->pattern.len;
        return true;
    }
    for (uint32_t at = *begin; at < n;) {
        uint32_t here = at, count = 0, behind = at;
        while (count < s->repeat_max && at < n && of_class(s, norm_next(text, &at))) {
            behind = at;
            count++;
        }
        if (count >= s->repeat_min) {
            *begin = here;
            *end = behind;
            return true;
        }
        if (!count)
            continue;
        at = behind;
    }
    return false;
}

static enum result replace(const struct norm_step *s, const struct norm_text *in,
                           struct norm_buf *out, bool *changed)
{
    uint32_t kept = 0, begin = 0, end, n = (uint32_t)in->text.len;
    enum result r = RESULT_OK;
    for (; !r && match(s, in->text, &begin, &end); begin = kept = end) {
        *changed = true;
        r = norm_copy(out, in, in->text.ptr + kept, begin - kept, kept);
        // What is put in stands for the last character that was taken out.
        uint32_t place = end - 1;
        if (!r && s->content.len == end - begin && end - begin == 1)
            r = norm_copy(out, in, s->content.ptr, 1, begin);
        else if (!r)
            r = norm_put(out, in, s->content.ptr, (uint32_t)s->content.len, place);
    }
    return r || !*changed ? r : norm_copy(out, in, in->text.ptr + kept, n - kept, kept);
}

static enum result map_chars(const struct norm_step *s, struct normalizer_scratch *scratch,
                             const struct norm_text *in, struct norm_buf *out, bool *changed)
{
    struct slice text;
    const uint32_t *from;
    enum result r = charsmap_apply(s->charsmap, &scratch->charsmap, in->text, &text, &from);
    if (r || !from)
        return r;
    *changed = true;
    out->mapped = true;
    r = norm_reserve(out, (uint32_t)text.len);
    if (r || !text.len)
        return r;
    memcpy(out->text, text.ptr, text.len);
    for (uint32_t i = 0; i < text.len; i++)
        out->from[i] = in->from ? in->from[from[i]] : from[i];
    out->len = (uint32_t)text.len;
    return r;
}

static enum result apply(const struct norm_step *s, struct normalizer_scratch *scratch,
                         const struct norm_text *in, struct norm_buf *out, bool *changed)
{
    switch (s->kind) {
    case NORM_BERT:
        return norm_bert(s, scratch, in, out, changed);
    case NORM_FORM:
        return norm_form(s, scratch, in, out, changed);
    case NORM_LOWER:
        return lower(s, in, out, changed);
    case NORM_NMT:
    case NORM_ACCENTS:
        return each(s, in, out, changed);
    case NORM_STRIP:
        return strip(s, in, out, changed);
    case NORM_PREPEND:
        return prepend(s, in, out, changed);
    case NORM_REPLACE:
        return replace(s, in, out, changed);
    case NORM_CHARSMAP:
        return map_chars(s, scratch, in, out, changed);
    }
    return RESULT_UNSUPPORTED;
}

enum result normalizer_apply(const struct normalizer *n, struct normalizer_scratch *s,
                             struct slice text, struct slice *out, const uint32_t **from)
{
    struct norm_text state = {text, NULL};
    *from = NULL;
    *out = text;
    if (text.len > NORMALIZER_BYTES_MAX)
        return RESULT_LIMIT;
    for (uint32_t i = 0; i < n->count && state.text.len; i++) {
        struct norm_buf *b = s->bufs;
        while ((state.text.ptr == b->text && b->text) || (state.from == b->from && b->from))
            b++;
        b->len = 0;
        b->mapped = false;
        bool changed = false;
        enum result r = apply(&n->steps[i], s, &state, b, &changed);
        if (r)
            return r;
        if (!changed)
            continue;
        state.text = slice_make(b->text, b->len);
        if (b->mapped)
            state.from = b->from;
    }
    *out = state.text;
    *from = state.from;
    return RESULT_OK;
}

enum result normalizer_scratch_open(struct normalizer_scratch **out)
{
    *out = alloc_zeroed(1, sizeof **out);
    return *out ? RESULT_OK : RESULT_NOMEM;
}

void normalizer_scratch_close(struct normalizer_scratch *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < MERIT_COUNT(s->bufs); i++) {
        alloc_free(s->bufs[i].text);
        alloc_free(s->bufs[i].from);
    }
    alloc_free(s->cluster.items);
    alloc_free(s->cluster.sorted);
    alloc_free(s->cluster.sources);
    charsmap_scratch_deinit(&s->charsmap);
    alloc_free(s);
}
