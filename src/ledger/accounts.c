#include "ledger/accounts.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "ledger/window.h"

// KEY_NONE was never used and ends a search; KEY_MOVING is between two owners.
enum { KEY_NONE = 0, KEY_MOVING = 1, KEY_FIRST = 2 };
enum { NEAR = 32, SPINS = 64, BEING_CLAIMED = INT32_MIN / 2 };

struct account {
    _Atomic int64_t sum;
    _Atomic int32_t pins;
    _Atomic uint32_t count;
    _Atomic uint64_t expires_us;
    _Atomic uint64_t pacer[4]; // bits of doubles
    _Atomic int64_t limit;
};
_Static_assert(sizeof(struct account) <= 64, "one cache line");

// Written while it is claimed, then only read; the label may come later, when recovery claimed it, and is read after
// `labelled`.
struct about {
    _Atomic uint32_t labelled;
    uint64_t account, number;
    uint32_t before; // attempts of the window before
    uint8_t window, unit;
    bool hard;
    _Atomic bool invented;
    uint8_t name_len, holder_len;
    char name[LEDGER_LABEL_MAX], holder[LEDGER_LABEL_MAX];
};

struct accounts {
    uint32_t size, regions;
    struct hash_key seed;
    uint64_t life_idle_us;
    _Atomic uint64_t *keys;
    struct account *hot;
    struct about *about;
    _Atomic uint32_t *claims; // per region
    _Atomic uint32_t used;
};

