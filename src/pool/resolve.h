// All addresses or services of a name, for discovery: net/dns.h keeps the first few addresses, which is enough to connect and
// not to count replicas. A service's targets are looked up as well; where that fails for the moment the whole answer does, so that
// nobody leaves for that. One detached thread per look-up, so that one that hangs holds up nothing; the answer comes by mailbox.
#ifndef MERIT_POOL_RESOLVE_H
#define MERIT_POOL_RESOLVE_H

#include "base/result.h"
#include "base/slice.h"
#include "net/dns_ask.h"
#include "net/loop.h"

enum { RESOLVE_ADDRESSES_MAX = 64, RESOLVE_ADDRESS_BYTES = 46 };

struct resolve_service {
    uint16_t port, weight, priority;
};

struct resolve_answer {
    enum result
        result; // RESULT_OK, RESULT_DNS (none now), RESULT_TIMEOUT (nobody could tell), RESULT_NOMEM
    uint32_t count;
    // Numeric; of addresses sorted, of services by priority, target and port. No two alike, with their ports.
    char addresses[RESOLVE_ADDRESSES_MAX][RESOLVE_ADDRESS_BYTES];
    struct resolve_service services[RESOLVE_ADDRESSES_MAX]; // zero unless services were asked for
    uint32_t ttl_s; // of services: how long it may be believed
};

struct resolve;

// `on_answer` comes on the loop, later. RESULT_NOMEM, RESULT_LIMIT (a name over 253 bytes).
enum result resolve_start(struct resolve **out, struct loop *loop, struct slice host,
                          void (*on_answer)(void *ctx, const struct resolve_answer *a),
                          void *ctx) MERIT_NODISCARD;
// The services of "_service._tcp.name". `servers` NULL: the system's.
enum result resolve_services(struct resolve **out, struct loop *loop, struct slice name,
                             const struct dns_servers *servers,
                             void (*on_answer)(void *ctx, const struct resolve_answer *a),
                             void *ctx) MERIT_NODISCARD;
// Before its answer has come; none follows.
void resolve_cancel(struct resolve *r);

#endif
