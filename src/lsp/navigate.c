// Definition, references, highlights and rename.
#include "base/alloc.h"
#include "lsp/call.h"

void lsp_definition(struct lsp_call *c)
{
    const struct lsp_name *name = lsp_call_name(c);
    const struct lsp_name *at =
        name ? lsp_names_definition(c->tree, &c->document->names, name) : NULL;
    if (at)
        lsp_put_location(c, lsp_name_span(c->tree, at));
    else
        BUF_LIT(c->out, "null");
}

void lsp_references(struct lsp_call *c)
{
    const struct lsp_name *name = lsp_call_name(c);
    const struct lsp_names *names = &c->document->names;
    bool all = json_bool(&c->message->json,
                         lsp_find(c->message, c->params, "context.includeDeclaration"), true);
    bool any = false;
    BUF_LIT(c->out, "[");
    for (uint32_t i = 0; name && i < names->count; i++) {
        if (!lsp_names_same(c->tree, name, &names->at[i]) || (names->at[i].defines && !all))
            continue;
        buf_cstr(c->out, any ? "," : "");
        lsp_put_location(c, lsp_name_span(c->tree, &names->at[i]));
        any = true;
    }
    BUF_LIT(c->out, "]");
}

void lsp_highlight(struct lsp_call *c)
{
    enum { READ = 2, WRITE = 3 };
    const struct lsp_name *name = lsp_call_name(c);
    const struct lsp_names *names = &c->document->names;
    bool any = false;
    BUF_LIT(c->out, "[");
    for (uint32_t i = 0; name && i < names->count; i++) {
        if (!lsp_names_same(c->tree, name, &names->at[i]))
            continue;
        buf_cstr(c->out, any ? ",{\"range\":" : "{\"range\":");
        lsp_put_range(c->out, lsp_call_range(c, lsp_name_span(c->tree, &names->at[i])));
        buf_printf(c->out, ",\"kind\":%d}", names->at[i].defines ? WRITE : READ);
        any = true;
    }
    BUF_LIT(c->out, "]");
}

void lsp_prepare_rename(struct lsp_call *c)
{
    const struct lsp_name *name = lsp_call_name(c);
    if (!name || !lsp_names_definition(c->tree, &c->document->names, name)) {
        if (!c->error)
            BUF_LIT(c->out, "null");
        return;
    }
    BUF_LIT(c->out, "{\"range\":");
    lsp_put_range(c->out, lsp_call_range(c, lsp_name_span(c->tree, name)));
    BUF_LIT(c->out, ",\"placeholder\":");
    json_write_string(c->out, lsp_name_text(c->tree, name));
    BUF_LIT(c->out, "}");
}

// Whether this text is one word of a policy; the call fails when it is not.
static bool is_word(struct lsp_call *c, struct slice text)
{
    struct arena arena;
    struct diag_list diags;
    struct token_list tokens;
    arena_init(&arena, 0, 1024 * 1024);
    diag_init(&diags, &arena, 0);
    bool word = text.len > 0 && text.len <= POLICY_NAME_MAX &&
                lex_tokens(text, &arena, &diags, &tokens) == RESULT_OK && tokens.count == 1 &&
                tokens.at[0].kind == TOKEN_WORD && tokens.at[0].end == text.len &&
                tokens.at[0].begin == 0 && !tokens.at[0].secret;
    arena_deinit(&arena);
    if (!word)
        lsp_fail(c, LSP_INVALID_PARAMS,
                 "a name has letters, digits, _ and, between such, - and ., at most %d",
                 POLICY_NAME_MAX);
    return word;
}

// What stands in a statement that gives another meaning to the new name: a parameter hides a model.
static bool is_taken(struct lsp_call *c, const struct lsp_name *name, struct slice text)
{
    const struct lsp_names *names = &c->document->names;
    for (uint32_t i = 0; i < names->count; i++) {
        const struct lsp_name *other = &names->at[i];
        bool same_kind = other->kind == name->kind;
        bool hides = (other->kind == LSP_PARAM && name->kind == LSP_MODEL) ||
                     (other->kind == LSP_MODEL && name->kind == LSP_PARAM);
        if ((same_kind || hides) &&
            (other->kind != LSP_PARAM || name->kind != LSP_PARAM ||
             other->statement == name->statement) &&
            slice_eq(lsp_name_text(c->tree, other), text)) {
            lsp_fail(c, LSP_INVALID_PARAMS, "%s `%.*s` stands here already",
                     lsp_kind_name((enum lsp_kind)other->kind), SLICE_FMT(text));
            return true;
        }
    }
    return false;
}

