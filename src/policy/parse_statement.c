// One function per statement: what stands behind its keyword.
#include "policy/parse.h"

static bool add_leaf(struct parser *p, struct node *n, enum node_kind kind)
{
    return parse_add(n, parse_leaf(p, kind));
}

static bool header(struct parser *p, struct node *n)
{
    return add_leaf(p, n, NODE_STRING) && parse_expect_word(p, "version") &&
           add_leaf(p, n, NODE_NUMBER) && parse_close(p, n);
}

// What may stand in a clause.
enum shape {
    SHAPE_WORD,
    SHAPE_STRING,
    SHAPE_NUMBER,
    SHAPE_VALUE,
    SHAPE_QUANTITY,
    SHAPE_WORDS,     // a, b, c
    SHAPE_ENDPOINTS, // "url", "url" or demo
    SHAPE_PROVIDER,  // openai "gpt-5.5"
    SHAPE_KEY,       // env NAME, file "path"
    SHAPE_PRICE,     // 1 in, 2 out usd/Mtok
    SHAPE_ENERGY,    // words and numbers
    SHAPE_COMPARE,   // quality >= 0.6
    SHAPE_RISK,      // at risk 0.1
    SHAPE_CHAIN,
    SHAPE_GUARD,
};

struct clause {
    const char *word;
    enum shape shape;
};

static bool words(struct parser *p, struct node *n)
{
    do {
        if (!add_leaf(p, n, NODE_WORD))
            return false;
    } while (parse_take(p, TOKEN_COMMA));
    return true;
}

