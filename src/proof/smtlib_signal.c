#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "proof/smtlib_inner.h"

// Ranges from here on are no ranges.
#define UNBOUNDED 1e300

void smtlib_symbol(struct smtlib *s, const char *kind, struct slice name)
{
    static const char hex[] = "0123456789abcdef";
    BUF_LIT(s->out, "|");
    buf_cstr(s->out, kind);
    if (name.len)
        buf_byte(s->out, ' ');
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        if (c >= ' ' && c != '|' && c != '\\' && c != '%' && c != 127) {
            buf_byte(s->out, (char)c);
        } else {
            buf_byte(s->out, '%');
            buf_byte(s->out, hex[c >> 4]);
            buf_byte(s->out, hex[c & 15]);
        }
    }
    BUF_LIT(s->out, "|");
}

// The shortest decimal that reads back as `v`, without an exponent: SMT-LIB has none.
void smtlib_number(struct smtlib *s, double v)
{
    char text[64], digits[32];
    int precision = 1, exponent, n = 0;
    if (v < 0) {
        BUF_LIT(s->out, "(- ");
        smtlib_number(s, -v);
        BUF_LIT(s->out, ")");
        return;
    }
    do
        snprintf(text, sizeof text, "%.*e", precision - 1, v);
    while (strtod(text, NULL) != v && ++precision < 18);
    for (const char *c = text; *c && *c != 'e'; c++)
        if (*c != '.')
            digits[n++] = *c;
    exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    while (n > 1 && digits[n - 1] == '0')
        n--;
    if (exponent < 0) {
        BUF_LIT(s->out, "0.");
        for (int i = -1; i > exponent; i--)
            buf_byte(s->out, '0');
        buf_append(s->out, digits, (size_t)n);
        return;
    }
    for (int i = 0; i <= exponent || i < n; i++) {
        if (i == exponent + 1)
            buf_byte(s->out, '.');
        buf_byte(s->out, i < n ? digits[i] : '0');
    }
    if (n <= exponent + 1)
        BUF_LIT(s->out, ".0");
}

static enum signal_type raw_type(const struct image_signal *d)
{
    return d->has_threshold ? SIGNAL_NUMBER : d->type;
}

static bool same_text(const struct policy_image *p, struct image_str a, struct image_str b)
{
    return slice_eq(image_text(p, a), image_text(p, b));
}

static bool same_value(const struct policy_image *p, const struct image_signal *a,
                       const struct image_signal *b)
{
    if (a->derive || b->derive || a->args.count != b->args.count || raw_type(a) != raw_type(b) ||
        !same_text(p, a->family, b->family))
        return false;
    const struct image_arg *x = IMAGE_AT(p, a->args, struct image_arg),
                           *y = IMAGE_AT(p, b->args, struct image_arg);
    for (uint32_t i = 0; i < a->args.count; i++)
        if (x[i].kind != y[i].kind || !same_text(p, x[i].name, y[i].name) ||
            !same_text(p, x[i].tag, y[i].tag) || !same_text(p, x[i].text, y[i].text) ||
            x[i].number != y[i].number)
            return false;
    return true;
}

// Which texts the policy mentions of which value.
struct mention {
    int32_t first;
    struct slice text;
};

static int by_mention(const void *a, const void *b)
{
    const struct mention *x = a, *y = b;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return slice_cmp(x->text, y->text);
}

static bool has_texts(const struct image_signal *d)
{
    return !d->derive && (d->type == SIGNAL_TEXT || d->type == SIGNAL_SET);
}

static uint32_t mentions(const struct smtlib *s, struct mention *m)
{
    const struct policy_image *p = s->p;
    const struct image_atom *atoms = IMAGE_AT(p, p->atoms, struct image_atom);
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->atoms.count; i++) {
        const struct image_str *t = IMAGE_AT(p, atoms[i].texts, struct image_str);
        if (has_texts(smtlib_signal(s, atoms[i].signal)))
            for (uint32_t k = 0; k < atoms[i].texts.count; k++, n++)
                if (m)
                    m[n] = (struct mention){s->first[atoms[i].signal], image_text(p, t[k])};
    }
    for (uint32_t i = 0; i < p->signals.count; i++) {
        const struct image_signal *d = smtlib_signal(s, (int32_t)i);
        if (has_texts(d) && d->error_text.len) {
            if (m)
                m[n] = (struct mention){s->first[i], image_text(p, d->error_text)};
            n++;
        }
    }
    return n;
}

