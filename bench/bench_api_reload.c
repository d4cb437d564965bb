// What a reload holds up on a loop that serves.
//
//   bench_api_reload SECONDS ATOMS ROUTES
//
// Two policies of so many keyword signals and routes take turns every 50 ms: each is parsed, proved and compiled by a
// thread of its own at the lowest priority and handed to a loop that answers refusals over loopback as fast as one client asks. Each
// turn of the loop is timed, in CPU of its thread: what other processes do is mostly not in it. Prints one line of JSON:
// the longest turn from a reload to the next (the median of all reloads), the longest with reloads and the longest without, the time of a load beside it, and how many answers were not the
// policy's that served them.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "api/gateway.h"
#include "base/alloc.h"

enum { RELOAD_MS = 50, TURNS_MAX = 4000000, LOADS_MIN = 5, RELOADS_MAX = 1024 };

struct bench {
    struct metrics_names names;
    struct loop *loop;
    struct dns *dns;
    struct gateway_shared shared;
    struct gateway *gateway;
    struct buf texts[2];
    struct serving *servings[2]; // the current one and the one before it
    uint16_t port;
    _Atomic bool stop, reloads;
    uint64_t answers, wrong;
    _Atomic uint64_t loads;
    double load_ms;
};

static struct bench bench;

static void die(const char *what)
{
    fprintf(stderr, "bench_api_reload: %s\n", what);
    exit(1);
}

static double now_us(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void make_text(struct buf *out, int n, int atoms, int routes)
{
    buf_init(out, 16 << 20);
    buf_printf(
        out,
        "policy \"p%d\" version 1\nmodel m endpoint \"http://127.0.0.1:9/v1\" context 8k tok\n", n);
    for (int i = 0; i < atoms; i++)
        buf_printf(out, "signal s%d = keywords(\"word%d\", \"other%d\")\n", i, n * 1000 + i, i);
    for (int i = 0; i < routes; i++)
        buf_printf(out, "route r%d when s%d and s%d -> refuse \"no\"\n", i, i % atoms,
                   (i % atoms + 1 + i / atoms) % atoms);
    buf_printf(out, "otherwise -> refuse \"policy %d\"\n", n);
}

static struct serving *load(struct bench *b, int n)
{
    struct serving_options o = {.names = &b->names, .loops = 1};
    struct arena arena;
    struct diag_list diags;
    struct buf why;
    struct serving *s;
    arena_init(&arena, 0, 64 << 20);
    diag_init(&diags, &arena, 20);
    buf_init(&why, 1 << 20);
    if (serving_open(&s, buf_slice(&b->texts[n]), &o, &diags, &why)) {
        struct buf message;
        buf_init(&message, 1 << 20);
        diag_render(&diags, buf_slice(&b->texts[n]), SLICE("policy"), false, &message);
        fprintf(stderr, "%.*s", SLICE_FMT(buf_slice(&message)));
        die("a policy does not load");
    }
    buf_deinit(&why);
    arena_deinit(&arena);
    return s;
}

static void *reload(void *ctx)
{
    struct bench *b = ctx;
    (void)!setpriority(PRIO_PROCESS, (id_t)gettid(), 19);
    for (int n = 1; !atomic_load(&b->stop); n = !n) {
        struct timespec pause = {0, RELOAD_MS * 1000000};
        nanosleep(&pause, NULL);
        if (!atomic_load(&b->reloads))
            continue;
        double begin = now_us(CLOCK_THREAD_CPUTIME_ID);
        struct serving *next = load(b, n);
        b->load_ms += (now_us(CLOCK_THREAD_CPUTIME_ID) - begin) / 1e3;
        b->loads++;
        if (gateway_post_serving(b->gateway, next))
            die("no memory");
        // The one before the last is taken apart here, as the server does it.
        struct serving *old = b->servings[1];
        b->servings[1] = b->servings[0];
        b->servings[0] = next;
        while (old && atomic_load(&old->refs) != 1 && !atomic_load(&b->stop))
            nanosleep(&pause, NULL);
        serving_unref(old);
    }
    return NULL;
}

// One request after the other on one connection; an answer is one of the two, whole.
static void *ask(void *ctx)
{
    static const char request[] =
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 69\r\n\r\n"
        "{\"model\":\"auto\",\"messages\":[{\"role\":\"user\",\"content\":\"hello there\"}]}";
    struct bench *b = ctx;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(b->port)};
    char answer[8192];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&to, sizeof to))
        die("cannot connect");
    while (!atomic_load(&b->stop)) {
        size_t got = 0;
        if (write(fd, request, sizeof request - 1) != (ssize_t)sizeof request - 1)
            die("cannot write");
        for (;;) {
            ssize_t n = read(fd, answer + got, sizeof answer - 1 - got);
            if (n <= 0)
                die("the connection ends");
            got += (size_t)n;
            answer[got] = '\0';
            char *body = strstr(answer, "\r\n\r\n"),
                 *length = strcasestr(answer, "content-length: ");
            if (body && length &&
                got >= (size_t)(body + 4 - answer) + strtoul(length + 16, NULL, 10))
                break;
        }
        b->answers++;
        b->wrong += strncmp(answer + 9, "403", 3) != 0 ||
                    (!strstr(answer, "policy 0") && !strstr(answer, "policy 1"));
    }
    close(fd);
    return NULL;
}

