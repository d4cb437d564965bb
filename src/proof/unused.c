// What nothing comes of: constraints that never hold or that others already say, extras allowed for nothing, sinks that
// no request reaches.
#include "proof/check_inner.h"

static const struct image_constraint *constraint_at(const struct proof *p, uint32_t i)
{
    return IMAGE_AT(p->image, p->image->constraints, struct image_constraint) + i;
}

static bool vacuous(struct proof *p, uint32_t i)
{
    uint32_t claim = feasible_active(p->feasible, i);
    // A guard that only a failed signal makes true has its use.
    if (feasible_result(p->feasible))
        return false;
    return claim == SPACE_FALSE || space_ask(p->space, &claim, 1, SPACE_FAILURES) == SAT_NO;
}

static bool same_forbid(const struct image_constraint *a, const struct image_constraint *b)
{
    return b->kind == IMAGE_FORBID && a->target == b->target && a->index == b->index &&
           a->level == b->level;
}

// Whether the other constraints with the same target say all that this one says.
static bool redundant(struct proof *p, uint32_t i, uint32_t *also)
{
    const struct image_constraint *c = constraint_at(p, i);
    uint32_t any = SPACE_FALSE;
    for (uint32_t k = 0; k < p->image->constraints.count; k++) {
        // Of two that say the same the later one is told.
        bool other = k != i && same_forbid(c, constraint_at(p, k));
        if (!other)
            continue;
        uint32_t claims[] = {feasible_active(p->feasible, i),
                             space_not(feasible_active(p->feasible, k))};
        if (k > i &&
            space_ask(p->space, (const uint32_t[]){space_not(claims[0]), space_not(claims[1])}, 2,
                      SPACE_FAILURES) == SAT_NO)
            continue;
        any = space_or(p->space, (const uint32_t[]){any, space_not(claims[1])}, 2);
        *also = k;
    }
    if (any == SPACE_FALSE)
        return false;
    uint32_t claims[] = {feasible_active(p->feasible, i), space_not(any)};
    return space_ask(p->space, claims, 2, SPACE_FAILURES) == SAT_NO;
}

static bool used_extra(const struct proof *p, enum image_extra extra)
{
    const struct image_step *s = IMAGE_AT(p->image, p->image->steps, struct image_step);
    for (uint32_t i = 0; i < p->image->steps.count; i++)
        if (extra == IMAGE_EXTRA_ESCALATE ? s[i].escalated
            : extra == IMAGE_EXTRA_FUSE   ? s[i].kind == IMAGE_STEP_FUSE
                                          : s[i].hedges > 0)
            return true;
    return false;
}

enum { IDLE_CONSTRAINTS_MAX = 1000 };
enum { PAIRS_MAX = 20000 }; // questions about constraints that say the same

static void check_constraint(struct proof *p, uint32_t i, uint32_t *pairs)
{
    static const char *const extras[] = {"escalates", "fuses", "hedges"};
    const struct image_constraint *c = constraint_at(p, i);
    struct slice name = image_text(p->image, c->name);
    struct span span = proof_span(p, IMAGE_CONSTRAINTS, i);
    uint32_t also = i;
    if (vacuous(p, i)) {
        struct diag *d = proof_finding(p, DIAG_WARNING, "vacuous", name, span,
                                       "\"%.*s\" never holds: no request is as its `when` says",
                                       SLICE_FMT(name));
        diag_help(p->diags, d, "change its `when`, or take it out");
    } else if (c->kind == IMAGE_ALLOW && !used_extra(p, c->extra)) {
        struct diag *d =
            proof_finding(p, DIAG_WARNING, "unused-allow", name, span,
                          "no path %s, so nothing needs this `allow`", extras[c->extra]);
        diag_help(p->diags, d, "take it out, so that it permits nothing later");
    } else if (c->kind == IMAGE_FORBID && *pairs < PAIRS_MAX) {
        *pairs += p->image->constraints.count;
        if (!redundant(p, i, &also))
            return;
        struct diag *d = proof_finding(p, DIAG_NOTE, "redundant", name, span,
                                       "\"%.*s\" takes nothing away that others do not take away",
                                       SLICE_FMT(name));
        diag_also(p->diags, d, proof_span(p, IMAGE_CONSTRAINTS, also), "one of them");
    }
}

// Sinks that steps name, when no request takes such a step.
static void check_sinks(struct proof *p)
{
    bool *reached = ARENA_ARRAY(p->arena, bool, p->image->sinks.count + 1);
    bool *named = ARENA_ARRAY(p->arena, bool, p->image->sinks.count + 1);
    if (!reached || !named) {
        p->err = RESULT_NOMEM;
        return;
    }
    for (uint32_t w = 0; w < p->ways.count && !p->err; w++) {
        const struct way *way = &p->ways.at[w];
        for (uint32_t c = 0; c < way->count; c++) {
            int tried = -1;
            for (uint32_t i = 0; i < way->chains[c].count; i++) {
                int32_t sink = way->chains[c].steps[i].is->sink;
                if (sink >= 0)
                    named[sink] = true;
                if (sink < 0 || reached[sink])
                    continue;
                uint32_t claim = feasible_tried(p->feasible, way, c);
                if (tried < 0)
                    tried = space_ask(p->space, &claim, 1, SPACE_FAILURES) != SAT_NO;
                reached[sink] = tried;
            }
        }
    }
    const struct image_sink *s = IMAGE_AT(p->image, p->image->sinks, struct image_sink);
    for (uint32_t i = 0; i < p->image->sinks.count; i++) {
        if (!named[i] || reached[i])
            continue;
        struct slice name = image_text(p->image, s[i].name);
        struct diag *d =
            proof_finding(p, DIAG_WARNING, "unused-sink", name, proof_span(p, IMAGE_SINKS, i),
                          "no request reaches sink `%.*s`", SLICE_FMT(name));
        diag_help(p->diags, d, "take it out, or let a path that can be reached use it");
    }
}

