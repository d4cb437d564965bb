#include "api/account.h"

#include <string.h>

#include "api/request.h"
#include "base/hash.h"
#include "base/sha256.h"
#include "route/energy.h"
#include "route/estimate.h"
#include "route/fit.h"
#include "route/price.h"
#include "route/ratio.h"

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

static const struct image_constraint *constraint_of(const struct policy_image *p, int32_t i)
{
    return IMAGE_AT(p, p->constraints, struct image_constraint) + i;
}

// The caller as the key says; what nobody has read has no work.
static const struct work_caller *caller_of(const struct request *r)
{
    static const struct work_caller nobody = {.known = false};
    if (r->kind == REQUEST_CHAT)
        return &r->work.caller;
    return r->key ? &r->key->caller : &nobody;
}

// --- rules

static uint64_t mix(uint64_t h, const void *bytes, size_t n)
{
    uint64_t len = n;
    h = hash_fnv(h, slice_make((const char *)&len, sizeof len));
    return hash_fnv(h, slice_make(bytes, n));
}

static uint64_t identity_of(const struct policy_image *p, const struct image_constraint *c)
{
    const uint32_t kind[] = {c->scope, c->unit, c->window, c->hard};
    const struct image_node *n = IMAGE_AT(p, c->guard, struct image_node);
    const struct image_atom *atoms = IMAGE_AT(p, p->atoms, struct image_atom);
    uint64_t h = mix(0, kind, sizeof kind);
    for (uint32_t i = 0; i < c->guard.count; i++) {
        const uint32_t node[] = {n[i].kind, n[i].kind == IMAGE_NODE_ATOM ? 0 : n[i].arg};
        h = mix(h, node, sizeof node);
        if (n[i].kind == IMAGE_NODE_ATOM) {
            struct slice shown = image_text(p, atoms[n[i].arg].shown);
            h = mix(h, shown.ptr, shown.len);
        }
    }
    return h;
}

enum result account_rules_open(const struct policy_image *image, struct arena *arena,
                               struct account_rules *out)
{
    struct account_rule *rules =
        ARENA_ARRAY(arena, struct account_rule, image->constraints.count + 1);
    out->count = 0;
    if (!rules)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < image->constraints.count; i++) {
        const struct image_constraint *c = constraint_of(image, (int32_t)i);
        if (c->kind != IMAGE_BUDGET || c->window == IMAGE_PER_REQUEST)
            continue;
        uint64_t identity = identity_of(image, c);
        // Two that differ in nothing but the limit still are two accounts.
        for (uint32_t k = 0; k < out->count; k++)
            identity += rules[k].identity == identity;
        rules[out->count++] = (struct account_rule){(int32_t)i, identity};
    }
    out->rules = rules;
    return RESULT_OK;
}

// --- whose budget

// Ids that clients choose are hashed so that nobody can make one that falls on another's account, and stand under whoever
// the key says it is: two callers with the same session share nothing.
static uint64_t chosen(const struct request *r, uint64_t identity, struct slice id)
{
    const struct work_caller *c = caller_of(r);
    struct sha256 h;
    uint8_t digest[SHA256_BYTES];
    uint64_t out;
    const struct slice parts[] = {slice_make((const char *)&identity, sizeof identity),
                                  c->known ? c->id : SLICE_EMPTY,
                                  c->known ? c->tenant : SLICE_EMPTY, id};
    sha256_init(&h);
    for (size_t i = 0; i < MERIT_COUNT(parts); i++) {
        uint64_t len = parts[i].len;
        sha256_update(&h, &len, sizeof len);
        sha256_update(&h, parts[i].ptr, parts[i].len);
    }
    sha256_final(&h, digest);
    memcpy(&out, digest, sizeof out);
    return out;
}

// One task of an agent, within which sub-agents have sessions of their own: the loop's id, the run's, the conversation's,
// else the session's.
static struct slice loop_id(const struct request *r)
{
    static const char *const names[] = {"x-loop-id", "x-inferoa-run-id", "x-conversation-id"};
    for (size_t i = 0; i < MERIT_COUNT(names); i++) {
        struct slice id = http_header_get(r->x->head, names[i]);
        if (id.len && id.len <= OPENAI_SESSION_MAX)
            return id;
    }
    return r->kind == REQUEST_CHAT ? r->work.session : SLICE_EMPTY;
}

