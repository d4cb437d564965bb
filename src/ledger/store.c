#include "ledger/store.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/map.h"
#include "base/sha256.h"

enum {
    APPLICATION_ID = 0x4d4c4447, // "MLDG"
    NAMES_KEPT = 8192,
    NAMES_BYTES = 2 * 1024 * 1024,
};

// clang-format off
#define UNITS(p, type)                                                                             \
    p "_nusd" type ", " p "_uj" type ", " p "_ug" type ", " p "_ms" type ", " p "_tok" type ", "     \
    p "_calls" type ", " p "_requests" type
#define TEXT_OF(column) "(SELECT text FROM name WHERE name.id = " column ") AS " column

// Amounts are NULL where they are not known. `at_us` is when it was reserved, `end_us` when it was settled; `end` is enum
// ledger_end; key, caller, ... are numbers of names, `policy` the name is a digest in hex.
static const char SCHEMA[] =
    "CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);"
    "CREATE TABLE attempt (id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, end_us INTEGER NOT NULL,"
    " decision TEXT, attempt INTEGER NOT NULL, key INTEGER, caller INTEGER, team INTEGER,"
    " tenant INTEGER, session TEXT, loop TEXT, route INTEGER, model INTEGER, effort INTEGER,"
    " place INTEGER, policy INTEGER, end INTEGER NOT NULL, estimated INTEGER NOT NULL,"
    " cut INTEGER NOT NULL, reason INTEGER, input_tok INTEGER NOT NULL,"
    " cached_tok INTEGER NOT NULL, output_tok INTEGER NOT NULL, "
    UNITS("took", " INTEGER") ", " UNITS("expected", " INTEGER") ", "
    UNITS("bound", " INTEGER") ", " UNITS("baseline", " INTEGER") ");"
    "CREATE INDEX attempt_at ON attempt (at_us);"
    "CREATE TABLE account (account INTEGER, window INTEGER, number INTEGER, unit INTEGER NOT NULL,"
    " hard INTEGER NOT NULL, most INTEGER, used INTEGER NOT NULL, expires_us INTEGER NOT NULL,"
    " name TEXT, holder TEXT, count INTEGER NOT NULL, lambda REAL NOT NULL, ema REAL NOT NULL,"
    " ema_nusd REAL NOT NULL, share REAL NOT NULL,"
    " PRIMARY KEY (account, window, number)) WITHOUT ROWID;"
    "CREATE VIEW attempts AS SELECT id,"
    " strftime('%Y-%m-%dT%H:%M:%fZ', at_us / 1e6, 'unixepoch') AS at, at_us, end_us, decision,"
    " attempt, " TEXT_OF("key") ", " TEXT_OF("caller") ", " TEXT_OF("team") ", "
    TEXT_OF("tenant") ", session, loop, " TEXT_OF("route") ", " TEXT_OF("model") ", "
    TEXT_OF("effort") ", " TEXT_OF("place") ", " TEXT_OF("policy") ","
    " CASE end WHEN 0 THEN 'answered' WHEN 1 THEN 'failed' WHEN 2 THEN 'broken'"
    " WHEN 3 THEN 'gone' WHEN 4 THEN 'unconfirmed' END AS end, estimated, cut, "
    TEXT_OF("reason") ", input_tok, cached_tok, output_tok, "
    UNITS("took", "") ", " UNITS("expected", "") ", " UNITS("bound", "") ", "
    UNITS("baseline", "") " FROM attempt;";
// clang-format on

