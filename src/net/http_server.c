#include "net/http_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "net/http_server_conn.h"
#include "net/sys.h"
#include "net/tls.h"

enum {
    ACCEPTS_PER_TURN = 64,
    ACCEPT_PAUSE_MS = 100, // when descriptors have run out
    OVER_CAP_MAX = 64,     // connections beyond the cap that are told so; more are closed unheard
    FREE_CONNS_MAX = 256,
    FREE_EXCHANGES_MAX = 128,
};

const struct http_limits http_limits_default = {
    .head_bytes = HTTP_HEAD_BYTES_MAX_DEFAULT,
    .body_bytes = HTTP_BODY_BYTES_MAX_DEFAULT,
    .header_timeout_ms = 10 * 1000,
    .body_timeout_ms = 30 * 1000,
    .idle_timeout_ms = 75 * 1000,
    .write_timeout_ms = 30 * 1000,
    .connections = 16 * 1024,
    .high_water_bytes = 256 * 1024,
};

struct listener {
    struct loop_io io;
    struct http_server *server;
    struct listener *next;
    struct tls_context *tls;
    struct loop_timer again;
};

// --- connections and exchanges from free lists

struct server_conn *server_conn_take(struct http_server *s)
{
    struct server_conn *hc = s->free_conns;
    if (hc) {
        s->free_conns = hc->next;
        s->free_conn_count--;
        memset(hc, 0, sizeof *hc);
    } else {
        hc = alloc_zeroed(1, sizeof *hc);
    }
    return hc;
}

void server_conn_give(struct http_server *s, struct server_conn *hc)
{
    if (s->free_conn_count == FREE_CONNS_MAX) {
        alloc_free(hc);
        return;
    }
    hc->next = s->free_conns;
    s->free_conns = hc;
    s->free_conn_count++;
}

struct exchange *server_exchange_take(struct http_server *s)
{
    struct exchange *x = s->free_exchanges;
    if (x) {
        s->free_exchanges = x->next_free;
        s->free_exchange_count--;
    } else {
        x = alloc_bytes(sizeof *x);
        if (!x)
            return NULL;
        arena_init(&x->arena, EXCHANGE_ARENA_BYTES, s->arena_cap);
    }
    memset((char *)x + offsetof(struct exchange, arena) + sizeof x->arena, 0,
           sizeof *x - offsetof(struct exchange, arena) - sizeof x->arena);
    memset(&x->pub, 0, sizeof x->pub);
    x->pub.arena = &x->arena;
    x->pub.server = s;
    return x;
}

bool server_body_take(struct exchange *x, size_t room)
{
    struct http_server *s = x->pub.server;
    x->body_room = room;
    if (room < BODY_BLOCK_FROM || room > BODY_BLOCK_BYTES) {
        x->body = arena_alloc_aligned(x->pub.arena, room, 1);
        return x->body != NULL;
    }
    x->block = s->free_blocks;
    if (x->block) {
        s->free_blocks = x->block->next;
        s->free_block_count--;
    } else if (!(x->block = alloc_bytes(sizeof *x->block))) {
        return false;
    }
    x->body = x->block->data;
    return true;
}

static void give_block(struct http_server *s, struct body_block *b)
{
    if (s->free_block_count == FREE_BLOCKS_MAX) {
        alloc_free(b);
        return;
    }
    b->next = s->free_blocks;
    s->free_blocks = b;
    s->free_block_count++;
}

void server_exchange_give(struct http_server *s, struct exchange *x)
{
    x->conn = NULL;
    if (x->block)
        give_block(s, x->block);
    x->block = NULL;
    if (s->free_exchange_count == FREE_EXCHANGES_MAX) {
        arena_deinit(&x->arena);
        alloc_free(x);
        return;
    }
    arena_reset(&x->arena);
    x->next_free = s->free_exchanges;
    s->free_exchanges = x;
    s->free_exchange_count++;
}

// --- accepting

static void format_peer(const struct sockaddr_storage *addr, char *to, size_t room)
{
    to[0] = '\0';
    if (addr->ss_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)addr)->sin_addr, to, (socklen_t)room);
    } else if (addr->ss_family == AF_INET6) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)addr)->sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(a))
            inet_ntop(AF_INET, &a->s6_addr[12], to, (socklen_t)room);
        else
            inet_ntop(AF_INET6, a, to, (socklen_t)room);
    }
}

static void take_in(struct listener *l, int fd, const struct sockaddr_storage *addr)
{
    struct http_server *s = l->server;
    bool over = s->conn_count >= s->limits.connections;
    struct server_conn *hc = NULL;
    if (s->conn_count < (uint64_t)s->limits.connections + OVER_CAP_MAX)
        hc = server_conn_take(s);
    if (!hc) {
        close(fd);
        return;
    }
    format_peer(addr, hc->peer, sizeof hc->peer);
    if (!server_conn_start(s, hc, fd, l->tls, over))
        server_conn_give(s, hc);
}

static void stop_accepting(struct listener *l, uint32_t for_ms)
{
    loop_del(l->server->loop, &l->io);
    loop_timer_set(l->server->loop, &l->again, for_ms);
}

static void accept_again(struct loop_timer *t)
{
    struct listener *l = MERIT_CONTAINER(t, struct listener, again);
    if (loop_add_level(l->server->loop, &l->io))
        loop_timer_set(l->server->loop, t, ACCEPT_PAUSE_MS);
}

