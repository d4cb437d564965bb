#include "pool/carbon.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"

struct source {
    char path[CARBON_PATH_BYTES], zone[CARBON_NAME_BYTES];
    struct carbon_table table;
    struct timespec changed;
    off_t size;
    ino_t
        inode; // a replaced file may have the time of the one before: clocks of file systems are coarse
    bool read; // a try was made of what stands there now
    char why[CARBON_WHY_BYTES];
    _Atomic int64_t now; // microgram * 8 + enum carbon_from
};

struct carbon {
    struct source all[CARBON_ZONES_MAX];
    _Atomic uint32_t count;
};

const char *carbon_from_name(enum carbon_from from)
{
    static const char *const names[] = {"unknown", "policy", "typical", "late", "hour"};
    return names[from];
}

// ---- a file's rows

// Days since 1970-01-01 of a date of the Gregorian calendar: years begin in March, so that the leap day is the last one.
static uint32_t days_of(uint64_t y, uint64_t m, uint64_t d)
{
    y -= m <= 2;
    uint64_t era = y / 400, of_era = y - era * 400;
    uint64_t of_year = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    return (uint32_t)(era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468);
}

static bool two(struct slice s, size_t at, uint64_t most, uint64_t *out)
{
    return at + 2 <= s.len && slice_u64(slice_make(s.ptr + at, 2), out) && *out <= most;
}

// "2026-11-21T10Z", "...T10:00Z", "...T10:00:00Z".
static bool dated(struct slice s, uint32_t *hour)
{
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint64_t y, m, d, h;
    if (s.len < 14 || s.ptr[4] != '-' || s.ptr[7] != '-' || s.ptr[10] != 'T' ||
        s.ptr[s.len - 1] != 'Z' || !slice_u64(slice_head(s, 4), &y) || !two(s, 5, 12, &m) ||
        !two(s, 8, 31, &d) || !two(s, 11, 23, &h) || y < 1970 || !m || !d ||
        d > (uint64_t)days[m - 1] || (m == 2 && d == 29 && (y % 4 || (y % 100 == 0 && y % 400))))
        return false;
    struct slice rest = slice_make(s.ptr + 13, s.len - 14);
    if (rest.len && !slice_eq(rest, SLICE(":00")) && !slice_eq(rest, SLICE(":00:00")))
        return false;
    *hour = days_of(y, m, d) * 24 + (uint32_t)h;
    return true;
}

// Grams with up to six places, exactly.
static bool grams(struct slice s, int64_t *ug)
{
    struct slice whole, rest = s;
    uint64_t g, part = 0;
    if (!slice_split(&rest, '.', &whole) || !slice_u64(whole, &g) || g > CARBON_G_MAX)
        return false;
    if (rest.ptr && (rest.len > 6 || !slice_u64(rest, &part)))
        return false;
    for (size_t i = rest.ptr ? rest.len : 6; i < 6; i++)
        part *= 10;
    *ug = (int64_t)(g * 1000000 + part);
    return *ug <= CARBON_G_MAX * INT64_C(1000000);
}

static struct slice trimmed(struct slice line)
{
    if (line.len && line.ptr[line.len - 1] == '\r')
        line.len--;
    return slice_trim(line);
}

static bool is_row(struct slice line)
{
    return line.len && line.ptr[0] != '#';
}

static int by_hour(const void *pa, const void *pb)
{
    const struct carbon_row *a = pa, *b = pb;
    return (a->hour > b->hour) - (a->hour < b->hour);
}

static const char *take(struct carbon_table *t, struct slice line, struct slice zone, bool zones)
{
    struct slice hour, value, name = SLICE_EMPTY, rest = line;
    uint64_t of_day;
    int64_t ug;
    if (!slice_split(&rest, ',', &hour) || !slice_split(&rest, ',', &value) ||
        (zones && !slice_split(&rest, ',', &name)) || rest.ptr)
        return zones ? "a row is hour,g_kwh,zone" : "a row is hour,g_kwh";
    hour = slice_trim(hour);
    if (!grams(slice_trim(value), &ug))
        return "the figure is a number of grams, 0 to 5000, with at most six places";
    bool mine = !zones || slice_eq(slice_trim(name), zone);
    struct carbon_row row = {.ug_kwh = ug};
    if (hour.len <= 2 && slice_u64(hour, &of_day) && of_day < 24) {
        if (mine && t->of_day[of_day] >= 0)
            return "this hour of the day stands twice";
        if (mine)
            t->of_day[of_day] = ug;
    } else if (!dated(hour, &row.hour)) {
        return "the hour is YYYY-MM-DDTHH:00Z, or 0 to 23";
    } else if (mine) {
        t->rows[t->count++] = row;
    }
    return NULL;
}

