// How late an event loop serves a ready socket while the compute pool is saturated.
//
// A thread of normal priority writes a time stamp into a socket every millisecond or so; the loop reads it and notes how old
// it is. Every CPU has a thread of the pool that is busy without a pause: with all-minilm-l6-v2 where that is installed, else
// with arithmetic of the same kind. The same is measured with a pool that sleeps, in turns. Prints a table and a line of
// JSON: {"figures": {...}}.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "model/compute.h"
#include "model/model.h"
#include "model/reader.h"
#include "net/loop.h"

enum { ROUNDS = 6, PINGS = 1500, PERIOD_US = 1000, BUSY_FLOATS = 512 * 1024, TEXT_BYTES = 800 };

// --- a stand-in for an encoder

static enum result busy_open(const void *model, void **reader)
{
    (void)model;
    *reader = calloc(BUSY_FLOATS, sizeof(float));
    return *reader ? RESULT_OK : RESULT_NOMEM;
}

static void busy_close(void *reader)
{
    free(reader);
}

// About as long as a pass over two hundred tokens.
static void busy_answer(void *reader, struct trunk_ask *ask, struct arena *arena,
                        const atomic_bool *stop)
{
    volatile float *at = reader;
    (void)arena;
    for (int k = 0; k < 4 && !(stop && atomic_load(stop)); k++)
        for (int i = 0; i < BUSY_FLOATS; i++)
            at[i] = at[i] * 0.999f + 1;
    ask->answer = (struct trunk_answer){.result = RESULT_OK};
}

static const struct compute_engine BUSY = {busy_open, busy_close, busy_answer};

// --- the loop and its socket

struct bench {
    struct loop *loop;
    struct loop_io io;
    struct compute *pool;
    uint64_t late_ns[2][ROUNDS / 2 * PINGS]; // with a pool that rests, and with one that is busy
    uint32_t count[2];
    _Atomic int kind; // which of them is measured; -1: none
    int out;
};

struct asker {
    struct compute_job job;
    struct loop_message message;
    struct bench *b;
    struct trunk_ask ask;
    struct slice text;
    char room[TEXT_BYTES];
    _Atomic uint64_t done;
};

static struct bench bench;
static struct asker askers[2 * COMPUTE_THREADS_MAX];
static uint32_t asker_count;
static atomic_bool saturate;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void on_event(struct loop_io *io, uint32_t events)
{
    struct bench *b = MERIT_CONTAINER(io, struct bench, io);
    uint64_t sent;
    (void)events;
    while (read(io->fd, &sent, sizeof sent) == (ssize_t)sizeof sent) {
        uint64_t now = now_ns();
        int kind = atomic_load(&b->kind);
        if (kind >= 0 && b->count[kind] < MERIT_COUNT(b->late_ns[0]))
            b->late_ns[kind][b->count[kind]++] = now - sent;
    }
}

static void ask_again(struct asker *a)
{
    a->ask.answered = false;
    if (compute_submit(a->b->pool, &a->job, &a->ask)) {
        fprintf(stderr, "bench: the pool refused\n");
        exit(1);
    }
}

// On the loop, as a gateway does it.
static void on_home(struct loop_message *m, struct loop *loop)
{
    struct asker *a = MERIT_CONTAINER(m, struct asker, message);
    (void)loop;
    compute_release(&a->job);
    atomic_fetch_add(&a->done, 1);
    if (atomic_load(&saturate))
        ask_again(a);
}

static void on_done(struct compute_job *job)
{
    struct asker *a = MERIT_CONTAINER(job, struct asker, job);
    loop_post(a->b->loop, &a->message);
}

static void on_start(struct loop_message *m, struct loop *loop)
{
    (void)m;
    (void)loop;
    for (uint32_t i = 0; i < asker_count; i++)
        ask_again(&askers[i]);
}

static void *run_loop(void *arg)
{
    loop_run(((struct bench *)arg)->loop);
    return NULL;
}

static uint64_t done(void)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < asker_count; i++)
        n += atomic_load(&askers[i].done);
    return n;
}

