// Signals made of signals: labels, scores and exclusive groups.
//
// They are compiled when all that a family computes is known, each after those that it looks at.
#include <float.h>
#include <math.h>
#include <stdio.h>

#include "policy/check.h"
#include "policy/policy.h"

// Of derive_state: not looked at, being looked at, or this plus its depth.
enum { FRESH, OPEN, DONE };

enum { CLAUSE_LABEL = 1, CLAUSE_SCORE = 2, CLAUSE_EXCLUSIVE = 4 };

static const struct node *call_of(const struct node *statement)
{
    const struct node *n = statement->first;
    while (n->kind != NODE_CALL)
        n = n->next;
    return n;
}

enum image_derive check_derive_kind(struct checker *c, const struct node *statement)
{
    const struct node *name = call_of(statement)->first;
    return tree_clause(c->tree, statement, "label") ? IMAGE_DERIVE_LABEL
           : tree_is(c->tree, name, "score")        ? IMAGE_DERIVE_SCORE
           : tree_is(c->tree, name, "exclusive")    ? IMAGE_DERIVE_EXCLUSIVE
                                                    : IMAGE_DERIVE_NONE;
}

// ---- What the terms of a label are.

enum term_form {
    FORM_LEVEL,  // LEVEL, LEVEL when GUARD
    FORM_CALLER, // caller
    FORM_FAMILY, // pii(email)
    FORM_SIGNAL, // the name of a signal
    FORM_BAD,
};

// `max` takes terms; anything else is the one term itself.
static const struct node *first_term(struct checker *c, const struct node *call)
{
    return tree_is(c->tree, call->first, "max") ? call->first->next : call;
}

// What a term names: the word, or the call of a family. NULL when it is neither.
static const struct node *term_value(const struct node *term)
{
    if (term->kind == NODE_CALL)
        return term->count == 1 ? term->first : term;
    if (term->first->kind != NODE_ALTERNATIVE || term->first->count != 1 ||
        (term->first->next && term->first->next->kind == NODE_ALTERNATIVE))
        return NULL;
    const struct node *v = term->first->first;
    return v->kind == NODE_WORD || v->kind == NODE_CALL ? v : NULL;
}

static const struct node *term_guard(struct checker *c, const struct node *term)
{
    const struct node *when = term->kind == NODE_ARG ? tree_clause(c->tree, term, "when") : NULL;
    return when ? when->first : NULL;
}

static enum term_form term_form(struct checker *c, const struct node *term)
{
    const struct node *v = term_value(term);
    if (!v)
        return FORM_BAD;
    if (v->kind == NODE_CALL)
        return term_guard(c, term) ? FORM_BAD : FORM_FAMILY;
    struct slice name = tree_text(c->tree, v);
    if (term_guard(c, term) || map_get(&c->levels.map, name))
        return FORM_LEVEL;
    if (slice_eq(name, SLICE("caller")))
        return FORM_CALLER;
    if (!map_get(&c->signals.map, name) && check_family(c, name))
        return FORM_FAMILY;
    return FORM_SIGNAL;
}

uint32_t check_hidden_bound(struct checker *c, const struct node *statement)
{
    return check_derive_kind(c, statement) == IMAGE_DERIVE_LABEL ? call_of(statement)->count : 0;
}

// `data.pii`, or `data.pii-2` when that is taken.
static struct slice hidden_name(struct checker *c, struct slice label, struct slice family)
{
    char name[POLICY_NAME_MAX + 64];
    struct slice s = SLICE_EMPTY;
    for (unsigned i = 1; i < 10000; i++) {
        int n = snprintf(name, sizeof name, i == 1 ? "%.*s.%.*s" : "%.*s.%.*s-%u",
                         SLICE_FMT(slice_head(label, POLICY_NAME_MAX)),
                         SLICE_FMT(slice_head(family, 40)), i);
        s = slice_make(name, (size_t)n);
        if (!map_get(&c->signals.map, s))
            break;
    }
    return arena_copy(c->arena, s);
}

