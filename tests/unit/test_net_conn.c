// net/conn, net/queue: streams under random splits, pauses and faults; ends, resets, errors told once.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "net_stream.h"

#include "net/queue.h"
#include "net/sys.h"

static void run_streams(uint64_t seed, bool tight, size_t shorten)
{
    struct loop *l;
    assert_int_equal(loop_open(&l, 0), RESULT_OK);
    struct rng rng;
    rng_seed(&rng, seed);
    int fds[2];
    stream_pair(fds, tight);
    static struct stream_side a, b;
    uint64_t most = shorten && shorten < 100 ? 20000 : 2000000;
    stream_side_init(&a, 0, l, &rng, rng_below(&rng, most));
    stream_side_init(&b, 1, l, &rng, rng_below(&rng, most));
    assert_int_equal(conn_init(&a.conn, l, fds[0], &stream_ops, NULL, false, NULL), RESULT_OK);
    assert_int_equal(conn_init(&b.conn, l, fds[1], &stream_ops, NULL, false, NULL), RESULT_OK);
    if (shorten)
        sys_shorten_random(seed, shorten);
    stream_run(l, &a, &b);
    sys_shorten_random(0, 0);
    assert_int_equal(a.errors + b.errors, 0);
    assert_int_equal(a.received, b.to_send);
    assert_int_equal(b.received, a.to_send);
    assert_int_equal(a.eofs, 1);
    assert_int_equal(b.eofs, 1);
    assert_int_equal(a.opens, 1);
    assert_int_equal(b.opens, 1);
    stream_side_deinit(&a);
    stream_side_deinit(&b);
    loop_close(l);
}

static void streams_arrive_once_in_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 25; seed++) {
        run_streams(seed, false, 0);
        run_streams(seed, true, 0);
        run_streams(seed, seed % 2, 40);
        run_streams(seed, seed % 2, 5000);
    }
}

// ---- one conn against a raw socket ----

enum moment { NEVER, AT_OPEN, AT_SPACE, AT_DATA, AT_EOF, AT_DRAIN, AT_HANGUP, AT_ERROR };

struct probe {
    struct conn conn;
    struct loop *loop;
    int raw;      // the other end
    char log[64]; // a letter per callback
    char got[1 << 20];
    size_t got_len;
    enum result error;
    enum moment close_at, pause_at;
    bool reset, closed;
    int reads;
};

static void saw(struct conn *c, char letter, enum moment now)
{
    struct probe *p = MERIT_CONTAINER(c, struct probe, conn);
    assert_false(p->closed);
    size_t n = strlen(p->log);
    // A run of data counts once.
    if (n + 1 < sizeof p->log && !(letter == 'd' && n && p->log[n - 1] == 'd'))
        p->log[n] = letter;
    if (p->pause_at == now)
        conn_pause(c);
    if (p->close_at == now || now == AT_ERROR) {
        p->closed = true;
        conn_close(c, p->reset);
    }
}

static char *probe_space(struct conn *c, size_t *room)
{
    struct probe *p = MERIT_CONTAINER(c, struct probe, conn);
    saw(c, 's', AT_SPACE);
    p->log[strlen(p->log) - 1] = 0;
    *room = sizeof p->got - p->got_len;
    return p->got + p->got_len;
}

static void probe_data(struct conn *c, char *data, size_t len)
{
    struct probe *p = MERIT_CONTAINER(c, struct probe, conn);
    if (data != p->got + p->got_len)
        memcpy(p->got + p->got_len, data, len);
    p->got_len += len;
    p->reads++;
    saw(c, 'd', AT_DATA);
}

static void probe_eof(struct conn *c)
{
    saw(c, 'e', AT_EOF);
}

static void probe_open(struct conn *c)
{
    saw(c, 'o', AT_OPEN);
}

static void probe_drain(struct conn *c)
{
    saw(c, 'w', AT_DRAIN);
}

static void probe_hangup(struct conn *c)
{
    saw(c, 'h', AT_HANGUP);
}

static void probe_error(struct conn *c, enum result why)
{
    struct probe *p = MERIT_CONTAINER(c, struct probe, conn);
    p->error = why;
    saw(c, 'x', AT_ERROR);
}

