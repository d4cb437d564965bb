// Service records: questions, answers good and bad, and asking servers that do not behave.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "net/dns_ask.h"

static const char NAME[] = "_vllm._tcp.pool.example";

// ---- messages, made by hand

struct made {
    uint8_t at[65536];
    size_t len;
};

static void put8(struct made *m, unsigned v)
{
    m->at[m->len++] = (uint8_t)v;
}

static void put16(struct made *m, unsigned v)
{
    put8(m, v >> 8);
    put8(m, v & 255);
}

static void put_name(struct made *m, const char *name)
{
    struct slice rest = slice_cstr(name), label;
    while (rest.len && slice_split(&rest, '.', &label)) {
        put8(m, (unsigned)label.len);
        for (size_t i = 0; i < label.len; i++)
            put8(m, (unsigned char)label.ptr[i]);
    }
    put8(m, 0);
}

static void begin(struct made *m, uint16_t id, unsigned flags, unsigned answers)
{
    m->len = 0;
    put16(m, id);
    put16(m, flags);
    put16(m, 1);
    put16(m, answers);
    put16(m, 0);
    put16(m, 0);
    put_name(m, NAME);
    put16(m, 33);
    put16(m, 1);
}

static void put_head(struct made *m, const char *owner, unsigned type, uint32_t ttl)
{
    if (owner) {
        put_name(m, owner);
    } else {
        put16(m, 0xc00c); // the question's
    }
    put16(m, type);
    put16(m, 1);
    put16(m, ttl >> 16);
    put16(m, ttl & 0xffff);
}

static void put_srv(struct made *m, const char *owner, uint32_t ttl, unsigned priority,
                    unsigned weight, unsigned port, const char *target)
{
    put_head(m, owner, 33, ttl);
    size_t at = m->len;
    put16(m, 0);
    put16(m, priority);
    put16(m, weight);
    put16(m, port);
    put_name(m, target);
    m->at[at] = (uint8_t)((m->len - at - 2) >> 8);
    m->at[at + 1] = (uint8_t)(m->len - at - 2);
}

static void put_cname(struct made *m, const char *owner, const char *target)
{
    put_head(m, owner, 5, 30);
    size_t at = m->len;
    put16(m, 0);
    put_name(m, target);
    m->at[at + 1] = (uint8_t)(m->len - at - 2);
}

static enum result reads(const struct made *m, struct dns_srv_answer *out)
{
    // In a block of its own, so that a byte behind it is found out.
    char *copy = alloc_bytes(m->len ? m->len : 1);
    memcpy(copy, m->at, m->len);
    enum result r = dns_read_srv(slice_make(copy, m->len), 7, slice_cstr(NAME), out);
    alloc_free(copy);
    return r;
}

static struct made made;
static struct dns_srv_answer answer;

static void test_questions(void **state)
{
    uint8_t q[DNS_QUESTION_MAX];
    char long_name[300];
    (void)state;
    size_t n = dns_ask_for_srv(q, 0x1234, SLICE("_Vllm._tcp.Pool.example."));
    static const uint8_t want[] = "\x12\x34\x01\x00\0\1\0\0\0\0\0\1\x05_vllm\x04_tcp\x04pool\x07"
                                  "example\0\0\x21\0\1\0\0\x29\x04\xd0\0\0\0\0\0\0";
    assert_int_equal(n, sizeof want - 1);
    assert_memory_equal(q, want, n);
    static const char *const bad[] = {
        "", ".", "a..b", ".a", "a b", "a\x01", "a/b", "..", "\xc3\xa9.example"};
    for (size_t i = 0; i < MERIT_COUNT(bad); i++)
        assert_int_equal(dns_ask_for_srv(q, 1, slice_cstr(bad[i])), 0);
    memset(long_name, 'a', sizeof long_name);
    assert_int_equal(dns_ask_for_srv(q, 1, slice_make(long_name, 64)), 0);
    for (size_t i = 63; i < sizeof long_name; i += 64)
        long_name[i] = '.';
    assert_true(dns_ask_for_srv(q, 1, slice_make(long_name, DNS_NAME_MAX)) <= sizeof q);
    assert_int_equal(dns_ask_for_srv(q, 1, slice_make(long_name, DNS_NAME_MAX + 2)), 0);
}

