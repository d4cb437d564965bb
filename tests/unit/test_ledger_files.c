// The journal and the store: what is settled becomes a row, a start takes up what the last process left, and what can be
// wrong with the files is said and loses no more than it must.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/alloc.h"
#include "base/file.h"
#include "ledger/journal_slot.h"
#include "support/ledger_rig.h"

static void test_a_settled_attempt_becomes_a_row(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r);
    struct ledger *l = rig_ledger(&r, NULL);
    assert_non_null(l);
    struct ledger_budget b = rig_budget(77, 1000);
    struct ledger_ask ask = rig_ask(100, &b, 1, RIG_NOW);
    ask.expected.of[IMAGE_UNIT_UG] = ask.bound.of[IMAGE_UNIT_UG] = -1;
    struct ledger_ticket t;
    struct ledger_refusal no;
    assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_OK);
    uint64_t id = t.id;
    struct ledger_settled s = rig_took(60, RIG_NOW + 2 * RIG_SECOND);
    s.end = LEDGER_BROKEN;
    s.reason = "the stream ended";
    s.took.of[IMAGE_UNIT_UG] = -1;
    ledger_settle(l, &t, &s);
    assert_true(ledger_flush(l, 5000));
    struct ledger_stats stats;
    ledger_stats(l, &stats);
    assert_int_equal(stats.stored, 1);
    assert_int_equal(stats.backlog, 0);
    assert_int_equal(stats.slots, 256);
    assert_true(stats.storing);
    assert_int_equal(rig_number(&r, "SELECT ticket FROM attempt"), id);
    static const char *const holds[] = {
        "decision = 'd-0123456789' AND attempt = 1 AND key = 'k-4Fz0aQ9x' AND caller = 'ada'",
        "team = 'engines' AND tenant = 'free' AND loop = 'task-7' AND route = 'quick'",
        "session = '2d1f0f5e-2f5c-4e0e-9a52-0d5b3f0a7c11' AND model = 'qwen3-8b'",
        "effort = 'off' AND place = 'http://vllm-a:8000/v1' AND substr(policy, 1, 5) = 'abcd0'",
        "end = 'broken' AND reason = 'the stream ended' AND NOT estimated AND NOT cut",
        "input_tok = 7 AND cached_tok = 3 AND output_tok = 2",
        "took_nusd = 60 AND took_uj = 6 AND took_ug IS NULL AND took_requests = 11",
        "expected_nusd = 50 AND bound_nusd = 100 AND bound_uj = 11 AND bound_ug IS NULL",
        "baseline_nusd = 600 AND at = '2026-11-21T20:30:15.000Z' AND end_us - at_us = 2000000",
    };
    for (size_t i = 0; i < MERIT_COUNT(holds); i++) {
        char sql[300];
        snprintf(sql, sizeof sql, "SELECT count(*) FROM attempts WHERE %s", holds[i]);
        if (rig_number(&r, sql) != 1)
            fail_msg("not so: %s", holds[i]);
    }
    assert_int_equal(rig_number(&r, "SELECT used FROM account WHERE account = 77 AND most = 1000 "
                                    "AND name = '5 usd/month hard' AND holder = 'tenant free'"),
                     60);
    ledger_close(l);
    rig_close(&r);
}

static void test_names_that_do_not_fit_are_cut(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r);
    struct ledger *l = rig_ledger(&r, NULL);
    static char name[3 * 200];
    for (int i = 0; i < 200; i++)
        memcpy(name + 3 * i, "\xe2\x82\xac", 3);
    struct ledger_budget b[LEDGER_BUDGETS_MAX];
    for (uint64_t i = 0; i < LEDGER_BUDGETS_MAX; i++)
        b[i] = rig_budget(i + 1, 1000);
    struct ledger_ask ask = rig_ask(100, b, LEDGER_BUDGETS_MAX, RIG_NOW);
    struct slice *const names[] = {
        &ask.who.key,   &ask.who.caller,  &ask.who.team,  &ask.who.tenant, &ask.who.loop,
        &ask.who.route, &ask.who.session, &ask.who.model, &ask.who.effort, &ask.who.place};
    for (size_t i = 0; i < MERIT_COUNT(names); i++)
        *names[i] = slice_make(name, sizeof name);
    struct ledger_ticket t;
    struct ledger_refusal no;
    assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_OK);
    struct ledger_settled s = rig_took(60, RIG_NOW);
    ledger_settle(l, &t, &s);
    assert_true(ledger_flush(l, 5000));
    // Whole characters, at least six of them each.
    assert_int_equal(rig_number(&r, "SELECT count(*) FROM attempts WHERE cut AND "
                                    "replace(key, '€', '') = '' AND length(key) > 5 AND "
                                    "length(place) > 5 AND key = session"),
                     1);
    assert_int_equal(rig_number(&r, "SELECT count(*) FROM account WHERE used = 60"), 16);
    ledger_close(l);
    rig_close(&r);
}

