// The arithmetic of scores and exclusive groups.
//
// Their inputs are numbers in cells, so that a sum or a softmax has an interval. The solver's model is refuted when that
// cannot meet the cell which the model has for the derived signal; the clause that says so names only what the refutation
// needs. What is not refuted must be shown: numbers are chosen within the cells so that the derived signals come out as
// the model has them, computed as route/ computes them. Where neither succeeds the answer is "not decided".
#include <float.h>
#include <math.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "math/real.h"
#include "proof/space_inner.h"

enum { TRIES = 300, DIGITS = 5, WHOLE_MAX = 4096 };
// How much two ways of computing a lead may differ by rounding.
#define LEAD_SLACK 1e-9

// ---- values

static const struct image_signal *def_of(const struct space *s, const struct derived *d)
{
    return image_signal(s->images[d->image], d->signal);
}

static const struct image_term *terms_of(const struct space *s, const struct derived *d,
                                         const struct image_signal *def)
{
    return IMAGE_AT(s->images[d->image], def->terms, struct image_term);
}

// As route/derive.h says.
static double bounded(double v)
{
    const double most = 1e200;
    return isnan(v) ? 0 : v < -most ? -most : v > most ? most : v;
}

static double forced(const struct group *g, double v)
{
    return isnan(v) || v < g->min ? g->min : v > g->max ? g->max : v;
}

static void sum(const struct space *s, const struct derived *d, const struct image_signal *def,
                const struct bound *b, uint32_t *at, double *lo, double *hi)
{
    const struct image_term *terms = terms_of(s, d, def);
    *lo = *hi = 0;
    for (uint32_t i = 0; i < def->terms.count; i++) {
        double w = terms[i].weight, x, y;
        if (w == 0)
            continue;
        const struct image_signal *in =
            terms[i].signal >= 0 ? image_signal(s->images[d->image], terms[i].signal) : NULL;
        if (in && in->derive) {
            sum(s, d, in, b, at, &x, &y);
        } else {
            x = b[*at].lo;
            y = b[(*at)++].hi;
        }
        *lo += bounded(w > 0 ? w * x : w * y);
        *hi += bounded(w > 0 ? w * y : w * x);
    }
}

// The interval of an exclusive group's member.
static void member(const struct space *s, const struct derived *d, const struct bound *b,
                   uint32_t term, uint32_t *at, double *lo, double *hi)
{
    const struct image_signal *in =
        image_signal(s->images[d->image], terms_of(s, d, def_of(s, d))[term].signal);
    if (in->derive) {
        sum(s, d, in, b, at, lo, hi);
    } else {
        *lo = b[*at].lo;
        *hi = b[(*at)++].hi;
    }
}

struct members {
    double lo[IMAGE_WORDS_MAX], hi[IMAGE_WORDS_MAX];
    uint32_t first[IMAGE_WORDS_MAX]; // its first leaf
    uint32_t word[IMAGE_WORDS_MAX];
    uint32_t count;
};

static void members_of(const struct space *s, const struct derived *d, const struct bound *b,
                       struct members *m)
{
    const struct image_signal *def = def_of(s, d);
    const struct image_term *terms = terms_of(s, d, def);
    uint32_t at = 0;
    m->count = def->terms.count < IMAGE_WORDS_MAX ? def->terms.count : IMAGE_WORDS_MAX;
    for (uint32_t i = 0; i < m->count; i++) {
        m->first[i] = at;
        m->word[i] = terms[i].word;
        member(s, d, b, i, &at, &m->lo[i], &m->hi[i]);
    }
}

// By how much member `i` leads at value `v` when the others are at `other`.
static double lead(const struct image_signal *def, const double *other, uint32_t count, uint32_t i,
                   double v)
{
    double best = -INFINITY, total = 1;
    for (uint32_t k = 0; k < count; k++) {
        if (k == i)
            continue;
        best = other[k] > best ? other[k] : best;
        total += real_exp((other[k] - v) / def->temperature);
    }
    double second = best == -INFINITY ? 0 : real_exp((best - v) / def->temperature);
    double by = (1 - second) / total;
    return isnan(by) ? INFINITY : by;
}

