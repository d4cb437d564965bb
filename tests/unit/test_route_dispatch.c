// Dispatch against the formulas computed one place at a time, and what the modes, locks and limits mean.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "support/dispatch_make.h"
#include "support/dispatch_naive.h"

static struct dispatch_made made;
static struct decision_option options[DISPATCH_ACTIONS_MAX];

static void agrees_with_the_formulas(void **state)
{
    struct rng r;
    uint32_t left_out = 0, several = 0;
    (void)state;
    rng_seed(&r, 11);
    for (int round = 0; round < 3000; round++) {
        const struct dispatch_shape shape = {.models = 1 + (uint32_t)rng_below(&r, 8),
                                             .places = 1 + (uint32_t)rng_below(&r, 20),
                                             .efforts = 1 + (uint32_t)rng_below(&r, 3),
                                             .full = rng_below(&r, 4) == 0,
                                             .plain = rng_below(&r, 3) == 0};
        const char *why = "";
        make_all(&made, &r, &shape);
        uint32_t n = dispatch_choose(&made.ask, options, DISPATCH_ACTIONS_MAX);
        if (!naive_agrees(&made.ask, options, n, 1e-4, &why))
            fail_msg("round %d: %s", round, why);
        left_out += n < made.ask.count;
        several += n > 1;
        ib_deinit(&made.builder);
    }
    assert_true(left_out > 100);
    assert_true(several > 1000);
}

static void gives_the_first_of_many_and_the_same_again(void **state)
{
    struct rng r;
    struct decision_option few[DISPATCH_ACTIONS_MAX], again[DISPATCH_ACTIONS_MAX];
    const struct dispatch_shape shape = {.models = 9, .places = 5, .efforts = 2};
    (void)state;
    rng_seed(&r, 12);
    for (int round = 0; round < 500; round++) {
        make_all(&made, &r, &shape);
        uint64_t before = alloc_count();
        uint32_t n = dispatch_choose(&made.ask, options, DISPATCH_ACTIONS_MAX);
        memset(again, 0x5a, sizeof again);
        assert_int_equal(dispatch_choose(&made.ask, again, DISPATCH_ACTIONS_MAX), n);
        assert_true(alloc_count() == before);
        for (uint32_t i = 0; i < n; i++) {
            assert_int_equal(options[i].binding_at, again[i].binding_at);
            assert_int_equal(options[i].place, again[i].place);
            assert_memory_equal(&options[i].price_nusd, &again[i].price_nusd, sizeof(double));
        }
        for (uint32_t most = 0; most <= n; most++) {
            uint32_t kept = dispatch_choose(&made.ask, few, most);
            assert_int_equal(kept, most);
            for (uint32_t i = 0; i < kept; i++) {
                assert_int_equal(few[i].binding_at, options[i].binding_at);
                assert_int_equal(few[i].place, options[i].place);
            }
        }
        ib_deinit(&made.builder);
    }
}

// One model, places that are all alike but for what a test changes.
static void alike(uint32_t models, uint32_t places)
{
    struct rng r;
    const struct dispatch_shape shape = {
        .models = models, .places = places, .efforts = 1, .full = true, .plain = true};
    rng_seed(&r, 5);
    make_all(&made, &r, &shape);
    struct policy_image *image = (struct policy_image *)(void *)made.builder.block;
    image->dispatch = image_dispatch_default();
    made.pool.prefix_tok = NULL;
    made.pool.end = NULL;
    for (uint32_t i = 0; i <= models; i++)
        made.first[i] = i * places;
    for (uint32_t i = 0; i < models * places; i++)
        made.places[i] = (struct pool_place){.endpoint = -1,
                                             .model = (int32_t)(i / places),
                                             .slots = 32,
                                             .queue = -1,
                                             .running = -1,
                                             .kv_use = -1,
                                             .prefill_tok_s = 8000,
                                             .first_ms = 10,
                                             .each_ms = 20,
                                             .carbon_g_kwh = -1};
    made.pool.deadline_ms = 0;
    made.pool.region = SLICE_EMPTY;
    made.work.input_tok = 4000;
    for (uint32_t i = 0; i < made.ask.count; i++) {
        made.actions[i].expect.input_tok = 4000;
        made.actions[i].expect.output_tok = 300;
        made.actions[i].expect.output_high_tok = 600;
    }
    made.ask.objective = IMAGE_OBJECTIVE_COST;
}

