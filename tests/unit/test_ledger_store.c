// The store by itself: one of the first version is converted and says the same afterwards, rows that are no longer kept
// live on in sums, and what was committed is never put twice.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
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

// --- keeping less

// A clock that a test moves under the store's thread.
struct moved {
    struct clock clock;
    _Atomic uint64_t mono_us, wall_us;
};

static uint64_t moved_mono(const struct clock *c)
{
    return MERIT_CONTAINER((struct clock *)(uintptr_t)c, struct moved, clock)->mono_us;
}

static uint64_t moved_wall(const struct clock *c)
{
    return MERIT_CONTAINER((struct clock *)(uintptr_t)c, struct moved, clock)->wall_us;
}

static void move(struct moved *m, uint64_t us)
{
    m->mono_us += us;
    m->wall_us += us;
}

struct lines {
    uint32_t by_count, count;
    int64_t attempts;
    char text[65536];
};

static void put_amounts(char *text, size_t size, size_t *n, const struct ledger_amounts *a)
{
    for (int i = 0; i < LEDGER_UNITS; i++)
        *n += (size_t)snprintf(text + *n, size - *n, " %lld", (long long)a->of[i]);
}

static bool each_line(void *context, const struct report_sum *s)
{
    struct lines *l = context;
    size_t n = strlen(l->text), size = sizeof l->text;
    for (uint32_t i = 0; i < l->by_count; i++)
        n += (size_t)snprintf(l->text + n, size - n, "%.*s ", SLICE_FMT(s->of[i]));
    n += (size_t)snprintf(l->text + n, size - n, "%lld %lld %lld %lld %lld %lld %lld %lld |",
                          (long long)s->attempts, (long long)s->answered, (long long)s->estimated,
                          (long long)s->unconfirmed, (long long)s->input_tok,
                          (long long)s->cached_tok, (long long)s->output_tok,
                          (long long)s->compared);
    put_amounts(l->text, size, &n, &s->took);
    put_amounts(l->text, size, &n, &s->expected);
    put_amounts(l->text, size, &n, &s->baseline);
    put_amounts(l->text, size, &n, &s->compared_took);
    n += (size_t)snprintf(l->text + n, size - n, "\n");
    assert_true(n < size);
    l->count++;
    l->attempts += s->attempts;
    return true;
}

static void report_lines(const struct rig *r, struct report_span span, const enum report_by *by,
                         uint32_t by_count, struct lines *out)
{
    struct report *report = NULL;
    struct buf why;
    buf_init(&why, 1000);
    *out = (struct lines){.by_count = by_count};
    assert_int_equal(report_open(&report, r->folder, &why), RESULT_OK);
    assert_int_equal(report_sums(report, span, by, by_count, each_line, out), RESULT_OK);
    report_close(report);
    buf_deinit(&why);
}

#define DAY_US (UINT64_C(86400) * RIG_SECOND)

// Attempt n, of day n / 2000: three models, two ends, what is known and what is not.
static void settle_some(struct ledger *l, uint64_t n, uint64_t begin_us)
{
    struct ledger_ticket t;
    struct ledger_refusal no;
    const struct ledger_budget b = rig_budget(9, INT64_C(1) << 50);
    struct ledger_ask ask = rig_ask(100, &b, 1, begin_us + n / 2000 * DAY_US + n * 1000000);
    const struct slice models[] = {SLICE("small"), SLICE("large"), SLICE_EMPTY};
    ask.who.model = models[n % 3];
    ask.expected.of[IMAGE_UNIT_UJ] = n % 4 ? (int64_t)n : -1;
    struct ledger_settled s = rig_took((int64_t)n, ask.now_us + 5000);
    s.end = n % 11 ? LEDGER_ANSWERED : LEDGER_FAILED;
    s.estimated = n % 6 == 0;
    s.took.of[IMAGE_UNIT_UJ] = n % 7 ? (int64_t)n : -1;
    s.took.of[IMAGE_UNIT_TOK] = n % 2 ? 9 : n % 4 ? 100 : -1;
    s.baseline.of[IMAGE_UNIT_NUSD] = n % 3 ? (int64_t)n * 2 : -1;
    s.baseline.of[IMAGE_UNIT_UJ] = n % 5 ? 1 : -1;
    for (int i = 0; i < 5000 && ledger_reserve(l, &ask, &t, &no); i++)
        usleep(1000); // the journal grows
    ledger_settle(l, &t, &s);
}

