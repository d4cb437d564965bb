// Requests that are sent again and again: what is remembered, for how long, and that no two requests are mixed up.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/hammer.h"
#include "base/alloc.h"

enum { LONGEST_MS = 30000, CODES = 8, THREADS = 4, ROUNDS = 40000 };

static struct api_error error_of(int i)
{
    static const char *const codes[CODES] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    static const char text[] = "0123456789abcdef";
    return (struct api_error){.status = 500 + i,
                              .type = "upstream_error",
                              .code = codes[i],
                              .message = slice_make(text, (size_t)i + 1),
                              .final = i % 2};
}

static uint64_t key_of(const struct hammer *h, const char *caller, const char *body)
{
    return hammer_key(h, slice_cstr(caller), SLICE("digest"), SLICE("/v1/chat/completions"),
                      slice_cstr(body));
}

static void test_pauses_double(void **state)
{
    struct hammer *h;
    struct api_error e, failed = error_of(2);
    uint64_t now = 1000000, expected = HAMMER_FIRST_MS;
    (void)state;
    assert_int_equal(hammer_open(&h, LONGEST_MS), RESULT_OK);
    uint64_t key = key_of(h, "ann", "hi"), other = key_of(h, "bob", "hi");
    assert_true(key != other);
    assert_false(hammer_any(h, now));
    hammer_failed(h, key, 1, &failed, now);
    assert_true(hammer_any(h, now));
    assert_false(hammer_find(h, key, now, &e)); // once may be an accident
    for (int i = 0; i < 8; i++) {
        hammer_failed(h, key, 1, &failed, now);
        assert_true(hammer_find(h, key, now, &e));
        assert_int_equal(e.status, 502);
        assert_string_equal(e.code, "c");
        assert_int_equal(e.message.len, 3);
        assert_int_equal(e.retry_after_s, expected / 1000);
        assert_false(hammer_find(h, other, now, &e));
        assert_true(hammer_find(h, key, now + expected - 1, &e));
        assert_int_equal(e.retry_after_s, 1);
        assert_false(hammer_find(h, key, now + expected, &e));
        now += expected;
        expected = 2 * expected < LONGEST_MS ? 2 * expected : LONGEST_MS;
    }
    // The upstream's own wait counts where it is longer.
    failed.retry_after_s = 20;
    hammer_failed(h, other, 1, &failed, now);
    hammer_failed(h, other, 1, &failed, now);
    assert_true(hammer_find(h, other, now, &e));
    assert_int_equal(e.retry_after_s, 20);
    hammer_close(h);
}

static void test_it_is_forgotten(void **state)
{
    struct hammer *h;
    struct api_error e, failed = error_of(1);
    uint64_t now = 5000000;
    (void)state;
    assert_int_equal(hammer_open(&h, LONGEST_MS), RESULT_OK);
    uint64_t key = key_of(h, "ann", "hi");
    for (int i = 0; i < 3; i++)
        hammer_failed(h, key, 1 << 3 | 1 << 5, &failed, now);
    hammer_good(h, 4, now + 1);
    assert_true(hammer_find(h, key, now + 2, &e)); // another model
    hammer_good(h, 5, now + 1);
    assert_false(hammer_find(h, key, now + 2, &e));
    // From the start.
    hammer_failed(h, key, 1 << 3, &failed, now + 10);
    assert_false(hammer_find(h, key, now + 10, &e));
    hammer_failed(h, key, 1 << 3, &failed, now + 10);
    assert_true(hammer_find(h, key, now + 10, &e));
    // After a minute without a failure nothing is left, and it is the first one again.
    hammer_failed(h, key, 1 << 3, &failed, now + 10 + HAMMER_KEPT_MS);
    assert_false(hammer_find(h, key, now + 10 + HAMMER_KEPT_MS, &e));
    assert_false(hammer_any(h, now + 10 + 2 * HAMMER_KEPT_MS));
    hammer_close(h);
}

static void test_it_stays_bounded(void **state)
{
    struct hammer *h;
    struct api_error e, failed = error_of(3);
    (void)state;
    assert_int_equal(hammer_open(&h, LONGEST_MS), RESULT_OK);
    uint32_t kept = 0, count = 20 * HAMMER_SETS * HAMMER_WAYS;
    for (uint32_t i = 1; i <= count; i++)
        for (int k = 0; k < 2; k++)
            hammer_failed(h, i * 0x9e3779b97f4a7c15u, 1, &failed, 1000 + i / 100);
    for (uint32_t i = 1; i <= count; i++)
        kept += hammer_find(h, i * 0x9e3779b97f4a7c15u, 1000 + count / 100, &e);
    assert_in_range(kept, HAMMER_SETS * HAMMER_WAYS / 2, HAMMER_SETS * HAMMER_WAYS);
    hammer_close(h);
}

static struct hammer *shared;

// Few keys, so that all threads write the same places; each key has an error of its own.
static void *thread(void *arg)
{
    uint64_t x = (uint64_t)(uintptr_t)arg, mixed = 0;
    for (int i = 0; i < ROUNDS; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        int which = (int)(x >> 40) % CODES;
        uint64_t key = 7 + (uint64_t)which * HAMMER_SETS; // all in one set
        struct api_error e, want = error_of(which);
        if (x >> 60 & 1)
            hammer_failed(shared, key, 1, &want, 1000);
        else if (hammer_find(shared, key, 1001, &e))
            mixed += e.status != want.status || e.code != want.code ||
                     e.message.len != want.message.len || e.final != want.final;
    }
    return (void *)(uintptr_t)mixed;
}

static void test_threads_mix_nothing_up(void **state)
{
    pthread_t threads[THREADS];
    (void)state;
    assert_int_equal(hammer_open(&shared, LONGEST_MS), RESULT_OK);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, thread, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++) {
        void *mixed;
        pthread_join(threads[i], &mixed);
        assert_ptr_equal(mixed, NULL);
    }
    hammer_close(shared);
}

static void test_without_memory(void **state)
{
    struct hammer *h;
    (void)state;
    alloc_fail_at(1, 0);
    assert_int_equal(hammer_open(&h, LONGEST_MS), RESULT_NOMEM);
    alloc_fail_at(0, 0);
    assert_null(h);
    hammer_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pauses_double),    cmocka_unit_test(test_it_is_forgotten),
        cmocka_unit_test(test_it_stays_bounded), cmocka_unit_test(test_threads_mix_nothing_up),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
