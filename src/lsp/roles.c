#include "lsp/roles.h"

static const char *const kind_names[LSP_KIND_COUNT_] = {
    [LSP_NOTHING] = "name",  [LSP_LATTICE] = "lattice", [LSP_LEVEL] = "level",
    [LSP_ZONE] = "zone",     [LSP_SINK] = "sink",       [LSP_MODEL] = "model",
    [LSP_SIGNAL] = "signal", [LSP_PATH] = "path",       [LSP_ROUTE] = "route",
    [LSP_ALIAS] = "alias",   [LSP_PARAM] = "parameter",
};

const char *lsp_kind_name(enum lsp_kind k)
{
    return kind_names[k];
}

enum { ANY_ORDINAL = -1 };

// A NAME in `rule`, as the `ordinal`-th one behind the word `after` (NULL: any), inside of the rule `via` (NULL: any). The
// rule `names` is a list wherever it stands: its rule and word are those of who uses it. The first row that fits counts.
// `subject` is the innermost rule of that name whose first token the place is about.
static const struct row {
    const char *rule, *after;
    int ordinal;
    const char *via;
    enum lsp_role role;
    enum lsp_kind kind;
    const char *subject;
} rows[] = {
    {"lattice", "lattice", 0, NULL, LSP_ROLE_DEFINES, LSP_LATTICE, NULL},
    {"lattice", "lattice", ANY_ORDINAL, NULL, LSP_ROLE_DEFINES, LSP_LEVEL, NULL},
    {"zone", "zone", 0, NULL, LSP_ROLE_DEFINES, LSP_ZONE, NULL},
    {"zone_part", "clears", ANY_ORDINAL, NULL, LSP_ROLE_REFERS, LSP_LEVEL, NULL},
    {"sink", "sink", 0, NULL, LSP_ROLE_DEFINES, LSP_SINK, NULL},
    {"sink", "sink", 1, NULL, LSP_ROLE_SINK_KIND, LSP_NOTHING, NULL},
    {"sink_part", "zone", 0, NULL, LSP_ROLE_REFERS, LSP_ZONE, NULL},
    {"sink_part", "clears", ANY_ORDINAL, NULL, LSP_ROLE_REFERS, LSP_LEVEL, NULL},
    {"sink_part", "holds", ANY_ORDINAL, NULL, LSP_ROLE_REFERS, LSP_LEVEL, NULL},
    {"sink_part", "carries", 0, NULL, LSP_ROLE_CARRIES, LSP_NOTHING, NULL},
    {"model", "model", 0, NULL, LSP_ROLE_DEFINES, LSP_MODEL, NULL},
    {"model_part", "zone", 0, NULL, LSP_ROLE_REFERS, LSP_ZONE, NULL},
    {"model_part", "provider", 0, NULL, LSP_ROLE_PROVIDER, LSP_NOTHING, NULL},
    {"model_part", "can", ANY_ORDINAL, NULL, LSP_ROLE_NEED, LSP_NOTHING, NULL},
    {"model_part", "effort", ANY_ORDINAL, NULL, LSP_ROLE_EFFORT, LSP_NOTHING, NULL},
    {"model_part", "energy", ANY_ORDINAL, NULL, LSP_ROLE_HARDWARE, LSP_NOTHING, NULL},
    {"model_part", "estimate", ANY_ORDINAL, NULL, LSP_ROLE_HARDWARE, LSP_NOTHING, NULL},
    {"place_part", "engine", 0, NULL, LSP_ROLE_ENGINE, LSP_NOTHING, NULL},
    {"place_part", "meter", 0, NULL, LSP_ROLE_METER, LSP_NOTHING, NULL},
    {"knob", "thinking", ANY_ORDINAL, NULL, LSP_ROLE_EFFORT, LSP_NOTHING, NULL},
    {"dispatch", "weights", ANY_ORDINAL, NULL, LSP_ROLE_SCORER, LSP_NOTHING, NULL},
    {"alias", "alias", 0, NULL, LSP_ROLE_DEFINES, LSP_ALIAS, NULL},
    {"alias", "route", 0, NULL, LSP_ROLE_REFERS, LSP_ROUTE, NULL},
    {"alias", "model", 0, NULL, LSP_ROLE_REFERS, LSP_MODEL, NULL},
    {"pass", "to", 0, NULL, LSP_ROLE_REFERS, LSP_MODEL, NULL},
    {"signal", "signal", 0, NULL, LSP_ROLE_DEFINES, LSP_SIGNAL, NULL},
    {"signal", "label", 0, NULL, LSP_ROLE_REFERS, LSP_LATTICE, NULL},
    {"signal_part", "otherwise", 0, NULL, LSP_ROLE_OWN, LSP_NOTHING, NULL},
    {"path", "path", 0, NULL, LSP_ROLE_DEFINES, LSP_PATH, NULL},
    {"path", "path", ANY_ORDINAL, NULL, LSP_ROLE_DEFINES, LSP_PARAM, NULL},
    {"route", "route", 0, NULL, LSP_ROLE_DEFINES, LSP_ROUTE, NULL},
    {"route_part", "maximise", 0, NULL, LSP_ROLE_OBJECTIVE, LSP_NOTHING, NULL},
    {"route_part", "where", 0, NULL, LSP_ROLE_QUALITY, LSP_NOTHING, NULL},
    {"target", "zone", ANY_ORDINAL, NULL, LSP_ROLE_REFERS, LSP_ZONE, NULL},
    {"target", "below", 0, NULL, LSP_ROLE_REFERS, LSP_SIGNAL, NULL},
    {"target", "model", ANY_ORDINAL, NULL, LSP_ROLE_REFERS, LSP_MODEL, NULL},
    {"target", "effort", ANY_ORDINAL, NULL, LSP_ROLE_EFFORT, LSP_NOTHING, NULL},
    {"target", "step", ANY_ORDINAL, NULL, LSP_ROLE_STEPS, LSP_NOTHING, NULL},
    {"target", "sink", ANY_ORDINAL, NULL, LSP_ROLE_REFERS, LSP_SINK, NULL},
    {"allow", "allow", 0, NULL, LSP_ROLE_EXTRA, LSP_NOTHING, NULL},
    {"budget", "per", 0, NULL, LSP_ROLE_SCOPE, LSP_NOTHING, NULL},
    {"claim", "no", 0, NULL, LSP_ROLE_REFERS, LSP_LEVEL, NULL},
    {"claim", "sink", 0, NULL, LSP_ROLE_REACHED, LSP_NOTHING, NULL},
    {"claim", "route", 0, NULL, LSP_ROLE_REFERS, LSP_ROUTE, NULL},
    {"claim", "zone", ANY_ORDINAL, NULL, LSP_ROLE_REFERS, LSP_ZONE, NULL},
    {"claim", "model", ANY_ORDINAL, NULL, LSP_ROLE_REFERS, LSP_MODEL, NULL},
    {"assume", "assume", 0, NULL, LSP_ROLE_CODE, LSP_NOTHING, NULL},
    {"assume", "assume", 1, NULL, LSP_ROLE_ABOUT, LSP_NOTHING, NULL},
    {"condition", NULL, ANY_ORDINAL, NULL, LSP_ROLE_REFERS, LSP_SIGNAL, NULL},
    {"unit", NULL, 0, "arguments", LSP_ROLE_WEIGHED, LSP_NOTHING, "call"},
    {"unit", NULL, ANY_ORDINAL, NULL, LSP_ROLE_UNIT, LSP_NOTHING, NULL},
    {"value", NULL, ANY_ORDINAL, "condition", LSP_ROLE_ANSWER, LSP_NOTHING, "condition"},
    {"call", NULL, 0, "step", LSP_ROLE_STEP, LSP_PATH, NULL},
    {"call", NULL, 0, "require", LSP_ROLE_PASSABLE, LSP_NOTHING, NULL},
    {"call", NULL, 0, "claim", LSP_ROLE_PASSABLE, LSP_NOTHING, NULL},
    {"call", NULL, 0, "signal", LSP_ROLE_FAMILY, LSP_NOTHING, NULL},
    {"alternative", NULL, 0, "step", LSP_ROLE_TAKEN, LSP_NOTHING, "call"},
    {"alternative", NULL, 1, "step", LSP_ROLE_TAKEN, LSP_NOTHING, "call"},
    {"value", NULL, ANY_ORDINAL, "step", LSP_ROLE_TAKEN, LSP_NOTHING, "call"},
    {"alternative", NULL, ANY_ORDINAL, "require", LSP_ROLE_PASSED, LSP_NOTHING, "call"},
    {"value", NULL, ANY_ORDINAL, "require", LSP_ROLE_PASSED, LSP_NOTHING, "call"},
    {"alternative", NULL, ANY_ORDINAL, "claim", LSP_ROLE_PASSED, LSP_NOTHING, "call"},
    {"value", NULL, ANY_ORDINAL, "claim", LSP_ROLE_PASSED, LSP_NOTHING, "call"},
    {"alternative", NULL, ANY_ORDINAL, "signal", LSP_ROLE_ARGUMENT, LSP_NOTHING, "call"},
    {"value", NULL, ANY_ORDINAL, "arguments", LSP_ROLE_ARGUMENT, LSP_NOTHING, "call"},
    {"value", NULL, ANY_ORDINAL, "signal_part", LSP_ROLE_OWN, LSP_NOTHING, NULL},
};

