#include "net/dns.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/rng.h"
#include "net/sys.h"

// getaddrinfo and its plug-ins work in some 64 kB; the rest is never touched.
enum { HELPER_STACK_BYTES = 512 * 1024 };

struct name;

// A query that waits. Linked to its name until the helper posts it; from then on only its loop's thread has it.
struct waiter {
    struct loop_message message;
    struct loop *loop;
    struct dns_query *query; // NULL: cancelled after it was posted
    struct dns *dns;
    atomic_bool posted; // no longer linked; `dns` may be gone
    struct waiter *next, **link;
    uint16_t port;
    struct dns_answer answer;
};

struct name {
    struct name *next; // in the helper's queue
    bool pending;      // queued or being looked up
    struct waiter *waiters;
    uint64_t expires_us;
    struct dns_answer answer; // ports are zero
    size_t len;
    char text[]; // lower case, NUL-terminated
};

struct dns {
    pthread_mutex_t lock; // of everything below
    pthread_cond_t wake;
    pthread_t helper;
    bool started, stopping, busy;
    const struct clock *clock;
    struct map names;
    struct name *first, **last; // to be looked up
    uint32_t waiting;
};

enum result dns_open(struct dns **out)
{
    *out = NULL;
    struct hash_key key;
    enum result r = rng_secret(&key, sizeof key);
    if (r)
        return r;
    struct dns *d = alloc_zeroed(1, sizeof *d);
    if (!d)
        return RESULT_NOMEM;
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->wake, NULL);
    d->clock = &clock_system;
    d->last = &d->first;
    map_init(&d->names, key, DNS_NAMES_MAX);
    *out = d;
    return RESULT_OK;
}

void dns_set_clock(struct dns *d, const struct clock *clock)
{
    pthread_mutex_lock(&d->lock);
    d->clock = clock;
    pthread_mutex_unlock(&d->lock);
}

static void destroy(struct dns *d)
{
    size_t at = 0;
    const struct map_entry *e;
    while ((e = map_next(&d->names, &at)))
        alloc_free(e->value);
    map_deinit(&d->names);
    pthread_cond_destroy(&d->wake);
    pthread_mutex_destroy(&d->lock);
    alloc_free(d);
}

static void detach(struct waiter *w)
{
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
    w->dns->waiting--;
}

void dns_close(struct dns *d)
{
    if (!d)
        return;
    pthread_mutex_lock(&d->lock);
    d->stopping = true;
    size_t at = 0;
    const struct map_entry *e;
    while ((e = map_next(&d->names, &at))) {
        struct name *n = e->value;
        while (n->waiters) {
            struct waiter *w = n->waiters;
            detach(w);
            w->query->pending = NULL;
            alloc_free(w);
        }
    }
    bool started = d->started, busy = d->busy;
    pthread_t helper = d->helper;
    // A helper inside a look-up may be long: it frees everything itself when it comes back.
    if (busy)
        pthread_detach(helper);
    else
        pthread_cond_signal(&d->wake);
    pthread_mutex_unlock(&d->lock);
    if (busy)
        return;
    if (started)
        pthread_join(helper, NULL);
    destroy(d);
}

// ---- the helper ----

static void look_up(const char *text, struct dns_answer *a)
{
    memset(a, 0, sizeof *a);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
    int error = sys_getaddrinfo(text, NULL, &hints, &list);
    if (error) {
        a->result = error == EAI_AGAIN    ? RESULT_TIMEOUT
                    : error == EAI_MEMORY ? RESULT_NOMEM
                                          : RESULT_DNS;
        return;
    }
    for (struct addrinfo *i = list; i && a->count < DNS_ADDRESSES_MAX; i = i->ai_next) {
        if ((i->ai_family != AF_INET && i->ai_family != AF_INET6) ||
            i->ai_addrlen > sizeof a->addresses[0].addr)
            continue;
        struct dns_address *to = &a->addresses[a->count++];
        memcpy(&to->addr, i->ai_addr, i->ai_addrlen);
        to->len = i->ai_addrlen;
    }
    sys_freeaddrinfo(list);
    a->result = a->count ? RESULT_OK : RESULT_DNS;
}

static void set_port(struct dns_answer *a, uint16_t port)
{
    for (uint32_t i = 0; i < a->count; i++) {
        struct sockaddr_storage *s = &a->addresses[i].addr;
        if (s->ss_family == AF_INET)
            ((struct sockaddr_in *)s)->sin_port = htons(port);
        else
            ((struct sockaddr_in6 *)s)->sin6_port = htons(port);
    }
}

static void deliver(struct loop_message *m, struct loop *loop)
{
    (void)loop;
    struct waiter *w = MERIT_CONTAINER(m, struct waiter, message);
    struct dns_query *q = w->query;
    if (q) {
        q->pending = NULL;
        q->on_answer(q, &w->answer);
    }
    alloc_free(w);
}

static void finish(struct dns *d, struct name *n, const struct dns_answer *a)
{
    n->answer = *a;
    n->pending = false;
    uint64_t keep_ms = a->result ? DNS_FAIL_TTL_MS : DNS_TTL_MS;
    n->expires_us = clock_mono_us(d->clock) + keep_ms * 1000;
    while (n->waiters) {
        struct waiter *w = n->waiters;
        detach(w);
        w->answer = *a;
        set_port(&w->answer, w->port);
        atomic_store(&w->posted, true);
        loop_post(w->loop, &w->message);
    }
}

