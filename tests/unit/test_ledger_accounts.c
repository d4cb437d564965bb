// Budgets in memory: reserve in all or none, settle, windows, limits that change, many threads on one budget.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "ledger/accounts.h"
#include "ledger/ledger.h"
#include "ledger/window.h"

#define SECOND UINT64_C(1000000)
#define DAY (86400 * SECOND)
// 2026-11-21T20:30:15Z
#define NOW (UINT64_C(1795293015) * SECOND)

static struct ledger *open_memory(uint32_t accounts)
{
    struct ledger *l = NULL;
    struct buf why;
    buf_init(&why, 1000);
    struct ledger_options o = {.now_us = NOW, .accounts = accounts};
    assert_int_equal(ledger_open(&l, &o, &why), RESULT_OK);
    buf_deinit(&why);
    return l;
}

static struct ledger_budget hard(uint64_t account, enum image_unit unit, enum image_window window,
                                 int64_t limit)
{
    return (struct ledger_budget){.account = account,
                                  .unit = unit,
                                  .window = window,
                                  .hard = true,
                                  .limit = limit,
                                  .constraint = (int32_t)account};
}

static struct ledger_ask ask_for(int64_t nusd, const struct ledger_budget *budgets, uint32_t count,
                                 uint64_t now_us)
{
    struct ledger_ask ask = {.now_us = now_us, .budgets = budgets, .budget_count = count};
    for (int i = 0; i < LEDGER_UNITS; i++)
        ask.bound.of[i] = ask.expected.of[i] = 1;
    ask.bound.of[IMAGE_UNIT_NUSD] = ask.expected.of[IMAGE_UNIT_NUSD] = nusd;
    return ask;
}

static struct ledger_settled took(int64_t nusd, uint64_t now_us)
{
    struct ledger_settled s = {.now_us = now_us, .reason = ""};
    for (int i = 0; i < LEDGER_UNITS; i++)
        s.took.of[i] = s.baseline.of[i] = 1;
    s.took.of[IMAGE_UNIT_NUSD] = nusd;
    return s;
}

static void test_windows_are_those_of_the_calendar(void **state)
{
    (void)state;
    static const struct {
        uint64_t at, end; // seconds
        enum image_window window;
    } cases[] = {
        {0, 60, IMAGE_PER_MINUTE},
        {1795293015, 1795293060, IMAGE_PER_MINUTE},
        {1795293015, 1795294800, IMAGE_PER_HOUR},
        {1795293015, 1795305600, IMAGE_PER_DAY},
        {1795293015, 1796083200, IMAGE_PER_MONTH}, // 2026-12-01
        {1798761599, 1798761600, IMAGE_PER_MONTH}, // the last second of 2026
        {1798761600, 1801440000, IMAGE_PER_MONTH}, // 2027-01 to 2027-02-01
        {951782400, 951868800, IMAGE_PER_MONTH},   // 2000-02-29, a leap year of 400
        {0, 2678400, IMAGE_PER_MONTH},
    };
    for (size_t i = 0; i < MERIT_COUNT(cases); i++)
        assert_int_equal(window_end(cases[i].window, cases[i].at * SECOND), cases[i].end * SECOND);
    // 2028-02-29 lies in February: it ends at 2028-03-01.
    assert_int_equal(window_end(IMAGE_PER_MONTH, UINT64_C(1835395200) * SECOND),
                     UINT64_C(1835481600) * SECOND);
    assert_int_equal(window_end(IMAGE_PER_LIFE, NOW), 0);
    assert_int_equal(window_end(IMAGE_PER_REQUEST, NOW), 0);
    // Every instant lies in its window, and windows follow each other without a gap.
    for (uint64_t t = 0; t < 200; t++) {
        for (int w = IMAGE_PER_MINUTE; w <= IMAGE_PER_MONTH; w++) {
            uint64_t at = t * 2671117 * SECOND, n = window_number(w, at);
            assert_true(window_begin(w, n) <= at && at < window_begin(w, n + 1));
            assert_int_equal(window_number(w, window_begin(w, n + 1)), n + 1);
            assert_int_equal(window_number(w, window_begin(w, n + 1) - 1), n);
        }
    }
}

