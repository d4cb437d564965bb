#include "net/conn.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "net/queue.h"
#include "net/sys.h"
#include "net/tls.h"

_Static_assert(sizeof(struct conn) < 256, "an idle connection should cost little");
_Static_assert((int)LOOP_PAGE_BYTES >= (int)TLS_RECORD_BYTES,
               "a page holds one record's plaintext");

static enum result result_of(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return RESULT_REFUSED;
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED:
        return RESULT_RESET;
    case ETIMEDOUT:
        return RESULT_TIMEOUT;
    case ENOMEM:
    case ENOBUFS:
        return RESULT_NOMEM;
    case EMFILE:
    case ENFILE:
        return RESULT_LIMIT;
    default:
        return RESULT_IO;
    }
}

// Only from the loop: tells the owner, once.
static void tell_error(struct conn *c, enum result why)
{
    if (c->closed || c->error_told)
        return;
    c->error = (uint8_t)why;
    c->error_told = true;
    c->ops->on_error(c, why);
}

// From inside a call of the owner: the write task tells at the end of the turn.
MERIT_COLD static void fail_later(struct conn *c, enum result why)
{
    if (!c->error)
        c->error = (uint8_t)why;
    loop_defer(c->loop, &c->write_task);
}

static bool dead(const struct conn *c)
{
    return c->closed || c->error;
}

static void drop_queue(struct conn *c)
{
    queue_give(c->loop, c->queue);
    c->queue = NULL;
}

// The peer takes no more. What it said before it broke off (an early answer) is read first; then the owner is told.
static void write_failed(struct conn *c, enum result why)
{
    drop_queue(c);
    c->write_error = (uint8_t)why;
    c->hangup = c->readable = true;
    loop_later(c->loop, &c->read_task);
}

// Small pieces share a record; what begins with a large one is taken from where it is.
static enum result send_record(struct conn *c, size_t *sent)
{
    struct iovec v[QUEUE_IOV_MAX];
    int n = queue_iov(c->queue, v, QUEUE_IOV_MAX);
    if (n == 1 || v[0].iov_len >= TLS_RECORD_BYTES) {
        size_t len = v[0].iov_len < TLS_RECORD_BYTES ? v[0].iov_len : TLS_RECORD_BYTES;
        return tls_session_write(c->tls, v[0].iov_base, len, sent);
    }
    char *page = loop_page_take(c->loop);
    if (!page)
        return RESULT_NOMEM;
    size_t len = 0;
    for (int i = 0; i < n && len < TLS_RECORD_BYTES; i++) {
        size_t part = TLS_RECORD_BYTES - len < v[i].iov_len ? TLS_RECORD_BYTES - len : v[i].iov_len;
        memcpy(page + len, v[i].iov_base, part);
        len += part;
    }
    enum result r = tls_session_write(c->tls, page, len, sent);
    loop_page_give(c->loop, page);
    return r;
}

static enum result send_some(struct conn *c, size_t *sent)
{
    if (c->tls)
        return send_record(c, sent);
    struct iovec v[QUEUE_IOV_MAX];
    int n = queue_iov(c->queue, v, QUEUE_IOV_MAX);
    ssize_t r;
    do
        r = sys_sendv(c->io.fd, v, n);
    while (r < 0 && errno == EINTR);
    if (r >= 0) {
        *sent = (size_t)r;
        return RESULT_OK;
    }
    return errno == EAGAIN ? RESULT_AGAIN : result_of(errno);
}

static enum result finish_shutdown(struct conn *c)
{
    if (!c->shut_due || c->shut_done)
        return RESULT_OK;
    enum result r = c->tls ? tls_session_end(c->tls) : RESULT_OK;
    if (r)
        return r;
    c->shut_done = true;
    return shutdown(c->io.fd, SHUT_WR) == 0 ? RESULT_OK : result_of(errno);
}

// Sends until the queue is empty or the kernel takes no more. Runs no callback; a failure is told later.
static void push_out(struct conn *c)
{
    enum result r = RESULT_OK;
    while (!r && c->queue && c->queue->bytes) {
        size_t sent = 0;
        r = send_some(c, &sent);
        queue_consume(c->loop, c->queue, sent);
    }
    if (!r) {
        drop_queue(c);
        r = finish_shutdown(c);
    }
    if (r == RESULT_AGAIN)
        c->blocked = true;
    else if (r)
        write_failed(c, r);
}

static bool can_write(const struct conn *c)
{
    return !dead(c) && c->opened && !c->blocked && !c->write_error;
}

