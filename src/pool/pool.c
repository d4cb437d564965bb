#include "pool/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/json.h"

static const struct slice DEMO_URL = {"demo:", 5};

static enum result read_key_file(const char *path, char *out, size_t room, size_t *len)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return RESULT_NOT_FOUND;
    *len = fread(out, 1, room, f);
    enum result r = ferror(f) ? RESULT_IO : *len == room ? RESULT_LIMIT : RESULT_OK;
    fclose(f);
    while (*len > 0 && (out[*len - 1] == '\n' || out[*len - 1] == '\r' || out[*len - 1] == ' '))
        (*len)--;
    return r;
}

// A key goes into a header, so it may hold only visible ASCII.
static bool key_is_clean(struct slice key)
{
    for (size_t i = 0; i < key.len; i++) {
        if (key.ptr[i] <= ' ' || key.ptr[i] > '~')
            return false;
    }
    return key.len > 0;
}

static enum result find_key(struct pool_model *m, const struct policy_image *image,
                            const struct image_model *def, struct arena *arena)
{
    if (def->key_source == IMAGE_KEY_NONE)
        return RESULT_OK;
    char from_file[POOL_KEY_BYTES_MAX];
    char *name = arena_cstr(arena, image_text(image, def->key_name));
    if (!name)
        return RESULT_NOMEM;
    struct slice key = SLICE_EMPTY;
    if (def->key_source == IMAGE_KEY_ENV)
        key = slice_cstr(getenv(name));
    else if (read_key_file(name, from_file, sizeof from_file, &key.len) == RESULT_OK)
        key.ptr = from_file;
    if (!key.ptr || !key_is_clean(key))
        m->key_missing = true;
    else
        m->authorization = arena_printf(arena, "Bearer %.*s", SLICE_FMT(key));
    explicit_bzero(from_file, sizeof from_file);
    return m->key_missing || m->authorization.ptr ? RESULT_OK : RESULT_NOMEM;
}

static enum result open_endpoint(struct pool_endpoint *e, const struct policy_image *image,
                                 const struct image_endpoint *def, uint16_t demo_port,
                                 char diag[POOL_DIAG_BYTES])
{
    struct http_url url;
    e->url = image_text(image, def->url);
    if (slice_eq(e->url, DEMO_URL)) {
        if (!demo_port) {
            snprintf(diag, POOL_DIAG_BYTES, "line %u: the demo pool is not running here",
                     def->line);
            return RESULT_UNSUPPORTED;
        }
        e->host = SLICE("127.0.0.1");
        e->port = demo_port;
        e->path = SLICE("/v1");
        return RESULT_OK;
    }
    if (http_url_parse(e->url, &url)) {
        snprintf(diag, POOL_DIAG_BYTES,
                 "line %u: \"%.*s\" is no endpoint; write http://host:port/v1", def->line,
                 SLICE_FMT(e->url));
        return RESULT_SYNTAX;
    }
    e->host = url.host;
    e->port = url.port;
    e->tls = url.tls;
    e->path = url.path;
    return RESULT_OK;
}

static enum result write_upstream_json(struct pool_model *m, struct arena *arena)
{
    struct buf b;
    buf_init(&b, 64 * 1024);
    BUF_LIT(&b, "\"model\":");
    json_write_string(&b, m->upstream_name);
    m->upstream_json = arena_copy(arena, buf_slice(&b));
    enum result r = buf_result(&b)         ? buf_result(&b)
                    : m->upstream_json.ptr ? RESULT_OK
                                           : RESULT_NOMEM;
    buf_deinit(&b);
    return r;
}

