// What the checker says of one version of a document.
//
// Made by the server with a copy of the text, run by anybody on any thread, given back to the server: so that a long
// check holds up no hover. Findings, image and what is known of each route are kept, all else of the run is freed at its
// end.
#ifndef MERIT_LSP_CHECK_H
#define MERIT_LSP_CHECK_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/diag.h"
#include "work/image.h"
#include "work/signal.h"

enum { LSP_TESTS_MAX = 200 }; // tests of a policy that are answered in one check

struct lsp_check {
    uint32_t refs;
    uint64_t document; // whose text it is, by the server's count
    uint32_t edit;     // and which of its texts
    struct buf text;
    const struct signal_registry *registry;
    bool proves; // also what holds for every request; else names, types and units only
    // After the run.
    struct arena arena; // of what follows
    struct diag_list diags;
    const struct policy_image *image; // NULL when names, types or units are wrong
    const struct slice
        *routes; // per route: share, bounds, costs, who is before it; NULL when nothing was proved
    enum result result;
};

// With a copy of `text`; NULL without memory.
struct lsp_check *lsp_check_open(uint64_t document, uint32_t edit, struct slice text,
                                 const struct signal_registry *registry, bool proves);
// Reads, checks, compiles and proves. Once.
void lsp_check_run(struct lsp_check *c);
// Gives one reference back; lsp_check_open gives the first. NULL is nothing.
void lsp_check_close(struct lsp_check *c);

#endif
