// Guards: types of comparisons, equal questions made one atom, constants folded, prefix nodes written.
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "policy/check.h"
#include "policy/policy.h"

enum term_kind { TERM_TRUE, TERM_FALSE, TERM_ATOM, TERM_NOT, TERM_AND, TERM_OR };

// What is left of an expression after folding. A literal is an atom or its NOT.
struct term {
    enum term_kind kind;
    uint32_t atom;
    uint32_t count;
    struct term *first, *last, *next;
    struct span place; // of the condition it was made of; of AND and OR the whole
};

static struct term *make(struct checker *c, enum term_kind kind)
{
    struct term *t = ARENA_NEW(c->arena, struct term);
    if (t)
        t->kind = kind;
    else
        c->nomem = true;
    return t;
}

static struct term *negate(struct checker *c, struct term *t)
{
    if (!t)
        return NULL;
    if (t->kind == TERM_TRUE || t->kind == TERM_FALSE)
        return make(c, t->kind == TERM_TRUE ? TERM_FALSE : TERM_TRUE);
    if (t->kind == TERM_NOT)
        return t->first;
    struct term *n = make(c, TERM_NOT);
    if (n)
        n->first = n->last = t;
    return n;
}

// What an atom asks, as bytes: equal questions have equal keys.
static struct slice atom_key(struct checker *c, const struct image_atom *a,
                             const struct slice *texts)
{
    struct buf key;
    buf_init(&key, IMAGE_BYTES_MAX);
    buf_append(&key, &a->signal, sizeof a->signal);
    buf_append(&key, &a->op, sizeof a->op);
    buf_append(&key, &a->number, sizeof a->number);
    buf_append(&key, &a->words, sizeof a->words);
    for (uint32_t i = 0; i < a->texts.count; i++) {
        buf_u64(&key, texts[i].len);
        buf_byte(&key, ':');
        buf_add(&key, texts[i]);
    }
    struct slice kept = buf_result(&key) ? SLICE_EMPTY : arena_copy(c->arena, buf_slice(&key));
    buf_deinit(&key);
    return kept;
}

static struct term *atom_term(struct checker *c, struct image_atom *a, const struct slice *texts,
                              struct slice shown)
{
    struct term *t = make(c, TERM_ATOM);
    struct slice key = atom_key(c, a, texts);
    if (!t || !key.ptr) {
        c->nomem = true;
        return NULL;
    }
    void *known = map_get(&c->atoms, key);
    if (known) {
        t->atom = (uint32_t)((uintptr_t)known - 1);
        return t;
    }
    t->atom = builder_count(&c->build, IMAGE_ATOMS);
    a->texts.at = builder_count(&c->build, IMAGE_STRS);
    for (uint32_t i = 0; i < a->texts.count; i++) {
        struct image_str s = builder_str(&c->build, texts[i]);
        *BUILDER_ADD(&c->build, IMAGE_STRS, struct image_str) = s;
    }
    a->shown = builder_str(&c->build, shown);
    *BUILDER_ADD(&c->build, IMAGE_ATOMS, struct image_atom) = *a;
    if (map_put(&c->atoms, key, (void *)(uintptr_t)(t->atom + 1)) != RESULT_OK)
        c->nomem = true;
    return t;
}

// `name op value` with one space between, whatever the file's line breaks are.
static struct slice shown_comparison(struct checker *c, const struct node *n, const char *op)
{
    struct buf b;
    buf_init(&b, IMAGE_BYTES_MAX);
    buf_add(&b, tree_text(c->tree, n->first));
    if (*op)
        buf_printf(&b, " %s ", op);
    if (n->kind == NODE_IN)
        buf_byte(&b, '(');
    for (const struct node *v = n->first->next; v; v = v->next) {
        buf_add(&b, tree_text(c->tree, v));
        if (v->kind == NODE_QUANTITY && v->count == 2)
            buf_printf(&b, " %.*s", SLICE_FMT(tree_source(c->tree, v->last)));
        if (v->next)
            BUF_LIT(&b, ", ");
    }
    if (n->kind == NODE_IN)
        buf_byte(&b, ')');
    struct slice s = buf_result(&b) ? SLICE_EMPTY : arena_copy(c->arena, buf_slice(&b));
    buf_deinit(&b);
    c->nomem |= !s.ptr;
    return s;
}

