// How an effort is said to an endpoint: the body that goes on, byte for byte.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/effort.h"
#include "base/alloc.h"

enum { ALL = 0x3f, NONE_STATED = 1 };

#define HEAD "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"

struct sample {
    const char *what, *body; // behind the messages
    enum image_knob knob;
    const char *name;
    uint32_t efforts;
    enum image_effort chosen;
    bool dropped;
    const char *front, *behind; // of what goes on: before the messages, and behind them
};

static const struct sample SAMPLES[] = {
    {"nothing asked, nothing chosen", "", IMAGE_KNOB_REASONING_EFFORT, "", ALL,
     IMAGE_EFFORT_DEFAULT, false, "", ""},
    {"chosen", "", IMAGE_KNOB_REASONING_EFFORT, "", ALL, IMAGE_EFFORT_HIGH, false,
     "\"reasoning_effort\":\"high\",", ""},
    {"off is none", "", IMAGE_KNOB_REASONING_EFFORT, "", ALL, IMAGE_EFFORT_OFF, false,
     "\"reasoning_effort\":\"none\",", ""},
    {"chosen against the client's", ",\"reasoning_effort\":\"low\"", IMAGE_KNOB_REASONING_EFFORT,
     "", ALL, IMAGE_EFFORT_MEDIUM, false, "", ",\"reasoning_effort\":\"medium\""},
    {"on is as the model is", ",\"reasoning_effort\":\"low\"", IMAGE_KNOB_REASONING_EFFORT, "", ALL,
     IMAGE_EFFORT_ON, false, "", ""},
    {"the client's counts where it is open", ",\"reasoning_effort\":\"low\"",
     IMAGE_KNOB_REASONING_EFFORT, "", ALL, IMAGE_EFFORT_DEFAULT, false, "",
     ",\"reasoning_effort\":\"low\""},
    {"the client's is forbidden", ",\"reasoning_effort\":\"low\"", IMAGE_KNOB_REASONING_EFFORT, "",
     ALL, IMAGE_EFFORT_DEFAULT, true, "", ""},
    {"the model does not know it", ",\"reasoning_effort\":\"low\"", IMAGE_KNOB_REASONING_EFFORT, "",
     1 | 1 << IMAGE_EFFORT_HIGH, IMAGE_EFFORT_DEFAULT, false, "", ""},
    {"nobody knows it", ",\"reasoning_effort\":\"huge\"", IMAGE_KNOB_REASONING_EFFORT, "", ALL,
     IMAGE_EFFORT_DEFAULT, false, "", ""},
    {"more than high is high", ",\"reasoning_effort\":\"xhigh\"", IMAGE_KNOB_REASONING_EFFORT, "",
     ALL, IMAGE_EFFORT_DEFAULT, false, "", ",\"reasoning_effort\":\"high\""},
    {"said in another way", ",\"a\":1,\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":9}",
     IMAGE_KNOB_REASONING_EFFORT, "", ALL, IMAGE_EFFORT_LOW, false, "\"reasoning_effort\":\"low\",",
     ",\"a\":1"},
    {"said below", ",\"extra_body\":{\"chat_template_kwargs\":{\"Enable-Think\\u0069ng\":true}}",
     IMAGE_KNOB_REASONING_EFFORT, "", ALL, IMAGE_EFFORT_OFF, false,
     "\"reasoning_effort\":\"none\",", ",\"extra_body\":{\"chat_template_kwargs\":{}}"},
    {"what is forbidden in another way",
     ",\"reasoning\":{\"effort\":\"high\",\"summary\":\"auto\"}", IMAGE_KNOB_REASONING_EFFORT, "",
     NONE_STATED, IMAGE_EFFORT_DEFAULT, true, "", ",\"reasoning\":{\"summary\":\"auto\"}"},
    {"a switch, by the model's own knob", ",\"enable_thinking\":false", IMAGE_KNOB_THINKING, "",
     ALL, IMAGE_EFFORT_DEFAULT, false, "\"thinking_budget\":0,", ""},
    {"a knob that holds others", ",\"reasoning\":{\"effort\":\"high\"}", IMAGE_KNOB_THINKING,
     "reasoning", ALL, IMAGE_EFFORT_LOW, false, "", ",\"reasoning\":1024"},
    {"a model that states none gets what was written", ",\"reasoning_effort\":\"xhigh\"",
     IMAGE_KNOB_REASONING_EFFORT, "", NONE_STATED, IMAGE_EFFORT_DEFAULT, false, "",
     ",\"reasoning_effort\":\"xhigh\""},
    {"null is nothing", ",\"reasoning_effort\":null", IMAGE_KNOB_REASONING_EFFORT, "", ALL,
     IMAGE_EFFORT_DEFAULT, false, "", ",\"reasoning_effort\":null"},
    {"template, off", "", IMAGE_KNOB_TEMPLATE, "enable_thinking", ALL, IMAGE_EFFORT_OFF, false,
     "\"chat_template_kwargs\":{\"enable_thinking\":false},", ""},
    {"template, high", "", IMAGE_KNOB_TEMPLATE, "thinking", ALL, IMAGE_EFFORT_HIGH, false,
     "\"chat_template_kwargs\":{\"thinking\":true},", ""},
    {"template, by the client", ",\"reasoning_effort\":\"none\"", IMAGE_KNOB_TEMPLATE,
     "enable_thinking", ALL, IMAGE_EFFORT_DEFAULT, false,
     "\"chat_template_kwargs\":{\"enable_thinking\":false},", ""},
    {"template beside the client's own", ",\"chat_template_kwargs\":{\"a\":1}", IMAGE_KNOB_TEMPLATE,
     "enable_thinking", ALL, IMAGE_EFFORT_ON, false, "",
     ",\"chat_template_kwargs\":{\"enable_thinking\":true,\"a\":1}"},
    {"template against the client's own",
     ",\"chat_template_kwargs\":{\"a\":1,\"enable_thinking\":true,\"b\":2}", IMAGE_KNOB_TEMPLATE,
     "enable_thinking", ALL, IMAGE_EFFORT_OFF, false, "",
     ",\"chat_template_kwargs\":{\"a\":1,\"enable_thinking\":false,\"b\":2}"},
    {"template twice",
     ",\"chat_template_kwargs\":{\"enable_thinking\":true,\"b\":2,\"enable_think\\u0069ng\":true}",
     IMAGE_KNOB_TEMPLATE, "enable_thinking", ALL, IMAGE_EFFORT_OFF, false, "",
     ",\"chat_template_kwargs\":{\"enable_thinking\":false,\"b\":2}"},
    {"template and null", ",\"chat_template_kwargs\":null", IMAGE_KNOB_TEMPLATE, "enable_thinking",
     ALL, IMAGE_EFFORT_OFF, false, "", ",\"chat_template_kwargs\":{\"enable_thinking\":false}"},
    {"template left alone", ",\"chat_template_kwargs\":{\"enable_thinking\":true}",
     IMAGE_KNOB_TEMPLATE, "enable_thinking", ALL, IMAGE_EFFORT_DEFAULT, false, "",
     ",\"chat_template_kwargs\":{\"enable_thinking\":true}"},
    {"budget", "", IMAGE_KNOB_THINKING, "thinking_budget", ALL, IMAGE_EFFORT_LOW, false,
     "\"thinking_budget\":1024,", ""},
    {"budget, off", ",\"thinking_budget\":77,\"k\":1", IMAGE_KNOB_THINKING, "thinking_budget", ALL,
     IMAGE_EFFORT_OFF, false, "", ",\"thinking_budget\":0,\"k\":1"},
    {"budget without a name", ",\"reasoning_effort\":\"low\"", IMAGE_KNOB_THINKING, "", ALL,
     IMAGE_EFFORT_DEFAULT, false, "\"thinking_budget\":1024,", ""},
    {"budget that is not stated", ",\"reasoning_effort\":\"high\"", IMAGE_KNOB_THINKING, "", ALL,
     IMAGE_EFFORT_HIGH, false, "", ""},
    {"budget under a name that is Merit's", "", IMAGE_KNOB_THINKING, "model", ALL, IMAGE_EFFORT_LOW,
     false, "", ""},
};