static void ping(struct bench *b, int kind)
{
    atomic_store(&b->kind, kind);
    for (int i = 0; i < PINGS; i++) {
        // Not in step with anything.
        usleep(PERIOD_US / 2 + (unsigned)(rand() % PERIOD_US));
        uint64_t now = now_ns();
        if (write(b->out, &now, sizeof now) != (ssize_t)sizeof now)
            exit(1);
    }
    usleep(20000);
    atomic_store(&b->kind, -1);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static double percentile_us(const struct bench *b, int kind, double p)
{
    return (double)b->late_ns[kind][(size_t)((b->count[kind] - 1) * p)] / 1000;
}

static void open_pool(struct bench *b, struct model **model, struct reader_model *reader)
{
    struct model_places places;
    struct model_trouble trouble;
    struct compute_options o = {.threads = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN),
                                .queue_tok = 1 << 22};
    o.threads = o.threads < COMPUTE_THREADS_MAX ? o.threads : COMPUTE_THREADS_MAX;
    o.models[TRUNK_EMBED] = (struct compute_model){
        .engine = &BUSY, .digest = SLICE("00000000"), .dim = 1, .window_tok = 256};
    model_places_init(&places);
    *model = NULL;
    if (model_open(model, "all-minilm-l6-v2", &(struct model_options){.places = &places},
                   &trouble) == RESULT_OK) {
        *reader = (struct reader_model){.encoder = (*model)->encoder,
                                        .tokenizer = (*model)->tokenizer,
                                        .name = (*model)->name,
                                        .digest = (*model)->weights_hex,
                                        .length_tok = (*model)->length_tok};
        o.models[TRUNK_EMBED] = (struct compute_model){.engine = &compute_reader,
                                                       .model = reader,
                                                       .digest = (*model)->weights_hex,
                                                       .dim = (*model)->config->hidden,
                                                       .window_tok = reader_window(reader)};
    }
    if (compute_open(&o, &b->pool)) {
        fprintf(stderr, "bench: no pool\n");
        exit(1);
    }
    asker_count = 2 * o.threads; // one more waits behind each that runs
}

static void make_askers(struct bench *b)
{
    for (uint32_t i = 0; i < asker_count; i++) {
        struct asker *a = &askers[i];
        for (int k = 0; k < TEXT_BYTES; k++)
            a->room[k] = k % 6 == 5 ? ' ' : (char)('a' + (k * 7 + (int)i) % 26);
        a->b = b;
        a->text = slice_make(a->room, TEXT_BYTES);
        a->ask = (struct trunk_ask){.texts = &a->text, .count = 1, .reading = TRUNK_WHOLE};
        a->job.done = on_done;
        a->message.run = on_home;
    }
}

static void measure(struct bench *b, uint64_t *passes)
{
    static struct loop_message start;
    start.run = on_start;
    for (int round = 0; round < ROUNDS; round++) {
        int kind = round % 2;
        atomic_store(&saturate, kind == 1);
        if (kind) {
            loop_post(b->loop, &start);
            usleep(100000);
        }
        uint64_t before = done();
        ping(b, kind);
        *passes += done() - before;
        atomic_store(&saturate, false);
        for (struct compute_counts c = {.running = 1}; c.running || c.queued_jobs;) {
            usleep(1000);
            compute_count(b->pool, &c);
        }
        usleep(10000);
    }
}

int main(void)
{
    struct bench *b = &bench;
    struct reader_model reader;
    struct model *model;
    int pair[2];
    pthread_t thread;
    uint64_t passes = 0;
    open_pool(b, &model, &reader);
    make_askers(b);
    atomic_store(&b->kind, -1);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) ||
        loop_open(&b->loop, 0))
        return 1;
    b->io = (struct loop_io){.fd = pair[0], .on_event = on_event};
    b->out = pair[1];
    if (loop_add(b->loop, &b->io) || pthread_create(&thread, NULL, run_loop, b))
        return 1;
    measure(b, &passes);
    compute_stop(b->pool);
    loop_stop(b->loop);
    pthread_join(thread, NULL);
    printf("%u threads of the pool, %s, %llu passes while busy, %u and %u pings\n", asker_count / 2,
           model ? "all-minilm-l6-v2" : "arithmetic (no model is installed)",
           (unsigned long long)passes, b->count[0], b->count[1]);
    printf("%-12s %10s %10s %10s %10s\n", "pool", "p50 us", "p90 us", "p99 us", "max us");
    for (int kind = 0; kind < 2; kind++) {
        qsort(b->late_ns[kind], b->count[kind], sizeof **b->late_ns, by_value);
        printf("%-12s %10.1f %10.1f %10.1f %10.1f\n", kind ? "saturated" : "at rest",
               percentile_us(b, kind, .5), percentile_us(b, kind, .9), percentile_us(b, kind, .99),
               percentile_us(b, kind, 1));
    }
    printf("{\"figures\": {\"loop_delay_p99_us\": %.1f, \"loop_delay_rest_p99_us\": %.1f, "
           "\"passes\": %llu}}\n",
           percentile_us(b, 1, .99), percentile_us(b, 0, .99), (unsigned long long)passes);
    loop_close(b->loop);
    close(pair[0]);
    close(pair[1]);
    compute_close(b->pool);
    model_unref(model);
    return passes ? 0 : 1;
}
