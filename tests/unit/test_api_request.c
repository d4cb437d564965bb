// Chat bodies into work: what is read, what is refused with which words, what is left alone.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/openai_request.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"

static struct arena arena;
static struct work w;
static struct openai_request q;
static struct openai_fault fault;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 16, 1 << 24);
    memset(&w, 0xa5, sizeof w);
    w.headers = NULL;
    w.header_count = 0;
    memset(&w.caller, 0, sizeof w.caller);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_deinit(&arena);
    return 0;
}

static enum result parse(const char *body)
{
    memset(&fault, 0, sizeof fault);
    return openai_request_parse(slice_cstr(body), &arena, &w, &q, &fault);
}

static void ok(const char *body)
{
    enum result r = parse(body);
    if (r)
        print_error("%s: %s: %.*s\n", body, fault.code, SLICE_FMT(fault.message));
    assert_int_equal(r, RESULT_OK);
}

#define USER "{\"role\":\"user\",\"content\":\"hi\"}"
#define WITH(fields) "{\"messages\":[" USER "]," fields "}"

static void reads_an_ordinary_request(void **state)
{
    (void)state;
    const char *body =
        "{\"model\":\"gpt-4o\",\"stream\":true,\"stream_options\":{\"include_usage\":true},"
        "\"max_tokens\":100,\"n\":2,\"temperature\":0.5,\"unknown\":{\"deep\":[1,{}]},"
        "\"messages\":[{\"role\":\"system\",\"content\":\"be brief\"},"
        "{\"role\":\"user\",\"name\":\"x\",\"content\":[{\"type\":\"text\",\"text\":"
        "\"a\\u00e9\\n\"},"
        "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:x\"}},{\"type\":\"novel\"}]}]}";
    ok(body);
    assert_true(slice_eq(w.model_asked, SLICE("gpt-4o")));
    assert_true(w.stream && w.usage_asked);
    assert_int_equal(w.max_output_tok, 100);
    assert_int_equal(w.choices, 2);
    assert_true(q.multiple_choices);
    assert_int_equal(w.message_count, 2);
    assert_int_equal(w.part_count, 4);
    assert_int_equal(w.messages[0].role, WORK_SYSTEM);
    assert_int_equal(w.messages[1].part_first, 1);
    assert_int_equal(w.messages[1].part_count, 3);
    assert_true(slice_eq(w.parts[1].text, SLICE("a\xc3\xa9\n")));
    assert_true(slice_eq(w.parts[1].raw, SLICE("a\\u00e9\\n")));
    assert_ptr_equal(w.parts[0].text.ptr, w.parts[0].raw.ptr);
    assert_int_equal(w.parts[2].kind, WORK_IMAGE);
    assert_int_equal(w.parts[3].kind, WORK_PART_OTHER);
    assert_int_equal(w.image_count, 1);
    assert_int_equal(w.needs, WORK_NEED_IMAGES);
    assert_int_equal(w.anchor, 1);
    assert_true(w.input_tok > 0);
    assert_true(slice_eq(json_raw(&q.json, q.model), SLICE("gpt-4o")));
    assert_int_equal(json_type(&q.json, q.include_usage), JSON_TRUE);
    assert_true(slice_eq(json_raw(&q.json, q.max_tokens), SLICE("100")));
    assert_int_equal(q.max_completion_tokens, JSON_NONE);
    assert_int_equal(w.tool_count, 0);
    assert_int_equal(w.metadata_count, 0);
}

static void reads_tools_and_formats(void **state)
{
    (void)state;
    ok(WITH("\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"get\\u005fit\"}},"
            "{\"type\":\"web_search\"},{\"type\":\"custom\",\"name\":\"c\"}],"
            "\"functions\":[{\"name\":\"old\"}],\"tool_choice\":\"required\","
            "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{}},\"logprobs\":true"));
    assert_int_equal(w.tool_count, 4);
    assert_true(slice_eq(w.tool_names[0], SLICE("get_it")));
    assert_true(slice_eq(w.tool_names[1], SLICE("web_search")));
    assert_true(slice_eq(w.tool_names[2], SLICE("c")));
    assert_true(slice_eq(w.tool_names[3], SLICE("old")));
    assert_true(w.tool_required);
    assert_int_equal(w.format, WORK_FORMAT_SCHEMA);
    assert_int_equal(w.needs, WORK_NEED_TOOLS | WORK_NEED_SCHEMA | WORK_NEED_LOGPROBS);
    assert_true(w.tool_bytes > 100);
    static const struct {
        const char *fields;
        bool required;
    } choices[] = {
        {"\"tool_choice\":\"none\"", false},
        {"\"tool_choice\":null", false},
        {"\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"a\"}}", true},
        {"\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"auto\"}}",
         false},
        {"\"tool_choice\":{\"type\":\"allowed_tools\",\"mode\":\"required\"}", true},
        {"\"function_call\":{\"name\":\"a\"}", true},
        {"\"function_call\":\"auto\"", false},
    };
    for (size_t i = 0; i < MERIT_COUNT(choices); i++) {
        char body[512];
        snprintf(body, sizeof body, "{\"messages\":[" USER "],%s}", choices[i].fields);
        ok(body);
        assert_int_equal(w.tool_required, choices[i].required);
        assert_int_equal(w.needs, 0);
    }
}

