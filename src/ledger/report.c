#include "ledger/report.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "ledger/store_file.h"
#include "ledger/window.h"

enum { BUSY_MS = 2000, SQL_MAX = 16384, CELLS_MAX = 64 };
// Rows between the first and the last block that has one of ?1 to ?2.
#define REPORT_ROWS_OF_SPAN(row)                                                                   \
    row " >= (SELECT coalesce(min(block), 0) * " STORE_BLOCK_TEXT                                  \
        " FROM span WHERE most_us >= ?1 AND least_us < ?2) AND " row                               \
        " < (SELECT coalesce(max(block) + 1, 0) * " STORE_BLOCK_TEXT                               \
        " FROM span WHERE most_us >= ?1 AND least_us < ?2)"

struct report {
    sqlite3 *db;
};

#define NAME_OF(column) "(SELECT text FROM name WHERE name.id = g." column ")"

// Times of sums are those of whole days, told by being negative.
static const struct {
    const char *name;
    const char *shown;
} BY[REPORT_BY_COUNT_] = {
    [REPORT_MODEL] = {"model", NAME_OF("model")},
    [REPORT_ROUTE] = {"route", NAME_OF("route")},
    [REPORT_TENANT] = {"tenant", NAME_OF("tenant")},
    [REPORT_TEAM] = {"team", NAME_OF("team")},
    [REPORT_CALLER] = {"caller", NAME_OF("caller")},
    [REPORT_KEY] = {"key", NAME_OF("key")},
    [REPORT_SESSION] = {"session", "g.session"},
    [REPORT_EFFORT] = {"effort", NAME_OF("effort")},
    [REPORT_PLACE] = {"place", NAME_OF("place")},
    [REPORT_END] = {"end", "CASE g.end WHEN 0 THEN 'answered' WHEN 1 THEN 'failed' WHEN 2 THEN"
                           " 'broken' WHEN 3 THEN 'gone' ELSE 'unconfirmed' END"},
    [REPORT_HOUR] = {"hour",
                     "CASE WHEN g.hour < 0 THEN strftime('%Y-%m-%d', g.hour * -3600, 'unixepoch')"
                     " ELSE strftime('%Y-%m-%dT%H', g.hour * 3600, 'unixepoch') END"},
    [REPORT_DAY] = {"day", "strftime('%Y-%m-%d', g.day * 86400, 'unixepoch')"},
    [REPORT_MONTH] = {"month", "g.month"},
};

const char *report_by_name(enum report_by by)
{
    return BY[by].name;
}

bool report_by_find(struct slice name, enum report_by *out)
{
    for (int i = 0; i < REPORT_BY_COUNT_; i++) {
        if (slice_eq_cstr(name, BY[i].name)) {
            *out = (enum report_by)i;
            return true;
        }
    }
    return false;
}

const char *report_problem(const struct report *r)
{
    return sqlite3_errmsg(r->db);
}

static int number_of(sqlite3 *db, const char *sql, int64_t *out)
{
    sqlite3_stmt *st = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(st);
    if (code == SQLITE_ROW)
        *out = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return code == SQLITE_ROW ? SQLITE_OK : code;
}

// A store in a folder that this user cannot write has no place for what readers share; without a writer and a log none is
// needed.
static int open_still(struct report *r, const char *path)
{
    char wal[PATH_MAX], uri[PATH_MAX + 32];
    sqlite3_close(r->db);
    r->db = NULL;
    if (snprintf(wal, sizeof wal, "%s-wal", path) >= (int)sizeof wal || access(wal, F_OK) == 0 ||
        strpbrk(path, "?#%"))
        return SQLITE_CANTOPEN;
    snprintf(uri, sizeof uri, "file:%s?immutable=1", path);
    return sqlite3_open_v2(uri, &r->db,
                           SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI, NULL);
}

