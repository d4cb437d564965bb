#include "api/pace.h"

#include <stdbool.h>
#include <stddef.h>

#include "api/metrics.h"

static const uint32_t FIRST_MS[PACE_FIRST] = {10,   20,   50,   100,   200,   500,
                                              1000, 2000, 5000, 10000, 30000, 60000};
static const uint32_t EACH_MS[PACE_EACH] = {2, 5, 10, 15, 20, 30, 50, 75, 100, 200, 500};

static uint64_t load(const _Atomic uint64_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

static void add(_Atomic uint64_t *v, uint64_t n)
{
    atomic_store_explicit(v, load(v) + n, memory_order_relaxed);
}

static uint64_t key_of(uint16_t model, enum image_effort effort, uint16_t route)
{
    return UINT64_C(1) << 63 | (uint64_t)model << 32 | (uint64_t)effort << 16 | route;
}

static struct pace_row *find(struct pace *p, uint64_t key, bool make)
{
    uint32_t at = (uint32_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 56) % PACE_ROWS;
    for (uint32_t n = 0; n < PACE_ROWS; n++, at = (at + 1) % PACE_ROWS) {
        uint64_t there = atomic_load_explicit(&p->rows[at].key, memory_order_acquire);
        if (there == key)
            return &p->rows[at];
        // The last free row is that of all others.
        if (there || (make && n == PACE_ROWS - 1))
            continue;
        if (!make)
            return NULL;
        atomic_store_explicit(&p->rows[at].key, key, memory_order_release);
        return &p->rows[at];
    }
    return NULL;
}

static uint32_t bucket(const uint32_t *bounds_ms, uint32_t count, uint64_t us)
{
    uint32_t i = 0;
    while (i < count && us > (uint64_t)bounds_ms[i] * 1000)
        i++;
    return i;
}

void pace_saw(struct pace *p, uint16_t model, enum image_effort effort, uint16_t route,
              uint64_t first_us, uint64_t each_us)
{
    struct pace_row *r = find(p, key_of(model, effort, route), true);
    if (!r)
        r = find(p, key_of(0, IMAGE_EFFORT_DEFAULT, 0), true);
    if (!r)
        r = &p->rows[0];
    add(&r->first[bucket(FIRST_MS, PACE_FIRST, first_us)], 1);
    add(&r->first_us, first_us);
    if (!each_us)
        return;
    add(&r->each[bucket(EACH_MS, PACE_EACH, each_us)], 1);
    add(&r->each_us, each_us);
}

// --- writing

struct shape {
    const char *name, *help;
    const uint32_t *bounds_ms;
    uint32_t count;
    size_t buckets, sum;
};

static uint64_t sum_of(struct pace *const *shards, uint32_t count, uint64_t key, size_t at)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct pace_row *r = find(shards[i], key, false);
        if (r)
            n += load((const _Atomic uint64_t *)(const void *)((const char *)r + at));
    }
    return n;
}

static void write_row(struct pace *const *shards, uint32_t count, uint64_t key,
                      const struct shape *s, const struct metrics_names *names, struct buf *out)
{
    const char *model = names->family[METRICS_MODELS].names[key >> 32 & 0xffff];
    const char *route = names->family[METRICS_ROUTES].names[key & 0xffff];
    const char *effort = image_effort_name((enum image_effort)(key >> 16 & 0xffff));
    uint64_t total = 0;
    for (uint32_t b = 0; b <= s->count; b++) {
        total += sum_of(shards, count, key, s->buckets + b * sizeof(_Atomic uint64_t));
        buf_printf(out, "%s_bucket{model=\"%s\",effort=\"%s\",route=\"%s\",le=\"", s->name, model,
                   effort, route);
        if (b < s->count)
            buf_printf(out, "%.3f\"} %llu\n", s->bounds_ms[b] / 1000.0, (unsigned long long)total);
        else
            buf_printf(out, "+Inf\"} %llu\n", (unsigned long long)total);
    }
    buf_printf(out, "%s_sum{model=\"%s\",effort=\"%s\",route=\"%s\"} %.6f\n", s->name, model,
               effort, route, (double)sum_of(shards, count, key, s->sum) / 1e6);
    buf_printf(out, "%s_count{model=\"%s\",effort=\"%s\",route=\"%s\"} %llu\n", s->name, model,
               effort, route, (unsigned long long)total);
}

void pace_write(struct pace *const *shards, uint32_t count, const struct metrics_names *names,
                struct buf *out)
{
    static const struct shape shapes[] = {
        {"merit_first_token_seconds", "Of streams: from an attempt's begin to its first token.",
         FIRST_MS, PACE_FIRST, offsetof(struct pace_row, first),
         offsetof(struct pace_row, first_us)},
        {"merit_output_token_seconds", "Of streams: per token behind the first, one answer's mean.",
         EACH_MS, PACE_EACH, offsetof(struct pace_row, each), offsetof(struct pace_row, each_us)},
    };
    for (size_t k = 0; k < MERIT_COUNT(shapes); k++) {
        buf_printf(out, "# HELP %s %s\n# TYPE %s histogram\n", shapes[k].name, shapes[k].help,
                   shapes[k].name);
        for (uint32_t i = 0; i < count; i++) {
            for (uint32_t row = 0; row < PACE_ROWS; row++) {
                uint64_t key =
                    atomic_load_explicit(&shards[i]->rows[row].key, memory_order_acquire);
                bool before = !key;
                for (uint32_t other = 0; other < i && !before; other++)
                    before = find(shards[other], key, false) != NULL;
                if (!before)
                    write_row(shards, count, key, &shapes[k], names, out);
            }
        }
    }
}
