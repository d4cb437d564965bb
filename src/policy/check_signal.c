// Signals: the family, its arguments, the type, threshold and on_error.
#include <float.h>
#include <stdio.h>

#include "policy/check.h"
#include "policy/policy.h"

struct args {
    const struct signal_family *family;
    bool given[64];   // per spec of the family
    struct slice tag; // of the last tagged string; it holds for the strings behind it
    const struct node *tag_node;
    bool ok;
};

static bool spec_has_tag(const struct signal_arg_spec *spec, struct slice tag)
{
    for (size_t i = 0; spec->tags && spec->tags[i]; i++)
        if (slice_eq_cstr(tag, spec->tags[i]))
            return true;
    return false;
}

static bool spec_has_word(const struct signal_arg_spec *spec, struct slice word)
{
    for (size_t i = 0; spec->words && spec->words[i]; i++)
        if (slice_eq_cstr(word, spec->words[i]))
            return true;
    return false;
}

static enum signal_arg_kind kind_of(const struct node *value)
{
    return value->kind == NODE_STRING ? SIGNAL_ARG_STRING
           : value->kind == NODE_WORD ? SIGNAL_ARG_WORD
                                      : SIGNAL_ARG_NUMBER;
}

// All that could be written in the place of a word that is not known.
static void suggest(struct checker *c, struct diag *d, struct slice text,
                    const struct signal_family *f, bool labels)
{
    const char *words[128];
    size_t n = 0;
    for (uint32_t i = 0; i < f->arg_count; i++) {
        const struct signal_arg_spec *spec = &f->args[i];
        if (labels && spec->name && n < MERIT_COUNT(words) - 1)
            words[n++] = spec->name;
        const char *const *from = labels ? spec->tags : spec->name ? NULL : spec->words;
        for (; from && *from && n < MERIT_COUNT(words) - 1; from++)
            words[n++] = *from;
    }
    words[n] = NULL;
    if (n)
        check_nearest_word(c, d, text, words, NULL);
    else if (f->arg_count && f->args[0].help)
        diag_help(c->diags, d, "%s", f->args[0].help);
}

// Which argument of the family this is; NULL with a finding.
static const struct signal_arg_spec *find_spec(struct checker *c, struct args *a,
                                               const struct node *label, const struct node *value)
{
    const struct signal_family *f = a->family;
    struct slice tag = label ? tree_text(c->tree, label) : SLICE_EMPTY;
    const struct signal_arg_spec *kind_fits = NULL;
    enum signal_arg_kind kind = kind_of(value);
    for (uint32_t i = 0; i < f->arg_count; i++) {
        const struct signal_arg_spec *spec = &f->args[i];
        if (label && ((spec->name && slice_eq_cstr(tag, spec->name)) ||
                      (!spec->name && spec_has_tag(spec, tag))))
            return spec;
        if (label || spec->name || spec->kind != kind)
            continue;
        if (!kind_fits || (a->given[kind_fits - f->args] && !kind_fits->repeated))
            kind_fits = spec;
        if (kind == SIGNAL_ARG_WORD && spec_has_word(spec, tree_text(c->tree, value)))
            return spec;
    }
    if (kind_fits && kind != SIGNAL_ARG_WORD)
        return kind_fits;
    struct slice text = tree_text(c->tree, label ? label : value);
    struct diag *d;
    if (label || kind == SIGNAL_ARG_WORD)
        d = check_error(c, label ? label : value, "argument", "`%s` takes no `%.*s`", f->name,
                        SLICE_FMT(text));
    else
        d = check_error(c, value, "argument", "`%s` takes no %s here", f->name,
                        kind == SIGNAL_ARG_STRING ? "string" : "number");
    suggest(c, d, text, f, label != NULL);
    return NULL;
}

