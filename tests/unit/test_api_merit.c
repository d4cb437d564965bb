// libmerit's own promises: sizes of structs, error texts cut to size, threads, failures of memory.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <merit/merit.h>

#include "base/alloc.h"

static const char policy_text[] =
    "policy \"lib\" version 1\n"
    "model small endpoint \"http://127.0.0.1:9/v1\"  context 8k tok  output 1k tok  price 0.1 in, "
    "0.2 out usd/Mtok\n"
    "model large endpoint \"http://127.0.0.1:9/v1\"  context 128k tok  output 8k tok  can images\n"
    "alias fast -> model small\n"
    "signal rude = keywords(\"damn\")\n"
    "signal staff = caller(group)\n"
    "route no when rude -> refuse \"mind your words\"\n"
    "route inside when staff in (\"eng\") -> answer(large)\n"
    "otherwise -> answer(small, large)\n";

#define BODY(text) "{\"messages\":[{\"role\":\"user\",\"content\":\"" text "\"}]}"

static merit_policy *open_policy(void)
{
    merit_policy *p = NULL;
    char why[1000];
    merit_status s = merit_policy_open(policy_text, strlen(policy_text), NULL, &p, why, sizeof why);
    if (s)
        print_error("%s\n", why);
    assert_int_equal(s, MERIT_OK);
    return p;
}

static merit_decision *decide(const merit_policy *p, const char *body,
                              const merit_decide_options *o)
{
    merit_decision *d = NULL;
    assert_int_equal(merit_decide(p, body, strlen(body), o, &d), MERIT_OK);
    return d;
}

static void decides(void **state)
{
    (void)state;
    merit_policy *p = open_policy();
    assert_int_equal(merit_policy_model_count(p), 2);
    assert_string_equal(merit_policy_model_name(p, 1), "large");
    assert_null(merit_policy_model_name(p, 2));
    assert_int_equal(strlen(merit_policy_digest(p)), 64);
    merit_decision *d = decide(p, BODY("hello"), NULL);
    assert_int_equal(merit_decision_end(d), MERIT_END_ANSWER);
    assert_string_equal(merit_decision_model(d), "small");
    assert_string_equal(merit_decision_upstream_name(d), "small");
    assert_string_equal(merit_decision_effort(d), "default");
    assert_true(merit_decision_cost_nusd(d) > 0);
    assert_null(merit_decision_message(d));
    assert_null(merit_decision_error(d));
    assert_non_null(strstr(merit_decision_json(d), "\"model\":\"small\""));
    merit_decision_free(d);
    d = decide(p, BODY("damn"), NULL);
    assert_int_equal(merit_decision_end(d), MERIT_END_REFUSE);
    assert_string_equal(merit_decision_route(d), "no");
    assert_string_equal(merit_decision_message(d), "mind your words");
    assert_null(merit_decision_model(d));
    merit_decision_free(d);
    const char *groups[] = {"eng"};
    const uint8_t states[] = {1, 0};
    const merit_header header = {"X-Session-Id", "s1"};
    merit_decide_options o = {.size = sizeof o, .groups = groups, .group_count = 1};
    o.headers = &header;
    o.header_count = 1;
    d = decide(p, BODY("hello"), &o);
    assert_string_equal(merit_decision_route(d), "inside");
    assert_int_equal(merit_decision_cost_nusd(d), -1);
    merit_decision_free(d);
    o = (merit_decide_options){.size = sizeof o, .model_states = states, .model_state_count = 2};
    d = decide(p, BODY("hello"), &o);
    assert_string_equal(merit_decision_model(d), "large");
    merit_decision_free(d);
    o.model = "fast";
    d = decide(p, BODY("hello"), &o);
    assert_int_equal(merit_decision_end(d), MERIT_END_INFEASIBLE);
    merit_decision_free(d);
    o.model = "nobody";
    d = decide(p, BODY("hello"), &o);
    assert_int_equal(merit_decision_end(d), MERIT_END_NO_MODEL);
    merit_decision_free(d);
    merit_policy_free(p);
    merit_policy_free(NULL);
    merit_decision_free(NULL);
}

