#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

// What the writer does. A producer that finds it idle moves it to gathering and wakes it, once; then it sleeps on for
// LOG_FLUSH_MS so that lines go out many at a time. A producer that fills half a ring meanwhile moves it to writing.
enum { IDLE, GATHERING, WRITING };

enum { CACHE_LINE = 64, FILE_MODE = 0640, FLUSH_US_MAX = 1000000, CLOSE_WAIT_MS = 1000 };

// Positions count bytes since the beginning and never wrap in practice; the ring's size is a power of two.
struct log_stream {
    struct log_sink *sink;
    uint64_t tail_seen; // the producer's last look at `tail`
    _Atomic uint64_t head;
    _Atomic uint64_t dropped;
    char apart[CACHE_LINE];
    _Atomic uint64_t tail;
    char apart_too[CACHE_LINE];
    char ring[LOG_RING_BYTES];
};

struct log_sink {
    _Atomic uint32_t state;
    _Atomic uint32_t rounds; // a futex that flushers wait on: one more after each write
    _Atomic uint32_t flushers;
    _Atomic uint32_t stream_count;
    _Atomic(struct log_stream *) streams[LOG_STREAMS_MAX];
    _Atomic uint64_t lost; // lines that could not be written
    atomic_bool closing, reopen;
    pthread_mutex_t opening; // of streams
    pthread_t writer;
    char *path; // NULL for the standard streams
    int fd;
    bool torn; // the file ends within a line
};

static void futex_wait(_Atomic uint32_t *word, uint32_t value, const struct timespec *limit)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, limit, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

static void hurry(struct log_sink *s)
{
    atomic_store(&s->state, WRITING);
    futex_wake(&s->state, 1);
}

bool log_line(struct log_stream *s, struct slice line)
{
    uint64_t head = atomic_load_explicit(&s->head, memory_order_relaxed);
    size_t n = line.len + 1;
    if (n > LOG_RING_BYTES - (head - s->tail_seen)) {
        s->tail_seen = atomic_load_explicit(&s->tail, memory_order_acquire);
        if (line.len >= LOG_RING_BYTES || n > LOG_RING_BYTES - (head - s->tail_seen)) {
            uint64_t dropped = atomic_load_explicit(&s->dropped, memory_order_relaxed);
            atomic_store_explicit(&s->dropped, dropped + 1, memory_order_relaxed);
            return false;
        }
    }
    size_t at = head & (LOG_RING_BYTES - 1), first = LOG_RING_BYTES - at;
    if (first > line.len)
        first = line.len;
    if (line.len) {
        memcpy(s->ring + at, line.ptr, first);
        memcpy(s->ring, line.ptr + first, line.len - first);
    }
    s->ring[(head + line.len) & (LOG_RING_BYTES - 1)] = '\n';
    // Sequentially consistent, as is the writer's step to idle: one of the two sees the other.
    atomic_store(&s->head, head + n);
    struct log_sink *sink = s->sink;
    uint32_t state = atomic_load(&sink->state);
    if (MERIT_UNLIKELY(state == IDLE)) {
        if (atomic_compare_exchange_strong(&sink->state, &state, GATHERING))
            futex_wake(&sink->state, 1);
    } else if (state == GATHERING && head + n - s->tail_seen > LOG_RING_BYTES / 2) {
        s->tail_seen = atomic_load_explicit(&s->tail, memory_order_acquire);
        if (head + n - s->tail_seen > LOG_RING_BYTES / 2 &&
            atomic_compare_exchange_strong(&sink->state, &state, WRITING))
            futex_wake(&sink->state, 1);
    }
    return true;
}

static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, FILE_MODE);
}

static void reopen_file(struct log_sink *s)
{
    if (!atomic_exchange(&s->reopen, false) || !s->path)
        return;
    // When the new one cannot be opened the old one serves on.
    int fd = open_file(s->path);
    if (fd < 0)
        return;
    close(s->fd);
    s->fd = fd;
    s->torn = false;
}

static uint64_t count_lines(const struct iovec *v, int count)
{
    uint64_t lines = 0;
    for (; count > 0; v++, count--) {
        const char *p = v->iov_base, *end = p + v->iov_len;
        while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
            lines++;
            p++;
        }
    }
    return lines;
}

