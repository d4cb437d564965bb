// Which ways a request can take, what constraints take away from them, and who sees what on them.
//
// The chains come from proof/ways.h, as do the least costs of an action; labels, obligations and feasibility are written
// out here once more, from the meaning of the language.
#include <stdio.h>
#include <string.h>

#include "proof/smtlib_inner.h"

// What has become of a label: per lattice max(low, min(high, label)).
struct passage {
    uint8_t low[IMAGE_LATTICES_MAX], high[IMAGE_LATTICES_MAX];
};

static const struct image_constraint *constraint_at(const struct smtlib *s, uint32_t i)
{
    return IMAGE_AT(s->p, s->p->constraints, struct image_constraint) + i;
}

static const struct image_sink *sink_at(const struct smtlib *s, uint32_t i)
{
    return IMAGE_AT(s->p, s->p->sinks, struct image_sink) + i;
}

static const struct image_lattice *lattice_at(const struct smtlib *s, uint32_t i)
{
    return IMAGE_AT(s->p, s->p->lattices, struct image_lattice) + i;
}

static bool answers(const struct way_step *t)
{
    return t->is->kind == IMAGE_STEP_ANSWER || t->is->kind == IMAGE_STEP_FUSE;
}

static bool embeds(const struct way_step *t)
{
    return t->is->kind == IMAGE_STEP_RETRIEVE || t->is->kind == IMAGE_STEP_CACHE;
}

struct slice smtlib_way_name(const struct smtlib *s, const struct way *w)
{
    if (w->kind == WAY_ALIAS)
        return image_text(s->p, IMAGE_AT(s->p, s->p->aliases, struct image_alias)[w->index].name);
    if (w->kind == WAY_PASS)
        return image_text(s->p, IMAGE_AT(s->p, s->p->passes, struct image_pass)[w->index].path);
    return w->kind == WAY_ROUTE ? image_text(s->p, image_route(s->p, w->route)->name)
                                : image_text(s->p, image_model(s->p, w->model)->name);
}

static void put_constraint(struct smtlib *s, uint32_t i)
{
    buf_printf(s->out, " |constraint %u|", i);
}

static void put_enters(struct smtlib *s, const struct way *w)
{
    if (w->kind == WAY_ROUTE)
        smtlib_symbol(s, "takes", smtlib_way_name(s, w));
    else
        BUF_LIT(s->out, "true");
}

static void put_chain(struct smtlib *s, const struct way *w, uint32_t c)
{
    char kind[48];
    if (w->route >= 0) {
        snprintf(kind, sizeof kind, "chain %u of", c);
        smtlib_symbol(s, kind, image_text(s->p, image_route(s->p, w->route)->name));
    } else {
        smtlib_symbol(s, "chain by name", image_text(s->p, image_model(s->p, w->model)->name));
    }
}

static void put_bare_chain(struct smtlib *s, const struct way *w, uint32_t c)
{
    char kind[64];
    if (w->route >= 0) {
        snprintf(kind, sizeof kind, "chain %u, obligations aside, of", c);
        smtlib_symbol(s, kind, image_text(s->p, image_route(s->p, w->route)->name));
    } else {
        smtlib_symbol(s, "chain by name, obligations aside,",
                      image_text(s->p, image_model(s->p, w->model)->name));
    }
}

static void put_may_use(struct smtlib *s, const struct image_binding *b)
{
    char kind[48];
    snprintf(kind, sizeof kind, "may use, effort %s,", image_effort_name(b->effort));
    smtlib_symbol(s, kind, image_text(s->p, image_model(s->p, b->model)->name));
}

static void put_may_sink(struct smtlib *s, uint32_t sink)
{
    smtlib_symbol(s, "may use sink", image_text(s->p, sink_at(s, sink)->name));
}

// ---- constraints

// A redaction before step `t` has taken the levels away that the constraint is about.
static bool spared(const struct way_step *t, const struct image_constraint *c)
{
    return t && c->kind == IMAGE_FORBID && c->target == IMAGE_FORBID_BELOW &&
           t->redacted[c->index] < c->level;
}

