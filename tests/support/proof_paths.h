// A naive interpreter of constraints and paths, for tests: it takes one request, walks every way that the request can
// take through a policy, and writes down what happens. It knows nothing of formulas; every question is a loop.
#ifndef MERIT_TESTS_PROOF_PATHS_H
#define MERIT_TESTS_PROOF_PATHS_H

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "route/route.h"
#include "work/image.h"

enum { WALK_SIGNALS = 16, WALK_PLACES = 64, WALK_WAYS = 64 };

struct walk_request {
    struct fact of[WALK_SIGNALS]; // of signals that are not derived
};

struct walk {
    const struct policy_image *p;
    const struct walk_request *r;
};

static inline bool walk_guard(const struct walk *w, struct image_list guard);

// The level of a label; `failed` (may be NULL): something that it looks at did.
static inline uint32_t walk_level(const struct walk *w, const struct image_signal *s, bool *failed)
{
    const struct image_term *t = IMAGE_AT(w->p, s->terms, struct image_term);
    const struct image_atom *atoms = IMAGE_AT(w->p, w->p->atoms, struct image_atom);
    uint32_t level = 0;
    bool fails = false;
    for (uint32_t i = 0; i < s->terms.count; i++) {
        const struct image_node *n = IMAGE_AT(w->p, t[i].guard, struct image_node);
        if (t[i].word > level && walk_guard(w, t[i].guard))
            level = t[i].word;
        for (uint32_t k = 0; k < t[i].guard.count; k++)
            if (n[k].kind == IMAGE_NODE_ATOM)
                fails |= w->r->of[atoms[n[k].arg].signal].state == FACT_FAILED;
    }
    if (fails && s->error_level > level)
        level = s->error_level;
    if (failed)
        *failed = fails;
    return level;
}

static inline bool walk_atom(const struct walk *w, const struct image_atom *a)
{
    const struct image_signal *s = image_signal(w->p, a->signal);
    if (!s->derive)
        return route_atom_holds(w->p, a, &w->r->of[a->signal]);
    assert(s->derive == IMAGE_DERIVE_LABEL);
    bool failed;
    struct fact f = {.state = FACT_KNOWN, .number = walk_level(w, s, &failed)};
    return a->op == IMAGE_OP_FAILED ? failed : route_atom_holds(w->p, a, &f);
}

static inline bool walk_node(const struct walk *w, const struct image_node *n)
{
    const struct image_node *child = n + 1;
    bool v;
    switch (n->kind) {
    case IMAGE_NODE_TRUE:
        return true;
    case IMAGE_NODE_ATOM:
        return walk_atom(w, IMAGE_AT(w->p, w->p->atoms, struct image_atom) + n->arg);
    case IMAGE_NODE_NOT:
        return !walk_node(w, child);
    default:
        v = n->kind == IMAGE_NODE_AND;
        for (uint32_t i = 0; i < n->arg; i++, child += child->size)
            v = n->kind == IMAGE_NODE_AND ? walk_node(w, child) & v : walk_node(w, child) | v;
        return v;
    }
}

static inline bool walk_guard(const struct walk *w, struct image_list guard)
{
    return guard.count == 0 || walk_node(w, IMAGE_AT(w->p, guard, struct image_node));
}

static inline const struct image_constraint *walk_constraint(const struct walk *w, uint32_t i)
{
    return IMAGE_AT(w->p, w->p->constraints, struct image_constraint) + i;
}

static inline bool walk_active(const struct walk *w, uint32_t i)
{
    return walk_guard(w, walk_constraint(w, i)->guard);
}

static inline uint32_t walk_label(const struct walk *w, uint32_t lattice)
{
    uint32_t level = 0;
    for (uint32_t i = 0; i < w->p->signals.count; i++) {
        const struct image_signal *s = image_signal(w->p, (int32_t)i);
        if (s->derive == IMAGE_DERIVE_LABEL && s->lattice == (int32_t)lattice &&
            walk_level(w, s, NULL) > level)
            level = walk_level(w, s, NULL);
    }
    return level;
}

static inline uint32_t walk_top(const struct walk *w, uint32_t lattice)
{
    return IMAGE_AT(w->p, w->p->lattices, struct image_lattice)[lattice].levels.count - 1;
}

