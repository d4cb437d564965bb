// The traffic side whole, in one process and one loop: a client, the gateway, and an upstream that does as it is told.
// Then the same with every allocation failing in turn: an answer or a named error each time, nothing lost or leaked.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "api/gateway.h"
#include "base/alloc.h"

static const char BODY[] =
    "{\"model\":\"auto\",\"messages\":[{\"role\":\"user\",\"content\":\"please refund me\"}]}";
static const char STREAM_BODY[] =
    "{\"model\":\"auto\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}";
static const char ANSWER[] =
    "{\"id\":\"x\",\"choices\":[{\"message\":{\"content\":\"hi\"}}],\"usage\":{\"prompt_tokens\":3,"
    "\"completion_tokens\":2}}";

struct rig {
    struct loop *loop;
    struct dns *dns;
    struct http_server *upstream;
    struct http_client *client;
    struct gateway *gateway;
    struct gateway_shared shared;
    struct metrics_names names;
    struct serving *serving;
    // what the upstream does
    int status;
    const char *type, *answer;
    bool cut;
    // what it saw
    unsigned requests;
    char seen_body[1024], seen_authorization[64];
    // what the client saw
    bool over;
    enum result error;
    int got_status;
    struct buf got;
    char got_model[64], got_cost[64];
};

static struct rig rig;

static void upstream_request(struct http_exchange *x)
{
    struct rig *r = http_server_user(x->server);
    struct http_header type = {SLICE("content-type"), slice_cstr(r->type)};
    r->requests++;
    snprintf(r->seen_body, sizeof r->seen_body, "%.*s", SLICE_FMT(x->body));
    struct slice authorization = http_header_get(x->head, "authorization");
    snprintf(r->seen_authorization, sizeof r->seen_authorization, "%.*s", SLICE_FMT(authorization));
    if (!r->cut) {
        http_respond(x, r->status, &type, 1, slice_cstr(r->answer));
        return;
    }
    http_respond_head(x, r->status, &type, 1, -1);
    http_respond_body(x, slice_cstr(r->answer));
    http_respond_abort(x);
}

static const struct http_server_ops UPSTREAM_OPS = {.on_request = upstream_request};

static void client_head(struct http_call *c, void *user, const struct http_head *h)
{
    struct rig *r = user;
    (void)c;
    r->got_status = h->status;
    snprintf(r->got_model, sizeof r->got_model, "%.*s",
             SLICE_FMT(http_header_get(h, "x-merit-model")));
    snprintf(r->got_cost, sizeof r->got_cost, "%.*s",
             SLICE_FMT(http_header_get(h, "x-merit-cost-usd")));
}

static void client_body(struct http_call *c, void *user, struct slice piece)
{
    (void)c;
    buf_add(&((struct rig *)user)->got, piece);
}

static void client_end(struct http_call *c, void *user)
{
    (void)c;
    ((struct rig *)user)->over = true;
}

static void client_error(struct http_call *c, void *user, enum result why, enum http_phase phase,
                         bool reused)
{
    struct rig *r = user;
    (void)c;
    (void)phase;
    (void)reused;
    r->over = true;
    r->error = why;
}

static const struct http_call_ops CLIENT_OPS = {client_head, client_body, client_end, client_error};

static void open_serving(struct rig *r)
{
    char text[2048];
    struct buf why;
    snprintf(text, sizeof text,
             "policy \"t\" version 1\n"
             "model small endpoint \"http://127.0.0.1:%u/v1\" as \"up-small\" context 8k tok "
             "output 1k tok can json\n"
             "  price 1 in, 2 out usd/Mtok\n"
             "model big endpoint \"http://127.0.0.1:%u/v1\" context 8k tok output 1k tok can json, "
             "tools\n"
             "  price 10 in, 20 out usd/Mtok\n"
             "signal refund = keywords(\"refund\")\n"
             "signal bad = keywords(\"forbidden\")\n"
             "route no when bad -> refuse \"not here\"\n"
             "route money when refund -> answer(big)\n"
             "otherwise -> answer(any) minimise cost\n",
             http_server_port(r->upstream), http_server_port(r->upstream));
    struct serving_options o = {.names = &r->names};
    struct arena arena;
    struct diag_list diags;
    buf_init(&why, 4096);
    arena_init(&arena, 0, 1 << 20);
    diag_init(&diags, &arena, 10);
    assert_int_equal(serving_open(&r->serving, slice_cstr(text), &o, &diags, &why), RESULT_OK);
    buf_deinit(&why);
    arena_deinit(&arena);
}

