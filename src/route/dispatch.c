#include "route/dispatch.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/compiler.h"
#include "route/energy.h"
#include "route/score.h"

// Of what a place asks of somebody's time, the share that is not known better: rows are as old as the last scrape, and lengths
// are expectations. Places within it of the best are equal. Grade: guessed, 2026-11; tests/prop/prop_pool_damping.c shows
// what it does to a step of load.
#define NEAR 0.02F

static bool known(const struct pool_view *pool, int32_t model)
{
    return pool && pool->places && (uint32_t)model < pool->count;
}

static uint32_t places_of(const struct pool_view *pool, int32_t model,
                          const struct pool_place **first)
{
    if (!known(pool, model))
        return 0;
    uint32_t end = pool->end ? pool->end[model] : pool->first[model + 1];
    uint32_t count = end - pool->first[model];
    *first = pool->places + pool->first[model];
    return count < SCORE_PLACES ? count : SCORE_PLACES;
}

static const struct image_endpoint *endpoint_of(const struct policy_image *p,
                                                const struct pool_place *row)
{
    bool there = row->endpoint >= 0 && (uint32_t)row->endpoint < p->endpoints.count;
    return there ? IMAGE_AT(p, p->endpoints, struct image_endpoint) + row->endpoint : NULL;
}

static bool is_open(const struct pool_place *row, const struct image_endpoint *e, bool own)
{
    if (row->state != POOL_PLACE_UP && !(own && row->state == POOL_PLACE_DRAINING))
        return false;
    return !e || ((!e->maintenance || own) && (!e->slots || row->in_flight < e->slots));
}

uint64_t dispatch_open(const struct policy_image *image, const struct pool_view *pool,
                       int32_t model)
{
    const struct pool_place *rows = NULL;
    uint32_t count = places_of(pool, model, &rows);
    uint64_t open = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool own = pool->session_place == (int32_t)(pool->first[model] + i);
        if (is_open(&rows[i], endpoint_of(image, &rows[i]), own))
            open |= UINT64_C(1) << i;
    }
    return open;
}

// ---- columns

struct seen {
    int32_t model; // whose places the columns are, or IMAGE_NONE
    struct score_places places;
    float joule[SCORE_PLACES]; // per output token, marginal, by the batch that runs there
    float g_kwh[SCORE_PLACES]; // of carbon; < 0: not known
    bool joules;               // those two are filled
};

static inline void see_load(struct score_places *p, uint32_t i, const struct pool_place *row)
{
    bool scraped = !row->stale && row->queue >= 0 && row->running >= 0;
    float calls = (float)row->in_flight, queue = scraped ? row->queue : 0;
    float load = score_max(calls, scraped ? queue + row->running : 0);
    float slots = row->slots ? (float)row->slots : SCORE_SLOTS;
    float waiting = score_max(load - slots, queue);
    p->load[i] = load;
    p->slots[i] = slots;
    p->waiting[i] = waiting;
    p->running[i] = load - waiting;
    p->wait_tok[i] = (float)row->wait_tok;
    p->others[i] = queue;
    p->calls[i] = calls;
    p->slot_nusd_s[i] = score_max(row->slot_nusd_s, 0);
    p->weight[i] = row->weight > 0 ? row->weight : 1;
}

// What can make a difference at one of the places.
struct any {
    bool kv, lora, context;
};

static inline void see_cache(struct score_places *p, uint32_t i, const struct pool_place *row,
                             struct any *any)
{
    float kv_tok = (float)row->kv_tok, use = row->stale ? -1 : row->kv_use;
    p->kv_tok[i] = kv_tok;
    p->kv_use[i] = use >= 0     ? use
                   : kv_tok > 0 ? score_min((float)row->in_flight_tok / kv_tok, 1)
                                : 0;
    any->kv |= (use > 0) | (kv_tok > 0);
    // That there is room for adapters does not make an adapter of the model; that one is loaded somewhere under its name does.
    p->adapter_s[i] = row->lora_loaded ? 0
                      : row->lora_room ? SCORE_ADAPTER_LOAD_S
                      : row->stale     ? -1
                                       : SCORE_ADAPTER_WAIT_S;
    any->lora |= row->lora_loaded;
}

