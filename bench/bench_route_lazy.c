// What buying signals on demand saves: expected signal cost per request against computing all signals, and against
// asking from left to right with short circuits. One pass of an artifact is counted once in all three.
//
// Random policies: rules of one to five literals over atoms of five cost classes (1 us, 50 us, 2 ms, 8 ms, 60 ms), which
// hold with probabilities between 0.05 and 0.35; a quarter of the literals is negated. The statistics are learned as a
// server learns them: from what was asked while an earlier epoch was served, nothing else.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../tests/support/image_builder.h"
#include "base/arena.h"
#include "base/rng.h"
#include "route/route.h"

enum { SIGNALS_MAX = 512, LEARN = 400, ROUNDS = 3, WORKS = 400 };

static struct rng rng;

struct counts {
    uint32_t asked[SIGNALS_MAX], held[SIGNALS_MAX];
};

struct policy {
    struct image_builder b;
    const struct policy_image *image;
    const struct route_table *table;
    struct route_costs costs;
    uint32_t own[SIGNALS_MAX];
    uint8_t group[SIGNALS_MAX];
    uint16_t holds[SIGNALS_MAX];
    double truth[SIGNALS_MAX];
    struct arena arena, run;
};

static void die(const char *what)
{
    fprintf(stderr, "bench_route_lazy: %s\n", what);
    exit(1);
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void make_policy(struct policy *p, uint32_t atoms, uint32_t rules)
{
    char name[16];
    ib_init(&p->b);
    ib_model(&p->b, "m");
    for (uint32_t i = 0; i < atoms; i++) {
        double q = (double)i / atoms;
        p->own[i] = q < .5 ? 1000 : q < .7 ? 50000 : q < .85 ? 2000000 : q < .97 ? 8000000 : 60000000;
        p->group[i] = 0;
        p->truth[i] = .05 + .3 * rng_unit(&rng);
        snprintf(name, sizeof name, "s%u", i);
        ib_signal(&p->b, name, SIGNAL_BOOL);
        ib_atom(&p->b, (int32_t)i, IMAGE_OP_TRUE, 0, name);
    }
    struct image_binding m = {0, IMAGE_EFFORT_DEFAULT};
    for (uint32_t i = 0; i < rules; i++) {
        struct image_node nodes[16];
        uint32_t n = 1 + (uint32_t)rng_below(&rng, 5), k = 0;
        if (i < rules * 3 / 4 && n < 2)
            n = 2;
        if (n > 1)
            nodes[k++] = (struct image_node){IMAGE_NODE_AND, n, 0};
        for (uint32_t j = 0; j < n; j++) {
            uint32_t atom = (uint32_t)rng_below(&rng, atoms);
            if (rng_below(&rng, 4) == 0)
                nodes[k++] = (struct image_node){IMAGE_NODE_NOT, 0, 2};
            nodes[k++] = (struct image_node){IMAGE_NODE_ATOM, atom, 1};
        }
        if (n > 1)
            nodes[0].size = k;
        ib_route(&p->b, "r", nodes, i + 1 == rules ? 0 : k, ib_answer(&p->b, &m, 1));
    }
    p->image = ib_finish(&p->b);
    p->costs = (struct route_costs){.own_ns = p->own, .group = p->group};
    arena_init(&p->arena, 1 << 18, 1 << 26);
    arena_init(&p->run, 1 << 18, 1 << 26);
    if (route_table_open(p->image, &p->costs, &p->arena, &p->table))
        die("no table");
}

static void draw(const struct policy *p, bool *held)
{
    for (uint32_t i = 0; i < p->image->signals.count; i++)
        held[i] = rng_unit(&rng) < p->truth[i];
}

static double lazy(struct policy *p, const bool *held, struct counts *c, uint64_t *steps)
{
    static const struct work work = {.choices = 1, .anchor = WORK_NO_ANCHOR};
    struct route_run run;
    double ns = 0;
    int32_t s;
    arena_reset(&p->run);
    if (route_begin(&run, p->table, &work, NULL, NULL, &p->run))
        die("no memory");
    while (route_step(&run, &s) == ROUTE_NEED) {
        struct fact *f = route_fact(&run, s);
        *f = (struct fact){.state = FACT_KNOWN, .number = held[s], .probability = 1};
        ns += p->own[s];
        if (c) {
            c->asked[s]++;
            c->held[s] += held[s];
        }
        route_feed(&run, s, f);
        ++*steps;
    }
    return ns;
}

static bool ltr_node(const struct policy *p, const struct image_node *n, const bool *held,
                     bool *bought, double *ns)
{
    if (n->kind == IMAGE_NODE_TRUE)
        return true;
    if (n->kind == IMAGE_NODE_NOT)
        return !ltr_node(p, n + 1, held, bought, ns);
    if (n->kind == IMAGE_NODE_ATOM) {
        if (!bought[n->arg])
            *ns += p->own[n->arg];
        bought[n->arg] = true;
        return held[n->arg];
    }
    const struct image_node *child = n + 1;
    for (uint32_t i = 0; i < n->arg; i++, child += child->size)
        if (ltr_node(p, child, held, bought, ns) != (n->kind == IMAGE_NODE_AND))
            return n->kind == IMAGE_NODE_OR;
    return n->kind == IMAGE_NODE_AND;
}

static double left_to_right(const struct policy *p, const bool *held)
{
    bool bought[SIGNALS_MAX] = {false};
    double ns = 0;
    for (uint32_t i = 0; i < p->image->routes.count; i++) {
        const struct image_route *r = image_route(p->image, (int32_t)i);
        if (!r->guard.count || ltr_node(p, IMAGE_AT(p->image, r->guard, struct image_node), held, bought, &ns))
            break;
    }
    return ns;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    static struct policy p;
    uint32_t policies = argc > 1 ? (uint32_t)atoi(argv[1]) : 40;
    static const uint32_t sizes[][2] = {{24, 40}, {40, 100}, {60, 200}, {100, 400}};
    for (int z = 0; z < 4; z++) {
        double ra[1000], rl[1000], suml = 0, sumt = 0, suma = 0, cpu = 0;
        uint64_t steps = 0;
        rng_seed(&rng, 7);
        for (uint32_t i = 0; i < policies; i++) {
            make_policy(&p, sizes[z][0], sizes[z][1]);
            struct counts c = {0};
            bool held[SIGNALS_MAX];
            uint64_t ignored = 0;
            for (int round = 0; round < ROUNDS; round++) {
                for (int w = 0; w < LEARN; w++) {
                    draw(&p, held);
                    lazy(&p, held, &c, &ignored);
                }
                for (uint32_t s = 0; s < sizes[z][0]; s++)
                    p.holds[s] = (uint16_t)(65536.0 * (c.held[s] + 1) / (c.asked[s] + 2));
                p.costs.holds = p.holds;
            }
            double l = 0, t = 0, a = 0;
            for (uint32_t s = 0; s < sizes[z][0]; s++)
                a += p.own[s];
            a *= WORKS;
            for (int w = 0; w < WORKS; w++) {
                draw(&p, held);
                t += left_to_right(&p, held);
                double begin = now_ns();
                l += lazy(&p, held, NULL, &steps);
                cpu += now_ns() - begin;
            }
            ra[i] = a / l;
            rl[i] = t / l;
            suml += l; sumt += t; suma += a;
            arena_deinit(&p.arena);
            arena_deinit(&p.run);
            ib_deinit(&p.b);
        }
        qsort(ra, policies, sizeof *ra, by_value);
        qsort(rl, policies, sizeof *rl, by_value);
        double n = (double)policies * WORKS * 1e6;
        printf("%3u x %3u: lazy %.2f ms, ltr %.2f, all %.2f; vs all %.2f (%.2f-%.2f), vs ltr %.2f (%.2f-%.2f); %.1f buys, %.2f us each\n",
               sizes[z][0], sizes[z][1], suml / n, sumt / n, suma / n, ra[policies / 2], ra[policies / 10], ra[policies * 9 / 10],
               rl[policies / 2], rl[policies / 10], rl[policies * 9 / 10],
               (double)steps / n * 1e6, cpu / (double)steps / 1e3);
    }
}
