// Constraints, proofs, tests and assumptions.
#include "policy/parse.h"

static const struct parse_clause tail[] = {{"when", SHAPE_GUARD}, {"as", SHAPE_STRING}};

static bool rule_tail(struct parser *p, struct node *n)
{
    return parse_clauses(p, n, tail, MERIT_COUNT(tail)) &&
           parse_no_unknown(p, tail, MERIT_COUNT(tail));
}

bool parse_forbid(struct parser *p, struct node *n)
{
    static const struct parse_clause targets[] = {
        {"zone", SHAPE_ZONES},   {"model", SHAPE_WORDS}, {"endpoint", SHAPE_STRINGS},
        {"effort", SHAPE_WORDS}, {"step", SHAPE_WORDS},  {"sink", SHAPE_WORDS}};
    bool found;
    if (!parse_one_clause(p, n, targets, MERIT_COUNT(targets), &found))
        return false;
    if (!found)
        return parse_no_unknown(p, targets, MERIT_COUNT(targets)) &&
               parse_fail(p, "`zone`, `model`, `endpoint`, `effort`, `step` or `sink`");
    return rule_tail(p, n);
}

bool parse_require(struct parser *p, struct node *n)
{
    return parse_add(n, parse_call(p)) && rule_tail(p, n);
}

bool parse_allow(struct parser *p, struct node *n)
{
    return parse_add_leaf(p, n, NODE_WORD) &&
           (parse_peek(p) != TOKEN_NUMBER || parse_add_leaf(p, n, NODE_NUMBER)) && rule_tail(p, n);
}

bool parse_budget(struct parser *p, struct node *n)
{
    static const struct parse_clause per[] = {{"per", SHAPE_WORD}};
    bool found;
    if (!parse_one_clause(p, n, per, 1, &found))
        return false;
    if (!found && parse_peek(p) == TOKEN_WORD)
        return parse_fail(p, "a limit, such as `0.05 usd/request` or `per tenant 5 usd/day`");
    do {
        struct node *limit = parse_open(p, NODE_LIMIT);
        if (!limit || !parse_add(limit, parse_quantity(p)))
            return false;
        bool hard = parse_at_word(p, "hard");
        if ((hard || parse_at_word(p, "paced")) && !parse_add_leaf(p, limit, NODE_WORD))
            return false;
        bool word = parse_at_word(p, "cheaper") || parse_at_word(p, "strict");
        if (hard && word && !parse_add_leaf(p, limit, NODE_WORD))
            return false;
        parse_add(n, parse_close(p, limit));
    } while (parse_take(p, TOKEN_COMMA));
    return rule_tail(p, n);
}

static const char *const claim_words[] = {"never",  "route",    "every", "zone", "model", "passes",
                                          "refuse", "feasible", "not",   "no",   "agree"};

static bool claim_follows(const struct parser *p, uint32_t ahead)
{
    for (size_t i = 0; i < MERIT_COUNT(claim_words); i++)
        if (p->at + ahead < p->limit &&
            slice_eq_cstr(tree_token_text(p->tree, p->at + ahead), claim_words[i]))
            return true;
    return false;
}

// `a, b`, up to a comma behind which another claim begins.
static bool claim_words_list(struct parser *p, struct node *n)
{
    do {
        if (!parse_add_leaf(p, n, NODE_WORD))
            return false;
    } while (parse_peek(p) == TOKEN_COMMA && !claim_follows(p, 1) && parse_take(p, TOKEN_COMMA));
    return true;
}

// `costs at most 0.25 usd, 60 s`, with `costs` ahead.
static bool costs(struct parser *p, struct node *n)
{
    struct node *c = parse_open(p, NODE_CLAUSE);
    if (!c || !parse_expect_word(p, "costs") || !parse_expect_word(p, "at") ||
        !parse_expect_word(p, "most"))
        return false;
    do {
        if (!parse_add(c, parse_quantity(p)))
            return false;
    } while (parse_peek(p) == TOKEN_COMMA && !claim_follows(p, 1) && parse_take(p, TOKEN_COMMA));
    return parse_add(n, parse_close(p, c));
}

