// The simulation's logic without sockets: directives, requests, answers, and that all it writes is JSON of the right
// shape.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "sim/wire.h"

static struct arena arena;

static int begin(void **state)
{
    (void)state;
    arena_init(&arena, 0, 64 << 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_deinit(&arena);
    return 0;
}

static struct sim_request read_ok(const char *body)
{
    struct sim_request r;
    struct sim_error e;
    enum result res = sim_request_read(&r, slice_cstr(body), SLICE_EMPTY, &arena, &e);
    if (res)
        fail_msg("%s: %.*s", body, SLICE_FMT(e.message));
    return r;
}

static struct slice text_of(const struct sim_answer *a)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    for (uint32_t i = 0; i < a->count; i++)
        buf_add(&b, a->tokens[i]);
    struct slice s = arena_copy(&arena, buf_slice(&b));
    buf_deinit(&b);
    return s;
}

static struct sim_answer answer(const struct sim_request *r, uint32_t choice, uint32_t tokens)
{
    struct sim_answer a;
    assert_int_equal(
        sim_answer(r, sim_profile_for(r->model), r->model, choice, 1, tokens, &arena, &a),
        RESULT_OK);
    return a;
}

#define ASK(model, rest, text)                                                                     \
    "{\"model\":\"" model "\"," rest                                                               \
    "\"messages\":[{\"role\":\"system\",\"content\":\"Be kind.\"},"                                \
    "{\"role\":\"user\",\"content\":\"" text "\"}]}"

static void directives_read(void **state)
{
    (void)state;
    struct sim_directive d;
    struct slice bad;
    assert_int_equal(
        sim_directive_parse(
            SLICE(" status=429  retry-after=2 delay=500ms slow=2s cut after=3 headers=9000 "
                  "tokens=7 times=2 model=deep port=81 type=text/plain no-usage no-done"),
            &d, &bad),
        RESULT_OK);
    assert_int_equal(d.status, 429);
    assert_int_equal(d.retry_after_s, 2);
    assert_int_equal(d.delay_ms, 500);
    assert_int_equal(d.slow_ms, 2000);
    assert_int_equal(d.cut_after, 3);
    assert_int_equal(d.error_after, UINT32_MAX);
    assert_int_equal(d.header_bytes, 9000);
    assert_int_equal(d.tokens, 7);
    assert_int_equal(d.times, 2);
    assert_int_equal(d.port, 81);
    assert_true(slice_eq_cstr(d.model, "deep"));
    assert_true(slice_eq_cstr(d.type, "text/plain"));
    assert_true(d.no_usage && d.no_done && !d.garbage && !d.empty);
    static const char *const wrong[] = {"stauts=429", "status=42", "after=3",  "delay=5",
                                        "delay=-1ms", "cut=3",     "tokens=x", "garbage=1",
                                        "delay=2h",   "status",    "model=",   "delay=9999s"};
    for (size_t i = 0; i < MERIT_COUNT(wrong); i++) {
        assert_int_equal(sim_directive_parse(slice_cstr(wrong[i]), &d, &bad), RESULT_SYNTAX);
        assert_true(slice_eq_cstr(bad, wrong[i]));
    }
}

