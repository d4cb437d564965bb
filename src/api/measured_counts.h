// The counts behind struct measured. Private to api/measured*.c.
#ifndef MERIT_API_MEASURED_COUNTS_H
#define MERIT_API_MEASURED_COUNTS_H

#include "api/measured.h"

enum { MEASURED_KEY_BYTES = 16 };

struct measured_key {
    uint8_t bytes[MEASURED_KEY_BYTES];
};

// The same shape three times: what a loop has counted, what was seen of that, and the totals.
struct measured_sketch {
    uint32_t at[MEASURED_BUCKETS];
};

struct measured_signal {
    uint32_t bought, used; // used: with the group's artifact
    struct measured_sketch own;
};

struct measured_atom {
    uint32_t asked, held;
};

struct measured_counts {
    struct measured_sketch passes[ROUTE_GROUPS][ROUTE_LENGTHS];
    struct measured_signal *signals;
    struct measured_atom *atoms;
    uint32_t decisions;
};

// Written by its loop alone, with relaxed stores, and read by the control thread.
struct measured_shard {
    struct measured_counts counts, seen;
    uint32_t begun; // its loop's own
};

struct measured {
    const struct policy_image *image;
    const struct route_costs *guess;
    uint64_t trunk; // hash of the encoders
    struct measured_key *signal_keys, *atom_keys;
    struct measured_counts totals;
    uint64_t published; // decisions of the last epoch that was found worth making
    uint64_t decisions; // all
    uint32_t shard_count;
    struct measured_shard *shards;
};

// Median and the like of a sketch, 0 when it is empty.
uint32_t measured_quantile_ns(const struct measured_sketch *s, uint32_t percent);
uint32_t measured_sum(const struct measured_sketch *s); // how many
// What goes into an epoch.
uint32_t measured_own_ns(const struct measured *m, uint32_t signal);
void measured_pass_ns(const struct measured *m, uint32_t group, uint32_t out[ROUTE_LENGTHS]);
uint32_t measured_needs(const struct measured_signal *s); // of ROUTE_HOLDS_ONE
uint32_t measured_holds(const struct measured_atom *a);   // likewise

#endif
