// Constraints, derived signals and chains: deciding lazily gives what a naive interpreter gives that knows everything from
// the start, walks the image as it stands and tries every constraint on every binding. Order, duplicates and names of
// constraints change nothing, and what is recorded is decided again with the same bytes.
//
// Over 800 lines: the naive interpreter is one thing to be read beside one generator, and must share nothing with route/.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/rng.h"
#include "route/record.h"
#include "route/route.h"
#include "support/image_builder.h"

enum {
    POLICIES = 3000,
    WORKS = 5,
    BASES_MAX = 10,
    SIGNALS_MAX = BASES_MAX + 6,
    MODELS_MAX = 5,
    LEVELS = 3,
    CONSTRAINTS_MAX = 8,
    BINDINGS_MAX = 4,
    CHAINS_MAX = 3,
    STEPS_MAX = 4,
    ENDPOINTS = 2,
    SINKS = 3,
};
static const char *const level_names[LEVELS] = {"public", "internal", "phi"};
static const char *const words5[] = {"w0", "w1", "w2", "w3", "w4"};
static const char *const names[] = {"n0", "n1", "n2",  "n3",  "n4",  "n5",  "n6",  "n7",
                                    "n8", "n9", "n10", "n11", "n12", "n13", "n14", "n15"};

static struct rng rng;

static uint32_t below(uint32_t n)
{
    return (uint32_t)rng_below(&rng, n);
}

static bool one_in(uint32_t n)
{
    return below(n) == 0;
}

// ---- random policies

static uint32_t random_atom(struct image_builder *b, uint32_t signals)
{
    int32_t s = (int32_t)below(signals);
    enum image_op op = IMAGE_OP_TRUE;
    if (one_in(8))
        op = IMAGE_OP_FAILED;
    else if (b->signals[s].type == SIGNAL_NUMBER)
        op = (enum image_op)(IMAGE_OP_EQ + below(6));
    else if (b->signals[s].type == SIGNAL_ENUM)
        op = one_in(3) ? IMAGE_OP_EQ : IMAGE_OP_IN;
    uint32_t words = b->signals[s].words.count;
    uint32_t a = ib_atom(b, s, op, words ? below(words) : below(9) / 2.0, "atom");
    b->atoms[a].words = rng_next(&rng) & ((UINT64_C(1) << words) - 1);
    return a;
}

static uint32_t grow(struct image_builder *b, struct image_node *nodes, uint32_t at,
                     uint32_t signals, unsigned depth)
{
    uint32_t kind = below(depth ? 6 : 2), begin = at++;
    if (kind < 2) {
        nodes[begin] = (struct image_node){IMAGE_NODE_ATOM, random_atom(b, signals), 1};
        return at;
    }
    uint32_t count = kind == 2 ? 1 : 2 + below(2);
    for (uint32_t i = 0; i < count; i++)
        at = grow(b, nodes, at, signals, depth - 1);
    nodes[begin] = (struct image_node){kind == 2  ? IMAGE_NODE_NOT
                                       : kind < 5 ? IMAGE_NODE_AND
                                                  : IMAGE_NODE_OR,
                                       kind == 2 ? 0 : count, at - begin};
    return at;
}

static struct image_list random_guard(struct image_builder *b, uint32_t signals)
{
    struct image_node nodes[256];
    uint32_t n = grow(b, nodes, 0, signals, below(3));
    return IB_LIST(b, nodes, n);
}

static void random_derived(struct image_builder *b, const char *name)
{
    struct image_term terms[4] = {{.signal = IMAGE_NONE}};
    uint32_t signals = b->signal_count, n = 1 + below(4), numbers[SIGNALS_MAX], count = 0;
    enum image_derive derive = (enum image_derive)(1 + below(3));
    for (uint32_t i = 0; i < signals; i++)
        if (b->signals[i].type == SIGNAL_NUMBER)
            numbers[count++] = i;
    if (derive == IMAGE_DERIVE_EXCLUSIVE && !count)
        derive = IMAGE_DERIVE_LABEL;
    for (uint32_t i = 0; i < n; i++) {
        bool by_signal = derive == IMAGE_DERIVE_EXCLUSIVE ||
                         (derive == IMAGE_DERIVE_SCORE && count && !one_in(3));
        terms[i] = (struct image_term){.signal = IMAGE_NONE, .word = i};
        if (by_signal)
            terms[i].signal = (int32_t)numbers[below(count)];
        else if (!(derive == IMAGE_DERIVE_LABEL && one_in(10)))
            terms[i].guard = random_guard(b, signals);
        if (derive == IMAGE_DERIVE_LABEL)
            terms[i].word = below(LEVELS);
        terms[i].weight = ((double)below(9) - 4) / 4;
    }
    enum signal_type type = derive != IMAGE_DERIVE_SCORE ? SIGNAL_ENUM
                            : one_in(2)                  ? SIGNAL_ENUM
                            : one_in(2)                  ? SIGNAL_NUMBER
                                                         : SIGNAL_BOOL;
    int32_t at = ib_derived(b, name, derive, type, terms, n);
    struct image_signal *s = &b->signals[at];
    s->number_min = -20;
    s->number_max = 20;
    s->error_level = one_in(2) ? LEVELS - 1 : below(LEVELS);
    s->otherwise = n;
    s->temperature = 0.25 * (1 + below(4));
    s->margin = below(3) * 0.137;
    s->has_threshold = type == SIGNAL_BOOL;
    s->threshold_above = one_in(2);
    s->threshold = below(5) / 2.0 - 1;
    if (derive == IMAGE_DERIVE_LABEL)
        s->words = ib_words(b, level_names, LEVELS);
    else if (type == SIGNAL_ENUM)
        s->words = ib_words(b, words5, derive == IMAGE_DERIVE_SCORE ? 3 : n + 1);
    const struct image_band bands[] = {{-INFINITY}, {below(4) / 4.0}, {1 + below(8) / 4.0}};
    if (derive == IMAGE_DERIVE_SCORE && type == SIGNAL_ENUM)
        s->bands = IB_LIST(b, bands, 3);
}

