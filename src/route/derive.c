#include "route/derive.h"

#include <math.h>
#include <string.h>

#include "math/real.h"

static bool base_known(const struct route_run *run, int32_t signal)
{
    return run->decision->facts[signal].state != FACT_UNKNOWN;
}

static struct derive_state *state_of(const struct route_run *run, int32_t signal)
{
    int32_t d = run->table->derived_of[signal];
    return d == IMAGE_NONE ? NULL : &run->derived[d];
}

// Whether `signal` may still fail, or has failed; a derived one by what it is made of.
static void failure(const struct route_run *run, int32_t signal, bool *open, bool *failed)
{
    const struct derive_state *s = state_of(run, signal);
    if (s && !s->given) {
        *open |= s->open;
        *failed |= s->failed;
        return;
    }
    *open |= !base_known(run, signal);
    *failed |= run->decision->facts[signal].state == FACT_FAILED;
}

static double forced(const struct image_signal *s, double v)
{
    if (isnan(v))
        return s->number_min;
    return v < s->number_min ? s->number_min : v > s->number_max ? s->number_max : v;
}

// What a number can be.
static void range(const struct route_run *run, int32_t signal, double *lo, double *hi)
{
    const struct image_signal *s = image_signal(run->table->image, signal);
    const struct derive_state *d = state_of(run, signal);
    *lo = s->number_min;
    *hi = s->number_max;
    if (d && !d->given) {
        *lo = d->lo;
        *hi = d->hi;
    } else if (base_known(run, signal)) {
        *lo = *hi = forced(s, run->decision->facts[signal].number);
    }
}

static enum tri guard(const struct route_run *run, uint32_t node)
{
    int32_t why;
    return table_eval(run->table, node, run->known, run->value, &why);
}

static uint64_t all_words(const struct image_signal *s)
{
    uint32_t n = s->type == SIGNAL_BOOL ? 2 : s->words.count;
    return n >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1;
}

static void label_update(const struct route_run *run, const struct table_derived *d,
                         const struct image_signal *s, struct derive_state *st)
{
    const struct image_term *terms = IMAGE_AT(run->table->image, s->terms, struct image_term);
    uint64_t may = 0;
    uint32_t lo = 0;
    for (uint32_t i = 0; i < s->terms.count; i++) {
        enum tri v = guard(run, run->table->term_guards[d->guard_at + i]);
        if (v == TRI_TRUE && terms[i].word > lo)
            lo = terms[i].word;
        else if (v == TRI_UNKNOWN)
            may |= UINT64_C(1) << terms[i].word;
    }
    if (st->failed && s->error_level > lo)
        lo = s->error_level;
    else if (st->open)
        may |= UINT64_C(1) << s->error_level;
    st->possible = (may >> lo << lo) | UINT64_C(1) << lo;
}

// Sums stay finite whatever ranges and weights a policy states, so that no difference of infinities comes up.
static double bounded(double v)
{
    const double most = 1e200;
    return isnan(v) ? 0 : v < -most ? -most : v > most ? most : v;
}

static void sum(const struct route_run *run, const struct table_derived *d,
                const struct image_signal *s, double *lo, double *hi)
{
    const struct image_term *terms = IMAGE_AT(run->table->image, s->terms, struct image_term);
    *lo = *hi = 0;
    for (uint32_t i = 0; i < s->terms.count; i++) {
        double w = terms[i].weight, a, b;
        if (w == 0)
            continue;
        if (terms[i].signal != IMAGE_NONE) {
            range(run, terms[i].signal, &a, &b);
        } else {
            enum tri v = guard(run, run->table->term_guards[d->guard_at + i]);
            a = v == TRI_TRUE;
            b = v != TRI_FALSE;
        }
        // Rounding never turns the order round, so the sum of the smaller ones stays the smaller sum.
        *lo += bounded(w > 0 ? w * a : w * b);
        *hi += bounded(w > 0 ? w * b : w * a);
    }
}

static uint32_t band_of(const struct image_band *bands, uint32_t count, double v)
{
    uint32_t at = 0;
    while (at + 1 < count && v >= bands[at + 1].from)
        at++;
    return at;
}

static uint64_t span(uint32_t from, uint32_t to)
{
    return (~UINT64_C(0) >> (63 - to)) >> from << from;
}

