#include "proof/smtlib.h"

#include <string.h>

#include "base/alloc.h"
#include "proof/smtlib_inner.h"

const char *smtlib_ask_name(enum smtlib_ask ask)
{
    static const char *const names[] = {"vacuous",    "shadowed", "redundant",  "overlap",
                                        "infeasible", "flow",     "obligation", "claim"};
    return (unsigned)ask < SMTLIB_ASK_COUNT_ ? names[ask] : "claim";
}

static struct slice route_name(const struct smtlib *s, int32_t i)
{
    return image_text(s->p, image_route(s->p, i)->name);
}

void smtlib_comment(struct smtlib *s, struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        buf_byte(s->out, (unsigned char)text.ptr[i] < ' ' ? ' ' : text.ptr[i]);
}

void smtlib_ask(struct smtlib *s, const struct smtlib_question *q, struct slice a, struct slice b)
{
    static const char *const words[] = {"unsat", "sat", NULL};
    const struct smtlib_options *o = s->options;
    enum sat_answer answer = o && o->answer ? o->answer(o->ctx, q) : SAT_UNKNOWN;
    buf_printf(s->out, "\n; question %s ", smtlib_ask_name(q->ask));
    smtlib_comment(s, a);
    if (b.len) {
        BUF_LIT(s->out, " : ");
        smtlib_comment(s, b);
    }
    if (words[answer])
        buf_printf(s->out, "\n; expect %s", words[answer]);
    BUF_LIT(s->out, "\n(push 1)\n");
}

void smtlib_asked(struct smtlib *s)
{
    BUF_LIT(s->out, "(check-sat)\n(pop 1)\n");
}

// ---- routes

static bool same_steps(const struct policy_image *p, const struct image_step *a,
                       const struct image_step *b)
{
    const struct image_binding *x = IMAGE_AT(p, a->bindings, struct image_binding),
                               *y = IMAGE_AT(p, b->bindings, struct image_binding);
    if (a->kind != b->kind || a->escalated != b->escalated || a->sink != b->sink ||
        a->retries != b->retries || a->cap_tok != b->cap_tok || a->hedges != b->hedges ||
        a->count != b->count || a->lattice != b->lattice || a->level != b->level ||
        a->bindings.count != b->bindings.count ||
        !slice_eq(image_text(p, a->text), image_text(p, b->text)))
        return false;
    for (uint32_t i = 0; i < a->bindings.count; i++)
        if (x[i].model != y[i].model || x[i].effort != y[i].effort)
            return false;
    return true;
}

// Whether two routes do the same with a request.
bool smtlib_same_effect(const struct policy_image *p, int32_t route, int32_t other)
{
    const struct image_route *a = image_route(p, route), *b = image_route(p, other);
    const struct image_chain *x = image_chains(p, a), *y = image_chains(p, b);
    if (a->objective != b->objective || a->quality_min != b->quality_min ||
        a->cost_max_nusd != b->cost_max_nusd || a->risk != b->risk ||
        a->chains.count != b->chains.count)
        return false;
    for (uint32_t c = 0; c < a->chains.count; c++) {
        const struct image_step *m = IMAGE_AT(p, x[c].steps, struct image_step),
                                *n = IMAGE_AT(p, y[c].steps, struct image_step);
        if (x[c].steps.count != y[c].steps.count)
            return false;
        for (uint32_t i = 0; i < x[c].steps.count; i++)
            if (!same_steps(p, &m[i], &n[i]))
                return false;
    }
    return true;
}

static enum result effects_open(struct smtlib *s)
{
    s->effect = alloc_zeroed(s->p->routes.count + 1, sizeof *s->effect);
    if (!s->effect)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < s->p->routes.count; i++) {
        uint32_t k = 0;
        while (k < i && !smtlib_same_effect(s->p, (int32_t)k, (int32_t)i))
            k++;
        s->effect[i] = k;
    }
    return RESULT_OK;
}

static void number_define(struct smtlib *s, const char *what, uint32_t i, const char *sort)
{
    buf_printf(s->out, "(define-fun |%s %u| () %s ", what, i, sort);
}