static void test_a_hard_budget_bears_its_limit_and_no_more(void **state)
{
    (void)state;
    struct ledger *l = open_memory(0);
    struct ledger_budget b = hard(7, IMAGE_UNIT_NUSD, IMAGE_PER_DAY, 100);
    struct ledger_ask ask = ask_for(40, &b, 1, NOW);
    struct ledger_ticket a, c, d;
    struct ledger_refusal no = {0};
    assert_int_equal(ledger_reserve(l, &ask, &a, &no), RESULT_OK);
    assert_int_equal(ledger_reserve(l, &ask, &c, &no), RESULT_OK);
    assert_true(c.id > a.id && a.id > 0);
    assert_int_equal(ledger_reserve(l, &ask, &d, &no), RESULT_LIMIT);
    assert_int_equal(no.kind, LEDGER_SPENT);
    assert_int_equal(no.constraint, 7);
    assert_int_equal(no.limit, 100);
    assert_int_equal(no.left, 20);
    assert_int_equal(no.need, 40);
    assert_int_equal(no.renews_us, UINT64_C(1795305600) * SECOND);
    // What was not taken comes back.
    struct ledger_settled s = took(10, NOW);
    ledger_settle(l, &a, &s);
    assert_int_equal(a.id, 0);
    ledger_settle(l, &a, &s); // nothing more
    assert_int_equal(ledger_used(l, &b, NOW), 50);
    assert_int_equal(ledger_reserve(l, &ask, &d, &no), RESULT_OK);
    s = took(-1, NOW); // not known: the bound
    ledger_settle(l, &c, &s);
    s = took(45, NOW); // above the bound: counted in full, and told
    ledger_settle(l, &d, &s);
    assert_int_equal(ledger_used(l, &b, NOW), 95);
    struct ledger_stats stats;
    ledger_stats(l, &stats);
    assert_int_equal(stats.over_bound, 1);
    assert_int_equal(stats.unknown, 1);
    assert_int_equal(stats.reserved, 3);
    assert_int_equal(stats.settled, 3);
    assert_int_equal(stats.open, 0);
    assert_int_equal(stats.refused[LEDGER_SPENT], 1);
    ledger_close(l);
}

static void test_all_budgets_or_none(void **state)
{
    (void)state;
    struct ledger *l = open_memory(0);
    struct ledger_budget b[7];
    for (uint32_t i = 0; i < 7; i++)
        b[i] = hard(i + 1, i % 2 ? IMAGE_UNIT_TOK : IMAGE_UNIT_NUSD, IMAGE_PER_HOUR, 1000);
    b[5].limit = 1; // one token
    struct ledger_ask ask = ask_for(10, b, 7, NOW);
    struct ledger_ticket t, u;
    struct ledger_refusal no;
    assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_OK);
    assert_int_equal(ledger_reserve(l, &ask, &u, &no), RESULT_LIMIT);
    assert_int_equal(no.budget, 5);
    for (uint32_t i = 0; i < 7; i++)
        assert_int_equal(ledger_used(l, &b[i], NOW), i % 2 ? 1 : 10);
    struct ledger_settled s = took(3, NOW);
    ledger_settle(l, &t, &s);
    for (uint32_t i = 0; i < 7; i++)
        assert_int_equal(ledger_used(l, &b[i], NOW), i % 2 ? 1 : 3);
    ledger_close(l);
}

static void test_bounds_that_are_not_known(void **state)
{
    (void)state;
    struct ledger *l = open_memory(0);
    struct ledger_budget b = hard(1, IMAGE_UNIT_NUSD, IMAGE_PER_DAY, INT64_MAX);
    struct ledger_ticket t;
    struct ledger_refusal no;
    struct ledger_ask ask = ask_for(-1, &b, 1, NOW);
    assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_LIMIT);
    assert_int_equal(no.kind, LEDGER_UNBOUNDED);
    ask.bound.of[IMAGE_UNIT_NUSD] = INT64_MAX; // absurd is not known
    assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_LIMIT);
    assert_int_equal(no.kind, LEDGER_UNBOUNDED);
    // A paced one reckons with what is expected.
    b.hard = false;
    ask.bound.of[IMAGE_UNIT_NUSD] = -1;
    ask.expected.of[IMAGE_UNIT_NUSD] = 11;
    assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_OK);
    assert_int_equal(ledger_used(l, &b, NOW), 11);
    struct ledger_settled s = took(INT64_MAX, NOW);
    ledger_settle(l, &t, &s);
    assert_true(ledger_used(l, &b, NOW) == LEDGER_AMOUNT_MAX);
    // Sums do not overflow.
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_OK);
        ledger_settle(l, &t, &s);
    }
    assert_true(ledger_used(l, &b, NOW) == ACCOUNTS_SUM_MAX);
    ledger_close(l);
}

