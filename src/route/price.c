#include "route/price.h"

#include "base/compiler.h"
#include "route/energy.h"
#include "route/estimate.h"

static int64_t saturate(unsigned __int128 v)
{
    return v > INT64_MAX ? INT64_MAX : (int64_t)v;
}

// `price gpu 4.02 usd/h` alone says nothing of tokens: they are not free, they are not priced.
static bool tokens_priced(const struct image_model *m)
{
    return m->priced && (m->price_in_nusd || m->price_out_nusd || m->price_call_nusd ||
                         m->price_gpu_nusd_h <= 0);
}

static inline int64_t tokens_nusd(const struct image_model *m, uint64_t input, uint64_t cached,
                                  uint64_t written, uint64_t output, bool deferred)
{
    if (!tokens_priced(m))
        return -1;
    cached = cached < input ? cached : input;
    input -= cached;
    written = written < input ? written : input;
    int64_t written_price = m->price_written_nusd ? m->price_written_nusd : m->price_in_nusd;
    unsigned __int128 sum = (unsigned __int128)(input - written) * (uint64_t)m->price_in_nusd +
                            (unsigned __int128)cached * (uint64_t)m->price_cached_nusd +
                            (unsigned __int128)written * (uint64_t)written_price +
                            (unsigned __int128)output * (uint64_t)m->price_out_nusd +
                            (unsigned __int128)(uint64_t)m->price_call_nusd * 1000000;
    if (deferred && m->batch_percent)
        sum = sum * m->batch_percent / 100;
    // Division of 128 bits is a call, and no sum that is meant needs them.
    return MERIT_LIKELY(sum <= UINT64_MAX) ? (int64_t)((uint64_t)sum / 1000000)
                                           : saturate(sum / 1000000);
}

int64_t price_tokens_nusd(const struct image_model *model, const struct price_usage *u,
                          bool deferred)
{
    return tokens_nusd(model, u->input_tok, u->cached_tok, u->written_tok, u->output_tok, deferred);
}

int64_t price_share_nusd(const struct image_model *model, uint64_t computed_tok,
                         uint64_t output_tok, const struct price_here *here)
{
    const struct image_energy *e = &model->energy;
    if (model->price_gpu_nusd_h <= 0)
        return -1;
    double speed = e->curve == IMAGE_CURVE_NONE ? 0 : energy_tokens_s(e, here->batch), each;
    if (speed > 0)
        each = 1 / speed;
    else if (here->each_ms >= 0)
        each = here->each_ms / 1e3 / (here->batch > 1 ? here->batch : 1);
    else
        return -1;
    double seconds = e->prefill_s_tok * (double)computed_tok + each * (double)output_tok;
    double nusd = (double)model->price_gpu_nusd_h / 3600 * seconds;
    return nusd >= 9.2e18 ? INT64_MAX : nusd > 0 ? (int64_t)nusd : 0;
}

