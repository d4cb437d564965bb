#include "api/measured_counts.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/sha256.h"

// Samples that the guess is worth; decisions before the first epoch.
enum { PRIOR_COSTS = 4, PRIOR_CLASS = 8, FIRST_EPOCH = 64 };

// --- counting

// The loop is the only writer; the control thread may read between the two.
static void add(uint32_t *at, uint32_t n)
{
    __atomic_store_n(at, *at + n, __ATOMIC_RELAXED);
}

static uint32_t bucket_of(uint32_t ns)
{
    if (ns < 16)
        return 0;
    uint32_t octave = 31 - (uint32_t)__builtin_clz(ns);
    return (octave - 4) * 2 + (ns >> (octave - 1) & 1);
}

// The middle of a bucket.
static uint64_t bucket_ns(uint32_t bucket)
{
    return (UINT64_C(4) << bucket / 2) * (bucket % 2 ? 7 : 5);
}

bool measured_wants(struct measured *m, uint32_t loop)
{
    struct measured_shard *s = &m->shards[loop];
    assert(loop < m->shard_count);
    uint32_t n = s->begun++;
    return n < MEASURED_FIRST || n % MEASURED_EVERY == 0;
}

static void count_cost(struct measured_shard *s, const struct route_run *run, uint32_t signal,
                       const struct fact *f)
{
    const struct route_costs *c = run->costs;
    uint8_t group = c->group[signal];
    if (!group || f->share != FACT_SHARE_MADE) {
        add(&s->counts.signals[signal].own.at[bucket_of(f->cost_ns)], 1);
        return;
    }
    // What the signal itself costs is known from when it did not pay for others.
    uint32_t own = c->own_ns[signal] < f->cost_ns ? c->own_ns[signal] : f->cost_ns;
    add(&s->counts.passes[group][run->length].at[bucket_of(f->cost_ns - own)], 1);
}

void measured_count(struct measured *m, uint32_t loop, const struct route_run *run)
{
    struct measured_shard *s = &m->shards[loop];
    const struct decision *d = run->decision;
    const struct policy_image *p = m->image;
    assert(loop < m->shard_count && run->decided);
    if (d->late || d->by != DECISION_BY_ROUTES)
        return;
    for (uint32_t i = 0; i < p->signals.count; i++) {
        const struct fact *f = &d->facts[i];
        if (f->state == FACT_UNKNOWN || !f->step)
            continue;
        add(&s->counts.signals[i].bought, 1);
        if (f->share)
            add(&s->counts.signals[i].used, 1);
        if (f->cost_ns)
            count_cost(s, run, i, f);
    }
    for (uint32_t w = 0; w < (p->atoms.count + 63) / 64; w++)
        for (uint64_t known = run->known[w]; known; known &= known - 1) {
            uint32_t bit = (uint32_t)__builtin_ctzll(known);
            struct measured_atom *a = &s->counts.atoms[w * 64 + bit];
            add(&a->asked, 1);
            if (run->value[w] >> bit & 1)
                add(&a->held, 1);
        }
    add(&s->counts.decisions, 1);
}

// --- merging

static uint32_t growth(const uint32_t *now, uint32_t *seen)
{
    uint32_t n = __atomic_load_n(now, __ATOMIC_RELAXED), d = n - *seen;
    *seen = n;
    return d;
}

uint32_t measured_sum(const struct measured_sketch *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < MEASURED_BUCKETS; i++)
        n += s->at[i];
    return n;
}

static void merge_sketch(struct measured_sketch *to, const struct measured_sketch *from,
                         struct measured_sketch *seen)
{
    for (uint32_t i = 0; i < MEASURED_BUCKETS; i++)
        to->at[i] += growth(&from->at[i], &seen->at[i]);
    while (measured_sum(to) > MEASURED_TOTAL_MAX)
        for (uint32_t i = 0; i < MEASURED_BUCKETS; i++)
            to->at[i] /= 2;
}

