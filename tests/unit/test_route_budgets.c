// Budgets over time while deciding: what is taken away, what is asked for, what is kept in the record.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/rng.h"
#include "policy/policy.h"
#include "route/estimate.h"
#include "route/explain.h"
#include "route/record.h"
#include "route/route.h"
#include "signal/registry.h"

#define HEAD                                                                                       \
    "policy \"t\" version 1\n"                                                                     \
    "zone z pue 1.2 carbon 500 g/kWh\n"                                                            \
    "model big zone z endpoint \"http://a/v1\", \"http://b/v1\" context 8k tok output 1k tok "     \
    "price 10 in, 10 out usd/Mtok energy 100 in, 900 out kJ/Mtok timeout 60 s\n"                   \
    "model mid zone z endpoint \"http://c/v1\" context 8k tok output 1k tok "                      \
    "price 2 in, 2 out usd/Mtok, 0.001 usd/request energy 50 in, 300 out kJ/Mtok timeout 60 s\n"   \
    "model low zone z endpoint \"http://d/v1\" context 8k tok output 500 tok "                     \
    "price 1 in, 1 out usd/Mtok energy 10 in, 90 out kJ/Mtok timeout 9 s\n"                        \
    "signal vip = keywords(\"vip\")\n"                                                             \
    "signal odd = keywords(\"odd\")\n"

enum { INPUT = 1000, BUDGETS_MAX = 16 };

struct fixture {
    struct arena arena;
    const struct policy_image *image;
    struct route_costs costs;
    const struct route_table *table;
    struct work work;
    struct budget_state states[BUDGETS_MAX];
    struct budget_view view;
    struct buf out;
};

static struct fixture f;

static void open_policy(const char *text)
{
    struct diag_list diags;
    arena_init(&f.arena, 1 << 16, 1 << 28);
    diag_init(&diags, &f.arena, 20);
    buf_init(&f.out, 1 << 20);
    enum result r = policy_load(slice_cstr(text), &signal_registry, &f.arena, &diags, &f.image);
    if (r) {
        diag_render(&diags, slice_cstr(text), SLICE("test"), false, &f.out);
        fprintf(stderr, "%.*s", SLICE_FMT(buf_slice(&f.out)));
    }
    assert_int_equal(r, RESULT_OK);
    uint32_t *own = ARENA_ARRAY(&f.arena, uint32_t, f.image->signals.count);
    uint8_t *group = ARENA_ARRAY(&f.arena, uint8_t, f.image->signals.count);
    assert_non_null(own);
    for (uint32_t i = 0; i < f.image->signals.count; i++)
        own[i] = 100 + i;
    f.costs = (struct route_costs){.own_ns = own, .group = group};
    assert_int_equal(route_table_open(f.image, &f.costs, &f.arena, &f.table), RESULT_OK);
    memset(&f.work, 0, sizeof f.work);
    f.work.choices = 1;
    f.work.anchor = WORK_NO_ANCHOR;
    f.work.input_tok = INPUT;
    assert_true(f.image->constraints.count <= BUDGETS_MAX);
    for (uint32_t i = 0; i < BUDGETS_MAX; i++)
        f.states[i] = (struct budget_state){.left = INT64_MAX};
    f.view =
        (struct budget_view){.epoch = 3, .states = f.states, .count = f.image->constraints.count};
}

static void close_policy(void)
{
    buf_deinit(&f.out);
    arena_deinit(&f.arena);
}

// Decides; all signals are 0 but `holds`. The names of what was asked for, in order, stand in f.out.
static struct decision *decide(struct route_run *run, const char *holds)
{
    int32_t s;
    const struct route_options options = {.budgets = &f.view};
    buf_reset(&f.out);
    assert_int_equal(route_begin(run, f.table, &f.work, NULL, &options, &f.arena), RESULT_OK);
    while (route_step(run, &s) == ROUTE_NEED) {
        struct slice name = image_text(f.image, image_signal(f.image, s)->name);
        struct fact fact = {.state = FACT_KNOWN, .probability = 1};
        buf_printf(&f.out, "%.*s ", SLICE_FMT(name));
        fact.number = holds && slice_eq_cstr(name, holds);
        route_feed(run, s, &fact);
    }
    return run->decision;
}

static const char *chosen(const struct decision *d)
{
    static char name[64];
    struct slice s =
        d->model < 0 ? SLICE("none") : image_text(f.image, image_model(f.image, d->model)->name);
    snprintf(name, sizeof name, "%.*s", SLICE_FMT(s));
    return name;
}

static enum model_verdict verdict(const struct decision *d, const char *model)
{
    return d->model_outcomes[image_find_model(f.image, slice_cstr(model))].verdict;
}