void check_hidden(struct checker *c, uint32_t signal)
{
    const struct node *statement = c->signals.nodes[signal];
    c->hidden_first[signal] = c->signals.count;
    if (check_derive_kind(c, statement) != IMAGE_DERIVE_LABEL)
        return;
    for (const struct node *t = first_term(c, call_of(statement)); t;
         t = t->kind == NODE_ARG ? t->next : NULL) {
        enum term_form form = term_form(c, t);
        if (form != FORM_CALLER && form != FORM_FAMILY)
            continue;
        const struct node *v = term_value(t);
        struct slice family = tree_text(c->tree, v->kind == NODE_CALL ? v->first : v);
        struct slice name = hidden_name(c, c->signals.at[signal], family);
        struct node *call = NULL;
        if (form == FORM_FAMILY) {
            // A family without arguments stands there as a word.
            call = ARENA_NEW(c->arena, struct node);
            if (call && v->kind == NODE_CALL)
                *call = *v;
            else if (call)
                *call = (struct node){.kind = NODE_CALL,
                                      .token = v->token,
                                      .end = v->end,
                                      .count = 1,
                                      .first = (struct node *)(uintptr_t)v};
        }
        if (!name.ptr || (form == FORM_FAMILY && !call)) {
            c->nomem = true;
            return;
        }
        check_hidden_signal(c, name, statement, call);
    }
}

// ---- Compiling.

struct made_terms {
    struct image_term *at;
    const struct node **nodes;
    uint32_t count, room;
};

static bool add_term(struct checker *c, struct made_terms *to, const struct image_term *t,
                     const struct node *node)
{
    if (to->count == to->room) {
        uint32_t room = to->room ? to->room * 2 : 8;
        struct image_term *at = ARENA_ARRAY(c->arena, struct image_term, room);
        const struct node **nodes = ARENA_ARRAY(c->arena, const struct node *, room);
        if (!at || !nodes) {
            c->nomem = true;
            return false;
        }
        if (to->count) {
            memcpy(at, to->at, to->count * sizeof *at);
            memcpy(nodes, to->nodes, to->count * sizeof *nodes);
        }
        *to = (struct made_terms){at, nodes, to->count, room};
    }
    to->at[to->count] = *t;
    to->nodes[to->count++] = node;
    return true;
}

static struct image_list emit_terms(struct checker *c, const struct made_terms *terms)
{
    struct image_list list = {builder_count(&c->build, IMAGE_TERMS), terms->count};
    for (uint32_t i = 0; i < terms->count; i++) {
        c->build.place = tree_span(c->tree, terms->nodes[i]);
        struct image_term *t = BUILDER_ADD(&c->build, IMAGE_TERMS, struct image_term);
        *t = terms->at[i];
    }
    return list;
}

static struct image_term blank_term(void)
{
    struct image_term t;
    memset(&t, 0, sizeof t);
    t.signal = IMAGE_NONE;
    return t;
}

static struct image_signal signal_at(struct checker *c, uint32_t i)
{
    return *BUILDER_AT(&c->build, IMAGE_SIGNALS, struct image_signal, i);
}

// What the caller asserts: each level that it names, and the top for a word that is no level.
static bool asserted(struct checker *c, const struct node *node, uint32_t hidden, uint32_t lattice,
                     struct made_terms *terms)
{
    uint32_t levels = check_level_count(c, lattice);
    struct image_term t = blank_term();
    for (uint32_t i = 0; i < c->levels.count; i++) {
        struct level l = c->level_of[i];
        if (l.lattice != lattice || l.level == 0)
            continue;
        struct slice names[] = {c->levels.at[i], SLICE(CHECK_NO_LEVEL)};
        t.word = l.level;
        t.guard = check_guard_texts(c, node, hidden, names, l.level + 1 == levels ? 2 : 1);
        if (!add_term(c, terms, &t, node))
            return false;
    }
    return true;
}

