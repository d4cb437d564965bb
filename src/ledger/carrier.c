#include "ledger/carrier.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "ledger/store.h"
#include "ledger/window.h"

enum { IDLE, GATHERING, HURRIED };
enum { CARRIER_MEASURE_US = 250000 };
// Sums of one transaction: open addressing, at most 3/4 full.
enum { SUMS = 16384, SUMS_MAX = SUMS / 4 * 3 };

struct sum {
    struct store_account a; // number etc.; `used` is the difference
    bool taken;
};

struct carrier {
    _Atomic uint32_t state;
    atomic_bool closing, low;
    struct carrier_options o;
    char path[PATH_MAX];
    struct store *store;
    struct store *orphan; // open, but its file has lost its name; nothing is written to it any more
    char saved[PATH_MAX + 32]; // what was in it; empty: not yet
    pthread_t thread;
    bool started, loaded, failing, growth_failed;
    uint32_t retry_ms;
    uint64_t retry_at_us, grow_at_us, forget_at_us; // mono
    uint64_t keep_at_us, steady_us, ahead_us;       // mono; the wall's lead before it
    uint64_t claims, claims_at_us, rate;            // of the journal, seen at; a second
    uint64_t summed;                                // rows of this round
    uint64_t last_id, batch_id; // the largest ticket of the store at the start; of the batch
    uint32_t lost;              // slots of the batch that hold nothing
    bool behind;                // it was told that rows are missing
    uint32_t slots[CARRIER_BATCH];
    struct sum *sums;
    uint32_t sum_at[SUMS_MAX], sum_count; // places that are taken
    uint32_t doubted; // of `slots`: their commit failed, and may have come through all the same
    _Atomic uint64_t stored, failures, lag_us;
    atomic_bool storing;
};

static void futex_wait(_Atomic uint32_t *word, uint32_t value, const struct timespec *limit)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, limit, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void carrier_poke(struct carrier *c)
{
    uint32_t state = atomic_load(&c->state);
    if (state == IDLE && atomic_compare_exchange_strong(&c->state, &state, GATHERING))
        futex_wake(&c->state);
}

void carrier_low(struct carrier *c)
{
    if (!atomic_load_explicit(&c->low, memory_order_relaxed) && !atomic_exchange(&c->low, true))
        carrier_hurry(c);
}

void carrier_hurry(struct carrier *c)
{
    if (atomic_exchange(&c->state, HURRIED) != HURRIED)
        futex_wake(&c->state);
}

static void tell(struct carrier *c, const char *code, bool trouble, const char *fmt, ...)
    MERIT_PRINTF(4, 5);
static void tell(struct carrier *c, const char *code, bool trouble, const char *fmt, ...)
{
    char text[512];
    va_list args;
    if (!c->o.event)
        return;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    struct ledger_event e = {code, trouble, slice_make(text, len)};
    c->o.event(c->o.context, &e);
}

// --- trouble

static void store_failed(struct carrier *c, const char *words)
{
    atomic_fetch_add_explicit(&c->failures, 1, memory_order_relaxed);
    atomic_store_explicit(&c->storing, false, memory_order_relaxed);
    // One who looks into the store by hand may lock it for a moment.
    bool again = c->retry_ms != 0 || !c->started || strncmp(words, "locked", 6) != 0;
    if (!c->failing && again)
        tell(c, "ledger-store-failed", true,
             "the ledger's store %s cannot be written (%s); attempts are kept in the journal and "
             "the store is tried again",
             c->path, words);
    c->failing |= again;
    c->retry_ms = c->retry_ms ? c->retry_ms * 2 : CARRIER_RETRY_MS;
    if (c->retry_ms > CARRIER_RETRY_MAX_MS)
        c->retry_ms = CARRIER_RETRY_MAX_MS;
    c->retry_at_us = clock_mono_us(&clock_system) + c->retry_ms * UINT64_C(1000);
    store_close(c->store);
    c->store = NULL;
}

static void store_works(struct carrier *c)
{
    if (c->failing)
        tell(c, "ledger-store-works", false, "the ledger's store %s is written again", c->path);
    c->failing = false;
    c->retry_ms = 0;
    atomic_store_explicit(&c->storing, true, memory_order_relaxed);
}

static void batch_failed(struct carrier *c)
{
    struct buf words;
    char text[256];
    buf_init(&words, sizeof text / 2);
    store_rollback(c->store);
    const char *kind = store_problem(c->store, &words);
    snprintf(text, sizeof text, "%s: %.*s", kind, SLICE_FMT(buf_slice(&words)));
    buf_deinit(&words);
    store_failed(c, text);
}

