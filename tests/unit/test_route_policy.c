// Labels, scores, groups, constraints and chains while deciding: what is asked for and what is spared, what is told of it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "policy/policy.h"
#include "route/explain.h"
#include "route/record.h"
#include "route/route.h"
#include "signal/registry.h"

#define HEAD                                                                                       \
    "policy \"t\" version 1\n"                                                                     \
    "lattice exposure = public < internal < phi\n"                                                 \
    "zone house clears phi\n"                                                                      \
    "zone cloud clears internal\n"                                                                 \
    "model near zone house endpoint \"http://a/v1\" context 8k tok output 1k tok "                 \
    "price 1 in, 1 out usd/Mtok\n"                                                                 \
    "model far zone cloud endpoint \"http://b/v1\", \"http://c/v1\" context 8k tok output 1k tok " \
    "price 9 in, 9 out usd/Mtok\n"                                                                 \
    "signal ward = keywords(\"ward\")\n"                                                           \
    "signal code = keywords(\"code\")\n"                                                           \
    "signal ssn = keywords(\"ssn\")\n"                                                             \
    "signal long = context above 1k tok\n"                                                         \
    "signal attack = jailbreak\n"                                                                  \
    "signal hard = complexity\n"                                                                   \
    "signal data label exposure = max(internal when code, phi when ssn or ward) on_error phi\n"

struct fixture {
    struct arena arena;
    const struct policy_image *image;
    struct route_costs costs;
    const struct route_table *table;
    struct work work;
    uint8_t states[8];
    struct buf out;
};

static struct fixture f;

static void open_policy(const char *text)
{
    struct diag_list diags;
    arena_init(&f.arena, 1 << 16, 1 << 26);
    diag_init(&diags, &f.arena, 20);
    buf_init(&f.out, 1 << 20);
    enum result r = policy_load(slice_cstr(text), &signal_registry, &f.arena, &diags, &f.image);
    if (r) {
        diag_render(&diags, slice_cstr(text), SLICE("test"), false, &f.out);
        fprintf(stderr, "%.*s", SLICE_FMT(buf_slice(&f.out)));
    }
    assert_int_equal(r, RESULT_OK);
    // What stands first in the policy is asked first.
    uint32_t *own = ARENA_ARRAY(&f.arena, uint32_t, f.image->signals.count);
    uint8_t *group = ARENA_ARRAY(&f.arena, uint8_t, f.image->signals.count);
    assert_non_null(own);
    for (uint32_t i = 0; i < f.image->signals.count; i++)
        own[i] = 100 + i;
    f.costs = (struct route_costs){.own_ns = own, .group = group};
    assert_int_equal(route_table_open(f.image, &f.costs, &f.arena, &f.table), RESULT_OK);
    memset(&f.work, 0, sizeof f.work);
    memset(f.states, 0, sizeof f.states);
    f.work.choices = 1;
    f.work.anchor = WORK_NO_ANCHOR;
}

static void close_policy(void)
{
    buf_deinit(&f.out);
    arena_deinit(&f.arena);
}

static int32_t named(const char *name)
{
    int32_t s = image_find_signal(f.image, slice_cstr(name));
    assert_true(s >= 0);
    return s;
}

struct value {
    const char *name;
    double number; // NaN: it fails
};

#define FAILS __builtin_nan("")

// Decides with these values, every other signal 0; the names of what was asked for, in order, into f.out.
static struct decision *decide(const struct value *values, size_t count, bool all_steps)
{
    struct route_run run;
    int32_t s;
    struct pool_view pool = {.epoch = 1, .states = f.states, .count = f.image->models.count};
    struct route_options options = {.all_steps = all_steps};
    buf_reset(&f.out);
    assert_int_equal(route_begin(&run, f.table, &f.work, &pool, &options, &f.arena), RESULT_OK);
    while (route_step(&run, &s) == ROUTE_NEED) {
        struct slice name = image_text(f.image, image_signal(f.image, s)->name);
        struct fact fact = {.state = FACT_KNOWN, .probability = 1};
        buf_printf(&f.out, "%.*s ", SLICE_FMT(name));
        for (size_t i = 0; i < count; i++)
            if (slice_eq_cstr(name, values[i].name))
                fact.number = values[i].number;
        if (__builtin_isnan(fact.number))
            route_fail(&run, s, FACT_ERROR_DEADLINE);
        else
            route_feed(&run, s, &fact);
    }
    return run.decision;
}

#define DECIDE(...)                                                                                \
    decide((const struct value[]){__VA_ARGS__},                                                    \
           sizeof((const struct value[]){__VA_ARGS__}) / sizeof(struct value), false)

