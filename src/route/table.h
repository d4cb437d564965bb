// What route/ makes of a policy before the first request, behind struct route_table. Private to route/.
//
// Guards (of routes, constraints and terms of derived signals) are in negation normal form, nested ANDs and ORs of the
// same kind flattened: a node is a set of literals and the child nodes that follow it. Literals are masks over the words
// of the atom bitsets, so that a node over 64 atoms is decided with three operations.
#ifndef MERIT_ROUTE_TABLE_H
#define MERIT_ROUTE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "route/route.h"

struct table_literals {
    uint64_t pos, neg; // atoms that must hold, must not hold
    uint32_t word;
};

struct table_node {
    bool all; // AND; otherwise OR. Without literals and children: true, false
    uint32_t literal_at, literal_count;
    uint32_t size; // nodes of the subtree, itself included
};

enum table_atom_kind {
    ATOM_RANGE,  // lo <= number <= hi, or not
    ATOM_WORDS,  // the bit of `words`
    ATOM_TEXTS,  // as the image says
    ATOM_FAILED, // asked of the fact's state
};

struct table_atom {
    double lo, hi;
    uint64_t
        words; // of truth values and enums, whatever the kind: bit per value for which it holds
    enum table_atom_kind kind;
    bool negated;
};

// A derived signal. They stand in an order in which each comes behind those that it looks at.
struct table_derived {
    int32_t signal;
    uint32_t guard_at;                  // in `term_guards`: one root per term
    uint32_t mention_at, mention_count; // in `mentions`: the signals that it looks at, each once
};

// Which constraints (bit per constraint) have a say in what.
struct table_constraints {
    uint32_t count, words;
    const uint32_t *guard_at; // per constraint: its root in nodes
    // FORBID, rows of `words` words
    const uint64_t *model, *effort, *step, *sink;
    const uint64_t *below;    // those of IMAGE_FORBID_BELOW
    const uint64_t *endpoint; // those of IMAGE_FORBID_ENDPOINT
    const uint64_t *require, *allow;
    const uint64_t *budget; // hard ones per request
    const uint64_t *over;   // budgets over time, hard and paced
    const uint64_t *always; // those without a guard
};

struct route_table {
    const struct policy_image *image;
    const struct route_costs *costs;
    const struct table_node *nodes;
    const struct table_literals *literals;
    const uint32_t *guard_at; // per route: its root in nodes
    // What must hold and must not in the routes' guards, as far as it is one conjunction, side by side for a quick look:
    // masks of word w of route i at w * row + i. NULL where there are too many atoms for that.
    const uint64_t *must, *must_not;
    const uint8_t *whole; // per route: that is all of its guard
    uint32_t row;         // routes, rounded up; behind the last one stand masks of nothing
    const uint32_t
        *signal_at; // per signal: first of its atoms in signal_atoms; one more at the end
    const uint32_t *signal_atoms;
    const int32_t *atom_signal;
    const struct table_atom *atoms;
    uint32_t words; // of an atom bitset

    const struct table_derived *derived;
    uint32_t derived_count;
    const int32_t *derived_of; // per signal: its place in `derived`, or IMAGE_NONE
    const uint32_t *term_guards;
    const int32_t *mentions;
    const uint32_t *dependent_at; // per signal: first of those that look at it in `dependents`
    const uint32_t *dependents;   // places in `derived`

    struct table_constraints constraints;
    uint32_t chains_max;      // of one route
    uint32_t bindings_max;    // of one step
    bool endpoints_forbidden; // some constraint is about an endpoint
};

enum tri { TRI_FALSE, TRI_TRUE, TRI_UNKNOWN };

// The verdict of one node under what is known; for TRI_FALSE `*why` is an atom that refutes it, or IMAGE_NONE.
enum tri table_eval(const struct route_table *t, uint32_t node, const uint64_t *known,
                    const uint64_t *value, int32_t *why);

// The verdict of a route's guard, the same as table_eval of it; skips to the first route from `*route` on that is not
// refuted. TRI_FALSE: there is none.
enum tri table_first(const struct route_table *t, const uint64_t *known, const uint64_t *value,
                     uint32_t *route);

// Whether an atom holds for a fact; the same as route_atom_holds, made ready.
static inline bool table_atom_holds(const struct route_table *t, uint32_t atom,
                                    const struct fact *fact)
{
    const struct table_atom *a = &t->atoms[atom];
    double v = fact->number;
    if (a->kind == ATOM_RANGE)
        return (v >= a->lo && v <= a->hi) != a->negated;
    if (a->kind == ATOM_WORDS)
        return v >= 0 && v < 64 && (a->words >> (unsigned)v & 1);
    if (a->kind == ATOM_FAILED)
        return fact->state == FACT_FAILED;
    return route_atom_holds(t->image, IMAGE_AT(t->image, t->image->atoms, struct image_atom) + atom,
                            fact);
}

static inline bool table_bit(const uint64_t *bits, uint32_t i)
{
    return bits[i / 64] >> (i % 64) & 1;
}

// In table_build.c, for route_table_open.
enum result table_check(const struct policy_image *p);
enum result table_index_atoms(struct route_table *t, struct arena *arena);
enum result table_index_derived(struct route_table *t, struct table_derived **out,
                                struct arena *arena);
enum result table_index_constraints(struct route_table *t, struct arena *arena);

#endif