static const char *all_rows(struct carbon_table *t, struct slice text, struct slice zone,
                            uint32_t *at)
{
    struct slice rest = text, line;
    bool header = false, zones = false;
    while (rest.len && slice_split(&rest, '\n', &line)) {
        ++*at;
        line = trimmed(line);
        if (!is_row(line))
            continue;
        if (!header) {
            zones = slice_eq(line, SLICE("hour,g_kwh,zone"));
            if (!zones && !slice_eq(line, SLICE("hour,g_kwh")))
                return "the file begins with hour,g_kwh or hour,g_kwh,zone";
            header = true;
            continue;
        }
        const char *wrong = take(t, line, zone, zones);
        if (wrong)
            return wrong;
    }
    if (t->count > 1)
        qsort(t->rows, t->count, sizeof *t->rows, by_hour);
    for (uint32_t i = 1; i < t->count; i++)
        if (t->rows[i - 1].hour == t->rows[i].hour)
            return "an hour stands twice in this file";
    return header ? NULL : "the file begins with hour,g_kwh or hour,g_kwh,zone";
}

enum result carbon_read(struct slice text, struct slice zone, struct carbon_table *out,
                        char why[CARBON_WHY_BYTES])
{
    struct slice rest = text, line;
    uint32_t rows = 0, at = 0;
    *out = (struct carbon_table){0};
    why[0] = 0;
    if (text.len > CARBON_BYTES_MAX) {
        snprintf(why, CARBON_WHY_BYTES, "more than 4 MiB");
        return RESULT_LIMIT;
    }
    while (rest.len && slice_split(&rest, '\n', &line))
        rows += is_row(trimmed(line));
    if (rows > CARBON_ROWS_MAX) {
        snprintf(why, CARBON_WHY_BYTES, "more than %d rows", CARBON_ROWS_MAX);
        return RESULT_LIMIT;
    }
    struct carbon_table t = {.rows = alloc_bytes(((size_t)rows + 1) * sizeof *t.rows)};
    if (!t.rows) {
        snprintf(why, CARBON_WHY_BYTES, "out of memory");
        return RESULT_NOMEM;
    }
    for (int i = 0; i < 24; i++)
        t.of_day[i] = -1;
    const char *wrong = all_rows(&t, text, zone, &at);
    if (wrong) {
        snprintf(why, CARBON_WHY_BYTES, "line %u: %s", at, wrong);
        alloc_free(t.rows);
        return RESULT_SYNTAX;
    }
    *out = t;
    return RESULT_OK;
}

void carbon_table_free(struct carbon_table *t)
{
    alloc_free(t->rows);
    *t = (struct carbon_table){0};
}

enum carbon_from carbon_at(const struct carbon_table *t, uint64_t wall_us, int64_t *ug_kwh)
{
    uint64_t hour = wall_us / UINT64_C(3600000000);
    uint32_t low = 0, high = t->count; // rows before `low` are not later than now
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (t->rows[mid].hour <= hour)
            low = mid + 1;
        else
            high = mid;
    }
    *ug_kwh = -1;
    if (low && t->rows[low - 1].hour + UINT64_C(1) * CARBON_TTL_H >= hour) {
        *ug_kwh = t->rows[low - 1].ug_kwh;
        return t->rows[low - 1].hour == hour ? CARBON_HOUR : CARBON_LATE;
    }
    if (t->rows && t->of_day[hour % 24] >= 0) {
        *ug_kwh = t->of_day[hour % 24];
        return CARBON_TYPICAL;
    }
    return CARBON_UNKNOWN;
}

// ---- what holds now

enum result carbon_new(struct carbon **out)
{
    *out = alloc_zeroed(1, sizeof **out);
    return *out ? RESULT_OK : RESULT_NOMEM;
}

void carbon_free(struct carbon *c)
{
    for (uint32_t i = 0; c && i < c->count; i++)
        carbon_table_free(&c->all[i].table);
    alloc_free(c);
}

// What cannot be read leaves the rows as they are: they grow old by themselves.
static bool load(struct source *s)
{
    struct stat st;
    char old[CARBON_WHY_BYTES], room[FILE_ERROR_BYTES];
    memcpy(old, s->why, sizeof old);
    if (stat(s->path, &st)) {
        snprintf(s->why, sizeof s->why, "%s", file_error(errno, room));
        s->read = false;
        return strcmp(old, s->why) != 0;
    }
    if (s->read && st.st_mtim.tv_sec == s->changed.tv_sec &&
        st.st_mtim.tv_nsec == s->changed.tv_nsec && st.st_size == s->size && st.st_ino == s->inode)
        return false;
    struct buf text;
    struct carbon_table t;
    buf_init(&text, CARBON_BYTES_MAX);
    enum result r = file_read(s->path, &text);
    if (r)
        snprintf(s->why, sizeof s->why, "%s", file_problem(r, room));
    else
        r = carbon_read(buf_slice(&text), slice_cstr(s->zone), &t, s->why);
    buf_deinit(&text);
    // Without memory the file is tried again as if it were new.
    s->read = r != RESULT_NOMEM;
    s->changed = st.st_mtim;
    s->size = st.st_size;
    s->inode = st.st_ino;
    if (!r) {
        carbon_table_free(&s->table);
        s->table = t;
        return true;
    }
    return strcmp(old, s->why) != 0;
}

