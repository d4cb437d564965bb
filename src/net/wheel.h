// The timers of a loop: a hierarchical wheel of eight levels with 64 slots, one millisecond the finest.
//
// A timer lies at the level of the highest base-64 digit in which its due time differs from now, in the slot of that
// digit; so every slot lies ahead of now, no level wraps, and the next thing to do is the first occupied slot of the
// lowest occupied level. Set and cancel are O(1); a timer is moved at most seven times. No clock is read here.
#ifndef MERIT_NET_WHEEL_H
#define MERIT_NET_WHEEL_H

#include <stdint.h>

#include "net/loop.h"

enum { WHEEL_LEVELS = 8, WHEEL_DIGIT_BITS = 6, WHEEL_SLOTS = 1 << WHEEL_DIGIT_BITS };

struct wheel {
    uint64_t now_ms;
    uint64_t occupied[WHEEL_LEVELS]; // a bit per slot; may be set for a slot that is empty by now
    struct loop_timer *slots[WHEEL_LEVELS][WHEEL_SLOTS];
    struct loop_timer *expired; // being run
};

void wheel_init(struct wheel *w, uint64_t now_ms);
// Moves it when set already. A due time that is not after now becomes the next millisecond.
void wheel_set(struct wheel *w, struct loop_timer *t, uint64_t due_ms);
void wheel_cancel(struct loop_timer *t);
// Runs everything due until `now_ms` (not before the last one), in order of due time; returns how many ran.
uint64_t wheel_advance(struct wheel *w, uint64_t now_ms);
// When wheel_advance next has something to do: never after the next due time, and exact when that is nearer than
// 64 ms. UINT64_MAX without timers.
uint64_t wheel_next(struct wheel *w);

#endif
