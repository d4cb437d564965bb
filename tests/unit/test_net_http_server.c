// net/http_server over real sockets on loopback, in one process: what goes in, what comes out, and what is called.
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
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "net/http_server.h"
#include "net/sys.h"

enum { HIGH_WATER = 100000 };

struct rig {
    struct loop *loop;
    struct http_server *server;
    struct http_exchange *held;
    struct buf log; // what was called
    bool flooding;
    size_t flood_left;
};

static void note(struct rig *r, const char *what, struct http_exchange *x)
{
    buf_printf(&r->log, "%s", what);
    if (x && x->head)
        buf_add(&r->log, x->head->target);
    buf_byte(&r->log, ' ');
}

static struct rig *rig_of(struct http_exchange *x)
{
    return http_server_user(x->server);
}

static const struct http_header json = {{"Content-Type", 12}, {"application/json", 16}};

static void on_head(struct http_exchange *x)
{
    note(rig_of(x), "head", x);
    if (slice_eq_cstr(x->head->path, "/early"))
        http_respond(x, 401, NULL, 0, SLICE("no"));
    else if (slice_eq_cstr(x->head->path, "/early-abort"))
        http_respond_abort(x);
    else if (slice_eq_cstr(x->head->path, "/early-hold")) {
        rig_of(x)->held = x;
        http_respond_head(x, 200, NULL, 0, -1);
    }
}

static void flood(struct http_exchange *x)
{
    static const char zeros[10000];
    struct rig *r = rig_of(x);
    while (r->flood_left && http_backlog(x) <= HIGH_WATER) {
        size_t n = r->flood_left < sizeof zeros ? r->flood_left : sizeof zeros;
        http_respond_body(x, slice_make(zeros, n));
        r->flood_left -= n;
    }
    if (!r->flood_left)
        http_respond_end(x);
}

static void on_request(struct http_exchange *x)
{
    struct rig *r = rig_of(x);
    struct slice path = x->head->path;
    note(r, "request", x);
    if (slice_eq_cstr(path, "/hold")) {
        r->held = x;
    } else if (slice_eq_cstr(path, "/chunks")) {
        http_respond_head(x, 200, &json, 1, -1);
        http_respond_body(x, SLICE("one"));
        http_respond_body(x, SLICE_EMPTY);
        http_respond_body(x, SLICE("and two"));
        http_respond_end(x);
    } else if (slice_eq_cstr(path, "/sized")) {
        http_respond_head(x, 200, NULL, 0, 6);
        http_respond_body(x, SLICE("abc"));
        http_respond_body(x, SLICE("def"));
        http_respond_end(x);
    } else if (slice_eq_cstr(path, "/short")) {
        http_respond_head(x, 200, NULL, 0, 6);
        http_respond_body(x, SLICE("abc"));
        http_respond_end(x);
    } else if (slice_eq_cstr(path, "/break")) {
        http_respond_head(x, 200, NULL, 0, -1);
        http_respond_body(x, SLICE("abc"));
        http_respond_abort(x);
    } else if (slice_eq_cstr(path, "/none")) {
        http_respond(x, 204, NULL, 0, SLICE_EMPTY);
    } else if (slice_eq_cstr(path, "/split")) {
        const struct http_header evil = {SLICE("X-A"), SLICE("b\r\nX-Evil: 1")};
        http_respond(x, 200, &evil, 1, SLICE_EMPTY);
    } else if (slice_eq_cstr(path, "/flood")) {
        http_respond_head(x, 200, NULL, 0, (int64_t)r->flood_left);
        flood(x);
    } else {
        http_respond(x, 200, NULL, 0, x->body);
    }
}

static void on_writable(struct http_exchange *x)
{
    flood(x);
}

static void on_abort(struct http_exchange *x, enum result why)
{
    struct rig *r = rig_of(x);
    buf_printf(&r->log, "abort-%s ", result_name(why));
    if (r->held == x)
        r->held = NULL;
}

