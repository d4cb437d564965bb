// The traffic side of one loop: from a client's request to a decision, a model and back.
//
//   on_head      which path, which key (api/keys.h)                    -> refuse early
//   on_request   parse (openai_request), decide (route/), plan          -> path/
//                (an encoder is asked: api/waiting.h, and on when it has answered)
//   path         attempts, streaming, usage                             -> metrics, logs, ring
//
// A gateway belongs to its loop's thread; other threads reach it by loop_post (gateway_post_serving and the like).
// `struct gateway_shared` is set up before the loops start and not changed while they run.
#ifndef MERIT_API_GATEWAY_H
#define MERIT_API_GATEWAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/keys.h"
#include "api/metrics.h"
#include "api/ring.h"
#include "api/serving.h"
#include "base/clock.h"
#include "base/log.h"
#include "model/compute.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "path/path.h"

struct hammer; // api/hammer.h

struct gateway_shared {
    struct path_settings path;
    struct http_limits http;
    struct http_client_limits client;
    struct dns *dns;
    struct log_sink *access_log, *decision_log; // NULL: off
    struct metrics_names *names;
    struct reckon *reckon; // carbon, meters, ratios (api/reckon.h); NULL: nothing is known of them
    uint32_t decisions_kept; // in each loop's ring
    bool key_required;       // without a valid key a request is refused
    struct ledger *ledger;   // NULL: nothing is reserved and no row is kept
    struct lengths *lengths; // the learner; NULL: nothing is learned
    struct slice region;     // where this process runs; empty: not said
    int budget_status;       // 402 or 429: of a budget that does not bear it
    struct hammer *hammer;   // errors that were just given; NULL: none is remembered
    // For encoders; NULL: none. Stopped between gateway_close and loop_close.
    struct compute *compute;
    uint32_t
        compute_deadline_ms; // of a decision; past it what is still open fails, and on_error holds
};

struct gateway;

// `serving` and `keys` (may be NULL) are taken a reference of. RESULT_NOMEM, RESULT_IO.
enum result gateway_open(struct gateway **out, const struct gateway_shared *shared,
                         struct loop *loop, uint32_t index, struct serving *serving,
                         struct key_set *keys) MERIT_NODISCARD;
enum result gateway_listen(struct gateway *g, const char *host, uint16_t port,
                           struct tls_context *tls);
uint16_t gateway_port(const struct gateway *g);
struct loop *gateway_loop(struct gateway *g);
struct metrics_shard *gateway_metrics(struct gateway *g); // any thread may read it
struct ring *gateway_ring(struct gateway *g);             // its loop only
// When the loop has stopped.
void gateway_close(struct gateway *g);

// Any thread. The gateway takes over a reference of its own; requests under way keep the policy that they began with.
enum result gateway_post_serving(struct gateway *g, struct serving *serving);
// The statistics by which signals of `serving` are bought from now on; takes them over, also when it fails or that policy
// is no longer the current one.
enum result gateway_post_costs(struct gateway *g, struct serving *serving,
                               struct measured_epoch *costs);
// What lengths are expected from now on; takes a reference of its own.
enum result gateway_post_lengths(struct gateway *g, struct lengths_epoch *lengths);
enum result gateway_post_keys(struct gateway *g, struct key_set *keys);
// Stops accepting; `on_idle` runs on the loop when the last exchange is over. Call once.
enum result gateway_post_drain(struct gateway *g, void (*on_idle)(void *ctx), void *ctx);

#endif
