// Carbon of a kWh, by zone and hour.
//
// `carbon 380 g/kWh average` in a policy is one figure. `carbon "grid.csv" marginal` is a file:
//
//   hour,g_kwh[,zone]
//   2026-11-21T10:00Z,312          this hour, UTC
//   10,290                         this hour of every day, where the file has no dated one
//
// With a third column a file holds several zones, and rows of other zones are passed over. Lines that begin with # and
// empty lines are, too. Whether the figures are average or marginal is what the policy says of the file.
//
// What holds now, in this order: the dated hour; the last dated one, if it is no older than CARBON_TTL_H hours; the hour of
// the day; the policy's figure; nothing. A file is read again when it has changed. One that cannot be read leaves what was
// read before in place, which ages by the same rule, and says why.
//
// A URL instead of a path is a feed, which pool/carbon_feed.h fetches: the same rows, or JSON (docs/energy.md). What it said counts
// until carbon_stale_after has passed without a good answer. From then on, or where it has nothing for now, the policy's figure
// holds and is marked as CARBON_STALE.
//
// Files, feeds and ticks belong to the control thread; carbon_now is for any thread and takes no lock.
#ifndef MERIT_POOL_CARBON_H
#define MERIT_POOL_CARBON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "work/image.h"

enum {
    CARBON_BYTES_MAX = 4 * 1024 * 1024,
    CARBON_ROWS_MAX = 100000, // 11 years of hours
    CARBON_ZONES_MAX = 64,    // with a file, in the life of the process
    CARBON_PATH_BYTES = 512,
    CARBON_NAME_BYTES = 128,
    CARBON_TTL_H = 3,
    CARBON_G_MAX = 5000, // per kWh: coal has about 1,000
    CARBON_WHY_BYTES = 256,
    CARBON_EVERY_MS = 5000, // a good interval for carbon_tick
    CARBON_STALE_MS = CARBON_TTL_H * 3600 * 1000,
};

enum carbon_from {
    CARBON_UNKNOWN,
    CARBON_POLICY,  // the zone's figure
    CARBON_TYPICAL, // of the file, by the hour of the day
    CARBON_LATE,    // of the file, of an earlier hour
    CARBON_HOUR,    // of the file, of this hour
    CARBON_STALE,   // the zone's figure, because its feed has none that counts
};
const char *
carbon_from_name(enum carbon_from from); // "policy", "typical", "late", "hour", "stale", "unknown"

struct carbon_now {
    int64_t ug_kwh; // micrograms of CO2e per kWh; -1: not known
    bool marginal;
    enum carbon_from from;
};

// ---- a file's rows

struct carbon_row {
    uint32_t hour; // since 1970-01-01T00Z
    int64_t ug_kwh;
};
struct carbon_table {
    struct carbon_row *rows; // by hour
    uint32_t count;
    int64_t of_day[24]; // -1: none
};
// Rows of `zone`. `why` has the line, unless RESULT_OK. RESULT_SYNTAX, RESULT_LIMIT, RESULT_NOMEM; `*out` is empty then.
enum result carbon_read(struct slice text, struct slice zone, struct carbon_table *out,
                        char why[CARBON_WHY_BYTES]) MERIT_NODISCARD;
// What a feed answered: CSV as above, or, where it begins with a brace, {"g_kwh": 312.5} (of the hour in which it was read) with
// perhaps "hour" and "zone", or {"rows": [...]} of such. RESULT_NOT_FOUND: nothing of the zone is in it.
enum result carbon_read_feed(struct slice text, struct slice zone, uint64_t wall_us,
                             struct carbon_table *out, char why[CARBON_WHY_BYTES]) MERIT_NODISCARD;
void carbon_table_free(struct carbon_table *t);
// CARBON_HOUR, CARBON_LATE, CARBON_TYPICAL, or CARBON_UNKNOWN (then *ug_kwh is -1).
enum carbon_from carbon_at(const struct carbon_table *t, uint64_t wall_us, int64_t *ug_kwh);

// ---- what holds now

struct carbon;
enum result carbon_new(struct carbon **out) MERIT_NODISCARD;
void carbon_free(struct carbon *c); // NULL: no-op
// When a policy is taken up: its zones' files are read. A file that cannot be read is no error here, carbon_each tells of it.
// RESULT_LIMIT: more than CARBON_ZONES_MAX, or a path or name that is too long; those have the policy's figure. RESULT_NOMEM.
enum result carbon_use(struct carbon *c, const struct policy_image *image,
                       uint64_t wall_us) MERIT_NODISCARD;
// Reads what has changed and moves on with the hours. True when a file's state changed, for a log line.
bool carbon_tick(struct carbon *c, uint64_t mono_us, uint64_t wall_us);
bool carbon_is_feed(struct slice file);
// CARBON_STALE_MS unless said.
void carbon_stale_after(struct carbon *c, uint32_t ms);
// The source's feed has answered: takes what it says, or notes why not.
void carbon_fed(struct carbon *c, uint32_t i, struct slice text, uint64_t mono_us,
                uint64_t wall_us);
// Its figures grow older.
void carbon_age(struct carbon *c, uint32_t i, uint64_t mono_us, uint64_t wall_us);
// It has not.
void carbon_not_fed(struct carbon *c, uint32_t i, const char *why);
// `zone` IMAGE_NONE: not known. Any thread. `c` may be NULL: the policy's figure.
struct carbon_now carbon_now(const struct carbon *c, const struct policy_image *image,
                             int32_t zone);

struct carbon_view {
    struct slice file, zone;
    bool feed;
    bool used;       // by the policy that was taken up last
    const char *why; // "": it was read
    uint32_t rows;
    enum carbon_from from;
    int64_t ug_kwh; // the policy's where that holds; -1: not known
};
// Control thread. False: no more.
bool carbon_each(const struct carbon *c, uint32_t i, struct carbon_view *out);
// merit_carbon_g_per_kwh{zone,from}, merit_carbon_file_up{zone}.
void carbon_metrics(const struct carbon *c, struct buf *out);

#endif
