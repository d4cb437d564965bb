#include "proof/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proof/check_inner.h"

// --- names and texts

struct span proof_span(const struct proof *p, enum image_section s, uint32_t i)
{
    return policy_place(p->options->places, s, i);
}

struct slice proof_constraint_name(const struct proof *p, uint32_t constraint)
{
    return image_text(
        p->image,
        IMAGE_AT(p->image, p->image->constraints, struct image_constraint)[constraint].name);
}

static struct slice kept(struct proof *p, struct slice s)
{
    if (!s.ptr) {
        p->err = RESULT_NOMEM;
        return SLICE("?");
    }
    return s;
}

struct slice proof_way_text(struct proof *p, const struct way *way, uint32_t chain)
{
    const struct policy_image *image = p->image;
    const char *later = chain == 0 ? "" : chain == 1 ? "the `else` of " : "a later `else` of ";
    if (way->kind == WAY_PASS) {
        const struct image_pass *pass =
            IMAGE_AT(image, image->passes, struct image_pass) + way->index;
        return kept(p, arena_printf(p->arena, "by `pass \"%.*s\"`",
                                    SLICE_FMT(image_text(image, pass->path))));
    }
    if (way->kind == WAY_MODEL)
        return kept(
            p, arena_printf(p->arena, "when a client asks for `%.*s` by its name",
                            SLICE_FMT(image_text(image, image_model(image, way->model)->name))));
    struct slice route = image_text(image, image_route(image, way->route)->name);
    if (way->kind == WAY_ROUTE)
        return kept(p, arena_printf(p->arena, "by %sroute `%.*s`", later, SLICE_FMT(route)));
    const struct image_alias *a = IMAGE_AT(image, image->aliases, struct image_alias) + way->index;
    return kept(p, arena_printf(p->arena, "by alias `%.*s`, which asks no guard of %sroute `%.*s`",
                                SLICE_FMT(image_text(image, a->name)), later, SLICE_FMT(route)));
}

static struct slice in_zone(struct proof *p, const char *what, struct slice name, int32_t zone)
{
    if (zone == IMAGE_NONE)
        return kept(p, arena_printf(p->arena, "%s `%.*s`", what, SLICE_FMT(name)));
    const struct image_zone *z = IMAGE_AT(p->image, p->image->zones, struct image_zone) + zone;
    return kept(p, arena_printf(p->arena, "%s `%.*s` in zone `%.*s`", what, SLICE_FMT(name),
                                SLICE_FMT(image_text(p->image, z->name))));
}

struct slice proof_model_text(struct proof *p, int32_t model)
{
    const struct image_model *m = image_model(p->image, model);
    return in_zone(p, "model", image_text(p->image, m->name), m->zone);
}

struct slice proof_sink_text(struct proof *p, int32_t sink)
{
    static const char *const kinds[IMAGE_SINK_KIND_COUNT_] = {
        "verifier", "judge", "retriever", "cache", "embedding", "memory", "log", "trace"};
    const struct image_sink *s = IMAGE_AT(p->image, p->image->sinks, struct image_sink) + sink;
    return in_zone(p, kinds[s->kind], image_text(p->image, s->name), s->zone);
}

struct slice proof_level_name(const struct proof *p, int32_t lattice, uint32_t level)
{
    const struct image_lattice *l =
        IMAGE_AT(p->image, p->image->lattices, struct image_lattice) + lattice;
    if (level >= l->levels.count)
        return SLICE("?");
    return image_text(p->image, IMAGE_AT(p->image, l->levels, struct image_str)[level]);
}

const char *proof_step_word(enum image_step_kind kind)
{
    static const char *const words[IMAGE_STEP_KIND_COUNT_] = {
        "answer", "refuse", "retrieve", "verify", "clarify", "redact", "fuse", "cache"};
    return words[kind];
}

bool proof_alive(const struct proof *p, const struct way *way)
{
    const struct order_route *routes = p->report->order.routes;
    if (way->kind != WAY_ROUTE || !routes)
        return true;
    enum order_status is = routes[way->route].status;
    return is == ORDER_TAKEN || is == ORDER_OPEN;
}

