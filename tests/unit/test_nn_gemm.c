// Matrix kernels beside a naive model of what nn/gemm.h says each precision computes, bit for bit.
//
// Every tier that this CPU runs is tested, and the EVEX form of AVX-VNNI where there is AVX-512. The same file is compiled
// for AArch64 and run under an emulator (tests/arm64).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "nn/gemm_kernel.h"

static void *memory(size_t bytes)
{
    void *p = NULL;
    if (posix_memalign(&p, 64, bytes ? bytes : 1))
        abort();
    memset(p, 0xa5, bytes);
    return p;
}

// ---- kernels under test ----

struct subject {
    const char *name;
    enum nn_tier tier;
    enum nn_precision precision;
    const struct gemm_kernel *kernel;
};
enum { SUBJECTS_MAX = 32 };

static uint32_t subjects(struct subject out[SUBJECTS_MAX])
{
    uint32_t n = 0;
    for (int tier = 0; tier < NN_TIERS; tier++)
        for (int p = 0; p < NN_PRECISIONS && nn_tier_has((enum nn_tier)tier); p++)
            out[n++] = (struct subject){nn_tier_name((enum nn_tier)tier), (enum nn_tier)tier,
                                        (enum nn_precision)p,
                                        gemm_kernel_of((enum nn_tier)tier, (enum nn_precision)p)};
#if defined(__x86_64__)
    for (int p = NN_S16; p <= NN_INT8 && nn_tier_has(NN_AVX512_VNNI); p++)
        out[n++] = (struct subject){"avx-vnni as EVEX", NN_AVXVNNI, (enum nn_precision)p,
                                    &gemm_avxvnni_evex[p]};
#endif
    return n;
}

// ---- one product ----

struct problem {
    uint32_t k, n, rows;
    float *w, *bias, *balance, *a; // bias and balance may be NULL
};

static void fill(struct rng *rng, float *out, size_t count, float low, float high)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (float)(low + ((double)high - low) * rng_unit(rng));
}