// `@` in the help stands for the signal's name.
static void type_error(struct checker *c, const struct node *n, enum signal_type type,
                       const char *help)
{
    struct slice name = tree_text(c->tree, n->first);
    static const char *const kinds[] = {"a truth value", "a number", "one of several words",
                                        "a text", "a set of texts"};
    struct diag *d = check_error(c, n, "type", "`%.*s` is %s", SLICE_FMT(name), kinds[type]);
    char text[256];
    size_t len = 0;
    for (; *help && len < sizeof text - 1; help++) {
        if (*help != '@')
            text[len++] = *help;
        else
            for (size_t i = 0; i < name.len && len < sizeof text - 1; i++)
                text[len++] = name.ptr[i];
    }
    diag_help(c->diags, d, "%.*s", (int)len, text);
}

// The words of an enum signal, as slices in the arena.
static const struct slice *enum_words(struct checker *c, const struct image_signal *s)
{
    struct slice *at = ARENA_ARRAY(c->arena, struct slice, s->words.count + 1);
    for (uint32_t i = 0; at && i < s->words.count; i++)
        at[i] = builder_text(&c->build,
                             *BUILDER_AT(&c->build, IMAGE_STRS, struct image_str, s->words.at + i));
    c->nomem |= !at;
    return at;
}

static bool enum_word(struct checker *c, const struct node *v, const struct image_signal *s,
                      uint32_t *index)
{
    struct slice text = tree_text(c->tree, v);
    const struct slice *words = enum_words(c, s);
    for (*index = 0; words && *index < s->words.count; ++*index)
        if (v->kind == NODE_WORD && slice_eq(text, words[*index]))
            return true;
    if (!words)
        return false;
    struct slice what = builder_text(&c->build, s->derive ? s->name : s->family);
    struct diag *d =
        check_error(c, v, "unknown-word", "`%.*s` is never %.*s", SLICE_FMT(what), SLICE_FMT(text));
    if (v->kind == NODE_STRING)
        text = slice_head(slice_from(text, 1), text.len - 2);
    check_nearest(c, d, text, words, s->words.count);
    if (d->help.len || s->words.count > 16)
        return false;
    struct buf list;
    buf_init(&list, 4096);
    for (uint32_t i = 0; i < s->words.count; i++)
        buf_printf(&list, "%s`%.*s`", i ? ", " : "", SLICE_FMT(words[i]));
    diag_help(c->diags, d, "it is one of %.*s", SLICE_FMT(buf_slice(&list)));
    buf_deinit(&list);
    return false;
}

