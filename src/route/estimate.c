#include "route/estimate.h"

#include "base/compiler.h"

static uint64_t per_choice(const struct work *work, const struct image_model *model,
                           uint32_t expected)
{
    uint64_t tok = expected ? expected : ESTIMATE_OUTPUT_TOK;
    if (work->max_output_tok && work->max_output_tok < tok)
        tok = work->max_output_tok;
    if (model && model->output_tok && model->output_tok < tok)
        tok = model->output_tok;
    return tok;
}

uint32_t estimate_output_tok(const struct work *work, const struct image_model *model,
                             uint32_t expected)
{
    uint64_t tok = per_choice(work, model, expected) * (work->choices ? work->choices : 1);
    return tok > UINT32_MAX ? UINT32_MAX : (uint32_t)tok;
}

uint32_t estimate_reserve_tok(const struct work *work, const struct image_model *model,
                              uint32_t expected)
{
    return work->max_output_tok ? work->max_output_tok
                                : (uint32_t)per_choice(work, model, expected);
}

int64_t estimate_cost_nusd(const struct image_model *model, uint64_t input_tok, uint64_t cached_tok,
                           uint64_t output_tok)
{
    if (!model->priced)
        return -1;
    if (cached_tok > input_tok)
        cached_tok = input_tok;
    int64_t sum = 0;
    const int64_t price[] = {model->price_in_nusd, model->price_cached_nusd, model->price_out_nusd};
    const uint64_t tok[] = {input_tok - cached_tok, cached_tok, output_tok};
    for (unsigned i = 0; i < 3; i++) {
        int64_t product;
        if (tok[i] > INT64_MAX || __builtin_mul_overflow(price[i], (int64_t)tok[i], &product) ||
            __builtin_add_overflow(sum, product, &sum))
            return INT64_MAX;
    }
    return sum / 1000000;
}

int64_t estimate_energy_uj(const struct image_model *model, uint64_t input_tok, uint64_t output_tok)
{
    if (model->energy_in_uj < 0 || model->energy_out_uj < 0)
        return -1;
    __uint128_t sum = (__uint128_t)input_tok * (uint64_t)model->energy_in_uj +
                      (__uint128_t)output_tok * (uint64_t)model->energy_out_uj;
    sum /= 1000000;
    return sum > INT64_MAX ? INT64_MAX : (int64_t)sum;
}

uint64_t estimate_added_tok(const struct policy_image *image, const struct image_step *steps,
                            uint32_t count)
{
    const struct image_sink *sinks = IMAGE_AT(image, image->sinks, struct image_sink);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (steps[i].kind != IMAGE_STEP_RETRIEVE)
            continue;
        uint32_t cap = steps[i].sink == IMAGE_NONE ? 0 : sinks[steps[i].sink].cap_tok;
        if (!cap)
            return UINT64_MAX;
        sum += cap;
    }
    return sum;
}

uint32_t estimate_output_most_tok(const struct work *work, const struct image_model *model,
                                  const struct image_step *step)
{
    const uint32_t limits[] = {step->cap_tok, model->output_tok, model->context_tok,
                               step->kind == IMAGE_STEP_VERIFY ? 0 : work->max_output_tok};
    uint32_t most = 0;
    for (unsigned i = 0; i < MERIT_COUNT(limits); i++)
        if (limits[i] && (!most || limits[i] < most))
            most = limits[i];
    return most;
}

static int64_t saturate(__uint128_t v)
{
    return v >= (__uint128_t)ESTIMATE_UNBOUNDED ? ESTIMATE_UNBOUNDED : (int64_t)v;
}

// Copies run side by side: they cost, but take no longer.
static uint64_t attempts(const struct image_step *step, uint32_t endpoints, enum image_unit unit)
{
    uint64_t tries = step->retries ? UINT64_C(1) + step->retries : endpoints ? endpoints : 1;
    return unit == IMAGE_UNIT_MS ? tries : tries * (UINT64_C(1) + step->hedges);
}

// Tokens in and out of one attempt; false: unbounded.
static bool most_tokens(const struct work *work, const struct image_model *model,
                        uint64_t added_tok, const struct image_step *step, uint64_t *in,
                        uint64_t *out)
{
    bool verifies = step->kind == IMAGE_STEP_VERIFY;
    *out = estimate_output_most_tok(work, model, step);
    *in = verifies ? model->context_tok : work->input_tok + added_tok;
    if (!*out || (verifies ? !*in : added_tok == UINT64_MAX))
        return false;
    if (!verifies && work->choices > 1)
        *out *= work->choices;
    return true;
}

int64_t estimate_bound(const struct work *work, const struct image_model *model,
                       enum image_unit unit, uint64_t added_tok, const struct image_step *step)
{
    uint64_t in, out, times = attempts(step, model->endpoints.count, unit);
    if (unit == IMAGE_UNIT_CALLS)
        return saturate(times);
    if (unit == IMAGE_UNIT_MS)
        return model->timeout_ms ? saturate((__uint128_t)model->timeout_ms * times)
                                 : ESTIMATE_UNBOUNDED;
    if (unit == IMAGE_UNIT_UG || !most_tokens(work, model, added_tok, step, &in, &out))
        return ESTIMATE_UNBOUNDED;
    if (unit == IMAGE_UNIT_TOK)
        return saturate(((__uint128_t)in + out) * times);
    int64_t in_price = model->price_in_nusd > model->price_cached_nusd ? model->price_in_nusd
                                                                       : model->price_cached_nusd;
    int64_t out_price = model->price_out_nusd;
    bool known = model->priced;
    if (unit == IMAGE_UNIT_UJ) {
        in_price = model->energy_in_uj;
        out_price = model->energy_out_uj;
        known = in_price >= 0 && out_price >= 0;
    }
    if (!known)
        return ESTIMATE_UNBOUNDED;
    __uint128_t once =
        (__uint128_t)in * (uint64_t)in_price + (__uint128_t)out * (uint64_t)out_price;
    return saturate((once + 999999) / 1000000 * times);
}

int64_t estimate_sink_bound(const struct image_sink *sink, enum image_unit unit,
                            const struct image_step *step)
{
    uint64_t times = attempts(step, 1, unit);
    int64_t once = unit == IMAGE_UNIT_NUSD    ? sink->call_nusd
                   : unit == IMAGE_UNIT_UJ    ? sink->call_uj
                   : unit == IMAGE_UNIT_MS    ? sink->timeout_ms ? (int64_t)sink->timeout_ms : -1
                   : unit == IMAGE_UNIT_CALLS ? 1
                   : unit == IMAGE_UNIT_TOK   ? 0
                                              : -1;
    return once < 0 ? ESTIMATE_UNBOUNDED : saturate((__uint128_t)(uint64_t)once * times);
}
