// Who sees what: every place that data can reach, by every way, against the labels that it clears.
#include <stdio.h>
#include <string.h>

#include "proof/check_inner.h"

enum { OTHERS_ASKED = 12, OTHERS_NAMED = 3 };

enum visit_kind {
    VISIT_MODEL,   // a binding of a step
    VISIT_SINK,    // the sink that a step names
    VISIT_EMBED,   // the sink `embedding`, for a step that looks something up
    VISIT_WRITE,   // the answer is written to the cache
    VISIT_MEMORY,  // an answered request is written to the sink `memory`
    VISIT_TEXT,    // a log or trace that carries text
    VISIT_SIGNALS, // the sink `embedding`, for a signal that embeds
};

struct visit {
    enum visit_kind kind;
    const struct way *way; // NULL: by any way
    uint32_t chain, step, binding;
    int32_t place; // of a model or sink
};

struct flow {
    struct proof *p;
    const struct image_sink *sinks;
    struct visit *visits; // in the order of places, then ways
    uint32_t *first;      // per place: models, then sinks
    uint32_t places;
};

static bool has_levels(const struct policy_image *image)
{
    return image->lattices.count > 0;
}

static struct way_label label_as_it_came(void)
{
    struct way_label l;
    memset(l.low, 0, sizeof l.low);
    memset(l.high, UINT8_MAX, sizeof l.high);
    return l;
}

static struct way_label label_of(const struct visit *v)
{
    struct way_label l = label_as_it_came();
    if (v->kind == VISIT_TEXT || v->kind == VISIT_SIGNALS)
        return l;
    const struct way_chain *c = &v->way->chains[v->chain];
    if (v->kind == VISIT_WRITE)
        return c->end;
    if (v->kind != VISIT_MEMORY)
        return c->steps[v->step].label;
    // What is remembered is the request as it came, beside what was retrieved for it.
    memcpy(l.low, c->end.low, sizeof l.low);
    return l;
}

static bool is_model(const struct flow *f, uint32_t place)
{
    return place < f->p->image->models.count;
}

static int32_t place_index(const struct flow *f, uint32_t place)
{
    return (int32_t)(is_model(f, place) ? place : place - f->p->image->models.count);
}

static struct image_clearance place_clears(const struct flow *f, uint32_t place)
{
    int32_t i = place_index(f, place);
    return is_model(f, place) ? way_model_clears(f->p->image, i) : way_sink_clears(f->p->image, i);
}

static struct slice place_name(const struct flow *f, uint32_t place)
{
    int32_t i = place_index(f, place);
    return image_text(f->p->image,
                      is_model(f, place) ? image_model(f->p->image, i)->name : f->sinks[i].name);
}

// The request does what the visit says, whatever its label.
static uint32_t happens(struct flow *f, const struct visit *v)
{
    struct feasible *fs = f->p->feasible;
    switch (v->kind) {
    case VISIT_MODEL:
        return feasible_used(fs, v->way, v->chain, v->step, v->binding);
    case VISIT_SINK:
    case VISIT_EMBED:
    case VISIT_WRITE:
        return feasible_tried(fs, v->way, v->chain);
    case VISIT_MEMORY:
        return space_and(
            f->p->space,
            (const uint32_t[]){feasible_tried(fs, v->way, v->chain), feasible_sink(fs, v->place)},
            2);
    case VISIT_TEXT:
        return feasible_sink(fs, v->place);
    case VISIT_SIGNALS:
        break; // signals are read before anything is decided
    }
    return SPACE_TRUE;
}

// --- all visits

typedef bool visit_fn(struct flow *f, const struct visit *v);

static bool step_visits(struct flow *f, const struct way *way, uint32_t chain, uint32_t step,
                        visit_fn *each)
{
    const struct way_step *s = &way->chains[chain].steps[step];
    struct visit v = {.way = way, .chain = chain, .step = step};
    bool ok = true;
    v.kind = VISIT_MODEL;
    for (uint32_t k = 0; k < s->binding_count && ok; k++) {
        v.binding = k;
        v.place = s->bindings[k].model;
        ok = each(f, &v);
    }
    v.binding = 0;
    if (ok && s->is->sink >= 0) {
        v.kind = VISIT_SINK;
        v.place = s->is->sink;
        ok = each(f, &v);
    }
    bool embeds = s->is->kind == IMAGE_STEP_RETRIEVE || s->is->kind == IMAGE_STEP_CACHE;
    for (uint32_t i = 0; i < f->p->image->sinks.count && ok && embeds; i++) {
        if (f->sinks[i].kind != IMAGE_SINK_EMBEDDING)
            continue;
        v.kind = VISIT_EMBED;
        v.place = (int32_t)i;
        ok = each(f, &v);
    }
    if (ok && s->is->kind == IMAGE_STEP_CACHE && !way->chains[chain].refuses) {
        v.kind = VISIT_WRITE;
        v.place = s->is->sink;
        ok = each(f, &v);
    }
    return ok;
}