// A question about the words of an enum whose words are in an order, from the lowest: the same question has the same
// atom however it is asked, and so has its opposite. The lowest word is never asked for.
static struct term *ordered(struct checker *c, const struct image_signal *s, struct image_atom *a,
                            uint64_t words)
{
    uint32_t n = s->words.count;
    uint64_t all = n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;
    bool opposite = words & 1;
    struct buf shown;
    if ((words & all) == 0 || words == all)
        return make(c, words ? TERM_TRUE : TERM_FALSE);
    words = opposite ? all & ~words : words;
    uint32_t lowest = (uint32_t)__builtin_ctzll(words);
    const struct slice *text = enum_words(c, s);
    if (!text)
        return NULL;
    buf_init(&shown, IMAGE_BYTES_MAX);
    buf_add(&shown, builder_text(&c->build, s->name));
    a->words = 0;
    a->number = 0;
    if ((words & (words - 1)) == 0) {
        a->op = IMAGE_OP_EQ;
        a->number = lowest;
        buf_printf(&shown, " == %.*s", SLICE_FMT(text[lowest]));
    } else {
        a->op = IMAGE_OP_IN;
        a->words = words;
        if (words == (all & ~((UINT64_C(1) << lowest) - 1))) {
            buf_printf(&shown, " >= %.*s", SLICE_FMT(text[lowest]));
        } else {
            BUF_LIT(&shown, " in (");
            for (uint32_t i = lowest; i < n; i++)
                if (words >> i & 1)
                    buf_printf(&shown, "%s%.*s", i > lowest ? ", " : "", SLICE_FMT(text[i]));
            buf_byte(&shown, ')');
        }
    }
    struct slice kept = buf_result(&shown) ? SLICE_EMPTY : arena_copy(c->arena, buf_slice(&shown));
    buf_deinit(&shown);
    c->nomem |= !kept.ptr;
    struct term *t = kept.ptr ? atom_term(c, a, NULL, kept) : NULL;
    return opposite ? negate(c, t) : t;
}

// Whether `<` and its like can be asked: the words of a label and of a score's bands stand in an order.
static bool has_order(const struct image_signal *s)
{
    return s->derive == IMAGE_DERIVE_LABEL || s->derive == IMAGE_DERIVE_SCORE;
}

static uint64_t words_by_order(enum image_op op, uint32_t word, uint32_t count)
{
    uint64_t bit = UINT64_C(1) << word, below = bit - 1,
             all = count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
    switch (op) {
    case IMAGE_OP_LT:
        return below;
    case IMAGE_OP_LE:
        return below | bit;
    case IMAGE_OP_GT:
        return all & ~(below | bit);
    case IMAGE_OP_GE:
        return all & ~below;
    case IMAGE_OP_NE:
        return all & ~bit;
    default:
        return bit;
    }
}

// A comparison that is always answered in the same way says that something else was meant.
static struct term *not_constant(struct checker *c, const struct node *n, struct term *t)
{
    if (!t || (t->kind != TERM_TRUE && t->kind != TERM_FALSE))
        return t;
    bool yes = t->kind == TERM_TRUE;
    struct diag *d = check_error(c, n, yes ? "always-true" : "never-true", "this %s holds",
                                 yes ? "always" : "never");
    diag_help(c->diags, d, "%s",
              yes ? "leave it out"
                  : "no level is below the lowest or above the "
                    "highest one");
    return NULL;
}

static enum image_op image_operator(enum token_kind k)
{
    return k == TOKEN_EQ   ? IMAGE_OP_EQ
           : k == TOKEN_NE ? IMAGE_OP_NE
           : k == TOKEN_LT ? IMAGE_OP_LT
           : k == TOKEN_LE ? IMAGE_OP_LE
           : k == TOKEN_GT ? IMAGE_OP_GT
                           : IMAGE_OP_GE;
}

// A comparison that the signal's range answers.
static bool in_signal_range(struct checker *c, const struct node *n, const struct image_signal *s,
                            enum image_op op, double v)
{
    double min = s->number_min, max = s->number_max;
    bool always = (op == IMAGE_OP_GE && v <= min) || (op == IMAGE_OP_LE && v >= max) ||
                  (op == IMAGE_OP_GT && v < min) || (op == IMAGE_OP_LT && v > max);
    bool never = v < min || v > max || (op == IMAGE_OP_LT && v <= min) ||
                 (op == IMAGE_OP_GT && v >= max) ||
                 ((op == IMAGE_OP_EQ || op == IMAGE_OP_NE) && s->whole && v != floor(v));
    if (!always && !never)
        return true;
    char range[96];
    if (max < DBL_MAX)
        snprintf(range, sizeof range, "between %.15g and %.15g", min, max);
    else
        snprintf(range, sizeof range, "of at least %.15g", min);
    check_error(c, n, "range", "this %s holds: `%.*s` is a %s %s",
                always || op == IMAGE_OP_NE ? "always" : "never",
                SLICE_FMT(tree_text(c->tree, n->first)), s->whole ? "whole number" : "number",
                range);
    return false;
}

