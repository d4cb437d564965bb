// api/ring.c: copies are whole, owners are given back once, old ones go first, and a failed copy leaves no half one.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/ring.h"
#include "base/alloc.h"
#include "support/image_builder.h"

static int released;

static void release(void *owner)
{
    (void)owner;
    released++;
}

struct fixture {
    struct image_builder builder;
    const struct policy_image *image;
    struct fact facts[2];
    struct route_outcome routes[1];
    struct model_outcome models[1];
    struct slice texts[2];
    struct decision decision;
};

static void fill(struct fixture *f, unsigned n)
{
    snprintf(f->decision.id, sizeof f->decision.id, "%020u", n);
    f->decision.wall_us = n;
    f->texts[0] = SLICE("staff");
    f->texts[1] = SLICE("ops");
    f->facts[0] = (struct fact){.state = FACT_KNOWN, .text = SLICE("prod")};
    f->facts[1] = (struct fact){.state = FACT_KNOWN, .texts = f->texts, .text_count = 2};
    f->decision.message = SLICE("no");
    f->decision.model_asked = SLICE("auto");
}

static int setup(void **state)
{
    static struct fixture f;
    ib_init(&f.builder);
    ib_model(&f.builder, "m");
    ib_signal(&f.builder, "a", SIGNAL_TEXT);
    ib_signal(&f.builder, "b", SIGNAL_SET);
    ib_route(&f.builder, "r", NULL, 0, ib_refuse(&f.builder, "no"));
    f.image = ib_finish(&f.builder);
    f.decision = (struct decision){
        .image = f.image, .facts = f.facts, .route_outcomes = f.routes, .model_outcomes = f.models};
    released = 0;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    ib_deinit(&((struct fixture *)*state)->builder);
    return 0;
}

static void copies_survive_their_source(void **state)
{
    struct fixture *f = *state;
    struct ring r;
    assert_int_equal(ring_open(&r, 4, release), RESULT_OK);
    for (unsigned n = 1; n <= 6; n++) {
        fill(f, n);
        assert_non_null(ring_put(&r, &f->decision, f));
    }
    assert_int_equal(released, 2);
    memset(f->facts, 0xee, sizeof f->facts);
    memset(f->texts, 0xee, sizeof f->texts);
    assert_null(ring_find(&r, SLICE("00000000000000000002")));
    struct ring_slot *s = ring_find(&r, SLICE("00000000000000000003"));
    assert_non_null(s);
    assert_true(slice_eq(s->decision.facts[0].text, SLICE("prod")));
    assert_true(slice_eq(s->decision.facts[1].texts[1], SLICE("ops")));
    assert_true(slice_eq(s->decision.message, SLICE("no")));
    assert_int_equal(ring_recent(&r, 0)->decision.wall_us, 6);
    assert_int_equal(ring_recent(&r, 3)->decision.wall_us, 3);
    assert_null(ring_recent(&r, 4));
    ring_close(&r);
    assert_int_equal(released, 6);
}

static void no_memory_leaves_no_half_copy(void **state)
{
    struct fixture *f = *state;
    struct ring r;
    assert_int_equal(ring_open(&r, 1, release), RESULT_OK);
    fill(f, 1);
    alloc_fail_at(1, 0);
    assert_null(ring_put(&r, &f->decision, f));
    alloc_fail_at(0, 0);
    assert_null(ring_find(&r, SLICE("00000000000000000001")));
    assert_non_null(ring_put(&r, &f->decision, f));
    ring_close(&r);
    assert_int_equal(released, 1);
    assert_int_equal(ring_open(&r, 0, release), RESULT_OK);
    assert_null(ring_put(&r, &f->decision, f));
    ring_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(copies_survive_their_source, setup, teardown),
        cmocka_unit_test_setup_teardown(no_memory_leaves_no_half_copy, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
