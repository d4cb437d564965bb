// The life of a session, and which function answers what.
#include "lsp/server.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "lsp/call.h"

enum { LOG_BYTES_MAX = 1024 * 1024 };

enum result lsp_server_open(const struct signal_registry *registry, struct lsp_server **out)
{
    *out = NULL;
    struct lsp_server *s = alloc_zeroed(1, sizeof *s);
    if (!s)
        return RESULT_NOMEM;
    s->registry = registry;
    s->encoding = LSP_UTF16;
    arena_init(&s->arena, 0, 4 * 1024 * 1024);
    lsp_frames_init(&s->frames);
    buf_init(&s->out, LSP_OUTPUT_MAX);
    buf_init(&s->log, LOG_BYTES_MAX);
    enum result r = lsp_grammar_open(LSP_GRAMMAR, &s->arena, &s->grammar);
    if (r) {
        lsp_server_close(s);
        return r;
    }
    *out = s;
    return RESULT_OK;
}

static struct lsp_message *take(struct lsp_server *s)
{
    struct lsp_message *m = s->first;
    if (!m)
        return NULL;
    s->first = m->next;
    s->last = s->first ? s->last : NULL;
    s->waiting--;
    s->waiting_bytes -= m->json.text.len;
    return m;
}

void lsp_server_close(struct lsp_server *s)
{
    if (!s)
        return;
    struct lsp_message *m;
    while ((m = take(s)))
        lsp_message_close(m);
    lsp_documents_deinit(&s->documents);
    lsp_frames_deinit(&s->frames);
    buf_deinit(&s->out);
    buf_deinit(&s->log);
    arena_deinit(&s->arena);
    alloc_free(s);
}

static void MERIT_PRINTF(2, 3) note(struct lsp_server *s, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (s->log.len + sizeof text < LOG_BYTES_MAX)
        buf_printf(&s->log, "merit policy lsp: %s\n", text);
}

static void reply_error(struct lsp_server *s, struct slice id, int code, struct slice why)
{
    size_t from = lsp_frame_begin(&s->out);
    BUF_LIT(&s->out, "{\"jsonrpc\":\"2.0\",\"id\":");
    buf_add(&s->out, id.len ? id : SLICE("null"));
    buf_printf(&s->out, ",\"error\":{\"code\":%d,\"message\":", code);
    json_write_string(&s->out, why);
    BUF_LIT(&s->out, "}}");
    if (lsp_frame_end(&s->out, from))
        note(s, "an answer had no room");
}

void lsp_fail(struct lsp_call *c, int code, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    c->error = code;
    size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    c->why = arena_copy(&c->message->arena, slice_make(text, len));
}

// Requests.

static void position_encoding(struct lsp_server *s, const struct lsp_message *m)
{
    uint32_t list = lsp_find(m, m->params, "capabilities.general.positionEncodings"), at = 0, one;
    s->encoding = LSP_UTF16;
    if (list == JSON_NONE || json_type(&m->json, list) != JSON_ARRAY)
        return;
    while (json_element(&m->json, list, &at, &one))
        if (json_type(&m->json, one) == JSON_STRING &&
            json_string_is(&m->json, one, SLICE("utf-8")))
            s->encoding = LSP_UTF8;
}

static bool capable(const struct lsp_message *m, const char *path)
{
    return json_bool(&m->json, lsp_find(m, m->params, path), false);
}