static struct term *compare(struct checker *c, const struct node *n, struct image_atom *a,
                            const struct image_signal *s)
{
    const struct signal_family *f = c->families[a->signal];
    const struct node *v = n->last;
    enum image_op op = image_operator(tree_operator(c->tree, n));
    bool ne = op == IMAGE_OP_NE, orders = op >= IMAGE_OP_LT;
    struct slice text = SLICE_EMPTY;
    uint32_t word;
    a->op = ne ? IMAGE_OP_EQ : op;
    if (s->type == SIGNAL_BOOL) {
        type_error(c, n, s->type, "write `@` or `not @`");
        return NULL;
    }
    if (s->type == SIGNAL_SET) {
        type_error(c, n, s->type, "ask for members: `@ in (\"one\", \"another\")`");
        return NULL;
    }
    if (orders && s->type != SIGNAL_NUMBER && !(s->type == SIGNAL_ENUM && has_order(s))) {
        type_error(c, n, s->type,
                   "only numbers, labels and bands are less or greater; `==`, `!=` and `in` ask "
                   "for equality");
        return NULL;
    }
    if (s->type == SIGNAL_NUMBER) {
        if (!check_number(c, v, f ? f->unit : NULL, "this signal", -1e300, 1e300, &a->number) ||
            !in_signal_range(c, n, s, op, a->number))
            return NULL;
    } else if (s->type == SIGNAL_ENUM) {
        if (!enum_word(c, v, s, &word))
            return NULL;
        if (has_order(s))
            return not_constant(c, n, ordered(c, s, a, words_by_order(op, word, s->words.count)));
        a->number = word;
    } else if (v->kind != NODE_STRING) {
        type_error(c, n, s->type, "compare it with a string in quotes");
        return NULL;
    } else {
        text = check_string(c, v);
        a->texts.count = 1;
    }
    struct term *t = atom_term(c, a, &text, shown_comparison(c, n, image_op_name(a->op)));
    return ne ? negate(c, t) : t;
}

static int by_bytes(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static struct term *member(struct checker *c, const struct node *n, struct image_atom *a,
                           const struct image_signal *s)
{
    enum signal_type type = s->type;
    struct slice *texts = ARENA_ARRAY(c->arena, struct slice, n->count);
    uint32_t word;
    if (!texts) {
        c->nomem = true;
        return NULL;
    }
    if (type == SIGNAL_BOOL || type == SIGNAL_NUMBER) {
        type_error(c, n, type,
                   type == SIGNAL_BOOL ? "write `@` or `not @`"
                                       : "write `@ == 1 or @ == 2`, or a range");
        return NULL;
    }
    a->op = IMAGE_OP_IN;
    for (const struct node *v = n->first->next; v; v = v->next) {
        if (type == SIGNAL_ENUM) {
            if (!enum_word(c, v, s, &word))
                return NULL;
            a->words |= UINT64_C(1) << word;
        } else if (v->kind != NODE_STRING) {
            struct diag *d = check_error(c, v, "type", "texts stand in quotes");
            diag_help(c->diags, d, "write `\"%.*s\"`", SLICE_FMT(tree_text(c->tree, v)));
            return NULL;
        } else {
            texts[a->texts.count++] = check_string(c, v);
        }
    }
    if (type == SIGNAL_ENUM && has_order(s)) {
        uint64_t all = s->words.count == 64 ? UINT64_MAX : (UINT64_C(1) << s->words.count) - 1;
        return not_constant(c, n, ordered(c, s, a, n->negated ? all & ~a->words : a->words));
    }
    if (a->texts.count > 1)
        qsort(texts, a->texts.count, sizeof *texts, by_bytes);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < a->texts.count; i++)
        if (i == 0 || !slice_eq(texts[i], texts[i - 1]))
            texts[kept++] = texts[i];
    a->texts.count = kept;
    struct term *t = atom_term(c, a, texts, shown_comparison(c, n, "in"));
    return n->negated ? negate(c, t) : t;
}

