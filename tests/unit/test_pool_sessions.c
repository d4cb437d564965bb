// Sessions: where they were, how many a place has, and what a new one sees.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "pool/sessions.h"

enum { NAMES = 300, PLACES = 5 };

// Beside a plain array: as long as no row overflows, the table says the same.
static void agrees_with_an_array(void **state)
{
    struct {
        int32_t place;
        uint32_t tok;
        uint64_t at;
    } naive[NAMES + 1];
    struct sessions *s;
    struct rng rng;
    uint64_t now = 1;
    (void)state;
    rng_seed(&rng, 3);
    for (uint32_t i = 0; i <= NAMES; i++)
        naive[i].place = -1;
    assert_int_equal(sessions_open(&s, 1 << 12), RESULT_OK);
    for (uint32_t n = 0; n < 20000; n++) {
        uint64_t name = 1 + rng_below(&rng, NAMES);
        now += rng_below(&rng, 2000);
        uint32_t what = (uint32_t)rng_below(&rng, 40);
        if (what == 0) {
            int32_t place = (int32_t)rng_below(&rng, PLACES);
            sessions_forget(s, place);
            for (uint32_t i = 1; i <= NAMES; i++)
                naive[i].place = naive[i].place == place ? -1 : naive[i].place;
        } else if (what == 1) {
            for (uint32_t k = 0; k < 17; k++)
                sessions_sweep(s, now);
            uint32_t counts[PLACES] = {0};
            for (uint32_t i = 1; i <= NAMES; i++) {
                if (naive[i].place >= 0 && now - naive[i].at <= SESSIONS_IDLE_MS)
                    counts[naive[i].place]++;
            }
            for (int32_t p = 0; p < PLACES; p++)
                assert_int_equal(sessions_of(s, p), counts[p]);
        } else if (what < 20) {
            naive[name].place = (int32_t)rng_below(&rng, PLACES);
            naive[name].tok = (uint32_t)rng_below(&rng, 100000);
            naive[name].at = now;
            sessions_sent(s, name, naive[name].place, 2, naive[name].tok, now);
        } else {
            struct session_seen seen = sessions_look(s, name, now);
            bool over = naive[name].place < 0 || now - naive[name].at > SESSIONS_IDLE_MS;
            assert_int_equal(seen.place, over ? -1 : naive[name].place);
            assert_int_equal(seen.tok, over ? 0 : naive[name].tok);
            assert_int_equal(seen.model, over ? -1 : 2);
        }
    }
    sessions_close(s);
}

// The next policy has other numbers, lacks a place and a model, and knows the rest.
static void the_next_policy_takes_them_over(void **state)
{
    struct sessions *old, *s;
    const int32_t place[] = {3, -1, 0, 1, 2}, model[] = {1, -1};
    uint32_t counts[4] = {0};
    uint64_t now = 1000 + SESSIONS_IDLE_MS;
    (void)state;
    for (uint32_t rows = 1 << 10; rows <= 1 << 12; rows *= 2) {
        assert_int_equal(sessions_open(&old, 1 << 11), RESULT_OK);
        assert_int_equal(sessions_open(&s, rows), RESULT_OK);
        for (uint64_t name = 1; name <= NAMES; name++)
            sessions_sent(old, name, (int32_t)(name % 6), name % 7 == 0, (uint32_t)name,
                          name <= 20 ? 10 : 1000 + name);
        // A sixth place and a third model that it never had.
        sessions_sent(old, NAMES + 1, 1000, 0, 1, now);
        sessions_sent(old, NAMES + 2, 0, 2, 1, now);
        sessions_inherit(s, old, place, PLACES, model, 2, now);
        for (uint32_t p = 0; p < 4; p++)
            counts[p] = 0;
        for (uint64_t name = 1; name <= NAMES + 2; name++) {
            struct session_seen seen = sessions_look(s, name, now);
            uint32_t was = (uint32_t)(name % 6);
            bool kept = name > 20 && name <= NAMES && name % 7 && was < PLACES && place[was] >= 0;
            assert_int_equal(seen.place, kept ? place[was] : -1);
            assert_int_equal(seen.model, kept ? 1 : -1);
            assert_int_equal(seen.tok, kept ? name : 0);
            if (kept)
                counts[seen.place]++;
        }
        for (int32_t p = 0; p < 4; p++)
            assert_int_equal(sessions_of(s, p), counts[p]);
        // It is as old as it was.
        assert_int_equal(sessions_look(s, 298, now + 298).place, place[298 % 6]);
        assert_int_equal(sessions_look(s, 298, now + 299).place, -1);
        sessions_close(old);
        sessions_close(s);
    }
}

struct goer {
    struct sessions *s;
    atomic_bool *stop;
    uint64_t seed, done;
};

static void *go(void *arg)
{
    struct goer *g = arg;
    struct rng rng;
    rng_seed(&rng, g->seed);
    while (!atomic_load(g->stop) || g->done < 1000) {
        uint64_t name = 1 + rng_below(&rng, NAMES);
        sessions_sent(g->s, name, (int32_t)rng_below(&rng, PLACES), 0, 1, 1 + g->done / 1000);
        if (!rng_below(&rng, 1000))
            sessions_forget(g->s, (int32_t)rng_below(&rng, PLACES));
        g->done++;
    }
    return NULL;
}

