// What buying signals on demand saves: expected signal cost per request against computing all signals, and against
// asking from left to right with short circuits. One pass of an artifact is counted once in all three.
//
//   bench_route_lazy random POLICIES          a line of JSON per size
//   bench_route_lazy policy FILE TEXTS        one for that policy; TEXTS has a chat body per line
//
// Random policies: rules of one to five literals over atoms of five cost classes (1 us, 50 us, 2 ms, 8 ms, 60 ms), which
// hold with probabilities between 0.05 and 0.35; a quarter of the literals is negated.
//
// Real policies: every signal of every text is computed once, with what it and the encoder's passes cost; the three orders
// are then walked over these facts. Left to right asks as the file stands: guards of routes with short circuits, the terms
// of derived signals in order, and the constraints' guards unless the route refuses anyway. On demand is what a server
// does, the signals computed beside a wait included.
//
// The statistics are learned as a server learns them: from what was asked of other texts while an earlier epoch was
// served, nothing else.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../tests/support/image_builder.h"
#include "api/decider.h"
#include "api/measured.h"
#include "api/openai_request.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/rng.h"
#include "cli/encoders.h"
#include "policy/policy.h"
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
        p->own[i] = q < .5    ? 1000
                    : q < .7  ? 50000
                    : q < .85 ? 2000000
                    : q < .97 ? 8000000
                              : 60000000;
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
        if (!r->guard.count ||
            ltr_node(p, IMAGE_AT(p->image, r->guard, struct image_node), held, bought, &ns))
            break;
    }
    return ns;
}

// --- random policies

static void learn(struct policy *p)
{
    struct counts c = {0};
    bool held[SIGNALS_MAX];
    uint64_t ignored = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int w = 0; w < LEARN; w++) {
            draw(p, held);
            lazy(p, held, &c, &ignored);
        }
        for (uint32_t s = 0; s < p->image->signals.count; s++)
            p->holds[s] = (uint16_t)(65536.0 * (c.held[s] + 1) / (c.asked[s] + 2));
        p->costs.holds = p->holds;
    }
}

static void random_policies(uint32_t policies)
{
    static struct policy p;
    static const uint32_t sizes[][2] = {{24, 40}, {40, 100}, {60, 200}, {100, 400}};
    for (size_t z = 0; z < MERIT_COUNT(sizes); z++) {
        double cpu = 0;
        uint64_t buys = 0;
        rng_seed(&rng, 7);
        printf("{\"atoms\":%u,\"rules\":%u,\"policies\":[", sizes[z][0], sizes[z][1]);
        for (uint32_t i = 0; i < policies; i++) {
            double on_demand = 0, in_order = 0, all = 0;
            bool held[SIGNALS_MAX];
            make_policy(&p, sizes[z][0], sizes[z][1]);
            learn(&p);
            for (uint32_t s = 0; s < sizes[z][0]; s++)
                all += p.own[s];
            for (int w = 0; w < WORKS; w++) {
                draw(&p, held);
                in_order += left_to_right(&p, held);
                double begin = now_ns();
                on_demand += lazy(&p, held, NULL, &buys);
                cpu += now_ns() - begin;
            }
            printf("%s[%.6g,%.6g,%.6g]", i ? "," : "", all, in_order / WORKS, on_demand / WORKS);
            arena_deinit(&p.arena);
            arena_deinit(&p.run);
            ib_deinit(&p.b);
        }
        printf("],\"buys\":%.2f,\"decide_us\":%.3f,\"buy_us\":%.3f}\n",
               (double)buys / ((double)policies * WORKS), cpu / ((double)policies * WORKS) / 1e3,
               cpu / (double)buys / 1e3);
    }
}

// --- real policies

enum { TEXTS_MAX = 4096, PASSES = ROUTE_GROUPS };

// What one text says to each signal, and what that costs.
struct seen {
    struct work work;
    struct openai_request request;
    struct fact *facts; // FACT_KNOWN or FACT_FAILED; cost_ns is the signal's own
    bool *needs;        // its group's artifact
    uint64_t pass_ns[PASSES];
    bool twins; // a text of one window: what was read for its pieces is remembered for its meaning
};

struct real {
    struct decider decider;
    struct plan_scratch *scratch;
    struct encoders encoders;
    struct arena keep, run;
    struct measured *measured;
    struct seen *texts[TEXTS_MAX];
    uint32_t count;
};

static uint64_t thread_ns(void *ctx)
{
    (void)ctx;
    return (uint64_t)now_ns();
}

