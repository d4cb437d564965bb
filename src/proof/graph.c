#include "proof/graph.h"

#include "policy/explain.h"
#include "proof/describe.h"
#include "text/json.h"

// The two forms of a graph are two printers behind one walk.
struct graph {
    const struct policy_image *p;
    struct buf *out;
    bool dot;
    bool first; // JSON: no comma yet
};

static const char *step_name(enum image_step_kind k)
{
    static const char *const names[] = {"answer",  "refuse", "retrieve", "verify",
                                        "clarify", "redact", "fuse",     "cache"};
    return (unsigned)k < IMAGE_STEP_KIND_COUNT_ ? names[k] : "answer";
}

static void dot_text(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '"' || c == '\\')
            buf_byte(out, '\\');
        buf_byte(out, (unsigned char)c < ' ' ? ' ' : c);
    }
}

struct id {
    const char *kind;
    uint32_t a, b, c; // route, chain, step; or an index in `a`
};

static void put_id(struct graph *g, struct id id)
{
    buf_printf(g->out, "\"%s%u", id.kind, id.a);
    if (id.kind[0] == 's' && id.kind[1] == 't')
        buf_printf(g->out, "_%u_%u", id.b, id.c);
    BUF_LIT(g->out, "\"");
}

static void next_item(struct graph *g)
{
    if (!g->dot && !g->first)
        BUF_LIT(g->out, ",");
    if (!g->dot)
        BUF_LIT(g->out, "\n    ");
    g->first = false;
}

// `more`: further text; may be empty.
static void node(struct graph *g, struct id id, const char *kind, struct slice name,
                 struct slice more, uint32_t line)
{
    static const char *const shapes[][2] = {
        {"request", "circle"}, {"route", "box"},     {"step", "ellipse"},    {"model", "component"},
        {"sink", "cylinder"},  {"end", "plaintext"}, {"zone", "tab"},        {"endpoint", "box3d"},
        {"budget", "note"},    {"pass", "cds"},      {"dispatch", "octagon"}};
    next_item(g);
    if (g->dot) {
        const char *shape = "box";
        for (size_t i = 0; i < MERIT_COUNT(shapes); i++)
            if (slice_eq_cstr(slice_cstr(kind), shapes[i][0]))
                shape = shapes[i][1];
        BUF_LIT(g->out, "  ");
        put_id(g, id);
        buf_printf(g->out, " [shape=%s, label=\"", shape);
        dot_text(g->out, name);
        if (more.len)
            BUF_LIT(g->out, "\\n");
        dot_text(g->out, more);
        BUF_LIT(g->out, "\"];\n");
        return;
    }
    BUF_LIT(g->out, "{\"id\": ");
    put_id(g, id);
    buf_printf(g->out, ", \"kind\": \"%s\", \"name\": ", kind);
    json_write_string(g->out, name);
    if (more.len) {
        BUF_LIT(g->out, ", \"text\": ");
        json_write_string(g->out, more);
    }
    if (line)
        buf_printf(g->out, ", \"line\": %u", line);
    BUF_LIT(g->out, "}");
}

static void edge(struct graph *g, struct id from, struct id to, const char *kind)
{
    next_item(g);
    if (g->dot) {
        BUF_LIT(g->out, "  ");
        put_id(g, from);
        BUF_LIT(g->out, " -> ");
        put_id(g, to);
        if (kind[0] == 'e')
            BUF_LIT(g->out, " [style=dashed, label=\"else\"]");
        else if (kind[0] != 'n')
            buf_printf(g->out, " [style=dotted, arrowhead=none%s]",
                       kind[0] == 'b' ? ", label=\"bears on\"" : "");
        BUF_LIT(g->out, ";\n");
        return;
    }
    BUF_LIT(g->out, "{\"from\": ");
    put_id(g, from);
    BUF_LIT(g->out, ", \"to\": ");
    put_id(g, to);
    buf_printf(g->out, ", \"kind\": \"%s\"}", kind);
}

static const struct id request = {"request", 0, 0, 0}, deliver = {"end", 0, 0, 0},
                       refuse = {"end", 1, 0, 0};

static struct id step_id(uint32_t route, uint32_t chain, uint32_t step)
{
    return (struct id){"step", route, chain, step};
}

// "a high, b low": how much the models are to think, where the policy says so.
static void add_efforts(const struct policy_image *p, const struct image_step *s, struct buf *out)
{
    const struct image_binding *b = IMAGE_AT(p, s->bindings, struct image_binding);
    for (uint32_t i = 0; i < s->bindings.count; i++) {
        if (b[i].effort == IMAGE_EFFORT_DEFAULT)
            continue;
        buf_printf(out, "%s%.*s %s", out->len ? ", " : "",
                   SLICE_FMT(image_text(p, image_model(p, b[i].model)->name)),
                   image_effort_name(b[i].effort));
    }
}