static struct slice holder_of(const struct request *r, enum image_scope scope)
{
    const struct work_caller *c = caller_of(r);
    switch (scope) {
    case IMAGE_SCOPE_ALL:
        return SLICE("all");
    case IMAGE_SCOPE_SESSION:
        return r->kind == REQUEST_CHAT ? r->work.session : SLICE_EMPTY;
    case IMAGE_SCOPE_LOOP:
        return loop_id(r);
    case IMAGE_SCOPE_KEY:
        return r->key ? r->key->id : SLICE_EMPTY;
    case IMAGE_SCOPE_CALLER:
        return c->known ? c->id : SLICE_EMPTY;
    case IMAGE_SCOPE_TEAM:
        return c->known ? c->team : SLICE_EMPTY;
    case IMAGE_SCOPE_TENANT:
        return c->known ? c->tenant : SLICE_EMPTY;
    }
    return SLICE_EMPTY;
}

static bool is_chosen(enum image_scope scope)
{
    return scope == IMAGE_SCOPE_SESSION || scope == IMAGE_SCOPE_LOOP;
}

static void find_budgets(struct request *r, const struct account_rules *rules)
{
    const struct policy_image *p = image_of(r);
    struct account *a = &r->account;
    for (uint32_t i = 0; i < rules->count && a->budget_count < ACCOUNT_BUDGETS_MAX; i++) {
        const struct account_rule *rule = &rules->rules[i];
        const struct image_constraint *c = constraint_of(p, rule->constraint);
        struct slice holder = holder_of(r, c->scope);
        if (!holder.len)
            continue;
        a->budgets[a->budget_count++] = (struct ledger_budget){
            .account = is_chosen(c->scope) ? chosen(r, rule->identity, holder)
                                           : mix(rule->identity, holder.ptr, holder.len),
            .unit = c->unit,
            .window = c->window,
            .hard = c->hard,
            .limit = c->limit,
            .constraint = rule->constraint,
            .name = image_text(p, c->name),
            .holder = holder,
        };
    }
}

// What is left, at the places of the constraints.
static bool look(struct request *r)
{
    struct account *a = &r->account;
    uint32_t count = image_of(r)->constraints.count;
    struct budget_state *all = ARENA_ARRAY(r->x->arena, struct budget_state, count);
    struct budget_state own[ACCOUNT_BUDGETS_MAX];
    if (!all)
        return false;
    for (uint32_t i = 0; i < count; i++)
        all[i].open = true;
    ledger_budget_states(r->g->shared->ledger, a->budgets, a->budget_count,
                         loop_wall_us(r->g->loop), own);
    for (uint32_t i = 0; i < a->budget_count; i++)
        all[a->budgets[i].constraint] = own[i];
    a->view = (struct budget_view){.epoch = 1, .states = all, .count = count};
    return true;
}

enum result account_begin(struct request *r)
{
    struct account *a = &r->account;
    const struct account_rules *rules = &r->epoch->serving->rules;
    if (!rules->count || !r->g->shared->ledger)
        return RESULT_OK;
    uint32_t most = rules->count < ACCOUNT_BUDGETS_MAX ? rules->count : ACCOUNT_BUDGETS_MAX;
    a->budgets = ARENA_ARRAY(r->x->arena, struct ledger_budget, most);
    a->bearing = ARENA_ARRAY(r->x->arena, uint8_t, most);
    if (!a->budgets || !a->bearing)
        return RESULT_NOMEM;
    find_budgets(r, rules);
    return !a->budget_count || look(r) ? RESULT_OK : RESULT_NOMEM;
}

void account_decided(struct request *r)
{
    struct account *a = &r->account;
    bool observed = r->epoch->serving->observe_model != IMAGE_NONE;
    a->bearing_count = 0;
    for (uint32_t i = 0; i < a->budget_count && !observed; i++)
        if (!r->decision ||
            fit_constraint(&r->deciding.run, (uint32_t)a->budgets[i].constraint) != TRI_FALSE)
            a->bearing[a->bearing_count++] = (uint8_t)i;
}

// --- before an attempt

static const struct image_zone *zone_of(const struct policy_image *p, const struct image_model *m)
{
    return m->zone == IMAGE_NONE ? NULL : IMAGE_AT(p, p->zones, struct image_zone) + m->zone;
}

// No text has more tokens than bytes; what is only named in the body may be long.
static uint64_t input_most(const struct request *r)
{
    const struct work *w = &r->work;
    uint64_t named = 0;
    if (r->kind != REQUEST_CHAT)
        return UINT32_MAX;
    for (uint32_t i = 0; i < w->part_count; i++)
        named += w->parts[i].kind != WORK_TEXT;
    return w->body.len + named * ACCOUNT_IMAGE_TOK + 64;
}