// Raises to the top where it is true or not empty; a label of the same lattice raises to what it is at.
static bool raising(struct checker *c, const struct node *node, uint32_t signal, uint32_t lattice,
                    struct made_terms *terms)
{
    struct image_signal s = signal_at(c, signal);
    uint32_t levels = check_level_count(c, lattice);
    struct image_term t = blank_term();
    if (!c->signal_ok[signal])
        return false;
    if (s.derive == IMAGE_DERIVE_LABEL && s.lattice == (int32_t)lattice) {
        for (t.word = 1; t.word < levels; t.word++) {
            t.guard = check_guard_level(c, node, signal, t.word, NULL);
            if (!add_term(c, terms, &t, node))
                return false;
        }
        return true;
    }
    if (s.type == SIGNAL_NUMBER || s.type == SIGNAL_ENUM) {
        struct diag *d =
            check_error(c, node, "type", "`%.*s` is %s, which raises to no level by itself",
                        SLICE_FMT(builder_text(&c->build, s.hidden ? s.family : s.name)),
                        s.type == SIGNAL_NUMBER ? "a number" : "one of several words");
        diag_help(c->diags, d, "say when: `LEVEL when SIGNAL %s`",
                  s.type == SIGNAL_NUMBER ? "> 0.7" : "== WORD");
        return false;
    }
    t.word = levels - 1;
    t.guard = check_guard_true(c, node, signal);
    return add_term(c, terms, &t, node);
}

static bool level_term(struct checker *c, const struct node *node, uint32_t lattice,
                       struct made_terms *terms)
{
    struct level l;
    struct image_term t = blank_term();
    const struct node *word = term_value(node), *guard = term_guard(c, node);
    if (!check_level(c, word, &l))
        return false;
    if (l.lattice != lattice) {
        check_error(c, word, "type", "`%.*s` is a level of lattice `%.*s`, not of `%.*s`",
                    SLICE_FMT(tree_text(c->tree, word)), SLICE_FMT(c->lattices.at[l.lattice]),
                    SLICE_FMT(c->lattices.at[lattice]));
        return false;
    }
    if (l.level == 0) {
        struct diag *d = check_error(c, word, "label", "the lowest level raises nothing");
        diag_help(c->diags, d, "what no term raises is at it anyway");
        return false;
    }
    t.word = l.level;
    t.guard = guard ? check_condition(c, guard) : check_guard(c, NULL);
    return add_term(c, terms, &t, node);
}

// Clauses that mean nothing for this form.
static bool only(struct checker *c, const struct node *n, uint32_t form)
{
    static const struct {
        const char *word;
        uint32_t forms;
        const char *help;
    } table[] = {
        {"above", CLAUSE_SCORE, "it turns a number into a truth value"},
        {"below", CLAUSE_SCORE, "it turns a number into a truth value"},
        {"bands", CLAUSE_SCORE, "bands stand behind `score(...)`"},
        {"on_error", CLAUSE_LABEL, "what is not known has the `on_error` of its own signal"},
        {"temperature", CLAUSE_EXCLUSIVE, "it stands behind `exclusive(...)`"},
        {"margin", CLAUSE_EXCLUSIVE, "it stands behind `exclusive(...)`"},
        {"otherwise", CLAUSE_EXCLUSIVE, "it stands behind `exclusive(...)`"},
    };
    bool ok = true;
    check_clauses_once(c, n);
    for (size_t i = 0; i < MERIT_COUNT(table); i++) {
        const struct node *clause = tree_clause(c->tree, n, table[i].word);
        if (!clause || table[i].forms & form)
            continue;
        diag_help(c->diags,
                  check_error(c, clause, "clause", "`%s` means nothing here", table[i].word), "%s",
                  table[i].help);
        ok = false;
    }
    return ok;
}

static bool label_error(struct checker *c, const struct node *n, uint32_t lattice,
                        struct image_signal *s)
{
    const struct node *clause = tree_clause(c->tree, n, "on_error");
    struct level l = {lattice, s->words.count - 1};
    if (clause && clause->first->kind != NODE_WORD) {
        check_error(c, clause->first, "type", "the `on_error` of a label is one of its levels");
        return false;
    }
    if (clause && !check_level(c, clause->first, &l))
        return false;
    if (l.lattice != lattice) {
        check_error(c, clause->first, "type", "`%.*s` is a level of another lattice",
                    SLICE_FMT(tree_text(c->tree, clause->first)));
        return false;
    }
    s->error_level = l.level;
    s->error_number = l.level;
    s->error_text = *BUILDER_AT(&c->build, IMAGE_STRS, struct image_str, s->words.at + l.level);
    return true;
}

