// What a request takes, over random models, zones, lengths and loads: whatever is counted within the bound is charged
// within the bound; more tokens never cost less; shares of a full batch add up to the machines' time; nothing unknown is
// zero. Beside each formula stands a naive one in long double.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "policy/energy_list.h"
#include "route/energy.h"
#include "route/estimate.h"
#include "route/price.h"

enum { CASES = 20000 };

struct scene {
    struct image_model m;
    struct image_zone z;
    struct price_here here;
    struct price_usage usage;
    struct work work;
    struct image_step step;
};

static uint64_t below(struct rng *r, uint64_t n)
{
    return rng_below(r, n);
}

static double unit(struct rng *r)
{
    return (double)below(r, 1000001) / 1e6;
}

static void curve(struct rng *r, struct scene *s)
{
    size_t n;
    struct energy_fit f;
    const struct energy_row *rows = energy_list_rows(&n);
    const struct energy_row *row = &rows[below(r, n)];
    if (below(r, 4) == 0)
        assert_int_equal(energy_list_estimate(1 + (double)below(r, 400), 0, 16, &f), RESULT_OK);
    else
        assert_int_equal(
            energy_list_find(row->gpus, slice_cstr(row->hardware), slice_cstr(row->size), &f),
            RESULT_OK);
    s->m.energy = (struct image_energy){
        .curve = f.curve,
        .grade = f.grade,
        .a = f.a,
        .c = f.c,
        .prefill_j_tok = f.prefill_j_tok,
        .batch = f.batch,
        .batch_max = f.batch_max,
        .step_s = below(r, 5) ? f.step_s : 0,
        .step_growth = f.step_growth,
        .prefill_s_tok = f.prefill_s_tok,
        .gpus = f.gpus,
    };
    assert_int_equal(
        energy_list_bounds(&f, s->z.pue_milli, &s->m.energy_in_uj, &s->m.energy_out_uj), RESULT_OK);
}

static void make(struct rng *r, struct scene *s)
{
    memset(s, 0, sizeof *s);
    struct image_model *m = &s->m;
    s->z.pue_milli = below(r, 2) ? 1000 + (uint32_t)below(r, 1000) : 0;
    s->z.carbon_stated = below(r, 2);
    s->z.carbon_ug_kwh = (int64_t)below(r, 1000000000);
    m->energy_in_uj = m->energy_out_uj = -1;
    m->priced = below(r, 4);
    m->price_in_nusd = (int64_t)below(r, 30000000000);
    m->price_cached_nusd = (int64_t)below(r, 30000000000);
    m->price_written_nusd = below(r, 2) ? (int64_t)below(r, 40000000000) : 0;
    m->price_out_nusd = (int64_t)below(r, 180000000000);
    m->price_call_nusd = below(r, 2) ? (int64_t)below(r, 1000000) : 0;
    m->price_gpu_nusd_h = below(r, 2) ? (int64_t)below(r, 40000000000) : 0;
    m->batch_percent = below(r, 2) ? 1 + (uint32_t)below(r, 100) : 0;
    m->context_tok = 1 + (uint32_t)below(r, 200000);
    m->output_tok = 1 + (uint32_t)below(r, 20000);
    m->timeout_ms = below(r, 2) ? 1 + (uint32_t)below(r, 600000) : 0;
    m->endpoints.count = 1;
    if (below(r, 10) == 0) // machines of one's own, nothing by the token
        m->price_in_nusd = m->price_out_nusd = m->price_call_nusd = m->price_cached_nusd =
            m->price_written_nusd = 0;
    if (below(r, 5))
        curve(r, s);
    else if (below(r, 2)) {
        m->energy_in_uj = (int64_t)below(r, 100000000000);
        m->energy_out_uj = (int64_t)below(r, 1000000000000);
    }
    s->here = (struct price_here){
        .batch = below(r, 3) ? unit(r) * 400 : -1,
        .each_ms = below(r, 2) ? unit(r) * 100 : -1,
        .carbon_ug_kwh = below(r, 2) ? (int64_t)below(r, 1000000000) : -1,
        .deferred = below(r, 2),
    };
    s->work.input_tok = (uint32_t)below(r, 100000);
    s->work.max_output_tok = below(r, 2) ? 1 + (uint32_t)below(r, 30000) : 0;
    s->work.choices = 1 + (uint32_t)below(r, 3);
    s->step.kind = IMAGE_STEP_ANSWER;
    s->step.retries = (uint32_t)below(r, 3);
    uint64_t most = (uint64_t)estimate_output_most_tok(&s->work, m, &s->step) * s->work.choices;
    s->usage = (struct price_usage){
        .input_tok = below(r, (uint64_t)s->work.input_tok + 1),
        .cached_tok = below(r, (uint64_t)s->work.input_tok + 1),
        .written_tok = below(r, (uint64_t)s->work.input_tok + 1),
        .output_tok = below(r, most + 1),
        .metered_uj = below(r, 4) ? -1 : (int64_t)below(r, 1000000000000),
    };
    if (below(r, 8) == 0) { // exactly the most
        s->usage.input_tok = s->work.input_tok;
        s->usage.cached_tok = 0;
        s->usage.output_tok = most;
        s->here.batch = 1;
    }
}

