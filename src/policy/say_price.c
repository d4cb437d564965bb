// What a policy says about prices, energy, endpoints and how is chosen among them.
#include "policy/say.h"

static void milli(struct buf *out, uint32_t v)
{
    buf_micro(out, (int64_t)v * 1000);
}

void say_zone_energy(const struct policy_image *p, const struct image_zone *z, struct buf *out)
{
    if (z->pue_milli) {
        BUF_LIT(out, ", PUE ");
        milli(out, z->pue_milli);
    }
    if (!z->carbon_stated)
        return;
    BUF_LIT(out, ", ");
    buf_micro(out, z->carbon_ug_kwh);
    buf_cstr(out, z->carbon_marginal ? " g/kWh at the margin" : " g/kWh on average");
    if (z->carbon_file.len) {
        BUF_LIT(out, " where ");
        say_text(out, p, z->carbon_file);
        BUF_LIT(out, " does not tell");
    }
}

void say_zone_energy_json(const struct policy_image *p, const struct image_zone *z, struct buf *out)
{
    if (z->pue_milli) {
        BUF_LIT(out, ", \"pue\": ");
        milli(out, z->pue_milli);
    }
    if (!z->carbon_stated)
        return;
    BUF_LIT(out, ", \"carbon_g_per_kwh\": ");
    buf_micro(out, z->carbon_ug_kwh);
    buf_printf(out, ", \"carbon_marginal\": %s", z->carbon_marginal ? "true" : "false");
    if (z->carbon_file.len) {
        BUF_LIT(out, ", \"carbon_file\": ");
        say_json_string(out, image_text(p, z->carbon_file));
    }
}

static const char *grade(enum image_grade g)
{
    static const char *const names[] = {"", "measured", "cited", "guessed"};
    return (unsigned)g < MERIT_COUNT(names) ? names[g] : "";
}

static void usd(struct buf *out, const char *before, int64_t nusd, const char *behind)
{
    buf_cstr(out, before);
    say_usd(out, nusd);
    buf_cstr(out, behind);
}

static void price(const struct policy_image *p, const struct image_model *m, struct buf *out)
{
    bool tokens = m->price_in_nusd || m->price_out_nusd || m->price_cached_nusd ||
                  m->price_written_nusd || (!m->price_call_nusd && !m->price_gpu_nusd_h);
    const char *between = "";
    if (tokens) {
        usd(out, "", m->price_in_nusd, " USD in, ");
        usd(out, "", m->price_out_nusd, " out, ");
        usd(out, "", m->price_cached_nusd, " cached");
        if (m->price_written_nusd)
            usd(out, ", ", m->price_written_nusd, " written");
        BUF_LIT(out, " per million tokens");
        between = ", ";
    }
    if (m->price_call_nusd) {
        usd(out, between, m->price_call_nusd, " USD per request");
        between = ", ";
    }
    if (m->price_gpu_nusd_h)
        usd(out, between, m->price_gpu_nusd_h, " USD per hour of its machines");
    if (m->batch_percent)
        buf_printf(out, ", %u %% of it when it may wait", m->batch_percent);
    if (m->price_listed)
        BUF_LIT(out, ", as listed");
    if (m->price_date.len) {
        BUF_LIT(out, " since ");
        say_text(out, p, m->price_date);
    }
}

// Of a fit not more than it knows: up to the next 100 J.
static int64_t shown(const struct image_model *m, int64_t uj)
{
    const int64_t step = 100000000;
    return m->energy.curve && uj < INT64_MAX - step ? (uj + step - 1) / step * step : uj;
}

void say_price(const struct policy_image *p, const struct image_model *m, struct buf *out)
{
    if (m->priced)
        price(p, m, out);
    else
        BUF_LIT(out, "states no price");
    if (m->energy_in_uj < 0)
        return;
    BUF_LIT(out, "; ");
    if (m->energy.curve)
        BUF_LIT(out, "at most ");
    say_amount(out, IMAGE_UNIT_UJ, shown(m, m->energy_in_uj));
    BUF_LIT(out, " in, ");
    say_amount(out, IMAGE_UNIT_UJ, shown(m, m->energy_out_uj));
    BUF_LIT(out, " out per million tokens");
    if (!m->energy.curve)
        return;
    BUF_LIT(out, " (");
    say_text(out, p, m->energy.hardware);
    buf_printf(out, "%s%s)", m->energy.hardware.len ? ", " : "", grade(m->energy.grade));
}

static void member(struct buf *out, const char *name, int64_t nusd)
{
    buf_printf(out, ", \"%s\": ", name);
    say_usd(out, nusd);
}

