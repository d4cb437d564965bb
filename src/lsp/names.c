#include "lsp/names.h"

#include <stdlib.h>

struct finder {
    const struct tree *tree;
    const struct lsp_grammar *grammar;
    struct arena *arena;
    struct lsp_name *at;
    uint32_t count, room;
    uint32_t statement;
    const struct node *params;         // of the path being read
    struct map known[LSP_KIND_COUNT_]; // name -> the statement that defines it
    enum result result;
};

static void add(struct finder *f, uint32_t token, enum lsp_kind kind, bool defines)
{
    if (f->count == f->room) {
        uint32_t room = f->room ? f->room * 2 : 64;
        struct lsp_name *grown = ARENA_ARRAY(f->arena, struct lsp_name, room);
        if (!grown) {
            f->result = RESULT_NOMEM;
            return;
        }
        if (f->count)
            memcpy(grown, f->at, f->count * sizeof *grown);
        f->at = grown;
        f->room = room;
    }
    f->at[f->count++] = (struct lsp_name){token, f->statement, (uint8_t)kind, defines};
}

static bool is_known(const struct finder *f, enum lsp_kind kind, struct slice text)
{
    return map_get(&f->known[kind], text);
}

static void refer(struct finder *f, const struct node *n, enum lsp_kind kind)
{
    // The last route has no name but its word.
    if (n && n->kind == NODE_WORD && !(kind == LSP_ROUTE && tree_is(f->tree, n, "otherwise")))
        add(f, n->token, kind, false);
}

static void refer_all(struct finder *f, const struct node *n, enum lsp_kind kind)
{
    for (const struct node *c = n->first; c; c = c->next)
        refer(f, c, kind);
}

// The first of these kinds that has the name; LSP_NOTHING when none has. The list ends with LSP_NOTHING.
static enum lsp_kind first_known(const struct finder *f, struct slice text,
                                 const enum lsp_kind *kinds)
{
    while (*kinds && !is_known(f, *kinds, text))
        kinds++;
    return *kinds;
}

static bool is_param(const struct finder *f, struct slice text)
{
    for (const struct node *p = f->params ? f->params->first : NULL; p; p = p->next)
        if (slice_eq(tree_text(f->tree, p), text))
            return true;
    return false;
}

// What a step takes. An unknown name is taken for what would be the likeliest there, so that it can be told apart.
static enum lsp_kind taken(const struct finder *f, struct slice step, struct slice text)
{
    static const enum lsp_kind models[] = {LSP_MODEL, LSP_SINK, LSP_LEVEL, LSP_NOTHING},
                               sinks[] = {LSP_SINK, LSP_MODEL, LSP_NOTHING},
                               levels[] = {LSP_LEVEL, LSP_NOTHING};
    bool redacts = slice_eq(step, SLICE("redact")), asks_sink = slice_eq(step, SLICE("verify")) ||
                                                                slice_eq(step, SLICE("retrieve")) ||
                                                                slice_eq(step, SLICE("cache"));
    enum lsp_kind kind = first_known(f, text, redacts ? levels : asks_sink ? sinks : models);
    return kind ? kind : redacts ? LSP_LEVEL : asks_sink ? LSP_SINK : LSP_MODEL;
}

static void walk(struct finder *f, const struct node *n);

// The call that defines a signal; NULL when there is no such signal, or its statement does not parse.
static const struct node *definition(const struct finder *f, struct slice signal,
                                     const struct node **statement)
{
    const struct node *n = map_get(&f->known[LSP_SIGNAL], signal);
    const struct node *c = n && n->kind == NODE_SIGNAL ? n->first : NULL;
    while (c && c->kind != NODE_CALL)
        c = c->next;
    *statement = n;
    return c;
}

static bool has_word(const struct finder *f, const struct node *n, struct slice text)
{
    for (const struct node *c = n->first; c; c = c->next)
        if (c->kind == NODE_WORD ? slice_eq(tree_text(f->tree, c), text) : has_word(f, c, text))
            return true;
    return false;
}