static uint32_t first_of(const double *values, uint32_t count)
{
    uint32_t first = 0;
    for (uint32_t i = 1; i < count; i++)
        if (values[i] > values[first])
            first = i;
    return first;
}

static uint32_t cell_of_number(const struct group *g, double v)
{
    uint32_t cell = 0;
    while (cell < g->cuts.len &&
           (g->cuts.at[cell].above ? v > g->cuts.at[cell].at : v >= g->cuts.at[cell].at))
        cell++;
    return cell;
}

// The cell when every leaf is one number.
static uint32_t compute(const struct space *s, const struct derived *d, const struct bound *b,
                        bool failed)
{
    const struct image_signal *def = def_of(s, d);
    const struct group *g = &s->groups.at[d->group];
    double lo, hi;
    uint32_t at = 0;
    if (d->kind == IMAGE_DERIVE_SCORE) {
        sum(s, d, def, b, &at, &lo, &hi);
        return cell_of_number(g, lo);
    }
    struct members m;
    members_of(s, d, b, &m);
    uint32_t word = def->otherwise;
    if (m.count && !failed) {
        uint32_t first = first_of(m.lo, m.count);
        if (lead(def, m.lo, m.count, first, m.lo[first]) >= def->margin)
            word = m.word[first];
    }
    return word < g->classes ? word : 0;
}

// ---- what cannot be

static bool wins(const struct image_signal *def, const struct members *m, uint32_t i)
{
    for (uint32_t k = 0; k < m->count; k++)
        if (k != i && (k < i ? m->lo[k] >= m->hi[i] : m->lo[k] > m->hi[i]))
            return false;
    return lead(def, m->lo, m->count, i, m->hi[i]) >= def->margin - LEAD_SLACK;
}

// Whether some member leads by the margin wherever the members are within their intervals: the one that is highest at
// least, when it is lowest and the others are as high as they can be.
static bool always_won(const struct image_signal *def, const struct members *m)
{
    uint32_t top = first_of(m->lo, m->count);
    if (def->margin <= 0)
        return m->count > 0; // the first among equals leads by nothing, which is enough
    return m->count && lead(def, m->hi, m->count, top, m->lo[top]) >= def->margin + LEAD_SLACK;
}

static bool impossible(const struct space *s, const struct derived *d, uint32_t cell,
                       const struct bound *b)
{
    const struct image_signal *def = def_of(s, d);
    const struct group *g = &s->groups.at[d->group];
    double lo, hi, from, to;
    uint32_t at = 0;
    if (d->kind == IMAGE_DERIVE_SCORE) {
        sum(s, d, def, b, &at, &lo, &hi);
        space_cell_range(g, cell, &from, &to);
        return lo > to || hi < from;
    }
    struct members m;
    members_of(s, d, b, &m);
    if (cell == def->otherwise && !always_won(def, &m))
        return false;
    for (uint32_t i = 0; i < m.count; i++)
        if (m.word[i] == cell && wins(def, &m, i))
            return false;
    return true;
}

// ---- bounds of leaves

static struct group *leaf_group(const struct space *s, const struct leaf *l)
{
    return &s->groups.at[s->inputs.at[l->input].group];
}

static void point(struct bound *b, double v)
{
    b->lo = b->hi = v;
}

