// route/: what is bought in which order, what is told of routes and models, estimates, names and aliases.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "route/estimate.h"
#include "route/explain.h"
#include "route/route.h"
#include "support/image_builder.h"

enum { CODE, LENGTH, TOPIC, TAGS, SIGNALS };
enum { SMALL, LARGE, VISION, MODELS };

#define ATOM(i)                                                                                    \
    {                                                                                              \
        IMAGE_NODE_ATOM, (i), 1                                                                    \
    }

struct fixture {
    struct image_builder b;
    struct arena arena;
    const struct policy_image *image;
    struct route_costs costs;
    const struct route_table *table;
    struct work work;
};

static struct fixture f;
static const uint32_t own_ns[SIGNALS] = {100, 20, 60, 60};
static const uint8_t groups[SIGNALS] = {1, 0, 1, 0};

static void add_models(void)
{
    struct image_model *m = ib_model(&f.b, "small");
    *m = (struct image_model){.name = m->name, .upstream_name = m->name, .zone = -1};
    m->context_tok = 4000;
    m->output_tok = 500;
    m->priced = true;
    m->price_in_nusd = 30000000;
    m->price_out_nusd = 60000000;
    m->quality = 0.5f;
    m = ib_model(&f.b, "large");
    m->priced = true;
    m->price_in_nusd = 1250000000;
    m->price_out_nusd = 10000000000;
    m->quality = 0.9f;
    m->can = WORK_NEED_TOOLS;
    m = ib_model(&f.b, "vision");
    m->can = WORK_NEED_IMAGES;
}

// code: code and not short -> large, else refuse; long: length > 100 or topic in (1, 2) -> any, minimise cost;
// otherwise -> small, large, vision in order.
static int set_up(void **state)
{
    (void)state;
    ib_init(&f.b);
    arena_init(&f.arena, 1 << 16, 1 << 24);
    add_models();
    ib_signal(&f.b, "code", SIGNAL_BOOL);
    ib_signal(&f.b, "length", SIGNAL_NUMBER);
    ib_signal(&f.b, "topic", SIGNAL_ENUM);
    ib_signal(&f.b, "tags", SIGNAL_SET);
    uint32_t code = ib_atom(&f.b, CODE, IMAGE_OP_TRUE, 0, "code");
    uint32_t brief = ib_atom(&f.b, LENGTH, IMAGE_OP_LT, 10, "length < 10");
    uint32_t lengthy = ib_atom(&f.b, LENGTH, IMAGE_OP_GT, 100, "length > 100");
    uint32_t topic = ib_atom(&f.b, TOPIC, IMAGE_OP_IN, 0, "topic in (law, health)");
    f.b.atoms[topic].words = 6;
    const struct image_node first[] = {
        {IMAGE_NODE_AND, 2, 4}, ATOM(code), {IMAGE_NODE_NOT, 0, 2}, ATOM(brief)};
    const struct image_node second[] = {{IMAGE_NODE_OR, 2, 3}, ATOM(lengthy), ATOM(topic)};
    const struct image_binding large = {LARGE, IMAGE_EFFORT_HIGH};
    const struct image_binding all[] = {{SMALL, IMAGE_EFFORT_DEFAULT},
                                        {LARGE, IMAGE_EFFORT_DEFAULT},
                                        {VISION, IMAGE_EFFORT_DEFAULT}};
    struct image_route *r = ib_route(&f.b, "code", first, 4, ib_answer(&f.b, &large, 1));
    ib_else(&f.b, r, ib_refuse(&f.b, "not now"));
    ib_route(&f.b, "long", second, 3, ib_answer(&f.b, all, 3))->objective = IMAGE_OBJECTIVE_COST;
    ib_route(&f.b, "rest", NULL, 0, ib_answer(&f.b, all, 3));
    ib_alias(&f.b, "fast", IMAGE_TARGET_MODEL, SMALL);
    ib_alias(&f.b, "coder", IMAGE_TARGET_ROUTE, 0);
    ib_alias(&f.b, "gpt-4o", IMAGE_TARGET_ROUTES, 0);
    f.image = ib_finish(&f.b);
    f.costs = (struct route_costs){.own_ns = own_ns, .group = groups};
    for (int i = 0; i < ROUTE_LENGTHS; i++)
        f.costs.group_ns[1][i] = 1000;
    memset(&f.work, 0, sizeof f.work);
    f.work.choices = 1;
    f.work.input_tok = 100;
    return route_table_open(f.image, &f.costs, &f.arena, &f.table);
}

