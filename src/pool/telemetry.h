// What an engine says of itself: its metrics in Prometheus' text format, and ORCA's headers on answers. Pure: bytes in,
// numbers out; pool/keeper.h fetches them.
//
// Nothing is believed that cannot be: a number that is negative, infinite or not one, a page of HTML, a line or a body over
// the limits is a fault, and the whole page counts for nothing. A page is fed piece by piece and never held as a whole.
//
// One table per engine (pool/telemetry.c) names the metrics; names that are not in it are passed over. Figures that come
// several times with different labels (engines of one server, say) are added up; shares are averaged.
#ifndef MERIT_POOL_TELEMETRY_H
#define MERIT_POOL_TELEMETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "work/image.h"

enum {
    TELEMETRY_BYTES_MAX = 8 * 1024 * 1024, // of a page
    TELEMETRY_LINE_MAX = 64 * 1024,
    TELEMETRY_HEADER_MAX = 8 * 1024,
    TELEMETRY_COUNT_MAX = 1000000 // requests that wait or run
};

// Negative: not told.
struct telemetry {
    double queue, running, kv_use;
    double prefix_queries, prefix_hits; // tokens, since its start
    double prefix_share;                // where it tells that instead
    double preemptions;
    double work_done; // tokens or requests since its start: falls only when it starts again
    double block_tok, blocks;
    double slots;
    // Adapters: of the name asked for.
    bool lora_told, lora_loaded, lora_room;
};

enum telemetry_fault {
    TELEMETRY_OK,
    TELEMETRY_NOT_ASKED, // nothing was scraped yet
    TELEMETRY_UNREACHABLE,
    TELEMETRY_SLOW,    // no whole page in time
    TELEMETRY_STATUS,  // another one than 200
    TELEMETRY_HTML,    // a web page
    TELEMETRY_FORMAT,  // not Prometheus' text format
    TELEMETRY_NOTHING, // none of the engine's metrics is in it
    TELEMETRY_VALUE,   // a number that cannot be
    TELEMETRY_LARGE,   // the page is over TELEMETRY_BYTES_MAX
    TELEMETRY_LINE,    // a line is over TELEMETRY_LINE_MAX
    TELEMETRY_MEMORY,
    TELEMETRY_FAULTS
};
// A half sentence: "it is a web page, not metrics".
extern const char *const telemetry_fault_texts[TELEMETRY_FAULTS];

// Where the engine has its metrics and its health, behind its host and port; empty for IMAGE_ENGINE_NONE.
struct slice telemetry_metrics_path(enum image_engine engine);
struct slice telemetry_health_path(enum image_engine engine);

struct telemetry_reader {
    enum image_engine engine;
    struct slice adapter; // name whose adapter is looked for; outlives the reader
    struct telemetry out;
    enum telemetry_fault fault;
    struct buf line; // the beginning of one that is not whole
    uint64_t bytes;
    uint32_t samples, bad, kv_count;
    double lora_at; // the newest of several lines
};

void telemetry_begin(struct telemetry_reader *r, enum image_engine engine, struct slice adapter);
// False: there is a fault, and no more need come.
bool telemetry_feed(struct telemetry_reader *r, struct slice piece);
// Frees what the reader holds; TELEMETRY_OK and `*out`, or the fault. To be called once, also when nothing was fed.
enum telemetry_fault telemetry_end(struct telemetry_reader *r, struct telemetry *out);

// The value of an `endpoint-load-metrics` header (ORCA): `JSON {...}` or `TEXT a=1, named_metrics.b=2`. False: it tells
// nothing that can be used.
bool telemetry_orca(struct slice header, struct telemetry *out);

#endif
