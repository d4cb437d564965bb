// Lengths: learned from what came, kept over starts and damaged files, true under drift.
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/rng.h"
#include "route/lengths.h"

static struct lengths_task task_of(uint32_t input_tok, uint64_t words)
{
    struct work w = {.input_tok = input_tok, .choices = 1};
    return lengths_task(&w, lengths_name(SLICE("quick")), words);
}

static struct lengths *learner(uint32_t loops)
{
    struct lengths *l;
    assert_int_equal(lengths_open(&l, loops), RESULT_OK);
    return l;
}

static struct lengths_epoch *epoch_of(struct lengths *l)
{
    struct lengths_epoch *e;
    assert_int_equal(lengths_epoch_make(l, &e), RESULT_OK);
    return e;
}

static bool saw(struct lengths *l, const struct lengths_epoch *e, uint64_t model,
                struct lengths_task task, uint32_t output_tok)
{
    struct lengths_answer a = {
        .model = model, .task = task, .output_tok = output_tok, .input_tok = task.input_tok};
    if (e)
        lengths_expect(e, model, IMAGE_EFFORT_DEFAULT, &task, 0, &a.expected);
    return lengths_saw(l, 0, &a);
}

static void guessed_at_first(void **state)
{
    struct lengths *l = learner(1);
    struct lengths_epoch *e = epoch_of(l);
    struct lengths_task t = task_of(100, 0);
    (void)state;
    for (uint32_t cap = 0; cap < 5000; cap += 61) {
        struct lengths_expect with, without;
        lengths_expect(e, 1, IMAGE_EFFORT_LOW, &t, cap, &with);
        lengths_expect(NULL, 1, IMAGE_EFFORT_LOW, &t, cap, &without);
        assert_true(fabsf(with.mean_tok - without.mean_tok) < 2 + 0.04f * without.mean_tok);
        assert_true(fabs((double)with.low_tok - without.low_tok) <= 2);
        assert_true(fabs((double)with.high_tok - without.high_tok) <= 30);
        assert_true(!cap || with.high_tok <= cap);
        assert_true(with.low_tok <= with.p50_tok && with.p50_tok <= with.high_tok);
        assert_true(!cap || with.mean_tok <= (float)cap);
    }
    assert_int_equal(lengths_input(NULL, 1, 1000).expected_tok, 1000);
    assert_int_equal(lengths_input(e, 1, 1000).high_tok, 1500);
    lengths_epoch_unref(e);
    lengths_close(l);
}

// The cell's own, shrunk to its task, model, all and the guess, each by LENGTHS_SHRINK answers.
static void means_are_shrunk(void **state)
{
    struct lengths *l = learner(1);
    struct lengths_expect x;
    (void)state;
    for (int i = 0; i < 100; i++) {
        saw(l, NULL, 1, task_of(100, 0), 50); // same task, same class
        saw(l, NULL, 1, task_of(9000, 0), 150);
        saw(l, NULL, 1, task_of(100, 5), 250);
        saw(l, NULL, 2, task_of(100, 0), 1000);
    }
    assert_true(lengths_merge(l));
    struct lengths_epoch *e = epoch_of(l);
    double k = LENGTHS_SHRINK, guess = 0;
    struct lengths *none = learner(1);
    struct lengths_epoch *first = epoch_of(none);
    struct lengths_task t = task_of(100, 0);
    lengths_expect(first, 1, IMAGE_EFFORT_DEFAULT, &t, 0, &x);
    guess = (double)x.mean_tok;
    double all = (100 * (50 + 150 + 250 + 1000) + k * guess) / (400 + k);
    double model = (100 * (50 + 150 + 250) + k * all) / (300 + k);
    double task = (100 * (50 + 150) + k * model) / (200 + k);
    double cell = (100 * 50 + k * task) / (100 + k);
    lengths_expect(e, 1, IMAGE_EFFORT_DEFAULT, &t, 0, &x);
    assert_true(fabs((double)x.mean_tok - cell) < 0.01);
    assert_true(fabsf(x.answers - 100) < 0.01f);
    t = task_of(1000000, 0); // a class that never came
    lengths_expect(e, 1, IMAGE_EFFORT_DEFAULT, &t, 0, &x);
    assert_true(fabs((double)x.mean_tok - task) < 0.01);
    t = task_of(100, 77);
    lengths_expect(e, 1, IMAGE_EFFORT_DEFAULT, &t, 0, &x);
    assert_true(fabs((double)x.mean_tok - model) < 0.01);
    lengths_expect(e, 3, IMAGE_EFFORT_DEFAULT, &t, 0, &x);
    assert_true(fabs((double)x.mean_tok - all) < 0.01);
    lengths_expect(e, 1, IMAGE_EFFORT_HIGH, &t, 0, &x);
    assert_true(fabs((double)x.mean_tok - all) < 0.01);
    lengths_epoch_unref(e);
    lengths_epoch_unref(first);
    lengths_close(none);
    lengths_close(l);
}

