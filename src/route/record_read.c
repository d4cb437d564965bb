// The way back: from a compact line to the decision that it records.
#include "route/record_inner.h"
#include "text/json.h"
#include "work/pool.h"

struct reader {
    struct json json;
    struct arena *arena;
    struct decision *d;
    bool bad; // something is missing, of another type, or does not fit the policy
};

static uint64_t whole(struct reader *r, uint32_t token, uint64_t most)
{
    uint64_t v = 0;
    if (token == JSON_NONE || json_u64(&r->json, token, &v) || v > most)
        r->bad = true;
    return r->bad ? 0 : v;
}

// -1, or a number up to `most`.
static int64_t place(struct reader *r, uint32_t token, uint64_t most)
{
    if (token != JSON_NONE && slice_eq(json_raw(&r->json, token), SLICE("-1")))
        return -1;
    return (int64_t)whole(r, token, most);
}

static uint32_t member(const struct reader *r, const char *key)
{
    return json_get(&r->json, 0, slice_cstr(key), NULL);
}

// A member that is left out when it is 0.
static uint64_t rare(struct reader *r, const char *key, uint64_t most)
{
    uint32_t token = member(r, key);
    return token == JSON_NONE ? 0 : whole(r, token, most);
}

// The next element of a row, or JSON_NONE behind its end.
static uint32_t next(const struct reader *r, uint32_t row, uint32_t *at)
{
    uint32_t value;
    return json_element(&r->json, row, at, &value) ? value : JSON_NONE;
}

static struct slice text(struct reader *r, uint32_t token)
{
    if (token == JSON_NONE || json_type(&r->json, token) != JSON_STRING) {
        r->bad = true;
        return SLICE_EMPTY;
    }
    struct slice s = json_string(&r->json, token, r->arena);
    return arena_copy(r->arena, s);
}

static void read_texts(struct reader *r, uint32_t array, struct fact *f)
{
    uint32_t at = 0, token;
    if (array == JSON_NONE || json_type(&r->json, array) != JSON_ARRAY) {
        r->bad = true;
        return;
    }
    uint32_t most = r->json.tokens[array].next - array;
    struct slice *texts = ARENA_ARRAY(r->arena, struct slice, most);
    if (!texts) {
        r->bad = true;
        return;
    }
    while ((token = next(r, array, &at)) != JSON_NONE)
        texts[f->text_count++] = text(r, token);
    f->texts = texts;
}

static void read_value(struct reader *r, uint32_t token, enum signal_type type, struct fact *f)
{
    switch (type) {
    case SIGNAL_TEXT:
        f->text = text(r, token);
        return;
    case SIGNAL_SET:
        read_texts(r, token, f);
        return;
    default:
        // What is not finite was written as null.
        if (token == JSON_NONE)
            r->bad = true;
        else if (json_type(&r->json, token) != JSON_NULL &&
                 json_double(&r->json, token, &f->number))
            r->bad = true;
    }
}

static void read_evidence(struct reader *r, uint32_t row, struct fact *f)
{
    if (json_type(&r->json, row) != JSON_ARRAY || f->evidence_count == FACT_EVIDENCE_MAX) {
        r->bad = true;
        return;
    }
    uint32_t at = 0;
    struct evidence *e = &f->evidence[f->evidence_count++];
    uint32_t *const fields[] = {&e->message, &e->part, &e->offset, &e->length, &e->argument};
    for (size_t i = 0; i < MERIT_COUNT(fields); i++)
        *fields[i] = (uint32_t)whole(r, next(r, row, &at), UINT32_MAX);
}

