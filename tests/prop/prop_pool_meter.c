// A meter's interval is divided without a rest: the shares add up to it exactly, whatever ran; they are those of a naive
// division in long double; and on a board with threads that come and go nothing is lost or invented.
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "pool/meter_board.h"

enum { CASES = 20000, ROWS = 40 };

static uint64_t any(struct rng *r)
{
    return rng_next(r) >> (16 + rng_below(r, 48));
}

static void shares_add_up(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 1);
    for (int i = 0; i < CASES; i++) {
        struct meter_row rows[ROWS];
        uint32_t n = (uint32_t)rng_below(&r, ROWS + 1);
        bool prefill = rng_below(&r, 4), decode = rng_below(&r, 4), held = rng_below(&r, 4);
        uint64_t sums[3] = {0};
        for (uint32_t k = 0; k < n; k++) {
            rows[k] = (struct meter_row){.prefill_tok = prefill ? any(&r) : 0,
                                         .decode_tok = decode ? any(&r) : 0,
                                         .held = held ? any(&r) : 0,
                                         .uj = 77};
            sums[0] += rows[k].prefill_tok;
            sums[1] += rows[k].decode_tok;
            sums[2] += rows[k].held;
        }
        uint64_t uj = rng_next(&r) >> rng_below(&r, 64), idle = rng_next(&r) >> rng_below(&r, 64);
        uint32_t beta = (uint32_t)rng_below(&r, 1200);
        uint64_t left = meter_attribute(uj, idle, beta, rows, n), sum = left;
        for (uint32_t k = 0; k < n; k++)
            sum += rows[k].uj;
        assert_true(sum == uj);
        assert_int_equal(left != 0, uj && !sums[0] && !sums[1] && !sums[2]);
        if (!sums[0] || !sums[1] || !sums[2])
            continue;
        // All kinds of work were done: the formula as it is written.
        long double rest = uj > idle ? (long double)(uj - idle) : 0;
        long double b = beta > 1000 ? 1 : beta / 1000.0L;
        for (uint32_t k = 0; k < n; k++) {
            long double want =
                (uj > idle ? (long double)idle : (long double)uj) * rows[k].held / sums[2] +
                rest * (b * rows[k].prefill_tok / sums[0] + (1 - b) * rows[k].decode_tok / sums[1]);
            assert_true(fabsl(want - (long double)rows[k].uj) <= 4 + want * 1e-15L);
        }
    }
}

static void beta_follows_the_curve(void **state)
{
    (void)state;
    struct image_energy e = {.curve = IMAGE_CURVE_INVERSE, .a = 0.1, .c = 3, .prefill_j_tok = 0.02};
    e.batch = 32;
    e.batch_max = 256;
    assert_int_equal(meter_beta_milli(&e, 0, 0, 1), 0);
    assert_int_equal(meter_beta_milli(&e, 5, 0, 1), 1000);
    assert_int_equal(meter_beta_milli(&e, 0, 5, 1), 0);
    // 1000 * 0.02 J beside 100 * (0.1 + 3 / 30) J.
    assert_int_equal(meter_beta_milli(&e, 1000, 100, 30), 500);
    assert_int_equal(meter_beta_milli(NULL, 10, 1, 30), 500);
}

static uint64_t all(const struct meter_board *b)
{
    struct meter_totals t = meter_board_totals(b);
    return t.given_uj + t.kept_uj + t.others_uj + t.unused_uj;
}

