// What signals cost and how often atoms hold, measured while a policy is served and kept across restarts.
//
//   loops      measured_wants, measured_count      into a shard of their own: no lock, no allocation
//   control    measured_merge                      now and then: the shards' growth into totals
//              measured_epoch                      an immutable route_costs made of the totals, one copy per loop
//              measured_write, measured_read       to a file, or from one policy to the next
//
// Counts are of sampled decisions. Costs are kept as sketches of half octaves, whose mean (the dearest 128th cut down) is
// what the order of buying goes by. Totals are halved when they grow, so that they follow what changes. Everything is
// kept under the definition of a signal and the question of an atom, not under their names or places: a policy that is
// edited keeps what is unchanged.
#ifndef MERIT_API_MEASURED_H
#define MERIT_API_MEASURED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "route/route.h"
#include "work/trunk.h"

enum {
    MEASURED_VERSION = 1,
    MEASURED_BUCKETS = 64,      // half octaves from 16 ns on; the last has no end
    MEASURED_FIRST = 512,       // decisions of a loop that are all measured
    MEASURED_EVERY = 32,        // and then every so many
    MEASURED_TOTAL_MAX = 65536, // of one count; then it is halved with what belongs to it
    MEASURED_FILE_MAX = 64 * 1024 * 1024,
};

struct measured; // of one served policy

// `guess` are the costs while nothing is measured. Image and guess outlive it; `trunk` may be NULL. RESULT_NOMEM.
enum result measured_open(struct measured **out, const struct policy_image *image,
                          const struct route_costs *guess, const struct trunk_service *trunk,
                          uint32_t loops) MERIT_NODISCARD;
void measured_close(struct measured *m);

// --- on loop number `loop`

// Whether the decision that begins is one of the sample: it is given a clock, and counted when it is made.
bool measured_wants(struct measured *m, uint32_t loop);
// Counts a decided run. One that was late is left out: what failed for want of time says nothing.
void measured_count(struct measured *m, uint32_t loop, const struct route_run *run);

// --- on the control thread

// Takes in what the loops have counted since. True when there is so much more of it that a new epoch is worth making.
bool measured_merge(struct measured *m);

// Decisions in the totals.
uint64_t measured_decisions(const struct measured *m);

// A copy of the statistics, in one block; its number is 0 while nothing is measured.
struct measured_epoch {
    struct route_costs costs;
    uint32_t refs; // for one owner's use, without atomics; 1 at first
};
enum result measured_epoch(const struct measured *m, struct measured_epoch **out) MERIT_NODISCARD;
void measured_epoch_unref(struct measured_epoch *e); // NULL: no-op

// Appends the totals as a file's bytes, in this machine's byte order.
void measured_write(const struct measured *m, struct buf *out);
// Takes over what such bytes say of equal definitions; nothing else may have been counted yet. Costs of passes only when
// the encoders are the same. `kept` out: signals and atoms that were found. RESULT_SYNTAX (damaged), RESULT_VERSION,
// RESULT_NOMEM; nothing is taken then.
enum result measured_read(struct measured *m, struct slice bytes, uint32_t *kept) MERIT_NODISCARD;

// {"decisions": ..., "signals": [...], "artifacts": [...]}, see docs/operation.md.
void measured_json(const struct measured *m, struct buf *out);

#endif
