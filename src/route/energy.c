#include "route/energy.h"

#include <math.h>

#include "base/compiler.h"

static double held(const struct image_energy *e, double batch)
{
    if (!(batch >= 0))
        batch = e->batch;
    if (e->batch_max >= 1 && batch > e->batch_max)
        batch = e->batch_max;
    return batch < 1 ? 1 : batch;
}

double energy_token_j(const struct image_energy *e, double batch)
{
    double b = held(e, batch);
    return e->curve == IMAGE_CURVE_POWER ? e->a * pow(b, -e->c) : e->a + e->c / b;
}

double energy_marginal_j(const struct image_energy *e, double batch)
{
    double b = held(e, batch), average = energy_token_j(e, b), m;
    if (e->curve == IMAGE_CURVE_POWER)
        m = e->step_growth < 1 ? average * (1 - e->c / (1 - e->step_growth)) : 0;
    else
        m = e->a - e->c * e->step_growth;
    return m < 0 ? 0 : m > average ? average : m;
}

double energy_step_s(const struct image_energy *e, double batch)
{
    if (!(e->step_s > 0))
        return 0;
    double b = held(e, batch);
    return e->curve == IMAGE_CURVE_POWER ? e->step_s * pow(b, e->step_growth)
                                         : e->step_s * (1 + e->step_growth * b);
}

double energy_tokens_s(const struct image_energy *e, double batch)
{
    double step = energy_step_s(e, batch);
    return step > 0 ? held(e, batch) / step : 0;
}

double energy_power_w(const struct image_energy *e, double batch)
{
    return energy_token_j(e, batch) * energy_tokens_s(e, batch);
}

bool energy_known(const struct image_model *model)
{
    return model->energy.curve != IMAGE_CURVE_NONE ||
           (model->energy_in_uj >= 0 && model->energy_out_uj >= 0);
}

static int64_t whole(double v)
{
    return v >= 9.2e18 ? INT64_MAX : v > 0 ? (int64_t)(v + 0.5) : 0;
}

static uint64_t computed(const struct energy_ask *ask)
{
    return ask->cached_tok < ask->input_tok ? ask->input_tok - ask->cached_tok : 0;
}

// `energy 40 in, 300 out kJ/Mtok`: what a provider or a measurement says of this model.
static int64_t stated_uj(const struct image_model *m, const struct energy_ask *ask)
{
    if (m->energy_in_uj < 0 || m->energy_out_uj < 0)
        return -1;
    unsigned __int128 sum = (unsigned __int128)computed(ask) * (uint64_t)m->energy_in_uj +
                            (unsigned __int128)ask->output_tok * (uint64_t)m->energy_out_uj;
    sum = (sum + 500000) / 1000000;
    return sum > INT64_MAX ? INT64_MAX : (int64_t)sum;
}

static int64_t curve_uj(const struct image_model *m, const struct energy_ask *ask, double each)
{
    double pue = ask->pue_milli ? ask->pue_milli / 1e3 : 1;
    return whole(
        1e6 * pue *
        (m->energy.prefill_j_tok * (double)computed(ask) + each * (double)ask->output_tok));
}

int64_t energy_average_uj(const struct image_model *model, const struct energy_ask *ask)
{
    if (model->energy.curve == IMAGE_CURVE_NONE)
        return stated_uj(model, ask);
    return curve_uj(model, ask, energy_token_j(&model->energy, ask->batch));
}

int64_t energy_marginal_uj(const struct image_model *model, const struct energy_ask *ask)
{
    if (model->energy.curve == IMAGE_CURVE_NONE)
        return stated_uj(model, ask);
    return curve_uj(model, ask, energy_marginal_j(&model->energy, ask->batch));
}

const char *energy_boundary(const struct image_model *model, const struct image_zone *zone)
{
    if (!energy_known(model))
        return "";
    if (model->energy.curve == IMAGE_CURVE_NONE)
        return "as stated";
    return zone && zone->pue_milli ? "with PUE" : "machines only";
}

static int64_t product(uint64_t a, uint64_t b, uint64_t by)
{
    unsigned __int128 v = ((unsigned __int128)a * b + by / 2) / by;
    return v > INT64_MAX ? INT64_MAX : (int64_t)v;
}

int64_t energy_router_uj(uint64_t cpu_ns, uint32_t milliwatts)
{
    // ns * mW is 10^-12 J.
    return product(cpu_ns, milliwatts ? milliwatts : ENERGY_CORE_MILLIWATTS, 1000000);
}

int64_t energy_carbon_ug(int64_t uj, int64_t ug_kwh)
{
    // 3.6 * 10^12 uJ are a kWh.
    return uj < 0 || ug_kwh < 0 ? -1 : product((uint64_t)uj, (uint64_t)ug_kwh, 3600000000000);
}
