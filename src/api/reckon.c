#include "api/reckon.h"

#include "base/alloc.h"
#include "pool/places.h"
#include "route/energy.h"

struct reckon {
    struct meter_sampler *meters;
    struct carbon *carbon;
    struct ratio *ratio;
    uint64_t next_carbon_us, next_ratio_us;
};

enum result reckon_open(struct reckon **out, uint32_t loops, const struct meter_places *places)
{
    struct reckon *k = *out = alloc_zeroed(1, sizeof *k);
    if (!k)
        return RESULT_NOMEM;
    if (!meter_sampler_new(&k->meters, places) && !carbon_new(&k->carbon) &&
        !ratio_open(&k->ratio, loops))
        return RESULT_OK;
    reckon_close(k);
    *out = NULL;
    return RESULT_NOMEM;
}

void reckon_close(struct reckon *k)
{
    if (!k)
        return;
    meter_sampler_free(k->meters);
    carbon_free(k->carbon);
    ratio_close(k->ratio);
    alloc_free(k);
}

enum result reckon_use(struct reckon *k, const struct policy_image *image, uint64_t mono_us,
                       uint64_t wall_us)
{
    enum result r = meter_sampler_use(k->meters, image, mono_us);
    enum result of_carbon = carbon_use(k->carbon, image, wall_us);
    // What is to be told of them is told by the next tick.
    k->next_carbon_us = 0;
    return r ? r : of_carbon;
}

struct carbon *reckon_carbon(struct reckon *k)
{
    return k->carbon;
}

struct speaker {
    void (*say)(void *ctx, struct slice line);
    void *ctx;
    struct buf line;
};

static void speak(struct speaker *s)
{
    if (!buf_result(&s->line))
        s->say(s->ctx, buf_slice(&s->line));
    buf_reset(&s->line);
}

static void say_meters(const struct reckon *k, struct speaker *s)
{
    struct meter_view v;
    for (uint32_t i = 0; meter_sampler_each(k->meters, i, &v); i++) {
        buf_printf(&s->line, "meter %s %u: %s", meter_kind_name(v.kind), v.index,
                   v.up ? "counts" : v.why);
        speak(s);
    }
}

static void say_carbon(const struct reckon *k, struct speaker *s)
{
    struct carbon_view v;
    for (uint32_t i = 0; carbon_each(k->carbon, i, &v); i++) {
        if (v.feed)
            continue; // pool/carbon_feed.h tells of it
        buf_printf(&s->line, "carbon of zone %.*s: %.*s: ", SLICE_FMT(v.zone), SLICE_FMT(v.file));
        if (v.why[0])
            buf_printf(&s->line, "%s; what holds now is %s", v.why, carbon_from_name(v.from));
        else
            buf_printf(&s->line, "%u hours", v.rows);
        speak(s);
    }
}

static const char *name_of(const struct metrics_names *names, uint32_t slot)
{
    uint32_t n = atomic_load_explicit(&names->family[METRICS_MODELS].count, memory_order_acquire);
    return slot < n ? names->family[METRICS_MODELS].names[slot] : "other";
}

static void say_ratios(struct reckon *k, const struct metrics_names *names, struct speaker *s)
{
    uint32_t model;
    enum ratio_unit unit;
    struct ratio_view v;
    while (ratio_event(k->ratio, &model, &unit, &v)) {
        buf_printf(&s->line,
                   "estimates of %s in %s are %s: %.3f of what was settled, over %llu answers of "
                   "the last 7 days",
                   name_of(names, model), ratio_unit_name(unit), v.alarm ? "off" : "right again",
                   v.ratio, (unsigned long long)v.answers);
        speak(s);
    }
}

