// One loop's view of the pool, and its calls.
#include <assert.h>
#include <math.h>
#include <string.h>

#include "pool/others.h"
#include "pool/pool.h"
#include "pool/telemetry.h"

static uint64_t ms(uint64_t us)
{
    return us / 1000;
}

static uint32_t load32(const _Atomic uint32_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

static float loadf(const _Atomic float *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

static uint8_t mode_of(const struct pool_loop *l, int32_t place)
{
    return atomic_load_explicit(&l->pool->slots[place].mode, memory_order_acquire);
}

static struct pool_model *model_of(const struct pool_loop *l, const struct pool_site *s)
{
    return &l->pool->models[l->pool->endpoints[s->endpoint].model];
}

enum result pool_loop_open(struct pool_loop *l, struct pool *pool, struct http_client *client,
                           struct tls_context *client_tls, struct arena *arena)
{
    *l = (struct pool_loop){.pool = pool, .client = client, .client_tls = client_tls};
    // Loops that draw alike would choose alike. Nothing hangs on its being hard to guess.
    l->seed = (uint64_t)(uintptr_t)l * UINT64_C(0x9e3779b97f4a7c15);
    l->seats = ARENA_ARRAY(arena, struct pool_seat, pool->slot_room);
    l->rows = ARENA_ARRAY(arena, struct pool_place, pool->slot_room);
    l->end = ARENA_ARRAY(arena, uint32_t, pool->model_count + 1);
    l->states = ARENA_ARRAY(arena, uint8_t, pool->model_count + 1);
    if (!l->seats || !l->rows || !l->end || !l->states)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < pool->slot_room; i++)
        l->rows[i].state = POOL_PLACE_GONE;
    return RESULT_OK;
}

enum result pool_origin(struct pool_loop *l, int32_t place, struct http_origin **out)
{
    struct pool_seat *seat = &l->seats[place];
    uint32_t generation =
        atomic_load_explicit(&l->pool->slots[place].generation, memory_order_acquire);
    if (seat->generation != generation) {
        const struct pool_site *s = pool_site(l->pool, place);
        enum result r = http_client_origin_at(l->client, s->host, s->port, s->connect,
                                              s->tls ? l->client_tls : NULL, &seat->origin);
        if (r)
            return r;
        seat->generation = generation;
    }
    *out = seat->origin;
    return RESULT_OK;
}

// --- rows

static bool is_full(const struct pool_site *s)
{
    return s->slots && load32(&s->place->in_flight) >= s->slots;
}

static uint64_t rates_until_us(const struct pool_site *s, uint64_t now_us)
{
    uint64_t a = rate_until_us(&s->place->requests, s->rate_min, now_us);
    uint64_t b = rate_until_us(&s->place->tokens, s->rate_tok_min, now_us);
    return a > b ? a : b;
}

static bool is_limited(const struct pool_site *s, uint64_t now_us)
{
    return atomic_load_explicit(&s->place->limited_until_ms, memory_order_relaxed) > ms(now_us) ||
           ((s->rate_min || s->rate_tok_min) && rates_until_us(s, now_us) > now_us);
}

static enum pool_place_state state_of(const struct pool_loop *l, int32_t number,
                                      const struct pool_site *s, uint64_t now_us)
{
    uint8_t mode = mode_of(l, number);
    if (mode != POOL_SLOT_SERVES)
        return mode == POOL_SLOT_DRAINING ? POOL_PLACE_DRAINING : POOL_PLACE_GONE;
    struct health_seen h = health_look(&s->place->health);
    if (h.state != HEALTH_UP && h.until_ms > ms(now_us))
        return h.state == HEALTH_OUT ? POOL_PLACE_OUT : POOL_PLACE_TRYING;
    return is_limited(s, now_us) ? POOL_PLACE_LIMITED : POOL_PLACE_UP;
}

// What was scraped, moved on by what Merit has begun and ended there since. A call that ends lets one that waited begin to
// run, so the queue shrinks first; one that begins runs when nothing waits and there is room.
static void fill_load(struct pool_place *row, const struct place *p, float ratio)
{
    const struct place_gauges *g = &p->gauges;
    float queue = loadf(&g->queue), running = loadf(&g->running);
    row->kv_use = loadf(&g->kv_use);
    if (queue < 0 || running < 0) {
        row->queue = queue;
        row->running = running;
        return;
    }
    uint32_t then = load32(&g->ends), ended = load32(&p->ends) - then;
    uint32_t began = row->in_flight + ended - load32(&g->in_flight);
    others_move(row, queue, running, began < UINT32_MAX / 2 ? began : 0, ended, ratio);
}

// Where nobody waits by the engine's own word calls without a first byte are being computed: what that takes is no line.
static void fill_drain(struct pool_place *row, const struct place *p, float ratio, uint64_t now_us)
{
    bool waits = row->queue >= 0 ? row->queue >= 1 : row->wait_tok > 0;
    float own = waits ? place_drain_tok_s(p, now_us) : -1;
    row->drain_tok_s = own > 0 ? own * ratio : -1;
}

static void fill_row(struct pool_loop *l, int32_t number, float ratio, uint64_t now_us)
{
    struct pool_place *row = &l->rows[number];
    const struct pool_site *s = pool_site(l->pool, number);
    const struct place *p = s->place;
    const struct place_gauges *g = &p->gauges;
    row->endpoint = l->pool->endpoints[s->endpoint].index;
    row->model = l->pool->endpoints[s->endpoint].model;
    row->state = (uint8_t)state_of(l, number, s, now_us);
    row->weight = (float)s->weight_milli / 1000;
    row->in_flight = load32(&p->in_flight);
    row->in_flight_tok = load32(&p->in_flight_tok);
    row->wait_tok = load32(&p->wait_tok);
    row->slots = s->slots ? s->slots : load32(&g->slots);
    row->prefill_tok_s = loadf(&p->prefill_tok_s);
    row->first_ms = loadf(&p->first_ms);
    row->each_ms = loadf(&p->each_ms);
    row->carbon_g_kwh = loadf(&p->carbon_g_kwh);
    row->carbon_stale = atomic_load_explicit(&p->carbon_stale, memory_order_relaxed);
    row->stale = atomic_load_explicit(&g->fresh_ms, memory_order_relaxed) <= ms(now_us);
    row->prefix_tok = 0;
    if (row->stale) {
        row->queue = row->running = row->kv_use = -1;
        row->kv_tok = 0;
        row->lora_loaded = row->lora_room = false;
        fill_drain(row, p, ratio, now_us);
        return;
    }
    row->kv_tok = load32(&g->block_tok) * load32(&g->blocks);
    row->lora_loaded = atomic_load_explicit(&g->lora_loaded, memory_order_relaxed);
    row->lora_room = atomic_load_explicit(&g->lora_room, memory_order_relaxed);
    fill_load(row, p, ratio);
    fill_drain(row, p, ratio, now_us);
}

// How much of a model's load is not Merit's own, by the scrapes that count.
static float ratio_of(const struct pool_loop *l, uint32_t first, uint32_t end, uint64_t now_us)
{
    float scraped = 0, own = 0;
    for (uint32_t i = first; i < end; i++) {
        const struct place_gauges *g = &pool_site(l->pool, (int32_t)i)->place->gauges;
        float queue = loadf(&g->queue), running = loadf(&g->running);
        if (atomic_load_explicit(&g->fresh_ms, memory_order_relaxed) <= ms(now_us) || queue < 0 ||
            running < 0)
            continue;
        scraped += queue + running;
        own += (float)load32(&g->in_flight);
    }
    return others_ratio(scraped, own);
}

// What was learned of a place that nobody has called for a while is less and less certain. So that one that was slow and no
// longer is gets to show it, the rows of idle places move toward the best of the model's others: not for HOPE_AFTER_MS, wholly at
// HOPE_ALL_MS. With the next call there hope is over until it has ended and HOPE_AFTER_MS have passed again, so a place that stays
// slow gets one call in that time at most for it. Rows say what was reckoned with, so a record's replay has it, too.
enum { HOPE_AFTER_MS = 10000, HOPE_ALL_MS = 30000 };

static float hope_of(const struct place *p, const struct pool_place *row, uint64_t now_ms)
{
    uint64_t last = atomic_load_explicit(&p->last_call_ms, memory_order_relaxed);
    uint64_t sign = atomic_load_explicit(&p->last_sign_ms, memory_order_relaxed);
    last = sign > last ? sign : last;
    if (row->in_flight || !last || now_ms <= last + HOPE_AFTER_MS)
        return 0;
    uint64_t idle = now_ms - last - HOPE_AFTER_MS, all = HOPE_ALL_MS - HOPE_AFTER_MS;
    return idle < all ? (float)idle / (float)all : 1;
}

static float toward(float own, float best, float hope)
{
    return own >= 0 && best < own ? own + hope * (best - own) : own;
}

static void hope(struct pool_loop *l, uint32_t first, uint32_t end, uint64_t now_us)
{
    float best_tok = INFINITY, best_first = INFINITY, best_each = INFINITY, h;
    bool any = false;
    for (uint32_t i = first; i < end; i++) {
        const struct pool_place *row = &l->rows[i];
        bool idle = hope_of(pool_site(l->pool, (int32_t)i)->place, row, ms(now_us)) > 0;
        any |= idle;
        if (idle || row->state != POOL_PLACE_UP)
            continue;
        if (row->prefill_tok_s > 0 && 1 / row->prefill_tok_s < best_tok)
            best_tok = 1 / row->prefill_tok_s;
        if (row->first_ms >= 0 && row->first_ms < best_first)
            best_first = row->first_ms;
        if (row->each_ms >= 0 && row->each_ms < best_each)
            best_each = row->each_ms;
    }
    for (uint32_t i = first; any && i < end; i++) {
        struct pool_place *row = &l->rows[i];
        if ((h = hope_of(pool_site(l->pool, (int32_t)i)->place, row, ms(now_us))) <= 0)
            continue;
        row->first_ms = toward(row->first_ms, best_first, h);
        row->each_ms = toward(row->each_ms, best_each, h);
        if (row->prefill_tok_s > 0)
            row->prefill_tok_s = 1 / toward(1 / row->prefill_tok_s, best_tok, h);
    }
}

// Places of an endpoint wait while one of a lower rank has room.
static void stand_by(struct pool_loop *l, uint32_t first, uint32_t end)
{
    uint32_t least[POOL_ENDPOINTS_PER_MODEL_MAX];
    memset(least, 0xff, sizeof least);
    for (uint32_t i = first; i < end; i++) {
        const struct pool_site *s = pool_site(l->pool, (int32_t)i);
        uint32_t *at = &least[l->pool->endpoints[s->endpoint].in_model];
        if (l->rows[i].state == POOL_PLACE_UP && !is_full(s) && s->rank < *at)
            *at = s->rank;
    }
    for (uint32_t i = first; i < end; i++) {
        const struct pool_site *s = pool_site(l->pool, (int32_t)i);
        if (l->rows[i].state == POOL_PLACE_UP &&
            s->rank > least[l->pool->endpoints[s->endpoint].in_model])
            l->rows[i].state = POOL_PLACE_STANDBY;
    }
}

static uint8_t fill_model(struct pool_loop *l, uint32_t m, uint64_t now_us)
{
    struct pool_model *model = &l->pool->models[m];
    uint32_t first = model->slot_first;
    uint32_t end = first + atomic_load_explicit(&model->slot_count, memory_order_acquire);
    bool serves = false;
    float ratio = end - first > 1 ? ratio_of(l, first, end, now_us) : 1;
    l->end[m] = end;
    for (uint32_t i = first; i < end; i++) {
        fill_row(l, (int32_t)i, ratio, now_us);
        serves |= l->rows[i].state == POOL_PLACE_UP || l->rows[i].state == POOL_PLACE_LIMITED;
    }
    if (atomic_load_explicit(&model->ranked, memory_order_acquire))
        stand_by(l, first, end);
    if (end - first > 1)
        hope(l, first, end, now_us);
    l->place_count += end - first;
    struct health_seen h = health_look(&model->breaker);
    bool open = h.state != HEALTH_UP && h.until_ms > ms(now_us);
    return model->key_missing ? POOL_MODEL_NO_KEY
           : serves && !open  ? POOL_MODEL_UP
                              : POOL_MODEL_DOWN;
}

void pool_rows(struct pool_loop *l, uint64_t now_us, struct pool_view *out)
{
    struct pool *p = l->pool;
    uint64_t changes = atomic_load_explicit(&p->changes, memory_order_acquire);
    if (!l->rows_us || changes != l->changes ||
        now_us - l->rows_us > POOL_ROWS_FRESH_US + l->place_count) {
        l->place_count = 0;
        for (uint32_t m = 0; m < p->model_count; m++)
            l->states[m] = fill_model(l, m, now_us);
        l->rows_us = now_us;
        l->changes = changes;
    }
    *out = (struct pool_view){
        .epoch = changes + 1,
        .states = l->states,
        .count = p->model_count,
        .places = l->rows,
        .first = p->first,
        .end = l->end,
        .seed = l->seed ^ l->views * UINT64_C(0x9e3779b97f4a7c15),
        .turn = l->views,
        .session_place = -1,
        .session_model = -1,
    };
    l->views++;
}

// --- choosing without a decision

uint64_t pool_bit(const struct pool_loop *l, int32_t place)
{
    const struct pool_site *s = pool_site(l->pool, place);
    return UINT64_C(1) << ((uint32_t)place - model_of(l, s)->slot_first);
}

static uint64_t back_ms(const struct pool_site *s, uint64_t now_us)
{
    struct health_seen h = health_look(&s->place->health);
    uint64_t until = h.state == HEALTH_UP ? 0 : h.until_ms;
    uint64_t limited = atomic_load_explicit(&s->place->limited_until_ms, memory_order_relaxed);
    uint64_t rated = (rates_until_us(s, now_us) + 999) / 1000;
    if (limited > ms(now_us) && limited > until)
        until = limited;
    return rated > until ? rated : until;
}

// Of a place that is out: for its key or model.
static bool is_denied(const struct place *p)
{
    return health_is_denial((enum health_why)load32(&p->health.why));
}

int32_t pool_pick(struct pool_loop *l, int32_t model, uint64_t tried, uint64_t closed,
                  enum pool_pick_how how, uint64_t now_us)
{
    const struct pool_model *m = &l->pool->models[model];
    uint32_t count = atomic_load_explicit(&m->slot_count, memory_order_acquire);
    uint32_t start = count > 1 ? l->turn++ % count : 0;
    int32_t best = IMAGE_NONE, soonest = IMAGE_NONE;
    uint64_t soonest_ms = UINT64_MAX;
    uint32_t rank = 0;
    double least = 0;
    for (uint32_t n = 0; n < count; n++) {
        uint32_t k = start + n < count ? start + n : start + n - count;
        int32_t at = (int32_t)(m->slot_first + k);
        const struct pool_site *s = pool_site(l->pool, at);
        if (tried >> k & 1 || closed >> l->pool->endpoints[s->endpoint].in_model & 1)
            continue;
        enum pool_place_state state = state_of(l, at, s, now_us);
        if (state == POOL_PLACE_DRAINING || state == POOL_PLACE_GONE || is_full(s))
            continue;
        if (state == POOL_PLACE_UP) {
            double load = (double)load32(&s->place->in_flight) / s->weight_milli;
            if (best == IMAGE_NONE || s->rank < rank || (s->rank == rank && load < least)) {
                best = at;
                rank = s->rank;
                least = load;
            }
        } else if (state != POOL_PLACE_LIMITED && how != POOL_PICK_SERVING &&
                   !is_denied(s->place) && // it lives, and will not take it
                   (how == POOL_PICK_ANY ||
                    atomic_load_explicit(&s->place->cut_off, memory_order_relaxed)) &&
                   back_ms(s, now_us) < soonest_ms) {
            soonest = at;
            soonest_ms = back_ms(s, now_us);
        }
    }
    return best != IMAGE_NONE ? best : soonest;
}

bool pool_may_be_back(struct pool_loop *l, int32_t model, uint64_t now_us)
{
    const struct pool_model *m = &l->pool->models[model];
    struct health_seen h = health_look(&m->breaker);
    return !m->key_missing && h.state == HEALTH_UP &&
           pool_pick(l, model, 0, 0, POOL_PICK_CUT_OFF, now_us) != IMAGE_NONE;
}

float pool_slow_ms(const struct pool_loop *l, int32_t place)
{
    return loadf(&pool_site(l->pool, place)->place->slow_ms);
}

// When the first of the places may be asked, and the model: 0 one is in service, UINT64_MAX never.
static uint64_t model_back_ms(const struct pool_loop *l, int32_t model, uint64_t now_us)
{
    const struct pool_model *m = &l->pool->models[model];
    uint32_t count = atomic_load_explicit(&m->slot_count, memory_order_acquire);
    uint64_t soonest = UINT64_MAX;
    for (uint32_t k = 0; k < count; k++) {
        int32_t at = (int32_t)(m->slot_first + k);
        if (mode_of(l, at) != POOL_SLOT_SERVES)
            continue;
        uint64_t until = back_ms(pool_site(l->pool, at), now_us);
        soonest = until < soonest ? until : soonest;
    }
    struct health_seen h = health_look(&m->breaker);
    if (h.state != HEALTH_UP && (soonest == UINT64_MAX || h.until_ms > soonest))
        soonest = h.until_ms;
    return soonest;
}

uint32_t pool_retry_after_s(const struct pool_loop *l, int32_t model, uint64_t now_us)
{
    uint64_t soonest = model_back_ms(l, model, now_us), now_ms = ms(now_us);
    if (soonest == UINT64_MAX || soonest <= now_ms)
        return 1;
    return (uint32_t)((soonest - now_ms + 999) / 1000);
}

uint32_t pool_out_s(const struct pool_loop *l, int32_t model, uint64_t now_us)
{
    return model_back_ms(l, model, now_us) ? pool_retry_after_s(l, model, now_us) : 0;
}

bool pool_is_denied(const struct pool_loop *l, int32_t model, uint64_t now_us)
{
    const struct pool_model *m = &l->pool->models[model];
    uint32_t count = atomic_load_explicit(&m->slot_count, memory_order_acquire), denied = 0;
    struct health_seen breaker = health_look(&m->breaker);
    if (breaker.state != HEALTH_UP && breaker.until_ms > ms(now_us))
        return true; // nothing else opens it
    for (uint32_t k = 0; k < count; k++) {
        int32_t at = (int32_t)(m->slot_first + k);
        const struct place *p = pool_site(l->pool, at)->place;
        if (mode_of(l, at) != POOL_SLOT_SERVES)
            continue;
        if (health_look(&p->health).state == HEALTH_UP || load32(&p->health.why) != HEALTH_WHY_KEY)
            return false;
        denied++;
    }
    return denied > 0;
}

// --- calls

static bool take_slot(struct place *p, uint32_t slots, bool *waited)
{
    if (!slots) {
        uint32_t before = atomic_fetch_add_explicit(&p->in_flight, 1, memory_order_relaxed);
        uint32_t scraped = load32(&p->gauges.slots);
        *waited = scraped && before >= scraped;
        return true;
    }
    uint32_t n = load32(&p->in_flight);
    do {
        if (n >= slots)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&p->in_flight, &n, n + 1, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static void give_slot(struct place *p)
{
    atomic_fetch_sub_explicit(&p->in_flight, 1, memory_order_relaxed);
}

static uint32_t jitter_of(struct pool_loop *l, uint64_t now_us)
{
    return (uint32_t)((now_us ^ (uint64_t)l->turn++ << 20) * 0x9e3779b97f4a7c15u >> 40);
}

static void changed(struct pool_loop *l)
{
    atomic_fetch_add_explicit(&l->pool->changes, 1, memory_order_release);
}

// So that the next decision of this loop sees its own calls at once. The rest of the row may be POOL_ROWS_FRESH_US old.
static void show(struct pool_loop *l, int32_t number, const struct place *p)
{
    struct pool_place *row = &l->rows[number];
    row->in_flight = load32(&p->in_flight);
    row->in_flight_tok = load32(&p->in_flight_tok);
    row->wait_tok = load32(&p->wait_tok);
}

enum result pool_begin(struct pool_loop *l, int32_t number, const struct pool_ask *ask,
                       uint64_t now_us, struct pool_call *c)
{
    const struct pool_site *s = pool_site(l->pool, number);
    struct pool_model *m = model_of(l, s);
    struct place *p = s->place;
    uint32_t tok = ask->compute_tok + ask->output_tok;
    *c = (struct pool_call){.place = p,
                            .breaker = &m->breaker,
                            .model = m,
                            .number = number,
                            .tok = tok,
                            .wait_tok = ask->compute_tok,
                            .ahead_tok = load32(&p->wait_tok),
                            .forced = ask->force,
                            .rate_tok_min = s->rate_tok_min,
                            .began_us = now_us};
    // What was decided a moment ago may be drained since.
    if (mode_of(l, number) != POOL_SLOT_SERVES || !take_slot(p, s->slots, &c->waited))
        return RESULT_AGAIN;
    if (!rate_take(&p->requests, s->rate_min, 1, now_us))
        goto no_request;
    if (!rate_take(&p->tokens, s->rate_tok_min, tok, now_us))
        goto no_tokens;
    if (!health_claim(&m->breaker, ms(now_us), ask->force, &c->model_claim))
        goto no_model;
    if (!health_claim(&p->health, ms(now_us), ask->force, &c->claim))
        goto no_health;
    if (c->claim.trial || c->model_claim.trial)
        changed(l);
    if (tok)
        atomic_fetch_add_explicit(&p->in_flight_tok, tok, memory_order_relaxed);
    if (c->wait_tok)
        place_join(p, c->wait_tok, now_us);
    c->waits = true;
    // What stands behind prompts teaches as well, as it is counted with them; what stands behind a full KV cache does not.
    c->waited |= loadf(&p->gauges.queue) >= 1 && loadf(&p->gauges.kv_use) > POOL_KV_FULL;
    atomic_fetch_add_explicit(&p->calls, 1, memory_order_relaxed);
    atomic_store_explicit(&p->last_call_ms, ms(now_us), memory_order_relaxed);
    show(l, number, p);
    return RESULT_OK;
no_health:
    health_void(&m->breaker, &c->model_claim, ms(now_us));
no_model:
    rate_correct(&p->tokens, s->rate_tok_min, -(int64_t)tok);
no_tokens:
    rate_correct(&p->requests, s->rate_min, -1);
no_request:
    give_slot(p);
    return RESULT_AGAIN;
}

static void stop_waiting(struct pool_call *c, bool served, uint64_t now_us)
{
    if (c->waits && c->wait_tok)
        place_leave(c->place, c->wait_tok, served, now_us);
    c->waits = false;
}

void pool_first(struct pool_loop *l, struct pool_call *c, uint64_t now_us)
{
    if (c->first_us)
        return;
    c->first_us = now_us > c->began_us ? now_us : c->began_us + 1;
    atomic_store_explicit(&c->place->last_sign_ms, ms(now_us), memory_order_relaxed);
    stop_waiting(c, true, now_us);
    bool back = health_good(&c->place->health, &c->claim, ms(now_us));
    back |= health_good(c->breaker, &c->model_claim, ms(now_us));
    // What breaks behind the first byte is no trial any more, but a call of the new era.
    if (back) {
        c->claim.trial = c->model_claim.trial = false;
        c->claim.era = health_look(&c->place->health).era;
        changed(l);
    }
    show(l, c->number, c->place);
}

void pool_load(struct pool_call *c, struct slice header, uint64_t now_us)
{
    struct place_gauges *g = &c->place->gauges;
    struct telemetry t;
    if (!telemetry_orca(header, &t))
        return;
    // What it does not tell stays as it was read, unless that was too long ago to be made fresh by this.
    bool stale = atomic_load_explicit(&g->fresh_ms, memory_order_relaxed) <= ms(now_us);
    if (t.queue >= 0 || stale)
        atomic_store_explicit(&g->queue, (float)t.queue, memory_order_relaxed);
    if (t.running >= 0 || stale)
        atomic_store_explicit(&g->running, (float)t.running, memory_order_relaxed);
    if (t.kv_use >= 0 || stale)
        atomic_store_explicit(&g->kv_use, (float)t.kv_use, memory_order_relaxed);
    atomic_store_explicit(&g->ends, load32(&c->place->ends), memory_order_relaxed);
    atomic_store_explicit(&g->in_flight, load32(&c->place->in_flight), memory_order_relaxed);
    uint64_t until = ms(now_us) + POOL_LOAD_FRESH_MS;
    if (atomic_load_explicit(&g->fresh_ms, memory_order_relaxed) < until)
        atomic_store_explicit(&g->fresh_ms, until, memory_order_relaxed);
}

static void learn(struct pool_call *c, const struct pool_report *r, uint64_t now_us)
{
    uint32_t cached = r->cached_tok < r->input_tok ? r->cached_tok : r->input_tok;
    bool streamed = c->first_us != 0;
    struct speeds_call call = {
        // Prompts are prefilled one behind the other: its first byte had those before it to wait for.
        .computed_tok = c->ahead_tok + (r->input_tok - cached),
        .output_tok = r->output_tok,
        .first_ms = streamed ? (double)(c->first_us - c->began_us) / 1000 : -1,
        .total_ms = (double)(now_us - c->began_us) / 1000,
        .streamed = streamed,
        .waited = c->waited,
        .at_ms = ms(now_us),
    };
    place_learn(c->place, &call);
}

static bool judge(struct pool_loop *l, struct pool_call *c, enum pool_outcome outcome,
                  enum health_why denial, uint64_t now_us)
{
    struct health *h = &c->place->health;
    bool back = false;
    switch (outcome) {
    case POOL_OK:
    case POOL_LIMITED:
        back = health_good(h, &c->claim, ms(now_us));
        return health_good(c->breaker, &c->model_claim, ms(now_us)) || back;
    case POOL_REFUSED:
        // Whoever was out for that still is: it does not come back because it answers.
        back = c->claim.trial && is_denied(c->place)
                   ? health_denied(h, &c->claim, denial, ms(now_us), jitter_of(l, now_us))
                   : health_good(h, &c->claim, ms(now_us));
        if (denial != HEALTH_WHY_KEY)
            return health_void(c->breaker, &c->model_claim, ms(now_us)) || back;
        return health_bad(c->breaker, &c->model_claim, POOL_MODEL_REFUSALS, ms(now_us),
                          jitter_of(l, now_us)) ||
               back;
    case POOL_FAILED:
        atomic_fetch_add_explicit(&c->place->errors, 1, memory_order_relaxed);
        // A place that dies with a hundred calls is one event for its model, too.
        if (health_look(h).era != c->claim.era)
            return health_void(c->breaker, &c->model_claim, ms(now_us));
        back = health_bad(h, &c->claim, POOL_FAILURES_TO_EJECT, ms(now_us), jitter_of(l, now_us));
        return health_void(c->breaker, &c->model_claim, ms(now_us)) || back;
    case POOL_DROPPED:
        break;
    }
    back = health_void(h, &c->claim, ms(now_us));
    return health_void(c->breaker, &c->model_claim, ms(now_us)) || back;
}

static void see_busy(struct pool_loop *l, const struct pool_call *c, enum pool_outcome outcome,
                     uint64_t now_us)
{
    struct place *p = c->place;
    if (outcome == POOL_OK && load32(&p->busy))
        atomic_store_explicit(&p->busy, 0, memory_order_relaxed);
    // Of calls that were under way together only the first ones count.
    if (outcome != POOL_LIMITED ||
        ms(c->began_us) < atomic_load_explicit(&p->limited_until_ms, memory_order_relaxed))
        return;
    uint32_t row = atomic_fetch_add_explicit(&p->busy, 1, memory_order_relaxed) + 1;
    if (row < POOL_BUSY_IN_ROW)
        return;
    uint32_t doubled = row - POOL_BUSY_IN_ROW;
    doubled = doubled < POOL_BUSY_DOUBLINGS ? doubled : POOL_BUSY_DOUBLINGS;
    place_limit(p, ms(now_us) + ((uint64_t)POOL_BUSY_MS << doubled));
    atomic_fetch_add_explicit(&p->limited, 1, memory_order_relaxed);
    changed(l);
}

void pool_end(struct pool_loop *l, struct pool_call *c, const struct pool_report *r,
              uint64_t now_us)
{
    struct place *p = c->place;
    assert(p);
    enum pool_outcome outcome = r->outcome;
    // "Come again in 5 s" is no failure, whatever the status.
    if (r->retry_after_s && (outcome == POOL_FAILED || outcome == POOL_LIMITED)) {
        uint32_t s =
            r->retry_after_s < POOL_RETRY_AFTER_MAX_S ? r->retry_after_s : POOL_RETRY_AFTER_MAX_S;
        place_limit(p, ms(now_us) + (uint64_t)s * 1000);
        atomic_fetch_add_explicit(&p->limited, 1, memory_order_relaxed);
        outcome = POOL_LIMITED;
        changed(l);
    } else {
        see_busy(l, c, outcome, now_us);
    }
    if (outcome == POOL_FAILED)
        atomic_store_explicit(&p->cut_off, r->cut_off, memory_order_relaxed);
    // It was out and still is: that is no news, and must not keep it out for longer.
    if (outcome == POOL_FAILED && r->cut_off && c->forced)
        outcome = POOL_DROPPED;
    if (outcome != POOL_DROPPED)
        atomic_store_explicit(&p->last_sign_ms, ms(now_us), memory_order_relaxed);
    give_slot(p);
    stop_waiting(c, outcome == POOL_OK && r->known, now_us);
    if (c->tok)
        atomic_fetch_sub_explicit(&p->in_flight_tok, c->tok, memory_order_relaxed);
    atomic_fetch_add_explicit(&p->ends, 1, memory_order_relaxed);
    if (r->known) {
        uint64_t used = (uint64_t)r->input_tok + r->output_tok;
        rate_correct(&p->tokens, c->rate_tok_min, (int64_t)used - (int64_t)c->tok);
        if (outcome == POOL_OK)
            learn(c, r, now_us);
    }
    if (outcome == POOL_OK && load32(&p->denied))
        atomic_store_explicit(&p->denied, 0, memory_order_relaxed);
    if (judge(l, c, outcome, r->denial ? r->denial : HEALTH_WHY_KEY, now_us))
        changed(l);
    c->place = NULL;
    show(l, c->number, p);
}

void pool_taken_elsewhere(struct pool_loop *l, int32_t place, const struct place *who, int status,
                          uint64_t now_us)
{
    struct place *p = pool_site(l->pool, place)->place;
    enum health_why why = status == 404 ? HEALTH_WHY_UNKNOWN : HEALTH_WHY_KEY;
    if (p != who || health_look(&p->health).state != HEALTH_UP)
        return;
    uint32_t row = atomic_fetch_add_explicit(&p->denied, 1, memory_order_relaxed) + 1;
    if (status == 403 && row < POOL_FORBIDDEN_IN_ROW)
        return;
    atomic_store_explicit(&p->denied, 0, memory_order_relaxed);
    // It did not die, so there is no use in asking it early.
    atomic_store_explicit(&p->cut_off, false, memory_order_relaxed);
    if (health_eject(&p->health, why, ms(now_us), jitter_of(l, now_us)))
        changed(l);
}
