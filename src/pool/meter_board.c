#include "pool/meter_board.h"

#include <assert.h>

#include "base/alloc.h"

enum slot_state { FREE, TAKEN };

// Counters of a slot only grow; who takes it anew starts from where they stand, so that no counter is ever set back under
// the eyes of the sharer.
struct slot {
    _Atomic uint32_t state;
    _Atomic uint64_t prefill, decode; // since the board began
    _Atomic uint64_t begun;           // prefill + decode when this request took it
    _Atomic uint64_t uj;              // given and not yet taken out
    _Atomic uint32_t gaps;            // of the board when it was taken
    _Atomic uint32_t shares;          // that it had a part in
};

struct seen {
    uint64_t prefill, decode;
};

struct meter_board {
    struct slot slots[METER_SLOTS];
    _Atomic uint32_t hint, gaps;
    _Atomic uint64_t metered, given, others, unused, full;
    // The sharer's own.
    struct seen seen[METER_SLOTS];
    struct meter_row rows[METER_SLOTS + 1];
    uint16_t of[METER_SLOTS];
};

static uint64_t get(const _Atomic uint64_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

static void add(_Atomic uint64_t *v, uint64_t n)
{
    atomic_fetch_add_explicit(v, n, memory_order_relaxed);
}

enum result meter_board_new(struct meter_board **out)
{
    *out = alloc_zeroed(1, sizeof **out);
    return *out ? RESULT_OK : RESULT_NOMEM;
}

void meter_board_free(struct meter_board *b)
{
    alloc_free(b);
}

int32_t meter_board_begin(struct meter_board *b)
{
    uint32_t from = atomic_fetch_add_explicit(&b->hint, 1, memory_order_relaxed);
    for (uint32_t i = 0; i < METER_SLOTS; i++) {
        uint32_t at = (from + i) % METER_SLOTS, free = FREE;
        struct slot *s = &b->slots[at];
        if (atomic_load_explicit(&s->state, memory_order_relaxed) == FREE &&
            atomic_compare_exchange_strong_explicit(&s->state, &free, TAKEN, memory_order_acquire,
                                                    memory_order_relaxed)) {
            atomic_store_explicit(&s->begun, get(&s->prefill) + get(&s->decode),
                                  memory_order_relaxed);
            atomic_store_explicit(&s->gaps, atomic_load_explicit(&b->gaps, memory_order_relaxed),
                                  memory_order_relaxed);
            atomic_store_explicit(&s->shares, 0, memory_order_relaxed);
            // Shared out to the one before while it ended.
            add(&b->unused, atomic_exchange_explicit(&s->uj, 0, memory_order_relaxed));
            return (int32_t)at;
        }
    }
    add(&b->full, 1);
    return -1;
}

void meter_board_prefill(struct meter_board *b, int32_t slot, uint64_t tokens)
{
    if (slot >= 0)
        add(&b->slots[slot].prefill, tokens);
}

void meter_board_decode(struct meter_board *b, int32_t slot, uint64_t tokens)
{
    if (slot >= 0)
        add(&b->slots[slot].decode, tokens);
}

int64_t meter_board_end(struct meter_board *b, int32_t slot)
{
    if (slot < 0)
        return -1;
    struct slot *s = &b->slots[slot];
    assert(atomic_load_explicit(&s->state, memory_order_relaxed) == TAKEN);
    uint64_t uj = atomic_exchange_explicit(&s->uj, 0, memory_order_relaxed);
    bool whole = atomic_load_explicit(&s->gaps, memory_order_relaxed) ==
                 atomic_load_explicit(&b->gaps, memory_order_relaxed);
    bool seen = atomic_load_explicit(&s->shares, memory_order_relaxed) >= METER_SHARES_MIN;
    add(whole && seen ? &b->given : &b->unused, uj);
    atomic_store_explicit(&s->state, FREE, memory_order_release);
    return !whole || !seen ? -1 : uj > INT64_MAX ? INT64_MAX : (int64_t)uj;
}

void meter_board_gap(struct meter_board *b)
{
    atomic_fetch_add_explicit(&b->gaps, 1, memory_order_relaxed);
}

static uint64_t capped(uint64_t v)
{
    uint64_t most = (UINT64_C(1) << 48) - 1;
    return v < most ? v : most;
}

static uint64_t held(uint64_t tokens, uint64_t us)
{
    uint64_t most = (UINT64_C(1) << 24) - 1;
    uint64_t blocks = (tokens + METER_BLOCK_TOK - 1) / METER_BLOCK_TOK;
    return (blocks < most ? blocks : most) * (us < most ? us : most);
}

// Rows of those that run; how many.
static uint32_t gather(struct meter_board *b, uint64_t us)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < METER_SLOTS; i++) {
        struct slot *s = &b->slots[i];
        bool runs = atomic_load_explicit(&s->state, memory_order_acquire) == TAKEN;
        uint64_t prefill = get(&s->prefill), decode = get(&s->decode);
        struct meter_row r = {.prefill_tok = capped(prefill - b->seen[i].prefill),
                              .decode_tok = capped(decode - b->seen[i].decode)};
        b->seen[i] = (struct seen){prefill, decode};
        if (!runs)
            continue;
        uint64_t tokens = prefill + decode - get(&s->begun);
        r.held = held(tokens ? tokens : 1, us);
        b->of[n] = (uint16_t)i;
        b->rows[n++] = r;
    }
    return n;
}