static bool forbids_model(const struct smtlib *s, const struct image_constraint *c, int32_t model,
                          enum image_effort effort)
{
    const struct image_model *m = image_model(s->p, model);
    const struct image_zone *zones = IMAGE_AT(s->p, s->p->zones, struct image_zone);
    if (c->kind != IMAGE_FORBID)
        return false;
    if (c->target == IMAGE_FORBID_ZONE)
        return m->zone != IMAGE_NONE && m->zone == c->index;
    if (c->target == IMAGE_FORBID_BELOW)
        return (m->zone == IMAGE_NONE ? 0u : zones[m->zone].clears.level[c->index]) < c->level;
    return (c->target == IMAGE_FORBID_MODEL && c->index == model) ||
           (c->target == IMAGE_FORBID_EFFORT && c->index == (int32_t)effort);
}

static uint32_t sink_clears(const struct smtlib *s, uint32_t sink, uint32_t lattice)
{
    const struct image_sink *k = sink_at(s, sink);
    const struct image_zone *zones = IMAGE_AT(s->p, s->p->zones, struct image_zone);
    uint32_t own = k->clears.level[lattice];
    uint32_t zone = k->zone == IMAGE_NONE ? own : zones[k->zone].clears.level[lattice];
    return zone < own ? zone : own;
}

static bool forbids_sink(const struct smtlib *s, const struct image_constraint *c, uint32_t sink)
{
    const struct image_sink *k = sink_at(s, sink);
    if (c->kind != IMAGE_FORBID)
        return false;
    if (c->target == IMAGE_FORBID_ZONE)
        return k->zone != IMAGE_NONE && k->zone == c->index;
    if (c->target == IMAGE_FORBID_BELOW)
        return sink_clears(s, sink, (uint32_t)c->index) < c->level;
    return c->target == IMAGE_FORBID_SINK && c->index == (int32_t)sink;
}

// Every endpoint of the model is forbidden by one or another constraint.
static void put_no_endpoint(struct smtlib *s, int32_t model)
{
    const struct image_endpoint *e = IMAGE_AT(s->p, s->p->endpoints, struct image_endpoint);
    bool any = false;
    BUF_LIT(s->out, " (and");
    for (uint32_t i = 0; i < s->p->endpoints.count; i++) {
        if (e[i].model != model)
            continue;
        any = true;
        BUF_LIT(s->out, " (or false");
        for (uint32_t k = 0; k < s->p->constraints.count; k++) {
            const struct image_constraint *c = constraint_at(s, k);
            if (c->kind == IMAGE_FORBID && c->target == IMAGE_FORBID_ENDPOINT &&
                slice_eq(image_text(s->p, e[c->index].url), image_text(s->p, e[i].url)))
                put_constraint(s, k);
        }
        BUF_LIT(s->out, ")");
    }
    buf_cstr(s->out, any ? ")" : " false)");
}

// Nothing forbids the model (the sink) to step `t`; NULL: to text as it came.
static void put_free_model(struct smtlib *s, const struct image_binding *b,
                           const struct way_step *t)
{
    BUF_LIT(s->out, "(not (or false");
    for (uint32_t i = 0; i < s->p->constraints.count; i++)
        if (forbids_model(s, constraint_at(s, i), b->model, b->effort) &&
            !spared(t, constraint_at(s, i)))
            put_constraint(s, i);
    put_no_endpoint(s, b->model);
    BUF_LIT(s->out, "))");
}

static void put_free_sink(struct smtlib *s, uint32_t k, const struct way_step *t)
{
    BUF_LIT(s->out, "(not (or false");
    for (uint32_t i = 0; i < s->p->constraints.count; i++)
        if (forbids_sink(s, constraint_at(s, i), k) && !spared(t, constraint_at(s, i)))
            put_constraint(s, i);
    BUF_LIT(s->out, "))");
}

static void define_uses(struct smtlib *s)
{
    for (uint32_t m = 0; m < s->p->models.count; m++)
        for (int e = 0; e < IMAGE_EFFORT_COUNT_; e++) {
            const struct image_binding b = {(int32_t)m, (enum image_effort)e};
            BUF_LIT(s->out, "(define-fun ");
            put_may_use(s, &b);
            BUF_LIT(s->out, " () Bool ");
            put_free_model(s, &b, NULL);
            BUF_LIT(s->out, ")\n");
        }
    for (uint32_t k = 0; k < s->p->sinks.count; k++) {
        BUF_LIT(s->out, "(define-fun ");
        put_may_sink(s, k);
        BUF_LIT(s->out, " () Bool ");
        put_free_sink(s, k, NULL);
        BUF_LIT(s->out, ")\n");
    }
}