static void initialize(struct lsp_call *c)
{
    struct lsp_server *s = c->server;
    struct lsp_message *m = c->message;
    uint32_t formats = lsp_find(m, m->params, "capabilities.textDocument.hover.contentFormat"),
             at = 0, one;
    if (m->params == JSON_NONE || json_type(&m->json, m->params) != JSON_OBJECT) {
        lsp_fail(c, LSP_INVALID_PARAMS, "initialize has no parameters");
        return;
    }
    position_encoding(s, m);
    if (formats != JSON_NONE && json_type(&m->json, formats) == JSON_ARRAY)
        while (json_element(&m->json, formats, &at, &one))
            s->markdown |= json_type(&m->json, one) == JSON_STRING &&
                           json_string_is(&m->json, one, SLICE("markdown"));
    s->outline_tree =
        capable(m, "capabilities.textDocument.documentSymbol.hierarchicalDocumentSymbolSupport");
    s->related = capable(m, "capabilities.textDocument.publishDiagnostics.relatedInformation");
    s->versions = capable(m, "capabilities.textDocument.publishDiagnostics.versionSupport");
    s->fixes =
        lsp_find(m, m->params, "capabilities.textDocument.codeAction.codeActionLiteralSupport") !=
        JSON_NONE;
    if (json_u64(&m->json, lsp_get(m, m->params, "processId"), &s->client))
        s->client = 0;
    s->life = LSP_RUNNING;
    BUF_LIT(c->out, "{\"capabilities\":{\"positionEncoding\":");
    buf_cstr(c->out, s->encoding == LSP_UTF8 ? "\"utf-8\"" : "\"utf-16\"");
    BUF_LIT(c->out, ",\"textDocumentSync\":{\"openClose\":true,\"change\":2}"
                    ",\"hoverProvider\":true,\"definitionProvider\":true"
                    ",\"referencesProvider\":true,\"documentHighlightProvider\":true"
                    ",\"renameProvider\":{\"prepareProvider\":true}"
                    ",\"completionProvider\":{\"triggerCharacters\":[\" \",\"(\",\"|\",\",\"]}"
                    ",\"documentFormattingProvider\":true,\"documentSymbolProvider\":true"
                    ",\"foldingRangeProvider\":true"
                    ",\"codeActionProvider\":{\"codeActionKinds\":[\"quickfix\"]}"
                    ",\"semanticTokensProvider\":{\"full\":true,\"legend\":");
    lsp_semantic_legend(c->out);
    BUF_LIT(c->out, "}},\"serverInfo\":{\"name\":\"merit\",\"version\":\"" MERIT_VERSION "\"}}");
}

static void shut_down(struct lsp_call *c)
{
    c->server->life = LSP_SHUT;
    c->server->orderly = true;
    BUF_LIT(c->out, "null");
}

// What the server takes for the text of a document: for whoever doubts that both have the same.
static void text(struct lsp_call *c)
{
    buf_printf(c->out, "{\"version\":%lld,\"text\":", (long long)c->document->version);
    json_write_string(c->out, lsp_text_slice(&c->document->text));
    BUF_LIT(c->out, "}");
}

static const struct request {
    const char *method;
    void (*run)(struct lsp_call *c);
    bool document;
} requests[] = {
    {"initialize", initialize, false},
    {"shutdown", shut_down, false},
    {"textDocument/hover", lsp_hover, true},
    {"textDocument/definition", lsp_definition, true},
    {"textDocument/references", lsp_references, true},
    {"textDocument/documentHighlight", lsp_highlight, true},
    {"textDocument/prepareRename", lsp_prepare_rename, true},
    {"textDocument/rename", lsp_rename, true},
    {"textDocument/completion", lsp_complete, true},
    {"textDocument/formatting", lsp_format, true},
    {"textDocument/documentSymbol", lsp_symbols, true},
    {"textDocument/foldingRange", lsp_folding, true},
    {"textDocument/semanticTokens/full", lsp_semantic, true},
    {"textDocument/codeAction", lsp_actions, true},
    {"merit/text", text, true},
};

static struct lsp_document *document_of(struct lsp_server *s, struct lsp_message *m)
{
    struct slice uri = lsp_string(m, lsp_find(m, m->params, "textDocument.uri"));
    return uri.ptr ? lsp_documents_find(&s->documents, uri) : NULL;
}

static void run(struct lsp_call *c, const struct request *q)
{
    struct lsp_server *s = c->server;
    if (!q->document) {
        q->run(c);
        return;
    }
    c->document = document_of(s, c->message);
    if (!c->document)
        lsp_fail(c, LSP_INVALID_PARAMS, "no such document is open");
    else if (c->document->lost)
        lsp_fail(c, LSP_REQUEST_FAILED, "%s", c->document->lost);
    else if (!lsp_document_parse(&s->documents, c->document, &s->grammar))
        lsp_fail(c, LSP_INTERNAL_ERROR, "there is no memory to read this policy");
    if (c->error)
        return;
    c->tree = c->document->tree;
    q->run(c);
}

