// Random pools, budgets and actions for dispatch: for its test and its benchmark.
#ifndef MERIT_TESTS_DISPATCH_MAKE_H
#define MERIT_TESTS_DISPATCH_MAKE_H

#include "base/rng.h"
#include "route/dispatch.h"
#include "support/image_builder.h"

enum { MAKE_MODELS = 16, MAKE_PLACES = 1024 + 64, MAKE_BUDGETS = 7 };

struct dispatch_made {
    struct image_builder builder;
    const struct policy_image *image;
    struct work work;
    struct pool_place places[MAKE_PLACES];
    uint32_t prefix_tok[MAKE_PLACES];
    uint32_t first[MAKE_MODELS + 1], end[MAKE_MODELS];
    uint8_t states[MAKE_MODELS];
    struct pool_view pool;
    struct budget_state budget_states[MAKE_BUDGETS];
    struct budget_view budgets;
    struct dispatch_action actions[DISPATCH_ACTIONS_MAX];
    struct dispatch_ask ask;
};

struct dispatch_shape {
    uint32_t models, places, efforts; // places per model at most, or exactly when `full`
    bool full;                        // everything known, every place open
    bool plain;                       // no budgets, no session
    void (*more)(struct image_builder *b, struct rng *r); // to the image, before it is finished
};

static inline float make_some(struct rng *r, const struct dispatch_shape *s, double low,
                              double high)
{
    if (!s->full && rng_below(r, 5) == 0)
        return -1;
    return (float)(low + rng_unit(r) * (high - low));
}

static inline void make_image(struct dispatch_made *d, struct rng *r,
                              const struct dispatch_shape *s)
{
    struct image_builder *b = &d->builder;
    static const char *const regions[] = {"", "eu", "us"};
    static const char *const urls[] = {"http://a", "http://b", "http://c", "http://d",
                                       "http://e", "http://f", "http://g", "http://h"};
    ib_init(b);
    int32_t zone = ib_zone(b, "z");
    b->zones[zone].pue_milli = 1200;
    for (uint32_t i = 0; i < s->models; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%u", i);
        struct image_model *m = ib_model(b, name);
        m->priced = s->full || rng_below(r, 6) > 0;
        m->price_in_nusd = (int64_t)rng_below(r, 3000000000u);
        m->price_out_nusd = (int64_t)rng_below(r, 15000000000u);
        m->price_cached_nusd = rng_below(r, 2) ? m->price_in_nusd : m->price_in_nusd / 10;
        m->quality = (float)rng_below(r, 5) / 4;
        m->zone = rng_below(r, 2) ? zone : IMAGE_NONE;
        m->output_tok = rng_below(r, 2) ? 0 : 4096;
        m->energy = (struct image_energy){.curve = (enum image_curve)rng_below(r, 3),
                                          .a = 0.1 + rng_unit(r),
                                          .c = 0.2 + rng_unit(r) / 3,
                                          .prefill_j_tok = rng_unit(r) / 50,
                                          .batch = 32,
                                          .batch_max = 256};
        uint32_t first = b->endpoint_count;
        uint32_t n = 1 + (uint32_t)rng_below(r, 4);
        for (uint32_t k = 0; k < n; k++)
            b->endpoints[b->endpoint_count++] = (struct image_endpoint){
                .model = (int32_t)i,
                .slots = s->full || rng_below(r, 3) ? 0 : (uint32_t)rng_below(r, 200),
                .serves_from_tok = rng_below(r, 4) ? 0 : (uint32_t)rng_below(r, 20000),
                .serves_to_tok = rng_below(r, 4) ? 0 : 1 + (uint32_t)rng_below(r, 20000),
                .maintenance = !s->full && rng_below(r, 10) == 0,
                .url = ib_str(b, urls[rng_below(r, 8)]),
                .region = ib_str(b, regions[rng_below(r, 3)])};
        m->endpoints = IB_LIST(b, &b->endpoints[first], n);
    }
    for (uint32_t i = 0; i < MAKE_BUDGETS; i++) {
        struct image_constraint *c = ib_constraint(b, "b", IMAGE_BUDGET, NULL, 0);
        c->unit = (enum image_unit)i;
        c->window = IMAGE_PER_DAY;
        c->limit = 1000;
    }
    if (s->more)
        s->more(b, r);
    d->image = ib_finish(b);
    struct policy_image *image = (struct policy_image *)(void *)b->block;
    image->dispatch.line = (uint32_t)rng_below(r, 2);
    if (image->dispatch.line) {
        image->dispatch.second_nusd = (int64_t)rng_below(r, 4000000);
        image->dispatch.kwh_nusd = (int64_t)rng_below(r, 200000000);
        image->dispatch.kg_nusd = (int64_t)rng_below(r, 200000000);
        for (int i = 0; i < IMAGE_SCORE_COUNT_; i++)
            image->dispatch.weights[i] = rng_below(r, 4) ? 1 : (float)rng_below(r, 5) / 2;
    }
}

