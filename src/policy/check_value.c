// Numbers, units and strings.
#include "policy/check.h"
#include "policy/policy.h"

static const struct node *number_of(const struct node *n)
{
    return n->kind == NODE_QUANTITY ? n->first : n;
}

static const struct node *unit_of(const struct node *n)
{
    return n->kind == NODE_QUANTITY && n->first->next ? n->first->next : NULL;
}

bool check_unit_is(struct checker *c, const struct node *n, const char *unit)
{
    // By parts: `usd / Mtok` may be written with spaces.
    struct slice over = tree_text(c->tree, n->first), all = slice_cstr(unit);
    if (!slice_starts_with(all, over))
        return false;
    all = slice_from(all, over.len);
    struct slice under = n->count == 2 ? tree_text(c->tree, n->last) : SLICE_EMPTY;
    return under.len == 0
               ? all.len == 0
               : all.len == under.len + 1 && all.ptr[0] == '/' && slice_ends_with(all, under);
}

// The number itself, whatever its unit. `unit` is for the help alone.
static bool plain_number(struct checker *c, const struct node *number, const char *unit,
                         struct decimal *out)
{
    struct slice text = tree_text(c->tree, number);
    size_t suffix = 0;
    enum units_problem problem = units_number(text, out, &suffix);
    if (problem == UNITS_DIGITS) {
        check_error(c, number, "number", "a number has at most 15 digits");
        return false;
    }
    if (problem == UNITS_SUFFIX) {
        struct slice tail = slice_from(text, suffix);
        struct diag *d = check_error(c, number, "number", "`%.*s` is no number", SLICE_FMT(text));
        if (unit && slice_ends_with(tail, slice_cstr(unit)) && tail.len - strlen(unit) <= 1)
            diag_help(c->diags, d, "write a space before the unit: `%.*s %s`",
                      (int)(text.len - strlen(unit)), text.ptr, unit);
        else if (slice_eq_cstr(tail, "K") || slice_eq_cstr(tail, "m"))
            diag_help(c->diags, d, "thousands are `k`, millions are `M`");
        else
            diag_help(c->diags, d, "digits, a point, and `k` for thousands or `M` for millions");
    }
    return problem == UNITS_OK;
}

bool check_quantity(struct checker *c, const struct node *n, const char *unit, const char *what,
                    struct decimal *out)
{
    if (n->kind != NODE_QUANTITY && n->kind != NODE_NUMBER) {
        struct diag *d = check_error(c, n, "type", "%s is a number", what);
        if (unit)
            diag_help(c->diags, d, "write a number and its unit, as in `1 %s`", unit);
        return false;
    }
    const struct node *number = number_of(n), *given = unit_of(n);
    struct slice text = tree_text(c->tree, number);
    if (!plain_number(c, number, unit, out))
        return false;
    if (unit && !given) {
        struct diag *d = check_error(c, n, "unit", "%s needs its unit", what);
        diag_help(c->diags, d, "write `%.*s %s`", SLICE_FMT(text), unit);
        return false;
    }
    if (given && (!unit || !check_unit_is(c, given, unit))) {
        struct diag *d =
            check_error(c, given, "unit", "%s has %s%s%s", what, unit ? "the unit `" : "no unit",
                        unit ? unit : "", unit ? "`" : "");
        diag_help(c->diags, d, "write `%.*s%s%s`", SLICE_FMT(text), unit ? " " : "",
                  unit ? unit : "");
        return false;
    }
    return true;
}

static bool in_range(struct checker *c, const struct node *n, const char *what, double v,
                     double min, double max)
{
    if (v >= min && v <= max)
        return true;
    check_error(c, n, "range", "%s is between %.15g and %.15g", what, min, max);
    return false;
}

bool check_number(struct checker *c, const struct node *n, const char *unit, const char *what,
                  double min, double max, double *out)
{
    struct decimal d;
    if (!check_quantity(c, n, unit, what, &d))
        return false;
    *out = units_double(d);
    return in_range(c, n, what, *out, min, max);
}

bool check_money(struct checker *c, const struct node *n, const char *unit, const char *what,
                 int64_t max_nusd, int64_t *out)
{
    struct decimal d;
    if (!check_quantity(c, n, unit, what, &d))
        return false;
    if (!units_scaled(d, 9, out)) {
        if (units_double(d) < 1)
            check_error(c, n, "range", "%s has at most nine places behind the point", what);
        else
            in_range(c, n, what, units_double(d), 0, (double)max_nusd / 1e9);
        return false;
    }
    return in_range(c, n, what, (double)*out / 1e9, 0, (double)max_nusd / 1e9);
}

bool check_whole(struct checker *c, const struct node *n, const char *unit, const char *what,
                 int64_t min, int64_t max, uint32_t *out)
{
    struct decimal d;
    int64_t v;
    if (!check_quantity(c, n, unit, what, &d))
        return false;
    if (!units_scaled(d, 0, &v)) {
        check_error(c, n, "range", "%s is a whole number up to %lld", what, (long long)max);
        return false;
    }
    *out = (uint32_t)v;
    return in_range(c, n, what, (double)v, (double)min, (double)max);
}

