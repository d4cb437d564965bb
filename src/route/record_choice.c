// What a choice rests on and came to: rows of places, session, budgets, lengths and options, in both forms.
#include <math.h>

#include "base/compiler.h"
#include "route/record_inner.h"

// Rows are kept in thousandths (route/choose.c), so this is exact.
static void put_thousandths(struct buf *out, float v)
{
    if (v < 0)
        BUF_LIT(out, "-1");
    else
        record_put_decimal(out, (uint64_t)llrint((double)v * 1000), 3);
}

static void put_i64(struct buf *out, int64_t v)
{
    if (v < 0)
        buf_byte(out, '-');
    buf_u64(out, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

// Nano-USD; parts of one do not matter to anybody.
static int64_t whole(double nusd)
{
    return nusd >= 9e18 ? INT64_MAX : nusd <= -9e18 ? INT64_MIN : llrint(nusd);
}

// ---- compact

const float record_row_unknown[RECORD_ROW_FLOATS] = {-1, -1, -1, -1, -1, -1, -1, 1, 0, -1};

enum { ROW_MAX = 20 * RECORD_NUMBER_LEN }; // bytes of a row of any kind, and more

// As put_thousandths.
static char *thousandths(char *at, float v)
{
    if (v < 0)
        return RECORD_LIT(at, "-1");
    uint64_t k = (uint64_t)llrint((double)v * 1000);
    at = buf_put_u64(at, k / 1000);
    unsigned rest = (unsigned)(k % 1000);
    if (!rest)
        return at;
    *at++ = '.';
    for (unsigned unit = 100; rest; rest %= unit, unit /= 10)
        *at++ = (char)('0' + rest / unit);
    return at;
}

static void compact_row(const struct pool_place *r, struct buf *out)
{
    const uint64_t counts[] = {r->in_flight, r->in_flight_tok, r->wait_tok,
                               r->slots,     r->kv_tok,        r->prefix_tok};
    const float floats[] = {r->queue,       r->running,    r->kv_use,       r->prefill_tok_s,
                            r->first_ms,    r->each_ms,    r->carbon_g_kwh, r->weight,
                            r->slot_nusd_s, r->drain_tok_s};
    unsigned flags = (unsigned)r->state | (unsigned)r->stale << 3 | (unsigned)r->lora_loaded << 4 |
                     (unsigned)r->lora_room << 5 | (unsigned)r->carbon_stale << 6;
    unsigned known = MERIT_COUNT(counts) + MERIT_COUNT(floats);
    char *begin = buf_reserve(out, ROW_MAX), *at = begin;
    if (!at)
        return;
    // Most of a row says that nothing is known; its end is left out then.
    while (known > MERIT_COUNT(counts) && floats[known - 1 - MERIT_COUNT(counts)] ==
                                              record_row_unknown[known - 1 - MERIT_COUNT(counts)])
        known--;
    while (known && known <= MERIT_COUNT(counts) && counts[known - 1] == 0)
        known--;
    at = record_i64(RECORD_LIT(at, ",["), r->endpoint);
    *at++ = ',';
    at = buf_put_u64(at, flags);
    for (unsigned i = 0; i < known; i++) {
        *at++ = ',';
        at = i < MERIT_COUNT(counts) ? buf_put_u64(at, counts[i])
                                     : thousandths(at, floats[i - MERIT_COUNT(counts)]);
    }
    *at++ = ']';
    out->len += (size_t)(at - begin);
}

// `[1,2`, behind a comma unless it is the first; whoever calls closes it.
static void open_row(struct buf *out, const int64_t *v, unsigned n, bool first)
{
    char *begin = buf_reserve(out, ROW_MAX), *at = begin;
    if (!at)
        return;
    if (!first)
        *at++ = ',';
    *at++ = '[';
    for (unsigned i = 0; i < n; i++) {
        if (i)
            *at++ = ',';
        at = record_i64(at, v[i]);
    }
    out->len += (size_t)(at - begin);
}

static void compact_places(const struct decision *d, struct buf *out)
{
    BUF_LIT(out, ",\"places\":[");
    for (uint32_t i = 0; i < d->places_count; i++) {
        const struct decision_places *p = &d->places[i];
        open_row(out, (const int64_t[]){p->model, p->first}, 2, i == 0);
        for (uint32_t k = 0; k < p->count; k++)
            compact_row(&p->rows[k], out);
        buf_byte(out, ']');
    }
    const struct decision_seen *s = &d->seen;
    BUF_LIT(out, "],\"seen\":");
    open_row(out,
             (const int64_t[]){s->session_place, s->session_model, s->session_locked,
                               s->session_tok, s->deadline_ms},
             5, true);
    buf_byte(out, ',');
    buf_u64(out, s->seed);
    buf_byte(out, ',');
    buf_u64(out, s->turn);
    if (s->region.len) {
        buf_byte(out, ',');
        record_put_string(out, s->region);
    }
    buf_byte(out, ']');
}

static void compact_lengths(const struct decision *d, struct buf *out)
{
    if (!d->lengths_count)
        return;
    BUF_LIT(out, ",\"lengths\":[");
    for (uint32_t i = 0; i < d->lengths_count; i++) {
        const struct decision_length *l = &d->lengths[i];
        open_row(
            out,
            (const int64_t[]){l->binding_at, l->input_tok, l->output_tok, l->low_tok, l->high_tok},
            5, i == 0);
        buf_byte(out, ']');
    }
    buf_byte(out, ']');
}

// `,[1,2]`; what equals `rest` at the end is left out.
static void put_list(struct buf *out, const int64_t *v, unsigned n, int64_t rest)
{
    while (n && v[n - 1] == rest)
        n--;
    open_row(out, v, n, false);
    buf_byte(out, ']');
}

// The best; the others follow from what was seen.
static void compact_options(const struct decision *d, struct buf *out)
{
    if (!d->option_count)
        return;
    const struct decision_option *o = &d->options[0];
    const struct estimate *e = &o->expect;
    const int64_t expect[] = {e->input_tok,       e->output_tok,  e->output_low_tok,
                              e->output_high_tok, e->cost_nusd,   e->cost_low_nusd,
                              e->cost_high_nusd,  e->energy_uj,   e->energy_low_uj,
                              e->energy_high_uj,  e->marginal_uj, e->carbon_ug,
                              e->carbon_marginal};
    BUF_LIT(out, ",\"options\":[");
    open_row(out, (const int64_t[]){o->binding_at, o->place}, 2, true);
    int64_t terms[PRICE_TERMS];
    for (unsigned k = 0; k < PRICE_TERMS; k++)
        terms[k] = whole(o->terms_nusd[k]);
    put_list(out, terms, PRICE_TERMS, 0);
    // Without an energy its five figures and the mark behind them are left out.
    unsigned n = MERIT_COUNT(expect);
    bool energy = e->energy_uj >= 0 || e->energy_low_uj >= 0 || e->energy_high_uj >= 0 ||
                  e->marginal_uj >= 0 || e->carbon_ug >= 0 || e->carbon_marginal;
    put_list(out, expect, energy ? n : n - 6, INT64_MIN);
    BUF_LIT(out, "]]");
}

void record_choice_compact(const struct decision *d, struct buf *out)
{
    compact_lengths(d, out);
    if (!d->priced)
        return;
    if (d->places_count)
        compact_places(d, out);
    compact_options(d, out);
}

// ---- full

const char *record_term_name(enum price_term term)
{
    static const char *const names[PRICE_TERMS] = {"money",   "energy", "carbon",  "budgets",
                                                   "seconds", "slots",  "session", "other"};
    return names[term];
}

const char *record_place_state_name(enum pool_place_state state)
{
    static const char *const names[] = {"up",       "trying", "out",    "limited",
                                        "draining", "gone",   "standby"};
    return (unsigned)state < MERIT_COUNT(names) ? names[state] : "unknown";
}

static void put_usd(struct buf *out, int64_t nusd)
{
    if (nusd < 0)
        buf_byte(out, '-');
    record_put_decimal(out, nusd < 0 ? 0 - (uint64_t)nusd : (uint64_t)nusd, 9);
}

static void key_text(struct buf *out, const char *name, struct slice v)
{
    record_put_key(out, name);
    record_put_string(out, v);
}

static void key_u64(struct buf *out, const char *name, uint64_t v)
{
    record_put_key(out, name);
    buf_u64(out, v);
}

static void key_bool(struct buf *out, const char *name, bool v)
{
    record_put_key(out, name);
    buf_cstr(out, v ? "true" : "false");
}

// null where it is not known.
static void key_amount(struct buf *out, const char *name, int64_t v, unsigned digits)
{
    record_put_key(out, name);
    if (v < 0)
        BUF_LIT(out, "null");
    else
        record_put_decimal(out, (uint64_t)v, digits);
}

static void key_known(struct buf *out, const char *name, float v)
{
    record_put_key(out, name);
    if (v < 0)
        BUF_LIT(out, "null");
    else
        put_thousandths(out, v);
}

static struct slice model_name(const struct decision *d, int32_t model)
{
    return image_text(d->image, image_model(d->image, model)->name);
}

static struct slice endpoint_url(const struct decision *d, int32_t endpoint)
{
    const struct policy_image *p = d->image;
    return image_text(p, IMAGE_AT(p, p->endpoints, struct image_endpoint)[endpoint].url);
}

static const struct pool_place *row_of(const struct decision *d, int32_t model, int32_t place)
{
    for (uint32_t i = 0; i < d->places_count; i++) {
        const struct decision_places *p = &d->places[i];
        if (p->model == model && place >= (int32_t)p->first &&
            place < (int32_t)(p->first + p->count))
            return &p->rows[place - (int32_t)p->first];
    }
    return NULL;
}

static void full_expect(const struct estimate *e, struct buf *out)
{
    record_put_key(out, "expect");
    BUF_LIT(out, "{\"input_tok\":");
    buf_u64(out, e->input_tok);
    key_u64(out, "output_tok", e->output_tok);
    key_u64(out, "output_low_tok", e->output_low_tok);
    key_u64(out, "output_high_tok", e->output_high_tok);
    key_amount(out, "cost_usd", e->cost_nusd, 9);
    key_amount(out, "cost_low_usd", e->cost_low_nusd, 9);
    key_amount(out, "cost_high_usd", e->cost_high_nusd, 9);
    key_amount(out, "energy_j", e->energy_uj, 6);
    key_amount(out, "energy_low_j", e->energy_low_uj, 6);
    key_amount(out, "energy_high_j", e->energy_high_uj, 6);
    key_amount(out, "marginal_j", e->marginal_uj, 6);
    key_amount(out, "carbon_g", e->carbon_ug, 6);
    if (e->carbon_ug >= 0)
        key_bool(out, "carbon_marginal", e->carbon_marginal);
    buf_byte(out, '}');
}

static void full_option(const struct decision *d, const struct decision_option *o, struct buf *out)
{
    int64_t sum = 0;
    BUF_LIT(out, "{\"model\":");
    record_put_string(out, model_name(d, o->binding.model));
    key_text(out, "effort", slice_cstr(image_effort_name(o->binding.effort)));
    record_put_key(out, "place");
    const struct pool_place *row = row_of(d, o->binding.model, o->place);
    if (o->place < 0)
        BUF_LIT(out, "null");
    else
        buf_u64(out, (uint64_t)o->place);
    if (row && row->endpoint >= 0)
        key_text(out, "endpoint", endpoint_url(d, row->endpoint));
    record_put_key(out, "terms_usd");
    for (unsigned k = 0; k < PRICE_TERMS; k++) {
        int64_t nusd = whole(o->terms_nusd[k]);
        buf_cstr(out, k ? ",\"" : "{\"");
        buf_cstr(out, record_term_name((enum price_term)k));
        BUF_LIT(out, "\":");
        put_usd(out, nusd);
        if (__builtin_add_overflow(sum, nusd, &sum))
            sum = INT64_MAX;
    }
    buf_byte(out, '}');
    record_put_key(out, "price_usd");
    put_usd(out, sum);
    full_expect(&o->expect, out);
    buf_byte(out, '}');
}

static void full_place(const struct decision *d, const struct decision_places *p, uint32_t i,
                       struct buf *out)
{
    const struct pool_place *r = &p->rows[i];
    BUF_LIT(out, "{\"model\":");
    record_put_string(out, model_name(d, p->model));
    key_u64(out, "place", p->first + i);
    if (r->endpoint >= 0)
        key_text(out, "endpoint", endpoint_url(d, r->endpoint));
    key_text(out, "state", slice_cstr(record_place_state_name((enum pool_place_state)r->state)));
    key_bool(out, "stale", r->stale);
    if (r->carbon_stale)
        key_bool(out, "carbon_stale", true);
    key_u64(out, "in_flight", r->in_flight);
    key_u64(out, "in_flight_tok", r->in_flight_tok);
    key_u64(out, "wait_tok", r->wait_tok);
    key_u64(out, "slots", r->slots);
    key_known(out, "queue", r->queue);
    key_known(out, "running", r->running);
    key_known(out, "kv_use", r->kv_use);
    key_u64(out, "kv_tok", r->kv_tok);
    key_u64(out, "prefix_tok", r->prefix_tok);
    key_known(out, "prefill_tok_s", r->prefill_tok_s);
    key_known(out, "first_ms", r->first_ms);
    key_known(out, "each_ms", r->each_ms);
    key_known(out, "carbon_g_kwh", r->carbon_g_kwh);
    key_known(out, "weight", r->weight);
    key_known(out, "slot_nusd_s", r->slot_nusd_s);
    key_known(out, "drain_tok_s", r->drain_tok_s);
    if (r->lora_loaded || r->lora_room)
        key_text(out, "adapter", r->lora_loaded ? SLICE("loaded") : SLICE("room"));
    buf_byte(out, '}');
}

static void full_seen(const struct decision *d, struct buf *out)
{
    const struct decision_seen *s = &d->seen;
    const char *between = "";
    record_put_key(out, "places");
    buf_byte(out, '[');
    for (uint32_t i = 0; i < d->places_count; i++)
        for (uint32_t k = 0; k < d->places[i].count; k++) {
            buf_cstr(out, between);
            full_place(d, &d->places[i], k, out);
            between = ",";
        }
    buf_byte(out, ']');
    if (s->session_place >= 0 || s->session_model >= 0) {
        record_put_key(out, "session");
        BUF_LIT(out, "{\"place\":");
        put_i64(out, s->session_place);
        if (s->session_model >= 0 && (uint32_t)s->session_model < d->image->models.count)
            key_text(out, "model", model_name(d, s->session_model));
        key_bool(out, "locked", s->session_locked);
        key_u64(out, "tok", s->session_tok);
        buf_byte(out, '}');
    }
    if (s->deadline_ms)
        key_u64(out, "first_deadline_ms", s->deadline_ms);
    if (s->region.len)
        key_text(out, "region", s->region);
    key_u64(out, "seed", s->seed);
    key_u64(out, "turn", s->turn);
}

void record_choice_json(const struct decision *d, struct buf *out)
{
    bool whole_estimates = d->option_count && d->estimated;
    if (!d->priced && !whole_estimates)
        return;
    record_put_key(out, "priced");
    buf_cstr(out, d->priced ? "true" : "false");
    record_put_key(out, "options");
    buf_byte(out, '[');
    for (uint32_t i = 0; i < d->option_count; i++) {
        buf_cstr(out, i ? "," : "");
        full_option(d, &d->options[i], out);
    }
    buf_byte(out, ']');
    if (d->priced && d->places_count)
        full_seen(d, out);
}
