#include "work/image.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/compiler.h"
#include "base/hash.h"
#include "work/image_layout.h"

#define FIELD(of, member, field_kind, field_arg)                                                   \
    {                                                                                              \
        .kind = (field_kind), .arg = (field_arg), .offset = offsetof(struct of, member)            \
    }
#define STR(of, member) FIELD(of, member, IMAGE_FIELD_STR, 0)
#define LIST(of, member, section) FIELD(of, member, IMAGE_FIELD_LIST, section)
#define INDEX(of, member, section) FIELD(of, member, IMAGE_FIELD_INDEX, section)
#define ENUM(of, member, count) FIELD(of, member, IMAGE_FIELD_ENUM, count)
#define BOOL(of, member) FIELD(of, member, IMAGE_FIELD_BOOL, 0)
#define FIELDS(...) ((const struct image_field[]){__VA_ARGS__, {.kind = IMAGE_FIELD_END}})

static const struct image_field no_fields[] = {{.kind = IMAGE_FIELD_END}};

const struct image_layout image_layouts[IMAGE_SECTIONS] = {
    [IMAGE_LATTICES] = {sizeof(struct image_lattice),
                        FIELDS(STR(image_lattice, name), LIST(image_lattice, levels, IMAGE_STRS))},
    [IMAGE_ZONES] = {sizeof(struct image_zone),
                     FIELDS(STR(image_zone, name), BOOL(image_zone, carbon_stated),
                            BOOL(image_zone, carbon_marginal), STR(image_zone, carbon_file))},
    [IMAGE_SINKS] = {sizeof(struct image_sink),
                     FIELDS(STR(image_sink, name), ENUM(image_sink, kind, IMAGE_SINK_KIND_COUNT_),
                            FIELD(image_sink, zone, IMAGE_FIELD_OPT_INDEX, IMAGE_ZONES),
                            BOOL(image_sink, carries_text))},
    [IMAGE_MODELS] = {sizeof(struct image_model),
                      FIELDS(STR(image_model, name), STR(image_model, upstream_name),
                             LIST(image_model, endpoints, IMAGE_ENDPOINTS),
                             FIELD(image_model, zone, IMAGE_FIELD_OPT_INDEX, IMAGE_ZONES),
                             ENUM(image_model, key_source, IMAGE_KEY_FILE + 1),
                             STR(image_model, key_name), BOOL(image_model, priced),
                             STR(image_model, provider), BOOL(image_model, price_listed),
                             STR(image_model, price_date), STR(image_model, price_source),
                             ENUM(image_model, energy.curve, IMAGE_CURVE_POWER + 1),
                             ENUM(image_model, energy.grade, IMAGE_GRADE_GUESSED + 1),
                             STR(image_model, energy.hardware), STR(image_model, energy.source),
                             ENUM(image_model, knob, IMAGE_KNOB_COUNT_),
                             STR(image_model, knob_name))},
    [IMAGE_ENDPOINTS] = {sizeof(struct image_endpoint),
                         FIELDS(STR(image_endpoint, url),
                                INDEX(image_endpoint, model, IMAGE_MODELS),
                                ENUM(image_endpoint, discovery, IMAGE_DISCOVER_SRV + 1),
                                ENUM(image_endpoint, engine, IMAGE_ENGINE_COUNT_),
                                BOOL(image_endpoint, maintenance),
                                ENUM(image_endpoint, meter, IMAGE_METER_RAPL + 1),
                                STR(image_endpoint, region), STR(image_endpoint, metrics_url),
                                STR(image_endpoint, health))},
    [IMAGE_ALIASES] = {sizeof(struct image_alias),
                       FIELDS(STR(image_alias, name),
                              ENUM(image_alias, target, IMAGE_TARGET_MODEL + 1))},
    [IMAGE_PASSES] = {sizeof(struct image_pass),
                      FIELDS(STR(image_pass, path), INDEX(image_pass, model, IMAGE_MODELS))},
    [IMAGE_SIGNALS] =
        {sizeof(struct image_signal),
         FIELDS(STR(image_signal, name), STR(image_signal, family),
                ENUM(image_signal, derive, IMAGE_DERIVE_EXCLUSIVE + 1),
                FIELD(image_signal, lattice, IMAGE_FIELD_OPT_INDEX, IMAGE_LATTICES),
                LIST(image_signal, terms, IMAGE_TERMS), LIST(image_signal, bands, IMAGE_BANDS),
                BOOL(image_signal, hidden), BOOL(image_signal, whole), BOOL(image_signal, closed),
                LIST(image_signal, args, IMAGE_ARGS), ENUM(image_signal, type, SIGNAL_SET + 1),
                LIST(image_signal, words, IMAGE_STRS), BOOL(image_signal, has_threshold),
                BOOL(image_signal, threshold_above), STR(image_signal, error_text))},
    [IMAGE_TERMS] = {sizeof(struct image_term),
                     FIELDS(LIST(image_term, guard, IMAGE_NODES),
                            FIELD(image_term, signal, IMAGE_FIELD_OPT_INDEX, IMAGE_SIGNALS))},
    [IMAGE_BANDS] = {sizeof(struct image_band), no_fields},
    [IMAGE_ARGS] = {sizeof(struct image_arg),
                    FIELDS(ENUM(image_arg, kind, IMAGE_ARG_WORD + 1), STR(image_arg, name),
                           STR(image_arg, tag), STR(image_arg, text))},
    [IMAGE_ATOMS] = {sizeof(struct image_atom),
                     FIELDS(INDEX(image_atom, signal, IMAGE_SIGNALS),
                            ENUM(image_atom, op, IMAGE_OP_FAILED + 1),
                            LIST(image_atom, texts, IMAGE_STRS), STR(image_atom, shown))},
    [IMAGE_NODES] = {sizeof(struct image_node), FIELDS(ENUM(image_node, kind, IMAGE_NODE_OR + 1))},
    [IMAGE_BINDINGS] = {sizeof(struct image_binding),
                        FIELDS(INDEX(image_binding, model, IMAGE_MODELS),
                               ENUM(image_binding, effort, IMAGE_EFFORT_COUNT_))},
    [IMAGE_STEPS] = {sizeof(struct image_step),
                     FIELDS(ENUM(image_step, kind, IMAGE_STEP_KIND_COUNT_),
                            LIST(image_step, bindings, IMAGE_BINDINGS), BOOL(image_step, any),
                            BOOL(image_step, escalated), STR(image_step, text),
                            FIELD(image_step, sink, IMAGE_FIELD_OPT_INDEX, IMAGE_SINKS),
                            FIELD(image_step, lattice, IMAGE_FIELD_OPT_INDEX, IMAGE_LATTICES))},
    [IMAGE_CHAINS] = {sizeof(struct image_chain), FIELDS(LIST(image_chain, steps, IMAGE_STEPS))},
    [IMAGE_ROUTES] = {sizeof(struct image_route),
                      FIELDS(STR(image_route, name), LIST(image_route, guard, IMAGE_NODES),
                             LIST(image_route, chains, IMAGE_CHAINS), STR(image_route, path_name),
                             ENUM(image_route, objective, IMAGE_OBJECTIVE_ENERGY + 1),
                             BOOL(image_route, is_otherwise))},
    [IMAGE_CONSTRAINTS] = {sizeof(struct image_constraint),
                           FIELDS(STR(image_constraint, name),
                                  ENUM(image_constraint, kind, IMAGE_BUDGET + 1),
                                  LIST(image_constraint, guard, IMAGE_NODES),
                                  ENUM(image_constraint, target, IMAGE_FORBID_SINK + 1),
                                  ENUM(image_constraint, step, IMAGE_STEP_KIND_COUNT_),
                                  FIELD(image_constraint, sink, IMAGE_FIELD_OPT_INDEX, IMAGE_SINKS),
                                  ENUM(image_constraint, extra, IMAGE_EXTRA_COUNT_),
                                  ENUM(image_constraint, unit, IMAGE_UNIT_REQUESTS + 1),
                                  ENUM(image_constraint, window, IMAGE_PER_LIFE + 1),
                                  ENUM(image_constraint, scope, IMAGE_SCOPE_LOOP + 1),
                                  ENUM(image_constraint, exhausted, IMAGE_EXHAUSTED_CHEAPER + 1),
                                  BOOL(image_constraint, hard), BOOL(image_constraint, strict))},
    [IMAGE_INDEXES] = {sizeof(struct image_index), no_fields},
    [IMAGE_CLAIMS] = {sizeof(struct image_claim),
                      FIELDS(ENUM(image_claim, kind, IMAGE_CLAIM_REACHES + 1),
                             BOOL(image_claim, negated), LIST(image_claim, list, IMAGE_INDEXES),
                             ENUM(image_claim, target, IMAGE_FORBID_SINK + 1),
                             FIELD(image_claim, lattice, IMAGE_FIELD_OPT_INDEX, IMAGE_LATTICES),
                             ENUM(image_claim, step, IMAGE_STEP_KIND_COUNT_),
                             ENUM(image_claim, unit, IMAGE_UNIT_REQUESTS + 1))},
    [IMAGE_THEOREMS] = {sizeof(struct image_theorem),
                        FIELDS(STR(image_theorem, name), BOOL(image_theorem, is_test),
                               LIST(image_theorem, guard, IMAGE_NODES),
                               LIST(image_theorem, claims, IMAGE_CLAIMS), STR(image_theorem, user),
                               STR(image_theorem, corpus))},
    [IMAGE_ASSUMES] = {sizeof(struct image_assume),
                       FIELDS(STR(image_assume, code), STR(image_assume, name),
                              STR(image_assume, reason))},
    [IMAGE_STRS] = {sizeof(struct image_str), FIELDS({.kind = IMAGE_FIELD_STR})},
    [IMAGE_CHARS] = {1, no_fields},
};

