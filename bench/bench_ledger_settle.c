// What reserving and settling costs the thread of a request, over seven nested budgets with the journal on disk; whether
// the store follows at a steady rate, and the most that it follows; and what the store thread's CPU is per row, of rows
// with everything and of plain ones, as an open proxy's are: no key, no session, no budget.
//
//   bench_ledger_settle [RATE] [SECONDS]     (20500 a second, 30 s)
#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "ledger/ledger.h"

enum { BUDGETS = 7, STEPS = 33, BATCH = 1000, BATCHES = 400, THREADS = 2, FLYING = 64 };

static uint64_t wall(void)
{
    return clock_wall_us(&clock_system);
}

// A request of loop `n / 33`: the agent workload's loops have 33 steps; a session has four of them.
static void make_budgets(uint64_t n, struct ledger_budget b[BUDGETS])
{
    static const struct {
        const char *name, *holder;
        enum image_unit unit;
        enum image_window window;
        bool hard;
    } kinds[BUDGETS] = {
        {"0.05 usd/request hard", "", IMAGE_UNIT_NUSD, IMAGE_PER_REQUEST, true},
        {"per loop 50k tok hard", "task", IMAGE_UNIT_TOK, IMAGE_PER_LIFE, true},
        {"per session 1 usd hard", "session", IMAGE_UNIT_NUSD, IMAGE_PER_LIFE, true},
        {"per key 600k tok/minute hard", "k-4Fz0aQ9x", IMAGE_UNIT_TOK, IMAGE_PER_MINUTE, true},
        {"per team 90 usd/day paced", "engines", IMAGE_UNIT_NUSD, IMAGE_PER_DAY, false},
        {"per tenant 5 MJ/day hard", "free", IMAGE_UNIT_UJ, IMAGE_PER_DAY, true},
        {"9000 usd/month hard", "all", IMAGE_UNIT_NUSD, IMAGE_PER_MONTH, true},
    };
    const uint64_t values[BUDGETS] = {0, n / STEPS, n / STEPS / 4, n % 200, n % 20, n % 5, 0};
    for (uint64_t i = 0; i < BUDGETS; i++)
        b[i] = (struct ledger_budget){.account = (i + 1) << 56 | values[i],
                                      .unit = kinds[i].unit,
                                      .window = kinds[i].window,
                                      .hard = kinds[i].hard,
                                      .limit = INT64_C(1) << 52,
                                      .name = slice_cstr(kinds[i].name),
                                      .holder = slice_cstr(kinds[i].holder)};
}

static struct ledger_ask make_ask(uint64_t n, const struct ledger_budget *b, char session[40])
{
    static const uint8_t policy[IMAGE_DIGEST_BYTES] = {1, 2, 3};
    int len = snprintf(session, 40, "2d1f0f5e-2f5c-4e0e-9a52-%012" PRIx64, n / STEPS / 4);
    struct ledger_ask a = {.who = {.key = SLICE("k-4Fz0aQ9x"),
                                   .caller = SLICE("ada"),
                                   .team = SLICE("engines"),
                                   .tenant = SLICE("free"),
                                   .session = slice_make(session, (size_t)len),
                                   .loop = SLICE("task-17"),
                                   .route = SLICE("quick"),
                                   .model = SLICE("qwen3-8b"),
                                   .effort = SLICE("off"),
                                   .place = SLICE("http://vllm-a:8000/v1"),
                                   .attempt = 1,
                                   .policy = policy},
                           .now_us = wall(),
                           .budgets = b,
                           .budget_count = BUDGETS};
    memcpy(a.who.decision, "01HZX3YQ9K7V5N2M8C4D", sizeof a.who.decision);
    static const int64_t bound[LEDGER_UNITS] = {2000000, 900000000, 120000, 30000, 4096, 1, 1};
    memcpy(a.bound.of, bound, sizeof bound);
    for (int i = 0; i < LEDGER_UNITS; i++)
        a.expected.of[i] = bound[i] > 1 ? bound[i] / 3 : 1;
    return a;
}

static struct ledger_ask make_plain(void)
{
    struct ledger_ask a = make_ask(0, NULL, (char[40]){0});
    struct ledger_who who = {.route = a.who.route,
                             .model = a.who.model,
                             .place = a.who.place,
                             .attempt = 1,
                             .policy = a.who.policy};
    memcpy(who.decision, a.who.decision, sizeof who.decision);
    a.who = who;
    a.budget_count = 0;
    for (int i = IMAGE_UNIT_UJ; i <= IMAGE_UNIT_UG; i++)
        a.bound.of[i] = a.expected.of[i] = -1;
    return a;
}