static void caps_cut_what_is_expected(void **state)
{
    enum { N = 4000 };
    static uint32_t came[N];
    struct lengths *l = learner(1);
    struct lengths_task t = task_of(100, 0);
    struct rng rng;
    (void)state;
    rng_seed(&rng, 3);
    for (int i = 0; i < N; i++) {
        came[i] = (uint32_t)exp(2 + 5 * rng_unit(&rng));
        saw(l, NULL, 1, t, came[i]);
        if (i % 1000 == 0)
            lengths_merge(l);
    }
    lengths_merge(l);
    struct lengths_epoch *e = epoch_of(l);
    for (uint32_t cap = 8; cap < 2000; cap = cap * 5 / 4) {
        struct lengths_expect x;
        double sum = 0;
        for (int i = 0; i < N; i++)
            sum += came[i] < cap ? came[i] : cap;
        lengths_expect(e, 1, IMAGE_EFFORT_DEFAULT, &t, cap, &x);
        assert_true(fabs((double)x.mean_tok * N / sum - 1) < 0.08);
        struct lengths_task two = t;
        two.choices = 2;
        two.cap_tok = cap;
        struct lengths_expect y;
        lengths_expect(e, 1, IMAGE_EFFORT_DEFAULT, &two, 0, &y);
        assert_true(fabsf(y.mean_tok - 2 * x.mean_tok) < 0.01f);
        assert_int_equal(y.high_tok, 2 * x.high_tok);
    }
    lengths_epoch_unref(e);
    lengths_close(l);
}

// The lengths treble halfway and come back: intervals and sums hold over each third.
static void follows_drift(void **state)
{
    struct lengths *l = learner(1);
    struct lengths_epoch *e = epoch_of(l);
    struct rng rng;
    double told = 0, was = 0;
    uint32_t held = 0;
    (void)state;
    rng_seed(&rng, 9);
    for (int i = 0; i < 12000; i++) {
        double scale = i / 4000 == 1 ? 300 : 100;
        uint32_t y = 1 + (uint32_t)(scale * -log(1 - rng_unit(&rng)));
        struct lengths_task t = task_of(64u << rng_below(&rng, 5), 0);
        struct lengths_expect x;
        lengths_expect(e, 1, IMAGE_EFFORT_DEFAULT, &t, 0, &x);
        held += y >= x.low_tok && y <= x.high_tok;
        told += (double)x.mean_tok;
        was += y;
        saw(l, e, 1, t, y);
        if (i % 16 == 15 && lengths_merge(l)) {
            lengths_epoch_unref(e);
            e = epoch_of(l);
        }
        if (i % 4000 == 3999) {
            assert_true(held >= 4000 * 0.75 && held <= 4000 * 0.85);
            held = 0;
        }
    }
    assert_true(fabs(told / was - 1) < 0.02);
    lengths_epoch_unref(e);
    lengths_close(l);
}

