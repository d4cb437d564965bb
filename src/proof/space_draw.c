// The drawn requests: a few thousand with a fixed seed, or all there are where these are few; and the evaluation of
// formulas for 64 of them at a time.
#include "base/alloc.h"
#include "base/rng.h"
#include "proof/space_inner.h"

enum { DRAW_BYTES_MAX = 48 * 1024 * 1024 }; // cells and bits of all drawn requests together

// Cells that a drawn request may have: those that hold something, and for what is fixed only the first.
static uint32_t choices(const struct field *f)
{
    return f->fixed || f->derived != UINT32_MAX ? 1 : f->possible;
}

static uint16_t pick(const struct space *s, const struct field *f, uint32_t n)
{
    if (f->kind != FIELD_ORDER)
        return (uint16_t)n;
    for (uint32_t c = 0; c < f->cells; c++)
        if (s->possible.at[f->possible_at + c] && n-- == 0)
            return (uint16_t)c;
    return 0;
}

static uint64_t guard_nodes(const struct space *s)
{
    uint64_t n = 64;
    for (uint32_t k = 0; k < s->image_count; k++)
        n += s->images[k]->nodes.count + 2 * (uint64_t)s->images[k]->atoms.count;
    return n;
}

static void enumerate(struct space *s)
{
    uint32_t period = 1;
    for (size_t f = 0; f < s->fields.len; f++) {
        const struct field *field = &s->fields.at[f];
        uint32_t n = choices(field);
        for (uint32_t i = 0; i < s->drawn; i++)
            s->cells[f * s->drawn + i] = pick(s, field, i / period % n);
        period *= n;
    }
}

static void draw(struct space *s)
{
    struct rng rng;
    rng_seed(&rng, UINT64_C(0x6d6572697470726f));
    for (size_t f = 0; f < s->fields.len; f++) {
        const struct field *field = &s->fields.at[f];
        for (uint32_t i = 0; i < s->drawn; i++)
            s->cells[f * s->drawn + i] =
                field->fixed ? 0 : pick(s, field, (uint32_t)rng_below(&rng, choices(field)));
    }
}

enum result space_make_draws(struct space *s)
{
    uint64_t all = 1, per = s->fields.len * sizeof *s->cells * 8 + guard_nodes(s);
    for (size_t f = 0; f < s->fields.len && all <= SPACE_EXACT; f++)
        all *= choices(&s->fields.at[f]);
    // Where numbers are added up their cells do not tell all.
    bool adds = false;
    for (size_t i = 0; i < s->derived.len; i++)
        adds |= s->derived.at[i].numbers;
    s->exact = !adds && all <= SPACE_EXACT && per * all / 8 <= DRAW_BYTES_MAX;
    s->drawn = s->exact ? (uint32_t)all : SPACE_SAMPLES;
    while (!s->exact && s->drawn > 64 && per * s->drawn / 8 > DRAW_BYTES_MAX)
        s->drawn /= 2;
    s->words = (s->drawn + 63) / 64;
    s->cells = alloc_bytes((s->fields.len * s->drawn + 1) * sizeof *s->cells);
    s->live = alloc_zeroed(s->words, sizeof *s->live);
    s->model = alloc_zeroed(s->fields.len + 1, sizeof *s->model);
    if (!s->cells || !s->live || !s->model)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < s->drawn; i++)
        s->live[i / 64] |= UINT64_C(1) << (i % 64);
    if (s->exact)
        enumerate(s);
    else
        draw(s);
    return RESULT_OK;
}

static void draw_cells(struct space *s, const struct node *n, uint64_t *out)
{
    const uint16_t *cells = s->cells + (size_t)n->tag * s->drawn;
    const uint32_t *list = s->lists.at + n->list_at;
    const struct field *f = &s->fields.at[n->tag];
    for (uint32_t i = 0; i < s->drawn; i++) {
        bool in = false;
        if (f->kind == FIELD_ORDER)
            in = cells[i] >= list[0] && cells[i] < list[1];
        else if (n->list_count == 1)
            in = cells[i] == list[0];
        else
            for (uint32_t lo = 0, hi = n->list_count; lo < hi && !in;) {
                uint32_t mid = (lo + hi) / 2;
                in = list[mid] == cells[i];
                if (list[mid] < cells[i])
                    lo = mid + 1;
                else
                    hi = mid;
            }
        out[i / 64] |= (uint64_t)in << (i % 64);
    }
}

void space_draw_node(struct space *s, uint32_t node)
{
    const struct node *n = &s->nodes.at[node];
    const uint32_t *list = s->lists.at + n->list_at;
    uint64_t *out = s->bits + (size_t)node * s->words;
    for (uint32_t w = 0; w < s->words; w++)
        out[w] = n->kind == NODE_CELLS ? 0 : s->live[w];
    if (n->kind == NODE_CELLS) {
        draw_cells(s, n, out);
        return;
    }
    for (uint32_t i = 0; i < n->list_count; i++) {
        const uint64_t *in = s->bits + (size_t)(list[i] >> 1) * s->words;
        uint64_t flip = list[i] & 1 ? ~UINT64_C(0) : 0;
        for (uint32_t w = 0; w < s->words; w++)
            out[w] &= in[w] ^ flip;
    }
}
