#include "api/metrics_pool.h"

#include <stdio.h>

struct model_sums {
    uint32_t states[POOL_PLACE_GONE + 1];
    uint32_t stale, in_flight;
    double queue, running, kv_use; // < 0: no place tells
    uint32_t kv_count;
    uint64_t calls, errors, limited, ejections, restarts;
};

static void add_known(double *to, double v)
{
    if (v >= 0)
        *to = *to < 0 ? v : *to + v;
}

static enum pool_place_state state_of(const struct pool *p, uint32_t slot,
                                      const struct pool_site *s, uint64_t now_ms)
{
    uint8_t mode = atomic_load_explicit(&p->slots[slot].mode, memory_order_relaxed);
    struct health_seen h = health_look(&s->place->health);
    if (mode != POOL_SLOT_SERVES)
        return mode == POOL_SLOT_DRAINING ? POOL_PLACE_DRAINING : POOL_PLACE_GONE;
    if (h.state != HEALTH_UP && h.until_ms > now_ms)
        return h.state == HEALTH_OUT ? POOL_PLACE_OUT : POOL_PLACE_TRYING;
    return atomic_load_explicit(&s->place->limited_until_ms, memory_order_relaxed) > now_ms
               ? POOL_PLACE_LIMITED
               : POOL_PLACE_UP;
}

static void sum_model(const struct pool *p, uint32_t m, uint64_t now_ms, struct model_sums *out)
{
    const struct pool_model *model = &p->models[m];
    uint32_t used = atomic_load_explicit(&model->slot_count, memory_order_acquire);
    *out = (struct model_sums){.queue = -1, .running = -1, .kv_use = -1};
    for (uint32_t i = model->slot_first; i < model->slot_first + used; i++) {
        const struct pool_site *s = pool_site(p, (int32_t)i);
        const struct place *place = s->place;
        const struct place_gauges *g = &place->gauges;
        enum pool_place_state state = state_of(p, i, s, now_ms);
        bool stale = atomic_load_explicit(&g->fresh_ms, memory_order_relaxed) <= now_ms;
        out->states[state]++;
        out->in_flight += place->in_flight;
        out->calls += place->calls;
        out->errors += place->errors;
        out->limited += place->limited;
        out->ejections += place->health.ejected;
        out->restarts += g->restarts;
        if (state == POOL_PLACE_GONE)
            continue;
        out->stale += stale && p->endpoints[s->endpoint].def->engine != IMAGE_ENGINE_NONE;
        if (stale)
            continue;
        add_known(&out->queue, (double)g->queue);
        add_known(&out->running, (double)g->running);
        add_known(&out->kv_use, (double)g->kv_use);
        out->kv_count += g->kv_use >= 0;
    }
}

enum value {
    PLACES,
    STALE,
    IN_FLIGHT,
    QUEUE,
    RUNNING,
    KV,
    CALLS,
    ERRORS,
    LIMITED,
    EJECTIONS,
    RESTARTS,
    VALUES
};

static double value_of(const struct model_sums *s, enum value v)
{
    switch (v) {
    case STALE:
        return s->stale;
    case IN_FLIGHT:
        return s->in_flight;
    case QUEUE:
        return s->queue;
    case RUNNING:
        return s->running;
    case KV:
        return s->kv_count ? s->kv_use / s->kv_count : -1;
    case CALLS:
        return (double)s->calls;
    case ERRORS:
        return (double)s->errors;
    case LIMITED:
        return (double)s->limited;
    case EJECTIONS:
        return (double)s->ejections;
    case RESTARTS:
        return (double)s->restarts;
    default:
        return -1;
    }
}

void metrics_pool_write(const struct serving *s, const struct metrics_names *names, uint64_t now_us,
                        struct buf *out)
{
    // Counters of places go back when a policy drops one, so they are gauges here: what the present places have counted.
    static const struct {
        const char *name, *help;
    } values[VALUES] = {
        [PLACES] = {"merit_pool_places", "Places by state."},
        [STALE] = {"merit_pool_stale_places", "Places whose metrics are wanted and too old."},
        [IN_FLIGHT] = {"merit_pool_in_flight", "Calls under way."},
        [QUEUE] = {"merit_pool_queue", "Requests that wait in engines, as those say."},
        [RUNNING] = {"merit_pool_running", "Requests that run in engines, as those say."},
        [KV] = {"merit_pool_kv_use", "Mean share of the engines' KV caches in use."},
        [CALLS] = {"merit_pool_calls", "Calls to the present places."},
        [ERRORS] = {"merit_pool_errors", "Calls to the present places that failed."},
        [LIMITED] = {"merit_pool_limited", "Times that a present place asked to be left alone."},
        [EJECTIONS] = {"merit_pool_ejections", "Times that a present place was put out."},
        [RESTARTS] = {"merit_pool_restarts", "Restarts of present places that were seen."},
    };
    const struct pool *p = &s->pool;
    for (int v = 0; v < VALUES; v++) {
        buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n", values[v].name, values[v].help,
                   values[v].name);
        for (uint32_t m = 0; m < p->model_count; m++) {
            // Models beyond the table of names share one label, which Prometheus takes once only.
            uint16_t slot = s->model_slots[m];
            const char *model = names->family[METRICS_MODELS].names[slot];
            struct model_sums sums;
            if (!slot)
                continue;
            sum_model(p, m, now_us / 1000, &sums);
            for (int state = 0; v == PLACES && state < POOL_PLACE_GONE; state++)
                buf_printf(out, "%s{model=\"%s\",state=\"%s\"} %u\n", values[v].name, model,
                           pool_place_state_names[state], sums.states[state]);
            double value = value_of(&sums, (enum value)v);
            if (value >= 0)
                buf_printf(out, "%s{model=\"%s\"} %.6g\n", values[v].name, model, value);
        }
    }
}
