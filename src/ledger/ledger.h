// The ledger: what each attempt was allowed to take, and what it took.
//
// One per process. Before an attempt its upper bound is reserved in every budget that bears on it and written to a mapped
// journal; only then may the upstream see a byte. Afterwards it is settled once, with what it really took. A store thread
// carries journal records into SQLite (ledger/store.h) by group commit; the road of a request never waits for it.
//
//   ledger_reserve(l, &ask, &ticket, &refusal)   RESULT_OK: go. RESULT_LIMIT: `refusal` names the budget
//   ... the attempt ...
//   ledger_settle(l, &ticket, &settled)          exactly once, also for an attempt that came to nothing
//
// The journal survives the death of the process at any instant (kill -9), not of the machine: its pages are the kernel's.
// At the next start tickets that are still open are settled at their bound, marked unconfirmed; nothing is lost, nothing is
// counted twice. Amounts are integers: nano-USD, microjoule, microgram, tokens, requests, milliseconds.
//
// Budgets nest: a request's reservation is taken in all its budgets or in none, so that a child's sum never exceeds its
// parent's. Any thread may reserve and settle; no lock is taken on the way (ledger/accounts.h). Time is the caller's.
#ifndef MERIT_LEDGER_LEDGER_H
#define MERIT_LEDGER_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"
#include "base/slice.h"
#include "work/budget.h"
#include "work/image.h"

enum {
    LEDGER_BUDGETS_MAX = 16, // that bear on one attempt
    LEDGER_UNITS = IMAGE_UNIT_REQUESTS + 1,
    LEDGER_NAME_MAX = 128,
};

struct ledger;

// Amounts in the order of enum image_unit.
struct ledger_amounts {
    int64_t of[LEDGER_UNITS];
};

// One account that an attempt draws on: a budget of the policy for one caller, team, session, ... in one window.
struct ledger_budget {
    uint64_t
        account; // hash of the budget's identity and the scope's value: the same over restarts and policy edits that
        // leave the budget's scope, unit and window as they are
    enum image_unit unit;
    enum image_window window;
    bool hard;
    int64_t limit;
    int32_t constraint; // of the image, for whoever explains
};

// Who and what, for the row; slices are copied.
struct ledger_who {
    char decision[20];
    struct slice key, caller, team, tenant, session, loop;
    struct slice route, model, effort, place; // names
    uint32_t attempt;                         // from 1
};

struct ledger_ask {
    struct ledger_who who;
    uint64_t now_us; // wall
    struct ledger_amounts expected,
        bound; // negative: not known; then the row says so, and a hard budget refuses
    const struct ledger_budget *budgets;
    uint32_t budget_count;
};

enum ledger_end {
    LEDGER_ANSWERED,
    LEDGER_FAILED, // the upstream did not answer; what it took is what it reported, or nothing when it saw no byte
    LEDGER_BROKEN,
    LEDGER_GONE,
    LEDGER_UNCONFIRMED, // the process died: settled at the bound by recovery
};

struct ledger_settled {
    uint64_t now_us;
    enum ledger_end end;
    struct ledger_amounts took;
    struct ledger_amounts
        baseline; // what frontier-by-default would have taken; negative: not known
    uint32_t input_tok, cached_tok, output_tok;
    bool estimated;     // the upstream told no (sane) usage
    const char *reason; // static; "" when answered
};

struct ledger_ticket {
    uint64_t id; // 0: none
    uint32_t slot;
    // private: what was taken where
    uint32_t budget_count;
    uint32_t accounts[LEDGER_BUDGETS_MAX];
    int64_t reserved[LEDGER_BUDGETS_MAX];
    uint32_t windows[LEDGER_BUDGETS_MAX];
};

struct ledger_refusal {
    int32_t constraint;
    int64_t limit, left, need;
    uint64_t renews_us; // wall; 0: never
};

#endif
