#include "policy/price_list.h"

#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"
#include "policy/units.h"
#include "text/utf8.h"

enum column {
    PROVIDER,
    MODEL,
    IN,
    CACHED,
    WRITTEN,
    OUT,
    CALL,
    BATCH,
    DATE,
    SOURCE,
    GRADE,
    COLUMNS
};
static const char *const names[COLUMNS] = {"provider", "model", "in",   "cached", "written", "out",
                                           "call",     "batch", "date", "source", "grade"};

struct reader {
    struct slice text; // the copy
    struct diag_list *diags;
    struct price_row *rows;
    uint32_t count, room, line;
    bool header, full;
};

static struct span span_of(const struct reader *r, struct slice s)
{
    uint32_t at = (uint32_t)(s.ptr - r->text.ptr);
    return (struct span){at, at + (uint32_t)s.len};
}

#define WRONG(r, s, code, ...) diag_add((r)->diags, DIAG_ERROR, code, span_of(r, s), __VA_ARGS__)

// Of US dollars, 0 to `most` nano-USD.
static bool money(struct reader *r, struct slice field, const char *name, int64_t most,
                  int64_t *out)
{
    struct decimal d;
    size_t suffix;
    enum units_problem p = units_number(field, &d, &suffix);
    char last = field.len ? field.ptr[field.len - 1] : 0;
    if (!field.len || (field.len == 1 && last == '.') || p == UNITS_SUFFIX || last == 'k' ||
        last == 'M')
        WRONG(r, field, "price-number", "`%s` is a number of US dollars", name);
    else if (p || !units_scaled(d, 9, out))
        WRONG(r, field, "price-number", "`%s` has more digits than a nano-USD can tell", name);
    else if (*out < 0 || *out > most)
        WRONG(r, field, "price-range", "`%s` is between 0 and %lld US dollars", name,
              (long long)(most / 1000000000));
    else
        return true;
    return false;
}

static bool date_ok(struct slice s)
{
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint64_t y, m, d;
    return s.len == 10 && s.ptr[4] == '-' && s.ptr[7] == '-' && slice_u64(slice_head(s, 4), &y) &&
           slice_u64(slice_make(s.ptr + 5, 2), &m) && slice_u64(slice_make(s.ptr + 8, 2), &d) &&
           y >= 2000 && m >= 1 && m <= 12 && d >= 1 && d <= (uint64_t)days[m - 1];
}

static enum image_grade grade_of(struct slice s)
{
    return slice_eq_cstr(s, "measured")  ? IMAGE_GRADE_MEASURED
           : slice_eq_cstr(s, "cited")   ? IMAGE_GRADE_CITED
           : slice_eq_cstr(s, "guessed") ? IMAGE_GRADE_GUESSED
                                         : IMAGE_GRADE_NONE;
}

static bool fill(struct reader *r, const struct slice *f, struct price_row *row)
{
    const int64_t most = IMAGE_PRICE_MAX;
    bool ok = true;
    *row = (struct price_row){.provider = f[PROVIDER], .model = f[MODEL], .line = r->line};
    row->prefix = row->model.len && row->model.ptr[row->model.len - 1] == '*';
    row->model.len -= row->prefix;
    if (!row->provider.len || !row->model.len) {
        WRONG(r, f[row->provider.len ? MODEL : PROVIDER], "price-name",
              "a price names its provider and its model");
        ok = false;
    }
    ok &= money(r, f[IN], "in", most, &row->in_nusd);
    ok &= money(r, f[OUT], "out", most, &row->out_nusd);
    row->cached_nusd = row->written_nusd = row->in_nusd;
    if (f[CACHED].len)
        ok &= money(r, f[CACHED], "cached", most, &row->cached_nusd);
    if (f[WRITTEN].len)
        ok &= money(r, f[WRITTEN], "written", most, &row->written_nusd);
    if (f[CALL].len)
        ok &= money(r, f[CALL], "call", most, &row->call_nusd);
    uint64_t percent = 0;
    if (f[BATCH].len && (!slice_u64(f[BATCH], &percent) || !percent || percent > 100)) {
        WRONG(r, f[BATCH], "price-batch", "`batch` is a whole number of percent, 1 to 100");
        ok = false;
    }
    row->batch_percent = (uint32_t)percent;
    row->date = f[DATE];
    row->source = f[SOURCE];
    row->grade = grade_of(f[GRADE]);
    if (!date_ok(row->date)) {
        WRONG(r, f[DATE], "price-date", "a price has the day on which it was seen: YYYY-MM-DD");
        ok = false;
    }
    if (!row->source.len) {
        WRONG(r, f[SOURCE], "price-source", "a price says where it was seen");
        ok = false;
    }
    if (!row->grade) {
        WRONG(r, f[GRADE], "price-grade", "`grade` is measured, cited or guessed");
        ok = false;
    }
    return ok;
}

static bool split(struct reader *r, struct slice line, struct slice fields[COLUMNS])
{
    struct slice rest = line;
    for (int i = 0; i < COLUMNS; i++) {
        if (!slice_split(&rest, ',', &fields[i])) {
            WRONG(r, line, "price-columns", "a price has %d columns, this line has %d", COLUMNS, i);
            return false;
        }
        fields[i] = slice_trim(fields[i]);
        if (fields[i].len > PRICE_LIST_FIELD_MAX) {
            WRONG(r, fields[i], "price-long", "a field has at most %d bytes", PRICE_LIST_FIELD_MAX);
            return false;
        }
    }
    if (rest.ptr) {
        WRONG(r, line, "price-columns",
              "a price has %d columns, this line has more: no field holds "
              "a comma",
              COLUMNS);
        return false;
    }
    return true;
}

