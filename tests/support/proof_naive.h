// Random policies as images, and a naive interpreter of them that knows nothing of fields and cells: for the tests of
// the proof layer. A request is one concrete value per family.
#ifndef MERIT_TESTS_PROOF_NAIVE_H
#define MERIT_TESTS_PROOF_NAIVE_H

#include <math.h>
#include <stdio.h>

#include "base/rng.h"
#include "support/image_builder.h"
#include "text/json.h"

enum { NAIVE_WORDS = 4, NAIVE_FAMILIES = 16, NAIVE_SIGNALS = 32 };
static const char *const naive_words[NAIVE_WORDS] = {"alpha", "beta", "gamma", "delta"};
// Texts that a policy may mention, the empty one, and two that none mentions.
static const char *const naive_texts[NAIVE_WORDS + 3] = {"alpha", "beta", "gamma", "delta",
                                                         "",      "zeta", "eta"};

struct naive_value {
    double number;
    const char *text;
    unsigned members; // bit per naive_texts, without the empty one
};

struct naive_request {
    struct naive_value of[NAIVE_FAMILIES];
    bool failed[NAIVE_SIGNALS];
};

// What the tests' policies are made of.
struct naive_policy {
    struct image_builder b;
    const struct policy_image *p;
    uint32_t families;
    uint32_t family_of[NAIVE_SIGNALS];
    enum signal_type raw[NAIVE_FAMILIES];
    bool whole[NAIVE_FAMILIES], closed[NAIVE_FAMILIES];
};

static struct rng naive_rng;

static inline uint32_t naive_below(uint32_t n)
{
    return (uint32_t)rng_below(&naive_rng, n);
}

// ---- making

static inline void naive_signal(struct naive_policy *n)
{
    struct image_builder *b = &n->b;
    char name[16], family[16];
    bool fresh = n->families == 0 || (naive_below(3) && n->families < NAIVE_FAMILIES);
    uint32_t f = fresh ? n->families++ : naive_below(n->families);
    if (fresh) {
        n->raw[f] = (enum signal_type)naive_below(SIGNAL_SET + 1);
        n->whole[f] = naive_below(2);
        n->closed[f] = naive_below(2);
    }
    snprintf(name, sizeof name, "s%u", b->signal_count);
    snprintf(family, sizeof family, "f%u", f);
    n->family_of[b->signal_count] = f;
    struct image_signal *s = &b->signals[ib_signal(b, name, n->raw[f])];
    s->family = ib_str(b, family);
    struct image_str words[NAIVE_WORDS + 1];
    for (int i = 0; i < NAIVE_WORDS; i++)
        words[i] = ib_str(b, naive_words[i]);
    words[NAIVE_WORDS] = ib_str(b, "zeta");
    if (s->type == SIGNAL_ENUM)
        s->words = IB_LIST(b, words, NAIVE_WORDS);
    if (s->type == SIGNAL_SET && n->closed[f]) {
        s->closed = true;
        s->words = IB_LIST(b, words, NAIVE_WORDS + 1);
    }
    s->error_number = naive_below(s->type == SIGNAL_BOOL ? 2 : 4);
    if (s->type >= SIGNAL_TEXT)
        s->error_text = ib_str(b, naive_texts[naive_below(NAIVE_WORDS + 1)]);
    if (s->type == SIGNAL_NUMBER) {
        s->number_min = 0;
        s->number_max = 5;
        s->whole = n->whole[f];
        if (naive_below(2)) {
            s->has_threshold = true;
            s->threshold_above = naive_below(2);
            s->threshold = naive_below(13) / 2.0 - 0.5;
            s->type = SIGNAL_BOOL;
            s->error_number = naive_below(2);
        }
    }
}

