// Prices, energy, endpoints and dispatch in the words of the language, as lists whose pieces can be compared.
#include "proof/describe.h"

static void milli(uint32_t v, struct buf *out)
{
    buf_micro(out, (int64_t)v * 1000);
}

static void usd(const char *before, int64_t nusd, const char *behind, struct buf *out)
{
    buf_cstr(out, before);
    buf_nano(out, nusd);
    buf_cstr(out, behind);
}

void describe_prices(const struct policy_image *p, const struct image_model *m, struct buf *out)
{
    if (m->priced) {
        usd(", price ", m->price_in_nusd, " usd/Mtok in", out);
        usd(", ", m->price_out_nusd, " usd/Mtok out", out);
        usd(", ", m->price_cached_nusd, " usd/Mtok cached", out);
        if (m->price_written_nusd)
            usd(", ", m->price_written_nusd, " usd/Mtok written", out);
        if (m->price_call_nusd)
            usd(", ", m->price_call_nusd, " usd/request", out);
        if (m->price_gpu_nusd_h)
            usd(", gpu ", m->price_gpu_nusd_h, " usd/h", out);
        if (m->batch_percent)
            buf_printf(out, ", batch %u %%", m->batch_percent);
        if (m->price_listed)
            BUF_LIT(out, ", listed");
        if (m->price_date.len)
            buf_printf(out, ", since %.*s", SLICE_FMT(image_text(p, m->price_date)));
    }
    if (m->energy_in_uj < 0 || m->energy_out_uj < 0)
        return;
    BUF_LIT(out, ", energy ");
    buf_micro(out, m->energy_in_uj);
    BUF_LIT(out, " J/Mtok in, ");
    buf_micro(out, m->energy_out_uj);
    BUF_LIT(out, " J/Mtok out");
    if (m->energy.curve)
        buf_printf(out, ", by the curve of %.*s", SLICE_FMT(image_text(p, m->energy.hardware)));
}

void describe_knob(const struct policy_image *p, const struct image_model *m, struct buf *out)
{
    if (m->knob == IMAGE_KNOB_REASONING_EFFORT)
        return;
    buf_printf(out, ", by %s \"%.*s\"", m->knob == IMAGE_KNOB_TEMPLATE ? "template" : "thinking",
               SLICE_FMT(image_text(p, m->knob_name)));
    for (int e = 0; e < IMAGE_EFFORT_COUNT_; e++)
        if (m->thinking_tok[e])
            buf_printf(out, " %s %u tok", image_effort_name((enum image_effort)e),
                       m->thinking_tok[e]);
}

static void word_text(const struct policy_image *p, const char *word, struct image_str s,
                      struct buf *out)
{
    if (s.len)
        buf_printf(out, " %s %.*s", word, SLICE_FMT(image_text(p, s)));
}

void describe_endpoint(const struct policy_image *p, const struct image_endpoint *e,
                       struct buf *out)
{
    static const char *const kinds[] = {"", "dns ", "file "},
                             *const engines[IMAGE_ENGINE_COUNT_] = {"", "vllm", "sglang",
                                                                    "llamacpp", "tgi"},
                             *const meters[] = {"", "nvml", "rapl"};
    const struct {
        const char *word;
        uint32_t value;
        const char *unit;
    } numbers[] = {{"slots", e->slots, ""},
                   {"rate", e->rate_min, " requests/minute"},
                   {"rate", e->rate_tok_min, " tok/minute"},
                   {"from", e->serves_from_tok, " tok"},
                   {"to", e->serves_to_tok, " tok"}};
    buf_printf(out, "%s%.*s", kinds[e->discovery], SLICE_FMT(image_text(p, e->url)));
    if (e->engine)
        buf_printf(out, " engine %s", engines[e->engine]);
    if (e->weight_milli) {
        BUF_LIT(out, " weight ");
        milli(e->weight_milli, out);
    }
    for (size_t i = 0; i < MERIT_COUNT(numbers); i++)
        if (numbers[i].value)
            buf_printf(out, " %s %u%s", numbers[i].word, numbers[i].value, numbers[i].unit);
    word_text(p, "region", e->region, out);
    if (e->meter)
        buf_printf(out, " meter %s %u", meters[e->meter], e->meter_index);
    word_text(p, "metrics", e->metrics_url, out);
    word_text(p, "health", e->health, out);
    buf_cstr(out, e->maintenance ? " maintenance" : "");
}

void describe_zone_energy(const struct policy_image *p, const struct image_zone *z, struct buf *out)
{
    if (z->pue_milli) {
        BUF_LIT(out, ", pue ");
        milli(z->pue_milli, out);
    }
    if (!z->carbon_stated)
        return;
    BUF_LIT(out, ", carbon");
    if (z->carbon_file.len)
        buf_printf(out, " \"%.*s\"", SLICE_FMT(image_text(p, z->carbon_file)));
    BUF_LIT(out, " ");
    buf_micro(out, z->carbon_ug_kwh);
    buf_cstr(out, z->carbon_marginal ? " g/kWh marginal" : " g/kWh average");
}

void describe_dispatch(const struct policy_image *p, struct buf *out)
{
    static const char *const modes[IMAGE_DISPATCH_MODE_COUNT_] = {"price", "least_request",
                                                                  "power_of_two", "round_robin"},
                             *const scorers[IMAGE_SCORE_COUNT_] = {"queue",   "running", "kv",
                                                                   "prefix",  "lora",    "session",
                                                                   "latency", "context"};
    const struct image_dispatch *d = &p->dispatch;
    buf_cstr(out, modes[d->mode]);
    if (d->mode != IMAGE_DISPATCH_PRICE)
        return;
    usd(", second ", d->second_nusd, " usd", out);
    usd(", kWh ", d->kwh_nusd, " usd", out);
    usd(", kg ", d->kg_nusd, " usd", out);
    for (int i = 0; i < IMAGE_SCORE_COUNT_; i++)
        if (d->weights[i] < 1 || d->weights[i] > 1)
            buf_printf(out, ", weight %s %.6g", scorers[i], (double)d->weights[i]);
}

void describe_pass_most(const struct image_pass *pass, struct buf *out)
{
    const char *before = " at most ";
    for (int u = 0; u <= IMAGE_UNIT_TOK; u++)
        if (pass->most[u] >= 0) {
            buf_cstr(out, before);
            describe_amount((enum image_unit)u, pass->most[u], out);
            before = ", ";
        }
}