static bool behind_redact(const struct smtlib *s, const struct way_step *t)
{
    for (uint32_t l = 0; l < s->p->lattices.count; l++)
        if (t->redacted[l] != UINT8_MAX)
            return true;
    return false;
}

static void define_constraints(struct smtlib *s)
{
    BUF_LIT(s->out, "\n; ---- constraints: when each is in force, and what they leave\n");
    for (uint32_t i = 0; i < s->p->constraints.count; i++) {
        BUF_LIT(s->out, "; ");
        smtlib_comment(s, image_text(s->p, constraint_at(s, i)->name));
        buf_printf(s->out, "\n(define-fun |constraint %u| () Bool ", i);
        smtlib_guard(s, constraint_at(s, i)->guard);
        BUF_LIT(s->out, ")\n");
    }
    define_uses(s);
}

// ---- chains

// Hard budgets per request that cannot be kept: what is given at least is more, or unbounded.
static void put_over_budget(struct smtlib *s, const struct way_bound *least)
{
    BUF_LIT(s->out, "(or false");
    for (uint32_t i = 0; i < s->p->constraints.count; i++) {
        const struct image_constraint *c = constraint_at(s, i);
        if (c->kind != IMAGE_BUDGET || !c->hard || c->window != IMAGE_PER_REQUEST)
            continue;
        if (least->unit[c->unit].open || least->unit[c->unit].value > c->limit)
            put_constraint(s, i);
    }
    BUF_LIT(s->out, ")");
}

static void put_binding(struct smtlib *s, const struct way *w, uint32_t chain, uint32_t step,
                        uint32_t k)
{
    const struct way_step *t = &w->chains[chain].steps[step];
    const struct image_route *r =
        w->route >= 0 && t->is->kind != IMAGE_STEP_VERIFY ? image_route(s->p, w->route) : NULL;
    const struct image_model *m = image_model(s->p, t->bindings[k].model);
    bool needs_price = r && (r->cost_max_nusd >= 0 || r->objective == IMAGE_OBJECTIVE_COST);
    bool needs_energy = r && r->objective == IMAGE_OBJECTIVE_ENERGY;
    if ((r && r->quality_min > 0 && m->quality < r->quality_min) || (needs_price && !m->priced) ||
        (needs_energy && (m->energy_in_uj < 0 || m->energy_out_uj < 0))) {
        BUF_LIT(s->out, "false");
        return;
    }
    struct way_bound sum = way_chain_least(s->p, &w->chains[chain], step),
                     own = way_binding_least(s->p, t->is, &t->bindings[k]);
    for (unsigned u = 0; u < WAY_UNITS; u++)
        sum.unit[u] = way_add(sum.unit[u], own.unit[u]);
    BUF_LIT(s->out, "(and ");
    if (behind_redact(s, t))
        put_free_model(s, &t->bindings[k], t);
    else
        put_may_use(s, &t->bindings[k]);
    BUF_LIT(s->out, " (not ");
    put_over_budget(s, &sum);
    BUF_LIT(s->out, "))");
}

static void put_step(struct smtlib *s, const struct way *w, uint32_t chain, uint32_t step)
{
    const struct way_step *t = &w->chains[chain].steps[step];
    BUF_LIT(s->out, "\n  (and true");
    for (uint32_t i = 0; i < s->p->constraints.count; i++) {
        const struct image_constraint *c = constraint_at(s, i);
        if (c->kind != IMAGE_FORBID || c->target != IMAGE_FORBID_STEP ||
            c->index != (int32_t)t->is->kind)
            continue;
        BUF_LIT(s->out, " (not");
        put_constraint(s, i);
        BUF_LIT(s->out, ")");
    }
    for (uint32_t k = 0; k < s->p->sinks.count; k++) {
        if (t->is->sink != (int32_t)k &&
            !(embeds(t) && sink_at(s, k)->kind == IMAGE_SINK_EMBEDDING))
            continue;
        buf_byte(s->out, ' ');
        if (behind_redact(s, t))
            put_free_sink(s, k, t);
        else
            put_may_sink(s, k);
    }
    if (t->binding_count) {
        // Of `fuse` all answer.
        buf_cstr(s->out, t->is->kind == IMAGE_STEP_FUSE ? " (and" : " (or");
        for (uint32_t k = 0; k < t->binding_count; k++) {
            buf_byte(s->out, ' ');
            put_binding(s, w, chain, step, k);
        }
        BUF_LIT(s->out, ")");
    }
    BUF_LIT(s->out, ")");
}

