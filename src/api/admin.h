// The admin side: metrics, health, decisions, and deciding without calling anything.
//
//   GET  /                           a page for people
//   GET  /health, /ready             liveness; readiness (503 while draining)
//   GET  /metrics                    Prometheus
//   GET  /merit/v1/policy            name, version, digest, routes and models of what is served
//   POST /merit/v1/route             a chat body, or {"text": "..."}: the decision it would get
//   GET, POST, DELETE /merit/v1/pool...   places, and edits of them by hand (api/admin_pool.h)
//   GET  /merit/v1/decisions?n=20    the newest decisions of all loops, newest first
//   GET  /merit/v1/decisions/{id}    one
//
// Runs on the control thread's loop. Rings belong to the traffic loops, so their content is fetched by messages.
// Host must name a loopback address or one of `hosts`, and Origin, when there is one, must equal Host: a web page that
// a person happens to visit cannot talk to this side. Off loopback every request needs a key with the admin scope.
#ifndef MERIT_API_ADMIN_H
#define MERIT_API_ADMIN_H

#include <stdbool.h>
#include <stdint.h>

#include "api/gateway.h"

enum {
    ADMIN_DECISIONS_MAX = 500,
    ADMIN_DECISIONS_DEFAULT = 20,
    ADMIN_ANSWER_MAX = 64 * 1024 * 1024
};

struct reckon; // api/reckon.h

struct admin_options {
    struct gateway *const *gateways;
    uint32_t gateway_count;
    struct metrics_names *names;
    const struct reckon *reckon; // its metrics are shown, too; NULL: none
    // Fills what no shard knows; called on the control thread at each scrape.
    void (*process)(void *ctx, struct metrics_process *out);
    void *ctx;
    const char *const *hosts;
    uint32_t host_count;
    bool key_required;
};

struct admin;

enum result admin_open(struct admin **out, struct loop *loop,
                       const struct admin_options *options) MERIT_NODISCARD;
enum result admin_listen(struct admin *a, const char *host, uint16_t port, struct tls_context *tls);
uint16_t admin_port(const struct admin *a);
// Swaps what the routes above speak of; takes references of its own.
void admin_set_serving(struct admin *a, struct serving *serving);
void admin_set_keys(struct admin *a, struct key_set *keys);
// Closes the doors and breaks off answers under way. Looks into the rings may still be out; they come home in the next
// turns of the gateways' loops and then of this one, which must pass before the gateways and `a` are closed.
void admin_stop(struct admin *a);
void admin_close(struct admin *a);

#endif