static inline void see_endpoint(struct score_places *p, uint32_t i, const struct image_endpoint *e,
                                const struct pool_view *pool, const struct policy_image *image,
                                bool first_known, struct any *any)
{
    p->from_tok[i] = e ? (float)e->serves_from_tok : 0;
    p->to_tok[i] = e && e->serves_to_tok ? (float)e->serves_to_tok : INFINITY;
    any->context |= e && (e->serves_from_tok | e->serves_to_tok);
    // What is learned of a place has the way in it.
    bool far = !first_known && e && e->region.len && pool->region.len &&
               !slice_ieq(image_text(image, e->region), pool->region);
    p->far_s[i] = far ? SCORE_FAR_S : 0;
}

// In the place of what is not known: the mean of what is, of the model's places; else a guess.
static void fill_unknown(const struct score_places *p, float *restrict column, float guess)
{
    const uint32_t lanes = score_lanes(p);
    float least = 0, sum = 0, has = 0;
#pragma omp simd reduction(min : least)
    for (uint32_t i = 0; i < lanes; i++) // those behind the last place are 0
        least = score_min(least, column[i]);
    if (least >= 0)
        return;
    for (uint32_t i = 0; i < p->count; i++) {
        sum += column[i] >= 0 ? column[i] : 0;
        has += column[i] >= 0 ? 1 : 0;
    }
    float mean = has > 0 ? sum / has : guess;
    for (uint32_t i = 0; i < p->count; i++)
        column[i] = column[i] >= 0 ? column[i] : mean;
}

// The last vector of each column, so that loops over whole ones have defined numbers behind the last place.
static void pad(struct score_places *p)
{
    uint32_t last = p->lanes - SCORE_LANES;
    float *const zero[] = {p->load,        p->waiting, p->running,   p->wait_tok,  p->others,
                           p->hit_tok,     p->drain_s, p->prefill_s, p->each_s,    p->first_s,
                           p->far_s,       p->kv_use,  p->kv_tok,    p->adapter_s, p->from_tok,
                           p->slot_nusd_s, p->calls};
    for (unsigned k = 0; k < MERIT_COUNT(zero); k++)
        memset(zero[k] + last, 0, SCORE_LANES * sizeof(float));
    for (uint32_t i = last; i < p->lanes; i++) {
        p->slots[i] = p->weight[i] = p->prefill_s[i] = 1;
        p->to_tok[i] = p->shut[i] = INFINITY;
    }
}

// Division is dear: for several places at once, and for all scorers and actions that divide by the same.
static void invert(struct score_places *p)
{
    const uint32_t lanes = score_lanes(p);
    SCORE_SIMD
    for (uint32_t i = 0; i < lanes; i++) {
        float prefill_s = 1 / p->prefill_s[i], drain_s = 1 / p->drain_s[i];
        p->prefill_s[i] = p->prefill_s[i] > 0 ? prefill_s : -1;
        p->drain_s[i] = p->drain_s[i] > 0 ? drain_s : 0;
        // Of what waits, in proportion to what is there beyond Merit's own calls.
        p->others[i] *= 1 - score_min(p->calls[i] / score_max(p->load[i], 1), 1);
        p->per_slot[i] = 1 / p->slots[i];
        p->per_running[i] = 1 / score_max(p->running[i], 1);
        p->per_weight[i] = 1 / p->weight[i];
        float share = 1 / p->kv_tok[i];
        p->kv_share[i] = p->kv_tok[i] > 0 ? share : 0;
        p->per_to[i] = 1 / p->to_tok[i];
        p->per_from[i] = 1 / score_max(p->from_tok[i], 1);
    }
}

