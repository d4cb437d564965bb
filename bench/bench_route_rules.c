// Deciding on compiled policies of many rules when all signals are known: CPU of this thread per decision, from
// route_begin with the facts given to the whole decision. Random rules, the adverse case: conjunctions of three to six
// literals, a quarter of them negated, one rule in five with a disjunction inside, over truth values, cut numbers and words
// of enums; four models, a cheapest one to be found; six constraints, half of them with a guard. Of 500 random facts the
// ones are taken that match latest, so that the road is long; sixteen such take turns. Median of 31 rounds. The last line is
// for machines.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../tests/support/image_builder.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/rng.h"
#include "route/record.h"
#include "route/route.h"

enum { WORKS = 16, DRAWN = 500, ROUNDS = 31, REPEAT = 4000, SIGNALS_MAX = 128 };

static struct rng rng;

struct policy {
    struct image_builder b;
    const struct policy_image *image;
    const struct route_table *table;
    struct route_costs costs;
    uint32_t own[SIGNALS_MAX];
    uint8_t group[SIGNALS_MAX];
    struct fact facts[WORKS][SIGNALS_MAX];
    struct arena arena, run;
    struct work work;
    struct buf out;
    int64_t reached, drawn, depth; // of the facts drawn, and of those kept
};

static void die(const char *what)
{
    fprintf(stderr, "bench_route_rules: %s\n", what);
    exit(1);
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint32_t below(uint32_t n)
{
    return (uint32_t)rng_below(&rng, n);
}

// Three fifths of the atoms are truth values, a fifth cuts of numbers, two each, a fifth words of enums, four each.
static void add_atoms(struct policy *p, uint32_t atoms)
{
    static const char *const words[] = {"code", "law", "health", "chat"};
    char name[16];
    for (uint32_t i = 0; i < atoms; i++) {
        enum signal_type type = i < atoms * 3 / 5   ? SIGNAL_BOOL
                                : i < atoms * 4 / 5 ? SIGNAL_NUMBER
                                                    : SIGNAL_ENUM;
        bool again = (type == SIGNAL_NUMBER && i % 2) || (type == SIGNAL_ENUM && i % 4);
        snprintf(name, sizeof name, "s%u", i);
        int32_t s = again ? (int32_t)p->b.signal_count - 1 : ib_signal(&p->b, name, type);
        if (type == SIGNAL_ENUM && !again)
            p->b.signals[s].words = ib_words(&p->b, words, 4);
        if (type == SIGNAL_BOOL)
            ib_atom(&p->b, s, IMAGE_OP_TRUE, 0, name);
        else if (type == SIGNAL_NUMBER)
            ib_atom(&p->b, s, IMAGE_OP_GT, 0.3 + i % 2 * 0.4, name);
        else
            ib_atom(&p->b, s, IMAGE_OP_EQ, i % 4, name);
    }
}

static uint32_t literal(struct image_node *nodes, uint32_t k, uint32_t atoms)
{
    if (below(4) == 0)
        nodes[k++] = (struct image_node){IMAGE_NODE_NOT, 0, 2};
    nodes[k++] = (struct image_node){IMAGE_NODE_ATOM, below(atoms), 1};
    return k;
}

static uint32_t rule(struct image_node *nodes, uint32_t atoms)
{
    uint32_t n = 3 + below(4), k = 1;
    bool inner = below(5) == 0;
    for (uint32_t i = inner ? 1 : 0; i < n; i++)
        k = literal(nodes, k, atoms);
    if (inner) {
        uint32_t at = k++;
        for (int i = 0; i < 3; i++)
            k = literal(nodes, k, atoms);
        nodes[at] = (struct image_node){IMAGE_NODE_OR, 3, k - at};
    }
    nodes[0] = (struct image_node){IMAGE_NODE_AND, n, k};
    return k;
}

static void add_constraints(struct policy *p, uint32_t atoms)
{
    struct image_node nodes[32];
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    for (int i = 0; i < 6; i++) {
        uint32_t n = i % 2 ? rule(nodes, atoms) : 0;
        struct image_constraint *c = ib_constraint(&p->b, names[i],
                                                   i == 4   ? IMAGE_BUDGET
                                                   : i == 5 ? IMAGE_REQUIRE
                                                            : IMAGE_FORBID,
                                                   nodes, n);
        c->target = i < 2 ? IMAGE_FORBID_ZONE : IMAGE_FORBID_MODEL;
        c->index = i < 2 ? 1 : i;
        c->step = IMAGE_STEP_VERIFY;
        c->unit = IMAGE_UNIT_NUSD;
        c->limit = 1000000000;
        c->hard = true;
    }
}

static void draw(struct policy *p, struct fact *facts)
{
    for (uint32_t i = 0; i < p->image->signals.count; i++) {
        enum signal_type type = image_signal(p->image, (int32_t)i)->type;
        facts[i] = (struct fact){.state = FACT_KNOWN, .probability = 1};
        facts[i].number = type == SIGNAL_BOOL     ? below(10) < 3
                          : type == SIGNAL_NUMBER ? rng_unit(&rng)
                                                  : below(4);
    }
}

static struct decision *decide(struct policy *p, const struct fact *facts)
{
    struct route_run run;
    int32_t s;
    const struct route_options options = {.given = facts};
    if (route_begin(&run, p->table, &p->work, NULL, &options, &p->run) ||
        route_step(&run, &s) != ROUTE_DECIDED)
        die("not decided");
    return run.decision;
}

// Of some random facts those that match latest.
static void deepest(struct policy *p, struct fact *facts)
{
    struct fact drawn[SIGNALS_MAX];
    int32_t best = -1;
    for (int i = 0; i < DRAWN; i++) {
        draw(p, drawn);
        arena_reset(&p->run);
        int32_t route = decide(p, drawn)->route;
        p->reached += route;
        p->drawn++;
        if (route <= best)
            continue;
        best = route;
        memcpy(facts, drawn, sizeof drawn);
    }
    p->depth += best;
}

static void open_policy(struct policy *p, uint32_t atoms, uint32_t rules)
{
    struct image_node nodes[32];
    char name[16];
    ib_init(&p->b);
    ib_zone(&p->b, "house");
    ib_zone(&p->b, "cloud");
    for (uint32_t i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "m%u", i);
        struct image_model *m = ib_model(&p->b, name);
        m->zone = i % 2 ? 1 : 0;
        m->context_tok = 32000;
        m->output_tok = 2000;
        m->priced = true;
        m->price_in_nusd = m->price_out_nusd = (4 - i) * 100000000;
    }
    add_atoms(p, atoms);
    const struct image_binding all[] = {{0, 0}, {1, 0}, {2, 0}, {3, 0}};
    for (uint32_t i = 0; i <= rules; i++) {
        uint32_t n = i < rules ? rule(nodes, atoms) : 0;
        snprintf(name, sizeof name, "r%u", i);
        ib_route(&p->b, name, nodes, n, ib_answer(&p->b, all, 4))->objective = IMAGE_OBJECTIVE_COST;
    }
    add_constraints(p, atoms);
    p->image = ib_finish(&p->b);
    p->costs = (struct route_costs){.own_ns = p->own, .group = p->group};
    p->work = (struct work){.choices = 1, .input_tok = 400, .anchor = WORK_NO_ANCHOR};
    arena_init(&p->arena, 1 << 18, 1 << 26);
    arena_init(&p->run, 1 << 18, 1 << 26);
    buf_init(&p->out, 1 << 20);
    if (route_table_open(p->image, &p->costs, &p->arena, &p->table))
        die("no table");
    for (uint32_t w = 0; w < WORKS; w++)
        deepest(p, p->facts[w]);
}

