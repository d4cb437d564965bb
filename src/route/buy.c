#include "route/buy.h"

#include "route/derive.h"

// Parts of one node that are told apart; what is dearer per probability than these is weighed in the order of the guard.
// Bounds memory and time for a node of ten thousand terms.
enum { PARTS = 16 };
#define COST_MAX (UINT64_C(1) << 40)

// What could be done to settle a node: bought as a whole, it costs `ns` in expectation and ends the node with
// `ends` of ROUTE_HOLDS_ONE.
struct part {
    uint64_t ns;
    uint32_t ends;
    int32_t signal;    // the first one to ask for
    uint8_t group;     // whose artifact it pays for; 0: none
    uint32_t needs;    // the probability that it has to
    bool leaf;         // atoms of one signal or one unpaid group; else a child node
    uint64_t first_ns; // of a group: own cost and probability of `signal`
    uint32_t first_ends;
};

struct parts {
    struct part at[PARTS];
    uint32_t count;
    uint64_t ns; // of the parts that were left out, weighed one after the other
    uint32_t open;
};

// A subtree that is not settled: expected cost of settling it, probability of being true, and where to begin.
struct look {
    uint64_t ns;
    uint32_t holds;
    int32_t signal;
};

static uint64_t times(uint64_t ns, uint32_t p)
{
    return ns * p / ROUTE_HOLDS_ONE;
}

static uint32_t both(uint32_t p, uint32_t q)
{
    return (uint32_t)((uint64_t)p * q / ROUTE_HOLDS_ONE);
}

static uint32_t either(uint32_t p, uint32_t q)
{
    return ROUTE_HOLDS_ONE - both(ROUTE_HOLDS_ONE - p, ROUTE_HOLDS_ONE - q);
}

// Whether `a` is to be asked before `b`.
static bool before(uint64_t a_ns, uint32_t a_ends, int32_t a_signal, uint64_t b_ns, uint32_t b_ends,
                   int32_t b_signal)
{
    uint64_t a = a_ns * b_ends, b = b_ns * a_ends;
    return a != b ? a < b : a_signal < b_signal;
}

// Puts a part at its place in the ascending order; the dearest is left out when there is no room.
static void insert(struct parts *all, struct part p)
{
    uint32_t i = all->count;
    if (p.ns > COST_MAX)
        p.ns = COST_MAX;
    if (all->count == PARTS) {
        struct part *last = &all->at[PARTS - 1];
        bool keep = before(p.ns, p.ends, p.signal, last->ns, last->ends, last->signal);
        struct part out = keep ? *last : p;
        all->ns += times(out.ns, all->open);
        all->open = both(all->open, ROUTE_HOLDS_ONE - out.ends);
        if (!keep)
            return;
        i = PARTS - 1;
    } else {
        all->count++;
    }
    for (; i > 0 && before(p.ns, p.ends, p.signal, all->at[i - 1].ns, all->at[i - 1].ends,
                           all->at[i - 1].signal);
         i--)
        all->at[i] = all->at[i - 1];
    all->at[i] = p;
}

// The part that already asks for this signal or pays for its artifact, taken out; false when there is none.
static bool take(struct parts *all, int32_t signal, uint8_t group, struct part *out)
{
    for (uint32_t i = 0; i < all->count; i++) {
        const struct part *p = &all->at[i];
        if (!p->leaf || (group ? p->group != group : p->group || p->signal != signal))
            continue;
        *out = *p;
        all->count--;
        for (; i < all->count; i++)
            all->at[i] = all->at[i + 1];
        return true;
    }
    return false;
}

// Inputs of a derived signal that are told apart when its cost is summed.
enum { INPUTS = 16 };

struct inputs {
    const struct buy_view *v;
    uint64_t ns, least_ns;
    int32_t signal; // the cheapest
    uint32_t paid, count;
    int32_t seen[INPUTS];
};

static void consider(void *ctx, int32_t signal)
{
    struct inputs *in = ctx;
    const struct route_costs *c = in->v->costs;
    for (uint32_t i = 0; i < in->count; i++)
        if (in->seen[i] == signal)
            return;
    if (in->count < INPUTS)
        in->seen[in->count++] = signal;
    uint64_t alone = route_price_ns(c, in->v->length, in->v->groups_paid, signal);
    in->ns += route_price_ns(c, in->v->length, in->paid, signal);
    in->paid |= route_groups_paid(c->group[signal], in->v->length);
    if (in->signal == IMAGE_NONE || alone < in->least_ns ||
        (alone == in->least_ns && signal < in->signal)) {
        in->least_ns = alone;
        in->signal = signal;
    }
}

static enum tri look(const struct buy_view *v, uint32_t at, struct look *out);
static bool settle(struct parts *all, bool every, struct look *out);