static void see_signal(struct real *r, struct plan_run *run, struct seen *t, int32_t s)
{
    uint8_t group = r->decider.costs.group[s];
    struct fact *f = &t->facts[s];
    uint64_t pass_us = 0;
    while (!plan_compute(run, s, f)) {
        struct trunk_ask *asks = plan_asks(run);
        r->decider.trunk->answer(r->decider.trunk->ctx, asks, &r->keep);
        for (struct trunk_ask *a = asks; a; a = a->next)
            if (!a->used) {
                pass_us += a->answer.cost_us;
                t->twins |= a->answer.remembered && a->model == TRUNK_EMBED;
            }
    }
    t->needs[s] = group && f->share != FACT_SHARE_NONE;
    uint64_t pass = group >= ROUTE_GROUP_PASS ? pass_us * 1000 : t->needs[s] ? f->cost_ns : 0;
    if (f->share == FACT_SHARE_MADE) {
        if (group == ROUTE_GROUP_SCAN)
            pass = f->cost_ns > 50 ? f->cost_ns - 50 : 0;
        t->pass_ns[group] += pass;
        f->cost_ns = f->cost_ns > pass ? f->cost_ns - (uint32_t)pass : 1;
    }
}

static void see(struct real *r, struct seen *t)
{
    static const struct plan_clock clock = {thread_ns, NULL};
    const struct policy_image *p = r->decider.image;
    t->facts = ARENA_ARRAY(&r->keep, struct fact, p->signals.count + 1);
    t->needs = ARENA_ARRAY(&r->keep, bool, p->signals.count + 1);
    struct plan_run *run = plan_begin(r->decider.plan, r->scratch, &t->work, &r->keep, &clock);
    if (!t->facts || !t->needs || !run)
        die("no memory");
    for (uint32_t s = 0; s < p->signals.count; s++)
        if (plan_family(r->decider.plan, (int32_t)s))
            see_signal(r, run, t, (int32_t)s);
}

// Groups whose pass is the same one for this text.
static uint32_t groups_of(const struct seen *t, uint8_t group)
{
    enum {
        ANCHOR = ROUTE_GROUP_PASS + SIGNAL_PASS_ANCHOR,
        PIECES = ROUTE_GROUP_PASS + SIGNAL_PASS_PIECES
    };
    return t->twins && (group == ANCHOR || group == PIECES) ? 1u << ANCHOR | 1u << PIECES
                                                            : 1u << group;
}

static uint64_t pass_of(const struct seen *t, uint8_t group)
{
    uint64_t most = 0;
    for (uint8_t g = 1; g < PASSES; g++)
        if (groups_of(t, group) >> g & 1 && t->pass_ns[g] > most)
            most = t->pass_ns[g];
    return most;
}

struct account {
    const struct real *r;
    const struct seen *t;
    bool bought[SIGNALS_MAX];
    uint32_t paid;
    double ns;
};

static void pay(struct account *a, int32_t s)
{
    uint8_t group = a->r->decider.costs.group[s];
    if (a->bought[s])
        return;
    a->bought[s] = true;
    a->ns += a->t->facts[s].cost_ns;
    if (a->t->needs[s] && !(a->paid >> group & 1)) {
        a->paid |= groups_of(a->t, group);
        a->ns += (double)pass_of(a->t, group);
    }
}

static double all_of(const struct real *r, const struct seen *t)
{
    struct account a = {.r = r, .t = t};
    for (uint32_t s = 0; s < r->decider.image->signals.count; s++)
        if (plan_family(r->decider.plan, (int32_t)s))
            pay(&a, (int32_t)s);
    return a.ns;
}

// Left to right needs the values of derived signals: those of a run that was given everything.
static bool walk(struct account *a, const struct decision *whole, const struct image_node *n);

static void walk_signal(struct account *a, const struct decision *whole, int32_t s)
{
    const struct policy_image *p = a->r->decider.image;
    const struct image_signal *def = image_signal(p, s);
    if (def->derive == IMAGE_DERIVE_NONE) {
        pay(a, s);
        return;
    }
    if (a->bought[s])
        return;
    a->bought[s] = true;
    for (uint32_t i = 0; i < def->terms.count; i++) {
        const struct image_term *t = IMAGE_AT(p, def->terms, struct image_term) + i;
        if (t->signal != IMAGE_NONE)
            walk_signal(a, whole, t->signal);
        // At the top of its lattice a label cannot rise.
        if (t->guard.count && walk(a, whole, IMAGE_AT(p, t->guard, struct image_node)) &&
            def->derive == IMAGE_DERIVE_LABEL && t->word + 1 == def->words.count)
            return;
    }
}