enum result smtlib_signals_open(struct smtlib *s)
{
    const struct policy_image *p = s->p;
    uint32_t count = p->signals.count;
    s->first = alloc_zeroed(count + 1, sizeof *s->first);
    s->text_at = alloc_zeroed(count + 1, sizeof *s->text_at);
    if (!s->first || !s->text_at)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = 0;
        while (!same_value(p, smtlib_signal(s, (int32_t)k), smtlib_signal(s, (int32_t)i)) && k < i)
            k++;
        s->first[i] = (int32_t)k;
    }
    uint32_t n = mentions(s, NULL), kept = 0, at = 0;
    struct mention *all = alloc_zeroed(n + 1, sizeof *all);
    s->texts = alloc_zeroed(n + 1, sizeof *s->texts);
    if (!all || !s->texts) {
        alloc_free(all);
        return RESULT_NOMEM;
    }
    mentions(s, all);
    qsort(all, n, sizeof *all, by_mention);
    for (uint32_t i = 0; i < count; i++) {
        s->text_at[i] = kept;
        for (; at < n && all[at].first == (int32_t)i; at++)
            // The empty text has a constant of its own; as a member of a set it is like any other.
            if ((all[at].text.len || smtlib_signal(s, (int32_t)i)->type == SIGNAL_SET) &&
                (kept == s->text_at[i] || !slice_eq(all[at].text, s->texts[kept - 1])))
                s->texts[kept++] = all[at].text;
    }
    s->text_at[count] = kept;
    alloc_free(all);
    return RESULT_OK;
}

void smtlib_signals_close(struct smtlib *s)
{
    alloc_free(s->first);
    alloc_free(s->text_at);
    alloc_free(s->texts);
    alloc_free(s->effect);
}

struct slice smtlib_name_of(const struct smtlib *s, int32_t signal)
{
    return image_text(s->p, smtlib_signal(s, signal)->name);
}

// |KIND NAME: VALUE|; a long or odd value goes by its number.
static void value_symbol(struct smtlib *s, const char *kind, int32_t signal, struct slice value,
                         uint32_t number)
{
    enum { SHOWN = 80 };
    struct buf name;
    buf_init(&name, 8192);
    buf_add(&name, smtlib_name_of(s, signal));
    if (value.len <= SHOWN && !memchr(value.ptr ? value.ptr : "", '"', value.len))
        buf_printf(&name, ": \"%.*s\"", SLICE_FMT(value));
    else
        buf_printf(&name, ": #%u", number);
    if (buf_result(&name))
        s->err = RESULT_NOMEM;
    smtlib_symbol(s, kind, buf_slice(&name));
    buf_deinit(&name);
}

void smtlib_word_symbol(struct smtlib *s, int32_t signal, uint32_t word)
{
    const struct image_signal *d = smtlib_signal(s, signal);
    const struct image_str *words = IMAGE_AT(s->p, d->words, struct image_str);
    value_symbol(s, "word", signal, image_text(s->p, words[word]), word);
}

// The value's constant among those declared for its first signal.
static void text_symbol(struct smtlib *s, const char *kind, int32_t signal, struct slice text)
{
    int32_t first = s->first[signal];
    uint32_t i = s->text_at[first];
    while (i + 1 < s->text_at[first + 1] && !slice_eq(s->texts[i], text))
        i++;
    value_symbol(s, kind, first, text, i - s->text_at[first]);
}

void smtlib_declare_enum(struct smtlib *s, int32_t i)
{
    const struct image_signal *d = smtlib_signal(s, i);
    BUF_LIT(s->out, "(declare-datatypes ((");
    smtlib_symbol(s, "values of", smtlib_name_of(s, i));
    BUF_LIT(s->out, " 0)) ((");
    for (uint32_t w = 0; w < d->words.count; w++) {
        BUF_LIT(s->out, " (");
        smtlib_word_symbol(s, i, w);
        BUF_LIT(s->out, ")");
    }
    BUF_LIT(s->out, ")))\n");
}

static void declare_text(struct smtlib *s, int32_t i)
{
    BUF_LIT(s->out, "(declare-datatypes ((");
    smtlib_symbol(s, "values of", smtlib_name_of(s, i));
    BUF_LIT(s->out, " 0)) (((");
    smtlib_symbol(s, "no text of", smtlib_name_of(s, i));
    BUF_LIT(s->out, ") (");
    smtlib_symbol(s, "another text of", smtlib_name_of(s, i));
    BUF_LIT(s->out, ")");
    for (uint32_t t = s->text_at[i]; t < s->text_at[i + 1]; t++) {
        BUF_LIT(s->out, " (");
        text_symbol(s, "text", i, s->texts[t]);
        BUF_LIT(s->out, ")");
    }
    BUF_LIT(s->out, ")))\n");
}

