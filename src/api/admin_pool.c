#include "api/admin_pool.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pool/discovery.h"
#include "pool/telemetry.h"
#include "text/json.h"

MERIT_PRINTF(4, 5)
static void fail(struct admin_pool_answer *a, int status, const char *code, const char *fmt, ...)
{
    va_list args;
    a->status = status;
    a->code = code;
    va_start(args, fmt);
    vsnprintf(a->message, sizeof a->message, fmt, args);
    va_end(args);
}

// --- showing

static void number(struct buf *out, const char *key, double v, int digits)
{
    if (v < 0 || !isfinite(v))
        buf_printf(out, ",\"%s\":null", key);
    else
        buf_printf(out, ",\"%s\":%.*f", key, digits, v);
}

static void text(struct buf *out, const char *key, struct slice v)
{
    buf_printf(out, ",\"%s\":", key);
    json_write_string(out, v);
}

static float loadf(const _Atomic float *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

// Why it is as it is, in a few words; empty when there is nothing to say.
static const char *why_of(const struct pool *p, int32_t slot, const struct pool_place *row,
                          uint64_t now_us)
{
    const struct pool_site *s = pool_site(p, slot);
    uint32_t why = atomic_load_explicit(&s->place->health.why, memory_order_relaxed);
    switch ((enum pool_place_state)row->state) {
    case POOL_PLACE_OUT:
    case POOL_PLACE_TRYING:
        return health_why_names[why];
    case POOL_PLACE_LIMITED:
        return atomic_load_explicit(&s->place->limited_until_ms, memory_order_relaxed) >
                       now_us / 1000
                   ? "it asked to be left alone"
                   : "its rate is used up";
    case POOL_PLACE_DRAINING:
        return p->slots[slot].leaving                       ? "leaving"
               : p->endpoints[s->endpoint].def->maintenance ? "maintenance"
                                                            : "drained by hand";
    case POOL_PLACE_STANDBY:
        return "others come first";
    default:
        return "";
    }
}

static void write_place(const struct pool *p, int32_t slot, const struct pool_place *row,
                        uint64_t now_us, struct buf *out)
{
    const struct pool_site *s = pool_site(p, slot);
    const struct pool_endpoint *e = &p->endpoints[s->endpoint];
    const struct place *place = s->place;
    const struct place_gauges *g = &place->gauges;
    struct health_seen h = health_look(&place->health);
    buf_printf(out, "{\"place\":%d", slot);
    text(out, "url", s->url);
    text(out, "endpoint", e->url);
    text(out, "source", slice_cstr(pool_source_names[s->source]));
    text(out, "state", slice_cstr(pool_place_state_names[row->state]));
    text(out, "why", slice_cstr(why_of(p, slot, row, now_us)));
    if (h.state != HEALTH_UP && h.until_ms > now_us / 1000)
        buf_printf(out, ",\"back_in_ms\":%llu", (unsigned long long)(h.until_ms - now_us / 1000));
    number(out, "weight", row->weight, 3);
    buf_printf(out, ",\"in_flight\":%u,\"in_flight_tok\":%u,\"slots\":%u", row->in_flight,
               row->in_flight_tok, row->slots);
    number(out, "queue", row->queue, 0);
    number(out, "running", row->running, 0);
    number(out, "kv_use", row->kv_use, 4);
    buf_printf(out, ",\"stale\":%s", row->stale ? "true" : "false");
    uint32_t fault = atomic_load_explicit(&g->fault, memory_order_relaxed);
    if (e->def->engine == IMAGE_ENGINE_NONE)
        text(out, "metrics", SLICE("no engine is stated"));
    else
        text(out, "metrics",
             slice_cstr(fault && fault < TELEMETRY_FAULTS ? telemetry_fault_texts[fault] : ""));
    number(out, "prefix_hit_share", loadf(&g->prefix_hit_share), 4);
    number(out, "prefill_tok_s", row->prefill_tok_s, 1);
    number(out, "first_ms", row->first_ms, 3);
    number(out, "each_ms", row->each_ms, 3);
    number(out, "drain_tok_s", row->drain_tok_s, 1);
    buf_printf(out, ",\"kv_tok\":%u,\"calls\":%llu,\"errors\":%llu,\"limited\":%llu", row->kv_tok,
               (unsigned long long)place->calls, (unsigned long long)place->errors,
               (unsigned long long)place->limited);
    buf_printf(out, ",\"ejections\":%u,\"restarts\":%u,\"preemptions\":%llu}",
               place->health.ejected, g->restarts, (unsigned long long)g->preemptions);
}

static void write_pool(struct serving *s, struct pool_loop *l, uint64_t now_us, struct buf *out)
{
    static const char *const states[] = {
        [POOL_MODEL_UP] = "up", [POOL_MODEL_DOWN] = "down", [POOL_MODEL_NO_KEY] = "no key"};
    const struct pool *p = &s->pool;
    struct pool_view v;
    pool_rows(l, now_us, &v);
    buf_printf(out, "{\"policy\":\"%.*s\",\"models\":[", SLICE_FMT(s->digest_hex));
    for (uint32_t m = 0; m < p->model_count; m++) {
        BUF_LIT(out, "{\"name\":");
        json_write_string(out, p->models[m].name);
        text(out, "state", slice_cstr(states[v.states[m]]));
        BUF_LIT(out, ",\"places\":[");
        bool first = true;
        for (uint32_t i = v.first[m]; i < v.end[m]; i++) {
            if (v.places[i].state == POOL_PLACE_GONE && !v.places[i].in_flight)
                continue;
            if (!first)
                buf_byte(out, ',');
            first = false;
            write_place(p, (int32_t)i, &v.places[i], now_us, out);
        }
        BUF_LIT(out, "]}");
        if (m + 1 < p->model_count)
            buf_byte(out, ',');
    }
    BUF_LIT(out, "]}");
}

static void show(struct http_exchange *x, struct serving *s, uint64_t now_us,
                 struct admin_pool_answer *a, struct buf *out)
{
    struct pool_loop l;
    if (pool_loop_open(&l, &s->pool, NULL, NULL, x->arena)) {
        fail(a, 503, "no_memory", "There is no memory for this answer.");
        return;
    }
    write_pool(s, &l, now_us, out);
}

// --- editing

struct asked {
    struct slice model, url, endpoint;
    double weight, slots;
};

static bool read_member(const struct json *j, uint32_t key, uint32_t value, struct arena *arena,
                        struct asked *out)
{
    struct {
        const char *name;
        struct slice *to;
    } texts[] = {{"model", &out->model}, {"url", &out->url}, {"endpoint", &out->endpoint}};
    for (size_t i = 0; i < MERIT_COUNT(texts); i++) {
        if (json_string_is(j, key, slice_cstr(texts[i].name)))
            return json_type(j, value) == JSON_STRING &&
                   (*texts[i].to = json_string(j, value, arena)).ptr;
    }
    if (json_string_is(j, key, SLICE("weight")))
        return json_double(j, value, &out->weight) == RESULT_OK && out->weight >= 0.001 &&
               out->weight <= 1e6;
    if (json_string_is(j, key, SLICE("slots")))
        return json_double(j, value, &out->slots) == RESULT_OK && out->slots >= 1 &&
               out->slots <= 1e6;
    return false;
}

static bool read_body(struct http_exchange *x, struct admin_pool_answer *a, struct asked *out)
{
    struct json j;
    uint32_t at = 0, key, value;
    *out = (struct asked){.weight = 0};
    if (json_parse(&j, x->body, &json_limits_default, x->arena) ||
        json_type(&j, 0) != JSON_OBJECT) {
        fail(a, 400, "invalid_json", "The body is no JSON object.");
        return false;
    }
    while (json_member(&j, 0, &at, &key, &value)) {
        if (read_member(&j, key, value, x->arena, out))
            continue;
        struct slice name = json_raw(&j, key);
        fail(a, 400, "bad_member",
             "\"%.*s\" is not one of model, url, endpoint, weight (0.001 to "
             "1000000), slots (1 to 1000000), or has no value of that kind.",
             (int)(name.len < 40 ? name.len : 40), name.ptr);
        return false;
    }
    if (out->url.len)
        return true;
    fail(a, 400, "no_url", "\"url\" is missing: which place?");
    return false;
}

static int hex_of(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

// %xx of a query's value, into the arena.
static struct slice unescaped(struct slice v, struct arena *arena)
{
    char *to = arena_alloc_aligned(arena, v.len + 1, 1);
    size_t n = 0;
    for (size_t i = 0; to && i < v.len; i++) {
        int high = i + 2 < v.len ? hex_of(v.ptr[i + 1]) : -1;
        int low = i + 2 < v.len ? hex_of(v.ptr[i + 2]) : -1;
        bool escaped = v.ptr[i] == '%' && high >= 0 && low >= 0;
        to[n++] = escaped ? (char)(high << 4 | low) : v.ptr[i];
        i += escaped ? 2 : 0;
    }
    return slice_make(to, to ? n : 0);
}

static bool read_query(struct http_exchange *x, struct admin_pool_answer *a, struct asked *out)
{
    struct slice query = x->head->query, piece;
    *out = (struct asked){.weight = 0};
    while (slice_split(&query, '&', &piece)) {
        if (slice_starts_with(piece, SLICE("url=")))
            out->url = unescaped(slice_from(piece, 4), x->arena);
        else if (slice_starts_with(piece, SLICE("model=")))
            out->model = unescaped(slice_from(piece, 6), x->arena);
    }
    if (out->url.len)
        return true;
    fail(a, 400, "no_url", "?url=... is missing: which place?");
    return false;
}

static bool model_asked(const struct serving *s, const struct asked *q, int32_t *model,
                        struct admin_pool_answer *a)
{
    *model = q->model.len ? image_find_model(s->image, q->model) : IMAGE_NONE;
    if (q->model.len && *model == IMAGE_NONE) {
        fail(a, 404, "model_not_found", "The policy has no model \"%.*s\".",
             (int)(q->model.len < 80 ? q->model.len : 80), q->model.ptr);
        return false;
    }
    return true;
}

static int32_t endpoint_asked(const struct pool *p, int32_t model, struct slice url)
{
    const struct pool_model *m = &p->models[model];
    for (uint32_t k = 0; k < m->endpoint_count; k++) {
        if (!url.len || slice_eq(p->endpoints[m->endpoint_first + k].url, url))
            return (int32_t)(m->endpoint_first + k);
    }
    return IMAGE_NONE;
}

static void add(struct serving *s, const struct asked *q, uint64_t now_us,
                struct admin_pool_answer *a, struct buf *out)
{
    struct pool *p = &s->pool;
    struct http_url url;
    int32_t model;
    uint32_t slot;
    if (!model_asked(s, q, &model, a))
        return;
    if (model == IMAGE_NONE) {
        fail(a, 400, "no_model", "\"model\" is missing: whose place is it?");
        return;
    }
    int32_t endpoint = endpoint_asked(p, model, q->endpoint);
    if (endpoint == IMAGE_NONE) {
        fail(a, 404, "endpoint_not_found", "The model has no such endpoint in the policy.");
        return;
    }
    if (http_url_parse(q->url, &url) == RESULT_OK && url.tls && !s->client_tls) {
        fail(a, 409, "no_tls",
             "No endpoint of the policy uses https, so TLS is not set up; name "
             "one in the policy.");
        return;
    }
    struct pool_add what = {.endpoint = endpoint,
                            .source = POOL_FROM_ADMIN,
                            .url = q->url,
                            .weight_milli = (uint32_t)(q->weight * 1000 + 0.5),
                            .slots = (uint32_t)q->slots};
    int32_t there = pool_find(p, model, q->url);
    // A place of the policy or a list that was drained or removed by hand comes back as what it was.
    if (there >= 0 && pool_site(p, there)->source != POOL_FROM_ADMIN) {
        fail(a, 409, "place_exists",
             "The place is there already; POST /merit/v1/pool/resume ends "
             "a drain.");
        return;
    }
    enum result r = pool_add(p, &what, now_us / 1000, &slot);
    if (r) {
        fail(a,
             r == RESULT_SYNTAX  ? 400
             : r == RESULT_NOMEM ? 503
                                 : 409,
             r == RESULT_SYNTAX  ? "bad_url"
             : r == RESULT_NOMEM ? "no_memory"
                                 : "not_taken",
             "%s",
             r == RESULT_SYNTAX   ? "That is no URL of an endpoint; write http://host:port/v1."
             : r == RESULT_EXISTS ? "The policy names this URL as an endpoint; what it says of "
                                    "that one must hold."
             : r == RESULT_LIMIT  ? "The pool has no room for another place of this model."
                                  : "There is no memory for it.");
        return;
    }
    p->slots[slot].held = p->slots[slot].leaving = false;
    pool_set_mode(p, slot, POOL_SLOT_SERVES);
    buf_printf(out, "{\"place\":%u,\"until\":\"the next policy load\"}", slot);
}

enum edit { EDIT_DRAIN, EDIT_RESUME, EDIT_REMOVE };

static void edit(struct serving *s, const struct asked *q, enum edit what, uint64_t now_us,
                 struct admin_pool_answer *a, struct buf *out)
{
    struct pool *p = &s->pool;
    int32_t model;
    uint32_t n = 0;
    if (!model_asked(s, q, &model, a))
        return;
    for (int32_t m = 0; m < (int32_t)p->model_count; m++) {
        int32_t slot = model == IMAGE_NONE || m == model ? pool_find(p, m, q->url) : -1;
        if (slot < 0 && what == EDIT_RESUME && (model == IMAGE_NONE || m == model))
            slot = discovery_held(p, m, q->url);
        if (slot < 0)
            continue;
        n++;
        if (what == EDIT_REMOVE) {
            discovery_leave(p, (uint32_t)slot, true);
            continue;
        }
        if (what == EDIT_RESUME) {
            discovery_return(p, (uint32_t)slot);
            continue;
        }
        p->slots[slot].leaving = false;
        p->slots[slot].held = true;
        pool_set_mode(p, (uint32_t)slot, POOL_SLOT_DRAINING);
    }
    if (what == EDIT_REMOVE)
        discovery_sweep(p, now_us / 1000);
    if (n)
        buf_printf(out, "{\"places\":%u,\"until\":\"the next policy load\"}", n);
    else
        fail(a, 404, "place_not_found",
             "No model has a place with that URL; GET /merit/v1/pool "
             "lists them.");
}

bool admin_pool_answer(struct http_exchange *x, struct serving *s, uint64_t now_us,
                       struct admin_pool_answer *a, struct buf *out)
{
    static const struct slice base = {"/merit/v1/pool", 14};
    struct slice path = x->head->path;
    enum http_method method = x->head->method;
    struct asked q;
    if (!slice_starts_with(path, base))
        return false;
    path = slice_from(path, base.len);
    bool drain = slice_eq(path, SLICE("/drain")), resume = slice_eq(path, SLICE("/resume"));
    if (path.len && !drain && !resume)
        return false;
    *a = (struct admin_pool_answer){.status = 200};
    if (drain || resume) {
        if (method != HTTP_POST)
            fail(a, 405, "method_not_allowed", "Use POST for this path.");
        else if (read_body(x, a, &q))
            edit(s, &q, drain ? EDIT_DRAIN : EDIT_RESUME, now_us, a, out);
    } else if (method == HTTP_GET || method == HTTP_HEAD) {
        show(x, s, now_us, a, out);
    } else if (method == HTTP_POST) {
        if (read_body(x, a, &q))
            add(s, &q, now_us, a, out);
    } else if (method == HTTP_DELETE) {
        if (read_query(x, a, &q))
            edit(s, &q, EDIT_REMOVE, now_us, a, out);
    } else {
        fail(a, 405, "method_not_allowed", "Use GET, POST or DELETE for this path.");
    }
    return true;
}
