#include "net/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "net/wheel.h"

struct page {
    struct page *next;
};

struct loop {
    _Atomic(struct loop_message *) inbox; // newest first
    atomic_bool sleeping;                 // a sender must write to wake_fd
    atomic_bool stop;
    char others[64]; // keeps what other threads write off the lines of the rest
    int epoll_fd;
    int wake_fd;
    uint32_t busy_poll_us;
    uint64_t now_us, wall_us;
    uint64_t ran;                          // things run since the loop began
    uint64_t active_us;                    // when something ran last, for busy polling
    struct loop_task deferred, later, due; // heads of circular lists
    int at, count;                         // the batch of events being handled
    struct page *pages;
    uint32_t page_count;
    struct epoll_event events[LOOP_EVENTS_PER_TURN];
    struct wheel wheel;
    char scratch[LOOP_SCRATCH_BYTES];
};

static void list_init(struct loop_task *head)
{
    head->next = head->prev = head;
}

static bool list_empty(const struct loop_task *head)
{
    return head->next == head;
}

static void list_add(struct loop_task *head, struct loop_task *t)
{
    if (t->next)
        return;
    t->prev = head->prev;
    t->next = head;
    head->prev->next = t;
    head->prev = t;
}

// Empties `from` onto the end of `to`.
static void list_move(struct loop_task *to, struct loop_task *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

void loop_task_cancel(struct loop_task *t)
{
    if (!t->next)
        return;
    t->prev->next = t->next;
    t->next->prev = t->prev;
    t->next = t->prev = NULL;
}

void loop_defer(struct loop *l, struct loop_task *t)
{
    list_add(&l->deferred, t);
}

void loop_later(struct loop *l, struct loop_task *t)
{
    list_add(&l->later, t);
}

static void run_list(struct loop *l, struct loop_task *head)
{
    while (!list_empty(head)) {
        struct loop_task *t = head->next;
        loop_task_cancel(t);
        l->ran++;
        t->run(t);
    }
}

// A task that defers itself without end must not keep the loop from its descriptors.
static void run_deferred(struct loop *l)
{
    for (int round = 0; round < LOOP_ROUNDS && !list_empty(&l->deferred); round++) {
        list_move(&l->due, &l->deferred);
        run_list(l, &l->due);
    }
}

enum result loop_open(struct loop **out, uint32_t busy_poll_us)
{
    *out = NULL;
    struct loop *l = alloc_zeroed(1, sizeof *l);
    if (!l)
        return RESULT_NOMEM;
    list_init(&l->deferred);
    list_init(&l->later);
    list_init(&l->due);
    l->busy_poll_us = busy_poll_us;
    l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    // Edge-triggered, so that it need not be read: every write is an edge. Its event carries no loop_io.
    struct epoll_event e = {.events = EPOLLIN | EPOLLET};
    if (l->wake_fd < 0 || l->epoll_fd < 0 ||
        epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->wake_fd, &e) != 0) {
        loop_close(l);
        return RESULT_IO;
    }
    wheel_init(&l->wheel, loop_refresh(l) / 1000);
    *out = l;
    return RESULT_OK;
}

// The inbox is a stack that is taken whole; reversing it gives the order of arrival.
static void run_inbox(struct loop *l)
{
    if (!atomic_load_explicit(&l->inbox, memory_order_relaxed))
        return;
    struct loop_message *m = atomic_exchange(&l->inbox, NULL), *first = NULL;
    while (m) {
        struct loop_message *next = m->next;
        m->next = first;
        first = m;
        m = next;
    }
    while (first) {
        m = first;
        first = m->next;
        m->next = NULL;
        l->ran++;
        m->run(m, l);
    }
}

void loop_close(struct loop *l)
{
    if (!l)
        return;
    // A message may defer and a task may post, so until neither is left.
    while (atomic_load(&l->inbox) || !list_empty(&l->deferred) || !list_empty(&l->later)) {
        run_inbox(l);
        list_move(&l->due, &l->later);
        run_list(l, &l->due);
        run_deferred(l);
    }
    while (l->pages) {
        struct page *p = l->pages;
        l->pages = p->next;
        alloc_free(p);
    }
    if (l->epoll_fd >= 0)
        close(l->epoll_fd);
    if (l->wake_fd >= 0)
        close(l->wake_fd);
    alloc_free(l);
}

static void wake(struct loop *l)
{
    if (!atomic_load(&l->sleeping) || !atomic_exchange(&l->sleeping, false))
        return;
    // Fails only when the counter is about to overflow, and then the loop has an unseen edge anyway.
    uint64_t one = 1;
    ssize_t n = write(l->wake_fd, &one, sizeof one);
    (void)n;
}

void loop_stop(struct loop *l)
{
    atomic_store(&l->stop, true);
    wake(l);
}

void loop_post(struct loop *l, struct loop_message *m)
{
    struct loop_message *head = atomic_load_explicit(&l->inbox, memory_order_relaxed);
    do
        m->next = head;
    while (!atomic_compare_exchange_weak(&l->inbox, &head, m));
    wake(l);
}