static inline void naive_atom_of(struct naive_policy *n, int32_t signal)
{
    struct image_builder *b = &n->b;
    enum signal_type type = b->signals[signal].type;
    static const enum image_op numbers[] = {IMAGE_OP_EQ, IMAGE_OP_LT, IMAGE_OP_LE, IMAGE_OP_GT,
                                            IMAGE_OP_GE};
    static const enum image_op texts[] = {IMAGE_OP_TRUE, IMAGE_OP_EQ, IMAGE_OP_IN};
    enum image_op op = type == SIGNAL_NUMBER ? numbers[naive_below(5)]
                       : type == SIGNAL_TEXT ? texts[naive_below(3)]
                       : type == SIGNAL_SET  ? texts[naive_below(2) * 2]
                       : b->signals[signal].derive == IMAGE_DERIVE_LABEL && naive_below(2)
                           ? numbers[naive_below(5)]
                       : type == SIGNAL_ENUM ? texts[1 + naive_below(2)]
                                             : IMAGE_OP_TRUE;
    double number = type == SIGNAL_NUMBER ? naive_below(15) / 2.0 - 1 : naive_below(NAIVE_WORDS);
    uint32_t a = ib_atom(b, signal, op, number, "atom");
    b->atoms[a].words = naive_below(1 << NAIVE_WORDS);
    struct image_str list[3];
    uint32_t count = op == IMAGE_OP_IN ? 1 + naive_below(3) : 1;
    for (uint32_t i = 0; i < count; i++)
        list[i] = ib_str(b, naive_texts[naive_below(NAIVE_WORDS + 1)]);
    if (type >= SIGNAL_TEXT)
        b->atoms[a].texts = IB_LIST(b, list, count);
}

static inline void naive_atom(struct naive_policy *n)
{
    naive_atom_of(n, (int32_t)naive_below(n->b.signal_count));
}

static inline uint32_t naive_guard(struct image_node *nodes, uint32_t at, uint32_t atoms,
                                   unsigned depth)
{
    uint32_t begin = at++, kind = naive_below(depth ? 6 : 2);
    if (kind < 2) {
        nodes[begin] = naive_below(15) ? (struct image_node){IMAGE_NODE_ATOM, naive_below(atoms), 1}
                                       : (struct image_node){IMAGE_NODE_TRUE, 0, 1};
        return at;
    }
    uint32_t count = kind == 2 ? 1 : 2 + naive_below(2);
    for (uint32_t i = 0; i < count; i++)
        at = naive_guard(nodes, at, atoms, depth - 1);
    nodes[begin] = (struct image_node){kind == 2  ? IMAGE_NODE_NOT
                                       : kind < 5 ? IMAGE_NODE_AND
                                                  : IMAGE_NODE_OR,
                                       count, at - begin};
    return at;
}

static inline struct image_list naive_small_guard(struct naive_policy *n, uint32_t atoms)
{
    struct image_node nodes[64];
    uint32_t count = naive_guard(nodes, 0, atoms, naive_below(2));
    return IB_LIST(&n->b, nodes, count);
}

// A number signal without a threshold among those so far, or -1.
static inline int32_t naive_number(const struct naive_policy *n)
{
    for (int i = 0; i < 12; i++) {
        uint32_t at = naive_below(n->b.signal_count);
        if (n->b.signals[at].type == SIGNAL_NUMBER)
            return (int32_t)at;
    }
    return -1;
}