static void read_signal(struct reader *r, uint32_t row)
{
    const struct policy_image *p = r->d->image;
    uint32_t at = 0;
    if (json_type(&r->json, row) != JSON_ARRAY || !p->signals.count) {
        r->bad = true;
        return;
    }
    uint64_t index = whole(r, next(r, row, &at), p->signals.count - 1);
    struct fact *f = &r->d->facts[index];
    uint64_t packed = whole(r, next(r, row, &at), UINT16_MAX << 4 | 15);
    f->state = (enum fact_state)(packed & 3);
    f->share = (enum fact_share)(packed >> 2 & 3);
    f->step = (uint16_t)(packed >> 4);
    if (f->share > FACT_SHARE_MADE)
        r->bad = true;
    read_value(r, next(r, row, &at), image_signal(p, (int32_t)index)->type, f);
    f->probability = 1;
    uint32_t token = next(r, row, &at);
    if (token == JSON_NONE)
        return;
    double probability = 0;
    if (json_double(&r->json, token, &probability) || !(probability >= 0 && probability <= 1)) {
        r->bad = true;
        return;
    }
    f->probability = (float)probability;
    f->cost_ns = (uint32_t)whole(r, next(r, row, &at), UINT32_MAX);
    f->error = (enum fact_error)whole(r, next(r, row, &at), FACT_ERROR_GIVEN);
    f->evidence_total = (uint32_t)whole(r, next(r, row, &at), UINT32_MAX);
    while (!r->bad && (token = next(r, row, &at)) != JSON_NONE)
        if (json_type(&r->json, token) == JSON_STRING)
            f->by = text(r, token);
        else
            read_evidence(r, token, f);
}

static void read_route(struct reader *r, uint32_t row, uint32_t i)
{
    const struct policy_image *p = r->d->image;
    uint32_t at = 0;
    if (i >= p->routes.count || json_type(&r->json, row) != JSON_ARRAY) {
        r->bad = true;
        return;
    }
    struct route_outcome *o = &r->d->route_outcomes[i];
    o->verdict = (enum route_verdict)whole(r, next(r, row, &at), ROUTE_BYPASSED);
    o->atom = (int32_t)place(r, next(r, row, &at), p->atoms.count ? p->atoms.count - 1 : 0);
}

static bool names_constraint(enum model_verdict v)
{
    return v == MODEL_FORBIDDEN || v == MODEL_OVER_BUDGET || v == MODEL_SPENT;
}

static void read_model(struct reader *r, uint32_t row, uint32_t i)
{
    uint32_t at = 0;
    if (i >= r->d->image->models.count || json_type(&r->json, row) != JSON_ARRAY) {
        r->bad = true;
        return;
    }
    struct model_outcome *o = &r->d->model_outcomes[i];
    o->verdict = (enum model_verdict)whole(r, next(r, row, &at), MODEL_SPENT);
    o->cost_nusd = place(r, next(r, row, &at), INT64_MAX);
    o->constraint = IMAGE_NONE;
    uint32_t token = next(r, row, &at);
    if (token == JSON_NONE) {
        // Place 0 is left out as a detail of 0 is.
        if (names_constraint(o->verdict))
            o->constraint = 0;
        r->bad |= o->constraint >= (int64_t)r->d->image->constraints.count;
        return;
    }
    uint32_t detail = (uint32_t)whole(r, token, UINT32_MAX);
    if (names_constraint(o->verdict)) {
        r->bad |= detail >= r->d->image->constraints.count;
        o->constraint = (int32_t)detail;
    } else if (o->verdict == MODEL_LACKS)
        o->missing = detail;
    else
        o->need_tok = detail;
}

static void read_chain(struct reader *r, uint32_t row, uint32_t i)
{
    const struct policy_image *p = r->d->image;
    uint32_t at = 0;
    uint32_t chains = r->d->route < 0 ? 1 : image_route(p, r->d->route)->chains.count;
    if (i >= chains || json_type(&r->json, row) != JSON_ARRAY) {
        r->bad = true;
        return;
    }
    uint32_t steps =
        r->d->route < 0 ? 1 : image_chains(p, image_route(p, r->d->route))[i].steps.count;
    struct chain_outcome *o = &r->d->chain_outcomes[i];
    o->verdict = (enum chain_verdict)whole(r, next(r, row, &at), CHAIN_FAILED);
    o->step = (int32_t)place(r, next(r, row, &at), steps ? steps - 1 : 0);
    o->constraint =
        (int32_t)place(r, next(r, row, &at), p->constraints.count ? p->constraints.count - 1 : 0);
    r->bad |= o->constraint >= (int64_t)p->constraints.count;
    bool names = o->verdict == CHAIN_FORBIDDEN || o->verdict == CHAIN_UNMET;
    r->bad |= names && o->constraint == IMAGE_NONE;
    r->d->chain_count = i + 1;
}