static enum result open_model(struct pool *p, uint32_t i, uint32_t first,
                              const struct policy_image *image, uint16_t demo_port,
                              struct arena *arena, char diag[POOL_DIAG_BYTES])
{
    const struct image_model *def = image_model(image, (int32_t)i);
    const struct image_endpoint *urls = IMAGE_AT(image, def->endpoints, struct image_endpoint);
    struct pool_model *m = &p->models[i];
    m->name = image_text(image, def->name);
    m->upstream_name = image_text(image, def->upstream_name);
    m->endpoint_first = first;
    m->endpoint_count = def->endpoints.count;
    if (m->endpoint_count > POOL_ENDPOINTS_PER_MODEL_MAX) {
        snprintf(diag, POOL_DIAG_BYTES, "line %u: a model has at most %d endpoints", def->line,
                 POOL_ENDPOINTS_PER_MODEL_MAX);
        return RESULT_LIMIT;
    }
    for (uint32_t k = 0; k < m->endpoint_count; k++) {
        struct pool_endpoint *e = &p->endpoints[first + k];
        e->model = (int32_t)i;
        enum result r = open_endpoint(e, image, &urls[k], demo_port, diag);
        if (r)
            return r;
    }
    enum result r = write_upstream_json(m, arena);
    return r ? r : find_key(m, image, def, arena);
}

enum result pool_open(struct pool *p, const struct policy_image *image, uint16_t demo_port,
                      struct arena *arena, char diag[POOL_DIAG_BYTES])
{
    diag[0] = '\0';
    *p = (struct pool){.model_count = image->models.count};
    for (uint32_t i = 0; i < p->model_count; i++)
        p->endpoint_count += image_model(image, (int32_t)i)->endpoints.count;
    p->models = ARENA_ARRAY(arena, struct pool_model, p->model_count);
    p->endpoints = ARENA_ARRAY(arena, struct pool_endpoint, p->endpoint_count);
    if (!p->models || !p->endpoints)
        return RESULT_NOMEM;
    uint32_t first = 0;
    for (uint32_t i = 0; i < p->model_count; i++) {
        enum result r = open_model(p, i, first, image, demo_port, arena, diag);
        if (r)
            return r;
        first += p->models[i].endpoint_count;
    }
    return RESULT_OK;
}

enum result pool_loop_open(struct pool_loop *l, const struct pool *pool, struct http_client *client,
                           struct tls_context *client_tls, struct arena *arena)
{
    *l = (struct pool_loop){.pool = pool, .epoch = 1};
    l->seats = ARENA_ARRAY(arena, struct pool_seat, pool->endpoint_count);
    l->states = ARENA_ARRAY(arena, uint8_t, pool->model_count);
    if (!l->seats || !l->states)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < pool->endpoint_count; i++) {
        const struct pool_endpoint *e = &pool->endpoints[i];
        enum result r = http_client_origin(client, e->host, e->port, e->tls ? client_tls : NULL,
                                           &l->seats[i].origin);
        if (r)
            return r;
    }
    for (uint32_t i = 0; i < pool->model_count; i++)
        l->states[i] = pool->models[i].key_missing ? POOL_MODEL_NO_KEY : POOL_MODEL_UP;
    return RESULT_OK;
}

static bool in_service(const struct pool_seat *s, uint64_t now_us)
{
    return s->out_until_us <= now_us && !s->trying;
}

// Recomputes one model's state after one of its endpoints changed.
static void refresh_model(struct pool_loop *l, int32_t model, uint64_t now_us)
{
    const struct pool_model *m = &l->pool->models[model];
    if (m->key_missing)
        return;
    uint8_t state = POOL_MODEL_DOWN;
    for (uint32_t k = 0; k < m->endpoint_count; k++) {
        if (in_service(&l->seats[m->endpoint_first + k], now_us))
            state = POOL_MODEL_UP;
    }
    if (state != l->states[model]) {
        l->states[model] = state;
        l->epoch++;
    }
}

