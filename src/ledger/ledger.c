#include "ledger/ledger.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/rng.h"
#include "ledger/accounts.h"
#include "ledger/carrier.h"
#include "ledger/journal.h"
#include "ledger/window.h"

// Tickets count up from the milliseconds since 2020 at the start, shifted by this: four million tickets a millisecond
// would have to be drawn before two starts could meet.
enum { TICKET_SHIFT = 22 };
#define EPOCH_2020_MS UINT64_C(1577836800000)

struct ledger {
    struct accounts *accounts;
    struct journal *journal; // NULL: in memory only
    struct carrier *carrier;
    struct ledger_source source;
    uint64_t recovered;
    _Atomic uint64_t next_id;
    _Atomic uint64_t reserved, settled, over_bound, unknown, passed_over;
    _Atomic uint64_t refused[LEDGER_REFUSED_COUNT_];
};

const char *ledger_end_name(enum ledger_end e)
{
    static const char *const names[LEDGER_END_COUNT_] = {"answered", "failed", "broken", "gone",
                                                         "unconfirmed"};
    return (unsigned)e < LEDGER_END_COUNT_ ? names[e] : "unknown";
}

const char *ledger_unit_name(enum image_unit u)
{
    static const char *const names[LEDGER_UNITS] = {"nusd", "uj",    "ug",      "ms",
                                                    "tok",  "calls", "requests"};
    return (unsigned)u < LEDGER_UNITS ? names[u] : "unknown";
}

const char *ledger_refused_name(enum ledger_refused r)
{
    static const char *const names[LEDGER_REFUSED_COUNT_] = {"spent", "unbounded", "full",
                                                             "backlog"};
    return (unsigned)r < LEDGER_REFUSED_COUNT_ ? names[r] : "unknown";
}