// How many errors a policy has, or UINT32_MAX without memory. `first`: what the first one says.
static uint32_t errors_of(struct lsp_call *c, struct slice policy, struct slice *first)
{
    struct lsp_check *k = lsp_check_open(0, 0, policy, c->server->registry, false);
    uint32_t errors = UINT32_MAX;
    if (!k)
        return errors;
    lsp_check_run(k);
    if (k->result != RESULT_NOMEM)
        errors = k->diags.errors;
    for (uint32_t i = 0; i < k->diags.count && first && !first->ptr; i++)
        if (k->diags.items[i].severity == DIAG_ERROR)
            *first = arena_copy(&c->message->arena, k->diags.items[i].message);
    lsp_check_close(k);
    return errors;
}

// Whether every word is still what it was: a new name that is a word of the language, or hides another name, would make the
// same tokens say something else.
static bool reads_alike(struct lsp_call *c, struct slice renamed)
{
    struct arena arena;
    struct diag_list diags;
    const struct tree *tree = NULL;
    const struct lsp_names *old = &c->document->names;
    struct lsp_names names = {.count = 0};
    arena_init(&arena, 0, LSP_SYNTAX_BYTES_MAX);
    diag_init(&diags, &arena, 0);
    enum result r = policy_parse(renamed, &arena, &diags, &tree);
    bool alike = tree && r != RESULT_NOMEM && tree->tokens.count == c->tree->tokens.count &&
                 tree->root->count == c->tree->root->count &&
                 lsp_names_find(tree, &c->server->grammar, &arena, &names) == RESULT_OK &&
                 names.count == old->count;
    for (uint32_t i = 0; alike && i < names.count; i++)
        alike = names.at[i].token == old->at[i].token && names.at[i].kind == old->at[i].kind &&
                names.at[i].defines == old->at[i].defines;
    const struct node *b = alike ? tree->root->first : NULL;
    for (const struct node *a = c->tree->root->first; alike && a; a = a->next, b = b->next)
        alike = a->kind == b->kind && a->token == b->token && a->end == b->end;
    arena_deinit(&arena);
    return alike;
}

// The last word: the renamed policy is checked, reads as the one before, and has no error more.
static bool still_holds(struct lsp_call *c, const struct lsp_name *name, struct slice text)
{
    const struct lsp_names *names = &c->document->names;
    struct slice source = c->tree->source, first = SLICE_EMPTY;
    struct buf renamed;
    uint32_t at = 0;
    buf_init(&renamed, POLICY_BYTES_MAX);
    for (uint32_t i = 0; i < names->count; i++) {
        if (!lsp_names_same(c->tree, name, &names->at[i]))
            continue;
        struct span span = lsp_name_span(c->tree, &names->at[i]);
        buf_append(&renamed, source.ptr + at, span.begin - at);
        buf_add(&renamed, text);
        at = span.end;
    }
    buf_add(&renamed, slice_from(source, at));
    uint32_t before = errors_of(c, source, NULL),
             after = buf_result(&renamed) ? UINT32_MAX : errors_of(c, buf_slice(&renamed), &first);
    if (after == UINT32_MAX)
        lsp_fail(c, LSP_INTERNAL_ERROR, "there is no room to rename");
    else if (after > before)
        lsp_fail(c, LSP_REQUEST_FAILED, "the policy would not hold: %.*s", SLICE_FMT(first));
    else if (!reads_alike(c, buf_slice(&renamed)))
        lsp_fail(c, LSP_REQUEST_FAILED, "`%.*s` means something else in one of its places",
                 SLICE_FMT(text));
    buf_deinit(&renamed);
    return !c->error;
}

void lsp_rename(struct lsp_call *c)
{
    const struct lsp_name *name = lsp_call_name(c);
    const struct lsp_names *names = &c->document->names;
    struct slice text = lsp_string(c->message, lsp_get(c->message, c->params, "newName"));
    if (c->error)
        return;
    if (!name || !lsp_names_definition(c->tree, names, name)) {
        lsp_fail(c, LSP_INVALID_PARAMS, "there is no name here that the policy defines");
        return;
    }
    if (!is_word(c, text))
        return;
    if (slice_eq(text, lsp_name_text(c->tree, name))) {
        BUF_LIT(c->out, "null");
        return;
    }
    if (is_taken(c, name, text) || !still_holds(c, name, text))
        return;
    BUF_LIT(c->out, "{\"changes\":{");
    json_write_string(c->out, c->document->uri);
    BUF_LIT(c->out, ":[");
    for (uint32_t i = 0, any = 0; i < names->count; i++) {
        if (!lsp_names_same(c->tree, name, &names->at[i]))
            continue;
        buf_cstr(c->out, any ? "," : "");
        lsp_put_edit(c, lsp_name_span(c->tree, &names->at[i]), text);
        any = 1;
    }
    BUF_LIT(c->out, "]}}");
}