static void define_routes(struct smtlib *s)
{
    uint32_t n = s->p->routes.count;
    BUF_LIT(s->out, "\n; ---- routes: |route| its own guard, |takes| the first that holds\n");
    for (uint32_t i = 0; i < n; i++) {
        const struct image_route *r = image_route(s->p, (int32_t)i);
        BUF_LIT(s->out, "(define-fun ");
        smtlib_symbol(s, "route", image_text(s->p, r->name));
        BUF_LIT(s->out, " () Bool ");
        smtlib_guard(s, r->guard);
        BUF_LIT(s->out, ")\n");
    }
    BUF_LIT(s->out, "(define-fun |past 0| () Bool true)\n");
    for (uint32_t i = 0; i < n; i++) {
        BUF_LIT(s->out, "(define-fun ");
        smtlib_symbol(s, "takes", route_name(s, (int32_t)i));
        buf_printf(s->out, " () Bool (and |past %u| ", i);
        smtlib_symbol(s, "route", route_name(s, (int32_t)i));
        BUF_LIT(s->out, "))\n");
        number_define(s, "past", i + 1, "Bool");
        buf_printf(s->out, "(and |past %u| (not ", i);
        smtlib_symbol(s, "route", route_name(s, (int32_t)i));
        BUF_LIT(s->out, ")))\n");
    }
    // What is done when only the routes from `i` on are asked; routes that do the same have one number.
    number_define(s, "effect from", n, "Int");
    BUF_LIT(s->out, "(- 1))\n");
    for (uint32_t i = n; i-- > 0;) {
        number_define(s, "effect from", i, "Int");
        BUF_LIT(s->out, "(ite ");
        smtlib_symbol(s, "route", route_name(s, (int32_t)i));
        buf_printf(s->out, " %u |effect from %u|))\n", s->effect[i], i + 1);
    }
}

static void assert_route(struct smtlib *s, const char *kind, int32_t i)
{
    BUF_LIT(s->out, "(assert |all computed|)\n(assert ");
    smtlib_symbol(s, kind, route_name(s, i));
    BUF_LIT(s->out, ")\n");
}

static void ask_routes(struct smtlib *s)
{
    int32_t n = (int32_t)s->p->routes.count;
    for (int32_t i = 0; i < n; i++) {
        smtlib_ask(s, &(struct smtlib_question){SMTLIB_VACUOUS, i, IMAGE_NONE}, route_name(s, i),
                   SLICE_EMPTY);
        assert_route(s, "route", i);
        smtlib_asked(s);
        smtlib_ask(s, &(struct smtlib_question){SMTLIB_SHADOWED, i, IMAGE_NONE}, route_name(s, i),
                   SLICE_EMPTY);
        assert_route(s, "takes", i);
        smtlib_asked(s);
        if (i + 1 == n)
            break;
        smtlib_ask(s, &(struct smtlib_question){SMTLIB_REDUNDANT, i, IMAGE_NONE}, route_name(s, i),
                   SLICE_EMPTY);
        assert_route(s, "takes", i);
        buf_printf(s->out, "(assert (distinct %u |effect from %d|))\n", s->effect[i], i + 1);
        smtlib_asked(s);
    }
}

// All pairs but those with `otherwise`, which overlaps with every route.
static void ask_overlaps(struct smtlib *s)
{
    int32_t n = (int32_t)s->p->routes.count;
    uint32_t asked = 0;
    for (int32_t a = 0; a + 1 < n; a++)
        for (int32_t b = a + 1; b + 1 < n; b++) {
            if (s->effect[a] == s->effect[b])
                continue;
            if (asked++ == SMTLIB_PAIRS_MAX) {
                buf_printf(s->out, "\n; overlaps beyond %d pairs are not asked\n",
                           SMTLIB_PAIRS_MAX);
                return;
            }
            smtlib_ask(s, &(struct smtlib_question){SMTLIB_OVERLAP, a, b}, route_name(s, a),
                       route_name(s, b));
            assert_route(s, "route", a);
            BUF_LIT(s->out, "(assert ");
            smtlib_symbol(s, "route", route_name(s, b));
            BUF_LIT(s->out, ")\n");
            smtlib_asked(s);
        }
}

