// Rows, and the kinds that they share.
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/sha256.h"
#include "ledger/store_file.h"

enum { KINDS_KEPT = 65536, KINDS_BYTES = 32 * 1024 * 1024, KIND_KEY_MAX = 4096, SQL_MAX = 16384 };

static const struct {
    const char *name;
    uint32_t shape; // it is there in
} COLUMNS[ROW_COLUMNS] = {
    [ROW_KIND] = {"kind", 0},
    [ROW_AT] = {"at_us", 0},
    [ROW_FOR] = {"for_us", 0},
    [ROW_INPUT] = {"input_tok", 0},
    [ROW_CACHED] = {"cached_tok", 0},
    [ROW_OUTPUT] = {"output_tok", 0},
    [ROW_TOOK_NUSD] = {"took_nusd", 0},
    [ROW_EXPECTED_NUSD] = {"expected_nusd", 0},
    [ROW_BASELINE_NUSD] = {"baseline_nusd", 0},
    [ROW_TOOK_UJ] = {"took_uj", SHAPE_ENERGY},
    [ROW_TOOK_UG] = {"took_ug", SHAPE_ENERGY},
    [ROW_EXPECTED_UJ] = {"expected_uj", SHAPE_ENERGY},
    [ROW_EXPECTED_UG] = {"expected_ug", SHAPE_ENERGY},
    [ROW_BASELINE_UJ] = {"baseline_uj", SHAPE_ENERGY},
    [ROW_BASELINE_UG] = {"baseline_ug", SHAPE_ENERGY},
    [ROW_TOOK_MS] = {"took_ms", 0},
    [ROW_TOOK_TOK] = {"took_tok", SHAPE_ODD},
    [ROW_EXPECTED_MS] = {"expected_ms", SHAPE_ODD},
    [ROW_EXPECTED_TOK] = {"expected_tok", 0},
    [ROW_BOUND_NUSD] = {"bound_nusd", 0},
    [ROW_BOUND_UJ] = {"bound_uj", SHAPE_ENERGY},
    [ROW_BOUND_UG] = {"bound_ug", SHAPE_ENERGY},
    [ROW_BOUND_MS] = {"bound_ms", SHAPE_ODD},
    [ROW_BOUND_TOK] = {"bound_tok", 0},
    [ROW_TICKET] = {"ticket", 0},
    [ROW_DECISION] = {"decision", 0},
    [ROW_SESSION] = {"session", SHAPE_SESSION},
    [ROW_LOOP] = {"loop", SHAPE_SESSION},
};

static bool has(uint32_t shape, int column)
{
    return !(COLUMNS[column].shape & ~shape);
}

// --- kinds

