#include "policy/energy_list.h"

#include <math.h>
#include <stdio.h>

// Fitted by least squares of the relative error to the points of batch 8 to 256 that the ML.ENERGY leaderboard publishes
// (chat task, vLLM, power of the accelerators alone; data of 2026-02-16). The form is the one with the lower worst error.
// Grade cited: their measurements, our fit (docs/energy.md has the errors).
#define ML_ENERGY "ML.ENERGY leaderboard 2026-02-16, chat task, vLLM; fit of Merit"
#define DATE "2026-11-21"
#define INVERSE IMAGE_CURVE_INVERSE
#define POWER IMAGE_CURVE_POWER
#define ROW(what, name, n, form, e_a, e_c, step, growth, most, active, weight, error)              \
    {                                                                                              \
        .hardware = "h100", .size = what, .model = name, .gpus = n, .curve = form, .a = e_a,       \
        .c = e_c, .step_ms = step, .step_growth = growth, .batch_max = most, .active_b = active,   \
        .bits = weight, .fit_error = error, .source = ML_ENERGY, .grade = IMAGE_GRADE_CITED,       \
        .date = DATE                                                                               \
    }

static const struct energy_row rows[] = {
    ROW("8b", "Llama-3.1-8B-Instruct", 1, INVERSE, 0.0678, 3.126, 6.781, 0.01277, 256, 8, 16,
        "median 1.3 %, worst 4.4 %, n 8"),
    ROW("14b", "Qwen3-14B", 1, INVERSE, 0.0910, 4.903, 11.743, 0.01111, 256, 14, 16,
        "median 0.7 %, worst 1.4 %, n 8"),
    ROW("32b", "Qwen3-32B", 1, INVERSE, 0.2104, 12.064, 23.649, 0.00971, 32, 32, 16,
        "median 0.3 %, worst 0.5 %, n 3"),
    ROW("32b", "Qwen3-32B", 2, INVERSE, 0.1851, 11.590, 14.294, 0.01000, 256, 32, 16,
        "median 0.5 %, worst 1.2 %, n 8"),
    ROW("70b", "Llama-3.1-70B-Instruct", 4, INVERSE, 0.3667, 27.118, 16.289, 0.00849, 256, 70, 16,
        "median 1.0 %, worst 2.8 %, n 8"),
    ROW("405b", "Llama-3.1-405B-Instruct-FP8", 8, INVERSE, 1.6802, 96.056, 30.970, 0.00937, 256,
        405, 8, "median 1.5 %, worst 3.3 %, n 8"),
    ROW("30b-a3b", "Qwen3-30B-A3B-Instruct-2507", 1, POWER, 2.0406, 0.5305, 5.962, 0.386, 96, 3, 16,
        "median 3.2 %, worst 3.9 %, n 5"),
    ROW("30b-a3b", "Qwen3-30B-A3B-Instruct-2507", 2, POWER, 2.5466, 0.5296, 4.324, 0.380, 256, 3,
        16, "median 2.1 %, worst 3.6 %, n 8"),
    ROW("109b-a17b", "Llama-4-Scout-17B-16E-Instruct", 4, POWER, 16.5083, 0.6598, 15.437, 0.235,
        256, 17, 16, "median 1.3 %, worst 2.9 %, n 4"),
    ROW("235b-a22b", "Qwen3-235B-A22B-Instruct-2507-FP8", 4, INVERSE, 0.4795, 76.162, 36.570,
        0.00433, 192, 22, 8, "median 4.0 %, worst 5.7 %, n 7"),
    ROW("400b-a17b", "Llama-4-Maverick-17B-128E-Instruct-FP8", 8, POWER, 6.4399, 0.4455, 5.395,
        0.358, 256, 17, 8, "median 3.3 %, worst 9.0 %, n 8"),
};

#define FLEET_SIM "vLLM-SR fleet simulator, gpu_profiles (from arXiv 2602.05116)"
static const struct energy_power powers[] = {
    {"h100", 300, 600, 1.0, 4.2, IMAGE_GRADE_CITED, FLEET_SIM ", measured there"},
    {"a100", 175, 385, 1.0, 2.5, IMAGE_GRADE_CITED, FLEET_SIM ", one anchor"},
    {"h200", 300, 600, 1.0, 5.5, IMAGE_GRADE_GUESSED, FLEET_SIM ", scaled"},
    {"b200", 430, 860, 1.0, 6.8, IMAGE_GRADE_GUESSED, FLEET_SIM ", scaled"},
    {"a10g", 75, 120, 0.7, 3.0, IMAGE_GRADE_GUESSED, FLEET_SIM ", projected"},
};

// Prefill is bound by arithmetic: 2 FLOP per active parameter and token. NVIDIA's data sheet of the H100 SXM: 700 W,
// 989 TFLOP/s dense in 16 bits, 1,979 in 8 (cited). Half of it reached in prefill: guessed, 2026-11.
#define PREFILL_W 700.0
#define PREFILL_FLOP_S 989e12
#define PREFILL_REACHED 0.5

