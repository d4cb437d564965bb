#include "base/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

enum {
    MESSAGE_MAX = 512,    // bytes of one message or help text
    SHOWN_LINE_MAX = 160, // bytes of a source line that are shown around the caret
    NEAREST_NAME_MAX = 64,
};

void diag_init(struct diag_list *l, struct arena *arena, uint32_t cap)
{
    *l = (struct diag_list){.arena = arena, .cap = cap};
}

static struct slice MERIT_PRINTF(2, 0) copy_text(struct arena *a, const char *fmt, va_list args)
{
    char text[MESSAGE_MAX];
    int n = vsnprintf(text, sizeof text, fmt, args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    // A cut must not leave half a character.
    if ((size_t)n > len)
        while (len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80)
            len--;
    struct slice s = arena_copy(a, slice_make(text, len));
    return s.ptr ? s : SLICE("out of memory");
}

static struct diag *next_item(struct diag_list *l)
{
    if (l->count == l->cap)
        return NULL;
    if (l->count == l->room) {
        uint32_t room = l->room ? l->room * 2 : 8;
        if (room > l->cap)
            room = l->cap;
        struct diag *items = ARENA_ARRAY(l->arena, struct diag, room);
        if (!items)
            return NULL;
        if (l->count)
            memcpy(items, l->items, l->count * sizeof *items);
        l->items = items;
        l->room = room;
    }
    return &l->items[l->count++];
}

struct diag *diag_add(struct diag_list *l, enum diag_severity severity, const char *code,
                      struct span span, const char *fmt, ...)
{
    struct diag *d = next_item(l);
    if (severity == DIAG_ERROR)
        l->errors++;
    if (!d)
        l->dropped++;
    // An error takes the place of something milder.
    for (uint32_t i = l->count; !d && severity == DIAG_ERROR && i-- > 0;)
        if (l->items[i].severity != DIAG_ERROR)
            d = &l->items[i];
    if (!d) {
        l->scratch = (struct diag){.severity = severity, .code = code, .span = span};
        return &l->scratch;
    }
    va_list args;
    va_start(args, fmt);
    *d = (struct diag){.severity = severity, .code = code, .span = span};
    d->message = copy_text(l->arena, fmt, args);
    va_end(args);
    return d;
}

void diag_witness(struct diag_list *l, struct diag *d, struct slice json)
{
    if (d != &l->scratch)
        d->witness = arena_copy(l->arena, json);
}

void diag_help(struct diag_list *l, struct diag *d, const char *fmt, ...)
{
    if (d == &l->scratch)
        return;
    va_list args;
    va_start(args, fmt);
    d->help = copy_text(l->arena, fmt, args);
    va_end(args);
}

void diag_also(struct diag_list *l, struct diag *d, struct span span, const char *fmt, ...)
{
    if (d == &l->scratch)
        return;
    va_list args;
    va_start(args, fmt);
    d->also = span;
    d->also_text = copy_text(l->arena, fmt, args);
    va_end(args);
}

void diag_secret(struct diag_list *l, struct span span)
{
    struct diag_secret *s = ARENA_NEW(l->arena, struct diag_secret);
    if (!s) {
        l->blind = true;
        return;
    }
    *s = (struct diag_secret){.span = span, .next = l->secrets};
    l->secrets = s;
}

void diag_position(struct slice source, uint32_t offset, uint32_t *line, uint32_t *column)
{
    uint32_t end = offset < source.len ? offset : (uint32_t)source.len;
    uint32_t begin = 0, n = 1;
    for (const char *p = source.ptr; end > 0;) {
        const char *at = memchr(p, '\n', (size_t)(source.ptr + end - p));
        if (!at)
            break;
        p = at + 1;
        begin = (uint32_t)(p - source.ptr);
        n++;
    }
    *line = n;
    *column = end - begin + 1;
}

static const char *severity_name(enum diag_severity s)
{
    return s == DIAG_ERROR ? "error" : s == DIAG_WARNING ? "warning" : "note";
}

static const char *paint(bool colour, const char *code)
{
    return colour ? code : "";
}

#define BOLD "\x1b[1m"
#define RED "\x1b[1;31m"
#define YELLOW "\x1b[1;33m"
#define BLUE "\x1b[1;34m"
#define CYAN "\x1b[1;36m"
#define PLAIN "\x1b[0m"

static const char *severity_colour(enum diag_severity s)
{
    return s == DIAG_ERROR ? RED : s == DIAG_WARNING ? YELLOW : CYAN;
}

static bool is_secret(const struct diag_list *l, uint32_t offset)
{
    for (const struct diag_secret *s = l->secrets; s; s = s->next)
        if (offset >= s->span.begin && offset < s->span.end)
            return true;
    return l->blind;
}

static unsigned digits(uint32_t v)
{
    unsigned n = 1;
    while (v >= 10) {
        v /= 10;
        n++;
    }
    return n;
}

static void pad(struct buf *out, size_t n, char c)
{
    while (n-- > 0)
        buf_byte(out, c);
}

static bool continues(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

// One place: the line it stands on and carets below it. Columns are counted in characters, so that carets fit below
// text that is not ASCII.
static void render_place(const struct diag_list *l, struct slice source, struct span span,
                         const char *colour, bool coloured, unsigned gutter, struct slice label,
                         struct buf *out)
{
    uint32_t line, column;
    diag_position(source, span.begin, &line, &column);
    uint32_t at = span.begin < source.len ? span.begin : (uint32_t)source.len;
    uint32_t begin = at - (column - 1), end = at;
    while (end < source.len && source.ptr[end] != '\n' && source.ptr[end] != '\r')
        end++;
    // A very long line is shown around the place only.
    uint32_t from = at - begin > SHOWN_LINE_MAX / 2 ? at - SHOWN_LINE_MAX / 2 : begin;
    uint32_t to = end - from > SHOWN_LINE_MAX ? from + SHOWN_LINE_MAX : end;
    while (from > begin && continues(source.ptr[from]))
        from--;
    while (to > from && to < end && continues(source.ptr[to]))
        to--;
    buf_printf(out, "%s%*u |%s ", paint(coloured, BLUE), (int)gutter, line, paint(coloured, PLAIN));
    for (uint32_t i = from; i < to; i++) {
        unsigned char c = (unsigned char)source.ptr[i];
        buf_byte(out, is_secret(l, i) ? '*' : c == '\t' ? ' ' : c < 32 || c == 127 ? '?' : (char)c);
    }
    buf_printf(out, "\n%s%*s |%s ", paint(coloured, BLUE), (int)gutter, "", paint(coloured, PLAIN));
    for (uint32_t i = from; i < at && i < to; i++)
        if (!continues(source.ptr[i]) || is_secret(l, i))
            buf_byte(out, ' ');
    buf_printf(out, "%s", paint(coloured, colour));
    size_t carets = 0;
    for (uint32_t i = at; i < span.end && i < to; i++)
        carets += !continues(source.ptr[i]) || is_secret(l, i);
    pad(out, carets ? carets : 1, '^');
    if (label.len) {
        buf_byte(out, ' ');
        buf_add(out, label);
    }
    buf_printf(out, "%s\n", paint(coloured, PLAIN));
}

static void render_one(const struct diag_list *l, const struct diag *d, struct slice source,
                       struct slice name, bool coloured, struct buf *out)
{
    uint32_t line, column, other = 0, other_column;
    diag_position(source, d->span.begin, &line, &column);
    bool also = d->also.begin != d->also.end;
    if (also)
        diag_position(source, d->also.begin, &other, &other_column);
    unsigned gutter = digits(other > line ? other : line);
    const char *colour = severity_colour(d->severity);
    buf_printf(out, "%s%s[%s]%s%s: ", paint(coloured, colour), severity_name(d->severity), d->code,
               paint(coloured, PLAIN), paint(coloured, BOLD));
    buf_add(out, d->message);
    buf_printf(out, "%s\n%s%*s-->%s ", paint(coloured, PLAIN), paint(coloured, BLUE), (int)gutter,
               "", paint(coloured, PLAIN));
    buf_add(out, name);
    buf_printf(out, ":%u:%u\n", line, column);
    // What is said of the same place stands behind its carets; the line is not shown twice.
    bool same = also && d->also.begin == d->span.begin && d->also.end == d->span.end;
    render_place(l, source, d->span, colour, coloured, gutter, same ? d->also_text : SLICE_EMPTY,
                 out);
    if (also && !same)
        render_place(l, source, d->also, BLUE, coloured, gutter, d->also_text, out);
    if (d->help.len) {
        buf_printf(out, "%s%*s =%s help: ", paint(coloured, BLUE), (int)gutter, "",
                   paint(coloured, PLAIN));
        buf_add(out, d->help);
        buf_byte(out, '\n');
    }
    if (d->witness.len) {
        buf_printf(out, "%s%*s =%s witness: ", paint(coloured, BLUE), (int)gutter, "",
                   paint(coloured, PLAIN));
        buf_add(out, d->witness);
        buf_byte(out, '\n');
    }
    buf_byte(out, '\n');
}

// Indexes by begin, then by the order of arrival: a merge of runs would be more than a few hundred findings deserve.
static uint32_t *in_order(const struct diag_list *l)
{
    uint32_t *order = alloc_bytes(l->count * sizeof *order);
    if (!order)
        return NULL;
    for (uint32_t i = 0; i < l->count; i++) {
        uint32_t at = i;
        while (at > 0 && l->items[order[at - 1]].span.begin > l->items[i].span.begin) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = i;
    }
    return order;
}

void diag_render(const struct diag_list *l, struct slice source, struct slice name, bool colour,
                 struct buf *out)
{
    uint32_t *order = in_order(l);
    for (uint32_t i = 0; i < l->count; i++)
        render_one(l, &l->items[order ? order[i] : i], source, name, colour, out);
    alloc_free(order);
    if (l->dropped)
        buf_printf(out, "and %u more\n", l->dropped);
}

static void json_string(struct buf *out, struct slice s)
{
    buf_byte(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\') {
            buf_byte(out, '\\');
            buf_byte(out, (char)c);
        } else if (c < 32) {
            buf_printf(out, "\\u%04x", c);
        } else {
            buf_byte(out, (char)c);
        }
    }
    buf_byte(out, '"');
}

void diag_render_json(const struct diag_list *l, struct slice source, struct buf *out)
{
    uint32_t *order = in_order(l);
    buf_byte(out, '[');
    for (uint32_t i = 0; i < l->count; i++) {
        const struct diag *d = &l->items[order ? order[i] : i];
        uint32_t line, column, end_line, end_column;
        diag_position(source, d->span.begin, &line, &column);
        diag_position(source, d->span.end, &end_line, &end_column);
        buf_printf(out, "%s{\"severity\": \"%s\", \"code\": \"%s\", \"line\": %u, \"column\": %u, ",
                   i ? ",\n " : "", severity_name(d->severity), d->code, line, column);
        buf_printf(out, "\"end_line\": %u, \"end_column\": %u, \"message\": ", end_line,
                   end_column);
        json_string(out, d->message);
        BUF_LIT(out, ", \"help\": ");
        json_string(out, d->help);
        if (d->witness.len) {
            BUF_LIT(out, ", \"witness\": ");
            buf_add(out, d->witness);
        }
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
    alloc_free(order);
}

// Optimal string alignment: insert, delete, replace, swap of neighbours each cost one. Gives `limit` + 1 when more.
static unsigned distance(struct slice a, struct slice b, unsigned limit)
{
    uint8_t rows[3][NEAREST_NAME_MAX + 1];
    size_t apart = a.len > b.len ? a.len - b.len : b.len - a.len;
    if (apart > limit)
        return limit + 1;
    for (size_t j = 0; j <= b.len; j++)
        rows[0][j] = (uint8_t)j;
    for (size_t i = 1; i <= a.len; i++) {
        uint8_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *two = rows[(i + 1) % 3];
        row[0] = (uint8_t)i;
        for (size_t j = 1; j <= b.len; j++) {
            unsigned best = above[j - 1] + (a.ptr[i - 1] != b.ptr[j - 1]);
            if (above[j] + 1u < best)
                best = above[j] + 1u;
            if (row[j - 1] + 1u < best)
                best = row[j - 1] + 1u;
            if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1] &&
                two[j - 2] + 1u < best)
                best = two[j - 2] + 1u;
            row[j] = (uint8_t)best;
        }
    }
    return rows[a.len % 3][b.len];
}

int diag_nearest(struct slice name, const struct slice *candidates, size_t count)
{
    if (name.len == 0 || name.len > NEAREST_NAME_MAX)
        return -1;
    unsigned limit = (unsigned)(name.len + 2) / 3, best = limit + 1;
    int found = -1;
    for (size_t i = 0; i < count && best > 0; i++) {
        if (candidates[i].len == 0 || candidates[i].len > NEAREST_NAME_MAX)
            continue;
        unsigned d = distance(name, candidates[i], best - 1);
        if (d < best && d < name.len) {
            best = d;
            found = (int)i;
        }
    }
    return found;
}
