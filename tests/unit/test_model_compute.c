// The compute pool with an engine that does as it is told: who is asked what, what is remembered, refused and given up.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/alloc.h"
#include "base/file.h"
#include "model/compute.h"
#include "model/remembered.h"

enum { DIM = 3, WINDOW = 8, WAIT_MS = 20000 };

// --- an engine whose vector of a text is its length, its first byte and 1; a token is a byte

struct fake {
    _Atomic int opened, closed, passes, texts;
    atomic_bool hold;         // a pass waits until it is let go or told to stop
    _Atomic int inside;       // passes that have begun
    enum result result;       // of every pass, when not OK
    _Atomic int policy, nice; // of the thread that read last
};

static enum result fake_open(const void *model, void **reader)
{
    struct fake *f = (struct fake *)(uintptr_t)model;
    atomic_fetch_add(&f->opened, 1);
    *reader = f;
    return RESULT_OK;
}

static void fake_close(void *reader)
{
    if (reader)
        atomic_fetch_add(&((struct fake *)reader)->closed, 1);
}

static bool stopped(const atomic_bool *stop)
{
    return stop && atomic_load(stop);
}

static void fake_answer(void *reader, struct trunk_ask *ask, struct arena *arena,
                        const atomic_bool *stop)
{
    struct fake *f = reader;
    atomic_fetch_add(&f->passes, 1);
    atomic_fetch_add(&f->inside, 1);
    atomic_fetch_add(&f->texts, (int)ask->count);
    atomic_store(&f->policy, sched_getscheduler(0));
    atomic_store(&f->nice, getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid)));
    while (atomic_load(&f->hold) && !stopped(stop))
        usleep(200);
    ask->answer = (struct trunk_answer){.result = f->result, .cost_us = 10};
    if (stopped(stop))
        ask->answer.result = RESULT_CANCELLED;
    if (ask->answer.result)
        return;
    uint32_t *tok = ARENA_ARRAY(arena, uint32_t, ask->count + 1);
    struct trunk_window *w = ARENA_ARRAY(arena, struct trunk_window, 2 * ask->count + 1);
    struct trunk_entity *e = ARENA_ARRAY(arena, struct trunk_entity, ask->count + 1);
    float *v = ARENA_ARRAY(arena, float, 2 * DIM * ask->count + 1);
    if (!tok || !w || !e || !v) {
        ask->answer.result = RESULT_NOMEM;
        return;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < ask->count; i++) {
        uint32_t len = (uint32_t)ask->texts[i].len, parts = len > WINDOW ? 2 : len ? 1 : 0;
        tok[i] = len;
        ask->answer.tokens += len;
        for (uint32_t k = 0; k < parts; k++, n++) {
            float *at = v + DIM * n;
            at[0] = (float)len;
            at[1] = (float)ask->texts[i].ptr[0];
            at[2] = ask->reading == TRUNK_WHOLE ? 2 : 1;
            w[n] = (struct trunk_window){i, k, len, at};
        }
        if (ask->model == TRUNK_ENTITY && len)
            e[ask->answer.entity_count++] = (struct trunk_entity){i, 0, len, 4, 0.5f};
    }
    ask->answer.windows = w;
    ask->answer.window_count = ask->model == TRUNK_EMBED ? n : 0;
    ask->answer.entities = e;
    ask->answer.text_tok = tok;
}

static const struct compute_engine FAKE = {fake_open, fake_close, fake_answer};

struct rig {
    struct fake fake;
    struct compute *pool;
    struct arena arena;
};

static void open_rig(struct rig *r, uint32_t threads, uint32_t queue_tok, size_t cache)
{
    memset(r, 0, sizeof *r);
    arena_init(&r->arena, 0, 1 << 24);
    struct compute_options o = {.threads = threads, .queue_tok = queue_tok, .cache_bytes = cache};
    for (int m = 0; m < TRUNK_MODELS; m++)
        o.models[m] =
            (struct compute_model){.engine = &FAKE,
                                   .model = &r->fake,
                                   .name = SLICE("fake"),
                                   .digest = m ? SLICE("bbbbbbbbbbbb") : SLICE("aaaaaaaaaaaa"),
                                   .dim = m ? 1 : DIM,
                                   .window_tok = WINDOW};
    assert_int_equal(compute_open(&o, &r->pool), RESULT_OK);
}