static void random_signals(struct image_builder *b)
{
    static const enum signal_type types[] = {SIGNAL_BOOL, SIGNAL_BOOL, SIGNAL_NUMBER, SIGNAL_NUMBER,
                                             SIGNAL_ENUM};
    uint32_t bases = 2 + below(BASES_MAX - 2), derived = below(6);
    for (uint32_t i = 0; i < bases; i++) {
        int32_t s = ib_signal(b, names[i], types[below(5)]);
        b->signals[s].number_min = 0;
        b->signals[s].number_max = one_in(6) ? 1e300 : 4;
        b->signals[s].error_number = below(2);
        if (b->signals[s].type == SIGNAL_ENUM)
            b->signals[s].words = ib_words(b, words5, 4);
    }
    for (uint32_t i = 0; i < derived; i++)
        random_derived(b, names[bases + i]);
}

static void random_models(struct image_builder *b)
{
    static const char *const urls[] = {"http://a", "http://b", "http://c"};
    for (int i = 0; i < 3; i++) {
        int32_t z = ib_zone(b, names[i]);
        b->zones[z].clears.level[0] = (uint8_t)below(LEVELS);
        struct image_sink *s =
            ib_sink(b, names[i], one_in(4) ? IMAGE_SINK_EMBEDDING : IMAGE_SINK_CACHE);
        s->zone = one_in(3) ? IMAGE_NONE : (int32_t)below((uint32_t)z + 1);
        s->clears.level[0] = (uint8_t)below(LEVELS);
        s->call_nusd = one_in(3) ? -1 : (int64_t)below(1000);
        s->timeout_ms = one_in(3) ? 0 : 100;
        s->cap_tok = one_in(3) ? 0 : 500;
    }
    uint32_t models = 1 + below(MODELS_MAX);
    for (uint32_t i = 0; i < models; i++) {
        struct image_model *m = ib_model(b, names[i]);
        struct image_endpoint e[ENDPOINTS];
        m->zone = one_in(5) ? IMAGE_NONE : (int32_t)below(3);
        m->can = one_in(4) ? 1 : ~0u;
        m->context_tok = one_in(3) ? 0 : 4000;
        m->output_tok = one_in(3) ? 0 : 100 * (1 + below(8));
        m->priced = !one_in(4);
        m->price_in_nusd = below(4) * 1000000;
        m->price_out_nusd = below(4) * 1000000;
        m->energy_in_uj = one_in(3) ? -1 : (int64_t)below(3) * 1000000;
        m->energy_out_uj = one_in(3) ? -1 : (int64_t)below(3) * 1000000;
        m->timeout_ms = one_in(3) ? 0 : 1000 * (1 + below(3));
        m->quality = (float)below(4) / 4;
        uint32_t n = 1 + below(ENDPOINTS);
        for (uint32_t k = 0; k < n; k++) {
            e[k] = (struct image_endpoint){
                .url = ib_str(b, urls[below(3)]), .model = (int32_t)i, .line = 1};
            b->endpoints[b->endpoint_count++] = e[k];
        }
        m->endpoints = IB_LIST(b, e, n);
    }
}

static struct image_list random_chain(struct image_builder *b)
{
    struct image_step steps[STEPS_MAX];
    uint32_t n = one_in(3) ? 1 + below(STEPS_MAX) : 1;
    for (uint32_t i = 0; i < n; i++) {
        enum image_step_kind k = n == 1 ? one_in(6) ? IMAGE_STEP_REFUSE : IMAGE_STEP_ANSWER
                                        : (enum image_step_kind)below(IMAGE_STEP_KIND_COUNT_);
        if (k == IMAGE_STEP_REFUSE && i + 1 < n)
            k = IMAGE_STEP_VERIFY;
        struct image_binding bindings[BINDINGS_MAX];
        uint32_t count = 1 + below(BINDINGS_MAX);
        for (uint32_t c = 0; c < count; c++)
            bindings[c] =
                (struct image_binding){(int32_t)below(b->model_count), (enum image_effort)below(3)};
        bool sink = k == IMAGE_STEP_RETRIEVE || k == IMAGE_STEP_CACHE ||
                    (k == IMAGE_STEP_VERIFY && one_in(2));
        bool asks =
            k == IMAGE_STEP_ANSWER || k == IMAGE_STEP_FUSE || (k == IMAGE_STEP_VERIFY && !sink);
        steps[i] = (struct image_step){.kind = k,
                                       .escalated = k == IMAGE_STEP_ANSWER && one_in(6),
                                       .sink = sink ? (int32_t)below(SINKS) : IMAGE_NONE,
                                       .lattice = k == IMAGE_STEP_REDACT ? 0 : IMAGE_NONE,
                                       .level = below(LEVELS),
                                       .retries = below(2),
                                       .hedges = asks && one_in(6),
                                       .cap_tok = one_in(2) ? 0 : 200};
        if (asks)
            steps[i].bindings = IB_LIST(b, bindings, count);
    }
    return IB_LIST(b, steps, n);
}

static void random_constraint(struct image_builder *b)
{
    struct image_constraint *c =
        ib_constraint(b, names[b->constraint_count], (enum image_constraint_kind)below(4), NULL, 0);
    if (!one_in(6))
        c->guard = random_guard(b, b->signal_count);
    c->target = one_in(3)   ? IMAGE_FORBID_ENDPOINT
                : one_in(4) ? IMAGE_FORBID_EFFORT
                            : (enum image_target)below(7);
    const uint32_t counts[] = {
        3, 1, b->model_count, b->endpoint_count, 3, IMAGE_STEP_KIND_COUNT_, SINKS};
    c->index = (int32_t)below(counts[c->target]);
    c->level = 1 + below(LEVELS - 1);
    c->step = one_in(2) ? IMAGE_STEP_VERIFY : (enum image_step_kind)below(IMAGE_STEP_KIND_COUNT_);
    if (c->kind == IMAGE_REQUIRE)
        c->sink = c->step == IMAGE_STEP_VERIFY && one_in(3) ? (int32_t)below(SINKS) : IMAGE_NONE;
    c->extra = (enum image_extra)below(IMAGE_EXTRA_COUNT_);
    c->count = 1 + below(2);
    c->unit = (enum image_unit)below(6);
    static const int64_t limits[] = {2000, 3000, 10, 2500, 3000, 2};
    c->limit = limits[c->unit] * (1 + (int64_t)below(3)) / 2;
    c->window = one_in(6) ? IMAGE_PER_DAY : IMAGE_PER_REQUEST;
    c->hard = !one_in(6);
}

