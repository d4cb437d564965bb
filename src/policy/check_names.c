// Which names there are, and what becomes of those that nobody uses.
#include <stdarg.h>
#include <stdio.h>

#include "policy/check.h"
#include "policy/policy.h"

static const char poison_mark;
#define POISON ((void *)(uintptr_t)&poison_mark)

static struct diag *MERIT_PRINTF(5, 0)
    add(struct checker *c, enum diag_severity severity, const struct node *n, const char *code,
        const char *fmt, va_list args)
{
    char text[384];
    vsnprintf(text, sizeof text, fmt, args);
    return diag_add(c->diags, severity, code, tree_span(c->tree, n), "%s", text);
}

struct diag *check_error(struct checker *c, const struct node *n, const char *code, const char *fmt,
                         ...)
{
    va_list args;
    va_start(args, fmt);
    struct diag *d = add(c, DIAG_ERROR, n, code, fmt, args);
    va_end(args);
    return d;
}

struct diag *check_warning(struct checker *c, const struct node *n, const char *code,
                           const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    struct diag *d = add(c, DIAG_WARNING, n, code, fmt, args);
    va_end(args);
    return d;
}

bool check_told(struct checker *c, const struct node *n, const char *code)
{
    struct span s = tree_span(c->tree, n);
    for (uint32_t i = 0; i < c->diags->count; i++) {
        const struct diag *d = &c->diags->items[i];
        if (d->span.begin == s.begin && d->span.end == s.end && !strcmp(d->code, code))
            return true;
    }
    return c->diags->dropped > 0;
}

void check_unsupported(struct checker *c, const struct node *n, const char *what)
{
    check_error(c, n, "unsupported", "%s not supported by this build yet", what);
}

void check_nearest(struct checker *c, struct diag *d, struct slice name, const struct slice *at,
                   size_t count)
{
    // A finding that is only counted needs no search: a file of ten thousand mistakes stays cheap.
    int near = d == &c->diags->scratch ? -1 : diag_nearest(name, at, count);
    if (near >= 0)
        diag_help(c->diags, d, "did you mean `%.*s`?", SLICE_FMT(at[near]));
}

void check_nearest_word(struct checker *c, struct diag *d, struct slice name,
                        const char *const *words, const char *otherwise)
{
    enum { WORDS_MAX = 128 };
    struct slice at[WORDS_MAX];
    size_t count = 0;
    char list[384];
    int len = 0;
    if (d == &c->diags->scratch)
        return;
    for (; words[count] && count < WORDS_MAX; count++) {
        at[count] = slice_cstr(words[count]);
        if (len < (int)sizeof list)
            len += snprintf(list + len, sizeof list - (size_t)len, "%s`%s`", count ? ", " : "",
                            words[count]);
    }
    int near = diag_nearest(name, at, count);
    if (near >= 0)
        diag_help(c->diags, d, "did you mean `%s`?", words[near]);
    else if (otherwise)
        diag_help(c->diags, d, "%s", otherwise);
    else if (count)
        diag_help(c->diags, d, "it is one of %s", list);
}

int32_t check_word_of(struct checker *c, const struct node *word, const char *const *words,
                      const char *what)
{
    for (int32_t i = 0; words[i]; i++)
        if (tree_is(c->tree, word, words[i]))
            return i;
    check_nearest_word(c,
                       check_error(c, word, "unknown-word", "no %s is called `%.*s`", what,
                                   SLICE_FMT(tree_text(c->tree, word))),
                       tree_text(c->tree, word), words, NULL);
    return IMAGE_NONE;
}

bool check_is_reserved(struct slice name)
{
    static const char *const words[] = {
        "and", "or",     "not",   "in",     "when",      "else",    "as",
        "any", "true",   "false", "routes", "otherwise", "above",   "below",
        "to",  "within", "where", "refuse", "answer",    "default", "escalate"};
    for (size_t i = 0; i < MERIT_COUNT(words); i++)
        if (slice_eq_cstr(name, words[i]))
            return true;
    return false;
}

