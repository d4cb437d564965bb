#include "proof/mutant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/vec.h"

struct maker {
    const struct tree *tree;
    struct arena *arena;
    VEC(struct mutant) list;
    uint32_t dropped;
    bool signals;
    enum result err;
};

const char *mutant_kind_name(enum mutant_kind k)
{
    static const char *const names[] = {"turned round", "bound taken in or out", "one step off",
                                        "left out", "exchanged"};
    return names[k];
}

// On one line, at most so much of it.
static struct slice shown(struct maker *m, struct slice text)
{
    enum { MOST = 96 };
    char line[MOST + 8];
    size_t n = 0;
    for (size_t i = 0; i < text.len && n < MOST; i++) {
        char c = text.ptr[i];
        bool space = c == '\n' || c == '\t' || c == '\r' || c == ' ';
        if (space && (n == 0 || line[n - 1] == ' '))
            continue;
        line[n++] = space ? ' ' : c;
    }
    // Never half of a character.
    while (n == MOST && n > 0 && ((unsigned char)line[n - 1] & 0x80))
        n--;
    struct slice s = arena_printf(m->arena, "%.*s%s", (int)n, line, n >= MOST ? " ..." : "");
    if (!s.ptr)
        m->err = RESULT_NOMEM;
    return s;
}

static void add(struct maker *m, enum mutant_kind kind, struct span at, struct slice with,
                struct slice was, struct slice is)
{
    struct mutant x = {.kind = kind, .at = at, .with = with, .signals = m->signals};
    uint32_t column;
    if (!with.ptr && with.len) {
        m->err = RESULT_NOMEM;
        return;
    }
    if (m->list.len == MUTANTS_MAX) {
        m->dropped++;
        return;
    }
    diag_position(m->tree->source, at.begin, &x.line, &column);
    x.was = shown(m, was);
    x.is = shown(m, is);
    if (!VEC_PUSH(&m->list, x))
        m->err = RESULT_NOMEM;
}

static void replace(struct maker *m, enum mutant_kind kind, struct span at, struct slice with)
{
    struct slice was = slice_make(m->tree->source.ptr + at.begin, at.end - at.begin);
    if (!with.ptr)
        m->err = RESULT_NOMEM;
    else
        add(m, kind, at, with, was, with);
}

static void flip(struct maker *m, const struct node *n)
{
    struct slice text = tree_source(m->tree, n);
    replace(m, MUTANT_FLIP, tree_span(m->tree, n),
            arena_printf(m->arena, "not %.*s", SLICE_FMT(text)));
}

// A number with one more or less at its last digit; empty when that is nothing or negative.
static struct slice stepped(struct maker *m, struct slice number, int by)
{
    char text[64];
    size_t digits = 0;
    while (digits < number.len &&
           ((number.ptr[digits] >= '0' && number.ptr[digits] <= '9') || number.ptr[digits] == '.'))
        digits++;
    if (digits == 0 || digits >= sizeof text)
        return SLICE_EMPTY;
    memcpy(text, number.ptr, digits);
    text[digits] = '\0';
    const char *point = strchr(text, '.');
    int places = point ? (int)(digits - (size_t)(point + 1 - text)) : 0;
    double step = 1;
    for (int i = 0; i < places; i++)
        step /= 10;
    double v = strtod(text, NULL) + by * step;
    if (v < -step / 2)
        return SLICE_EMPTY;
    return arena_printf(m->arena, "%.*f%.*s", places, v < 0 ? 0 : v, (int)(number.len - digits),
                        number.ptr + digits);
}

static const struct node *number_of(const struct node *n)
{
    while (n && n->kind == NODE_QUANTITY)
        n = n->first;
    return n && n->kind == NODE_NUMBER ? n : NULL;
}

// `whole` is the condition that the number stands in, for people.
static void steps(struct maker *m, const struct node *value, const struct node *whole)
{
    const struct node *n = number_of(value);
    if (!n)
        return;
    struct span at = tree_span(m->tree, n), all = tree_span(m->tree, whole);
    const char *source = m->tree->source.ptr;
    for (int by = -1; by <= 1; by += 2) {
        struct slice with = stepped(m, tree_text(m->tree, n), by);
        if (!with.ptr)
            continue;
        struct slice is =
            arena_printf(m->arena, "%.*s%.*s%.*s", (int)(at.begin - all.begin), source + all.begin,
                         SLICE_FMT(with), (int)(all.end - at.end), source + at.end);
        add(m, MUTANT_STEP, at, with, tree_source(m->tree, whole), is);
    }
}

