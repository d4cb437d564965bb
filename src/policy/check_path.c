// Paths: parameters filled in, candidates written out, calls of other paths put in their place, so that what is left is
// chains of steps.
#include "policy/check_path.h"
#include "base/alloc.h"
#include "policy/policy.h"

// What the parameters of a path stand for, and where to look those up in turn.
struct scope {
    const struct node *params; // NODE_PARAMS
    const struct node *call;   // NODE_CALL whose arguments they are
    const struct scope *outer;
};

enum { PATH_FRESH, PATH_OPEN, PATH_BROKEN, PARAMS_LOOKED_FOR = 16 };

struct lines {
    struct line *first, *last;
    uint32_t count;
};

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

// What an argument comes to when it is one alternative: parameters are followed, `*s` is where the rest of it is looked
// up. NULL when there are several.
static const struct node *resolve(struct checker *c, const struct node *arg, const struct scope **s)
{
    for (;;) {
        if (!arg || arg->count != 1)
            return NULL;
        const struct node *alternative = arg->first;
        int param = alternative->count == 1 && alternative->first->kind == NODE_WORD
                        ? param_index(c, *s, tree_text(c->tree, alternative->first))
                        : -1;
        if (param < 0)
            return alternative;
        arg = tree_child((*s)->call, (uint32_t)param + 1);
        *s = (*s)->outer;
    }
}

// Whether an argument list comes to `any` alone, and with which effort: such lists are the same everywhere and are
// written once.
static bool is_any(struct checker *c, const struct node *call, const struct scope *s,
                   enum image_effort *effort)
{
    const struct node *alternative = call->count == 2 ? resolve(c, call->last, &s) : NULL;
    if (!alternative || !tree_is(c->tree, alternative->first, "any"))
        return false;
    const struct node *second = alternative->first->next;
    *effort = IMAGE_EFFORT_DEFAULT;
    return !second ||
           (second->kind == NODE_WORD && find_effort(tree_text(c->tree, second), effort));
}

// The models of `answer`, `fuse` and a `verify` by models.
static bool bindings(struct checker *c, const struct node *call, const struct scope *s,
                     struct image_step *out)
{
    uint32_t errors = c->diags->errors;
    enum image_effort effort = IMAGE_EFFORT_DEFAULT;
    out->any = is_any(c, call, s, &effort);
    if (out->any && c->any_known[effort]) {
        out->bindings = c->any[effort];
        return out->bindings.count > 0;
    }
    out->bindings.at = builder_count(&c->build, IMAGE_BINDINGS);
    c->candidate_stamp++;
    for (const struct node *arg = call->first->next; arg; arg = arg->next)
        candidates(c, arg, s, IMAGE_EFFORT_DEFAULT);
    out->bindings.count = builder_count(&c->build, IMAGE_BINDINGS) - out->bindings.at;
    if (out->any) {
        c->any_known[effort] = true;
        c->any[effort] = out->bindings;
    }
    if (out->bindings.count > 0)
        return c->diags->errors == errors;
    if (c->diags->errors == errors && !c->bad_statement && c->named <= POLICY_BINDINGS_MAX) {
        struct diag *d = check_error(c, call, "no-candidates", "no model is left to %.*s",
                                     SLICE_FMT(tree_text(c->tree, call->first)));
        if (call->count == 1)
            diag_help(c->diags, d, "name models, or all of them: `%.*s(any)`",
                      SLICE_FMT(tree_text(c->tree, call->first)));
        else if (c->models.count == 0)
            diag_help(c->diags, d,
                      "the policy has no model; add `model NAME endpoint \"...\" context 32k tok`");
        else
            diag_help(c->diags, d, "no model states this effort");
    }
    return false;
}

static const char *const step_names[IMAGE_STEP_KIND_COUNT_ + 1] = {
    "answer", "refuse", "retrieve", "verify", "clarify", "redact", "fuse", "cache", NULL};

bool check_step_kind(struct slice name, enum image_step_kind *out)
{
    for (int i = 0; i < IMAGE_STEP_KIND_COUNT_; i++) {
        *out = (enum image_step_kind)i;
        if (slice_eq_cstr(name, step_names[i]))
            return true;
    }
    return false;
}

const char *const *check_step_names(void)
{
    return step_names;
}