static void test_a_start_takes_up_what_was_left(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r);
    struct ledger *l = rig_ledger(&r, NULL);
    struct ledger_budget b = rig_budget(1, 200), other = rig_budget(2, 1000);
    b.hard = other.hard = false;
    for (int i = 0; i < 10; i++)
        assert_true(rig_one(l, &b, 50, 30 + i));
    struct budget_state before, after;
    ledger_budget_states(l, &b, 1, RIG_NOW, &before);
    struct ledger_ask ask = rig_ask(100, &other, 1, RIG_NOW);
    struct ledger_ticket t;
    struct ledger_refusal no;
    assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_OK);
    uint64_t id = t.id;
    ledger_close(l); // as if it had died with this one open
    assert_int_equal(rig_number(&r, "SELECT count(*) FROM attempt"), 10);
    r.options.now_us -= 86400 * RIG_SECOND; // and the clock was set back
    l = rig_ledger(&r, NULL);
    assert_true(rig_told(&r, "ledger-recovered: settled at their bound, unconfirmed"));
    assert_int_equal(ledger_used(l, &b, RIG_NOW), 345);
    ledger_budget_states(l, &b, 1, RIG_NOW, &after);
    assert_true(before.price_nusd > 0 && after.price_nusd == before.price_nusd);
    assert_int_equal(ledger_used(l, &other, RIG_NOW), 100);
    assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_OK);
    assert_true(t.id > id);
    struct ledger_settled s = rig_took(1, RIG_NOW);
    ledger_settle(l, &t, &s);
    ledger_close(l);
    assert_int_equal(rig_number(&r, "SELECT took_nusd FROM attempts WHERE end = 'unconfirmed' AND "
                                    "estimated AND baseline_nusd IS NULL AND took_uj = bound_uj"),
                     100);
    assert_int_equal(rig_number(&r, "SELECT used FROM account WHERE account = 2"), 101);
    assert_int_equal(rig_number(&r, "SELECT count(*) FROM attempt"), 12);
    rig_close(&r);
}

// The clock is a year ahead at a start, and set right later: the window is not given out again.
static void test_a_start_with_a_clock_that_is_ahead(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r);
    struct ledger *l = rig_ledger(&r, NULL);
    struct ledger_budget b = rig_budget(1, 200);
    assert_true(rig_one(l, &b, 190, 190));
    ledger_close(l);
    r.options.now_us += UINT64_C(366) * 86400 * RIG_SECOND;
    l = rig_ledger(&r, NULL);
    assert_int_equal(ledger_used(l, &b, r.options.now_us), 0);
    assert_int_equal(ledger_used(l, &b, RIG_NOW), 190);
    assert_false(rig_one(l, &b, 11, 11));
    assert_true(rig_one(l, &b, 10, 10));
    ledger_close(l);
    rig_close(&r);
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

static void copy_file(const char *from, const char *to)
{
    struct buf b;
    buf_init(&b, 64 << 20);
    assert_int_equal(file_read(from, &b), RESULT_OK);
    assert_int_equal(file_replace(to, buf_slice(&b), 0600), RESULT_OK);
    buf_deinit(&b);
}

// The process dies between the commit and the freeing of the slots: the same records are found again.
static void test_a_committed_row_is_not_counted_twice(void **state)
{
    (void)state;
    struct rig r;
    char journal[PATH_MAX], kept[PATH_MAX];
    rig_open(&r);
    rig_path(&r, "journal.0", journal);
    rig_path(&r, "kept", kept);
    struct ledger *l = rig_ledger(&r, NULL);
    sqlite3 *db = lock_store(&r);
    struct ledger_budget b = rig_budget(1, 1000);
    for (int i = 0; i < 10; i++)
        assert_true(rig_one(l, &b, 50, 30));
    copy_file(journal, kept);
    sqlite3_close(db);
    assert_true(ledger_flush(l, 5000));
    ledger_close(l);
    assert_int_equal(rig_number(&r, "SELECT used FROM account"), 300);
    for (int again = 0; again < 2; again++) {
        copy_file(kept, journal);
        l = rig_ledger(&r, NULL);
        assert_int_equal(ledger_used(l, &b, RIG_NOW), 300);
        assert_true(ledger_flush(l, 5000));
        ledger_close(l);
        assert_int_equal(rig_number(&r, "SELECT count(*) FROM attempt"), 10);
        assert_int_equal(rig_number(&r, "SELECT used FROM account"), 300);
    }
    rig_close(&r);
}

