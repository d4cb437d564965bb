// What the thing under the cursor is.
#include <stdio.h>

#include "lsp/call.h"
#include "lsp/words.h"
#include "policy/explain.h"
#include "work/work.h"

// The text grows in a buffer of its own: Markdown, or the same without its marks.
struct card {
    struct lsp_call *c;
    struct buf text;
    bool markdown;
};

static void code(struct card *k, struct slice text)
{
    if (k->markdown)
        BUF_LIT(&k->text, "```merit\n");
    buf_add(&k->text, text);
    buf_cstr(&k->text, k->markdown ? "\n```\n" : "\n");
}

static void line(struct card *k)
{
    BUF_LIT(&k->text, "\n\n");
}

// The statement that defines a name, as it stands; a long one is cut.
static void source(struct card *k, const struct lsp_name *definition)
{
    enum { SHOWN_MAX = 600 };
    const struct node *n = lsp_statement_node(k->c->tree, definition->token);
    struct slice text = n ? tree_source(k->c->tree, n) : SLICE_EMPTY;
    if (text.len <= SHOWN_MAX) {
        code(k, text);
        return;
    }
    size_t len = SHOWN_MAX;
    while (len > 0 && ((unsigned char)text.ptr[len] & 0xC0) == 0x80)
        len--;
    text = arena_printf(&k->c->message->arena, "%.*s ...", (int)len, text.ptr);
    code(k, text.ptr ? text : SLICE_EMPTY);
}

// How often something is named, besides where it is defined.
static uint32_t uses(struct card *k, const struct lsp_name *of)
{
    const struct lsp_names *names = &k->c->document->names;
    uint32_t count = 0;
    for (uint32_t i = 0; i < names->count; i++)
        count += lsp_names_same(k->c->tree, of, &names->at[i]) && !names->at[i].defines;
    return count;
}

static void usd_per_mtok(struct buf *out, int64_t nusd, const char *what)
{
    buf_nano(out, nusd);
    buf_printf(out, " %s", what);
}

static void model_card(struct card *k, const struct policy_image *p, int32_t i)
{
    const struct image_model *m = image_model(p, i);
    struct buf *out = &k->text;
    if (m->priced) {
        usd_per_mtok(out, m->price_in_nusd, "USD in, ");
        usd_per_mtok(out, m->price_out_nusd, "out, ");
        usd_per_mtok(out, m->price_cached_nusd, "cached per million tokens");
    } else {
        BUF_LIT(out, "States no price");
    }
    buf_printf(out, ". Reads %u tokens, writes up to %u.", m->context_tok, m->output_tok);
    if (m->zone != IMAGE_NONE)
        buf_printf(
            out, " Runs in zone %.*s.",
            SLICE_FMT(image_text(p, IMAGE_AT(p, p->zones, struct image_zone)[m->zone].name)));
    if (m->quality >= 0)
        buf_printf(out, " Quality %.3g.", (double)m->quality);
}

static const char *cost_text(enum signal_cost cost)
{
    static const char *const texts[] = {
        [SIGNAL_COST_FREE] = "free: read off the request",
        [SIGNAL_COST_PATTERN] = "microseconds: shares one pattern scan",
        [SIGNAL_COST_TEXT] = "microseconds: its own pass over the text",
        [SIGNAL_COST_EMBED] = "tens of microseconds: a static embedding",
        [SIGNAL_COST_ENCODER] = "milliseconds: shares one pass of the encoder",
        [SIGNAL_COST_JUDGE] = "seconds: an external call",
    };
    return texts[cost];
}

static void family(struct card *k, const struct signal_family *f)
{
    struct buf *out = &k->text;
    buf_printf(out, "%s. Cost: %s.", f->summary, cost_text(f->cost));
    if (f->unit)
        buf_printf(out, " Its number has the unit `%s`.", f->unit);
    const char *const *words = f->words ? f->words : f->members;
    for (size_t i = 0; words && words[i]; i++)
        buf_printf(out, i ? ", %s" : f->words ? " One of: %s" : " Can hold: %s", words[i]);
    buf_cstr(out, words ? "." : "");
    for (uint32_t i = 0; i < f->arg_count; i++) {
        const struct signal_arg_spec *a = &f->args[i];
        if (!a->help)
            continue;
        buf_printf(out, k->markdown ? "\n- %s%s%s%s" : "\n  %s%s%s%s", a->name ? "`" : "",
                   a->name ? a->name : "", a->name ? "`: " : "", a->help);
    }
}

static void signal_card(struct card *k, const struct policy_image *p, int32_t i)
{
    const struct image_signal *s = image_signal(p, i);
    const struct signal_family *f =
        signal_family_find(k->c->server->registry, image_text(p, s->family));
    buf_printf(&k->text, "Type: %s. ", image_type_name(s->type));
    if (!f)
        return;
    enum signal_cost cost = f->cost_of ? f->cost_of(p, s) : f->cost;
    buf_printf(&k->text, "Family `%s`: %s. Cost: %s.", f->name, f->summary, cost_text(cost));
}

static bool asks(const struct policy_image *p, struct image_list guard, int32_t signal)
{
    const struct image_node *n = IMAGE_AT(p, guard, struct image_node);
    const struct image_atom *atoms = IMAGE_AT(p, p->atoms, struct image_atom);
    for (uint32_t i = 0; i < guard.count; i++)
        if (n[i].kind == IMAGE_NODE_ATOM && atoms[n[i].arg].signal == signal)
            return true;
    return false;
}

