// What is written differently: each part of one policy beside the part of the same name in the other, in the form of
// proof/describe.h.
#include <string.h>

#include "policy/explain.h"
#include "proof/describe.h"
#include "proof/diff_inner.h"

static void line(struct diff *d, enum diff_sign sign, const char *section, const struct buf *text)
{
    struct diff_line l = {.sign = sign, .section = section, .text = diff_keep(d, text)};
    if (!d->err && !VEC_PUSH(&d->lines, l))
        d->err = RESULT_NOMEM;
}

// One kind of named part.
struct part {
    const char *section, *noun;
    bool list; // said as a list: what did not change is left out
    uint32_t (*count)(const struct policy_image *p);
    struct slice (*name)(const struct policy_image *p, uint32_t i);
    void (*say)(const struct policy_image *p, uint32_t i, struct buf *out);
};

static int32_t find(const struct part *k, const struct policy_image *p, struct slice name)
{
    for (uint32_t i = 0; i < k->count(p); i++)
        if (slice_eq(k->name(p, i), name))
            return (int32_t)i;
    return IMAGE_NONE;
}

static bool next_piece(struct slice *rest, struct slice *piece)
{
    ptrdiff_t at = slice_find(*rest, SLICE(", "));
    if (!rest->len)
        return false;
    *piece = at < 0 ? *rest : slice_head(*rest, (size_t)at);
    *rest = at < 0 ? SLICE_EMPTY : slice_from(*rest, (size_t)at + 2);
    return true;
}

// The pieces of a list that the other one does not have.
static void only(struct slice list, struct slice other, struct buf *out)
{
    struct slice piece, theirs;
    bool any = false;
    while (next_piece(&list, &piece)) {
        struct slice rest = other;
        bool both = false;
        while (!both && next_piece(&rest, &theirs))
            both = slice_eq(piece, theirs);
        if (both)
            continue;
        buf_cstr(out, any ? ", " : "");
        buf_add(out, piece);
        any = true;
    }
    if (!any)
        BUF_LIT(out, "(nothing)");
}

static void compare_parts(struct diff *d, const struct part *k, struct buf *a, struct buf *b)
{
    const struct policy_image *old = d->side[OLD].image, *new = d->side[NEW].image;
    for (uint32_t i = 0; i < k->count(old) && !d->err; i++) {
        struct slice name = k->name(old, i);
        int32_t other = find(k, new, name);
        buf_reset(a);
        buf_reset(b);
        k->say(old, i, a);
        if (other >= 0)
            k->say(new, (uint32_t)other, b);
        if (other >= 0 && slice_eq(buf_slice(a), buf_slice(b)))
            continue;
        struct buf text;
        buf_init(&text, 4 * 1024 * 1024);
        buf_printf(&text, "%s %.*s: ", k->noun, SLICE_FMT(name));
        if (other >= 0 && k->list) {
            only(buf_slice(a), buf_slice(b), &text);
            BUF_LIT(&text, " → ");
            only(buf_slice(b), buf_slice(a), &text);
        } else {
            buf_add(&text, buf_slice(a));
            if (other >= 0)
                buf_printf(&text, " → %.*s", SLICE_FMT(buf_slice(b)));
        }
        line(d, other >= 0 ? DIFF_CHANGED : DIFF_REMOVED, k->section, &text);
        buf_deinit(&text);
    }
    for (uint32_t i = 0; i < k->count(new) && !d->err; i++) {
        if (find(k, old, k->name(new, i)) >= 0)
            continue;
        buf_reset(a);
        buf_printf(a, "%s %.*s: ", k->noun, SLICE_FMT(k->name(new, i)));
        k->say(new, i, a);
        line(d, DIFF_ADDED, k->section, a);
    }
}

// ---- zones and sinks

static uint32_t zone_count(const struct policy_image *p)
{
    return p->zones.count;
}

static struct slice zone_name(const struct policy_image *p, uint32_t i)
{
    return image_text(p, IMAGE_AT(p, p->zones, struct image_zone)[i].name);
}

static void zone_say(const struct policy_image *p, uint32_t i, struct buf *out)
{
    BUF_LIT(out, "clears ");
    describe_clearance(p, &IMAGE_AT(p, p->zones, struct image_zone)[i].clears, out);
    describe_zone_energy(p, &IMAGE_AT(p, p->zones, struct image_zone)[i], out);
}

static uint32_t sink_count(const struct policy_image *p)
{
    return p->sinks.count;
}

static struct slice sink_name(const struct policy_image *p, uint32_t i)
{
    return image_text(p, IMAGE_AT(p, p->sinks, struct image_sink)[i].name);
}

