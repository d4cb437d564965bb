// The inside of the HTTP client: one call and the connection it goes over. Used by net/http_client*.c only.
#ifndef MERIT_NET_HTTP_CLIENT_CALL_H
#define MERIT_NET_HTTP_CLIENT_CALL_H

#include "base/buf.h"
#include "net/conn.h"
#include "net/http_client.h"
#include "net/http_parse.h"

struct http_client {
    struct loop *loop;
    struct dns *dns;
    struct http_client_limits limits;
    struct http_origin *origins;
    struct http_call *calls; // that run
    struct http_call *free_calls;
    struct client_conn *free_conns;
    uint32_t free_call_count, free_conn_count;
    bool closing;
    struct loop_task free_task;
    struct http_head head; // of the answer that is being handed over
};

struct http_origin {
    struct http_client *client;
    struct http_origin *next;
    struct tls_context *tls;
    char *host; // NUL-terminated, for SNI
    size_t host_len;
    struct slice connect; // that is looked up: the host, or the address given instead
    struct slice host_header;
    uint16_t port;
    struct client_conn *idle; // the one used last first
    uint32_t idle_count, conn_count;
};

struct client_conn {
    struct conn c;
    struct http_origin *origin;
    struct http_call *call;           // NULL: idle, or closed
    struct client_conn *next, **link; // of the idle list
    uint64_t idle_until_ms;
    struct loop_timer timer; // while idle; left set when a call begins
    struct loop_task free_task;
    bool closed, reused;
};

_Static_assert(sizeof(struct client_conn) <= 512, "a kept connection holds this and nothing else");

struct http_call {
    struct http_origin *origin;
    struct client_conn *conn;
    const struct http_call_ops *ops;
    void *user;
    struct http_call *next, **link;
    struct loop_timer timer;
    struct loop_task step;
    uint64_t total_deadline_ms, connect_deadline_ms,
        deadline_ms; // 0: none; `deadline_ms` of the phase
    uint32_t first_byte_timeout_ms, idle_timeout_ms;
    enum http_phase phase;
    enum result failure; // to be told by the step
    struct http_chunked chunked;
    int64_t left;
    uint8_t framing; // enum http_framing
    uint8_t interims;
    bool to_head, keep, in_body, paused, over, resolving, reused, fresh;
    struct buf part; // of a head that came in parts, or a body that waits for a resume
    size_t scan_at;
    struct buf head; // of the request
    size_t body_bytes;
    uint32_t piece_count;
    uint32_t address_at;
    struct dns_query query;
    struct dns_answer addresses;
    struct slice pieces[HTTP_CALL_PIECES_MAX];
};

// http_client.c: connections
struct client_conn *client_conn_idle(struct http_origin *o);
// A new one that connects. RESULT_NOMEM, RESULT_IO, RESULT_REFUSED, ...
enum result client_conn_open(struct http_origin *o, const struct dns_address *a,
                             struct client_conn **out);
void client_conn_close(struct client_conn *cc);
// Keeps it for the next call.
void client_conn_keep(struct client_conn *cc);
void client_call_give(struct http_client *c, struct http_call *call);
struct http_call *client_call_take(struct http_client *c);

// http_client_call.c: what the connection of a call tells
void client_call_opened(struct http_call *call);
void client_call_data(struct http_call *call, const char *data, size_t len);
void client_call_eof(struct http_call *call);
void client_call_failed(struct http_call *call, enum result why);

#endif
