#include "route/explain.h"

#include <math.h>
#include <stdio.h>

#include "route/dispatch.h"
#include "route/record.h"
#include "route/route.h"
#include "text/utf8.h"

enum { NAME_COLUMNS_MAX = 28, VALUE_COLUMNS_MAX = 24, INDENT = 2, BECAUSE_MAX = 3 };

struct page {
    const struct decision *d;
    const struct explain_options *o;
    struct buf *out;
    uint32_t width;
    size_t line_at; // where the current line begins in `out`
};

enum ink { INK_PLAIN, INK_BOLD, INK_DIM, INK_GOOD, INK_BAD };

static void ink(struct page *p, enum ink i)
{
    static const char *const codes[] = {"\033[0m", "\033[1m", "\033[2m", "\033[32m", "\033[31m"};
    if (p->o->colour)
        buf_cstr(p->out, codes[i]);
}

static void newline(struct page *p)
{
    while (p->out->len > p->line_at && p->out->ptr[p->out->len - 1] == ' ')
        p->out->len--;
    buf_byte(p->out, '\n');
    p->line_at = p->out->len;
}

// Code points, which is near enough to columns for names.
static uint32_t columns(struct slice s)
{
    uint32_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
    return n;
}

// Columns that the current line has so far; escapes take none.
static uint32_t column(const struct page *p)
{
    struct slice line = slice_make(p->out->ptr + p->line_at, p->out->len - p->line_at);
    uint32_t n = 0;
    for (size_t i = 0; i < line.len; i++) {
        if (line.ptr[i] == '\033') {
            while (i < line.len && line.ptr[i] != 'm')
                i++;
            continue;
        }
        n += ((unsigned char)line.ptr[i] & 0xc0) != 0x80;
    }
    return n;
}

static void pad_to(struct page *p, uint32_t to)
{
    for (uint32_t at = column(p); at < to; at++)
        buf_byte(p->out, ' ');
}

// On one line, control characters as spaces, at most `most` columns.
static void one_line(struct page *p, struct slice s, uint32_t most)
{
    bool cut = columns(s) > most;
    uint32_t left = cut && most > 3 ? most - 3 : most;
    for (size_t i = 0; i < s.len && left;) {
        size_t begin = i;
        uint32_t c = utf8_next(s, &i);
        if (c < 0x20 || (c >= 0x7f && c < 0xa0))
            buf_byte(p->out, ' ');
        else if (c == 0xfffd)
            buf_byte(p->out, '?');
        else
            buf_append(p->out, s.ptr + begin, i - begin);
        left--;
    }
    if (cut && most > 3)
        BUF_LIT(p->out, "...");
}

void explain_usd(int64_t nusd, struct buf *out)
{
    if (nusd < 0)
        BUF_LIT(out, "unknown");
    else
        buf_nano(out, nusd);
}

static void duration(uint32_t ns, struct buf *out)
{
    if (ns < 1000)
        buf_printf(out, "%u ns", ns);
    else if (ns < 1000000)
        buf_printf(out, "%.1f us", ns / 1e3);
    else
        buf_printf(out, "%.1f ms", ns / 1e6);
}

static struct slice model_name(const struct decision *d, int32_t i)
{
    return image_text(d->image, image_model(d->image, i)->name);
}

static struct slice route_name(const struct decision *d, int32_t i)
{
    return image_text(d->image, image_route(d->image, i)->name);
}

static void say_missing(uint32_t missing, struct buf *out)
{
    const char *between = "";
    for (unsigned bit = 0; bit < WORK_NEED_COUNT_; bit++) {
        if (!(missing >> bit & 1))
            continue;
        buf_printf(out, "%s%s", between, work_need_name(bit));
        between = ", ";
    }
}

static void say_quality(const struct decision *d, int32_t index, struct buf *out)
{
    const struct image_model *m = image_model(d->image, index);
    const struct image_route *r = d->route >= 0 ? image_route(d->image, d->route) : NULL;
    if (m->quality < 0)
        BUF_LIT(out, "states no quality");
    else
        buf_printf(out, "quality %.3g", (double)m->quality);
    if (r)
        buf_printf(out, ", the route wants at least %.3g", (double)r->quality_min);
}

