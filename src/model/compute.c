#include "model/compute.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "model/asking.h"
#include "model/mapped.h"
#include "model/reader.h"
#include "nn/head.h"

enum { VERSION_LEN = 8, NICE_LAST = 19, HEADS_MAX = 1024, STACK_BYTES = 1024 * 1024 };

const uint64_t compute_bounds_us[COMPUTE_BUCKETS] = {200,    500,     1000,    2000,   5000,
                                                     10000,  20000,   50000,   100000, 200000,
                                                     500000, 1000000, 2000000, 5000000};

struct worker {
    pthread_t thread;
    struct compute *pool;
    struct compute_job *running; // under `lock`
    void *readers[TRUNK_MODELS];
};

// A head file that a policy named. Deciders point into it, so one that was replaced stays until the end. Read, not mapped:
// whoever trains it anew may write over the file, and a page that is gone would end the process.
struct head_file {
    struct head_file *next;
    struct mapped_identity identity;
    struct buf bytes;
    char path[];
};

struct compute {
    struct compute_options options;
    struct trunk_service service;
    struct remembered *memory;
    struct asking_counts asked;
    // From any thread to the pool's: a stack without a lock, because whoever holds a lock at idle priority may not run
    // for a long time.
    _Atomic(struct compute_job *) inbox;
    sem_t ready; // once per job, and once per thread at the end
    _Atomic bool stopping;
    _Atomic uint64_t queued_tok, queued_jobs, running, jobs, refused, cancelled, wait_us;
    _Atomic uint64_t buckets[COMPUTE_BUCKETS + 1];
    // Between the pool's threads only.
    pthread_mutex_t lock;
    struct compute_job *first;
    struct worker *workers;
    uint32_t started;
    // Of callers that wait.
    pthread_mutex_t service_lock, heads_lock;
    void *readers[TRUNK_MODELS]; // under service_lock; kept only where there are no threads
    struct head_file *heads;
    uint32_t head_count;
};

// --- the engine of model/reader.h

static enum result engine_open(const void *model, void **reader)
{
    struct reader *r = NULL;
    enum result res = reader_open(model, &r);
    *reader = r;
    return res;
}

static void engine_close(void *reader)
{
    reader_close(reader);
}

static void engine_answer(void *reader, struct trunk_ask *ask, struct arena *arena,
                          const atomic_bool *stop)
{
    reader_answer(reader, ask, arena, stop);
}

const struct compute_engine compute_reader = {engine_open, engine_close, engine_answer};

// --- jobs

uint32_t compute_estimate_tok(const struct compute_model *m, enum trunk_reading reading,
                              struct slice text)
{
    uint64_t tok = text.len / 4 + 4;
    uint64_t most = reading == TRUNK_TOPIC ? 2 * (uint64_t)m->window_tok : UINT32_MAX;
    tok = most && tok > most ? most : tok;
    return tok > UINT32_MAX ? UINT32_MAX : (uint32_t)tok;
}

// A copy of every ask, those that are answered without their texts: an answer finds its ask by its place in the list.
static enum result copy_asks(struct compute_job *job, const struct trunk_ask *asks)
{
    struct trunk_ask **tail = &job->asks;
    for (const struct trunk_ask *q = asks; q; q = q->next) {
        struct trunk_ask *copy = ARENA_NEW(&job->arena, struct trunk_ask);
        if (!copy)
            return RESULT_NOMEM;
        *copy = (struct trunk_ask){.model = q->model, .reading = q->reading, .answered = true};
        *tail = copy;
        tail = &copy->next;
        if (q->answered)
            continue;
        struct slice *texts = ARENA_ARRAY(&job->arena, struct slice, q->count + 1);
        if (!texts)
            return RESULT_NOMEM;
        for (uint32_t i = 0; i < q->count; i++) {
            texts[i] = arena_copy(&job->arena, q->texts[i]);
            if (!texts[i].ptr)
                return RESULT_NOMEM;
        }
        copy->texts = texts;
        copy->count = q->count;
        copy->answered = false;
    }
    return RESULT_OK;
}

static uint64_t estimate(const struct compute *c, const struct trunk_ask *asks)
{
    uint64_t tok = 0;
    for (const struct trunk_ask *q = asks; q; q = q->next)
        for (uint32_t i = 0; !q->answered && i < q->count; i++)
            tok += compute_estimate_tok(&c->options.models[q->model], q->reading, q->texts[i]);
    return tok;
}