static const struct conn_ops probe_ops = {
    .on_data = probe_data,
    .on_eof = probe_eof,
    .on_open = probe_open,
    .on_drain = probe_drain,
    .on_hangup = probe_hangup,
    .on_error = probe_error,
};
static const struct conn_ops probe_ops_space = {
    .on_space = probe_space,
    .on_data = probe_data,
    .on_eof = probe_eof,
    .on_open = probe_open,
    .on_drain = probe_drain,
    .on_hangup = probe_hangup,
    .on_error = probe_error,
};

static struct probe *probe_new(void)
{
    struct probe *p = calloc(1, sizeof *p);
    int fds[2];
    assert_int_equal(loop_open(&p->loop, 0), RESULT_OK);
    stream_pair(fds, false);
    p->raw = fds[0];
    assert_int_equal(conn_init(&p->conn, p->loop, fds[1], &probe_ops, NULL, false, NULL),
                     RESULT_OK);
    assert_string_equal(p->log, "");
    return p;
}

static void turns(struct probe *p, int n)
{
    for (int i = 0; i < n; i++)
        loop_turn(p->loop, 20);
}

static void probe_free(struct probe *p)
{
    conn_close(&p->conn, false);
    if (p->raw >= 0)
        close(p->raw);
    loop_close(p->loop);
    free(p);
}

