// What a request takes in dollars, joules and grams: expected before it is sent, settled after it was counted.
//
// Money of an attempt is max(price of the tokens and the call, share of the machines' hours): a provider asks the first, an
// own endpoint (`gpu 4.02 usd/h`) costs the second, and who states both recovers at least the machines.
//   tokens  (input - cached - written) * in + cached * cached price + written * written price + output * out, and the
//           call; deferred work pays batch_percent of it where the model has a batch rate
//   share   usd/h / 3600 * (prefill_s * computed input + output * step(b) / b)
// step(b) / b is the batch's step divided among its requests (route/energy.h); where the curve knows none, the time per
// token that was learned at the place, divided by its batch. Shares of all that runs there add up to the hours that it is
// busy; idle hours are nobody's.
//
// The interval of an estimate is that of the length of the answer; that of the batch is not in it.
//
// -1 is "not known", never zero. Pure. Integers saturate; money is rounded down, energy and carbon to nearest.
#ifndef MERIT_ROUTE_PRICE_H
#define MERIT_ROUTE_PRICE_H

#include <stdbool.h>
#include <stdint.h>

#include "work/decision.h"
#include "work/image.h"

// Where and when: what is known besides the policy. PRICE_HERE_UNKNOWN: nothing.
struct price_here {
    double batch;          // requests in the batch there, this one included; negative: not known
    double each_ms;        // time per output token there; negative: not known
    int64_t carbon_ug_kwh; // of the zone at this hour; negative: the figure of the policy
    bool carbon_marginal;  // what that one is
    bool deferred;         // it may wait: the batch rate
    int64_t router_uj;     // Merit's own part (energy_router_uj), added as it is; 0 without
};
#define PRICE_HERE_UNKNOWN ((struct price_here){.batch = -1, .each_ms = -1, .carbon_ug_kwh = -1})

// Output tokens are of all choices together; low and high hold 80 % (route/lengths.h). `cached_tok` of the input are
// expected to be in a prefix cache.
struct price_length {
    uint64_t input_tok, cached_tok;
    uint64_t output_tok, low_tok, high_tok;
};

// `zone` may be NULL (PUE 1, no carbon). Fills every field of `out`.
void price_expect(const struct image_model *model, const struct image_zone *zone,
                  const struct price_length *length, const struct price_here *here,
                  struct estimate *out);

// Counted by the upstream, or by Merit where it said nothing sane. cached and written are parts of the input; together at
// most the input (what is more is cut).
struct price_usage {
    uint64_t input_tok, cached_tok, written_tok, output_tok;
    int64_t metered_uj; // share of a meter (pool/meter.h), machines only; negative: no meter
};

struct price_settled {
    int64_t cost_nusd, energy_uj, carbon_ug; // -1: not known; energy with PUE
    bool metered;                            // energy is the meter's
    bool shared;                             // the cost is the share of the machines
    bool carbon_marginal;
};

// What one attempt took. The cost of tokens is what they are; the share of the machines and the energy, which Merit itself
// allots, are at most `bound_nusd` and `bound_uj` (route/estimate.h; ESTIMATE_UNBOUNDED for none), so that no hard budget is
// overdrawn by the way a meter is divided.
void price_settle(const struct image_model *model, const struct image_zone *zone,
                  const struct price_usage *usage, const struct price_here *here,
                  int64_t bound_nusd, int64_t bound_uj, struct price_settled *out);

// Most micrograms that `bound_uj` can be where and when they are settled: with the same `here`. ESTIMATE_UNBOUNDED: the
// energy is unbounded, or no carbon is known.
int64_t price_bound_ug(const struct image_zone *zone, const struct price_here *here,
                       int64_t bound_uj);

// The parts. Nano-USD; -1: not known.
int64_t price_tokens_nusd(const struct image_model *model, const struct price_usage *usage,
                          bool deferred);
int64_t price_share_nusd(const struct image_model *model, uint64_t computed_tok,
                         uint64_t output_tok, const struct price_here *here);

#endif
