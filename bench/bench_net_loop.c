// What the loop and the connections cost beyond the kernel: a thread that answers 1,500 bytes with 600, once as a bare
// epoll loop (recv, send, nothing else) and once as conns on a loop with a timer set and cancelled per request; then
// timers, mailbox and idle memory by themselves. 64 connections, all requests of a batch in flight together. CPU time
// of the answering thread; the two kinds take turns and the ratio of each pair counts. Prints a table and one JSON line.
#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/compiler.h"
#include "net/conn.h"
#include "net/loop.h"

enum { CONNS = 64, ASK = 1500, ANSWER = 600, BATCHES = 400, PAIRS = 9, IDLE = 2000 };

static char answer[ANSWER];

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void must(bool ok, const char *what)
{
    if (!ok) {
        perror(what);
        exit(1);
    }
}

static void tcp_pair(int listener, int fds[2])
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    int one = 1;
    must(getsockname(listener, (struct sockaddr *)&a, &len) == 0, "getsockname");
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fds[0] >= 0 && connect(fds[0], (struct sockaddr *)&a, sizeof a) == 0, "connect");
    fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    must(fds[1] >= 0, "accept");
    setsockopt(fds[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fds[1], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static int listen_anywhere(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(s >= 0 && bind(s, (struct sockaddr *)&a, sizeof a) == 0 && listen(s, 4096) == 0, "listen");
    return s;
}

// ---- the bare loop ----

struct run {
    int fds[CONNS];
    uint64_t cpu;
    pthread_barrier_t ready;
};

static void *serve_bare(void *arg)
{
    struct run *r = arg;
    static char buf[LOOP_SCRATCH_BYTES];
    int ep = epoll_create1(EPOLL_CLOEXEC), left = CONNS;
    struct epoll_event events[LOOP_EVENTS_PER_TURN];
    for (int i = 0; i < CONNS; i++) {
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.fd = r->fds[i]};
        must(epoll_ctl(ep, EPOLL_CTL_ADD, r->fds[i], &e) == 0, "epoll_ctl");
    }
    pthread_barrier_wait(&r->ready);
    uint64_t start = cpu_ns();
    while (left) {
        int n = epoll_wait(ep, events, LOOP_EVENTS_PER_TURN, -1);
        for (int i = 0; i < n; i++) {
            if (!(events[i].events & EPOLLIN))
                continue;
            ssize_t got = recv(events[i].data.fd, buf, sizeof buf, 0);
            if (got > 0)
                must(send(events[i].data.fd, answer, ANSWER, MSG_NOSIGNAL) == ANSWER, "send");
            else if (got == 0 || errno != EAGAIN)
                left -= close(events[i].data.fd) == 0;
        }
    }
    r->cpu = cpu_ns() - start;
    close(ep);
    return NULL;
}

// ---- conns on a loop ----

struct peer {
    struct conn conn;
    struct loop *loop;
    struct loop_timer timer;
    int *left;
};

static void on_due(struct loop_timer *t)
{
    (void)t;
}

static void on_data(struct conn *c, char *data, size_t len)
{
    (void)data;
    (void)len;
    struct peer *p = MERIT_CONTAINER(c, struct peer, conn);
    loop_timer_set(p->loop, &p->timer, 60000);
    conn_send(c, slice_make(answer, ANSWER), CONN_COPY);
}

static void on_drain(struct conn *c)
{
    struct peer *p = MERIT_CONTAINER(c, struct peer, conn);
    loop_timer_cancel(p->loop, &p->timer);
}

static void on_open(struct conn *c)
{
    (void)c;
}

static void gone(struct conn *c)
{
    struct peer *p = MERIT_CONTAINER(c, struct peer, conn);
    conn_close(c, false);
    if (!--*p->left)
        loop_stop(p->loop);
}

static void on_error(struct conn *c, enum result why)
{
    (void)why;
    gone(c);
}

static const struct conn_ops ops = {.on_data = on_data,
                                    .on_drain = on_drain,
                                    .on_open = on_open,
                                    .on_eof = gone,
                                    .on_error = on_error};

static void *serve_conns(void *arg)
{
    struct run *r = arg;
    static struct peer peers[CONNS];
    struct loop *l;
    int left = CONNS;
    must(loop_open(&l, 0) == RESULT_OK, "loop_open");
    for (int i = 0; i < CONNS; i++) {
        peers[i] = (struct peer){.loop = l, .timer.on_due = on_due, .left = &left};
        must(conn_init(&peers[i].conn, l, r->fds[i], &ops, NULL, false, NULL) == RESULT_OK,
             "conn_init");
    }
    pthread_barrier_wait(&r->ready);
    uint64_t start = cpu_ns();
    loop_run(l);
    r->cpu = cpu_ns() - start;
    loop_close(l);
    return NULL;
}

// CPU per request, microseconds.
static double measure(int listener, void *(*serve)(void *))
{
    static char ask[ASK], buf[4096];
    struct run r;
    int clients[CONNS];
    pthread_t t;
    for (int i = 0; i < CONNS; i++) {
        int fds[2];
        tcp_pair(listener, fds);
        clients[i] = fds[0];
        r.fds[i] = fds[1];
    }
    pthread_barrier_init(&r.ready, NULL, 2);
    must(pthread_create(&t, NULL, serve, &r) == 0, "thread");
    pthread_barrier_wait(&r.ready);
    for (int b = 0; b < BATCHES; b++) {
        for (int i = 0; i < CONNS; i++)
            must(send(clients[i], ask, ASK, MSG_NOSIGNAL) == ASK, "ask");
        for (int i = 0; i < CONNS; i++)
            must(recv(clients[i], buf, ANSWER, MSG_WAITALL) == ANSWER, "answer");
    }
    for (int i = 0; i < CONNS; i++)
        close(clients[i]);
    pthread_join(t, NULL);
    pthread_barrier_destroy(&r.ready);
    return (double)r.cpu / 1000 / ((double)BATCHES * CONNS);
}

// ---- single parts ----

static double timer_ns(void)
{
    enum { TIMERS = 1000, ROUNDS = 500 };
    static struct loop_timer timers[TIMERS];
    struct loop *l;
    must(loop_open(&l, 0) == RESULT_OK, "loop_open");
    uint64_t start = cpu_ns();
    for (int r = 0; r < ROUNDS; r++)
        for (int i = 0; i < TIMERS; i++)
            loop_timer_set(l, &timers[i], 1 + (uint32_t)((i * 7919 + r * 104729) % 60000));
    double ns = (double)(cpu_ns() - start) / ((double)TIMERS * ROUNDS);
    for (int i = 0; i < TIMERS; i++)
        loop_timer_cancel(l, &timers[i]);
    loop_close(l);
    return ns;
}

static void on_message(struct loop_message *m, struct loop *l)
{
    (void)m;
    (void)l;
}

static double post_ns(void)
{
    enum { MESSAGES = 1000, ROUNDS = 500 };
    static struct loop_message messages[MESSAGES];
    struct loop *l;
    must(loop_open(&l, 0) == RESULT_OK, "loop_open");
    uint64_t start = cpu_ns();
    for (int r = 0; r < ROUNDS; r++) {
        for (int i = 0; i < MESSAGES; i++) {
            messages[i].run = on_message;
            loop_post(l, &messages[i]);
        }
        loop_turn(l, 0);
    }
    double ns = (double)(cpu_ns() - start) / ((double)MESSAGES * ROUNDS);
    loop_close(l);
    return ns;
}

// Heap per connection that has answered once and is idle, without the owner's own memory.
static double idle_bytes(int listener)
{
    static struct peer peers[IDLE];
    static int clients[IDLE];
    struct loop *l;
    int left = IDLE;
    char buf[ANSWER];
    must(loop_open(&l, 0) == RESULT_OK, "loop_open");
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < IDLE; i++) {
        int fds[2];
        tcp_pair(listener, fds);
        clients[i] = fds[0];
        peers[i] = (struct peer){.loop = l, .timer.on_due = on_due, .left = &left};
        must(conn_init(&peers[i].conn, l, fds[1], &ops, NULL, false, NULL) == RESULT_OK,
             "conn_init");
        must(send(clients[i], "ask", 3, 0) == 3, "send");
        while (loop_turn(l, 0))
            ;
        must(recv(clients[i], buf, ANSWER, MSG_WAITALL) == ANSWER, "recv");
    }
    double bytes = (double)(mallinfo2().uordblks - before) / IDLE;
    for (int i = 0; i < IDLE; i++) {
        conn_close(&peers[i].conn, false);
        close(clients[i]);
    }
    loop_close(l);
    return bytes;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return v[n / 2];
}

