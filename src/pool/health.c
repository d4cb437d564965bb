#include "pool/health.h"

#include <assert.h>

#include "work/pool.h"

const char *const health_why_names[HEALTH_WHYS] = {
    [HEALTH_WHY_NONE] = "",           [HEALTH_WHY_FAILURES] = "failures",
    [HEALTH_WHY_TRIAL] = "trial",     [HEALTH_WHY_SHARE] = "error share",
    [HEALTH_WHY_SLOW] = "too slow",   [HEALTH_WHY_CHECK] = "health check",
    [HEALTH_WHY_KEY] = "key refused", [HEALTH_WHY_UNKNOWN] = "model unknown there",
};

// The word: 2 bits state, 6 bits ejections, 16 bits era, 40 bits milliseconds.
enum { EJECTIONS_MAX = 63, DOUBLINGS_MAX = 5 };
static const uint64_t TIME_MAX = (UINT64_C(1) << 40) - 1;

static uint64_t pack(struct health_seen s)
{
    uint64_t until = s.until_ms < TIME_MAX ? s.until_ms : TIME_MAX;
    return (uint64_t)s.state | (uint64_t)s.ejections << 2 | (uint64_t)s.era << 8 | until << 24;
}

static struct health_seen unpack(uint64_t w)
{
    return (struct health_seen){.state = (enum health_state)(w & 3),
                                .ejections = (uint32_t)(w >> 2 & EJECTIONS_MAX),
                                .era = (uint16_t)(w >> 8),
                                .until_ms = w >> 24};
}

struct health_seen health_look(const struct health *h)
{
    return unpack(atomic_load_explicit(&h->word, memory_order_acquire));
}

// Goes to `to` in the next era, from exactly `from`.
static bool change(struct health *h, struct health_seen from, struct health_seen to)
{
    uint64_t old = pack(from);
    to.era = (uint16_t)(from.era + 1);
    if (!atomic_compare_exchange_strong_explicit(&h->word, &old, pack(to), memory_order_acq_rel,
                                                 memory_order_relaxed))
        return false;
    atomic_store_explicit(&h->failures, 0, memory_order_relaxed);
    return true;
}

bool health_is_denial(enum health_why why)
{
    return why == HEALTH_WHY_KEY || why == HEALTH_WHY_UNKNOWN;
}

static uint64_t out_ms(uint32_t ejections, enum health_why why, uint32_t jitter)
{
    bool denial = health_is_denial(why);
    uint64_t first = denial ? POOL_DENIED_MS : POOL_EJECT_MS;
    uint64_t most = denial ? POOL_DENIED_MAX_MS : POOL_EJECT_MAX_MS;
    uint64_t ms = first << (ejections < DOUBLINGS_MAX ? ejections : DOUBLINGS_MAX);
    if (ms > most)
        ms = most;
    return ms + ms * (jitter % (POOL_EJECT_JITTER_PERCENT + 1)) / 100;
}

static bool put_out(struct health *h, struct health_seen from, enum health_why why, uint64_t now_ms,
                    uint32_t jitter)
{
    bool relapse = from.state != HEALTH_UP ||
                   (from.until_ms && now_ms < from.until_ms + (uint64_t)POOL_RELAPSE_MS);
    uint32_t before = relapse ? from.ejections : 0;
    struct health_seen to = {.state = HEALTH_OUT,
                             .ejections = before < EJECTIONS_MAX ? before + 1 : before,
                             .until_ms = now_ms + out_ms(before, why, jitter)};
    if (!change(h, from, to))
        return false;
    atomic_store_explicit(&h->why, why, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->ejected, 1, memory_order_relaxed);
    return true;
}

bool health_claim(struct health *h, uint64_t now_ms, bool force, struct health_claim *out)
{
    for (;;) {
        struct health_seen s = health_look(h);
        *out = (struct health_claim){.era = s.era};
        if (s.state == HEALTH_UP)
            return true;
        bool due = s.until_ms <= now_ms;
        if (!due && s.state == HEALTH_TRYING) {
            out->era--; // of no era that is heard
            return force;
        }
        if (!due && !force)
            return false;
        struct health_seen to = {
            .state = HEALTH_TRYING, .ejections = s.ejections, .until_ms = now_ms + POOL_TRIAL_MS};
        if (change(h, s, to)) {
            *out = (struct health_claim){.era = (uint16_t)(s.era + 1), .trial = true};
            return true;
        }
    }
}

bool health_good(struct health *h, const struct health_claim *c, uint64_t now_ms)
{
    struct health_seen s = health_look(h);
    bool late =
        c->trial && s.state == HEALTH_TRYING && (uint16_t)(s.era - c->era) <= POOL_TRIALS_HEARD;
    if (s.era != c->era && !late)
        return false;
    if (s.state == HEALTH_UP) {
        if (atomic_load_explicit(&h->failures, memory_order_relaxed))
            atomic_store_explicit(&h->failures, 0, memory_order_relaxed);
        return false;
    }
    return c->trial && s.state == HEALTH_TRYING &&
           change(h, s,
                  (struct health_seen){
                      .state = HEALTH_UP, .ejections = s.ejections, .until_ms = now_ms});
}