static int64_t known(int64_t bound)
{
    return bound == ESTIMATE_UNBOUNDED ? -1 : bound;
}

// What one attempt cannot exceed.
static void bound_of(const struct request *r, struct account_try *t,
                     const struct after_terms *terms)
{
    const struct policy_image *p = image_of(r);
    struct image_model m = *image_model(p, t->binding.model);
    const struct image_zone *zone = zone_of(p, &m);
    const struct image_step step = {.kind = IMAGE_STEP_ANSWER, .cap_tok = terms->output_cap_tok};
    struct work most = {.max_output_tok = t->task.cap_tok, .choices = t->task.choices};
    uint64_t input = input_most(r);
    if (m.context_tok && m.context_tok < input)
        input = m.context_tok;
    most.input_tok = input > UINT32_MAX ? UINT32_MAX : (uint32_t)input;
    m.endpoints.count = 1;
    for (int u = 0; u < LEDGER_UNITS; u++)
        t->bound.of[u] = r->kind == REQUEST_CHAT || u == IMAGE_UNIT_MS
                             ? known(estimate_bound(&most, &m, (enum image_unit)u, 0, &step))
                             : -1;
    t->bound.of[IMAGE_UNIT_CALLS] = 1;
    t->bound.of[IMAGE_UNIT_REQUESTS] = r->account.attempts == 0;
    if (zone && zone->carbon_stated)
        t->bound.of[IMAGE_UNIT_UG] =
            energy_carbon_ug(t->bound.of[IMAGE_UNIT_UJ], zone->carbon_ug_kwh);
    t->input_most_tok = most.input_tok;
    uint64_t output = (uint64_t)estimate_output_most_tok(&most, &m, &step) * t->task.choices;
    t->output_most_tok = !output || output > UINT32_MAX ? UINT32_MAX : (uint32_t)output;
}

static void expect_of(const struct request *r, struct account_try *t,
                      const struct after_terms *terms)
{
    const struct policy_image *p = image_of(r);
    const struct image_model *m = image_model(p, t->binding.model);
    uint64_t name = lengths_name(image_text(p, m->name));
    uint32_t cap = m->output_tok;
    if (terms->output_cap_tok && terms->output_cap_tok < cap)
        cap = terms->output_cap_tok;
    lengths_expect(r->g->lengths, name, t->binding.effort, &t->task, cap, &t->length);
    const struct price_length length = {
        .input_tok = lengths_input(r->g->lengths, name, t->task.input_tok).expected_tok,
        .output_tok = (uint64_t)(t->length.mean_tok + 0.5f),
        .low_tok = t->length.low_tok,
        .high_tok = t->length.high_tok,
    };
    const struct price_here here = PRICE_HERE_UNKNOWN;
    price_expect(m, zone_of(p, m), &length, &here, &t->expect);
}

// Whether a hard budget that bears counts what is generated.
static bool needs_cap(const struct request *r)
{
    const struct account *a = &r->account;
    for (uint32_t i = 0; i < a->bearing_count; i++) {
        const struct ledger_budget *b = &a->budgets[a->bearing[i]];
        if (b->hard && (b->unit == IMAGE_UNIT_NUSD || b->unit == IMAGE_UNIT_UJ ||
                        b->unit == IMAGE_UNIT_UG || b->unit == IMAGE_UNIT_TOK))
            return true;
    }
    return false;
}

static void set_cap(const struct request *r, const struct account_try *t, struct after_terms *terms)
{
    const struct image_model *m = image_model(image_of(r), t->binding.model);
    const struct image_step step = {.kind = IMAGE_STEP_ANSWER};
    if (r->obeyed && !terms->output_cap_tok && !r->work.max_output_tok && needs_cap(r))
        terms->output_cap_tok = estimate_output_most_tok(&r->work, m, &step);
}

static const char *effort_name(enum image_effort e)
{
    return e == IMAGE_EFFORT_DEFAULT ? "" : image_effort_name(e);
}

