// The ways of breaking a claim, and claims in words.
#include <string.h>

#include "base/alloc.h"
#include "policy/explain.h"
#include "proof/theorem_inner.h"

static void add(struct theorem_run *r, struct theorem_case c)
{
    for (uint32_t i = 0; i < c.count; i++)
        if (c.formulas[i] == SPACE_FALSE)
            return;
    if (!VEC_PUSH(&r->cases, c))
        r->err = RESULT_NOMEM;
}

static struct theorem_case case_of(const struct way *w, const char *what)
{
    return (struct theorem_case){
        .way = w, .model = IMAGE_NONE, .sink = IMAGE_NONE, .route = IMAGE_NONE, .what = what};
}

static bool in_list(const struct theorem_run *r, int32_t i)
{
    const struct image_index *at = IMAGE_AT(r->p->image, r->claim->list, struct image_index);
    for (uint32_t k = 0; k < r->claim->list.count; k++)
        if (at[k].index == i)
            return true;
    return false;
}

static bool answers(const struct way_step *s)
{
    return s->is->kind == IMAGE_STEP_ANSWER || s->is->kind == IMAGE_STEP_FUSE;
}

// An answer may be asked of a model that the claim excludes.
static void asks_elsewhere(struct theorem_run *r, const struct way *w)
{
    for (uint32_t c = 0; c < w->count; c++)
        for (uint32_t i = 0; i < w->chains[c].count; i++) {
            const struct way_step *s = &w->chains[c].steps[i];
            for (uint32_t b = 0; b < s->binding_count && answers(s); b++) {
                int32_t model = s->bindings[b].model;
                int32_t of = r->claim->kind == IMAGE_CLAIM_ZONE
                                 ? image_model(r->p->image, model)->zone
                                 : model;
                if (in_list(r, of) != r->claim->negated)
                    continue;
                struct theorem_case k = case_of(w, "may ask");
                k.model = model;
                k.formulas[k.count++] = feasible_used(r->p->feasible, w, c, i, b);
                add(r, k);
            }
        }
}

static bool passes(const struct theorem_run *r, const struct way_chain *chain)
{
    enum image_step_kind step = r->claim->step;
    if (!chain->refuses && !way_chain_passes(chain, step, IMAGE_NONE))
        return false;
    for (uint32_t i = 0; i < chain->count; i++)
        if (chain->steps[i].is->kind == IMAGE_STEP_CACHE &&
            !way_hit_passes(chain, i, step, IMAGE_NONE))
            return false;
    return true;
}

static void skips(struct theorem_run *r, const struct way *w)
{
    for (uint32_t c = 0; c < w->count; c++) {
        if (!w->chains[c].delivers || passes(r, &w->chains[c]) != r->claim->negated)
            continue;
        struct theorem_case k =
            case_of(w, r->claim->negated ? "delivers an answer that has passed it"
                                         : "delivers an answer that has not passed it");
        k.formulas[k.count++] = feasible_tried(r->p->feasible, w, c);
        add(r, k);
    }
}

// REFUSE and FEASIBLE: whether any answer can come of the route that is taken.
static void serves(struct theorem_run *r, const struct way *w)
{
    bool broken_when_served = (r->claim->kind == IMAGE_CLAIM_REFUSE) != r->claim->negated;
    uint32_t served[64], n = 0, all = SPACE_FALSE;
    for (uint32_t c = 0; c < w->count; c++) {
        if (!w->chains[c].delivers)
            continue;
        if (n == MERIT_COUNT(served)) {
            all =
                space_or(r->p->space, (const uint32_t[]){all, space_or(r->p->space, served, n)}, 2);
            n = 0;
        }
        served[n++] = feasible_tried(r->p->feasible, w, c);
    }
    all = space_or(r->p->space, (const uint32_t[]){all, space_or(r->p->space, served, n)}, 2);
    struct theorem_case k = case_of(w, broken_when_served ? "can answer it" : "cannot answer it");
    k.formulas[k.count++] = feasible_enters(r->p->feasible, w);
    k.formulas[k.count++] = broken_when_served ? all : space_not(all);
    add(r, k);
}

static void takes_route(struct theorem_run *r)
{
    for (uint32_t i = 0; i < r->p->ways.count; i++) {
        const struct way *w = &r->p->ways.at[i];
        if (w->kind != WAY_ROUTE || (w->route == r->claim->index) != r->claim->negated)
            continue;
        struct theorem_case k = case_of(w, "is taken");
        k.formulas[k.count++] = feasible_enters(r->p->feasible, w);
        add(r, k);
    }
}

