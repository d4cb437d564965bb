// Claims of thousands of random policies against a naive interpreter that tries every request there is: proved exactly
// when no request breaks the claim; and every witness breaks it, however the signals that it leaves out turn out, and is
// routed as it says by the router itself.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "policy/policy.h"
#include "proof/theorem.h"
#include "signal/registry.h"
#include "support/proof_paths.h"
#include "support/theorem_make.h"

enum { POLICIES = 1800 };

// ---- what a request does

struct way_run {
    struct walk_way way;
    bool enters, by_routes, pass;
    bool tried[64];
};

struct all_ways {
    struct way_run at[WALK_WAYS];
    uint32_t count;
};

static void run_ways(const struct walk *w, struct all_ways *all)
{
    struct walk_way ways[WALK_WAYS];
    const struct image_pass *pass = IMAGE_AT(w->p, w->p->passes, struct image_pass);
    all->count = walk_ways(w->p, ways);
    for (uint32_t i = 0; i < all->count; i++)
        all->at[i] = (struct way_run){.way = ways[i], .by_routes = ways[i].guarded};
    for (uint32_t i = 0; i < w->p->passes.count; i++)
        all->at[all->count++] = (struct way_run){
            .way = {.named = {pass[i].model, IMAGE_EFFORT_DEFAULT}, .count = 1}, .pass = true};
    for (uint32_t i = 0; i < all->count; i++) {
        struct way_run *r = &all->at[i];
        bool bare[64], whole[64], ended = false;
        r->enters = walk_enters(w, &r->way);
        walk_feasible(w, &r->way, bare, whole);
        for (uint32_t c = 0; c < r->way.count; c++) {
            struct walk_chain chain = walk_chain_at(w, &r->way, c);
            r->tried[c] = r->enters && whole[c] && !ended;
            ended |= r->tried[c] && chain.count == 1 && chain.steps[0].kind == IMAGE_STEP_REFUSE;
        }
    }
}

static bool in_list(const struct walk *w, const struct image_claim *c, int32_t i)
{
    const struct image_index *at = IMAGE_AT(w->p, c->list, struct image_index);
    for (uint32_t k = 0; k < c->list.count; k++)
        if (at[k].index == i)
            return true;
    return false;
}

static bool asks_elsewhere(const struct walk *w, const struct image_claim *c,
                           const struct walk_chain *chain)
{
    for (uint32_t i = 0; i < chain->count; i++) {
        uint32_t n;
        const struct image_binding *b = walk_bindings(w, chain, i, &n);
        for (uint32_t k = 0; k < n && walk_asks(&chain->steps[i]); k++) {
            int32_t of =
                c->kind == IMAGE_CLAIM_ZONE ? image_model(w->p, b[k].model)->zone : b[k].model;
            if (walk_binding_ok(w, chain, i, k) && in_list(w, c, of) == c->negated)
                return true;
        }
    }
    return false;
}

static bool chain_passes(const struct walk_chain *c, enum image_step_kind step)
{
    const struct image_constraint like = {.kind = IMAGE_REQUIRE, .step = step, .sink = IMAGE_NONE};
    return !walk_misses(c, &like);
}

static bool is_target(const struct walk *w, const struct image_claim *c, int32_t model,
                      int32_t sink)
{
    int32_t zone = model >= 0 ? image_model(w->p, model)->zone
                              : IMAGE_AT(w->p, w->p->sinks, struct image_sink)[sink].zone;
    return c->target == IMAGE_FORBID_MODEL  ? model >= 0 && model == c->index
           : c->target == IMAGE_FORBID_SINK ? sink >= 0 && sink == c->index
                                            : zone == c->index;
}

// Whether the chain shows the target something of at least the claim's level.
static bool shows(const struct walk *w, const struct image_claim *c, const struct walk_chain *chain,
                  bool pass)
{
    const struct image_sink *sinks = IMAGE_AT(w->p, w->p->sinks, struct image_sink);
    uint32_t label = pass ? walk_top(w, (uint32_t)c->lattice) : walk_label(w, (uint32_t)c->lattice);
    bool seen = false;
    for (uint32_t i = 0; i < chain->count; i++) {
        const struct image_step *s = &chain->steps[i];
        uint32_t n;
        const struct image_binding *b = walk_bindings(w, chain, i, &n);
        for (uint32_t k = 0; k < n; k++)
            seen |= label >= c->level && is_target(w, c, b[k].model, IMAGE_NONE) &&
                    walk_binding_ok(w, chain, i, k);
        seen |= label >= c->level && s->sink >= 0 && is_target(w, c, IMAGE_NONE, s->sink);
        if (s->kind == IMAGE_STEP_REDACT && s->level < label)
            label = s->level;
        if (s->kind == IMAGE_STEP_RETRIEVE && sinks[s->sink].holds.level[c->lattice] > label)
            label = sinks[s->sink].holds.level[c->lattice];
    }
    for (uint32_t i = 0; i < chain->count; i++)
        seen |= chain->steps[i].kind == IMAGE_STEP_CACHE && label >= c->level &&
                !walk_ends(chain, IMAGE_STEP_REFUSE) &&
                is_target(w, c, IMAGE_NONE, chain->steps[i].sink);
    return seen;
}