// --- accounts

static uint64_t expiry(const struct carrier *c, enum image_window w, uint64_t number,
                       uint64_t end_us)
{
    return w == IMAGE_PER_LIFE ? end_us + c->o.life_idle_us : window_begin(w, number + 1);
}

static void load_one(void *context, const struct store_account *a)
{
    struct carrier *c = context;
    struct ledger_budget b = {.account = a->account,
                              .unit = a->unit,
                              .window = a->window,
                              .hard = a->hard,
                              .invented = a->invented,
                              .limit = a->limit,
                              .name = a->name,
                              .holder = a->holder};
    uint64_t born_us = a->window == IMAGE_PER_LIFE && a->expires_us > c->o.life_idle_us
                           ? a->expires_us - c->o.life_idle_us
                           : c->o.now_us;
    uint32_t at = accounts_claim(c->o.accounts, &b, a->number, born_us);
    if (at == ACCOUNTS_NONE)
        return; // a hard budget is refused then, until there is room
    accounts_add(c->o.accounts, at, a->used);
    accounts_resume(c->o.accounts, at, a->count, a->pacer);
    accounts_unpin(c->o.accounts, at);
}

static void load_none(void *context, const struct store_account *a)
{
    (void)context;
    (void)a;
}

static void charge_back(struct carrier *c, const struct journal_record *r)
{
    for (uint32_t i = 0; i < r->draw_count; i++) {
        const struct journal_draw *d = &r->draws[i];
        uint32_t at = accounts_find(c->o.accounts, d->account, d->window, d->number);
        if (at == ACCOUNTS_NONE)
            continue;
        accounts_add(c->o.accounts, at, -journal_charge(r, d));
        accounts_unpin(c->o.accounts, at);
    }
}

static int by_ticket(const void *a, const void *b)
{
    uint64_t x = ((const struct store_known *)a)->id, y = ((const struct store_known *)b)->id;
    return (x > y) - (x < y);
}

static enum result find_stored(struct carrier *c, struct store_known *known, size_t count)
{
    if (count)
        qsort(known, count, sizeof *known, by_ticket);
    return store_find(c->store, known, count);
}

// Frees the slots whose rows are in the store. `charged`: their accounts have them from the store, too.
static void drop_stored(struct carrier *c, const struct store_known *known, size_t count,
                        bool charged)
{
    struct journal_record record;
    for (size_t i = 0; i < count; i++) {
        if (!known[i].there || !journal_read(c->o.journal, known[i].slot, &record))
            continue;
        if (charged)
            charge_back(c, &record);
        journal_free(c->o.journal, known[i].slot);
        atomic_fetch_add_explicit(&c->stored, 1, memory_order_relaxed);
    }
}

static enum result drop_doubted(struct carrier *c)
{
    struct journal_record record;
    size_t n = 0;
    if (!c->doubted)
        return RESULT_OK;
    struct store_known *known = alloc_zeroed(c->doubted, sizeof *known);
    if (!known)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < c->doubted; i++)
        if (journal_read(c->o.journal, c->slots[i], &record) && record.settled)
            known[n++] = (struct store_known){.id = record.id, .slot = c->slots[i]};
    enum result r = find_stored(c, known, n);
    if (!r) {
        drop_stored(c, known, n, false);
        c->doubted = 0;
    }
    alloc_free(known);
    return r;
}

// The store's sums are added to the accounts once. Recovered tickets whose rows had been committed before the process
// died are in those sums: they are not counted again, and their slots are free.
static enum result load(struct carrier *c)
{
    struct journal_counts counts;
    struct journal_record record;
    uint32_t at = 0, slot;
    size_t n = 0;
    journal_count(c->o.journal, &counts);
    struct store_known *known = alloc_zeroed(counts.settled + 1, sizeof *known);
    if (!known)
        return RESULT_NOMEM;
    while (n < counts.settled && (slot = journal_next_settled(c->o.journal, &at)) != JOURNAL_NONE)
        if (journal_read(c->o.journal, slot, &record) && record.id < c->o.first_id)
            known[n++] = (struct store_known){.id = record.id, .slot = slot};
    enum result r = find_stored(c, known, n);
    // One that breaks off would be added again at the next try: it is read to its end first.
    if (!r)
        r = store_load(c->store, c->o.now_us, load_none, c);
    if (!r)
        r = store_load(c->store, c->o.now_us, load_one, c);
    if (!r) {
        c->loaded = true;
        drop_stored(c, known, n, true);
    }
    alloc_free(known);
    return r;
}

