// Findings about the order of routes, as people read them, and what happens when a proof explodes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "policy/policy.h"
#include "proof/order.h"
#include "signal/registry.h"

#define MODELS                                                                                     \
    "policy \"t\" version 1\n"                                                                     \
    "model m endpoint demo context 8k tok output 1k tok\n"                                         \
    "model q endpoint demo context 8k tok output 1k tok\n"

struct checked {
    struct arena arena;
    struct diag_list diags;
    struct order_report report;
    struct buf shown;
};

static void check(struct checked *c, const char *policy, const struct sat_limits *limits)
{
    struct slice text = slice_cstr(policy);
    const struct tree *tree;
    const struct policy_image *image;
    const struct policy_places *places;
    struct space *s;
    arena_init(&c->arena, 1 << 16, 1 << 26);
    diag_init(&c->diags, &c->arena, 100);
    buf_init(&c->shown, 1 << 20);
    assert_int_equal(policy_parse(text, &c->arena, &c->diags, &tree), RESULT_OK);
    enum result r =
        policy_compile_places(tree, &signal_registry, &c->arena, &c->diags, &image, &places);
    if (r) {
        diag_render(&c->diags, text, SLICE("t.merit"), false, &c->shown);
        fail_msg("%.*s", SLICE_FMT(buf_slice(&c->shown)));
    }
    assert_int_equal(space_open(&image, 1, limits, &s), RESULT_OK);
    assert_int_equal(order_check(s, 0, &c->arena, &c->report), RESULT_OK);
    assert_int_equal(order_compare(s, 0, &c->arena, &c->report), RESULT_OK);
    const struct order_telling telling = {.places = places, .diags = &c->diags};
    order_tell(&c->report, &telling);
    order_tell_notes(&c->report, &telling);
    diag_render(&c->diags, text, SLICE("t.merit"), false, &c->shown);
    space_close(s);
}

static void done(struct checked *c)
{
    buf_deinit(&c->shown);
    arena_deinit(&c->arena);
}

static void says(const struct checked *c, const char *what)
{
    if (slice_find(buf_slice(&c->shown), slice_cstr(what)) < 0)
        fail_msg("not said: %s\n%.*s", what, SLICE_FMT(buf_slice(&c->shown)));
}

static void findings(void **state)
{
    (void)state;
    struct checked c;
    check(&c,
          MODELS "signal tier = metadata(\"tier\")\n"
                 "signal hard = complexity\n"
                 "signal attack = jailbreak above 0.8\n"
                 "signal mild = jailbreak above 0.4\n"
                 "signal n = structure(questions)\n"
                 "route none when hard > 0.8 and tier == \"pro\" and hard < 0.5 -> answer(m)\n"
                 "route a when attack -> refuse \"no\"\n"
                 "route b when mild and tier == \"pro\" -> answer(m)\n"
                 "route c when n > 3 or tier == \"free\" -> answer(q)\n"
                 "route d when n > 4 and tier != \"pro\" -> answer(m)\n"
                 "route e when attack and mild -> answer(m)\n"
                 "route f when n == 2 -> answer(q)\n"
                 "otherwise -> answer(q)\n",
          &space_limits_default);
    says(&c, "error[vacuous]: route `none` can never be taken: `hard > 0.8` and `hard < 0.5` "
             "exclude each other");
    says(&c,
         "error[shadowed]: route `d` can never be taken: `c` before it takes all that it wants");
    says(&c, "help: move it before `c`, narrow that one, or remove it");
    says(&c, "witness: {\"tier\": \"other\", \"attack\": false, \"n\": 5}");
    says(&c, "error[shadowed]: route `e` can never be taken: `a` before it takes");
    says(&c, "warning[redundant]: route `f` changes nothing");
    says(&c,
         "warning[idle-condition]: `mild` never decides route `e`: it holds wherever it is asked");
    says(&c, "note[overlap]: route `b` overlaps with `a` before it");
    says(&c, "note[share]: `otherwise` takes ");
    assert_int_equal(c.diags.errors, 3);
    done(&c);
}