enum result report_open(struct report **out, const char *directory, struct buf *why)
{
    char path[PATH_MAX];
    struct report *r = NULL;
    int64_t version = 0;
    if (snprintf(path, sizeof path, "%s/" STORE_FILE, directory) >= (int)sizeof path ||
        access(path, F_OK)) {
        buf_printf(why, "there is no ledger in %s yet", directory);
        return RESULT_NOT_FOUND;
    }
    r = alloc_zeroed(1, sizeof *r);
    if (!r) {
        buf_cstr(why, "no memory");
        return RESULT_NOMEM;
    }
    int code = sqlite3_open_v2(path, &r->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    if (!code)
        code = sqlite3_busy_timeout(r->db, BUSY_MS);
    if (!code)
        code = number_of(r->db, "PRAGMA user_version", &version);
    if (code == SQLITE_CANTOPEN || code == SQLITE_READONLY) {
        code = open_still(r, path);
        if (!code)
            code = number_of(r->db, "PRAGMA user_version", &version);
    }
    if (code || version != STORE_VERSION) {
        if (code)
            buf_printf(why, "%s cannot be read: %s", path, r->db ? sqlite3_errmsg(r->db) : "");
        else
            buf_printf(why, "%s is of version %lld, this program reads %d%s", path,
                       (long long)version, STORE_VERSION,
                       version == STORE_FIRST_VERSION ? "; `merit serve` converts it when it starts"
                                                      : "");
        report_close(r);
        return code ? RESULT_IO : RESULT_VERSION;
    }
    *out = r;
    return RESULT_OK;
}

void report_close(struct report *r)
{
    if (!r)
        return;
    sqlite3_close(r->db);
    alloc_free(r);
}

// --- sums

// Three steps: rows are summed by kind (and time, and session), beside the sums of rows that are no longer kept; those by
// what kinds have in common; and names are looked up once per group. Sums are integers; one above 2^63 (nine billion USD)
// is an error, not a wrong figure.

// Amounts of a row, and of a day's sums, under the same names.
static const char *const SUMS[] = {"input_tok",     "cached_tok",    "output_tok",  "took_nusd",
                                   "took_uj",       "took_ug",       "took_ms",     "took_tok",
                                   "expected_nusd", "expected_uj",   "expected_ug", "expected_ms",
                                   "expected_tok",  "baseline_nusd", "baseline_uj", "baseline_ug"};
static const char *const COMPARED[] = {"nusd", "uj", "ug"};

// What of a group lies in rows rather than in kinds: times and the session.
static const struct {
    enum report_by by;
    const char *of_rows, *of_days;
} IN_ROWS[] = {
    {REPORT_SESSION, "session", "NULL"},
    {REPORT_HOUR, "at_us / 3600000000", "day * -24"},
    {REPORT_DAY, "at_us / 86400000000", "day"},
    {REPORT_MONTH, "strftime('%Y-%m', at_us / 1000000, 'unixepoch')",
     "strftime('%Y-%m', day * 86400, 'unixepoch')"},
};

static bool in_rows(enum report_by by)
{
    return by == REPORT_SESSION || by >= REPORT_HOUR;
}

static bool asks(const enum report_by *by, uint32_t count, enum report_by what)
{
    for (uint32_t i = 0; i < count; i++)
        if (by[i] == what)
            return true;
    return false;
}

// Where hours or sessions are asked for, rows of one kind are hardly ever in one group: they are not summed beforehand.
static void rows_sql(struct buf *sql, const enum report_by *by, uint32_t count)
{
    bool apart = asks(by, count, REPORT_HOUR) || asks(by, count, REPORT_SESSION);
    const char *sum = apart ? "" : "sum";
    buf_cstr(sql, apart ? "SELECT kind, 1 AS attempts, baseline_nusd IS NOT NULL AS compared"
                        : "SELECT kind, count(*) AS attempts, count(baseline_nusd) AS compared");
    for (size_t i = 0; i < MERIT_COUNT(SUMS); i++)
        buf_printf(sql, ", %s(%s) AS %s", sum, SUMS[i], SUMS[i]);
    for (size_t i = 0; i < MERIT_COUNT(COMPARED); i++)
        buf_printf(sql, ", %s(CASE WHEN baseline_%s IS NOT NULL THEN took_%s END) AS compared_%s",
                   sum, COMPARED[i], COMPARED[i], COMPARED[i]);
    for (size_t i = 0; i < MERIT_COUNT(IN_ROWS); i++)
        if (asks(by, count, IN_ROWS[i].by))
            buf_printf(sql, ", %s AS %s", IN_ROWS[i].of_rows, BY[IN_ROWS[i].by].name);
    BUF_LIT(sql,
            " FROM attempt WHERE " REPORT_ROWS_OF_SPAN("id") " AND at_us >= ?1 AND at_us < ?2");
    if (!apart)
        BUF_LIT(sql, " GROUP BY kind");
    for (size_t i = 0; i < MERIT_COUNT(IN_ROWS) && !apart; i++)
        if (asks(by, count, IN_ROWS[i].by))
            buf_printf(sql, ", %s", IN_ROWS[i].of_rows);
    BUF_LIT(sql, " UNION ALL SELECT kind, attempts, compared");
    for (size_t i = 0; i < MERIT_COUNT(SUMS); i++)
        buf_printf(sql, ", %s", SUMS[i]);
    for (size_t i = 0; i < MERIT_COUNT(COMPARED); i++)
        buf_printf(sql, ", compared_%s", COMPARED[i]);
    for (size_t i = 0; i < MERIT_COUNT(IN_ROWS); i++)
        if (asks(by, count, IN_ROWS[i].by))
            buf_printf(sql, ", %s", IN_ROWS[i].of_days);
    BUF_LIT(sql, " FROM day WHERE day >= (?1 + 86399999999) / 86400000000"
                 " AND day < (?2 + 86399999999) / 86400000000");
}

static void took_sql(struct buf *sql)
{
    static const char *const took[LEDGER_UNITS] = {
        "took_nusd",
        "took_uj",
        "took_ug",
        "took_ms",
        "CASE WHEN tok_sum THEN input_tok + output_tok ELSE took_tok END",
        "attempts * took_calls",
        "attempts * took_requests"};
    static const char *const expected[LEDGER_UNITS] = {"expected_nusd",
                                                       "expected_uj",
                                                       "expected_ug",
                                                       "expected_ms",
                                                       "expected_tok",
                                                       "attempts * expected_calls",
                                                       "attempts * expected_requests"};
    static const char *const baseline[LEDGER_UNITS] = {"baseline_nusd",
                                                       "baseline_uj",
                                                       "baseline_ug",
                                                       "attempts * baseline_ms",
                                                       "attempts * baseline_tok",
                                                       "attempts * baseline_calls",
                                                       "attempts * baseline_requests"};
    for (int i = 0; i < LEDGER_UNITS; i++)
        buf_printf(sql, ", sum(%s)", took[i]);
    for (int i = 0; i < LEDGER_UNITS; i++)
        buf_printf(sql, ", sum(%s)", expected[i]);
    BUF_LIT(sql, ", sum(compared)");
    for (int i = 0; i < LEDGER_UNITS; i++)
        buf_printf(sql, ", sum(%s)", baseline[i]);
    for (int i = 0; i < LEDGER_UNITS; i++) {
        const char *unit = ledger_unit_name((enum image_unit)i);
        if (i < (int)MERIT_COUNT(COMPARED))
            buf_printf(sql, ", sum(compared_%s)", unit);
        else
            buf_printf(sql, ", sum(CASE WHEN baseline_%s IS NOT NULL THEN %s END)", unit, took[i]);
    }
}

static void sums_sql(struct buf *sql, const enum report_by *by, uint32_t count)
{
    BUF_LIT(sql, "SELECT ");
    for (uint32_t i = 0; i < count; i++)
        buf_printf(sql, "%s, ", BY[by[i]].shown);
    BUF_LIT(sql, "g.* FROM (SELECT sum(attempts), sum(attempts * (end = 0)),"
                 " sum(attempts * estimated), sum(attempts * (end = 4)), sum(input_tok),"
                 " sum(cached_tok), sum(output_tok)");
    took_sql(sql);
    for (uint32_t i = 0; i < count; i++)
        buf_printf(sql, ", %s.%s AS %s", in_rows(by[i]) ? "r" : "k", BY[by[i]].name,
                   BY[by[i]].name);
    BUF_LIT(sql, ", sum(took_nusd) AS dear FROM (");
    rows_sql(sql, by, count);
    BUF_LIT(sql, ") AS r LEFT JOIN kind AS k ON k.id = r.kind");
    for (uint32_t i = 0; i < count; i++)
        buf_printf(sql, "%s%s.%s", i ? ", " : " GROUP BY ", in_rows(by[i]) ? "r" : "k",
                   BY[by[i]].name);
    BUF_LIT(sql, ") AS g ORDER BY ");
    for (uint32_t i = 0; i < count; i++)
        if (by[i] >= REPORT_HOUR)
            buf_printf(sql, by[i] == REPORT_HOUR ? "abs(g.%s), " : "g.%s, ", BY[by[i]].name);
    BUF_LIT(sql, "g.dear DESC, 1");
}

static struct slice text_of(sqlite3_stmt *st, int column)
{
    const unsigned char *text = sqlite3_column_text(st, column);
    return text ? slice_make(text, (size_t)sqlite3_column_bytes(st, column)) : SLICE_EMPTY;
}

static void amounts_of(sqlite3_stmt *st, int *at, struct ledger_amounts *out)
{
    for (int i = 0; i < LEDGER_UNITS; i++) {
        bool known = sqlite3_column_type(st, *at) != SQLITE_NULL;
        out->of[i] = known ? sqlite3_column_int64(st, *at) : -1;
        ++*at;
    }
}

enum result report_sums(struct report *r, struct report_span span, const enum report_by *by,
                        uint32_t by_count, bool (*each)(void *context, const struct report_sum *s),
                        void *context)
{
    struct buf sql;
    sqlite3_stmt *st = NULL;
    buf_init(&sql, SQL_MAX);
    sums_sql(&sql, by, by_count < REPORT_BY_MAX ? by_count : REPORT_BY_MAX);
    int code = buf_result(&sql) ? SQLITE_NOMEM
                                : sqlite3_prepare_v2(r->db, sql.ptr, (int)sql.len, &st, NULL);
    buf_deinit(&sql);
    if (!code) {
        sqlite3_bind_int64(st, 1, (int64_t)span.since_us);
        sqlite3_bind_int64(st, 2, (int64_t)span.until_us);
    }
    while (!code && (code = sqlite3_step(st)) == SQLITE_ROW) {
        struct report_sum s = {0};
        int at = 0;
        code = SQLITE_OK;
        for (uint32_t i = 0; i < by_count; i++)
            s.of[i] = text_of(st, at++);
        int64_t *const counts[] = {&s.attempts,  &s.answered,   &s.estimated, &s.unconfirmed,
                                   &s.input_tok, &s.cached_tok, &s.output_tok};
        for (size_t i = 0; i < MERIT_COUNT(counts); i++)
            *counts[i] = sqlite3_column_int64(st, at++);
        amounts_of(st, &at, &s.took);
        amounts_of(st, &at, &s.expected);
        s.compared = sqlite3_column_int64(st, at++);
        amounts_of(st, &at, &s.baseline);
        amounts_of(st, &at, &s.compared_took);
        // Without groups there is a row even of nothing.
        if (s.attempts && !each(context, &s))
            code = SQLITE_DONE;
    }
    sqlite3_finalize(st);
    return code == SQLITE_DONE ? RESULT_OK : RESULT_IO;
}

// --- rows

enum result report_rows(struct report *r, struct report_span span, uint64_t limit, bool newest,
                        bool (*each)(void *context, const struct report_cell *cells,
                                     uint32_t count),
                        void *context)
{
    struct report_cell cells[CELLS_MAX];
    sqlite3_stmt *st = NULL;
    const char *sql = newest
                          ? "SELECT * FROM (SELECT * FROM attempts WHERE " REPORT_ROWS_OF_SPAN(
                                "row") " AND at_us >= ?1 AND at_us < ?2 ORDER BY row DESC LIMIT ?3)"
                                       " ORDER BY row"
                          : "SELECT * FROM attempts WHERE " REPORT_ROWS_OF_SPAN(
                                "row") " AND at_us >= ?1 AND at_us < ?2 ORDER BY row LIMIT ?3";
    int code = sqlite3_prepare_v2(r->db, sql, -1, &st, NULL);
    if (!code) {
        sqlite3_bind_int64(st, 1, (int64_t)span.since_us);
        sqlite3_bind_int64(st, 2, (int64_t)span.until_us);
        sqlite3_bind_int64(st, 3, limit ? (int64_t)limit : -1);
    }
    while (!code && (code = sqlite3_step(st)) == SQLITE_ROW) {
        int count = sqlite3_column_count(st);
        code = SQLITE_OK;
        for (int i = 0; i < count && i < CELLS_MAX; i++) {
            int type = sqlite3_column_type(st, i);
            cells[i] = (struct report_cell){.name = sqlite3_column_name(st, i),
                                            .known = type != SQLITE_NULL,
                                            .is_number = type == SQLITE_INTEGER,
                                            .number = sqlite3_column_int64(st, i),
                                            .text = text_of(st, i)};
        }
        if (!each(context, cells, (uint32_t)(count < CELLS_MAX ? count : CELLS_MAX)))
            code = SQLITE_DONE;
    }
    sqlite3_finalize(st);
    return code == SQLITE_DONE ? RESULT_OK : RESULT_IO;
}

// --- budgets

// What is reserved of an account at the moment, and what is settled and not in its row yet.
struct moment {
    struct flight_draw key; // of any of its draws
    int64_t reserved, settled;
    bool shown;
};

static int by_account(const void *a, const void *b)
{
    const struct flight_draw *x = a, *y = b;
    if (x->account != y->account)
        return x->account < y->account ? -1 : 1;
    if (x->window != y->window)
        return x->window < y->window ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

static int by_ticket(const void *a, const void *b)
{
    const struct store_known *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

// Attempts whose rows came into the store since the journal was read are in its sums.
static enum result find_stored(struct report *r, const struct flight *f, struct store_known *known,
                               size_t *count)
{
    size_t n = 0;
    for (size_t i = 0; i < f->count; i++)
        if (!i || f->draws[i].ticket != f->draws[i - 1].ticket)
            known[n++] = (struct store_known){.id = f->draws[i].ticket};
    if (n)
        qsort(known, n, sizeof *known, by_ticket);
    *count = n;
    return store_find_in(r->db, known, n) ? RESULT_IO : RESULT_OK;
}

static enum result sum_moments(struct report *r, struct flight *f, struct moment **out,
                               size_t *out_count)
{
    size_t known_count = 0, n = 0;
    struct moment *m = alloc_zeroed(f->count + 1, sizeof *m);
    struct store_known *known = alloc_zeroed(f->count + 1, sizeof *known);
    enum result result = m && known ? find_stored(r, f, known, &known_count) : RESULT_NOMEM;
    if (!result && f->count)
        qsort(f->draws, f->count, sizeof *f->draws, by_account);
    for (size_t i = 0; i < f->count && !result; i++) {
        const struct flight_draw *d = &f->draws[i];
        const struct store_known key = {.id = d->ticket};
        const struct store_known *k = bsearch(&key, known, known_count, sizeof *known, by_ticket);
        if (k && k->there)
            continue;
        if (!n || by_account(&m[n - 1].key, d))
            m[n++] = (struct moment){.key = *d};
        *(d->settled ? &m[n - 1].settled : &m[n - 1].reserved) += d->amount;
    }
    alloc_free(known);
    if (result)
        alloc_free(m);
    else
        *out = m;
    *out_count = n;
    return result;
}

static struct moment *moment_of(struct moment *m, size_t count, const struct flight_draw *key)
{
    return count ? bsearch(key, m, count, sizeof *m, by_account) : NULL;
}

// Accounts of which nothing is in the store yet: their names are not known, nor their limits.
static bool show_others(const struct moment *m, size_t count, uint64_t now_us,
                        report_each_budget *each, void *context)
{
    for (size_t i = 0; i < count; i++) {
        const struct flight_draw *k = &m[i].key;
        if (m[i].shown ||
            (k->window != IMAGE_PER_LIFE && window_number(k->window, now_us) != k->number))
            continue;
        const struct report_budget b = {.unit = k->unit,
                                        .window = k->window,
                                        .hard = k->hard,
                                        .limit = -1,
                                        .used = m[i].settled,
                                        .reserved = m[i].reserved,
                                        .renews_us = window_end(k->window, now_us)};
        if (!each(context, &b))
            return false;
    }
    return true;
}

static int show_accounts(sqlite3_stmt *st, struct moment *m, size_t count, bool known,
                         uint64_t now_us, report_each_budget *each, void *context)
{
    int code;
    while ((code = sqlite3_step(st)) == SQLITE_ROW) {
        int64_t unit = sqlite3_column_int64(st, 2), window = sqlite3_column_int64(st, 3);
        if (unit < 0 || unit >= LEDGER_UNITS || window < 0 || window > IMAGE_PER_LIFE)
            continue;
        const struct flight_draw key = {.account = (uint64_t)sqlite3_column_int64(st, 9),
                                        .window = (enum image_window)window,
                                        .number = (uint64_t)sqlite3_column_int64(st, 4)};
        // One that began in a clock's future is not there yet.
        if (window_begin(key.window, key.number) > now_us)
            continue;
        struct moment *now = moment_of(m, count, &key);
        struct report_budget b = {
            .name = text_of(st, 0),
            .holder = text_of(st, 1),
            .unit = (enum image_unit)unit,
            .window = key.window,
            .hard = sqlite3_column_int(st, 5) & 1,
            .limit = sqlite3_column_type(st, 6) == SQLITE_NULL ? -1 : sqlite3_column_int64(st, 6),
            .used = sqlite3_column_int64(st, 7) + (now ? now->settled : 0),
            .reserved = !known ? -1
                        : now  ? now->reserved
                               : 0,
            .renews_us = window_end(key.window, now_us),
            .lambda = sqlite3_column_double(st, 8)};
        if (now)
            now->shown = true;
        if (!each(context, &b))
            return SQLITE_ABORT;
    }
    return code;
}

enum result report_budgets(struct report *r, struct flight *f, uint64_t now_us,
                           report_each_budget *each, void *context)
{
    sqlite3_stmt *st = NULL;
    struct moment *m = NULL;
    size_t count = 0;
    // One look at the store for all.
    int code = sqlite3_exec(r->db, "BEGIN", NULL, NULL, NULL);
    enum result result = code ? RESULT_IO : f ? sum_moments(r, f, &m, &count) : RESULT_OK;
    if (!code && !result)
        code = sqlite3_prepare_v2(
            r->db,
            "SELECT name, holder, unit, window, number, hard, most, used, lambda, account"
            " FROM account WHERE expires_us > ? ORDER BY used * 1.0 / max(1, coalesce(most, used))"
            " DESC, name, holder",
            -1, &st, NULL);
    if (!code && !result) {
        sqlite3_bind_int64(st, 1, (int64_t)now_us);
        code = show_accounts(st, m, count, f != NULL, now_us, each, context);
        if (code == SQLITE_DONE)
            (void)show_others(m, count, now_us, each, context);
        code = code == SQLITE_DONE || code == SQLITE_ABORT ? SQLITE_OK : code;
    }
    sqlite3_finalize(st);
    (void)sqlite3_exec(r->db, "COMMIT", NULL, NULL, NULL);
    alloc_free(m);
    return result ? result : code ? RESULT_IO : RESULT_OK;
}
