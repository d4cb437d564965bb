#include "net/http_client.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "net/http_client_call.h"
#include "net/tls.h"

enum {
    FREE_CALLS_MAX = 128,
    FREE_CONNS_MAX = 64,
    REQUEST_HEAD_BYTES_MAX = 64 * 1024,
    PART_KEPT_BYTES = 4096
};

const struct http_client_limits http_client_limits_default = {
    .idle_per_origin = 512,
    .idle_timeout_ms = 55 * 1000, // below the 60 or 75 s after which common servers close
    .connections_per_origin = 0,
    .head_bytes = HTTP_HEAD_BYTES_MAX_DEFAULT,
};

// --- calls

struct http_call *client_call_take(struct http_client *c)
{
    struct http_call *call = c->free_calls;
    if (call) {
        c->free_calls = call->next;
        c->free_call_count--;
        struct buf part = call->part, head = call->head;
        memset(call, 0, offsetof(struct http_call, addresses));
        call->addresses.count = 0;
        call->part = part;
        call->head = head;
        buf_reset(&call->part);
        buf_reset(&call->head);
    } else {
        call = alloc_zeroed(1, sizeof *call);
        if (!call)
            return NULL;
        buf_init(&call->head, REQUEST_HEAD_BYTES_MAX);
        buf_init(&call->part, c->limits.head_bytes + LOOP_SCRATCH_BYTES);
    }
    call->next = c->calls;
    call->link = &c->calls;
    if (c->calls)
        c->calls->link = &call->next;
    c->calls = call;
    return call;
}

static void free_call(struct http_call *call)
{
    buf_deinit(&call->part);
    buf_deinit(&call->head);
    alloc_free(call);
}

void client_call_give(struct http_client *c, struct http_call *call)
{
    if (c->free_call_count == FREE_CALLS_MAX) {
        free_call(call);
        return;
    }
    if (call->part.room > PART_KEPT_BYTES)
        buf_deinit(&call->part);
    call->next = c->free_calls;
    c->free_calls = call;
    c->free_call_count++;
}

// --- connections

static void run_free(struct loop_task *t)
{
    struct client_conn *cc = MERIT_CONTAINER(t, struct client_conn, free_task);
    struct http_client *c = cc->origin->client;
    if (c->free_conn_count == FREE_CONNS_MAX) {
        alloc_free(cc);
        return;
    }
    cc->next = c->free_conns;
    c->free_conns = cc;
    c->free_conn_count++;
}

static void leave_idle(struct client_conn *cc)
{
    if (!cc->link)
        return;
    *cc->link = cc->next;
    if (cc->next)
        cc->next->link = cc->link;
    cc->next = NULL;
    cc->link = NULL;
    cc->origin->idle_count--;
}

void client_conn_close(struct client_conn *cc)
{
    if (cc->closed)
        return;
    struct loop *l = cc->origin->client->loop;
    cc->closed = true;
    cc->call = NULL;
    leave_idle(cc);
    cc->origin->conn_count--;
    loop_timer_cancel(l, &cc->timer);
    // Whatever is still queued is of a call that is over.
    conn_close(&cc->c, conn_queued(&cc->c) > 0);
    cc->free_task.run = run_free;
    loop_defer(l, &cc->free_task);
}

static void on_open(struct conn *c)
{
    struct client_conn *cc = MERIT_CONTAINER(c, struct client_conn, c);
    if (cc->call)
        client_call_opened(cc->call);
}

static void on_data(struct conn *c, char *data, size_t len)
{
    struct client_conn *cc = MERIT_CONTAINER(c, struct client_conn, c);
    // Nobody asked: an answer to nothing must not become the answer to the next call.
    if (cc->call)
        client_call_data(cc->call, data, len);
    else
        client_conn_close(cc);
}

static void on_eof(struct conn *c)
{
    struct client_conn *cc = MERIT_CONTAINER(c, struct client_conn, c);
    if (cc->call)
        client_call_eof(cc->call);
    else
        client_conn_close(cc);
}

static void on_error(struct conn *c, enum result why)
{
    struct client_conn *cc = MERIT_CONTAINER(c, struct client_conn, c);
    if (cc->call)
        client_call_failed(cc->call, why);
    else
        client_conn_close(cc);
}

static void on_drain(struct conn *c)
{
    (void)c;
}

static const struct conn_ops conn_ops = {
    .on_data = on_data,
    .on_eof = on_eof,
    .on_open = on_open,
    .on_drain = on_drain,
    .on_error = on_error,
};

static void on_due(struct loop_timer *t)
{
    struct client_conn *cc = MERIT_CONTAINER(t, struct client_conn, timer);
    struct loop *l = cc->origin->client->loop;
    uint64_t now_ms = loop_now_us(l) / 1000;
    if (cc->call)
        return;
    if (now_ms < cc->idle_until_ms)
        loop_timer_set(l, t, (uint32_t)(cc->idle_until_ms - now_ms));
    else
        client_conn_close(cc);
}

struct client_conn *client_conn_idle(struct http_origin *o)
{
    struct client_conn *cc = o->idle;
    if (cc)
        leave_idle(cc);
    return cc;
}