static struct problem problem_make(struct rng *rng, uint32_t k, uint32_t n, uint32_t rows)
{
    struct problem p = {
        k, n, rows, memory(4UL * k * n), memory(4UL * n), memory(4UL * k), memory(4UL * k * rows)};
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

struct packed {
    const struct subject *s;
    struct gemm_weights w;
    void *data, *rows;
};

static struct packed pack(const struct subject *s, const struct problem *p)
{
    struct packed out = {.s = s, .w = {s->tier, s->precision, p->k, p->n, NULL}};
    out.w.data = out.data = memory(gemm_weights_bytes(s->tier, s->precision, p->k, p->n));
    gemm_weights_pack(s->tier, s->precision, p->k, p->n, p->w, p->bias, p->balance, out.data);
    out.rows = memory(gemm_rows_bytes(&out.w, p->rows));
    gemm_rows_pack(&out.w, p->a, p->k, p->rows, out.rows);
    return out;
}

static void packed_free(struct packed *p)
{
    free(p->data);
    free(p->rows);
}

static void run(const struct packed *p, uint32_t first, uint32_t rows, float *c, size_t stride,
                bool add)
{
    const char *at = (const char *)p->rows + first * gemm_row_bytes(&p->w);
    gemm_run_kernel(p->s->kernel, &p->w, at, rows, c + first * stride, stride, add);
}

// ---- the model ----

static uint32_t steps_of(const struct packed *p)
{
    return gemm_steps(p->s->kernel, p->w.k);
}

static const char *panel_of(const struct packed *p, uint32_t channel)
{
    uint32_t columns = p->s->kernel->columns;
    size_t bytes = ((size_t)steps_of(p) + GEMM_TAIL_STEPS) * columns * 4;
    return (const char *)p->data + sizeof(struct gemm_head) + channel / columns * bytes;
}

// Scale (0), sum (1) or bias (2) of a channel.
static float tail_of(const struct packed *p, uint32_t channel, uint32_t which)
{
    uint32_t columns = p->s->kernel->columns;
    float x;
    memcpy(&x,
           panel_of(p, channel) + (((size_t)steps_of(p) + which) * columns + channel % columns) * 4,
           4);
    return x;
}

// `size` bytes of element i of a channel.
static void element_of(const struct packed *p, uint32_t channel, uint32_t i, uint32_t size,
                       void *out)
{
    uint32_t columns = p->s->kernel->columns, per = 4 / size;
    memcpy(out,
           panel_of(p, channel) + ((size_t)(i / per) * columns + channel % columns) * 4 +
               (size_t)(i % per) * size,
           size);
}

static int32_t weight_of(const struct packed *p, uint32_t channel, uint32_t i)
{
    int8_t narrow;
    int16_t wide;
    if (p->w.precision == NN_INT8) {
        element_of(p, channel, i, 1, &narrow);
        return narrow;
    }
    element_of(p, channel, i, 2, &wide);
    return wide;
}

static float bf16_to_float(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

// Nearest bf16 by trying both neighbours.
static float round_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    float down = bf16_to_float((uint16_t)(bits >> 16)),
          up = bf16_to_float((uint16_t)((bits >> 16) + 1));
    if (fabsf(x) < 0x1p-126F)
        return copysignf(0, x);
    double d = fabs((double)x - down), u = fabs((double)up - x);
    return d < u || (d == u && !(bits >> 16 & 1)) ? down : up;
}

static float normal(float x)
{
    return fabsf(x) < 0x1p-126F ? copysignf(0, x) : x;
}

static float balanced(const struct problem *p, uint32_t row, uint32_t i)
{
    float x = p->a[(size_t)row * p->k + i];
    return p->balance ? x * (1.0F / p->balance[i]) : x;
}

static float model_float(const struct packed *d, const struct problem *p, uint32_t row,
                         uint32_t channel)
{
    bool pairs = d->s->kernel->form == GEMM_FORM_BF16;
    float sum = p->bias ? p->bias[channel] : 0;
    uint32_t padded = steps_of(d) * (pairs ? 2 : 1);
    for (uint32_t i = 0; i < padded; i++) {
        uint32_t e = pairs ? i ^ 1 : i; // the odd one of a pair first
        float x = e < p->k ? balanced(p, row, e) : 0, y;
        uint16_t half;
        if (pairs) {
            element_of(d, channel, e, 2, &half);
            y = bf16_to_float(half);
            sum = normal(fmaf(normal(round_bf16(x)), normal(y), normal(sum)));
        } else {
            element_of(d, channel, e, 4, &y);
            sum = fmaf(d->s->kernel->round_bf16 ? round_bf16(x) : x, y, sum);
        }
    }
    return sum;
}

struct quantised {
    float scale, zero;
    int32_t *q;
};

static struct quantised model_row(const struct packed *d, const struct problem *p, uint32_t row)
{
    struct quantised out = {0, 0, memory(sizeof(int32_t) * p->k)};
    float high = 0, low = 0;
    for (uint32_t i = 0; i < p->k; i++) {
        high = fmaxf(high, balanced(p, row, i));
        low = fminf(low, balanced(p, row, i));
    }
    bool int8 = d->w.precision == NN_INT8;
    float level = (float)gemm_s16_level(p->k);
    out.scale = fmaxf(int8 ? high / 255 - low / 255 : fmaxf(high, -low) / level, 1e-30F);
    float inverse = 1.0F / out.scale;
    out.zero = int8 ? rintf(-low * inverse) : 0;
    for (uint32_t i = 0; i < p->k; i++) {
        float y = balanced(p, row, i);
        float q = int8 ? fmaf(y, inverse, out.zero) : y * inverse;
        q = fminf(fmaxf(q, int8 ? 0 : -level), int8 ? 255 : level);
        out.q[i] = (int32_t)lrintf(q);
    }
    return out;
}

static float model_integer(const struct packed *d, const struct quantised *row, uint32_t channel)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < d->w.k; i++)
        sum += (int64_t)row->q[i] * weight_of(d, channel, i);
    assert_true(sum >= INT32_MIN && sum <= INT32_MAX);
    float t = (float)sum;
    if (d->w.precision == NN_INT8)
        t = fmaf(-row->zero, tail_of(d, channel, 1), t);
    return fmaf(t * row->scale, tail_of(d, channel, 0), tail_of(d, channel, 2));
}