void reckon_tick(struct reckon *k, const struct metrics_names *names, uint64_t mono_us,
                 uint64_t wall_us, void (*say)(void *ctx, struct slice line), void *ctx)
{
    struct speaker s = {.say = say, .ctx = ctx};
    buf_init(&s.line, 4096);
    if (meter_sampler_tick(k->meters, mono_us))
        say_meters(k, &s);
    if (mono_us >= k->next_carbon_us) {
        k->next_carbon_us = mono_us + CARBON_EVERY_MS * UINT64_C(1000);
        if (carbon_tick(k->carbon, mono_us, wall_us))
            say_carbon(k, &s);
    }
    if (mono_us >= k->next_ratio_us) {
        k->next_ratio_us = mono_us + RECKON_RATIO_MS * UINT64_C(1000);
        ratio_take(k->ratio, mono_us);
        say_ratios(k, names, &s);
    }
    buf_deinit(&s.line);
}

uint32_t reckon_every_ms(const struct reckon *k)
{
    struct meter_view v;
    return meter_sampler_each(k->meters, 0, &v) ? METER_EVERY_MS : CARBON_EVERY_MS;
}

static const struct pool_site *on_meter(const struct pool *p, uint32_t slot,
                                        const struct meter_view *v)
{
    const struct pool_site *site = pool_site(p, (int32_t)slot);
    const struct image_endpoint *e = site ? p->endpoints[site->endpoint].def : NULL;
    return e && e->meter == v->kind && e->meter_index == v->index ? site : NULL;
}

// Calls of ours under way at an engine's last scrape, of all models that it serves; -1 when an earlier slot is the same engine.
static double own_at(const struct pool *p, uint32_t slot, const struct meter_view *v)
{
    const struct slice url = pool_site(p, (int32_t)slot)->url;
    double own = 0;
    for (uint32_t i = 0; i < p->slot_room; i++) {
        const struct pool_site *site = on_meter(p, i, v);
        if (!site || !slice_eq(site->url, url))
            continue;
        if (i < slot)
            return -1;
        own += atomic_load_explicit(&site->place->gauges.in_flight, memory_order_relaxed);
    }
    return own;
}

// Tells meters of the requests that engines there say they run beyond Merit's own. What was read too long ago says nothing.
static void tell_others(struct reckon *k, const struct pool *p, uint64_t now_us)
{
    struct meter_view v;
    for (uint32_t i = 0; meter_sampler_each(k->meters, i, &v); i++) {
        double others = 0;
        for (uint32_t slot = 0; slot < p->slot_room; slot++) {
            const struct pool_site *site = on_meter(p, slot, &v);
            if (!site || atomic_load_explicit(&site->place->gauges.fresh_ms,
                                              memory_order_relaxed) <= now_us / 1000)
                continue;
            double running =
                (double)atomic_load_explicit(&site->place->gauges.running, memory_order_relaxed);
            double own = own_at(p, slot, &v);
            if (own >= 0 && running > own)
                others += running - own;
        }
        meter_sampler_others(k->meters, v.kind, v.index,
                             others < METER_SLOTS ? (uint32_t)others : METER_SLOTS);
    }
}

void reckon_places(struct reckon *k, const struct pool *pool, uint64_t now_us)
{
    tell_others(k, pool, now_us);
    for (uint32_t m = 0; m < pool->model_count; m++) {
        struct carbon_now now =
            carbon_now(k->carbon, pool->image, image_model(pool->image, (int32_t)m)->zone);
        float g = now.ug_kwh < 0 ? -1 : (float)((double)now.ug_kwh / 1e6);
        for (uint32_t i = pool->first[m]; i < pool->first[m + 1]; i++) {
            struct pool_site *site =
                atomic_load_explicit(&pool->slots[i].site, memory_order_acquire);
            if (!site)
                continue;
            atomic_store_explicit(&site->place->carbon_g_kwh, g, memory_order_relaxed);
            atomic_store_explicit(&site->place->carbon_stale, now.from == CARBON_STALE,
                                  memory_order_relaxed);
        }
    }
}

static void ratios(const struct reckon *k, const struct metrics_names *names, struct buf *out,
                   const char *family, bool alarm)
{
    uint32_t n = atomic_load_explicit(&names->family[METRICS_MODELS].count, memory_order_acquire);
    for (uint32_t m = 0; m < n && m < RATIO_MODELS_MAX; m++)
        for (int u = 0; u < RATIO_UNITS; u++) {
            struct ratio_view v = ratio_of(k->ratio, m, (enum ratio_unit)u);
            if (v.answers) {
                buf_printf(out, "%s{model=\"%s\",unit=\"%s\"} ", family, name_of(names, m),
                           ratio_unit_name((enum ratio_unit)u));
                if (alarm)
                    buf_printf(out, "%d\n", v.alarm);
                else if (v.ratio > 1e12)
                    BUF_LIT(out, "+Inf\n");
                else
                    buf_printf(out, "%.6g\n", v.ratio);
            }
        }
}

