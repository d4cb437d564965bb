// Fetches the feeds of carbon that a policy names (pool/carbon.h), on the control side's loop: nothing here is on the road of a
// request.
//
// A feed is asked every `every_ms` with jitter; after a failure sooner, at first a tenth of that. An answer counts when it has
// status 200, is whole within CARBON_FEED_TIMEOUT_MS, has at most CARBON_BYTES_MAX bytes and reads (carbon_read_feed);
// redirects are not followed. What is wrong is told once, when it begins or changes, and once when it is over.
#ifndef MERIT_POOL_CARBON_FEED_H
#define MERIT_POOL_CARBON_FEED_H

#include "net/dns.h"
#include "net/loop.h"
#include "net/tls.h"
#include "pool/carbon.h"

enum { CARBON_FEED_TIMEOUT_MS = 10000, CARBON_FEED_EVERY_MS = 5 * 60 * 1000 };

struct carbon_feeds_options {
    struct loop *loop;
    struct dns *dns;
    struct carbon *carbon; // outlives the feeds
    uint32_t every_ms;
    // One line for people, without a newline. A feed is called by its host: its query may be somebody's secret.
    void (*say)(void *ctx, struct slice line);
    void *ctx;
};

// A URL of a feed: as http_url_parse has it, and perhaps a query. False: it is none. `target` is cut out of `url`; empty: "/".
bool carbon_feed_url(struct slice url, struct slice *origin, struct slice *target);

struct carbon_feeds;
enum result carbon_feeds_open(struct carbon_feeds **out,
                              const struct carbon_feeds_options *options) MERIT_NODISCARD;
void carbon_feeds_close(struct carbon_feeds *f); // NULL: no-op; before its loop
// A policy was taken up (carbon_use): its feeds are asked at once. `tls` for https; NULL: those cannot be asked, and say so.
void carbon_feeds_use(struct carbon_feeds *f, struct tls_context *tls);

#endif
