#include "ledger/usage.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/vec.h"
#include "text/json.h"
#include "text/utf8.h"

enum { NOTHING = -1, DAY = USAGE_FIELDS, MODEL, INPUT_MORE, CELL_MAX = 4096 };
enum { TOKENS_MAX = 16 * 1024 * 1024, DAYS_MAX = 200000, DIGITS_MS = 12 };

static const struct {
    const char *name;
    int field;
} COLUMNS[] = {
    {"date", DAY},
    {"day", DAY},
    {"usage_date", DAY},
    {"start_time", DAY},
    {"start_time_iso", DAY},
    {"bucket_start_time", DAY},
    {"timestamp", DAY},
    {"model", MODEL},
    {"model_name", MODEL},
    {"model_version", MODEL},
    {"requests", USAGE_REQUESTS},
    {"num_model_requests", USAGE_REQUESTS},
    {"n_requests", USAGE_REQUESTS},
    {"input_tokens", USAGE_INPUT},
    {"prompt_tokens", USAGE_INPUT},
    {"input", USAGE_INPUT},
    {"n_context_tokens_total", USAGE_INPUT},
    {"cache_read_input_tokens", INPUT_MORE},
    {"cache_creation_input_tokens", INPUT_MORE},
    {"uncached_input_tokens", INPUT_MORE},
    {"output_tokens", USAGE_OUTPUT},
    {"completion_tokens", USAGE_OUTPUT},
    {"output", USAGE_OUTPUT},
    {"n_generated_tokens_total", USAGE_OUTPUT},
    {"tokens", USAGE_TOKENS},
    {"total_tokens", USAGE_TOKENS},
    {"usd", USAGE_NUSD},
    {"cost", USAGE_NUSD},
    {"cost_usd", USAGE_NUSD},
    {"amount", USAGE_NUSD},
    {"amount_value", USAGE_NUSD},
};

struct reading {
    VEC(struct usage_sum) sums;
    struct arena *arena;
    struct buf *why;
    uint64_t line;
    uint32_t fields;
    uint64_t lines;
    struct usage_sum record; // of the line being read
    bool has_day, has_model;
    uint32_t has;
};

const char *usage_field_name(enum usage_field f)
{
    static const char *const names[USAGE_FIELDS] = {"requests", "input", "output", "tokens", "usd"};
    return names[f];
}

static int field_of(struct slice name)
{
    for (size_t i = 0; i < MERIT_COUNT(COLUMNS); i++)
        if (slice_ieq(name, slice_cstr(COLUMNS[i].name)))
            return COLUMNS[i].field;
    return NOTHING;
}

// --- days

