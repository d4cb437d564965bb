// Sessions: what was noted comes back to the same caller only, for a while, and in bounded memory.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "pool/sessions.h"

static struct sessions *s;

static int set_up(void **state)
{
    (void)state;
    return sessions_open(&s);
}

static int tear_down(void **state)
{
    (void)state;
    sessions_close(s);
    return 0;
}

static void remembers(void **state)
{
    (void)state;
    struct session_seen out,
        seen[] = {{3, 2, 12000, true},
                  {-1, -1, 0, false},
                  {SESSIONS_PLACES_MAX - 1, SESSIONS_MODELS_MAX - 1, SESSIONS_TOK_MAX, true},
                  {0, 0, 1, false}};
    for (uint32_t i = 0; i < 4; i++) {
        char name[8];
        snprintf(name, sizeof name, "s%u", i);
        uint64_t n = sessions_name(s, SLICE("key"), slice_cstr(name));
        assert_false(sessions_look(s, n, 5, &out));
        sessions_note(s, n, 5, &seen[i]);
        assert_true(sessions_look(s, n, 5, &out));
        assert_int_equal(out.place, seen[i].place);
        assert_int_equal(out.model, seen[i].model);
        assert_int_equal(out.tok, seen[i].tok);
        assert_int_equal(out.tool_out, seen[i].tool_out);
    }
    // What does not fit is not known, or the most there is.
    uint64_t n = sessions_name(s, SLICE("key"), SLICE("large"));
    sessions_note(s, n, 5, &(struct session_seen){1 << 20, 1 << 20, UINT32_MAX, false});
    assert_true(sessions_look(s, n, 5, &out));
    assert_int_equal(out.place, -1);
    assert_int_equal(out.model, -1);
    assert_int_equal(out.tok, SESSIONS_TOK_MAX);
}

static void belongs_to_one_caller(void **state)
{
    struct session_seen out;
    (void)state;
    uint64_t a = sessions_name(s, SLICE("alice"), SLICE("main")),
             b = sessions_name(s, SLICE("bob"), SLICE("main"));
    assert_true(a != b);
    assert_true(sessions_name(s, SLICE("al"), SLICE("icemain")) != a);
    assert_true(sessions_name(s, SLICE_EMPTY, SLICE("main")) != a);
    assert_int_equal(sessions_name(s, SLICE("alice"), SLICE_EMPTY), 0);
    sessions_note(s, a, 1, &(struct session_seen){1, 1, 1, false});
    assert_false(sessions_look(s, b, 1, &out));
    // Without a session nothing is noted.
    sessions_note(s, 0, 1, &(struct session_seen){1, 1, 1, false});
    assert_false(sessions_look(s, 0, 1, &out));
    // Another process has other names.
    struct sessions *other;
    assert_int_equal(sessions_open(&other), RESULT_OK);
    assert_true(sessions_name(other, SLICE("alice"), SLICE("main")) != a);
    sessions_close(other);
}

static void is_released_when_idle(void **state)
{
    struct session_seen out;
    (void)state;
    uint64_t n = sessions_name(s, SLICE("k"), SLICE("x"));
    sessions_note(s, n, 1000, &(struct session_seen){1, 1, 1, true});
    assert_true(sessions_look(s, n, 1000 + SESSIONS_IDLE_S, &out));
    assert_false(sessions_look(s, n, 1001 + SESSIONS_IDLE_S, &out));
    // Loops' clocks differ by a moment.
    assert_true(sessions_look(s, n, 998, &out));
    sessions_note(s, n, 2000, &(struct session_seen){1, 1, 1, true});
    assert_true(sessions_look(s, n, 2000, &out));
}

static void forgets_a_place(void **state)
{
    struct session_seen out;
    (void)state;
    uint64_t a = sessions_name(s, SLICE("k"), SLICE("a")),
             b = sessions_name(s, SLICE("k"), SLICE("b"));
    sessions_note(s, a, 1, &(struct session_seen){7, 2, 500, true});
    sessions_note(s, b, 1, &(struct session_seen){8, 2, 500, true});
    sessions_forget_place(s, 7);
    assert_true(sessions_look(s, a, 1, &out));
    assert_int_equal(out.place, -1);
    assert_int_equal(out.model, 2);
    assert_int_equal(out.tok, 0);
    assert_true(out.tool_out);
    assert_true(sessions_look(s, b, 1, &out));
    assert_int_equal(out.place, 8);
}

static void the_longest_idle_makes_room(void **state)
{
    struct session_seen out;
    uint32_t kept = 0;
    (void)state;
    for (uint32_t i = 0; i < 4 * SESSIONS_MAX; i++) {
        char name[16];
        int len = snprintf(name, sizeof name, "n%u", i);
        uint64_t n = sessions_name(s, SLICE("k"), slice_make(name, (size_t)len));
        sessions_note(s, n, i / 1000, &(struct session_seen){(int32_t)(i % 100), 1, i, false});
        assert_true(sessions_look(s, n, i / 1000, &out));
        assert_int_equal(out.tok, i);
    }
    for (uint32_t i = 7 * SESSIONS_MAX / 2; i < 4 * SESSIONS_MAX; i++) {
        char name[16];
        int len = snprintf(name, sizeof name, "n%u", i);
        uint64_t n = sessions_name(s, SLICE("k"), slice_make(name, (size_t)len));
        kept += sessions_look(s, n, 131, &out) && out.tok == i;
    }
    // Of the last half table's worth nearly all are there.
    assert_true(kept > SESSIONS_MAX / 2 * 9 / 10);
}

static void fails_without_memory(void **state)
{
    struct sessions *none;
    (void)state;
    alloc_fail_at(1, 0);
    assert_int_equal(sessions_open(&none), RESULT_NOMEM);
    alloc_fail_at(0, 0);
    assert_null(none);
}

// ---- loops at once: a value is always one that was written for that session

static void *work(void *arg)
{
    struct rng r;
    struct session_seen out;
    bool *wrong = arg;
    rng_seed(&r, (uint64_t)(uintptr_t)arg);
    for (int i = 0; i < 20000; i++) {
        uint32_t k = (uint32_t)rng_below(&r, 16);
        // All in one bucket, and more of them than it has room for.
        uint64_t name = (uint64_t)(k + 1) * SESSIONS_MAX;
        if (rng_below(&r, 2))
            sessions_note(s, name, 1, &(struct session_seen){(int32_t)k, (int32_t)k, k, k & 1});
        else if (sessions_look(s, name, 1, &out))
            *wrong |= out.tok > 15 || out.place != (int32_t)out.tok || out.model != out.place;
    }
    return NULL;
}

static void loops_share_it(void **state)
{
    pthread_t threads[4];
    bool wrong[4] = {false};
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &wrong[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_false(wrong[i]);
    }
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH(remembers),       WITH(belongs_to_one_caller),       WITH(is_released_when_idle),
        WITH(forgets_a_place), WITH(the_longest_idle_makes_room), WITH(fails_without_memory),
        WITH(loops_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