static const struct policy_image *random_policy(struct image_builder *b)
{
    struct image_list chains[CHAINS_MAX];
    ib_lattice(b, "exposure", level_names, LEVELS);
    random_models(b);
    random_signals(b);
    uint32_t routes = below(5), constraints = below(CONSTRAINTS_MAX);
    for (uint32_t i = 0; i <= routes; i++) {
        struct image_chain list[CHAINS_MAX];
        uint32_t n = 1 + below(CHAINS_MAX);
        for (uint32_t c = 0; c < n; c++)
            list[c].steps = chains[c] = random_chain(b);
        struct image_route *r = ib_route(b, names[i], NULL, 0, chains[0]);
        r->chains = IB_LIST(b, list, n);
        if (i < routes)
            r->guard = random_guard(b, b->signal_count);
        r->is_otherwise = i == routes;
        r->objective = (enum image_objective)below(4);
        r->quality_min = one_in(3) ? 0.25f : 0;
        r->cost_max_nusd = one_in(4) ? 2000 : -1;
    }
    for (uint32_t i = 0; i < constraints; i++)
        random_constraint(b);
    ib_alias(b, "fast", IMAGE_TARGET_ROUTE, (int32_t)below(b->route_count));
    return ib_finish(b);
}

// ---- random works

static void random_facts(const struct policy_image *p, struct fact *facts)
{
    for (uint32_t i = 0; i < p->signals.count; i++) {
        const struct image_signal *s = image_signal(p, (int32_t)i);
        facts[i] = (struct fact){.state = FACT_UNKNOWN};
        if (s->derive)
            continue;
        facts[i] = (struct fact){.state = FACT_KNOWN, .probability = 1};
        facts[i].number = below(s->type == SIGNAL_BOOL ? 2 : s->type == SIGNAL_NUMBER ? 6 : 4);
        if (s->type == SIGNAL_NUMBER)
            facts[i].number -= below(3) / 2.0;
        if (one_in(8))
            route_failed_fact(p, (int32_t)i, FACT_ERROR_DEADLINE, &facts[i]);
    }
}

static void random_work(struct work *w)
{
    static const char *const asked[] = {"", "", "", "auto", "fast", "n0", "nobody"};
    memset(w, 0, sizeof *w);
    w->model_asked = slice_cstr(asked[below(MERIT_COUNT(asked))]);
    w->needs = one_in(3) ? 2 : 0;
    w->max_output_tok = one_in(2) ? 0 : 50 * (1 + below(10));
    w->input_tok = below(1500);
    w->choices = 1 + below(2);
    w->anchor = WORK_NO_ANCHOR;
}

// ---- the naive interpreter: values

struct world {
    const struct policy_image *p;
    const struct work *w;
    const struct fact *facts; // of base signals, and of derived ones that are given
    const uint8_t *states;
};

static double naive_value(const struct world *n, int32_t signal);
static bool naive_guard(const struct world *n, struct image_list guard);

static bool naive_failed(const struct world *n, int32_t signal)
{
    const struct image_signal *s = image_signal(n->p, signal);
    if (!s->derive || n->facts[signal].state != FACT_UNKNOWN)
        return n->facts[signal].state == FACT_FAILED;
    for (uint32_t i = 0; i < s->terms.count; i++) {
        const struct image_term *t = IMAGE_AT(n->p, s->terms, struct image_term) + i;
        if (t->signal >= 0 && naive_failed(n, t->signal))
            return true;
        for (uint32_t k = 0; k < t->guard.count; k++) {
            const struct image_node *node = IMAGE_AT(n->p, t->guard, struct image_node) + k;
            if (node->kind == IMAGE_NODE_ATOM &&
                naive_failed(n, IMAGE_AT(n->p, n->p->atoms, struct image_atom)[node->arg].signal))
                return true;
        }
    }
    return false;
}

static double naive_clamped(const struct world *n, int32_t signal)
{
    const struct image_signal *s = image_signal(n->p, signal);
    double v = naive_value(n, signal);
    return s->derive && n->facts[signal].state == FACT_UNKNOWN
               ? v
               : fmin(fmax(v, s->number_min), s->number_max);
}

static double naive_group(const struct world *n, int32_t signal)
{
    const struct image_signal *s = image_signal(n->p, signal);
    const struct image_term *t = IMAGE_AT(n->p, s->terms, struct image_term);
    double p[8] = {0}, sum = 0, first = -1, second = -1;
    uint32_t word = s->otherwise;
    if (naive_failed(n, signal))
        return s->otherwise;
    for (uint32_t i = 0; i < s->terms.count; i++) {
        // Against the member's own value: in a softmax only differences count.
        sum = 0;
        for (uint32_t k = 0; k < s->terms.count; k++)
            sum += exp((naive_clamped(n, t[k].signal) - naive_clamped(n, t[i].signal)) /
                       s->temperature);
        p[i] = 1 / sum;
    }
    for (uint32_t i = 0; i < s->terms.count; i++) {
        if (naive_clamped(n, t[i].signal) > first || i == 0) {
            first = naive_clamped(n, t[i].signal);
            word = i;
        }
    }
    for (uint32_t i = 0; i < s->terms.count; i++)
        if (i != word && p[i] > second)
            second = p[i];
    bool tie = false;
    for (uint32_t i = 0; i < s->terms.count; i++)
        tie |= i != word && naive_clamped(n, t[i].signal) == first;
    double lead = tie ? 0 : p[word] - (second < 0 ? 0 : second);
    return lead >= s->margin ? t[word].word : s->otherwise;
}

static double naive_score(const struct world *n, const struct image_signal *s)
{
    const struct image_term *t = IMAGE_AT(n->p, s->terms, struct image_term);
    double sum = 0;
    for (uint32_t i = 0; i < s->terms.count; i++)
        sum += t[i].weight *
               (t[i].signal >= 0 ? naive_clamped(n, t[i].signal) : naive_guard(n, t[i].guard));
    if (s->type == SIGNAL_NUMBER)
        return sum;
    if (s->type == SIGNAL_BOOL)
        return s->threshold_above ? sum > s->threshold : sum < s->threshold;
    uint32_t word = 0;
    for (uint32_t i = 1; i < s->bands.count; i++)
        if (sum >= IMAGE_AT(n->p, s->bands, struct image_band)[i].from && word + 1 == i)
            word = i;
    return word;
}