// --- what can change nothing, told with notes: it may be meant for what is yet to come

static bool bites(const struct proof *p, uint32_t constraint)
{
    const struct image_constraint *c = constraint_at(p, constraint);
    const struct image_sink *s = IMAGE_AT(p->image, p->image->sinks, struct image_sink);
    // What no step names but every request can touch.
    bool by_itself = c->kind == IMAGE_FORBID && c->target == IMAGE_FORBID_SINK &&
                     s[c->index].kind >= IMAGE_SINK_EMBEDDING;
    for (uint32_t w = 0; w < p->ways.count && !by_itself; w++)
        if (feasible_touches(p->feasible, &p->ways.at[w], constraint))
            return true;
    // Budgets over time are for whoever keeps them.
    return by_itself || c->kind == IMAGE_BUDGET;
}

// One statement can be several constraints: `forbid zone a, b`, `forbid zone below data`.
static bool statement_bites(const struct proof *p, uint32_t constraint)
{
    for (uint32_t i = 0; i < p->image->constraints.count; i++)
        if (constraint_at(p, i)->line == constraint_at(p, constraint)->line && bites(p, i))
            return true;
    return false;
}

// Marks the signals that a guard looks at, through derived ones.
static void mark(const struct proof *p, struct image_list guard, bool *marked);

static void mark_signal(const struct proof *p, int32_t signal, bool *marked)
{
    const struct image_signal *s = image_signal(p->image, signal);
    const struct image_term *t = IMAGE_AT(p->image, s->terms, struct image_term);
    if (marked[signal])
        return;
    marked[signal] = true;
    for (uint32_t i = 0; i < s->terms.count; i++) {
        mark(p, t[i].guard, marked);
        if (t[i].signal >= 0)
            mark_signal(p, t[i].signal, marked);
    }
}

static void mark(const struct proof *p, struct image_list guard, bool *marked)
{
    const struct image_node *n = IMAGE_AT(p->image, guard, struct image_node);
    const struct image_atom *atoms = IMAGE_AT(p->image, p->image->atoms, struct image_atom);
    for (uint32_t i = 0; i < guard.count; i++)
        if (n[i].kind == IMAGE_NODE_ATOM)
            mark_signal(p, atoms[n[i].arg].signal, marked);
}

static void check_idle(struct proof *p)
{
    uint32_t n = p->image->signals.count;
    bool *asked = ARENA_ARRAY(p->arena, bool, n + 1), *counts = ARENA_ARRAY(p->arena, bool, n + 1);
    if (!asked || !counts) {
        p->err = RESULT_NOMEM;
        return;
    }
    for (uint32_t i = 0; i < p->image->constraints.count; i++) {
        const struct image_constraint *c = constraint_at(p, i);
        bool works = statement_bites(p, i);
        mark(p, c->guard, asked);
        if (works && !vacuous(p, i))
            mark(p, c->guard, counts);
        if (works || (i > 0 && constraint_at(p, i - 1)->line == c->line))
            continue;
        struct slice name = image_text(p->image, c->name);
        struct diag *d = proof_finding(
            p, DIAG_NOTE, "no-effect", name, proof_span(p, IMAGE_CONSTRAINTS, i),
            "\"%.*s\" takes nothing away: no way uses what it is about", SLICE_FMT(name));
        diag_help(p->diags, d, "leave it for what is yet to come, or take it out");
    }
    for (uint32_t w = 0; w < p->ways.count; w++) {
        const struct way *way = &p->ways.at[w];
        if (way->kind != WAY_ROUTE)
            continue;
        struct image_list guard = image_route(p->image, way->route)->guard;
        mark(p, guard, asked);
        if (proof_alive(p, way))
            mark(p, guard, counts);
    }
    for (uint32_t i = 0; i < n; i++) {
        const struct image_signal *s = image_signal(p->image, (int32_t)i);
        struct slice name = image_text(p->image, s->name);
        if (!asked[i] || counts[i] || s->hidden)
            continue;
        struct diag *d =
            proof_finding(p, DIAG_NOTE, "no-effect", name, proof_span(p, IMAGE_SIGNALS, i),
                          "signal `%.*s` changes nothing: only what never comes to bear "
                          "looks at it",
                          SLICE_FMT(name));
        diag_help(p->diags, d, "take it out together with what looks at it");
    }
}

void proof_unused(struct proof *p)
{
    uint32_t pairs = 0;
    for (uint32_t i = 0; i < p->image->constraints.count && !p->err; i++)
        check_constraint(p, i, &pairs);
    // A path that has an error reaches nothing by that alone.
    if (p->diags->errors == 0)
        check_sinks(p);
    if (p->diags->errors == 0 && p->options->notes && !p->err &&
        p->image->constraints.count <= IDLE_CONSTRAINTS_MAX)
        check_idle(p);
}
