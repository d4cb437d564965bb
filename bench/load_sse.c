// Load for streaming: an upstream that emits numbered events, and a client that checks every one of them.
//
//   load_sse serve --port P [--chunks 64] [--interval-us 10000] [--burst] [--delay-us 0]
//     An HTTP/1.1 server on 127.0.0.1. A body that asks for a stream is answered with `chunks` events of about 190 B,
//     each one its own chunk and its own write, `interval-us` apart, the first at once (or after `delay-us`); any
//     other with a JSON answer of about 600 B. With --burst events come without pause, cut at random places into
//     chunks and writes. Usage comes only where it was asked for. Prints "ready" and runs until SIGTERM.
//
//   load_sse run --port P [--streams 512] [--seconds 5 | --total N] [--chunks 64] [--interval-us 10000]
//                [--path /v1/chat/completions] [--body FILE] [--key TEXT]
//     Keeps so many streams open over kept connections and prints one JSON object: events and what was wrong with
//     them (lost, merged, reordered, altered, extra), time to first token, and rates. --interval-us only spreads the
//     start. Exit code 1 when something was wrong.
//
//   load_sse probe
//     Times a fixed piece of integer work, best of nine, in ms: by it absolute times of two machines can be compared.
//
// One thread each; needs nothing of Merit. Not hardened: both ends are ours.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 512, SCRATCH = 64 * 1024, EVENT_MAX = 4096, HEAD_MAX = 8192, OUT_MAX = 4096 };

struct options {
    int port, chunks, streams;
    int64_t interval_us, delay_us, total;
    double seconds;
    bool burst;
    const char *path, *body, *key;
};

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void die(const char *what)
{
    perror(what);
    exit(2);
}

static void *need(void *p)
{
    if (!p)
        die("memory");
    return p;
}

static uint64_t random_state = 88172645463325252ull;

static uint32_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32);
}