static bool list_fits(const struct policy_image *p, struct image_list l, enum image_section s)
{
    const struct image_list *all = image_section_list((struct policy_image *)(uintptr_t)p, s);
    uint64_t size = image_layouts[s].size;
    return l.at >= all->at && (l.at - all->at) % size == 0 &&
           l.at + l.count * size <= all->at + all->count * size;
}

static bool str_fits(const struct policy_image *p, struct image_str s)
{
    return list_fits(p, (struct image_list){s.at, s.len}, IMAGE_CHARS);
}

static bool field_ok(const struct policy_image *p, const char *element, const struct image_field *f)
{
    const char *at = element + f->offset;
    struct image_str str;
    struct image_list list;
    int32_t index;
    uint32_t word;
    switch (f->kind) {
    case IMAGE_FIELD_STR:
        memcpy(&str, at, sizeof str);
        return str_fits(p, str);
    case IMAGE_FIELD_LIST:
        memcpy(&list, at, sizeof list);
        return list_fits(p, list, f->arg);
    case IMAGE_FIELD_INDEX:
    case IMAGE_FIELD_OPT_INDEX:
        memcpy(&index, at, sizeof index);
        if (index == IMAGE_NONE)
            return f->kind == IMAGE_FIELD_OPT_INDEX;
        return index >= 0 && (uint32_t)index < (&p->lattices)[f->arg].count;
    case IMAGE_FIELD_ENUM:
        memcpy(&word, at, sizeof word);
        return word < f->arg;
    case IMAGE_FIELD_BOOL:
        return (unsigned char)*at <= 1;
    }
    return false;
}

