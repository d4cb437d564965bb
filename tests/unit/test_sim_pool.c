// The demo pool over a real socket: what a client reads, and every way to misbehave.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "sim/pool.h"
#include "text/json.h"
#include "text/sse.h"

static struct sim *sim;
static struct arena arena;
static struct buf answer; // head and body, unchunked by read_all's caller

static int begin(void **state)
{
    (void)state;
    arena_init(&arena, 0, 64 << 20);
    buf_init(&answer, 32 << 20);
    return sim_open(&sim, &(struct sim_options){.pace = 0, .seed = 1}) == RESULT_OK ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    sim_close(sim);
    buf_deinit(&answer);
    arena_deinit(&arena);
    return 0;
}

static int dial(const struct sim *s)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(sim_port(s))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void send_request(int fd, const char *method, const char *path, const char *headers,
                         const char *body)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    buf_printf(&out, "%s %s HTTP/1.1\r\nHost: x\r\n%s", method, path, headers);
    if (body)
        buf_printf(&out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(body));
    BUF_LIT(&out, "Connection: close\r\n\r\n");
    if (body)
        buf_cstr(&out, body);
    assert_int_equal(send(fd, out.ptr, out.len, MSG_NOSIGNAL), out.len);
    buf_deinit(&out);
}

// To the end: true when it came cleanly. What came is in `answer`.
static bool read_all(int fd)
{
    buf_reset(&answer);
    for (;;) {
        char *to = buf_reserve(&answer, 65536);
        assert_non_null(to);
        ssize_t n = recv(fd, to, 65536, 0);
        if (n <= 0) {
            int why = n ? errno : 0;
            close(fd);
            if (why == EAGAIN)
                fail_msg("no end within 10 s");
            return n == 0;
        }
        answer.len += (size_t)n;
    }
}

static int status_of(void)
{
    return answer.len > 12 ? (int)strtol(answer.ptr + 9, NULL, 10) : 0;
}

// The body, its chunks joined. `*whole` tells whether its end was stated and reached.
static struct slice body_of(bool *whole)
{
    struct slice all = buf_slice(&answer);
    ptrdiff_t at = slice_find(all, SLICE("\r\n\r\n"));
    assert_true(at > 0);
    struct slice head = slice_head(all, (size_t)at), rest = slice_from(all, (size_t)at + 4);
    ptrdiff_t length = slice_find(head, SLICE("ontent-length: "));
    if (length < 0)
        length = slice_find(head, SLICE("ontent-Length: "));
    if (length >= 0) {
        *whole = rest.len == strtoul(head.ptr + length + 15, NULL, 10);
        return rest;
    }
    struct buf joined;
    buf_init(&joined, 32 << 20);
    *whole = false;
    for (;;) {
        ptrdiff_t line = slice_find(rest, SLICE("\r\n"));
        if (line < 0)
            break;
        size_t n = strtoul(rest.ptr, NULL, 16);
        rest = slice_from(rest, (size_t)line + 2);
        if (!n) {
            *whole = true;
            break;
        }
        if (rest.len < n + 2)
            break;
        buf_append(&joined, rest.ptr, n);
        rest = slice_from(rest, n + 2);
    }
    struct slice s = arena_copy(&arena, buf_slice(&joined));
    buf_deinit(&joined);
    return s;
}

static struct slice ask_with(const char *model, const char *rest, const char *headers,
                             const char *text, bool *whole)
{
    char body[4096];
    snprintf(body, sizeof body,
             "{\"model\":\"%s\",%s\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}", model,
             rest, text);
    int fd = dial(sim);
    send_request(fd, "POST", "/v1/chat/completions", headers, body);
    read_all(fd);
    return body_of(whole);
}

static struct slice ask(const char *rest, const char *text, bool *whole)
{
    return ask_with("swift", rest, "", text, whole);
}

static uint32_t count_events(struct slice body, bool *done)
{
    struct sse s;
    struct sse_event e;
    sse_init(&s, 1 << 20);
    uint32_t n = 0;
    *done = false;
    while (sse_next(&s, &body, &e) == RESULT_OK) {
        n++;
        *done = slice_eq_cstr(e.data, "[DONE]");
    }
    sse_deinit(&s);
    return n;
}

static void assert_json(struct slice body)
{
    struct json j;
    if (json_parse(&j, body, &json_limits_default, &arena))
        fail_msg("no JSON: %.*s", SLICE_FMT(body));
}

static void answers_whole_and_streamed(void **state)
{
    (void)state;
    bool whole, done;
    uint64_t before = sim_requests(sim);
    struct slice body = ask("", "hello there", &whole);
    assert_int_equal(status_of(), 200);
    assert_true(whole);
    assert_json(body);
    assert_true(slice_find(body, SLICE("simulated")) > 0 &&
                slice_find(body, SLICE("\"usage\"")) > 0);
    body = ask("\"stream\":true,", "hello there", &whole);
    assert_true(whole);
    assert_true(slice_find(buf_slice(&answer), SLICE("text/event-stream")) > 0);
    assert_true(count_events(body, &done) > 5 && done);
    assert_int_equal(sim_requests(sim) - before, 2);
}