static void test_old_rows_become_sums_that_say_the_same(void **state)
{
    (void)state;
    enum { COUNT = 10000, KEPT_DAYS = 2 };
    static const enum report_by asked[][3] = {
        {REPORT_MODEL, REPORT_BY_COUNT_},
        {REPORT_DAY, REPORT_MODEL, REPORT_END},
        {REPORT_MONTH, REPORT_TENANT, REPORT_ROUTE},
        {REPORT_BY_COUNT_},
    };
    static struct lines before[MERIT_COUNT(asked)], after;
    const struct report_span all = {0, INT64_MAX};
    struct rig r;
    rig_open(&r);
    const uint64_t begin = RIG_NOW / DAY_US * DAY_US;
    struct moved m = {.clock = {.mono_us = moved_mono, .wall_us = moved_wall},
                      .mono_us = 5 * RIG_SECOND,
                      .wall_us = begin + 5 * DAY_US};
    r.options.keep_days = KEPT_DAYS;
    r.options.clock = &m.clock;
    r.options.now_us = begin;
    struct ledger *l = rig_ledger(&r, NULL);
    for (uint64_t n = 0; n < COUNT; n++)
        settle_some(l, n, begin);
    assert_true(ledger_flush(l, 10000));
    for (size_t i = 0; i < MERIT_COUNT(asked); i++) {
        uint32_t count = 0;
        while (count < 3 && asked[i][count] != REPORT_BY_COUNT_)
            count++;
        report_lines(&r, all, asked[i], count, &before[i]);
        assert_int_equal(before[i].attempts, COUNT);
    }
    assert_int_equal(rig_number(&r, "SELECT count(*) FROM attempt"), COUNT); // none in an hour
    const int64_t pages = rig_number(&r, "PRAGMA page_count");
    // The clock leaps: nobody believes it before it went on for an hour.
    m.wall_us += 300 * DAY_US;
    move(&m, 70 * 60 * RIG_SECOND);
    settle_some(l, COUNT, begin);
    assert_true(ledger_flush(l, 10000));
    usleep(50000);
    assert_int_equal(rig_number(&r, "SELECT count(*) FROM attempt"), COUNT + 1);
    m.wall_us -= 300 * DAY_US;
    for (int i = 0; i < 3000 && !rig_told(&r, "ledger-rows-summed"); i++) {
        move(&m, 10 * 60 * RIG_SECOND / 100);
        settle_some(l, COUNT + 2, begin);
        assert_true(ledger_flush(l, 10000));
    }
    assert_true(rig_told(&r, "rows that were kept for 2 days are sums of days now"));
    ledger_close(l);
    // Days 0 to 2 of 5 are sums, and nothing else.
    char sql[300];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM attempt WHERE at_us < %llu",
             (unsigned long long)(begin + 3 * DAY_US));
    assert_int_equal(rig_number(&r, sql), 0);
    assert_int_equal(rig_number(&r, "SELECT sum(attempts) FROM day"), COUNT / 5 * 3);
    assert_true(rig_number(&r, "SELECT count(*) FROM attempt") >= COUNT / 5 * 2);
    assert_true(rig_number(&r, "PRAGMA freelist_count") > 0);
    assert_true(rig_number(&r, "PRAGMA page_count") <= pages * 2);
    const struct report_span early = {0, begin + 3 * DAY_US};
    static const enum report_by day[] = {REPORT_DAY};
    report_lines(&r, early, day, 1, &after);
    assert_int_equal(after.count, 3);
    assert_int_equal(after.attempts, COUNT / 5 * 3);
    static const enum report_by hour[] = {REPORT_HOUR, REPORT_SESSION};
    report_lines(&r, early, hour, 2, &after);
    assert_int_equal(after.count, 3);
    assert_non_null(strstr(after.text, "2026-11-21  2000 "));
    // Half of day 1 is none of it: a span has the sums of the days that begin in it.
    const struct report_span half = {begin + DAY_US + 1, begin + 2 * DAY_US + 1};
    report_lines(&r, half, day, 1, &after);
    assert_int_equal(after.count, 1);
    assert_non_null(strstr(after.text, "2026-11-23 2000 "));
    rig_close(&r);
}

