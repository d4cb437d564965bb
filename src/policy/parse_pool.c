// What zones and models say of places, prices and energy, and how is chosen among places.
#include "policy/parse.h"

static struct node *clause_of_string(struct parser *p)
{
    struct node *c = parse_open(p, NODE_CLAUSE);
    p->at++;
    return c && parse_add_leaf(p, c, NODE_STRING) ? parse_close(p, c) : NULL;
}

static const struct parse_clause endpoint_clauses[] = {
    {"engine", SHAPE_WORD},   {"weight", SHAPE_NUMBER},    {"slots", SHAPE_NUMBER},
    {"rate", SHAPE_QUANTITY}, {"region", SHAPE_WORD},      {"serves", SHAPE_RANGE},
    {"meter", SHAPE_METER},   {"maintenance", SHAPE_NONE}, {"metrics", SHAPE_STRING},
    {"health", SHAPE_STRING},
};

static bool endpoints(struct parser *p, struct node *n)
{
    do {
        struct node *e = parse_open(p, NODE_ENDPOINT);
        if (!e)
            return false;
        bool found = parse_at_word(p, "dns") || parse_at_word(p, "srv") || parse_at_word(p, "file");
        if (found ? !parse_add(e, clause_of_string(p))
                  : !parse_add_leaf(p, e, parse_peek(p) == TOKEN_WORD ? NODE_WORD : NODE_STRING))
            return false;
        if (!parse_clauses(p, e, endpoint_clauses, MERIT_COUNT(endpoint_clauses)) ||
            !parse_add(n, parse_close(p, e)))
            return false;
    } while (parse_take(p, TOKEN_COMMA));
    return true;
}

// A unit where one may stand.
static bool unit(struct parser *p, struct node *n)
{
    if (parse_peek(p) != TOKEN_WORD || parse_at_clause(p))
        return true;
    struct node *u = parse_open(p, NODE_UNIT);
    if (!u || !parse_add_leaf(p, u, NODE_WORD) ||
        (parse_take(p, TOKEN_SLASH) && !parse_add_leaf(p, u, NODE_WORD)))
        return false;
    return parse_add(n, parse_close(p, u));
}

static bool at_price_word(const struct parser *p)
{
    return parse_at_word(p, "in") || parse_at_word(p, "out") || parse_at_word(p, "cached") ||
           parse_at_word(p, "written");
}

// `0.03 in`, perhaps with its unit, with the number ahead. Without such a word it is a quantity, of a price.
static bool rate(struct parser *p, struct node *n)
{
    uint32_t at = p->at;
    struct node *one = parse_open(p, NODE_PRICE);
    if (!one || !parse_add_leaf(p, one, NODE_NUMBER))
        return false;
    if (!at_price_word(p)) {
        p->at = at;
        return parse_add(n, parse_quantity(p));
    }
    return parse_add_leaf(p, one, NODE_WORD) && unit(p, one) && parse_add(n, parse_close(p, one));
}

static bool gpu_or_batch(struct parser *p, struct node *n)
{
    bool gpu = parse_at_word(p, "gpu");
    struct node *c = parse_open(p, NODE_CLAUSE);
    p->at++;
    if (!c || (gpu ? !parse_add(c, parse_quantity(p))
                   : !parse_add_leaf(p, c, NODE_NUMBER) || !parse_expect(p, TOKEN_PERCENT, NULL)))
        return false;
    return parse_add(n, parse_close(p, c));
}

static bool since(struct parser *p, struct node *n)
{
    while (parse_at_word(p, "since") || parse_at_word(p, "from")) {
        bool date = parse_at_word(p, "since");
        struct node *c = parse_open(p, NODE_CLAUSE);
        p->at++;
        if (date && parse_peek(p) != TOKEN_DATE)
            return parse_fail(p, "a date, such as 2026-11-21");
        if (!c || !parse_add_leaf(p, c, date ? NODE_DATE : NODE_STRING) ||
            !parse_add(n, parse_close(p, c)))
            return false;
    }
    return true;
}

static bool price(struct parser *p, struct node *n)
{
    if (parse_at_word(p, "listed"))
        return parse_add_leaf(p, n, NODE_WORD);
    do {
        if (parse_at_word(p, "gpu") || parse_at_word(p, "batch")) {
            if (!gpu_or_batch(p, n))
                return false;
            continue;
        }
        uint32_t at = p->at;
        if (!rate(p, n))
            return false;
        // A number that is neither of tokens nor of something else.
        if (n->last->kind == NODE_QUANTITY && n->last->count == 1) {
            p->at = at + 1;
            return parse_fail(p, "`in`, `out`, `cached`, `written` or `usd/request`");
        }
    } while (parse_take(p, TOKEN_COMMA));
    return since(p, n);
}

