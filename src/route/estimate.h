// What a request will cost, before it is sent and after it was counted.
#ifndef MERIT_ROUTE_ESTIMATE_H
#define MERIT_ROUTE_ESTIMATE_H

#include <stdint.h>

#include "work/image.h"
#include "work/work.h"

// Output tokens to expect of one answer while nothing was learned: 256, bounded by what the client asked for and by
// what the model gives; times the number of choices. Grade: guessed, 2026-11 (ordinary chat answers
// have a few hundred).
enum { ESTIMATE_OUTPUT_TOK = 256 };
// `expected` 0: that rule; otherwise the expectation per choice, under the same bounds. Saturates.
uint32_t estimate_output_tok(const struct work *work, const struct image_model *model,
                             uint32_t expected);

// Most output tokens of one choice that must fit the window besides the input: what the client asked for, else what is
// expected.
uint32_t estimate_reserve_tok(const struct work *work, const struct image_model *model,
                              uint32_t expected);

// Nano-USD of so many tokens, the call and the share of the machines as far as they are stated, by what the policy alone
// says (route/price.h has more); `cached_tok` of the input cost the cached price. Rounded down; saturates at INT64_MAX.
// -1 when the model states no price: unknown is not zero.
int64_t estimate_cost_nusd(const struct image_model *model, uint64_t input_tok, uint64_t cached_tok,
                           uint64_t output_tok);

// Microjoule of so many tokens at the curve's own batch, machines only (route/energy.h has more); to nearest; saturates.
// -1 when the model does not state its energy.
int64_t estimate_energy_uj(const struct image_model *model, uint64_t input_tok,
                           uint64_t output_tok);

// Upper bounds, in whole units, rounded up: the most that one step of a path can take. Input is what is estimated plus what
// retrieval adds; output the least of what the client, the step's cap and the model allow, for each choice. A model is
// tried as often as its step says, else once at each endpoint; hedged copies count whole, but take no time. The input of a model that verifies is its window. ESTIMATE_UNBOUNDED where something states
// no bound, and for grams: those are estimate_carbon_bound's, or price_bound_ug's for an attempt.
// Of money it is the dearest way to charge so many tokens, and the call; and no less than the share of the machines that the
// request has when it runs there alone, or, where no time per token is known, for the whole of the model's timeout.
#define ESTIMATE_UNBOUNDED INT64_MAX
int64_t estimate_bound(const struct work *work, const struct image_model *model,
                       enum image_unit unit, uint64_t added_tok, const struct image_step *step);
int64_t estimate_sink_bound(const struct image_sink *sink, enum image_unit unit,
                            const struct image_step *step);
// Micrograms that so many microjoule emit at most in a zone (IMAGE_NONE: of none). ESTIMATE_UNBOUNDED where it has no figure,
// or one by the hour.
int64_t estimate_carbon_bound(const struct policy_image *image, int32_t zone, int64_t uj);
// The most that the machines cost while they read and write so many tokens for one request, nano-USD, rounded up.
// ESTIMATE_UNBOUNDED where nothing says how long that takes.
int64_t estimate_share_bound(const struct image_model *model, uint64_t input_tok,
                             uint64_t output_tok);
// Most output tokens of one choice; 0: unbounded.
uint32_t estimate_output_most_tok(const struct work *work, const struct image_model *model,
                                  const struct image_step *step);
// What the retrieval steps of a chain add; UINT64_MAX: unbounded.
uint64_t estimate_added_tok(const struct policy_image *image, const struct image_step *steps,
                            uint32_t count);

#endif