static void on_done(struct http_exchange *x)
{
    struct rig *r = rig_of(x);
    buf_printf(&r->log, "done-%d ", x->status);
}

static struct slice on_bad(struct http_exchange *x, const struct http_bad *bad, struct slice *type)
{
    note(rig_of(x), "bad", NULL);
    *type = SLICE("x/bad");
    return arena_printf(x->arena, "%s|%s", bad->code, bad->message);
}

static const struct http_server_ops ops = {on_head,  on_request, on_writable,
                                           on_abort, on_done,    on_bad};

static void rig_open(struct rig *r, const struct http_limits *limits)
{
    *r = (struct rig){0};
    buf_init(&r->log, 1 << 20);
    assert_int_equal(loop_open(&r->loop, 0), RESULT_OK);
    assert_int_equal(http_server_open(&r->server, r->loop, &ops, limits, r), RESULT_OK);
    assert_int_equal(http_server_listen(r->server, "127.0.0.1", 0, NULL), RESULT_OK);
}

static void rig_close(struct rig *r)
{
    http_server_close(r->server);
    loop_close(r->loop);
    buf_deinit(&r->log);
}

static int dial(struct rig *r)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(http_server_port(r->server))};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void turns(struct rig *r, int n)
{
    for (int i = 0; i < n; i++)
        loop_turn(r->loop, 0);
}

static void say(struct rig *r, int fd, struct slice s)
{
    while (s.len) {
        ssize_t n = send(fd, s.ptr, s.len, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN)
                return; // the server has broken off; what it said is heard
            loop_turn(r->loop, 1);
            continue;
        }
        s = slice_from(s, (size_t)n);
    }
}

// Reads until the peer is silent for a few turns, ends (then "<end>" follows) or breaks ("<reset>"). Dates are cut out.
static const char *hear(struct rig *r, int fd)
{
    static char got[1 << 16];
    size_t n = 0;
    for (int quiet = 0; quiet < 6 && n < sizeof got - 16;) {
        loop_turn(r->loop, 1);
        ssize_t k = recv(fd, got + n, sizeof got - 16 - n, 0);
        if (k > 0) {
            n += (size_t)k;
            quiet = 0;
        } else if (k == 0 || errno != EAGAIN) {
            n += (size_t)sprintf(got + n, k == 0 ? "<end>" : "<reset>");
            break;
        } else {
            quiet++;
        }
    }
    got[n] = '\0';
    for (char *date; (date = strstr(got, "Date: "));) {
        assert_memory_equal(date + 32, "GMT\r\n", 5);
        memmove(date, date + 37, strlen(date + 37) + 1);
    }
    return got;
}

static const char *ask(struct rig *r, int fd, const char *text)
{
    say(r, fd, slice_cstr(text));
    return hear(r, fd);
}

static void assert_log(struct rig *r, const char *expected)
{
    buf_byte(&r->log, '\0');
    assert_string_equal(r->log.ptr, expected);
    buf_reset(&r->log);
}

#define OK(len) "HTTP/1.1 200 OK\r\nContent-Length: " #len "\r\n\r\n"