static double naive_value(const struct world *n, int32_t signal)
{
    const struct image_signal *s = image_signal(n->p, signal);
    const struct image_term *t = IMAGE_AT(n->p, s->terms, struct image_term);
    if (!s->derive || n->facts[signal].state != FACT_UNKNOWN)
        return n->facts[signal].number;
    if (s->derive == IMAGE_DERIVE_SCORE)
        return naive_score(n, s);
    if (s->derive == IMAGE_DERIVE_EXCLUSIVE)
        return naive_group(n, signal);
    uint32_t level = naive_failed(n, signal) ? s->error_level : 0;
    for (uint32_t i = 0; i < s->terms.count; i++)
        if (t[i].word > level && naive_guard(n, t[i].guard))
            level = t[i].word;
    return level;
}

static bool naive_atom(const struct world *n, uint32_t index)
{
    const struct image_atom *a = IMAGE_AT(n->p, n->p->atoms, struct image_atom) + index;
    if (a->op == IMAGE_OP_FAILED)
        return naive_failed(n, a->signal);
    double v = naive_value(n, a->signal), x = a->number;
    return (a->op == IMAGE_OP_TRUE && v != 0) || (a->op == IMAGE_OP_EQ && v == x) ||
           (a->op == IMAGE_OP_NE && v != x) || (a->op == IMAGE_OP_LT && v < x) ||
           (a->op == IMAGE_OP_LE && v <= x) || (a->op == IMAGE_OP_GT && v > x) ||
           (a->op == IMAGE_OP_GE && v >= x) || (a->op == IMAGE_OP_IN && (a->words >> (int)v) % 2);
}

static bool naive_node(const struct world *n, const struct image_node *node)
{
    if (node->kind == IMAGE_NODE_ATOM)
        return naive_atom(n, node->arg);
    if (node->kind == IMAGE_NODE_NOT)
        return !naive_node(n, node + 1);
    uint32_t held = 0;
    const struct image_node *child = node + 1;
    for (uint32_t i = 0; i < node->arg; i++, child += child->size)
        held += naive_node(n, child);
    return node->kind == IMAGE_NODE_AND ? held == node->arg : held > 0;
}

static bool naive_guard(const struct world *n, struct image_list guard)
{
    return !guard.count || naive_node(n, IMAGE_AT(n->p, guard, struct image_node));
}

// ---- the naive interpreter: constraints

static bool naive_model_ok(const struct world *n, const struct image_route *r, int32_t index)
{
    const struct image_model *m = image_model(n->p, index);
    int64_t out = 256, most = n->w->max_output_tok;
    if (most && most < out)
        out = most;
    if (m->output_tok && m->output_tok < out)
        out = m->output_tok;
    if (n->states[index] != POOL_MODEL_UP || (n->w->needs & ~m->can))
        return false;
    if (m->output_tok && most > m->output_tok)
        return false;
    if (m->context_tok && (int64_t)n->w->input_tok + (most ? most : out) > m->context_tok)
        return false;
    if (!r)
        return true;
    int64_t cost =
        ((int64_t)n->w->input_tok * m->price_in_nusd + out * n->w->choices * m->price_out_nusd) /
        1000000;
    bool limited = r->cost_max_nusd >= 0;
    return m->quality >= r->quality_min &&
           (m->priced || (!limited && r->objective != IMAGE_OBJECTIVE_COST)) &&
           (!limited || cost <= r->cost_max_nusd) &&
           (r->objective != IMAGE_OBJECTIVE_ENERGY ||
            (m->energy_in_uj >= 0 && m->energy_out_uj >= 0));
}

// -1: unbounded
static double naive_bound(const struct world *n, const struct image_step *s, int32_t model,
                          enum image_unit unit, double added)
{
    double times = s->retries ? 1 + s->retries : 1;
    if (model >= 0 && !s->retries)
        times = image_model(n->p, model)->endpoints.count;
    times *= unit == IMAGE_UNIT_MS ? 1 : 1 + s->hedges;
    if (model < 0) {
        if (s->sink < 0)
            return 0;
        const struct image_sink *k = IMAGE_AT(n->p, n->p->sinks, struct image_sink) + s->sink;
        switch (unit) {
        case IMAGE_UNIT_CALLS:
            return times;
        case IMAGE_UNIT_TOK:
            return 0;
        case IMAGE_UNIT_NUSD:
            return k->call_nusd < 0 ? -1 : (double)k->call_nusd * times;
        case IMAGE_UNIT_UJ:
            return k->call_uj < 0 ? -1 : (double)k->call_uj * times;
        case IMAGE_UNIT_MS:
            return k->timeout_ms ? k->timeout_ms * times : -1;
        default:
            return -1;
        }
    }
    const struct image_model *m = image_model(n->p, model);
    bool verify = s->kind == IMAGE_STEP_VERIFY;
    double in = verify ? m->context_tok : n->w->input_tok + added, out = 1e18;
    if (s->cap_tok)
        out = fmin(out, s->cap_tok);
    if (m->output_tok)
        out = fmin(out, m->output_tok);
    if (m->context_tok)
        out = fmin(out, m->context_tok);
    if (!verify && n->w->max_output_tok)
        out = fmin(out, n->w->max_output_tok);
    if (unit == IMAGE_UNIT_CALLS)
        return times;
    if (unit == IMAGE_UNIT_MS)
        return m->timeout_ms ? m->timeout_ms * times : -1;
    if (out == 1e18 || added < 0 || (verify && in == 0) || unit == IMAGE_UNIT_UG)
        return verify && added < 0 && out != 1e18 && in != 0 && unit != IMAGE_UNIT_UG
                   ? naive_bound(n, s, model, unit, 0)
                   : -1;
    out *= verify ? 1 : n->w->choices;
    if (unit == IMAGE_UNIT_TOK)
        return (in + out) * times;
    if (unit == IMAGE_UNIT_NUSD)
        return m->priced
                   ? ceil((in * (double)m->price_in_nusd + out * (double)m->price_out_nusd) / 1e6) *
                         times
                   : -1;
    return m->energy_in_uj < 0 || m->energy_out_uj < 0
               ? -1
               : ceil((in * (double)m->energy_in_uj + out * (double)m->energy_out_uj) / 1e6) *
                     times;
}

static bool naive_url_hit(const struct policy_image *p, int32_t named, const struct image_model *m,
                          uint32_t k)
{
    struct slice a = image_text(p, IMAGE_AT(p, p->endpoints, struct image_endpoint)[named].url);
    return slice_eq(a, image_text(p, IMAGE_AT(p, m->endpoints, struct image_endpoint)[k].url));
}

