#include "api/admin.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/admin_pool.h"
#include "api/metrics_pool.h"
#include "api/openai_answer.h"
#include "api/openai_request.h"
#include "api/page.h"
#include "api/reckon.h"
#include "api/request.h"
#include "base/alloc.h"
#include "route/record.h"

struct admin {
    struct admin_options options;
    struct loop *loop;
    struct http_server *server;
    struct serving *serving;
    struct key_set *keys;
    struct key_cache key_cache;
    uint32_t queries; // under way on other loops
};

// --- small answers

static void respond(struct http_exchange *x, int status, struct slice type, struct slice body)
{
    struct http_header headers[] = {
        {SLICE("content-type"), type},
        {SLICE("cache-control"), SLICE("no-store")},
        {SLICE("x-content-type-options"), SLICE("nosniff")},
        {SLICE("content-security-policy"), SLICE("default-src 'none'; style-src 'unsafe-inline'; "
                                                 "script-src 'unsafe-inline'; connect-src 'self'")},
    };
    http_respond(x, status, headers, MERIT_COUNT(headers), body);
}

static void respond_json(struct http_exchange *x, int status, struct slice body)
{
    respond(x, status, SLICE("application/json"), body);
}

static void refuse(struct http_exchange *x, int status, const char *code, const char *message)
{
    struct buf out;
    buf_init(&out, ADMIN_ANSWER_MAX);
    openai_chat.error_body(&(struct api_error){.status = status,
                                               .type = "invalid_request_error",
                                               .code = code,
                                               .message = slice_cstr(message)},
                           &out);
    respond_json(x, status, buf_slice(&out));
    buf_deinit(&out);
}

static void respond_buf(struct http_exchange *x, struct slice type, struct buf *out)
{
    if (buf_result(out))
        refuse(x, 503, "answer_too_large", "The answer is over its limit.");
    else
        respond(x, 200, type, buf_slice(out));
    buf_deinit(out);
}

// --- the doors

static struct slice host_only(struct slice host)
{
    if (host.len && host.ptr[0] == '[') {
        ptrdiff_t end = slice_find(host, SLICE("]"));
        return end < 0 ? host : slice_make(host.ptr + 1, (size_t)end - 1);
    }
    ptrdiff_t colon = slice_find(host, SLICE(":"));
    return colon < 0 ? host : slice_head(host, (size_t)colon);
}

// Four numbers, the first 127: a name that only begins so can belong to anybody.
static bool is_loopback_v4(struct slice name)
{
    struct slice part;
    uint64_t n;
    int parts = 0;
    while (parts < 4 && slice_split(&name, '.', &part)) {
        if (part.len > 3 || !slice_u64(part, &n) || n > 255 || (!parts && n != 127))
            return false;
        parts++;
    }
    return parts == 4 && !name.len;
}

static bool host_allowed(const struct admin *a, struct slice host)
{
    struct slice name = host_only(host);
    if (slice_ieq(name, SLICE("localhost")) || slice_eq(name, SLICE("::1")) || is_loopback_v4(name))
        return true;
    for (uint32_t i = 0; i < a->options.host_count; i++) {
        if (slice_ieq(name, slice_cstr(a->options.hosts[i])))
            return true;
    }
    return false;
}

// "http://" or "https://" and then exactly the Host of the request.
static bool origin_allowed(struct slice origin, struct slice host)
{
    struct slice http = SLICE("http://"), https = SLICE("https://");
    if (slice_starts_with(origin, https))
        return slice_ieq(slice_from(origin, https.len), host);
    return slice_starts_with(origin, http) && slice_ieq(slice_from(origin, http.len), host);
}

static bool may_enter(struct http_exchange *x, struct admin *a)
{
    struct slice host = http_header_get(x->head, "host");
    struct slice origin = http_header_get(x->head, "origin");
    if (!host_allowed(a, host)) {
        refuse(x, 403, "host", "This Host is not one of the admin side's; add it with admin.host.");
        return false;
    }
    if (origin.ptr && !origin_allowed(origin, host)) {
        refuse(x, 403, "origin", "Requests of other origins are refused.");
        return false;
    }
    if (!a->options.key_required)
        return true;
    const struct key *key;
    struct slice secret = keys_bearer(http_header_get(x->head, "authorization"));
    if (secret.len && a->keys &&
        keys_find(a->keys, &a->key_cache, secret, KEY_SCOPE_ADMIN, loop_wall_us(a->loop) / 1000000,
                  &key) == KEY_OK)
        return true;
    refuse(x, 401, "invalid_api_key",
           "A key with the admin scope is needed; `merit key create --scopes admin` makes one.");
    return false;
}

