// net/loop, net/wheel: timers beside a naive list, tasks, events, mailbox, sleeping.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "net/loop.h"
#include "net/wheel.h"

static uint64_t mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t cpu_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_THREAD, &u);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

// ---- the wheel beside an array ----

enum { TIMERS = 200 };

struct model {
    struct wheel wheel;
    struct loop_timer timers[TIMERS];
    uint64_t due[TIMERS]; // 0: not set
    uint64_t last_due;
    struct rng rng;
    int ran;
};
static struct model model;

static uint64_t draw_delay(struct rng *r)
{
    // Every level of the wheel is reached, short ones often.
    return rng_below(r, UINT64_C(1) << (1 + rng_below(r, 40)));
}

static void model_set(struct model *m, int i, uint64_t due)
{
    wheel_set(&m->wheel, &m->timers[i], due);
    m->due[i] = due > m->wheel.now_ms ? due : m->wheel.now_ms + 1;
}

static void model_due(struct loop_timer *t)
{
    struct model *m = &model;
    int i = (int)(t - m->timers);
    assert_int_equal(m->due[i], m->wheel.now_ms);
    assert_true(m->due[i] >= m->last_due);
    m->last_due = m->due[i];
    m->due[i] = 0;
    m->ran++;
    // A timer may set itself and cancel others while it runs.
    if (rng_below(&m->rng, 4) == 0)
        model_set(m, i, m->wheel.now_ms + draw_delay(&m->rng));
    int other = (int)rng_below(&m->rng, TIMERS);
    if (rng_below(&m->rng, 4) == 0) {
        wheel_cancel(&m->timers[other]);
        m->due[other] = 0;
    }
}

static uint64_t model_next(const struct model *m)
{
    uint64_t next = UINT64_MAX;
    for (int i = 0; i < TIMERS; i++)
        if (m->due[i] && m->due[i] < next)
            next = m->due[i];
    return next;
}

static void wheel_equals_naive_list(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct model *m = &model;
        *m = (struct model){.ran = 0};
        rng_seed(&m->rng, seed);
        wheel_init(&m->wheel, rng_next(&m->rng) >> 24);
        for (int i = 0; i < TIMERS; i++)
            m->timers[i].on_due = model_due;
        for (int step = 0; step < 4000; step++) {
            int i = (int)rng_below(&m->rng, TIMERS);
            uint64_t what = rng_below(&m->rng, 10);
            if (what < 5) {
                model_set(m, i, m->wheel.now_ms + draw_delay(&m->rng));
            } else if (what < 7) {
                wheel_cancel(&m->timers[i]);
                m->due[i] = 0;
            } else {
                uint64_t now = m->wheel.now_ms + draw_delay(&m->rng) / 16;
                uint64_t next = wheel_next(&m->wheel), true_next = model_next(m);
                assert_true(next <= true_next);
                if (true_next - m->wheel.now_ms < 2)
                    assert_int_equal(next, true_next);
                m->last_due = 0;
                int before = m->ran;
                uint64_t ran = wheel_advance(&m->wheel, now);
                assert_int_equal(ran, m->ran - before);
                assert_int_equal(m->wheel.now_ms, now);
                assert_true(model_next(m) > now);
            }
            for (int k = 0; k < TIMERS; k++)
                assert_int_equal(loop_timer_is_set(&m->timers[k]), m->due[k] != 0);
        }
        assert_true(m->ran > 100);
    }
}

static void wheel_wakes_seldom(void **state)
{
    (void)state;
    // A lone timer costs at most one wake-up per level on its way down.
    struct rng r;
    rng_seed(&r, 7);
    for (int round = 0; round < 500; round++) {
        struct model *m = &model;
        *m = (struct model){.ran = 0};
        rng_seed(&m->rng, 1);
        wheel_init(&m->wheel, rng_next(&r) >> 24);
        m->timers[0].on_due = model_due;
        uint64_t delay = 1 + rng_below(&r, 3600 * 1000), start = m->wheel.now_ms;
        model_set(m, 0, start + delay);
        int wakes = 0;
        while (!m->ran) {
            wheel_advance(&m->wheel, wheel_next(&m->wheel));
            wakes++;
        }
        assert_int_equal(m->last_due, start + delay);
        assert_true(wakes <= 5);
    }
}

// ---- timers of a loop ----

struct timing {
    struct loop_timer timer;
    struct loop *loop;
    uint64_t ran_ms;
    int ran;
};

