#include "sim/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/hash.h"
#include "text/json.h"

// Digits behind the point of a second, as microseconds.
static bool micros_of(struct slice digits, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < 6; i++)
        v = v * 10 + (i < digits.len ? (uint64_t)(digits.ptr[i] - '0') : 0);
    *out = v;
    uint64_t any;
    return slice_u64(slice_head(digits, digits.len < 9 ? digits.len : 9), &any);
}

enum { TRACE_TOK_MAX = 100000000 };

static enum result csv_row(struct slice line, struct trace_row *row)
{
    // 2023-11-16 18:17:03.9799600,4808,10
    enum { YEAR, MONTH, DAY, HOUR, MINUTE, SECOND, PROMPT, OUTPUT, FIELDS };
    static const char ends[FIELDS] = {'-', '-', ' ', ':', ':', ',', ',', '\n'};
    static const uint64_t most[FIELDS] = {9999, 12, 31, 23, 59, 60, TRACE_TOK_MAX, TRACE_TOK_MAX};
    uint64_t v[FIELDS], micros = 0;
    struct slice field, whole;
    for (int i = 0; i < FIELDS; i++) {
        if (!slice_split(&line, ends[i], &field) || !slice_split(&field, '.', &whole) ||
            !slice_u64(whole, &v[i]) || v[i] > most[i] || (field.ptr && i != SECOND))
            return RESULT_SYNTAX;
        if (i == SECOND && field.ptr && !micros_of(field, &micros))
            return RESULT_SYNTAX;
    }
    struct tm tm = {.tm_year = (int)v[YEAR] - 1900,
                    .tm_mon = (int)v[MONTH] - 1,
                    .tm_mday = (int)v[DAY],
                    .tm_hour = (int)v[HOUR],
                    .tm_min = (int)v[MINUTE]};
    time_t minute = timegm(&tm);
    if (minute < 0)
        return RESULT_SYNTAX;
    *row = (struct trace_row){.at_us = ((uint64_t)minute + v[SECOND]) * 1000000 + micros,
                              .prompt_tok = (uint32_t)v[PROMPT],
                              .output_tok = (uint32_t)v[OUTPUT]};
    return RESULT_OK;
}

static enum result json_row(struct trace *t, struct slice line, struct arena *arena,
                            struct trace_row *row)
{
    struct json j;
    uint64_t at_ms, prompt, output, hash;
    uint32_t at = 0, item;
    arena_reset(arena);
    if (json_parse(&j, line, &json_limits_default, arena) || json_type(&j, 0) != JSON_OBJECT ||
        json_u64(&j, json_get(&j, 0, SLICE("timestamp"), NULL), &at_ms) ||
        json_u64(&j, json_get(&j, 0, SLICE("input_length"), NULL), &prompt) ||
        json_u64(&j, json_get(&j, 0, SLICE("output_length"), NULL), &output) ||
        at_ms > UINT64_MAX / 1000000 || prompt > 100000000 || output > 100000000)
        return RESULT_SYNTAX;
    *row = (struct trace_row){.at_us = at_ms * 1000,
                              .prompt_tok = (uint32_t)prompt,
                              .output_tok = (uint32_t)output,
                              .hash_first = t->hashes.len};
    uint32_t ids = json_get(&j, 0, SLICE("hash_ids"), NULL);
    if (ids == JSON_NONE)
        return RESULT_OK;
    if (json_type(&j, ids) != JSON_ARRAY)
        return RESULT_SYNTAX;
    // An id is of one piece's text; what a cache keeps is of all up to there.
    uint64_t chain = 0;
    while (json_element(&j, ids, &at, &item)) {
        if (json_u64(&j, item, &hash))
            return RESULT_SYNTAX;
        chain = hash_fnv(chain, slice_make(&hash, sizeof hash));
        if (!VEC_PUSH(&t->hashes, chain))
            return RESULT_NOMEM;
        row->hash_count++;
    }
    return RESULT_OK;
}

static int by_time(const void *a, const void *b)
{
    const struct trace_row *x = a, *y = b;
    if (x->at_us != y->at_us)
        return x->at_us < y->at_us ? -1 : 1;
    return x->hash_first < y->hash_first ? -1 : x->hash_first > y->hash_first;
}

static enum result read_rows(gzFile file, struct trace *t, char *line, char *diag)
{
    struct arena arena;
    enum result r = RESULT_OK;
    uint64_t number = 0;
    arena_init(&arena, 64 * 1024, 64 << 20);
    while (!r && gzgets(file, line, TRACE_LINE_MAX)) {
        struct slice s = slice_cstr(line);
        struct trace_row row;
        number++;
        while (s.len && (s.ptr[s.len - 1] == '\n' || s.ptr[s.len - 1] == '\r'))
            s.len--;
        if (!s.len || slice_starts_with(s, SLICE("TIMESTAMP")))
            continue;
        r = *s.ptr == '{' ? json_row(t, s, &arena, &row) : csv_row(s, &row);
        if (r) {
            snprintf(diag, TRACE_DIAG_BYTES, "line %llu is no row of a trace",
                     (unsigned long long)number);
            break;
        }
        row.prompt_tok += !row.prompt_tok;
        row.output_tok += !row.output_tok;
        if (!VEC_PUSH(&t->rows, row))
            r = RESULT_NOMEM;
    }
    if (!r && !gzeof(file))
        r = RESULT_IO;
    arena_deinit(&arena);
    return r;
}

enum result trace_read(const char *path, struct trace *t, char diag[TRACE_DIAG_BYTES])
{
    *t = (struct trace){.rows = {.cap = TRACE_ROWS_MAX}, .hashes = {.cap = TRACE_HASHES_MAX}};
    *diag = 0;
    gzFile file = gzopen(path, "rb");
    char *line = alloc_bytes(TRACE_LINE_MAX);
    enum result r = !line             ? RESULT_NOMEM
                    : file            ? RESULT_OK
                    : errno == ENOENT ? RESULT_NOT_FOUND
                                      : RESULT_IO;
    if (!r)
        r = read_rows(file, t, line, diag);
    if (file)
        gzclose(file);
    alloc_free(line);
    if (!r && !t->rows.len) {
        snprintf(diag, TRACE_DIAG_BYTES, "it has no rows");
        r = RESULT_SYNTAX;
    }
    if (r)
        return r;
    qsort(t->rows.at, t->rows.len, sizeof *t->rows.at, by_time);
    for (size_t i = t->rows.len; i-- > 0;)
        t->rows.at[i].at_us -= t->rows.at[0].at_us;
    return RESULT_OK;
}

void trace_deinit(struct trace *t)
{
    VEC_DEINIT(&t->rows);
    VEC_DEINIT(&t->hashes);
}