static inline void make_place(struct dispatch_made *d, struct rng *r,
                              const struct dispatch_shape *s, uint32_t model,
                              struct pool_place *row)
{
    uint32_t endpoint = 0, n;
    const struct image_endpoint *e = IMAGE_AT(d->image, d->image->endpoints, struct image_endpoint);
    while (e[endpoint].model != (int32_t)model)
        endpoint++;
    for (n = 0;
         endpoint + n < d->image->endpoints.count && e[endpoint + n].model == (int32_t)model;)
        n++;
    *row = (struct pool_place){
        .endpoint = (int32_t)(endpoint + rng_below(r, n)),
        .model = (int32_t)model,
        .state = s->full || rng_below(r, 4) ? POOL_PLACE_UP : (uint8_t)rng_below(r, 6),
        .stale = !s->full && rng_below(r, 5) == 0,
        .in_flight = (uint32_t)rng_below(r, rng_below(r, 2) ? 8 : 300),
        .slots = rng_below(r, 3) ? 1 + (uint32_t)rng_below(r, 256) : 0,
        .queue = make_some(r, s, 0, rng_below(r, 2) ? 0 : 20),
        .running = make_some(r, s, 0, 200),
        .kv_use = make_some(r, s, 0, 1),
        .kv_tok = rng_below(r, 3) ? 20000 + (uint32_t)rng_below(r, 500000) : 0,
        .prefill_tok_s = make_some(r, s, 500, 30000),
        .first_ms = make_some(r, s, 1, 200),
        .each_ms = make_some(r, s, 3, 60),
        .carbon_g_kwh = make_some(r, s, 20, 700),
        .prefix_tok = rng_below(r, 2) ? 0 : (uint32_t)rng_below(r, 12000),
        .weight = rng_below(r, 2) ? 0 : (float)(500 + rng_below(r, 2000)) / 1000,
        .slot_nusd_s = rng_below(r, 3) ? 0 : (float)rng_below(r, 500000),
        .drain_tok_s = rng_below(r, 2) ? -1 : (float)(200 + rng_below(r, 20000)),
    };
    row->wait_tok = row->in_flight ? (uint32_t)rng_below(r, 40000) : 0;
    row->in_flight_tok = row->wait_tok + row->in_flight * (uint32_t)rng_below(r, 800);
    if (model % 5 == 4) {
        row->lora_loaded = rng_below(r, 3) == 0;
        row->lora_room = rng_below(r, 2) == 0;
    }
}