static bool fill(struct checker *c, struct args *a, const struct signal_arg_spec *spec,
                 const struct node *label, const struct node *value, struct image_arg *arg)
{
    char what[96];
    snprintf(what, sizeof what, "`%s` of `%s`", spec->name ? spec->name : "the argument",
             a->family->name);
    struct slice text = tree_text(c->tree, value);
    if (spec->name)
        arg->name = builder_str(&c->build, slice_cstr(spec->name));
    if (spec->kind != kind_of(value)) {
        struct diag *d = check_error(c, value, "type", "%s is a %s", what,
                                     spec->kind == SIGNAL_ARG_STRING   ? "string"
                                     : spec->kind == SIGNAL_ARG_NUMBER ? "number"
                                                                       : "word");
        if (spec->kind == SIGNAL_ARG_STRING && value->kind == NODE_WORD)
            diag_help(c->diags, d, "put it in quotes: `\"%.*s\"`", SLICE_FMT(text));
        else if (spec->help)
            diag_help(c->diags, d, "%s", spec->help);
        return false;
    }
    switch (spec->kind) {
    case SIGNAL_ARG_STRING:
        arg->kind = IMAGE_ARG_STRING;
        arg->text = builder_str(&c->build, check_string(c, value));
        if (label && !spec->name)
            a->tag = tree_text(c->tree, label);
        if (!spec->name && a->tag.len && spec_has_tag(spec, a->tag))
            arg->tag = builder_str(&c->build, a->tag);
        return true;
    case SIGNAL_ARG_NUMBER:
        arg->kind = IMAGE_ARG_NUMBER;
        return check_number(c, value, spec->unit, what, spec->min, spec->max, &arg->number);
    case SIGNAL_ARG_WORD:
        arg->kind = IMAGE_ARG_WORD;
        arg->text = builder_str(&c->build, text);
        if (!spec->words || spec_has_word(spec, text))
            return true;
        check_nearest_word(
            c, check_error(c, value, "argument", "%s cannot be `%.*s`", what, SLICE_FMT(text)),
            text, spec->words, NULL);
        return false;
    }
    return false;
}

static void argument(struct checker *c, struct args *a, const struct node *n)
{
    const struct node *alternative = n->first;
    const struct node *label = alternative->count == 2 ? alternative->first : NULL,
                      *value = alternative->last;
    bool call = value->kind == NODE_CALL;
    const struct node *when = tree_clause(c->tree, n, "when");
    if (when) {
        struct diag *d =
            check_error(c, when, "argument", "`%s` takes no condition", a->family->name);
        diag_help(c->diags, d, "conditions stand in `max(...)` and `score(...)`");
        a->ok = false;
        return;
    }
    if (n->count > 1 || call) {
        check_unsupported(
            c, n, call ? "a signal inside a signal is" : "`|` between arguments of a signal is");
        a->ok = false;
        return;
    }
    const struct signal_arg_spec *spec = find_spec(c, a, label, value);
    if (!spec) {
        a->ok = false;
        return;
    }
    size_t i = (size_t)(spec - a->family->args);
    if (a->given[i] && !spec->repeated) {
        struct diag *d = check_error(c, n, "duplicate", "`%s` takes %s%s%s once", a->family->name,
                                     spec->name ? "`" : "this argument",
                                     spec->name ? spec->name : "", spec->name ? "`" : "");
        if (spec->help)
            diag_help(c->diags, d, "%s", spec->help);
        a->ok = false;
        return;
    }
    a->given[i] = true;
    struct image_arg arg;
    memset(&arg, 0, sizeof arg);
    struct span span = tree_span(c->tree, n);
    arg.begin = span.begin;
    arg.end = span.end;
    a->ok &= fill(c, a, spec, label, value, &arg);
    *BUILDER_ADD(&c->build, IMAGE_ARGS, struct image_arg) = arg;
}

static void words_of(struct checker *c, struct image_signal *s, const struct signal_family *f)
{
    s->words.at = builder_count(&c->build, IMAGE_STRS);
    for (; f->words && f->words[s->words.count] && s->words.count < IMAGE_WORDS_MAX;
         s->words.count++) {
        struct image_str str = builder_str(&c->build, slice_cstr(f->words[s->words.count]));
        *BUILDER_ADD(&c->build, IMAGE_STRS, struct image_str) = str;
    }
}

const struct signal_family *check_family(struct checker *c, struct slice name)
{
    for (uint32_t i = 0; i < c->registry->count; i++)
        if (slice_eq_cstr(name, c->registry->families[i]->name))
            return c->registry->families[i];
    return NULL;
}

static const struct signal_family *family_of(struct checker *c, const struct node *call)
{
    struct slice name = tree_text(c->tree, call->first);
    const struct signal_family *f = check_family(c, name);
    const char *names[128];
    size_t n = 0;
    if (f)
        return f;
    for (uint32_t i = 0; i < c->registry->count && n < MERIT_COUNT(names) - 3; i++)
        names[n++] = c->registry->families[i]->name;
    names[n++] = "score";
    names[n++] = "exclusive";
    names[n] = NULL;
    if (slice_eq(name, SLICE("max"))) {
        struct diag *d = check_error(c, call->first, "unknown-name", "`max` makes a label");
        diag_help(c->diags, d, "write `signal NAME label LATTICE = max(...)`");
        return NULL;
    }
    struct diag *d = check_error(c, call->first, "unknown-name",
                                 "no signal family is called `%.*s`", SLICE_FMT(name));
    check_nearest_word(c, d, name, names, NULL);
    return NULL;
}