static void close_rig(struct rig *r)
{
    compute_close(r->pool);
    assert_int_equal(r->fake.opened, r->fake.closed);
    arena_deinit(&r->arena);
}

// --- jobs

struct job {
    struct compute_job job;
    _Atomic int done;
};

static void on_done(struct compute_job *j)
{
    atomic_fetch_add(&MERIT_CONTAINER(j, struct job, job)->done, 1);
}

static bool wait_for(const _Atomic int *what, int value)
{
    for (int i = 0; i < WAIT_MS && atomic_load(what) < value; i++)
        usleep(1000);
    return atomic_load(what) >= value;
}

static struct trunk_ask ask_of(enum trunk_model m, enum trunk_reading reading,
                               const struct slice *texts, uint32_t count)
{
    return (struct trunk_ask){.model = m, .reading = reading, .texts = texts, .count = count};
}

static void run(struct rig *r, struct trunk_ask *asks)
{
    struct job j = {.job.done = on_done};
    assert_int_equal(compute_submit(r->pool, &j.job, asks), RESULT_OK);
    assert_true(wait_for(&j.done, 1));
    assert_int_equal(compute_take(&j.job, asks, &r->arena), RESULT_OK);
    compute_release(&j.job);
}

static void check_windows(const struct trunk_ask *q, const char *name)
{
    uint32_t n = 0;
    assert_true(q->answered);
    assert_int_equal(q->answer.result, RESULT_OK);
    for (uint32_t i = 0; i < q->count; i++) {
        uint32_t parts = q->texts[i].len > WINDOW ? 2 : q->texts[i].len ? 1 : 0;
        for (uint32_t k = 0; k < parts; k++, n++) {
            const struct trunk_window *w = &q->answer.windows[n];
            if (w->text != i || w->begin != k || w->end != q->texts[i].len ||
                w->vector[0] != (float)q->texts[i].len || w->vector[1] != (float)q->texts[i].ptr[0])
                fail_msg("%s: window %u of text %u is another text's", name, k, i);
        }
        assert_int_equal(q->answer.text_tok[i], q->texts[i].len);
    }
    assert_int_equal(q->answer.window_count, n);
}

static void answers_find_their_texts(void **state)
{
    (void)state;
    struct rig r;
    open_rig(&r, 2, 1 << 16, 1 << 20);
    struct slice texts[] = {SLICE("alpha"), SLICE(""), SLICE("a text of two windows"),
                            SLICE("alpha"), SLICE("z")};
    struct slice names[] = {SLICE("Ann"), SLICE("Bob")};
    struct trunk_ask third = ask_of(TRUNK_ENTITY, TRUNK_WHOLE, names, 2);
    struct trunk_ask second = ask_of(TRUNK_EMBED, TRUNK_WHOLE, texts + 4, 1);
    struct trunk_ask first = ask_of(TRUNK_EMBED, TRUNK_TOPIC, texts, 5);
    first.next = &second;
    second.next = &third;
    run(&r, &first);
    check_windows(&first, "first");
    check_windows(&second, "second");
    assert_int_equal(third.answer.entity_count, 2);
    assert_int_equal(third.answer.entities[1].text, 1);
    assert_int_equal(third.answer.entities[1].label, 4);
    // "alpha" stands twice and "z" was read by the topic already: four texts and two names in two passes.
    assert_int_equal(r.fake.passes, 2);
    assert_int_equal(r.fake.texts, 4 + 2);
    assert_false(first.answer.remembered);
    assert_true(second.answer.remembered);
    assert_int_equal(second.answer.cost_us, 0);
    close_rig(&r);
}