static void requests_read(void **state)
{
    (void)state;
    struct sim_request r =
        read_ok("{\"model\":\"deep\",\"stream\":true,\"stream_options\":{\"include_usage\":true},"
                "\"n\":2,\"max_tokens\":9,\"stop\":[\"a\",\"b\"],\"logprobs\":true,"
                "\"response_format\":{\"type\":\"json_object\"},\"messages\":["
                "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"one\"},"
                "{\"type\":\"image_url\",\"image_url\":{\"url\":\"x\"}},"
                "{\"type\":\"text\",\"text\":\"tw\\u00f6 [[sim: cut after=1]] x\"}]}]}");
    assert_true(r.stream && r.usage && r.logprobs && r.wants_json);
    assert_int_equal(r.choices, 2);
    assert_int_equal(r.max_tok, 9);
    assert_int_equal(r.stop_count, 2);
    assert_true(slice_eq_cstr(r.user, "one\ntw\xc3\xb6 [[sim: cut after=1]] x"));
    assert_true(slice_eq_cstr(r.directive, " cut after=1"));
    r = read_ok(ASK("x", "\"metadata\":{\"sim\":\"empty\"},", "[[sim: hang]]"));
    assert_true(slice_eq_cstr(r.directive, "empty"));
    static const struct {
        const char *body, *want;
    } wrong[] = {
        {"", "not a JSON object"},
        {"[]", "not a JSON object"},
        {"{\"model\":\"x\",}", "not a JSON object"},
        {"{\"messages\":[]}", "model parameter"},
        {"{\"model\":\"x\"}", "at least one"},
        {"{\"model\":\"x\",\"messages\":[]}", "at least one"},
        {"{\"model\":\"x\",\"messages\":[1]}", "an object"},
        {"{\"model\":\"x\",\"messages\":[{\"content\":\"x\"}]}", "'role'"},
        {"{\"model\":\"x\",\"n\":9,\"messages\":[{\"role\":\"user\"}]}", "'n' must"},
        {"{\"model\":\"x\",\"max_tokens\":1.5,\"messages\":[{\"role\":\"user\"}]}",
         "'max_tokens' must"},
    };
    for (size_t i = 0; i < MERIT_COUNT(wrong); i++) {
        struct sim_error e;
        assert_int_equal(sim_request_read(&r, slice_cstr(wrong[i].body), SLICE_EMPTY, &arena, &e),
                         RESULT_SYNTAX);
        assert_int_equal(e.status, 400);
        if (slice_find(e.message, slice_cstr(wrong[i].want)) < 0)
            fail_msg("%s: %.*s", wrong[i].body, SLICE_FMT(e.message));
    }
}

static void answers_repeat_and_differ(void **state)
{
    (void)state;
    struct slice texts[SIM_PROFILES];
    for (size_t i = 0; i < SIM_PROFILES; i++) {
        struct sim_request r = read_ok(ASK("swift", "", "Why is the sky blue?"));
        r.model = slice_cstr(sim_profiles[i].name);
        struct sim_answer a = answer(&r, 0, UINT32_MAX), b = answer(&r, 0, UINT32_MAX),
                          c = answer(&r, 1, UINT32_MAX);
        texts[i] = text_of(&a);
        assert_true(slice_eq(texts[i], text_of(&b)));
        // Two of the ten single sentences of a short answer may be the same.
        assert_true(sim_profiles[i].manner == SIM_SHORT || !slice_eq(texts[i], text_of(&c)));
        assert_true(slice_find(texts[i], SLICE("simulated")) >= 0);
        assert_true(slice_find(texts[i], SLICE("Why is the sky blue")) >= 0);
        assert_true(slice_find(texts[i], r.model) >= 0);
        assert_string_equal(a.finish, "stop");
        r.seed = 77;
        b = answer(&r, 0, UINT32_MAX);
        assert_true(sim_profiles[i].manner == SIM_SHORT || !slice_eq(texts[i], text_of(&b)));
    }
    assert_true(texts[3].len > texts[1].len && texts[1].len > texts[0].len);
    assert_true(slice_find(texts[2], SLICE("\n1. ")) > 0 &&
                slice_find(texts[2], SLICE("\n3. ")) > 0);
}

static void limits_and_stops_hold(void **state)
{
    (void)state;
    struct sim_request r = read_ok(ASK("vast", "\"max_tokens\":5,", "hello"));
    struct sim_answer a = answer(&r, 0, UINT32_MAX);
    assert_int_equal(a.count, 5);
    assert_string_equal(a.finish, "length");
    r = read_ok(ASK("vast", "\"stop\":\"answer\",", "hello"));
    a = answer(&r, 0, UINT32_MAX);
    assert_string_equal(a.finish, "stop");
    assert_true(slice_eq_cstr(text_of(&a), "This is a simulated "));
    r = read_ok(ASK("swift", "", "hello"));
    static const uint32_t counts[] = {0, 1, 64, 5000};
    for (size_t i = 0; i < MERIT_COUNT(counts); i++) {
        a = answer(&r, 0, counts[i]);
        assert_int_equal(a.count, counts[i]);
        assert_string_equal(a.finish, "stop");
    }
}

