// What a server keeps of money and lengths over starts and policies: the ledger, and what was learned of output lengths.
// Control thread only.
//
//   the ledger      its journal and store (ledger/ledger.h), DATA/ledger unless the setting `ledger` says otherwise; without
//                   a directory accounts live as long as the process
//   DATA/lengths    what was learned (route/lengths.h), written every minute while it grows and at the end
//
// Another process that has the ledger is no reason not to serve, unless the policy has budgets over time: those would then
// hold once in each. A file of lengths that cannot be read or believed is told once, and learning begins anew.
#ifndef MERIT_CLI_BOOKS_H
#define MERIT_CLI_BOOKS_H

#include <stdbool.h>
#include <stdint.h>

#include "api/gateway.h"

struct books {
    struct ledger *ledger;
    struct lengths *lengths;
    bool kept; // the ledger is on disk
    // Private from here on.
    const char *data;
    struct loop *loop;
    struct loop_timer timer;
    struct gateway **gateways;
    uint32_t count, since_saved;
    uint64_t saved;
    bool complained;
};

// Where the ledger is, NULL: in memory only; and its limits, 0 for the defaults.
struct books_ledger {
    const char *directory;
    uint32_t accounts;
    uint64_t backlog_bytes;
    uint32_t keep_days;
};

// Before the loops are. `data` may be NULL and outlives it. Messages go to standard error. RESULT_EXISTS (the ledger is
// another process's, and `budgets`), RESULT_VERSION, RESULT_IO, RESULT_NOMEM.
enum result books_open(struct books *b, const char *data, const struct books_ledger *ledger,
                       uint32_t loops, bool budgets, uint64_t now_us) MERIT_NODISCARD;
// Begins to hand out what was learned.
void books_start(struct books *b, struct loop *loop, struct gateway **gateways, uint32_t count);
void books_stop(struct books *b); // before the loop is closed; also when it was not started
// When no loop is at work any more. Also after a failed books_open.
void books_close(struct books *b);

// What is left of the budgets that all share, and what was learned.
void books_process(const struct books *b, const struct serving *serving, uint64_t now_us,
                   struct metrics_process *out);

#endif