static float *model(const struct packed *d, const struct problem *p)
{
    float *c = memory(4UL * p->n * p->rows);
    bool integer = d->w.precision == NN_S16 || d->w.precision == NN_INT8;
    for (uint32_t i = 0; i < p->rows; i++) {
        struct quantised row = {0, 0, NULL};
        if (integer)
            row = model_row(d, p, i);
        for (uint32_t j = 0; j < p->n; j++)
            c[(size_t)i * p->n + j] = integer ? model_integer(d, &row, j) : model_float(d, p, i, j);
        free(row.q);
    }
    return c;
}

static void same_bits(const struct subject *s, const struct problem *p, const float *got,
                      size_t stride, const float *want)
{
    for (uint32_t i = 0; i < p->rows; i++)
        for (uint32_t j = 0; j < p->n; j++)
            if (memcmp(&got[i * stride + j], &want[(size_t)i * p->n + j], 4) != 0)
                fail_msg("%s, precision %d, k %u, n %u, %u rows: [%u][%u] is %a, not %a", s->name,
                         s->precision, p->k, p->n, p->rows, i, j, (double)got[i * stride + j],
                         (double)want[(size_t)i * p->n + j]);
}

static void check_against_model(const struct subject *s, const struct problem *p)
{
    struct packed d = pack(s, p);
    float *want = model(&d, p), *c = memory(4UL * p->n * p->rows);
    run(&d, 0, p->rows, c, p->n, false);
    same_bits(s, p, c, p->n, want);
    packed_free(&d);
    free(want);
    free(c);
}

// ---- tests ----

static void every_size_is_the_model(void **state)
{
    (void)state;
    static const uint32_t ks[] = {1, 2, 3, 5, 8, 13, 31, 32, 33, 64, 129, 200};
    static const uint32_t ns[] = {1, 3, 15, 16, 17, 47, 48, 49, 100};
    struct subject list[SUBJECTS_MAX];
    uint32_t count = subjects(list);
    struct rng rng;
    rng_seed(&rng, 1);
    for (uint32_t rows = 1; rows <= 17; rows++)
        for (uint32_t i = 0; i < 6; i++) {
            struct problem p = problem_make(&rng, ks[rng_below(&rng, sizeof ks / sizeof ks[0])],
                                            ns[rng_below(&rng, sizeof ns / sizeof ns[0])], rows);
            struct problem bare = p;
            if (i % 3 == 1)
                bare.bias = NULL;
            if (i % 2 == 1)
                bare.balance = NULL;
            for (uint32_t s = 0; s < count; s++)
                check_against_model(&list[s], &bare);
            problem_free(&p);
        }
}

static void an_encoders_sizes_are_the_model(void **state)
{
    (void)state;
    static const uint32_t sizes[][3] = {{384, 48, 9}, {1536, 50, 13}, {768, 96, 16}, {5000, 20, 3}};
    struct subject list[SUBJECTS_MAX];
    uint32_t count = subjects(list);
    struct rng rng;
    rng_seed(&rng, 2);
    for (size_t z = 0; z < sizeof sizes / sizeof sizes[0]; z++) {
        struct problem p = problem_make(&rng, sizes[z][0], sizes[z][1], sizes[z][2]);
        for (uint32_t s = 0; s < count; s++)
            check_against_model(&list[s], &p);
        problem_free(&p);
    }
}

