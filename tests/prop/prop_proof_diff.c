// Thousands of pairs of random policies, one a small change of the other, compared by trying every request on both: what
// is allowed, which requests move, and whether anything differs at all, as proof/diff.h says.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "policy/policy.h"
#include "proof/describe.h"
#include "proof/diff.h"
#include "proof/mutant.h"
#include "proof/ways.h"
#include "signal/registry.h"
#include "support/proof_paths.h"
#include "support/theorem_make.h"

enum { PAIRS = 700, KINDS = IMAGE_STEP_KIND_COUNT_ + 1, LEVELS = 3, BUDGETS = 2 };

// The budgets that made_constraint writes. Both are below what some path can cost.
static const struct {
    enum image_unit unit;
    int64_t limit;
} budgets[BUDGETS] = {{IMAGE_UNIT_CALLS, 2}, {IMAGE_UNIT_NUSD, 30000000}};

static bool has_budget(const struct policy_image *p, int b)
{
    const struct image_constraint *c = IMAGE_AT(p, p->constraints, struct image_constraint);
    for (uint32_t i = 0; i < p->constraints.count; i++)
        if (c[i].kind == IMAGE_BUDGET && c[i].unit == budgets[b].unit)
            return true;
    return false;
}

static bool could_cost(const struct policy_image *p, int b)
{
    struct arena arena;
    struct way_list ways;
    bool more = false;
    arena_init(&arena, 0, 1 << 22);
    assert_int_equal(ways_open(p, &arena, &ways), RESULT_OK);
    for (uint32_t i = 0; i < ways.count; i++) {
        struct way_amount a = way_bound(p, &ways.at[i], NULL).unit[budgets[b].unit];
        more |= a.open || a.value > budgets[b].limit;
    }
    arena_deinit(&arena);
    return more;
}

// All that a request may have done to it under one policy.
struct given {
    int32_t route;
    char effect[1024];
    // Models by effort, of chains that miss a step (the last: of all); by name as well.
    bool answers[MADE_MODELS][IMAGE_EFFORT_COUNT_][KINDS];
    bool sees[WALK_PLACES][LEVELS];
    bool tried[64]; // chains of the route
    bool used[64][8][8];
    bool by_name[MADE_MODELS];
    bool dear[BUDGETS]; // it may cost more than this
};

static void see(struct given *g, uint32_t place, uint32_t label)
{
    for (uint32_t l = 1; l <= label && l < LEVELS; l++)
        g->sees[place][l] = true;
}

static bool misses(const struct walk_chain *c, int step)
{
    const struct image_constraint like = {
        .kind = IMAGE_REQUIRE, .step = (enum image_step_kind)step, .sink = IMAGE_NONE};
    return step == IMAGE_STEP_KIND_COUNT_ || walk_misses(c, &like);
}

static void run_chain(const struct walk *w, const struct walk_chain *c, bool pass, struct given *g,
                      bool (*used)[8])
{
    const struct image_sink *sinks = IMAGE_AT(w->p, w->p->sinks, struct image_sink);
    uint32_t models = w->p->models.count, label = pass ? walk_top(w, 0) : walk_label(w, 0);
    for (uint32_t i = 0; i < c->count; i++) {
        const struct image_step *s = &c->steps[i];
        uint32_t n;
        const struct image_binding *b = walk_bindings(w, c, i, &n);
        for (uint32_t k = 0; k < n; k++) {
            if (!walk_binding_ok(w, c, i, k))
                continue;
            if (used)
                used[i][k] = true;
            see(g, (uint32_t)b[k].model, label);
            for (int step = 0; step < KINDS && walk_asks(s) && !pass; step++)
                g->answers[b[k].model][b[k].effort][step] |= misses(c, step);
        }
        if (s->sink >= 0)
            see(g, models + (uint32_t)s->sink, label);
        if (s->kind == IMAGE_STEP_REDACT && s->level < label)
            label = s->level;
        if (s->kind == IMAGE_STEP_RETRIEVE && sinks[s->sink].holds.level[0] > label)
            label = sinks[s->sink].holds.level[0];
    }
    for (uint32_t i = 0; i < c->count; i++)
        if (c->steps[i].kind == IMAGE_STEP_CACHE && !walk_ends(c, IMAGE_STEP_REFUSE))
            see(g, models + (uint32_t)c->steps[i].sink, label);
}