// Sums beside what rows said, of the very same attempts, by everything that sums can tell.
static void test_sums_are_those_of_the_rows(void **state)
{
    (void)state;
    enum { COUNT = 10000 };
    static const enum report_by asked[][4] = {
        {REPORT_MODEL, REPORT_BY_COUNT_},
        {REPORT_DAY, REPORT_MODEL, REPORT_END, REPORT_CALLER},
        {REPORT_MONTH, REPORT_TENANT, REPORT_ROUTE, REPORT_KEY},
        {REPORT_TEAM, REPORT_EFFORT, REPORT_PLACE, REPORT_BY_COUNT_},
        {REPORT_BY_COUNT_},
    };
    static struct lines before, after;
    const struct report_span all = {0, INT64_MAX};
    const uint64_t begin = RIG_NOW / DAY_US * DAY_US;
    struct rig r;
    struct buf why;
    char path[PATH_MAX];
    rig_open(&r);
    struct ledger *l = rig_ledger(&r, NULL);
    for (uint64_t n = 0; n < COUNT; n++)
        settle_some(l, n, begin);
    ledger_close(l);
    for (uint64_t days = 0; days <= 6; days++) {
        for (size_t i = 0; i < MERIT_COUNT(asked); i++) {
            uint32_t count = 0;
            while (count < 4 && asked[i][count] != REPORT_BY_COUNT_)
                count++;
            report_lines(&r, all, asked[i], count, &before);
            // Again, once the rows before the day are sums.
            struct store *s = NULL;
            uint64_t gone = 1;
            buf_init(&why, 1000);
            rig_path(&r, "ledger.db", path);
            assert_int_equal(store_open(&s, path, &why), RESULT_OK);
            while (gone)
                assert_int_equal(store_keep(s, begin + days * DAY_US, &gone), RESULT_OK);
            uint64_t last = store_last_id(s);
            store_close(s);
            buf_deinit(&why);
            report_lines(&r, all, asked[i], count, &after);
            assert_int_equal(after.attempts, COUNT);
            assert_string_equal(after.text, before.text);
            assert_true(last > 0);
        }
    }
    assert_int_equal(rig_number(&r, "SELECT count(*) FROM attempt"), 0);
    // Its tickets are remembered, and rows are found that come now.
    l = rig_ledger(&r, NULL);
    settle_some(l, 4, begin);
    ledger_close(l);
    const struct report_span there = {begin, begin + DAY_US};
    report_lines(&r, there, asked[0], 1, &after);
    assert_int_equal(after.attempts, COUNT / 5 + 1);
    rig_close(&r);
}

// --- what is under way

struct budgets {
    char text[2000];
};

static bool each_account(void *context, const struct report_budget *b)
{
    struct budgets *out = context;
    size_t n = strlen(out->text);
    snprintf(out->text + n, sizeof out->text - n, "%.*s: %lld used, %lld reserved of %lld\n",
             SLICE_FMT(b->holder), (long long)b->used, (long long)b->reserved, (long long)b->limit);
    return true;
}

static const char *budgets_of(const struct rig *r, struct budgets *out)
{
    struct report *report = NULL;
    struct flight f;
    struct buf why;
    *out = (struct budgets){0};
    buf_init(&why, 1000);
    assert_int_equal(flight_read(&f, r->folder), RESULT_OK);
    assert_int_equal(report_open(&report, r->folder, &why), RESULT_OK);
    assert_int_equal(report_budgets(report, &f, RIG_NOW, each_account, out), RESULT_OK);
    flight_free(&f);
    report_close(report);
    buf_deinit(&why);
    return out->text;
}

static void copy_file(const char *from, const char *to)
{
    struct buf b;
    buf_init(&b, 64 << 20);
    assert_int_equal(file_read(from, &b), RESULT_OK);
    assert_int_equal(file_replace(to, buf_slice(&b), 0600), RESULT_OK);
    buf_deinit(&b);
}

