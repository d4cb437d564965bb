// What the file states about itself: proofs, tests, and findings that its owner lives with.
#include "policy/check.h"
#include "policy/policy.h"

static bool is_claim(struct checker *c, const struct node *n, const char *word)
{
    return tree_is(c->tree, n, word);
}

static void add_claim(struct checker *c, const struct image_claim *claim, const struct node *n)
{
    c->build.place = tree_span(c->tree, n);
    *BUILDER_ADD(&c->build, IMAGE_CLAIMS, struct image_claim) = *claim;
}

static struct image_claim blank_claim(struct checker *c, const struct node *n,
                                      enum image_claim_kind kind)
{
    struct image_claim claim;
    struct span span = tree_span(c->tree, n);
    memset(&claim, 0, sizeof claim);
    claim.kind = kind;
    claim.index = claim.lattice = IMAGE_NONE;
    claim.begin = span.begin;
    claim.end = span.end;
    return claim;
}

static int32_t find_route(struct checker *c, const struct node *word)
{
    if (tree_is(c->tree, word, "otherwise"))
        return (int32_t)c->routes.count;
    return check_find(c, &c->routes, word);
}

// `costs at most 0.25 usd, 60 s`: one claim each.
static void costs(struct checker *c, const struct node *n, const struct node *clause, int32_t route)
{
    struct image_claim claim = blank_claim(c, n, IMAGE_CLAIM_COSTS);
    uint32_t seen = 0;
    claim.index = route;
    for (const struct node *q = clause->first; q; q = q->next) {
        struct slice under;
        if (!check_any_amount(c, q, "a cost", &claim.unit, &under, &claim.limit))
            continue;
        if (under.len) {
            struct diag *d = check_error(c, q, "unit", "what a path costs is for one request");
            diag_help(c->diags, d, "leave `/%.*s` out", SLICE_FMT(under));
        } else if (claim.unit == IMAGE_UNIT_REQUESTS) {
            check_error(c, q, "unit", "every path is of one request");
        } else if (seen & 1u << claim.unit) {
            check_error(c, q, "duplicate", "this unit is bounded already");
        } else {
            seen |= 1u << claim.unit;
            add_claim(c, &claim, n);
        }
    }
}

static void places(struct checker *c, const struct node *n, enum image_claim_kind kind,
                   bool negated)
{
    struct image_claim claim = blank_claim(c, n, kind);
    claim.negated = negated;
    claim.list.at = builder_count(&c->build, IMAGE_INDEXES);
    for (const struct node *word = n->first; word; word = word->next) {
        int32_t i = check_find(c, kind == IMAGE_CLAIM_ZONE ? &c->zones : &c->models, word);
        if (i < 0)
            continue;
        c->build.place = tree_span(c->tree, word);
        BUILDER_ADD(&c->build, IMAGE_INDEXES, struct image_index)->index = i;
        claim.list.count++;
    }
    add_claim(c, &claim, n);
}

// `no phi reaches zone cloud`.
static void reaches(struct checker *c, const struct node *n)
{
    static const struct {
        const char *word;
        enum image_target target;
    } table[] = {
        {"zone", IMAGE_FORBID_ZONE}, {"model", IMAGE_FORBID_MODEL}, {"sink", IMAGE_FORBID_SINK}};
    struct image_claim claim = blank_claim(c, n, IMAGE_CLAIM_REACHES);
    const struct node *place = n->last->first;
    struct level l;
    bool known = check_level(c, n->first, &l);
    for (size_t i = 0; i < MERIT_COUNT(table); i++)
        if (tree_is(c->tree, place, table[i].word))
            claim.target = table[i].target;
    struct names *in = claim.target == IMAGE_FORBID_ZONE    ? &c->zones
                       : claim.target == IMAGE_FORBID_MODEL ? &c->models
                                                            : &c->sinks;
    claim.index = check_find(c, in, place->first);
    claim.negated = true;
    claim.lattice = (int32_t)l.lattice;
    claim.level = l.level;
    if (known && l.level == 0) {
        struct diag *d = check_error(c, n->first, "claim",
                                     "everything is at least at the lowest "
                                     "level");
        diag_help(c->diags, d, "name a level above it");
    }
    if (known && claim.index >= 0)
        add_claim(c, &claim, n);
}