static void request(struct lsp_server *s, struct lsp_message *m)
{
    const struct request *q = NULL;
    for (size_t i = 0; i < MERIT_COUNT(requests); i++)
        if (slice_eq_cstr(m->method, requests[i].method))
            q = &requests[i];
    struct lsp_call c = {.server = s, .message = m, .params = m->params, .out = &s->out};
    size_t from = lsp_frame_begin(&s->out);
    BUF_LIT(&s->out, "{\"jsonrpc\":\"2.0\",\"id\":");
    buf_add(&s->out, m->id);
    BUF_LIT(&s->out, ",\"result\":");
    if (m->cancelled)
        lsp_fail(&c, LSP_REQUEST_CANCELLED, "cancelled");
    else if (s->life == LSP_SHUT)
        lsp_fail(&c, LSP_INVALID_REQUEST, "the server has been shut down");
    else if (s->life == LSP_FRESH && (!q || q->run != initialize))
        lsp_fail(&c, LSP_NOT_INITIALIZED, "the first request is `initialize`");
    else if (s->life == LSP_RUNNING && q && q->run == initialize)
        lsp_fail(&c, LSP_INVALID_REQUEST, "`initialize` has come already");
    else if (!q)
        lsp_fail(&c, LSP_METHOD_NOT_FOUND, "there is no method `%.*s`", SLICE_FMT(m->method));
    else
        run(&c, q);
    BUF_LIT(&s->out, "}");
    if (!c.error && lsp_frame_end(&s->out, from))
        lsp_fail(&c, LSP_INTERNAL_ERROR, "the answer has no room");
    if (c.error) {
        s->out.len = from < s->out.len ? from : s->out.len;
        s->out.err = RESULT_OK;
        reply_error(s, m->id, c.error, c.why.ptr ? c.why : SLICE("out of memory"));
    }
}

// Notifications.

static void due(struct lsp_server *s, struct lsp_document *d, uint64_t pause)
{
    d->wants_proof = false;
    d->check_at_us = s->now_us + pause;
}

static void show(struct lsp_server *s, const char *text)
{
    size_t from = lsp_frame_begin(&s->out);
    BUF_LIT(&s->out,
            "{\"jsonrpc\":\"2.0\",\"method\":\"window/showMessage\",\"params\":{\"type\":1,"
            "\"message\":");
    json_write_string(&s->out, slice_cstr(text));
    BUF_LIT(&s->out, "}}");
    if (lsp_frame_end(&s->out, from))
        note(s, "a message had no room");
    note(s, "%s", text);
}

static int64_t version_of(struct lsp_message *m)
{
    double v;
    if (json_double(&m->json, lsp_find(m, m->params, "textDocument.version"), &v) ||
        v < -2147483648.0 || v > 2147483647.0)
        return 0;
    return (int64_t)v;
}

static void did_open(struct lsp_server *s, struct lsp_message *m)
{
    struct slice uri = lsp_string(m, lsp_find(m, m->params, "textDocument.uri")),
                 text = lsp_string(m, lsp_find(m, m->params, "textDocument.text"));
    struct lsp_document *d = uri.ptr ? lsp_documents_find(&s->documents, uri) : NULL;
    if (!uri.ptr || !text.ptr) {
        note(s, "didOpen without a uri or a text");
        return;
    }
    if (!d && lsp_documents_open(&s->documents, uri, &d)) {
        show(s,
             "Merit holds 64 policies at once: this one is not looked at until others are closed");
        return;
    }
    d->version = version_of(m);
    lsp_document_set(d, text);
    due(s, d, 0);
}