// A label, a score or an exclusive group over what is there; `atoms` of it may be asked by guards.
static inline void naive_derived(struct naive_policy *n, uint32_t atoms)
{
    struct image_builder *b = &n->b;
    static const double weights[] = {-1, -0.5, 0.25, 0.5, 1, 2};
    enum image_derive kind = (enum image_derive)(1 + naive_below(3));
    struct image_term terms[4];
    char name[16];
    uint32_t count = 1 + naive_below(4);
    memset(terms, 0, sizeof terms);
    double min = 0, max = 0;
    for (uint32_t i = 0; i < count; i++) {
        int32_t signal = kind == IMAGE_DERIVE_LABEL ? -1 : naive_number(n);
        if (signal < 0 && kind == IMAGE_DERIVE_EXCLUSIVE)
            kind = IMAGE_DERIVE_SCORE;
        terms[i].signal = kind == IMAGE_DERIVE_SCORE && naive_below(3) == 0 ? -1 : signal;
        terms[i].word = kind == IMAGE_DERIVE_EXCLUSIVE ? i : naive_below(3);
        terms[i].weight = weights[naive_below(6)];
    }
    for (uint32_t i = 0; i < count; i++) {
        if (terms[i].signal < 0)
            terms[i].guard = naive_small_guard(n, atoms);
        double w = terms[i].weight,
               hi = terms[i].signal < 0 ? 1 : b->signals[terms[i].signal].number_max,
               lo = terms[i].signal < 0 ? 0 : b->signals[terms[i].signal].number_min;
        min += w > 0 ? w * lo : w * hi;
        max += w > 0 ? w * hi : w * lo;
    }
    snprintf(name, sizeof name, "s%u", b->signal_count);
    struct image_signal *s = &b->signals[ib_signal(b, name, SIGNAL_ENUM)];
    s->derive = kind;
    s->terms = IB_LIST(b, terms, count);
    s->error_level = naive_below(3);
    s->otherwise = count;
    s->temperature = naive_below(2) ? 1 : 0.3;
    s->margin = naive_below(4) / 10.0;
    struct image_str words[5] = {{0, 0}};
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "w%d", i);
        words[i] = ib_str(b, name);
    }
    uint32_t word_count = kind == IMAGE_DERIVE_EXCLUSIVE ? count + 1 : 3;
    s->words = IB_LIST(b, words, word_count);
    if (kind != IMAGE_DERIVE_SCORE)
        return;
    uint32_t form = naive_below(3);
    s->number_min = min;
    s->number_max = max;
    if (form == 0) {
        double first = naive_below(9) / 4.0;
        struct image_band bands[3] = {{-1e300}, {first}, {first + (1 + naive_below(8)) / 4.0}};
        s->bands = IB_LIST(b, bands, 3);
        return;
    }
    s->words = (struct image_list){0, 0};
    s->type = SIGNAL_NUMBER;
    if (form == 1) {
        s->type = SIGNAL_BOOL;
        s->has_threshold = true;
        s->threshold_above = naive_below(2);
        s->threshold = naive_below(17) / 4.0 - 1;
    }
}

// `routes` guarded ones and the last; each ends in one of `effects` refusals. `derived` signals look at the others, and
// atoms behind them at all.
static inline void naive_make_derived(struct naive_policy *n, uint32_t signals, uint32_t atoms,
                                      uint32_t derived, uint32_t routes, unsigned depth,
                                      uint32_t effects)
{
    static struct image_node nodes[2048];
    char name[16];
    memset(n, 0, sizeof *n);
    ib_init(&n->b);
    ib_model(&n->b, "m");
    for (uint32_t i = 0; i < signals; i++)
        naive_signal(n);
    for (uint32_t i = 0; i < atoms; i++)
        naive_atom(n);
    for (uint32_t i = 0; i < derived; i++) {
        naive_derived(n, n->b.atom_count);
        for (int k = 0; k < 3; k++)
            naive_atom_of(n, (int32_t)n->b.signal_count - 1);
    }
    atoms = n->b.atom_count;
    for (uint32_t i = 0; i <= routes; i++) {
        uint32_t count = i == routes ? 0 : naive_guard(nodes, 0, atoms, naive_below(depth + 1));
        snprintf(name, sizeof name, "effect %u", naive_below(effects));
        struct image_list steps = ib_refuse(&n->b, name);
        snprintf(name, sizeof name, "r%u", i);
        ib_route(&n->b, name, nodes, count, steps);
    }
    n->p = ib_finish(&n->b);
}

static inline void naive_make(struct naive_policy *n, uint32_t signals, uint32_t atoms,
                              uint32_t routes, unsigned depth, uint32_t effects)
{
    naive_make_derived(n, signals, atoms, 0, routes, depth, effects);
}

// ---- evaluating

static inline bool naive_has(const struct policy_image *p, struct image_list list, const char *text)
{
    for (uint32_t i = 0; i < list.count; i++)
        if (slice_eq_cstr(image_text(p, IMAGE_AT(p, list, struct image_str)[i]), text))
            return true;
    return false;
}

static inline bool naive_node_holds(const struct naive_policy *n, const struct image_node *node,
                                    const struct naive_request *r);