static void test_a_request_budget_has_no_account(void **state)
{
    (void)state;
    struct ledger *l = open_memory(0);
    struct ledger_budget b = hard(1, IMAGE_UNIT_NUSD, IMAGE_PER_REQUEST, 50);
    struct ledger_ask ask = ask_for(50, &b, 1, NOW);
    struct ledger_ticket t, u;
    struct ledger_refusal no;
    assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_OK);
    assert_int_equal(ledger_reserve(l, &ask, &u, &no), RESULT_OK);
    struct ledger_settled s = took(50, NOW);
    ledger_settle(l, &t, &s);
    ledger_settle(l, &u, &s);
    ask = ask_for(51, &b, 1, NOW);
    assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_LIMIT);
    assert_int_equal(no.renews_us, 0);
    struct ledger_stats stats;
    ledger_stats(l, &stats);
    assert_int_equal(stats.accounts_used, 0);
    ledger_close(l);
}

static void test_limits_change_while_attempts_are_under_way(void **state)
{
    (void)state;
    struct ledger *l = open_memory(0);
    struct ledger_budget b = hard(1, IMAGE_UNIT_NUSD, IMAGE_PER_DAY, 100);
    struct ledger_ask ask = ask_for(60, &b, 1, NOW);
    struct ledger_ticket t, u;
    struct ledger_refusal no;
    struct budget_state state_now;
    assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_OK);
    b.limit = 50; // below what is reserved
    ledger_budget_states(l, &b, 1, NOW, &state_now);
    assert_int_equal(state_now.left, 0);
    ask = ask_for(1, &b, 1, NOW);
    assert_int_equal(ledger_reserve(l, &ask, &u, &no), RESULT_LIMIT);
    assert_int_equal(no.left, 0);
    ask = ask_for(0, &b, 1, NOW); // what takes nothing of it passes
    assert_int_equal(ledger_reserve(l, &ask, &u, &no), RESULT_OK);
    struct ledger_settled s = took(0, NOW);
    ledger_settle(l, &u, &s);
    s = took(60, NOW);
    ledger_settle(l, &t, &s);
    b.limit = 200;
    ledger_budget_states(l, &b, 1, NOW, &state_now);
    assert_int_equal(state_now.left, 140);
    ask = ask_for(140, &b, 1, NOW);
    assert_int_equal(ledger_reserve(l, &ask, &u, &no), RESULT_OK);
    ledger_settle(l, &u, &s);
    ledger_close(l);
}

// Each window is given out once, whatever the clock does; a ticket settles where it reserved.
static void test_clock_jumps(void **state)
{
    (void)state;
    struct ledger *l = open_memory(0);
    struct ledger_budget b = hard(1, IMAGE_UNIT_NUSD, IMAGE_PER_DAY, 100);
    struct ledger_ask today = ask_for(80, &b, 1, NOW), tomorrow = ask_for(80, &b, 1, NOW + DAY);
    struct ledger_ask far = ask_for(80, &b, 1, NOW + 400 * DAY);
    struct ledger_ticket t, u, v, w;
    struct ledger_refusal no;
    assert_int_equal(ledger_reserve(l, &today, &t, &no), RESULT_OK);
    assert_int_equal(ledger_reserve(l, &far, &u, &no), RESULT_OK);
    assert_int_equal(ledger_reserve(l, &today, &v, &no), RESULT_LIMIT); // back again
    assert_int_equal(ledger_reserve(l, &tomorrow, &v, &no), RESULT_OK);
    assert_int_equal(ledger_reserve(l, &far, &w, &no), RESULT_LIMIT);
    struct ledger_settled s = took(5, NOW + DAY);
    ledger_settle(l, &t, &s); // today's, although it is tomorrow
    assert_int_equal(ledger_used(l, &b, NOW), 5);
    assert_int_equal(ledger_used(l, &b, NOW + DAY), 80);
    s = took(70, NOW - 1000 * DAY);
    ledger_settle(l, &v, &s);
    assert_int_equal(ledger_used(l, &b, NOW + DAY), 70);
    ledger_settle(l, &u, &s);
    assert_int_equal(ledger_used(l, &b, NOW + 400 * DAY), 70);
    ledger_close(l);
}

