#include "ledger/report.h"

#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "ledger/store.h"
#include "ledger/window.h"

enum { BUSY_MS = 2000, SQL_MAX = 4096, CELLS_MAX = 64 };

struct report {
    sqlite3 *db;
};

static const struct {
    const char *name;
    const char *expression;
} BY[REPORT_BY_COUNT_] = {
    [REPORT_MODEL] = {"model", "(SELECT text FROM name WHERE name.id = g.model)"},
    [REPORT_ROUTE] = {"route", "(SELECT text FROM name WHERE name.id = g.route)"},
    [REPORT_TENANT] = {"tenant", "(SELECT text FROM name WHERE name.id = g.tenant)"},
    [REPORT_TEAM] = {"team", "(SELECT text FROM name WHERE name.id = g.team)"},
    [REPORT_CALLER] = {"caller", "(SELECT text FROM name WHERE name.id = g.caller)"},
    [REPORT_KEY] = {"key", "(SELECT text FROM name WHERE name.id = g.key)"},
    [REPORT_SESSION] = {"session", "g.session"},
    [REPORT_EFFORT] = {"effort", "(SELECT text FROM name WHERE name.id = g.effort)"},
    [REPORT_PLACE] = {"place", "(SELECT text FROM name WHERE name.id = g.place)"},
    [REPORT_END] = {"end", NULL},
    [REPORT_HOUR] = {"hour", "strftime('%Y-%m-%dT%H', g.hour * 3600, 'unixepoch')"},
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
            buf_printf(why, "%s is of version %lld, this program reads %d", path,
                       (long long)version, STORE_VERSION);
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

// Groups by the numbers that rows hold and looks names up once per group. Sums are integers; one above 2^63 (nine
// billion USD) is an error, not a wrong figure.
static void sums_sql(struct buf *sql, const enum report_by *by, uint32_t count)
{
    BUF_LIT(sql, "SELECT ");
    for (uint32_t i = 0; i < count; i++) {
        if (by[i] == REPORT_END)
            BUF_LIT(sql, "CASE g.end WHEN 0 THEN 'answered' WHEN 1 THEN 'failed' WHEN 2 THEN "
                         "'broken' WHEN 3 THEN 'gone' ELSE 'unconfirmed' END, ");
        else
            buf_printf(sql, "%s, ", BY[by[i]].expression);
    }
    BUF_LIT(sql, "g.* FROM (SELECT count(*), sum(end = 0), sum(estimated), sum(end = 4), "
                 "sum(input_tok), sum(cached_tok), sum(output_tok)");
    static const char *const PREFIXES[] = {"took", "expected"};
    for (int p = 0; p < 2; p++)
        for (int i = 0; i < LEDGER_UNITS; i++)
            buf_printf(sql, ", sum(%s_%s)", PREFIXES[p], ledger_unit_name((enum image_unit)i));
    BUF_LIT(sql, ", count(baseline_nusd)");
    for (int i = 0; i < LEDGER_UNITS; i++)
        buf_printf(sql, ", sum(baseline_%s)", ledger_unit_name((enum image_unit)i));
    for (int i = 0; i < LEDGER_UNITS; i++) {
        const char *unit = ledger_unit_name((enum image_unit)i);
        buf_printf(sql, ", sum(CASE WHEN baseline_%s IS NOT NULL THEN took_%s END)", unit, unit);
    }
    for (uint32_t i = 0; i < count; i++) {
        static const char *const times[] = {
            "at_us / 3600000000 AS hour", "at_us / 86400000000 AS day",
            "strftime('%Y-%m', at_us / 1000000, 'unixepoch') AS month"};
        buf_printf(sql, ", %s", by[i] >= REPORT_HOUR ? times[by[i] - REPORT_HOUR] : BY[by[i]].name);
    }
    BUF_LIT(sql, ", sum(took_nusd) AS dear FROM attempt WHERE at_us >= ?1 AND at_us < ?2");
    for (uint32_t i = 0; i < count; i++)
        buf_printf(sql, "%s%s", i ? ", " : " GROUP BY ", BY[by[i]].name);
    BUF_LIT(sql, ") AS g ORDER BY ");
    for (uint32_t i = 0; i < count; i++)
        if (by[i] >= REPORT_HOUR)
            buf_printf(sql, "g.%s, ", BY[by[i]].name);
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
    const char *sql =
        newest
            ? "SELECT * FROM attempts WHERE at_us >= ? AND at_us < ? ORDER BY at_us DESC, id DESC"
              " LIMIT ?"
            : "SELECT * FROM attempts WHERE at_us >= ? AND at_us < ? ORDER BY at_us, id LIMIT ?";
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

enum result report_budgets(struct report *r, uint64_t now_us,
                           bool (*each)(void *context, const struct report_budget *b),
                           void *context)
{
    sqlite3_stmt *st = NULL;
    int code = sqlite3_prepare_v2(
        r->db,
        "SELECT name, holder, unit, window, number, hard, most, used, lambda FROM account"
        " WHERE expires_us > ? ORDER BY used * 1.0 / max(1, coalesce(most, used)) DESC, name,"
        " holder",
        -1, &st, NULL);
    if (!code)
        sqlite3_bind_int64(st, 1, (int64_t)now_us);
    while (!code && (code = sqlite3_step(st)) == SQLITE_ROW) {
        int64_t unit = sqlite3_column_int64(st, 2), window = sqlite3_column_int64(st, 3);
        code = SQLITE_OK;
        if (unit < 0 || unit >= LEDGER_UNITS || window < 0 || window > IMAGE_PER_LIFE)
            continue;
        uint64_t number = (uint64_t)sqlite3_column_int64(st, 4);
        // One that began in a clock's future is not there yet.
        if (window_begin((enum image_window)window, number) > now_us)
            continue;
        struct report_budget b = {
            .name = text_of(st, 0),
            .holder = text_of(st, 1),
            .unit = (enum image_unit)unit,
            .window = (enum image_window)window,
            .hard = sqlite3_column_int(st, 5),
            .limit = sqlite3_column_type(st, 6) == SQLITE_NULL ? -1 : sqlite3_column_int64(st, 6),
            .used = sqlite3_column_int64(st, 7),
            .renews_us = window_end((enum image_window)window, now_us),
            .lambda = sqlite3_column_double(st, 8)};
        if (!each(context, &b))
            code = SQLITE_DONE;
    }
    sqlite3_finalize(st);
    return code == SQLITE_DONE ? RESULT_OK : RESULT_IO;
}
