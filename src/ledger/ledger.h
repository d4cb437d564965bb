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
// counted twice. Amounts are integers: nano-USD, microjoule, microgram, ms, tokens, calls, requests.
//
// Budgets nest: a request's reservation is taken in all its budgets or in none, so that a child's sum never exceeds its
// parent's. Any thread may reserve and settle; drawing on an account takes no lock (ledger/accounts.h). Time is the
// caller's. A window is the UTC minute, hour, day or month of the caller's time, and each is given out once: a clock that
// goes back finds what was taken from that window before, one that leaps ahead opens the window it leaps into. What was
// reserved in a window counts there, whenever it is settled.
//
// A limit comes with every ask. A lower one refuses the next ask and leaves attempts alone that are under way; a higher
// one is good at once. What an attempt took beyond its bound is counted in full, so that only an upstream that ignores
// its cap can bring an account above its limit (stats.over_bound).
#ifndef MERIT_LEDGER_LEDGER_H
#define MERIT_LEDGER_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "work/budget.h"
#include "work/image.h"

enum {
    LEDGER_BUDGETS_MAX = 16, // that bear on one attempt
    LEDGER_UNITS = IMAGE_UNIT_REQUESTS + 1,
    LEDGER_NAME_MAX = 128, // of who and what; longer ones are cut
    LEDGER_LABEL_MAX = 64, // of a budget's name and holder
    LEDGER_DECISION_BYTES = 20,
    LEDGER_REASON_MAX = 40,
    LEDGER_ACCOUNTS_DEFAULT = 65536,
    LEDGER_COMMIT_MS = 100, // from the first settlement to its commit
};
// Of one unit of one attempt; above it an amount is absurd: a bound counts as not known, what was taken is cut to it.
#define LEDGER_AMOUNT_MAX (INT64_C(1) << 53)
// A session's or loop's account that nobody drew on for so long is forgotten. Grade guessed, 2026-11.
#define LEDGER_LIFE_IDLE_US (UINT64_C(24) * 3600 * 1000000)
// The journal's files together; at about 1 KiB an attempt a million attempts. Grade guessed, 2026-11.
#define LEDGER_BACKLOG_BYTES (UINT64_C(1) << 30)

struct ledger;

// Amounts in the order of enum image_unit.
struct ledger_amounts {
    int64_t of[LEDGER_UNITS];
};

// One account that an attempt draws on: a budget of the policy for one caller, team, session, ... in one window.
struct ledger_budget {
    // Hash of the budget's identity and the scope's value: the same over restarts and policy edits that leave the
    // budget's scope, unit and window as they are. Not looked at for IMAGE_PER_REQUEST: such a budget has no account,
    // `limit` is compared with the bound, and the caller lowers it by what the request's earlier attempts took and hold.
    uint64_t account;
    enum image_unit unit;
    enum image_window window;
    bool hard;
    bool
        invented; // clients make up whose it is (sessions, loops): when accounts run out, such a one gives way
    int64_t limit;
    int32_t constraint; // of the image, for whoever explains
    // For people ("5 usd/day hard", "tenant free"); copied when the account is first drawn on, cut to LEDGER_LABEL_MAX.
    struct slice name, holder;
};

// Who and what, for the row; slices are copied.
struct ledger_who {
    char decision[LEDGER_DECISION_BYTES]; // zeros behind a shorter one
    struct slice key, caller, team, tenant, session, loop;
    struct slice route, model, effort, place; // names
    uint32_t attempt;                         // from 1
    const uint8_t *policy;                    // digest, IMAGE_DIGEST_BYTES; NULL when there is none
};

struct ledger_ask {
    struct ledger_who who;
    uint64_t now_us; // wall
    // Negative: not known; then the row says so, a hard budget of that unit refuses, and a paced one reckons with
    // `expected`.
    struct ledger_amounts expected, bound;
    const struct ledger_budget *budgets;
    uint32_t budget_count;
};

enum ledger_end {
    LEDGER_ANSWERED,
    LEDGER_FAILED, // the upstream did not answer; what it took is what it reported, or nothing when it saw no byte
    LEDGER_BROKEN,
    LEDGER_GONE,
    LEDGER_UNCONFIRMED, // the process died: settled at the bound by recovery
    LEDGER_END_COUNT_
};
const char *ledger_end_name(enum ledger_end e);  // "answered"
const char *ledger_unit_name(enum image_unit u); // "nusd"

struct ledger_settled {
    uint64_t now_us;
    enum ledger_end end;
    struct ledger_amounts took; // negative: not known; then the bound is charged
    struct ledger_amounts
        baseline; // what frontier-by-default would have taken; negative: not known
    uint32_t input_tok, cached_tok, output_tok;
    bool estimated;     // the upstream told no (sane) usage
    const char *reason; // static; "" when answered; cut to LEDGER_REASON_MAX
};

struct ledger_ticket {
    uint64_t id; // rises over restarts; 0: none
    // private: what was taken where
    uint32_t slot;
    uint32_t budget_count;
    uint32_t accounts[LEDGER_BUDGETS_MAX];
    int64_t reserved[LEDGER_BUDGETS_MAX];
    int64_t limits[LEDGER_BUDGETS_MAX];
    uint8_t units[LEDGER_BUDGETS_MAX];
    uint8_t windows[LEDGER_BUDGETS_MAX];
    uint16_t paced; // bit per budget
};