static struct sockaddr_in loopback(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static int wait_us(int poll, struct epoll_event *events, int64_t us)
{
    if (us < 0)
        us = 0;
    struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    return epoll_pwait2(poll, events, EVENTS, &t, NULL);
}

// The text of event `n`; both ends make it, so that one altered byte shows.
static int content_of(int n, char out[32])
{
    static const char fill[] = "abcdefghijklmnopqrstuvwxyz";
    return snprintf(out, 32, "w%06d %.14s", n, fill + n % 12);
}

// ---------------------------------------------------------------------------------------------- the upstream

struct up {
    int fd;
    char *in;
    size_t in_len, in_cap;
    char out[OUT_MAX];
    size_t out_len, out_at;
    bool streaming, usage, closed, queued;
    int next;         // event to send
    int64_t due_us;   // of the next event
    struct up *later; // in the queue by due time
};

static struct up *queue_first, *queue_last;
static int up_poll;

static void queue_push(struct up *u)
{
    u->later = NULL;
    u->queued = true;
    if (queue_last)
        queue_last->later = u;
    else
        queue_first = u;
    queue_last = u;
}

static void up_close(struct up *u)
{
    if (u->closed)
        return;
    u->closed = true;
    close(u->fd);
    if (u->queued)
        return; // freed when it comes up
    free(u->in);
    free(u);
}

// False when the kernel takes no more or the connection is gone.
static bool up_flush(struct up *u)
{
    while (u->out_at < u->out_len) {
        ssize_t n = send(u->fd, u->out + u->out_at, u->out_len - u->out_at, MSG_NOSIGNAL);
        if (n < 0)
            return false;
        u->out_at += (size_t)n;
    }
    u->out_len = u->out_at = 0;
    return true;
}

static int event_text(const struct up *u, const struct options *o, int n, char *to, size_t room)
{
    char content[32];
    if (n < o->chunks) {
        content_of(n, content);
        return snprintf(
            to, room,
            "data: "
            "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":"
            "1790000000,"
            "\"model\":\"bench\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s\"},"
            "\"finish_reason\":%s}]}\n\n",
            content, n == o->chunks - 1 ? "\"stop\"" : "null");
    }
    return snprintf(
        to, room, "%sdata: [DONE]\n\n",
        !u->usage
            ? ""
            : "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":"
              "1790000000,\"model\":\"bench\",\"choices\":[],\"usage\":{\"prompt_tokens\":300,"
              "\"completion_tokens\":64,\"total_tokens\":364}}\n\n");
}

static void up_append(struct up *u, const char *data, int len)
{
    if (u->out_len + (size_t)len + 32 > OUT_MAX)
        die("an event is too long");
    u->out_len += (size_t)sprintf(u->out + u->out_len, "%x\r\n", (unsigned)len);
    memcpy(u->out + u->out_len, data, (size_t)len);
    u->out_len += (size_t)len;
    memcpy(u->out + u->out_len, "\r\n", 2);
    u->out_len += 2;
}

static void up_end_chunk(struct up *u)
{
    memcpy(u->out + u->out_len, "0\r\n\r\n", 5);
    u->out_len += 5;
    u->streaming = false;
}

// Sends event u->next as one chunk in one write; after the last one [DONE] and the end.
static void up_event(struct up *u, const struct options *o)
{
    char text[1024];
    up_append(u, text, event_text(u, o, u->next, text, sizeof text));
    if (u->next++ == o->chunks)
        up_end_chunk(u);
    up_flush(u);
}

// All the rest without pause, in pieces of random length that know nothing of events. Goes on at EPOLLOUT.
static void up_burst(struct up *u, const struct options *o)
{
    char text[OUT_MAX];
    while (u->streaming) {
        if (u->out_len && !up_flush(u))
            return;
        int len = 0, most = 1 + (int)(random_next() % 6);
        while (u->next <= o->chunks && most-- > 0)
            len += event_text(u, o, u->next++, text + len, sizeof text - (size_t)len);
        for (int at = 0; at < len;) {
            int piece = 1 + (int)(random_next() % 400);
            if (piece > len - at)
                piece = len - at;
            if (u->out_len + (size_t)piece + 64 > OUT_MAX)
                piece = len - at; // cannot be: 7 events are below 2 kB
            up_append(u, text + at, piece);
            at += piece;
        }
        if (u->next > o->chunks)
            up_end_chunk(u);
        size_t whole = u->out_len, cut = 1 + random_next() % whole;
        u->out_len = cut;
        bool sent = up_flush(u);
        u->out_at = sent ? cut : u->out_at;
        u->out_len = whole;
    }
    up_flush(u);
}

static void up_answer(struct up *u, const char *body, size_t len, const struct options *o)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                               "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";
    bool stream = len && (memmem(body, len, "\"stream\":true", 13) ||
                          memmem(body, len, "\"stream\": true", 14));
    if (!stream) {
        char json[768];
        int n = snprintf(json, sizeof json,
                         "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":"
                         "1790000000,\"model\":"
                         "\"bench\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                         "\"content\":\"%0350d\"},"
                         "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":300,"
                         "\"completion_tokens\":80,"
                         "\"total_tokens\":380}}",
                         7);
        u->out_len = (size_t)snprintf(
            u->out, OUT_MAX,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", n,
            json);
        up_flush(u);
        return;
    }
    u->usage = memmem(body, len, "\"include_usage\":true", 20) ||
               memmem(body, len, "\"include_usage\": true", 21);
    u->streaming = true;
    u->next = 0;
    memcpy(u->out, head, sizeof head - 1);
    u->out_len = sizeof head - 1;
    if (o->burst) {
        up_burst(u, o);
        return;
    }
    u->due_us = now_us();
    if (o->delay_us == 0) {
        up_event(u, o);
        u->due_us += o->interval_us;
    } else {
        up_flush(u);
        u->due_us += o->delay_us;
    }
    if (!u->queued)
        queue_push(u);
}