void say_price_json(const struct policy_image *p, const struct image_model *m, struct buf *out)
{
    if (m->priced) {
        member(out, "usd_per_mtok_in", m->price_in_nusd);
        member(out, "usd_per_mtok_out", m->price_out_nusd);
        member(out, "usd_per_mtok_cached", m->price_cached_nusd);
        if (m->price_written_nusd)
            member(out, "usd_per_mtok_written", m->price_written_nusd);
        if (m->price_call_nusd)
            member(out, "usd_per_request", m->price_call_nusd);
        if (m->price_gpu_nusd_h)
            member(out, "usd_per_gpu_hour", m->price_gpu_nusd_h);
        if (m->batch_percent)
            buf_printf(out, ", \"batch_percent\": %u", m->batch_percent);
        buf_printf(out,
                   ", \"price_listed\": %s, \"price_date\": ", m->price_listed ? "true" : "false");
        if (m->price_date.len)
            say_json_string(out, image_text(p, m->price_date));
        else
            BUF_LIT(out, "null");
        if (m->price_source.len) {
            BUF_LIT(out, ", \"price_source\": ");
            say_json_string(out, image_text(p, m->price_source));
        }
    }
    if (m->energy_in_uj < 0)
        return;
    BUF_LIT(out, ", \"joule_per_mtok_in\": ");
    buf_micro(out, m->energy_in_uj);
    BUF_LIT(out, ", \"joule_per_mtok_out\": ");
    buf_micro(out, m->energy_out_uj);
    if (!m->energy.curve)
        return;
    BUF_LIT(out, ", \"energy\": {\"hardware\": ");
    say_json_string(out, image_text(p, m->energy.hardware));
    buf_printf(out, ", \"grade\": \"%s\", \"source\": ", grade(m->energy.grade));
    say_json_string(out, image_text(p, m->energy.source));
    BUF_LIT(out, "}");
}

static const char *engine(enum image_engine e)
{
    static const char *const names[IMAGE_ENGINE_COUNT_] = {"", "vllm", "sglang", "llamacpp", "tgi"};
    return (unsigned)e < IMAGE_ENGINE_COUNT_ ? names[e] : "";
}

static const char *meter(enum image_meter m)
{
    return m == IMAGE_METER_NVML ? "nvml" : "rapl";
}

// One thing more in the parentheses.
static void also(struct buf *out, bool *any)
{
    buf_cstr(out, *any ? ", " : " (");
    *any = true;
}

void say_endpoint(const struct policy_image *p, const struct image_endpoint *e, struct buf *out)
{
    bool any = false;
    if (e->discovery) {
        also(out, &any);
        buf_cstr(out, e->discovery == IMAGE_DISCOVER_DNS   ? "as its name resolves"
                      : e->discovery == IMAGE_DISCOVER_SRV ? "as its service records say"
                                                           : "a file of addresses");
    }
    if (e->engine) {
        also(out, &any);
        buf_cstr(out, engine(e->engine));
    }
    if (e->weight_milli) {
        also(out, &any);
        BUF_LIT(out, "weight ");
        milli(out, e->weight_milli);
    }
    if (e->slots) {
        also(out, &any);
        buf_printf(out, "up to %u at once", e->slots);
    }
    if (e->rate_min) {
        also(out, &any);
        say_grouped(out, e->rate_min);
        BUF_LIT(out, " requests a minute");
    }
    if (e->rate_tok_min) {
        also(out, &any);
        say_grouped(out, e->rate_tok_min);
        BUF_LIT(out, " tokens a minute");
    }
    if (e->serves_from_tok || e->serves_to_tok) {
        also(out, &any);
        BUF_LIT(out, "for");
        if (e->serves_from_tok) {
            BUF_LIT(out, " at least ");
            say_grouped(out, e->serves_from_tok);
        }
        if (e->serves_to_tok) {
            buf_cstr(out, e->serves_from_tok ? " and at most " : " at most ");
            say_grouped(out, e->serves_to_tok);
        }
        BUF_LIT(out, " tokens");
    }
    if (e->region.len) {
        also(out, &any);
        BUF_LIT(out, "region ");
        say_text(out, p, e->region);
    }
    if (e->meter) {
        also(out, &any);
        buf_printf(out, "metered by %s %u", meter(e->meter), e->meter_index);
    }
    if (e->maintenance) {
        also(out, &any);
        BUF_LIT(out, "in maintenance");
    }
    buf_cstr(out, any ? ")" : "");
}

