// Prices, energy, endpoints, efforts, dispatch and budgets over time: what the compiler makes of them, and what an image may
// not say of them.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "fake/families.h"
#include "policy/energy_list.h"
#include "policy/explain.h"
#include "policy/policy.h"
#include "policy/price_list.h"
#include "work/image_layout.h"

static const char whole[] =
    "policy \"p\" version 1\n"
    "zone rack  pue 1.25  carbon 380.5 g/kWh\n"
    "zone cloud  carbon \"grid.csv\" 400 g/kWh marginal\n"
    "model small zone rack  endpoint \"http://127.0.0.1:8000/v1/\" engine vllm weight 2.5 slots "
    "32\n"
    "       rate 600 requests/minute rate 200k tok/minute region eu serves from 1k tok to 8k tok\n"
    "       meter nvml 3 metrics \"http://127.0.0.1:9/metrics\" health \"/ready\",\n"
    "       dns \"http://pool:8000/v1\" engine sglang maintenance, file \"places.txt\" meter rapl "
    "1, demo\n"
    "   context 32k tok  output 2k tok  effort off, on by template \"enable_thinking\"\n"
    "   price 0.1 in, 0.3 out, 0.05 cached, 0.12 written usd/Mtok, 0.0001 usd/request, gpu 4.02 "
    "usd/h,\n"
    "      batch 50 %% since 2026-11-01 from \"https://example.com\"\n"
    "   energy H100 8B  timeout 60 s\n"
    "model big zone cloud  endpoint demo  context 128k tok  output 8k tok\n"
    "   effort off, low, high by thinking \"thinking_budget\" low 1k tok, high 8k tok\n"
    "   price 1 in, 2 out usd/Mtok since 2026-11-01  energy estimate 235b-a22b\n"
    "model plain endpoint demo  context 8k tok  effort low by reasoning_effort  energy 4 in, 5 out "
    "J/Mtok\n"
    "   price gpu 2 usd/h since 2026-11-01\n"
    "model bought provider openai \"%s\" key env K  context 8k tok  price listed\n"
    "dispatch price  second 0.002 usd, kWh 0.25 usd, kg 0.05 usd  weights prefix 2, queue 0\n"
    "budget per session 50k tok hard, 3 usd/day hard\n"
    "budget per loop 0.5 usd hard cheaper\n"
    "budget per team 5 usd/day paced, 2 kWh/month hard, 9 g/hour hard cheaper\n"
    "budget per key 60 requests/minute hard\n"
    "otherwise -> answer(any)\n";

struct fixture {
    struct arena arena;
    const struct policy_image *p;
    struct price_list list;
    const struct price_row *row; // of the listed model
};

static void open_whole(struct fixture *f)
{
    struct diag_list diags;
    char text[4096], name[128];
    arena_init(&f->arena, 1 << 16, 1 << 26);
    diag_init(&diags, &f->arena, 20);
    assert_int_equal(price_list_shipped(&f->arena, &f->list), RESULT_OK);
    f->row = NULL;
    for (uint32_t i = 0; i < f->list.count && !f->row; i++)
        if (slice_eq_cstr(f->list.rows[i].provider, "openai") && !f->list.rows[i].prefix)
            f->row = &f->list.rows[i];
    assert_non_null(f->row);
    snprintf(name, sizeof name, "%.*s", SLICE_FMT(f->row->model));
    snprintf(text, sizeof text, whole, name);
    enum result r = policy_load(slice_cstr(text), &fake_registry, &f->arena, &diags, &f->p);
    for (uint32_t i = 0; i < diags.count; i++)
        if (diags.items[i].severity != DIAG_WARNING)
            fail_msg("%.*s", SLICE_FMT(diags.items[i].message));
    assert_int_equal(r, RESULT_OK);
}

static bool text_is(const struct fixture *f, struct image_str s, const char *text)
{
    return slice_eq_cstr(image_text(f->p, s), text);
}

static void close_to(double a, double b)
{
    if (!(fabs(a - b) <= 1e-9 * fabs(b)))
        fail_msg("%.17g is not %.17g", a, b);
}

