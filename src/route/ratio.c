#include "route/ratio.h"

#include <math.h>
#include <stdatomic.h>

#include "base/alloc.h"

// Sums of one loop since the start: written by it alone.
struct shard_cell {
    _Atomic uint64_t expected, settled, answers;
};
struct sums {
    uint64_t expected, settled, answers;
};
struct cell {
    struct sums pieces[RATIO_PIECES], all;
    bool alarm, told;
};

struct ratio {
    uint32_t loops;
    bool begun;
    uint64_t piece; // number of the current one, since the clock's origin
    struct shard_cell (*shards)[RATIO_MODELS_MAX][RATIO_UNITS];
    struct sums (*taken)[RATIO_MODELS_MAX][RATIO_UNITS]; // of each shard, so far
    struct cell cells[RATIO_MODELS_MAX][RATIO_UNITS];
    uint32_t next_event;
};

const char *ratio_unit_name(enum ratio_unit unit)
{
    return unit == RATIO_USD ? "usd" : unit == RATIO_J ? "joule" : "token";
}

enum result ratio_open(struct ratio **out, uint32_t loops)
{
    struct ratio *r = *out = alloc_zeroed(1, sizeof *r);
    if (!r)
        return RESULT_NOMEM;
    r->loops = loops;
    r->shards = alloc_zeroed(loops ? loops : 1, sizeof *r->shards);
    r->taken = alloc_zeroed(loops ? loops : 1, sizeof *r->taken);
    if (r->shards && r->taken)
        return RESULT_OK;
    ratio_close(r);
    *out = NULL;
    return RESULT_NOMEM;
}

void ratio_close(struct ratio *r)
{
    if (!r)
        return;
    alloc_free(r->shards);
    alloc_free(r->taken);
    alloc_free(r);
}

static void grow(_Atomic uint64_t *v, uint64_t n)
{
    atomic_store_explicit(v, atomic_load_explicit(v, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static uint64_t held(int64_t v)
{
    const int64_t most = INT64_C(1) << 52;
    return (uint64_t)(v < most ? v : most);
}

void ratio_count(struct ratio *r, uint32_t loop, uint32_t model, enum ratio_unit unit,
                 int64_t expected, int64_t settled)
{
    if (loop >= r->loops || model >= RATIO_MODELS_MAX || expected < 0 || settled < 0)
        return;
    struct shard_cell *c = &r->shards[loop][model][unit];
    grow(&c->expected, held(expected));
    grow(&c->settled, held(settled));
    grow(&c->answers, 1);
}

static void drop(struct cell *c, uint64_t piece)
{
    struct sums *p = &c->pieces[piece % RATIO_PIECES];
    c->all.expected -= p->expected;
    c->all.settled -= p->settled;
    c->all.answers -= p->answers;
    *p = (struct sums){0};
}

static void move_on(struct ratio *r, uint64_t piece)
{
    uint64_t steps = piece - r->piece;
    if (steps > RATIO_PIECES)
        steps = RATIO_PIECES;
    for (uint64_t s = 1; s <= steps; s++)
        for (uint32_t m = 0; m < RATIO_MODELS_MAX; m++)
            for (int u = 0; u < RATIO_UNITS; u++)
                drop(&r->cells[m][u], r->piece + s);
    // After a jump the pieces that were passed over are the same ones anew: all of them are empty.
    r->piece = piece;
}

static void take(struct ratio *r, uint32_t model, int unit, uint32_t loop)
{
    const struct shard_cell *from = &r->shards[loop][model][unit];
    struct sums *seen = &r->taken[loop][model][unit];
    uint64_t answers = atomic_load_explicit(&from->answers, memory_order_relaxed);
    if (answers == seen->answers)
        return;
    struct sums now = {atomic_load_explicit(&from->expected, memory_order_relaxed),
                       atomic_load_explicit(&from->settled, memory_order_relaxed), answers};
    struct cell *c = &r->cells[model][unit];
    struct sums *p = &c->pieces[r->piece % RATIO_PIECES];
    p->expected += now.expected - seen->expected;
    p->settled += now.settled - seen->settled;
    p->answers += now.answers - seen->answers;
    c->all.expected += now.expected - seen->expected;
    c->all.settled += now.settled - seen->settled;
    c->all.answers += now.answers - seen->answers;
    *seen = now;
}

static double ratio(const struct sums *s)
{
    return s->settled ? (double)s->expected / (double)s->settled : s->expected ? HUGE_VAL : 1;
}

void ratio_take(struct ratio *r, uint64_t mono_us)
{
    uint64_t piece = mono_us / (UINT64_C(3600000000) * RATIO_PIECE_H);
    if (!r->begun)
        r->piece = piece;
    r->begun = true;
    if (piece > r->piece)
        move_on(r, piece);
    for (uint32_t l = 0; l < r->loops; l++)
        for (uint32_t m = 0; m < RATIO_MODELS_MAX; m++)
            for (int u = 0; u < RATIO_UNITS; u++)
                take(r, m, u, l);
    for (uint32_t m = 0; m < RATIO_MODELS_MAX; m++)
        for (int u = 0; u < RATIO_UNITS; u++) {
            struct cell *c = &r->cells[m][u];
            double v = ratio(&c->all);
            bool enough = c->all.answers >= RATIO_ANSWERS;
            if (c->alarm)
                c->alarm = enough && (v < RATIO_LOW_CLEAR || v > RATIO_HIGH_CLEAR);
            else
                c->alarm = enough && (v < RATIO_LOW || v > RATIO_HIGH);
        }
    r->next_event = 0;
}

struct ratio_view ratio_of(const struct ratio *r, uint32_t model, enum ratio_unit unit)
{
    const struct cell *c = &r->cells[model][unit];
    return (struct ratio_view){.expected = (double)c->all.expected,
                               .settled = (double)c->all.settled,
                               .answers = c->all.answers,
                               .ratio = ratio(&c->all),
                               .alarm = c->alarm};
}

bool ratio_event(struct ratio *r, uint32_t *model, enum ratio_unit *unit, struct ratio_view *out)
{
    for (; r->next_event < RATIO_MODELS_MAX * RATIO_UNITS; r->next_event++) {
        *model = r->next_event / RATIO_UNITS;
        *unit = (enum ratio_unit)(r->next_event % RATIO_UNITS);
        struct cell *c = &r->cells[*model][*unit];
        if (c->alarm == c->told)
            continue;
        c->told = c->alarm;
        *out = ratio_of(r, *model, *unit);
        r->next_event++;
        return true;
    }
    return false;
}