static void fill_ask(const struct request *r, const struct account_try *t, struct ledger_ask *ask)
{
    const struct policy_image *p = image_of(r);
    const struct work_caller *c = caller_of(r);
    const struct decision *d = r->decision;
    bool chat = r->kind == REQUEST_CHAT;
    *ask = (struct ledger_ask){
        .who = {.key = r->key ? r->key->id : SLICE_EMPTY,
                .session = chat ? r->work.session : SLICE_EMPTY,
                .loop = loop_id(r),
                .route = d && d->route != IMAGE_NONE ? image_text(p, image_route(p, d->route)->name)
                                                     : SLICE_EMPTY,
                .model = image_text(p, image_model(p, t->binding.model)->name),
                .effort = slice_cstr(effort_name(t->binding.effort)),
                .place = r->place_url,
                .attempt = r->account.attempts + 1,
                .policy = r->epoch->serving->digest},
        .now_us = loop_wall_us(r->g->loop),
        .bound = t->bound,
        .expected = {.of = {[IMAGE_UNIT_NUSD] = t->expect.cost_nusd,
                            [IMAGE_UNIT_UJ] = t->expect.energy_uj,
                            [IMAGE_UNIT_UG] = t->expect.carbon_ug,
                            [IMAGE_UNIT_MS] = -1,
                            [IMAGE_UNIT_TOK] = (int64_t)t->expect.input_tok + t->expect.output_tok,
                            [IMAGE_UNIT_CALLS] = 1,
                            [IMAGE_UNIT_REQUESTS] = t->bound.of[IMAGE_UNIT_REQUESTS]}},
    };
    if (c->known) {
        ask->who.caller = c->id;
        ask->who.team = c->team;
        ask->who.tenant = c->tenant;
    }
    if (d)
        memcpy(ask->who.decision, d->id, LEDGER_DECISION_BYTES);
}

enum result account_reserve(struct request *r, uint32_t slot, struct after_terms *terms)
{
    struct account *a = &r->account;
    struct account_try *t = ARENA_NEW(r->x->arena, struct account_try);
    struct ledger *ledger = r->g->shared->ledger;
    struct ledger_budget bearing[LEDGER_BUDGETS_MAX];
    struct ledger_ask ask;
    if (!t)
        return RESULT_NOMEM;
    t->binding = terms->binding;
    t->task.choices = 1;
    if (r->kind == REQUEST_CHAT)
        t->task = lengths_task_of(&r->work, r->decision);
    set_cap(r, t, terms);
    bound_of(r, t, terms);
    expect_of(r, t, terms);
    a->tries[slot] = t;
    if (ledger) {
        if (a->bearing_count > LEDGER_BUDGETS_MAX) {
            a->refusal = (struct ledger_refusal){.kind = LEDGER_FULL, .constraint = IMAGE_NONE};
            a->refused = true;
            return RESULT_LIMIT;
        }
        fill_ask(r, t, &ask);
        for (uint32_t i = 0; i < a->bearing_count; i++)
            bearing[i] = a->budgets[a->bearing[i]];
        ask.budgets = bearing;
        ask.budget_count = a->bearing_count;
        if (ledger_reserve(ledger, &ask, &t->ticket, &a->refusal)) {
            a->tries[slot] = NULL;
            a->refused = true;
            return RESULT_LIMIT;
        }
    }
    t->reserved = true;
    a->refused = false;
    a->attempts++;
    return RESULT_OK;
}

bool account_may_go_on(const struct request *r)
{
    const struct ledger_refusal *f = &r->account.refusal;
    if (!r->account.refused)
        return true;
    if (f->kind != LEDGER_SPENT && f->kind != LEDGER_UNBOUNDED)
        return false;
    return f->constraint != IMAGE_NONE &&
           constraint_of(image_of(r), f->constraint)->exhausted == IMAGE_EXHAUSTED_CHEAPER;
}

// --- after it

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
                                   int64_t bound_nusd, int64_t bound_uj)
{
    const struct policy_image *p = image_of(r);
    const struct image_model *m = image_model(p, model);
    const struct price_here here = PRICE_HERE_UNKNOWN;
    const struct price_usage usage = {.input_tok = used->input_tok,
                                      .cached_tok = used->cached_tok,
                                      .output_tok = used->output_tok,
                                      .metered_uj = -1};
    struct price_settled out;
    price_settle(m, zone_of(p, m), &usage, &here, bound_nusd, bound_uj, &out);
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
                    const struct usage *u, struct took *out)
{
    *out = (struct took){.nothing = nothing, .unread = r->kind != REQUEST_CHAT};
    out->base.cost_nusd = out->base.energy_uj = out->base.carbon_ug = -1;
    if (nothing)
        return;
    if (out->unread) {
        out->price = (struct price_settled){.cost_nusd = -1, .energy_uj = -1, .carbon_ug = -1};
        return;
    }
    out->used = used_of(r, t, u);
    out->price =
        priced(r, t->binding.model, &out->used, bound_or_none(t->bound.of[IMAGE_UNIT_NUSD]),
               bound_or_none(t->bound.of[IMAGE_UNIT_UJ]));
    int32_t best = frontier(r);
    if (best != IMAGE_NONE)
        out->base = priced(r, best, &out->used, ESTIMATE_UNBOUNDED, ESTIMATE_UNBOUNDED);
}

