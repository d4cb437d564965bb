// Names to addresses without blocking a loop: getaddrinfo on one helper thread, answers by mailbox, a small cache.
//
// Numeric addresses (an IPv6 one also in brackets) and answers that are kept come at once, inside the call. Answers are
// kept DNS_TTL_MS (a failure DNS_FAIL_TTL_MS), for DNS_NAMES_MAX names. Addresses stand in the system's order of
// preference (RFC 6724): whoever connects tries them in turn. Queries for one name share one look-up. The helper
// starts with the first name; a look-up that hangs delays those behind it, so callers keep a timer and cancel.
#ifndef MERIT_NET_DNS_H
#define MERIT_NET_DNS_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/result.h"
#include "base/slice.h"
#include "net/loop.h"

enum {
    DNS_ADDRESSES_MAX = 8,
    DNS_TTL_MS = 30000,
    DNS_FAIL_TTL_MS = 2000,
    DNS_NAME_MAX = 253,     // a longer name is RESULT_LIMIT
    DNS_NAMES_MAX = 1024,   // remembered or being looked up
    DNS_WAITING_MAX = 1024, // queries that wait; one more is RESULT_LIMIT
};

struct dns_address {
    struct sockaddr_storage addr;
    socklen_t len;
};

struct dns_answer {
    enum result
        result; // RESULT_OK, RESULT_DNS, RESULT_TIMEOUT (no server answered), RESULT_LIMIT, RESULT_NOMEM
    struct dns_address addresses[DNS_ADDRESSES_MAX];
    uint32_t count;
};

struct dns; // one per process

enum result dns_open(struct dns **out);
// Stops the helper, without waiting for a look-up that hangs. Queries that still wait are cancelled, so their loops
// must have stopped.
void dns_close(struct dns *d);
// What the cache's ages are measured with; for tests. Must outlive `d`.
void dns_set_clock(struct dns *d, const struct clock *clock);

// Embedded in its owner; zero-initialise.
struct dns_query {
    void (*on_answer)(struct dns_query *q, const struct dns_answer *a);
    void *pending; // private
};

// Calls on_answer on `loop`, perhaps before it returns. The query must stay until then or until cancelled. Called, as
// dns_cancel, on the loop's own thread.
void dns_resolve(struct dns *d, struct loop *loop, struct dns_query *q, struct slice host,
                 uint16_t port);
// No callback follows; no-op when none is due.
void dns_cancel(struct dns_query *q);

#endif
