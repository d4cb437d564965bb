#include "policy/say.h"

#include <stdio.h>

#include "base/sha256.h"
#include "work/work.h"

void say_text(struct buf *out, const struct policy_image *p, struct image_str s)
{
    buf_add(out, image_text(p, s));
}

void say_grouped(struct buf *out, uint32_t v)
{
    if (v >= 1000) {
        say_grouped(out, v / 1000);
        buf_printf(out, ",%03u", v % 1000);
    } else {
        buf_u64(out, v);
    }
}

void say_usd(struct buf *out, int64_t nusd)
{
    if (nusd % 1000 == 0) {
        buf_micro(out, nusd / 1000);
        return;
    }
    char digits[32];
    int n = snprintf(digits, sizeof digits, "%lld.%09lld", (long long)(nusd / 1000000000),
                     (long long)(nusd % 1000000000));
    while (n > 0 && digits[n - 1] == '0')
        n--;
    buf_append(out, digits, (size_t)n);
}

// `not (data >= internal)` is better read as `data < internal`. False when there is no such word for it.
static bool opposite(const struct policy_image *p, const struct image_atom *a, struct buf *out)
{
    const struct image_signal *s = image_signal(p, a->signal);
    const struct image_str *w = IMAGE_AT(p, s->words, struct image_str);
    uint32_t n = s->words.count;
    if (s->type != SIGNAL_ENUM ||
        (s->derive != IMAGE_DERIVE_LABEL && s->derive != IMAGE_DERIVE_SCORE) ||
        (a->op != IMAGE_OP_EQ && a->op != IMAGE_OP_IN))
        return false;
    uint64_t all = n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1,
             words = a->op == IMAGE_OP_IN ? a->words : UINT64_C(1) << (uint32_t)a->number;
    // Up-sets only: what is left is then the levels below one.
    if (words == 0 || words == all ||
        words != (all & ~((UINT64_C(1) << __builtin_ctzll(words)) - 1)))
        return false;
    uint32_t from = (uint32_t)__builtin_ctzll(words);
    say_text(out, p, s->name);
    buf_cstr(out, from == 1 ? " == " : " < ");
    say_text(out, p, w[from == 1 ? 0 : from]);
    return true;
}

static void guard_at(const struct policy_image *p, const struct image_node *n, bool inner,
                     struct buf *out)
{
    const struct image_atom *atoms = IMAGE_AT(p, p->atoms, struct image_atom);
    bool many = n->kind == IMAGE_NODE_AND || n->kind == IMAGE_NODE_OR;
    switch (n->kind) {
    case IMAGE_NODE_TRUE:
        BUF_LIT(out, "true");
        return;
    case IMAGE_NODE_ATOM:
        say_text(out, p, atoms[n->arg].shown);
        return;
    case IMAGE_NODE_NOT:
        if (n[1].kind == IMAGE_NODE_ATOM && opposite(p, &atoms[n[1].arg], out))
            return;
        BUF_LIT(out, "not ");
        // `not a > 1` reads as if `not` bound tighter.
        if (n[1].kind == IMAGE_NODE_ATOM && atoms[n[1].arg].op != IMAGE_OP_TRUE) {
            BUF_LIT(out, "(");
            say_text(out, p, atoms[n[1].arg].shown);
            BUF_LIT(out, ")");
        } else {
            guard_at(p, n + 1, true, out);
        }
        return;
    case IMAGE_NODE_AND:
    case IMAGE_NODE_OR:
        break;
    }
    if (many && inner)
        buf_byte(out, '(');
    const struct image_node *child = n + 1;
    for (uint32_t i = 0; i < n->arg; i++, child += child->size) {
        if (i > 0)
            buf_cstr(out, n->kind == IMAGE_NODE_AND ? " and " : " or ");
        guard_at(p, child, true, out);
    }
    if (many && inner)
        buf_byte(out, ')');
}

void explain_guard(const struct policy_image *p, struct image_list guard, struct buf *out)
{
    guard_at(p, IMAGE_AT(p, guard, struct image_node), false, out);
}