static uint64_t bits_of(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static double of_bits(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

enum result accounts_open(struct accounts **out, uint32_t count, struct hash_key seed,
                          uint64_t life_idle_us)
{
    if (count > ACCOUNTS_MAX)
        return RESULT_LIMIT;
    struct accounts *a = alloc_zeroed(1, sizeof *a);
    if (!a)
        return RESULT_NOMEM;
    a->size = ACCOUNTS_REGION;
    while (a->size < count)
        a->size *= 2;
    a->regions = a->size / ACCOUNTS_REGION;
    a->seed = seed;
    a->life_idle_us = life_idle_us;
    a->keys = alloc_zeroed(a->size, sizeof *a->keys);
    a->hot = alloc_zeroed(a->size, sizeof *a->hot);
    a->about = alloc_zeroed(a->size, sizeof *a->about);
    a->claims = alloc_zeroed(a->regions, sizeof *a->claims);
    if (!a->keys || !a->hot || !a->about || !a->claims) {
        accounts_close(a);
        return RESULT_NOMEM;
    }
    *out = a;
    return RESULT_OK;
}

void accounts_close(struct accounts *a)
{
    if (!a)
        return;
    alloc_free(a->claims);
    alloc_free(a->about);
    alloc_free(a->hot);
    alloc_free(a->keys);
    alloc_free(a);
}

uint32_t accounts_size(const struct accounts *a)
{
    return a->size;
}

uint32_t accounts_used(const struct accounts *a)
{
    return atomic_load_explicit(&a->used, memory_order_relaxed);
}

// The seed keeps those who choose session names from choosing places in the table.
static uint64_t key_of(const struct accounts *a, uint64_t account, enum image_window w,
                       uint64_t number)
{
    uint64_t words[3] = {account, (uint64_t)w, number};
    uint64_t key = hash_sip13(&a->seed, slice_make(words, sizeof words));
    return key < KEY_FIRST ? key + KEY_FIRST : key;
}

struct walk {
    uint32_t base, at; // of the region; of the next place in it
};

static struct walk walk_of(const struct accounts *a, uint64_t key)
{
    return (struct walk){((uint32_t)(key >> 32) & (a->regions - 1)) * ACCOUNTS_REGION,
                         (uint32_t)key & (ACCOUNTS_REGION - 1)};
}

static uint32_t walk_next(struct walk *w)
{
    uint32_t i = w->base + w->at;
    w->at = (w->at + 1) & (ACCOUNTS_REGION - 1);
    return i;
}

// False when it went to another owner meanwhile.
static bool pin(struct accounts *a, uint32_t i, uint64_t key)
{
    int32_t before = atomic_fetch_add(&a->hot[i].pins, 1);
    if (before >= 0 && atomic_load(&a->keys[i]) == key)
        return true;
    atomic_fetch_sub(&a->hot[i].pins, 1);
    return false;
}

static uint32_t find(struct accounts *a, uint64_t key)
{
    struct walk w = walk_of(a, key);
    for (uint32_t n = 0; n < ACCOUNTS_REGION; n++) {
        uint32_t i = walk_next(&w);
        uint64_t there = atomic_load_explicit(&a->keys[i], memory_order_acquire);
        if (there == KEY_NONE)
            return ACCOUNTS_NONE;
        if (there == key && pin(a, i, key))
            return i;
    }
    return ACCOUNTS_NONE;
}

uint32_t accounts_find(struct accounts *a, uint64_t account, enum image_window w, uint64_t number)
{
    return find(a, key_of(a, account, w, number));
}

static void enter(_Atomic uint32_t *claim)
{
    for (uint32_t n = 0;; n++) {
        uint32_t free = 0;
        if (atomic_compare_exchange_weak_explicit(claim, &free, 1, memory_order_acquire,
                                                  memory_order_relaxed))
            return;
        if (n % SPINS == SPINS - 1)
            sched_yield();
    }
}

static void leave(_Atomic uint32_t *claim)
{
    atomic_store_explicit(claim, 0, memory_order_release);
}

// Takes an expired entry from its account; nobody can pin it from then on.
static bool take_over(struct accounts *a, uint32_t i, uint64_t now_us)
{
    struct account *e = &a->hot[i];
    if (atomic_load_explicit(&e->expires_us, memory_order_relaxed) > now_us)
        return false;
    int32_t none = 0;
    if (!atomic_compare_exchange_strong(&e->pins, &none, BEING_CLAIMED))
        return false;
    // It was drawn on between the two looks.
    if (atomic_load_explicit(&e->expires_us, memory_order_relaxed) > now_us) {
        atomic_fetch_sub(&e->pins, BEING_CLAIMED);
        return false;
    }
    atomic_store(&a->keys[i], KEY_MOVING);
    return true;
}

// Of the accounts for the life of a session or loop the one that was drawn on longest ago; without any, of those that they
// have in a window the one that took least.
static uint32_t push_out(struct accounts *a, uint32_t base)
{
    uint32_t idlest = ACCOUNTS_NONE, smallest = ACCOUNTS_NONE;
    uint64_t least = UINT64_MAX;
    int64_t least_sum = INT64_MAX;
    for (uint32_t i = base; i < base + ACCOUNTS_REGION; i++) {
        uint64_t expires = atomic_load_explicit(&a->hot[i].expires_us, memory_order_relaxed);
        int64_t sum = atomic_load_explicit(&a->hot[i].sum, memory_order_relaxed);
        if (atomic_load_explicit(&a->hot[i].pins, memory_order_relaxed) != 0)
            continue;
        if (a->about[i].window == IMAGE_PER_LIFE && expires < least) {
            least = expires;
            idlest = i;
        } else if (sum < least_sum && a->about[i].window != IMAGE_PER_LIFE &&
                   atomic_load_explicit(&a->about[i].invented, memory_order_relaxed)) {
            least_sum = sum;
            smallest = i;
        }
    }
    uint32_t at = idlest != ACCOUNTS_NONE ? idlest : smallest;
    return at != ACCOUNTS_NONE && take_over(a, at, UINT64_MAX) ? at : ACCOUNTS_NONE;
}

// An entry that is nobody's, or ACCOUNTS_NONE. Fresh ones near the key's place are preferred, then expired ones, then
// fresh ones anywhere in the region, then the idlest session.
static uint32_t vacancy(struct accounts *a, uint64_t key, uint64_t now_us)
{
    struct walk w = walk_of(a, key);
    uint32_t fresh = ACCOUNTS_NONE;
    for (uint32_t n = 0; n < NEAR && fresh == ACCOUNTS_NONE; n++) {
        uint32_t i = walk_next(&w);
        if (atomic_load_explicit(&a->keys[i], memory_order_relaxed) == KEY_NONE)
            fresh = i;
    }
    if (fresh == ACCOUNTS_NONE) {
        w = walk_of(a, key);
        for (uint32_t n = 0; n < ACCOUNTS_REGION; n++) {
            uint32_t i = walk_next(&w);
            if (atomic_load_explicit(&a->keys[i], memory_order_relaxed) == KEY_NONE) {
                fresh = i;
                break;
            }
            if (take_over(a, i, now_us))
                return i;
        }
    }
    if (fresh == ACCOUNTS_NONE)
        return push_out(a, walk_of(a, key).base);
    atomic_fetch_sub(&a->hot[fresh].pins, -BEING_CLAIMED);
    atomic_fetch_add_explicit(&a->used, 1, memory_order_relaxed);
    return fresh;
}

static uint8_t copy_label(char to[LEDGER_LABEL_MAX], struct slice s)
{
    size_t n = s.len < LEDGER_LABEL_MAX ? s.len : LEDGER_LABEL_MAX;
    while (n < s.len && n && ((unsigned char)s.ptr[n] & 0xc0) == 0x80)
        n--; // not within a character
    if (n)
        memcpy(to, s.ptr, n);
    return (uint8_t)n;
}

static struct pacer pacer_of(const struct account *e)
{
    double v[4];
    for (int i = 0; i < 4; i++)
        v[i] = of_bits(atomic_load_explicit(&e->pacer[i], memory_order_relaxed));
    return (struct pacer){v[0], v[1], v[2], v[3]};
}

static void pacer_put(struct account *e, struct pacer p)
{
    const double v[4] = {p.lambda, p.ema, p.ema_nusd, p.share};
    for (int i = 0; i < 4; i++)
        atomic_store_explicit(&e->pacer[i], bits_of(v[i]), memory_order_relaxed);
}

static uint64_t expiry(const struct accounts *a, enum image_window w, uint64_t number,
                       uint64_t now_us)
{
    if (w == IMAGE_PER_LIFE || w == IMAGE_PER_REQUEST)
        return now_us + a->life_idle_us;
    return window_begin(w, number + 1);
}

static void label(struct about *about, const struct ledger_budget *b)
{
    if (!b->name.len || atomic_load_explicit(&about->labelled, memory_order_relaxed))
        return;
    about->name_len = copy_label(about->name, b->name);
    about->holder_len = copy_label(about->holder, b->holder);
    atomic_store_explicit(&about->labelled, 1, memory_order_release);
}

static void fill(struct accounts *a, uint32_t i, const struct ledger_budget *b, uint64_t number,
                 uint64_t now_us)
{
    struct account *e = &a->hot[i];
    struct about *about = &a->about[i];
    about->account = b->account;
    about->number = number;
    about->before = 0;
    about->window = (uint8_t)b->window;
    about->unit = (uint8_t)b->unit;
    about->hard = b->hard;
    atomic_store_explicit(&about->invented, b->invented, memory_order_relaxed);
    atomic_store_explicit(&about->labelled, 0, memory_order_relaxed);
    label(about, b);
    atomic_store_explicit(&e->sum, 0, memory_order_relaxed);
    atomic_store_explicit(&e->count, 0, memory_order_relaxed);
    pacer_put(e, (struct pacer){0});
    atomic_store_explicit(&e->limit, b->limit, memory_order_relaxed);
    atomic_store_explicit(&e->expires_us, expiry(a, b->window, number, now_us),
                          memory_order_relaxed);
    uint32_t last = number ? find(a, key_of(a, b->account, b->window, number - 1)) : ACCOUNTS_NONE;
    if (last == ACCOUNTS_NONE)
        return;
    struct account *old = &a->hot[last];
    about->before = atomic_load_explicit(&old->count, memory_order_relaxed);
    pacer_put(e, pacer_of(old));
    accounts_unpin(a, last);
}

uint32_t accounts_claim(struct accounts *a, const struct ledger_budget *b, uint64_t number,
                        uint64_t now_us)
{
    uint64_t key = key_of(a, b->account, b->window, number);
    uint32_t i = find(a, key);
    if (i != ACCOUNTS_NONE &&
        (!b->name.len || atomic_load_explicit(&a->about[i].labelled, memory_order_relaxed)))
        return i;
    _Atomic uint32_t *claim = &a->claims[walk_of(a, key).base / ACCOUNTS_REGION];
    enter(claim);
    if (i != ACCOUNTS_NONE)
        label(&a->about[i], b);
    else
        i = find(a, key); // another may have been faster
    if (i == ACCOUNTS_NONE) {
        i = vacancy(a, key, now_us);
        if (i != ACCOUNTS_NONE) {
            fill(a, i, b, number, now_us);
            // Its first pin is ours; those that others tried meanwhile undo themselves.
            atomic_fetch_add(&a->hot[i].pins, 1 - BEING_CLAIMED);
            atomic_store(&a->keys[i], key);
        }
    }
    leave(claim);
    return i;
}

void accounts_unpin(struct accounts *a, uint32_t at)
{
    atomic_fetch_sub_explicit(&a->hot[at].pins, 1, memory_order_release);
}

void accounts_touch(struct accounts *a, uint32_t at, uint64_t now_us)
{
    uint64_t until = now_us + a->life_idle_us;
    _Atomic uint64_t *expires = &a->hot[at].expires_us;
    if (a->about[at].window == IMAGE_PER_LIFE &&
        atomic_load_explicit(expires, memory_order_relaxed) < until)
        atomic_store_explicit(expires, until, memory_order_relaxed);
}

int64_t accounts_sum(const struct accounts *a, uint32_t at)
{
    return atomic_load_explicit(&a->hot[at].sum, memory_order_relaxed);
}

bool accounts_take(struct accounts *a, uint32_t at, int64_t amount, int64_t limit)
{
    if (amount <= 0)
        return true;
    _Atomic int64_t *sum = &a->hot[at].sum;
    int64_t now = atomic_load_explicit(sum, memory_order_relaxed);
    do {
        if (now > limit || amount > limit - now || amount > ACCOUNTS_SUM_MAX - now)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(sum, &now, now + amount, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

void accounts_add(struct accounts *a, uint32_t at, int64_t delta)
{
    if (!delta)
        return;
    _Atomic int64_t *sum = &a->hot[at].sum;
    int64_t now = atomic_load_explicit(sum, memory_order_relaxed), next;
    do {
        if (delta > 0)
            next = delta > ACCOUNTS_SUM_MAX - now ? ACCOUNTS_SUM_MAX : now + delta;
        else
            next = now < -delta ? 0 : now + delta;
    } while (!atomic_compare_exchange_weak_explicit(sum, &now, next, memory_order_relaxed,
                                                    memory_order_relaxed));
}

void accounts_count(struct accounts *a, uint32_t at)
{
    atomic_fetch_add_explicit(&a->hot[at].count, 1, memory_order_relaxed);
}

// Two threads at once may lose one of two steps; a mean of many does not mind.
void accounts_pace(struct accounts *a, uint32_t at, int64_t took, int64_t nusd, int64_t limit,
                   uint64_t now_us)
{
    struct account *e = &a->hot[at];
    const struct about *about = &a->about[at];
    double count = atomic_load_explicit(&e->count, memory_order_relaxed);
    double forecast;
    if (about->window == IMAGE_PER_LIFE) {
        forecast = pacer_forecast_life(count);
    } else {
        uint64_t begin = window_begin(about->window, about->number);
        uint64_t end = window_begin(about->window, about->number + 1);
        double elapsed = now_us > begin ? (double)(now_us - begin) : 0;
        forecast = pacer_forecast(count, about->before, elapsed, (double)(end - begin));
    }
    double left = (double)limit - (double)accounts_sum(a, at);
    struct pacer p =
        pacer_step(pacer_of(e), (double)took, nusd > 0 ? (double)nusd : 0, left, forecast);
    pacer_put(e, p);
}

void accounts_resume(struct accounts *a, uint32_t at, uint32_t count, struct pacer p)
{
    atomic_fetch_add_explicit(&a->hot[at].count, count, memory_order_relaxed);
    if (p.lambda >= 0 && p.lambda <= PACER_LAMBDA_MAX && p.ema >= 0 && p.share >= 0)
        pacer_put(&a->hot[at], p);
}

double accounts_price(const struct accounts *a, uint32_t at)
{
    return pacer_price(pacer_of(&a->hot[at]));
}

void accounts_set(struct accounts *a, uint32_t at, const struct ledger_budget *b)
{
    _Atomic int64_t *limit = &a->hot[at].limit;
    _Atomic bool *invented = &a->about[at].invented;
    if (atomic_load_explicit(limit, memory_order_relaxed) != b->limit)
        atomic_store_explicit(limit, b->limit, memory_order_relaxed);
    if (atomic_load_explicit(invented, memory_order_relaxed) != b->invented)
        atomic_store_explicit(invented, b->invented, memory_order_relaxed);
}

void accounts_about(const struct accounts *a, uint32_t at, struct accounts_about *out)
{
    const struct about *b = &a->about[at];
    *out = (struct accounts_about){
        .account = b->account,
        .number = b->number,
        .window = (enum image_window)b->window,
        .unit = (enum image_unit)b->unit,
        .hard = b->hard,
        .invented = atomic_load_explicit(&b->invented, memory_order_relaxed),
        .limit = atomic_load_explicit(&a->hot[at].limit, memory_order_relaxed),
        .count = atomic_load_explicit(&a->hot[at].count, memory_order_relaxed),
        .pacer = pacer_of(&a->hot[at])};
    if (!atomic_load_explicit(&b->labelled, memory_order_acquire))
        return;
    out->name_len = b->name_len;
    out->holder_len = b->holder_len;
    memcpy(out->name, b->name, b->name_len);
    memcpy(out->holder, b->holder, b->holder_len);
}
