// base/: arena, buf, map, slice, clock, rng, alloc faults; the map beside a linear-search oracle.
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/rng.h"
#include "base/vec.h"

static void arena_reuses_and_caps(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1024, 8192);
    char *first = arena_alloc(&a, 100);
    assert_non_null(first);
    assert_int_equal((uintptr_t)first % 16, 0);
    assert_null(arena_alloc(&a, 10000));
    assert_non_null(arena_alloc(&a, 5000));
    arena_reset(&a);
    assert_ptr_equal(arena_alloc(&a, 100), first);
    assert_null(arena_zeroed(&a, SIZE_MAX / 2, 3));
    struct slice s = arena_printf(&a, "%d-%s", 7, "x");
    assert_true(slice_eq(s, SLICE("7-x")));
    arena_deinit(&a);
}

static void arena_aligns(void **state)
{
    (void)state;
    // Also where an allocation opens a new chunk, which malloc aligns to 16 only.
    for (size_t first = 16; first < 300; first += 13) {
        struct arena a;
        arena_init(&a, first, 1 << 20);
        for (size_t align = 1; align <= 64; align *= 2) {
            for (int i = 0; i < 20; i++) {
                char *p = arena_alloc_aligned(&a, 37, align);
                assert_non_null(p);
                assert_int_equal((uintptr_t)p % align, 0);
                memset(p, 1, 37);
            }
        }
        arena_deinit(&a);
    }
}

static void buf_caps_and_sticks(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    buf_append(&b, "12345", 5);
    buf_append(&b, "678901", 6);
    assert_int_equal(buf_result(&b), RESULT_LIMIT);
    buf_append(&b, "6", 1);
    assert_int_equal(b.len, 5);
    buf_reset(&b);
    buf_u64(&b, 0);
    buf_u64(&b, 4200);
    assert_true(slice_eq(buf_slice(&b), SLICE("04200")));
    // Around each power of ten and of two.
    for (uint64_t i = 0, ten = 1; i < 64; i++, ten = i < 19 ? ten * 10 : ten) {
        const uint64_t at[] = {ten - 1, ten, ten + 1, (UINT64_C(1) << i) - 1, UINT64_C(1) << i};
        for (size_t k = 0; k < MERIT_COUNT(at); k++) {
            char is[BUF_U64_LEN], should[BUF_U64_LEN + 1];
            size_t n = (size_t)(buf_put_u64(is, at[k]) - is);
            assert_int_equal(n, snprintf(should, sizeof should, "%" PRIu64, at[k]));
            assert_memory_equal(is, should, n);
        }
    }
    buf_reset(&b);
    buf_micro(&b, -1500000);
    assert_true(slice_eq(buf_slice(&b), SLICE("-1.5")));
    buf_reset(&b);
    buf_nano(&b, 12000000010);
    assert_int_equal(buf_result(&b), RESULT_LIMIT); // eleven bytes
    buf_deinit(&b);
    buf_init(&b, 40);
    buf_nano(&b, 2000000010);
    buf_byte(&b, ' ');
    buf_nano(&b, INT64_MIN);
    assert_true(slice_eq(buf_slice(&b), SLICE("2.00000001 -9223372036.854775808")));
    buf_deinit(&b);
}