// Row r of an awkward matrix.
static void awkward_row(struct rng *rng, float *a, uint32_t k, uint32_t r)
{
    static const float sizes[] = {0, 1, 1e30F, 3e38F, 1e-30F, 1e-38F, 1e-45F};
    float size = sizes[r % 7];
    fill(rng, a, k, r & 8 ? 0 : -size, r & 16 ? 0 : size);
    if (r % 5 == 1)
        a[rng_below(rng, k)] = 3e38F;
    if (r % 5 == 2)
        a[rng_below(rng, k)] = -1e4F;
    if (r % 5 == 3)
        for (uint32_t i = 0; i < k; i++)
            a[i] = size;
}

static void awkward_values_are_the_model(void **state)
{
    (void)state;
    enum { ROWS = 70, N = 50, K = 37 };
    struct subject list[SUBJECTS_MAX];
    uint32_t count = subjects(list);
    struct rng rng;
    rng_seed(&rng, 3);
    struct problem p = problem_make(&rng, K, N, ROWS);
    struct problem bare = p;
    bare.balance = NULL;
    for (uint32_t r = 0; r < ROWS; r++)
        awkward_row(&rng, p.a + (size_t)r * K, K, r);
    for (uint32_t j = 0; j < N; j++) {
        fill(&rng, p.w + (size_t)j * K, K, j % 3 == 1 ? 0 : -1, j % 3 == 2 ? 0 : 1);
        for (uint32_t i = 0; i < K; i++)
            p.w[(size_t)j * K + i] *= j % 7 == 0 ? 0 : j % 7 == 1 ? 1e-36F : j % 7 == 2 ? 1e-6F : 1;
    }
    for (uint32_t s = 0; s < count; s++) {
        struct packed d = pack(&list[s], &bare);
        float *want = model(&d, &bare), *c = memory(4UL * N * ROWS);
        run(&d, 0, ROWS, c, N, false);
        // Sums of infinities of both signs have no value to compare.
        for (uint32_t i = 0; i < ROWS * N; i++)
            if (isnan(want[i]) && isnan(c[i]))
                want[i] = c[i] = 0;
        same_bits(&list[s], &bare, c, N, want);
        packed_free(&d);
        free(want);
        free(c);
    }
    problem_free(&p);
}

static void rows_that_are_not_finite_do_no_harm(void **state)
{
    (void)state;
    enum { ROWS = 9, N = 20, K = 35 };
    struct subject list[SUBJECTS_MAX];
    uint32_t count = subjects(list);
    struct rng rng;
    rng_seed(&rng, 4);
    struct problem p = problem_make(&rng, K, N, ROWS);
    for (uint32_t s = 0; s < count; s++) {
        struct packed d = pack(&list[s], &p);
        float *want = memory(4UL * N * ROWS), *c = memory(4UL * N * ROWS);
        run(&d, 0, ROWS, want, N, false);
        struct problem bad = p;
        bad.a = memory(4UL * K * ROWS);
        memcpy(bad.a, p.a, 4UL * K * ROWS);
        bad.a[0] = NAN;
        bad.a[K + 34] = INFINITY;
        bad.a[2 * K + 3] = -INFINITY;
        gemm_rows_pack(&d.w, bad.a, K, ROWS, d.rows);
        run(&d, 0, ROWS, c, N, false);
        assert_memory_equal(c + 3 * N, want + 3 * N, 4UL * (ROWS - 3) * N);
        packed_free(&d);
        free(bad.a);
        free(want);
        free(c);
    }
    problem_free(&p);
}