static void asks_share_a_pass(void **state)
{
    (void)state;
    struct rig r;
    open_rig(&r, 1, 1 << 16, 0); // without memory, too
    struct slice one[] = {SLICE("one")}, two[] = {SLICE("two"), SLICE("one")};
    struct trunk_ask b = ask_of(TRUNK_EMBED, TRUNK_TOPIC, two, 2);
    struct trunk_ask a = ask_of(TRUNK_EMBED, TRUNK_TOPIC, one, 1);
    a.next = &b;
    run(&r, &a);
    check_windows(&a, "a");
    check_windows(&b, "b");
    assert_int_equal(r.fake.passes, 1);
    assert_int_equal(r.fake.texts, 2);
    assert_int_equal(a.answer.cost_us + b.answer.cost_us, 10);
    // What is answered already is not asked again.
    struct trunk_ask again = ask_of(TRUNK_EMBED, TRUNK_TOPIC, one, 1);
    again.next = &a;
    run(&r, &again);
    assert_int_equal(r.fake.texts, 3);
    close_rig(&r);
}

static void texts_are_remembered(void **state)
{
    (void)state;
    struct rig r;
    open_rig(&r, 1, 1 << 16, 1 << 20);
    struct slice texts[] = {SLICE("short"), SLICE("longer than a window")};
    for (int i = 0; i < 3; i++) {
        struct trunk_ask q = ask_of(TRUNK_EMBED, TRUNK_TOPIC, texts, 2);
        run(&r, &q);
        check_windows(&q, "again");
        assert_int_equal(q.answer.remembered, i > 0);
        assert_int_equal(q.answer.cost_us, i ? 0 : 10);
        assert_int_equal(q.answer.tokens, 5 + 20);
    }
    assert_int_equal(r.fake.texts, 2);
    // The short text is known for every reading, the long one only for its own; another model knows neither.
    struct trunk_ask whole = ask_of(TRUNK_EMBED, TRUNK_WHOLE, texts, 2);
    run(&r, &whole);
    check_windows(&whole, "whole");
    assert_int_equal(r.fake.texts, 3);
    assert_true(whole.answer.windows[0].vector[2] == 1 && whole.answer.windows[1].vector[2] == 2);
    struct trunk_ask other = ask_of(TRUNK_ENTITY, TRUNK_TOPIC, texts, 1);
    run(&r, &other);
    assert_int_equal(r.fake.texts, 4);
    // The service shares the memory, and reads itself what is new.
    const struct trunk_service *s = compute_service(r.pool);
    struct slice fresh[] = {SLICE("short"), SLICE("fresh")};
    struct trunk_ask q = ask_of(TRUNK_EMBED, TRUNK_TOPIC, fresh, 2);
    s->answer(s->ctx, &q, &r.arena);
    check_windows(&q, "service");
    assert_int_equal(r.fake.texts, 5);
    struct compute_counts n;
    compute_count(r.pool, &n);
    assert_int_equal(n.asks, 3 * 2 + 2 + 1 + 2);
    assert_int_equal(n.remembered, 4 + 1 + 1);
    assert_int_equal(n.jobs, 5);
    assert_true(n.cached_bytes > 0);
    close_rig(&r);
}

