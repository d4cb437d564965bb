#include "base/clock.h"

#include <string.h>
#include <time.h>

static uint64_t read_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t system_mono(const struct clock *c)
{
    (void)c;
    return read_us(CLOCK_MONOTONIC);
}

static uint64_t system_wall(const struct clock *c)
{
    (void)c;
    return read_us(CLOCK_REALTIME);
}

const struct clock clock_system = {.mono_us = system_mono, .wall_us = system_wall};

static uint64_t fixed_mono(const struct clock *c)
{
    return c->fixed_mono_us;
}

static uint64_t fixed_wall(const struct clock *c)
{
    return c->fixed_wall_us;
}

struct clock clock_fixed(uint64_t mono_us, uint64_t wall_us)
{
    return (struct clock){fixed_mono, fixed_wall, mono_us, wall_us};
}

static void digits(char *out, unsigned v, int n)
{
    while (n-- > 0) {
        out[n] = (char)('0' + v % 10);
        v /= 10;
    }
}

void clock_iso(uint64_t wall_us, char *out)
{
    uint64_t s = wall_us / 1000000;
    unsigned day_s = (unsigned)(s % 86400);
    // Days to civil date: the era arithmetic of H. Hinnant, "chrono-compatible low-level date algorithms".
    uint64_t z = s / 86400 + 719468;
    uint64_t era = z / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;
    unsigned month = mp < 10 ? mp + 3 : mp - 9;
    unsigned year = yoe + (unsigned)era * 400 + (month <= 2);
    memcpy(out, "0000-00-00T00:00:00.000000Z", CLOCK_ISO_LEN);
    digits(out, year, 4);
    digits(out + 5, month, 2);
    digits(out + 8, doy - (153 * mp + 2) / 5 + 1, 2);
    digits(out + 11, day_s / 3600, 2);
    digits(out + 14, day_s / 60 % 60, 2);
    digits(out + 17, day_s % 60, 2);
    digits(out + 20, (unsigned)(wall_us % 1000000), 6);
}

void clock_stamp(struct clock_stamp *s, uint64_t wall_us, struct buf *out)
{
    char *to = buf_reserve(out, sizeof s->text);
    if (!to)
        return;
    if (wall_us / 1000000 != s->second || !s->second) {
        s->second = wall_us / 1000000;
        clock_iso(wall_us, s->text);
    }
    memcpy(to, s->text, sizeof s->text);
    digits(to + 20, (unsigned)(wall_us % 1000000), 6);
    out->len += CLOCK_ISO_LEN;
}

uint64_t clock_thread_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
