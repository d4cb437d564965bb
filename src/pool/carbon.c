#include "pool/carbon.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/file.h"
#include "text/json.h"

struct source {
    char path[CARBON_PATH_BYTES], zone[CARBON_NAME_BYTES];
    struct carbon_table table;
    struct timespec changed;
    off_t size;
    ino_t
        inode; // a replaced file may have the time of the one before: clocks of file systems are coarse
    bool read; // a try was made of what stands there now
    bool feed;
    uint32_t use;      // the last one that named it
    uint64_t fed_us;   // loop time of the feed's last good answer
    int64_t stated_ug; // the policy's figure; -1: none
    char why[CARBON_WHY_BYTES];
    _Atomic int64_t now; // microgram * 8 + enum carbon_from
};

struct carbon {
    struct source all[CARBON_ZONES_MAX];
    _Atomic uint32_t count;
    uint32_t uses;
    uint64_t stale_us;
};

enum { FEED_ARENA_MAX = 64 * 1024 * 1024 };

const char *carbon_from_name(enum carbon_from from)
{
    static const char *const names[] = {"unknown", "policy", "typical", "late", "hour", "stale"};
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

static const char *take_row(struct carbon_table *t, struct slice hour, struct slice value,
                            bool mine)
{
    struct carbon_row row;
    uint64_t of_day;
    int64_t ug;
    if (!grams(value, &ug))
        return "the figure is a number of grams, 0 to 5000, with at most six places";
    row.ug_kwh = ug;
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

static const char *take(struct carbon_table *t, struct slice line, struct slice zone, bool zones)
{
    struct slice hour, value, name = SLICE_EMPTY, rest = line;
    if (!slice_split(&rest, ',', &hour) || !slice_split(&rest, ',', &value) ||
        (zones && !slice_split(&rest, ',', &name)) || rest.ptr)
        return zones ? "a row is hour,g_kwh,zone" : "a row is hour,g_kwh";
    return take_row(t, slice_trim(hour), slice_trim(value),
                    !zones || slice_eq(slice_trim(name), zone));
}

static const char *in_order(struct carbon_table *t)
{
    if (t->count > 1)
        qsort(t->rows, t->count, sizeof *t->rows, by_hour);
    for (uint32_t i = 1; i < t->count; i++)
        if (t->rows[i - 1].hour == t->rows[i].hour)
            return "an hour stands twice in this file";
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
    return header ? in_order(t) : "the file begins with hour,g_kwh or hour,g_kwh,zone";
}

static enum result table_open(struct carbon_table *t, uint32_t rows, char why[CARBON_WHY_BYTES])
{
    if (rows > CARBON_ROWS_MAX) {
        snprintf(why, CARBON_WHY_BYTES, "more than %d rows", CARBON_ROWS_MAX);
        return RESULT_LIMIT;
    }
    *t = (struct carbon_table){.rows = alloc_bytes(((size_t)rows + 1) * sizeof *t->rows)};
    for (int i = 0; i < 24; i++)
        t->of_day[i] = -1;
    if (t->rows)
        return RESULT_OK;
    snprintf(why, CARBON_WHY_BYTES, "out of memory");
    return RESULT_NOMEM;
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
    struct carbon_table t;
    enum result r = table_open(&t, rows, why);
    if (r)
        return r;
    const char *wrong = all_rows(&t, text, zone, &at);
    if (wrong) {
        snprintf(why, CARBON_WHY_BYTES, "line %u: %s", at, wrong);
        alloc_free(t.rows);
        return RESULT_SYNTAX;
    }
    *out = t;
    return RESULT_OK;
}

// ---- what a feed answers

static const char *json_row(const struct json *j, uint32_t row, struct slice zone,
                            struct slice this_hour, struct carbon_table *t)
{
    struct slice hour = this_hour;
    if (json_type(j, row) != JSON_OBJECT)
        return "a row is an object with g_kwh";
    uint32_t value = json_get(j, row, SLICE("g_kwh"), NULL);
    uint32_t when = json_get(j, row, SLICE("hour"), NULL);
    uint32_t name = json_get(j, row, SLICE("zone"), NULL);
    if (value == JSON_NONE || json_type(j, value) != JSON_NUMBER)
        return "g_kwh is missing, or no number";
    if (when != JSON_NONE) {
        if (json_type(j, when) != JSON_STRING && json_type(j, when) != JSON_NUMBER)
            return "the hour is YYYY-MM-DDTHH:00Z, or 0 to 23";
        hour = json_raw(j, when);
    }
    bool mine =
        name == JSON_NONE || (json_type(j, name) == JSON_STRING && json_string_is(j, name, zone));
    return take_row(t, hour, json_raw(j, value), mine);
}

static enum result json_rows(const struct json *j, struct slice zone, struct slice this_hour,
                             struct carbon_table *t, char why[CARBON_WHY_BYTES])
{
    uint32_t rows = json_get(j, 0, SLICE("rows"), NULL), at = 0, row, n = 0;
    bool list = rows != JSON_NONE;
    if (list && json_type(j, rows) != JSON_ARRAY) {
        snprintf(why, CARBON_WHY_BYTES, "rows is no array");
        return RESULT_SYNTAX;
    }
    while (list && json_element(j, rows, &at, &row))
        n++;
    enum result r = table_open(t, list ? n : 1, why);
    if (r)
        return r;
    const char *wrong = list ? NULL : json_row(j, 0, zone, this_hour, t);
    n = at = 0;
    while (list && !wrong && json_element(j, rows, &at, &row)) {
        n++;
        wrong = json_row(j, row, zone, this_hour, t);
    }
    if (wrong && list)
        snprintf(why, CARBON_WHY_BYTES, "row %u: %s", n, wrong);
    else if (wrong || (wrong = in_order(t)))
        snprintf(why, CARBON_WHY_BYTES, "%s", wrong);
    if (wrong)
        carbon_table_free(t);
    return wrong ? RESULT_SYNTAX : RESULT_OK;
}

static enum result read_json(struct slice text, struct slice zone, uint64_t wall_us,
                             struct carbon_table *out, char why[CARBON_WHY_BYTES])
{
    char now[CLOCK_ISO_LEN], hour[sizeof "2026-11-21T10:00Z"];
    struct arena arena;
    struct json j;
    clock_iso(wall_us, now);
    snprintf(hour, sizeof hour, "%.13s:00Z", now);
    arena_init(&arena, 64 * 1024, FEED_ARENA_MAX);
    enum result r = json_parse(&j, text, &json_limits_default, &arena);
    if (!r)
        r = json_rows(&j, zone, slice_cstr(hour), out, why);
    else if (r == RESULT_NOMEM)
        snprintf(why, CARBON_WHY_BYTES, "out of memory");
    else
        snprintf(why, CARBON_WHY_BYTES, "byte %u is no JSON", j.error_at);
    arena_deinit(&arena);
    return r;
}

static bool has_figure(const struct carbon_table *t)
{
    bool any = t->count > 0;
    for (int i = 0; i < 24 && !any; i++)
        any = t->of_day[i] >= 0;
    return any;
}

enum result carbon_read_feed(struct slice text, struct slice zone, uint64_t wall_us,
                             struct carbon_table *out, char why[CARBON_WHY_BYTES])
{
    struct slice begin = text;
    while (begin.len && (unsigned char)begin.ptr[0] <= ' ')
        begin = slice_from(begin, 1);
    enum result r = RESULT_SYNTAX;
    *out = (struct carbon_table){0};
    why[0] = 0;
    if (text.len > CARBON_BYTES_MAX) {
        snprintf(why, CARBON_WHY_BYTES, "more than 4 MiB");
        return RESULT_LIMIT;
    }
    if (!begin.len || begin.ptr[0] == '<')
        snprintf(why, CARBON_WHY_BYTES, begin.len ? "it is a web page" : "it is empty");
    else if (begin.ptr[0] == '{')
        r = read_json(begin, zone, wall_us, out, why);
    else
        r = carbon_read(text, zone, out, why);
    if (!r && !has_figure(out)) {
        snprintf(why, CARBON_WHY_BYTES, "it has no figure of this zone");
        carbon_table_free(out);
        r = RESULT_NOT_FOUND;
    }
    return r;
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
    if (*out)
        carbon_stale_after(*out, CARBON_STALE_MS);
    return *out ? RESULT_OK : RESULT_NOMEM;
}

void carbon_stale_after(struct carbon *c, uint32_t ms)
{
    c->stale_us = (uint64_t)ms * 1000;
}

bool carbon_is_feed(struct slice file)
{
    return slice_ieq(slice_head(file, 7), SLICE("http://")) ||
           slice_ieq(slice_head(file, 8), SLICE("https://"));
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
    if (s->feed)
        return false;
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

static void settle(const struct carbon *c, struct source *s, uint64_t mono_us, uint64_t wall_us)
{
    int64_t ug;
    enum carbon_from from = carbon_at(&s->table, wall_us, &ug);
    if (s->feed && (!from || mono_us - s->fed_us > c->stale_us)) {
        from = CARBON_STALE;
        ug = 0;
    }
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

void carbon_fed(struct carbon *c, uint32_t i, struct slice text, uint64_t mono_us, uint64_t wall_us)
{
    struct source *s = &c->all[i];
    struct carbon_table t;
    if (carbon_read_feed(text, slice_cstr(s->zone), wall_us, &t, s->why))
        return;
    carbon_table_free(&s->table);
    s->table = t;
    s->fed_us = mono_us;
    settle(c, s, mono_us, wall_us);
}

void carbon_age(struct carbon *c, uint32_t i, uint64_t mono_us, uint64_t wall_us)
{
    settle(c, &c->all[i], mono_us, wall_us);
}

void carbon_not_fed(struct carbon *c, uint32_t i, const char *why)
{
    snprintf(c->all[i].why, sizeof c->all[i].why, "%s", why);
}

enum result carbon_use(struct carbon *c, const struct policy_image *image, uint64_t wall_us)
{
    const struct image_zone *z = IMAGE_AT(image, image->zones, struct image_zone);
    enum result result = RESULT_OK;
    c->uses++;
    for (uint32_t i = 0; i < image->zones.count; i++) {
        struct slice file = image_text(image, z[i].carbon_file);
        struct slice zone = image_text(image, z[i].name);
        uint32_t n = c->count;
        struct source *known = file.len ? find(c, file, zone) : NULL;
        if (known) {
            known->use = c->uses;
            known->stated_ug = z[i].carbon_stated ? z[i].carbon_ug_kwh : -1;
        }
        if (!file.len || known)
            continue;
        if (n == CARBON_ZONES_MAX || file.len >= CARBON_PATH_BYTES ||
            zone.len >= CARBON_NAME_BYTES) {
            result = RESULT_LIMIT;
            continue;
        }
        struct source *s = &c->all[n];
        memcpy(s->path, file.ptr, file.len);
        memcpy(s->zone, zone.ptr, zone.len);
        s->feed = carbon_is_feed(file);
        s->use = c->uses;
        s->stated_ug = z[i].carbon_stated ? z[i].carbon_ug_kwh : -1;
        load(s);
        settle(c, s, 0, wall_us);
        atomic_store_explicit(&c->count, n + 1, memory_order_release);
    }
    return result;
}

bool carbon_tick(struct carbon *c, uint64_t mono_us, uint64_t wall_us)
{
    bool changed = false;
    for (uint32_t i = 0; i < c->count; i++) {
        changed |= load(&c->all[i]);
        settle(c, &c->all[i], mono_us, wall_us);
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
    bool stale = now == CARBON_STALE;
    if (now && !stale) {
        out.ug_kwh = now / 8;
        out.from = (enum carbon_from)(now % 8);
    } else if (z->carbon_stated) {
        out.ug_kwh = z->carbon_ug_kwh;
        out.from = stale ? CARBON_STALE : CARBON_POLICY;
    }
    return out;
}

bool carbon_each(const struct carbon *c, uint32_t i, struct carbon_view *out)
{
    if (i >= c->count)
        return false;
    const struct source *s = &c->all[i];
    int64_t now = atomic_load_explicit(&s->now, memory_order_relaxed);
    enum carbon_from from = (enum carbon_from)(now % 8);
    bool own = from != CARBON_UNKNOWN && from != CARBON_STALE;
    *out = (struct carbon_view){.file = slice_cstr(s->path),
                                .zone = slice_cstr(s->zone),
                                .feed = s->feed,
                                .used = s->use == c->uses,
                                .why = s->why,
                                .rows = s->table.count,
                                .from = from || s->stated_ug < 0 ? from : CARBON_POLICY,
                                .ug_kwh = own ? now / 8 : s->stated_ug};
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
    BUF_LIT(out,
            "# HELP merit_carbon_file_up Whether the zone's file or feed was read the last time.\n"
            "# TYPE merit_carbon_file_up gauge\n");
    for (uint32_t i = 0; carbon_each(c, i, &v); i++) {
        if (!v.used)
            continue;
        BUF_LIT(out, "merit_carbon_file_up{zone=\"");
        label(out, v.zone);
        buf_printf(out, "\"} %d\n", !v.why[0]);
    }
    BUF_LIT(out, "# HELP merit_carbon_g_per_kwh Of the zone, now, where it has a file or feed.\n"
                 "# TYPE merit_carbon_g_per_kwh gauge\n");
    for (uint32_t i = 0; carbon_each(c, i, &v); i++) {
        if (v.ug_kwh < 0 || !v.used)
            continue;
        BUF_LIT(out, "merit_carbon_g_per_kwh{zone=\"");
        label(out, v.zone);
        buf_printf(out, "\",from=\"%s\"} ", carbon_from_name(v.from));
        buf_micro(out, v.ug_kwh);
        buf_byte(out, '\n');
    }
}