static void board_in_order(void **state)
{
    (void)state;
    struct meter_board *b;
    assert_int_equal(meter_board_new(&b), RESULT_OK);
    struct meter_interval iv = {.uj = 1000000, .us = 100000, .idle_w = 4};
    // Nothing runs: nobody's.
    meter_board_share(b, &iv);
    assert_int_equal(meter_board_totals(b).unused_uj, 1000000);
    int32_t one = meter_board_begin(b), two = meter_board_begin(b);
    meter_board_prefill(b, one, 160);
    meter_board_decode(b, one, 10);
    meter_board_decode(b, two, 30);
    meter_board_share(b, &iv);
    // 0.4 J at rest by blocks held (11 and 2), 0.6 J by work: without a curve beta is 160 of 160 + 400.
    struct meter_row rows[2] = {{160, 10, 11 * 100000, 0}, {0, 30, 2 * 100000, 0}};
    assert_int_equal(meter_attribute(1000000, 400000, 286, rows, 2), 0);
    assert_int_equal(meter_board_totals(b).kept_uj, 1000000);
    // One that was there for an interval only is not metered: what it was given is nobody's.
    meter_board_decode(b, one, 5);
    assert_int_equal(meter_board_end(b, one), -1);
    assert_int_equal(meter_board_totals(b).unused_uj, 1000000 + rows[0].uj);
    assert_int_equal(meter_board_totals(b).kept_uj, rows[1].uj);
    // Alone it bears everything, also what it does not tell of.
    meter_board_share(b, &iv);
    assert_int_equal(meter_board_totals(b).kept_uj, rows[1].uj + 1000000);
    // Two more that are silent work like the one that tells.
    int32_t three = meter_board_begin(b), four = meter_board_begin(b);
    meter_board_decode(b, two, 50);
    iv.idle_w = 0;
    iv.others = 1;
    iv.uj = 4000000;
    meter_board_share(b, &iv);
    assert_int_equal(meter_board_totals(b).others_uj, 1000000);
    assert_int_equal(meter_board_end(b, two), rows[1].uj + 2000000);
    assert_int_equal(meter_board_totals(b).given_uj, rows[1].uj + 2000000);
    assert_int_equal(meter_board_totals(b).kept_uj, 2000000);
    // A gap: what runs is not metered any more.
    meter_board_gap(b);
    for (unsigned i = 0; i < METER_SHARES_MIN; i++)
        meter_board_share(b, &iv);
    assert_int_equal(meter_board_end(b, three), -1);
    assert_int_equal(meter_board_end(b, four), -1);
    assert_int_equal(meter_board_totals(b).kept_uj, 0);
    assert_int_equal(meter_board_totals(b).metered_uj, 3000000 + 4000000 * 4);
    assert_int_equal(all(b), 3000000 + 4000000 * 4);
    // A board has an end: what finds no slot is counted and has no meter.
    for (int i = 0; i < METER_SLOTS; i++)
        assert_true(meter_board_begin(b) >= 0);
    assert_int_equal(meter_board_begin(b), -1);
    meter_board_decode(b, -1, 5);
    assert_int_equal(meter_board_end(b, -1), -1);
    assert_int_equal(meter_board_totals(b).full, 1);
    meter_board_free(b);
}

struct crowd {
    struct meter_board *board;
    _Atomic int running;
    _Atomic uint64_t given;
};

static void *come_and_go(void *p)
{
    struct crowd *c = p;
    struct rng r;
    rng_seed(&r, (uint64_t)(uintptr_t)&r);
    for (int i = 0; i < 3000; i++) {
        int32_t slot = meter_board_begin(c->board);
        meter_board_prefill(c->board, slot, rng_below(&r, 5000));
        for (uint64_t n = rng_below(&r, 20); n; n--)
            meter_board_decode(c->board, slot, rng_below(&r, 10));
        int64_t uj = meter_board_end(c->board, slot);
        if (uj >= 0)
            atomic_fetch_add(&c->given, (uint64_t)uj);
    }
    atomic_fetch_sub(&c->running, 1);
    return NULL;
}

static void board_with_threads(void **state)
{
    (void)state;
    struct crowd c = {0};
    struct rng r;
    pthread_t threads[3];
    uint64_t total = 0;
    rng_seed(&r, 5);
    assert_int_equal(meter_board_new(&c.board), RESULT_OK);
    atomic_store(&c.running, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &c), 0);
    do {
        struct meter_interval iv = {.uj = rng_below(&r, 1000000), .us = 100, .idle_w = 300};
        meter_board_share(c.board, &iv);
        total += iv.uj;
    } while (atomic_load(&c.running));
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    struct meter_totals t = meter_board_totals(c.board);
    assert_int_equal(t.metered_uj, total);
    assert_int_equal(all(c.board), total);
    assert_int_equal(t.given_uj, atomic_load(&c.given));
    assert_int_equal(t.full, 0);
    meter_board_free(c.board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_add_up),
        cmocka_unit_test(beta_follows_the_curve),
        cmocka_unit_test(board_in_order),
        cmocka_unit_test(board_with_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