// Who is silent is being prefilled, or its answer comes in one piece: it works like the others do.
static void fill_silent(struct meter_row *rows, uint32_t n)
{
    uint64_t sum = 0, vocal = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += rows[i].decode_tok;
        vocal += rows[i].decode_tok > 0;
    }
    uint64_t like = vocal && sum >= vocal ? sum / vocal : 1;
    for (uint32_t i = 0; i < n; i++)
        if (!rows[i].prefill_tok && !rows[i].decode_tok)
            rows[i].decode_tok = like;
}

static struct meter_row sum_of(const struct meter_row *rows, uint32_t n)
{
    struct meter_row sum = {0};
    for (uint32_t i = 0; i < n; i++) {
        sum.prefill_tok += rows[i].prefill_tok;
        sum.decode_tok += rows[i].decode_tok;
        sum.held += rows[i].held;
    }
    return sum;
}

static struct meter_row average_row(struct meter_row sum, uint32_t n, uint32_t times)
{
    if (!n)
        return (struct meter_row){.decode_tok = times};
    return (struct meter_row){.prefill_tok = capped(sum.prefill_tok / n * times),
                              .decode_tok = capped(sum.decode_tok / n * times),
                              .held = capped(sum.held / n * times)};
}

void meter_board_share(struct meter_board *b, const struct meter_interval *interval)
{
    uint32_t n = gather(b, interval->us), rows = n;
    uint64_t uj = interval->uj;
    fill_silent(b->rows, n);
    struct meter_row sum = sum_of(b->rows, n);
    if (interval->others)
        b->rows[rows++] = average_row(sum, n, interval->others);
    double idle = interval->idle_w > 0 ? interval->idle_w * (double)interval->us : 0;
    uint64_t idle_uj = idle < (double)uj ? (uint64_t)idle : uj;
    uint32_t beta =
        meter_beta_milli(interval->energy, sum.prefill_tok, sum.decode_tok, n + interval->others);
    add(&b->metered, uj);
    // Where nothing ran, nobody bears it.
    add(&b->unused, meter_attribute(uj, idle_uj, beta, b->rows, rows));
    for (uint32_t i = 0; i < n; i++) {
        struct slot *s = &b->slots[b->of[i]];
        add(&s->uj, b->rows[i].uj);
        atomic_fetch_add_explicit(&s->shares, 1, memory_order_relaxed);
    }
    if (rows > n)
        add(&b->others, b->rows[n].uj);
}

struct meter_totals meter_board_totals(const struct meter_board *b)
{
    struct meter_totals t = {.metered_uj = get(&b->metered),
                             .given_uj = get(&b->given),
                             .others_uj = get(&b->others),
                             .unused_uj = get(&b->unused),
                             .full = get(&b->full)};
    for (uint32_t i = 0; i < METER_SLOTS; i++)
        t.kept_uj += get(&b->slots[i].uj);
    return t;
}
