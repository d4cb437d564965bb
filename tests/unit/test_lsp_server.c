// The server's parts and a whole session with every allocation failing once.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "helper/lsp_session.h"
#include "lsp/frame.h"
#include "lsp/grammar.h"
#include "lsp/roles.h"
#include "lsp/text.h"
#include "lsp/words.h"
#include "text/json.h"

static uint32_t check_frames(struct slice bytes, size_t piece, enum result *last)
{
    struct lsp_frames f;
    struct slice body;
    uint32_t count = 0;
    lsp_frames_init(&f);
    *last = RESULT_AGAIN;
    for (size_t at = 0; at < bytes.len; at += piece) {
        struct slice part = slice_head(slice_from(bytes, at), piece);
        while (part.len && *last != RESULT_PROTOCOL) {
            *last = lsp_frames_next(&f, &part, &body);
            count += *last == RESULT_OK;
        }
    }
    lsp_frames_deinit(&f);
    return count;
}

static void test_frames_in_any_pieces(void **state)
{
    (void)state;
    struct slice bytes =
        SLICE("Content-Length: 2\r\n\r\n{}content-length:0\r\nX: y\r\n\r\n"
              "Content-Length: 3\r\nContent-Type: a; charset=\"utf-8\"\r\n\r\n123");
    for (size_t piece = 1; piece <= bytes.len; piece++) {
        enum result last;
        assert_int_equal(check_frames(bytes, piece, &last), 3);
        assert_int_equal(last, RESULT_OK);
    }
    static const char *const broken[] = {"\r\n\r\n", "a\r\n\r\n", "X: 1\r\n\r\n",
                                         "Content-Length: x\r\n\r\n"};
    for (size_t i = 0; i < MERIT_COUNT(broken); i++) {
        enum result last;
        assert_int_equal(check_frames(slice_cstr(broken[i]), 3, &last), 0);
        assert_int_equal(last, RESULT_PROTOCOL);
    }
}

static void test_frame_that_does_not_fit_leaves_nothing(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 100);
    size_t from = lsp_frame_begin(&out);
    BUF_LIT(&out, "{\"a\":1}");
    assert_int_equal(lsp_frame_end(&out, from), RESULT_OK);
    assert_true(slice_eq(buf_slice(&out), SLICE("Content-Length: 7\r\n\r\n{\"a\":1}")));
    size_t before = out.len;
    from = lsp_frame_begin(&out);
    for (int i = 0; i < 50; i++)
        BUF_LIT(&out, "xxxx");
    assert_int_equal(lsp_frame_end(&out, from), RESULT_LIMIT);
    assert_int_equal(out.len, before);
    from = lsp_frame_begin(&out);
    BUF_LIT(&out, "[]");
    assert_int_equal(lsp_frame_end(&out, from), RESULT_OK);
    buf_deinit(&out);
}