static bool grow(struct checker *c, struct names *n)
{
    if (n->count < n->room)
        return true;
    uint32_t room = n->room ? n->room * 2 : 16;
    struct slice *at = ARENA_ARRAY(c->arena, struct slice, room);
    const struct node **nodes = ARENA_ARRAY(c->arena, const struct node *, room);
    bool *used = ARENA_ARRAY(c->arena, bool, room);
    if (!at || !nodes || !used)
        return false;
    if (n->count) {
        memcpy(at, n->at, n->count * sizeof *at);
        memcpy(nodes, n->nodes, n->count * sizeof *nodes);
        memcpy(used, n->used, n->count * sizeof *used);
    }
    n->at = at;
    n->nodes = nodes;
    n->used = used;
    n->room = room;
    return true;
}

bool check_name_add(struct checker *c, struct names *in, struct slice text, const struct node *node)
{
    if (!grow(c, in) || map_put(&in->map, text, (void *)(uintptr_t)(in->count + 1)) != RESULT_OK) {
        c->nomem = true;
        return false;
    }
    in->at[in->count] = text;
    in->nodes[in->count++] = node;
    return true;
}

static void declare(struct checker *c, struct names *in, const struct node *statement)
{
    const struct node *name = statement->first;
    struct slice text =
        name->kind == NODE_STRING ? check_string(c, name) : tree_text(c->tree, name);
    void *known = map_get(&in->map, text);
    if (text.len > POLICY_NAME_MAX || text.len == 0) {
        check_error(c, name, "limit", "a name has between 1 and %d bytes", POLICY_NAME_MAX);
    } else if (name->kind == NODE_WORD && check_is_reserved(text)) {
        check_error(c, name, "reserved", "`%.*s` is a word of the language", SLICE_FMT(text));
    } else if (known && known != POISON) {
        uint32_t first = (uint32_t)((uintptr_t)known - 1);
        struct diag *d = check_error(c, name, "duplicate", "%s `%.*s` is defined twice", in->what,
                                     SLICE_FMT(text));
        diag_also(c->diags, d, tree_span(c->tree, in->nodes[first]->first), "first here");
        return;
    }
    check_name_add(c, in, text, statement);
}

// A name that stands in a statement that could not be read is known all the same.
static void poisoned(struct checker *c, const struct node *statement)
{
    const struct {
        const char *word;
        struct names *in;
    } kinds[] = {{"lattice", &c->lattices}, {"sink", &c->sinks},     {"zone", &c->zones},
                 {"model", &c->models},     {"signal", &c->signals}, {"path", &c->paths},
                 {"route", &c->routes},     {"alias", &c->aliases}};
    c->bad_statement = true;
    c->bad_header |= tree_is(c->tree, statement, "policy");
    c->bad_otherwise |= tree_is(c->tree, statement, "otherwise");
    if (statement->token + 1 >= statement->end ||
        c->tree->tokens.at[statement->token + 1].kind != TOKEN_WORD)
        return;
    struct slice name = tree_token_text(c->tree, statement->token + 1);
    for (size_t i = 0; i < MERIT_COUNT(kinds); i++)
        if (tree_is(c->tree, statement, kinds[i].word) && !map_get(&kinds[i].in->map, name) &&
            map_put(&kinds[i].in->map, name, POISON) != RESULT_OK)
            c->nomem = true;
}

static void header(struct checker *c, const struct node *n)
{
    if (c->header) {
        struct diag *d = check_error(c, n, "duplicate", "a file holds one policy");
        diag_also(c->diags, d, tree_span(c->tree, c->header), "its header is here");
        return;
    }
    c->header = n;
    if (n != c->tree->root->first)
        check_error(c, n, "order", "the policy's header is the first statement of the file");
    struct slice name = check_string(c, n->first);
    if (name.len == 0 || name.len > POLICY_NAME_MAX)
        check_error(c, n->first, "limit", "a name has between 1 and %d bytes", POLICY_NAME_MAX);
    c->build.head.name = builder_str(&c->build, name);
    check_whole(c, n->first->next, NULL, "a version", 0, 4000000000, &c->build.head.policy_version);
}