// Of the model: a number's cell (a number when it is pinned, or `points`), whether a guard holds.
static void fill(const struct space *s, const struct derived *d, struct bound *b, bool points)
{
    for (uint32_t i = 0; i < d->leaves.len; i++) {
        const struct leaf *l = &d->leaves.at[i];
        if (l->input == UINT32_MAX) {
            b[i] = (struct bound){.full_hi = 1};
            b[i].holds = sat_value(s->sat, space_literal(s, l->formula));
            point(&b[i], b[i].holds);
            continue;
        }
        const struct group *g = leaf_group(s, l);
        uint32_t field = s->inputs.at[l->input].failed_field, group = (uint32_t)(g - s->groups.at);
        b[i] = (struct bound){.full_lo = g->min, .full_hi = g->max, .cell = s->model[g->field_at]};
        b[i].failed = field != UINT32_MAX && s->model[field];
        if (b[i].failed)
            point(&b[i], forced(g, image_signal(s->images[d->image], l->signal)->error_number));
        else if (points || s->pinned[group])
            point(&b[i], s->number[group]);
        else
            space_cell_range(g, b[i].cell, &b[i].lo, &b[i].hi);
    }
}

// Whether `b` refutes the cell still when one end of a leaf is let go as far as that allows.
static void widen(const struct space *s, const struct derived *d, uint32_t cell, struct bound *b,
                  uint32_t i, bool upper)
{
    double *end = upper ? &b[i].hi : &b[i].lo, was = *end, lo, hi;
    const struct leaf *l = &d->leaves.at[i];
    *end = upper ? b[i].full_hi : b[i].full_lo;
    if (impossible(s, d, cell, b))
        return;
    *end = was;
    if (l->input == UINT32_MAX || b[i].failed)
        return;
    const struct group *g = leaf_group(s, l);
    uint32_t last = (uint32_t)g->cuts.len;
    for (uint32_t c = b[i].cell; upper ? c < last : c > 0;) {
        c = upper ? c + 1 : c - 1;
        space_cell_range(g, c, &lo, &hi);
        was = *end;
        *end = upper ? hi : lo;
        if (!impossible(s, d, cell, b)) {
            *end = was;
            return;
        }
    }
}

// The literals that are false when the leaf is within its bound.
static void explain(struct space *s, const struct derived *d, const struct bound *b, uint32_t i)
{
    const struct leaf *l = &d->leaves.at[i];
    if (b[i].lo <= b[i].full_lo && b[i].hi >= b[i].full_hi)
        return;
    if (l->input == UINT32_MAX) {
        (void)SPACE_PUSH(s, &s->stack, space_literal(s, l->formula) ^ (uint32_t)b[i].holds);
        return;
    }
    const struct group *g = leaf_group(s, l);
    const struct field *f = &s->fields.at[g->field_at];
    const uint32_t *cells = s->literals.at + f->literal_at;
    uint32_t field = s->inputs.at[l->input].failed_field;
    if (field != UINT32_MAX) {
        uint32_t failed = s->literals.at[s->fields.at[field].literal_at];
        (void)SPACE_PUSH(s, &s->stack, failed ^ (uint32_t)b[i].failed);
    }
    if (b[i].failed)
        return;
    uint32_t low = cell_of_number(g, b[i].lo), high = cell_of_number(g, b[i].hi);
    if (b[i].lo > b[i].full_lo && low > 0)
        (void)SPACE_PUSH(s, &s->stack, sat_not(cells[low]));
    if (b[i].hi < b[i].full_hi && high + 1 < f->cells)
        (void)SPACE_PUSH(s, &s->stack, cells[high + 1]);
}

// Teaches the solver that the derived signal's cell does not go with these inputs.
static void refute(struct space *s, const struct derived *d, uint32_t cell, struct bound *b,
                   bool widened)
{
    const struct field *f = &s->fields.at[s->groups.at[d->group].field_at];
    const uint32_t *cells = s->literals.at + f->literal_at;
    size_t base = s->stack.len;
    double lo, hi, from, to;
    uint32_t at = 0;
    for (uint32_t i = 0; i < d->leaves.len && widened; i++) {
        widen(s, d, cell, b, i, false);
        widen(s, d, cell, b, i, true);
    }
    for (uint32_t i = 0; i < d->leaves.len; i++)
        explain(s, d, b, i);
    if (d->kind == IMAGE_DERIVE_EXCLUSIVE) {
        (void)SPACE_PUSH(s, &s->stack, sat_not(cells[cell]));
        if (cell == def_of(s, d)->otherwise)
            (void)SPACE_PUSH(s, &s->stack, space_literal(s, d->failed));
    } else {
        sum(s, d, def_of(s, d), b, &at, &lo, &hi);
        space_cell_range(&s->groups.at[d->group], cell, &from, &to);
        if (!(lo > to) && cell > 0)
            (void)SPACE_PUSH(s, &s->stack, sat_not(cells[cell]));
        if (!(hi < from) && cell + 1 < f->cells)
            (void)SPACE_PUSH(s, &s->stack, cells[cell + 1]);
    }
    if (!s->err)
        sat_clause(s->sat, s->stack.at + base, (uint32_t)(s->stack.len - base));
    s->stack.len = base;
}

