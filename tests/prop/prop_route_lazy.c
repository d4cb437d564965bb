// Deciding lazily gives what deciding eagerly gives: random policies, works and facts against a naive interpreter that
// knows all signals from the start, walks the image's trees as they stand and sorts candidates by hand. A record fed
// back as given gives the same decision again.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/rng.h"
#include "route/estimate.h"
#include "route/record.h"
#include "route/route.h"
#include "route/table.h"
#include "support/image_builder.h"

enum { POLICIES = 1500, WORKS = 6, WORDS = 5, SIGNALS_MAX = 24, MODELS_MAX = 6 };
static const char *const vocabulary[WORDS] = {"alpha", "beta", "gamma", "delta", "epsilon"};

static struct rng rng;

static uint32_t below(uint32_t n)
{
    return (uint32_t)rng_below(&rng, n);
}

// ---- random policies

static uint32_t grow(struct image_node *nodes, uint32_t at, uint32_t atoms, unsigned depth)
{
    uint32_t kind = below(depth ? 8 : 2), begin = at++;
    if (kind < 2 && (atoms == 0 || below(12) == 0)) {
        nodes[begin] = (struct image_node){IMAGE_NODE_TRUE, 0, 1};
        return at;
    }
    if (kind < 2) {
        nodes[begin] = (struct image_node){IMAGE_NODE_ATOM, below(atoms), 1};
        return at;
    }
    uint32_t count = kind < 4 ? 1 : below(4);
    for (uint32_t i = 0; i < count; i++)
        at = grow(nodes, at, atoms, depth - 1);
    nodes[begin] = (struct image_node){kind < 4   ? IMAGE_NODE_NOT
                                       : kind < 6 ? IMAGE_NODE_AND
                                                  : IMAGE_NODE_OR,
                                       kind < 4 ? 0 : count, at - begin};
    return at;
}

static struct image_list random_steps(struct image_builder *b)
{
    if (below(8) == 0)
        return ib_refuse(b, "no");
    struct image_binding bindings[8];
    uint32_t n = 1 + below(MERIT_COUNT(bindings));
    for (uint32_t i = 0; i < n; i++)
        bindings[i] =
            (struct image_binding){(int32_t)below(b->model_count), (enum image_effort)below(4)};
    return ib_answer(b, bindings, n);
}

static void random_atom(struct image_builder *b)
{
    int32_t signal = (int32_t)below(b->signal_count);
    enum signal_type type = b->signals[signal].type;
    enum image_op op = (enum image_op)below(IMAGE_OP_IN + 1);
    if (type == SIGNAL_TEXT || type == SIGNAL_SET) {
        static const enum image_op ops[] = {IMAGE_OP_TRUE, IMAGE_OP_EQ, IMAGE_OP_NE, IMAGE_OP_IN};
        op = ops[below(4)];
    }
    uint32_t a = ib_atom(b, signal, op, below(5), "atom");
    b->atoms[a].words = rng_next(&rng);
    struct image_str texts[3];
    uint32_t n = op == IMAGE_OP_IN ? 1 + below(3) : 1;
    for (uint32_t i = 0; i < n; i++)
        texts[i] = ib_str(b, vocabulary[below(WORDS)]);
    b->atoms[a].texts = IB_LIST(b, texts, n);
}

static const struct policy_image *random_policy(struct image_builder *b)
{
    static struct image_node nodes[4096];
    char name[16];
    uint32_t models = 1 + below(MODELS_MAX), signals = 1 + below(SIGNALS_MAX), atoms = below(150),
             routes = below(7);
    for (uint32_t i = 0; i < models; i++) {
        snprintf(name, sizeof name, "m%u", i);
        struct image_model *m = ib_model(b, name);
        m->can = below(3) ? ~0u : below(128);
        m->context_tok = below(2) ? 0 : 1000 * (1 + below(4));
        m->output_tok = below(2) ? 0 : 100 * (1 + below(8));
        m->priced = below(4) != 0;
        m->price_in_nusd = below(4) * 1000000;
        m->price_out_nusd = below(4) * 1000000;
        m->quality = below(3) ? (float)below(5) / 4 : -1;
    }
    for (uint32_t i = 0; i < signals; i++) {
        snprintf(name, sizeof name, "s%u", i);
        ib_signal(b, name, (enum signal_type)below(SIGNAL_SET + 1));
    }
    for (uint32_t i = 0; i < atoms; i++)
        random_atom(b);
    for (uint32_t i = 0; i <= routes; i++) {
        snprintf(name, sizeof name, "r%u", i);
        uint32_t n = i == routes ? 0 : grow(nodes, 0, b->atom_count, below(6));
        struct image_route *r = ib_route(b, name, nodes, n, random_steps(b));
        r->objective = (enum image_objective)below(3);
        r->quality_min = below(2) ? 0 : (float)below(5) / 4;
        r->cost_max_nusd = below(3) ? -1 : (int64_t)below(4000);
        if (below(2))
            ib_else(b, r, random_steps(b));
    }
    ib_alias(b, "fast", IMAGE_TARGET_ROUTE, (int32_t)below(b->route_count));
    ib_alias(b, "gpt", IMAGE_TARGET_MODEL, (int32_t)below(b->model_count));
    ib_alias(b, "any", IMAGE_TARGET_ROUTES, 0);
    return ib_finish(b);
}

