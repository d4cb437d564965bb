// Fitted constants of energy: what `energy h100 8b`, `energy 4 h100 70b` and `energy estimate 200b` stand for.
//
// A row says what one output token takes of the machines' power at a batch of b requests, how long a step of decoding
// takes, and what an input token takes to prefill. The boundary of every figure is the accelerators alone ("machines
// only"): no host, no fans, no building; a zone's PUE comes on top (route/energy.h). Each row has its source and grade;
// docs/energy.md shows all of them, and tests recompute it. Pure; the table is constant.
#ifndef MERIT_POLICY_ENERGY_LIST_H
#define MERIT_POLICY_ENERGY_LIST_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "work/image.h"

enum {
    ENERGY_HARDWARE_MAX = 32,
    ENERGY_SOURCE_MAX = 160,
    ENERGY_BATCH = 32,            // to reckon with while no load is known; guessed, 2026-11
    ENERGY_BATCH_MAX = 256,       // largest batch of the measurements behind the fits
    ENERGY_ESTIMATE_B_MAX = 4000, // billions of parameters that `estimate` takes
};

// What the compiler copies into struct image_energy, field by field.
struct energy_fit {
    enum image_curve curve;
    enum image_grade grade;
    double a, c;          // as struct image_energy has them
    double prefill_j_tok; // J per input token that is computed
    double prefill_s_tok; // seconds of the machines for it
    double
        step_s; // a step of b requests takes step_s * (1 + step_growth * b) where e = a + c / b, and
    double step_growth; // step_s * b ^ step_growth where e = a * b ^ -c
    double batch, batch_max;
    uint32_t gpus;
    char hardware[ENERGY_HARDWARE_MAX]; // "2 h100"
    char source[ENERGY_SOURCE_MAX];
};

// A row of the table, as it stands there.
struct energy_row {
    const char *hardware; // "h100"
    const char *size;     // "8b", "30b-a3b": how a policy names the class
    const char *model;    // what was measured
    uint32_t gpus;        // that one instance runs on
    enum image_curve curve;
    double a, c; // J/token
    double step_ms, step_growth;
    double batch_max;
    double active_b;       // billions of parameters that a token passes through: prefill
    unsigned bits;         // of a weight: prefill
    const char *fit_error; // of e(b) at the measured batches: "median 1 %, worst 4 %, n 8"
    const char *source;
    enum image_grade grade;
    const char *date;
};

// Power of one accelerator at a batch: idle + (rated - idle) / (1 + exp(-k (log2 b - x0))).
struct energy_power {
    const char *hardware;
    double idle_w, rated_w, k, x0;
    enum image_grade grade;
    const char *source;
};

// The row of `gpus hardware size`, letters folded; 0 `gpus`: that of the row with the fewest. RESULT_NOT_FOUND.
enum result energy_list_find(uint32_t gpus, struct slice hardware, struct slice size,
                             struct energy_fit *out) MERIT_NODISCARD;

// Nothing measured: by EcoLogits' fit over H100s, for `total_b` billions of parameters of which `active_b` work on a
// token (0: all), with weights of `bits` bits (0: 16). Grade guessed: fitted to others' models, for one that nobody measured.
// RESULT_RANGE: not in (0, ENERGY_ESTIMATE_B_MAX], active above total, bits not 4, 8 or 16, or more than a policy's energy
// can be (dense models of some 400 b and more in 16 bits).
enum result energy_list_estimate(double total_b, double active_b, unsigned bits,
                                 struct energy_fit *out) MERIT_NODISCARD;

// Most that a million tokens can take by the fit, with the zone's PUE (0: 1): output at a batch of one, input wholly
// computed. What struct image_model has as energy_in_uj and energy_out_uj. Rounded up. RESULT_RANGE: more than
// IMAGE_ENERGY_MAX; then the amounts are that, and no bound.
enum result energy_list_bounds(const struct energy_fit *fit, uint32_t pue_milli, int64_t *in_uj,
                               int64_t *out_uj);

const struct energy_row *energy_list_rows(size_t *count);
// NULL: none is known.
const struct energy_power *energy_list_power(struct slice hardware);

#endif
