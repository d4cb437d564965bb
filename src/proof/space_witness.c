// From a model to a request that a person can read: concrete values for the fewest signals that show it.
#include "base/alloc.h"
#include "proof/space_inner.h"
#include "text/json.h"

enum kleene { NO, YES, OPEN, UNSEEN };

// ---- which signals matter

static bool failed_in_model(const struct space *s, uint32_t input)
{
    uint32_t f = s->inputs.at[input].failed_field;
    return f != UINT32_MAX && s->model[f] == 1;
}

// Whether a formula holds in the model, everything known.
static enum kleene value(struct space *s, uint32_t node, bool all);

static bool cells_hold(const struct space *s, const struct node *n)
{
    const uint32_t *list = s->lists.at + n->list_at;
    uint32_t cell = s->model[n->tag];
    if (s->fields.at[n->tag].kind == FIELD_ORDER)
        return cell >= list[0] && cell < list[1];
    for (uint32_t i = 0; i < n->list_count; i++)
        if (list[i] == cell)
            return true;
    return false;
}

// Three-valued, as the router evaluates: an atom is open while its signal is not given. `all`: as if all were. Depth is
// that of guards, and of derived signals in each other.
static enum kleene value_of(struct space *s, uint32_t formula, bool all)
{
    enum kleene v = value(s, formula >> 1, all);
    return v == OPEN ? OPEN : (enum kleene)(v ^ (formula & 1));
}

// A derived signal's cell as far as it follows from what is given.
static enum kleene derived_cells(struct space *s, const struct node *n)
{
    const struct derived *d = &s->derived.at[s->fields.at[n->tag].derived];
    const struct group *own = &s->groups.at[d->group];
    struct bound *b = alloc_zeroed(d->leaves.len + 1, sizeof *b);
    enum kleene failed = value_of(s, d->failed, false);
    bool whole = failed != OPEN;
    uint32_t from, to, in = 0;
    if (!b) {
        space_fail(s, RESULT_NOMEM);
        return OPEN;
    }
    for (uint32_t i = 0; i < d->leaves.len; i++) {
        const struct leaf *l = &d->leaves.at[i];
        if (l->input == UINT32_MAX) {
            enum kleene v = value_of(s, l->formula, false);
            b[i] = (struct bound){.lo = v == YES, .hi = v != NO};
        } else if (s->kept[l->input]) {
            const struct image_signal *def = image_signal(s->images[d->image], l->signal);
            const struct group *g = &s->groups.at[s->inputs.at[l->input].group];
            double v =
                failed_in_model(s, l->input) ? def->error_number : s->number[g - s->groups.at];
            b[i].lo = b[i].hi = v < g->min ? g->min : v > g->max ? g->max : v;
        } else {
            const struct group *g = &s->groups.at[s->inputs.at[l->input].group];
            b[i] = (struct bound){.lo = g->min, .hi = g->max};
        }
        whole &= b[i].lo == b[i].hi;
    }
    space_possible(s, d, b, whole || failed == YES, failed == YES, &from, &to);
    alloc_free(b);
    const uint32_t *list = s->lists.at + n->list_at;
    for (uint32_t c = from; c <= to; c++) {
        if (own->raw == SIGNAL_NUMBER)
            in += c >= list[0] && c < list[1];
        else
            for (uint32_t i = 0; i < n->list_count; i++)
                in += list[i] == c;
    }
    return in == 0 ? NO : in == to - from + 1 ? YES : OPEN;
}

static enum kleene value(struct space *s, uint32_t node, bool all)
{
    const struct node *n = &s->nodes.at[node];
    const uint32_t *list = s->lists.at + n->list_at;
    uint8_t *memo = &s->kleene[all ? s->nodes.len + node : node];
    if (*memo != UNSEEN)
        return (enum kleene) * memo;
    enum kleene v = YES;
    switch (n->kind) {
    case NODE_TRUE:
        break;
    case NODE_CELLS:
        v = s->fields.at[n->tag].derived != UINT32_MAX && !all ? derived_cells(s, n)
            : cells_hold(s, n)                                 ? YES
                                                               : NO;
        break;
    case NODE_ATOM:
        v = all || s->kept[n->tag] ? value_of(s, list[0], true) : OPEN;
        break;
    case NODE_AND:
        for (uint32_t i = 0; i < n->list_count && v != NO; i++) {
            enum kleene part = value_of(s, list[i], all);
            if (part != YES)
                v = part;
        }
        break;
    }
    // What is open may be known when more signals are given.
    if (v != OPEN)
        *memo = (uint8_t)v;
    return v;
}