static void header(struct reader *r, struct slice line, const struct slice *fields)
{
    r->header = true;
    for (int i = 0; i < COLUMNS; i++)
        if (!slice_eq_cstr(fields[i], names[i])) {
            struct diag *d = WRONG(r, line, "price-header", "column %d is `%s`", i + 1, names[i]);
            diag_help(r->diags, d,
                      "begin the list with provider,model,in,cached,written,out,call,"
                      "batch,date,source,grade");
            return;
        }
}

// The rows are counted beforehand, so that one block holds them.
static void take(struct reader *r, struct slice line)
{
    struct slice fields[COLUMNS];
    if (!split(r, line, fields))
        return;
    if (!r->header) {
        header(r, line, fields);
        return;
    }
    if (r->count == r->room) {
        r->full = true;
        return;
    }
    if (fill(r, fields, &r->rows[r->count]))
        r->count++;
}

static bool is_row(struct slice line)
{
    return line.len && line.ptr[0] != '#';
}

static struct slice trimmed(struct slice line)
{
    if (line.len && line.ptr[line.len - 1] == '\r')
        line.len--;
    return slice_trim(line);
}

static int fold(char c)
{
    return c >= 'A' && c <= 'Z' ? c + 32 : (unsigned char)c;
}

static int provider_cmp(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    for (size_t i = 0; i < n; i++)
        if (fold(a.ptr[i]) != fold(b.ptr[i]))
            return fold(a.ptr[i]) < fold(b.ptr[i]) ? -1 : 1;
    return a.len < b.len ? -1 : a.len > b.len;
}

static int row_cmp(const void *pa, const void *pb)
{
    const struct price_row *a = pa, *b = pb;
    int c = provider_cmp(a->provider, b->provider);
    if (!c)
        c = slice_cmp(a->model, b->model);
    if (!c)
        c = (a->prefix > b->prefix) - (a->prefix < b->prefix);
    return c ? c : (a->line > b->line) - (a->line < b->line);
}

static bool same_name(const struct price_row *a, const struct price_row *b)
{
    return !provider_cmp(a->provider, b->provider) && slice_eq(a->model, b->model) &&
           a->prefix == b->prefix;
}

static enum result finish(struct reader *r, struct price_list *out)
{
    if (r->count > 1)
        qsort(r->rows, r->count, sizeof *r->rows, row_cmp);
    for (uint32_t i = 1; i < r->count; i++)
        if (same_name(&r->rows[i - 1], &r->rows[i])) {
            struct diag *d =
                WRONG(r, r->rows[i].model, "duplicate",
                      "this price stands twice: here and on line %u", r->rows[i - 1].line);
            diag_also(r->diags, d, span_of(r, r->rows[i - 1].model), "first here");
        }
    if (r->diags->errors)
        return r->full ? RESULT_LIMIT : RESULT_SYNTAX;
    out->rows = r->rows;
    out->count = r->count;
    sha256_of(r->text, out->digest);
    return RESULT_OK;
}

static enum result refuse(struct diag_list *diags, const char *code, const char *why, enum result r)
{
    diag_add(diags, DIAG_ERROR, code, (struct span){0, 0}, "%s", why);
    return r;
}

enum result price_list_read(struct slice text, struct arena *arena, struct diag_list *diags,
                            struct price_list *out)
{
    struct reader r = {.diags = diags};
    struct slice rest, line;
    *out = (struct price_list){0};
    if (text.len > PRICE_LIST_BYTES_MAX)
        return refuse(diags, "price-bytes", "a list of prices has at most 4 MiB", RESULT_LIMIT);
    if (!utf8_valid(text) || (text.len && memchr(text.ptr, 0, text.len)))
        return refuse(diags, "utf8", "a list of prices is UTF-8 without NUL", RESULT_UTF8);
    r.text = arena_copy(arena, text);
    if (text.len && !r.text.ptr)
        return RESULT_NOMEM;
    for (rest = r.text; rest.len && slice_split(&rest, '\n', &line);)
        r.room += is_row(trimmed(line));
    r.room = r.room > PRICE_LIST_ROWS_MAX + 1 ? PRICE_LIST_ROWS_MAX : r.room ? r.room - 1 : 0;
    r.rows = ARENA_ARRAY(arena, struct price_row, r.room + 1);
    if (!r.rows)
        return RESULT_NOMEM;
    for (rest = r.text; rest.len && slice_split(&rest, '\n', &line) && !r.full;) {
        r.line++;
        line = trimmed(line);
        if (is_row(line))
            take(&r, line);
    }
    if (!r.header && !diags->errors)
        return refuse(diags, "price-header",
                      "a list of prices begins with the names of its columns", RESULT_SYNTAX);
    if (r.full)
        return refuse(diags, "price-rows", "a list of prices has at most 20,000 rows",
                      RESULT_LIMIT);
    return finish(&r, out);
}

enum result price_list_shipped(struct arena *arena, struct price_list *out)
{
    struct diag_list diags;
    diag_init(&diags, arena, 1);
    return price_list_read(PRICE_LIST_SHIPPED, arena, &diags, out);
}

const struct price_row *price_list_find(const struct price_list *list, struct slice provider,
                                        struct slice model)
{
    const struct price_row *best = NULL;
    uint32_t low = 0, high = list->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (provider_cmp(list->rows[mid].provider, provider) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    for (; low < list->count && !provider_cmp(list->rows[low].provider, provider); low++) {
        const struct price_row *row = &list->rows[low];
        if (!row->prefix && slice_eq(row->model, model))
            return row;
        if (row->prefix && slice_starts_with(model, row->model) &&
            (!best || row->model.len > best->model.len))
            best = row;
    }
    return best;
}
