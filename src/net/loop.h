// The event loop: one per thread, epoll, edge-triggered; timers, deferred tasks and a mailbox for other threads.
//
// Everything here but loop_post and loop_stop belongs to the loop's own thread. A turn: wait, run ready handlers, run
// tasks that asked for this turn (loop_later), run due timers, run the mailbox, run deferred tasks (flushes, frees),
// again. No handler may block. A loop with nothing to do sleeps until its next timer.
#ifndef MERIT_NET_LOOP_H
#define MERIT_NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"

struct loop;

// Something with a descriptor; embedded in its owner.
struct loop_io {
    int fd;
    // `events` are EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR bits. The owner may call loop_del inside; after
    // loop_del no event is delivered, not even one of the same turn.
    void (*on_event)(struct loop_io *io, uint32_t events);
};

// One-shot; embedded in its owner; zero-initialise. Resolution LOOP_TICK_MS, never early by the loop's own time
// (loop_now_us). Set and cancel are O(1) and make no system call. Must not be set when its memory goes.
struct loop_timer {
    struct loop_timer *next, **link; // private
    uint64_t due_ms;
    void (*on_due)(struct loop_timer *t);
};

// Runs once, at the end of the turn (loop_defer) or in the next turn (loop_later), in the order of the calls; embedded;
// zero-initialise. While it is queued, queueing it again changes nothing. It may free its own memory.
struct loop_task {
    struct loop_task *next, *prev; // private
    void (*run)(struct loop_task *t);
};

// A message from any thread; its memory belongs to the receiver once posted.
struct loop_message {
    struct loop_message *next; // private
    void (*run)(struct loop_message *m, struct loop *loop);
};

enum {
    LOOP_TICK_MS = 1,
    LOOP_EVENTS_PER_TURN = 256,
    LOOP_SCRATCH_BYTES = 64 * 1024,
    LOOP_PAGE_BYTES = 16 * 1024,
    LOOP_PAGES_KEPT = 64, // free pages a loop keeps; more are given back to the heap
    LOOP_ROUNDS =
        8, // of tasks deferred by tasks in one turn; what is left then runs in the next turn
};

// `busy_poll_us` spins that long before it sleeps (0: sleeps at once). RESULT_IO, RESULT_NOMEM.
enum result loop_open(struct loop **out, uint32_t busy_poll_us);
// Only when it does not run; everything in it has been deleted. Runs what is left of deferred tasks and mailbox.
void loop_close(struct loop *l);
// Until loop_stop. Calls from one thread only.
void loop_run(struct loop *l);
// One turn, waiting at most `timeout_ms` (-1: until something happens); for tests. True when something ran.
bool loop_turn(struct loop *l, int timeout_ms);
// Any thread.
void loop_stop(struct loop *l);
// Any thread; lock-free. Messages of one sender keep their order.
void loop_post(struct loop *l, struct loop_message *m);

// Registers for EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, once for the descriptor's life.
enum result loop_add(struct loop *l, struct loop_io *io);
// A listener or eventfd: level-triggered EPOLLIN.
enum result loop_add_level(struct loop *l, struct loop_io *io);
// The descriptor stays open and `fd` as it is: closing is the owner's.
void loop_del(struct loop *l, struct loop_io *io);
// As loop_del, for a descriptor that is closed right after: saves the system call.
void loop_forget(struct loop *l, struct loop_io *io);

void loop_timer_set(struct loop *l, struct loop_timer *t,
                    uint32_t after_ms);                       // moves it when set already
void loop_timer_cancel(struct loop *l, struct loop_timer *t); // no-op when not set
static inline bool loop_timer_is_set(const struct loop_timer *t)
{
    return t->link != NULL;
}

void loop_defer(struct loop *l, struct loop_task *t);
// In the next turn, which then comes without waiting: for work that should let others have their turn first.
void loop_later(struct loop *l, struct loop_task *t);
void loop_task_cancel(struct loop_task *t); // no-op when not queued
static inline bool loop_task_is_queued(const struct loop_task *t)
{
    return t->next != NULL;
}

// Monotonic time, read once per turn (loop_refresh reads it again).
uint64_t loop_now_us(const struct loop *l);
uint64_t loop_refresh(struct loop *l);
// Wall time of the same reading.
uint64_t loop_wall_us(const struct loop *l);
// LOOP_SCRATCH_BYTES that any handler may use until it returns.
char *loop_scratch(struct loop *l);

// A page of LOOP_PAGE_BYTES, uninitialised, from the loop's small free list or else the heap. NULL without memory.
void *loop_page_take(struct loop *l) MERIT_NODISCARD;
void loop_page_give(struct loop *l, void *page); // NULL is a no-op

#endif