enum statement { PUT, NAME_FIND, NAME_ADD, ADD, BEGIN, COMMIT, ROLLBACK, HAS, FORGET, STATEMENTS };
static const char *const SQL[STATEMENTS] = {
    [PUT] = "INSERT OR IGNORE INTO attempt VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,"
            "?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [NAME_FIND] = "SELECT id FROM name WHERE text = ?",
    [NAME_ADD] = "INSERT INTO name (text) VALUES (?)",
    [ADD] = "INSERT INTO account VALUES (?1,?2,?3,?4,?5,?6,max(0,?7),?8,?9,?10,?11,?12,?13,?14,?15)"
            " ON CONFLICT DO UPDATE SET used = min(max(0, used + ?7), 4611686018427387904),"
            " hard = ?5, most = coalesce(?6, most), expires_us = max(expires_us, ?8),"
            " name = coalesce(?9, name), holder = coalesce(?10, holder), count = max(count, ?11),"
            " lambda = iif(?11, ?12, lambda), ema = iif(?11, ?13, ema),"
            " ema_nusd = iif(?11, ?14, ema_nusd), share = iif(?11, ?15, share)",
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [HAS] = "SELECT 1 FROM attempt WHERE id = ?",
    [FORGET] = "DELETE FROM account WHERE expires_us < ?",
};

struct store {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    struct map names; // text -> id, as a pointer
    struct arena arena;
    int code; // of the last failure
    char words[200];
};

static enum result failed(struct store *s, int code)
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

// Makes the tables of a new file; looks at the version of an old one.
static enum result prepare_tables(struct store *s, struct buf *why)
{
    int64_t version = 0, application = 0, tables = 0;
    char sql[64];
    int code = run(s, "BEGIN IMMEDIATE");
    // A store that cannot be written is good to load from.
    bool writes = code == SQLITE_OK;
    if (!writes && (code & 0xff) != SQLITE_READONLY)
        return failed(s, code);
    code = number_of(s, "PRAGMA user_version", &version);
    if (!code)
        code = number_of(s, "PRAGMA application_id", &application);
    if (!code)
        code = number_of(s, "SELECT count(*) FROM sqlite_master", &tables);
    if (code)
        return failed(s, code);
    if (tables && application != APPLICATION_ID) {
        s->code = SQLITE_NOTADB;
        snprintf(s->words, sizeof s->words, "it is a database of something else");
        return RESULT_IO;
    }
    if (tables && version != STORE_VERSION) {
        buf_printf(why, "it is of version %lld, this program writes %d", (long long)version,
                   STORE_VERSION);
        return RESULT_VERSION;
    }
    if (!tables && writes) {
        code = run(s, SCHEMA);
        snprintf(sql, sizeof sql, "PRAGMA user_version = %d", STORE_VERSION);
        if (!code)
            code = run(s, sql);
        snprintf(sql, sizeof sql, "PRAGMA application_id = %d", APPLICATION_ID);
        if (!code)
            code = run(s, sql);
    }
    if (!code && writes)
        code = run(s, "COMMIT");
    return code ? failed(s, code) : RESULT_OK;
}