static void amount(const char *what, enum image_unit unit, int64_t v, struct buf *out)
{
    if (v < 0)
        return;
    buf_printf(out, ", %s ", what);
    describe_amount(unit, v, out);
}

static void sink_say(const struct policy_image *p, uint32_t i, struct buf *out)
{
    static const char *const kinds[] = {"verifier",  "judge",  "retriever", "cache",
                                        "embedding", "memory", "log",       "trace"};
    const struct image_sink *s = IMAGE_AT(p, p->sinks, struct image_sink) + i;
    buf_cstr(out, kinds[s->kind]);
    if (s->zone >= 0)
        buf_printf(out, ", zone %.*s", SLICE_FMT(zone_name(p, (uint32_t)s->zone)));
    BUF_LIT(out, ", clears ");
    describe_clearance(p, &s->clears, out);
    BUF_LIT(out, ", holds ");
    describe_clearance(p, &s->holds, out);
    if (s->carries_text)
        BUF_LIT(out, ", carries text");
    if (s->cap_tok)
        buf_printf(out, ", adds %u tok", s->cap_tok);
    amount("price", IMAGE_UNIT_NUSD, s->call_nusd, out);
    amount("energy", IMAGE_UNIT_UJ, s->call_uj, out);
    if (s->timeout_ms)
        buf_printf(out, ", timeout %u ms", s->timeout_ms);
}

// ---- models

static uint32_t model_count(const struct policy_image *p)
{
    return p->models.count;
}

static struct slice model_name(const struct policy_image *p, uint32_t i)
{
    return image_text(p, image_model(p, (int32_t)i)->name);
}

static void model_say(const struct policy_image *p, uint32_t i, struct buf *out)
{
    const struct image_model *m = image_model(p, (int32_t)i);
    const struct image_endpoint *e = IMAGE_AT(p, m->endpoints, struct image_endpoint);
    buf_add(out, m->zone >= 0 ? zone_name(p, (uint32_t)m->zone) : SLICE("no zone"));
    for (uint32_t k = 0; k < m->endpoints.count; k++)
        BUF_LIT(out, ", "), describe_endpoint(p, &e[k], out);
    buf_printf(out, ", as %.*s, context %u tok, output %u tok, can %x, efforts",
               SLICE_FMT(image_text(p, m->upstream_name)), m->context_tok, m->output_tok, m->can);
    for (int k = 0; k < IMAGE_EFFORT_COUNT_; k++)
        if (m->efforts >> k & 1)
            buf_printf(out, " %s", image_effort_name((enum image_effort)k));
    describe_knob(p, m, out);
    describe_prices(p, m, out);
    if (m->quality >= 0)
        buf_printf(out, ", quality %.6g", (double)m->quality);
    if (m->timeout_ms)
        buf_printf(out, ", timeout %u ms", m->timeout_ms);
}

// ---- signals

static uint32_t signal_count(const struct policy_image *p)
{
    return p->signals.count;
}

static struct slice signal_name(const struct policy_image *p, uint32_t i)
{
    return image_text(p, image_signal(p, (int32_t)i)->name);
}

static void signal_say(const struct policy_image *p, uint32_t i, struct buf *out)
{
    describe_signal(p, (int32_t)i, out);
}

// ---- routes, aliases, passes

static uint32_t route_count(const struct policy_image *p)
{
    return p->routes.count;
}

static struct slice route_name(const struct policy_image *p, uint32_t i)
{
    return image_text(p, image_route(p, (int32_t)i)->name);
}

static void guard_say(const struct policy_image *p, uint32_t i, struct buf *out)
{
    const struct image_route *r = image_route(p, (int32_t)i);
    if (r->is_otherwise)
        return;
    BUF_LIT(out, "when ");
    explain_guard(p, r->guard, out);
}

static void effect_say(const struct policy_image *p, uint32_t i, struct buf *out)
{
    BUF_LIT(out, "-> ");
    describe_effect(p, (int32_t)i, out);
}

static uint32_t alias_count(const struct policy_image *p)
{
    return p->aliases.count;
}

static struct slice alias_name(const struct policy_image *p, uint32_t i)
{
    return image_text(p, IMAGE_AT(p, p->aliases, struct image_alias)[i].name);
}

static void alias_say(const struct policy_image *p, uint32_t i, struct buf *out)
{
    const struct image_alias *a = IMAGE_AT(p, p->aliases, struct image_alias) + i;
    if (a->target == IMAGE_TARGET_ROUTES)
        BUF_LIT(out, "routes");
    else if (a->target == IMAGE_TARGET_ROUTE)
        buf_printf(out, "route %.*s", SLICE_FMT(route_name(p, (uint32_t)a->index)));
    else
        buf_printf(out, "model %.*s", SLICE_FMT(model_name(p, (uint32_t)a->index)));
}