static bool label(struct checker *c, uint32_t i, struct image_signal *s)
{
    const struct node *n = c->signals.nodes[i], *call = call_of(n),
                      *clause = tree_clause(c->tree, n, "label");
    struct made_terms terms = {0};
    uint32_t hidden = c->hidden_first[i];
    bool ok = only(c, n, CLAUSE_LABEL);
    s->family = builder_str(&c->build, SLICE("label"));
    int32_t lattice = check_find(c, &c->lattices, clause->first);
    if (lattice < 0 || lattice >= IMAGE_LATTICES_MAX)
        return false;
    s->lattice = lattice;
    s->type = SIGNAL_ENUM;
    s->words =
        BUILDER_AT(&c->build, IMAGE_LATTICES, struct image_lattice, (uint32_t)lattice)->levels;
    if (s->words.count < 2)
        return false;
    if (!first_term(c, call)) {
        struct diag *d = check_error(c, call, "argument", "`max` takes what raises the label");
        diag_help(c->diags, d, "write `max(caller, pii(email), LEVEL when GUARD)`");
        return false;
    }
    for (const struct node *t = first_term(c, call); t; t = t->kind == NODE_ARG ? t->next : NULL) {
        const struct node *v = term_value(t);
        int32_t signal;
        switch (term_form(c, t)) {
        case FORM_LEVEL:
            ok &= level_term(c, t, (uint32_t)lattice, &terms);
            break;
        case FORM_CALLER:
            if (c->signal_ok[hidden])
                ok &= asserted(c, t, hidden, (uint32_t)lattice, &terms);
            hidden++;
            break;
        case FORM_FAMILY:
            ok &= raising(c, t, hidden++, (uint32_t)lattice, &terms);
            break;
        case FORM_SIGNAL:
            signal = check_find(c, &c->signals, v);
            ok &= signal >= 0 && raising(c, t, (uint32_t)signal, (uint32_t)lattice, &terms);
            break;
        case FORM_BAD:
            diag_help(c->diags, check_error(c, t, "argument", "this raises no label"),
                      "write `caller`, `LEVEL when GUARD`, a signal or a family");
            ok = false;
            break;
        }
    }
    ok &= label_error(c, n, (uint32_t)lattice, s);
    s->terms = emit_terms(c, &terms);
    return ok;
}

// The signal of `0.5 attack`: NULL when it is none.
static const struct node *weighed(const struct node *arg)
{
    const struct node *v = arg->first->first;
    if (v->kind != NODE_QUANTITY || v->count != 2 || v->last->count != 1)
        return NULL;
    return v->last->first;
}