static void bound(struct maker *m, const struct node *n)
{
    static const char *const others[] = {"<=", "<", ">=", ">"};
    static const enum token_kind from[] = {TOKEN_LT, TOKEN_LE, TOKEN_GT, TOKEN_GE};
    static const char *const written[] = {"<", "<=", ">", ">="};
    for (size_t i = 0; i < MERIT_COUNT(from); i++) {
        if (tree_operator(m->tree, n) != from[i])
            continue;
        struct slice text = tree_source(m->tree, n);
        ptrdiff_t at = slice_find(text, slice_cstr(written[i]));
        if (at < 0)
            return;
        replace(m, MUTANT_BOUND, tree_span(m->tree, n),
                arena_printf(m->arena, "%.*s%s%.*s", (int)at, text.ptr, others[i],
                             (int)(text.len - (size_t)at - strlen(written[i])),
                             text.ptr + at + strlen(written[i])));
        return;
    }
}

static void guard(struct maker *m, const struct node *n)
{
    switch (n->kind) {
    case NODE_COMPARE:
        flip(m, n);
        bound(m, n);
        steps(m, n->last, n);
        return;
    case NODE_TRUE:
    case NODE_IN:
        flip(m, n);
        return;
    default:
        for (const struct node *c = n->first; c; c = c->next)
            guard(m, c);
    }
}

static bool is_expression(const struct node *n)
{
    return n->kind >= NODE_OR;
}

// Guards anywhere below: `when` of a clause or argument.
static void guards_below(struct maker *m, const struct node *n)
{
    for (const struct node *c = n->first; c; c = c->next) {
        if (c->kind == NODE_CLAUSE && tree_is(m->tree, c, "when")) {
            if (c->first)
                guard(m, c->first);
        } else if (is_expression(c)) {
            guard(m, c);
        } else {
            guards_below(m, c);
        }
    }
}

static void thresholds(struct maker *m, const struct node *signal)
{
    static const char *const words[] = {"above", "below"};
    for (size_t i = 0; i < MERIT_COUNT(words); i++) {
        const struct node *c = tree_clause(m->tree, signal, words[i]);
        if (c)
            steps(m, c->first, c);
    }
    const struct node *bands = tree_clause(m->tree, signal, "bands");
    for (const struct node *b = bands ? bands->first : NULL; b; b = b->next)
        if (b->kind == NODE_BAND && b->count > 1)
            steps(m, b->last, b);
}

static void drop(struct maker *m, const struct node *n)
{
    add(m, MUTANT_DROP, tree_span(m->tree, n), SLICE(""), tree_source(m->tree, n), SLICE_EMPTY);
}

static void swap(struct maker *m, const struct node *a, const struct node *b)
{
    struct span x = tree_span(m->tree, a), y = tree_span(m->tree, b);
    const char *source = m->tree->source.ptr;
    struct slice with = arena_printf(m->arena, "%.*s%.*s%.*s", (int)(y.end - y.begin),
                                     source + y.begin, (int)(y.begin - x.end), source + x.end,
                                     (int)(x.end - x.begin), source + x.begin);
    struct slice was = arena_printf(m->arena, "route %.*s, then route %.*s",
                                    SLICE_FMT(tree_text(m->tree, a->first)),
                                    SLICE_FMT(tree_text(m->tree, b->first)));
    struct slice is = arena_printf(m->arena, "route %.*s, then route %.*s",
                                   SLICE_FMT(tree_text(m->tree, b->first)),
                                   SLICE_FMT(tree_text(m->tree, a->first)));
    if (!with.ptr || !was.ptr || !is.ptr)
        m->err = RESULT_NOMEM;
    else
        add(m, MUTANT_SWAP, (struct span){x.begin, y.end}, with, was, is);
}

static void statement(struct maker *m, const struct node *n)
{
    m->signals = n->kind == NODE_SIGNAL;
    switch (n->kind) {
    case NODE_FORBID:
    case NODE_REQUIRE:
    case NODE_ALLOW:
    case NODE_BUDGET:
        guards_below(m, n);
        drop(m, n);
        break;
    case NODE_SIGNAL:
        guards_below(m, n);
        thresholds(m, n);
        break;
    case NODE_ROUTE:
        guards_below(m, n);
        if (n->next && n->next->kind == NODE_ROUTE)
            swap(m, n, n->next);
        break;
    default:
        break;
    }
}

enum result mutants_make(const struct tree *tree, struct arena *arena, struct mutant_list *out)
{
    struct maker m = {.tree = tree, .arena = arena, .list = {.cap = MUTANTS_MAX}};
    *out = (struct mutant_list){NULL, 0, 0};
    for (const struct node *n = tree->root->first; n && !m.err; n = n->next)
        statement(&m, n);
    struct mutant *at = ARENA_ARRAY(arena, struct mutant, m.list.len + 1);
    if (!at)
        m.err = RESULT_NOMEM;
    else if (m.list.len)
        memcpy(at, m.list.at, m.list.len * sizeof *at);
    if (!m.err)
        *out = (struct mutant_list){at, (uint32_t)m.list.len, m.dropped};
    VEC_DEINIT(&m.list);
    return m.err;
}

void mutant_apply(struct slice source, const struct mutant *m, struct buf *out)
{
    buf_add(out, slice_head(source, m->at.begin));
    buf_add(out, m->with);
    buf_add(out, slice_from(source, m->at.end));
}
