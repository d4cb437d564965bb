#include "ledger/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "ledger/store_file.h"

enum { APPLICATION_ID = 0x4d4c4447 }; // "MLDG"

// clang-format off
#define OF_KIND(column) "k." column " AS " column
#define OF_ROW(column) "a." column " AS " column
#define NAME_OF(column) "(SELECT text FROM name WHERE name.id = k." column ") AS " column

// Amounts are NULL where they are not known; `tok_sum` says that what was taken is input and output; `end` is enum
// ledger_end; key, caller, ... are numbers of names, `policy` the name is a digest in hex. Columns have no types and no
// constraints, which would be looked at for each row.
static const char SCHEMA[] =
    "CREATE TABLE attempt (id INTEGER PRIMARY KEY, kind, at_us, for_us, input_tok, cached_tok,"
    " output_tok, took_nusd, expected_nusd, baseline_nusd, took_uj, took_ug, expected_uj,"
    " expected_ug, baseline_uj, baseline_ug, took_ms, took_tok, expected_ms, expected_tok,"
    " bound_nusd, bound_uj, bound_ug, bound_ms, bound_tok, ticket, decision, session, loop);"
    "CREATE TABLE kind (id INTEGER PRIMARY KEY, key, caller, team, tenant, route, model, effort,"
    " place, policy, reason, attempt, end, estimated, cut, tok_sum, took_calls, took_requests,"
    " expected_calls, expected_requests, bound_calls, bound_requests, baseline_ms, baseline_tok,"
    " baseline_calls, baseline_requests);"
    "CREATE TABLE span (block INTEGER PRIMARY KEY, least_us, most_us, least_ticket, most_ticket);"
    "CREATE TABLE day (day, kind, attempts, input_tok, cached_tok, output_tok, took_nusd, took_uj,"
    " took_ug, took_ms, took_tok, expected_nusd, expected_uj, expected_ug, expected_ms,"
    " expected_tok, compared, baseline_nusd, baseline_uj, baseline_ug, compared_nusd, compared_uj,"
    " compared_ug, PRIMARY KEY (day, kind)) WITHOUT ROWID;"
    "CREATE VIEW attempts AS SELECT a.ticket AS id,"
    " strftime('%Y-%m-%dT%H:%M:%fZ', a.at_us / 1e6, 'unixepoch') AS at, " OF_ROW("at_us") ","
    " a.at_us + a.for_us AS end_us, " OF_ROW("decision") ", " OF_KIND("attempt") ", "
    NAME_OF("key") ", " NAME_OF("caller") ", " NAME_OF("team") ", " NAME_OF("tenant") ", "
    OF_ROW("session") ", " OF_ROW("loop") ", " NAME_OF("route") ", " NAME_OF("model") ", "
    NAME_OF("effort") ", " NAME_OF("place") ", " NAME_OF("policy") ","
    " CASE k.end WHEN 0 THEN 'answered' WHEN 1 THEN 'failed' WHEN 2 THEN 'broken'"
    " WHEN 3 THEN 'gone' WHEN 4 THEN 'unconfirmed' END AS end, " OF_KIND("estimated") ", "
    OF_KIND("cut") ", " NAME_OF("reason") ", " OF_ROW("input_tok") ", " OF_ROW("cached_tok") ", "
    OF_ROW("output_tok") ", "
    OF_ROW("took_nusd") ", " OF_ROW("took_uj") ", " OF_ROW("took_ug") ", " OF_ROW("took_ms") ","
    " CASE WHEN k.tok_sum THEN a.input_tok + a.output_tok ELSE a.took_tok END AS took_tok, "
    OF_KIND("took_calls") ", " OF_KIND("took_requests") ", "
    OF_ROW("expected_nusd") ", " OF_ROW("expected_uj") ", " OF_ROW("expected_ug") ", "
    OF_ROW("expected_ms") ", " OF_ROW("expected_tok") ", " OF_KIND("expected_calls") ", "
    OF_KIND("expected_requests") ", "
    OF_ROW("bound_nusd") ", " OF_ROW("bound_uj") ", " OF_ROW("bound_ug") ", "
    OF_ROW("bound_ms") ", " OF_ROW("bound_tok") ", " OF_KIND("bound_calls") ", "
    OF_KIND("bound_requests") ", "
    OF_ROW("baseline_nusd") ", " OF_ROW("baseline_uj") ", " OF_ROW("baseline_ug") ", "
    OF_KIND("baseline_ms") ", " OF_KIND("baseline_tok") ", " OF_KIND("baseline_calls") ", "
    OF_KIND("baseline_requests") ", a.id AS row"
    " FROM attempt AS a LEFT JOIN kind AS k ON k.id = a.kind;";

