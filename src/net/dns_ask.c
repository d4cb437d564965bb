#include "net/dns_ask.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/rng.h"
#include "net/sys.h"

enum { PORT = 53, CONF_BYTES_MAX = 64 * 1024, TCP_MAX = 65535 };

// ---- where

static bool add_server(struct dns_servers *out, struct slice host, uint64_t port)
{
    char text[INET6_ADDRSTRLEN + 1];
    struct sockaddr_in *v4 = (struct sockaddr_in *)&out->at[out->count];
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->at[out->count];
    if (out->count == DNS_SERVERS_MAX || !host.len || host.len >= sizeof text || !port ||
        port > UINT16_MAX || memchr(host.ptr, 0, host.len))
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    memset(&out->at[out->count], 0, sizeof out->at[0]);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
    } else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
    } else {
        return false;
    }
    out->count++;
    return true;
}

bool dns_server_of(struct slice text, struct dns_servers *out)
{
    struct slice host = text, port = SLICE_EMPTY;
    uint64_t number = PORT;
    const char *colon = text.len ? memchr(text.ptr, ':', text.len) : NULL;
    *out = (struct dns_servers){.count = 0};
    if (text.len && text.ptr[0] == '[') {
        const char *close = memchr(text.ptr, ']', text.len);
        if (!close)
            return false;
        host = slice_make(text.ptr + 1, (size_t)(close - text.ptr) - 1);
        port = slice_from(text, host.len + 2);
    } else if (colon && !memchr(colon + 1, ':', text.len - (size_t)(colon - text.ptr) - 1)) {
        host = slice_head(text, (size_t)(colon - text.ptr));
        port = slice_from(text, host.len);
    }
    if (port.len && (port.ptr[0] != ':' || !slice_u64(slice_from(port, 1), &number)))
        return false;
    return add_server(out, host, number);
}

void dns_servers_of(struct slice text, struct dns_servers *out)
{
    struct slice line;
    *out = (struct dns_servers){.count = 0};
    while (slice_split(&text, '\n', &line)) {
        line = slice_trim(line);
        if (!slice_starts_with(line, SLICE("nameserver")) || line.len < 11 ||
            (line.ptr[10] != ' ' && line.ptr[10] != '\t'))
            continue;
        struct slice host = slice_trim(slice_from(line, 11));
        size_t n = 0;
        while (n < host.len && host.ptr[n] != ' ' && host.ptr[n] != '\t' && host.ptr[n] != '\r')
            n++;
        add_server(out, slice_head(host, n), PORT);
    }
    if (!out->count)
        add_server(out, SLICE("127.0.0.1"), PORT);
}

void dns_servers_system(struct dns_servers *out)
{
    struct buf text;
    buf_init(&text, CONF_BYTES_MAX);
    if (file_read("/etc/resolv.conf", &text))
        buf_reset(&text);
    dns_servers_of(buf_slice(&text), out);
    buf_deinit(&text);
}

// ---- asking

struct ask {
    const struct sockaddr_storage *to;
    uint8_t question[DNS_QUESTION_MAX];
    size_t len;
    uint16_t id;
    struct slice name;
    uint64_t until_us;
    uint8_t *answer; // TCP_MAX bytes
};

// False: the time is over, or it broke.
static bool wait_for(const struct ask *a, int fd, short what)
{
    struct pollfd p = {.fd = fd, .events = what};
    for (;;) {
        uint64_t now = clock_mono_us(&clock_system);
        if (now >= a->until_us)
            return false;
        int n = poll(&p, 1, (int)((a->until_us - now) / 1000) + 1);
        if (n > 0)
            return true;
        if (n < 0 && errno != EINTR)
            return false;
    }
}

static int connected(const struct ask *a, int type)
{
    socklen_t len =
        a->to->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    int fd = socket(a->to->ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = 0;
    socklen_t room = sizeof error;
    if (fd < 0)
        return -1;
    if (sys_connect(fd, (const struct sockaddr *)a->to, len) &&
        (errno != EINPROGRESS || !wait_for(a, fd, POLLOUT) ||
         getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &room) || error)) {
        close(fd);
        return -1;
    }
    return fd;
}

static enum result by_udp(struct ask *a, struct dns_srv_answer *out)
{
    int fd = connected(a, SOCK_DGRAM);
    enum result r = RESULT_TIMEOUT;
    if (fd < 0)
        return RESULT_DNS;
    if (sys_send(fd, a->question, a->len) != (ssize_t)a->len)
        r = RESULT_DNS;
    // What is no answer to this question may be somebody's guess, and the answer is still to come.
    while (r == RESULT_TIMEOUT && wait_for(a, fd, POLLIN)) {
        size_t room = TCP_MAX;
        ssize_t n = sys_recv(fd, a->answer, &room);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            r = RESULT_DNS; // nobody listens there
            break;
        }
        enum result got = n < 0 ? RESULT_PROTOCOL
                                : dns_read_srv(slice_make((const char *)a->answer, (size_t)n),
                                               a->id, a->name, out);
        if (got != RESULT_PROTOCOL)
            r = got;
    }
    close(fd);
    return r;
}

static bool send_all(const struct ask *a, int fd, const uint8_t *from, size_t len)
{
    while (len) {
        if (!wait_for(a, fd, POLLOUT))
            return false;
        ssize_t n = sys_send(fd, from, len);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        from += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool read_all(const struct ask *a, int fd, uint8_t *to, size_t len)
{
    while (len) {
        if (!wait_for(a, fd, POLLIN))
            return false;
        size_t room = len;
        ssize_t n = sys_recv(fd, to, &room);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        to += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

static enum result by_tcp(struct ask *a, struct dns_srv_answer *out)
{
    uint8_t framed[2 + DNS_QUESTION_MAX], size[2];
    int fd = connected(a, SOCK_STREAM);
    enum result r = RESULT_DNS;
    if (fd < 0)
        return r;
    framed[0] = (uint8_t)(a->len >> 8);
    framed[1] = (uint8_t)a->len;
    memcpy(framed + 2, a->question, a->len);
    if (send_all(a, fd, framed, a->len + 2) && read_all(a, fd, size, 2)) {
        size_t len = (size_t)size[0] << 8 | size[1];
        if (read_all(a, fd, a->answer, len))
            r = dns_read_srv(slice_make((const char *)a->answer, len), a->id, a->name, out);
    }
    close(fd);
    return r == RESULT_PROTOCOL || r == RESULT_AGAIN ? RESULT_DNS : r;
}

enum result dns_ask_srv(const struct dns_servers *servers, struct slice name,
                        struct dns_srv_answer *out)
{
    struct ask a = {.name = name};
    enum result last = RESULT_TIMEOUT;
    out->count = 0;
    a.answer = alloc_bytes(TCP_MAX);
    if (!a.answer)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < servers->count * DNS_ASK_TURNS; i++) {
        if (rng_secret(&a.id, sizeof a.id))
            break;
        a.to = &servers->at[i % servers->count];
        a.len = dns_ask_for_srv(a.question, a.id, name);
        a.until_us = clock_mono_us(&clock_system) + DNS_ASK_MS * UINT64_C(1000);
        enum result r = a.len ? by_udp(&a, out) : RESULT_LIMIT;
        if (r == RESULT_AGAIN) {
            a.until_us = clock_mono_us(&clock_system) + DNS_ASK_MS * UINT64_C(1000);
            r = by_tcp(&a, out);
        }
        if (r == RESULT_OK || r == RESULT_NOT_FOUND || r == RESULT_LIMIT) {
            alloc_free(a.answer);
            return r;
        }
        last = r;
    }
    alloc_free(a.answer);
    return last;
}
