#include "api/waiting.h"

#include "base/alloc.h"

struct waiting {
    struct compute_job job;
    struct loop_message message;
    struct loop_timer deadline;
    struct loop *loop;
    struct request *r; // NULL: nobody waits any more
    struct trunk_ask *asks;
    void (*go_on)(struct request *r, enum result why);
};

static void leave(struct waiting *w)
{
    loop_timer_cancel(w->loop, &w->deadline);
    w->r->waiting = NULL;
    w->r = NULL;
}

// On the loop: the job is done, and with this message it comes home.
static void on_message(struct loop_message *m, struct loop *loop)
{
    struct waiting *w = MERIT_CONTAINER(m, struct waiting, message);
    struct request *r = w->r;
    (void)loop;
    if (r) {
        uint64_t cost_us = 0;
        // What finds no memory is answered with that.
        enum result ignored = compute_take(&w->job, w->asks, r->x->arena);
        (void)ignored;
        for (const struct trunk_ask *q = w->asks; q; q = q->next)
            cost_us += q->answer.cost_us;
        r->waited_us = cost_us;
        leave(w);
    }
    void (*go_on)(struct request *, enum result) = w->go_on;
    compute_release(&w->job);
    alloc_free(w);
    if (r)
        go_on(r, RESULT_OK);
}

// On a thread of the pool.
static void on_done(struct compute_job *job)
{
    struct waiting *w = MERIT_CONTAINER(job, struct waiting, job);
    loop_post(w->loop, &w->message);
}

static void on_deadline(struct loop_timer *t)
{
    struct waiting *w = MERIT_CONTAINER(t, struct waiting, deadline);
    struct request *r = w->r;
    compute_cancel(&w->job);
    leave(w);
    w->go_on(r, RESULT_TIMEOUT);
}

enum result waiting_begin(struct request *r, struct trunk_ask *asks, uint32_t deadline_ms,
                          void (*go_on)(struct request *r, enum result why))
{
    struct gateway *g = r->g;
    if (!g->shared->compute)
        return RESULT_NOT_FOUND;
    struct waiting *w = alloc_zeroed(1, sizeof *w);
    if (!w)
        return RESULT_NOMEM;
    w->job.done = on_done;
    w->message.run = on_message;
    w->deadline.on_due = on_deadline;
    w->loop = g->loop;
    w->asks = asks;
    w->r = r;
    w->go_on = go_on;
    enum result res = compute_submit(g->shared->compute, &w->job, asks);
    if (res) {
        alloc_free(w);
        return res;
    }
    r->waiting = w;
    if (deadline_ms)
        loop_timer_set(g->loop, &w->deadline, deadline_ms);
    return RESULT_OK;
}

void waiting_drop(struct request *r)
{
    struct waiting *w = r->waiting;
    if (!w)
        return;
    compute_cancel(&w->job);
    leave(w);
}