// ---- who sees a label

static bool is_target(const struct theorem_run *r, int32_t model, int32_t sink)
{
    const struct policy_image *p = r->p->image;
    int32_t zone = model >= 0 ? image_model(p, model)->zone
                              : IMAGE_AT(p, p->sinks, struct image_sink)[sink].zone;
    if (r->claim->target == IMAGE_FORBID_MODEL)
        return model >= 0 && model == r->claim->index;
    if (r->claim->target == IMAGE_FORBID_SINK)
        return sink >= 0 && sink == r->claim->index;
    return zone != IMAGE_NONE && zone == r->claim->index;
}

static struct way_label as_it_came(void)
{
    struct way_label l;
    memset(l.low, 0, sizeof l.low);
    memset(l.high, UINT8_MAX, sizeof l.high);
    return l;
}

// The label is above what the target clears. Nobody has read what is passed on: it counts as the highest.
static uint32_t uncleared(struct theorem_run *r, const struct way *w, const struct way_label *label)
{
    const struct policy_image *p = r->p->image;
    const struct image_lattice *l = IMAGE_AT(p, p->lattices, struct image_lattice);
    struct image_clearance clears = r->claim->target == IMAGE_FORBID_SINK
                                        ? way_sink_clears(p, r->claim->index)
                                        : way_model_clears(p, r->claim->index);
    if (!w || w->kind != WAY_PASS)
        return feasible_above(r->p->feasible, label, &clears);
    for (uint32_t i = 0; i < p->lattices.count; i++)
        if (clears.level[i] + 1u < l[i].levels.count)
            return SPACE_TRUE;
    return SPACE_FALSE;
}

// The label, as it is by then, is at least the claim's level.
static uint32_t labelled(struct theorem_run *r, const struct way *w, const struct way_label *label)
{
    const struct image_claim *c = r->claim;
    if (c->lattice == THEOREM_UNCLEARED)
        return uncleared(r, w, label);
    if (c->level == 0 || (w && w->kind == WAY_PASS))
        return SPACE_TRUE;
    if (label->low[c->lattice] >= c->level)
        return SPACE_TRUE;
    if (label->high[c->lattice] < c->level)
        return SPACE_FALSE;
    return feasible_label(r->p->feasible, c->lattice, c->level);
}

static void shown(struct theorem_run *r, const struct way *w, const struct way_label *label,
                  int32_t model, int32_t sink, uint32_t when)
{
    if (!is_target(r, model, sink))
        return;
    struct theorem_case k = case_of(w, "shows it to");
    k.model = model;
    k.sink = sink;
    k.formulas[k.count++] = when;
    k.formulas[k.count++] = labelled(r, w, label);
    add(r, k);
}

static void step_shows(struct theorem_run *r, const struct way *w, uint32_t c, uint32_t i)
{
    const struct policy_image *p = r->p->image;
    const struct image_sink *sinks = IMAGE_AT(p, p->sinks, struct image_sink);
    const struct way_step *s = &w->chains[c].steps[i];
    struct feasible *f = r->p->feasible;
    bool embeds = s->is->kind == IMAGE_STEP_RETRIEVE || s->is->kind == IMAGE_STEP_CACHE;
    bool writes = s->is->kind == IMAGE_STEP_CACHE && !w->chains[c].refuses;
    for (uint32_t b = 0; b < s->binding_count; b++)
        if (is_target(r, s->bindings[b].model, IMAGE_NONE))
            shown(r, w, &s->label, s->bindings[b].model, IMAGE_NONE, feasible_used(f, w, c, i, b));
    for (uint32_t k = 0; k < p->sinks.count; k++) {
        if (!is_target(r, IMAGE_NONE, (int32_t)k))
            continue;
        bool own = s->is->sink == (int32_t)k;
        if (own || (embeds && sinks[k].kind == IMAGE_SINK_EMBEDDING))
            shown(r, w, &s->label, IMAGE_NONE, (int32_t)k, feasible_tried(f, w, c));
        if (own && writes)
            shown(r, w, &w->chains[c].end, IMAGE_NONE, (int32_t)k, feasible_tried(f, w, c));
    }
}