static void head(struct smtlib *s)
{
    const struct policy_image *p = s->p;
    BUF_LIT(s->out, "; Policy \"");
    smtlib_comment(s, image_text(p, p->name));
    buf_printf(s->out, "\" version %u, digest ", p->policy_version);
    for (unsigned i = 0; i < IMAGE_DIGEST_BYTES; i++)
        buf_printf(s->out, "%02x", p->digest[i]);
    BUF_LIT(s->out,
            "\n; Questions stand between push and pop; `expect` is what Merit answers. Every "
            "question about\n"
            "; something forbidden asks for a request that does it, so that unsat is the proof.\n"
            "(set-logic ALL)\n");
}

static uint32_t efforts_of(const struct policy_image *p)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->models.count; i++)
        n += (image_model(p, (int32_t)i)->efforts & ~(1u << IMAGE_EFFORT_DEFAULT)) != 0;
    return n;
}

// What the script says nothing about, by name, so that nobody takes an answer for one about it.
static void left_out(struct smtlib *s)
{
    const struct policy_image *p = s->p;
    const struct image_constraint *c = IMAGE_AT(p, p->constraints, struct image_constraint);
    const struct image_pass *pass = IMAGE_AT(p, p->passes, struct image_pass);
    struct buf *out = s->out;
    BUF_LIT(out, "\n; ---- not modelled\n");
    for (uint32_t i = 0; i < p->constraints.count; i++) {
        if (c[i].kind != IMAGE_BUDGET || (c[i].hard && c[i].window == IMAGE_PER_REQUEST))
            continue;
        BUF_LIT(out, "; not modelled: \"");
        smtlib_comment(s, image_text(p, c[i].name));
        buf_cstr(out,
                 c[i].window == IMAGE_PER_REQUEST
                     ? "\": it is paced and takes no path away\n"
                     : "\": what is left of it is the ledger's, not the request's; a path may be "
                       "refused that is feasible here\n");
    }
    for (uint32_t i = 0; i < p->passes.count; i++) {
        BUF_LIT(out, "; not modelled: what budgets make of the passed path ");
        smtlib_comment(s, image_text(p, pass[i].path));
        BUF_LIT(out, "; it is here as a place that sees bytes of any label\n");
    }
    BUF_LIT(out,
            "; not modelled: prices, energy and carbon of models and zones beyond the constants of "
            "their "
            "bounds; what a request takes is no\n"
            ";   variable here, and curves, the batch and the hour are not known before it runs\n");
    if (p->endpoints.count)
        buf_printf(
            out,
            "; not modelled: weight, slots, rates, lengths, meters, region, maintenance and health "
            "of endpoints (%u); whether a place\n"
            ";   is up or busy is the moment's, and a path counts as feasible without it\n",
            p->endpoints.count);
    buf_printf(out, "; not modelled: %s; it orders what is feasible and takes nothing away\n",
               p->dispatch.line ? "the statement `dispatch`" : "dispatch by its defaults");
    if (efforts_of(p))
        buf_printf(
            out,
            "; not modelled: how %u models are told their efforts, and efforts that clients ask "
            "for; bindings with an effort that is\n"
            ";   forbidden are taken away here, too\n",
            efforts_of(p));
}

enum result smtlib_write(const struct policy_image *image, const struct smtlib_options *options,
                         struct buf *out)
{
    struct smtlib s = {.p = image, .options = options, .out = out};
    arena_init(&s.arena, 0, SMTLIB_BYTES_MAX);
    enum result r = smtlib_signals_open(&s);
    if (!r)
        r = effects_open(&s);
    if (!r)
        r = ways_open(image, &s.arena, &s.ways);
    if (!r) {
        head(&s);
        left_out(&s);
        smtlib_signals(&s);
        define_routes(&s);
        smtlib_paths(&s);
        ask_routes(&s);
        ask_overlaps(&s);
        smtlib_ask_paths(&s);
        smtlib_ask_claims(&s);
        r = s.err ? s.err : buf_result(out);
    }
    smtlib_signals_close(&s);
    arena_deinit(&s.arena);
    return r;
}