static void asked(const char *names)
{
    if (!slice_eq_cstr(buf_slice(&f.out), names))
        fprintf(stderr, "asked for: %.*s\n", SLICE_FMT(buf_slice(&f.out)));
    assert_true(slice_eq_cstr(buf_slice(&f.out), names));
}

static enum model_verdict verdict(const struct decision *d, const char *model)
{
    return d->model_outcomes[image_find_model(f.image, slice_cstr(model))].verdict;
}

static bool says(const struct decision *d, const char *text)
{
    struct explain_options o = {.width = 120};
    buf_reset(&f.out);
    explain_text(d, &o, &f.out);
    bool found = slice_find(buf_slice(&f.out), slice_cstr(text)) >= 0;
    if (!found)
        fprintf(stderr, "no \"%s\" in:\n%.*s", text, SLICE_FMT(buf_slice(&f.out)));
    return found;
}

static void label_is_asked_only_where_it_matters(void **state)
{
    (void)state;
    open_policy(HEAD "forbid zone cloud when data == phi as \"phi stays home\"\n"
                     "route quick when long -> answer(near)\n"
                     "route wide when attack > 0.5 -> answer(far, near)\n"
                     "otherwise -> refuse \"no\"\n");
    // Only the house may answer: no label, no constraint.
    struct decision *d = DECIDE({"long", 1});
    asked("long ");
    assert_int_equal(d->constraints_known[0], 0);
    // Here the label decides whether the cloud is feasible; one that raises it to the top settles it.
    d = DECIDE({"attack", 0.9}, {"ward", 1});
    asked("long attack ward ");
    assert_int_equal(d->facts[named("data")].state, FACT_KNOWN);
    assert_true(d->facts[named("data")].number == 2);
    assert_int_equal(verdict(d, "far"), MODEL_FORBIDDEN);
    assert_int_equal(verdict(d, "near"), MODEL_CHOSEN);
    assert_true(says(d, "forbidden by \"phi stays home\" because data == phi"));
    // A failure of any of them would raise it, so all have to be looked at before it is not phi.
    d = DECIDE({"attack", 0.9}, {"code", 1});
    asked("long attack ward ssn code ");
    assert_int_equal(verdict(d, "far"), MODEL_CHOSEN);
    d = DECIDE({"attack", 0.9}, {"code", FAILS});
    assert_true(d->facts[named("data")].number == 2);
    assert_int_equal(verdict(d, "far"), MODEL_FORBIDDEN);
    assert_true(says(d, "code could not be computed"));
    // A model that is down needs no constraint.
    f.states[image_find_model(f.image, SLICE("far"))] = POOL_MODEL_DOWN;
    d = DECIDE({"attack", 0.9}, {"ward", 1});
    asked("long attack ");
    assert_int_equal(verdict(d, "far"), MODEL_DOWN);
    close_policy();
}

static void scores_are_decided_by_their_bounds(void **state)
{
    (void)state;
    open_policy(HEAD "signal risk = score(0.6 attack, 0.3 when ward, 0.1 hard) bands low, "
                     "medium above 0.25, high above 0.55\n"
                     "route high when risk == high -> refuse \"risky\"\n"
                     "otherwise -> answer(near)\n");
    struct decision *d = DECIDE({"ward", 1}, {"attack", 0.1});
    // 0.3 and 0.06 are known; 0.1 more cannot make it high.
    asked("ward attack ");
    assert_int_equal(d->route, 1);
    assert_int_equal(d->facts[named("risk")].state, FACT_KNOWN);
    assert_true(d->facts[named("risk")].number == 1);
    d = DECIDE({"attack", 1});
    asked("ward attack ");
    assert_int_equal(d->route, 0);
    d = DECIDE({"attack", 0.8});
    asked("ward attack hard ");
    assert_int_equal(d->route, 1);
    close_policy();
}

static void groups_have_one_winner(void **state)
{
    (void)state;
    open_policy(HEAD
                "signal kind = exclusive(attack, hard) temperature 0.1 margin 0.2 otherwise none\n"
                "route a when kind == attack -> answer(near)\n"
                "route b when kind == hard -> answer(far)\n"
                "otherwise -> refuse \"neither\"\n");
    struct decision *d = DECIDE({"attack", 0.9}, {"hard", 0.2});
    assert_int_equal(d->route, 0);
    assert_true(d->facts[named("kind")].probability > 0.99f);
    assert_int_equal(DECIDE({"attack", 0.2}, {"hard", 0.9})->route, 1);
    // Too near to each other, and one that could not be computed: neither.
    assert_int_equal(DECIDE({"attack", 0.51}, {"hard", 0.5})->route, 2);
    assert_int_equal(DECIDE({"attack", 0.9}, {"hard", FAILS})->route, 2);
    close_policy();
}