static void reads_a_tool_loop(void **state)
{
    (void)state;
    ok("{\"messages\":[" USER ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{},{}]},"
       "{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"r\"},"
       "{\"role\":\"assistant\",\"function_call\":{}},{\"role\":\"function\",\"content\":\"r\"},"
       "{\"role\":\"critic\"}]}");
    assert_int_equal(w.messages[1].tool_calls, 2);
    assert_int_equal(w.messages[1].part_count, 0);
    assert_int_equal(w.messages[3].tool_calls, 1);
    assert_int_equal(w.messages[4].role, WORK_TOOL);
    assert_int_equal(w.messages[5].role, WORK_OTHER);
    assert_int_equal(w.anchor, 0);
}

static void reads_other_kinds(void **state)
{
    (void)state;
    ok("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\"},{\"type\":"
       "\"file\"},"
       "{\"type\":\"refusal\",\"refusal\":\"no\"}]}],\"max_tokens\":5,\"max_completion_tokens\":9,"
       "\"modalities\":[\"text\",\"audio\"],\"metadata\":{\"a\":\"b\",\"n\":1,\"user_id\":\"u1\"}"
       "}");
    assert_int_equal(w.needs, WORK_NEED_AUDIO | WORK_NEED_FILES);
    assert_int_equal(w.audio_count, 1);
    assert_true(slice_eq(w.parts[2].text, SLICE("no")));
    assert_int_equal(w.max_output_tok, 9);
    assert_int_equal(w.metadata_count, 2);
    assert_true(slice_eq(w.session, SLICE("u1")));
    assert_int_equal(w.model_asked.len, 0);
    assert_int_equal(q.model, JSON_NONE);
}

// llama.cpp's name of the limit goes above the others; engines that do not know it are limited by none.
static void the_largest_limit_counts(void **state)
{
    static const struct {
        const char *body;
        uint32_t most;
    } cases[] = {
        {WITH("\"max_tokens\":5,\"n_predict\":70"), 70},
        {WITH("\"max_tokens\":5,\"n_predict\":4"), 5},
        {WITH("\"max_tokens\":5,\"max_completion_tokens\":8,\"n_predict\":null"), 8},
        {WITH("\"max_tokens\":5,\"n_predict\":-1"), 0},
        {WITH("\"max_tokens\":5,\"n_predict\":\"9\""), 0},
        {WITH("\"max_tokens\":5,\"n_predict\":1e300"), 0},
        {WITH("\"n_predict\":70"), 0},
    };
    (void)state;
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        ok(cases[i].body);
        assert_int_equal(w.max_output_tok, cases[i].most);
        assert_int_not_equal(q.n_predict, JSON_NONE);
    }
}

static void the_best_session_wins(void **state)
{
    (void)state;
    static const struct work_pair headers[] = {{{"session_id", 10}, {"pi", 2}},
                                               {{"accept", 6}, {"*", 1}},
                                               {{"x-session-id", 12}, {"first", 5}},
                                               {{"x-inferoa-session-id", 20}, {"second", 6}}};
    const char *body = WITH("\"user\":\"u\",\"prompt_cache_key\":\"k\"");
    ok(body);
    assert_true(slice_eq(w.session, SLICE("k")));
    w.headers = headers;
    w.header_count = 1;
    ok(body);
    assert_true(slice_eq(w.session, SLICE("pi")));
    w.header_count = MERIT_COUNT(headers);
    ok(body);
    assert_true(slice_eq(w.session, SLICE("first")));
    w.header_count = 0;
    ok(WITH("\"user\":\"u\""));
    assert_true(slice_eq(w.session, SLICE("u")));
    ok(WITH("\"user\":\"u\",\"metadata\":{\"user_id\":\"m\"},\"session_id\":\"s\""));
    assert_true(slice_eq(w.session, SLICE("s")));
    ok("{\"messages\":[" USER "]}");
    assert_int_equal(w.session.len, 0);
}