static void test_a_full_table_says_so_and_expired_accounts_make_room(void **state)
{
    (void)state;
    struct ledger *l = open_memory(ACCOUNTS_REGION);
    struct ledger_refusal no = {0};
    struct ledger_settled s = took(1, NOW);
    struct ledger_ticket held, t;
    struct ledger_budget b = hard(1, IMAGE_UNIT_NUSD, IMAGE_PER_DAY, 100);
    struct ledger_ask ask = ask_for(1, &b, 1, NOW);
    assert_int_equal(ledger_reserve(l, &ask, &held, &no), RESULT_OK);
    for (uint64_t i = 2; i <= ACCOUNTS_REGION; i++) {
        b.account = i;
        assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_OK);
        ledger_settle(l, &t, &s);
    }
    b.account = 5000;
    assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_LIMIT);
    assert_int_equal(no.kind, LEDGER_FULL);
    // A paced budget is passed over.
    b.hard = false;
    assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_OK);
    ledger_settle(l, &t, &s);
    struct ledger_stats stats;
    ledger_stats(l, &stats);
    assert_int_equal(stats.passed_over, 1);
    assert_int_equal(stats.accounts_used, ACCOUNTS_REGION);
    // Two days later all but the one with an open ticket may go.
    ask.now_us = NOW + 2 * DAY;
    b.hard = true;
    for (uint64_t i = 0; i < ACCOUNTS_REGION - 1; i++) {
        b.account = 10000 + i;
        assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_OK);
        ledger_settle(l, &t, &s);
    }
    b.account = 90000;
    assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_LIMIT);
    b = hard(1, IMAGE_UNIT_NUSD, IMAGE_PER_DAY, 100);
    assert_int_equal(ledger_used(l, &b, NOW), 1);
    s = took(0, NOW);
    ledger_settle(l, &held, &s);
    assert_int_equal(ledger_used(l, &b, NOW), 0);
    ledger_close(l);
}

static void test_invented_sessions_shut_nobody_out(void **state)
{
    (void)state;
    struct ledger *l = open_memory(ACCOUNTS_REGION);
    struct ledger_refusal no = {0};
    struct ledger_settled s = took(1, NOW);
    struct ledger_ticket held, t;
    struct ledger_budget b = hard(1, IMAGE_UNIT_NUSD, IMAGE_PER_LIFE, 100);
    struct ledger_ask ask = ask_for(1, &b, 1, NOW);
    assert_int_equal(ledger_reserve(l, &ask, &held, &no), RESULT_OK);
    struct ledger_budget day = hard(7, IMAGE_UNIT_NUSD, IMAGE_PER_DAY, 100);
    ask.budgets = &day;
    assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_OK);
    ledger_settle(l, &t, &s);
    ask.budgets = &b;
    for (uint64_t i = 0; i < 3 * ACCOUNTS_REGION; i++) {
        b.account = 1000 + i;
        ask.now_us = s.now_us = NOW + i * 1000;
        assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_OK);
        ledger_settle(l, &t, &s);
    }
    assert_int_equal(ledger_used(l, &b, ask.now_us), 1); // the last one is known
    b.account = 1000;
    assert_int_equal(ledger_used(l, &b, ask.now_us), 0); // the first one made room
    assert_int_equal(ledger_used(l, &day, ask.now_us), 1);
    b.account = 1;
    assert_int_equal(ledger_used(l, &b, ask.now_us), 1); // under way, though idle longest
    day.account = 8;                                     // another's window still begins
    ask.budgets = &day;
    assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_OK);
    ledger_settle(l, &t, &s);
    ledger_settle(l, &held, &s);
    ledger_close(l);
}