static void run(const struct policy_image *p, const struct walk_request *r, struct given *g)
{
    const struct walk w = {p, r};
    const struct image_pass *pass = IMAGE_AT(p, p->passes, struct image_pass);
    struct walk_way ways[WALK_WAYS];
    uint32_t n = walk_ways(p, ways), routes = p->routes.count;
    memset(g, 0, sizeof *g);
    for (uint32_t i = 0; i < p->passes.count; i++)
        ways[n++] = (struct walk_way){.named = {pass[i].model, IMAGE_EFFORT_DEFAULT}, .count = 1};
    for (uint32_t i = 0; i < n; i++) {
        bool bare[64], whole[64], ended = false, passes = i >= n - p->passes.count;
        if (!walk_enters(&w, &ways[i]))
            continue;
        if (i < routes)
            g->route = (int32_t)i;
        walk_feasible(&w, &ways[i], bare, whole);
        for (uint32_t c = 0; c < ways[i].count && !ended; c++) {
            struct walk_chain chain = walk_chain_at(&w, &ways[i], c);
            if (!whole[c])
                continue;
            if (i < routes)
                g->tried[c] = true;
            if (!ways[i].route && !passes)
                g->by_name[ways[i].named.model] = true;
            run_chain(&w, &chain, passes, g, i < routes ? g->used[c] : NULL);
            ended = chain.count == 1 && chain.steps[0].kind == IMAGE_STEP_REFUSE;
        }
    }
    for (int b = 0; b < BUDGETS; b++) {
        g->dear[b] = true;
        for (uint32_t i = 0; i < p->constraints.count; i++) {
            const struct image_constraint *c = walk_constraint(&w, i);
            if (c->kind == IMAGE_BUDGET && c->unit == budgets[b].unit && walk_active(&w, i))
                g->dear[b] = false;
        }
    }
    struct buf text;
    buf_init(&text, sizeof g->effect - 1);
    describe_effect(p, g->route, &text);
    assert_int_equal(buf_result(&text), RESULT_OK);
    memcpy(g->effect, text.ptr, text.len);
    buf_deinit(&text);
}

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

struct expected {
    bool gained, lost, differs;
    bool moves[8][8];
};

static bool step_matters(const struct policy_image *old, const struct policy_image *new, int step)
{
    if (step == IMAGE_STEP_KIND_COUNT_)
        return true;
    for (int side = 0; side < 2 && (step == IMAGE_STEP_VERIFY || step == IMAGE_STEP_REDACT);
         side++) {
        const struct policy_image *p = side ? new : old;
        const struct image_step *s = IMAGE_AT(p, p->steps, struct image_step);
        for (uint32_t i = 0; i < p->steps.count; i++)
            if ((int)s[i].kind == step)
                return true;
    }
    for (int side = 0; side < 2; side++) {
        const struct policy_image *p = side ? new : old;
        const struct image_constraint *c = IMAGE_AT(p, p->constraints, struct image_constraint);
        for (uint32_t i = 0; i < p->constraints.count; i++)
            if (c[i].kind == IMAGE_REQUIRE && (int)c[i].step == step)
                return true;
    }
    return false;
}

static void expect(const struct policy_image *old, const struct policy_image *new,
                   struct expected *e)
{
    static struct given a, b;
    struct walk_request r;
    bool counts[BUDGETS];
    memset(e, 0, sizeof *e);
    for (int k = 0; k < BUDGETS; k++)
        counts[k] = (has_budget(old, k) || has_budget(new, k)) &&
                    (could_cost(old, k) || could_cost(new, k));
    for (int failing = 0; failing < 2; failing++) {
        for (uint64_t i = 0; request_at(old, i, failing, &r); i++) {
            run(old, &r, &a);
            run(new, &r, &b);
            for (int m = 0; m < MADE_MODELS; m++)
                for (int f = 0; f < IMAGE_EFFORT_COUNT_; f++)
                    for (int s = 0; s < KINDS; s++) {
                        if (!step_matters(old, new, s))
                            continue;
                        e->gained |= b.answers[m][f][s] && !a.answers[m][f][s];
                        e->lost |= a.answers[m][f][s] && !b.answers[m][f][s];
                    }
            for (int k = 0; k < WALK_PLACES; k++)
                for (int l = 0; l < LEVELS; l++) {
                    e->gained |= b.sees[k][l] && !a.sees[k][l];
                    e->lost |= a.sees[k][l] && !b.sees[k][l];
                }
            for (int k = 0; k < BUDGETS; k++) {
                e->gained |= counts[k] && b.dear[k] && !a.dear[k];
                e->lost |= counts[k] && a.dear[k] && !b.dear[k];
                e->differs |= counts[k] && a.dear[k] != b.dear[k];
            }
            bool same = !strcmp(a.effect, b.effect);
            e->differs |= !same || memcmp(a.tried, b.tried, sizeof a.tried) != 0 ||
                          memcmp(a.used, b.used, sizeof a.used) != 0 ||
                          memcmp(a.by_name, b.by_name, sizeof a.by_name) != 0;
            if (!failing && !same)
                e->moves[a.route][b.route] = true;
        }
    }
}

struct tally {
    uint32_t pairs, by[DIFF_OPEN + 1], same, moves;
};