struct turns {
    double longest_us, sum_us;
    double each_us[RELOADS_MAX]; // the longest from one reload to the next
    uint64_t reloads;
    uint64_t count;
};

static void turn_for(struct bench *b, double seconds, struct turns *t)
{
    double end = now_us(CLOCK_MONOTONIC) + seconds * 1e6;
    *t = (struct turns){.count = 0};
    uint64_t loads = b->loads;
    // On a busy machine loads take their time: without some of them nothing is measured.
    double late = end + 9e6 * seconds;
    while ((now_us(CLOCK_MONOTONIC) < end ||
            (atomic_load(&b->reloads) && b->loads < LOADS_MIN && now_us(CLOCK_MONOTONIC) < late)) &&
           t->count < TURNS_MAX) {
        double begin = now_us(CLOCK_THREAD_CPUTIME_ID);
        loop_turn(b->loop, 10);
        double us = now_us(CLOCK_THREAD_CPUTIME_ID) - begin;
        t->longest_us = us > t->longest_us ? us : t->longest_us;
        if (b->loads != loads && t->reloads + 1 < RELOADS_MAX) {
            loads = b->loads;
            t->reloads++;
        }
        if (t->reloads && us > t->each_us[t->reloads - 1])
            t->each_us[t->reloads - 1] = us;
        t->sum_us += us;
        t->count++;
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    struct bench *b = &bench;
    pthread_t reloader, client;
    static struct turns warm, without, with;
    if (argc != 4)
        die("SECONDS ATOMS ROUTES");
    double seconds = atof(argv[1]);
    metrics_names_init(&b->names);
    for (int n = 0; n < 2; n++)
        make_text(&b->texts[n], n, atoi(argv[2]), atoi(argv[3]));
    b->servings[0] = load(b, 0);
    if (loop_open(&b->loop, 0) || dns_open(&b->dns))
        die("no loop");
    b->shared = (struct gateway_shared){.path = path_settings_default,
                                        .http = http_limits_default,
                                        .client = http_client_limits_default,
                                        .dns = b->dns,
                                        .names = &b->names,
                                        .decisions_kept = 64};
    if (gateway_open(&b->gateway, &b->shared, b->loop, 0, b->servings[0], NULL) ||
        gateway_listen(b->gateway, "127.0.0.1", 0, NULL))
        die("no gateway");
    b->port = gateway_port(b->gateway);
    if (pthread_create(&client, NULL, ask, b) || pthread_create(&reloader, NULL, reload, b))
        die("no thread");
    turn_for(b, seconds / 4, &warm);
    turn_for(b, seconds, &without);
    atomic_store(&b->reloads, true);
    turn_for(b, seconds, &with);
    qsort(with.each_us, with.reloads, sizeof *with.each_us, by_value);
    printf("{\"pause_us\":%.1f,\"turn_max_us\":%.1f,\"turn_max_without_us\":%.1f,\"turn_mean_us\":%"
           ".2f,"
           "\"turns\":%llu,\"reloads\":%llu,\"load_ms\":%.2f,\"answers\":%llu,\"wrong\":%llu}\n",
           with.reloads ? with.each_us[with.reloads / 2] : 0, with.longest_us, without.longest_us,
           with.sum_us / (double)with.count, (unsigned long long)with.count,
           (unsigned long long)b->loads, b->loads ? b->load_ms / (double)b->loads : 0,
           (unsigned long long)b->answers, (unsigned long long)b->wrong);
    // The process ends here: what is open goes with it.
    fflush(stdout);
    _exit(0);
}