// --- a store that lost its name

// Looks whether the store's file is where it was opened. False: it is to be put back first.
static bool in_place(struct carrier *c)
{
    if (!c->store)
        return !c->orphan;
    enum store_place place = store_place(c->store);
    if (place == STORE_IN_PLACE)
        return true;
    tell(c, "ledger-store-gone", true,
         "the ledger's store %s %s while it was open; attempts are kept in the journal until what "
         "was in it is written again",
         c->path, place == STORE_DELETED ? "was deleted or moved" : "was replaced by another file");
    c->orphan = c->store;
    c->store = NULL;
    c->saved[0] = 0;
    c->retry_at_us = 0;
    return false;
}

static enum result save_orphan(struct carrier *c, struct buf *why)
{
    snprintf(c->saved, sizeof c->saved, "%s.saved-%" PRIu64, c->path,
             clock_wall_us(&clock_system) / 1000);
    if (!store_save(c->orphan, c->saved))
        return RESULT_OK;
    struct buf words;
    buf_init(&words, 256);
    const char *kind = store_problem(c->orphan, &words);
    buf_printf(why, "%s: what was in it cannot be written again: %.*s", kind,
               SLICE_FMT(buf_slice(&words)));
    buf_deinit(&words);
    c->saved[0] = 0;
    return RESULT_IO;
}

static enum result put_back(struct carrier *c, struct buf *why)
{
    char room[FILE_ERROR_BYTES];
    bool there = store_place(c->orphan) == STORE_IN_PLACE; // given its name back
    enum result r = there || c->saved[0] ? RESULT_OK : save_orphan(c, why);
    if (r)
        return r;
    r = there ? RESULT_OK : store_put_back(c->orphan, c->saved);
    if (r) {
        buf_printf(why, "%s; what was in the store is in %s",
                   r == RESULT_EXISTS ? "another file stands in its place"
                                      : file_error(errno, room),
                   c->saved);
        return RESULT_IO;
    }
    if (there && c->saved[0])
        unlink(c->saved);
    store_close(c->orphan);
    c->orphan = NULL;
    return RESULT_OK;
}

static enum result open_store(struct carrier *c, struct buf *why)
{
    bool lost = c->orphan != NULL;
    if (lost && put_back(c, why))
        return RESULT_IO;
    enum result r = store_open(&c->store, c->path, why);
    if (r)
        return r;
    if (lost)
        tell(c, "ledger-store-put-back", false, "what was in the ledger's store is in %s again",
             c->path);
    c->last_id = store_last_id(c->store);
    uint64_t noted = journal_stored_id(c->o.journal);
    if (noted > c->last_id && !c->behind) {
        c->behind = true;
        tell(c, "ledger-store-behind", true,
             "the ledger's store %s lacks rows that were in it: it knows tickets up to %" PRIu64
             ", %" PRIu64 " was stored; was it cut, or put back from a copy? Budgets count from "
             "what it knows",
             c->path, c->last_id, noted);
    }
    if (store_converted(c->store))
        tell(c, "ledger-store-converted", false,
             "the ledger's store %s was of an earlier version; rows that were converted: %" PRIu64,
             c->path, store_converted(c->store));
    if (c->loaded ? drop_doubted(c) : load(c)) {
        struct buf words;
        buf_init(&words, 256);
        const char *kind = store_problem(c->store, &words);
        buf_printf(why, "%s: %.*s", kind, SLICE_FMT(buf_slice(&words)));
        buf_deinit(&words);
        store_close(c->store);
        c->store = NULL;
        return RESULT_IO;
    }
    return RESULT_OK;
}

// --- a batch

static struct sum *sum_of(struct carrier *c, const struct journal_draw *d)
{
    uint64_t h = (d->account ^ (d->number + (uint64_t)d->window * 0x9e3779b97f4a7c15u)) *
                 0xff51afd7ed558ccdu;
    for (uint32_t i = (uint32_t)(h >> 40) % SUMS;; i = (i + 1) % SUMS) {
        struct sum *s = &c->sums[i];
        if (s->taken && s->a.account == d->account && s->a.number == d->number &&
            s->a.window == d->window)
            return s;
        if (s->taken)
            continue;
        *s = (struct sum){.taken = true,
                          .a = {.account = d->account,
                                .number = d->number,
                                .window = d->window,
                                .unit = d->unit,
                                .hard = d->hard,
                                .limit = -1}};
        c->sum_at[c->sum_count++] = i;
        return s;
    }
}

