#include "api/gateway.h"

#include <stdio.h>

#include "api/attempt.h"
#include "api/embeddings.h"
#include "api/openai_answer.h"
#include "api/request.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "path/answer_error.h"

enum {
    LINE_MAX = 256 * 1024,
    SCRATCH_FIRST = 32 * 1024,
    SCRATCH_MAX = 256 * 1024 * 1024,
    EPOCH_ARENA_MAX = 16 * 1024 * 1024,
    DRAIN_LOOK_MS = 20
};

static const struct dialect *const DIALECT = &openai_chat;

// --- small answers

static void respond_json(struct http_exchange *x, int status, struct slice body)
{
    struct http_header type = {SLICE("content-type"), SLICE("application/json")};
    http_respond(x, status, &type, 1, body);
}

void request_reject(struct http_exchange *x, struct gateway *g, const struct api_error *e,
                    enum metrics_reject reason)
{
    metric_add(&g->metrics->rejects[reason], 1);
    answer_error(x, DIALECT, e, NULL, 0);
}

const struct api_error request_error_no_memory = {
    .status = 503,
    .type = "server_error",
    .code = "no_memory",
    .retry_after_s = 1,
    .message = {"Merit has no memory for this request.", 37},
};

void request_no_memory(struct http_exchange *x, struct gateway *g)
{
    request_reject(x, g, &request_error_no_memory, METRICS_REJECT_OVERLOAD);
}

// --- epochs

void gateway_epoch_unref(struct gateway_epoch *e)
{
    if (--e->refs)
        return;
    plan_scratch_close(e->scratch);
    measured_epoch_unref(e->costs);
    serving_unref(e->serving);
    arena_deinit(&e->arena);
    alloc_free(e);
}

static void release_epoch(void *owner)
{
    gateway_epoch_unref(owner);
}

// Takes over the reference to `serving` and `scratch`, also when it fails.
static enum result epoch_open(struct gateway_epoch **out, struct gateway *g,
                              struct serving *serving, struct plan_scratch *scratch)
{
    struct gateway_epoch *e = alloc_zeroed(1, sizeof *e);
    *out = NULL;
    if (!e) {
        plan_scratch_close(scratch);
        serving_unref(serving);
        return RESULT_NOMEM;
    }
    e->gateway = g;
    e->serving = serving;
    e->refs = 1;
    arena_init(&e->arena, 0, EPOCH_ARENA_MAX);
    e->scratch = scratch;
    enum result r =
        pool_loop_open(&e->pool, &serving->pool, g->client, serving->client_tls, &e->arena);
    if (r) {
        gateway_epoch_unref(e);
        return r;
    }
    *out = e;
    return RESULT_OK;
}

// --- the doors

static struct slice secret_of(const struct http_head *head)
{
    struct slice s = keys_bearer(http_header_get(head, "authorization"));
    return s.len ? s : http_header_get(head, "x-api-key");
}

static bool check_key(struct http_exchange *x, struct gateway *g, const struct key **key)
{
    static const struct {
        int status;
        const char *code;
        struct slice message;
    } answers[] = {
        [KEY_UNKNOWN] = {401, "invalid_api_key", {"The API key is missing or unknown.", 34}},
        [KEY_EXPIRED] = {401, "key_expired", {"The API key has expired.", 24}},
        [KEY_REVOKED] = {401, "key_revoked", {"The API key was revoked.", 24}},
        [KEY_SCOPE] = {403, "key_scope", {"The API key does not open this door.", 36}},
        [KEY_RATE] = {429, "rate_limit_exceeded", {"The API key's rate limit is reached.", 36}},
    };
    *key = NULL;
    if (!g->keys && !g->key_required)
        return true;
    struct slice secret = secret_of(x->head);
    uint32_t wait_s = 0;
    uint64_t now_s = loop_wall_us(g->loop) / 1000000;
    enum key_verdict v = KEY_UNKNOWN;
    if (secret.len && g->keys)
        v = keys_find(g->keys, &g->key_cache, secret, KEY_SCOPE_TRAFFIC, now_s, key);
    if (v == KEY_UNKNOWN && !g->key_required)
        return true;
    if (v == KEY_OK)
        v = keys_take(g->keys, *key, loop_now_us(g->loop), &wait_s);
    if (v == KEY_OK)
        return true;
    request_reject(
        x, g,
        &(struct api_error){.status = answers[v].status,
                            .type = v == KEY_RATE ? "rate_limit_error" : "authentication_error",
                            .code = answers[v].code,
                            .message = answers[v].message,
                            .retry_after_s = v == KEY_RATE ? wait_s : 0,
                            .final = v != KEY_RATE},
        v == KEY_RATE ? METRICS_REJECT_RATE : METRICS_REJECT_KEY);
    return false;
}