// What the request can cost at most this way.
static int64_t costs(const struct walk *w, const struct way_run *r, enum image_unit unit)
{
    int64_t sum = 0;
    for (uint32_t c = 0; c < r->way.count; c++) {
        struct walk_chain chain = walk_chain_at(w, &r->way, c);
        for (uint32_t i = 0; i < chain.count && r->tried[c]; i++) {
            uint32_t n;
            const struct image_binding *b = walk_bindings(w, &chain, i, &n);
            int64_t most = 0;
            for (uint32_t k = 0; k < n; k++) {
                struct way_amount a = way_binding_bound(w->p, &chain.steps[i], &b[k]).unit[unit];
                if (walk_binding_ok(w, &chain, i, k))
                    most = a.open ? INT64_MAX / 1024 : a.value > most ? a.value : most;
            }
            if (n == 0 && chain.steps[i].sink >= 0) {
                struct way_amount a = way_sink_bound(w->p, &chain.steps[i]).unit[unit];
                most = a.open ? INT64_MAX / 1024 : a.value;
                most *= chain.steps[i].kind == IMAGE_STEP_CACHE && !a.open ? 2 : 1;
            }
            sum += most;
        }
    }
    return sum;
}

static bool kept_by_budget(const struct walk *w, const struct image_claim *c)
{
    for (uint32_t i = 0; i < w->p->constraints.count; i++) {
        const struct image_constraint *b = walk_constraint(w, i);
        if (b->kind == IMAGE_BUDGET && b->hard && b->unit == c->unit && b->limit <= c->limit &&
            walk_active(w, i))
            return true;
    }
    return false;
}

static bool way_breaks(const struct walk *w, const struct image_claim *c, const struct way_run *r)
{
    bool served = false;
    if (c->kind == IMAGE_CLAIM_COSTS)
        return !kept_by_budget(w, c) && costs(w, r, c->unit) > c->limit;
    for (uint32_t k = 0; k < r->way.count; k++) {
        struct walk_chain chain = walk_chain_at(w, &r->way, k);
        if (!r->tried[k])
            continue;
        served |= walk_delivers(&chain);
        if ((c->kind == IMAGE_CLAIM_ZONE || c->kind == IMAGE_CLAIM_MODEL) &&
            asks_elsewhere(w, c, &chain))
            return true;
        if (c->kind == IMAGE_CLAIM_PASSES && walk_delivers(&chain) &&
            chain_passes(&chain, c->step) == c->negated)
            return true;
        if (c->kind == IMAGE_CLAIM_REACHES && shows(w, c, &chain, r->pass))
            return true;
    }
    if (c->kind == IMAGE_CLAIM_REFUSE)
        return served != c->negated;
    return c->kind == IMAGE_CLAIM_FEASIBLE && served == c->negated;
}

static bool breaks(const struct policy_image *p, const struct image_theorem *t,
                   const struct image_claim *c, const struct walk_request *request)
{
    const struct walk w = {p, request};
    static struct all_ways all;
    bool any = false;
    if (!walk_guard(&w, t->guard))
        return false;
    if (c->kind == IMAGE_CLAIM_NEVER)
        return true;
    run_ways(&w, &all);
    for (uint32_t i = 0; i < all.count; i++) {
        const struct way_run *r = &all.at[i];
        bool routes_only = t->is_test || c->kind == IMAGE_CLAIM_ROUTE ||
                           c->kind == IMAGE_CLAIM_REFUSE || c->kind == IMAGE_CLAIM_FEASIBLE;
        if (!r->enters || (routes_only && !r->by_routes) ||
            (r->pass && c->kind != IMAGE_CLAIM_REACHES))
            continue;
        if (c->kind == IMAGE_CLAIM_ROUTE)
            any |= (r->way.route == image_route(p, c->index)) == c->negated;
        else
            any |= way_breaks(&w, c, r);
    }
    return any;
}

