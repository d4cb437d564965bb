#include "net/http_server_conn.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"

enum {
    SKIP_BODY_MAX =
        64 * 1024, // a body that is read to keep its connection though the answer was early
    LINGER_MS = 2000,
    LINGER_BYTES_MAX = 4 * 1024 * 1024,
    READ_SLACK = 256, // room behind a body, so that a short read shows that no more waits
    CHUNKED_FIRST_BYTES = 4096,
};

// --- time: one timer that is rarely moved; a deadline that moves all the time

void server_conn_set_deadline(struct server_conn *hc, uint32_t after_ms)
{
    if (!after_ms) {
        hc->deadline_ms = 0;
        return;
    }
    struct loop *l = hc->server->loop;
    hc->deadline_ms = loop_now_us(l) / 1000 + after_ms;
    if (!loop_timer_is_set(&hc->timer) || hc->timer.due_ms > hc->deadline_ms + 1)
        loop_timer_set(l, &hc->timer, after_ms);
}

// --- life

static void run_free(struct loop_task *t)
{
    struct server_conn *hc = MERIT_CONTAINER(t, struct server_conn, step);
    server_conn_give(hc->server, hc);
}

static void drop_pending(struct server_conn *hc)
{
    alloc_free(hc->pending);
    hc->pending = NULL;
    hc->pending_at = hc->pending_len = 0;
}

static void release(struct server_conn *hc)
{
    if (hc->x)
        server_exchange_give(hc->server, hc->x);
    hc->x = NULL;
}

// The exchange is released; the connection's memory goes at the end of the turn.
static void close_conn(struct server_conn *hc, bool reset)
{
    if (hc->state == SERVER_CLOSED)
        return;
    hc->state = SERVER_CLOSED;
    struct http_server *s = hc->server;
    conn_close(&hc->c, reset);
    loop_timer_cancel(s->loop, &hc->timer);
    release(hc);
    drop_pending(hc);
    *hc->link = hc->next;
    if (hc->next)
        hc->next->link = hc->link;
    s->conn_count--;
    loop_task_cancel(&hc->step);
    hc->step.run = run_free;
    loop_defer(s->loop, &hc->step);
}

// The handler hears of the end once: a callback that closes the server must not lead here again.
static void tell_abort(struct server_conn *hc, enum result why)
{
    struct exchange *x = hc->x;
    if (!x || !x->announced)
        return;
    x->announced = false;
    if (hc->server->ops->on_abort)
        hc->server->ops->on_abort(&x->pub, why);
}

void server_conn_abort(struct server_conn *hc, enum result why)
{
    bool broken = hc->x && hc->x->answered;
    tell_abort(hc, why);
    close_conn(hc, broken);
}

void http_respond_abort(struct http_exchange *pub)
{
    struct exchange *x = (struct exchange *)(void *)pub;
    struct server_conn *hc = x->conn;
    // An end without the last chunk or with bytes missing is seen for what it is; an answer that only the end delimits
    // needs a reset. What was sent so far should still arrive where it can.
    bool reset = !x->answered || x->until_close || x->bodiless;
    conn_flush(&hc->c);
    close_conn(hc, reset || conn_queued(&hc->c));
}

void server_conn_drain(struct server_conn *hc)
{
    if (hc->state == SERVER_IDLE && !hc->pending)
        close_conn(hc, false);
}

static void set_reading(struct server_conn *hc)
{
    bool want = !hc->pending && hc->state != SERVER_OPEN && hc->state != SERVER_DRAINING;
    if (want == hc->reading)
        return;
    hc->reading = want;
    if (want)
        conn_resume(&hc->c);
    else
        conn_pause(&hc->c);
}

static void linger(struct server_conn *hc)
{
    release(hc);
    drop_pending(hc);
    hc->state = SERVER_LINGER;
    conn_shutdown(&hc->c);
    set_reading(hc);
    server_conn_set_deadline(hc, LINGER_MS);
}