// --- findings

// The assumption that covers the finding, or NULL.
static const struct image_assume *assumed(struct proof *p, const char *code, struct slice name)
{
    static const char *const codes[] = {"not-proved", "infeasible", "unenforced", "shadowed"};
    const struct image_assume *a = IMAGE_AT(p->image, p->image->assumes, struct image_assume);
    bool may = false;
    for (size_t i = 0; i < MERIT_COUNT(codes); i++)
        may |= !strcmp(codes[i], code);
    for (uint32_t i = 0; i < p->image->assumes.count && may; i++) {
        struct slice about = image_text(p->image, a[i].name);
        if (slice_eq(image_text(p->image, a[i].code), slice_cstr(code)) &&
            (about.len == 0 || slice_eq(about, name))) {
            p->assume_used[i] = true;
            return &a[i];
        }
    }
    return NULL;
}

struct diag *proof_finding(struct proof *p, enum diag_severity severity, const char *code,
                           struct slice name, struct span span, const char *fmt, ...)
{
    char text[PROOF_TEXT_MAX];
    const struct image_assume *a = severity == DIAG_ERROR ? assumed(p, code, name) : NULL;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (!a)
        return diag_add(p->diags, severity, code, span, "%s", text);
    p->report->assumed++;
    return diag_add(p->diags, DIAG_NOTE, code, span, "%s; assumed: %.*s", text,
                    SLICE_FMT(image_text(p->image, a->reason)));
}

void proof_unknown(struct proof *p, struct slice name, struct span span, const char *what)
{
    // Once the space has failed every further question would say the same.
    bool failed = feasible_result(p->feasible) != RESULT_OK;
    if (failed && p->gave_up)
        return;
    p->gave_up |= failed;
    p->report->not_proved++;
    struct sat_effort e = space_effort(p->space);
    struct diag *d =
        proof_finding(p, DIAG_ERROR, "not-proved", name, span,
                      "not proved: %s; given up after %llu conflicts and %llu steps", what,
                      (unsigned long long)e.conflicts, (unsigned long long)e.propagations);
    diag_help(p->diags, d,
              "make the guards simpler, or write `assume not-proved %.*s \"why it holds\"`",
              SLICE_FMT(name));
}

void proof_witness(struct proof *p, struct diag *d, const uint32_t *claims, uint32_t count)
{
    struct space_witness w;
    if (d == &p->diags->scratch)
        return;
    if (space_witness(p->space, 0, claims, count, p->arena, &w))
        p->err = RESULT_NOMEM;
    else
        diag_witness(p->diags, d, w.json);
}

static void unused_assumes(struct proof *p)
{
    const struct image_assume *a = IMAGE_AT(p->image, p->image->assumes, struct image_assume);
    for (uint32_t i = 0; i < p->image->assumes.count; i++) {
        // Findings of the server's are looked for only by it.
        bool servers = slice_eq(image_text(p->image, a[i].code), SLICE("unenforced"));
        if (p->assume_used[i] || (servers && !p->options->serving))
            continue;
        struct diag *d =
            diag_add(p->diags, DIAG_WARNING, "unused-assume", proof_span(p, IMAGE_ASSUMES, i),
                     "nothing has to be assumed here");
        diag_help(p->diags, d, "take it out, so that it hides nothing later");
    }
}

// --- the report

struct reachable {
    struct proof *p;
    const struct way *way;
};

static bool chain_reachable(void *ctx, const struct way_chain *chain)
{
    struct reachable *r = ctx;
    uint32_t claim = feasible_tried(r->p->feasible, r->way, (uint32_t)(chain - r->way->chains));
    return space_ask(r->p->space, &claim, 1, SPACE_FAILURES) != SAT_NO;
}

static bool binding_reachable(void *ctx, const struct way_chain *chain, const struct way_step *step,
                              const struct image_binding *binding)
{
    struct reachable *r = ctx;
    uint32_t claim =
        feasible_used(r->p->feasible, r->way, (uint32_t)(chain - r->way->chains),
                      (uint32_t)(step - chain->steps), (uint32_t)(binding - step->bindings));
    return space_ask(r->p->space, &claim, 1, SPACE_FAILURES) != SAT_NO;
}

