#include "pool/prefix.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"

enum {
    WAYS = 8, // slots of a bucket: one cache line of tags
    TAG_BITS = 40,
    USED_BITS = 24,
    // A place's clock goes on by one per unit of new blocks; its capacity is UNITS to 2 UNITS of them. Clocks have 15 bits and
    // come round after 256 capacities or more; by then the block has long been replaced.
    UNITS = 64,
    CLOCK_BITS = 15,
    CLOCK_MASK = (1 << CLOCK_BITS) - 1,
    HELD = 1 << CLOCK_BITS, // a stamp that was set
    AHEAD = 8,              // blocks whose lines are fetched before they are needed
    MISSES_TO_FORGET = 3,
    BLOCK_TOK = PREFIX_BLOCK_BYTES / PREFIX_TOK_BYTES,
    LINE = 64,
};

// A column. `sent` counts new blocks; the clock is sent >> shift.
struct column {
    _Atomic uint32_t sent;
    _Atomic uint32_t shift;
    _Atomic uint32_t units;    // of capacity
    _Atomic uint32_t tok;      // the same in tokens, as it is believed now
    _Atomic uint32_t full_tok; // ... as it was told
    _Atomic uint32_t misses;   // in a row: nothing was cached where much was expected
    _Atomic bool tells;        // it has told of cached tokens
};

struct prefix {
    uint32_t places, stride; // columns; stamps of a slot
    uint32_t buckets;        // a power of two
    uint64_t bytes;
    _Atomic uint32_t now; // blocks that came or were used again, all columns
    struct column columns[POOL_PLACES_PER_MODEL_MAX];
    void *block;              // that tags lie in, on a line's boundary
    _Atomic uint64_t *tags;   // 0: free; else a tag and when it was used last
    _Atomic uint16_t *stamps; // slot * stride + column: clock of the column | HELD; 0: never
};

// ---- prompts

// Constants of splitmix64 and the golden ratio: any odd numbers with mixed bits do.
#define K0 UINT64_C(0x9e3779b97f4a7c15)
#define K1 UINT64_C(0xbf58476d1ce4e5b9)
#define K2 UINT64_C(0x94d049bb133111eb)

