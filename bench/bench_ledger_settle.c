// What reserving and settling costs the thread of a request, over seven nested budgets with the journal on disk, and
// whether the store follows at a steady rate.
//
//   bench_ledger_settle [RATE] [SECONDS]     (20500 a second, 30 s)
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
        a.expected.of[i] = bound[i] / 3;
    return a;
}

static struct ledger_settled make_settled(uint64_t n)
{
    struct ledger_settled s = {.now_us = wall(),
                               .end = LEDGER_ANSWERED,
                               .reason = "",
                               .input_tok = 900,
                               .cached_tok = 512,
                               .output_tok = 200};
    for (int i = 0; i < LEDGER_UNITS; i++) {
        s.took.of[i] = 1 + (int64_t)(n % 1000);
        s.baseline.of[i] = 5000;
    }
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
        struct ledger_settled s = make_settled(k);
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
    uint64_t number, rate, stop_us, begin_us; // of this thread; mono
    uint64_t done, refused, cpu_ns;
};

static void *pump_run(void *arg)
{
    struct pump *p = arg;
    struct ledger_ticket flying[FLYING] = {0};
    const struct timespec rest = {.tv_nsec = 1000000};
    uint64_t cpu = clock_thread_ns();
    for (;;) {
        uint64_t now = clock_mono_us(&clock_system);
        if (now >= p->stop_us)
            break;
        uint64_t due = (now - p->begin_us) * p->rate / 1000000;
        if (p->done + p->refused >= due) {
            nanosleep(&rest, NULL);
            continue;
        }
        uint64_t n = (p->done + p->refused) * THREADS + p->number;
        struct ledger_budget b[BUDGETS];
        char session[40];
        make_budgets(n, b);
        struct ledger_ask ask = make_ask(n, b, session);
        struct ledger_ticket *t = &flying[n / THREADS % FLYING];
        struct ledger_refusal no;
        struct ledger_settled s = make_settled(n);
        ledger_settle(p->ledger, t, &s);
        if (ledger_reserve(p->ledger, &ask, t, &no))
            p->refused++;
        else
            p->done++;
    }
    struct ledger_settled s = make_settled(0);
    for (int i = 0; i < FLYING; i++)
        ledger_settle(p->ledger, &flying[i], &s);
    p->cpu_ns = clock_thread_ns() - cpu;
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

int main(int argc, char **argv)
{
    uint64_t rate = argc > 1 ? strtoull(argv[1], NULL, 10) : 20500;
    uint64_t seconds = argc > 2 ? strtoull(argv[2], NULL, 10) : 30;
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
    measure_cpu(l, &least, &median);
    printf(
        "reserve and settle, seven budgets: %.2f us CPU (median of %d batches of %d), least %.2f\n",
        median, BATCHES, BATCH, least);
    if (!ledger_flush(l, 60000))
        return 1;
    struct ledger_stats before, now;
    ledger_stats(l, &before);
    uint64_t begin = clock_mono_us(&clock_system), most_lag = 0, most_backlog = 0;
    struct pump pumps[THREADS];
    pthread_t threads[THREADS];
    for (uint64_t i = 0; i < THREADS; i++) {
        pumps[i] = (struct pump){.ledger = l,
                                 .number = i,
                                 .rate = rate / THREADS,
                                 .begin_us = begin,
                                 .stop_us = begin + seconds * 1000000};
        if (pthread_create(&threads[i], NULL, pump_run, &pumps[i]))
            return 1;
    }
    while (clock_mono_us(&clock_system) < begin + seconds * 1000000) {
        const struct timespec rest = {.tv_nsec = 20000000};
        nanosleep(&rest, NULL);
        ledger_stats(l, &now);
        if (now.store_lag_us > most_lag)
            most_lag = now.store_lag_us;
        if (now.backlog > most_backlog)
            most_backlog = now.backlog;
    }
    uint64_t done = 0, refused = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        done += pumps[i].done;
        refused += pumps[i].refused;
    }
    bool flushed = ledger_flush(l, 60000);
    double took = (double)(clock_mono_us(&clock_system) - begin) / 1e6;
    ledger_stats(l, &now);
    uint64_t stored = now.stored - before.stored;
    printf("%" PRIu64 " settled and %" PRIu64 " stored in %.2f s, %" PRIu64
           " refused; largest backlog %" PRIu64 ", largest lag %.0f ms; store %.0f bytes a row\n",
           done, stored, took, refused, most_backlog, (double)most_lag / 1000,
           (double)store_bytes(folder) / (double)(now.stored ? now.stored : 1));
    printf("{\"ledger_us\": %.3f, \"ledger_least_us\": %.3f, \"settle_per_s\": %.0f, "
           "\"refused\": %" PRIu64 ", \"store_lag_ms\": %.1f, \"stored_share\": %.6f}\n",
           median, least, (double)stored / took, refused, (double)most_lag / 1000,
           (double)stored / (double)(done ? done : 1));
    ledger_close(l);
    buf_deinit(&why);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) || !flushed;
}