// Only from the loop. The conn may be closed when it returns.
static void flush_and_tell(struct conn *c)
{
    if (c->closed)
        return;
    if (c->error) {
        tell_error(c, c->error);
        return;
    }
    if (can_write(c) && (c->queue || c->shut_due))
        push_out(c);
    if (c->drain_due && !c->queue && !c->write_error && c->open_told) {
        c->drain_due = false;
        c->ops->on_drain(c);
    }
}

static void run_write(struct loop_task *t)
{
    flush_and_tell(MERIT_CONTAINER(t, struct conn, write_task));
}

static void end_of_input(struct conn *c)
{
    if (c->write_error) {
        tell_error(c, c->write_error);
        return;
    }
    c->readable = false;
    c->eof_seen = true;
    c->ops->on_eof(c);
}

static enum result receive(struct conn *c, char *to, size_t room, size_t *got)
{
    if (c->tls)
        return tls_session_read(c->tls, to, room, got);
    ssize_t r;
    size_t asked = room;
    do
        r = sys_recv(c->io.fd, to, &asked);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return errno == EAGAIN ? RESULT_AGAIN : result_of(errno);
    if (r == 0)
        return RESULT_EOF;
    *got = (size_t)r;
    // Less than there was room for: the kernel has no more, and what comes next is a new edge. An end that came with
    // the data is not, so after a hang-up one reads until it shows.
    if (*got < asked && !c->hangup)
        c->readable = false;
    return RESULT_OK;
}

// What a paused conn can still learn.
static void notice(struct conn *c)
{
    if (c->hangup && !c->eof_seen && !c->hangup_told) {
        c->hangup_told = true;
        if (c->ops->on_hangup)
            c->ops->on_hangup(c);
    }
}

static void read_some(struct conn *c)
{
    for (int i = 0; i < CONN_READS_PER_TURN; i++) {
        if (dead(c) || c->paused || !c->readable || c->eof_seen)
            break;
        size_t room = LOOP_SCRATCH_BYTES, got = 0;
        char *to = c->ops->on_space ? c->ops->on_space(c, &room) : NULL;
        if (dead(c) || c->paused)
            break;
        if (!to) {
            to = loop_scratch(c->loop);
            room = LOOP_SCRATCH_BYTES;
        }
        assert(room);
        enum result r = receive(c, to, room, &got);
        if (r == RESULT_OK) {
            c->ops->on_data(c, to, got);
        } else if (r == RESULT_AGAIN && c->write_error) {
            tell_error(c, c->write_error);
        } else if (r == RESULT_AGAIN) {
            c->readable = false;
        } else if (r == RESULT_EOF) {
            end_of_input(c);
        } else {
            tell_error(c, r);
        }
    }
    if (!dead(c) && c->readable && !c->paused && !c->eof_seen)
        loop_later(c->loop, &c->read_task);
}

static void run_read(struct loop_task *t)
{
    struct conn *c = MERIT_CONTAINER(t, struct conn, read_task);
    if (dead(c) || !c->open_told)
        return;
    if (c->write_error && (c->paused || c->eof_seen))
        tell_error(c, c->write_error);
    else if (c->paused)
        notice(c);
    else
        read_some(c);
}

static enum result socket_error(struct conn *c)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(c->io.fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    return error ? result_of(error) : RESULT_RESET;
}

// Goes on with connecting; true when the conn is open and still stands.
static bool advance(struct conn *c, uint32_t events)
{
    if (!c->connected) {
        if (events & (EPOLLERR | EPOLLHUP)) {
            tell_error(c, socket_error(c));
            return false;
        }
        if (!(events & EPOLLOUT))
            return false;
        c->connected = true;
    }
    if (c->tls) {
        enum result r = tls_session_handshake(c->tls);
        if (r && r != RESULT_AGAIN)
            tell_error(c, r);
        if (r)
            return false;
        // The first bytes may have come with the end of the handshake.
        c->readable = true;
    }
    c->opened = c->open_told = true;
    c->ops->on_open(c);
    if (dead(c))
        return false;
    if (c->queue || c->drain_due || c->shut_due)
        loop_defer(c->loop, &c->write_task);
    return true;
}

static void on_event(struct loop_io *io, uint32_t events)
{
    struct conn *c = MERIT_CONTAINER(io, struct conn, io);
    if (dead(c))
        return;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        c->hangup = true;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        c->readable = true;
    if (c->tls) {
        // Under TLS a read may wait to write, and a write to read: each event lets both try.
        c->readable = true;
        tls_session_ready(c->tls, events);
    }
    if (!c->open_told && !advance(c, events))
        return;
    if (c->blocked && (c->tls || (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))) {
        c->blocked = false;
        flush_and_tell(c);
        if (dead(c))
            return;
    }
    if ((events & EPOLLERR) && (c->paused || c->eof_seen))
        tell_error(c, socket_error(c));
    else if (c->paused)
        notice(c);
    else if (c->readable)
        read_some(c);
}

