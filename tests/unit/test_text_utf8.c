// text/utf8: validity beside a decoder written from the definition, code points both ways, and classes of characters
// beside utf8proc where Merit has a fast path of its own.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <utf8proc.h>

#include "base/compiler.h"
#include "base/rng.h"
#include "text/utf8.h"

// Length of the sequence at p by the definition: decode it, then ask whether its shortest form is what stands there.
static size_t naive_sequence(const unsigned char *p, size_t room, uint32_t *code)
{
    static const struct {
        unsigned char mask, lead;
        uint32_t least;
    } forms[] = {{0x80, 0, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    for (size_t n = 1; n <= 4; n++) {
        if ((p[0] & forms[n - 1].mask) != forms[n - 1].lead)
            continue;
        if (room < n)
            return 0;
        *code = p[0] & ~(uint32_t)forms[n - 1].mask;
        for (size_t i = 1; i < n; i++) {
            if ((p[i] & 0xc0) != 0x80)
                return 0;
            *code = *code << 6 | (p[i] & 0x3f);
        }
        bool surrogate = *code >= 0xd800 && *code <= 0xdfff;
        return *code < forms[n - 1].least || *code > 0x10ffff || surrogate ? 0 : n;
    }
    return 0;
}

static void check_validity(const unsigned char *bytes, size_t len)
{
    struct slice s = slice_make(bytes, len);
    bool valid = true;
    uint32_t code;
    for (size_t at = 0, n; valid && at < len; at += n)
        valid = (n = naive_sequence(bytes + at, len - at, &code)) > 0;
    assert_int_equal(utf8_valid(s), valid);
    assert_int_equal(utf8_valid_scalar(s), valid);
}

static void check(const unsigned char *bytes, size_t len)
{
    char *copy = malloc(len ? len : 1);
    memcpy(copy, bytes, len);
    struct slice s = slice_make(copy, len);
    bool valid = true;
    for (size_t at = 0, next = 0; at < len; at = next) {
        uint32_t want = 0xfffd;
        size_t n = naive_sequence(bytes + at, len - at, &want);
        valid &= n > 0;
        uint32_t got = utf8_next(s, &next);
        assert_int_equal(got, n ? want : 0xfffd);
        assert_int_equal(next, at + (n ? n : 1));
    }
    assert_int_equal(utf8_valid(s), valid);
    assert_int_equal(utf8_valid_scalar(s), valid);
    free(copy);
}

static void validity_follows_the_definition(void **state)
{
    (void)state;
    assert_true(utf8_valid(SLICE_EMPTY));
    // All of two bytes; all leads with interesting bytes behind, at several distances from the end.
    for (unsigned i = 0; i < 0x10000; i++)
        check((const unsigned char[]){(unsigned char)(i >> 8), (unsigned char)i}, 2);
    static const unsigned char edges[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f,
                                          0xa0, 0xbf, 0xc0, 0xe0, 0xed, 0xf4, 0xff};
    for (unsigned lead = 0xc0; lead < 0x100; lead++) {
        for (size_t a = 0; a < MERIT_COUNT(edges); a++) {
            for (size_t b = 0; b < MERIT_COUNT(edges); b++) {
                for (size_t c = 0; c < MERIT_COUNT(edges); c++) {
                    unsigned char bytes[4] = {(unsigned char)lead, edges[a], edges[b], edges[c]};
                    check(bytes, 3);
                    check(bytes, 4);
                    // Across the border of two blocks, and at the end of the last.
                    unsigned char text[96];
                    memset(text, a & 1 ? 'a' : 0xbf, sizeof text);
                    for (size_t i = 0; !(a & 1) && i < sizeof text; i += 2)
                        text[i] = 0xc3;
                    memcpy(text + 30 + (b + c) % 3, bytes, 4);
                    check_validity(text, sizeof text);
                    check_validity(text, 64 + (b + c) % 4);
                    memcpy(text + 92, bytes, 4);
                    memset(text, 'a', 64);
                    check_validity(text, sizeof text);
                }
            }
        }
    }
    // Long texts with one wrong byte, or none, anywhere.
    struct rng r;
    rng_seed(&r, 3);
    for (int i = 0; i < 20000; i++) {
        unsigned char text[300];
        size_t len = 0, want = rng_below(&r, 290);
        unsigned spread = 1u << rng_below(&r, 21);
        while (len < want) {
            unsigned n = utf8_put((uint32_t)rng_below(&r, spread + 0x80), (char *)text + len);
            len += n;
        }
        if (len && rng_below(&r, 2))
            text[rng_below(&r, len)] = (unsigned char)rng_next(&r);
        check(text, len);
    }
}

static void code_points_go_there_and_back(void **state)
{
    (void)state;
    for (uint32_t code = 0; code <= 0x110010; code++) {
        char bytes[4];
        size_t at = 0;
        unsigned n = utf8_put(code, bytes);
        if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
            assert_int_equal(n, 0);
            continue;
        }
        assert_int_equal(utf8_next(slice_make(bytes, n), &at), code);
        assert_int_equal(at, n);
    }
}

static void words_are_letters_marks_and_numbers(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 0x110000; code++) {
        const char *category = utf8proc_category_string((utf8proc_int32_t)code);
        bool want = category[0] == 'L' || category[0] == 'M' || category[0] == 'N';
        if (utf8_is_word(code) != want)
            fail_msg("U+%04x is %s", code, category);
    }
    assert_false(utf8_is_word('_'));
    assert_false(utf8_is_word(0x110000));
    assert_false(utf8_is_word(UINT32_MAX));
}