static int32_t find_pass(const struct policy_image *p, struct slice path)
{
    const struct image_pass *pass = IMAGE_AT(p, p->passes, struct image_pass);
    for (uint32_t i = 0; i < p->passes.count; i++) {
        if (slice_eq(image_text(p, pass[i].path), path))
            return (int32_t)i;
    }
    return IMAGE_NONE;
}

static void answer_models(struct http_exchange *x, struct gateway *g, struct slice id)
{
    const struct serving *s = g->epoch->serving;
    if (!id.len) {
        respond_json(x, 200, s->models_json);
        return;
    }
    struct buf out;
    buf_init(&out, LINE_MAX);
    if (serving_model_json(s, id, &out) && !buf_result(&out))
        respond_json(x, 200, buf_slice(&out));
    else
        request_reject(x, g,
                       &(struct api_error){
                           .status = 404,
                           .type = "invalid_request_error",
                           .code = "model_not_found",
                           .message = SLICE("There is no such model; GET /v1/models lists them."),
                           .final = true},
                       METRICS_REJECT_MODEL);
    buf_deinit(&out);
}

// The paths that need no body. True when it was answered.
static bool answer_get(struct http_exchange *x, struct gateway *g, struct slice path)
{
    static const struct slice models = {"/v1/models", 10};
    if (x->head->method != HTTP_GET && x->head->method != HTTP_HEAD)
        return false;
    if (slice_eq(path, models) ||
        (slice_starts_with(path, models) && path.ptr[models.len] == '/')) {
        answer_models(x, g, slice_from(path, models.len + 1));
        return true;
    }
    return false;
}

static bool embeds(const struct serving *s)
{
    return s->decider.trunk && s->decider.trunk->dim[TRUNK_EMBED];
}