// Weights as trained layers have them: bell-shaped, some channels with outliers, sparse, one-sided or constant.
static void trained_weights(struct rng *rng, float *w, uint32_t k, uint32_t channel)
{
    for (uint32_t i = 0; i < k; i++) {
        float bell = 0;
        for (int e = 0; e < 6; e++)
            bell += (float)rng_unit(rng) - 0.5F;
        w[i] = bell * 0.1F;
        if (channel % 6 == 1 && rng_below(rng, 40) == 0)
            w[i] *= 12;
        if (channel % 6 == 2 && rng_below(rng, 4) != 0)
            w[i] = 0;
        if (channel % 6 == 3)
            w[i] = fabsf(w[i]);
        if (channel % 6 == 4)
            w[i] = channel & 8 ? 0.3F : -0.3F;
    }
}

// For every channel the activations that drive its sums furthest, up and down, in all parts at once.
static void no_activations_saturate(void **state)
{
    (void)state;
    enum { N = 54 };
    static const uint32_t ks[] = {384, 1536, 70};
    struct subject list[SUBJECTS_MAX];
    uint32_t count = subjects(list);
    struct rng rng;
    rng_seed(&rng, 5);
    for (size_t z = 0; z < sizeof ks / sizeof ks[0]; z++) {
        uint32_t k = ks[z];
        struct problem p = problem_make(&rng, k, N, 2 * N);
        struct problem bare = p;
        bare.balance = NULL;
        for (uint32_t j = 0; j < N; j++)
            trained_weights(&rng, p.w + (size_t)j * k, k, j);
        for (uint32_t s = 0; s < count; s++) {
            if (list[s].precision != NN_S16 && list[s].precision != NN_INT8)
                continue;
            bool int8 = list[s].precision == NN_INT8;
            float top = int8 ? 255 : (float)gemm_s16_level(k);
            for (uint32_t j = 0; j < 2 * N; j++)
                for (uint32_t i = 0; i < k; i++) {
                    bool high = (p.w[(size_t)(j / 2) * k + i] > 0) == (j & 1);
                    p.a[(size_t)j * k + i] = high ? top : int8 ? 0 : -top;
                }
            check_against_model(&list[s], &bare);
        }
        problem_free(&p);
    }
}

// The scales of weights: as small as the type, or the sums, allow; and never smaller.
static void weight_scales_are_tight(void **state)
{
    (void)state;
    enum { N = 48, K = 384 };
    struct subject list[SUBJECTS_MAX];
    uint32_t count = subjects(list);
    struct rng rng;
    rng_seed(&rng, 6);
    struct problem p = problem_make(&rng, K, N, 1);
    for (uint32_t j = 0; j < N; j++)
        trained_weights(&rng, p.w + (size_t)j * K, K, j);
    for (uint32_t s = 0; s < count; s++) {
        if (list[s].precision != NN_S16 && list[s].precision != NN_INT8)
            continue;
        struct packed d = pack(&list[s], &p);
        for (uint32_t j = 0; j < N; j++) {
            float scale = tail_of(&d, j, 0), colsum = 0;
            int64_t sum = 0, lane = 0;
            int32_t most = 0, limit = list[s].precision == NN_INT8 ? 127 : 32767;
            for (uint32_t i = 0; i < K; i++) {
                int32_t q = weight_of(&d, j, i);
                float w = p.w[(size_t)j * K + i] * p.balance[i];
                assert_true(fabsf(w - (float)q * scale) <= 0.5001F * scale);
                most = abs(q) > most ? abs(q) : most;
                sum += abs(q);
                colsum += (float)q;
            }
            for (uint32_t i = 0; i < K; i += 8)
                for (uint32_t h = 0; h < 4; h += 2) {
                    int64_t up = 0, down = 0;
                    for (uint32_t e = 0; e < 4; e++) {
                        int32_t q = weight_of(&d, j, i + h + e % 2 + e / 2 * 4);
                        up += q > 0 ? q : 0;
                        down += q < 0 ? -q : 0;
                    }
                    lane = up > lane ? up : lane;
                    lane = down > lane ? down : lane;
                }
            double used = most / (double)limit;
            if (list[s].kernel->sums_in_s16) {
                assert_true(lane * 255 <= INT16_MAX);
                used = fmax(used, (double)lane * 255 / INT16_MAX);
            }
            if (list[s].precision == NN_S16) {
                assert_true(sum * gemm_s16_level(K) <= INT32_MAX);
                used = fmax(used, (double)sum * gemm_s16_level(K) / INT32_MAX);
            }
            assert_true(most <= limit);
            assert_true(used > 0.97); // a lane's sum of four moves in steps of up to 2 %
            if (list[s].precision == NN_INT8)
                assert_true(colsum == tail_of(&d, j, 1));
        }
        packed_free(&d);
    }
    problem_free(&p);
}