static void see_rows(const struct dispatch_ask *ask, struct score_places *p,
                     const struct pool_place *rows)
{
    const struct pool_view *pool = ask->pool;
    const int32_t session = p->session;
    const uint32_t count = p->count;
    struct any any = {.kv = false};
    uint64_t can = 0;
    const uint32_t *prefix_tok = pool->prefix_tok ? pool->prefix_tok + p->first : NULL;
    for (uint32_t i = 0; i < count; i++) {
        const struct pool_place *row = &rows[i];
        const struct image_endpoint *e = endpoint_of(ask->image, row);
        bool open = is_open(row, e, (int32_t)i == session);
        can |= (uint64_t)open << i;
        p->shut[i] = open ? 0 : INFINITY;
        see_load(p, i, row);
        see_cache(p, i, row, &any);
        see_endpoint(p, i, e, pool, ask->image, row->first_ms >= 0, &any);
        p->hit_tok[i] = (float)(prefix_tok ? prefix_tok[i] : row->prefix_tok);
        p->prefill_s[i] = row->prefill_tok_s;
        p->drain_s[i] = row->drain_tok_s;
        p->each_s[i] = row->each_ms * 0.001F;
        p->first_s[i] = row->first_ms * 0.001F;
    }
    p->open = can;
    p->any_kv = any.kv;
    p->any_lora = any.lora;
    p->any_context = any.context;
}

static void see(const struct dispatch_ask *ask, int32_t model, struct seen *s)
{
    const struct pool_view *pool = ask->pool;
    struct score_places *p = &s->places;
    const struct pool_place *rows = NULL;
    if (s->model == model)
        return;
    s->model = model;
    s->joules = false;
    p->count = places_of(pool, model, &rows);
    p->lanes = (p->count + SCORE_LANES - 1) / SCORE_LANES * SCORE_LANES;
    p->session = -1;
    p->open = 0;
    if (!p->count)
        return;
    p->first = pool->first[model];
    p->any_kv = p->any_lora = p->any_context = false;
    int64_t session = (int64_t)pool->session_place - p->first;
    if (session >= 0 && session < p->count)
        p->session = (int32_t)session;
    pad(p);
    see_rows(ask, p, rows);
    if (p->session >= 0)
        p->hit_tok[p->session] = score_max(p->hit_tok[p->session], (float)pool->session_tok);
    invert(p);
    fill_unknown(p, p->prefill_s, SCORE_PREFILL_S);
    fill_unknown(p, p->each_s, SCORE_EACH_S);
    fill_unknown(p, p->first_s, 0);
    if (p->any_lora)
        fill_unknown(p, p->adapter_s, 0);
}

// ---- what an action takes

// Prices per unit, the same for all actions.
struct rates {
    double uj_nusd, ug_nusd;              // nano-USD per microjoule, microgram
    double unit[IMAGE_UNIT_REQUESTS + 1]; // sum of the shadow prices per unit
    bool money, live, shadow; // money counts; so do seconds between actions; a budget is priced
};

static struct rates rates_of(const struct dispatch_ask *ask)
{
    const struct image_dispatch *d = &ask->image->dispatch;
    const struct image_constraint *c =
        IMAGE_AT(ask->image, ask->image->constraints, struct image_constraint);
    bool energy = ask->objective == IMAGE_OBJECTIVE_ENERGY;
    double kwh = energy && !d->kwh_nusd ? DISPATCH_KWH_NUSD : (double)d->kwh_nusd;
    struct rates r = {
        .uj_nusd = kwh / 3.6e12, .ug_nusd = (double)d->kg_nusd / 1e9, .money = !energy};
    for (uint32_t i = 0; ask->budgets && ask->budgets->states && i < ask->budgets->count &&
                         i < ask->image->constraints.count;
         i++) {
        const struct budget_state *b = &ask->budgets->states[i];
        if (b->open || !(b->price_nusd > 0) || c[i].kind != IMAGE_BUDGET ||
            (ask->holds && !(ask->holds[i / 64] >> (i % 64) & 1)))
            continue;
        r.unit[c[i].unit] += b->price_nusd;
        r.shadow = true;
    }
    return r;
}

static double or_none(int64_t v)
{
    return v > 0 ? (double)v : 0;
}

// What the prefix cache of the column saves of the money: cached tokens have a price of their own.
static double saved_nusd(const struct image_model *m, const struct dispatch_action *a, float hit)
{
    double less = (double)(m->price_in_nusd - m->price_cached_nusd);
    double tok = hit < (float)a->expect.input_tok ? (double)hit : (double)a->expect.input_tok;
    double saved = a->expect.cost_nusd > 0 && m->priced && less > 0 ? less * tok / 1e6 : 0;
    return saved < or_none(a->expect.cost_nusd) ? saved : or_none(a->expect.cost_nusd);
}