static void otherwise(struct checker *c, const struct node *n)
{
    if (!c->otherwise) {
        c->otherwise = n;
        return;
    }
    struct diag *d = check_error(c, n, "duplicate", "there are two `otherwise`");
    diag_also(c->diags, d, tree_span(c->tree, c->otherwise), "first here");
}

bool check_collect(struct checker *c)
{
    for (const struct node *n = c->tree->root->first; n; n = n->next) {
        switch (n->kind) {
        case NODE_HEADER:
            header(c, n);
            break;
        case NODE_LATTICE:
            declare(c, &c->lattices, n);
            break;
        case NODE_ZONE:
            declare(c, &c->zones, n);
            break;
        case NODE_SINK:
            declare(c, &c->sinks, n);
            break;
        case NODE_MODEL:
            declare(c, &c->models, n);
            break;
        case NODE_SIGNAL:
            declare(c, &c->signals, n);
            break;
        case NODE_PATH:
            declare(c, &c->paths, n);
            break;
        case NODE_ROUTE:
            if (c->otherwise) {
                struct diag *d = check_error(c, n, "unreachable",
                                             "no request reaches a route behind `otherwise`");
                diag_also(c->diags, d, tree_span(c->tree, c->otherwise),
                          "it takes all that is left");
            }
            declare(c, &c->routes, n);
            break;
        case NODE_ALIAS:
            declare(c, &c->aliases, n);
            break;
        case NODE_OTHERWISE:
            otherwise(c, n);
            break;
        case NODE_DISPATCH:
            if (c->dispatch) {
                struct diag *d = check_error(c, n, "duplicate", "there are two `dispatch`");
                diag_also(c->diags, d, tree_span(c->tree, c->dispatch), "first here");
            } else {
                c->dispatch = n;
            }
            break;
        case NODE_BAD:
            poisoned(c, n);
            break;
        }
    }
    return !c->nomem;
}

int32_t check_find(struct checker *c, struct names *in, const struct node *word)
{
    struct slice name = tree_text(c->tree, word);
    void *known = map_get(&in->map, name);
    if (known == POISON)
        return NAME_POISONED;
    if (known) {
        uint32_t i = (uint32_t)((uintptr_t)known - 1);
        in->used[i] = true;
        return (int32_t)i;
    }
    struct diag *d =
        check_error(c, word, "unknown-name", "no %s is called `%.*s`", in->what, SLICE_FMT(name));
    check_nearest(c, d, name, in->at, in->count);
    return NAME_UNKNOWN;
}

// Sinks that get what they get because they are there.
static bool reached_anyway(struct checker *c, uint32_t sink)
{
    enum image_sink_kind kind = BUILDER_AT(&c->build, IMAGE_SINKS, struct image_sink, sink)->kind;
    return kind == IMAGE_SINK_EMBEDDING || kind == IMAGE_SINK_MEMORY || kind == IMAGE_SINK_LOG ||
           kind == IMAGE_SINK_TRACE;
}

void check_unused(struct checker *c)
{
    struct names *const kinds[] = {&c->signals, &c->paths, &c->models,
                                   &c->zones,   &c->sinks, &c->lattices};
    if (!c->diags->errors)
        check_dates(c);
    // What uses a name may stand where a mistake is.
    for (size_t k = 0; k < MERIT_COUNT(kinds) && !c->diags->errors; k++)
        for (uint32_t i = 0; i < kinds[k]->count; i++)
            if (!kinds[k]->used[i] && !(kinds[k] == &c->sinks && reached_anyway(c, i)))
                check_warning(c, kinds[k]->nodes[i]->first, "unused", "nothing uses %s `%.*s`",
                              kinds[k]->what, SLICE_FMT(kinds[k]->at[i]));
}