static void add_one(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

// --- opening

// A ticket of an earlier process: settled at its bound if it was open, and counted in its accounts.
static void recover(struct ledger *l, uint32_t slot, uint64_t now_us)
{
    struct journal_record r;
    if (!journal_read(l->journal, slot, &r))
        return;
    if (!r.settled) {
        journal_settle_open(l->journal, slot, now_us);
        l->recovered++;
    }
    for (uint32_t i = 0; i < r.draw_count; i++) {
        const struct journal_draw *d = &r.draws[i];
        struct ledger_budget b = {.account = d->account,
                                  .unit = d->unit,
                                  .window = d->window,
                                  .hard = d->hard,
                                  .limit = -1};
        uint32_t at = accounts_claim(l->accounts, &b, d->number, now_us);
        if (at == ACCOUNTS_NONE)
            continue;
        accounts_add(l->accounts, at, journal_charge(&r, d));
        accounts_unpin(l->accounts, at);
    }
}

static enum result open_files(struct ledger *l, const struct ledger_options *o, struct buf *why)
{
    struct journal_options jo = {.directory = o->directory,
                                 .file_slots = o->journal_slots,
                                 .limit_bytes =
                                     o->backlog_bytes ? o->backlog_bytes : LEDGER_BACKLOG_BYTES,
                                 .now_us = o->now_us,
                                 .event = o->event,
                                 .context = o->context};
    enum result r = journal_open(&l->journal, &jo, why);
    if (r)
        return r;
    uint32_t at = 0, slot;
    while ((slot = journal_next_live(l->journal, &at)) != JOURNAL_NONE)
        recover(l, slot, o->now_us);
    if (l->recovered && o->event) {
        char text[160];
        int n =
            snprintf(text, sizeof text,
                     "settled at their bound, unconfirmed, as the process before ended while they "
                     "were under way: %" PRIu64,
                     l->recovered);
        struct ledger_event e = {"ledger-recovered", false, slice_make(text, (size_t)n)};
        o->event(o->context, &e);
    }
    struct carrier_options co = {.directory = o->directory,
                                 .journal = l->journal,
                                 .accounts = l->accounts,
                                 .commit_ms = o->commit_ms ? o->commit_ms : LEDGER_COMMIT_MS,
                                 .life_idle_us =
                                     o->life_idle_us ? o->life_idle_us : LEDGER_LIFE_IDLE_US,
                                 .now_us = o->now_us,
                                 .first_id = journal_last_id(l->journal) + 1,
                                 .keep_days = o->keep_days,
                                 .clock = o->clock ? o->clock : &clock_system,
                                 .event = o->event,
                                 .context = o->context};
    return carrier_open(&l->carrier, &co, why);
}

enum result ledger_open(struct ledger **out, const struct ledger_options *o, struct buf *why)
{
    struct ledger *l = alloc_zeroed(1, sizeof *l);
    if (!l) {
        buf_cstr(why, "the ledger has no memory");
        return RESULT_NOMEM;
    }
    struct hash_key seed;
    enum result r = rng_secret(&seed, sizeof seed);
    if (r) {
        buf_cstr(why, "no random numbers for the ledger");
        goto out;
    }
    r = accounts_open(&l->accounts, o->accounts ? o->accounts : LEDGER_ACCOUNTS_DEFAULT, seed,
                      o->life_idle_us ? o->life_idle_us : LEDGER_LIFE_IDLE_US);
    if (r) {
        buf_printf(why,
                   r == RESULT_LIMIT ? "the ledger has at most %d accounts"
                                     : "no memory for the ledger's accounts",
                   ACCOUNTS_MAX);
        goto out;
    }
    l->source = o->source;
    uint64_t ms = o->now_us / 1000, last = 0;
    if (o->directory) {
        r = open_files(l, o, why);
        if (r)
            goto out;
        last = journal_last_id(l->journal);
        if (carrier_last_id(l->carrier) > last)
            last = carrier_last_id(l->carrier);
    }
    uint64_t first = (ms > EPOCH_2020_MS ? ms - EPOCH_2020_MS : 1) << TICKET_SHIFT;
    // The clock may have been set back since.
    if (first <= last)
        first = last + 1;
    if (l->journal)
        first = journal_begin_ids(l->journal, first);
    atomic_init(&l->next_id, first);
    if (l->carrier)
        r = carrier_start(l->carrier, why);
    if (r)
        goto out;
    *out = l;
    return RESULT_OK;
out:
    ledger_close(l);
    return r;
}

void ledger_close(struct ledger *l)
{
    if (!l)
        return;
    carrier_close(l->carrier);
    journal_close(l->journal);
    accounts_close(l->accounts);
    alloc_free(l);
}

// --- reserving

// What the ask needs of a budget; negative: not known.
static int64_t need_of(const struct ledger_ask *ask, const struct ledger_budget *b)
{
    int64_t need = ask->bound.of[b->unit];
    bool known = need >= 0 && need <= LEDGER_AMOUNT_MAX;
    if (known || b->hard)
        return known ? need : -1;
    need = ask->expected.of[b->unit];
    return need < 0 ? 0 : need > LEDGER_AMOUNT_MAX ? LEDGER_AMOUNT_MAX : need;
}

static int64_t limit_of(const struct ledger *l, const struct ledger_budget *b, uint64_t number,
                        int64_t used)
{
    if (!l->source.limit)
        return b->limit;
    int64_t limit = l->source.limit(l->source.context, b, number, used);
    return limit < b->limit ? limit : b->limit;
}

static enum result refuse(struct ledger *l, const struct ledger_ask *ask, uint32_t i,
                          enum ledger_refused kind, int64_t limit, int64_t used, int64_t need,
                          struct ledger_refusal *refusal)
{
    const struct ledger_budget *b = &ask->budgets[i];
    add_one(&l->refused[kind]);
    *refusal = (struct ledger_refusal){.kind = kind,
                                       .budget = i,
                                       .constraint = b->constraint,
                                       .limit = limit,
                                       .left = used < limit ? limit - used : 0,
                                       .need = need,
                                       .renews_us = window_end(b->window, ask->now_us)};
    return RESULT_LIMIT;
}

static void undo(struct ledger *l, struct ledger_ticket *t)
{
    for (uint32_t i = t->budget_count; i-- > 0;) {
        if (t->accounts[i] == ACCOUNTS_NONE)
            continue;
        accounts_add(l->accounts, t->accounts[i], -t->reserved[i]);
        accounts_unpin(l->accounts, t->accounts[i]);
    }
    t->budget_count = 0;
}

// Finds and pins the accounts, and looks whether they bear it: what will be refused anyway then takes nothing from
// anyone, not even for a moment.
static enum result look(struct ledger *l, const struct ledger_ask *ask, struct ledger_ticket *t,
                        uint64_t numbers[LEDGER_BUDGETS_MAX], struct ledger_refusal *refusal)
{
    for (uint32_t i = 0; i < ask->budget_count; i++) {
        const struct ledger_budget *b = &ask->budgets[i];
        int64_t need = need_of(ask, b);
        uint64_t number = numbers[i] = window_number(b->window, ask->now_us);
        t->accounts[i] = ACCOUNTS_NONE;
        t->reserved[i] = 0;
        t->limits[i] = b->limit;
        t->units[i] = (uint8_t)b->unit;
        t->windows[i] = (uint8_t)b->window;
        t->paced |= (uint16_t)(!b->hard << i);
        t->budget_count = i + 1;
        if (need < 0)
            return refuse(l, ask, i, LEDGER_UNBOUNDED, b->limit, 0, need, refusal);
        if (b->window == IMAGE_PER_REQUEST) {
            if (b->hard && need && need > b->limit)
                return refuse(l, ask, i, LEDGER_SPENT, b->limit, 0, need, refusal);
            continue;
        }
        uint32_t at = accounts_claim(l->accounts, b, number, ask->now_us);
        t->accounts[i] = at;
        if (at == ACCOUNTS_NONE) {
            if (b->hard)
                return refuse(l, ask, i, LEDGER_FULL, b->limit, b->limit, need, refusal);
            add_one(&l->passed_over);
            continue;
        }
        int64_t used = accounts_sum(l->accounts, at);
        t->limits[i] = limit_of(l, b, number, used);
        accounts_set(l->accounts, at, b);
        accounts_touch(l->accounts, at, ask->now_us);
        if (b->hard && need && (used > t->limits[i] || need > t->limits[i] - used))
            return refuse(l, ask, i, LEDGER_SPENT, t->limits[i], used, need, refusal);
    }
    return RESULT_OK;
}

static enum result take(struct ledger *l, const struct ledger_ask *ask, struct ledger_ticket *t,
                        struct ledger_refusal *refusal)
{
    for (uint32_t i = 0; i < ask->budget_count; i++) {
        const struct ledger_budget *b = &ask->budgets[i];
        uint32_t at = t->accounts[i];
        int64_t need = need_of(ask, b);
        if (at != ACCOUNTS_NONE) {
            if (!b->hard)
                accounts_add(l->accounts, at, need);
            else if (!accounts_take(l->accounts, at, need, t->limits[i]))
                return refuse(l, ask, i, LEDGER_SPENT, t->limits[i], accounts_sum(l->accounts, at),
                              need, refusal);
            t->reserved[i] = need;
        } else if (b->window == IMAGE_PER_REQUEST) {
            t->reserved[i] = need;
        }
    }
    return RESULT_OK;
}

// Into the journal: from then on the reservation outlives the process.
static enum result note(struct ledger *l, const struct ledger_ask *ask, struct ledger_ticket *t,
                        const uint64_t *numbers, struct ledger_refusal *refusal)
{
    t->id = atomic_fetch_add_explicit(&l->next_id, 1, memory_order_relaxed);
    t->slot = JOURNAL_NONE;
    if (!l->journal)
        return RESULT_OK;
    t->slot = journal_claim(l->journal);
    if (journal_is_low(l->journal))
        carrier_low(l->carrier);
    if (t->slot == JOURNAL_NONE) {
        add_one(&l->refused[LEDGER_BACKLOG]);
        *refusal = (struct ledger_refusal){.kind = LEDGER_BACKLOG, .constraint = IMAGE_NONE};
        return RESULT_LIMIT;
    }
    journal_reserve(l->journal, t->slot, ask, t, numbers);
    return RESULT_OK;
}

enum result ledger_reserve(struct ledger *l, const struct ledger_ask *ask, struct ledger_ticket *t,
                           struct ledger_refusal *refusal)
{
    assert(ask->budget_count <= LEDGER_BUDGETS_MAX);
    t->id = 0;
    t->budget_count = 0;
    t->paced = 0;
    uint64_t numbers[LEDGER_BUDGETS_MAX];
    enum result r = look(l, ask, t, numbers, refusal);
    if (!r)
        r = take(l, ask, t, refusal);
    if (!r)
        r = note(l, ask, t, numbers, refusal);
    if (r) {
        undo(l, t);
        t->id = 0;
        return r;
    }
    for (uint32_t i = 0; i < t->budget_count; i++)
        if (t->accounts[i] != ACCOUNTS_NONE && t->paced >> i & 1)
            accounts_count(l->accounts, t->accounts[i]);
    add_one(&l->reserved);
    return RESULT_OK;
}

// --- settling

// What is charged to a budget that had `reserved` for it.
static int64_t charge_of(struct ledger *l, int64_t took, int64_t reserved, bool hard)
{
    if (took < 0) {
        add_one(&l->unknown);
        return reserved;
    }
    if (hard && took > reserved)
        add_one(&l->over_bound);
    return took > LEDGER_AMOUNT_MAX ? LEDGER_AMOUNT_MAX : took;
}

void ledger_settle(struct ledger *l, struct ledger_ticket *t, const struct ledger_settled *s)
{
    if (!t->id)
        return;
    if (t->slot != JOURNAL_NONE)
        journal_settle(l->journal, t->slot, t->id, s);
    for (uint32_t i = 0; i < t->budget_count; i++) {
        uint32_t at = t->accounts[i];
        if (at == ACCOUNTS_NONE)
            continue;
        bool paced = t->paced >> i & 1;
        int64_t took = charge_of(l, s->took.of[t->units[i]], t->reserved[i], !paced);
        accounts_add(l->accounts, at, took - t->reserved[i]);
        if (paced)
            accounts_pace(l->accounts, at, took, s->took.of[IMAGE_UNIT_NUSD], t->limits[i],
                          s->now_us);
        accounts_touch(l->accounts, at, s->now_us);
        accounts_unpin(l->accounts, at);
    }
    t->id = 0;
    t->budget_count = 0;
    add_one(&l->settled);
    if (l->carrier)
        carrier_poke(l->carrier);
}

// --- looking

void ledger_budget_states(struct ledger *l, const struct ledger_budget *budgets, uint32_t count,
                          uint64_t now_us, struct budget_state *states)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct ledger_budget *b = &budgets[i];
        struct budget_state *s = &states[i];
        *s = (struct budget_state){.left = b->limit, .renews_us = window_end(b->window, now_us)};
        if (b->window == IMAGE_PER_REQUEST)
            continue;
        uint64_t number = window_number(b->window, now_us);
        uint32_t at = accounts_find(l->accounts, b->account, b->window, number);
        int64_t used = at == ACCOUNTS_NONE ? 0 : accounts_sum(l->accounts, at);
        int64_t limit = limit_of(l, b, number, used);
        s->left = used < limit ? limit - used : 0;
        if (at == ACCOUNTS_NONE)
            continue;
        if (!b->hard)
            s->price_nusd = accounts_price(l->accounts, at);
        accounts_unpin(l->accounts, at);
    }
}