static void did_change(struct lsp_server *s, struct lsp_message *m)
{
    struct lsp_document *d = document_of(s, m);
    uint32_t changes = lsp_get(m, m->params, "contentChanges"), at = 0, one;
    if (!d || changes == JSON_NONE || json_type(&m->json, changes) != JSON_ARRAY)
        return;
    d->version = version_of(m);
    while (json_element(&m->json, changes, &at, &one)) {
        struct slice text = lsp_string(m, lsp_get(m, one, "text"));
        uint32_t where = lsp_get(m, one, "range");
        struct lsp_range range;
        if (where == JSON_NONE && text.ptr)
            lsp_document_set(d, text);
        else if (text.ptr && lsp_range_read(m, where, &range))
            lsp_document_edit(d, s->encoding, range, text);
        else
            lsp_document_lose(d, "an edit of this policy could not be understood: open it anew");
    }
    due(s, d, LSP_PAUSE_US);
}

static void did_close(struct lsp_server *s, struct lsp_message *m)
{
    struct lsp_document *d = document_of(s, m);
    if (!d)
        return;
    lsp_publish_none(s, d->uri);
    lsp_documents_close(&s->documents, d);
}

static void did_save(struct lsp_server *s, struct lsp_message *m)
{
    struct lsp_document *d = document_of(s, m);
    if (d && !lsp_document_fresh(d))
        due(s, d, 0);
}

static void notification(struct lsp_server *s, struct lsp_message *m)
{
    static const struct {
        const char *method;
        void (*run)(struct lsp_server *s, struct lsp_message *m);
    } known[] = {{"textDocument/didOpen", did_open},
                 {"textDocument/didChange", did_change},
                 {"textDocument/didClose", did_close},
                 {"textDocument/didSave", did_save}};
    if (slice_eq(m->method, SLICE("exit"))) {
        s->life = LSP_ENDED;
        return;
    }
    if (s->life != LSP_RUNNING)
        return;
    for (size_t i = 0; i < MERIT_COUNT(known); i++)
        if (slice_eq_cstr(m->method, known[i].method))
            known[i].run(s, m);
}

// What could not be read may have been an edit: a text that is not the editor's would give edits that spoil the editor's.
static void doubt(struct lsp_server *s)
{
    for (uint32_t i = 0; i < s->documents.count; i++) {
        lsp_document_lose(s->documents.at[i], "a message of the editor could not be read, perhaps "
                                              "an edit of this policy: open it anew");
        due(s, s->documents.at[i], 0);
    }
}

bool lsp_server_step(struct lsp_server *s, uint64_t now_us)
{
    struct lsp_message *m = take(s);
    s->now_us = now_us;
    if (!m)
        return false;
    if (s->life != LSP_ENDED && m->error && m->json.count == 0)
        doubt(s);
    if (s->life != LSP_ENDED && m->error)
        reply_error(s, m->id, m->error, slice_cstr(m->why));
    else if (s->life != LSP_ENDED && m->method.len && m->id.len)
        request(s, m);
    else if (s->life != LSP_ENDED && m->method.len)
        notification(s, m);
    lsp_message_close(m);
    return true;
}

// The queue.

static void cancel(struct lsp_server *s, const struct lsp_message *m)
{
    uint32_t id = lsp_get(m, m->params, "id");
    if (id == JSON_NONE)
        return;
    uint32_t begin = json_begin(&m->json, id);
    struct slice text = slice_make(m->json.text.ptr + begin, json_end(&m->json, id) - begin);
    for (struct lsp_message *w = s->first; w; w = w->next)
        w->cancelled |= w->id.len && slice_eq(w->id, text);
}

// NULL: there was no memory for it.
static void enqueue(struct lsp_server *s, struct lsp_message *m)
{
    if (!m) {
        reply_error(s, SLICE_EMPTY, LSP_INTERNAL_ERROR,
                    SLICE("there is no memory for the message"));
        note(s, "there was no memory for a message");
        doubt(s);
        return;
    }
    if (m->error)
        note(s, "%s", m->why);
    if (!m->error && slice_eq(m->method, SLICE("$/cancelRequest"))) {
        cancel(s, m);
        lsp_message_close(m);
        return;
    }
    if (s->last)
        s->last->next = m;
    else
        s->first = m;
    s->last = m;
    s->waiting++;
    s->waiting_bytes += m->json.text.len;
}