// What is decided again from the record is what was decided, to the byte.
static void same_again(const struct decision *d)
{
    struct decision *read, *again;
    struct buf line, twice;
    buf_init(&line, 1 << 20);
    buf_init(&twice, 1 << 20);
    record_compact(d, &line);
    assert_int_equal(record_read(f.image, buf_slice(&line), &f.arena, &read), RESULT_OK);
    assert_int_equal(record_replay(f.table, read, &f.arena, &again), RESULT_OK);
    record_compact(again, &twice);
    if (!slice_eq(buf_slice(&line), buf_slice(&twice)))
        fail_msg("%.*s\nbecame\n%.*s", SLICE_FMT(buf_slice(&line)), SLICE_FMT(buf_slice(&twice)));
    buf_deinit(&line);
    buf_deinit(&twice);
}

#define CHEAPER                                                                                    \
    HEAD "budget per team 5 usd/day hard cheaper as \"five a day\"\n"                              \
         "budget per key 1 usd/day hard as \"one a key\"\n"                                        \
         "otherwise -> answer(big, mid, low)\n"

static void test_cheaper_goes_on(void **state)
{
    struct route_run run;
    (void)state;
    open_policy(CHEAPER);
    struct decision *d = decide(&run, NULL);
    assert_string_equal(chosen(d), "big");
    // One attempt takes at most (1000 + 1000) * 10 per million: 0.02 usd, although there are two endpoints.
    f.states[0].left = 20000000;
    assert_string_equal(chosen(decide(&run, NULL)), "big");
    f.states[0].left = 19999999;
    d = decide(&run, NULL);
    assert_string_equal(chosen(d), "mid");
    assert_int_equal(verdict(d, "big"), MODEL_SPENT);
    assert_int_equal(d->model_outcomes[0].constraint, 0);
    struct explain_options o = {.width = 120};
    buf_reset(&f.out);
    explain_text(d, &o, &f.out);
    assert_true(slice_find(buf_slice(&f.out),
                           SLICE("what is left of \"five a day\" does not bear it")) > 0);
    same_again(d);
    // (1000 + 1000) * 2 per million and the request's own thousandth: 0.005 usd.
    f.states[0].left = 4999999;
    d = decide(&run, NULL);
    assert_string_equal(chosen(d), "low");
    same_again(d);
    f.states[0].left = -7;
    d = decide(&run, NULL);
    assert_int_equal(d->end, DECISION_INFEASIBLE);
    assert_true(d->core[0] & 1);
    same_again(d);
    // Whose budget it is not is not held to it.
    f.states[0].open = true;
    assert_string_equal(chosen(decide(&run, NULL)), "big");
    f.view.states = NULL;
    assert_string_equal(chosen(decide(&run, NULL)), "big");
    close_policy();
}

static void test_hard_keeps_the_choice(void **state)
{
    struct route_run run;
    (void)state;
    open_policy(CHEAPER);
    f.states[1].left = 6000000;
    struct decision *d = decide(&run, NULL);
    assert_string_equal(chosen(d), "big");
    // The upstream is told the output that was reserved for.
    assert_int_equal(d->output_cap_tok, 1000);
    same_again(d);
    f.states[1].open = true;
    f.states[0].open = true;
    assert_int_equal(decide(&run, NULL)->output_cap_tok, 0);
    close_policy();
}

// The next cheaper path may be another chain.
static void test_else_is_a_choice(void **state)
{
    struct route_run run;
    (void)state;
    open_policy(HEAD "budget per session 50k tok hard cheaper\n"
                     "otherwise -> answer(big) else answer(low) else refuse \"spent\"\n");
    f.states[0].left = 1999;
    struct decision *d = decide(&run, NULL);
    assert_string_equal(chosen(d), "low");
    assert_true(d->took_else);
    same_again(d);
    f.states[0].left = 1499;
    d = decide(&run, NULL);
    assert_int_equal(d->end, DECISION_REFUSE);
    assert_true(slice_eq_cstr(d->message, "spent"));
    same_again(d);
    close_policy();
}

// A reservation asks every budget that bears, so guards are known in the end; nobody asks for those of other callers, and a
// refusal spends nothing.
static void test_guards_are_asked(void **state)
{
    struct route_run run;
    (void)state;
    open_policy(HEAD "budget per team 5 usd/day paced when vip\n"
                     "budget per key 5 usd/day hard cheaper when odd\n"
                     "route no when vip and odd -> refuse \"no\"\n"
                     "otherwise -> answer(big, low)\n");
    struct decision *d = decide(&run, "vip");
    assert_true(slice_eq_cstr(buf_slice(&f.out), "vip odd "));
    assert_int_equal(d->constraints_known[0] & 3, 3);
    assert_int_equal(d->constraints_hold[0] & 3, 1);
    f.states[1].left = 0;
    assert_string_equal(chosen(decide(&run, NULL)), "big");
    assert_int_equal(decide(&run, "odd")->end, DECISION_INFEASIBLE);
    close_policy();
    open_policy(HEAD "budget per team 5 usd/day paced when vip\n"
                     "budget per key 5 usd/day hard cheaper when odd\n"
                     "otherwise -> answer(big, low)\n");
    f.states[0].open = true;
    d = decide(&run, NULL);
    assert_true(slice_eq_cstr(buf_slice(&f.out), "odd "));
    same_again(d);
    f.view.states = NULL;
    decide(&run, NULL);
    assert_int_equal(f.out.len, 0);
    close_policy();
    open_policy(HEAD "budget per team 5 usd/day paced when vip\notherwise -> refuse \"no\"\n");
    decide(&run, NULL);
    assert_int_equal(f.out.len, 0);
    close_policy();
}