static void test_positions(void **state)
{
    (void)state;
    struct lsp_text t;
    lsp_text_init(&t, 1000);
    // e with acute is 2 bytes and 1 unit, the rocket 4 bytes and 2 units.
    struct slice text = SLICE("a\r\n\xC3\xA9\xF0\x9F\x9A\x80z\rq\n");
    assert_int_equal(lsp_text_replace(&t, (struct span){0, 0}, text), RESULT_OK);
    assert_int_equal(t.line_count, 4);
    static const struct {
        uint32_t line, character, utf8, utf16, utf32;
    } places[] = {{0, 0, 0, 0, 0},   {0, 1, 1, 1, 1},    {0, 9, 1, 1, 1},    {1, 0, 3, 3, 3},
                  {1, 1, 3, 5, 5},   {1, 2, 5, 5, 9},    {1, 3, 5, 9, 10},   {1, 4, 5, 10, 10},
                  {1, 6, 9, 10, 10}, {2, 1, 12, 12, 12}, {3, 0, 13, 13, 13}, {3, 5, 13, 13, 13},
                  {9, 0, 13, 13, 13}};
    for (size_t i = 0; i < MERIT_COUNT(places); i++) {
        struct lsp_position p = {places[i].line, places[i].character};
        assert_int_equal(lsp_text_offset(&t, LSP_UTF8, p), places[i].utf8);
        assert_int_equal(lsp_text_offset(&t, LSP_UTF16, p), places[i].utf16);
        assert_int_equal(lsp_text_offset(&t, LSP_UTF32, p), places[i].utf32);
    }
    for (int e = LSP_UTF8; e <= LSP_UTF32; e++)
        for (uint32_t at = 0; at <= text.len; at++) {
            bool inside =
                (at < text.len && ((unsigned char)text.ptr[at] & 0xC0) == 0x80) || at == 2;
            struct lsp_position p = lsp_text_position(&t, (enum lsp_encoding)e, at);
            assert_true(inside || lsp_text_offset(&t, (enum lsp_encoding)e, p) == at);
        }
    assert_int_equal(lsp_text_replace(&t, (struct span){0, 0}, (struct slice){text.ptr, 0}),
                     RESULT_OK);
    lsp_text_deinit(&t);
}

static void test_text_over_its_cap_is_empty(void **state)
{
    (void)state;
    struct lsp_text t;
    lsp_text_init(&t, 8);
    assert_int_equal(lsp_text_replace(&t, (struct span){0, 0}, SLICE("a\nb\nc")), RESULT_OK);
    assert_int_equal(lsp_text_replace(&t, (struct span){5, 5}, SLICE("12345")), RESULT_LIMIT);
    assert_int_equal(t.bytes.len, 0);
    assert_int_equal(t.line_count, 1);
    assert_int_equal(lsp_text_replace(&t, (struct span){0, 0}, SLICE("x\n")), RESULT_OK);
    assert_int_equal(t.line_count, 2);
    lsp_text_deinit(&t);
}

static void test_every_word_of_the_grammar_has_help(void **state)
{
    (void)state;
    struct arena arena;
    struct lsp_grammar g;
    arena_init(&arena, 0, 1 << 22);
    assert_int_equal(lsp_grammar_open(LSP_GRAMMAR, &arena, &g), RESULT_OK);
    for (uint32_t i = 0; i < g.word_count; i++)
        if (!lsp_word_find(g.words[i]))
            fail_msg("src/lsp/words.c has no help for `%.*s`", SLICE_FMT(g.words[i]));
    for (size_t i = 0; i < lsp_word_count; i++)
        if (lsp_grammar_word(&g, slice_cstr(lsp_words[i].word)) == LSP_WORD_NONE)
            fail_msg("`%s` of src/lsp/words.c is no word of the grammar", lsp_words[i].word);
    arena_deinit(&arena);
}

static void test_grammars_that_are_none(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum result result;
    } cases[] = {
        {"statement = \"a\" ;", RESULT_OK},
        {"(* nothing *) statement = b ; b = \"x\" { NAME } [ \"->\" NUMBER | STRING ] ;",
         RESULT_OK},
        {"statement = \"a\"", RESULT_SYNTAX},
        {"statement = b ;", RESULT_SYNTAX}, // no such rule
        {"statement = \"a\" ; statement = \"b\" ;", RESULT_SYNTAX},
        {"statement = \"a\" b ; b = [ \"c\" ] ;", RESULT_SYNTAX}, // can be empty
        {"statement = \"a\" b ; b = { \"c\" } ;", RESULT_SYNTAX},
        {"statement = { \"a\" ;", RESULT_SYNTAX},
        {"statement = \"$\" ;", RESULT_SYNTAX}, // no mark of the language
        {"statement = ( \"a\" ] ;", RESULT_SYNTAX},
        {"= \"a\" ;", RESULT_SYNTAX},
        {"", RESULT_SYNTAX},
        {"(* for ever", RESULT_SYNTAX},
        {"statement = ((((((((((((((((((((((((((((((((((\"a\")))))))))))))))))))))))))))))))))) ;",
         RESULT_SYNTAX},
    };
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        struct arena arena;
        struct lsp_grammar g;
        arena_init(&arena, 0, 1 << 22);
        enum result r = lsp_grammar_open(slice_cstr(cases[i].text), &arena, &g);
        if (r != cases[i].result)
            fail_msg("%s: %s", cases[i].text, result_name(r));
        arena_deinit(&arena);
    }
}

