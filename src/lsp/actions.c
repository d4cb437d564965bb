// Quick fixes: what the help of a finding says, done. One is offered only when the finding is gone with it, which is
// tried before.
#include <stdio.h>

#include "base/alloc.h"
#include "lsp/call.h"

enum { FIXES_MAX = 20 };

// The text between the last pair of backticks; false when there is none.
static bool quoted(struct slice help, struct slice *out)
{
    size_t end = help.len;
    while (end > 0 && help.ptr[end - 1] != '`')
        end--;
    if (end == 0)
        return false;
    size_t begin = --end;
    while (begin > 0 && help.ptr[begin - 1] != '`')
        begin--;
    *out = slice_make(help.ptr + begin, end - begin);
    return begin > 0 && end > begin;
}

bool lsp_replacement(const struct diag *d, struct slice source, struct slice *text)
{
    static const char *const starts[] = {"did you mean `", "write a space before the unit: `",
                                         "to let a model answer write `", "put it in quotes: `"};
    if (d->span.begin >= d->span.end || d->span.end > source.len || !quoted(d->help, text))
        return false;
    struct slice here = slice_make(source.ptr + d->span.begin, d->span.end - d->span.begin);
    for (size_t i = 0; i < MERIT_COUNT(starts); i++)
        if (slice_starts_with(d->help, slice_cstr(starts[i])))
            return true;
    // `=` for `==`, and a word that wants quotes.
    if (!slice_starts_with(d->help, SLICE("write `")))
        return false;
    return (slice_eq(here, SLICE("=")) && slice_eq(*text, SLICE("=="))) ||
           (text->len == here.len + 2 && text->ptr[0] == '"' &&
            slice_eq(slice_head(slice_from(*text, 1), here.len), here));
}

struct fix {
    struct span span;
    struct slice text;
    char title[160];
};

// A statement with the lines it stands on, for its removal.
static struct span statement_lines(const struct lsp_call *c, uint32_t offset)
{
    uint32_t token = 0;
    lsp_token_at(c->tree, offset, &token);
    const struct token *at = c->tree->tokens.at;
    uint32_t first = lsp_statement_begin(c->tree, token), end = lsp_statement_end(c->tree, token);
    const struct lsp_text *text = &c->document->text;
    uint32_t line = lsp_text_position(text, LSP_UTF8, at[end - 1].end).line;
    struct span s = {at[first].begin, (uint32_t)text->bytes.len};
    if (line + 1 < text->line_count)
        s.end = text->lines[line + 1];
    return s;
}

static bool fix_of(struct lsp_call *c, const struct diag *d, struct fix *f)
{
    struct slice source = c->tree->source, code = slice_cstr(d->code);
    f->span = d->span;
    if (lsp_replacement(d, source, &f->text)) {
        struct slice here = slice_make(source.ptr + d->span.begin, d->span.end - d->span.begin);
        bool quotes =
            here.ptr[0] == '"' && f->text.ptr[0] != '"' && !slice_eq(code, SLICE("unknown-word"));
        if (quotes)
            f->text = arena_printf(&c->message->arena, "\"%.*s\"", SLICE_FMT(f->text));
        snprintf(f->title, sizeof f->title, "Write %.*s", SLICE_FMT(f->text));
        return f->text.ptr;
    }
    if (slice_eq(code, SLICE("unused")) && c->tree->tokens.count) {
        f->span = statement_lines(c, d->span.begin);
        f->text = SLICE("");
        snprintf(f->title, sizeof f->title, "Remove what nobody uses");
        return true;
    }
    if (slice_eq(code, SLICE("missing")) &&
        slice_starts_with(d->help, SLICE("begin the file with"))) {
        f->span = (struct span){0, 0};
        f->text = SLICE("policy \"home\" version 1\n\n");
        snprintf(f->title, sizeof f->title, "Write a header");
        return true;
    }
    if (slice_eq(code, SLICE("missing")) && slice_starts_with(d->help, SLICE("end it with"))) {
        f->span = (struct span){(uint32_t)source.len, (uint32_t)source.len};
        f->text = source.len && source.ptr[source.len - 1] == '\n'
                      ? SLICE("otherwise -> answer(any)\n")
                      : SLICE("\notherwise -> answer(any)\n");
        snprintf(f->title, sizeof f->title, "Let any model answer what is left");
        return true;
    }
    return false;
}

// Whether the finding is gone when the fix is made.
static bool mends(struct lsp_call *c, const struct diag *d, const struct fix *f)
{
    struct slice source = c->tree->source;
    struct buf text;
    bool gone = true;
    buf_init(&text, POLICY_BYTES_MAX);
    buf_append(&text, source.ptr, f->span.begin);
    buf_add(&text, f->text);
    buf_add(&text, slice_from(source, f->span.end));
    struct lsp_check *k = buf_result(&text)
                              ? NULL
                              : lsp_check_open(0, 0, buf_slice(&text), c->server->registry, false);
    buf_deinit(&text);
    if (!k)
        return false;
    lsp_check_run(k);
    for (uint32_t i = 0; i < k->diags.count; i++)
        gone &= strcmp(k->diags.items[i].code, d->code) != 0 ||
                !slice_eq(k->diags.items[i].message, d->message);
    lsp_check_close(k);
    return gone;
}

static void put(struct lsp_call *c, const struct diag *d, const struct fix *f, bool first)
{
    buf_cstr(c->out, first ? "{\"title\":" : ",{\"title\":");
    json_write_string(c->out, slice_cstr(f->title));
    BUF_LIT(c->out, ",\"kind\":\"quickfix\",\"isPreferred\":true,\"diagnostics\":[{\"range\":");
    lsp_put_range(c->out, lsp_call_range(c, d->span));
    BUF_LIT(c->out, ",\"message\":");
    json_write_string(c->out, d->message);
    BUF_LIT(c->out, ",\"source\":\"merit\",\"code\":");
    json_write_string(c->out, slice_cstr(d->code));
    BUF_LIT(c->out, "}],\"edit\":{\"changes\":{");
    json_write_string(c->out, c->document->uri);
    BUF_LIT(c->out, ":[");
    lsp_put_edit(c, f->span, f->text);
    BUF_LIT(c->out, "]}}}");
}

void lsp_actions(struct lsp_call *c)
{
    const struct lsp_check *check = lsp_document_fresh(c->document);
    struct lsp_range range;
    if (!lsp_range_read(c->message, lsp_get(c->message, c->params, "range"), &range)) {
        lsp_fail(c, LSP_INVALID_PARAMS, "there is no range");
        return;
    }
    uint32_t begin = lsp_text_offset(&c->document->text, c->server->encoding, range.start),
             end = lsp_text_offset(&c->document->text, c->server->encoding, range.end), made = 0;
    BUF_LIT(c->out, "[");
    for (uint32_t i = 0; check && c->tree && c->server->fixes && i < check->diags.count; i++) {
        const struct diag *d = &check->diags.items[i];
        struct fix f;
        if (d->span.begin > end || d->span.end < begin || made == FIXES_MAX || !fix_of(c, d, &f) ||
            !mends(c, d, &f))
            continue;
        put(c, d, &f, made++ == 0);
    }
    BUF_LIT(c->out, "]");
}