static void say_no_key(const struct image_model *m, const struct policy_image *p, struct buf *out)
{
    struct slice name = image_text(p, m->key_name);
    buf_printf(out, "its key is missing (%s %.*s)",
               m->key_source == IMAGE_KEY_FILE ? "file" : "env", SLICE_FMT(name));
}

// The questions under whose answers a guard holds, as far as they made the difference.
static void say_because(const struct decision *d, const struct image_constraint *c, struct buf *out)
{
    const struct image_node *n = IMAGE_AT(d->image, c->guard, struct image_node);
    const struct image_atom *atoms = IMAGE_AT(d->image, d->image->atoms, struct image_atom);
    const char *between = " because ";
    uint32_t said = 0;
    for (uint32_t i = 0; i < c->guard.count && said < BECAUSE_MAX; i++) {
        const struct image_atom *a = n[i].kind == IMAGE_NODE_ATOM ? &atoms[n[i].arg] : NULL;
        if (!a || (d->facts[a->signal].state == FACT_UNKNOWN))
            continue;
        bool negated = i > 0 && n[i - 1].kind == IMAGE_NODE_NOT;
        bool holds = route_atom_holds(d->image, a, &d->facts[a->signal]);
        if (holds == negated)
            continue;
        buf_printf(out, "%s%s%.*s", between, negated ? "not " : "",
                   SLICE_FMT(image_text(d->image, a->shown)));
        between = " and ";
        said++;
    }
}

void explain_constraint(const struct decision *d, int32_t index, struct buf *out)
{
    const struct image_constraint *c =
        IMAGE_AT(d->image, d->image->constraints, struct image_constraint) + index;
    buf_printf(out, "\"%.*s\"", SLICE_FMT(image_text(d->image, c->name)));
    if (c->guard.count)
        say_because(d, c, out);
}

// The model that the client named, itself or by an alias.
static int32_t asked_model(const struct decision *d)
{
    const struct image_alias *alias = image_find_alias(d->image, d->model_asked);
    if (alias)
        return alias->target == IMAGE_TARGET_MODEL ? alias->index : IMAGE_NONE;
    return image_find_model(d->image, d->model_asked);
}

static void say_model(const struct decision *d, int32_t index, struct buf *out)
{
    const struct model_outcome *o = &d->model_outcomes[index];
    const struct image_model *m = image_model(d->image, index);
    switch (o->verdict) {
    case MODEL_CHOSEN:
        BUF_LIT(out, "chosen");
        return;
    case MODEL_NOT_CANDIDATE:
        buf_cstr(out, d->by == DECISION_BY_ROUTES || d->route >= 0 ? "the path does not name it"
                      : index == asked_model(d) ? "asked for; what it says above is in the way"
                                                : "not asked for");
        return;
    case MODEL_DEARER:
        BUF_LIT(out, "could serve, but is dearer");
        return;
    case MODEL_LATER:
        BUF_LIT(out, "could serve, but stands later in the policy's order");
        return;
    case MODEL_LOWER_QUALITY:
        if (m->quality < 0)
            BUF_LIT(out, "could serve, but states no quality");
        else
            buf_printf(out, "could serve, but its quality is lower (%.3g)", (double)m->quality);
        return;
    case MODEL_LACKS:
        BUF_LIT(out, "cannot do what is needed: ");
        say_missing(o->missing, out);
        return;
    case MODEL_WINDOW:
        buf_printf(out, "needs %u tokens, its window has %u", o->need_tok, m->context_tok);
        return;
    case MODEL_OUTPUT:
        buf_printf(out, "%u tokens of output asked for, it gives %u", o->need_tok, m->output_tok);
        return;
    case MODEL_QUALITY:
        say_quality(d, index, out);
        return;
    case MODEL_COST:
        BUF_LIT(out, "above the route's limit of ");
        explain_usd(d->route >= 0 ? image_route(d->image, d->route)->cost_max_nusd : -1, out);
        BUF_LIT(out, " usd");
        return;
    case MODEL_UNPRICED:
        BUF_LIT(out, "states no price, and the route needs one");
        return;
    case MODEL_DOWN:
        BUF_LIT(out, "no endpoint of it is up");
        return;
    case MODEL_NO_KEY:
        say_no_key(m, d->image, out);
        return;
    case MODEL_FORBIDDEN:
        BUF_LIT(out, "forbidden by ");
        explain_constraint(d, o->constraint, out);
        return;
    case MODEL_OVER_BUDGET:
        BUF_LIT(out, "could cost more than ");
        explain_constraint(d, o->constraint, out);
        BUF_LIT(out, " allows");
        return;
    case MODEL_UNMETERED:
        BUF_LIT(out, "states no energy, and the route needs one");
        return;
    case MODEL_HUNGRIER:
        BUF_LIT(out, "could serve, but takes more energy");
        return;
    case MODEL_PRICIER:
        BUF_LIT(out, "could serve, but its total price is higher");
        return;
    case MODEL_BUSY:
        BUF_LIT(out, "could serve, but no place of it has room");
        return;
    case MODEL_SPENT:
        BUF_LIT(out, "what is left of ");
        explain_constraint(d, o->constraint, out);
        BUF_LIT(out, " does not bear it");
        return;
    }
}