// ---- random works

static struct slice texts[SIGNALS_MAX][WORDS];

static void random_facts(const struct policy_image *p, struct fact *facts)
{
    for (uint32_t i = 0; i < p->signals.count; i++) {
        enum signal_type type = image_signal(p, (int32_t)i)->type;
        facts[i] = (struct fact){
            .state = FACT_KNOWN, .probability = 1, .number = below(type == SIGNAL_BOOL ? 2 : 5)};
        facts[i].text = below(4) ? slice_cstr(vocabulary[below(WORDS)]) : SLICE_EMPTY;
        facts[i].text_count = below(WORDS);
        for (uint32_t k = 0; k < facts[i].text_count; k++)
            texts[i][k] = slice_cstr(vocabulary[below(WORDS)]);
        facts[i].texts = texts[i];
    }
}

static void random_work(struct work *w, const struct policy_image *p)
{
    static const char *const asked[] = {"", "", "", "auto", "any", "fast", "gpt", "m0", "nobody"};
    memset(w, 0, sizeof *w);
    w->model_asked = slice_cstr(asked[below(MERIT_COUNT(asked))]);
    w->needs = below(3) ? 0 : UINT32_C(1) << below(WORK_NEED_COUNT_);
    w->max_output_tok = below(2) ? 0 : 50 * (1 + below(20));
    w->input_tok = below(3000);
    w->choices = 1 + below(3);
    w->anchor = WORK_NO_ANCHOR;
    (void)p;
}

// ---- the naive interpreter

static bool has_word(const struct policy_image *p, const struct image_atom *a, struct slice s)
{
    for (uint32_t i = 0; i < a->texts.count; i++)
        if (slice_eq(image_text(p, IMAGE_AT(p, a->texts, struct image_str)[i]), s))
            return true;
    return false;
}

static bool naive_atom(const struct policy_image *p, uint32_t index, const struct fact *facts)
{
    const struct image_atom *a = IMAGE_AT(p, p->atoms, struct image_atom) + index;
    const struct fact *f = &facts[a->signal];
    enum signal_type type = image_signal(p, a->signal)->type;
    if (type == SIGNAL_SET) {
        uint32_t hits = 0;
        for (uint32_t i = 0; i < f->text_count; i++)
            hits += has_word(p, a, f->texts[i]);
        return a->op == IMAGE_OP_TRUE ? f->text_count != 0
               : a->op == IMAGE_OP_NE ? hits == 0
                                      : hits != 0;
    }
    if (type == SIGNAL_TEXT)
        return a->op == IMAGE_OP_TRUE ? f->text.len != 0
                                      : has_word(p, a, f->text) == (a->op != IMAGE_OP_NE);
    double v = f->number, n = a->number;
    return (a->op == IMAGE_OP_TRUE && v != 0) || (a->op == IMAGE_OP_EQ && v == n) ||
           (a->op == IMAGE_OP_NE && v != n) || (a->op == IMAGE_OP_LT && v < n) ||
           (a->op == IMAGE_OP_LE && v <= n) || (a->op == IMAGE_OP_GT && v > n) ||
           (a->op == IMAGE_OP_GE && v >= n) ||
           (a->op == IMAGE_OP_IN && (a->words >> (int)v) % 2 == 1);
}