static void raw_send(struct probe *p, const char *text)
{
    assert_int_equal(send(p->raw, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void raw_close(struct probe *p, bool reset)
{
    struct linger none = {1, 0};
    if (reset)
        setsockopt(p->raw, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    close(p->raw);
    p->raw = -1;
}

static void data_and_end_come_in_order(void **state)
{
    (void)state;
    struct probe *p = probe_new();
    turns(p, 1);
    assert_string_equal(p->log, "o");
    // The end is there together with the data, so no edge tells it apart.
    raw_send(p, "hello");
    shutdown(p->raw, SHUT_WR);
    turns(p, 3);
    assert_string_equal(p->log, "ode");
    assert_memory_equal(p->got, "hello", 5);
    // Half-closed: the other way still works.
    conn_send(&p->conn, SLICE("answer"), CONN_COPY);
    assert_int_equal(conn_queued(&p->conn), 6);
    turns(p, 2);
    char text[16];
    assert_int_equal(recv(p->raw, text, sizeof text, 0), 6);
    assert_string_equal(p->log, "odew");
    probe_free(p);
}

static void end_is_told_when_all_was_there_before_the_first_turn(void **state)
{
    (void)state;
    struct probe *p = probe_new();
    raw_send(p, "hello");
    raw_close(p, false);
    turns(p, 3);
    assert_string_equal(p->log, "ode");
    probe_free(p);
}

static void reset_is_told_once(void **state)
{
    (void)state;
    for (int paused = 0; paused < 2; paused++) {
        struct probe *p = probe_new();
        turns(p, 1);
        if (paused)
            conn_pause(&p->conn);
        raw_close(p, true);
        turns(p, 3);
        assert_string_equal(p->log, "ox");
        assert_int_equal(p->error, RESULT_RESET);
        // Nothing does harm after the end.
        conn_send(&p->conn, SLICE("x"), CONN_COPY);
        conn_flush(&p->conn);
        conn_resume(&p->conn);
        conn_shutdown(&p->conn);
        turns(p, 1);
        assert_string_equal(p->log, "ox");
        probe_free(p);
    }
}

static void reset_after_the_end_is_told(void **state)
{
    (void)state;
    struct probe *p = probe_new();
    raw_send(p, "request");
    raw_close(p, false);
    turns(p, 3);
    assert_string_equal(p->log, "ode");
    // The peer is gone altogether; what is sent now comes back as a reset.
    conn_send(&p->conn, SLICE("answer"), CONN_COPY);
    turns(p, 4);
    assert_string_equal(p->log, "odewx");
    assert_int_equal(p->error, RESULT_RESET);
    probe_free(p);
}

static void paused_conn_sees_its_peer_go(void **state)
{
    (void)state;
    struct probe *p = probe_new();
    turns(p, 1);
    conn_pause(&p->conn);
    raw_send(p, "unread");
    turns(p, 2);
    assert_string_equal(p->log, "o");
    raw_close(p, false);
    turns(p, 2);
    assert_string_equal(p->log, "oh");
    conn_resume(&p->conn);
    turns(p, 3);
    assert_string_equal(p->log, "ohde");
    assert_memory_equal(p->got, "unread", 6);
    probe_free(p);

    // Paused from inside on_data, after the hang-up was seen.
    p = probe_new();
    p->pause_at = AT_DATA;
    raw_send(p, "some");
    raw_close(p, false);
    turns(p, 3);
    assert_string_equal(p->log, "odh");
    conn_resume(&p->conn);
    turns(p, 2);
    assert_string_equal(p->log, "odhe");
    probe_free(p);
}

static void pause_holds_and_resume_goes_on(void **state)
{
    (void)state;
    struct probe *p = probe_new();
    turns(p, 1);
    conn_pause(&p->conn);
    raw_send(p, "one");
    turns(p, 2);
    assert_int_equal(p->got_len, 0);
    conn_resume(&p->conn);
    turns(p, 1);
    assert_int_equal(p->got_len, 3);
    // Paused and resumed without data between: nothing to read, nothing lost.
    conn_pause(&p->conn);
    conn_resume(&p->conn);
    turns(p, 1);
    raw_send(p, "two");
    turns(p, 1);
    assert_int_equal(p->got_len, 6);
    probe_free(p);
}

static void pieces_of_a_turn_leave_in_one_call(void **state)
{
    (void)state;
    struct probe *p = probe_new();
    turns(p, 1);
    const struct sys_fault count = {.at = UINT64_MAX};
    sys_fault_set(SYS_SEND, &count);
    uint64_t before = sys_count(SYS_SEND);
    for (int i = 0; i < 30; i++)
        conn_send(&p->conn, SLICE("0123456789"), i % 3 ? CONN_COPY : CONN_PINNED);
    turns(p, 1);
    assert_int_equal(sys_count(SYS_SEND) - before, 1);
    char text[400];
    assert_int_equal(recv(p->raw, text, sizeof text, 0), 300);
    // A flush by hand sends at once; the drain is told at the end of the turn, once.
    conn_send(&p->conn, SLICE("abc"), CONN_COPY);
    conn_flush(&p->conn);
    assert_int_equal(conn_queued(&p->conn), 0);
    assert_string_equal(p->log, "ow");
    turns(p, 1);
    assert_string_equal(p->log, "oww");
    sys_fault_set(SYS_SEND, NULL);
    probe_free(p);
}

static void one_read_per_readiness(void **state)
{
    (void)state;
    for (int space = 0; space < 2; space++) {
        struct probe *p = probe_new();
        p->conn.ops = space ? &probe_ops_space : &probe_ops;
        turns(p, 1);
        const struct sys_fault count = {.at = UINT64_MAX};
        sys_fault_set(SYS_RECV, &count);
        uint64_t before = sys_count(SYS_RECV);
        for (int i = 0; i < 10; i++) {
            raw_send(p, "a request");
            turns(p, 1);
        }
        assert_int_equal(sys_count(SYS_RECV) - before, 10);
        assert_int_equal(p->got_len, 90);
        sys_fault_set(SYS_RECV, NULL);
        probe_free(p);
    }
}

static void a_flood_leaves_turns_to_others(void **state)
{
    (void)state;
    struct probe *p = probe_new();
    turns(p, 1);
    sys_shorten_random(1, 100);
    char *text = calloc(1, 100000);
    assert_int_equal(send(p->raw, text, 100000, MSG_NOSIGNAL), 100000);
    while (p->got_len < 100000) {
        int before = p->reads;
        assert_true(loop_turn(p->loop, 1000));
        assert_true(p->reads - before <= CONN_READS_PER_TURN);
    }
    sys_shorten_random(0, 0);
    free(text);
    probe_free(p);
}

static void steady_state_allocates_nothing(void **state)
{
    (void)state;
    struct probe *p = probe_new();
    char text[4096] = {0};
    uint64_t allocations = 0;
    for (int i = 0; i < 200; i++) {
        if (i == 10)
            allocations = alloc_count();
        raw_send(p, "a request");
        turns(p, 1);
        p->got_len = 0;
        conn_send(&p->conn, slice_make(text, 3000), CONN_COPY);
        conn_send(&p->conn, slice_make(text, 1000), CONN_PINNED);
        assert_non_null(p->conn.queue);
        turns(p, 1);
        assert_null(p->conn.queue);
        assert_int_equal(recv(p->raw, text, sizeof text, 0), 4000);
    }
    assert_int_equal(alloc_count(), allocations);
    probe_free(p);
}

static void close_in_any_callback(void **state)
{
    (void)state;
    for (enum moment m = AT_OPEN; m <= AT_HANGUP; m++) {
        for (int reset = 0; reset < 2; reset++) {
            struct probe *p = probe_new();
            p->conn.ops = &probe_ops_space;
            p->close_at = m;
            p->reset = reset;
            if (m == AT_HANGUP)
                p->pause_at = AT_OPEN;
            conn_send(&p->conn, SLICE("greeting"), CONN_COPY);
            raw_send(p, "hello");
            shutdown(p->raw, SHUT_WR);
            turns(p, 4);
            assert_true(p->closed);
            assert_int_equal(p->conn.io.fd, -1);
            conn_close(&p->conn, false);
            probe_free(p);
        }
    }
}

static void close_sends_what_it_can_and_reset_does_not(void **state)
{
    (void)state;
    char text[64];
    struct probe *p = probe_new();
    turns(p, 1);
    conn_send(&p->conn, SLICE("last words"), CONN_COPY);
    conn_close(&p->conn, false);
    assert_int_equal(recv(p->raw, text, sizeof text, 0), 10);
    assert_int_equal(recv(p->raw, text, sizeof text, 0), 0);
    probe_free(p);

    p = probe_new();
    turns(p, 1);
    conn_send(&p->conn, SLICE("never"), CONN_COPY);
    conn_close(&p->conn, true);
    assert_int_equal(recv(p->raw, text, sizeof text, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    turns(p, 1);
    assert_string_equal(p->log, "o");
    probe_free(p);
}

static void shutdown_ends_after_the_queue(void **state)
{
    (void)state;
    struct probe *p = probe_new();
    size_t len = 5000000, got = 0;
    char *body = malloc(len), *text = malloc(1 << 16);
    memset(body, 'b', len);
    conn_send(&p->conn, slice_make(body, len), CONN_PINNED);
    conn_shutdown(&p->conn);
    ssize_t n = -1;
    for (int i = 0; i < 10000 && n != 0; i++) {
        loop_turn(p->loop, 0);
        n = recv(p->raw, text, 1 << 16, 0);
        got += n > 0 ? (size_t)n : 0;
    }
    assert_int_equal(n, 0);
    assert_int_equal(got, len);
    // The other way goes on.
    raw_send(p, "still here");
    turns(p, 2);
    assert_int_equal(p->got_len, 10);
    free(body);
    free(text);
    probe_free(p);
}

static void an_early_answer_is_read_before_the_error(void **state)
{
    (void)state;
    // The peer answers in the middle of a large body and closes; its kernel resets because of what it did not read.
    struct probe *p = probe_new();
    turns(p, 1);
    size_t len = 20000000;
    char *body = calloc(1, len), text[100];
    conn_pause(&p->conn);
    conn_send(&p->conn, slice_make(body, len), CONN_PINNED);
    turns(p, 2);
    assert_true(conn_queued(&p->conn) > 0);
    assert_int_equal(recv(p->raw, text, sizeof text, 0), sizeof text);
    raw_send(p, "413 too large");
    turns(p, 1);
    conn_resume(&p->conn);
    raw_close(p, false);
    turns(p, 5);
    assert_string_equal(p->log, "odx");
    assert_memory_equal(p->got, "413 too large", 13);
    assert_int_equal(p->error, RESULT_RESET);
    free(body);
    probe_free(p);
}

static void the_queue_is_limited(void **state)
{
    (void)state;
    struct probe *p = probe_new();
    turns(p, 1);
    size_t len = CONN_QUEUE_BYTES_MAX / 4;
    char *body = calloc(1, len);
    for (int i = 0; i < 4; i++)
        conn_send(&p->conn, slice_make(body, len), CONN_PINNED);
    assert_string_equal(p->log, "o");
    // The kernel took some, so there is room for a little more, then not.
    conn_send(&p->conn, slice_make(body, len), CONN_PINNED);
    assert_string_equal(p->log, "o");
    turns(p, 1);
    assert_string_equal(p->log, "ox");
    assert_int_equal(p->error, RESULT_LIMIT);
    free(body);
    probe_free(p);
}

// A slow reader whose queue never runs empty: what was sent is reused, so that memory stays flat.
static void a_lasting_queue_reuses_its_memory(void **state)
{
    (void)state;
    struct loop *l;
    assert_int_equal(loop_open(&l, 0), RESULT_OK);
    struct conn_queue *q = queue_take(l);
    struct rng rng;
    rng_seed(&rng, 5);
    char text[3000], marker = 'm';
    uint64_t in = 0, out = 0, allocations = 0;
    for (int step = 0; step < 20000; step++) {
        if (step == 1000)
            allocations = alloc_count();
        size_t n = 1 + rng_below(&rng, sizeof text);
        for (size_t i = 0; i < n; i++)
            text[i] = stream_byte(0, in + i);
        if (q->bytes < 60000) {
            assert_int_equal(queue_copy(l, q, slice_make(text, n)), RESULT_OK);
            in += n;
            if (rng_below(&rng, 8) == 0) {
                // One byte from elsewhere; any value does.
                assert_int_equal(queue_pin(q, slice_make(&marker, 1)), RESULT_OK);
                in++;
            }
        }
        struct iovec v[QUEUE_IOV_MAX];
        int pieces = queue_iov(q, v, QUEUE_IOV_MAX);
        assert_true(pieces > 0);
        for (size_t i = 0; i < v[0].iov_len; i++)
            if (v[0].iov_base != &marker)
                assert_int_equal(((char *)v[0].iov_base)[i], stream_byte(0, out + i));
        size_t take = q->bytes - 1 < 2000 ? q->bytes - 1 : rng_below(&rng, 2000);
        queue_consume(l, q, take);
        out += take;
        assert_int_equal(q->bytes, in - out);
    }
    assert_int_equal(alloc_count(), allocations);
    queue_give(l, q);
    loop_close(l);
}

// ---- connecting ----

static uint16_t free_port(bool listening, int *fd)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    *fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(*fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(*fd, (struct sockaddr *)&a, &len), 0);
    if (listening)
        assert_int_equal(listen(*fd, 8), 0);
    return ntohs(a.sin_port);
}

static struct probe *probe_connect(uint16_t port, enum result expected)
{
    struct probe *p = calloc(1, sizeof *p);
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    p->raw = -1;
    assert_int_equal(loop_open(&p->loop, 0), RESULT_OK);
    enum result r =
        conn_connect(&p->conn, p->loop, (struct sockaddr *)&a, sizeof a, &probe_ops, NULL, NULL);
    assert_int_equal(r, expected);
    return p;
}

static void connects_and_sends_what_waited(void **state)
{
    (void)state;
    int fd;
    struct probe *p = probe_connect(free_port(true, &fd), RESULT_OK);
    conn_send(&p->conn, SLICE("early"), CONN_COPY);
    conn_flush(&p->conn);
    assert_int_equal(conn_queued(&p->conn), 5);
    assert_string_equal(p->log, "");
    turns(p, 2);
    assert_string_equal(p->log, "ow");
    p->raw = accept(fd, NULL, NULL);
    char text[16];
    assert_int_equal(recv(p->raw, text, sizeof text, 0), 5);
    close(fd);
    probe_free(p);
}

static void refusal_is_told_once(void **state)
{
    (void)state;
    int fd;
    struct probe *p = probe_connect(free_port(false, &fd), RESULT_OK);
    conn_send(&p->conn, SLICE("early"), CONN_COPY);
    turns(p, 3);
    assert_string_equal(p->log, "x");
    assert_int_equal(p->error, RESULT_REFUSED);
    close(fd);
    probe_free(p);
}

static void connect_fails_at_once(void **state)
{
    (void)state;
    static const struct {
        int error;
        enum result result;
    } cases[] = {{ECONNREFUSED, RESULT_REFUSED},
                 {ENETUNREACH, RESULT_IO},
                 {ENOBUFS, RESULT_NOMEM},
                 {ETIMEDOUT, RESULT_TIMEOUT}};
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        const struct sys_fault f = {.at = 1, .error = cases[i].error};
        sys_fault_set(SYS_CONNECT, &f);
        struct probe *p = probe_connect(1, cases[i].result);
        sys_fault_set(SYS_CONNECT, NULL);
        turns(p, 1);
        assert_string_equal(p->log, "");
        // What was never open can be closed.
        probe_free(p);
    }
}

// ---- faults ----

// One exchange of streams with a fault in it; the results of both sides.
static void run_fault(uint64_t seed, void (*arm)(uint64_t n), uint64_t n, enum result errors[2],
                      bool *whole)
{
    struct loop *l;
    assert_int_equal(loop_open(&l, 0), RESULT_OK);
    struct rng rng;
    rng_seed(&rng, seed);
    int fds[2];
    stream_pair(fds, true);
    static struct stream_side a, b;
    stream_side_init(&a, 0, l, &rng, 60000);
    stream_side_init(&b, 1, l, &rng, 60000);
    assert_int_equal(conn_init(&a.conn, l, fds[0], &stream_ops, NULL, false, NULL), RESULT_OK);
    assert_int_equal(conn_init(&b.conn, l, fds[1], &stream_ops, NULL, false, NULL), RESULT_OK);
    arm(n);
    stream_run(l, &a, &b);
    arm(0);
    errors[0] = a.error;
    errors[1] = b.error;
    *whole = a.received == b.to_send && b.received == a.to_send;
    stream_side_deinit(&a);
    stream_side_deinit(&b);
    loop_close(l);
}

static int fault_error;
static enum sys_op fault_op;

static void arm_io(uint64_t n)
{
    const struct sys_fault f = {.at = n, .error = fault_error};
    sys_fault_set(fault_op, n ? &f : NULL);
}

static void arm_memory(uint64_t n)
{
    alloc_fail_at(n, 0);
}

static void io_faults_are_told_once(void **state)
{
    (void)state;
    static const struct {
        int error;
        enum result result;
    } cases[] = {
        {EINTR, RESULT_OK},      {ECONNRESET, RESULT_RESET},  {EPIPE, RESULT_RESET},
        {ENOBUFS, RESULT_NOMEM}, {ETIMEDOUT, RESULT_TIMEOUT}, {EIO, RESULT_IO},
    };
    for (fault_op = SYS_RECV; fault_op <= SYS_SEND; fault_op++) {
        for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
            fault_error = cases[i].error;
            int hits = 0;
            for (uint64_t n = 1; n < 60; n += 1 + n / 8) {
                enum result errors[2];
                bool whole;
                run_fault(n, arm_io, n, errors, &whole);
                if (!cases[i].result) {
                    assert_true(whole);
                    continue;
                }
                if (whole)
                    continue;
                // One side met the fault; the other saw it go: an end or a reset.
                hits += errors[0] == cases[i].result || errors[1] == cases[i].result;
                assert_true(errors[0] == cases[i].result || errors[1] == cases[i].result);
            }
            assert_true(cases[i].result ? hits > 5 : hits == 0);
        }
    }
}

static void memory_faults_are_told_once(void **state)
{
    (void)state;
    int failed = 0;
    for (uint64_t n = 1; n < 40; n++) {
        enum result errors[2];
        bool whole;
        run_fault(3, arm_memory, n, errors, &whole);
        if (whole)
            continue;
        failed++;
        assert_true(errors[0] == RESULT_NOMEM || errors[1] == RESULT_NOMEM);
    }
    assert_true(failed > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_arrive_once_in_order),
        cmocka_unit_test(data_and_end_come_in_order),
        cmocka_unit_test(end_is_told_when_all_was_there_before_the_first_turn),
        cmocka_unit_test(reset_is_told_once),
        cmocka_unit_test(reset_after_the_end_is_told),
        cmocka_unit_test(paused_conn_sees_its_peer_go),
        cmocka_unit_test(pause_holds_and_resume_goes_on),
        cmocka_unit_test(pieces_of_a_turn_leave_in_one_call),
        cmocka_unit_test(one_read_per_readiness),
        cmocka_unit_test(a_flood_leaves_turns_to_others),
        cmocka_unit_test(steady_state_allocates_nothing),
        cmocka_unit_test(close_in_any_callback),
        cmocka_unit_test(close_sends_what_it_can_and_reset_does_not),
        cmocka_unit_test(shutdown_ends_after_the_queue),
        cmocka_unit_test(an_early_answer_is_read_before_the_error),
        cmocka_unit_test(the_queue_is_limited),
        cmocka_unit_test(a_lasting_queue_reuses_its_memory),
        cmocka_unit_test(connects_and_sends_what_waited),
        cmocka_unit_test(refusal_is_told_once),
        cmocka_unit_test(connect_fails_at_once),
        cmocka_unit_test(io_faults_are_told_once),
        cmocka_unit_test(memory_faults_are_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
