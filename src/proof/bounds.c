// Hard budgets reserve the most that an action can cost, so whatever they cover must be bounded.
#include "proof/check_inner.h"

static const struct image_constraint *constraint_at(const struct proof *p, uint32_t i)
{
    return IMAGE_AT(p->image, p->image->constraints, struct image_constraint) + i;
}

static const char *unit_word(enum image_unit unit)
{
    static const char *const words[WAY_UNITS] = {"money", "energy", "carbon",
                                                 "time",  "tokens", "calls"};
    return words[unit];
}

static void tell(struct proof *p, const struct way *way, uint32_t chain, uint32_t budget,
                 struct slice what, enum way_open open, const uint32_t *claims, uint32_t n)
{
    static const char *const remedies[] = {
        [WAY_NO_PRICE] = "state it: `price 0.03 in, 0.06 out usd/Mtok`; 0 is a price, too",
        [WAY_NO_ENERGY] = "state it: `energy 40 in, 300 out kJ/Mtok`",
        [WAY_NO_TIMEOUT] = "state it: `timeout 60 s`",
        [WAY_NO_WINDOW] = "state it: `context 32k tok`",
        [WAY_NO_SINK_PRICE] = "state it: `price 0.001 usd/call`; 0 is a price, too",
        [WAY_NO_SINK_ENERGY] = "state it: `energy 20 J/call`",
        [WAY_NO_SINK_TIMEOUT] = "state it: `timeout 5 s`",
        [WAY_NO_ADDS] = "state it: `adds 4k tok`",
        [WAY_NO_CARBON] = "state it: `zone ... carbon 380 g/kWh`",
        [WAY_NO_SINK_CARBON] = "state it: `zone ... carbon 380 g/kWh`",
        [WAY_CARBON_FILE] = "make the budget `paced`, or bound joules instead",
        [WAY_OVERFLOW] = "cap the answer: `cap 1k tok`",
    };
    const struct image_constraint *c = constraint_at(p, budget);
    struct slice by = proof_way_text(p, way, chain);
    struct span span = way->route >= 0 ? proof_route_span(p, way->route)
                                       : proof_span(p, IMAGE_MODELS, (uint32_t)way->model);
    struct diag *d =
        proof_finding(p, DIAG_ERROR, "bound", image_text(p->image, c->name), span,
                      "nothing bounds the %s that a request under \"%.*s\" takes: %.*s %s, %.*s",
                      unit_word(c->unit), SLICE_FMT(image_text(p->image, c->name)), SLICE_FMT(what),
                      way_open_text(open), SLICE_FMT(by));
    proof_witness(p, d, claims, n);
    diag_also(p->diags, d, proof_span(p, IMAGE_CONSTRAINTS, budget), "the budget");
    diag_help(p->diags, d, "%s", remedies[open]);
}

struct seen {
    bool *models, *sinks; // told
    bool *never;          // models that this budget never covers
};

// With all budgets out of effect, so that they do not hide what they would exclude.
static void check_step(struct proof *p, const struct way *way, uint32_t chain, uint32_t step,
                       uint32_t budget, struct seen *seen)
{
    const struct way_step *s = &way->chains[chain].steps[step];
    enum image_unit unit = constraint_at(p, budget)->unit;
    for (uint32_t k = 0; k < s->binding_count && !p->err; k++) {
        int32_t m = s->bindings[k].model;
        struct way_amount a = way_binding_bound(p->image, s->is, &s->bindings[k]).unit[unit];
        if (!a.open || seen->never[m] || (seen->models[m] && p->barred[way - p->ways.at]))
            continue;
        uint32_t claims[] = {feasible_used(p->feasible, way, chain, step, k),
                             feasible_active(p->feasible, budget)};
        enum sat_answer answer = space_ask(p->space, claims, 2, 0);
        if (answer == SAT_UNKNOWN)
            proof_unknown(p, proof_constraint_name(p, budget),
                          proof_span(p, IMAGE_CONSTRAINTS, budget),
                          "that all this budget covers is bounded");
        if (answer == SAT_YES)
            p->barred[way - p->ways.at] = true;
        if (answer == SAT_YES && !seen->models[m])
            tell(p, way, chain, budget, proof_model_text(p, m), a.open, claims, 2);
        seen->models[m] |= answer == SAT_YES;
    }
    if (s->is->sink < 0)
        return;
    struct way_amount a = way_sink_bound(p->image, s->is).unit[unit];
    uint32_t claims[] = {feasible_tried(p->feasible, way, chain),
                         feasible_active(p->feasible, budget)};
    if (a.open && space_ask(p->space, claims, 2, 0) == SAT_YES) {
        p->barred[way - p->ways.at] = true;
        if (seen->sinks[s->is->sink])
            return;
        tell(p, way, chain, budget, proof_sink_text(p, s->is->sink), a.open, claims, 2);
        seen->sinks[s->is->sink] = true;
    }
}

