// math: every measure against the definition written out naively, on random data with many ties.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "math/calibrate.h"
#include "math/measure.h"
#include "math/real.h"

enum { ROWS = 300, LABELS = 4 };

struct sample {
    float p[ROWS * LABELS], score[ROWS];
    uint32_t truth[ROWS];
    bool yes[ROWS];
};

static void make(struct sample *s, uint64_t seed)
{
    struct rng rng;
    rng_seed(&rng, seed);
    for (int r = 0; r < ROWS; r++) {
        float sum = 0;
        s->truth[r] = (uint32_t)rng_below(&rng, LABELS);
        for (int i = 0; i < LABELS; i++)
            sum += s->p[r * LABELS + i] =
                (float)(1 + rng_below(&rng, 8)) + (s->truth[r] == (uint32_t)i ? 3 : 0);
        for (int i = 0; i < LABELS; i++)
            s->p[r * LABELS + i] /= sum;
        s->yes[r] = rng_below(&rng, 3) == 0;
        s->score[r] = (float)rng_below(&rng, 12) / 4 + s->yes[r];
    }
}

static void exponential_and_logarithm_are_those_of_the_library(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 1);
    for (int i = 0; i < 200000; i++) {
        double x = rng_unit(&rng) * 1400 - 700, y = real_exp(rng_unit(&rng) * 1400 - 700);
        assert_true(fabs(real_exp(x) / exp(x) - 1) < 4.5e-16);
        assert_true(fabs(real_log(y) - log(y)) <= 4.5e-16 * fabs(log(y)) + 1e-300);
    }
    assert_true(real_exp(0) == 1 && real_exp(1000) == INFINITY && real_exp(-1000) == 0);
    assert_true(real_log(1) == 0 && real_log(0) == -INFINITY && isnan(real_log(-1)));
    assert_true(fabs(real_log(0x1p-1060) - -1060 * log(2)) < 1e-12);
    assert_true(fabs(real_exp(-740) / exp(-740) - 1) < 1e-10);
    assert_true(isnan(real_exp(NAN)) && isnan(real_log(NAN)));
    assert_true(fabs(real_logistic(3) + real_logistic(-3) - 1) < 1e-15);
}

static void softmax_sums_to_one(void **state)
{
    (void)state;
    const float x[] = {1000, 999, -1000}, shift[] = {0, 1, 0};
    float p[3];
    real_softmax(x, 3, 1, NULL, p);
    assert_float_equal(p[0] + p[1] + p[2], 1, 1e-6);
    assert_float_equal(p[0], 1 / (1 + exp(-1)), 1e-6);
    real_softmax(x, 3, 1, shift, p);
    assert_float_equal(p[0], 0.5, 1e-6);
}

static void shares_have_wilsons_interval(void **state)
{
    (void)state;
    // 8 of 10 at 90 %: solve (p - .8)^2 = z^2 p (1 - p) / 10 for p.
    struct measure m = measure_share(8, 10);
    const double z = 1.6448536269514722;
    assert_float_equal(m.value, 0.8, 1e-12);
    for (int side = 0; side < 2; side++) {
        double p = side ? m.high : m.low;
        assert_float_equal((p - 0.8) * (p - 0.8), z * z * p * (1 - p) / 10, 1e-12);
    }
    assert_true(measure_share(0, 5).low == 0 && measure_share(5, 5).high == 1);
    assert_true(measure_share(0, 0).high == 1);
}

static uint32_t told(const struct sample *s, int r)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < LABELS; i++)
        if (s->p[r * LABELS + i] > s->p[r * LABELS + best])
            best = i;
    return best;
}

