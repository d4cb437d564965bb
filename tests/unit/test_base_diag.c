// Diagnostics: what is shown, what is kept, what stays secret, which name is near.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/diag.h"
#include "base/rng.h"

struct fixture {
    struct arena arena;
    struct diag_list list;
    struct buf out;
};

static void open_fixture(struct fixture *f, uint32_t cap)
{
    arena_init(&f->arena, 0, 1 << 20);
    diag_init(&f->list, &f->arena, cap);
    buf_init(&f->out, 1 << 20);
}

static void close_fixture(struct fixture *f)
{
    buf_deinit(&f->out);
    arena_deinit(&f->arena);
}

static void assert_out(struct fixture *f, const char *want)
{
    if (!slice_eq_cstr(buf_slice(&f->out), want))
        fail_msg("got:\n%.*s", SLICE_FMT(buf_slice(&f->out)));
}

static void places_are_shown_in_order(void **state)
{
    (void)state;
    struct fixture f;
    struct slice source = SLICE("one two\nthr\xC3\xA9"
                                "e four\n\tfive");
    open_fixture(&f, 10);
    struct diag *d = diag_add(&f.list, DIAG_ERROR, "late", (struct span){15, 19}, "bad %s", "four");
    diag_help(&f.list, d, "say %d", 5);
    diag_also(&f.list, d, (struct span){0, 3}, "here");
    diag_add(&f.list, DIAG_WARNING, "early", (struct span){4, 7}, "odd");
    diag_add(&f.list, DIAG_NOTE, "end", (struct span){(uint32_t)source.len, (uint32_t)source.len},
             "over");
    diag_render(&f.list, source, SLICE("f"), false, &f.out);
    assert_out(&f, "warning[early]: odd\n"
                   " --> f:1:5\n"
                   "1 | one two\n"
                   "  |     ^^^\n"
                   "\n"
                   "error[late]: bad four\n"
                   " --> f:2:8\n"
                   "2 | thr\xC3\xA9"
                   "e four\n"
                   "  |       ^^^^\n"
                   "1 | one two\n"
                   "  | ^^^ here\n"
                   "  = help: say 5\n"
                   "\n"
                   "note[end]: over\n"
                   " --> f:3:6\n"
                   "3 |  five\n"
                   "  |      ^\n"
                   "\n");
    buf_reset(&f.out);
    diag_render_json(&f.list, source, &f.out);
    assert_true(slice_find(buf_slice(&f.out),
                           SLICE("{\"severity\": \"error\", \"code\": \"late\", \"line\": 2, "
                                 "\"column\": 8, \"end_line\": 2, \"end_column\": 12, "
                                 "\"message\": \"bad four\", \"help\": \"say 5\"}")) > 0);
    close_fixture(&f);
}

static void what_is_dropped_is_counted(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, 3);
    for (uint32_t i = 0; i < 10; i++)
        diag_help(&f.list,
                  diag_add(&f.list, DIAG_ERROR, "x", (struct span){i, i + 1}, "number %u", i),
                  "no");
    assert_int_equal(f.list.count, 3);
    assert_int_equal(f.list.dropped, 7);
    assert_int_equal(f.list.errors, 10);
    diag_render(&f.list, SLICE("0123456789"), SLICE("f"), false, &f.out);
    assert_true(slice_ends_with(buf_slice(&f.out), SLICE("and 7 more\n")));
    close_fixture(&f);
}

static void errors_go_before_warnings(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, 3);
    for (uint32_t i = 0; i < 3; i++)
        diag_add(&f.list, DIAG_WARNING, "w", (struct span){i, i + 1}, "odd");
    for (uint32_t i = 0; i < 2; i++)
        diag_help(&f.list, diag_add(&f.list, DIAG_ERROR, "e", (struct span){i, i + 1}, "bad"),
                  "so");
    diag_add(&f.list, DIAG_WARNING, "w", (struct span){0, 1}, "odd");
    assert_int_equal(f.list.dropped, 3);
    assert_int_equal(f.list.items[0].severity, DIAG_WARNING);
    assert_true(f.list.items[1].severity == DIAG_ERROR && f.list.items[2].severity == DIAG_ERROR);
    assert_true(slice_eq(f.list.items[1].help, SLICE("so")));
    close_fixture(&f);
}