// Whether to try again after errno: a full pipe is waited for, while closing not for ever.
static bool may_retry(struct log_sink *s)
{
    if (errno == EINTR)
        return true;
    if (errno != EAGAIN)
        return false;
    struct pollfd p = {.fd = s->fd, .events = POLLOUT};
    int n;
    do {
        n = poll(&p, 1, CLOSE_WAIT_MS);
    } while (n == 0 && !atomic_load(&s->closing));
    return n > 0 || (n < 0 && errno == EINTR);
}

static void write_all(struct log_sink *s, struct iovec *v, int count)
{
    struct iovec newline = {(char[]){'\n'}, 1};
    while (s->torn) {
        ssize_t n = writev(s->fd, &newline, 1);
        s->torn = n < 0;
        if (n < 0 && !may_retry(s))
            break;
    }
    char last = '\n';
    while (count > 0 && !s->torn) {
        ssize_t n = writev(s->fd, v, count);
        if (n < 0) {
            if (may_retry(s))
                continue;
            s->torn = last != '\n';
            break;
        }
        for (size_t rest = (size_t)n; rest;) {
            size_t step = rest < v->iov_len ? rest : v->iov_len;
            char *p = v->iov_base;
            last = p[step - 1];
            *v = (struct iovec){p + step, v->iov_len - step};
            rest -= step;
            if (!v->iov_len) {
                v++;
                count--;
            }
        }
    }
    if (count)
        atomic_fetch_add_explicit(&s->lost, count_lines(v, count), memory_order_relaxed);
}

// Everything that the rings hold now; false when that is nothing.
static bool write_round(struct log_sink *s)
{
    struct iovec v[2 * LOG_STREAMS_MAX];
    uint64_t heads[LOG_STREAMS_MAX];
    uint32_t streams = atomic_load_explicit(&s->stream_count, memory_order_acquire);
    int count = 0;
    for (uint32_t i = 0; i < streams; i++) {
        struct log_stream *stream = atomic_load_explicit(&s->streams[i], memory_order_relaxed);
        uint64_t tail = atomic_load_explicit(&stream->tail, memory_order_relaxed);
        heads[i] = atomic_load_explicit(&stream->head, memory_order_acquire);
        size_t n = heads[i] - tail, at = tail & (LOG_RING_BYTES - 1);
        size_t first = n < LOG_RING_BYTES - at ? n : LOG_RING_BYTES - at;
        if (first)
            v[count++] = (struct iovec){stream->ring + at, first};
        if (n > first)
            v[count++] = (struct iovec){stream->ring, n - first};
    }
    if (!count)
        return false;
    write_all(s, v, count);
    for (uint32_t i = 0; i < streams; i++) {
        struct log_stream *stream = atomic_load_explicit(&s->streams[i], memory_order_relaxed);
        atomic_store_explicit(&stream->tail, heads[i], memory_order_release);
    }
    return true;
}

static bool has_lines(struct log_sink *s)
{
    uint32_t streams = atomic_load(&s->stream_count);
    for (uint32_t i = 0; i < streams; i++) {
        struct log_stream *stream = atomic_load_explicit(&s->streams[i], memory_order_relaxed);
        if (atomic_load(&stream->head) != atomic_load_explicit(&stream->tail, memory_order_relaxed))
            return true;
    }
    return false;
}

static bool is_urgent(struct log_sink *s)
{
    return atomic_load(&s->closing) || atomic_load(&s->reopen) || atomic_load(&s->flushers);
}

static void *run_writer(void *sink)
{
    struct log_sink *s = sink;
    const struct timespec gather = {.tv_nsec = LOG_FLUSH_MS * 1000000L};
    for (;;) {
        bool closing = atomic_load(&s->closing);
        reopen_file(s);
        bool wrote = write_round(s);
        atomic_fetch_add(&s->rounds, 1);
        if (atomic_load(&s->flushers))
            futex_wake(&s->rounds, INT32_MAX);
        if (closing && !wrote)
            return NULL;
        if (!wrote) {
            // Whoever wants something after these looks finds the state idle and wakes.
            atomic_store(&s->state, IDLE);
            if (!has_lines(s) && !is_urgent(s))
                futex_wait(&s->state, IDLE, NULL);
            uint32_t idle = IDLE;
            atomic_compare_exchange_strong(&s->state, &idle, GATHERING);
        } else {
            atomic_store(&s->state, GATHERING);
        }
        if (!is_urgent(s))
            futex_wait(&s->state, GATHERING, &gather);
    }
}

// Signals are for the threads of the program, not for this one.
static enum result start_writer(struct log_sink *s)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&s->writer, NULL, run_writer, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed)
        return RESULT_NOMEM;
    pthread_setname_np(s->writer, "merit-log");
    return RESULT_OK;
}