// First half: what the family's own functions need to see.
static void define(struct checker *c, uint32_t i, struct slice name, const struct node *n,
                   const struct node *call)
{
    struct image_signal s;
    memset(&s, 0, sizeof s);
    s.lattice = IMAGE_NONE;
    s.name = builder_str(&c->build, name);
    s.line = tree_line(c->tree, n);
    s.args.at = builder_count(&c->build, IMAGE_ARGS);
    struct args a = {.family = family_of(c, call), .ok = true};
    assert(!a.family || a.family->arg_count <= MERIT_COUNT(a.given));
    if (a.family) {
        s.family = builder_str(&c->build, slice_cstr(a.family->name));
        for (const struct node *arg = call->first->next; arg; arg = arg->next)
            argument(c, &a, arg);
        for (uint32_t k = 0; k < a.family->arg_count; k++) {
            const struct signal_arg_spec *spec = &a.family->args[k];
            if (!spec->required || a.given[k] || !a.ok)
                continue;
            struct diag *d = check_error(c, call, "argument", "`%s` needs %s%s%s", a.family->name,
                                         spec->name ? "`" : "an argument",
                                         spec->name ? spec->name : "", spec->name ? "`" : "");
            if (spec->help)
                diag_help(c->diags, d, "%s", spec->help);
            a.ok = false;
        }
        words_of(c, &s, a.family);
    }
    s.args.count = builder_count(&c->build, IMAGE_ARGS) - s.args.at;
    c->families[i] = a.ok ? a.family : NULL;
    c->build.place = tree_span(c->tree, n->first);
    *BUILDER_ADD(&c->build, IMAGE_SIGNALS, struct image_signal) = s;
}

// What the caller asserts: `caller(label)`.
static void define_asserted(struct checker *c, uint32_t i, struct slice name, const struct node *n)
{
    struct image_signal s;
    memset(&s, 0, sizeof s);
    s.lattice = IMAGE_NONE;
    s.name = builder_str(&c->build, name);
    s.family = builder_str(&c->build, SLICE("caller"));
    s.line = tree_line(c->tree, n);
    s.args = (struct image_list){builder_count(&c->build, IMAGE_ARGS), 1};
    struct span span = tree_span(c->tree, n->first);
    struct image_arg arg;
    memset(&arg, 0, sizeof arg);
    arg.kind = IMAGE_ARG_WORD;
    arg.text = builder_str(&c->build, SLICE("label"));
    // Its members: all levels, and what stands for a word that is none.
    if (c->levels.count < IMAGE_WORDS_MAX) {
        s.words = (struct image_list){builder_count(&c->build, IMAGE_STRS), c->levels.count + 1};
        for (uint32_t k = 0; k < s.words.count; k++) {
            struct image_str str = builder_str(
                &c->build, k < c->levels.count ? c->levels.at[k] : SLICE(CHECK_NO_LEVEL));
            *BUILDER_ADD(&c->build, IMAGE_STRS, struct image_str) = str;
        }
    }
    arg.begin = span.begin;
    arg.end = span.end;
    c->build.place = span;
    *BUILDER_ADD(&c->build, IMAGE_ARGS, struct image_arg) = arg;
    c->families[i] = check_family(c, SLICE("caller"));
    if (!c->families[i])
        check_error(c, n, "unsupported", "this build knows nothing of callers");
    *BUILDER_ADD(&c->build, IMAGE_SIGNALS, struct image_signal) = s;
}

void check_hidden_signal(struct checker *c, struct slice name, const struct node *statement,
                         const struct node *call)
{
    uint32_t i = c->signals.count;
    if (!check_name_add(c, &c->signals, name, statement))
        return;
    c->signals.used[i] = true;
    if (call)
        define(c, i, name, statement, call);
    else
        define_asserted(c, i, name, statement);
    BUILDER_AT(&c->build, IMAGE_SIGNALS, struct image_signal, i)->hidden = true;
}

struct failing {
    struct checker *c;
    const struct image_signal *def;
    bool failed;
};

