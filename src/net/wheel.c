#include "net/wheel.h"

#include <assert.h>
#include <string.h>

void wheel_init(struct wheel *w, uint64_t now_ms)
{
    memset(w, 0, sizeof *w);
    w->now_ms = now_ms;
}

static void push(struct loop_timer **head, struct loop_timer *t)
{
    t->next = *head;
    t->link = head;
    if (t->next)
        t->next->link = &t->next;
    *head = t;
}

void wheel_cancel(struct loop_timer *t)
{
    if (!t->link)
        return;
    *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
    t->next = NULL;
    t->link = NULL;
}

// due_ms > now_ms.
static void place(struct wheel *w, struct loop_timer *t)
{
    unsigned level = (63u - (unsigned)__builtin_clzll(t->due_ms ^ w->now_ms)) / WHEEL_DIGIT_BITS;
    // 48 bits of milliseconds are 8,900 years.
    assert(level < WHEEL_LEVELS);
    unsigned slot = (t->due_ms >> (level * WHEEL_DIGIT_BITS)) % WHEEL_SLOTS;
    push(&w->slots[level][slot], t);
    w->occupied[level] |= UINT64_C(1) << slot;
}

void wheel_set(struct wheel *w, struct loop_timer *t, uint64_t due_ms)
{
    wheel_cancel(t);
    t->due_ms = due_ms > w->now_ms ? due_ms : w->now_ms + 1;
    place(w, t);
}

// The first occupied slot and the time at which it begins; false without timers.
static bool first_slot(struct wheel *w, unsigned *level, unsigned *slot, uint64_t *at)
{
    for (unsigned l = 0; l < WHEEL_LEVELS; l++) {
        while (w->occupied[l]) {
            unsigned s = (unsigned)__builtin_ctzll(w->occupied[l]);
            if (w->slots[l][s]) {
                unsigned above = (l + 1) * WHEEL_DIGIT_BITS;
                *level = l;
                *slot = s;
                *at = (w->now_ms >> above << above) | (uint64_t)s << (l * WHEEL_DIGIT_BITS);
                return true;
            }
            w->occupied[l] &= w->occupied[l] - 1;
        }
    }
    return false;
}

uint64_t wheel_next(struct wheel *w)
{
    unsigned level, slot;
    uint64_t at;
    return first_slot(w, &level, &slot, &at) ? at : UINT64_MAX;
}

uint64_t wheel_advance(struct wheel *w, uint64_t now_ms)
{
    unsigned level, slot;
    uint64_t at, ran = 0;
    assert(!w->expired);
    while (first_slot(w, &level, &slot, &at) && at <= now_ms) {
        w->now_ms = at;
        struct loop_timer *list = w->slots[level][slot];
        w->slots[level][slot] = NULL;
        w->occupied[level] &= ~(UINT64_C(1) << slot);
        list->link = &list;
        while (list) {
            struct loop_timer *t = list;
            wheel_cancel(t);
            if (t->due_ms > at)
                place(w, t);
            else
                push(&w->expired, t);
        }
        while (w->expired) {
            struct loop_timer *t = w->expired;
            wheel_cancel(t);
            ran++;
            t->on_due(t);
        }
    }
    if (now_ms > w->now_ms)
        w->now_ms = now_ms;
    return ran;
}