// A list of places, as bits.
static const uint64_t *read_bits(struct reader *r, const char *name, uint32_t count)
{
    uint32_t array = member(r, name), at = 0, token;
    uint64_t *bits = ARENA_ARRAY(r->arena, uint64_t, count / 64 + 1);
    r->bad |= !bits || (array != JSON_NONE && json_type(&r->json, array) != JSON_ARRAY);
    while (!r->bad && array != JSON_NONE && (token = next(r, array, &at)) != JSON_NONE) {
        uint64_t i = whole(r, token, UINT32_MAX);
        r->bad |= i >= count;
        if (!r->bad)
            bits[i / 64] |= UINT64_C(1) << (i % 64);
    }
    return bits;
}

// The step of the chain taken that answers has so many bindings.
static uint32_t bindings(const struct decision *d)
{
    if (d->end != DECISION_ANSWER || d->route < 0 || d->chain < 0)
        return 0;
    struct image_list steps =
        image_chains(d->image, image_route(d->image, d->route))[d->chain].steps;
    const struct image_step *s = IMAGE_AT(d->image, steps, struct image_step);
    for (uint32_t i = 0; i < steps.count; i++)
        if (s[i].kind == IMAGE_STEP_ANSWER || s[i].kind == IMAGE_STEP_FUSE)
            return s[i].bindings.count;
    return 0;
}

static void read_budgets(struct reader *r)
{
    const struct policy_image *p = r->d->image;
    uint32_t array = member(r, "budgets"), at = 0, row;
    if (array == JSON_NONE)
        return;
    struct budget_state *seen = ARENA_ARRAY(r->arena, struct budget_state, p->constraints.count);
    r->bad |= !seen || json_type(&r->json, array) != JSON_ARRAY;
    for (uint32_t i = 0; !r->bad && i < p->constraints.count; i++)
        seen[i] = (struct budget_state){.open = true};
    while (!r->bad && (row = next(r, array, &at)) != JSON_NONE) {
        uint32_t in = 0, token;
        r->bad |= json_type(&r->json, row) != JSON_ARRAY || !p->constraints.count;
        if (r->bad)
            return;
        struct budget_state *b = &seen[whole(r, next(r, row, &in), p->constraints.count - 1)];
        b->open = false;
        b->left = (int64_t)whole(r, next(r, row, &in), INT64_MAX);
        if ((token = next(r, row, &in)) != JSON_NONE) {
            uint64_t bits = whole(r, token, UINT64_MAX);
            memcpy(&b->price_nusd, &bits, sizeof bits);
            r->bad |= !(b->price_nusd >= 0 && b->price_nusd <= 1e300);
        }
    }
    r->d->budgets = seen;
}

static void read_policy(struct reader *r)
{
    struct decision *d = r->d;
    const struct policy_image *p = d->image;
    uint32_t chains = member(r, "chains"), at = 0, row;
    if (chains != JSON_NONE && json_type(&r->json, chains) != JSON_ARRAY)
        r->bad = true;
    for (uint32_t i = 0;
         !r->bad && chains != JSON_NONE && (row = next(r, chains, &at)) != JSON_NONE; i++)
        read_chain(r, row, i);
    const uint64_t *down = read_bits(r, "down", p->models.count);
    const uint64_t *no_key = read_bits(r, "no_key", p->models.count);
    uint8_t *states = ARENA_ARRAY(r->arena, uint8_t, p->models.count + 1);
    r->bad |= !states;
    for (uint32_t i = 0; !r->bad && i < p->models.count; i++)
        states[i] = down[i / 64] >> (i % 64) & 1     ? POOL_MODEL_DOWN
                    : no_key[i / 64] >> (i % 64) & 1 ? POOL_MODEL_NO_KEY
                                                     : POOL_MODEL_UP;
    d->pool_states = states;
    d->constraints_known = read_bits(r, "known", p->constraints.count);
    d->constraints_hold = read_bits(r, "hold", p->constraints.count);
    d->core = read_bits(r, "core", p->constraints.count);
    read_budgets(r);
    d->fits = read_bits(r, "fits", bindings(d));
}

// ---- what the choice rested on

static int64_t number(struct reader *r, uint32_t token)
{
    int64_t i = 0;
    struct slice s = token == JSON_NONE ? SLICE_EMPTY : json_raw(&r->json, token);
    bool minus = s.len > 1 && s.ptr[0] == '-';
    uint64_t u;
    if (minus && !slice_u64(slice_from(s, 1), &u))
        r->bad = true;
    else if (minus)
        i = u > INT64_MAX ? INT64_MIN : -(int64_t)u;
    else
        i = (int64_t)whole(r, token, INT64_MAX);
    return r->bad ? 0 : i;
}

