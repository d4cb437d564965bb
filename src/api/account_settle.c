// What attempts took: reports of upstreams held to what was possible, priced, counted and settled.

#include <string.h>

#include "api/account.h"
#include "api/request.h"
#include "route/energy.h"
#include "route/estimate.h"
#include "route/price.h"

// A token stands for at most so many bytes of text (runs of blanks; guessed, 2026-11): fewer tokens than that were not
// counted, whatever an upstream says.
enum { TOKEN_BYTES_MAX = 64 };

const char *const account_lie_names[ACCOUNT_LIES] = {"",           "no_usage",    "absurd",
                                                     "too_little", "other_model", "error_inside"};

_Static_assert((int)ACCOUNT_LIES == (int)METRICS_LIES, "one counter each");

static const struct policy_image *image_of(const struct request *r)
{
    return r->epoch->serving->image;
}

static const struct image_zone *zone_of(const struct policy_image *p, const struct image_model *m)
{
    return m->zone == IMAGE_NONE ? NULL : IMAGE_AT(p, p->zones, struct image_zone) + m->zone;
}

struct used {
    uint32_t input_tok, cached_tok, output_tok;
    bool counted, estimated;
    enum account_lie lie;
};

static bool names_other(const struct request *r, const struct account_try *t, struct slice told)
{
    const struct pool_model *m = &r->epoch->pool.pool->models[t->binding.model];
    struct slice asked = m->upstream_name;
    // Providers answer with the dated name of what was asked by a short one, engines with a path that ends in it.
    if (!told.len || slice_find(told, asked) >= 0 || slice_find(asked, told) >= 0)
        return false;
    return memchr(told.ptr, '\\', told.len) == NULL;
}