static bool in_the_way(enum model_verdict v)
{
    return v != MODEL_CHOSEN && v != MODEL_NOT_CANDIDATE && v != MODEL_DEARER && v != MODEL_LATER &&
           v != MODEL_LOWER_QUALITY && v != MODEL_HUNGRIER && v != MODEL_PRICIER;
}

static const struct image_step *step_of(const struct decision *d, uint32_t chain, int32_t step)
{
    const struct image_chain *c = image_chains(d->image, image_route(d->image, d->route)) + chain;
    return IMAGE_AT(d->image, c->steps, struct image_step) + step;
}

// Why a chain could not be taken; nothing when its models say it.
static void say_chain(const struct decision *d, uint32_t chain, struct buf *out)
{
    const struct chain_outcome *o = &d->chain_outcomes[chain];
    bool step = d->route >= 0 && o->step != IMAGE_NONE;
    const char *name = step ? record_step_name(step_of(d, chain, o->step)->kind) : "its answer";
    switch (o->verdict) {
    case CHAIN_NOT_REACHED:
    case CHAIN_TAKEN:
        return;
    case CHAIN_FAILED:
        BUF_LIT(out, "it was tried and gave no answer");
        return;
    case CHAIN_CANNOT_RUN:
        buf_printf(out, "this build cannot run its step `%s`", name);
        return;
    case CHAIN_FORBIDDEN:
        buf_printf(out, "its step `%s` is forbidden by ", name);
        explain_constraint(d, o->constraint, out);
        return;
    case CHAIN_UNMET:
        BUF_LIT(out, "it misses what is required by ");
        explain_constraint(d, o->constraint, out);
        return;
    case CHAIN_NOT_ALLOWED:
        buf_printf(out, "its step `%s` needs an `allow` that does not hold here", name);
        return;
    case CHAIN_NO_MODEL:
        buf_printf(out, "no model can serve its step `%s`", name);
        return;
    }
}

static const struct image_constraint *constraint(const struct decision *d, uint32_t i)
{
    return IMAGE_AT(d->image, d->image->constraints, struct image_constraint) + i;
}

// The constraints that leave nothing, each name once.
static bool say_core(const struct decision *d, const char *begin, struct buf *out)
{
    const char *between = begin;
    for (uint32_t i = 0; d->core && i < d->image->constraints.count; i++) {
        if (!(d->core[i / 64] >> (i % 64) & 1))
            continue;
        struct slice name = image_text(d->image, constraint(d, i)->name);
        bool again = false;
        for (uint32_t k = 0; k < i && !again; k++)
            again = (d->core[k / 64] >> (k % 64) & 1) &&
                    slice_eq(image_text(d->image, constraint(d, k)->name), name);
        if (again)
            continue;
        buf_printf(out, "%s\"%.*s\"", between, SLICE_FMT(name));
        between = ", ";
    }
    return between != begin;
}

