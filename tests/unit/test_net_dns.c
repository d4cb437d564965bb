// net/dns with a resolver of the test's own: numeric, cached, shared, cancelled, limited, closed while it hangs.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "net/dns.h"
#include "net/sys.h"

static atomic_int lookups;
static sem_t gate, entered; // a name that begins with "slow" waits for the gate

static int fake_lookup(const char *name, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list)
{
    assert_null(service);
    assert_int_equal(hints->ai_socktype, SOCK_STREAM);
    atomic_fetch_add(&lookups, 1);
    *list = NULL;
    if (strncmp(name, "slow", 4) == 0) {
        sem_post(&entered);
        sem_wait(&gate);
    }
    if (strcmp(name, "none.example") == 0)
        return EAI_NONAME;
    if (strcmp(name, "again.example") == 0)
        return EAI_AGAIN;
    if (strcmp(name, "memory.example") == 0)
        return EAI_MEMORY;
    int count = strcmp(name, "many.example") == 0 ? DNS_ADDRESSES_MAX + 3 : 2;
    if (strcmp(name, "empty.example") == 0)
        count = 0;
    for (int i = count; i-- > 0;) {
        struct addrinfo *a = calloc(1, sizeof *a + sizeof(struct sockaddr_in6));
        a->ai_addr = (struct sockaddr *)(a + 1);
        a->ai_family = i % 2 ? AF_INET : AF_INET6;
        a->ai_addr->sa_family = (sa_family_t)a->ai_family;
        if (i % 2) {
            a->ai_addrlen = sizeof(struct sockaddr_in);
            ((struct sockaddr_in *)a->ai_addr)->sin_addr.s_addr = htonl(0x0a000000u + (uint32_t)i);
        } else {
            a->ai_addrlen = sizeof(struct sockaddr_in6);
            ((struct sockaddr_in6 *)a->ai_addr)->sin6_addr.s6_addr[15] = (uint8_t)i;
        }
        a->ai_next = *list;
        *list = a;
    }
    return 0;
}

static void fake_free(struct addrinfo *list)
{
    while (list) {
        struct addrinfo *next = list->ai_next;
        free(list);
        list = next;
    }
}

struct asker {
    struct dns_query q;
    struct dns_answer answer;
    int answers;
    struct asker *cancels;
};

static void answered(struct dns_query *q, const struct dns_answer *a)
{
    struct asker *x = MERIT_CONTAINER(q, struct asker, q);
    x->answer = *a;
    x->answers++;
    if (x->cancels)
        dns_cancel(&x->cancels->q);
}

static struct loop *loop;
static struct dns *dns;

static int set_up(void **state)
{
    (void)state;
    atomic_store(&lookups, 0);
    while (sem_trywait(&gate) == 0 || sem_trywait(&entered) == 0)
        ;
    return loop_open(&loop, 0) || dns_open(&dns);
}

static int tear_down(void **state)
{
    (void)state;
    dns_close(dns);
    loop_close(loop);
    return 0;
}

static void ask(struct asker *x, const char *host, uint16_t port)
{
    x->q.on_answer = answered;
    dns_resolve(dns, loop, &x->q, slice_cstr(host), port);
}

static void wait_for(struct asker *x)
{
    for (int i = 0; i < 100 && !x->answers; i++)
        loop_turn(loop, 100);
    assert_int_equal(x->answers, 1);
}

static void assert_text(const struct dns_address *a, const char *expected, int port)
{
    char text[INET6_ADDRSTRLEN];
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a->addr;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a->addr;
    bool four = a->addr.ss_family == AF_INET;
    assert_non_null(inet_ntop(
        a->addr.ss_family, four ? (const void *)&v4->sin_addr : &v6->sin6_addr, text, sizeof text));
    assert_string_equal(text, expected);
    assert_int_equal(ntohs(four ? v4->sin_port : v6->sin6_port), port);
    assert_int_equal(a->len, four ? sizeof *v4 : sizeof *v6);
}

