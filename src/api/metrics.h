// Counters and histograms for Prometheus: one shard per loop, summed when somebody asks.
//
// A shard has one writer, its loop; the scraper reads it from another thread with relaxed loads, so a scrape is a
// little blurred but each number only grows. Labels are slots of a name table that only grows as well: a route, model
// or signal keeps its slot over policy reloads. What is over METRICS_NAMES_MAX is counted under "other" (slot 0). No
// id, user or text is ever a label.
#ifndef MERIT_API_METRICS_H
#define MERIT_API_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "api/pace.h"
#include "base/buf.h"
#include "base/slice.h"
#include "ledger/ledger.h"
#include "model/compute.h"

enum { METRICS_NAMES_MAX = 256, METRICS_NAME_BYTES = 64, METRICS_BUCKETS_MAX = 20 };

typedef _Atomic uint64_t metric;

static inline void metric_add(metric *m, uint64_t n)
{
    atomic_store_explicit(m, atomic_load_explicit(m, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

enum metrics_family {
    METRICS_ROUTES,
    METRICS_MODELS,
    METRICS_SIGNALS,
    METRICS_BUDGETS,
    METRICS_FAMILIES
};

// The names, process-wide. Written by the control thread only; a name is complete before its count shows it.
struct metrics_names {
    struct {
        _Atomic uint32_t count;
        char names[METRICS_NAMES_MAX][METRICS_NAME_BYTES]; // escaped for the exposition format
    } family[METRICS_FAMILIES];
};
void metrics_names_init(struct metrics_names *n);
// The slot of a name, made when it is new; 0 when the table is full.
uint16_t metrics_slot(struct metrics_names *n, enum metrics_family f, struct slice name);

// Upper bounds in microseconds, ascending; the last bucket is +Inf.
struct metrics_bounds {
    uint32_t count;
    uint64_t us[METRICS_BUCKETS_MAX];
};
extern const struct metrics_bounds METRICS_DECISION, METRICS_REQUEST;

struct metrics_histogram {
    metric buckets[METRICS_BUCKETS_MAX + 1];
    metric sum_ns;
};
void metrics_observe_ns(struct metrics_histogram *h, const struct metrics_bounds *bounds,
                        uint64_t ns);

enum metrics_end {
    METRICS_ANSWERED,
    METRICS_PASSED,
    METRICS_FAILED,
    METRICS_BROKEN,
    METRICS_GONE,
    METRICS_REFUSED,    // by the policy
    METRICS_INFEASIBLE, // no model could serve it
    METRICS_ENDS
};
extern const char *const metrics_end_names[METRICS_ENDS]; // "answered", ...

enum metrics_reject {
    METRICS_REJECT_BAD_REQUEST,
    METRICS_REJECT_TOO_LARGE,
    METRICS_REJECT_TIMEOUT,
    METRICS_REJECT_KEY,
    METRICS_REJECT_RATE,
    METRICS_REJECT_NOT_FOUND,
    METRICS_REJECT_MODEL,
    METRICS_REJECT_OVERLOAD,
    METRICS_REJECT_REPEATED, // the last error of the same request, api/hammer.h
    METRICS_REJECTS
};

enum { METRICS_LIES = 6 };

struct metrics_model {
    metric ends[METRICS_ENDS], attempts, input_tok, output_tok, cached_tok, cost_nusd, unpriced,
        estimated;
    metric energy_uj, carbon_ug, baseline_nusd;
    metric lies[METRICS_LIES]; // by enum account_lie
};

struct metrics_shard {
    metric route_ends[METRICS_NAMES_MAX][METRICS_ENDS];
    struct metrics_model models[METRICS_NAMES_MAX];
    metric signals[METRICS_NAMES_MAX], avoided[METRICS_NAMES_MAX], signal_errors[METRICS_NAMES_MAX];
    metric rejects[METRICS_REJECTS];
    metric budget_refusals[METRICS_NAMES_MAX];
    metric passed_through;
    struct metrics_histogram decision, request, first_byte;
    metric connections, in_flight; // gauges, set by their loop
    metric decisions, observed;
    metric embeddings, embedded_texts, embedded_tok; // POST /v1/embeddings
    struct pace pace;
};

// What is left of a budget that everybody shares, in its unit.
struct metrics_budget {
    uint16_t slot;
    const char *unit, *window;
    double limit, left;
};
enum { METRICS_BUDGETS_SHOWN = 64 };

// What is not in a shard.
struct metrics_process {
    struct slice policy_name, policy_digest; // digest in hex
    uint32_t policy_version;
    uint64_t reloads_ok, reloads_failed, log_dropped;
    uint64_t start_wall_us;
    bool ready;
    struct compute_counts compute;
    uint32_t budget_count;
    struct metrics_budget budgets[METRICS_BUDGETS_SHOWN];
    uint64_t lengths_answers, lengths_dropped; // learned from, and not for want of room
    uint32_t lengths_cells;
    struct ledger_stats ledger;
};

// The exposition text (version 0.0.4) of the sum of all shards.
void metrics_write(const struct metrics_names *names, struct metrics_shard *const *shards,
                   uint32_t count, const struct metrics_process *process, struct buf *out);

#endif
