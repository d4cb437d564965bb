#include "route/estimate.h"

#include <math.h>

#include "base/compiler.h"
#include "route/energy.h"
#include "route/price.h"

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
    const struct price_here here = PRICE_HERE_UNKNOWN;
    struct price_usage u = {
        .input_tok = input_tok, .cached_tok = cached_tok, .output_tok = output_tok};
    uint64_t computed = cached_tok < input_tok ? input_tok - cached_tok : 0;
    int64_t asked = price_tokens_nusd(model, &u, false);
    int64_t share = price_share_nusd(model, computed, output_tok, &here);
    return asked > share ? asked : share;
}

int64_t estimate_energy_uj(const struct image_model *model, uint64_t input_tok, uint64_t output_tok)
{
    const struct energy_ask ask = {.input_tok = input_tok, .output_tok = output_tok, .batch = -1};
    return energy_average_uj(model, &ask);
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

static bool most_energy(const struct image_model *m, uint64_t in, uint64_t out, __uint128_t *once)
{
    if (m->energy_in_uj < 0 || m->energy_out_uj < 0)
        return false;
    *once = ((__uint128_t)in * (uint64_t)m->energy_in_uj +
             (__uint128_t)out * (uint64_t)m->energy_out_uj + 999999) /
            1000000;
    return true;
}

// The whole of the machines for as long as the request runs there alone.
static bool most_share(const struct image_model *m, uint64_t in, uint64_t out, __uint128_t *once)
{
    const struct image_energy *e = &m->energy;
    double longest = 1 / fmin(energy_tokens_s(e, 1), energy_tokens_s(e, e->batch_max)), seconds;
    if (e->curve != IMAGE_CURVE_NONE && e->step_s > 0)
        seconds = e->prefill_s_tok * (double)in + (double)out * longest;
    else if (m->timeout_ms)
        seconds = m->timeout_ms / 1e3;
    else
        return false;
    double nusd = ceil((double)m->price_gpu_nusd_h / 3600 * seconds * (1 + 1e-12));
    *once = nusd >= 9.2e18 ? (__uint128_t)INT64_MAX : (__uint128_t)nusd;
    return true;
}

int64_t estimate_share_bound(const struct image_model *model, uint64_t input_tok,
                             uint64_t output_tok)
{
    __uint128_t once;
    return most_share(model, input_tok, output_tok, &once) ? saturate(once) : ESTIMATE_UNBOUNDED;
}

int64_t estimate_carbon_bound(const struct policy_image *image, int32_t zone, int64_t uj)
{
    const __uint128_t kwh = 3600000000000; // microjoule
    const struct image_zone *z = IMAGE_AT(image, image->zones, struct image_zone) + zone;
    if (zone == IMAGE_NONE || !z->carbon_stated || z->carbon_file.len || uj == ESTIMATE_UNBOUNDED)
        return ESTIMATE_UNBOUNDED;
    return saturate(((__uint128_t)(uint64_t)uj * (uint64_t)z->carbon_ug_kwh + kwh - 1) / kwh);
}

static bool most_money(const struct image_model *m, uint64_t in, uint64_t out, __uint128_t *once)
{
    int64_t in_price = m->price_in_nusd;
    if (m->price_cached_nusd > in_price)
        in_price = m->price_cached_nusd;
    if (m->price_written_nusd > in_price)
        in_price = m->price_written_nusd;
    __uint128_t asked = (__uint128_t)in * (uint64_t)in_price +
                        (__uint128_t)out * (uint64_t)m->price_out_nusd +
                        (__uint128_t)(uint64_t)m->price_call_nusd * 1000000;
    asked = m->priced ? (asked + 999999) / 1000000 : 0;
    *once = 0;
    if (m->price_gpu_nusd_h > 0 ? !most_share(m, in, out, once) : !m->priced)
        return false;
    if (asked > *once)
        *once = asked;
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
    __uint128_t once = 0;
    if (!(unit == IMAGE_UNIT_UJ ? most_energy(model, in, out, &once)
                                : most_money(model, in, out, &once)))
        return ESTIMATE_UNBOUNDED;
    return saturate(once * times);
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