static void merge_shard(struct measured *m, struct measured_shard *s)
{
    for (uint32_t i = 0; i < m->image->signals.count; i++) {
        struct measured_signal *to = &m->totals.signals[i], *seen = &s->seen.signals[i];
        const struct measured_signal *from = &s->counts.signals[i];
        // What is a part is read first, so that it is never more than the whole.
        uint32_t used = growth(&from->used, &seen->used);
        to->bought += growth(&from->bought, &seen->bought);
        to->used += used;
        for (; to->bought > MEASURED_TOTAL_MAX; to->bought /= 2)
            to->used /= 2;
        merge_sketch(&to->own, &from->own, &seen->own);
    }
    for (uint32_t i = 0; i < m->image->atoms.count; i++) {
        struct measured_atom *to = &m->totals.atoms[i], *seen = &s->seen.atoms[i];
        uint32_t held = growth(&s->counts.atoms[i].held, &seen->held);
        to->asked += growth(&s->counts.atoms[i].asked, &seen->asked);
        to->held += held;
        for (; to->asked > MEASURED_TOTAL_MAX; to->asked /= 2)
            to->held /= 2;
    }
    for (uint32_t g = 0; g < ROUTE_GROUPS; g++)
        for (uint32_t k = 0; k < ROUTE_LENGTHS; k++)
            merge_sketch(&m->totals.passes[g][k], &s->counts.passes[g][k], &s->seen.passes[g][k]);
    m->decisions += growth(&s->counts.decisions, &s->seen.decisions);
}

bool measured_merge(struct measured *m)
{
    for (uint32_t i = 0; i < m->shard_count; i++)
        merge_shard(m, &m->shards[i]);
    uint64_t least = m->published / 8 < FIRST_EPOCH ? FIRST_EPOCH : m->published / 8;
    if (least > MEASURED_TOTAL_MAX / 8)
        least = MEASURED_TOTAL_MAX / 8;
    if (m->decisions - m->published < least)
        return false;
    m->published = m->decisions;
    return true;
}

uint64_t measured_decisions(const struct measured *m)
{
    return m->decisions;
}

// --- what follows from the counts

// The mean, with the dearest 128th taken for no dearer than the rest: a thread that was put aside meanwhile is no cost of
// the signal.
static uint64_t sketch_sum(const struct measured_sketch *s, uint32_t *count)
{
    uint32_t n = *count = measured_sum(s), cut = n / 128, top = MEASURED_BUCKETS;
    uint64_t sum = 0;
    uint32_t above = 0;
    while (top > 0 && above + s->at[top - 1] <= cut)
        above += s->at[--top];
    for (uint32_t i = 0; i < top; i++)
        sum += s->at[i] * bucket_ns(i);
    return sum + (top ? above * bucket_ns(top - 1) : 0);
}

uint32_t measured_quantile_ns(const struct measured_sketch *s, uint32_t percent)
{
    uint64_t n = measured_sum(s), below = 0;
    for (uint32_t i = 0; i < MEASURED_BUCKETS; i++) {
        below += s->at[i];
        if (n && below * 100 >= n * percent)
            return bucket_ns(i) > UINT32_MAX ? UINT32_MAX : (uint32_t)bucket_ns(i);
    }
    return 0;
}

