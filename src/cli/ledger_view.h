// What the verbs of `merit ledger` share: where the ledger is, spans of time, amounts as people and programs read them.
#ifndef MERIT_CLI_LEDGER_VIEW_H
#define MERIT_CLI_LEDGER_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "cli/args.h"
#include "cli/conf.h"
#include "ledger/report.h"

enum { LEDGER_OUT_MAX = 1 << 20 };

struct ledger_view {
    // Options, set before ledger_view_open.
    const char *conf_path, *directory, *since, *until;
    // Open from here on.
    struct conf conf;
    struct report *report;
    const char *found; // the ledger's directory, the given one or that of the settings
    struct report_span span;
    uint64_t now_us;
    struct buf out; // standard output, written by ledger_view_drain
    bool closed;    // whoever reads it is gone
};

// Reads the settings, opens the store and makes the span: `since` and `until` may be a day ("2026-11-21"), an instant
// ("2026-11-21T10:00:00Z"), a time ago ("7d", "12h") or NULL: everything. ARGS_GO_ON, or the exit code, with the reason on
// standard error.
int ledger_view_open(struct ledger_view *v, const char *command);
// Writes what `out` holds; false when it cannot be written.
bool ledger_view_drain(struct ledger_view *v);
// Drains and closes; the exit code.
int ledger_view_close(struct ledger_view *v, const char *command, enum result r);

// Dollars for a table: two places from 100 on, else enough for three digits.
void ledger_put_usd(struct buf *out, int64_t nusd);
// An amount of a unit with its name: "1.25 usd", "3.4 kJ", "12 g", "4,096 tok".
void ledger_put_amount(struct buf *out, enum image_unit unit, int64_t amount);
// A cell of a table, padded to `width` bytes: "-" when empty. Names come from clients and files: what a terminal would obey
// is shown as "?".
void ledger_put_text(struct buf *out, size_t width, struct slice text);
// A CSV cell, quoted where it must be. One that a spreadsheet would take for a formula gets an apostrophe before it.
void ledger_put_csv(struct buf *out, struct slice text);
const char *ledger_window_name(enum image_window w); // "day"

#endif