static bool section_ok(const struct policy_image *p, enum image_section s)
{
    const struct image_layout *layout = &image_layouts[s];
    const struct image_list *list = &p->lattices + s;
    const char *element = (const char *)p + list->at;
    if (layout->fields->kind == IMAGE_FIELD_END)
        return true;
    for (uint32_t i = 0; i < list->count; i++, element += layout->size)
        for (const struct image_field *f = layout->fields; f->kind != IMAGE_FIELD_END; f++)
            if (!field_ok(p, element, f))
                return false;
    return true;
}

// The sizes of a guard in prefix order: every subtree ends inside its parent and the whole is used up.
static bool guard_ok(const struct policy_image *p, struct image_list guard)
{
    const struct image_node *nodes = IMAGE_AT(p, guard, struct image_node);
    struct {
        uint32_t end, children;
    } open[IMAGE_GUARD_DEPTH_MAX];
    uint32_t depth = 0;
    if (guard.count == 0 || nodes[0].size != guard.count)
        return false;
    for (uint32_t i = 0; i < guard.count; i++) {
        const struct image_node *n = &nodes[i];
        uint32_t children = n->kind == IMAGE_NODE_NOT                               ? 1
                            : n->kind == IMAGE_NODE_AND || n->kind == IMAGE_NODE_OR ? n->arg
                                                                                    : 0;
        bool inner = children > 0;
        if (n->size == 0 || n->size > guard.count - i || (inner ? n->size < 2 : n->size != 1))
            return false;
        if ((n->kind == IMAGE_NODE_AND || n->kind == IMAGE_NODE_OR) && children < 2)
            return false;
        if (n->kind == IMAGE_NODE_ATOM && n->arg >= p->atoms.count)
            return false;
        if (i > 0) {
            if (depth == 0 || i + n->size > open[depth - 1].end || open[depth - 1].children == 0)
                return false;
            open[depth - 1].children--;
        }
        if (inner) {
            if (depth == IMAGE_GUARD_DEPTH_MAX)
                return false;
            open[depth].end = i + n->size;
            open[depth++].children = children;
        }
        while (depth > 0 && open[depth - 1].end == i + 1)
            if (open[--depth].children != 0)
                return false;
    }
    return depth == 0;
}