static void test_endpoints(void **state)
{
    struct fixture f;
    (void)state;
    open_whole(&f);
    const struct image_model *m = image_model(f.p, 0);
    const struct image_endpoint *e = IMAGE_AT(f.p, m->endpoints, struct image_endpoint);
    assert_int_equal(m->endpoints.count, 4);
    assert_true(text_is(&f, e->url, "http://127.0.0.1:8000/v1"));
    assert_int_equal(e->engine, IMAGE_ENGINE_VLLM);
    assert_int_equal(e->weight_milli, 2500);
    assert_int_equal(e->slots, 32);
    assert_int_equal(e->rate_min, 600);
    assert_int_equal(e->rate_tok_min, 200000);
    assert_true(text_is(&f, e->region, "eu"));
    assert_int_equal(e->serves_from_tok, 1000);
    assert_int_equal(e->serves_to_tok, 8000);
    assert_int_equal(e->meter, IMAGE_METER_NVML);
    assert_int_equal(e->meter_index, 3);
    assert_true(text_is(&f, e->metrics_url, "http://127.0.0.1:9/metrics"));
    assert_true(text_is(&f, e->health, "/ready"));
    assert_false(e->maintenance);
    assert_int_equal(e[1].discovery, IMAGE_DISCOVER_DNS);
    assert_int_equal(e[1].engine, IMAGE_ENGINE_SGLANG);
    assert_true(e[1].maintenance);
    assert_int_equal(e[2].discovery, IMAGE_DISCOVER_FILE);
    assert_true(text_is(&f, e[2].url, "places.txt"));
    assert_int_equal(e[2].meter, IMAGE_METER_RAPL);
    assert_true(text_is(&f, e[3].url, "demo:"));
    assert_int_equal(e[3].weight_milli, 0);
    arena_deinit(&f.arena);
}

static void test_prices_and_energy(void **state)
{
    struct fixture f;
    struct energy_fit fit;
    int64_t in, out;
    (void)state;
    open_whole(&f);
    const struct image_model *m = image_model(f.p, 0);
    const struct image_zone *z = IMAGE_AT(f.p, f.p->zones, struct image_zone);
    assert_int_equal(z[0].pue_milli, 1250);
    assert_int_equal(z[0].carbon_ug_kwh, 380500000);
    assert_true(z[0].carbon_stated && !z[0].carbon_marginal && z[0].carbon_file.len == 0);
    assert_true(z[1].carbon_stated && z[1].carbon_marginal &&
                text_is(&f, z[1].carbon_file, "grid.csv"));
    assert_int_equal(m->price_in_nusd, 100000000);
    assert_int_equal(m->price_out_nusd, 300000000);
    assert_int_equal(m->price_cached_nusd, 50000000);
    assert_int_equal(m->price_written_nusd, 120000000);
    assert_int_equal(m->price_call_nusd, 100000);
    assert_int_equal(m->price_gpu_nusd_h, 4020000000);
    assert_int_equal(m->batch_percent, 50);
    assert_true(m->priced && !m->price_listed);
    assert_true(text_is(&f, m->price_date, "2026-11-01"));
    assert_true(text_is(&f, m->price_source, "https://example.com"));
    assert_int_equal(energy_list_find(0, SLICE("h100"), SLICE("8b"), &fit), RESULT_OK);
    energy_list_bounds(&fit, 1250, &in, &out);
    assert_int_equal(m->energy_in_uj, in);
    assert_int_equal(m->energy_out_uj, out);
    assert_int_equal(m->energy.curve, fit.curve);
    close_to(m->energy.a, fit.a);
    close_to(m->energy.c, fit.c);
    close_to(m->energy.step_s, fit.step_s);
    assert_true(text_is(&f, m->energy.hardware, fit.hardware));
    m = image_model(f.p, 1);
    assert_int_equal(energy_list_estimate(235, 22, 0, &fit), RESULT_OK);
    energy_list_bounds(&fit, 0, &in, &out);
    assert_int_equal(m->energy_out_uj, out);
    assert_int_equal(m->energy.grade, IMAGE_GRADE_GUESSED);
    assert_int_equal(m->price_cached_nusd, m->price_in_nusd);
    m = image_model(f.p, 2);
    assert_true(m->priced && m->price_in_nusd == 0 && m->price_gpu_nusd_h == 2000000000);
    assert_int_equal(m->energy_in_uj, 4000000);
    assert_int_equal(m->energy.curve, IMAGE_CURVE_NONE);
    m = image_model(f.p, 3);
    assert_true(m->price_listed);
    assert_int_equal(m->price_in_nusd, f.row->in_nusd);
    assert_int_equal(m->price_out_nusd, f.row->out_nusd);
    assert_int_equal(m->price_cached_nusd, f.row->cached_nusd);
    assert_true(slice_eq(image_text(f.p, m->price_date), f.row->date));
    arena_deinit(&f.arena);
}