// --- places: models, then sinks

static inline uint32_t walk_cleared(const struct walk *w, uint32_t place, uint32_t lattice)
{
    const struct image_zone *zones = IMAGE_AT(w->p, w->p->zones, struct image_zone);
    if (place < w->p->models.count) {
        int32_t z = image_model(w->p, (int32_t)place)->zone;
        return z < 0 ? 0 : zones[z].clears.level[lattice];
    }
    const struct image_sink *s =
        IMAGE_AT(w->p, w->p->sinks, struct image_sink) + (place - w->p->models.count);
    uint32_t own = s->clears.level[lattice];
    return s->zone >= 0 && zones[s->zone].clears.level[lattice] < own
               ? zones[s->zone].clears.level[lattice]
               : own;
}

// `steps` before `at`: a redaction among them has taken levels away.
static inline bool walk_redacted(const struct image_step *steps, uint32_t at,
                                 const struct image_constraint *c)
{
    for (uint32_t i = 0; i < at; i++)
        if (steps[i].kind == IMAGE_STEP_REDACT && steps[i].lattice == c->index &&
            steps[i].level < c->level)
            return true;
    return false;
}

static inline bool walk_forbidden(const struct walk *w, uint32_t place, enum image_effort effort,
                                  const struct image_step *steps, uint32_t at)
{
    bool model = place < w->p->models.count;
    const struct image_sink *sinks = IMAGE_AT(w->p, w->p->sinks, struct image_sink);
    int32_t index = (int32_t)(model ? place : place - w->p->models.count);
    int32_t zone = model ? image_model(w->p, index)->zone : sinks[index].zone;
    for (uint32_t i = 0; i < w->p->constraints.count; i++) {
        const struct image_constraint *c = walk_constraint(w, i);
        if (c->kind != IMAGE_FORBID || !walk_active(w, i))
            continue;
        if ((c->target == IMAGE_FORBID_ZONE && c->index == zone) ||
            (c->target == IMAGE_FORBID_BELOW &&
             walk_cleared(w, place, (uint32_t)c->index) < c->level &&
             !walk_redacted(steps, at, c)) ||
            (c->target == IMAGE_FORBID_MODEL && model && c->index == index) ||
            (c->target == IMAGE_FORBID_EFFORT && model && c->index == (int32_t)effort) ||
            (c->target == IMAGE_FORBID_SINK && !model && c->index == index))
            return true;
    }
    const struct image_endpoint *e = IMAGE_AT(w->p, w->p->endpoints, struct image_endpoint);
    bool any = !model;
    for (uint32_t k = 0; k < w->p->endpoints.count && model; k++) {
        bool off = e[k].model != index;
        for (uint32_t i = 0; i < w->p->constraints.count; i++) {
            const struct image_constraint *c = walk_constraint(w, i);
            off |= c->kind == IMAGE_FORBID && c->target == IMAGE_FORBID_ENDPOINT &&
                   slice_eq(image_text(w->p, e[c->index].url), image_text(w->p, e[k].url)) &&
                   walk_active(w, i);
        }
        any |= !off;
    }
    return !any;
}

// --- one chain

struct walk_chain {
    const struct image_step *steps;
    uint32_t count;
    const struct image_binding *named; // of a model that the client names; else NULL
    const struct image_route *route;   // or NULL
};

static inline const struct image_binding *
walk_bindings(const struct walk *w, const struct walk_chain *c, uint32_t step, uint32_t *count)
{
    *count = c->named ? 1 : c->steps[step].bindings.count;
    return c->named ? c->named : IMAGE_AT(w->p, c->steps[step].bindings, struct image_binding);
}

static inline bool walk_asks(const struct image_step *s)
{
    return s->kind == IMAGE_STEP_ANSWER || s->kind == IMAGE_STEP_FUSE;
}

static inline bool walk_ends(const struct walk_chain *c, enum image_step_kind kind)
{
    for (uint32_t i = 0; i < c->count; i++)
        if (c->steps[i].kind == kind)
            return true;
    return false;
}

static inline bool walk_delivers(const struct walk_chain *c)
{
    bool asks = false;
    for (uint32_t i = 0; i < c->count; i++)
        asks |= walk_asks(&c->steps[i]);
    return walk_ends(c, IMAGE_STEP_CACHE) || (asks && !walk_ends(c, IMAGE_STEP_REFUSE));
}