static uint64_t fold(uint64_t a, uint64_t b)
{
    __uint128_t p = (__uint128_t)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static uint64_t read64(const char *at)
{
    uint64_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

// Two independent folds, so that one does not wait for the other.
static uint64_t hash_block(uint64_t seed, struct slice s)
{
    uint64_t a = seed ^ K0, b = seed + K1;
    size_t at = 0;
    for (; s.len - at >= 32; at += 32) {
        a = fold(read64(s.ptr + at) ^ K1, read64(s.ptr + at + 8) ^ a);
        b = fold(read64(s.ptr + at + 16) ^ K2, read64(s.ptr + at + 24) ^ b);
    }
    char tail[32] = {0};
    if (s.len > at)
        memcpy(tail, s.ptr + at, s.len - at);
    a = fold(read64(tail) ^ K1, read64(tail + 8) ^ a);
    b = fold(read64(tail + 16) ^ K2, read64(tail + 24) ^ b);
    return fold(a ^ K2, b ^ (uint64_t)s.len ^ K0);
}

void prefix_prompt(struct prefix_prompt *out, struct slice salt, const struct slice *pieces,
                   uint32_t count, uint32_t tok)
{
    uint64_t h = hash_block(K2, salt);
    uint64_t bytes = 0;
    out->count = 0;
    out->tok = tok;
    for (uint32_t i = 0; i < count; i++) {
        struct slice s = pieces[i];
        bool last = i + 1 == count;
        while (s.len && out->count < PREFIX_BLOCKS_MAX) {
            size_t n = s.len < PREFIX_BLOCK_BYTES ? s.len : PREFIX_BLOCK_BYTES;
            if (last && n < PREFIX_BLOCK_BYTES)
                break; // goes on with the next request
            h = hash_block(h, slice_head(s, n));
            bytes += n;
            out->end[out->count] = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
            out->chain[out->count++] = h;
            s = slice_from(s, n);
        }
        bytes += s.len;
    }
    out->bytes = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
}

static uint32_t tokens_to(const struct prefix_prompt *prompt, uint32_t blocks)
{
    if (!blocks || !prompt->bytes)
        return 0;
    return (uint32_t)((uint64_t)prompt->end[blocks - 1] * prompt->tok / prompt->bytes);
}

// ---- the index

static uint32_t get32(const _Atomic uint32_t *a)
{
    return atomic_load_explicit(a, memory_order_relaxed);
}

static void set32(_Atomic uint32_t *a, uint32_t v)
{
    atomic_store_explicit(a, v, memory_order_relaxed);
}

// By what the place was told to hold, so that what is believed of it can shrink and grow without another clock.
static uint32_t shift_of(uint32_t full_tok)
{
    uint32_t blocks = full_tok / BLOCK_TOK, shift = 0;
    while (blocks >> shift >= 2 * UNITS)
        shift++;
    return shift;
}

static void believe(struct column *c, uint32_t tok)
{
    uint32_t units = tok / BLOCK_TOK >> get32(&c->shift);
    set32(&c->tok, tok);
    set32(&c->units, units ? units : 1);
}

static void set_capacity(struct column *c, uint32_t tok)
{
    uint32_t shift = shift_of(tok), clock = get32(&c->sent) >> get32(&c->shift);
    set32(&c->full_tok, tok);
    if (get32(&c->shift) != shift) {
        set32(&c->shift, shift);
        set32(&c->sent, clock << shift); // the clock stays where it is
    }
    believe(c, tok);
}

enum result prefix_open(struct prefix **out, uint32_t places, uint64_t tok)
{
    *out = NULL;
    if (!places || places > POOL_PLACES_PER_MODEL_MAX)
        return RESULT_LIMIT;
    uint64_t all = tok ? tok : (uint64_t)places * PREFIX_CAPACITY_TOK;
    // Half as much again as the caches hold, because buckets fill unevenly.
    uint64_t slots = all / BLOCK_TOK * 3 / 2;
    struct prefix *p = alloc_zeroed(1, sizeof *p);
    if (!p)
        return RESULT_NOMEM;
    p->places = places;
    p->stride = (places + 3) / 4 * 4;
    p->buckets = 512;
    while ((uint64_t)p->buckets * WAYS < slots && p->buckets * WAYS < PREFIX_SLOTS_MAX)
        p->buckets *= 2;
    size_t n = (size_t)p->buckets * WAYS;
    p->bytes = sizeof *p + n * (sizeof *p->tags + p->stride * sizeof *p->stamps);
    p->block = alloc_zeroed(n * sizeof *p->tags + LINE, 1);
    p->stamps = alloc_zeroed(n * p->stride, sizeof *p->stamps);
    if (!p->block || !p->stamps) {
        prefix_close(p);
        return RESULT_NOMEM;
    }
    p->tags =
        (_Atomic uint64_t *)(void *)(((uintptr_t)p->block + LINE - 1) & ~(uintptr_t)(LINE - 1));
    for (uint32_t i = 0; i < places; i++)
        set_capacity(&p->columns[i], PREFIX_CAPACITY_TOK);
    *out = p;
    return RESULT_OK;
}

void prefix_close(struct prefix *p)
{
    if (!p)
        return;
    alloc_free(p->block);
    alloc_free(p->stamps);
    alloc_free(p);
}

void prefix_forget(struct prefix *p, uint32_t place)
{
    if (place >= p->places)
        return;
    // Past everything that was sent.
    struct column *c = &p->columns[place];
    uint32_t blocks = (get32(&c->units) + 2) << get32(&c->shift);
    atomic_fetch_add_explicit(&c->sent, blocks, memory_order_relaxed);
    set32(&c->misses, 0);
}

void prefix_capacity(struct prefix *p, uint32_t place, uint32_t tok)
{
    if (place >= p->places)
        return;
    struct column *c = &p->columns[place];
    uint32_t now = get32(&c->full_tok), want = tok ? tok : PREFIX_CAPACITY_TOK;
    if (now == want)
        return;
    if (want > now + now / 3 || want < now - now / 3)
        prefix_forget(p, place);
    set_capacity(c, want);
}

static uint32_t clock_of(const struct column *c)
{
    return get32(&c->sent) >> get32(&c->shift) & CLOCK_MASK;
}

// The bucket takes bits of the chain that the tag does not have.
static size_t bucket_of(const struct prefix *p, uint64_t chain)
{
    return (size_t)(chain & (p->buckets - 1)) * WAYS;
}

static uint64_t tag_of(uint64_t chain)
{
    uint64_t tag = chain >> (64 - TAG_BITS);
    return (tag ? tag : 1) << USED_BITS;
}

static bool same(uint64_t a, uint64_t tag)
{
    return (a ^ tag) >> USED_BITS == 0;
}

static void fetch(const struct prefix *p, uint64_t chain)
{
    size_t slot = bucket_of(p, chain);
    __builtin_prefetch(&p->tags[slot]);
}

// The slot of a block, or the number of slots.
static size_t find(const struct prefix *p, uint64_t chain)
{
    size_t slot = bucket_of(p, chain), none = (size_t)p->buckets * WAYS;
    uint64_t tag = tag_of(chain);
    for (size_t i = slot; i < slot + WAYS; i++)
        if (same(atomic_load_explicit(&p->tags[i], memory_order_relaxed), tag))
            return i;
    return none;
}

static bool held(uint16_t stamp, uint32_t clock, uint32_t units)
{
    return stamp & HELD && ((clock - stamp) & CLOCK_MASK) <= units;
}

void prefix_match(const struct prefix *p, const struct prefix_prompt *prompt, uint32_t places,
                  uint32_t *tok)
{
    uint32_t clock[POOL_PLACES_PER_MODEL_MAX], units[POOL_PLACES_PER_MODEL_MAX];
    size_t none = (size_t)p->buckets * WAYS;
    uint32_t seen = places < p->places ? places : p->places, i = 0;
    uint64_t alive = seen < 64 ? (UINT64_C(1) << seen) - 1 : ~UINT64_C(0);
    memset(tok, 0, places * sizeof *tok);
    for (uint32_t c = 0; c < seen; c++) {
        clock[c] = clock_of(&p->columns[c]);
        units[c] = get32(&p->columns[c].units);
    }
    for (uint32_t k = 0; k < AHEAD && k < prompt->count; k++)
        fetch(p, prompt->chain[k]);
    for (; alive && i < prompt->count; i++) {
        if (i + AHEAD < prompt->count)
            fetch(p, prompt->chain[i + AHEAD]);
        size_t slot = find(p, prompt->chain[i]);
        if (slot == none)
            break;
        const _Atomic uint16_t *stamps = p->stamps + slot * p->stride;
        for (uint64_t bits = alive; bits; bits &= bits - 1) {
            uint32_t c = (uint32_t)__builtin_ctzll(bits);
            if (held(atomic_load_explicit(&stamps[c], memory_order_relaxed), clock[c], units[c]))
                continue;
            tok[c] = tokens_to(prompt, i);
            alive &= ~(UINT64_C(1) << c);
        }
    }
    uint32_t most = tokens_to(prompt, i);
    for (; alive; alive &= alive - 1)
        tok[__builtin_ctzll(alive)] = most;
}

// The slot of a block, taken from the one that was used longest ago when there is none.
static size_t take(struct prefix *p, uint64_t chain, uint32_t now)
{
    size_t first = bucket_of(p, chain), slot = first;
    uint64_t tag = tag_of(chain), used_mask = (UINT64_C(1) << USED_BITS) - 1, oldest = 0;
    for (size_t i = first; i < first + WAYS; i++) {
        uint64_t t = atomic_load_explicit(&p->tags[i], memory_order_relaxed);
        if (same(t, tag)) {
            atomic_store_explicit(&p->tags[i], tag | (now & used_mask), memory_order_relaxed);
            return i;
        }
        uint64_t age = t ? (now - (t & used_mask)) & used_mask : used_mask + 1;
        if (age >= oldest) {
            oldest = age;
            slot = i;
        }
    }
    for (uint32_t c = 0; c < p->places; c++)
        atomic_store_explicit(&p->stamps[slot * p->stride + c], 0, memory_order_relaxed);
    atomic_store_explicit(&p->tags[slot], tag | (now & used_mask), memory_order_relaxed);
    return slot;
}

void prefix_sent(struct prefix *p, const struct prefix_prompt *prompt, uint32_t place)
{
    if (place >= p->places)
        return;
    struct column *c = &p->columns[place];
    uint32_t now = atomic_fetch_add_explicit(&p->now, prompt->count, memory_order_relaxed);
    uint32_t clock = clock_of(c), units = get32(&c->units), fresh = 0;
    for (uint32_t k = 0; k < AHEAD && k < prompt->count; k++)
        fetch(p, prompt->chain[k]);
    for (uint32_t i = 0; i < prompt->count; i++) {
        if (i + AHEAD < prompt->count)
            fetch(p, prompt->chain[i + AHEAD]);
        size_t slot = take(p, prompt->chain[i], now);
        _Atomic uint16_t *stamp = &p->stamps[slot * p->stride + place];
        fresh += !held(atomic_load_explicit(stamp, memory_order_relaxed), clock, units);
        atomic_store_explicit(stamp, (uint16_t)(HELD | clock), memory_order_relaxed);
    }
    atomic_fetch_add_explicit(&c->sent, fresh, memory_order_relaxed);
}

void prefix_came(struct prefix *p, uint32_t place, uint32_t believed_tok, uint32_t input_tok,
                 uint32_t cached_tok)
{
    enum { SLACK_TOK = 512, STEP = 8 }; // of blocks' ends and estimates; eighths of the capacity
    if (place >= p->places || cached_tok > input_tok)
        return;
    struct column *c = &p->columns[place];
    if (cached_tok)
        atomic_store_explicit(&c->tells, true, memory_order_relaxed);
    else if (!atomic_load_explicit(&c->tells, memory_order_relaxed))
        return;
    uint32_t full = get32(&c->full_tok), tok = get32(&c->tok);
    if (believed_tok < 2 * SLACK_TOK)
        return;
    if (cached_tok + SLACK_TOK >= believed_tok / 2) {
        // As believed: the capacity goes back to what it was told.
        set32(&c->misses, 0);
        if (tok < full)
            believe(c, full - tok > full / 64 ? tok + full / 64 : full);
        return;
    }
    // Gone sooner than reckoned: its cache is smaller for us, because others use it or answers fill it. All of it gone, again
    // and again: it was restarted.
    if (tok > full / STEP)
        believe(c, tok - tok / STEP);
    uint32_t misses = cached_tok ? 0 : get32(&c->misses) + 1;
    set32(&c->misses, misses);
    if (misses >= MISSES_TO_FORGET)
        prefix_forget(p, place);
}

// ---- over a reload

// The slot of a bucket for what was used at `used`: a free one, or that of one that was used before. The number of slots:
// all are younger, or it stands there.
static size_t room_for(const struct prefix *p, size_t first, uint64_t tag, uint32_t now)
{
    uint64_t used_mask = (UINT64_C(1) << USED_BITS) - 1, age = (now - tag) & used_mask;
    size_t slot = (size_t)p->buckets * WAYS, none = slot;
    for (size_t i = first; i < first + WAYS; i++) {
        uint64_t t = atomic_load_explicit(&p->tags[i], memory_order_relaxed);
        if (!t)
            return i;
        if (same(t, tag))
            return none;
        if (((now - t) & used_mask) > age) {
            age = (now - t) & used_mask;
            slot = i;
        }
    }
    return slot;
}

static void copy_block(struct prefix *p, size_t slot, const uint16_t *stamps, uint64_t tag)
{
    for (uint32_t c = 0; c < p->stride; c++)
        atomic_store_explicit(&p->stamps[slot * p->stride + c], stamps[c], memory_order_relaxed);
    atomic_store_explicit(&p->tags[slot], tag, memory_order_relaxed);
}

// The stamps of an old slot by the new columns; false: no place that is still there holds it.
static bool stamps_of(const struct prefix *old, size_t slot, const int32_t *to,
                      uint16_t stamps[POOL_PLACES_PER_MODEL_MAX])
{
    bool any = false;
    memset(stamps, 0, POOL_PLACES_PER_MODEL_MAX * sizeof *stamps);
    for (uint32_t c = 0; c < old->places; c++) {
        const struct column *from = &old->columns[c];
        uint16_t stamp =
            atomic_load_explicit(&old->stamps[slot * old->stride + c], memory_order_relaxed);
        if (to[c] < 0 || !held(stamp, clock_of(from), get32(&from->units)))
            continue;
        stamps[to[c]] = stamp;
        any = true;
    }
    return any;
}

void prefix_inherit(struct prefix *p, const struct prefix *old, const int32_t *to)
{
    uint16_t stamps[POOL_PLACES_PER_MODEL_MAX];
    uint32_t now = get32(&old->now);
    for (uint32_t c = 0; c < old->places; c++) {
        const struct column *from = &old->columns[c];
        if (to[c] < 0)
            continue;
        assert((uint32_t)to[c] < p->places);
        struct column *here = &p->columns[to[c]];
        set32(&here->shift, get32(&from->shift));
        set32(&here->sent, get32(&from->sent));
        set32(&here->units, get32(&from->units));
        set32(&here->tok, get32(&from->tok));
        set32(&here->full_tok, get32(&from->full_tok));
        set32(&here->misses, get32(&from->misses));
        atomic_store_explicit(&here->tells,
                              atomic_load_explicit(&from->tells, memory_order_relaxed),
                              memory_order_relaxed);
    }
    set32(&p->now, now);
    for (size_t i = 0; i < (size_t)old->buckets * WAYS; i++) {
        uint64_t tag = atomic_load_explicit(&old->tags[i], memory_order_relaxed);
        if (!tag || !stamps_of(old, i, to, stamps))
            continue;
        // A larger index takes more bits of the chain than are known here: the block may be in each of these buckets. Where
        // it is not, nobody finds it, and it grows old.
        for (size_t b = i / WAYS & (p->buckets - 1); b < p->buckets; b += old->buckets) {
            size_t slot = room_for(p, b * WAYS, tag, now);
            if (slot < (size_t)p->buckets * WAYS)
                copy_block(p, slot, stamps, tag);
        }
    }
}

uint32_t prefix_capacity_tok(const struct prefix *p, uint32_t place)
{
    return place < p->places ? get32(&p->columns[place].tok) : 0;
}

uint32_t prefix_blocks(const struct prefix *p)
{
    uint32_t count = 0;
    for (size_t i = 0; i < (size_t)p->buckets * WAYS; i++)
        count += atomic_load_explicit(&p->tags[i], memory_order_relaxed) != 0;
    return count;
}

uint64_t prefix_bytes(const struct prefix *p)
{
    return p->bytes;
}