static uint32_t naive_closed(const struct world *n, int32_t model)
{
    const struct image_constraint *c = IMAGE_AT(n->p, n->p->constraints, struct image_constraint);
    const struct image_model *m = image_model(n->p, model);
    uint32_t closed = 0;
    for (uint32_t i = 0; i < n->p->constraints.count; i++)
        for (uint32_t k = 0; k < m->endpoints.count; k++)
            if (c[i].kind == IMAGE_FORBID && c[i].target == IMAGE_FORBID_ENDPOINT &&
                naive_url_hit(n->p, c[i].index, m, k) && naive_guard(n, c[i].guard))
                closed |= 1u << k;
    return closed;
}

struct chain {
    const struct image_step *steps;
    const struct image_binding *bindings[STEPS_MAX];
    uint32_t count, binding_count[STEPS_MAX];
};

static bool naive_redacted(const struct chain *ch, uint32_t at, const struct image_constraint *c)
{
    while (at-- > 0)
        if (ch->steps[at].kind == IMAGE_STEP_REDACT && ch->steps[at].level < c->level)
            return true;
    return false;
}

static bool naive_forbidden(const struct world *n, const struct chain *ch, uint32_t at,
                            const struct image_binding *b)
{
    const struct image_constraint *c = IMAGE_AT(n->p, n->p->constraints, struct image_constraint);
    const struct image_zone *zones = IMAGE_AT(n->p, n->p->zones, struct image_zone);
    const struct image_model *m = image_model(n->p, b->model);
    for (uint32_t i = 0; i < n->p->constraints.count; i++) {
        if (c[i].kind != IMAGE_FORBID || !naive_guard(n, c[i].guard))
            continue;
        uint32_t clears = m->zone < 0 ? 0 : zones[m->zone].clears.level[0];
        if ((c[i].target == IMAGE_FORBID_ZONE && m->zone == c[i].index) ||
            (c[i].target == IMAGE_FORBID_MODEL && b->model == c[i].index) ||
            (c[i].target == IMAGE_FORBID_EFFORT && (int32_t)b->effort == c[i].index) ||
            (c[i].target == IMAGE_FORBID_BELOW && clears < c[i].level &&
             !naive_redacted(ch, at, &c[i])))
            return true;
    }
    return naive_closed(n, b->model) == (1u << m->endpoints.count) - 1;
}

static double naive_added(const struct world *n, const struct chain *ch)
{
    double sum = 0;
    for (uint32_t i = 0; i < ch->count; i++) {
        if (ch->steps[i].kind != IMAGE_STEP_RETRIEVE)
            continue;
        uint32_t cap = IMAGE_AT(n->p, n->p->sinks, struct image_sink)[ch->steps[i].sink].cap_tok;
        if (!cap)
            return -1;
        sum += cap;
    }
    return sum;
}

// The least that a step can cost; -1 unbounded.
static double naive_least(const struct world *n, const struct chain *ch, uint32_t at,
                          enum image_unit unit)
{
    const struct image_step *s = &ch->steps[at];
    double least = -1, sum = 0, added = naive_added(n, ch);
    if (!ch->binding_count[at])
        return naive_bound(n, s, -1, unit, added);
    for (uint32_t i = 0; i < ch->binding_count[at]; i++) {
        double one = naive_bound(n, s, ch->bindings[at][i].model, unit, added);
        sum = sum < 0 || one < 0 ? -1 : sum + one;
        if (!naive_forbidden(n, ch, at, &ch->bindings[at][i]) && one >= 0 &&
            (least < 0 || one < least))
            least = one;
    }
    return s->kind == IMAGE_STEP_FUSE ? sum : least;
}

static bool naive_over_budget(const struct world *n, const struct chain *ch, uint32_t at,
                              const struct image_binding *b)
{
    const struct image_constraint *c = IMAGE_AT(n->p, n->p->constraints, struct image_constraint);
    for (uint32_t i = 0; i < n->p->constraints.count; i++) {
        if (c[i].kind != IMAGE_BUDGET || !c[i].hard || c[i].window != IMAGE_PER_REQUEST ||
            !naive_guard(n, c[i].guard))
            continue;
        bool fuse = ch->steps[at].kind == IMAGE_STEP_FUSE;
        double sum = fuse ? naive_least(n, ch, at, c[i].unit)
                          : naive_bound(n, &ch->steps[at], b->model, c[i].unit, naive_added(n, ch));
        bool unbounded = sum < 0;
        for (uint32_t k = 0; k < ch->count; k++) {
            double more = k == at ? 0 : naive_least(n, ch, k, c[i].unit);
            unbounded |= more < 0;
            sum += more;
        }
        if (unbounded || sum > (double)c[i].limit)
            return true;
    }
    return false;
}

static bool naive_answers(const struct image_step *s)
{
    return s->kind == IMAGE_STEP_ANSWER || s->kind == IMAGE_STEP_FUSE;
}

// What a chain delivers has passed the step.
static bool naive_line(const struct chain *ch, const struct image_constraint *c)
{
    int first = 99, last = -1;
    bool early = c->step == IMAGE_STEP_RETRIEVE || c->step == IMAGE_STEP_REDACT ||
                 c->step == IMAGE_STEP_CLARIFY;
    for (int i = 0; i < (int)ch->count; i++)
        if (naive_answers(&ch->steps[i])) {
            first = first == 99 ? i : first;
            last = i;
        }
    for (int i = 0; i < (int)ch->count; i++) {
        const struct image_step *s = &ch->steps[i];
        bool there = c->step == IMAGE_STEP_VERIFY ? i > last : early ? i < first : true;
        if (there && s->kind == c->step && (c->sink < 0 || c->sink == s->sink))
            return true;
    }
    return false;
}

static void naive_chain(const struct world *n, struct image_list list, struct chain *ch)
{
    ch->steps = IMAGE_AT(n->p, list, struct image_step);
    ch->count = list.count;
    for (uint32_t i = 0; i < list.count; i++) {
        ch->bindings[i] = IMAGE_AT(n->p, ch->steps[i].bindings, struct image_binding);
        ch->binding_count[i] = ch->steps[i].bindings.count;
    }
}

// What comes out of the cache at step `at` has passed what is required.
static bool naive_hit(const struct chain *ch, uint32_t at, const struct image_constraint *c)
{
    bool hit = false;
    for (uint32_t i = 0; i <= at; i++)
        hit |= ch->steps[i].kind == c->step && (c->sink < 0 || c->sink == ch->steps[i].sink);
    return hit;
}

