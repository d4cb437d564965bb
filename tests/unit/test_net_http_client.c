// net/http_client against a scripted upstream on loopback, and against net/http_server, in one process.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/rng.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "net/sys.h"
#include "net/tls.h"
#include "net_certs.h"

struct rig {
    struct loop *loop;
    struct dns *dns;
    struct http_client *client;
    struct http_origin *origin;
    struct http_call *call;
    int listener;
    uint16_t port;
    struct buf log, body;
    bool pause_at_head, pause_at_body, cancel_at_head, cancel_at_body, again_at_end;
    int body_pieces;
};

static void on_head(struct http_call *call, void *user, const struct http_head *head)
{
    struct rig *r = user;
    buf_printf(&r->log, "head-%d ", head->status);
    struct slice mark = http_header_get(head, "x-mark");
    buf_add(&r->log, mark);
    if (r->pause_at_head)
        http_call_pause(call);
    if (r->cancel_at_head)
        http_call_cancel(call);
}

static void on_body(struct http_call *call, void *user, struct slice piece)
{
    struct rig *r = user;
    assert_true(piece.len > 0);
    r->body_pieces++;
    buf_add(&r->body, piece);
    if (r->pause_at_body)
        http_call_pause(call);
    if (r->cancel_at_body)
        http_call_cancel(call);
}

static void start(struct rig *r);

static void on_end(struct http_call *call, void *user)
{
    struct rig *r = user;
    http_call_cancel(call); // over: changes nothing
    buf_printf(&r->log, "'%.*s' end ", SLICE_FMT(buf_slice(&r->body)));
    buf_reset(&r->body);
    r->call = NULL;
    if (r->again_at_end) {
        r->again_at_end = false;
        start(r);
    }
}

static void on_error(struct http_call *call, void *user, enum result why, enum http_phase phase,
                     bool reused)
{
    static const char *const phases[] = {"connect", "sent", "head", "body"};
    struct rig *r = user;
    (void)call;
    buf_printf(&r->log, "'%.*s' %s-%s%s ", SLICE_FMT(buf_slice(&r->body)), result_name(why),
               phases[phase], reused ? "-reused" : "");
    buf_reset(&r->body);
    r->call = NULL;
}

static const struct http_call_ops ops = {on_head, on_body, on_end, on_error};

static const struct http_header accept_header = {{"Accept", 6}, {"x/y", 3}};
static const struct http_request get = {.method = HTTP_GET,
                                        .target = {"/a", 2},
                                        .headers = &accept_header,
                                        .header_count = 1,
                                        .connect_timeout_ms = 5000};

static void start_with(struct rig *r, const struct http_request *request)
{
    assert_int_equal(http_call_start(r->origin, request, &ops, r, &r->call), RESULT_OK);
}

static void start(struct rig *r)
{
    start_with(r, &get);
}

static int listen_on(uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
    assert_int_equal(listen(fd, 16), 0);
    getsockname(fd, (struct sockaddr *)&a, &len);
    *port = ntohs(a.sin_port);
    return fd;
}

static void rig_open(struct rig *r, const struct http_client_limits *limits)
{
    *r = (struct rig){0};
    buf_init(&r->log, 1 << 20);
    buf_init(&r->body, 1 << 26);
    r->listener = listen_on(&r->port);
    assert_int_equal(loop_open(&r->loop, 0), RESULT_OK);
    assert_int_equal(dns_open(&r->dns), RESULT_OK);
    assert_int_equal(http_client_open(&r->client, r->loop, r->dns, limits), RESULT_OK);
    assert_int_equal(http_client_origin(r->client, SLICE("127.0.0.1"), r->port, NULL, &r->origin),
                     RESULT_OK);
}

static void rig_close(struct rig *r)
{
    http_client_close(r->client);
    // First the helper that may still be waking the loop.
    dns_close(r->dns);
    loop_close(r->loop);
    close(r->listener);
    buf_deinit(&r->log);
    buf_deinit(&r->body);
}

static void turns(struct rig *r, int n)
{
    for (int i = 0; i < n; i++)
        loop_turn(r->loop, 1);
}