// Not known, or a number that a float has.
static float amount(struct reader *r, uint32_t token)
{
    double v = 0;
    if (token == JSON_NONE || json_double(&r->json, token, &v) || !(v <= 1e15))
        r->bad = true;
    return v < 0 ? -1 : (float)v;
}

static uint32_t rows(struct reader *r, const char *key)
{
    uint32_t array = member(r, key), at = 0, count = 0;
    if (array == JSON_NONE)
        return 0;
    if (json_type(&r->json, array) != JSON_ARRAY)
        r->bad = true;
    while (!r->bad && next(r, array, &at) != JSON_NONE)
        count++;
    return count;
}

static bool is_row(struct reader *r, uint32_t token)
{
    r->bad |= token == JSON_NONE || json_type(&r->json, token) != JSON_ARRAY;
    return !r->bad;
}

static void read_place(struct reader *r, uint32_t row, int32_t model, struct pool_place *out)
{
    uint32_t at = 0;
    if (!is_row(r, row))
        return;
    uint32_t endpoints = r->d->image->endpoints.count;
    out->model = model;
    out->endpoint = (int32_t)place(r, next(r, row, &at), endpoints ? endpoints - 1 : 0);
    r->bad |= out->endpoint >= (int64_t)endpoints;
    uint64_t flags = whole(r, next(r, row, &at), 127);
    out->state = flags & 7;
    out->stale = flags >> 3 & 1;
    out->carbon_stale = flags >> 6 & 1;
    out->lora_loaded = flags >> 4 & 1;
    out->lora_room = flags >> 5 & 1;
    r->bad |= out->state > POOL_PLACE_STANDBY;
    uint32_t *const counts[] = {&out->in_flight, &out->in_flight_tok, &out->wait_tok,
                                &out->slots,     &out->kv_tok,        &out->prefix_tok};
    uint32_t token = next(r, row, &at);
    for (size_t i = 0; i < MERIT_COUNT(counts); i++) {
        *counts[i] = token == JSON_NONE ? 0 : (uint32_t)whole(r, token, UINT32_MAX);
        token = token == JSON_NONE ? token : next(r, row, &at);
    }
    float *const floats[] = {
        &out->queue,   &out->running,      &out->kv_use, &out->prefill_tok_s, &out->first_ms,
        &out->each_ms, &out->carbon_g_kwh, &out->weight, &out->slot_nusd_s,   &out->drain_tok_s};
    for (size_t i = 0; i < MERIT_COUNT(floats); i++) {
        *floats[i] = token == JSON_NONE ? record_row_unknown[i] : amount(r, token);
        token = token == JSON_NONE ? token : next(r, row, &at);
    }
}

static void read_places(struct reader *r)
{
    struct decision *d = r->d;
    uint32_t count = rows(r, "places"), array = member(r, "places"), at = 0;
    struct decision_places *all = ARENA_ARRAY(r->arena, struct decision_places, count + 1);
    r->bad |= !all || count > d->image->models.count;
    for (uint32_t i = 0; !r->bad && i < count; i++) {
        uint32_t row = next(r, array, &at), k = 0, n = 0, in = 0, token;
        if (!is_row(r, row))
            return;
        all[i].model = (int32_t)whole(r, next(r, row, &k), d->image->models.count - 1);
        all[i].first = (uint32_t)whole(r, next(r, row, &k), POOL_PLACES_MAX - 1);
        for (in = k; next(r, row, &in) != JSON_NONE;)
            n++;
        r->bad |= n > POOL_PLACES_PER_MODEL_MAX || all[i].first + n > POOL_PLACES_MAX;
        struct pool_place *places = r->bad ? NULL : ARENA_ARRAY(r->arena, struct pool_place, n + 1);
        r->bad |= !places;
        for (uint32_t j = 0; !r->bad && (token = next(r, row, &k)) != JSON_NONE; j++)
            read_place(r, token, all[i].model, &places[j]);
        all[i].rows = places;
        all[i].count = n;
        for (uint32_t j = 0; j < i; j++)
            r->bad |= all[j].model == all[i].model;
    }
    d->places = all;
    d->places_count = count;
}