void say_endpoint_json(const struct policy_image *p, const struct image_endpoint *e,
                       struct buf *out)
{
    BUF_LIT(out, "{\"url\": ");
    say_json_string(out, image_text(p, e->url));
    if (e->discovery)
        buf_printf(out, ", \"discovery\": \"%s\"",
                   e->discovery == IMAGE_DISCOVER_DNS   ? "dns"
                   : e->discovery == IMAGE_DISCOVER_SRV ? "srv"
                                                        : "file");
    if (e->engine)
        buf_printf(out, ", \"engine\": \"%s\"", engine(e->engine));
    if (e->weight_milli) {
        BUF_LIT(out, ", \"weight\": ");
        milli(out, e->weight_milli);
    }
    const struct {
        const char *name;
        uint32_t value;
    } numbers[] = {{"slots", e->slots},
                   {"requests_per_minute", e->rate_min},
                   {"tok_per_minute", e->rate_tok_min},
                   {"serves_from_tok", e->serves_from_tok},
                   {"serves_to_tok", e->serves_to_tok}};
    for (size_t i = 0; i < MERIT_COUNT(numbers); i++)
        if (numbers[i].value)
            buf_printf(out, ", \"%s\": %u", numbers[i].name, numbers[i].value);
    const struct {
        const char *name;
        struct image_str text;
    } texts[] = {{"region", e->region}, {"metrics", e->metrics_url}, {"health", e->health}};
    for (size_t i = 0; i < MERIT_COUNT(texts); i++) {
        if (!texts[i].text.len)
            continue;
        buf_printf(out, ", \"%s\": ", texts[i].name);
        say_json_string(out, image_text(p, texts[i].text));
    }
    if (e->meter)
        buf_printf(out, ", \"meter\": \"%s %u\"", meter(e->meter), e->meter_index);
    buf_cstr(out, e->maintenance ? ", \"maintenance\": true}" : "}");
}

void say_knob(const struct policy_image *p, const struct image_model *m, struct buf *out)
{
    if (m->knob == IMAGE_KNOB_REASONING_EFFORT)
        return;
    BUF_LIT(out, ", said by ");
    say_text(out, p, m->knob_name);
    bool any = false;
    for (int e = IMAGE_EFFORT_OFF; m->knob == IMAGE_KNOB_THINKING && e < IMAGE_EFFORT_COUNT_; e++) {
        if (!(m->efforts >> e & 1))
            continue;
        buf_printf(out, "%s%s ", any ? ", " : " (", image_effort_name((enum image_effort)e));
        say_grouped(out, m->thinking_tok[e]);
        any = true;
    }
    buf_cstr(out, any ? " tokens)" : "");
}

static const char *const modes[IMAGE_DISPATCH_MODE_COUNT_] = {"price", "least_request",
                                                              "power_of_two", "round_robin"};
static const char *const scorers[IMAGE_SCORE_COUNT_] = {"queue", "running", "kv",      "prefix",
                                                        "lora",  "session", "latency", "context"};

void say_dispatch(const struct policy_image *p, struct buf *out)
{
    static const char *const sentences[IMAGE_DISPATCH_MODE_COUNT_] = {
        "the least total price", "the endpoint with the fewest requests",
        "the better of two drawn endpoints", "one endpoint after the other"};
    const struct image_dispatch *d = &p->dispatch;
    if (!d->line)
        return;
    buf_printf(out, "\nDispatch: %s", sentences[d->mode]);
    if (d->mode == IMAGE_DISPATCH_PRICE) {
        usd(out, "; a second is worth ", d->second_nusd, " USD");
        usd(out, ", a kWh ", d->kwh_nusd, " USD");
        usd(out, ", a kilogram of carbon ", d->kg_nusd, " USD");
        for (int i = 0; i < IMAGE_SCORE_COUNT_; i++)
            if (d->weights[i] < 1 || d->weights[i] > 1)
                buf_printf(out, ", %s counts %.6g times", scorers[i], (double)d->weights[i]);
    }
    buf_byte(out, '\n');
}

void say_dispatch_json(const struct policy_image *p, struct buf *out)
{
    const struct image_dispatch *d = &p->dispatch;
    buf_printf(out, ",\n \"dispatch\": {\"mode\": \"%s\"", modes[d->mode]);
    member(out, "usd_per_second", d->second_nusd);
    member(out, "usd_per_kwh", d->kwh_nusd);
    member(out, "usd_per_kg", d->kg_nusd);
    BUF_LIT(out, ", \"weights\": {");
    for (int i = 0; i < IMAGE_SCORE_COUNT_; i++)
        buf_printf(out, "%s\"%s\": %.6g", i ? ", " : "", scorers[i], (double)d->weights[i]);
    BUF_LIT(out, "}}");
}
