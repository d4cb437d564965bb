// Symbols of a document, and what can be folded.
#include "lsp/call.h"

// SymbolKind of the protocol.
static int symbol_kind(enum lsp_kind k)
{
    static const uint8_t kinds[LSP_KIND_COUNT_] = {
        [LSP_NOTHING] = 15, [LSP_LATTICE] = 10, [LSP_LEVEL] = 22,  [LSP_ZONE] = 3,
        [LSP_SINK] = 4,     [LSP_MODEL] = 5,    [LSP_SIGNAL] = 24, [LSP_PATH] = 12,
        [LSP_ROUTE] = 12,   [LSP_ALIAS] = 20,   [LSP_PARAM] = 13,
    };
    return kinds[k];
}

struct symbol {
    struct slice name, detail;
    int kind;
    struct span whole, own;
};

// False for a statement without a name.
static bool symbol_of(const struct lsp_call *c, const struct node *n, struct symbol *s)
{
    const struct tree *t = c->tree;
    struct slice keyword = tree_text(t, n);
    const struct token *first = &t->tokens.at[n->token], *last = &t->tokens.at[n->end - 1];
    *s = (struct symbol){.detail = keyword, .kind = 15, .whole = {first->begin, last->end}};
    for (uint32_t i = n->token + 1; i < n->end && i < n->token + 3; i++) {
        const struct lsp_name *name = lsp_names_at(&c->document->names, i);
        if (!name || !name->defines)
            continue;
        s->name = lsp_name_text(t, name);
        s->own = lsp_name_span(t, name);
        s->kind = symbol_kind((enum lsp_kind)name->kind);
        return s->name.len > 0;
    }
    if (n->kind == NODE_BAD && lsp_grammar_word(&c->server->grammar, keyword) == LSP_WORD_NONE)
        return false;
    s->name = keyword;
    s->own = (struct span){first->begin, first->end};
    // What has no name is called by what it is about: policy "home", test "..." .
    if (n->token + 1 < n->end && t->tokens.at[n->token + 1].kind == TOKEN_STRING && last > first) {
        const struct token *string = first + 1;
        s->own = (struct span){string->begin, string->end};
        if (string->end - string->begin > 2)
            s->name =
                slice_make(t->source.ptr + string->begin + 1, string->end - string->begin - 2);
    }
    return true;
}

void lsp_symbols(struct lsp_call *c)
{
    struct symbol s;
    bool any = false;
    BUF_LIT(c->out, "[");
    for (const struct node *n = c->tree ? c->tree->root->first : NULL; n; n = n->next) {
        if (!symbol_of(c, n, &s))
            continue;
        buf_cstr(c->out, any ? ",{\"name\":" : "{\"name\":");
        any = true;
        json_write_string(c->out, s.name);
        buf_printf(c->out, ",\"kind\":%d", s.kind);
        if (!c->server->outline_tree) {
            BUF_LIT(c->out, ",\"location\":");
            lsp_put_location(c, s.whole);
        } else {
            BUF_LIT(c->out, ",\"detail\":");
            json_write_string(c->out, s.detail);
            BUF_LIT(c->out, ",\"range\":");
            lsp_put_range(c->out, lsp_call_range(c, s.whole));
            BUF_LIT(c->out, ",\"selectionRange\":");
            lsp_put_range(c->out, lsp_call_range(c, s.own));
        }
        BUF_LIT(c->out, "}");
    }
    BUF_LIT(c->out, "]");
}

static void fold(struct lsp_call *c, uint32_t first, uint32_t last, const char *kind, bool *any)
{
    if (last <= first)
        return;
    buf_printf(c->out, "%s{\"startLine\":%u,\"endLine\":%u%s%s%s}", *any ? "," : "", first, last,
               kind ? ",\"kind\":\"" : "", kind ? kind : "", kind ? "\"" : "");
    *any = true;
}

void lsp_folding(struct lsp_call *c)
{
    const struct lsp_text *text = &c->document->text;
    bool any = false;
    BUF_LIT(c->out, "[");
    for (const struct node *n = c->tree ? c->tree->root->first : NULL; n; n = n->next) {
        struct lsp_range r = lsp_call_range(c, tree_span(c->tree, n));
        fold(c, r.start.line, r.end.line, NULL, &any);
    }
    uint32_t begin = 0;
    for (uint32_t i = 0; i <= text->line_count; i++) {
        struct slice line = i < text->line_count ? slice_trim(lsp_text_line(text, i)) : SLICE_EMPTY;
        if (line.len && line.ptr[0] == '#')
            continue;
        if (i > begin)
            fold(c, begin, i - 1, "comment", &any);
        begin = i + 1;
    }
    BUF_LIT(c->out, "]");
}