enum ledger_refused {
    LEDGER_SPENT,     // the budget does not bear the bound
    LEDGER_UNBOUNDED, // a hard budget, and the bound is not known
    LEDGER_FULL, // no account is free (options.accounts); a paced budget is passed over instead
    LEDGER_BACKLOG, // the journal is at its limit (options.backlog_bytes) or the disk is full; no budget's fault
    LEDGER_REFUSED_COUNT_
};
const char *ledger_refused_name(enum ledger_refused r); // "spent"

struct ledger_refusal {
    enum ledger_refused kind;
    uint32_t budget;           // place in ask.budgets; LEDGER_BACKLOG: not set
    int32_t constraint;        // IMAGE_NONE for LEDGER_BACKLOG
    int64_t limit, left, need; // need is negative for LEDGER_UNBOUNDED
    uint64_t renews_us;        // wall; 0: never
};

// Where an account's limit comes from. NULL in the options: the limit of the ask.
//
// Replicas that share a budget each get a slice of it: `limit` then gives what this replica holds of the budget in this
// window, at most `budget->limit`, and asks elsewhere for more when `used` comes near. It is called on the road of a
// request for each account of an ask, by any thread: it reads, never waits and never blocks; when it knows nothing yet it
// gives 0, which refuses. A slice may grow at any time; it may shrink to no less than `used`, which ledger_used tells,
// and what is given up is only another's to have after `limit` gives the smaller figure.
struct ledger_source {
    int64_t (*limit)(void *context, const struct ledger_budget *budget, uint64_t window,
                     int64_t used);
    void *context;
};

// What an operator should know; texts are one line.
struct ledger_event {
    const char *code; // static, kebab-case: "ledger-store-failed"
    bool trouble;     // false: it is over, or only told
    struct slice text;
};

struct ledger_options {
    const char *directory;  // made when missing; NULL: accounts in memory only, nothing is kept
    uint64_t now_us;        // wall
    uint32_t accounts;      // 0: LEDGER_ACCOUNTS_DEFAULT; rounded up to a power of two
    uint32_t commit_ms;     // 0: LEDGER_COMMIT_MS
    uint64_t backlog_bytes; // 0: LEDGER_BACKLOG_BYTES
    uint64_t life_idle_us;  // 0: LEDGER_LIFE_IDLE_US
    uint32_t journal_slots; // of one journal file; 0: JOURNAL_FILE_SLOTS (ledger/journal.h)
    // Rows of attempts that were reserved so many whole days ago and more become sums by day; 0: kept for good.
    uint32_t keep_days;
    const struct clock *clock; // what `keep_days` goes by; NULL: the system's
    struct ledger_source source;
    // Called by ledger_open and by the store thread; may be NULL.
    void (*event)(void *context, const struct ledger_event *e);
    void *context;
};

// Recovers what an earlier process left. `why` gets one sentence when it fails: RESULT_EXISTS (another process has this
// ledger), RESULT_VERSION (files of another version), RESULT_IO (errno), RESULT_NOMEM, RESULT_LIMIT (accounts).
enum result ledger_open(struct ledger **out, const struct ledger_options *o,
                        struct buf *why) MERIT_NODISCARD;
// Carries what is settled into the store when that is possible, else leaves it in the journal for the next start.
// Nobody may be reserving or settling. Open tickets are as after a crash. NULL: no-op.
void ledger_close(struct ledger *l);

// RESULT_OK with a ticket, or RESULT_LIMIT with a refusal, and then nothing is reserved. Any thread. At most
// LEDGER_BUDGETS_MAX budgets (asserted).
enum result ledger_reserve(struct ledger *l, const struct ledger_ask *ask, struct ledger_ticket *t,
                           struct ledger_refusal *refusal) MERIT_NODISCARD;
// Empties the ticket. Any thread, not only the one that reserved. A ticket without id: no-op.
void ledger_settle(struct ledger *l, struct ledger_ticket *t, const struct ledger_settled *s);

// What is left of each budget and, of paced ones, the shadow price; for the caller to put at the places of their
// constraints. It is a look, not a promise: what guarantees is the reservation. Any thread.
void ledger_budget_states(struct ledger *l, const struct ledger_budget *budgets, uint32_t count,
                          uint64_t now_us, struct budget_state *states);
// Settled and reserved of one account in the window of `now_us`; 0 when nobody drew on it. Any thread.
int64_t ledger_used(struct ledger *l, const struct ledger_budget *b, uint64_t now_us);

struct ledger_stats {
    uint64_t reserved, settled; // attempts since the start
    uint64_t refused[LEDGER_REFUSED_COUNT_];
    uint64_t over_bound;  // settled above what was reserved
    uint64_t unknown;     // settled without knowing a unit, so at the bound
    uint64_t passed_over; // draws on paced budgets that found no account
    uint64_t recovered;   // tickets that recovery settled
    uint64_t damaged;     // journal records that could not be read back
    uint32_t accounts, accounts_used;
    uint64_t open;           // tickets
    uint64_t backlog;        // settled, not yet in the store
    uint64_t slots;          // of the journal, open and settled and free
    uint64_t stored;         // rows committed since the start
    uint64_t store_failures; // commits that failed
    uint64_t store_lag_us;   // of the last commit: age of its oldest settlement
    bool storing;            // the last commit went well
};
void ledger_stats(struct ledger *l, struct ledger_stats *out);
// Waits until what is settled by now is in the store, or for `timeout_ms`; false then. True at once without a directory.
bool ledger_flush(struct ledger *l, uint32_t timeout_ms);

#endif