static void any_split_of_rows_gives_the_same_bits(void **state)
{
    (void)state;
    enum { ROWS = 61, N = 70, K = 100, STRIDE = N + 3, SPLITS = 12 };
    struct subject list[SUBJECTS_MAX];
    uint32_t count = subjects(list);
    struct rng rng;
    rng_seed(&rng, 7);
    struct problem p = problem_make(&rng, K, N, ROWS);
    for (uint32_t s = 0; s < count; s++) {
        struct packed d = pack(&list[s], &p);
        float *want = memory(4UL * N * ROWS);
        run(&d, 0, ROWS, want, N, false);
        for (int i = 0; i < SPLITS; i++) {
            float *c = memory(4UL * STRIDE * ROWS + 4);
            size_t bytes = gemm_row_bytes(&d.w);
            memset(d.rows, 0, ROWS * bytes);
            for (uint32_t at = 0, n; at < ROWS; at += n) {
                n = 1 + (uint32_t)rng_below(&rng, i < 2 ? 1 : 20);
                n = n < ROWS - at ? n : ROWS - at;
                gemm_rows_pack(&d.w, p.a + (size_t)at * K, K, n, (char *)d.rows + at * bytes);
                run(&d, at, n, c + 1, STRIDE, false); // results at any address
            }
            same_bits(&list[s], &p, c + 1, STRIDE, want);
            // What lies between and around the rows is left alone.
            for (uint32_t r = 0; r < ROWS; r++)
                for (uint32_t j = N; j < STRIDE && r * STRIDE + j + 1 <= STRIDE * ROWS; j++)
                    assert_int_equal(((unsigned char *)(c + 1 + (size_t)r * STRIDE + j))[0], 0xa5);
            free(c);
        }
        packed_free(&d);
        free(want);
    }
    problem_free(&p);
}

static void long_inputs_go_in_blocks(void **state)
{
    (void)state;
    enum { ROWS = 300, N = 17, K = 1024 };
    struct subject list[SUBJECTS_MAX];
    uint32_t count = subjects(list);
    struct rng rng;
    rng_seed(&rng, 8);
    struct problem p = problem_make(&rng, K, N, ROWS);
    for (uint32_t s = 0; s < count; s++) {
        struct packed d = pack(&list[s], &p);
        float *want = memory(4UL * N * ROWS), *c = memory(4UL * N * ROWS);
        for (uint32_t r = 0; r < ROWS; r++)
            run(&d, r, 1, want, N, false);
        run(&d, 0, ROWS, c, N, false);
        same_bits(&list[s], &p, c, N, want);
        packed_free(&d);
        free(want);
        free(c);
    }
    problem_free(&p);
}

static void adding_adds_last(void **state)
{
    (void)state;
    enum { ROWS = 11, N = 61, K = 40 };
    struct subject list[SUBJECTS_MAX];
    uint32_t count = subjects(list);
    struct rng rng;
    rng_seed(&rng, 9);
    struct problem p = problem_make(&rng, K, N, ROWS);
    for (uint32_t s = 0; s < count; s++) {
        struct packed d = pack(&list[s], &p);
        float *want = memory(4UL * N * ROWS), *c = memory(4UL * N * ROWS);
        run(&d, 0, ROWS, want, N, false);
        fill(&rng, c, (size_t)N * ROWS, -3, 3);
        for (uint32_t i = 0; i < N * ROWS; i++)
            want[i] += c[i];
        run(&d, 0, ROWS, c, N, true);
        same_bits(&list[s], &p, c, N, want);
        packed_free(&d);
        free(want);
        free(c);
    }
    problem_free(&p);
}