static inline struct naive_value naive_shown(const struct naive_policy *n, uint32_t signal,
                                             const struct naive_request *r);

// Whether the signal could not be computed: a derived one when something that it looks at could not.
static inline bool naive_failed(const struct naive_policy *n, uint32_t signal,
                                const struct naive_request *r)
{
    const struct image_signal *s = image_signal(n->p, (int32_t)signal);
    const struct image_term *terms = IMAGE_AT(n->p, s->terms, struct image_term);
    bool failed = !s->derive && r->failed[signal];
    for (uint32_t i = 0; i < s->terms.count; i++) {
        const struct image_node *nodes = IMAGE_AT(n->p, terms[i].guard, struct image_node);
        failed |= terms[i].signal >= 0 && naive_failed(n, (uint32_t)terms[i].signal, r);
        for (uint32_t k = 0; k < terms[i].guard.count; k++)
            if (nodes[k].kind == IMAGE_NODE_ATOM)
                failed |= naive_failed(
                    n,
                    (uint32_t)(IMAGE_AT(n->p, n->p->atoms, struct image_atom) + nodes[k].arg)
                        ->signal,
                    r);
    }
    return failed;
}

static inline double naive_term(const struct naive_policy *n, const struct image_term *t,
                                const struct naive_request *r)
{
    if (t->signal < 0)
        return naive_node_holds(n, IMAGE_AT(n->p, t->guard, struct image_node), r);
    const struct image_signal *s = image_signal(n->p, t->signal);
    double v = naive_shown(n, (uint32_t)t->signal, r).number;
    return s->derive           ? v
           : v < s->number_min ? s->number_min
           : v > s->number_max ? s->number_max
                               : v;
}

static inline double naive_compute(const struct naive_policy *n, uint32_t signal,
                                   const struct naive_request *r)
{
    const struct image_signal *s = image_signal(n->p, (int32_t)signal);
    const struct image_term *terms = IMAGE_AT(n->p, s->terms, struct image_term);
    double v = 0, values[4] = {0}, total = 0;
    if (s->derive == IMAGE_DERIVE_LABEL) {
        for (uint32_t i = 0; i < s->terms.count; i++)
            if (naive_term(n, &terms[i], r) != 0 && terms[i].word > v)
                v = terms[i].word;
        return naive_failed(n, signal, r) && s->error_level > v ? s->error_level : v;
    }
    if (s->derive == IMAGE_DERIVE_SCORE) {
        for (uint32_t i = 0; i < s->terms.count; i++)
            v += terms[i].weight * naive_term(n, &terms[i], r);
        const struct image_band *bands = IMAGE_AT(n->p, s->bands, struct image_band);
        uint32_t band = s->bands.count;
        while (band > 1 && v < bands[band - 1].from)
            band--;
        return band ? band - 1 : v;
    }
    uint32_t first = 0;
    for (uint32_t i = 0; i < s->terms.count; i++)
        values[i] = naive_term(n, &terms[i], r);
    for (uint32_t i = 1; i < s->terms.count; i++)
        if (values[i] > values[first])
            first = i;
    double second = -1e300;
    for (uint32_t i = 0; i < s->terms.count; i++) {
        total += exp((values[i] - values[first]) / s->temperature);
        if (i != first && values[i] > second)
            second = values[i];
    }
    double lead = (1 - exp((second - values[first]) / s->temperature)) / total;
    return naive_failed(n, signal, r) || lead < s->margin ? s->otherwise : terms[first].word;
}

// The value that a signal shows of its family's.
static inline struct naive_value naive_shown(const struct naive_policy *n, uint32_t signal,
                                             const struct naive_request *r)
{
    const struct image_signal *s = image_signal(n->p, (int32_t)signal);
    struct naive_value v = r->of[n->family_of[signal]];
    if (s->derive)
        v = (struct naive_value){.number = naive_compute(n, signal, r), .text = ""};
    if (!s->derive && r->failed[signal]) {
        struct slice text = image_text(n->p, s->error_text);
        v = (struct naive_value){.number = s->error_number, .text = ""};
        for (int i = 0; i < NAIVE_WORDS + 3; i++)
            if (s->type >= SIGNAL_TEXT && slice_eq_cstr(text, naive_texts[i])) {
                v.text = naive_texts[i];
                v.members = text.len ? 1u << i : 0;
            }
    } else if (s->has_threshold) {
        v.number = s->threshold_above ? v.number > s->threshold : v.number < s->threshold;
    }
    return v;
}