static int tear_down(void **state)
{
    (void)state;
    arena_deinit(&f.arena);
    ib_deinit(&f.b);
    return 0;
}

static void begin(struct route_run *run)
{
    assert_int_equal(route_begin(run, f.table, &f.work, NULL, NULL, &f.arena), RESULT_OK);
}

static void expect_need(struct route_run *run, int32_t signal)
{
    int32_t s = -1;
    assert_int_equal(route_step(run, &s), ROUTE_NEED);
    assert_int_equal(s, signal);
}

static void give(struct route_run *run, int32_t signal, double number)
{
    struct fact *at = route_fact(run, signal);
    *at = (struct fact){.state = FACT_KNOWN, .number = number, .probability = 1, .cost_ns = 10};
    route_feed(run, signal, at);
}

static struct decision *decided(struct route_run *run)
{
    int32_t s;
    assert_int_equal(route_step(run, &s), ROUTE_DECIDED);
    return run->decision;
}

static void cheapest_first_and_shared_scan_once(void **state)
{
    (void)state;
    struct route_run run;
    begin(&run);
    // 20 ns against 100 ns and a scan of 1,000 ns.
    expect_need(&run, LENGTH);
    give(&run, LENGTH, 50);
    // Length alone settles nothing: the code signal pays for the scan, so the topic then costs 60 ns.
    expect_need(&run, CODE);
    give(&run, CODE, 0);
    expect_need(&run, TOPIC);
    give(&run, TOPIC, 0);
    struct decision *d = decided(&run);
    assert_int_equal(d->route, 2);
    assert_int_equal(d->model, SMALL);
    assert_int_equal(d->avoided_ns, own_ns[TAGS]);
    assert_int_equal(route_outcome(d, 0).verdict, ROUTE_FALSE);
    assert_int_equal(route_outcome(d, 0).atom, 0);
    assert_int_equal(route_outcome(d, 1).verdict, ROUTE_FALSE);
    assert_int_equal(route_outcome(d, 1).atom, 2);
    assert_int_equal(d->model_outcomes[LARGE].verdict, MODEL_LATER);
}

static void stops_when_nothing_can_change(void **state)
{
    (void)state;
    struct route_run run;
    begin(&run);
    expect_need(&run, LENGTH);
    give(&run, LENGTH, 5);
    // A short text refutes the first route whatever code is; the second needs the topic.
    expect_need(&run, TOPIC);
    give(&run, TOPIC, 2);
    struct decision *d = decided(&run);
    assert_int_equal(d->route, 1);
    assert_int_equal(d->facts[CODE].state, FACT_UNKNOWN);
    // The scan was paid for by the topic: of what was not asked only its own part is saved.
    assert_int_equal(d->avoided_ns, own_ns[CODE] + own_ns[TAGS]);
    assert_int_equal(route_outcome(d, 0).atom, 1);
    assert_int_equal(route_outcome(d, 2).verdict, ROUTE_NOT_REACHED);
    assert_int_equal(d->model, SMALL);
    assert_int_equal(d->model_outcomes[LARGE].verdict, MODEL_DEARER);
    assert_int_equal(d->model_outcomes[VISION].verdict, MODEL_UNPRICED);
    assert_int_equal(d->cost_nusd, (100 * 30000000LL + 256 * 60000000LL) / 1000000);
    assert_true(d->model_outcomes[VISION].cost_nusd < 0);
}

static void a_failure_holds_the_on_error(void **state)
{
    (void)state;
    struct route_run run;
    ((struct image_signal *)(uintptr_t)image_signal(f.image, LENGTH))->error_number = 1000;
    begin(&run);
    expect_need(&run, LENGTH);
    route_fail(&run, LENGTH, FACT_ERROR_DEADLINE);
    expect_need(&run, CODE);
    give(&run, CODE, 0);
    struct decision *d = decided(&run);
    assert_int_equal(d->route, 1);
    assert_int_equal(d->facts[LENGTH].state, FACT_FAILED);
    assert_int_equal(d->facts[LENGTH].error, FACT_ERROR_DEADLINE);
}

static struct decision *ask(const char *model, uint32_t needs)
{
    struct route_run run;
    f.work.model_asked = slice_cstr(model);
    f.work.needs = needs;
    begin(&run);
    return decided(&run);
}

