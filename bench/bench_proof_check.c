// The whole check of random policies: how long it takes, how much of it is decided, how much memory it needs.
//
//   bench_proof_check            a table, then one line of JSON
//   bench_proof_check ATOMS RULES [SEED]   one policy, with its findings counted; ATOMS RULES SEED text prints it
//
// Random rules are the adverse case: one to four literals over independent atoms, a quarter negated, a fifth widened by an
// `or`, six groups of atoms that exclude each other, effects drawn among five; a label over some atoms, two zones, and
// constraints about both. Times are CPU time from the policy's text to all findings of all passes, their requests and the
// report; the median over the policies of the smallest of three runs each.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "policy/policy.h"
#include "proof/check.h"
#include "signal/registry.h"

enum { GROUPS = 6, POLICIES = 9, RUNS = 3, ARENA = 256 << 20 };

struct result_of {
    double ms;
    double decided, route_decided;
    uint64_t questions, conflicts, propagations;
    unsigned vacuous, shadowed, redundant, open, idle, findings, not_proved;
};

static void die(const char *why)
{
    fprintf(stderr, "bench_proof_check: %s\n", why);
    exit(2);
}

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

// ---- policies

static void put_atom(struct buf *b, unsigned atoms, unsigned v, bool negated)
{
    unsigned size = atoms / (GROUPS * 2), group = v / size;
    if (group % 2 == 0 && group / 2 < GROUPS)
        buf_printf(b, "g%u %s \"w%u\"", group / 2, negated ? "!=" : "==", v % size);
    else
        buf_printf(b, "%sk%u", negated ? "not " : "", v);
}

// One that the rule does not name yet: the compiler folds `a and not a` before any check.
static unsigned draw(struct rng *rng, unsigned atoms, unsigned *used, unsigned *n)
{
    for (;;) {
        unsigned v = (unsigned)rng_below(rng, atoms), i = 0;
        while (i < *n && used[i] != v)
            i++;
        if (i == *n)
            return used[(*n)++] = v;
    }
}

static void put_rule(struct buf *b, struct rng *rng, unsigned atoms, unsigned i)
{
    static const char *const effects[] = {"answer(m0)", "answer(m1)", "answer(m0, m1)",
                                          "answer(m2)", "refuse \"no\""};
    unsigned literals = 1 + (unsigned)rng_below(rng, 4), used[8], n = 0;
    buf_printf(b, "route r%u when ", i);
    for (unsigned k = 0; k < literals; k++) {
        unsigned v = draw(rng, atoms, used, &n);
        bool negated = rng_below(rng, 4) == 0, wide = rng_below(rng, 5) == 0;
        buf_cstr(b, k ? " and " : "");
        buf_cstr(b, wide ? "(" : "");
        put_atom(b, atoms, v, negated);
        if (wide) {
            BUF_LIT(b, " or ");
            put_atom(b, atoms, draw(rng, atoms, used, &n), false);
            BUF_LIT(b, ")");
        }
    }
    buf_printf(b, " -> %s\n", effects[rng_below(rng, MERIT_COUNT(effects))]);
}

static void make_policy(struct buf *b, unsigned atoms, unsigned rules, uint64_t seed)
{
    struct rng rng;
    rng_seed(&rng, seed);
    buf_reset(b);
    buf_printf(b, "policy \"random\" version 1\nlattice exposure = public < internal < secret\n"
                  "zone house clears secret\nzone cloud clears internal\n");
    for (int i = 0; i < 3; i++)
        buf_printf(b,
                   "model m%d zone %s endpoint demo context 8k tok output 1k tok "
                   "price 0.1 in, 0.4 out usd/Mtok energy 40 in, 300 out kJ/Mtok timeout 60 s\n",
                   i, i == 1 ? "cloud" : "house");
    for (unsigned i = 0; i < GROUPS; i++)
        buf_printf(b, "signal g%u = metadata(\"g%u\")\n", i, i);
    for (unsigned v = 0; v < atoms; v++) {
        unsigned group = v / (atoms / (GROUPS * 2));
        if (group % 2 || group / 2 >= GROUPS)
            buf_printf(b, "signal k%u = keywords(\"word %u\")\n", v, v);
    }
    unsigned size = atoms / (GROUPS * 2); // every other block of so many is no group's
    buf_printf(
        b,
        "signal data label exposure = max(secret when k%u, internal when k%u or g1 == \"w1\") "
        "on_error secret\n"
        "forbid zone below data as \"no way down\"\n"
        "forbid model m2 when k%u and g2 == \"w0\" as \"not that one\"\n"
        "forbid zone cloud when not k%u and g3 != \"w1\" as \"at home\"\n",
        size, size * 3, size * 5, size * 7);
    for (unsigned i = 0; i < rules; i++) {
        // One that can never hold is planted.
        if (i == rules - 3)
            buf_printf(b, "route r%u when g0 == \"w0\" and g0 == \"w1\" -> answer(m0)\n", i);
        else
            put_rule(b, &rng, atoms, i);
    }
    buf_printf(b, "otherwise -> answer(m2)\n");
}