static inline bool naive_atom_holds(const struct naive_policy *n, uint32_t atom,
                                    const struct naive_request *r)
{
    const struct image_atom *a = IMAGE_AT(n->p, n->p->atoms, struct image_atom) + atom;
    enum signal_type type = image_signal(n->p, a->signal)->type;
    struct naive_value v = naive_shown(n, (uint32_t)a->signal, r);
    if (type == SIGNAL_SET) {
        for (int i = 0; i < NAIVE_WORDS + 3; i++)
            if (v.members >> i & 1 &&
                (a->op == IMAGE_OP_TRUE || naive_has(n->p, a->texts, naive_texts[i])))
                return true;
        return false;
    }
    if (type == SIGNAL_TEXT)
        return a->op == IMAGE_OP_TRUE ? v.text[0] != 0 : naive_has(n->p, a->texts, v.text);
    if (type == SIGNAL_BOOL)
        return v.number != 0;
    return a->op == IMAGE_OP_IN   ? (a->words >> (int)v.number & 1) != 0
           : a->op == IMAGE_OP_EQ ? v.number == a->number
           : a->op == IMAGE_OP_LT ? v.number < a->number
           : a->op == IMAGE_OP_LE ? v.number <= a->number
           : a->op == IMAGE_OP_GT ? v.number > a->number
                                  : v.number >= a->number;
}

static inline bool naive_node_holds(const struct naive_policy *n, const struct image_node *node,
                                    const struct naive_request *r)
{
    if (node->kind == IMAGE_NODE_TRUE)
        return true;
    if (node->kind == IMAGE_NODE_ATOM)
        return naive_atom_holds(n, node->arg, r);
    if (node->kind == IMAGE_NODE_NOT)
        return !naive_node_holds(n, node + 1, r);
    uint32_t held = 0;
    const struct image_node *child = node + 1;
    for (uint32_t i = 0; i < node->arg; i++, child += child->size)
        held += naive_node_holds(n, child, r);
    return node->kind == IMAGE_NODE_AND ? held == node->arg : held > 0;
}

static inline bool naive_route_holds(const struct naive_policy *n, uint32_t route,
                                     const struct naive_request *r)
{
    struct image_list guard = image_route(n->p, (int32_t)route)->guard;
    return !guard.count || naive_node_holds(n, IMAGE_AT(n->p, guard, struct image_node), r);
}

static inline uint32_t naive_route(const struct naive_policy *n, const struct naive_request *r)
{
    uint32_t i = 0;
    while (!naive_route_holds(n, i, r))
        i++;
    return i;
}

// The facts of a witness, read from its JSON; false when it is not of the form that `merit route --given` takes.
static inline bool naive_given(const struct policy_image *p, struct slice text, struct arena *arena,
                               struct fact *facts)
{
    struct json j;
    uint32_t at = 0, key, value;
    memset(facts, 0, p->signals.count * sizeof *facts);
    if (json_parse(&j, text, &json_limits_default, arena) || json_type(&j, 0) != JSON_OBJECT)
        return false;
    while (json_member(&j, 0, &at, &key, &value)) {
        int32_t i = image_find_signal(p, json_string(&j, key, arena));
        if (i < 0 || facts[i].state != FACT_UNKNOWN)
            return false;
        const struct image_signal *s = image_signal(p, i);
        const struct image_str *words = IMAGE_AT(p, s->words, struct image_str);
        struct fact *f = &facts[i];
        enum json_type type = json_type(&j, value);
        f->state = FACT_GIVEN;
        if (type == JSON_TRUE || type == JSON_FALSE) {
            f->number = type == JSON_TRUE;
            if (s->type != SIGNAL_BOOL)
                return false;
        } else if (type == JSON_STRING && s->type == SIGNAL_ENUM) {
            while (f->number < s->words.count &&
                   !json_string_is(&j, value, image_text(p, words[(int)f->number])))
                f->number++;
            if (f->number == s->words.count)
                return false;
        } else if (type == JSON_STRING && s->type == SIGNAL_TEXT) {
            f->text = json_string(&j, value, arena);
        } else if (type == JSON_ARRAY && s->type == SIGNAL_SET) {
            struct slice *texts = ARENA_ARRAY(arena, struct slice, 64);
            uint32_t in = 0, element;
            while (json_element(&j, value, &in, &element) && f->text_count < 64)
                texts[f->text_count++] = json_string(&j, element, arena);
            f->texts = texts;
        } else if (s->type != SIGNAL_NUMBER || json_double(&j, value, &f->number)) {
            return false;
        }
    }
    return true;
}