static void memory_is_bounded(void **state)
{
    (void)state;
    struct remembered *m;
    struct arena arena;
    float v[DIM] = {1, 2, 3};
    struct trunk_window w = {0, 0, 5, v};
    struct text_answer a = {.windows = &w, .window_count = 1, .tokens = 3}, got;
    char text[32];
    arena_init(&arena, 0, 1 << 20);
    assert_int_equal(remembered_open(2000, 1000, &m), RESULT_OK);
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "text %d", i);
        struct remembered_key k = remembered_key(SLICE("aa"), slice_cstr(text));
        struct remembered_key zero = remembered_key(SLICE("aa"), SLICE("text 0"));
        remembered_keep(m, &k, TRUNK_TOPIC, true, DIM, true, &a);
        assert_true(remembered_bytes(m) <= 2000);
        // What is asked for stays.
        assert_int_equal(remembered_find(m, &zero, TRUNK_WHOLE, DIM, true, &arena, &got),
                         RESULT_OK);
        assert_true(got.windows[0].vector[2] == 3 && got.windows[0].end == 5 && got.tokens == 3);
    }
    struct remembered_key old = remembered_key(SLICE("aa"), SLICE("text 1"));
    assert_int_equal(remembered_find(m, &old, TRUNK_TOPIC, DIM, true, &arena, &got),
                     RESULT_NOT_FOUND);
    // Too large for one entry: not kept, and nothing else goes for it.
    size_t before = remembered_bytes(m);
    struct trunk_entity many[64] = {{0, 1, 2, 3, .5f}};
    struct text_answer large = {.entities = many, .entity_count = 64};
    remembered_keep(m, &old, TRUNK_TOPIC, true, 0, true, &large);
    assert_int_equal(remembered_bytes(m), before);
    // "ab" + "c" is not "a" + "bc".
    struct remembered_key x = remembered_key(SLICE("ab"), SLICE("c")),
                          y = remembered_key(SLICE("a"), SLICE("bc"));
    assert_memory_not_equal(&x, &y, sizeof x);
    remembered_close(m);
    arena_deinit(&arena);
}

static void a_full_queue_refuses(void **state)
{
    (void)state;
    struct rig r;
    open_rig(&r, 1, 64, 0);
    atomic_store(&r.fake.hold, true);
    struct slice text[] = {SLICE("forty bytes of a text, which are fourteen")};
    struct trunk_ask q = ask_of(TRUNK_EMBED, TRUNK_WHOLE, text, 1);
    uint32_t tok =
        compute_estimate_tok(&(struct compute_model){.window_tok = WINDOW}, TRUNK_WHOLE, text[0]);
    struct job jobs[8] = {0};
    int taken = 0;
    for (int i = 0; i < 8; i++)
        jobs[i].job.done = on_done;
    assert_int_equal(compute_submit(r.pool, &jobs[0].job, &q), RESULT_OK);
    assert_true(wait_for(&r.fake.inside, 1)); // it waits no more, it is read
    for (taken = 1; taken < 8; taken++)
        if (compute_submit(r.pool, &jobs[taken].job, &q))
            break;
    assert_int_equal(taken, 1 + (int)(64 / tok));
    struct compute_counts n;
    compute_count(r.pool, &n);
    assert_int_equal(n.refused, 1);
    assert_int_equal(n.queued_jobs, taken - 1);
    assert_int_equal(n.queued_tok, (uint64_t)(taken - 1) * tok);
    assert_int_equal(n.running, 1);
    assert_int_equal(compute_submit(r.pool, &jobs[taken].job, &q), RESULT_LIMIT);
    // A topic is read in three windows however long it is.
    char huge[4096];
    memset(huge, 'x', sizeof huge);
    struct slice long_text[] = {slice_make(huge, sizeof huge)};
    struct trunk_ask topic = ask_of(TRUNK_EMBED, TRUNK_TOPIC, long_text, 1);
    atomic_store(&r.fake.hold, false);
    for (int i = 0; i < taken; i++) {
        assert_true(wait_for(&jobs[i].done, 1));
        struct trunk_ask mine = ask_of(TRUNK_EMBED, TRUNK_WHOLE, text, 1);
        assert_int_equal(compute_take(&jobs[i].job, &mine, &r.arena), RESULT_OK);
        check_windows(&mine, "queued");
        compute_release(&jobs[i].job);
    }
    run(&r, &topic);
    compute_count(r.pool, &n);
    assert_int_equal(n.queued_jobs + n.queued_tok + n.running, 0);
    uint64_t seen = 0;
    for (int i = 0; i <= COMPUTE_BUCKETS; i++)
        seen += n.buckets[i];
    assert_int_equal(seen, taken + 1);
    close_rig(&r);
}

