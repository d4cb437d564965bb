// Values, calls and chains of steps.
#include "policy/parse.h"

static struct node *unit(struct parser *p)
{
    struct node *n = parse_open(p, NODE_UNIT);
    if (!n || !parse_add(n, parse_leaf(p, NODE_WORD)))
        return NULL;
    if (parse_take(p, TOKEN_SLASH) && !parse_add(n, parse_leaf(p, NODE_WORD)))
        return NULL;
    return parse_close(p, n);
}

static struct node *quantity(struct parser *p, bool (*ends)(const struct parser *p))
{
    struct node *n = parse_open(p, NODE_QUANTITY);
    if (!n || !parse_add(n, parse_leaf(p, NODE_NUMBER)))
        return NULL;
    if (parse_peek(p) == TOKEN_WORD && !ends(p) && !parse_add(n, unit(p)))
        return NULL;
    return parse_close(p, n);
}

struct node *parse_quantity(struct parser *p)
{
    return quantity(p, parse_at_clause);
}

struct node *parse_value(struct parser *p)
{
    switch (parse_peek(p)) {
    case TOKEN_NUMBER:
        return parse_quantity(p);
    case TOKEN_STRING:
        return parse_leaf(p, NODE_STRING);
    case TOKEN_WORD:
        return parse_leaf(p, NODE_WORD);
    default:
        parse_fail(p, "a value");
        return NULL;
    }
}

// A word that stands before another value is its tag: `regex "a+"`, `deep high`, `max 1`. What stands behind a number
// is its unit, or the signal that it weighs: `0.5 attack`.
static struct node *alternative(struct parser *p)
{
    struct node *n = parse_open(p, NODE_ALTERNATIVE);
    if (!n)
        return NULL;
    if (parse_peek(p) == TOKEN_WORD) {
        uint32_t at = p->at;
        struct node *call = NULL, *word = parse_leaf(p, NODE_WORD);
        if (parse_peek(p) == TOKEN_OPEN) {
            p->at = at;
            call = parse_call(p);
            return parse_add(n, call) ? parse_close(p, n) : NULL;
        }
        if (!parse_add(n, word))
            return NULL;
        enum token_kind next = parse_peek(p);
        if ((next != TOKEN_WORD && next != TOKEN_STRING && next != TOKEN_NUMBER) ||
            parse_at_word(p, "when"))
            return parse_close(p, n);
    }
    if (parse_peek(p) == TOKEN_NUMBER)
        return parse_add(n, quantity(p, parse_at_keyword)) ? parse_close(p, n) : NULL;
    return parse_add(n, parse_value(p)) ? parse_close(p, n) : NULL;
}

static struct node *arg(struct parser *p)
{
    struct node *n = parse_open(p, NODE_ARG);
    do {
        if (!n || !parse_add(n, alternative(p)))
            return NULL;
    } while (parse_take(p, TOKEN_BAR));
    static const struct parse_clause when[] = {{"when", SHAPE_GUARD}};
    bool found;
    return parse_one_clause(p, n, when, 1, &found) ? parse_close(p, n) : NULL;
}

struct node *parse_call(struct parser *p)
{
    struct node *n = parse_open(p, NODE_CALL);
    if (!n || !parse_add(n, parse_leaf(p, NODE_WORD)))
        return NULL;
    if (!parse_take(p, TOKEN_OPEN))
        return parse_close(p, n);
    if (!parse_enter(p))
        return NULL;
    while (parse_peek(p) != TOKEN_CLOSE) {
        if (!parse_add(n, arg(p)))
            return NULL;
        // A comma behind the last one does no harm in a list of many lines.
        if (!parse_take(p, TOKEN_COMMA) && parse_peek(p) != TOKEN_CLOSE) {
            parse_fail(p, "`,` or `)`");
            return NULL;
        }
    }
    parse_leave(p);
    return parse_expect(p, TOKEN_CLOSE, NULL) ? parse_close(p, n) : NULL;
}

static struct node *step(struct parser *p)
{
    struct node *n = parse_open(p, NODE_STEP);
    if (!n || !parse_enter(p))
        return NULL;
    static const struct parse_clause modifiers[] = {
        {"retry", SHAPE_NUMBER}, {"cap", SHAPE_QUANTITY}, {"hedge", SHAPE_NUMBER}};
    bool ok;
    if (parse_at_word(p, "refuse") && p->at + 1 < p->limit &&
        p->tree->tokens.at[p->at + 1].kind == TOKEN_OPEN) {
        struct diag *d = parse_error(p, "syntax", "`refuse` takes a message, not arguments");
        diag_help(p->diags, d, "write `refuse \"why\"`");
        return NULL;
    }
    if (parse_take_word(p, "refuse"))
        ok = parse_add(n, parse_leaf(p, NODE_STRING));
    else if (parse_take_word(p, "escalate"))
        ok = parse_add(n, step(p));
    else if (parse_peek(p) == TOKEN_WORD)
        ok = parse_add(n, parse_call(p)) && parse_clauses(p, n, modifiers, MERIT_COUNT(modifiers));
    else
        ok = parse_fail(p, "a step, such as `answer(any)` or `refuse \"why\"`");
    parse_leave(p);
    return ok ? parse_close(p, n) : NULL;
}

struct node *parse_chain(struct parser *p)
{
    struct node *n = parse_open(p, NODE_CHAIN);
    do {
        if (!n || !parse_add(n, step(p)))
            return NULL;
    } while (parse_take(p, TOKEN_ARROW));
    return parse_close(p, n);
}