static int setup(void **state)
{
    struct rig *r = &rig;
    *r = (struct rig){.status = 200, .type = "application/json", .answer = ANSWER};
    metrics_names_init(&r->names);
    buf_init(&r->got, 1 << 20);
    assert_int_equal(loop_open(&r->loop, 0), RESULT_OK);
    assert_int_equal(dns_open(&r->dns), RESULT_OK);
    assert_int_equal(http_server_open(&r->upstream, r->loop, &UPSTREAM_OPS, NULL, r), RESULT_OK);
    assert_int_equal(http_server_listen(r->upstream, "127.0.0.1", 0, NULL), RESULT_OK);
    open_serving(r);
    r->shared = (struct gateway_shared){.path = path_settings_default,
                                        .http = http_limits_default,
                                        .client = http_client_limits_default,
                                        .dns = r->dns,
                                        .names = &r->names,
                                        .decisions_kept = 8};
    assert_int_equal(gateway_open(&r->gateway, &r->shared, r->loop, 0, r->serving, NULL),
                     RESULT_OK);
    assert_int_equal(gateway_listen(r->gateway, "127.0.0.1", 0, NULL), RESULT_OK);
    assert_int_equal(http_client_open(&r->client, r->loop, r->dns, NULL), RESULT_OK);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    http_client_close(r->client);
    gateway_close(r->gateway);
    http_server_close(r->upstream);
    serving_unref(r->serving);
    loop_turn(r->loop, 0);
    dns_close(r->dns);
    loop_close(r->loop);
    buf_deinit(&r->got);
    return 0;
}

// Sends and turns the loop until the answer is whole or broken; bounded. False when the call could not begin.
static bool ask(struct rig *r, const char *body)
{
    struct http_origin *origin;
    struct http_call *call;
    struct slice piece = slice_cstr(body);
    struct http_header headers[] = {{SLICE("content-type"), SLICE("application/json")},
                                    {SLICE("authorization"), SLICE("Bearer sk-client-secret")}};
    struct http_request q = {.method = HTTP_POST,
                             .target = SLICE("/v1/chat/completions"),
                             .headers = headers,
                             .header_count = 2,
                             .pieces = &piece,
                             .piece_count = 1,
                             .total_timeout_ms = 5000};
    r->over = false;
    r->error = RESULT_OK;
    r->got_status = 0;
    buf_reset(&r->got);
    if (http_client_origin(r->client, SLICE("127.0.0.1"), gateway_port(r->gateway), NULL,
                           &origin) ||
        http_call_start(origin, &q, &CLIENT_OPS, r, &call))
        return false;
    for (int i = 0; i < 5000 && !r->over; i++)
        loop_turn(r->loop, 10);
    assert_true(r->over);
    return true;
}

static bool got(struct rig *r, const char *text)
{
    return slice_find(buf_slice(&r->got), slice_cstr(text)) >= 0;
}

static void routes_and_splices(void **state)
{
    struct rig *r = *state;
    assert_true(ask(r, "{ \"model\" : \"auto\", \"x\":1.50, "
                       "\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}"));
    assert_int_equal(r->got_status, 200);
    assert_string_equal(r->seen_body, "{ \"model\" : \"up-small\", \"x\":1.50, "
                                      "\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}");
    assert_string_equal(r->seen_authorization, "");
    assert_string_equal(r->got_model, "small");
    assert_string_equal(r->got_cost, "0.000007");
    assert_true(slice_eq(buf_slice(&r->got), slice_cstr(ANSWER)));
    assert_true(ask(r, BODY));
    assert_string_equal(r->got_model, "big");
    assert_true(ask(r, "{\"messages\":[{\"role\":\"user\",\"content\":\"forbidden\"}]}"));
    assert_int_equal(r->got_status, 403);
    assert_true(got(r, "not here"));
    assert_int_equal(r->requests, 2);
}

static void names_and_aliases(void **state)
{
    struct rig *r = *state;
    assert_true(
        ask(r, "{\"model\":\"big\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}"));
    assert_string_equal(r->got_model, "big");
    assert_true(
        ask(r, "{\"model\":\"gpt-9\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}"));
    assert_int_equal(r->got_status, 404);
    assert_true(got(r, "model_not_found"));
    assert_true(ask(
        r, "{\"model\":\"small\",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],"
           "\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}"));
    assert_int_equal(r->got_status, 400);
    assert_true(got(r, "no_feasible_model"));
}