static void family_fails(void *ctx, uint32_t arg, const char *message)
{
    struct failing *f = ctx;
    const struct image_arg *at = IMAGE_AT(f->c->signal_image, f->def->args, struct image_arg);
    struct span span = {0, 0};
    if (arg < f->def->args.count)
        span = (struct span){at[arg].begin, at[arg].end};
    diag_add(f->c->diags, DIAG_ERROR, "argument", span, "%s", message);
    f->failed = true;
}

static bool threshold_in_range(struct checker *c, const struct node *n,
                               const struct image_signal *s, struct slice what)
{
    double min = s->number_min, max = s->number_max, t = s->threshold;
    bool never = s->threshold_above ? t >= max : t <= min,
         always = s->threshold_above ? t < min : t > max;
    if (!never && !always)
        return true;
    char range[96];
    if (max < DBL_MAX)
        snprintf(range, sizeof range, "between %.15g and %.15g", min, max);
    else
        snprintf(range, sizeof range, "at least %.15g", min);
    check_error(c, n, "range", "this %s holds: `%.*s` is %s", never ? "never" : "always",
                SLICE_FMT(what), range);
    return false;
}

bool check_threshold(struct checker *c, const struct node *n, struct image_signal *s,
                     struct slice name, const char *unit)
{
    const struct node *above = tree_clause(c->tree, n, "above"),
                      *below = tree_clause(c->tree, n, "below");
    const struct node *clause = above ? above : below;
    if (!clause)
        return true;
    if (above && below) {
        check_error(c, below, "duplicate", "a signal has one threshold: `above` or `below`");
        return false;
    }
    if (s->type != SIGNAL_NUMBER) {
        static const char *const kinds[] = {"a truth value", "a number", "one of several words",
                                            "a text", "texts"};
        struct diag *d = check_error(c, clause, "type",
                                     "`%.*s` gives %s here, so there is nothing above or below",
                                     SLICE_FMT(name), kinds[s->type]);
        if (s->type == SIGNAL_BOOL)
            diag_help(c->diags, d, "leave the threshold out");
        return false;
    }
    char what[96];
    snprintf(what, sizeof what, "a threshold on `%.*s`", SLICE_FMT(slice_head(name, 64)));
    s->has_threshold = true;
    s->threshold_above = above != NULL;
    s->type = SIGNAL_BOOL;
    return check_number(c, clause->first, unit, what, -DBL_MAX, DBL_MAX, &s->threshold) &&
           threshold_in_range(c, clause, s, name);
}

static bool is_one_of(struct slice text, const char *const *words)
{
    for (; *words; words++)
        if (slice_eq_cstr(text, *words))
            return true;
    return false;
}

static void on_error(struct checker *c, const struct node *n, struct image_signal *s,
                     const struct signal_family *f)
{
    const struct node *clause = tree_clause(c->tree, n, "on_error"),
                      *v = clause ? clause->first : NULL;
    if (!v)
        return;
    struct slice text = tree_text(c->tree, v);
    const char *expected = NULL;
    switch (s->type) {
    case SIGNAL_BOOL:
        s->error_number = slice_eq_cstr(text, "true");
        if (v->kind != NODE_WORD || (s->error_number == 0 && !slice_eq_cstr(text, "false")))
            expected = "`true` or `false`";
        break;
    case SIGNAL_NUMBER:
        if (v->kind == NODE_QUANTITY)
            check_number(c, v, f->unit, "this signal", s->number_min, s->number_max,
                         &s->error_number);
        else
            expected = "a number";
        break;
    case SIGNAL_ENUM:
        expected = "one of its words, without quotes";
        for (uint32_t i = 0; f->words && f->words[i] && v->kind == NODE_WORD; i++) {
            if (slice_eq_cstr(text, f->words[i])) {
                s->error_number = i;
                s->error_text = builder_str(&c->build, text);
                expected = NULL;
            }
        }
        break;
    case SIGNAL_TEXT:
    case SIGNAL_SET:
        if (v->kind == NODE_STRING)
            s->error_text = builder_str(&c->build, text = check_string(c, v));
        else
            expected = "a string in quotes";
        // A slip of the pen would let through what on_error is to stop.
        if (!expected && f->members && !is_one_of(text, f->members))
            expected = "one of the kinds that it tells, in quotes";
        break;
    }
    if (expected) {
        struct diag *d =
            check_error(c, v, "type", "this signal is of type %s, its `on_error` is %s",
                        image_type_name(s->type), expected);
        if (s->type == SIGNAL_ENUM && f->words)
            check_nearest_word(c, d, text, f->words, NULL);
        else if (s->type == SIGNAL_SET && f->members)
            check_nearest_word(c, d, text, f->members, NULL);
    }
}

