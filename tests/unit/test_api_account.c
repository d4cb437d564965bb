// Budgets over time of a policy made ready: what makes two of them the same account, and what does not.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/account.h"
#include "base/alloc.h"
#include "policy/policy.h"
#include "signal/registry.h"

#define HEAD                                                                                       \
    "policy \"t\" version 1\nzone z\nmodel m zone z endpoint \"http://a/v1\" context 8k tok "      \
    "output 1k tok price 1 in, 1 out usd/Mtok\nsignal vip = keywords(\"vip\")\n"                   \
    "signal odd = keywords(\"odd\")\n"
#define TAIL "route r when vip and odd -> answer(m)\notherwise -> answer(m)\n"

enum { RULES_MAX = 8 };

struct loaded {
    struct arena arena;
    const struct policy_image *image;
    struct account_rules rules;
};

static void load(struct loaded *l, const char *budgets)
{
    struct diag_list diags;
    char text[4096];
    snprintf(text, sizeof text, HEAD "%s" TAIL, budgets);
    arena_init(&l->arena, 0, 1 << 26);
    diag_init(&diags, &l->arena, 20);
    assert_int_equal(policy_load(slice_cstr(text), &signal_registry, &l->arena, &diags, &l->image),
                     RESULT_OK);
    assert_int_equal(account_rules_open(l->image, &l->arena, &l->rules), RESULT_OK);
}

// The account of the only budget of a policy, for a holder.
static uint64_t account_of(const char *budget, const char *holder)
{
    struct loaded l;
    load(&l, budget);
    assert_int_equal(l.rules.count, 1);
    uint64_t account = account_budget(l.image, &l.rules.rules[0], slice_cstr(holder)).account;
    arena_deinit(&l.arena);
    return account;
}

static void only_budgets_over_time(void **state)
{
    struct loaded l;
    (void)state;
    load(&l, "budget 1 usd/request hard\nbudget 5 usd/day hard as \"a\"\nbudget 60 requests/minute "
             "hard\n"
             "forbid model m when odd\nbudget per loop 50k tok hard cheaper\n");
    assert_int_equal(l.rules.count, 3);
    for (uint32_t i = 0; i < l.rules.count; i++) {
        struct ledger_budget b = account_budget(l.image, &l.rules.rules[i], SLICE("x"));
        assert_int_not_equal(b.window, IMAGE_PER_REQUEST);
        assert_true(b.hard && b.limit > 0 && b.name.len > 0);
        // Of the three only the loop's name is the client's.
        assert_true(b.invented == (i == 2));
        assert_int_equal(b.constraint, l.rules.rules[i].constraint);
        for (uint32_t k = 0; k < i; k++)
            assert_true(l.rules.rules[k].identity != l.rules.rules[i].identity);
    }
    arena_deinit(&l.arena);
}

static void what_an_account_hangs_on(void **state)
{
    static const char *const other[] = {
        "budget per team 5 usd/day hard\n",
        "budget per tenant 5 J/day hard\n",
        "budget per tenant 5 usd/hour hard\n",
        "budget per tenant 5 usd/day hard when vip\n",
        "budget per tenant 5 usd/day hard when odd\n",
        "budget per tenant 5 usd/day hard when vip and odd\n",
        "budget per tenant 5 usd/day hard when vip or odd\n",
    };
    (void)state;
    uint64_t first = account_of("budget per tenant 5 usd/day hard\n", "acme");
    assert_true(account_of("budget per tenant 9 usd/day hard as \"more\"\n", "acme") == first);
    assert_true(account_of("budget per tenant 5 usd/day hard cheaper\n", "acme") == first);
    // What was spent while it was paced is spent when it becomes hard.
    assert_true(account_of("budget per tenant 5 usd/day paced\n", "acme") == first);
    assert_true(account_of("budget per tenant 5 usd/day hard\n", "acme2") != first);
    uint64_t seen[MERIT_COUNT(other)];
    for (size_t i = 0; i < MERIT_COUNT(other); i++) {
        seen[i] = account_of(other[i], "acme");
        assert_true(seen[i] != first);
        for (size_t k = 0; k < i; k++)
            assert_true(seen[k] != seen[i]);
    }
}

// Two that differ in nothing but the limit are two accounts: one of them drawn on twice would be spent twice.
static void twins_are_told_apart(void **state)
{
    struct loaded l;
    (void)state;
    load(&l, "budget 5 usd/day hard as \"a\"\nbudget 7 usd/day hard as \"b\"\n"
             "budget 9 usd/day hard as \"c\"\n");
    assert_int_equal(l.rules.count, 3);
    for (uint32_t i = 0; i < 3; i++)
        for (uint32_t k = 0; k < i; k++)
            assert_true(l.rules.rules[k].identity != l.rules.rules[i].identity);
    arena_deinit(&l.arena);
}

// Whatever stands beside a budget, the one that binds goes on with what was spent.
static void the_tightest_keeps_the_account(void **state)
{
    static const struct {
        const char *text;
        uint32_t tightest;
    } policies[] = {
        {"budget 5 usd/day hard\nbudget 3 usd/day paced\n", 0},
        {"budget 3 usd/day paced\nbudget 5 usd/day hard\n", 1},
        {"budget 5 usd/day hard\nbudget 7 usd/day hard\n", 0},
        {"budget 9 usd/day hard\nbudget 1 usd/day paced\nbudget 4 usd/day hard cheaper\n", 2},
        {"budget 5 usd/day hard\nbudget 5 usd/day hard\n", 0},
    };
    struct loaded l;
    (void)state;
    load(&l, "budget 5 usd/day hard\n");
    uint64_t alone = l.rules.rules[0].identity;
    arena_deinit(&l.arena);
    for (size_t i = 0; i < MERIT_COUNT(policies); i++) {
        load(&l, policies[i].text);
        for (uint32_t k = 0; k < l.rules.count; k++)
            assert_true((l.rules.rules[k].identity == alone) == (k == policies[i].tightest));
        arena_deinit(&l.arena);
    }
}

static void without_memory(void **state)
{
    struct loaded l;
    struct arena arena;
    struct account_rules rules;
    (void)state;
    load(&l, "budget 5 usd/day hard\n");
    arena_init(&arena, 0, 1 << 20);
    alloc_fail_at(1, 1);
    assert_int_equal(account_rules_open(l.image, &arena, &rules), RESULT_NOMEM);
    alloc_fail_at(0, 0);
    assert_int_equal(rules.count, 0);
    arena_deinit(&arena);
    arena_deinit(&l.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_budgets_over_time),
        cmocka_unit_test(what_an_account_hangs_on),
        cmocka_unit_test(the_tightest_keeps_the_account),
        cmocka_unit_test(twins_are_told_apart),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
