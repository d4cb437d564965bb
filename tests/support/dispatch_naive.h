// Dispatch as the formulas stand, one place at a time, in double, without columns, padding or caching: the oracle of
// route/dispatch.c for its test and its benchmark.
#ifndef MERIT_TESTS_DISPATCH_NAIVE_H
#define MERIT_TESTS_DISPATCH_NAIVE_H

#include <math.h>
#include <string.h>

#include "route/dispatch.h"
#include "route/energy.h"

struct naive_row {
    bool open;
    double place; // what differs between places, and ranks them
    double time;  // the scorers' part of it
    double terms[PRICE_TERMS];
    double price;
};

struct naive_speeds {
    double prefill_s, each_s, first_s;
};

static inline double naive_mean(const struct pool_place *rows, uint32_t n, int what, double guess)
{
    double sum = 0, has = 0;
    for (uint32_t i = 0; i < n; i++) {
        double v = what == 0   ? (rows[i].prefill_tok_s > 0 ? 1.0 / rows[i].prefill_tok_s : -1)
                   : what == 1 ? rows[i].each_ms / 1e3
                               : rows[i].first_ms / 1e3;
        sum += v >= 0 ? v : 0;
        has += v >= 0 ? 1 : 0;
    }
    return has > 0 ? sum / has : guess;
}

static inline struct naive_speeds naive_speeds(const struct pool_place *rows, uint32_t n,
                                               uint32_t i)
{
    const struct pool_place *r = &rows[i];
    struct naive_speeds s = {r->prefill_tok_s > 0 ? 1.0 / r->prefill_tok_s
                                                  : naive_mean(rows, n, 0, 1.0 / 15928),
                             r->each_ms >= 0 ? r->each_ms / 1e3 : naive_mean(rows, n, 1, 0.02),
                             r->first_ms >= 0 ? r->first_ms / 1e3 : naive_mean(rows, n, 2, 0)};
    return s;
}

static inline const struct image_endpoint *naive_endpoint(const struct dispatch_ask *ask,
                                                          const struct pool_place *r)
{
    static const struct image_endpoint none = {.line = 0};
    return r->endpoint < 0
               ? &none
               : IMAGE_AT(ask->image, ask->image->endpoints, struct image_endpoint) + r->endpoint;
}

static inline double naive_clamp(double v, double low, double high)
{
    return v < low ? low : v > high ? high : v;
}