// A word that a signal is compared with is a name when the signal is a label (a level) or an exclusive group (a member).
static void answer(struct finder *f, struct slice signal, const struct node *v)
{
    const struct node *statement, *call;
    if (v->kind != NODE_WORD || !(call = definition(f, signal, &statement)))
        return;
    struct slice text = tree_text(f->tree, v);
    if (tree_clause(f->tree, statement, "label"))
        refer(f, v, LSP_LEVEL);
    else if (tree_is(f->tree, call->first, "exclusive") && has_word(f, call, text) &&
             is_known(f, LSP_SIGNAL, text))
        refer(f, v, LSP_SIGNAL);
}

static void condition(struct finder *f, const struct node *n)
{
    if (tree_is(f->tree, n, "true") || tree_is(f->tree, n, "false"))
        return;
    refer(f, n->first, LSP_SIGNAL);
    for (const struct node *v = n->first->next; v; v = v->next)
        answer(f, tree_text(f->tree, n->first), v);
}

// A step: its own name when that is a path's, and what it takes.
static void step_call(struct finder *f, const struct node *n)
{
    struct slice step = tree_text(f->tree, n->first);
    if (is_known(f, LSP_PATH, step))
        refer(f, n->first, LSP_PATH);
    for (const struct node *arg = n->first->next; arg; arg = arg->next)
        for (const struct node *a = arg->first; a; a = a->next) {
            const struct node *v = a->kind == NODE_ALTERNATIVE ? a->first : NULL;
            if (!v || v->kind != NODE_WORD || tree_is(f->tree, v, "any"))
                continue;
            struct slice text = tree_text(f->tree, v);
            refer(f, v, is_param(f, text) ? LSP_PARAM : taken(f, step, text));
        }
}

// What raises a label, is weighed or is a member of a group. Words of a family are none of the policy's names.
static void signal_call(struct finder *f, const struct node *call, bool label)
{
    static const enum lsp_kind raising[] = {LSP_LEVEL, LSP_SIGNAL, LSP_NOTHING};
    bool score = tree_is(f->tree, call->first, "score"),
         group = tree_is(f->tree, call->first, "exclusive");
    struct slice only = tree_text(f->tree, call->first);
    if (label && call->count == 1)
        refer(f, first_known(f, only, raising) ? call->first : NULL, first_known(f, only, raising));
    for (const struct node *arg = call->first->next; arg; arg = arg->next) {
        const struct node *v = arg->first->first, *when = tree_clause(f->tree, arg, "when");
        if (when)
            walk(f, when);
        if (!v || arg->first->kind != NODE_ALTERNATIVE)
            continue;
        struct slice text = tree_text(f->tree, v);
        if (score && v->kind == NODE_QUANTITY && v->count == 2 && v->last->count == 1)
            refer(f, v->last->first, LSP_SIGNAL);
        else if (group)
            refer(f, v, LSP_SIGNAL);
        else if (label && tree_is(f->tree, call->first, "max") && v->kind == NODE_WORD &&
                 first_known(f, text, raising))
            refer(f, v, first_known(f, text, raising));
        else if (label && when)
            refer(f, v, LSP_LEVEL);
    }
}

static void signal_statement(struct finder *f, const struct node *n)
{
    const struct node *label = tree_clause(f->tree, n, "label"),
                      *on_error = tree_clause(f->tree, n, "on_error"),
                      *otherwise = tree_clause(f->tree, n, "otherwise");
    add(f, n->first->token, LSP_SIGNAL, true);
    if (label)
        refer(f, label->first, LSP_LATTICE);
    for (const struct node *c = n->first; c; c = c->next)
        if (c->kind == NODE_CALL)
            signal_call(f, c, label);
    if (label && on_error)
        refer(f, on_error->first, LSP_LEVEL);
    if (otherwise)
        answer(f, tree_text(f->tree, n->first), otherwise->first);
}

static enum lsp_kind kind_of_word(struct slice word)
{
    return slice_eq(word, SLICE("zone"))    ? LSP_ZONE
           : slice_eq(word, SLICE("model")) ? LSP_MODEL
           : slice_eq(word, SLICE("sink"))  ? LSP_SINK
           : slice_eq(word, SLICE("route")) ? LSP_ROUTE
                                            : LSP_NOTHING;
}