static uint32_t pass_count(const struct policy_image *p)
{
    return p->passes.count;
}

static struct slice pass_name(const struct policy_image *p, uint32_t i)
{
    return image_text(p, IMAGE_AT(p, p->passes, struct image_pass)[i].path);
}

static void pass_say(const struct policy_image *p, uint32_t i, struct buf *out)
{
    const struct image_pass *pass = IMAGE_AT(p, p->passes, struct image_pass) + i;
    buf_printf(out, "to %.*s", SLICE_FMT(model_name(p, (uint32_t)pass->model)));
    describe_pass_most(pass, out);
}

// One, without a name.
static uint32_t dispatch_count(const struct policy_image *p)
{
    (void)p;
    return 1;
}

static struct slice dispatch_name(const struct policy_image *p, uint32_t i)
{
    (void)p, (void)i;
    return SLICE("by");
}

static void dispatch_say(const struct policy_image *p, uint32_t i, struct buf *out)
{
    (void)i;
    describe_dispatch(p, out);
}

static const struct part parts[] = {
    {"signals", "signal", false, signal_count, signal_name, signal_say},
    {"models", "model", true, model_count, model_name, model_say},
    {"zones", "zone", false, zone_count, zone_name, zone_say},
    {"dispatch", "dispatch", true, dispatch_count, dispatch_name, dispatch_say},
    {"sinks", "sink", true, sink_count, sink_name, sink_say},
    {"routes", "route", false, route_count, route_name, guard_say},
    {"routes", "route", false, route_count, route_name, effect_say},
    {"aliases", "alias", false, alias_count, alias_name, alias_say},
    {"passes", "pass", false, pass_count, pass_name, pass_say},
};

// ---- constraints: a set of texts, names aside

static bool has_constraint(const struct policy_image *p, struct slice text, struct buf *scratch)
{
    for (uint32_t i = 0; i < p->constraints.count; i++) {
        buf_reset(scratch);
        describe_constraint(p, i, scratch);
        if (slice_eq(buf_slice(scratch), text))
            return true;
    }
    return false;
}

static void compare_constraints(struct diff *d, struct buf *a, struct buf *b)
{
    for (unsigned from = 0; from < 2; from++) {
        const struct policy_image *p = d->side[from].image, *q = d->side[!from].image;
        for (uint32_t i = 0; i < p->constraints.count && !d->err; i++) {
            buf_reset(a);
            describe_constraint(p, i, a);
            if (!has_constraint(q, buf_slice(a), b))
                line(d, from == OLD ? DIFF_REMOVED : DIFF_ADDED, "constraints", a);
        }
    }
}

// ---- bounds of routes

static void bound_text(const struct way_amount *a, enum image_unit unit, struct buf *out)
{
    if (a->open)
        BUF_LIT(out, "no bound");
    else
        describe_amount(unit, a->value, out);
}

static void compare_bounds(struct diff *d, struct buf *text)
{
    static const enum image_unit units[] = {IMAGE_UNIT_NUSD, IMAGE_UNIT_UJ,  IMAGE_UNIT_UG,
                                            IMAGE_UNIT_MS,   IMAGE_UNIT_TOK, IMAGE_UNIT_CALLS};
    const struct policy_image *old = d->side[OLD].image, *new = d->side[NEW].image;
    for (uint32_t i = 0; i < new->routes.count && !d->err; i++) {
        struct slice name = route_name(new, i);
        int32_t k = image_find_route(old, name);
        if (k < 0)
            continue;
        struct way_bound a = way_bound(old, &d->side[OLD].prover.ways.at[k], NULL),
                         b = way_bound(new, &d->side[NEW].prover.ways.at[i], NULL);
        for (size_t u = 0; u < MERIT_COUNT(units); u++) {
            const struct way_amount *x = &a.unit[units[u]], *y = &b.unit[units[u]];
            if ((x->open != 0) == (y->open != 0) && (x->open || x->value == y->value))
                continue;
            buf_reset(text);
            buf_printf(text, "route %.*s costs at most ", SLICE_FMT(name));
            bound_text(x, units[u], text);
            BUF_LIT(text, " → ");
            bound_text(y, units[u], text);
            line(d, DIFF_CHANGED, "bounds", text);
        }
    }
}

void diff_lines(struct diff *d)
{
    struct buf a, b;
    buf_init(&a, 4 * 1024 * 1024);
    buf_init(&b, 4 * 1024 * 1024);
    for (size_t i = 0; i < MERIT_COUNT(parts) && !d->err; i++)
        compare_parts(d, &parts[i], &a, &b);
    compare_constraints(d, &a, &b);
    compare_bounds(d, &a);
    buf_deinit(&a);
    buf_deinit(&b);
}