static void test_a_second_process_is_kept_out(void **state)
{
    (void)state;
    struct rig r;
    char why[1000];
    rig_open(&r);
    struct ledger *l = rig_ledger(&r, NULL), *second = NULL;
    struct buf b;
    buf_init(&b, 900);
    assert_int_equal(ledger_open(&second, &r.options, &b), RESULT_EXISTS);
    buf_deinit(&b);
    assert_null(rig_ledger(&r, why));
    char pid[40];
    snprintf(pid, sizeof pid, "in use by process %ld", (long)getpid());
    assert_non_null(strstr(why, pid));
    ledger_close(l);
    l = rig_ledger(&r, why);
    assert_non_null(l);
    ledger_close(l);
    rig_close(&r);
}

static void write_at(const char *path, long at, const void *bytes, size_t n)
{
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, at), n);
    close(fd);
}

// Leaves `count` settled records in the journal, in slots 0, 1, 2, ..., and no store.
static void leave(struct rig *r, int count)
{
    char path[PATH_MAX];
    struct ledger *l = rig_ledger(r, NULL);
    sqlite3 *db = lock_store(r);
    struct ledger_budget b = rig_budget(1, 100000);
    for (int i = 0; i < count; i++)
        assert_true(rig_one(l, &b, 50, 30));
    ledger_close(l);
    sqlite3_close(db);
    const char *const files[] = {"ledger.db", "ledger.db-wal", "ledger.db-shm"};
    for (size_t i = 0; i < MERIT_COUNT(files); i++) {
        rig_path(r, files[i], path);
        unlink(path);
    }
    r->events[0] = 0;
}

static long slot_at(int i)
{
    return JOURNAL_HEADER_BYTES + (long)i * JOURNAL_SLOT_BYTES;
}

static void test_damage_is_named_and_costs_no_more_than_itself(void **state)
{
    (void)state;
    struct rig r;
    char path[PATH_MAX];
    struct ledger_stats stats;
    rig_open(&r);
    rig_path(&r, "journal.0", path);
    leave(&r, 20);
    // A bit in the first half: lost. In the second: open again, at its bound. A state that is none: lost.
    write_at(path, slot_at(3) + (long)offsetof(struct journal_slot, body) + 5, "x", 1);
    write_at(path, slot_at(5) + (long)offsetof(struct journal_slot, settle.took), "xyz", 3);
    write_at(path, slot_at(7), "what", 4);
    struct ledger *l = rig_ledger(&r, NULL);
    assert_non_null(l);
    assert_true(rig_told(&r, "2 records of journal.0 cannot be read"));
    struct ledger_budget b = rig_budget(1, 100000);
    assert_int_equal(ledger_used(l, &b, RIG_NOW), 17 * 30 + 50);
    ledger_stats(l, &stats);
    assert_int_equal(stats.damaged, 2);
    assert_int_equal(stats.recovered, 1);
    ledger_close(l);
    assert_int_equal(rig_number(&r, "SELECT count(*) FROM attempt"), 18);
    rig_close(&r);
}

static void test_a_cut_file_keeps_what_is_whole(void **state)
{
    (void)state;
    struct rig r;
    char path[PATH_MAX];
    rig_open(&r);
    rig_path(&r, "journal.0", path);
    leave(&r, 20);
    assert_int_equal(truncate(path, slot_at(12) + 100), 0);
    struct ledger *l = rig_ledger(&r, NULL);
    assert_non_null(l);
    assert_true(rig_told(&r, "journal.0 was cut: the last 244 of 256 records are gone"));
    struct ledger_budget b = rig_budget(1, 100000);
    assert_int_equal(ledger_used(l, &b, RIG_NOW), 12 * 30);
    for (int i = 0; i < 250; i++) // the file has its size again
        assert_true(rig_one_soon(l, &b, 50, 30));
    ledger_close(l);
    assert_int_equal(rig_number(&r, "SELECT count(*) FROM attempt"), 262);
    // Cut within its head, and to nothing.
    for (int bytes = 0; bytes <= 10; bytes += 10) {
        assert_int_equal(truncate(path, bytes), 0);
        l = rig_ledger(&r, NULL);
        assert_non_null(l);
        assert_true(rig_one(l, &b, 50, 30));
        ledger_close(l);
    }
    assert_int_equal(rig_number(&r, "SELECT count(*) FROM attempt"), 264);
    rig_close(&r);
}