void explain_infeasible(const struct decision *d, struct buf *out)
{
    if (d->end == DECISION_NO_MODEL) {
        struct slice asked = slice_head(d->model_asked, 100);
        buf_printf(out, "the policy has no model or alias called \"%.*s\"", SLICE_FMT(asked));
        return;
    }
    if (d->route >= 0)
        buf_printf(out, "no model of route \"%.*s\" can serve this request",
                   SLICE_FMT(route_name(d, d->route)));
    else
        BUF_LIT(out, "the model asked for cannot serve this request");
    const char *between = ": ";
    if (say_core(d, ", because of ", out))
        between = "; ";
    for (uint32_t i = 0; i < d->chain_count; i++) {
        enum chain_verdict v = d->chain_outcomes[i].verdict;
        if (v == CHAIN_TAKEN || v == CHAIN_NO_MODEL)
            continue;
        buf_cstr(out, between);
        say_chain(d, i, out);
        between = "; ";
    }
    for (uint32_t i = 0; i < d->image->models.count; i++) {
        if (!in_the_way(d->model_outcomes[i].verdict))
            continue;
        buf_printf(out, "%s%.*s: ", between, SLICE_FMT(model_name(d, (int32_t)i)));
        say_model(d, (int32_t)i, out);
        between = "; ";
    }
}

static void head(struct page *p, const char *name)
{
    ink(p, INK_DIM);
    buf_cstr(p->out, name);
    ink(p, INK_PLAIN);
    pad_to(p, 10);
}

static void say_end(struct page *p)
{
    const struct decision *d = p->d;
    switch (d->end) {
    case DECISION_ANSWER:
        head(p, "model");
        ink(p, INK_BOLD);
        buf_add(p->out, model_name(d, d->model));
        ink(p, INK_PLAIN);
        if (d->effort != IMAGE_EFFORT_DEFAULT)
            buf_printf(p->out, ", effort %s", image_effort_name(d->effort));
        newline(p);
        head(p, "expected");
        explain_usd(d->cost_nusd, p->out);
        if (d->cost_nusd >= 0)
            BUF_LIT(p->out, " usd");
        buf_printf(p->out, " (about %u tokens in, %u out)", d->input_tok, d->output_tok);
        newline(p);
        return;
    case DECISION_REFUSE:
        head(p, "refused");
        ink(p, INK_BAD);
        one_line(p, d->message, p->width - 12);
        ink(p, INK_PLAIN);
        newline(p);
        return;
    case DECISION_INFEASIBLE:
    case DECISION_NO_MODEL:
        head(p, "no model");
        ink(p, INK_BAD);
        if (d->end == DECISION_NO_MODEL)
            explain_infeasible(d, p->out);
        else
            BUF_LIT(p->out, "nothing can serve this request");
        if (d->end == DECISION_INFEASIBLE && !say_core(d, ", because of ", p->out))
            BUF_LIT(p->out, "; the reasons stand below");
        ink(p, INK_PLAIN);
        newline(p);
        return;
    }
}

// Why not the chains in front of the one taken.
static void say_chains(struct page *p)
{
    const struct decision *d = p->d;
    for (uint32_t i = 0; i < d->chain_count; i++) {
        enum chain_verdict v = d->chain_outcomes[i].verdict;
        if (v == CHAIN_TAKEN || v == CHAIN_NOT_REACHED)
            continue;
        head(p, i || d->chain_count > 1 ? "" : "why");
        if (d->chain_count > 1)
            buf_printf(p->out, "chain %u: ", i + 1);
        say_chain(d, i, p->out);
        newline(p);
    }
}

