#include "pool/places.h"

#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"

enum { ALIGN = 64 };

static uint64_t key_of(struct slice model, struct slice url)
{
    return hash_fnv(hash_fnv(0, url), model);
}

struct place *place_open(struct slice model, struct slice url)
{
    size_t bytes = sizeof(struct place) + model.len + url.len;
    // The counters of two places never share a cache line.
    char *block = alloc_zeroed(1, bytes + ALIGN + sizeof(void *));
    if (!block)
        return NULL;
    uintptr_t at = ((uintptr_t)block + sizeof(void *) + ALIGN - 1) & ~(uintptr_t)(ALIGN - 1);
    struct place *p = (struct place *)at;
    memcpy((char *)p - sizeof block, &block, sizeof block);
    memcpy(p->text, model.ptr, model.len);
    memcpy(p->text + model.len, url.ptr, url.len);
    p->model = slice_make(p->text, model.len);
    p->url = slice_make(p->text + model.len, url.len);
    p->key = key_of(model, url);
    p->prefill_tok_s = p->first_ms = p->each_ms = p->carbon_g_kwh = p->recent_first_ms =
        p->slow_ms = -1;
    p->gauges.queue = p->gauges.running = p->gauges.kv_use = p->gauges.prefix_hit_share = -1;
    atomic_flag_clear(&p->learning);
    atomic_init(&p->refs, 1);
    return p;
}

struct place *place_ref(struct place *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

void place_unref(struct place *p)
{
    if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    void *block;
    memcpy(&block, (char *)p - sizeof block, sizeof block);
    alloc_free(block);
}

bool place_is(const struct place *p, struct slice model, struct slice url)
{
    return p->key == key_of(model, url) && slice_eq(p->model, model) && slice_eq(p->url, url);
}

void place_learn(struct place *p, const struct speeds_call *call)
{
    if (call->first_ms >= 0) {
        float old = atomic_load_explicit(&p->recent_first_ms, memory_order_relaxed);
        float now = old < 0 ? (float)call->first_ms : old + ((float)call->first_ms - old) / 8;
        atomic_store_explicit(&p->recent_first_ms, now, memory_order_relaxed);
        atomic_fetch_add_explicit(&p->firsts, 1, memory_order_relaxed);
    }
    if (atomic_flag_test_and_set_explicit(&p->learning, memory_order_acquire))
        return;
    speeds_learn(&p->speeds, call);
    double prefill = speeds_prefill_tok_s(&p->speeds);
    atomic_store_explicit(&p->prefill_tok_s, (float)prefill, memory_order_relaxed);
    atomic_store_explicit(&p->first_ms, (float)speeds_first_ms(&p->speeds), memory_order_relaxed);
    atomic_store_explicit(&p->each_ms, (float)speeds_each_ms(&p->speeds), memory_order_relaxed);
    atomic_store_explicit(&p->slow_ms, (float)speeds_slow_ms(&p->speeds), memory_order_relaxed);
    atomic_flag_clear_explicit(&p->learning, memory_order_release);
}

void place_join(struct place *p, uint32_t tok, uint64_t now_us)
{
    atomic_fetch_add_explicit(&p->wait_calls, 1, memory_order_relaxed);
    if (!atomic_fetch_add_explicit(&p->wait_tok, tok, memory_order_relaxed))
        atomic_store_explicit(&p->line_us, now_us, memory_order_relaxed);
}

void place_leave(struct place *p, uint32_t tok, bool served, uint64_t now_us)
{
    uint64_t line_us = atomic_load_explicit(&p->line_us, memory_order_relaxed);
    atomic_fetch_sub_explicit(&p->wait_calls, 1, memory_order_relaxed);
    if (atomic_fetch_sub_explicit(&p->wait_tok, tok, memory_order_relaxed) == tok)
        atomic_store_explicit(&p->line_us, 0, memory_order_relaxed);
    if (!served)
        return;
    atomic_fetch_add_explicit(&p->drained_tok, tok, memory_order_relaxed);
    atomic_fetch_add_explicit(&p->drained_calls, 1, memory_order_relaxed);
    if (atomic_flag_test_and_set_explicit(&p->learning, memory_order_acquire))
        return;
    uint32_t all = atomic_exchange_explicit(&p->drained_tok, 0, memory_order_relaxed);
    uint32_t calls = atomic_exchange_explicit(&p->drained_calls, 0, memory_order_relaxed);
    drain_learn(&p->drain, all, calls, line_us, now_us);
    atomic_store_explicit(&p->drain_calls, (float)p->drain.calls, memory_order_relaxed);
    atomic_store_explicit(&p->drain_tok, (float)p->drain.tok, memory_order_relaxed);
    atomic_store_explicit(&p->drain_s, (float)p->drain.s, memory_order_relaxed);
    atomic_store_explicit(&p->drain_at_us, p->drain.at_us, memory_order_relaxed);
    atomic_flag_clear_explicit(&p->learning, memory_order_release);
}

float place_drain_tok_s(const struct place *p, uint64_t now_us)
{
    struct drain d = {.tok = (double)atomic_load_explicit(&p->drain_tok, memory_order_relaxed),
                      .calls = (double)atomic_load_explicit(&p->drain_calls, memory_order_relaxed),
                      .s = (double)atomic_load_explicit(&p->drain_s, memory_order_relaxed),
                      .at_us = atomic_load_explicit(&p->drain_at_us, memory_order_relaxed)};
    uint32_t calls = atomic_load_explicit(&p->wait_calls, memory_order_relaxed);
    uint32_t tok = atomic_load_explicit(&p->wait_tok, memory_order_relaxed);
    uint64_t line_us = atomic_load_explicit(&p->line_us, memory_order_relaxed);
    return (float)drain_tok_s(&d, calls ? (double)tok / calls : 0, line_us, now_us);
}

void place_limit(struct place *p, uint64_t until_ms)
{
    uint64_t now = atomic_load_explicit(&p->limited_until_ms, memory_order_relaxed);
    while (now < until_ms &&
           !atomic_compare_exchange_weak_explicit(&p->limited_until_ms, &now, until_ms,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}