static void answers_in_all_forms(void **state)
{
    (void)state;
    static const struct {
        const char *request, *answer;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", OK(0)},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", OK(5) "hello"},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
         "chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nA: b\r\n\r\n",
         OK(5) "hello"},
        {"GET /chunks HTTP/1.1\r\nHost: a\r\n\r\n",
         "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
         "3\r\none\r\n7\r\nand two\r\n0\r\n\r\n"},
        {"HEAD /chunks HTTP/1.1\r\nHost: a\r\n\r\n",
         "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {"GET /sized HTTP/1.1\r\nHost: a\r\n\r\n", OK(6) "abcdef"},
        {"HEAD /sized HTTP/1.1\r\nHost: a\r\n\r\n", OK(6)},
        {"GET /none HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"},
        {"GET /split HTTP/1.1\r\nHost: a\r\n\r\n",
         "HTTP/1.1 200 OK\r\nX-A: b  X-Evil: 1\r\nContent-Length: 0\r\n\r\n"},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
         "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"},
        {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", OK(0)},
        // From here on the connection ends.
        {"GET / HTTP/1.0\r\n\r\n",
         "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n<end>"},
        {"GET /chunks HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
         "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\noneand "
         "two<end>"},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
         "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n<end>"},
        {"GET /short HTTP/1.1\r\nHost: a\r\n\r\n", OK(6) "abc<reset>"},
        {"GET /break HTTP/1.1\r\nHost: a\r\n\r\n",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n<end>"},
    };
    struct rig r;
    rig_open(&r, NULL);
    int fd = dial(&r);
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        assert_string_equal(ask(&r, fd, cases[i].request), cases[i].answer);
        if (strchr(cases[i].answer, '<')) {
            close(fd);
            fd = dial(&r);
        }
    }
    // The same in pieces of one byte.
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        for (const char *p = cases[i].request; *p; p++) {
            say(&r, fd, slice_make(p, 1));
            turns(&r, 2);
        }
        assert_string_equal(hear(&r, fd), cases[i].answer);
        if (strchr(cases[i].answer, '<')) {
            close(fd);
            fd = dial(&r);
        }
    }
    close(fd);
    turns(&r, 4);
    assert_int_equal(http_server_connections(r.server), 0);
    rig_close(&r);
}

#define BAD(status, text, code, message, len)                                                      \
    "HTTP/1.1 " #status " " text "\r\nContent-Type: x/bad\r\nContent-Length: " #len "\r\n"         \
    "Connection: close\r\n\r\n" code "|" message "<end>"

static void bad_requests_are_named(void **state)
{
    (void)state;
    struct http_limits limits = http_limits_default;
    limits.head_bytes = 300;
    limits.body_bytes = 10;
    static char many[4000];
    size_t n = (size_t)sprintf(many, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < HTTP_HEADERS_MAX; i++)
        n += (size_t)sprintf(many + n, "a:\r\n");
    sprintf(many + n, "\r\n");
    char long_head[400] = "GET /";
    memset(long_head + 5, 'x', 320);
    const struct {
        const char *request, *answer, *log;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n",
         BAD(400, "Bad Request", "bad_request", "The request is not valid HTTP/1.1.", 46), "bad "},
        {"\x16\x03\x01",
         BAD(400, "Bad Request", "bad_request", "The request is not valid HTTP/1.1.", 46), "bad "},
        {"GET / HTTP/3.0\r\nHost: a\r\n\r\n",
         BAD(505, "HTTP Version Not Supported", "http_version",
             "Only HTTP/1.1 and HTTP/1.0 are spoken here.", 56),
         "bad "},
        {"GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n",
         BAD(417, "Expectation Failed", "expectation_failed",
             "No expectation but 100-continue can be met.", 62),
         "bad "},
        {long_head,
         BAD(431, "Request Header Fields Too Large", "headers_too_large",
             "The head's bytes are over the limit of 300.", 61),
         "bad "},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n",
         BAD(413, "Content Too Large", "body_too_large",
             "The body's bytes are over the limit of 10.", 57),
         "bad "},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
         "chunked\r\n\r\n6\r\n123456\r\n5\r\n12345\r\n0\r\n\r\n",
         BAD(413, "Content Too Large", "body_too_large",
             "The body's bytes are over the limit of 10.", 57),
         "head/ bad abort-limit "},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+6\r\n",
         BAD(400, "Bad Request", "bad_request", "The body is not validly chunked.", 44),
         "head/ bad abort-syntax "},
    };
    struct rig r;
    rig_open(&r, &limits);
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        int fd = dial(&r);
        assert_string_equal(ask(&r, fd, cases[i].request), cases[i].answer);
        assert_log(&r, cases[i].log);
        close(fd);
    }
    rig_close(&r);
    rig_open(&r, NULL);
    int fd = dial(&r);
    assert_string_equal(ask(&r, fd, many),
                        BAD(431, "Request Header Fields Too Large", "headers_too_large",
                            "The number of headers is over the limit of 100.", 65));
    close(fd);
    turns(&r, 4);
    assert_int_equal(http_server_connections(r.server), 0);
    rig_close(&r);
}