static struct {
    struct policy_image image;
    char name[64];
} policy;

static enum result run(const struct sample *s, struct arena *arena, struct buf *out)
{
    struct work w = {.header_count = 0};
    struct openai_request o;
    struct openai_fault fault;
    struct slice pieces[2 * JSON_EDITS_MAX + 1];
    struct json_edits edits = {.count = 0};
    uint64_t total;
    char *body = arena_alloc(arena, 1024);
    if (!body)
        return RESULT_NOMEM;
    strcpy(body, "{" HEAD);
    strcat(strcat(body, s->body), "}");
    strcpy(policy.name, s->name);
    const struct image_model m = {
        .efforts = s->efforts,
        .knob = s->knob,
        .knob_name = {(uint32_t)((char *)policy.name - (char *)&policy), (uint32_t)strlen(s->name)},
        .thinking_tok = {[IMAGE_EFFORT_LOW] = 1024}};
    enum result r = openai_request_parse(slice_cstr(body), arena, &w, &o, &fault);
    if (!r)
        r = effort_edit(&o, &policy.image, &m, s->chosen, s->dropped, &edits, arena);
    if (r)
        return r;
    uint32_t n = json_edit_pieces(&edits, w.body, pieces, &total);
    for (uint32_t i = 0; i < n; i++)
        buf_add(out, pieces[i]);
    return buf_result(out);
}