static bool energy(struct parser *p, struct node *n)
{
    uint32_t at = p->at;
    if (parse_take(p, TOKEN_NUMBER) && at_price_word(p)) {
        p->at = at;
        do {
            if (!rate(p, n))
                return false;
            if (n->last->kind != NODE_PRICE)
                return parse_fail(p, "`in` or `out`");
        } while (parse_take(p, TOKEN_COMMA));
        return true;
    }
    p->at = at;
    if (parse_peek(p) == TOKEN_NUMBER && !parse_add_leaf(p, n, NODE_NUMBER))
        return false;
    if (parse_peek(p) != TOKEN_WORD || parse_at_clause(p))
        return parse_fail(p, n->count ? "`in`, `out` or the name of a machine"
                                      : "`40 in, 300 out kJ/Mtok`, `h100 8b` or `estimate 8b`");
    return parse_add_leaf(p, n, NODE_WORD) &&
           (parse_peek(p) == TOKEN_NUMBER || parse_fail(p, "a size, such as `8b`")) &&
           parse_add_leaf(p, n, NODE_NUMBER);
}

static bool named(struct parser *p, struct node *n, bool quantity)
{
    struct node *one = parse_open(p, NODE_NAMED);
    return one && parse_add_leaf(p, one, NODE_WORD) &&
           (quantity ? parse_add(one, parse_quantity(p)) : parse_add_leaf(p, one, NODE_NUMBER)) &&
           parse_add(n, parse_close(p, one));
}

static bool knob(struct parser *p, struct node *n)
{
    struct node *c = parse_open(p, NODE_CLAUSE);
    p->at++;
    if (!parse_at_word(p, "reasoning_effort") && !parse_at_word(p, "template") &&
        !parse_at_word(p, "thinking"))
        return parse_fail(p, "`reasoning_effort`, `template \"...\"` or `thinking \"...\"`");
    bool plain = parse_at_word(p, "reasoning_effort"), thinking = parse_at_word(p, "thinking");
    if (!c || !parse_add_leaf(p, c, NODE_WORD) || (!plain && !parse_add_leaf(p, c, NODE_STRING)))
        return false;
    for (bool more = thinking; more; more = parse_take(p, TOKEN_COMMA))
        if (!named(p, c, true))
            return false;
    return parse_add(n, parse_close(p, c));
}

static bool effort(struct parser *p, struct node *n)
{
    return parse_words(p, n) && (!parse_at_word(p, "by") || knob(p, n));
}

static bool carbon(struct parser *p, struct node *n)
{
    if (parse_peek(p) == TOKEN_STRING && !parse_add_leaf(p, n, NODE_STRING))
        return false;
    if (!parse_add(n, parse_quantity(p)))
        return false;
    return (!parse_at_word(p, "average") && !parse_at_word(p, "marginal")) ||
           parse_add_leaf(p, n, NODE_WORD);
}

static bool range(struct parser *p, struct node *n)
{
    static const struct parse_clause ends[] = {{"from", SHAPE_QUANTITY}, {"to", SHAPE_QUANTITY}};
    bool any = false, found = true;
    for (int i = 0; i < 2; i++) {
        if (!parse_one_clause(p, n, &ends[i], 1, &found))
            return false;
        any |= found;
    }
    return any || parse_fail(p, "`from 8k tok` or `to 8k tok`");
}

static bool weights(struct parser *p, struct node *n)
{
    do {
        if (!named(p, n, false))
            return false;
    } while (parse_take(p, TOKEN_COMMA));
    return true;
}

bool parse_pool(struct parser *p, struct node *n, enum parse_shape shape)
{
    switch (shape) {
    case SHAPE_ENDPOINTS:
        return endpoints(p, n);
    case SHAPE_PRICE:
        return price(p, n);
    case SHAPE_ENERGY:
        return energy(p, n);
    case SHAPE_EFFORT:
        return effort(p, n);
    case SHAPE_CARBON:
        return carbon(p, n);
    case SHAPE_RANGE:
        return range(p, n);
    case SHAPE_METER:
        return parse_add_leaf(p, n, NODE_WORD) && parse_add_leaf(p, n, NODE_NUMBER);
    case SHAPE_NONE:
        return true;
    case SHAPE_WEIGHTS:
        return weights(p, n);
    default:
        return false;
    }
}

// Commas between what things are worth may stand or not: each begins with its word.
bool parse_dispatch(struct parser *p, struct node *n)
{
    static const char *const modes[] = {"price", "least_request", "power_of_two", "round_robin"};
    static const struct parse_clause clauses[] = {{"second", SHAPE_QUANTITY},
                                                  {"kWh", SHAPE_QUANTITY},
                                                  {"kg", SHAPE_QUANTITY},
                                                  {"weights", SHAPE_WEIGHTS}};
    bool mode = false, found = true;
    for (size_t i = 0; i < MERIT_COUNT(modes); i++)
        mode |= parse_at_word(p, modes[i]);
    if (!mode)
        return parse_fail(p, "`price`, `least_request`, `power_of_two` or `round_robin`");
    if (!parse_add_leaf(p, n, NODE_WORD))
        return false;
    while (found) {
        bool comma =
            n->count > 1 && !tree_is(p->tree, n->last, "weights") && parse_take(p, TOKEN_COMMA);
        if (!parse_one_clause(p, n, clauses, MERIT_COUNT(clauses), &found))
            return false;
        if (comma && !found)
            return parse_fail(p, "`second`, `kWh` or `kg`");
    }
    parse_close(p, n);
    return parse_no_unknown(p, clauses, MERIT_COUNT(clauses));
}