// Whether the words can be a statement, and what comes next is what the grammar says.
static void test_recogniser(void **state)
{
    (void)state;
    struct arena arena;
    struct lsp_grammar g;
    struct lsp_reading r;
    uint32_t set;
    arena_init(&arena, 0, 1 << 22);
    struct slice text = SLICE("statement = \"set\" list ; list = item { \",\" item } ;"
                              "item = NAME [ \"(\" list \")\" ] | NUMBER ;");
    assert_int_equal(lsp_grammar_open(text, &arena, &g), RESULT_OK);
    assert_int_equal(lsp_reading_open(&r, &g), RESULT_OK);
    assert_false(lsp_reading_can_end(&r));
    assert_int_equal(lsp_reading_take(&r, TOKEN_WORD, SLICE("nothing"), &set), RESULT_NOT_FOUND);
    assert_int_equal(lsp_reading_take(&r, TOKEN_WORD, SLICE("set"), &set), RESULT_OK);
    assert_int_equal(lsp_reading_take(&r, TOKEN_WORD, SLICE("a"), &set), RESULT_OK);
    assert_true(lsp_reading_can_end(&r));
    assert_int_equal(lsp_reading_take(&r, TOKEN_OPEN, SLICE("("), &set), RESULT_OK);
    assert_false(lsp_reading_can_end(&r));
    assert_int_equal(lsp_reading_take(&r, TOKEN_NUMBER, SLICE("1"), &set), RESULT_OK);
    assert_int_equal(lsp_reading_take(&r, TOKEN_CLOSE, SLICE(")"), &set), RESULT_OK);
    assert_true(lsp_reading_can_end(&r));
    // A mistake is passed over: behind `, ,` the name stands where it would have behind one comma.
    assert_int_equal(lsp_reading_take(&r, TOKEN_COMMA, SLICE(","), &set), RESULT_OK);
    uint32_t behind_comma = r.newest;
    assert_int_equal(lsp_reading_take(&r, TOKEN_STRING, SLICE("\"x\""), &set), RESULT_NOT_FOUND);
    assert_int_equal(lsp_reading_take(&r, TOKEN_WORD, SLICE("b"), &set), RESULT_OK);
    assert_int_equal(set, behind_comma);
    assert_true(lsp_reading_can_end(&r));
    lsp_reading_close(&r);
    arena_deinit(&arena);
}

