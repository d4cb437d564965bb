#include "lsp/names.h"

#include <stdlib.h>

struct finder {
    const struct tree *tree;
    const struct lsp_grammar *grammar;
    struct arena *arena;
    struct lsp_name *at;
    uint32_t count, room;
    uint32_t statement;
    const struct node *params; // of the path being read
    struct map paths;          // names of paths
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

static void add_word(struct finder *f, const struct node *n, enum lsp_kind kind, bool defines)
{
    if (n && n->kind == NODE_WORD)
        add(f, n->token, kind, defines);
}

static bool is_param(const struct finder *f, struct slice text)
{
    for (const struct node *p = f->params ? f->params->first : NULL; p; p = p->next)
        if (slice_eq(tree_text(f->tree, p), text))
            return true;
    return false;
}

static void guard(struct finder *f, const struct node *n)
{
    switch (n->kind) {
    case NODE_TRUE:
    case NODE_COMPARE:
    case NODE_IN:
        if (!tree_is(f->tree, n, "true") && !tree_is(f->tree, n, "false"))
            add_word(f, n->first, LSP_SIGNAL, false);
        return;
    default:
        for (const struct node *c = n->first; c; c = c->next)
            guard(f, c);
    }
}

static void candidate(struct finder *f, const struct node *alternative)
{
    const struct node *word = alternative->first;
    if (word->kind != NODE_WORD || tree_is(f->tree, word, "any"))
        return;
    add_word(f, word, is_param(f, tree_text(f->tree, word)) ? LSP_PARAM : LSP_MODEL, false);
}

static void chain(struct finder *f, const struct node *n)
{
    for (const struct node *c = n->first; c; c = c->next) {
        if (n->kind == NODE_CALL && c == n->first) {
            if (map_get(&f->paths, tree_text(f->tree, c)))
                add_word(f, c, LSP_PATH, false);
        } else if (c->kind == NODE_ALTERNATIVE) {
            candidate(f, c);
        } else if (c->kind == NODE_STEP || c->kind == NODE_CALL || c->kind == NODE_ARG) {
            chain(f, c);
        }
    }
}

static void clauses(struct finder *f, const struct node *n)
{
    for (const struct node *c = n->first; c; c = c->next) {
        if (c->kind != NODE_CLAUSE || !c->first)
            continue;
        if (tree_is(f->tree, c, "zone"))
            add_word(f, c->first, LSP_ZONE, false);
        else if (c->first->kind == NODE_CHAIN)
            chain(f, c->first);
    }
}

static void path(struct finder *f, const struct node *n)
{
    f->params = n->first->next;
    add_word(f, n->first, LSP_PATH, true);
    for (const struct node *p = f->params->first; p; p = p->next)
        add_word(f, p, LSP_PARAM, true);
    chain(f, f->params->next);
    clauses(f, n);
    f->params = NULL;
}

static void route(struct finder *f, const struct node *n)
{
    for (const struct node *c = n->first; c; c = c->next) {
        if (c->kind == NODE_CHAIN)
            chain(f, c);
        else if (c->kind == NODE_WORD && c == n->first)
            add_word(f, c, LSP_ROUTE, true);
        else if (c->kind != NODE_CLAUSE)
            guard(f, c);
    }
    clauses(f, n);
}

static void alias(struct finder *f, const struct node *n)
{
    const struct node *target = n->first->next;
    add(f, n->first->token, LSP_ALIAS, true);
    add_word(f, target->first, tree_is(f->tree, target, "route") ? LSP_ROUTE : LSP_MODEL, false);
}

static bool is_known(const struct finder *f, enum lsp_kind kind, struct slice text);

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
    if (p.role == LSP_ROLE_DEFINES)
        add(f, token, p.kind, true);
    else if (p.role == LSP_ROLE_REFERS)
        add(f, token, p.kind, false);
    else if (p.role == LSP_ROLE_STEP && map_get(&f->paths, text))
        add(f, token, LSP_PATH, false);
    else if (p.role == LSP_ROLE_CANDIDATE && !slice_eq(text, SLICE("any")))
        add(f, token, is_known(f, LSP_PARAM, text) ? LSP_PARAM : LSP_MODEL, false);
}

static bool is_known(const struct finder *f, enum lsp_kind kind, struct slice text)
{
    for (uint32_t i = f->count; i-- > 0 && f->at[i].statement == f->statement;)
        if (f->at[i].kind == kind && f->at[i].defines &&
            slice_eq(tree_token_text(f->tree, f->at[i].token), text))
            return true;
    return false;
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
        if (result == RESULT_NOMEM)
            f->result = result;
        if (result == RESULT_LIMIT)
            break;
    }
    lsp_reading_close(&r);
}

static void statement(struct finder *f, const struct node *n)
{
    f->statement = n->token;
    switch (n->kind) {
    case NODE_ZONE:
        add_word(f, n->first, LSP_ZONE, true);
        break;
    case NODE_MODEL:
        add_word(f, n->first, LSP_MODEL, true);
        clauses(f, n);
        break;
    case NODE_ALIAS:
        alias(f, n);
        break;
    case NODE_PASS:
        add_word(f, n->last, LSP_MODEL, false);
        break;
    case NODE_SIGNAL:
        add_word(f, n->first, LSP_SIGNAL, true);
        break;
    case NODE_PATH:
        path(f, n);
        break;
    case NODE_ROUTE:
    case NODE_OTHERWISE:
        route(f, n);
        break;
    case NODE_BAD:
        bad(f, n);
        break;
    }
}

static void find_paths(struct finder *f)
{
    static const char here;
    for (const struct node *n = f->tree->root->first; n && !f->result; n = n->next)
        if (tree_is(f->tree, n, "path") && n->token + 1 < n->end)
            f->result = map_put(&f->paths, tree_token_text(f->tree, n->token + 1),
                                (void *)(uintptr_t)&here);
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
    map_init(&f.paths, (struct hash_key){0x6c7370, 0x70617468}, 20000);
    find_paths(&f);
    for (const struct node *n = t->root->first; n && !f.result; n = n->next)
        statement(&f, n);
    map_deinit(&f.paths);
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