static void timing_due(struct loop_timer *t)
{
    struct timing *x = MERIT_CONTAINER(t, struct timing, timer);
    x->ran_ms = mono_ms();
    x->ran++;
}

static void timers_run_in_time(void **state)
{
    (void)state;
    struct loop *l;
    assert_int_equal(loop_open(&l, 0), RESULT_OK);
    struct timing a = {.timer.on_due = timing_due}, b = a, c = a;
    uint64_t start = mono_ms();
    loop_refresh(l);
    loop_timer_set(l, &a.timer, 30);
    loop_timer_set(l, &b.timer, 5000);
    loop_timer_set(l, &b.timer, 60);
    loop_timer_set(l, &c.timer, 10);
    loop_timer_cancel(l, &c.timer);
    loop_timer_cancel(l, &c.timer);
    int turns = 0;
    while (!b.ran && turns < 100) {
        loop_turn(l, -1);
        turns++;
    }
    assert_int_equal(a.ran, 1);
    assert_int_equal(b.ran, 1);
    assert_int_equal(c.ran, 0);
    assert_true(a.ran_ms - start >= 30);
    assert_true(b.ran_ms - start >= 60);
    assert_true(turns <= 6);
    loop_close(l);
}

static void idle_loop_sleeps(void **state)
{
    (void)state;
    struct loop *l;
    assert_int_equal(loop_open(&l, 0), RESULT_OK);
    struct timing a = {.timer.on_due = timing_due};
    loop_timer_set(l, &a.timer, 75000);
    uint64_t start = mono_ms(), cpu = cpu_us();
    assert_false(loop_turn(l, 100));
    assert_true(mono_ms() - start >= 99);
    assert_true(cpu_us() - cpu < 20000);
    loop_timer_cancel(l, &a.timer);
    loop_close(l);
}

// ---- tasks ----

struct note {
    struct loop_task task;
    struct loop *loop;
    char **log;
    char name;
    struct note *also;
    int again;
};

static void note_run(struct loop_task *t)
{
    struct note *n = MERIT_CONTAINER(t, struct note, task);
    *(*n->log)++ = n->name;
    if (n->also)
        loop_defer(n->loop, &n->also->task);
    if (n->again-- > 0)
        loop_later(n->loop, &n->task);
}

static void tasks_keep_their_order(void **state)
{
    (void)state;
    struct loop *l;
    assert_int_equal(loop_open(&l, 0), RESULT_OK);
    char text[64] = {0}, *log = text;
    struct note d = {.task.run = note_run, .loop = l, .log = &log, .name = 'd'};
    struct note a = {.task.run = note_run, .loop = l, .log = &log, .name = 'a', .also = &d};
    struct note b = {.task.run = note_run, .loop = l, .log = &log, .name = 'b', .again = 1};
    struct note c = {.task.run = note_run, .loop = l, .log = &log, .name = 'c'};
    loop_defer(l, &a.task);
    loop_defer(l, &b.task);
    loop_defer(l, &a.task);
    loop_defer(l, &c.task);
    assert_true(loop_task_is_queued(&c.task));
    loop_task_cancel(&c.task);
    assert_false(loop_task_is_queued(&c.task));
    assert_true(loop_turn(l, -1));
    assert_string_equal(text, "abd");
    assert_true(loop_turn(l, -1));
    assert_string_equal(text, "abdb");
    assert_false(loop_turn(l, 0));
    // A task that was moved to the running turn can still be cancelled by one before it.
    loop_defer(l, &c.task);
    loop_close(l);
    assert_string_equal(text, "abdbc");
}

static void endless_task_does_not_hold_the_turn(void **state)
{
    (void)state;
    struct loop *l;
    assert_int_equal(loop_open(&l, 0), RESULT_OK);
    char text[256] = {0}, *log = text;
    struct note a = {.task.run = note_run, .loop = l, .log = &log, .name = 'a'};
    a.also = &a;
    loop_defer(l, &a.task);
    assert_true(loop_turn(l, -1));
    assert_int_equal(log - text, LOOP_ROUNDS);
    assert_true(loop_turn(l, -1));
    assert_int_equal(log - text, 2 * LOOP_ROUNDS);
    a.also = NULL;
    loop_close(l);
}

// ---- descriptors ----

struct watcher {
    struct loop_io io;
    struct loop *loop;
    struct watcher *kill;
    int events, seen_in, seen_out;
};

