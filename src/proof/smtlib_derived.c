// Derived signals of the SMT-LIB script: labels, scores, exclusive groups.
#include <math.h>

#include "proof/smtlib_inner.h"

static bool looks_at(const struct smtlib *s, const struct image_term *t, int32_t signal)
{
    const struct image_atom *atoms = IMAGE_AT(s->p, s->p->atoms, struct image_atom);
    const struct image_node *nodes = IMAGE_AT(s->p, t->guard, struct image_node);
    if (t->signal == signal)
        return true;
    for (uint32_t i = 0; i < t->guard.count; i++)
        if (nodes[i].kind == IMAGE_NODE_ATOM && atoms[nodes[i].arg].signal == signal)
            return true;
    return false;
}

// One of the signals that its terms look at could not be computed.
static void define_failed(struct smtlib *s, int32_t i)
{
    const struct image_signal *d = smtlib_signal(s, i);
    const struct image_term *terms = IMAGE_AT(s->p, d->terms, struct image_term);
    smtlib_begin_define(s, "failed", i, "Bool");
    BUF_LIT(s->out, "(or false");
    for (uint32_t k = 0; k < s->p->signals.count; k++) {
        bool looks = false;
        for (uint32_t t = 0; t < d->terms.count && !looks; t++)
            looks = looks_at(s, &terms[t], (int32_t)k);
        if (!looks)
            continue;
        buf_byte(s->out, ' ');
        smtlib_symbol(s, "failed", smtlib_name_of(s, (int32_t)k));
    }
    BUF_LIT(s->out, "))\n");
}

static void term_guard(struct smtlib *s, const struct image_term *t)
{
    smtlib_guard(s, t->guard);
}

// The highest level first: the first that a term, or a failure, raises to.
static void define_label(struct smtlib *s, int32_t i)
{
    const struct image_signal *d = smtlib_signal(s, i);
    const struct image_term *terms = IMAGE_AT(s->p, d->terms, struct image_term);
    uint32_t open = 0;
    smtlib_begin_define(s, "signal", i, "Int");
    for (uint32_t level = d->words.count; level-- > 1;) {
        bool any = d->error_level == level;
        for (uint32_t t = 0; t < d->terms.count; t++)
            any |= terms[t].word == level;
        if (!any)
            continue;
        BUF_LIT(s->out, "(ite (or");
        if (d->error_level == level) {
            buf_byte(s->out, ' ');
            smtlib_symbol(s, "failed", smtlib_name_of(s, i));
        }
        for (uint32_t t = 0; t < d->terms.count; t++) {
            if (terms[t].word != level)
                continue;
            buf_byte(s->out, ' ');
            term_guard(s, &terms[t]);
        }
        buf_printf(s->out, " false) %u ", level);
        open++;
    }
    BUF_LIT(s->out, "0");
    while (open--)
        BUF_LIT(s->out, ")");
    BUF_LIT(s->out, ")\n");
}

static void score_sum(struct smtlib *s, const struct image_signal *d)
{
    const struct image_term *terms = IMAGE_AT(s->p, d->terms, struct image_term);
    BUF_LIT(s->out, "(+ 0.0 0.0");
    for (uint32_t t = 0; t < d->terms.count; t++) {
        BUF_LIT(s->out, " (* ");
        smtlib_number(s, terms[t].weight);
        buf_byte(s->out, ' ');
        if (terms[t].signal != IMAGE_NONE) {
            smtlib_symbol(s, "signal", smtlib_name_of(s, terms[t].signal));
        } else {
            BUF_LIT(s->out, "(ite ");
            term_guard(s, &terms[t]);
            BUF_LIT(s->out, " 1.0 0.0)");
        }
        BUF_LIT(s->out, ")");
    }
    BUF_LIT(s->out, ")");
}

static void define_score(struct smtlib *s, int32_t i)
{
    const struct image_signal *d = smtlib_signal(s, i);
    const struct image_band *bands = IMAGE_AT(s->p, d->bands, struct image_band);
    smtlib_begin_define(s, "sum of", i, "Real");
    score_sum(s, d);
    BUF_LIT(s->out, ")\n");
    if (d->type == SIGNAL_ENUM)
        smtlib_declare_enum(s, i);
    smtlib_begin_define(s, "signal", i,
                        d->type == SIGNAL_BOOL     ? "Bool"
                        : d->type == SIGNAL_NUMBER ? "Real"
                                                   : NULL);
    if (d->has_threshold) {
        buf_cstr(s->out, d->threshold_above ? "(> " : "(< ");
        smtlib_symbol(s, "sum of", smtlib_name_of(s, i));
        buf_byte(s->out, ' ');
        smtlib_number(s, d->threshold);
        BUF_LIT(s->out, "))\n");
        return;
    }
    if (d->type != SIGNAL_ENUM) {
        smtlib_symbol(s, "sum of", smtlib_name_of(s, i));
        BUF_LIT(s->out, ")\n");
        return;
    }
    for (uint32_t b = d->bands.count; b-- > 1;) {
        BUF_LIT(s->out, "(ite (>= ");
        smtlib_symbol(s, "sum of", smtlib_name_of(s, i));
        buf_byte(s->out, ' ');
        smtlib_number(s, bands[b].from);
        BUF_LIT(s->out, ") ");
        smtlib_word_symbol(s, i, b);
        buf_byte(s->out, ' ');
    }
    smtlib_word_symbol(s, i, 0);
    for (uint32_t b = 1; b < d->bands.count; b++)
        BUF_LIT(s->out, ")");
    BUF_LIT(s->out, ")\n");
}

