#include "lsp/text.h"

#include "base/alloc.h"

static uint32_t only_line[1];

void lsp_text_init(struct lsp_text *t, size_t cap)
{
    *t = (struct lsp_text){.lines = only_line, .line_count = 1};
    buf_init(&t->bytes, cap);
}

static void drop_lines(struct lsp_text *t)
{
    if (t->lines != only_line)
        alloc_free(t->lines);
    t->lines = only_line;
    t->line_count = 1;
    t->line_room = 0;
}

void lsp_text_deinit(struct lsp_text *t)
{
    drop_lines(t);
    buf_deinit(&t->bytes);
}

static enum result emptied(struct lsp_text *t, enum result r)
{
    drop_lines(t);
    buf_reset(&t->bytes);
    return r;
}

// Where the line behind the next end of a line begins, or 0 when there is none from `at` on.
static uint32_t next_line(struct slice s, uint32_t at)
{
    for (; at < s.len; at++) {
        if (s.ptr[at] == '\n')
            return at + 1;
        if (s.ptr[at] == '\r')
            return at + 1 + (at + 1 < s.len && s.ptr[at + 1] == '\n');
    }
    return 0;
}

static bool add_line(struct lsp_text *t, uint32_t begin)
{
    if (t->line_count >= t->line_room) {
        uint32_t room = t->line_room ? t->line_room * 2 : 64;
        uint32_t *grown =
            alloc_resize(t->lines == only_line ? NULL : t->lines, room * sizeof *grown);
        if (!grown)
            return false;
        grown[0] = 0;
        t->lines = grown;
        t->line_room = room;
    }
    t->lines[t->line_count++] = begin;
    return true;
}

// The line that holds a byte: the last one that begins at or before it.
static uint32_t line_of(const struct lsp_text *t, uint32_t offset)
{
    uint32_t low = 0, high = t->line_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (t->lines[middle] <= offset)
            low = middle;
        else
            high = middle;
    }
    return low;
}

enum result lsp_text_replace(struct lsp_text *t, struct span span, struct slice with)
{
    size_t len = t->bytes.len, tail = len - span.end, removed = span.end - span.begin;
    if (len - removed + with.len > UINT32_MAX)
        return emptied(t, RESULT_LIMIT);
    // What stands before the edit keeps its lines, but for one that may end with the \r of a \r\n that is cut in two.
    uint32_t line = line_of(t, span.begin > 0 ? span.begin - 1 : 0);
    if (with.len > removed && !buf_reserve(&t->bytes, with.len - removed))
        return emptied(t, buf_result(&t->bytes));
    char *at = t->bytes.ptr;
    if (with.len != removed && tail)
        memmove(at + span.begin + with.len, at + span.end, tail);
    if (with.len)
        memcpy(at + span.begin, with.ptr, with.len);
    t->bytes.len = len - removed + with.len;
    t->line_count = line + 1;
    struct slice text = lsp_text_slice(t);
    for (uint32_t next = t->lines[line]; (next = next_line(text, next)) != 0;)
        if (!add_line(t, next))
            return emptied(t, RESULT_NOMEM);
    return RESULT_OK;
}

struct slice lsp_text_line(const struct lsp_text *t, uint32_t line)
{
    struct slice text = lsp_text_slice(t);
    uint32_t begin = t->lines[line];
    size_t end = line + 1 < t->line_count ? t->lines[line + 1] : text.len;
    if (end > begin && text.ptr[end - 1] == '\n')
        end--;
    if (end > begin && text.ptr[end - 1] == '\r')
        end--;
    return slice_make(text.ptr + begin, end - begin);
}

// Bytes of the character that begins here, and how many units it counts. A byte that begins none counts one.
static unsigned character(struct slice s, size_t at, enum lsp_encoding e, unsigned *units)
{
    unsigned char c = (unsigned char)s.ptr[at];
    unsigned len = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    if (len > s.len - at)
        len = (unsigned)(s.len - at);
    *units = e == LSP_UTF8 ? len : e == LSP_UTF16 && len == 4 ? 2 : 1;
    return len;
}

uint32_t lsp_text_offset(const struct lsp_text *t, enum lsp_encoding e, struct lsp_position p)
{
    if (p.line >= t->line_count)
        return (uint32_t)t->bytes.len;
    struct slice line = lsp_text_line(t, p.line);
    uint32_t begin = t->lines[p.line], count = 0;
    size_t at = 0;
    while (at < line.len && count < p.character) {
        unsigned units, len = character(line, at, e, &units);
        if (count + units > p.character)
            break;
        count += units;
        at += len;
    }
    return begin + (uint32_t)at;
}

uint32_t lsp_text_width(struct slice text, enum lsp_encoding e)
{
    uint32_t count = 0;
    if (e == LSP_UTF8)
        return (uint32_t)text.len;
    for (size_t at = 0; at < text.len;) {
        unsigned units;
        at += character(text, at, e, &units);
        count += units;
    }
    return count;
}

struct lsp_position lsp_text_position(const struct lsp_text *t, enum lsp_encoding e,
                                      uint32_t offset)
{
    if (offset > t->bytes.len)
        offset = (uint32_t)t->bytes.len;
    uint32_t line = line_of(t, offset), begin = t->lines[line];
    struct slice whole = lsp_text_line(t, line), head = slice_head(whole, offset - begin);
    return (struct lsp_position){line, lsp_text_width(head, e)};
}

struct lsp_range lsp_text_range(const struct lsp_text *t, enum lsp_encoding e, struct span span)
{
    return (struct lsp_range){lsp_text_position(t, e, span.begin),
                              lsp_text_position(t, e, span.end)};
}
