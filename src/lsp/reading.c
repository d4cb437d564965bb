// The recogniser of lsp/grammar.h.
#include "base/alloc.h"
#include "lsp/grammar.h"

enum { ITEMS_MAX = 8 * 1024 * 1024, BACK_MAX = 8 };

static enum result add(struct lsp_reading *r, uint16_t state, uint32_t origin)
{
    for (uint32_t i = r->sets[r->newest].begin; i < r->item_count; i++)
        if (r->items[i].state == state && r->items[i].origin == origin)
            return RESULT_OK;
    if (r->item_count == r->item_room) {
        uint32_t room = r->item_room ? r->item_room * 2 : 1024;
        if (room > ITEMS_MAX)
            return RESULT_LIMIT;
        struct lsp_item *grown = alloc_resize(r->items, room * sizeof *grown);
        if (!grown)
            return RESULT_NOMEM;
        r->items = grown;
        r->item_room = room;
    }
    r->items[r->item_count++] = (struct lsp_item){origin, state};
    return RESULT_OK;
}

static uint32_t set_end(const struct lsp_reading *r, uint32_t set)
{
    return set < r->newest ? r->sets[set + 1].begin : r->item_count;
}

// A rule has ended: those that wait for it go on.
static enum result complete(struct lsp_reading *r, uint16_t rule, uint32_t origin)
{
    const struct lsp_grammar *g = r->grammar;
    enum result result = RESULT_OK;
    uint32_t end = set_end(r, origin);
    for (uint32_t i = r->sets[origin].begin; i < end && !result; i++) {
        struct lsp_item waits = r->items[i];
        for (uint16_t e = g->first[waits.state]; e && !result; e = g->edges[e].next)
            if (g->edges[e].kind == LSP_EDGE_RULE && g->edges[e].what == rule)
                result = add(r, g->edges[e].to, waits.origin);
    }
    return result;
}

// Adds to the newest set what follows without a token.
static enum result close_set(struct lsp_reading *r)
{
    const struct lsp_grammar *g = r->grammar;
    enum result result = RESULT_OK;
    for (uint32_t i = r->sets[r->newest].begin; i < r->item_count && !result; i++) {
        struct lsp_item item = r->items[i];
        const struct lsp_rule *own = &g->rules[g->owner[item.state]];
        for (uint16_t e = g->first[item.state]; e && !result; e = g->edges[e].next) {
            if (g->edges[e].kind == LSP_EDGE_NOTHING)
                result = add(r, g->edges[e].to, item.origin);
            else if (g->edges[e].kind == LSP_EDGE_RULE)
                result = add(r, g->rules[g->edges[e].what].start, r->newest);
        }
        if (item.state == own->end && item.origin != r->newest && !result)
            result = complete(r, g->owner[item.state], item.origin);
    }
    return result;
}

static enum result new_set(struct lsp_reading *r)
{
    if (r->newest + 2 > r->set_room) {
        uint32_t room = r->set_room ? r->set_room * 2 : 64;
        struct lsp_set *grown = alloc_resize(r->sets, room * sizeof *grown);
        if (!grown)
            return RESULT_NOMEM;
        r->sets = grown;
        r->set_room = room;
    }
    r->sets[++r->newest] = (struct lsp_set){r->item_count, r->offered};
    return RESULT_OK;
}

enum result lsp_reading_open(struct lsp_reading *r, const struct lsp_grammar *g)
{
    *r = (struct lsp_reading){.grammar = g};
    r->sets = alloc_bytes(64 * sizeof *r->sets);
    if (!r->sets)
        return RESULT_NOMEM;
    r->set_room = 64;
    r->sets[0] = (struct lsp_set){0, 0};
    enum result result = add(r, g->rules[0].start, 0);
    if (!result)
        result = close_set(r);
    if (result)
        lsp_reading_close(r);
    return result;
}

void lsp_reading_close(struct lsp_reading *r)
{
    alloc_free(r->items);
    alloc_free(r->sets);
    r->items = NULL;
    r->sets = NULL;
}

static bool fits(const struct lsp_grammar *g, const struct lsp_edge *e, enum token_kind kind,
                 struct slice text, bool word)
{
    switch (e->kind) {
    case LSP_EDGE_WORD:
        return kind == TOKEN_WORD && slice_eq(g->words[e->what], text);
    case LSP_EDGE_NAME:
        return kind == TOKEN_WORD && !word;
    case LSP_EDGE_STRING:
        return kind == TOKEN_STRING;
    case LSP_EDGE_NUMBER:
        return kind == TOKEN_NUMBER;
    case LSP_EDGE_DATE:
        return kind == TOKEN_DATE;
    case LSP_EDGE_MARK:
        return (enum token_kind)e->mark == kind;
    default:
        return false;
    }
}