static bool way_visits(struct flow *f, const struct way *way, visit_fn *each)
{
    bool ok = true;
    for (uint32_t c = 0; c < way->count && ok; c++) {
        for (uint32_t i = 0; i < way->chains[c].count && ok; i++)
            ok = step_visits(f, way, c, i, each);
        for (uint32_t i = 0; i < f->p->image->sinks.count && ok && way->chains[c].delivers; i++) {
            const struct visit v = {
                .kind = VISIT_MEMORY, .way = way, .chain = c, .place = (int32_t)i};
            ok = f->sinks[i].kind != IMAGE_SINK_MEMORY || each(f, &v);
        }
    }
    return ok;
}

bool proof_signals_embed(const struct proof *p)
{
    const struct image_signal *s = IMAGE_AT(p->image, p->image->signals, struct image_signal);
    for (uint32_t i = 0; p->options->registry && i < p->image->signals.count; i++) {
        const struct signal_family *family =
            s[i].derive
                ? NULL
                : signal_family_find(p->options->registry, image_text(p->image, s[i].family));
        if (!family)
            continue;
        enum signal_cost cost = family->cost_of ? family->cost_of(p->image, &s[i]) : family->cost;
        if (cost == SIGNAL_COST_EMBED || cost == SIGNAL_COST_ENCODER)
            return true;
    }
    return false;
}

static bool all_visits(struct flow *f, visit_fn *each)
{
    bool ok = true, embeds = proof_signals_embed(f->p);
    for (uint32_t w = 0; w < f->p->ways.count && ok; w++)
        if (f->p->ways.at[w].kind != WAY_PASS)
            ok = way_visits(f, &f->p->ways.at[w], each);
    for (uint32_t i = 0; i < f->p->image->sinks.count && ok; i++) {
        enum image_sink_kind kind = f->sinks[i].kind;
        struct visit v = {.place = (int32_t)i};
        v.kind = kind == IMAGE_SINK_EMBEDDING ? VISIT_SIGNALS : VISIT_TEXT;
        if ((kind == IMAGE_SINK_EMBEDDING && embeds) ||
            ((kind == IMAGE_SINK_LOG || kind == IMAGE_SINK_TRACE) && f->sinks[i].carries_text))
            ok = each(f, &v);
    }
    return ok;
}

static uint32_t place_of(const struct flow *f, const struct visit *v)
{
    return (uint32_t)v->place + (v->kind == VISIT_MODEL ? 0 : f->p->image->models.count);
}

static bool count_visit(struct flow *f, const struct visit *v)
{
    f->first[place_of(f, v) + 2]++;
    return true;
}

static bool keep_visit(struct flow *f, const struct visit *v)
{
    f->visits[f->first[place_of(f, v) + 1]++] = *v;
    return true;
}

// Sorts the visits by place: f->first[i] to f->first[i + 1] are those of place i.
static bool collect(struct flow *f)
{
    f->first = ARENA_ARRAY(f->p->arena, uint32_t, f->places + 3);
    if (!f->first)
        return false;
    all_visits(f, count_visit);
    for (uint32_t i = 0; i < f->places; i++)
        f->first[i + 2] += f->first[i + 1];
    f->visits = ARENA_ARRAY(f->p->arena, struct visit, f->first[f->places + 1] + 1);
    if (!f->visits)
        return false;
    all_visits(f, keep_visit);
    return true;
}

// --- leaks

// Where the label is too high: the lattice and the level above what is cleared.
struct excess {
    int32_t lattice;
    uint32_t level;
    bool retrieved; // whatever the request is labelled
};

