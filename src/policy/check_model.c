// Zones, models, aliases and passes.
#include "policy/check.h"
#include "policy/policy.h"
#include "policy/provider.h"

static const char *const tokens_unit = "tok";
static const char *const effort_words[] = {"off", "low", "medium", "high", "on", NULL};

static void provider(struct checker *c, uint32_t i, struct image_model *m,
                     const struct node *clause, const struct node *endpoint, const struct node *key)
{
    struct slice name = tree_text(c->tree, clause->first);
    const struct provider *p = provider_find(name);
    m->provider = builder_str(&c->build, name);
    m->upstream_name = builder_str(&c->build, check_string(c, clause->first->next));
    if (!p) {
        struct diag *d = check_error(c, clause->first, "unknown-name",
                                     "no provider is called `%.*s`", SLICE_FMT(name));
        check_nearest_word(c, d, name, provider_names,
                           "for any other server that speaks OpenAI's protocol write "
                           "`endpoint \"https://...\" as \"model\"`");
        return;
    }
    if (!p->base) {
        struct diag *d = check_error(c, clause->first, "unsupported", "%s", p->why_not);
        diag_help(c->diags, d,
                  "a gateway that speaks OpenAI's protocol can stand between: `endpoint "
                  "\"https://...\"`");
        return;
    }
    if (!endpoint)
        check_endpoint_add(c, i, slice_cstr(p->base), tree_line(c->tree, clause));
    if (!key && !endpoint) {
        struct diag *d = check_warning(c, clause, "no-key", "`%.*s` answers nobody without a key",
                                       SLICE_FMT(name));
        diag_help(c->diags, d, "write `key env %s`", p->key_variable);
    }
}

static bool is_variable(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.ptr[i] >= 'A' && s.ptr[i] <= 'Z') || (s.ptr[i] >= 'a' && s.ptr[i] <= 'z') ||
              s.ptr[i] == '_' || (i > 0 && s.ptr[i] >= '0' && s.ptr[i] <= '9')))
            return false;
    return s.len > 0 && s.len <= POLICY_NAME_MAX;
}

static void key(struct checker *c, struct image_model *m, const struct node *clause)
{
    const struct node *from = clause->first, *name = from->next;
    if (!name) {
        // The lexer has marked strings behind `key` and what looks like a key; those are told for all statements.
        if (tree_token(c->tree, from)->secret)
            return;
        diag_secret(c->diags, tree_span(c->tree, from));
        struct diag *d = check_error(c, from, "inline-key", "a key does not stand in a policy");
        diag_help(c->diags, d, "write `key env NAME` or `key file \"path\"`");
        return;
    }
    bool env = tree_is(c->tree, from, "env");
    struct slice text =
        name->kind == NODE_STRING ? check_string(c, name) : tree_text(c->tree, name);
    m->key_source = env ? IMAGE_KEY_ENV : IMAGE_KEY_FILE;
    m->key_name = builder_str(&c->build, text);
    if (env && !tree_token(c->tree, name)->secret && !is_variable(text))
        check_error(c, name, "key", "this is no name of an environment variable");
    if (!env && name->kind != NODE_STRING) {
        struct diag *d = check_error(c, name, "key", "the path of a file stands in quotes");
        diag_help(c->diags, d, "write `key file \"%.*s\"`", SLICE_FMT(text));
    } else if (!env && text.len == 0) {
        check_error(c, name, "key", "the path of the key's file is empty");
    }
}

// A list of words, each one bit.
static uint32_t word_bits(struct checker *c, const struct node *clause, const char *const *words,
                          uint32_t first, const char *what)
{
    uint32_t bits = 0;
    for (const struct node *at = clause->first; at && at->kind == NODE_WORD; at = at->next) {
        struct slice name = tree_text(c->tree, at);
        uint32_t i = 0;
        while (words[i] && !slice_eq_cstr(name, words[i]))
            i++;
        if (!words[i]) {
            struct diag *d =
                check_error(c, at, "unknown-word", "%s is called `%.*s`", what, SLICE_FMT(name));
            check_nearest_word(c, d, name, words, NULL);
        } else if (bits & 1u << (first + i)) {
            check_warning(c, at, "duplicate", "`%.*s` stands twice", SLICE_FMT(name));
        } else {
            bits |= 1u << (first + i);
        }
    }
    return bits;
}

