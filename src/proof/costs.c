// What the signals of each route cost: expected, over the requests that the space has drawn, bought as the router buys
// them; and at most, when every signal is bought that the routes up to it look at.
#include <string.h>

#include "proof/check_inner.h"

enum {
    COST_REQUESTS = 2000, // of the drawn ones that are routed
    COST_LENGTH = 2, // the class of length that artifacts are priced for: texts up to 2,048 bytes
};

struct bill {
    const struct route_costs *costs;
    uint32_t paid; // bit per group
    uint64_t ns;
};

static void buy(struct bill *b, int32_t signal)
{
    b->ns += route_price_ns(b->costs, COST_LENGTH, b->paid, signal);
    b->paid |= 1u << b->costs->group[signal];
}

// Routes one request, feeding what is asked for; the route, or IMAGE_NONE.
static int32_t route_one(struct proof *p, const struct route_table *table, struct arena *arena,
                         const struct fact *facts, struct bill *bill)
{
    const struct work work = {.choices = 1, .anchor = WORK_NO_ANCHOR, .input_tok = 64};
    struct route_run run;
    int32_t signal;
    if (route_begin(&run, table, &work, NULL, NULL, arena)) {
        p->err = RESULT_NOMEM;
        return IMAGE_NONE;
    }
    while (route_step(&run, &signal) == ROUTE_NEED) {
        buy(bill, signal);
        if (facts[signal].state == FACT_UNKNOWN)
            route_fail(&run, signal, FACT_ERROR_INPUT);
        else
            route_feed(&run, signal, &facts[signal]);
    }
    return run.decision->route;
}

static void draw(struct proof *p, const struct route_table *table, struct proof_route *routes)
{
    struct arena arena;
    uint32_t n = p->image->routes.count, done = 0;
    uint64_t *sum = ARENA_ARRAY(p->arena, uint64_t, n + 1);
    uint32_t *count = ARENA_ARRAY(p->arena, uint32_t, n + 1);
    struct fact *facts = ARENA_ARRAY(p->arena, struct fact, p->image->signals.count + 1);
    const uint64_t *live = space_live(p->space);
    if (!sum || !count || !facts) {
        p->err = RESULT_NOMEM;
        return;
    }
    arena_init(&arena, 64 * 1024, 64 * 1024 * 1024);
    uint32_t drawn = space_drawn(p->space);
    for (uint32_t k = 0; k < drawn && done < COST_REQUESTS && !p->err; k++) {
        // All over the space: where it is enumerated, neighbours differ in few signals. The factor is prime.
        uint32_t i = (uint32_t)(k * UINT64_C(2654435761) % drawn);
        struct bill bill = {.costs = p->options->costs};
        if (!(live[i / 64] >> (i % 64) & 1))
            continue;
        done++;
        space_choose(p->space, i);
        arena_reset(&arena);
        enum result r = space_model(p->space, 0, &arena, facts);
        if (r == RESULT_NOMEM)
            p->err = r;
        if (r)
            continue; // a request that cannot be told in values is not counted
        int32_t route = route_one(p, table, &arena, facts, &bill);
        if (route >= 0) {
            sum[route] += bill.ns;
            count[route]++;
        }
    }
    for (uint32_t i = 0; i < n; i++)
        routes[i].signals_ns = count[i] ? (double)sum[i] / count[i] : 0;
    arena_deinit(&arena);
}

// Adds what a guard looks at, through derived signals.
static void look(struct proof *p, struct image_list guard, struct bill *bill, bool *bought);

static void look_signal(struct proof *p, int32_t signal, struct bill *bill, bool *bought)
{
    const struct image_signal *s = image_signal(p->image, signal);
    const struct image_term *t = IMAGE_AT(p->image, s->terms, struct image_term);
    if (bought[signal])
        return;
    bought[signal] = true;
    if (!s->derive)
        buy(bill, signal);
    for (uint32_t i = 0; i < s->terms.count; i++) {
        look(p, t[i].guard, bill, bought);
        if (t[i].signal >= 0)
            look_signal(p, t[i].signal, bill, bought);
    }
}

static void look(struct proof *p, struct image_list guard, struct bill *bill, bool *bought)
{
    const struct image_node *n = IMAGE_AT(p->image, guard, struct image_node);
    const struct image_atom *atoms = IMAGE_AT(p->image, p->image->atoms, struct image_atom);
    for (uint32_t i = 0; i < guard.count; i++)
        if (n[i].kind == IMAGE_NODE_ATOM)
            look_signal(p, atoms[n[i].arg].signal, bill, bought);
}

static void at_most(struct proof *p, struct proof_route *routes)
{
    struct bill bill = {.costs = p->options->costs};
    bool *bought = ARENA_ARRAY(p->arena, bool, p->image->signals.count + 1);
    const struct image_constraint *c =
        IMAGE_AT(p->image, p->image->constraints, struct image_constraint);
    if (!bought) {
        p->err = RESULT_NOMEM;
        return;
    }
    for (uint32_t i = 0; i < p->image->constraints.count; i++)
        look(p, c[i].guard, &bill, bought);
    for (uint32_t i = 0; i < p->image->routes.count; i++) {
        look(p, image_route(p->image, (int32_t)i)->guard, &bill, bought);
        routes[i].signals_worst_ns = bill.ns;
    }
}

void proof_costs(struct proof *p, struct proof_route *routes)
{
    const struct route_table *table;
    if (!p->options->costs)
        return;
    at_most(p, routes);
    enum result r = route_table_open(p->image, p->options->costs, p->arena, &table);
    if (r == RESULT_NOMEM)
        p->err = r;
    else if (!r && !p->err)
        draw(p, table, routes);
}