static bool naive_guard(const struct policy_image *p, const struct image_node *n,
                        const struct fact *facts)
{
    if (n->kind == IMAGE_NODE_TRUE)
        return true;
    if (n->kind == IMAGE_NODE_ATOM)
        return naive_atom(p, n->arg, facts);
    if (n->kind == IMAGE_NODE_NOT)
        return !naive_guard(p, n + 1, facts);
    uint32_t held = 0;
    const struct image_node *child = n + 1;
    for (uint32_t i = 0; i < n->arg; i++, child += child->size)
        held += naive_guard(p, child, facts);
    return n->kind == IMAGE_NODE_AND ? held == n->arg : held > 0;
}

struct naive {
    enum decision_end end;
    int32_t route, model;
    enum image_effort effort;
    bool took_else;
    enum model_verdict verdicts[MODELS_MAX];
};

static enum model_verdict naive_fit(const struct policy_image *p, const struct work *w,
                                    const uint8_t *states, const struct image_route *r,
                                    int32_t index)
{
    const struct image_model *m = image_model(p, index);
    uint32_t out = ESTIMATE_OUTPUT_TOK;
    if (w->max_output_tok && w->max_output_tok < out)
        out = w->max_output_tok;
    if (m->output_tok && m->output_tok < out)
        out = m->output_tok;
    uint32_t reserve = w->max_output_tok ? w->max_output_tok : out;
    int64_t cost =
        ((int64_t)w->input_tok * m->price_in_nusd + (int64_t)out * w->choices * m->price_out_nusd) /
        1000000;
    if (states[index] == POOL_MODEL_NO_KEY)
        return MODEL_NO_KEY;
    if (states[index] == POOL_MODEL_DOWN)
        return MODEL_DOWN;
    if ((w->needs & m->can) != w->needs)
        return MODEL_LACKS;
    if (m->output_tok && m->output_tok < w->max_output_tok)
        return MODEL_OUTPUT;
    if (m->context_tok && w->input_tok + reserve > m->context_tok)
        return MODEL_WINDOW;
    if (!r)
        return MODEL_CHOSEN;
    if (r->quality_min > 0 && m->quality < r->quality_min)
        return MODEL_QUALITY;
    if (!m->priced && (r->cost_max_nusd >= 0 || r->objective == IMAGE_OBJECTIVE_COST))
        return MODEL_UNPRICED;
    if (r->cost_max_nusd >= 0 && cost > r->cost_max_nusd)
        return MODEL_COST;
    return MODEL_CHOSEN;
}

static double naive_score(const struct policy_image *p, const struct work *w,
                          const struct image_route *r, int32_t m)
{
    const struct image_model *model = image_model(p, m);
    if (r && r->objective == IMAGE_OBJECTIVE_QUALITY)
        return (double)model->quality;
    if (r && r->objective == IMAGE_OBJECTIVE_COST)
        return -(double)estimate_cost_nusd(model, w->input_tok, 0,
                                           estimate_output_tok(w, model, 0));
    return 0;
}

static bool naive_answer(const struct policy_image *p, const struct work *w, const uint8_t *states,
                         const struct image_route *r, const struct image_binding *b, uint32_t n,
                         struct naive *out)
{
    int best = -1;
    for (uint32_t i = 0; i < n; i++) {
        enum model_verdict v = naive_fit(p, w, states, r, b[i].model);
        out->verdicts[b[i].model] = v;
        if (v == MODEL_CHOSEN &&
            (best < 0 || naive_score(p, w, r, b[i].model) > naive_score(p, w, r, b[best].model)))
            best = (int)i;
    }
    if (best < 0)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        if (out->verdicts[b[i].model] != MODEL_CHOSEN || b[i].model == b[best].model)
            continue;
        bool tie = naive_score(p, w, r, b[i].model) == naive_score(p, w, r, b[best].model);
        out->verdicts[b[i].model] = tie                                       ? MODEL_LATER
                                    : r->objective == IMAGE_OBJECTIVE_QUALITY ? MODEL_LOWER_QUALITY
                                                                              : MODEL_DEARER;
    }
    out->end = DECISION_ANSWER;
    out->model = b[best].model;
    out->effort = b[best].effort;
    return true;
}

static bool naive_steps(const struct policy_image *p, const struct work *w, const uint8_t *states,
                        const struct image_route *r, struct image_list list, struct naive *out)
{
    if (!list.count)
        return false;
    const struct image_step *s = IMAGE_AT(p, list, struct image_step);
    if (s->kind == IMAGE_STEP_REFUSE) {
        out->end = DECISION_REFUSE;
        return true;
    }
    return naive_answer(p, w, states, r, IMAGE_AT(p, s->bindings, struct image_binding),
                        s->bindings.count, out);
}

