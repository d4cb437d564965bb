// merit init: what a server answers becomes a policy that loads, whatever its models are called.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/decider.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/init.h"
#include "cli/probe.h"
#include "sim/pool.h"

static struct arena arena;

static int begin(void **state)
{
    (void)state;
    arena_init(&arena, 0, 1 << 26);
    for (const struct init_provider *p = init_providers; p->name; p++)
        unsetenv(p->variable);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_deinit(&arena);
    return 0;
}

static uint32_t assert_loads(struct slice text)
{
    struct decider d;
    struct diag_list diags;
    struct buf out;
    buf_init(&out, 1 << 20);
    diag_init(&diags, &arena, 100);
    if (decider_open(&d, text, NULL, DECIDER_SERVED, &diags)) {
        diag_render(&diags, text, SLICE("init"), false, &out);
        fail_msg("%.*s", SLICE_FMT(buf_slice(&out)));
    }
    uint32_t models = d.image->models.count;
    decider_close(&d);
    buf_deinit(&out);
    return models;
}

static void lists_of_models(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        enum result result;
        uint32_t count, left_out, context;
    } cases[] = {
        {"{\"data\":[{\"id\":\"a\",\"max_model_len\":4096}]}", RESULT_OK, 1, 0, 4096},
        {"{\"data\":[{\"id\":\"a\",\"meta\":{\"n_ctx_train\":2048}}]}", RESULT_OK, 1, 0, 2048},
        {"{\"data\":[{\"id\":\"a\",\"max_model_len\":-1}]}", RESULT_OK, 1, 0, INIT_CONTEXT_GUESS},
        {"{\"data\":[{\"id\":\"nomic-embed-text\"},{\"id\":\"b\\\"c\"},{\"id\":\"\"},{\"id\":7},3]"
         "}",
         RESULT_OK, 0, 3, 0},
        {"{\"data\":[]}", RESULT_OK, 0, 0, 0},
        {"{\"models\":[]}", RESULT_SYNTAX, 0, 0, 0},
        {"[]", RESULT_SYNTAX, 0, 0, 0},
        {"<html>", RESULT_SYNTAX, 0, 0, 0},
    };
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        struct init_found_server s = {0};
        assert_int_equal(init_models(slice_cstr(cases[i].body), &arena, &s), cases[i].result);
        assert_int_equal(s.model_count, cases[i].count);
        assert_int_equal(s.left_out, cases[i].left_out);
        assert_int_equal(s.models[0].context_tok, cases[i].context);
    }
}

// Odd names, equal names, names that are the language's words; more models than are taken.
static void any_name_makes_a_policy(void **state)
{
    (void)state;
    static const char *const names[] = {"qwen3:8b",
                                        "org/Model-7B.gguf",
                                        "other/model-7b-gguf",
                                        "any",
                                        "model",
                                        "4o",
                                        "---",
                                        "route",
                                        "when",
                                        "auto",
                                        "or",
                                        "\xc3\xb6"};
    struct sim *one, *two;
    assert_int_equal(
        sim_open(&one, &(struct sim_options){.models = names, .model_count = MERIT_COUNT(names)}),
        RESULT_OK);
    assert_int_equal(sim_open(&two, &(struct sim_options){.pace = 0}), RESULT_OK);
    const struct init_server servers[] = {
        {"one", sim_port(one)}, {"nobody", 1}, {"two", sim_port(two)}, {NULL, 0}};
    static struct init_found found;
    for (int keys = 0; keys < 2; keys++) {
        if (keys) {
            setenv("OPENAI_API_KEY", "sk-secret-of-the-test", 1);
            setenv("XAI_API_KEY", "sk-secret-of-the-test", 1);
        }
        assert_int_equal(init_look(servers, &arena, &found), RESULT_OK);
        assert_int_equal(found.server_count, 2);
        assert_int_equal(found.servers[0].model_count, MERIT_COUNT(names) - 1);
        assert_int_equal(found.servers[0].left_out, 1);
        assert_int_equal(found.servers[1].models[0].context_tok, 8192);
        assert_int_equal(found.provider_count, keys ? 2 : 0);
        struct buf text;
        buf_init(&text, 1 << 20);
        init_write(&found, &arena, &text);
        assert_int_equal(assert_loads(buf_slice(&text)),
                         MERIT_COUNT(names) - 1 + 4 + (keys ? 2 : 0));
        assert_true(slice_find(buf_slice(&text), SLICE("sk-secret")) < 0);
        buf_deinit(&text);
    }
    unsetenv("OPENAI_API_KEY");
    unsetenv("XAI_API_KEY");
    sim_close(one);
    sim_close(two);
}

static void each_provider_alone(void **state)
{
    (void)state;
    static const struct init_server none[] = {{NULL, 0}};
    static struct init_found found;
    for (const struct init_provider *p = init_providers; p->name; p++) {
        setenv(p->variable, "x", 1);
        assert_int_equal(init_look(none, &arena, &found), RESULT_OK);
        unsetenv(p->variable);
        struct buf text;
        buf_init(&text, 1 << 20);
        init_write(&found, &arena, &text);
        assert_int_equal(assert_loads(buf_slice(&text)), 1);
        buf_deinit(&text);
    }
    struct buf text;
    buf_init(&text, 1 << 20);
    assert_int_equal(init_look(none, &arena, &found), RESULT_OK);
    init_write(&found, &arena, &text);
    assert_int_equal(text.len, 0);
    buf_deinit(&text);
}

static void probe_tells_why(void **state)
{
    (void)state;
    struct probe_answer a;
    struct probe_request r = {
        .url = SLICE("http://127.0.0.1:1/v1"), .path = "/models", .timeout_ms = 2000};
    assert_int_equal(probe_get(&r, &a), RESULT_REFUSED);
    assert_true(strstr(a.why, "while connecting") != NULL);
    probe_done(&a);
    r.url = SLICE("ftp://x");
    assert_int_equal(probe_get(&r, &a), RESULT_SYNTAX);
    probe_done(&a);
}

// The command writes once, then only by force.
static void command_keeps_what_is_there(void **state)
{
    (void)state;
    char dir[] = "/tmp/merit-init-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/p.merit", dir);
    static char name[] = "init", force[] = "--force";
    char *argv[] = {name, path, force, NULL};
    int out = dup(1), err = dup(2), null = open("/dev/null", O_WRONLY);
    dup2(null, 1);
    dup2(null, 2);
    int first = cmd_init(2, argv), second = cmd_init(2, argv), third = cmd_init(3, argv);
    fflush(stdout);
    dup2(out, 1);
    dup2(err, 2);
    close(null);
    close(out);
    close(err);
    assert_int_equal(first, EXIT_DONE);
    assert_int_equal(second, EXIT_FOUND);
    assert_int_equal(third, EXIT_DONE);
    struct buf text;
    buf_init(&text, 1 << 20);
    assert_int_equal(file_read(path, &text), RESULT_OK);
    assert_true(assert_loads(buf_slice(&text)) > 0);
    buf_deinit(&text);
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_of_models),
        cmocka_unit_test(any_name_makes_a_policy),
        cmocka_unit_test(each_provider_alone),
        cmocka_unit_test(probe_tells_why),
        cmocka_unit_test(command_keeps_what_is_there),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