static void on_head(struct http_exchange *x)
{
    static const struct slice chat = {"/v1/chat/completions", 20};
    static const struct slice embed = {"/v1/embeddings", 14};
    struct gateway *g = http_server_user(x->server);
    struct slice path = x->head->path;
    const struct key *key;
    if (slice_eq(path, SLICE("/health"))) {
        respond_json(x, 200, SLICE("{\"status\":\"ok\"}"));
        return;
    }
    if (slice_eq(path, SLICE("/ready"))) {
        respond_json(x, g->draining ? 503 : 200,
                     g->draining ? SLICE("{\"status\":\"draining\"}")
                                 : SLICE("{\"status\":\"ready\"}"));
        return;
    }
    if (!check_key(x, g, &key) || answer_get(x, g, path))
        return;
    bool is_chat = slice_eq(path, chat), is_models = slice_eq(path, SLICE("/v1/models"));
    const struct policy_image *p = g->epoch->serving->image;
    int32_t pass = is_chat ? IMAGE_NONE : find_pass(p, path);
    // Where nothing is embedded here and the policy passes the path on, nobody needs to look into the body.
    bool is_embed = slice_eq(path, embed) && (pass == IMAGE_NONE || embeds(g->epoch->serving));
    if (!is_chat && !is_models && !is_embed && pass == IMAGE_NONE) {
        request_reject(
            x, g,
            &(struct api_error){
                .status = 404,
                .type = "invalid_request_error",
                .code = "unknown_path",
                .message = SLICE("Merit serves POST /v1/chat/completions, POST /v1/embeddings "
                                 "and GET /v1/models here, and what the policy passes on."),
                .final = true},
            METRICS_REJECT_NOT_FOUND);
        return;
    }
    if (((is_chat || is_embed) && x->head->method != HTTP_POST) || is_models) {
        request_reject(x, g,
                       &(struct api_error){.status = 405,
                                           .type = "invalid_request_error",
                                           .code = "method_not_allowed",
                                           .message = is_models ? SLICE("Use GET for this path.")
                                                                : SLICE("Use POST for this path."),
                                           .final = true},
                       METRICS_REJECT_NOT_FOUND);
        return;
    }
    struct request *r = arena_alloc(x->arena, sizeof *r);
    if (!r) {
        request_no_memory(x, g);
        return;
    }
    // The large arrays at the end are filled before they are read, so only the front is cleared.
    memset(r, 0, offsetof(struct request, path));
    r->g = g;
    r->x = x;
    r->kind = is_chat ? REQUEST_CHAT : is_embed ? REQUEST_EMBED : REQUEST_PASS;
    r->pass = pass;
    r->model =
        pass == IMAGE_NONE ? IMAGE_NONE : IMAGE_AT(p, p->passes, struct image_pass)[pass].model;
    r->place = IMAGE_NONE;
    r->key = key;
    r->keys = key ? key_set_ref(g->keys) : NULL;
    r->epoch = g->epoch;
    r->epoch->refs++;
    r->header_count = 0;
    x->user = r;
}

void request_close(struct request *r)
{
    r->x->user = NULL;
    embeddings_close(r);
    key_set_unref(r->keys);
    measured_epoch_unref(r->costs);
    lengths_epoch_unref(r->lengths);
    gateway_epoch_unref(r->epoch);
}

static void on_request(struct http_exchange *x)
{
    struct request *r = x->user;
    if (!r)
        return; // answered at its head
    metric_add(&r->g->metrics->in_flight, 1);
    if (r->kind == REQUEST_CHAT)
        chat_begin(r);
    else if (r->kind == REQUEST_EMBED)
        embeddings_begin(r);
    else
        attempt_pass(r, r->model);
}

static void on_writable(struct http_exchange *x)
{
    struct request *r = x->user;
    if (r && r->running)
        path_writable(&r->path);
}

static void over(struct http_exchange *x, bool gone)
{
    struct gateway *g = http_server_user(x->server);
    struct request *r = x->user;
    atomic_store_explicit(&g->metrics->connections, http_server_connections(g->server),
                          memory_order_relaxed);
    if (!r)
        return;
    if (gone && r->running) {
        path_client_gone(&r->path);
        chat_stop(r);
    } else if (gone && (r->waiting || r->paused))
        r->kind == REQUEST_EMBED ? embeddings_client_gone(r) : chat_client_gone(r);
    request_close(r);
}

static void on_abort(struct http_exchange *x, enum result why)
{
    (void)why;
    over(x, true);
}

static void on_done(struct http_exchange *x)
{
    over(x, false);
}

static struct slice on_bad(struct http_exchange *x, const struct http_bad *bad,
                           struct slice *content_type)
{
    struct gateway *g = http_server_user(x->server);
    struct buf body;
    enum metrics_reject reason = bad->status == 413 || bad->status == 431 ? METRICS_REJECT_TOO_LARGE
                                 : bad->status == 408                     ? METRICS_REJECT_TIMEOUT
                                 : bad->status == 503                     ? METRICS_REJECT_OVERLOAD
                                                      : METRICS_REJECT_BAD_REQUEST;
    metric_add(&g->metrics->rejects[reason], 1);
    buf_init(&body, LINE_MAX);
    DIALECT->error_body(&(struct api_error){.status = bad->status,
                                            .type = "invalid_request_error",
                                            .code = bad->code,
                                            .message = slice_cstr(bad->message)},
                        &body);
    struct slice copy = arena_copy(x->arena, buf_slice(&body));
    buf_deinit(&body);
    *content_type = SLICE("application/json");
    return copy;
}