static void test_bodies(void **state)
{
    (void)state;
    for (size_t i = 0; i < MERIT_COUNT(SAMPLES); i++) {
        const struct sample *s = &SAMPLES[i];
        char want[1024], got[1024];
        struct arena arena;
        struct buf out = {.ptr = got, .room = sizeof got - 1, .cap = sizeof got - 1};
        arena_init(&arena, 0, 1 << 20);
        assert_int_equal(run(s, &arena, &out), RESULT_OK);
        got[out.len] = '\0';
        strcpy(want, "{");
        strcat(strcat(strcat(strcat(want, s->front), HEAD), s->behind), "}");
        if (strcmp(got, want) != 0)
            print_error("%s\n", s->what);
        assert_string_equal(got, want);
        arena_deinit(&arena);
    }
}

static void test_what_is_asked(void **state)
{
    static const struct {
        const char *value;
        enum image_effort effort;
    } values[] = {
        {"\"none\"", IMAGE_EFFORT_OFF},
        {"\"low\"", IMAGE_EFFORT_LOW},
        {"\"max\"", IMAGE_EFFORT_HIGH},
        {"\"low\",\"thinking\":{\"type\":\"enabled\"}", IMAGE_EFFORT_ON},
        {"null,\"enable_thinking\":false", IMAGE_EFFORT_OFF},
        {"null,\"thinking_budget\":0", IMAGE_EFFORT_OFF},
        {"null,\"thinking_budget\":-1", IMAGE_EFFORT_ON},
        {"null,\"extra_body\":{\"google\":{\"thinking_config\":{\"include_thoughts\":"
         "true,\"thinking_budget\":0}}}",
         IMAGE_EFFORT_OFF},
        {"null,\"reasoning\":{\"enabled\":true,\"effort\":\"high\"}", IMAGE_EFFORT_HIGH},
        {"null,\"effort\":\"high\",\"metadata\":{\"thinking\":\"high\"}", IMAGE_EFFORT_DEFAULT},
        {"\"medium\"", IMAGE_EFFORT_MEDIUM},
        {"\"hi\\u0067h\"", IMAGE_EFFORT_HIGH},
        {"\"minimal\"", IMAGE_EFFORT_LOW},
        {"\"\"", IMAGE_EFFORT_DEFAULT},
        {"null", IMAGE_EFFORT_DEFAULT},
        {"3", IMAGE_EFFORT_ON}};
    (void)state;
    for (size_t i = 0; i < MERIT_COUNT(values); i++) {
        struct arena arena;
        struct work w = {.header_count = 0};
        struct openai_request o;
        struct openai_fault fault;
        arena_init(&arena, 0, 1 << 20);
        struct slice body =
            arena_printf(&arena, "{" HEAD ",\"reasoning_effort\":%s}", values[i].value);
        assert_int_equal(openai_request_parse(body, &arena, &w, &o, &fault), RESULT_OK);
        enum image_effort asked;
        assert_int_equal(effort_asked(&o, &policy.image, &arena, &asked), RESULT_OK);
        if (asked != values[i].effort)
            print_error("%s\n", values[i].value);
        assert_int_equal(asked, values[i].effort);
        arena_deinit(&arena);
    }
}