static void several_cover(void **state)
{
    (void)state;
    struct checked c;
    check(&c,
          MODELS "signal n = structure(questions)\n"
                 "signal word = keywords(\"x\")\n"
                 "route low when n < 3 -> answer(m)\n"
                 "route mid when n == 3 -> answer(m)\n"
                 "route high when n >= 4 -> answer(m)\n"
                 "route never when word and n > 2 -> answer(q)\n"
                 "otherwise -> answer(q)\n",
          &space_limits_default);
    says(&c, "route `never` can never be taken: `mid` and `high` before it together take all");
    says(&c, "`otherwise` takes nothing: the routes before it take every request");
    assert_int_equal(c.report.routes[3].cover_count, 2);
    assert_true(c.report.routes[0].takes.exact);
    done(&c);
}

// Eleven pigeons in ten holes: no request is left to the last route, but no solver of this kind sees it.
static void a_proof_that_explodes(void **state)
{
    (void)state;
    enum { PIGEONS = 11 };
    static const struct sat_limits few = {3000, 20000000, 5000, 100000000, 1 << 26};
    struct buf text;
    struct checked c;
    buf_init(&text, 1 << 20);
    buf_cstr(&text, MODELS "signal last = keywords(\"last\")\n");
    for (int p = 0; p < PIGEONS; p++)
        for (int h = 0; h < PIGEONS - 1; h++)
            buf_printf(&text, "signal p%dx%d = keywords(\"w %d %d\")\n", p, h, p, h);
    for (int p = 0; p < PIGEONS; p++) {
        buf_printf(&text, "route none%d when not p%dx0", p, p);
        for (int h = 1; h < PIGEONS - 1; h++)
            buf_printf(&text, " and not p%dx%d", p, h);
        BUF_LIT(&text, " -> answer(m)\n");
    }
    for (int h = 0; h < PIGEONS - 1; h++)
        for (int p = 0; p < PIGEONS; p++)
            for (int q = 0; q < p; q++)
                buf_printf(&text, "route two%dx%dx%d when p%dx%d and p%dx%d -> answer(m)\n", h, p,
                           q, p, h, q, h);
    BUF_LIT(&text, "route end when last -> answer(m)\notherwise -> answer(q)\n");
    buf_byte(&text, '\0');
    check(&c, text.ptr, &few);
    says(&c, "error[not-proved]: it is not proved that some request takes route `two");
    says(&c, "given up after 5000 conflicts and ");
    says(&c, "or write `assume not-proved two");
    assert_int_equal(c.report.routes[c.report.image->routes.count - 2].status, ORDER_OPEN);
    assert_true(c.report.decided < c.report.questions);
    assert_true(c.report.effort.conflicts <= 5000);
    done(&c);
    buf_deinit(&text);
}

// Whoever wants to turn findings into something else is asked for each.
static struct diag *soften(void *ctx, enum diag_severity severity, const char *code,
                           struct slice name, struct span span, const char *text)
{
    struct checked *c = ctx;
    assert_true(severity != DIAG_ERROR || slice_eq_cstr(name, "never"));
    return diag_add(&c->diags, DIAG_NOTE, code, span, "%s; assumed", text);
}

static void findings_can_be_softened(void **state)
{
    (void)state;
    struct checked c;
    check(&c,
          MODELS "signal word = keywords(\"x\")\n"
                 "route first when word -> answer(m)\n"
                 "route never when word -> answer(q)\n"
                 "otherwise -> answer(q)\n",
          &space_limits_default);
    assert_int_equal(c.diags.errors, 1);
    const struct order_telling telling = {.diags = &c.diags, .finding = soften, .ctx = &c};
    order_tell(&c.report, &telling);
    assert_int_equal(c.diags.errors, 1);
    done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(findings),
        cmocka_unit_test(several_cover),
        cmocka_unit_test(a_proof_that_explodes),
        cmocka_unit_test(findings_can_be_softened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