// The innermost rule of this name around an item, or false.
static bool inside(const struct lsp_reading *r, uint32_t item, const char *rule, uint32_t *found)
{
    const struct lsp_edge *edge;
    for (unsigned depth = 0; depth < 256; depth++) {
        if (slice_eq_cstr(lsp_reading_rule(r, item), rule)) {
            *found = item;
            return true;
        }
        if (!lsp_reading_parent(r, &item, &edge))
            return false;
    }
    return false;
}

// Where a NAME stands: of a list, where that stands.
struct standing {
    struct slice rule, after;
    uint8_t ordinal;
};

static struct standing standing_of(const struct lsp_reading *r, const struct lsp_expect *x)
{
    const struct lsp_edge *edge = x->edge;
    uint32_t item = x->item;
    if (slice_eq(lsp_reading_rule(r, item), SLICE("names")))
        lsp_reading_parent(r, &item, &edge);
    return (struct standing){
        lsp_reading_rule(r, item),
        edge->after == LSP_WORD_NONE ? SLICE_EMPTY : r->grammar->words[edge->after], edge->ordinal};
}

// Of arguments the innermost call, be it one of its own or one inside of another's arguments.
static bool subject_of(const struct lsp_reading *r, uint32_t item, const char *rule,
                       uint32_t *found)
{
    const struct lsp_edge *edge;
    if (strcmp(rule, "call") != 0)
        return inside(r, item, rule, found);
    return inside(r, item, "arguments", found) && lsp_reading_parent(r, found, &edge);
}