static inline void make_ask(struct dispatch_made *d, struct rng *r, const struct dispatch_shape *s)
{
    static const int32_t none = IMAGE_NONE;
    uint32_t at = 0, count = 0;
    for (uint32_t i = 0; i < s->models; i++) {
        uint32_t n = s->full ? s->places : 1 + (uint32_t)rng_below(r, s->places);
        d->first[i] = at;
        for (uint32_t k = 0; k < n; k++)
            make_place(d, r, s, i, &d->places[at++]);
        d->end[i] = at;
        at += (uint32_t)rng_below(r, 3); // room
    }
    for (uint32_t i = 0; i < at; i++)
        d->prefix_tok[i] = (uint32_t)rng_below(r, 9000);
    d->first[s->models] = at;
    d->pool = (struct pool_view){.count = s->models,
                                 .places = d->places,
                                 .first = d->first,
                                 .end = d->end,
                                 .prefix_tok = rng_below(r, 2) ? d->prefix_tok : NULL,
                                 .session_place = none,
                                 .session_model = none,
                                 .deadline_ms = rng_below(r, 2) ? 0 : (uint32_t)rng_below(r, 3000),
                                 .seed = rng_next(r),
                                 .turn = rng_next(r),
                                 .region = rng_below(r, 2) ? SLICE("eu") : SLICE_EMPTY};
    if (!s->plain && rng_below(r, 2)) {
        d->pool.session_model = (int32_t)rng_below(r, s->models);
        uint32_t first = d->first[d->pool.session_model], end = d->end[d->pool.session_model];
        d->pool.session_place = (int32_t)(first + rng_below(r, end - first));
        d->pool.session_tok = (uint32_t)rng_below(r, 20000);
        d->pool.session_locked = rng_below(r, 3) == 0;
    }
    memset(&d->work, 0, sizeof d->work);
    d->work.input_tok = (uint32_t)rng_below(r, 16000);
    d->work.stream = rng_below(r, 2);
    d->work.max_output_tok = rng_below(r, 2) ? 0 : 1 + (uint32_t)rng_below(r, 4000);
    for (uint32_t i = 0; i < MAKE_BUDGETS; i++)
        d->budget_states[i] =
            (struct budget_state){.open = s->plain || rng_below(r, 2),
                                  .left = 100,
                                  .price_nusd = rng_below(r, 2) ? 0 : rng_unit(r) * 2};
    d->budgets = (struct budget_view){.states = d->budget_states, .count = MAKE_BUDGETS};
    for (uint32_t i = 0; i < s->models; i++)
        for (uint32_t k = 0; k < s->efforts; k++) {
            const struct image_model *m = image_model(d->image, (int32_t)i);
            uint32_t out = 1 + (uint32_t)rng_below(r, 2000);
            d->actions[count] = (struct dispatch_action){
                .binding = {(int32_t)i, (enum image_effort)k},
                .binding_at = count,
                .closed = s->full || rng_below(r, 4) ? 0 : rng_next(r),
                .quality = m->quality,
                .expect = {.input_tok = d->work.input_tok,
                           .output_tok = out,
                           .output_low_tok = out / 2,
                           .output_high_tok = out * 2,
                           .cost_nusd = m->priced ? (m->price_in_nusd * d->work.input_tok +
                                                     m->price_out_nusd * out) /
                                                        1000000
                                                  : -1,
                           .energy_uj = rng_below(r, 4) ? (int64_t)rng_below(r, 500000000) : -1,
                           .marginal_uj = rng_below(r, 4) ? (int64_t)rng_below(r, 200000000) : -1,
                           .carbon_ug = rng_below(r, 4) ? (int64_t)rng_below(r, 50000) : -1}};
            count++;
        }
    d->ask = (struct dispatch_ask){.image = d->image,
                                   .work = &d->work,
                                   .pool = &d->pool,
                                   .budgets = &d->budgets,
                                   .objective = (enum image_objective)rng_below(r, 4),
                                   .actions = d->actions,
                                   .count = count};
}

static inline void make_all(struct dispatch_made *d, struct rng *r, const struct dispatch_shape *s)
{
    make_image(d, r, s);
    make_ask(d, r, s);
}

#endif
