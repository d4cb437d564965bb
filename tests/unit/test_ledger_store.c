// The store by itself: one of the first version is converted and says the same afterwards, rows that are no longer kept
// live on in sums, and what was committed is never put twice.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "ledger/report.h"
#include "ledger/store.h"
#include "support/ledger_rig.h"

// clang-format off
#define UNITS(p, type)                                                                             \
    p "_nusd" type ", " p "_uj" type ", " p "_ug" type ", " p "_ms" type ", " p "_tok" type ", "     \
    p "_calls" type ", " p "_requests" type

// As it was written by the first version.
static const char FIRST[] =
    "PRAGMA journal_mode = WAL;"
    "CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);"
    "CREATE TABLE attempt (id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, end_us INTEGER NOT NULL,"
    " decision TEXT, attempt INTEGER NOT NULL, key INTEGER, caller INTEGER, team INTEGER,"
    " tenant INTEGER, session TEXT, loop TEXT, route INTEGER, model INTEGER, effort INTEGER,"
    " place INTEGER, policy INTEGER, end INTEGER NOT NULL, estimated INTEGER NOT NULL,"
    " cut INTEGER NOT NULL, reason INTEGER, input_tok INTEGER NOT NULL,"
    " cached_tok INTEGER NOT NULL, output_tok INTEGER NOT NULL, "
    UNITS("took", " INTEGER") ", " UNITS("expected", " INTEGER") ", "
    UNITS("bound", " INTEGER") ", " UNITS("baseline", " INTEGER") ");"
    "CREATE INDEX attempt_at ON attempt (at_us);"
    "CREATE TABLE account (account INTEGER, window INTEGER, number INTEGER, unit INTEGER NOT NULL,"
    " hard INTEGER NOT NULL, most INTEGER, used INTEGER NOT NULL, expires_us INTEGER NOT NULL,"
    " name TEXT, holder TEXT, count INTEGER NOT NULL, lambda REAL NOT NULL, ema REAL NOT NULL,"
    " ema_nusd REAL NOT NULL, share REAL NOT NULL,"
    " PRIMARY KEY (account, window, number)) WITHOUT ROWID;"
    "CREATE VIEW attempts AS SELECT 1;"
    "PRAGMA user_version = 1; PRAGMA application_id = 1296843847;"
    "INSERT INTO name (text) VALUES ('quick'), ('qwen3-8b'), ('ada'), ('engines'), ('free'),"
    " ('k-4Fz0aQ9x'), ('the stream ended'),"
    " ('abcd000000000000000000000000000000000000000000000000000000000012');"
    // 5,000 rows: of every third the tokens are not the sum, of every fifth the energy is not known, every seventh broke.
    "WITH RECURSIVE n(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < 5000)"
    "INSERT INTO attempt SELECT 576460752303423488 + n, 1795293015000000 + n * 1000,"
    " 1795293015000000 + n * 1000 + n, 'd-' || n, 1 + n % 2, 6, 3, 4, 5, 's-' || (n % 40),"
    " iif(n % 4, NULL, 'loop'), 1, 2, NULL, NULL, 8, iif(n % 7, 0, 2), n % 2, 0,"
    " iif(n % 7, NULL, 7), 100 + n, 10, n % 50,"
    " n, iif(n % 5, n * 3, NULL), iif(n % 5, n * 2, NULL), n % 900,"
    " iif(n % 3, 100 + n + n % 50, n), 1, iif(n % 2, 1, 0),"
    " n + 1, NULL, NULL, NULL, 300, 1, 1, n + 2, NULL, NULL, iif(n % 6, NULL, 30000), 400, 1, 1,"
    " iif(n % 7, n * 10, NULL), iif(n % 7, n * 20, 0), NULL, NULL, NULL, NULL, NULL FROM n;"
    "INSERT INTO account VALUES (1, 4, 682, 0, 1, 100000, 77, 1798761600000000,"
    " '5 usd/month hard', 'tenant free', 3, 0, 0, 0, 0);";
// clang-format on

