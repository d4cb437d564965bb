// The pool: which endpoints serve which model, with what key, and how each is doing.
//
// Two halves. `struct pool` is made once per policy load: URLs taken apart, keys read from the environment or files;
// immutable, shared by all loops. `struct pool_loop` is one loop's live state over it: origins, calls in flight,
// failures, ejections. Health is judged by each loop from what its own calls saw: after POOL_FAILURES_TO_EJECT
// failures in a row an endpoint is left out for POOL_EJECT_MS, doubled each time up to POOL_EJECT_MAX_MS; then one
// call tries it (half open). A model is down when all its endpoints are out.
#ifndef MERIT_POOL_POOL_H
#define MERIT_POOL_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/result.h"
#include "net/http_client.h"
#include "work/image.h"
#include "work/pool.h"

enum {
    POOL_FAILURES_TO_EJECT = 3,
    POOL_EJECT_MS = 2000,
    POOL_EJECT_MAX_MS = 60000,
    POOL_KEY_BYTES_MAX = 4096,
    POOL_ENDPOINTS_PER_MODEL_MAX = 32,
    POOL_DIAG_BYTES = 256,
};

struct pool_endpoint {
    struct slice host;
    uint16_t port;
    bool tls;
    struct slice path; // prefix, without a trailing slash: "/v1"
    struct slice url;  // as the policy states it
    int32_t model;
};

struct pool_model {
    struct slice name, upstream_name;
    struct slice upstream_json; // `"model":"NAME"`, ready to be spliced into a body
    uint32_t endpoint_first, endpoint_count;
    struct slice authorization; // "Bearer KEY", or empty; secret
    bool key_missing;           // the policy names a key that is not there
};

struct pool {
    struct pool_model *models; // in the image's order
    uint32_t model_count;
    struct pool_endpoint *endpoints;
    uint32_t endpoint_count;
};

// Everything is allocated from `arena`; the image must outlive it. `demo_port` stands in for endpoints of the embedded
// pool (0: there is none, and such an endpoint is an error). RESULT_SYNTAX, RESULT_LIMIT, RESULT_UNSUPPORTED,
// RESULT_NOMEM, with a sentence in `diag`. A missing key is no error: its model is out of service (POOL_MODEL_NO_KEY).
enum result pool_open(struct pool *p, const struct policy_image *image, uint16_t demo_port,
                      struct arena *arena, char diag[POOL_DIAG_BYTES]);

struct pool_seat {
    struct http_origin *origin;
    uint32_t in_flight;
    uint32_t failures;      // in a row
    uint32_t ejections;     // in a row
    uint64_t out_until_us;  // in service when that has passed
    bool trying;            // half open: one call is out to see
    uint64_t calls, errors; // since the epoch began
};

struct pool_loop {
    const struct pool *pool;
    struct pool_seat *seats; // one per endpoint
    uint8_t *states;         // one per model, for pool_view
    uint64_t epoch;          // grows with each change of a state
    uint64_t next_return_us; // the earliest end of an ejection; 0: none is out
    uint32_t turn;           // breaks ties
};

// `client_tls` is used for https endpoints. RESULT_NOMEM.
enum result pool_loop_open(struct pool_loop *l, const struct pool *pool, struct http_client *client,
                           struct tls_context *client_tls, struct arena *arena);

// The state that a decision may see. Ends ejections that are due.
struct pool_view pool_loop_view(struct pool_loop *l, uint64_t now_us);

// The endpoint of `model` for the next attempt, in service and with the fewest calls in flight, not in `tried` (a bit
// per endpoint of the model). When all of the rest are out of service, the one that returns first is given when
// `desperate`. IMAGE_NONE when nothing is left.
int32_t pool_pick(struct pool_loop *l, int32_t model, uint32_t tried, bool desperate,
                  uint64_t now_us);

enum pool_outcome {
    POOL_OK,      // it answered as it should; client errors are its right
    POOL_FAILED,  // it did not, or with 5xx
    POOL_LIMITED, // 429: busy, not broken
    POOL_DROPPED, // the client left; says nothing of the endpoint
};
// Every pool_begin is followed by exactly one pool_end.
void pool_begin(struct pool_loop *l, int32_t endpoint);
void pool_end(struct pool_loop *l, int32_t endpoint, enum pool_outcome outcome, uint64_t now_us);

// Seconds until the first endpoint of the model is tried again, at least 1; for Retry-After.
uint32_t pool_retry_after_s(const struct pool_loop *l, int32_t model, uint64_t now_us);

#endif