// What is remembered is the request as it came, beside what was retrieved for it.
static void memory_shows(struct theorem_run *r, const struct way *w, uint32_t c)
{
    const struct policy_image *p = r->p->image;
    const struct image_sink *sinks = IMAGE_AT(p, p->sinks, struct image_sink);
    struct feasible *f = r->p->feasible;
    struct way_label label = as_it_came();
    memcpy(label.low, w->chains[c].end.low, sizeof label.low);
    for (uint32_t k = 0; k < p->sinks.count && w->chains[c].delivers; k++) {
        if (sinks[k].kind != IMAGE_SINK_MEMORY || !is_target(r, IMAGE_NONE, (int32_t)k))
            continue;
        uint32_t both[] = {feasible_tried(f, w, c), feasible_sink(f, (int32_t)k)};
        shown(r, w, &label, IMAGE_NONE, (int32_t)k, space_and(r->p->space, both, 2));
    }
}

void theorem_shows(struct theorem_run *r, const struct way *w)
{
    for (uint32_t c = 0; c < w->count; c++) {
        for (uint32_t i = 0; i < w->chains[c].count; i++)
            step_shows(r, w, c, i);
        if (w->kind != WAY_PASS)
            memory_shows(r, w, c);
    }
}

// Logs and traces that carry text see every request; so does the sink `embedding` where a signal embeds.
static void always_shows(struct theorem_run *r)
{
    const struct policy_image *p = r->p->image;
    const struct image_sink *sinks = IMAGE_AT(p, p->sinks, struct image_sink);
    struct way_label label = as_it_came();
    for (uint32_t k = 0; k < p->sinks.count; k++) {
        bool logs = (sinks[k].kind == IMAGE_SINK_LOG || sinks[k].kind == IMAGE_SINK_TRACE) &&
                    sinks[k].carries_text;
        bool embeds = sinks[k].kind == IMAGE_SINK_EMBEDDING && r->p->signals_embed;
        if ((!logs && !embeds) || !is_target(r, IMAGE_NONE, (int32_t)k))
            continue;
        struct theorem_case c = case_of(NULL, "is shown to");
        c.sink = (int32_t)k;
        c.formulas[c.count++] = logs ? feasible_sink(r->p->feasible, (int32_t)k) : SPACE_TRUE;
        c.formulas[c.count++] = labelled(r, NULL, &label);
        add(r, c);
    }
}

// `phi reaches zone x` is broken by a request with the label that nobody shows to it.
static void must_reach(struct theorem_run *r)
{
    uint32_t *any = alloc_zeroed(r->cases.len + 1, sizeof *any);
    if (!any) {
        r->err = RESULT_NOMEM;
        return;
    }
    for (size_t i = 0; i < r->cases.len; i++)
        any[i] = space_and(r->p->space, r->cases.at[i].formulas, r->cases.at[i].count);
    struct theorem_case k = case_of(NULL, "does not reach it");
    k.formulas[k.count++] = feasible_label(r->p->feasible, r->claim->lattice, r->claim->level);
    k.formulas[k.count++] = space_not(space_or(r->p->space, any, (uint32_t)r->cases.len));
    r->cases.len = 0;
    alloc_free(any);
    add(r, k);
}

void theorem_cases(struct theorem_run *r)
{
    enum image_claim_kind kind = r->claim->kind;
    if (kind == IMAGE_CLAIM_NEVER) {
        struct theorem_case k = case_of(NULL, "is like that");
        add(r, k);
        return;
    }
    if (kind == IMAGE_CLAIM_ROUTE) {
        takes_route(r);
        return;
    }
    for (uint32_t i = 0; i < r->p->ways.count && !r->err; i++) {
        const struct way *w = &r->p->ways.at[i];
        if (!theorem_speaks_of(r, w))
            continue;
        if (kind == IMAGE_CLAIM_ZONE || kind == IMAGE_CLAIM_MODEL)
            asks_elsewhere(r, w);
        else if (kind == IMAGE_CLAIM_PASSES)
            skips(r, w);
        else if (kind == IMAGE_CLAIM_REACHES)
            theorem_shows(r, w);
        else
            serves(r, w);
    }
    if (kind == IMAGE_CLAIM_REACHES)
        always_shows(r);
    if (kind == IMAGE_CLAIM_REACHES && !r->claim->negated && !r->err)
        must_reach(r);
}

// ---- in words

