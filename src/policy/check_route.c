// Routes: the path with its parameters filled in, the candidates written out, the objective checked against them.
#include <stdio.h>

#include "base/alloc.h"
#include "policy/check.h"
#include "policy/policy.h"

// What the parameters of a path stand for, and where to look those up in turn.
struct scope {
    const struct node *params; // NODE_PARAMS
    const struct node *call;   // NODE_CALL whose arguments they are
    const struct scope *outer;
    uint32_t depth;
};

// What a chain of steps comes to.
struct choice {
    struct image_step step;
    bool found;
    struct slice path_name;
    const struct node *otherwise; // a chain: the `else` of the path
    const struct scope *otherwise_scope;
    struct scope scope;       // of the path, kept for `otherwise`
    const struct node *place; // where it was written, for messages
};

static const char *const later_steps[] = {"verify", "retrieve", "clarify", "redact",
                                          "fuse",   "cache",    "hedge",   NULL};

static bool is_later(struct slice name)
{
    for (size_t i = 0; later_steps[i]; i++)
        if (slice_eq_cstr(name, later_steps[i]))
            return true;
    return false;
}

// Also a bound on the work: `p(m) = q(m | m)` doubles at each level.
static bool too_many(struct checker *c, const struct node *n)
{
    if (c->named == POLICY_BINDINGS_MAX)
        check_error(c, n, "limit", "the routes name more than %d candidates together",
                    POLICY_BINDINGS_MAX);
    c->named += c->named <= POLICY_BINDINGS_MAX;
    return c->named > POLICY_BINDINGS_MAX;
}

static void add_binding(struct checker *c, int32_t model, enum image_effort effort,
                        const struct node *n, bool named)
{
    if (too_many(c, n))
        return;
    uint32_t *last = &c->candidate[model * IMAGE_EFFORT_COUNT_ + effort];
    if (*last == c->candidate_stamp) {
        if (named)
            check_warning(c, n, "duplicate", "`%.*s` is a candidate already",
                          SLICE_FMT(tree_source(c->tree, n)));
        return;
    }
    *last = c->candidate_stamp;
    *BUILDER_ADD(&c->build, IMAGE_BINDINGS, struct image_binding) =
        (struct image_binding){model, effort};
}

static bool model_has(struct checker *c, int32_t model, enum image_effort effort)
{
    return BUILDER_AT(&c->build, IMAGE_MODELS, struct image_model, (uint32_t)model)->efforts >>
               effort &
           1;
}

static const char *const effort_words[] = {"off", "low", "medium", "high", "on", NULL};

static bool find_effort(struct slice text, enum image_effort *out)
{
    for (int i = 0; effort_words[i]; i++) {
        *out = (enum image_effort)(IMAGE_EFFORT_OFF + i);
        if (slice_eq_cstr(text, effort_words[i]))
            return true;
    }
    return false;
}

// `deep high`: the effort, DEFAULT when there is none; false with a finding.
static bool effort_of(struct checker *c, const struct node *n, enum image_effort *out)
{
    struct slice text = n ? tree_text(c->tree, n) : SLICE_EMPTY;
    *out = IMAGE_EFFORT_DEFAULT;
    if (!n || (n->kind == NODE_WORD && find_effort(text, out)))
        return true;
    check_nearest_word(
        c, check_error(c, n, "unknown-word", "no effort is called `%.*s`", SLICE_FMT(text)), text,
        effort_words, NULL);
    return false;
}

static int param_index(struct checker *c, const struct scope *s, struct slice name)
{
    int i = 0;
    for (const struct node *p = s ? s->params->first : NULL; p; p = p->next, i++)
        if (slice_eq(tree_text(c->tree, p), name))
            return i;
    return -1;
}

static void all_models(struct checker *c, const struct node *n, enum image_effort effort)
{
    for (uint32_t m = 0; m < c->models.count; m++) {
        c->models.used[m] = true;
        if (model_has(c, (int32_t)m, effort))
            add_binding(c, (int32_t)m, effort, n, false);
    }
}

static void candidates(struct checker *c, const struct node *arg, const struct scope *s,
                       enum image_effort outer);

