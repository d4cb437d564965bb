// Scores and exclusive groups: their fields, what they are made of, and what is asked of them.
#include <float.h>

#include "base/alloc.h"
#include "proof/space_inner.h"

static const struct policy_image *image_of(const struct space *s, const struct derived *d)
{
    return s->images[d->image];
}

// ---- the form, equal for signals that compute the same

struct form {
    struct space *s;
    uint32_t image;
    struct buf key;
};

static void put_signal(struct form *f, int32_t signal);

static void put_guard(struct form *f, struct image_list guard)
{
    const struct policy_image *p = f->s->images[f->image];
    const struct image_node *n = IMAGE_AT(p, guard, struct image_node);
    for (uint32_t i = 0; i < guard.count; i++) {
        const struct image_atom *a = IMAGE_AT(p, p->atoms, struct image_atom) + n[i].arg;
        const struct image_str *texts;
        buf_printf(&f->key, "n%d,%u", (int)n[i].kind, n[i].kind == IMAGE_NODE_ATOM ? 0 : n[i].arg);
        if (n[i].kind != IMAGE_NODE_ATOM)
            continue;
        buf_printf(&f->key, "o%d", (int)a->op);
        buf_append(&f->key, &a->number, sizeof a->number);
        buf_append(&f->key, &a->words, sizeof a->words);
        texts = IMAGE_AT(p, a->texts, struct image_str);
        for (uint32_t k = 0; k < a->texts.count; k++) {
            buf_printf(&f->key, "t%u:", texts[k].len);
            buf_add(&f->key, image_text(p, texts[k]));
        }
        put_signal(f, a->signal);
    }
}

static void put_terms(struct form *f, const struct image_signal *def)
{
    const struct policy_image *p = f->s->images[f->image];
    const struct image_term *terms = IMAGE_AT(p, def->terms, struct image_term);
    buf_printf(&f->key, "d%d,%u", (int)def->derive, def->terms.count);
    for (uint32_t i = 0; i < def->terms.count; i++) {
        buf_printf(&f->key, "w%u", terms[i].word);
        buf_append(&f->key, &terms[i].weight, sizeof terms[i].weight);
        if (terms[i].signal >= 0)
            put_signal(f, terms[i].signal);
        else
            put_guard(f, terms[i].guard);
    }
}

// What a derived signal inside makes of its terms: two with the same terms may still differ in that.
static void put_reading(struct form *f, const struct image_signal *def)
{
    const struct policy_image *p = f->s->images[f->image];
    const struct image_band *bands = IMAGE_AT(p, def->bands, struct image_band);
    buf_printf(&f->key, "r%d,%d,%d,e%u,x%u,%u,b%u", (int)def->type, def->has_threshold,
               def->threshold_above, def->error_level, def->otherwise, def->words.count,
               def->bands.count);
    buf_append(&f->key, &def->threshold, sizeof def->threshold);
    buf_append(&f->key, &def->temperature, sizeof def->temperature);
    buf_append(&f->key, &def->margin, sizeof def->margin);
    for (uint32_t i = 0; i < def->bands.count; i++)
        buf_append(&f->key, &bands[i].from, sizeof bands[i].from);
}

static void put_signal(struct form *f, int32_t signal)
{
    const struct policy_image *p = f->s->images[f->image];
    const struct image_signal *def = image_signal(p, signal);
    uint32_t input = f->s->signal_input[f->image][signal];
    if (input == UINT32_MAX) {
        put_terms(f, def);
        put_reading(f, def);
        return;
    }
    struct slice error = image_text(p, def->error_text);
    buf_printf(&f->key, "i%u,%d,%d", input, def->has_threshold, def->threshold_above);
    buf_append(&f->key, &def->threshold, sizeof def->threshold);
    buf_append(&f->key, &def->error_number, sizeof def->error_number);
    buf_printf(&f->key, "e%zu:", error.len);
    buf_add(&f->key, error);
}

// Words by what they mean: two bands with other names are other values, but the same cells.
static struct slice form_of(struct space *s, uint32_t image, int32_t signal)
{
    const struct image_signal *def = image_signal(s->images[image], signal);
    struct form f = {.s = s, .image = image};
    buf_init(&f.key, IMAGE_BYTES_MAX);
    put_terms(&f, def);
    if (def->derive == IMAGE_DERIVE_EXCLUSIVE) {
        buf_append(&f.key, &def->temperature, sizeof def->temperature);
        buf_append(&f.key, &def->margin, sizeof def->margin);
        buf_printf(&f.key, "x%u,%u", def->otherwise, def->words.count);
    }
    struct slice kept = buf_result(&f.key) ? SLICE_EMPTY : arena_copy(&s->names, buf_slice(&f.key));
    buf_deinit(&f.key);
    if (!kept.ptr)
        space_fail(s, RESULT_NOMEM);
    return kept;
}

// ---- declaring

static void declare(struct space *s, uint32_t image, int32_t signal);

