#include "cli/probe.h"

#include <stdio.h>

#include "net/dns.h"
#include "net/http_client.h"
#include "net/loop.h"
#include "net/tls.h"

struct probe {
    struct loop *loop;
    struct dns *dns;
    struct http_client *client;
    struct tls_context *tls;
    struct http_call *call;
    struct probe_answer *answer;
    enum result result;
    bool over;
};

static void on_head(struct http_call *call, void *user, const struct http_head *head)
{
    (void)call;
    struct probe *p = user;
    p->answer->status = head->status;
}

static void on_body(struct http_call *call, void *user, struct slice piece)
{
    (void)call;
    struct probe *p = user;
    buf_add(&p->answer->body, piece);
}

static void on_end(struct http_call *call, void *user)
{
    (void)call;
    struct probe *p = user;
    p->over = true;
    p->result = buf_result(&p->answer->body);
}

static void on_error(struct http_call *call, void *user, enum result why, enum http_phase phase,
                     bool reused)
{
    (void)call;
    (void)reused;
    struct probe *p = user;
    static const char *const when[] = {"while connecting", "after the request was sent",
                                       "in the answer's head", "in the answer's body"};
    p->over = true;
    p->result = why;
    snprintf(p->answer->why, sizeof p->answer->why, "%s %s", result_name(why), when[phase]);
}

static const struct http_call_ops ops = {
    .on_head = on_head, .on_body = on_body, .on_end = on_end, .on_error = on_error};

static enum result start(struct probe *p, const struct probe_request *r, const struct http_url *url,
                         const char *target)
{
    char diag[TLS_DIAG_BYTES] = "";
    enum result res = loop_open(&p->loop, 0);
    if (!res)
        res = dns_open(&p->dns);
    if (!res && url->tls) {
        res = tls_client_open(&p->tls, r->roots, false, diag);
        if (res)
            snprintf(p->answer->why, sizeof p->answer->why, "%s", diag);
    }
    if (!res)
        res = http_client_open(&p->client, p->loop, p->dns, &http_client_limits_default);
    struct http_origin *origin;
    if (!res)
        res = http_client_origin(p->client, url->host, url->port, p->tls, &origin);
    if (res)
        return res;
    struct http_header headers[] = {{SLICE("accept"), SLICE("application/json")},
                                    {SLICE("user-agent"), SLICE("merit/" MERIT_VERSION)},
                                    {SLICE("content-type"), SLICE("application/json")},
                                    {SLICE("authorization"), r->authorization}};
    struct http_request request = {.method = r->method,
                                   .target = slice_cstr(target),
                                   .headers = headers,
                                   .header_count = r->authorization.len ? 4 : 3,
                                   .pieces = &r->body,
                                   .piece_count = r->body.len ? 1 : 0,
                                   .connect_timeout_ms = r->timeout_ms,
                                   .first_byte_timeout_ms = r->timeout_ms,
                                   .total_timeout_ms = r->timeout_ms};
    return http_call_start(origin, &request, &ops, p, &p->call);
}

enum result probe_get(const struct probe_request *r, struct probe_answer *answer)
{
    struct probe p = {.answer = answer};
    struct http_url url;
    char target[2048];
    *answer = (struct probe_answer){0};
    buf_init(&answer->body, PROBE_BODY_MAX);
    enum result res = http_url_parse(r->url, &url);
    int n = res ? 0 : snprintf(target, sizeof target, "%.*s%s", SLICE_FMT(url.path), r->path);
    if (res || n < 0 || (size_t)n >= sizeof target) {
        snprintf(answer->why, sizeof answer->why, "the URL is not of the form http://HOST:PORT/v1");
        return RESULT_SYNTAX;
    }
    res = start(&p, r, &url, target);
    if (!res) {
        uint64_t begin = loop_refresh(p.loop);
        while (!p.over)
            loop_turn(p.loop, 100);
        answer->took_us = loop_refresh(p.loop) - begin;
        res = p.result;
    }
    if (res && !answer->why[0])
        snprintf(answer->why, sizeof answer->why, "%s", result_name(res));
    if (p.client)
        http_client_close(p.client);
    if (p.tls)
        tls_context_unref(p.tls);
    if (p.dns)
        dns_close(p.dns);
    if (p.loop)
        loop_close(p.loop);
    return res;
}

void probe_done(struct probe_answer *answer)
{
    buf_deinit(&answer->body);
}
