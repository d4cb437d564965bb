// Random edits of a document against a naive copy: same bytes, same lines, and places that lead back.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "lsp/text.h"

enum { TEXT_MAX = 4000 };

static uint32_t naive_lines(const char *text, size_t len, uint32_t *begin)
{
    uint32_t count = 1;
    begin[0] = 0;
    for (size_t i = 0; i < len; i++)
        if (text[i] == '\n' || (text[i] == '\r' && (i + 1 == len || text[i + 1] != '\n')))
            begin[count++] = (uint32_t)i + 1;
    return count;
}

// The units of one character at a time, by its first byte.
static struct lsp_position naive_position(const char *text, size_t len, uint32_t offset,
                                          enum lsp_encoding e)
{
    static uint32_t begin[TEXT_MAX + 2];
    uint32_t line = naive_lines(text, len, begin) - 1, character = 0;
    while (begin[line] > offset)
        line--;
    for (uint32_t i = begin[line]; i < offset; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '\n' || c == '\r')
            break;
        if (e == LSP_UTF8)
            character++;
        else if ((c & 0xC0) != 0x80)
            character += e == LSP_UTF16 && c >= 0xF0 ? 2 : 1;
    }
    return (struct lsp_position){line, character};
}

static uint32_t boundary(const char *text, size_t len, uint32_t at)
{
    while (at > 0 && at < len && ((unsigned char)text[at] & 0xC0) == 0x80)
        at--;
    return at;
}

static void compare(const struct lsp_text *t, const char *text, size_t len, struct rng *rng)
{
    static uint32_t begin[TEXT_MAX + 2];
    assert_int_equal(t->bytes.len, len);
    assert_memory_equal(lsp_text_slice(t).ptr, text, len);
    assert_int_equal(t->line_count, naive_lines(text, len, begin));
    assert_memory_equal(t->lines, begin, t->line_count * sizeof *begin);
    for (int i = 0; i < 4; i++) {
        uint32_t at = boundary(text, len, (uint32_t)rng_below(rng, len + 1));
        enum lsp_encoding e = (enum lsp_encoding)rng_below(rng, 3);
        struct lsp_position p = lsp_text_position(t, e, at), q = naive_position(text, len, at, e);
        assert_int_equal(p.line, q.line);
        assert_int_equal(p.character, q.character);
        bool inside_end = at > 0 && at < len && text[at - 1] == '\r' && text[at] == '\n';
        assert_int_equal(lsp_text_offset(t, e, p), inside_end ? at - 1 : at);
    }
}

static void test_edits(void **state)
{
    (void)state;
    static const char *const pieces[] = {"",        "a",        "\n",           "\r\n",
                                         "\r",      "\xC3\xA9", "\xE6\xBC\xA2", "\xF0\x9F\x9A\x80",
                                         "route x", "\n\n",     "\n\r"};
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct rng rng;
        struct lsp_text t;
        char text[TEXT_MAX + 64];
        size_t len = 0;
        rng_seed(&rng, seed);
        lsp_text_init(&t, TEXT_MAX);
        for (int step = 0; step < 120; step++) {
            uint32_t a = boundary(text, len, (uint32_t)rng_below(&rng, len + 1)),
                     b = boundary(text, len, a + (uint32_t)rng_below(&rng, 20));
            b = b > len ? (uint32_t)len : b < a ? a : b;
            struct slice with = slice_cstr(pieces[rng_below(&rng, MERIT_COUNT(pieces))]);
            assert_int_equal(lsp_text_replace(&t, (struct span){a, b}, with), RESULT_OK);
            memmove(text + a + with.len, text + b, len - b);
            memcpy(text + a, with.ptr, with.len);
            len = len - (b - a) + with.len;
            compare(&t, text, len, &rng);
        }
        lsp_text_deinit(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_edits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
