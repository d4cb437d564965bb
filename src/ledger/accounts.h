// The accounts in memory: a fixed table, one entry per account and window.
//
// A window that begins is a new entry, so that nothing is ever set back: a ticket of the old window settles there.
// Looking up, drawing and settling take no lock: an entry is found by its key, pinned by a count of its tickets, and its
// sum moves by compare-and-swap. The first use of an account in a window claims an entry; those who claim within the same
// region of the table meanwhile wait for the few hundred ns that this takes.
//
// An entry whose window is over, or that was idle for its life, and that no ticket pins, may be claimed by another account
// when the table has no fresh one nearby. When there is none at all the session or loop that was idle longest and has no
// ticket makes room: clients name those, and who invents names must not shut out others. Accounts of windows are never
// pushed out, since what they have spent would be forgotten; when they fill the table claiming fails.
#ifndef MERIT_LEDGER_ACCOUNTS_H
#define MERIT_LEDGER_ACCOUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/hash.h"
#include "base/result.h"
#include "ledger/ledger.h"
#include "ledger/pacer.h"

enum {
    ACCOUNTS_NONE = UINT32_MAX,
    ACCOUNTS_MAX = 1 << 22,
    ACCOUNTS_REGION = 1024, // entries among which a key is looked for
};
// Sums are held at this; only paced accounts and absurd amounts get there.
#define ACCOUNTS_SUM_MAX (INT64_C(1) << 62)

struct accounts;

// RESULT_NOMEM, RESULT_LIMIT above ACCOUNTS_MAX. `count` is rounded up to a power of two, at least a region.
enum result accounts_open(struct accounts **out, uint32_t count, struct hash_key seed,
                          uint64_t life_idle_us) MERIT_NODISCARD;
void accounts_close(struct accounts *a);
uint32_t accounts_size(const struct accounts *a);
uint32_t accounts_used(const struct accounts *a); // entries ever claimed, expired ones included

// Everything below: any thread. An index is good while it is pinned.

// The entry of `b` in window `number`, pinned, or ACCOUNTS_NONE.
uint32_t accounts_find(struct accounts *a, uint64_t account, enum image_window w, uint64_t number);
// The same, claimed when there is none; ACCOUNTS_NONE: the table is full. A new entry takes over the pacer of the window
// before.
uint32_t accounts_claim(struct accounts *a, const struct ledger_budget *b, uint64_t number,
                        uint64_t now_us);
void accounts_unpin(struct accounts *a, uint32_t at);
// It was drawn on: an account of a life lives on.
void accounts_touch(struct accounts *a, uint32_t at, uint64_t now_us);

// Settled and reserved.
int64_t accounts_sum(const struct accounts *a, uint32_t at);
// Adds `amount` unless the sum would exceed `limit`; an amount of 0 always fits.
bool accounts_take(struct accounts *a, uint32_t at, int64_t amount, int64_t limit);
// Adds whatever that makes it; the sum stays within 0 and ACCOUNTS_SUM_MAX.
void accounts_add(struct accounts *a, uint32_t at, int64_t delta);

// One more attempt; after it was settled, its cost moves the pacer.
void accounts_count(struct accounts *a, uint32_t at);
void accounts_pace(struct accounts *a, uint32_t at, int64_t took, int64_t nusd, int64_t limit,
                   uint64_t now_us);
double accounts_price(const struct accounts *a, uint32_t at);

// What an earlier process knew of its pace.
void accounts_resume(struct accounts *a, uint32_t at, uint32_t count, struct pacer p);

// What is kept of an account beside its sum, for the store.
struct accounts_about {
    uint64_t account, number;
    enum image_window window;
    enum image_unit unit;
    bool hard, invented;
    int64_t limit; // of the last ask
    uint32_t count;
    struct pacer pacer;
    uint8_t name_len, holder_len;
    char name[LEDGER_LABEL_MAX], holder[LEDGER_LABEL_MAX];
};
// A pinned entry's.
void accounts_about(const struct accounts *a, uint32_t at, struct accounts_about *out);
// What the ask says of it now.
void accounts_set(struct accounts *a, uint32_t at, const struct ledger_budget *b);

#endif