static void asked_by(struct card *k, const struct policy_image *p, int32_t signal)
{
    bool any = false;
    for (uint32_t i = 0; i < p->routes.count; i++) {
        const struct image_route *r = image_route(p, (int32_t)i);
        if (r->is_otherwise || !asks(p, r->guard, signal))
            continue;
        buf_cstr(&k->text, any ? ", " : "\n\nAsked by route ");
        buf_add(&k->text, image_text(p, r->name));
        any = true;
    }
    buf_cstr(&k->text, any ? "." : "\n\nNo route asks it.");
}

static void name(struct card *k, const struct lsp_name *n)
{
    const struct policy_image *p = lsp_call_image(k->c);
    const struct tree *t = k->c->tree;
    const struct lsp_name *definition = lsp_names_definition(t, &k->c->document->names, n);
    struct slice text = lsp_name_text(t, n);
    if (!definition) {
        buf_printf(&k->text, "No %s is called `%.*s`.", lsp_kind_name((enum lsp_kind)n->kind),
                   SLICE_FMT(text));
        return;
    }
    source(k, definition);
    int32_t i = IMAGE_NONE;
    if (n->kind == LSP_ROUTE && p && (i = image_find_route(p, text)) >= 0) {
        BUF_LIT(&k->text, "\nRoute ");
        buf_add(&k->text, text);
        BUF_LIT(&k->text, ": ");
        explain_route(p, i, &k->text);
        const struct slice *notes = k->c->document->good->routes;
        if (notes) {
            line(k);
            buf_add(&k->text, notes[i]);
        }
    } else if (n->kind == LSP_MODEL && p && (i = image_find_model(p, text)) >= 0) {
        buf_byte(&k->text, '\n');
        model_card(k, p, i);
    } else if (n->kind == LSP_SIGNAL && p && (i = image_find_signal(p, text)) >= 0) {
        buf_byte(&k->text, '\n');
        signal_card(k, p, i);
        asked_by(k, p, i);
    }
    uint32_t used = uses(k, n);
    if (i != IMAGE_NONE)
        line(k);
    buf_printf(&k->text, "Named in %u other place%s.", used, used == 1 ? "" : "s");
    if (k->c->document->good && k->c->document->good->edit != k->c->document->edit)
        BUF_LIT(&k->text, " What is told of the whole policy is as of the last text that loads.");
}

static const struct signal_family *family_at(struct lsp_call *c, uint32_t token)
{
    const struct token_list *tokens = &c->tree->tokens;
    uint32_t begin = lsp_statement_begin(c->tree, token);
    if (!slice_eq(tree_token_text(c->tree, begin), SLICE("signal")) || token < begin + 3)
        return NULL;
    uint8_t before = tokens->at[token - 1].kind;
    if (before != TOKEN_ASSIGN && before != TOKEN_OPEN && before != TOKEN_COMMA)
        return NULL;
    return signal_family_find(c->server->registry, tree_token_text(c->tree, token));
}

static void word(struct card *k, uint32_t token)
{
    const struct signal_family *f = family_at(k->c, token);
    struct slice text = tree_token_text(k->c->tree, token);
    const struct lsp_word *w = lsp_word_find(text), *step = lsp_step_find(text);
    bool called =
        token + 1 < k->c->tree->tokens.count && k->c->tree->tokens.at[token + 1].kind == TOKEN_OPEN;
    w = step && (called || !w) ? step : w;
    if (f) {
        code(k, slice_cstr(f->name));
        family(k, f);
    } else if (w) {
        code(k, slice_cstr(w->form));
        buf_cstr(&k->text, w->help);
    }
}

// The word at the cursor, or just before it.
static bool word_at(const struct lsp_call *c, uint32_t offset, uint32_t *token)
{
    const struct token *at = c->tree->tokens.at;
    if (!lsp_token_at(c->tree, offset, token))
        return false;
    if (at[*token].begin == offset && at[*token].kind != TOKEN_WORD && *token > 0 &&
        at[*token - 1].end == offset)
        --*token;
    return at[*token].kind == TOKEN_WORD && offset <= at[*token].end;
}

void lsp_hover(struct lsp_call *c)
{
    const struct lsp_name *n = lsp_call_name(c);
    struct card k = {.c = c, .markdown = c->server->markdown};
    uint32_t offset, token = n ? n->token : 0;
    if (c->error || !lsp_call_offset(c, &offset))
        return;
    buf_init(&k.text, 64 * 1024);
    if (n)
        name(&k, n);
    else if (c->tree && word_at(c, offset, &token))
        word(&k, token);
    if (k.text.len == 0) {
        BUF_LIT(c->out, "null");
    } else {
        buf_printf(c->out, "{\"contents\":{\"kind\":\"%s\",\"value\":",
                   k.markdown ? "markdown" : "plaintext");
        json_write_string(c->out, buf_slice(&k.text));
        const struct token *at = &c->tree->tokens.at[token];
        BUF_LIT(c->out, "},\"range\":");
        lsp_put_range(c->out, lsp_call_range(c, (struct span){at->begin, at->end}));
        BUF_LIT(c->out, "}");
    }
    buf_deinit(&k.text);
}