// As a server settles: one call, one request; tokens are those that were counted.
static struct ledger_settled make_settled(uint64_t n, bool plain)
{
    struct ledger_settled s = {.now_us = wall(),
                               .end = LEDGER_ANSWERED,
                               .reason = "",
                               .input_tok = 900,
                               .cached_tok = 512,
                               .output_tok = 200 + n % 800};
    const int64_t some = 1 + (int64_t)(n % 1000);
    const int64_t took[LEDGER_UNITS] = {1000 * some,
                                        plain ? -1 : 500000 * some,
                                        plain ? -1 : 70 * some,
                                        5 * some,
                                        900 + s.output_tok,
                                        1,
                                        1};
    const int64_t baseline[LEDGER_UNITS] = {
        9000 * some, plain ? -1 : 3000000, plain ? -1 : 400, -1, -1, -1, -1};
    memcpy(s.took.of, took, sizeof took);
    memcpy(s.baseline.of, baseline, sizeof baseline);
    return s;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// What is made outside the measured stretch is made before it: the asks of a batch.
static void measure_cpu(struct ledger *l, double *least, double *median)
{
    static struct ledger_budget budgets[BATCH][BUDGETS];
    static struct ledger_ask asks[BATCH];
    static char sessions[BATCH][40];
    static double times[BATCHES];
    for (uint64_t k = 0; k < BATCHES; k++) {
        for (uint64_t i = 0; i < BATCH; i++) {
            make_budgets(k * BATCH + i, budgets[i]);
            asks[i] = make_ask(k * BATCH + i, budgets[i], sessions[i]);
        }
        struct ledger_settled s = make_settled(k, false);
        struct ledger_ticket flying[FLYING] = {0};
        struct ledger_refusal no;
        uint64_t begin = clock_thread_ns();
        for (uint64_t i = 0; i < BATCH; i++) {
            struct ledger_ticket *t = &flying[i % FLYING];
            ledger_settle(l, t, &s);
            if (ledger_reserve(l, &asks[i], t, &no)) {
                fprintf(stderr, "refused: %s\n", ledger_refused_name(no.kind));
                exit(1);
            }
        }
        for (uint64_t i = 0; i < FLYING; i++)
            ledger_settle(l, &flying[i], &s);
        times[k] = (double)(clock_thread_ns() - begin) / BATCH / 1000;
        (void)ledger_flush(l, 10000); // batches, not a flood
    }
    qsort(times, BATCHES, sizeof *times, by_value);
    *least = times[0];
    *median = times[BATCHES / 2];
}

struct pump {
    struct ledger *ledger;
    uint64_t number, rate, stop_us, begin_us; // of this thread; mono; rate 0: as fast as it goes
    bool plain;
    uint64_t done, refused;
};

static void *pump_run(void *arg)
{
    struct pump *p = arg;
    struct ledger_ticket flying[FLYING] = {0};
    const struct timespec rest = {.tv_nsec = 1000000};
    for (;;) {
        uint64_t now = clock_mono_us(&clock_system);
        if (now >= p->stop_us)
            break;
        uint64_t due = (now - p->begin_us) * p->rate / 1000000;
        if (p->rate && p->done + p->refused >= due) {
            nanosleep(&rest, NULL);
            continue;
        }
        uint64_t n = (p->done + p->refused) * THREADS + p->number;
        struct ledger_budget b[BUDGETS];
        char session[40];
        make_budgets(n, b);
        struct ledger_ask ask = p->plain ? make_plain() : make_ask(n, b, session);
        struct ledger_ticket *t = &flying[n / THREADS % FLYING];
        struct ledger_refusal no;
        struct ledger_settled s = make_settled(n, p->plain);
        ledger_settle(p->ledger, t, &s);
        if (ledger_reserve(p->ledger, &ask, t, &no) == RESULT_OK) {
            p->done++;
        } else {
            p->refused++;
            if (!p->rate)
                nanosleep(&rest, NULL);
        }
    }
    struct ledger_settled s = make_settled(0, p->plain);
    for (int i = 0; i < FLYING; i++)
        ledger_settle(p->ledger, &flying[i], &s);
    return NULL;
}

static uint64_t store_bytes(const char *folder)
{
    static const char *const files[] = {"ledger.db", "ledger.db-wal"};
    uint64_t sum = 0;
    char path[PATH_MAX];
    struct stat st;
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        if (stat(path, &st) == 0)
            sum += (uint64_t)st.st_size;
    }
    return sum;
}

// CPU of the store thread so far, the kernel's part included.
static uint64_t store_cpu_ns(void)
{
    uint64_t ns = 0;
    DIR *d = opendir("/proc/self/task");
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char path[PATH_MAX], text[64] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", e->d_name);
        FILE *f = fopen(path, "r");
        bool is = f && fgets(text, sizeof text, f) && strcmp(text, "merit-ledger\n") == 0;
        if (f)
            fclose(f);
        snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", e->d_name);
        f = is ? fopen(path, "r") : NULL;
        if (f && fscanf(f, "%" SCNu64, &ns) != 1)
            ns = 0;
        if (f)
            fclose(f);
    }
    if (d)
        closedir(d);
    return ns;
}

