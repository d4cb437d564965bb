#include "proof/ways.h"

#include <string.h>

#include "route/estimate.h"

// --- labels

static void label_init(struct way_label *l)
{
    memset(l->low, 0, sizeof l->low);
    memset(l->high, UINT8_MAX, sizeof l->high);
}

static void label_redact(struct way_label *l, int32_t lattice, uint32_t level)
{
    uint8_t k = (uint8_t)level;
    if (l->low[lattice] > k)
        l->low[lattice] = k;
    if (l->high[lattice] > k)
        l->high[lattice] = k;
}

static void label_join(struct way_label *l, const struct image_clearance *holds)
{
    for (unsigned i = 0; i < IMAGE_LATTICES_MAX; i++) {
        if (l->low[i] < holds->level[i])
            l->low[i] = holds->level[i];
        if (l->high[i] < holds->level[i])
            l->high[i] = holds->level[i];
    }
}

struct image_clearance way_model_clears(const struct policy_image *image, int32_t model)
{
    int32_t zone = image_model(image, model)->zone;
    if (zone == IMAGE_NONE)
        return (struct image_clearance){{0}};
    return IMAGE_AT(image, image->zones, struct image_zone)[zone].clears;
}

struct image_clearance way_sink_clears(const struct policy_image *image, int32_t sink)
{
    const struct image_sink *s = IMAGE_AT(image, image->sinks, struct image_sink) + sink;
    struct image_clearance c = s->clears;
    if (s->zone == IMAGE_NONE)
        return c;
    const struct image_clearance *z =
        &IMAGE_AT(image, image->zones, struct image_zone)[s->zone].clears;
    for (unsigned i = 0; i < IMAGE_LATTICES_MAX; i++)
        if (z->level[i] < c.level[i])
            c.level[i] = z->level[i];
    return c;
}

// --- expansion

static bool asks(const struct way_step *s)
{
    return s->is->kind == IMAGE_STEP_ANSWER || s->is->kind == IMAGE_STEP_FUSE;
}

// Sets what follows from the steps: labels, ends.
static void chain_walk(const struct policy_image *image, struct way_chain *c,
                       struct way_step *steps)
{
    struct way_label label;
    uint8_t redacted[IMAGE_LATTICES_MAX];
    label_init(&label);
    memset(redacted, UINT8_MAX, sizeof redacted);
    for (uint32_t i = 0; i < c->count; i++) {
        const struct image_step *is = steps[i].is;
        steps[i].label = label;
        memcpy(steps[i].redacted, redacted, sizeof redacted);
        if (is->kind == IMAGE_STEP_REDACT) {
            label_redact(&label, is->lattice, is->level);
            if (is->level < redacted[is->lattice])
                redacted[is->lattice] = (uint8_t)is->level;
        } else if (is->kind == IMAGE_STEP_RETRIEVE)
            label_join(&label,
                       &(IMAGE_AT(image, image->sinks, struct image_sink) + is->sink)->holds);
        c->refuses |= is->kind == IMAGE_STEP_REFUSE;
        c->delivers |= asks(&steps[i]) || is->kind == IMAGE_STEP_CACHE;
        c->fails |= is->kind != IMAGE_STEP_REFUSE;
    }
    c->end = label;
    // A chain with a refusal behind an answer delivers nothing but what a cache had.
    bool hit = false;
    for (uint32_t i = 0; i < c->count; i++)
        hit |= steps[i].is->kind == IMAGE_STEP_CACHE;
    if (c->refuses)
        c->delivers = hit;
    c->steps = steps;
}

static enum result way_route(const struct policy_image *image, struct arena *arena, int32_t route,
                             struct way *w)
{
    const struct image_route *r = image_route(image, route);
    const struct image_chain *from = image_chains(image, r);
    struct way_chain *chains = ARENA_ARRAY(arena, struct way_chain, r->chains.count + 1);
    if (!chains)
        return RESULT_NOMEM;
    for (uint32_t c = 0; c < r->chains.count; c++) {
        const struct image_step *is = IMAGE_AT(image, from[c].steps, struct image_step);
        uint32_t n = from[c].steps.count;
        struct way_step *steps = ARENA_ARRAY(arena, struct way_step, n + 1);
        if (!steps)
            return RESULT_NOMEM;
        for (uint32_t i = 0; i < n; i++) {
            steps[i].is = &is[i];
            steps[i].bindings = IMAGE_AT(image, is[i].bindings, struct image_binding);
            steps[i].binding_count = is[i].bindings.count;
        }
        chains[c].count = n;
        chain_walk(image, &chains[c], steps);
    }
    w->route = route;
    w->chains = chains;
    w->count = r->chains.count;
    return RESULT_OK;
}