// The places of an action's model; `out` has room for 64. Returns how many.
static inline uint32_t naive_action(const struct dispatch_ask *ask, const struct dispatch_action *a,
                                    struct naive_row *out)
{
    const struct policy_image *p = ask->image;
    const struct image_dispatch *d = &p->dispatch;
    const struct pool_view *v = ask->pool;
    const struct image_model *m = image_model(p, a->binding.model);
    const struct pool_place *rows = v->places + v->first[a->binding.model];
    uint32_t n = (v->end ? v->end[a->binding.model] : v->first[a->binding.model + 1]) -
                 v->first[a->binding.model];
    double in = a->expect.input_tok, tok = a->expect.output_tok, second = (double)d->second_nusd;
    bool adapter = false;
    double adapter_s[64], told_s = 0, told = 0;
    for (uint32_t i = 0; i < n; i++) {
        adapter |= rows[i].lora_loaded;
        adapter_s[i] = rows[i].lora_loaded ? 0 : rows[i].lora_room ? 0.4 : rows[i].stale ? -1 : 2;
        told_s += fmax(adapter_s[i], 0);
        told += adapter_s[i] >= 0;
    }
    for (uint32_t i = 0; i < n; i++)
        adapter_s[i] = adapter_s[i] >= 0 ? adapter_s[i] : told_s / fmax(told, 1);
    for (uint32_t i = 0; i < n; i++) {
        const struct pool_place *r = &rows[i];
        const struct image_endpoint *e = naive_endpoint(ask, r);
        struct naive_row *o = &out[i];
        bool own = v->session_place == (int32_t)(v->first[a->binding.model] + i);
        memset(o, 0, sizeof *o);
        o->open = (r->state == POOL_PLACE_UP || (own && r->state == POOL_PLACE_DRAINING)) &&
                  (!e->maintenance || own) && (!e->slots || r->in_flight < e->slots) &&
                  !(a->closed >> i & 1);
        const struct naive_speeds s = naive_speeds(rows, n, i);
        bool scraped = !r->stale && r->queue >= 0 && r->running >= 0;
        double load = r->in_flight, slots = r->slots ? r->slots : 256, waiting = 0;
        if (scraped && r->queue + r->running > load)
            load = r->queue + r->running;
        if (load > slots)
            waiting = load - slots;
        if (scraped && r->queue > waiting)
            waiting = r->queue;
        double running = load - waiting,
               hit = v->prefix_tok ? v->prefix_tok[v->first[a->binding.model] + i] : r->prefix_tok;
        if (own && v->session_tok > hit)
            hit = v->session_tok;
        double miss = in > hit ? in - hit : 0;
        double share = r->kv_tok ? 1.0 / r->kv_tok : 0;
        double use =
            !r->stale && r->kv_use >= 0 ? (double)r->kv_use : fmin(r->in_flight_tok * share, 1);
        double others =
            scraped ? (double)r->queue * (1 - fmin(r->in_flight / fmax(load, 1), 1)) : 0;
        double ahead = load >= slots || use > (double)0.9F ? waiting + 1 : 0;
        double line = r->wait_tok + others * in;
        double turn = fmax(r->drain_tok_s > 0 ? line / (double)r->drain_tok_s
                                              : ahead * tok * s.each_s / fmax(running, 1),
                           line * s.prefill_s);
        double own_s = miss * s.prefill_s, answer = tok * s.each_s;
        double far = e->region.len && v->region.len && r->first_ms < 0 &&
                             !slice_ieq(image_text(p, e->region), v->region)
                         ? 0.09
                         : 0;
        double late =
            v->deadline_ms ? fmax(turn + own_s + s.first_s + far - v->deadline_ms / 1e3, 0) : 0;
        double weight = r->weight > 0 ? (double)r->weight : 1;
        double over = use + (miss + tok) * share - 0.9;
        double likely = naive_clamp(over * 10, 0, 1);
        double kv = likely * likely * (in + tok / 2) * s.prefill_s;
        if (share > 0 && over > 0.1)
            kv += (over - 0.1) / share * s.each_s / fmax(running, 1);
        double most =
            ask->work->max_output_tok ? ask->work->max_output_tok : a->expect.output_high_tok;
        most = fmax(most, tok);
        if (m->output_tok && most > m->output_tok)
            most = m->output_tok;
        most += in;
        double context = 0;
        if (e->serves_to_tok && most > e->serves_to_tok)
            context += 60 * (1 + (most - e->serves_to_tok) / e->serves_to_tok);
        if (most < e->serves_from_tok)
            context += (e->serves_from_tok - most) / e->serves_from_tok * (own_s + answer);
        double held = v->session_place >= 0 ? fmin(v->session_tok, in) : 0;
        double scores[IMAGE_SCORE_COUNT_] = {
            [IMAGE_SCORE_QUEUE] = turn * (1 + turn / 5) * second,
            [IMAGE_SCORE_PREFIX] = own_s * second,
            [IMAGE_SCORE_RUNNING] =
                running * (own_s / 10 + answer * 0.5 / slots) * second / weight +
                r->slot_nusd_s * (own_s + answer),
            [IMAGE_SCORE_LATENCY] =
                (s.first_s + far + (ask->work->stream ? answer / 4 : answer) + 10 * late) * second,
            [IMAGE_SCORE_KV] = kv * second,
            [IMAGE_SCORE_LORA] = adapter ? adapter_s[i] * second : 0,
            [IMAGE_SCORE_SESSION] = own ? 0 : 0.5 * fmax(held - hit, 0) * s.prefill_s * second,
            [IMAGE_SCORE_CONTEXT] = context * second,
        };
        static const enum price_term terms[IMAGE_SCORE_COUNT_] = {
            [IMAGE_SCORE_QUEUE] = PRICE_SECONDS,   [IMAGE_SCORE_PREFIX] = PRICE_SECONDS,
            [IMAGE_SCORE_RUNNING] = PRICE_SLOTS,   [IMAGE_SCORE_LATENCY] = PRICE_SECONDS,
            [IMAGE_SCORE_KV] = PRICE_OTHER,        [IMAGE_SCORE_LORA] = PRICE_OTHER,
            [IMAGE_SCORE_SESSION] = PRICE_SESSION, [IMAGE_SCORE_CONTEXT] = PRICE_OTHER};
        for (int k = 0; k < IMAGE_SCORE_COUNT_; k++) {
            o->terms[terms[k]] += scores[k] * d->weights[k];
            o->place += scores[k] * d->weights[k];
        }
        o->time = o->place;
        bool energy = ask->objective == IMAGE_OBJECTIVE_ENERGY;
        double money = a->expect.cost_nusd > 0 ? (double)a->expect.cost_nusd : 0, saved = 0;
        if (m->priced && money > 0)
            saved = fmin((double)(m->price_in_nusd - m->price_cached_nusd) * fmin(hit, in) / 1e6,
                         money);
        double kwh = energy && !d->kwh_nusd ? 1e8 : (double)d->kwh_nusd;
        const struct image_zone *z =
            m->zone >= 0 ? IMAGE_AT(p, p->zones, struct image_zone) + m->zone : NULL;
        double pue = z && z->pue_milli ? z->pue_milli / 1e3 : 1;
        double uj = a->expect.marginal_uj >= 0 ? (double)a->expect.marginal_uj
                                               : (double)a->expect.energy_uj;
        if (m->energy.curve != IMAGE_CURVE_NONE)
            uj = 1e6 * pue *
                 (m->energy.prefill_j_tok * fmax(in - hit, 0) +
                  energy_marginal_j(&m->energy, floor(running) + 1) * tok);
        bool metered = uj >= 0;
        uj = fmax(uj, 0);
        double ug = a->expect.carbon_ug > 0 ? (double)a->expect.carbon_ug : 0;
        if (r->carbon_g_kwh >= 0 && metered)
            ug = uj / 3.6e12 * r->carbon_g_kwh * 1e6;
        else if (a->expect.energy_uj > 0 && metered)
            ug *= uj / (double)a->expect.energy_uj;
        o->terms[PRICE_MONEY] = energy ? 0 : money - saved;
        o->terms[PRICE_ENERGY] = uj * kwh / 3.6e12;
        o->terms[PRICE_CARBON] = ug * (double)d->kg_nusd / 1e9;
        o->place += o->terms[PRICE_MONEY] + o->terms[PRICE_ENERGY] + o->terms[PRICE_CARBON];
        const struct image_constraint *c = IMAGE_AT(p, p->constraints, struct image_constraint);
        double ms = (turn + own_s + s.first_s + answer) * 1e3;
        for (uint32_t k = 0; ask->budgets && k < ask->budgets->count; k++) {
            const struct budget_state *b = &ask->budgets->states[k];
            const double amounts[] = {
                [IMAGE_UNIT_NUSD] = money - saved,
                [IMAGE_UNIT_UJ] = fmax((double)a->expect.energy_uj, 0),
                [IMAGE_UNIT_UG] = fmax((double)a->expect.carbon_ug, 0),
                [IMAGE_UNIT_MS] = ms,
                [IMAGE_UNIT_TOK] = in + tok,
                [IMAGE_UNIT_CALLS] = 1,
                [IMAGE_UNIT_REQUESTS] = 1,
            };
            if (!b->open && b->price_nusd > 0 && c[k].kind == IMAGE_BUDGET &&
                (!ask->holds || (ask->holds[k / 64] >> (k % 64) & 1)))
                o->terms[PRICE_BUDGETS] += b->price_nusd * amounts[c[k].unit];
        }
        for (int k = 0; k < PRICE_TERMS; k++)
            o->price += o->terms[k];
    }
    return n;
}