static const char *const session[] = {
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"capabilities\":{"
    "\"textDocument\":{\"codeAction\":{\"codeActionLiteralSupport\":{}}}}}}",
    "{\"jsonrpc\":\"2.0\",\"method\":\"textDocument/"
    "didOpen\",\"params\":{\"textDocument\":{\"uri\":"
    "\"file:///a\",\"version\":1,\"text\":\"" LSP_POLICY "\"}}}",
    "{\"jsonrpc\":\"2.0\",\"method\":\"textDocument/didChange\",\"params\":{\"textDocument\":{"
    "\"uri\":\"file:///a\",\"version\":2},\"contentChanges\":[{\"range\":{\"start\":{\"line\":7,"
    "\"character\":17},\"end\":{\"line\":7,\"character\":23}},\"text\":\"urgnt\"}]}}",
    "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"textDocument/codeAction\",\"params\":{"
    "\"textDocument\":{\"uri\":\"file:///a\"},\"range\":{\"start\":{\"line\":0,\"character\":0},"
    "\"end\":{\"line\":99,\"character\":0}}}}",
    "{\"jsonrpc\":\"2.0\",\"method\":\"textDocument/didChange\",\"params\":{\"textDocument\":{"
    "\"uri\":\"file:///a\",\"version\":3},\"contentChanges\":[{\"text\":\"" LSP_POLICY "\"}]}}",
    "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"textDocument/hover\",\"params\":{\"textDocument\":{"
    "\"uri\":\"file:///a\"},\"position\":{\"line\":7,\"character\":7}}}",
    "{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"textDocument/"
    "rename\",\"params\":{\"textDocument\":{"
    "\"uri\":\"file:///a\"},\"position\":{\"line\":5,\"character\":8},\"newName\":\"haste\"}}",
    "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"textDocument/completion\",\"params\":{"
    "\"textDocument\":{\"uri\":\"file:///a\"},\"position\":{\"line\":7,\"character\":17}}}",
    "{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"textDocument/formatting\",\"params\":{"
    "\"textDocument\":{\"uri\":\"file:///a\"}}}",
    "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"textDocument/semanticTokens/full\",\"params\":{"
    "\"textDocument\":{\"uri\":\"file:///a\"}}}",
    "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"textDocument/documentSymbol\",\"params\":{"
    "\"textDocument\":{\"uri\":\"file:///a\"}}}",
    "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"shutdown\"}",
};

// True when every message of the output is whole and is JSON; counts answers that are none of errors.
static bool well_formed(const struct buf *out, uint32_t *good)
{
    struct lsp_frames f;
    struct slice bytes = buf_slice(out), body;
    bool ok = true;
    lsp_frames_init(&f);
    *good = 0;
    while (bytes.len && ok) {
        struct arena arena;
        struct json j;
        arena_init(&arena, 0, 1 << 24);
        ok = lsp_frames_next(&f, &bytes, &body) == RESULT_OK &&
             json_parse(&j, body, &json_limits_default, &arena) == RESULT_OK;
        *good += ok && json_get(&j, 0, SLICE("result"), NULL) != JSON_NONE;
        arena_deinit(&arena);
    }
    lsp_frames_deinit(&f);
    return ok;
}

static bool run_session(uint64_t fail_at, uint32_t *good)
{
    struct lsp_server *s = NULL;
    uint64_t before = alloc_count();
    alloc_fail_at(fail_at, 0);
    enum result r = lsp_server_open(&signal_registry, &s);
    for (size_t i = 0; i < MERIT_COUNT(session) && !r; i++) {
        lsp_send(s, session[i]);
        lsp_work(s, (uint64_t)i * 1000000, true);
    }
    bool reached = alloc_count() - before >= fail_at;
    alloc_fail_at(0, 0);
    if (!r)
        assert_true(well_formed(lsp_server_output(s), good));
    lsp_server_close(s);
    return reached && fail_at;
}

static void test_a_session(void **state)
{
    (void)state;
    uint32_t good = 0;
    run_session(0, &good);
    assert_int_equal(good, 9);
}

static void test_every_allocation_fails_once(void **state)
{
    (void)state;
    uint32_t good = 0;
    uint64_t n = 1;
    // Every one of the first thousand, then samples: the later ones are those of proofs, which have tests of their own.
    while (run_session(n, &good))
        n += n < 1000 ? 1 : 1 + n / 50;
    assert_true(n > 500);
    assert_int_equal(good, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_in_any_pieces),
        cmocka_unit_test(test_frame_that_does_not_fit_leaves_nothing),
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_text_over_its_cap_is_empty),
        cmocka_unit_test(test_every_word_of_the_grammar_has_help),
        cmocka_unit_test(test_grammars_that_are_none),
        cmocka_unit_test(test_recogniser),
        cmocka_unit_test(test_a_session),
        cmocka_unit_test(test_every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
