// kill -9 at random instants, over and over, on one ledger: a child with several threads reserves and settles and tells
// each step through a pipe when it is done; then it is killed, wherever its threads and its store thread are. What it was
// told must be in the store, each ticket once: settled as it said, or at its bound, unconfirmed. Accounts hold the sum.
//
// MERIT_LEDGER_KILLS sets how often (200).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "base/rng.h"
#include "support/ledger_rig.h"

enum { KILLS = 200, THREADS = 3, BOUND = 1000, HELD = 4, ACKS_MAX = 400000 };

struct ack {
    uint64_t id;
    int64_t took; // -1: reserved
};

// What ticket `id` takes, for parent and child alike.
static int64_t took_of(uint64_t id)
{
    return (int64_t)(id * 2654435761u % (BOUND + 1));
}

struct worker {
    struct ledger *ledger;
    int fd;
    uint64_t seed;
};

static void tell(const struct worker *w, uint64_t id, int64_t took)
{
    struct ack a = {id, took};
    if (write(w->fd, &a, sizeof a) != sizeof a)
        _exit(9);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct ledger_ticket held[HELD] = {0};
    struct ledger_budget budgets[3] = {rig_budget(1, INT64_MAX), rig_budget(2, INT64_MAX),
                                       rig_budget(3, INT64_MAX)};
    struct rng rng;
    rng_seed(&rng, w->seed);
    budgets[1].unit = IMAGE_UNIT_REQUESTS;
    budgets[2].hard = false;
    for (;;) {
        struct ledger_ticket *t = &held[rng_below(&rng, HELD)];
        if (t->id) {
            uint64_t id = t->id;
            struct ledger_settled s = rig_took(took_of(id), RIG_NOW + RIG_SECOND);
            ledger_settle(w->ledger, t, &s);
            tell(w, id, took_of(id));
            continue;
        }
        struct ledger_ask ask = rig_ask(BOUND, budgets, 3, RIG_NOW);
        struct ledger_refusal no;
        if (ledger_reserve(w->ledger, &ask, t, &no) == RESULT_OK)
            tell(w, t->id, -1);
        else
            usleep(100); // the journal is growing
    }
    return NULL;
}

static int child(struct rig *r, int fd, uint64_t seed)
{
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    r->options.commit_ms = 1 + (uint32_t)(seed % 3);
    struct ledger *l = rig_ledger(r, NULL);
    if (!l)
        return 8;
    for (uint64_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){l, fd, seed * THREADS + i};
        if (pthread_create(&threads[i], NULL, work, &workers[i]))
            return 8;
    }
    for (uint64_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return 8;
}

// Runs a child for a while, kills it, and gives what it told.
static size_t run_and_kill(struct rig *r, uint64_t seed, struct rng *rng, struct ack *acks)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(fds[0]);
        _exit(child(r, fds[1], seed));
    }
    close(fds[1]);
    size_t bytes = 0, room = ACKS_MAX * sizeof *acks;
    uint64_t stop = 0, after = 200 + rng_below(rng, 40000);
    bool killed = false;
    for (;;) {
        uint64_t now = clock_mono_us(&clock_system);
        // It counts from the first word, now and then from the start of the process: recovery is killed, too.
        if (!stop && (bytes || seed % 5 == 0))
            stop = now + after;
        if (!killed && stop && now >= stop) {
            kill(pid, SIGKILL);
            killed = true;
        }
        // Small reads, so that the child is mostly at work and not waiting for room in the pipe.
        struct timeval wait = {.tv_usec = 200};
        fd_set set;
        FD_ZERO(&set);
        FD_SET(fds[0], &set);
        if (select(fds[0] + 1, &set, NULL, NULL, &wait) <= 0)
            continue;
        ssize_t n = read(fds[0], (char *)acks + bytes, room - bytes);
        assert_true(n >= 0 && bytes + (size_t)n < room);
        if (n == 0)
            break;
        bytes += (size_t)n;
    }
    close(fds[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return bytes / sizeof *acks;
}

struct totals {
    uint64_t rows, unconfirmed, settled, dead;
};

static void check(struct rig *r, const struct ack *acks, size_t count, struct totals *t)
{
    char path[PATH_MAX];
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    rig_path(r, "ledger.db", path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < count; i++)
        least = acks[i].id < least ? acks[i].id : least;
    char sql[400];
    snprintf(sql, sizeof sql,
             "CREATE TEMP TABLE t AS SELECT ticket AS id, took_nusd, k.end FROM attempt AS a"
             " JOIN kind AS k ON k.id = a.kind WHERE ticket >= %llu;"
             "CREATE UNIQUE INDEX temp.once ON t (id)",
             (unsigned long long)(count ? least : 0));
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db, "SELECT took_nusd, end FROM t WHERE id = ?", -1, &st, NULL),
        SQLITE_OK);
    for (size_t i = 0; i < count; i++) {
        sqlite3_bind_int64(st, 1, (int64_t)acks[i].id);
        if (sqlite3_step(st) != SQLITE_ROW)
            fail_msg("ticket %llu was %s and is lost", (unsigned long long)acks[i].id,
                     acks[i].took < 0 ? "reserved" : "settled");
        int64_t took = sqlite3_column_int64(st, 0), end = sqlite3_column_int64(st, 1);
        if (acks[i].took >= 0) {
            assert_int_equal(end, LEDGER_ANSWERED);
            t->settled++;
        }
        assert_int_equal(took, end == LEDGER_UNCONFIRMED ? BOUND : took_of(acks[i].id));
        sqlite3_reset(st);
    }
    sqlite3_finalize(st);
    sqlite3_close(db);
}