// --- decisions of other loops

struct found {
    uint64_t wall_us;
    struct slice json;
};

// One look into all rings. The answers of the loops come back one by one; the last one answers the client.
struct query {
    struct admin *admin;
    struct http_exchange *x;      // NULL when the client has left
    char id[DECISION_ID_LEN + 1]; // empty: the newest
    uint32_t want, waiting;
    struct part {
        struct loop_message out, back;
        struct query *query;
        struct gateway *gateway;
        struct buf json;     // objects one behind the other
        struct found *found; // slices hold offsets into json until it is whole
        uint32_t count;
    } parts[];
};

static void query_free(struct query *q, uint32_t parts)
{
    for (uint32_t i = 0; i < parts; i++) {
        buf_deinit(&q->parts[i].json);
        alloc_free(q->parts[i].found);
    }
    q->admin->queries--;
    alloc_free(q);
}

static int newest_first(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    return x->wall_us > y->wall_us ? -1 : x->wall_us < y->wall_us;
}

static void query_answer(struct query *q)
{
    uint32_t parts = q->admin->options.gateway_count, total = 0;
    struct buf out;
    for (uint32_t i = 0; i < parts; i++)
        total += q->parts[i].count;
    struct found *all = alloc_zeroed(total, sizeof *all);
    buf_init(&out, ADMIN_ANSWER_MAX);
    if (!all) {
        refuse(q->x, 503, "no_memory", "There is no memory for this answer.");
        return;
    }
    total = 0;
    for (uint32_t i = 0; i < parts; i++) {
        for (uint32_t k = 0; k < q->parts[i].count; k++)
            all[total++] = q->parts[i].found[k];
    }
    if (q->id[0]) {
        if (total)
            buf_add(&out, all[0].json);
    } else {
        qsort(all, total, sizeof *all, newest_first);
        BUF_LIT(&out, "{\"decisions\":[");
        for (uint32_t i = 0; i < total && i < q->want; i++) {
            if (i)
                buf_byte(&out, ',');
            buf_add(&out, all[i].json);
        }
        BUF_LIT(&out, "]}");
    }
    alloc_free(all);
    if (q->id[0] && !total) {
        buf_deinit(&out);
        refuse(q->x, 404, "decision_not_found", "No such decision is kept; only recent ones are.");
        return;
    }
    respond_buf(q->x, SLICE("application/json"), &out);
}

static void on_part_back(struct loop_message *m, struct loop *loop)
{
    struct part *p = MERIT_CONTAINER(m, struct part, back);
    struct query *q = p->query;
    (void)loop;
    for (uint32_t k = 0; k < p->count; k++)
        p->found[k].json.ptr = p->json.ptr + (uintptr_t)p->found[k].json.ptr;
    if (--q->waiting)
        return;
    if (q->x) {
        q->x->user = NULL;
        query_answer(q);
    }
    query_free(q, q->admin->options.gateway_count);
}

static void write_slot(const struct ring_slot *s, struct buf *out)
{
    const struct gateway_epoch *e = s->owner;
    struct arena arena;
    struct decision *d, *again;
    arena_init(&arena, 16 * 1024, ADMIN_ANSWER_MAX);
    BUF_LIT(out, "{\"decision\":");
    if (record_read(e->serving->image, buf_slice(&s->record), &arena, &d))
        BUF_LIT(out, "null");
    // The line does not tell what follows from the rest of it.
    else if (record_replay(e->serving->decider.table, d, &arena, &again))
        record_json(d, NULL, out);
    else
        record_json(again, NULL, out);
    arena_deinit(&arena);
    BUF_LIT(out, ",\"outcome\":");
    if (s->outcome.len)
        buf_add(out, buf_slice(&s->outcome));
    else
        BUF_LIT(out, "null");
    buf_byte(out, '}');
}