static enum result prepare(struct store *s, const char *path, struct buf *why)
{
    int code = sqlite3_open_v2(
        path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code)
        return failed(s, code);
    sqlite3_busy_timeout(s->db, STORE_BUSY_MS);
    sqlite3_extended_result_codes(s->db, 1);
    code = run(s, "PRAGMA journal_mode = WAL");
    if (code && (code & 0xff) != SQLITE_READONLY)
        return failed(s, code);
    code = run(s, "PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;"
                  "PRAGMA cache_size = -4096; PRAGMA wal_autocheckpoint = 4000");
    if (code)
        return failed(s, code);
    enum result r = prepare_tables(s, why);
    for (int i = 0; !r && i < STATEMENTS; i++) {
        code = sqlite3_prepare_v3(s->db, SQL[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[i],
                                  NULL);
        if (code)
            r = failed(s, code);
    }
    return r;
}

enum result store_open(struct store **out, const char *path, struct buf *why)
{
    struct store *s = alloc_zeroed(1, sizeof *s);
    if (!s) {
        buf_cstr(why, "no memory");
        return RESULT_NOMEM;
    }
    map_init(&s->names, (struct hash_key){0, 0}, NAMES_KEPT);
    arena_init(&s->arena, 0, NAMES_BYTES);
    enum result r = prepare(s, path, why);
    if (!r) {
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
    sqlite3_close(s->db);
    map_deinit(&s->names);
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
    int code = sqlite3_prepare_v2(s->db,
                                  "SELECT account, window, number, unit, hard, most, used,"
                                  " expires_us, name, holder, count, lambda, ema, ema_nusd, share"
                                  " FROM account WHERE expires_us > min(?1, coalesce("
                                  "(SELECT end_us FROM attempt ORDER BY id DESC LIMIT 1), ?1))",
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
            .hard = sqlite3_column_int(st, 4),
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
    enum result r = code == SQLITE_DONE ? RESULT_OK : failed(s, code);
    sqlite3_finalize(st);
    return r;
}

uint64_t store_last_id(struct store *s)
{
    int64_t id = 0;
    return number_of(s, "SELECT max(id) FROM attempt", &id) || id < 0 ? 0 : (uint64_t)id;
}

bool store_has(struct store *s, uint64_t id)
{
    sqlite3_stmt *st = s->statements[HAS];
    sqlite3_bind_int64(st, 1, (int64_t)id);
    bool has = sqlite3_step(st) == SQLITE_ROW;
    sqlite3_reset(st);
    return has;
}

// --- writing

static enum result step(struct store *s, enum statement i)
{
    sqlite3_stmt *st = s->statements[i];
    int code = sqlite3_step(st);
    enum result r = code == SQLITE_DONE || code == SQLITE_ROW ? RESULT_OK : failed(s, code);
    sqlite3_reset(st);
    return r;
}

enum result store_begin(struct store *s)
{
    return step(s, BEGIN);
}

enum result store_commit(struct store *s)
{
    return step(s, COMMIT);
}

static void forget_names(struct store *s)
{
    map_deinit(&s->names);
    map_init(&s->names, (struct hash_key){0, 0}, NAMES_KEPT);
    arena_reset(&s->arena);
}

void store_rollback(struct store *s)
{
    int code = s->code;
    char words[sizeof s->words];
    memcpy(words, s->words, sizeof words);
    if (!sqlite3_get_autocommit(s->db))
        (void)step(s, ROLLBACK); // it may have rolled back by itself
    // Numbers that the transaction gave to names are not theirs any more.
    forget_names(s);
    s->code = code;
    memcpy(s->words, words, sizeof words);
}

static int bind_slice(sqlite3_stmt *st, int at, struct slice text)
{
    if (!text.len)
        return sqlite3_bind_null(st, at);
    return sqlite3_bind_text(st, at, text.ptr, (int)text.len, SQLITE_STATIC);
}

// The number of a text that repeats; 0 for an empty one.
static enum result name_id(struct store *s, struct slice text, int64_t *id)
{
    *id = 0;
    if (!text.len)
        return RESULT_OK;
    void *known = map_get(&s->names, text);
    if (known) {
        *id = (int64_t)(intptr_t)known;
        return RESULT_OK;
    }
    sqlite3_stmt *st = s->statements[NAME_FIND];
    bind_slice(st, 1, text);
    int code = sqlite3_step(st);
    if (code == SQLITE_ROW)
        *id = sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return failed(s, code);
    if (code == SQLITE_DONE) {
        bind_slice(s->statements[NAME_ADD], 1, text);
        enum result r = step(s, NAME_ADD);
        if (r)
            return r;
        *id = sqlite3_last_insert_rowid(s->db);
    }
    // Remembering is a help, not a need; ids of a real store fit a pointer.
    struct slice kept = arena_copy(&s->arena, text);
    if (!kept.ptr || map_put(&s->names, kept, (void *)(intptr_t)*id))
        forget_names(s);
    return RESULT_OK;
}

static void bind_amounts(sqlite3_stmt *st, int *at, const struct ledger_amounts *a)
{
    for (int i = 0; i < LEDGER_UNITS; i++, ++*at) {
        if (a->of[i] < 0)
            sqlite3_bind_null(st, *at);
        else
            sqlite3_bind_int64(st, *at, a->of[i]);
    }
}

static struct slice hex_of(const uint8_t policy[IMAGE_DIGEST_BYTES],
                           char room[2 * IMAGE_DIGEST_BYTES])
{
    static const uint8_t none[IMAGE_DIGEST_BYTES];
    if (memcmp(policy, none, sizeof none) == 0)
        return SLICE_EMPTY;
    sha256_hex(policy, IMAGE_DIGEST_BYTES, room);
    return slice_make(room, 2 * IMAGE_DIGEST_BYTES);
}

enum result store_put(struct store *s, const struct journal_record *r, bool *fresh)
{
    sqlite3_stmt *st = s->statements[PUT];
    char hex[2 * IMAGE_DIGEST_BYTES];
    // In the order of the columns; session and loop are texts, being many.
    static const int NAME_COLUMNS[JOURNAL_NAMES] = {6, 7, 8, 9, 0, 0, 12, 13, 14, 15};
    enum { SESSION = 10, LOOP = 11, POLICY = 16, REASON = 20 };
    int64_t ids[JOURNAL_NAMES], policy, reason;
    enum result result = RESULT_OK;
    for (int i = 0; i < JOURNAL_NAMES && !result; i++)
        if (NAME_COLUMNS[i])
            result = name_id(s, r->names[i], &ids[i]);
    if (!result)
        result = name_id(s, hex_of(r->policy, hex), &policy);
    if (!result)
        result = name_id(s, r->reason, &reason);
    if (result)
        return result;
    const int64_t first[] = {(int64_t)r->id, (int64_t)r->at_us, (int64_t)r->end_us};
    for (int i = 0; i < 3; i++)
        sqlite3_bind_int64(st, i + 1, first[i]);
    bind_slice(st, 4, slice_make(r->decision, strnlen(r->decision, sizeof r->decision)));
    sqlite3_bind_int64(st, 5, r->attempt);
    for (int i = 0; i < JOURNAL_NAMES; i++) {
        if (NAME_COLUMNS[i] && ids[i])
            sqlite3_bind_int64(st, NAME_COLUMNS[i], ids[i]);
        else if (NAME_COLUMNS[i])
            sqlite3_bind_null(st, NAME_COLUMNS[i]);
    }
    bind_slice(st, SESSION, r->names[JOURNAL_SESSION]);
    bind_slice(st, LOOP, r->names[JOURNAL_LOOP]);
    policy ? sqlite3_bind_int64(st, POLICY, policy) : sqlite3_bind_null(st, POLICY);
    sqlite3_bind_int64(st, 17, r->end);
    sqlite3_bind_int64(st, 18, r->estimated);
    sqlite3_bind_int64(st, 19, r->cut);
    reason ? sqlite3_bind_int64(st, REASON, reason) : sqlite3_bind_null(st, REASON);
    sqlite3_bind_int64(st, 21, r->input_tok);
    sqlite3_bind_int64(st, 22, r->cached_tok);
    sqlite3_bind_int64(st, 23, r->output_tok);
    int at = 24;
    bind_amounts(st, &at, &r->took);
    bind_amounts(st, &at, &r->expected);
    bind_amounts(st, &at, &r->bound);
    bind_amounts(st, &at, &r->baseline);
    result = step(s, PUT);
    *fresh = !result && sqlite3_changes(s->db) == 1;
    return result;
}

enum result store_add(struct store *s, const struct store_account *a)
{
    sqlite3_stmt *st = s->statements[ADD];
    const int64_t first[] = {(int64_t)a->account, a->window, (int64_t)a->number, a->unit, a->hard};
    for (int i = 0; i < 5; i++)
        sqlite3_bind_int64(st, i + 1, first[i]);
    a->limit < 0 ? sqlite3_bind_null(st, 6) : sqlite3_bind_int64(st, 6, a->limit);
    sqlite3_bind_int64(st, 7, a->used);
    sqlite3_bind_int64(st, 8, (int64_t)a->expires_us);
    bind_slice(st, 9, a->name);
    bind_slice(st, 10, a->holder);
    sqlite3_bind_int64(st, 11, a->count);
    sqlite3_bind_double(st, 12, a->pacer.lambda);
    sqlite3_bind_double(st, 13, a->pacer.ema);
    sqlite3_bind_double(st, 14, a->pacer.ema_nusd);
    sqlite3_bind_double(st, 15, a->pacer.share);
    return step(s, ADD);
}

enum result store_forget(struct store *s, uint64_t before_us)
{
    sqlite3_bind_int64(s->statements[FORGET], 1, (int64_t)before_us);
    return step(s, FORGET);
}
