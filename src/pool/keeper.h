// Who looks after the pool, on the control side's loop: fetches the engines' metrics, asks places that are out or idle for
// their health, judges outliers, and keeps discovered places as their files and names say.
//
// Nothing here is on the road of a request. What is fetched goes into `struct place` (pool/places.h) and is stale
// KEEPER_STALE_PERIODS periods later. Trouble is told once, when it begins, and once when it is over.
//
//   metrics    every scrape_ms, jittered, where the policy names an engine
//   health     a place that is out: every check_ms, where the engine or the policy has a path for it. While that fails no
//              request is risked; when it succeeds after a first ejection, the trial may begin at once. A place without
//              calls for idle_ms: every idle_check_ms; one whose calls show no sign of life for KEEPER_SILENT_MS (or
//              idle_ms, when that is less): every check_ms. KEEPER_IDLE_FAILURES in a row put it out.
//   outliers   every judge_ms, the places of a model against each other (pool/health.h)
//   files      looked at every file_ms, read when they have changed; names every dns_ms (pool/finder.h)
#ifndef MERIT_POOL_KEEPER_H
#define MERIT_POOL_KEEPER_H

#include "net/dns.h"
#include "net/dns_ask.h"
#include "net/tls.h"
#include "pool/pool.h"

enum {
    KEEPER_STALE_PERIODS = 5,
    KEEPER_IDLE_FAILURES = 3,
    KEEPER_SILENT_MS = 5000,
    KEEPER_CALLS_MAX = 64
};

struct keeper_times {
    uint32_t tick_ms, scrape_ms, scrape_timeout_ms, check_ms, check_timeout_ms, idle_ms,
        idle_check_ms, judge_ms, file_ms, dns_ms;
};
extern const struct keeper_times keeper_times_default;

struct keeper_options {
    struct loop *loop;
    struct dns *dns;
    struct keeper_times times;
    const char *folder;         // that files of the policy are relative to; NULL: the process's own
    struct dns_servers servers; // that are asked for services; none: the system's
    // One line for people, without a newline.
    void (*say)(void *ctx, struct slice line);
    // The place has lost its cache: it was started again, or its number now is another one's. NULL: nobody cares.
    void (*forget)(void *ctx, struct pool *pool, int32_t place);
    // Grams of CO2e per kWh where the model runs, now; negative: not known. NULL: never is.
    double (*carbon_g_kwh)(void *ctx, const struct policy_image *image, int32_t model);
    void *ctx;
};

struct keeper;

enum result keeper_open(struct keeper **out, const struct keeper_options *options) MERIT_NODISCARD;
void keeper_close(struct keeper *k); // NULL is a no-op; before its loop

// From now on this pool, which must stand until the next call. Before any loop has seen it: places that the one before had
// are taken over, and files are read at once. `client_tls` as the loops have it. RESULT_NOMEM: it is as if nothing was
// asked, and the old one is kept.
enum result keeper_take(struct keeper *k, struct pool *pool,
                        struct tls_context *client_tls) MERIT_NODISCARD;

// Writes a reading into a place; `now_ms` loop time. For keeper.c, ORCA headers and tests.
struct telemetry;
void keeper_apply(struct place *p, const struct telemetry *t, uint64_t now_ms, uint64_t fresh_ms);

#endif