static bool word_mentioned(const struct smtlib *s, int32_t i, struct slice word)
{
    for (uint32_t t = s->text_at[i]; t < s->text_at[i + 1]; t++)
        if (slice_eq(s->texts[t], word))
            return true;
    return false;
}

static bool is_word(const struct smtlib *s, const struct image_signal *d, struct slice text)
{
    const struct image_str *words = IMAGE_AT(s->p, d->words, struct image_str);
    for (uint32_t w = 0; w < d->words.count; w++)
        if (slice_eq(image_text(s->p, words[w]), text))
            return true;
    return false;
}

static void declare_set(struct smtlib *s, int32_t i)
{
    const struct image_signal *d = smtlib_signal(s, i);
    const struct image_str *words = IMAGE_AT(s->p, d->words, struct image_str);
    bool closed = d->closed && d->words.count, other = !closed;
    for (uint32_t w = 0; w < d->words.count && !other; w++)
        other = !word_mentioned(s, i, image_text(s->p, words[w]));
    for (uint32_t t = s->text_at[i]; t < s->text_at[i + 1]; t++) {
        bool can = !closed || is_word(s, d, s->texts[t]);
        buf_cstr(s->out, can ? "(declare-const " : "(define-fun ");
        text_symbol(s, "computed member", i, s->texts[t]);
        buf_cstr(s->out, can ? " Bool)\n" : " () Bool false)\n");
    }
    buf_cstr(s->out, other ? "(declare-const " : "(define-fun ");
    smtlib_symbol(s, "computed other member of", smtlib_name_of(s, i));
    buf_cstr(s->out, other ? " Bool)\n" : " () Bool false)\n");
}

static void declare_number(struct smtlib *s, int32_t i)
{
    const struct image_signal *d = smtlib_signal(s, i);
    BUF_LIT(s->out, "(declare-const ");
    smtlib_symbol(s, "computed", smtlib_name_of(s, i));
    buf_cstr(s->out, d->whole ? " Int)\n" : " Real)\n");
    for (int upper = 0; upper < 2; upper++) {
        double bound = upper ? d->number_max : d->number_min;
        if (!(fabs(bound) < UNBOUNDED))
            continue;
        buf_printf(s->out, "(assert (%s ", upper ? "<=" : ">=");
        if (d->whole)
            BUF_LIT(s->out, "(to_real ");
        smtlib_symbol(s, "computed", smtlib_name_of(s, i));
        buf_cstr(s->out, d->whole ? ") " : " ");
        smtlib_number(s, bound);
        BUF_LIT(s->out, "))\n");
    }
}

static void declare_value(struct smtlib *s, int32_t i)
{
    switch (raw_type(smtlib_signal(s, i))) {
    case SIGNAL_BOOL:
        BUF_LIT(s->out, "(declare-const ");
        smtlib_symbol(s, "computed", smtlib_name_of(s, i));
        BUF_LIT(s->out, " Bool)\n");
        return;
    case SIGNAL_NUMBER:
        declare_number(s, i);
        return;
    case SIGNAL_ENUM:
    case SIGNAL_TEXT:
        if (smtlib_signal(s, i)->type == SIGNAL_ENUM)
            smtlib_declare_enum(s, i);
        else
            declare_text(s, i);
        BUF_LIT(s->out, "(declare-const ");
        smtlib_symbol(s, "computed", smtlib_name_of(s, i));
        buf_byte(s->out, ' ');
        smtlib_symbol(s, "values of", smtlib_name_of(s, i));
        BUF_LIT(s->out, ")\n");
        return;
    case SIGNAL_SET:
        declare_set(s, i);
        return;
    }
}

void smtlib_begin_define(struct smtlib *s, const char *kind, int32_t i, const char *sort)
{
    BUF_LIT(s->out, "(define-fun ");
    smtlib_symbol(s, kind, smtlib_name_of(s, i));
    BUF_LIT(s->out, " () ");
    if (sort)
        buf_cstr(s->out, sort);
    else
        smtlib_symbol(s, "values of", smtlib_name_of(s, s->first[i]));
    buf_byte(s->out, ' ');
}