static void score_update(const struct route_run *run, const struct table_derived *d,
                         const struct image_signal *s, struct derive_state *st)
{
    double lo, hi;
    sum(run, d, s, &lo, &hi);
    if (s->type == SIGNAL_ENUM) {
        const struct image_band *bands = IMAGE_AT(run->table->image, s->bands, struct image_band);
        st->possible = span(band_of(bands, s->bands.count, lo), band_of(bands, s->bands.count, hi));
    } else if (s->type == SIGNAL_BOOL) {
        double least = s->threshold_above ? lo : -hi, most = s->threshold_above ? hi : -lo;
        double t = s->threshold_above ? s->threshold : -s->threshold;
        st->possible = least > t ? 2 : most > t ? 3 : 1;
    }
    st->lo = lo;
    st->hi = hi;
}

// By how much the probability of member `i` leads the best of the others when it is `v` and they are as low (or, known,
// as they are); infinite when it cannot be told.
static double lead(const struct route_run *run, const struct image_signal *s, uint32_t i, double v,
                   double *p)
{
    const struct image_term *terms = IMAGE_AT(run->table->image, s->terms, struct image_term);
    double best = -INFINITY, total = 1, a, b;
    for (uint32_t k = 0; k < s->terms.count; k++) {
        if (k == i)
            continue;
        range(run, terms[k].signal, &a, &b);
        best = a > best ? a : best;
        total += real_exp((a - v) / s->temperature);
    }
    double second = best == -INFINITY ? 0 : real_exp((best - v) / s->temperature);
    *p = 1 / total;
    double by = (1 - second) / total;
    return isnan(by) ? INFINITY : by;
}

static void group_update(const struct route_run *run, const struct image_signal *s,
                         struct derive_state *st)
{
    enum { SLACK_PER_MILLION = 1 };
    const struct image_term *terms = IMAGE_AT(run->table->image, s->terms, struct image_term);
    double a, b, p;
    st->possible = UINT64_C(1) << s->otherwise;
    st->lo = st->hi = 1;
    if (st->failed)
        return;
    if (st->open) {
        for (uint32_t i = 0; i < s->terms.count; i++) {
            range(run, terms[i].signal, &a, &b);
            if (lead(run, s, i, b, &p) >= s->margin - SLACK_PER_MILLION * 1e-6)
                st->possible |= UINT64_C(1) << terms[i].word;
        }
        return;
    }
    uint32_t first = 0;
    double most = -INFINITY;
    for (uint32_t i = 0; i < s->terms.count; i++) {
        range(run, terms[i].signal, &a, &b);
        if (a > most) {
            most = a;
            first = i;
        }
    }
    if (s->terms.count && lead(run, s, first, most, &p) >= s->margin) {
        st->possible = UINT64_C(1) << terms[first].word;
        st->lo = st->hi = p;
    }
}

static enum tri agree(const struct table_atom *a, const struct image_signal *s,
                      const struct derive_state *st)
{
    if (a->kind == ATOM_FAILED)
        return st->failed ? TRI_TRUE : st->open ? TRI_UNKNOWN : TRI_FALSE;
    if (s->type != SIGNAL_NUMBER) {
        bool some = st->possible & a->words, others = st->possible & ~a->words;
        return some && others ? TRI_UNKNOWN : some ? TRI_TRUE : TRI_FALSE;
    }
    if (a->kind != ATOM_RANGE) {
        bool holds = st->lo >= 0 && st->lo < 64 && (a->words >> (unsigned)st->lo & 1);
        return st->lo != st->hi ? TRI_UNKNOWN : holds ? TRI_TRUE : TRI_FALSE;
    }
    bool in = st->lo >= a->lo && st->hi <= a->hi, out = st->hi < a->lo || st->lo > a->hi;
    if (!in && !out)
        return st->lo == st->hi ? (enum tri)a->negated : TRI_UNKNOWN;
    return in != a->negated ? TRI_TRUE : TRI_FALSE;
}

static void tell_atoms(struct route_run *run, int32_t signal, const struct image_signal *s,
                       const struct derive_state *st)
{
    const struct route_table *t = run->table;
    for (uint32_t i = t->signal_at[signal]; i < t->signal_at[signal + 1]; i++) {
        uint32_t atom = t->signal_atoms[i];
        enum tri v = agree(&t->atoms[atom], s, st);
        uint64_t bit = UINT64_C(1) << (atom % 64);
        if (v == TRI_UNKNOWN)
            continue;
        run->known[atom / 64] |= bit;
        if (v == TRI_TRUE)
            run->value[atom / 64] |= bit;
    }
}

