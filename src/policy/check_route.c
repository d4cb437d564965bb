// Routes: guard, path, and the objective held against the candidates.
#include <stdio.h>

#include "base/alloc.h"
#include "policy/check_path.h"
#include "policy/policy.h"

static const struct image_model *model_of(struct checker *c, struct image_list bindings, uint32_t i)
{
    int32_t m = BUILDER_AT(&c->build, IMAGE_BINDINGS, struct image_binding, bindings.at + i)->model;
    return BUILDER_AT(&c->build, IMAGE_MODELS, struct image_model, (uint32_t)m);
}

static void need_prices(struct checker *c, const struct node *clause, const struct image_step *step)
{
    uint32_t priced = 0, i;
    for (i = 0; i < step->bindings.count; i++)
        priced += model_of(c, step->bindings, i)->priced;
    struct slice word = tree_text(c->tree, clause);
    if (priced == 0)
        check_error(c, clause, "no-price", "`%.*s` needs prices, and no candidate states one",
                    SLICE_FMT(word));
    else if (priced < i)
        check_warning(c, clause, "no-price",
                      "%u of %u candidates state no price and are never chosen here", i - priced,
                      i);
}

static void need_quality(struct checker *c, const struct node *clause,
                         const struct image_step *step, float least)
{
    uint32_t stated = 0, enough = 0, i;
    float best = 0;
    for (i = 0; i < step->bindings.count; i++) {
        float q = model_of(c, step->bindings, i)->quality;
        stated += q >= 0;
        enough += q >= 0 && q >= least;
        best = q > best ? q : best;
    }
    if (stated == 0)
        diag_help(c->diags, check_error(c, clause, "no-quality", "no candidate states a quality"),
                  "add `quality 0.7` to the models: a number between 0 and 1 that you trust");
    else if (enough == 0)
        check_error(c, clause, "no-candidates", "no candidate is that good: the best states %.3g",
                    (double)best);
    else if (stated < i)
        check_warning(c, clause, "no-quality", "%u of %u candidates state no quality and %s here",
                      i - stated, i, least > 0 ? "are never chosen" : "come last");
}

static bool objective(struct checker *c, const struct node *clause, struct image_route *r)
{
    bool least = tree_is(c->tree, clause, "minimise");
    struct slice word = tree_text(c->tree, clause->first);
    static const char *const known[] = {"cost", "energy", "quality", NULL};
    if (r->objective != IMAGE_OBJECTIVE_ORDER) {
        check_error(c, clause, "duplicate", "a route has one objective");
        return false;
    }
    if (least && slice_eq(word, SLICE("cost")))
        r->objective = IMAGE_OBJECTIVE_COST;
    else if (least && slice_eq(word, SLICE("energy")))
        r->objective = IMAGE_OBJECTIVE_ENERGY;
    else if (!least && slice_eq(word, SLICE("quality")))
        r->objective = IMAGE_OBJECTIVE_QUALITY;
    else
        check_nearest_word(c,
                           check_error(c, clause, "unknown-word",
                                       "a route can `minimise cost`, `minimise energy` or "
                                       "`maximise quality`"),
                           word, known,
                           "write `minimise cost`, `minimise energy` or `maximise quality`");
    return r->objective != IMAGE_OBJECTIVE_ORDER;
}

static void need_energy(struct checker *c, const struct node *clause, const struct image_step *step)
{
    uint32_t stated = 0, i;
    for (i = 0; i < step->bindings.count; i++)
        stated += model_of(c, step->bindings, i)->energy_in_uj >= 0;
    if (stated == 0)
        diag_help(
            c->diags,
            check_error(c, clause, "no-energy", "this needs energies, and no candidate states one"),
            "add `energy 40 in, 300 out kJ/Mtok` to the models");
    else if (stated < i)
        check_warning(c, clause, "no-energy",
                      "%u of %u candidates state no energy and are never chosen here", i - stated,
                      i);
}

static void risk(struct checker *c, const struct node *clause, struct image_route *r, bool verified)
{
    double v;
    if (!check_number(c, clause->first, NULL, "a risk", 0, 1, &v))
        return;
    r->risk = (float)v;
    check_allowed(c, clause, IMAGE_EXTRA_ESCALATE);
    if (verified)
        return;
    struct diag *d = check_error(c, clause, "escalate",
                                 "nothing on this path verifies, so that no risk is known");
    diag_help(c->diags, d, "write `answer(a) -> verify(...) else escalate answer(b)`");
}

static void route_clause(struct checker *c, const struct node *clause, struct image_route *r,
                         const struct image_step *step, bool verified)
{
    double q;
    if (tree_is(c->tree, clause, "minimise") || tree_is(c->tree, clause, "maximise")) {
        if (!objective(c, clause, r) || !step)
            return;
        if (r->objective == IMAGE_OBJECTIVE_COST)
            need_prices(c, clause, step);
        else if (r->objective == IMAGE_OBJECTIVE_ENERGY)
            need_energy(c, clause, step);
        else
            need_quality(c, clause, step, 0);
    } else if (tree_is(c->tree, clause, "within")) {
        if (check_money(c, clause->first, "usd", "a limit per request",
                        INT64_C(1000000) * 1000000000, &r->cost_max_nusd) &&
            step)
            need_prices(c, clause, step);
    } else if (tree_is(c->tree, clause, "where")) {
        const struct node *compare = clause->first;
        if (!tree_is(c->tree, compare->first, "quality") ||
            tree_operator(c->tree, compare) != TOKEN_GE) {
            struct diag *d =
                check_error(c, compare, "syntax", "candidates are limited by their quality");
            diag_help(c->diags, d, "write `where quality >= 0.8`");
        } else if (check_number(c, compare->last, NULL, "a quality", 0, 1, &q)) {
            r->quality_min = (float)q;
            if (step)
                need_quality(c, clause, step, r->quality_min);
        }
    } else if (tree_is(c->tree, clause, "escalate")) {
        risk(c, clause, r, verified);
    }
}

