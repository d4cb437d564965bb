// The solver against brute force: thousands of small random formulas, grown clause by clause and asked again under
// random assumptions; its models are checked, its cores asked again alone. Pigeonholes for the limits.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "proof/sat.h"

enum { VARS_MAX = 14, CLAUSES_MAX = 120, FORMULAS = 4000 };

static const struct sat_limits wide = {1 << 20, 1 << 30, 1 << 30, UINT64_C(1) << 40, 1 << 28};

struct formula {
    uint32_t vars, clauses;
    uint32_t size[CLAUSES_MAX];
    uint32_t clause[CLAUSES_MAX][8]; // over variables 0..vars-1: index * 2 + sign
};

static struct rng rng;

static uint32_t below(uint32_t n)
{
    return (uint32_t)rng_below(&rng, n);
}

static bool literal_holds(uint32_t assignment, uint32_t literal)
{
    return (assignment >> (literal >> 1) & 1) != (literal & 1);
}

static bool formula_holds(const struct formula *f, uint32_t assignment)
{
    for (uint32_t i = 0; i < f->clauses; i++) {
        bool any = false;
        for (uint32_t k = 0; k < f->size[i]; k++)
            any |= literal_holds(assignment, f->clause[i][k]);
        if (!any)
            return false;
    }
    return true;
}

static bool satisfiable(const struct formula *f, const uint32_t *assumed, uint32_t count)
{
    for (uint32_t a = 0; a < UINT32_C(1) << f->vars; a++) {
        bool ok = true;
        for (uint32_t i = 0; i < count && ok; i++)
            ok = literal_holds(a, assumed[i]);
        if (ok && formula_holds(f, a))
            return true;
    }
    return false;
}

static void grow(struct formula *f, struct sat *s, const uint32_t *at)
{
    uint32_t n = below(20) == 0 ? 1 : 2 + below(3), given[8], c = f->clauses++;
    f->size[c] = n;
    for (uint32_t k = 0; k < n; k++) {
        f->clause[c][k] = below(f->vars * 2);
        given[k] = at[f->clause[c][k] >> 1] ^ (f->clause[c][k] & 1);
    }
    sat_clause(s, given, n);
}

// One question, checked in every way.
static void ask(const struct formula *f, struct sat *s, const uint32_t *at)
{
    uint32_t assumed[VARS_MAX * 2], given[VARS_MAX * 2], n = below(f->vars + 1), core_count;
    for (uint32_t i = 0; i < n; i++) {
        assumed[i] = below(f->vars * 2);
        given[i] = at[assumed[i] >> 1] ^ (assumed[i] & 1);
    }
    enum sat_answer answer = sat_solve(s, given, n);
    assert_int_equal(answer, satisfiable(f, assumed, n) ? SAT_YES : SAT_NO);
    if (answer == SAT_YES) {
        uint32_t model = 0;
        for (uint32_t i = 0; i < f->vars; i++)
            model |= (uint32_t)sat_value(s, at[i]) << i;
        assert_true(formula_holds(f, model));
        for (uint32_t i = 0; i < n; i++)
            assert_true(literal_holds(model, assumed[i]));
        return;
    }
    const uint32_t *core = sat_core(s, &core_count);
    uint32_t back[VARS_MAX * 2];
    assert_true(core_count <= n);
    for (uint32_t i = 0, from = 0; i < core_count; i++) {
        while (from < n && given[from] != core[i])
            from++;
        assert_true(from < n); // one of the assumptions, in their order
        back[i] = assumed[from];
    }
    assert_false(satisfiable(f, back, core_count));
}

static void matches_brute_force(void **state)
{
    (void)state;
    rng_seed(&rng, 5);
    for (int n = 0; n < FORMULAS; n++) {
        struct formula f = {.vars = 2 + below(n % 20 ? 7 : VARS_MAX - 2)};
        struct sat *s;
        uint32_t at[VARS_MAX];
        assert_int_equal(sat_open(&wide, &s), RESULT_OK);
        for (uint32_t i = 0; i < f.vars; i++)
            at[i] = sat_new(s);
        uint32_t batch = 1 + below(f.vars * 2);
        while (f.clauses + batch <= f.vars * 6 && f.clauses + batch <= CLAUSES_MAX) {
            for (uint32_t i = 0; i < batch; i++)
                grow(&f, s, at);
            for (int k = 0; k < 4; k++)
                ask(&f, s, at);
        }
        sat_close(s);
    }
}

// Hard instances that take restarts and deletion: random 3-SAT at the threshold, models checked, and two runs alike.
static void hard_random(void **state)
{
    (void)state;
    enum { VARS = 160, CLAUSES = 680 };
    static uint32_t clause[CLAUSES][3];
    for (int n = 0; n < 12; n++) {
        struct sat *s[2];
        enum sat_answer answer[2];
        uint64_t conflicts[2];
        for (int run = 0; run < 2; run++) {
            rng_seed(&rng, 100 + (uint64_t)n);
            assert_int_equal(sat_open(&wide, &s[run]), RESULT_OK);
            uint32_t first = sat_new(s[run]);
            for (int i = 1; i < VARS; i++)
                (void)sat_new(s[run]);
            for (int c = 0; c < CLAUSES; c++) {
                for (int k = 0; k < 3; k++)
                    clause[c][k] = first + below(VARS * 2);
                sat_clause(s[run], clause[c], 3);
            }
            answer[run] = sat_solve(s[run], NULL, 0);
            conflicts[run] = sat_effort(s[run]).conflicts;
            assert_int_not_equal(answer[run], SAT_UNKNOWN);
            for (int c = 0; answer[run] == SAT_YES && c < CLAUSES; c++)
                assert_true(sat_value(s[run], clause[c][0]) || sat_value(s[run], clause[c][1]) ||
                            sat_value(s[run], clause[c][2]));
        }
        assert_int_equal(answer[0], answer[1]);
        assert_int_equal(conflicts[0], conflicts[1]);
        sat_close(s[0]);
        sat_close(s[1]);
    }
}