// An atom that holds from some level of a label on, or below it, hangs on the guards that raise it so far: one that holds
// settles it. False when the atom is of another shape.
static bool look_label(const struct buy_view *v, uint32_t atom, struct look *out)
{
    const struct route_table *t = v->table;
    const struct policy_image *p = t->image;
    const struct table_derived *d = &t->derived[t->derived_of[t->atom_signal[atom]]];
    const struct image_signal *s = image_signal(p, d->signal);
    const struct image_term *terms = IMAGE_AT(p, s->terms, struct image_term);
    if (s->derive != IMAGE_DERIVE_LABEL || t->atoms[atom].kind == ATOM_FAILED)
        return false;
    const uint64_t all = s->words.count < 64 ? (UINT64_C(1) << s->words.count) - 1 : UINT64_MAX;
    uint64_t up = t->atoms[atom].words & all;
    if (!(up >> (s->words.count - 1) & 1))
        up = ~up & all;
    uint32_t least = up ? (uint32_t)__builtin_ctzll(up) : 0;
    if (!least || up != (all & ~((UINT64_C(1) << least) - 1)))
        return false;
    struct parts parts = {.count = 0, .open = ROUTE_HOLDS_ONE};
    for (uint32_t i = 0; i < s->terms.count; i++) {
        struct look l;
        if (terms[i].word >= least && look(v, t->term_guards[d->guard_at + i], &l) == TRI_UNKNOWN)
            insert(&parts,
                   (struct part){.ns = l.ns, .ends = l.holds ? l.holds : 1, .signal = l.signal});
    }
    return settle(&parts, false, out);
}

// An atom on a derived signal: of a label the guards that raise it; else all that may change it, the cheapest first.
static void add_derived(const struct buy_view *v, struct parts *all, uint32_t atom, uint32_t ends)
{
    struct look l;
    ends = ends ? ends : 1;
    if (look_label(v, atom, &l)) {
        insert(all, (struct part){.ns = l.ns, .ends = ends, .signal = l.signal});
        return;
    }
    struct inputs in = {.v = v, .signal = IMAGE_NONE, .paid = v->groups_paid};
    derive_open_begin(v->run);
    derive_open_atom(v->run, atom, consider, &in);
    if (in.signal != IMAGE_NONE)
        insert(all, (struct part){.ns = in.ns, .ends = ends, .signal = in.signal});
}

static void add_atom(const struct buy_view *v, struct parts *all, uint32_t atom, bool ends_if_true)
{
    const struct route_costs *c = v->costs;
    int32_t signal = v->table->atom_signal[atom];
    uint32_t holds = c->holds ? c->holds[atom] : ROUTE_HOLDS_ONE / 2;
    uint32_t ends = ends_if_true ? holds : ROUTE_HOLDS_ONE - holds;
    if (v->table->derived_of[signal] != IMAGE_NONE) {
        add_derived(v, all, atom, ends);
        return;
    }
    uint32_t needs = c->needs ? c->needs[signal] : ROUTE_HOLDS_ONE;
    uint8_t group = v->groups_paid >> c->group[signal] & 1 ? 0 : c->group[signal];
    uint64_t own = c->own_ns[signal] ? c->own_ns[signal] : 1;
    uint64_t shared = group ? c->group_ns[group][v->length] : 0;
    struct part p;
    if (!take(all, signal, group, &p)) {
        p = (struct part){.ns = own + times(shared, needs),
                          .ends = ends,
                          .signal = signal,
                          .group = group,
                          .needs = needs,
                          .leaf = true,
                          .first_ns = own,
                          .first_ends = ends};
    } else if (p.signal == signal) {
        p.ends = either(p.ends, ends);
        p.first_ends = either(p.first_ends, ends);
    } else {
        // One more question, to be asked where those before it have not ended the node; the artifact is paid by the first
        // that needs it.
        uint32_t more = both(both(needs, ROUTE_HOLDS_ONE - p.needs), ROUTE_HOLDS_ONE - p.ends);
        p.ns += times(own, ROUTE_HOLDS_ONE - p.ends) + times(shared, more);
        p.needs += more;
        p.ends = either(p.ends, ends);
        if (before(own, ends, signal, p.first_ns, p.first_ends, p.signal)) {
            p.signal = signal;
            p.first_ns = own;
            p.first_ends = ends;
        }
    }
    insert(all, p);
}