// The first step that candidates are chosen for, or NULL.
static const struct image_step *choosing(const struct line *lines)
{
    for (const struct line *l = lines; l; l = l->next)
        for (uint32_t i = 0; i < l->count; i++)
            if (l->steps[i]->step.kind == IMAGE_STEP_ANSWER ||
                l->steps[i]->step.kind == IMAGE_STEP_FUSE)
                return &l->steps[i]->step;
    return NULL;
}

// "refuse", the name of the path that is called, or "answer".
static struct slice path_name(struct checker *c, const struct node *chain)
{
    enum image_step_kind kind;
    if (chain->count == 1 && chain->first->first->kind == NODE_STRING)
        return SLICE("refuse");
    for (const struct node *n = chain->first; n; n = n->next)
        if (n->first->kind == NODE_CALL &&
            !check_step_kind(tree_text(c->tree, n->first->first), &kind))
            return tree_text(c->tree, n->first->first);
    return SLICE("answer");
}

static void unreachable_lines(struct checker *c, const struct line *lines)
{
    for (const struct line *l = lines; l && l->next; l = l->next) {
        if (l->steps[0]->step.kind != IMAGE_STEP_REFUSE ||
            check_told(c, l->next->place, "unreachable"))
            continue;
        check_warning(c, l->next->place, "unreachable",
                      "a refusal always works, its `else` is never reached");
        return;
    }
}

static void route_clauses(struct checker *c, const struct node *clauses, const struct line *lines,
                          bool verified, struct image_route *r)
{
    const struct image_step *step = choosing(lines);
    for (const struct node *clause = clauses; clause; clause = clause->next) {
        if (tree_is(c->tree, clause, "else"))
            continue;
        if (lines && !step)
            check_error(c, clause, "refusal",
                        "a refusal has nothing to choose, `%.*s` means nothing here",
                        SLICE_FMT(tree_text(c->tree, clause)));
        else
            route_clause(c, clause, r, step, !lines || verified);
    }
}

static void route(struct checker *c, const struct node *n, struct slice name)
{
    struct image_route r;
    memset(&r, 0, sizeof r);
    const struct node *steps = n->first;
    r.name = builder_str(&c->build, name);
    r.line = tree_line(c->tree, n);
    r.cost_max_nusd = -1;
    r.risk = -1;
    r.is_otherwise = n->kind == NODE_OTHERWISE;
    const struct node *guard = NULL;
    if (!r.is_otherwise) {
        guard = n->first->next;
        if (guard->kind == NODE_CHAIN) {
            struct diag *d =
                check_error(c, n->first, "missing", "route `%.*s` has no guard", SLICE_FMT(name));
            diag_help(c->diags, d,
                      "add `when ...`; what all other requests get is `otherwise -> ...`");
            guard = NULL;
        }
        steps = guard ? guard->next : n->first->next;
    }
    check_clauses_once(c, n);
    r.guard = check_guard(c, guard);
    c->build.place = tree_span(c->tree, r.is_otherwise ? n : n->first);
    bool verified = false;
    const struct line *lines = check_path(c, steps, steps->next);
    r.path_name = builder_str(&c->build, path_name(c, steps));
    if (lines && check_lines(c, lines, &verified))
        unreachable_lines(c, lines);
    route_clauses(c, steps->next, lines, verified, &r);
    r.chains = check_emit_lines(c, lines);
    c->build.place = tree_span(c->tree, r.is_otherwise ? n : n->first);
    *BUILDER_ADD(&c->build, IMAGE_ROUTES, struct image_route) = r;
}

void check_routes(struct checker *c)
{
    c->candidate =
        alloc_zeroed((size_t)c->models.count * IMAGE_EFFORT_COUNT_ + 1, sizeof *c->candidate);
    c->path_state = ARENA_ARRAY(c->arena, uint8_t, c->paths.count + 1);
    if (!c->candidate || !c->path_state) {
        c->nomem = true;
        return;
    }
    check_path_heads(c);
    for (uint32_t i = 0; i < c->routes.count && !c->nomem; i++)
        route(c, c->routes.nodes[i], c->routes.at[i]);
    if (c->otherwise) {
        route(c, c->otherwise, SLICE("otherwise"));
    } else if (!c->bad_otherwise) {
        uint32_t end = (uint32_t)c->tree->source.len;
        while (end > 0 &&
               (c->tree->source.ptr[end - 1] == '\n' || c->tree->source.ptr[end - 1] == ' '))
            end--;
        struct diag *d = diag_add(c->diags, DIAG_ERROR, "missing", (struct span){end, end},
                                  "the policy does not say what happens `otherwise`");
        diag_help(c->diags, d,
                  "end it with `otherwise -> answer(any)` or `otherwise -> refuse \"why\"`");
    }
}
