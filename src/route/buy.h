// What is bought next: the signal with the least cost per probability of settling a guard. Private to route/.
//
// A guard is settled fastest by what refutes it (an AND) or by what proves it (an OR). With independent parts, each of
// an expected cost c and a probability q of ending the node, the least expected cost is had by asking in ascending order
// of c / q (Garey 1973 for one level; on nested ones, where each part's c is its own expected cost, a heuristic that is
// optimal for two levels). So the parts are weighed from the leaves up, and the walk goes down the best part of each
// node to one signal.
//
// Signals whose shared artifact is not paid are one part together: one pass pays for all of them. An atom of several in
// one node about one signal is paid once. Probabilities of atoms are taken as independent of each other.
//
// Integers in a fixed order: the same view gives the same answer on every machine.
#ifndef MERIT_ROUTE_BUY_H
#define MERIT_ROUTE_BUY_H

#include "route/costs.h"
#include "route/table.h"

// What is known while something is to be bought.
struct buy_view {
    const struct route_table *table;
    const struct route_costs *costs;
    const uint64_t *known, *value; // bitsets over atoms
    uint32_t groups_paid;          // bit per group
    uint32_t length;               // class of the text's length
    struct route_run *run;         // for what derived signals are made of
};

// The signal to ask for to settle the guard whose root is `node`, which is TRI_UNKNOWN. Its answer can still change that
// node; ties go to the smaller index. IMAGE_NONE when no open atom has a signal that can be asked for.
int32_t buy_next(const struct buy_view *v, uint32_t node);
// The same where several guards are open (bit i of `open`, `words` words of it, is for nodes[i]) and each matters: the one
// that is settled at the least expected cost comes first.
int32_t buy_among(const struct buy_view *v, const uint32_t *nodes, const uint64_t *open,
                  uint32_t words);

// Other open signals of the first undecided guards (`nodes`, all TRI_UNKNOWN) that are worth computing at once when
// `signal` makes the request wait: those that cost at most a BUY_EACH_SHARE-th of it and all together at most a
// BUY_ALL_SHARE-th, heads of the same pass by their own cost. In the order of the guards; returns how many.
enum { BUY_EACH_SHARE = 16, BUY_ALL_SHARE = 4 };
uint32_t buy_beside(const struct buy_view *v, int32_t signal, const uint32_t *nodes, uint32_t count,
                    int32_t *out, uint32_t max);

#endif