// By hand: what one attempt can take at most.
static int64_t naive_bound(const struct image_model *m, enum image_unit unit)
{
    int64_t in = INPUT, out = m->output_tok;
    int64_t uj = (in * m->energy_in_uj + out * m->energy_out_uj + 999999) / 1000000;
    switch (unit) {
    case IMAGE_UNIT_NUSD:
        return (in * m->price_in_nusd + out * m->price_out_nusd + 999999) / 1000000 +
               m->price_call_nusd;
    case IMAGE_UNIT_UJ:
        return uj;
    case IMAGE_UNIT_UG: // 500 g/kWh
        return (int64_t)(((__int128)uj * 500000000 + 3599999999999) / 3600000000000);
    case IMAGE_UNIT_MS:
        return m->timeout_ms;
    case IMAGE_UNIT_TOK:
        return in + out;
    default:
        return 1;
    }
}

static void test_all_units_against_a_naive_choice(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 6);
    open_policy(
        HEAD
        "budget per team 5 usd/day hard cheaper, 9 kJ/day hard cheaper, 9 g/day hard cheaper,\n"
        "   900 s/day hard cheaper, 9k tok/day hard cheaper, 90 calls/day hard cheaper\n"
        "budget per key 60 requests/minute hard\n"
        "otherwise -> answer(big, mid, low)\n");
    const struct image_constraint *c =
        IMAGE_AT(f.image, f.image->constraints, struct image_constraint);
    uint32_t ends[4] = {0};
    for (int n = 0; n < 4000; n++) {
        struct route_run run;
        int32_t expect = IMAGE_NONE;
        for (uint32_t i = 0; i < f.image->constraints.count; i++) {
            // About the bound of one of the models.
            const struct image_model *m = image_model(f.image, (int32_t)rng_below(&rng, 3));
            f.states[i].open = rng_below(&rng, 4) == 0;
            f.states[i].left = naive_bound(m, c[i].unit) + (int64_t)rng_below(&rng, 3) - 1;
        }
        for (int32_t m = 0; m < 3 && expect == IMAGE_NONE; m++) {
            bool borne = true;
            for (uint32_t i = 0; i < f.image->constraints.count; i++)
                borne &= f.states[i].open || c[i].unit == IMAGE_UNIT_REQUESTS ||
                         naive_bound(image_model(f.image, m), c[i].unit) <= f.states[i].left;
            expect = borne ? m : expect;
        }
        struct decision *d = decide(&run, NULL);
        assert_int_equal(d->model, expect);
        ends[expect + 1]++;
        if (n % 50 == 0)
            same_again(d);
    }
    for (int i = 0; i < 4; i++)
        assert_true(ends[i] > 20);
    close_policy();
}

static void test_records_that_are_not_so(void **state)
{
    static const char *const rows[] = {
        "[[9,1]]", "[[0]]", "[0]", "{}", "[[0,1,18442240474082181120]]", "[[0,-1]]"};
    struct route_run run;
    struct decision *read;
    struct buf line, bad;
    (void)state;
    open_policy(CHEAPER);
    f.states[1].price_nusd = 0.25;
    buf_init(&line, 1 << 20);
    buf_init(&bad, 1 << 20);
    record_compact(decide(&run, NULL), &line);
    ptrdiff_t at = slice_find(buf_slice(&line), SLICE(",\"budgets\":["));
    assert_true(at > 0);
    assert_int_equal(record_read(f.image, buf_slice(&line), &f.arena, &read), RESULT_OK);
    assert_true(read->budgets[1].price_nusd > 0.2499 && read->budgets[1].price_nusd < 0.2501);
    for (size_t i = 0; i < MERIT_COUNT(rows); i++) {
        buf_reset(&bad);
        buf_add(&bad, slice_head(buf_slice(&line), (size_t)at));
        buf_printf(&bad, ",\"budgets\":%s}", rows[i]);
        assert_int_equal(record_read(f.image, buf_slice(&bad), &f.arena, &read), RESULT_SYNTAX);
    }
    buf_deinit(&line);
    buf_deinit(&bad);
    close_policy();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cheaper_goes_on),
        cmocka_unit_test(test_hard_keeps_the_choice),
        cmocka_unit_test(test_else_is_a_choice),
        cmocka_unit_test(test_guards_are_asked),
        cmocka_unit_test(test_all_units_against_a_naive_choice),
        cmocka_unit_test(test_records_that_are_not_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