static void refuses_with_reasons(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        enum result r;
        const char *code, *param;
    } rows[] = {
        {"", RESULT_SYNTAX, "invalid_json", NULL},
        {"{\"messages\":[" USER "],}", RESULT_SYNTAX, "invalid_json", NULL},
        {"[]", RESULT_TYPE, "invalid_type", NULL},
        {"{}", RESULT_NOT_FOUND, "missing_field", "messages"},
        {"{\"messages\":[]}", RESULT_RANGE, "invalid_value", "messages"},
        {"{\"messages\":null}", RESULT_TYPE, "invalid_type", "messages"},
        {"{\"messages\":{}}", RESULT_TYPE, "invalid_type", "messages"},
        {"{\"messages\":[1]}", RESULT_TYPE, "invalid_type", "messages[0]"},
        {"{\"messages\":[" USER ",{\"content\":\"\"}]}", RESULT_NOT_FOUND, "missing_field",
         "messages[1].role"},
        {"{\"messages\":[{\"role\":1}]}", RESULT_TYPE, "invalid_type", "messages[0].role"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":1}]}", RESULT_TYPE, "invalid_type",
         "messages[0].content"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[\"x\"]}]}", RESULT_TYPE, "invalid_type",
         "messages[0].content"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}]}", RESULT_TYPE,
         "invalid_type", "messages[0].content"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}", RESULT_TYPE,
         "invalid_type", "messages[0].content"},
        {"{\"messages\":[{\"role\":\"user\",\"r\\u006fle\":\"tool\"}]}", RESULT_DUPLICATE,
         "duplicate_field", "messages[0]"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"a\",\"type\":\"b\"}]}]}",
         RESULT_DUPLICATE, "duplicate_field", "messages[0].content"},
        {"{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":{}}]}", RESULT_TYPE, "invalid_type",
         "messages[0].tool_calls"},
        {WITH("\"messages\":[]"), RESULT_DUPLICATE, "duplicate_field", "messages"},
        {WITH("\"model\":\"a\",\"mod\\u0065l\":\"b\""), RESULT_DUPLICATE, "duplicate_field",
         "model"},
        {WITH("\"model\":1"), RESULT_TYPE, "invalid_type", "model"},
        {WITH("\"stream\":\"yes\""), RESULT_TYPE, "invalid_type", "stream"},
        {WITH("\"stream_options\":[]"), RESULT_TYPE, "invalid_type", "stream_options"},
        {WITH("\"stream_options\":{\"include_usage\":true,\"include_usage\":false}"),
         RESULT_DUPLICATE, "duplicate_field", "stream_options"},
        {WITH("\"max_tokens\":\"5\""), RESULT_TYPE, "invalid_type", "max_tokens"},
        {WITH("\"max_tokens\":0"), RESULT_RANGE, "invalid_value", "max_tokens"},
        {WITH("\"max_tokens\":-1"), RESULT_RANGE, "invalid_value", "max_tokens"},
        {WITH("\"max_completion_tokens\":1.5"), RESULT_RANGE, "invalid_value",
         "max_completion_tokens"},
        {WITH("\"n_predict\":1,\"n_predict\":2"), RESULT_DUPLICATE, "duplicate_field", "n_predict"},
        {WITH("\"n\":129"), RESULT_RANGE, "invalid_value", "n"},
        {WITH("\"tools\":{}"), RESULT_TYPE, "invalid_type", "tools"},
        {WITH("\"tools\":[1]"), RESULT_TYPE, "invalid_type", "tools"},
        {WITH("\"tools\":[{}]"), RESULT_TYPE, "invalid_type", "tools"},
        {WITH("\"tool_choice\":1"), RESULT_TYPE, "invalid_type", "tool_choice"},
        {WITH("\"response_format\":\"json\""), RESULT_TYPE, "invalid_type", "response_format"},
        {WITH("\"response_format\":{}"), RESULT_TYPE, "invalid_type", "response_format"},
        {WITH("\"metadata\":[]"), RESULT_TYPE, "invalid_type", "metadata"},
        {WITH("\"metadata\":{\"a\":\"1\",\"\\u0061\":\"2\"}"), RESULT_DUPLICATE, "duplicate_field",
         "metadata"},
        {WITH("\"modalities\":1"), RESULT_TYPE, "invalid_type", "modalities"},
        {WITH("\"user\":5"), RESULT_TYPE, "invalid_type", "user"},
        {WITH("\"logprobs\":2"), RESULT_TYPE, "invalid_type", "logprobs"},
        {"{\"messages\":\"\xff\"}", RESULT_UTF8, "invalid_json", NULL},
    };
    for (size_t i = 0; i < MERIT_COUNT(rows); i++) {
        enum result r = parse(rows[i].body);
        if (r != rows[i].r || !fault.code || strcmp(fault.code, rows[i].code) != 0)
            print_error("%s: %d %s\n", rows[i].body, (int)r, fault.code ? fault.code : "-");
        assert_int_equal(r, rows[i].r);
        assert_string_equal(fault.code, rows[i].code);
        if (rows[i].param)
            assert_string_equal(fault.param, rows[i].param);
        else
            assert_null(fault.param);
        assert_int_equal(fault.status, 400);
        assert_true(fault.message.len > 10);
    }
}