bool health_bad(struct health *h, const struct health_claim *c, uint32_t failures_max,
                uint64_t now_ms, uint32_t jitter)
{
    struct health_seen s = health_look(h);
    if (s.era != c->era)
        return false;
    if (c->trial)
        return s.state == HEALTH_TRYING && put_out(h, s, HEALTH_WHY_TRIAL, now_ms, jitter);
    if (s.state != HEALTH_UP ||
        atomic_fetch_add_explicit(&h->failures, 1, memory_order_relaxed) + 1 < failures_max)
        return false;
    return put_out(h, s, HEALTH_WHY_FAILURES, now_ms, jitter);
}

bool health_denied(struct health *h, const struct health_claim *c, enum health_why why,
                   uint64_t now_ms, uint32_t jitter)
{
    struct health_seen s = health_look(h);
    return c->trial && s.era == c->era && s.state == HEALTH_TRYING &&
           put_out(h, s, why, now_ms, jitter);
}

bool health_void(struct health *h, const struct health_claim *c, uint64_t now_ms)
{
    struct health_seen s = health_look(h);
    return c->trial && s.era == c->era && s.state == HEALTH_TRYING &&
           change(h, s,
                  (struct health_seen){
                      .state = HEALTH_OUT, .ejections = s.ejections, .until_ms = now_ms});
}

bool health_eject(struct health *h, enum health_why why, uint64_t now_ms, uint32_t jitter)
{
    struct health_seen s = health_look(h);
    return s.state == HEALTH_UP && put_out(h, s, why, now_ms, jitter);
}

void health_hold(struct health *h, uint64_t until_ms)
{
    struct health_seen s = health_look(h), to = s;
    to.until_ms = until_ms;
    if (s.state == HEALTH_OUT && s.until_ms < until_ms)
        change(h, s, to);
}

bool health_release(struct health *h, uint64_t now_ms)
{
    struct health_seen s = health_look(h), to = s;
    to.until_ms = now_ms;
    return s.state == HEALTH_OUT && s.until_ms > now_ms && change(h, s, to);
}

// --- outliers

// How much worse than the others place `i` is: calls in a million that fail, or times the others' time; 0: it is not.
static uint64_t share_excess(const struct health_window *w, uint32_t count, uint32_t i)
{
    uint64_t calls = 0, errors = 0;
    for (uint32_t k = 0; k < count; k++) {
        if (k != i && !w[k].out) {
            calls += w[k].calls;
            errors += w[k].errors;
        }
    }
    if (w[i].calls < OUTLIER_CALLS_MIN || calls < OUTLIER_CALLS_MIN)
        return 0;
    uint64_t own = w[i].errors * 1000000 / w[i].calls, rest = errors * 1000000 / calls;
    return own >= OUTLIER_SHARE_PERCENT * UINT64_C(10000) && own >= rest * OUTLIER_SHARE_TIMES
               ? own - rest + 1
               : 0;
}

static float median_of_others(const struct health_window *w, uint32_t count, uint32_t i)
{
    float sorted[POOL_PLACES_PER_MODEL_MAX];
    uint32_t n = 0;
    for (uint32_t k = 0; k < count; k++) {
        if (k == i || w[k].out || w[k].first_ms < 0 || w[k].firsts < OUTLIER_CALLS_MIN)
            continue;
        uint32_t at = n++;
        for (; at && sorted[at - 1] > w[k].first_ms; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = w[k].first_ms;
    }
    return n ? sorted[n / 2] : -1;
}

static uint64_t slow_excess(const struct health_window *w, uint32_t count, uint32_t i)
{
    float others = median_of_others(w, count, i);
    if (others < 0 || w[i].first_ms < 0 || w[i].firsts < OUTLIER_CALLS_MIN)
        return 0;
    float over = w[i].first_ms - others;
    if (over < OUTLIER_SLOW_MS || w[i].first_ms < others * OUTLIER_SLOW_TIMES)
        return 0;
    return (uint64_t)over + 1;
}

uint32_t health_judge(const struct health_window *w, uint32_t count, enum health_why *why)
{
    uint64_t excess[POOL_PLACES_PER_MODEL_MAX] = {0};
    uint32_t out = 0, put = 0;
    assert(count <= POOL_PLACES_PER_MODEL_MAX);
    for (uint32_t i = 0; i < count; i++) {
        why[i] = HEALTH_WHY_NONE;
        out += w[i].out;
        if (!w[i].out && !(excess[i] = share_excess(w, count, i)))
            excess[i] = slow_excess(w, count, i) ? 1 : 0;
    }
    while (out * 100 + 100 <= count * OUTLIER_CAP_PERCENT) {
        uint32_t worst = count;
        for (uint32_t i = 0; i < count; i++) {
            if (excess[i] && (worst == count || excess[i] > excess[worst]))
                worst = i;
        }
        if (worst == count)
            break;
        why[worst] = excess[worst] > 1 ? HEALTH_WHY_SHARE : HEALTH_WHY_SLOW;
        excess[worst] = 0;
        out++;
        put++;
    }
    return put;
}
