// The SMT-LIB writer's numbers and symbols, graphs, mutants and descriptions: forms, limits, and no memory.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "policy/policy.h"
#include "proof/describe.h"
#include "proof/graph.h"
#include "proof/mutant.h"
#include "proof/smtlib.h"
#include "proof/smtlib_inner.h"
#include "signal/registry.h"
#include "support/theorem_make.h"
#include "text/json.h"

static const char text[] =
    "policy \"x | y \\\" z\" version 2\n"
    "lattice exposure = public < internal < phi\n"
    "zone house clears phi\n"
    "sink check verifier zone house clears phi\n"
    "model a zone house endpoint \"http://a:1/v1\" context 8k tok effort high price 0.5 in, 2 out "
    "usd/Mtok\n"
    "model b endpoint \"http://b:1/v1\" context 8k tok\n"
    "signal words = keywords(\"a\\b|c\")\n"
    "signal team = caller(team)\n"
    "signal asks = structure(questions)\n"
    "signal hot = jailbreak above 0.65\n"
    "signal data label exposure = max(internal when words, phi when asks > 2) on_error phi\n"
    "forbid zone below data\n"
    "require verify when team == \"a|b\"\n"
    "budget 0.02 usd/request hard when hot\n"
    "route one when words and not (asks >= 3 or hot) -> answer(a high) retry 1 -> verify(check) "
    "else refuse \"no\"\n"
    "route two when team in (\"a|b\", \"c\") -> redact(internal) -> answer(a) minimise cost\n"
    "otherwise -> answer(a, b)\n"
    "prove no phi reaches model b\n"
    "test \"t\" given words expect not route two\n";

struct loaded {
    struct arena arena;
    struct diag_list diags;
    const struct tree *tree;
    const struct policy_image *image;
};

static void load(struct loaded *l, const char *source)
{
    arena_init(&l->arena, 0, 64u << 20);
    diag_init(&l->diags, &l->arena, 50);
    enum result r = policy_parse(slice_cstr(source), &l->arena, &l->diags, &l->tree);
    if (!r)
        r = policy_compile(l->tree, &signal_registry, &l->arena, &l->diags, &l->image);
    if (r && l->diags.count)
        printf("%.*s\n", SLICE_FMT(l->diags.items[0].message));
    assert_int_equal(r, RESULT_OK);
}

static void number_is(double v, const char *want)
{
    struct buf out;
    struct smtlib s = {.out = &out};
    buf_init(&out, 4096);
    smtlib_number(&s, v);
    if (!slice_eq_cstr(buf_slice(&out), want))
        fail_msg("%g is %.*s, not %s", v, SLICE_FMT(buf_slice(&out)), want);
    buf_deinit(&out);
}

static void test_numbers(void **state)
{
    struct rng rng;
    struct buf out;
    struct smtlib s = {.out = &out};
    (void)state;
    number_is(0, "0.0");
    number_is(1, "1.0");
    number_is(-2.5, "(- 2.5)");
    number_is(0.7, "0.7");
    number_is(8000, "8000.0");
    number_is(1e-7, "0.0000001");
    number_is(123456.789, "123456.789");
    number_is(1e21, "1000000000000000000000.0");
    rng_seed(&rng, 5);
    buf_init(&out, 4096);
    // Whatever the number, its decimal reads back as the same one.
    for (int i = 0; i < 20000; i++) {
        double v = (double)rng_below(&rng, 1u << 30) / (double)(1 + rng_below(&rng, 1u << 20));
        buf_reset(&out);
        smtlib_number(&s, v);
        buf_byte(&out, '\0');
        assert_true(strtod(out.ptr, NULL) == v && !strchr(out.ptr, 'e'));
    }
    buf_deinit(&out);
}

// Parentheses close outside of symbols and comments, and quoted symbols hold neither bars nor backslashes.
static void check_script(struct slice script)
{
    int depth = 0;
    bool symbol = false, comment = false;
    for (size_t i = 0; i < script.len; i++) {
        char c = script.ptr[i];
        if (comment) {
            comment = c != '\n';
        } else if (symbol) {
            assert_true(c != '\\' && c != '\n');
            symbol = c != '|';
        } else {
            comment = c == ';';
            symbol = c == '|';
            depth += (c == '(') - (c == ')');
            assert_true(depth >= 0);
        }
    }
    assert_true(depth == 0 && !symbol);
}

static void test_script(void **state)
{
    struct loaded l;
    struct buf out;
    (void)state;
    load(&l, text);
    buf_init(&out, 1 << 24);
    assert_int_equal(smtlib_write(l.image, NULL, &out), RESULT_OK);
    check_script(buf_slice(&out));
    assert_true(slice_find(buf_slice(&out), SLICE("(define-fun |takes two| ")) >= 0);
    assert_true(slice_find(buf_slice(&out), SLICE("%7c")) >= 0);
    assert_true(slice_find(buf_slice(&out), SLICE("; question claim")) >= 0);
    assert_true(slice_find(buf_slice(&out), SLICE("; not modelled: dispatch by its defaults")) >=
                0);
    assert_true(slice_find(buf_slice(&out), SLICE("; whether a place")) >= 0);
    buf_deinit(&out);
    buf_init(&out, 2000);
    assert_int_equal(smtlib_write(l.image, NULL, &out), RESULT_LIMIT);
    buf_deinit(&out);
    for (uint64_t n = 1;; n++) {
        buf_init(&out, 1 << 24);
        alloc_fail_at(n, 0);
        enum result r = smtlib_write(l.image, NULL, &out);
        alloc_fail_at(0, 0);
        buf_deinit(&out);
        assert_true(r == RESULT_OK || r == RESULT_NOMEM);
        if (!r)
            break;
    }
    arena_deinit(&l.arena);
}

