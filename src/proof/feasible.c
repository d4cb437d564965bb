#include "proof/feasible.h"

#include <string.h>

#include "base/compiler.h"

// Looks at constraints, as a cap: a file of ten thousand constraints and a million candidates is given up.
#define LOOKS_MAX UINT64_C(100000000)
enum {
    NOT_MADE = UINT32_MAX,
    EFFORTS = IMAGE_EFFORT_COUNT_ + 1,
};

struct terms {
    uint32_t *at;
    uint32_t count, room;
};

struct feasible {
    struct space *space;
    uint32_t index;
    const struct policy_image *image;
    struct arena *arena;
    enum result err;
    uint32_t *active; // per constraint
    uint32_t *enters; // per route
    uint32_t *before; // per route: no guard before it holds
    uint32_t *models; // per model and effort
    uint32_t *sinks;  // per sink
    uint32_t *labels; // per lattice and level
    uint32_t *chains; // per chain of the image: feasible, and without obligations
    uint32_t *bare;
    uint8_t *off; // per constraint
    uint32_t off_count;
    uint64_t looked;                    // at constraints
    const struct way_chain *last_chain; // of least_of_others
    uint32_t last_except;
    struct way_bound last_least;
    uint32_t *budgets; // hard ones per request
    uint32_t budget_count;
};

static const struct image_constraint *constraint_at(const struct feasible *f, uint32_t i)
{
    return IMAGE_AT(f->image, f->image->constraints, struct image_constraint) + i;
}

static uint32_t *unmade(struct feasible *f, size_t n)
{
    uint32_t *at = ARENA_ARRAY(f->arena, uint32_t, n + 1);
    if (at)
        memset(at, 0xff, (n + 1) * sizeof *at);
    return at;
}

enum result feasible_open(struct space *space, uint32_t index, const struct policy_image *image,
                          struct arena *arena, struct feasible **out)
{
    struct feasible *f = ARENA_NEW(arena, struct feasible);
    *out = NULL;
    if (!f)
        return RESULT_NOMEM;
    *f = (struct feasible){.space = space, .index = index, .image = image, .arena = arena};
    f->active = unmade(f, image->constraints.count);
    f->enters = unmade(f, image->routes.count);
    f->before = unmade(f, image->routes.count);
    f->models = unmade(f, (size_t)image->models.count * EFFORTS);
    f->sinks = unmade(f, image->sinks.count);
    f->labels = unmade(f, (size_t)IMAGE_LATTICES_MAX * IMAGE_WORDS_MAX);
    f->chains = unmade(f, (size_t)image->chains.count + image->models.count);
    f->bare = unmade(f, (size_t)image->chains.count + image->models.count);
    f->off = ARENA_ARRAY(arena, uint8_t, image->constraints.count + 1);
    f->budgets = ARENA_ARRAY(arena, uint32_t, image->constraints.count + 1);
    if (!f->active || !f->enters || !f->before || !f->models || !f->sinks || !f->labels ||
        !f->chains || !f->bare || !f->off || !f->budgets)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < image->constraints.count; i++) {
        const struct image_constraint *c = constraint_at(f, i);
        if (c->kind == IMAGE_BUDGET && c->hard && c->window == IMAGE_PER_REQUEST)
            f->budgets[f->budget_count++] = i;
    }
    *out = f;
    return RESULT_OK;
}

enum result feasible_result(const struct feasible *f)
{
    return f->err ? f->err : space_result(f->space);
}

static void push(struct feasible *f, struct terms *t, uint32_t formula)
{
    if (t->count == t->room) {
        uint32_t room = t->room ? t->room * 2 : 16;
        uint32_t *at = ARENA_ARRAY(f->arena, uint32_t, room);
        if (!at) {
            f->err = RESULT_NOMEM;
            return;
        }
        if (t->count)
            memcpy(at, t->at, t->count * sizeof *at);
        t->at = at;
        t->room = room;
    }
    t->at[t->count++] = formula;
}

static bool looks(struct feasible *f, uint64_t n)
{
    f->looked += n;
    if (f->looked > LOOKS_MAX && !f->err)
        f->err = RESULT_LIMIT;
    return !f->err;
}

static uint32_t all_of(struct feasible *f, const struct terms *t)
{
    return space_and(f->space, t->at, t->count);
}

