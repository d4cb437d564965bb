// What signals cost and how likely atoms hold: an epoch of statistics, by which the order of buying is chosen.
//
// Plain data, immutable once made, shared by threads. Whatever it says, the outcome of a decision is the same; only what
// is bought on the way, and so the cost, differs. Integers throughout, so that the same epoch gives the same order on
// every machine.
#ifndef MERIT_ROUTE_COSTS_H
#define MERIT_ROUTE_COSTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/result.h"
#include "work/image.h"

struct plan; // signal/plan.h
struct signal_registry;

// Signals of one group share an artifact (a pattern scan, an encoder pass) that the first of them pays for. Group 0
// shares nothing. What an artifact costs hangs on the length of the text that it is made of: by classes of four times
// the length, the first up to ROUTE_LENGTH_FIRST bytes, the last without an end.
enum { ROUTE_LENGTHS = 6, ROUTE_LENGTH_FIRST = 128 };
enum route_group {
    ROUTE_GROUP_NONE,
    ROUTE_GROUP_SCAN,   // for patterns
    ROUTE_GROUP_STATIC, // a static embedding
    ROUTE_GROUP_PASS,   // of an encoder; one per enum signal_pass from here on
    ROUTE_GROUPS = 8
};

// Probabilities are 65536ths, between ROUTE_HOLDS_MIN and ROUTE_HOLDS_ONE - ROUTE_HOLDS_MIN: nothing measured is certain.
enum { ROUTE_HOLDS_ONE = 65536, ROUTE_HOLDS_MIN = 64 };

struct route_costs {
    uint64_t epoch;         // names these statistics in records; 0: guessed, not measured
    const uint32_t *own_ns; // one per signal of the image: without the group's artifact
    const uint8_t *group;   // one per signal, below ROUTE_GROUPS
    // One per signal: the probability that it needs the artifact, when it is asked for. A first tier that is sure does
    // without. NULL: all do always.
    const uint16_t *needs;
    const uint16_t *holds; // one per atom, that it holds; NULL: half for all
    uint32_t group_ns[ROUTE_GROUPS][ROUTE_LENGTHS];
};

// The class of a length.
uint32_t route_length_class(uint64_t bytes);
// Bits of the groups that are paid when `group` is: a text that fits an encoder's window is read once for what it means
// and for its pieces, because the answer is remembered.
uint32_t route_groups_paid(uint8_t group, uint32_t length);

// Costs guessed by the signals' classes (work/signal.h), until they are measured. RESULT_NOMEM.
enum result route_costs_guess(const struct policy_image *image, const struct plan *signals,
                              struct arena *arena, struct route_costs *out) MERIT_NODISCARD;
// The same without a plan, for who only reads a policy: nothing is made ready.
enum result route_costs_guess_families(const struct policy_image *image,
                                       const struct signal_registry *registry, struct arena *arena,
                                       struct route_costs *out) MERIT_NODISCARD;

// What it is expected to cost to ask for a signal when the artifacts of `paid` (bit per group) are there.
static inline uint64_t route_price_ns(const struct route_costs *c, uint32_t length, uint32_t paid,
                                      int32_t signal)
{
    uint8_t g = c->group[signal];
    uint64_t shared = g && !(paid >> g & 1) ? c->group_ns[g][length] : 0;
    if (c->needs)
        shared = shared * c->needs[signal] / ROUTE_HOLDS_ONE;
    return c->own_ns[signal] + shared;
}

#endif