bool check_sink_of(struct checker *c, const struct node *word, uint32_t kinds, const char *what,
                   int32_t *out)
{
    static const char *const nouns[] = {"verifier",  "judge",  "retriever", "cache",
                                        "embedding", "memory", "log",       "trace"};
    int32_t i = check_find(c, &c->sinks, word);
    if (i < 0)
        return false;
    const struct image_sink *sink =
        BUILDER_AT(&c->build, IMAGE_SINKS, struct image_sink, (uint32_t)i);
    if (!(kinds >> sink->kind & 1)) {
        struct diag *d = check_error(c, word, "type", "sink `%.*s` is a %s, not a %s",
                                     SLICE_FMT(c->sinks.at[i]), nouns[sink->kind], what);
        diag_also(c->diags, d, tree_span(c->tree, c->sinks.nodes[i]->first), "the sink");
        return false;
    }
    *out = i;
    return true;
}

// The one word that a call takes, as `cache(answers)`; NULL with a finding.
static const struct node *one_word(struct checker *c, const struct node *call,
                                   const struct scope *s, const char *help)
{
    const struct node *alternative = call->count == 2 ? resolve(c, call->last, &s) : NULL;
    if (alternative && alternative->count == 1 && alternative->first->kind == NODE_WORD)
        return alternative->first;
    struct diag *d = check_error(c, call, "argument", "`%.*s` takes one name",
                                 SLICE_FMT(tree_text(c->tree, call->first)));
    diag_help(c->diags, d, "write `%s`", help);
    return NULL;
}

static bool step_sink(struct checker *c, const struct node *call, const struct scope *s,
                      uint32_t kinds, const char *what, const char *help, struct image_step *out)
{
    const struct node *word = one_word(c, call, s, help);
    return word && check_sink_of(c, word, kinds, what, &out->sink);
}

static bool verify(struct checker *c, const struct node *call, const struct scope *s,
                   struct image_step *out)
{
    const struct scope *at = s;
    const struct node *alternative = call->count == 2 ? resolve(c, call->last, &at) : NULL;
    bool one = alternative && alternative->count == 1 && alternative->first->kind == NODE_WORD;
    if (one && map_get(&c->sinks.map, tree_text(c->tree, alternative->first)))
        return check_sink_of(c, alternative->first,
                             1u << IMAGE_SINK_VERIFIER | 1u << IMAGE_SINK_JUDGE,
                             "verifier or judge", &out->sink);
    if (call->count == 1) {
        struct diag *d = check_error(c, call, "argument", "`verify` names who verifies");
        diag_help(c->diags, d, "write `verify(SINK)` or `verify(MODEL)`");
        return false;
    }
    if (one && !tree_is(c->tree, alternative->first, "any") &&
        !map_get(&c->models.map, tree_text(c->tree, alternative->first))) {
        struct slice name = tree_text(c->tree, alternative->first);
        struct diag *d = check_error(c, alternative, "unknown-name",
                                     "no sink and no model is called `%.*s`", SLICE_FMT(name));
        uint32_t errors = c->diags->errors;
        check_nearest(c, d, name, c->sinks.at, c->sinks.count);
        if (errors == c->diags->errors && d->help.len == 0)
            check_nearest(c, d, name, c->models.at, c->models.count);
        return false;
    }
    return bindings(c, call, s, out);
}

static bool clarify(struct checker *c, const struct node *call, const struct scope *s,
                    struct image_step *out)
{
    const struct node *alternative = call->count == 2 ? resolve(c, call->last, &s) : NULL;
    if (!alternative || alternative->first->kind != NODE_QUANTITY) {
        diag_help(c->diags,
                  check_error(c, call, "argument", "`clarify` takes how often it may ask"),
                  "write `clarify(1)`");
        return false;
    }
    return check_whole(c, alternative->first, NULL, "how often it asks", 1, IMAGE_RETRIES_MAX,
                       &out->count);
}

static bool step_body(struct checker *c, const struct node *call, const struct scope *s,
                      struct image_step *out)
{
    struct level l;
    const struct node *word;
    switch (out->kind) {
    case IMAGE_STEP_ANSWER:
        return bindings(c, call, s, out);
    case IMAGE_STEP_FUSE:
        if (!bindings(c, call, s, out))
            return false;
        if (out->bindings.count > 1)
            return true;
        diag_help(c->diags, check_error(c, call, "argument", "`fuse` joins two answers or more"),
                  "write `answer(...)` for one");
        return false;
    case IMAGE_STEP_VERIFY:
        return verify(c, call, s, out);
    case IMAGE_STEP_RETRIEVE:
        return step_sink(c, call, s, 1u << IMAGE_SINK_RETRIEVER, "retriever", "retrieve(SINK)",
                         out);
    case IMAGE_STEP_CACHE:
        return step_sink(c, call, s, 1u << IMAGE_SINK_CACHE, "cache", "cache(SINK)", out);
    case IMAGE_STEP_CLARIFY:
        return clarify(c, call, s, out);
    case IMAGE_STEP_REDACT:
        word = one_word(c, call, s, "redact(LEVEL)");
        if (!word || !check_level(c, word, &l))
            return false;
        out->lattice = (int32_t)l.lattice;
        out->level = l.level;
        return true;
    default:
        return false;
    }
}