static void ite_failed(struct smtlib *s, int32_t i)
{
    BUF_LIT(s->out, "(ite ");
    smtlib_symbol(s, "failed", smtlib_name_of(s, i));
    buf_byte(s->out, ' ');
}

static void number_shown(struct smtlib *s, int32_t i)
{
    const struct image_signal *d = smtlib_signal(s, i);
    struct slice raw = smtlib_name_of(s, s->first[i]);
    smtlib_begin_define(s, "signal", i, d->has_threshold ? "Bool" : "Real");
    ite_failed(s, i);
    if (d->has_threshold)
        buf_cstr(s->out, d->error_number != 0 ? "true" : "false");
    else
        smtlib_number(s, d->error_number);
    buf_byte(s->out, ' ');
    if (d->has_threshold)
        buf_cstr(s->out, d->threshold_above ? "(> " : "(< ");
    if (d->whole)
        BUF_LIT(s->out, "(to_real ");
    smtlib_symbol(s, "computed", raw);
    if (d->whole)
        BUF_LIT(s->out, ")");
    if (d->has_threshold) {
        buf_byte(s->out, ' ');
        smtlib_number(s, d->threshold);
        BUF_LIT(s->out, ")");
    }
    BUF_LIT(s->out, "))\n");
}

// What the policy sees: the computed value, or the definition's on_error.
static void define_shown(struct smtlib *s, int32_t i)
{
    const struct image_signal *d = smtlib_signal(s, i);
    struct slice raw = smtlib_name_of(s, s->first[i]), error = image_text(s->p, d->error_text);
    if (raw_type(d) == SIGNAL_NUMBER) {
        number_shown(s, i);
        return;
    }
    if (d->type == SIGNAL_SET)
        return; // asked member by member
    smtlib_begin_define(s, "signal", i, d->type == SIGNAL_BOOL ? "Bool" : NULL);
    ite_failed(s, i);
    if (d->type == SIGNAL_BOOL)
        buf_cstr(s->out, d->error_number != 0 ? "true" : "false");
    else if (d->type == SIGNAL_ENUM)
        smtlib_word_symbol(s, s->first[i],
                           d->error_number >= 0 && d->error_number < d->words.count
                               ? (uint32_t)d->error_number
                               : 0);
    else if (error.len)
        text_symbol(s, "text", i, error);
    else
        smtlib_symbol(s, "no text of", raw);
    buf_byte(s->out, ' ');
    smtlib_symbol(s, "computed", raw);
    BUF_LIT(s->out, "))\n");
}

static void member_is(struct smtlib *s, int32_t i, struct slice text)
{
    const struct image_signal *d = smtlib_signal(s, i);
    ite_failed(s, i);
    buf_cstr(s->out, d->error_text.len && slice_eq(image_text(s->p, d->error_text), text)
                         ? "true "
                         : "false ");
    text_symbol(s, "computed member", i, text);
    BUF_LIT(s->out, ")");
}

static void set_atom(struct smtlib *s, const struct image_atom *a)
{
    const struct image_str *texts = IMAGE_AT(s->p, a->texts, struct image_str);
    const struct image_signal *d = smtlib_signal(s, a->signal);
    int32_t first = s->first[a->signal];
    if (a->op == IMAGE_OP_NE)
        BUF_LIT(s->out, "(not ");
    if (a->op == IMAGE_OP_TRUE) {
        ite_failed(s, a->signal);
        buf_cstr(s->out, d->error_text.len ? "true (or " : "false (or ");
        smtlib_symbol(s, "computed other member of", smtlib_name_of(s, first));
        for (uint32_t t = s->text_at[first]; t < s->text_at[first + 1]; t++) {
            buf_byte(s->out, ' ');
            text_symbol(s, "computed member", a->signal, s->texts[t]);
        }
        BUF_LIT(s->out, "))");
    } else {
        BUF_LIT(s->out, "(or false");
        for (uint32_t k = 0; k < a->texts.count; k++) {
            buf_byte(s->out, ' ');
            member_is(s, a->signal, image_text(s->p, texts[k]));
        }
        BUF_LIT(s->out, ")");
    }
    if (a->op == IMAGE_OP_NE)
        BUF_LIT(s->out, ")");
}