struct flow {
    uint64_t done, refused, stored, most_lag_us, most_backlog;
    double took_s, store_us;
    bool flushed;
};

static void flow_run(struct ledger *l, uint64_t rate, double seconds, bool plain, struct flow *f)
{
    struct ledger_stats before, now;
    struct pump pumps[THREADS];
    pthread_t threads[THREADS];
    *f = (struct flow){0};
    ledger_stats(l, &before);
    uint64_t cpu = store_cpu_ns(), begin = clock_mono_us(&clock_system);
    uint64_t stop = begin + (uint64_t)(seconds * 1e6);
    for (uint64_t i = 0; i < THREADS; i++) {
        pumps[i] = (struct pump){.ledger = l,
                                 .number = i,
                                 .rate = rate / THREADS,
                                 .begin_us = begin,
                                 .stop_us = stop,
                                 .plain = plain};
        if (pthread_create(&threads[i], NULL, pump_run, &pumps[i]))
            exit(1);
    }
    while (clock_mono_us(&clock_system) < stop) {
        const struct timespec rest = {.tv_nsec = 20000000};
        nanosleep(&rest, NULL);
        ledger_stats(l, &now);
        if (now.store_lag_us > f->most_lag_us)
            f->most_lag_us = now.store_lag_us;
        if (now.backlog > f->most_backlog)
            f->most_backlog = now.backlog;
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        f->done += pumps[i].done;
        f->refused += pumps[i].refused;
    }
    f->flushed = ledger_flush(l, 120000);
    f->took_s = (double)(clock_mono_us(&clock_system) - begin) / 1e6;
    ledger_stats(l, &now);
    f->stored = now.stored - before.stored;
    f->store_us = (double)(store_cpu_ns() - cpu) / 1000 / (double)(f->stored ? f->stored : 1);
}

int main(int argc, char **argv)
{
    uint64_t rate = argc > 1 ? strtoull(argv[1], NULL, 10) : 20500;
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 30;
    char folder[] = "/tmp/merit-bench-ledger-XXXXXX", command[200];
    if (!mkdtemp(folder))
        return 1;
    struct ledger *l = NULL;
    struct buf why;
    buf_init(&why, 1000);
    struct ledger_options o = {.directory = folder, .now_us = wall()};
    if (ledger_open(&l, &o, &why)) {
        fprintf(stderr, "%.*s\n", SLICE_FMT(buf_slice(&why)));
        return 1;
    }
    double least, median;
    struct flow steady, plain, flood;
    struct ledger_stats now;
    measure_cpu(l, &least, &median);
    printf(
        "reserve and settle, seven budgets: %.2f us CPU (median of %d batches of %d), least %.2f\n",
        median, BATCHES, BATCH, least);
    if (!ledger_flush(l, 60000))
        return 1;
    flow_run(l, rate, seconds, false, &steady);
    ledger_stats(l, &now);
    printf("%" PRIu64 " settled and %" PRIu64 " stored in %.2f s, %" PRIu64
           " refused; largest backlog %" PRIu64 ", largest lag %.0f ms; store %.0f bytes a row, "
           "%.2f us CPU\n",
           steady.done, steady.stored, steady.took_s, steady.refused, steady.most_backlog,
           (double)steady.most_lag_us / 1000,
           (double)store_bytes(folder) / (double)(now.stored ? now.stored : 1), steady.store_us);
    flow_run(l, rate, seconds / 3, true, &plain);
    printf("plain rows: %.2f us CPU\n", plain.store_us);
    flow_run(l, 0, seconds / 3, false, &flood);
    printf("as fast as it goes: %.0f stored a second, largest backlog %" PRIu64 "\n",
           (double)flood.stored / flood.took_s, flood.most_backlog);
    printf("{\"ledger_us\": %.3f, \"ledger_least_us\": %.3f, \"settle_per_s\": %.0f, "
           "\"refused\": %" PRIu64 ", \"store_lag_ms\": %.1f, \"stored_share\": %.6f, "
           "\"store_us\": %.3f, \"store_plain_us\": %.3f, \"most_per_s\": %.0f}\n",
           median, least, (double)steady.stored / steady.took_s, steady.refused,
           (double)steady.most_lag_us / 1000,
           (double)steady.stored / (double)(steady.done ? steady.done : 1), steady.store_us,
           plain.store_us, (double)flood.stored / flood.took_s);
    ledger_close(l);
    buf_deinit(&why);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) || !steady.flushed || !plain.flushed || !flood.flushed;
}