static bool score_term(struct checker *c, const struct node *arg, struct image_signal *s,
                       struct made_terms *terms)
{
    const struct node *alternative = arg->first, *v = alternative->first, *name,
                      *guard = term_guard(c, arg);
    struct image_term t = blank_term();
    struct decimal weight;
    double min = 0, max = 1;
    if (alternative->kind != NODE_ALTERNATIVE || alternative->count != 1 ||
        v->kind != NODE_QUANTITY || (arg->count > 1 && !guard) ||
        !(name = weighed(arg)) == !guard) {
        diag_help(c->diags, check_error(c, arg, "argument", "this has no weight in a score"),
                  "write `0.5 SIGNAL` or `0.3 when GUARD`");
        return false;
    }
    struct node number = *v->first;
    number.next = NULL;
    if (!check_quantity(c, &number, NULL, "a weight", &weight))
        return false;
    t.weight = units_double(weight);
    if (t.weight == 0 || fabs(t.weight) > 1e6) {
        check_error(c, arg, "range", "a weight is not 0 and at most 1,000,000");
        return false;
    }
    bool whole = true;
    if (guard) {
        t.guard = check_condition(c, guard);
    } else {
        int32_t i = check_find(c, &c->signals, name);
        if (i < 0 || !c->signal_ok[i])
            return false;
        struct image_signal of = signal_at(c, (uint32_t)i);
        if (of.type == SIGNAL_BOOL) {
            t.guard = check_guard_true(c, arg, (uint32_t)i);
        } else if (of.type != SIGNAL_NUMBER) {
            struct diag *d =
                check_error(c, name, "type", "only numbers and truth values are weighed");
            diag_help(c->diags, d, "write `%.*s when %.*s ...`",
                      SLICE_FMT(tree_text(c->tree, v->first)), SLICE_FMT(tree_text(c->tree, name)));
            return false;
        } else if (of.number_max >= DBL_MAX) {
            struct diag *d = check_error(c, name, "range",
                                         "`%.*s` has no known bound, so that no range of the score "
                                         "is known",
                                         SLICE_FMT(tree_text(c->tree, name)));
            diag_help(c->diags, d, "write `%.*s when %.*s > N`",
                      SLICE_FMT(tree_text(c->tree, v->first)), SLICE_FMT(tree_text(c->tree, name)));
            return false;
        } else {
            t.signal = i;
            min = of.number_min;
            max = of.number_max;
            whole = of.whole;
        }
    }
    s->number_min += t.weight * (t.weight > 0 ? min : max);
    s->number_max += t.weight * (t.weight > 0 ? max : min);
    s->whole &= whole && t.weight == floor(t.weight);
    return add_term(c, terms, &t, arg);
}

static bool bands(struct checker *c, const struct node *clause, struct image_signal *s)
{
    double last = -INFINITY;
    if (clause->count < 2 || clause->count > IMAGE_WORDS_MAX) {
        struct diag *d =
            check_error(c, clause, "bands", "a score has between 2 and %d bands", IMAGE_WORDS_MAX);
        diag_help(c->diags, d, "write `bands low, high above 0.7`, the lowest first");
        return false;
    }
    s->words = (struct image_list){builder_count(&c->build, IMAGE_STRS), clause->count};
    s->bands = (struct image_list){builder_count(&c->build, IMAGE_BANDS), clause->count};
    for (const struct node *b = clause->first; b; b = b->next) {
        struct slice word = tree_text(c->tree, b->first);
        struct image_band band = {-INFINITY};
        for (const struct node *o = clause->first; o != b; o = o->next)
            if (slice_eq(tree_text(c->tree, o->first), word)) {
                check_error(c, b, "duplicate", "two bands are called `%.*s`", SLICE_FMT(word));
                return false;
            }
        if ((b == clause->first) != (b->count == 1)) {
            diag_help(c->diags,
                      check_error(c, b, "bands",
                                  b->count == 1 ? "this band does not say where it begins"
                                                : "the first band begins nowhere: it is what "
                                                  "is left below"),
                      "write `bands low, medium above 0.3, high above 0.7`");
            return false;
        }
        if (b->count == 2) {
            char what[96];
            snprintf(what, sizeof what, "this score");
            if (!check_number(c, b->last, NULL, what, s->number_min, s->number_max, &band.from))
                return false;
            if (band.from <= last || band.from == s->number_min) {
                check_error(c, b, "bands",
                            band.from <= last ? "bands do not ascend: `%.*s` begins where the one "
                                                "before it does, or below"
                                              : "the band before `%.*s` is empty",
                            SLICE_FMT(word));
                return false;
            }
            last = band.from;
        }
        struct image_str str = builder_str(&c->build, word);
        c->build.place = tree_span(c->tree, b);
        *BUILDER_ADD(&c->build, IMAGE_STRS, struct image_str) = str;
        *BUILDER_ADD(&c->build, IMAGE_BANDS, struct image_band) = band;
    }
    s->type = SIGNAL_ENUM;
    return true;
}

// Sums of decimal weights, such as 0.1 + 0.2, as they were meant.
static double nearby(double v)
{
    double rounded = round(v * 1e9) / 1e9;
    return fabs(v - rounded) < 1e-12 * (1 + fabs(v)) ? rounded : v;
}