static uint32_t any_of(struct feasible *f, const struct terms *t)
{
    return space_or(f->space, t->at, t->count);
}

static uint32_t both(struct feasible *f, uint32_t a, uint32_t b)
{
    return space_and(f->space, (const uint32_t[]){a, b}, 2);
}

void feasible_without(struct feasible *f, uint32_t constraint)
{
    f->off_count += !f->off[constraint];
    f->off[constraint] = 1;
}

void feasible_with(struct feasible *f, uint32_t constraint)
{
    f->off_count -= f->off[constraint];
    f->off[constraint] = 0;
}

void feasible_all(struct feasible *f)
{
    memset(f->off, 0, f->image->constraints.count);
    f->off_count = 0;
}

bool feasible_spend(struct feasible *f, uint64_t steps)
{
    return looks(f, steps);
}

bool feasible_counts(const struct feasible *f, uint32_t constraint)
{
    return !f->off[constraint];
}

// --- guards

uint32_t feasible_active(struct feasible *f, uint32_t constraint)
{
    uint32_t *at = &f->active[constraint];
    if (*at == NOT_MADE)
        *at = space_guard(f->space, f->index, constraint_at(f, constraint)->guard);
    return *at;
}

// No route before `route` holds. Made from the first one on, each from the one before it.
static uint32_t none_before(struct feasible *f, uint32_t route)
{
    uint32_t from = route;
    while (from > 0 && f->before[from] == NOT_MADE)
        from--;
    if (from == 0)
        f->before[0] = SPACE_TRUE;
    for (uint32_t i = from; i < route; i++)
        f->before[i + 1] =
            both(f, f->before[i], space_not(space_route(f->space, f->index, (int32_t)i)));
    return f->before[route];
}

uint32_t feasible_enters(struct feasible *f, const struct way *way)
{
    if (way->kind != WAY_ROUTE)
        return SPACE_TRUE;
    uint32_t *at = &f->enters[way->route];
    if (*at == NOT_MADE)
        *at = both(f, space_route(f->space, f->index, way->route),
                   none_before(f, (uint32_t)way->route));
    return *at;
}

// --- what a forbid names

static bool names_endpoint(const struct feasible *f, const struct image_constraint *c,
                           int32_t endpoint)
{
    const struct image_endpoint *e = IMAGE_AT(f->image, f->image->endpoints, struct image_endpoint);
    return c->target == IMAGE_FORBID_ENDPOINT &&
           slice_eq(image_text(f->image, e[c->index].url), image_text(f->image, e[endpoint].url));
}

// `redacted` (may be NULL): per lattice the level that is left.
static bool below(const struct image_constraint *c, const struct image_clearance *clears,
                  const uint8_t *redacted)
{
    return clears->level[c->index] < c->level && !(redacted && redacted[c->index] < c->level);
}

static bool names_model(const struct feasible *f, const struct image_constraint *c, int32_t model,
                        enum image_effort effort, const uint8_t *redacted)
{
    struct image_clearance clears;
    switch (c->target) {
    case IMAGE_FORBID_ZONE:
        return image_model(f->image, model)->zone == c->index;
    case IMAGE_FORBID_BELOW:
        clears = way_model_clears(f->image, model);
        return below(c, &clears, redacted);
    case IMAGE_FORBID_MODEL:
        return c->index == model;
    case IMAGE_FORBID_EFFORT:
        return c->index == (int32_t)effort;
    default:
        return false;
    }
}

static bool names_sink(const struct feasible *f, const struct image_constraint *c, int32_t sink,
                       const uint8_t *redacted)
{
    const struct image_sink *s = IMAGE_AT(f->image, f->image->sinks, struct image_sink) + sink;
    struct image_clearance clears;
    switch (c->target) {
    case IMAGE_FORBID_ZONE:
        return s->zone == c->index;
    case IMAGE_FORBID_BELOW:
        clears = way_sink_clears(f->image, sink);
        return below(c, &clears, redacted);
    case IMAGE_FORBID_SINK:
        return c->index == sink;
    default:
        return false;
    }
}

static bool forbids(const struct feasible *f, uint32_t i, enum image_constraint_kind kind)
{
    return constraint_at(f, i)->kind == kind && !f->off[i];
}

