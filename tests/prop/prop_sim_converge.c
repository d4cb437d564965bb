// A step of load on the fleet simulator under Merit's own dispatch: the shares of the replicas settle and do not swing.
//
// Loops that are coupled (speeds that are learned, queues that are scraped late, prices that follow) may chase each other:
// everything to the replica that looked empty, then everything away from it. Requests of one kind arrive as a Poisson stream
// that doubles in the middle. In windows of WINDOW_S after the step the requests in flight of each replica are looked at:
//
//   settled   SETTLE_S after the step the median time to the first token of a window is at most twice that of the last
//             windows together
//   no swing  a replica's share of the placed requests varies from window to window at most SWING times as much as
//             independent draws would by chance (binomial), and neighbouring windows are not mirror images: their
//             correlation is not below CORRELATION where they vary more than by chance
//
// Round robin has no such loop and passes; a rule that sends all to the place with the least scraped queue fails, which
// shows that the criterion can tell (the_criterion_can_tell).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "base/alloc.h"
#include "base/file.h"
#include "sim/fleet.h"

enum {
    STEP_S = 60,
    END_S = 180,
    SETTLE_S = 20,
    WINDOW_S = 2,
    WINDOWS = END_S / WINDOW_S,
    JOBS = 20000,
};
static const double SWING = 3, CORRELATION = -0.5;

struct seen {
    double share[WINDOWS][CONSTANTS_REPLICAS_MAX];
    double first_s[WINDOWS]; // median
    uint32_t placed[WINDOWS], replicas;
};

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static uint32_t make_jobs(struct fleet_job *jobs, struct rng *rng, double per_s)
{
    double at = 0;
    uint32_t n = 0;
    while (n < JOBS) {
        double rate = at < STEP_S ? per_s / 2 : per_s;
        at += -log(1 - rng_unit(rng)) / rate;
        if (at >= END_S)
            break;
        jobs[n++] = (struct fleet_job){.at_us = (uint64_t)(at * 1e6) + 1,
                                       .prompt_tok = 500 + (uint32_t)rng_below(rng, 2000),
                                       .output_tok = 50 + (uint32_t)rng_below(rng, 200)};
    }
    return n;
}

static void look(const struct fleet_job *jobs, uint32_t count, struct seen *s)
{
    double *first = alloc_zeroed(JOBS, sizeof *first);
    assert_non_null(first);
    for (uint32_t w = 0, i = 0; w < WINDOWS; w++) {
        uint32_t n = 0;
        for (; i < count && jobs[i].at_us < (w + 1) * WINDOW_S * 1000000ull; i++) {
            s->share[w][jobs[i].replica]++;
            first[n++] = (double)(jobs[i].first_us - jobs[i].at_us) / 1e6;
        }
        qsort(first, n, sizeof *first, by_size);
        s->placed[w] = n;
        s->first_s[w] = n ? first[n / 2] : 0;
        for (uint32_t r = 0; n && r < s->replicas; r++)
            s->share[w][r] /= n;
    }
    alloc_free(first);
}

static void run(const struct constants *c, const struct fleet_placement *p, double per_s,
                uint64_t seed, struct seen *s)
{
    static struct fleet_job jobs[JOBS];
    struct fleet *f;
    struct rng rng;
    struct fleet_options o = {.constants = c, .placement = p, .seed = seed};
    rng_seed(&rng, seed);
    memset(s, 0, sizeof *s);
    assert_int_equal(fleet_open(&f, &o), RESULT_OK);
    uint32_t n = make_jobs(jobs, &rng, per_s);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(fleet_push(f, jobs + i), RESULT_OK);
    assert_false(fleet_run(f, 3600ull * 1000000));
    s->replicas = fleet_replicas(f);
    look(jobs, n, s);
    fleet_close(f);
}