// What it takes to settle a node of these parts, of which each (`every`) or any must hold; false when there is none.
static bool settle(struct parts *all, bool every, struct look *out)
{
    // In this order, each is paid when none before it has ended the node.
    uint64_t ns = 0;
    uint32_t open = ROUTE_HOLDS_ONE;
    if (!all->count)
        return false;
    for (uint32_t i = 0; i < all->count; i++) {
        ns += times(all->at[i].ns, open);
        open = both(open, ROUTE_HOLDS_ONE - all->at[i].ends);
    }
    ns += times(all->ns, open);
    open = both(open, all->open);
    *out = (struct look){ns, every ? open : ROUTE_HOLDS_ONE - open, all->at[0].signal};
    return true;
}

// The verdict of a node, and when it is open what it takes to settle it.
static enum tri look(const struct buy_view *v, uint32_t at, struct look *out)
{
    const struct route_table *t = v->table;
    const struct table_node *n = &t->nodes[at];
    struct parts all;
    all.count = 0;
    all.ns = 0;
    all.open = ROUTE_HOLDS_ONE;
    for (uint32_t i = 0; i < n->literal_count; i++) {
        const struct table_literals *l = &t->literals[n->literal_at + i];
        uint64_t known = v->known[l->word], value = v->value[l->word];
        uint64_t hold = (l->pos & value) | (l->neg & known & ~value);
        uint64_t fail = (l->pos & known & ~value) | (l->neg & value);
        if (n->all ? fail : hold)
            return n->all ? TRI_FALSE : TRI_TRUE;
    }
    for (uint32_t i = 0; i < n->literal_count; i++) {
        const struct table_literals *l = &t->literals[n->literal_at + i];
        for (uint64_t open = (l->pos | l->neg) & ~v->known[l->word]; open; open &= open - 1) {
            uint32_t bit = (uint32_t)__builtin_ctzll(open);
            // A positive literal ends an OR when it holds and an AND when it does not; a negative one the other way.
            bool positive = l->pos >> bit & 1;
            add_atom(v, &all, l->word * 64 + bit, positive != n->all);
        }
    }
    for (uint32_t child = at + 1, end = at + n->size; child < end; child += t->nodes[child].size) {
        struct look l;
        enum tri is = look(v, child, &l);
        if (is == (n->all ? TRI_FALSE : TRI_TRUE))
            return is;
        if (is == TRI_UNKNOWN) {
            uint32_t ends = n->all ? ROUTE_HOLDS_ONE - l.holds : l.holds;
            insert(&all, (struct part){.ns = l.ns, .ends = ends ? ends : 1, .signal = l.signal});
        }
    }
    return settle(&all, n->all, out) ? TRI_UNKNOWN : n->all ? TRI_TRUE : TRI_FALSE;
}

int32_t buy_next(const struct buy_view *v, uint32_t node)
{
    struct look l;
    return look(v, node, &l) == TRI_UNKNOWN ? l.signal : IMAGE_NONE;
}

int32_t buy_among(const struct buy_view *v, const uint32_t *nodes, const uint64_t *open,
                  uint32_t words)
{
    struct look l, best = {.signal = IMAGE_NONE};
    for (uint32_t w = 0; w < words; w++)
        for (uint64_t bits = open[w]; bits; bits &= bits - 1) {
            uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(bits);
            if (look(v, nodes[i], &l) != TRI_UNKNOWN)
                continue;
            if (best.signal == IMAGE_NONE || l.ns < best.ns ||
                (l.ns == best.ns && l.signal < best.signal))
                best = l;
        }
    return best.signal;
}

struct beside {
    const struct buy_view *v;
    int32_t signal; // that is asked for anyway
    int32_t *out;
    uint32_t count, max;
    uint64_t each_ns, all_ns;
};

static void gather(void *ctx, int32_t s)
{
    struct beside *b = ctx;
    uint64_t ns = route_price_ns(b->v->costs, b->v->length, b->v->groups_paid, s);
    bool there = s == b->signal || ns > b->each_ns || ns > b->all_ns;
    for (uint32_t k = 0; k < b->count && !there; k++)
        there = b->out[k] == s;
    if (there || b->count == b->max)
        return;
    b->all_ns -= ns;
    b->out[b->count++] = s;
}

uint32_t buy_beside(const struct buy_view *v, int32_t signal, const uint32_t *nodes, uint32_t count,
                    int32_t *out, uint32_t max)
{
    uint64_t wait = route_price_ns(v->costs, v->length, v->groups_paid, signal);
    struct buy_view then = *v;
    then.groups_paid |= route_groups_paid(v->costs->group[signal], v->length);
    struct beside b = {&then, signal, out, 0, max, wait / BUY_EACH_SHARE, wait / BUY_ALL_SHARE};
    derive_open_begin(v->run);
    for (uint32_t i = 0; i < count && b.count < max; i++)
        derive_open_guard(v->run, nodes[i], gather, &b);
    return b.count;
}