static bool walk(struct account *a, const struct decision *whole, const struct image_node *n)
{
    const struct policy_image *p = a->r->decider.image;
    if (n->kind == IMAGE_NODE_TRUE)
        return true;
    if (n->kind == IMAGE_NODE_NOT)
        return !walk(a, whole, n + 1);
    if (n->kind == IMAGE_NODE_ATOM) {
        const struct image_atom *atom = IMAGE_AT(p, p->atoms, struct image_atom) + n->arg;
        walk_signal(a, whole, atom->signal);
        return route_atom_holds(p, atom, &whole->facts[atom->signal]);
    }
    const struct image_node *child = n + 1;
    for (uint32_t i = 0; i < n->arg; i++, child += child->size)
        if (walk(a, whole, child) != (n->kind == IMAGE_NODE_AND))
            return n->kind == IMAGE_NODE_OR;
    return n->kind == IMAGE_NODE_AND;
}

static bool only_refuses(const struct policy_image *p, const struct image_route *r)
{
    const struct image_chain *c = image_chains(p, r);
    return c->steps.count == 1 &&
           IMAGE_AT(p, c->steps, struct image_step)->kind == IMAGE_STEP_REFUSE;
}

static double in_order_of(struct real *r, const struct seen *t)
{
    const struct policy_image *p = r->decider.image;
    struct account a = {.r = r, .t = t};
    struct route_options options = {.given = t->facts, .all_steps = true};
    struct route_run run;
    int32_t s;
    arena_reset(&r->run);
    if (route_begin(&run, r->decider.table, &t->work, NULL, &options, &r->run) ||
        route_step(&run, &s) != ROUTE_DECIDED)
        die("all is given, and it is not decided");
    uint32_t i = 0;
    for (; i < p->routes.count; i++) {
        const struct image_route *route = image_route(p, (int32_t)i);
        if (!route->guard.count ||
            walk(&a, run.decision, IMAGE_AT(p, route->guard, struct image_node)))
            break;
    }
    if ((int32_t)i != run.decision->route)
        die("left to right finds another route");
    const struct image_constraint *c = IMAGE_AT(p, p->constraints, struct image_constraint);
    for (uint32_t k = 0; k < p->constraints.count && !only_refuses(p, image_route(p, (int32_t)i));
         k++)
        if (c[k].guard.count)
            walk(&a, run.decision, IMAGE_AT(p, c[k].guard, struct image_node));
    return a.ns;
}

static void feed(struct account *a, struct route_run *run, int32_t s)
{
    uint8_t group = a->r->decider.costs.group[s];
    struct fact f = a->t->facts[s];
    f.share = !a->t->needs[s]        ? FACT_SHARE_NONE
              : a->paid >> group & 1 ? FACT_SHARE_USED
                                     : FACT_SHARE_MADE;
    double before = a->ns;
    pay(a, s);
    f.cost_ns = (uint32_t)(a->ns - before);
    route_feed(run, s, &f);
}

static double on_demand_of(struct real *r, const struct seen *t, const struct route_costs *costs,
                           bool count)
{
    struct account a = {.r = r, .t = t};
    struct route_options options = {.costs = costs, .all_steps = true};
    struct route_run run;
    int32_t s, asked = IMAGE_NONE, beside[ROUTE_BESIDE_MAX];
    arena_reset(&r->run);
    if (route_begin(&run, r->decider.table, &t->work, NULL, &options, &r->run))
        die("no memory");
    while (route_step(&run, &s) == ROUTE_NEED) {
        uint8_t group = r->decider.costs.group[s];
        bool waits = group >= ROUTE_GROUP_PASS && t->needs[s] && !(a.paid >> group & 1);
        uint32_t n = waits && s != asked ? route_beside(&run, s, beside) : 0, fed = 0;
        asked = s;
        // What needs no pass comes first, and may spare it; heads of the pass come with it.
        for (uint32_t i = 0; i < n; i++)
            if (!t->needs[beside[i]] || r->decider.costs.group[beside[i]] < ROUTE_GROUP_PASS) {
                feed(&a, &run, beside[i]);
                fed++;
            }
        if (fed)
            continue;
        feed(&a, &run, s);
        for (uint32_t i = 0; i < n; i++)
            if (t->needs[beside[i]] && r->decider.costs.group[beside[i]] == group)
                feed(&a, &run, beside[i]);
    }
    if (count)
        measured_count(r->measured, 0, &run);
    return a.ns;
}

static double price_of(const struct account *a, int32_t s)
{
    struct account b = *a;
    pay(&b, s);
    return b.ns - a->ns;
}