static void given_labels_open_nothing(void **state)
{
    (void)state;
    open_policy(HEAD "forbid zone cloud when data == phi as \"phi stays home\"\n"
                     "otherwise -> answer(far, near)\n");
    struct fact *given = ARENA_ARRAY(&f.arena, struct fact, f.image->signals.count);
    struct route_options options = {.given = given};
    struct route_run run;
    int32_t s;
    given[named("data")] = (struct fact){.state = FACT_GIVEN, .number = 1, .probability = 1};
    assert_int_equal(route_begin(&run, f.table, &f.work, NULL, &options, &f.arena), RESULT_OK);
    assert_int_equal(route_step(&run, &s), ROUTE_DECIDED);
    assert_int_equal(verdict(run.decision, "far"), MODEL_CHOSEN);
    // Failed: its on_error.
    route_failed_fact(f.image, named("data"), FACT_ERROR_GIVEN, &given[named("data")]);
    assert_int_equal(route_begin(&run, f.table, &f.work, NULL, &options, &f.arena), RESULT_OK);
    assert_int_equal(route_step(&run, &s), ROUTE_DECIDED);
    assert_int_equal(verdict(run.decision, "far"), MODEL_FORBIDDEN);
    assert_true(says(run.decision, "could not be computed: given"));
    close_policy();
}

static void chains_that_cannot_be_run_are_passed_over(void **state)
{
    (void)state;
    open_policy(HEAD "sink nli verifier zone house clears phi timeout 1 s\n"
                     "path checked(m) = answer(m) -> verify(nli) else answer(near)\n"
                     "otherwise -> checked(far)\n");
    struct decision *d = decide(NULL, 0, false);
    assert_int_equal(d->chain, 1);
    assert_int_equal(d->chain_outcomes[0].verdict, CHAIN_CANNOT_RUN);
    assert_int_equal(d->chain_outcomes[0].step, 1);
    assert_true(d->took_else);
    assert_true(says(d, "this build cannot run its step `verify`"));
    d = decide(NULL, 0, true);
    assert_int_equal(d->chain, 0);
    assert_int_equal(verdict(d, "far"), MODEL_CHOSEN);
    close_policy();
}

static void required_steps_and_extras(void **state)
{
    (void)state;
    open_policy(HEAD "sink nli verifier zone house clears phi timeout 1 s\n"
                     "require verify when ward as \"wards are checked\"\n"
                     "allow escalate 1 when code\n"
                     "path ladder(a, b) = answer(a) -> verify(nli) else escalate answer(b) -> "
                     "verify(nli) else refuse \"no\"\n"
                     "route plain when long -> answer(near) else refuse \"unchecked\"\n"
                     "otherwise -> ladder(near, far)\n");
    struct decision *d = decide((const struct value[]){{"long", 1}, {"ward", 1}}, 2, true);
    assert_int_equal(d->chain_outcomes[0].verdict, CHAIN_UNMET);
    assert_int_equal(d->end, DECISION_REFUSE);
    assert_true(says(d, "it misses what is required by \"wards are checked\" because ward"));
    // The first chain serves, so whether the second one may escalate is nobody's question.
    d = decide((const struct value[]){{"ward", 1}}, 1, true);
    assert_int_equal(d->chain, 0);
    asked("long ");
    f.states[image_find_model(f.image, SLICE("near"))] = POOL_MODEL_DOWN;
    d = decide((const struct value[]){{"code", 1}}, 1, true);
    assert_int_equal(d->chain, 1);
    assert_int_equal(verdict(d, "far"), MODEL_CHOSEN);
    d = decide(NULL, 0, true);
    assert_int_equal(d->chain_outcomes[1].verdict, CHAIN_NOT_ALLOWED);
    assert_int_equal(d->end, DECISION_REFUSE);
    close_policy();
}

// The models of a `fuse` cost together, but they are asked side by side.
static void fused_time_is_the_longest(void **state)
{
    (void)state;
    open_policy(HEAD "model x endpoint \"http://x/v1\" context 8k tok timeout 60 s\n"
                     "model y endpoint \"http://y/v1\" context 8k tok timeout 50 s\n"
                     "allow fuse 1\nbudget 100 s/request hard\n"
                     "budget 1 calls/request hard when code\n"
                     "budget 55 s/request hard when ward\n"
                     "otherwise -> fuse(x, y) else refuse \"no\"\n");
    struct decision *d = decide(NULL, 0, true);
    assert_int_equal(d->end, DECISION_ANSWER);
    d = decide((const struct value[]){{"code", 1}}, 1, true);
    assert_int_equal(d->end, DECISION_REFUSE);
    d = decide((const struct value[]){{"ward", 1}}, 1, true);
    assert_int_equal(d->end, DECISION_REFUSE);
    close_policy();
}

