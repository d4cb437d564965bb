// Normalisation forms and BertNormalizer: the steps that look at characters together.
#include "text/char_form.h"
#include "text/normalizer_steps.h"
#include "text/utf8.h"

enum { INSERTION_MAX = 24 }; // longer runs of marks are sorted by counting

static enum result grow(void **at, uint32_t *room, uint32_t need, size_t size)
{
    if (need <= *room)
        return RESULT_OK;
    if (need > NORMALIZER_BYTES_MAX)
        return RESULT_LIMIT;
    uint32_t more = need + need / 2 + 64;
    if (more > NORMALIZER_BYTES_MAX)
        more = NORMALIZER_BYTES_MAX;
    void *p = alloc_resize(*at, more * size);
    if (!p)
        return RESULT_NOMEM;
    *at = p;
    *room = more;
    return RESULT_OK;
}

// Takes in the decomposition of the character at `at`.
static enum result cluster_add(struct norm_cluster *c, const uint32_t *out, unsigned n, uint32_t at)
{
    enum result r = grow((void **)&c->items, &c->item_room, c->item_count + n, sizeof *c->items);
    if (!r)
        r = grow((void **)&c->sources, &c->source_room, c->source_count + 1, sizeof *c->sources);
    if (r)
        return r;
    c->sources[c->source_count++] = at;
    for (unsigned i = 0; i < n; i++)
        c->items[c->item_count++] = (struct norm_item){out[i], i > 0, char_combining(out[i])};
    return RESULT_OK;
}

static enum result order_run(struct norm_cluster *c, struct norm_item *run, uint32_t n)
{
    if (n <= INSERTION_MAX) {
        for (uint32_t i = 1; i < n; i++) {
            struct norm_item item = run[i];
            uint32_t k = i;
            for (; k && run[k - 1].combining > item.combining; k--)
                run[k] = run[k - 1];
            run[k] = item;
        }
        return RESULT_OK;
    }
    enum result r = grow((void **)&c->sorted, &c->sorted_room, n, sizeof *c->sorted);
    if (r)
        return r;
    uint32_t begin[257] = {0};
    for (uint32_t i = 0; i < n; i++)
        begin[run[i].combining + 1]++;
    for (unsigned i = 1; i < 257; i++)
        begin[i] += begin[i - 1];
    for (uint32_t i = 0; i < n; i++)
        c->sorted[begin[run[i].combining]++] = run[i];
    memcpy(run, c->sorted, n * sizeof *run);
    return RESULT_OK;
}

// Puts the marks behind each starter into canonical order. Linear.
static enum result cluster_order(struct norm_cluster *c)
{
    enum result r = RESULT_OK;
    for (uint32_t i = 0, end; !r && i < c->item_count; i = end) {
        end = i + 1;
        if (!c->items[i].combining)
            continue;
        while (end < c->item_count && c->items[end].combining)
            end++;
        r = order_run(c, c->items + i, end - i);
    }
    return r;
}

// Joins what can be joined, as in the reference: a mark is blocked by one before it of the same or a higher class.
static void compose(struct norm_cluster *c)
{
    struct norm_item *items = c->items;
    uint32_t count = 0, starter = UINT32_MAX;
    int last = -1; // class of the last mark that stayed behind the starter
    for (uint32_t i = 0; i < c->item_count; i++) {
        struct norm_item item = items[i];
        if (starter != UINT32_MAX && last < (int)item.combining) {
            uint32_t composite = char_compose(items[starter].code, item.code);
            if (composite) {
                items[starter].code = composite;
                items[starter].change = (int16_t)(items[starter].change + item.change - 1);
                continue;
            }
        }
        if (!item.combining) {
            starter = count;
            last = -1;
        } else {
            last = item.combining;
        }
        items[count++] = item;
    }
    c->item_count = count;
}

static void cluster_reset(struct norm_cluster *c)
{
    c->item_count = c->source_count = 0;
}

static enum result form_flush(const struct norm_step *s, struct norm_cluster *c,
                              const struct norm_text *in, struct norm_buf *out)
{
    enum result r = cluster_order(c);
    if (!r && s->compose)
        compose(c);
    for (uint32_t i = 0, next = 0; !r && i < c->item_count; i++) {
        uint32_t at = norm_cluster_place(c, i, &next);
        r = norm_char(out, in, c->items[i].code, at);
    }
    cluster_reset(c);
    return r;
}

// Behind the run of characters from `at` on that stay as they are unless marks follow; `*last` is the last of them.
static uint32_t safe_run(const struct norm_step *s, struct slice text, uint32_t at, uint32_t *last)
{
    const unsigned char *p = (const unsigned char *)text.ptr;
    while (at < text.len) {
        uint32_t begin = at;
        if (p[at] < 0x80) {
            do {
                at++;
            } while (at < text.len && p[at] < 0x80);
            *last = at - 1;
            continue;
        }
        uint32_t parts[CHAR_DECOMPOSED_MAX], code = norm_next(text, &at);
        if (char_decompose(code, s->compatible, parts) > 1 || parts[0] != code ||
            !char_starts(code))
            return begin;
        *last = begin;
    }
    return at;
}