// Whether this kind has that modifier; a finding when not.
static bool may(struct checker *c, const struct node *clause, const struct image_step *s,
                uint32_t kinds, const char *which)
{
    bool ok = kinds >> s->kind & 1 && !(s->kind == IMAGE_STEP_VERIFY && s->sink != IMAGE_NONE &&
                                        tree_is(c->tree, clause, "cap"));
    if (!ok)
        diag_help(c->diags,
                  check_error(c, clause, "modifier", "`%.*s` means nothing behind `%s`",
                              SLICE_FMT(tree_text(c->tree, clause)), step_names[s->kind]),
                  "it stands behind %s", which);
    return ok;
}

static bool modifiers(struct checker *c, const struct node *n, struct image_step *s)
{
    enum {
        ASKS = 1u << IMAGE_STEP_ANSWER | 1u << IMAGE_STEP_FUSE,
        CALLS = ASKS | 1u << IMAGE_STEP_RETRIEVE | 1u << IMAGE_STEP_VERIFY | 1u << IMAGE_STEP_CACHE,
        WRITES = ASKS | 1u << IMAGE_STEP_VERIFY
    };
    const struct node *clause;
    bool ok = true;
    check_clauses_once(c, n);
    if ((clause = tree_clause(c->tree, n, "retry")))
        ok &= may(c, clause, s, CALLS, "a step that calls something") &&
              check_whole(c, clause->first, NULL, "how often a step is tried again", 1,
                          IMAGE_RETRIES_MAX, &s->retries);
    if ((clause = tree_clause(c->tree, n, "cap")))
        ok &=
            may(c, clause, s, WRITES, "`answer`, `fuse` and a `verify` by models") &&
            check_whole(c, clause->first, "tok", "a cap on output", 1, IMAGE_TOK_MAX, &s->cap_tok);
    if ((clause = tree_clause(c->tree, n, "hedge"))) {
        ok &= may(c, clause, s, 1u << IMAGE_STEP_ANSWER, "`answer`") &&
              check_whole(c, clause->first, NULL, "the number of copies", 1, IMAGE_HEDGES_MAX,
                          &s->hedges);
        check_allowed(c, clause, IMAGE_EXTRA_HEDGE);
    }
    return ok;
}

void check_allowed(struct checker *c, const struct node *n, enum image_extra extra)
{
    static const char *const words[] = {"escalate", "fuse", "hedge"};
    if (c->allows[extra] || c->bad_statement || check_told(c, n, "not-allowed"))
        return;
    struct diag *d =
        check_error(c, n, "not-allowed", "nothing in the policy allows `%s`", words[extra]);
    diag_help(c->diags, d, "add `allow %s 1`, with `when ...` if not always", words[extra]);
}

// Whether another line of `count` steps is too much; told once.
static bool too_great(struct checker *c, const struct lines *to, uint32_t count,
                      const struct node *place)
{
    bool before = c->steps_made > POLICY_STEPS_MAX;
    c->steps_made += before ? 0 : count;
    if (to->count == IMAGE_CHAINS_MAX)
        check_error(c, place, "limit", "with its paths written out this has more than %d chains",
                    IMAGE_CHAINS_MAX);
    else if (count > IMAGE_CHAIN_STEPS_MAX)
        check_error(c, place, "limit", "with its paths written out this has more than %d steps",
                    IMAGE_CHAIN_STEPS_MAX);
    else if (c->steps_made <= POLICY_STEPS_MAX)
        return false;
    else if (!before)
        check_error(c, place, "limit", "the routes have more than %d steps together",
                    POLICY_STEPS_MAX);
    c->breaking = true;
    return true;
}