enum result conn_init(struct conn *c, struct loop *loop, int fd, const struct conn_ops *ops,
                      struct tls_context *tls, bool client, const char *server_name)
{
    memset(c, 0, sizeof *c);
    c->io.fd = fd;
    c->io.on_event = on_event;
    c->loop = loop;
    c->ops = ops;
    c->write_task.run = run_write;
    c->read_task.run = run_read;
    c->client = client;
    c->connected = !client;
    c->opened = !client && !tls;
    enum result r = tls ? tls_session_open(&c->tls, tls, fd, client, server_name) : RESULT_OK;
    if (r)
        goto out;
    // Fails on a socket that is not TCP, which is no harm.
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    r = loop_add(loop, &c->io);
out:
    if (r) {
        tls_session_close(c->tls, false);
        c->tls = NULL;
        c->closed = true;
        close(fd);
    }
    return r;
}

enum result conn_connect(struct conn *c, struct loop *loop, const struct sockaddr *addr,
                         socklen_t len, const struct conn_ops *ops, struct tls_context *tls,
                         const char *server_name)
{
    memset(c, 0, sizeof *c);
    c->closed = true;
    int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return result_of(errno);
    if (sys_connect(fd, addr, len) != 0 && errno != EINPROGRESS && errno != EINTR) {
        enum result r = result_of(errno);
        close(fd);
        return r;
    }
    return conn_init(c, loop, fd, ops, tls, true, server_name);
}

void conn_close(struct conn *c, bool reset)
{
    if (c->closed)
        return;
    if (!reset && can_write(c) && c->queue)
        push_out(c);
    c->closed = true;
    // A close_notify behind a stream that was cut short would make it look whole.
    tls_session_close(c->tls, !reset && !c->queue && !c->error && !c->write_error);
    c->tls = NULL;
    drop_queue(c);
    if (reset) {
        struct linger none = {.l_onoff = 1, .l_linger = 0};
        setsockopt(c->io.fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    }
    loop_task_cancel(&c->write_task);
    loop_task_cancel(&c->read_task);
    loop_forget(c->loop, &c->io);
    close(c->io.fd);
    c->io.fd = -1;
}

void conn_shutdown(struct conn *c)
{
    if (dead(c) || c->shut_due)
        return;
    c->shut_due = true;
    loop_defer(c->loop, &c->write_task);
}

// Tries to send a large piece from where it is; copies what the kernel leaves.
static enum result send_large(struct conn *c, struct slice s)
{
    enum result r = queue_pin(c->queue, s);
    if (r)
        return r;
    push_out(c);
    return c->queue ? queue_own_last(c->loop, c->queue) : RESULT_OK;
}

void conn_send(struct conn *c, struct slice s, enum conn_send_mode mode)
{
    if (dead(c) || c->write_error || !s.len)
        return;
    assert(!c->shut_due);
    enum result r = RESULT_OK;
    if (!c->queue && !(c->queue = queue_take(c->loop)))
        r = RESULT_NOMEM;
    else if (s.len > CONN_QUEUE_BYTES_MAX - c->queue->bytes)
        r = RESULT_LIMIT;
    if (r) {
        fail_later(c, r);
        return;
    }
    c->drain_due = true;
    bool full = c->queue->bytes + s.len >= CONN_FLUSH_BYTES && can_write(c);
    if (full && mode == CONN_COPY)
        r = send_large(c, s);
    else if (mode == CONN_COPY)
        r = queue_copy(c->loop, c->queue, s);
    else
        r = queue_pin(c->queue, s);
    if (r) {
        fail_later(c, r);
        return;
    }
    if (full && mode == CONN_PINNED)
        push_out(c);
    loop_defer(c->loop, &c->write_task);
}

void conn_flush(struct conn *c)
{
    if (c->queue && can_write(c))
        push_out(c);
}

size_t conn_queued(const struct conn *c)
{
    return c->queue ? c->queue->bytes : 0;
}

void conn_pause(struct conn *c)
{
    c->paused = true;
    if (!dead(c) && c->hangup && !c->eof_seen && !c->hangup_told)
        loop_later(c->loop, &c->read_task);
}

void conn_resume(struct conn *c)
{
    c->paused = false;
    if (!dead(c) && c->readable && !c->eof_seen)
        loop_later(c->loop, &c->read_task);
}
