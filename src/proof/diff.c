#include "proof/diff.h"

#include <string.h>

#include "base/alloc.h"
#include "proof/describe.h"
#include "proof/diff_inner.h"

const char *diff_relation_name(enum diff_relation r)
{
    static const char *const names[] = {"equal", "stricter", "looser", "incomparable", "open"};
    return names[r];
}

struct slice diff_keep(struct diff *d, const struct buf *text)
{
    struct slice s = buf_result(text) ? SLICE_EMPTY : arena_copy(d->arena, buf_slice(text));
    if (!s.ptr)
        d->err = RESULT_NOMEM;
    return s;
}

uint32_t diff_or2(struct diff *d, uint32_t a, uint32_t b)
{
    return space_or(d->space, (const uint32_t[]){a, b}, 2);
}

uint32_t diff_and2(struct diff *d, uint32_t a, uint32_t b)
{
    return space_and(d->space, (const uint32_t[]){a, b}, 2);
}

struct slice diff_witness(struct diff *d, uint32_t side, const uint32_t *claims, uint32_t count)
{
    struct space_witness w;
    if (space_witness(d->space, side, claims, count, d->arena, &w)) {
        d->err = RESULT_NOMEM;
        return SLICE_EMPTY;
    }
    return w.json;
}

static void number_effects(struct diff *d)
{
    struct buf text;
    size_t most = (size_t)d->side[OLD].image->routes.count + d->side[NEW].image->routes.count;
    struct slice *texts = alloc_zeroed(most + 1, sizeof *texts);
    buf_init(&text, 16 * 1024 * 1024);
    for (unsigned i = 0; i < 2 && texts && !d->err; i++) {
        const struct policy_image *p = d->side[i].image;
        d->side[i].effect = ARENA_ARRAY(d->arena, uint32_t, p->routes.count + 1);
        for (uint32_t r = 0; r < p->routes.count && d->side[i].effect && !d->err; r++) {
            uint32_t k = 0;
            buf_reset(&text);
            describe_effect(p, (int32_t)r, &text);
            while (k < d->effects && !slice_eq(texts[k], buf_slice(&text)))
                k++;
            if (k == d->effects)
                texts[d->effects++] = diff_keep(d, &text);
            d->side[i].effect[r] = k;
        }
        if (!d->side[i].effect)
            d->err = RESULT_NOMEM;
    }
    if (!texts)
        d->err = RESULT_NOMEM;
    alloc_free(texts);
    buf_deinit(&text);
}

static enum result side_open(struct diff *d, unsigned i, const struct policy_image *image)
{
    struct theorem_prover *p = &d->side[i].prover;
    d->side[i].image = image;
    *p = (struct theorem_prover){.image = image, .arena = d->arena, .space = d->space};
    enum result r = ways_open(image, d->arena, &p->ways);
    return r ? r : feasible_open(d->space, i, image, d->arena, &p->feasible);
}

static enum result open_both(struct diff *d, const struct policy_image *old,
                             const struct policy_image *new, const struct sat_limits *limits)
{
    const struct policy_image *const images[] = {old, new};
    enum result r = space_open(images, 2, limits ? limits : &space_limits_default, &d->space);
    if (r)
        d->space = NULL;
    for (unsigned i = 0; i < 2 && !r; i++)
        r = side_open(d, i, images[i]);
    if (!r) {
        number_effects(d);
        r = d->err;
    }
    return r;
}

static void close_both(struct diff *d)
{
    if (d->space)
        space_close(d->space);
    VEC_DEINIT(&d->powers);
    VEC_DEINIT(&d->moves);
    VEC_DEINIT(&d->lines);
}

static void diff_init(struct diff *d, struct arena *arena)
{
    memset(d, 0, sizeof *d);
    d->arena = arena;
    d->powers.cap = d->moves.cap = d->lines.cap = 1u << 20;
}

static void *keep(struct diff *d, const void *at, size_t count, size_t size)
{
    void *copy = arena_alloc(d->arena, count * size + 1);
    if (!copy)
        d->err = RESULT_NOMEM;
    else if (count)
        memcpy(copy, at, count * size);
    return copy;
}

static enum diff_relation relation(const struct diff *d)
{
    if (d->gained && d->lost)
        return DIFF_INCOMPARABLE;
    // Whoever gains or loses something is known to; whether it also does the other may be open.
    if (d->open_powers)
        return DIFF_OPEN;
    return d->gained ? DIFF_LOOSER : d->lost ? DIFF_STRICTER : DIFF_EQUAL;
}

// Guards, paths and constraints are compared by what they do; of the rest every word counts.
static void judge_line(struct diff_report *out, const struct diff_line *l)
{
    static const char *const compared[] = {"signals", "constraints", "routes", "bounds"};
    bool by_space = false;
    for (size_t i = 0; i < MERIT_COUNT(compared); i++)
        by_space |= !strcmp(l->section, compared[i]);
    out->same &= by_space;
    out->unrelated |= !strcmp(l->section, "signals") && l->sign == DIFF_CHANGED;
}

enum result diff_policies(const struct policy_image *old, const struct policy_image *new,
                          const struct sat_limits *limits, struct arena *arena,
                          struct diff_report *out)
{
    struct diff d;
    diff_init(&d, arena);
    *out = (struct diff_report){.old = old, .new = new};
    enum result r = open_both(&d, old, new, limits);
    if (!r) {
        diff_allows(&d);
        diff_moves(&d, out);
        diff_lines(&d);
        r = d.err ? d.err : space_result(d.space) == RESULT_NOMEM ? RESULT_NOMEM : RESULT_OK;
    }
    if (!r) {
        out->allows = relation(&d);
        out->powers = keep(&d, d.powers.at, d.powers.len, sizeof *d.powers.at);
        out->power_count = (uint32_t)d.powers.len;
        out->power_more = d.more;
        out->moves = keep(&d, d.moves.at, d.moves.len, sizeof *d.moves.at);
        out->move_count = (uint32_t)d.moves.len;
        out->lines = keep(&d, d.lines.at, d.lines.len, sizeof *d.lines.at);
        out->line_count = (uint32_t)d.lines.len;
        out->open = d.open;
        for (uint32_t i = 0; i < out->line_count && out->lines; i++)
            judge_line(out, &out->lines[i]);
        r = d.err;
    }
    close_both(&d);
    return r;
}

enum sat_answer diff_differs(const struct policy_image *old, const struct policy_image *new,
                             const struct sat_limits *limits, struct arena *arena,
                             struct slice *witness_old, struct slice *witness_new)
{
    struct diff d;
    enum sat_answer a = SAT_UNKNOWN;
    diff_init(&d, arena);
    *witness_old = *witness_new = SLICE_EMPTY;
    if (!open_both(&d, old, new, limits)) {
        uint32_t others = diff_others(&d);
        // One whose signals were all computed is easier to look at.
        for (unsigned flags = 0; flags < 2 && a != SAT_YES; flags++)
            a = space_ask(d.space, &others, 1, flags ? SPACE_FAILURES : 0);
        if (a == SAT_YES)
            *witness_old = diff_witness(&d, OLD, &others, 1);
        if (a == SAT_YES)
            *witness_new = diff_witness(&d, NEW, &others, 1);
        if (d.err)
            a = SAT_UNKNOWN;
    }
    close_both(&d);
    return a;
}