// Takes whole requests out of what came.
static void up_requests(struct up *u, const struct options *o)
{
    while (!u->closed) {
        char *end = memmem(u->in, u->in_len, "\r\n\r\n", 4);
        if (!end)
            return;
        size_t head = (size_t)(end - u->in) + 4, length = 0;
        *end = 0;
        char *field = strcasestr(u->in, "\r\ncontent-length:");
        if (field)
            length = strtoul(field + 17, NULL, 10);
        *end = '\r';
        if (u->in_len < head + length)
            return;
        up_answer(u, u->in + head, length, o);
        u->in_len -= head + length;
        memmove(u->in, u->in + head + length, u->in_len);
    }
}

static void up_read(struct up *u, const struct options *o)
{
    for (;;) {
        if (u->in_cap - u->in_len < 4096) {
            u->in_cap = u->in_cap ? u->in_cap * 2 : 8192;
            u->in = need(realloc(u->in, u->in_cap));
        }
        ssize_t n = recv(u->fd, u->in + u->in_len, u->in_cap - u->in_len, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            up_close(u);
            return;
        }
        if (n < 0)
            break;
        u->in_len += (size_t)n;
    }
    if (!u->streaming)
        up_requests(u, o);
}

static void up_accept(int listener)
{
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct up *u = need(calloc(1, sizeof *u));
        u->fd = fd;
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = u};
        if (epoll_ctl(up_poll, EPOLL_CTL_ADD, fd, &e) != 0)
            die("epoll_ctl");
    }
}

// Sends what is due; returns the time until the next, at most 100 ms.
static int64_t up_due(const struct options *o)
{
    int64_t now = now_us();
    while (queue_first && (queue_first->closed || queue_first->due_us <= now)) {
        struct up *u = queue_first;
        queue_first = u->later;
        if (!queue_first)
            queue_last = NULL;
        u->queued = false;
        if (u->closed) {
            free(u->in);
            free(u);
            continue;
        }
        if (u->out_len && !up_flush(u)) { // the reader is slow: try again in a while
            u->due_us = now + o->interval_us;
            queue_push(u);
            continue;
        }
        up_event(u, o);
        u->due_us += o->interval_us;
        if (u->streaming)
            queue_push(u);
        else
            up_requests(u, o);
    }
    if (!queue_first)
        return 100000;
    int64_t left = queue_first->due_us - now_us();
    return left < 0 ? 0 : left > 100000 ? 100000 : left;
}

static volatile sig_atomic_t stopped;

static void on_stop(int number)
{
    (void)number;
    stopped = 1;
}

static int serve(const struct options *o)
{
    struct sockaddr_in a = loopback(o->port);
    struct sigaction act = {.sa_handler = on_stop};
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGINT, &act, NULL);
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&a, sizeof a) != 0 || listen(listener, 8192) != 0)
        die("listen");
    up_poll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS];
    if (up_poll < 0 || epoll_ctl(up_poll, EPOLL_CTL_ADD, listener, &e) != 0)
        die("epoll");
    printf("ready\n");
    fflush(stdout);
    while (!stopped) {
        int n = wait_us(up_poll, events, up_due(o));
        for (int i = 0; i < n; i++) {
            struct up *u = events[i].data.ptr;
            if (!u) {
                up_accept(listener);
                continue;
            }
            if (events[i].events & EPOLLOUT && o->burst && u->streaming) {
                up_burst(u, o);
                if (!u->streaming)
                    up_requests(u, o);
            } else if (events[i].events & EPOLLOUT && u->out_len) {
                up_flush(u);
            }
            if (events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
                up_read(u, o);
        }
    }
    return 0;
}

// ------------------------------------------------------------------------------------------------ the client

enum body_state {
    BODY_SIZE,
    BODY_EXTENSION,
    BODY_DATA,
    BODY_DATA_END,
    BODY_TRAILER,
    BODY_PLAIN,
    BODY_OVER
};

struct stream {
    int fd; // -1: not connected
    bool busy, head_done, reused, done_seen, waiting, wrong, closing;
    enum body_state state;
    size_t sent, left, trailer;
    char head[HEAD_MAX];
    size_t head_len;
    char event[EVENT_MAX];
    size_t event_len;
    int next;
    int64_t begun_us, first_us;
};