int64_t ledger_used(struct ledger *l, const struct ledger_budget *b, uint64_t now_us)
{
    uint32_t at =
        accounts_find(l->accounts, b->account, b->window, window_number(b->window, now_us));
    if (at == ACCOUNTS_NONE)
        return 0;
    int64_t used = accounts_sum(l->accounts, at);
    accounts_unpin(l->accounts, at);
    return used;
}

static uint64_t read_of(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void ledger_stats(struct ledger *l, struct ledger_stats *out)
{
    *out = (struct ledger_stats){.settled = read_of(&l->settled),
                                 .reserved = read_of(&l->reserved),
                                 .over_bound = read_of(&l->over_bound),
                                 .unknown = read_of(&l->unknown),
                                 .passed_over = read_of(&l->passed_over),
                                 .accounts = accounts_size(l->accounts),
                                 .accounts_used = accounts_used(l->accounts)};
    for (int i = 0; i < LEDGER_REFUSED_COUNT_; i++)
        out->refused[i] = read_of(&l->refused[i]);
    out->open = out->reserved - out->settled;
    if (!l->journal)
        return;
    struct journal_counts jc;
    struct carrier_counts cc;
    journal_count(l->journal, &jc);
    carrier_count(l->carrier, &cc);
    out->recovered = l->recovered;
    out->damaged = journal_damaged(l->journal);
    out->backlog = jc.settled;
    out->slots = jc.slots;
    out->stored = cc.stored;
    out->store_failures = cc.failures;
    out->store_lag_us = cc.lag_us;
    out->storing = cc.storing;
}

bool ledger_flush(struct ledger *l, uint32_t timeout_ms)
{
    if (!l->journal)
        return true;
    struct journal_counts jc;
    struct carrier_counts cc;
    const struct timespec rest = {.tv_nsec = 500000};
    uint64_t stop = clock_mono_us(&clock_system) + timeout_ms * UINT64_C(1000);
    journal_count(l->journal, &jc);
    carrier_count(l->carrier, &cc);
    uint64_t target = cc.stored + jc.settled;
    while (jc.settled && cc.stored < target) {
        if (clock_mono_us(&clock_system) >= stop)
            return false;
        carrier_hurry(l->carrier);
        nanosleep(&rest, NULL);
        journal_count(l->journal, &jc);
        carrier_count(l->carrier, &cc);
    }
    return true;
}