// Tiers whose arithmetic is the same give the same bits, packed rows included.
static void tiers_agree(void **state)
{
    (void)state;
    enum { ROWS = 13, N = 90, K = 131 };
    struct subject list[SUBJECTS_MAX];
    uint32_t count = subjects(list);
    struct rng rng;
    rng_seed(&rng, 10);
    struct problem p = problem_make(&rng, K, N, ROWS);
    float *want[NN_PRECISIONS] = {0};
    for (uint32_t s = 0; s < count; s++) {
        enum nn_precision precision = list[s].precision;
        if ((precision == NN_INT8 && list[s].kernel->sums_in_s16) ||
            (precision == NN_BF16 && list[s].kernel->round_bf16))
            continue;
        struct packed d = pack(&list[s], &p);
        float *c = memory(4UL * N * ROWS);
        run(&d, 0, ROWS, c, N, false);
        if (want[precision])
            same_bits(&list[s], &p, c, N, want[precision]);
        else
            want[precision] = c, c = NULL;
        free(c);
        packed_free(&d);
    }
    for (int i = 0; i < NN_PRECISIONS; i++)
        free(want[i]);
    problem_free(&p);
}

static double gelu(double x)
{
    return x * 0.5 * erfc(-x / sqrt(2));
}

static void gelu_is_near_and_the_same_on_every_tier(void **state)
{
    (void)state;
    enum { K = 4099, N = 1 };
    struct subject list[SUBJECTS_MAX];
    uint32_t count = subjects(list);
    float *x = memory(8UL * K), *first = memory(4UL * K), *a = memory(8UL * K), zero[K] = {0};
    for (uint32_t i = 0; i < K; i++) {
        x[i] = ((float)i - K / 2) * (12.0F / K);
        x[K + i] = (float)(i % 7) - 3;
    }
    x[0] = -1e30F, x[1] = 1e30F, x[2] = 100, x[3] = -100, x[4] = 1e-40F, x[5] = -0.0F;
    for (int gate = 0; gate < 2; gate++)
        for (uint32_t s = 0; s < count; s++) {
            struct problem p = {K, N, 1, zero, NULL, NULL, NULL};
            struct subject plain = list[s];
            struct gemm_weights w = {plain.tier, plain.precision, K, N, NULL};
            void *data = memory(gemm_weights_bytes(w.tier, w.precision, K, N));
            gemm_weights_pack(w.tier, w.precision, p.k, p.n, p.w, NULL, NULL, data);
            w.data = data;
            char *rows = memory(gemm_rows_bytes(&w, 1)), *want = memory(gemm_rows_bytes(&w, 1));
            memset(rows, 0, gemm_rows_bytes(&w, 1));
            memset(want, 0, gemm_rows_bytes(&w, 1));
            memcpy(a, x, 8UL * K);
            gemm_rows_pack_act(&w, gate ? GEMM_ACT_GELU_GATE : GEMM_ACT_GELU, a, 2UL * K, 1, rows);
            assert_memory_equal(a + K, x + K, 4UL * K);
            for (uint32_t i = 0; i < K; i++) {
                double g = gate ? (double)x[K + i] : 1, y = gelu((double)x[i]) * g;
                assert_true(fabs((double)a[i] - y) <=
                            5e-7 * fmax(1, fabs((double)x[i])) * fmax(1, fabs(g)));
            }
            if (!gate) {
                assert_true(a[1] == 1e30F && a[2] == 100 && a[0] == 0 && a[3] == 0);
                assert_true(fabsf(a[4]) <= 1e-40F && a[5] == 0);
            }
            if (s == 0)
                memcpy(first, a, 4UL * K);
            assert_memory_equal(a, first, 4UL * K);
            gemm_rows_pack(&w, a, K, 1, want);
            assert_memory_equal(rows, want, sizeof(struct gemm_row) + K);
            free(rows);
            free(want);
            free(data);
        }
    free(x);
    free(first);
    free(a);
}