uint64_t loop_refresh(struct loop *l)
{
    l->wall_us = 0;
    return l->now_us = clock_mono_us(&clock_system);
}

uint64_t loop_now_us(const struct loop *l)
{
    return l->now_us;
}

uint64_t loop_wall_us(const struct loop *l)
{
    // Read when first asked for in a turn: many turns do not ask.
    if (!l->wall_us)
        ((struct loop *)l)->wall_us = clock_wall_us(&clock_system);
    return l->wall_us;
}

char *loop_scratch(struct loop *l)
{
    return l->scratch;
}

void *loop_page_take(struct loop *l)
{
    struct page *p = l->pages;
    if (!p)
        return alloc_bytes(LOOP_PAGE_BYTES);
    l->pages = p->next;
    l->page_count--;
    return p;
}

void loop_page_give(struct loop *l, void *page)
{
    struct page *p = page;
    if (!p)
        return;
    if (l->page_count == LOOP_PAGES_KEPT) {
        alloc_free(p);
        return;
    }
    p->next = l->pages;
    l->pages = p;
    l->page_count++;
}

static enum result add(struct loop *l, struct loop_io *io, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = io};
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, io->fd, &e) == 0)
        return RESULT_OK;
    return errno == ENOMEM ? RESULT_NOMEM : RESULT_IO;
}

enum result loop_add(struct loop *l, struct loop_io *io)
{
    return add(l, io, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

enum result loop_add_level(struct loop *l, struct loop_io *io)
{
    return add(l, io, EPOLLIN);
}

void loop_forget(struct loop *l, struct loop_io *io)
{
    for (int i = l->at; i < l->count; i++)
        if (l->events[i].data.ptr == io)
            l->events[i].data.ptr = NULL;
}

void loop_del(struct loop *l, struct loop_io *io)
{
    epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
    loop_forget(l, io);
}

void loop_timer_set(struct loop *l, struct loop_timer *t, uint32_t after_ms)
{
    wheel_set(&l->wheel, t, (l->now_us + 999) / 1000 + after_ms);
}

void loop_timer_cancel(struct loop *l, struct loop_timer *t)
{
    (void)l;
    wheel_cancel(t);
}

// How long to sleep: until the caller's limit or the next timer, not at all with work at hand.
static int plan_wait(struct loop *l, int timeout_ms)
{
    if (!list_empty(&l->later) || !list_empty(&l->deferred))
        return 0;
    uint64_t next = wheel_next(&l->wheel);
    if (next == UINT64_MAX)
        return timeout_ms;
    uint64_t due_us = next * 1000;
    uint64_t ms = due_us > l->now_us ? (due_us - l->now_us + 999) / 1000 : 0;
    if (ms > INT_MAX)
        ms = INT_MAX;
    return timeout_ms < 0 || (int)ms < timeout_ms ? (int)ms : timeout_ms;
}

static int poll_events(struct loop *l, int wait_ms)
{
    int n = epoll_wait(l->epoll_fd, l->events, LOOP_EVENTS_PER_TURN, wait_ms);
    loop_refresh(l);
    return n < 0 ? 0 : n;
}

static int wait_events(struct loop *l, int wait_ms)
{
    if (wait_ms == 0)
        return poll_events(l, 0);
    while (l->busy_poll_us && l->now_us - l->active_us < l->busy_poll_us) {
        int n = poll_events(l, 0);
        if (n || atomic_load(&l->inbox) || atomic_load(&l->stop) ||
            wheel_next(&l->wheel) <= l->now_us / 1000)
            return n;
    }
    // A sender that posts after this store sees it and writes; one that posted before is seen here.
    atomic_store(&l->sleeping, true);
    if (atomic_load(&l->inbox) || atomic_load(&l->stop))
        wait_ms = 0;
    int n = poll_events(l, wait_ms);
    atomic_store_explicit(&l->sleeping, false, memory_order_relaxed);
    return n;
}

bool loop_turn(struct loop *l, int timeout_ms)
{
    uint64_t before = l->ran;
    int wait_ms = plan_wait(l, timeout_ms);
    l->count = wait_events(l, wait_ms);
    // What asks for the next turn from here on means the one after this.
    list_move(&l->due, &l->later);
    for (l->at = 0; l->at < l->count; l->at++) {
        struct loop_io *io = l->events[l->at].data.ptr;
        if (!io)
            continue;
        l->ran++;
        io->on_event(io, l->events[l->at].events);
    }
    l->at = l->count = 0;
    run_list(l, &l->due);
    l->ran += wheel_advance(&l->wheel, l->now_us / 1000);
    run_inbox(l);
    run_deferred(l);
    if (l->ran != before)
        l->active_us = l->now_us;
    return l->ran != before;
}

void loop_run(struct loop *l)
{
    while (!atomic_load_explicit(&l->stop, memory_order_relaxed))
        loop_turn(l, -1);
    atomic_store(&l->stop, false);
}