// The number of a text; STORE_UNKNOWN for an empty one.
static enum result name_id(struct store *s, struct slice text, int64_t *id)
{
    *id = STORE_UNKNOWN;
    if (!text.len)
        return RESULT_OK;
    sqlite3_stmt *st = s->statements[NAME_FIND];
    store_bind_text(st, 1, text);
    int code = sqlite3_step(st);
    if (code == SQLITE_ROW)
        *id = sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    if (code == SQLITE_ROW)
        return RESULT_OK;
    if (code != SQLITE_DONE)
        return store_failed(s, code);
    store_bind_text(s->statements[NAME_ADD], 1, text);
    enum result r = store_step(s, NAME_ADD);
    if (!r)
        *id = sqlite3_last_insert_rowid(s->db);
    return r;
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

static int64_t known(int64_t amount)
{
    return amount < 0 ? STORE_UNKNOWN : amount;
}

// Amounts that hardly differ from attempt to attempt, and how it ended.
enum { KIND_NUMBERS = 15 };

static void numbers_of(const struct journal_record *r, int64_t out[KIND_NUMBERS])
{
    bool sum = r->took.of[IMAGE_UNIT_TOK] == (int64_t)r->input_tok + r->output_tok;
    const int64_t all[KIND_NUMBERS] = {r->attempt,
                                       r->end,
                                       r->estimated,
                                       r->cut,
                                       sum,
                                       known(r->took.of[IMAGE_UNIT_CALLS]),
                                       known(r->took.of[IMAGE_UNIT_REQUESTS]),
                                       known(r->expected.of[IMAGE_UNIT_CALLS]),
                                       known(r->expected.of[IMAGE_UNIT_REQUESTS]),
                                       known(r->bound.of[IMAGE_UNIT_CALLS]),
                                       known(r->bound.of[IMAGE_UNIT_REQUESTS]),
                                       known(r->baseline.of[IMAGE_UNIT_MS]),
                                       known(r->baseline.of[IMAGE_UNIT_TOK]),
                                       known(r->baseline.of[IMAGE_UNIT_CALLS]),
                                       known(r->baseline.of[IMAGE_UNIT_REQUESTS])};
    memcpy(out, all, sizeof all);
}

static const enum journal_name KIND_NAMES[] = {JOURNAL_KEY,    JOURNAL_CALLER, JOURNAL_TEAM,
                                               JOURNAL_TENANT, JOURNAL_ROUTE,  JOURNAL_MODEL,
                                               JOURNAL_EFFORT, JOURNAL_PLACE};
enum { KIND_NAME_COUNT = MERIT_COUNT(KIND_NAMES) };

static enum result add_kind(struct store *s, const struct journal_record *r,
                            const int64_t numbers[KIND_NUMBERS], int64_t *id)
{
    sqlite3_stmt *st = s->statements[KIND_ADD];
    char hex[2 * IMAGE_DIGEST_BYTES];
    int64_t name;
    int at = 1;
    for (int i = 0; i < KIND_NAME_COUNT + 2; i++) {
        struct slice text = i < KIND_NAME_COUNT    ? r->names[KIND_NAMES[i]]
                            : i == KIND_NAME_COUNT ? hex_of(r->policy, hex)
                                                   : r->reason;
        enum result result = name_id(s, text, &name);
        if (result)
            return result;
        store_bind_number(st, at++, name);
    }
    for (int i = 0; i < KIND_NUMBERS; i++)
        store_bind_number(st, at++, numbers[i]);
    enum result result = store_step(s, KIND_ADD);
    *id = sqlite3_last_insert_rowid(s->db);
    return result;
}

static uint64_t cheap_hash(const char *key, size_t n)
{
    uint64_t h = n, v;
    for (; n >= sizeof v; key += sizeof v, n -= sizeof v) {
        memcpy(&v, key, sizeof v);
        h = (h ^ v) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    v = 0;
    memcpy(&v, key, n);
    return ((h ^ v) * 0xc4ceb9fe1a85ec53u) >> 40;
}

// One that was seen lately is known by what it is made of. Another one is added, be it there already: two kinds that are
// the same do no harm, and looking for them would need an index.
static enum result kind_of(struct store *s, const struct journal_record *r, int64_t *id)
{
    char key[KIND_KEY_MAX];
    int64_t numbers[KIND_NUMBERS];
    size_t n = sizeof numbers;
    numbers_of(r, numbers);
    memcpy(key, numbers, sizeof numbers);
    memcpy(key + n, r->policy, IMAGE_DIGEST_BYTES);
    n += IMAGE_DIGEST_BYTES;
    for (int i = 0; i <= KIND_NAME_COUNT; i++) {
        struct slice text = i < KIND_NAME_COUNT ? r->names[KIND_NAMES[i]] : r->reason;
        key[n++] = (char)text.len;
        if (text.len)
            memcpy(key + n, text.ptr, text.len);
        n += text.len;
    }
    struct store_kind *recent = &s->recent[cheap_hash(key, n) % STORE_RECENT];
    if (slice_eq(recent->key, slice_make(key, n))) {
        *id = recent->id;
        return RESULT_OK;
    }
    struct store_kind *there = map_get(&s->kinds, slice_make(key, n));
    if (there) {
        *recent = *there;
        *id = there->id;
        return RESULT_OK;
    }
    enum result result = add_kind(s, r, numbers, id);
    if (result)
        return result;
    // Remembering is a help, not a need.
    struct store_kind *k = ARENA_NEW(&s->arena, struct store_kind);
    struct slice kept = arena_copy(&s->arena, slice_make(key, n));
    if (!k || !kept.ptr || map_put(&s->kinds, kept, k)) {
        store_forget_rows(s);
        return RESULT_OK;
    }
    *recent = *k = (struct store_kind){kept, *id};
    return RESULT_OK;
}

void store_forget_rows(struct store *s)
{
    map_deinit(&s->kinds);
    map_init(&s->kinds, (struct hash_key){0, 0}, KINDS_KEPT);
    arena_deinit(&s->arena);
    arena_init(&s->arena, 0, KINDS_BYTES);
    memset(s->recent, 0, sizeof s->recent);
}

// --- rows

static enum result put_statement(struct store *s, uint32_t shape, uint32_t rows, sqlite3_stmt **st)
{
    struct buf sql;
    uint32_t columns = 0;
    if (*st)
        return RESULT_OK;
    buf_init(&sql, SQL_MAX);
    // Without a constraint that could fail, and told not to go on behind one, it needs no way back of its own.
    BUF_LIT(&sql, "INSERT OR ROLLBACK INTO attempt (");
    for (int i = 0; i < ROW_COLUMNS; i++)
        if (has(shape, i))
            buf_printf(&sql, "%s%s", columns++ ? "," : "", COLUMNS[i].name);
    BUF_LIT(&sql, ") VALUES ");
    for (uint32_t k = 0; k < rows; k++)
        for (uint32_t i = 0; i < columns; i++)
            buf_cstr(&sql, i ? ",?" : k ? "),(?" : "(?");
    buf_byte(&sql, ')');
    int code = buf_result(&sql) ? SQLITE_NOMEM
                                : sqlite3_prepare_v3(s->db, sql.ptr, (int)sql.len,
                                                     SQLITE_PREPARE_PERSISTENT, st, NULL);
    buf_deinit(&sql);
    return code ? store_failed(s, code) : RESULT_OK;
}

static void bind_row(sqlite3_stmt *st, uint32_t shape, const struct store_row *row, int *at)
{
    for (int i = 0; i < ROW_INTEGERS; i++)
        if (has(shape, i))
            store_bind_number(st, (*at)++, row->of[i]);
    for (int i = ROW_INTEGERS; i < ROW_COLUMNS; i++)
        if (has(shape, i))
            store_bind_text(st, (*at)++, row->text[i - ROW_INTEGERS]);
}

enum result store_write_span(struct store *s)
{
    sqlite3_stmt *st = s->statements[SPAN_ADD];
    const struct store_span *p = &s->span;
    if (!s->spanned)
        return RESULT_OK;
    s->spanned = false;
    const int64_t all[] = {(int64_t)p->block, p->least_us, p->most_us, p->least_ticket,
                           p->most_ticket};
    for (int i = 0; i < 5; i++)
        sqlite3_bind_int64(st, i + 1, all[i]);
    return store_step(s, SPAN_ADD);
}

static enum result note_span(struct store *s, const struct store_row *row)
{
    uint64_t block = s->next_row++ / STORE_BLOCK;
    int64_t at = row->of[ROW_AT], ticket = row->of[ROW_TICKET];
    struct store_span *p = &s->span;
    if (s->spanned && p->block != block) {
        enum result r = store_write_span(s);
        if (r)
            return r;
    }
    if (!s->spanned)
        *p = (struct store_span){block, at, at, ticket, ticket};
    s->spanned = true;
    p->least_us = at < p->least_us ? at : p->least_us;
    p->most_us = at > p->most_us ? at : p->most_us;
    p->least_ticket = ticket < p->least_ticket ? ticket : p->least_ticket;
    p->most_ticket = ticket > p->most_ticket ? ticket : p->most_ticket;
    return RESULT_OK;
}

// Writes `count` rows of a shape from `first` on with one statement.
static enum result write_rows(struct store *s, uint32_t shape, uint32_t first, uint32_t count)
{
    sqlite3_stmt **st = count == STORE_ROWS ? &s->put_many[shape] : &s->put[shape];
    enum result r = put_statement(s, shape, count, st);
    int at = 1;
    for (uint32_t i = first; i < first + count && !r; i++)
        bind_row(*st, shape, &s->wait[shape].rows[i], &at);
    if (!r) {
        int code = sqlite3_step(*st);
        r = code == SQLITE_DONE ? RESULT_OK : store_failed(s, code);
        sqlite3_reset(*st);
    }
    for (uint32_t i = first; i < first + count && !r; i++)
        r = note_span(s, &s->wait[shape].rows[i]);
    return r;
}

enum result store_flush(struct store *s)
{
    enum result r = RESULT_OK;
    for (uint32_t shape = 0; shape < SHAPES; shape++) {
        struct store_wait *w = &s->wait[shape];
        for (uint32_t i = 0; i < w->count && !r; i++)
            r = write_rows(s, shape, i, 1);
        w->count = 0;
    }
    return r;
}

void store_close_rows(struct store *s)
{
    for (int i = 0; i < SHAPES; i++) {
        sqlite3_finalize(s->put[i]);
        sqlite3_finalize(s->put_many[i]);
    }
}

static uint32_t shape_of(const struct store_row *row)
{
    uint32_t shape = 0;
    for (int i = 0; i < ROW_INTEGERS; i++)
        if (row->of[i] != STORE_UNKNOWN)
            shape |= COLUMNS[i].shape;
    for (int i = ROW_INTEGERS; i < ROW_COLUMNS; i++)
        if (row->text[i - ROW_INTEGERS].len)
            shape |= COLUMNS[i].shape;
    return shape;
}

enum result store_put(struct store *s, const struct journal_record *r)
{
    const int64_t *took = r->took.of, *expected = r->expected.of, *bound = r->bound.of;
    const int64_t *base = r->baseline.of;
    bool sum = took[IMAGE_UNIT_TOK] == (int64_t)r->input_tok + r->output_tok;
    int64_t kind;
    enum result result = kind_of(s, r, &kind);
    if (result)
        return result;
    const struct store_row row = {
        .of = {[ROW_KIND] = kind,
               [ROW_AT] = (int64_t)r->at_us,
               [ROW_FOR] = (int64_t)(r->end_us - r->at_us),
               [ROW_INPUT] = r->input_tok,
               [ROW_CACHED] = r->cached_tok,
               [ROW_OUTPUT] = r->output_tok,
               [ROW_TOOK_NUSD] = known(took[IMAGE_UNIT_NUSD]),
               [ROW_EXPECTED_NUSD] = known(expected[IMAGE_UNIT_NUSD]),
               [ROW_BASELINE_NUSD] = known(base[IMAGE_UNIT_NUSD]),
               [ROW_TOOK_UJ] = known(took[IMAGE_UNIT_UJ]),
               [ROW_TOOK_UG] = known(took[IMAGE_UNIT_UG]),
               [ROW_EXPECTED_UJ] = known(expected[IMAGE_UNIT_UJ]),
               [ROW_EXPECTED_UG] = known(expected[IMAGE_UNIT_UG]),
               [ROW_BASELINE_UJ] = known(base[IMAGE_UNIT_UJ]),
               [ROW_BASELINE_UG] = known(base[IMAGE_UNIT_UG]),
               [ROW_TOOK_MS] = known(took[IMAGE_UNIT_MS]),
               [ROW_TOOK_TOK] = sum ? STORE_UNKNOWN : known(took[IMAGE_UNIT_TOK]),
               [ROW_EXPECTED_MS] = known(expected[IMAGE_UNIT_MS]),
               [ROW_EXPECTED_TOK] = known(expected[IMAGE_UNIT_TOK]),
               [ROW_BOUND_NUSD] = known(bound[IMAGE_UNIT_NUSD]),
               [ROW_BOUND_UJ] = known(bound[IMAGE_UNIT_UJ]),
               [ROW_BOUND_UG] = known(bound[IMAGE_UNIT_UG]),
               [ROW_BOUND_MS] = known(bound[IMAGE_UNIT_MS]),
               [ROW_BOUND_TOK] = known(bound[IMAGE_UNIT_TOK]),
               [ROW_TICKET] = (int64_t)r->id},
        .text = {r->decision, r->names[JOURNAL_SESSION], r->names[JOURNAL_LOOP]}};
    uint32_t shape = shape_of(&row);
    struct store_wait *w = &s->wait[shape];
    w->rows[w->count++] = row;
    if (w->count < STORE_ROWS)
        return RESULT_OK;
    w->count = 0;
    return write_rows(s, shape, 0, STORE_ROWS);
}