static void numbers_answer_at_once(void **state)
{
    (void)state;
    static const struct {
        const char *host, *text;
    } cases[] = {{"127.0.0.1", "127.0.0.1"},
                 {"::1", "::1"},
                 {"[2001:db8::7]", "2001:db8::7"},
                 {"0.0.0.0", "0.0.0.0"}};
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        struct asker x = {0};
        ask(&x, cases[i].host, 8780);
        assert_int_equal(x.answers, 1);
        assert_int_equal(x.answer.result, RESULT_OK);
        assert_int_equal(x.answer.count, 1);
        assert_text(&x.answer.addresses[0], cases[i].text, 8780);
        dns_cancel(&x.q);
    }
    assert_int_equal(lookups, 0);
}

static void bad_names_fail_at_once(void **state)
{
    (void)state;
    char longest[DNS_NAME_MAX + 2];
    memset(longest, 'a', sizeof longest);
    longest[DNS_NAME_MAX + 1] = 0;
    struct asker x[5] = {0};
    ask(&x[0], "", 80);
    ask(&x[1], "a b.example", 80);
    ask(&x[2], longest, 80);
    ask(&x[3], "line\nbreak", 80);
    x[4].q.on_answer = answered;
    dns_resolve(dns, loop, &x[4].q, SLICE("127.0.0.1\0.example"), 80);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(x[i].answers, 1);
        assert_int_equal(x[i].answer.result, i == 2 ? RESULT_LIMIT : RESULT_DNS);
    }
    assert_int_equal(lookups, 0);
    longest[DNS_NAME_MAX] = 0;
    struct asker y = {0};
    ask(&y, longest, 80);
    wait_for(&y);
    assert_int_equal(y.answer.result, RESULT_OK);
}

static void names_are_looked_up_and_kept(void **state)
{
    (void)state;
    struct clock clock = clock_fixed(1000000, 1);
    dns_set_clock(dns, &clock);
    struct asker a = {0}, b = {0}, c = {0}, d = {0};
    ask(&a, "One.Example", 80);
    assert_int_equal(a.answers, 0);
    wait_for(&a);
    assert_int_equal(a.answer.count, 2);
    assert_text(&a.answer.addresses[0], "::", 80);
    assert_text(&a.answer.addresses[1], "10.0.0.1", 80);
    // Kept, whatever its case and final dot, with each caller's own port.
    ask(&b, "one.example.", 443);
    assert_int_equal(b.answers, 1);
    assert_text(&b.answer.addresses[1], "10.0.0.1", 443);
    clock.fixed_mono_us += DNS_TTL_MS * 1000 - 1;
    ask(&c, "one.example", 80);
    assert_int_equal(c.answers, 1);
    assert_int_equal(lookups, 1);
    clock.fixed_mono_us += 1;
    ask(&d, "one.example", 80);
    assert_int_equal(d.answers, 0);
    wait_for(&d);
    assert_int_equal(lookups, 2);
    dns_set_clock(dns, &clock_system);
}

static void failures_are_kept_shorter(void **state)
{
    (void)state;
    struct clock clock = clock_fixed(1000000, 1);
    dns_set_clock(dns, &clock);
    struct asker a = {0}, b = {0}, c = {0}, d = {0}, e = {0}, f = {0};
    ask(&a, "none.example", 80);
    wait_for(&a);
    assert_int_equal(a.answer.result, RESULT_DNS);
    ask(&b, "none.example", 80);
    assert_int_equal(b.answers, 1);
    clock.fixed_mono_us += DNS_FAIL_TTL_MS * 1000;
    ask(&c, "none.example", 80);
    wait_for(&c);
    assert_int_equal(lookups, 2);
    ask(&d, "again.example", 80);
    wait_for(&d);
    assert_int_equal(d.answer.result, RESULT_TIMEOUT);
    ask(&e, "memory.example", 80);
    wait_for(&e);
    assert_int_equal(e.answer.result, RESULT_NOMEM);
    ask(&f, "empty.example", 80);
    wait_for(&f);
    assert_int_equal(f.answer.result, RESULT_DNS);
    dns_set_clock(dns, &clock_system);
}

static void addresses_are_capped(void **state)
{
    (void)state;
    struct asker a = {0};
    ask(&a, "many.example", 80);
    wait_for(&a);
    assert_int_equal(a.answer.count, DNS_ADDRESSES_MAX);
    assert_text(&a.answer.addresses[DNS_ADDRESSES_MAX - 1], "10.0.0.7", 80);
}