static uint32_t excess_at(struct flow *f, const struct way_label *label,
                          const struct image_clearance *clears, uint32_t l, struct excess *e)
{
    *e = (struct excess){(int32_t)l, clears->level[l] + 1u, label->low[l] > clears->level[l]};
    if (e->retrieved)
        return SPACE_TRUE;
    return label->high[l] > clears->level[l] ? feasible_label(f->p->feasible, (int32_t)l, e->level)
                                             : SPACE_FALSE;
}

// Whether the visit leaks: with `claims` and `e` set for its witness.
static enum sat_answer leaks(struct flow *f, const struct visit *v, unsigned flags,
                             uint32_t claims[2], struct excess *e)
{
    struct image_clearance clears = place_clears(f, place_of(f, v));
    struct way_label label = label_of(v);
    enum sat_answer all = SAT_NO;
    for (uint32_t l = 0; l < f->p->image->lattices.count; l++) {
        claims[1] = excess_at(f, &label, &clears, l, e);
        if (claims[1] == SPACE_FALSE)
            continue;
        claims[0] = happens(f, v);
        enum sat_answer a = space_ask(f->p->space, claims, 2, flags);
        if (a == SAT_YES)
            return a;
        if (a == SAT_UNKNOWN)
            all = a;
    }
    return all;
}

static struct slice label_signal(const struct proof *p, int32_t lattice)
{
    const struct image_signal *s = IMAGE_AT(p->image, p->image->signals, struct image_signal);
    for (uint32_t i = 0; i < p->image->signals.count; i++)
        if (s[i].derive == IMAGE_DERIVE_LABEL && s[i].lattice == lattice && !s[i].hidden)
            return image_text(p->image, s[i].name);
    return SLICE("LABEL");
}

static struct slice visit_way(struct flow *f, const struct visit *v)
{
    if (v->kind == VISIT_SIGNALS)
        return SLICE("for a signal that embeds it");
    if (v->kind == VISIT_TEXT)
        return SLICE("by every way");
    struct slice way = proof_way_text(f->p, v->way, v->chain);
    const char *how = v->kind == VISIT_EMBED    ? ", to look it up"
                      : v->kind == VISIT_WRITE  ? ", when its answer is kept"
                      : v->kind == VISIT_MEMORY ? ", when it is remembered"
                                                : NULL;
    if (!how)
        return way;
    way = arena_printf(f->p->arena, "%.*s%s", SLICE_FMT(way), how);
    return way.ptr ? way : SLICE("?");
}

static struct span visit_span(const struct flow *f, const struct visit *v)
{
    uint32_t place = place_of(f, v);
    if (v->way && v->way->route >= 0)
        return proof_route_span(f->p, v->way->route);
    return is_model(f, place) ? proof_span(f->p, IMAGE_MODELS, (uint32_t)v->place)
                              : proof_span(f->p, IMAGE_SINKS, (uint32_t)v->place);
}

static void help_leak(struct flow *f, struct diag *d, const struct visit *v, const struct excess *e)
{
    struct proof *p = f->p;
    struct slice label = label_signal(p, e->lattice);
    struct slice level = proof_level_name(p, e->lattice, e->level);
    struct slice cleared = proof_level_name(p, e->lattice, e->level - 1);
    struct slice name = place_name(f, place_of(f, v));
    int32_t zone =
        v->kind == VISIT_MODEL ? image_model(p->image, v->place)->zone : f->sinks[v->place].zone;
    if (e->retrieved)
        diag_help(p->diags, d, "use a place that clears `%.*s`, or write `redact(%.*s)` before it",
                  SLICE_FMT(level), SLICE_FMT(cleared));
    else if (v->kind == VISIT_SIGNALS)
        diag_help(
            p->diags, d,
            "signals read every request: let `%.*s` clear `%.*s`, or embed in this process by "
            "taking the sink out",
            SLICE_FMT(name), SLICE_FMT(level));
    else if (v->kind == VISIT_MODEL && zone >= 0)
        diag_help(p->diags, d,
                  "write `forbid zone below %.*s`, or `forbid zone %.*s when %.*s >= %.*s`",
                  SLICE_FMT(label),
                  SLICE_FMT(image_text(
                      p->image, IMAGE_AT(p->image, p->image->zones, struct image_zone)[zone].name)),
                  SLICE_FMT(label), SLICE_FMT(level));
    else
        diag_help(p->diags, d, "write `forbid %s %.*s when %.*s >= %.*s`%s",
                  v->kind == VISIT_MODEL ? "model" : "sink", SLICE_FMT(name), SLICE_FMT(label),
                  SLICE_FMT(level),
                  v->kind == VISIT_MODEL ? ", or name the zone that it is in"
                                         : ", or let it clear more");
}