static void clause(struct finder *f, const struct node *n)
{
    struct slice word = tree_text(f->tree, n);
    enum lsp_kind kind = kind_of_word(word);
    if (slice_eq(word, SLICE("clears")) || slice_eq(word, SLICE("holds")))
        kind = LSP_LEVEL;
    else if (slice_eq(word, SLICE("below")))
        kind = LSP_SIGNAL;
    if (kind)
        refer_all(f, n, kind);
    for (const struct node *c = n->first; c; c = c->next)
        if (c->kind != NODE_WORD)
            walk(f, c);
}

static void claim(struct finder *f, const struct node *n)
{
    enum lsp_kind kind = kind_of_word(tree_text(f->tree, n));
    if (tree_is(f->tree, n, "no"))
        kind = LSP_LEVEL;
    if (tree_is(f->tree, n, "agree"))
        return;
    if (kind && n->first)
        refer_all(f, n, kind);
    for (const struct node *c = n->first; c; c = c->next)
        if (c->kind != NODE_WORD)
            walk(f, c);
}

// Anything below a statement.
static void walk(struct finder *f, const struct node *n)
{
    switch (n->kind) {
    case NODE_TRUE:
    case NODE_COMPARE:
    case NODE_IN:
        condition(f, n);
        return;
    case NODE_CALL:
        step_call(f, n);
        return;
    case NODE_CLAUSE:
        clause(f, n);
        return;
    case NODE_CLAIM:
        claim(f, n);
        return;
    default:
        for (const struct node *c = n->first; c; c = c->next)
            walk(f, c);
    }
}

// But for a comparison that is no condition: `where quality >= 0.6`.
static void walk_parts(struct finder *f, const struct node *n)
{
    for (const struct node *c = n->first; c; c = c->next)
        if (c->kind != NODE_CLAUSE || !tree_is(f->tree, c, "where"))
            walk(f, c);
}

// A word of a statement that does not parse.
static void word(struct finder *f, const struct lsp_reading *r, uint32_t set, uint32_t token)
{
    struct lsp_expect x = {.edge = NULL};
    struct slice text = tree_token_text(f->tree, token);
    struct lsp_place p = {.role = LSP_ROLE_NONE};
    while (lsp_reading_next(r, set, &x)) {
        if (x.edge->kind == LSP_EDGE_WORD && slice_eq(r->grammar->words[x.edge->what], text))
            return;
        if (x.edge->kind == LSP_EDGE_NAME && p.role == LSP_ROLE_NONE)
            p = lsp_place_of(r, set, &x);
    }
    static const enum lsp_kind named[] = {LSP_LEVEL, LSP_SIGNAL, LSP_NOTHING},
                               about[] = {LSP_ROUTE, LSP_PATH,   LSP_MODEL,  LSP_SINK,
                                          LSP_ZONE,  LSP_SIGNAL, LSP_NOTHING};
    struct slice subject = tree_token_text(f->tree, f->statement + p.subject);
    enum lsp_kind kind = p.kind;
    switch (p.role) {
    case LSP_ROLE_DEFINES:
        add(f, token, kind, true);
        return;
    case LSP_ROLE_REFERS:
        break;
    case LSP_ROLE_STEP:
        kind = is_known(f, LSP_PATH, text) ? LSP_PATH : LSP_NOTHING;
        break;
    case LSP_ROLE_TAKEN:
        kind = slice_eq(text, SLICE("any")) ? LSP_NOTHING : taken(f, subject, text);
        for (uint32_t i = f->count; i-- > 0 && f->at[i].statement == f->statement;)
            if (f->at[i].kind == LSP_PARAM && f->at[i].defines &&
                slice_eq(tree_token_text(f->tree, f->at[i].token), text))
                kind = LSP_PARAM;
        break;
    case LSP_ROLE_PASSED:
        kind = LSP_SINK;
        break;
    case LSP_ROLE_REACHED:
        kind = kind_of_word(tree_token_text(f->tree, token - 1));
        break;
    case LSP_ROLE_ABOUT:
        kind = first_known(f, text, about);
        break;
    case LSP_ROLE_ARGUMENT:
    case LSP_ROLE_WEIGHED:
    case LSP_ROLE_OWN:
    case LSP_ROLE_ANSWER:
        kind = first_known(f, text, named);
        break;
    default:
        return;
    }
    if (kind && !(kind == LSP_ROUTE && slice_eq(text, SLICE("otherwise"))))
        add(f, token, kind, false);
}

