#include "lsp/frame.h"

#include <stdio.h>

// Room for "Content-Length: N\r\n\r\n" is kept in front of a body, because its length is known behind it.
enum { HEAD_ROOM = 40 };

void lsp_frames_init(struct lsp_frames *f)
{
    *f = (struct lsp_frames){.utf8 = true};
    buf_init(&f->head, LSP_HEAD_MAX);
    buf_init(&f->body, LSP_BODY_MAX);
}

void lsp_frames_deinit(struct lsp_frames *f)
{
    buf_deinit(&f->head);
    buf_deinit(&f->body);
}

static enum result break_off(struct lsp_frames *f, const char *why)
{
    f->broken = why;
    return RESULT_PROTOCOL;
}

// The media type may name a charset; utf-8 and, of old clients, utf8 are known.
static bool is_utf8(struct slice value)
{
    ptrdiff_t at = slice_find(value, SLICE("charset="));
    if (at < 0)
        return true;
    struct slice name = slice_trim(slice_from(value, (size_t)at + 8));
    if (name.len >= 2 && name.ptr[0] == '"' && name.ptr[name.len - 1] == '"')
        name = slice_head(slice_from(name, 1), name.len - 2);
    return slice_ieq(name, SLICE("utf-8")) || slice_ieq(name, SLICE("utf8"));
}

// One header field; NULL, or what is wrong with it.
static const char *field(struct lsp_frames *f, struct slice line, bool *length)
{
    struct slice name, value = line;
    if (!memchr(line.ptr, ':', line.len))
        return "a header field has no colon";
    slice_split(&value, ':', &name);
    value = slice_trim(value);
    if (slice_ieq(name, SLICE("Content-Length"))) {
        if (*length)
            return "Content-Length stands twice";
        if (!slice_u64(value, &f->length))
            return "Content-Length is no number";
        *length = true;
    } else if (slice_ieq(name, SLICE("Content-Type"))) {
        f->utf8 = is_utf8(value);
    }
    return NULL;
}

static const char *read_head(struct lsp_frames *f)
{
    struct slice rest = slice_head(buf_slice(&f->head), f->head.len - 4), line;
    bool length = false;
    f->utf8 = true;
    while (rest.ptr) {
        slice_split(&rest, '\n', &line);
        if (line.len && line.ptr[line.len - 1] == '\r')
            line.len--;
        const char *wrong = field(f, line, &length);
        if (wrong)
            return wrong;
    }
    return length ? NULL : "the header names no Content-Length";
}

// Takes bytes up to the empty line. RESULT_OK when it has come.
static enum result take_head(struct lsp_frames *f, struct slice *bytes)
{
    while (bytes->len) {
        char c = bytes->ptr[0];
        *bytes = slice_from(*bytes, 1);
        if (f->head.len == LSP_HEAD_MAX)
            return break_off(f, "the header fields are longer than 4096 bytes");
        // A client that speaks something else is told at once, not after four kilobytes.
        if ((unsigned char)c < 32 && c != '\r' && c != '\n' && c != '\t')
            return break_off(f, "the header fields hold a control character");
        buf_byte(&f->head, c);
        if (buf_result(&f->head))
            return buf_result(&f->head);
        if (f->head.len >= 4 && memcmp(f->head.ptr + f->head.len - 4, "\r\n\r\n", 4) == 0)
            return RESULT_OK;
    }
    return RESULT_AGAIN;
}

enum result lsp_frames_next(struct lsp_frames *f, struct slice *bytes, struct slice *body)
{
    if (f->broken)
        return RESULT_PROTOCOL;
    if (!f->in_body) {
        enum result r = take_head(f, bytes);
        if (r)
            return r;
        const char *wrong = read_head(f);
        if (wrong)
            return break_off(f, wrong);
        buf_reset(&f->head);
        buf_reset(&f->body);
        f->in_body = true;
        f->left = f->length;
        f->skips = f->length > LSP_BODY_MAX || !f->utf8;
    }
    size_t take = f->left < bytes->len ? (size_t)f->left : bytes->len;
    if (!f->skips)
        buf_append(&f->body, bytes->ptr, take);
    *bytes = slice_from(*bytes, take);
    f->left -= take;
    if (buf_result(&f->body))
        return buf_result(&f->body);
    if (f->left)
        return RESULT_AGAIN;
    f->in_body = false;
    *body = f->body.ptr ? buf_slice(&f->body) : SLICE("");
    return !f->skips ? RESULT_OK : f->utf8 ? RESULT_LIMIT : RESULT_UNSUPPORTED;
}

size_t lsp_frame_begin(struct buf *out)
{
    size_t from = out->len;
    if (buf_reserve(out, HEAD_ROOM))
        out->len += HEAD_ROOM;
    return from;
}

enum result lsp_frame_end(struct buf *out, size_t from)
{
    char head[HEAD_ROOM + 1];
    enum result r = buf_result(out);
    if (r) {
        // A message is whole or is not sent.
        out->len = from;
        out->err = RESULT_OK;
        return r;
    }
    size_t length = out->len - from - HEAD_ROOM;
    int n = snprintf(head, sizeof head, "Content-Length: %zu\r\n\r\n", length);
    memmove(out->ptr + from + n, out->ptr + from + HEAD_ROOM, length);
    memcpy(out->ptr + from, head, (size_t)n);
    out->len = from + (size_t)n + length;
    return RESULT_OK;
}