static void results_are_near_the_sums(void **state)
{
    (void)state;
    // How far a precision may be from the exact sum, in parts of its greatest size.
    static const double within[NN_PRECISIONS] = {
        [NN_F32] = 1e-6, [NN_BF16] = 4e-3, [NN_S16] = 2e-4, [NN_INT8] = 1e-2};
    static const uint32_t ks[] = {384, 1, 7, 130};
    struct subject list[SUBJECTS_MAX];
    uint32_t count = subjects(list);
    struct rng rng;
    rng_seed(&rng, 11);
    for (size_t z = 0; z < sizeof ks / sizeof ks[0]; z++) {
        struct problem p = problem_make(&rng, ks[z], 60, 5);
        for (uint32_t s = 0; s < count; s++) {
            struct packed d = pack(&list[s], &p);
            float *c = memory(4UL * p.n * p.rows);
            run(&d, 0, p.rows, c, p.n, false);
            for (uint32_t i = 0; i < p.rows; i++)
                for (uint32_t j = 0; j < p.n; j++) {
                    // 3.9: the greatest product after balance
                    double want = p.bias[j], size = 2 + 3.9 * p.k;
                    for (uint32_t q = 0; q < p.k; q++)
                        want += (double)p.a[i * p.k + q] * p.w[j * p.k + q];
                    assert_true(fabs(want - c[i * p.n + j]) <= within[list[s].precision] * size);
                }
            packed_free(&d);
            free(c);
        }
        problem_free(&p);
    }
}

static void tiers_are_named_and_chosen(void **state)
{
    (void)state;
    enum nn_tier tier;
    assert_true(nn_tier_has(NN_SCALAR));
    assert_true(nn_tier_has(nn_tier_best()));
    assert_false(nn_tier_has(NN_TIERS));
    assert_string_equal(nn_tier_name(NN_TIERS), "unknown");
    for (int i = 0; i < NN_TIERS; i++) {
        enum result r = nn_tier_choose(nn_tier_name((enum nn_tier)i), &tier);
        assert_int_equal(r, nn_tier_has((enum nn_tier)i) ? RESULT_OK : RESULT_UNSUPPORTED);
        assert_int_equal(tier, i);
    }
    assert_int_equal(nn_tier_choose("mmx", &tier), RESULT_NOT_FOUND);
    static const char *const best[] = {NULL, "", "auto"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(nn_tier_choose(best[i], &tier), RESULT_OK);
        assert_int_equal(tier, nn_tier_best());
    }
    struct subject list[SUBJECTS_MAX];
    uint32_t count = subjects(list);
    for (uint32_t s = 0; s < count; s += NN_PRECISIONS)
        print_message("tested: %s\n", list[s].name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiers_are_named_and_chosen),
        cmocka_unit_test(every_size_is_the_model),
        cmocka_unit_test(an_encoders_sizes_are_the_model),
        cmocka_unit_test(awkward_values_are_the_model),
        cmocka_unit_test(rows_that_are_not_finite_do_no_harm),
        cmocka_unit_test(no_activations_saturate),
        cmocka_unit_test(weight_scales_are_tight),
        cmocka_unit_test(any_split_of_rows_gives_the_same_bits),
        cmocka_unit_test(long_inputs_go_in_blocks),
        cmocka_unit_test(adding_adds_last),
        cmocka_unit_test(tiers_agree),
        cmocka_unit_test(gelu_is_near_and_the_same_on_every_tier),
        cmocka_unit_test(results_are_near_the_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