static void test_efforts_dispatch_and_budgets(void **state)
{
    struct fixture f;
    (void)state;
    open_whole(&f);
    const struct image_model *m = image_model(f.p, 0);
    assert_int_equal(m->knob, IMAGE_KNOB_TEMPLATE);
    assert_true(text_is(&f, m->knob_name, "enable_thinking"));
    m = image_model(f.p, 1);
    assert_int_equal(m->knob, IMAGE_KNOB_THINKING);
    assert_int_equal(m->thinking_tok[IMAGE_EFFORT_LOW], 1000);
    assert_int_equal(m->thinking_tok[IMAGE_EFFORT_HIGH], 8000);
    assert_int_equal(m->thinking_tok[IMAGE_EFFORT_OFF], 0);
    assert_int_equal(image_model(f.p, 2)->knob, IMAGE_KNOB_REASONING_EFFORT);
    const struct image_dispatch *d = &f.p->dispatch;
    assert_int_equal(d->mode, IMAGE_DISPATCH_PRICE);
    assert_int_equal(d->second_nusd, 2000000);
    assert_int_equal(d->kwh_nusd, 250000000);
    assert_int_equal(d->kg_nusd, 50000000);
    close_to((double)d->weights[IMAGE_SCORE_PREFIX], 2);
    assert_true(d->weights[IMAGE_SCORE_QUEUE] <= 0);
    close_to((double)d->weights[IMAGE_SCORE_KV], 1);
    static const struct {
        enum image_scope scope;
        enum image_unit unit;
        enum image_window window;
        int64_t limit;
        bool hard;
        enum image_exhausted exhausted;
    } rows[] = {
        {IMAGE_SCOPE_SESSION, IMAGE_UNIT_TOK, IMAGE_PER_LIFE, 50000, true, IMAGE_EXHAUSTED_REFUSE},
        {IMAGE_SCOPE_SESSION, IMAGE_UNIT_NUSD, IMAGE_PER_DAY, 3000000000, true,
         IMAGE_EXHAUSTED_REFUSE},
        {IMAGE_SCOPE_LOOP, IMAGE_UNIT_NUSD, IMAGE_PER_LIFE, 500000000, true,
         IMAGE_EXHAUSTED_CHEAPER},
        {IMAGE_SCOPE_TEAM, IMAGE_UNIT_NUSD, IMAGE_PER_DAY, 5000000000, false,
         IMAGE_EXHAUSTED_REFUSE},
        {IMAGE_SCOPE_TEAM, IMAGE_UNIT_UJ, IMAGE_PER_MONTH, 7200000000000, true,
         IMAGE_EXHAUSTED_REFUSE},
        {IMAGE_SCOPE_TEAM, IMAGE_UNIT_UG, IMAGE_PER_HOUR, 9000000, true, IMAGE_EXHAUSTED_CHEAPER},
        {IMAGE_SCOPE_KEY, IMAGE_UNIT_REQUESTS, IMAGE_PER_MINUTE, 60, true, IMAGE_EXHAUSTED_REFUSE},
    };
    const struct image_constraint *c = IMAGE_AT(f.p, f.p->constraints, struct image_constraint);
    assert_int_equal(f.p->constraints.count, MERIT_COUNT(rows));
    for (size_t i = 0; i < MERIT_COUNT(rows); i++) {
        assert_int_equal(c[i].scope, rows[i].scope);
        assert_int_equal(c[i].unit, rows[i].unit);
        assert_int_equal(c[i].window, rows[i].window);
        assert_int_equal(c[i].limit, rows[i].limit);
        assert_int_equal(c[i].hard, rows[i].hard);
        assert_int_equal(c[i].exhausted, rows[i].exhausted);
    }
    arena_deinit(&f.arena);
}

