// Formatting: the lines that change, and no others.
#include "base/alloc.h"
#include "lsp/call.h"
#include "policy/fmt.h"

// The lines of both texts, walked side by side. The formatter moves no words from line to line, so that a line of one
// has its partner in the other, but for blank ones.
struct walk {
    struct lsp_call *c;
    struct slice old, new;
    uint32_t old_at, new_at; // offsets
    uint32_t edit_old, edit_new;
    bool in_edit, any;
};

static struct slice line_at(struct slice s, uint32_t at)
{
    struct slice rest = slice_from(s, at);
    const char *end = rest.len ? memchr(rest.ptr, '\n', rest.len) : NULL;
    return end ? slice_head(rest, (size_t)(end - rest.ptr) + 1) : rest;
}

static bool is_blank(struct slice line)
{
    for (size_t i = 0; i < line.len; i++)
        if (line.ptr[i] != ' ' && line.ptr[i] != '\t' && line.ptr[i] != '\r' && line.ptr[i] != '\n')
            return false;
    return true;
}

static void flush(struct walk *w)
{
    if (!w->in_edit)
        return;
    buf_cstr(w->c->out, w->any ? "," : "");
    lsp_put_edit(w->c, (struct span){w->edit_old, w->old_at},
                 slice_make(w->new.ptr + w->edit_new, w->new_at - w->edit_new));
    w->any = true;
    w->in_edit = false;
}

static void begin(struct walk *w)
{
    if (w->in_edit)
        return;
    w->in_edit = true;
    w->edit_old = w->old_at;
    w->edit_new = w->new_at;
}

static void edits(struct walk *w)
{
    while (w->old_at < w->old.len || w->new_at < w->new.len) {
        struct slice a = line_at(w->old, w->old_at), b = line_at(w->new, w->new_at);
        bool same = a.len && slice_eq(a, b);
        if (same)
            flush(w);
        else
            begin(w);
        bool only_old = !same && (b.len == 0 || (is_blank(a) && a.len && !is_blank(b))),
             only_new = !same && !only_old && (a.len == 0 || (is_blank(b) && !is_blank(a)));
        w->old_at += only_new ? 0 : (uint32_t)a.len;
        w->new_at += only_old ? 0 : (uint32_t)b.len;
    }
    flush(w);
}

void lsp_format(struct lsp_call *c)
{
    struct buf out;
    buf_init(&out, 64 * 1024 * 1024);
    enum result r = c->tree ? fmt_policy(c->tree, &out) : RESULT_SYNTAX;
    struct walk w = {.c = c, .new = out.ptr ? buf_slice(&out) : SLICE("")};
    if (r == RESULT_SYNTAX) {
        // Nothing is moved in a text that cannot be read; the diagnostics say why.
        BUF_LIT(c->out, "null");
    } else if (r) {
        lsp_fail(c, LSP_INTERNAL_ERROR, "cannot format: %s", result_name(r));
    } else {
        w.old = c->tree->source;
        BUF_LIT(c->out, "[");
        edits(&w);
        BUF_LIT(c->out, "]");
    }
    buf_deinit(&out);
}