// The least that any order has to buy, nearly: signals are left out, the dearest first, as long as the rest decides.
static double least_of(struct real *r, const struct seen *t)
{
    const struct policy_image *p = r->decider.image;
    struct fact given[SIGNALS_MAX];
    struct account none = {.r = r, .t = t}, a = none;
    bool tried[SIGNALS_MAX] = {false};
    memcpy(given, t->facts, p->signals.count * sizeof *given);
    for (;;) {
        int32_t dearest = IMAGE_NONE, asked;
        for (uint32_t s = 0; s < p->signals.count; s++)
            if (plan_family(r->decider.plan, (int32_t)s) && !tried[s] &&
                (dearest == IMAGE_NONE || price_of(&none, (int32_t)s) > price_of(&none, dearest)))
                dearest = (int32_t)s;
        if (dearest == IMAGE_NONE)
            break;
        tried[dearest] = true;
        given[dearest].state = FACT_UNKNOWN;
        struct route_options options = {.given = given, .all_steps = true};
        struct route_run run;
        arena_reset(&r->run);
        if (route_begin(&run, r->decider.table, &t->work, NULL, &options, &r->run))
            die("no memory");
        if (route_step(&run, &asked) == ROUTE_NEED)
            given[dearest].state = t->facts[dearest].state;
    }
    for (uint32_t s = 0; s < p->signals.count; s++)
        if (plan_family(r->decider.plan, (int32_t)s) && given[s].state != FACT_UNKNOWN)
            pay(&a, (int32_t)s);
    return a.ns;
}

static void read_texts(struct real *r, const char *path)
{
    struct buf all;
    struct slice rest, line;
    struct openai_fault fault;
    buf_init(&all, 256 << 20);
    if (file_read(path, &all))
        die("cannot read the texts");
    rest = arena_copy(&r->keep, buf_slice(&all));
    while (slice_split(&rest, '\n', &line) && r->count < TEXTS_MAX) {
        struct seen *t = ARENA_NEW(&r->keep, struct seen);
        if (!line.len)
            continue;
        if (!t || openai_request_parse(line, &r->keep, &t->work, &t->request, &fault))
            die("a text is no request");
        r->texts[r->count++] = t;
    }
    buf_deinit(&all);
}

static void real_policy(const char *path, const char *texts)
{
    static struct real r;
    struct buf text, notes;
    struct arena arena;
    struct diag_list diags;
    struct measured_epoch *epoch = NULL;
    struct encoders_options asked = encoders_for_commands;
    asked.cache_bytes = 8 << 20; // as a server has it
    buf_init(&text, POLICY_BYTES_MAX);
    buf_init(&notes, 1 << 16);
    arena_init(&arena, 0, 64 << 20);
    arena_init(&r.keep, 1 << 20, (size_t)4 << 30);
    arena_init(&r.run, 1 << 18, 1 << 26);
    diag_init(&diags, &arena, 20);
    if (file_read(path, &text) || encoders_open(&r.encoders, &asked, &notes))
        die("cannot read the policy or open the encoders");
    if (decider_open(&r.decider, buf_slice(&text), r.encoders.service, DECIDER_ANY, &diags))
        die("the policy does not load");
    if (r.decider.image->signals.count > SIGNALS_MAX ||
        plan_scratch_open(r.decider.plan, &r.scratch) ||
        measured_open(&r.measured, r.decider.image, &r.decider.costs, r.encoders.service, 1))
        die("no memory");
    read_texts(&r, texts);
    for (uint32_t i = 0; i < r.count; i++)
        see(&r, r.texts[i]);
    // Odd texts teach, even ones are measured.
    for (int round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 1; i < r.count; i += 2)
            on_demand_of(&r, r.texts[i], epoch ? &epoch->costs : NULL, true);
        measured_merge(r.measured);
        measured_epoch_unref(epoch);
        if (measured_epoch(r.measured, &epoch))
            die("no memory");
    }
    double all = 0, in_order = 0, on_demand = 0, guessed = 0, least = 0;
    for (uint32_t i = 0; i < r.count; i += 2) {
        all += all_of(&r, r.texts[i]);
        in_order += in_order_of(&r, r.texts[i]);
        on_demand += on_demand_of(&r, r.texts[i], &epoch->costs, false);
        least += least_of(&r, r.texts[i]);
        guessed += on_demand_of(&r, r.texts[i], NULL, false);
    }
    double n = (r.count + 1) / 2;
    printf("{\"texts\":%u,\"models\":%s,\"all_ns\":%.6g,\"left_to_right_ns\":%.6g,"
           "\"on_demand_ns\":%.6g,\"guessed_ns\":%.6g,\"least_ns\":%.6g}\n",
           r.count, notes.len ? "false" : "true", all / n, in_order / n, on_demand / n, guessed / n,
           least / n);
    measured_epoch_unref(epoch);
    measured_close(r.measured);
    plan_scratch_close(r.scratch);
    decider_close(&r.decider);
    encoders_close(&r.encoders);
    arena_deinit(&r.keep);
    arena_deinit(&r.run);
    arena_deinit(&arena);
    buf_deinit(&text);
    buf_deinit(&notes);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "random") == 0)
        random_policies((uint32_t)atoi(argv[2]));
    else if (argc == 4 && strcmp(argv[1], "policy") == 0)
        real_policy(argv[2], argv[3]);
    else
        die("random POLICIES | policy FILE TEXTS");
    return 0;
}
