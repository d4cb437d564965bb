// Findings of the order check, for people.
#include <stdio.h>

#include "base/alloc.h"
#include "policy/explain.h"
#include "proof/order_inner.h"

enum { TEXT_MAX = 400, LISTED = 4 };

struct teller {
    const struct order_report *r;
    const struct order_telling *t;
    struct buf text;
};

static struct slice name_of(const struct teller *x, int32_t route)
{
    const struct image_route *r = image_route(x->r->image, route);
    return r->is_otherwise ? SLICE("otherwise") : image_text(x->r->image, r->name);
}

static struct span span_of(const struct teller *x, int32_t route)
{
    return policy_place(x->t->places, IMAGE_ROUTES, (uint32_t)route);
}

static struct diag *add_at(struct teller *x, enum diag_severity severity, const char *code,
                           int32_t route, struct span span)
{
    char text[TEXT_MAX];
    snprintf(text, sizeof text, "%.*s", SLICE_FMT(buf_slice(&x->text)));
    buf_reset(&x->text);
    if (x->t->finding)
        return x->t->finding(x->t->ctx, severity, code, name_of(x, route), span, text);
    return diag_add(x->t->diags, severity, code, span, "%s", text);
}

static struct diag *add(struct teller *x, enum diag_severity severity, const char *code,
                        int32_t route)
{
    return add_at(x, severity, code, route, span_of(x, route));
}

static void put_names(struct teller *x, const int32_t *routes, uint32_t count)
{
    uint32_t shown = count > LISTED ? LISTED - 1 : count;
    for (uint32_t i = 0; i < shown; i++)
        buf_printf(&x->text, "%s`%.*s`",
                   i == 0                             ? ""
                   : i + 1 == shown && shown == count ? " and "
                                                      : ", ",
                   SLICE_FMT(name_of(x, routes[i])));
    if (shown < count)
        buf_printf(&x->text, " and %u more", count - shown);
}

static struct image_list part_of(const struct teller *x, int32_t route, uint32_t node)
{
    struct image_list guard = image_route(x->r->image, route)->guard;
    const struct image_node *n = IMAGE_AT(x->r->image, guard, struct image_node);
    return (struct image_list){guard.at + node * (uint32_t)sizeof *n, n[node].size};
}

static uint32_t node_index(const struct teller *x, int32_t route, uint32_t node)
{
    struct image_list guard = image_route(x->r->image, route)->guard;
    return (guard.at - x->r->image->nodes.at) / (uint32_t)sizeof(struct image_node) + node;
}

// A part of a guard as the policy writes it, cut when it is long.
static void put_part(struct teller *x, int32_t route, uint32_t node)
{
    enum { PART_MAX = 60 };
    struct buf b;
    buf_init(&b, IMAGE_BYTES_MAX);
    explain_guard(x->r->image, part_of(x, route, node), &b);
    if (b.len <= PART_MAX)
        buf_printf(&x->text, "`%.*s`", SLICE_FMT(buf_slice(&b)));
    else
        buf_printf(&x->text, "`%.*s...`", PART_MAX - 3, b.ptr);
    buf_deinit(&b);
}

// ---- one finding each

static void vacuous(struct teller *x, int32_t i, const struct order_route *r)
{
    buf_printf(&x->text, "route `%.*s` can never be taken: ", SLICE_FMT(name_of(x, i)));
    if (r->contradiction_count <= 1) {
        put_part(x, i, r->contradiction_count ? r->contradiction[0] : 0);
        BUF_LIT(&x->text, " never holds");
    } else {
        for (uint32_t k = 0; k < r->contradiction_count && k < LISTED; k++) {
            buf_cstr(&x->text, k == 0 ? "" : k + 1 == r->contradiction_count ? " and " : ", ");
            put_part(x, i, r->contradiction[k]);
        }
        if (r->contradiction_count > LISTED)
            BUF_LIT(&x->text, " and others");
        BUF_LIT(&x->text, " exclude each other");
    }
    struct diag *d = add(x, DIAG_ERROR, "vacuous", i);
    diag_help(x->t->diags, d, "change the condition, or remove the route");
    uint32_t at = r->contradiction_count ? r->contradiction[r->contradiction_count - 1] : 0;
    struct span place = policy_place(x->t->places, IMAGE_NODES, node_index(x, i, at));
    if (place.end > place.begin)
        diag_also(x->t->diags, d, place, "never together with the rest");
}

