// Rows of the first version: one column per amount and name, the ticket their number.
#include <string.h>

#include "ledger/store_file.h"

// clang-format off
#define NAME_OF(column) "(SELECT text FROM name WHERE name.id = " column ")"
#define UNITS(p) p "_nusd, " p "_uj, " p "_ug, " p "_ms, " p "_tok, " p "_calls, " p "_requests"

// Names in the order of enum journal_name.
static const char OLD_ROWS[] =
    "SELECT id, at_us, end_us, decision, attempt, end, estimated, cut, input_tok, cached_tok,"
    " output_tok, " NAME_OF("key") ", " NAME_OF("caller") ", " NAME_OF("team") ", "
    NAME_OF("tenant") ", session, loop, " NAME_OF("route") ", " NAME_OF("model") ", "
    NAME_OF("effort") ", " NAME_OF("place") ", " NAME_OF("policy") ", " NAME_OF("reason") ", "
    UNITS("took") ", " UNITS("expected") ", " UNITS("bound") ", " UNITS("baseline")
    " FROM attempt_1 ORDER BY id";
// clang-format on

static struct slice text_of(sqlite3_stmt *st, int *at)
{
    const unsigned char *text = sqlite3_column_text(st, *at);
    size_t n = (size_t)sqlite3_column_bytes(st, *at);
    ++*at;
    return text ? slice_make(text, n) : SLICE_EMPTY;
}

static struct slice cut_to(struct slice s, size_t most)
{
    return s.len > most ? slice_head(s, most) : s;
}

static void digest_of(struct slice hex, uint8_t out[IMAGE_DIGEST_BYTES])
{
    if (hex.len != 2 * IMAGE_DIGEST_BYTES)
        return;
    for (size_t i = 0; i < hex.len; i++) {
        char c = hex.ptr[i];
        int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 0;
        out[i / 2] = (uint8_t)(out[i / 2] << 4 | v);
    }
}

static void amounts_of(sqlite3_stmt *st, int *at, struct ledger_amounts *out)
{
    for (int i = 0; i < LEDGER_UNITS; i++, ++*at)
        out->of[i] =
            sqlite3_column_type(st, *at) == SQLITE_NULL ? -1 : sqlite3_column_int64(st, *at);
}

static void record_of(sqlite3_stmt *st, struct journal_record *r)
{
    int at = 0;
    *r = (struct journal_record){.settled = true};
    r->id = (uint64_t)sqlite3_column_int64(st, at++);
    r->at_us = (uint64_t)sqlite3_column_int64(st, at++);
    r->end_us = (uint64_t)sqlite3_column_int64(st, at++);
    r->decision = text_of(st, &at);
    r->attempt = (uint32_t)sqlite3_column_int64(st, at++);
    r->end = (enum ledger_end)sqlite3_column_int(st, at++);
    r->estimated = sqlite3_column_int(st, at++);
    r->cut = sqlite3_column_int(st, at++);
    r->input_tok = (uint32_t)sqlite3_column_int64(st, at++);
    r->cached_tok = (uint32_t)sqlite3_column_int64(st, at++);
    r->output_tok = (uint32_t)sqlite3_column_int64(st, at++);
    for (int i = 0; i < JOURNAL_NAMES; i++)
        r->names[i] = cut_to(text_of(st, &at), UINT8_MAX);
    digest_of(text_of(st, &at), r->policy);
    r->reason = cut_to(text_of(st, &at), LEDGER_REASON_MAX);
    struct ledger_amounts *const amounts[] = {&r->took, &r->expected, &r->bound, &r->baseline};
    for (int i = 0; i < 4; i++)
        amounts_of(st, &at, amounts[i]);
}

enum result store_convert(struct store *s)
{
    struct journal_record r;
    sqlite3_stmt *st = NULL;
    enum result result = RESULT_OK;
    int code = sqlite3_prepare_v2(s->db, OLD_ROWS, -1, &st, NULL);
    s->next_row = 1;
    while (!code && (code = sqlite3_step(st)) == SQLITE_ROW) {
        record_of(st, &r);
        result = store_put(s, &r);
        // Its texts are the statement's, until its next step.
        if (!result)
            result = store_flush(s);
        if (result)
            break;
        s->converted++;
        code = SQLITE_OK;
    }
    if (!result && code != SQLITE_DONE)
        result = store_failed(s, code);
    sqlite3_finalize(st);
    if (!result)
        result = store_write_span(s);
    if (!result && (code = sqlite3_exec(s->db, "DROP TABLE attempt_1", NULL, NULL, NULL)))
        result = store_failed(s, code);
    return result;
}