static void pipelined_requests_wait_in_order(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    int fd = dial(&r);
    say(&r, fd,
        SLICE("GET /hold HTTP/1.1\r\nHost: a\r\n\r\nPOST /b HTTP/1.1\r\nHost: a\r\nContent-Length: "
              "2\r\n\r\nhi"
              "GET /chunks HTTP/1.1\r\nHost: a\r\n\r\nGET /d HTTP/1.1\r\nHost: a\r\n\r\nGET /e"));
    assert_string_equal(hear(&r, fd), "");
    assert_log(&r, "head/hold request/hold ");
    http_respond(r.held, 200, NULL, 0, SLICE("held"));
    assert_string_equal(
        hear(&r, fd),
        OK(4) "held" OK(
            2) "hi"
               "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
               "\r\n3\r\none\r\n7\r\nand two\r\n0\r\n\r\n" OK(0));
    assert_log(&r, "done-200 head/b request/b done-200 head/chunks request/chunks done-200 head/d "
                   "request/d done-200 ");
    assert_string_equal(ask(&r, fd, " HTTP/1.1\r\nHost: a\r\n\r\n"), OK(0));
    // A large body behind a held request is not read beyond one buffer.
    static char big[2 << 20];
    memset(big, 'z', sizeof big);
    say(&r, fd,
        SLICE("GET /hold HTTP/1.1\r\nHost: a\r\n\r\nPOST /big HTTP/1.1\r\nHost: "
              "a\r\nContent-Length: 2097152\r\n\r\n"));
    turns(&r, 4);
    size_t sent = 0;
    for (int quiet = 0; quiet < 20;) {
        ssize_t n = send(fd, big + sent, sizeof big - sent, MSG_NOSIGNAL);
        if (n > 0)
            sent += (size_t)n;
        quiet = n > 0 ? 0 : quiet + 1;
        loop_turn(r.loop, 1);
        if (sent == sizeof big)
            break;
    }
    http_respond(r.held, 200, NULL, 0, SLICE_EMPTY);
    say(&r, fd, slice_make(big + sent, sizeof big - sent));
    struct slice head = SLICE(OK(0) OK(2097152) "zz");
    assert_memory_equal(hear(&r, fd), head.ptr, head.len);
    close(fd);
    rig_close(&r);
}