int main(void)
{
    double bare[PAIRS], conns[PAIRS], ratios[PAIRS];
    int listener = listen_anywhere();
    for (int i = 0; i < PAIRS; i++) {
        if (i % 2) {
            conns[i] = measure(listener, serve_conns);
            bare[i] = measure(listener, serve_bare);
        } else {
            bare[i] = measure(listener, serve_bare);
            conns[i] = measure(listener, serve_conns);
        }
        ratios[i] = conns[i] / bare[i];
    }
    double ratio = median(ratios, PAIRS), low = ratios[1], high = ratios[PAIRS - 2];
    double timer = timer_ns(), post = post_ns(), idle = idle_bytes(listener);
    double cpu_bare = median(bare, PAIRS), cpu_conns = median(conns, PAIRS);
    printf("%-44s %10s\n", "answering 1,500 bytes with 600", "us CPU");
    printf("%-44s %10.2f\n%-44s %10.2f\n", "bare epoll loop", cpu_bare,
           "loop and conn, with a timer", cpu_conns);
    printf("%-44s %10.3f (%.3f to %.3f)\n", "ratio", ratio, low, high);
    printf("%-44s %10.1f ns\n%-44s %10.1f ns\n", "set a timer again", timer,
           "post and run a message", post);
    printf("%-44s %10zu bytes, and %.0f on the heap\n", "an idle conn", sizeof(struct conn), idle);
    char model[128] = "unknown", line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "model name : %127[^\n]", model) == 1)
            break;
    if (f)
        fclose(f);
    printf(
        "{\"bench\": \"net_loop\", \"cpu\": \"%s\", \"pass\": %s, \"figures\": {\"bare_us\": %.2f, "
        "\"conn_us\": %.2f, \"ratio\": %.3f, \"ratio_low\": %.3f, \"ratio_high\": %.3f, "
        "\"timer_ns\": %.1f, "
        "\"post_ns\": %.1f, \"idle_heap_bytes\": %.0f}}\n",
        model, low <= 1.10 ? "true" : "false", cpu_bare, cpu_conns, ratio, low, high, timer, post,
        idle);
    close(listener);
    return low <= 1.10 ? 0 : 1;
}