// One alternative of an argument of `answer`. `outer` is the effort that a path put behind its parameter.
static void candidate(struct checker *c, const struct node *n, const struct scope *s,
                      enum image_effort outer)
{
    const struct node *name = n->first, *second = name->next;
    enum image_effort effort;
    if (too_many(c, n))
        return;
    if (name->kind != NODE_WORD) {
        check_error(c, n, "type", "a candidate is the name of a model, or `any`");
        return;
    }
    if (!effort_of(c, second, &effort))
        return;
    if (effort && outer && effort != outer) {
        check_error(c, n, "effort", "this candidate is given two efforts, `%s` and `%s`",
                    image_effort_name(effort), image_effort_name(outer));
        return;
    }
    effort = effort ? effort : outer;
    int param = param_index(c, s, tree_text(c->tree, name));
    if (param >= 0) {
        const struct node *arg = tree_child(s->call, (uint32_t)param + 1);
        if (arg)
            candidates(c, arg, s->outer, effort);
        return;
    }
    if (tree_is(c->tree, name, "any")) {
        all_models(c, n, effort);
        return;
    }
    int32_t model = check_find(c, &c->models, name);
    if (model < 0)
        return;
    if (!model_has(c, model, effort)) {
        struct diag *d = check_error(c, n, "effort", "model `%.*s` does not state the effort `%s`",
                                     SLICE_FMT(c->models.at[model]), image_effort_name(effort));
        diag_help(c->diags, d, "add it to the model: `effort %s`", image_effort_name(effort));
        diag_also(c->diags, d, tree_span(c->tree, c->models.nodes[model]->first), "the model");
        return;
    }
    add_binding(c, model, effort, n, true);
}

static void candidates(struct checker *c, const struct node *arg, const struct scope *s,
                       enum image_effort outer)
{
    for (const struct node *a = arg->first; a; a = a->next)
        candidate(c, a, s, outer);
}

// Whether an argument list comes to `any` alone, and with which effort: such lists are the same everywhere and are
// written once.
static bool is_any(struct checker *c, const struct node *call, const struct scope *s,
                   enum image_effort *effort)
{
    const struct node *arg = call->first->next;
    const struct node *alternative = arg && !arg->next && arg->count == 1 ? arg->first : NULL;
    while (alternative && alternative->count == 1 && s) {
        int param = param_index(c, s, tree_text(c->tree, alternative->first));
        if (param < 0)
            break;
        arg = tree_child(s->call, (uint32_t)param + 1);
        alternative = arg && arg->count == 1 ? arg->first : NULL;
        s = s->outer;
    }
    if (!alternative || !tree_is(c->tree, alternative->first, "any"))
        return false;
    const struct node *second = alternative->first->next;
    *effort = IMAGE_EFFORT_DEFAULT;
    return !second ||
           (second->kind == NODE_WORD && find_effort(tree_text(c->tree, second), effort));
}

static bool answer(struct checker *c, const struct node *call, const struct scope *s,
                   struct choice *out)
{
    uint32_t errors = c->diags->errors;
    enum image_effort effort = IMAGE_EFFORT_DEFAULT;
    out->step.kind = IMAGE_STEP_ANSWER;
    out->step.any = is_any(c, call, s, &effort);
    if (out->step.any && c->any_known[effort]) {
        out->step.bindings = c->any[effort];
        return out->step.bindings.count > 0;
    }
    out->step.bindings.at = builder_count(&c->build, IMAGE_BINDINGS);
    c->candidate_stamp++;
    for (const struct node *arg = call->first->next; arg; arg = arg->next)
        candidates(c, arg, s, IMAGE_EFFORT_DEFAULT);
    out->step.bindings.count = builder_count(&c->build, IMAGE_BINDINGS) - out->step.bindings.at;
    if (out->step.any) {
        c->any_known[effort] = true;
        c->any[effort] = out->step.bindings;
    }
    if (out->step.bindings.count > 0)
        return c->diags->errors == errors;
    if (c->diags->errors == errors && !c->bad_statement && c->named <= POLICY_BINDINGS_MAX) {
        struct diag *d = check_error(c, call, "no-candidates", "no model is left to answer");
        if (call->count == 1)
            diag_help(c->diags, d, "name models, or all of them: `answer(any)`");
        else if (c->models.count == 0)
            diag_help(c->diags, d,
                      "the policy has no model; add `model NAME endpoint \"...\" context 32k tok`");
        else
            diag_help(c->diags, d, "no model states this effort");
    }
    return false;
}

static bool chain(struct checker *c, const struct node *n, const struct scope *s,
                  struct choice *out);

