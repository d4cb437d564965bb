#include "cli/loading.h"

#include <sys/resource.h>
#include <unistd.h>

enum { SWEEP_MS = 500, NICE = 19 };

static void on_message(struct loop_message *m, struct loop *loop)
{
    struct loading *l = MERIT_CONTAINER(m, struct loading, message);
    struct serving *next = l->next;
    (void)loop;
    if (!l->closed)
        pthread_join(l->thread, NULL);
    buf_deinit(&l->text);
    l->next = NULL;
    l->running = false;
    if (l->closed)
        serving_unref(next);
    else
        l->done(l->ctx, next);
}

static void *load(void *arg)
{
    struct loading *l = arg;
    // On Linux this is the thread's own. When it is not granted the loops still wake before it most of the time.
    (void)!setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
    if (l->open(l->ctx, buf_slice(&l->text), &l->next))
        l->next = NULL;
    loop_post(l->loop, &l->message);
    return NULL;
}

static void on_sweep(struct loop_timer *t)
{
    struct loading *l = MERIT_CONTAINER(t, struct loading, sweep);
    for (struct serving **at = &l->retired; *at;) {
        struct serving *s = *at;
        if (atomic_load(&s->refs) != 1) {
            at = &s->retired;
            continue;
        }
        *at = s->retired;
        serving_unref(s);
    }
    if (l->retired)
        loop_timer_set(l->loop, t, SWEEP_MS);
}

void loading_open(struct loading *l, struct loop *loop)
{
    l->loop = loop;
    l->message.run = on_message;
    l->sweep.on_due = on_sweep;
}

enum result loading_begin(struct loading *l, struct buf *text)
{
    if (l->running)
        return RESULT_AGAIN;
    l->text = *text;
    l->next = NULL;
    if (pthread_create(&l->thread, NULL, load, l))
        return RESULT_NOMEM;
    l->running = true;
    return RESULT_OK;
}

void loading_retire(struct loading *l, struct serving *old)
{
    // Set once: reloads that follow each other would put it off for ever.
    if (!l->retired)
        loop_timer_set(l->loop, &l->sweep, SWEEP_MS);
    old->retired = l->retired;
    l->retired = old;
}

void loading_close(struct loading *l)
{
    if (!l->loop)
        return;
    if (l->running)
        pthread_join(l->thread, NULL);
    l->closed = true;
    loop_timer_cancel(l->loop, &l->sweep);
    while (l->retired) {
        struct serving *s = l->retired;
        l->retired = s->retired;
        serving_unref(s);
    }
    l->loop = NULL;
}
