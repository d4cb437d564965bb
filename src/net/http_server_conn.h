// The inside of the HTTP server: one connection and its exchange. Used by net/http_server*.c only.
#ifndef MERIT_NET_HTTP_SERVER_CONN_H
#define MERIT_NET_HTTP_SERVER_CONN_H

#include "base/arena.h"
#include "base/buf.h"
#include "net/conn.h"
#include "net/http_parse.h"
#include "net/http_server.h"

enum {
    EXCHANGE_ARENA_BYTES = 48 * 1024,
    ANSWER_HEAD_BYTES_MAX = 256 * 1024,
    HTTP_DATE_LEN = 29, // "Sat, 21 Nov 2026 10:30:00 GMT"
};

struct listener;

// Room for a large body, kept between requests: fresh pages from the kernel cost as much as reading it.
enum { BODY_BLOCK_BYTES = 256 * 1024, BODY_BLOCK_FROM = 64 * 1024, FREE_BLOCKS_MAX = 8 };
struct body_block {
    struct body_block *next;
    char data[BODY_BLOCK_BYTES];
};

struct http_server {
    struct loop *loop;
    const struct http_server_ops *ops;
    struct http_limits limits;
    void *user;
    struct listener *listeners;
    struct server_conn *conns;
    uint32_t conn_count;
    uint16_t port;
    bool draining, closing;
    struct server_conn *free_conns;
    struct exchange *free_exchanges;
    struct body_block *free_blocks;
    uint32_t free_block_count;
    uint32_t free_conn_count, free_exchange_count;
    size_t arena_cap;
    struct buf head;        // where answers' heads are built
    uint64_t date_until_us; // loop time up to which `date` holds
    char date[HTTP_DATE_LEN];
    struct loop_task free_task;
};

enum server_state {
    SERVER_IDLE,     // between requests; no exchange
    SERVER_HEAD,     // part of a head is there
    SERVER_BODY,     // the head is read, the body comes
    SERVER_OPEN,     // the request is read; the answer is to come. Reading is paused
    SERVER_DRAINING, // the answer is queued whole. Reading is paused
    SERVER_LINGER, // answered and shut: what still comes is thrown away, so that no reset eats the answer
    SERVER_CLOSED, // freed at the end of the turn
};

struct exchange {
    struct http_exchange pub; // first, so that the two convert
    struct arena arena;       // kept over uses; all below is zeroed for each
    struct server_conn *conn;
    struct exchange *next_free;
    char *head_bytes; // a head that came in parts
    size_t head_have, head_room, head_at;
    char *body;
    size_t body_have, body_room;
    struct body_block *block; // where a large body lies; NULL: in the arena
    struct http_chunked chunked;
    int64_t left;         // of the stated length of the answer
    bool announced;       // on_head has seen it
    bool skip_body;       // answered before the body was read: the body is thrown away
    bool unread;          // answered before the body was read, and it will not be
    bool answered, ended; // the answer's head, its end
    bool bodiless, chunks, until_close, close, above;
    bool broken; // the client must not take it for whole
};

struct server_conn {
    struct conn c;
    struct http_server *server;
    struct server_conn *next, **link;
    struct exchange *x;
    char *pending; // what came behind the request that is being worked on
    uint32_t pending_at, pending_len;
    uint32_t lingered;
    uint64_t deadline_ms; // 0: none; the timer may be set earlier
    uint64_t sent, taken; // bytes queued; bytes that the kernel had taken when last looked
    struct loop_timer timer;
    struct loop_task step;
    uint8_t state; // enum server_state
    bool reading, over_cap;
    char peer[46];
};

_Static_assert(sizeof(struct server_conn) <= 512, "an idle connection holds this and nothing else");

// http_server.c
struct server_conn *server_conn_take(struct http_server *s);
void server_conn_give(struct http_server *s, struct server_conn *hc);
struct exchange *server_exchange_take(struct http_server *s);
void server_exchange_give(struct http_server *s, struct exchange *x);
// Sets x->body and x->body_room; false without memory.
bool server_body_take(struct exchange *x, size_t room);

// http_server_conn.c
bool server_conn_start(struct http_server *s, struct server_conn *hc, int fd,
                       struct tls_context *tls, bool over_cap);
void server_conn_abort(struct server_conn *hc, enum result why);
void server_conn_drain(struct server_conn *hc);
// The answer is queued whole.
void server_conn_ended(struct server_conn *hc);
void server_conn_set_deadline(struct server_conn *hc, uint32_t after_ms);

// http_answer.c
void server_answer_bad(struct server_conn *hc, const struct http_bad *bad);
void server_answer_continue(struct server_conn *hc);

#endif
