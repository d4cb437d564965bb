// One function per statement: what stands behind its keyword.
#include "policy/parse.h"

static bool header(struct parser *p, struct node *n)
{
    return parse_add_leaf(p, n, NODE_STRING) && parse_expect_word(p, "version") &&
           parse_add_leaf(p, n, NODE_NUMBER) && parse_close(p, n);
}

static bool lattice(struct parser *p, struct node *n)
{
    if (!parse_add_leaf(p, n, NODE_WORD) || !parse_expect(p, TOKEN_ASSIGN, NULL))
        return false;
    do {
        if (!parse_add_leaf(p, n, NODE_WORD))
            return false;
    } while (parse_take(p, TOKEN_LT));
    parse_close(p, n);
    return true;
}

static const struct parse_clause zone_clauses[] = {
    {"clears", SHAPE_WORDS}, {"pue", SHAPE_NUMBER}, {"carbon", SHAPE_CARBON}};

static bool zone(struct parser *p, struct node *n)
{
    return parse_add_leaf(p, n, NODE_WORD) &&
           parse_clauses(p, n, zone_clauses, MERIT_COUNT(zone_clauses)) &&
           parse_no_unknown(p, zone_clauses, MERIT_COUNT(zone_clauses));
}

static const struct parse_clause sink_clauses[] = {
    {"zone", SHAPE_WORD},        {"clears", SHAPE_WORDS},   {"holds", SHAPE_WORDS},
    {"adds", SHAPE_QUANTITY},    {"price", SHAPE_QUANTITY}, {"energy", SHAPE_QUANTITY},
    {"timeout", SHAPE_QUANTITY}, {"carries", SHAPE_WORD},
};

static bool sink(struct parser *p, struct node *n)
{
    if (!parse_add_leaf(p, n, NODE_WORD))
        return false;
    bool clause = false;
    for (size_t i = 0; i < MERIT_COUNT(sink_clauses); i++)
        clause |= parse_at_word(p, sink_clauses[i].word);
    if (!clause && parse_peek(p) == TOKEN_WORD && !parse_add_leaf(p, n, NODE_WORD))
        return false;
    return parse_clauses(p, n, sink_clauses, MERIT_COUNT(sink_clauses)) &&
           parse_no_unknown(p, sink_clauses, MERIT_COUNT(sink_clauses));
}

static const struct parse_clause model_clauses[] = {
    {"zone", SHAPE_WORD},         {"endpoint", SHAPE_ENDPOINTS},
    {"provider", SHAPE_PROVIDER}, {"as", SHAPE_STRING},
    {"key", SHAPE_KEY},           {"context", SHAPE_QUANTITY},
    {"output", SHAPE_QUANTITY},   {"can", SHAPE_WORDS},
    {"effort", SHAPE_EFFORT},     {"price", SHAPE_PRICE},
    {"quality", SHAPE_QUANTITY},  {"energy", SHAPE_ENERGY},
    {"timeout", SHAPE_QUANTITY},
};

static bool model(struct parser *p, struct node *n)
{
    return parse_add_leaf(p, n, NODE_WORD) &&
           parse_clauses(p, n, model_clauses, MERIT_COUNT(model_clauses)) &&
           parse_no_unknown(p, model_clauses, MERIT_COUNT(model_clauses));
}

static bool alias(struct parser *p, struct node *n)
{
    if (!parse_add_leaf(p, n, parse_peek(p) == TOKEN_STRING ? NODE_STRING : NODE_WORD) ||
        !parse_expect(p, TOKEN_ARROW, NULL))
        return false;
    struct node *target = parse_open(p, NODE_TARGET);
    if (!target)
        return false;
    if (parse_take_word(p, "route") || parse_take_word(p, "model")) {
        if (!parse_add_leaf(p, target, NODE_WORD))
            return false;
    } else if (!parse_take_word(p, "routes")) {
        return parse_fail(p, "`routes`, `route NAME` or `model NAME`");
    }
    return parse_add(n, parse_close(p, target)) && parse_close(p, n);
}

// `at most 0.05 usd, 20 J`, with `at` ahead.
static bool at_most(struct parser *p, struct node *n)
{
    struct node *c = parse_open(p, NODE_CLAUSE);
    if (!c || !parse_expect_word(p, "at") || !parse_expect_word(p, "most"))
        return false;
    do {
        if (!parse_add(c, parse_quantity(p)))
            return false;
    } while (parse_take(p, TOKEN_COMMA));
    return parse_add(n, parse_close(p, c));
}