void explain_route(const struct policy_image *p, int32_t route, struct buf *out)
{
    const struct image_route *r = image_route(p, route);
    const struct image_chain *chains = image_chains(p, r);
    const struct image_step *s = IMAGE_AT(p, chains->steps, struct image_step);
    if (r->is_otherwise) {
        BUF_LIT(out, "everything else is ");
    } else {
        BUF_LIT(out, "when ");
        explain_guard(p, r->guard, out);
        BUF_LIT(out, ", it is ");
    }
    say_chain(p, chains, out);
    if (chains->steps.count == 1 && s->kind == IMAGE_STEP_ANSWER && s->bindings.count > 1)
        buf_cstr(out, r->objective == IMAGE_OBJECTIVE_COST      ? ", the cheapest that can"
                      : r->objective == IMAGE_OBJECTIVE_QUALITY ? ", the best that can"
                      : r->objective == IMAGE_OBJECTIVE_ENERGY ? ", the one that needs least energy"
                                                               : ", the first that can");
    if (r->quality_min > 0)
        buf_printf(out, ", quality at least %.3g", (double)r->quality_min);
    if (r->cost_max_nusd >= 0) {
        BUF_LIT(out, ", for at most ");
        say_usd(out, r->cost_max_nusd);
        BUF_LIT(out, " USD");
    }
    for (uint32_t i = 1; i < r->chains.count; i++) {
        buf_cstr(out, chains[i - 1].steps.count == 1 ? "; if none can, it is "
                                                     : "; if that fails, it is ");
        say_chain(p, &chains[i], out);
    }
    if (r->risk >= 0)
        buf_printf(out, "; it goes on where the risk of being wrong is above %.6g",
                   (double)r->risk);
}

void say_pad(struct buf *out, struct slice name, size_t width)
{
    buf_add(out, name);
    for (size_t i = name.len; i < width; i++)
        buf_byte(out, ' ');
}

// Names of set bits, from `first` on.
static void bits(struct buf *out, uint32_t set, unsigned first, unsigned end,
                 const char *(*name)(unsigned))
{
    bool any = false;
    for (unsigned i = first; i < end; i++) {
        if (!(set >> i & 1))
            continue;
        buf_cstr(out, any ? ", " : "");
        buf_cstr(out, name(i));
        any = true;
    }
}

static const char *effort_name(unsigned i)
{
    return image_effort_name((enum image_effort)i);
}

static void model(const struct policy_image *p, const struct image_model *m, size_t width,
                  struct buf *out)
{
    const struct image_endpoint *e = IMAGE_AT(p, m->endpoints, struct image_endpoint);
    BUF_LIT(out, "  ");
    say_pad(out, image_text(p, m->name), width);
    say_text(out, p, m->upstream_name);
    BUF_LIT(out, " at ");
    if (slice_eq(image_text(p, e->url), SLICE("demo:")))
        BUF_LIT(out, "the demo pool");
    else
        say_text(out, p, e->url);
    say_endpoint(p, e, out);
    if (m->endpoints.count > 1)
        buf_printf(out, " and %u more", m->endpoints.count - 1);
    if (m->zone != IMAGE_NONE) {
        BUF_LIT(out, ", zone ");
        say_text(out, p, IMAGE_AT(p, p->zones, struct image_zone)[m->zone].name);
    }
    if (m->key_source) {
        buf_cstr(out, m->key_source == IMAGE_KEY_ENV ? ", key from the variable "
                                                     : ", key from the file ");
        say_text(out, p, m->key_name);
    }
    buf_printf(out, "\n  %*s", (int)width, "");
    BUF_LIT(out, "reads ");
    say_grouped(out, m->context_tok);
    BUF_LIT(out, " tokens, writes up to ");
    say_grouped(out, m->output_tok);
    if (m->can) {
        BUF_LIT(out, "; can do ");
        bits(out, m->can, 0, WORK_NEED_COUNT_, work_need_name);
    }
    if (m->efforts >> IMAGE_EFFORT_OFF) {
        BUF_LIT(out, "; efforts ");
        bits(out, m->efforts, IMAGE_EFFORT_OFF, IMAGE_EFFORT_COUNT_, effort_name);
        say_knob(p, m, out);
    }
    buf_printf(out, "\n  %*s", (int)width, "");
    say_price(p, m, out);
    if (m->timeout_ms) {
        BUF_LIT(out, "; at most ");
        say_amount(out, IMAGE_UNIT_MS, m->timeout_ms);
    }
    if (m->quality >= 0)
        buf_printf(out, "; quality %.3g", (double)m->quality);
    buf_byte(out, '\n');
}