static void naive_decide(const struct policy_image *p, const struct work *w, const uint8_t *states,
                         const struct fact *facts, struct naive *out)
{
    *out = (struct naive){.end = DECISION_INFEASIBLE, .route = -1, .model = -1};
    for (int i = 0; i < MODELS_MAX; i++)
        out->verdicts[i] = MODEL_NOT_CANDIDATE;
    struct image_binding named = {-1, IMAGE_EFFORT_DEFAULT};
    if (slice_eq_cstr(w->model_asked, "nobody")) {
        out->end = DECISION_NO_MODEL;
        return;
    }
    if (slice_eq_cstr(w->model_asked, "m0"))
        named.model = 0;
    if (slice_eq_cstr(w->model_asked, "gpt"))
        named.model = IMAGE_AT(p, p->aliases, struct image_alias)[1].index;
    if (named.model >= 0) {
        naive_answer(p, w, states, NULL, &named, 1, out);
        return;
    }
    if (slice_eq_cstr(w->model_asked, "fast")) {
        out->route = IMAGE_AT(p, p->aliases, struct image_alias)[0].index;
    } else {
        for (uint32_t i = 0; out->route < 0; i++) {
            const struct image_route *r = image_route(p, (int32_t)i);
            if (!r->guard.count || naive_guard(p, IMAGE_AT(p, r->guard, struct image_node), facts))
                out->route = (int32_t)i;
        }
    }
    const struct image_route *r = image_route(p, out->route);
    const struct image_chain *chains = image_chains(p, r);
    if (naive_steps(p, w, states, r, chains[0].steps, out))
        return;
    out->took_else = r->chains.count > 1;
    if (out->took_else)
        naive_steps(p, w, states, r, chains[1].steps, out);
}

// ---- both, side by side

static bool guard_mentions(const struct policy_image *p, uint32_t route, int32_t signal)
{
    const struct image_route *r = image_route(p, (int32_t)route);
    for (uint32_t i = 0; i < r->guard.count; i++) {
        const struct image_node *n = IMAGE_AT(p, r->guard, struct image_node) + i;
        if (n->kind == IMAGE_NODE_ATOM &&
            IMAGE_AT(p, p->atoms, struct image_atom)[n->arg].signal == signal)
            return true;
    }
    return false;
}

static uint64_t besides;

// Feeds what is asked for, and now and then what may be computed beside it.
static uint32_t drive(struct route_run *run, const struct policy_image *p, const struct fact *facts)
{
    bool asked[SIGNALS_MAX] = {false};
    uint32_t count = 0;
    int32_t s, again, beside[ROUTE_BESIDE_MAX];
    while (route_step(run, &s) == ROUTE_NEED) {
        assert_in_range(s, 0, p->signals.count - 1);
        assert_false(asked[s]);
        assert_int_equal(route_step(run, &again), ROUTE_NEED);
        assert_int_equal(again, s);
        assert_true(guard_mentions(p, run->next_route, s));
        if (below(3) == 0) {
            uint32_t n = route_beside(run, s, beside);
            assert_in_range(n, 0, ROUTE_BESIDE_MAX);
            for (uint32_t i = 0; i < n; i++) {
                assert_int_not_equal(beside[i], s);
                assert_false(asked[beside[i]]);
                asked[beside[i]] = true;
                route_feed(run, beside[i], &facts[beside[i]]);
                besides++;
            }
            // It may have become needless.
            if (n && below(2))
                continue;
        }
        asked[s] = true;
        count++;
        if (count % 2) {
            route_feed(run, s, &facts[s]);
        } else {
            *route_fact(run, s) = facts[s];
            route_feed(run, s, route_fact(run, s));
        }
    }
    for (uint32_t i = 0; i < p->signals.count; i++)
        assert_int_equal(run->decision->facts[i].state, asked[i] ? FACT_KNOWN : FACT_UNKNOWN);
    return count;
}

static void same(const struct policy_image *p, const struct decision *d, const struct naive *n)
{
    assert_int_equal(d->end, n->end);
    assert_int_equal(d->route, n->route);
    assert_int_equal(d->model, n->model);
    assert_int_equal(d->took_else, n->took_else);
    if (d->end == DECISION_ANSWER)
        assert_int_equal(d->effort, n->effort);
    for (uint32_t i = 0; i < p->models.count; i++)
        assert_int_equal(d->model_outcomes[i].verdict, n->verdicts[i]);
}