static void folding_is_simple(void **state)
{
    (void)state;
    static const uint32_t cases[][2] = {
        {'A', 'a'},         {'Z', 'z'},       {'@', '@'},       {'[', '['},
        {0xc4, 0xe4},       {0xd7, 0xd7},     {0xdf, 0xdf},     {0xb5, 0x3bc},
        {0x130, 0x130},     {0x131, 0x131},   {0x17f, 's'},     {0x1e9e, 0xdf},
        {0x3a3, 0x3c3},     {0x3c2, 0x3c3},   {0x212a, 'k'},    {0x1f88, 0x1f80},
        {0x1f80, 0x1f80},   {0x1fbc, 0x1fb3}, {0x149, 0x149},   {0x1f0, 0x1f0},
        {0x410, 0x430},     {0x10a0, 0x2d00}, {0x13a0, 0x13a0}, {0xab70, 0x13a0},
        {0x10400, 0x10428}, {0xfb00, 0xfb00}, {0x4e2d, 0x4e2d}, {0x110000, 0x110000},
    };
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        if (utf8_fold(cases[i][0]) != cases[i][1])
            fail_msg("U+%04x gives U+%04x", cases[i][0], utf8_fold(cases[i][0]));
    }
    // Folding twice is folding once, and what folds is a letter, a mark, a number or a circled letter.
    for (uint32_t code = 0; code < 0x110000; code++) {
        uint32_t folded = utf8_fold(code);
        assert_int_equal(utf8_fold(folded), folded);
        if (folded != code)
            assert_true(utf8_is_word(code) || (code >= 0x24b6 && code <= 0x24cf));
    }
}

static void cjk_is_written_without_spaces(void **state)
{
    (void)state;
    static const uint32_t in[] = {0x4e00,  0x9fff, 0x3042, 0x30ab, 0x30fc, 0xac00, 0xd7a3, 0x1100,
                                  0x20000, 0x3007, 0xff71, 0xf900, 0x2f00, 0x3400, 0x323af};
    static const uint32_t out[] = {'a',    0xe9,    0x416,  0x5d0,   0x628,
                                   0x915,  0xe01,   0x3000, 0x3001,  0xff01,
                                   0xff21, 0x1f600, 0xa000, 0x323b0, 0x110000};
    for (size_t i = 0; i < MERIT_COUNT(in); i++)
        assert_true(utf8_is_cjk(in[i]));
    for (size_t i = 0; i < MERIT_COUNT(out); i++)
        assert_false(utf8_is_cjk(out[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(validity_follows_the_definition),
        cmocka_unit_test(code_points_go_there_and_back),
        cmocka_unit_test(words_are_letters_marks_and_numbers),
        cmocka_unit_test(folding_is_simple),
        cmocka_unit_test(cjk_is_written_without_spaces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