static uint32_t chosen(void)
{
    assert_true(dispatch_choose(&made.ask, options, 1) == 1);
    return (uint32_t)options[0].place;
}

static void each_state_pulls_its_way(void **state)
{
    (void)state;
    alike(1, 4);
    // Everywhere but at place 2 something is in the way.
#define WORSE(member, good, bad)                                                                   \
    do {                                                                                           \
        struct pool_place kept[4];                                                                 \
        memcpy(kept, made.places, sizeof kept);                                                    \
        for (int i = 0; i < 4; i++)                                                                \
            made.places[i].member = i == 2 ? (good) : (bad);                                       \
        for (uint64_t seed = 0; seed < 20; seed++) {                                               \
            made.pool.seed = seed;                                                                 \
            assert_int_equal(chosen(), 2);                                                         \
        }                                                                                          \
        memcpy(made.places, kept, sizeof kept);                                                    \
    } while (0)
    WORSE(in_flight, 1, 20);
    WORSE(wait_tok, 0, 20000);
    WORSE(prefix_tok, 3000, 0);
    WORSE(prefill_tok_s, 8000, 2000);
    WORSE(first_ms, 10, 900);
    WORSE(each_ms, 20, 30);
    WORSE(slot_nusd_s, 0, 100000);
    WORSE(state, POOL_PLACE_UP, POOL_PLACE_OUT);
    WORSE(state, POOL_PLACE_UP, POOL_PLACE_LIMITED);
    WORSE(state, POOL_PLACE_UP, POOL_PLACE_TRYING);
    WORSE(state, POOL_PLACE_UP, POOL_PLACE_DRAINING);
    WORSE(state, POOL_PLACE_UP, POOL_PLACE_GONE);
    for (int i = 0; i < 4; i++) {
        made.places[i].running = 8;
        made.places[i].queue = 0;
        made.places[i].kv_use = 0.5F;
        made.places[i].kv_tok = 100000;
    }
    WORSE(queue, 0, 10);
    WORSE(running, 8, 30);
    WORSE(kv_use, 0.5F, 0.99F);
    made.places[0].lora_room = true;
    WORSE(lora_loaded, true, false);
#undef WORSE
    // What is stale does not pull.
    for (int i = 0; i < 4; i++) {
        made.places[i].stale = true;
        made.places[i].queue = i == 2 ? 0 : 50;
        made.places[i].lora_room = false;
    }
    uint32_t elsewhere = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        made.pool.seed = seed;
        elsewhere += chosen() != 2;
    }
    assert_true(elsewhere > 10);
    ib_deinit(&made.builder);
}

// A place of which nothing is read is as good as its likeness that is scraped: fewer calls decide, and room for adapters there
// does not speak for or against anybody.
static void what_is_not_read_is_no_worse(void **state)
{
    (void)state;
    alike(1, 2);
    made.places[0].stale = true;
    made.places[0].slots = 0;
    made.places[1].running = made.places[1].queue = 0;
    made.places[1].lora_room = true;
    for (uint32_t busy = 0; busy < 2; busy++) {
        made.places[busy].in_flight = 6;
        if (busy == 1)
            made.places[1].running = 6;
        made.places[!busy].in_flight = 0;
        for (uint64_t seed = 0; seed < 20; seed++) {
            made.pool.seed = seed;
            assert_int_equal(chosen(), !busy);
        }
    }
    ib_deinit(&made.builder);
    // Where the adapter is loaded elsewhere, one of which nothing is read counts like the others.
    alike(1, 3);
    made.places[0].stale = true;
    made.places[1].lora_loaded = true;
    made.places[2].lora_room = true;
    for (uint64_t seed = 0; seed < 20; seed++) {
        made.pool.seed = seed;
        assert_int_equal(chosen(), 1);
    }
    ib_deinit(&made.builder);
}

