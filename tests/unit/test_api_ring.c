// api/ring.c: records are copies, owners are given back once, old ones go first, and a failed copy leaves no half one.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/ring.h"
#include "base/alloc.h"

static int released;

static void release(void *owner)
{
    (void)owner;
    released++;
}

static struct ring_slot *put(struct ring *r, unsigned n)
{
    struct decision d = {.wall_us = n};
    char record[32];
    snprintf(d.id, sizeof d.id, "%020u", n);
    int len = snprintf(record, sizeof record, "{\"n\":%u}", n);
    struct ring_slot *s = ring_put(r, &d, slice_make(record, (size_t)len), &released);
    memset(record, 0xee, sizeof record);
    return s;
}

static void old_ones_go_first(void **state)
{
    (void)state;
    struct ring r;
    released = 0;
    assert_int_equal(ring_open(&r, 4, release), RESULT_OK);
    for (unsigned n = 1; n <= 6; n++)
        assert_non_null(put(&r, n));
    assert_int_equal(released, 2);
    assert_null(ring_find(&r, SLICE("00000000000000000002")));
    struct ring_slot *s = ring_find(&r, SLICE("00000000000000000003"));
    assert_non_null(s);
    assert_true(slice_eq(buf_slice(&s->record), SLICE("{\"n\":3}")));
    assert_int_equal(ring_recent(&r, 0)->wall_us, 6);
    assert_int_equal(ring_recent(&r, 3)->wall_us, 3);
    assert_null(ring_recent(&r, 4));
    ring_close(&r);
    assert_int_equal(released, 6);
}

static void no_memory_leaves_no_half_copy(void **state)
{
    (void)state;
    struct ring r;
    released = 0;
    assert_int_equal(ring_open(&r, 1, release), RESULT_OK);
    alloc_fail_at(1, 0);
    assert_null(put(&r, 1));
    alloc_fail_at(0, 0);
    assert_null(ring_find(&r, SLICE("00000000000000000001")));
    assert_non_null(put(&r, 1));
    ring_close(&r);
    assert_int_equal(released, 1);
    assert_int_equal(ring_open(&r, 0, release), RESULT_OK);
    assert_null(put(&r, 1));
    ring_close(&r);
    assert_int_equal(ring_open(&r, RING_SIZE_MAX + 1, release), RESULT_LIMIT);
    ring_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_ones_go_first),
        cmocka_unit_test(no_memory_leaves_no_half_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