static void names_and_aliases(void **state)
{
    (void)state;
    struct decision *d = ask("vision", 0);
    assert_int_equal(d->by, DECISION_BY_NAME);
    assert_int_equal(d->model, VISION);
    assert_int_equal(d->route, IMAGE_NONE);
    assert_int_equal(d->cost_nusd, -1);
    assert_int_equal(route_outcome(d, 1).verdict, ROUTE_BYPASSED);
    d = ask("fast", 0);
    assert_int_equal(d->by, DECISION_BY_ALIAS);
    assert_int_equal(d->model, SMALL);
    d = ask("coder", 0);
    assert_int_equal(d->route, 0);
    assert_int_equal(d->model, LARGE);
    assert_int_equal(d->effort, IMAGE_EFFORT_HIGH);
    assert_int_equal(d->model_outcomes[SMALL].verdict, MODEL_NOT_CANDIDATE);
    d = ask("coder", WORK_NEED_IMAGES);
    assert_int_equal(d->end, DECISION_REFUSE);
    assert_true(d->took_else);
    assert_true(slice_eq(d->message, SLICE("not now")));
    assert_int_equal(d->model_outcomes[LARGE].verdict, MODEL_LACKS);
    assert_int_equal(d->model_outcomes[LARGE].missing, WORK_NEED_IMAGES);
    d = ask("gpt-5", 0);
    assert_int_equal(d->end, DECISION_NO_MODEL);
    assert_int_equal(d->by, DECISION_BY_NAME);
    assert_int_equal(d->model, IMAGE_NONE);
    struct route_run run;
    f.work.model_asked = SLICE("auto");
    begin(&run);
    expect_need(&run, LENGTH);
    f.work.model_asked = SLICE("gpt-4o");
    begin(&run);
    assert_int_equal(run.decision->by, DECISION_BY_ROUTES);
    expect_need(&run, LENGTH);
    struct route_options o = {.model = SLICE("small"), .observe = true};
    assert_int_equal(route_begin(&run, f.table, &f.work, NULL, &o, &f.arena), RESULT_OK);
    assert_int_equal(decided(&run)->model, SMALL);
    assert_true(run.decision->observed);
}

static void infeasible_says_why(void **state)
{
    (void)state;
    uint8_t states[MODELS] = {POOL_MODEL_UP, POOL_MODEL_DOWN, POOL_MODEL_NO_KEY};
    struct pool_view pool = {.epoch = 9, .states = states, .count = MODELS};
    struct route_run run;
    struct fact given[SIGNALS] = {{.state = FACT_GIVEN}, {.state = FACT_GIVEN, .number = 500}};
    struct route_options o = {.given = given};
    f.work.input_tok = 3900;
    assert_int_equal(route_begin(&run, f.table, &f.work, &pool, &o, &f.arena), RESULT_OK);
    struct decision *d = decided(&run);
    assert_int_equal(d->end, DECISION_INFEASIBLE);
    assert_int_equal(d->route, 1);
    assert_int_equal(d->pool_epoch, 9);
    assert_int_equal(route_outcome(d, 1).verdict, ROUTE_INFEASIBLE);
    assert_int_equal(d->model_outcomes[SMALL].verdict, MODEL_WINDOW);
    assert_int_equal(d->model_outcomes[SMALL].need_tok, 3900 + ESTIMATE_OUTPUT_TOK);
    assert_int_equal(d->model_outcomes[LARGE].verdict, MODEL_DOWN);
    assert_int_equal(d->model_outcomes[VISION].verdict, MODEL_NO_KEY);
    struct buf why;
    buf_init(&why, 4096);
    explain_infeasible(d, &why);
    assert_true(
        slice_eq(buf_slice(&why),
                 SLICE("no model of route \"long\" can serve this request: small: needs 4156 "
                       "tokens, its window has 4000; large: no endpoint of it is up; vision: "
                       "its key is missing (env )")));
    buf_deinit(&why);
    f.work.input_tok = 10;
    f.work.max_output_tok = 501;
    assert_int_equal(route_begin(&run, f.table, &f.work, &pool, &o, &f.arena), RESULT_OK);
    assert_int_equal(decided(&run)->model_outcomes[SMALL].verdict, MODEL_OUTPUT);
    assert_int_equal(run.decision->model_outcomes[SMALL].need_tok, 501);
}