static void read_seen(struct reader *r)
{
    struct decision_seen *s = &r->d->seen;
    uint32_t row = member(r, "seen"), at = 0, token;
    s->session_place = s->session_model = IMAGE_NONE;
    if (row == JSON_NONE || !is_row(r, row))
        return;
    s->session_place = (int32_t)place(r, next(r, row, &at), INT32_MAX);
    s->session_model = (int32_t)place(r, next(r, row, &at), INT32_MAX);
    s->session_locked = whole(r, next(r, row, &at), 1);
    s->session_tok = (uint32_t)whole(r, next(r, row, &at), UINT32_MAX);
    s->deadline_ms = (uint32_t)whole(r, next(r, row, &at), UINT32_MAX);
    s->seed = whole(r, next(r, row, &at), UINT64_MAX);
    s->turn = whole(r, next(r, row, &at), UINT64_MAX);
    if (!r->bad && (token = next(r, row, &at)) != JSON_NONE)
        s->region = text(r, token);
}

static void read_lengths(struct reader *r, uint32_t most)
{
    uint32_t count = rows(r, "lengths"), array = member(r, "lengths"), at = 0;
    if (!count || r->bad)
        return;
    struct decision_length *all = ARENA_ARRAY(r->arena, struct decision_length, count);
    r->bad |= !all || count > most;
    for (uint32_t i = 0; !r->bad && i < count; i++) {
        uint32_t row = next(r, array, &at), k = 0;
        uint32_t *const fields[] = {&all[i].binding_at, &all[i].input_tok, &all[i].output_tok,
                                    &all[i].low_tok, &all[i].high_tok};
        for (size_t f = 0; is_row(r, row) && f < MERIT_COUNT(fields); f++)
            *fields[f] = (uint32_t)whole(r, next(r, row, &k), UINT32_MAX);
        r->bad |= all[i].binding_at >= most;
    }
    r->d->lengths = all;
    r->d->lengths_count = count;
}

// A place that an option names is one of its model's that were seen.
static bool was_seen(const struct decision *d, int32_t model, int32_t number)
{
    for (uint32_t i = 0; i < d->places_count; i++) {
        const struct decision_places *p = &d->places[i];
        if (p->model == model)
            return number >= (int32_t)p->first && number < (int32_t)(p->first + p->count);
    }
    return false;
}

static void read_option(struct reader *r, uint32_t row, const struct image_binding *bindings,
                        uint32_t most, struct decision_option *o)
{
    uint32_t k = 0, at = 0;
    if (!is_row(r, row))
        return;
    o->binding_at = (uint32_t)whole(r, next(r, row, &k), most - 1);
    o->binding = bindings[o->binding_at];
    o->place = (int32_t)place(r, next(r, row, &k), POOL_PLACES_MAX - 1);
    r->bad |= o->place >= 0 && !was_seen(r->d, o->binding.model, o->place);
    uint32_t terms = next(r, row, &k), expect = next(r, row, &k);
    if (!is_row(r, terms) || !is_row(r, expect))
        return;
    uint32_t token;
    for (unsigned i = 0; i < PRICE_TERMS && (token = next(r, terms, &at)) != JSON_NONE; i++) {
        o->terms_nusd[i] = (double)number(r, token);
        o->price_nusd += o->terms_nusd[i];
    }
    struct estimate *e = &o->expect;
    uint32_t *const tok[] = {&e->input_tok, &e->output_tok, &e->output_low_tok,
                             &e->output_high_tok};
    int64_t *const amounts[] = {&e->cost_nusd,   &e->cost_low_nusd, &e->cost_high_nusd,
                                &e->energy_uj,   &e->energy_low_uj, &e->energy_high_uj,
                                &e->marginal_uj, &e->carbon_ug};
    at = 0;
    for (size_t i = 0; i < MERIT_COUNT(tok); i++)
        *tok[i] = (uint32_t)whole(r, next(r, expect, &at), UINT32_MAX);
    for (size_t i = 0; i < 3; i++)
        *amounts[i] = number(r, next(r, expect, &at));
    token = next(r, expect, &at);
    bool energy = token != JSON_NONE;
    for (size_t i = 3; i < MERIT_COUNT(amounts); i++) {
        *amounts[i] = energy ? number(r, token) : -1;
        token = energy ? next(r, expect, &at) : token;
    }
    e->carbon_marginal = energy && whole(r, token, 1);
}

