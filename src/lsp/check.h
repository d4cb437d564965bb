// What the checker says of one version of a document.
//
// Made by the server with a copy of the text, run by anybody on any thread, given back to the server: so that a long
// check holds up no hover. Findings and image are kept, all else of the run is freed at its end.
#ifndef MERIT_LSP_CHECK_H
#define MERIT_LSP_CHECK_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/diag.h"
#include "work/image.h"
#include "work/signal.h"

struct lsp_check {
    uint64_t document; // whose text it is, by the server's count
    uint32_t edit;     // and which of its texts
    struct buf text;
    const struct signal_registry *registry;
    // After the run.
    struct arena arena; // of what follows
    struct diag_list diags;
    const struct policy_image *image; // NULL when there are errors
    enum result result;
};

// With a copy of `text`; NULL without memory.
struct lsp_check *lsp_check_open(uint64_t document, uint32_t edit, struct slice text,
                                 const struct signal_registry *registry);
// Reads, checks and compiles. Once.
void lsp_check_run(struct lsp_check *c);
void lsp_check_close(struct lsp_check *c);

#endif