// As the first version had it, too.
static const char SCHEMA_KEPT[] =
    "CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);"
    "CREATE TABLE account (account INTEGER, window INTEGER, number INTEGER, unit INTEGER NOT NULL,"
    " hard INTEGER NOT NULL, most INTEGER, used INTEGER NOT NULL, expires_us INTEGER NOT NULL,"
    " name TEXT, holder TEXT, count INTEGER NOT NULL, lambda REAL NOT NULL, ema REAL NOT NULL,"
    " ema_nusd REAL NOT NULL, share REAL NOT NULL,"
    " PRIMARY KEY (account, window, number)) WITHOUT ROWID;";

static const char FROM_FIRST[] =
    "DROP VIEW attempts; DROP INDEX attempt_at; ALTER TABLE attempt RENAME TO attempt_1;";

#define SUM(column) "sum(" column ")"
#define COMPARED(unit) "sum(CASE WHEN baseline_" unit " IS NOT NULL THEN took_" unit " END)"
#define MORE(column) column " = CASE WHEN " column " IS NULL THEN excluded." column \
    " ELSE " column " + coalesce(excluded." column ", 0) END"

static const char *const SQL[STATEMENTS] = {
    [NAME_FIND] = "SELECT id FROM name WHERE text = ?",
    [NAME_ADD] = "INSERT INTO name (text) VALUES (?)",
    [KIND_ADD] = "INSERT INTO kind (key, caller, team, tenant, route, model, effort, place, policy,"
                 " reason, attempt, end, estimated, cut, tok_sum, took_calls, took_requests,"
                 " expected_calls, expected_requests, bound_calls, bound_requests, baseline_ms,"
                 " baseline_tok, baseline_calls, baseline_requests)"
                 " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [SPAN_ADD] = "INSERT INTO span VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET"
                 " least_us = min(least_us, ?2), most_us = max(most_us, ?3),"
                 " least_ticket = min(least_ticket, ?4), most_ticket = max(most_ticket, ?5)",
    [LAST_ROW] = "SELECT max(id) FROM attempt",
    [ADD] = "INSERT INTO account VALUES (?1,?2,?3,?4,?5,?6,max(0,?7),?8,?9,?10,?11,?12,?13,?14,?15)"
            " ON CONFLICT DO UPDATE SET used = min(max(0, used + ?7), 4611686018427387904),"
            " hard = (hard & 2) | ?5, most = coalesce(?6, most), expires_us = max(expires_us, ?8),"
            " name = coalesce(?9, name), holder = coalesce(?10, holder), count = max(count, ?11),"
            " lambda = iif(?11, ?12, lambda), ema = iif(?11, ?13, ema),"
            " ema_nusd = iif(?11, ?14, ema_nusd), share = iif(?11, ?15, share)",
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [FORGET] = "DELETE FROM account WHERE expires_us < ?",
    [KEEP_FIND] = "SELECT block FROM span WHERE least_us < ? ORDER BY block LIMIT 1",
    [KEEP_SUM] = "INSERT INTO day SELECT at_us / 86400000000, kind, count(*), " SUM("input_tok") ", "
                 SUM("cached_tok") ", " SUM("output_tok") ", " SUM("took_nusd") ", " SUM("took_uj") ", "
                 SUM("took_ug") ", " SUM("took_ms") ", " SUM("took_tok") ", " SUM("expected_nusd") ", "
                 SUM("expected_uj") ", " SUM("expected_ug") ", " SUM("expected_ms") ", "
                 SUM("expected_tok") ", count(baseline_nusd), " SUM("baseline_nusd") ", "
                 SUM("baseline_uj") ", " SUM("baseline_ug") ", " COMPARED("nusd") ", "
                 COMPARED("uj") ", " COMPARED("ug")
                 " FROM attempt WHERE id >= ?1 AND id < ?2 AND at_us < ?3 GROUP BY 1, 2"
                 " ON CONFLICT DO UPDATE SET attempts = attempts + excluded.attempts,"
                 " input_tok = input_tok + excluded.input_tok,"
                 " cached_tok = cached_tok + excluded.cached_tok,"
                 " output_tok = output_tok + excluded.output_tok,"
                 " compared = compared + excluded.compared, " MORE("took_nusd") ", "
                 MORE("took_uj") ", " MORE("took_ug") ", " MORE("took_ms") ", " MORE("took_tok") ", "
                 MORE("expected_nusd") ", " MORE("expected_uj") ", " MORE("expected_ug") ", "
                 MORE("expected_ms") ", " MORE("expected_tok") ", " MORE("baseline_nusd") ", "
                 MORE("baseline_uj") ", " MORE("baseline_ug") ", " MORE("compared_nusd") ", "
                 MORE("compared_uj") ", " MORE("compared_ug"),
    [KEEP_DELETE] = "DELETE FROM attempt WHERE id >= ?1 AND id < ?2 AND at_us < ?3",
    [KEEP_SPAN] = "UPDATE span SET least_us = coalesce((SELECT min(at_us) FROM attempt"
                  " WHERE id >= ?1 AND id < ?2), 9223372036854775807) WHERE block = ?3",
    // The newest one stays: it knows the largest ticket.
    [KEEP_SPAN_END] = "DELETE FROM span WHERE block = ?1 AND least_us = 9223372036854775807"
                      " AND block < (SELECT max(block) FROM span)",
};
// clang-format on

