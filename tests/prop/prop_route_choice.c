// Choosing with live places, budgets and learned lengths: only what is feasible and open is offered; the order is that of
// dispatch; lazily bought signals come to the same as all at once; and a record of it is read and decided again to the last
// byte. With nothing known the choice is that of the objective alone.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/arena.h"
#include "route/explain.h"
#include "route/lengths.h"
#include "route/record.h"
#include "route/route.h"
#include "support/dispatch_make.h"

enum { POLICIES = 1500, WORKS = 4, MODELS_MAX = 6, SIGNALS = 4, EFFORTS = 3 };

static struct dispatch_made made;
static struct rng rng;

static uint32_t below(uint32_t n)
{
    return (uint32_t)rng_below(&rng, n);
}

static struct image_list answer(struct image_builder *b, uint32_t models)
{
    struct image_binding bindings[MODELS_MAX * EFFORTS];
    uint32_t n = 0;
    for (uint32_t i = 0; i < models; i++)
        for (uint32_t e = 0; e < EFFORTS; e++)
            if (below(3))
                bindings[n++] = (struct image_binding){(int32_t)i, (enum image_effort)e};
    if (!n)
        bindings[n++] = (struct image_binding){0, IMAGE_EFFORT_DEFAULT};
    for (uint32_t i = n; i > 1; i--) {
        uint32_t k = below(i);
        struct image_binding t = bindings[i - 1];
        bindings[i - 1] = bindings[k];
        bindings[k] = t;
    }
    return ib_answer(b, bindings, n);
}

static void add_routes(struct image_builder *b, struct rng *r)
{
    static const char *const names[SIGNALS] = {"s0", "s1", "s2", "s3"};
    (void)r;
    for (int i = 0; i < SIGNALS; i++) {
        ib_signal(b, names[i], SIGNAL_BOOL);
        ib_atom(b, i, IMAGE_OP_TRUE, 0, names[i]);
    }
    const struct image_node guard = {IMAGE_NODE_ATOM, below(SIGNALS), 1};
    for (int i = 0; i < 2; i++) {
        struct image_route *route =
            ib_route(b, i ? "rest" : "some", &guard, i ? 0 : 1, answer(b, b->model_count));
        route->objective = (enum image_objective)below(4);
        if (below(4) == 0)
            route->quality_min = 0.5F;
    }
    for (uint32_t i = below(4); i > 0; i--) {
        const struct image_node when = {IMAGE_NODE_ATOM, below(SIGNALS), 1};
        struct image_constraint *c = ib_constraint(b, "c", IMAGE_FORBID, &when, below(4) ? 1 : 0);
        c->target = below(3) ? IMAGE_FORBID_ENDPOINT : IMAGE_FORBID_MODEL;
        c->index =
            (int32_t)below(c->target == IMAGE_FORBID_MODEL ? b->model_count : b->endpoint_count);
    }
}

static const struct route_table *open_table(struct arena *arena)
{
    static struct route_costs costs;
    const struct route_table *t;
    costs = (struct route_costs){.own_ns = ARENA_ARRAY(arena, uint32_t, SIGNALS),
                                 .group = ARENA_ARRAY(arena, uint8_t, SIGNALS)};
    assert_int_equal(route_table_open(made.image, &costs, arena, &t), RESULT_OK);
    return t;
}

static struct fact facts[SIGNALS];

static struct decision *decide(const struct route_table *t, const struct pool_view *pool,
                               const struct route_options *options, struct arena *arena)
{
    struct route_run run;
    int32_t s;
    assert_int_equal(route_begin(&run, t, &made.work, pool, options, arena), RESULT_OK);
    while (route_step(&run, &s) == ROUTE_NEED)
        route_feed(&run, s, &facts[s]);
    return run.decision;
}

static const struct image_step *step_of(const struct decision *d)
{
    const struct image_route *r = image_route(d->image, d->route);
    return IMAGE_AT(d->image, image_chains(d->image, r)[0].steps, struct image_step);
}

static bool closed(const struct decision *d, int32_t endpoint)
{
    const struct policy_image *p = d->image;
    const struct image_constraint *c = IMAGE_AT(p, p->constraints, struct image_constraint);
    const struct image_endpoint *e = IMAGE_AT(p, p->endpoints, struct image_endpoint);
    for (uint32_t i = 0; i < p->constraints.count; i++) {
        const struct image_node *g = IMAGE_AT(p, c[i].guard, struct image_node);
        bool holds = !c[i].guard.count || facts[g->arg].number != 0;
        if (c[i].kind == IMAGE_FORBID && c[i].target == IMAGE_FORBID_ENDPOINT && holds &&
            slice_eq(image_text(p, e[c[i].index].url), image_text(p, e[endpoint].url)))
            return true;
    }
    return false;
}