static void claim(struct checker *c, const struct node *n, bool negated)
{
    const struct node *first = n->first;
    const struct node *cost = first && first->next ? first->next : first;
    bool bounded = is_claim(c, n, "every") || (is_claim(c, n, "route") && first->next);
    if (is_claim(c, n, "not")) {
        claim(c, first, !negated);
        return;
    }
    if (negated && (bounded || is_claim(c, n, "no") || is_claim(c, n, "never"))) {
        struct diag *d = check_error(c, n, "claim", "`not` means nothing before this");
        diag_help(c->diags, d, "state what holds for every request");
    } else if (bounded) {
        int32_t route = is_claim(c, n, "route") ? find_route(c, first) : IMAGE_NONE;
        if (!is_claim(c, n, "route") || route >= 0)
            costs(c, n, cost, route);
    } else if (is_claim(c, n, "route")) {
        struct image_claim r = blank_claim(c, n, IMAGE_CLAIM_ROUTE);
        r.index = find_route(c, first);
        r.negated = negated;
        if (r.index >= 0)
            add_claim(c, &r, n);
    } else if (is_claim(c, n, "zone")) {
        places(c, n, IMAGE_CLAIM_ZONE, negated);
    } else if (is_claim(c, n, "model")) {
        places(c, n, IMAGE_CLAIM_MODEL, negated);
    } else if (is_claim(c, n, "passes")) {
        struct image_claim p = blank_claim(c, n, IMAGE_CLAIM_PASSES);
        p.negated = negated;
        if (check_passing(c, first, &p.step, &p.index))
            add_claim(c, &p, n);
    } else if (is_claim(c, n, "no")) {
        reaches(c, n);
    } else if (is_claim(c, n, "never")) {
        struct diag *d = check_error(c, n, "claim", "`never` stands alone behind `prove`");
        diag_help(c->diags, d, "write `prove never GUARD`");
    } else if (is_claim(c, n, "agree")) {
        struct diag *d = check_error(c, n, "claim", "`agree` is what a corpus does");
        diag_help(c->diags, d, "write `test corpus \"cases.jsonl\" expect agree >= 0.98`");
    } else {
        struct image_claim p =
            blank_claim(c, n, is_claim(c, n, "refuse") ? IMAGE_CLAIM_REFUSE : IMAGE_CLAIM_FEASIBLE);
        p.negated = negated;
        add_claim(c, &p, n);
    }
}

static void add_theorem(struct checker *c, struct image_theorem *t, uint32_t claims,
                        const struct node *n)
{
    struct span span = tree_span(c->tree, n);
    t->claims = (struct image_list){claims, builder_count(&c->build, IMAGE_CLAIMS) - claims};
    t->line = tree_line(c->tree, n);
    t->begin = span.begin;
    t->end = span.end;
    c->build.place = span;
    *BUILDER_ADD(&c->build, IMAGE_THEOREMS, struct image_theorem) = *t;
}

static struct image_theorem blank_theorem(struct checker *c)
{
    struct image_theorem t;
    memset(&t, 0, sizeof t);
    t.guard.at = builder_count(&c->build, IMAGE_NODES);
    return t;
}

static void prove(struct checker *c, const struct node *n)
{
    const struct node *when = tree_clause(c->tree, n, "when"), *as = tree_clause(c->tree, n, "as");
    struct image_theorem t = blank_theorem(c);
    uint32_t claims = builder_count(&c->build, IMAGE_CLAIMS);
    check_clauses_once(c, n);
    t.name = builder_str(&c->build, as ? check_string(c, as->first) : check_text(c, n, n->end));
    if (is_claim(c, n->first, "never") && !(n->first->next && n->first->next->kind == NODE_CLAIM)) {
        struct image_claim never = blank_claim(c, n->first, IMAGE_CLAIM_NEVER);
        t.guard = check_both(c, n->first->first, when ? when->first : NULL);
        add_claim(c, &never, n->first);
    } else {
        if (when)
            t.guard = check_both(c, when->first, NULL);
        for (const struct node *at = n->first; at; at = at->next)
            if (at->kind == NODE_CLAIM)
                claim(c, at, false);
    }
    add_theorem(c, &t, claims, n);
}

static void corpus_test(struct checker *c, const struct node *n, const struct node *expect,
                        struct image_theorem *t)
{
    const struct node *given = tree_clause(c->tree, n, "given"),
                      *agree = expect ? expect->first : NULL;
    t->corpus = t->name = builder_str(&c->build, check_string(c, n->first->first));
    if (t->corpus.len == 0)
        check_error(c, n->first, "test", "the path of the corpus is empty");
    if (given)
        diag_help(c->diags, check_error(c, given, "test", "a corpus gives the requests itself"),
                  "leave `given` out");
    if (!agree || agree->next || !is_claim(c, agree, "agree") ||
        tree_operator(c->tree, agree->first) != TOKEN_GE) {
        struct diag *d = check_error(c, agree ? agree : n, "test", "a corpus is expected to agree");
        diag_help(c->diags, d, "write `expect agree >= 0.98`");
        return;
    }
    check_number(c, agree->first->last, NULL, "a share", 0, 1, &t->agree_min);
}