static enum result way_model(const struct policy_image *image, struct arena *arena, int32_t model,
                             struct way *w)
{
    static const struct image_step answer = {
        .kind = IMAGE_STEP_ANSWER, .sink = IMAGE_NONE, .lattice = IMAGE_NONE};
    struct way_chain *chain = ARENA_NEW(arena, struct way_chain);
    struct way_step *step = ARENA_NEW(arena, struct way_step);
    struct image_binding *binding = ARENA_NEW(arena, struct image_binding);
    if (!chain || !step || !binding)
        return RESULT_NOMEM;
    *binding = (struct image_binding){model, IMAGE_EFFORT_DEFAULT};
    *step = (struct way_step){.is = &answer, .bindings = binding, .binding_count = 1};
    chain->count = 1;
    chain_walk(image, chain, step);
    w->model = model;
    w->chains = chain;
    w->count = 1;
    return RESULT_OK;
}

enum result ways_open(const struct policy_image *image, struct arena *arena, struct way_list *out)
{
    const struct image_alias *aliases = IMAGE_AT(image, image->aliases, struct image_alias);
    const struct image_pass *passes = IMAGE_AT(image, image->passes, struct image_pass);
    size_t most = (size_t)image->routes.count + image->aliases.count + image->models.count +
                  image->passes.count;
    struct way *at = ARENA_ARRAY(arena, struct way, most + 1);
    uint32_t n = 0;
    enum result r = at ? RESULT_OK : RESULT_NOMEM;
    *out = (struct way_list){NULL, 0};
    for (uint32_t i = 0; i < image->routes.count && !r; i++) {
        at[n] = (struct way){.kind = WAY_ROUTE, .model = IMAGE_NONE, .index = IMAGE_NONE};
        r = way_route(image, arena, (int32_t)i, &at[n++]);
    }
    for (uint32_t i = 0; i < image->aliases.count && !r; i++) {
        if (aliases[i].target != IMAGE_TARGET_ROUTE)
            continue;
        // The same chains, reached without a guard.
        at[n] = at[aliases[i].index];
        at[n].kind = WAY_ALIAS;
        at[n++].index = (int32_t)i;
    }
    for (uint32_t i = 0; i < image->models.count && !r; i++) {
        at[n] = (struct way){.kind = WAY_MODEL, .route = IMAGE_NONE, .index = IMAGE_NONE};
        r = way_model(image, arena, (int32_t)i, &at[n++]);
    }
    for (uint32_t i = 0; i < image->passes.count && !r; i++) {
        at[n] = (struct way){.kind = WAY_PASS, .route = IMAGE_NONE, .index = (int32_t)i};
        r = way_model(image, arena, passes[i].model, &at[n++]);
    }
    if (!r)
        *out = (struct way_list){at, n};
    return r;
}

// --- obligations

static bool step_is(const struct way_step *s, enum image_step_kind kind, int32_t sink)
{
    return s->is->kind == kind && (sink == IMAGE_NONE || s->is->sink == sink);
}

bool way_chain_passes(const struct way_chain *chain, enum image_step_kind step, int32_t sink)
{
    uint32_t first = chain->count, last = 0;
    for (uint32_t i = 0; i < chain->count; i++) {
        if (!asks(&chain->steps[i]))
            continue;
        first = i < first ? i : first;
        last = i;
    }
    uint32_t from = 0, to = chain->count;
    if (step == IMAGE_STEP_VERIFY)
        from = last;
    else if (step == IMAGE_STEP_RETRIEVE || step == IMAGE_STEP_REDACT || step == IMAGE_STEP_CLARIFY)
        to = first;
    for (uint32_t i = from; i < to; i++)
        if (step_is(&chain->steps[i], step, sink))
            return true;
    return false;
}

bool way_hit_passes(const struct way_chain *chain, uint32_t at, enum image_step_kind step,
                    int32_t sink)
{
    for (uint32_t i = 0; i <= at; i++)
        if (step_is(&chain->steps[i], step, sink))
            return true;
    return false;
}

// --- bounds

static struct way_amount bounded(int64_t value)
{
    return (struct way_amount){value, WAY_BOUNDED, IMAGE_NONE};
}

static struct way_amount open_for(enum way_open why, int32_t index)
{
    return (struct way_amount){0, why, index};
}