static void input_is_set_right(void **state)
{
    struct lengths *l = learner(1);
    struct rng rng;
    (void)state;
    rng_seed(&rng, 4);
    for (int i = 0; i < 2000; i++) {
        struct lengths_task t = task_of(1000, 0);
        struct lengths_answer a = {.model = 1,
                                   .task = t,
                                   .output_tok = 10,
                                   .input_tok = 1200 + (uint32_t)rng_below(&rng, 200)};
        assert_true(lengths_saw(l, 0, &a));
    }
    lengths_merge(l);
    struct lengths_epoch *e = epoch_of(l);
    struct lengths_input in = lengths_input(e, 1, 2000);
    assert_in_range(in.expected_tok, 2580, 2620);
    assert_in_range(in.high_tok, 2700, 3100);
    assert_int_equal(lengths_input(e, 2, 2000).expected_tok, 2000);
    lengths_epoch_unref(e);
    lengths_close(l);
}

static void says_nothing_of_nothing(void **state)
{
    struct lengths *l = learner(2);
    (void)state;
    assert_false(saw(l, NULL, 1, task_of(1, 0), 0));
    assert_false(lengths_merge(l));
    for (int i = 0; i < LENGTHS_RING; i++)
        assert_true(saw(l, NULL, 1, task_of(1, 0), 7));
    assert_false(saw(l, NULL, 1, task_of(1, 0), 7));
    assert_int_equal(lengths_dropped(l), 1);
    assert_true(lengths_merge(l));
    assert_int_equal(lengths_answers(l), LENGTHS_RING);
    assert_true(saw(l, NULL, 1, task_of(1, 0), 7));
    lengths_close(l);
}

// More tasks than there is room for: those that came last are known.
static void makes_room(void **state)
{
    struct lengths *l = learner(1);
    struct lengths_expect x;
    (void)state;
    for (uint32_t i = 0; i < 3 * LENGTHS_CELLS_MAX; i++) {
        for (int k = 0; k < 4; k++)
            saw(l, NULL, 1, task_of(100, i), 10 + i);
        if (i % 256 == 255)
            lengths_merge(l);
    }
    lengths_merge(l);
    assert_int_equal(lengths_cells(l), LENGTHS_CELLS_MAX);
    struct lengths_epoch *e = epoch_of(l);
    struct lengths_task last = task_of(100, 3 * LENGTHS_CELLS_MAX - 1), old = task_of(100, 0);
    lengths_expect(e, 1, IMAGE_EFFORT_DEFAULT, &last, 0, &x);
    assert_true(fabsf(x.answers - 4) < 0.01f);
    lengths_expect(e, 1, IMAGE_EFFORT_DEFAULT, &old, 0, &x);
    assert_true(x.answers > 100); // the model's
    lengths_epoch_unref(e);
    lengths_close(l);
}

static void fill(struct lengths *l)
{
    struct rng rng;
    rng_seed(&rng, 11);
    for (int i = 0; i < 6000; i++) {
        saw(l, NULL, 1 + rng_below(&rng, 3), task_of(1u << rng_below(&rng, 12), rng_below(&rng, 3)),
            1 + (uint32_t)rng_below(&rng, 900));
        if (i % 1000 == 0)
            lengths_merge(l);
    }
    lengths_merge(l);
}

static void same(const struct lengths_epoch *a, const struct lengths_epoch *b)
{
    for (uint32_t i = 0; i < 200; i++) {
        struct lengths_expect x, y;
        struct lengths_task t = task_of(1u << i % 14, i % 4);
        lengths_expect(a, 1 + i % 4, IMAGE_EFFORT_DEFAULT, &t, i * 11 % 1000, &x);
        lengths_expect(b, 1 + i % 4, IMAGE_EFFORT_DEFAULT, &t, i * 11 % 1000, &y);
        assert_true(fabsf(x.mean_tok - y.mean_tok) <= 0.001f * x.mean_tok);
        assert_int_equal(x.low_tok, y.low_tok);
        assert_int_equal(x.high_tok, y.high_tok);
        assert_int_equal(lengths_input(a, 1 + i % 4, 999).high_tok,
                         lengths_input(b, 1 + i % 4, 999).high_tok);
    }
}