static void sizes_are_versions(void **state)
{
    (void)state;
    merit_policy *p = open_policy();
    merit_decision *d = NULL;
    struct {
        merit_decide_options known;
        size_t later;
    } o = {.known = {.size = sizeof o}};
    assert_int_equal(merit_decide(p, BODY("x"), strlen(BODY("x")), &o.known, &d), MERIT_OK);
    merit_decision_free(d);
    o.later = 1; // a field that this library does not know is set
    assert_int_equal(merit_decide(p, BODY("x"), strlen(BODY("x")), &o.known, &d),
                     MERIT_BAD_VERSION);
    assert_null(d);
    o.known.size = 4;
    assert_int_equal(merit_decide(p, BODY("x"), strlen(BODY("x")), &o.known, &d),
                     MERIT_BAD_VERSION);
    merit_policy *q;
    merit_policy_options po = {.size = 1};
    char why[100];
    assert_int_equal(merit_policy_open("x", 1, &po, &q, why, sizeof why), MERIT_BAD_VERSION);
    assert_null(q);
    merit_policy_free(p);
}

static void errors_are_told(void **state)
{
    (void)state;
    merit_policy *p;
    char why[40];
    memset(why, 'x', sizeof why);
    merit_policy_options o = {.size = sizeof o, .name = "mine.merit"};
    static const char bad[] = "policy \"p\" version 1\nroute x when y -> answer(z)\n";
    assert_int_equal(merit_policy_open(bad, strlen(bad), &o, &p, why, sizeof why),
                     MERIT_BAD_POLICY);
    assert_null(p);
    assert_int_equal(strlen(why), sizeof why - 1);
    assert_memory_equal(why, "error[", 6);
    assert_int_equal(merit_policy_open(bad, strlen(bad), &o, &p, NULL, 0), MERIT_BAD_POLICY);
    assert_int_equal(merit_policy_open_file("no/such.merit", NULL, &p, why, sizeof why),
                     MERIT_NOT_FOUND);
    assert_non_null(strstr(why, "no/such.merit"));
    p = open_policy();
    merit_decision *d = NULL;
    assert_int_equal(merit_decide(p, "{}", 2, NULL, &d), MERIT_BAD_REQUEST);
    assert_non_null(strstr(merit_decision_error(d), "messages"));
    assert_string_equal(merit_decision_json(d), "{}");
    assert_null(merit_decision_model(d));
    merit_decision_free(d);
    merit_decide_options many = {.size = sizeof many, .header_count = 65};
    assert_int_equal(merit_decide(p, BODY("x"), strlen(BODY("x")), &many, &d), MERIT_LIMIT);
    assert_non_null(merit_decision_error(d));
    merit_decision_free(d);
    merit_policy_free(p);
}

static void *work(void *arg)
{
    const merit_policy *p = arg;
    for (int i = 0; i < 200; i++) {
        merit_decision *d = NULL;
        const char *body = i % 3 ? BODY("hello") : BODY("damn");
        if (merit_decide(p, body, strlen(body), NULL, &d) ||
            merit_decision_end(d) != (i % 3 ? MERIT_END_ANSWER : MERIT_END_REFUSE))
            return arg;
        merit_decision_free(d);
    }
    return NULL;
}

static void threads_share_a_policy(void **state)
{
    (void)state;
    merit_policy *p = open_policy();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, p), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    merit_policy_free(p);
}

static void memory_runs_out_cleanly(void **state)
{
    (void)state;
    merit_status s = MERIT_NO_MEMORY;
    uint64_t n = 1;
    for (; s; n++) {
        merit_policy *p = NULL;
        merit_decision *d = NULL;
        char why[200];
        alloc_fail_at(n, 0);
        s = merit_policy_open(policy_text, strlen(policy_text), NULL, &p, why, sizeof why);
        if (!s)
            s = merit_decide(p, BODY("hello"), strlen(BODY("hello")), NULL, &d);
        alloc_fail_at(0, 0);
        if (s != MERIT_OK && s != MERIT_NO_MEMORY)
            print_error("allocation %d: status %d: %s\n", (int)n, (int)s, why);
        assert_true(s == MERIT_OK || s == MERIT_NO_MEMORY);
        if (s)
            assert_null(d);
        merit_decision_free(d);
        merit_policy_free(p);
    }
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decides),
        cmocka_unit_test(sizes_are_versions),
        cmocka_unit_test(errors_are_told),
        cmocka_unit_test(threads_share_a_policy),
        cmocka_unit_test(memory_runs_out_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