static void options_are_sound(const struct decision *d)
{
    const struct image_step *s = step_of(d);
    const struct image_binding *b = IMAGE_AT(d->image, s->bindings, struct image_binding);
    assert_true(d->option_count > 0);
    assert_int_equal(d->options[0].binding.model, d->model);
    assert_int_equal(d->options[0].binding.effort, d->effort);
    assert_int_equal(d->options[0].place, d->place);
    for (uint32_t i = 0; i < d->option_count; i++) {
        const struct decision_option *o = &d->options[i];
        assert_true(o->binding_at < s->bindings.count);
        assert_true(d->fits[o->binding_at / 64] >> (o->binding_at % 64) & 1);
        assert_int_equal(b[o->binding_at].model, o->binding.model);
        for (uint32_t k = 0; k < i; k++)
            assert_int_not_equal(d->options[k].binding_at, o->binding_at);
        if (o->place < 0)
            continue;
        const struct pool_place *row = &made.places[o->place];
        assert_int_equal(row->model, o->binding.model);
        assert_true(o->place >= (int32_t)made.first[row->model] &&
                    o->place < (int32_t)made.end[row->model]);
        bool own = o->place == made.pool.session_place;
        assert_true(row->state == POOL_PLACE_UP || (own && row->state == POOL_PLACE_DRAINING));
        assert_false(closed(d, row->endpoint));
    }
}

// The lock, the objective, then what counts of the price.
static void order_is_that_of_dispatch(const struct decision *d)
{
    for (uint32_t i = 1; i < d->option_count; i++) {
        const struct decision_option *a = &d->options[i - 1], *b = &d->options[i];
        bool locked = made.pool.session_locked && made.pool.session_model >= 0;
        bool away_a = locked && a->binding.model != made.pool.session_model;
        bool away_b = locked && b->binding.model != made.pool.session_model;
        assert_true(away_a <= away_b);
        if (away_a != away_b)
            continue;
        switch (image_route(d->image, d->route)->objective) {
        case IMAGE_OBJECTIVE_ORDER:
            assert_true(a->binding_at < b->binding_at);
            break;
        case IMAGE_OBJECTIVE_QUALITY: {
            float qa = image_model(d->image, a->binding.model)->quality,
                  qb = image_model(d->image, b->binding.model)->quality;
            assert_true(qa >= qb);
            assert_true(qa > qb || dispatch_between(d->image, a) <= dispatch_between(d->image, b));
            break;
        }
        default:
            assert_true(dispatch_between(d->image, a) <= dispatch_between(d->image, b));
        }
    }
}

static void same_bytes(const struct buf *a, const struct buf *b)
{
    if (!slice_eq(buf_slice(a), buf_slice(b)))
        fprintf(stderr, "%.*s\n%.*s\n", SLICE_FMT(buf_slice(a)), SLICE_FMT(buf_slice(b)));
    assert_true(slice_eq(buf_slice(a), buf_slice(b)));
}

static void is_decided_again(const struct route_table *t, const struct decision *d,
                             struct arena *arena)
{
    struct buf a, b;
    struct decision *read, *replayed, *again;
    buf_init(&a, 1 << 20);
    buf_init(&b, 1 << 20);
    record_compact(d, &a);
    if (record_read(d->image, buf_slice(&a), arena, &read))
        fail_msg("not read: %.*s", SLICE_FMT(buf_slice(&a)));
    record_compact(read, &b);
    same_bytes(&a, &b);
    assert_int_equal(record_replay(t, read, arena, &replayed), RESULT_OK);
    buf_reset(&b);
    record_compact(replayed, &b);
    same_bytes(&a, &b);
    // Damaged lines are read as something else or not at all.
    for (int k = 0; k < 12; k++) {
        struct decision *other;
        struct slice line = arena_copy(arena, buf_slice(&a));
        char *bytes = (char *)(uintptr_t)line.ptr;
        for (uint32_t n = 1 + below(3); n > 0; n--)
            bytes[below((uint32_t)line.len)] = "0123456789-,[]e."[below(16)];
        if (record_read(d->image, line, arena, &other) == RESULT_OK) {
            struct buf out;
            buf_init(&out, 1 << 20);
            record_json(other, NULL, &out);
            explain_text(other, &(struct explain_options){.width = 100}, &out);
            if (record_replay(t, other, arena, &again) == RESULT_OK)
                record_compact(again, &out);
            buf_deinit(&out);
        }
    }
    buf_reset(&a);
    buf_reset(&b);
    record_json(d, NULL, &a);
    record_json(replayed, NULL, &b);
    // Estimates that nobody decided by are not in a line; all that somebody did is there again, every option of it.
    const struct slice from = SLICE("\"models\":[");
    ptrdiff_t x = slice_find(buf_slice(&a), from), y = slice_find(buf_slice(&b), from);
    assert_true(x > 0 && y > 0);
    if (d->priced &&
        !slice_eq(slice_from(buf_slice(&a), (size_t)x), slice_from(buf_slice(&b), (size_t)y)))
        fail_msg("%.*s\n%.*s", SLICE_FMT(slice_from(buf_slice(&a), (size_t)x)),
                 SLICE_FMT(slice_from(buf_slice(&b), (size_t)y)));
    buf_deinit(&a);
    buf_deinit(&b);
}