static void on_acceptable(struct loop_io *io, uint32_t events)
{
    (void)events;
    struct listener *l = MERIT_CONTAINER(io, struct listener, io);
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage addr;
        socklen_t len = sizeof addr;
        int fd = sys_accept(io->fd, (struct sockaddr *)&addr, &len);
        if (fd >= 0) {
            take_in(l, fd, &addr);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO)
            continue;
        // Waiting clients keep the listener readable: without a pause the loop would spin until descriptors are free.
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            stop_accepting(l, ACCEPT_PAUSE_MS);
        return;
    }
}

static enum result address_of(const char *host, uint16_t port, struct sockaddr_storage *out,
                              socklen_t *len)
{
    memset(out, 0, sizeof *out);
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    if (strcmp(host, "localhost") == 0)
        host = "127.0.0.1";
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        *len = sizeof *v4;
        return RESULT_OK;
    }
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) != 1)
        return RESULT_SYNTAX;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    *len = sizeof *v6;
    return RESULT_OK;
}

static enum result bind_to(int fd, struct sockaddr_storage *addr, socklen_t len, uint16_t *port)
{
    int one = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)addr, len) != 0 || listen(fd, SOMAXCONN) != 0 ||
        getsockname(fd, (struct sockaddr *)addr, &len) != 0)
        return RESULT_IO;
    // Both families keep the port at the same place.
    *port = ntohs(((struct sockaddr_in *)addr)->sin_port);
    return RESULT_OK;
}

enum result http_server_claim(const char *host, uint16_t port)
{
    struct sockaddr_storage addr;
    socklen_t len;
    int one = 1;
    enum result res = address_of(host, port, &addr, &len);
    if (res || !port)
        return res;
    int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return RESULT_IO;
    // Without SO_REUSEPORT: so it fails beside a listener of another process.
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)&addr, len) != 0)
        res = errno == EADDRINUSE ? RESULT_EXISTS : RESULT_IO;
    int saved = errno;
    close(fd);
    errno = saved;
    return res;
}

static void free_listener(struct listener *l)
{
    if (l->tls)
        tls_context_unref(l->tls);
    alloc_free(l);
}

enum result http_server_listen(struct http_server *s, const char *host, uint16_t port,
                               struct tls_context *tls)
{
    struct sockaddr_storage addr;
    socklen_t len;
    enum result res = address_of(host, port, &addr, &len);
    if (res)
        return res;
    struct listener *l = alloc_zeroed(1, sizeof *l);
    if (!l)
        return RESULT_NOMEM;
    l->io.fd = socket(addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    l->io.on_event = on_acceptable;
    l->server = s;
    l->tls = tls ? tls_context_ref(tls) : NULL;
    l->again.on_due = accept_again;
    res = l->io.fd < 0 ? RESULT_IO : bind_to(l->io.fd, &addr, len, &port);
    if (!res)
        res = loop_add_level(s->loop, &l->io);
    if (res) {
        int saved = errno;
        if (l->io.fd >= 0)
            close(l->io.fd);
        free_listener(l);
        errno = saved;
        return res;
    }
    l->next = s->listeners;
    s->listeners = l;
    s->port = port;
    return RESULT_OK;
}

static void close_listeners(struct http_server *s)
{
    struct listener *next;
    for (struct listener *l = s->listeners; l; l = next) {
        next = l->next;
        loop_timer_cancel(s->loop, &l->again);
        loop_del(s->loop, &l->io);
        close(l->io.fd);
        free_listener(l);
    }
    s->listeners = NULL;
}

// --- life

static void run_free(struct loop_task *t)
{
    struct http_server *s = MERIT_CONTAINER(t, struct http_server, free_task);
    struct server_conn *hc, *next_conn;
    for (hc = s->free_conns; hc; hc = next_conn) {
        next_conn = hc->next;
        alloc_free(hc);
    }
    struct exchange *x, *next;
    for (x = s->free_exchanges; x; x = next) {
        next = x->next_free;
        arena_deinit(&x->arena);
        alloc_free(x);
    }
    struct body_block *b, *next_block;
    for (b = s->free_blocks; b; b = next_block) {
        next_block = b->next;
        alloc_free(b);
    }
    buf_deinit(&s->head);
    alloc_free(s);
}

enum result http_server_open(struct http_server **out, struct loop *loop,
                             const struct http_server_ops *ops, const struct http_limits *limits,
                             void *user)
{
    struct http_server *s = alloc_zeroed(1, sizeof *s);
    *out = s;
    if (!s)
        return RESULT_NOMEM;
    s->loop = loop;
    s->ops = ops;
    s->limits = limits ? *limits : http_limits_default;
    s->user = user;
    // A body that comes in chunks lies in blocks that double; the handler rewrites and answers in the same arena.
    s->arena_cap =
        4 * (size_t)s->limits.body_bytes + 2 * (size_t)s->limits.head_bytes + 4 * 1024 * 1024;
    buf_init(&s->head, ANSWER_HEAD_BYTES_MAX);
    s->free_task.run = run_free;
    return RESULT_OK;
}

uint16_t http_server_port(const struct http_server *s)
{
    return s->port;
}

void *http_server_user(const struct http_server *s)
{
    return s->user;
}

uint32_t http_server_connections(const struct http_server *s)
{
    return s->conn_count;
}

void http_server_drain(struct http_server *s)
{
    s->draining = true;
    close_listeners(s);
    struct server_conn *next;
    for (struct server_conn *hc = s->conns; hc; hc = next) {
        next = hc->next;
        server_conn_drain(hc);
    }
}

void http_server_close(struct http_server *s)
{
    if (!s || s->closing)
        return;
    s->closing = true;
    close_listeners(s);
    // A callback may close others, so from the start again each time.
    while (s->conns)
        server_conn_abort(s->conns, RESULT_CANCELLED);
    loop_defer(s->loop, &s->free_task);
}