static void test_too_many(void **state)
{
    (void)state;
    for (uint32_t count = EFFORT_KNOBS_MAX; count <= EFFORT_KNOBS_MAX + 1; count++) {
        struct arena arena;
        struct work w = {.header_count = 0};
        struct openai_request o;
        struct openai_fault fault;
        enum image_effort asked;
        arena_init(&arena, 0, 1 << 20);
        struct buf body;
        buf_init(&body, 1 << 16);
        BUF_LIT(&body, "{" HEAD);
        for (uint32_t i = 0; i < count; i++)
            BUF_LIT(&body, ",\"thinking\":1");
        buf_byte(&body, '}');
        assert_int_equal(openai_request_parse(buf_slice(&body), &arena, &w, &o, &fault), RESULT_OK);
        assert_int_equal(effort_asked(&o, &policy.image, &arena, &asked),
                         count > EFFORT_KNOBS_MAX ? RESULT_LIMIT : RESULT_OK);
        buf_deinit(&body);
        arena_deinit(&arena);
    }
}

static void test_tools_that_act(void **state)
{
    static const struct {
        const char *more;
        bool acts;
    } bodies[] = {
        {"", false},
        {",\"tools\":[]", false},
        {",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]", false},
        {",\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"f\"}}]", false},
        {",\"functions\":[{\"name\":\"f\"}]", false},
        {",\"tools\":[{\"name\":\"f\"}]", false},
        {",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}},{\"type\":\"web_"
         "search\"}]",
         true},
        {",\"tools\":[{\"type\":\"code_interpreter\"}]", true},
        {",\"tools\":[{\"type\":\"mcp\",\"name\":\"m\"}]", true},
        {",\"tools\":[{\"type\":\"computer_use_preview\"}]", true},
        {",\"tools\":[{\"type\":\"namespace\",\"name\":\"n\",\"tools\":[]}]", true},
        {",\"tools\":[{\"type\":\"funct\\u0069on\",\"function\":{\"name\":\"f\"}}]", false},
        {",\"tools\":[{\"type\":7,\"name\":\"f\"}]", true},
        {",\"web_search_options\":{}", true},
        {",\"web_search_options\":null", false},
        {",\"plugins\":[{\"id\":\"web\"}]", true},
        {",\"mcp_servers\":[]", true},
    };
    (void)state;
    for (size_t i = 0; i < MERIT_COUNT(bodies); i++) {
        struct arena arena;
        struct work w = {.header_count = 0};
        struct openai_request o;
        struct openai_fault fault;
        arena_init(&arena, 0, 1 << 20);
        struct slice body = arena_printf(&arena, "{" HEAD "%s}", bodies[i].more);
        assert_int_equal(openai_request_parse(body, &arena, &w, &o, &fault), RESULT_OK);
        if (o.acts != bodies[i].acts)
            print_error("%s\n", bodies[i].more);
        assert_int_equal(o.acts, bodies[i].acts);
        arena_deinit(&arena);
    }
}

static void test_without_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < MERIT_COUNT(SAMPLES); i++) {
        enum result r = RESULT_NOMEM;
        for (uint64_t n = 1; r; n++) {
            char got[1024];
            struct arena arena;
            struct buf out = {.ptr = got, .room = sizeof got, .cap = sizeof got};
            arena_init(&arena, 0, 1 << 20);
            alloc_fail_at(n, 1);
            r = run(&SAMPLES[i], &arena, &out);
            alloc_fail_at(0, 0);
            assert_true(r == RESULT_OK || r == RESULT_NOMEM);
            arena_deinit(&arena);
            assert_true(n < 100);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),         cmocka_unit_test(test_what_is_asked),
        cmocka_unit_test(test_too_many),       cmocka_unit_test(test_tools_that_act),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
