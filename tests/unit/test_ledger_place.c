// The ledger while somebody takes its files away, and while its store thread stands still.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "ledger/journal_slot.h"
#include "support/ledger_rig.h"

static bool told_soon(struct rig *r, const char *text)
{
    for (int i = 0; i < 20000; i++) {
        if (rig_told(r, text))
            return true;
        usleep(1000);
    }
    return false;
}

static void remove_store(const struct rig *r, bool beside)
{
    static const char *const names[] = {"ledger.db", "ledger.db-wal", "ledger.db-shm"};
    char path[PATH_MAX];
    for (int i = 0; i < (beside ? 3 : 1); i++) {
        rig_path(r, names[i], path);
        assert_int_equal(unlink(path), 0);
    }
}

static int count_saved(const struct rig *r)
{
    DIR *d = opendir(r->folder);
    struct dirent *e;
    int n = 0;
    while ((e = readdir(d)))
        n += strstr(e->d_name, ".saved-") != NULL;
    closedir(d);
    return n;
}

// `idle`: nothing is settled after it, so that the thread finds out by itself. `beside`: its log goes with it.
static void delete_one(bool idle, bool beside)
{
    struct rig r;
    rig_open(&r);
    struct ledger *l = rig_ledger(&r, NULL);
    struct ledger_budget b = rig_budget(1, 100000);
    for (int i = 0; i < 100; i++)
        assert_true(rig_one(l, &b, 50, 10));
    assert_true(ledger_flush(l, 5000));
    remove_store(&r, beside);
    if (!idle) {
        assert_true(rig_one(l, &b, 50, 10));
        assert_true(ledger_flush(l, 5000));
    }
    assert_true(told_soon(&r, "ledger-store-put-back: "));
    assert_true(rig_told(&r, "ledger.db was deleted or moved while it was open"));
    assert_false(rig_told(&r, "ledger-store-failed"));
    for (int i = 0; i < 10; i++)
        assert_true(rig_one(l, &b, 50, 10));
    ledger_close(l);
    int64_t all = idle ? 110 : 111;
    assert_int_equal(rig_number(&r, "SELECT count(DISTINCT ticket) FROM attempt"), all);
    assert_int_equal(rig_number(&r, "SELECT count(*) FROM attempt"), all);
    assert_int_equal(count_saved(&r), 0);
    l = rig_ledger(&r, NULL);
    assert_false(rig_told(&r, "ledger-store-behind"));
    assert_int_equal(ledger_used(l, &b, RIG_NOW), all * 10);
    ledger_close(l);
    rig_close(&r);
}

static void test_a_store_that_is_deleted_is_written_again(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        delete_one(i & 1, i & 2);
}

static void test_a_store_that_is_deleted_again_and_again(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r);
    struct ledger *l = rig_ledger(&r, NULL);
    struct ledger_budget b = rig_budget(1, 100000);
    char path[PATH_MAX];
    rig_path(&r, "ledger.db", path);
    for (int i = 0; i < 400; i++) {
        assert_true(rig_one_soon(l, &b, 50, 10));
        if (i % 40)
            continue;
        pthread_mutex_lock(&r.lock);
        r.events[0] = 0;
        pthread_mutex_unlock(&r.lock);
        assert_int_equal(unlink(path), 0);
        for (int k = 0; k < 3; k++)
            assert_true(rig_one_soon(l, &b, 50, 10));
        assert_true(told_soon(&r, "ledger-store-put-back: "));
    }
    ledger_close(l);
    assert_int_equal(rig_number(&r, "SELECT count(DISTINCT ticket) FROM attempt"), 430);
    assert_int_equal(rig_number(&r, "SELECT count(*) FROM attempt"), 430);
    assert_int_equal(rig_number(&r, "SELECT used FROM account"), 4300);
    rig_close(&r);
}

static void test_a_file_in_its_place_is_left_alone(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r);
    struct ledger *l = rig_ledger(&r, NULL);
    struct ledger_budget b = rig_budget(1, 100000);
    char path[PATH_MAX], other[PATH_MAX], text[16] = "";
    rig_path(&r, "ledger.db", path);
    rig_path(&r, "other", other);
    for (int i = 0; i < 50; i++)
        assert_true(rig_one(l, &b, 50, 10));
    assert_true(ledger_flush(l, 5000));
    FILE *f = fopen(other, "w");
    assert_true(fputs("somebody's", f) > 0);
    fclose(f);
    assert_int_equal(rename(other, path), 0);
    assert_true(told_soon(&r, "another file stands in its place; what was in the store is in "));
    assert_true(rig_told(&r, "ledger.db was replaced by another file while it was open"));
    for (int i = 0; i < 50; i++)
        assert_true(rig_one(l, &b, 50, 10));
    assert_false(ledger_flush(l, 300));
    assert_int_equal(count_saved(&r), 1);
    f = fopen(path, "r");
    assert_non_null(fgets(text, sizeof text, f));
    fclose(f);
    assert_string_equal(text, "somebody's");
    assert_int_equal(unlink(path), 0);
    assert_true(told_soon(&r, "ledger-store-put-back: "));
    ledger_close(l);
    assert_int_equal(count_saved(&r), 0);
    assert_int_equal(rig_number(&r, "SELECT count(DISTINCT ticket) FROM attempt"), 100);
    assert_int_equal(rig_number(&r, "SELECT used FROM account"), 1000);
    rig_close(&r);
}