static double pue_of(const struct policy_image *p, const struct image_model *m)
{
    const struct image_zone *z =
        m->zone >= 0 ? IMAGE_AT(p, p->zones, struct image_zone) + m->zone : NULL;
    return z && z->pue_milli ? z->pue_milli / 1000.0 : 1;
}

// energy_marginal_j (route/energy.h) for a whole batch of at least 1, in float and without branches.
static inline float marginal_j(const struct image_energy *e, float most, float batch)
{
    float b = batch < most ? batch : most, a = (float)e->a, c = (float)e->c;
    bool power = e->curve == IMAGE_CURVE_POWER;
    float average = power ? a * exp2f(-c * log2f(b)) : a + c / b;
    float grows = (float)e->step_growth, m = a - c * grows;
    if (power)
        m = grows < 1 ? average * (1 - c / (1 - grows)) : 0;
    return score_max(score_min(m, average), 0);
}

// Marginal joules per output token by the batch that runs at each place, this request included; and the carbon of its zone.
static void see_joules(const struct dispatch_ask *ask, struct seen *s, const struct image_model *m)
{
    const struct score_places *p = &s->places;
    const float pue = (float)pue_of(ask->image, m);
    const float most = m->energy.batch_max >= 1 ? (float)m->energy.batch_max : INFINITY;
    if (s->joules)
        return;
    s->joules = true;
    for (uint32_t i = 0; i < p->count; i++) {
        s->joule[i] = m->energy.curve != IMAGE_CURVE_NONE
                          ? pue * marginal_j(&m->energy, most, floorf(p->running[i]) + 1)
                          : 0;
        s->g_kwh[i] = ask->pool->places[p->first + i].carbon_g_kwh;
    }
    for (uint32_t i = p->count; i < p->lanes; i++) {
        s->joule[i] = 0;
        s->g_kwh[i] = -1;
    }
}

// Energy and carbon of an action at a place: uj = fixed + computed * (input - hit) + joule of the place * output, and the
// nano-USD of it. Marginal; what the policy states per token, or was expected, where there is no curve.
struct joules {
    float fixed_uj, computed_uj, output_tok, input_tok;
    float nusd_uj, nusd_g; // nano-USD per microjoule; per gram
    float flat_g, uj_g;    // grams that were expected, in all or per microjoule
    float least_kwh; // a zone's figure is used from here on: 0, or never where joules are not known
};

static struct joules joules_of(const struct dispatch_ask *ask, const struct rates *r,
                               const struct image_model *m, const struct dispatch_action *a)
{
    const struct estimate *e = &a->expect;
    int64_t uj = e->marginal_uj >= 0 ? e->marginal_uj : e->energy_uj;
    bool curve = m->energy.curve != IMAGE_CURVE_NONE && known(ask->pool, a->binding.model);
    double pue = curve ? pue_of(ask->image, m) : 1, carbon_g = or_none(e->carbon_ug) / 1e6;
    bool known_uj = curve || uj >= 0, share = known_uj && e->energy_uj > 0;
    return (struct joules){
        .fixed_uj = curve ? 0 : (float)or_none(uj),
        .computed_uj = curve ? (float)(1e6 * pue * m->energy.prefill_j_tok) : 0,
        .output_tok = curve ? 1e6F * (float)e->output_tok : 0,
        .input_tok = (float)e->input_tok,
        .nusd_uj = (float)r->uj_nusd,
        .nusd_g = (float)(r->ug_nusd * 1e6),
        .flat_g = share ? 0 : (float)carbon_g,
        .uj_g = share ? (float)(carbon_g / (double)e->energy_uj) : 0,
        .least_kwh = known_uj ? 0 : INFINITY,
    };
}

static inline float uj_at(const struct joules *j, float hit_tok, float joule)
{
    return j->fixed_uj + j->computed_uj * score_max(j->input_tok - hit_tok, 0) +
           j->output_tok * joule;
}

// By the zone's own figure where it is known, else in proportion to what was expected of it.
static inline float grams_at(const struct joules *j, float uj, float g_kwh)
{
    float zone_g = uj * (1 / 3.6e12F) * g_kwh, expected_g = j->flat_g + uj * j->uj_g;
    return g_kwh >= j->least_kwh ? zone_g : expected_g;
}

