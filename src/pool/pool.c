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

// "_vllm._tcp.pool.example" is looked up, and "pool.example" is who answers: what Host says and TLS demands (RFC 6125), because
// where the record points to is only DNS's word.
static bool take_service(struct slice *host, struct slice *service)
{
    struct slice rest = *host, label;
    *service = *host;
    for (int i = 0; i < 2; i++)
        if (!slice_split(&rest, '.', &label) || label.len < 2 || label.ptr[0] != '_')
            return false;
    *host = rest;
    return rest.len > 0;
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
    if (def->discovery == IMAGE_DISCOVER_FILE)
        return RESULT_OK;
    bool parsed = http_url_parse(e->url, &url) == RESULT_OK;
    if (parsed && def->discovery == IMAGE_DISCOVER_SRV)
        parsed = take_service(&url.host, &e->service);
    if (!parsed) {
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
        e->in_model = k;
        e->def = &urls[k];
        e->index = (int32_t)(e->def - IMAGE_AT(image, image->endpoints, struct image_endpoint));
        enum result r = open_endpoint(e, image, &urls[k], demo_port, diag);
        if (r)
            return r;
    }
    enum result r = write_upstream_json(m, arena);
    return r ? r : find_key(m, image, def, arena);
}

// How many numbers each model gets: what it states and room for more, less of the latter where all together would be too
// many.
static enum result share_slots(struct pool *p, char diag[POOL_DIAG_BYTES])
{
    uint32_t stated = p->endpoint_count, more = 0;
    for (uint32_t i = 0; i < p->model_count; i++)
        more += p->models[i].slot_room;
    if (stated > POOL_PLACES_MAX) {
        snprintf(diag, POOL_DIAG_BYTES, "a policy has at most %d endpoints", POOL_PLACES_MAX);
        return RESULT_LIMIT;
    }
    uint32_t left = POOL_PLACES_MAX - stated, at = 0;
    for (uint32_t i = 0; i < p->model_count; i++) {
        struct pool_model *m = &p->models[i];
        if (more > left)
            m->slot_room = (uint32_t)((uint64_t)m->slot_room * left / more);
        m->slot_room += m->endpoint_count;
        m->slot_first = p->first[i] = at;
        at += m->slot_room;
    }
    p->first[p->model_count] = p->slot_room = at;
    return RESULT_OK;
}

static enum result place_stated(struct pool *p, char diag[POOL_DIAG_BYTES])
{
    for (uint32_t i = 0; i < p->endpoint_count; i++) {
        const struct pool_endpoint *e = &p->endpoints[i];
        uint32_t slot;
        struct pool_add add = {.endpoint = (int32_t)i, .url = e->url};
        if (e->def->discovery == IMAGE_DISCOVER_FILE || e->def->discovery == IMAGE_DISCOVER_SRV)
            continue;
        // Of a name that is looked up there is a place from the start, so that requests need not wait for the answer.
        enum result r = pool_add(p, &add, 0, &slot);
        if (r) {
            if (r == RESULT_LIMIT)
                snprintf(diag, POOL_DIAG_BYTES, "line %u: the pool is full", e->def->line);
            return r;
        }
        if (e->def->maintenance)
            pool_set_mode(p, slot, POOL_SLOT_DRAINING);
    }
    return RESULT_OK;
}

enum result pool_open(struct pool *p, const struct policy_image *image, uint16_t demo_port,
                      struct arena *arena, char diag[POOL_DIAG_BYTES])
{
    diag[0] = '\0';
    *p = (struct pool){.image = image, .model_count = image->models.count};
    for (uint32_t i = 0; i < p->model_count; i++)
        p->endpoint_count += image_model(image, (int32_t)i)->endpoints.count;
    p->models = ARENA_ARRAY(arena, struct pool_model, p->model_count);
    p->endpoints = ARENA_ARRAY(arena, struct pool_endpoint, p->endpoint_count);
    p->first = ARENA_ARRAY(arena, uint32_t, p->model_count + 1);
    if (!p->models || !p->endpoints || !p->first)
        return RESULT_NOMEM;
    uint32_t first = 0;
    for (uint32_t i = 0; i < p->model_count; i++) {
        enum result r = open_model(p, i, first, image, demo_port, arena, diag);
        if (r)
            return r;
        struct pool_model *m = &p->models[i];
        m->slot_room = POOL_SPARE_PER_MODEL;
        for (uint32_t k = 0; k < m->endpoint_count; k++) {
            if (p->endpoints[first + k].def->discovery != IMAGE_DISCOVER_NONE)
                m->slot_room = POOL_PLACES_PER_MODEL_MAX - m->endpoint_count;
        }
        first += m->endpoint_count;
    }
    enum result r = share_slots(p, diag);
    if (r)
        return r;
    p->slots = ARENA_ARRAY(arena, struct pool_slot, p->slot_room);
    return p->slots ? place_stated(p, diag) : RESULT_NOMEM;
}
