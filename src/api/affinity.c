#include "api/affinity.h"

#include <stdatomic.h>
#include <string.h>

#include "api/request.h"
#include "base/alloc.h"
#include "base/hash.h"
#include "base/rng.h"
#include "pool/duals.h"
#include "pool/prefix.h"
#include "pool/sessions.h"

// What a place was when its part of an index was filled: another site or a restart empties it.
struct affinity_place {
    _Atomic uint64_t was;
    _Atomic float slot_nusd_s; // pool/duals.h
};

enum { SESSION_ROWS = 8192, SWEEP_MS = 5000, PRICE_MS = 1000 };

struct affinity {
    const struct pool *pool;
    struct hash_key key;       // of sessions' names
    struct sessions *sessions; // NULL: no model has a choice of places
    struct prefix **prefixes;  // per model; NULL: it has one place
    struct affinity_place *places;
    bool any; // some model has an index
    _Atomic uint64_t swept_ms, priced_ms;
};

enum result affinity_open(struct affinity **out, const struct pool *pool)
{
    *out = NULL;
    struct affinity *a = alloc_zeroed(1, sizeof *a);
    if (!a)
        return RESULT_NOMEM;
    a->pool = pool;
    a->prefixes = alloc_zeroed(pool->model_count + 1, sizeof *a->prefixes);
    a->places = alloc_zeroed(pool->slot_room + 1, sizeof *a->places);
    enum result r = a->prefixes && a->places ? rng_secret(&a->key, sizeof a->key) : RESULT_NOMEM;
    if (!r)
        r = sessions_open(&a->sessions, SESSION_ROWS);
    for (uint32_t i = 0; i < pool->model_count && !r; i++) {
        const struct pool_model *m = &pool->models[i];
        bool discovered = false;
        for (uint32_t k = 0; k < m->endpoint_count; k++)
            discovered |=
                pool->endpoints[m->endpoint_first + k].def->discovery != IMAGE_DISCOVER_NONE;
        if (m->endpoint_count < 2 && !discovered)
            continue;
        uint32_t room =
            m->slot_room < POOL_PLACES_PER_MODEL_MAX ? m->slot_room : POOL_PLACES_PER_MODEL_MAX;
        // Room for what the endpoints hold; places that are added share it.
        uint64_t tok =
            (uint64_t)(m->endpoint_count < 4 ? 4 : m->endpoint_count) * PREFIX_CAPACITY_TOK;
        r = prefix_open(&a->prefixes[i], room, tok);
        a->any = true;
    }
    if (r)
        affinity_close(a);
    else
        *out = a;
    return r;
}

void affinity_close(struct affinity *a)
{
    if (!a)
        return;
    for (uint32_t i = 0; a->prefixes && i < a->pool->model_count; i++)
        prefix_close(a->prefixes[i]);
    sessions_close(a->sessions);
    alloc_free(a->prefixes);
    alloc_free(a->places);
    alloc_free(a);
}

// ---- over a reload

// Of each place of the old pool the number in the new one; -1: it went away.
static void map_places(const struct pool *p, const struct pool *old, int32_t *to)
{
    for (uint32_t i = 0; i < old->slot_room; i++) {
        const struct pool_site *was = pool_site(old, (int32_t)i);
        to[i] = -1;
        for (uint32_t k = 0; was && k < p->slot_room && to[i] < 0; k++) {
            const struct pool_site *is = pool_site(p, (int32_t)k);
            if (is && is->place == was->place)
                to[i] = (int32_t)k;
        }
    }
}

static uint64_t stamp_of(const struct pool_site *site, uint64_t restarts)
{
    return 1 + restarts + (site->place->key << 32);
}

static void carry_place(struct affinity *a, int32_t to, const struct affinity *old, uint32_t from)
{
    const struct affinity_place *was = &old->places[from];
    float price = atomic_load_explicit(&was->slot_nusd_s, memory_order_relaxed);
    atomic_store_explicit(&a->places[to].slot_nusd_s, price, memory_order_relaxed);
    // With the restarts that were seen, so that one that was not yet is.
    atomic_store_explicit(&a->places[to].was, atomic_load_explicit(&was->was, memory_order_relaxed),
                          memory_order_relaxed);
}

