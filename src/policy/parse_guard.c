// Guards: `or` binds weakest, then `and`, then `not`. A run of the same operator is one node of
// many children, so that a guard of ten thousand terms is wide, not deep.
#include "policy/parse.h"

static struct node *disjunction(struct parser *p);

static bool is_comparison(enum token_kind k)
{
    return k >= TOKEN_EQ && k <= TOKEN_GE;
}

static struct node *membership(struct parser *p, struct node *n)
{
    n->kind = NODE_IN;
    n->negated = parse_take_word(p, "not");
    if (!parse_expect_word(p, "in") || !parse_expect(p, TOKEN_OPEN, NULL))
        return NULL;
    do {
        if (parse_peek(p) == TOKEN_CLOSE && n->count > 1)
            break;
        if (!parse_add(n, parse_value(p)))
            return NULL;
    } while (parse_take(p, TOKEN_COMMA));
    return parse_expect(p, TOKEN_CLOSE, "`,` or `)`") ? parse_close(p, n) : NULL;
}

static struct node *comparison(struct parser *p)
{
    struct node *n = parse_open(p, NODE_TRUE);
    if (!n)
        return NULL;
    if (parse_peek(p) == TOKEN_NUMBER || parse_peek(p) == TOKEN_STRING) {
        struct diag *d = parse_error(p, "syntax", "a comparison begins with the name of a signal");
        diag_help(p->diags, d, "write the signal first, as in `depth >= 3`");
        return NULL;
    }
    if (parse_peek(p) == TOKEN_WORD && parse_at_keyword(p) && !parse_at_word(p, "true") &&
        !parse_at_word(p, "false")) {
        parse_fail(p, "the name of a signal");
        return NULL;
    }
    if (!parse_add(n, parse_leaf(p, NODE_WORD)))
        return NULL;
    if (parse_peek(p) == TOKEN_ASSIGN) {
        struct diag *d = parse_error(p, "syntax", "`=` defines, it does not compare");
        diag_help(p->diags, d, "write `==`");
        return NULL;
    }
    if (parse_at_word(p, "in") || parse_at_word(p, "not"))
        return membership(p, n);
    if (!is_comparison(parse_peek(p)))
        return parse_close(p, n);
    n->kind = NODE_COMPARE;
    p->at++;
    if (parse_peek(p) == TOKEN_WORD && parse_at_keyword(p) && !parse_at_word(p, "true") &&
        !parse_at_word(p, "false")) {
        parse_fail(p, "a value");
        return NULL;
    }
    if (!parse_add(n, parse_value(p)))
        return NULL;
    if (is_comparison(parse_peek(p))) {
        struct diag *d = parse_error(p, "syntax", "comparisons do not chain");
        diag_help(p->diags, d, "write `a > 1 and a < 5`");
        return NULL;
    }
    return parse_close(p, n);
}

static struct node *unary(struct parser *p)
{
    if (!parse_at_word(p, "not") && parse_peek(p) != TOKEN_OPEN)
        return comparison(p);
    struct node *n = parse_open(p, NODE_PAREN);
    if (!n || !parse_enter(p))
        return NULL;
    if (parse_take_word(p, "not")) {
        n->kind = NODE_NOT;
        if (!parse_add(n, unary(p)))
            return NULL;
    } else {
        p->at++;
        if (!parse_add(n, disjunction(p)) || !parse_expect(p, TOKEN_CLOSE, "`and`, `or` or `)`"))
            return NULL;
    }
    parse_leave(p);
    return parse_close(p, n);
}

static struct node *chain_of(struct parser *p, enum node_kind kind, const char *word,
                             struct node *(*part)(struct parser *))
{
    struct node *n = parse_open(p, kind), *one = part(p);
    if (!n || !one)
        return NULL;
    if (!parse_at_word(p, word))
        return one;
    parse_add(n, one);
    while (parse_take_word(p, word))
        if (!parse_add(n, part(p)))
            return NULL;
    return parse_close(p, n);
}

static struct node *conjunction(struct parser *p)
{
    return chain_of(p, NODE_AND, "and", unary);
}

static struct node *disjunction(struct parser *p)
{
    return chain_of(p, NODE_OR, "or", conjunction);
}

struct node *parse_guard(struct parser *p)
{
    return disjunction(p);
}
