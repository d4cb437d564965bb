// api/openai_answer.c: what is read off answers and streams, and what is said to clients.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/openai_answer.h"
#include "text/json.h"

static struct arena scratch;

static enum stream_verdict feed(struct answer_meter *m, const char *data, bool hide)
{
    arena_reset(&scratch);
    return openai_chat.stream_event(m, slice_cstr(data), hide, &scratch);
}

static void a_stream_is_metered(void **state)
{
    (void)state;
    struct answer_meter m = {0};
    assert_int_equal(
        feed(&m,
             "{\"id\":\"c1\",\"created\":7,\"model\":\"m\\\"x\",\"choices\":[{\"delta\":{\"role\":"
             "\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}",
             true),
        STREAM_FORWARD);
    assert_int_equal(feed(&m,
                          "{\"id\":\"c1\",\"choices\":[{\"delta\":{\"content\":\"ab\\\"c\"},"
                          "\"finish_reason\":null}]}",
                          true),
                     STREAM_FORWARD);
    assert_false(m.finished);
    assert_int_equal(m.content_bytes, 5);
    assert_int_equal(
        feed(&m, "{\"id\":\"c1\",\"choices\":[{\"delta\":{},\"finish_reason\": \"stop\"}]}", true),
        STREAM_FORWARD);
    assert_true(m.finished);
    assert_int_equal(feed(&m,
                          "{\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4,"
                          "\"prompt_tokens_details\":{\"cached_tokens\":3}}}",
                          true),
                     STREAM_HIDE);
    assert_true(m.usage.known);
    assert_int_equal(m.usage.input_tok, 9);
    assert_int_equal(m.usage.output_tok, 4);
    assert_int_equal(m.usage.cached_tok, 3);
    assert_int_equal(feed(&m, "[DONE]", true), STREAM_DONE);
    assert_int_equal(feed(&m, "{\"choices\":[]}", true), STREAM_BAD);
    assert_int_equal(m.created, 7);

    struct buf out;
    buf_init(&out, 4096);
    openai_chat.stream_usage(&m, &out);
    struct json j;
    arena_reset(&scratch);
    struct slice event = buf_slice(&out);
    assert_true(slice_starts_with(event, SLICE("data: ")) && slice_ends_with(event, SLICE("\n\n")));
    assert_int_equal(
        json_parse(&j, slice_make(event.ptr + 6, event.len - 8), &json_limits_default, &scratch),
        RESULT_OK);
    uint32_t model = json_get(&j, 0, SLICE("model"), NULL);
    assert_true(json_string_is(&j, model, SLICE("m\"x")));
    buf_deinit(&out);
}

static void usage_is_kept_for_who_asked(void **state)
{
    (void)state;
    struct answer_meter m = {0};
    const char *usage =
        "{\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}";
    assert_int_equal(feed(&m, usage, false), STREAM_FORWARD);
    m = (struct answer_meter){0};
    // A chunk that has both is never hidden: the client would lose text.
    assert_int_equal(
        feed(&m,
             "{\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"usage\":{\"completion_tokens\":2}}",
             true),
        STREAM_FORWARD);
    assert_true(m.usage.known);
    // null usage on every chunk is what some upstreams send.
    m = (struct answer_meter){.begun = true};
    assert_int_equal(feed(&m, "{\"choices\":[{\"delta\":{}}],\"usage\":null}", true),
                     STREAM_FORWARD);
    assert_false(m.usage.known);
}

// Counts of a stream only grow, whatever a later event says.
static void usage_is_not_taken_back(void **state)
{
    static const char *const later[] = {
        "{\"choices\":[],\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0}}",
        "{\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":-4}}",
        "{\"choices\":[],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":900}}",
    };
    (void)state;
    for (size_t i = 0; i < MERIT_COUNT(later); i++) {
        struct answer_meter m = {.begun = true};
        feed(&m, "{\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":400}}",
             true);
        feed(&m, later[i], true);
        assert_true(m.usage.known);
        assert_int_equal(m.usage.input_tok, 9);
        assert_int_equal(m.usage.output_tok, i == 2 ? 900 : 400);
    }
}