static void settle(struct source *s, uint64_t wall_us)
{
    int64_t ug;
    enum carbon_from from = carbon_at(&s->table, wall_us, &ug);
    atomic_store_explicit(&s->now, from ? ug * 8 + (int64_t)from : 0, memory_order_relaxed);
}

static struct source *find(const struct carbon *c, struct slice file, struct slice zone)
{
    uint32_t n = c ? atomic_load_explicit(&c->count, memory_order_acquire) : 0;
    for (uint32_t i = 0; i < n; i++)
        if (slice_eq_cstr(file, c->all[i].path) && slice_eq_cstr(zone, c->all[i].zone))
            return (struct source *)&c->all[i];
    return NULL;
}

enum result carbon_use(struct carbon *c, const struct policy_image *image, uint64_t wall_us)
{
    const struct image_zone *z = IMAGE_AT(image, image->zones, struct image_zone);
    enum result result = RESULT_OK;
    for (uint32_t i = 0; i < image->zones.count; i++) {
        struct slice file = image_text(image, z[i].carbon_file);
        struct slice zone = image_text(image, z[i].name);
        uint32_t n = c->count;
        if (!file.len || find(c, file, zone))
            continue;
        if (n == CARBON_ZONES_MAX || file.len >= CARBON_PATH_BYTES ||
            zone.len >= CARBON_NAME_BYTES) {
            result = RESULT_LIMIT;
            continue;
        }
        struct source *s = &c->all[n];
        memcpy(s->path, file.ptr, file.len);
        memcpy(s->zone, zone.ptr, zone.len);
        load(s);
        settle(s, wall_us);
        atomic_store_explicit(&c->count, n + 1, memory_order_release);
    }
    return result;
}

bool carbon_tick(struct carbon *c, uint64_t wall_us)
{
    bool changed = false;
    for (uint32_t i = 0; i < c->count; i++) {
        changed |= load(&c->all[i]);
        settle(&c->all[i], wall_us);
    }
    return changed;
}

struct carbon_now carbon_now(const struct carbon *c, const struct policy_image *image, int32_t zone)
{
    struct carbon_now out = {.ug_kwh = -1};
    if (zone == IMAGE_NONE)
        return out;
    const struct image_zone *z = IMAGE_AT(image, image->zones, struct image_zone) + zone;
    const struct source *s =
        z->carbon_file.len ? find(c, image_text(image, z->carbon_file), image_text(image, z->name))
                           : NULL;
    int64_t now = s ? atomic_load_explicit(&s->now, memory_order_relaxed) : 0;
    out.marginal = z->carbon_marginal;
    if (now) {
        out.ug_kwh = now / 8;
        out.from = (enum carbon_from)(now % 8);
    } else if (z->carbon_stated) {
        out.ug_kwh = z->carbon_ug_kwh;
        out.from = CARBON_POLICY;
    }
    return out;
}

bool carbon_each(const struct carbon *c, uint32_t i, struct carbon_view *out)
{
    if (i >= c->count)
        return false;
    const struct source *s = &c->all[i];
    int64_t now = atomic_load_explicit(&s->now, memory_order_relaxed);
    *out = (struct carbon_view){.file = slice_cstr(s->path),
                                .zone = slice_cstr(s->zone),
                                .why = s->why,
                                .rows = s->table.count,
                                .from = (enum carbon_from)(now % 8),
                                .ug_kwh = now ? now / 8 : -1};
    return true;
}

static void label(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"' || s.ptr[i] == '\\')
            buf_byte(out, '\\');
        buf_byte(out, s.ptr[i] == '\n' ? ' ' : s.ptr[i]);
    }
}

void carbon_metrics(const struct carbon *c, struct buf *out)
{
    struct carbon_view v;
    if (!carbon_each(c, 0, &v))
        return;
    BUF_LIT(out, "# HELP merit_carbon_file_up Whether the zone's file was read as it stands.\n"
                 "# TYPE merit_carbon_file_up gauge\n");
    for (uint32_t i = 0; carbon_each(c, i, &v); i++) {
        BUF_LIT(out, "merit_carbon_file_up{zone=\"");
        label(out, v.zone);
        buf_printf(out, "\"} %d\n", !v.why[0]);
    }
    BUF_LIT(out, "# HELP merit_carbon_g_per_kwh Of the zone's file, now.\n"
                 "# TYPE merit_carbon_g_per_kwh gauge\n");
    for (uint32_t i = 0; carbon_each(c, i, &v); i++) {
        if (v.ug_kwh < 0)
            continue;
        BUF_LIT(out, "merit_carbon_g_per_kwh{zone=\"");
        label(out, v.zone);
        buf_printf(out, "\",from=\"%s\"} ", carbon_from_name(v.from));
        buf_micro(out, v.ug_kwh);
        buf_byte(out, '\n');
    }
}
