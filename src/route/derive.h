// Derived signals while deciding: what is known of them follows from what is known of the signals they look at.
//
// Of a truth value or an enum a set of possible values is kept, of a number an interval; both only shrink. An atom on a
// derived signal is known as soon as all that is possible agrees on it, and the fact is filled (FACT_KNOWN) as soon as one
// value is left. Whatever the order in which signals become known, the end is the same, bit by bit.
//
// A label is the highest level of its terms whose guard holds, the lowest without any. When a signal that one of its
// guards looks at could not be computed it is at least error_level, whatever the guard makes of the on_error value. A
// derived signal could not be computed when one that it looks at could not.
//
// A score is the sum, in the order of its terms, of weight times value, the value forced into the signal's declared range;
// a term without a signal counts its weight where its guard holds. With bands it is the word of the last band that begins
// at or below it.
//
// A group takes the member with the greatest value, the earlier one of equals; p = softmax(value / temperature). It wins
// with p(first) - p(second) >= margin; with a smaller lead, and when any member could not be computed, `otherwise` holds.
// The probability of the fact is p of the winner.
//
// A derived signal that is given is what it is given as, and opens nothing.
#ifndef MERIT_ROUTE_DERIVE_H
#define MERIT_ROUTE_DERIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "route/route.h"
#include "route/table.h"

struct derive_state {
    uint64_t possible; // bit per value of a truth value or an enum
    double lo, hi;     // of a number
    bool given;
    bool open;   // a signal that it looks at may still fail
    bool failed; // one has
};

// Words of run->seen.
uint32_t derive_seen_words(const struct route_table *t);
// Sets up run->derived (nothing is known) in memory that is there already; marks all for the first derive_refresh.
void derive_begin(struct route_run *run);
// `signal`, base or derived, has become known: those that look at it are to be refreshed.
void derive_touch(struct route_run *run, int32_t signal);
// The signal is derived and its fact is given.
void derive_given(struct route_run *run, int32_t signal);
// Works off what was touched.
void derive_refresh(struct route_run *run);

// Calls for every base signal that is not known and may still change an atom that is not known (or, derive_open_guard, a
// guard that is open); each signal may come several times, but an atom is looked into once between two derive_open_begin.
void derive_open_begin(struct route_run *run);
void derive_open_atom(struct route_run *run, uint32_t atom,
                      void (*on_signal)(void *ctx, int32_t signal), void *ctx);
void derive_open_guard(struct route_run *run, uint32_t node,
                       void (*on_signal)(void *ctx, int32_t signal), void *ctx);

#endif
