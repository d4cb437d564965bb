#include "pool/resolve.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "net/dns.h"

// getaddrinfo and its plug-ins work in some 64 kB; the rest is never touched.
enum { STACK_BYTES = 512 * 1024, ALL_MAX = 4096 };

struct resolve {
    struct loop_message message;
    _Atomic int refs;     // the thread's, and that of who waits or of the message
    pthread_mutex_t lock; // of the next two
    struct loop *loop;    // NULL: nobody waits
    bool posted;
    void (*on_answer)(void *ctx, const struct resolve_answer *a);
    void *ctx;
    struct resolve_answer answer;
    char host[DNS_NAME_MAX + 1];
};

static void give_up(struct resolve *r)
{
    if (atomic_fetch_sub(&r->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&r->lock);
    alloc_free(r);
}

// Servers turn their lists, and of a long one every answer would bring other ones: so the first in the order of their text
// are kept, whatever order they come in.
static void keep(struct resolve_answer *out, const char *address)
{
    uint32_t at = 0;
    int order = 1;
    while (at < out->count && (order = strcmp(out->addresses[at], address)) < 0)
        at++;
    if ((at < out->count && order == 0) || at == RESOLVE_ADDRESSES_MAX)
        return;
    uint32_t more = out->count < RESOLVE_ADDRESSES_MAX;
    memmove(out->addresses[at + 1], out->addresses[at],
            (out->count + more - 1 - at) * sizeof out->addresses[0]);
    memcpy(out->addresses[at], address, RESOLVE_ADDRESS_BYTES);
    out->count += more;
}

static void look_up(const char *host, struct resolve_answer *out)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    uint32_t seen = 0;
    out->result = getaddrinfo(host, NULL, &hints, &list) ? RESULT_DNS : RESULT_OK;
    for (struct addrinfo *a = list; a && seen < ALL_MAX; a = a->ai_next, seen++) {
        char to[RESOLVE_ADDRESS_BYTES] = "";
        const void *from =
            a->ai_family == AF_INET6
                ? (const void *)&((struct sockaddr_in6 *)(void *)a->ai_addr)->sin6_addr
                : (const void *)&((struct sockaddr_in *)(void *)a->ai_addr)->sin_addr;
        if ((a->ai_family != AF_INET && a->ai_family != AF_INET6) ||
            !inet_ntop(a->ai_family, from, to, RESOLVE_ADDRESS_BYTES))
            continue;
        keep(out, to);
    }
    if (list)
        freeaddrinfo(list);
    if (!out->count)
        out->result = RESULT_DNS;
}

static void on_message(struct loop_message *m, struct loop *loop)
{
    struct resolve *r = MERIT_CONTAINER(m, struct resolve, message);
    (void)loop;
    if (r->on_answer)
        r->on_answer(r->ctx, &r->answer);
    give_up(r);
}

static void *run(void *arg)
{
    struct resolve *r = arg;
    look_up(r->host, &r->answer);
    pthread_mutex_lock(&r->lock);
    r->posted = r->loop != NULL;
    if (r->posted)
        loop_post(r->loop, &r->message);
    pthread_mutex_unlock(&r->lock);
    give_up(r);
    return NULL;
}

enum result resolve_start(struct resolve **out, struct loop *loop, struct slice host,
                          void (*on_answer)(void *ctx, const struct resolve_answer *a), void *ctx)
{
    pthread_attr_t attr;
    pthread_t thread;
    if (host.len > DNS_NAME_MAX)
        return RESULT_LIMIT;
    struct resolve *r = alloc_zeroed(1, sizeof *r);
    if (!r)
        return RESULT_NOMEM;
    memcpy(r->host, host.ptr, host.len);
    r->loop = loop;
    r->on_answer = on_answer;
    r->ctx = ctx;
    r->message.run = on_message;
    atomic_init(&r->refs, 2);
    pthread_mutex_init(&r->lock, NULL);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    int failed = pthread_create(&thread, &attr, run, r);
    pthread_attr_destroy(&attr);
    if (failed) {
        atomic_store(&r->refs, 1);
        give_up(r);
        return RESULT_NOMEM;
    }
    *out = r;
    return RESULT_OK;
}

void resolve_cancel(struct resolve *r)
{
    pthread_mutex_lock(&r->lock);
    bool posted = r->posted;
    r->loop = NULL;
    r->on_answer = NULL;
    pthread_mutex_unlock(&r->lock);
    if (!posted)
        give_up(r);
}
