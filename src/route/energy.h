// Joules of a request, by the curve of its model: on average, at the margin, and in grams.
//
// The boundary of the curves is the machines alone (accelerators, policy/energy_list.h); the PUE of the zone multiplies
// what is accounted, so that an amount says "with PUE" or "machines only" (energy_boundary). What a model of an API
// takes is either stated by the policy (`energy 40 in, 300 out kJ/Mtok`: then it is taken as it stands, PUE included by
// whoever stated it) or estimated, or not known: -1, never zero.
//
//   average   PUE * (prefill_j * (input - cached) + e(b) * output)           rows of these add up to the meter
//   marginal  PUE * (prefill_j * (input - cached) + m(b) * output)           what one more request adds where one runs
//
// m(b) = dP/dT of the same curve: P = e(b) T is the power, T = b / step(b) the tokens per second, and so
//   e = a + c / b,  step = s (1 + g b):   m = a - c g
//   e = a b^-p,     step = s b^g:         m = e(b) (1 - p / (1 - g))
// held between 0 and e(b). Where no step is known g is 0, and m is too high. Over the rows of policy/energy_list.h m/e is
// 0.14 to 0.38 at the largest batch, as the measurements behind them say (0.07 to 0.44; docs/energy.md).
//
// Pure; doubles in J and s inside, integers in microjoule and microgram outside, rounded to nearest, saturating at INT64_MAX.
#ifndef MERIT_ROUTE_ENERGY_H
#define MERIT_ROUTE_ENERGY_H

#include <stdbool.h>
#include <stdint.h>

#include "work/image.h"

// Power of one busy core of the machine that Merit runs on, its share of memory, board and power supply included: 10 W.
// Grade guessed, 2026-11: servers of 64 to 128 cores take 500 to 1,000 W at the wall under load.
enum { ENERGY_CORE_MILLIWATTS = 10000 };

// J per output token in a batch of `batch` requests, this one included; held at 1 below and at batch_max above;
// negative: the curve's own default. `e->curve` is not IMAGE_CURVE_NONE.
double energy_token_j(const struct image_energy *e, double batch);
// dP/dT there: J that one more output token per second takes on a replica that runs anyway.
double energy_marginal_j(const struct image_energy *e, double batch);
// Seconds of a step of the batch, and output tokens per second of the whole batch; 0: not known.
double energy_step_s(const struct image_energy *e, double batch);
double energy_tokens_s(const struct image_energy *e, double batch);
// Power of the machines while they decode at this batch, W; 0: not known.
double energy_power_w(const struct image_energy *e, double batch);

struct energy_ask {
    uint64_t input_tok, cached_tok, output_tok; // cached: read from a prefix cache, not computed
    double batch;                               // this request included; negative: not known
    uint32_t pue_milli;                         // of the zone; 0: not stated, reckoned as 1
};

bool energy_known(const struct image_model *model);
// Microjoule; -1: not known.
int64_t energy_average_uj(const struct image_model *model, const struct energy_ask *ask);
int64_t energy_marginal_uj(const struct image_model *model, const struct energy_ask *ask);

// "with PUE", "machines only", "as stated", "": what the amounts of this model include.
const char *energy_boundary(const struct image_model *model, const struct image_zone *zone);
// Of so many nanoseconds of Merit's own CPU time. `milliwatts` 0: ENERGY_CORE_MILLIWATTS.
int64_t energy_router_uj(uint64_t cpu_ns, uint32_t milliwatts);

// Micrograms of CO2e of so many microjoule at `ug_kwh`; -1 when one of them is not known (negative).
int64_t energy_carbon_ug(int64_t uj, int64_t ug_kwh);

#endif