static void settled_within_bound(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 11);
    unsigned bounded = 0, shared = 0, metered = 0;
    for (int i = 0; i < CASES; i++) {
        struct scene s;
        struct price_settled out;
        make(&r, &s);
        int64_t nusd = estimate_bound(&s.work, &s.m, IMAGE_UNIT_NUSD, 0, &s.step);
        int64_t uj = estimate_bound(&s.work, &s.m, IMAGE_UNIT_UJ, 0, &s.step);
        price_settle(&s.m, &s.z, &s.usage, &s.here, nusd, uj, &out);
        assert_true(out.cost_nusd <= nusd && out.energy_uj <= uj);
        int64_t ug = price_bound_ug(&s.z, &s.here, uj);
        assert_true(out.carbon_ug <= ug);
        // Nothing known is -1, and only then.
        bool tokens = s.m.priced && (s.m.price_in_nusd || s.m.price_out_nusd ||
                                     s.m.price_call_nusd || !s.m.price_gpu_nusd_h);
        bool any = tokens || price_share_nusd(&s.m, 0, 0, &s.here) >= 0;
        assert_int_equal(out.cost_nusd >= 0, any);
        assert_int_equal(out.energy_uj >= 0, energy_known(&s.m) || s.usage.metered_uj >= 0);
        assert_int_equal(out.carbon_ug >= 0,
                         out.energy_uj >= 0 && (s.here.carbon_ug_kwh >= 0 || s.z.carbon_stated));
        assert_int_equal(out.metered, s.usage.metered_uj >= 0);
        // Without the bounds the tokens and the curve alone stay within them: nothing is cut but a meter's share and what
        // was timed at the place.
        bool by_curve = s.m.energy.curve && s.m.energy.step_s > 0;
        if (s.usage.metered_uj < 0 && (by_curve || s.here.each_ms < 0)) {
            struct price_settled free;
            price_settle(&s.m, &s.z, &s.usage, &s.here, ESTIMATE_UNBOUNDED, ESTIMATE_UNBOUNDED,
                         &free);
            assert_int_equal(free.cost_nusd, out.cost_nusd);
            assert_int_equal(free.energy_uj, out.energy_uj);
        }
        bounded += nusd != ESTIMATE_UNBOUNDED;
        shared += out.shared;
        metered += out.metered;
    }
    assert_true(bounded > CASES / 2 && shared > CASES / 20 && metered > CASES / 20);
}

static long double naive_uj(const struct scene *s, double batch, uint64_t out_tok)
{
    const struct image_energy *e = &s->m.energy;
    long double b = batch < 0 ? e->batch : batch;
    b = b > e->batch_max ? e->batch_max : b < 1 ? 1 : b;
    long double each = e->curve == IMAGE_CURVE_POWER ? e->a * powl(b, -e->c) : e->a + e->c / b;
    uint64_t in =
        s->usage.cached_tok < s->usage.input_tok ? s->usage.input_tok - s->usage.cached_tok : 0;
    long double pue = s->z.pue_milli ? s->z.pue_milli / 1000.0L : 1;
    return 1e6L * pue * (e->prefill_j_tok * (long double)in + each * (long double)out_tok);
}

