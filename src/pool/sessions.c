#include "pool/sessions.h"

#include <stdatomic.h>

#include "base/alloc.h"

struct entry {
    _Atomic uint64_t name; // 0: free
    _Atomic uint64_t at;   // place and model, 16 bits each, and tokens
    _Atomic uint64_t last_ms;
};

struct sessions {
    struct entry *entries;
    uint32_t rows, swept;
    _Atomic uint32_t counts[POOL_PLACES_MAX];
};

static uint64_t load(const _Atomic uint64_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

static uint64_t pack(int32_t place, int32_t model, uint32_t tok)
{
    return (uint64_t)(uint16_t)place << 48 | (uint64_t)(uint16_t)model << 32 | tok;
}

static int32_t place_of(uint64_t at)
{
    return (int32_t)(at >> 48);
}

static bool is_over(const struct entry *e, uint64_t now_ms)
{
    uint64_t last = load(&e->last_ms);
    return now_ms > last && now_ms - last > SESSIONS_IDLE_MS;
}

static struct entry *row_of(const struct sessions *s, uint64_t name)
{
    uint64_t row = (name * 0x9e3779b97f4a7c15u >> 40) & (s->rows - 1);
    return s->entries + row * SESSIONS_PER_ROW;
}

static struct entry *find(const struct sessions *s, uint64_t name)
{
    struct entry *row = row_of(s, name);
    for (uint32_t i = 0; name && i < SESSIONS_PER_ROW; i++) {
        if (load(&row[i].name) == name)
            return row + i;
    }
    return NULL;
}

static void count(struct sessions *s, int32_t place, bool more)
{
    if (place < 0 || place >= POOL_PLACES_MAX)
        return;
    _Atomic uint32_t *n = &s->counts[place];
    if (more)
        atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
    else if (atomic_load_explicit(n, memory_order_relaxed))
        atomic_fetch_sub_explicit(n, 1, memory_order_relaxed);
}

enum result sessions_open(struct sessions **out, uint32_t rows)
{
    if (!rows || rows > SESSIONS_ROWS_MAX || (rows & (rows - 1)))
        return RESULT_LIMIT;
    struct sessions *s = alloc_zeroed(1, sizeof *s);
    if (!s)
        return RESULT_NOMEM;
    s->rows = rows;
    s->entries = alloc_zeroed((size_t)rows * SESSIONS_PER_ROW, sizeof *s->entries);
    if (!s->entries) {
        alloc_free(s);
        return RESULT_NOMEM;
    }
    *out = s;
    return RESULT_OK;
}

void sessions_close(struct sessions *s)
{
    if (!s)
        return;
    alloc_free(s->entries);
    alloc_free(s);
}

struct session_seen sessions_look(const struct sessions *s, uint64_t name, uint64_t now_ms)
{
    const struct entry *e = find(s, name);
    if (!e || is_over(e, now_ms))
        return (struct session_seen){-1, -1, 0};
    uint64_t at = load(&e->at);
    return (struct session_seen){place_of(at), (int32_t)(at >> 32 & 0xffff), (uint32_t)at};
}

static void end(struct sessions *s, struct entry *e)
{
    if (atomic_exchange_explicit(&e->name, 0, memory_order_relaxed))
        count(s, place_of(load(&e->at)), false);
}

void sessions_sent(struct sessions *s, uint64_t name, int32_t place, int32_t model, uint32_t tok,
                   uint64_t now_ms)
{
    struct entry *e = find(s, name);
    if (!name || place < 0 || place >= POOL_PLACES_MAX)
        return;
    if (!e) {
        struct entry *row = row_of(s, name);
        e = row;
        for (uint32_t i = 0; i < SESSIONS_PER_ROW && load(&e->name); i++) {
            if (!load(&row[i].name) || load(&row[i].last_ms) < load(&e->last_ms))
                e = row + i;
        }
        end(s, e);
        atomic_store_explicit(&e->at, pack(place, model, tok), memory_order_relaxed);
        atomic_store_explicit(&e->last_ms, now_ms, memory_order_relaxed);
        atomic_store_explicit(&e->name, name, memory_order_relaxed);
        count(s, place, true);
        return;
    }
    uint64_t before =
        atomic_exchange_explicit(&e->at, pack(place, model, tok), memory_order_relaxed);
    atomic_store_explicit(&e->last_ms, now_ms, memory_order_relaxed);
    if (place_of(before) != place) {
        count(s, place_of(before), false);
        count(s, place, true);
    }
}

void sessions_inherit(struct sessions *s, const struct sessions *old, const int32_t *place,
                      uint32_t places, const int32_t *model, uint32_t models, uint64_t now_ms)
{
    for (size_t i = 0; i < (size_t)old->rows * SESSIONS_PER_ROW; i++) {
        const struct entry *e = old->entries + i;
        uint64_t name = load(&e->name), at = load(&e->at), last = load(&e->last_ms);
        uint32_t p = (uint32_t)place_of(at), m = (uint32_t)(at >> 32 & 0xffff);
        // Another session may just be taking the entry.
        if (!name || is_over(e, now_ms) || load(&e->name) != name)
            continue;
        if (p < places && m < models && place[p] >= 0 && model[m] >= 0)
            sessions_sent(s, name, place[p], model[m], (uint32_t)at, last);
    }
}

void sessions_forget(struct sessions *s, int32_t place)
{
    for (size_t i = 0; i < (size_t)s->rows * SESSIONS_PER_ROW; i++) {
        struct entry *e = s->entries + i;
        if (load(&e->name) && place_of(load(&e->at)) == place)
            end(s, e);
    }
}

uint32_t sessions_of(const struct sessions *s, int32_t place)
{
    return place < 0 || place >= POOL_PLACES_MAX
               ? 0
               : atomic_load_explicit(&s->counts[place], memory_order_relaxed);
}

void sessions_sweep(struct sessions *s, uint64_t now_ms)
{
    size_t all = (size_t)s->rows * SESSIONS_PER_ROW, n = all / 16 + 1;
    while (n--) {
        struct entry *e = s->entries + s->swept;
        s->swept = (uint32_t)((s->swept + 1) % all);
        if (load(&e->name) && is_over(e, now_ms))
            end(s, e);
    }
}

void sessions_weigh(const struct sessions *s, uint64_t name, uint64_t now_ms, float second_nusd,
                    struct pool_place *rows, uint32_t first, uint32_t end_place,
                    uint32_t *prefix_tok)
{
    struct session_seen seen = sessions_look(s, name, now_ms);
    bool there = seen.place >= (int32_t)first && seen.place < (int32_t)end_place &&
                 rows[seen.place].state == POOL_PLACE_UP;
    bool fresh = name && !there;
    for (uint32_t i = first; i < end_place; i++) {
        uint32_t *hit = prefix_tok ? prefix_tok + i : &rows[i].prefix_tok;
        float sessions = (float)sessions_of(s, (int32_t)i);
        rows[i].slot_nusd_s = fresh ? second_nusd * SESSIONS_SHARE * sessions : 0;
        if (fresh)
            *hit /= SESSIONS_STEPS;
    }
}
