// Time behind a handle, so that tests own it. Nothing below net/ reads the system's clock itself.
#ifndef MERIT_BASE_CLOCK_H
#define MERIT_BASE_CLOCK_H

#include <stdint.h>

#include "base/buf.h"

struct clock {
    // Monotonic microseconds; the origin means nothing.
    uint64_t (*mono_us)(const struct clock *c);
    // Microseconds since 1970-01-01T00:00:00Z; may jump.
    uint64_t (*wall_us)(const struct clock *c);
    uint64_t fixed_mono_us, fixed_wall_us; // of clock_fixed
};

// The system's clocks. Any thread.
extern const struct clock clock_system;
// A clock that stands still until its owner changes the two fields.
struct clock clock_fixed(uint64_t mono_us, uint64_t wall_us);

static inline uint64_t clock_mono_us(const struct clock *c)
{
    return c->mono_us(c);
}

static inline uint64_t clock_wall_us(const struct clock *c)
{
    return c->wall_us(c);
}

// CPU time of this thread in nanoseconds, for what work costs.
uint64_t clock_thread_ns(void);

enum { CLOCK_ISO_LEN = 27 };
// "2026-11-21T10:30:00.123456Z" without a NUL: CLOCK_ISO_LEN bytes into `out`.
void clock_iso(uint64_t wall_us, char *out);

// The same for one who stamps many lines: the part down to the second is kept. Zero-initialise.
struct clock_stamp {
    uint64_t second;
    char text[CLOCK_ISO_LEN + 5]; // a whole vector, so that it is copied in one piece
};
void clock_stamp(struct clock_stamp *s, uint64_t wall_us, struct buf *out);

#endif