static void lists_models_and_health(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path, *want;
        int status;
    } cases[] = {
        {"GET", "/v1/models", "\"id\":\"vast\"", 200},
        {"GET", "/v1/models/deep", "\"context_window\":128000", 200},
        {"GET", "/v1/models/x", "model_not_found", 404},
        {"GET", "/health", "simulated", 200},
        {"DELETE", "/v1/models", "method_not_allowed", 405},
        {"GET", "/v1/chat/completions", "method_not_allowed", 405},
        {"GET", "/other", "unknown_path", 404},
    };
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        bool whole;
        int fd = dial(sim);
        send_request(fd, cases[i].method, cases[i].path, "", NULL);
        assert_true(read_all(fd));
        assert_int_equal(status_of(), cases[i].status);
        struct slice body = body_of(&whole);
        assert_true(whole && slice_find(body, slice_cstr(cases[i].want)) >= 0);
        assert_json(body);
    }
}

static void refuses_what_a_real_one_refuses(void **state)
{
    (void)state;
    bool whole;
    assert_true(slice_find(ask_with("gpt", "", "", "x", &whole), SLICE("model_not_found")) > 0);
    assert_int_equal(status_of(), 404);
    assert_true(
        slice_find(ask("\"max_tokens\":9000,", "x", &whole), SLICE("context_length_exceeded")) > 0);
    assert_int_equal(status_of(), 400);
    assert_true(slice_find(ask("", "[[sim: typo]]", &whole), SLICE("bad_directive")) > 0);
    assert_int_equal(status_of(), 400);
}

static void misbehaves_whole(void **state)
{
    (void)state;
    bool whole;
    struct slice body = ask("", "[[sim: status=429 retry-after=2]]", &whole);
    assert_int_equal(status_of(), 429);
    assert_true(slice_find(body, SLICE("rate_limit_exceeded")) > 0);
    assert_true(slice_find(buf_slice(&answer), SLICE("retry-after: 2\r\n")) > 0);
    body = ask("\"metadata\":{\"sim\":\"status=503\"},", "hello", &whole);
    assert_int_equal(status_of(), 503);
    ask_with("swift", "", "x-sim: status=402\r\n", "hello", &whole);
    assert_int_equal(status_of(), 402);
    body = ask("", "[[sim: cut]]", &whole);
    assert_false(whole);
    assert_true(body.len > 10);
    body = ask("", "[[sim: empty]]", &whole);
    assert_true(whole && !body.len);
    body = ask("", "[[sim: garbage]]", &whole);
    struct json j;
    assert_int_not_equal(json_parse(&j, body, &json_limits_default, &arena), RESULT_OK);
    ask("", "[[sim: type=text/html]]", &whole);
    assert_true(slice_find(buf_slice(&answer), SLICE("content-type: text/html\r\n")) > 0);
    body = ask("", "[[sim: no-usage]]", &whole);
    assert_true(slice_find(body, SLICE("usage")) < 0);
    ask("", "[[sim: headers=50000]]", &whole);
    assert_true(answer.len > 50000);
    uint64_t at = clock_mono_us(&clock_system);
    ask("", "[[sim: delay=120ms]]", &whole);
    assert_true(clock_mono_us(&clock_system) - at >= 120000);
    body = ask("", "[[sim: error]]", &whole);
    assert_int_equal(status_of(), 500);
}

static void misbehaves_in_streams(void **state)
{
    (void)state;
    bool whole, done;
    struct slice body = ask("\"stream\":true,", "[[sim: cut after=3]]", &whole);
    assert_false(whole);
    assert_int_equal(count_events(body, &done), 3);
    body = ask("\"stream\":true,", "[[sim: cut]]", &whole);
    assert_false(whole);
    assert_int_equal(count_events(body, &done), 0);
    body = ask("\"stream\":true,", "[[sim: error after=2]]", &whole);
    assert_false(whole);
    assert_int_equal(count_events(body, &done), 3);
    assert_true(slice_find(body, SLICE("{\"error\":")) > 0);
    body = ask("\"stream\":true,", "[[sim: no-done]]", &whole);
    assert_true(whole);
    count_events(body, &done);
    assert_false(done);
    body = ask("\"stream\":true,", "[[sim: garbage]]", &whole);
    assert_int_equal(count_events(body, &done), 0);
    body = ask("\"stream\":true,\"stream_options\":{\"include_usage\":true},", "[[sim: no-usage]]",
               &whole);
    assert_true(slice_find(body, SLICE("usage")) < 0);
    body = ask("\"stream\":true,\"stream_options\":{\"include_usage\":true},", "hi", &whole);
    assert_true(slice_find(body, SLICE("\"usage\":{")) > 0);
    uint64_t at = clock_mono_us(&clock_system);
    body = ask("\"stream\":true,", "[[sim: slow=20ms tokens=5]]", &whole);
    assert_true(whole);
    assert_true(clock_mono_us(&clock_system) - at >= 100000);
    // role, five tokens, finish, done
    assert_int_equal(count_events(body, &done), 8);
}

