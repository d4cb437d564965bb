// The form of the store. Private to store*.c and report*.c.
//
//   attempt   a row per attempt, appended as they are settled: what differs from one to the next
//   kind      what many attempts have in common: who, which model where, under which policy, how it ended
//   name      texts of kinds
//   span      of each STORE_BLOCK rows the least and largest instant and ticket, in place of indexes: rows come almost in
//             the order of time, so that a span of time or a ticket is looked for in few blocks
//   day       sums of the rows that are no longer kept, by day and kind: an attempt is in `attempt` or in `day`
//   account   what budgets sum up to
#ifndef MERIT_LEDGER_STORE_FILE_H
#define MERIT_LEDGER_STORE_FILE_H

#include <sqlite3.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/map.h"
#include "ledger/store.h"

enum {
    STORE_BLOCK = 4096, // rows of a span
    STORE_ROWS = 32,    // of one INSERT
    STORE_RECENT = 512, // kinds
    STORE_BESIDE = 2,   // SQLite's log and its index
};
#define STORE_BLOCK_TEXT "4096"
#define STORE_UNKNOWN INT64_MIN // bound as NULL

// Columns of `attempt` but its number: integers, then texts.
enum store_column {
    ROW_KIND,
    ROW_AT,
    ROW_FOR, // from reservation to settlement
    ROW_INPUT,
    ROW_CACHED,
    ROW_OUTPUT,
    ROW_TOOK_NUSD,
    ROW_EXPECTED_NUSD,
    ROW_BASELINE_NUSD,
    ROW_TOOK_UJ,
    ROW_TOOK_UG,
    ROW_EXPECTED_UJ,
    ROW_EXPECTED_UG,
    ROW_BASELINE_UJ,
    ROW_BASELINE_UG,
    ROW_TOOK_MS,
    ROW_TOOK_TOK, // NULL where it is not known or, as of its kind, input and output together
    ROW_EXPECTED_MS,
    ROW_EXPECTED_TOK,
    ROW_BOUND_NUSD,
    ROW_BOUND_UJ,
    ROW_BOUND_UG,
    ROW_BOUND_MS,
    ROW_BOUND_TOK,
    ROW_TICKET,
    ROW_INTEGERS,
    ROW_DECISION = ROW_INTEGERS,
    ROW_SESSION,
    ROW_LOOP,
    ROW_COLUMNS
};

// Columns that are left out together where nothing of them is known, which costs nothing then.
enum { SHAPE_ENERGY = 1, SHAPE_ODD = 2, SHAPE_SESSION = 4, SHAPES = 8 };

struct store_row {
    int64_t of[ROW_INTEGERS];
    struct slice text[ROW_COLUMNS - ROW_INTEGERS]; // live until it is written
};

// Rows of one shape that wait to be written by one statement.
struct store_wait {
    uint32_t count;
    struct store_row rows[STORE_ROWS];
};

// A kind that was met lately.
struct store_kind {
    struct slice key; // what it is made of; in the arena
    int64_t id;
};

struct store_span {
    uint64_t block;
    int64_t least_us, most_us, least_ticket, most_ticket;
};

enum store_statement {
    NAME_FIND,
    NAME_ADD,
    KIND_ADD,
    SPAN_ADD,
    LAST_ROW,
    ADD,
    BEGIN,
    COMMIT,
    ROLLBACK,
    FORGET,
    KEEP_FIND,
    KEEP_SUM,
    KEEP_DELETE,
    KEEP_SPAN,
    KEEP_SPAN_END,
    STATEMENTS
};

struct store {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    sqlite3_stmt *put[SHAPES], *put_many[SHAPES]; // made when first needed
    struct store_wait wait[SHAPES];
    struct map kinds;                       // what a kind is made of -> struct store_kind
    struct store_kind recent[STORE_RECENT]; // by a cheap hash; before `kinds` is asked
    struct arena arena;
    uint64_t next_row;
    struct store_span span; // of rows that this transaction appended, when `spanned`
    bool spanned;
    uint64_t converted;
    ino_t beside[STORE_BESIDE]; // 0: none
    int code;                   // of the last failure
    char words[200];
};

enum result store_failed(struct store *s, int code);
enum result store_step(struct store *s, enum store_statement i);
// As store_find, of any connection; SQLite's code.
int store_find_in(sqlite3 *db, struct store_known *tickets, size_t count);
int store_bind_text(sqlite3_stmt *st, int at, struct slice text);
int store_bind_number(sqlite3_stmt *st, int at, int64_t v); // NULL for STORE_UNKNOWN

// store_row.c
enum result store_flush(struct store *s); // writes the rows that wait
enum result store_write_span(struct store *s);
void store_forget_rows(struct store *s);
void store_close_rows(struct store *s);

// store_place.c
void store_note_place(struct store *s); // once it is open

// store_old.c
// Within a transaction: makes rows of this version of those in `attempt_1`.
enum result store_convert(struct store *s);

#endif