static void aliases(const struct policy_image *p, size_t width, struct buf *out)
{
    const struct image_alias *a = IMAGE_AT(p, p->aliases, struct image_alias);
    if (p->aliases.count)
        BUF_LIT(out, "\nNames that clients may ask for, besides those of the models\n");
    for (uint32_t i = 0; i < p->aliases.count; i++) {
        BUF_LIT(out, "  ");
        say_pad(out, image_text(p, a[i].name), width);
        if (a[i].target == IMAGE_TARGET_ROUTES) {
            BUF_LIT(out, "the routes decide");
        } else if (a[i].target == IMAGE_TARGET_ROUTE) {
            BUF_LIT(out, "route ");
            say_text(out, p, image_route(p, a[i].index)->name);
        } else {
            BUF_LIT(out, "model ");
            say_text(out, p, image_model(p, a[i].index)->name);
        }
        buf_byte(out, '\n');
    }
    const struct image_pass *pass = IMAGE_AT(p, p->passes, struct image_pass);
    for (uint32_t i = 0; i < p->passes.count; i++) {
        BUF_LIT(out, "  ");
        say_text(out, p, pass[i].path);
        BUF_LIT(out, " is passed to ");
        say_text(out, p, image_model(p, pass[i].model)->name);
        say_pass_most(&pass[i], out);
        buf_byte(out, '\n');
    }
}

void say_family(const struct policy_image *p, const struct image_signal *s, struct buf *out)
{
    const struct image_arg *a = IMAGE_AT(p, s->args, struct image_arg);
    enum { SHOWN = 4 };
    say_text(out, p, s->family);
    for (uint32_t i = 0; i < s->args.count && i < SHOWN; i++) {
        buf_cstr(out, i == 0 ? "(" : ", ");
        struct image_str label = a[i].name.len ? a[i].name : a[i].tag;
        if (label.len && (a[i].name.len || i == 0 ||
                          !slice_eq(image_text(p, a[i - 1].tag), image_text(p, label)))) {
            say_text(out, p, label);
            buf_byte(out, ' ');
        }
        if (a[i].kind == IMAGE_ARG_NUMBER)
            buf_printf(out, "%.15g", a[i].number);
        else
            buf_printf(out, a[i].kind == IMAGE_ARG_STRING ? "\"%.*s\"" : "%.*s",
                       SLICE_FMT(image_text(p, a[i].text)));
    }
    if (s->args.count > SHOWN)
        buf_printf(out, ", %u more", s->args.count - SHOWN);
    buf_cstr(out, s->args.count ? ")" : "");
}

static void signal_line(const struct policy_image *p, const struct image_signal *s, size_t width,
                        struct buf *out)
{
    BUF_LIT(out, "  ");
    say_pad(out, image_text(p, s->name), width);
    if (s->derive) {
        say_derived(p, s, out);
        buf_byte(out, '\n');
        return;
    }
    say_family(p, s, out);
    if (s->has_threshold)
        buf_printf(out, " %s %.15g", s->threshold_above ? "above" : "below", s->threshold);
    static const char *const kinds[] = {"true or false", "a number", "one of ", "a text",
                                        "a set of texts"};
    buf_printf(out, ": %s", kinds[s->type]);
    const struct image_str *w = IMAGE_AT(p, s->words, struct image_str);
    for (uint32_t i = 0; s->type == SIGNAL_ENUM && i < s->words.count; i++) {
        buf_cstr(out, i ? ", " : "");
        say_text(out, p, w[i]);
    }
    buf_byte(out, '\n');
}

static size_t widest(const struct policy_image *p)
{
    enum { WIDTH_MAX = 24 };
    size_t width = 0;
    for (uint32_t i = 0; i < p->models.count; i++)
        width = image_model(p, (int32_t)i)->name.len > width ? image_model(p, (int32_t)i)->name.len
                                                             : width;
    for (uint32_t i = 0; i < p->signals.count; i++)
        width = image_signal(p, (int32_t)i)->name.len > width
                    ? image_signal(p, (int32_t)i)->name.len
                    : width;
    for (uint32_t i = 0; i < p->routes.count; i++)
        width = image_route(p, (int32_t)i)->name.len > width ? image_route(p, (int32_t)i)->name.len
                                                             : width;
    return (width < WIDTH_MAX ? width : WIDTH_MAX) + 2;
}