// On the ring's loop.
static void on_part_out(struct loop_message *m, struct loop *loop)
{
    struct part *p = MERIT_CONTAINER(m, struct part, out);
    struct ring *ring = gateway_ring(p->gateway);
    (void)loop;
    for (uint32_t n = 0; n < p->query->want; n++) {
        struct ring_slot *s =
            p->query->id[0] ? ring_find(ring, slice_cstr(p->query->id)) : ring_recent(ring, n);
        if (!s || !s->id[0])
            break;
        size_t at = p->json.len;
        write_slot(s, &p->json);
        if (buf_result(&p->json))
            break;
        p->found[p->count++] =
            (struct found){s->wall_us, {(char *)(uintptr_t)at, p->json.len - at}};
    }
    p->back.run = on_part_back;
    loop_post(p->query->admin->loop, &p->back);
}

static void ask_rings(struct http_exchange *x, struct admin *a, struct slice id, uint32_t want)
{
    uint32_t parts = a->options.gateway_count;
    struct query *q = alloc_zeroed(1, sizeof *q + parts * sizeof q->parts[0]);
    if (!q) {
        refuse(x, 503, "no_memory", "There is no memory for this answer.");
        return;
    }
    q->admin = a;
    a->queries++;
    q->want = id.len ? 1 : want;
    if (id.len)
        memcpy(q->id, id.ptr, id.len);
    for (uint32_t i = 0; i < parts; i++) {
        struct part *p = &q->parts[i];
        p->query = q;
        p->gateway = a->options.gateways[i];
        p->out.run = on_part_out;
        buf_init(&p->json, ADMIN_ANSWER_MAX / parts);
        p->found = alloc_zeroed(q->want, sizeof *p->found);
        if (!p->found) {
            query_free(q, parts);
            refuse(x, 503, "no_memory", "There is no memory for this answer.");
            return;
        }
    }
    q->x = x;
    q->waiting = parts;
    x->user = q;
    for (uint32_t i = 0; i < parts; i++)
        loop_post(gateway_loop(q->parts[i].gateway), &q->parts[i].out);
}

static uint32_t wanted(struct slice query)
{
    struct slice piece;
    uint64_t n;
    while (slice_split(&query, '&', &piece)) {
        if (slice_starts_with(piece, SLICE("n=")) && slice_u64(slice_from(piece, 2), &n))
            return n < 1 ? 1 : n > ADMIN_DECISIONS_MAX ? ADMIN_DECISIONS_MAX : (uint32_t)n;
    }
    return ADMIN_DECISIONS_DEFAULT;
}

// --- deciding without calling

// {"text": "..."} as a chat body.
static struct slice chat_of_text(struct http_exchange *x, const struct json *j, uint32_t text)
{
    struct buf b;
    buf_init(&b, ADMIN_ANSWER_MAX);
    BUF_LIT(&b, "{\"messages\":[{\"role\":\"user\",\"content\":\"");
    buf_add(&b, json_raw(j, text));
    BUF_LIT(&b, "\"}]}");
    struct slice copy = buf_result(&b) ? SLICE_EMPTY : arena_copy(x->arena, buf_slice(&b));
    buf_deinit(&b);
    return copy;
}

static enum result decide(struct admin *a, struct http_exchange *x, const struct work *work,
                          struct buf *out)
{
    const struct serving *s = a->serving;
    struct plan_scratch *scratch;
    uint8_t *states = ARENA_ARRAY(x->arena, uint8_t, s->pool.model_count);
    enum result r = states ? plan_scratch_open(s->decider.plan, &scratch) : RESULT_NOMEM;
    if (r)
        return r;
    for (uint32_t i = 0; i < s->pool.model_count; i++)
        states[i] = s->pool.models[i].key_missing ? POOL_MODEL_NO_KEY : POOL_MODEL_UP;
    struct pool_view pool = {.epoch = 0, .states = states, .count = s->pool.model_count};
    struct decision *d;
    r = decider_run(&s->decider, scratch, work, &pool, NULL, NULL, x->arena, &d);
    if (!r) {
        d->wall_us = loop_wall_us(a->loop);
        record_id(d->wall_us, loop_now_us(a->loop), d->id);
        record_json(d, &(struct record_options){.work = work, .with_text = true}, out);
    }
    plan_scratch_close(scratch);
    return r;
}

