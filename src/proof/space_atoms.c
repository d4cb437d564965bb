// What an atom asks, as a formula over the cells of fields.
#include "base/alloc.h"
#include "proof/space_inner.h"
#include "route/route.h"

bool space_error_holds(const struct policy_image *p, const struct image_atom *a)
{
    const struct image_signal *def = image_signal(p, a->signal);
    struct slice text = image_text(p, def->error_text);
    struct fact f = {.state = FACT_FAILED, .number = def->error_number, .text = text};
    if (def->type == SIGNAL_SET && text.len) {
        f.texts = &text;
        f.text_count = 1;
    }
    return route_atom_holds(p, a, &f);
}

static uint32_t number_range(struct space *s, const struct group *g, uint32_t first, uint32_t end)
{
    uint32_t cells = s->fields.at[g->field_at].cells;
    first = first == SPACE_ALWAYS ? 0 : first == SPACE_NEVER ? cells : first;
    end = end == SPACE_ALWAYS ? 0 : end == SPACE_NEVER ? cells : end;
    if (first >= end)
        return SPACE_FALSE;
    if (first == 0 && end == cells)
        return SPACE_TRUE;
    if (first == 0)
        return space_not(space_cells_node(s, g->field_at, (uint32_t[]){end, cells}, 2));
    return space_cells_node(s, g->field_at, (uint32_t[]){first, end}, 2);
}

uint32_t space_at_least(struct space *s, const struct group *g, double at, bool above)
{
    return number_range(s, g, space_cut_cell(g, at, above), SPACE_NEVER);
}

static uint32_t equal(struct space *s, const struct group *g, double at)
{
    return number_range(s, g, space_cut_cell(g, at, false), space_cut_cell(g, at, true));
}

// A question of a truth value, when that is `value`.
static uint32_t of_bool(const struct policy_image *p, const struct image_atom *a, uint32_t value)
{
    bool no = space_element_holds(p, a, 0), yes = space_element_holds(p, a, 1);
    return no == yes ? (yes ? SPACE_TRUE : SPACE_FALSE) : yes ? value : space_not(value);
}

uint32_t space_number_atom(struct space *s, const struct group *g, const struct policy_image *p,
                           const struct image_atom *a)
{
    const struct image_signal *def = image_signal(p, a->signal);
    uint32_t parts[64], n = 0, f;
    if (def->has_threshold) {
        f = space_at_least(s, g, def->threshold, def->threshold_above);
        return of_bool(p, a, def->threshold_above ? f : space_not(f));
    }
    switch (a->op) {
    case IMAGE_OP_TRUE:
        return space_not(equal(s, g, 0));
    case IMAGE_OP_EQ:
        return equal(s, g, a->number);
    case IMAGE_OP_NE:
        return space_not(equal(s, g, a->number));
    case IMAGE_OP_GE:
        return space_at_least(s, g, a->number, false);
    case IMAGE_OP_LT:
        return space_not(space_at_least(s, g, a->number, false));
    case IMAGE_OP_GT:
        return space_at_least(s, g, a->number, true);
    case IMAGE_OP_LE:
        return space_not(space_at_least(s, g, a->number, true));
    case IMAGE_OP_IN: // as the router reads it: the bit of the whole part
        for (unsigned i = 0; i < 64; i++)
            if (a->words >> i & 1)
                parts[n++] = number_range(s, g, space_cut_cell(g, i, false),
                                          space_cut_cell(g, i + 1, false));
        return space_or(s, parts, n);
    case IMAGE_OP_FAILED:
        break;
    }
    return SPACE_FALSE;
}

// One of the listed cells of a class field; the list is ascending.
uint32_t space_class_cells(struct space *s, uint32_t field, const uint32_t *list, uint32_t count)
{
    uint32_t cells = s->fields.at[field].cells;
    if (count == 0)
        return SPACE_FALSE;
    if (count == cells)
        return SPACE_TRUE;
    if (list[0] != 0)
        return space_cells_node(s, field, list, count);
    // The same set is always written without cell 0.
    uint32_t *rest = alloc_bytes((cells - count) * sizeof *rest), n = 0;
    if (!rest) {
        space_fail(s, RESULT_NOMEM);
        return SPACE_TRUE;
    }
    for (uint32_t c = 0, i = 0; c < cells; c++) {
        if (i < count && list[i] == c)
            i++;
        else
            rest[n++] = c;
    }
    uint32_t f = space_not(space_cells_node(s, field, rest, n));
    alloc_free(rest);
    return f;
}