struct samples {
    uint32_t *v;
    size_t n, cap;
};

static struct {
    int64_t events, lost, merged, reordered, altered, extra, comments;
    int64_t begun, whole, failed, stale;
    struct samples ttft, total;
    const char *first_failure;
    char failure_text[512];
} tally;

static struct stream *streams;
static char *request;
static size_t request_len;
static int run_poll, running, peak;

static void sample(struct samples *s, int64_t v)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 4096;
        s->v = need(realloc(s->v, s->cap * sizeof *s->v));
    }
    s->v[s->n++] = (uint32_t)v;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static double quantile(struct samples *s, double q)
{
    if (s->n == 0)
        return 0;
    qsort(s->v, s->n, sizeof *s->v, by_value);
    return s->v[(size_t)((double)(s->n - 1) * q)];
}

static void failure(struct stream *s, const char *why, const char *text, size_t len)
{
    tally.failed++;
    s->wrong = true;
    if (tally.first_failure)
        return;
    tally.first_failure = why;
    len = len > 400 ? 400 : len;
    for (size_t i = 0; i < len; i++) // goes into a JSON string
        tally.failure_text[i] =
            text[i] < ' ' || text[i] == '"' || text[i] == '\\' || text[i] & 0x80 ? ' ' : text[i];
}

static void event_check(struct stream *s, const struct options *o)
{
    char *e = s->event;
    size_t len = s->event_len;
    s->event_len = 0;
    if (len == 0)
        return;
    if (e[0] == ':' && !memchr(e, '\n', len)) {
        tally.comments++;
        return;
    }
    if (memchr(e, '\n', len)) {
        tally.merged++;
        return;
    }
    if (len == 12 && memcmp(e, "data: [DONE]", 12) == 0) {
        s->done_seen = true;
        return;
    }
    char *content = memmem(e, len, "\"content\":\"w", 12), want[32];
    if (!content || len < 6 || memcmp(e, "data: ", 6) != 0 || s->done_seen) {
        if (memmem(e, len, "\"error\"", 7))
            failure(s, "error event", e, len);
        else
            tally.extra++;
        return;
    }
    int n = (int)strtol(content + 12, NULL, 10), width = content_of(n, want);
    size_t after = (size_t)(content + 11 - e) + (size_t)width;
    if (n < 0 || n >= o->chunks || after >= len || memcmp(content + 11, want, (size_t)width) != 0 ||
        e[after] != '"' || e[len - 1] != '}') {
        tally.altered++;
        return;
    }
    tally.events++;
    if (n == 0 && !s->first_us) {
        s->first_us = now_us();
        sample(&tally.ttft, s->first_us - s->begun_us);
    }
    if (n < s->next) {
        tally.reordered++;
        return;
    }
    tally.lost += n - s->next;
    s->next = n + 1;
}

static void sse_feed(struct stream *s, const char *p, size_t len, const struct options *o)
{
    while (len) {
        const char *newline = memchr(p, '\n', len);
        size_t n = newline ? (size_t)(newline - p) : len;
        if (s->event_len + n + 1 > EVENT_MAX) {
            tally.altered++;
            s->event_len = 0;
        } else {
            memcpy(s->event + s->event_len, p, n);
            s->event_len += n;
        }
        if (!newline)
            return;
        p += n + 1;
        len -= n + 1;
        // An empty line ends the event; the '\n' of the line before it is the last byte kept.
        if (s->event_len == 0 || s->event[s->event_len - 1] == '\n') {
            if (s->event_len)
                s->event_len--;
            event_check(s, o);
        } else {
            s->event[s->event_len++] = '\n';
        }
    }
}

static bool head_parse(struct stream *s)
{
    s->head[s->head_len] = 0;
    int status = atoi(s->head + 9);
    char *length = strcasestr(s->head, "\r\ncontent-length:");
    s->closing = strcasestr(s->head, "\r\nconnection: close") != NULL;
    if (strcasestr(s->head, "\r\ntransfer-encoding: chunked"))
        s->state = BODY_SIZE;
    else
        s->state = BODY_PLAIN;
    s->left = s->state == BODY_SIZE ? 0 : length ? strtoul(length + 17, NULL, 10) : SIZE_MAX;
    if (status != 200) {
        failure(s, "status", s->head, s->head_len);
        s->closing = true;
    }
    return status == 200;
}