static bool add_line(struct checker *c, struct lines *to, struct made *const *steps, uint32_t count,
                     const struct node *place)
{
    if (too_great(c, to, count, place))
        return false;
    struct line *l = ARENA_NEW(c->arena, struct line);
    struct made **copy = ARENA_ARRAY(c->arena, struct made *, count + 1);
    if (!l || !copy) {
        c->nomem = true;
        return false;
    }
    if (count)
        memcpy(copy, steps, count * sizeof *copy);
    *l = (struct line){.steps = copy, .count = count, .place = place};
    if (to->last)
        to->last->next = l;
    else
        to->first = l;
    to->last = l;
    to->count++;
    return true;
}

static bool refuses(const struct line *l)
{
    return l->count > 0 && l->steps[0]->step.kind == IMAGE_STEP_REFUSE;
}

static bool expand(struct checker *c, const struct node *chain, const struct scope *s,
                   struct lines *out, unsigned depth);

static bool unknown_step(struct checker *c, const struct node *call)
{
    struct slice name = tree_text(c->tree, call->first), known[IMAGE_STEP_KIND_COUNT_];
    struct diag *d = check_error(c, call->first, "unknown-name",
                                 "no step and no path is called `%.*s`", SLICE_FMT(name));
    for (int i = 0; i < IMAGE_STEP_KIND_COUNT_; i++)
        known[i] = slice_cstr(step_names[i]);
    int near = diag_nearest(name, known, MERIT_COUNT(known));
    if (near >= 0)
        diag_help(c->diags, d, "did you mean `%.*s`?", SLICE_FMT(known[near]));
    else if (map_get(&c->models.map, name))
        diag_help(c->diags, d, "to let a model answer write `answer(%.*s)`", SLICE_FMT(name));
    else
        check_nearest(c, d, name, c->paths.at, c->paths.count);
    return false;
}

static bool call_path(struct checker *c, const struct node *step, const struct scope *s,
                      struct lines *out, unsigned depth)
{
    const struct node *call = step->first;
    struct slice name = tree_text(c->tree, call->first);
    if (!map_get(&c->paths.map, name))
        return unknown_step(c, call);
    int32_t i = check_find(c, &c->paths, call->first);
    if (i < 0)
        return false;
    const struct node *path = c->paths.nodes[i], *params = path->first->next;
    uint32_t given = call->count - 1;
    if (step->count > 1) {
        struct diag *d = check_error(c, call->next, "modifier", "`%.*s` stands behind a step",
                                     SLICE_FMT(tree_text(c->tree, call->next)));
        diag_help(c->diags, d, "`%.*s` is a path: write it behind one of its steps",
                  SLICE_FMT(name));
        return false;
    }
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
    uint8_t *state = &c->path_state[i];
    if (*state == PATH_OPEN && !check_told(c, call, "cycle"))
        check_error(c, call, "cycle", "path `%.*s` contains itself", SLICE_FMT(name));
    if (depth > POLICY_DEPTH_MAX && !check_told(c, call, "limit"))
        check_error(c, call, "limit", "paths are nested deeper than %d", POLICY_DEPTH_MAX);
    if (*state != PATH_FRESH || depth > POLICY_DEPTH_MAX) {
        c->breaking = true;
        return false;
    }
    struct scope *inner = ARENA_NEW(c->arena, struct scope);
    if (!inner) {
        c->nomem = true;
        return false;
    }
    *inner = (struct scope){.params = params, .call = call, .outer = s};
    *state = PATH_OPEN;
    bool ok = expand(c, params->next, inner, out, depth + 1);
    for (const struct node *clause = params->next->next; clause && ok; clause = clause->next)
        ok = expand(c, clause->first, inner, out, depth + 1);
    // Told once; paths of paths would be gone through again and again.
    *state = !ok && c->breaking ? PATH_BROKEN : PATH_FRESH;
    return ok;
}