static bool steps_ok(const struct policy_image *p)
{
    const struct image_step *s = IMAGE_AT(p, p->steps, struct image_step);
    for (uint32_t i = 0; i < p->steps.count; i++, s++) {
        bool asks = s->kind == IMAGE_STEP_ANSWER || s->kind == IMAGE_STEP_FUSE;
        bool sees = s->kind == IMAGE_STEP_RETRIEVE || s->kind == IMAGE_STEP_CACHE ||
                    (s->kind == IMAGE_STEP_VERIFY && s->bindings.count == 0);
        if ((asks && s->bindings.count == 0) || (sees && s->sink == IMAGE_NONE))
            return false;
        if (s->kind == IMAGE_STEP_REDACT &&
            (s->lattice == IMAGE_NONE ||
             s->level >= IMAGE_AT(p, p->lattices, struct image_lattice)[s->lattice].levels.count))
            return false;
        if (s->retries > IMAGE_RETRIES_MAX || s->hedges > IMAGE_HEDGES_MAX ||
            s->count > IMAGE_RETRIES_MAX || s->cap_tok > IMAGE_TOK_MAX)
            return false;
    }
    const struct image_chain *c = IMAGE_AT(p, p->chains, struct image_chain);
    for (uint32_t i = 0; i < p->chains.count; i++)
        if (c[i].steps.count == 0 || c[i].steps.count > IMAGE_CHAIN_STEPS_MAX)
            return false;
    return true;
}

// Guards stand one behind the other in the order of what has them, so that each node is looked at once, however many a
// file claims to have. What follows may share the one before it; an empty one always holds, where `empty` may be.
struct guards {
    const struct policy_image *p;
    struct image_list last;
    uint32_t next;
};

static bool guard_follows(struct guards *g, struct image_list guard, bool empty)
{
    if (guard.count == 0)
        return empty;
    if (guard.at == g->last.at && guard.count == g->last.count)
        return true;
    if (guard.at != g->next || !guard_ok(g->p, guard))
        return false;
    g->last = guard;
    g->next += guard.count * (uint32_t)sizeof(struct image_node);
    return true;
}

static bool guards_ok(const struct policy_image *p)
{
    struct guards g = {.p = p, .next = p->nodes.at};
    const struct image_term *t = IMAGE_AT(p, p->terms, struct image_term);
    const struct image_route *r = IMAGE_AT(p, p->routes, struct image_route);
    const struct image_constraint *c = IMAGE_AT(p, p->constraints, struct image_constraint);
    const struct image_theorem *h = IMAGE_AT(p, p->theorems, struct image_theorem);
    for (uint32_t i = 0; i < p->terms.count; i++)
        if (!guard_follows(&g, t[i].guard, t[i].signal != IMAGE_NONE))
            return false;
    for (uint32_t i = 0; i < p->routes.count; i++)
        if (!guard_follows(&g, r[i].guard, false))
            return false;
    for (uint32_t i = 0; i < p->constraints.count; i++)
        if (!guard_follows(&g, c[i].guard, true))
            return false;
    for (uint32_t i = 0; i < p->theorems.count; i++)
        if (!guard_follows(&g, h[i].guard, true))
            return false;
    return true;
}

static bool routes_ok(const struct policy_image *p)
{
    const struct image_route *r = IMAGE_AT(p, p->routes, struct image_route);
    for (uint32_t i = 0; i < p->routes.count; i++, r++)
        if (r->chains.count == 0 || r->chains.count > IMAGE_CHAINS_MAX ||
            r->is_otherwise != (i + 1 == p->routes.count))
            return false;
    return p->routes.count > 0 && r[-1].guard.count == 1 &&
           IMAGE_AT(p, r[-1].guard, struct image_node)->kind == IMAGE_NODE_TRUE;
}

static uint32_t level_count(const struct policy_image *p, int32_t lattice)
{
    return lattice == IMAGE_NONE
               ? 0
               : IMAGE_AT(p, p->lattices, struct image_lattice)[lattice].levels.count;
}

static bool clearance_ok(const struct policy_image *p, const struct image_clearance *c)
{
    for (uint32_t i = 0; i < IMAGE_LATTICES_MAX; i++)
        if (i < p->lattices.count ? c->level[i] >= level_count(p, (int32_t)i) : c->level[i] != 0)
            return false;
    return true;
}

static bool places_ok(const struct policy_image *p)
{
    if (p->lattices.count > IMAGE_LATTICES_MAX)
        return false;
    for (uint32_t i = 0; i < p->lattices.count; i++)
        if (level_count(p, (int32_t)i) < 2 || level_count(p, (int32_t)i) > IMAGE_WORDS_MAX)
            return false;
    for (uint32_t i = 0; i < p->zones.count; i++)
        if (!clearance_ok(p, &IMAGE_AT(p, p->zones, struct image_zone)[i].clears))
            return false;
    const struct image_sink *s = IMAGE_AT(p, p->sinks, struct image_sink);
    for (uint32_t i = 0; i < p->sinks.count; i++)
        if (!clearance_ok(p, &s[i].clears) || !clearance_ok(p, &s[i].holds) ||
            s[i].cap_tok > IMAGE_TOK_MAX || s[i].call_nusd > IMAGE_PRICE_MAX ||
            s[i].call_uj > IMAGE_ENERGY_MAX)
            return false;
    return true;
}