// The outcomes of routes agree with what the naive interpreter makes of each guard.
static void routes_told(const struct policy_image *p, const struct decision *d,
                        const struct fact *facts)
{
    for (uint32_t i = 0; i < p->routes.count; i++) {
        const struct route_outcome outcome = route_outcome(d, i), *o = &outcome;
        const struct image_route *r = image_route(p, (int32_t)i);
        bool holds =
            !r->guard.count || naive_guard(p, IMAGE_AT(p, r->guard, struct image_node), facts);
        if (o->verdict == ROUTE_FALSE) {
            assert_true((int32_t)i < d->route);
            assert_false(holds);
            if (o->atom != IMAGE_NONE)
                assert_int_not_equal(
                    d->facts[IMAGE_AT(p, p->atoms, struct image_atom)[o->atom].signal].state,
                    FACT_UNKNOWN);
        } else if (o->verdict == ROUTE_NOT_REACHED) {
            assert_true((int32_t)i > d->route);
        }
    }
}

// Any statistics at all: what they say must not matter.
struct statistics {
    uint32_t own[SIGNALS_MAX];
    uint8_t group[SIGNALS_MAX];
    uint16_t needs[SIGNALS_MAX], holds[150];
};

static struct route_costs random_costs(struct statistics *s)
{
    struct route_costs c = {.epoch = rng_next(&rng) >> 16, .own_ns = s->own, .group = s->group};
    for (int i = 0; i < SIGNALS_MAX; i++) {
        s->own[i] = below(4) ? below(100) : below(2) ? 0 : UINT32_MAX;
        s->group[i] = (uint8_t)below(3);
        s->needs[i] = (uint16_t)below(65536);
    }
    for (size_t i = 0; i < MERIT_COUNT(s->holds); i++)
        s->holds[i] = (uint16_t)(ROUTE_HOLDS_MIN + below(ROUTE_HOLDS_ONE - 2 * ROUTE_HOLDS_MIN));
    for (int k = 0; k < ROUTE_LENGTHS; k++) {
        c.group_ns[1][k] = 1000;
        c.group_ns[2][k] = below(4) ? 500000 : UINT32_MAX;
    }
    if (below(3))
        c.holds = s->holds;
    if (below(3))
        c.needs = s->needs;
    return c;
}

static struct slice compact(const struct decision *d, struct arena *arena)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    record_compact(d, &out);
    assert_int_equal(buf_result(&out), RESULT_OK);
    struct slice copy = arena_copy(arena, buf_slice(&out));
    buf_deinit(&out);
    return copy;
}

// The record of a decision, fed back under the same statistics, asks for nothing and gives the same bytes; and so does a
// run that is fed its facts in the order of the record's steps.
static void replays(const struct route_table *table, const struct policy_image *p,
                    const struct work *w, const struct pool_view *pool,
                    const struct route_costs *costs, const struct decision *d, struct arena *arena)
{
    struct slice line = compact(d, arena);
    struct decision *read;
    assert_int_equal(record_read(p, line, arena, &read), RESULT_OK);
    struct route_run again;
    struct route_options options = {.given = read->facts, .costs = costs};
    int32_t asked;
    assert_int_equal(route_begin(&again, table, w, pool, &options, arena), RESULT_OK);
    assert_int_equal(route_step(&again, &asked), ROUTE_DECIDED);
    assert_true(slice_eq(line, compact(again.decision, arena)));

    options.given = NULL;
    assert_int_equal(route_begin(&again, table, w, pool, &options, arena), RESULT_OK);
    while (route_step(&again, &asked) == ROUTE_NEED) {
        uint16_t step = again.bought;
        bool fed = false;
        for (uint32_t i = 0; i < p->signals.count; i++) {
            if (read->facts[i].state == FACT_UNKNOWN || read->facts[i].step != step)
                continue;
            route_feed(&again, (int32_t)i, &read->facts[i]);
            fed = true;
        }
        assert_true(fed);
    }
    assert_true(slice_eq(line, compact(again.decision, arena)));
}