// Every endpoint of the model is forbidden.
static uint32_t no_endpoint(struct feasible *f, int32_t model)
{
    const struct image_endpoint *e = IMAGE_AT(f->image, f->image->endpoints, struct image_endpoint);
    struct terms all = {0};
    uint32_t count = 0;
    for (uint32_t k = 0; k < f->image->endpoints.count; k++) {
        struct terms any = {0};
        if (e[k].model != model)
            continue;
        count++;
        for (uint32_t i = 0; i < f->image->constraints.count && looks(f, 1); i++)
            if (forbids(f, i, IMAGE_FORBID) && names_endpoint(f, constraint_at(f, i), (int32_t)k))
                push(f, &any, feasible_active(f, i));
        push(f, &all, any_of(f, &any));
    }
    return count ? all_of(f, &all) : SPACE_FALSE;
}

static bool redacts(const struct feasible *f, const uint8_t *redacted)
{
    for (uint32_t l = 0; redacted && l < f->image->lattices.count; l++)
        if (redacted[l] != UINT8_MAX)
            return true;
    return false;
}

static uint32_t model_usable(struct feasible *f, int32_t model, uint32_t effort,
                             const uint8_t *redacted)
{
    uint32_t *at = &f->models[(uint32_t)model * EFFORTS + effort];
    bool keep = !f->off_count && !redacts(f, redacted);
    if (keep && *at != NOT_MADE)
        return *at;
    struct terms any = {0};
    for (uint32_t i = 0; i < f->image->constraints.count && looks(f, 1); i++)
        if (forbids(f, i, IMAGE_FORBID) &&
            names_model(f, constraint_at(f, i), model, (enum image_effort)effort, redacted))
            push(f, &any, feasible_active(f, i));
    push(f, &any, no_endpoint(f, model));
    uint32_t made = space_not(any_of(f, &any));
    if (keep)
        *at = made;
    return made;
}

uint32_t feasible_model(struct feasible *f, int32_t model)
{
    // An effort that no model has: what forbids efforts names none of it.
    return model_usable(f, model, IMAGE_EFFORT_COUNT_, NULL);
}

// Steps whose bindings answer are held to the route's `where`, `within` and objective; those that judge are not.
static bool wanted(const struct feasible *f, const struct way *way, const struct way_step *s,
                   int32_t model)
{
    const struct image_model *m = image_model(f->image, model);
    if (way->route < 0 || s->is->kind == IMAGE_STEP_VERIFY)
        return true;
    const struct image_route *r = image_route(f->image, way->route);
    if (r->quality_min > 0 && !(m->quality >= r->quality_min))
        return false;
    if (!m->priced && (r->cost_max_nusd >= 0 || r->objective == IMAGE_OBJECTIVE_COST))
        return false;
    return r->objective != IMAGE_OBJECTIVE_ENERGY ||
           (m->energy_in_uj >= 0 && m->energy_out_uj >= 0);
}

uint32_t feasible_binding(struct feasible *f, const struct way *way, const struct way_step *step,
                          uint32_t k)
{
    const struct image_binding *b = &step->bindings[k];
    return wanted(f, way, step, b->model) ? model_usable(f, b->model, b->effort, step->redacted)
                                          : SPACE_FALSE;
}

static uint32_t sink_usable(struct feasible *f, int32_t sink, const uint8_t *redacted)
{
    uint32_t *at = &f->sinks[sink];
    bool keep = !f->off_count && !redacts(f, redacted);
    if (keep && *at != NOT_MADE)
        return *at;
    struct terms any = {0};
    for (uint32_t i = 0; i < f->image->constraints.count && looks(f, 1); i++)
        if (forbids(f, i, IMAGE_FORBID) && names_sink(f, constraint_at(f, i), sink, redacted))
            push(f, &any, feasible_active(f, i));
    uint32_t made = space_not(any_of(f, &any));
    if (keep)
        *at = made;
    return made;
}

uint32_t feasible_sink(struct feasible *f, int32_t sink)
{
    return sink_usable(f, sink, NULL);
}

// --- labels