// In whole units of the budget, the least; negative: nothing bounds it.
static inline double walk_least(const struct walk *w, const struct image_step *s,
                                const struct image_binding *b, enum image_unit unit)
{
    if (!b) {
        const struct image_sink *k = IMAGE_AT(w->p, w->p->sinks, struct image_sink) + s->sink;
        double tries = 1.0 + s->retries, copies = 1.0 + s->hedges;
        return unit == IMAGE_UNIT_CALLS ? tries * copies
               : unit == IMAGE_UNIT_MS
                   ? (k->timeout_ms ? tries * k->timeout_ms : -1)
                   : (k->call_nusd >= 0 ? tries * copies * (double)k->call_nusd : -1);
    }
    const struct image_model *m = image_model(w->p, b->model);
    double tries = s->retries ? 1.0 + s->retries : m->endpoints.count, copies = 1.0 + s->hedges;
    if (unit == IMAGE_UNIT_CALLS)
        return tries * copies;
    if (unit == IMAGE_UNIT_MS)
        return m->timeout_ms ? tries * m->timeout_ms : -1;
    if (!m->priced)
        return -1;
    return (double)((m->price_in_nusd + m->price_out_nusd) / 1000000);
}

// The least that the chain costs when step `step` (or none: UINT32_MAX) uses binding `k`; negative: nothing bounds it.
static inline double walk_chain_least(const struct walk *w, const struct walk_chain *c,
                                      uint32_t step, uint32_t k, enum image_unit unit)
{
    double sum = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        uint32_t n;
        const struct image_binding *b = walk_bindings(w, c, i, &n);
        double least = -1;
        if (n == 0 && c->steps[i].sink < 0)
            continue;
        if (n == 0)
            least = walk_least(w, &c->steps[i], NULL, unit);
        bool fuse = c->steps[i].kind == IMAGE_STEP_FUSE;
        double all = 0;
        for (uint32_t j = 0; j < n; j++) {
            double one = walk_least(w, &c->steps[i], &b[j], unit);
            if (i == step && j == k)
                least = one;
            if (one >= 0 && i != step && (least < 0 || one < least) && !fuse)
                least = one;
            all = all < 0 || one < 0      ? -1
                  : unit == IMAGE_UNIT_MS ? (one > all ? one : all)
                                          : all + one;
        }
        if (fuse && i != step)
            least = all;
        if (least < 0)
            return -1;
        sum += least;
    }
    return sum;
}

static inline bool walk_over_budget(const struct walk *w, const struct walk_chain *c, uint32_t step,
                                    uint32_t k)
{
    for (uint32_t i = 0; i < w->p->constraints.count; i++) {
        const struct image_constraint *b = walk_constraint(w, i);
        if (b->kind != IMAGE_BUDGET || !b->hard || b->window != IMAGE_PER_REQUEST ||
            !walk_active(w, i))
            continue;
        double least = walk_chain_least(w, c, step, k, b->unit);
        if (least < 0 || least > (double)b->limit)
            return true;
    }
    return false;
}

static inline bool walk_binding_ok(const struct walk *w, const struct walk_chain *c, uint32_t step,
                                   uint32_t k)
{
    uint32_t n;
    const struct image_binding *b = &walk_bindings(w, c, step, &n)[k];
    const struct image_model *m = image_model(w->p, b->model);
    if (c->route && c->steps[step].kind != IMAGE_STEP_VERIFY) {
        if (c->route->quality_min > 0 && m->quality < c->route->quality_min)
            return false;
        if (c->route->objective == IMAGE_OBJECTIVE_ENERGY &&
            (m->energy_in_uj < 0 || m->energy_out_uj < 0))
            return false;
        if (!m->priced &&
            (c->route->cost_max_nusd >= 0 || c->route->objective == IMAGE_OBJECTIVE_COST))
            return false;
    }
    return !walk_forbidden(w, (uint32_t)b->model, b->effort, c->steps, step) &&
           !walk_over_budget(w, c, step, k);
}

static inline bool walk_looks_up(const struct image_step *s)
{
    return s->kind == IMAGE_STEP_RETRIEVE || s->kind == IMAGE_STEP_CACHE;
}