static void carry_prefix(struct affinity *a, uint32_t m, const struct affinity *old, uint32_t from,
                         const int32_t *to)
{
    int32_t columns[POOL_PLACES_PER_MODEL_MAX];
    const struct pool_model *is = &a->pool->models[m], *was = &old->pool->models[from];
    if (!a->prefixes[m] || !old->prefixes[from])
        return;
    for (uint32_t c = 0; c < POOL_PLACES_PER_MODEL_MAX; c++) {
        int32_t at = c < was->slot_room ? to[was->slot_first + c] : -1;
        columns[c] = at < 0 ? -1 : at - (int32_t)is->slot_first;
    }
    prefix_inherit(a->prefixes[m], old->prefixes[from], columns);
}

void affinity_inherit(struct affinity *a, const struct affinity *old, uint64_t now_ms)
{
    if (!a || !old)
        return;
    const struct pool *p = a->pool, *was = old->pool;
    int32_t *place = alloc_zeroed(was->slot_room + 1, sizeof *place);
    int32_t *model = alloc_zeroed(was->model_count + 1, sizeof *model);
    if (!place || !model)
        goto out;
    map_places(p, was, place);
    for (uint32_t i = 0; i < was->slot_room; i++)
        if (place[i] >= 0)
            carry_place(a, place[i], old, i);
    for (uint32_t i = 0; i < was->model_count; i++) {
        model[i] = -1;
        for (uint32_t m = 0; m < p->model_count && model[i] < 0; m++)
            if (slice_eq(p->models[m].name, was->models[i].name))
                model[i] = (int32_t)m;
        if (model[i] >= 0)
            carry_prefix(a, (uint32_t)model[i], old, i, place);
    }
    a->key = old->key;
    sessions_inherit(a->sessions, old->sessions, place, was->slot_room, model, was->model_count,
                     now_ms);
out:
    alloc_free(place);
    alloc_free(model);
}

static uint64_t now_ms(const struct request *r)
{
    return loop_now_us(r->g->loop) / 1000;
}

// Of one caller: the caller's hash goes into the key, so that equal names of two callers are two sessions and nobody finds
// another's by guessing its name. 0: it has none.
static uint64_t session_name(const struct affinity *a, struct slice caller, struct slice session)
{
    const struct hash_key key = {a->key.k0 ^ hash_sip13(&a->key, caller), a->key.k1};
    uint64_t name = session.len ? hash_sip13(&key, session) : 0;
    return session.len && !name ? 1 : name;
}

// ---- before deciding

static void take_prompt(struct request *r)
{
    const struct json *j = &r->openai.json;
    uint32_t tools = json_get(j, 0, SLICE("tools"), NULL),
             messages = json_get(j, 0, SLICE("messages"), NULL),
             salt = json_get(j, 0, SLICE("cache_salt"), NULL);
    struct slice pieces[2];
    uint32_t count = 0;
    if (tools != JSON_NONE)
        pieces[count++] = json_raw(j, tools);
    if (messages != JSON_NONE)
        pieces[count++] = json_raw(j, messages);
    r->affinity.prompt = arena_alloc(r->x->arena, sizeof *r->affinity.prompt);
    if (r->affinity.prompt)
        prefix_prompt(r->affinity.prompt, salt == JSON_NONE ? SLICE_EMPTY : json_raw(j, salt),
                      pieces, count, r->work.input_tok);
}

// Another site under the number, or the same one started again: what it held is gone.
static void see_restarts(struct affinity *a, const struct pool_view *v, uint32_t model)
{
    for (uint32_t i = v->first[model]; i < v->end[model]; i++) {
        const struct pool_slot *slot = &a->pool->slots[i];
        const struct pool_site *site = atomic_load_explicit(&slot->site, memory_order_acquire);
        if (!site)
            continue;
        uint64_t restarts =
            atomic_load_explicit(&site->place->gauges.restarts, memory_order_relaxed);
        // By what it is, and not by its turn: new attributes make no cache cold.
        uint64_t is = stamp_of(site, restarts);
        uint64_t was = atomic_load_explicit(&a->places[i].was, memory_order_relaxed);
        if (was != is &&
            atomic_compare_exchange_strong_explicit(&a->places[i].was, &was, is,
                                                    memory_order_relaxed, memory_order_relaxed) &&
            was) {
            if (a->prefixes[model])
                prefix_forget(a->prefixes[model], i - v->first[model]);
            sessions_forget(a->sessions, (int32_t)i);
        }
        if (v->places[i].kv_tok && a->prefixes[model])
            prefix_capacity(a->prefixes[model], i - v->first[model], v->places[i].kv_tok);
    }
}