// Amounts of the budgets, which are settled by averages.
static double shadow_at(const struct rates *r, const struct dispatch_action *a, double money,
                        double seconds)
{
    const struct estimate *e = &a->expect;
    return r->unit[IMAGE_UNIT_NUSD] * money + r->unit[IMAGE_UNIT_UJ] * or_none(e->energy_uj) +
           r->unit[IMAGE_UNIT_UG] * or_none(e->carbon_ug) + r->unit[IMAGE_UNIT_MS] * seconds * 1e3 +
           r->unit[IMAGE_UNIT_TOK] * ((double)e->input_tok + e->output_tok) +
           r->unit[IMAGE_UNIT_CALLS] + r->unit[IMAGE_UNIT_REQUESTS];
}

// ---- places of one action

struct scored {
    float nusd[IMAGE_SCORE_COUNT_][SCORE_PLACES];
    float total[SCORE_PLACES];
    float slack; // prices so far apart are equal
    bool ran[IMAGE_SCORE_COUNT_];
    struct score_ask ask;
    struct joules joules; // of energy and carbon, where they have a price
};

typedef void (*scorer)(struct score_ask *, float *restrict, float *restrict);
// Queue and prefix first: the others read their seconds.
static const struct {
    enum image_scorer as;
    scorer run;
    enum price_term term;
} SCORERS[] = {
    {IMAGE_SCORE_QUEUE, score_queue, PRICE_SECONDS},
    {IMAGE_SCORE_PREFIX, score_prefix, PRICE_SECONDS},
    {IMAGE_SCORE_RUNNING, score_running, PRICE_SLOTS},
    {IMAGE_SCORE_LATENCY, score_latency, PRICE_SECONDS},
    {IMAGE_SCORE_KV, score_kv, PRICE_OTHER},
    {IMAGE_SCORE_LORA, score_lora, PRICE_OTHER},
    {IMAGE_SCORE_SESSION, score_session, PRICE_SESSION},
    {IMAGE_SCORE_CONTEXT, score_context, PRICE_OTHER},
};

static bool wanted(const struct score_ask *a, enum image_scorer as)
{
    return as == IMAGE_SCORE_KV        ? a->places->any_kv
           : as == IMAGE_SCORE_LORA    ? a->places->any_lora
           : as == IMAGE_SCORE_SESSION ? a->session_tok > 0
           : as == IMAGE_SCORE_CONTEXT ? a->places->any_context
                                       : true;
}

static void score(const struct dispatch_ask *ask, const struct seen *s,
                  const struct dispatch_action *a, struct scored *out)
{
    const struct image_dispatch *d = &ask->image->dispatch;
    const struct score_places *p = &s->places;
    const struct pool_view *pool = ask->pool;
    const struct image_model *m = image_model(ask->image, a->binding.model);
    uint64_t most =
        ask->work->max_output_tok ? ask->work->max_output_tok : a->expect.output_high_tok;
    if (most < a->expect.output_tok)
        most = a->expect.output_tok;
    if (m->output_tok && most > m->output_tok)
        most = m->output_tok;
    out->ask.places = p;
    out->ask.input_tok = (float)a->expect.input_tok;
    out->ask.output_tok = (float)a->expect.output_tok;
    out->ask.most_tok = (float)(a->expect.input_tok + most);
    out->ask.reading = ask->work->stream ? SCORE_READING : 1;
    out->ask.deadline_s = (float)pool->deadline_ms / 1000;
    out->ask.session_tok = pool->session_place >= 0 ? (float)pool->session_tok : 0;
    out->ask.left = p->session < 0;
    memset(out->total, 0, p->lanes * sizeof(float));
    for (unsigned k = 0; k < MERIT_COUNT(SCORERS); k++) {
        enum image_scorer as = SCORERS[k].as;
        out->ran[as] = d->weights[as] > 0 && wanted(&out->ask, as);
        bool seconds = as == IMAGE_SCORE_QUEUE || as == IMAGE_SCORE_PREFIX;
        if (!out->ran[as] && !seconds)
            continue;
        out->ask.weight = d->weights[as];
        out->ask.second_nusd = (float)d->second_nusd * d->weights[as];
        SCORERS[k].run(&out->ask, out->nusd[as], out->total);
    }
}