static sqlite3 *lock_store(const struct rig *r)
{
    char path[PATH_MAX];
    sqlite3 *db = NULL;
    rig_path(r, "ledger.db", path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    return db;
}

// Beside a ledger that is at work, and when it is gone: every attempt counts once, wherever it is.
static void test_budgets_show_what_is_under_way(void **state)
{
    (void)state;
    struct rig r;
    struct budgets b;
    struct ledger_ticket t[2];
    struct ledger_refusal no;
    char journal[PATH_MAX], kept[PATH_MAX];
    rig_open(&r);
    rig_path(&r, "journal.0", journal);
    rig_path(&r, "kept", kept);
    struct ledger *l = rig_ledger(&r, NULL);
    struct ledger_budget mine = rig_budget(1, 1000), theirs = rig_budget(2, 500);
    theirs.holder = SLICE("tenant pro");
    assert_true(rig_one(l, &mine, 50, 30));
    assert_true(ledger_flush(l, 5000));
    assert_string_equal(budgets_of(&r, &b), "tenant free: 30 used, 0 reserved of 1000\n");
    struct ledger_ask ask = rig_ask(70, &mine, 1, RIG_NOW);
    assert_int_equal(ledger_reserve(l, &ask, &t[0], &no), RESULT_OK);
    assert_string_equal(budgets_of(&r, &b), "tenant free: 30 used, 70 reserved of 1000\n");
    // Of one that nothing is stored of the amounts are known, not whose they are.
    ask = rig_ask(90, &theirs, 1, RIG_NOW);
    assert_int_equal(ledger_reserve(l, &ask, &t[1], &no), RESULT_OK);
    assert_string_equal(budgets_of(&r, &b), "tenant free: 30 used, 70 reserved of 1000\n"
                                            ": 0 used, 90 reserved of -1\n");
    // Settled, and not in the store.
    sqlite3 *db = lock_store(&r);
    struct ledger_settled s = rig_took(60, RIG_NOW);
    ledger_settle(l, &t[0], &s);
    assert_false(ledger_flush(l, 100));
    assert_string_equal(budgets_of(&r, &b), "tenant free: 90 used, 0 reserved of 1000\n"
                                            ": 0 used, 90 reserved of -1\n");
    copy_file(journal, kept);
    sqlite3_close(db);
    for (int i = 0; i < 500 && !ledger_flush(l, 20); i++)
        ;
    assert_string_equal(budgets_of(&r, &b), "tenant free: 90 used, 0 reserved of 1000\n"
                                            ": 0 used, 90 reserved of -1\n");
    ledger_close(l);
    // The process died between its commit and the freeing of the slot.
    copy_file(kept, journal);
    assert_string_equal(budgets_of(&r, &b), "tenant free: 90 used, 0 reserved of 1000\n"
                                            ": 0 used, 90 reserved of -1\n");
    l = rig_ledger(&r, NULL); // settles the open one at its bound
    ledger_close(l);
    assert_string_equal(budgets_of(&r, &b), ": 90 used, 0 reserved of -1\n"
                                            "tenant free: 90 used, 0 reserved of 1000\n");
    rig_close(&r);
}

// --- faults

static bool wait_for(struct rig *r, const char *text)
{
    for (int i = 0; i < 3000; i++) {
        if (rig_told(r, text))
            return true;
        usleep(10000);
    }
    return false;
}

// Another process has the store for a while, wholly. MERIT_LEDGER_LOCKED_S sets how long (1).
static void test_a_store_that_another_process_locks(void **state)
{
    (void)state;
    struct rig r;
    struct ledger_stats stats;
    struct ledger_budget b = rig_budget(1, INT64_C(1) << 50);
    char path[PATH_MAX];
    const char *asked = getenv("MERIT_LEDGER_LOCKED_S");
    unsigned seconds = asked ? (unsigned)atoi(asked) : 1;
    int ready[2], go[2];
    char byte;
    rig_open(&r);
    rig_path(&r, "ledger.db", path);
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(go), 0);
    // It is there before the store is opened: what SQLite knows of its own locks is not to be inherited.
    pid_t child = fork();
    if (child == 0) {
        sqlite3 *db = NULL;
        if (read(go[0], &byte, 1) != 1 || sqlite3_open(path, &db) ||
            sqlite3_busy_timeout(db, 5000) ||
            sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL) || write(ready[1], "x", 1) != 1)
            _exit(1);
        usleep(seconds * 1000000);
        _exit(0); // as if it had been killed
    }
    struct ledger *l = rig_ledger(&r, NULL);
    assert_true(rig_one(l, &b, 50, 30));
    assert_true(ledger_flush(l, 5000));
    assert_int_equal(write(go[1], "x", 1), 1);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    uint64_t until = clock_mono_us(&clock_system) + seconds * RIG_SECOND, count = 1;
    while (clock_mono_us(&clock_system) < until) {
        for (int i = 0; i < 5; i++)
            count += rig_one_soon(l, &b, 50, 30);
        usleep(10000);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    if (!rig_told(&r, "ledger-store-failed"))
        fail_msg("told: %s", r.events);
    assert_true(rig_told(&r, "(locked: "));
    assert_true(wait_for(&r, "ledger-store-works"));
    for (int i = 0; i < 500 && !ledger_flush(l, 20); i++)
        ;
    ledger_stats(l, &stats);
    assert_int_equal(stats.stored, count);
    assert_int_equal(stats.refused[LEDGER_BACKLOG], 0);
    assert_int_equal(ledger_used(l, &b, RIG_NOW), (int64_t)count * 30);
    ledger_close(l);
    assert_int_equal(rig_number(&r, "SELECT count(*) FROM attempt"), count);
    assert_int_equal(rig_number(&r, "SELECT used FROM account"), count * 30);
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(go[i]);
    }
    rig_close(&r);
}