// member `a` leads all others by at least `lead`
static void leads(struct smtlib *s, const struct image_signal *d, uint32_t a, double lead)
{
    const struct image_term *terms = IMAGE_AT(s->p, d->terms, struct image_term);
    BUF_LIT(s->out, "(and true");
    for (uint32_t t = 0; t < d->terms.count; t++) {
        if (t == a)
            continue;
        BUF_LIT(s->out, " (>= (- ");
        smtlib_symbol(s, "signal", smtlib_name_of(s, terms[a].signal));
        buf_byte(s->out, ' ');
        smtlib_symbol(s, "signal", smtlib_name_of(s, terms[t].signal));
        BUF_LIT(s->out, ") ");
        smtlib_number(s, lead);
        BUF_LIT(s->out, ")");
    }
    BUF_LIT(s->out, ")");
}

// (assert (=> CONDITION (= signal word))), both ways round.
static void is_word_of(struct smtlib *s, int32_t i, uint32_t word)
{
    BUF_LIT(s->out, "(= ");
    smtlib_symbol(s, "signal", smtlib_name_of(s, i));
    buf_byte(s->out, ' ');
    smtlib_word_symbol(s, i, word);
    BUF_LIT(s->out, ")");
}

// The winner's probability leads the second one's by `margin`. Of two members that is a lead of their values, exactly.
// Of more it needs at least that lead, and is certain from a greater one on, where all others lie as high as the second;
// between the two the word is open. The bounds are rounded outwards.
static void define_exclusive(struct smtlib *s, int32_t i)
{
    const struct image_signal *d = smtlib_signal(s, i);
    const struct image_term *terms = IMAGE_AT(s->p, d->terms, struct image_term);
    uint32_t n = d->terms.count;
    double m = d->margin < 1 ? d->margin : 1 - 1e-12, t = d->temperature;
    double least = t * log((1 + m) / (1 - m)), sure = least;
    if (n > 2 || m <= 0) {
        sure = t * log((1 + m * (n > 1 ? n - 1 : 1)) / (1 - m)) * (1 + 1e-9) + 1e-12;
        least *= 1 - 1e-9;
        s->inexact = true;
        buf_printf(s->out, "; inexact: between a lead of %.6g and %.6g the word is left open\n",
                   least, sure);
    }
    smtlib_declare_enum(s, i);
    BUF_LIT(s->out, "(declare-const ");
    smtlib_symbol(s, "signal", smtlib_name_of(s, i));
    buf_byte(s->out, ' ');
    smtlib_symbol(s, "values of", smtlib_name_of(s, i));
    BUF_LIT(s->out, ")\n(assert (=> ");
    smtlib_symbol(s, "failed", smtlib_name_of(s, i));
    buf_byte(s->out, ' ');
    is_word_of(s, i, d->otherwise);
    BUF_LIT(s->out, "))\n(assert (or ");
    is_word_of(s, i, d->otherwise);
    for (uint32_t a = 0; a < n; a++) {
        BUF_LIT(s->out, "\n  (and ");
        is_word_of(s, i, terms[a].word);
        buf_byte(s->out, ' ');
        leads(s, d, a, least);
        BUF_LIT(s->out, ")");
    }
    BUF_LIT(s->out, "))\n");
    for (uint32_t a = 0; a < n; a++) {
        BUF_LIT(s->out, "(assert (=> (and (not ");
        smtlib_symbol(s, "failed", smtlib_name_of(s, i));
        BUF_LIT(s->out, ") ");
        leads(s, d, a, sure);
        BUF_LIT(s->out, ") ");
        is_word_of(s, i, terms[a].word);
        BUF_LIT(s->out, "))\n");
    }
}

void smtlib_define_derived(struct smtlib *s, int32_t i)
{
    const struct image_signal *d = smtlib_signal(s, i);
    define_failed(s, i);
    if (d->derive == IMAGE_DERIVE_LABEL)
        define_label(s, i);
    else if (d->derive == IMAGE_DERIVE_SCORE)
        define_score(s, i);
    else
        define_exclusive(s, i);
}