enum result log_sink_open(struct log_sink **out, const char *path)
{
    struct log_sink *s = alloc_zeroed(1, sizeof *s);
    if (!s)
        return RESULT_NOMEM;
    enum result r = RESULT_NOMEM;
    int error = 0;
    pthread_mutex_init(&s->opening, NULL);
    s->fd = -1;
    if (strcmp(path, "-") == 0) {
        s->fd = STDOUT_FILENO;
    } else if (strcmp(path, "stderr") == 0) {
        s->fd = STDERR_FILENO;
    } else {
        size_t len = strlen(path) + 1;
        s->path = alloc_bytes(len);
        if (!s->path)
            goto out;
        memcpy(s->path, path, len);
        s->fd = open_file(path);
        if (s->fd < 0) {
            error = errno;
            r = RESULT_IO;
            goto out;
        }
    }
    r = start_writer(s);
    if (!r) {
        *out = s;
        return RESULT_OK;
    }
out:
    if (s->path && s->fd >= 0)
        close(s->fd);
    pthread_mutex_destroy(&s->opening);
    alloc_free(s->path);
    alloc_free(s);
    errno = error;
    return r;
}

void log_sink_close(struct log_sink *s)
{
    if (!s)
        return;
    atomic_store(&s->closing, true);
    hurry(s);
    pthread_join(s->writer, NULL);
    for (uint32_t i = 0; i < atomic_load(&s->stream_count); i++)
        alloc_free(atomic_load(&s->streams[i]));
    if (s->path)
        close(s->fd);
    pthread_mutex_destroy(&s->opening);
    alloc_free(s->path);
    alloc_free(s);
}

void log_sink_reopen(struct log_sink *s)
{
    atomic_store(&s->reopen, true);
    hurry(s);
}

void log_sink_flush(struct log_sink *s)
{
    uint64_t heads[LOG_STREAMS_MAX], stop = clock_mono_us(&clock_system) + FLUSH_US_MAX;
    uint32_t streams = atomic_load(&s->stream_count);
    for (uint32_t i = 0; i < streams; i++)
        heads[i] = atomic_load(&atomic_load(&s->streams[i])->head);
    atomic_fetch_add(&s->flushers, 1);
    for (;;) {
        uint32_t round = atomic_load(&s->rounds);
        bool done = true;
        for (uint32_t i = 0; i < streams; i++)
            done &= atomic_load(&atomic_load(&s->streams[i])->tail) >= heads[i];
        uint64_t now = clock_mono_us(&clock_system);
        if (done || now >= stop)
            break;
        hurry(s);
        struct timespec rest = {(time_t)((stop - now) / 1000000),
                                (long)((stop - now) % 1000000) * 1000};
        futex_wait(&s->rounds, round, &rest);
    }
    atomic_fetch_sub(&s->flushers, 1);
}

enum result log_stream_open(struct log_sink *s, struct log_stream **out)
{
    enum result r = RESULT_OK;
    pthread_mutex_lock(&s->opening);
    uint32_t count = atomic_load(&s->stream_count);
    struct log_stream *stream = NULL;
    if (count == LOG_STREAMS_MAX) {
        r = RESULT_LIMIT;
        goto out;
    }
    // The ring stays untouched, and so without memory, until it is written to.
    stream = alloc_bytes(sizeof *stream);
    if (!stream) {
        r = RESULT_NOMEM;
        goto out;
    }
    stream->sink = s;
    stream->tail_seen = 0;
    atomic_init(&stream->head, 0);
    atomic_init(&stream->tail, 0);
    atomic_init(&stream->dropped, 0);
    atomic_store_explicit(&s->streams[count], stream, memory_order_relaxed);
    atomic_store(&s->stream_count, count + 1);
out:
    pthread_mutex_unlock(&s->opening);
    if (!r)
        *out = stream;
    return r;
}

uint64_t log_sink_dropped(const struct log_sink *s)
{
    uint64_t dropped = atomic_load_explicit(&s->lost, memory_order_relaxed);
    uint32_t streams = atomic_load_explicit(&s->stream_count, memory_order_acquire);
    for (uint32_t i = 0; i < streams; i++) {
        const struct log_stream *stream =
            atomic_load_explicit(&s->streams[i], memory_order_relaxed);
        dropped += atomic_load_explicit(&stream->dropped, memory_order_relaxed);
    }
    return dropped;
}
