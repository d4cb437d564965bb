// Clauses: a keyword and what belongs to it.
#include <assert.h>

#include "policy/parse.h"

bool parse_add_leaf(struct parser *p, struct node *n, enum node_kind kind)
{
    return parse_add(n, parse_leaf(p, kind));
}

bool parse_words(struct parser *p, struct node *n)
{
    do {
        if (!parse_add_leaf(p, n, NODE_WORD))
            return false;
    } while (parse_take(p, TOKEN_COMMA));
    return true;
}

// `key sk-...` and `key "sk-..."` are read, so that the checker can say what to do instead.
static bool key(struct parser *p, struct node *n)
{
    if (!parse_at_word(p, "env") && !parse_at_word(p, "file"))
        return parse_peek(p) == TOKEN_STRING || parse_peek(p) == TOKEN_WORD
                   ? parse_add(n, parse_value(p))
                   : parse_fail(p, "`env NAME` or `file \"path\"`");
    bool env = parse_at_word(p, "env");
    parse_add_leaf(p, n, NODE_WORD);
    if (parse_peek(p) != TOKEN_STRING && parse_peek(p) != TOKEN_WORD)
        return parse_fail(p, env ? "the name of a variable" : "the path of a file in quotes");
    return parse_add(n, parse_value(p));
}

static bool strings(struct parser *p, struct node *n)
{
    do {
        if (!parse_add_leaf(p, n, NODE_STRING))
            return false;
    } while (parse_take(p, TOKEN_COMMA));
    return true;
}

static bool bands(struct parser *p, struct node *n)
{
    do {
        struct node *band = parse_open(p, NODE_BAND);
        if (!band || !parse_add_leaf(p, band, NODE_WORD) ||
            (parse_take_word(p, "above") && !parse_add(band, parse_quantity(p))))
            return false;
        parse_add(n, parse_close(p, band));
    } while (parse_take(p, TOKEN_COMMA));
    return true;
}

static bool zones(struct parser *p, struct node *n)
{
    static const struct parse_clause below[] = {{"below", SHAPE_WORD}};
    bool found;
    if (!parse_one_clause(p, n, below, 1, &found))
        return false;
    return found || parse_words(p, n);
}

static bool given(struct parser *p, struct node *n)
{
    if (!parse_at_word(p, "user") || p->at + 1 >= p->limit ||
        p->tree->tokens.at[p->at + 1].kind != TOKEN_STRING)
        return parse_add(n, parse_guard(p));
    struct node *user = parse_open(p, NODE_CLAUSE);
    p->at++;
    if (!user || !parse_add_leaf(p, user, NODE_STRING) || !parse_add(n, parse_close(p, user)))
        return false;
    return !parse_take(p, TOKEN_COMMA) || parse_add(n, parse_guard(p));
}

bool parse_compare(struct parser *p, struct node *n)
{
    struct node *c = parse_open(p, NODE_COMPARE);
    if (!c || !parse_add_leaf(p, c, NODE_WORD))
        return false;
    if (parse_peek(p) < TOKEN_EQ || parse_peek(p) > TOKEN_GE)
        return parse_fail(p, "a comparison, such as `quality >= 0.8`");
    p->at++;
    return parse_add(c, parse_value(p)) && parse_add(n, parse_close(p, c));
}

static bool body(struct parser *p, struct node *n, enum parse_shape shape)
{
    switch (shape) {
    case SHAPE_WORD:
        return parse_add_leaf(p, n, NODE_WORD);
    case SHAPE_STRING:
        return parse_add_leaf(p, n, NODE_STRING);
    case SHAPE_NUMBER:
        return parse_add_leaf(p, n, NODE_NUMBER);
    case SHAPE_QUANTITY:
        return parse_add(n, parse_quantity(p));
    case SHAPE_VALUE:
        return parse_add(n, parse_value(p));
    case SHAPE_WORDS:
        return parse_words(p, n);
    case SHAPE_PROVIDER:
        return parse_add_leaf(p, n, NODE_WORD) && parse_add_leaf(p, n, NODE_STRING);
    case SHAPE_KEY:
        return key(p, n);
    case SHAPE_BANDS:
        return bands(p, n);
    case SHAPE_ZONES:
        return zones(p, n);
    case SHAPE_STRINGS:
        return strings(p, n);
    case SHAPE_GIVEN:
        return given(p, n);
    case SHAPE_CLAIMS:
        return parse_claims(p, n);
    case SHAPE_COMPARE:
        return parse_compare(p, n);
    case SHAPE_RISK:
        return parse_expect_word(p, "at") && parse_expect_word(p, "risk") &&
               parse_add_leaf(p, n, NODE_NUMBER);
    case SHAPE_CHAIN:
        return parse_add(n, parse_chain(p));
    case SHAPE_GUARD:
        return parse_add(n, parse_guard(p));
    default:
        return parse_pool(p, n, shape);
    }
}

bool parse_one_clause(struct parser *p, struct node *n, const struct parse_clause *table,
                      size_t count, bool *found)
{
    const struct parse_clause *hit = NULL;
    for (size_t i = 0; i < count; i++)
        if (parse_at_word(p, table[i].word))
            hit = &table[i];
    *found = hit != NULL;
    if (!hit)
        return true;
    struct node *c = parse_open(p, NODE_CLAUSE);
    p->at++;
    return c && body(p, c, hit->shape) && parse_add(n, parse_close(p, c));
}

bool parse_clauses(struct parser *p, struct node *n, const struct parse_clause *table, size_t count)
{
    bool found = true;
    while (found)
        if (!parse_one_clause(p, n, table, count, &found))
            return false;
    parse_close(p, n);
    return true;
}

bool parse_no_unknown(struct parser *p, const struct parse_clause *table, size_t count)
{
    struct slice names[16], text = tree_token_text(p->tree, p->at);
    if (parse_peek(p) != TOKEN_WORD || p->tree->tokens.at[p->at].secret ||
        p->tree->tokens.at[p->at].first)
        return true;
    assert(count <= MERIT_COUNT(names));
    for (size_t i = 0; i < count; i++)
        names[i] = slice_cstr(table[i].word);
    int near = diag_nearest(text, names, count);
    if (near < 0)
        return true;
    struct diag *d = parse_error(p, "syntax", "no clause begins with `%.*s`", SLICE_FMT(text));
    diag_help(p->diags, d, "did you mean `%s`?", table[near].word);
    return false;
}
