// A policy's signals, made ready to compute: built once per policy image, immutable, shared by
// threads.
//
// Opening a plan compiles every signal definition of the image (its family's `prepare`) and all
// their patterns into one set, so that the anchored text is scanned once for all of them. For one
// piece of work a thread begins a run and asks it for signals, in any order, each at most once or
// more often with the same answer; what several signals need (the anchored text, its pattern hits,
// its counts, its words) is computed by the first that asks and kept in the run.
//
//   plan_open(image, &signal_registry, trunk, saved, diags, &plan)   once per policy
//   plan_scratch_open(plan, &scratch)                                once per thread and plan
//   run = plan_begin(plan, scratch, work, arena, NULL)               once per piece of work
//   while (!plan_compute(run, i, &facts[i]))                         per signal that is wanted
//       answer what plan_asks(run) lists                             (work/trunk.h)
//
// Several runs may be open on one scratch at a time (a thread works on one of them at any moment).
// The image must outlive the plan, the plan its scratches, work and arena the run. A run is never
// closed: it is memory of the arena.
//
// Limits: the anchored text is looked at up to SIGNAL_TEXT_MAX bytes (signal/artifacts.h); a signal
// whose value could depend on what lies behind is FACT_FAILED with FACT_ERROR_LIMIT, and its
// on_error holds.
#ifndef MERIT_SIGNAL_PLAN_H
#define MERIT_SIGNAL_PLAN_H

#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/diag.h"
#include "base/result.h"
#include "base/slice.h"
#include "work/fact.h"
#include "work/image.h"
#include "work/signal.h"
#include "work/trunk.h"
#include "work/work.h"

struct plan;
struct plan_scratch;
struct plan_run;

enum {
    PLAN_BYTES_MAX = 64 * 1024 * 1024, // memory of the prepared definitions, patterns aside
};

// Nanoseconds of a clock that only goes forward; the caller's, because this layer reads none. It is
// read twice per signal: hand one in for a sample of the requests where 40 ns per signal count.
struct plan_clock {
    uint64_t (*now_ns)(void *ctx);
    void *ctx;
};

// `saved` is what plan_save_patterns gave for the same image, or empty; when it is of another kind
// of CPU, another library or other patterns it is ignored and the patterns are compiled
// (milliseconds each). `trunk` (NULL: none) outlives the plan; what a policy gives as examples is embedded now. Problems that the family's `check` would have found go to `diags` (may be
// NULL) with the span of the argument. RESULT_NOT_FOUND (a family that the registry lacks),
// RESULT_SYNTAX (a pattern does not compile, arguments are not of the family's forms),
// RESULT_LIMIT, RESULT_NOMEM.
enum result plan_open(const struct policy_image *image, const struct signal_registry *registry,
                      const struct trunk_service *trunk, struct slice saved,
                      struct diag_list *diags, struct plan **out) MERIT_NODISCARD;
void plan_close(struct plan *p);
// Appends the compiled pattern set, for the policy's cache file; nothing when the policy has no
// patterns.
enum result plan_save_patterns(const struct plan *p, struct buf *out) MERIT_NODISCARD;
// Whether `saved` was used rather than compiled anew; true as well when there are no patterns.
bool plan_loaded_saved(const struct plan *p);

// The family of a signal; NULL for a derived one, which is not computed here. `signal` is an index of the image.
const struct signal_family *plan_family(const struct plan *p, int32_t signal);
// The class of its definition; of a derived one SIGNAL_COST_FREE.
enum signal_cost plan_cost(const struct plan *p, int32_t signal);
// What its `prepare` made of it, for its other functions.
const void *plan_state(const struct plan *p, int32_t signal);
const struct policy_image *plan_image(const struct plan *p);

enum result plan_scratch_open(const struct plan *p, struct plan_scratch **out) MERIT_NODISCARD;
void plan_scratch_close(struct plan_scratch *s);

// NULL when the arena has no room. `clock` may be NULL: costs stay 0.
struct plan_run *plan_begin(const struct plan *p, struct plan_scratch *scratch,
                            const struct work *work, struct arena *arena,
                            const struct plan_clock *clock) MERIT_NODISCARD;
// Computes one signal that is not derived. True: `out` is filled, FACT_KNOWN, or FACT_FAILED with the definition's
// on_error and the reason. False: an encoder is to be asked first (plan_asks); call again then. A number with `above` or `below` comes out as the truth value (a
// comparison with "above t" is v > t, with "below t" v < t).
bool plan_compute(struct plan_run *run, int32_t signal, struct fact *out) MERIT_NODISCARD;
// A new slice of a few milliseconds at most: when it is used up plan_compute is false although nothing waits for an encoder
// (plan_waits). Without a call there are no slices.
void plan_slice(struct plan_run *run);
// The asks of the run; those that are not `answered` are to be. NULL: none.
struct trunk_ask *plan_asks(struct plan_run *run);
// Whether one of them is not answered.
bool plan_waits(const struct plan_run *run);
// Answers the open asks with a failure (no service, no time, no room): signals make do without or fail.
void plan_answer_all(struct plan_run *run, enum result why);

#endif