static void text_atom(struct smtlib *s, const struct image_atom *a)
{
    const struct image_str *texts = IMAGE_AT(s->p, a->texts, struct image_str);
    struct slice first = smtlib_name_of(s, s->first[a->signal]);
    if (a->op == IMAGE_OP_TRUE) {
        BUF_LIT(s->out, "(distinct ");
        smtlib_symbol(s, "signal", smtlib_name_of(s, a->signal));
        buf_byte(s->out, ' ');
        smtlib_symbol(s, "no text of", first);
        BUF_LIT(s->out, ")");
        return;
    }
    buf_cstr(s->out, a->op == IMAGE_OP_NE ? "(not (or false" : "(or false");
    for (uint32_t k = 0; k < a->texts.count; k++) {
        struct slice text = image_text(s->p, texts[k]);
        BUF_LIT(s->out, " (= ");
        smtlib_symbol(s, "signal", smtlib_name_of(s, a->signal));
        buf_byte(s->out, ' ');
        if (text.len)
            text_symbol(s, "text", a->signal, text);
        else
            smtlib_symbol(s, "no text of", first);
        BUF_LIT(s->out, ")");
    }
    buf_cstr(s->out, a->op == IMAGE_OP_NE ? "))" : ")");
}

static bool word_holds(const struct image_atom *a, uint32_t w)
{
    switch (a->op) {
    case IMAGE_OP_EQ:
        return w == a->number;
    case IMAGE_OP_NE:
        return w != a->number;
    case IMAGE_OP_LT:
        return w < a->number;
    case IMAGE_OP_LE:
        return w <= a->number;
    case IMAGE_OP_GT:
        return w > a->number;
    case IMAGE_OP_GE:
        return w >= a->number;
    case IMAGE_OP_IN:
        return a->words >> w & 1;
    case IMAGE_OP_TRUE:
    case IMAGE_OP_FAILED:
        break;
    }
    return false;
}

static void word_atom(struct smtlib *s, const struct image_atom *a)
{
    const struct image_signal *d = smtlib_signal(s, a->signal);
    BUF_LIT(s->out, "(or false");
    for (uint32_t w = 0; w < d->words.count; w++) {
        if (!word_holds(a, w))
            continue;
        BUF_LIT(s->out, " (= ");
        smtlib_symbol(s, "signal", smtlib_name_of(s, a->signal));
        buf_byte(s->out, ' ');
        if (d->derive == IMAGE_DERIVE_LABEL)
            buf_u64(s->out, w);
        else
            smtlib_word_symbol(s, s->first[a->signal], w);
        BUF_LIT(s->out, ")");
    }
    BUF_LIT(s->out, ")");
}

static void number_atom(struct smtlib *s, const struct image_atom *a)
{
    static const char *const ops[] = {NULL, "=", "distinct", "<", "<=", ">", ">="};
    buf_printf(s->out, "(%s ", ops[a->op]);
    smtlib_symbol(s, "signal", smtlib_name_of(s, a->signal));
    buf_byte(s->out, ' ');
    smtlib_number(s, a->number);
    BUF_LIT(s->out, ")");
}

static void atom(struct smtlib *s, uint32_t index)
{
    const struct image_atom *a = IMAGE_AT(s->p, s->p->atoms, struct image_atom) + index;
    if (a->op == IMAGE_OP_FAILED) {
        smtlib_symbol(s, "failed", smtlib_name_of(s, a->signal));
        return;
    }
    switch (smtlib_signal(s, a->signal)->type) {
    case SIGNAL_BOOL:
        smtlib_symbol(s, "signal", smtlib_name_of(s, a->signal));
        return;
    case SIGNAL_NUMBER:
        number_atom(s, a);
        return;
    case SIGNAL_ENUM:
        word_atom(s, a);
        return;
    case SIGNAL_TEXT:
        text_atom(s, a);
        return;
    case SIGNAL_SET:
        set_atom(s, a);
        return;
    }
}

void smtlib_guard(struct smtlib *s, struct image_list guard)
{
    const struct image_node *nodes = IMAGE_AT(s->p, guard, struct image_node);
    uint32_t ends[IMAGE_GUARD_DEPTH_MAX + 1], depth = 0;
    if (guard.count == 0)
        BUF_LIT(s->out, "true");
    for (uint32_t i = 0; i < guard.count; i++) {
        if (i)
            buf_byte(s->out, ' ');
        if (nodes[i].kind == IMAGE_NODE_TRUE)
            BUF_LIT(s->out, "true");
        else if (nodes[i].kind == IMAGE_NODE_ATOM)
            atom(s, nodes[i].arg);
        else {
            buf_cstr(s->out, nodes[i].kind == IMAGE_NODE_NOT   ? "(not"
                             : nodes[i].kind == IMAGE_NODE_AND ? "(and"
                                                               : "(or");
            ends[depth++] = i + nodes[i].size;
        }
        while (depth && ends[depth - 1] == i + 1) {
            BUF_LIT(s->out, ")");
            depth--;
        }
    }
}