static void step_node(struct graph *g, struct id id, const struct image_step *s)
{
    struct slice more = SLICE_EMPTY;
    const struct image_lattice *l = IMAGE_AT(g->p, g->p->lattices, struct image_lattice);
    if (s->kind == IMAGE_STEP_REFUSE)
        more = image_text(g->p, s->text);
    else if (s->kind == IMAGE_STEP_REDACT)
        more = image_text(g->p, IMAGE_AT(g->p, l[s->lattice].levels, struct image_str)[s->level]);
    else if (s->escalated)
        more = SLICE("escalated");
    struct buf text;
    buf_init(&text, 1024 * 1024);
    if (more.len)
        buf_add(&text, more);
    add_efforts(g->p, s, &text);
    node(g, id, "step", slice_cstr(step_name(s->kind)), buf_slice(&text), 0);
    buf_deinit(&text);
}

// What dispatch and accounting know beside the paths: zones, endpoints, budgets, paths that are passed on, what is worth what.
static void world_nodes(struct graph *g, struct buf *text)
{
    const struct policy_image *p = g->p;
    const struct image_zone *z = IMAGE_AT(p, p->zones, struct image_zone);
    const struct image_endpoint *e = IMAGE_AT(p, p->endpoints, struct image_endpoint);
    const struct image_pass *pass = IMAGE_AT(p, p->passes, struct image_pass);
    const struct image_constraint *c = IMAGE_AT(p, p->constraints, struct image_constraint);
    for (uint32_t i = 0; i < p->zones.count; i++) {
        buf_reset(text);
        BUF_LIT(text, "clears ");
        describe_clearance(p, &z[i].clears, text);
        describe_zone_energy(p, &z[i], text);
        node(g, (struct id){"zone", i, 0, 0}, "zone", image_text(p, z[i].name), buf_slice(text),
             z[i].line);
    }
    for (uint32_t i = 0; i < p->endpoints.count; i++) {
        buf_reset(text);
        describe_endpoint(p, &e[i], text);
        node(g, (struct id){"endpoint", i, 0, 0}, "endpoint", image_text(p, e[i].url),
             buf_slice(text), e[i].line);
    }
    for (uint32_t i = 0; i < p->passes.count; i++) {
        buf_reset(text);
        describe_pass_most(&pass[i], text);
        node(g, (struct id){"pass", i, 0, 0}, "pass", image_text(p, pass[i].path),
             slice_from(buf_slice(text), text->len > 0), pass[i].line);
    }
    for (uint32_t i = 0; i < p->constraints.count; i++) {
        if (c[i].kind != IMAGE_BUDGET)
            continue;
        buf_reset(text);
        describe_constraint(p, i, text);
        node(g, (struct id){"budget", i, 0, 0}, "budget", image_text(p, c[i].name), buf_slice(text),
             c[i].line);
    }
    buf_reset(text);
    describe_dispatch(p, text);
    node(g, (struct id){"dispatch", 0, 0, 0}, "dispatch", SLICE("dispatch"), buf_slice(text),
         p->dispatch.line);
}

static void world_edges(struct graph *g)
{
    const struct policy_image *p = g->p;
    const struct image_sink *sinks = IMAGE_AT(p, p->sinks, struct image_sink);
    const struct image_endpoint *e = IMAGE_AT(p, p->endpoints, struct image_endpoint);
    const struct image_pass *pass = IMAGE_AT(p, p->passes, struct image_pass);
    const struct image_constraint *c = IMAGE_AT(p, p->constraints, struct image_constraint);
    for (uint32_t i = 0; i < p->models.count; i++)
        if (image_model(p, (int32_t)i)->zone >= 0)
            edge(g, (struct id){"model", i, 0, 0},
                 (struct id){"zone", (uint32_t)image_model(p, (int32_t)i)->zone, 0, 0}, "in");
    for (uint32_t i = 0; i < p->sinks.count; i++)
        if (sinks[i].zone >= 0)
            edge(g, (struct id){"sink", i, 0, 0},
                 (struct id){"zone", (uint32_t)sinks[i].zone, 0, 0}, "in");
    for (uint32_t i = 0; i < p->endpoints.count; i++)
        edge(g, (struct id){"model", (uint32_t)e[i].model, 0, 0}, (struct id){"endpoint", i, 0, 0},
             "at");
    for (uint32_t i = 0; i < p->passes.count; i++)
        edge(g, (struct id){"pass", i, 0, 0}, (struct id){"model", (uint32_t)pass[i].model, 0, 0},
             "next");
    for (uint32_t i = 0; i < p->constraints.count; i++) {
        if (c[i].kind != IMAGE_BUDGET)
            continue;
        edge(g, (struct id){"budget", i, 0, 0}, request, "bears");
        for (uint32_t k = 0; k < p->passes.count && c[i].window != IMAGE_PER_REQUEST; k++)
            edge(g, (struct id){"budget", i, 0, 0}, (struct id){"pass", k, 0, 0}, "bears");
    }
}