static void endpoints_and_budgets(void **state)
{
    (void)state;
    open_policy(HEAD "forbid endpoint \"http://c/v1\" when ward as \"not there\"\n"
                     "budget 0.004 usd/request hard when code as \"cheap\"\n"
                     "route one when long -> answer(far) retry 1 cap 500 tok\n"
                     "otherwise -> answer(far, near) else refuse \"dear\"\n");
    struct decision *d = DECIDE({"long", 1}, {"ward", 1});
    assert_int_equal(d->endpoints_closed, 2);
    assert_int_equal(d->attempts_max, 2);
    assert_int_equal(d->output_cap_tok, 500);
    d = DECIDE({"long", 1});
    assert_int_equal(d->endpoints_closed, 0);
    // 1,000 tokens of output at 9 usd/Mtok, at each of two endpoints: 0.018 usd.
    d = DECIDE({"code", 1});
    assert_int_equal(verdict(d, "far"), MODEL_OVER_BUDGET);
    assert_int_equal(verdict(d, "near"), MODEL_CHOSEN);
    assert_int_equal(d->output_cap_tok, 1000);
    assert_true(says(d, "could cost more than \"cheap\" because code allows"));
    f.work.max_output_tok = 200;
    assert_int_equal(verdict(DECIDE({"code", 1}), "far"), MODEL_CHOSEN);
    close_policy();
}

static void what_empties_the_set_is_named(void **state)
{
    (void)state;
    open_policy(HEAD "forbid zone cloud when ward as \"wards stay home\"\n"
                     "forbid model near when code as \"not for code\"\n"
                     "forbid effort high as \"no matter\"\n"
                     "assume infeasible otherwise \"it is shown here\"\n"
                     "otherwise -> answer(any)\n");
    struct decision *d = DECIDE({"ward", 1}, {"code", 1});
    assert_int_equal(d->end, DECISION_INFEASIBLE);
    assert_int_equal(d->core[0], 3);
    buf_reset(&f.out);
    explain_infeasible(d, &f.out);
    assert_true(slice_find(buf_slice(&f.out),
                           SLICE("because of \"wards stay home\", \"not for code\"")) >= 0);
    assert_true(says(d, "infeasible otherwise: it is shown here"));
    buf_reset(&f.out);
    record_json(d, NULL, &f.out);
    assert_true(slice_find(buf_slice(&f.out),
                           SLICE("\"emptied_by\":[\"wards stay home\",\"not for code\"]")) >= 0);
    assert_true(slice_find(buf_slice(&f.out), SLICE("\"removed\":[\"far\"]")) >= 0);
    close_policy();
}

static void passing_on(void **state)
{
    (void)state;
    uint32_t closed;
    int32_t by;
    open_policy(HEAD "forbid model near as \"never\"\n"
                     "forbid zone cloud when ward\n"
                     "forbid endpoint \"http://b/v1\" as \"gone\"\n"
                     "otherwise -> answer(any)\n");
    assert_false(route_may_pass(f.table, image_find_model(f.image, SLICE("near")), &closed, &by));
    assert_int_equal(by, 0);
    assert_true(route_may_pass(f.table, image_find_model(f.image, SLICE("far")), &closed, &by));
    assert_int_equal(closed, 1);
    close_policy();
}

static void memory_runs_out_cleanly(void **state)
{
    (void)state;
    open_policy(HEAD "signal risk = score(0.6 attack, 0.3 when ward) bands low, high above 0.5\n"
                     "forbid zone cloud when data == phi or risk == high\n"
                     "otherwise -> answer(far, near)\n");
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        struct arena a;
        const struct route_table *t;
        struct route_run run;
        arena_init(&a, 64, 1 << 24);
        alloc_fail_at(n, 1);
        enum result r = route_table_open(f.image, &f.costs, &a, &t);
        if (!r)
            r = route_begin(&run, t, &f.work, NULL, NULL, &a);
        done = !r;
        alloc_fail_at(0, 0);
        assert_true(r == RESULT_OK || r == RESULT_NOMEM);
        arena_deinit(&a);
    }
    close_policy();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(label_is_asked_only_where_it_matters),
        cmocka_unit_test(scores_are_decided_by_their_bounds),
        cmocka_unit_test(groups_have_one_winner),
        cmocka_unit_test(given_labels_open_nothing),
        cmocka_unit_test(chains_that_cannot_be_run_are_passed_over),
        cmocka_unit_test(required_steps_and_extras),
        cmocka_unit_test(fused_time_is_the_longest),
        cmocka_unit_test(endpoints_and_budgets),
        cmocka_unit_test(what_empties_the_set_is_named),
        cmocka_unit_test(passing_on),
        cmocka_unit_test(memory_runs_out_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