static void test_answers(void **state)
{
    (void)state;
    begin(&made, 7, 0x8180, 4);
    put_srv(&made, NULL, 300, 20, 5, 8002, "c.pool.example");
    put_srv(&made, "_VLLM._tcp.pool.EXAMPLE", 30, 10, 60, 8000, "B.pool.example");
    put_srv(&made, NULL, 300, 10, 40, 8000, "a.pool.example");
    put_srv(&made, NULL, 300, 10, 41, 8000, "a.pool.example"); // once more
    assert_int_equal(reads(&made, &answer), RESULT_OK);
    assert_int_equal(answer.count, 3);
    assert_int_equal(answer.ttl_s, 30);
    static const struct dns_srv want[] = {{10, 40, 8000, "a.pool.example"},
                                          {10, 60, 8000, "b.pool.example"},
                                          {20, 5, 8002, "c.pool.example"}};
    for (int i = 0; i < 3; i++) {
        assert_string_equal(answer.records[i].target, want[i].target);
        assert_int_equal(answer.records[i].priority, want[i].priority);
        assert_int_equal(answer.records[i].weight, want[i].weight);
        assert_int_equal(answer.records[i].port, want[i].port);
    }
    // A chain in the wrong order, and records of other names beside it.
    begin(&made, 7, 0x8180, 5);
    put_srv(&made, "two.example", 300, 1, 1, 80, "x.example");
    put_cname(&made, "one.example", "two.example");
    put_srv(&made, "other.example", 300, 1, 1, 81, "y.example");
    put_cname(&made, NULL, "one.example");
    put_srv(&made, "evil.example", 1, 0, 1, 82, "z.example");
    assert_int_equal(reads(&made, &answer), RESULT_OK);
    assert_int_equal(answer.count, 1);
    assert_int_equal(answer.records[0].port, 80);
    // A chain that bites its tail ends.
    begin(&made, 7, 0x8180, 2);
    put_cname(&made, NULL, "one.example");
    put_cname(&made, "one.example", NAME);
    assert_int_equal(reads(&made, &answer), RESULT_NOT_FOUND);
    // "There is no such service", a port 0, targets that are no names.
    begin(&made, 7, 0x8180, 4);
    put_srv(&made, NULL, 300, 1, 1, 80, "");
    put_srv(&made, NULL, 300, 1, 1, 0, "a.example");
    put_srv(&made, NULL, 300, 1, 1, 80, "a/b.example");
    put_srv(&made, NULL, 300, 1, 1, 80, "a@b.example");
    assert_int_equal(reads(&made, &answer), RESULT_NOT_FOUND);
    // More than there is room for: the most wanted ones.
    begin(&made, 7, 0x8180, 200);
    for (unsigned i = 0; i < 200; i++)
        put_srv(&made, NULL, 300, 199 - i, 1, 1000 + i, "a.example");
    assert_int_equal(reads(&made, &answer), RESULT_OK);
    assert_int_equal(answer.count, DNS_SRV_MAX);
    for (unsigned i = 0; i < DNS_SRV_MAX; i++)
        assert_int_equal(answer.records[i].priority, i);
}

static void test_what_is_no_answer(void **state)
{
    static const struct {
        unsigned id, flags, answers;
        enum result result;
    } heads[] = {
        {8, 0x8180, 0, RESULT_PROTOCOL},  {7, 0x0180, 0, RESULT_PROTOCOL},
        {7, 0x9180, 0, RESULT_PROTOCOL},  {7, 0x8380, 0, RESULT_AGAIN},
        {7, 0x8183, 0, RESULT_NOT_FOUND}, {7, 0x8182, 0, RESULT_DNS},
        {7, 0x8185, 0, RESULT_DNS},       {7, 0x8180, 0, RESULT_NOT_FOUND},
        {7, 0x8180, 1, RESULT_PROTOCOL},
    };
    (void)state;
    for (size_t i = 0; i < MERIT_COUNT(heads); i++) {
        begin(&made, (uint16_t)heads[i].id, heads[i].flags, heads[i].answers);
        assert_int_equal(reads(&made, &answer), heads[i].result);
    }
    // Another question.
    begin(&made, 7, 0x8180, 0);
    made.at[13] ^= 1;
    assert_int_equal(reads(&made, &answer), RESULT_PROTOCOL);
    begin(&made, 7, 0x8180, 0);
    made.at[made.len - 3] = 1;
    assert_int_equal(reads(&made, &answer), RESULT_PROTOCOL);
    // Names that point forwards, at themselves, or to nowhere.
    static const unsigned points[] = {0xc0ff, 0xffff, 0xc029, 0xc028, 0x8000, 0x4000};
    for (size_t i = 0; i < MERIT_COUNT(points); i++) {
        begin(&made, 7, 0x8180, 1);
        assert_int_equal(made.len, 0x29);
        put16(&made, points[i]);
        put16(&made, 33);
        put16(&made, 1);
        put16(&made, 0);
        put16(&made, 9);
        put16(&made, 0);
        assert_int_equal(reads(&made, &answer), RESULT_PROTOCOL);
    }
    // A record that is longer or shorter than what is in it, and every length that is cut.
    begin(&made, 7, 0x8180, 2);
    put_srv(&made, NULL, 300, 1, 1, 80, "a.example");
    size_t at = made.len;
    put_srv(&made, NULL, 300, 1, 1, 81, "b.example");
    for (size_t n = 0; n < made.len; n++) {
        struct made cut = made;
        cut.len = n;
        assert_int_equal(reads(&cut, &answer), RESULT_PROTOCOL);
    }
    for (int by = -8; by <= 8; by++) {
        struct made odd = made;
        odd.at[at + 11] = (uint8_t)(odd.at[at + 11] + by);
        odd.len += 16;
        assert_int_equal(reads(&odd, &answer), by ? RESULT_PROTOCOL : RESULT_OK);
    }
}