struct way_amount way_add(struct way_amount a, struct way_amount b)
{
    if (a.open)
        return a;
    if (b.open)
        return b;
    int64_t sum;
    if (__builtin_add_overflow(a.value, b.value, &sum))
        return open_for(WAY_OVERFLOW, IMAGE_NONE);
    return bounded(sum);
}

struct way_amount way_max(struct way_amount a, struct way_amount b)
{
    if (a.open)
        return a;
    if (b.open)
        return b;
    return a.value >= b.value ? a : b;
}

static struct way_amount way_min(struct way_amount a, struct way_amount b)
{
    if (a.open)
        return b;
    if (b.open)
        return a;
    return a.value <= b.value ? a : b;
}

static struct way_amount times(struct way_amount a, uint64_t n)
{
    int64_t product;
    if (a.open)
        return a;
    if (n > INT64_MAX || __builtin_mul_overflow(a.value, (int64_t)n, &product))
        return open_for(WAY_OVERFLOW, IMAGE_NONE);
    return bounded(product);
}

// Tokens at prices per million, rounded up: the sum is an upper bound.
static struct way_amount priced(int64_t in_price, uint64_t in_tok, int64_t out_price,
                                uint64_t out_tok)
{
    unsigned __int128 sum = (unsigned __int128)in_tok * (uint64_t)in_price +
                            (unsigned __int128)out_tok * (uint64_t)out_price;
    sum = (sum + 999999) / 1000000;
    return sum > INT64_MAX ? open_for(WAY_OVERFLOW, IMAGE_NONE) : bounded((int64_t)sum);
}

// What fills the window at most when input costs `in_price` and output `out_price`: the dearer one as much as it may.
static struct way_amount window_bound(int64_t in_price, int64_t out_price, uint64_t window,
                                      uint64_t out_max)
{
    if (out_price < in_price)
        out_max = 0; // an answer is at least one token, which the rounding of the window covers
    return priced(in_price, window - out_max, out_price, out_max);
}

// Microgram of so many microjoule in this zone, rounded up; `bare` when nothing is stated of it.
static struct way_amount carbon(const struct policy_image *image, int32_t zone,
                                struct way_amount energy, enum way_open bare, int32_t index)
{
    const struct image_zone *z = IMAGE_AT(image, image->zones, struct image_zone) + zone;
    if (energy.open == WAY_OVERFLOW)
        return energy;
    if (zone == IMAGE_NONE || !z->carbon_stated)
        return open_for(bare, index);
    if (z->carbon_file.len)
        return open_for(WAY_CARBON_FILE, index);
    if (energy.open)
        return energy;
    int64_t ug = estimate_carbon_bound(image, zone, energy.value);
    return ug == ESTIMATE_UNBOUNDED ? open_for(WAY_OVERFLOW, IMAGE_NONE) : bounded(ug);
}

// An answer that keeps the machines for as long as it may costs their hours, when that is more than its tokens cost.
static struct way_amount money(const struct image_model *m, int32_t index, uint64_t window,
                               uint64_t out)
{
    if (!m->priced)
        return open_for(WAY_NO_PRICE, index);
    int64_t share = m->price_gpu_nusd_h ? estimate_share_bound(m, window, out) : 0;
    if (share == ESTIMATE_UNBOUNDED)
        return open_for(WAY_NO_TIMEOUT, index);
    int64_t in = m->price_in_nusd;
    in = m->price_cached_nusd > in ? m->price_cached_nusd : in;
    in = m->price_written_nusd > in ? m->price_written_nusd : in;
    struct way_amount tokens =
        way_add(window_bound(in, m->price_out_nusd, window, out), bounded(m->price_call_nusd));
    return way_max(tokens, bounded(share));
}

static struct way_bound zero_bound(void)
{
    struct way_bound b;
    for (unsigned u = 0; u < WAY_UNITS; u++)
        b.unit[u] = bounded(0);
    return b;
}

static uint64_t attempts_of(const struct image_model *m, const struct image_step *step)
{
    uint64_t endpoints = m->endpoints.count ? m->endpoints.count : 1;
    return step->retries ? 1 + (uint64_t)step->retries : endpoints;
}