static bool index_below(int32_t index, uint32_t count)
{
    return index >= 0 && (uint32_t)index < count;
}

// What a constraint or a claim is about.
static bool target_ok(const struct policy_image *p, enum image_target target, int32_t index,
                      uint32_t level)
{
    switch (target) {
    case IMAGE_FORBID_ZONE:
        return index_below(index, p->zones.count);
    case IMAGE_FORBID_BELOW:
        return index_below(index, p->lattices.count) && level < level_count(p, index);
    case IMAGE_FORBID_MODEL:
        return index_below(index, p->models.count);
    case IMAGE_FORBID_ENDPOINT:
        return index_below(index, p->endpoints.count);
    case IMAGE_FORBID_EFFORT:
        return index_below(index, IMAGE_EFFORT_COUNT_);
    case IMAGE_FORBID_STEP:
        return index_below(index, IMAGE_STEP_KIND_COUNT_);
    case IMAGE_FORBID_SINK:
        return index_below(index, p->sinks.count);
    }
    return false;
}

static bool claim_ok(const struct policy_image *p, const struct image_claim *c)
{
    const struct image_index *at = IMAGE_AT(p, c->list, struct image_index);
    uint32_t count = c->kind == IMAGE_CLAIM_ZONE    ? p->zones.count
                     : c->kind == IMAGE_CLAIM_MODEL ? p->models.count
                                                    : 0;
    for (uint32_t i = 0; i < c->list.count; i++)
        if (!index_below(at[i].index, count))
            return false;
    switch (c->kind) {
    case IMAGE_CLAIM_ROUTE:
        return index_below(c->index, p->routes.count);
    case IMAGE_CLAIM_COSTS:
        return c->limit >= 0 && (c->index == IMAGE_NONE || index_below(c->index, p->routes.count));
    case IMAGE_CLAIM_PASSES:
        return c->index == IMAGE_NONE || index_below(c->index, p->sinks.count);
    case IMAGE_CLAIM_ZONE:
    case IMAGE_CLAIM_MODEL:
        return c->list.count > 0;
    case IMAGE_CLAIM_REACHES:
        return c->lattice != IMAGE_NONE && c->level < level_count(p, c->lattice) &&
               c->target != IMAGE_FORBID_BELOW && target_ok(p, c->target, c->index, 0);
    default:
        return true;
    }
}

static bool budget_ok(const struct image_constraint *c)
{
    bool life = c->window == IMAGE_PER_LIFE, request = c->window == IMAGE_PER_REQUEST;
    if (c->limit < 0 || (life && c->scope != IMAGE_SCOPE_SESSION && c->scope != IMAGE_SCOPE_LOOP) ||
        ((life || request) && !c->hard))
        return false;
    if (c->exhausted == IMAGE_EXHAUSTED_CHEAPER && (!c->hard || request))
        return false;
    if (c->strict && (!request || c->unit == IMAGE_UNIT_MS || c->unit == IMAGE_UNIT_CALLS))
        return false;
    return c->unit != IMAGE_UNIT_REQUESTS || (!request && c->hard);
}

static bool rules_ok(const struct policy_image *p)
{
    const struct image_constraint *c = IMAGE_AT(p, p->constraints, struct image_constraint);
    for (uint32_t i = 0; i < p->constraints.count; i++)
        if ((c[i].kind == IMAGE_FORBID && !target_ok(p, c[i].target, c[i].index, c[i].level)) ||
            (c[i].kind == IMAGE_BUDGET && !budget_ok(&c[i])))
            return false;
    const struct image_claim *l = IMAGE_AT(p, p->claims, struct image_claim);
    for (uint32_t i = 0; i < p->claims.count; i++)
        if (!claim_ok(p, &l[i]))
            return false;
    return true;
}

static bool within(int64_t v, int64_t least, int64_t most)
{
    return v >= least && v <= most;
}

// Finite, and in [0, most]. Not so for a NaN.
static bool amount_ok(double v, double most)
{
    return v >= 0 && v <= most;
}

static bool curve_ok(const struct image_energy *e)
{
    const double joules = 1e9; // of a token; far beyond what any machine takes
    if (!amount_ok(e->a, joules) || !amount_ok(e->c, joules) ||
        !amount_ok(e->prefill_j_tok, joules) || !amount_ok(e->batch, 1e6) ||
        !amount_ok(e->batch_max, 1e6) || !amount_ok(e->step_s, 1e6) ||
        !amount_ok(e->step_growth, 1e6) || !amount_ok(e->prefill_s_tok, 1e6))
        return false;
    return e->curve == IMAGE_CURVE_NONE ? e->a == 0 && e->c == 0
                                        : e->batch >= 1 && e->batch_max >= 1;
}

