// Dispatch alone: CPU of this thread per call of dispatch_choose, over random pools of which everything is known.
//
//   spread    16 models, 64 places in all
//   efforts   4 models with 4 efforts each, 64 places in all: the shape that the target is about, because each action has its
//             own answer's length and sixteen places
//   all       16 models with 64 places each: 1,024 places, for comparison
//
// Sixteen asks take turns, so that no branch is learned by heart. Each figure is the median of 31 rounds. Every ask's answer
// is compared with the formulas computed one place at a time (tests/support/dispatch_naive.h). With a shape's number (0 to 2) as
// argument only that one is run, twenty rounds, for a profiler.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "support/dispatch_make.h"
#include "support/dispatch_naive.h"

enum { ASKS = 16, ROUNDS = 31, SHAPES = 3, CHECKS = 200 };

static const struct {
    const char *name, *shown;
    struct dispatch_shape shape;
    unsigned repeat;
} shapes[SHAPES] = {
    {"dispatch_us", "4 models x 4 efforts, 64 places", {4, 16, 4, .full = true}, 400},
    {"dispatch_spread_us", "16 models, 64 places", {16, 4, 1, .full = true}, 400},
    {"dispatch_all_us", "16 models, 1024 places", {16, 64, 1, .full = true}, 100},
};

static struct dispatch_made *made[SHAPES][ASKS];
static struct decision_option options[DISPATCH_ACTIONS_MAX];

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double once(unsigned s)
{
    double begin = now_ns();
    for (unsigned k = 0; k < shapes[s].repeat; k++)
        if (!dispatch_choose(&made[s][k % ASKS]->ask, options, DECISION_OPTIONS_MAX))
            exit(1);
    return (now_ns() - begin) / shapes[s].repeat;
}

static void open_asks(void)
{
    struct rng r;
    rng_seed(&r, 1);
    for (unsigned s = 0; s < SHAPES; s++)
        for (unsigned i = 0; i < ASKS; i++) {
            made[s][i] = alloc_zeroed(1, sizeof *made[s][i]);
            if (!made[s][i])
                exit(1);
            make_all(made[s][i], &r, &shapes[s].shape);
            // The whole price, whatever was drawn.
            struct policy_image *image = (struct policy_image *)(void *)made[s][i]->builder.block;
            image->dispatch = image_dispatch_default();
            image->dispatch.line = 1;
            image->dispatch.kwh_nusd = 100000000;
            image->dispatch.kg_nusd = 50000000;
        }
}

// Agreement with the formulas, in random pools of every kind.
static unsigned agreeing(void)
{
    static struct dispatch_made one;
    struct rng r;
    unsigned agree = 0;
    rng_seed(&r, 99);
    for (unsigned i = 0; i < CHECKS; i++) {
        const struct dispatch_shape shape = {.models = 1 + (uint32_t)rng_below(&r, 16),
                                             .places = 1 + (uint32_t)rng_below(&r, 64),
                                             .efforts = 1 + (uint32_t)rng_below(&r, 4),
                                             .full = rng_below(&r, 2) == 0};
        const char *why;
        make_all(&one, &r, &shape);
        uint32_t n = dispatch_choose(&one.ask, options, DISPATCH_ACTIONS_MAX);
        agree += naive_agrees(&one.ask, options, n, 1e-4, &why);
        ib_deinit(&one.builder);
    }
    for (unsigned s = 0; s < SHAPES; s++)
        for (unsigned i = 0; i < ASKS; i++) {
            const char *why;
            uint32_t n = dispatch_choose(&made[s][i]->ask, options, DISPATCH_ACTIONS_MAX);
            agree += naive_agrees(&made[s][i]->ask, options, n, 1e-4, &why);
        }
    return agree;
}

int main(int argc, char **argv)
{
    static double times[SHAPES][ROUNDS];
    open_asks();
    if (argc > 1) {
        unsigned s = (unsigned)atoi(argv[1]) % SHAPES;
        for (unsigned r = 0; r < 20; r++)
            once(s);
        return 0;
    }
    for (unsigned s = 0; s < SHAPES; s++)
        once(s);
    uint64_t before = alloc_count();
    for (unsigned r = 0; r < ROUNDS; r++)
        for (unsigned s = 0; s < SHAPES; s++)
            times[s][r] = once(s);
    uint64_t allocations = alloc_count() - before;
    printf("%-36s %10s %10s %10s\n", "16 actions", "median us", "10 %", "90 %");
    for (unsigned s = 0; s < SHAPES; s++) {
        qsort(times[s], ROUNDS, sizeof(double), by_value);
        printf("%-36s %10.3f %10.3f %10.3f\n", shapes[s].shown, times[s][ROUNDS / 2] / 1e3,
               times[s][ROUNDS / 10] / 1e3, times[s][ROUNDS - 1 - ROUNDS / 10] / 1e3);
    }
    unsigned agree = agreeing(), all = CHECKS + SHAPES * ASKS;
    printf("agrees with the formulas computed place by place: %u of %u asks\n", agree, all);
    printf("{\"figures\": {");
    for (unsigned s = 0; s < SHAPES; s++)
        printf("\"%s\": %.3f, ", shapes[s].name, times[s][ROUNDS / 2] / 1e3);
    printf("\"disagreeing\": %u, \"dispatch_allocations\": %llu}}\n", all - agree,
           (unsigned long long)allocations);
    return 0;
}