// Turns until it is so: on a busy machine the kernel brings bytes late even over loopback.
#define UNTIL(r, cond)                                                                             \
    for (int turn_ = 0; turn_ < 10000 && !(cond); turn_++)                                         \
    loop_turn((r)->loop, 1)

static void wait_ms(struct rig *r, uint64_t ms)
{
    for (uint64_t end = loop_refresh(r->loop) + ms * 1000; loop_refresh(r->loop) < end;)
        loop_turn(r->loop, 1);
}

// The upstream's side of the next connection.
static int taken(struct rig *r)
{
    for (int i = 0; i < 10000; i++) {
        int fd = accept4(r->listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd >= 0) {
            int one = 1;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            turns(r, 2);
            return fd;
        }
        loop_turn(r->loop, 1);
    }
    fail_msg("no connection came");
    return -1;
}

// What comes to the upstream in the next `quiet` turns without anything.
static const char *heard_in(struct rig *r, int fd, int most)
{
    static char got[1 << 16];
    size_t n = 0;
    for (int quiet = 0; quiet < most && n < sizeof got - 8;) {
        ssize_t k = recv(fd, got + n, sizeof got - 8 - n, 0);
        if (k == 0 || (k < 0 && errno != EAGAIN)) {
            n += (size_t)sprintf(got + n, k == 0 ? "<end>" : "<reset>");
            break;
        }
        n += k > 0 ? (size_t)k : 0;
        quiet = k > 0 ? 0 : quiet + 1;
        if (k > 0)
            most = 4;
        loop_turn(r->loop, 1);
    }
    got[n] = '\0';
    return got;
}

// What must come to it.
static const char *heard(struct rig *r, int fd)
{
    return heard_in(r, fd, 10000);
}

// The call's side closes, whatever it says before.
static void assert_ends(struct rig *r, int fd)
{
    for (int i = 0; i < 1000; i++) {
        const char *got = heard_in(r, fd, 10);
        if (strstr(got, "<end>") || strstr(got, "<reset>"))
            return;
    }
    fail_msg("the connection stays open");
}

static void say(struct rig *r, int fd, const char *text)
{
    send(fd, text, strlen(text), MSG_NOSIGNAL);
    turns(r, 3);
}

static bool log_is(struct rig *r, const char *expected)
{
    UNTIL(r, r->log.len >= strlen(expected));
    bool same = slice_eq_cstr(buf_slice(&r->log), expected);
    buf_reset(&r->log);
    return same;
}

static void assert_log(struct rig *r, const char *expected)
{
    UNTIL(r, r->log.len >= strlen(expected));
    buf_byte(&r->log, '\0');
    assert_string_equal(r->log.ptr, expected);
    buf_reset(&r->log);
}

static void requests_are_written_in_full(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    start(&r);
    int fd = taken(&r);
    char expected[300];
    snprintf(expected, sizeof expected,
             "GET /a HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAccept: x/y\r\n\r\n", r.port);
    assert_string_equal(heard(&r, fd), expected);
    say(&r, fd, "HTTP/1.1 200 OK\r\nX-Mark: m\r\nContent-Length: 2\r\n\r\nhi");
    assert_log(&r, "head-200 m'hi' end ");

    const struct slice pieces[] = {SLICE("{\"a\":"), SLICE_EMPTY, SLICE("1}")};
    const struct http_header evil = {SLICE("X-A"), SLICE("b\r\nX-Evil: 1")};
    struct http_request post = {.method = HTTP_POST,
                                .target = SLICE("/v1"),
                                .headers = &evil,
                                .header_count = 1,
                                .pieces = pieces,
                                .piece_count = 3};
    start_with(&r, &post);
    turns(&r, 2);
    snprintf(expected, sizeof expected,
             "POST /v1 HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nX-A: b  X-Evil: 1\r\nContent-Length: "
             "7\r\n\r\n{\"a\":1}",
             r.port);
    assert_string_equal(heard(&r, fd), expected);
    say(&r, fd, "HTTP/1.1 204 No Content\r\n\r\n");
    assert_log(&r, "head-204 '' end ");

    post.piece_count = HTTP_CALL_PIECES_MAX + 1;
    assert_int_equal(http_call_start(r.origin, &post, &ops, &r, &r.call), RESULT_LIMIT);
    static char huge[70000];
    memset(huge, 'x', sizeof huge);
    struct http_header big = {SLICE("X"), {huge, sizeof huge}};
    post = (struct http_request){
        .method = HTTP_GET, .target = SLICE("/"), .headers = &big, .header_count = 1};
    assert_int_equal(http_call_start(r.origin, &post, &ops, &r, &r.call), RESULT_LIMIT);
    close(fd);
    rig_close(&r);

    struct http_origin *o, *same;
    rig_open(&r, NULL);
    assert_int_equal(http_client_origin(r.client, SLICE("Example.com"), 80, NULL, &o), RESULT_OK);
    assert_int_equal(http_client_origin(r.client, SLICE("example.com"), 80, NULL, &same),
                     RESULT_OK);
    assert_ptr_equal(o, same);
    assert_int_equal(http_client_origin(r.client, SLICE("::1"), r.port, NULL, &o), RESULT_OK);
    assert_ptr_not_equal(o, same);
    assert_int_equal(http_client_origin(r.client, SLICE_EMPTY, 80, NULL, &o), RESULT_LIMIT);
    rig_close(&r);
}