static uint32_t extras(const struct way_chain *c, enum image_extra extra)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        const struct image_step *is = c->steps[i].is;
        if (extra == IMAGE_EXTRA_HEDGE)
            n += is->hedges;
        else
            n += extra == IMAGE_EXTRA_ESCALATE ? is->escalated : is->kind == IMAGE_STEP_FUSE;
    }
    return n;
}

// One `allow` in force covers what the chain uses.
static void put_extras(struct smtlib *s, const struct way *w, uint32_t chain)
{
    for (int e = 0; e < IMAGE_EXTRA_COUNT_; e++) {
        uint32_t own = extras(&w->chains[chain], (enum image_extra)e);
        if (!own)
            continue;
        BUF_LIT(s->out, "\n  (or false");
        for (uint32_t i = 0; i < s->p->constraints.count; i++) {
            const struct image_constraint *c = constraint_at(s, i);
            if (c->kind != IMAGE_ALLOW || (int)c->extra != e)
                continue;
            BUF_LIT(s->out, " (and");
            put_constraint(s, i);
            buf_printf(s->out, " (>= %u %u))", c->count, own);
        }
        BUF_LIT(s->out, ")");
    }
}

static bool is_step(const struct way_step *t, enum image_step_kind kind, int32_t sink)
{
    return t->is->kind == kind && (sink == IMAGE_NONE || sink == t->is->sink);
}

// A verification has to come behind the last answer; what prepares an answer before the first one; others anywhere.
static bool chain_passes(const struct way_chain *c, enum image_step_kind kind, int32_t sink)
{
    bool passed = false;
    for (uint32_t i = 0; i < c->count; i++) {
        bool asks = answers(&c->steps[i]);
        if (asks && kind == IMAGE_STEP_VERIFY)
            passed = false;
        if (asks && (kind == IMAGE_STEP_RETRIEVE || kind == IMAGE_STEP_REDACT ||
                     kind == IMAGE_STEP_CLARIFY))
            return passed;
        passed |= is_step(&c->steps[i], kind, sink);
    }
    return passed;
}

// Whether what the cache of step `at` gives out has passed the step: it stands before the cache, or is it.
static bool hit_passes(const struct way_chain *c, uint32_t at, enum image_step_kind kind,
                       int32_t sink)
{
    bool passed = is_step(&c->steps[at], kind, sink);
    for (uint32_t i = 0; i < at; i++)
        passed |= is_step(&c->steps[i], kind, sink);
    return passed;
}

// Every answer that can come out of the chain has passed the step.
static bool delivers_passed(const struct way_chain *c, enum image_step_kind kind, int32_t sink)
{
    if (!c->refuses && !chain_passes(c, kind, sink))
        return false;
    for (uint32_t i = 0; i < c->count; i++)
        if (c->steps[i].is->kind == IMAGE_STEP_CACHE && !hit_passes(c, i, kind, sink))
            return false;
    return true;
}

static void put_bare(struct smtlib *s, const struct way *w, uint32_t c)
{
    struct way_bound least = way_chain_least(s->p, &w->chains[c], UINT32_MAX);
    for (uint32_t i = 0; i < w->chains[c].count; i++)
        put_step(s, w, c, i);
    BUF_LIT(s->out, "\n  (not ");
    put_over_budget(s, &least);
    BUF_LIT(s->out, ")");
    put_extras(s, w, c);
}

static void define_chain(struct smtlib *s, const struct way *w, uint32_t c)
{
    BUF_LIT(s->out, "(define-fun ");
    put_bare_chain(s, w, c);
    BUF_LIT(s->out, " () Bool (and true");
    put_bare(s, w, c);
    BUF_LIT(s->out, "))\n(define-fun ");
    put_chain(s, w, c);
    BUF_LIT(s->out, " () Bool (and ");
    put_bare_chain(s, w, c);
    for (uint32_t i = 0; i < s->p->constraints.count && w->chains[c].delivers; i++) {
        const struct image_constraint *q = constraint_at(s, i);
        if (q->kind != IMAGE_REQUIRE || delivers_passed(&w->chains[c], q->step, q->sink))
            continue;
        BUF_LIT(s->out, "\n  (not");
        put_constraint(s, i);
        BUF_LIT(s->out, ")");
    }
    BUF_LIT(s->out, "))\n");
}