static bool show(struct space *s, const uint32_t *claims, uint32_t count)
{
    memset(s->kleene, UNSEEN, s->nodes.len);
    for (uint32_t i = 0; i < count; i++)
        if (value_of(s, claims[i], false) != YES)
            return false;
    return true;
}

static void justify(struct space *s, uint32_t formula);

static void justify_derived(struct space *s, const struct derived *d)
{
    for (uint32_t i = 0; i < d->leaves.len; i++) {
        if (d->leaves.at[i].input == UINT32_MAX)
            justify(s, d->leaves.at[i].formula);
        else
            s->kept[d->leaves.at[i].input] = 1;
    }
    if (d->kind == IMAGE_DERIVE_EXCLUSIVE)
        justify(s, d->failed);
}

// Keeps the signals that make a formula what it is in the model.
static void justify(struct space *s, uint32_t formula)
{
    const struct node *n = &s->nodes.at[formula >> 1];
    const uint32_t *list = s->lists.at + n->list_at;
    if (value_of(s, formula, false) != OPEN)
        return;
    if (n->kind == NODE_ATOM)
        s->kept[n->tag] = 1;
    if (n->kind == NODE_CELLS && s->fields.at[n->tag].derived != UINT32_MAX)
        justify_derived(s, &s->derived.at[s->fields.at[n->tag].derived]);
    if (n->kind != NODE_AND)
        return;
    if (value(s, formula >> 1, true) == YES) {
        for (uint32_t i = 0; i < n->list_count; i++)
            justify(s, list[i]);
        return;
    }
    // One false part is enough: an atom rather than something deeper.
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < n->list_count; i++) {
        if (value_of(s, list[i], true) != NO)
            continue;
        if (best == UINT32_MAX || s->nodes.at[list[i] >> 1].kind == NODE_ATOM)
            best = list[i];
        if (s->nodes.at[best >> 1].kind == NODE_ATOM)
            break;
    }
    if (best != UINT32_MAX)
        justify(s, best);
}

bool space_scratch(struct space *s)
{
    if (!s->kept && !(s->kept = alloc_zeroed(s->inputs.len + 1, 1)))
        return space_fail(s, RESULT_NOMEM);
    if (s->kleene_room < s->nodes.len * 2) {
        uint8_t *more = alloc_resize(s->kleene, s->nodes.len * 2);
        if (!more)
            return space_fail(s, RESULT_NOMEM);
        s->kleene = more;
        s->kleene_room = s->nodes.len * 2;
    }
    return true;
}

bool space_holds(struct space *s, uint32_t formula)
{
    return !s->err && space_scratch(s) && space_model_holds(s, formula);
}

bool space_model_holds(struct space *s, uint32_t formula)
{
    memset(s->kleene, UNSEEN, s->nodes.len * 2);
    return value_of(s, formula, true) == YES;
}

static bool choose_inputs(struct space *s, const uint32_t *claims, uint32_t count)
{
    if (!space_scratch(s))
        return false;
    memset(s->kept, 0, s->inputs.len);
    memset(s->kleene, UNSEEN, s->nodes.len * 2);
    // What must hold says more than what must not, so it goes first.
    for (uint32_t flip = 0; flip < 2; flip++)
        for (uint32_t i = 0; i < count; i++)
            if ((claims[i] & 1) == flip)
                justify(s, claims[i]);
    for (size_t i = 0; i < s->inputs.len; i++) {
        if (!s->kept[i])
            continue;
        s->kept[i] = 0;
        s->kept[i] = !show(s, claims, count);
    }
    return true;
}

// ---- values

static struct slice element_text(const struct group *g, uint32_t e)
{
    static const char *const fresh[] = {"other", "another", "something else", "none of them"};
    if (e == 1 && g->raw == SIGNAL_TEXT)
        return SLICE_EMPTY;
    if (e > 1)
        return g->texts.at[e];
    if (g->other_word != IMAGE_NONE)
        return image_text(g->image,
                          IMAGE_AT(g->image, g->signal->words, struct image_str)[g->other_word]);
    for (size_t i = 0; i < MERIT_COUNT(fresh); i++)
        if (space_element(g, slice_cstr(fresh[i])) == UINT32_MAX)
            return slice_cstr(fresh[i]);
    return SLICE("\x7f");
}

static enum result set_fact(struct space *s, const struct group *g, struct arena *arena,
                            struct fact *f)
{
    struct slice *texts = ARENA_ARRAY(arena, struct slice, g->classes + 1);
    if (!texts)
        return RESULT_NOMEM;
    f->texts = texts;
    for (uint32_t c = 0; c < g->classes; c++)
        if (s->model[g->field_at + c])
            texts[f->text_count++] = element_text(g, g->shown.at[c]);
    return RESULT_OK;
}