static bool score(struct checker *c, uint32_t i, struct image_signal *s)
{
    const struct node *n = c->signals.nodes[i], *call = call_of(n), *clause;
    struct made_terms terms = {0};
    bool ok = only(c, n, CLAUSE_SCORE);
    s->family = builder_str(&c->build, SLICE("score"));
    s->type = SIGNAL_NUMBER;
    s->whole = true;
    if (call->count == 1) {
        struct diag *d = check_error(c, call, "argument", "a score of nothing");
        diag_help(c->diags, d, "write `score(0.5 SIGNAL, 0.3 when GUARD)`");
        return false;
    }
    for (const struct node *arg = call->first->next; arg; arg = arg->next)
        ok &= score_term(c, arg, s, &terms);
    s->terms = emit_terms(c, &terms);
    if (!ok)
        return false;
    s->number_min = nearby(s->number_min);
    s->number_max = nearby(s->number_max);
    clause = tree_clause(c->tree, n, "bands");
    if (clause && (tree_clause(c->tree, n, "above") || tree_clause(c->tree, n, "below"))) {
        check_error(c, clause, "clause", "a score has bands or a threshold, not both");
        return false;
    }
    if (clause)
        return bands(c, clause, s);
    return check_threshold(c, n, s, SLICE("score"), NULL);
}

static bool group_number(struct checker *c, const struct node *n, const char *word, double min,
                         double max, double *out)
{
    const struct node *clause = tree_clause(c->tree, n, word);
    return !clause || check_number(c, clause->first, NULL, word, min, max, out);
}

static bool exclusive(struct checker *c, uint32_t i, struct image_signal *s)
{
    const struct node *n = c->signals.nodes[i], *call = call_of(n),
                      *clause = tree_clause(c->tree, n, "otherwise");
    struct made_terms terms = {0};
    bool ok = only(c, n, CLAUSE_EXCLUSIVE);
    s->family = builder_str(&c->build, SLICE("exclusive"));
    s->type = SIGNAL_ENUM;
    s->temperature = 1;
    if (call->count < 3 || call->count > IMAGE_WORDS_MAX) {
        struct diag *d =
            check_error(c, call, "argument", "an exclusive group has between 2 and %d members",
                        IMAGE_WORDS_MAX - 1);
        diag_help(c->diags, d, "write `exclusive(coding, legal) otherwise other`: number signals");
        return false;
    }
    ok &= group_number(c, n, "temperature", 0.0001, 1000, &s->temperature) &&
          group_number(c, n, "margin", 0, 1, &s->margin);
    s->words.at = builder_count(&c->build, IMAGE_STRS);
    for (const struct node *arg = call->first->next; arg; arg = arg->next) {
        const struct node *v = term_value(arg);
        struct image_term t = blank_term();
        if (!v || v->kind != NODE_WORD || arg->count > 1) {
            check_error(c, arg, "argument", "a member of the group is the name of a signal");
            return false;
        }
        int32_t member = check_find(c, &c->signals, v);
        if (member < 0 || !c->signal_ok[member])
            return false;
        if (signal_at(c, (uint32_t)member).type != SIGNAL_NUMBER) {
            struct diag *d =
                check_error(c, v, "type", "`%.*s` is no number, so nothing can be compared",
                            SLICE_FMT(tree_text(c->tree, v)));
            diag_help(c->diags, d, "leave out its threshold: the group takes the greatest number");
            return false;
        }
        for (uint32_t k = 0; k < terms.count; k++)
            if (terms.at[k].signal == member) {
                check_error(c, v, "duplicate", "`%.*s` is a member already",
                            SLICE_FMT(tree_text(c->tree, v)));
                return false;
            }
        t.signal = member;
        t.word = terms.count;
        if (!add_term(c, &terms, &t, arg))
            return false;
        struct image_str str = builder_str(&c->build, tree_text(c->tree, v));
        *BUILDER_ADD(&c->build, IMAGE_STRS, struct image_str) = str;
    }
    s->words.count = terms.count;
    if (!clause) {
        struct diag *d =
            check_error(c, n->first, "missing", "the group does not say what it is `otherwise`");
        diag_help(c->diags, d, "add `otherwise other`: when no member leads, or one is not known");
        return false;
    }
    for (s->otherwise = 0; s->otherwise < terms.count; s->otherwise++)
        if (slice_eq(tree_text(c->tree, clause->first),
                     tree_text(c->tree, term_value(terms.nodes[s->otherwise]))))
            break;
    if (s->otherwise == terms.count) {
        struct image_str str = builder_str(&c->build, tree_text(c->tree, clause->first));
        *BUILDER_ADD(&c->build, IMAGE_STRS, struct image_str) = str;
        s->words.count++;
    }
    s->terms = emit_terms(c, &terms);
    return ok;
}