static void jobs_are_given_up(void **state)
{
    (void)state;
    struct rig r;
    open_rig(&r, 1, 1 << 16, 1 << 20);
    atomic_store(&r.fake.hold, true);
    struct slice text[] = {SLICE("text")};
    struct trunk_ask q = ask_of(TRUNK_EMBED, TRUNK_TOPIC, text, 1), later = q;
    struct job running = {.job.done = on_done}, queued = {.job.done = on_done};
    assert_int_equal(compute_submit(r.pool, &running.job, &q), RESULT_OK);
    assert_true(wait_for(&r.fake.inside, 1));
    assert_int_equal(compute_submit(r.pool, &queued.job, &later), RESULT_OK);
    compute_cancel(&queued.job);
    compute_cancel(&queued.job);
    compute_cancel(&running.job);
    assert_true(wait_for(&running.done, 1) && wait_for(&queued.done, 1));
    assert_int_equal(compute_take(&running.job, &q, &r.arena), RESULT_OK);
    assert_int_equal(compute_take(&queued.job, &later, &r.arena), RESULT_OK);
    assert_int_equal(q.answer.result, RESULT_CANCELLED);
    assert_int_equal(later.answer.result, RESULT_CANCELLED);
    assert_int_equal(r.fake.passes, 1); // the queued one was not begun
    compute_release(&running.job);
    compute_release(&queued.job);
    struct compute_counts n;
    compute_count(r.pool, &n);
    assert_int_equal(n.cancelled, 2);
    // A failure is not remembered.
    atomic_store(&r.fake.hold, false);
    struct trunk_ask again = ask_of(TRUNK_EMBED, TRUNK_TOPIC, text, 1);
    run(&r, &again);
    check_windows(&again, "again");
    close_rig(&r);
}

static void stopping_ends_every_job(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct rig r;
        open_rig(&r, 1 + (uint32_t)round % 3, 1 << 20, 1 << 16);
        atomic_store(&r.fake.hold, round % 2);
        struct slice text[] = {SLICE("text")};
        struct trunk_ask q = ask_of(TRUNK_EMBED, TRUNK_TOPIC, text, 1);
        struct job jobs[50] = {0};
        for (int i = 0; i < 50; i++) {
            jobs[i].job.done = on_done;
            assert_int_equal(compute_submit(r.pool, &jobs[i].job, &q), RESULT_OK);
        }
        compute_stop(r.pool);
        for (int i = 0; i < 50; i++) {
            assert_int_equal(jobs[i].done, 1);
            compute_release(&jobs[i].job);
        }
        struct job late = {.job.done = on_done};
        assert_int_equal(compute_submit(r.pool, &late.job, &q), RESULT_NOT_FOUND);
        // Those who may wait go on.
        const struct trunk_service *s = compute_service(r.pool);
        atomic_store(&r.fake.hold, false);
        s->answer(s->ctx, &q, &r.arena);
        check_windows(&q, "after the stop");
        close_rig(&r);
    }
}

static void failures_are_told(void **state)
{
    (void)state;
    struct rig r;
    open_rig(&r, 1, 1 << 16, 1 << 20);
    struct slice text[] = {SLICE("text")};
    r.fake.result = RESULT_LIMIT;
    struct trunk_ask q = ask_of(TRUNK_EMBED, TRUNK_TOPIC, text, 1);
    run(&r, &q);
    assert_int_equal(q.answer.result, RESULT_LIMIT);
    assert_int_equal(q.answer.window_count, 0);
    r.fake.result = RESULT_OK;
    q.answered = false;
    run(&r, &q);
    check_windows(&q, "then");
    close_rig(&r);

    // Models that are not here.
    struct compute *none;
    struct arena arena;
    arena_init(&arena, 0, 1 << 16);
    assert_int_equal(compute_open(&(struct compute_options){.queue_tok = 100}, &none), RESULT_OK);
    const struct trunk_service *s = compute_service(none);
    assert_int_equal(s->dim[TRUNK_EMBED], 0);
    q.answered = false;
    s->answer(s->ctx, &q, &arena);
    assert_true(q.answered);
    assert_int_equal(q.answer.result, RESULT_NOT_FOUND);
    struct job j = {.job.done = on_done};
    assert_int_equal(compute_submit(none, &j.job, &q), RESULT_NOT_FOUND);
    compute_close(none);
    arena_deinit(&arena);
}

