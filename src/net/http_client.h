// The client side of HTTP/1.1: calls over pooled connections, one pool per loop and origin.
//
// A call sends one request and reports the answer piece by piece. The request's head is built by the client from the
// given fields; body pieces are pinned: they must stay until the call is over. The request's framing is always
// Content-Length. Interim (1xx) answers are swallowed. A response with a bad head, both lengths, over-long headers or
// a premature end is an error, never half an answer: RESULT_PROTOCOL, RESULT_LIMIT, RESULT_EOF. A timeout is
// RESULT_TIMEOUT in the phase in which it ran out. After on_end or on_error the call is over and its memory gone.
// Callbacks come only from the loop, never from inside a call of a function below. What they are given may lie in the
// loop's scratch, so they must not use that themselves while they read it.
#ifndef MERIT_NET_HTTP_CLIENT_H
#define MERIT_NET_HTTP_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "net/dns.h"
#include "net/http.h"
#include "net/loop.h"

struct tls_context;
struct http_client;
struct http_origin;
struct http_call;

struct http_client_limits {
    uint32_t idle_per_origin;        // connections kept; more are closed after use
    uint32_t idle_timeout_ms;        // a kept connection is closed after so long
    uint32_t connections_per_origin; // 0: no cap; over it a call fails with RESULT_LIMIT
    uint32_t head_bytes;
};
extern const struct http_client_limits http_client_limits_default;

// How far a call had come when it failed; tells whether it is safe to send again.
enum http_phase {
    HTTP_PHASE_CONNECT, // no byte of the request left
    HTTP_PHASE_SENT,    // some did; no byte of an answer came
    HTTP_PHASE_HEAD,    // part of the answer's head came
    HTTP_PHASE_BODY,    // the head was handed over
};

struct http_call_ops {
    // The answer's head; valid until this returns. May cancel.
    void (*on_head)(struct http_call *call, void *user, const struct http_head *head);
    // A piece of the body, unchunked; valid until this returns.
    void (*on_body)(struct http_call *call, void *user, struct slice piece);
    void (*on_end)(struct http_call *call, void *user);
    // `reused`: it went over a kept connection, so RESULT_RESET with HTTP_PHASE_SENT may only mean that the peer had
    // closed it.
    void (*on_error)(struct http_call *call, void *user, enum result why, enum http_phase phase,
                     bool reused);
};

enum { HTTP_CALL_PIECES_MAX = 64 };

struct http_request {
    enum http_method method;
    struct slice target;               // "/v1/chat/completions"
    const struct http_header *headers; // without Host, Content-Length, Connection
    size_t header_count;
    const struct slice *pieces; // of the body, pinned
    size_t piece_count;
    // 0: none. `connect` covers the name, every address (each gets its share) and TLS; `first_byte` runs from the
    // sending of the request until the answer's head is whole; `idle` lies between pieces of the body while the reader
    // does not pause; `total` covers all.
    uint32_t connect_timeout_ms, first_byte_timeout_ms, idle_timeout_ms, total_timeout_ms;
    bool
        fresh; // over a new connection: a kept one may be closed as it is used, and then nobody knows what was read
};

enum result http_client_open(struct http_client **out, struct loop *loop, struct dns *dns,
                             const struct http_client_limits *limits);
// Cancels what runs (no callbacks) and closes kept connections.
void http_client_close(struct http_client *c);

// The origin of a URL; found again when it exists. Lives as long as the client. `tls` is used for https.
enum result http_client_origin(struct http_client *c, struct slice host, uint16_t port,
                               struct tls_context *tls, struct http_origin **out);
// The same name in the Host header and the handshake, but connected to at `connect`, a numeric address; empty: as above.
enum result http_client_origin_at(struct http_client *c, struct slice host, uint16_t port,
                                  struct slice connect, struct tls_context *tls,
                                  struct http_origin **out);

// Starts a call. RESULT_NOMEM, RESULT_LIMIT (more pieces than HTTP_CALL_PIECES_MAX, a head over 64 kB); everything else
// that is known at once is still reported through on_error, later in the turn.
enum result http_call_start(struct http_origin *origin, const struct http_request *request,
                            const struct http_call_ops *ops, void *user, struct http_call **out);
// How far it has come; not over yet.
enum http_phase http_call_phase(const struct http_call *call);
// Stops it; no callback follows. The connection is closed unless the call was over.
void http_call_cancel(struct http_call *call);
// Back-pressure: no on_body while paused.
void http_call_pause(struct http_call *call);
void http_call_resume(struct http_call *call);

#endif