static enum result write_sums(struct carrier *c)
{
    enum result r = RESULT_OK;
    struct accounts_about about;
    for (uint32_t i = 0; i < c->sum_count && !r; i++) {
        struct sum *s = &c->sums[c->sum_at[i]];
        uint32_t at = accounts_find(c->o.accounts, s->a.account, s->a.window, s->a.number);
        if (at != ACCOUNTS_NONE) {
            accounts_about(c->o.accounts, at, &about);
            s->a.limit = about.limit;
            s->a.invented = about.invented;
            s->a.name = slice_make(about.name, about.name_len);
            s->a.holder = slice_make(about.holder, about.holder_len);
            s->a.count = about.count;
            s->a.pacer = about.pacer;
        }
        r = store_add(c->store, &s->a);
        if (at != ACCOUNTS_NONE)
            accounts_unpin(c->o.accounts, at);
    }
    return r;
}

static void drop_sums(struct carrier *c)
{
    for (uint32_t i = 0; i < c->sum_count; i++)
        c->sums[c->sum_at[i]].taken = false;
    c->sum_count = 0;
}

static enum result put_slot(struct carrier *c, uint32_t slot, uint64_t *oldest_us)
{
    struct journal_record r;
    if (!journal_read(c->o.journal, slot, &r) || !r.settled) {
        c->lost++;
        return RESULT_OK;
    }
    enum result result = store_put(c->store, &r);
    if (result)
        return result;
    if (r.id > c->batch_id)
        c->batch_id = r.id;
    if (r.end_us < *oldest_us)
        *oldest_us = r.end_us;
    for (uint32_t i = 0; i < r.draw_count; i++) {
        struct sum *s = sum_of(c, &r.draws[i]);
        s->a.used += journal_charge(&r, &r.draws[i]);
        uint64_t expires = expiry(c, s->a.window, s->a.number, r.end_us);
        if (expires > s->a.expires_us)
            s->a.expires_us = expires;
    }
    if (c->sum_count > SUMS_MAX - LEDGER_BUDGETS_MAX) {
        result = write_sums(c);
        drop_sums(c);
    }
    return result;
}

// One transaction. False when nothing was settled or it failed.
static bool carry(struct carrier *c)
{
    uint32_t at = 0, count = 0, slot;
    uint64_t oldest_us = UINT64_MAX;
    enum result r = RESULT_OK;
    bool began = false;
    while (count < CARRIER_BATCH &&
           (slot = journal_next_settled(c->o.journal, &at)) != JOURNAL_NONE) {
        if (!began)
            r = store_begin(c->store);
        began = true;
        if (!r)
            r = put_slot(c, slot, &oldest_us);
        if (r)
            break;
        c->slots[count++] = slot;
    }
    if (!began)
        return false;
    if (c->lost)
        tell(c, "ledger-journal-damaged", true,
             "slots of the ledger's journal were cut away or overwritten by something else; "
             "attempts that are lost: %u",
             c->lost);
    c->lost = 0;
    if (!r)
        r = write_sums(c);
    drop_sums(c);
    if (!r && (r = store_commit(c->store)))
        c->doubted = count;
    if (r) {
        batch_failed(c);
        return false;
    }
    journal_note_stored(c->o.journal, c->batch_id);
    for (uint32_t i = 0; i < count; i++)
        journal_free(c->o.journal, c->slots[i]);
    uint64_t now = clock_wall_us(&clock_system);
    atomic_store_explicit(&c->lag_us, now > oldest_us ? now - oldest_us : 0, memory_order_relaxed);
    atomic_fetch_add(&c->stored, count);
    store_works(c);
    return true;
}

static void forget(struct carrier *c, uint64_t mono_us)
{
    uint64_t wall = clock_wall_us(&clock_system);
    if (!c->store || mono_us < c->forget_at_us || wall < CARRIER_KEEP_US)
        return;
    c->forget_at_us = mono_us + CARRIER_FORGET_US;
    if (store_forget(c->store, wall - CARRIER_KEEP_US))
        batch_failed(c);
}

// --- keeping less