static void only_families(struct checker *c, const struct node *n)
{
    static const char *const others[] = {"bands", "temperature", "margin", "otherwise"};
    for (size_t i = 0; i < MERIT_COUNT(others); i++) {
        const struct node *clause = tree_clause(c->tree, n, others[i]);
        if (clause)
            diag_help(
                c->diags, check_error(c, clause, "clause", "`%s` means nothing here", others[i]),
                i == 0 ? "bands stand behind `score(...)`" : "it stands behind `exclusive(...)`");
    }
}

// All that a set can hold, where that is few.
static void closed_words(struct checker *c, struct image_signal *s, const char *const *members)
{
    uint32_t count = 0;
    while (members[count])
        count++;
    if (count > IMAGE_WORDS_MAX)
        return;
    s->words = (struct image_list){builder_count(&c->build, IMAGE_STRS), count};
    for (uint32_t i = 0; i < count; i++) {
        struct image_str str = builder_str(&c->build, slice_cstr(members[i]));
        *BUILDER_ADD(&c->build, IMAGE_STRS, struct image_str) = str;
    }
}

// Second half: the type, and what depends on it.
static void finish(struct checker *c, uint32_t i)
{
    const struct node *n = c->signals.nodes[i];
    const struct signal_family *f = c->families[i];
    if (!f)
        return;
    const struct image_signal *def = image_signal(c->signal_image, (int32_t)i);
    struct failing failing = {.c = c, .def = def};
    if (f->check)
        f->check(c->signal_image, def, family_fails, &failing);
    if (failing.failed) {
        c->families[i] = NULL;
        return;
    }
    struct image_signal s = *BUILDER_AT(&c->build, IMAGE_SIGNALS, struct image_signal, i);
    s.type = f->type(c->signal_image, def);
    s.number_max = f->number_max > 0 ? f->number_max : DBL_MAX;
    s.whole = f->whole;
    if (f->range)
        f->range(c->signal_image, def, &s.number_max, &s.whole);
    if (s.type == SIGNAL_SET && f->members && s.words.count == 0)
        closed_words(c, &s, f->members);
    s.closed = s.type == SIGNAL_SET && s.words.count > 0;
    if (i < c->signals_written) {
        check_clauses_once(c, n);
        only_families(c, n);
        check_threshold(c, n, &s, slice_cstr(f->name), f->unit);
        on_error(c, n, &s, f);
    }
    c->signal_ok[i] = true;
    *BUILDER_AT(&c->build, IMAGE_SIGNALS, struct image_signal, i) = s;
}

// A derived signal's place in the section; check_derived fills it in.
static void reserve(struct checker *c, uint32_t i)
{
    struct image_signal s;
    memset(&s, 0, sizeof s);
    s.lattice = IMAGE_NONE;
    s.name = builder_str(&c->build, c->signals.at[i]);
    s.line = tree_line(c->tree, c->signals.nodes[i]);
    c->build.place = tree_span(c->tree, c->signals.nodes[i]->first);
    *BUILDER_ADD(&c->build, IMAGE_SIGNALS, struct image_signal) = s;
}

void check_signals(struct checker *c)
{
    struct policy_image *image = NULL;
    uint32_t room = c->signals.count + 1;
    c->signals_written = c->signals.count;
    for (uint32_t i = 0; i < c->signals_written; i++)
        room += check_hidden_bound(c, c->signals.nodes[i]);
    c->families = ARENA_ARRAY(c->arena, const struct signal_family *, room);
    c->signal_ok = ARENA_ARRAY(c->arena, bool, room);
    c->derive_state = ARENA_ARRAY(c->arena, uint32_t, room);
    c->hidden_first = ARENA_ARRAY(c->arena, uint32_t, room);
    if (!c->families || !c->signal_ok || !c->derive_state || !c->hidden_first) {
        c->nomem = true;
        return;
    }
    for (uint32_t i = 0; i < c->signals_written; i++) {
        const struct node *n = c->signals.nodes[i];
        if (check_derive_kind(c, n))
            reserve(c, i);
        else
            define(c, i, c->signals.at[i], n, n->first->next);
    }
    for (uint32_t i = 0; i < c->signals_written && !c->nomem; i++)
        check_hidden(c, i);
    if (c->nomem || builder_finish(&c->build, c->arena, &image) != RESULT_OK) {
        c->nomem = true;
        return;
    }
    c->signal_image = image;
    for (uint32_t i = 0; i < c->signals.count; i++)
        finish(c, i);
    check_derived(c);
}