static inline bool walk_steps_ok(const struct walk *w, const struct walk_chain *c)
{
    const struct image_sink *sinks = IMAGE_AT(w->p, w->p->sinks, struct image_sink);
    uint32_t models = w->p->models.count;
    for (uint32_t i = 0; i < c->count; i++) {
        const struct image_step *s = &c->steps[i];
        uint32_t n;
        bool any;
        walk_bindings(w, c, i, &n);
        bool all = true;
        any = n == 0;
        for (uint32_t k = 0; k < n; k++) {
            any |= walk_binding_ok(w, c, i, k);
            all &= walk_binding_ok(w, c, i, k);
        }
        if (!any || (s->kind == IMAGE_STEP_FUSE && !all))
            return false;
        if (s->sink >= 0 && walk_forbidden(w, models + (uint32_t)s->sink, 0, c->steps, i))
            return false;
        for (uint32_t k = 0; k < w->p->sinks.count; k++)
            if (walk_looks_up(s) && sinks[k].kind == IMAGE_SINK_EMBEDDING &&
                walk_forbidden(w, models + k, 0, c->steps, i))
                return false;
        for (uint32_t k = 0; k < w->p->constraints.count; k++) {
            const struct image_constraint *f = walk_constraint(w, k);
            if (f->kind == IMAGE_FORBID && f->target == IMAGE_FORBID_STEP &&
                f->index == (int32_t)s->kind && walk_active(w, k))
                return false;
        }
    }
    return !walk_over_budget(w, c, UINT32_MAX, 0);
}

static inline uint64_t walk_extras(const struct walk_chain *c, enum image_extra e)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < c->count; i++)
        n += e == IMAGE_EXTRA_ESCALATE ? c->steps[i].escalated
             : e == IMAGE_EXTRA_FUSE   ? c->steps[i].kind == IMAGE_STEP_FUSE
                                       : c->steps[i].hedges;
    return n;
}

static inline bool walk_allowed(const struct walk *w, enum image_extra e, uint64_t times)
{
    bool ok = times == 0;
    for (uint32_t i = 0; i < w->p->constraints.count; i++) {
        const struct image_constraint *c = walk_constraint(w, i);
        ok |= c->kind == IMAGE_ALLOW && c->extra == e && c->count >= times && walk_active(w, i);
    }
    return ok;
}

// --- a way: the chains of a route, or a model that is named

struct walk_way {
    const struct image_route *route; // or NULL
    struct image_binding named;
    bool guarded; // the request must take the route by its guards
    uint32_t count;
};

static inline struct walk_chain walk_chain_at(const struct walk *w, const struct walk_way *way,
                                              uint32_t c)
{
    static const struct image_step answer = {.kind = IMAGE_STEP_ANSWER, .sink = -1, .lattice = -1};
    if (!way->route)
        return (struct walk_chain){&answer, 1, &way->named, NULL};
    struct image_list steps = image_chains(w->p, way->route)[c].steps;
    return (struct walk_chain){IMAGE_AT(w->p, steps, struct image_step), steps.count, NULL,
                               way->route};
}

static inline bool walk_same_step(const struct image_step *s, enum image_step_kind kind,
                                  int32_t sink)
{
    return s->kind == kind && (sink < 0 || s->sink == sink);
}

static inline bool walk_passes(const struct walk_chain *c, enum image_step_kind kind, int32_t sink)
{
    bool passed = false, asked = false;
    bool before =
        kind == IMAGE_STEP_RETRIEVE || kind == IMAGE_STEP_REDACT || kind == IMAGE_STEP_CLARIFY;
    for (uint32_t i = 0; i < c->count; i++) {
        if (walk_asks(&c->steps[i])) {
            asked = true;
            if (kind == IMAGE_STEP_VERIFY)
                passed = false;
        }
        if (walk_same_step(&c->steps[i], kind, sink) && !(before && asked))
            passed = true;
    }
    return passed;
}