// Moves over one byte of chunk framing.
static void framing_step(struct stream *s, char c)
{
    switch (s->state) {
    case BODY_SIZE:
        if (c >= '0' && c <= '9')
            s->left = s->left * 16 + (size_t)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            s->left = s->left * 16 + (size_t)((c | 32) - 'a' + 10);
        else if (c == '\n')
            s->state = s->left ? BODY_DATA : BODY_TRAILER, s->trailer = 0;
        else
            s->state = c == '\r' || c == ';' ? BODY_EXTENSION : BODY_OVER;
        break;
    case BODY_EXTENSION:
        if (c == '\n')
            s->state = s->left ? BODY_DATA : BODY_TRAILER, s->trailer = 0;
        break;
    case BODY_DATA_END:
        if (c == '\n')
            s->state = BODY_SIZE, s->left = 0;
        break;
    case BODY_TRAILER:
        if (c == '\n' && s->trailer == 0)
            s->state = BODY_OVER;
        else if (c != '\r')
            s->trailer = c == '\n' ? 0 : s->trailer + 1;
        break;
    default:
        break;
    }
}

// Feeds body bytes; true when the answer is whole.
static bool body_feed(struct stream *s, const char *p, size_t len, const struct options *o)
{
    while (len && s->state != BODY_OVER) {
        if (s->state != BODY_DATA && s->state != BODY_PLAIN) {
            framing_step(s, *p);
            p++;
            len--;
            continue;
        }
        size_t n = len < s->left ? len : s->left;
        sse_feed(s, p, n, o);
        p += n;
        len -= n;
        s->left -= n;
        if (s->left == 0)
            s->state = s->state == BODY_DATA ? BODY_DATA_END : BODY_OVER;
    }
    return s->state == BODY_OVER;
}

static void stream_send(struct stream *s)
{
    while (s->sent < request_len) {
        ssize_t n = send(s->fd, request + s->sent, request_len - s->sent, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        s->sent += (size_t)n;
    }
}

static void stream_connect(struct stream *s, const struct options *o)
{
    struct sockaddr_in a = loopback(o->port);
    int one = 1;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        die("socket");
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(s->fd, (struct sockaddr *)&a, sizeof a) != 0 && errno != EINPROGRESS)
        die("connect");
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = s};
    if (epoll_ctl(run_poll, EPOLL_CTL_ADD, s->fd, &e) != 0)
        die("epoll_ctl");
    s->reused = false;
}

static void stream_begin(struct stream *s, const struct options *o)
{
    s->busy = true;
    s->head_done = s->done_seen = s->wrong = s->closing = false;
    s->sent = s->head_len = s->event_len = 0;
    s->next = 0;
    s->first_us = 0;
    peak = ++running > peak ? running : peak;
    tally.begun++;
    s->begun_us = now_us();
    if (s->fd < 0)
        stream_connect(s, o);
    else
        stream_send(s), s->reused = true;
}

static void stream_close(struct stream *s)
{
    close(s->fd);
    s->fd = -1;
}

static void stream_over(struct stream *s, bool whole, const struct options *o)
{
    s->busy = false;
    running--;
    if (!whole && !s->wrong)
        failure(s, s->head_done ? "cut" : "no answer", s->event, s->event_len);
    if (whole && !s->wrong) {
        tally.lost += o->chunks - s->next;
        if (!s->done_seen)
            tally.lost++;
        tally.whole++;
        sample(&tally.total, now_us() - s->begun_us);
    }
    if (s->fd >= 0 && (!whole || s->closing))
        stream_close(s);
    s->waiting = true;
}