void explain_policy(const struct policy_image *p, struct buf *out)
{
    char digest[16];
    size_t width = widest(p);
    sha256_hex(p->digest, 8, digest);
    BUF_LIT(out, "Policy \"");
    say_text(out, p, p->name);
    buf_printf(out, "\", version %u, digest %.16s\n", p->policy_version, digest);
    say_lattices(p, width, out);
    say_places(p, width, out);
    buf_cstr(out, p->models.count ? "\nModels\n" : "");
    for (uint32_t i = 0; i < p->models.count; i++)
        model(p, image_model(p, (int32_t)i), width, out);
    aliases(p, width, out);
    buf_cstr(out, p->signals.count ? "\nSignals, computed only when a route needs them\n" : "");
    for (uint32_t i = 0; i < p->signals.count; i++)
        if (!image_signal(p, (int32_t)i)->hidden)
            signal_line(p, image_signal(p, (int32_t)i), width, out);
    BUF_LIT(out, "\nRoutes: the first whose condition holds decides about a request\n");
    for (uint32_t i = 0; i < p->routes.count; i++) {
        BUF_LIT(out, "  ");
        say_pad(out, image_text(p, image_route(p, (int32_t)i)->name), width);
        explain_route(p, (int32_t)i, out);
        buf_byte(out, '\n');
    }
    BUF_LIT(out, "Models that lack what a request needs (tools, images, a schema, room for its "
                 "tokens) are never "
                 "chosen.\n");
    say_dispatch(p, out);
    say_rules(p, out);
}

void say_json_string(struct buf *out, struct slice s)
{
    buf_byte(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\')
            buf_byte(out, '\\');
        if (c < 32)
            buf_printf(out, "\\u%04x", c);
        else
            buf_byte(out, (char)c);
    }
    buf_byte(out, '"');
}

static void json_model(const struct policy_image *p, const struct image_model *m, struct buf *out)
{
    const struct image_endpoint *e = IMAGE_AT(p, m->endpoints, struct image_endpoint);
    BUF_LIT(out, "{\"name\": ");
    say_json_string(out, image_text(p, m->name));
    BUF_LIT(out, ", \"upstream_name\": ");
    say_json_string(out, image_text(p, m->upstream_name));
    BUF_LIT(out, ", \"zone\": ");
    if (m->zone == IMAGE_NONE)
        BUF_LIT(out, "null");
    else
        say_json_string(out, image_text(p, IMAGE_AT(p, p->zones, struct image_zone)[m->zone].name));
    BUF_LIT(out, ", \"endpoints\": [");
    for (uint32_t i = 0; i < m->endpoints.count; i++) {
        buf_cstr(out, i ? ", " : "");
        say_json_string(out, image_text(p, e[i].url));
    }
    BUF_LIT(out, "], \"places\": [");
    for (uint32_t i = 0; i < m->endpoints.count; i++) {
        buf_cstr(out, i ? ", " : "");
        say_endpoint_json(p, &e[i], out);
    }
    buf_printf(out, "], \"context_tok\": %u, \"output_tok\": %u", m->context_tok, m->output_tok);
    say_price_json(p, m, out);
    if (m->quality >= 0)
        buf_printf(out, ", \"quality\": %.6g", (double)m->quality);
    buf_byte(out, '}');
}

void explain_policy_json(const struct policy_image *p, struct buf *out)
{
    char digest[64];
    struct buf sentence;
    sha256_hex(p->digest, 32, digest);
    BUF_LIT(out, "{\"name\": ");
    say_json_string(out, image_text(p, p->name));
    buf_printf(out, ", \"version\": %u, \"digest\": \"%.64s\",\n \"models\": [", p->policy_version,
               digest);
    for (uint32_t i = 0; i < p->models.count; i++) {
        buf_cstr(out, i ? ",\n  " : "");
        json_model(p, image_model(p, (int32_t)i), out);
    }
    BUF_LIT(out, "],\n \"signals\": [");
    for (uint32_t i = 0; i < p->signals.count; i++) {
        const struct image_signal *s = image_signal(p, (int32_t)i);
        buf_cstr(out, i ? ",\n  {\"name\": " : "{\"name\": ");
        say_json_string(out, image_text(p, s->name));
        BUF_LIT(out, ", \"family\": ");
        say_json_string(out, image_text(p, s->family));
        buf_printf(out, ", \"type\": \"%s\"}", image_type_name(s->type));
    }
    BUF_LIT(out, "],\n \"routes\": [");
    for (uint32_t i = 0; i < p->routes.count; i++) {
        const struct image_route *r = image_route(p, (int32_t)i);
        buf_cstr(out, i ? ",\n  {\"name\": " : "{\"name\": ");
        say_json_string(out, image_text(p, r->name));
        buf_printf(out, ", \"line\": %u, \"sentence\": ", r->line);
        buf_init(&sentence, IMAGE_BYTES_MAX);
        explain_route(p, (int32_t)i, &sentence);
        say_json_string(out, buf_slice(&sentence));
        if (buf_result(&sentence) && !out->err)
            out->err = buf_result(&sentence);
        buf_deinit(&sentence);
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
    say_dispatch_json(p, out);
    say_rules_json(p, out);
    BUF_LIT(out, "}\n");
}