// All ways of the policy in the order: routes, aliases of routes, models.
static inline uint32_t walk_ways(const struct policy_image *p, struct walk_way ways[WALK_WAYS])
{
    uint32_t n = 0;
    const struct image_alias *a = IMAGE_AT(p, p->aliases, struct image_alias);
    for (uint32_t i = 0; i < p->routes.count; i++) {
        const struct image_route *r = image_route(p, (int32_t)i);
        ways[n++] = (struct walk_way){.route = r, .guarded = true, .count = r->chains.count};
    }
    for (uint32_t i = 0; i < p->aliases.count; i++)
        if (a[i].target == IMAGE_TARGET_ROUTE) {
            const struct image_route *r = image_route(p, a[i].index);
            ways[n++] = (struct walk_way){.route = r, .count = r->chains.count};
        }
    for (uint32_t i = 0; i < p->models.count; i++)
        ways[n++] = (struct walk_way){.named = {(int32_t)i, IMAGE_EFFORT_DEFAULT}, .count = 1};
    assert(n <= WALK_WAYS);
    return n;
}

static inline bool walk_hit_passes(const struct walk_chain *c, uint32_t at,
                                   enum image_step_kind kind, int32_t sink)
{
    bool passed = false;
    for (uint32_t i = 0; i <= at; i++)
        passed |= walk_same_step(&c->steps[i], kind, sink);
    return passed;
}

// An answer of the chain can miss the step.
static inline bool walk_misses(const struct walk_chain *c, const struct image_constraint *require)
{
    if (!walk_delivers(c))
        return false;
    if (!walk_ends(c, IMAGE_STEP_REFUSE) && !walk_passes(c, require->step, require->sink))
        return true;
    for (uint32_t i = 0; i < c->count; i++)
        if (c->steps[i].kind == IMAGE_STEP_CACHE &&
            !walk_hit_passes(c, i, require->step, require->sink))
            return true;
    return false;
}

// Which chains of the way are feasible for the request, without their obligations (`bare`) and with them.
static inline void walk_feasible(const struct walk *w, const struct walk_way *way, bool *bare,
                                 bool *whole)
{
    for (uint32_t c = 0; c < way->count; c++) {
        struct walk_chain chain = walk_chain_at(w, way, c);
        bare[c] = walk_steps_ok(w, &chain);
        for (enum image_extra e = 0; e < IMAGE_EXTRA_COUNT_; e++) {
            uint64_t own = walk_extras(&chain, e);
            bare[c] &= walk_allowed(w, e, own);
        }
        whole[c] = bare[c];
        for (uint32_t i = 0; i < w->p->constraints.count; i++) {
            const struct image_constraint *r = walk_constraint(w, i);
            if (r->kind == IMAGE_REQUIRE && walk_active(w, i) && walk_misses(&chain, r))
                whole[c] = false;
        }
    }
}

static inline bool walk_enters(const struct walk *w, const struct walk_way *way)
{
    if (!way->guarded)
        return true;
    for (uint32_t i = 0; i < w->p->routes.count; i++) {
        const struct image_route *r = image_route(w->p, (int32_t)i);
        if (walk_guard(w, r->guard))
            return r == way->route;
    }
    return false;
}

// What one request does: which places see a label that they do not clear, and for each route what is missing.
struct walk_seen {
    bool leak[WALK_PLACES];
    bool reached[WALK_PLACES]
                [IMAGE_LATTICES_MAX]; // with a text that was not lowered to what is cleared
    bool obligation[WALK_WAYS], nothing[WALK_WAYS], entered[WALK_WAYS];
};

static inline void walk_sees(const struct walk *w, uint32_t place, const uint32_t *label,
                             const uint32_t *most, struct walk_seen *seen)
{
    for (uint32_t l = 0; l < w->p->lattices.count; l++) {
        seen->leak[place] |= label[l] > walk_cleared(w, place, l);
        seen->reached[place][l] |= most[l] > walk_cleared(w, place, l);
    }
}