static void say_answer(struct page *p)
{
    const struct decision *d = p->d;
    if (d->route >= 0) {
        const struct image_route *r = image_route(d->image, d->route);
        head(p, "route");
        ink(p, INK_BOLD);
        buf_add(p->out, route_name(d, d->route));
        ink(p, INK_PLAIN);
        buf_printf(p->out, " (line %u)", r->line);
        newline(p);
        head(p, "path");
        buf_add(p->out, image_text(d->image, r->path_name));
        if (d->took_else)
            BUF_LIT(p->out, ", its else");
        newline(p);
    }
    say_end(p);
    say_chains(p);
    head(p, "decided");
    buf_cstr(p->out, d->by == DECISION_BY_ROUTES  ? "by the routes"
                     : d->by == DECISION_BY_ALIAS ? "by an alias"
                                                  : "by the model's name");
    if (d->model_asked.len) {
        BUF_LIT(p->out, ", asked for \"");
        one_line(p, d->model_asked, 40);
        BUF_LIT(p->out, "\"");
    }
    if (d->decide_ns) {
        BUF_LIT(p->out, ", in ");
        duration(d->decide_ns, p->out);
    }
    if (d->observed)
        BUF_LIT(p->out, ", observed only");
    if (d->late)
        BUF_LIT(p->out, ", past the deadline");
    newline(p);
}

static void say_evidence(struct page *p, const struct fact *f)
{
    const struct work *w = p->o->work;
    for (uint32_t i = 0; i < f->evidence_count && i < FACT_EVIDENCE_MAX; i++) {
        const struct evidence *e = &f->evidence[i];
        uint32_t at = column(p), left = p->width > at ? p->width - at : 0;
        if (left < 16)
            return;
        if (i)
            BUF_LIT(p->out, ", ");
        if (w && e->message < w->message_count && e->part < w->messages[e->message].part_count &&
            e->length) {
            struct slice text = w->parts[w->messages[e->message].part_first + e->part].text;
            struct slice seen = slice_head(slice_from(text, e->offset), e->length);
            if (columns(seen) + 4 > left && i)
                return;
            buf_byte(p->out, '"');
            one_line(p, seen, left - 4);
            buf_byte(p->out, '"');
        } else {
            buf_printf(p->out, "message %u", e->message);
        }
    }
    if (f->evidence_total > f->evidence_count && column(p) + 12 < p->width)
        buf_printf(p->out, " and %u more", f->evidence_total - f->evidence_count);
}

static uint32_t name_columns(const struct page *p)
{
    const struct policy_image *i = p->d->image;
    uint32_t most = 6, n;
    for (uint32_t k = 0; k < i->signals.count; k++)
        most = (n = columns(image_text(i, image_signal(i, (int32_t)k)->name))) > most ? n : most;
    for (uint32_t k = 0; k < i->routes.count; k++)
        most = (n = columns(route_name(p->d, (int32_t)k))) > most ? n : most;
    for (uint32_t k = 0; k < i->models.count; k++)
        most = (n = columns(model_name(p->d, (int32_t)k))) > most ? n : most;
    return (most < NAME_COLUMNS_MAX ? most : NAME_COLUMNS_MAX) + INDENT + 2;
}

static void title(struct page *p, const char *text)
{
    newline(p);
    ink(p, INK_BOLD);
    buf_cstr(p->out, text);
    ink(p, INK_PLAIN);
    newline(p);
}

static void name_cell(struct page *p, struct slice name, uint32_t to)
{
    BUF_LIT(p->out, "  ");
    one_line(p, name, NAME_COLUMNS_MAX);
    pad_to(p, to);
}

static void add_word(struct page *p, const char **between, struct slice word)
{
    if (column(p) + columns(word) + 4 > p->width)
        return;
    buf_cstr(p->out, *between);
    buf_add(p->out, word);
    *between = ", ";
}