// Nulls stand for absence, as SDKs send them.
static void nulls_are_absent(void **state)
{
    (void)state;
    ok(WITH("\"model\":null,\"stream\":null,\"stream_options\":null,\"max_tokens\":null,"
            "\"n\":null,\"tools\":null,\"functions\":null,\"tool_choice\":null,"
            "\"response_format\":null,\"logprobs\":null,\"metadata\":null,\"modalities\":null,"
            "\"user\":null,\"prompt_cache_key\":null"));
    assert_int_equal(w.needs, 0);
    assert_int_equal(w.choices, 1);
}

static void limits_are_named(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 22);
    BUF_LIT(&b, "{\"messages\":[" USER);
    for (int i = 1; i < WORK_MESSAGES_MAX; i++)
        BUF_LIT(&b, "," USER);
    size_t most = b.len;
    BUF_LIT(&b, "]}");
    assert_int_equal(openai_request_parse(buf_slice(&b), &arena, &w, &q, &fault), RESULT_OK);
    b.len = most;
    BUF_LIT(&b, "," USER "]}");
    assert_int_equal(openai_request_parse(buf_slice(&b), &arena, &w, &q, &fault), RESULT_LIMIT);
    assert_string_equal(fault.code, "limit");
    assert_string_equal(fault.param, "messages");
    buf_reset(&b);
    BUF_LIT(&b, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"x\"}");
    for (int i = 1; i < WORK_PARTS_MAX; i++)
        BUF_LIT(&b, ",{\"type\":\"x\"}");
    most = b.len;
    BUF_LIT(&b, "]}]}");
    assert_int_equal(openai_request_parse(buf_slice(&b), &arena, &w, &q, &fault), RESULT_OK);
    assert_int_equal(w.part_count, WORK_PARTS_MAX);
    b.len = most;
    BUF_LIT(&b, ",{\"type\":\"x\"}]}]}");
    assert_int_equal(openai_request_parse(buf_slice(&b), &arena, &w, &q, &fault), RESULT_LIMIT);
    buf_reset(&b);
    BUF_LIT(&b, "{\"messages\":[" USER "],\"metadata\":{\"m\":\"");
    for (int i = 0; i <= WORK_METADATA_VALUE_MAX; i++)
        buf_byte(&b, 'x');
    BUF_LIT(&b, "\"}}");
    assert_int_equal(openai_request_parse(buf_slice(&b), &arena, &w, &q, &fault), RESULT_LIMIT);
    assert_string_equal(fault.param, "metadata");
    buf_deinit(&b);
}

static void memory_runs_out_cleanly(void **state)
{
    (void)state;
    const char *body = WITH("\"model\":\"\\u0061\",\"tools\":[{\"name\":\"\\u0062\"}],"
                            "\"metadata\":{\"\\u0063\":\"\\u0064\"}");
    uint64_t n = 1;
    for (enum result r = RESULT_NOMEM; r; n++) {
        struct arena a;
        arena_init(&a, 32, 1 << 20);
        alloc_fail_at(n, 0);
        r = openai_request_parse(slice_cstr(body), &a, &w, &q, &fault);
        alloc_fail_at(0, 0);
        assert_true(r == RESULT_OK || (r == RESULT_NOMEM && fault.status == 500));
        arena_deinit(&a);
    }
    assert_true(n > 4);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_an_ordinary_request), TEST(reads_tools_and_formats),
        TEST(reads_a_tool_loop),         TEST(reads_other_kinds),
        TEST(the_largest_limit_counts),  TEST(the_best_session_wins),
        TEST(refuses_with_reasons),      TEST(nulls_are_absent),
        TEST(limits_are_named),          TEST(memory_runs_out_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