// Loops go on with the old one while it is taken over.
static void loops_go_on_meanwhile(void **state)
{
    const int32_t place[] = {0, 1, 2, 3, 4}, model[] = {0};
    struct goer goers[3];
    pthread_t threads[3];
    struct sessions *old;
    atomic_bool stop = false;
    (void)state;
    assert_int_equal(sessions_open(&old, 64), RESULT_OK);
    for (uint32_t i = 0; i < 3; i++) {
        goers[i] = (struct goer){.s = old, .stop = &stop, .seed = i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, go, &goers[i]), 0);
    }
    for (int i = 0; i < 50; i++) {
        struct sessions *s;
        uint32_t known = 0, counted = 0;
        assert_int_equal(sessions_open(&s, 64), RESULT_OK);
        sessions_inherit(s, old, place, PLACES, model, 1, 1);
        for (uint64_t name = 1; name <= NAMES; name++) {
            struct session_seen seen = sessions_look(s, name, 1);
            assert_true(seen.place >= -1 && seen.place < PLACES);
            known += seen.place >= 0;
        }
        for (int32_t p = 0; p < PLACES; p++)
            counted += sessions_of(s, p);
        assert_int_equal(known, counted);
        sessions_close(s);
    }
    atomic_store(&stop, true);
    for (uint32_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    sessions_close(old);
}

// The longest silent one of a row makes room, and no place is counted twice.
static void a_full_table_forgets_the_oldest(void **state)
{
    struct sessions *s;
    uint32_t known = 0, counted = 0;
    (void)state;
    assert_int_equal(sessions_open(&s, 4), RESULT_OK);
    for (uint64_t name = 1; name <= 1000; name++)
        sessions_sent(s, name, (int32_t)(name % PLACES), 0, 1, name);
    for (uint64_t name = 1; name <= 1000; name++)
        known += sessions_look(s, name, 1000).place >= 0;
    for (int32_t p = 0; p < PLACES; p++)
        counted += sessions_of(s, p);
    assert_int_equal(known, 4 * SESSIONS_PER_ROW);
    assert_int_equal(counted, known);
    assert_true(sessions_look(s, 1000, 1000).place >= 0);
    sessions_sent(s, 0, 1, 0, 1, 1000);
    sessions_sent(s, 5000, -1, 0, 1, 1000);
    assert_int_equal(sessions_look(s, 0, 1000).place, -1);
    assert_int_equal(sessions_look(s, 5000, 1000).place, -1);
    sessions_close(s);
}

static void a_new_one_sees_sessions_and_little_of_the_cache(void **state)
{
    struct sessions *s;
    struct pool_place rows[3] = {{.prefix_tok = 1600, .state = POOL_PLACE_UP},
                                 {.prefix_tok = 0, .state = POOL_PLACE_UP},
                                 {.prefix_tok = 8000, .state = POOL_PLACE_UP}};
    (void)state;
    assert_int_equal(sessions_open(&s, 64), RESULT_OK);
    for (uint64_t name = 1; name <= 10; name++)
        sessions_sent(s, name, name <= 7 ? 1 : 2, 0, 500, 1);
    sessions_weigh(s, 99, 1, 100, rows, 0, 3, NULL);
    assert_int_equal(rows[0].prefix_tok, 100);
    assert_int_equal(rows[2].prefix_tok, 500);
    assert_true(rows[0].slot_nusd_s == 0 && rows[1].slot_nusd_s > 69 && rows[1].slot_nusd_s < 71 &&
                rows[2].slot_nusd_s > 29);
    // One that has its place sees things as they are; so does a request without a session.
    uint32_t prefix[3] = {160, 320, 480};
    sessions_weigh(s, 3, 1, 100, rows, 0, 3, prefix);
    assert_true(prefix[1] == 320 && rows[1].slot_nusd_s == 0);
    sessions_weigh(s, 0, 1, 100, rows, 0, 3, prefix);
    assert_int_equal(prefix[2], 480);
    // Its place is out: it is as a new one.
    rows[1].state = POOL_PLACE_OUT;
    sessions_weigh(s, 3, 1, 100, rows, 0, 3, prefix);
    assert_true(prefix[2] == 30 && rows[2].slot_nusd_s > 0);
    sessions_close(s);
}

static void no_memory_and_odd_sizes(void **state)
{
    struct sessions *s;
    (void)state;
    assert_int_equal(sessions_open(&s, 0), RESULT_LIMIT);
    assert_int_equal(sessions_open(&s, 3), RESULT_LIMIT);
    assert_int_equal(sessions_open(&s, SESSIONS_ROWS_MAX * 2), RESULT_LIMIT);
    for (uint64_t n = 1; n <= 2; n++) {
        alloc_fail_at(n, 0);
        assert_int_equal(sessions_open(&s, 16), RESULT_NOMEM);
        alloc_fail_at(0, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_policy_takes_them_over),
        cmocka_unit_test(loops_go_on_meanwhile),
        cmocka_unit_test(agrees_with_an_array),
        cmocka_unit_test(a_full_table_forgets_the_oldest),
        cmocka_unit_test(a_new_one_sees_sessions_and_little_of_the_cache),
        cmocka_unit_test(no_memory_and_odd_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