// ---- Order.

static uint32_t visit(struct checker *c, uint32_t i, uint32_t inside, const struct node *from);

// Deepest of the derived signals that an expression names.
static uint32_t visit_names(struct checker *c, const struct node *n, uint32_t inside)
{
    uint32_t deepest = 0;
    bool names = n->kind == NODE_TRUE || n->kind == NODE_COMPARE || n->kind == NODE_IN ||
                 n->kind == NODE_ALTERNATIVE || n->kind == NODE_UNIT ||
                 (n->kind == NODE_CALL && n->count == 1);
    if (names && n->first->kind == NODE_WORD) {
        void *known = map_get(&c->signals.map, tree_text(c->tree, n->first));
        uintptr_t i = (uintptr_t)known - 1;
        if (known && i < c->signals_written) {
            uint32_t d = visit(c, (uint32_t)i, inside, n->first);
            deepest = d > deepest ? d : deepest;
        }
    }
    for (const struct node *x = n->first; x; x = x->next) {
        uint32_t d = x->kind == NODE_WORD ? 0 : visit_names(c, x, inside);
        deepest = d > deepest ? d : deepest;
    }
    return deepest;
}

// Compiles a derived signal behind those that it looks at. Gives its depth: 0 of what a family computes.
static uint32_t visit(struct checker *c, uint32_t i, uint32_t inside, const struct node *from)
{
    const struct node *n = c->signals.nodes[i];
    enum image_derive kind = check_derive_kind(c, n);
    if (!kind)
        return 0;
    if (c->derive_state[i] >= DONE)
        return c->derive_state[i] - DONE;
    if (c->derive_state[i] == OPEN || inside > IMAGE_DERIVE_DEPTH_MAX) {
        struct diag *d =
            c->derive_state[i] == OPEN
                ? check_error(c, from, "cycle", "`%.*s` is made of itself",
                              SLICE_FMT(c->signals.at[i]))
                : check_error(c, from, "limit", "signals are made of signals more than %d deep",
                              IMAGE_DERIVE_DEPTH_MAX);
        diag_also(c->diags, d, tree_span(c->tree, n->first), "its definition");
        return 0;
    }
    c->derive_state[i] = OPEN;
    uint32_t errors = c->diags->errors, depth = 1 + visit_names(c, call_of(n), inside + 1);
    if (depth > IMAGE_DERIVE_DEPTH_MAX && c->diags->errors == errors)
        check_error(c, n->first, "limit", "signals are made of signals more than %d deep",
                    IMAGE_DERIVE_DEPTH_MAX);
    struct image_signal s = signal_at(c, i);
    s.derive = kind;
    s.depth = depth;
    bool ok = kind == IMAGE_DERIVE_LABEL   ? label(c, i, &s)
              : kind == IMAGE_DERIVE_SCORE ? score(c, i, &s)
                                           : exclusive(c, i, &s);
    c->signal_ok[i] = ok;
    *BUILDER_AT(&c->build, IMAGE_SIGNALS, struct image_signal, i) = s;
    c->derive_state[i] = DONE + depth;
    return depth;
}

void check_derived(struct checker *c)
{
    for (uint32_t i = 0; i < c->signals_written && !c->nomem; i++)
        visit(c, i, 1, c->signals.nodes[i]->first);
}