MERIT_COLD static void refuse(struct server_conn *hc, int status, const char *code,
                              const char *message, enum result why)
{
    struct exchange *x = hc->x;
    if (x->ended) {
        // Answered whole before its body was: it was only skipped so that the connection could stay.
        x->unread = true;
        hc->state = SERVER_OPEN;
        set_reading(hc);
        server_conn_ended(hc);
        return;
    }
    if (!x->answered) {
        struct http_bad bad = {status, code, message};
        server_answer_bad(hc, &bad);
    }
    if (hc->state == SERVER_CLOSED)
        return;
    tell_abort(hc, why);
    if (hc->state != SERVER_CLOSED)
        linger(hc);
}

// A refusal whose sentence names a number.
MERIT_COLD static void refuse_over(struct server_conn *hc, int status, const char *code,
                                   const char *sentence, uint64_t limit)
{
    struct slice text =
        arena_printf(hc->x->pub.arena, "%s %llu.", sentence, (unsigned long long)limit);
    refuse(hc, status, code, text.ptr ? text.ptr : sentence, RESULT_LIMIT);
}

MERIT_COLD static void refuse_nomem(struct server_conn *hc)
{
    refuse(hc, 503, "no_memory", "The server has no memory left for this request.", RESULT_NOMEM);
}

// --- the end of an exchange

static void exchange_over(struct server_conn *hc)
{
    struct exchange *x = hc->x;
    struct http_server *s = hc->server;
    bool close = x->close, unread = x->unread, broken = x->broken;
    x->announced = false;
    if (s->ops->on_done)
        s->ops->on_done(&x->pub);
    if (hc->state == SERVER_CLOSED)
        return;
    if (broken) {
        close_conn(hc, true);
        return;
    }
    if (unread || (close && hc->pending)) {
        linger(hc);
        return;
    }
    if (close || s->draining) {
        close_conn(hc, false);
        return;
    }
    release(hc);
    hc->state = SERVER_IDLE;
    server_conn_set_deadline(hc, s->limits.idle_timeout_ms);
    if (hc->pending)
        loop_defer(s->loop, &hc->step);
    set_reading(hc);
}

void server_conn_ended(struct server_conn *hc)
{
    if (hc->state != SERVER_OPEN)
        return;
    hc->state = SERVER_DRAINING;
    // With something queued on_drain tells when it is gone.
    if (!conn_queued(&hc->c))
        loop_defer(hc->server->loop, &hc->step);
}

// The request needs no more reading.
static void request_whole(struct server_conn *hc)
{
    struct exchange *x = hc->x;
    hc->state = SERVER_OPEN;
    set_reading(hc);
    if (x->answered) {
        if (x->ended)
            server_conn_ended(hc);
        return;
    }
    server_conn_set_deadline(hc, 0);
    hc->server->ops->on_request(&x->pub);
}

// --- reading a request

static void announce(struct server_conn *hc, size_t waiting)
{
    struct exchange *x = hc->x;
    struct http_head *h = x->pub.head;
    struct http_server *s = hc->server;
    bool body = h->chunked || h->content_length > 0;
    hc->state = SERVER_BODY;
    // Whoever answers now leaves the body to be skipped, when that is little, or unread.
    x->skip_body = body && !h->chunked && !h->expect_continue && h->content_length <= SKIP_BODY_MAX;
    x->unread = body && !x->skip_body;
    x->announced = true;
    if (s->ops->on_head)
        s->ops->on_head(&x->pub);
    if (hc->state == SERVER_CLOSED)
        return;
    if (!x->answered)
        x->skip_body = x->unread = false;
    if (!body || x->unread) {
        request_whole(hc);
        return;
    }
    if (h->content_length > 0 && !x->skip_body) {
        if (!server_body_take(x, (size_t)h->content_length + READ_SLACK)) {
            refuse_nomem(hc);
            return;
        }
    }
    if (h->expect_continue && !waiting)
        server_answer_continue(hc);
}