static uint32_t begin_of(const struct lsp_reading *r, uint32_t item)
{
    return r->sets[r->items[item].origin].token;
}

struct lsp_place lsp_place_of(const struct lsp_reading *r, uint32_t set, const struct lsp_expect *x)
{
    struct standing s = standing_of(r, x);
    uint32_t at;
    for (size_t i = 0; i < MERIT_COUNT(rows); i++) {
        if (!slice_eq_cstr(s.rule, rows[i].rule) ||
            (rows[i].after && !slice_eq_cstr(s.after, rows[i].after)) ||
            (rows[i].ordinal != ANY_ORDINAL && rows[i].ordinal != s.ordinal) ||
            (rows[i].via && !inside(r, x->item, rows[i].via, &at)))
            continue;
        struct lsp_place p = {rows[i].role, rows[i].kind, 0};
        if (rows[i].subject && subject_of(r, x->item, rows[i].subject, &at))
            p.subject = begin_of(r, at);
        // `deep high`: the second word of a candidate is an effort.
        if (p.role == LSP_ROLE_TAKEN && inside(r, x->item, "alternative", &at) &&
            begin_of(r, at) != r->sets[set].token)
            p.role = LSP_ROLE_EFFORT;
        return p;
    }
    return (struct lsp_place){LSP_ROLE_NONE, LSP_NOTHING, 0};
}