// `by thinking "thinking_budget" low 1k tok, high 8k tok`.
static void thinking(struct checker *c, struct image_model *m, const struct node *by)
{
    uint32_t said = 0;
    for (const struct node *at = by->first->next->next; at; at = at->next) {
        int32_t e = check_word_of(c, at->first, effort_words, "effort");
        if (e < 0)
            continue;
        e += IMAGE_EFFORT_OFF;
        if (said & 1u << e)
            check_error(c, at, "duplicate", "`%s` stands twice",
                        image_effort_name((enum image_effort)e));
        said |= 1u << e;
        if (!(m->efforts & 1u << e)) {
            struct diag *d =
                check_error(c, at->first, "effort", "the model does not have effort `%s`",
                            image_effort_name((enum image_effort)e));
            diag_help(c->diags, d, "name it before `by`");
        }
        check_whole(c, at->last, tokens_unit, "a budget of thinking", 0, IMAGE_TOK_MAX,
                    &m->thinking_tok[e]);
    }
    uint32_t missing = m->efforts & ~said & ~(1u << IMAGE_EFFORT_OFF | 1u << IMAGE_EFFORT_DEFAULT);
    for (int e = IMAGE_EFFORT_OFF; e < IMAGE_EFFORT_COUNT_; e++)
        if (missing & 1u << e) {
            struct diag *d = check_error(c, by, "effort", "nothing says how long `%s` thinks",
                                         image_effort_name((enum image_effort)e));
            diag_help(c->diags, d, "write `by thinking \"...\" %s 8k tok`",
                      image_effort_name((enum image_effort)e));
            break;
        }
}

// How an effort is said to the endpoint; behind the model's efforts.
static void knob(struct checker *c, struct image_model *m, const struct node *clause)
{
    const struct node *by = clause->last->kind == NODE_CLAUSE ? clause->last : NULL;
    if (!by || tree_is(c->tree, by->first, "reasoning_effort"))
        return;
    struct slice name = check_string(c, by->first->next);
    m->knob = tree_is(c->tree, by->first, "template") ? IMAGE_KNOB_TEMPLATE : IMAGE_KNOB_THINKING;
    m->knob_name = builder_str(&c->build, name);
    for (size_t i = 0; i < name.len || i == 0; i++)
        if (i == name.len || name.len > POLICY_NAME_MAX ||
            !((name.ptr[i] >= 'a' && name.ptr[i] <= 'z') ||
              (name.ptr[i] >= 'A' && name.ptr[i] <= 'Z') || name.ptr[i] == '_' ||
              (i > 0 && name.ptr[i] >= '0' && name.ptr[i] <= '9'))) {
            check_error(c, by->first->next, "effort",
                        "a member of a request is named by letters, digits and `_`");
            break;
        }
    if (m->knob == IMAGE_KNOB_THINKING)
        thinking(c, m, by);
    else if (m->efforts &
                 (1u << IMAGE_EFFORT_LOW | 1u << IMAGE_EFFORT_MEDIUM | 1u << IMAGE_EFFORT_HIGH) &&
             __builtin_popcount(m->efforts &
                                ~(1u << IMAGE_EFFORT_DEFAULT | 1u << IMAGE_EFFORT_OFF)) > 1)
        check_error(c, clause, "effort", "a template knows thinking and not thinking, no degrees");
}