static void amount_text(enum image_unit unit, int64_t v, struct buf *out)
{
    switch (unit) {
    case IMAGE_UNIT_NUSD:
        buf_nano(out, v);
        BUF_LIT(out, " usd");
        break;
    case IMAGE_UNIT_UJ:
        buf_micro(out, v);
        BUF_LIT(out, " J");
        break;
    case IMAGE_UNIT_UG:
        buf_micro(out, v);
        BUF_LIT(out, " g");
        break;
    case IMAGE_UNIT_MS:
        buf_printf(out, "%lld ms", (long long)v);
        break;
    case IMAGE_UNIT_TOK:
        buf_printf(out, "%lld tok", (long long)v);
        break;
    case IMAGE_UNIT_CALLS:
        buf_printf(out, "%lld calls", (long long)v);
        break;
    case IMAGE_UNIT_REQUESTS:
        buf_printf(out, "%lld requests", (long long)v);
        break;
    }
}

void theorem_amount_text(enum image_unit unit, int64_t value, struct buf *out)
{
    amount_text(unit, value, out);
}

static struct slice target_name(const struct policy_image *p, const struct image_claim *c)
{
    if (c->target == IMAGE_FORBID_MODEL)
        return image_text(p, image_model(p, c->index)->name);
    if (c->target == IMAGE_FORBID_SINK)
        return image_text(p, IMAGE_AT(p, p->sinks, struct image_sink)[c->index].name);
    return image_text(p, IMAGE_AT(p, p->zones, struct image_zone)[c->index].name);
}

static void list_text(const struct policy_image *p, const struct image_claim *c, struct buf *out)
{
    const struct image_index *at = IMAGE_AT(p, c->list, struct image_index);
    const struct image_zone *zones = IMAGE_AT(p, p->zones, struct image_zone);
    for (uint32_t i = 0; i < c->list.count; i++) {
        struct slice name =
            image_text(p, c->kind == IMAGE_CLAIM_ZONE ? zones[at[i].index].name
                                                      : image_model(p, at[i].index)->name);
        buf_printf(out, "%s %.*s", i ? "," : "", SLICE_FMT(name));
    }
}

void theorem_claim_text(const struct policy_image *p, const struct image_claim *c, struct buf *out)
{
    static const char *const steps[] = {"answer",  "refuse", "retrieve", "verify",
                                        "clarify", "redact", "fuse",     "cache"};
    if (c->negated)
        buf_cstr(out, c->kind == IMAGE_CLAIM_REACHES ? "no " : "not ");
    switch (c->kind) {
    case IMAGE_CLAIM_NEVER:
        BUF_LIT(out, "never");
        break;
    case IMAGE_CLAIM_ROUTE:
        buf_printf(out, "route %.*s", SLICE_FMT(image_text(p, image_route(p, c->index)->name)));
        break;
    case IMAGE_CLAIM_ZONE:
        BUF_LIT(out, "zone");
        list_text(p, c, out);
        break;
    case IMAGE_CLAIM_MODEL:
        BUF_LIT(out, "model");
        list_text(p, c, out);
        break;
    case IMAGE_CLAIM_PASSES:
        buf_printf(out, "passes %s", steps[c->step]);
        break;
    case IMAGE_CLAIM_REFUSE:
        BUF_LIT(out, "refuse");
        break;
    case IMAGE_CLAIM_FEASIBLE:
        BUF_LIT(out, "feasible");
        break;
    case IMAGE_CLAIM_COSTS:
        if (c->index >= 0)
            buf_printf(out, "route %.*s costs at most ",
                       SLICE_FMT(image_text(p, image_route(p, c->index)->name)));
        else
            BUF_LIT(out, "every path costs at most ");
        amount_text(c->unit, c->limit, out);
        break;
    case IMAGE_CLAIM_REACHES: {
        const struct image_lattice *l = IMAGE_AT(p, p->lattices, struct image_lattice);
        struct slice level =
            image_text(p, IMAGE_AT(p, l[c->lattice].levels, struct image_str)[c->level]);
        buf_printf(out, "%.*s reaches %s %.*s", SLICE_FMT(level),
                   c->target == IMAGE_FORBID_MODEL  ? "model"
                   : c->target == IMAGE_FORBID_SINK ? "sink"
                                                    : "zone",
                   SLICE_FMT(target_name(p, c)));
        break;
    }
    }
}
