// Matrix kernels beside the scalar tier and beside plain sums in double.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "nn/gemm.h"

static void *aligned(size_t bytes)
{
    void *p = NULL;
    assert_int_equal(posix_memalign(&p, 64, bytes), 0);
    return p;
}

struct problem {
    uint32_t k, n, rows;
    float *w, *bias, *balance, *a;
};

static void fill(struct rng *rng, float *out, size_t count, float low, float high)
{
    for (size_t i = 0; i < count; i++)
        out[i] = low + (high - low) * (float)rng_unit(rng);
}

static struct problem problem_make(struct rng *rng, uint32_t k, uint32_t n, uint32_t rows)
{
    struct problem p = {k,
                        n,
                        rows,
                        aligned(4UL * k * n),
                        aligned(4UL * n),
                        aligned(4UL * k),
                        aligned(4UL * k * rows)};
    fill(rng, p.w, (size_t)k * n, -0.5F, 0.5F);
    fill(rng, p.bias, n, -2, 2);
    fill(rng, p.balance, k, 0.5F, 3);
    fill(rng, p.a, (size_t)k * rows, -0.7F, 1.3F);
    return p;
}

static void problem_free(struct problem *p)
{
    free(p->w);
    free(p->bias);
    free(p->balance);
    free(p->a);
}

static float *product(const struct problem *p, enum nn_tier tier, enum nn_precision precision)
{
    struct gemm_weights w = {tier, precision, p->k, p->n, NULL};
    void *data = aligned(gemm_weights_bytes(tier, precision, p->k, p->n));
    gemm_weights_pack(tier, precision, p->k, p->n, p->w, p->bias, p->balance, data);
    w.data = data;
    void *rows = aligned(gemm_rows_bytes(&w, p->rows));
    gemm_rows_pack(&w, p->a, p->k, p->rows, rows);
    float *c = aligned(4UL * p->n * p->rows);
    gemm_run(&w, rows, p->rows, c, p->n);
    free(data);
    free(rows);
    return c;
}

// How far a precision may be from the sum, in parts of its greatest size.
static const double WITHIN[NN_PRECISIONS] = {
    [NN_F32] = 1e-6, [NN_BF16] = 4e-3, [NN_S16] = 2e-4, [NN_INT8] = 1e-2};

static void check_product(const struct problem *p, enum nn_precision precision, const float *c)
{
    for (uint32_t i = 0; i < p->rows; i++)
        for (uint32_t j = 0; j < p->n; j++) {
            double want = p->bias[j], size = 2 + 3.9 * p->k; // 3.9: greatest product after balance
            for (uint32_t q = 0; q < p->k; q++)
                want += (double)p->a[i * p->k + q] * p->w[j * p->k + q];
            assert_true(fabs(want - c[i * p->n + j]) <= WITHIN[precision] * size);
        }
}

static void every_tier_is_near_and_equal(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 1);
    static const uint32_t ks[] = {384, 1, 2, 7, 33, 130};
    for (size_t z = 0; z < sizeof ks / sizeof ks[0]; z++) {
        struct problem p = problem_make(&rng, ks[z], 100, 17);
        for (int precision = 0; precision < NN_PRECISIONS; precision++) {
            float *want = product(&p, NN_SCALAR, (enum nn_precision)precision);
            for (int tier = 0; tier < NN_TIERS; tier++) {
                if (!nn_tier_has((enum nn_tier)tier))
                    continue;
                float *c = product(&p, (enum nn_tier)tier, (enum nn_precision)precision);
                check_product(&p, (enum nn_precision)precision, c);
                if (precision == NN_F32 || precision == NN_S16)
                    assert_memory_equal(c, want, 4UL * p.n * p.rows);
                free(c);
            }
            free(want);
        }
        problem_free(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_tier_is_near_and_equal)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