static void test_a_damaged_head_does_not_lose_records(void **state)
{
    (void)state;
    struct rig r;
    char path[PATH_MAX];
    rig_open(&r);
    rig_path(&r, "journal.0", path);
    leave(&r, 20);
    write_at(path, 10, "??", 2);
    struct ledger *l = rig_ledger(&r, NULL);
    assert_non_null(l);
    assert_true(rig_told(&r, "the head of journal.0 is damaged"));
    ledger_close(l);
    assert_int_equal(rig_number(&r, "SELECT count(*) FROM attempt"), 20);
    rig_close(&r);
}

static void test_other_versions_are_left_alone(void **state)
{
    (void)state;
    struct rig r;
    char path[PATH_MAX], why[1000];
    rig_open(&r);
    rig_path(&r, "journal.0", path);
    leave(&r, 3);
    struct journal_header h;
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, &h, sizeof h, 0), sizeof h);
    h.version = 0;
    h.sum = journal_sum(0, &h, offsetof(struct journal_header, sum));
    assert_int_equal(pwrite(fd, &h, sizeof h, 0), sizeof h);
    close(fd);
    assert_null(rig_ledger(&r, why));
    assert_non_null(strstr(why, "journal.0 is of version 0, this program writes 1"));
    unlink(path);
    struct ledger *l = rig_ledger(&r, why);
    assert_non_null(l);
    ledger_close(l);
    assert_int_equal(rig_number(&r, "PRAGMA user_version = 9"), -1);
    assert_null(rig_ledger(&r, why));
    assert_non_null(strstr(why, "it is of version 9, this program writes 2"));
    rig_close(&r);
}

static void test_a_file_that_is_no_store(void **state)
{
    (void)state;
    struct rig r;
    char path[PATH_MAX];
    struct ledger_budget b = rig_budget(1, 100000);
    rig_open(&r);
    rig_path(&r, "ledger.db", path);
    assert_int_equal(file_replace(path, SLICE("Dear diary, today I spent nothing at all."), 0600),
                     RESULT_OK);
    struct ledger *l = rig_ledger(&r, NULL);
    assert_non_null(l); // serving goes on
    assert_true(rig_told(&r, "ledger-store-failed"));
    assert_true(rig_told(&r, "damaged"));
    assert_true(rig_one(l, &b, 50, 30));
    assert_false(ledger_flush(l, 50));
    ledger_close(l);
    struct buf text;
    buf_init(&text, 1000);
    assert_int_equal(file_read(path, &text), RESULT_OK);
    assert_true(slice_starts_with(buf_slice(&text), SLICE("Dear diary")));
    buf_deinit(&text);
    unlink(path);
    l = rig_ledger(&r, NULL);
    assert_int_equal(ledger_used(l, &b, RIG_NOW), 30);
    ledger_close(l);
    assert_int_equal(rig_number(&r, "SELECT took_nusd FROM attempt"), 30);
    rig_close(&r);
}

static bool wait_for(struct rig *r, const char *text)
{
    const struct timespec rest = {.tv_nsec = 10000000};
    for (int i = 0; i < 1000; i++) {
        if (rig_told(r, text))
            return true;
        nanosleep(&rest, NULL);
    }
    return false;
}