static void answer_route(struct http_exchange *x, struct admin *a)
{
    struct json j;
    struct openai_request openai;
    struct openai_fault fault;
    struct slice body = x->body;
    bool copied = true;
    struct work *work = ARENA_NEW(x->arena, struct work);
    if (work && json_parse(&j, body, &json_limits_default, x->arena) == RESULT_OK &&
        json_type(&j, 0) == JSON_OBJECT) {
        uint32_t text = json_get(&j, 0, SLICE("text"), NULL);
        if (text != JSON_NONE && json_type(&j, text) == JSON_STRING)
            copied = (body = chat_of_text(x, &j, text)).ptr;
    }
    enum result r =
        work && copied ? openai_request_parse(body, x->arena, work, &openai, &fault) : RESULT_NOMEM;
    if (r && r != RESULT_NOMEM) {
        struct buf out;
        buf_init(&out, ADMIN_ANSWER_MAX);
        openai_chat.error_body(&(struct api_error){.status = fault.status,
                                                   .type = "invalid_request_error",
                                                   .code = fault.code,
                                                   .param = fault.param,
                                                   .message = fault.message},
                               &out);
        respond_json(x, fault.status, buf_slice(&out));
        buf_deinit(&out);
        return;
    }
    struct buf out;
    buf_init(&out, ADMIN_ANSWER_MAX);
    if (!r)
        r = decide(a, x, work, &out);
    if (r) {
        buf_deinit(&out);
        refuse(x, 503, "no_memory", "There is no memory for this answer.");
        return;
    }
    respond_buf(x, SLICE("application/json"), &out);
}

// --- the rest

static void answer_metrics(struct http_exchange *x, struct admin *a)
{
    struct metrics_process process = {0};
    struct buf out;
    uint32_t n = a->options.gateway_count;
    struct metrics_shard **shards = ARENA_ARRAY(x->arena, struct metrics_shard *, n);
    buf_init(&out, ADMIN_ANSWER_MAX);
    for (uint32_t i = 0; shards && i < n; i++)
        shards[i] = gateway_metrics(a->options.gateways[i]);
    a->options.process(a->options.ctx, &process);
    metrics_write(a->options.names, shards, shards ? n : 0, &process, &out);
    struct pace **paces = ARENA_ARRAY(x->arena, struct pace *, n);
    for (uint32_t i = 0; shards && paces && i < n; i++)
        paces[i] = &shards[i]->pace;
    if (shards && paces)
        pace_write(paces, n, a->options.names, &out);
    metrics_pool_write(a->serving, a->options.names, loop_now_us(a->loop), &out);
    if (a->options.reckon)
        reckon_metrics(a->options.reckon, a->options.names, &out);
    respond_buf(x, SLICE("text/plain; version=0.0.4; charset=utf-8"), &out);
}

static void answer_policy(struct http_exchange *x, struct admin *a)
{
    const struct policy_image *p = a->serving->image;
    struct buf out;
    buf_init(&out, ADMIN_ANSWER_MAX);
    BUF_LIT(&out, "{\"name\":");
    json_write_string(&out, image_text(p, p->name));
    buf_printf(&out, ",\"version\":%u,\"digest\":\"%.*s\",\"routes\":[", p->policy_version,
               SLICE_FMT(a->serving->digest_hex));
    for (uint32_t i = 0; i < p->routes.count; i++) {
        if (i)
            buf_byte(&out, ',');
        json_write_string(&out, image_text(p, image_route(p, (int32_t)i)->name));
    }
    BUF_LIT(&out, "],\"models\":");
    buf_add(&out, a->serving->models_json);
    buf_byte(&out, '}');
    respond_buf(x, SLICE("application/json"), &out);
}

static void answer_ready(struct http_exchange *x, struct admin *a)
{
    struct metrics_process process = {0};
    a->options.process(a->options.ctx, &process);
    respond_json(x, process.ready ? 200 : 503,
                 process.ready ? SLICE("{\"status\":\"ready\"}")
                               : SLICE("{\"status\":\"draining\"}"));
}

// The totals belong to this thread, too (cli/measuring.h).
static void answer_measured(struct http_exchange *x, struct admin *a)
{
    struct buf out;
    if (!a->serving->measured) {
        refuse(x, 404, "not_measured", "Nothing is measured here.");
        return;
    }
    buf_init(&out, ADMIN_ANSWER_MAX);
    measured_json(a->serving->measured, &out);
    respond_buf(x, SLICE("application/json"), &out);
}

