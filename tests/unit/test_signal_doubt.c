// signal/doubt: thresholds inside a calibration error, and examples that one text can be like both of.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "signal/doubt.h"
#include "signal/registry.h"

static const double degree = 3.14159265358979323846 / 180;

// An encoder of a flat world: the text "30" has the vector at 30 degrees.
static void answer(void *ctx, struct trunk_ask *asks, struct arena *arena)
{
    (void)ctx;
    for (struct trunk_ask *a = asks; a; a = a->next) {
        struct trunk_window *w = ARENA_ARRAY(arena, struct trunk_window, a->count);
        float *v = ARENA_ARRAY(arena, float, a->count * 2);
        assert_true(w && v);
        for (uint32_t i = 0; i < a->count; i++) {
            char text[16];
            snprintf(text, sizeof text, "%.*s", SLICE_FMT(a->texts[i]));
            double angle = atof(text) * degree;
            v[2 * i] = (float)cos(angle);
            v[2 * i + 1] = (float)sin(angle);
            w[i] = (struct trunk_window){i, 0, (uint32_t)a->texts[i].len, &v[2 * i]};
        }
        a->answer = (struct trunk_answer){.windows = w, .window_count = a->count};
        a->answered = true;
    }
}

static const struct trunk_service flat = {.dim = {2}, .answer = answer};

struct rig {
    struct arena arena;
    struct diag_list diags;
    struct plan *plan;
    const struct policy_places *places;
    char text[2048];
};

static void check(struct rig *r, const struct trunk_service *trunk, const char *body)
{
    const struct tree *tree;
    const struct policy_image *image;
    memset(r, 0, sizeof *r);
    snprintf(r->text, sizeof r->text,
             "policy \"p\" version 1\nmodel m endpoint demo context 8k tok\n%s\notherwise -> "
             "answer(m)\n",
             body);
    arena_init(&r->arena, 16384, 64 * 1024 * 1024);
    diag_init(&r->diags, &r->arena, 50);
    assert_int_equal(policy_parse(slice_cstr(r->text), &r->arena, &r->diags, &tree), RESULT_OK);
    assert_int_equal(
        policy_compile_places(tree, &signal_registry, &r->arena, &r->diags, &image, &r->places),
        RESULT_OK);
    uint32_t before = r->diags.count;
    assert_int_equal(plan_open(image, &signal_registry, trunk, SLICE_EMPTY, &r->diags, &r->plan),
                     RESULT_OK);
    assert_int_equal(plan_doubts(r->plan, r->places, &r->diags), RESULT_OK);
    // What the compiler had to say is not looked at here.
    r->diags.items += before;
    r->diags.count -= before;
}

static void done(struct rig *r)
{
    plan_close(r->plan);
    arena_deinit(&r->arena);
}

static bool says(const struct rig *r, const char *code, const char *part)
{
    for (uint32_t i = 0; i < r->diags.count; i++)
        if (!strcmp(r->diags.items[i].code, code) &&
            slice_find(r->diags.items[i].message, slice_cstr(part)) >= 0)
            return true;
    return false;
}

static void cuts_inside_the_error(void **state)
{
    (void)state;
    struct rig r;
    // The built-in head's first tier tells its error as .0315.
    check(&r, NULL,
          "signal hard = complexity\n"
          "route a when hard < 0.3 -> answer(m)\nroute b when hard < 0.31 -> answer(m)\n"
          "route c when hard > 0.99 -> answer(m)\n");
    assert_int_equal(r.diags.count, 2);
    assert_true(says(&r, "threshold-in-doubt", "cut at 0.3 and at 0.31"));
    assert_true(says(&r, "threshold-in-doubt", "cut at 0.99"));
    done(&r);
    check(&r, NULL,
          "signal hard = complexity\nsignal attack = jailbreak above 0.7\nsignal n = "
          "structure(questions)\n"
          "route a when hard < 0.3 or attack -> answer(m)\n"
          "route b when hard < 0.6 or n > 3 or n > 4 -> answer(m)\n");
    assert_int_equal(r.diags.count, 0);
    done(&r);
}

static void span_is_the_signal(void **state)
{
    (void)state;
    struct rig r;
    check(&r, NULL, "signal attack = jailbreak above 0.001\nroute a when attack -> answer(m)\n");
    assert_int_equal(r.diags.count, 1);
    struct span s = r.diags.items[0].span;
    assert_int_equal(s.end - s.begin, 6);
    assert_memory_equal(r.text + s.begin, "attack", 6);
    done(&r);
}

static void examples_too_near(void **state)
{
    (void)state;
    struct rig r;
    check(&r, &flat,
          "signal x = similar(\"0\", \"200\") above 0.9\nsignal y = similar(\"40\") above 0.9\n"
          "signal z = similar(\"120\") above 0.9\n"
          "route a when x -> answer(m)\nroute b when y or z -> answer(m)\n");
    // acos(.9) is 25.8 degrees: 40 is within 51.7 of 0, 120 of neither.
    assert_int_equal(r.diags.count, 1);
    assert_true(says(&r, "both-fire", "`y` above 0.9 and `x` above 0.9"));
    assert_non_null(strstr(r.diags.items[0].help.ptr, "above 0.94"));
    done(&r);
    check(&r, NULL,
          "signal x = similar(\"0\") above 0.5\nsignal y = similar(\"40\") above 0.5\n"
          "route a when x -> answer(m)\nroute b when y -> answer(m)\n");
    assert_int_equal(r.diags.count, 0); // no encoder, no geometry
    done(&r);
}

// Against walking around the circle.
static void caps_against_search(void **state)
{
    (void)state;
    srand(7);
    unsigned both = 0;
    for (int i = 0; i < 60; i++) {
        int u = rand() % 360, v = rand() % 360, a = 30 + rand() % 69, b = 30 + rand() % 69;
        char body[256];
        snprintf(
            body, sizeof body,
            "signal x = similar(\"%d\") above 0.%02d\nsignal y = similar(\"%d\") above 0.%02d\n"
            "route a when x -> answer(m)\nroute b when y -> answer(m)\n",
            u, a, v, b);
        bool met = false, nearly = false;
        for (int k = 0; k < 36000; k++) {
            double x = cos(((double)k / 100 - u) * degree) - a / 100.0,
                   y = cos(((double)k / 100 - v) * degree) - b / 100.0;
            met |= x > 0 && y > 0;
            nearly |= x > -2e-3 && y > -2e-3;
        }
        if (met != nearly)
            continue; // too near to tell by steps
        struct rig r;
        check(&r, &flat, body);
        assert_int_equal(says(&r, "both-fire", "`y`"), met);
        both += met;
        done(&r);
    }
    assert_in_range(both, 5, 55);
}

static void without_memory(void **state)
{
    (void)state;
    struct rig r;
    check(&r, &flat, "signal x = similar(\"0\") above 0.9\nroute a when x -> answer(m)\n");
    enum result e = RESULT_NOMEM;
    for (int n = 1; e; n++) {
        alloc_fail_at((uint64_t)n, 0);
        e = plan_doubts(r.plan, r.places, &r.diags);
        alloc_fail_at(0, 0);
        assert_true(e == RESULT_OK || e == RESULT_NOMEM);
    }
    done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_inside_the_error), cmocka_unit_test(span_is_the_signal),
        cmocka_unit_test(examples_too_near),     cmocka_unit_test(caps_against_search),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