// Where a word of the language can stand it is no name.
static bool is_word_here(const struct lsp_reading *r, uint32_t set, enum token_kind kind,
                         struct slice text)
{
    struct lsp_expect x = {.edge = NULL};
    if (kind != TOKEN_WORD)
        return false;
    while (lsp_reading_next(r, set, &x))
        if (x.edge->kind == LSP_EDGE_WORD && slice_eq(r->grammar->words[x.edge->what], text))
            return true;
    return false;
}

// The set behind a token that stands in `set`; RESULT_NOT_FOUND when it cannot.
static enum result advance(struct lsp_reading *r, uint32_t set, enum token_kind kind,
                           struct slice text)
{
    const struct lsp_grammar *g = r->grammar;
    bool word = is_word_here(r, set, kind, text), any = false;
    uint32_t begin = r->sets[set].begin, end = set_end(r, set);
    enum result result = new_set(r);
    for (uint32_t i = begin; i < end && !result; i++) {
        for (uint16_t e = g->first[r->items[i].state]; e && !result; e = g->edges[e].next) {
            if (!fits(g, &g->edges[e], kind, text, word))
                continue;
            result = add(r, g->edges[e].to, r->items[i].origin);
            any = true;
        }
    }
    if (!result && !any)
        result = RESULT_NOT_FOUND;
    if (!result)
        result = close_set(r);
    if (result) {
        r->item_count = r->sets[r->newest].begin;
        r->newest--;
    }
    return result;
}

enum result lsp_reading_take(struct lsp_reading *r, enum token_kind kind, struct slice text,
                             uint32_t *set)
{
    uint32_t newest = r->newest;
    r->offered++;
    if (newest == LSP_TOKENS_MAX)
        return RESULT_LIMIT;
    for (uint32_t back = 0; back <= BACK_MAX && back < newest + (newest == 0); back++) {
        enum result result = advance(r, newest - back, kind, text);
        if (result == RESULT_NOT_FOUND)
            continue;
        *set = newest - back;
        return result;
    }
    return RESULT_NOT_FOUND;
}

bool lsp_reading_next(const struct lsp_reading *r, uint32_t set, struct lsp_expect *out)
{
    const struct lsp_grammar *g = r->grammar;
    uint32_t item = out->edge ? out->item : r->sets[set].begin;
    uint16_t e = out->edge                ? out->edge->next
                 : item < set_end(r, set) ? g->first[r->items[item].state]
                                          : 0;
    for (;;) {
        for (; e; e = g->edges[e].next) {
            if (g->edges[e].kind == LSP_EDGE_NOTHING || g->edges[e].kind == LSP_EDGE_RULE)
                continue;
            *out = (struct lsp_expect){&g->edges[e], item};
            return true;
        }
        if (++item >= set_end(r, set))
            return false;
        e = g->first[r->items[item].state];
    }
}

struct slice lsp_reading_rule(const struct lsp_reading *r, uint32_t item)
{
    return r->grammar->rules[r->grammar->owner[r->items[item].state]].name;
}

bool lsp_reading_parent(const struct lsp_reading *r, uint32_t *item, const struct lsp_edge **edge)
{
    const struct lsp_grammar *g = r->grammar;
    uint16_t rule = g->owner[r->items[*item].state];
    uint32_t origin = r->items[*item].origin, end = set_end(r, origin);
    for (uint32_t i = r->sets[origin].begin; i < end; i++) {
        for (uint16_t e = g->first[r->items[i].state]; e; e = g->edges[e].next) {
            if (g->edges[e].kind == LSP_EDGE_RULE && g->edges[e].what == rule && i != *item) {
                *item = i;
                *edge = &g->edges[e];
                return true;
            }
        }
    }
    return false;
}

bool lsp_reading_can_end(const struct lsp_reading *r)
{
    const struct lsp_grammar *g = r->grammar;
    for (uint32_t i = r->sets[r->newest].begin; i < r->item_count; i++)
        if (r->items[i].origin == 0 && r->items[i].state == g->rules[0].end)
            return true;
    return false;
}