static uint32_t capped(uint64_t ns)
{
    return ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

uint32_t measured_own_ns(const struct measured *m, uint32_t signal)
{
    uint32_t n;
    uint64_t sum = sketch_sum(&m->totals.signals[signal].own, &n);
    return capped((sum + (uint64_t)PRIOR_COSTS * m->guess->own_ns[signal]) / (n + PRIOR_COSTS));
}

// What was measured at one length says how far the guess is off at the others.
void measured_pass_ns(const struct measured *m, uint32_t group, uint32_t out[ROUTE_LENGTHS])
{
    uint64_t sums[ROUTE_LENGTHS], measured = 0, guessed = 0;
    uint32_t counts[ROUTE_LENGTHS];
    for (uint32_t k = 0; k < ROUTE_LENGTHS; k++) {
        sums[k] = sketch_sum(&m->totals.passes[group][k], &counts[k]);
        measured += sums[k];
        guessed += (uint64_t)counts[k] * m->guess->group_ns[group][k];
    }
    for (uint32_t k = 0; k < ROUTE_LENGTHS; k++) {
        uint64_t guess = m->guess->group_ns[group][k];
        if (guessed)
            guess = (uint64_t)((unsigned __int128)guess * measured / guessed);
        out[k] = capped((sums[k] + PRIOR_CLASS * guess) / (counts[k] + PRIOR_CLASS));
    }
}

uint32_t measured_needs(const struct measured_signal *s)
{
    uint64_t p = (uint64_t)ROUTE_HOLDS_ONE * (s->used + 2) / (s->bought + 2);
    return (uint32_t)(p >= ROUTE_HOLDS_ONE ? ROUTE_HOLDS_ONE - 1 : p);
}

uint32_t measured_holds(const struct measured_atom *a)
{
    uint64_t p = (uint64_t)ROUTE_HOLDS_ONE * (a->held + 1) / (a->asked + 2);
    if (p < ROUTE_HOLDS_MIN)
        p = ROUTE_HOLDS_MIN;
    if (p > ROUTE_HOLDS_ONE - ROUTE_HOLDS_MIN)
        p = ROUTE_HOLDS_ONE - ROUTE_HOLDS_MIN;
    return (uint32_t)p;
}

enum result measured_epoch(const struct measured *m, struct measured_epoch **out)
{
    uint32_t signals = m->image->signals.count, atoms = m->image->atoms.count;
    size_t bytes = sizeof **out + (size_t)signals * 4 + ((size_t)signals + atoms) * 2 + signals;
    struct measured_epoch *e = *out = alloc_zeroed(1, bytes);
    if (!e)
        return RESULT_NOMEM;
    uint32_t *own = (uint32_t *)(void *)(e + 1);
    uint16_t *need = (uint16_t *)(void *)(own + signals), *hold = need + signals;
    uint8_t *group = (uint8_t *)(hold + atoms);
    for (uint32_t i = 0; i < signals; i++) {
        own[i] = measured_own_ns(m, i);
        need[i] = (uint16_t)measured_needs(&m->totals.signals[i]);
        group[i] = m->guess->group[i];
    }
    for (uint32_t i = 0; i < atoms; i++)
        hold[i] = (uint16_t)measured_holds(&m->totals.atoms[i]);
    for (uint32_t g = 1; g < ROUTE_GROUPS; g++)
        measured_pass_ns(m, g, e->costs.group_ns[g]);
    uint64_t hash = hash_fnv(0, slice_make((const char *)own, bytes - sizeof *e));
    hash = hash_fnv(hash, slice_make((const char *)e->costs.group_ns, sizeof e->costs.group_ns));
    e->costs.own_ns = own;
    e->costs.needs = need;
    e->costs.holds = hold;
    e->costs.group = group;
    if (m->decisions)
        e->costs.epoch = (hash >> 16) | 1; // 48 bits: readers of JSON keep them
    e->refs = 1;
    return RESULT_OK;
}

void measured_epoch_unref(struct measured_epoch *e)
{
    if (e && --e->refs == 0)
        alloc_free(e);
}

// --- keys of definitions

static void mix(struct sha256 *h, const void *bytes, size_t n)
{
    uint64_t len = n;
    sha256_update(h, &len, sizeof len);
    sha256_update(h, bytes, n);
}

static void mix_str(struct sha256 *h, const struct policy_image *p, struct image_str s)
{
    struct slice t = image_text(p, s);
    mix(h, t.ptr, t.len);
}

static struct measured_key finish(struct sha256 *h)
{
    uint8_t digest[SHA256_BYTES];
    struct measured_key k;
    sha256_final(h, digest);
    memcpy(k.bytes, digest, sizeof k.bytes);
    return k;
}

// What is asked, not what it is called; of a derived signal, whose terms are other signals, the name.
static struct measured_key signal_key(const struct policy_image *p, const struct image_signal *s)
{
    struct sha256 h;
    sha256_init(&h);
    mix_str(&h, p, s->family);
    if (s->derive != IMAGE_DERIVE_NONE)
        mix_str(&h, p, s->name);
    for (uint32_t i = 0; i < s->args.count; i++) {
        const struct image_arg *a = IMAGE_AT(p, s->args, struct image_arg) + i;
        uint32_t kind = a->kind;
        mix(&h, &kind, sizeof kind);
        mix_str(&h, p, a->name);
        mix_str(&h, p, a->tag);
        mix_str(&h, p, a->text);
        mix(&h, &a->number, sizeof a->number);
    }
    uint32_t rest[] = {s->type, s->has_threshold, s->threshold_above};
    mix(&h, rest, sizeof rest);
    mix(&h, &s->threshold, sizeof s->threshold);
    return finish(&h);
}

static struct measured_key atom_key(const struct policy_image *p, const struct image_atom *a,
                                    const struct measured_key *signal)
{
    struct sha256 h;
    uint32_t op = a->op;
    sha256_init(&h);
    mix(&h, signal, sizeof *signal);
    mix(&h, &op, sizeof op);
    mix(&h, &a->number, sizeof a->number);
    mix(&h, &a->words, sizeof a->words);
    for (uint32_t i = 0; i < a->texts.count; i++)
        mix_str(&h, p, IMAGE_AT(p, a->texts, struct image_str)[i]);
    return finish(&h);
}

// --- life

static bool open_counts(const struct policy_image *p, struct measured_counts *c)
{
    c->signals = alloc_zeroed(p->signals.count + 1, sizeof *c->signals);
    c->atoms = alloc_zeroed(p->atoms.count + 1, sizeof *c->atoms);
    return c->signals && c->atoms;
}

static void close_counts(struct measured_counts *c)
{
    alloc_free(c->signals);
    alloc_free(c->atoms);
}

enum result measured_open(struct measured **out, const struct policy_image *image,
                          const struct route_costs *guess, const struct trunk_service *trunk,
                          uint32_t loops)
{
    struct measured *m = *out = alloc_zeroed(1, sizeof *m);
    if (!m)
        return RESULT_NOMEM;
    m->image = image;
    m->guess = guess;
    for (uint32_t i = 0; trunk && i < TRUNK_MODELS; i++)
        m->trunk = hash_fnv(m->trunk, trunk->digest[i]);
    m->signal_keys = alloc_zeroed(image->signals.count + 1, sizeof *m->signal_keys);
    m->atom_keys = alloc_zeroed(image->atoms.count + 1, sizeof *m->atom_keys);
    m->shards = alloc_zeroed(loops ? loops : 1, sizeof *m->shards);
    bool ok = m->signal_keys && m->atom_keys && m->shards && open_counts(image, &m->totals);
    m->shard_count = m->shards ? loops : 0;
    for (uint32_t i = 0; i < m->shard_count && ok; i++)
        ok = open_counts(image, &m->shards[i].counts) && open_counts(image, &m->shards[i].seen);
    if (!ok) {
        measured_close(m);
        *out = NULL;
        return RESULT_NOMEM;
    }
    for (uint32_t i = 0; i < image->signals.count; i++)
        m->signal_keys[i] = signal_key(image, image_signal(image, (int32_t)i));
    for (uint32_t i = 0; i < image->atoms.count; i++) {
        const struct image_atom *a = IMAGE_AT(image, image->atoms, struct image_atom) + i;
        m->atom_keys[i] = atom_key(image, a, &m->signal_keys[a->signal]);
    }
    return RESULT_OK;
}

void measured_close(struct measured *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; i < m->shard_count; i++) {
        close_counts(&m->shards[i].counts);
        close_counts(&m->shards[i].seen);
    }
    close_counts(&m->totals);
    alloc_free(m->shards);
    alloc_free(m->signal_keys);
    alloc_free(m->atom_keys);
    alloc_free(m);
}