// ---- all requests

static bool request_at(const struct policy_image *p, uint64_t i, bool failing,
                       struct walk_request *r)
{
    memset(r, 0, sizeof *r);
    for (uint32_t k = 0; k < p->signals.count; k++) {
        const struct image_signal *s = image_signal(p, (int32_t)k);
        if (s->derive)
            continue;
        uint32_t values = s->type == SIGNAL_ENUM ? s->words.count : 2, v;
        v = (uint32_t)(i % (values + failing));
        i /= values + failing;
        bool fails = v == values;
        r->of[k] = (struct fact){.state = fails ? FACT_FAILED : FACT_KNOWN,
                                 .number = fails ? s->error_number : v};
    }
    return i == 0;
}

static void complete(const struct policy_image *p, const struct theorem_answer *a,
                     struct walk_request *r)
{
    for (uint32_t k = 0; k < p->signals.count; k++)
        if (a->facts[k].state != FACT_UNKNOWN)
            r->of[k] = a->facts[k];
}

// The router, given the witness and whatever else, takes the route that the answer names.
static void replay(const struct policy_image *p, const struct route_table *table,
                   const struct theorem_answer *a, const struct walk_request *r)
{
    const struct work work = {
        .choices = 1, .anchor = WORK_NO_ANCHOR, .input_tok = 1, .max_output_tok = 1};
    const struct route_options options = {.given = r->of, .all_steps = true, .model = a->model};
    struct arena arena;
    struct route_run run;
    int32_t signal;
    (void)p;
    if (a->route < 0)
        return;
    arena_init(&arena, 0, 16u << 20);
    assert_int_equal(route_begin(&run, table, &work, NULL, &options, &arena), RESULT_OK);
    assert_int_equal(route_step(&run, &signal), ROUTE_DECIDED);
    assert_int_equal(run.decision->route, a->route);
    arena_deinit(&arena);
}

struct tally {
    uint32_t loaded, proved, refuted, empty, replayed, by_kind[IMAGE_CLAIM_REACHES + 1][2];
};

static void check_theorem(struct theorem_prover *prover, const struct route_table *table,
                          uint32_t index, const char *text, struct tally *n)
{
    const struct policy_image *p = prover->image;
    const struct image_theorem *t = IMAGE_AT(p, p->theorems, struct image_theorem) + index;
    const struct image_claim *c = IMAGE_AT(p, t->claims, struct image_claim);
    struct theorem_answer a;
    struct walk_request r;
    bool broken = false, any = false, failing = !t->is_test;
    assert_int_equal(theorem_ask(prover, index, NULL, &a), RESULT_OK);
    bool last = true;
    for (uint64_t i = 0; last; i++) {
        last = request_at(p, i, failing, &r);
        if (!last)
            break;
        const struct walk w = {p, &r};
        any |= walk_guard(&w, t->guard);
        for (uint32_t k = 0; k < t->claims.count; k++)
            broken |= breaks(p, t, &c[k], &r);
    }
    enum theorem_verdict want = broken                                ? THEOREM_REFUTED
                                : any || c->kind == IMAGE_CLAIM_NEVER ? THEOREM_PROVED
                                                                      : THEOREM_EMPTY;
    if (a.verdict != want) {
        printf("%s\ntheorem %u, line %u: %s, should be %s: %.*s\n", text, index, t->line,
               theorem_verdict_name(a.verdict), theorem_verdict_name(want), SLICE_FMT(a.why));
        fail();
    }
    n->proved += want == THEOREM_PROVED;
    n->empty += want == THEOREM_EMPTY;
    n->refuted += want == THEOREM_REFUTED;
    n->by_kind[c->kind][want == THEOREM_REFUTED]++;
    if (want != THEOREM_REFUTED)
        return;
    for (uint64_t i = 0; request_at(p, i, failing, &r); i++) {
        complete(p, &a, &r);
        if (!breaks(p, t, &c[a.claim], &r)) {
            printf("%s\ntheorem %u, line %u: %.*s does not show it\n", text, index, t->line,
                   SLICE_FMT(a.witness));
            fail();
        }
        if (i % 37 == 0)
            replay(p, table, &a, &r), n->replayed++;
    }
}