static void secrets_are_not_shown(void **state)
{
    (void)state;
    struct fixture f;
    struct slice source = SLICE("key \"hunter2\" rest");
    open_fixture(&f, 3);
    diag_secret(&f.list, (struct span){4, 13});
    diag_add(&f.list, DIAG_ERROR, "x", (struct span){14, 18}, "about the rest");
    diag_render(&f.list, source, SLICE("f"), true, &f.out);
    assert_true(slice_find(buf_slice(&f.out), SLICE("hunter2")) < 0);
    assert_true(slice_find(buf_slice(&f.out), SLICE("key ********* rest")) > 0);
    close_fixture(&f);
}

static void lack_of_memory_is_survived(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 12; n++) {
        struct fixture f;
        open_fixture(&f, 100);
        alloc_fail_at(n, 1);
        diag_secret(&f.list, (struct span){0, 6});
        for (uint32_t i = 0; i < 40; i++)
            diag_help(&f.list, diag_add(&f.list, DIAG_ERROR, "x", (struct span){0, 1}, "%u", i),
                      "help %u", i);
        alloc_fail_at(0, 0);
        assert_int_equal(f.list.errors, 40);
        assert_int_equal(f.list.count + f.list.dropped, 40);
        diag_render(&f.list, SLICE("secret"), SLICE("f"), false, &f.out);
        assert_true(slice_find(buf_slice(&f.out), SLICE("secret")) < 0);
        close_fixture(&f);
    }
}

// Optimal string alignment by its definition.
static size_t naive(struct slice a, struct slice b)
{
    if (a.len == 0 || b.len == 0)
        return a.len + b.len;
    struct slice x = slice_head(a, a.len - 1), y = slice_head(b, b.len - 1);
    size_t best = naive(x, y) + (a.ptr[a.len - 1] != b.ptr[b.len - 1]);
    size_t other = naive(x, b) + 1;
    best = other < best ? other : best;
    other = naive(a, y) + 1;
    best = other < best ? other : best;
    if (a.len > 1 && b.len > 1 && a.ptr[a.len - 1] == b.ptr[b.len - 2] &&
        a.ptr[a.len - 2] == b.ptr[b.len - 1]) {
        other = naive(slice_head(a, a.len - 2), slice_head(b, b.len - 2)) + 1;
        best = other < best ? other : best;
    }
    return best;
}

static void the_nearest_name_is_found(void **state)
{
    (void)state;
    const struct slice names[] = {SLICE("urgent"), SLICE("depth"), SLICE("group")};
    assert_int_equal(diag_nearest(SLICE("urgnet"), names, 3), 0);
    assert_int_equal(diag_nearest(SLICE("dept"), names, 3), 1);
    assert_int_equal(diag_nearest(SLICE("swift"), names, 3), -1);
    assert_int_equal(diag_nearest(SLICE("x"), names, 3), -1);
    assert_int_equal(diag_nearest(SLICE_EMPTY, names, 3), -1);
    struct rng rng;
    rng_seed(&rng, 3);
    for (int round = 0; round < 2000; round++) {
        char text[6][8];
        struct slice words[6];
        for (int i = 0; i < 6; i++) {
            size_t len = 1 + rng_below(&rng, 6);
            for (size_t k = 0; k < len; k++)
                text[i][k] = (char)('a' + rng_below(&rng, 3));
            words[i] = slice_make(text[i], len);
        }
        size_t best = (words[0].len + 2) / 3 + 1;
        int want = -1;
        for (int i = 1; i < 6; i++) {
            size_t d = naive(words[0], words[i]);
            if (d < best && d < words[0].len) {
                best = d;
                want = i - 1;
            }
        }
        assert_int_equal(diag_nearest(words[0], words + 1, 5), want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_shown_in_order),  cmocka_unit_test(what_is_dropped_is_counted),
        cmocka_unit_test(secrets_are_not_shown),      cmocka_unit_test(errors_go_before_warnings),
        cmocka_unit_test(lack_of_memory_is_survived), cmocka_unit_test(the_nearest_name_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