// The value, once there is only one.
static void fill(const struct route_run *run, int32_t signal, const struct image_signal *s,
                 const struct derive_state *st)
{
    struct fact *f = &run->decision->facts[signal];
    bool number = s->type == SIGNAL_NUMBER;
    if (f->state != FACT_UNKNOWN ||
        (number ? st->lo != st->hi : (st->possible & (st->possible - 1)) != 0))
        return;
    *f = (struct fact){.state = FACT_KNOWN, .probability = 1};
    f->number = number ? st->lo : (double)__builtin_ctzll(st->possible);
    if (s->derive == IMAGE_DERIVE_EXCLUSIVE)
        f->probability = (float)st->lo;
}

static void refresh(struct route_run *run, uint32_t index)
{
    const struct table_derived *d = &run->table->derived[index];
    const struct image_signal *s = image_signal(run->table->image, d->signal);
    struct derive_state *st = &run->derived[index], before = *st;
    if (st->given)
        return;
    st->open = st->failed = false;
    for (uint32_t i = 0; i < d->mention_count; i++)
        failure(run, run->table->mentions[d->mention_at + i], &st->open, &st->failed);
    if (s->derive == IMAGE_DERIVE_LABEL)
        label_update(run, d, s, st);
    else if (s->derive == IMAGE_DERIVE_SCORE)
        score_update(run, d, s, st);
    else
        group_update(run, s, st);
    tell_atoms(run, d->signal, s, st);
    fill(run, d->signal, s, st);
    if (st->possible != before.possible || st->lo != before.lo || st->hi != before.hi ||
        st->open != before.open || st->failed != before.failed)
        derive_touch(run, d->signal);
}

uint32_t derive_seen_words(const struct route_table *t)
{
    return t->derived_count ? t->words + (t->derived_count * 2 + 63) / 64 : 0;
}

void derive_begin(struct route_run *run)
{
    const struct route_table *t = run->table;
    for (uint32_t i = 0; i < t->derived_count; i++) {
        const struct image_signal *s = image_signal(t->image, t->derived[i].signal);
        run->derived[i] = (struct derive_state){
            .possible = all_words(s), .lo = -INFINITY, .hi = INFINITY, .open = true};
        run->dirty[i / 64] |= UINT64_C(1) << (i % 64);
    }
}

void derive_touch(struct route_run *run, int32_t signal)
{
    const struct route_table *t = run->table;
    for (uint32_t i = t->dependent_at[signal]; i < t->dependent_at[signal + 1]; i++)
        run->dirty[t->dependents[i] / 64] |= UINT64_C(1) << (t->dependents[i] % 64);
}

void derive_given(struct route_run *run, int32_t signal)
{
    run->derived[run->table->derived_of[signal]].given = true;
}

// In the order of the table each comes behind what it looks at, so nothing is refreshed twice.
void derive_refresh(struct route_run *run)
{
    for (uint32_t w = 0; w < (run->table->derived_count + 63) / 64; w++)
        while (run->dirty[w]) {
            uint32_t bit = (uint32_t)__builtin_ctzll(run->dirty[w]);
            run->dirty[w] &= run->dirty[w] - 1;
            refresh(run, w * 64 + bit);
        }
}

// ---- what may still change it

struct opening {
    struct route_run *run;
    void (*on_signal)(void *ctx, int32_t signal);
    void *ctx;
};

static bool first_time(uint64_t *seen, uint32_t i)
{
    uint64_t bit = UINT64_C(1) << (i % 64), was = seen[i / 64] & bit;
    seen[i / 64] |= bit;
    return !was;
}

static void open_atom(const struct opening *o, uint32_t atom);
static void open_signal(const struct opening *o, int32_t signal, bool failing);

// The atoms that are not known and whose value can still change an open node; duplicates happen.
static void open_atoms(const struct opening *o, uint32_t at)
{
    const struct route_table *t = o->run->table;
    const struct table_node *n = &t->nodes[at];
    for (uint32_t i = 0; i < n->literal_count; i++) {
        const struct table_literals *l = &t->literals[n->literal_at + i];
        for (uint64_t open = (l->pos | l->neg) & ~o->run->known[l->word]; open; open &= open - 1)
            open_atom(o, l->word * 64 + (uint32_t)__builtin_ctzll(open));
    }
    for (uint32_t child = at + 1, end = at + n->size; child < end; child += t->nodes[child].size)
        if (guard(o->run, child) == TRI_UNKNOWN)
            open_atoms(o, child);
}