static void directives_choose_their_requests(void **state)
{
    (void)state;
    bool whole;
    char text[80];
    for (int i = 0; i < 4; i++) {
        ask("", "[[sim: status=500 times=2]]", &whole);
        assert_int_equal(status_of(), i < 2 ? 500 : 200);
    }
    ask("", "[[sim: status=500 model=deep]]", &whole);
    assert_int_equal(status_of(), 200);
    ask_with("deep", "", "", "[[sim: status=500 model=deep]]", &whole);
    assert_int_equal(status_of(), 500);
    snprintf(text, sizeof text, "[[sim: status=500 port=%u]]", sim_port(sim));
    ask("", text, &whole);
    assert_int_equal(status_of(), 500);
    ask("", "[[sim: status=500 port=1]]", &whole);
    assert_int_equal(status_of(), 200);
}

// A reader that sleeps: the pool must wait for it, and everything must still come.
static void slow_reader_gets_all(void **state)
{
    (void)state;
    int fd = dial(sim);
    int small = 128 * 1024;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    send_request(fd, "POST", "/v1/chat/completions", "",
                 "{\"model\":\"vast\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":"
                 "\"[[sim: tokens=40000]]\"}]}");
    usleep(200000);
    bool whole, done;
    assert_true(read_all(fd));
    struct slice body = body_of(&whole);
    assert_true(whole);
    assert_int_equal(count_events(body, &done), 40003);
    assert_true(done);
}

// Clients that leave, and a pool that closes with calls in flight.
static void leaving_is_survived(void **state)
{
    (void)state;
    struct sim *own;
    assert_int_equal(sim_open(&own, &(struct sim_options){.pace = 1}), RESULT_OK);
    assert_int_not_equal(sim_port(own), sim_port(sim));
    static const char *const texts[] = {"[[sim: hang]]", "[[sim: hang after=2]]", "hello",
                                        "[[sim: slow=1s]]"};
    int fds[2 * MERIT_COUNT(texts)];
    for (size_t i = 0; i < MERIT_COUNT(fds); i++) {
        char body[256];
        snprintf(body, sizeof body,
                 "{\"model\":\"vast\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":"
                 "\"%s\"}]}",
                 texts[i / 2]);
        fds[i] = dial(own);
        send_request(fds[i], "POST", "/v1/chat/completions", "", body);
    }
    for (int i = 0; i < 3000 && sim_requests(own) < MERIT_COUNT(fds); i++)
        usleep(10000);
    for (size_t i = 0; i < MERIT_COUNT(fds); i += 2)
        close(fds[i]);
    usleep(400000);
    assert_int_equal(sim_requests(own), MERIT_COUNT(fds));
    sim_close(own);
    for (size_t i = 1; i < MERIT_COUNT(fds); i += 2)
        read_all(fds[i]);
}

// The pool that a policy calls whose models have names of their own.
static void any_name_is_served_where_asked(void **state)
{
    (void)state;
    struct sim *own;
    static const char body[] =
        "{\"model\":\"teller\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}";
    assert_int_equal(sim_open(&own, &(struct sim_options){.pace = 0, .any_model = true}),
                     RESULT_OK);
    struct sim *const both[] = {own, sim};
    for (size_t i = 0; i < MERIT_COUNT(both); i++) {
        int fd = dial(both[i]);
        send_request(fd, "POST", "/v1/chat/completions", "", body);
        assert_true(read_all(fd));
        assert_int_equal(status_of(), both[i] == own ? 200 : 404);
    }
    sim_close(own);
}

static void a_taken_port_is_told(void **state)
{
    (void)state;
    struct sim *second = NULL;
    static const char *const names[] = {"only"};
    enum result r = sim_open(
        &second, &(struct sim_options){.port = sim_port(sim), .models = names, .model_count = 1});
    assert_int_equal(r, RESULT_EXISTS);
    assert_int_equal(sim_open(&second, &(struct sim_options){.models = names,
                                                             .model_count = SIM_MODELS_MAX + 1}),
                     RESULT_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_whole_and_streamed),
        cmocka_unit_test(lists_models_and_health),
        cmocka_unit_test(refuses_what_a_real_one_refuses),
        cmocka_unit_test(misbehaves_whole),
        cmocka_unit_test(misbehaves_in_streams),
        cmocka_unit_test(directives_choose_their_requests),
        cmocka_unit_test(slow_reader_gets_all),
        cmocka_unit_test(leaving_is_survived),
        cmocka_unit_test(any_name_is_served_where_asked),
        cmocka_unit_test(a_taken_port_is_told),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