void reckon_metrics(const struct reckon *k, const struct metrics_names *names, struct buf *out)
{
    meter_sampler_metrics(k->meters, out);
    carbon_metrics(k->carbon, out);
    BUF_LIT(out, "# HELP merit_estimate_ratio Estimated over settled, last 7 days.\n"
                 "# TYPE merit_estimate_ratio gauge\n");
    ratios(k, names, out, "merit_estimate_ratio", false);
    BUF_LIT(out, "# HELP merit_estimate_alarm Whether that ratio has left 0.8 to 1.25.\n"
                 "# TYPE merit_estimate_alarm gauge\n");
    ratios(k, names, out, "merit_estimate_alarm", true);
}

// --- loops

static const struct image_endpoint *endpoint_of(const struct policy_image *p, int32_t endpoint)
{
    return endpoint < 0 || (uint32_t)endpoint >= p->endpoints.count
               ? NULL
               : IMAGE_AT(p, p->endpoints, struct image_endpoint) + endpoint;
}

struct price_here reckon_here(const struct reckon *k, const struct policy_image *image,
                              int32_t model, const struct pool_place *place, bool joined,
                              uint64_t cpu_ns)
{
    struct price_here here = PRICE_HERE_UNKNOWN;
    struct carbon_now now =
        carbon_now(k ? k->carbon : NULL, image, image_model(image, model)->zone);
    here.carbon_ug_kwh = now.ug_kwh;
    here.carbon_marginal = now.marginal;
    here.router_uj = energy_router_uj(cpu_ns, 0);
    const struct image_endpoint *e = place ? endpoint_of(image, place->endpoint) : NULL;
    if (!e)
        return here;
    here.each_ms = place->each_ms;
    if (e->engine != IMAGE_ENGINE_NONE) {
        double own = place->in_flight + (joined ? 0.0 : 1.0);
        double seen =
            place->stale || place->running < 0 ? 0 : place->running + (joined ? 0.0 : 1.0);
        here.batch = seen > own ? seen : own;
    }
    return here;
}

struct reckon_meter reckon_meter_begin(const struct reckon *k, const struct policy_image *image,
                                       int32_t endpoint)
{
    struct reckon_meter m = {0};
    const struct image_endpoint *e = k ? endpoint_of(image, endpoint) : NULL;
    bool up = false;
    if (e && e->meter != IMAGE_METER_NONE)
        m.board = meter_sampler_board(k->meters, e->meter, e->meter_index, &up);
    m.slot = up ? meter_board_begin(m.board) : -1;
    if (m.slot < 0)
        m.board = NULL;
    return m;
}

void reckon_meter_prefill(struct reckon_meter m, uint64_t computed_tok)
{
    if (m.board)
        meter_board_prefill(m.board, m.slot, computed_tok);
}

void reckon_meter_decode(struct reckon_meter m, uint64_t tok)
{
    if (m.board)
        meter_board_decode(m.board, m.slot, tok);
}

int64_t reckon_meter_end(struct reckon_meter *m)
{
    int64_t uj = m->board ? meter_board_end(m->board, m->slot) : -1;
    m->board = NULL;
    return uj;
}

void reckon_count(struct reckon *k, uint32_t loop, uint32_t model_slot, const struct estimate *was,
                  const struct price_settled *is, uint32_t output_tok)
{
    if (!k)
        return;
    ratio_count(k->ratio, loop, model_slot, RATIO_USD, was->cost_nusd, is->cost_nusd);
    ratio_count(k->ratio, loop, model_slot, RATIO_J, was->energy_uj, is->energy_uj);
    ratio_count(k->ratio, loop, model_slot, RATIO_TOK, was->output_tok, output_tok);
}