static void count_try(struct request *r, const struct account_try *t, const struct took *k,
                      bool answered)
{
    struct metrics_model *m =
        &r->g->metrics->models[r->epoch->serving->model_slots[t->binding.model]];
    metric_add(&m->input_tok, k->used.input_tok);
    metric_add(&m->output_tok, k->used.output_tok);
    metric_add(&m->cached_tok, k->used.cached_tok);
    if (k->nothing || k->unread)
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
    struct ratio *ratio = r->g->shared->ratio;
    uint32_t slot = r->epoch->serving->model_slots[t->binding.model];
    if (ratio) {
        ratio_count(ratio, r->g->index, slot, RATIO_USD, t->expect.cost_nusd, k->price.cost_nusd);
        ratio_count(ratio, r->g->index, slot, RATIO_J, t->expect.energy_uj, k->price.energy_uj);
        ratio_count(ratio, r->g->index, slot, RATIO_TOK, t->expect.output_tok, k->used.output_tok);
    }
    if (k->base.cost_nusd >= 0)
        metric_add(&m->baseline_nusd, (uint64_t)k->base.cost_nusd);
}

static void learn(const struct request *r, const struct account_try *t, const struct usage *u,
                  const struct took *k)
{
    const struct policy_image *p = image_of(r);
    if (!r->g->shared->lengths || k->unread || k->used.lie != ACCOUNT_TRUE || !u->known)
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

static void settle(struct request *r, struct account_try *t, const struct took *k,
                   const struct path_attempt_end *end)
{
    bool answered = end->outcome == PATH_DID && end->status < 400;
    int64_t tok = k->unread && !k->nothing ? -1 : (int64_t)k->used.input_tok + k->used.output_tok;
    struct ledger_settled s = {
        .now_us = loop_wall_us(r->g->loop),
        .end = end_of(end),
        .took = {.of = {[IMAGE_UNIT_NUSD] = k->price.cost_nusd,
                        [IMAGE_UNIT_UJ] = k->price.energy_uj,
                        [IMAGE_UNIT_UG] = k->price.carbon_ug,
                        [IMAGE_UNIT_MS] = (int64_t)((end->end_us - end->begin_us) / 1000),
                        [IMAGE_UNIT_TOK] = tok,
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

static void sum_up(struct account *a, const struct took *k, bool answered)
{
    add(&a->settled.cost_nusd, k->price.cost_nusd);
    add(&a->settled.energy_uj, k->price.energy_uj);
    add(&a->settled.carbon_ug, k->price.carbon_ug);
    if (answered)
        add(&a->settled.baseline_nusd, k->base.cost_nusd);
    a->input_tok += k->used.input_tok;
    a->cached_tok += k->used.cached_tok;
    a->output_tok += k->used.output_tok;
    a->estimated |= k->used.estimated;
    if (k->used.lie)
        a->lies |= (uint8_t)(1u << k->used.lie);
}

void account_settle(struct request *r, uint32_t slot, const struct path_attempt_end *end)
{
    struct account_try *t = r->account.tries[slot];
    struct took k;
    if (!t || !t->reserved)
        return;
    bool answered = end->outcome == PATH_DID && end->status < 400;
    took_of(r, t, took_nothing(end), &end->usage, &k);
    settle(r, t, &k, end);
    if (end->usage.error_inside) {
        r->account.lies |= 1u << ACCOUNT_ERROR_INSIDE;
        metric_add(&r->g->metrics->models[r->epoch->serving->model_slots[t->binding.model]]
                        .lies[ACCOUNT_ERROR_INSIDE],
                   1);
    }
    count_try(r, t, &k, answered);
    sum_up(&r->account, &k, answered);
    if (answered)
        learn(r, t, &end->usage, &k);
    r->account.tries[slot] = NULL;
}

void account_drop(struct request *r, uint32_t slot)
{
    struct account_try *t = r->account.tries[slot];
    if (!t || !t->reserved)
        return;
    const struct path_attempt_end end = {.outcome = PATH_REFUSED, .reason = "not_sent"};
    struct took k;
    took_of(r, t, true, &end.usage, &k);
    t->bound.of[IMAGE_UNIT_REQUESTS] = 0;
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
    took_of(r, t, false, usage, &k);
    add(&s.cost_nusd, k.price.cost_nusd);
    add(&s.energy_uj, k.price.energy_uj);
    add(&s.carbon_ug, k.price.carbon_ug);
    return s;
}
