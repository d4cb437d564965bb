// The store: settled attempts in SQLite, one row each, and what the accounts sum up to.
//
// WAL mode: one process writes while others read (ledger/report.h). One thread at a time has a `struct store`. A
// transaction takes many rows; with synchronous NORMAL a committed one survives the death of the process, and a power
// cut may take the last ones back whole.
//
// Tables: ledger/store_file.h. The view `attempts` has a row per attempt with everything, for whoever looks with the sqlite3
// program. PRAGMA user_version is STORE_VERSION; a store of the first version is converted when it is opened.
#ifndef MERIT_LEDGER_STORE_H
#define MERIT_LEDGER_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/result.h"
#include "ledger/journal.h"
#include "ledger/pacer.h"

enum { STORE_VERSION = 2, STORE_FIRST_VERSION = 1, STORE_BUSY_MS = 50 };
#define STORE_FILE "ledger.db"

struct store;

// Opens or makes it. RESULT_VERSION (written by a newer program), RESULT_IO (locked, full, damaged, not a store, ...)
// with a sentence in `why`; RESULT_NOMEM.
enum result store_open(struct store **out, const char *path, struct buf *why) MERIT_NODISCARD;
void store_close(struct store *s); // NULL: no-op

// One account in one window. `used` is a difference when it is added, the sum when it is loaded.
struct store_account {
    uint64_t account, number;
    enum image_window window;
    enum image_unit unit;
    bool hard, invented;
    int64_t limit, used;       // limit is negative when not known
    uint64_t expires_us;       // 0 when not known
    struct slice name, holder; // empty when not known
    uint32_t count;
    struct pacer pacer;
};

// Calls `each` for all accounts that are not over at `now_us`, or were not when the last attempt ended: a clock that is
// ahead at a start may be set right later. Slices live during the call. RESULT_IO.
enum result store_load(struct store *s, uint64_t now_us,
                       void (*each)(void *context, const struct store_account *a),
                       void *context) MERIT_NODISCARD;
// The largest ticket; 0 when it is empty or cannot be read.
uint64_t store_last_id(struct store *s);
// Rows of the first version that were converted when it was opened.
uint64_t store_converted(const struct store *s);

struct store_known {
    uint64_t id;   // of a ticket
    uint32_t slot; // the caller's
    bool there;
};
// Says which of the tickets, sorted, have a row. It looks through the rows of their time. RESULT_IO.
enum result store_find(struct store *s, struct store_known *tickets, size_t count) MERIT_NODISCARD;

// A transaction: begin, rows and accounts, then commit or roll back. After a failure only rolling back helps. RESULT_IO;
// store_problem tells why.
enum result store_begin(struct store *s) MERIT_NODISCARD;
// The record's texts live until the transaction ends. A ticket has one row because nobody puts it twice: see store_find.
enum result store_put(struct store *s, const struct journal_record *r) MERIT_NODISCARD;
enum result store_add(struct store *s, const struct store_account *a) MERIT_NODISCARD;
// Takes away accounts that were over before `before_us`.
enum result store_forget(struct store *s, uint64_t before_us) MERIT_NODISCARD;
// After a failed one the rows may be there nevertheless when the store is opened again.
enum result store_commit(struct store *s) MERIT_NODISCARD;
void store_rollback(struct store *s);
// In a transaction of its own: sums up rows of attempts reserved before `before_us`, the beginning of a day, by day and kind,
// and takes them away, at most STORE_BLOCK of them. `*gone`: how many; 0 at the end. RESULT_IO: roll back.
enum result store_keep(struct store *s, uint64_t before_us, uint64_t *gone) MERIT_NODISCARD;

// Where its file is. A file that was deleted or replaced while it is open takes rows all the same, and is gone when it is
// closed.
enum store_place { STORE_IN_PLACE, STORE_DELETED, STORE_REPLACED };
enum store_place store_place(struct store *s);
// Writes all that is in it to a new file, which is synced; nothing is left of it on an error. RESULT_IO.
enum result store_save(struct store *s, const char *path) MERIT_NODISCARD;
// Gives what store_save wrote the store's own name, where nobody has it, and takes away the log of the file that had it.
// Only closing is good after it. RESULT_EXISTS: another file is there; RESULT_IO (errno), RESULT_LIMIT.
enum result store_put_back(struct store *s, const char *saved) MERIT_NODISCARD;

// What went wrong last: "locked", "full", "read-only", "damaged" or "failed", and SQLite's words.
const char *store_problem(const struct store *s, struct buf *words);

#endif