static struct term *question(struct checker *c, const struct node *n)
{
    struct image_atom a;
    memset(&a, 0, sizeof a);
    bool is_true = tree_is(c->tree, n->first, "true"),
         is_false = tree_is(c->tree, n->first, "false");
    if (is_true || is_false) {
        if (n->kind == NODE_TRUE)
            return make(c, is_true ? TERM_TRUE : TERM_FALSE);
        check_error(c, n, "type", "`true` and `false` are not compared");
        return NULL;
    }
    a.signal = check_find(c, &c->signals, n->first);
    if (a.signal < 0 || !c->signal_ok[a.signal])
        return NULL;
    // A copy: the section may move.
    struct image_signal s =
        *BUILDER_AT(&c->build, IMAGE_SIGNALS, struct image_signal, (uint32_t)a.signal);
    enum signal_type type = s.type;
    if (n->kind == NODE_COMPARE)
        return compare(c, n, &a, &s);
    if (n->kind == NODE_IN)
        return member(c, n, &a, &s);
    if (type == SIGNAL_NUMBER) {
        type_error(c, n, type, "compare it, as in `@ > 0`");
        return NULL;
    }
    if (type == SIGNAL_ENUM) {
        type_error(c, n, type, "compare it, as in `@ == WORD`");
        return NULL;
    }
    a.op = IMAGE_OP_TRUE;
    return atom_term(c, &a, NULL, tree_text(c->tree, n->first));
}

// Where a literal was last seen: two places per atom.
static uint32_t *seen(struct checker *c, uint32_t atom, bool negative)
{
    uint32_t want = atom * 2 + 2;
    if (want > c->seen_room) {
        uint32_t room = want * 2;
        uint32_t *grown = alloc_resize(c->seen, room * sizeof *grown);
        if (!grown) {
            c->nomem = true;
            return NULL;
        }
        memset(grown + c->seen_room, 0, (room - c->seen_room) * sizeof *grown);
        c->seen = grown;
        c->seen_room = room;
    }
    return &c->seen[atom * 2 + negative];
}

// Appends to an AND or OR; true when the whole is settled by it. `stamp` is the node's own.
static bool absorb(struct checker *c, struct term *n, struct term *t, uint32_t stamp)
{
    bool and = n->kind == TERM_AND;
    if (t->kind == TERM_TRUE || t->kind == TERM_FALSE)
        return and == (t->kind == TERM_FALSE);
    if (t->kind == n->kind) {
        for (struct term *x = t->first, *next; x; x = next) {
            next = x->next;
            if (absorb(c, n, x, stamp))
                return true;
        }
        return false;
    }
    bool negative = t->kind == TERM_NOT && t->first->kind == TERM_ATOM;
    if (negative || t->kind == TERM_ATOM) {
        uint32_t atom = negative ? t->first->atom : t->atom;
        uint32_t *other = seen(c, atom, !negative), *own = seen(c, atom, negative);
        if (!own || !other)
            return true;
        if (*other == stamp)
            return true; // a and not a; a or not a
        if (*own == stamp)
            return false;
        *own = stamp;
    }
    // A copy: the same term may be a child of a node that was folded away.
    struct term *copy = make(c, t->kind);
    if (!copy)
        return true;
    *copy = *t;
    copy->next = NULL;
    if (n->last)
        n->last->next = copy;
    else
        n->first = copy;
    n->last = copy;
    n->count++;
    return false;
}

static struct term *fold(struct checker *c, const struct node *n);