// The request brings results of tools: the model that asked for them has to read them.
static bool in_tool_loop(const struct work *w)
{
    for (uint32_t i = w->message_count; i > 0; i--) {
        const struct work_message *m = &w->messages[i - 1];
        if (m->role == WORK_TOOL)
            return true;
        if (m->role == WORK_ASSISTANT || (m->role == WORK_USER && !m->synthetic))
            return false;
    }
    return false;
}

static void see_session(struct request *r, const struct affinity *a)
{
    struct pool_view *v = &r->pool;
    struct slice caller = r->key ? r->key->id : SLICE_EMPTY;
    r->affinity.session = session_name(a, caller, r->work.session);
    r->affinity.session_place = -1;
    struct session_seen seen = sessions_look(a->sessions, r->affinity.session, now_ms(r));
    v->session_model = seen.model;
    v->session_locked = seen.model >= 0 && in_tool_loop(&r->work);
    if (seen.place < 0 || (uint32_t)seen.place >= a->pool->slot_room)
        return;
    // Where it drains, or is gone, the session looks for another place, and with its model.
    uint8_t state = v->places[seen.place].state;
    if (state == POOL_PLACE_DRAINING || state == POOL_PLACE_GONE)
        return;
    v->session_place = r->affinity.session_place = seen.place;
    // Not more than is sent again: a conversation that was cut begins anew.
    v->session_tok = seen.tok < r->work.input_tok ? seen.tok : r->work.input_tok;
    r->affinity.session_tok = v->session_tok;
}

// A session that has no place yet does not follow the others to where their common head is warm.
static void weigh(struct request *r, const struct affinity *a, uint32_t model, uint32_t *tok)
{
    const struct pool_view *v = &r->pool;
    sessions_weigh(a->sessions, r->affinity.session, now_ms(r),
                   (float)a->pool->image->dispatch.second_nusd, r->epoch->pool.rows,
                   v->first[model], v->end[model], tok);
    for (uint32_t i = v->first[model]; i < v->end[model]; i++)
        r->epoch->pool.rows[i].slot_nusd_s +=
            atomic_load_explicit(&a->places[i].slot_nusd_s, memory_order_relaxed);
}

// Whether `period_ms` have passed since `*last`; for one loop only, and with how many.
static bool is_due(_Atomic uint64_t *last, uint64_t ms, uint64_t period_ms, uint64_t *passed_ms)
{
    uint64_t was = atomic_load_explicit(last, memory_order_relaxed);
    *passed_ms = ms - was;
    return ms > was + period_ms && atomic_compare_exchange_strong_explicit(
                                       last, &was, ms, memory_order_relaxed, memory_order_relaxed);
}

// What is done now and then, by whichever loop comes by: sessions that are over stop to count for their places, and the shadow
// prices of slots move.
static void tend(struct affinity *a, const struct pool_view *v, uint64_t ms)
{
    uint64_t passed;
    float second = (float)a->pool->image->dispatch.second_nusd;
    if (is_due(&a->swept_ms, ms, SWEEP_MS, &passed))
        sessions_sweep(a->sessions, ms);
    if (!is_due(&a->priced_ms, ms, PRICE_MS, &passed))
        return;
    for (uint32_t m = 0; m < v->count; m++)
        for (uint32_t i = v->first[m]; i < v->end[m]; i++) {
            _Atomic float *at = &a->places[i].slot_nusd_s;
            float was = atomic_load_explicit(at, memory_order_relaxed);
            float is = duals_step(was, &v->places[i], second, (float)passed / 1000);
            if (is != was)
                atomic_store_explicit(at, is, memory_order_relaxed);
        }
}