static void stream_read(struct stream *s, const struct options *o)
{
    static char scratch[SCRATCH];
    for (;;) {
        ssize_t n = recv(s->fd, scratch, sizeof scratch, 0);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            bool plain_end =
                n == 0 && s->busy && s->head_done && s->state == BODY_PLAIN && s->left == SIZE_MAX;
            stream_close(s);
            if (s->busy && s->reused && s->head_len == 0 && !s->head_done) {
                tally.stale++; // the server had closed the kept connection: begin again
                s->busy = false;
                running--;
                tally.begun--;
                s->waiting = true;
            } else if (s->busy) {
                stream_over(s, plain_end, o);
            }
            return;
        }
        if (!s->busy)
            continue;
        char *p = scratch;
        size_t len = (size_t)n;
        if (!s->head_done) {
            size_t old = s->head_len, take = len < HEAD_MAX - 1 - old ? len : HEAD_MAX - 1 - old;
            memcpy(s->head + old, p, take);
            s->head_len += take;
            char *end = memmem(s->head, s->head_len, "\r\n\r\n", 4);
            if (!end)
                continue;
            size_t head = (size_t)(end - s->head) + 4;
            s->head_len = head;
            s->head_done = true;
            p += head - old;
            len -= head - old;
            if (!head_parse(s)) {
                stream_over(s, false, o);
                return;
            }
        }
        if (body_feed(s, p, len, o)) {
            stream_over(s, true, o);
            if (s->fd < 0)
                return;
        }
    }
}

static void request_make(const struct options *o)
{
    static const char body[] = "{\"model\":\"auto\",\"messages\":[{\"role\":\"system\",\"content\":"
                               "\"You are a helpful assistant.\"},"
                               "{\"role\":\"user\",\"content\":\"Tell me in two sentences what a "
                               "heat pump does.\"}],\"stream\":true}";
    char *text = NULL;
    size_t len = sizeof body - 1;
    if (o->body) {
        FILE *f = fopen(o->body, "rb");
        if (!f)
            die(o->body);
        text = need(malloc(4 << 20));
        len = fread(text, 1, 4 << 20, f);
        fclose(f);
    }
    request = need(malloc(len + 1024));
    int head = snprintf(
        request, 1024,
        "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
        "Authorization: Bearer %s\r\nAccept: text/event-stream\r\nContent-Length: %zu\r\n\r\n",
        o->path, o->port, o->key, len);
    memcpy(request + head, text ? text : body, len);
    request_len = (size_t)head + len;
    free(text);
}

static int report(double seconds)
{
    bool good = !tally.lost && !tally.merged && !tally.reordered && !tally.altered &&
                !tally.extra && !tally.failed && tally.whole > 0;
    printf(
        "{\"streams\": %ld, \"peak\": %d, \"failed\": %ld, \"events\": %ld, \"lost\": %ld, "
        "\"merged\": %ld, \"reordered\": %ld, "
        "\"altered\": %ld, \"extra\": %ld, \"comments\": %ld, \"stale\": %ld, \"seconds\": %.3f, "
        "\"events_per_s\": %.0f, \"ttft_us_p50\": %.0f, \"ttft_us_p99\": %.0f, \"total_ms_p50\": "
        "%.1f, "
        "\"total_ms_p99\": %.1f, \"first_failure\": \"%s %s\"}\n",
        (long)tally.whole, peak, (long)tally.failed, (long)tally.events, (long)tally.lost,
        (long)tally.merged, (long)tally.reordered, (long)tally.altered, (long)tally.extra,
        (long)tally.comments, (long)tally.stale, seconds, (double)tally.events / seconds,
        quantile(&tally.ttft, 0.5), quantile(&tally.ttft, 0.99), quantile(&tally.total, 0.5) / 1000,
        quantile(&tally.total, 0.99) / 1000, tally.first_failure ? tally.first_failure : "",
        tally.failure_text);
    return good ? 0 : 1;
}