// ... nor do those whose accounts are of a day: the one that took least makes room, and never what a key or a team has.
static void test_invented_sessions_of_a_day_shut_nobody_out(void **state)
{
    (void)state;
    struct ledger *l = open_memory(ACCOUNTS_REGION);
    struct ledger_refusal no = {0};
    struct ledger_settled s = took(1, NOW);
    struct ledger_ticket t, held;
    struct ledger_budget team = hard(7, IMAGE_UNIT_NUSD, IMAGE_PER_DAY, 100);
    struct ledger_budget b = hard(1, IMAGE_UNIT_NUSD, IMAGE_PER_DAY, 100);
    struct ledger_ask ask = ask_for(10, &team, 1, NOW);
    assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_OK);
    s = took(0, NOW);
    ledger_settle(l, &t, &s);
    ask.budgets = &b;
    assert_int_equal(ledger_reserve(l, &ask, &held, &no), RESULT_OK); // not told of it before
    b.invented = true;
    assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_OK);
    s = took(9, NOW);
    ledger_settle(l, &t, &s);
    b.account = 2; // an agent that has spent
    assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_OK);
    ledger_settle(l, &t, &s);
    s = took(1, NOW);
    for (uint64_t i = 0; i < 3 * ACCOUNTS_REGION; i++) {
        b.account = 1000 + i;
        assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_OK);
        ledger_settle(l, &t, &s);
    }
    b.account = 2;
    assert_int_equal(ledger_used(l, &b, NOW), 9);
    b.account = 1;
    assert_int_equal(ledger_used(l, &b, NOW), 19);
    ledger_settle(l, &held, &s);
    assert_int_equal(ledger_used(l, &b, NOW), 10);
    // Another team's window begins; those that nobody invented stay.
    struct ledger_stats stats;
    ask.budgets = &team;
    for (uint64_t i = 8; i < 8 + ACCOUNTS_REGION - 1; i++) {
        team.account = i;
        assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_OK);
        ledger_settle(l, &t, &s);
    }
    team.account = 99;
    ask.budgets = &b;
    b.account = 5;
    assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_LIMIT);
    assert_int_equal(no.kind, LEDGER_FULL);
    team.account = 8;
    assert_int_equal(ledger_used(l, &team, NOW), 1);
    ledger_stats(l, &stats);
    assert_int_equal(stats.accounts_used, ACCOUNTS_REGION);
    ledger_close(l);
}

// A session that is drawn on lives on, one that is left alone is forgotten.
static void test_a_life_ends_when_it_is_idle(void **state)
{
    (void)state;
    struct ledger *l = open_memory(ACCOUNTS_REGION);
    struct ledger_refusal no = {0};
    struct ledger_ticket t;
    struct ledger_budget b = hard(1, IMAGE_UNIT_NUSD, IMAGE_PER_LIFE, 10);
    uint64_t now = NOW;
    for (int day = 0; day < 5; day++, now += DAY - SECOND) {
        struct ledger_ask ask = ask_for(2, &b, 1, now);
        struct ledger_settled s = took(2, now);
        assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_OK);
        ledger_settle(l, &t, &s);
    }
    // A flood of others does not push it out while it is drawn on.
    for (uint64_t i = 0; i < 3 * ACCOUNTS_REGION; i++) {
        struct ledger_budget other = hard(100 + i, IMAGE_UNIT_NUSD, IMAGE_PER_LIFE, 10);
        struct ledger_ask ask = ask_for(2, &other, 1, now);
        struct ledger_settled s = took(2, now);
        if (ledger_reserve(l, &ask, &t, &no) == RESULT_OK)
            ledger_settle(l, &t, &s);
        now += SECOND / 1000;
        ask = ask_for(2, &b, 1, now);
        assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_LIMIT);
    }
    struct ledger_ask ask = ask_for(2, &b, 1, now);
    assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_LIMIT);
    assert_int_equal(no.kind, LEDGER_SPENT);
    ledger_close(l);
}