static void *help(void *arg)
{
    struct dns *d = arg;
    pthread_mutex_lock(&d->lock);
    while (!d->stopping) {
        struct name *n = d->first;
        if (!n) {
            pthread_cond_wait(&d->wake, &d->lock);
            continue;
        }
        d->first = n->next;
        if (!d->first)
            d->last = &d->first;
        d->busy = true;
        pthread_mutex_unlock(&d->lock);
        struct dns_answer a;
        look_up(n->text, &a);
        pthread_mutex_lock(&d->lock);
        if (d->stopping) {
            // dns_close saw `busy` and left the rest to us.
            pthread_mutex_unlock(&d->lock);
            destroy(d);
            return NULL;
        }
        d->busy = false;
        finish(d, n, &a);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

// Signals belong to the threads that wait for them.
static bool start_helper(struct dns *d)
{
    if (d->started)
        return true;
    pthread_attr_t attr;
    sigset_t all, old;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, HELPER_STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    d->started = pthread_create(&d->helper, &attr, help, d) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return d->started;
}

// ---- queries ----

static bool numeric(struct slice host, struct dns_answer *a)
{
    char text[INET6_ADDRSTRLEN + 1];
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = slice_make(host.ptr + 1, host.len - 2);
    if (host.len >= sizeof text || memchr(host.ptr, 0, host.len))
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = 0;
    struct dns_address *to = &a->addresses[0];
    struct sockaddr_in *v4 = (struct sockaddr_in *)&to->addr;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&to->addr;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        to->len = sizeof *v4;
    } else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        to->len = sizeof *v6;
    } else {
        return false;
    }
    a->count = 1;
    return true;
}

// Makes room for one more name: drops the one that expires first and that nobody waits for.
static void forget_one(struct dns *d)
{
    size_t at = 0;
    const struct map_entry *e;
    struct name *oldest = NULL;
    while ((e = map_next(&d->names, &at))) {
        struct name *n = e->value;
        if (!n->pending && (!oldest || n->expires_us < oldest->expires_us))
            oldest = n;
    }
    if (oldest)
        map_remove(&d->names, slice_make(oldest->text, oldest->len));
    alloc_free(oldest);
}

static enum result find_name(struct dns *d, struct slice text, struct name **out)
{
    struct name *n = map_get(&d->names, text);
    if (!n) {
        if (d->names.count == DNS_NAMES_MAX)
            forget_one(d);
        n = alloc_zeroed(1, sizeof *n + text.len + 1);
        if (!n)
            return RESULT_NOMEM;
        n->len = text.len;
        memcpy(n->text, text.ptr, text.len);
        enum result r = map_put(&d->names, slice_make(n->text, n->len), n);
        if (r) {
            alloc_free(n);
            return r;
        }
    }
    *out = n;
    return RESULT_OK;
}

// RESULT_AGAIN when the answer comes later.
static enum result ask(struct dns *d, struct loop *loop, struct dns_query *q, struct slice text,
                       uint16_t port, struct dns_answer *a)
{
    struct name *n;
    enum result r = find_name(d, text, &n);
    if (r)
        return r;
    if (!n->pending && clock_mono_us(d->clock) < n->expires_us) {
        *a = n->answer;
        return a->result;
    }
    if (d->waiting == DNS_WAITING_MAX)
        return RESULT_LIMIT;
    struct waiter *w = alloc_zeroed(1, sizeof *w);
    if (!w || !start_helper(d)) {
        alloc_free(w);
        return RESULT_NOMEM;
    }
    w->message.run = deliver;
    w->loop = loop;
    w->query = q;
    w->dns = d;
    w->port = port;
    w->next = n->waiters;
    w->link = &n->waiters;
    if (w->next)
        w->next->link = &w->next;
    n->waiters = w;
    d->waiting++;
    q->pending = w;
    if (!n->pending) {
        n->pending = true;
        n->next = NULL;
        *d->last = n;
        d->last = &n->next;
        pthread_cond_signal(&d->wake);
    }
    return RESULT_AGAIN;
}

// Lower case, without the root's dot; RESULT_DNS for what no name can be.
static enum result normalise(struct slice host, char text[DNS_NAME_MAX + 1], size_t *len)
{
    if (host.len > 1 && host.ptr[host.len - 1] == '.')
        host.len--;
    if (host.len > DNS_NAME_MAX)
        return RESULT_LIMIT;
    for (size_t i = 0; i < host.len; i++) {
        unsigned char c = (unsigned char)host.ptr[i];
        if (c <= ' ' || c == 0x7f)
            return RESULT_DNS;
        text[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    text[host.len] = 0;
    *len = host.len;
    return host.len ? RESULT_OK : RESULT_DNS;
}

void dns_resolve(struct dns *d, struct loop *loop, struct dns_query *q, struct slice host,
                 uint16_t port)
{
    struct dns_answer a = {.result = RESULT_OK};
    q->pending = NULL;
    if (!host.len || !numeric(host, &a)) {
        char text[DNS_NAME_MAX + 1];
        size_t len;
        enum result r = normalise(host, text, &len);
        if (!r) {
            pthread_mutex_lock(&d->lock);
            r = ask(d, loop, q, slice_make(text, len), port, &a);
            pthread_mutex_unlock(&d->lock);
        }
        if (r == RESULT_AGAIN)
            return;
        a.result = r;
    }
    set_port(&a, port);
    q->on_answer(q, &a);
}

void dns_cancel(struct dns_query *q)
{
    struct waiter *w = q->pending;
    if (!w)
        return;
    q->pending = NULL;
    if (!atomic_load(&w->posted)) {
        struct dns *d = w->dns;
        pthread_mutex_lock(&d->lock);
        bool linked = !atomic_load(&w->posted);
        if (linked)
            detach(w);
        pthread_mutex_unlock(&d->lock);
        if (linked) {
            alloc_free(w);
            return;
        }
    }
    w->query = NULL;
}