enum result compute_submit(struct compute *c, struct compute_job *job, const struct trunk_ask *asks)
{
    assert(job->done);
    if (!c->started || atomic_load(&c->stopping))
        return RESULT_NOT_FOUND;
    // Asked before anything is copied, so that a flood costs little.
    uint64_t tok = estimate(c, asks);
    if (atomic_fetch_add(&c->queued_tok, tok) + tok > c->options.queue_tok) {
        atomic_fetch_sub(&c->queued_tok, tok);
        atomic_fetch_add(&c->refused, 1);
        return RESULT_LIMIT;
    }
    arena_init(&job->arena, 0, COMPUTE_JOB_BYTES_MAX);
    job->asks = NULL;
    job->pool = c;
    atomic_init(&job->stop, false);
    if (copy_asks(job, asks)) {
        atomic_fetch_sub(&c->queued_tok, tok);
        arena_deinit(&job->arena);
        return RESULT_NOMEM;
    }
    job->tok = (uint32_t)tok;
    job->begin_us = clock_mono_us(&clock_system);
    atomic_fetch_add(&c->queued_jobs, 1);
    atomic_fetch_add(&c->jobs, 1);
    struct compute_job *head = atomic_load(&c->inbox);
    do {
        job->next = head;
    } while (!atomic_compare_exchange_weak(&c->inbox, &head, job));
    sem_post(&c->ready);
    return RESULT_OK;
}

void compute_cancel(struct compute_job *job)
{
    if (!atomic_exchange(&job->stop, true))
        atomic_fetch_add(&job->pool->cancelled, 1);
}

static bool copy_answer(const struct trunk_answer *from, struct trunk_answer *to, uint32_t dim,
                        uint32_t texts, struct arena *arena)
{
    struct trunk_window *w = arena_alloc(arena, (from->window_count + 1) * sizeof *w);
    struct trunk_entity *e = arena_alloc(arena, (from->entity_count + 1) * sizeof *e);
    uint32_t *tok = arena_alloc(arena, (texts + 1) * sizeof *tok);
    float *v = arena_alloc(arena, ((size_t)from->window_count * dim + 1) * sizeof *v);
    if (!w || !e || !tok || !v)
        return false;
    for (uint32_t i = 0; i < from->window_count; i++) {
        w[i] = from->windows[i];
        w[i].vector = memcpy(v + (size_t)i * dim, from->windows[i].vector, dim * sizeof *v);
    }
    if (from->entity_count)
        memcpy(e, from->entities, from->entity_count * sizeof *e);
    if (from->text_tok)
        memcpy(tok, from->text_tok, texts * sizeof *tok);
    *to = *from;
    to->windows = w;
    to->entities = e;
    to->text_tok = from->text_tok ? tok : NULL;
    return true;
}

enum result compute_take(const struct compute_job *job, struct trunk_ask *asks, struct arena *arena)
{
    enum result r = RESULT_OK;
    const struct trunk_ask *from = job->asks;
    for (struct trunk_ask *q = asks; q && from; q = q->next, from = from->next) {
        if (q->answered)
            continue;
        q->answered = true;
        if (copy_answer(&from->answer, &q->answer, job->pool->options.models[q->model].dim,
                        q->count, arena))
            continue;
        q->answer = (struct trunk_answer){.result = RESULT_NOMEM};
        r = RESULT_NOMEM;
    }
    return r;
}

void compute_release(struct compute_job *job)
{
    arena_deinit(&job->arena);
    job->asks = NULL;
}

// --- threads

// The next job in the order of submission; NULL when there is none.
static struct compute_job *next_job(struct worker *w)
{
    struct compute *c = w->pool;
    pthread_mutex_lock(&c->lock);
    if (!c->first) {
        struct compute_job *newest = atomic_exchange(&c->inbox, NULL), *list = NULL;
        while (newest) {
            struct compute_job *older = newest->next;
            newest->next = list;
            list = newest;
            newest = older;
        }
        c->first = list;
    }
    struct compute_job *job = c->first;
    if (job) {
        c->first = job->next;
        w->running = job;
        if (atomic_load(&c->stopping))
            atomic_store(&job->stop, true);
    }
    pthread_mutex_unlock(&c->lock);
    return job;
}