// Any bytes turned over: it ends, and what it says is in order.
static void test_noise(void **state)
{
    struct rng rng;
    (void)state;
    rng_seed(&rng, 5);
    begin(&made, 7, 0x8180, 4);
    put_cname(&made, NULL, "one.example");
    for (unsigned i = 0; i < 3; i++)
        put_srv(&made, "one.example", 300, i, 1, 80 + i, "a.example");
    for (int i = 0; i < 50000; i++) {
        struct made noisy;
        memcpy(&noisy, &made, sizeof noisy.len + 512);
        noisy.len = made.len;
        for (uint64_t n = 1 + rng_below(&rng, 4); n; n--)
            noisy.at[rng_below(&rng, noisy.len)] = (uint8_t)rng_next(&rng);
        enum result r = reads(&noisy, &answer);
        assert_true((r == RESULT_OK) == (answer.count > 0));
    }
}

// ---- servers

static void test_servers(void **state)
{
    struct dns_servers s;
    (void)state;
    static const struct {
        const char *text;
        int family;
        unsigned port;
    } good[] = {{"127.0.0.1", AF_INET, 53},
                {"10.1.2.3:8600", AF_INET, 8600},
                {"::1", AF_INET6, 53},
                {"[::1]:54", AF_INET6, 54},
                {"[::1]", AF_INET6, 53}};
    static const char *const bad[] = {
        "",     "dns.example", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536",
        "[::1", "[::1]53",     "1.2.3.4:5x", ":53"};
    for (size_t i = 0; i < MERIT_COUNT(good); i++) {
        assert_true(dns_server_of(slice_cstr(good[i].text), &s));
        assert_int_equal(s.count, 1);
        assert_int_equal(s.at[0].ss_family, good[i].family);
        assert_int_equal(ntohs(((struct sockaddr_in *)&s.at[0])->sin_port), good[i].port);
    }
    for (size_t i = 0; i < MERIT_COUNT(bad); i++)
        assert_false(dns_server_of(slice_cstr(bad[i]), &s));
    dns_servers_of(
        SLICE(
            "# nameserver 9.9.9.9\nsearch a b\nnameserver 10.0.0.1\r\nnameserver\t::1 # x\n"
            "nameservers 1.1.1.1\nnameserver nonsense\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n"),
        &s);
    assert_int_equal(s.count, 3);
    assert_int_equal(s.at[1].ss_family, AF_INET6);
    dns_servers_of(SLICE_EMPTY, &s);
    assert_int_equal(s.count, 1);
    dns_servers_system(&s);
    assert_true(s.count >= 1);
}

enum manner { WELL, CUT, LIES_FIRST, SILENT, FAILS, NONE };

struct server {
    int udp, tcp;
    enum manner manner;
    atomic_bool stop;
    pthread_t thread;
    uint16_t port;
    uint32_t asked_udp, asked_tcp;
};

static void say(struct made *m, const uint8_t *q, unsigned flags, unsigned port)
{
    begin(m, (uint16_t)(q[0] << 8 | q[1]), flags, port ? 1 : 0);
    if (port)
        put_srv(m, NULL, 60, 1, 1, port, "a.example");
}

static void serve_udp(struct server *s)
{
    static _Thread_local struct made m; // two servers at once
    uint8_t q[512];
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    if (recvfrom(s->udp, q, sizeof q, 0, (struct sockaddr *)&from, &len) < 12)
        return;
    s->asked_udp++;
    if (s->manner == SILENT)
        return;
    if (s->manner == LIES_FIRST) {
        say(&m, q, 0x8180, 666);
        m.at[0] ^= 0x55; // a guess of the id
        sendto(s->udp, m.at, m.len, 0, (struct sockaddr *)&from, len);
        sendto(s->udp, "x", 1, 0, (struct sockaddr *)&from, len);
    }
    say(&m, q,
        s->manner == CUT     ? 0x8380
        : s->manner == FAILS ? 0x8182
        : s->manner == NONE  ? 0x8183
                             : 0x8180,
        s->manner == WELL || s->manner == LIES_FIRST ? 80 : 0);
    sendto(s->udp, m.at, m.len, 0, (struct sockaddr *)&from, len);
}