static const struct http_server_ops SERVER_OPS = {
    .on_head = on_head,
    .on_request = on_request,
    .on_writable = on_writable,
    .on_abort = on_abort,
    .on_done = on_done,
    .on_bad = on_bad,
};

// --- what goes on to the upstream

static bool starts_with_ieq(struct slice name, struct slice prefix)
{
    return name.len >= prefix.len && slice_ieq(slice_head(name, prefix.len), prefix);
}

// Credentials, what the connection owns, what a proxy adds, and what could steer a router further on; the last only
// passes for callers whose key has the scope.
static bool is_dropped(struct slice name, bool routing_allowed)
{
    static const struct slice names[] = {
        {"authorization", 13},
        {"x-api-key", 9},
        {"api-key", 7},
        {"cookie", 6},
        {"host", 4},
        {"content-length", 14},
        {"expect", 6},
        {"accept-encoding", 15},
        {"forwarded", 9},
        {"x-real-ip", 9},
        {"connection", 10},
        {"keep-alive", 10},
        {"te", 2},
        {"trailer", 7},
        {"transfer-encoding", 17},
        {"upgrade", 7},
    };
    static const struct slice prefixes[] = {{"proxy-", 6}, {"x-forwarded-", 12}};
    static const struct slice routing[] = {{"x-merit-", 8},
                                           {"x-vsr-", 6},
                                           {"x-selected-model", 16},
                                           {"x-gateway-destination-endpoint", 30}};
    // The names and prefixes above begin with one of these letters; most headers do not.
    static const uint32_t letters = 1u << ('a' - 'a') | 1u << ('c' - 'a') | 1u << ('e' - 'a') |
                                    1u << ('f' - 'a') | 1u << ('h' - 'a') | 1u << ('k' - 'a') |
                                    1u << ('p' - 'a') | 1u << ('t' - 'a') | 1u << ('u' - 'a') |
                                    1u << ('x' - 'a');
    uint32_t first = ((uint32_t)(unsigned char)name.ptr[0] | 0x20) - 'a';
    if (first > 25 || !(letters >> first & 1))
        return false;
    for (size_t i = 0; i < MERIT_COUNT(names); i++) {
        if (name.len == names[i].len && slice_ieq(name, names[i]))
            return true;
    }
    for (size_t i = 0; i < MERIT_COUNT(prefixes); i++) {
        if (starts_with_ieq(name, prefixes[i]))
            return true;
    }
    for (size_t i = 0; i < MERIT_COUNT(routing) && !routing_allowed; i++) {
        if (starts_with_ieq(name, routing[i]))
            return true;
    }
    return false;
}

void request_forward_headers(struct request *r)
{
    const struct http_head *head = r->x->head;
    bool routing_allowed = r->key && (r->key->scopes & KEY_SCOPE_ROUTE_HEADERS);
    size_t n = 1; // the first is the path's
    r->headers[n++] = (struct http_header){SLICE("accept-encoding"), SLICE("identity")};
    for (uint32_t i = 0; i < head->header_count && n < PATH_UPSTREAM_HEADERS_MAX; i++) {
        const struct http_header *h = &head->headers[i];
        if (is_dropped(h->name, routing_allowed) ||
            (head->connection_names && http_is_hop_by_hop(head, h->name)))
            continue;
        r->headers[n++] = *h;
    }
    r->header_count = n;
}

// --- life