static void sizes(struct checker *c, const struct node *n, struct image_model *m)
{
    const struct node *context = tree_clause(c->tree, n, "context"),
                      *output = tree_clause(c->tree, n, "output");
    if (!context) {
        struct diag *d =
            check_error(c, n->first, "missing", "model `%.*s` does not say how much it can read",
                        SLICE_FMT(tree_text(c->tree, n->first)));
        diag_help(c->diags, d, "add `context 32k %s`", tokens_unit);
    } else {
        check_whole(c, context->first, tokens_unit, "a context window", 1, IMAGE_TOK_MAX,
                    &m->context_tok);
    }
    m->output_tok = m->context_tok;
    if (output &&
        check_whole(c, output->first, tokens_unit, "an output limit", 1, IMAGE_TOK_MAX,
                    &m->output_tok) &&
        context && m->context_tok && m->output_tok > m->context_tok)
        check_error(c, output, "range", "the model writes more than its window holds");
}

static void model(struct checker *c, uint32_t i)
{
    static const char *const cans[] = {"tools", "images", "audio",    "files",
                                       "json",  "schema", "logprobs", NULL};
    const struct node *n = c->models.nodes[i], *clause;
    const struct node *endpoint = tree_clause(c->tree, n, "endpoint"),
                      *keys = tree_clause(c->tree, n, "key");
    struct image_model m;
    memset(&m, 0, sizeof m);
    check_clauses_once(c, n);
    m.name = builder_str(&c->build, c->models.at[i]);
    m.line = tree_line(c->tree, n);
    m.zone = IMAGE_NONE;
    m.quality = -1;
    m.energy_in_uj = m.energy_out_uj = -1;
    m.upstream_name = m.name;
    m.endpoints.at = builder_count(&c->build, IMAGE_ENDPOINTS);
    if ((clause = tree_clause(c->tree, n, "zone"))) {
        int32_t zone = check_find(c, &c->zones, clause->first);
        m.zone = zone < 0 ? IMAGE_NONE : zone;
    }
    if (endpoint)
        check_endpoints(c, i, endpoint, keys);
    if ((clause = tree_clause(c->tree, n, "provider"))) {
        provider(c, i, &m, clause, endpoint, keys);
    } else if (!endpoint) {
        struct diag *d = check_error(c, n->first, "missing", "model `%.*s` has no endpoint",
                                     SLICE_FMT(c->models.at[i]));
        diag_help(c->diags, d,
                  "add `endpoint \"http://127.0.0.1:8000/v1\"`, `provider openai \"...\"` or "
                  "`endpoint demo`");
    }
    m.endpoints.count = builder_count(&c->build, IMAGE_ENDPOINTS) - m.endpoints.at;
    if ((clause = tree_clause(c->tree, n, "as")))
        m.upstream_name = builder_str(&c->build, check_string(c, clause->first));
    if (m.upstream_name.len == 0)
        check_error(c, n->first, "missing", "the model's name at its endpoint is empty");
    if (keys)
        key(c, &m, keys);
    sizes(c, n, &m);
    if ((clause = tree_clause(c->tree, n, "can")))
        m.can = word_bits(c, clause, cans, 0, "nothing that a model can do");
    if ((clause = tree_clause(c->tree, n, "effort")))
        m.efforts = word_bits(c, clause, effort_words, IMAGE_EFFORT_OFF, "no effort");
    m.efforts |= 1u << IMAGE_EFFORT_DEFAULT;
    if (clause)
        knob(c, &m, clause);
    double quality;
    if ((clause = tree_clause(c->tree, n, "quality")) &&
        check_number(c, clause->first, NULL, "a quality", 0, 1, &quality))
        m.quality = (float)quality;
    if ((clause = tree_clause(c->tree, n, "timeout")))
        check_timeout(c, clause->first, &m.timeout_ms);
    check_price(c, n, &m);
    check_energy(c, n, &m);
    c->build.place = tree_span(c->tree, n->first);
    *BUILDER_ADD(&c->build, IMAGE_MODELS, struct image_model) = m;
}

void check_models(struct checker *c)
{
    for (uint32_t i = 0; i < c->models.count; i++)
        model(c, i);
}