static bool call_path(struct checker *c, const struct node *call, const struct scope *s,
                      struct choice *out)
{
    struct slice name = tree_text(c->tree, call->first);
    int32_t i;
    if (map_get(&c->paths.map, name)) {
        i = check_find(c, &c->paths, call->first);
    } else {
        struct slice known[8] = {SLICE("answer"), SLICE("refuse")};
        struct diag *d = check_error(c, call->first, "unknown-name",
                                     "no step and no path is called `%.*s`", SLICE_FMT(name));
        int near = diag_nearest(name, known, 2);
        if (near >= 0)
            diag_help(c->diags, d, "did you mean `%.*s`?", SLICE_FMT(known[near]));
        else if (map_get(&c->models.map, name))
            diag_help(c->diags, d, "to let a model answer write `answer(%.*s)`", SLICE_FMT(name));
        else
            check_nearest(c, d, name, c->paths.at, c->paths.count);
        return false;
    }
    if (i < 0)
        return false;
    const struct node *path = c->paths.nodes[i], *params = path->first->next, *body = params->next;
    uint32_t given = call->count - 1;
    if (given != params->count) {
        struct diag *d =
            check_error(c, call, "argument", "path `%.*s` takes %u argument%s, not %u",
                        SLICE_FMT(name), params->count, params->count == 1 ? "" : "s", given);
        if (params->count == 1 && given > 1)
            diag_help(
                c->diags, d,
                "several candidates for one parameter are written with `|`, as in `deep | swift`");
        return false;
    }
    // Deeper than there are paths means that one of them contains itself.
    if (s && s->depth > POLICY_DEPTH_MAX) {
        check_error(c, call, "cycle",
                    "path `%.*s` contains itself, or paths are nested deeper than %d",
                    SLICE_FMT(name), POLICY_DEPTH_MAX);
        return false;
    }
    out->path_name = out->path_name.len ? out->path_name : c->paths.at[i];
    struct scope *inner = ARENA_NEW(c->arena, struct scope);
    if (!inner) {
        c->nomem = true;
        return false;
    }
    *inner =
        (struct scope){.params = params, .call = call, .outer = s, .depth = s ? s->depth + 1 : 1};
    bool ok = chain(c, body, inner, out);
    const struct node *otherwise = tree_clause(c->tree, path, "else");
    if (otherwise && !out->otherwise) {
        out->otherwise = otherwise->first;
        out->otherwise_scope = inner;
    }
    return ok;
}

static bool step(struct checker *c, const struct node *n, const struct scope *s, struct choice *out)
{
    const struct node *what = n->first;
    if (what->kind == NODE_STRING) {
        out->step.kind = IMAGE_STEP_REFUSE;
        out->step.text = builder_str(&c->build, check_string(c, what));
        if (out->step.text.len == 0)
            check_error(c, what, "refusal", "a refusal says why");
        out->path_name = out->path_name.len ? out->path_name : SLICE("refuse");
        return true;
    }
    if (what->kind == NODE_STEP) {
        check_unsupported(c, n, "`escalate` is");
        return false;
    }
    struct slice name = tree_text(c->tree, what->first);
    if (slice_eq(name, SLICE("answer"))) {
        out->path_name = out->path_name.len ? out->path_name : SLICE("answer");
        return answer(c, what, s, out);
    }
    if (is_later(name) && !map_get(&c->paths.map, name)) {
        char text[64];
        snprintf(text, sizeof text, "the step `%.*s` is", SLICE_FMT(name));
        check_unsupported(c, n, text);
        return false;
    }
    return call_path(c, what, s, out);
}

static bool chain(struct checker *c, const struct node *n, const struct scope *s,
                  struct choice *out)
{
    if (n->count > 1) {
        // The first one that this build lacks says more than that there are several.
        for (const struct node *at = n->first; at; at = at->next) {
            const struct node *what = at->first;
            if (what->kind == NODE_STEP ||
                (what->kind == NODE_CALL && is_later(tree_text(c->tree, what->first))))
                return step(c, at, s, out);
        }
        check_unsupported(c, n, "a path of several steps is");
        return false;
    }
    return step(c, n->first, s, out);
}

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
    static const char *const later[] = {"energy", "time",     "latency", "carbon",
                                        "tokens", "exposure", NULL};
    bool least = tree_is(c->tree, clause, "minimise");
    struct slice word = tree_text(c->tree, clause->first);
    static const char *const known[] = {"cost", "quality", NULL};
    if (r->objective != IMAGE_OBJECTIVE_ORDER) {
        check_error(c, clause, "duplicate", "a route has one objective");
        return false;
    }
    for (size_t i = 0; later[i]; i++) {
        if (slice_eq_cstr(word, later[i])) {
            char text[64];
            snprintf(text, sizeof text, "the objective `%s` is", later[i]);
            check_unsupported(c, clause, text);
            return false;
        }
    }
    if (least && slice_eq(word, SLICE("cost")))
        r->objective = IMAGE_OBJECTIVE_COST;
    else if (!least && slice_eq(word, SLICE("quality")))
        r->objective = IMAGE_OBJECTIVE_QUALITY;
    else
        check_nearest_word(c,
                           check_error(c, clause, "unknown-word",
                                       "a route can `minimise cost` or `maximise quality`"),
                           word, known, "write `minimise cost` or `maximise quality`");
    return r->objective != IMAGE_OBJECTIVE_ORDER;
}