uint32_t feasible_label(struct feasible *f, int32_t lattice, uint32_t level)
{
    if (level == 0)
        return SPACE_TRUE;
    if (level >= IMAGE_WORDS_MAX)
        return SPACE_FALSE;
    uint32_t *at = &f->labels[(uint32_t)lattice * IMAGE_WORDS_MAX + level];
    if (*at != NOT_MADE)
        return *at;
    struct terms any = {0};
    for (uint32_t i = 0; i < f->image->signals.count; i++) {
        const struct image_signal *s = image_signal(f->image, (int32_t)i);
        if (s->derive == IMAGE_DERIVE_LABEL && s->lattice == lattice)
            push(f, &any, space_label(f->space, f->index, (int32_t)i, level));
    }
    return *at = any_of(f, &any);
}

uint32_t feasible_above(struct feasible *f, const struct way_label *label,
                        const struct image_clearance *clears)
{
    struct terms any = {0};
    for (uint32_t l = 0; l < f->image->lattices.count; l++) {
        uint8_t cleared = clears->level[l];
        if (label->low[l] > cleared)
            return SPACE_TRUE;
        if (label->high[l] > cleared)
            push(f, &any, feasible_label(f, (int32_t)l, cleared + 1u));
    }
    return any_of(f, &any);
}

// --- chains

static bool takes(const struct image_constraint *c, const struct way_amount *least)
{
    return least->open || least->value > c->limit;
}

// What the steps before and behind cost at least, in the budget's unit, plus this binding.
static uint32_t within_budgets(struct feasible *f, const struct way_bound *rest,
                               const struct way_bound *own)
{
    struct terms none = {0};
    for (uint32_t k = 0; k < f->budget_count && looks(f, 1); k++) {
        uint32_t i = f->budgets[k];
        const struct image_constraint *c = constraint_at(f, i);
        struct way_amount sum = way_add(rest->unit[c->unit], own->unit[c->unit]);
        if (!f->off[i] && takes(c, &sum))
            push(f, &none, feasible_active(f, i));
    }
    return space_not(any_of(f, &none));
}

// The least that the chain's other steps cost, when step `except` is left out. Asked for each binding of a step in turn,
// so the last answer is kept.
static struct way_bound least_of_others(struct feasible *f, const struct way_chain *chain,
                                        uint32_t except)
{
    if (f->last_chain != chain || f->last_except != except) {
        f->last_least = way_chain_least(f->image, chain, except);
        f->last_chain = chain;
        f->last_except = except;
    }
    return f->last_least;
}

static uint32_t binding_in_chain(struct feasible *f, const struct way *way,
                                 const struct way_chain *chain, uint32_t step, uint32_t k,
                                 const struct way_bound *rest)
{
    const struct way_step *s = &chain->steps[step];
    uint32_t usable = feasible_binding(f, way, s, k);
    if (!rest || usable == SPACE_FALSE)
        return usable;
    struct way_bound own = way_binding_least(f->image, s->is, &s->bindings[k]);
    return both(f, usable, within_budgets(f, rest, &own));
}

static bool step_embeds(const struct way_step *s)
{
    return s->is->kind == IMAGE_STEP_RETRIEVE || s->is->kind == IMAGE_STEP_CACHE;
}

static uint32_t step_feasible(struct feasible *f, const struct way *way,
                              const struct way_chain *chain, uint32_t step, bool budgets)
{
    const struct way_step *s = &chain->steps[step];
    const struct image_sink *sinks = IMAGE_AT(f->image, f->image->sinks, struct image_sink);
    struct terms all = {0}, any = {0};
    for (uint32_t i = 0; i < f->image->constraints.count && looks(f, 1); i++) {
        const struct image_constraint *c = constraint_at(f, i);
        if (forbids(f, i, IMAGE_FORBID) && c->target == IMAGE_FORBID_STEP &&
            c->index == (int32_t)s->is->kind)
            push(f, &all, space_not(feasible_active(f, i)));
    }
    if (s->is->sink >= 0)
        push(f, &all, sink_usable(f, s->is->sink, s->redacted));
    for (uint32_t i = 0; step_embeds(s) && i < f->image->sinks.count; i++)
        if (sinks[i].kind == IMAGE_SINK_EMBEDDING)
            push(f, &all, sink_usable(f, (int32_t)i, s->redacted));
    struct way_bound rest;
    if (budgets)
        rest = least_of_others(f, chain, step);
    for (uint32_t k = 0; k < s->binding_count; k++)
        push(f, &any, binding_in_chain(f, way, chain, step, k, budgets ? &rest : NULL));
    // Of `fuse` all must answer.
    if (s->binding_count)
        push(f, &all, s->is->kind == IMAGE_STEP_FUSE ? all_of(f, &any) : any_of(f, &any));
    return all_of(f, &all);
}