// ---- what an image may not say

struct fault {
    enum image_section section;
    uint32_t element;
    size_t offset, size;
    union {
        int64_t i;
        uint32_t u;
        double d;
        float f;
        unsigned char b;
    } value;
};
#define FAULT(section, element, type, member, kind, v)                                             \
    {                                                                                              \
        section, element, offsetof(struct type, member), sizeof(((struct type *)0)->member),       \
        {                                                                                          \
            .kind = (v)                                                                            \
        }                                                                                          \
    }
#define MODEL(member, kind, v) FAULT(IMAGE_MODELS, 0, image_model, member, kind, v)
#define PLACE(member, kind, v) FAULT(IMAGE_ENDPOINTS, 0, image_endpoint, member, kind, v)
#define ZONE(member, kind, v) FAULT(IMAGE_ZONES, 0, image_zone, member, kind, v)
#define RULE(element, member, kind, v)                                                             \
    FAULT(IMAGE_CONSTRAINTS, element, image_constraint, member, kind, v)

static const struct fault faults[] = {
    MODEL(price_written_nusd, i, -1),
    MODEL(price_written_nusd, i, IMAGE_PRICE_MAX + 1),
    MODEL(price_call_nusd, i, -1),
    MODEL(price_call_nusd, i, IMAGE_PRICE_MAX + 1),
    MODEL(price_gpu_nusd_h, i, -1),
    MODEL(price_gpu_nusd_h, i, INT64_MAX),
    MODEL(batch_percent, u, 101),
    MODEL(price_listed, b, 2),
    MODEL(price_date.len, u, 9),
    MODEL(price_date.at, u, 4000000000),
    MODEL(energy.curve, u, IMAGE_CURVE_POWER + 1),
    MODEL(energy.curve, u, IMAGE_CURVE_NONE),
    MODEL(energy.grade, u, IMAGE_GRADE_GUESSED + 1),
    MODEL(energy.a, d, -1),
    MODEL(energy.a, d, NAN),
    MODEL(energy.c, d, INFINITY),
    MODEL(energy.prefill_j_tok, d, NAN),
    MODEL(energy.batch, d, 0),
    MODEL(energy.batch_max, d, 0.5),
    MODEL(energy.step_s, d, NAN),
    MODEL(energy.step_growth, d, -1),
    MODEL(energy.prefill_s_tok, d, INFINITY),
    MODEL(energy.source.len, u, 4000000000),
    MODEL(knob, u, IMAGE_KNOB_COUNT_),
    MODEL(knob, u, IMAGE_KNOB_REASONING_EFFORT),
    MODEL(knob_name.len, u, 0),
    MODEL(thinking_tok[IMAGE_EFFORT_LOW], u, 1),
    MODEL(quality, f, NAN),
    MODEL(quality, f, 1.5F),
    PLACE(discovery, u, IMAGE_DISCOVER_SRV + 1),
    PLACE(engine, u, IMAGE_ENGINE_COUNT_),
    PLACE(weight_milli, u, 1000001),
    PLACE(serves_from_tok, u, 8001),
    PLACE(serves_to_tok, u, IMAGE_TOK_MAX + 1),
    PLACE(maintenance, b, 7),
    PLACE(meter, u, IMAGE_METER_RAPL + 1),
    PLACE(region.len, u, 4000000000),
    PLACE(health.len, u, 4000000000),
    ZONE(pue_milli, u, 999),
    ZONE(pue_milli, u, 10001),
    ZONE(carbon_ug_kwh, i, -1),
    ZONE(carbon_ug_kwh, i, IMAGE_CARBON_MAX + 1),
    ZONE(carbon_stated, b, 0),
    ZONE(carbon_marginal, b, 2),
    RULE(0, scope, u, IMAGE_SCOPE_TENANT),
    RULE(0, scope, u, IMAGE_SCOPE_LOOP + 1),
    RULE(0, hard, b, 0),
    RULE(0, window, u, IMAGE_PER_LIFE + 1),
    RULE(0, unit, u, IMAGE_UNIT_REQUESTS + 1),
    RULE(2, window, u, IMAGE_PER_REQUEST),
    RULE(2, hard, b, 0),
    RULE(2, exhausted, u, IMAGE_EXHAUSTED_CHEAPER + 1),
    RULE(3, window, u, IMAGE_PER_REQUEST),
    RULE(6, window, u, IMAGE_PER_REQUEST),
    RULE(6, hard, b, 0),
};

