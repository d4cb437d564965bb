// The table of places of one policy, as the control side edits it.
#include <string.h>

#include "base/alloc.h"
#include "pool/pool.h"

const char *const pool_source_names[] = {
    [POOL_FROM_POLICY] = "policy",
    [POOL_FROM_DISCOVERY] = "discovery",
    [POOL_FROM_ADMIN] = "admin",
};

const char *const pool_place_state_names[] = {
    [POOL_PLACE_UP] = "up",
    [POOL_PLACE_TRYING] = "trying",
    [POOL_PLACE_OUT] = "out",
    [POOL_PLACE_LIMITED] = "limited",
    [POOL_PLACE_DRAINING] = "draining",
    [POOL_PLACE_GONE] = "gone",
    [POOL_PLACE_STANDBY] = "standby",
};

void pool_changed(struct pool *p)
{
    atomic_fetch_add_explicit(&p->changes, 1, memory_order_release);
}

static struct slice put(char **to, struct slice s)
{
    char *at = *to;
    if (s.len)
        memcpy(at, s.ptr, s.len);
    *to += s.len;
    return slice_make(at, s.len);
}

static enum result take_apart(const struct pool *p, const struct pool_add *add,
                              struct http_url *out)
{
    const struct pool_endpoint *e = &p->endpoints[add->endpoint];
    // What a name is looked up to is connected to under that name.
    if (add->source == POOL_FROM_POLICY || add->connect.len) {
        *out = (struct http_url){e->tls, e->host, add->port ? add->port : e->port, e->path};
        return RESULT_OK;
    }
    return add->url.len > POOL_URL_MAX ? RESULT_LIMIT : http_url_parse(add->url, out);
}

static uint32_t given(uint32_t own, uint32_t stated)
{
    return own ? own : stated;
}

static enum result make_site(struct pool *p, const struct pool_add *add, struct place *place,
                             struct pool_site **out)
{
    struct http_url url;
    enum result r = take_apart(p, add, &url);
    if (r)
        return r;
    const struct pool_endpoint *e = &p->endpoints[add->endpoint];
    size_t text = add->url.len + url.host.len + url.path.len + add->connect.len;
    struct pool_site *s = alloc_zeroed(1, sizeof *s + text);
    if (!s)
        return RESULT_NOMEM;
    s->place = place ? place_ref(place) : place_open(p->models[e->model].name, add->url);
    if (!s->place) {
        alloc_free(s);
        return RESULT_NOMEM;
    }
    char *to = s->text;
    s->endpoint = add->endpoint;
    s->source = add->source;
    s->weight_milli = given(given(add->weight_milli, e->def->weight_milli), 1000);
    s->slots = given(add->slots, e->def->slots);
    s->rate_min = given(add->rate_min, e->def->rate_min);
    s->rate_tok_min = given(add->rate_tok_min, e->def->rate_tok_min);
    s->rank = add->rank;
    s->url = put(&to, add->url);
    s->host = put(&to, url.host);
    s->path = put(&to, url.path);
    s->connect = put(&to, add->connect);
    s->port = url.port;
    s->tls = url.tls;
    s->next = p->sites;
    p->sites = s;
    p->site_count++;
    *out = s;
    return RESULT_OK;
}

static uint8_t mode_of(const struct pool *p, uint32_t slot)
{
    return atomic_load_explicit(&p->slots[slot].mode, memory_order_relaxed);
}

// The slot for a place that has none: the one it had, an unused one, or that of one that is gone and has nothing running.
static int32_t free_slot(struct pool *p, const struct pool_model *m, struct slice url)
{
    uint32_t used = atomic_load_explicit(&m->slot_count, memory_order_relaxed);
    int32_t best = -1;
    for (uint32_t i = m->slot_first; i < m->slot_first + used; i++) {
        const struct pool_site *s = pool_site(p, (int32_t)i);
        if (mode_of(p, i) != POOL_SLOT_GONE)
            continue;
        if (slice_eq(s->url, url))
            return (int32_t)i;
        // What a list names is remembered as taken out by hand; what was added by hand is named by nobody.
        if ((!p->slots[i].held || s->source == POOL_FROM_ADMIN) &&
            atomic_load_explicit(&s->place->in_flight, memory_order_relaxed) == 0 &&
            (best < 0 || s->retired_ms < pool_site(p, best)->retired_ms))
            best = (int32_t)i;
    }
    return used < m->slot_room ? (int32_t)(m->slot_first + used) : best;
}

static bool same_place(const struct pool_site *a, const struct pool_site *b)
{
    return a->endpoint == b->endpoint && a->source == b->source && a->port == b->port &&
           slice_eq(a->connect, b->connect);
}

// A list may change its numbers each time that it is read: they change where they stand.
static void take_numbers(struct pool_site *to, const struct pool_site *from)
{
    _Atomic uint32_t *const all[] = {&to->weight_milli, &to->slots, &to->rate_min,
                                     &to->rate_tok_min, &to->rank};
    const uint32_t now[] = {from->weight_milli, from->slots, from->rate_min, from->rate_tok_min,
                            from->rank};
    for (size_t i = 0; i < MERIT_COUNT(all); i++)
        atomic_store_explicit(all[i], now[i], memory_order_relaxed);
}