static void watcher_event(struct loop_io *io, uint32_t events)
{
    struct watcher *w = MERIT_CONTAINER(io, struct watcher, io);
    w->events++;
    w->seen_in += (events & EPOLLIN) != 0;
    w->seen_out += (events & EPOLLOUT) != 0;
    if (w->kill)
        loop_del(w->loop, &w->kill->io);
}

static void deleted_io_hears_nothing(void **state)
{
    (void)state;
    struct loop *l;
    assert_int_equal(loop_open(&l, 0), RESULT_OK);
    int one[2], two[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, one), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, two), 0);
    struct watcher a = {.io = {one[0], watcher_event}, .loop = l},
                   b = {.io = {two[0], watcher_event}, .loop = l};
    // Whichever comes first in the batch deletes the other.
    a.kill = &b;
    b.kill = &a;
    assert_int_equal(loop_add(l, &a.io), RESULT_OK);
    assert_int_equal(loop_add(l, &b.io), RESULT_OK);
    assert_true(loop_turn(l, -1));
    assert_int_equal(a.events + b.events, 1);
    struct watcher *left = a.events ? &a : &b;
    assert_int_equal(write(left == &a ? one[1] : two[1], "x", 1), 1);
    assert_true(loop_turn(l, 1000));
    assert_int_equal(left->seen_in, 1);
    // Edge-triggered: unread data is not told again.
    assert_false(loop_turn(l, 0));
    for (int i = 0; i < 2; i++) {
        close(one[i]);
        close(two[i]);
    }
    loop_close(l);
}

static void level_io_is_told_again(void **state)
{
    (void)state;
    struct loop *l;
    assert_int_equal(loop_open(&l, 0), RESULT_OK);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    struct watcher a = {.io = {pair[0], watcher_event}, .loop = l};
    assert_int_equal(loop_add_level(l, &a.io), RESULT_OK);
    assert_false(loop_turn(l, 0));
    assert_int_equal(write(pair[1], "x", 1), 1);
    assert_true(loop_turn(l, 0));
    assert_true(loop_turn(l, 0));
    loop_del(l, &a.io);
    assert_false(loop_turn(l, 0));
    close(pair[0]);
    close(pair[1]);
    loop_close(l);
}

// ---- mailbox ----

enum { SENDERS = 4, POSTS = 20000 };

struct letter {
    struct loop_message m;
    int sender, number;
};

static struct loop *mail_loop;
static int mail_next[SENDERS], mail_total;

static void letter_run(struct loop_message *m, struct loop *loop)
{
    struct letter *x = MERIT_CONTAINER(m, struct letter, m);
    assert_ptr_equal(loop, mail_loop);
    assert_int_equal(x->number, mail_next[x->sender]);
    mail_next[x->sender]++;
    if (++mail_total == SENDERS * POSTS)
        loop_stop(loop);
    free(x);
}

static void *send_letters(void *arg)
{
    int sender = (int)(intptr_t)arg;
    for (int i = 0; i < POSTS; i++) {
        struct letter *x = malloc(sizeof *x);
        *x = (struct letter){{NULL, letter_run}, sender, i};
        loop_post(mail_loop, &x->m);
        // Now and then the loop is let fall asleep, so that wake-ups are tested too.
        if (i % 2000 == 1999)
            usleep(1000);
    }
    return NULL;
}

static void mailbox_keeps_every_message_in_order(void **state)
{
    for (uint32_t busy = 0; busy <= 100; busy += 100) {
        (void)state;
        assert_int_equal(loop_open(&mail_loop, busy), RESULT_OK);
        mail_total = 0;
        pthread_t t[SENDERS];
        for (int i = 0; i < SENDERS; i++) {
            mail_next[i] = 0;
            assert_int_equal(pthread_create(&t[i], NULL, send_letters, (void *)(intptr_t)i), 0);
        }
        loop_run(mail_loop);
        for (int i = 0; i < SENDERS; i++) {
            pthread_join(t[i], NULL);
            assert_int_equal(mail_next[i], POSTS);
        }
        loop_close(mail_loop);
    }
}

// The next message is sent in the very moment in which the loop makes ready to sleep.
static atomic_int echoed;

static void echo_run(struct loop_message *m, struct loop *loop)
{
    (void)m;
    (void)loop;
    atomic_fetch_add(&echoed, 1);
}