void smtlib_paths(struct smtlib *s)
{
    define_constraints(s);
    BUF_LIT(s->out, "\n; ---- chains: which can be completed as far as constraints go\n");
    for (uint32_t i = 0; i < s->ways.count; i++) {
        const struct way *w = &s->ways.at[i];
        for (uint32_t c = 0; c < w->count && (w->kind == WAY_ROUTE || w->kind == WAY_MODEL); c++)
            define_chain(s, w, c);
    }
}

void smtlib_tried(struct smtlib *s, const struct way *w, uint32_t c)
{
    BUF_LIT(s->out, "(and ");
    put_enters(s, w);
    buf_byte(s->out, ' ');
    put_chain(s, w, c);
    for (uint32_t i = 0; i < c; i++) {
        if (w->chains[i].fails)
            continue;
        BUF_LIT(s->out, " (not ");
        put_chain(s, w, i);
        BUF_LIT(s->out, ")");
    }
    BUF_LIT(s->out, ")");
}

void smtlib_used(struct smtlib *s, const struct way *w, uint32_t c, uint32_t step, uint32_t k)
{
    BUF_LIT(s->out, "(and ");
    smtlib_tried(s, w, c);
    buf_byte(s->out, ' ');
    put_binding(s, w, c, step, k);
    BUF_LIT(s->out, ")");
}

// ---- who sees what

static void passage_begin(const struct smtlib *s, const struct way *w, struct passage *g)
{
    memset(g, 0, sizeof *g);
    for (uint32_t l = 0; l < s->p->lattices.count; l++) {
        uint8_t top = (uint8_t)(lattice_at(s, l)->levels.count - 1);
        g->high[l] = top;
        // Nobody has read what is passed on: it counts as the highest.
        if (w->kind == WAY_PASS)
            g->low[l] = top;
    }
}

static void passage_step(const struct smtlib *s, const struct image_step *is, struct passage *g)
{
    if (is->kind == IMAGE_STEP_REDACT) {
        uint8_t *high = &g->high[is->lattice], *low = &g->low[is->lattice];
        *high = *high < is->level ? *high : (uint8_t)is->level;
        *low = *low < is->level ? *low : (uint8_t)is->level;
    } else if (is->kind == IMAGE_STEP_RETRIEVE) {
        const struct image_clearance *holds = &sink_at(s, (uint32_t)is->sink)->holds;
        for (uint32_t l = 0; l < s->p->lattices.count; l++) {
            if (g->low[l] < holds->level[l])
                g->low[l] = holds->level[l];
            if (g->high[l] < holds->level[l])
                g->high[l] = holds->level[l];
        }
    }
}

// The label is at least `level` where it stands now.
static void put_reaches(struct smtlib *s, const struct passage *g, uint32_t lattice, uint32_t level)
{
    if (g->low[lattice] >= level) {
        BUF_LIT(s->out, " true");
    } else if (g->high[lattice] >= level) {
        BUF_LIT(s->out, " (>= ");
        smtlib_symbol(s, "label", image_text(s->p, lattice_at(s, lattice)->name));
        buf_printf(s->out, " %u)", level);
    } else {
        BUF_LIT(s->out, " false");
    }
}

static bool is_place(const struct smtlib *s, const struct smtlib_place *at, bool sink,
                     int32_t index)
{
    int32_t zone = sink ? sink_at(s, (uint32_t)index)->zone : image_model(s->p, index)->zone;
    if (at->kind == SMTLIB_PLACE_ZONE)
        return zone != IMAGE_NONE && zone == at->index;
    return (at->kind == SMTLIB_PLACE_SINK) == sink && at->index == index;
}

