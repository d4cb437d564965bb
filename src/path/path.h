// A request on its way to a model and back: attempts, streaming, one end.
//
// `path_start` sends the request to an endpoint of the plan's model and brings the answer to the client's exchange.
// Before the first byte has gone to the client a failed attempt is repeated on another endpoint of the same model where
// that is safe:
//
//   what happened                                          repeated
//   no connection (refused, no route, DNS, TLS, timeout)   yes
//   a kept connection was closed as the request went out   yes, on the same endpoint, once
//   reset, cut or garbage before the first event or the whole body   yes
//   429, and 500 and up                                    yes
//   no first byte in time                                  no: it may still be working, and would be paid twice
//   other statuses                                         no: they are about the request
//
// An endpoint that the plan has closed is never asked, whatever happens to the others.
//
// A whole answer is gathered and read before the client gets its first byte, so nothing broken passes for an answer. A
// stream is relayed event by event; when it breaks, the client gets an error event and an aborted connection.
//
// One loop, one thread. A `struct path` is embedded in the request's state and lives in the exchange's arena.
#ifndef MERIT_PATH_PATH_H
#define MERIT_PATH_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include "net/http_client.h"
#include "net/http_server.h"
#include "pool/pool.h"
#include "text/sse.h"
#include "work/dialect.h"

struct path_settings {
    uint32_t connect_timeout_ms, first_byte_timeout_ms, idle_timeout_ms, total_timeout_ms;
    uint32_t attempts_max;     // 1 and up
    uint32_t answer_bytes_max; // of a gathered answer
    uint32_t event_bytes_max;  // of one event of a stream
    uint32_t high_water_bytes; // of the client's queue, above which the upstream is not read
};
extern const struct path_settings path_settings_default;

enum { PATH_HEADERS_MAX = 32, PATH_UPSTREAM_HEADERS_MAX = 104, PATH_ERROR_BYTES_MAX = 64 * 1024 };

// What to do. Everything lives at least as long as the exchange.
struct path_plan {
    const struct path_settings *settings;
    const struct dialect *dialect;
    int32_t model;
    enum http_method method;
    struct slice target;         // behind the endpoint's prefix: "/chat/completions"
    struct http_header *headers; // for the upstream; [0] is the path's, for the endpoint's key
    size_t header_count;         // [0] included
    const struct slice *pieces;  // of the body
    size_t piece_count;
    uint64_t closed; // bit per endpoint of the model that the policy closes to this request
    uint32_t
        attempts_max; // that the policy asks for, below the settings'; 0: theirs, each endpoint once
    uint32_t timeout_ms; // of one attempt, below the settings' total; 0: theirs
    bool relay;          // no answer of the dialect: pass it on as it comes
    bool stream;         // the client wants a stream
    bool usage_asked;    // and its usage event
    uint32_t input_tok;  // estimated, for usage that nobody counted
};

enum path_end {
    PATH_ANSWERED, // the client has a whole answer
    PATH_PASSED,   // the upstream's error was handed on: the request's own fault
    PATH_FAILED,   // no upstream gave an answer; the client has an error
    PATH_BROKEN,   // the stream broke behind its first event
    PATH_GONE,     // the client left
};

struct path_result {
    enum path_end end;
    int status;         // that the client saw
    const char *reason; // "upstream_timeout", ... for logs and metrics; "" when answered
    struct usage usage;
    uint32_t attempts;
    int32_t place;          // of the last attempt, or IMAGE_NONE
    struct slice url;       // of that place; valid during on_end
    uint64_t first_byte_us; // loop time at which the first byte went to the client; 0: none did
};

struct path;
struct path_ops {
    // The answer's head is about to go out: add headers at `headers[*count]` (room for PATH_HEADERS_MAX). `usage` is
    // NULL in a stream, where it is not known yet.
    void (*on_head)(struct path *p, int status, const struct usage *usage,
                    struct http_header *headers, size_t *count);
    // It is over; called once. The exchange may still be flushing.
    void (*on_end)(struct path *p, const struct path_result *r);
};

struct path {
    struct path_plan plan;
    const struct path_ops *ops;
    void *user;
    // private
    struct http_exchange *x;
    struct pool_loop *pool;
    struct loop *loop;
    struct http_call *call;
    struct path_result result;
    struct loop_timer again;
    struct pool_call pool_call;
    uint64_t tried; // bit per place of the model
    int32_t place;
    uint8_t mode;
    bool retried_stale, head_sent, paused, over;
    int upstream_status;
    uint32_t upstream_retry_after_s;
    struct slice upstream_type; // content type, in the arena
    uint32_t kept_count;
    struct buf gathered;
    bool gathered_in_arena;
    struct sse sse;
    struct arena *scratch;
    struct http_header kept[8]; // headers of the upstream that pass
    struct answer_meter meter;
};

// `scratch` is the loop's, reset by the path between uses. The callbacks come later in this turn or another one, never
// inside this call... except an immediate failure, which may.
void path_start(struct path *p, const struct path_plan *plan, struct http_exchange *x,
                struct pool_loop *pool, struct loop *loop, struct arena *scratch,
                const struct path_ops *ops, void *user);
// From the server's on_writable.
void path_writable(struct path *p);
// From the server's on_abort: stops the upstream at once.
void path_client_gone(struct path *p);

#endif