static bool pass(struct parser *p, struct node *n)
{
    return parse_add_leaf(p, n, NODE_STRING) && parse_expect_word(p, "to") &&
           parse_add_leaf(p, n, NODE_WORD) && (!parse_at_word(p, "at") || at_most(p, n)) &&
           parse_close(p, n);
}

static const struct parse_clause label_clauses[] = {{"label", SHAPE_WORD}};
static const struct parse_clause signal_clauses[] = {
    {"above", SHAPE_QUANTITY}, {"below", SHAPE_QUANTITY}, {"on_error", SHAPE_VALUE},
    {"bands", SHAPE_BANDS},    {"margin", SHAPE_NUMBER},  {"temperature", SHAPE_NUMBER},
    {"otherwise", SHAPE_WORD}};

static bool signal_definition(struct parser *p, struct node *n)
{
    return parse_add_leaf(p, n, NODE_WORD) &&
           parse_clauses(p, n, label_clauses, MERIT_COUNT(label_clauses)) &&
           parse_expect(p, TOKEN_ASSIGN, NULL) && parse_add(n, parse_call(p)) &&
           parse_clauses(p, n, signal_clauses, MERIT_COUNT(signal_clauses)) &&
           parse_no_unknown(p, signal_clauses, MERIT_COUNT(signal_clauses));
}

static const struct parse_clause else_clauses[] = {{"else", SHAPE_CHAIN}};

static bool path(struct parser *p, struct node *n)
{
    if (!parse_add_leaf(p, n, NODE_WORD))
        return false;
    struct node *params = parse_open(p, NODE_PARAMS);
    if (!params)
        return false;
    if (parse_take(p, TOKEN_OPEN)) {
        if (parse_peek(p) != TOKEN_CLOSE && !parse_words(p, params))
            return false;
        if (!parse_expect(p, TOKEN_CLOSE, "`,` or `)`"))
            return false;
    }
    return parse_add(n, parse_close(p, params)) && parse_expect(p, TOKEN_ASSIGN, NULL) &&
           parse_add(n, parse_chain(p)) &&
           parse_clauses(p, n, else_clauses, MERIT_COUNT(else_clauses));
}

static const struct parse_clause route_clauses[] = {
    {"else", SHAPE_CHAIN},      {"minimise", SHAPE_WORD}, {"maximise", SHAPE_WORD},
    {"within", SHAPE_QUANTITY}, {"where", SHAPE_COMPARE}, {"escalate", SHAPE_RISK},
};

static bool choice(struct parser *p, struct node *n)
{
    return parse_expect(p, TOKEN_ARROW, NULL) && parse_add(n, parse_chain(p)) &&
           parse_clauses(p, n, route_clauses, MERIT_COUNT(route_clauses)) &&
           parse_no_unknown(p, route_clauses, MERIT_COUNT(route_clauses));
}

static bool route(struct parser *p, struct node *n)
{
    if (!parse_add_leaf(p, n, NODE_WORD))
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

const struct parse_statement parse_statements[] = {
    {"policy", NODE_HEADER, header, "the end of the statement"},
    {"zone", NODE_ZONE, zone, "`clears`, `pue`, `carbon` or the end of the statement"},
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
    {"lattice", NODE_LATTICE, lattice, "`<` or the end of the statement"},
    {"sink", NODE_SINK, sink, "a clause of the sink, such as `zone local`"},
    {"forbid", NODE_FORBID, parse_forbid, "`,`, `when`, `as` or the end of the statement"},
    {"require", NODE_REQUIRE, parse_require, "`when`, `as` or the end of the statement"},
    {"allow", NODE_ALLOW, parse_allow, "`when`, `as` or the end of the statement"},
    {"budget", NODE_BUDGET, parse_budget,
     "`hard`, `paced`, `,`, `when`, `as` or the end of the statement"},
    {"dispatch", NODE_DISPATCH, parse_dispatch,
     "`second`, `kWh`, `kg`, `weights` or the end of the statement"},
    {"prove", NODE_PROVE, parse_prove, "`,`, `when`, `as` or the end of the statement"},
    {"test", NODE_TEST, parse_test, "`,`, `given`, `expect` or the end of the statement"},
    {"assume", NODE_ASSUME, parse_assume, "the end of the statement"},
};
const size_t parse_statement_count = MERIT_COUNT(parse_statements);