// Whether the wall clock goes by itself as the monotonic one does: what it says about age is to be believed then.
static bool is_steady(struct carrier *c, uint64_t mono_us, uint64_t wall_us)
{
    uint64_t ahead = wall_us - mono_us;
    int64_t leap = (int64_t)(ahead - c->ahead_us);
    c->ahead_us = ahead;
    if ((leap < 0 ? -leap : leap) > (int64_t)CARRIER_STEADY_US)
        c->steady_us = mono_us;
    return mono_us - c->steady_us >= CARRIER_STEADY_US;
}

// One block of rows that are old enough becomes sums. The next one follows after the next commit, or in an hour.
static void keep_less(struct carrier *c)
{
    uint64_t mono = clock_mono_us(c->o.clock), wall = clock_wall_us(c->o.clock), gone = 0;
    const uint64_t day = UINT64_C(86400) * 1000000;
    if (!c->o.keep_days || !c->store || !c->loaded || mono < c->keep_at_us)
        return;
    c->keep_at_us = mono + CARRIER_STEADY_US / 60;
    if (!is_steady(c, mono, wall) || wall / day < c->o.keep_days)
        return;
    uint64_t before = (wall / day - c->o.keep_days) * day;
    if (store_keep(c->store, before, &gone)) {
        batch_failed(c);
        return;
    }
    c->summed += gone;
    if (gone) {
        c->keep_at_us = mono;
        return;
    }
    if (c->summed)
        tell(c, "ledger-rows-summed", false,
             "rows that were kept for %u days are sums of days now: %" PRIu64, c->o.keep_days,
             c->summed);
    c->summed = 0;
    c->keep_at_us = mono + CARRIER_STEADY_US;
}

// Slots that are taken in a second: up at once, down slowly.
static void measure(struct carrier *c, uint64_t mono)
{
    uint64_t claims = journal_claims(c->o.journal), past = mono - c->claims_at_us;
    if (past < CARRIER_MEASURE_US)
        return;
    uint64_t taken = claims > c->claims && c->claims_at_us ? claims - c->claims : 0;
    uint64_t rate = taken * 1000000 / past;
    c->rate = rate > c->rate ? rate : c->rate - (c->rate - rate) / 16;
    c->claims = claims;
    c->claims_at_us = mono;
}

// This thread may stand still for a while, and those who reserve do not wait for it. That there is no room for so many
// is nobody's trouble yet.
static void grow_ahead(struct carrier *c, uint64_t mono)
{
    struct journal_counts counts;
    measure(c, mono);
    journal_count(c->o.journal, &counts);
    if (counts.free >= c->rate * CARRIER_STALL_US / 1000000 || mono < c->grow_at_us)
        return;
    if (journal_grow(c->o.journal))
        c->grow_at_us = mono + CARRIER_RETRY_MS * UINT64_C(1000);
}

static void grow_if_low(struct carrier *c)
{
    uint64_t mono = clock_mono_us(&clock_system);
    char room[FILE_ERROR_BYTES];
    if (!journal_is_low(c->o.journal)) {
        atomic_store(&c->low, false);
        grow_ahead(c, mono);
        return;
    }
    if (mono < c->grow_at_us)
        return;
    enum result r = RESULT_OK;
    while (!r && journal_is_low(c->o.journal))
        r = journal_grow(c->o.journal);
    if (!r) {
        c->growth_failed = false;
        atomic_store(&c->low, false);
        return;
    }
    int error = errno;
    c->grow_at_us = mono + CARRIER_RETRY_MS * UINT64_C(1000);
    if (c->growth_failed)
        return;
    c->growth_failed = true;
    tell(c, "ledger-journal-full", true,
         "the ledger's journal cannot grow: %s; when its last slots are taken, requests are "
         "refused until the store is written again",
         r == RESULT_LIMIT ? "it is at its limit (ledger.backlog)"
         : r == RESULT_IO  ? file_error(error, room)
                           : "no memory");
}

// Everything that is settled now. False when the store does not work.
static bool carry_all(struct carrier *c)
{
    journal_mend(c->o.journal);
    bool whole = in_place(c);
    struct journal_counts counts;
    uint64_t mono = clock_mono_us(&clock_system);
    bool closing = atomic_load(&c->closing);
    journal_count(c->o.journal, &counts);
    if (!counts.settled && whole)
        return true;
    if (!c->store) {
        if (mono < c->retry_at_us && !closing)
            return false;
        struct buf why;
        buf_init(&why, 512);
        if (open_store(c, &why)) {
            char text[512];
            snprintf(text, sizeof text, "%.*s", SLICE_FMT(buf_slice(&why)));
            store_failed(c, text);
            buf_deinit(&why);
            return false;
        }
        buf_deinit(&why);
    }
    while (in_place(c) && carry(c))
        grow_if_low(c);
    forget(c, mono);
    return c->store != NULL;
}