static void declare_guard(struct space *s, uint32_t image, struct image_list guard)
{
    const struct policy_image *p = s->images[image];
    const struct image_node *n = IMAGE_AT(p, guard, struct image_node);
    for (uint32_t i = 0; i < guard.count && !s->err; i++)
        if (n[i].kind == IMAGE_NODE_ATOM)
            declare(s, image, IMAGE_AT(p, p->atoms, struct image_atom)[n[i].arg].signal);
}

// What it looks at comes before it. Depth is bounded by the image's own rule.
static void declare(struct space *s, uint32_t image, int32_t signal)
{
    const struct policy_image *p = s->images[image];
    const struct image_signal *def = image_signal(p, signal);
    const struct image_term *terms = IMAGE_AT(p, def->terms, struct image_term);
    if (!def->derive || s->signal_derived[image][signal] != UINT32_MAX)
        return;
    for (uint32_t i = 0; i < def->terms.count && !s->err; i++) {
        if (terms[i].signal >= 0)
            declare(s, image, terms[i].signal);
        else
            declare_guard(s, image, terms[i].guard);
    }
    if (s->err || def->derive == IMAGE_DERIVE_LABEL)
        return;
    struct slice form = form_of(s, image, signal);
    if (s->err)
        return;
    void *known = map_get(&s->by_form, form);
    uint32_t at = known ? (uint32_t)((uintptr_t)known - 1) : (uint32_t)s->derived.len;
    s->signal_derived[image][signal] = at;
    if (known)
        return;
    struct derived d = {.kind = def->derive,
                        .image = image,
                        .signal = signal,
                        .group = (uint32_t)s->groups.len,
                        .relies = DERIVED_BIT(at)};
    struct group g = {.raw = SIGNAL_NUMBER,
                      .min = -DBL_MAX,
                      .max = DBL_MAX,
                      .image = p,
                      .signal = def,
                      .other_word = IMAGE_NONE};
    d.leaves.cap = g.cuts.cap = g.class_of.cap = g.texts.cap = g.shown.cap = UINT32_MAX;
    map_init(&g.index, (struct hash_key){3, 4}, UINT32_MAX);
    if (d.kind == IMAGE_DERIVE_EXCLUSIVE)
        g.raw = SIGNAL_ENUM;
    for (uint32_t i = 0; i < def->terms.count; i++) {
        uint32_t in = terms[i].signal >= 0 ? s->signal_derived[image][terms[i].signal] : UINT32_MAX;
        d.numbers |= terms[i].signal >= 0 && (in == UINT32_MAX || s->derived.at[in].numbers);
    }
    if (map_put(&s->by_form, form, (void *)(uintptr_t)(at + 1)) != RESULT_OK)
        space_fail(s, RESULT_NOMEM);
    (void)(SPACE_PUSH(s, &s->groups, g) && SPACE_PUSH(s, &s->derived, d));
}

static struct cut band_cut(const struct policy_image *p, const struct image_signal *def, uint32_t k)
{
    return (struct cut){IMAGE_AT(p, def->bands, struct image_band)[k].from + 0.0, false};
}

static void gather_cuts(struct space *s, uint32_t image, const struct image_atom *a)
{
    const struct policy_image *p = s->images[image];
    const struct image_signal *def = image_signal(p, a->signal);
    uint32_t at = s->signal_derived[image][a->signal];
    if (at == UINT32_MAX || def->derive != IMAGE_DERIVE_SCORE || a->op == IMAGE_OP_FAILED)
        return;
    struct group *g = &s->groups.at[s->derived.at[at].group];
    if (!def->bands.count) {
        space_gather_number(s, g, def, a);
        return;
    }
    for (uint32_t k = 1; k < def->bands.count && !s->err; k++)
        (void)SPACE_PUSH(s, &g->cuts, band_cut(p, def, k));
}

// A word is a cell of its own, so that arithmetic speaks of single words.
static void own_classes(struct space *s, struct group *g)
{
    uint32_t words = g->signal->words.count;
    g->classes = words ? words : 1;
    for (uint32_t i = 0; i < g->classes && !s->err; i++)
        (void)(SPACE_PUSH(s, &g->class_of, i) && SPACE_PUSH(s, &g->texts, SLICE_EMPTY));
}

enum result space_declare_derived(struct space *s)
{
    for (uint32_t k = 0; k < s->image_count && !s->err; k++)
        for (uint32_t i = 0; i < s->images[k]->signals.count && !s->err; i++)
            declare(s, k, (int32_t)i);
    for (uint32_t k = 0; k < s->image_count && !s->err; k++)
        for (uint32_t i = 0; i < s->images[k]->atoms.count && !s->err; i++)
            gather_cuts(s, k, IMAGE_AT(s->images[k], s->images[k]->atoms, struct image_atom) + i);
    for (uint32_t i = 0; i < s->derived.len && !s->err; i++) {
        struct group *g = &s->groups.at[s->derived.at[i].group];
        if (g->raw == SIGNAL_ENUM)
            own_classes(s, g);
        space_make_group(s, g);
        if (!s->err)
            s->fields.at[g->field_at].derived = i;
    }
    return s->err;
}