static void shadowed(struct teller *x, int32_t i, const struct order_route *r)
{
    buf_printf(&x->text, "route `%.*s` can never be taken: ", SLICE_FMT(name_of(x, i)));
    if (r->cover_count)
        put_names(x, r->cover, r->cover_count);
    else
        BUF_LIT(&x->text, "the routes");
    buf_printf(&x->text, " before it %s%s all that it wants",
               r->cover_count != 1 ? "together take" : "takes",
               r->cover_least ? "" : ", perhaps fewer of them,");
    struct diag *d = add(x, DIAG_ERROR, "shadowed", i);
    struct slice first = r->cover_count ? name_of(x, r->cover[0]) : SLICE_EMPTY;
    if (r->cover_count == 1)
        diag_help(x->t->diags, d, "move it before `%.*s`, narrow that one, or remove it",
                  SLICE_FMT(first));
    else
        diag_help(x->t->diags, d, "move it before them, narrow one of them, or remove it");
    struct span span = r->cover_count ? span_of(x, r->cover[0]) : (struct span){0, 0};
    if (span.end > span.begin)
        diag_also(x->t->diags, d, span, "%s", "this one stands before it");
    if (r->witness.len)
        diag_witness(x->t->diags, d, r->witness);
}

static void put_effort(struct teller *x)
{
    struct sat_effort e = x->r->effort;
    buf_printf(&x->text, ": given up after %llu conflicts and %llu steps in %llu questions",
               (unsigned long long)e.conflicts, (unsigned long long)e.propagations,
               (unsigned long long)e.questions);
}

static void open_route(struct teller *x, int32_t i)
{
    buf_printf(&x->text, "it is not proved that some request takes route `%.*s`",
               SLICE_FMT(name_of(x, i)));
    put_effort(x);
    struct diag *d = add(x, DIAG_ERROR, "not-proved", i);
    diag_help(x->t->diags, d,
              "make the guards before it simpler, or write `assume not-proved %.*s \"why\"`",
              SLICE_FMT(name_of(x, i)));
}

// Nothing is wrong with a redundant route but its length, so one line says it of all.
static void open_effects(struct teller *x, int32_t first, uint32_t count)
{
    buf_printf(&x->text, "it is not proved that something would change without route `%.*s`",
               SLICE_FMT(name_of(x, first)));
    if (count > 1)
        buf_printf(&x->text, ", nor without %u others", count - 1);
    put_effort(x);
    add(x, DIAG_WARNING, "not-proved", first);
}

static void redundant(struct teller *x, int32_t i, const struct order_route *r)
{
    buf_printf(&x->text, "route `%.*s` changes nothing: what it takes ends the same without it",
               SLICE_FMT(name_of(x, i)));
    struct diag *d = add(x, DIAG_WARNING, "redundant", i);
    diag_help(x->t->diags, d, "remove it, or let it do something else");
    if (r->witness.len)
        diag_witness(x->t->diags, d, r->witness);
}

static void overlap(struct teller *x, int32_t i, const struct order_route *r)
{
    buf_printf(&x->text, "route `%.*s` overlaps with ", SLICE_FMT(name_of(x, i)));
    put_names(x, r->overlap, r->shown);
    if (r->overlaps > r->shown)
        buf_printf(&x->text, " and %u more", r->overlaps - r->shown);
    BUF_LIT(&x->text, " before it, with another effect: there the order decides");
    if (r->overlaps_open)
        buf_printf(&x->text, " (%u pairs not proved)", r->overlaps_open);
    struct diag *d = add(x, DIAG_NOTE, "overlap", i);
    if (r->overlap_witness.len)
        diag_witness(x->t->diags, d, r->overlap_witness);
}