// `reaches zone cloud`.
static bool reaches(struct parser *p, struct node *n)
{
    static const struct parse_clause places[] = {
        {"zone", SHAPE_WORD}, {"model", SHAPE_WORD}, {"sink", SHAPE_WORD}};
    bool found;
    struct node *c = parse_open(p, NODE_CLAUSE);
    if (!c || !parse_expect_word(p, "reaches") ||
        !parse_one_clause(p, c, places, MERIT_COUNT(places), &found))
        return false;
    if (!found)
        return parse_fail(p, "`zone`, `model` or `sink`");
    return parse_add(n, parse_close(p, c));
}

static struct node *claim(struct parser *p);

static bool claim_body(struct parser *p, struct node *n)
{
    if (parse_at_word(p, "agree"))
        return parse_compare(p, n);
    if (parse_take_word(p, "never"))
        return parse_add(n, parse_guard(p));
    if (parse_take_word(p, "every"))
        return parse_expect_word(p, "path") && costs(p, n);
    if (parse_take_word(p, "route"))
        return parse_add_leaf(p, n, NODE_WORD) && (!parse_at_word(p, "costs") || costs(p, n));
    if (parse_take_word(p, "zone") || parse_take_word(p, "model"))
        return claim_words_list(p, n);
    if (parse_take_word(p, "passes"))
        return parse_add(n, parse_call(p));
    if (parse_take_word(p, "refuse") || parse_take_word(p, "feasible"))
        return true;
    if (parse_take_word(p, "no"))
        return parse_add_leaf(p, n, NODE_WORD) && reaches(p, n);
    return parse_fail(p, "what must hold: `never`, `no LEVEL reaches`, `every path costs`, "
                         "`route`, `zone`, `model`, `passes`, `refuse`, `feasible` or `not`");
}

static struct node *claim(struct parser *p)
{
    struct node *n = parse_open(p, NODE_CLAIM);
    if (!n || !parse_enter(p))
        return NULL;
    bool ok = parse_take_word(p, "not") ? parse_add(n, claim(p)) : claim_body(p, n);
    parse_leave(p);
    return ok ? parse_close(p, n) : NULL;
}

bool parse_claims(struct parser *p, struct node *n)
{
    do {
        if (!parse_add(n, claim(p)))
            return false;
    } while (parse_take(p, TOKEN_COMMA));
    return true;
}

bool parse_prove(struct parser *p, struct node *n)
{
    return parse_claims(p, n) && rule_tail(p, n);
}

bool parse_test(struct parser *p, struct node *n)
{
    static const struct parse_clause corpus[] = {{"corpus", SHAPE_STRING}};
    static const struct parse_clause clauses[] = {{"given", SHAPE_GIVEN}, {"expect", SHAPE_CLAIMS}};
    bool found;
    if (!parse_one_clause(p, n, corpus, 1, &found) ||
        (!found && !parse_add_leaf(p, n, NODE_STRING)))
        return false;
    return parse_clauses(p, n, clauses, MERIT_COUNT(clauses)) &&
           parse_no_unknown(p, clauses, MERIT_COUNT(clauses));
}

bool parse_assume(struct parser *p, struct node *n)
{
    if (!parse_add_leaf(p, n, NODE_WORD))
        return false;
    if (parse_peek(p) == TOKEN_WORD && !parse_add_leaf(p, n, NODE_WORD))
        return false;
    if (!parse_add_leaf(p, n, NODE_STRING))
        return false;
    if (n->count == 2 && parse_peek(p) == TOKEN_STRING && !parse_add_leaf(p, n, NODE_STRING))
        return false;
    parse_close(p, n);
    return true;
}