#define TOOLS                                                                                      \
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"parameters\":{"    \
    "\"type\":\"object\","                                                                         \
    "\"properties\":{\"city\":{\"type\":\"string\"},\"unit\":{\"enum\":[\"c\",\"f\"]},\"days\":{"  \
    "\"type\":\"integer\","                                                                        \
    "\"minimum\":3},\"deep\":{\"type\":\"array\",\"items\":{\"type\":\"boolean\"}}}}}},"           \
    "{\"type\":\"function\",\"function\":{\"name\":\"bash\",\"parameters\":{\"type\":\"object\","  \
    "\"properties\":"                                                                              \
    "{\"command\":{\"type\":\"string\"}}}}}],"

static void tools_are_called_when_asked(void **state)
{
    (void)state;
    static const struct {
        const char *body, *tool, *arguments;
    } cases[] = {
        {ASK("deep", TOOLS, "What is 2+2?"), NULL, NULL},
        {ASK("deep", TOOLS, "Get weather for Paris."), "get_weather",
         "{\"city\": \"Paris\", \"unit\": \"c\", \"days\": 3, \"deep\": [true]}"},
        {ASK("deep", TOOLS, "please run BASH with `echo \\\"hi\\\"`"), "bash",
         "{\"command\": \"echo \\\"hi\\\"\"}"},
        {ASK("deep", TOOLS, "use a tool on it"), "get_weather", NULL},
        {ASK("deep", TOOLS "\"tool_choice\":\"none\",", "use a tool"), NULL, NULL},
        {ASK("deep", TOOLS "\"tool_choice\":\"required\",", "hello you"), "get_weather", NULL},
        {ASK("deep",
             TOOLS "\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"bash\"}},",
             "hello"),
         "bash", "{\"command\": \"hello\"}"},
        {"{\"model\":\"deep\"," TOOLS
         "\"messages\":[{\"role\":\"user\",\"content\":\"use the tool bash\"},"
         "{\"role\":\"assistant\",\"content\":null},{\"role\":\"tool\",\"content\":\"4 files\"}]}",
         NULL, NULL},
    };
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        struct sim_request r = read_ok(cases[i].body);
        struct sim_answer a = answer(&r, 0, UINT32_MAX);
        assert_int_equal(a.tool_call, cases[i].tool != NULL);
        assert_string_equal(a.finish, cases[i].tool ? "tool_calls" : "stop");
        if (cases[i].tool)
            assert_true(slice_eq_cstr(r.tool, cases[i].tool));
        if (cases[i].arguments && !slice_eq_cstr(text_of(&a), cases[i].arguments))
            fail_msg("%.*s", SLICE_FMT(text_of(&a)));
        if (i + 1 == MERIT_COUNT(cases))
            assert_true(slice_find(text_of(&a), SLICE("4 files")) > 0);
    }
}