// Which classes hold an element that the atom asks for.
static void mark_classes(const struct group *g, const struct policy_image *p,
                         const struct image_atom *a, uint8_t *marked)
{
    if (g->raw == SIGNAL_ENUM) {
        for (uint32_t c = 0; c < g->classes; c++)
            marked[c] = space_element_holds(p, a, g->shown.at[c]);
        return;
    }
    if (a->op == IMAGE_OP_TRUE) {
        marked[g->class_of.at[1]] = 1;
        return;
    }
    const struct image_str *texts = IMAGE_AT(p, a->texts, struct image_str);
    for (uint32_t i = 0; i < a->texts.count; i++) {
        uint32_t e = space_element(g, image_text(p, texts[i]));
        if (e != UINT32_MAX)
            marked[g->class_of.at[e]] = 1;
    }
}

static uint32_t class_atom(struct space *s, const struct group *g, const struct policy_image *p,
                           const struct image_atom *a)
{
    uint8_t *marked = alloc_zeroed(g->classes + 1, 1);
    uint32_t *list = alloc_bytes((g->classes + 1) * sizeof *list), n = 0, f = SPACE_TRUE;
    if (!marked || !list) {
        space_fail(s, RESULT_NOMEM);
        goto out;
    }
    bool all = g->raw == SIGNAL_SET && a->op == IMAGE_OP_TRUE;
    if (!all)
        mark_classes(g, p, a, marked);
    for (uint32_t c = 0; c < g->classes; c++)
        if (all || marked[c])
            list[n++] = c;
    if (g->raw == SIGNAL_SET) {
        for (uint32_t i = 0; i < n; i++)
            list[i] = space_cells_node(s, g->field_at + list[i], (uint32_t[]){1}, 1);
        f = space_or(s, list, n);
    } else {
        f = space_class_cells(s, g->field_at, list, n);
    }
    if (a->op == IMAGE_OP_NE || (a->op == IMAGE_OP_TRUE && g->raw == SIGNAL_TEXT))
        f = space_not(f);
out:
    alloc_free(marked);
    alloc_free(list);
    return f;
}

static uint32_t failed_cell(struct space *s, uint32_t input)
{
    uint32_t field = s->inputs.at[input].failed_field;
    return field == UINT32_MAX ? SPACE_FALSE : space_cells_node(s, field, (uint32_t[]){1}, 1);
}

uint32_t space_make_atom(struct space *s, uint32_t image, uint32_t atom)
{
    const struct policy_image *p = s->images[image];
    const struct image_atom *a = IMAGE_AT(p, p->atoms, struct image_atom) + atom;
    uint32_t input = s->signal_input[image][a->signal], f;
    if (input == UINT32_MAX)
        return space_derived_atom(s, image, a);
    const struct group *g = &s->groups.at[s->inputs.at[input].group];
    uint32_t failed = failed_cell(s, input);
    if (a->op == IMAGE_OP_FAILED)
        return space_atom_node(s, input, failed);
    if (g->raw == SIGNAL_NUMBER) {
        f = space_number_atom(s, g, p, a);
    } else if (g->raw == SIGNAL_BOOL) {
        f = of_bool(p, a, space_cells_node(s, g->field_at, (uint32_t[]){1}, 1));
    } else {
        f = class_atom(s, g, p, a);
    }
    if (failed != SPACE_FALSE) {
        if (space_error_holds(p, a))
            f = space_or(s, (uint32_t[]){failed, f}, 2);
        else
            f = space_and(s, (uint32_t[]){space_not(failed), f}, 2);
    }
    return space_atom_node(s, input, f);
}

uint32_t space_failed(struct space *s, uint32_t image, int32_t signal)
{
    uint32_t input = s->signal_input[image][signal];
    if (input == UINT32_MAX || s->err)
        return SPACE_FALSE;
    return space_atom_node(s, input, failed_cell(s, input));
}