enum result store_failed(struct store *s, int code)
{
    s->code = code;
    snprintf(s->words, sizeof s->words, "%s", s->db ? sqlite3_errmsg(s->db) : "no memory");
    return RESULT_IO;
}

const char *store_problem(const struct store *s, struct buf *words)
{
    buf_cstr(words, s->words);
    switch (s->code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return "locked";
    case SQLITE_FULL:
        return "full";
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
        return "read-only";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return "damaged";
    default:
        return "failed";
    }
}

static int run(struct store *s, const char *sql)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL);
}

static int number_of(struct store *s, const char *sql, int64_t *out)
{
    sqlite3_stmt *st = NULL;
    int code = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(st);
    *out = code == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
    sqlite3_finalize(st);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

static int set_version(struct store *s)
{
    char sql[120];
    snprintf(sql, sizeof sql, "PRAGMA user_version = %d; PRAGMA application_id = %d", STORE_VERSION,
             APPLICATION_ID);
    return run(s, sql);
}

// Makes the tables of a new file; looks at the version of an old one. `*first`: its rows are of the first version.
static enum result prepare_tables(struct store *s, bool writes, bool *first, struct buf *why)
{
    int64_t version = 0, application = 0, tables = 0;
    int code = number_of(s, "PRAGMA user_version", &version);
    if (!code)
        code = number_of(s, "PRAGMA application_id", &application);
    if (!code)
        code = number_of(s, "SELECT count(*) FROM sqlite_master", &tables);
    if (code)
        return store_failed(s, code);
    if (tables && application != APPLICATION_ID) {
        s->code = SQLITE_NOTADB;
        snprintf(s->words, sizeof s->words, "it is a database of something else");
        return RESULT_IO;
    }
    *first = tables && version == STORE_FIRST_VERSION;
    if (tables && version != STORE_VERSION && !*first) {
        buf_printf(why, "it is of version %lld, this program writes %d", (long long)version,
                   STORE_VERSION);
        return RESULT_VERSION;
    }
    if (*first && !writes) {
        s->code = SQLITE_READONLY;
        snprintf(s->words, sizeof s->words, "it is of version %d and has to be converted",
                 STORE_FIRST_VERSION);
        return RESULT_IO;
    }
    if (tables && !*first)
        return RESULT_OK;
    if (!tables && !writes)
        return store_failed(s, SQLITE_READONLY);
    code = run(s, *first ? FROM_FIRST : SCHEMA_KEPT);
    if (!code)
        code = run(s, SCHEMA);
    if (!code)
        code = set_version(s);
    return code ? store_failed(s, code) : RESULT_OK;
}

static enum result prepare_all(struct store *s, struct buf *why)
{
    bool first = false;
    int code = run(s, "BEGIN IMMEDIATE");
    // A store that cannot be written is good to load from.
    bool writes = code == SQLITE_OK;
    if (!writes && (code & 0xff) != SQLITE_READONLY)
        return store_failed(s, code);
    enum result r = prepare_tables(s, writes, &first, why);
    for (int i = 0; !r && i < STATEMENTS; i++) {
        code = sqlite3_prepare_v3(s->db, SQL[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[i],
                                  NULL);
        if (code)
            r = store_failed(s, code);
    }
    if (!r && first)
        r = store_convert(s);
    if (!r && writes && (code = run(s, "COMMIT")))
        r = store_failed(s, code);
    return r;
}

static enum result prepare(struct store *s, const char *path, struct buf *why)
{
    int code = sqlite3_open_v2(
        path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code)
        return store_failed(s, code);
    sqlite3_busy_timeout(s->db, STORE_BUSY_MS);
    sqlite3_extended_result_codes(s->db, 1);
    code = run(s, "PRAGMA page_size = 8192"); // of a new file
    if (!code)
        code = run(s, "PRAGMA journal_mode = WAL");
    if (code && (code & 0xff) != SQLITE_READONLY)
        return store_failed(s, code);
    code = run(s, "PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;"
                  "PRAGMA cache_size = -4096; PRAGMA wal_autocheckpoint = 1000");
    return code ? store_failed(s, code) : prepare_all(s, why);
}

enum result store_open(struct store **out, const char *path, struct buf *why)
{
    struct store *s = alloc_zeroed(1, sizeof *s);
    if (!s) {
        buf_cstr(why, "no memory");
        return RESULT_NOMEM;
    }
    store_forget_rows(s);
    enum result r = prepare(s, path, why);
    if (!r) {
        store_note_place(s);
        *out = s;
        return RESULT_OK;
    }
    if (r == RESULT_IO) {
        struct buf words;
        buf_init(&words, sizeof s->words);
        const char *kind = store_problem(s, &words);
        buf_printf(why, "%s: %.*s", kind, SLICE_FMT(buf_slice(&words)));
        buf_deinit(&words);
    }
    store_close(s);
    return r;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(s->statements[i]);
    store_close_rows(s);
    sqlite3_close(s->db);
    map_deinit(&s->kinds);
    arena_deinit(&s->arena);
    alloc_free(s);
}

// --- reading back

static struct slice text_of(sqlite3_stmt *st, int column)
{
    const unsigned char *text = sqlite3_column_text(st, column);
    return text ? slice_make(text, (size_t)sqlite3_column_bytes(st, column)) : SLICE_EMPTY;
}

enum result store_load(struct store *s, uint64_t now_us,
                       void (*each)(void *context, const struct store_account *a), void *context)
{
    sqlite3_stmt *st = NULL;
    int code =
        sqlite3_prepare_v2(s->db,
                           "SELECT account, window, number, unit, hard, most, used,"
                           " expires_us, name, holder, count, lambda, ema, ema_nusd, share"
                           " FROM account WHERE expires_us > min(?1, coalesce("
                           "(SELECT at_us + for_us FROM attempt ORDER BY id DESC LIMIT 1), ?1))",
                           -1, &st, NULL);
    if (!code)
        sqlite3_bind_int64(st, 1, (int64_t)now_us);
    while (!code && (code = sqlite3_step(st)) == SQLITE_ROW) {
        int64_t window = sqlite3_column_int64(st, 1), unit = sqlite3_column_int64(st, 3);
        int64_t used = sqlite3_column_int64(st, 6);
        code = SQLITE_OK;
        if (window < 0 || window > IMAGE_PER_LIFE || unit < 0 || unit >= LEDGER_UNITS || used < 0)
            continue; // somebody else wrote it
        struct store_account a = {
            .account = (uint64_t)sqlite3_column_int64(st, 0),
            .window = (enum image_window)window,
            .number = (uint64_t)sqlite3_column_int64(st, 2),
            .unit = (enum image_unit)unit,
            .hard = sqlite3_column_int(st, 4) & 1,
            .invented = sqlite3_column_int(st, 4) & 2,
            .limit = sqlite3_column_type(st, 5) == SQLITE_NULL ? -1 : sqlite3_column_int64(st, 5),
            .used = used,
            .expires_us = (uint64_t)sqlite3_column_int64(st, 7),
            .name = text_of(st, 8),
            .holder = text_of(st, 9),
            .count = (uint32_t)sqlite3_column_int64(st, 10),
            .pacer = {sqlite3_column_double(st, 11), sqlite3_column_double(st, 12),
                      sqlite3_column_double(st, 13), sqlite3_column_double(st, 14)}};
        each(context, &a);
    }
    enum result r = code == SQLITE_DONE ? RESULT_OK : store_failed(s, code);
    sqlite3_finalize(st);
    return r;
}

uint64_t store_last_id(struct store *s)
{
    int64_t id = 0;
    return number_of(s, "SELECT max(most_ticket) FROM span", &id) || id < 0 ? 0 : (uint64_t)id;
}

uint64_t store_converted(const struct store *s)
{
    return s->converted;
}

static int by_id(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = ((const struct store_known *)b)->id;
    return (x > y) - (x < y);
}

int store_find_in(sqlite3 *db, struct store_known *tickets, size_t count)
{
    sqlite3_stmt *st = NULL;
    if (!count)
        return SQLITE_OK;
    int code = sqlite3_prepare_v2(
        db,
        "SELECT ticket FROM span CROSS JOIN attempt ON attempt.id >= block * " STORE_BLOCK_TEXT
        " AND attempt.id < (block + 1) * " STORE_BLOCK_TEXT
        " WHERE most_ticket >= ?1 AND least_ticket <= ?2",
        -1, &st, NULL);
    if (!code) {
        sqlite3_bind_int64(st, 1, (int64_t)tickets[0].id);
        sqlite3_bind_int64(st, 2, (int64_t)tickets[count - 1].id);
    }
    while (!code && (code = sqlite3_step(st)) == SQLITE_ROW) {
        uint64_t id = (uint64_t)sqlite3_column_int64(st, 0);
        struct store_known *k = bsearch(&id, tickets, count, sizeof *tickets, by_id);
        if (k)
            k->there = true;
        code = SQLITE_OK;
    }
    sqlite3_finalize(st);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

enum result store_find(struct store *s, struct store_known *tickets, size_t count)
{
    int code = store_find_in(s->db, tickets, count);
    return code ? store_failed(s, code) : RESULT_OK;
}

// --- writing

enum result store_step(struct store *s, enum store_statement i)
{
    sqlite3_stmt *st = s->statements[i];
    int code = sqlite3_step(st);
    enum result r = code == SQLITE_DONE || code == SQLITE_ROW ? RESULT_OK : store_failed(s, code);
    sqlite3_reset(st);
    return r;
}

enum result store_begin(struct store *s)
{
    enum result r = store_step(s, BEGIN);
    if (r)
        return r;
    sqlite3_stmt *st = s->statements[LAST_ROW];
    int code = sqlite3_step(st);
    s->next_row = (uint64_t)sqlite3_column_int64(st, 0) + 1;
    sqlite3_reset(st);
    return code == SQLITE_ROW ? RESULT_OK : store_failed(s, code);
}

enum result store_commit(struct store *s)
{
    enum result r = store_flush(s);
    if (!r)
        r = store_write_span(s);
    return r ? r : store_step(s, COMMIT);
}

void store_rollback(struct store *s)
{
    int code = s->code;
    char words[sizeof s->words];
    memcpy(words, s->words, sizeof words);
    if (!sqlite3_get_autocommit(s->db))
        (void)store_step(s, ROLLBACK); // it may have rolled back by itself
    // What waits is not to be written, and numbers that the transaction gave to kinds are not theirs any more.
    for (int i = 0; i < SHAPES; i++)
        s->wait[i].count = 0;
    s->spanned = false;
    store_forget_rows(s);
    s->code = code;
    memcpy(s->words, words, sizeof words);
}

int store_bind_text(sqlite3_stmt *st, int at, struct slice text)
{
    if (!text.len)
        return sqlite3_bind_null(st, at);
    return sqlite3_bind_text(st, at, text.ptr, (int)text.len, SQLITE_STATIC);
}

int store_bind_number(sqlite3_stmt *st, int at, int64_t v)
{
    return v == STORE_UNKNOWN ? sqlite3_bind_null(st, at) : sqlite3_bind_int64(st, at, v);
}

enum result store_add(struct store *s, const struct store_account *a)
{
    sqlite3_stmt *st = s->statements[ADD];
    const int64_t first[] = {(int64_t)a->account, a->window, (int64_t)a->number, a->unit,
                             a->hard | a->invented << 1};
    for (int i = 0; i < 5; i++)
        sqlite3_bind_int64(st, i + 1, first[i]);
    a->limit < 0 ? sqlite3_bind_null(st, 6) : sqlite3_bind_int64(st, 6, a->limit);
    sqlite3_bind_int64(st, 7, a->used);
    sqlite3_bind_int64(st, 8, (int64_t)a->expires_us);
    store_bind_text(st, 9, a->name);
    store_bind_text(st, 10, a->holder);
    sqlite3_bind_int64(st, 11, a->count);
    sqlite3_bind_double(st, 12, a->pacer.lambda);
    sqlite3_bind_double(st, 13, a->pacer.ema);
    sqlite3_bind_double(st, 14, a->pacer.ema_nusd);
    sqlite3_bind_double(st, 15, a->pacer.share);
    return store_step(s, ADD);
}

enum result store_forget(struct store *s, uint64_t before_us)
{
    sqlite3_bind_int64(s->statements[FORGET], 1, (int64_t)before_us);
    return store_step(s, FORGET);
}

// --- keeping less

static enum result keep_block(struct store *s, int64_t block, int64_t before_us, uint64_t *gone)
{
    static const enum store_statement steps[] = {KEEP_SUM, KEEP_DELETE, KEEP_SPAN, KEEP_SPAN_END};
    enum result r = RESULT_OK;
    for (size_t i = 0; i < MERIT_COUNT(steps) && !r; i++) {
        sqlite3_stmt *st = s->statements[steps[i]];
        bool of_span = steps[i] == KEEP_SPAN_END;
        sqlite3_bind_int64(st, 1, of_span ? block : block * STORE_BLOCK);
        if (!of_span) {
            sqlite3_bind_int64(st, 2, (block + 1) * STORE_BLOCK);
            sqlite3_bind_int64(st, 3, steps[i] == KEEP_SPAN ? block : before_us);
        }
        r = store_step(s, steps[i]);
        if (!r && steps[i] == KEEP_DELETE)
            *gone = (uint64_t)sqlite3_changes(s->db);
    }
    return r;
}

enum result store_keep(struct store *s, uint64_t before_us, uint64_t *gone)
{
    sqlite3_stmt *st = s->statements[KEEP_FIND];
    *gone = 0;
    sqlite3_bind_int64(st, 1, (int64_t)before_us);
    int code = sqlite3_step(st);
    int64_t block = sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    if (code != SQLITE_ROW)
        return code == SQLITE_DONE ? RESULT_OK : store_failed(s, code);
    enum result r = store_begin(s);
    if (!r)
        r = keep_block(s, block, (int64_t)before_us, gone);
    return r ? r : store_commit(s);
}