// Whatever engines call it and however they lay out their JSON: who leaves in the middle pays for what was worked.
static void all_that_is_generated_counts(void **state)
{
    static const char *const deltas[] = {
        "{\"content\":\"12345678\"}",
        "{ \"content\" : \"12345678\" }",
        "{\"content\":null,\"reasoning_content\":\"12345678\"}",
        "{\"content\":\"\",\"reasoning\":\"12345678\"}",
        "{\"refusal\":\"12345678\"}",
        "{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\"\t:\"12345678\"}}]}",
    };
    static const char *const messages[] = {
        "{\"content\":\"12345678\"}",
        "{\"content\":null,\"reasoning_content\":\"12345678\"}",
        "{\"content\":\"1234\",\"reasoning\":\"5678\"}",
        "{\"reasoning\":\"12345678\",\"reasoning_content\":\"12345678\"}",
        "{\"refusal\":\"12345678\"}",
    };
    char text[256];
    struct usage u;
    (void)state;
    for (size_t i = 0; i < MERIT_COUNT(deltas); i++) {
        struct answer_meter m = {.begun = true};
        snprintf(text, sizeof text, " {\"choices\":[{\"delta\":%s,\"finish_reason\":null}]}",
                 deltas[i]);
        assert_int_equal(feed(&m, text, true), STREAM_FORWARD);
        assert_int_equal(m.content_bytes, 8);
        assert_false(m.finished);
    }
    for (size_t i = 0; i < MERIT_COUNT(messages); i++) {
        snprintf(text, sizeof text, "{\"choices\":[{\"message\":%s}]}", messages[i]);
        arena_reset(&scratch);
        assert_int_equal(openai_chat.answer(slice_cstr(text), &scratch, &u), RESULT_OK);
        assert_int_equal(u.seen_tok, 2);
    }
}

static void keys_are_found_as_keys(void **state)
{
    (void)state;
    struct answer_meter m = {.begun = true};
    assert_int_equal(feed(&m,
                          "{\"a\":\"usage\",\"choices\" : [],\"usage\" : {\"prompt_tokens\":9,"
                          "\"completion_tokens\":4}}",
                          true),
                     STREAM_HIDE);
    assert_true(m.usage.known);
    m = (struct answer_meter){.begun = true};
    feed(&m, "{\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\": {\"}}]}", true);
    assert_false(m.usage.known);
}

static void bad_events_are_told_apart(void **state)
{
    (void)state;
    struct answer_meter m = {0};
    assert_int_equal(feed(&m, "<html>", true), STREAM_BAD);
    assert_int_equal(feed(&m, "{\"error\":{\"message\":\"x\"}}", true), STREAM_ERROR);
    m = (struct answer_meter){.begun = true};
    assert_int_equal(feed(&m, "{\"error\":{\"message\":\"x\"}}", true), STREAM_ERROR);
    assert_true(m.failed);
    m = (struct answer_meter){.begun = true};
    assert_int_equal(feed(&m, "", true), STREAM_BAD);
    // As the last event of an answer that otherwise looks like one.
    static const char *const clothed[] = {
        "{\"id\":\"c\",\"error\":{\"code\":502},\"choices\":[{\"delta\":{\"content\":\"\"},"
        "\"finish_reason\":\"error\"}]}",
        "{ \"error\" : {\"message\":\"x\"}}",
        "{\"object\":\"error\",\"error\":\"x\"}",
    };
    for (size_t i = 0; i < MERIT_COUNT(clothed); i++) {
        m = (struct answer_meter){.begun = true};
        assert_int_equal(feed(&m, clothed[i], true), STREAM_ERROR);
        assert_true(m.failed);
    }
    m = (struct answer_meter){.begun = true};
    assert_int_equal(
        feed(&m, "{\"error\":null,\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}", true),
        STREAM_FORWARD);
    assert_true(m.finished);
}