// The other ways by which the same place is reached, as a half sentence; empty without any.
static struct slice other_ways(struct flow *f, uint32_t place, const struct visit *found)
{
    char text[PROOF_TEXT_MAX];
    size_t len = 0;
    uint32_t asked = 0, named = 0;
    const struct way *last = found->way;
    text[0] = '\0';
    for (uint32_t i = f->first[place]; i < f->first[place + 1] && asked < OTHERS_ASKED; i++) {
        const struct visit *v = &f->visits[i];
        uint32_t claims[2];
        struct excess e;
        if (v <= found || v->way == last)
            continue;
        asked++;
        if (leaks(f, v, SPACE_FAILURES, claims, &e) != SAT_YES)
            continue;
        last = v->way;
        if (named++ == OTHERS_NAMED)
            break;
        struct slice way = visit_way(f, v);
        int n = snprintf(text + len, sizeof text - len, "%s%.*s", named > 1 ? "; " : "; also ",
                         SLICE_FMT(way));
        len = n < 0 || (size_t)n >= sizeof text - len ? sizeof text - 1 : len + (size_t)n;
    }
    struct slice s =
        arena_printf(f->p->arena, "%s%s", text, named > OTHERS_NAMED ? "; and more" : "");
    return s.ptr ? s : SLICE_EMPTY;
}

static void tell_leak(struct flow *f, const struct visit *v, const uint32_t claims[2],
                      const struct excess *e, bool failing)
{
    struct proof *p = f->p;
    uint32_t place = place_of(f, v);
    const struct image_lattice *lattice =
        IMAGE_AT(p->image, p->image->lattices, struct image_lattice) + e->lattice;
    struct slice where =
        is_model(f, place) ? proof_model_text(p, v->place) : proof_sink_text(p, v->place);
    struct slice level = proof_level_name(p, e->lattice, e->level), way = visit_way(f, v);
    struct space_witness w;
    // The witness belongs to the last question, so before any other is asked.
    bool shown = space_witness(p->space, 0, claims, 2, p->arena, &w) == RESULT_OK;
    struct slice also = other_ways(f, place, v);
    const char *above = e->level + 1 < lattice->levels.count ? " or above" : "";
    struct diag *d =
        e->retrieved
            ? proof_finding(p, DIAG_ERROR, "flow", place_name(f, place), visit_span(f, v),
                            "what is retrieved, labelled `%.*s`%s, reaches %.*s, %.*s%.*s",
                            SLICE_FMT(level), above, SLICE_FMT(where), SLICE_FMT(way),
                            SLICE_FMT(also))
            : proof_finding(p, DIAG_ERROR, "flow", place_name(f, place), visit_span(f, v),
                            "a request labelled `%.*s`%s reaches %.*s%s, %.*s%.*s",
                            SLICE_FMT(level), above, SLICE_FMT(where),
                            failing ? " when a signal fails" : "", SLICE_FMT(way), SLICE_FMT(also));
    help_leak(f, d, v, e);
    if (shown)
        diag_witness(p->diags, d, w.json);
    else
        p->err = RESULT_NOMEM;
    struct span at = is_model(f, place) ? proof_span(p, IMAGE_MODELS, (uint32_t)v->place)
                                        : proof_span(p, IMAGE_SINKS, (uint32_t)v->place);
    diag_also(p->diags, d, at, "clears no more than `%.*s`",
              SLICE_FMT(proof_level_name(p, e->lattice, e->level - 1)));
}

// Whether a request as it came could leak to the place at all, where only what forbids the place itself counts. When it
// could not, no visit with the same label can leak either.
static enum sat_answer could_leak(struct flow *f, uint32_t place)
{
    int32_t i = place_index(f, place);
    const struct way_label label = label_as_it_came();
    struct image_clearance clears = place_clears(f, place);
    uint32_t claims[] = {feasible_above(f->p->feasible, &label, &clears),
                         is_model(f, place) ? feasible_model(f->p->feasible, i)
                                            : feasible_sink(f->p->feasible, i)};
    return space_ask(f->p->space, claims, 2, SPACE_FAILURES);
}