// The backlog is bounded: at its end requests are refused by that name, nothing is lost, and all goes on by itself when
// the store is free again.
static void test_a_locked_store_fills_the_journal_to_its_limit(void **state)
{
    (void)state;
    struct rig r;
    struct ledger_stats stats;
    struct ledger_budget b = rig_budget(1, INT64_C(1) << 40);
    rig_open(&r);
    r.options.backlog_bytes = 3 * (4096 + 256 * 1024);
    struct ledger *l = rig_ledger(&r, NULL);
    sqlite3 *db = lock_store(&r);
    uint32_t went = 0, refused = 0, in_a_row = 0;
    const struct timespec rest = {.tv_nsec = 1000000};
    for (uint64_t n = 0; n < 5000 && in_a_row < 100; n++) {
        if (rig_one(l, &b, 50, 30)) {
            went++;
            in_a_row = 0;
        } else {
            refused++;
            in_a_row++;
            nanosleep(&rest, NULL);
        }
    }
    ledger_stats(l, &stats);
    assert_int_equal(stats.slots, 3 * 256);
    assert_int_equal(went, 3 * 256);
    assert_int_equal(stats.backlog, 3 * 256);
    assert_int_equal(stats.refused[LEDGER_BACKLOG], refused);
    // A refused one holds nothing of its budget.
    assert_int_equal(ledger_used(l, &b, RIG_NOW), went * 30);
    assert_true(wait_for(&r, "ledger-journal-full"));
    assert_true(wait_for(&r, "ledger-store-failed"));
    assert_true(rig_told(&r, "(locked: "));
    ledger_stats(l, &stats);
    assert_true(!stats.storing && stats.store_failures > 0);
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_close(db);
    assert_true(wait_for(&r, "ledger-store-works"));
    assert_true(rig_one(l, &b, 50, 30));
    assert_true(ledger_flush(l, 5000));
    ledger_stats(l, &stats);
    assert_int_equal(stats.stored, went + 1);
    ledger_close(l);
    assert_int_equal(rig_number(&r, "SELECT count(*) FROM attempt"), went + 1);
    assert_int_equal(rig_number(&r, "SELECT used FROM account"), (went + 1) * 30);
    // What was grown goes away once it is carried.
    l = rig_ledger(&r, NULL);
    ledger_stats(l, &stats);
    assert_int_equal(stats.slots, 256);
    ledger_close(l);
    rig_close(&r);
}

// Locked at the start: served meanwhile from the journal alone, and what the store knows is added when it opens.
static void test_a_store_that_opens_late(void **state)
{
    (void)state;
    struct rig r;
    struct ledger_budget b = rig_budget(1, 1000);
    rig_open(&r);
    struct ledger *l = rig_ledger(&r, NULL);
    assert_true(rig_one(l, &b, 50, 40));
    ledger_close(l);
    sqlite3 *db = lock_store(&r);
    l = rig_ledger(&r, NULL);
    assert_non_null(l);
    assert_true(rig_told(&r, "ledger-store-failed"));
    assert_true(rig_one(l, &b, 50, 2));
    assert_int_equal(ledger_used(l, &b, RIG_NOW), 2);
    sqlite3_close(db);
    assert_true(wait_for(&r, "ledger-store-works"));
    assert_int_equal(ledger_used(l, &b, RIG_NOW), 42);
    ledger_close(l);
    assert_int_equal(rig_number(&r, "SELECT used FROM account"), 42);
    rig_close(&r);
}

// In a child: an ordinary user, whose store belongs to somebody else.
static int serve_read_only(struct rig *r)
{
    struct ledger_budget b = rig_budget(1, 1000);
    if (geteuid() == 0 && seteuid(65534))
        return 2;
    struct ledger *l = rig_ledger(r, NULL);
    if (!l)
        return 3;
    if (ledger_used(l, &b, RIG_NOW) != 40) // it can be read
        return 4;
    if (!rig_one(l, &b, 50, 2) || !wait_for(r, "ledger-store-failed") ||
        !rig_told(r, "(read-only: "))
        return 5;
    ledger_close(l);
    return 0;
}

