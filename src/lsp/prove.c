#include "lsp/prove.h"

#include "proof/check.h"
#include "proof/theorem.h"
#include "route/costs.h"

static void route_name(const struct policy_image *p, int32_t route, struct buf *out)
{
    buf_byte(out, '`');
    buf_add(out, image_text(p, image_route(p, route)->name));
    buf_byte(out, '`');
}

static void names(const struct policy_image *p, const char *before, const int32_t *routes,
                  uint32_t count, uint32_t more, const char *behind, struct buf *out)
{
    if (count == 0)
        return;
    buf_cstr(out, before);
    for (uint32_t i = 0; i < count; i++) {
        buf_cstr(out, i ? ", " : "");
        route_name(p, routes[i], out);
    }
    if (more)
        buf_printf(out, " and %u more", more);
    buf_cstr(out, behind);
}

// Who is before whom, and what of it.
static void order(const struct policy_image *p, const struct order_report *o, uint32_t i,
                  struct buf *out)
{
    const struct order_route *r = &o->routes[i];
    int32_t hides[8];
    uint32_t hidden = 0, count = 0;
    if (r->status == ORDER_SHADOWED)
        names(p, "Never taken: ", r->cover, r->cover_count, 0, " before it take all of it. ", out);
    else if (r->status == ORDER_VACUOUS)
        BUF_LIT(out, "Never taken: its guard never holds. ");
    else if (r->effect == ORDER_REDUNDANT)
        BUF_LIT(out, "Without it every request would end the same. ");
    names(p, "Overlaps with ", r->overlap, r->shown, r->overlaps - r->shown,
          " before it, with another outcome. ", out);
    for (uint32_t k = i + 1; k < p->routes.count; k++)
        for (uint32_t n = 0; n < o->routes[k].cover_count; n++)
            if (o->routes[k].cover[n] == (int32_t)i) {
                if (count < MERIT_COUNT(hides))
                    hides[count++] = (int32_t)k;
                hidden++;
            }
    names(p, "Takes what ", hides, count, hidden - count, " would have taken. ", out);
}

static void nanoseconds(double ns, struct buf *out)
{
    if (ns < 1e3)
        buf_printf(out, "%.0f ns", ns);
    else if (ns < 1e6)
        buf_printf(out, "%.1f us", ns / 1e3);
    else
        buf_printf(out, "%.1f ms", ns / 1e6);
}

static void route_text(const struct policy_image *p, const struct proof_report *report, uint32_t i,
                       struct buf *out)
{
    static const enum image_unit units[] = {IMAGE_UNIT_NUSD, IMAGE_UNIT_UJ,  IMAGE_UNIT_UG,
                                            IMAGE_UNIT_MS,   IMAGE_UNIT_TOK, IMAGE_UNIT_CALLS};
    const struct proof_route *r = &report->routes[i];
    order(p, &report->order, i, out);
    buf_printf(out, "Share of all requests, every signal value weighing the same: %s%.2f %%. ",
               r->share_exact ? "" : "about ", r->share * 100);
    BUF_LIT(out, "One request costs at most ");
    for (size_t u = 0; u < MERIT_COUNT(units); u++) {
        // Most policies say nothing of carbon.
        if (units[u] == IMAGE_UNIT_UG && r->bound.unit[units[u]].open)
            continue;
        buf_cstr(out, u ? ", " : "");
        proof_write_amount(p, units[u], &r->bound.unit[units[u]], out);
    }
    BUF_LIT(out, ". Signals: ");
    nanoseconds(r->signals_ns, out);
    BUF_LIT(out, " expected, ");
    nanoseconds((double)r->signals_worst_ns, out);
    BUF_LIT(out, " at most.");
}

static enum result keep_routes(struct lsp_check *c, const struct policy_image *p,
                               const struct proof_report *report)
{
    struct slice *routes = ARENA_ARRAY(&c->arena, struct slice, p->routes.count + 1);
    struct buf text;
    enum result r = routes ? RESULT_OK : RESULT_NOMEM;
    buf_init(&text, 64 * 1024);
    for (uint32_t i = 0; i < p->routes.count && !r; i++) {
        buf_reset(&text);
        route_text(p, report, i, &text);
        routes[i] = arena_copy(&c->arena, buf_slice(&text));
        if (buf_result(&text) || !routes[i].ptr)
            r = RESULT_NOMEM;
    }
    buf_deinit(&text);
    c->routes = r ? NULL : routes;
    return r;
}

static void answer(const struct image_theorem *t, const struct theorem_answer *a,
                   struct diag_list *diags)
{
    struct span span = {t->begin, t->end};
    if (a->verdict == THEOREM_REFUTED) {
        struct diag *d = diag_add(diags, DIAG_ERROR, "test", span, "this test does not hold: %.*s",
                                  SLICE_FMT(a->why));
        diag_witness(diags, d, a->witness);
    } else if (a->verdict == THEOREM_NOT_PROVED) {
        diag_add(diags, DIAG_ERROR, "not-proved", span, "this test is not proved: %.*s",
                 SLICE_FMT(a->why));
    } else if (a->verdict == THEOREM_EMPTY) {
        diag_add(diags, DIAG_WARNING, "vacuous", span,
                 "this test speaks of no request: none is as its `given` says");
    }
}

// Tests in the file; `prove` statements are part of the check. Those with a text or a corpus need signals, which nobody has
// made ready here: `merit policy test` answers them.
static enum result tests(struct lsp_check *c, const struct policy_image *image, struct arena *run,
                         struct diag_list *diags)
{
    const struct image_theorem *t = IMAGE_AT(image, image->theorems, struct image_theorem);
    struct theorem_prover prover;
    uint32_t asked = 0;
    for (uint32_t i = 0; i < image->theorems.count; i++)
        asked += t[i].is_test && !t[i].user.len && !t[i].corpus.len;
    if (asked == 0)
        return RESULT_OK;
    enum result r = theorem_open(&prover, image, c->registry, NULL, run);
    if (r)
        return r == RESULT_NOMEM ? r : RESULT_OK; // too large: the check has said so
    asked = 0;
    for (uint32_t i = 0; i < image->theorems.count && !r && asked < LSP_TESTS_MAX; i++) {
        struct theorem_answer a;
        if (!t[i].is_test || t[i].user.len || t[i].corpus.len)
            continue;
        asked++;
        r = theorem_ask(&prover, i, NULL, &a);
        if (!r)
            answer(&t[i], &a, diags);
    }
    theorem_close(&prover);
    return r;
}

enum result lsp_prove(struct lsp_check *c, const struct policy_image *image,
                      const struct policy_places *places, struct arena *run,
                      struct diag_list *diags)
{
    struct route_costs costs;
    struct proof_report report;
    enum result r = route_costs_guess_families(image, c->registry, run, &costs);
    const struct proof_options options = {
        .places = places, .registry = c->registry, .costs = &costs, .report = true};
    if (!r)
        r = proof_check(image, &options, run, diags, &report);
    if (!r && report.routes && report.order.routes)
        r = keep_routes(c, image, &report);
    return r ? r : tests(c, image, run, diags);
}