// `label` of the text on its way through the chain; `most`: what it would be from a request at the top.
static inline void walk_run(const struct walk *w, const struct walk_chain *c,
                            struct walk_seen *seen)
{
    const struct image_sink *sinks = IMAGE_AT(w->p, w->p->sinks, struct image_sink);
    uint32_t label[IMAGE_LATTICES_MAX], most[IMAGE_LATTICES_MAX], kept[IMAGE_LATTICES_MAX],
        kept_most[IMAGE_LATTICES_MAX], low[IMAGE_LATTICES_MAX] = {0}, models = w->p->models.count;
    for (uint32_t l = 0; l < w->p->lattices.count; l++) {
        label[l] = kept[l] = walk_label(w, l);
        most[l] = kept_most[l] = walk_top(w, l);
    }
    for (uint32_t i = 0; i < c->count; i++) {
        const struct image_step *s = &c->steps[i];
        uint32_t n;
        const struct image_binding *b = walk_bindings(w, c, i, &n);
        for (uint32_t k = 0; k < n; k++)
            if (walk_binding_ok(w, c, i, k))
                walk_sees(w, (uint32_t)b[k].model, label, most, seen);
        if (s->sink >= 0)
            walk_sees(w, models + (uint32_t)s->sink, label, most, seen);
        for (uint32_t k = 0; k < w->p->sinks.count; k++)
            if (walk_looks_up(s) && sinks[k].kind == IMAGE_SINK_EMBEDDING)
                walk_sees(w, models + k, label, most, seen);
        for (uint32_t l = 0; l < w->p->lattices.count; l++) {
            if (s->kind == IMAGE_STEP_REDACT && s->lattice == (int32_t)l) {
                label[l] = label[l] < s->level ? label[l] : s->level;
                most[l] = most[l] < s->level ? most[l] : s->level;
                low[l] = low[l] < s->level ? low[l] : s->level;
            }
            if (s->kind == IMAGE_STEP_RETRIEVE) {
                uint32_t h = sinks[s->sink].holds.level[l];
                label[l] = label[l] > h ? label[l] : h;
                most[l] = most[l] > h ? most[l] : h;
                low[l] = low[l] > h ? low[l] : h;
            }
        }
    }
    for (uint32_t i = 0; i < c->count; i++)
        if (c->steps[i].kind == IMAGE_STEP_CACHE && !walk_ends(c, IMAGE_STEP_REFUSE))
            walk_sees(w, models + (uint32_t)c->steps[i].sink, label, most, seen);
    for (uint32_t l = 0; l < w->p->lattices.count; l++)
        kept[l] = kept[l] > low[l] ? kept[l] : low[l];
    for (uint32_t k = 0; k < w->p->sinks.count && walk_delivers(c); k++)
        if (sinks[k].kind == IMAGE_SINK_MEMORY && !walk_forbidden(w, models + k, 0, NULL, 0))
            walk_sees(w, models + k, kept, kept_most, seen);
}

static inline void walk_all(const struct policy_image *p, const struct walk_request *r,
                            struct walk_seen *seen)
{
    const struct walk w = {p, r};
    const struct image_sink *sinks = IMAGE_AT(p, p->sinks, struct image_sink);
    struct walk_way ways[WALK_WAYS];
    uint32_t n = walk_ways(p, ways), label[IMAGE_LATTICES_MAX], most[IMAGE_LATTICES_MAX];
    memset(seen, 0, sizeof *seen);
    for (uint32_t i = 0; i < n; i++) {
        bool bare[64], whole[64];
        assert(ways[i].count <= 64);
        if (!walk_enters(&w, &ways[i]))
            continue;
        seen->entered[i] = true;
        walk_feasible(&w, &ways[i], bare, whole);
        seen->nothing[i] = true;
        bool going = true, missing = false;
        for (uint32_t c = 0; c < ways[i].count; c++) {
            struct walk_chain chain = walk_chain_at(&w, &ways[i], c);
            seen->nothing[i] &= !bare[c];
            // The author's chain would have been next, and only an obligation stands against it.
            if (going && bare[c] && !whole[c])
                missing = true;
            if (!going || !whole[c])
                continue;
            missing = false;
            walk_run(&w, &chain, seen);
            bool fails = false;
            for (uint32_t s = 0; s < chain.count; s++)
                fails |= chain.steps[s].kind != IMAGE_STEP_REFUSE;
            going = fails;
        }
        seen->obligation[i] = missing;
    }
    for (uint32_t l = 0; l < p->lattices.count; l++) {
        label[l] = walk_label(&w, l);
        most[l] = walk_top(&w, l);
    }
    for (uint32_t k = 0; k < p->sinks.count; k++)
        if (sinks[k].carries_text && !walk_forbidden(&w, p->models.count + k, 0, NULL, 0))
            walk_sees(&w, p->models.count + k, label, most, seen);
}

#endif