static void test_paced_budgets_get_dearer_and_cheaper_again(void **state)
{
    (void)state;
    struct ledger *l = open_memory(0);
    struct ledger_budget b = hard(1, IMAGE_UNIT_UJ, IMAGE_PER_HOUR, 3600 * 100);
    b.hard = false;
    struct budget_state seen;
    uint64_t begin = window_begin(IMAGE_PER_HOUR, window_number(IMAGE_PER_HOUR, NOW));
    // One attempt a second: 100 uJ each would be just right.
    double dear = 0;
    for (int i = 0; i < 200; i++) {
        uint64_t now = begin + (uint64_t)(i + 1) * SECOND;
        struct ledger_ask ask = ask_for(1000000, &b, 1, now);
        struct ledger_ticket t;
        struct ledger_refusal no;
        struct ledger_settled s = took(1000000, now);
        s.took.of[IMAGE_UNIT_UJ] = i < 100 ? 300 : 10;
        assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_OK);
        ledger_settle(l, &t, &s);
        ledger_budget_states(l, &b, 1, now, &seen);
        if (i == 99)
            dear = seen.price_nusd;
    }
    assert_true(dear > 1000);
    assert_true(seen.price_nusd < dear);
    assert_int_equal(seen.left, 3600 * 100 - 100 * 300 - 100 * 10);
    // It never refuses, and its pace goes on in the next window.
    b.limit = 1;
    uint64_t next = begin + 3600 * SECOND;
    struct ledger_ask ask = ask_for(1000000, &b, 1, next);
    struct ledger_ticket t;
    struct ledger_refusal no;
    assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_OK);
    struct ledger_settled s = took(1000000, next);
    s.took.of[IMAGE_UNIT_UJ] = 300;
    ledger_settle(l, &t, &s);
    ledger_budget_states(l, &b, 1, next, &seen);
    assert_true(seen.price_nusd > 0);
    ledger_close(l);
}

// Replicas: each holds a slice and asks a common store for more; the budget is not exceeded.
struct lease {
    int64_t *common; // not yet leased
    int64_t held;
};

static int64_t leased(void *context, const struct ledger_budget *b, uint64_t window, int64_t used)
{
    struct lease *lease = context;
    (void)b, (void)window;
    if (lease->held - used < 10 && *lease->common >= 25) {
        *lease->common -= 25;
        lease->held += 25;
    }
    return lease->held;
}

static void test_replicas_lease_slices(void **state)
{
    (void)state;
    int64_t common = 100;
    struct lease leases[2] = {{&common, 0}, {&common, 0}};
    struct ledger *l[2];
    struct ledger_budget b = hard(1, IMAGE_UNIT_NUSD, IMAGE_PER_DAY, 100);
    struct ledger_ask ask = ask_for(7, &b, 1, NOW);
    struct ledger_settled s = took(7, NOW);
    int went = 0;
    for (int i = 0; i < 2; i++) {
        struct buf why;
        buf_init(&why, 100);
        struct ledger_options o = {.now_us = NOW, .source = {leased, &leases[i]}};
        assert_int_equal(ledger_open(&l[i], &o, &why), RESULT_OK);
        buf_deinit(&why);
    }
    for (int i = 0; i < 100; i++) {
        struct ledger_ticket t;
        struct ledger_refusal no;
        if (ledger_reserve(l[i % 2], &ask, &t, &no) == RESULT_OK) {
            ledger_settle(l[i % 2], &t, &s);
            went++;
        }
    }
    int64_t sum = ledger_used(l[0], &b, NOW) + ledger_used(l[1], &b, NOW);
    assert_int_equal(sum, went * 7);
    assert_true(sum <= 100 && sum >= 85);
    ledger_close(l[0]);
    ledger_close(l[1]);
}

enum { THREADS = 64, ROUNDS = 400, BOUND = 13 };

struct crowd {
    struct ledger *ledger;
    struct ledger_budget budgets[3];
    _Atomic int64_t flying, most, taken;
    _Atomic uint64_t clock;
    pthread_barrier_t start;
};

struct member {
    struct crowd *crowd;
    uint64_t number;
    uint32_t granted;
};