static struct term *fold_many(struct checker *c, const struct node *n)
{
    struct term *t = make(c, n->kind == NODE_AND ? TERM_AND : TERM_OR);
    if (!t)
        return NULL;
    // The parts first: each of their own nodes has a later stamp than this one must have.
    bool bad = false;
    struct term parts = {.first = NULL};
    for (const struct node *part = n->first; part; part = part->next) {
        struct term *folded = fold(c, part), *link = make(c, TERM_TRUE);
        bad |= !folded || !link;
        if (bad)
            continue;
        link->first = folded;
        if (parts.last)
            parts.last->next = link;
        else
            parts.first = link;
        parts.last = link;
    }
    if (bad)
        return NULL;
    uint32_t stamp = ++c->seen_stamp;
    for (struct term *link = parts.first; link; link = link->next)
        if (absorb(c, t, link->first, stamp))
            return make(c, t->kind == TERM_AND ? TERM_FALSE : TERM_TRUE);
    if (t->count == 0)
        return make(c, t->kind == TERM_AND ? TERM_TRUE : TERM_FALSE);
    return t->count == 1 ? t->first : t;
}

static struct term *fold_node(struct checker *c, const struct node *n)
{
    switch (n->kind) {
    case NODE_AND:
    case NODE_OR:
        return fold_many(c, n);
    case NODE_NOT:
        return negate(c, fold(c, n->first));
    case NODE_PAREN:
        return fold(c, n->first);
    default:
        return question(c, n);
    }
}

static struct term *fold(struct checker *c, const struct node *n)
{
    struct term *t = fold_node(c, n);
    if (t && t->place.end == 0)
        t->place = tree_span(c->tree, n);
    return t;
}

static uint32_t emit(struct checker *c, const struct term *t)
{
    uint32_t at = builder_count(&c->build, IMAGE_NODES), size = 1;
    struct image_node node = {.kind = t->kind == TERM_ATOM  ? IMAGE_NODE_ATOM
                                      : t->kind == TERM_NOT ? IMAGE_NODE_NOT
                                      : t->kind == TERM_AND ? IMAGE_NODE_AND
                                      : t->kind == TERM_OR  ? IMAGE_NODE_OR
                                                            : IMAGE_NODE_TRUE};
    node.arg = t->kind == TERM_ATOM ? t->atom : t->kind == TERM_NOT ? 1 : t->count;
    c->build.place = t->place;
    BUILDER_ADD(&c->build, IMAGE_NODES, struct image_node);
    for (const struct term *x = t->first; x; x = x->next)
        size += emit(c, x);
    node.size = size;
    *BUILDER_AT(&c->build, IMAGE_NODES, struct image_node, at) = node;
    return size;
}

static struct image_list emit_guard(struct checker *c, const struct term *t)
{
    struct image_list list = {.at = builder_count(&c->build, IMAGE_NODES)};
    if (t)
        list.count = emit(c, t);
    return list;
}

struct image_list check_guard(struct checker *c, const struct node *guard)
{
    struct term always = {.kind = TERM_TRUE}, *t = guard ? fold(c, guard) : &always;
    if (t && guard && (t->kind == TERM_TRUE || t->kind == TERM_FALSE)) {
        struct diag *d =
            check_error(c, guard, t->kind == TERM_TRUE ? "always-true" : "never-true",
                        t->kind == TERM_TRUE
                            ? "this guard always holds, so that no request reaches what follows"
                            : "this guard never holds");
        if (t->kind == TERM_TRUE)
            diag_help(
                c->diags, d,
                "what all other requests get is written `otherwise -> ...`, behind the routes");
    }
    return emit_guard(c, t);
}

static struct term *condition(struct checker *c, const struct node *guard)
{
    struct term *t = fold(c, guard);
    if (t && (t->kind == TERM_TRUE || t->kind == TERM_FALSE)) {
        bool yes = t->kind == TERM_TRUE;
        struct diag *d =
            check_error(c, guard, yes ? "always-true" : "never-true",
                        yes ? "this condition always holds" : "this condition never holds");
        diag_help(c->diags, d,
                  yes ? "leave it out" : "leave the statement out, or say what was meant");
    }
    return t;
}