// NULL when it converges, else what does not.
static const char *fault_of(const struct seen *s, double *value)
{
    uint32_t from = (STEP_S + SETTLE_S) / WINDOW_S, n = WINDOWS - from;
    double last[WINDOWS];
    memcpy(last, s->first_s + from, n * sizeof *last);
    qsort(last, n, sizeof *last, by_size);
    *value = s->first_s[from] / last[n / 2];
    if (*value > 2)
        return "it has not settled";
    for (uint32_t r = 0; r < s->replicas; r++) {
        double mean = 0, var = 0, chance = 0, lag = 0;
        for (uint32_t w = from; w < WINDOWS; w++)
            mean += s->share[w][r] / n;
        for (uint32_t w = from; w < WINDOWS; w++) {
            double d = s->share[w][r] - mean;
            var += d * d / n;
            chance += mean * (1 - mean) / s->placed[w] / n;
            lag += w > from ? d * (s->share[w - 1][r] - mean) / (n - 1) : 0;
        }
        *value = sqrt(var / chance);
        if (*value > SWING)
            return "a share swings";
        // What varies less than by chance need not be told from it.
        *value = var > chance ? lag / var : 0;
        if (*value < CORRELATION)
            return "windows are mirror images";
    }
    return NULL;
}

static void read_fleet(const char *name, struct constants *c)
{
    char path[512], diag[CONSTANTS_DIAG_BYTES];
    struct buf text;
    snprintf(path, sizeof path, "%s/bench/constants/%s.json", MERIT_SOURCE_DIR, name);
    buf_init(&text, CONSTANTS_FILE_BYTES_MAX);
    assert_int_equal(file_read(path, &text), RESULT_OK);
    assert_int_equal(constants_read(buf_slice(&text), c, diag), RESULT_OK);
    buf_deinit(&text);
}

static void a_step_of_load_does_not_swing(void **state)
{
    static struct constants c;
    static struct seen s;
    static const struct {
        const char *fleet;
        double per_s;
    } cases[] = {{"fleet-a", 50}, {"fleet-b", 18}, {"sticky", 40}};
    (void)state;
    for (size_t k = 0; k < MERIT_COUNT(cases); k++) {
        read_fleet(cases[k].fleet, &c);
        for (uint64_t seed = 1; seed <= 3; seed++) {
            double value;
            run(&c, fleet_placement("merit"), cases[k].per_s, seed, &s);
            const char *fault = fault_of(&s, &value);
            if (fault)
                fail_msg("%s, seed %u: %s (%.2f)", cases[k].fleet, (unsigned)seed, fault, value);
        }
    }
}

// ---- A rule that is known to swing: all to the replica whose queue was shortest when it was last scraped.

struct herd {
    double load[CONSTANTS_REPLICAS_MAX];
    uint32_t count;
};

static enum result herd_open(struct fleet *f, void **self)
{
    struct herd *h = alloc_zeroed(1, sizeof *h);
    if (!h)
        return RESULT_NOMEM;
    h->count = fleet_replicas(f);
    *self = h;
    return RESULT_OK;
}

static void herd_close(void *self)
{
    alloc_free(self);
}

static int32_t herd_choose(void *self, struct fleet_job *job, uint64_t now_us)
{
    const struct herd *h = self;
    uint32_t best = 0;
    (void)job;
    (void)now_us;
    for (uint32_t i = 1; i < h->count; i++)
        best = h->load[i] < h->load[best] ? i : best;
    return (int32_t)best;
}

static void herd_scraped(void *self, uint32_t replica, const struct engine_stats *s,
                         uint64_t now_us)
{
    struct herd *h = self;
    (void)now_us;
    h->load[replica] = s->waiting + s->running;
}

static void the_criterion_can_tell(void **state)
{
    static const struct fleet_placement herd = {.name = "herd",
                                                .open = herd_open,
                                                .close = herd_close,
                                                .choose = herd_choose,
                                                .scraped = herd_scraped};
    static struct constants c;
    static struct seen s;
    double value;
    (void)state;
    read_fleet("sticky", &c);
    run(&c, &herd, 40, 1, &s);
    assert_non_null(fault_of(&s, &value));
    run(&c, fleet_placement("rr"), 40, 1, &s);
    assert_null(fault_of(&s, &value));
    run(&c, fleet_placement("lr"), 40, 1, &s);
    assert_null(fault_of(&s, &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_of_load_does_not_swing),
        cmocka_unit_test(the_criterion_can_tell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