// Its place among naive_texts; a text that no policy mentions is like any other such.
static inline unsigned naive_text(struct slice text)
{
    unsigned i = 0;
    while (i <= NAIVE_WORDS && !slice_eq_cstr(text, naive_texts[i]))
        i++;
    return i;
}

// Whether a request shows what is given.
static inline struct naive_value naive_shown(const struct naive_policy *n, uint32_t signal,
                                             const struct naive_request *r);
static inline bool naive_shows(const struct naive_policy *n, const struct fact *facts,
                               const struct naive_request *r)
{
    for (uint32_t i = 0; i < n->p->signals.count; i++) {
        const struct fact *f = &facts[i];
        if (f->state == FACT_UNKNOWN)
            continue;
        struct naive_value v = naive_shown(n, i, r);
        enum signal_type type = image_signal(n->p, (int32_t)i)->type;
        unsigned members = 0;
        bool same = type == SIGNAL_TEXT ? naive_text(f->text) == naive_text(slice_cstr(v.text))
                                        : v.number == f->number;
        for (uint32_t k = 0; k < f->text_count; k++)
            members |= 1u << naive_text(f->texts[k]);
        if (type == SIGNAL_SET ? members != v.members : !same)
            return false;
    }
    return true;
}

// ---- all values that a family can be told to have, by index; false when there are no more

static inline uint32_t naive_choices(const struct naive_policy *n, uint32_t family)
{
    switch (n->raw[family]) {
    case SIGNAL_BOOL:
        return 2;
    case SIGNAL_NUMBER: // halves of 0 to 5, and between them
        return n->whole[family] ? 6 : 21;
    case SIGNAL_ENUM:
        return NAIVE_WORDS;
    case SIGNAL_TEXT:
        return NAIVE_WORDS + 2;
    case SIGNAL_SET:
        return 1u << (NAIVE_WORDS + 1 + !n->closed[family]);
    }
    return 0;
}

static inline struct naive_value naive_choice(const struct naive_policy *n, uint32_t family,
                                              uint32_t i)
{
    struct naive_value v = {.text = ""};
    switch (n->raw[family]) {
    case SIGNAL_BOOL:
    case SIGNAL_ENUM:
        v.number = i;
        break;
    case SIGNAL_NUMBER:
        v.number = n->whole[family] ? i : i / 4.0;
        break;
    case SIGNAL_TEXT:
        v.text = naive_texts[i];
        break;
    case SIGNAL_SET: // the words, zeta, and the empty text where nothing tells what there is
        v.members = (i & ((1u << NAIVE_WORDS) - 1)) | (i >> NAIVE_WORDS & 1) << (NAIVE_WORDS + 1) |
                    (i >> (NAIVE_WORDS + 1) & 1) << NAIVE_WORDS;
        break;
    }
    return v;
}

static inline void naive_random(const struct naive_policy *n, struct naive_request *r,
                                bool failures)
{
    memset(r, 0, sizeof *r);
    for (uint32_t f = 0; f < n->families; f++)
        r->of[f] = naive_choice(n, f, naive_below(naive_choices(n, f)));
    for (uint32_t i = 0; failures && i < n->p->signals.count; i++)
        r->failed[i] = !image_signal(n->p, (int32_t)i)->derive && naive_below(4) == 0;
}

#endif