// ---- numbers that show it

static bool failed_in(const struct space *s, const struct derived *d)
{
    return sat_value(s->sat, space_literal(s, d->failed));
}

static uint32_t model_cell(const struct space *s, const struct derived *d)
{
    return s->model[s->groups.at[d->group].field_at];
}

// Whether its leaves, each a number by now, give the model's cell.
static bool fits(const struct space *s, const struct derived *d, const struct bound *b)
{
    return compute(s, d, b, failed_in(s, d)) == model_cell(s, d);
}

// A rounder number near `v` that does as well.
static void round_off(const struct space *s, const struct derived *d, struct bound *b, uint32_t i,
                      double lo, double hi)
{
    double was = b[i].lo, scale = 1;
    for (int digits = 0; digits <= DIGITS; digits++, scale *= 10) {
        const double near[] = {floor(was * scale) / scale, ceil(was * scale) / scale};
        for (int k = 0; k < 2; k++) {
            point(&b[i], near[k] + 0.0);
            if (near[k] >= lo && near[k] <= hi && fits(s, d, b))
                return;
        }
    }
    point(&b[i], was);
}

// Raises the sum from its least to within the cell, leaf by leaf: whole numbers first, as the others can fill gaps.
static bool raise(const struct space *s, const struct derived *d, const struct bound *range,
                  struct bound *b)
{
    const struct group *g = &s->groups.at[d->group];
    double from, to, lo, hi;
    space_cell_range(g, model_cell(s, d), &from, &to);
    for (uint32_t i = 0; i < d->leaves.len; i++)
        point(&b[i], d->leaves.at[i].falls ? range[i].hi : range[i].lo);
    for (int whole = 1; whole >= 0; whole--) {
        for (uint32_t i = 0; i < d->leaves.len; i++) {
            const struct leaf *l = &d->leaves.at[i];
            uint32_t at = 0;
            sum(s, d, def_of(s, d), b, &at, &lo, &hi);
            if (lo >= from)
                return lo <= to;
            if (l->input == UINT32_MAX || leaf_group(s, l)->whole != (bool)whole)
                continue;
            double low = b[i].lo, high = l->falls ? range[i].lo : range[i].hi;
            // The furthest that keeps the sum at or below `to`.
            for (int step = 0; step < 200 && low != high; step++) {
                double mid = step == 0 ? high : low + (high - low) / 2;
                if (leaf_group(s, l)->whole)
                    mid = l->falls ? ceil(mid) : floor(mid);
                if (step && (mid == low || mid == high))
                    break;
                point(&b[i], mid);
                at = 0;
                sum(s, d, def_of(s, d), b, &at, &lo, &hi);
                if (lo <= to)
                    low = mid;
                else
                    high = mid;
                if (lo >= from && lo <= to)
                    return true;
            }
            point(&b[i], low);
        }
    }
    uint32_t at = 0;
    sum(s, d, def_of(s, d), b, &at, &lo, &hi);
    return lo >= from && lo <= to;
}

// Leaves of a member to the end that makes it high, or low.
static void push_member(const struct derived *d, const struct bound *range, struct bound *b,
                        const struct members *m, uint32_t k, bool high)
{
    uint32_t end = k + 1 < m->count ? m->first[k + 1] : (uint32_t)d->leaves.len;
    for (uint32_t i = m->first[k]; i < end; i++)
        point(&b[i], d->leaves.at[i].falls != high ? range[i].hi : range[i].lo);
}

