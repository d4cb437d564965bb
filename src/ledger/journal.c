#include "ledger/journal.h"

#include <string.h>

#include "ledger/journal_slot.h"

// Two multiply-and-fold lanes over 64-bit words: finds damage, not forgery.
uint64_t journal_sum(uint64_t seed, const void *words, size_t bytes)
{
    const char *p = words;
    uint64_t a = seed ^ 0x9e3779b97f4a7c15u, b = bytes + 0x2545f4914f6cdd1du;
    for (; bytes >= 16; p += 16, bytes -= 16) {
        uint64_t v[2];
        memcpy(v, p, sizeof v);
        a = (a ^ v[0]) * 0xff51afd7ed558ccdu;
        b = (b ^ v[1]) * 0xc4ceb9fe1a85ec53u;
        a ^= a >> 32;
        b ^= b >> 29;
    }
    if (bytes >= 8) {
        uint64_t v;
        memcpy(&v, p, sizeof v);
        a = (a ^ v) * 0xff51afd7ed558ccdu;
    }
    a = (a ^ b ^ (a >> 33)) * 0x94d049bb133111ebu;
    a ^= a >> 31;
    return a ? a : 1;
}

static uint64_t reserve_sum(const struct journal_slot *s)
{
    uint64_t sum = journal_sum(JOURNAL_VERSION, &s->reserve, sizeof s->reserve);
    return journal_sum(sum, s->body, s->reserve.body_len);
}

static uint64_t settle_sum(const struct journal_slot *s)
{
    return journal_sum(JOURNAL_VERSION, &s->settle, sizeof s->settle);
}

// --- slots

static uint32_t words_of(const struct journal_file *f)
{
    return f->slots / 64;
}

static uint32_t claim_in(struct journal_file *f)
{
    uint32_t words = words_of(f);
    uint32_t from = atomic_load_explicit(&f->hint, memory_order_relaxed);
    for (uint32_t n = 0; n < words; n++) {
        uint32_t w = from + n < words ? from + n : from + n - words;
        uint64_t bits = atomic_load_explicit(&f->free[w], memory_order_relaxed);
        while (bits) {
            uint64_t bit = bits & -bits;
            // Acquire: whoever freed it is done with it.
            bits = atomic_fetch_and_explicit(&f->free[w], ~bit, memory_order_acquire);
            if (bits & bit) {
                if (n)
                    atomic_store_explicit(&f->hint, w, memory_order_relaxed);
                return w * 64 + (uint32_t)__builtin_ctzll(bit);
            }
        }
    }
    return JOURNAL_NONE;
}

uint32_t journal_claim(struct journal *j)
{
    if (atomic_fetch_sub_explicit(&j->free, 1, memory_order_relaxed) <= 0) {
        atomic_fetch_add_explicit(&j->free, 1, memory_order_relaxed);
        return JOURNAL_NONE;
    }
    // One of the free slots is ours by count; it may be another one at each look.
    for (;;) {
        uint32_t count = atomic_load_explicit(&j->file_count, memory_order_acquire);
        for (uint32_t i = 0; i < count; i++) {
            struct journal_file *f = atomic_load_explicit(&j->files[i], memory_order_acquire);
            uint32_t place = f ? claim_in(f) : JOURNAL_NONE;
            if (place != JOURNAL_NONE)
                return i << SLOT_BITS | place;
        }
    }
}

void journal_free(struct journal *j, uint32_t slot)
{
    struct journal_file *f =
        atomic_load_explicit(&j->files[slot >> SLOT_BITS], memory_order_acquire);
    uint32_t place = slot & ((1u << SLOT_BITS) - 1), w = place / 64;
    uint64_t bit = UINT64_C(1) << place % 64;
    atomic_store_explicit(&journal_slot_at(j, slot)->state, SLOT_FREE, memory_order_relaxed);
    if (atomic_fetch_and_explicit(&f->done[w], ~bit, memory_order_relaxed) & bit)
        atomic_fetch_sub_explicit(&j->settled, 1, memory_order_relaxed);
    atomic_fetch_or_explicit(&f->free[w], bit, memory_order_release);
    // Low slots first: the pages in use stay few.
    if (w < atomic_load_explicit(&f->hint, memory_order_relaxed))
        atomic_store_explicit(&f->hint, w, memory_order_relaxed);
    atomic_fetch_add_explicit(&j->freed, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&j->free, 1, memory_order_release);
}

