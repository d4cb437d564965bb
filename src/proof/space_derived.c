// Derived signals: what a question about one asks of its inputs.
#include "base/alloc.h"
#include "proof/space_inner.h"

static void mark_guard(struct space *s, uint32_t image, struct image_list guard);

static void mark_signal(struct space *s, uint32_t image, int32_t signal)
{
    const struct policy_image *p = s->images[image];
    const struct image_signal *def = image_signal(p, signal);
    const struct image_term *terms = IMAGE_AT(p, def->terms, struct image_term);
    if (s->signal_work[image][signal] & SIGNAL_ASKED_FAILED)
        return;
    s->signal_work[image][signal] |= SIGNAL_ASKED_FAILED;
    for (uint32_t i = 0; i < def->terms.count; i++) {
        if (terms[i].signal >= 0)
            mark_signal(s, image, terms[i].signal);
        else
            mark_guard(s, image, terms[i].guard);
    }
}

static void mark_guard(struct space *s, uint32_t image, struct image_list guard)
{
    const struct policy_image *p = s->images[image];
    const struct image_node *n = IMAGE_AT(p, guard, struct image_node);
    for (uint32_t i = 0; i < guard.count; i++)
        if (n[i].kind == IMAGE_NODE_ATOM)
            mark_signal(s, image, IMAGE_AT(p, p->atoms, struct image_atom)[n[i].arg].signal);
}

void space_mark_failures(struct space *s)
{
    for (uint32_t k = 0; k < s->image_count; k++) {
        const struct policy_image *p = s->images[k];
        const struct image_atom *atoms = IMAGE_AT(p, p->atoms, struct image_atom);
        for (uint32_t i = 0; i < p->signals.count; i++)
            if (image_signal(p, (int32_t)i)->derive == IMAGE_DERIVE_LABEL ||
                image_signal(p, (int32_t)i)->derive == IMAGE_DERIVE_EXCLUSIVE)
                mark_signal(s, k, (int32_t)i);
        for (uint32_t i = 0; i < p->atoms.count; i++)
            if (atoms[i].op == IMAGE_OP_FAILED)
                mark_signal(s, k, atoms[i].signal);
    }
}

// Whether a signal that the guard looks at has failed; through derived ones to what they are made of.
static uint32_t guard_failed(struct space *s, uint32_t image, struct image_list guard);

uint32_t space_derived_failed(struct space *s, uint32_t image, int32_t signal)
{
    const struct policy_image *p = s->images[image];
    const struct image_signal *def = image_signal(p, signal);
    if (!def->derive)
        return space_failed(s, image, signal);
    const struct image_term *terms = IMAGE_AT(p, def->terms, struct image_term);
    size_t base = s->stack.len;
    for (uint32_t i = 0; i < def->terms.count; i++) {
        uint32_t f = terms[i].signal >= 0 ? space_derived_failed(s, image, terms[i].signal)
                                          : guard_failed(s, image, terms[i].guard);
        if (!SPACE_PUSH(s, &s->stack, space_not(f)))
            return SPACE_TRUE;
    }
    return space_not(space_fold(s, base));
}

static uint32_t guard_failed(struct space *s, uint32_t image, struct image_list guard)
{
    const struct policy_image *p = s->images[image];
    const struct image_node *n = IMAGE_AT(p, guard, struct image_node);
    const struct image_atom *atoms = IMAGE_AT(p, p->atoms, struct image_atom);
    size_t base = s->stack.len;
    for (uint32_t i = 0; i < guard.count; i++) {
        if (n[i].kind != IMAGE_NODE_ATOM)
            continue;
        uint32_t f = space_derived_failed(s, image, atoms[n[i].arg].signal);
        if (!SPACE_PUSH(s, &s->stack, space_not(f)))
            return SPACE_TRUE;
    }
    return space_not(space_fold(s, base));
}

// The label is at `level` or above: a term of such a level holds, or something failed that raises it so far.
static uint32_t label_at_least(struct space *s, uint32_t image, const struct image_signal *def,
                               uint32_t level)
{
    const struct image_term *terms = IMAGE_AT(s->images[image], def->terms, struct image_term);
    size_t base = s->stack.len;
    if (level == 0)
        return SPACE_TRUE;
    for (uint32_t i = 0; i < def->terms.count; i++) {
        uint32_t raised = SPACE_FALSE, failed = SPACE_FALSE;
        if (terms[i].word >= level)
            raised = space_guard(s, image, terms[i].guard);
        if (def->error_level >= level)
            failed = guard_failed(s, image, terms[i].guard);
        if (!SPACE_PUSH(s, &s->stack, space_not(raised)) ||
            !SPACE_PUSH(s, &s->stack, space_not(failed)))
            return SPACE_TRUE;
    }
    return space_not(space_fold(s, base));
}

uint32_t space_label(struct space *s, uint32_t image, int32_t signal, uint32_t level)
{
    return label_at_least(s, image, image_signal(s->images[image], signal), level);
}

// A union of runs of levels.
static uint32_t label_atom(struct space *s, uint32_t image, const struct image_signal *def,
                           const struct image_atom *a)
{
    uint32_t levels = def->words.count, f = SPACE_FALSE;
    for (uint32_t from = 0; from < levels;) {
        uint32_t to = from;
        while (to < levels && space_element_holds(s->images[image], a, to))
            to++;
        if (to > from) {
            uint32_t low = label_at_least(s, image, def, from),
                     high = to < levels ? label_at_least(s, image, def, to) : SPACE_FALSE;
            uint32_t run = space_and(s, (uint32_t[]){low, space_not(high)}, 2);
            f = space_or(s, (uint32_t[]){f, run}, 2);
        }
        from = to + 1;
    }
    return f;
}

uint32_t space_derived_atom(struct space *s, uint32_t image, const struct image_atom *a)
{
    const struct image_signal *def = image_signal(s->images[image], a->signal);
    if (a->op == IMAGE_OP_FAILED)
        return space_derived_failed(s, image, a->signal);
    if (def->derive == IMAGE_DERIVE_LABEL)
        return label_atom(s, image, def, a);
    return space_score_atom(s, image, a);
}