static bool place(const struct space *s, const struct derived *d, const struct bound *range,
                  struct bound *b)
{
    const struct image_signal *def = def_of(s, d);
    uint32_t cell = model_cell(s, d);
    struct members m;
    members_of(s, d, range, &m);
    for (uint32_t w = 0; w < m.count; w++) {
        if (m.word[w] != cell)
            continue;
        for (uint32_t k = 0; k < m.count; k++)
            push_member(d, range, b, &m, k, k == w);
        if (fits(s, d, b))
            return true;
    }
    if (cell != def->otherwise || !m.count)
        return false;
    // As near to each other as they come.
    uint32_t top = first_of(m.lo, m.count);
    for (uint32_t k = 0; k < m.count; k++) {
        uint32_t i = m.first[k], end = k + 1 < m.count ? m.first[k + 1] : (uint32_t)d->leaves.len;
        push_member(d, range, b, &m, k, k != top);
        if (k == top || end != i + 1 || range[i].hi <= m.lo[top])
            continue;
        const struct leaf *l = &d->leaves.at[i];
        double v = l->input != UINT32_MAX && leaf_group(s, l)->whole ? floor(m.lo[top]) : m.lo[top];
        point(&b[i], v < range[i].lo ? range[i].lo : v);
    }
    return fits(s, d, b);
}

// Chooses numbers for what is not pinned yet so that the derived signal is in its cell, and pins them.
static bool adjust(struct space *s, const struct derived *d, struct bound *b)
{
    struct bound *range = alloc_bytes((d->leaves.len + 1) * sizeof *range);
    bool ok = range != NULL;
    if (!ok) {
        space_fail(s, RESULT_NOMEM);
        return false;
    }
    fill(s, d, range, false);
    fill(s, d, b, true);
    ok = fits(s, d, b);
    if (!ok) {
        memcpy(b, range, d->leaves.len * sizeof *b);
        ok = d->kind == IMAGE_DERIVE_SCORE ? raise(s, d, range, b) : place(s, d, range, b);
        for (uint32_t i = 0; i < d->leaves.len && ok; i++)
            if (d->leaves.at[i].input != UINT32_MAX && range[i].lo < range[i].hi)
                round_off(s, d, b, i, range[i].lo, range[i].hi);
    }
    for (uint32_t i = 0; i < d->leaves.len && ok; i++) {
        const struct leaf *l = &d->leaves.at[i];
        if (l->input == UINT32_MAX || b[i].failed)
            continue;
        uint32_t group = s->inputs.at[l->input].group;
        s->number[group] = b[i].lo;
        s->pinned[group] = true;
    }
    alloc_free(range);
    return ok;
}

static bool is_asked(const struct space *s, uint32_t i)
{
    return s->asked & DERIVED_BIT(i);
}

static void first_numbers(struct space *s)
{
    for (size_t i = 0; i < s->groups.len; i++) {
        const struct group *g = &s->groups.at[i];
        s->pinned[i] = false;
        if (g->raw == SIGNAL_NUMBER && s->fields.at[g->field_at].derived == UINT32_MAX &&
            !space_number_in(g, s->model[g->field_at], &s->number[i]))
            s->number[i] = 0;
    }
}

static bool all_fit(struct space *s)
{
    for (uint32_t i = 0; i < s->derived.len; i++) {
        if (!is_asked(s, i))
            continue;
        fill(s, &s->derived.at[i], s->bounds, true);
        if (!fits(s, &s->derived.at[i], s->bounds))
            return false;
    }
    return true;
}

static double between(struct rng *rng, const struct group *g, uint32_t cell)
{
    double lo, hi;
    space_cell_range(g, cell, &lo, &hi);
    double unit = rng_unit(rng), v = lo + unit * (hi - lo);
    if (g->whole)
        v = floor(lo + unit * (hi - lo + 1));
    return v >= lo && v <= hi ? v : lo;
}