static uint32_t next_bit(struct journal *j, uint32_t *at, bool live)
{
    uint32_t count = atomic_load_explicit(&j->file_count, memory_order_acquire);
    for (uint32_t i = *at >> SLOT_BITS; i < count; i++, *at = i << SLOT_BITS) {
        struct journal_file *f = atomic_load_explicit(&j->files[i], memory_order_acquire);
        if (!f)
            continue;
        uint32_t place = *at & ((1u << SLOT_BITS) - 1);
        for (uint32_t w = place / 64; w < words_of(f); w++, place = w * 64) {
            uint64_t bits = live ? ~atomic_load_explicit(&f->free[w], memory_order_acquire)
                                 : atomic_load_explicit(&f->done[w], memory_order_acquire);
            bits &= ~UINT64_C(0) << place % 64;
            if (bits) {
                place = w * 64 + (uint32_t)__builtin_ctzll(bits);
                *at = (i << SLOT_BITS | place) + 1;
                return i << SLOT_BITS | place;
            }
        }
    }
    return JOURNAL_NONE;
}

uint32_t journal_next_live(struct journal *j, uint32_t *at)
{
    return next_bit(j, at, true);
}

uint32_t journal_next_settled(struct journal *j, uint32_t *at)
{
    return next_bit(j, at, false);
}

bool journal_is_low(const struct journal *j)
{
    return atomic_load_explicit(&j->free, memory_order_relaxed) * 4 <
           (int64_t)atomic_load_explicit(&j->total, memory_order_relaxed);
}

void journal_count(const struct journal *j, struct journal_counts *out)
{
    int64_t free = atomic_load_explicit(&j->free, memory_order_relaxed);
    *out =
        (struct journal_counts){.slots = atomic_load_explicit(&j->total, memory_order_relaxed),
                                .free = free > 0 ? (uint64_t)free : 0,
                                .settled = atomic_load_explicit(&j->settled, memory_order_relaxed)};
}

uint64_t journal_claims(const struct journal *j)
{
    int64_t free = atomic_load_explicit(&j->free, memory_order_relaxed);
    return atomic_load_explicit(&j->freed, memory_order_relaxed) +
           atomic_load_explicit(&j->total, memory_order_relaxed) - (uint64_t)(free > 0 ? free : 0);
}

uint64_t journal_damaged(const struct journal *j)
{
    return j->damaged;
}

uint64_t journal_last_id(const struct journal *j)
{
    return j->last_id;
}

enum result journal_grow(struct journal *j)
{
    uint32_t count = atomic_load_explicit(&j->file_count, memory_order_relaxed);
    for (uint32_t i = 0; i < j->file_max; i++)
        if (i >= count || !atomic_load_explicit(&j->files[i], memory_order_relaxed))
            return journal_file_add(j, i);
    return RESULT_LIMIT;
}

static struct journal_note *note_of(const struct journal *j)
{
    struct journal_file *f = atomic_load_explicit(&j->files[0], memory_order_acquire);
    return f ? (struct journal_note *)(void *)(f->map + JOURNAL_NOTE_AT) : NULL;
}

uint64_t journal_stored_id(const struct journal *j)
{
    struct journal_note *n = note_of(j);
    uint64_t id = n ? atomic_load_explicit(&n->stored_id, memory_order_relaxed) : 0;
    return n && atomic_load_explicit(&n->check, memory_order_relaxed) == ~id ? id : 0;
}

void journal_note_stored(struct journal *j, uint64_t id)
{
    struct journal_note *n = note_of(j);
    if (!n || id <= journal_stored_id(j))
        return;
    atomic_store_explicit(&n->stored_id, id, memory_order_relaxed);
    atomic_store_explicit(&n->check, ~id, memory_order_relaxed);
}

// --- writing

// Names share what room the draws leave. When they do not fit the longest are cut, all to the same length.
static size_t fit_names(const struct slice names[JOURNAL_NAMES], size_t room,
                        uint8_t lens[JOURNAL_NAMES], uint8_t *cut)
{
    for (size_t most = LEDGER_NAME_MAX;; most = most * 7 / 8) {
        size_t sum = 0;
        for (int i = 0; i < JOURNAL_NAMES; i++) {
            size_t n = names[i].len < most ? names[i].len : most;
            while (n < names[i].len && n && ((unsigned char)names[i].ptr[n] & 0xc0) == 0x80)
                n--; // not within a character
            lens[i] = (uint8_t)n;
            *cut |= n < names[i].len;
            sum += n;
        }
        if (sum <= room)
            return sum;
    }
}