// How often a chain uses what needs an `allow`.
static uint64_t extras_of(const struct way_chain *chain, enum image_extra extra)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < chain->count; i++) {
        const struct image_step *s = chain->steps[i].is;
        if (extra == IMAGE_EXTRA_ESCALATE)
            n += s->escalated;
        else if (extra == IMAGE_EXTRA_FUSE)
            n += s->kind == IMAGE_STEP_FUSE;
        else
            n += s->hedges;
    }
    return n;
}

// An active `allow` covers `times`.
static uint32_t allowed(struct feasible *f, enum image_extra extra, uint64_t times)
{
    struct terms any = {0};
    if (times == 0)
        return SPACE_TRUE;
    for (uint32_t i = 0; i < f->image->constraints.count; i++) {
        const struct image_constraint *c = constraint_at(f, i);
        if (forbids(f, i, IMAGE_ALLOW) && c->extra == extra && c->count >= times)
            push(f, &any, feasible_active(f, i));
    }
    return any_of(f, &any);
}

uint32_t feasible_extras(struct feasible *f, const struct way *way, uint32_t c,
                         enum image_extra extra)
{
    return allowed(f, extra, extras_of(&way->chains[c], extra));
}

static uint32_t chain_slot(const struct feasible *f, const struct way *way, uint32_t c)
{
    if (way->route < 0)
        return f->image->chains.count + (uint32_t)way->model;
    const struct image_route *r = image_route(f->image, way->route);
    return (r->chains.at - f->image->chains.at) / (uint32_t)sizeof(struct image_chain) + c;
}

uint32_t feasible_chain_bare(struct feasible *f, const struct way *way, uint32_t c)
{
    const struct way_chain *chain = &way->chains[c];
    uint32_t *at = &f->bare[chain_slot(f, way, c)];
    if (*at != NOT_MADE && !f->off_count)
        return *at;
    struct terms all = {0};
    bool budgets = f->budget_count > 0;
    for (uint32_t i = 0; i < chain->count; i++)
        push(f, &all, step_feasible(f, way, chain, i, budgets));
    if (budgets) {
        struct way_bound rest = least_of_others(f, chain, UINT32_MAX), nothing;
        memset(&nothing, 0, sizeof nothing);
        push(f, &all, within_budgets(f, &rest, &nothing));
    }
    for (enum image_extra e = 0; e < IMAGE_EXTRA_COUNT_; e++)
        push(f, &all, feasible_extras(f, way, c, e));
    uint32_t made = all_of(f, &all);
    if (!f->off_count)
        *at = made;
    return made;
}

// A hit of a cache in the chain is an answer, too.
static bool passes(const struct way_chain *chain, const struct image_constraint *c)
{
    if (!chain->refuses && !way_chain_passes(chain, c->step, c->sink))
        return false;
    for (uint32_t i = 0; i < chain->count; i++)
        if (chain->steps[i].is->kind == IMAGE_STEP_CACHE &&
            !way_hit_passes(chain, i, c->step, c->sink))
            return false;
    return true;
}

uint32_t feasible_chain(struct feasible *f, const struct way *way, uint32_t c)
{
    const struct way_chain *chain = &way->chains[c];
    uint32_t *at = &f->chains[chain_slot(f, way, c)];
    if (*at != NOT_MADE && !f->off_count)
        return *at;
    struct terms all = {0};
    push(f, &all, feasible_chain_bare(f, way, c));
    for (uint32_t i = 0; i < f->image->constraints.count && chain->delivers; i++)
        if (forbids(f, i, IMAGE_REQUIRE) && !passes(chain, constraint_at(f, i)))
            push(f, &all, space_not(feasible_active(f, i)));
    uint32_t made = all_of(f, &all);
    if (!f->off_count)
        *at = made;
    return made;
}