static void check_budget(struct proof *p, uint32_t budget, struct seen *seen)
{
    for (uint32_t i = 0; i < p->image->models.count && !p->err; i++) {
        uint32_t claims[] = {feasible_model(p->feasible, (int32_t)i),
                             feasible_active(p->feasible, budget)};
        seen->never[i] = space_ask(p->space, claims, 2, 0) == SAT_NO;
        seen->models[i] = false;
    }
    for (uint32_t i = 0; i < p->image->sinks.count; i++)
        seen->sinks[i] = false;
    for (uint32_t i = 0; i < p->image->constraints.count; i++)
        if (constraint_at(p, i)->kind == IMAGE_BUDGET)
            feasible_without(p->feasible, i);
    for (uint32_t w = 0; w < p->ways.count && !p->err; w++) {
        const struct way *way = &p->ways.at[w];
        if (way->kind == WAY_PASS || !proof_alive(p, way))
            continue;
        for (uint32_t c = 0; c < way->count; c++)
            for (uint32_t i = 0; i < way->chains[c].count && !p->err; i++)
                if (feasible_spend(p->feasible, way->chains[c].steps[i].binding_count + 1))
                    check_step(p, way, c, i, budget, seen);
    }
    feasible_all(p->feasible);
}

// Embeddings are bounded by their input, everything else that is passed on only by what the policy says of it.
static bool pass_bounded(const struct policy_image *p, const struct image_pass *pass,
                         enum image_unit unit)
{
    static const struct slice end = {"/embeddings", 11};
    const struct image_model *m = image_model(p, pass->model);
    struct slice path = image_text(p, pass->path);
    if (pass->most[unit] >= 0)
        return true;
    if (unit == IMAGE_UNIT_CALLS)
        return true;
    if (unit == IMAGE_UNIT_MS)
        return m->timeout_ms;
    bool reads = path.len >= end.len && slice_eq(slice_from(path, path.len - end.len), end);
    return reads && (unit == IMAGE_UNIT_TOK || (unit == IMAGE_UNIT_NUSD && m->priced) ||
                     ((unit == IMAGE_UNIT_UJ || unit == IMAGE_UNIT_UG) && m->energy_in_uj >= 0));
}

// A hard budget over time refuses every request over a path that it cannot bound.
static void check_passes(struct proof *p, uint32_t budget)
{
    const struct image_constraint *c = constraint_at(p, budget);
    const struct image_pass *pass = IMAGE_AT(p->image, p->image->passes, struct image_pass);
    for (uint32_t i = 0; i < p->image->passes.count && c->window != IMAGE_PER_REQUEST; i++) {
        if (pass_bounded(p->image, &pass[i], c->unit))
            continue;
        struct slice path = image_text(p->image, pass[i].path);
        struct diag *d = proof_finding(
            p, DIAG_WARNING, "pass-bound", path, proof_span(p, IMAGE_PASSES, i),
            "nothing bounds the %s that a request over this path takes, so that \"%.*s\" refuses "
            "each of them",
            unit_word(c->unit), SLICE_FMT(image_text(p->image, c->name)));
        diag_also(p->diags, d, proof_span(p, IMAGE_CONSTRAINTS, budget), "the budget");
        diag_help(p->diags, d, "say what one takes: `pass \"%.*s\" to %.*s at most ...`",
                  SLICE_FMT(path),
                  SLICE_FMT(image_text(p->image, image_model(p->image, pass[i].model)->name)));
    }
}

// Which units something has no bound in.
static void find_open(struct proof *p, bool open[WAY_UNITS])
{
    for (uint32_t w = 0; w < p->ways.count; w++) {
        const struct way *way = &p->ways.at[w];
        for (uint32_t c = 0; c < way->count; c++) {
            struct way_bound b = way_chain_bound(p->image, &way->chains[c], NULL);
            for (unsigned u = 0; u < WAY_UNITS; u++)
                open[u] |= b.unit[u].open != WAY_BOUNDED;
        }
    }
}

void proof_bounds(struct proof *p)
{
    bool open[WAY_UNITS] = {false};
    struct seen seen = {ARENA_ARRAY(p->arena, bool, p->image->models.count + 1),
                        ARENA_ARRAY(p->arena, bool, p->image->sinks.count + 1),
                        ARENA_ARRAY(p->arena, bool, p->image->models.count + 1)};
    if (!seen.models || !seen.sinks || !seen.never) {
        p->err = RESULT_NOMEM;
        return;
    }
    find_open(p, open);
    for (uint32_t i = 0; i < p->image->constraints.count && !p->err; i++) {
        const struct image_constraint *c = constraint_at(p, i);
        if (c->kind == IMAGE_BUDGET && c->hard && (unsigned)c->unit < WAY_UNITS && open[c->unit])
            check_budget(p, i, &seen);
        if (c->kind == IMAGE_BUDGET && c->hard && (unsigned)c->unit < WAY_UNITS)
            check_passes(p, i);
    }
}