static void price_slots(struct request *r, const struct affinity *a)
{
    const struct pool_view *v = &r->pool;
    for (uint32_t m = 0; m < v->count; m++)
        for (uint32_t i = v->first[m]; i < v->end[m]; i++)
            r->epoch->pool.rows[i].slot_nusd_s =
                atomic_load_explicit(&a->places[i].slot_nusd_s, memory_order_relaxed);
}

// To the first token, as a caller whose key may steer asks for; anything else is no deadline.
static uint32_t first_deadline_ms(const struct request *r)
{
    uint64_t ms = 0;
    struct slice header = SLICE_EMPTY;
    if (r->key && (r->key->scopes & KEY_SCOPE_ROUTE_HEADERS))
        header = http_header_get(r->x->head, "x-merit-slo-ttft-ms");
    if (!header.ptr || !slice_u64(header, &ms) || ms > UINT32_MAX)
        return 0;
    return (uint32_t)ms;
}

void affinity_view(struct request *r)
{
    struct affinity *a = r->epoch->serving->affinity;
    struct pool_view *v = &r->pool;
    uint32_t *tok = NULL;
    if (!a || !v->places)
        return;
    v->deadline_ms = first_deadline_ms(r);
    for (uint32_t m = 0; m < v->count; m++)
        see_restarts(a, v, m);
    tend(a, v, now_ms(r));
    price_slots(r, a);
    see_session(r, a);
    if (!a->any)
        return;
    if (!r->affinity.prompt)
        take_prompt(r);
    if (r->affinity.prompt)
        tok = arena_zeroed(r->x->arena, 2 * (size_t)a->pool->slot_room, sizeof *tok);
    if (!tok)
        return;
    uint32_t *held = tok + a->pool->slot_room;
    for (uint32_t m = 0; m < v->count; m++) {
        if (!a->prefixes[m] || v->end[m] == v->first[m])
            continue;
        uint32_t first = v->first[m], count = v->end[m] - first;
        prefix_match(a->prefixes[m], r->affinity.prompt, count, held + first);
        memcpy(tok + first, held + first, count * sizeof *tok);
        weigh(r, a, m, tok);
    }
    v->prefix_tok = tok;
    r->affinity.held_tok = held;
}

// ---- afterwards

uint32_t affinity_hit(const struct request *r, int32_t place)
{
    uint32_t tok = r->affinity.held_tok ? r->affinity.held_tok[place] : 0;
    if (r->affinity.session && place == r->affinity.session_place && r->affinity.session_tok > tok)
        tok = r->affinity.session_tok;
    return tok < r->work.input_tok ? tok : r->work.input_tok;
}

void affinity_sent(struct request *r, int32_t model, int32_t place)
{
    struct affinity *a = r->epoch->serving->affinity;
    if (a && a->prefixes[model] && r->affinity.prompt)
        prefix_sent(a->prefixes[model], r->affinity.prompt,
                    (uint32_t)place - a->pool->models[model].slot_first);
    if (a && r->affinity.session)
        sessions_sent(a->sessions, r->affinity.session, place, model, r->work.input_tok, now_ms(r));
}

static uint32_t tokens(uint64_t v)
{
    return v < UINT32_MAX ? (uint32_t)v : UINT32_MAX;
}

void affinity_came(struct request *r, int32_t model, int32_t place, bool known, uint64_t input_tok,
                   uint64_t cached_tok, uint64_t output_tok)
{
    struct affinity *a = r->epoch->serving->affinity;
    if (!a)
        return;
    if (known && a->prefixes[model])
        prefix_came(a->prefixes[model], (uint32_t)place - a->pool->models[model].slot_first,
                    affinity_hit(r, place), tokens(input_tok), tokens(cached_tok));
    // The answer's own tokens are in the place's cache, too, and come back in the next prompt.
    if (r->affinity.session && known)
        sessions_sent(a->sessions, r->affinity.session, place, model,
                      tokens(input_tok + output_tok), now_ms(r));
}