static void classes_are_counted(void **state)
{
    (void)state;
    static struct sample s;
    struct measure_class c[LABELS];
    uint64_t confusion[LABELS * LABELS];
    make(&s, 7);
    double macro = measure_classes(s.p, s.truth, ROWS, LABELS, c, confusion), sum = 0, brier = 0,
           nll = 0;
    for (uint32_t i = 0; i < LABELS; i++) {
        double tp = 0, fp = 0, fn = 0;
        for (int r = 0; r < ROWS; r++) {
            tp += told(&s, r) == i && s.truth[r] == i;
            fp += told(&s, r) == i && s.truth[r] != i;
            fn += told(&s, r) != i && s.truth[r] == i;
        }
        double precision = tp / (tp + fp), recall = tp / (tp + fn);
        assert_float_equal(c[i].precision, precision, 1e-12);
        assert_float_equal(c[i].recall, recall, 1e-12);
        assert_float_equal(c[i].f1, 2 * precision * recall / (precision + recall), 1e-12);
        assert_int_equal(confusion[i * LABELS + i], (uint64_t)tp);
        sum += c[i].f1;
    }
    assert_float_equal(macro, sum / LABELS, 1e-12);
    for (int r = 0; r < ROWS; r++) {
        for (uint32_t i = 0; i < LABELS; i++)
            brier += pow(s.p[r * LABELS + i] - (s.truth[r] == i), 2);
        nll -= log(s.p[r * LABELS + s.truth[r]]);
    }
    assert_float_equal(measure_brier(s.p, s.truth, ROWS, LABELS), brier / ROWS, 1e-9);
    assert_float_equal(measure_nll(s.p, s.truth, ROWS, LABELS), nll / ROWS, 1e-9);
}

static void calibration_error_is_the_mean_gap(void **state)
{
    (void)state;
    static struct sample s;
    double ece = 0;
    make(&s, 8);
    for (int bin = 0; bin < MEASURE_BINS; bin++) {
        double n = 0, sure = 0, right = 0;
        for (int r = 0; r < ROWS; r++) {
            float top = s.p[r * LABELS + told(&s, r)];
            if ((int)(top * MEASURE_BINS) != bin && !(top >= 1 && bin == MEASURE_BINS - 1))
                continue;
            n++;
            sure += top;
            right += told(&s, r) == s.truth[r];
        }
        if (n > 0)
            ece += n / ROWS * fabs(sure / n - right / n);
    }
    assert_float_equal(measure_ece(s.p, s.truth, ROWS, LABELS, NULL), ece, 1e-9);
}

static void area_and_recall_count_pairs(void **state)
{
    (void)state;
    static struct sample s;
    struct arena arena;
    arena_init(&arena, 0, 1 << 20);
    for (uint64_t seed = 1; seed < 20; seed++) {
        double above = 0, pairs = 0, auc;
        make(&s, seed);
        for (int a = 0; a < ROWS; a++)
            for (int b = 0; b < ROWS; b++)
                if (s.yes[a] && !s.yes[b]) {
                    pairs++;
                    above += s.score[a] > s.score[b] ? 1 : s.score[a] == s.score[b] ? 0.5 : 0;
                }
        assert_int_equal(measure_auc(s.score, s.yes, ROWS, &arena, &auc), RESULT_OK);
        assert_float_equal(auc, above / pairs, 1e-12);
        for (double rate = 0; rate < 1; rate += 0.13) {
            struct measure recall;
            float at;
            double best = 0;
            for (int t = 0; t < ROWS; t++) { // every score as a threshold
                double tp = 0, fp = 0, yes = 0;
                for (int r = 0; r < ROWS; r++) {
                    yes += s.yes[r];
                    tp += s.yes[r] && s.score[r] >= s.score[t];
                    fp += !s.yes[r] && s.score[r] >= s.score[t];
                }
                if (fp <= rate * (ROWS - yes) && tp / yes > best)
                    best = tp / yes;
            }
            assert_int_equal(measure_recall_at(s.score, s.yes, ROWS, rate, &arena, &recall, &at),
                             RESULT_OK);
            assert_float_equal(recall.value, best, 1e-12);
        }
    }
    alloc_fail_at(1, 1);
    double auc;
    struct arena none;
    arena_init(&none, 0, 1 << 20);
    assert_int_equal(measure_auc(s.score, s.yes, ROWS, &none, &auc), RESULT_NOMEM);
    alloc_fail_at(0, 0);
    arena_deinit(&none);
    arena_deinit(&arena);
}

static double mean_of(void *ctx, const uint32_t *pick, uint32_t count)
{
    const struct sample *s = ctx;
    double sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += s->score[pick[i]];
    return count ? sum / count : 0;
}

