// For tests of net/conn: two conns on one loop that send a known stream to each other, both ways, under random pieces,
// pauses, flushes and short reads and writes. Every byte must arrive once and in order.
#ifndef MERIT_TESTS_NET_STREAM_H
#define MERIT_TESTS_NET_STREAM_H

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "net/conn.h"
#include "net/loop.h"

// Byte `at` of the stream of `side`.
static inline char stream_byte(int side, uint64_t at)
{
    return (char)((at * 131 + (at >> 8) * 7 + (uint64_t)side * 59) & 0xff);
}

struct stream_side {
    struct conn conn;
    struct loop *loop;
    struct rng *rng;
    int side;
    uint64_t to_send, sent, received;
    bool opened, eof, drained, hangup, shut;
    enum result error;
    int errors, opens, eofs, drains;
    char *pinned[4]; // in use until the next drain
    int pinned_count;
    char *space; // for on_space
    size_t space_room;
};

static inline struct stream_side *stream_of(struct conn *c)
{
    return MERIT_CONTAINER(c, struct stream_side, conn);
}

static inline char *stream_on_space(struct conn *c, size_t *room)
{
    struct stream_side *s = stream_of(c);
    if (rng_below(s->rng, 2))
        return NULL;
    *room = 1 + rng_below(s->rng, s->space_room);
    return s->space;
}

static inline void stream_on_data(struct conn *c, char *data, size_t len)
{
    struct stream_side *s = stream_of(c);
    assert_true(s->opened);
    assert_false(s->eof);
    assert_false(s->errors);
    assert_false(c->paused);
    for (size_t i = 0; i < len; i++)
        if (data[i] != stream_byte(!s->side, s->received + i))
            fail_msg("side %d: byte %llu differs", s->side, (unsigned long long)(s->received + i));
    s->received += len;
    if (rng_below(s->rng, 8) == 0)
        conn_pause(c);
}

static inline void stream_on_eof(struct conn *c)
{
    struct stream_side *s = stream_of(c);
    assert_false(c->paused);
    s->eof = true;
    s->eofs++;
}

static inline void stream_on_open(struct conn *c)
{
    struct stream_side *s = stream_of(c);
    s->opened = true;
    s->opens++;
}

// Pinned memory may go now; it is overwritten so that a late use of it shows.
static inline void stream_release(struct stream_side *s)
{
    while (s->pinned_count) {
        char *p = s->pinned[--s->pinned_count];
        memset(p, 0xee, 1000);
        free(p);
    }
}

static inline void stream_on_drain(struct conn *c)
{
    struct stream_side *s = stream_of(c);
    assert_int_equal(conn_queued(c), 0);
    assert_null(c->queue);
    s->drains++;
    stream_release(s);
}

static inline void stream_on_hangup(struct conn *c)
{
    struct stream_side *s = stream_of(c);
    assert_true(c->paused);
    assert_false(s->hangup);
    s->hangup = true;
}

static inline void stream_on_error(struct conn *c, enum result why)
{
    struct stream_side *s = stream_of(c);
    s->error = why;
    s->errors++;
    assert_int_equal(s->errors, 1);
    conn_close(c, false);
}

static const struct conn_ops stream_ops = {
    .on_space = stream_on_space,
    .on_data = stream_on_data,
    .on_eof = stream_on_eof,
    .on_open = stream_on_open,
    .on_drain = stream_on_drain,
    .on_hangup = stream_on_hangup,
    .on_error = stream_on_error,
};

// A connected pair of sockets, non-blocking. `tight`: small buffers in the kernel, by way of local sockets, because
// TCP with a small window waits for its persist timer again and again.
static inline void stream_pair(int fds[2], bool tight)
{
    if (tight) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
                         0);
        for (int i = 0, bytes = 4096; i < 2; i++)
            setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
        return;
    }
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s >= 0);
    assert_int_equal(bind(s, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(s, 1), 0);
    assert_int_equal(getsockname(s, (struct sockaddr *)&a, &len), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fds[0] >= 0);
    assert_int_equal(connect(fds[0], (struct sockaddr *)&a, sizeof a), 0);
    fds[1] = accept4(s, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fds[1] >= 0);
    close(s);
    for (int i = 0; i < 2; i++) {
        int one = 1;
        assert_int_equal(ioctl(fds[i], FIONBIO, &one), 0);
        // A raw end must not hold its second small piece back.
        setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
}

static inline void stream_send_some(struct stream_side *s)
{
    uint64_t left = s->to_send - s->sent;
    if (!left || s->errors)
        return;
    uint64_t most = rng_below(s->rng, 20) ? 3000 : 300000;
    size_t n = 1 + rng_below(s->rng, most < left ? most : left);
    bool pin = n >= 1000 && s->pinned_count < 4 && rng_below(s->rng, 2);
    char *p = malloc(n);
    for (size_t i = 0; i < n; i++)
        p[i] = stream_byte(s->side, s->sent + i);
    s->sent += n;
    conn_send(&s->conn, slice_make(p, n), pin ? CONN_PINNED : CONN_COPY);
    if (pin) {
        s->pinned[s->pinned_count++] = p;
    } else {
        memset(p, 0xdd, n);
        free(p);
    }
}

static inline void stream_side_init(struct stream_side *s, int side, struct loop *l,
                                    struct rng *rng, uint64_t bytes)
{
    memset(s, 0, sizeof *s);
    s->side = side;
    s->loop = l;
    s->rng = rng;
    s->to_send = bytes;
    s->space_room = 20000;
    s->space = malloc(s->space_room);
}

static inline void stream_side_deinit(struct stream_side *s)
{
    conn_close(&s->conn, false);
    stream_release(s);
    free(s->space);
}

static inline void stream_step(struct stream_side *s)
{
    struct conn *c = &s->conn;
    if (s->errors)
        return;
    uint64_t what = rng_below(s->rng, 16);
    if (what < 6)
        for (uint64_t i = rng_below(s->rng, 4); i-- > 0;)
            stream_send_some(s);
    else if (what == 6)
        conn_flush(c);
    else if (what == 7)
        conn_pause(c);
    else if (what < 12)
        conn_resume(c);
    if (s->sent == s->to_send && !s->shut) {
        s->shut = true;
        conn_shutdown(c);
    }
}

static inline bool stream_over(const struct stream_side *s)
{
    return s->errors || (s->eof && s->shut && !s->conn.queue);
}

// Until both sides have all, or one broke. Bounded.
static inline void stream_run(struct loop *l, struct stream_side *a, struct stream_side *b)
{
    int idle = 0;
    for (int turn = 0; turn < 2000000 && !(stream_over(a) && stream_over(b)); turn++) {
        stream_step(a);
        stream_step(b);
        idle = loop_turn(l, 0) ? 0 : idle + 1;
        if (idle > 200) {
            // Nothing more to do by itself: only pauses can hold it, or a bug does.
            conn_resume(&a->conn);
            conn_resume(&b->conn);
            if (!loop_turn(l, 500) && idle > 220)
                fail_msg("stuck: a %llu/%llu b %llu/%llu", (unsigned long long)a->sent,
                         (unsigned long long)b->received, (unsigned long long)b->sent,
                         (unsigned long long)a->received);
        }
        if (a->errors || b->errors) {
            loop_turn(l, 0);
            if (a->errors && b->errors)
                break;
        }
    }
}

#endif