// Something joined the text on its way, or a redaction lets it go where as it came it could not.
static bool altered(const struct flow *f, const struct visit *v)
{
    struct way_label l = label_of(v);
    for (uint32_t i = 0; i < f->p->image->lattices.count; i++)
        if (l.low[i] > 0 || l.high[i] != UINT8_MAX)
            return true;
    return false;
}

static void check_place(struct flow *f, uint32_t place)
{
    bool embeds = false, unknown = false;
    for (uint32_t i = f->first[place]; i < f->first[place + 1]; i++)
        embeds |= f->visits[i].kind == VISIT_SIGNALS; // which no constraint takes away
    bool could = embeds || could_leak(f, place) != SAT_NO;
    for (unsigned failing = 0; failing < 2; failing++) {
        for (uint32_t i = f->first[place]; i < f->first[place + 1] && !f->p->err; i++) {
            uint32_t claims[2];
            struct excess e;
            if (!could && !altered(f, &f->visits[i]))
                continue;
            enum sat_answer a = leaks(f, &f->visits[i], failing ? SPACE_FAILURES : 0, claims, &e);
            if (a == SAT_YES) {
                tell_leak(f, &f->visits[i], claims, &e, failing);
                return;
            }
            unknown |= a == SAT_UNKNOWN && failing;
        }
    }
    if (unknown) {
        struct slice where = is_model(f, place) ? proof_model_text(f->p, place_index(f, place))
                                                : proof_sink_text(f->p, place_index(f, place));
        struct slice what =
            arena_printf(f->p->arena, "that %.*s sees only what it clears", SLICE_FMT(where));
        proof_unknown(f->p, place_name(f, place), (struct span){0, 0},
                      what.ptr ? what.ptr : "who sees what");
    }
}

// Bytes that no signal has read are as if they had the top label, and no guard can tell them apart.
static void check_pass(struct flow *f, const struct way *way)
{
    struct proof *p = f->p;
    struct image_clearance clears = way_model_clears(p->image, way->model);
    const struct image_lattice *lattices =
        IMAGE_AT(p->image, p->image->lattices, struct image_lattice);
    const struct image_pass *pass =
        IMAGE_AT(p->image, p->image->passes, struct image_pass) + way->index;
    for (uint32_t l = 0; l < p->image->lattices.count; l++) {
        uint32_t top = lattices[l].levels.count - 1;
        // What is forbidden whatever the request is not passed on either.
        if (clears.level[l] >= top || feasible_model(p->feasible, way->model) == SPACE_FALSE)
            continue;
        struct slice where = proof_model_text(p, way->model);
        struct diag *d = proof_finding(
            p, DIAG_ERROR, "flow", image_text(p->image, image_model(p->image, way->model)->name),
            proof_span(p, IMAGE_PASSES, (uint32_t)way->index),
            "`pass \"%.*s\"` hands bytes that no signal has read to %.*s, which does not clear "
            "`%.*s`",
            SLICE_FMT(image_text(p->image, pass->path)), SLICE_FMT(where),
            SLICE_FMT(proof_level_name(p, (int32_t)l, top)));
        diag_help(p->diags, d, "pass it to a model in a zone that clears `%.*s`",
                  SLICE_FMT(proof_level_name(p, (int32_t)l, top)));
        diag_witness(p->diags, d, SLICE("{}"));
        return;
    }
}

// --- a label's on_error

// A signal that a term of the label looks at could not be computed.
static uint32_t labeller_fails(struct proof *p, const struct image_signal *label)
{
    const struct image_term *terms = IMAGE_AT(p->image, label->terms, struct image_term);
    const struct image_atom *atoms = IMAGE_AT(p->image, p->image->atoms, struct image_atom);
    uint32_t any = SPACE_FALSE;
    for (uint32_t i = 0; i < label->terms.count; i++) {
        const struct image_node *n = IMAGE_AT(p->image, terms[i].guard, struct image_node);
        for (uint32_t k = 0; k < terms[i].guard.count; k++) {
            if (n[k].kind != IMAGE_NODE_ATOM)
                continue;
            uint32_t fails = space_failed(p->space, 0, atoms[n[k].arg].signal);
            any = space_or(p->space, (const uint32_t[]){any, fails}, 2);
        }
    }
    return any;
}