struct pool_view pool_loop_view(struct pool_loop *l, uint64_t now_us)
{
    if (l->next_return_us && l->next_return_us <= now_us) {
        l->next_return_us = 0;
        for (uint32_t i = 0; i < l->pool->endpoint_count; i++) {
            uint64_t until = l->seats[i].out_until_us;
            if (until > now_us && (!l->next_return_us || until < l->next_return_us))
                l->next_return_us = until;
        }
        for (uint32_t i = 0; i < l->pool->model_count; i++)
            refresh_model(l, (int32_t)i, now_us);
    }
    return (struct pool_view){
        .epoch = l->epoch, .states = l->states, .count = l->pool->model_count};
}

int32_t pool_pick(struct pool_loop *l, int32_t model, uint32_t tried, bool desperate,
                  uint64_t now_us)
{
    const struct pool_model *m = &l->pool->models[model];
    int32_t best = IMAGE_NONE, soonest = IMAGE_NONE;
    uint32_t start = m->endpoint_count > 1 ? l->turn++ % m->endpoint_count : 0;
    for (uint32_t n = 0; n < m->endpoint_count; n++) {
        uint32_t k = start + n < m->endpoint_count ? start + n : start + n - m->endpoint_count;
        if (tried >> k & 1)
            continue;
        int32_t at = (int32_t)(m->endpoint_first + k);
        const struct pool_seat *s = &l->seats[at];
        if (in_service(s, now_us)) {
            if (best == IMAGE_NONE || s->in_flight < l->seats[best].in_flight)
                best = at;
        } else if (soonest == IMAGE_NONE || s->out_until_us < l->seats[soonest].out_until_us) {
            soonest = at;
        }
    }
    return best != IMAGE_NONE ? best : desperate ? soonest : IMAGE_NONE;
}

void pool_begin(struct pool_loop *l, int32_t endpoint)
{
    struct pool_seat *s = &l->seats[endpoint];
    s->in_flight++;
    s->calls++;
    if (s->ejections)
        s->trying = true;
}

static void eject(struct pool_loop *l, struct pool_seat *s, uint64_t now_us)
{
    uint64_t ms = (uint64_t)POOL_EJECT_MS << (s->ejections < 5 ? s->ejections : 5);
    if (ms > POOL_EJECT_MAX_MS)
        ms = POOL_EJECT_MAX_MS;
    s->ejections++;
    s->failures = 0;
    s->out_until_us = now_us + ms * 1000;
    if (!l->next_return_us || s->out_until_us < l->next_return_us)
        l->next_return_us = s->out_until_us;
}

void pool_end(struct pool_loop *l, int32_t endpoint, enum pool_outcome outcome, uint64_t now_us)
{
    struct pool_seat *s = &l->seats[endpoint];
    bool was_trying = s->trying, was_out = s->out_until_us > now_us;
    s->in_flight--;
    s->trying = false;
    if (outcome == POOL_OK || outcome == POOL_LIMITED) {
        s->failures = 0;
        s->ejections = 0;
        s->out_until_us = 0;
    } else if (outcome == POOL_FAILED) {
        s->errors++;
        s->failures++;
        // Calls that were under way when it was put out tell of the same fault once more.
        if (was_out && !was_trying)
            s->failures = 0;
        else if (was_trying || s->failures >= POOL_FAILURES_TO_EJECT)
            eject(l, s, now_us);
    }
    if (was_trying || was_out || outcome == POOL_FAILED)
        refresh_model(l, l->pool->endpoints[endpoint].model, now_us);
}

uint32_t pool_retry_after_s(const struct pool_loop *l, int32_t model, uint64_t now_us)
{
    const struct pool_model *m = &l->pool->models[model];
    uint64_t soonest = UINT64_MAX;
    for (uint32_t k = 0; k < m->endpoint_count; k++) {
        uint64_t until = l->seats[m->endpoint_first + k].out_until_us;
        if (until < soonest)
            soonest = until;
    }
    if (soonest == UINT64_MAX || soonest <= now_us)
        return 1;
    return (uint32_t)((soonest - now_us + 999999) / 1000000);
}