static void test_graph(void **state)
{
    struct loaded l;
    struct buf out;
    struct json j;
    (void)state;
    load(&l, text);
    buf_init(&out, 1 << 20);
    graph_json(l.image, &out);
    assert_int_equal(json_parse(&j, buf_slice(&out), &json_limits_default, &l.arena), RESULT_OK);
    uint32_t nodes = json_get(&j, 0, SLICE("nodes"), NULL), at = 0, value, n = 0;
    while (json_element(&j, nodes, &at, &value))
        n++;
    uint32_t budgets = 0;
    for (uint32_t i = 0; i < l.image->constraints.count; i++)
        budgets += IMAGE_AT(l.image, l.image->constraints, struct image_constraint)[i].kind ==
                   IMAGE_BUDGET;
    // The request, three routes, six steps, two models, a sink, two ends, and what stands around them.
    assert_int_equal(n, 1 + 3 + 6 + 2 + 1 + 2 + l.image->zones.count + l.image->endpoints.count +
                            l.image->passes.count + budgets + 1);
    assert_true(budgets > 0 && l.image->zones.count > 0 && l.image->endpoints.count > 0);
    assert_true(slice_find(buf_slice(&out), SLICE("budget 0.02 usd/request hard when hot")) > 0);
    buf_reset(&out);
    graph_dot(l.image, &out);
    assert_true(slice_find(buf_slice(&out), SLICE("style=dashed, label=\"else\"")) > 0);
    buf_deinit(&out);
    arena_deinit(&l.arena);
}

static void test_mutants(void **state)
{
    struct loaded l;
    struct mutant_list m;
    uint32_t kinds[5] = {0}, up = 0;
    struct buf out;
    (void)state;
    load(&l, text);
    assert_int_equal(mutants_make(l.tree, &l.arena, &m), RESULT_OK);
    buf_init(&out, 1 << 16);
    for (uint32_t i = 0; i < m.count; i++) {
        buf_reset(&out);
        mutant_apply(slice_cstr(text), &m.at[i], &out);
        assert_int_equal(buf_result(&out), RESULT_OK);
        assert_false(slice_eq(buf_slice(&out), slice_cstr(text)));
        // What judges stands as it stood.
        assert_true(slice_find(buf_slice(&out), SLICE("given words expect not route two")) > 0);
        kinds[m.at[i].kind]++;
        up += slice_eq(m.at[i].is, SLICE("above 0.66")) + slice_eq(m.at[i].is, SLICE("asks >= 4"));
    }
    // words, asks > 2 of the label; team of the constraint; hot of the budget; words, asks, hot; team.
    assert_int_equal(kinds[MUTANT_FLIP], 8);
    assert_int_equal(kinds[MUTANT_BOUND], 2);
    assert_int_equal(kinds[MUTANT_STEP], 6);
    assert_int_equal(kinds[MUTANT_DROP], 3);
    assert_int_equal(kinds[MUTANT_SWAP], 1);
    assert_int_equal(up, 2);
    buf_deinit(&out);
    for (uint64_t n = 1;; n++) {
        struct arena own;
        arena_init(&own, 0, 1 << 22);
        alloc_fail_at(n, 0);
        enum result r = mutants_make(l.tree, &own, &m);
        alloc_fail_at(0, 0);
        arena_deinit(&own);
        assert_true(r == RESULT_OK || r == RESULT_NOMEM);
        if (!r)
            break;
    }
    arena_deinit(&l.arena);
}

static void says(const struct buf *b, const char *want)
{
    if (!slice_eq_cstr(buf_slice(b), want))
        fail_msg("\"%.*s\", not \"%s\"", SLICE_FMT(buf_slice(b)), want);
}

static void test_descriptions(void **state)
{
    struct loaded l;
    struct buf out;
    (void)state;
    load(&l, text);
    buf_init(&out, 1 << 16);
    describe_effect(l.image, 0, &out);
    says(&out, "answer(a high) retry 1 -> verify(check) else refuse \"no\"");
    buf_reset(&out);
    describe_effect(l.image, 1, &out);
    says(&out, "redact(internal) -> answer(a) minimise cost");
    buf_reset(&out);
    describe_signal(l.image, image_find_signal(l.image, SLICE("hot")), &out);
    says(&out, "jailbreak above 0.65");
    buf_reset(&out);
    describe_constraint(l.image, l.image->constraints.count - 1, &out);
    says(&out, "budget 0.02 usd/request hard when hot");
    buf_deinit(&out);
    arena_deinit(&l.arena);
}

// Scripts of random policies are well-formed.
static void test_random_scripts(void **state)
{
    static struct made made;
    uint32_t written = 0;
    (void)state;
    for (uint32_t i = 0; i < 300; i++) {
        struct arena arena;
        struct diag_list diags;
        const struct policy_image *p;
        struct buf out;
        made_policy(&made, i, true);
        arena_init(&arena, 0, 64u << 20);
        diag_init(&diags, &arena, 50);
        buf_init(&out, 1 << 24);
        if (!policy_load(slice_make(made.text, made.len), &signal_registry, &arena, &diags, &p)) {
            assert_int_equal(smtlib_write(p, NULL, &out), RESULT_OK);
            check_script(buf_slice(&out));
            written++;
        }
        buf_deinit(&out);
        arena_deinit(&arena);
    }
    assert_true(written > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),      cmocka_unit_test(test_script),
        cmocka_unit_test(test_graph),        cmocka_unit_test(test_mutants),
        cmocka_unit_test(test_descriptions), cmocka_unit_test(test_random_scripts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
