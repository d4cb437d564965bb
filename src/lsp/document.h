// The documents that are open in the editor.
//
// Each holds its text, the syntax of that text (made when somebody asks and thrown away by the next edit) and what the
// last checks said. A text that cannot be held (too long, no memory, an edit that makes no sense) is dropped and the
// document is `lost`, with the reason, until the editor sends a whole text again. One owner, one thread.
#ifndef MERIT_LSP_DOCUMENT_H
#define MERIT_LSP_DOCUMENT_H

#include "lsp/check.h"
#include "lsp/names.h"
#include "lsp/text.h"
#include "policy/policy.h"
#include "policy/tree.h"

enum {
    LSP_DOCUMENTS_MAX = 64,
    LSP_URI_MAX = 4096,
    // Memory for the syntax of one document, and of all together: when it is more, that of the others is thrown away.
    LSP_SYNTAX_BYTES_MAX = 256 * 1024 * 1024,
};

struct lsp_document {
    uint64_t number; // never used again
    struct slice uri;
    int64_t version; // the editor's
    uint32_t edit;   // counts texts
    struct lsp_text text;
    const char *lost; // why there is no text, or NULL

    bool parsed;
    struct arena arena;
    const struct tree *tree; // NULL when it cannot be read at all
    struct lsp_names names;

    uint64_t
        check_at_us;   // when the next check of names, types and units is due, UINT64_MAX: none is
    bool wants_proof;  // the text as it stands has passed that one, and is to be proved
    bool errors_shown; // in what was published last
    struct lsp_check *check; // the newest that has ended, or NULL
    struct lsp_check *
        good; // the newest proved one with an image (or the first with one), or NULL; may be `check`
};

struct lsp_documents {
    struct lsp_document *at[LSP_DOCUMENTS_MAX];
    uint32_t count;
    uint64_t next_number;
};

void lsp_documents_deinit(struct lsp_documents *ds);
struct lsp_document *lsp_documents_find(const struct lsp_documents *ds, struct slice uri);
struct lsp_document *lsp_documents_by_number(const struct lsp_documents *ds, uint64_t number);
// An empty one. RESULT_LIMIT above LSP_DOCUMENTS_MAX or LSP_URI_MAX, RESULT_NOMEM.
enum result lsp_documents_open(struct lsp_documents *ds, struct slice uri,
                               struct lsp_document **out) MERIT_NODISCARD;
void lsp_documents_close(struct lsp_documents *ds, struct lsp_document *d);

// A new text as a whole, or a piece of it. What fails makes the document lost.
void lsp_document_set(struct lsp_document *d, struct slice text);
void lsp_document_edit(struct lsp_document *d, enum lsp_encoding e, struct lsp_range range,
                       struct slice text);
// Nobody knows the text any more; `why` is static.
void lsp_document_lose(struct lsp_document *d, const char *why);
// The syntax of the text as it stands; false when there is none. The tree is NULL when the text is no UTF-8 or over a limit.
bool lsp_document_parse(struct lsp_documents *ds, struct lsp_document *d,
                        const struct lsp_grammar *grammar);
// Takes a check that has ended.
void lsp_document_checked(struct lsp_document *d, struct lsp_check *c);
// The newest check when it is of the text as it stands, else NULL.
const struct lsp_check *lsp_document_fresh(const struct lsp_document *d);

#endif