// What a derived signal was made of: what failed, else the questions whose answers count.
static void say_derived(struct page *p, const struct image_signal *def, const struct fact *f)
{
    const struct policy_image *i = p->d->image;
    const struct image_term *t = IMAGE_AT(i, def->terms, struct image_term);
    const struct image_atom *atoms = IMAGE_AT(i, i->atoms, struct image_atom);
    const char *between = "from ";
    for (uint32_t k = 0; k < def->terms.count; k++) {
        if (t[k].signal >= 0 && p->d->facts[t[k].signal].state != FACT_UNKNOWN)
            add_word(p, &between, image_text(i, image_signal(i, t[k].signal)->name));
        const struct image_node *n = IMAGE_AT(i, t[k].guard, struct image_node);
        for (uint32_t c = 0; c < t[k].guard.count; c++) {
            if (n[c].kind != IMAGE_NODE_ATOM)
                continue;
            const struct image_atom *a = &atoms[n[c].arg];
            const struct fact *of = &p->d->facts[a->signal];
            struct slice name = image_text(i, image_signal(i, a->signal)->name);
            bool failed = of->state == FACT_FAILED;
            bool counts = def->derive == IMAGE_DERIVE_LABEL ? t[k].word == f->number : true;
            if (failed && def->derive == IMAGE_DERIVE_LABEL) {
                add_word(p, &between, name);
                BUF_LIT(p->out, " could not be computed");
            } else if (counts && of->state != FACT_UNKNOWN && route_atom_holds(i, a, of)) {
                add_word(p, &between, image_text(i, a->shown));
            }
        }
    }
}

static void say_signal(struct page *p, uint32_t index, uint32_t names, struct buf *scratch)
{
    const struct policy_image *i = p->d->image;
    const struct fact *f = &p->d->facts[index];
    name_cell(p, image_text(i, image_signal(i, (int32_t)index)->name), names);
    uint32_t at = column(p);
    buf_reset(scratch);
    const struct image_signal *def = image_signal(i, (int32_t)index);
    if (def->type == SIGNAL_TEXT)
        buf_add(scratch, f->text);
    else if (def->type == SIGNAL_ENUM && f->number >= 0 && f->number < def->words.count)
        buf_add(scratch,
                image_text(i, IMAGE_AT(i, def->words, struct image_str)[(uint32_t)f->number]));
    else if (def->type == SIGNAL_NUMBER && f->number != floor(f->number))
        buf_printf(scratch, "%.3g", f->number); // the record has all digits
    else
        record_value(i, (int32_t)index, f, scratch);
    one_line(p, buf_slice(scratch), VALUE_COLUMNS_MAX);
    pad_to(p, at + 10);
    BUF_LIT(p->out, "  ");
    at = column(p);
    if (f->state == FACT_GIVEN)
        BUF_LIT(p->out, "given");
    else if (f->state == FACT_FAILED)
        buf_printf(p->out, "on_error");
    else
        buf_printf(p->out, "p %.2f", (double)f->probability);
    pad_to(p, at + 9);
    at = column(p);
    if (f->cost_ns)
        duration(f->cost_ns, p->out);
    pad_to(p, at + 9);
    if (f->state == FACT_FAILED)
        buf_printf(p->out, "could not be computed: %s", record_fact_error_name(f->error));
    else if (def->derive && f->state == FACT_KNOWN)
        say_derived(p, def, f);
    else
        say_evidence(p, f);
    if (f->by.len && column(p) + f->by.len + 5 < p->width) {
        ink(p, INK_DIM);
        buf_printf(p->out, "  by %.*s", SLICE_FMT(f->by));
        ink(p, INK_PLAIN);
    }
    newline(p);
}

static void say_signals(struct page *p, uint32_t names, struct buf *scratch)
{
    const struct policy_image *i = p->d->image;
    uint32_t asked = 0, avoided = 0;
    for (uint32_t k = 0; k < i->signals.count; k++) {
        if (p->d->facts[k].state == FACT_UNKNOWN) {
            avoided += !image_signal(i, (int32_t)k)->hidden;
            continue;
        }
        if (!asked++)
            title(p, "Signals");
        say_signal(p, k, names, scratch);
    }
    if (!avoided)
        return;
    title(p, "Not computed");
    BUF_LIT(p->out, "  ");
    ink(p, INK_DIM);
    const char *between = "";
    for (uint32_t k = 0; k < i->signals.count; k++) {
        if (p->d->facts[k].state != FACT_UNKNOWN || image_signal(i, (int32_t)k)->hidden)
            continue;
        struct slice name = image_text(i, image_signal(i, (int32_t)k)->name);
        buf_cstr(p->out, between);
        if (column(p) + columns(name) + 2 > p->width) {
            newline(p);
            BUF_LIT(p->out, "  ");
        }
        buf_add(p->out, name);
        between = ", ";
    }
    ink(p, INK_PLAIN);
    newline(p);
    BUF_LIT(p->out, "  they cannot change the outcome; saved about ");
    duration(p->d->avoided_ns, p->out);
    newline(p);
}

