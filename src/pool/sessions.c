#include "pool/sessions.h"

#include <stdatomic.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/rng.h"

enum {
    WAYS = 4,
    PLACE_BITS = 11,
    MODEL_BITS = 12,
    TOK_BITS = 24,
    MODEL_AT = PLACE_BITS + 1, // one more, for none
    TOK_AT = MODEL_AT + MODEL_BITS + 1,
    TOOL_AT = TOK_AT + TOK_BITS,
    BUSY = 1,
};

// `name` is BUSY while the rest is written, by the one who made it so; the reader looks at it before and after.
struct entry {
    _Atomic uint64_t name;
    _Atomic uint64_t value;
    _Atomic uint32_t used_s;
};

struct sessions {
    struct hash_key key;
    struct entry entries[SESSIONS_MAX];
};

enum result sessions_open(struct sessions **out)
{
    *out = NULL;
    struct sessions *s = alloc_zeroed(1, sizeof *s);
    if (!s)
        return RESULT_NOMEM;
    enum result r = rng_secret(&s->key, sizeof s->key);
    if (r) {
        alloc_free(s);
        return r;
    }
    *out = s;
    return RESULT_OK;
}

void sessions_close(struct sessions *s)
{
    alloc_free(s);
}

uint64_t sessions_name(const struct sessions *s, struct slice caller, struct slice session)
{
    if (!session.len)
        return 0;
    // The caller's hash goes into the key, so that no pair of strings can be cut elsewhere.
    const struct hash_key key = {s->key.k0 ^ hash_sip13(&s->key, caller), s->key.k1};
    uint64_t name = hash_sip13(&key, session);
    return name > BUSY ? name : BUSY + 1;
}

static uint64_t pack(const struct session_seen *v)
{
    uint64_t place = v->place >= 0 && v->place < SESSIONS_PLACES_MAX ? (uint64_t)v->place + 1 : 0;
    uint64_t model = v->model >= 0 && v->model < SESSIONS_MODELS_MAX ? (uint64_t)v->model + 1 : 0;
    uint64_t tok = v->tok < SESSIONS_TOK_MAX ? v->tok : SESSIONS_TOK_MAX;
    return place | model << MODEL_AT | tok << TOK_AT | (uint64_t)v->tool_out << TOOL_AT;
}

static struct session_seen unpack(uint64_t v)
{
    return (struct session_seen){
        .place = (int32_t)(v & ((1 << MODEL_AT) - 1)) - 1,
        .model = (int32_t)(v >> MODEL_AT & ((1 << (MODEL_BITS + 1)) - 1)) - 1,
        .tok = (uint32_t)(v >> TOK_AT) & SESSIONS_TOK_MAX,
        .tool_out = v >> TOOL_AT & 1,
    };
}

bool sessions_look(const struct sessions *s, uint64_t name, uint32_t now_s,
                   struct session_seen *out)
{
    const struct entry *e = &s->entries[name % (SESSIONS_MAX / WAYS) * WAYS];
    for (int i = 0; name && i < WAYS; i++, e++) {
        if (atomic_load_explicit(&e->name, memory_order_acquire) != name)
            continue;
        uint64_t value = atomic_load_explicit(&e->value, memory_order_relaxed);
        uint32_t used_s = atomic_load_explicit(&e->used_s, memory_order_relaxed);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&e->name, memory_order_relaxed) != name)
            continue;
        *out = unpack(value);
        return now_s - used_s <= SESSIONS_IDLE_S || used_s - now_s <= SESSIONS_IDLE_S;
    }
    return false;
}

void sessions_note(struct sessions *s, uint64_t name, uint32_t now_s,
                   const struct session_seen *seen)
{
    struct entry *first = &s->entries[name % (SESSIONS_MAX / WAYS) * WAYS], *e = NULL;
    uint32_t oldest = 0;
    uint64_t was = 0;
    if (!name)
        return;
    for (int i = 0; i < WAYS; i++) {
        uint64_t there = atomic_load_explicit(&first[i].name, memory_order_relaxed);
        uint32_t age = now_s - atomic_load_explicit(&first[i].used_s, memory_order_relaxed);
        if (there == name) {
            e = &first[i];
            was = there;
            break;
        }
        if (there == BUSY)
            continue;
        age = there ? age < UINT32_MAX / 2 ? age : 0 : UINT32_MAX;
        if (age >= oldest) {
            oldest = age;
            e = &first[i];
            was = there;
        }
    }
    // Somebody else writes there: that one stays.
    if (!e || !atomic_compare_exchange_strong_explicit(&e->name, &was, BUSY, memory_order_relaxed,
                                                       memory_order_relaxed))
        return;
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&e->value, pack(seen), memory_order_relaxed);
    atomic_store_explicit(&e->used_s, now_s, memory_order_relaxed);
    atomic_store_explicit(&e->name, name, memory_order_release);
}

void sessions_forget_place(struct sessions *s, int32_t place)
{
    for (uint32_t i = 0; i < SESSIONS_MAX; i++) {
        uint64_t value = atomic_load_explicit(&s->entries[i].value, memory_order_relaxed);
        struct session_seen v = unpack(value);
        if (v.place != place)
            continue;
        v.place = -1;
        v.tok = 0;
        // Not when somebody has noted it anew meanwhile.
        atomic_compare_exchange_strong_explicit(&s->entries[i].value, &value, pack(&v),
                                                memory_order_relaxed, memory_order_relaxed);
    }
}
