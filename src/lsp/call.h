// Inside of the server: a request on its way. For lsp/ only.
#ifndef MERIT_LSP_CALL_H
#define MERIT_LSP_CALL_H

#include "lsp/document.h"
#include "lsp/frame.h"
#include "lsp/message.h"
#include "lsp/server.h"

enum lsp_life { LSP_FRESH, LSP_RUNNING, LSP_SHUT, LSP_ENDED };

struct lsp_server {
    const struct signal_registry *registry;
    struct arena arena; // of the grammar
    struct lsp_grammar grammar;
    struct lsp_documents documents;
    struct lsp_frames frames;
    struct lsp_message *first, *last; // that wait
    uint32_t waiting;
    uint64_t waiting_bytes;
    struct buf out, log;
    enum lsp_life life;
    bool orderly; // `shutdown` has come
    bool broken;  // nothing more can be read
    bool checking[LSP_LANES];
    uint64_t client, now_us;
    // What the editor can do.
    enum lsp_encoding encoding;
    bool markdown, outline_tree, related, fixes, versions;
};

struct lsp_call {
    struct lsp_server *server;
    struct lsp_message *message;
    uint32_t params;
    struct lsp_document
        *document; // of params.textDocument.uri, with its syntax; NULL where a method needs none
    const struct tree *tree; // NULL when the text cannot be read
    struct buf *out;         // the result goes here
    int error;               // set by lsp_fail
    struct slice why;        // in the message's arena
};

// The answer becomes an error.
void lsp_fail(struct lsp_call *c, int code, const char *fmt, ...) MERIT_PRINTF(3, 4);
// The byte of params.position; false (and the call fails) when there is none.
bool lsp_call_offset(struct lsp_call *c, uint32_t *offset);
// The name at params.position: the one that the place is in or just behind. NULL when there is none, or no tree.
const struct lsp_name *lsp_call_name(struct lsp_call *c);
struct lsp_range lsp_call_range(const struct lsp_call *c, struct span span);
void lsp_put_location(struct lsp_call *c, struct span span);
// One `{"range":...,"newText":...}`.
void lsp_put_edit(struct lsp_call *c, struct span span, struct slice text);
// The policy that holds as far as it is known: that of the last text which loads; NULL when none did.
const struct policy_image *lsp_call_image(const struct lsp_call *c);

// One function per request; each writes its result.
void lsp_hover(struct lsp_call *c);
void lsp_definition(struct lsp_call *c);
void lsp_references(struct lsp_call *c);
void lsp_highlight(struct lsp_call *c);
void lsp_prepare_rename(struct lsp_call *c);
void lsp_rename(struct lsp_call *c);
void lsp_complete(struct lsp_call *c);
void lsp_format(struct lsp_call *c);
void lsp_symbols(struct lsp_call *c);
void lsp_folding(struct lsp_call *c);
void lsp_semantic(struct lsp_call *c);
void lsp_actions(struct lsp_call *c);

// publish.c: the notification with the findings of the newest check, or with none. Appends to the server's output.
void lsp_publish(struct lsp_server *s, struct lsp_document *d);
void lsp_publish_none(struct lsp_server *s, struct slice uri);
// The text that would mend a finding when it takes the place of the finding's; false when its help names none.
bool lsp_replacement(const struct diag *d, struct slice source, struct slice *text);

// The legend of semantic tokens, for `initialize`.
void lsp_semantic_legend(struct buf *out);

#endif
