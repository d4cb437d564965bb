// What several requests need.
#include "lsp/call.h"

bool lsp_call_offset(struct lsp_call *c, uint32_t *offset)
{
    struct lsp_position p;
    if (!lsp_position_read(c->message, lsp_get(c->message, c->params, "position"), &p)) {
        lsp_fail(c, LSP_INVALID_PARAMS, "there is no position");
        return false;
    }
    *offset = lsp_text_offset(&c->document->text, c->server->encoding, p);
    return true;
}

const struct lsp_name *lsp_call_name(struct lsp_call *c)
{
    uint32_t offset, token;
    if (!lsp_call_offset(c, &offset) || !c->tree || !lsp_token_at(c->tree, offset, &token))
        return NULL;
    const struct lsp_name *name = lsp_names_at(&c->document->names, token);
    // A cursor stands between characters: behind the last one of a name it is still at the name.
    if (name && offset <= c->tree->tokens.at[token].end)
        return name;
    if (token > 0 && c->tree->tokens.at[token].begin == offset &&
        c->tree->tokens.at[token - 1].end == offset)
        return lsp_names_at(&c->document->names, token - 1);
    return NULL;
}

struct lsp_range lsp_call_range(const struct lsp_call *c, struct span span)
{
    return lsp_text_range(&c->document->text, c->server->encoding, span);
}

void lsp_put_location(struct lsp_call *c, struct span span)
{
    BUF_LIT(c->out, "{\"uri\":");
    json_write_string(c->out, c->document->uri);
    BUF_LIT(c->out, ",\"range\":");
    lsp_put_range(c->out, lsp_call_range(c, span));
    BUF_LIT(c->out, "}");
}

void lsp_put_edit(struct lsp_call *c, struct span span, struct slice text)
{
    BUF_LIT(c->out, "{\"range\":");
    lsp_put_range(c->out, lsp_call_range(c, span));
    BUF_LIT(c->out, ",\"newText\":");
    json_write_string(c->out, text);
    BUF_LIT(c->out, "}");
}

const struct policy_image *lsp_call_image(const struct lsp_call *c)
{
    return c->document->good ? c->document->good->image : NULL;
}
