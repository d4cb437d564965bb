// Semantic tokens: what each word is, which a pattern cannot know.
#include "base/alloc.h"
#include "lsp/call.h"

enum type {
    TYPE_NONE,
    TYPE_KEYWORD,
    TYPE_STRING,
    TYPE_NUMBER,
    TYPE_COMMENT,
    TYPE_OPERATOR,
    TYPE_ZONE,
    TYPE_MODEL,
    TYPE_SIGNAL,
    TYPE_FUNCTION,
    TYPE_PARAM,
    TYPE_WORD,
    TYPE_UNIT,
    TYPE_ALIAS,
    TYPE_LATTICE,
    TYPE_SINK,
    TYPES
};

static const char *const type_names[TYPES] = {
    [TYPE_KEYWORD] = "keyword", [TYPE_STRING] = "string",     [TYPE_NUMBER] = "number",
    [TYPE_COMMENT] = "comment", [TYPE_OPERATOR] = "operator", [TYPE_ZONE] = "namespace",
    [TYPE_MODEL] = "class",     [TYPE_SIGNAL] = "variable",   [TYPE_FUNCTION] = "function",
    [TYPE_PARAM] = "parameter", [TYPE_WORD] = "enumMember",   [TYPE_UNIT] = "type",
    [TYPE_ALIAS] = "property",  [TYPE_LATTICE] = "enum",      [TYPE_SINK] = "interface",
};

enum { MODIFIER_DEFINITION = 1 };

void lsp_semantic_legend(struct buf *out)
{
    BUF_LIT(out, "{\"tokenTypes\":[");
    for (int i = 1; i < TYPES; i++)
        buf_printf(out, "%s\"%s\"", i > 1 ? "," : "", type_names[i]);
    BUF_LIT(out, "],\"tokenModifiers\":[\"definition\"]}");
}

static enum type of_kind(enum lsp_kind k)
{
    static const uint8_t types[LSP_KIND_COUNT_] = {
        [LSP_LATTICE] = TYPE_LATTICE, [LSP_LEVEL] = TYPE_WORD,     [LSP_ZONE] = TYPE_ZONE,
        [LSP_SINK] = TYPE_SINK,       [LSP_MODEL] = TYPE_MODEL,    [LSP_SIGNAL] = TYPE_SIGNAL,
        [LSP_PATH] = TYPE_FUNCTION,   [LSP_ROUTE] = TYPE_FUNCTION, [LSP_ALIAS] = TYPE_ALIAS,
        [LSP_PARAM] = TYPE_PARAM,
    };
    return (enum type)types[k];
}

static void mark_words(const struct tree *t, const struct node *n, uint8_t *types)
{
    for (const struct node *c = n->first; c; c = c->next) {
        if (c->kind != NODE_WORD) {
            mark_words(t, c, types);
            continue;
        }
        bool language = tree_is(t, c, "true") || tree_is(t, c, "false") || tree_is(t, c, "any");
        types[c->token] = language                                ? TYPE_KEYWORD
                          : n->kind == NODE_CALL && c == n->first ? TYPE_FUNCTION
                          : n->kind == NODE_UNIT                  ? TYPE_UNIT
                                                                  : TYPE_WORD;
    }
}

static enum type of_token(const struct lsp_call *c, uint32_t i, bool bad)
{
    const struct token *t = &c->tree->tokens.at[i];
    if (t->kind == TOKEN_WORD)
        return !bad || lsp_grammar_word(&c->server->grammar, tree_token_text(c->tree, i)) !=
                           LSP_WORD_NONE
                   ? TYPE_KEYWORD
                   : TYPE_NONE;
    if (t->kind == TOKEN_STRING)
        return TYPE_STRING;
    if (t->kind == TOKEN_NUMBER || t->kind == TOKEN_DATE)
        return TYPE_NUMBER;
    return t->kind == TOKEN_ARROW || (t->kind >= TOKEN_ASSIGN && t->kind <= TOKEN_GE) ||
                   t->kind == TOKEN_BAR
               ? TYPE_OPERATOR
               : TYPE_NONE;
}

struct writer {
    struct lsp_call *c;
    struct lsp_position last;
    bool any;
};

static void put(struct writer *w, struct span span, enum type type, unsigned modifiers)
{
    struct lsp_range r = lsp_call_range(w->c, span);
    if (type == TYPE_NONE || r.start.line != r.end.line || r.start.character == r.end.character)
        return;
    uint32_t down = r.start.line - w->last.line,
             right = r.start.character - (down ? 0 : w->last.character);
    buf_printf(w->c->out, "%s%u,%u,%u,%d,%u", w->any ? "," : "", down, right,
               r.end.character - r.start.character, (int)type - 1, modifiers);
    w->last = r.start;
    w->any = true;
}

// Comments of the gap before a token.
static void gap(struct writer *w, uint32_t begin, uint32_t end)
{
    struct slice source = w->c->tree->source;
    for (uint32_t at = begin; at < end; at++) {
        if (source.ptr[at] != '#')
            continue;
        uint32_t from = at;
        while (at < end && source.ptr[at] != '\n' && source.ptr[at] != '\r')
            at++;
        put(w, (struct span){from, at}, TYPE_COMMENT, 0);
    }
}

void lsp_semantic(struct lsp_call *c)
{
    const struct tree *t = c->tree;
    struct writer w = {.c = c};
    uint8_t *types = alloc_zeroed(t ? t->tokens.count + 1 : 1, 1);
    if (!types) {
        lsp_fail(c, LSP_INTERNAL_ERROR, "there is no memory for the answer");
        return;
    }
    BUF_LIT(c->out, "{\"data\":[");
    uint32_t end = 0;
    for (const struct node *n = t ? t->root->first : NULL; n; n = n->next) {
        mark_words(t, n, types);
        for (uint32_t i = n->token; i < n->end; i++) {
            const struct token *at = &t->tokens.at[i];
            const struct lsp_name *name = lsp_names_at(&c->document->names, i);
            enum type type = name ? of_kind((enum lsp_kind)name->kind) : (enum type)types[i];
            gap(&w, end, at->begin);
            put(&w, (struct span){at->begin, at->end},
                type ? type : of_token(c, i, n->kind == NODE_BAD),
                name && name->defines ? MODIFIER_DEFINITION : 0);
            end = at->end;
        }
    }
    if (t)
        gap(&w, end, (uint32_t)t->source.len);
    BUF_LIT(c->out, "]}");
    alloc_free(types);
}