static int64_t greater(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t least(int64_t v, int64_t bound)
{
    return v > bound ? bound : v;
}

struct ends {
    int64_t nusd, uj;
};

static inline struct ends at(const struct image_model *m, const struct image_zone *zone,
                             const struct price_length *l, uint64_t output_tok,
                             const struct price_here *here)
{
    struct ends out = {
        .nusd = tokens_nusd(m, l->input_tok, l->cached_tok, 0, output_tok, here->deferred),
        .uj = -1,
    };
    uint64_t computed = l->cached_tok < l->input_tok ? l->input_tok - l->cached_tok : 0;
    if (m->price_gpu_nusd_h > 0)
        out.nusd = greater(out.nusd, price_share_nusd(m, computed, output_tok, here));
    if (!energy_known(m))
        return out;
    struct energy_ask ask = {.input_tok = l->input_tok,
                             .cached_tok = l->cached_tok,
                             .output_tok = output_tok,
                             .batch = here->batch,
                             .pue_milli = zone ? zone->pue_milli : 0};
    int64_t router = here->router_uj > 0 ? here->router_uj : 0;
    out.uj = energy_average_uj(m, &ask);
    if (__builtin_add_overflow(out.uj, router, &out.uj))
        out.uj = INT64_MAX;
    return out;
}

static int64_t intensity(const struct image_zone *zone, const struct price_here *here,
                         bool *marginal)
{
    // The policy says of a file what its figures are, whoever brings them here.
    *marginal =
        (zone && zone->carbon_marginal) || (here->carbon_ug_kwh >= 0 && here->carbon_marginal);
    return here->carbon_ug_kwh >= 0      ? here->carbon_ug_kwh
           : zone && zone->carbon_stated ? zone->carbon_ug_kwh
                                         : -1;
}

static uint32_t tokens(uint64_t v)
{
    return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

void price_expect(const struct image_model *model, const struct image_zone *zone,
                  const struct price_length *length, const struct price_here *here,
                  struct estimate *out)
{
    struct ends low = at(model, zone, length, length->low_tok, here);
    struct ends mid = at(model, zone, length, length->output_tok, here);
    struct ends high = at(model, zone, length, length->high_tok, here);
    struct energy_ask ask = {.input_tok = length->input_tok,
                             .cached_tok = length->cached_tok,
                             .output_tok = length->output_tok,
                             .batch = here->batch,
                             .pue_milli = zone ? zone->pue_milli : 0};
    *out = (struct estimate){
        .input_tok = tokens(length->input_tok),
        .output_tok = tokens(length->output_tok),
        .output_low_tok = tokens(length->low_tok),
        .output_high_tok = tokens(length->high_tok),
        .cost_nusd = mid.nusd,
        .cost_low_nusd = low.nusd,
        .cost_high_nusd = high.nusd,
        .energy_uj = mid.uj,
        .energy_low_uj = low.uj,
        .energy_high_uj = high.uj,
        .marginal_uj = energy_marginal_uj(model, &ask),
    };
    out->carbon_ug = energy_carbon_ug(mid.uj, intensity(zone, here, &out->carbon_marginal));
}

static int64_t with_pue(int64_t uj, const struct image_zone *zone)
{
    uint32_t milli = zone && zone->pue_milli ? zone->pue_milli : 1000;
    return saturate(((unsigned __int128)(uint64_t)uj * milli + 500) / 1000);
}

void price_settle(const struct image_model *model, const struct image_zone *zone,
                  const struct price_usage *usage, const struct price_here *here,
                  int64_t bound_nusd, int64_t bound_uj, struct price_settled *out)
{
    struct price_length l = {.input_tok = usage->input_tok, .cached_tok = usage->cached_tok};
    struct price_here alone = *here;
    alone.router_uj = 0;
    struct ends took = at(model, zone, &l, usage->output_tok, &alone);
    uint64_t computed =
        usage->cached_tok < usage->input_tok ? usage->input_tok - usage->cached_tok : 0;
    int64_t asked = price_tokens_nusd(model, usage, here->deferred);
    int64_t share = least(price_share_nusd(model, computed, usage->output_tok, here), bound_nusd);
    *out = (struct price_settled){
        .cost_nusd = greater(asked, share),
        .shared = share > asked,
        .metered = usage->metered_uj >= 0,
    };
    out->energy_uj = out->metered ? with_pue(usage->metered_uj, zone) : took.uj;
    if (out->energy_uj >= 0 && here->router_uj > 0 &&
        __builtin_add_overflow(out->energy_uj, here->router_uj, &out->energy_uj))
        out->energy_uj = INT64_MAX;
    out->energy_uj = least(out->energy_uj, bound_uj);
    out->carbon_ug = energy_carbon_ug(out->energy_uj, intensity(zone, here, &out->carbon_marginal));
}

int64_t price_bound_ug(const struct image_zone *zone, const struct price_here *here,
                       int64_t bound_uj)
{
    bool marginal;
    int64_t ug_kwh = intensity(zone, here, &marginal);
    if (bound_uj == ESTIMATE_UNBOUNDED || bound_uj < 0 || ug_kwh < 0)
        return ESTIMATE_UNBOUNDED;
    unsigned __int128 v = (unsigned __int128)(uint64_t)bound_uj * (uint64_t)ug_kwh;
    return saturate((v + 3599999999999) / 3600000000000);
}