void journal_reserve(struct journal *j, uint32_t slot, const struct ledger_ask *ask,
                     const struct ledger_ticket *t, const uint64_t *numbers)
{
    struct journal_slot *s = journal_slot_at(j, slot);
    const struct ledger_who *who = &ask->who;
    struct slot_reserve *r = &s->reserve;
    const struct slice names[JOURNAL_NAMES] = {who->key,     who->caller, who->team,  who->tenant,
                                               who->session, who->loop,   who->route, who->model,
                                               who->effort,  who->place};
    r->id = t->id;
    r->at_us = ask->now_us;
    memcpy(r->expected, ask->expected.of, sizeof r->expected);
    memcpy(r->bound, ask->bound.of, sizeof r->bound);
    r->attempt = who->attempt;
    r->cut = 0;
    memcpy(r->decision, who->decision, sizeof r->decision);
    if (who->policy)
        memcpy(r->policy, who->policy, sizeof r->policy);
    else
        memset(r->policy, 0, sizeof r->policy);
    memset(r->spare, 0, sizeof r->spare);
    char *to = s->body;
    r->draw_count = 0;
    for (uint32_t i = 0; i < t->budget_count; i++) {
        if (t->accounts[i] == UINT32_MAX) // a request's own budget, or passed over
            continue;
        r->draw_count++;
        uint64_t hard = !(t->paced >> i & 1);
        struct slot_draw d = {.account = ask->budgets[i].account,
                              .where = numbers[i] << 8 | hard << 7 | (uint64_t)t->windows[i] << 4 |
                                       t->units[i],
                              .amount = t->reserved[i]};
        memcpy(to, &d, sizeof d);
        to += sizeof d;
    }
    fit_names(names, (size_t)(s->body + sizeof s->body - to), r->name_lens, &r->cut);
    for (int i = 0; i < JOURNAL_NAMES; i++) {
        if (r->name_lens[i])
            memcpy(to, names[i].ptr, r->name_lens[i]);
        to += r->name_lens[i];
    }
    while ((to - s->body) % 8)
        *to++ = 0;
    r->body_len = (uint16_t)(to - s->body);
    s->reserve_sum = reserve_sum(s);
    atomic_store_explicit(&s->state, SLOT_RESERVED, memory_order_release);
}

static void mark_settled(struct journal *j, uint32_t slot)
{
    struct journal_file *f =
        atomic_load_explicit(&j->files[slot >> SLOT_BITS], memory_order_acquire);
    uint32_t place = slot & ((1u << SLOT_BITS) - 1);
    atomic_fetch_add_explicit(&j->settled, 1, memory_order_relaxed);
    atomic_fetch_or_explicit(&f->done[place / 64], UINT64_C(1) << place % 64, memory_order_release);
}

void journal_settle(struct journal *j, uint32_t slot, uint64_t id, const struct ledger_settled *s)
{
    struct journal_slot *at = journal_slot_at(j, slot);
    struct slot_settle *to = &at->settle;
    if (at->reserve.id != id) {
        // The file was cut, and nobody else has the slot: the store thread finds nothing in it, and frees it.
        mark_settled(j, slot);
        return;
    }
    size_t reason = s->reason ? strnlen(s->reason, sizeof to->reason) : 0;
    *to = (struct slot_settle){.id = id,
                               .at_us = s->now_us,
                               .input_tok = s->input_tok,
                               .cached_tok = s->cached_tok,
                               .output_tok = s->output_tok,
                               .end = (uint8_t)s->end,
                               .estimated = s->estimated,
                               .reason_len = (uint8_t)reason};
    memcpy(to->took, s->took.of, sizeof to->took);
    memcpy(to->baseline, s->baseline.of, sizeof to->baseline);
    if (reason)
        memcpy(to->reason, s->reason, reason);
    at->settle_sum = settle_sum(at);
    atomic_store_explicit(&at->state, SLOT_SETTLED, memory_order_release);
    mark_settled(j, slot);
}

// --- reading