static void show(const struct made *old, const char *text, const char *what)
{
    printf("%s\n---- becomes\n%s\n%s\n", old->text, text, what);
    fail();
}

static void compare(const struct policy_image *old, const struct policy_image *new,
                    const struct made *made, const char *text, struct arena *arena, struct tally *n)
{
    struct expected e;
    struct diff_report r;
    struct slice a, b;
    expect(old, new, &e);
    assert_int_equal(diff_policies(old, new, NULL, arena, &r), RESULT_OK);
    enum diff_relation want = e.gained && e.lost ? DIFF_INCOMPARABLE
                              : e.gained         ? DIFF_LOOSER
                              : e.lost           ? DIFF_STRICTER
                                                 : DIFF_EQUAL;
    if (r.allows != want) {
        printf("says %s, should be %s\n", diff_relation_name(r.allows), diff_relation_name(want));
        show(made, text, "allows");
    }
    if (r.same == e.differs)
        show(made, text, r.same ? "said to be the same" : "not said to be the same");
    if ((diff_differs(old, new, NULL, arena, &a, &b) == SAT_YES) != e.differs)
        show(made, text, "diff_differs");
    uint32_t found = 0, moves = 0;
    for (uint32_t i = 0; i < r.move_count; i++) {
        found += e.moves[r.moves[i].from][r.moves[i].to];
        assert_true(r.moves[i].share > 0 && r.moves[i].exact && r.moves[i].witness_new.len);
    }
    for (int i = 0; i < 8; i++)
        for (int k = 0; k < 8; k++)
            moves += e.moves[i][k];
    if (found != r.move_count || moves != found)
        show(made, text, "moves");
    assert_true((r.moved > 0) == (moves > 0));
    n->by[want]++;
    n->same += !e.differs;
    n->moves += moves;
    n->pairs++;
}

static void one_pair(uint32_t i, struct tally *n)
{
    static struct made made;
    struct arena arena;
    struct diag_list diags;
    struct buf text;
    const struct tree *tree;
    const struct policy_image *old, *new;
    struct mutant_list mutants;
    made_policy(&made, 40000 + i, false);
    arena_init(&arena, 0, 256u << 20);
    diag_init(&diags, &arena, 100);
    buf_init(&text, 1 << 20);
    struct slice source = slice_make(made.text, made.len);
    if (!policy_parse(source, &arena, &diags, &tree) &&
        !policy_compile(tree, &signal_registry, &arena, &diags, &old)) {
        assert_int_equal(mutants_make(tree, &arena, &mutants), RESULT_OK);
        for (uint32_t k = 0; k < 3 && mutants.count; k++) {
            buf_reset(&text);
            mutant_apply(source, &mutants.at[made_below(&made, mutants.count)], &text);
            buf_byte(&text, '\0');
            diag_init(&diags, &arena, 100);
            if (!policy_load(slice_make(text.ptr, text.len - 1), &signal_registry, &arena, &diags,
                             &new))
                compare(old, new, &made, text.ptr, &arena, n);
        }
    }
    buf_deinit(&text);
    arena_deinit(&arena);
}

static void test_pairs(void **state)
{
    struct tally n;
    (void)state;
    memset(&n, 0, sizeof n);
    for (uint32_t i = 0; i < PAIRS; i++)
        one_pair(i, &n);
    printf("%u pairs: %u equal, %u stricter, %u looser, %u neither; %u the same, %u moves\n",
           n.pairs, n.by[DIFF_EQUAL], n.by[DIFF_STRICTER], n.by[DIFF_LOOSER],
           n.by[DIFF_INCOMPARABLE], n.same, n.moves);
    assert_true(n.pairs > PAIRS && n.same > 20 && n.moves > 500);
    for (int k = DIFF_EQUAL; k < DIFF_OPEN; k++)
        assert_true(n.by[k] > 20);
}

static void test_memory(void **state)
{
    static struct made made;
    struct arena arena;
    struct diag_list diags;
    const struct policy_image *p[2];
    uint64_t seed = 40000;
    int have = 0;
    (void)state;
    arena_init(&arena, 0, 256u << 20);
    while (have < 2) {
        diag_init(&diags, &arena, 100);
        made_policy(&made, seed++, false);
        if (!policy_load(slice_make(made.text, made.len), &signal_registry, &arena, &diags,
                         &p[have]))
            have++;
    }
    for (uint64_t n = 1;; n++) {
        struct arena own;
        struct diff_report report;
        struct slice a, b;
        arena_init(&own, 0, 256u << 20);
        alloc_fail_at(n, 0);
        enum result r = diff_policies(p[0], p[1], NULL, &own, &report);
        if (!r)
            assert_true(diff_differs(p[0], p[1], NULL, &own, &a, &b) <= SAT_UNKNOWN);
        alloc_fail_at(0, 0);
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
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