static void queries_for_one_name_share_a_lookup(void **state)
{
    (void)state;
    struct asker x[10] = {0};
    for (int i = 0; i < 10; i++)
        ask(&x[i], "slow.example", (uint16_t)(100 + i));
    // Cancelled before the answer; and from inside another's callback.
    dns_cancel(&x[3].q);
    dns_cancel(&x[3].q);
    sem_post(&gate);
    wait_for(&x[0]);
    loop_turn(loop, 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(x[i].answers, i != 3);
        if (i != 3)
            assert_text(&x[i].answer.addresses[1], "10.0.0.1", 100 + i);
    }
    assert_int_equal(lookups, 1);
}

static void cancel_after_the_answer_was_posted(void **state)
{
    (void)state;
    struct asker a = {0}, b = {0}, c = {0};
    ask(&a, "slow.example", 1);
    ask(&b, "slow.example", 2);
    ask(&c, "slow.example", 3);
    // Whichever is answered first cancels both others, whose answers then lie in the mailbox already.
    a.cancels = &b;
    b.cancels = &a;
    c.cancels = &b;
    sem_post(&gate);
    struct asker after = {0};
    for (int i = 0; i < 100 && !(a.answers + b.answers); i++)
        loop_turn(loop, 100);
    ask(&after, "slow.example", 4);
    assert_int_equal(after.answers, 1);
    loop_turn(loop, 0);
    assert_int_equal(a.answers + b.answers, 1);
}

static void waiting_is_limited(void **state)
{
    (void)state;
    static struct asker x[DNS_WAITING_MAX + 2];
    memset(x, 0, sizeof x);
    char host[32];
    for (int i = 0; i < DNS_WAITING_MAX; i++) {
        snprintf(host, sizeof host, i % 2 ? "slow.example" : "slow%d.example", i);
        ask(&x[i], host, 80);
        assert_int_equal(x[i].answers, 0);
    }
    ask(&x[DNS_WAITING_MAX], "slow.example", 80);
    assert_int_equal(x[DNS_WAITING_MAX].answers, 1);
    assert_int_equal(x[DNS_WAITING_MAX].answer.result, RESULT_LIMIT);
    // A cancelled one makes room.
    dns_cancel(&x[7].q);
    ask(&x[DNS_WAITING_MAX + 1], "slow.example", 80);
    assert_int_equal(x[DNS_WAITING_MAX + 1].answers, 0);
    for (int i = 0; i < DNS_WAITING_MAX; i++)
        sem_post(&gate);
    for (int i = 0; i < DNS_WAITING_MAX + 2; i++)
        if (i != 7 && i != DNS_WAITING_MAX)
            wait_for(&x[i]);
}

static void old_names_make_room(void **state)
{
    (void)state;
    char host[32];
    for (int i = 0; i < DNS_NAMES_MAX + 50; i++) {
        struct asker x = {0};
        snprintf(host, sizeof host, "h%d.example", i);
        ask(&x, host, 80);
        wait_for(&x);
        assert_int_equal(x.answer.result, RESULT_OK);
    }
    int before = lookups;
    struct asker newest = {0}, oldest = {0};
    ask(&newest, host, 80);
    assert_int_equal(newest.answers, 1);
    ask(&oldest, "h0.example", 80);
    wait_for(&oldest);
    assert_int_equal(lookups, before + 1);
}

static void a_name_that_is_looked_up_keeps_its_place(void **state)
{
    (void)state;
    char host[32];
    for (int i = 0; i < DNS_NAMES_MAX - 1; i++) {
        struct asker x = {0};
        snprintf(host, sizeof host, "h%d.example", i);
        ask(&x, host, 80);
        wait_for(&x);
    }
    struct asker slow = {0}, next = {0}, gone = {0};
    ask(&slow, "slow.example", 80);
    ask(&next, "next.example", 80);
    ask(&gone, "gone.example", 80);
    sem_post(&gate);
    wait_for(&slow);
    wait_for(&next);
    wait_for(&gone);
    assert_int_equal(slow.answer.result, RESULT_OK);
}