static void read_options(struct reader *r, const struct image_binding *bindings, uint32_t most)
{
    struct decision *d = r->d;
    uint32_t count = rows(r, "options"), array = member(r, "options"), at = 0;
    d->place = IMAGE_NONE;
    if (!count || r->bad)
        return;
    struct decision_option *all = ARENA_ARRAY(r->arena, struct decision_option, count);
    r->bad |= !all || count > DECISION_OPTIONS_MAX || !most;
    for (uint32_t i = 0; !r->bad && i < count; i++)
        read_option(r, next(r, array, &at), bindings, most, &all[i]);
    if (r->bad)
        return;
    d->options = all;
    d->option_count = count;
    d->place = all[0].place;
    d->priced = d->estimated = true;
}

static void read_choice(struct reader *r)
{
    const struct decision *d = r->d;
    const struct image_step *s = record_answering(d);
    const struct image_binding named = {d->model, d->effort};
    uint32_t most = s ? s->bindings.count : d->end == DECISION_ANSWER && d->route < 0;
    read_lengths(r, most);
    if (!r->bad)
        read_places(r);
    if (!r->bad)
        read_seen(r);
    if (!r->bad)
        read_options(r, s ? IMAGE_AT(d->image, s->bindings, struct image_binding) : &named, most);
}

static void read_rows(struct reader *r, const char *key)
{
    uint32_t array = member(r, key), at = 0, row;
    if (array == JSON_NONE || json_type(&r->json, array) != JSON_ARRAY) {
        r->bad = true;
        return;
    }
    for (uint32_t i = 0; !r->bad && (row = next(r, array, &at)) != JSON_NONE; i++) {
        if (key[0] == 's')
            read_signal(r, row);
        else if (key[0] == 'r')
            read_route(r, row, i);
        else
            read_model(r, row, i);
    }
}

// The message of a refusal is the policy's own.
static void find_message(struct decision *d)
{
    if (d->end != DECISION_REFUSE || d->route == IMAGE_NONE)
        return;
    const struct image_route *route = image_route(d->image, d->route);
    const struct image_chain *chain = image_chains(d->image, route);
    if (d->chain < 0)
        return;
    struct image_list steps = chain[d->chain].steps;
    const struct image_step *step = IMAGE_AT(d->image, steps, struct image_step);
    for (uint32_t i = 0; i < steps.count; i++)
        if (step[i].kind == IMAGE_STEP_REFUSE)
            d->message = image_text(d->image, step[i].text);
}

// The chain taken: the last one that is told of; the first where none is.
static int32_t chain_of(struct reader *r)
{
    const struct decision *d = r->d;
    uint32_t array = member(r, "chains"), at = 0, count = 0;
    if (d->route < 0 || d->end == DECISION_INFEASIBLE)
        return IMAGE_NONE;
    if (array == JSON_NONE)
        return 0;
    if (json_type(&r->json, array) != JSON_ARRAY) {
        r->bad = true;
        return IMAGE_NONE;
    }
    while (next(r, array, &at) != JSON_NONE)
        count++;
    if (!count || count > image_route(d->image, d->route)->chains.count) {
        r->bad = true;
        return IMAGE_NONE;
    }
    return (int32_t)count - 1;
}