static void failures_have_names(void **state)
{
    static const struct {
        int status;
        const char *type, *answer;
        bool cut;
        int expect;
        const char *code;
    } cases[] = {
        {500, "application/json", "{}", false, 502, "upstream_error"},
        {503, "application/json", "{}", false, 503, "upstream_overloaded"},
        {429, "application/json", "{}", false, 429, "upstream_rate_limited"},
        {401, "application/json", "{}", false, 502, "upstream_auth"},
        {400, "application/json", "{\"error\":{\"message\":\"theirs\"}}", false, 400, "theirs"},
        {200, "text/html", "<html>", false, 502, "upstream_content_type"},
        {200, "application/json", "garbage", false, 502, "upstream_invalid_response"},
        {200, "application/json", "{\"error\":{\"message\":\"x\"}}", false, 502, "upstream_error"},
        {200, "application/json", "{\"choices\":[", true, 502, "upstream_cut"},
    };
    struct rig *r = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        // A good answer first, so that failures in a row do not put the endpoint out of service.
        r->status = 200;
        r->type = "application/json";
        r->answer = ANSWER;
        r->cut = false;
        assert_true(ask(r, BODY));
        assert_int_equal(r->got_status, 200);
        r->status = cases[i].status;
        r->type = cases[i].type;
        r->answer = cases[i].answer;
        r->cut = cases[i].cut;
        assert_true(ask(r, BODY));
        if (r->got_status != cases[i].expect || !got(r, cases[i].code))
            fail_msg("case %zu: status %d, body %.*s", i, r->got_status,
                     SLICE_FMT(buf_slice(&r->got)));
    }
    // Three failures in a row and more: the endpoint is out of service, and the client is told so at once.
    r->status = 500;
    r->cut = false;
    unsigned before = r->requests;
    for (int i = 0; i < 8; i++)
        assert_true(ask(r, BODY));
    assert_true(r->requests - before < 8);
    assert_int_equal(r->got_status, 503);
    assert_true(got(r, "model_unavailable"));
}

static const char STREAM[] =
    "data: {\"id\":\"s\",\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\n"
    "data: {\"id\":\"s\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
    "data: "
    "{\"id\":\"s\",\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\n"
    "data: [DONE]\n\n";

static void streams_end_whole_or_broken(void **state)
{
    struct rig *r = *state;
    r->type = "text/event-stream";
    r->answer = STREAM;
    assert_true(ask(r, STREAM_BODY));
    assert_int_equal(r->error, RESULT_OK);
    assert_true(got(r, "[DONE]"));
    assert_false(got(r, "usage"));
    assert_non_null(strstr(r->seen_body, "\"stream_options\":{\"include_usage\":true}"));
    // Cut behind the first event: an error event and no clean end.
    r->answer =
        "data: "
        "{\"id\":\"s\",\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\n";
    r->cut = true;
    assert_true(ask(r, STREAM_BODY));
    assert_int_not_equal(r->error, RESULT_OK);
    assert_true(got(r, "upstream_cut"));
    // A clean end without the terminal event is no end either.
    r->cut = false;
    assert_true(ask(r, STREAM_BODY));
    assert_int_not_equal(r->error, RESULT_OK);
    assert_true(got(r, "upstream_cut"));
}

static void every_allocation_may_fail(void **state)
{
    struct rig *r = *state;
    const char *const bodies[] = {BODY, STREAM_BODY};
    for (int kind = 0; kind < 2; kind++) {
        r->type = kind ? "text/event-stream" : "application/json";
        r->answer = kind ? STREAM : ANSWER;
        bool failed = true;
        for (uint64_t n = 1; failed && n < 400; n++) {
            uint64_t before = alloc_count();
            alloc_fail_at(n, 0);
            bool begun = ask(r, bodies[kind]);
            alloc_fail_at(0, 0);
            failed = alloc_count() - before >= n;
            if (begun && !r->error && r->got_status != 200 && r->got_status < 500)
                fail_msg("allocation %d: status %d, body %.*s", (int)n, r->got_status,
                         SLICE_FMT(buf_slice(&r->got)));
        }
        assert_false(failed);
        // And it still works.
        for (int i = 0; i < 3; i++)
            loop_turn(r->loop, 1);
        assert_true(ask(r, bodies[kind]));
        if (r->got_status != 200)
            fail_msg("afterwards: %d %.*s", r->got_status, SLICE_FMT(buf_slice(&r->got)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(routes_and_splices, setup, teardown),
        cmocka_unit_test_setup_teardown(names_and_aliases, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_have_names, setup, teardown),
        cmocka_unit_test_setup_teardown(streams_end_whole_or_broken, setup, teardown),
        cmocka_unit_test_setup_teardown(every_allocation_may_fail, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