static void close_does_not_wait_for_a_lookup(void **state)
{
    (void)state;
    struct asker a = {0}, b = {0};
    ask(&a, "slow.example", 80);
    ask(&b, "other.example", 80);
    sem_wait(&entered);
    dns_close(dns);
    assert_null(a.q.pending);
    assert_null(b.q.pending);
    dns_cancel(&a.q);
    // The helper comes back to nothing; give it the time to free what is left.
    sem_post(&gate);
    loop_turn(loop, 50);
    assert_int_equal(a.answers + b.answers, 0);
    assert_int_equal(dns_open(&dns), RESULT_OK);
}

static void no_memory_is_an_answer(void **state)
{
    (void)state;
    int failures = 0;
    for (uint64_t n = 1; n < 10; n++) {
        dns_close(dns);
        assert_int_equal(dns_open(&dns), RESULT_OK);
        struct asker x = {0};
        alloc_fail_at(n, 0);
        ask(&x, "one.example", 80);
        alloc_fail_at(0, 0);
        if (!x.answers)
            wait_for(&x);
        else
            failures++;
        assert_int_equal(x.answer.result,
                         x.answers && failures == (int)n ? RESULT_NOMEM : RESULT_OK);
    }
    assert_int_equal(failures, 3);
    struct dns *none;
    alloc_fail_at(1, 0);
    assert_int_equal(dns_open(&none), RESULT_NOMEM);
    alloc_fail_at(0, 0);
}

enum { THREADS = 3, ROUNDS = 300 };

static void *ask_and_cancel(void *arg)
{
    struct loop *l;
    if (loop_open(&l, 0))
        return arg;
    unsigned seed = (unsigned)(uintptr_t)arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct asker x[4] = {0};
        for (int k = 0; k < 4; k++) {
            char host[32];
            snprintf(host, sizeof host, "h%d.example", rand_r(&seed) % 400);
            x[k].q.on_answer = answered;
            dns_resolve(dns, l, &x[k].q, slice_cstr(host), 80);
        }
        for (int k = 0; k < 4; k++)
            if (rand_r(&seed) % 2)
                dns_cancel(&x[k].q);
        for (int k = 0; k < 4; k++)
            for (int turn = 0; turn < 100 && x[k].q.pending; turn++)
                loop_turn(l, 100);
        for (int k = 0; k < 4; k++)
            if (x[k].q.pending)
                return arg;
    }
    loop_close(l);
    return NULL;
}

static void many_loops_at_once(void **state)
{
    (void)state;
    pthread_t t[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, ask_and_cancel, (void *)(uintptr_t)(i + 1)),
                         0);
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(t[i], &failed);
        assert_null(failed);
    }
}

static void localhost_by_the_system(void **state)
{
    (void)state;
    struct asker x = {0};
    ask(&x, "localhost", 8780);
    wait_for(&x);
    assert_int_equal(x.answer.result, RESULT_OK);
    const struct sockaddr_in *a = (const struct sockaddr_in *)&x.answer.addresses[0].addr;
    assert_text(&x.answer.addresses[0], a->sin_family == AF_INET ? "127.0.0.1" : "::1", 8780);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest real[] = {TEST(localhost_by_the_system)};
    const struct CMUnitTest tests[] = {
        TEST(numbers_answer_at_once),
        TEST(bad_names_fail_at_once),
        TEST(names_are_looked_up_and_kept),
        TEST(failures_are_kept_shorter),
        TEST(addresses_are_capped),
        TEST(queries_for_one_name_share_a_lookup),
        TEST(cancel_after_the_answer_was_posted),
        TEST(waiting_is_limited),
        TEST(old_names_make_room),
        TEST(a_name_that_is_looked_up_keeps_its_place),
        TEST(close_does_not_wait_for_a_lookup),
        TEST(no_memory_is_an_answer),
        TEST(many_loops_at_once),
    };
    sem_init(&gate, 0, 0);
    sem_init(&entered, 0, 0);
    // The system's resolver first: later a look-up of the test's own may still be on its way.
    int failed = cmocka_run_group_tests(real, NULL, NULL);
    sys_getaddrinfo = fake_lookup;
    sys_freeaddrinfo = fake_free;
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
