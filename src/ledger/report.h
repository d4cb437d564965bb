// Reading the store, while a server writes it or after: sums by group, rows, budgets. Read-only; sees what is committed.
//
// One thread. Sums and rows have nothing of the journal: what is under way, and what was settled in the last tenth of a
// second, is not in them yet.
#ifndef MERIT_LEDGER_REPORT_H
#define MERIT_LEDGER_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "ledger/flight.h"
#include "ledger/ledger.h"

struct report;

// RESULT_NOT_FOUND (no store there yet), RESULT_VERSION, RESULT_IO, RESULT_NOMEM, with a sentence in `why`.
enum result report_open(struct report **out, const char *directory,
                        struct buf *why) MERIT_NODISCARD;
void report_close(struct report *r);                // NULL: no-op
const char *report_problem(const struct report *r); // SQLite's words for the last RESULT_IO

// Attempts reserved from `since_us` on and before `until_us`.
struct report_span {
    uint64_t since_us, until_us;
};

enum report_by {
    REPORT_MODEL,
    REPORT_ROUTE,
    REPORT_TENANT,
    REPORT_TEAM,
    REPORT_CALLER,
    REPORT_KEY,
    REPORT_SESSION,
    REPORT_EFFORT,
    REPORT_PLACE,
    REPORT_END,
    REPORT_HOUR, // "2026-11-21T20", UTC
    REPORT_DAY,
    REPORT_MONTH,
    REPORT_BY_COUNT_
};
enum { REPORT_BY_MAX = 4 };
const char *report_by_name(enum report_by by); // "model"
bool report_by_find(struct slice name, enum report_by *out);

// Sums of one group, of the attempts of which an amount is known; negative when it is known of none.
struct report_sum {
    struct slice of[REPORT_BY_MAX]; // the group; empty where nothing is known
    int64_t attempts, answered, estimated, unconfirmed;
    int64_t input_tok, cached_tok, output_tok;
    struct ledger_amounts took, expected;
    // Where it is known what frontier-by-default would have taken: how many, that, and what these took themselves.
    int64_t compared;
    struct ledger_amounts baseline, compared_took;
};

// Of rows that are no longer kept there are sums by day: a span has those of the days that begin in it, their hour is the
// day, their session is not known.
// Calls `each` group by group, dearest first, times in their order; stops when it returns false. Without `by` there is one
// group, of everything. RESULT_IO.
enum result report_sums(struct report *r, struct report_span span, const enum report_by *by,
                        uint32_t by_count, bool (*each)(void *context, const struct report_sum *s),
                        void *context) MERIT_NODISCARD;

// One value of a row; `known` is false for what is not known.
struct report_cell {
    const char *name;
    bool known, is_number;
    int64_t number;
    struct slice text;
};
// Calls `each` row by row in the order in which attempts ended, at most `limit` (0: all), the last ones when `newest`, with
// the columns of the view `attempts`. RESULT_IO.
enum result report_rows(struct report *r, struct report_span span, uint64_t limit, bool newest,
                        bool (*each)(void *context, const struct report_cell *cells,
                                     uint32_t count),
                        void *context) MERIT_NODISCARD;

struct report_budget {
    struct slice name, holder;
    enum image_unit unit;
    enum image_window window;
    bool hard;
    int64_t limit;      // of the last ask; negative: not known
    int64_t used;       // settled
    int64_t reserved;   // of attempts that are under way; negative: not known
    uint64_t renews_us; // 0: never
    double lambda;      // of a paced one (ledger/pacer.h)
};
typedef bool report_each_budget(void *context, const struct report_budget *b);
// Budgets whose window holds at `now_us`, the most used share first. `f`, read a moment before, has what the journal holds;
// it is sorted anew. Accounts that only it knows come last, without a name. NULL: only the store is looked at. RESULT_IO.
enum result report_budgets(struct report *r, struct flight *f, uint64_t now_us,
                           report_each_budget *each, void *context) MERIT_NODISCARD;

#endif
