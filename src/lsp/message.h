// JSON-RPC 2.0: what came in, and how answers are written.
#ifndef MERIT_LSP_MESSAGE_H
#define MERIT_LSP_MESSAGE_H

#include "base/arena.h"
#include "base/buf.h"
#include "lsp/text.h"
#include "text/json.h"

enum {
    LSP_PARSE_ERROR = -32700,
    LSP_INVALID_REQUEST = -32600,
    LSP_METHOD_NOT_FOUND = -32601,
    LSP_INVALID_PARAMS = -32602,
    LSP_INTERNAL_ERROR = -32603,
    LSP_NOT_INITIALIZED = -32002,
    LSP_REQUEST_FAILED = -32803,
    LSP_REQUEST_CANCELLED = -32800,
};

// One message. Lives on the heap with an arena of its own, because it may wait in the queue.
struct lsp_message {
    struct arena arena;
    struct json json;
    struct slice method; // empty: an answer of the client
    struct slice id;     // as it stands in the text, quotes included; empty: a notification
    uint32_t params;     // token, or JSON_NONE
    bool cancelled;
    int error; // not 0: no message, but something to complain about, in its turn; `why` says what
    const char *why;
    struct lsp_message *next;
};

// Copies and reads a body. What is no JSON, or no message of JSON-RPC, becomes a complaint. NULL without memory.
struct lsp_message *lsp_message_open(struct slice body);
// A complaint; the text is static.
struct lsp_message *lsp_message_complaint(int error, const char *why);
void lsp_message_close(struct lsp_message *m);

// The value of a member, or JSON_NONE when there is none, it is null, or `object` is JSON_NONE or no object.
uint32_t lsp_get(const struct lsp_message *m, uint32_t object, const char *key);
// By a path of keys, "textDocument.uri".
uint32_t lsp_find(const struct lsp_message *m, uint32_t object, const char *path);
// A decoded string; ptr NULL when the token is none (or without memory).
struct slice lsp_string(struct lsp_message *m, uint32_t token);
bool lsp_position_read(const struct lsp_message *m, uint32_t token, struct lsp_position *out);
bool lsp_range_read(const struct lsp_message *m, uint32_t token, struct lsp_range *out);

// Writing of parts.
void lsp_put_position(struct buf *out, struct lsp_position p);
void lsp_put_range(struct buf *out, struct lsp_range r);

#endif