static const struct {
    const char *word;
    enum image_unit unit;
    int scale; // power of ten from the word to the image's unit
    int64_t factor;
} amount_units[] = {{"usd", IMAGE_UNIT_NUSD, 9, 1},
                    {"J", IMAGE_UNIT_UJ, 6, 1},
                    {"kJ", IMAGE_UNIT_UJ, 9, 1},
                    {"kWh", IMAGE_UNIT_UJ, 11, 36},
                    {"g", IMAGE_UNIT_UG, 6, 1},
                    {"kg", IMAGE_UNIT_UG, 9, 1},
                    {"tok", IMAGE_UNIT_TOK, 0, 1},
                    {"ms", IMAGE_UNIT_MS, 0, 1},
                    {"s", IMAGE_UNIT_MS, 3, 1},
                    {"calls", IMAGE_UNIT_CALLS, 0, 1},
                    {"requests", IMAGE_UNIT_REQUESTS, 0, 1}};

bool check_any_amount(struct checker *c, const struct node *n, const char *what,
                      enum image_unit *unit, struct slice *under, int64_t *out)
{
    const struct node *given = unit_of(n);
    struct decimal d;
    struct slice word = given ? tree_text(c->tree, given->first) : SLICE_EMPTY;
    size_t i = 0;
    *under = given && given->count == 2 ? tree_text(c->tree, given->last) : SLICE_EMPTY;
    if (!plain_number(c, number_of(n), NULL, &d))
        return false;
    while (i < MERIT_COUNT(amount_units) && !slice_eq_cstr(word, amount_units[i].word))
        i++;
    if (i == MERIT_COUNT(amount_units)) {
        struct diag *e = given ? check_error(c, given, "unit", "%s is not counted in `%.*s`", what,
                                             SLICE_FMT(word))
                               : check_error(c, n, "unit", "%s needs its unit", what);
        diag_help(c->diags, e,
                  "the units are usd, J, kJ, kWh, g, kg, tok, ms, s, calls and requests");
        return false;
    }
    *unit = amount_units[i].unit;
    if (!units_scaled(d, amount_units[i].scale, out) || *out < 0 ||
        __builtin_mul_overflow(*out, amount_units[i].factor, out)) {
        check_error(c, n, "range",
                    d.negative ? "%s is not below 0" : "%s is too great or too finely divided",
                    what);
        return false;
    }
    return true;
}

bool check_amount(struct checker *c, const struct node *n, const char *per, const char *what,
                  enum image_unit unit, int64_t *out)
{
    static const char *const first[] = {"usd", "J", "g", "s", "tok", "calls", "requests"};
    enum image_unit given;
    struct slice under;
    int64_t v;
    if (!check_any_amount(c, n, what, &given, &under, &v))
        return false;
    if (given == unit && slice_eq(under, per ? slice_cstr(per) : SLICE_EMPTY)) {
        *out = v;
        return true;
    }
    struct diag *d = check_error(c, unit_of(n), "unit", "%s has the unit `%s%s%s`", what,
                                 first[unit], per ? "/" : "", per ? per : "");
    diag_help(c->diags, d, "write `%.*s %s%s%s`", SLICE_FMT(tree_text(c->tree, n->first)),
              first[unit], per ? "/" : "", per ? per : "");
    return false;
}

bool check_timeout(struct checker *c, const struct node *n, uint32_t *ms)
{
    int64_t v = 0;
    if (!check_amount(c, n, NULL, "a timeout", IMAGE_UNIT_MS, &v))
        return false;
    if (v < 1 || v > 24 * 3600 * 1000) {
        check_error(c, n, "range", "a timeout is between 1 ms and one day");
        return false;
    }
    *ms = (uint32_t)v;
    return true;
}

struct slice check_string(struct checker *c, const struct node *n)
{
    struct slice s = tree_string(c->tree, n, c->arena);
    if (!s.ptr) {
        c->nomem = true;
        return SLICE("");
    }
    if (s.len > POLICY_STRING_MAX) {
        check_error(c, n, "limit", "this string is %zu bytes long, the limit is %d", s.len,
                    POLICY_STRING_MAX);
        return SLICE("");
    }
    return s;
}

void check_clauses_once(struct checker *c, const struct node *n)
{
    for (const struct node *at = n->first; at; at = at->next) {
        // `else` may stand any number of times: each is the next thing to try. Rates are of requests and of tokens.
        if (at->kind != NODE_CLAUSE || tree_is(c->tree, at, "else") || tree_is(c->tree, at, "rate"))
            continue;
        const struct node *first = n->first;
        while (first->kind != NODE_CLAUSE ||
               !slice_eq(tree_text(c->tree, first), tree_text(c->tree, at)))
            first = first->next;
        if (first == at)
            continue;
        struct slice word = tree_text(c->tree, at);
        struct diag *d = check_error(c, at, "duplicate", "`%.*s` stands twice in one statement",
                                     SLICE_FMT(word));
        diag_also(c->diags, d, tree_span(c->tree, first), "first here");
    }
}