static void take_keys(struct gateway *g, struct key_set *keys)
{
    key_set_unref(g->keys);
    g->keys = keys && key_set_count(keys) ? keys : NULL;
    if (keys && !g->keys)
        key_set_unref(keys);
    // A door that was locked is not opened by a key file that is lost, emptied or expired: only a new start does that.
    g->key_required |= g->shared->key_required;
    if (g->keys && key_set_usable(g->keys, KEY_SCOPE_TRAFFIC, loop_wall_us(g->loop) / 1000000))
        g->key_required = true;
}

enum result gateway_open(struct gateway **out, const struct gateway_shared *shared,
                         struct loop *loop, uint32_t index, struct serving *serving,
                         struct key_set *keys)
{
    uint64_t seed;
    struct gateway *g = alloc_zeroed(1, sizeof *g);
    if (!g)
        return RESULT_NOMEM;
    g->shared = shared;
    g->loop = loop;
    g->index = index;
    g->resume.run = chat_resume;
    arena_init(&g->scratch, SCRATCH_FIRST, SCRATCH_MAX);
    buf_init(&g->line, LINE_MAX);
    enum result r = rng_secret(&seed, sizeof seed);
    rng_seed(&g->rng, seed);
    if (!r)
        r = key_cache_init(&g->key_cache);
    if (!r && !(g->metrics = alloc_zeroed(1, sizeof *g->metrics)))
        r = RESULT_NOMEM;
    if (!r)
        r = ring_open(&g->ring, shared->decisions_kept, release_epoch);
    if (!r && shared->access_log)
        r = log_stream_open(shared->access_log, &g->access_log);
    if (!r && shared->decision_log)
        r = log_stream_open(shared->decision_log, &g->decision_log);
    if (!r)
        r = http_server_open(&g->server, loop, &SERVER_OPS, &shared->http, g);
    if (!r)
        r = http_client_open(&g->client, loop, shared->dns, &shared->client);
    struct plan_scratch *scratch = NULL;
    if (!r)
        r = plan_scratch_open(serving->decider.plan, &scratch);
    if (!r) {
        serving_ref(serving);
        r = epoch_open(&g->epoch, g, serving, scratch);
    }
    if (r) {
        gateway_close(g);
        return r;
    }
    take_keys(g, keys ? key_set_ref(keys) : NULL);
    *out = g;
    return RESULT_OK;
}

void gateway_close(struct gateway *g)
{
    if (!g)
        return;
    loop_timer_cancel(g->loop, &g->drain_timer);
    if (g->server)
        http_server_close(g->server);
    loop_task_cancel(&g->resume);
    ring_close(&g->ring);
    if (g->client)
        http_client_close(g->client);
    if (g->epoch)
        gateway_epoch_unref(g->epoch);
    key_set_unref(g->keys);
    lengths_epoch_unref(g->lengths);
    arena_deinit(&g->scratch);
    buf_deinit(&g->line);
    alloc_free(g->metrics);
    alloc_free(g);
}

enum result gateway_listen(struct gateway *g, const char *host, uint16_t port,
                           struct tls_context *tls)
{
    return http_server_listen(g->server, host, port, tls);
}

uint16_t gateway_port(const struct gateway *g)
{
    return http_server_port(g->server);
}

struct loop *gateway_loop(struct gateway *g)
{
    return g->loop;
}

struct metrics_shard *gateway_metrics(struct gateway *g)
{
    return g->metrics;
}

struct ring *gateway_ring(struct gateway *g)
{
    return &g->ring;
}

// --- messages from other threads

struct order {
    struct loop_message message;
    struct gateway *gateway;
    struct serving *serving;
    struct plan_scratch *scratch;
    struct measured_epoch *costs;
    struct key_set *keys;
    struct lengths_epoch *lengths;
    void (*on_idle)(void *ctx);
    void *ctx;
};

static void run_serving(struct loop_message *m, struct loop *loop)
{
    struct order *o = MERIT_CONTAINER(m, struct order, message);
    struct gateway *g = o->gateway;
    struct gateway_epoch *e;
    (void)loop;
    if (epoch_open(&e, g, o->serving, o->scratch) == RESULT_OK) {
        gateway_epoch_unref(g->epoch);
        g->epoch = e;
    }
    alloc_free(o);
}