// What is in doubt may be at the top: whether a request whose labeller failed reaches a place that does not clear it.
static bool check_on_error(struct flow *f, uint32_t signal, uint32_t place)
{
    struct proof *p = f->p;
    const struct image_signal *s = image_signal(p->image, (int32_t)signal);
    const struct image_lattice *lattice =
        IMAGE_AT(p->image, p->image->lattices, struct image_lattice) + s->lattice;
    uint32_t top = lattice->levels.count - 1;
    struct image_clearance clears = place_clears(f, place);
    uint8_t cleared = clears.level[s->lattice];
    if (cleared >= top)
        return false;
    uint32_t fails = labeller_fails(p, s);
    bool unknown = false;
    for (uint32_t i = f->first[place]; i < f->first[place + 1] && !p->err; i++) {
        const struct visit *v = &f->visits[i];
        if (label_of(v).high[s->lattice] <= cleared)
            continue;
        uint32_t claims[] = {happens(f, v), fails};
        enum sat_answer a = space_ask(p->space, claims, 2, SPACE_FAILURES);
        unknown |= a == SAT_UNKNOWN;
        if (a != SAT_YES)
            continue;
        struct slice where =
            is_model(f, place) ? proof_model_text(p, v->place) : proof_sink_text(p, v->place);
        struct slice way = visit_way(f, v), name = image_text(p->image, s->name);
        struct slice at_top = proof_level_name(p, s->lattice, top);
        struct diag *d = proof_finding(
            p, DIAG_ERROR, "on-error", name, proof_span(p, IMAGE_SIGNALS, signal),
            "`on_error %.*s` of `%.*s` is not harmless: a request whose label could not be "
            "computed reaches %.*s, %.*s",
            SLICE_FMT(proof_level_name(p, s->lattice, s->error_level)), SLICE_FMT(name),
            SLICE_FMT(where), SLICE_FMT(way));
        proof_witness(p, d, claims, 2);
        diag_help(p->diags, d, "write `on_error %.*s`, which is the rule when nothing is written",
                  SLICE_FMT(at_top));
        return true;
    }
    if (unknown)
        proof_unknown(p, image_text(p->image, s->name), proof_span(p, IMAGE_SIGNALS, signal),
                      "that `on_error` below the top is harmless");
    return unknown;
}

static void check_labels(struct flow *f)
{
    const struct policy_image *image = f->p->image;
    for (uint32_t i = 0; i < image->signals.count; i++) {
        const struct image_signal *s = image_signal(image, (int32_t)i);
        if (s->derive != IMAGE_DERIVE_LABEL || s->error_level + 1 >= s->words.count)
            continue;
        bool told = false;
        for (uint32_t place = 0; place < f->places && !told && !f->p->err; place++)
            told = check_on_error(f, i, place);
    }
}

// --- what is taken on trust

static void check_trust(struct proof *p)
{
    const struct image_step *first = IMAGE_AT(p->image, p->image->steps, struct image_step);
    for (uint32_t w = 0; w < p->ways.count; w++) {
        const struct way *way = &p->ways.at[w];
        for (uint32_t c = 0; way->kind == WAY_ROUTE && c < way->count; c++) {
            for (uint32_t i = 0; i < way->chains[c].count; i++) {
                const struct image_step *s = way->chains[c].steps[i].is;
                if (s->kind != IMAGE_STEP_REDACT)
                    continue;
                p->report->trusted++;
                struct slice level = proof_level_name(p, s->lattice, s->level);
                proof_finding(
                    p, DIAG_NOTE, "trusted",
                    image_text(p->image, image_route(p->image, way->route)->name),
                    proof_span(p, IMAGE_STEPS, (uint32_t)(s - first)),
                    "taken on trust: `redact(%.*s)` leaves nothing above `%.*s` in the text",
                    SLICE_FMT(level), SLICE_FMT(level));
            }
        }
    }
}

void proof_flow(struct proof *p)
{
    struct flow f = {.p = p,
                     .sinks = IMAGE_AT(p->image, p->image->sinks, struct image_sink),
                     .places = p->image->models.count + p->image->sinks.count};
    if (!collect(&f)) {
        p->err = RESULT_NOMEM;
        return;
    }
    for (uint32_t i = 0; i < f.places; i++)
        p->report->places += f.first[i] < f.first[i + 1];
    if (!has_levels(p->image))
        return;
    for (uint32_t i = 0; i < f.places && !p->err; i++)
        check_place(&f, i);
    for (uint32_t w = 0; w < p->ways.count; w++)
        if (p->ways.at[w].kind == WAY_PASS)
            check_pass(&f, &p->ways.at[w]);
    check_labels(&f);
    check_trust(p);
}