// One step as lines: itself, or those of the path that it calls.
static bool step(struct checker *c, const struct node *n, const struct scope *s, bool escalated,
                 struct lines *out, unsigned depth)
{
    const struct node *what = n->first;
    if (what->kind == NODE_STEP) {
        const struct node *inner = what->first;
        bool fits = inner->kind == NODE_CALL && (tree_is(c->tree, inner->first, "answer") ||
                                                 tree_is(c->tree, inner->first, "fuse"));
        if (!fits || escalated) {
            struct diag *d =
                check_error(c, n, "escalate", "`escalate` stands before `answer` or `fuse`");
            diag_help(c->diags, d,
                      "write `escalate answer(...)` in the chain that a failed "
                      "verification pays for");
            return false;
        }
        check_allowed(c, n, IMAGE_EXTRA_ESCALATE);
        return step(c, what, s, true, out, depth);
    }
    struct made *made = ARENA_NEW(c->arena, struct made);
    if (!made) {
        c->nomem = true;
        return false;
    }
    made->node = n;
    made->step.sink = made->step.lattice = IMAGE_NONE;
    made->step.escalated = escalated;
    if (what->kind == NODE_STRING) {
        made->step.kind = IMAGE_STEP_REFUSE;
        made->step.text = builder_str(&c->build, check_string(c, what));
        if (made->step.text.len == 0)
            check_error(c, what, "refusal", "a refusal says why");
        return add_line(c, out, &made, 1, n);
    }
    if (!check_step_kind(tree_text(c->tree, what->first), &made->step.kind))
        return call_path(c, n, s, out, depth);
    bool ok = step_body(c, what, s, &made->step) && modifiers(c, n, &made->step);
    if (ok && made->step.kind == IMAGE_STEP_FUSE)
        check_allowed(c, what->first, IMAGE_EXTRA_FUSE);
    return ok && add_line(c, out, &made, 1, n);
}

// Every line of `left` gone on with by every one of `right`. A refusal needs nothing before it and nothing follows it.
static bool join(struct checker *c, const struct lines *left, const struct lines *right,
                 const struct node *place, struct lines *out)
{
    struct made *steps[2 * IMAGE_CHAIN_STEPS_MAX];
    for (const struct line *a = left->first; a; a = a->next) {
        if (refuses(a)) {
            if (!add_line(c, out, a->steps, a->count, a->place))
                return false;
            continue;
        }
        for (const struct line *b = right->first; b; b = b->next) {
            uint32_t n = refuses(b) ? 0 : a->count;
            if (n)
                memcpy(steps, a->steps, n * sizeof *steps);
            memcpy(steps + n, b->steps, b->count * sizeof *steps);
            if (!add_line(c, out, steps, n + b->count, place))
                return false;
        }
    }
    return true;
}

static bool expand(struct checker *c, const struct node *chain, const struct scope *s,
                   struct lines *out, unsigned depth)
{
    struct lines so_far = {0};
    bool ok = true;
    for (const struct node *n = chain->first; n; n = n->next) {
        if (n->first->kind == NODE_STRING && chain->count > 1) {
            struct diag *d = check_error(c, n, "refusal", "a refusal stands alone in its chain");
            diag_help(c->diags, d,
                      "nothing of the steps before it would be delivered; write "
                      "`else refuse \"why\"` for when they fail");
            return false;
        }
        struct lines parts = {0}, joined = {0};
        // What is wrong with later steps is told in the same run.
        if (!step(c, n, s, false, &parts, depth)) {
            ok = false;
        } else if (ok && n == chain->first) {
            so_far = parts;
        } else if (ok) {
            ok = join(c, &so_far, &parts, chain, &joined);
            so_far = joined;
        }
    }
    for (const struct line *l = so_far.first; l && ok; l = l->next)
        ok = add_line(c, out, l->steps, l->count, chain);
    return ok;
}

const struct line *check_path(struct checker *c, const struct node *chain,
                              const struct node *clauses)
{
    struct lines all = {0};
    c->breaking = false;
    bool ok = expand(c, chain, NULL, &all, 0);
    for (const struct node *clause = clauses; clause; clause = clause->next)
        if (tree_is(c->tree, clause, "else"))
            ok &= expand(c, clause->first, NULL, &all, 0);
    return ok ? all.first : NULL;
}

// What must stand in a line whoever uses it.
static bool line_ok(struct checker *c, const struct line *l)
{
    const struct made *answer = NULL;
    struct diag *d;
    for (uint32_t i = 0; i < l->count; i++) {
        const struct made *m = l->steps[i];
        const char *name = step_names[m->step.kind];
        switch (m->step.kind) {
        case IMAGE_STEP_ANSWER:
        case IMAGE_STEP_FUSE:
            if (answer && !check_told(c, m->node, "chain")) {
                d = check_error(c, m->node, "chain", "a chain answers once");
                diag_also(c->diags, d, tree_span(c->tree, answer->node), "the answer before");
                diag_help(c->diags, d,
                          "join answers by `fuse(a, b)`, or write `else` for when "
                          "the first fails");
            }
            if (answer)
                return false;
            answer = m;
            break;
        case IMAGE_STEP_VERIFY:
            if (answer || check_told(c, m->node, "chain"))
                break;
            d = check_error(c, m->node, "chain", "there is no answer yet that could be verified");
            diag_help(c->diags, d, "write `answer(...) -> verify(...)`");
            return false;
        case IMAGE_STEP_CLARIFY:
        case IMAGE_STEP_CACHE:
        case IMAGE_STEP_RETRIEVE:
            if (!answer || check_told(c, m->node, "chain"))
                break;
            d = check_error(c, m->node, "chain", "`%s` stands before the answer", name);
            diag_also(c->diags, d, tree_span(c->tree, answer->node), "the answer");
            return false;
        default:
            break;
        }
    }
    if (!answer && !refuses(l) && !check_told(c, l->place, "chain")) {
        d = check_error(c, l->place, "chain", "this chain answers nothing");
        diag_help(c->diags, d,
                  "it ends in `answer(...)` or `fuse(...)`, which steps may stand "
                  "before and `verify(...)` behind");
    }
    return answer || refuses(l);
}