static void serve_tcp(struct server *s)
{
    static _Thread_local struct made m;
    uint8_t q[512], size[2];
    int fd = accept(s->tcp, NULL, NULL);
    if (fd < 0)
        return;
    s->asked_tcp++;
    if (recv(fd, size, 2, MSG_WAITALL) == 2 &&
        recv(fd, q, (size_t)(size[0] << 8 | size[1]), MSG_WAITALL) > 12) {
        say(&m, q, 0x8180, 8080);
        size[0] = (uint8_t)(m.len >> 8);
        size[1] = (uint8_t)m.len;
        // In pieces.
        (void)!send(fd, size, 1, MSG_NOSIGNAL);
        usleep(20000);
        (void)!send(fd, size + 1, 1, MSG_NOSIGNAL);
        (void)!send(fd, m.at, 10, MSG_NOSIGNAL);
        usleep(20000);
        (void)!send(fd, m.at + 10, m.len - 10, MSG_NOSIGNAL);
    }
    close(fd);
}

static void *serve(void *arg)
{
    struct server *s = arg;
    while (!atomic_load(&s->stop)) {
        fd_set set;
        struct timeval tv = {.tv_usec = 20000};
        FD_ZERO(&set);
        FD_SET(s->udp, &set);
        FD_SET(s->tcp, &set);
        if (select((s->udp > s->tcp ? s->udp : s->tcp) + 1, &set, NULL, NULL, &tv) <= 0)
            continue;
        if (FD_ISSET(s->udp, &set))
            serve_udp(s);
        if (FD_ISSET(s->tcp, &set))
            serve_tcp(s);
    }
    return NULL;
}

static void start(struct server *s, enum manner manner)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    *s = (struct server){.manner = manner};
    // The same port for both, so the first may be taken for the second.
    for (int i = 0; i < 50; i++) {
        at.sin_port = 0;
        s->udp = socket(AF_INET, SOCK_DGRAM, 0);
        s->tcp = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(bind(s->udp, (struct sockaddr *)&at, len), 0);
        getsockname(s->udp, (struct sockaddr *)&at, &len);
        if (bind(s->tcp, (struct sockaddr *)&at, len) == 0 && listen(s->tcp, 8) == 0)
            break;
        close(s->udp);
        close(s->tcp);
    }
    s->port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stop(struct server *s)
{
    atomic_store(&s->stop, true);
    pthread_join(s->thread, NULL);
    close(s->udp);
    close(s->tcp);
}

static enum result asks(struct server *a, struct server *b)
{
    struct dns_servers servers = {.count = 0}, one;
    struct server *all[] = {a, b};
    for (int i = 0; i < 2; i++) {
        char text[32];
        if (!all[i])
            continue;
        snprintf(text, sizeof text, "127.0.0.1:%u", all[i]->port);
        assert_true(dns_server_of(slice_cstr(text), &one));
        servers.at[servers.count++] = one.at[0];
    }
    return dns_ask_srv(&servers, slice_cstr(NAME), &answer);
}

static void test_asking(void **state)
{
    struct server a, b;
    (void)state;
    start(&a, WELL);
    assert_int_equal(asks(&a, NULL), RESULT_OK);
    assert_int_equal(answer.records[0].port, 80);
    assert_int_equal(dns_ask_srv(&(struct dns_servers){.count = 1, .at = {{.ss_family = AF_INET}}},
                                 SLICE("a b"), &answer),
                     RESULT_LIMIT);
    stop(&a);
    // Nobody is there any more: the next one is asked.
    start(&b, WELL);
    assert_int_equal(asks(&a, &b), RESULT_OK);
    assert_int_equal(b.asked_udp, 1);
    stop(&b);
    start(&a, CUT);
    assert_int_equal(asks(&a, NULL), RESULT_OK);
    assert_int_equal(answer.records[0].port, 8080);
    assert_int_equal(a.asked_tcp, 1);
    stop(&a);
    start(&a, LIES_FIRST);
    assert_int_equal(asks(&a, NULL), RESULT_OK);
    assert_int_equal(answer.records[0].port, 80);
    stop(&a);
    start(&a, FAILS);
    start(&b, NONE);
    assert_int_equal(asks(&a, &b), RESULT_NOT_FOUND);
    assert_int_equal(asks(&a, NULL), RESULT_DNS);
    assert_int_equal(a.asked_udp, 1 + DNS_ASK_TURNS);
    stop(&a);
    stop(&b);
    start(&a, SILENT);
    assert_int_equal(asks(&a, NULL), RESULT_TIMEOUT);
    stop(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_questions),         cmocka_unit_test(test_answers),
        cmocka_unit_test(test_what_is_no_answer), cmocka_unit_test(test_noise),
        cmocka_unit_test(test_servers),           cmocka_unit_test(test_asking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