static void equal_places_share(void **state)
{
    uint32_t count[4] = {0};
    (void)state;
    alike(1, 4);
    for (uint64_t seed = 0; seed < 4000; seed++) {
        made.pool.seed = seed;
        count[chosen()]++;
    }
    for (int i = 0; i < 4; i++)
        assert_in_range(count[i], 900, 1100);
    ib_deinit(&made.builder);
}

// Nothing but Merit's own calls tells that a place stands still: it has as many slots as anybody, and its calls do not end.
static void calls_do_not_pile_up_among_equals(void **state)
{
    (void)state;
    alike(1, 4);
    for (int i = 0; i < 4; i++) {
        made.places[i].slots = 256;
        made.places[i].in_flight = i == 1 ? 3 : 0;
    }
    for (uint64_t seed = 0; seed < 200; seed++) {
        made.pool.seed = seed;
        assert_true(chosen() != 1);
    }
    ib_deinit(&made.builder);
}

static void a_line_is_as_long_as_it_was_seen_to_be(void **state)
{
    (void)state;
    alike(1, 4);
    // All slots taken: by the stay of an answer like this one 0.19 s to wait, as it was seen 4 s, or none to speak of.
    for (int i = 0; i < 4; i++) {
        made.places[i].in_flight = 33;
        made.places[i].wait_tok = 4000;
        made.places[i].drain_tok_s = i == 2 ? 40000 : 1000;
    }
    for (uint64_t seed = 0; seed < 20; seed++) {
        made.pool.seed = seed;
        assert_int_equal(chosen(), 2);
        assert_true(options[0].terms_nusd[PRICE_SECONDS] > 0);
    }
    made.places[2].drain_tok_s = 999;
    made.places[3].drain_tok_s = 5000;
    assert_int_equal(chosen(), 3);
    ib_deinit(&made.builder);
}

static void a_session_stays_unless_it_pays(void **state)
{
    (void)state;
    alike(1, 4);
    made.pool.session_place = 1;
    made.pool.session_model = 0;
    made.pool.session_tok = 3800;
    for (uint64_t seed = 0; seed < 20; seed++) {
        made.pool.seed = seed;
        assert_int_equal(chosen(), 1);
        assert_true(options[0].terms_nusd[PRICE_SESSION] == 0);
    }
    // Slightly more to wait than elsewhere: it stays. Much more: it goes, and pays for it.
    made.places[1].wait_tok = 2000;
    assert_int_equal(chosen(), 1);
    made.places[1].wait_tok = 20000;
    assert_int_not_equal(chosen(), 1);
    assert_true(options[0].terms_nusd[PRICE_SESSION] > 0);
    // A place that drains keeps its sessions and takes no others.
    made.places[1].wait_tok = 0;
    made.places[1].state = POOL_PLACE_DRAINING;
    assert_int_equal(chosen(), 1);
    made.pool.session_place = 2;
    assert_int_equal(chosen(), 2);
    ib_deinit(&made.builder);
}

static void a_locked_session_keeps_its_model(void **state)
{
    (void)state;
    alike(2, 2);
    made.actions[0].expect.cost_nusd = 1000;
    made.actions[1].expect.cost_nusd = 900000;
    assert_true(chosen() < 2);
    made.pool.session_place = -1;
    made.pool.session_model = 1;
    made.pool.session_locked = true;
    assert_true(chosen() >= 2);
    // The other one stands behind it, for when it fails.
    assert_int_equal(dispatch_choose(&made.ask, options, 4), 2);
    assert_int_equal(options[1].binding.model, 0);
    ib_deinit(&made.builder);
}

static void seconds_count_between_models_only_by_statement(void **state)
{
    (void)state;
    alike(2, 1);
    made.actions[0].expect.cost_nusd = 1000;
    made.actions[1].expect.cost_nusd = 900000;
    made.places[0].each_ms = 60;
    made.places[1].each_ms = 10;
    assert_int_equal(chosen(), 0);
    struct policy_image *image = (struct policy_image *)(void *)made.builder.block;
    image->dispatch.line = 7;
    assert_int_equal(chosen(), 1);
    image->dispatch.second_nusd = 1000;
    assert_int_equal(chosen(), 0);
    // Without room the cheaper one is out, statement or not.
    image->dispatch.line = 0;
    made.places[0].state = POOL_PLACE_LIMITED;
    assert_int_equal(chosen(), 1);
    ib_deinit(&made.builder);
}