// What the place would see unduly: above what it clears, or at least the level asked for.
static void put_seen(struct smtlib *s, const struct smtlib_place *at, const struct passage *g,
                     bool sink, int32_t index)
{
    const struct image_zone *zones = IMAGE_AT(s->p, s->p->zones, struct image_zone);
    if (at->level) {
        BUF_LIT(s->out, " (or false");
        put_reaches(s, g, (uint32_t)at->lattice, at->level);
        BUF_LIT(s->out, ")");
        return;
    }
    BUF_LIT(s->out, " (or false");
    for (uint32_t l = 0; l < s->p->lattices.count && !at->any; l++) {
        int32_t zone = sink ? IMAGE_NONE : image_model(s->p, index)->zone;
        uint32_t clears = sink                 ? sink_clears(s, (uint32_t)index, l)
                          : zone == IMAGE_NONE ? 0
                                               : zones[zone].clears.level[l];
        put_reaches(s, g, l, clears + 1);
    }
    buf_cstr(s->out, at->any ? " true)" : ")");
}

// What an answered request leaves behind: in the cache what went to the answer, in the memory the request as it came
// with what was retrieved for it.
static uint32_t put_writes(struct smtlib *s, const struct way *w, uint32_t c,
                           const struct smtlib_place *at, const struct passage *end, bool write)
{
    const struct way_chain *chain = &w->chains[c];
    struct passage memory;
    uint32_t n = 0;
    passage_begin(s, w, &memory);
    memcpy(memory.low, end->low, sizeof memory.low);
    for (uint32_t k = 0; k < s->p->sinks.count; k++) {
        bool caches = false, remembers = sink_at(s, k)->kind == IMAGE_SINK_MEMORY &&
                                         chain->delivers && w->kind != WAY_PASS;
        for (uint32_t i = 0; i < chain->count && !chain->refuses; i++)
            caches |= is_step(&chain->steps[i], IMAGE_STEP_CACHE, (int32_t)k);
        if ((!caches && !remembers) || !is_place(s, at, true, (int32_t)k))
            continue;
        if (n++, write) {
            BUF_LIT(s->out, "\n  (and ");
            smtlib_tried(s, w, c);
            if (remembers) {
                buf_byte(s->out, ' ');
                put_may_sink(s, k);
            }
            put_seen(s, at, remembers ? &memory : end, true, (int32_t)k);
            BUF_LIT(s->out, ")");
        }
    }
    return n;
}

static uint32_t put_chain_touches(struct smtlib *s, const struct way *w, uint32_t c,
                                  const struct smtlib_place *at, bool write)
{
    const struct way_chain *chain = &w->chains[c];
    struct passage g;
    uint32_t n = 0;
    passage_begin(s, w, &g);
    for (uint32_t i = 0; i < chain->count; i++) {
        const struct way_step *t = &chain->steps[i];
        for (uint32_t k = 0; k < t->binding_count; k++) {
            if (!is_place(s, at, false, t->bindings[k].model))
                continue;
            if (n++, write) {
                BUF_LIT(s->out, "\n  (and ");
                smtlib_used(s, w, c, i, k);
                put_seen(s, at, &g, false, t->bindings[k].model);
                BUF_LIT(s->out, ")");
            }
        }
        for (uint32_t k = 0; k < s->p->sinks.count; k++) {
            bool touched = t->is->sink == (int32_t)k ||
                           (embeds(t) && sink_at(s, k)->kind == IMAGE_SINK_EMBEDDING);
            if (!touched || !is_place(s, at, true, (int32_t)k))
                continue;
            if (n++, write) {
                BUF_LIT(s->out, "\n  (and ");
                smtlib_tried(s, w, c);
                put_seen(s, at, &g, true, (int32_t)k);
                BUF_LIT(s->out, ")");
            }
        }
        passage_step(s, t->is, &g);
    }
    return n + put_writes(s, w, c, at, &g, write);
}

uint32_t smtlib_touches(struct smtlib *s, const struct way *w, const struct smtlib_place *at,
                        bool write)
{
    struct passage g;
    uint32_t n = 0;
    for (uint32_t c = 0; c < w->count; c++)
        n += put_chain_touches(s, w, c, at, write);
    passage_begin(s, w, &g);
    for (uint32_t k = 0; k < s->p->sinks.count; k++) {
        const struct image_sink *sink = sink_at(s, k);
        if (!sink->carries_text || w->kind == WAY_PASS ||
            (sink->kind != IMAGE_SINK_LOG && sink->kind != IMAGE_SINK_TRACE) ||
            !is_place(s, at, true, (int32_t)k))
            continue;
        if (n++, write) {
            BUF_LIT(s->out, "\n  (and ");
            put_may_sink(s, k);
            put_seen(s, at, &g, true, (int32_t)k);
            BUF_LIT(s->out, ")");
        }
    }
    return n;
}

