// text/sse: any split of any stream gives the events of a reader that has all of it and goes line by line.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "text/sse.h"

enum { STREAM_MAX = 600, EVENTS_MAX = STREAM_MAX + 1 };

struct seen {
    size_t end; // offset of the event's end in the stream
    unsigned data_lines;
    bool comment_only;
    char data[STREAM_MAX], joined[STREAM_MAX], name[STREAM_MAX];
    size_t data_len, joined_len, name_len;
};

static size_t set(char *to, const char *from, size_t n)
{
    memcpy(to, from, n);
    return n;
}

static void oracle_line(struct seen *e, const char *line, size_t len)
{
    char name[STREAM_MAX + 1] = "", *colon;
    memcpy(name, line, len);
    name[len] = '\0';
    if (len && line[0] == ':')
        return;
    e->comment_only = false;
    size_t name_len = len, value = len;
    colon = memchr(name, ':', len);
    if (colon) {
        name_len = (size_t)(colon - name);
        value = name_len + 1;
        if (value < len && line[value] == ' ')
            value++;
    }
    if (name_len == 4 && !memcmp(name, "data", 4)) {
        if (!e->data_lines++)
            e->data_len = set(e->data, line + value, len - value);
        else
            e->joined[e->joined_len++] = '\n';
        e->joined_len += set(e->joined + e->joined_len, line + value, len - value);
    }
    if (name_len == 5 && !memcmp(name, "event", 5))
        e->name_len = set(e->name, line + value, len - value);
}

// How many events; `*rest` is where the unfinished one begins.
static size_t oracle(const char *text, size_t len, struct seen *events, size_t *rest)
{
    size_t count = 0, at = 0;
    bool bare_cr = false;
    *rest = 0;
    memset(&events[0], 0, sizeof events[0]);
    events[0].comment_only = true;
    if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
        at = 3;
    while (at < len) {
        size_t stop = at;
        while (stop < len && text[stop] != '\n' && text[stop] != '\r')
            stop++;
        if (stop == len)
            break;
        size_t width = text[stop] == '\r' && stop + 1 < len && text[stop + 1] == '\n' ? 2 : 1;
        if (stop > at) {
            oracle_line(&events[count], text + at, stop - at);
            bare_cr = text[stop] == '\r' && width == 1;
            at = stop + width;
            continue;
        }
        if (text[stop] == '\r' && bare_cr)
            width = 1;
        bare_cr = false;
        at = stop + width;
        *rest = events[count++].end = at;
        memset(&events[count], 0, sizeof events[count]);
        events[count].comment_only = true;
    }
    return count;
}

static size_t random_stream(struct rng *r, char *text)
{
    static const struct slice parts[] = {
        SLICE("\n"),
        SLICE("\r"),
        SLICE("\r\n"),
        SLICE("\n\n"),
        SLICE("data"),
        SLICE("data:"),
        SLICE("data: {\"choices\":[{\"delta\":{\"content\":\" hi\"}}]}"),
        SLICE("event: "),
        SLICE("event"),
        SLICE(":"),
        SLICE(" "),
        SLICE("x"),
        SLICE("\xef"),
        SLICE("\xbb"),
        SLICE("\xef\xbb\xbf"),
        SLICE("id: 3"),
        SLICE("\0"),
        SLICE("data:y\n\n"),
    };
    size_t len = 0, want = rng_below(r, STREAM_MAX);
    if (rng_below(r, 3) == 0)
        len = set(text, "\xef\xbb\xbf", 3);
    // A few parts only in each stream, so that rare ones meet often.
    uint64_t mix = rng_next(r) | 1;
    while (len < want) {
        size_t k = rng_below(r, MERIT_COUNT(parts));
        if (!(mix >> k & 1) || len + parts[k].len > STREAM_MAX)
            continue;
        len += set(text + len, parts[k].ptr, parts[k].len);
        if (len + 64 > STREAM_MAX)
            break;
    }
    return len;
}

static void compare(const struct sse_event *e, const struct seen *want, const char *text,
                    size_t begin)
{
    assert_true(slice_eq(e->bytes, slice_make(text + begin, want->end - begin)));
    assert_int_equal(e->data_lines, want->data_lines);
    assert_int_equal(e->comment_only, want->comment_only);
    assert_true(slice_eq(e->data, slice_make(want->data, want->data_len)));
    assert_true(slice_eq(e->name, slice_make(want->name, want->name_len)));
    struct arena a;
    struct slice data;
    arena_init(&a, 0, 4096);
    assert_int_equal(sse_data(e, &a, &data), RESULT_OK);
    assert_true(slice_eq(data, slice_make(want->joined, want->joined_len)));
    arena_deinit(&a);
}

static void splits_do_not_matter(void **state)
{
    (void)state;
    static struct seen events[EVENTS_MAX];
    struct rng r;
    rng_seed(&r, 11);
    unsigned waited = 0, events_seen = 0;
    for (int round = 0; round < 4000; round++) {
        char text[STREAM_MAX];
        size_t len = random_stream(&r, text), rest;
        size_t count = oracle(text, len, events, &rest);
        for (int split = 0; split < 4; split++) {
            // Whole, byte by byte, and twice at random; each piece in memory of its own.
            size_t longest = split == 0 ? STREAM_MAX : split == 1 ? 1 : 1 + rng_below(&r, 40);
            struct sse s;
            struct sse_event e;
            size_t got = 0, begin = 0;
            sse_init(&s, STREAM_MAX);
            for (size_t at = 0; at < len;) {
                size_t n = split < 2 ? longest : rng_below(&r, longest + 1);
                if (n > len - at)
                    n = len - at;
                char *copy = malloc(n ? n : 1);
                memcpy(copy, text + at, n);
                struct slice piece = slice_make(copy, n);
                enum result result;
                while ((result = sse_next(&s, &piece, &e)) == RESULT_OK) {
                    assert_true(got < count);
                    compare(&e, &events[got], text, begin);
                    begin = events[got++].end;
                }
                assert_int_equal(result, RESULT_AGAIN);
                assert_int_equal(piece.len, 0);
                free(copy);
                at += n;
            }
            enum result last = sse_finish(&s, &e);
            if (last == RESULT_OK) {
                assert_true(got < count);
                compare(&e, &events[got], text, begin);
                begin = events[got++].end;
                waited++;
            }
            assert_int_equal(got, count);
            assert_int_equal(begin, rest);
            if (last == RESULT_EOF)
                assert_true(slice_eq(e.bytes, slice_make(text + rest, len - rest)));
            else
                assert_int_equal(rest, len);
            sse_deinit(&s);
            events_seen += (unsigned)got;
        }
    }
    if (waited < 20 || events_seen < 50000)
        fail_msg("too little was tried: %u, %u", waited, events_seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(splits_do_not_matter)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