static void kept_in_a_file(void **state)
{
    struct lengths *l = learner(1), *m = learner(1);
    struct buf file;
    (void)state;
    fill(l);
    buf_init(&file, LENGTHS_FILE_MAX);
    lengths_write(l, &file);
    assert_int_equal(buf_result(&file), RESULT_OK);
    assert_int_equal(lengths_read(m, buf_slice(&file)), RESULT_OK);
    assert_int_equal(lengths_answers(m), lengths_answers(l));
    struct lengths_epoch *a = epoch_of(l), *b = epoch_of(m);
    same(a, b);
    lengths_epoch_unref(a);
    lengths_epoch_unref(b);
    lengths_close(m);
    // Any flipped bit and any cut is found, and nothing is taken then.
    struct rng rng;
    rng_seed(&rng, 2);
    for (int i = 0; i < 2000; i++) {
        size_t at = rng_below(&rng, file.len);
        m = learner(1);
        file.ptr[at] = (char)(file.ptr[at] ^ 1 << i % 8);
        assert_int_not_equal(lengths_read(m, buf_slice(&file)), RESULT_OK);
        file.ptr[at] = (char)(file.ptr[at] ^ 1 << i % 8);
        assert_int_equal(lengths_read(m, slice_head(buf_slice(&file), at)), RESULT_SYNTAX);
        assert_int_equal(lengths_cells(m), 0);
        lengths_close(m);
    }
    buf_deinit(&file);
    lengths_close(l);
}

static void survives_without_memory(void **state)
{
    struct lengths *l, *m;
    struct buf file;
    (void)state;
    for (uint64_t n = 1;; n++) {
        alloc_fail_at(n, 0);
        enum result r = lengths_open(&l, 2);
        alloc_fail_at(0, 0);
        if (!r)
            break;
        assert_int_equal(r, RESULT_NOMEM);
        assert_null(l);
    }
    fill(l);
    buf_init(&file, LENGTHS_FILE_MAX);
    lengths_write(l, &file);
    for (uint64_t n = 1;; n++) {
        m = learner(1);
        alloc_fail_at(n, 0);
        enum result r = lengths_read(m, buf_slice(&file));
        alloc_fail_at(0, 0);
        assert_int_equal(lengths_cells(m), r ? 0 : lengths_cells(l));
        lengths_close(m);
        if (!r)
            break;
        assert_int_equal(r, RESULT_NOMEM);
    }
    struct lengths_epoch *e;
    alloc_fail_at(1, 0);
    assert_int_equal(lengths_epoch_make(l, &e), RESULT_NOMEM);
    alloc_fail_at(1, 1);
    saw(l, NULL, 9, task_of(3, 3), 30); // its cells cannot be had
    lengths_merge(l);
    alloc_fail_at(0, 0);
    e = epoch_of(l);
    lengths_epoch_ref(e);
    lengths_epoch_unref(e);
    lengths_epoch_unref(e);
    buf_deinit(&file);
    lengths_close(l);
}

static void *write_many(void *arg)
{
    struct lengths *l = arg;
    for (int i = 0; i < 200000; i++)
        saw(l, NULL, 1, task_of(100, 0), 42);
    return NULL;
}

static void merged_while_loops_write(void **state)
{
    struct lengths *l = learner(1);
    pthread_t thread;
    struct lengths_expect x;
    struct lengths_task t = task_of(100, 0);
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, write_many, l), 0);
    for (int i = 0; i < 300; i++)
        lengths_merge(l);
    pthread_join(thread, NULL);
    lengths_merge(l);
    assert_int_equal(lengths_answers(l) + lengths_dropped(l), 200000);
    struct lengths_epoch *e = epoch_of(l);
    lengths_expect(e, 1, IMAGE_EFFORT_DEFAULT, &t, 0, &x);
    assert_in_range(x.low_tok, 40, 42); // all the same, in one bucket
    assert_in_range(x.high_tok, 42, 44);
    lengths_epoch_unref(e);
    lengths_close(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guessed_at_first),
        cmocka_unit_test(means_are_shrunk),
        cmocka_unit_test(caps_cut_what_is_expected),
        cmocka_unit_test(follows_drift),
        cmocka_unit_test(input_is_set_right),
        cmocka_unit_test(says_nothing_of_nothing),
        cmocka_unit_test(makes_room),
        cmocka_unit_test(kept_in_a_file),
        cmocka_unit_test(survives_without_memory),
        cmocka_unit_test(merged_while_loops_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