// Bytes of a file: nothing is believed before it is checked.
bool journal_decode(const void *slot, struct journal_record *out)
{
    const struct journal_slot *s = slot;
    const struct slot_reserve *r = &s->reserve;
    const struct slot_settle *t = &s->settle;
    uint32_t state =
        atomic_load_explicit(&((struct journal_slot *)(uintptr_t)s)->state, memory_order_acquire);
    if (state != SLOT_RESERVED && state != SLOT_SETTLED)
        return false;
    size_t need = r->draw_count * sizeof(struct slot_draw);
    for (int i = 0; i < JOURNAL_NAMES; i++)
        need += r->name_lens[i];
    if (r->draw_count > LEDGER_BUDGETS_MAX || r->body_len > sizeof s->body || r->body_len % 8 ||
        need > r->body_len || !r->id || r->id > INT64_MAX || s->reserve_sum != reserve_sum(s))
        return false;
    *out = (struct journal_record){.id = r->id,
                                   .at_us = r->at_us,
                                   .attempt = r->attempt,
                                   .cut = r->cut,
                                   .draw_count = r->draw_count};
    memcpy(out->expected.of, r->expected, sizeof r->expected);
    memcpy(out->bound.of, r->bound, sizeof r->bound);
    out->decision = slice_make(r->decision, strnlen(r->decision, sizeof r->decision));
    memcpy(out->policy, r->policy, sizeof r->policy);
    const char *at = s->body;
    for (uint32_t i = 0; i < r->draw_count; i++, at += sizeof(struct slot_draw)) {
        struct slot_draw d;
        memcpy(&d, at, sizeof d);
        uint64_t window = d.where >> 4 & 7, unit = d.where & 15;
        if (window > IMAGE_PER_LIFE || unit >= LEDGER_UNITS || d.amount < 0 ||
            d.amount > LEDGER_AMOUNT_MAX)
            return false;
        out->draws[i] = (struct journal_draw){.account = d.account,
                                              .number = d.where >> 8,
                                              .window = (enum image_window)window,
                                              .unit = (enum image_unit)unit,
                                              .hard = d.where >> 7 & 1,
                                              .amount = d.amount};
    }
    for (int i = 0; i < JOURNAL_NAMES; at += r->name_lens[i++])
        out->names[i] = slice_make(at, r->name_lens[i]);
    // A second half that is not whole was never told to anyone: the attempt counts as open.
    if (state != SLOT_SETTLED || t->id != r->id || s->settle_sum != settle_sum(s) ||
        t->end >= LEDGER_END_COUNT_ || t->reason_len > sizeof t->reason)
        return true;
    out->settled = true;
    out->end_us = t->at_us;
    memcpy(out->took.of, t->took, sizeof t->took);
    memcpy(out->baseline.of, t->baseline, sizeof t->baseline);
    out->input_tok = t->input_tok;
    out->cached_tok = t->cached_tok;
    out->output_tok = t->output_tok;
    out->end = (enum ledger_end)t->end;
    out->estimated = t->estimated;
    out->reason = slice_make(t->reason, t->reason_len);
    return true;
}

bool journal_read(const struct journal *j, uint32_t slot, struct journal_record *out)
{
    return journal_decode(journal_slot_at(j, slot), out);
}

int64_t journal_charge(const struct journal_record *r, const struct journal_draw *d)
{
    int64_t took = r->settled ? r->took.of[d->unit] : -1;
    if (took < 0)
        return d->amount;
    return took > LEDGER_AMOUNT_MAX ? LEDGER_AMOUNT_MAX : took;
}

void journal_settle_open(struct journal *j, uint32_t slot, uint64_t now_us)
{
    struct journal_record r;
    if (!journal_read(j, slot, &r) || r.settled)
        return; // it was cut since it was looked at
    struct ledger_settled s = {
        .now_us = now_us, .end = LEDGER_UNCONFIRMED, .estimated = true, .reason = "unconfirmed"};
    for (int i = 0; i < LEDGER_UNITS; i++) {
        s.took.of[i] = r.bound.of[i] >= 0 ? r.bound.of[i] : r.expected.of[i];
        s.baseline.of[i] = -1;
    }
    // What a draw reserved is what its account is charged, whatever the unit's bound says.
    for (uint32_t i = 0; i < r.draw_count; i++)
        s.took.of[r.draws[i].unit] = r.draws[i].amount;
    journal_settle(j, slot, r.id, &s);
}