void check_aliases(struct checker *c)
{
    for (uint32_t i = 0; i < c->aliases.count; i++) {
        const struct node *n = c->aliases.nodes[i], *target = n->first->next;
        struct slice name = c->aliases.at[i];
        struct image_alias a = {.name = builder_str(&c->build, name),
                                .index = IMAGE_NONE,
                                .line = tree_line(c->tree, n)};
        void *model = map_get(&c->models.map, name);
        if (model && (uintptr_t)model - 1 < c->models.count) {
            struct diag *d = check_error(c, n->first, "duplicate",
                                         "`%.*s` is already the name of a model", SLICE_FMT(name));
            diag_also(c->diags, d, tree_span(c->tree, c->models.nodes[(uintptr_t)model - 1]->first),
                      "the model");
        }
        if (tree_is(c->tree, target, "route")) {
            a.target = IMAGE_TARGET_ROUTE;
            a.index = check_find(c, &c->routes, target->first);
        } else if (tree_is(c->tree, target, "model")) {
            a.target = IMAGE_TARGET_MODEL;
            a.index = check_find(c, &c->models, target->first);
        }
        c->build.place = tree_span(c->tree, c->aliases.nodes[i]->first);
        *BUILDER_ADD(&c->build, IMAGE_ALIASES, struct image_alias) = a;
    }
}

// `at most 0.05 usd, 20 J`: what one request over the path takes.
static void pass_most(struct checker *c, const struct node *clause, struct image_pass *pass)
{
    for (int u = 0; u <= IMAGE_UNIT_TOK; u++)
        pass->most[u] = -1;
    for (const struct node *q = clause ? clause->first : NULL; q; q = q->next) {
        enum image_unit unit;
        struct slice under;
        int64_t most;
        if (!check_any_amount(c, q, "what a passed path takes", &unit, &under, &most))
            continue;
        if (under.len)
            diag_help(c->diags,
                      check_error(c, q, "unit", "what a passed path takes is for one request"),
                      "leave `/%.*s` out", SLICE_FMT(under));
        else if (unit > IMAGE_UNIT_TOK)
            check_error(c, q, "unit", "a passed path is one call of one request");
        else if (pass->most[unit] >= 0)
            check_error(c, q, "duplicate", "this unit is bounded already");
        else
            pass->most[unit] = most;
    }
}

static void check_pass(struct checker *c, const struct node *n)
{
    struct slice path = check_string(c, n->first);
    bool own = slice_eq(path, SLICE("/v1/chat/completions")) || slice_eq(path, SLICE("/v1/models"));
    struct diag *d = NULL;
    if (own)
        d = check_error(c, n->first, "pass", "`%.*s` is answered by Merit itself", SLICE_FMT(path));
    else if (!slice_starts_with(path, SLICE("/v1/")) || path.len == 4 ||
             slice_find(path, SLICE("..")) >= 0 || slice_find(path, SLICE("?")) >= 0 ||
             slice_find(path, SLICE(" ")) >= 0)
        d = check_error(c, n->first, "pass",
                        "a path that is passed on begins with `/v1/` and is written plainly");
    if (d && !own)
        diag_help(c->diags, d, "write `pass \"/v1/embeddings\" to MODEL`");
    for (uint32_t i = 0; i < builder_count(&c->build, IMAGE_PASSES); i++) {
        const struct image_pass *earlier =
            BUILDER_AT(&c->build, IMAGE_PASSES, struct image_pass, i);
        if (slice_eq(builder_text(&c->build, earlier->path), path)) {
            check_error(c, n->first, "duplicate", "`%.*s` is passed on twice", SLICE_FMT(path));
            break;
        }
    }
    struct image_pass pass = {.path = builder_str(&c->build, path), .line = tree_line(c->tree, n)};
    pass.model = check_find(c, &c->models, n->first->next);
    pass_most(c, tree_clause(c->tree, n, "at"), &pass);
    c->build.place = tree_span(c->tree, n->first);
    *BUILDER_ADD(&c->build, IMAGE_PASSES, struct image_pass) = pass;
}

void check_passes(struct checker *c)
{
    for (const struct node *n = c->tree->root->first; n; n = n->next)
        if (n->kind == NODE_PASS)
            check_pass(c, n);
}