static bool naive_met(const struct chain *ch, const struct image_constraint *c)
{
    bool any = false;
    for (uint32_t i = 0; i < ch->count; i++) {
        any |= naive_answers(&ch->steps[i]);
        if (ch->steps[i].kind == IMAGE_STEP_CACHE && !naive_hit(ch, i, c))
            return false;
    }
    return !any || ch->steps[ch->count - 1].kind == IMAGE_STEP_REFUSE || naive_line(ch, c);
}

static bool naive_sink_hit(const struct world *n, const struct chain *ch, uint32_t at,
                           const struct image_constraint *c, int32_t sink)
{
    const struct image_sink *s = IMAGE_AT(n->p, n->p->sinks, struct image_sink) + sink;
    return (c->target == IMAGE_FORBID_SINK && sink == c->index) ||
           (c->target == IMAGE_FORBID_ZONE && s->zone == c->index) ||
           (c->target == IMAGE_FORBID_BELOW && s->clears.level[0] < c->level &&
            !naive_redacted(ch, at, c));
}

static bool naive_open(const struct world *n, const struct chain *ch)
{
    const struct image_constraint *c = IMAGE_AT(n->p, n->p->constraints, struct image_constraint);
    const struct image_sink *sinks = IMAGE_AT(n->p, n->p->sinks, struct image_sink);
    uint32_t need[3] = {0}, may[3] = {0};
    for (uint32_t k = 0; k < ch->count; k++) {
        need[IMAGE_EXTRA_ESCALATE] += ch->steps[k].escalated;
        need[IMAGE_EXTRA_FUSE] += ch->steps[k].kind == IMAGE_STEP_FUSE;
        need[IMAGE_EXTRA_HEDGE] += ch->steps[k].hedges;
    }
    for (uint32_t i = 0; i < n->p->constraints.count; i++, c++) {
        if (!naive_guard(n, c->guard))
            continue;
        if (c->kind == IMAGE_REQUIRE && !naive_met(ch, c))
            return false;
        if (c->kind == IMAGE_ALLOW && c->count > may[c->extra])
            may[c->extra] = c->count;
        for (uint32_t k = 0; k < ch->count && c->kind == IMAGE_FORBID; k++) {
            const struct image_step *s = &ch->steps[k];
            if (c->target == IMAGE_FORBID_STEP && (int32_t)s->kind == c->index)
                return false;
            for (int32_t e = 0; e < SINKS; e++) {
                bool embeds = s->kind == IMAGE_STEP_RETRIEVE || s->kind == IMAGE_STEP_CACHE;
                if (embeds && sinks[e].kind == IMAGE_SINK_EMBEDDING &&
                    naive_sink_hit(n, ch, k, c, e))
                    return false;
            }
            if (s->sink >= 0 && naive_sink_hit(n, ch, k, c, s->sink))
                return false;
        }
    }
    return need[0] <= may[0] && need[1] <= may[1] && need[2] <= may[2];
}

// Bits of the bindings of step `at` that are left.
static uint32_t naive_set(const struct world *n, const struct image_route *r,
                          const struct chain *ch, uint32_t at)
{
    uint32_t set = 0;
    for (uint32_t i = 0; i < ch->binding_count[at]; i++) {
        const struct image_binding *b = &ch->bindings[at][i];
        const struct image_route *wants = ch->steps[at].kind == IMAGE_STEP_VERIFY ? NULL : r;
        if (naive_model_ok(n, wants, b->model) && !naive_forbidden(n, ch, at, b) &&
            !naive_over_budget(n, ch, at, b))
            set |= 1u << i;
    }
    return set;
}

struct outcome {
    enum decision_end end;
    int32_t route, chain, model;
    enum image_effort effort;
    uint32_t set, closed;
};

static double naive_worth(const struct world *n, const struct image_route *r, int32_t index)
{
    const struct image_model *m = image_model(n->p, index);
    int64_t out = 256;
    if (n->w->max_output_tok && n->w->max_output_tok < out)
        out = n->w->max_output_tok;
    if (m->output_tok && m->output_tok < out)
        out = m->output_tok;
    out *= n->w->choices;
    if (r && r->objective == IMAGE_OBJECTIVE_QUALITY)
        return (double)m->quality;
    if (r && r->objective == IMAGE_OBJECTIVE_COST)
        return -(double)((n->w->input_tok * m->price_in_nusd + out * m->price_out_nusd) / 1000000);
    if (r && r->objective == IMAGE_OBJECTIVE_ENERGY)
        return -(double)((n->w->input_tok * m->energy_in_uj + out * m->energy_out_uj) / 1000000);
    return 0;
}

static bool naive_take(const struct world *n, const struct image_route *r, const struct chain *ch,
                       bool all_steps, struct outcome *out)
{
    bool simple = ch->count == 1 &&
                  (ch->steps->kind == IMAGE_STEP_ANSWER || ch->steps->kind == IMAGE_STEP_REFUSE);
    int answer = -1;
    if ((!simple && !all_steps) || !naive_open(n, ch))
        return false;
    for (uint32_t i = 0; i < ch->count; i++) {
        uint32_t full = (1u << ch->binding_count[i]) - 1, set = naive_set(n, r, ch, i);
        if (full && (ch->steps[i].kind == IMAGE_STEP_FUSE ? set != full : !set))
            return false;
        if (answer < 0 && naive_answers(&ch->steps[i])) {
            answer = (int)i;
            out->set = set;
        }
    }
    out->end = answer < 0 ? DECISION_REFUSE : DECISION_ANSWER;
    if (answer < 0)
        return true;
    int best = -1;
    for (uint32_t i = 0; i < ch->binding_count[answer]; i++) {
        const struct image_binding *b = &ch->bindings[answer][i];
        if ((out->set >> i & 1) &&
            (best < 0 ||
             naive_worth(n, r, b->model) > naive_worth(n, r, ch->bindings[answer][best].model)))
            best = (int)i;
    }
    out->model = ch->bindings[answer][best].model;
    out->effort = ch->bindings[answer][best].effort;
    out->closed = naive_closed(n, out->model);
    return true;
}

