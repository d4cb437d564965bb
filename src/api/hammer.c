#include "api/hammer.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "base/rng.h"

// Odd while it is written. What is read between two equal even values belongs together.
struct entry {
    _Atomic uint32_t seq, count;
    _Atomic uint64_t key, at_ms, until_ms, models;
    _Atomic(const char *) type, code, message;
    _Atomic uint32_t status, message_len;
    _Atomic bool final;
};

struct hammer {
    _Atomic uint64_t until_ms; // something is remembered until then
    uint32_t longest_ms;
    struct hash_key hash;
    _Alignas(64) _Atomic uint64_t good_ms[64]; // per model modulo 64: when it last answered
    struct entry entries[HAMMER_SETS][HAMMER_WAYS];
};

// Acquire and release, so that no field is read behind the second look at `seq` or written before it is odd.
#define GET(field) atomic_load_explicit(&(field), memory_order_acquire)
#define SET(field, value) atomic_store_explicit(&(field), (value), memory_order_release)

enum result hammer_open(struct hammer **out, uint32_t longest_ms)
{
    struct hammer *h = alloc_zeroed(1, sizeof *h);
    *out = NULL;
    if (!h)
        return RESULT_NOMEM;
    h->longest_ms = longest_ms;
    enum result r = rng_secret(&h->hash, sizeof h->hash);
    if (r) {
        alloc_free(h);
        return r;
    }
    *out = h;
    return RESULT_OK;
}

void hammer_close(struct hammer *h)
{
    alloc_free(h);
}

bool hammer_any(const struct hammer *h, uint64_t now_ms)
{
    return now_ms < atomic_load_explicit(&h->until_ms, memory_order_relaxed);
}

uint64_t hammer_key(const struct hammer *h, struct slice caller, struct slice policy,
                    struct slice path, struct slice body)
{
    // The hash of the hashes: no two lists of parts run together.
    const uint64_t parts[] = {hash_sip13(&h->hash, caller), hash_sip13(&h->hash, policy),
                              hash_sip13(&h->hash, path), hash_sip13(&h->hash, body)};
    uint64_t key = hash_sip13(&h->hash, slice_make((const char *)parts, sizeof parts));
    return key ? key : 1; // 0 is an empty place
}

struct seen {
    uint64_t at_ms, until_ms, models;
    uint32_t count;
    struct api_error error;
};

// What stands in a place for this key; false: something else, or it is just being written.
static bool read_entry(const struct entry *e, uint64_t key, struct seen *out)
{
    uint32_t before = GET(e->seq);
    if (before & 1 || GET(e->key) != key)
        return false;
    *out = (struct seen){
        .at_ms = GET(e->at_ms),
        .until_ms = GET(e->until_ms),
        .models = GET(e->models),
        .count = GET(e->count),
        .error = {.status = (int)GET(e->status),
                  .type = GET(e->type),
                  .code = GET(e->code),
                  .message = slice_make(GET(e->message), GET(e->message_len)),
                  .final = GET(e->final)},
    };
    return GET(e->seq) == before;
}

static bool holds(const struct hammer *h, const struct seen *s, uint64_t now_ms)
{
    if (now_ms >= s->at_ms + HAMMER_KEPT_MS)
        return false;
    for (uint64_t bits = s->models; bits; bits &= bits - 1)
        if (GET(h->good_ms[__builtin_ctzll(bits)]) >= s->at_ms)
            return false;
    return true;
}

bool hammer_find(struct hammer *h, uint64_t key, uint64_t now_ms, struct api_error *error)
{
    struct entry *set = h->entries[key % HAMMER_SETS];
    struct seen s;
    for (uint32_t i = 0; i < HAMMER_WAYS; i++) {
        if (!read_entry(&set[i], key, &s))
            continue;
        if (now_ms >= s.until_ms || !holds(h, &s, now_ms))
            return false;
        *error = s.error;
        error->retry_after_s = (uint32_t)((s.until_ms - now_ms + 999) / 1000);
        return true;
    }
    return false;
}

static uint64_t pause_ms(const struct hammer *h, uint32_t count, uint32_t asked_s)
{
    if (count <= HAMMER_FREE)
        return 0;
    uint32_t doubled = count - HAMMER_FREE - 1 < 10 ? count - HAMMER_FREE - 1 : 10;
    uint64_t ms = (uint64_t)HAMMER_FIRST_MS << doubled, asked_ms = (uint64_t)asked_s * 1000;
    ms = asked_ms > ms ? asked_ms : ms;
    return ms < h->longest_ms ? ms : h->longest_ms;
}

void hammer_failed(struct hammer *h, uint64_t key, uint64_t models, const struct api_error *error,
                   uint64_t now_ms)
{
    struct entry *set = h->entries[key % HAMMER_SETS], *to = &set[0];
    struct seen s;
    uint32_t count = 1;
    for (uint32_t i = 0; i < HAMMER_WAYS; i++) {
        if (read_entry(&set[i], key, &s)) {
            count = holds(h, &s, now_ms) ? s.count + 1 : 1;
            to = &set[i];
            break;
        }
        // The oldest one gives way.
        if (GET(set[i].at_ms) < GET(to->at_ms))
            to = &set[i];
    }
    uint32_t seq = GET(to->seq);
    if (seq & 1 || !atomic_compare_exchange_strong_explicit(
                       &to->seq, &seq, seq + 1, memory_order_acquire, memory_order_relaxed))
        return;
    SET(to->key, key);
    SET(to->count, count);
    SET(to->at_ms, now_ms);
    SET(to->until_ms, now_ms + pause_ms(h, count, error->retry_after_s));
    SET(to->models, models);
    SET(to->type, error->type);
    SET(to->code, error->code);
    SET(to->message, error->message.ptr);
    SET(to->message_len, (uint32_t)error->message.len);
    SET(to->status, (uint32_t)error->status);
    SET(to->final, error->final);
    SET(to->seq, seq + 2);
    uint64_t until = GET(h->until_ms);
    while (until < now_ms + HAMMER_KEPT_MS &&
           !atomic_compare_exchange_weak_explicit(&h->until_ms, &until, now_ms + HAMMER_KEPT_MS,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

void hammer_good(struct hammer *h, int32_t model, uint64_t now_ms)
{
    if (hammer_any(h, now_ms))
        SET(h->good_ms[(uint32_t)model % 64], now_ms);
}