// ---- questions

static void ask_infeasible(struct smtlib *s, const struct way *w)
{
    smtlib_ask(s, &(struct smtlib_question){SMTLIB_INFEASIBLE, w->route, IMAGE_NONE},
               smtlib_way_name(s, w), SLICE_EMPTY);
    BUF_LIT(s->out, "(assert |all computed|)\n(assert ");
    put_enters(s, w);
    BUF_LIT(s->out, ")\n");
    for (uint32_t c = 0; c < w->count; c++) {
        BUF_LIT(s->out, "(assert (not ");
        put_bare_chain(s, w, c);
        BUF_LIT(s->out, "))\n");
    }
    smtlib_asked(s);
}

static void ask_flow(struct smtlib *s, uint32_t way)
{
    const struct way *w = &s->ways.at[way];
    int32_t models = (int32_t)s->p->models.count, sinks = (int32_t)s->p->sinks.count;
    for (int32_t i = 0; i < models + sinks; i++) {
        bool sink = i >= models;
        const struct smtlib_place at = {.kind = sink ? SMTLIB_PLACE_SINK : SMTLIB_PLACE_MODEL,
                                        .index = sink ? i - models : i};
        if (!smtlib_touches(s, w, &at, false))
            continue;
        smtlib_ask(s, &(struct smtlib_question){SMTLIB_FLOW, (int32_t)way, i},
                   smtlib_way_name(s, w),
                   sink ? image_text(s->p, sink_at(s, (uint32_t)(i - models))->name)
                        : image_text(s->p, image_model(s->p, i)->name));
        BUF_LIT(s->out, "(assert (or false");
        smtlib_touches(s, w, &at, true);
        BUF_LIT(s->out, "))\n");
        smtlib_asked(s);
    }
}

// Chain `c` would deliver an answer without what constraint `i` requires, and no other chain makes up for it.
static void put_missed(struct smtlib *s, const struct way *w, uint32_t c, uint32_t i)
{
    BUF_LIT(s->out, "\n  (and");
    put_constraint(s, i);
    buf_byte(s->out, ' ');
    put_bare_chain(s, w, c);
    for (uint32_t k = 0; k < w->count; k++) {
        if (k == c || (k < c && w->chains[k].fails))
            continue;
        BUF_LIT(s->out, " (not ");
        put_chain(s, w, k);
        BUF_LIT(s->out, ")");
    }
    BUF_LIT(s->out, ")");
}

static void ask_obligations(struct smtlib *s, const struct way *w)
{
    for (uint32_t i = 0; i < s->p->constraints.count; i++) {
        const struct image_constraint *q = constraint_at(s, i);
        bool any = false;
        for (uint32_t c = 0; c < w->count && q->kind == IMAGE_REQUIRE; c++)
            any |= w->chains[c].delivers && !delivers_passed(&w->chains[c], q->step, q->sink);
        if (!any)
            continue;
        smtlib_ask(s, &(struct smtlib_question){SMTLIB_OBLIGATION, w->route, (int32_t)i},
                   smtlib_way_name(s, w), image_text(s->p, q->name));
        BUF_LIT(s->out, "(assert |all computed|)\n(assert ");
        put_enters(s, w);
        BUF_LIT(s->out, ")\n(assert (or false");
        for (uint32_t c = 0; c < w->count; c++)
            if (w->chains[c].delivers && !delivers_passed(&w->chains[c], q->step, q->sink))
                put_missed(s, w, c, i);
        BUF_LIT(s->out, "))\n");
        smtlib_asked(s);
    }
}

void smtlib_ask_paths(struct smtlib *s)
{
    for (uint32_t i = 0; i < s->ways.count; i++) {
        const struct way *w = &s->ways.at[i];
        if (w->kind == WAY_ROUTE) {
            ask_infeasible(s, w);
            ask_obligations(s, w);
        }
        ask_flow(s, i);
    }
}

bool smtlib_passes(const struct way_chain *c, enum image_step_kind kind)
{
    return delivers_passed(c, kind, IMAGE_NONE);
}
