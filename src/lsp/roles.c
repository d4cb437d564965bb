#include "lsp/roles.h"

static const char *const kind_names[LSP_KIND_COUNT_] = {
    [LSP_NOTHING] = "name", [LSP_ZONE] = "zone",   [LSP_MODEL] = "model", [LSP_SIGNAL] = "signal",
    [LSP_PATH] = "path",    [LSP_ROUTE] = "route", [LSP_ALIAS] = "alias", [LSP_PARAM] = "parameter",
};

const char *lsp_kind_name(enum lsp_kind k)
{
    return kind_names[k];
}

enum { ANY_ORDINAL = -1 };

// A NAME in `rule`, as the `ordinal`-th one behind the word `after` (NULL: any), inside of the rule `via` (NULL: any). The
// first row that fits counts. `subject` is the innermost rule of that name whose first token the place is about.
static const struct row {
    const char *rule, *after;
    int ordinal;
    const char *via;
    enum lsp_role role;
    enum lsp_kind kind;
    const char *subject;
} rows[] = {
    {"zone", "zone", 0, NULL, LSP_ROLE_DEFINES, LSP_ZONE, NULL},
    {"model", "model", 0, NULL, LSP_ROLE_DEFINES, LSP_MODEL, NULL},
    {"model_part", "zone", 0, NULL, LSP_ROLE_REFERS, LSP_ZONE, NULL},
    {"model_part", "provider", 0, NULL, LSP_ROLE_PROVIDER, LSP_NOTHING, NULL},
    {"model_part", "can", ANY_ORDINAL, NULL, LSP_ROLE_NEED, LSP_NOTHING, NULL},
    {"model_part", "effort", ANY_ORDINAL, NULL, LSP_ROLE_EFFORT, LSP_NOTHING, NULL},
    {"alias", "alias", 0, NULL, LSP_ROLE_DEFINES, LSP_ALIAS, NULL},
    {"alias", "route", 0, NULL, LSP_ROLE_REFERS, LSP_ROUTE, NULL},
    {"alias", "model", 0, NULL, LSP_ROLE_REFERS, LSP_MODEL, NULL},
    {"pass", "to", 0, NULL, LSP_ROLE_REFERS, LSP_MODEL, NULL},
    {"signal", "signal", 0, NULL, LSP_ROLE_DEFINES, LSP_SIGNAL, NULL},
    {"path", "path", 0, NULL, LSP_ROLE_DEFINES, LSP_PATH, NULL},
    {"path", "path", ANY_ORDINAL, NULL, LSP_ROLE_DEFINES, LSP_PARAM, NULL},
    {"route", "route", 0, NULL, LSP_ROLE_DEFINES, LSP_ROUTE, NULL},
    {"route_part", "maximise", 0, NULL, LSP_ROLE_OBJECTIVE, LSP_NOTHING, NULL},
    {"route_part", "where", 0, NULL, LSP_ROLE_QUALITY, LSP_NOTHING, NULL},
    {"condition", NULL, ANY_ORDINAL, NULL, LSP_ROLE_REFERS, LSP_SIGNAL, NULL},
    {"unit", NULL, ANY_ORDINAL, NULL, LSP_ROLE_UNIT, LSP_NOTHING, NULL},
    {"call", NULL, 0, "step", LSP_ROLE_STEP, LSP_PATH, NULL},
    {"call", NULL, 0, "signal", LSP_ROLE_FAMILY, LSP_NOTHING, NULL},
    {"alternative", NULL, 0, "step", LSP_ROLE_CANDIDATE, LSP_MODEL, NULL},
    {"alternative", NULL, 1, "step", LSP_ROLE_CANDIDATE, LSP_MODEL, NULL},
    {"alternative", NULL, ANY_ORDINAL, "signal", LSP_ROLE_ARGUMENT, LSP_NOTHING, "call"},
    {"value", NULL, ANY_ORDINAL, "condition", LSP_ROLE_ANSWER, LSP_NOTHING, "condition"},
    {"value", NULL, ANY_ORDINAL, "arguments", LSP_ROLE_ARGUMENT, LSP_NOTHING, "call"},
    {"value", NULL, ANY_ORDINAL, "signal_part", LSP_ROLE_ON_ERROR, LSP_NOTHING, "signal"},
};

// The innermost rule of this name around an item, or false.
static bool inside(const struct lsp_reading *r, uint32_t item, const char *rule, uint32_t *found)
{
    for (unsigned depth = 0; depth < 256; depth++) {
        if (slice_eq_cstr(lsp_reading_rule(r, item), rule)) {
            *found = item;
            return true;
        }
        if (!lsp_reading_parent(r, &item))
            return false;
    }
    return false;
}

static bool fits(const struct lsp_reading *r, const struct lsp_expect *x, const struct row *row)
{
    const struct lsp_edge *e = x->edge;
    uint32_t found;
    if (!slice_eq_cstr(lsp_reading_rule(r, x->item), row->rule))
        return false;
    if (row->after &&
        (e->after == LSP_WORD_NONE || !slice_eq_cstr(r->grammar->words[e->after], row->after)))
        return false;
    if (row->ordinal != ANY_ORDINAL && row->ordinal != e->ordinal)
        return false;
    return !row->via || inside(r, x->item, row->via, &found);
}

static uint32_t begin_of(const struct lsp_reading *r, uint32_t item)
{
    return r->sets[r->items[item].origin].token;
}

struct lsp_place lsp_place_of(const struct lsp_reading *r, uint32_t set, const struct lsp_expect *x)
{
    uint32_t at, outer;
    for (size_t i = 0; i < MERIT_COUNT(rows); i++) {
        if (!fits(r, x, &rows[i]))
            continue;
        struct lsp_place p = {rows[i].role, rows[i].kind, 0};
        if (rows[i].subject && inside(r, x->item, rows[i].subject, &at))
            p.subject = begin_of(r, at);
        // `deep high`: the second word of a candidate is an effort.
        if (p.role == LSP_ROLE_ARGUMENT && inside(r, x->item, "step", &outer) &&
            inside(r, x->item, "alternative", &at))
            p.role = begin_of(r, at) == r->sets[set].token ? LSP_ROLE_CANDIDATE : LSP_ROLE_EFFORT;
        return p;
    }
    return (struct lsp_place){LSP_ROLE_NONE, LSP_NOTHING, 0};
}