static void test_claims(void **state)
{
    static struct made made;
    struct tally n;
    (void)state;
    memset(&n, 0, sizeof n);
    for (uint32_t i = 0; i < POLICIES; i++) {
        struct arena arena;
        struct diag_list diags;
        const struct policy_image *p;
        const struct route_table *table;
        struct theorem_prover prover;
        made_policy(&made, 7000 + i, true);
        arena_init(&arena, 0, 256u << 20);
        diag_init(&diags, &arena, 100);
        if (!policy_load(slice_make(made.text, made.len), &signal_registry, &arena, &diags, &p)) {
            uint32_t *own = ARENA_ARRAY(&arena, uint32_t, p->signals.count + 1);
            uint8_t *group = ARENA_ARRAY(&arena, uint8_t, p->signals.count + 1);
            const struct route_costs cost = {.own_ns = own, .group = group};
            assert_int_equal(route_table_open(p, &cost, &arena, &table), RESULT_OK);
            assert_int_equal(theorem_open(&prover, p, NULL, NULL, &arena), RESULT_OK);
            for (uint32_t k = 0; k < p->theorems.count; k++)
                check_theorem(&prover, table, k, made.text, &n);
            theorem_close(&prover);
            n.loaded++;
        }
        arena_deinit(&arena);
    }
    printf("loaded %u, proved %u, refuted %u, empty %u, replayed %u\n", n.loaded, n.proved,
           n.refuted, n.empty, n.replayed);
    assert_true(n.loaded > 800 && n.replayed > 1000 && n.empty > 10);
    for (int k = 0; k <= IMAGE_CLAIM_REACHES; k++)
        if (n.by_kind[k][0] < 5 || n.by_kind[k][1] < 20)
            fail_msg("claims of kind %d: %u hold, %u do not", k, n.by_kind[k][0], n.by_kind[k][1]);
}

// A solver that may do nothing answers "not proved", never "proved".
static void test_limits(void **state)
{
    static struct made made;
    const struct sat_limits none = {.bytes = 64u << 20};
    uint32_t open = 0;
    (void)state;
    for (uint32_t i = 0; i < 60; i++) {
        struct arena arena;
        struct diag_list diags;
        const struct policy_image *p;
        struct theorem_prover little, whole;
        made_policy(&made, 7000 + i, true);
        arena_init(&arena, 0, 256u << 20);
        diag_init(&diags, &arena, 100);
        if (!policy_load(slice_make(made.text, made.len), &signal_registry, &arena, &diags, &p)) {
            assert_int_equal(theorem_open(&little, p, NULL, &none, &arena), RESULT_OK);
            assert_int_equal(theorem_open(&whole, p, NULL, NULL, &arena), RESULT_OK);
            for (uint32_t k = 0; k < p->theorems.count; k++) {
                struct theorem_answer a, b;
                assert_int_equal(theorem_ask(&little, k, NULL, &a), RESULT_OK);
                assert_int_equal(theorem_ask(&whole, k, NULL, &b), RESULT_OK);
                if (a.verdict == THEOREM_NOT_PROVED)
                    open++;
                else
                    assert_int_equal(a.verdict, b.verdict);
            }
            theorem_close(&little);
            theorem_close(&whole);
        }
        arena_deinit(&arena);
    }
    assert_true(open > 20);
}

static void test_memory(void **state)
{
    static struct made made;
    struct arena arena;
    struct diag_list diags;
    const struct policy_image *p;
    uint64_t seed = 7000;
    (void)state;
    do {
        arena_init(&arena, 0, 256u << 20);
        diag_init(&diags, &arena, 100);
        made_policy(&made, seed++, true);
        if (!policy_load(slice_make(made.text, made.len), &signal_registry, &arena, &diags, &p))
            break;
        arena_deinit(&arena);
    } while (true);
    for (uint64_t n = 1;; n++) {
        struct arena own;
        struct theorem_prover prover;
        struct theorem_answer a;
        arena_init(&own, 0, 256u << 20);
        alloc_fail_at(n, 0);
        enum result r = theorem_open(&prover, p, &signal_registry, NULL, &own);
        bool open = !r;
        for (uint32_t k = 0; k < p->theorems.count && !r; k++)
            r = theorem_ask(&prover, k, NULL, &a);
        alloc_fail_at(0, 0);
        if (open)
            theorem_close(&prover);
        arena_deinit(&own);
        assert_true(r == RESULT_OK || r == RESULT_NOMEM);
        if (!r)
            break;
    }
    arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