static void threads_are_idle_ones(void **state)
{
    (void)state;
    struct rig r;
    open_rig(&r, 1, 1 << 16, 0);
    struct slice text[] = {SLICE("text")};
    struct trunk_ask q = ask_of(TRUNK_EMBED, TRUNK_TOPIC, text, 1);
    run(&r, &q);
    assert_int_equal(r.fake.policy, SCHED_IDLE);
    assert_int_equal(r.fake.nice, 19);
    close_rig(&r);
}

// --- many submitters

struct submitter {
    struct rig *r;
    pthread_t thread;
    int bad;
};

static void *submit_many(void *arg)
{
    struct submitter *s = arg;
    char room[32];
    for (int i = 0; i < 200; i++) {
        struct job j = {.job.done = on_done};
        struct arena arena;
        arena_init(&arena, 0, 1 << 16);
        snprintf(room, sizeof room, "%d", i % 37);
        struct slice text[] = {slice_cstr(room)};
        struct trunk_ask q = ask_of(TRUNK_EMBED, TRUNK_TOPIC, text, 1);
        if (compute_submit(s->r->pool, &j.job, &q) == RESULT_OK) {
            if (i % 5 == 0)
                compute_cancel(&j.job);
            s->bad += !wait_for(&j.done, 1);
            s->bad += compute_take(&j.job, &q, &arena) != RESULT_OK;
            if (i % 5)
                s->bad += q.answer.result || q.answer.windows[0].vector[1] != (float)room[0];
            compute_release(&j.job);
        }
        arena_deinit(&arena);
    }
    return NULL;
}