static void resampling_gives_the_interval_of_a_mean(void **state)
{
    (void)state;
    static struct sample s;
    struct measure m, again;
    struct arena arena;
    arena_init(&arena, 0, 1 << 20);
    make(&s, 3);
    assert_int_equal(measure_bootstrap(ROWS, 2000, 5, mean_of, &s, &arena, &m), RESULT_OK);
    assert_int_equal(measure_bootstrap(ROWS, 2000, 5, mean_of, &s, &arena, &again), RESULT_OK);
    assert_memory_equal(&m, &again, sizeof m);
    double mean = 0, var = 0;
    for (int r = 0; r < ROWS; r++)
        mean += s.score[r] / ROWS;
    for (int r = 0; r < ROWS; r++)
        var += pow(s.score[r] - mean, 2) / ROWS;
    double half = 1.645 * sqrt(var / ROWS);
    assert_float_equal(m.value, mean, 1e-9);
    assert_float_equal(m.high - m.low, 2 * half, 0.15 * half);
    arena_deinit(&arena);
}

static void slope_and_sigmoid_are_found_again(void **state)
{
    (void)state;
    enum { MANY = 20000 };
    static float logits[MANY * 3], score[MANY];
    static uint32_t truth[MANY];
    static bool yes[MANY];
    struct rng rng;
    rng_seed(&rng, 11);
    for (int r = 0; r < MANY; r++) {
        float p[3];
        for (int i = 0; i < 3; i++)
            logits[r * 3 + i] = (float)(rng_unit(&rng) * 6);
        real_softmax(logits + r * 3, 3, 0.5f, NULL, p);
        double u = rng_unit(&rng);
        truth[r] = u < p[0] ? 0 : u < p[0] + p[1] ? 1 : 2;
        score[r] = (float)(rng_unit(&rng) * 8 - 4);
        yes[r] = rng_unit(&rng) < real_logistic(1.5 * score[r] - 1);
    }
    float slope, shift;
    assert_float_equal(calibrate_slope(logits, truth, MANY, 3), 0.5, 0.02);
    calibrate_platt(score, yes, MANY, &slope, &shift);
    assert_float_equal(slope, 1.5, 0.08);
    assert_float_equal(shift, -1, 0.08);
    // All of one kind: finite all the same.
    memset(yes, 1, sizeof yes);
    calibrate_platt(score, yes, MANY, &slope, &shift);
    assert_true(isfinite(slope) && isfinite(shift));
}

// fitted[i] = max over a <= i of min over b >= i of the weighted mean of [a, b] (Barlow et al. 1972).
static void isotonic_is_the_max_of_mins(void **state)
{
    (void)state;
    enum { N = 40 };
    struct rng rng;
    rng_seed(&rng, 2);
    for (int round = 0; round < 100; round++) {
        double v[N], w[N], f[N];
        for (int i = 0; i < N; i++) {
            v[i] = (double)rng_below(&rng, 5) + i * 0.05;
            w[i] = 1 + (double)rng_below(&rng, 3);
        }
        calibrate_isotonic(v, w, N, f);
        for (int i = 0; i < N; i++) {
            double best = -INFINITY;
            for (int a = 0; a <= i; a++) {
                double least = INFINITY;
                for (int b = i; b < N; b++) {
                    double sum = 0, mass = 0;
                    for (int k = a; k <= b; k++) {
                        sum += v[k] * w[k];
                        mass += w[k];
                    }
                    least = fmin(least, sum / mass);
                }
                best = fmax(best, least);
            }
            assert_float_equal(f[i], best, 1e-9);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exponential_and_logarithm_are_those_of_the_library),
        cmocka_unit_test(softmax_sums_to_one),
        cmocka_unit_test(shares_have_wilsons_interval),
        cmocka_unit_test(classes_are_counted),
        cmocka_unit_test(calibration_error_is_the_mean_gap),
        cmocka_unit_test(area_and_recall_count_pairs),
        cmocka_unit_test(resampling_gives_the_interval_of_a_mean),
        cmocka_unit_test(slope_and_sigmoid_are_found_again),
        cmocka_unit_test(isotonic_is_the_max_of_mins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