static void the_view_may_have_room_and_prefixes_of_its_own(void **state)
{
    const uint32_t prefixes[] = {0, 0, 3000, 3999}, end[] = {3};
    (void)state;
    alike(1, 4);
    made.pool.end = end;
    made.pool.prefix_tok = prefixes;
    made.places[1].prefix_tok = 4000;
    assert_int_equal(chosen(), 2);
    ib_deinit(&made.builder);
}

static void budgets_have_a_price(void **state)
{
    (void)state;
    alike(2, 1);
    made.actions[0].expect.cost_nusd = 1000;
    made.actions[1].expect.cost_nusd = 900;
    made.actions[0].expect.energy_uj = 1000000;
    made.actions[1].expect.energy_uj = 9000000;
    assert_int_equal(chosen(), 1);
    made.budget_states[IMAGE_UNIT_UJ] = (struct budget_state){.left = 1, .price_nusd = 0.001};
    assert_int_equal(chosen(), 0);
    assert_true(fabs(options[0].terms_nusd[PRICE_BUDGETS] - 1000) < 0.1);
    uint64_t holds = 0;
    made.ask.holds = &holds; // its guard does not hold
    assert_int_equal(chosen(), 1);
    ib_deinit(&made.builder);
}

static void modes_choose_as_they_are_called(void **state)
{
    uint32_t count[4] = {0};
    (void)state;
    alike(1, 4);
    struct policy_image *image = (struct policy_image *)(void *)made.builder.block;
    image->dispatch.mode = IMAGE_DISPATCH_ROUND_ROBIN;
    for (made.pool.turn = 0; made.pool.turn < 8; made.pool.turn++)
        assert_int_equal(chosen(), made.pool.turn % 4);
    image->dispatch.mode = IMAGE_DISPATCH_LEAST_REQUEST;
    for (uint32_t i = 0; i < 4; i++)
        made.places[i].in_flight = 3 + (i + 2) % 4;
    made.places[2].queue = made.places[2].running = 99;
    for (uint64_t seed = 0; seed < 20; seed++) {
        made.pool.seed = seed;
        assert_int_equal(chosen(), 2);
    }
    image->dispatch.mode = IMAGE_DISPATCH_POWER_OF_TWO;
    for (uint64_t seed = 0; seed < 6000; seed++) {
        made.pool.seed = seed;
        count[chosen()]++;
    }
    // By rank: 3 of 6 pairs have the best, 2 the second, 1 the third, none the last.
    assert_in_range(count[2], 2800, 3200);
    assert_in_range(count[3], 1800, 2200);
    assert_in_range(count[0], 850, 1150);
    assert_int_equal(count[1], 0);
    ib_deinit(&made.builder);
}

static void turns_follow_weights(void **state)
{
    uint32_t count[3] = {0};
    struct image_builder b;
    struct decision_option one;
    (void)state;
    ib_init(&b);
    ib_model(&b, "m");
    for (uint32_t i = 0; i < 3; i++)
        b.endpoints[b.endpoint_count++] = (struct image_endpoint){.line = i};
    const struct policy_image *image = ib_finish(&b);
    ((struct policy_image *)(void *)b.block)->dispatch.mode = IMAGE_DISPATCH_ROUND_ROBIN;
    struct pool_place rows[3];
    memset(rows, 0, sizeof rows);
    for (int i = 0; i < 3; i++)
        rows[i] = (struct pool_place){.endpoint = i, .weight = (float)(3 - i)};
    const uint32_t first[] = {0, 3};
    struct work work = {.input_tok = 10};
    struct pool_view view = {
        .count = 1, .places = rows, .first = first, .session_place = -1, .session_model = -1};
    struct dispatch_action action = {.expect = {.input_tok = 10, .output_tok = 10}};
    const struct dispatch_ask ask = {
        .image = image, .work = &work, .pool = &view, .actions = &action, .count = 1};
    for (view.turn = 0; view.turn < 6000; view.turn++) {
        assert_int_equal(dispatch_choose(&ask, &one, 1), 1);
        count[one.place]++;
    }
    assert_in_range(count[0], 2990, 3010);
    assert_in_range(count[1], 1990, 2010);
    assert_in_range(count[2], 990, 1010);
    ib_deinit(&b);
}