struct image_list check_condition(struct checker *c, const struct node *guard)
{
    return emit_guard(c, condition(c, guard));
}

static struct term *both(struct checker *c, struct term *a, struct term *b, struct span place)
{
    struct term *t = make(c, TERM_AND);
    if (!a || !b || !t)
        return NULL;
    t->place = place;
    uint32_t stamp = ++c->seen_stamp;
    if (absorb(c, t, a, stamp) || absorb(c, t, b, stamp))
        return make(c, TERM_FALSE);
    return t->count == 1 ? t->first : t;
}

struct image_list check_both(struct checker *c, const struct node *a, const struct node *b)
{
    uint32_t errors = c->diags->errors;
    struct term *t = condition(c, a);
    if (b)
        t = both(c, t, condition(c, b), tree_span(c->tree, a));
    if (t && t->kind == TERM_FALSE && c->diags->errors == errors)
        check_error(c, a, "never-true", "this and what stands behind `when` never hold together");
    return emit_guard(c, t);
}

struct image_list check_guard_level(struct checker *c, const struct node *place, uint32_t signal,
                                    uint32_t level, const struct node *guard)
{
    struct image_signal s = *BUILDER_AT(&c->build, IMAGE_SIGNALS, struct image_signal, signal);
    struct image_atom a;
    memset(&a, 0, sizeof a);
    a.signal = (int32_t)signal;
    struct term *t = ordered(c, &s, &a, words_by_order(IMAGE_OP_GE, level, s.words.count));
    if (t)
        t->place = tree_span(c->tree, place);
    if (guard)
        t = both(c, t, condition(c, guard), tree_span(c->tree, place));
    // A level that the guard rules out needs no constraint.
    return emit_guard(c, t && t->kind == TERM_FALSE ? NULL : t);
}

struct image_list check_guard_true(struct checker *c, const struct node *place, uint32_t signal)
{
    struct image_atom a;
    memset(&a, 0, sizeof a);
    a.signal = (int32_t)signal;
    a.op = IMAGE_OP_TRUE;
    struct slice name = builder_text(
        &c->build, BUILDER_AT(&c->build, IMAGE_SIGNALS, struct image_signal, signal)->name);
    struct slice kept = arena_copy(c->arena, name);
    struct term *t = kept.ptr ? atom_term(c, &a, NULL, kept) : NULL;
    c->nomem |= !t;
    if (t)
        t->place = tree_span(c->tree, place);
    return emit_guard(c, t);
}

struct image_list check_guard_texts(struct checker *c, const struct node *place, uint32_t signal,
                                    struct slice *texts, uint32_t count)
{
    struct image_atom a;
    struct buf shown;
    memset(&a, 0, sizeof a);
    a.signal = (int32_t)signal;
    a.op = IMAGE_OP_IN;
    a.texts.count = count;
    qsort(texts, count, sizeof *texts, by_bytes);
    buf_init(&shown, IMAGE_BYTES_MAX);
    struct slice name = builder_text(
        &c->build, BUILDER_AT(&c->build, IMAGE_SIGNALS, struct image_signal, signal)->name);
    buf_printf(&shown, "%.*s in (", SLICE_FMT(name));
    for (uint32_t i = 0; i < count; i++)
        buf_printf(&shown, "%s\"%.*s\"", i ? ", " : "", SLICE_FMT(texts[i]));
    buf_byte(&shown, ')');
    struct slice kept = buf_result(&shown) ? SLICE_EMPTY : arena_copy(c->arena, buf_slice(&shown));
    buf_deinit(&shown);
    struct term *t = kept.ptr ? atom_term(c, &a, texts, kept) : NULL;
    c->nomem |= !t;
    if (t)
        t->place = tree_span(c->tree, place);
    return emit_guard(c, t);
}