// A hard budget per request that always holds is a bound, too: the router takes away what could exceed it.
static void keep(struct proof *p, const struct way *way, struct proof_route *r)
{
    for (unsigned u = 0; u < WAY_UNITS; u++) {
        struct way_amount *a = &r->bound.unit[u];
        int32_t by = feasible_budget(p->feasible, way, (enum image_unit)u);
        r->kept_by[u] = IMAGE_NONE;
        if (by == IMAGE_NONE)
            continue;
        int64_t limit =
            IMAGE_AT(p->image, p->image->constraints, struct image_constraint)[by].limit;
        if (!a->open && a->value <= limit)
            continue;
        *a = (struct way_amount){limit, WAY_BOUNDED, IMAGE_NONE};
        r->kept_by[u] = by;
    }
}

static void make_report(struct proof *p)
{
    uint32_t n = p->image->routes.count;
    struct proof_route *routes = ARENA_ARRAY(p->arena, struct proof_route, n + 1);
    if (!routes) {
        p->err = RESULT_NOMEM;
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        const struct way *way = &p->ways.at[i];
        struct reachable ctx = {p, way};
        const struct way_filter filter = {chain_reachable, binding_reachable, &ctx};
        uint32_t claim = feasible_enters(p->feasible, way);
        struct space_share share = space_share(p->space, &claim, 1);
        routes[i].share = share.share;
        routes[i].share_error = share.error;
        routes[i].share_exact = share.exact;
        routes[i].bound = way_bound(p->image, way, &filter);
        routes[i].longest = way_longest(way);
        keep(p, way, &routes[i]);
    }
    proof_costs(p, routes);
    p->report->routes = routes;
}

// --- the whole

static void run_passes(struct proof *p)
{
    static void (*const passes[])(struct proof *) = {
        proof_order,      proof_flow,   proof_obligations, proof_extras,   proof_bounds,
        proof_infeasible, proof_unused, proof_serving,     proof_theorems, proof_overlaps,
    };
    for (size_t i = 0; i < MERIT_COUNT(passes) && !p->err; i++) {
        passes[i](p);
        if (!p->err && feasible_result(p->feasible) == RESULT_NOMEM)
            p->err = RESULT_NOMEM;
    }
}

enum result proof_check(const struct policy_image *image, const struct proof_options *options,
                        struct arena *arena, struct diag_list *diags, struct proof_report *report)
{
    struct proof p = {
        .image = image, .options = options, .arena = arena, .diags = diags, .report = report};
    *report = (struct proof_report){0};
    p.assume_used = ARENA_ARRAY(arena, bool, image->assumes.count + 1);
    enum result r = p.assume_used ? RESULT_OK : RESULT_NOMEM;
    if (!r)
        r = ways_open(image, arena, &p.ways);
    if (!r) {
        p.obliged = ARENA_ARRAY(arena, bool, p.ways.count + 1);
        p.barred = ARENA_ARRAY(arena, bool, p.ways.count + 1);
        r = p.obliged && p.barred ? RESULT_OK : RESULT_NOMEM;
    }
    if (!r)
        r = space_open(&image, 1, options->limits ? options->limits : &space_limits_default,
                       &p.space);
    if (r == RESULT_LIMIT) {
        proof_finding(&p, DIAG_ERROR, "not-proved", image_text(image, image->name),
                      (struct span){0, 0},
                      "not proved: the signals of this policy can be told apart in more ways than "
                      "the check has room for");
        report->not_proved++;
        return RESULT_OK;
    }
    if (!r)
        r = feasible_open(p.space, 0, image, arena, &p.feasible);
    if (!r) {
        run_passes(&p);
        if (!p.err && options->report)
            make_report(&p);
        if (!p.err && feasible_result(p.feasible) && report->not_proved == 0)
            proof_unknown(&p, image_text(image, image->name), (struct span){0, 0},
                          "the policy is too large to be checked whole");
        unused_assumes(&p);
        report->effort = space_effort(p.space);
        r = p.err;
    }
    if (p.space)
        space_close(p.space);
    return r;
}