// ---- one check

static void check(struct slice text, struct result_of *r)
{
    struct arena arena;
    struct diag_list diags;
    const struct tree *tree;
    const struct policy_image *image;
    const struct policy_places *places;
    struct proof_report whole;
    arena_init(&arena, 1 << 20, ARENA);
    diag_init(&diags, &arena, 10000);
    double begin = cpu_ms();
    if (policy_parse(text, &arena, &diags, &tree) ||
        policy_compile_places(tree, &signal_registry, &arena, &diags, &image, &places)) {
        struct buf out;
        buf_init(&out, 1 << 20);
        diag_render(&diags, text, SLICE("random.merit"), false, &out);
        fprintf(stderr, "%.*s", SLICE_FMT(buf_slice(&out)));
        die("a policy does not compile");
    }
    const struct proof_options options = {
        .places = places, .registry = &signal_registry, .report = true, .notes = true};
    if (proof_check(image, &options, &arena, &diags, &whole))
        die("no memory");
    const struct order_report report = whole.order;
    *r = (struct result_of){.ms = cpu_ms() - begin,
                            .decided = (double)report.decided / (double)report.questions,
                            .route_decided =
                                ((double)report.route_decided - (double)whole.not_proved) /
                                (double)report.route_questions,
                            .questions = whole.effort.questions + report.questions,
                            .conflicts = whole.effort.conflicts,
                            .propagations = whole.effort.propagations,
                            .idle = report.idle_count,
                            .findings = diags.count + diags.dropped,
                            .not_proved = whole.not_proved};
    for (uint32_t i = 0; i < image->routes.count; i++) {
        r->vacuous += report.routes[i].status == ORDER_VACUOUS;
        r->shadowed += report.routes[i].status == ORDER_SHADOWED;
        r->open += report.routes[i].status == ORDER_OPEN;
        r->redundant += report.routes[i].effect == ORDER_REDUNDANT;
    }
    arena_deinit(&arena);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void measure(unsigned atoms, unsigned rules, double *ms, double *decided)
{
    struct buf text;
    double times[POLICIES];
    *decided = 1;
    buf_init(&text, 1 << 24);
    for (uint64_t seed = 0; seed < POLICIES; seed++) {
        struct result_of r;
        make_policy(&text, atoms, rules, seed + 1);
        for (int run = 0; run < RUNS; run++) {
            check(buf_slice(&text), &r);
            times[seed] = run && times[seed] < r.ms ? times[seed] : r.ms;
        }
        // The worst of all policies, and of a policy the worse of all questions and of those about single routes.
        double worse = r.decided < r.route_decided ? r.decided : r.route_decided;
        *decided = worse < *decided ? worse : *decided;
        printf("%4u x %-4u %2llu %9.1f ms %9llu questions, %8llu conflicts, decided %.4f / %.4f; "
               "vacuous %u, shadowed %u, redundant %u, idle %u, not proved %u\n",
               atoms, rules, (unsigned long long)seed + 1, times[seed],
               (unsigned long long)r.questions, (unsigned long long)r.conflicts, r.route_decided,
               r.decided, r.vacuous, r.shadowed, r.redundant, r.idle, r.not_proved);
    }
    qsort(times, POLICIES, sizeof *times, by_value);
    *ms = times[POLICIES / 2];
    buf_deinit(&text);
}

int main(int argc, char **argv)
{
    double ms[2], decided[2];
    struct rusage usage;
    if (argc > 2) {
        struct buf text;
        struct result_of r;
        buf_init(&text, 1 << 24);
        make_policy(&text, (unsigned)atoi(argv[1]), (unsigned)atoi(argv[2]),
                    argc > 3 ? strtoull(argv[3], NULL, 10) : 1);
        if (argc > 4) {
            printf("%.*s", SLICE_FMT(buf_slice(&text)));
            return 0;
        }
        check(buf_slice(&text), &r);
        printf(
            "%.1f ms, %llu questions, %llu conflicts, %llu propagations, decided %.4f / %.4f, "
            "vacuous %u, shadowed %u, redundant %u, open %u, idle %u; findings %u, not proved %u\n",
            r.ms, (unsigned long long)r.questions, (unsigned long long)r.conflicts,
            (unsigned long long)r.propagations, r.route_decided, r.decided, r.vacuous, r.shadowed,
            r.redundant, r.open, r.idle, r.findings, r.not_proved);
        return 0;
    }
    measure(40, 200, &ms[0], &decided[0]);
    measure(100, 400, &ms[1], &decided[1]);
    if (getrusage(RUSAGE_SELF, &usage))
        die("no figures of memory");
    printf("{\"check_40x200_ms\": %.2f, \"check_100x400_ms\": %.2f, \"decided_40x200\": %.4f, "
           "\"decided_100x400\": %.4f, \"check_rss_mb\": %.1f}\n",
           ms[0], ms[1], decided[0], decided[1], (double)usage.ru_maxrss / 1024);
    return 0;
}
