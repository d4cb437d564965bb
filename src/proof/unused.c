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

void proof_unused(struct proof *p)
{
    uint32_t pairs = 0;
    for (uint32_t i = 0; i < p->image->constraints.count && !p->err; i++)
        check_constraint(p, i, &pairs);
    // A path that has an error reaches nothing by that alone.
    if (p->diags->errors == 0)
        check_sinks(p);
}