static void test_faulty_images(void **state)
{
    struct fixture f;
    const struct policy_image *opened;
    (void)state;
    open_whole(&f);
    struct policy_image *copy = arena_alloc(&f.arena, f.p->size);
    assert_non_null(copy);
    for (size_t i = 0; i <= MERIT_COUNT(faults); i++) {
        memcpy(copy, f.p, f.p->size);
        if (i < MERIT_COUNT(faults)) {
            const struct fault *x = &faults[i];
            char *at = (char *)copy + image_section_list(copy, x->section)->at +
                       (size_t)x->element * image_layouts[x->section].size + x->offset;
            assert_in_range(x->size, 1, sizeof x->value);
            memcpy(at, &x->value, x->size);
        }
        image_seal(copy);
        enum result r = image_open(copy, copy->size, &opened);
        if (r != (i < MERIT_COUNT(faults) ? RESULT_SYNTAX : RESULT_OK))
            fail_msg("fault %zu gives %d", i, r);
    }
    static const struct image_dispatch good = {.weights = {0, 1, 1, 1, 1, 1, 1, 1000}};
    struct image_dispatch bad[] = {good, good, good, good, good, good, good};
    bad[0].mode = IMAGE_DISPATCH_MODE_COUNT_;
    bad[1].weights[3] = NAN;
    bad[2].weights[7] = -1;
    bad[3].weights[0] = INFINITY;
    bad[4].second_nusd = -1;
    bad[5].kwh_nusd = IMAGE_WORTH_MAX + 1;
    bad[6].kg_nusd = INT64_MIN;
    for (size_t i = 0; i <= MERIT_COUNT(bad); i++) {
        memcpy(copy, f.p, f.p->size);
        copy->dispatch = i < MERIT_COUNT(bad) ? bad[i] : good;
        image_seal(copy);
        assert_int_equal(image_open(copy, copy->size, &opened),
                         i < MERIT_COUNT(bad) ? RESULT_SYNTAX : RESULT_OK);
    }
    arena_deinit(&f.arena);
}

// Every allocation fails once: a result, nothing leaked.
static void test_without_memory(void **state)
{
    char text[4096], name[128];
    struct fixture f;
    (void)state;
    open_whole(&f);
    snprintf(name, sizeof name, "%.*s", SLICE_FMT(f.row->model));
    snprintf(text, sizeof text, whole, name);
    enum result r = RESULT_NOMEM;
    for (uint64_t n = 1; r == RESULT_NOMEM && n < 100000; n++) {
        struct arena arena;
        struct diag_list diags;
        const struct policy_image *p;
        struct buf out;
        alloc_fail_at(n, 0);
        arena_init(&arena, 4096, 1 << 26);
        diag_init(&diags, &arena, 20);
        buf_init(&out, 1 << 20);
        r = policy_load(slice_cstr(text), &fake_registry, &arena, &diags, &p);
        if (!r) {
            explain_policy(p, &out);
            explain_policy_json(p, &out);
            r = buf_result(&out);
        }
        alloc_fail_at(0, 0);
        assert_true(r == RESULT_OK || r == RESULT_NOMEM);
        buf_deinit(&out);
        arena_deinit(&arena);
    }
    assert_int_equal(r, RESULT_OK);
    arena_deinit(&f.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_prices_and_energy),
        cmocka_unit_test(test_efforts_dispatch_and_budgets),
        cmocka_unit_test(test_faulty_images),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