static void *crowd_run(void *arg)
{
    struct member *m = arg;
    struct crowd *c = m->crowd;
    struct rng rng;
    rng_seed(&rng, 100 + m->number);
    pthread_barrier_wait(&c->start);
    for (int i = 0; i < ROUNDS; i++) {
        struct ledger_budget b[4];
        memcpy(b, c->budgets, sizeof c->budgets);
        // Sessions come and go, so that entries are claimed and taken over while others are drawn on.
        uint64_t now = NOW + atomic_fetch_add(&c->clock, 1) * SECOND;
        b[3] = hard(1000 + rng_below(&rng, 300), IMAGE_UNIT_CALLS, IMAGE_PER_MINUTE, 1000000);
        struct ledger_ask ask = ask_for(BOUND, b, 4, now);
        struct ledger_ticket t;
        struct ledger_refusal no;
        if (ledger_reserve(c->ledger, &ask, &t, &no) != RESULT_OK)
            continue;
        int64_t flying = atomic_fetch_add(&c->flying, BOUND) + BOUND;
        int64_t most = atomic_load(&c->most);
        while (flying > most && !atomic_compare_exchange_weak(&c->most, &most, flying))
            ;
        m->granted++;
        int64_t took_now = (int64_t)rng_below(&rng, BOUND + 1);
        struct ledger_settled s = took(took_now, now);
        atomic_fetch_add(&c->flying, took_now - BOUND);
        atomic_fetch_add(&c->taken, took_now);
        ledger_settle(c->ledger, &t, &s);
    }
    return NULL;
}

// 64 threads: what is settled and reserved at any moment stays within the limit, and in the end the accounts hold what
// was taken, to the unit.
static void test_a_crowd_never_overspends(void **state)
{
    (void)state;
    enum { LIMIT = 50000 };
    struct crowd c = {.ledger = open_memory(ACCOUNTS_REGION)};
    for (uint64_t i = 0; i < 3; i++)
        c.budgets[i] = hard(i + 1, IMAGE_UNIT_NUSD, IMAGE_PER_MONTH, LIMIT + (int64_t)i * 100);
    pthread_t threads[THREADS];
    struct member members[THREADS];
    pthread_barrier_init(&c.start, NULL, THREADS);
    for (uint64_t i = 0; i < THREADS; i++) {
        members[i] = (struct member){.crowd = &c, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, crowd_run, &members[i]), 0);
    }
    uint32_t granted = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        granted += members[i].granted;
    }
    pthread_barrier_destroy(&c.start);
    assert_true(atomic_load(&c.most) <= LIMIT);
    assert_true(granted > 0);
    int64_t taken = atomic_load(&c.taken);
    assert_true(taken > LIMIT - 2 * BOUND && taken <= LIMIT);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ledger_used(c.ledger, &c.budgets[i], NOW), taken);
    struct ledger_stats stats;
    ledger_stats(c.ledger, &stats);
    assert_int_equal(stats.open, 0);
    assert_int_equal(stats.settled, granted);
    ledger_close(c.ledger);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct ledger *l = NULL;
        struct buf why;
        buf_init(&why, 1000);
        assert_non_null(buf_reserve(&why, 500));
        struct ledger_options o = {.now_us = NOW};
        alloc_fail_at(n, 0);
        enum result r = ledger_open(&l, &o, &why);
        alloc_fail_at(0, 0);
        buf_deinit(&why);
        if (r == RESULT_OK) {
            ledger_close(l);
            assert_true(n > 4);
            return;
        }
        assert_int_equal(r, RESULT_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows_are_those_of_the_calendar),
        cmocka_unit_test(test_a_hard_budget_bears_its_limit_and_no_more),
        cmocka_unit_test(test_all_budgets_or_none),
        cmocka_unit_test(test_bounds_that_are_not_known),
        cmocka_unit_test(test_a_request_budget_has_no_account),
        cmocka_unit_test(test_limits_change_while_attempts_are_under_way),
        cmocka_unit_test(test_clock_jumps),
        cmocka_unit_test(test_a_full_table_says_so_and_expired_accounts_make_room),
        cmocka_unit_test(test_invented_sessions_shut_nobody_out),
        cmocka_unit_test(test_invented_sessions_of_a_day_shut_nobody_out),
        cmocka_unit_test(test_a_life_ends_when_it_is_idle),
        cmocka_unit_test(test_paced_budgets_get_dearer_and_cheaper_again),
        cmocka_unit_test(test_replicas_lease_slices),
        cmocka_unit_test(test_a_crowd_never_overspends),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