static void naive_decide(const struct world *n, bool all_steps, struct outcome *out)
{
    static const struct image_step plain = {
        .kind = IMAGE_STEP_ANSWER, .sink = IMAGE_NONE, .lattice = IMAGE_NONE};
    struct chain ch;
    *out = (struct outcome){.end = DECISION_INFEASIBLE, .route = -1, .chain = -1, .model = -1};
    struct slice asked = n->w->model_asked;
    if (slice_eq_cstr(asked, "nobody")) {
        out->end = DECISION_NO_MODEL;
        return;
    }
    if (slice_eq_cstr(asked, "n0")) {
        const struct image_binding named = {0, IMAGE_EFFORT_DEFAULT};
        ch = (struct chain){&plain, {&named}, 1, {1}};
        naive_take(n, NULL, &ch, all_steps, out);
        out->set = 0;
        return;
    }
    if (slice_eq_cstr(asked, "fast"))
        out->route = IMAGE_AT(n->p, n->p->aliases, struct image_alias)->index;
    for (uint32_t i = 0; out->route < 0; i++)
        if (naive_guard(n, image_route(n->p, (int32_t)i)->guard))
            out->route = (int32_t)i;
    const struct image_route *r = image_route(n->p, out->route);
    for (uint32_t i = 0; i < r->chains.count; i++) {
        naive_chain(n, image_chains(n->p, r)[i].steps, &ch);
        if (naive_take(n, r, &ch, all_steps, out)) {
            out->chain = (int32_t)i;
            return;
        }
        out->set = out->closed = 0;
    }
}

static bool naive_dropped(const struct world *n, const struct outcome *o, enum image_effort asked)
{
    const struct image_constraint *c = IMAGE_AT(n->p, n->p->constraints, struct image_constraint);
    bool forbidden = false;
    for (uint32_t i = 0; i < n->p->constraints.count; i++)
        forbidden |= c[i].kind == IMAGE_FORBID && c[i].target == IMAGE_FORBID_EFFORT &&
                     c[i].index == (int32_t)asked && naive_guard(n, c[i].guard);
    return o->end == DECISION_ANSWER && o->effort == IMAGE_EFFORT_DEFAULT &&
           asked != IMAGE_EFFORT_DEFAULT && forbidden;
}

// ---- side by side

static struct outcome outcome_of(const struct decision *d)
{
    struct outcome o = {d->end, d->route, d->chain, d->model, d->effort, 0, 0};
    if (d->end != DECISION_ANSWER)
        return o;
    o.closed = d->endpoints_closed;
    o.set = d->route < 0 ? 0 : (uint32_t)d->fits[0];
    return o;
}

static void same(const struct outcome *a, const struct outcome *b)
{
    assert_int_equal(a->end, b->end);
    assert_int_equal(a->route, b->route);
    assert_int_equal(a->chain, b->chain);
    assert_int_equal(a->model, b->model);
    assert_int_equal(a->effort, b->effort);
    assert_int_equal(a->set, b->set);
    assert_int_equal(a->closed, b->closed);
}

static uint32_t drive(struct route_run *run, const struct policy_image *p, const struct fact *facts)
{
    bool asked[SIGNALS_MAX] = {false};
    uint32_t count = 0;
    int32_t s, again;
    while (route_step(run, &s) == ROUTE_NEED) {
        assert_in_range(s, 0, p->signals.count - 1);
        assert_int_equal(image_signal(p, s)->derive, IMAGE_DERIVE_NONE);
        assert_false(asked[s]);
        assert_int_equal(route_step(run, &again), ROUTE_NEED);
        assert_int_equal(again, s);
        asked[s] = true;
        count++;
        if (facts[s].state == FACT_FAILED)
            route_fail(run, s, FACT_ERROR_DEADLINE);
        else
            route_feed(run, s, &facts[s]);
    }
    return count;
}

// What is filled of derived signals is what they are.
static void derived_told(const struct world *n, const struct decision *d)
{
    for (uint32_t i = 0; i < n->p->signals.count; i++)
        if (image_signal(n->p, (int32_t)i)->derive && d->facts[i].state == FACT_KNOWN)
            assert_true(d->facts[i].number == naive_value(n, (int32_t)i));
}

static void replays(const struct route_table *t, const struct decision *d, struct arena *arena)
{
    struct buf a, b;
    struct decision *read, *again;
    buf_init(&a, 1 << 20);
    buf_init(&b, 1 << 20);
    record_compact(d, &a);
    assert_int_equal(record_read(d->image, buf_slice(&a), arena, &read), RESULT_OK);
    record_compact(read, &b);
    if (!slice_eq(buf_slice(&a), buf_slice(&b)))
        fprintf(stderr, "%.*s\n%.*s\n", SLICE_FMT(buf_slice(&a)), SLICE_FMT(buf_slice(&b)));
    assert_true(slice_eq(buf_slice(&a), buf_slice(&b)));
    assert_int_equal(record_replay(t, read, arena, &again), RESULT_OK);
    buf_reset(&b);
    record_compact(again, &b);
    if (!slice_eq(buf_slice(&a), buf_slice(&b)))
        fprintf(stderr, "%.*s\n%.*s\n", SLICE_FMT(buf_slice(&a)), SLICE_FMT(buf_slice(&b)));
    assert_true(slice_eq(buf_slice(&a), buf_slice(&b)));
    buf_deinit(&a);
    buf_deinit(&b);
}

// The core empties the set, and no member of it can be spared: asked of the naive interpreter, with fewer constraints.
static void core_is_one(struct image_builder *b, const struct world *n, const struct decision *d)
{
    static struct image_constraint kept[CONSTRAINTS_MAX + 1];
    struct policy_image *p = (struct policy_image *)(void *)b->block;
    struct image_constraint *c = (struct image_constraint *)(void *)(b->block + p->constraints.at);
    struct image_list list = p->constraints;
    struct outcome o;
    memcpy(kept, c, list.count * sizeof *c);
    for (uint32_t without = 0; without <= list.count; without++) {
        uint32_t k = 0;
        if (without < list.count && !(d->core[0] >> without & 1))
            continue;
        for (uint32_t i = 0; i < list.count; i++)
            if (kept[i].kind == IMAGE_ALLOW || ((d->core[0] >> i & 1) && i != without)) {
                c[k] = kept[i];
                // An allowance that nobody asked for could hold, as far as the decision knows.
                if (!(d->constraints_known[0] >> i & 1))
                    c[k].guard.count = 0;
                k++;
            }
        p->constraints.count = k;
        naive_decide(n, d->all_steps, &o);
        assert_true((o.end == DECISION_INFEASIBLE) == (without == list.count));
        p->constraints = list;
        memcpy(c, kept, list.count * sizeof *c);
    }
}