static void lazy_equals_eager(void **state)
{
    (void)state;
    static struct image_builder b;
    struct arena arena;
    arena_init(&arena, 1 << 18, 1 << 26);
    rng_seed(&rng, 20261121);
    uint64_t bought = 0, avoided = 0, ends[4] = {0};
    for (int i = 0; i < POLICIES; i++) {
        ib_init(&b);
        const struct policy_image *p = random_policy(&b);
        struct statistics first, epoch;
        struct route_costs costs = random_costs(&first);
        const struct route_table *table;
        assert_int_equal(route_table_open(p, &costs, &arena, &table), RESULT_OK);
        for (int k = 0; k < WORKS; k++) {
            static struct work w;
            struct fact facts[SIGNALS_MAX], given[SIGNALS_MAX] = {0};
            uint8_t states[MODELS_MAX];
            struct naive expected;
            for (int m = 0; m < MODELS_MAX; m++)
                states[m] = (uint8_t)(below(4) ? POOL_MODEL_UP : below(3));
            struct pool_view pool = {.epoch = 7, .states = states, .count = p->models.count};
            random_work(&w, p);
            random_facts(p, facts);
            naive_decide(p, &w, states, facts, &expected);
            struct route_costs later = random_costs(&epoch);
            struct route_options options = {.costs = k % 2 ? &later : NULL};
            struct route_run run;
            assert_int_equal(route_begin(&run, table, &w, &pool, &options, &arena), RESULT_OK);
            uint32_t count = drive(&run, p, facts);
            same(p, run.decision, &expected);
            routes_told(p, run.decision, facts);
            assert_int_equal(run.decision->costs_epoch, k % 2 ? later.epoch : costs.epoch);
            bought += count;
            avoided += p->signals.count - count;
            ends[run.decision->end]++;
            replays(table, p, &w, &pool, options.costs, run.decision, &arena);
            // What was computed, as given by a test, asks for nothing and decides the same.
            for (uint32_t s = 0; s < p->signals.count; s++)
                if (run.decision->facts[s].state != FACT_UNKNOWN) {
                    given[s] = run.decision->facts[s];
                    given[s].state = FACT_GIVEN;
                }
            struct route_run again;
            options.given = given;
            int32_t asked;
            assert_int_equal(route_begin(&again, table, &w, &pool, &options, &arena), RESULT_OK);
            assert_int_equal(route_step(&again, &asked), ROUTE_DECIDED);
            same(p, again.decision, &expected);
            for (uint32_t r = 0; r < p->routes.count; r++) {
                struct route_outcome a = route_outcome(again.decision, r),
                                     z = route_outcome(run.decision, r);
                assert_int_equal(a.verdict, z.verdict);
                assert_int_equal(a.atom, z.atom);
            }
        }
        arena_reset(&arena);
        ib_deinit(&b);
    }
    // The generator is worth something only if all of this happens.
    assert_true(bought > 1000 && avoided > 1000 && besides > 100);
    for (int i = 0; i < 4; i++)
        assert_true(ends[i] > 100);
    arena_deinit(&arena);
}

// Looking at several guards at once finds what looking at one after the other finds, whatever is known.
static void quick_equals_plain(void **state)
{
    (void)state;
    static struct image_builder b;
    struct arena arena;
    uint64_t verdicts[3] = {0};
    arena_init(&arena, 1 << 18, 1 << 24);
    rng_seed(&rng, 3);
    for (int i = 0; i < POLICIES; i++) {
        const struct route_table *t;
        uint64_t known[4], value[4];
        ib_init(&b);
        const struct policy_image *p = random_policy(&b);
        assert_int_equal(route_table_open(p, NULL, &arena, &t), RESULT_OK);
        assert_true(t->must != NULL || p->atoms.count == 0);
        for (int k = 0; k < WORKS; k++) {
            uint64_t all = below(2) ? ~UINT64_C(0) : rng_next(&rng);
            for (int w = 0; w < 4; w++) {
                known[w] = all | (below(2) ? rng_next(&rng) : 0);
                value[w] = known[w] & rng_next(&rng);
            }
            for (uint32_t from = 0; from <= p->routes.count; from++) {
                uint32_t route = from, at = from;
                enum tri quick = table_first(t, known, value, &route), plain = TRI_FALSE;
                int32_t why;
                while (at < p->routes.count &&
                       (plain = table_eval(t, t->guard_at[at], known, value, &why)) == TRI_FALSE)
                    at++;
                assert_int_equal(route, at);
                assert_int_equal(quick, at < p->routes.count ? plain : TRI_FALSE);
                verdicts[quick]++;
            }
        }
        arena_reset(&arena);
        ib_deinit(&b);
    }
    assert_true(verdicts[TRI_TRUE] > 1000 && verdicts[TRI_UNKNOWN] > 1000);
    arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lazy_equals_eager),
                                       cmocka_unit_test(quick_equals_plain)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