static void test_nothing_is_lost_and_nothing_invented(void **state)
{
    (void)state;
    struct rig r;
    struct rng rng;
    struct totals t = {0};
    const char *asked = getenv("MERIT_LEDGER_KILLS");
    int kills = asked ? atoi(asked) : KILLS;
    struct ack *acks = malloc(ACKS_MAX * sizeof *acks);
    rng_seed(&rng, 20261121);
    rig_open(&r);
    for (int i = 0; i < kills; i++) {
        size_t count = run_and_kill(&r, (uint64_t)i + 1, &rng, acks);
        t.dead += count == 0;
        struct ledger *l = rig_ledger(&r, NULL);
        assert_non_null(l);
        assert_true(ledger_flush(l, 20000));
        struct ledger_stats stats;
        ledger_stats(l, &stats);
        assert_int_equal(stats.damaged, 0);
        struct ledger_budget b = rig_budget(1, INT64_MAX);
        int64_t used = ledger_used(l, &b, RIG_NOW);
        ledger_close(l);
        check(&r, acks, count, &t);
        // Nothing but what was told, and what each thread may have been within.
        uint64_t reserved = 0;
        for (size_t k = 0; k < count; k++)
            reserved += acks[k].took < 0;
        uint64_t rows = (uint64_t)rig_number(&r, "SELECT count(*) FROM attempt");
        assert_true(rows >= t.rows + reserved && rows <= t.rows + reserved + THREADS);
        t.rows = rows;
        assert_int_equal(used, rig_number(&r, "SELECT sum(took_nusd) FROM attempt"));
        assert_int_equal(used, rig_number(&r, "SELECT used FROM account WHERE account = 1"));
        assert_int_equal(used, rig_number(&r, "SELECT used FROM account WHERE account = 3"));
        assert_int_equal(rig_number(&r, "SELECT used FROM account WHERE account = 2"),
                         rig_number(&r, "SELECT sum(took_requests) FROM attempts"));
    }
    t.unconfirmed =
        (uint64_t)rig_number(&r, "SELECT count(*) FROM attempts WHERE end = 'unconfirmed'");
    assert_int_equal(rig_number(&r, "SELECT count(DISTINCT ticket) FROM attempt"), t.rows);
    printf("%d kills: %llu tickets, %llu settlements told, %llu unconfirmed, %llu killed before a "
           "word\n",
           kills, (unsigned long long)t.rows, (unsigned long long)t.settled,
           (unsigned long long)t.unconfirmed, (unsigned long long)t.dead);
    assert_true(t.unconfirmed > 0 && t.settled > 0);
    free(acks);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_lost_and_nothing_invented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