static void *run(void *arg)
{
    struct carrier *c = arg;
    const struct timespec gather = {(time_t)(c->o.commit_ms / 1000),
                                    (long)(c->o.commit_ms % 1000) * 1000000};
    const struct timespec second = {.tv_sec = 1};
    struct journal_counts counts;
    for (;;) {
        bool closing = atomic_load(&c->closing);
        grow_if_low(c);
        bool works = carry_all(c);
        if (works && !closing)
            keep_less(c);
        journal_count(c->o.journal, &counts);
        if (closing && (!counts.settled || !works))
            return NULL;
        if (!counts.settled && !journal_is_low(c->o.journal)) {
            // Whoever settles after this look finds the state idle and wakes.
            atomic_store(&c->state, IDLE);
            journal_count(c->o.journal, &counts);
            bool summing = c->summed && c->store;
            if (!counts.settled && !atomic_load(&c->closing))
                futex_wait(&c->state, IDLE, summing ? &gather : &second);
            uint32_t idle = IDLE;
            atomic_compare_exchange_strong(&c->state, &idle, GATHERING);
        } else {
            atomic_store(&c->state, GATHERING);
        }
        if (!atomic_load(&c->closing))
            futex_wait(&c->state, GATHERING, &gather);
    }
}

static enum result start(struct carrier *c)
{
    sigset_t all, old;
    sigfillset(&all);
    sigdelset(&all, SIGBUS); // blocked, it would end the process: see journal_guard.c
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = pthread_create(&c->thread, NULL, run, c);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (error)
        return RESULT_NOMEM;
    pthread_setname_np(c->thread, "merit-ledger");
    c->started = true;
    return RESULT_OK;
}

enum result carrier_open(struct carrier **out, const struct carrier_options *o, struct buf *why)
{
    enum result r = RESULT_NOMEM;
    struct buf words;
    buf_init(&words, 512);
    struct carrier *c = alloc_zeroed(1, sizeof *c);
    if (c)
        c->sums = alloc_zeroed(SUMS, sizeof *c->sums);
    if (!c || !c->sums) {
        buf_cstr(why, "no memory for the ledger's store");
        goto out;
    }
    c->o = *o;
    c->steady_us = clock_mono_us(o->clock);
    c->ahead_us = clock_wall_us(o->clock) - c->steady_us;
    int n = snprintf(c->path, sizeof c->path, "%s/" STORE_FILE, o->directory);
    if (n < 0 || (size_t)n >= sizeof c->path) {
        buf_cstr(why, "the path of the ledger's store is too long");
        r = RESULT_LIMIT;
        goto out;
    }
    r = open_store(c, &words);
    if (r == RESULT_VERSION) {
        buf_printf(why, "the ledger's store %s: %.*s", c->path, SLICE_FMT(buf_slice(&words)));
        goto out;
    }
    if (r) {
        char text[512];
        snprintf(text, sizeof text, "%.*s", SLICE_FMT(buf_slice(&words)));
        store_failed(c, text);
    } else {
        store_works(c);
    }
    *out = c;
    r = RESULT_OK;
out:
    buf_deinit(&words);
    if (r)
        carrier_close(c);
    return r;
}

enum result carrier_start(struct carrier *c, struct buf *why)
{
    enum result r = start(c);
    if (r)
        buf_cstr(why, "no thread for the ledger's store");
    return r;
}

void carrier_close(struct carrier *c)
{
    if (!c)
        return;
    if (c->started) {
        atomic_store(&c->closing, true);
        carrier_hurry(c);
        pthread_join(c->thread, NULL);
    }
    store_close(c->store);
    store_close(c->orphan);
    alloc_free(c->sums);
    alloc_free(c);
}

uint64_t carrier_last_id(const struct carrier *c)
{
    return c->last_id;
}

void carrier_count(const struct carrier *c, struct carrier_counts *out)
{
    *out = (struct carrier_counts){
        .stored = atomic_load(&c->stored),
        .failures = atomic_load_explicit(&c->failures, memory_order_relaxed),
        .lag_us = atomic_load_explicit(&c->lag_us, memory_order_relaxed),
        .storing = atomic_load_explicit(&c->storing, memory_order_relaxed)};
}