static void run_costs(struct loop_message *m, struct loop *loop)
{
    struct order *o = MERIT_CONTAINER(m, struct order, message);
    struct gateway_epoch *e = o->gateway->epoch;
    (void)loop;
    if (e->serving == o->serving) {
        measured_epoch_unref(e->costs);
        e->costs = o->costs;
    } else {
        measured_epoch_unref(o->costs);
    }
    serving_unref(o->serving);
    alloc_free(o);
}

static void run_lengths(struct loop_message *m, struct loop *loop)
{
    struct order *o = MERIT_CONTAINER(m, struct order, message);
    (void)loop;
    lengths_epoch_unref(o->gateway->lengths);
    o->gateway->lengths = o->lengths;
    alloc_free(o);
}

static void run_keys(struct loop_message *m, struct loop *loop)
{
    struct order *o = MERIT_CONTAINER(m, struct order, message);
    (void)loop;
    take_keys(o->gateway, o->keys);
    alloc_free(o);
}

static void look_idle(struct loop_timer *t)
{
    struct gateway *g = MERIT_CONTAINER(t, struct gateway, drain_timer);
    if (http_server_connections(g->server))
        loop_timer_set(g->loop, t, DRAIN_LOOK_MS);
    else
        g->on_idle(g->idle_ctx);
}

static void run_drain(struct loop_message *m, struct loop *loop)
{
    struct order *o = MERIT_CONTAINER(m, struct order, message);
    struct gateway *g = o->gateway;
    g->draining = true;
    g->on_idle = o->on_idle;
    g->idle_ctx = o->ctx;
    http_server_drain(g->server);
    g->drain_timer.on_due = look_idle;
    loop_timer_set(loop, &g->drain_timer, 1);
    alloc_free(o);
}

static enum result post(struct gateway *g, void (*run)(struct loop_message *, struct loop *),
                        struct order order)
{
    struct order *o = alloc_bytes(sizeof *o);
    if (!o)
        return RESULT_NOMEM;
    *o = order;
    o->gateway = g;
    o->message.run = run;
    loop_post(g->loop, &o->message);
    return RESULT_OK;
}

enum result gateway_post_serving(struct gateway *g, struct serving *serving)
{
    // Made here, so that the loop has no more to do than to take it.
    struct plan_scratch *scratch;
    enum result r = plan_scratch_open(serving->decider.plan, &scratch);
    if (r)
        return r;
    serving_ref(serving);
    r = post(g, run_serving, (struct order){.serving = serving, .scratch = scratch});
    if (r) {
        plan_scratch_close(scratch);
        serving_unref(serving);
    }
    return r;
}

enum result gateway_post_costs(struct gateway *g, struct serving *serving,
                               struct measured_epoch *costs)
{
    serving_ref(serving);
    enum result r = post(g, run_costs, (struct order){.serving = serving, .costs = costs});
    if (r) {
        serving_unref(serving);
        measured_epoch_unref(costs);
    }
    return r;
}

enum result gateway_post_lengths(struct gateway *g, struct lengths_epoch *lengths)
{
    lengths_epoch_ref(lengths);
    enum result r = post(g, run_lengths, (struct order){.lengths = lengths});
    if (r)
        lengths_epoch_unref(lengths);
    return r;
}

enum result gateway_post_keys(struct gateway *g, struct key_set *keys)
{
    struct key_set *own = key_set_ref(keys);
    enum result r = post(g, run_keys, (struct order){.keys = own});
    if (r)
        key_set_unref(own);
    return r;
}

enum result gateway_post_drain(struct gateway *g, void (*on_idle)(void *ctx), void *ctx)
{
    return post(g, run_drain, (struct order){.on_idle = on_idle, .ctx = ctx});
}