static bool endpoints(struct parser *p, struct node *n)
{
    do {
        if (parse_peek(p) == TOKEN_WORD ? !add_leaf(p, n, NODE_WORD) : !add_leaf(p, n, NODE_STRING))
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
    add_leaf(p, n, NODE_WORD);
    if (parse_peek(p) != TOKEN_STRING && parse_peek(p) != TOKEN_WORD)
        return parse_fail(p, env ? "the name of a variable" : "the path of a file in quotes");
    return parse_add(n, parse_value(p));
}

static bool price(struct parser *p, struct node *n)
{
    do {
        struct node *one = parse_open(p, NODE_PRICE);
        if (!one || !add_leaf(p, one, NODE_NUMBER))
            return false;
        if (!parse_at_word(p, "in") && !parse_at_word(p, "out") && !parse_at_word(p, "cached"))
            return parse_fail(p, "`in`, `out` or `cached`");
        add_leaf(p, one, NODE_WORD);
        parse_add(n, parse_close(p, one));
    } while (parse_take(p, TOKEN_COMMA));
    if (parse_peek(p) != TOKEN_WORD || parse_at_keyword(p))
        return true;
    struct node *unit = parse_open(p, NODE_UNIT);
    if (!unit || !add_leaf(p, unit, NODE_WORD) ||
        (parse_take(p, TOKEN_SLASH) && !add_leaf(p, unit, NODE_WORD)))
        return false;
    return parse_add(n, parse_close(p, unit));
}

static bool energy(struct parser *p, struct node *n)
{
    while (parse_peek(p) == TOKEN_NUMBER || (parse_peek(p) == TOKEN_WORD && !parse_at_keyword(p)))
        if (!parse_add(n, parse_leaf(p, parse_peek(p) == TOKEN_NUMBER ? NODE_NUMBER : NODE_WORD)))
            return false;
    return n->count > 0 || parse_fail(p, "what the energy figure is");
}

static bool compare(struct parser *p, struct node *n)
{
    struct node *c = parse_open(p, NODE_COMPARE);
    if (!c || !add_leaf(p, c, NODE_WORD))
        return false;
    if (parse_peek(p) < TOKEN_EQ || parse_peek(p) > TOKEN_GE)
        return parse_fail(p, "a comparison, such as `quality >= 0.8`");
    p->at++;
    return parse_add(c, parse_value(p)) && parse_add(n, parse_close(p, c));
}

static bool body(struct parser *p, struct node *n, enum shape shape)
{
    switch (shape) {
    case SHAPE_WORD:
        return add_leaf(p, n, NODE_WORD);
    case SHAPE_STRING:
        return add_leaf(p, n, NODE_STRING);
    case SHAPE_NUMBER:
    case SHAPE_QUANTITY:
        return parse_add(n, parse_quantity(p));
    case SHAPE_VALUE:
        return parse_add(n, parse_value(p));
    case SHAPE_WORDS:
        return words(p, n);
    case SHAPE_ENDPOINTS:
        return endpoints(p, n);
    case SHAPE_PROVIDER:
        return add_leaf(p, n, NODE_WORD) && add_leaf(p, n, NODE_STRING);
    case SHAPE_KEY:
        return key(p, n);
    case SHAPE_PRICE:
        return price(p, n);
    case SHAPE_ENERGY:
        return energy(p, n);
    case SHAPE_COMPARE:
        return compare(p, n);
    case SHAPE_RISK:
        return parse_expect_word(p, "at") && parse_expect_word(p, "risk") &&
               add_leaf(p, n, NODE_NUMBER);
    case SHAPE_CHAIN:
        return parse_add(n, parse_chain(p));
    case SHAPE_GUARD:
        return parse_add(n, parse_guard(p));
    }
    return false;
}

// Clauses in any order while there are any; a word that begins none is left for the caller to complain about.
static bool clauses(struct parser *p, struct node *n, const struct clause *table, size_t count)
{
    for (;;) {
        const struct clause *found = NULL;
        for (size_t i = 0; i < count; i++)
            if (parse_at_word(p, table[i].word))
                found = &table[i];
        if (!found)
            return parse_close(p, n);
        struct node *c = parse_open(p, NODE_CLAUSE);
        p->at++;
        if (!c || !body(p, c, found->shape))
            return false;
        parse_add(n, parse_close(p, c));
    }
}

// The word that stands where a clause should begin, with the nearest one that would do.
static bool unknown_clause(struct parser *p, const struct clause *table, size_t count)
{
    struct slice names[16], text = tree_token_text(p->tree, p->at);
    if (parse_peek(p) != TOKEN_WORD || p->tree->tokens.at[p->at].secret ||
        p->tree->tokens.at[p->at].first)
        return true;
    for (size_t i = 0; i < count; i++)
        names[i] = slice_cstr(table[i].word);
    int near = diag_nearest(text, names, count);
    if (near < 0)
        return true;
    struct diag *d = parse_error(p, "syntax", "no clause begins with `%.*s`", SLICE_FMT(text));
    diag_help(p->diags, d, "did you mean `%s`?", table[near].word);
    return false;
}

static const struct clause zone_clauses[] = {{"clears", SHAPE_WORD}};

static bool zone(struct parser *p, struct node *n)
{
    return add_leaf(p, n, NODE_WORD) && clauses(p, n, zone_clauses, MERIT_COUNT(zone_clauses));
}

static const struct clause model_clauses[] = {
    {"zone", SHAPE_WORD},         {"endpoint", SHAPE_ENDPOINTS},
    {"provider", SHAPE_PROVIDER}, {"as", SHAPE_STRING},
    {"key", SHAPE_KEY},           {"context", SHAPE_QUANTITY},
    {"output", SHAPE_QUANTITY},   {"can", SHAPE_WORDS},
    {"effort", SHAPE_WORDS},      {"price", SHAPE_PRICE},
    {"quality", SHAPE_NUMBER},    {"energy", SHAPE_ENERGY},
};

static bool model(struct parser *p, struct node *n)
{
    return add_leaf(p, n, NODE_WORD) && clauses(p, n, model_clauses, MERIT_COUNT(model_clauses)) &&
           unknown_clause(p, model_clauses, MERIT_COUNT(model_clauses));
}

static bool alias(struct parser *p, struct node *n)
{
    if (!add_leaf(p, n, parse_peek(p) == TOKEN_STRING ? NODE_STRING : NODE_WORD) ||
        !parse_expect(p, TOKEN_ARROW, NULL))
        return false;
    struct node *target = parse_open(p, NODE_TARGET);
    if (!target)
        return false;
    if (parse_take_word(p, "route") || parse_take_word(p, "model")) {
        if (!add_leaf(p, target, NODE_WORD))
            return false;
    } else if (!parse_take_word(p, "routes")) {
        return parse_fail(p, "`routes`, `route NAME` or `model NAME`");
    }
    return parse_add(n, parse_close(p, target)) && parse_close(p, n);
}

static bool pass(struct parser *p, struct node *n)
{
    return add_leaf(p, n, NODE_STRING) && parse_expect_word(p, "to") && add_leaf(p, n, NODE_WORD) &&
           parse_close(p, n);
}

static const struct clause label_clauses[] = {{"label", SHAPE_WORD}};
static const struct clause signal_clauses[] = {
    {"above", SHAPE_QUANTITY}, {"below", SHAPE_QUANTITY}, {"on_error", SHAPE_VALUE}};

static bool signal_definition(struct parser *p, struct node *n)
{
    return add_leaf(p, n, NODE_WORD) && clauses(p, n, label_clauses, MERIT_COUNT(label_clauses)) &&
           parse_expect(p, TOKEN_ASSIGN, NULL) && parse_add(n, parse_call(p)) &&
           clauses(p, n, signal_clauses, MERIT_COUNT(signal_clauses)) &&
           unknown_clause(p, signal_clauses, MERIT_COUNT(signal_clauses));
}

static const struct clause else_clauses[] = {{"else", SHAPE_CHAIN}};

static bool path(struct parser *p, struct node *n)
{
    if (!add_leaf(p, n, NODE_WORD))
        return false;
    struct node *params = parse_open(p, NODE_PARAMS);
    if (!params)
        return false;
    if (parse_take(p, TOKEN_OPEN)) {
        if (parse_peek(p) != TOKEN_CLOSE && !words(p, params))
            return false;
        if (!parse_expect(p, TOKEN_CLOSE, "`,` or `)`"))
            return false;
    }
    return parse_add(n, parse_close(p, params)) && parse_expect(p, TOKEN_ASSIGN, NULL) &&
           parse_add(n, parse_chain(p)) && clauses(p, n, else_clauses, MERIT_COUNT(else_clauses));
}

static const struct clause route_clauses[] = {
    {"else", SHAPE_CHAIN},      {"minimise", SHAPE_WORD}, {"maximise", SHAPE_WORD},
    {"within", SHAPE_QUANTITY}, {"where", SHAPE_COMPARE}, {"escalate", SHAPE_RISK},
};

static bool choice(struct parser *p, struct node *n)
{
    return parse_expect(p, TOKEN_ARROW, NULL) && parse_add(n, parse_chain(p)) &&
           clauses(p, n, route_clauses, MERIT_COUNT(route_clauses)) &&
           unknown_clause(p, route_clauses, MERIT_COUNT(route_clauses));
}

static bool route(struct parser *p, struct node *n)
{
    if (!add_leaf(p, n, NODE_WORD))
        return false;
    if (parse_take_word(p, "when")) {
        if (!parse_add(n, parse_guard(p)))
            return false;
    } else if (parse_peek(p) != TOKEN_ARROW) {
        return parse_fail(p, "`when`");
    }
    if (parse_peek(p) != TOKEN_ARROW)
        return parse_fail(p, "`and`, `or` or `->`");
    return choice(p, n);
}

// The general shape of what the language will still say: words, texts, numbers and marks, then a guard and a name.
static bool items(struct parser *p, struct node *n)
{
    static const struct clause tail[] = {{"when", SHAPE_GUARD}, {"as", SHAPE_STRING}};
    for (;;) {
        enum token_kind kind = parse_peek(p);
        struct node *item = NULL;
        if (kind == TOKEN_WORD && (parse_at_word(p, "when") || parse_at_word(p, "as")))
            return clauses(p, n, tail, MERIT_COUNT(tail));
        if (kind == TOKEN_END || kind == TOKEN_BAD || kind == TOKEN_CLOSE)
            return parse_close(p, n);
        if (kind == TOKEN_OPEN) {
            item = parse_open(p, NODE_GROUP);
            p->at++;
            if (!item || !parse_enter(p) || !items(p, item) || !parse_expect(p, TOKEN_CLOSE, NULL))
                return false;
            parse_leave(p);
        } else if (kind == TOKEN_WORD || kind == TOKEN_STRING || kind == TOKEN_NUMBER) {
            item = parse_leaf(p, kind == TOKEN_WORD     ? NODE_WORD
                                 : kind == TOKEN_STRING ? NODE_STRING
                                                        : NODE_NUMBER);
        } else {
            item = parse_open(p, NODE_MARK);
            p->at++;
        }
        if (!item || !parse_add(n, parse_close(p, item)))
            return false;
    }
}

static bool later(struct parser *p, struct node *n)
{
    if (parse_peek(p) == TOKEN_END || parse_at_word(p, "when") || parse_at_word(p, "as"))
        return parse_fail(p, "what it is about");
    return items(p, n);
}

const struct parse_statement parse_statements[] = {
    {"policy", NODE_HEADER, header, "the end of the statement"},
    {"zone", NODE_ZONE, zone, "`clears` or the end of the statement"},
    {"model", NODE_MODEL, model, "a clause of the model, such as `context 32k tok`"},
    {"alias", NODE_ALIAS, alias, "the end of the statement"},
    {"pass", NODE_PASS, pass, "the end of the statement"},
    {"signal", NODE_SIGNAL, signal_definition,
     "`above`, `below`, `on_error` or the end of the statement"},
    {"path", NODE_PATH, path, "`->`, `else` or the end of the statement"},
    {"route", NODE_ROUTE, route,
     "`else`, `minimise`, `maximise`, `within`, `where` or the end of the statement"},
    {"otherwise", NODE_OTHERWISE, choice,
     "`else`, `minimise`, `maximise`, `within`, `where` or the end of the statement"},
    {"lattice", NODE_LATER, later, "the end of the statement"},
    {"sink", NODE_LATER, later, "the end of the statement"},
    {"forbid", NODE_LATER, later, "the end of the statement"},
    {"require", NODE_LATER, later, "the end of the statement"},
    {"allow", NODE_LATER, later, "the end of the statement"},
    {"budget", NODE_LATER, later, "the end of the statement"},
    {"prove", NODE_LATER, later, "the end of the statement"},
    {"test", NODE_LATER, later, "the end of the statement"},
    {"assume", NODE_LATER, later, "the end of the statement"},
};
const size_t parse_statement_count = MERIT_COUNT(parse_statements);