// ---- all of them

static void define_computed(struct smtlib *s, int32_t i)
{
    if (s->first[i] == i)
        declare_value(s, i);
    BUF_LIT(s->out, "(declare-const ");
    smtlib_symbol(s, "failed", smtlib_name_of(s, i));
    BUF_LIT(s->out, " Bool)\n");
    define_shown(s, i);
}

// Inputs before what is derived of them; `done` marks what is written. Depth is bounded by the image.
static void define(struct smtlib *s, int32_t i, bool *done, unsigned depth)
{
    const struct image_signal *d = smtlib_signal(s, i);
    const struct image_term *terms = IMAGE_AT(s->p, d->terms, struct image_term);
    const struct image_atom *atoms = IMAGE_AT(s->p, s->p->atoms, struct image_atom);
    if (done[i] || depth > IMAGE_DERIVE_DEPTH_MAX + 1)
        return;
    done[i] = true;
    if (!d->derive) {
        define_computed(s, i);
        return;
    }
    for (uint32_t t = 0; t < d->terms.count; t++) {
        const struct image_node *nodes = IMAGE_AT(s->p, terms[t].guard, struct image_node);
        if (terms[t].signal != IMAGE_NONE)
            define(s, terms[t].signal, done, depth + 1);
        for (uint32_t k = 0; k < terms[t].guard.count; k++)
            if (nodes[k].kind == IMAGE_NODE_ATOM)
                define(s, atoms[nodes[k].arg].signal, done, depth + 1);
    }
    smtlib_define_derived(s, i);
}

static void define_all_computed(struct smtlib *s)
{
    BUF_LIT(s->out, "; what a request of which every signal could be computed is\n"
                    "(define-fun |all computed| () Bool (and true");
    for (uint32_t i = 0; i < s->p->signals.count; i++) {
        if (smtlib_signal(s, (int32_t)i)->derive)
            continue;
        BUF_LIT(s->out, " (not ");
        smtlib_symbol(s, "failed", smtlib_name_of(s, (int32_t)i));
        BUF_LIT(s->out, ")");
    }
    BUF_LIT(s->out, "))\n");
}

// The label of a request on each lattice: the highest that a label signal of it says.
static void define_labels(struct smtlib *s)
{
    const struct image_lattice *l = IMAGE_AT(s->p, s->p->lattices, struct image_lattice);
    for (uint32_t i = 0; i < s->p->lattices.count; i++) {
        uint32_t open = 0;
        BUF_LIT(s->out, "(define-fun ");
        smtlib_symbol(s, "label", image_text(s->p, l[i].name));
        BUF_LIT(s->out, " () Int ");
        for (uint32_t level = l[i].levels.count; level-- > 1; open++) {
            BUF_LIT(s->out, "(ite (or false");
            for (uint32_t k = 0; k < s->p->signals.count; k++) {
                const struct image_signal *d = smtlib_signal(s, (int32_t)k);
                if (d->derive != IMAGE_DERIVE_LABEL || d->lattice != (int32_t)i)
                    continue;
                BUF_LIT(s->out, " (= ");
                smtlib_symbol(s, "signal", image_text(s->p, d->name));
                buf_printf(s->out, " %u)", level);
            }
            buf_printf(s->out, ") %u ", level);
        }
        BUF_LIT(s->out, "0");
        while (open--)
            BUF_LIT(s->out, ")");
        BUF_LIT(s->out, ")\n");
    }
}

void smtlib_signals(struct smtlib *s)
{
    bool *done = alloc_zeroed(s->p->signals.count + 1, sizeof *done);
    if (!done) {
        s->err = RESULT_NOMEM;
        return;
    }
    BUF_LIT(s->out,
            "\n; ---- signals: what is computed, whether that failed, and what the policy sees\n");
    for (uint32_t i = 0; i < s->p->signals.count; i++)
        define(s, (int32_t)i, done, 0);
    define_all_computed(s);
    define_labels(s);
    alloc_free(done);
}