uint32_t feasible_tried(struct feasible *f, const struct way *way, uint32_t c)
{
    struct terms all = {0};
    push(f, &all, feasible_enters(f, way));
    push(f, &all, feasible_chain(f, way, c));
    for (uint32_t i = 0; i < c; i++)
        if (!way->chains[i].fails)
            push(f, &all, space_not(feasible_chain(f, way, i)));
    return all_of(f, &all);
}

uint32_t feasible_used(struct feasible *f, const struct way *way, uint32_t c, uint32_t step,
                       uint32_t binding)
{
    const struct way_chain *chain = &way->chains[c];
    struct way_bound rest;
    bool budgets = f->budget_count > 0;
    if (budgets)
        rest = least_of_others(f, chain, step);
    return both(f, feasible_tried(f, way, c),
                binding_in_chain(f, way, chain, step, binding, budgets ? &rest : NULL));
}

// --- what budgets keep

uint32_t feasible_unkept(struct feasible *f, enum image_unit unit, int64_t limit)
{
    struct terms all = {0};
    for (uint32_t k = 0; k < f->budget_count; k++) {
        const struct image_constraint *c = constraint_at(f, f->budgets[k]);
        if (c->unit == unit && c->limit <= limit)
            push(f, &all, space_not(feasible_active(f, f->budgets[k])));
    }
    return all_of(f, &all);
}

int32_t feasible_budget(struct feasible *f, const struct way *way, enum image_unit unit)
{
    int32_t least = IMAGE_NONE;
    for (uint32_t k = 0; k < f->budget_count; k++) {
        const struct image_constraint *c = constraint_at(f, f->budgets[k]);
        uint32_t claims[] = {feasible_enters(f, way), space_not(feasible_active(f, f->budgets[k]))};
        if (c->unit == unit &&
            (least == IMAGE_NONE || c->limit < constraint_at(f, (uint32_t)least)->limit) &&
            space_ask(f->space, claims, 2, SPACE_FAILURES) == SAT_NO)
            least = (int32_t)f->budgets[k];
    }
    return least;
}

// --- which constraints matter to a way

// Names an endpoint of the model.
static bool names_one(const struct feasible *f, const struct image_constraint *c, int32_t model)
{
    const struct image_endpoint *e = IMAGE_AT(f->image, f->image->endpoints, struct image_endpoint);
    for (uint32_t k = 0; k < f->image->endpoints.count; k++)
        if (e[k].model == model && names_endpoint(f, c, (int32_t)k))
            return true;
    return false;
}

static bool touches_step(const struct feasible *f, const struct way_step *s,
                         const struct image_constraint *c)
{
    const struct image_sink *sinks = IMAGE_AT(f->image, f->image->sinks, struct image_sink);
    if (c->target == IMAGE_FORBID_STEP && c->index == (int32_t)s->is->kind)
        return true;
    if (s->is->sink >= 0 && names_sink(f, c, s->is->sink, s->redacted))
        return true;
    for (uint32_t i = 0; step_embeds(s) && i < f->image->sinks.count; i++)
        if (sinks[i].kind == IMAGE_SINK_EMBEDDING && names_sink(f, c, (int32_t)i, s->redacted))
            return true;
    for (uint32_t k = 0; k < s->binding_count; k++) {
        const struct image_binding *b = &s->bindings[k];
        if (names_model(f, c, b->model, b->effort, s->redacted) || names_one(f, c, b->model))
            return true;
    }
    return false;
}

bool feasible_touches(const struct feasible *f, const struct way *way, uint32_t constraint)
{
    const struct image_constraint *c = constraint_at(f, constraint);
    if (c->kind == IMAGE_BUDGET)
        return c->hard && c->window == IMAGE_PER_REQUEST;
    for (uint32_t i = 0; i < way->count; i++) {
        const struct way_chain *chain = &way->chains[i];
        if (c->kind == IMAGE_REQUIRE && chain->delivers && !passes(chain, c))
            return true;
        if (c->kind == IMAGE_ALLOW && extras_of(chain, c->extra))
            return true;
        for (uint32_t k = 0; k < chain->count && c->kind == IMAGE_FORBID; k++)
            if (touches_step(f, &chain->steps[k], c))
                return true;
    }
    return false;
}