static void prefill(struct energy_fit *f, double active_b, unsigned bits)
{
    double flop = 2e9 * active_b;
    double speed = PREFILL_FLOP_S * PREFILL_REACHED * (bits <= 8 ? 2 : 1);
    f->prefill_j_tok = flop * PREFILL_W / speed;
    f->prefill_s_tok = flop / (speed * f->gpus);
}

enum result energy_list_find(uint32_t gpus, struct slice hardware, struct slice size,
                             struct energy_fit *out)
{
    const struct energy_row *best = NULL;
    for (size_t i = 0; i < MERIT_COUNT(rows); i++)
        if (slice_ieq(hardware, slice_cstr(rows[i].hardware)) &&
            slice_ieq(size, slice_cstr(rows[i].size)) && (!gpus || rows[i].gpus == gpus) &&
            (!best || rows[i].gpus < best->gpus))
            best = &rows[i];
    if (!best)
        return RESULT_NOT_FOUND;
    *out = (struct energy_fit){
        .curve = best->curve,
        .grade = best->grade,
        .a = best->a,
        .c = best->c,
        .step_s = best->step_ms / 1e3,
        .step_growth = best->step_growth,
        .batch = ENERGY_BATCH,
        .batch_max = best->batch_max,
        .gpus = best->gpus,
    };
    prefill(out, best->active_b, best->bits);
    snprintf(out->hardware, sizeof out->hardware, "%u %s", best->gpus, best->hardware);
    snprintf(out->source, sizeof out->source, "%s; %s", best->source, best->model);
    return RESULT_OK;
}

// EcoLogits' fit to ML.ENERGY's H100s: Wh per token and accelerator, seconds per token (their documentation, cited). Its
// batch term says little below their batch, so that only its level at a batch of 64 is taken; the shape is the median
// of c / a over the dense rows above.
#define ECO_ALPHA 1.17e-6
#define ECO_BETA -1.12e-2
#define ECO_GAMMA 4.05e-5
#define ECO_BATCH 64.0
#define ECO_STEP_P 6.79e-4
#define ECO_STEP_B 3.12e-4
#define ECO_STEP 1.95e-2
#define ECO_GPU_GB 80.0
#define SHAPE 57.0

enum result energy_list_estimate(double total_b, double active_b, unsigned bits,
                                 struct energy_fit *out)
{
    if (active_b == 0)
        active_b = total_b;
    if (!bits)
        bits = 16;
    if (!(total_b > 0 && total_b <= ENERGY_ESTIMATE_B_MAX && active_b > 0 && active_b <= total_b) ||
        (bits != 4 && bits != 8 && bits != 16))
        return RESULT_RANGE;
    uint32_t gpus = 1;
    while (gpus < 1.2 * total_b * bits / 8 / ECO_GPU_GB)
        gpus *= 2;
    double level = 3600 * gpus * (ECO_ALPHA * exp(ECO_BETA * ECO_BATCH) * active_b + ECO_GAMMA);
    double step = ECO_STEP_P * active_b + ECO_STEP, a = level / (1 + SHAPE / ECO_BATCH);
    // A policy that is allowed today must not break by the PUE that is stated tomorrow.
    if (a * (1 + SHAPE) * 1e12 * 2 > (double)IMAGE_ENERGY_MAX)
        return RESULT_RANGE;
    *out = (struct energy_fit){
        .curve = IMAGE_CURVE_INVERSE,
        .grade = IMAGE_GRADE_GUESSED,
        .a = a,
        .step_s = step,
        .step_growth = ECO_STEP_B / step,
        .batch = ENERGY_BATCH,
        .batch_max = ENERGY_BATCH_MAX,
        .gpus = gpus,
    };
    out->c = SHAPE * a;
    prefill(out, active_b, bits);
    snprintf(out->hardware, sizeof out->hardware, "%u h100", gpus);
    snprintf(
        out->source, sizeof out->source,
        "estimate: EcoLogits' fit at batch %d for %.4g b, %.4g b active, %u bits; shape of the "
        "dense rows",
        (int)ECO_BATCH, total_b, active_b, bits);
    return RESULT_OK;
}

static bool up(double joules, uint32_t pue_milli, int64_t *out)
{
    double uj = ceil(joules * 1e12 * (pue_milli ? pue_milli / 1e3 : 1));
    *out = uj <= (double)IMAGE_ENERGY_MAX ? (int64_t)uj : IMAGE_ENERGY_MAX;
    return uj <= (double)IMAGE_ENERGY_MAX;
}

enum result energy_list_bounds(const struct energy_fit *fit, uint32_t pue_milli, int64_t *in_uj,
                               int64_t *out_uj)
{
    bool in = up(fit->prefill_j_tok, pue_milli, in_uj);
    bool out = up(fit->curve == IMAGE_CURVE_INVERSE ? fit->a + fit->c : fit->a, pue_milli, out_uj);
    return in && out ? RESULT_OK : RESULT_RANGE;
}

const struct energy_row *energy_list_rows(size_t *count)
{
    *count = MERIT_COUNT(rows);
    return rows;
}

const struct energy_power *energy_list_power(struct slice hardware)
{
    for (size_t i = 0; i < MERIT_COUNT(powers); i++)
        if (slice_ieq(hardware, slice_cstr(powers[i].hardware)))
            return &powers[i];
    return NULL;
}