// `pigeons` in one hole fewer.
static struct sat *pigeonhole(uint32_t pigeons, const struct sat_limits *limits)
{
    struct sat *s;
    uint32_t holes = pigeons - 1, row[16];
    if (sat_open(limits, &s))
        return NULL;
    uint32_t first = sat_new(s);
    for (uint32_t i = 1; i < pigeons * holes; i++)
        (void)sat_new(s);
    for (uint32_t p = 0; p < pigeons; p++) {
        for (uint32_t h = 0; h < holes; h++)
            row[h] = first + (p * holes + h) * 2;
        sat_clause(s, row, holes);
    }
    for (uint32_t h = 0; h < holes; h++)
        for (uint32_t p = 0; p < pigeons; p++)
            for (uint32_t q = 0; q < p; q++)
                sat_clause(s,
                           (uint32_t[]){sat_not(first + (p * holes + h) * 2),
                                        sat_not(first + (q * holes + h) * 2)},
                           2);
    return s;
}

static void limits_are_kept(void **state)
{
    (void)state;
    struct sat *s = pigeonhole(7, &wide);
    assert_int_equal(sat_solve(s, NULL, 0), SAT_NO);
    sat_close(s);

    struct sat_limits few = wide;
    few.conflicts = 500;
    few.conflicts_all = 1200;
    s = pigeonhole(12, &few);
    for (uint64_t i = 1; i <= 4; i++) {
        assert_int_equal(sat_solve(s, NULL, 0), SAT_UNKNOWN);
        assert_true(sat_effort(s).conflicts <= (i * 500 < 1200 ? i * 500 : 1200));
        assert_int_equal(sat_result(s), RESULT_OK);
    }
    sat_close(s);

    struct sat_limits slow = wide;
    slow.propagations = 3000;
    s = pigeonhole(12, &slow);
    assert_int_equal(sat_solve(s, NULL, 0), SAT_UNKNOWN);
    assert_true(sat_effort(s).propagations < 3000 + 12 * 11 + 2);
    sat_close(s);

    struct sat_limits small = wide;
    small.bytes = 60000;
    s = pigeonhole(12, &small);
    assert_non_null(s);
    assert_int_equal(sat_solve(s, NULL, 0), SAT_UNKNOWN);
    assert_int_equal(sat_result(s), RESULT_LIMIT);
    assert_true(sat_effort(s).bytes <= 60000);
    sat_close(s);
}

// A theory: at most `most` of the variables hold. Every model that breaks it is excluded by the variables that hold.
struct count_theory {
    struct sat *s;
    uint32_t first, vars, most, calls;
};

static enum sat_fit count_check(void *ctx)
{
    struct count_theory *t = ctx;
    uint32_t clause[32], n = 0;
    t->calls++;
    for (uint32_t i = 0; i < t->vars; i++)
        if (sat_value(t->s, t->first + i * 2))
            clause[n++] = sat_not(t->first + i * 2);
    if (n <= t->most)
        return SAT_FITS;
    sat_clause(t->s, clause, t->most + 1);
    return SAT_REFINED;
}

static void a_theory_refines(void **state)
{
    (void)state;
    for (uint32_t most = 0; most <= 8; most++) {
        for (uint32_t need = 0; need <= 8; need++) {
            struct count_theory t = {.vars = 8, .most = most};
            const struct sat_theory theory = {count_check, &t};
            uint32_t assumed[8];
            assert_int_equal(sat_open(&wide, &t.s), RESULT_OK);
            t.first = sat_new(t.s);
            for (int i = 1; i < 8; i++)
                (void)sat_new(t.s);
            sat_theory(t.s, &theory);
            for (uint32_t i = 0; i < need; i++)
                assumed[i] = t.first + (i * 3 % 8) * 2;
            assert_int_equal(sat_solve(t.s, assumed, need), need <= most ? SAT_YES : SAT_NO);
            assert_true(t.calls > 0);
            sat_close(t.s);
        }
    }
}

static void out_of_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        alloc_fail_at(n, 1);
        struct sat *s = pigeonhole(6, &wide);
        enum sat_answer answer = s ? sat_solve(s, NULL, 0) : SAT_UNKNOWN;
        enum result r = s ? sat_result(s) : RESULT_NOMEM;
        alloc_fail_at(0, 0);
        sat_close(s);
        if (r == RESULT_OK) {
            assert_int_equal(answer, SAT_NO);
            assert_true(n > 20);
            return;
        }
        assert_int_equal(r, RESULT_NOMEM);
        assert_int_equal(answer, SAT_UNKNOWN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_brute_force), cmocka_unit_test(hard_random),
        cmocka_unit_test(limits_are_kept),     cmocka_unit_test(a_theory_refines),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
