// The compiled guards behind struct route_table. Private to route/.
//
// A guard in negation normal form, nested ANDs and ORs of the same kind flattened: a node is a set of literals and the
// child nodes that follow it. Literals are masks over the words of the atom bitsets, so that a node over 64 atoms is
// decided with three operations.
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

struct route_table {
    const struct policy_image *image;
    const struct route_costs *costs;
    const struct table_node *nodes;
    const struct table_literals *literals;
    const uint32_t *guard_at; // per route: its root in nodes
    const uint32_t
        *signal_at; // per signal: first of its atoms in signal_atoms; one more at the end
    const uint32_t *signal_atoms;
    const int32_t *atom_signal;
    uint32_t words; // of an atom bitset
};

enum tri { TRI_FALSE, TRI_TRUE, TRI_UNKNOWN };

// The verdict of one node under what is known; for TRI_FALSE `*why` is an atom that refutes it, or IMAGE_NONE.
enum tri table_eval(const struct route_table *t, uint32_t node, const uint64_t *known,
                    const uint64_t *value, int32_t *why);

#endif