bool lsp_server_feed(struct lsp_server *s, struct slice bytes)
{
    struct slice body;
    while (bytes.len && s->life != LSP_ENDED && !s->broken) {
        enum result r = lsp_frames_next(&s->frames, &bytes, &body);
        if (r == RESULT_AGAIN)
            break;
        if (r == RESULT_OK) {
            enqueue(s, lsp_message_open(body));
        } else if (r == RESULT_LIMIT) {
            note(s, "a message of %llu bytes was skipped", (unsigned long long)s->frames.length);
            enqueue(
                s, lsp_message_complaint(LSP_INVALID_REQUEST, "the message is longer than 32 MiB"));
        } else if (r == RESULT_UNSUPPORTED) {
            enqueue(s, lsp_message_complaint(LSP_INVALID_REQUEST, "the only charset is utf-8"));
        } else {
            enqueue(s, lsp_message_complaint(LSP_PARSE_ERROR,
                                             r == RESULT_PROTOCOL
                                                 ? s->frames.broken
                                                 : "there is no memory for the message"));
            s->broken = true;
        }
    }
    return s->life != LSP_ENDED && !s->broken;
}

bool lsp_server_full(const struct lsp_server *s)
{
    return s->waiting >= LSP_QUEUE_MAX || s->waiting_bytes >= LSP_QUEUE_BYTES_MAX;
}

bool lsp_server_waiting(const struct lsp_server *s)
{
    return s->first;
}

bool lsp_server_ended(const struct lsp_server *s)
{
    return s->life == LSP_ENDED || (s->broken && !s->first);
}

int lsp_server_exit_code(const struct lsp_server *s)
{
    return !s->orderly;
}

// Checks.

uint64_t lsp_server_wake_us(const struct lsp_server *s)
{
    uint64_t at = UINT64_MAX;
    for (uint32_t i = 0; i < s->documents.count && !s->checking[LSP_LANE_QUICK]; i++)
        at = s->documents.at[i]->check_at_us < at ? s->documents.at[i]->check_at_us : at;
    return at;
}

static struct lsp_check *begin_check(struct lsp_server *s, struct lsp_document *d,
                                     enum lsp_lane lane)
{
    struct lsp_check *c = lsp_check_open(d->number, d->edit, lsp_text_slice(&d->text), s->registry,
                                         lane == LSP_LANE_PROOF);
    s->checking[lane] = c != NULL;
    if (!c)
        note(s, "there is no memory to check %.*s", (int)d->uri.len, d->uri.ptr);
    return c;
}

struct lsp_check *lsp_server_check(struct lsp_server *s, enum lsp_lane lane, uint64_t now_us)
{
    uint64_t at = lsp_server_wake_us(s);
    if (s->checking[lane])
        return NULL;
    for (uint32_t i = 0; i < s->documents.count; i++) {
        struct lsp_document *d = s->documents.at[i];
        if (lane == LSP_LANE_PROOF && d->wants_proof) {
            d->wants_proof = false;
            return begin_check(s, d, lane);
        }
        if (lane == LSP_LANE_PROOF || at > now_us || d->check_at_us != at || at == UINT64_MAX)
            continue;
        d->check_at_us = UINT64_MAX;
        if (!d->lost)
            return begin_check(s, d, lane);
        lsp_publish(s, d);
        return NULL;
    }
    return NULL;
}

void lsp_server_checked(struct lsp_server *s, struct lsp_check *c, uint64_t now_us)
{
    struct lsp_document *d = lsp_documents_by_number(&s->documents, c->document);
    bool proved = c->proves, loads = c->image != NULL;
    s->checking[proved ? LSP_LANE_PROOF : LSP_LANE_QUICK] = false;
    s->now_us = now_us;
    if (!d) {
        lsp_check_close(c);
        return;
    }
    bool current = c->edit == d->edit;
    lsp_document_checked(d, c);
    if (!current)
        return;
    d->wants_proof = !proved && loads;
    // Findings of the proof before are left standing until the next one ends, unless errors have gone meanwhile.
    if (!d->wants_proof || d->errors_shown)
        lsp_publish(s, d);
}

struct buf *lsp_server_output(struct lsp_server *s)
{
    return &s->out;
}

struct buf *lsp_server_log(struct lsp_server *s)
{
    return &s->log;
}

uint64_t lsp_server_client(const struct lsp_server *s)
{
    return s->client;
}
