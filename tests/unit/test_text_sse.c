// text/sse: fields, line ends, limits and faults. Splits are in prop_text_sse.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "text/sse.h"

struct want {
    const char *bytes, *data, *name;
    unsigned data_lines;
    bool comment_only;
};

static void expect(const struct sse_event *e, const struct want *w)
{
    if (!slice_eq_cstr(e->bytes, w->bytes))
        fail_msg("got [%.*s], not [%s]", SLICE_FMT(e->bytes), w->bytes);
    assert_true(slice_eq_cstr(e->data, w->data));
    assert_true(slice_eq_cstr(e->name, w->name));
    assert_int_equal(e->data_lines, w->data_lines);
    assert_int_equal(e->comment_only, w->comment_only);
}

static void fields_are_found(void **state)
{
    (void)state;
    static const struct want wants[] = {
        {"\xef\xbb\xbf"
         "data: one\n\n",
         "one", "", 1, false},
        {"data:two\r\n\r\n", "two", "", 1, false},
        {"event: ping\rdata:  x:y \r\r", " x:y ", "ping", 1, false},
        {": keep-alive\n\n", "", "", 0, true},
        {"\n", "", "", 0, true},
        {"data\nid: 7\n\n", "", "", 1, false},
        {"data: a\ndata: b\r\ndata:c\revent:p\nevent:q\n\n", "a", "q", 3, false},
        {"retry: 5\ndatax: 1\nDATA: 2\n data: 3\n\n", "", "", 0, false},
        {"data: [DONE]\n\n", "[DONE]", "", 1, false},
        {"\r\n", "", "", 0, true},
    };
    char all[1024] = "";
    for (size_t i = 0; i < MERIT_COUNT(wants); i++)
        strcat(all, wants[i].bytes);
    struct sse s;
    struct sse_event e;
    sse_init(&s, 100);
    assert_true(sse_at_boundary(&s));
    struct slice piece = slice_cstr(all);
    uint64_t before = alloc_count();
    for (size_t i = 0; i < MERIT_COUNT(wants); i++) {
        assert_int_equal(sse_next(&s, &piece, &e), RESULT_OK);
        expect(&e, &wants[i]);
        if (i == 6) {
            struct arena a;
            struct slice data;
            arena_init(&a, 0, 4096);
            assert_int_equal(sse_data(&e, &a, &data), RESULT_OK);
            assert_true(slice_eq(data, SLICE("a\nb\nc")));
            alloc_fail_at(1, 0);
            arena_deinit(&a);
            assert_int_equal(sse_data(&e, &a, &data), RESULT_NOMEM);
            alloc_fail_at(0, 0);
            before = alloc_count();
        }
    }
    assert_int_equal(sse_next(&s, &piece, &e), RESULT_AGAIN);
    assert_true(sse_at_boundary(&s));
    assert_int_equal(sse_finish(&s, &e), RESULT_NOT_FOUND);
    // Whole events are never copied.
    assert_true(alloc_count() == before);
    sse_deinit(&s);
}

static void carriage_return_may_wait(void **state)
{
    (void)state;
    struct sse s;
    struct sse_event e;
    sse_init(&s, 100);
    // After a CRLF line a blank CR is half a CRLF.
    struct slice piece = SLICE("data: x\r\n\r");
    assert_int_equal(sse_next(&s, &piece, &e), RESULT_AGAIN);
    assert_false(sse_at_boundary(&s));
    piece = SLICE("\ndata: y\r\r");
    assert_int_equal(sse_next(&s, &piece, &e), RESULT_OK);
    expect(&e, &(struct want){"data: x\r\n\r\n", "x", "", 1, false});
    assert_true(e.gathered && e.bytes.ptr == s.partial.ptr);
    // After a bare CR it is the end: a stream of CRs is not held up.
    assert_int_equal(sse_next(&s, &piece, &e), RESULT_OK);
    expect(&e, &(struct want){"data: y\r\r", "y", "", 1, false});
    assert_true(!e.gathered && e.bytes.ptr + e.bytes.len == piece.ptr);
    piece = SLICE("data: z\n\r");
    assert_int_equal(sse_next(&s, &piece, &e), RESULT_AGAIN);
    assert_int_equal(sse_finish(&s, &e), RESULT_OK);
    expect(&e, &(struct want){"data: z\n\r", "z", "", 1, false});
    assert_int_equal(sse_finish(&s, &e), RESULT_NOT_FOUND);
    piece = SLICE("data: cut\n");
    assert_int_equal(sse_next(&s, &piece, &e), RESULT_AGAIN);
    assert_int_equal(sse_finish(&s, &e), RESULT_EOF);
    assert_true(slice_eq(e.bytes, SLICE("data: cut\n")));
    assert_false(sse_at_boundary(&s));
    sse_deinit(&s);
}

static void events_are_capped(void **state)
{
    (void)state;
    for (int split = 0; split < 2; split++) {
        struct sse s;
        struct sse_event e;
        sse_init(&s, 10);
        struct slice piece = split ? SLICE("data: 12\n") : SLICE("data: 12\n\ndata: 123\n\n");
        enum result r = sse_next(&s, &piece, &e);
        if (split) {
            assert_int_equal(r, RESULT_AGAIN);
            piece = SLICE("\ndata: 123\n");
            r = sse_next(&s, &piece, &e);
        }
        assert_int_equal(r, RESULT_OK);
        assert_true(slice_eq(e.bytes, SLICE("data: 12\n\n")));
        r = sse_next(&s, &piece, &e);
        if (split) {
            assert_int_equal(r, RESULT_AGAIN);
            piece = SLICE("\n");
            r = sse_next(&s, &piece, &e);
        }
        assert_int_equal(r, RESULT_LIMIT);
        piece = SLICE("data: 1\n\n");
        assert_int_equal(sse_next(&s, &piece, &e), RESULT_LIMIT);
        assert_int_equal(sse_finish(&s, &e), RESULT_LIMIT);
        assert_false(sse_at_boundary(&s));
        sse_deinit(&s);
    }
}

static void no_memory_is_said(void **state)
{
    (void)state;
    struct sse s;
    struct sse_event e;
    sse_init(&s, 1000);
    alloc_fail_at(1, 0);
    struct slice piece = SLICE("data: half");
    assert_int_equal(sse_next(&s, &piece, &e), RESULT_NOMEM);
    alloc_fail_at(0, 0);
    piece = SLICE("\n\n");
    assert_int_equal(sse_next(&s, &piece, &e), RESULT_NOMEM);
    sse_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_found),
        cmocka_unit_test(carriage_return_may_wait),
        cmocka_unit_test(events_are_capped),
        cmocka_unit_test(no_memory_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