bool check_lines(struct checker *c, const struct line *lines, bool *verified)
{
    bool ok = true;
    *verified = false;
    for (const struct line *l = lines; l; l = l->next) {
        bool here = false;
        ok &= line_ok(c, l);
        for (uint32_t i = 0; i < l->count; i++) {
            const struct made *m = l->steps[i];
            here |= m->step.kind == IMAGE_STEP_VERIFY;
            if (!m->step.escalated || *verified || check_told(c, m->node, "escalate"))
                continue;
            struct diag *d = check_error(c, m->node, "escalate",
                                         "nothing is verified before this, so that nothing "
                                         "could fail and escalate");
            diag_help(c->diags, d, "write `answer(a) -> verify(...) else escalate answer(b)`");
            ok = false;
        }
        *verified |= here;
    }
    return ok;
}

struct image_list check_emit_lines(struct checker *c, const struct line *lines)
{
    uint32_t at = builder_count(&c->build, IMAGE_STEPS);
    struct image_list chains = {builder_count(&c->build, IMAGE_CHAINS), 0};
    for (const struct line *l = lines; l; l = l->next) {
        for (uint32_t i = 0; i < l->count; i++) {
            c->build.place = tree_span(c->tree, l->steps[i]->node);
            *BUILDER_ADD(&c->build, IMAGE_STEPS, struct image_step) = l->steps[i]->step;
        }
        c->build.place = tree_span(c->tree, l->place);
        BUILDER_ADD(&c->build, IMAGE_CHAINS, struct image_chain)->steps =
            (struct image_list){at, l->count};
        at += l->count;
        chains.count++;
    }
    return chains;
}

static bool says(struct checker *c, const struct node *n, struct slice name)
{
    if (n->kind == NODE_WORD)
        return slice_eq(tree_text(c->tree, n), name);
    for (const struct node *x = n->first; x; x = x->next)
        if (says(c, x, name))
            return true;
    return false;
}

static void unused_param(struct checker *c, const struct node *params, const struct node *p)
{
    struct slice name = tree_text(c->tree, p);
    for (const struct node *n = params->next; n; n = n->next)
        if (says(c, n, name))
            return;
    check_warning(c, p, "unused", "nothing in the path uses its parameter `%.*s`", SLICE_FMT(name));
}

// What is wrong with a path whoever uses it; the rest shows where it is used.
void check_path_heads(struct checker *c)
{
    enum image_step_kind kind;
    for (uint32_t i = 0; i < c->paths.count; i++) {
        const struct node *n = c->paths.nodes[i], *params = n->first->next;
        for (const struct node *p = params->first; p; p = p->next) {
            struct slice name = tree_text(c->tree, p);
            // Looked for in the whole path for each: not where there are absurdly many.
            if (params->count <= PARAMS_LOOKED_FOR)
                unused_param(c, params, p);
            if (check_is_reserved(name))
                check_error(c, p, "reserved", "`%.*s` is a word of the language", SLICE_FMT(name));
            for (const struct node *q = params->first; q != p; q = q->next)
                if (slice_eq(tree_text(c->tree, q), name))
                    check_error(c, p, "duplicate", "two parameters are called `%.*s`",
                                SLICE_FMT(name));
        }
        struct slice name = c->paths.at[i];
        if (!check_is_reserved(name) &&
            (check_step_kind(name, &kind) || slice_eq_cstr(name, "hedge")))
            check_error(c, n->first, "reserved", "`%.*s` is a step of the language",
                        SLICE_FMT(name));
    }
}
