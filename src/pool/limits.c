#include "pool/limits.h"

enum { MINUTE_US = 60 * 1000 * 1000 };
// Of one take: a day's worth of any rate, far below what overflows.
static const uint64_t TAKE_MAX_US = UINT64_C(24) * 3600 * 1000 * 1000;

static uint64_t worth_us(uint32_t per_min, uint64_t n)
{
    uint64_t most = TAKE_MAX_US / MINUTE_US * per_min;
    return (n < most ? n : most) * MINUTE_US / per_min;
}

// The furthest ahead that the word may be for another take: never so near that the burst of a slow rate has no room for one.
static uint64_t ahead_us(uint32_t per_min)
{
    uint64_t one = worth_us(per_min, 1);
    return POOL_BURST_US > one ? POOL_BURST_US - one : 0;
}

bool rate_take(struct rate *r, uint32_t per_min, uint64_t n, uint64_t now_us)
{
    if (!per_min)
        return true;
    uint64_t worth = worth_us(per_min, n);
    uint64_t paid = atomic_load_explicit(&r->paid_until_us, memory_order_relaxed), next;
    do {
        bool room = paid <= now_us || paid + worth <= now_us + POOL_BURST_US;
        if (!room)
            return false;
        next = (paid > now_us ? paid : now_us) + worth;
    } while (!atomic_compare_exchange_weak_explicit(&r->paid_until_us, &paid, next,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

void rate_correct(struct rate *r, uint32_t per_min, int64_t more)
{
    if (!per_min || !more)
        return;
    uint64_t worth = worth_us(per_min, (uint64_t)(more > 0 ? more : -more));
    if (more > 0) {
        atomic_fetch_add_explicit(&r->paid_until_us, worth, memory_order_relaxed);
        return;
    }
    uint64_t paid = atomic_load_explicit(&r->paid_until_us, memory_order_relaxed), next;
    do
        next = paid > worth ? paid - worth : 0;
    while (!atomic_compare_exchange_weak_explicit(&r->paid_until_us, &paid, next,
                                                  memory_order_relaxed, memory_order_relaxed));
}

uint64_t rate_until_us(const struct rate *r, uint32_t per_min, uint64_t now_us)
{
    if (!per_min)
        return 0;
    uint64_t paid = atomic_load_explicit(&r->paid_until_us, memory_order_relaxed);
    return paid > now_us + ahead_us(per_min) ? paid - ahead_us(per_min) : 0;
}