static void schemas_are_followed(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *want;
    } cases[] = {
        {"{\"type\":\"string\"}", "\"h\\\"i\""},
        {"{\"const\":\"a\\\"b\"}", "\"a\\\"b\""},
        {"{\"const\":3}", "3"},
        {"{\"type\":[\"number\",\"null\"]}", "1"},
        {"{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"string\"}]}", "null"},
        {"{\"properties\":{\"x\":{\"$ref\":\"#/$defs/"
         "X\"}},\"$defs\":{\"X\":{\"type\":\"boolean\"}}}",
         "{\"x\": true}"},
        {"{\"$ref\":\"other.json\"}", "\"h\\\"i\""},
        {"true", "null"},
        {"{}", "\"h\\\"i\""},
    };
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        struct json j;
        struct buf out;
        buf_init(&out, 1 << 20);
        assert_int_equal(json_parse(&j, slice_cstr(cases[i].schema), &json_limits_default, &arena),
                         RESULT_OK);
        sim_schema_write(&j, 0, SLICE("h\"i"), &out);
        if (!slice_eq_cstr(buf_slice(&out), cases[i].want))
            fail_msg("%s: %.*s", cases[i].schema, SLICE_FMT(buf_slice(&out)));
        buf_deinit(&out);
    }
    // One that names itself ten times over ends soon.
    struct buf schema, out;
    buf_init(&schema, 1 << 20);
    buf_init(&out, 1 << 20);
    BUF_LIT(&schema, "{\"type\":\"object\",\"properties\":{");
    for (int i = 0; i < 10; i++)
        buf_printf(&schema, "%s\"p%d\":{\"$ref\":\"#/\"}", i ? "," : "", i);
    BUF_LIT(&schema, "}}");
    struct json j, back;
    assert_int_equal(json_parse(&j, buf_slice(&schema), &json_limits_default, &arena), RESULT_OK);
    sim_schema_write(&j, 0, SLICE("x"), &out);
    assert_true(out.len < 100000);
    assert_int_equal(json_parse(&back, buf_slice(&out), &json_limits_default, &arena), RESULT_OK);
    buf_deinit(&schema);
    buf_deinit(&out);
}

static struct sim_wire wire_of(struct sim_request *r, struct sim_answer *answers)
{
    for (uint32_t i = 0; i < r->choices; i++)
        answers[i] = answer(r, i, UINT32_MAX);
    return (struct sim_wire){.id = SLICE("chatcmpl-sim-1"),
                             .model = r->model,
                             .created_s = 5,
                             .request = r,
                             .answers = answers};
}

static uint32_t get(const struct json *j, uint32_t at, const char *path)
{
    struct slice rest = slice_cstr(path), step;
    while (at != JSON_NONE && slice_split(&rest, '.', &step)) {
        if (step.ptr[0] >= '0' && step.ptr[0] <= '9') {
            uint32_t cursor = 0, n = (uint32_t)(step.ptr[0] - '0'), value = JSON_NONE;
            for (uint32_t i = 0; i <= n; i++)
                if (!json_element(j, at, &cursor, &value))
                    return JSON_NONE;
            at = value;
        } else {
            at = json_get(j, at, step, NULL);
        }
    }
    return at;
}

static void assert_at(const struct json *j, const char *path, const char *want)
{
    uint32_t t = get(j, 0, path);
    if (t == JSON_NONE || !slice_eq_cstr(json_raw(j, t), want))
        fail_msg("%s is not %s: %.*s", path, want, SLICE_FMT(j->text));
}

