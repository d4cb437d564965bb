// A session of the language server without pipes: bytes in, messages out.
#ifndef MERIT_TESTS_LSP_SESSION_H
#define MERIT_TESTS_LSP_SESSION_H

#include <stdio.h>

#include "base/alloc.h"
#include "lsp/server.h"
#include "signal/registry.h"

#define LSP_POLICY                                                                                 \
    "policy \\\"home\\\" version 1\\n\\nzone house\\nmodel swift zone house  endpoint demo  "      \
    "context 8k tok\\nmodel deep endpoint demo  context 8k tok\\nsignal urgent = "                 \
    "keywords(\\\"now\\\")\\npath p(a) = answer(a | deep)\\nroute quick when urgent -> "           \
    "p(swift)\\notherwise -> answer(any)\\nprove never urgent\\n"

static inline void lsp_send(struct lsp_server *s, const char *body)
{
    char head[64];
    int n = snprintf(head, sizeof head, "Content-Length: %zu\r\n\r\n", strlen(body));
    lsp_server_feed(s, slice_make(head, (size_t)n));
    lsp_server_feed(s, slice_cstr(body));
}

// Works on all that waits, and on what is to be checked.
static inline void lsp_work(struct lsp_server *s, uint64_t now_us, bool proves)
{
    while (lsp_server_step(s, now_us))
        ;
    for (int lane = 0; lane < (proves ? LSP_LANES : LSP_LANE_PROOF); lane++) {
        struct lsp_check *c;
        while ((c = lsp_server_check(s, (enum lsp_lane)lane, now_us))) {
            lsp_check_run(c);
            lsp_server_checked(s, c, now_us);
        }
    }
}

#endif