static off_t size_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static void fill_many(struct rig *r, int count)
{
    struct ledger_budget b = rig_budget(1, INT64_C(1) << 50);
    struct ledger *l = rig_ledger(r, NULL);
    for (int i = 0; i < count; i++)
        assert_true(rig_one_soon(l, &b, 50, 30));
    ledger_close(l);
}

// Cut anywhere: it is served, what comes is in the journal, and it is said. Once the file is put away, all that the journal
// has is in a new one.
static void test_a_store_that_was_cut(void **state)
{
    (void)state;
    for (int tenth = 1; tenth < 10; tenth += 2) {
        struct rig r;
        char path[PATH_MAX];
        struct ledger_budget b = rig_budget(1, INT64_C(1) << 50);
        rig_open(&r);
        fill_many(&r, 3000);
        rig_path(&r, "ledger.db", path);
        assert_int_equal(truncate(path, size_of(path) * tenth / 10), 0);
        struct ledger *l = rig_ledger(&r, NULL);
        assert_non_null(l);
        for (int i = 0; i < 10; i++)
            assert_true(rig_one_soon(l, &b, 50, 30));
        (void)ledger_flush(l, 300);
        assert_true(wait_for(&r, "ledger-store-failed"));
        assert_true(rig_told(&r, "(damaged: "));
        ledger_close(l);
        unlink(path);
        l = rig_ledger(&r, NULL);
        assert_int_equal(ledger_used(l, &b, RIG_NOW), 300);
        assert_true(ledger_flush(l, 5000));
        assert_true(rig_told(&r, "ledger-store-behind"));
        ledger_close(l);
        assert_int_equal(rig_number(&r, "SELECT count(*) FROM attempt"), 10);
        assert_int_equal(rig_number(&r, "SELECT used FROM account"), 300);
        rig_close(&r);
    }
}

static int die_with_a_log(struct rig *r)
{
    struct ledger_budget b = rig_budget(1, INT64_C(1) << 50);
    struct ledger *l = rig_ledger(r, NULL);
    if (!l)
        return 1;
    for (int i = 0; i < 40; i++)
        if (!rig_one_soon(l, &b, 50, 30) || !ledger_flush(l, 5000))
            return 2;
    return 0; // without closing
}

// The log of transactions is cut: what is left of it is whole, and that rows are missing is said.
static void test_a_log_that_was_cut(void **state)
{
    (void)state;
    for (int part = 0; part < 4; part++) {
        struct rig r;
        char path[PATH_MAX];
        struct ledger_budget b = rig_budget(1, INT64_C(1) << 50);
        rig_open(&r);
        pid_t child = fork();
        if (child == 0)
            _exit(die_with_a_log(&r));
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        rig_path(&r, "ledger.db-wal", path);
        off_t size = size_of(path);
        // Its end is cut, its middle, its head; or nothing is.
        assert_int_equal(truncate(path, part ? size * (4 - part) / 4 - 1 : size), 0);
        struct ledger *l = rig_ledger(&r, NULL);
        assert_non_null(l);
        assert_int_equal(rig_told(&r, "ledger-store-behind"), part != 0);
        int64_t used = ledger_used(l, &b, RIG_NOW), rows = -1;
        assert_true(part ? used < 40 * 30 : used == 40 * 30);
        assert_true(rig_one(l, &b, 50, 30));
        ledger_close(l);
        rows = rig_number(&r, "SELECT count(*) FROM attempt");
        assert_int_equal(used + 30, rows * 30);
        assert_int_equal(rig_number(&r, "SELECT used FROM account"), rows * 30);
        assert_int_equal(rig_number(&r, "SELECT count(DISTINCT ticket) FROM attempt"), rows);
        rig_close(&r);
    }
}