static bool knob_ok(const struct image_model *m)
{
    for (int i = 0; i < IMAGE_EFFORT_COUNT_; i++)
        if (m->thinking_tok[i] > (m->knob == IMAGE_KNOB_THINKING ? IMAGE_TOK_MAX : 0))
            return false;
    return (m->knob == IMAGE_KNOB_REASONING_EFFORT) == (m->knob_name.len == 0);
}

static bool date_ok(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (i == 4 || i == 7 ? s.ptr[i] != '-' : s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    return s.len == 0 || s.len == 10;
}

static bool price_ok(const struct policy_image *p, const struct image_model *m)
{
    const int64_t prices[] = {m->price_in_nusd,      m->price_out_nusd,  m->price_cached_nusd,
                              m->price_written_nusd, m->price_call_nusd, m->price_gpu_nusd_h};
    for (size_t i = 0; i < MERIT_COUNT(prices); i++)
        if (!within(prices[i], 0, IMAGE_PRICE_MAX))
            return false;
    return m->batch_percent <= 100 && date_ok(image_text(p, m->price_date));
}

static bool endpoints_ok(const struct policy_image *p)
{
    const struct image_endpoint *e = IMAGE_AT(p, p->endpoints, struct image_endpoint);
    for (uint32_t i = 0; i < p->endpoints.count; i++, e++)
        if (e->weight_milli > 1000000 || e->serves_from_tok > IMAGE_TOK_MAX ||
            e->serves_to_tok > IMAGE_TOK_MAX ||
            (e->serves_to_tok && e->serves_from_tok > e->serves_to_tok) ||
            (e->health.len && image_text(p, e->health).ptr[0] != '/'))
            return false;
    return true;
}

static bool zones_ok(const struct policy_image *p)
{
    const struct image_zone *z = IMAGE_AT(p, p->zones, struct image_zone);
    for (uint32_t i = 0; i < p->zones.count; i++, z++)
        if ((z->pue_milli && (z->pue_milli < 1000 || z->pue_milli > 10000)) ||
            !within(z->carbon_ug_kwh, 0, IMAGE_CARBON_MAX) ||
            (!z->carbon_stated && (z->carbon_marginal || z->carbon_ug_kwh || z->carbon_file.len)))
            return false;
    return true;
}

static bool dispatch_ok(const struct image_dispatch *d)
{
    for (int i = 0; i < IMAGE_SCORE_COUNT_; i++)
        if (!amount_ok((double)d->weights[i], IMAGE_SCORE_WEIGHT_MAX))
            return false;
    return (unsigned)d->mode < IMAGE_DISPATCH_MODE_COUNT_ &&
           within(d->second_nusd, 0, IMAGE_WORTH_MAX) && within(d->kwh_nusd, 0, IMAGE_WORTH_MAX) &&
           within(d->kg_nusd, 0, IMAGE_WORTH_MAX);
}

static bool models_ok(const struct policy_image *p)
{
    const struct image_model *m = IMAGE_AT(p, p->models, struct image_model);
    for (uint32_t i = 0; i < p->models.count; i++, m++) {
        if (m->endpoints.count == 0 || m->context_tok > IMAGE_TOK_MAX ||
            m->output_tok > IMAGE_TOK_MAX || !price_ok(p, m) || !curve_ok(&m->energy) ||
            !knob_ok(m) || !(m->quality <= 1) || m->energy_in_uj < -1 ||
            m->energy_in_uj > IMAGE_ENERGY_MAX || m->energy_out_uj < -1 ||
            m->energy_out_uj > IMAGE_ENERGY_MAX || m->efforts >> IMAGE_EFFORT_COUNT_ != 0)
            return false;
    }
    const struct image_alias *a = IMAGE_AT(p, p->aliases, struct image_alias);
    for (uint32_t i = 0; i < p->aliases.count; i++, a++) {
        uint32_t count = a->target == IMAGE_TARGET_ROUTE   ? p->routes.count
                         : a->target == IMAGE_TARGET_MODEL ? p->models.count
                                                           : 0;
        if (a->target != IMAGE_TARGET_ROUTES && (a->index < 0 || (uint32_t)a->index >= count))
            return false;
    }
    return true;
}

static bool atom_ok(const struct policy_image *p, const struct image_atom *a)
{
    const struct image_signal *s = image_signal(p, a->signal);
    bool orders = a->op >= IMAGE_OP_LT && a->op <= IMAGE_OP_GE;
    if (a->op == IMAGE_OP_FAILED)
        return true;
    switch (s->type) {
    case SIGNAL_BOOL:
        return a->op == IMAGE_OP_TRUE;
    case SIGNAL_NUMBER:
        return orders || a->op == IMAGE_OP_EQ || a->op == IMAGE_OP_NE;
    case SIGNAL_ENUM:
        if (a->op == IMAGE_OP_IN)
            return s->words.count == 64 || a->words >> s->words.count == 0;
        return (a->op == IMAGE_OP_EQ || a->op == IMAGE_OP_NE) && a->number >= 0 &&
               a->number < s->words.count;
    case SIGNAL_TEXT:
    case SIGNAL_SET:
        return a->op == IMAGE_OP_TRUE || (!orders && a->texts.count > 0);
    }
    return false;
}

// A derived signal looks only at what is less deep, so that there is no circle.
static bool guard_deeper(const struct policy_image *p, struct image_list guard, uint32_t depth)
{
    const struct image_node *n = IMAGE_AT(p, guard, struct image_node);
    const struct image_atom *atoms = IMAGE_AT(p, p->atoms, struct image_atom);
    for (uint32_t i = 0; i < guard.count; i++)
        if (n[i].kind == IMAGE_NODE_ATOM &&
            (n[i].arg >= p->atoms.count || image_signal(p, atoms[n[i].arg].signal)->depth >= depth))
            return false;
    return true;
}

static bool term_ok(const struct policy_image *p, const struct image_signal *s,
                    const struct image_term *t)
{
    const struct image_signal *of = t->signal == IMAGE_NONE ? NULL : image_signal(p, t->signal);
    if (of && (of->type != SIGNAL_NUMBER || of->depth >= s->depth))
        return false;
    switch (s->derive) {
    case IMAGE_DERIVE_LABEL:
        return !of && t->word < s->words.count;
    case IMAGE_DERIVE_SCORE:
        return isfinite(t->weight) && (!of || t->guard.count == 0);
    case IMAGE_DERIVE_EXCLUSIVE:
        return of && t->word < s->words.count && t->guard.count == 0;
    default:
        return false;
    }
}

static bool bands_ok(const struct policy_image *p, const struct image_signal *s)
{
    const struct image_band *b = IMAGE_AT(p, s->bands, struct image_band);
    if (s->bands.count == 0)
        return s->type != SIGNAL_ENUM;
    if (s->type != SIGNAL_ENUM || s->bands.count != s->words.count || b[0].from != -INFINITY)
        return false;
    for (uint32_t i = 1; i < s->bands.count; i++)
        if (!isfinite(b[i].from) || !(b[i].from > b[i - 1].from))
            return false;
    return true;
}

static bool derived_ok(const struct policy_image *p, const struct image_signal *s)
{
    const struct image_term *t = IMAGE_AT(p, s->terms, struct image_term);
    if (s->depth > IMAGE_DERIVE_DEPTH_MAX || (s->depth == 0) != (s->derive == IMAGE_DERIVE_NONE))
        return false;
    switch (s->derive) {
    case IMAGE_DERIVE_NONE:
        return s->terms.count == 0 && s->bands.count == 0;
    case IMAGE_DERIVE_LABEL:
        if (s->type != SIGNAL_ENUM || s->words.count != level_count(p, s->lattice) ||
            s->error_level >= s->words.count || s->lattice == IMAGE_NONE)
            return false;
        break;
    case IMAGE_DERIVE_SCORE:
        if (!bands_ok(p, s) || (s->type != SIGNAL_ENUM && s->type != SIGNAL_NUMBER &&
                                !(s->type == SIGNAL_BOOL && s->has_threshold)))
            return false;
        break;
    case IMAGE_DERIVE_EXCLUSIVE:
        if (s->type != SIGNAL_ENUM || s->terms.count < 2 || s->otherwise >= s->words.count ||
            !(s->temperature > 0) || !isfinite(s->temperature) || !(s->margin >= 0) ||
            !(s->margin <= 1))
            return false;
        break;
    }
    for (uint32_t i = 0; i < s->terms.count; i++)
        if (!term_ok(p, s, &t[i]))
            return false;
    return true;
}

// Terms of different signals may not overlap so often that looking at all of them takes long: their sum is held against
// the section's.
static bool terms_ok(const struct policy_image *p)
{
    const struct image_signal *s = IMAGE_AT(p, p->signals, struct image_signal);
    const struct image_term *t = IMAGE_AT(p, p->terms, struct image_term);
    uint64_t terms = 0, nodes = 0;
    for (uint32_t i = 0; i < p->signals.count; i++)
        terms += s[i].terms.count;
    for (uint32_t i = 0; i < p->terms.count; i++)
        nodes += t[i].guard.count;
    if (terms != p->terms.count || nodes > p->nodes.count)
        return false;
    for (uint32_t i = 0; i < p->signals.count; i++) {
        const struct image_term *of = IMAGE_AT(p, s[i].terms, struct image_term);
        if (!derived_ok(p, &s[i]))
            return false;
        for (uint32_t k = 0; k < s[i].terms.count; k++)
            if (!guard_deeper(p, of[k].guard, s[i].depth))
                return false;
    }
    return true;
}

static bool signals_ok(const struct policy_image *p)
{
    const struct image_signal *s = IMAGE_AT(p, p->signals, struct image_signal);
    for (uint32_t i = 0; i < p->signals.count; i++, s++) {
        if (s->words.count > IMAGE_WORDS_MAX || (s->type == SIGNAL_ENUM && s->words.count == 0))
            return false;
    }
    const struct image_atom *a = IMAGE_AT(p, p->atoms, struct image_atom);
    for (uint32_t i = 0; i < p->atoms.count; i++)
        if (!atom_ok(p, &a[i]))
            return false;
    return terms_ok(p);
}

static bool layout_ok(const struct policy_image *p)
{
    for (int s = 0; s < IMAGE_SECTIONS; s++) {
        const struct image_list *list = &p->lattices + s;
        uint64_t end = list->at + (uint64_t)list->count * image_layouts[s].size;
        if (list->at % 8 || list->at < sizeof *p || end > p->size)
            return false;
    }
    return true;
}

// FNV-1a over 64-bit words rather than bytes: an image may have megabytes, and a start has 50 ms.
static uint64_t checksum(const struct policy_image *p)
{
    uint64_t h = 0xcbf29ce484222325u;
    const char *at = (const char *)p;
    for (size_t i = 0; i < p->size; i += 8) {
        uint64_t word = 0;
        if (i != offsetof(struct policy_image, checksum))
            memcpy(&word, at + i, p->size - i < 8 ? p->size - i : 8);
        h = (h ^ word) * 0x100000001b3u;
        h ^= h >> 29;
    }
    return h;
}

void image_seal(struct policy_image *p)
{
    p->checksum = checksum(p);
}

enum result image_open(const void *block, size_t size, const struct policy_image **out)
{
    const struct policy_image *p = block;
    *out = NULL;
    assert((uintptr_t)block % 8 == 0);
    if (size < sizeof *p || memcmp(p->magic, "MERITPOL", 8) != 0)
        return RESULT_SYNTAX;
    if (p->version != IMAGE_VERSION)
        return RESULT_VERSION;
    if (p->size < sizeof *p || p->size > size || p->size > IMAGE_BYTES_MAX ||
        p->checksum != checksum(p) || !layout_ok(p) || !str_fits(p, p->name))
        return RESULT_SYNTAX;
    for (int s = 0; s < IMAGE_SECTIONS; s++)
        if (!section_ok(p, (enum image_section)s))
            return RESULT_SYNTAX;
    if (!dispatch_ok(&p->dispatch) || !places_ok(p) || !zones_ok(p) || !endpoints_ok(p) ||
        !models_ok(p) || !guards_ok(p) || !signals_ok(p) || !routes_ok(p) || !steps_ok(p) ||
        !rules_ok(p))
        return RESULT_SYNTAX;
    *out = p;
    return RESULT_OK;
}

// Policies have tens of names, and names are looked up once per request at most: a scan needs no index in the image.
#define FIND(list, type)                                                                           \
    do {                                                                                           \
        const type *at = IMAGE_AT(p, list, type);                                                  \
        for (uint32_t i = 0; i < (list).count; i++)                                                \
            if (slice_eq(image_text(p, at[i].name), name))                                         \
                return (int32_t)i;                                                                 \
        return IMAGE_NONE;                                                                         \
    } while (0)

int32_t image_find_model(const struct policy_image *p, struct slice name)
{
    FIND(p->models, struct image_model);
}

int32_t image_find_route(const struct policy_image *p, struct slice name)
{
    FIND(p->routes, struct image_route);
}

int32_t image_find_signal(const struct policy_image *p, struct slice name)
{
    FIND(p->signals, struct image_signal);
}

const struct image_alias *image_find_alias(const struct policy_image *p, struct slice name)
{
    const struct image_alias *at = IMAGE_AT(p, p->aliases, struct image_alias);
    for (uint32_t i = 0; i < p->aliases.count; i++)
        if (slice_eq(image_text(p, at[i].name), name))
            return &at[i];
    return NULL;
}

const char *image_effort_name(enum image_effort e)
{
    static const char *const names[IMAGE_EFFORT_COUNT_] = {"default", "off",  "low",
                                                           "medium",  "high", "on"};
    return (unsigned)e < IMAGE_EFFORT_COUNT_ ? names[e] : "default";
}

const char *image_op_name(enum image_op op)
{
    static const char *const names[] = {"", "==", "!=", "<", "<=", ">", ">=", "in"};
    return (unsigned)op < MERIT_COUNT(names) ? names[op] : "";
}

const char *image_type_name(enum signal_type type)
{
    static const char *const names[] = {"bool", "number", "enum", "text", "set"};
    return (unsigned)type < MERIT_COUNT(names) ? names[type] : "bool";
}