// False: it is none of the pool's paths.
static bool answer_pool(struct http_exchange *x, struct admin *a)
{
    struct admin_pool_answer answer;
    struct buf out;
    buf_init(&out, ADMIN_ANSWER_MAX);
    if (!admin_pool_answer(x, a->serving, loop_now_us(a->loop), &answer, &out)) {
        buf_deinit(&out);
        return false;
    }
    if (!answer.code) {
        respond_buf(x, SLICE("application/json"), &out);
        return true;
    }
    buf_deinit(&out);
    refuse(x, answer.status, answer.code, answer.message);
    return true;
}

static bool get(const struct http_exchange *x, struct slice path)
{
    return slice_eq(x->head->path, path) &&
           (x->head->method == HTTP_GET || x->head->method == HTTP_HEAD);
}

static void on_request(struct http_exchange *x)
{
    static const struct slice decisions = {"/merit/v1/decisions", 19};
    struct admin *a = http_server_user(x->server);
    struct slice path = x->head->path;
    if (x->status)
        return;
    if (get(x, SLICE("/health"))) {
        respond_json(x, 200, SLICE("{\"status\":\"ok\"}"));
    } else if (get(x, SLICE("/ready"))) {
        answer_ready(x, a);
    } else if (get(x, SLICE("/metrics"))) {
        answer_metrics(x, a);
    } else if (get(x, SLICE("/"))) {
        respond(x, 200, SLICE("text/html; charset=utf-8"), ADMIN_PAGE);
    } else if (get(x, SLICE("/merit/v1/policy"))) {
        answer_policy(x, a);
    } else if (get(x, SLICE("/merit/v1/measured"))) {
        answer_measured(x, a);
    } else if (get(x, decisions)) {
        ask_rings(x, a, SLICE_EMPTY, wanted(x->head->query));
    } else if (slice_starts_with(path, decisions) &&
               path.len == decisions.len + 1 + DECISION_ID_LEN && path.ptr[decisions.len] == '/' &&
               x->head->method == HTTP_GET) {
        ask_rings(x, a, slice_from(path, decisions.len + 1), 1);
    } else if (slice_eq(path, SLICE("/merit/v1/route")) && x->head->method == HTTP_POST) {
        answer_route(x, a);
    } else if (slice_eq(path, SLICE("/merit/v1/route"))) {
        refuse(x, 405, "method_not_allowed", "Use POST for this path.");
    } else if (answer_pool(x, a)) {
        return;
    } else {
        refuse(x, 404, "unknown_path", "See GET / for what the admin side offers.");
    }
}

static void on_head(struct http_exchange *x)
{
    x->user = NULL;
    may_enter(x, http_server_user(x->server));
}

static void on_abort(struct http_exchange *x, enum result why)
{
    struct query *q = x->user;
    (void)why;
    if (q)
        q->x = NULL;
}

static const struct http_server_ops SERVER_OPS = {
    .on_head = on_head, .on_request = on_request, .on_abort = on_abort};

enum result admin_open(struct admin **out, struct loop *loop, const struct admin_options *options)
{
    struct admin *a = alloc_zeroed(1, sizeof *a);
    if (!a)
        return RESULT_NOMEM;
    a->options = *options;
    a->loop = loop;
    enum result r = key_cache_init(&a->key_cache);
    if (!r)
        r = http_server_open(&a->server, loop, &SERVER_OPS, &http_limits_default, a);
    if (r) {
        alloc_free(a);
        return r;
    }
    *out = a;
    return RESULT_OK;
}

enum result admin_listen(struct admin *a, const char *host, uint16_t port, struct tls_context *tls)
{
    return http_server_listen(a->server, host, port, tls);
}

uint16_t admin_port(const struct admin *a)
{
    return http_server_port(a->server);
}

void admin_set_serving(struct admin *a, struct serving *serving)
{
    serving_ref(serving);
    serving_unref(a->serving);
    a->serving = serving;
}

void admin_set_keys(struct admin *a, struct key_set *keys)
{
    struct key_set *old = a->keys;
    a->keys = keys ? key_set_ref(keys) : NULL;
    key_set_unref(old);
}

void admin_stop(struct admin *a)
{
    if (!a)
        return;
    http_server_close(a->server);
    a->server = NULL;
}

void admin_close(struct admin *a)
{
    if (!a)
        return;
    admin_stop(a);
    assert(!a->queries);
    serving_unref(a->serving);
    key_set_unref(a->keys);
    alloc_free(a);
}