// The stream's pieces, put together again, are the whole answer; the usage is the same.
static void stream_equals_whole(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        ASK("steady", "\"n\":3,\"logprobs\":true,\"stream_options\":{\"include_usage\":true},",
            "Tell me \\\"more\\\""),
        ASK("deep", TOOLS "\"stream_options\":{\"include_usage\":true},", "get weather in Rome"),
        ASK("swift",
            "\"response_format\":{\"type\":\"json_object\"},\"stream_options\":{\"include_usage\":"
            "true},",
            "x"),
    };
    for (size_t b = 0; b < MERIT_COUNT(bodies); b++) {
        struct sim_request r = read_ok(bodies[b]);
        struct sim_answer answers[SIM_CHOICES_MAX];
        struct sim_wire w = wire_of(&r, answers);
        struct buf whole, event, texts[SIM_CHOICES_MAX];
        buf_init(&whole, 1 << 20);
        buf_init(&event, 1 << 20);
        for (uint32_t i = 0; i < r.choices; i++)
            buf_init(texts + i, 1 << 20);
        sim_wire_completion(&w, &whole);
        struct json all, j;
        assert_int_equal(json_parse(&all, buf_slice(&whole), &json_limits_default, &arena),
                         RESULT_OK);
        assert_at(&all, "object", "chat.completion");
        struct sim_cursor at = {0};
        uint32_t events = 0, finished = 0;
        bool done = false, usage = false;
        for (; sim_wire_event(&w, &at, &event); buf_reset(&event), events++) {
            struct slice data = buf_slice(&event);
            assert_false(done);
            assert_true(slice_starts_with(data, SLICE("data: ")) &&
                        slice_ends_with(data, SLICE("\n\n")));
            data = slice_make(data.ptr + 6, data.len - 8);
            if ((done = slice_eq_cstr(data, "[DONE]")))
                continue;
            assert_int_equal(json_parse(&j, data, &json_limits_default, &arena), RESULT_OK);
            assert_at(&j, "object", "chat.completion.chunk");
            uint32_t choice = get(&j, 0, "choices.0");
            if (choice == JSON_NONE) {
                assert_true(slice_eq(json_raw(&j, get(&j, 0, "usage")),
                                     json_raw(&all, get(&all, 0, "usage"))));
                usage = true;
                continue;
            }
            assert_at(&j, "usage", "null");
            uint64_t index;
            assert_int_equal(json_u64(&j, get(&j, choice, "index"), &index), RESULT_OK);
            uint32_t text = get(&j, choice, "delta.content");
            if (text == JSON_NONE || json_type(&j, text) != JSON_STRING)
                text = get(&j, choice, "delta.tool_calls.0.function.arguments");
            if (text != JSON_NONE)
                buf_add(texts + index, json_string(&j, text, &arena));
            uint32_t finish = get(&j, choice, "finish_reason");
            if (json_type(&j, finish) == JSON_STRING) {
                assert_true(slice_eq_cstr(json_raw(&j, finish), answers[index].finish));
                finished++;
            }
        }
        assert_true(done && usage);
        assert_int_equal(finished, r.choices);
        for (uint32_t i = 0; i < r.choices; i++) {
            char path[80];
            snprintf(path, sizeof path,
                     r.tool.ptr ? "choices.%u.message.tool_calls.0.function.arguments"
                                : "choices.%u.message.content",
                     i);
            struct slice want = json_string(&all, get(&all, 0, path), &arena);
            assert_true(slice_eq(want, buf_slice(texts + i)));
            buf_deinit(texts + i);
        }
        if (r.tool.ptr)
            assert_at(&all, "choices.0.message.tool_calls.0.function.name", "get_weather");
        buf_deinit(&whole);
        buf_deinit(&event);
    }
}

static void errors_are_json(void **state)
{
    (void)state;
    struct sim_error e = {
        .status = 400, .type = "t", .code = NULL, .param = "p", .message = SLICE("a \"b\"")};
    struct buf out;
    struct json j;
    buf_init(&out, 1000);
    sim_wire_error(&e, &out);
    assert_int_equal(json_parse(&j, buf_slice(&out), &json_limits_default, &arena), RESULT_OK);
    assert_at(&j, "error.code", "null");
    assert_at(&j, "error.message", "a \\\"b\\\"");
    buf_deinit(&out);
}

static void lack_of_memory_is_told(void **state)
{
    (void)state;
    const char *body =
        ASK("vast", TOOLS "\"n\":2,\"stop\":[\"\\u0041\"],", "get \\u0077eather [[sim: cut]]");
    bool whole = false;
    for (uint64_t n = 1; !whole; n++) {
        struct arena a;
        struct sim_request r;
        struct sim_error e;
        struct sim_answer out;
        assert_true(n < 1000);
        arena_init(&a, 64, 1 << 20);
        uint64_t before = alloc_count();
        alloc_fail_at(n, 0);
        enum result res = sim_request_read(&r, slice_cstr(body), SLICE_EMPTY, &a, &e);
        if (!res)
            res = sim_answer(&r, sim_profile_for(r.model), r.model, 0, 1, 300, &a, &out);
        alloc_fail_at(0, 0);
        whole = alloc_count() - before < n;
        assert_true(!whole || res == RESULT_OK);
        arena_deinit(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directives_read),
        cmocka_unit_test(requests_read),
        cmocka_unit_test(answers_repeat_and_differ),
        cmocka_unit_test(limits_and_stops_hold),
        cmocka_unit_test(tools_are_called_when_asked),
        cmocka_unit_test(schemas_are_followed),
        cmocka_unit_test(stream_equals_whole),
        cmocka_unit_test(errors_are_json),
        cmocka_unit_test(lack_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