static void read_head(struct reader *r)
{
    struct decision *d = r->d;
    const struct policy_image *p = d->image;
    struct slice id = text(r, member(r, "id"));
    if (whole(r, member(r, "v"), DECISION_SCHEMA) != DECISION_SCHEMA || id.len > DECISION_ID_LEN)
        r->bad = true;
    else
        memcpy(d->id, id.ptr ? id.ptr : "", id.len);
    d->wall_us = whole(r, member(r, "t"), UINT64_MAX);
    d->pool_epoch = whole(r, member(r, "epoch"), UINT64_MAX);
    d->route = (int32_t)place(r, member(r, "r"), p->routes.count ? p->routes.count - 1 : 0);
    d->model = (int32_t)place(r, member(r, "m"), p->models.count ? p->models.count - 1 : 0);
    d->input_tok = (uint32_t)whole(r, member(r, "in"), UINT32_MAX);
    d->output_tok = (uint32_t)whole(r, member(r, "out"), UINT32_MAX);
    d->cost_nusd = place(r, member(r, "cost"), INT64_MAX);
    d->decide_ns = (uint32_t)whole(r, member(r, "ns"), UINT32_MAX);
    int64_t anchor = place(r, member(r, "anchor"), UINT32_MAX);
    d->anchor = anchor < 0 ? WORK_NO_ANCHOR : (uint32_t)anchor;
    d->message_count = (uint32_t)whole(r, member(r, "messages"), UINT32_MAX);
    d->avoided_ns = (uint32_t)rare(r, "avoided", UINT32_MAX);
    d->by = (enum decision_by)rare(r, "by", DECISION_BY_NAME);
    d->end = (enum decision_end)rare(r, "end", DECISION_NO_MODEL);
    d->effort = (enum image_effort)rare(r, "effort", IMAGE_EFFORT_COUNT_ - 1);
    d->took_else = rare(r, "else", 1);
    d->observed = rare(r, "observed", 1);
    d->endpoints_closed = (uint32_t)rare(r, "closed", UINT32_MAX);
    d->attempts_max = (uint32_t)rare(r, "tries", UINT32_MAX);
    d->output_cap_tok = (uint32_t)rare(r, "cap", UINT32_MAX);
    d->needs = (uint32_t)rare(r, "needs", UINT32_MAX);
    d->effort_asked = (enum image_effort)rare(r, "asked_effort", IMAGE_EFFORT_COUNT_ - 1);
    d->effort_dropped = rare(r, "dropped", 1);
    d->max_output_tok = (uint32_t)rare(r, "max", UINT32_MAX);
    d->choices = (uint32_t)rare(r, "n", UINT32_MAX);
    d->choices = d->choices ? d->choices : 1;
    d->streams = rare(r, "stream", 1);
    d->expected_tok = (uint32_t)rare(r, "expected", UINT32_MAX);
    d->all_steps = rare(r, "all_steps", 1);
    d->first_chain = (uint32_t)rare(r, "from", IMAGE_CHAINS_MAX);
    for (uint32_t u = 0; u < MERIT_COUNT(d->spent); u++)
        d->spent[u] = (int64_t)rare(r, record_spent_keys[u], INT64_MAX);
    d->costs_epoch = rare(r, "costs", UINT64_MAX);
    d->late = rare(r, "late", 1);
    r->bad |= d->end == DECISION_ANSWER && d->model == IMAGE_NONE;
    d->chain = chain_of(r);
    uint32_t asked = member(r, "asked");
    d->model_asked = asked == JSON_NONE ? SLICE("auto") : text(r, asked);
    if (!r->bad)
        find_message(d);
}

enum result record_read(const struct policy_image *image, struct slice line, struct arena *arena,
                        struct decision **out)
{
    struct reader r = {.arena = arena, .d = ARENA_NEW(arena, struct decision)};
    *out = NULL;
    if (!r.d)
        return RESULT_NOMEM;
    r.d->image = image;
    r.d->facts = ARENA_ARRAY(arena, struct fact, image->signals.count + 1);
    r.d->route_outcomes = ARENA_ARRAY(arena, struct route_outcome, image->routes.count + 1);
    r.d->model_outcomes = ARENA_ARRAY(arena, struct model_outcome, image->models.count + 1);
    uint32_t chains = 1;
    for (uint32_t i = 0; i < image->routes.count; i++)
        if (image_route(image, (int32_t)i)->chains.count > chains)
            chains = image_route(image, (int32_t)i)->chains.count;
    r.d->chain_outcomes = ARENA_ARRAY(arena, struct chain_outcome, chains);
    if (!r.d->facts || !r.d->route_outcomes || !r.d->model_outcomes || !r.d->chain_outcomes)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < image->models.count; i++)
        r.d->model_outcomes[i].constraint = IMAGE_NONE;
    for (uint32_t i = 0; i < image->routes.count; i++)
        r.d->route_outcomes[i].atom = IMAGE_NONE;
    enum result res = json_parse(&r.json, line, &json_limits_default, arena);
    if (res)
        return res;
    if (json_type(&r.json, 0) != JSON_OBJECT)
        return RESULT_TYPE;
    read_head(&r);
    if (!r.bad)
        read_rows(&r, "signals");
    if (!r.bad)
        read_rows(&r, "routes");
    if (!r.bad)
        read_rows(&r, "models");
    if (!r.bad)
        read_policy(&r);
    if (!r.bad)
        read_choice(&r);
    if (r.bad)
        return RESULT_SYNTAX;
    *out = r.d;
    return RESULT_OK;
}