struct script {
    bool head;          // the method is HEAD
    const char *answer; // '|' cuts it into sends; '$' at the end closes
    const char *log;
    bool kept; // the connection serves the next call
};

static const struct script scripts[] = {
    {false, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "head-200 'abc' end ", true},
    {false,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2;x\r\nbc\r\n0\r\nT: "
     "u\r\n\r\n",
     "head-200 'abc' end ", true},
    {false, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "head-200 '' end ", true},
    {false, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "head-304 '' end ", true},
    {true, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "head-200 '' end ", true},
    {true, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "head-200 '' end ", true},
    {false,
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n|HTTP/1.1 200 "
     "OK\r\nContent-Length: 1\r\n\r\na",
     "head-200 'a' end ", true},
    {false, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na",
     "head-200 'a' end ", true},
    {false, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 1\r\n\r\na", "head-500 'a' end ",
     true},
    // The connection is not kept.
    {false, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na",
     "head-200 'a' end ", false},
    {false, "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", "head-200 'a' end ", false},
    {false, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nX",
     "head-200 'a' end ", false},
    {false, "HTTP/1.1 200 OK\r\n\r\nuntil the| end$", "head-200 'until the end' end ", false},
    {false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX", "head-200 '' end ",
     false},
    {true, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", "head-200 '' end ", false},
    // Never half an answer.
    {false, "$", "'' reset-sent ", false},
    {false, "HTTP/1.1 200 OK\r\n$", "'' eof-head ", false},
    {false, "HTTP/1.1 100 Continue\r\n\r\n$", "'' eof-head ", false},
    {false, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab$", "head-200 'ab' eof-body ", false},
    {false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n$",
     "head-200 'abc' eof-body ", false},
    {false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n$",
     "head-200 'abc' eof-body ", false},
    {false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX",
     "head-200 'abc' protocol-body ", false},
    {false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc",
     "head-200 '' protocol-body ", false},
    {false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\na",
     "'' protocol-head ", false},
    {false, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
     "'' protocol-head ", false},
    {false, "HTTP/1.1 101 Switching Protocols\r\n\r\n", "'' protocol-head ", false},
    {false, "HTTP/2.0 200 OK\r\n\r\n", "'' protocol-head ", false},
    {false, "hello\r\n\r\n", "'' protocol-head ", false},
};

static void send_script(struct rig *r, int fd, const char *text, size_t step)
{
    for (; *text && *text != '$'; text += step ? 1 : strcspn(text, "|$")) {
        if (*text == '|')
            text++;
        size_t n = step ? (*text && *text != '$') : strcspn(text, "|$");
        send(fd, text, n, MSG_NOSIGNAL);
        turns(r, 2);
    }
    if (*text == '$')
        close(fd);
    turns(r, 3);
}

static void run_scripts(size_t step)
{
    for (size_t i = 0; i < MERIT_COUNT(scripts); i++) {
        struct rig r;
        rig_open(&r, NULL);
        struct http_request request = get;
        request.method = scripts[i].head ? HTTP_HEAD : HTTP_GET;
        start_with(&r, &request);
        int fd = taken(&r);
        heard(&r, fd);
        send_script(&r, fd, scripts[i].answer, step);
        assert_log(&r, scripts[i].log);
        if (scripts[i].kept) {
            start(&r);
            turns(&r, 2);
            assert_memory_equal(heard(&r, fd), "GET", 3);
            // A kept connection that the peer had closed: the caller may send again.
            close(fd);
            turns(&r, 3);
            assert_log(&r, "'' reset-sent-reused ");
        } else if (!strchr(scripts[i].answer, '$')) {
            const char *end = heard(&r, fd);
            assert_true(strcmp(end, "<end>") == 0 || strcmp(end, "<reset>") == 0);
            close(fd);
        }
        rig_close(&r);
    }
}

static void answers_of_all_forms(void **state)
{
    (void)state;
    run_scripts(0);
}

static void answers_byte_by_byte(void **state)
{
    (void)state;
    run_scripts(1);
}

static void one_read_hands_over_all(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    start(&r);
    int fd = taken(&r);
    const char *answer =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n";
    send(fd, answer, strlen(answer), 0);
    UNTIL(&r, r.log.len);
    buf_byte(&r.log, '\0');
    assert_string_equal(r.log.ptr, "head-200 'ab' end ");
    close(fd);
    rig_close(&r);
}

static void interim_answers_are_bounded(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    start(&r);
    int fd = taken(&r);
    for (int i = 0; i < 17; i++)
        say(&r, fd, "HTTP/1.1 103 Early Hints\r\n\r\n");
    assert_log(&r, "'' protocol-head ");
    close(fd);
    rig_close(&r);
    struct http_client_limits limits = http_client_limits_default;
    limits.head_bytes = 100;
    for (int parts = 0; parts < 2; parts++) {
        rig_open(&r, &limits);
        start(&r);
        fd = taken(&r);
        if (parts)
            say(&r, fd, "HTTP/1.1 200 OK\r\n");
        say(&r, fd,
            parts ? "X: "
                    "012345678901234567890123456789012345678901234567890123456789012345678901234567"
                    "89012"
                  : "HTTP/1.1 200 OK\r\nX: "
                    "0123456789012345678901234567890123456789012345678901234567890123456789"
                    "0123456789\r\n\r\n");
        assert_log(&r, "'' limit-head ");
        close(fd);
        rig_close(&r);
    }
}

static void last_used_first(void **state)
{
    (void)state;
    struct http_client_limits limits = http_client_limits_default;
    limits.idle_per_origin = 2;
    limits.connections_per_origin = 3;
    limits.idle_timeout_ms = 1000;
    struct rig r;
    rig_open(&r, &limits);
    int fds[3];
    for (int i = 0; i < 3; i++) {
        start(&r);
        fds[i] = taken(&r);
    }
    start(&r); // over the cap
    turns(&r, 1);
    assert_log(&r, "'' limit-connect ");
    static const char done[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    for (int i = 0; i < 3; i++) {
        heard(&r, fds[i]);
        say(&r, fds[i], done);
    }
    assert_log(&r, "head-200 '' end head-200 '' end head-200 '' end ");
    assert_string_equal(heard(&r, fds[2]), "<end>"); // one more than are kept
    start(&r);
    turns(&r, 2);
    assert_memory_equal(heard(&r, fds[1]), "GET", 3);
    assert_string_equal(heard_in(&r, fds[0], 4), "");
    assert_string_equal(heard(&r, fds[0]), "<end>"); // idle for too long
    say(&r, fds[1], done);
    assert_log(&r, "head-200 '' end ");
    say(&r, fds[1], "HTTP/1.1 408 Request Timeout\r\n\r\n"); // unasked
    assert_string_equal(heard(&r, fds[1]), "<end>");
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    // A call that begins where another ends takes its connection.
    r.again_at_end = true;
    start(&r);
    int fd = taken(&r);
    heard(&r, fd);
    say(&r, fd, done);
    assert_memory_equal(heard(&r, fd), "GET", 3);
    say(&r, fd, done);
    assert_log(&r, "head-200 '' end head-200 '' end ");
    close(fd);
    rig_close(&r);
}

static void connecting_fails(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    struct http_origin *o;
    uint16_t port;
    close(listen_on(&port));
    assert_int_equal(http_client_origin(r.client, SLICE("127.0.0.1"), port, NULL, &o), RESULT_OK);
    assert_int_equal(http_call_start(o, &get, &ops, &r, &r.call), RESULT_OK);
    turns(&r, 3);
    assert_log(&r, "'' refused-connect ");
    // Refused on ::1 or 127.0.0.1, whichever comes first, answered on the other.
    assert_int_equal(http_client_origin(r.client, SLICE("localhost"), r.port, NULL, &o), RESULT_OK);
    assert_int_equal(http_call_start(o, &get, &ops, &r, &r.call), RESULT_OK);
    int fd = taken(&r);
    say(&r, fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_log(&r, "head-200 '' end ");
    close(fd);
    // A name that cannot be.
    assert_int_equal(http_client_origin(r.client, SLICE("no-such-name.invalid"), 80, NULL, &o),
                     RESULT_OK);
    assert_int_equal(http_call_start(o, &get, &ops, &r, &r.call), RESULT_OK);
    for (int i = 0; i < 10000 && r.call; i++)
        loop_turn(r.loop, 1);
    buf_byte(&r.log, '\0');
    assert_true(strcmp(r.log.ptr, "'' dns-connect ") == 0 ||
                strcmp(r.log.ptr, "'' timeout-connect ") == 0);
    rig_close(&r);
}

// What the call comes to when the peer says `first`, then `more` four times with a pause before each.
static bool dripped(struct rig *r, const struct http_request *request, const char *first,
                    const char *more, uint64_t pause_ms, const char *log)
{
    start_with(r, request);
    int fd = taken(r);
    if (first)
        say(r, fd, first);
    for (int i = 0; i < 4 && more; i++) {
        wait_ms(r, pause_ms);
        say(r, fd, more);
    }
    bool same = log_is(r, log);
    close(fd);
    UNTIL(r, !r->call);
    buf_reset(&r->log);
    buf_reset(&r->body);
    return same;
}

// A machine that lets this process wait for longer than the pause is told by another try.
#define BY_TRIES(call)                                                                             \
    do {                                                                                           \
        int tries_ = 0;                                                                            \
        while (!(call))                                                                            \
            assert_true(++tries_ < 20);                                                            \
    } while (0)

static void time_runs_out(void **state)
{
    (void)state;
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
    struct rig r;
    rig_open(&r, NULL);
    struct http_request request = get;
    request.first_byte_timeout_ms = 60;
    request.idle_timeout_ms = 80;
    BY_TRIES(dripped(&r, &request, NULL, NULL, 0, "'' timeout-sent "));
    BY_TRIES(dripped(&r, &request, head, "a", 40, "head-200 'aaaa' timeout-body "));
    // A head drop by drop.
    BY_TRIES(dripped(&r, &request, "HTTP/1.1 200 OK\r\nX: ", "X", 24, "'' timeout-head "));
    request.first_byte_timeout_ms = request.idle_timeout_ms = 0;
    request.total_timeout_ms = 90;
    BY_TRIES(dripped(&r, &request, head, "a", 40, "head-200 'aa' timeout-body "));
    rig_close(&r);
    // A listener that accepts no more leaves a connect without an answer.
    rig_open(&r, NULL);
    int fill[40];
    listen(r.listener, 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(r.port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < 40; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fill[i], (struct sockaddr *)&a, sizeof a);
    }
    request = get;
    request.connect_timeout_ms = 30;
    start_with(&r, &request);
    wait_ms(&r, 60);
    assert_log(&r, "'' timeout-connect ");
    for (int i = 0; i < 40; i++)
        close(fill[i]);
    rig_close(&r);
}

static void pausing_holds_back(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    r.pause_at_head = r.pause_at_body = true;
    start(&r);
    int fd = taken(&r);
    // The whole answer and the end of the connection come in one go.
    static const char answer[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                 "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n";
    send(fd, answer, sizeof answer - 1, 0);
    close(fd);
    assert_log(&r, "head-200 ");
    turns(&r, 5);
    assert_int_equal(r.body.len, 0);
    for (size_t i = 1; i <= 3; i++) {
        http_call_resume(r.call);
        assert_int_equal(r.body.len, i - 1);
        UNTIL(&r, r.body.len >= i);
        turns(&r, 3);
        assert_int_equal(r.body.len, i);
    }
    http_call_resume(r.call);
    turns(&r, 3);
    assert_log(&r, "'abc' end ");
    rig_close(&r);

    // A large answer waits in the kernel while its reader pauses.
    rig_open(&r, NULL);
    struct http_request request = get;
    request.idle_timeout_ms = 50;
    start_with(&r, &request);
    fd = taken(&r);
    say(&r, fd, "HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n");
    http_call_pause(r.call);
    static char piece[8000000];
    size_t sent = 0;
    for (int quiet = 0; quiet < 20; loop_turn(r.loop, 1)) {
        ssize_t n = send(fd, piece + sent, sizeof piece - sent, MSG_NOSIGNAL);
        quiet = n > 0 ? 0 : quiet + 1;
        sent += n > 0 ? (size_t)n : 0;
    }
    assert_true(sent < sizeof piece);
    assert_int_equal(r.body.len, 0);
    wait_ms(&r, 80); // waiting for the reader is no fault of the peer
    http_call_resume(r.call);
    for (int i = 0; i < 2000 && r.call; i++) {
        ssize_t n = send(fd, piece + sent, sizeof piece - sent, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        loop_turn(r.loop, 1);
    }
    assert_null(r.call);
    assert_int_equal(sent, sizeof piece);
    close(fd);
    rig_close(&r);
}

static void cancelling_is_final(void **state)
{
    (void)state;
    for (int way = 0; way < 4; way++) {
        struct rig r;
        rig_open(&r, NULL);
        r.cancel_at_head = way == 2;
        r.cancel_at_body = way == 3;
        start(&r);
        if (way == 0) {
            http_call_cancel(r.call);
            turns(&r, 3);
            assert_log(&r, "");
            rig_close(&r);
            continue;
        }
        int fd = taken(&r);
        if (way == 1) {
            heard(&r, fd);
            http_call_cancel(r.call);
        }
        say(&r, fd, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
        assert_ends(&r, fd);
        assert_log(&r, way == 1 ? "" : "head-200 ");
        close(fd);
        rig_close(&r);
    }
}

static void large_requests_are_not_copied(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    static char big[3 << 20];
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)('a' + i % 23);
    struct slice pieces[HTTP_CALL_PIECES_MAX];
    size_t total = 0;
    for (size_t i = 0; i < HTTP_CALL_PIECES_MAX; i++) {
        pieces[i] = slice_make(big + total, i % 2 ? 7 : 90000);
        total += pieces[i].len;
    }
    struct http_request request = {.method = HTTP_PUT,
                                   .target = SLICE("/"),
                                   .pieces = pieces,
                                   .piece_count = HTTP_CALL_PIECES_MAX};
    start_with(&r, &request);
    int fd = taken(&r);
    static char got[4 << 20];
    size_t n = 0;
    for (int quiet = 0; quiet < 50; loop_turn(r.loop, 1)) {
        ssize_t k = recv(fd, got + n, sizeof got - n, 0);
        quiet = k > 0 ? 0 : quiet + 1;
        n += k > 0 ? (size_t)k : 0;
    }
    ptrdiff_t head = slice_find(slice_make(got, n), SLICE("\r\n\r\n")) + 4;
    assert_int_equal(n - (size_t)head, total);
    assert_memory_equal(got + head, big, total);
    say(&r, fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_log(&r, "head-200 '' end ");
    // An answer before the request is sent whole ends the call; the connection goes with it.
    request.piece_count = 20;
    for (size_t i = 0; i < request.piece_count; i++)
        pieces[i] = slice_make(big, sizeof big);
    start_with(&r, &request);
    turns(&r, 2);
    say(&r, fd, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
    assert_log(&r, "head-413 '' end ");
    start(&r);
    int other = taken(&r);
    assert_memory_equal(heard(&r, other), "GET", 3);
    close(fd), close(other);
    rig_close(&r);
}

// --- against the server of this layer

static void echo(struct http_exchange *x)
{
    http_respond_head(x, 200, NULL, 0, x->head->query.len ? -1 : (int64_t)x->body.len);
    struct slice rest = x->body;
    while (rest.len) {
        struct slice piece = slice_head(rest, 1 + rest.len / 3);
        http_respond_body(x, piece);
        rest = slice_from(rest, piece.len);
    }
    http_respond_end(x);
}

static const struct http_server_ops echo_ops = {.on_request = echo};

static void round_trip(struct rig *r, struct slice body, bool chunked)
{
    struct http_request request = {.method = HTTP_POST,
                                   .target = chunked ? SLICE("/?c") : SLICE("/"),
                                   .pieces = &body,
                                   .piece_count = 1};
    start_with(r, &request);
    for (int i = 0; i < 20000 && r->call; i++)
        loop_turn(r->loop, 1);
    assert_null(r->call);
}

static void rig_with_server(struct rig *r, struct http_server **s)
{
    rig_open(r, NULL);
    assert_int_equal(http_server_open(s, r->loop, &echo_ops, NULL, NULL), RESULT_OK);
    assert_int_equal(http_server_listen(*s, "127.0.0.1", 0, NULL), RESULT_OK);
    uint16_t port = http_server_port(*s);
    assert_int_equal(http_client_origin(r->client, SLICE("127.0.0.1"), port, NULL, &r->origin),
                     RESULT_OK);
}

static void any_cut_gives_the_same(void **state)
{
    (void)state;
    struct rig r;
    struct http_server *s;
    rig_with_server(&r, &s);
    struct rng rng;
    rng_seed(&rng, 3);
    static char body[300000], expected[300100];
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (char)('a' + i % 26);
    for (int i = 0; i < 60; i++) {
        size_t len = rng_below(&rng, i % 10 ? 200 : sizeof body);
        sys_shorten_random(i + 1, i % 10 ? 1 + rng_below(&rng, 60) : 30000);
        round_trip(&r, slice_make(body, len), i & 1);
        sys_shorten_random(0, 0);
        snprintf(expected, sizeof expected, "head-200 '%.*s' end ", (int)len, body);
        assert_log(&r, expected);
    }
    http_server_close(s);
    rig_close(&r);
}

static void steady_state_allocates_nothing(void **state)
{
    (void)state;
    struct rig r;
    struct http_server *s;
    rig_with_server(&r, &s);
    uint64_t before = 0;
    for (int i = 0; i < 60; i++) {
        if (i == 20)
            before = alloc_count();
        round_trip(&r, SLICE("some text"), i & 1);
        buf_reset(&r.log);
    }
    assert_int_equal(alloc_count(), before);
    // Large bodies take turns in one block.
    static char large[150000];
    memset(large, 'l', sizeof large);
    static char expected[sizeof large + 30];
    snprintf(expected, sizeof expected, "head-200 '%.*s' end ", (int)sizeof large, large);
    for (int i = 0; i < 3; i++) {
        round_trip(&r, slice_make(large, sizeof large), false);
        assert_log(&r, expected);
    }
    http_server_close(s);
    rig_close(&r);
}

static void over_tls(void **state)
{
    (void)state;
    struct certs certs;
    struct tls_context *sv, *cl;
    char diag[TLS_DIAG_BYTES];
    certs_init(&certs);
    certs_issue(&certs, "a", "IP:127.0.0.1", 86400);
    certs_issue(&certs, "b", "DNS:b.example", 86400);
    struct tls_certificate good = {NULL, certs_path(&certs, "a", "pem"),
                                   certs_path(&certs, "a", "key")};
    struct tls_certificate other = {NULL, certs_path(&certs, "b", "pem"),
                                    certs_path(&certs, "b", "key")};
    assert_int_equal(tls_client_open(&cl, certs_path(&certs, "root", "pem"), false, diag), 0);
    for (int wrong = 0; wrong < 2; wrong++) {
        struct rig r;
        struct http_server *s;
        struct http_limits limits = http_limits_default;
        limits.body_bytes = 400000;
        rig_open(&r, NULL);
        assert_int_equal(tls_server_open(&sv, wrong ? &other : &good, 1, diag), 0);
        assert_int_equal(http_server_open(&s, r.loop, &echo_ops, &limits, NULL), RESULT_OK);
        assert_int_equal(http_server_listen(s, "127.0.0.1", 0, sv), RESULT_OK);
        uint16_t port = http_server_port(s);
        assert_int_equal(http_client_origin(r.client, SLICE("127.0.0.1"), port, cl, &r.origin),
                         RESULT_OK);
        static char body[500000], expected[500100];
        memset(body, 'q', sizeof body);
        static const size_t sizes[] = {0, 9, 300000, 9, sizeof body, 9};
        for (size_t i = 0; i < MERIT_COUNT(sizes); i++) {
            round_trip(&r, slice_make(body, sizes[i]), i & 1);
            if (wrong) {
                assert_log(&r, "'' tls-connect ");
                continue;
            }
            bool over = sizes[i] > limits.body_bytes;
            if (!over) {
                snprintf(expected, sizeof expected, "head-200 '%.*s' end ", (int)sizes[i], body);
                assert_log(&r, expected);
                continue;
            }
            assert_log(&r, "head-413 'The body's bytes are over the limit of 400000.' end ");
        }
        http_server_close(s);
        rig_close(&r);
        tls_context_unref(sv);
    }
    tls_context_unref(cl);
    certs_remove(&certs);
}

static void memory_runs_out(void **state)
{
    (void)state;
    bool whole = false;
    for (uint64_t n = 1; !whole && n < 100; n++) {
        struct rig r;
        struct http_server *s;
        rig_with_server(&r, &s);
        buf_reserve(&r.log, 4096);
        buf_reserve(&r.body, 4096);
        struct slice body = SLICE("some text");
        struct http_request request = {.method = HTTP_POST,
                                       .target = SLICE("/?c"),
                                       .pieces = &body,
                                       .piece_count = 1,
                                       .total_timeout_ms = 500};
        alloc_fail_at(n, 0);
        enum result res = http_call_start(r.origin, &request, &ops, &r, &r.call);
        for (int i = 0; i < 2000 && r.call; i++)
            loop_turn(r.loop, 1);
        alloc_fail_at(0, 0);
        assert_null(r.call);
        whole = !res && strstr(r.log.ptr, "'some text' end");
        http_server_close(s);
        rig_close(&r);
    }
    assert_true(whole);
}

static void reads_and_writes_fail(void **state)
{
    (void)state;
    static const int errors[] = {ECONNRESET, EPIPE, EAGAIN, EINTR, ENOBUFS};
    for (size_t e = 0; e < MERIT_COUNT(errors); e++) {
        for (int op = SYS_RECV; op <= SYS_CONNECT; op++) {
            for (uint64_t n = 1; n < 5; n++) {
                struct rig r;
                struct http_server *s;
                rig_with_server(&r, &s);
                struct sys_fault f = {.at = n, .error = errors[e]};
                struct slice body = SLICE("some text");
                struct http_request request = {.method = HTTP_POST,
                                               .target = SLICE("/?c"),
                                               .pieces = &body,
                                               .piece_count = 1,
                                               .total_timeout_ms = 60};
                sys_fault_set((enum sys_op)op, &f);
                start_with(&r, &request);
                for (int i = 0; i < 2000 && r.call; i++)
                    loop_turn(r.loop, 1);
                sys_fault_set((enum sys_op)op, NULL);
                assert_null(r.call);
                http_server_close(s);
                rig_close(&r);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_written_in_full),
        cmocka_unit_test(answers_of_all_forms),
        cmocka_unit_test(answers_byte_by_byte),
        cmocka_unit_test(one_read_hands_over_all),
        cmocka_unit_test(interim_answers_are_bounded),
        cmocka_unit_test(last_used_first),
        cmocka_unit_test(connecting_fails),
        cmocka_unit_test(time_runs_out),
        cmocka_unit_test(pausing_holds_back),
        cmocka_unit_test(cancelling_is_final),
        cmocka_unit_test(large_requests_are_not_copied),
        cmocka_unit_test(any_cut_gives_the_same),
        cmocka_unit_test(steady_state_allocates_nothing),
        cmocka_unit_test(over_tls),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(reads_and_writes_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