enum result norm_form(const struct norm_step *s, struct normalizer_scratch *scratch,
                      const struct norm_text *in, struct norm_buf *out, bool *changed)
{
    struct slice text = in->text;
    struct norm_cluster *c = &scratch->cluster;
    uint32_t at = 0, last = 0, n = (uint32_t)text.len, run = safe_run(s, text, 0, &last);
    enum result r = RESULT_OK;
    if (run == n)
        return r;
    *changed = true;
    cluster_reset(c);
    while (!r && at < n) {
        run = safe_run(s, text, at, &last);
        uint32_t copy = run == n ? n : run > at ? last : at;
        r = norm_copy(out, in, text.ptr + at, copy - at, at);
        at = copy;
        for (bool first = true; !r && at < n; first = false) {
            uint32_t begin = at, code = norm_next(text, &at), parts[CHAR_DECOMPOSED_MAX];
            unsigned count = char_decompose(code, s->compatible, parts);
            if (!first && char_starts(parts[0])) {
                at = begin;
                break;
            }
            r = cluster_add(c, parts, count, begin);
        }
        if (!r)
            r = form_flush(s, c, in, out);
    }
    return r;
}

static enum result bert_put(const struct norm_step *s, const struct norm_text *in,
                            struct norm_buf *out, uint32_t code, uint32_t at)
{
    uint32_t low[CHAR_LOWER_MAX] = {code};
    unsigned n = s->lower ? char_lower(code, low) : 1;
    enum result r = norm_char(out, in, low[0], at);
    return n > 1 && !r ? norm_char(out, in, low[1], at) : r;
}

static enum result bert_flush(const struct norm_step *s, struct norm_cluster *c,
                              const struct norm_text *in, struct norm_buf *out)
{
    enum result r = cluster_order(c);
    for (uint32_t i = 0, next = 0; !r && i < c->item_count; i++) {
        uint32_t at = norm_cluster_place(c, i, &next);
        if (!char_bert_mark(c->items[i].code))
            r = bert_put(s, in, out, c->items[i].code, at);
    }
    cluster_reset(c);
    return r;
}

static enum result bert_take(const struct norm_step *s, struct norm_cluster *c,
                             const struct norm_text *in, struct norm_buf *out, uint32_t code,
                             uint32_t at)
{
    if (!s->strip_accents)
        return bert_put(s, in, out, code, at);
    uint32_t parts[CHAR_DECOMPOSED_MAX];
    unsigned n = char_decompose(code, false, parts);
    enum result r = RESULT_OK;
    if (c->item_count && !char_combining(parts[0]))
        r = bert_flush(s, c, in, out);
    return r ? r : cluster_add(c, parts, n, at);
}

// One character that the table of bytes does not settle.
static enum result bert_char(const struct norm_step *s, struct norm_cluster *c,
                             const struct norm_text *in, struct norm_buf *out, uint32_t *at)
{
    uint32_t begin = *at, code = norm_next(in->text, at);
    if (s->clean) {
        if (char_bert_removed(code))
            return RESULT_OK;
        if (char_white(code))
            code = ' ';
    }
    bool apart = s->han && char_bert_han(code);
    enum result r = apart ? bert_take(s, c, in, out, ' ', begin) : RESULT_OK;
    if (!r)
        r = bert_take(s, c, in, out, code, begin);
    if (!r && apart)
        r = bert_take(s, c, in, out, ' ', begin);
    return r;
}

enum result norm_bert(const struct norm_step *s, struct normalizer_scratch *scratch,
                      const struct norm_text *in, struct norm_buf *out, bool *changed)
{
    struct norm_cluster *c = &scratch->cluster;
    const unsigned char *p = (const unsigned char *)in->text.ptr;
    uint32_t n = (uint32_t)in->text.len;
    enum result r = norm_reserve(out, n);
    *changed = true;
    cluster_reset(c);
    for (uint32_t at = 0; !r && at < n;) {
        uint32_t begin = at;
        if (s->ascii[p[at]]) {
            if (c->item_count)
                r = bert_flush(s, c, in, out);
            if (!r)
                r = norm_reserve(out, n - at);
            if (r)
                break;
            char *to = out->text + out->len;
            for (uint8_t low; at < n && (low = s->ascii[p[at]]); at++)
                *to++ = (char)low;
            r = norm_copy(out, in, out->text + out->len, at - begin, begin);
            continue;
        }
        r = bert_char(s, c, in, out, &at);
    }
    if (!r && c->item_count)
        r = bert_flush(s, c, in, out);
    return r;
}