static void close_policy(struct policy *p)
{
    arena_deinit(&p->arena);
    arena_deinit(&p->run);
    buf_deinit(&p->out);
    ib_deinit(&p->b);
}

static double once(struct policy *p, bool recorded)
{
    double begin = now_ns();
    for (unsigned k = 0; k < REPEAT; k++) {
        arena_reset(&p->run);
        const struct decision *d = decide(p, p->facts[k % WORKS]);
        if (!recorded)
            continue;
        buf_reset(&p->out);
        record_compact(d, &p->out);
    }
    return (now_ns() - begin) / REPEAT;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

enum { SMALL, LARGE, SMALL_LOG, LARGE_LOG, FIGURES };

int main(void)
{
    static struct policy p[2];
    static double times[FIGURES][ROUNDS];
    static const struct {
        const char *name, *shown;
    } figures[FIGURES] = {
        {"decide_40x100_us", "40 atoms, 100 rules"},
        {"decide_100x400_us", "100 atoms, 400 rules"},
        {"decide_logged_40x100_us", "40 atoms, 100 rules, with the log's line"},
        {"decide_logged_100x400_us", "100 atoms, 400 rules, with the log's line"},
    };
    rng_seed(&rng, 11);
    open_policy(&p[0], 40, 100);
    open_policy(&p[1], 100, 400);
    for (int f = 0; f < FIGURES; f++)
        once(&p[f % 2], f >= SMALL_LOG);
    uint64_t before = alloc_count();
    for (int r = 0; r < ROUNDS; r++)
        for (int f = 0; f < FIGURES; f++)
            times[f][r] = once(&p[f % 2], f >= SMALL_LOG);
    uint64_t allocations = alloc_count() - before;
    printf("%-44s %10s %10s %10s\n", "", "median us", "10 %", "90 %");
    for (int f = 0; f < FIGURES; f++) {
        qsort(times[f], ROUNDS, sizeof(double), by_value);
        printf("%-44s %10.3f %10.3f %10.3f\n", figures[f].shown, times[f][ROUNDS / 2] / 1e3,
               times[f][ROUNDS / 10] / 1e3, times[f][ROUNDS - 1 - ROUNDS / 10] / 1e3);
    }
    for (int i = 0; i < 2; i++)
        printf("rules looked at until one matches: %.0f in the mean, %.0f of those measured\n",
               (double)p[i].reached / (double)p[i].drawn + 1, (double)p[i].depth / WORKS + 1);
    printf("{\"figures\": {");
    for (int f = 0; f < FIGURES; f++)
        printf("\"%s\": %.3f, ", figures[f].name, times[f][ROUNDS / 2] / 1e3);
    printf("\"rules_allocations\": %llu}}\n", (unsigned long long)allocations);
    close_policy(&p[0]);
    close_policy(&p[1]);
    return allocations != 0;
}