static void bad(struct finder *f, const struct node *n)
{
    struct lsp_reading r;
    if (lsp_reading_open(&r, f->grammar)) {
        f->result = RESULT_NOMEM;
        return;
    }
    for (uint32_t i = n->token; i < n->end && !f->result; i++) {
        uint32_t set;
        enum token_kind kind = (enum token_kind)f->tree->tokens.at[i].kind;
        enum result result = lsp_reading_take(&r, kind, tree_token_text(f->tree, i), &set);
        if (result == RESULT_OK && kind == TOKEN_WORD)
            word(f, &r, set, i);
        else if (result == RESULT_OK && kind == TOKEN_STRING && i == n->token + 1 &&
                 tree_is(f->tree, n, "alias"))
            add(f, i, LSP_ALIAS, true);
        if (result == RESULT_NOMEM)
            f->result = result;
        if (result == RESULT_LIMIT)
            break;
    }
    lsp_reading_close(&r);
}

static void assume(struct finder *f, const struct node *n)
{
    static const enum lsp_kind about[] = {LSP_ROUTE, LSP_PATH,   LSP_MODEL,  LSP_SINK,
                                          LSP_ZONE,  LSP_SIGNAL, LSP_NOTHING};
    const struct node *name = n->first->next;
    if (name->kind == NODE_WORD && first_known(f, tree_text(f->tree, name), about))
        refer(f, name, first_known(f, tree_text(f->tree, name), about));
}

static const struct defining {
    uint8_t node;
    enum lsp_kind kind;
} defining[] = {{NODE_ZONE, LSP_ZONE}, {NODE_SINK, LSP_SINK},   {NODE_MODEL, LSP_MODEL},
                {NODE_PATH, LSP_PATH}, {NODE_ROUTE, LSP_ROUTE}, {NODE_ALIAS, LSP_ALIAS}};

static void statement(struct finder *f, const struct node *n)
{
    f->statement = n->token;
    f->params = NULL;
    for (size_t i = 0; i < MERIT_COUNT(defining); i++)
        if (n->kind == defining[i].node)
            add(f, n->first->token, defining[i].kind, true);
    switch (n->kind) {
    case NODE_HEADER:
        break;
    case NODE_LATTICE:
        add(f, n->first->token, LSP_LATTICE, true);
        for (const struct node *c = n->first->next; c; c = c->next)
            add(f, c->token, LSP_LEVEL, true);
        break;
    case NODE_ALIAS:
        refer(f, n->last->first, tree_is(f->tree, n->last, "route") ? LSP_ROUTE : LSP_MODEL);
        break;
    case NODE_PASS:
        refer(f, n->last, LSP_MODEL);
        break;
    case NODE_SIGNAL:
        signal_statement(f, n);
        break;
    case NODE_ASSUME:
        assume(f, n);
        break;
    case NODE_BAD:
        bad(f, n);
        break;
    case NODE_PATH:
        f->params = n->first->next;
        for (const struct node *p = f->params->first; p; p = p->next)
            add(f, p->token, LSP_PARAM, true);
        walk_parts(f, n);
        break;
    default:
        walk_parts(f, n);
    }
}

static void know(struct finder *f, enum lsp_kind kind, uint32_t token, const struct node *n)
{
    struct slice text = tree_token_text(f->tree, token);
    if (f->tree->tokens.at[token].kind == TOKEN_WORD && !is_known(f, kind, text))
        f->result = map_put(&f->known[kind], text, (void *)(uintptr_t)n);
}

// The names of the whole file, whether their statements parse or not.
static void know_all(struct finder *f)
{
    for (const struct node *n = f->tree->root->first; n && !f->result; n = n->next) {
        enum lsp_kind kind = LSP_LATTICE;
        while (kind < LSP_ALIAS && (kind == LSP_LEVEL || !tree_is(f->tree, n, lsp_kind_name(kind))))
            kind++;
        if (kind == LSP_ALIAS || n->token + 1 >= n->end)
            continue;
        know(f, kind, n->token + 1, n);
        for (uint32_t i = n->token + 2; kind == LSP_LATTICE && i < n->end && !f->result; i++)
            know(f, LSP_LEVEL, i, n);
    }
}