struct way_bound way_binding_bound(const struct policy_image *image, const struct image_step *step,
                                   const struct image_binding *binding)
{
    const struct image_model *m = image_model(image, binding->model);
    struct way_bound b = zero_bound();
    uint64_t window = m->context_tok,
             out = m->output_tok && m->output_tok < window ? m->output_tok : window;
    if (step->cap_tok && step->cap_tok < out)
        out = step->cap_tok;
    uint64_t attempts = attempts_of(m, step), copies = 1 + (uint64_t)step->hedges;
    struct way_amount *u = b.unit;
    u[IMAGE_UNIT_CALLS] = bounded(1);
    u[IMAGE_UNIT_MS] =
        m->timeout_ms ? bounded(m->timeout_ms) : open_for(WAY_NO_TIMEOUT, binding->model);
    if (!window) {
        u[IMAGE_UNIT_NUSD] = u[IMAGE_UNIT_UJ] = u[IMAGE_UNIT_TOK] =
            open_for(WAY_NO_WINDOW, binding->model);
    } else {
        u[IMAGE_UNIT_TOK] = bounded((int64_t)window);
        u[IMAGE_UNIT_NUSD] = money(m, binding->model, window, out);
        u[IMAGE_UNIT_UJ] = m->energy_in_uj >= 0 && m->energy_out_uj >= 0
                               ? window_bound(m->energy_in_uj, m->energy_out_uj, window, out)
                               : open_for(WAY_NO_ENERGY, binding->model);
    }
    u[IMAGE_UNIT_UG] = carbon(image, m->zone, u[IMAGE_UNIT_UJ], WAY_NO_CARBON, binding->model);
    // Copies run side by side: they cost, but take no longer.
    for (unsigned i = 0; i < WAY_UNITS; i++)
        u[i] = times(u[i], i == IMAGE_UNIT_MS ? attempts : attempts * copies);
    return b;
}

struct way_bound way_binding_least(const struct policy_image *image, const struct image_step *step,
                                   const struct image_binding *binding)
{
    const struct image_model *m = image_model(image, binding->model);
    struct way_bound b = way_binding_bound(image, step, binding);
    if (!b.unit[IMAGE_UNIT_NUSD].open)
        b.unit[IMAGE_UNIT_NUSD] =
            bounded((m->price_in_nusd + m->price_out_nusd) / 1000000 + m->price_call_nusd);
    if (!b.unit[IMAGE_UNIT_UJ].open)
        b.unit[IMAGE_UNIT_UJ] = bounded((m->energy_in_uj + m->energy_out_uj) / 1000000);
    if (!b.unit[IMAGE_UNIT_TOK].open)
        b.unit[IMAGE_UNIT_TOK] = bounded(2);
    if (!b.unit[IMAGE_UNIT_UG].open)
        b.unit[IMAGE_UNIT_UG] =
            carbon(image, m->zone, b.unit[IMAGE_UNIT_UJ], WAY_NO_CARBON, binding->model);
    return b;
}

// One call of a sink, as often as the step tries.
struct way_bound way_sink_bound(const struct policy_image *image, const struct image_step *step)
{
    int32_t sink = step->sink;
    const struct image_sink *s = IMAGE_AT(image, image->sinks, struct image_sink) + sink;
    struct way_bound b = zero_bound();
    b.unit[IMAGE_UNIT_NUSD] =
        s->call_nusd >= 0 ? bounded(s->call_nusd) : open_for(WAY_NO_SINK_PRICE, sink);
    b.unit[IMAGE_UNIT_UJ] =
        s->call_uj >= 0 ? bounded(s->call_uj) : open_for(WAY_NO_SINK_ENERGY, sink);
    b.unit[IMAGE_UNIT_MS] =
        s->timeout_ms ? bounded(s->timeout_ms) : open_for(WAY_NO_SINK_TIMEOUT, sink);
    b.unit[IMAGE_UNIT_UG] = carbon(image, s->zone, b.unit[IMAGE_UNIT_UJ], WAY_NO_SINK_CARBON, sink);
    b.unit[IMAGE_UNIT_CALLS] = bounded(1);
    if (step->kind == IMAGE_STEP_RETRIEVE && !s->cap_tok)
        b.unit[IMAGE_UNIT_NUSD] = b.unit[IMAGE_UNIT_UJ] = b.unit[IMAGE_UNIT_TOK] =
            open_for(WAY_NO_ADDS, sink);
    for (unsigned i = 0; i < WAY_UNITS; i++)
        b.unit[i] = times(b.unit[i], (1 + (uint64_t)step->retries) *
                                         (i == IMAGE_UNIT_MS ? 1 : 1 + (uint64_t)step->hedges));
    return b;
}

typedef struct way_bound binding_fn(const struct policy_image *, const struct image_step *,
                                    const struct image_binding *);