static void test_a_store_that_is_moved_and_comes_back(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r);
    char path[PATH_MAX], away[PATH_MAX];
    rig_path(&r, "ledger.db", path);
    rig_path(&r, "away", away);
    struct ledger *l = rig_ledger(&r, NULL);
    struct ledger_budget b = rig_budget(1, 100000);
    assert_true(rig_one(l, &b, 50, 10));
    assert_true(ledger_flush(l, 5000));
    // A folder in its place keeps it from being put back.
    assert_int_equal(mkdir(away, 0700), 0);
    assert_int_equal(renameat2(AT_FDCWD, path, AT_FDCWD, away, RENAME_EXCHANGE), 0);
    assert_true(told_soon(&r, "ledger-store-gone: "));
    assert_true(rig_one(l, &b, 50, 10));
    assert_int_equal(renameat2(AT_FDCWD, path, AT_FDCWD, away, RENAME_EXCHANGE), 0);
    assert_int_equal(rmdir(away), 0);
    assert_true(told_soon(&r, "ledger-store-put-back: "));
    ledger_close(l);
    assert_int_equal(count_saved(&r), 0);
    assert_int_equal(rig_number(&r, "SELECT count(DISTINCT ticket) FROM attempt"), 2);
    assert_int_equal(rig_number(&r, "SELECT used FROM account"), 20);
    rig_close(&r);
}

// --- a journal that is cut

static void cut_journal(const struct rig *r, off_t bytes)
{
    char path[PATH_MAX];
    rig_path(r, "journal.0", path);
    assert_int_equal(truncate(path, bytes), 0);
}

static off_t journal_bytes(const struct rig *r)
{
    char path[PATH_MAX];
    struct stat st;
    rig_path(r, "journal.0", path);
    return stat(path, &st) ? -1 : st.st_size;
}

// Without a store thread, so that it is the touch itself that finds out.
static void test_a_touch_of_a_cut_journal(void **state)
{
    (void)state;
    struct rig r;
    struct journal *j = NULL;
    struct buf why;
    rig_open(&r);
    buf_init(&why, 500);
    struct journal_options o = {.directory = r.folder,
                                .file_slots = 256,
                                .limit_bytes = 1 << 20,
                                .now_us = RIG_NOW,
                                .event = rig_event,
                                .context = &r};
    assert_int_equal(journal_open(&j, &o, &why), RESULT_OK);
    off_t whole = journal_bytes(&r);
    struct ledger_ask ask = rig_ask(100, NULL, 0, RIG_NOW);
    struct ledger_ticket t = {.id = 1};
    struct ledger_settled s = rig_took(50, RIG_NOW);
    uint32_t slots[9];
    for (int i = 0; i < 9; i++, t.id++) {
        slots[i] = journal_claim(j);
        journal_reserve(j, slots[i], &ask, &t, NULL);
    }
    // Four slots stay.
    cut_journal(&r, JOURNAL_HEADER_BYTES + 4 * JOURNAL_SLOT_BYTES);
    struct journal_record record;
    for (uint32_t i = 0; i < 9; i++) {
        journal_settle(j, slots[i], i + 1, &s);
        assert_true(journal_read(j, slots[i], &record) == (i < 4));
    }
    assert_int_equal(journal_bytes(&r), whole);
    uint32_t slot = journal_claim(j);
    journal_reserve(j, slot, &ask, &t, NULL);
    journal_settle(j, slot, t.id, &s);
    assert_true(journal_read(j, slot, &record) && record.settled && record.id == 10);
    journal_mend(j);
    assert_true(rig_told(&r, "ledger-journal-cut: journal.0 was cut to 8192 bytes"));
    assert_true(rig_told(&r, ": 5 attempts have lost their records"));
    r.events[0] = 0;
    journal_mend(j);
    assert_string_equal(r.events, "");
    journal_close(j);
    // The next start finds the others.
    assert_int_equal(journal_open(&j, &o, &why), RESULT_OK);
    struct journal_counts counts;
    journal_count(j, &counts);
    assert_int_equal(counts.settled, 5);
    assert_string_equal(r.events, "");
    journal_close(j);
    buf_deinit(&why);
    rig_close(&r);
}