static int32_t days_from_civil(int y, int m, int d)
{
    y -= m <= 2;
    int era = y / 400, yoe = y - era * 400;
    int doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

void usage_day_text(int32_t day, char out[11])
{
    int z = day + 719468, era = z / 146097, doe = z - era * 146097;
    int yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int d = doy - (153 * mp + 2) / 5 + 1, m = mp + (mp < 10 ? 3 : -9);
    int y = yoe + era * 400 + (m <= 2);
    snprintf(out, 11, "%04u-%02u-%02u", (unsigned)y % 10000, (unsigned)m % 100, (unsigned)d % 100);
}

static bool two(const char *p, int least, int most, int *out)
{
    if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
        return false;
    *out = (p[0] - '0') * 10 + (p[1] - '0');
    return *out >= least && *out <= most;
}

bool usage_day(struct slice text, int32_t *day)
{
    uint64_t number;
    text = slice_trim(text);
    struct slice whole = text;
    ptrdiff_t dot = slice_find(text, SLICE("."));
    if (dot >= 0)
        whole = slice_head(text, (size_t)dot);
    if (whole.len > 4 && slice_u64(whole, &number)) {
        if (whole.len > DIGITS_MS)
            number /= 1000;
        *day = (int32_t)(number / 86400 < DAYS_MAX ? number / 86400 : DAYS_MAX);
        return number / 86400 < DAYS_MAX;
    }
    int c, y, m, d;
    if (text.len < 10 || text.ptr[4] != '-' || text.ptr[7] != '-' || !two(text.ptr, 19, 99, &c) ||
        !two(text.ptr + 2, 0, 99, &y) || !two(text.ptr + 5, 1, 12, &m) ||
        !two(text.ptr + 8, 1, 31, &d))
        return false;
    if (text.len > 10 && text.ptr[10] != 'T' && text.ptr[10] != ' ')
        return false;
    char back[11];
    *day = days_from_civil(c * 100 + y, m, d);
    if (*day < 0)
        return false;
    usage_day_text(*day, back); // 2026-02-30 is not a day
    return memcmp(back, text.ptr, 10) == 0;
}

// --- values

// A decimal with up to nine places of which all count, or anything else that is a number, rounded.
static bool nusd_of(struct slice text, int64_t *out)
{
    char room[64];
    if (text.len && text.ptr[0] == '$')
        text = slice_from(text, 1);
    struct slice rest = text, whole, part = SLICE_EMPTY;
    uint64_t units = 0, parts = 0;
    slice_split(&rest, '.', &whole);
    if (rest.ptr)
        part = rest;
    if ((whole.len == 0 || slice_u64(whole, &units)) && part.len <= 9 &&
        (part.len == 0 || slice_u64(part, &parts)) && whole.len + part.len &&
        units <= (uint64_t)USAGE_VALUE_MAX / 1000) {
        for (size_t i = part.len; i < 9; i++)
            parts *= 10;
        *out = (int64_t)(units * 1000000000 + parts);
        return units <= 9000000;
    }
    if (!text.len || text.len >= sizeof room)
        return false;
    memcpy(room, text.ptr, text.len);
    room[text.len] = 0;
    char *end;
    double v = strtod(room, &end);
    if (*end || end == room || !(v >= 0) || v > 9e6 || strpbrk(room, "xXnN "))
        return false;
    *out = llround(v * 1e9);
    return true;
}

static bool count_of(struct slice text, int64_t *out)
{
    uint64_t v;
    ptrdiff_t dot = slice_find(text, SLICE("."));
    if (dot > 0) {
        struct slice part = slice_from(text, (size_t)dot + 1);
        for (size_t i = 0; i < part.len; i++)
            if (part.ptr[i] != '0')
                return false;
        text = slice_head(text, (size_t)dot);
    }
    if (!slice_u64(text, &v) || v > (uint64_t)USAGE_VALUE_MAX)
        return false;
    *out = (int64_t)v;
    return true;
}

static enum result wrong(struct reading *r, enum result result, const char *what, struct slice text)
{
    buf_printf(r->why, "line %llu: %s", (unsigned long long)r->line, what);
    if (text.len)
        buf_printf(r->why, ": \"%.*s\"", SLICE_FMT(slice_head(text, 60)));
    return result;
}

static enum result value(struct reading *r, int field, struct slice text)
{
    text = slice_trim(text);
    if (field == DAY) {
        if (r->has_day) // start_time and start_time_iso say the same
            return RESULT_OK;
        r->has_day = true;
        return usage_day(text, &r->record.day)
                   ? RESULT_OK
                   : wrong(r, RESULT_SYNTAX, "this is no day like 2026-11-21", text);
    }
    if (field == MODEL) {
        if (text.len > USAGE_MODEL_MAX)
            return wrong(r, RESULT_LIMIT, "a model's name is longer than 128 bytes", text);
        r->has_model |= text.len != 0;
        r->record.model = text;
        return RESULT_OK;
    }
    int64_t v = 0;
    if (!text.len)
        return RESULT_OK; // an empty cell is nothing
    if (!(field == USAGE_NUSD ? nusd_of(text, &v) : count_of(text, &v)))
        return wrong(r, RESULT_RANGE,
                     field == USAGE_NUSD ? "this is no amount of dollars from 0 to 9 million"
                                         : "this is no whole number from 0 to 2^53",
                     text);
    int to = field == INPUT_MORE ? USAGE_INPUT : field;
    r->has |= 1u << to;
    r->record.of[to] += v;
    return RESULT_OK;
}

static void begin_record(struct reading *r)
{
    r->record = (struct usage_sum){0};
    r->has_day = r->has_model = false;
    r->has = 0;
}

static enum result end_record(struct reading *r)
{
    if (!r->has_day)
        return wrong(r, RESULT_NOT_FOUND, "it has no day (date, start_time, ...)", SLICE_EMPTY);
    if (!r->has_model)
        return wrong(r, RESULT_NOT_FOUND, "it has no model (model, model_name, ...)", SLICE_EMPTY);
    r->lines++;
    r->fields |= r->has;
    if (!(r->has & 1u << USAGE_TOKENS) && r->has & (1u << USAGE_INPUT | 1u << USAGE_OUTPUT))
        r->record.of[USAGE_TOKENS] = r->record.of[USAGE_INPUT] + r->record.of[USAGE_OUTPUT];
    // Exports are in the order of days: the same group is near the end, if it is there.
    size_t n = r->sums.len;
    for (size_t back = 0; back < 64 && back < n; back++) {
        struct usage_sum *s = &r->sums.at[n - 1 - back];
        if (s->day != r->record.day || !slice_eq(s->model, r->record.model))
            continue;
        for (int i = 0; i < USAGE_FIELDS; i++) {
            s->of[i] += r->record.of[i];
            if (s->of[i] > INT64_MAX / 4)
                return wrong(r, RESULT_RANGE, "the sum of its day is absurd", SLICE_EMPTY);
        }
        return RESULT_OK;
    }
    struct slice model = arena_copy(r->arena, r->record.model);
    if (!model.ptr)
        return RESULT_NOMEM;
    r->record.model = model;
    if (n == r->sums.cap)
        return wrong(r, RESULT_LIMIT, "more than 65536 days times models", SLICE_EMPTY);
    return VEC_PUSH(&r->sums, r->record) ? RESULT_OK : RESULT_NOMEM;
}

// --- CSV

struct csv {
    struct slice rest;
    char cell[CELL_MAX]; // of a quoted cell, unescaped
};

// The next cell of the line; `*last` when it ends the line. Only for csv_line.
static enum result csv_cell(struct reading *r, struct csv *c, struct slice *out, bool *last)
{
    size_t n = 0;
    if (c->rest.len && c->rest.ptr[0] == '"') {
        c->rest = slice_from(c->rest, 1);
        for (;;) {
            if (!c->rest.len)
                return wrong(r, RESULT_SYNTAX, "a quote is not closed", SLICE_EMPTY);
            char ch = c->rest.ptr[0];
            bool doubled = ch == '"' && c->rest.len > 1 && c->rest.ptr[1] == '"';
            c->rest = slice_from(c->rest, doubled ? 2 : 1);
            if (ch == '"' && !doubled)
                break;
            if (n == sizeof c->cell)
                return wrong(r, RESULT_LIMIT, "a cell is longer than 4096 bytes", SLICE_EMPTY);
            c->cell[n++] = ch;
            r->line += ch == '\n';
        }
        *out = slice_make(c->cell, n);
    } else {
        while (n < c->rest.len && c->rest.ptr[n] != ',' && c->rest.ptr[n] != '\n')
            n++;
        *out = slice_head(c->rest, n);
        c->rest = slice_from(c->rest, n);
        if (n && out->ptr[n - 1] == '\r')
            out->len--;
    }
    if (c->rest.len && c->rest.ptr[0] == '\r')
        c->rest = slice_from(c->rest, 1);
    *last = !c->rest.len || c->rest.ptr[0] == '\n';
    if (c->rest.len && c->rest.ptr[0] != '\n' && c->rest.ptr[0] != ',')
        return wrong(r, RESULT_SYNTAX, "something stands behind a closing quote", SLICE_EMPTY);
    c->rest = slice_from(c->rest, 1);
    return RESULT_OK;
}

static enum result csv_header(struct reading *r, struct csv *c, int fields[USAGE_COLUMNS_MAX],
                              uint32_t *count)
{
    uint32_t known = 0;
    bool last = false;
    for (*count = 0; !last; ++*count) {
        struct slice name;
        if (*count == USAGE_COLUMNS_MAX)
            return wrong(r, RESULT_LIMIT, "more than 128 columns", SLICE_EMPTY);
        enum result result = csv_cell(r, c, &name, &last);
        if (result)
            return result;
        fields[*count] = field_of(slice_trim(name));
        if (fields[*count] != NOTHING)
            known |= 1u << fields[*count];
    }
    if (!(known & 1u << DAY))
        return wrong(r, RESULT_NOT_FOUND, "no column tells the day (date, start_time, ...)",
                     SLICE_EMPTY);
    if (!(known & 1u << MODEL))
        return wrong(r, RESULT_NOT_FOUND, "no column tells the model (model, model_name, ...)",
                     SLICE_EMPTY);
    return RESULT_OK;
}

static enum result read_csv(struct reading *r, struct slice text)
{
    int fields[USAGE_COLUMNS_MAX];
    uint32_t count;
    struct csv c = {.rest = text};
    enum result result = csv_header(r, &c, fields, &count);
    while (!result && c.rest.len) {
        bool last = false;
        r->line++;
        if (c.rest.ptr[0] == '\n' || c.rest.ptr[0] == '\r') {
            c.rest = slice_from(c.rest, 1);
            r->line -= c.rest.ptr[-1] == '\r';
            continue;
        }
        begin_record(r);
        char model[USAGE_MODEL_MAX];
        for (uint32_t i = 0; !last && !result; i++) {
            struct slice cell;
            result = csv_cell(r, &c, &cell, &last);
            if (!result && i >= count)
                result = wrong(r, RESULT_SYNTAX, "it has more cells than the header", SLICE_EMPTY);
            if (!result && fields[i] != NOTHING)
                result = value(r, fields[i], cell);
            if (!result && fields[i] == MODEL && r->record.model.len) {
                // A quoted cell lies in a room that the next one takes.
                memcpy(model, r->record.model.ptr, r->record.model.len);
                r->record.model.ptr = model;
            }
        }
        if (!result)
            result = end_record(r);
    }
    return result;
}

// --- JSON

static enum result read_object(struct reading *r, const struct json *j, uint32_t object)
{
    uint32_t at = 0, key, member;
    enum result result = RESULT_OK;
    if (json_type(j, object) != JSON_OBJECT)
        return wrong(r, RESULT_SYNTAX, "this is no object", SLICE_EMPTY);
    begin_record(r);
    while (!result && json_member(j, object, &at, &key, &member)) {
        struct slice name = json_string(j, key, r->arena);
        int field = name.ptr ? field_of(name) : NOTHING;
        enum json_type type = json_type(j, member);
        if (!name.ptr)
            return RESULT_NOMEM;
        if (field == NOTHING || type == JSON_NULL)
            continue;
        if (type != JSON_STRING && type != JSON_NUMBER)
            return wrong(r, RESULT_TYPE, "this is neither a text nor a number", json_raw(j, key));
        struct slice text =
            type == JSON_STRING ? json_string(j, member, r->arena) : json_raw(j, member);
        if (!text.ptr)
            return RESULT_NOMEM;
        result = value(r, field, text);
    }
    return result ? result : end_record(r);
}

static enum result read_json(struct reading *r, struct slice text, struct arena *scratch,
                             bool array)
{
    const struct json_limits limits = {16, TOKENS_MAX};
    struct json j;
    struct slice line;
    enum result result = RESULT_OK;
    if (array) {
        uint32_t at = 0, element;
        result = json_parse(&j, text, &limits, scratch);
        if (result)
            return wrong(r, result, "this is not JSON", SLICE_EMPTY);
        for (r->line = 0; !result && json_element(&j, 0, &at, &element);) {
            r->line++; // of records, then
            result = read_object(r, &j, element);
        }
        return result;
    }
    for (r->line = 0; !result && slice_split(&text, '\n', &line);) {
        r->line++;
        if (line.len && line.ptr[line.len - 1] == '\r')
            line.len--;
        line = slice_trim(line);
        if (!line.len)
            continue;
        arena_reset(scratch);
        result = json_parse(&j, line, &limits, scratch);
        result = result ? wrong(r, result, "this is not JSON", line) : read_object(r, &j, 0);
    }
    return result;
}

// --- all

int usage_compare(const void *a, const void *b)
{
    const struct usage_sum *x = a, *y = b;
    return x->day != y->day ? (x->day > y->day) - (x->day < y->day) : slice_cmp(x->model, y->model);
}

// Sorted, and what lies apart of one group brought together.
static void gather(struct reading *r)
{
    size_t n = 0;
    if (r->sums.len)
        qsort(r->sums.at, r->sums.len, sizeof *r->sums.at, usage_compare);
    for (size_t i = 0; i < r->sums.len; i++) {
        if (n && usage_compare(&r->sums.at[n - 1], &r->sums.at[i]) == 0) {
            for (int k = 0; k < USAGE_FIELDS; k++) {
                int64_t *to = &r->sums.at[n - 1].of[k];
                *to += *to < INT64_MAX / 4 ? r->sums.at[i].of[k] : 0;
            }
            continue;
        }
        r->sums.at[n++] = r->sums.at[i];
    }
    r->sums.len = n;
}

enum result usage_read(struct usage *u, struct slice text, struct arena *arena, struct buf *why)
{
    struct reading r = {.arena = arena, .why = why, .line = 1, .sums = {.cap = USAGE_SUMS_MAX}};
    struct arena scratch;
    enum result result = RESULT_OK;
    arena_init(&scratch, 65536, 1u << 30);
    if (slice_starts_with(text, SLICE("\xef\xbb\xbf")))
        text = slice_from(text, 3);
    size_t at = 0;
    while (at < text.len && strchr(" \t\r\n", text.ptr[at]))
        at++;
    char first = at < text.len ? text.ptr[at] : 0;
    if (text.len > USAGE_BYTES_MAX)
        result = wrong(&r, RESULT_LIMIT, "the file is larger than 64 MiB", SLICE_EMPTY);
    else if (!first)
        result = wrong(&r, RESULT_SYNTAX, "the file is empty", SLICE_EMPTY);
    else if (!utf8_valid(text))
        result = wrong(&r, RESULT_UTF8, "the file is not UTF-8", SLICE_EMPTY);
    else if (first == '[' || first == '{')
        result = read_json(&r, text, &scratch, first == '[');
    else
        result = read_csv(&r, text);
    if (!result && !r.fields)
        result =
            wrong(&r, RESULT_NOT_FOUND, "no column tells requests, tokens or dollars", SLICE_EMPTY);
    if (result == RESULT_NOMEM && !why->len)
        buf_cstr(why, "no memory");
    if (!result) {
        if (r.fields & (1u << USAGE_INPUT | 1u << USAGE_OUTPUT))
            r.fields |= 1u << USAGE_TOKENS;
        gather(&r);
        *u = (struct usage){.count = (uint32_t)r.sums.len, .fields = r.fields, .lines = r.lines};
        u->sums = ARENA_ARRAY(arena, struct usage_sum, r.sums.len ? r.sums.len : 1);
        if (!u->sums)
            result = RESULT_NOMEM;
        else if (r.sums.len)
            memcpy(u->sums, r.sums.at, r.sums.len * sizeof *u->sums);
    }
    VEC_DEINIT(&r.sums);
    arena_deinit(&scratch);
    return result;
}