static void put_percent(struct teller *x, struct space_share s)
{
    double p = s.share * 100, e = s.error * 100;
    if (s.exact)
        buf_printf(&x->text, "%.*f %%", p > 0 && p < 1 ? 3 : 1, p);
    else if (p > 0)
        buf_printf(&x->text, "%.*f %% (+-%.*f)", p < 1 ? 2 : 1, p, e < 0.1 ? 2 : 1, e);
    else
        buf_printf(&x->text, "less than %.2f %%", e * 2);
}

static void share(struct teller *x, int32_t i, const struct order_route *r)
{
    if (!image_route(x->r->image, i)->is_otherwise)
        return;
    if (r->status == ORDER_TAKEN) {
        BUF_LIT(&x->text, "`otherwise` takes ");
        put_percent(x, r->takes);
        BUF_LIT(&x->text,
                " of the requests that the policy can tell apart, each weighing the same");
    } else {
        BUF_LIT(&x->text, "`otherwise` takes nothing: the routes before it take every request");
    }
    add(x, DIAG_NOTE, "share", i);
}

static void idle(struct teller *x, const struct order_idle *idle)
{
    struct span span =
        policy_place(x->t->places, IMAGE_NODES, node_index(x, idle->route, idle->node));
    put_part(x, idle->route, idle->node);
    buf_printf(&x->text, " never decides route `%.*s`: ", SLICE_FMT(name_of(x, idle->route)));
    if (idle->alone)
        buf_cstr(&x->text, idle->always ? "it always holds" : "it never holds");
    else
        buf_cstr(&x->text, idle->always ? "it holds wherever it is asked for"
                                        : "the rest has settled it wherever it holds");
    struct diag *d = add_at(x, DIAG_WARNING, "idle-condition", idle->route,
                            span.end ? span : span_of(x, idle->route));
    diag_help(x->t->diags, d, "leave it out");
}

void order_tell(const struct order_report *r, const struct order_telling *t)
{
    struct teller x = {.r = r, .t = t};
    uint32_t open = 0;
    int32_t first = 0;
    buf_init(&x.text, 1 << 16);
    for (uint32_t i = 0; i < r->image->routes.count; i++) {
        const struct order_route *o = &r->routes[i];
        bool last = image_route(r->image, (int32_t)i)->is_otherwise;
        if (o->status == ORDER_VACUOUS && !last)
            vacuous(&x, (int32_t)i, o);
        else if (o->status == ORDER_SHADOWED && !last)
            shadowed(&x, (int32_t)i, o);
        if (o->status == ORDER_OPEN && !last)
            open_route(&x, (int32_t)i);
        if (o->effect == ORDER_UNKNOWN && open++ == 0)
            first = (int32_t)i;
        if (o->effect == ORDER_REDUNDANT)
            redundant(&x, (int32_t)i, o);
    }
    if (open)
        open_effects(&x, first, open);
    for (uint32_t i = 0; i < r->idle_count; i++)
        idle(&x, &r->idle[i]);
    buf_deinit(&x.text);
}

void order_tell_notes(const struct order_report *r, const struct order_telling *t)
{
    struct teller x = {.r = r, .t = t};
    buf_init(&x.text, 1 << 16);
    for (uint32_t i = 0; i < r->image->routes.count; i++) {
        const struct order_route *o = &r->routes[i];
        if (o->overlaps || o->overlaps_open)
            overlap(&x, (int32_t)i, o);
        share(&x, (int32_t)i, o);
    }
    buf_deinit(&x.text);
}
