// Names to addresses without blocking a loop: getaddrinfo on one helper thread, answers by mailbox, a small cache.
//
// Numeric addresses answer at once, inside the call. Answers are kept DNS_TTL_MS (a failure DNS_FAIL_TTL_MS).
#ifndef MERIT_NET_DNS_H
#define MERIT_NET_DNS_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/result.h"
#include "base/slice.h"
#include "net/loop.h"

enum { DNS_ADDRESSES_MAX = 8, DNS_TTL_MS = 30000, DNS_FAIL_TTL_MS = 2000, DNS_NAME_MAX = 253, DNS_WAITING_MAX = 1024 };

struct dns_address {
    struct sockaddr_storage addr;
    socklen_t len;
};

struct dns_answer {
    enum result result;  // RESULT_OK, RESULT_DNS, RESULT_TIMEOUT, RESULT_LIMIT
    struct dns_address addresses[DNS_ADDRESSES_MAX];
    uint32_t count;
};

struct dns;  // one per process

enum result dns_open(struct dns **out);
// Stops the helper; loops that still wait get no answer, so they must have stopped.
void dns_close(struct dns *d);

// Embedded in its owner; zero-initialise.
struct dns_query {
    void (*on_answer)(struct dns_query *q, const struct dns_answer *a);
    void *pending;  // private
};

// Calls on_answer on `loop`, perhaps before it returns. The query must stay until then or until cancelled.
void dns_resolve(struct dns *d, struct loop *loop, struct dns_query *q, struct slice host, uint16_t port);
void dns_cancel(struct dns_query *q);

#endif
