// The server side of HTTP/1.1: listeners, connections, exchanges.
//
// A request is handed over whole: head first (`on_head`, which may refuse before the body is read), then, when the
// body is complete, `on_request`. Head and body lie in the exchange's memory, contiguous, until the exchange is over.
// One exchange per connection at a time; pipelined requests wait in order. The answer may come at any later time on
// the same loop. Out of the handlers' sight: Expect, keep-alive, chunked both ways, limits, timeouts, HEAD.
//
// A request that breaks a limit or the grammar is answered by `on_bad` (so that the protocol above can choose the
// body's shape) and the connection is closed. When on_head had seen the exchange, on_abort follows on_bad.
// Callbacks come only from the loop, never from inside a call of a function below, http_server_close excepted.
//
//   limit                      answer
//   head over its cap          431 headers_too_large
//   body over its cap          413 body_too_large
//   head not whole in time     408 header_timeout      (silent close when no byte came)
//   body not whole in time     408 body_timeout
//   bad grammar                400 bad_request
//   HTTP version               505 http_version
//   Expect other               417 expectation_failed
//   connections over the cap   503 too_many_connections, then closed
//   no memory                  503 no_memory, then closed
//
// A client that shuts its side or is gone while its request is worked on counts as gone (on_abort), as in nginx.
#ifndef MERIT_NET_HTTP_SERVER_H
#define MERIT_NET_HTTP_SERVER_H

#include <stdint.h>

#include "base/compiler.h"
#include "net/http.h"
#include "net/loop.h"

struct tls_context;
struct http_server;
struct http_exchange; // fields below are for reading

struct http_limits {
    uint32_t head_bytes, body_bytes;
    uint32_t header_timeout_ms; // from the first byte of a request, and from accept for the first
    uint32_t body_timeout_ms;   // between body bytes
    uint32_t idle_timeout_ms;   // keep-alive without a request
    uint32_t write_timeout_ms;  // a client that takes no byte for so long is dropped
    uint32_t connections;       // per server
    uint32_t high_water_bytes;  // http_backlog above which the answer's source should pause
};
extern const struct http_limits http_limits_default;

struct http_bad {
    int status;
    const char *code;    // "headers_too_large"
    const char *message; // one sentence with the limit in it
};

struct http_server_ops {
    // The head is there. An answer sent inside (http_respond) ends the exchange without reading the body.
    void (*on_head)(struct http_exchange *x);
    void (*on_request)(struct http_exchange *x);
    // The backlog fell below the high-water mark after it was above.
    void (*on_writable)(struct http_exchange *x);
    // The client is gone or broke off before the answer was whole; the exchange is over after this returns.
    void (*on_abort)(struct http_exchange *x, enum result why);
    // The answer was handed to the kernel whole; the exchange is over after this returns.
    void (*on_done)(struct http_exchange *x);
    // Shapes the answer to a bad request: a body (static, or in the exchange's arena) and its content type. `head` is
    // NULL or empty when none was read. May be NULL.
    struct slice (*on_bad)(struct http_exchange *x, const struct http_bad *bad,
                           struct slice *content_type);
};

struct http_exchange {
    struct arena *arena; // of this exchange
    struct http_head *head;
    struct slice body;
    struct http_server *server;
    void *user;        // the handler's own
    char peer[46];     // the peer's address, NUL-terminated
    uint64_t begin_us; // loop time of its first byte
    int status;        // of the answer, 0 before
};

enum result http_server_open(struct http_server **out, struct loop *loop,
                             const struct http_server_ops *ops, const struct http_limits *limits,
                             void *user);
// Whether the address is free: RESULT_EXISTS when somebody listens there, RESULT_IO (errno). For
// the first of a process's listeners only: http_server_listen would share the port with another
// process of the same user without a word.
enum result http_server_claim(const char *host, uint16_t port);
// Binds one more address with SO_REUSEPORT. `tls` may be NULL. Port 0 picks one; http_server_port tells it.
enum result http_server_listen(struct http_server *s, const char *host, uint16_t port,
                               struct tls_context *tls);
uint16_t http_server_port(const struct http_server *s);
void *http_server_user(const struct http_server *s);
// Stops accepting, closes idle connections, marks the others to close after their answer.
void http_server_drain(struct http_server *s);
uint32_t http_server_connections(const struct http_server *s);
// Aborts what is left.
void http_server_close(struct http_server *s);

// A whole answer; copies. Content-Length and Date are added, Connection as needed.
void http_respond(struct http_exchange *x, int status, const struct http_header *headers,
                  size_t count, struct slice body);
// A streamed answer. `content_length` -1 means chunked (closed at the end for HTTP/1.0). Hop-by-hop headers, Date and
// lengths are the server's: do not give them. Control bytes in names and values are sent as spaces.
void http_respond_head(struct http_exchange *x, int status, const struct http_header *headers,
                       size_t count, int64_t content_length);
void http_respond_body(struct http_exchange *x,
                       struct slice piece); // copied; one chunk per call when chunked
// With fewer bytes than the stated length the connection is broken, after on_done.
void http_respond_end(struct http_exchange *x);
// Breaks the connection without a clean end, so that the client cannot take the answer for whole; what was queued is
// still sent where the kernel takes it at once. No callback follows; the exchange is gone.
MERIT_COLD void http_respond_abort(struct http_exchange *x);
// Bytes queued for the client.
size_t http_backlog(const struct http_exchange *x);

#endif
