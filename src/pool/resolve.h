// All addresses of a name, for discovery: net/dns.h keeps the first few, which is enough to connect and not to count
// replicas. One detached thread per look-up, so that one that hangs holds up nothing; the answer comes by mailbox.
#ifndef MERIT_POOL_RESOLVE_H
#define MERIT_POOL_RESOLVE_H

#include "base/result.h"
#include "base/slice.h"
#include "net/loop.h"

enum { RESOLVE_ADDRESSES_MAX = 64, RESOLVE_ADDRESS_BYTES = 46 };

struct resolve_answer {
    enum result result; // RESULT_OK, RESULT_DNS
    uint32_t count;
    char addresses[RESOLVE_ADDRESSES_MAX][RESOLVE_ADDRESS_BYTES]; // numeric, sorted, no two alike
};

struct resolve;

// `on_answer` comes on the loop, later. RESULT_NOMEM, RESULT_LIMIT (a name over 253 bytes).
enum result resolve_start(struct resolve **out, struct loop *loop, struct slice host,
                          void (*on_answer)(void *ctx, const struct resolve_answer *a),
                          void *ctx) MERIT_NODISCARD;
// Before its answer has come; none follows.
void resolve_cancel(struct resolve *r);

#endif