static void map_equals_linear_search(void **state)
{
    (void)state;
    enum { KEYS = 300, STEPS = 20000 };
    static char names[KEYS][16];
    void *oracle[KEYS] = {0};
    struct rng r;
    rng_seed(&r, 1);
    struct map m;
    map_init(&m, (struct hash_key){1, 2}, 1000);
    for (int i = 0; i < KEYS; i++)
        snprintf(names[i], sizeof names[i], "k%d", i);
    for (int step = 0; step < STEPS; step++) {
        size_t k = rng_below(&r, KEYS);
        struct slice key = slice_cstr(names[k]);
        if (rng_below(&r, 2)) {
            oracle[k] = &oracle[rng_below(&r, KEYS)];
            assert_int_equal(map_put(&m, key, oracle[k]), RESULT_OK);
        } else {
            assert_ptr_equal(map_remove(&m, key), oracle[k]);
            oracle[k] = NULL;
        }
        size_t probe = rng_below(&r, KEYS);
        assert_ptr_equal(map_get(&m, slice_cstr(names[probe])), oracle[probe]);
    }
    size_t at = 0, seen = 0, expected = 0;
    while (map_next(&m, &at))
        seen++;
    for (int i = 0; i < KEYS; i++)
        expected += oracle[i] != NULL;
    assert_int_equal(seen, expected);
    map_deinit(&m);
}

static void siphash_matches_reference(void **state)
{
    (void)state;
    // SipHash-1-3 with key 00..0f over 00..(n-1), computed with an independent implementation (CPython 3.11's
    // hash of bytes uses 1-3): sizes 0 and 8 differ, and equal input gives equal output.
    struct hash_key k = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    assert_int_equal(hash_sip13(&k, SLICE("")), 0xabac0158050fc4dcu);
    assert_true(hash_sip13(&k, SLICE("abc")) != hash_sip13(&k, SLICE("abd")));
}

static void slices(void **state)
{
    (void)state;
    uint64_t v;
    assert_true(slice_u64(SLICE("18446744073709551615"), &v));
    assert_false(slice_u64(SLICE("18446744073709551616"), &v));
    assert_false(slice_u64(SLICE("+1"), &v));
    assert_false(slice_u64(SLICE(""), &v));
    struct slice rest = SLICE("a,,b"), piece;
    int n = 0;
    while (slice_split(&rest, ',', &piece))
        n++;
    assert_int_equal(n, 3);
    assert_true(slice_eq(slice_trim(SLICE(" \tx ")), SLICE("x")));
    assert_true(slice_ieq(SLICE("Content-Length"), SLICE("content-length")));
    assert_int_equal(slice_find(SLICE("abcabd"), SLICE("abd")), 3);
}

static void clock_prints_iso(void **state)
{
    (void)state;
    char text[CLOCK_ISO_LEN + 1] = {0};
    clock_iso(1795257000123456u, text);
    assert_string_equal(text, "2026-11-21T10:30:00.123456Z");
    clock_iso(951782400000000u, text);
    assert_string_equal(text, "2000-02-29T00:00:00.000000Z");
    struct clock_stamp stamp = {0};
    struct buf out;
    buf_init(&out, 4096);
    for (uint64_t us = 951782399999000u; us < 951782400003000u; us += 777) {
        clock_iso(us, text);
        buf_reset(&out);
        clock_stamp(&stamp, us, &out);
        assert_true(slice_eq(buf_slice(&out), slice_make(text, CLOCK_ISO_LEN)));
    }
    buf_deinit(&out);
}

static void allocations_fail_on_demand(void **state)
{
    (void)state;
    alloc_fail_at(2, 0);
    void *a = alloc_bytes(1), *b = alloc_bytes(1), *c = alloc_bytes(1);
    assert_non_null(a);
    assert_null(b);
    assert_non_null(c);
    alloc_fail_at(0, 0);
    alloc_free(a);
    alloc_free(c);
    VEC(int) v = {.cap = 3};
    assert_true(VEC_PUSH(&v, 1) && VEC_PUSH(&v, 2) && VEC_PUSH(&v, 3));
    assert_false(VEC_PUSH(&v, 4));
    VEC_DEINIT(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_reuses_and_caps),     cmocka_unit_test(arena_aligns),
        cmocka_unit_test(buf_caps_and_sticks),       cmocka_unit_test(map_equals_linear_search),
        cmocka_unit_test(siphash_matches_reference), cmocka_unit_test(slices),
        cmocka_unit_test(clock_prints_iso),          cmocka_unit_test(allocations_fail_on_demand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