static void make_first(const struct rig *r)
{
    char path[PATH_MAX];
    sqlite3 *db = NULL;
    rig_path(r, "ledger.db", path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, FIRST, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_a_store_of_the_first_version_is_converted(void **state)
{
    (void)state;
    struct rig r;
    struct buf why;
    struct report *report = NULL;
    rig_open(&r);
    make_first(&r);
    buf_init(&why, 1000);
    assert_int_equal(report_open(&report, r.folder, &why), RESULT_VERSION);
    assert_true(slice_find(buf_slice(&why), SLICE("`merit serve` converts it")) >= 0);
    buf_deinit(&why);
    struct ledger *l = rig_ledger(&r, NULL);
    assert_non_null(l);
    assert_true(rig_told(&r, "rows that were converted: 5000"));
    struct ledger_budget b = rig_budget(1, 100000);
    assert_int_equal(ledger_used(l, &b, RIG_NOW), 77);
    // Tickets go on behind the old ones.
    assert_true(rig_one(l, &b, 50, 30));
    ledger_close(l);
    assert_int_equal(rig_number(&r, "PRAGMA user_version"), STORE_VERSION);
    static const struct {
        const char *sql;
        int64_t is;
    } cases[] = {
        {"SELECT count(*) FROM attempts WHERE row <= 5000", 5000},
        {"SELECT count(DISTINCT id) FROM attempts", 5001},
        {"SELECT max(row) = 5001 AND max(id) > 576460752303428488 FROM attempts", 1},
        {"SELECT count(*) FROM sqlite_master WHERE name IN ('attempt_1', 'attempt_at')", 0},
        {"SELECT count(*) FROM span", 2},
        // n is the ticket less what is before it.
        {"SELECT count(*) FROM attempts, (SELECT 576460752303423488 AS z) WHERE row <= 5000 AND"
         " at_us = 1795293015000000 + (id - z) * 1000 AND end_us - at_us = id - z AND"
         " decision = 'd-' || (id - z) AND attempt = 1 + (id - z) % 2 AND key = 'k-4Fz0aQ9x' AND"
         " caller = 'ada' AND team = 'engines' AND tenant = 'free' AND"
         " session = 's-' || ((id - z) % 40) AND loop IS iif((id - z) % 4, NULL, 'loop') AND"
         " route = 'quick' AND model = 'qwen3-8b' AND effort IS NULL AND place IS NULL AND"
         " substr(policy, 1, 5) = 'abcd0' AND substr(policy, 63) = '12' AND"
         " end = iif((id - z) % 7, 'answered', 'broken') AND estimated = (id - z) % 2 AND NOT cut"
         " AND reason IS iif((id - z) % 7, NULL, 'the stream ended')",
         5000},
        {"SELECT count(*) FROM attempts, (SELECT 576460752303423488 AS z) WHERE row <= 5000 AND"
         " input_tok = 100 + id - z AND cached_tok = 10 AND output_tok = (id - z) % 50 AND"
         " took_nusd = id - z AND took_uj IS iif((id - z) % 5, (id - z) * 3, NULL) AND"
         " took_ug IS iif((id - z) % 5, (id - z) * 2, NULL) AND took_ms = (id - z) % 900 AND"
         " took_tok = iif((id - z) % 3, input_tok + output_tok, id - z) AND took_calls = 1 AND"
         " took_requests = (id - z) % 2 AND expected_nusd = id - z + 1 AND expected_uj IS NULL AND"
         " expected_ms IS NULL AND expected_tok = 300 AND expected_calls = 1 AND"
         " bound_nusd = id - z + 2 AND bound_ms IS iif((id - z) % 6, NULL, 30000) AND"
         " bound_tok = 400 AND bound_requests = 1 AND"
         " baseline_nusd IS iif((id - z) % 7, (id - z) * 10, NULL) AND"
         " baseline_uj = iif((id - z) % 7, (id - z) * 20, 0) AND baseline_ms IS NULL",
         5000},
    };
    for (size_t i = 0; i < MERIT_COUNT(cases); i++)
        if (rig_number(&r, cases[i].sql) != cases[i].is)
            fail_msg("%lld: %s", (long long)rig_number(&r, cases[i].sql), cases[i].sql);
    rig_close(&r);
}

// A disk that is full on the way leaves the old store as it is, serves, and converts later.
static int convert_on_a_full_disk(struct rig *r)
{
    struct ledger_budget b = rig_budget(1, 1000000);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {.rlim_cur = 700000, .rlim_max = RLIM_INFINITY};
    if (setrlimit(RLIMIT_FSIZE, &limit))
        return 1;
    struct ledger *l = rig_ledger(r, NULL);
    if (!l || !rig_told(r, "ledger-store-failed") || rig_told(r, "ledger-store-converted"))
        return 2;
    if (!rig_one(l, &b, 50, 30) || ledger_flush(l, 50))
        return 3;
    if (rig_number(r, "PRAGMA user_version") != 1 ||
        rig_number(r, "SELECT count(*) FROM attempt") != 5000)
        return 4;
    limit.rlim_cur = RLIM_INFINITY;
    if (setrlimit(RLIMIT_FSIZE, &limit))
        return 5;
    for (int i = 0; i < 500 && !ledger_flush(l, 20); i++)
        ;
    int64_t used = ledger_used(l, &b, RIG_NOW);
    ledger_close(l);
    return used == 77 + 30 ? 0 : 6;
}

static void test_a_conversion_that_breaks_off(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r);
    make_first(&r);
    pid_t child = fork();
    if (child == 0)
        _exit(convert_on_a_full_disk(&r));
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(rig_number(&r, "SELECT count(*) FROM attempt"), 5001);
    assert_int_equal(rig_number(&r, "SELECT used FROM account"), 107);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_store_of_the_first_version_is_converted),
        cmocka_unit_test(test_a_conversion_that_breaks_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