// Numbers at random within their cells.
static bool guess(struct space *s)
{
    struct rng rng;
    rng_seed(&rng, 77);
    for (int try = 0; try < TRIES; try++) {
        first_numbers(s);
        for (uint32_t i = 0; i < s->derived.len; i++) {
            const struct derived *d = &s->derived.at[i];
            for (uint32_t k = 0; k < d->leaves.len && is_asked(s, i); k++) {
                if (d->leaves.at[k].input == UINT32_MAX)
                    continue;
                uint32_t group = s->inputs.at[d->leaves.at[k].input].group;
                const struct group *g = &s->groups.at[group];
                if (!s->pinned[group])
                    s->number[group] = between(&rng, g, s->model[g->field_at]);
                s->pinned[group] = true;
            }
        }
        if (all_fit(s))
            return true;
    }
    return false;
}

static bool concretise(struct space *s)
{
    // From the first to the last, then the other way round: whoever comes first has the choice.
    for (int turn = 0; turn < 2; turn++) {
        bool ok = true;
        first_numbers(s);
        for (uint32_t i = 0; i < s->derived.len && ok; i++) {
            uint32_t at = turn ? (uint32_t)s->derived.len - 1 - i : i;
            ok = !is_asked(s, at) || adjust(s, &s->derived.at[at], s->bounds);
        }
        if (ok && all_fit(s))
            return true;
    }
    return guess(s);
}

// The only derived signal that is asked for, when its numbers are whole and few: then all of them can be tried.
static const struct derived *only_few(const struct space *s, struct bound *range, uint64_t *all)
{
    const struct derived *only = NULL;
    for (uint32_t i = 0; i < s->derived.len; i++) {
        if (!is_asked(s, i))
            continue;
        if (only)
            return NULL;
        only = &s->derived.at[i];
    }
    if (!only)
        return NULL;
    fill(s, only, range, false);
    *all = 1;
    for (uint32_t i = 0; i < only->leaves.len; i++) {
        if (range[i].lo == range[i].hi)
            continue;
        double count = range[i].hi - range[i].lo + 1;
        if (!leaf_group(s, &only->leaves.at[i])->whole || !(count * (double)*all <= WHOLE_MAX))
            return NULL;
        *all *= (uint64_t)count;
    }
    return only;
}

static bool none_of_all(struct space *s, const struct derived *d, const struct bound *range,
                        uint64_t all)
{
    for (uint64_t n = 0; n < all; n++) {
        uint64_t rest = n;
        for (uint32_t i = 0; i < d->leaves.len; i++) {
            const struct leaf *l = &d->leaves.at[i];
            if (l->input == UINT32_MAX || range[i].lo == range[i].hi)
                continue;
            uint64_t count = (uint64_t)(range[i].hi - range[i].lo + 1);
            s->number[s->inputs.at[l->input].group] = range[i].lo + (double)(rest % count);
            rest /= count;
        }
        if (all_fit(s))
            return false;
    }
    return true;
}

// What could not be shown and cannot be either, as all was tried.
static enum sat_fit try_all(struct space *s)
{
    struct bound *range = alloc_bytes((s->most_leaves + 1) * sizeof *range);
    enum sat_fit fit = SAT_UNSURE;
    uint64_t all;
    if (!range) {
        space_fail(s, RESULT_NOMEM);
        return SAT_UNSURE;
    }
    first_numbers(s);
    const struct derived *d = only_few(s, range, &all);
    if (d && none_of_all(s, d, range, all)) {
        refute(s, d, model_cell(s, d), range, false);
        fit = SAT_REFINED;
    }
    alloc_free(range);
    return s->err ? SAT_UNSURE : fit;
}