static void head_whole(struct server_conn *hc, const char *bytes, size_t len, size_t waiting)
{
    struct exchange *x = hc->x;
    const struct http_limits *limits = &hc->server->limits;
    x->pub.head = arena_alloc(x->pub.arena, sizeof *x->pub.head);
    if (!x->pub.head) {
        refuse_nomem(hc);
        return;
    }
    switch (http_parse_request(x->pub.head, bytes, len)) {
    case RESULT_OK:
        break;
    case RESULT_VERSION:
        refuse(hc, 505, "http_version", "Only HTTP/1.1 and HTTP/1.0 are spoken here.",
               RESULT_VERSION);
        return;
    case RESULT_LIMIT:
        refuse_over(hc, 431, "headers_too_large", "The number of headers is over the limit of",
                    HTTP_HEADERS_MAX);
        return;
    case RESULT_UNSUPPORTED:
        refuse(hc, 417, "expectation_failed", "No expectation but 100-continue can be met.",
               RESULT_UNSUPPORTED);
        return;
    default:
        refuse(hc, 400, "bad_request", "The request is not valid HTTP/1.1.", RESULT_SYNTAX);
        return;
    }
    if (x->pub.head->content_length > (int64_t)limits->body_bytes) {
        refuse_over(hc, 413, "body_too_large", "The body's bytes are over the limit of",
                    limits->body_bytes);
        return;
    }
    announce(hc, waiting);
}

// Keeps what has come of a head until the rest comes.
static bool keep_head_part(struct exchange *x, const char *data, size_t len, size_t cap)
{
    size_t need = x->head_have + len;
    if (need > x->head_room) {
        size_t room = need < 2048 ? 4096 : 2 * need;
        if (room > cap)
            room = cap;
        char *more = arena_alloc_aligned(x->pub.arena, room, 1);
        if (!more)
            return false;
        if (x->head_have)
            memcpy(more, x->head_bytes, x->head_have);
        x->head_bytes = more;
        x->head_room = room;
    }
    memcpy(x->head_bytes + x->head_have, data, len);
    x->head_have = need;
    return true;
}

// Returns how many of the bytes it took.
static size_t feed_head(struct server_conn *hc, const char *data, size_t len)
{
    struct exchange *x = hc->x;
    size_t cap = hc->server->limits.head_bytes, before = x->head_have, head_len = 0;
    const char *bytes = data;
    size_t have = len;
    if (before) {
        size_t n = len < cap - before ? len : cap - before;
        if (!keep_head_part(x, data, n, cap)) {
            refuse_nomem(hc);
            return len;
        }
        bytes = x->head_bytes;
        have = x->head_have;
    }
    enum result res = http_head_scan(bytes, have, &x->head_at, &head_len);
    if (res == RESULT_SYNTAX) {
        refuse(hc, 400, "bad_request", "The request is not valid HTTP/1.1.", RESULT_SYNTAX);
        return len;
    }
    if (res ? have >= cap : head_len > cap) {
        refuse_over(hc, 431, "headers_too_large", "The head's bytes are over the limit of", cap);
        return len;
    }
    if (!before && !keep_head_part(x, data, res ? len : head_len, cap)) {
        refuse_nomem(hc);
        return len;
    }
    if (res)
        return len;
    size_t took = head_len - before;
    head_whole(hc, x->head_bytes, head_len, len - took);
    return took;
}

static bool grow_body(struct server_conn *hc, size_t more)
{
    struct exchange *x = hc->x;
    size_t cap = hc->server->limits.body_bytes;
    if (more > cap - x->body_have) {
        refuse_over(hc, 413, "body_too_large", "The body's bytes are over the limit of", cap);
        return false;
    }
    size_t need = x->body_have + more;
    if (need <= x->body_room)
        return true;
    size_t room = x->body_room ? 2 * x->body_room : CHUNKED_FIRST_BYTES;
    while (room < need)
        room *= 2;
    char *to = arena_alloc_aligned(x->pub.arena, room, 1);
    if (!to) {
        refuse_nomem(hc);
        return false;
    }
    if (x->body_have)
        memcpy(to, x->body, x->body_have);
    x->body = to;
    x->body_room = room;
    return true;
}