static enum result fact_of(struct space *s, uint32_t image, uint32_t signal, struct arena *arena,
                           struct fact *f)
{
    const struct policy_image *p = s->images[image];
    const struct image_signal *def = image_signal(p, (int32_t)signal);
    uint32_t input = s->signal_input[image][signal];
    const struct group *g = &s->groups.at[s->inputs.at[input].group];
    uint32_t cell = s->model[g->field_at];
    *f = (struct fact){.state = FACT_GIVEN, .probability = 1};
    if (failed_in_model(s, input)) {
        f->state = FACT_FAILED;
        f->number = def->error_number;
        f->text = image_text(p, def->error_text);
        f->texts = &f->text;
        f->text_count = def->type == SIGNAL_SET && f->text.len;
        return RESULT_OK;
    }
    switch (g->raw) {
    case SIGNAL_BOOL:
        f->number = cell;
        break;
    case SIGNAL_NUMBER:
        if (s->derived.len)
            f->number = s->number[g - s->groups.at];
        else if (!space_number_in(g, cell, &f->number))
            return RESULT_RANGE;
        if (def->has_threshold)
            f->number =
                def->threshold_above ? f->number > def->threshold : f->number < def->threshold;
        break;
    case SIGNAL_ENUM:
        f->number = g->shown.at[cell];
        break;
    case SIGNAL_TEXT:
        f->text = element_text(g, g->shown.at[cell]);
        break;
    case SIGNAL_SET:
        return set_fact(s, g, arena, f);
    }
    return RESULT_OK;
}

// ---- JSON

static void json_value(const struct policy_image *p, const struct image_signal *def,
                       const struct fact *f, struct buf *out)
{
    if (f->state == FACT_FAILED) {
        BUF_LIT(out, "{\"failed\": true}");
        return;
    }
    switch (def->type) {
    case SIGNAL_BOOL:
        buf_cstr(out, f->number ? "true" : "false");
        break;
    case SIGNAL_NUMBER:
        json_write_double(out, f->number);
        break;
    case SIGNAL_ENUM:
        json_write_string(
            out, image_text(p, IMAGE_AT(p, def->words, struct image_str)[(uint32_t)f->number]));
        break;
    case SIGNAL_TEXT:
        json_write_string(out, f->text);
        break;
    case SIGNAL_SET:
        BUF_LIT(out, "[");
        for (uint32_t i = 0; i < f->text_count; i++) {
            buf_cstr(out, i ? ", " : "");
            json_write_string(out, f->texts[i]);
        }
        BUF_LIT(out, "]");
        break;
    }
}

static enum result write_json(const struct policy_image *p, struct arena *arena,
                              struct space_witness *w)
{
    struct buf out;
    enum result r;
    buf_init(&out, IMAGE_BYTES_MAX);
    BUF_LIT(&out, "{");
    for (uint32_t i = 0; i < p->signals.count; i++) {
        const struct image_signal *def = image_signal(p, (int32_t)i);
        if (w->facts[i].state == FACT_UNKNOWN)
            continue;
        buf_cstr(&out, w->given++ ? ", " : "");
        json_write_string(&out, image_text(p, def->name));
        BUF_LIT(&out, ": ");
        json_value(p, def, &w->facts[i], &out);
    }
    BUF_LIT(&out, "}");
    r = buf_result(&out);
    w->json = r ? SLICE_EMPTY : arena_copy(arena, buf_slice(&out));
    buf_deinit(&out);
    return r ? r : w->json.ptr ? RESULT_OK : RESULT_NOMEM;
}

enum result space_model(struct space *s, uint32_t image, struct arena *arena, struct fact *facts)
{
    enum result r = space_result(s);
    for (uint32_t i = 0; i < s->images[image]->signals.count && !r; i++) {
        facts[i] = (struct fact){.state = FACT_UNKNOWN};
        if (s->signal_input[image][i] != UINT32_MAX)
            r = fact_of(s, image, i, arena, &facts[i]);
    }
    return r;
}

enum result space_witness(struct space *s, uint32_t image, const uint32_t *claims, uint32_t count,
                          struct arena *arena, struct space_witness *out)
{
    const struct policy_image *p = s->images[image];
    struct fact *facts = ARENA_ARRAY(arena, struct fact, p->signals.count + 1);
    *out = (struct space_witness){.facts = facts};
    if (!facts)
        return RESULT_NOMEM;
    if (space_result(s) || !choose_inputs(s, claims, count))
        return space_result(s);
    for (uint32_t i = 0; i < p->signals.count; i++) {
        uint32_t input = s->signal_input[image][i];
        if (input == UINT32_MAX || !s->kept[input])
            continue;
        enum result r = fact_of(s, image, i, arena, &facts[i]);
        if (r)
            return r;
    }
    return write_json(p, arena, out);
}