static inline bool naive_near(double a, double b, double relative)
{
    return fabs(a - b) <= relative * fmax(fmax(fabs(a), fabs(b)), 1);
}

// What counts between actions.
static inline double naive_between(const struct policy_image *p, const double *terms, double price)
{
    return p->dispatch.line ? price
                            : terms[PRICE_MONEY] + terms[PRICE_ENERGY] + terms[PRICE_CARBON] +
                                  terms[PRICE_BUDGETS];
}

// Whether the options are what the formulas give: for each action a place that is open and within the share that counts as
// equal of the cheapest, its terms and sum; all actions with an open place; and the order. `slack`: of the arithmetic in
// float. On false `why` says what is wrong.
static inline bool naive_agrees(const struct dispatch_ask *ask, const struct decision_option *got,
                                uint32_t count, double slack, const char **why)
{
    struct naive_row rows[64];
    double keys[DISPATCH_ACTIONS_MAX], prices[DISPATCH_ACTIONS_MAX];
    uint32_t expected = 0;
    for (uint32_t i = 0; i < ask->count; i++) {
        const struct dispatch_action *a = &ask->actions[i];
        uint32_t n = naive_action(ask, a, rows), at = 0;
        double least = INFINITY, time = INFINITY;
        for (uint32_t k = 0; k < n; k++)
            if (rows[k].open && rows[k].place < least)
                least = rows[k].place;
        for (uint32_t k = 0; k < n; k++)
            if (rows[k].open && rows[k].time < time)
                time = rows[k].time;
        if (least == INFINITY)
            continue;
        expected++;
        while (at < count && got[at].binding_at != a->binding_at)
            at++;
        *why = "an action is missing";
        if (at == count)
            return false;
        const struct decision_option *o = &got[at];
        uint32_t first = ask->pool->first[a->binding.model], k = (uint32_t)o->place - first;
        *why = "a place is not the model's, or not open";
        if (o->place < (int32_t)first || k >= n || !rows[k].open)
            return false;
        *why = "a place is not among the cheapest";
        if (ask->image->dispatch.mode == IMAGE_DISPATCH_PRICE &&
            rows[k].place > least + 0.02 * time + slack * (time + fabs(least)))
            return false;
        *why = "a price is another";
        if (!naive_near(o->price_nusd, rows[k].price, slack))
            return false;
        *why = "a term is another";
        for (int t = 0; t < PRICE_TERMS; t++)
            if (fabs(o->terms_nusd[t] - rows[k].terms[t]) > slack * fmax(fabs(rows[k].price), 1))
                return false;
        bool away = ask->pool->session_locked && ask->pool->session_model >= 0 &&
                    ask->pool->session_model != a->binding.model;
        keys[at] = (away ? 1e9 : 0) + (ask->objective == IMAGE_OBJECTIVE_ORDER ? i : 0) -
                   (ask->objective == IMAGE_OBJECTIVE_QUALITY ? (double)a->quality : 0);
        prices[at] = naive_between(ask->image, rows[k].terms, rows[k].price);
    }
    *why = "there are more options than actions";
    if (count != expected)
        return false;
    *why = "the order is another";
    for (uint32_t i = 1; i < count; i++)
        if (keys[i] < keys[i - 1] || (keys[i] == keys[i - 1] && prices[i] < prices[i - 1] &&
                                      !naive_near(prices[i], prices[i - 1], slack)))
            return false;
    return true;
}

#endif