static void estimates(void **state)
{
    (void)state;
    struct work w = {.choices = 2};
    struct image_model m = {.output_tok = 200};
    assert_int_equal(estimate_output_tok(&w, NULL, 0), 512);
    assert_int_equal(estimate_output_tok(&w, &m, 0), 400);
    assert_int_equal(estimate_output_tok(&w, &m, 50), 100);
    w.max_output_tok = 30;
    assert_int_equal(estimate_output_tok(&w, &m, 0), 60);
    assert_int_equal(estimate_reserve_tok(&w, &m, 0), 30);
    w.choices = UINT32_MAX;
    assert_int_equal(estimate_output_tok(&w, &m, 0), UINT32_MAX);
    assert_int_equal(estimate_cost_nusd(&m, 1, 0, 1), -1);
    m.priced = true;
    assert_int_equal(estimate_cost_nusd(&m, 1000, 0, 1000), 0);
    m.price_in_nusd = 2500000000;
    m.price_cached_nusd = 1250000000;
    m.price_out_nusd = 10000000000;
    assert_int_equal(estimate_cost_nusd(&m, 1000, 400, 10), 600 * 2500 + 400 * 1250 + 10 * 10000);
    assert_int_equal(estimate_cost_nusd(&m, 100, 400, 0), 100 * 1250);
    assert_true(estimate_cost_nusd(&m, UINT64_MAX, 0, 0) == INT64_MAX);
    assert_true(estimate_cost_nusd(&m, 0, 0, INT64_MAX / 2) == INT64_MAX);
}

static void atoms(void **state)
{
    (void)state;
    struct slice texts[] = {SLICE("b"), SLICE("c")};
    struct fact tags = {.state = FACT_KNOWN, .texts = texts, .text_count = 2};
    struct image_str names[] = {ib_str(&f.b, "a"), ib_str(&f.b, "c")};
    struct image_atom a = {.signal = TAGS, .op = IMAGE_OP_IN, .texts = IB_LIST(&f.b, names, 2)};
    assert_true(route_atom_holds(f.image, &a, &tags));
    a.op = IMAGE_OP_NE;
    assert_false(route_atom_holds(f.image, &a, &tags));
    a.texts.count = 1;
    assert_true(route_atom_holds(f.image, &a, &tags));
    a.op = IMAGE_OP_TRUE;
    assert_true(route_atom_holds(f.image, &a, &tags));
    tags.text_count = 0;
    assert_false(route_atom_holds(f.image, &a, &tags));
    struct fact topic = {.state = FACT_KNOWN, .number = 63};
    struct image_atom in = {.signal = TOPIC, .op = IMAGE_OP_IN, .words = UINT64_C(1) << 63};
    assert_true(route_atom_holds(f.image, &in, &topic));
    topic.number = 64;
    assert_false(route_atom_holds(f.image, &in, &topic));
    topic.number = -1;
    assert_false(route_atom_holds(f.image, &in, &topic));
}

static void damaged_guards_are_refused(void **state)
{
    (void)state;
    const struct route_table *t;
    struct image_node *n = (struct image_node *)(uintptr_t)IMAGE_AT(
        f.image, image_route(f.image, 0)->guard, struct image_node);
    struct image_node saved[4];
    memcpy(saved, n, sizeof saved);
    n[1].arg = 99;
    assert_int_equal(route_table_open(f.image, &f.costs, &f.arena, &t), RESULT_SYNTAX);
    memcpy(n, saved, sizeof saved);
    n[2].size = 200;
    assert_int_equal(route_table_open(f.image, &f.costs, &f.arena, &t), RESULT_SYNTAX);
    memcpy(n, saved, sizeof saved);
    n[0].arg = 3;
    assert_int_equal(route_table_open(f.image, &f.costs, &f.arena, &t), RESULT_SYNTAX);
    memcpy(n, saved, sizeof saved);
    assert_int_equal(route_table_open(f.image, &f.costs, &f.arena, &t), RESULT_OK);
}

static void memory_runs_out_cleanly(void **state)
{
    (void)state;
    uint64_t n = 1;
    for (enum result r = RESULT_NOMEM; r; n++) {
        struct arena a;
        const struct route_table *t;
        struct route_run run;
        arena_init(&a, 64, 1 << 20);
        alloc_fail_at(n, 0);
        r = route_table_open(f.image, &f.costs, &a, &t);
        if (!r)
            r = route_begin(&run, t, &f.work, NULL, NULL, &a);
        alloc_fail_at(0, 0);
        assert_true(r == RESULT_OK || r == RESULT_NOMEM);
        arena_deinit(&a);
    }
    assert_true(n > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(cheapest_first_and_shared_scan_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stops_when_nothing_can_change, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failure_holds_the_on_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_and_aliases, set_up, tear_down),
        cmocka_unit_test_setup_teardown(infeasible_says_why, set_up, tear_down),
        cmocka_unit_test_setup_teardown(estimates, set_up, tear_down),
        cmocka_unit_test_setup_teardown(atoms, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_guards_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_runs_out_cleanly, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