static uint32_t least(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

// What the attempt used, of what was told: never more than was possible, never less than what passed.
static struct used used_of(const struct request *r, const struct account_try *t,
                           const struct usage *u)
{
    struct used out = {.input_tok = u->input_tok,
                       .cached_tok = u->cached_tok,
                       .output_tok = u->output_tok,
                       .counted = u->known};
    uint64_t passed = (uint64_t)u->seen_tok * 4;
    if (!u->known) {
        out.lie = u->odd ? ACCOUNT_ABSURD : ACCOUNT_NO_USAGE;
        out.input_tok = t->expect.input_tok;
        out.cached_tok = 0;
    } else if (u->input_tok > t->input_most_tok || u->output_tok > t->output_most_tok ||
               u->cached_tok > u->input_tok) {
        out.lie = ACCOUNT_ABSURD;
        // A cache that cannot have been makes nothing cheaper.
        if (u->input_tok > t->input_most_tok || u->cached_tok > u->input_tok)
            out.cached_tok = 0;
    } else if (!u->input_tok || (uint64_t)u->output_tok * TOKEN_BYTES_MAX < passed) {
        out.lie = ACCOUNT_TOO_LITTLE;
        if (!u->input_tok)
            out.input_tok = t->expect.input_tok;
        if ((uint64_t)u->output_tok * TOKEN_BYTES_MAX < passed)
            out.output_tok = u->seen_tok;
    } else if (names_other(r, t, u->model)) {
        out.lie = ACCOUNT_OTHER_MODEL;
    }
    out.estimated = out.lie != ACCOUNT_TRUE && out.lie != ACCOUNT_OTHER_MODEL;
    out.input_tok = least(out.input_tok, t->input_most_tok);
    out.output_tok = least(out.output_tok, t->output_most_tok);
    out.cached_tok = least(out.cached_tok, out.input_tok);
    return out;
}

static int64_t bound_or_none(int64_t bound)
{
    return bound < 0 ? ESTIMATE_UNBOUNDED : bound;
}

static struct price_settled priced(const struct request *r, int32_t model, const struct used *used,
                                   const struct price_here *here, int64_t metered_uj,
                                   int64_t bound_nusd, int64_t bound_uj)
{
    const struct policy_image *p = image_of(r);
    const struct image_model *m = image_model(p, model);
    const struct price_usage usage = {.input_tok = used->input_tok,
                                      .cached_tok = used->cached_tok,
                                      .output_tok = used->output_tok,
                                      .metered_uj = metered_uj};
    struct price_settled out;
    price_settle(m, zone_of(p, m), &usage, here, bound_nusd, bound_uj, &out);
    return out;
}

static bool could_serve(const struct work *w, const struct image_model *m)
{
    return m->priced && !(w->needs & ~m->can) &&
           (!m->output_tok || w->max_output_tok <= m->output_tok) &&
           (!m->context_tok || (uint64_t)w->input_tok + w->max_output_tok <= m->context_tok);
}

static bool is_finer(const struct image_model *a, const struct image_model *b)
{
    if (a->quality != b->quality)
        return a->quality > b->quality;
    return a->price_out_nusd > b->price_out_nusd;
}

// What everything would go to by default.
static int32_t frontier(const struct request *r)
{
    const struct policy_image *p = image_of(r);
    int32_t best = IMAGE_NONE;
    for (uint32_t i = 0; i < p->models.count; i++) {
        const struct image_model *m = image_model(p, (int32_t)i);
        if (could_serve(&r->work, m) && (best == IMAGE_NONE || is_finer(m, image_model(p, best))))
            best = (int32_t)i;
    }
    return best;
}

static enum ledger_end end_of(const struct path_attempt_end *end)
{
    switch (end->outcome) {
    case PATH_DID:
        return end->status < 400 ? LEDGER_ANSWERED : LEDGER_FAILED;
    case PATH_DROPPED:
        return LEDGER_GONE;
    case PATH_DID_NOT:
        return end->first_byte_us && end->status == 200 ? LEDGER_BROKEN : LEDGER_FAILED;
    case PATH_REFUSED:
    case PATH_LIMITED:
    case PATH_DENIED:
        break;
    }
    return LEDGER_FAILED;
}

static void add(int64_t *sum, int64_t v)
{
    int64_t out;
    if (*sum < 0 || v < 0)
        *sum = -1;
    else
        *sum = __builtin_add_overflow(*sum, v, &out) ? INT64_MAX : out;
}

// What the attempt took, and what the frontier would have.
struct took {
    struct used used;
    struct price_settled price, base;
    bool nothing; // it did not come to work
    bool unread;  // nobody read what came
};

static void took_of(const struct request *r, const struct account_try *t, bool nothing,
                    const struct usage *u, int64_t metered_uj, struct took *out)
{
    *out = (struct took){.nothing = nothing, .unread = r->kind != REQUEST_CHAT && !t->input_only};
    out->base.cost_nusd = out->base.energy_uj = out->base.carbon_ug = -1;
    if (nothing)
        return;
    if (out->unread) {
        // What the policy states of it is what it takes.
        out->price = (struct price_settled){.cost_nusd = t->bound.of[IMAGE_UNIT_NUSD],
                                            .energy_uj = t->bound.of[IMAGE_UNIT_UJ],
                                            .carbon_ug = t->bound.of[IMAGE_UNIT_UG]};
        out->used.estimated = true;
        return;
    }
    out->used = used_of(r, t, u);
    out->price = priced(r, t->binding.model, &out->used, &t->here, metered_uj,
                        bound_or_none(t->bound.of[IMAGE_UNIT_NUSD]),
                        bound_or_none(t->bound.of[IMAGE_UNIT_UJ]));
}

static void base_of(const struct request *r, const struct account_try *t, struct took *out)
{
    if (out->nothing || out->unread)
        return;
    // What is only read has no finer model, and is the same everywhere.
    if (t->input_only) {
        out->base = out->price;
        return;
    }
    int32_t best = frontier(r);
    if (best != IMAGE_NONE) {
        const struct price_here here =
            reckon_here(r->g->shared->reckon, image_of(r), best, NULL, false, 0);
        out->base = priced(r, best, &out->used, &here, -1, ESTIMATE_UNBOUNDED, ESTIMATE_UNBOUNDED);
    }
}

static void count_try(struct request *r, const struct account_try *t, const struct took *k,
                      bool answered)
{
    struct metrics_model *m =
        &r->g->metrics->models[r->epoch->serving->model_slots[t->binding.model]];
    metric_add(&m->input_tok, k->used.input_tok);
    metric_add(&m->output_tok, k->used.output_tok);
    metric_add(&m->cached_tok, k->used.cached_tok);
    if (k->nothing)
        return;
    metric_add(&m->estimated, k->used.estimated);
    if (k->used.lie && (answered || k->used.lie != ACCOUNT_NO_USAGE))
        metric_add(&m->lies[k->used.lie], 1);
    if (k->price.cost_nusd < 0)
        metric_add(&m->unpriced, 1);
    else
        metric_add(&m->cost_nusd, (uint64_t)k->price.cost_nusd);
    if (k->price.energy_uj >= 0)
        metric_add(&m->energy_uj, (uint64_t)k->price.energy_uj);
    if (k->price.carbon_ug >= 0)
        metric_add(&m->carbon_ug, (uint64_t)k->price.carbon_ug);
    if (!answered)
        return;
    if (k->used.lie == ACCOUNT_TRUE && !k->unread)
        reckon_count(r->g->shared->reckon, r->g->index,
                     r->epoch->serving->model_slots[t->binding.model], &t->expect, &k->price,
                     k->used.output_tok);
    if (k->base.cost_nusd >= 0)
        metric_add(&m->baseline_nusd, (uint64_t)k->base.cost_nusd);
}

static void learn(const struct request *r, const struct account_try *t, const struct usage *u,
                  const struct took *k)
{
    const struct policy_image *p = image_of(r);
    if (!r->g->shared->lengths || r->kind != REQUEST_CHAT || k->used.lie != ACCOUNT_TRUE ||
        !u->known)
        return;
    const struct lengths_answer a = {
        .model = lengths_name(image_text(p, image_model(p, t->binding.model)->name)),
        .effort = t->binding.effort,
        .task = t->task,
        .expected = t->length,
        .output_tok = u->output_tok,
        .input_tok = u->input_tok,
    };
    lengths_saw(r->g->shared->lengths, r->g->index, &a);
}

static int64_t tok_of(const struct account_try *t, const struct took *k)
{
    return k->unread && !k->nothing ? t->bound.of[IMAGE_UNIT_TOK]
                                    : (int64_t)k->used.input_tok + k->used.output_tok;
}

static void settle(struct request *r, struct account_try *t, const struct took *k,
                   const struct path_attempt_end *end)
{
    bool answered = end->outcome == PATH_DID && end->status < 400;
    struct ledger_settled s = {
        .now_us = loop_wall_us(r->g->loop),
        .end = end_of(end),
        .took = {.of = {[IMAGE_UNIT_NUSD] = k->price.cost_nusd,
                        [IMAGE_UNIT_UJ] = k->price.energy_uj,
                        [IMAGE_UNIT_UG] = k->price.carbon_ug,
                        [IMAGE_UNIT_MS] = (int64_t)((end->end_us - end->begin_us) / 1000),
                        [IMAGE_UNIT_TOK] = tok_of(t, k),
                        [IMAGE_UNIT_CALLS] = end->sent,
                        [IMAGE_UNIT_REQUESTS] = t->bound.of[IMAGE_UNIT_REQUESTS]}},
        .input_tok = k->used.input_tok,
        .cached_tok = k->used.cached_tok,
        .output_tok = k->used.output_tok,
        .estimated = k->used.estimated,
        .reason = end->reason,
    };
    for (int u = 0; u < LEDGER_UNITS; u++)
        s.baseline.of[u] = answered ? -1 : 0;
    if (answered) {
        s.baseline.of[IMAGE_UNIT_NUSD] = k->base.cost_nusd;
        s.baseline.of[IMAGE_UNIT_UJ] = k->base.energy_uj;
        s.baseline.of[IMAGE_UNIT_UG] = k->base.carbon_ug;
    }
    if (t->ticket.id)
        ledger_settle(r->g->shared->ledger, &t->ticket, &s);
}

// Nothing was worked on: it saw no byte, refused the request for sure, or answered with an error.
static bool took_nothing(const struct path_attempt_end *end)
{
    return !end->sent || !end->taken || end->status >= 400 ||
           (end->usage.error_inside && !end->usage.output_tok);
}

static void sum_up(struct account *a, const struct account_try *t, const struct took *k,
                   bool answered)
{
    add(&a->settled.cost_nusd, k->price.cost_nusd);
    add(&a->settled.energy_uj, k->price.energy_uj);
    add(&a->settled.carbon_ug, k->price.carbon_ug);
    add(&a->settled.tok, tok_of(t, k));
    if (answered)
        add(&a->settled.baseline_nusd, k->base.cost_nusd);
    a->input_tok += k->used.input_tok;
    a->cached_tok += k->used.cached_tok;
    a->output_tok += k->used.output_tok;
    a->estimated |= k->used.estimated;
    if (k->used.lie)
        a->lies |= (uint8_t)(1u << k->used.lie);
}

// Who answers whole may have worked until the end, and be paid for it, though nothing of it passed.
static bool may_be_done(const struct request *r, const struct path_attempt_end *end)
{
    return r->kind == REQUEST_CHAT && !r->work.stream && end->sent && end->taken &&
           (end->outcome == PATH_DROPPED || strcmp(end->reason, "upstream_timeout") == 0);
}

void account_settle(struct request *r, uint32_t slot, const struct path_attempt_end *end)
{
    struct account_try *t = r->account.tries[slot];
    struct usage usage = end->usage;
    struct took k;
    if (!t || !t->reserved)
        return;
    bool answered = end->outcome == PATH_DID && end->status < 400;
    int64_t metered_uj = reckon_meter_end(&t->meter);
    if (!usage.known && usage.output_tok < t->expect.output_tok && may_be_done(r, end))
        usage.output_tok = t->expect.output_tok;
    took_of(r, t, took_nothing(end), &usage, metered_uj, &k);
    if (answered)
        base_of(r, t, &k);
    settle(r, t, &k, end);
    if (end->usage.error_inside) {
        r->account.lies |= 1u << ACCOUNT_ERROR_INSIDE;
        metric_add(&r->g->metrics->models[r->epoch->serving->model_slots[t->binding.model]]
                        .lies[ACCOUNT_ERROR_INSIDE],
                   1);
    }
    count_try(r, t, &k, answered);
    sum_up(&r->account, t, &k, answered);
    if (answered)
        learn(r, t, &end->usage, &k);
    r->account.tries[slot] = NULL;
}

void account_settle_local(struct request *r, enum ledger_end end, uint64_t tok, uint64_t cpu_us,
                          const char *reason)
{
    struct account_try *t = r->account.tries[0];
    if (!t || !t->reserved)
        return;
    int64_t uj = energy_router_uj(cpu_us * 1000, 0);
    struct took k = {.nothing = !tok, .used = {.input_tok = least(tok, t->input_most_tok)}};
    k.price.energy_uj = uj < t->bound.of[IMAGE_UNIT_UJ] ? uj : t->bound.of[IMAGE_UNIT_UJ];
    k.price.carbon_ug = energy_carbon_ug(k.price.energy_uj, t->here.carbon_ug_kwh);
    struct ledger_settled s = {
        .now_us = loop_wall_us(r->g->loop),
        .end = end,
        .took = {.of = {[IMAGE_UNIT_UJ] = k.price.energy_uj,
                        [IMAGE_UNIT_UG] = k.price.carbon_ug,
                        [IMAGE_UNIT_MS] =
                            (int64_t)((loop_now_us(r->g->loop) - r->x->begin_us) / 1000),
                        [IMAGE_UNIT_TOK] = k.used.input_tok,
                        [IMAGE_UNIT_CALLS] = 1,
                        [IMAGE_UNIT_REQUESTS] = 1}},
        .input_tok = k.used.input_tok,
        .reason = reason,
    };
    s.baseline = s.took;
    if (t->ticket.id)
        ledger_settle(r->g->shared->ledger, &t->ticket, &s);
    sum_up(&r->account, t, &k, end == LEDGER_ANSWERED);
    r->account.tries[0] = NULL;
}

void account_first(struct request *r, uint32_t slot)
{
    const struct account_try *t = r->account.tries[slot];
    if (t)
        reckon_meter_prefill(t->meter, t->expect.input_tok);
}

void account_output(struct request *r, uint32_t slot, uint64_t content_bytes)
{
    struct account_try *t = r->account.tries[slot];
    if (!t || !t->meter.board)
        return;
    uint32_t tok = usage_guess_tok(content_bytes);
    if (tok > t->metered_tok)
        reckon_meter_decode(t->meter, tok - t->metered_tok);
    t->metered_tok = tok;
}

void account_drop(struct request *r, uint32_t slot)
{
    struct account_try *t = r->account.tries[slot];
    if (!t || !t->reserved)
        return;
    const struct path_attempt_end end = {.outcome = PATH_REFUSED, .reason = "not_sent"};
    struct took k;
    took_of(r, t, true, &end.usage, -1, &k);
    t->bound.of[IMAGE_UNIT_REQUESTS] = 0;
    reckon_meter_end(&t->meter);
    settle(r, t, &k, &end);
    r->account.tries[slot] = NULL;
    r->account.attempts--;
}

struct account_sum account_sum(const struct request *r, int32_t slot, const struct usage *usage)
{
    struct account_sum s = r->account.settled;
    const struct account_try *t = slot >= 0 ? r->account.tries[slot] : NULL;
    if (!t)
        return s;
    if (!usage) {
        add(&s.cost_nusd, t->expect.cost_nusd);
        add(&s.energy_uj, t->expect.energy_uj);
        add(&s.carbon_ug, t->expect.carbon_ug);
        return s;
    }
    struct took k;
    took_of(r, t, false, usage, -1, &k);
    add(&s.cost_nusd, k.price.cost_nusd);
    add(&s.energy_uj, k.price.energy_uj);
    add(&s.carbon_ug, k.price.carbon_ug);
    add(&s.tok, tok_of(t, &k));
    return s;
}
