// The ledger while somebody takes its files away, and while its store thread stands still.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "support/ledger_rig.h"

static bool told_soon(struct rig *r, const char *text)
{
    for (int i = 0; i < 5000; i++) {
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
        if (i % 20 == 0)
            (void)unlink(path);
        usleep(500);
    }
    ledger_close(l);
    assert_int_equal(rig_number(&r, "SELECT count(DISTINCT ticket) FROM attempt"), 400);
    assert_int_equal(rig_number(&r, "SELECT count(*) FROM attempt"), 400);
    assert_int_equal(rig_number(&r, "SELECT used FROM account"), 4000);
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
        cmocka_unit_test(test_a_store_thread_that_stands_still),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