// splitmix64: one draw per (seed, number).
static uint64_t draw(uint64_t seed, uint64_t n)
{
    uint64_t z = seed + (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint32_t nth_bit(uint64_t bits, uint32_t n)
{
    while (n--)
        bits &= bits - 1;
    return (uint32_t)__builtin_ctzll(bits);
}

static uint32_t drawn_of(uint64_t bits, uint64_t random)
{
    uint32_t count = (uint32_t)__builtin_popcountll(bits);
    return nth_bit(bits, (uint32_t)((random >> 32) * count >> 32));
}

static float least_of(const struct scored *s, uint64_t open)
{
    const struct score_places *p = s->ask.places;
    float least = INFINITY;
    if (p->open == open) {
        const uint32_t lanes = score_lanes(p);
#pragma omp simd reduction(min : least)
        for (uint32_t i = 0; i < lanes; i++)
            least = score_min(least, s->total[i] + p->shut[i]);
        return least;
    }
    for (uint64_t bits = open; bits; bits &= bits - 1)
        least = score_min(s->total[__builtin_ctzll(bits)], least);
    return least;
}

// Bit per open place whose price is at most that.
static uint64_t within(const struct scored *s, uint64_t open, float most)
{
    uint64_t near = 0;
    for (uint32_t i = 0; i < s->ask.places->count; i++)
        near |= (uint64_t)(s->total[i] <= most) << i;
    return near & open;
}

static float calls_per_weight(const struct pool_place *rows, const struct score_places *p,
                              uint32_t i)
{
    return ((float)rows[i].in_flight + 1) / p->weight[i];
}

static uint32_t least_request(const struct pool_place *rows, const struct score_places *p,
                              uint64_t open, uint64_t seed)
{
    float least = INFINITY;
    uint64_t near = 0;
    for (uint64_t bits = open; bits; bits &= bits - 1) {
        float v = calls_per_weight(rows, p, (uint32_t)__builtin_ctzll(bits));
        if (v < least)
            near = 0;
        least = v < least ? v : least;
        if (v == least)
            near |= bits & -bits;
    }
    return drawn_of(near, draw(seed, 0));
}

static uint32_t power_of_two(const struct pool_place *rows, const struct score_places *p,
                             uint64_t open, uint64_t seed)
{
    uint32_t a = drawn_of(open, draw(seed, 0)), b = a;
    uint64_t rest = open & ~(UINT64_C(1) << a);
    if (rest)
        b = drawn_of(rest, draw(seed, 1));
    return calls_per_weight(rows, p, b) < calls_per_weight(rows, p, a) ? b : a;
}

// The cheapest open place. Of those that are as cheap as far as it is known the session's, else the one with fewer calls of two
// drawn ones: a place that stands still, and of which nothing else tells so yet, must not be drawn as often as the others.
static uint32_t cheapest(const struct scored *s, const struct pool_place *rows, uint64_t open,
                         uint64_t seed)
{
    float most = least_of(s, open) + s->slack;
    uint64_t near = within(s, open, most);
    if (!near) // prices beyond what a float holds
        near = open;
    int32_t session = s->ask.places->session;
    if (session >= 0 && near >> session & 1)
        return (uint32_t)session;
    // The way to another region is no matter of what is not known better.
    uint64_t here = 0;
    for (uint64_t bits = near; bits; bits &= bits - 1)
        if (s->ask.places->far_s[__builtin_ctzll(bits)] <= 0)
            here |= bits & -bits;
    near = here ? here : near;
    return power_of_two(rows, s->ask.places, near, seed);
}

static uint32_t in_turn(const struct score_places *p, uint64_t open, uint64_t turn)
{
    uint64_t sum = 0;
    for (uint64_t bits = open; bits; bits &= bits - 1)
        sum += (uint64_t)(p->weight[__builtin_ctzll(bits)] * 1000);
    uint32_t count = (uint32_t)__builtin_popcountll(open);
    uint64_t each = (uint64_t)(p->weight[__builtin_ctzll(open)] * 1000);
    if (!sum || sum == each * count)
        return nth_bit(open, (uint32_t)(turn % count));
    // Multiples of the golden ratio spread each place's turns evenly, whatever the weights.
    uint64_t at = (turn * UINT64_C(0x9e3779b97f4a7c15) >> 32) * sum >> 32;
    for (uint64_t bits = open; bits; bits &= bits - 1) {
        uint64_t w = (uint64_t)(p->weight[__builtin_ctzll(bits)] * 1000);
        if (at < w)
            return (uint32_t)__builtin_ctzll(bits);
        at -= w;
    }
    return (uint32_t)__builtin_ctzll(open);
}

static uint32_t place_for(const struct dispatch_ask *ask, const struct seen *s,
                          const struct scored *scored, uint64_t open)
{
    const struct pool_place *rows = ask->pool->places + s->places.first;
    switch (ask->image->dispatch.mode) {
    case IMAGE_DISPATCH_LEAST_REQUEST:
        return least_request(rows, &s->places, open, ask->pool->seed);
    case IMAGE_DISPATCH_POWER_OF_TWO:
        return power_of_two(rows, &s->places, open, ask->pool->seed);
    case IMAGE_DISPATCH_ROUND_ROBIN:
        return in_turn(&s->places, open, ask->pool->turn);
    default:
        return cheapest(scored, rows, open, ask->pool->seed);
    }
}

// ---- actions

struct ranked {
    double key; // less is better, before the price
    double price;
    uint32_t option;
};

static void fill(const struct dispatch_ask *ask, const struct rates *r, struct seen *s,
                 const struct dispatch_action *a, struct scored *scored, uint32_t column,
                 struct decision_option *o)
{
    const struct image_model *m = image_model(ask->image, a->binding.model);
    bool there = s->places.count > 0;
    o->binding = a->binding;
    o->binding_at = a->binding_at;
    o->place = there ? (int32_t)(s->places.first + column) : -1;
    o->expect = a->expect;
    double money =
        or_none(a->expect.cost_nusd) - (there ? saved_nusd(m, a, s->places.hit_tok[column]) : 0);
    double *terms = o->terms_nusd, seconds = 0;
    memset(o->terms_nusd, 0, sizeof o->terms_nusd);
    terms[PRICE_MONEY] = r->money ? money : 0;
    if (r->uj_nusd > 0 || r->ug_nusd > 0) {
        const struct joules j = scored->joules;
        float hit = there ? s->places.hit_tok[column] : 0;
        float uj = uj_at(&j, hit, there ? s->joule[column] : 0);
        terms[PRICE_ENERGY] = (double)uj * r->uj_nusd;
        terms[PRICE_CARBON] = (double)(grams_at(&j, uj, there ? s->g_kwh[column] : -1) * j.nusd_g);
    }
    for (unsigned k = 0; there && k < MERIT_COUNT(SCORERS); k++)
        if (scored->ran[SCORERS[k].as])
            terms[SCORERS[k].term] += (double)scored->nusd[SCORERS[k].as][column];
    if (there)
        seconds = (double)(scored->ask.turn_s[column] + scored->ask.own_s[column] +
                           s->places.first_s[column]) +
                  (double)s->places.each_s[column] * a->expect.output_tok;
    if (r->shadow)
        terms[PRICE_BUDGETS] = shadow_at(r, a, money, seconds);
    o->price_nusd = 0;
    for (unsigned k = 0; k < PRICE_TERMS; k++)
        o->price_nusd += terms[k];
}

// saved_nusd of all places, in float.
static void less_saved(const struct image_model *m, const struct dispatch_action *a,
                       const struct score_places *p, float *restrict total)
{
    const float each = (float)(m->price_in_nusd - m->price_cached_nusd) * 1e-6F;
    const float input = (float)a->expect.input_tok, most = (float)or_none(a->expect.cost_nusd);
    const uint32_t lanes = score_lanes(p);
    SCORE_SIMD
    for (uint32_t i = 0; i < lanes; i++)
        total[i] -= score_min(each * score_min(p->hit_tok[i], input), most);
}

// What differs between places of an action beside the scorers: cached tokens and joules.
static void add_places(const struct dispatch_ask *ask, const struct rates *r, struct seen *s,
                       const struct dispatch_action *a, struct scored *scored)
{
    const struct image_model *m = image_model(ask->image, a->binding.model);
    const struct score_places *p = &s->places;
    float *restrict total = scored->total;
    if (r->money && m->priced && m->price_cached_nusd < m->price_in_nusd)
        less_saved(m, a, p, total);
    if (!(r->uj_nusd > 0 || r->ug_nusd > 0))
        return;
    const struct joules j = scored->joules;
    const uint32_t lanes = score_lanes(p);
    SCORE_SIMD
    for (uint32_t i = 0; i < lanes; i++) {
        float uj = uj_at(&j, p->hit_tok[i], s->joule[i]);
        total[i] += uj * j.nusd_uj + grams_at(&j, uj, s->g_kwh[i]) * j.nusd_g;
    }
}

// What comes before the price.
static double key_of(const struct dispatch_ask *ask, const struct dispatch_action *a, uint32_t i)
{
    const struct pool_view *pool = ask->pool;
    bool away = pool && pool->session_locked && pool->session_model >= 0 &&
                a->binding.model != pool->session_model;
    double key = away ? 1e9 : 0;
    if (ask->objective == IMAGE_OBJECTIVE_ORDER)
        key += i;
    if (ask->objective == IMAGE_OBJECTIVE_QUALITY)
        key -= (double)a->quality;
    return key;
}

double dispatch_between(const struct policy_image *image, const struct decision_option *o)
{
    double sum = 0;
    unsigned count = dispatch_timed(image) ? PRICE_TERMS : PRICE_BUDGETS + 1;
    for (unsigned k = 0; k < count; k++)
        sum += o->terms_nusd[k];
    return sum;
}

static bool before(const struct ranked *a, const struct ranked *b)
{
    return a->key != b->key ? a->key < b->key : a->price < b->price;
}

uint32_t dispatch_choose(const struct dispatch_ask *ask, struct decision_option *out, uint32_t most)
{
    struct ranked ranks[DISPATCH_ACTIONS_MAX];
    struct seen seen;
    struct scored scored;
    struct decision_option one;
    uint32_t kept = 0;
    assert(ask->count <= DISPATCH_ACTIONS_MAX);
    const struct rates rates = rates_of(ask);
    seen.model = IMAGE_NONE;
    for (uint32_t i = 0; most && i < ask->count; i++) {
        const struct dispatch_action *a = &ask->actions[i];
        uint32_t column = 0;
        see(ask, a->binding.model, &seen);
        uint64_t open = seen.places.open & ~a->closed;
        if (seen.places.count && !open)
            continue;
        if (rates.uj_nusd > 0 || rates.ug_nusd > 0) {
            const struct image_model *m = image_model(ask->image, a->binding.model);
            scored.joules = joules_of(ask, &rates, m, a);
            if (seen.places.count)
                see_joules(ask, &seen, m);
        }
        if (seen.places.count) {
            score(ask, &seen, a, &scored);
            scored.slack = NEAR * least_of(&scored, open);
            if (ask->image->dispatch.mode == IMAGE_DISPATCH_PRICE)
                add_places(ask, &rates, &seen, a, &scored);
            column = place_for(ask, &seen, &scored, open);
        }
        fill(ask, &rates, &seen, a, &scored, column, &one);
        struct ranked rank = {key_of(ask, a, i), dispatch_between(ask->image, &one), kept};
        uint32_t at = kept;
        while (at > 0 && before(&rank, &ranks[at - 1]))
            at--;
        if (at == most)
            continue;
        uint32_t move = kept < most ? kept : most - 1;
        rank.option = kept < most ? kept++ : ranks[move].option;
        memmove(&ranks[at + 1], &ranks[at], (move - at) * sizeof *ranks);
        ranks[at] = rank;
        out[rank.option] = one;
    }
    // Options lie as they came; put them in order by following the circles of the permutation.
    for (uint32_t i = 0; i < kept; i++) {
        uint32_t from = ranks[i].option;
        while (from < i)
            from = ranks[from].option;
        if (from == i)
            continue;
        one = out[i];
        out[i] = out[from];
        out[from] = one;
    }
    return kept;
}
