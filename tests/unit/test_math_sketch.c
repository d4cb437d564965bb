// Sketches beside sorted numbers.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "math/sketch.h"

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void buckets_cover_all_numbers(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < SKETCH_BUCKETS; i++) {
        uint64_t from = sketch_from(i), to = sketch_from(i + 1);
        assert_true(from < to);
        assert_int_equal(sketch_bucket((uint32_t)from), i);
        assert_int_equal(sketch_bucket((uint32_t)(to - 1)), i);
        assert_true(sketch_middle(i) >= (double)from && sketch_middle(i) < (double)to);
        assert_true(to - from == 1 || (double)(to - from) / (double)from <= 0.125);
    }
    assert_int_equal(sketch_bucket(UINT32_MAX), SKETCH_BUCKETS - 1);
    assert_true(sketch_from(SKETCH_BUCKETS) == UINT64_C(1) << 32);
}

static void quantiles_and_means(void **state)
{
    enum { N = 3001 };
    static uint32_t v[N];
    struct rng rng;
    (void)state;
    rng_seed(&rng, 5);
    for (int round = 0; round < 20; round++) {
        struct sketch s = {.weight = 0};
        double sum = 0;
        for (int i = 0; i < N; i++) {
            v[i] = (uint32_t)exp(rng_unit(&rng) * (3 + round % 8));
            sum += v[i];
            sketch_add(&s, v[i], 1);
        }
        qsort(v, N, sizeof *v, by_number);
        assert_true(fabs(sketch_mean(&s) - sum / N) < 1e-6 * sum);
        for (int q = 1; q < 20; q++) {
            double exact = v[q * N / 20], told = sketch_quantile(&s, q / 20.0);
            assert_true(fabs(told - exact) <= 1 + exact / 16);
            uint32_t below = 0;
            for (int i = 0; i < N; i++)
                below += v[i] < exact;
            assert_true(fabs(sketch_below(&s, exact) - (double)below / N) < 0.05);
        }
    }
}

static void intervals_hold_what_they_should(void **state)
{
    struct sketch s = {.weight = 0};
    double low, high;
    (void)state;
    for (uint32_t i = 0; i < 1000; i++)
        sketch_add(&s, i, 1);
    sketch_interval(&s, 0.2, &low, &high);
    assert_true(fabs(low - 100) < 3 && fabs(high - 900) < 6);

    // Six in ten are 4: none lies below it, so above may lie all of the two.
    s = (struct sketch){.weight = 0};
    sketch_add(&s, 4, 60);
    for (uint32_t i = 0; i < 40; i++)
        sketch_add(&s, 100 + i, 1);
    sketch_interval(&s, 0.2, &low, &high);
    assert_true(low == 4 && fabs(high - 120) < 4);

    // ... and the same at the other end.
    s = (struct sketch){.weight = 0};
    sketch_add(&s, 15, 60);
    for (uint32_t i = 0; i < 10; i++)
        sketch_add(&s, i, 4);
    sketch_interval(&s, 0.2, &low, &high);
    assert_true(low == 4 || low == 5);
    assert_true(high == 15);

    s = (struct sketch){.weight = 0};
    sketch_interval(&s, 0.2, &low, &high);
    assert_true(low == 0 && high == 0 && sketch_mean(&s) == 0 && sketch_below(&s, 3) == 0);
}

static void scaled_and_joined(void **state)
{
    struct sketch a = {.weight = 0}, b = {.weight = 0};
    (void)state;
    sketch_add(&a, 10, 4);
    sketch_add(&b, 1000, 2);
    sketch_scale(&a, 0.5f);
    sketch_join(&a, &b, 3);
    assert_true(a.weight == 8 && a.sum == 2 * 10 + 6 * 1000);
    assert_true(a.at[10] == 2 && a.at[sketch_bucket(1000)] == 6);
    assert_true(sketch_quantile(&a, 0.2) == 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_cover_all_numbers),
        cmocka_unit_test(quantiles_and_means),
        cmocka_unit_test(intervals_hold_what_they_should),
        cmocka_unit_test(scaled_and_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