static int run(const struct options *o)
{
    struct epoll_event events[EVENTS];
    int64_t begun = now_us(), until = begun + (int64_t)(o->seconds * 1e6),
            give_up = until + 60000000;
    int64_t spread = (int64_t)o->chunks * o->interval_us / o->streams;
    request_make(o);
    run_poll = epoll_create1(EPOLL_CLOEXEC);
    streams = need(calloc((size_t)o->streams, sizeof *streams));
    for (int i = 0; i < o->streams; i++)
        streams[i].fd = -1;
    int opened = 0;
    for (;;) {
        int64_t now = now_us();
        bool more = o->total ? tally.begun < o->total : now < until;
        while (opened < o->streams && begun + opened * spread <= now &&
               (!o->total || tally.begun < o->total))
            stream_begin(&streams[opened++], o);
        if ((!more && running == 0) || (!o->total && now > give_up))
            break;
        int n =
            wait_us(run_poll, events, opened < o->streams ? begun + opened * spread - now : 50000);
        for (int i = 0; i < n; i++) {
            struct stream *s = events[i].data.ptr;
            if (s->busy && events[i].events & EPOLLOUT && s->sent < request_len)
                stream_send(s);
            if (events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
                stream_read(s, o);
            // One that is over begins again when its turn's reading is done.
            now = now_us();
            more = o->total ? tally.begun < o->total : now < until;
            if (s->waiting) {
                s->waiting = false;
                if (more && tally.failed < 1000)
                    stream_begin(s, o);
            }
        }
        if (tally.failed >= 1000 && running == 0)
            break;
    }
    tally.failed += running;
    return report((double)(now_us() - begun) / 1e6);
}

static void raise_descriptors(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

// Table look-ups, multiplications and branches that depend on data, in the first-level cache.
static int probe(void)
{
    static uint32_t table[4096];
    int64_t best = INT64_MAX;
    volatile uint32_t sink = 0;
    for (int round = 0; round < 9; round++) {
        int64_t begun = now_us();
        uint32_t h = 2166136261u;
        for (int i = 0; i < 5000000; i++) {
            uint32_t *slot = &table[h & 4095];
            h = (h ^ (uint32_t)i) * 16777619u + *slot;
            if (h & 64)
                *slot += h >> 7;
            else
                h ^= h >> 13;
        }
        sink = h;
        int64_t took = now_us() - begun;
        best = took < best ? took : best;
    }
    (void)sink;
    printf("%.3f\n", (double)best / 1000);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "probe") == 0)
        return probe();
    struct options o = {.chunks = 64,
                        .streams = 512,
                        .interval_us = 10000,
                        .seconds = 5,
                        .path = "/v1/chat/completions",
                        .key = "sk-bench"};
    for (int i = 2; i < argc; i++) {
        const char *name = argv[i];
        if (strcmp(name, "--burst") == 0) {
            o.burst = true;
            continue;
        }
        const char *value = i + 1 < argc ? argv[++i] : "";
        if (strcmp(name, "--port") == 0)
            o.port = atoi(value);
        else if (strcmp(name, "--chunks") == 0)
            o.chunks = atoi(value);
        else if (strcmp(name, "--streams") == 0)
            o.streams = atoi(value);
        else if (strcmp(name, "--interval-us") == 0)
            o.interval_us = atoll(value);
        else if (strcmp(name, "--delay-us") == 0)
            o.delay_us = atoll(value);
        else if (strcmp(name, "--total") == 0)
            o.total = atoll(value);
        else if (strcmp(name, "--seconds") == 0)
            o.seconds = atof(value);
        else if (strcmp(name, "--path") == 0)
            o.path = value;
        else if (strcmp(name, "--body") == 0)
            o.body = value;
        else if (strcmp(name, "--key") == 0)
            o.key = value;
        else
            o.port = 0, i = argc;
    }
    if (argc < 2 || !o.port || o.chunks < 1 || o.streams < 1) {
        fprintf(stderr, "usage: load_sse serve|run --port P ... (the head of bench/load_sse.c "
                        "tells the rest)\n");
        return 2;
    }
    raise_descriptors();
    return strcmp(argv[1], "serve") == 0 ? serve(&o) : run(&o);
}