static struct lengths_epoch *learned(struct lengths *l)
{
    struct lengths_epoch *e;
    for (uint32_t i = 0; i < 300; i++) {
        struct lengths_answer a = {.effort = (enum image_effort)below(EFFORTS)};
        const struct image_model *m =
            image_model(made.image, (int32_t)below(made.image->models.count));
        a.model = lengths_name(image_text(made.image, m->name));
        a.task = lengths_task(&made.work, below(2) ? lengths_name(SLICE("rest")) : 0, 0);
        lengths_expect(NULL, a.model, a.effort, &a.task, 0, &a.expected);
        a.output_tok = 1 + below(900);
        a.input_tok = 1 + made.work.input_tok;
        lengths_saw(l, 0, &a);
    }
    lengths_merge(l);
    assert_int_equal(lengths_epoch_make(l, &e), RESULT_OK);
    return e;
}

static void chooses_soundly_and_again(void **state)
{
    struct arena arena;
    uint32_t priced = 0, several = 0, moved = 0, busy = 0, left = 0, elsewhere = 0;
    (void)state;
    rng_seed(&rng, 21);
    arena_init(&arena, 1 << 20, 1 << 26);
    for (int n = 0; n < POLICIES; n++) {
        const struct dispatch_shape shape = {.models = 1 + below(MODELS_MAX),
                                             .places = 1 + below(6),
                                             .efforts = EFFORTS,
                                             .full = below(3) == 0,
                                             .more = add_routes};
        arena_reset(&arena);
        make_image(&made, &rng, &shape);
        const struct route_table *t = open_table(&arena);
        struct lengths *lengths = NULL;
        struct lengths_epoch *epoch = NULL;
        if (n % 3 == 0) {
            assert_int_equal(lengths_open(&lengths, 1), RESULT_OK);
            make_ask(&made, &rng, &shape);
            epoch = learned(lengths);
        }
        for (int w = 0; w < WORKS; w++) {
            make_ask(&made, &rng, &shape);
            made.work.choices = 1;
            made.budgets.count = made.image->constraints.count < MAKE_BUDGETS
                                     ? made.image->constraints.count
                                     : MAKE_BUDGETS;
            for (int i = 0; i < SIGNALS; i++)
                facts[i] = (struct fact){.state = FACT_KNOWN, .number = below(2), .probability = 1};
            struct route_options o = {.budgets = below(2) ? &made.budgets : NULL,
                                      .lengths = below(2) ? epoch : NULL,
                                      .estimates = below(2)};
            const struct decision *d = decide(t, &made.pool, &o, &arena);
            is_decided_again(t, d, &arena);
            // All signals at once come to the same.
            o.given = facts;
            const struct decision *eager = decide(t, &made.pool, &o, &arena);
            o.given = NULL;
            assert_int_equal(eager->end, d->end);
            assert_int_equal(eager->model, d->model);
            assert_int_equal(eager->effort, d->effort);
            assert_int_equal(eager->place, d->place);
            assert_int_equal(eager->option_count, d->option_count);
            for (uint32_t i = 0; i < d->option_count; i++) {
                assert_int_equal(eager->options[i].binding_at, d->options[i].binding_at);
                assert_int_equal(eager->options[i].place, d->options[i].place);
                assert_true(eager->options[i].price_nusd == d->options[i].price_nusd);
            }
            const struct decision *blind = decide(t, NULL, NULL, &arena);
            assert_int_equal(blind->end, d->end);
            if (d->end != DECISION_ANSWER)
                continue;
            assert_false(blind->priced);
            options_are_sound(d);
            if (d->priced && d->options[0].place >= 0)
                order_is_that_of_dispatch(d);
            priced += d->priced;
            several += d->option_count > 1;
            moved += d->model != blind->model;
            elsewhere += d->priced && d->place != (int32_t)made.first[d->model];
            left += blind->option_count > d->option_count;
            for (uint32_t m = 0; m < made.image->models.count; m++)
                busy += d->model_outcomes[m].verdict == MODEL_BUSY;
        }
        lengths_epoch_unref(epoch);
        lengths_close(lengths);
        ib_deinit(&made.builder);
    }
    printf(
        "priced %u, several %u, another model %u, busy %u, left out %u, not the first place %u\n",
        priced, several, moved, busy, left, elsewhere);
    assert_true(priced > 2000 && several > 2000 && moved > 300 && busy > 200 && left > 200 &&
                elsewhere > 1000);
    arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(chooses_soundly_and_again)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