static void expect_is_answered(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    int fd = dial(&r);
    assert_string_equal(
        ask(&r, fd,
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
        "HTTP/1.1 100 Continue\r\n\r\n");
    assert_string_equal(ask(&r, fd, "hi"), OK(2) "hi");
    // Not needed when the body is there, nor for HTTP/1.0.
    assert_string_equal(
        ask(&r, fd,
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi"),
        OK(2) "hi");
    assert_string_equal(
        ask(&r, fd, "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"), "");
    close(fd);
    turns(&r, 4);
    // Refused before the body: no 100, and the connection ends.
    fd = dial(&r);
    buf_reset(&r.log);
    assert_string_equal(
        ask(&r, fd,
            "POST /early HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno<end>");
    assert_log(&r, "head/early done-401 ");
    close(fd);
    rig_close(&r);
}

static void early_answers(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    int fd = dial(&r);
    // A small body is skipped and the connection stays.
    assert_string_equal(
        ask(&r, fd, "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo"),
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno");
    assert_log(&r, "head/early ");
    assert_string_equal(ask(&r, fd, "dyGET / HTTP/1.1\r\nHost: a\r\n\r\n"), OK(0));
    assert_log(&r, "done-401 head/ request/ done-200 ");
    assert_string_equal(ask(&r, fd, "GET /early HTTP/1.1\r\nHost: a\r\n\r\n"),
                        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno");
    // A stream that began before the body came.
    assert_string_equal(
        ask(&r, fd, "POST /early-hold HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    http_respond_body(r.held, SLICE("x"));
    assert_string_equal(ask(&r, fd, "hi"), "1\r\nx\r\n");
    http_respond_end(r.held);
    assert_string_equal(hear(&r, fd), "0\r\n\r\n");
    buf_reset(&r.log);
    // A large one is left unread: the answer arrives though the client goes on sending.
    static char big[300000];
    memset(big, 'z', sizeof big);
    say(&r, fd, SLICE("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n"));
    say(&r, fd, slice_make(big, sizeof big));
    assert_string_equal(
        hear(&r, fd),
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno<end>");
    assert_log(&r, "head/early done-401 ");
    close(fd);
    turns(&r, 4);
    fd = dial(&r);
    assert_string_equal(ask(&r, fd, "GET /early-abort HTTP/1.1\r\nHost: a\r\n\r\n"), "<reset>");
    assert_log(&r, "head/early-abort ");
    close(fd);
    assert_int_equal(http_server_connections(r.server), 0);
    rig_close(&r);
}

static void clients_that_go_are_noticed(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    for (int way = 0; way < 3; way++) {
        int fd = dial(&r);
        ask(&r, fd, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_log(&r, "head/hold request/hold ");
        assert_non_null(r.held);
        struct linger none = {1, 0};
        if (way == 0)
            shutdown(fd, SHUT_WR);
        if (way == 1)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
        if (way != 0)
            close(fd);
        loop_turn(r.loop, 100);
        assert_log(&r, "abort-reset ");
        if (way == 0)
            close(fd);
    }
    // Gone in the middle of a request: nobody hears of a head, and of a body only as an abort.
    int fd = dial(&r);
    ask(&r, fd, "GET /hold HT");
    close(fd);
    turns(&r, 3);
    assert_log(&r, "");
    fd = dial(&r);
    ask(&r, fd, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nh");
    close(fd);
    turns(&r, 3);
    assert_log(&r, "head/hold abort-reset ");
    // A half-closed client still gets an answer that was whole by then.
    fd = dial(&r);
    say(&r, fd, SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    shutdown(fd, SHUT_WR);
    assert_string_equal(hear(&r, fd), OK(0) "<end>");
    close(fd);
    turns(&r, 3);
    assert_int_equal(http_server_connections(r.server), 0);
    rig_close(&r);
}

static void wait_ms(struct rig *r, uint64_t ms)
{
    for (uint64_t end = loop_refresh(r->loop) + ms * 1000; loop_refresh(r->loop) < end;)
        loop_turn(r->loop, 1);
}

static void time_runs_out(void **state)
{
    (void)state;
    struct http_limits limits = http_limits_default;
    limits.header_timeout_ms = limits.body_timeout_ms = limits.write_timeout_ms = 30;
    limits.idle_timeout_ms = 60;
    limits.high_water_bytes = HIGH_WATER;
    struct rig r;
    rig_open(&r, &limits);
    int silent = dial(&r), slow = dial(&r), body = dial(&r), idle = dial(&r);
    ask(&r, idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    say(&r, slow, SLICE("GET / HT"));
    say(&r, body, SLICE("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nh"));
    wait_ms(&r, 45);
    assert_string_equal(hear(&r, silent), "<end>");
    assert_string_equal(hear(&r, slow), BAD(408, "Request Timeout", "header_timeout",
                                            "The head was not whole in time.", 46));
    assert_string_equal(hear(&r, body), BAD(408, "Request Timeout", "body_timeout",
                                            "The body was not whole in time.", 44));
    wait_ms(&r, 40);
    assert_string_equal(hear(&r, idle), "<end>");
    close(silent), close(slow), close(body), close(idle);
    turns(&r, 3);
    assert_int_equal(http_server_connections(r.server), 0);
    buf_reset(&r.log);

    // Work takes as long as it takes, but a client that takes nothing is dropped.
    int fd = dial(&r);
    ask(&r, fd, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_ms(&r, 100);
    assert_log(&r, "head/hold request/hold ");
    r.flood_left = 64 << 20;
    http_respond_head(r.held, 200, NULL, 0, (int64_t)r.flood_left);
    flood(r.held);
    wait_ms(&r, 120);
    assert_log(&r, "abort-timeout ");
    close(fd);
    rig_close(&r);
}

static void slow_readers_get_all(void **state)
{
    (void)state;
    struct http_limits limits = http_limits_default;
    limits.high_water_bytes = HIGH_WATER;
    struct rig r;
    rig_open(&r, &limits);
    int fd = dial(&r);
    enum { TOTAL = 20000000 };
    r.flood_left = TOTAL;
    say(&r, fd, SLICE("GET /flood HTTP/1.1\r\nHost: a\r\n\r\n"));
    size_t got = 0;
    static char to[100000];
    bool body = false;
    for (int quiet = 0; quiet < 50 && got < TOTAL;) {
        loop_turn(r.loop, 1);
        assert_true(!r.held);
        ssize_t n = recv(fd, to, sizeof to, 0);
        if (n <= 0) {
            quiet++;
            continue;
        }
        quiet = 0;
        size_t skip = 0;
        if (!body) {
            struct slice s = slice_make(to, (size_t)n);
            skip = (size_t)slice_find(s, SLICE("\r\n\r\n")) + 4;
            body = true;
        }
        got += (size_t)n - skip;
    }
    assert_int_equal(got, TOTAL);
    turns(&r, 2);
    assert_log(&r, "head/flood request/flood done-200 ");
    close(fd);
    rig_close(&r);
}

static void caps_on_connections(void **state)
{
    (void)state;
    struct http_limits limits = http_limits_default;
    limits.connections = 2;
    struct rig r;
    rig_open(&r, &limits);
    int a = dial(&r), b = dial(&r);
    turns(&r, 2);
    int c = dial(&r);
    assert_string_equal(hear(&r, c), BAD(503, "Service Unavailable", "too_many_connections",
                                         "The connections are over the limit of 2.", 61));
    close(c);
    assert_string_equal(ask(&r, a, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), OK(0));
    close(b);
    turns(&r, 3);
    c = dial(&r);
    assert_string_equal(ask(&r, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), OK(0));
    close(a), close(c);
    rig_close(&r);
}

static void descriptors_run_out(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    struct sys_fault f = {.at = 1, .error = EMFILE};
    sys_fault_set(SYS_ACCEPT, &f);
    int fd = dial(&r);
    loop_turn(r.loop, 100);
    uint64_t calls = sys_count(SYS_ACCEPT);
    turns(&r, 20);
    assert_int_equal(sys_count(SYS_ACCEPT), calls); // no spinning
    wait_ms(&r, 120);
    sys_fault_set(SYS_ACCEPT, NULL);
    assert_string_equal(ask(&r, fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), OK(0));
    close(fd);
    rig_close(&r);
}

static void drains(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    int idle = dial(&r), busy = dial(&r), half = dial(&r);
    ask(&r, idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    ask(&r, busy, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    ask(&r, half, "GET / HTTP/1.1\r\nHo");
    http_server_drain(r.server);
    assert_string_equal(hear(&r, idle), "<end>");
    assert_int_equal(http_server_connections(r.server), 2);
    assert_string_equal(ask(&r, half, "st: a\r\n\r\n"),
                        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n<end>");
    http_respond(r.held, 200, NULL, 0, SLICE("x"));
    assert_string_equal(hear(&r, busy),
                        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx<end>");
    assert_int_equal(http_server_connections(r.server), 0);
    close(idle), close(busy), close(half);
    rig_close(&r);

    rig_open(&r, NULL);
    busy = dial(&r);
    ask(&r, busy, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    buf_reset(&r.log);
    http_server_close(r.server);
    buf_byte(&r.log, '\0');
    assert_string_equal(r.log.ptr, "abort-cancelled ");
    loop_close(r.loop);
    buf_deinit(&r.log);
    close(busy);
}

static void steady_state_allocates_nothing(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    int fd = dial(&r);
    uint64_t before = 0;
    for (int i = 0; i < 60; i++) {
        if (i == 20)
            before = alloc_count();
        say(&r, fd, SLICE("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"));
        assert_true(strlen(hear(&r, fd)) > 0);
        buf_reset(&r.log);
    }
    assert_int_equal(alloc_count(), before);
    close(fd);
    rig_close(&r);
}

// Every allocation fails once: the client gets the answer, an error or an end, and nothing leaks.
static void memory_runs_out(void **state)
{
    (void)state;
    bool whole = false;
    for (uint64_t n = 1; !whole && n < 100; n++) {
        struct rig r;
        rig_open(&r, NULL);
        buf_reserve(&r.log, 4096);
        int fd = dial(&r);
        alloc_fail_at(n, 0);
        say(&r, fd,
            SLICE("POST /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab"));
        turns(&r, 3);
        say(&r, fd, SLICE("c\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        const char *got = hear(&r, fd);
        whole = strstr(got, "one") && strstr(got, OK(0));
        assert_true(whole || strstr(got, "<end>") || strstr(got, "<reset>"));
        alloc_fail_at(0, 0);
        close(fd);
        turns(&r, 4);
        assert_int_equal(http_server_connections(r.server), 0);
        rig_close(&r);
    }
    assert_true(whole);
}

static void reads_and_writes_fail(void **state)
{
    (void)state;
    for (int op = SYS_RECV; op <= SYS_SEND; op++) {
        for (uint64_t n = 1; n < 6; n++) {
            struct rig r;
            rig_open(&r, NULL);
            int fd = dial(&r);
            struct sys_fault f = {.at = n, .error = ECONNRESET};
            sys_fault_set((enum sys_op)op, &f);
            for (int i = 0; i < 3; i++) {
                send(fd, "GET /sized HTTP/1.1\r\nHost: a\r\n\r\n", 33, MSG_NOSIGNAL);
                turns(&r, 6);
            }
            sys_fault_set((enum sys_op)op, NULL);
            close(fd);
            turns(&r, 4);
            assert_int_equal(http_server_connections(r.server), 0);
            rig_close(&r);
        }
    }
    // Short reads and writes change nothing.
    struct rig r;
    rig_open(&r, NULL);
    sys_shorten_random(5, 7);
    int fd = dial(&r);
    for (int i = 0; i < 20; i++)
        assert_string_equal(ask(&r, fd,
                                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: "
                                "26\r\n\r\nabcdefghijklmnopqrstuvwxyz"),
                            OK(26) "abcdefghijklmnopqrstuvwxyz");
    sys_shorten_random(0, 0);
    close(fd);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_in_all_forms),
        cmocka_unit_test(bad_requests_are_named),
        cmocka_unit_test(pipelined_requests_wait_in_order),
        cmocka_unit_test(expect_is_answered),
        cmocka_unit_test(early_answers),
        cmocka_unit_test(clients_that_go_are_noticed),
        cmocka_unit_test(time_runs_out),
        cmocka_unit_test(slow_readers_get_all),
        cmocka_unit_test(caps_on_connections),
        cmocka_unit_test(descriptors_run_out),
        cmocka_unit_test(drains),
        cmocka_unit_test(steady_state_allocates_nothing),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(reads_and_writes_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