static void open_guard(const struct opening *o, uint32_t node)
{
    if (guard(o->run, node) == TRI_UNKNOWN)
        open_atoms(o, node);
}

// Whether `words` tells the level `lo` from some level up to `to`.
static bool tells(uint64_t words, uint32_t lo, uint32_t to)
{
    uint64_t in = span(lo, to);
    return to > lo && (words & in) != 0 && (words & in) != in;
}

static void open_failures(const struct opening *o, const struct table_derived *d)
{
    for (uint32_t i = 0; i < d->mention_count; i++) {
        bool open = false, failed = false;
        int32_t m = o->run->table->mentions[d->mention_at + i];
        failure(o->run, m, &open, &failed);
        if (open)
            open_signal(o, m, true);
    }
}

// `words` is what is asked of the label; all that could fail counts where a failure would change the answer.
static void open_label(const struct opening *o, const struct table_derived *d, uint64_t words)
{
    const struct route_run *run = o->run;
    const struct image_signal *s = image_signal(run->table->image, d->signal);
    const struct image_term *terms = IMAGE_AT(run->table->image, s->terms, struct image_term);
    const struct derive_state *st = state_of(run, d->signal);
    uint32_t lo = (uint32_t)__builtin_ctzll(st->possible);
    for (uint32_t i = 0; i < s->terms.count; i++)
        if (tells(words, lo, terms[i].word))
            open_guard(o, run->table->term_guards[d->guard_at + i]);
    if (st->open && !st->failed && tells(words, lo, s->error_level))
        open_failures(o, d);
}

static void open_score(const struct opening *o, const struct table_derived *d)
{
    const struct route_run *run = o->run;
    const struct image_signal *s = image_signal(run->table->image, d->signal);
    const struct image_term *terms = IMAGE_AT(run->table->image, s->terms, struct image_term);
    for (uint32_t i = 0; i < s->terms.count; i++) {
        if (terms[i].weight == 0)
            continue;
        if (terms[i].signal != IMAGE_NONE)
            open_signal(o, terms[i].signal, false);
        else
            open_guard(o, run->table->term_guards[d->guard_at + i]);
    }
}

// A signal that something else looks at whole: at its value, or at whether it has failed.
static void open_signal(const struct opening *o, int32_t signal, bool failing)
{
    struct route_run *run = o->run;
    int32_t index = run->table->derived_of[signal];
    if (index == IMAGE_NONE) {
        if (!base_known(run, signal))
            o->on_signal(o->ctx, signal);
        return;
    }
    const struct table_derived *d = &run->table->derived[index];
    uint32_t mark = run->table->words * 64 + (uint32_t)index * 2 + failing;
    if (run->derived[index].given || !first_time(run->seen, mark))
        return;
    if (failing || image_signal(run->table->image, signal)->derive != IMAGE_DERIVE_SCORE)
        open_failures(o, d);
    else
        open_score(o, d);
}

static void open_atom(const struct opening *o, uint32_t atom)
{
    struct route_run *run = o->run;
    const struct route_table *t = run->table;
    int32_t signal = t->atom_signal[atom], index = t->derived_of[signal];
    if (index == IMAGE_NONE) {
        o->on_signal(o->ctx, signal);
        return;
    }
    if (!first_time(run->seen, atom))
        return;
    const struct table_derived *d = &t->derived[index];
    enum image_derive derive = image_signal(t->image, signal)->derive;
    if (t->atoms[atom].kind == ATOM_FAILED || derive == IMAGE_DERIVE_EXCLUSIVE)
        open_failures(o, d);
    else if (derive == IMAGE_DERIVE_LABEL)
        open_label(o, d, t->atoms[atom].words);
    else
        open_score(o, d);
}

void derive_open_begin(struct route_run *run)
{
    if (run->table->derived_count)
        memset(run->seen, 0, derive_seen_words(run->table) * sizeof *run->seen);
}

void derive_open_atom(struct route_run *run, uint32_t atom,
                      void (*on_signal)(void *ctx, int32_t signal), void *ctx)
{
    struct opening o = {run, on_signal, ctx};
    open_atom(&o, atom);
}

void derive_open_guard(struct route_run *run, uint32_t node,
                       void (*on_signal)(void *ctx, int32_t signal), void *ctx)
{
    struct opening o = {run, on_signal, ctx};
    open_guard(&o, node);
}
