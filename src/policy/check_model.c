// Zones, models, aliases and passes.
#include "policy/check.h"
#include "policy/policy.h"
#include "policy/provider.h"

static const char *const tokens_unit = "tok", *const price_unit = "usd/Mtok";

// Why `url` cannot be an endpoint, or NULL. `*secret` is set when it carries credentials.
static const char *url_problem(struct slice url, bool *secret)
{
    enum { URL_MAX = 2048 };
    struct slice rest;
    if (url.len > URL_MAX)
        return "a URL has at most 2048 bytes";
    if (slice_starts_with(url, SLICE("http://")))
        rest = slice_from(url, 7);
    else if (slice_starts_with(url, SLICE("https://")))
        rest = slice_from(url, 8);
    else
        return "an endpoint begins with `http://` or `https://`";
    for (size_t i = 0; i < rest.len; i++)
        if ((unsigned char)rest.ptr[i] <= 32 || (unsigned char)rest.ptr[i] >= 127)
            return "a URL holds no spaces and only ASCII";
    struct slice host = rest;
    const char *slash = rest.len ? memchr(rest.ptr, '/', rest.len) : NULL;
    if (slash)
        host.len = (size_t)(slash - rest.ptr);
    *secret = host.len && memchr(host.ptr, '@', host.len);
    if (*secret)
        return "an endpoint carries no user name or password";
    if (memchr(rest.ptr ? rest.ptr : "", '?', rest.len) ||
        memchr(rest.ptr ? rest.ptr : "", '#', rest.len))
        return "an endpoint has no `?` and no `#`: it is the base that `/chat/completions` is put "
               "behind";
    if (slice_find(rest, SLICE("/../")) >= 0 || slice_ends_with(rest, SLICE("/..")))
        return "an endpoint's path does not go up";
    bool six = host.len && host.ptr[0] == '[';
    const char *close = six ? memchr(host.ptr, ']', host.len) : NULL;
    if (six && !close)
        return "an IPv6 address ends with `]`";
    struct slice name =
        six ? slice_head(slice_from(host, 1), (size_t)(close - host.ptr - 1)) : host;
    struct slice port = six ? slice_from(host, (size_t)(close - host.ptr + 1)) : SLICE_EMPTY;
    if (!six && memchr(host.ptr ? host.ptr : "", ':', host.len)) {
        name.len = (size_t)((const char *)memchr(host.ptr, ':', host.len) - host.ptr);
        port = slice_from(host, name.len);
    }
    if (name.len == 0 || name.len > 253)
        return "the URL names no host";
    for (size_t i = 0; i < name.len; i++) {
        char ch = name.ptr[i];
        bool ok = (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') ||
                  (ch >= 'A' && ch <= 'Z') || ch == '.' ||
                  (six ? ch == ':' : ch == '-' || ch == '_');
        if (!ok)
            return "the host's name has a character that no host's name has";
    }
    uint64_t number = 0;
    if (port.len && (port.ptr[0] != ':' || port.len > 6 ||
                     !slice_u64(slice_from(port, 1), &number) || number == 0 || number > 65535))
        return "the port is a number between 1 and 65535";
    return NULL;
}

static void add_endpoint(struct checker *c, uint32_t model, struct slice url, uint32_t line)
{
    struct image_endpoint *e = BUILDER_ADD(&c->build, IMAGE_ENDPOINTS, struct image_endpoint);
    // "/v1" and "/v1/" are the same base.
    while (url.len && url.ptr[url.len - 1] == '/')
        url.len--;
    e->url = builder_str(&c->build, url);
    e->model = (int32_t)model;
    e->line = line;
}

static bool is_local(struct slice url)
{
    return slice_starts_with(url, SLICE("http://127.")) ||
           slice_starts_with(url, SLICE("http://localhost")) ||
           slice_starts_with(url, SLICE("http://[::1]"));
}

static void endpoints(struct checker *c, uint32_t i, const struct node *clause,
                      const struct node *key)
{
    for (const struct node *at = clause->first; at; at = at->next) {
        if (at->kind == NODE_WORD) {
            if (tree_is(c->tree, at, "demo")) {
                add_endpoint(c, i, SLICE("demo:"), tree_line(c->tree, at));
                continue;
            }
            struct diag *d =
                check_error(c, at, "endpoint", "an endpoint is a URL in quotes, or `demo`");
            diag_help(c->diags, d, "write `endpoint \"http://127.0.0.1:8000/v1\"`");
            continue;
        }
        struct slice url = check_string(c, at);
        bool secret = false;
        const char *problem = url_problem(url, &secret);
        if (secret)
            diag_secret(c->diags, tree_span(c->tree, at));
        if (problem) {
            check_error(c, at, secret ? "inline-key" : "endpoint", "%s", problem);
            continue;
        }
        if (key && slice_starts_with(url, SLICE("http://")) && !is_local(url)) {
            struct diag *d = check_warning(c, at, "key-in-clear",
                                           "the key travels over this connection unencrypted");
            diag_help(c->diags, d,
                      "use https, or put a proxy that speaks TLS on 127.0.0.1 before it");
        }
        add_endpoint(c, i, url, tree_line(c->tree, at));
    }
}

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
        add_endpoint(c, i, slice_cstr(p->base), tree_line(c->tree, clause));
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
    for (const struct node *at = clause->first; at; at = at->next) {
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

static void prices(struct checker *c, struct image_model *m, const struct node *clause)
{
    const struct node *unit = clause->last->kind == NODE_UNIT ? clause->last : NULL;
    int64_t *const into[] = {&m->price_in_nusd, &m->price_out_nusd, &m->price_cached_nusd};
    static const char *const words[] = {"in", "out", "cached"};
    bool stated[3] = {false, false, false};
    if (!unit || !check_unit_is(c, unit, price_unit)) {
        struct diag *d = check_error(c, unit ? unit : clause, "unit", "a price %s `%s`",
                                     unit ? "has the unit" : "needs its unit,", price_unit);
        diag_help(c->diags, d, "write `price 0.03 in, 0.06 out %s`: US dollars per million tokens",
                  price_unit);
    }
    for (const struct node *at = clause->first; at && at->kind == NODE_PRICE; at = at->next) {
        int which = 0;
        while (!tree_is(c->tree, at->last, words[which]))
            which++;
        if (stated[which])
            check_error(c, at, "duplicate", "`%s` stands twice in one price", words[which]);
        stated[which] = true;
        check_money(c, at->first, NULL, "a price per million tokens", IMAGE_PRICE_MAX, into[which]);
    }
    if (!stated[0] || !stated[1]) {
        struct diag *d = check_error(c, clause, "price", "a price has both `in` and `out`");
        diag_help(c->diags, d, "write `price 0.03 in, 0.06 out %s`; 0 is a price, too", price_unit);
    }
    if (!stated[2])
        m->price_cached_nusd = m->price_in_nusd;
    else if (m->price_cached_nusd > m->price_in_nusd)
        check_warning(c, clause, "price", "cached tokens cost more than others");
    m->priced = true;
}

static void energy(struct checker *c, struct image_model *m, const struct node *clause)
{
    const struct node *unit = clause->last->kind == NODE_UNIT ? clause->last : NULL;
    int64_t *const into[] = {&m->energy_in_uj, &m->energy_out_uj};
    bool stated[2] = {false, false}, kilo = unit && check_unit_is(c, unit, "kJ/Mtok");
    if (!kilo && (!unit || !check_unit_is(c, unit, "J/Mtok"))) {
        struct diag *d = check_error(c, unit ? unit : clause, "unit", "an energy %s `kJ/Mtok`",
                                     unit ? "has the unit" : "needs its unit,");
        diag_help(c->diags, d, "write `energy 40 in, 300 out kJ/Mtok`: per million tokens");
    }
    for (const struct node *at = clause->first; at && at->kind == NODE_PRICE; at = at->next) {
        bool out = tree_is(c->tree, at->last, "out");
        struct decimal v;
        if (tree_is(c->tree, at->last, "cached")) {
            check_error(c, at, "energy", "an energy has `in` and `out`");
            continue;
        }
        if (stated[out])
            check_error(c, at, "duplicate", "`%s` stands twice in one energy", out ? "out" : "in");
        stated[out] = true;
        if (!check_quantity(c, at->first, NULL, "an energy per million tokens", &v))
            continue;
        if (!units_scaled(v, kilo ? 9 : 6, into[out]) || *into[out] < 0 ||
            *into[out] > IMAGE_ENERGY_MAX)
            check_error(c, at->first, "range",
                        "an energy is between 0 and 1 GJ per million tokens");
    }
    if (!stated[0] || !stated[1]) {
        struct diag *d = check_error(c, clause, "energy", "an energy has both `in` and `out`");
        diag_help(c->diags, d, "write `energy 40 in, 300 out kJ/Mtok`; 0 is an energy, too");
    }
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
    static const char *const efforts[] = {"off", "low", "medium", "high", "on", NULL};
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
        endpoints(c, i, endpoint, keys);
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
        m.efforts = word_bits(c, clause, efforts, IMAGE_EFFORT_OFF, "no effort");
    m.efforts |= 1u << IMAGE_EFFORT_DEFAULT;
    if ((clause = tree_clause(c->tree, n, "price")))
        prices(c, &m, clause);
    double quality;
    if ((clause = tree_clause(c->tree, n, "quality")) &&
        check_number(c, clause->first, NULL, "a quality", 0, 1, &quality))
        m.quality = (float)quality;
    if ((clause = tree_clause(c->tree, n, "energy")))
        energy(c, &m, clause);
    if ((clause = tree_clause(c->tree, n, "timeout")))
        check_timeout(c, clause->first, &m.timeout_ms);
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
    for (const struct node *n = c->tree->root->first; n; n = n->next) {
        if (n->kind != NODE_PASS)
            continue;
        struct slice path = check_string(c, n->first);
        bool own =
            slice_eq(path, SLICE("/v1/chat/completions")) || slice_eq(path, SLICE("/v1/models"));
        struct diag *d = NULL;
        if (own)
            d = check_error(c, n->first, "pass", "`%.*s` is answered by Merit itself",
                            SLICE_FMT(path));
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
        struct image_pass pass = {.path = builder_str(&c->build, path),
                                  .line = tree_line(c->tree, n)};
        pass.model = check_find(c, &c->models, n->first->next);
        c->build.place = tree_span(c->tree, n->first);
        *BUILDER_ADD(&c->build, IMAGE_PASSES, struct image_pass) = pass;
    }
}