static void lies_in_usage_are_bounded(void **state)
{
    (void)state;
    struct usage u;
    arena_reset(&scratch);
    struct slice huge = SLICE(
        "{\"choices\":[],\"usage\":{\"prompt_tokens\":-5,\"completion_tokens\":99999999999}}");
    assert_int_equal(openai_chat.answer(huge, &scratch, &u), RESULT_OK);
    assert_false(u.known); // a number that cannot be tokens makes all of them doubtful
    assert_true(u.odd);
    struct slice absurd =
        SLICE("{\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":99999999999}}");
    assert_int_equal(openai_chat.answer(absurd, &scratch, &u), RESULT_OK);
    assert_true(u.known && !u.odd);
    assert_int_equal(u.input_tok, 5);
    assert_int_equal(u.output_tok, UINT32_MAX);
    struct slice text = SLICE("{\"model\":\"m-1\",\"choices\":[{\"message\":{\"content\":"
                              "\"0123456789abcdef\",\"tool_calls\":[1,2]}},{\"text\":3}]}");
    assert_int_equal(openai_chat.answer(text, &scratch, &u), RESULT_OK);
    assert_int_equal(u.seen_tok, (16 + 5 + 3) / 4);
    assert_true(slice_eq_cstr(u.model, "m-1"));
    struct slice none = SLICE("{\"choices\":[{\"message\":{\"content\":\"hi\"}}]}");
    assert_int_equal(openai_chat.answer(none, &scratch, &u), RESULT_OK);
    assert_false(u.known);
    assert_int_equal(openai_chat.answer(SLICE("{\"choices\":3}"), &scratch, &u), RESULT_TYPE);
    assert_int_equal(openai_chat.answer(SLICE("[1]"), &scratch, &u), RESULT_TYPE);
    assert_int_equal(openai_chat.answer(SLICE("<html>"), &scratch, &u), RESULT_SYNTAX);
    assert_int_equal(openai_chat.answer(SLICE("{\"error\":{\"message\":\"no\"}}"), &scratch, &u),
                     RESULT_DENIED);
    assert_true(u.error_inside);
}

// The usage of embeddings is found in a part of the answer when it is there whole, wherever the part begins and ends.
static void usage_is_found_in_parts(void **state)
{
    (void)state;
    static const char whole[] =
        "[0.25,-1e-3],\"index\":1}],\"model\":\"usage\",\"usage\" : "
        "{\"prompt_tokens\":8,\"details\":{\"a\":{}},\"total_tokens\":8}}\n";
    const char *begin = strstr(whole, "\"usage\" :"), *end = strrchr(whole, '}');
    for (size_t from = 0; from < sizeof whole; from++)
        for (size_t to = from; to < sizeof whole; to++) {
            struct usage u = {.input_tok = 77};
            char *part = malloc(to - from + 1); // of its own, so that a look behind it is seen
            memcpy(part, whole + from, to - from);
            arena_reset(&scratch);
            bool found =
                openai_chat.input_usage(slice_make(part, to - from), &scratch, &u) && u.known;
            assert_int_equal(found, from <= (size_t)(begin - whole) && to >= (size_t)(end - whole));
            if (found)
                assert_int_equal(u.input_tok, 8);
            free(part);
        }
    static const char *const odd[] = {"\"usage\":{\"prompt_tokens\":-3}",
                                      "\"usage\":{\"prompt_tokens\":\"8\"}"};
    for (size_t i = 0; i < MERIT_COUNT(odd); i++) {
        struct usage u = {.known = false};
        assert_true(openai_chat.input_usage(slice_cstr(odd[i]), &scratch, &u));
        assert_true(u.odd && !u.known);
    }
    static const char *const none[] = {"\"usage\":{}", "\"usage\":null}", "\"usage\":[{}]}",
                                       "\"usage\"}",   "\"usage\":}{",    ""};
    for (size_t i = 0; i < MERIT_COUNT(none); i++) {
        struct usage u = {.known = false};
        assert_false(openai_chat.input_usage(slice_cstr(none[i]), &scratch, &u));
    }
}

static void errors_have_openais_shape(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 4096);
    openai_chat.error_event(&(struct api_error){.status = 502,
                                                .type = "upstream_error",
                                                .code = "upstream_cut",
                                                .message = SLICE("a \"quote\"")},
                            &out);
    assert_true(slice_eq(
        buf_slice(&out),
        SLICE("data: {\"error\":{\"message\":\"a \\\"quote\\\"\",\"type\":\"upstream_error\","
              "\"param\":null,\"code\":\"upstream_cut\"}}\n\n")));
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_is_metered),       cmocka_unit_test(usage_is_kept_for_who_asked),
        cmocka_unit_test(usage_is_not_taken_back),   cmocka_unit_test(all_that_is_generated_counts),
        cmocka_unit_test(keys_are_found_as_keys),    cmocka_unit_test(bad_events_are_told_apart),
        cmocka_unit_test(lies_in_usage_are_bounded), cmocka_unit_test(errors_have_openais_shape),
        cmocka_unit_test(usage_is_found_in_parts),
    };
    arena_init(&scratch, 0, 1 << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_deinit(&scratch);
    return failed;
}
