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
#include "net/sys.h"

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
    bool services, system; // what is asked, and of whom
    struct dns_servers servers;
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
    int error = sys_getaddrinfo(host, NULL, &hints, &list);
    out->result = !error ? RESULT_OK : error == EAI_AGAIN ? RESULT_TIMEOUT : RESULT_DNS;
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
        sys_freeaddrinfo(list);
    if (!out->count && !out->result)
        out->result = RESULT_DNS;
}

static void add_service(struct resolve_answer *out, const char *address, const struct dns_srv *s)
{
    for (uint32_t i = 0; i < out->count; i++)
        if (out->services[i].port == s->port && strcmp(out->addresses[i], address) == 0)
            return;
    if (out->count == RESOLVE_ADDRESSES_MAX)
        return;
    memcpy(out->addresses[out->count], address, RESOLVE_ADDRESS_BYTES);
    out->services[out->count++] = (struct resolve_service){s->port, s->weight, s->priority};
}

static void look_up_services(struct resolve *r, struct resolve_answer *out)
{
    struct dns_srv_answer *said = alloc_zeroed(1, sizeof *said);
    struct resolve_answer *target = alloc_zeroed(1, sizeof *target);
    out->result = said && target ? RESULT_OK : RESULT_NOMEM;
    if (r->system)
        dns_servers_system(&r->servers);
    if (!out->result)
        out->result = dns_ask_srv(&r->servers, slice_cstr(r->host), said);
    // A server that could not tell says nothing of the services.
    if (out->result == RESULT_DNS)
        out->result = RESULT_TIMEOUT;
    if (out->result == RESULT_NOT_FOUND || out->result == RESULT_LIMIT)
        out->result = RESULT_DNS;
    out->ttl_s = said ? said->ttl_s : 0;
    for (uint32_t i = 0; !out->result && i < said->count; i++) {
        *target = (struct resolve_answer){.result = RESULT_OK};
        look_up(said->records[i].target, target);
        if (target->result == RESULT_TIMEOUT)
            out->result = RESULT_TIMEOUT;
        for (uint32_t k = 0; !target->result && k < target->count; k++)
            add_service(out, target->addresses[k], &said->records[i]);
    }
    if (!out->result && !out->count)
        out->result = RESULT_DNS;
    alloc_free(said);
    alloc_free(target);
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
    if (r->services)
        look_up_services(r, &r->answer);
    else
        look_up(r->host, &r->answer);
    pthread_mutex_lock(&r->lock);
    r->posted = r->loop != NULL;
    if (r->posted)
        loop_post(r->loop, &r->message);
    pthread_mutex_unlock(&r->lock);
    give_up(r);
    return NULL;
}

static enum result begin(struct resolve **out, const struct resolve *what, struct loop *loop,
                         struct slice host,
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
    r->services = what->services;
    r->system = what->system;
    r->servers = what->servers;
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

enum result resolve_start(struct resolve **out, struct loop *loop, struct slice host,
                          void (*on_answer)(void *ctx, const struct resolve_answer *a), void *ctx)
{
    const struct resolve what = {.services = false};
    return begin(out, &what, loop, host, on_answer, ctx);
}

enum result resolve_services(struct resolve **out, struct loop *loop, struct slice name,
                             const struct dns_servers *servers,
                             void (*on_answer)(void *ctx, const struct resolve_answer *a),
                             void *ctx)
{
    struct resolve what = {.services = true, .system = !servers};
    if (servers)
        what.servers = *servers;
    return begin(out, &what, loop, name, on_answer, ctx);
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
