// The pacer over random windows: its numbers stay in their ranges, and what it paces comes out near the budget.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "base/rng.h"
#include "ledger/pacer.h"

static void test_one_step_by_hand(void **state)
{
    (void)state;
    struct pacer p = pacer_step((struct pacer){0}, 200, 1000000, 1000, 10);
    // The mean is 200, the fair share 100: one step up by 0.05 * (2 - 1).
    assert_true(fabs(p.ema - 200) < 1e-12 && fabs(p.lambda - 0.05) < 1e-12);
    assert_true(fabs(pacer_price(p) - 0.05 * 1000000 / 100) < 1e-9);
    p = pacer_step(p, 0, 0, 2000, 10); // mean 190, share 200
    assert_true(fabs(p.ema - 190) < 1e-12 && fabs(p.lambda - (0.05 - 0.05 * 0.05)) < 1e-12);
    p = pacer_step(p, 100, 0, -5, 10); // overdrawn: the largest step
    assert_true(fabs(p.lambda - (0.0475 + 0.5)) < 1e-12);
    assert_true(fabs(p.share - 0.1 * p.ema) < 1e-12);
}

static void test_forecasts(void **state)
{
    (void)state;
    // 50 in the first half: 50 more.
    assert_true(fabs(pacer_forecast(50, 0, 30, 60) - 50) < 1e-9);
    // At the very beginning the window before tells.
    assert_true(fabs(pacer_forecast(0, 80, 0, 60) - 80) < 1e-9);
    // After a quarter of a window both weigh alike: (20 + 20) in half a window.
    assert_true(fabs(pacer_forecast(20, 80, 15, 60) - 60) < 1e-9);
    assert_true(pacer_forecast(0, 0, 0, 60) == 1 && pacer_forecast(1000, 0, 60, 60) == 1);
    assert_true(pacer_forecast(5, 5, 1e9, 60) == 1 && pacer_forecast(5, 0, -1, 60) >= 1);
    assert_true(pacer_forecast_life(0) == 8 && pacer_forecast_life(100) == 100);
}

static void test_ranges_hold_for_any_input(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 11);
    for (int run = 0; run < 2000; run++) {
        struct pacer p = {0};
        for (int i = 0; i < 50; i++) {
            double scale = pow(10, (double)rng_below(&rng, 19));
            double left = (rng_unit(&rng) - 0.3) * scale;
            p = pacer_step(p, rng_unit(&rng) * pow(10, (double)rng_below(&rng, 16)),
                           (double)rng_below(&rng, 1000000000), left, rng_unit(&rng) * 1e6);
            assert_true(p.lambda >= 0 && p.lambda <= PACER_LAMBDA_MAX);
            assert_true(isfinite(pacer_price(p)) && pacer_price(p) >= 0);
        }
    }
}

// Two actions, a dear good one and a cheap one: the gain of the dear one is spread evenly over [0, 3] in units of money.
// The budget bears between 20 % and 90 % of always going dear. Over a window of 4,000 attempts the pacer must spend it within
// 5 %, and from the second window on within 3 %.
static void test_it_spends_the_budget(void **state)
{
    (void)state;
    enum { ATTEMPTS = 4000, WINDOWS = 4 };
    struct rng rng;
    rng_seed(&rng, 5);
    for (int run = 0; run < 40; run++) {
        const double dear = 1000, cheap = 100, nusd = 1e6;
        double budget = ATTEMPTS * (cheap + (dear - cheap) * (0.2 + 0.7 * rng_unit(&rng)));
        struct pacer p = {0};
        double before = 0;
        for (int w = 0; w < WINDOWS; w++) {
            double left = budget;
            for (int i = 0; i < ATTEMPTS; i++) {
                double gain = 3 * nusd * rng_unit(&rng);
                double c = gain > pacer_price(p) * (dear - cheap) ? dear : cheap;
                left -= c;
                p = pacer_step(p, c, nusd, left, pacer_forecast(i + 1, before, i + 1, ATTEMPTS));
            }
            before = ATTEMPTS;
            double over = -left / budget;
            assert_true(over < (w ? 0.03 : 0.05));
            assert_true(over > (w ? -0.05 : -0.10));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_step_by_hand),
        cmocka_unit_test(test_forecasts),
        cmocka_unit_test(test_ranges_hold_for_any_input),
        cmocka_unit_test(test_it_spends_the_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