static void say_route(struct page *p, int32_t index, uint32_t names)
{
    const struct decision *d = p->d;
    const struct route_outcome o = route_outcome(d, (uint32_t)index);
    name_cell(p, route_name(d, index), names);
    switch (o.verdict) {
    case ROUTE_FALSE:
        if (o.atom != IMAGE_NONE) {
            const struct image_atom *a =
                IMAGE_AT(d->image, d->image->atoms, struct image_atom) + o.atom;
            one_line(p, image_text(d->image, a->shown),
                     p->width > names + 12 ? p->width - names - 12 : 8);
            buf_cstr(p->out, route_atom_holds(d->image, a, &d->facts[a->signal])
                                 ? " holds"
                                 : " does not hold");
        } else {
            BUF_LIT(p->out, "its guard never holds");
        }
        break;
    case ROUTE_BYPASSED:
        BUF_LIT(p->out, "bypassed: the request names its target");
        break;
    case ROUTE_INFEASIBLE:
        BUF_LIT(p->out, "matched, but no model can serve it");
        break;
    case ROUTE_MATCHED:
        BUF_LIT(p->out, "matched");
        break;
    case ROUTE_NOT_REACHED:
        BUF_LIT(p->out, "not reached");
        break;
    }
    newline(p);
}

static void say_others(struct page *p, uint32_t names)
{
    const struct decision *d = p->d;
    bool begun = false;
    for (uint32_t i = 0; i < d->image->routes.count; i++) {
        enum route_verdict v = route_outcome(d, i).verdict;
        if (v != ROUTE_FALSE && v != ROUTE_INFEASIBLE)
            continue;
        if (!begun)
            title(p, "Why no earlier route");
        begun = true;
        say_route(p, (int32_t)i, names);
    }
    begun = false;
    for (uint32_t i = 0; i < d->image->models.count; i++) {
        const struct model_outcome *o = &d->model_outcomes[i];
        if ((int32_t)i == d->model)
            continue;
        if (!begun)
            title(p, d->model >= 0 ? "Why no other model" : "Models");
        begun = true;
        name_cell(p, model_name(d, (int32_t)i), names);
        uint32_t at = column(p);
        explain_usd(o->cost_nusd, p->out);
        if (o->cost_nusd >= 0)
            BUF_LIT(p->out, " usd");
        pad_to(p, at + 17);
        say_model(d, (int32_t)i, p->out);
        newline(p);
    }
}

// ---- what a choice costs

static const struct pool_place *row_of(const struct decision *d, const struct decision_option *o)
{
    for (uint32_t i = 0; i < d->places_count; i++)
        if (d->places[i].model == o->binding.model && o->place >= 0)
            return &d->places[i].rows[(uint32_t)o->place - d->places[i].first];
    return NULL;
}

static void micro_usd(struct page *p, double nusd, uint32_t width)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%.1f", nusd / 1000);
    for (uint32_t i = (uint32_t)n; i < width; i++)
        buf_byte(p->out, ' ');
    buf_cstr(p->out, text);
}

static void say_option(struct page *p, const struct decision_option *o, uint32_t names)
{
    const struct decision *d = p->d;
    const struct pool_place *row = row_of(d, o);
    const double *t = o->terms_nusd;
    name_cell(p, model_name(d, o->binding.model), names);
    uint32_t at = column(p);
    buf_cstr(p->out, o->binding.effort ? image_effort_name(o->binding.effort) : "");
    pad_to(p, at + 8);
    at = column(p);
    if (o->place >= 0)
        buf_printf(p->out, "place %d", o->place);
    pad_to(p, at + 10);
    micro_usd(p, o->price_nusd, 11);
    micro_usd(p, t[PRICE_MONEY], 10);
    micro_usd(p, t[PRICE_ENERGY] + t[PRICE_CARBON], 9);
    micro_usd(p, t[PRICE_BUDGETS], 9);
    micro_usd(p, t[PRICE_SECONDS], 10);
    micro_usd(p, t[PRICE_SLOTS] + t[PRICE_SESSION] + t[PRICE_OTHER], 9);
    if (row && row->prefix_tok && column(p) + 18 < p->width)
        buf_printf(p->out, "  holds %u tok", row->prefix_tok);
    newline(p);
}