void client_conn_keep(struct client_conn *cc)
{
    struct http_origin *o = cc->origin;
    struct http_client *c = o->client;
    cc->call = NULL;
    if (c->closing || o->idle_count >= c->limits.idle_per_origin) {
        client_conn_close(cc);
        return;
    }
    cc->reused = true;
    cc->next = o->idle;
    cc->link = &o->idle;
    if (o->idle)
        o->idle->link = &cc->next;
    o->idle = cc;
    o->idle_count++;
    uint32_t after_ms = c->limits.idle_timeout_ms;
    cc->idle_until_ms = loop_now_us(c->loop) / 1000 + after_ms;
    if (!loop_timer_is_set(&cc->timer))
        loop_timer_set(c->loop, &cc->timer, after_ms);
}

enum result client_conn_open(struct http_origin *o, const struct dns_address *a,
                             struct client_conn **out)
{
    struct http_client *c = o->client;
    struct client_conn *cc = c->free_conns;
    if (cc) {
        c->free_conns = cc->next;
        c->free_conn_count--;
        memset(cc, 0, sizeof *cc);
    } else if (!(cc = alloc_zeroed(1, sizeof *cc))) {
        return RESULT_NOMEM;
    }
    enum result res = conn_connect(&cc->c, c->loop, (const struct sockaddr *)&a->addr, a->len,
                                   &conn_ops, o->tls, o->host);
    if (res) {
        alloc_free(cc);
        return res;
    }
    cc->origin = o;
    cc->timer.on_due = on_due;
    o->conn_count++;
    *out = cc;
    return RESULT_OK;
}

// --- client and origins

static void free_origin(struct http_origin *o)
{
    if (o->tls)
        tls_context_unref(o->tls);
    alloc_free(o->host);
    alloc_free(o);
}

static void run_free_client(struct loop_task *t)
{
    struct http_client *c = MERIT_CONTAINER(t, struct http_client, free_task);
    struct http_call *call, *next_call;
    for (call = c->free_calls; call; call = next_call) {
        next_call = call->next;
        free_call(call);
    }
    struct client_conn *cc, *next_conn;
    for (cc = c->free_conns; cc; cc = next_conn) {
        next_conn = cc->next;
        alloc_free(cc);
    }
    struct http_origin *o, *next;
    for (o = c->origins; o; o = next) {
        next = o->next;
        free_origin(o);
    }
    alloc_free(c);
}

enum result http_client_open(struct http_client **out, struct loop *loop, struct dns *dns,
                             const struct http_client_limits *limits)
{
    struct http_client *c = alloc_zeroed(1, sizeof *c);
    *out = c;
    if (!c)
        return RESULT_NOMEM;
    c->loop = loop;
    c->dns = dns;
    c->limits = limits ? *limits : http_client_limits_default;
    c->free_task.run = run_free_client;
    return RESULT_OK;
}

void http_client_close(struct http_client *c)
{
    if (!c || c->closing)
        return;
    c->closing = true;
    while (c->calls)
        http_call_cancel(c->calls);
    for (struct http_origin *o = c->origins; o; o = o->next)
        while (o->idle)
            client_conn_close(o->idle);
    loop_defer(c->loop, &c->free_task);
}

static struct http_origin *find_origin(struct http_client *c, struct slice host, uint16_t port,
                                       struct slice connect, const struct tls_context *tls)
{
    for (struct http_origin *o = c->origins; o; o = o->next)
        if (o->port == port && o->tls == tls && slice_ieq(slice_make(o->host, o->host_len), host) &&
            slice_ieq(o->connect, connect))
            return o;
    return NULL;
}

enum result http_client_origin_at(struct http_client *c, struct slice host, uint16_t port,
                                  struct slice connect, struct tls_context *tls,
                                  struct http_origin **out)
{
    if (!connect.len)
        connect = host;
    *out = find_origin(c, host, port, connect, tls);
    if (*out)
        return RESULT_OK;
    if (host.len == 0 || host.len > DNS_NAME_MAX || memchr(host.ptr, '\0', host.len) ||
        connect.len > DNS_NAME_MAX)
        return RESULT_LIMIT;
    struct http_origin *o = alloc_zeroed(1, sizeof *o);
    // The name, NUL, the address, and the header's text: brackets and a port more.
    size_t room = 2 * host.len + connect.len + 16;
    if (!o || !(o->host = alloc_zeroed(1, room))) {
        alloc_free(o);
        return RESULT_NOMEM;
    }
    memcpy(o->host, host.ptr, host.len);
    o->host_len = host.len;
    char *text = o->host + host.len + 1;
    memcpy(text, connect.ptr, connect.len);
    o->connect = slice_make(text, connect.len);
    text += connect.len;
    size_t left = room - host.len - 1 - connect.len;
    bool ipv6 = memchr(host.ptr, ':', host.len) != NULL;
    int n = snprintf(text, left, ipv6 ? "[%s]" : "%s", o->host);
    if (port != (tls ? 443 : 80))
        n += snprintf(text + n, left - (size_t)n, ":%u", port);
    o->host_header = slice_make(text, (size_t)n);
    o->port = port;
    o->client = c;
    o->tls = tls ? tls_context_ref(tls) : NULL;
    o->next = c->origins;
    c->origins = o;
    *out = o;
    return RESULT_OK;
}

enum result http_client_origin(struct http_client *c, struct slice host, uint16_t port,
                               struct tls_context *tls, struct http_origin **out)
{
    return http_client_origin_at(c, host, port, SLICE_EMPTY, tls, out);
}