static void test_a_read_only_store(void **state)
{
    (void)state;
    struct rig r;
    char path[PATH_MAX];
    struct ledger_budget b = rig_budget(1, 1000);
    rig_open(&r);
    struct ledger *l = rig_ledger(&r, NULL);
    assert_true(rig_one(l, &b, 50, 40));
    ledger_close(l);
    const char *const others[] = {"", "journal.0", "lock"};
    for (size_t i = 0; i < MERIT_COUNT(others) && geteuid() == 0; i++) {
        rig_path(&r, others[i], path);
        assert_int_equal(chown(path, 65534, 65534), 0);
    }
    rig_path(&r, "ledger.db", path);
    assert_int_equal(chmod(path, 0444), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(serve_read_only(&r));
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(chmod(path, 0644), 0);
    for (size_t i = 0; i < 2; i++) { // what SQLite made beside it
        rig_path(&r, i ? "ledger.db-shm" : "ledger.db-wal", path);
        unlink(path);
    }
    l = rig_ledger(&r, NULL);
    assert_int_equal(ledger_used(l, &b, RIG_NOW), 42);
    ledger_close(l);
    assert_int_equal(rig_number(&r, "SELECT used FROM account"), 42);
    rig_close(&r);
}

// The journal's blocks are taken beforehand, so that a full disk stops the store and not the requests.
static int serve_on_a_full_disk(struct rig *r)
{
    struct ledger_budget b = rig_budget(1, 1000000);
    struct ledger *l = rig_ledger(r, NULL);
    if (!l || !rig_one(l, &b, 50, 30) || !ledger_flush(l, 5000))
        return 1;
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {.rlim_cur = 8192, .rlim_max = RLIM_INFINITY};
    if (setrlimit(RLIMIT_FSIZE, &limit))
        return 2;
    for (int i = 0; i < 200; i++)
        if (!rig_one_soon(l, &b, 50, 30))
            return 3;
    if (ledger_flush(l, 200) || !wait_for(r, "ledger-store-failed"))
        return 4;
    limit.rlim_cur = RLIM_INFINITY;
    if (setrlimit(RLIMIT_FSIZE, &limit))
        return 5;
    if (!wait_for(r, "ledger-store-works") || !ledger_flush(l, 5000))
        return 6;
    ledger_close(l);
    return 0;
}

static void test_a_full_disk(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r);
    pid_t child = fork();
    if (child == 0)
        _exit(serve_on_a_full_disk(&r));
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(rig_number(&r, "SELECT count(*) FROM attempt"), 201);
    assert_int_equal(rig_number(&r, "SELECT used FROM account"), 201 * 30);
    rig_close(&r);
}

// Any call that fails while the ledger opens ends in an error with a sentence or in a ledger that works.
static void test_calls_that_fail_at_the_start(void **state)
{
    (void)state;
    struct rig r;
    char why[1000];
    rig_open(&r);
    leave(&r, 5);
    for (uint64_t n = 1;; n++) {
        file_fail_at(n);
        struct ledger *l = rig_ledger(&r, why);
        bool reached = !file_fails();
        file_fail_at(0);
        if (l)
            ledger_close(l);
        else
            assert_true(strlen(why) > 10);
        if (l && reached)
            break;
        assert_true(n < 100);
    }
    assert_int_equal(rig_number(&r, "SELECT count(*) FROM attempt"), 5);
    rig_close(&r);
}

static void test_memory_that_fails_at_the_start(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct rig r;
        struct buf why;
        struct ledger *l = NULL;
        rig_open(&r);
        leave(&r, 3);
        buf_init(&why, 1000);
        assert_non_null(buf_reserve(&why, 900));
        uint64_t before = alloc_count();
        alloc_fail_at(n, 0);
        enum result result = ledger_open(&l, &r.options, &why);
        bool reached = alloc_count() - before >= n;
        alloc_fail_at(0, 0);
        assert_true(result == RESULT_OK || result == RESULT_NOMEM || result == RESULT_IO);
        ledger_close(l);
        buf_deinit(&why);
        if (result == RESULT_OK && !reached) {
            rig_close(&r);
            assert_true(n > 8);
            return;
        }
        l = rig_ledger(&r, NULL);
        assert_non_null(l);
        ledger_close(l);
        assert_int_equal(rig_number(&r, "SELECT count(*) FROM attempt"), 3);
        rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_settled_attempt_becomes_a_row),
        cmocka_unit_test(test_a_start_with_a_clock_that_is_ahead),
        cmocka_unit_test(test_names_that_do_not_fit_are_cut),
        cmocka_unit_test(test_a_start_takes_up_what_was_left),
        cmocka_unit_test(test_a_committed_row_is_not_counted_twice),
        cmocka_unit_test(test_a_second_process_is_kept_out),
        cmocka_unit_test(test_damage_is_named_and_costs_no_more_than_itself),
        cmocka_unit_test(test_a_cut_file_keeps_what_is_whole),
        cmocka_unit_test(test_a_damaged_head_does_not_lose_records),
        cmocka_unit_test(test_other_versions_are_left_alone),
        cmocka_unit_test(test_a_file_that_is_no_store),
        cmocka_unit_test(test_a_locked_store_fills_the_journal_to_its_limit),
        cmocka_unit_test(test_a_store_that_opens_late),
        cmocka_unit_test(test_a_read_only_store),
        cmocka_unit_test(test_a_full_disk),
        cmocka_unit_test(test_calls_that_fail_at_the_start),
        cmocka_unit_test(test_memory_that_fails_at_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