static size_t feed_chunked(struct server_conn *hc, const char *data, size_t len)
{
    struct exchange *x = hc->x;
    struct slice in = {data, len}, piece;
    enum result res;
    while ((res = http_chunked_next(&x->chunked, &in, &piece)) == RESULT_OK) {
        if (!grow_body(hc, piece.len))
            return len;
        memcpy(x->body + x->body_have, piece.ptr, piece.len);
        x->body_have += piece.len;
    }
    if (res == RESULT_AGAIN)
        return len;
    if (res != RESULT_EOF) {
        refuse(hc, 400, "bad_request", "The body is not validly chunked.", res);
        return len;
    }
    x->pub.body = slice_make(x->body, x->body_have);
    request_whole(hc);
    return len - in.len;
}

static size_t feed_body(struct server_conn *hc, const char *data, size_t len)
{
    struct exchange *x = hc->x;
    if (x->pub.head->chunked)
        return feed_chunked(hc, data, len);
    size_t rest = (size_t)x->pub.head->content_length - x->body_have;
    size_t n = len < rest ? len : rest;
    // Bytes that were read to their place need no copy.
    if (!x->skip_body && data != x->body + x->body_have)
        memcpy(x->body + x->body_have, data, n);
    x->body_have += n;
    if (n == rest) {
        if (!x->skip_body)
            x->pub.body = slice_make(x->body, x->body_have);
        request_whole(hc);
    }
    return n;
}

static bool begin_exchange(struct server_conn *hc)
{
    struct http_server *s = hc->server;
    struct exchange *x = server_exchange_take(s);
    if (!x)
        return false;
    x->conn = hc;
    hc->x = x;
    hc->state = SERVER_HEAD;
    x->pub.begin_us = loop_now_us(s->loop);
    memcpy(x->pub.peer, hc->peer, sizeof hc->peer);
    return true;
}

static size_t feed_some(struct server_conn *hc, const char *data, size_t len)
{
    switch (hc->state) {
    case SERVER_IDLE:
        if (!begin_exchange(hc)) {
            close_conn(hc, false);
            return len;
        }
        return feed_head(hc, data, len);
    case SERVER_HEAD:
        return feed_head(hc, data, len);
    case SERVER_BODY:
        return feed_body(hc, data, len);
    case SERVER_LINGER:
        hc->lingered += (uint32_t)len;
        if (hc->lingered > LINGER_BYTES_MAX)
            close_conn(hc, false);
        return len;
    default:
        return len;
    }
}

// Returns what it took: all, but for bytes behind a request that is being worked on.
static size_t feed(struct server_conn *hc, const char *data, size_t len)
{
    size_t at = 0;
    uint8_t before = hc->state;
    while (at < len && hc->state != SERVER_OPEN && hc->state != SERVER_DRAINING &&
           hc->state != SERVER_CLOSED)
        at += feed_some(hc, data + at, len - at);
    const struct http_limits *limits = &hc->server->limits;
    if (hc->state == SERVER_HEAD && before != SERVER_HEAD)
        server_conn_set_deadline(hc, limits->header_timeout_ms);
    else if (hc->state == SERVER_BODY)
        server_conn_set_deadline(hc, limits->body_timeout_ms);
    return hc->state == SERVER_CLOSED ? len : at;
}

// --- what the connection tells

static char *on_space(struct conn *c, size_t *room)
{
    struct server_conn *hc = MERIT_CONTAINER(c, struct server_conn, c);
    struct exchange *x = hc->x;
    if (hc->state != SERVER_BODY || x->skip_body || x->pub.head->chunked)
        return NULL;
    *room = x->body_room - x->body_have;
    return x->body + x->body_have;
}

static void on_data(struct conn *c, char *data, size_t len)
{
    struct server_conn *hc = MERIT_CONTAINER(c, struct server_conn, c);
    size_t took = feed(hc, data, len);
    if (took == len)
        return;
    hc->pending = alloc_bytes(len - took);
    if (!hc->pending) {
        server_conn_abort(hc, RESULT_NOMEM);
        return;
    }
    memcpy(hc->pending, data + took, len - took);
    hc->pending_at = 0;
    hc->pending_len = (uint32_t)(len - took);
    set_reading(hc);
}