static void test(struct checker *c, const struct node *n)
{
    const struct node *given = tree_clause(c->tree, n, "given"),
                      *expect = tree_clause(c->tree, n, "expect");
    struct image_theorem t = blank_theorem(c);
    uint32_t claims = builder_count(&c->build, IMAGE_CLAIMS);
    t.is_test = true;
    check_clauses_once(c, n);
    if (n->first->kind == NODE_CLAUSE) {
        corpus_test(c, n, expect, &t);
        add_theorem(c, &t, claims, n);
        return;
    }
    struct slice name = check_string(c, n->first);
    if (name.len == 0 || name.len > POLICY_NAME_MAX)
        check_error(c, n->first, "limit", "a name has between 1 and %d bytes", POLICY_NAME_MAX);
    if (map_get(&c->tests.map, name)) {
        int32_t first = (int32_t)((uintptr_t)map_get(&c->tests.map, name) - 1);
        struct diag *d = check_error(c, n->first, "duplicate", "two tests are called so");
        diag_also(c->diags, d, tree_span(c->tree, c->tests.nodes[first]->first), "first here");
    } else {
        check_name_add(c, &c->tests, name, n);
    }
    t.name = builder_str(&c->build, name);
    const struct node *user = given ? given->first : NULL, *guard = user;
    if (user && user->kind == NODE_CLAUSE) {
        t.user = builder_str(&c->build, check_string(c, user->first));
        if (t.user.len == 0)
            check_error(c, user, "test", "the user says nothing");
        guard = user->next;
    }
    if (guard)
        t.guard = check_both(c, guard, NULL);
    if (!expect) {
        struct diag *d = check_error(c, n->first, "missing", "the test expects nothing");
        diag_help(c->diags, d, "add `expect route NAME`, `expect zone NAME` or `expect refuse`");
    }
    for (const struct node *at = expect ? expect->first : NULL; at; at = at->next)
        claim(c, at, false);
    add_theorem(c, &t, claims, n);
}

// Findings that a reason can be given for.
static const char *const codes[] = {"not-proved", "shadowed", "unenforced", "infeasible", NULL};

static bool is_named(struct checker *c, struct slice name)
{
    struct names *const kinds[] = {&c->routes, &c->paths,    &c->signals, &c->models, &c->zones,
                                   &c->sinks,  &c->lattices, &c->aliases, &c->tests};
    for (size_t i = 0; i < MERIT_COUNT(kinds); i++)
        if (map_get(&kinds[i]->map, name))
            return true;
    for (uint32_t i = 0; i < builder_count(&c->build, IMAGE_CONSTRAINTS); i++)
        if (slice_eq(
                builder_text(
                    &c->build,
                    BUILDER_AT(&c->build, IMAGE_CONSTRAINTS, struct image_constraint, i)->name),
                name))
            return true;
    for (uint32_t i = 0; i < builder_count(&c->build, IMAGE_THEOREMS); i++)
        if (slice_eq(
                builder_text(&c->build,
                             BUILDER_AT(&c->build, IMAGE_THEOREMS, struct image_theorem, i)->name),
                name))
            return true;
    return slice_eq(name, SLICE("otherwise"));
}

static void assume(struct checker *c, const struct node *n)
{
    const struct node *code = n->first, *about = code->next != n->last ? code->next : NULL;
    struct image_assume a;
    memset(&a, 0, sizeof a);
    struct slice text = tree_text(c->tree, code), name = SLICE_EMPTY;
    bool known = false;
    for (size_t i = 0; codes[i]; i++)
        known |= slice_eq_cstr(text, codes[i]);
    if (!known)
        check_nearest_word(
            c, check_error(c, code, "assume", "`%.*s` cannot be assumed", SLICE_FMT(text)), text,
            codes,
            "only `not-proved`, `shadowed`, `unenforced` and `infeasible` can; what leaks, lacks "
            "an obligation or has no bound is mended");
    if (about) {
        name = about->kind == NODE_STRING ? check_string(c, about) : tree_text(c->tree, about);
        if (!is_named(c, name)) {
            struct diag *d = check_error(c, about, "unknown-name", "nothing is called `%.*s`",
                                         SLICE_FMT(slice_head(name, POLICY_NAME_MAX)));
            check_nearest(c, d, name, c->routes.at, c->routes.count);
        }
    }
    struct slice reason = check_string(c, n->last);
    if (reason.len == 0)
        diag_help(c->diags, check_error(c, n->last, "assume", "the reason is empty"),
                  "every explanation repeats it: say why this is accepted");
    for (uint32_t i = 0; i < builder_count(&c->build, IMAGE_ASSUMES); i++) {
        const struct image_assume *b = BUILDER_AT(&c->build, IMAGE_ASSUMES, struct image_assume, i);
        if (slice_eq(builder_text(&c->build, b->code), text) &&
            slice_eq(builder_text(&c->build, b->name), name)) {
            check_error(c, n, "duplicate", "this is assumed already");
            break;
        }
    }
    a.code = builder_str(&c->build, text);
    a.name = builder_str(&c->build, name);
    a.reason = builder_str(&c->build, reason);
    a.line = tree_line(c->tree, n);
    c->build.place = tree_span(c->tree, n);
    *BUILDER_ADD(&c->build, IMAGE_ASSUMES, struct image_assume) = a;
}

void check_theorems(struct checker *c)
{
    for (const struct node *n = c->tree->root->first; n && !c->nomem; n = n->next)
        if (n->kind == NODE_PROVE)
            prove(c, n);
        else if (n->kind == NODE_TEST)
            test(c, n);
    // What is assumed may be about a proof that stands behind it.
    for (const struct node *n = c->tree->root->first; n && !c->nomem; n = n->next)
        if (n->kind == NODE_ASSUME)
            assume(c, n);
}
