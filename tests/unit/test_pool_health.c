// How an endpoint falls out of service and comes back, as one loop sees it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pool/pool.h"

enum { IN_FLIGHT = 100 };

struct fixture {
    struct pool pool;
    struct pool_loop loop;
    struct pool_model model;
    struct pool_endpoint endpoint;
    struct pool_seat seat;
    uint8_t state;
};

static void prepare(struct fixture *f)
{
    *f = (struct fixture){.model = {.endpoint_count = 1}, .state = POOL_MODEL_UP};
    f->pool = (struct pool){
        .models = &f->model, .model_count = 1, .endpoints = &f->endpoint, .endpoint_count = 1};
    f->loop =
        (struct pool_loop){.pool = &f->pool, .seats = &f->seat, .states = &f->state, .epoch = 1};
    for (int i = 0; i < IN_FLIGHT; i++)
        pool_begin(&f->loop, 0);
}

// A restart breaks all that is under way. It is one event, however many calls tell of it.
static void test_calls_that_break_together_count_once(void **state)
{
    struct fixture f;
    (void)state;
    prepare(&f);
    for (int i = 0; i < IN_FLIGHT; i++)
        pool_end(&f.loop, 0, POOL_FAILED, 1000);
    assert_int_equal(pool_loop_view(&f.loop, 1000).states[0], POOL_MODEL_DOWN);
    assert_int_equal(f.seat.errors, IN_FLIGHT);
    uint64_t back = 1000 + POOL_EJECT_MS * 1000;
    assert_int_equal(pool_loop_view(&f.loop, back - 1).states[0], POOL_MODEL_DOWN);
    assert_int_equal(pool_loop_view(&f.loop, back).states[0], POOL_MODEL_UP);
}

static void test_a_trial_that_fails_doubles_the_time(void **state)
{
    struct fixture f;
    (void)state;
    prepare(&f);
    uint64_t now = 1000, wait = POOL_EJECT_MS;
    for (int i = 0; i < IN_FLIGHT; i++)
        pool_end(&f.loop, 0, POOL_FAILED, now);
    for (int i = 0; i < 8; i++) {
        now += wait * 1000;
        assert_int_equal(pool_loop_view(&f.loop, now).states[0], POOL_MODEL_UP);
        pool_begin(&f.loop, 0);
        pool_end(&f.loop, 0, POOL_FAILED, now);
        wait = 2 * wait < POOL_EJECT_MAX_MS ? 2 * wait : POOL_EJECT_MAX_MS;
        assert_int_equal(pool_loop_view(&f.loop, now + wait * 1000 - 1).states[0], POOL_MODEL_DOWN);
    }
}

static void test_an_answer_brings_it_back_at_once(void **state)
{
    struct fixture f;
    (void)state;
    prepare(&f);
    for (int i = 0; i < POOL_FAILURES_TO_EJECT; i++)
        pool_end(&f.loop, 0, POOL_FAILED, 1000);
    assert_int_equal(pool_loop_view(&f.loop, 1000).states[0], POOL_MODEL_DOWN);
    pool_end(&f.loop, 0, POOL_OK, 2000);
    assert_int_equal(pool_loop_view(&f.loop, 2000).states[0], POOL_MODEL_UP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_that_break_together_count_once),
        cmocka_unit_test(test_a_trial_that_fails_doubles_the_time),
        cmocka_unit_test(test_an_answer_brings_it_back_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