static void route_clause(struct checker *c, const struct node *clause, struct image_route *r,
                         const struct image_step *step)
{
    double q;
    if (tree_is(c->tree, clause, "minimise") || tree_is(c->tree, clause, "maximise")) {
        if (!objective(c, clause, r) || !step)
            return;
        if (r->objective == IMAGE_OBJECTIVE_COST)
            need_prices(c, clause, step);
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
        check_unsupported(c, clause, "`escalate at risk` is");
    }
}

static void add_chain(struct checker *c, struct image_route *r, const struct choice *choice)
{
    struct image_list list = {builder_count(&c->build, IMAGE_STEPS), 1};
    struct image_step *s = BUILDER_ADD(&c->build, IMAGE_STEPS, struct image_step);
    *s = choice->step;
    s->sink = s->lattice = IMAGE_NONE;
    if (r->chains.count++ == 0)
        r->chains.at = builder_count(&c->build, IMAGE_CHAINS);
    BUILDER_ADD(&c->build, IMAGE_CHAINS, struct image_chain)->steps = list;
}

static void otherwise_of(struct checker *c, const struct node *n, const struct choice *main,
                         struct image_route *r)
{
    const struct node *own = tree_clause(c->tree, n, "else"),
                      *from = own ? own->first : main->otherwise;
    if (own && main->otherwise)
        check_error(c, own, "duplicate", "the path `%.*s` has an `else` already",
                    SLICE_FMT(main->path_name));
    if (!from)
        return;
    if (main->found && main->step.kind == IMAGE_STEP_REFUSE)
        check_warning(c, from, "unreachable",
                      "a refusal always works, its `else` is never reached");
    struct choice other;
    memset(&other, 0, sizeof other);
    if (chain(c, from, own ? NULL : main->otherwise_scope, &other)) {
        if (other.otherwise)
            check_unsupported(c, from, "an `else` inside an `else` is");
        add_chain(c, r, &other);
    }
}

static void route(struct checker *c, const struct node *n, struct slice name)
{
    struct image_route r;
    struct choice choice;
    memset(&r, 0, sizeof r);
    memset(&choice, 0, sizeof choice);
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
    choice.found = chain(c, steps, NULL, &choice);
    r.path_name = builder_str(&c->build, choice.path_name);
    bool answers = choice.found && choice.step.kind == IMAGE_STEP_ANSWER;
    for (const struct node *clause = steps->next; clause; clause = clause->next) {
        if (choice.found && !answers && !tree_is(c->tree, clause, "else"))
            check_error(c, clause, "refusal",
                        "a refusal has nothing to choose, `%.*s` means nothing here",
                        SLICE_FMT(tree_text(c->tree, clause)));
        else
            route_clause(c, clause, &r, answers ? &choice.step : NULL);
    }
    if (choice.found)
        add_chain(c, &r, &choice);
    otherwise_of(c, n, &choice, &r);
    c->build.place = tree_span(c->tree, r.is_otherwise ? n : n->first);
    *BUILDER_ADD(&c->build, IMAGE_ROUTES, struct image_route) = r;
}

// What is wrong with a path whoever uses it; the rest shows where it is used.
static void path_heads(struct checker *c)
{
    for (uint32_t i = 0; i < c->paths.count; i++) {
        const struct node *n = c->paths.nodes[i], *params = n->first->next;
        for (const struct node *p = params->first; p; p = p->next) {
            struct slice name = tree_text(c->tree, p);
            if (check_is_reserved(name))
                check_error(c, p, "reserved", "`%.*s` is a word of the language", SLICE_FMT(name));
            for (const struct node *q = params->first; q != p; q = q->next)
                if (slice_eq(tree_text(c->tree, q), name))
                    check_error(c, p, "duplicate", "two parameters are called `%.*s`",
                                SLICE_FMT(name));
        }
        struct slice name = c->paths.at[i];
        if (is_later(name))
            check_error(c, n->first, "reserved", "`%.*s` is a step of the language",
                        SLICE_FMT(name));
        const struct node *first = tree_clause(c->tree, n, "else");
        for (const struct node *clause = n->first; clause && first; clause = clause->next)
            if (clause->kind == NODE_CLAUSE && clause != first)
                check_unsupported(c, clause, "a second `else` is");
    }
}

void check_routes(struct checker *c)
{
    c->candidate =
        alloc_zeroed((size_t)c->models.count * IMAGE_EFFORT_COUNT_ + 1, sizeof *c->candidate);
    if (!c->candidate) {
        c->nomem = true;
        return;
    }
    path_heads(c);
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