static int by_token(const void *a, const void *b)
{
    uint32_t x = ((const struct lsp_name *)a)->token, y = ((const struct lsp_name *)b)->token;
    return x < y ? -1 : x > y;
}

enum result lsp_names_find(const struct tree *t, const struct lsp_grammar *g, struct arena *arena,
                           struct lsp_names *out)
{
    struct finder f = {.tree = t, .grammar = g, .arena = arena};
    for (int i = 0; i < LSP_KIND_COUNT_; i++)
        map_init(&f.known[i], (struct hash_key){0x6c7370, 0x6e616d65}, 1000000);
    know_all(&f);
    for (const struct node *n = t->root->first; n && !f.result; n = n->next)
        statement(&f, n);
    for (int i = 0; i < LSP_KIND_COUNT_; i++)
        map_deinit(&f.known[i]);
    if (f.count)
        qsort(f.at, f.count, sizeof *f.at, by_token);
    *out = (struct lsp_names){f.at, f.count};
    return f.result;
}

const struct lsp_name *lsp_names_at(const struct lsp_names *n, uint32_t token)
{
    struct lsp_name key = {.token = token};
    return n->count ? bsearch(&key, n->at, n->count, sizeof *n->at, by_token) : NULL;
}

struct slice lsp_name_text(const struct tree *t, const struct lsp_name *n)
{
    struct slice text = tree_token_text(t, n->token);
    if (t->tokens.at[n->token].kind == TOKEN_STRING && text.len >= 2)
        return slice_head(slice_from(text, 1), text.len - 2);
    return text;
}

struct span lsp_name_span(const struct tree *t, const struct lsp_name *n)
{
    const struct token *at = &t->tokens.at[n->token];
    uint32_t quote = at->kind == TOKEN_STRING && at->end - at->begin >= 2;
    return (struct span){at->begin + quote, at->end - quote};
}

const struct lsp_name *lsp_names_by_text(const struct tree *t, const struct lsp_names *n,
                                         enum lsp_kind kind, struct slice text, uint32_t statement)
{
    for (uint32_t i = 0; i < n->count; i++)
        if (n->at[i].defines && n->at[i].kind == kind &&
            (kind != LSP_PARAM || n->at[i].statement == statement) &&
            slice_eq(lsp_name_text(t, &n->at[i]), text))
            return &n->at[i];
    return NULL;
}

const struct lsp_name *lsp_names_definition(const struct tree *t, const struct lsp_names *n,
                                            const struct lsp_name *of)
{
    return lsp_names_by_text(t, n, (enum lsp_kind)of->kind, lsp_name_text(t, of), of->statement);
}

bool lsp_names_same(const struct tree *t, const struct lsp_name *a, const struct lsp_name *b)
{
    return a->kind == b->kind && (a->kind != LSP_PARAM || a->statement == b->statement) &&
           slice_eq(lsp_name_text(t, a), lsp_name_text(t, b));
}

bool lsp_token_at(const struct tree *t, uint32_t offset, uint32_t *token)
{
    uint32_t low = 0, high = t->tokens.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (t->tokens.at[middle].begin <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    *token = low - 1;
    return low > 0;
}

uint32_t lsp_statement_begin(const struct tree *t, uint32_t token)
{
    while (token > 0 && !(t->tokens.at[token].margin && t->tokens.at[token].kind == TOKEN_WORD))
        token--;
    return token;
}

uint32_t lsp_statement_end(const struct tree *t, uint32_t token)
{
    do
        token++;
    while (token < t->tokens.count &&
           !(t->tokens.at[token].margin && t->tokens.at[token].kind == TOKEN_WORD));
    return token;
}

const struct node *lsp_statement_node(const struct tree *t, uint32_t token)
{
    for (const struct node *n = t->root->first; n; n = n->next)
        if (n->token <= token && token < n->end)
            return n;
    return NULL;
}