// ---- what it is made of

static void gather_leaves(struct space *s, struct derived *d, const struct image_signal *def,
                          bool falls)
{
    const struct image_term *terms = IMAGE_AT(image_of(s, d), def->terms, struct image_term);
    for (uint32_t i = 0; i < def->terms.count && !s->err; i++) {
        bool down = falls != (terms[i].weight < 0);
        int32_t signal = terms[i].signal;
        if (def->derive == IMAGE_DERIVE_SCORE && terms[i].weight == 0)
            continue;
        if (signal >= 0 && image_signal(image_of(s, d), signal)->derive) {
            gather_leaves(s, d, image_signal(image_of(s, d), signal), down);
            continue;
        }
        struct leaf leaf = {.input = UINT32_MAX, .signal = signal, .falls = down};
        if (signal >= 0) {
            leaf.input = s->signal_input[d->image][signal];
        } else {
            leaf.formula = space_guard(s, d->image, terms[i].guard);
            d->relies |= s->nodes.at[leaf.formula >> 1].derived;
        }
        (void)SPACE_PUSH(s, &d->leaves, leaf);
    }
}

static void lead_out(struct space *s, struct derived *d)
{
    const struct image_signal *def = image_signal(image_of(s, d), d->signal);
    const struct field *f = &s->fields.at[s->groups.at[d->group].field_at];
    if (d->kind != IMAGE_DERIVE_EXCLUSIVE || def->otherwise >= f->cells)
        return;
    // When a member could not be computed it is `otherwise`.
    uint32_t last = s->literals.at[f->literal_at + def->otherwise];
    sat_clause(s->sat, (uint32_t[]){sat_not(space_literal(s, d->failed)), last}, 2);
}

enum result space_finish_derived(struct space *s)
{
    s->drawn_number = alloc_zeroed(s->groups.len + 1, sizeof *s->drawn_number);
    if (!s->drawn_number)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < s->derived.len && !space_result(s); i++) {
        struct derived *d = &s->derived.at[i];
        d->failed = space_derived_failed(s, d->image, d->signal);
        gather_leaves(s, d, image_signal(image_of(s, d), d->signal), false);
        if (s->err)
            return s->err;
        lead_out(s, d);
        if (d->leaves.len > s->most_leaves)
            s->most_leaves = d->leaves.len;
        enum result r = space_draw_derived(s, i);
        if (r)
            return r;
    }
    s->bounds = alloc_zeroed(s->most_leaves + 1, sizeof *s->bounds);
    s->number = alloc_zeroed(s->groups.len + 1, sizeof *s->number);
    s->pinned = alloc_zeroed(s->groups.len + 1, sizeof *s->pinned);
    if (!s->bounds || !s->number || !s->pinned)
        return RESULT_NOMEM;
    s->theory = (struct sat_theory){space_check_theory, s};
    if (s->derived.len)
        sat_theory(s->sat, &s->theory);
    return space_result(s);
}

// ---- questions

static uint32_t bands_atom(struct space *s, const struct group *g, const struct policy_image *p,
                           const struct image_signal *def, const struct image_atom *a)
{
    uint32_t bands = def->bands.count, f = SPACE_FALSE;
    for (uint32_t from = 0; from < bands;) {
        uint32_t to = from;
        while (to < bands && space_element_holds(p, a, to))
            to++;
        if (to > from) {
            uint32_t low =
                         from ? space_at_least(s, g, band_cut(p, def, from).at, false) : SPACE_TRUE,
                     high = to < bands ? space_at_least(s, g, band_cut(p, def, to).at, false)
                                       : SPACE_FALSE;
            uint32_t run = space_and(s, (uint32_t[]){low, space_not(high)}, 2);
            f = space_or(s, (uint32_t[]){f, run}, 2);
        }
        from = to + 1;
    }
    return f;
}

uint32_t space_score_atom(struct space *s, uint32_t image, const struct image_atom *a)
{
    const struct policy_image *p = s->images[image];
    const struct image_signal *def = image_signal(p, a->signal);
    const struct derived *d = &s->derived.at[s->signal_derived[image][a->signal]];
    const struct group *g = &s->groups.at[d->group];
    if (d->kind == IMAGE_DERIVE_SCORE)
        return def->bands.count ? bands_atom(s, g, p, def, a) : space_number_atom(s, g, p, a);
    uint32_t list[IMAGE_WORDS_MAX], n = 0;
    for (uint32_t w = 0; w < g->classes && w < IMAGE_WORDS_MAX; w++)
        if (space_element_holds(p, a, w))
            list[n++] = w;
    return space_class_cells(s, g->field_at, list, n);
}