enum sat_fit space_check_theory(void *ctx)
{
    struct space *s = ctx;
    bool refined = false;
    space_take_cells(s);
    for (size_t i = 0; i < s->groups.len; i++)
        s->pinned[i] = false;
    for (uint32_t i = 0; i < s->derived.len; i++) {
        const struct derived *d = &s->derived.at[i];
        if (!is_asked(s, i) || (d->kind == IMAGE_DERIVE_EXCLUSIVE && failed_in(s, d)))
            continue;
        uint32_t cell = model_cell(s, d);
        fill(s, d, s->bounds, false);
        if (!impossible(s, d, cell, s->bounds))
            continue;
        refute(s, d, cell, s->bounds, true);
        refined = true;
    }
    if (s->err)
        return SAT_UNSURE;
    if (refined)
        return SAT_REFINED;
    return concretise(s) ? SAT_FITS : try_all(s);
}

// ---- drawn requests, and models made whole

static bool draw_numbers(struct space *s, uint32_t group)
{
    const struct group *g = &s->groups.at[group];
    struct rng rng;
    if (s->drawn_number[group])
        return true;
    s->drawn_number[group] = alloc_bytes(s->drawn * sizeof **s->drawn_number);
    if (!s->drawn_number[group])
        return false;
    rng_seed(&rng, UINT64_C(0x6e756d62) + group);
    for (uint32_t i = 0; i < s->drawn; i++)
        s->drawn_number[group][i] = between(&rng, g, s->cells[(size_t)g->field_at * s->drawn + i]);
    return true;
}

enum result space_draw_derived(struct space *s, uint32_t index)
{
    const struct derived *d = &s->derived.at[index];
    struct bound *b = alloc_zeroed(d->leaves.len + 1, sizeof *b);
    uint16_t *cells = s->cells + (size_t)s->groups.at[d->group].field_at * s->drawn;
    bool ok = b != NULL;
    for (uint32_t k = 0; k < d->leaves.len && ok; k++)
        if (d->leaves.at[k].input != UINT32_MAX)
            ok = draw_numbers(s, s->inputs.at[d->leaves.at[k].input].group);
    for (uint32_t i = 0; i < s->drawn && ok; i++) {
        for (uint32_t k = 0; k < d->leaves.len; k++) {
            const struct leaf *l = &d->leaves.at[k];
            bool holds = l->input == UINT32_MAX && ((space_bits(s, l->formula)[i / 64] >> (i % 64) &
                                                     1) != 0) != ((l->formula & 1) != 0);
            point(&b[k], l->input == UINT32_MAX ? holds
                                                : s->drawn_number[s->inputs.at[l->input].group][i]);
        }
        cells[i] = (uint16_t)compute(s, d, b, false);
    }
    alloc_free(b);
    return ok ? RESULT_OK : RESULT_NOMEM;
}

void space_settle(struct space *s)
{
    for (uint32_t i = 0; i < s->derived.len && !s->err; i++) {
        const struct derived *d = &s->derived.at[i];
        if (is_asked(s, i) || !space_scratch(s))
            continue;
        fill(s, d, s->bounds, true);
        for (uint32_t k = 0; k < d->leaves.len; k++)
            if (d->leaves.at[k].input == UINT32_MAX)
                point(&s->bounds[k], space_model_holds(s, d->leaves.at[k].formula));
        s->model[s->groups.at[d->group].field_at] =
            (uint16_t)compute(s, d, s->bounds, space_model_holds(s, d->failed));
    }
}

void space_possible(const struct space *s, const struct derived *d, const struct bound *b,
                    bool whole, bool failed, uint32_t *from, uint32_t *to)
{
    const struct group *g = &s->groups.at[d->group];
    double lo, hi;
    uint32_t at = 0;
    if (d->kind == IMAGE_DERIVE_SCORE) {
        sum(s, d, def_of(s, d), b, &at, &lo, &hi);
        *from = cell_of_number(g, lo);
        *to = cell_of_number(g, hi);
    } else if (whole) {
        *from = *to = compute(s, d, b, failed);
    } else {
        *from = 0;
        *to = s->fields.at[g->field_at].cells - 1;
    }
}
