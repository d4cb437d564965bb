// Diagnostics, and the fixes that go with them.
#include <stdio.h>

#include "base/alloc.h"
#include "lsp/call.h"

static int severity(enum diag_severity s)
{
    return s == DIAG_ERROR ? 1 : s == DIAG_WARNING ? 2 : 3;
}

static void put_message(struct buf *out, const struct diag *d)
{
    struct buf text;
    buf_init(&text, 64 * 1024);
    buf_add(&text, d->message);
    if (d->help.len) {
        BUF_LIT(&text, "\n");
        buf_add(&text, d->help);
    }
    if (d->witness.len) {
        BUF_LIT(&text, "\nfor example ");
        buf_add(&text, d->witness);
    }
    json_write_string(out, buf_result(&text) ? d->message : buf_slice(&text));
    buf_deinit(&text);
}

static void finding(struct lsp_server *s, const struct lsp_document *d, const struct diag *f)
{
    struct buf *out = &s->out;
    BUF_LIT(out, "{\"range\":");
    lsp_put_range(out, lsp_text_range(&d->text, s->encoding, f->span));
    buf_printf(out, ",\"severity\":%d,\"code\":", severity(f->severity));
    json_write_string(out, slice_cstr(f->code));
    BUF_LIT(out, ",\"source\":\"merit\",\"message\":");
    put_message(out, f);
    if (f->witness.len) {
        BUF_LIT(out, ",\"data\":{\"witness\":");
        json_write_string(out, f->witness);
        BUF_LIT(out, "}");
    }
    if (slice_eq_cstr(slice_cstr(f->code), "unused"))
        BUF_LIT(out, ",\"tags\":[1]");
    if (s->related && f->also.begin != f->also.end) {
        BUF_LIT(out, ",\"relatedInformation\":[{\"location\":{\"uri\":");
        json_write_string(out, d->uri);
        BUF_LIT(out, ",\"range\":");
        lsp_put_range(out, lsp_text_range(&d->text, s->encoding, f->also));
        BUF_LIT(out, "},\"message\":");
        json_write_string(out, f->also_text);
        BUF_LIT(out, "}]");
    }
    BUF_LIT(out, "}");
}

static void lost(struct lsp_server *s, const struct lsp_document *d)
{
    BUF_LIT(&s->out, "{\"range\":{\"start\":{\"line\":0,\"character\":0},"
                     "\"end\":{\"line\":0,\"character\":0}},\"severity\":1,\"code\":\"limit\","
                     "\"source\":\"merit\",\"message\":");
    json_write_string(&s->out, slice_cstr(d->lost));
    BUF_LIT(&s->out, "}");
}

static size_t open_list(struct lsp_server *s, struct slice uri)
{
    size_t from = lsp_frame_begin(&s->out);
    BUF_LIT(&s->out, "{\"jsonrpc\":\"2.0\",\"method\":\"textDocument/publishDiagnostics\","
                     "\"params\":{\"uri\":");
    json_write_string(&s->out, uri);
    return from;
}

static void close_list(struct lsp_server *s, size_t from)
{
    BUF_LIT(&s->out, "]}}");
    if (lsp_frame_end(&s->out, from))
        BUF_LIT(&s->log, "merit policy lsp: the findings of a policy had no room\n");
}

void lsp_publish(struct lsp_server *s, struct lsp_document *d)
{
    const struct lsp_check *c = lsp_document_fresh(d);
    size_t from = open_list(s, d->uri);
    if (s->versions)
        buf_printf(&s->out, ",\"version\":%lld", (long long)d->version);
    BUF_LIT(&s->out, ",\"diagnostics\":[");
    if (d->lost)
        lost(s, d);
    for (uint32_t i = 0; c && i < c->diags.count; i++) {
        buf_cstr(&s->out, i ? "," : "");
        finding(s, d, &c->diags.items[i]);
    }
    if (c && c->diags.dropped) {
        struct diag more = {.severity = DIAG_NOTE, .code = "more"};
        char text[64];
        int n = snprintf(text, sizeof text, "and %u more findings", c->diags.dropped);
        more.message = slice_make(text, (size_t)n);
        buf_cstr(&s->out, c->diags.count ? "," : "");
        finding(s, d, &more);
    }
    close_list(s, from);
    d->errors_shown = d->lost || (c && c->diags.errors > 0);
}

void lsp_publish_none(struct lsp_server *s, struct slice uri)
{
    size_t from = open_list(s, uri);
    BUF_LIT(&s->out, ",\"diagnostics\":[");
    close_list(s, from);
}