static void *send_one_by_one(void *arg)
{
    static struct loop_message m = {.run = echo_run};
    for (int i = 0; i < 20000; i++) {
        loop_post(arg, &m);
        while (atomic_load(&echoed) == i)
            ;
        for (int k = i % 50; k > 0; k--)
            __asm__ volatile("");
    }
    return NULL;
}

static void no_wake_is_lost(void **state)
{
    (void)state;
    struct loop *l;
    pthread_t t;
    assert_int_equal(loop_open(&l, 0), RESULT_OK);
    atomic_store(&echoed, 0);
    assert_int_equal(pthread_create(&t, NULL, send_one_by_one, l), 0);
    while (atomic_load(&echoed) < 20000) {
        // A lost wake leaves the loop asleep until the time runs out.
        uint64_t before = mono_ms();
        loop_turn(l, 10000);
        assert_true(mono_ms() - before < 9000);
    }
    pthread_join(t, NULL);
    loop_close(l);
}

static void *run_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

static void stop_is_seen_from_anywhere(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        struct loop *l;
        assert_int_equal(loop_open(&l, i % 2 ? 50 : 0), RESULT_OK);
        pthread_t t;
        assert_int_equal(pthread_create(&t, NULL, run_loop, l), 0);
        if (i % 3 == 0)
            usleep(300);
        loop_stop(l);
        pthread_join(t, NULL);
        loop_close(l);
    }
}

static void echo_post(struct loop_message *m, struct loop *loop)
{
    struct letter *x = MERIT_CONTAINER(m, struct letter, m);
    if (x->number-- > 0)
        loop_post(loop, m);
}

static void a_message_posted_by_a_message_runs(void **state)
{
    (void)state;
    struct loop *l;
    assert_int_equal(loop_open(&l, 0), RESULT_OK);
    struct letter x = {{NULL, echo_post}, 0, 3};
    loop_post(l, &x.m);
    uint64_t start = mono_ms();
    for (int i = 0; i < 4; i++)
        assert_true(loop_turn(l, 10000));
    assert_true(mono_ms() - start < 5000);
    assert_int_equal(x.number, -1);
    x.number = 2;
    loop_post(l, &x.m);
    loop_close(l);
    assert_int_equal(x.number, -1);
}

static void busy_poll_ends(void **state)
{
    (void)state;
    struct loop *l;
    assert_int_equal(loop_open(&l, 20000), RESULT_OK);
    uint64_t cpu = cpu_us();
    loop_turn(l, 200);
    assert_true(cpu_us() - cpu < 150000);
    loop_close(l);
}

static void pages_are_kept_and_given_back(void **state)
{
    (void)state;
    struct loop *l;
    assert_int_equal(loop_open(&l, 0), RESULT_OK);
    void *pages[LOOP_PAGES_KEPT + 5];
    for (size_t i = 0; i < MERIT_COUNT(pages); i++)
        assert_non_null(pages[i] = loop_page_take(l));
    for (size_t i = 0; i < MERIT_COUNT(pages); i++)
        loop_page_give(l, pages[i]);
    loop_page_give(l, NULL);
    uint64_t before = alloc_count();
    void *p = loop_page_take(l);
    assert_int_equal(alloc_count(), before);
    loop_page_give(l, p);
    loop_close(l);
}

static void opening_survives_faults(void **state)
{
    (void)state;
    struct loop *l;
    alloc_fail_at(1, 0);
    assert_int_equal(loop_open(&l, 0), RESULT_NOMEM);
    alloc_fail_at(0, 0);
    assert_null(l);
    struct rlimit old, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){0, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum result r = loop_open(&l, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(r, RESULT_IO);
    loop_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wheel_equals_naive_list),
        cmocka_unit_test(wheel_wakes_seldom),
        cmocka_unit_test(timers_run_in_time),
        cmocka_unit_test(idle_loop_sleeps),
        cmocka_unit_test(tasks_keep_their_order),
        cmocka_unit_test(endless_task_does_not_hold_the_turn),
        cmocka_unit_test(deleted_io_hears_nothing),
        cmocka_unit_test(level_io_is_told_again),
        cmocka_unit_test(mailbox_keeps_every_message_in_order),
        cmocka_unit_test(no_wake_is_lost),
        cmocka_unit_test(stop_is_seen_from_anywhere),
        cmocka_unit_test(a_message_posted_by_a_message_runs),
        cmocka_unit_test(busy_poll_ends),
        cmocka_unit_test(pages_are_kept_and_given_back),
        cmocka_unit_test(opening_survives_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