static bool usable(const struct way_filter *f, const struct way_chain *c, const struct way_step *s,
                   const struct image_binding *b)
{
    return !f || !f->binding || f->binding(f->ctx, c, s, b);
}

// Of the bindings of one step: all together for `fuse` (which run side by side), else the worst or the least one.
static struct way_bound step_amount(const struct policy_image *image, const struct way_chain *chain,
                                    const struct way_step *s, binding_fn *of, bool least,
                                    const struct way_filter *filter)
{
    struct way_bound sum = zero_bound();
    bool any = false, all = s->is->kind == IMAGE_STEP_FUSE;
    for (uint32_t k = 0; k < s->binding_count; k++) {
        if (!usable(filter, chain, s, &s->bindings[k]))
            continue;
        struct way_bound one = of(image, s->is, &s->bindings[k]);
        for (unsigned u = 0; u < WAY_UNITS; u++) {
            struct way_amount *to = &sum.unit[u];
            if (!any)
                *to = one.unit[u];
            else if (all && u != IMAGE_UNIT_MS)
                *to = way_add(*to, one.unit[u]);
            else
                *to = least && !all ? way_min(*to, one.unit[u]) : way_max(*to, one.unit[u]);
        }
        any = true;
    }
    return sum;
}

static void add_bound(struct way_bound *to, const struct way_bound *b)
{
    for (unsigned u = 0; u < WAY_UNITS; u++)
        to->unit[u] = way_add(to->unit[u], b->unit[u]);
}

static struct way_bound chain_amount(const struct policy_image *image,
                                     const struct way_chain *chain, binding_fn *of, bool least,
                                     const struct way_filter *filter, uint32_t except)
{
    struct way_bound sum = zero_bound();
    for (uint32_t i = 0; i < chain->count; i++) {
        const struct way_step *s = &chain->steps[i];
        if (i == except)
            continue;
        struct way_bound b = s->binding_count   ? step_amount(image, chain, s, of, least, filter)
                             : s->is->sink >= 0 ? way_sink_bound(image, s->is)
                                                : zero_bound();
        add_bound(&sum, &b);
        if (!least && s->is->sink >= 0 && s->is->kind == IMAGE_STEP_CACHE)
            add_bound(&sum, &b); // asked once, written once
    }
    return sum;
}

struct way_bound way_chain_bound(const struct policy_image *image, const struct way_chain *chain,
                                 const struct way_filter *filter)
{
    return chain_amount(image, chain, way_binding_bound, false, filter, UINT32_MAX);
}

struct way_bound way_chain_least(const struct policy_image *image, const struct way_chain *chain,
                                 uint32_t except)
{
    return chain_amount(image, chain, way_binding_least, true, NULL, except);
}

struct way_bound way_bound(const struct policy_image *image, const struct way *way,
                           const struct way_filter *filter)
{
    struct way_bound sum = zero_bound();
    for (uint32_t c = 0; c < way->count; c++) {
        if (filter && filter->chain && !filter->chain(filter->ctx, &way->chains[c]))
            continue;
        struct way_bound b = way_chain_bound(image, &way->chains[c], filter);
        add_bound(&sum, &b);
    }
    return sum;
}

uint64_t way_longest(const struct way *way)
{
    uint64_t n = 0;
    for (uint32_t c = 0; c < way->count; c++)
        for (uint32_t i = 0; i < way->chains[c].count; i++) {
            const struct image_step *s = way->chains[c].steps[i].is;
            n += (1 + (uint64_t)s->retries) * (1 + (uint64_t)s->hedges);
        }
    return n;
}

const char *way_open_text(enum way_open open)
{
    static const char *const texts[] = {
        [WAY_BOUNDED] = "is bounded",
        [WAY_NO_PRICE] = "states no price",
        [WAY_NO_ENERGY] = "states no energy",
        [WAY_NO_TIMEOUT] = "states no timeout",
        [WAY_NO_WINDOW] = "states no context",
        [WAY_NO_SINK_PRICE] = "states no price",
        [WAY_NO_SINK_ENERGY] = "states no energy",
        [WAY_NO_SINK_TIMEOUT] = "states no timeout",
        [WAY_NO_ADDS] = "does not state what it adds",
        [WAY_NO_SINK_CARBON] = "has no carbon figure",
        [WAY_NO_CARBON] = "has no carbon figure",
        [WAY_CARBON_FILE] = "has carbon by the hour, which nothing bounds",
        [WAY_OVERFLOW] = "costs more than can be counted",
    };
    return texts[open];
}