// What would have to change: the largest term by which the second loses, where that alone would do.
static void say_switch(struct page *p)
{
    static const char *const fixes[PRICE_TERMS] = {"its tokens cost that much less",
                                                   "it took that much less energy",
                                                   "its zone had that much less carbon",
                                                   "its budgets were that much less short",
                                                   "it were that much sooner",
                                                   "its slots were that much freer",
                                                   "the session were there",
                                                   "its cache or adapter were ready"};
    const struct decision *d = p->d;
    const struct decision_option *a = &d->options[0], *b = &d->options[1];
    double lead = dispatch_between(d->image, b) - dispatch_between(d->image, a);
    unsigned worst = 0, terms = dispatch_timed(d->image) ? PRICE_TERMS : PRICE_BUDGETS + 1;
    for (unsigned k = 1; k < terms; k++)
        if (b->terms_nusd[k] - a->terms_nusd[k] > b->terms_nusd[worst] - a->terms_nusd[worst])
            worst = k;
    if (lead <= 0)
        return;
    BUF_LIT(p->out, "  ");
    buf_add(p->out, model_name(d, b->binding.model));
    if (b->binding.model == a->binding.model)
        buf_printf(p->out, " %s", image_effort_name(b->binding.effort));
    buf_printf(p->out, " would be chosen if it cost %.1f less, for instance if %s", lead / 1000,
               fixes[worst]);
    newline(p);
}

static void say_prices(struct page *p, uint32_t names)
{
    const struct decision *d = p->d;
    if (!d->priced)
        return;
    title(p, "Prices, in millionths of a dollar");
    BUF_LIT(p->out, "  ");
    ink(p, INK_DIM);
    pad_to(p, names + 20);
    BUF_LIT(p->out, "      total     money   energy  budgets   seconds    rest");
    ink(p, INK_PLAIN);
    newline(p);
    for (uint32_t i = 0; i < d->option_count; i++)
        say_option(p, &d->options[i], names);
    if (d->option_count > 1)
        say_switch(p);
    if (!dispatch_timed(d->image) && d->places_count && d->option_count > 1) {
        BUF_LIT(p->out, "  without a `dispatch` statement seconds and the rest choose the place, "
                        "not the model");
        newline(p);
    }
}

// What the policy takes for granted, with its reasons.
static void say_assumed(struct page *p)
{
    const struct policy_image *i = p->d->image;
    const struct image_assume *a = IMAGE_AT(i, i->assumes, struct image_assume);
    for (uint32_t k = 0; k < i->assumes.count; k++) {
        if (!k)
            title(p, "Assumed");
        buf_printf(p->out, "  %.*s", SLICE_FMT(image_text(i, a[k].code)));
        if (a[k].name.len)
            buf_printf(p->out, " %.*s", SLICE_FMT(image_text(i, a[k].name)));
        BUF_LIT(p->out, ": ");
        one_line(p, image_text(i, a[k].reason), p->width - 8);
        newline(p);
    }
}

void explain_text(const struct decision *d, const struct explain_options *options, struct buf *out)
{
    struct page p = {
        .d = d, .o = options, .out = out, .width = options->width ? options->width : 100};
    if (p.width < 60)
        p.width = 60;
    struct buf scratch;
    buf_init(&scratch, 1 << 16);
    p.line_at = out->len;
    uint32_t names = name_columns(&p);
    say_answer(&p);
    say_signals(&p, names, &scratch);
    say_others(&p, names);
    say_prices(&p, names);
    say_assumed(&p);
    buf_deinit(&scratch);
}
