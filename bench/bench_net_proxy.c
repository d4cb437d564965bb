// The smallest proxy on the server and the client of net/: what a request costs before Merit reads it.
//
//   bench_net_proxy PORT UPSTREAM_PORT
//
// Passes everything on, both ways, as it comes. bench/net compares it with nginx.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/http_client.h"
#include "net/http_server.h"

struct hop {
    struct http_exchange *x;
    struct http_call *call;
};

static struct http_origin *origin;

static size_t pass_headers(const struct http_head *h, struct http_header *to, bool request)
{
    size_t n = 0;
    for (uint32_t i = 0; i < h->header_count; i++) {
        struct slice name = h->headers[i].name;
        if (http_is_hop_by_hop(h, name) || slice_ieq(name, SLICE("content-length")) ||
            slice_ieq(name, request ? SLICE("host") : SLICE("date")))
            continue;
        to[n++] = h->headers[i];
    }
    return n;
}

static void on_answer_head(struct http_call *call, void *user, const struct http_head *head)
{
    (void)call;
    struct hop *hop = user;
    struct http_header headers[HTTP_HEADERS_MAX];
    size_t n = pass_headers(head, headers, false);
    http_respond_head(hop->x, head->status, headers, n, head->chunked ? -1 : head->content_length);
}

static void on_answer_body(struct http_call *call, void *user, struct slice piece)
{
    struct hop *hop = user;
    http_respond_body(hop->x, piece);
    if (http_backlog(hop->x) > http_limits_default.high_water_bytes)
        http_call_pause(call);
}

static void on_answer_end(struct http_call *call, void *user)
{
    (void)call;
    struct hop *hop = user;
    hop->call = NULL;
    http_respond_end(hop->x);
}

static void on_answer_error(struct http_call *call, void *user, enum result why,
                            enum http_phase phase, bool reused)
{
    (void)call;
    (void)reused;
    struct hop *hop = user;
    hop->call = NULL;
    fprintf(stderr, "upstream: %s\n", result_name(why));
    if (phase == HTTP_PHASE_BODY)
        http_respond_abort(hop->x);
    else
        http_respond(hop->x, 502, NULL, 0, SLICE("upstream failed\n"));
}

static const struct http_call_ops call_ops = {on_answer_head, on_answer_body, on_answer_end,
                                              on_answer_error};

static void on_request(struct http_exchange *x)
{
    struct http_header headers[HTTP_HEADERS_MAX];
    struct hop *hop = ARENA_NEW(x->arena, struct hop);
    if (!hop || x->head->method == HTTP_OTHER) {
        http_respond(x, 501, NULL, 0, SLICE_EMPTY);
        return;
    }
    *hop = (struct hop){.x = x};
    x->user = hop;
    struct http_request request = {
        .method = x->head->method,
        .target = x->head->target,
        .headers = headers,
        .header_count = pass_headers(x->head, headers, true),
        .pieces = &x->body,
        .piece_count = 1,
        .connect_timeout_ms = 5000,
        .first_byte_timeout_ms = 60000,
        .idle_timeout_ms = 60000,
    };
    if (http_call_start(origin, &request, &call_ops, hop, &hop->call))
        http_respond(x, 503, NULL, 0, SLICE_EMPTY);
}

static void on_writable(struct http_exchange *x)
{
    struct hop *hop = x->user;
    if (hop->call)
        http_call_resume(hop->call);
}

static void on_abort(struct http_exchange *x, enum result why)
{
    (void)why;
    struct hop *hop = x->user;
    if (hop && hop->call)
        http_call_cancel(hop->call);
}

static const struct http_server_ops server_ops = {
    .on_request = on_request, .on_writable = on_writable, .on_abort = on_abort};

static struct loop *loop;

static void stop(int number)
{
    (void)number;
    loop_stop(loop);
}

int main(int argc, char **argv)
{
    struct dns *dns = NULL;
    struct http_client *client = NULL;
    struct http_server *server = NULL;
    if (argc != 3) {
        fprintf(stderr, "usage: bench_net_proxy PORT UPSTREAM_PORT\n");
        return 2;
    }
    enum result res = loop_open(&loop, 0);
    if (!res)
        res = dns_open(&dns);
    if (!res)
        res = http_client_open(&client, loop, dns, NULL);
    if (!res)
        res =
            http_client_origin(client, SLICE("127.0.0.1"), (uint16_t)atoi(argv[2]), NULL, &origin);
    if (!res)
        res = http_server_open(&server, loop, &server_ops, NULL, NULL);
    if (!res)
        res = http_server_listen(server, "127.0.0.1", (uint16_t)atoi(argv[1]), NULL);
    if (res) {
        fprintf(stderr, "bench_net_proxy: %s\n", result_name(res));
        return 1;
    }
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    loop_run(loop);
    http_server_close(server);
    http_client_close(client);
    loop_close(loop);
    dns_close(dns);
    return 0;
}