static void observe(struct compute *c, uint64_t us)
{
    uint32_t i = 0;
    while (i < COMPUTE_BUCKETS && us > compute_bounds_us[i])
        i++;
    atomic_fetch_add_explicit(&c->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&c->wait_us, us, memory_order_relaxed);
}

static void run_job(struct worker *w, struct compute_job *job)
{
    struct compute *c = w->pool;
    struct asking a = {c->options.models, c->memory, &c->asked, w->readers, true};
    atomic_fetch_sub(&c->queued_tok, job->tok);
    atomic_fetch_sub(&c->queued_jobs, 1);
    atomic_fetch_add(&c->running, 1);
    asking_answer(&a, job->asks, &job->arena, &job->stop);
    observe(c, clock_mono_us(&clock_system) - job->begin_us);
    atomic_fetch_sub(&c->running, 1);
    pthread_mutex_lock(&c->lock);
    w->running = NULL;
    pthread_mutex_unlock(&c->lock);
    job->done(job); // its memory may be gone now
}

static void *work(void *arg)
{
    struct worker *w = arg;
    // Where the system does not allow the first, the second still makes way for the loops.
    struct sched_param none = {0};
    pthread_setschedparam(pthread_self(), SCHED_IDLE, &none);
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE_LAST);
    for (;;) {
        while (sem_wait(&w->pool->ready) && errno == EINTR)
            ;
        struct compute_job *job = next_job(w);
        if (job)
            run_job(w, job);
        else if (atomic_load(&w->pool->stopping))
            break;
    }
    asking_close(w->pool->options.models, w->readers);
    return NULL;
}

static enum result start_threads(struct compute *c)
{
    sigset_t all, old;
    pthread_attr_t attr;
    enum result r = RESULT_OK;
    c->workers = alloc_zeroed(c->options.threads, sizeof *c->workers);
    if (!c->workers)
        return RESULT_NOMEM;
    // Signals are for others.
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    for (; !r && c->started < c->options.threads; c->started += !r) {
        struct worker *w = &c->workers[c->started];
        w->pool = c;
        if (pthread_create(&w->thread, &attr, work, w))
            r = RESULT_NOMEM;
    }
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return r;
}

void compute_stop(struct compute *c)
{
    if (!c || atomic_exchange(&c->stopping, true))
        return;
    pthread_mutex_lock(&c->lock);
    for (uint32_t i = 0; i < c->started; i++)
        if (c->workers[i].running)
            atomic_store(&c->workers[i].running->stop, true);
    pthread_mutex_unlock(&c->lock);
    for (uint32_t i = 0; i < c->started; i++)
        sem_post(&c->ready);
    for (uint32_t i = 0; i < c->started; i++)
        pthread_join(c->workers[i].thread, NULL);
    c->started = 0;
}

// --- for callers that may wait

static void service_answer(void *ctx, struct trunk_ask *asks, struct arena *arena)
{
    struct compute *c = ctx;
    void *own[TRUNK_MODELS] = {0};
    bool kept = !c->options.threads && pthread_mutex_trylock(&c->service_lock) == 0;
    struct asking a = {c->options.models, c->memory, &c->asked, kept ? c->readers : own, false};
    asking_answer(&a, asks, arena, NULL);
    if (kept)
        pthread_mutex_unlock(&c->service_lock);
    asking_close(c->options.models, own);
}

// "name" is a file of the heads folder, anything with a slash a path.
static bool head_path(const struct compute *c, struct slice name, char out[PATH_MAX])
{
    int n;
    if (memchr(name.ptr, '\0', name.len) || name.len >= PATH_MAX)
        return false;
    if (memchr(name.ptr, '/', name.len))
        n = snprintf(out, PATH_MAX, "%.*s", SLICE_FMT(name));
    else if (c->options.heads && name.ptr[0] != '.')
        n = snprintf(out, PATH_MAX, "%s/%.*s.safetensors", c->options.heads, SLICE_FMT(name));
    else
        return false;
    return n > 0 && n < PATH_MAX;
}

