#include "policy/tree.h"

struct span tree_span(const struct tree *t, const struct node *n)
{
    const struct token *at = t->tokens.at;
    uint32_t begin = at[n->token].begin;
    return (struct span){begin, n->end > n->token ? at[n->end - 1].end : begin};
}

struct slice tree_source(const struct tree *t, const struct node *n)
{
    struct span s = tree_span(t, n);
    return slice_make(t->source.ptr + s.begin, s.end - s.begin);
}

const struct node *tree_child(const struct node *n, uint32_t i)
{
    const struct node *c = n->first;
    while (c && i-- > 0)
        c = c->next;
    return c;
}

const struct node *tree_clause(const struct tree *t, const struct node *n, const char *keyword)
{
    for (const struct node *c = n->first; c; c = c->next)
        if (c->kind == NODE_CLAUSE && tree_is(t, c, keyword))
            return c;
    return NULL;
}

bool tree_is(const struct tree *t, const struct node *n, const char *word)
{
    return slice_eq_cstr(tree_text(t, n), word);
}

enum token_kind tree_operator(const struct tree *t, const struct node *n)
{
    return (enum token_kind)t->tokens.at[n->first->end].kind;
}

struct slice tree_string(const struct tree *t, const struct node *n, struct arena *arena)
{
    struct slice raw = tree_text(t, n);
    raw = slice_head(slice_from(raw, 1), raw.len - 2);
    if (slice_find(raw, SLICE("\\\"")) < 0)
        return raw;
    char *to = arena_alloc_aligned(arena, raw.len + 1, 1);
    if (!to)
        return SLICE_EMPTY;
    size_t len = 0;
    for (size_t i = 0; i < raw.len; i++) {
        bool pair = raw.ptr[i] == '\\' && i + 1 < raw.len;
        // The lexer takes a backslash and what follows as a pair, so that in \\" the string ends.
        if (pair && raw.ptr[i + 1] != '"')
            to[len++] = raw.ptr[i];
        i += pair;
        to[len++] = raw.ptr[i];
    }
    return slice_make(to, len);
}

static bool same_node(const struct tree *a, const struct node *x, const struct tree *b,
                      const struct node *y)
{
    if (x->kind != y->kind || x->negated != y->negated || x->count != y->count ||
        x->end - x->token != y->end - y->token)
        return false;
    const struct node *v = y->first;
    for (const struct node *u = x->first; u; u = u->next, v = v->next)
        if (u->token - x->token != v->token - y->token || !same_node(a, u, b, v))
            return false;
    return true;
}

bool tree_equal(const struct tree *a, const struct tree *b)
{
    if (a->tokens.count != b->tokens.count)
        return false;
    for (uint32_t i = 0; i < a->tokens.count; i++)
        if (!slice_eq(tree_token_text(a, i), tree_token_text(b, i)))
            return false;
    return same_node(a, a->root, b, b->root);
}