static void many_threads_submit(void **state)
{
    (void)state;
    struct rig r;
    struct submitter s[4] = {0};
    open_rig(&r, 3, 1 << 16, 3000);
    for (int i = 0; i < 4; i++) {
        s[i].r = &r;
        assert_int_equal(pthread_create(&s[i].thread, NULL, submit_many, &s[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(s[i].thread, NULL);
        assert_int_equal(s[i].bad, 0);
    }
    struct compute_counts n;
    compute_count(r.pool, &n);
    assert_int_equal(n.queued_jobs + n.queued_tok + n.running, 0);
    close_rig(&r);
}

// --- heads

static void heads_are_files_of_a_folder(void **state)
{
    (void)state;
    char dir[] = "/tmp/merit-heads-XXXXXX", path[128];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/mine.safetensors", dir);
    assert_int_equal(file_replace(path, SLICE("first"), 0600), RESULT_OK);
    struct compute *c;
    assert_int_equal(compute_open(&(struct compute_options){.heads = dir}, &c), RESULT_OK);
    const struct trunk_service *s = compute_service(c);
    struct slice one, two, three;
    assert_int_equal(s->head(s->ctx, SLICE("mine"), &one), RESULT_OK);
    assert_int_equal(s->head(s->ctx, SLICE("mine"), &two), RESULT_OK);
    assert_ptr_equal(one.ptr, two.ptr);
    assert_int_equal(s->head(s->ctx, slice_cstr(path), &three), RESULT_OK);
    assert_int_equal(file_replace(path, SLICE("second"), 0600), RESULT_OK);
    assert_int_equal(s->head(s->ctx, SLICE("mine"), &two), RESULT_OK);
    assert_memory_equal(two.ptr, "second", 6);
    assert_memory_equal(one.ptr, "first", 5); // who has it keeps it
    assert_int_equal(truncate(path, 0), 0);   // and whoever writes over the file ends nobody
    assert_memory_equal(two.ptr, "second", 6);
    assert_int_equal(s->head(s->ctx, SLICE("other"), &two), RESULT_NOT_FOUND);
    assert_int_equal(s->head(s->ctx, SLICE(""), &two), RESULT_NOT_FOUND);
    assert_int_equal(s->head(s->ctx, SLICE(".hidden"), &two), RESULT_NOT_FOUND);
    assert_int_equal(s->head(s->ctx, SLICE("a\0b"), &two), RESULT_NOT_FOUND);
    assert_int_equal(s->head(s->ctx, slice_cstr(dir), &two), RESULT_IO);
    compute_close(c);
    unlink(path);
    rmdir(dir);
}

// --- no memory

// Opening, and asking on this thread, with the n-th allocation failing: an answer or a named failure, nothing lost.
static void every_allocation_may_fail(void **state)
{
    (void)state;
    bool whole = false;
    for (uint64_t n = 1; !whole && n < 500; n++) {
        struct fake fake = {0};
        struct compute_options o = {.queue_tok = 1000, .cache_bytes = 1 << 16};
        o.models[0] = (struct compute_model){&FAKE, &fake,  SLICE("fake"), SLICE("aaaaaaaa"),
                                             DIM,   WINDOW, NULL,          0};
        struct slice texts[] = {SLICE("alpha"), SLICE("beta")};
        struct trunk_ask q = ask_of(TRUNK_EMBED, TRUNK_TOPIC, texts, 2), again = q;
        struct compute *c;
        struct arena arena;
        arena_init(&arena, 0, 1 << 20);
        alloc_fail_at(n, 0);
        enum result r = compute_open(&o, &c);
        if (!r) {
            const struct trunk_service *s = compute_service(c);
            s->answer(s->ctx, &q, &arena);
            assert_true(q.answered);
            r = q.answer.result;
            s->answer(s->ctx, &again, &arena);
            assert_true(again.answered);
        }
        // Memory that could not be had for the cache alone fails nothing.
        bool all = alloc_count() != 0 && r == RESULT_OK && again.answer.remembered;
        alloc_fail_at(0, 0);
        if (!r)
            check_windows(&q, "with memory");
        else
            assert_int_equal(r, RESULT_NOMEM);
        whole = all && n > 20;
        if (c)
            compute_close(c);
        assert_int_equal(fake.opened, fake.closed);
        arena_deinit(&arena);
    }
    assert_true(whole);
}

// A job is taken whole or not at all.
static void submits_may_fail(void **state)
{
    (void)state;
    struct rig r;
    open_rig(&r, 1, 1 << 16, 0);
    struct slice texts[] = {SLICE("alpha"), SLICE("beta")};
    bool taken = false;
    for (uint64_t n = 1; !taken && n < 50; n++) {
        struct trunk_ask q = ask_of(TRUNK_EMBED, TRUNK_TOPIC, texts, 2);
        struct job j = {.job.done = on_done};
        // The pool's thread sleeps while the allocator is armed, and wakes when nothing fails any more.
        alloc_fail_at(n, 0);
        enum result res = compute_submit(r.pool, &j.job, &q);
        alloc_fail_at(0, 0);
        taken = res == RESULT_OK;
        if (taken) {
            assert_true(wait_for(&j.done, 1));
            assert_int_equal(compute_take(&j.job, &q, &r.arena), RESULT_OK);
            compute_release(&j.job);
        } else {
            assert_int_equal(res, RESULT_NOMEM);
            assert_int_equal(j.done, 0);
        }
        struct compute_counts c;
        compute_count(r.pool, &c);
        assert_int_equal(c.queued_tok, 0);
    }
    assert_true(taken);
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_find_their_texts),
        cmocka_unit_test(asks_share_a_pass),
        cmocka_unit_test(texts_are_remembered),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(a_full_queue_refuses),
        cmocka_unit_test(jobs_are_given_up),
        cmocka_unit_test(stopping_ends_every_job),
        cmocka_unit_test(failures_are_told),
        cmocka_unit_test(threads_are_idle_ones),
        cmocka_unit_test(many_threads_submit),
        cmocka_unit_test(heads_are_files_of_a_folder),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(submits_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