static enum result read_head(struct compute *c, const char *path, struct slice *bytes)
{
    struct mapped_identity now;
    enum result r = mapped_identify(path, &now);
    if (r)
        return r;
    for (const struct head_file *h = c->heads; h; h = h->next) {
        if (strcmp(h->path, path) == 0 && memcmp(&h->identity, &now, sizeof now) == 0) {
            *bytes = buf_slice(&h->bytes);
            return RESULT_OK;
        }
    }
    size_t n = strlen(path) + 1;
    struct head_file *h = c->head_count < HEADS_MAX ? alloc_bytes(sizeof *h + n) : NULL;
    if (!h)
        return c->head_count < HEADS_MAX ? RESULT_NOMEM : RESULT_LIMIT;
    buf_init(&h->bytes, HEAD_FILE_MAX);
    r = file_read(path, &h->bytes);
    if (r) {
        buf_deinit(&h->bytes);
        alloc_free(h);
        return r;
    }
    h->identity = now;
    memcpy(h->path, path, n);
    h->next = c->heads;
    c->heads = h;
    c->head_count++;
    *bytes = buf_slice(&h->bytes);
    return RESULT_OK;
}

static enum result service_head(void *ctx, struct slice name, struct slice *bytes)
{
    struct compute *c = ctx;
    char path[PATH_MAX];
    if (!name.len || !head_path(c, name, path))
        return RESULT_NOT_FOUND;
    pthread_mutex_lock(&c->heads_lock);
    enum result r = read_head(c, path, bytes);
    pthread_mutex_unlock(&c->heads_lock);
    return r;
}

static void fill_service(struct compute *c)
{
    struct trunk_service *s = &c->service;
    *s = (struct trunk_service){.ctx = c, .answer = service_answer, .head = service_head};
    for (uint32_t i = 0; i < TRUNK_MODELS; i++) {
        const struct compute_model *m = &c->options.models[i];
        if (!m->engine)
            continue;
        s->dim[i] = m->dim;
        s->name[i] = m->name;
        s->digest[i] = m->digest;
        s->version[i] = slice_head(m->digest, VERSION_LEN);
    }
    const struct compute_model *entity = &c->options.models[TRUNK_ENTITY];
    s->labels = entity->labels;
    s->label_count = entity->engine ? entity->label_count : 0;
    s->window_tok = c->options.models[TRUNK_EMBED].window_tok;
}

const struct trunk_service *compute_service(const struct compute *c)
{
    return &c->service;
}

// --- life

enum result compute_open(const struct compute_options *options, struct compute **out)
{
    *out = NULL;
    assert(options->threads <= COMPUTE_THREADS_MAX);
    struct compute *c = alloc_zeroed(1, sizeof *c);
    if (!c)
        return RESULT_NOMEM;
    c->options = *options;
    sem_init(&c->ready, 0, 0);
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->service_lock, NULL);
    pthread_mutex_init(&c->heads_lock, NULL);
    fill_service(c);
    enum result r = RESULT_OK;
    if (options->cache_bytes)
        r = remembered_open(options->cache_bytes, COMPUTE_CACHED_BYTES_MAX, &c->memory);
    if (!r && options->threads)
        r = start_threads(c);
    if (r)
        compute_close(c);
    else
        *out = c;
    return r;
}

void compute_close(struct compute *c)
{
    if (!c)
        return;
    compute_stop(c);
    asking_close(c->options.models, c->readers);
    remembered_close(c->memory);
    while (c->heads) {
        struct head_file *h = c->heads;
        c->heads = h->next;
        buf_deinit(&h->bytes);
        alloc_free(h);
    }
    sem_destroy(&c->ready);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->service_lock);
    pthread_mutex_destroy(&c->heads_lock);
    alloc_free(c->workers);
    alloc_free(c);
}

void compute_count(struct compute *c, struct compute_counts *out)
{
    *out = (struct compute_counts){
        .asks = atomic_load(&c->asked.asks),
        .remembered = atomic_load(&c->asked.remembered),
        .failed = atomic_load(&c->asked.failed),
        .tokens = atomic_load(&c->asked.tokens),
        .cpu_us = atomic_load(&c->asked.cpu_us),
        .jobs = atomic_load(&c->jobs),
        .refused = atomic_load(&c->refused),
        .cancelled = atomic_load(&c->cancelled),
        .queued_jobs = atomic_load(&c->queued_jobs),
        .queued_tok = atomic_load(&c->queued_tok),
        .running = atomic_load(&c->running),
        .cached_bytes = remembered_bytes(c->memory),
        .wait_us = atomic_load(&c->wait_us),
    };
    for (uint32_t i = 0; i <= COMPUTE_BUCKETS; i++)
        out->buckets[i] = atomic_load(&c->buckets[i]);
}