static void drop_site(struct pool *p, struct pool_site **link)
{
    struct pool_site *s = *link;
    *link = s->next;
    p->site_count--;
    place_unref(s->place);
    alloc_free(s);
}

enum result pool_add(struct pool *p, const struct pool_add *add, uint64_t now_ms, uint32_t *slot)
{
    struct pool_model *m = &p->models[p->endpoints[add->endpoint].model];
    int32_t model = p->endpoints[add->endpoint].model;
    bool fresh = add->source == POOL_FROM_POLICY;
    // The place that a looked-up name has at first is replaced by what is found.
    for (uint32_t i = 0; !fresh && i < p->endpoint_count; i++) {
        if (p->endpoints[i].def->discovery == IMAGE_DISCOVER_NONE &&
            slice_eq(p->endpoints[i].url, add->url))
            return RESULT_EXISTS;
    }
    int32_t at = fresh ? -1 : pool_find(p, model, add->url);
    if (at < 0)
        at = free_slot(p, m, add->url);
    if (at < 0 || p->site_count >= POOL_SITES_MAX)
        return RESULT_LIMIT;
    struct pool_slot *to = &p->slots[at];
    struct pool_site *old = atomic_load_explicit(&to->site, memory_order_relaxed), *site;
    bool same = old && slice_eq(old->url, add->url);
    enum result r = make_site(p, add, same ? old->place : NULL, &site);
    if (r)
        return r;
    *slot = (uint32_t)at;
    if (add->rank)
        atomic_store_explicit(&m->ranked, true, memory_order_release);
    if (same && same_place(old, site)) {
        take_numbers(old, site);
        drop_site(p, &p->sites);
        old->retired_ms = 0;
    } else {
        if (old)
            old->retired_ms = now_ms ? now_ms : 1;
        atomic_store_explicit(&to->site, site, memory_order_release);
        atomic_fetch_add_explicit(&to->generation, 1, memory_order_release);
    }
    if (!same)
        to->held = to->leaving = false;
    if (!same || mode_of(p, *slot) == POOL_SLOT_GONE)
        atomic_store_explicit(&to->mode, POOL_SLOT_SERVES, memory_order_release);
    uint32_t used = atomic_load_explicit(&m->slot_count, memory_order_relaxed);
    if (*slot == m->slot_first + used)
        atomic_store_explicit(&m->slot_count, used + 1, memory_order_release);
    pool_changed(p);
    return RESULT_OK;
}

void pool_set_mode(struct pool *p, uint32_t slot, enum pool_slot_mode mode)
{
    atomic_store_explicit(&p->slots[slot].mode, (uint8_t)mode, memory_order_release);
    pool_changed(p);
}

void pool_remove(struct pool *p, uint32_t slot, uint64_t now_ms)
{
    struct pool_site *s = atomic_load_explicit(&p->slots[slot].site, memory_order_relaxed);
    s->retired_ms = now_ms ? now_ms : 1;
    pool_set_mode(p, slot, POOL_SLOT_GONE);
}

int32_t pool_find(const struct pool *p, int32_t model, struct slice url)
{
    const struct pool_model *m = &p->models[model];
    uint32_t used = atomic_load_explicit(&m->slot_count, memory_order_relaxed);
    for (uint32_t i = m->slot_first; i < m->slot_first + used; i++) {
        if (mode_of(p, i) != POOL_SLOT_GONE && slice_eq(pool_site(p, (int32_t)i)->url, url))
            return (int32_t)i;
    }
    return -1;
}

void pool_sweep(struct pool *p, uint64_t now_ms)
{
    for (struct pool_site **at = &p->sites; *at;) {
        struct pool_site *s = *at;
        bool held = false;
        for (uint32_t i = 0; i < p->slot_room && !held; i++)
            held = atomic_load_explicit(&p->slots[i].site, memory_order_relaxed) == s;
        if (!held && s->retired_ms && s->retired_ms + POOL_SITE_KEPT_MS <= now_ms &&
            atomic_load_explicit(&s->place->in_flight, memory_order_relaxed) == 0)
            drop_site(p, at);
        else
            at = &s->next;
    }
}

void pool_inherit(struct pool *p, const struct pool *old, uint64_t now_ms)
{
    for (struct pool_site *s = p->sites; s; s = s->next) {
        for (const struct pool_site *o = old->sites; o; o = o->next) {
            if (!place_is(o->place, s->place->model, s->place->url))
                continue;
            struct place *kept = place_ref(o->place);
            place_unref(s->place);
            s->place = kept;
            break;
        }
        // Somebody has edited something: perhaps the key.
        struct health *h = &s->place->health;
        if (health_is_denial((enum health_why)atomic_load_explicit(&h->why, memory_order_relaxed)))
            health_release(h, now_ms);
    }
}

void pool_close(struct pool *p)
{
    while (p->sites)
        drop_site(p, &p->sites);
}