// Reserved before the clock leaps, settled after: counted in the window that it was reserved in, and nowhere else.
static void test_clocks_that_leap_while_attempts_fly(void **state)
{
    (void)state;
    enum { FLY = 100 };
    static const int64_t leaps_days[] = {-1, 0, 31, -31, 400, 0};
    struct rig r;
    struct ledger_ticket t[MERIT_COUNT(leaps_days)][FLY];
    struct ledger_refusal no;
    struct ledger_budget b = rig_budget(1, 100 * 50 * FLY);
    rig_open(&r);
    b.window = IMAGE_PER_DAY;
    struct ledger *l = rig_ledger(&r, NULL);
    for (size_t k = 0; k < MERIT_COUNT(leaps_days); k++) {
        const uint64_t now = RIG_NOW + (uint64_t)leaps_days[k] * DAY_US;
        struct ledger_ask ask = rig_ask(50, &b, 1, now);
        for (int i = 0; i < FLY; i++)
            assert_int_equal(ledger_reserve(l, &ask, &t[k][i], &no), RESULT_OK);
        // Those of the last leap end now, by whatever the clock shows.
        for (int i = 0; k && i < FLY; i++) {
            struct ledger_settled s = rig_took(30, now);
            ledger_settle(l, &t[k - 1][i], &s);
        }
        assert_true(ledger_flush(l, 5000));
        if (k == 3) { // and a start in between, which settles at their bound those that fly
            r.options.now_us = now;
            ledger_close(l);
            l = rig_ledger(&r, NULL);
            assert_non_null(l);
            memset(t[k], 0, sizeof t[k]);
        }
    }
    ledger_close(l);
    r.options.now_us = RIG_NOW;
    l = rig_ledger(&r, NULL); // settles the last ones at their bound
    assert_non_null(l);
    ledger_close(l);
    static const struct {
        int64_t days, each;
    } is[] = {{-1, 30}, {0, 30 + 50}, {31, 30}, {-31, 50}, {400, 30}};
    for (size_t i = 0; i < MERIT_COUNT(is); i++) {
        char sql[100];
        snprintf(sql, sizeof sql, "SELECT used FROM account WHERE number = %llu",
                 (unsigned long long)(RIG_NOW / DAY_US + (uint64_t)is[i].days));
        assert_int_equal(rig_number(&r, sql), is[i].each * FLY);
    }
    assert_int_equal(rig_number(&r, "SELECT count(*) FROM attempt"), FLY * 6);
    assert_int_equal(rig_number(&r, "SELECT sum(took_nusd) FROM attempt"), FLY * (4 * 30 + 2 * 50));
    assert_int_equal(rig_number(&r, "SELECT sum(used) FROM account"), FLY * (4 * 30 + 2 * 50));
    // Each instant is found, though they are in no order.
    struct lines after;
    for (size_t i = 0; i < MERIT_COUNT(is); i++) {
        uint64_t day = (RIG_NOW + (uint64_t)is[i].days * DAY_US) / DAY_US * DAY_US;
        report_lines(&r, (struct report_span){day, day + DAY_US}, NULL, 0, &after);
        assert_int_equal(after.attempts, is[i].days ? FLY : 2 * FLY);
    }
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_store_of_the_first_version_is_converted),
        cmocka_unit_test(test_a_conversion_that_breaks_off),
        cmocka_unit_test(test_old_rows_become_sums_that_say_the_same),
        cmocka_unit_test(test_sums_are_those_of_the_rows),
        cmocka_unit_test(test_budgets_show_what_is_under_way),
        cmocka_unit_test(test_a_store_that_another_process_locks),
        cmocka_unit_test(test_a_store_that_was_cut),
        cmocka_unit_test(test_a_log_that_was_cut),
        cmocka_unit_test(test_clocks_that_leap_while_attempts_fly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