static void long_requests_go_to_the_long_pool(void **state)
{
    struct image_builder b;
    struct decision_option one;
    (void)state;
    ib_init(&b);
    ib_model(&b, "m");
    b.endpoints[b.endpoint_count++] = (struct image_endpoint){.serves_to_tok = 8000};
    b.endpoints[b.endpoint_count++] = (struct image_endpoint){.serves_from_tok = 8000};
    const struct policy_image *image = ib_finish(&b);
    struct pool_place rows[2];
    memset(rows, 0, sizeof rows);
    for (int i = 0; i < 2; i++)
        rows[i] = (struct pool_place){.endpoint = i,
                                      .queue = -1,
                                      .running = -1,
                                      .kv_use = -1,
                                      .prefill_tok_s = 8000,
                                      .first_ms = 0,
                                      .each_ms = 20,
                                      .carbon_g_kwh = -1};
    const uint32_t first[] = {0, 2};
    struct work work = {.input_tok = 1000};
    struct pool_view view = {
        .count = 1, .places = rows, .first = first, .session_place = -1, .session_model = -1};
    struct dispatch_action action = {
        .expect = {.input_tok = 1000, .output_tok = 300, .output_high_tok = 500}};
    const struct dispatch_ask ask = {
        .image = image, .work = &work, .pool = &view, .actions = &action, .count = 1};
    assert_int_equal(dispatch_choose(&ask, &one, 1), 1);
    assert_int_equal(one.place, 0);
    // Short ones overflow into the long pool.
    rows[0].wait_tok = 100000;
    dispatch_choose(&ask, &one, 1);
    assert_int_equal(one.place, 1);
    // Long ones do not into the short pool, by their input or by the output they ask for.
    rows[0].wait_tok = 0;
    rows[1].wait_tok = 100000;
    action.expect.input_tok = 9000;
    dispatch_choose(&ask, &one, 1);
    assert_int_equal(one.place, 1);
    action.expect.input_tok = 1000;
    work.max_output_tok = 7500;
    dispatch_choose(&ask, &one, 1);
    assert_int_equal(one.place, 1);
    ib_deinit(&b);
}

static void without_places_it_is_the_objective(void **state)
{
    (void)state;
    alike(3, 1);
    made.ask.pool = NULL;
    made.ask.budgets = NULL;
    for (uint32_t i = 0; i < 3; i++)
        made.actions[i].expect.cost_nusd = i == 1 ? 5 : 7;
    assert_int_equal(dispatch_choose(&made.ask, options, 3), 3);
    assert_int_equal(options[0].binding_at, 1);
    assert_int_equal(options[1].binding_at, 0);
    assert_int_equal(options[2].binding_at, 2);
    assert_int_equal(options[0].place, -1);
    assert_true(options[0].price_nusd == 5);
    ib_deinit(&made.builder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_formulas),
        cmocka_unit_test(gives_the_first_of_many_and_the_same_again),
        cmocka_unit_test(each_state_pulls_its_way),
        cmocka_unit_test(what_is_not_read_is_no_worse),
        cmocka_unit_test(equal_places_share),
        cmocka_unit_test(calls_do_not_pile_up_among_equals),
        cmocka_unit_test(a_line_is_as_long_as_it_was_seen_to_be),
        cmocka_unit_test(a_session_stays_unless_it_pays),
        cmocka_unit_test(a_locked_session_keeps_its_model),
        cmocka_unit_test(seconds_count_between_models_only_by_statement),
        cmocka_unit_test(the_view_may_have_room_and_prefixes_of_its_own),
        cmocka_unit_test(budgets_have_a_price),
        cmocka_unit_test(modes_choose_as_they_are_called),
        cmocka_unit_test(turns_follow_weights),
        cmocka_unit_test(long_requests_go_to_the_long_pool),
        cmocka_unit_test(without_places_it_is_the_objective),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
