// The store thread: carries settled slots of the journal into the store, many in a transaction, and frees them.
//
// While nothing is settled it looks once a second whether the store's file is still there. The first settlement wakes it;
// it commits commit_ms later what has come together. A store whose file was deleted is written anew from what is open of
// it; where another file stands in its place, that is left alone. When the store cannot be written (locked, full, read-only, damaged) the slots stay in the journal, an
// event says so once, and it tries again, ever less often up to CARRIER_RETRY_MAX_MS, with the store opened anew. It
// also adds journal files when the free slots do not last for CARRIER_STALL_US, and turns rows that are old enough into sums, a block at a time.
#ifndef MERIT_LEDGER_CARRIER_H
#define MERIT_LEDGER_CARRIER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/result.h"
#include "ledger/accounts.h"
#include "ledger/journal.h"

enum {
    CARRIER_BATCH = 8192, // rows of one transaction
    CARRIER_RETRY_MS = 200,
    CARRIER_RETRY_MAX_MS = 10000,
};
// A checkpoint of the store on a busy disk may take so long, and nobody else adds journal files. Grade guessed, 2026-11.
#define CARRIER_STALL_US (UINT64_C(3) * 1000000)
// Accounts that were over for so long leave the store; it is looked at so often. Grade guessed, 2026-11.
#define CARRIER_KEEP_US (UINT64_C(32) * 86400 * 1000000)
#define CARRIER_FORGET_US (UINT64_C(3600) * 1000000)
// Rows are taken away by a clock that went steadily for so long, since the start or since it leapt by as much.
#define CARRIER_STEADY_US (UINT64_C(3600) * 1000000)

struct carrier;

struct carrier_options {
    const char *directory;
    struct journal *journal;
    struct accounts *accounts;
    uint32_t commit_ms;
    uint64_t life_idle_us;
    uint64_t now_us;    // wall, at the start
    uint64_t first_id;  // tickets below it were recovered, and are in the accounts
    uint32_t keep_days; // 0: rows are kept for good
    const struct clock *clock;
    void (*event)(void *context, const struct ledger_event *e);
    void *context;
};

// Opens the store and adds what it knows of the accounts to them. A store that cannot be opened now is tried again by the
// thread. RESULT_VERSION with a sentence in `why`, RESULT_NOMEM.
enum result carrier_open(struct carrier **out, const struct carrier_options *o,
                         struct buf *why) MERIT_NODISCARD;
// Starts the thread. RESULT_NOMEM.
enum result carrier_start(struct carrier *c, struct buf *why) MERIT_NODISCARD;
// Carries what it can and joins the thread. NULL: no-op.
void carrier_close(struct carrier *c);
uint64_t carrier_last_id(const struct carrier *c); // the largest ticket of the store at the start

// Something was settled. Any thread; a system call only when the thread sleeps.
void carrier_poke(struct carrier *c);
// Slots are few: wakes it at once, one time until they are no longer. Any thread.
void carrier_low(struct carrier *c);
// Commits now rather than soon. Any thread.
void carrier_hurry(struct carrier *c);

struct carrier_counts {
    uint64_t stored; // rows, those included that were there already
    uint64_t failures;
    uint64_t lag_us;
    bool storing;
};
void carrier_count(const struct carrier *c, struct carrier_counts *out);

#endif