static void expected_is_ordered(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 12);
    for (int i = 0; i < CASES; i++) {
        struct scene s;
        struct estimate e, f;
        make(&r, &s);
        uint64_t a = below(&r, 5000), b = a + below(&r, 5000), c = b + below(&r, 5000);
        struct price_length l = {s.usage.input_tok, s.usage.cached_tok, b, a, c};
        s.here.router_uj = (int64_t)below(&r, 1000000);
        price_expect(&s.m, &s.z, &l, &s.here, &e);
        assert_true(e.cost_low_nusd <= e.cost_nusd && e.cost_nusd <= e.cost_high_nusd);
        assert_true(e.energy_low_uj <= e.energy_uj && e.energy_uj <= e.energy_high_uj);
        assert_true(e.output_tok == b && e.output_low_tok == a && e.output_high_tok == c);
        if (s.m.energy.curve) {
            assert_true(e.marginal_uj <= e.energy_uj);
            long double want = naive_uj(&s, s.here.batch, b) + (long double)s.here.router_uj;
            assert_true(fabsl((long double)e.energy_uj - want) <= 1 + want * 1e-12L);
        }
        // What an estimate says of exactly what is counted later is what is settled.
        struct price_settled out;
        struct price_usage u = {l.input_tok, l.cached_tok, 0, b, -1};
        price_settle(&s.m, &s.z, &u, &s.here, ESTIMATE_UNBOUNDED, ESTIMATE_UNBOUNDED, &out);
        assert_int_equal(out.cost_nusd, e.cost_nusd);
        assert_int_equal(out.energy_uj, e.energy_uj);
        assert_int_equal(out.carbon_ug, e.carbon_ug);
        // A prefix that is there is never dearer in joules.
        l.cached_tok = l.input_tok;
        price_expect(&s.m, &s.z, &l, &s.here, &f);
        assert_true(f.energy_uj <= e.energy_uj && f.marginal_uj <= e.marginal_uj);
    }
}

// b requests side by side for a second take the machines for a second and their power for a second.
static void shares_add_up(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 13);
    for (int i = 0; i < 2000; i++) {
        struct scene s;
        make(&r, &s);
        const struct image_energy *e = &s.m.energy;
        if (!e->curve || e->step_s <= 0 || s.m.price_gpu_nusd_h < 3600)
            continue;
        double b = 1 + (double)below(&r, (uint64_t)e->batch_max);
        s.here.batch = b > e->batch_max ? e->batch_max : b;
        double speed = energy_tokens_s(e, s.here.batch);
        uint64_t out_tok = (uint64_t)(1e6 * speed / s.here.batch);
        double nusd = (double)price_share_nusd(&s.m, 0, out_tok, &s.here) * s.here.batch;
        double hours = 1e6 / 3600 * (double)s.m.price_gpu_nusd_h;
        assert_true(fabs(nusd - hours) <= hours * 1e-4 + 2 * s.here.batch);
        double watts = energy_power_w(e, s.here.batch);
        assert_true(fabs(watts - energy_token_j(e, s.here.batch) * speed) <= watts * 1e-12);
    }
}

// m(b) is the slope of power over speed: a difference quotient of the same curve says so.
static void marginal_is_the_slope(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 14);
    unsigned seen = 0;
    for (int i = 0; i < 2000; i++) {
        struct scene s;
        make(&r, &s);
        const struct image_energy *e = &s.m.energy;
        if (!e->curve || e->step_s <= 0)
            continue;
        double b = 2 + unit(&r) * (e->batch_max - 3), h = 1e-4 * b;
        double slope = (energy_power_w(e, b + h) - energy_power_w(e, b - h)) /
                       (energy_tokens_s(e, b + h) - energy_tokens_s(e, b - h));
        double m = energy_marginal_j(e, b), average = energy_token_j(e, b);
        assert_true(m >= 0 && m <= average);
        if (slope > 0 && slope < average) {
            assert_true(fabs(m - slope) <= 1e-4 * average);
            seen++;
        }
    }
    assert_true(seen > 500);
}

static void monotone(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 15);
    for (int i = 0; i < CASES; i++) {
        struct scene s;
        make(&r, &s);
        struct price_usage more = s.usage;
        more.output_tok += below(&r, 1000);
        assert_true(price_tokens_nusd(&s.m, &more, false) >=
                    price_tokens_nusd(&s.m, &s.usage, false));
        assert_true(price_share_nusd(&s.m, 5, more.output_tok, &s.here) >=
                    price_share_nusd(&s.m, 5, s.usage.output_tok, &s.here));
        if (s.m.priced && s.m.batch_percent)
            assert_true(price_tokens_nusd(&s.m, &s.usage, true) <=
                        price_tokens_nusd(&s.m, &s.usage, false));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settled_within_bound),
        cmocka_unit_test(expected_is_ordered),
        cmocka_unit_test(shares_add_up),
        cmocka_unit_test(marginal_is_the_slope),
        cmocka_unit_test(monotone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