static void nodes(struct graph *g)
{
    const struct policy_image *p = g->p;
    const struct image_sink *sinks = IMAGE_AT(p, p->sinks, struct image_sink);
    const struct image_zone *zones = IMAGE_AT(p, p->zones, struct image_zone);
    struct buf text;
    buf_init(&text, 1024 * 1024);
    node(g, request, "request", SLICE("request"), SLICE_EMPTY, 0);
    for (uint32_t i = 0; i < p->routes.count; i++) {
        const struct image_route *r = image_route(p, (int32_t)i);
        buf_reset(&text);
        if (!r->is_otherwise)
            explain_guard(p, r->guard, &text);
        node(g, (struct id){"route", i, 0, 0}, "route", image_text(p, r->name), buf_slice(&text),
             r->line);
        for (uint32_t c = 0; c < r->chains.count; c++) {
            struct image_list list = image_chains(p, r)[c].steps;
            for (uint32_t k = 0; k < list.count; k++)
                step_node(g, step_id(i, c, k), IMAGE_AT(p, list, struct image_step) + k);
        }
    }
    for (uint32_t i = 0; i < p->models.count; i++) {
        const struct image_model *m = image_model(p, (int32_t)i);
        buf_reset(&text);
        if (m->zone >= 0)
            buf_add(&text, image_text(p, zones[m->zone].name));
        describe_prices(p, m, &text);
        describe_knob(p, m, &text);
        node(g, (struct id){"model", i, 0, 0}, "model", image_text(p, m->name), buf_slice(&text),
             m->line);
    }
    for (uint32_t i = 0; i < p->sinks.count; i++)
        node(g, (struct id){"sink", i, 0, 0}, "sink", image_text(p, sinks[i].name),
             sinks[i].zone >= 0 ? image_text(p, zones[sinks[i].zone].name) : SLICE_EMPTY,
             sinks[i].line);
    world_nodes(g, &text);
    node(g, deliver, "end", SLICE("answer"), SLICE_EMPTY, 0);
    node(g, refuse, "end", SLICE("refusal"), SLICE_EMPTY, 0);
    buf_deinit(&text);
}

static void step_edges(struct graph *g, struct id id, const struct image_step *s)
{
    const struct image_binding *b = IMAGE_AT(g->p, s->bindings, struct image_binding);
    for (uint32_t i = 0; i < s->bindings.count; i++) {
        bool seen = false;
        for (uint32_t k = 0; k < i; k++)
            seen |= b[k].model == b[i].model;
        if (!seen)
            edge(g, id, (struct id){"model", (uint32_t)b[i].model, 0, 0}, "touches");
    }
    if (s->sink != IMAGE_NONE)
        edge(g, id, (struct id){"sink", (uint32_t)s->sink, 0, 0}, "touches");
}

static void chain_edges(struct graph *g, uint32_t route, uint32_t chain, struct image_list list,
                        bool last)
{
    const struct image_step *steps = IMAGE_AT(g->p, list, struct image_step);
    bool refuses = steps[list.count - 1].kind == IMAGE_STEP_REFUSE;
    struct id from = {"route", route, 0, 0};
    for (uint32_t k = 0; k < list.count; k++) {
        struct id at = step_id(route, chain, k);
        if (k || !chain)
            edge(g, from, at, "next");
        step_edges(g, at, &steps[k]);
        from = at;
    }
    edge(g, from, refuses ? refuse : deliver, "next");
    if (!refuses)
        edge(g, step_id(route, chain, 0), last ? refuse : step_id(route, chain + 1, 0), "else");
}

static void edges(struct graph *g)
{
    for (uint32_t i = 0; i < g->p->routes.count; i++) {
        const struct image_route *r = image_route(g->p, (int32_t)i);
        edge(g, request, (struct id){"route", i, 0, 0}, "next");
        for (uint32_t c = 0; c < r->chains.count; c++)
            chain_edges(g, i, c, image_chains(g->p, r)[c].steps, c + 1 == r->chains.count);
    }
    world_edges(g);
}

void graph_dot(const struct policy_image *image, struct buf *out)
{
    struct graph g = {.p = image, .out = out, .dot = true};
    BUF_LIT(out, "digraph \"");
    dot_text(out, image_text(image, image->name));
    BUF_LIT(out, "\" {\n  rankdir=LR;\n");
    nodes(&g);
    edges(&g);
    BUF_LIT(out, "}\n");
}

void graph_json(const struct policy_image *image, struct buf *out)
{
    struct graph g = {.p = image, .out = out, .first = true};
    BUF_LIT(out, "{\"policy\": ");
    json_write_string(out, image_text(image, image->name));
    buf_printf(out, ", \"version\": %u,\n  \"nodes\": [", image->policy_version);
    nodes(&g);
    BUF_LIT(out, "\n  ],\n  \"edges\": [");
    g.first = true;
    edges(&g);
    BUF_LIT(out, "\n  ]}\n");
}
