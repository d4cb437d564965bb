// Requests and tokens a minute, as one word that all loops change by compare and swap.
//
// The generic cell rate algorithm (ITU-T I.371): the word is the time at which all that was taken would have been earned.
// A take is allowed while that lies less than POOL_BURST_US ahead; so after a pause POOL_BURST_US worth may go at once, and
// in any minute at most the rate plus that. One take that is larger than the burst is allowed when nothing is owed.
// Time is loop time in microseconds.
#ifndef MERIT_POOL_LIMITS_H
#define MERIT_POOL_LIMITS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { POOL_BURST_US = 10 * 1000 * 1000 };

struct rate {
    _Atomic uint64_t paid_until_us; // zero-initialise
};

// Takes `n` of a limit of `per_min` (0: none, always true).
bool rate_take(struct rate *r, uint32_t per_min, uint64_t n, uint64_t now_us);
// What was taken was really so much more, or less.
void rate_correct(struct rate *r, uint32_t per_min, int64_t more);
// Until when the next take is refused; 0: it is not.
uint64_t rate_until_us(const struct rate *r, uint32_t per_min, uint64_t now_us);

#endif