// Work that must not run inside a call of the handler: an answer that ended with nothing left to send, and requests
// that had come behind the one before.
static void run_step(struct loop_task *t)
{
    struct server_conn *hc = MERIT_CONTAINER(t, struct server_conn, step);
    if (hc->state == SERVER_DRAINING && !conn_queued(&hc->c)) {
        exchange_over(hc);
        return;
    }
    if (!hc->pending || hc->state == SERVER_OPEN || hc->state == SERVER_DRAINING)
        return;
    size_t rest = hc->pending_len - hc->pending_at;
    hc->pending_at += (uint32_t)feed(hc, hc->pending + hc->pending_at, rest);
    if (hc->state == SERVER_CLOSED || !hc->pending)
        return;
    if (hc->pending_at == hc->pending_len)
        drop_pending(hc);
    set_reading(hc);
}

static void on_open(struct conn *c)
{
    struct server_conn *hc = MERIT_CONTAINER(c, struct server_conn, c);
    if (!hc->over_cap)
        return;
    if (!begin_exchange(hc)) {
        close_conn(hc, false);
        return;
    }
    refuse_over(hc, 503, "too_many_connections", "The connections are over the limit of",
                hc->server->limits.connections);
}

static void on_drain(struct conn *c)
{
    struct server_conn *hc = MERIT_CONTAINER(c, struct server_conn, c);
    struct exchange *x = hc->x;
    if (hc->state == SERVER_DRAINING) {
        exchange_over(hc);
    } else if (x && x->above) {
        x->above = false;
        if (hc->server->ops->on_writable)
            hc->server->ops->on_writable(&x->pub);
    }
}

static void on_gone(struct conn *c)
{
    struct server_conn *hc = MERIT_CONTAINER(c, struct server_conn, c);
    // A whole answer may still reach a client that has shut its side.
    if (hc->state != SERVER_DRAINING)
        server_conn_abort(hc, RESULT_RESET);
}

static void on_error(struct conn *c, enum result why)
{
    server_conn_abort(MERIT_CONTAINER(c, struct server_conn, c), why);
}

static const struct conn_ops conn_ops = {
    .on_space = on_space,
    .on_data = on_data,
    .on_eof = on_gone,
    .on_open = on_open,
    .on_drain = on_drain,
    .on_hangup = on_gone,
    .on_error = on_error,
};

static void expire(struct server_conn *hc)
{
    const struct http_limits *limits = &hc->server->limits;
    switch (hc->state) {
    case SERVER_HEAD:
        refuse(hc, 408, "header_timeout", "The head was not whole in time.", RESULT_TIMEOUT);
        break;
    case SERVER_BODY:
        refuse(hc, 408, "body_timeout", "The body was not whole in time.", RESULT_TIMEOUT);
        break;
    case SERVER_OPEN:
    case SERVER_DRAINING: {
        size_t queued = conn_queued(&hc->c);
        uint64_t taken = hc->sent - queued;
        if (queued && taken == hc->taken) {
            server_conn_abort(hc, RESULT_TIMEOUT);
            break;
        }
        hc->taken = taken;
        server_conn_set_deadline(hc, queued ? limits->write_timeout_ms : 0);
        break;
    }
    default:
        close_conn(hc, false);
    }
}

static void on_due(struct loop_timer *t)
{
    struct server_conn *hc = MERIT_CONTAINER(t, struct server_conn, timer);
    struct loop *l = hc->server->loop;
    uint64_t now_ms = loop_now_us(l) / 1000;
    if (!hc->deadline_ms)
        return;
    if (now_ms < hc->deadline_ms)
        loop_timer_set(l, t, (uint32_t)(hc->deadline_ms - now_ms));
    else
        expire(hc);
}

bool server_conn_start(struct http_server *s, struct server_conn *hc, int fd,
                       struct tls_context *tls, bool over_cap)
{
    if (conn_init(&hc->c, s->loop, fd, &conn_ops, tls, false, NULL))
        return false;
    hc->server = s;
    hc->over_cap = over_cap;
    hc->reading = true;
    hc->state = SERVER_IDLE;
    hc->timer.on_due = on_due;
    hc->step.run = run_step;
    hc->next = s->conns;
    hc->link = &s->conns;
    if (s->conns)
        s->conns->link = &hc->next;
    s->conns = hc;
    s->conn_count++;
    server_conn_set_deadline(hc, s->limits.header_timeout_ms);
    return true;
}
