// The journal: what is open or not yet in the store, in files that are mapped, one slot of fixed size per attempt.
//
// A slot is free, reserved or settled. Reserving writes the first half and then, with one store, the state; settling the
// second half and then the state; the store thread frees it once the row is committed. A process that dies between two of
// these stores leaves the state before, so there is no half-written record; each half has a checksum all the same, for
// files that were cut, damaged or lost pages with the machine.
//
// Files are DIRECTORY/journal.0 to journal.N, preallocated, so that writing to a mapped page never needs the disk. The store
// thread adds one when few slots are free for the rate at which they are taken, up to the limit; those that are wholly carried go away at the next start. A lock
// file keeps a second process out.
//
// claim, reserve, settle: any thread, no lock, no system call. The rest: one thread, as said.
#ifndef MERIT_LEDGER_JOURNAL_H
#define MERIT_LEDGER_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/result.h"
#include "ledger/ledger.h"

enum {
    JOURNAL_VERSION = 1,
    JOURNAL_SLOT_BYTES = 1024,
    JOURNAL_HEADER_BYTES = 4096,
    JOURNAL_FILE_SLOTS = 16384, // 16 MiB a file
    JOURNAL_FILES_MAX = 256,
    JOURNAL_NONE = UINT32_MAX,
    JOURNAL_BODY_BYTES = 616, // draws and names of one slot
};

enum journal_name {
    JOURNAL_KEY,
    JOURNAL_CALLER,
    JOURNAL_TEAM,
    JOURNAL_TENANT,
    JOURNAL_SESSION,
    JOURNAL_LOOP,
    JOURNAL_ROUTE,
    JOURNAL_MODEL,
    JOURNAL_EFFORT,
    JOURNAL_PLACE,
    JOURNAL_NAMES
};

// What was reserved of one account.
struct journal_draw {
    uint64_t account, number;
    enum image_window window;
    enum image_unit unit;
    bool hard;
    int64_t amount;
};

// One attempt, as read from a slot; names are slices of it.
struct journal_record {
    bool settled;
    uint64_t id, at_us;
    struct ledger_amounts expected, bound;
    uint32_t attempt;
    struct slice decision;              // of the slot, as the names are
    uint8_t policy[IMAGE_DIGEST_BYTES]; // zeros: none
    bool cut;                           // names did not fit and were cut
    struct slice names[JOURNAL_NAMES];
    uint32_t draw_count;
    struct journal_draw draws[LEDGER_BUDGETS_MAX];
    // when settled
    uint64_t end_us;
    struct ledger_amounts took, baseline;
    uint32_t input_tok, cached_tok, output_tok;
    enum ledger_end end;
    bool estimated;
    struct slice reason;
};

// What is charged to a draw's account: what was taken, or what was reserved when that is not known or not told yet.
int64_t journal_charge(const struct journal_record *r, const struct journal_draw *d);

struct journal;
struct journal_slot;

struct journal_options {
    const char *directory;
    uint32_t file_slots; // 0: JOURNAL_FILE_SLOTS; a multiple of 64, at most that
    uint64_t limit_bytes;
    uint64_t now_us;
    void (*event)(void *context, const struct ledger_event *e);
    void *context;
};

// Locks and maps what is there, or makes it. Damage is told through events and counted; whole slots are kept, open or
// settled. Errors as of ledger_open, with a sentence in `why`.
enum result journal_open(struct journal **out, const struct journal_options *o,
                         struct buf *why) MERIT_NODISCARD;
// Leaves everything for the next start. NULL: no-op.
void journal_close(struct journal *j);

// A free slot, or JOURNAL_NONE when there is none.
uint32_t journal_claim(struct journal *j);
// Writes the ask into a claimed slot; `t` has its id and what was reserved, `numbers` the windows.
void journal_reserve(struct journal *j, uint32_t slot, const struct ledger_ask *ask,
                     const struct ledger_ticket *t, const uint64_t *numbers);
// One whose first half was cut away in the meantime will have no row.
void journal_settle(struct journal *j, uint32_t slot, uint64_t id, const struct ledger_settled *s);

// --- recovery, before anyone else has the journal

// The next slot that is not free, from `*at` on (begin with 0); JOURNAL_NONE at the end.
uint32_t journal_next_live(struct journal *j, uint32_t *at);
// Settles an open slot at its bound, unconfirmed.
void journal_settle_open(struct journal *j, uint32_t slot, uint64_t now_us);
uint64_t journal_damaged(const struct journal *j); // records lost
uint64_t journal_last_id(const struct journal *j); // the largest ticket found at the start
// The first ticket of this run: `first`, or more when that could be one of an earlier run, whose tickets neither journal
// nor store may show (all carried, and the store cannot be read now). It is noted for the next run.
uint64_t journal_begin_ids(struct journal *j, uint64_t first);

// --- the store thread

// The next settled slot from `*at` on; JOURNAL_NONE at the end.
uint32_t journal_next_settled(struct journal *j, uint32_t *at);
// False when the slot does not hold a whole record.
bool journal_read(const struct journal *j, uint32_t slot, struct journal_record *out);
// Its row is committed: the slot is anyone's.
void journal_free(struct journal *j, uint32_t slot);
// Fewer than a quarter of the slots are free.
bool journal_is_low(const struct journal *j);
// Slots that were ever taken, those included that were live at the start. It may go back by what is claimed or freed while
// it is read.
uint64_t journal_claims(const struct journal *j);
// One more file. RESULT_LIMIT at the limit, RESULT_IO (errno), RESULT_NOMEM.
enum result journal_grow(struct journal *j) MERIT_NODISCARD;

// Makes files whole that were cut while they were in use, and tells it. What was cut off reads as zeros from then on.
void journal_mend(struct journal *j);

// The largest ticket whose row was ever committed, as the store thread noted it: what a store that was cut or put back
// does not know any more. 0: nothing was noted.
uint64_t journal_stored_id(const struct journal *j);
void journal_note_stored(struct journal *j, uint64_t id);

struct journal_counts {
    uint64_t slots, free, settled;
};
void journal_count(const struct journal *j, struct journal_counts *out); // any thread

// For tests and the fuzzer: reads a slot from JOURNAL_SLOT_BYTES foreign bytes, aligned to 8. `state` as on disk.
bool journal_decode(const void *slot, struct journal_record *out);

#endif