struct counts {
    uint64_t bought, bases, ends[4], cores, given, failed, chains, closed, dropped;
};

static void one_work(struct image_builder *b, const struct policy_image *p,
                     const struct route_table *table, struct arena *arena, struct counts *c)
{
    static struct work w;
    struct fact facts[SIGNALS_MAX], given[SIGNALS_MAX] = {{.state = FACT_UNKNOWN}};
    uint8_t states[MODELS_MAX];
    struct outcome expected, got;
    for (int m = 0; m < MODELS_MAX; m++)
        states[m] = (uint8_t)(one_in(8) ? below(3) : POOL_MODEL_UP);
    struct pool_view pool = {.epoch = 7, .states = states, .count = p->models.count};
    random_work(&w);
    random_facts(p, facts);
    for (uint32_t i = 0; i < p->signals.count; i++) {
        const struct image_signal *s = image_signal(p, (int32_t)i);
        if (!s->derive || !one_in(10))
            continue;
        facts[i] = (struct fact){.state = FACT_GIVEN, .probability = 1};
        facts[i].number = below(s->type == SIGNAL_ENUM ? s->words.count : 2);
        if (one_in(4))
            route_failed_fact(p, (int32_t)i, FACT_ERROR_GIVEN, &facts[i]);
        given[i] = facts[i];
        c->given++;
    }
    struct world n = {p, &w, facts, states};
    struct route_options options = {
        .given = given, .all_steps = one_in(2), .effort = (enum image_effort)below(3)};
    naive_decide(&n, options.all_steps, &expected);
    struct route_run run;
    assert_int_equal(route_begin(&run, table, &w, &pool, &options, arena), RESULT_OK);
    c->bought += drive(&run, p, facts);
    got = outcome_of(run.decision);
    same(&got, &expected);
    bool dropped = naive_dropped(&n, &expected, options.effort);
    assert_int_equal(run.decision->effort_dropped, dropped);
    c->dropped += dropped;
    derived_told(&n, run.decision);
    replays(table, run.decision, arena);
    for (uint32_t i = 0; i < p->signals.count; i++) {
        c->bases += !image_signal(p, (int32_t)i)->derive;
        c->failed += run.decision->facts[i].state == FACT_FAILED;
    }
    c->ends[got.end]++;
    c->chains += got.chain > 0;
    c->closed += got.closed != 0;
    if (got.end == DECISION_INFEASIBLE && run.decision->core && run.decision->core[0]) {
        c->cores++;
        core_is_one(b, &n, run.decision);
    }
}

static const struct route_table *open_table(const struct policy_image *p, struct arena *arena)
{
    static uint32_t own[SIGNALS_MAX];
    static uint8_t group[SIGNALS_MAX];
    static struct route_costs costs;
    const struct route_table *table;
    for (int k = 0; k < SIGNALS_MAX; k++) {
        own[k] = below(100);
        group[k] = (uint8_t)below(3);
    }
    costs = (struct route_costs){
        .own_ns = own, .group = group, .group_ns = {{0}, {1000, 1000}, {5000, 5000}}};
    assert_int_equal(route_table_open(p, &costs, arena, &table), RESULT_OK);
    return table;
}

static void lazy_equals_eager(void **state)
{
    (void)state;
    static struct image_builder b;
    struct arena arena;
    struct counts c = {0};
    arena_init(&arena, 1 << 18, 1 << 26);
    rng_seed(&rng, 20261122);
    for (int i = 0; i < POLICIES; i++) {
        ib_init(&b);
        const struct policy_image *p = random_policy(&b);
        const struct route_table *table = open_table(p, &arena);
        for (int k = 0; k < WORKS; k++)
            one_work(&b, p, table, &arena, &c);
        arena_reset(&arena);
        ib_deinit(&b);
    }
    // The generator is worth something only if all of this happens.
    assert_true(c.bought * 10 < c.bases * 9 && c.bought * 10 > c.bases);
    for (int i = 0; i < 4; i++)
        assert_true(c.ends[i] > 300);
    assert_true(c.cores > 300 && c.given > 300 && c.failed > 300 && c.chains > 300);
    assert_true(c.closed > 50 && c.dropped > 20);
    arena_deinit(&arena);
}

// Shuffles the constraints, repeats some and gives them other names.
static void disturb(struct image_builder *b)
{
    uint32_t n = b->constraint_count;
    for (uint32_t i = 0; i < n && one_in(2); i++)
        b->constraints[b->constraint_count++] = b->constraints[below(n)];
    for (uint32_t i = b->constraint_count; i > 1; i--) {
        struct image_constraint *x = &b->constraints[i - 1], *y = &b->constraints[below(i)], t = *x;
        *x = *y;
        *y = t;
    }
    for (uint32_t i = 0; i < b->constraint_count; i++)
        b->constraints[i].name = ib_str(b, names[below(16)]);
}

static void order_names_and_duplicates_change_nothing(void **state)
{
    (void)state;
    static struct image_builder b;
    struct arena arena;
    arena_init(&arena, 1 << 18, 1 << 26);
    rng_seed(&rng, 7);
    uint64_t constrained = 0;
    for (int i = 0; i < POLICIES / 3; i++) {
        static struct work w;
        struct fact facts[SIGNALS_MAX];
        struct outcome before, after;
        struct route_run run;
        ib_init(&b);
        const struct policy_image *p = random_policy(&b);
        const struct route_options options = {.all_steps = true};
        random_work(&w);
        random_facts(p, facts);
        assert_int_equal(route_begin(&run, open_table(p, &arena), &w, NULL, &options, &arena),
                         RESULT_OK);
        drive(&run, p, facts);
        before = outcome_of(run.decision);
        disturb(&b);
        p = ib_finish(&b);
        assert_int_equal(route_begin(&run, open_table(p, &arena), &w, NULL, &options, &arena),
                         RESULT_OK);
        drive(&run, p, facts);
        after = outcome_of(run.decision);
        same(&before, &after);
        constrained += p->constraints.count > 1;
        arena_reset(&arena);
        ib_deinit(&b);
    }
    assert_true(constrained > POLICIES / 5);
    arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lazy_equals_eager),
        cmocka_unit_test(order_names_and_duplicates_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