static void test_a_ledger_whose_journal_is_cut(void **state)
{
    (void)state;
    for (off_t left = 0; left < 3; left++) {
        struct rig r;
        rig_open(&r);
        struct ledger *l = rig_ledger(&r, NULL);
        struct ledger_budget b = rig_budget(1, 100000);
        struct ledger_ask ask = rig_ask(100, &b, 1, RIG_NOW);
        struct ledger_settled s = rig_took(50, RIG_NOW);
        struct ledger_ticket t;
        struct ledger_refusal no;
        off_t whole = journal_bytes(&r);
        for (int i = 0; i < 20; i++)
            assert_true(rig_one(l, &b, 50, 10));
        assert_int_equal(ledger_reserve(l, &ask, &t, &no), RESULT_OK);
        assert_true(ledger_flush(l, 5000));
        cut_journal(&r, left * 2000);
        if (left == 2) // the thread finds it by itself
            assert_true(told_soon(&r, "ledger-journal-cut: "));
        for (int i = 0; i < 20; i++)
            assert_true(rig_one(l, &b, 50, 10));
        ledger_settle(l, &t, &s);
        assert_true(told_soon(&r, "ledger-journal-cut: journal.0 was cut to "));
        assert_true(ledger_flush(l, 5000));
        assert_true(rig_told(&r, "attempts that are lost: 1"));
        assert_int_equal(ledger_used(l, &b, RIG_NOW), 450);
        ledger_close(l);
        assert_int_equal(journal_bytes(&r), whole);
        assert_int_equal(rig_number(&r, "SELECT count(*) FROM attempt"), 40);
        assert_int_equal(rig_number(&r, "SELECT used FROM account"), 400);
        rig_close(&r);
    }
}

// What is not the journal's ends the process as ever.
static void test_another_file_that_is_cut(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r);
    signal(SIGBUS, SIG_DFL); // not cmocka's
    struct ledger *l = rig_ledger(&r, NULL);
    char path[PATH_MAX];
    rig_path(&r, "other", path);
    pid_t child = fork();
    if (!child) {
        int fd = open(path, O_RDWR | O_CREAT, 0600);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        if (fd < 0 || ftruncate(fd, 4096))
            _exit(0);
        volatile char *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        at[0] = 1;
        if (ftruncate(fd, 0))
            _exit(0);
        at[0] = 2;
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    struct ledger_budget b = rig_budget(1, 100000);
    assert_true(rig_one(l, &b, 50, 10));
    ledger_close(l);
    rig_close(&r);
}

// --- a store thread that stands still

struct stall {
    struct rig rig;
    atomic_bool hold, held;
};

static void hold_event(void *context, const struct ledger_event *e)
{
    struct stall *s = context;
    rig_event(&s->rig, e);
    if (strcmp(e->code, "ledger-store-gone") != 0)
        return;
    atomic_store(&s->held, true);
    while (atomic_load(&s->hold))
        usleep(1000);
}

static void test_a_store_thread_that_stands_still(void **state)
{
    (void)state;
    static struct stall s;
    rig_open(&s.rig);
    s.rig.options.event = hold_event;
    s.rig.options.context = &s;
    s.rig.options.journal_slots = 2048;
    atomic_store(&s.hold, true);
    struct ledger *l = rig_ledger(&s.rig, NULL);
    struct ledger_budget b = rig_budget(1, INT64_MAX / 4);
    // Some thousand a second, far from filling a quarter of what is there.
    uint64_t begin = clock_mono_us(&clock_system), sent = 0;
    while (clock_mono_us(&clock_system) < begin + RIG_SECOND) {
        for (int i = 0; i < 4; i++)
            sent += rig_one(l, &b, 50, 10);
        usleep(1000);
    }
    double rate = (double)sent * 1e6 / (double)(clock_mono_us(&clock_system) - begin);
    remove_store(&s.rig, true);
    for (int i = 0; i < 5000 && !atomic_load(&s.held); i++)
        usleep(1000);
    assert_true(atomic_load(&s.held));
    // What comes in a second and a half finds its slots.
    uint64_t more = (uint64_t)(1.5 * rate);
    for (uint64_t i = 0; i < more; i++)
        assert_true(rig_one(l, &b, 50, 10));
    atomic_store(&s.hold, false);
    assert_true(ledger_flush(l, 20000));
    ledger_close(l);
    assert_int_equal(rig_number(&s.rig, "SELECT count(*) FROM attempt"), sent + more);
    rig_close(&s.rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_store_that_is_deleted_is_written_again),
        cmocka_unit_test(test_a_store_that_is_deleted_again_and_again),
        cmocka_unit_test(test_a_file_in_its_place_is_left_alone),
        cmocka_unit_test(test_a_store_that_is_moved_and_comes_back),
        cmocka_unit_test(test_a_touch_of_a_cut_journal),
        cmocka_unit_test(test_a_ledger_whose_journal_is_cut),
        cmocka_unit_test(test_another_file_that_is_cut),
        cmocka_unit_test(test_a_store_thread_that_stands_still),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
