#include "api/account.h"

#include <string.h>

#include "api/request.h"
#include "base/hash.h"
#include "base/sha256.h"
#include "route/energy.h"
#include "route/estimate.h"
#include "route/fit.h"
#include "route/price.h"
#include "work/tokens.h"

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
    const uint32_t kind[] = {c->scope, c->unit, c->window};
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

static bool is_tighter(const struct image_constraint *a, const struct image_constraint *b)
{
    if (a->hard != b->hard)
        return a->hard;
    return a->limit != b->limit ? a->limit < b->limit : a < b;
}

// Two that differ in nothing but the limit, or in hard and paced, still are two accounts. The tightest has the one that
// each of them would have alone, so that who adds another one or takes one away gives nobody a fresh account to spend.
static uint64_t twins_before(const struct policy_image *image, const struct account_rules *all,
                             const uint64_t *kinds, uint32_t at)
{
    const struct image_constraint *own = constraint_of(image, all->rules[at].constraint);
    uint64_t n = 0;
    for (uint32_t i = 0; i < all->count; i++)
        n += i != at && kinds[i] == kinds[at] &&
             is_tighter(constraint_of(image, all->rules[i].constraint), own);
    return n;
}

enum result account_rules_open(const struct policy_image *image, struct arena *arena,
                               struct account_rules *out)
{
    uint32_t room = image->constraints.count + 1;
    struct account_rule *rules = ARENA_ARRAY(arena, struct account_rule, room);
    uint64_t *kinds = ARENA_ARRAY(arena, uint64_t, room);
    *out = (struct account_rules){.rules = rules};
    if (!rules || !kinds)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < image->constraints.count; i++) {
        const struct image_constraint *c = constraint_of(image, (int32_t)i);
        out->strict |= c->kind == IMAGE_BUDGET && c->strict;
        if (c->kind != IMAGE_BUDGET || c->window == IMAGE_PER_REQUEST)
            continue;
        kinds[out->count] = identity_of(image, c);
        rules[out->count++].constraint = (int32_t)i;
    }
    for (uint32_t i = 0; i < out->count; i++)
        rules[i].identity = kinds[i] + twins_before(image, out, kinds, i);
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
        if (len)
            sha256_update(&h, parts[i].ptr, parts[i].len);
    }
    sha256_final(&h, digest);
    memcpy(&out, digest, sizeof out);
    return out;
}

// Of requests that nobody reads what the headers say.
static struct slice session_of(const struct request *r)
{
    const struct http_head *head = r->x->head;
    if (r->kind == REQUEST_CHAT)
        return r->work.session;
    for (uint32_t i = 0; i < head->header_count; i++) {
        struct slice id = head->headers[i].value;
        if (id.len && id.len <= OPENAI_SESSION_MAX && openai_names_session(head->headers[i].name))
            return id;
    }
    return SLICE_EMPTY;
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
    return session_of(r);
}

static struct slice holder_of(const struct request *r, enum image_scope scope)
{
    const struct work_caller *c = caller_of(r);
    switch (scope) {
    case IMAGE_SCOPE_ALL:
        return SLICE("all");
    case IMAGE_SCOPE_SESSION:
        return session_of(r);
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

struct ledger_budget account_budget(const struct policy_image *image,
                                    const struct account_rule *rule, struct slice holder)
{
    const struct image_constraint *c = constraint_of(image, rule->constraint);
    return (struct ledger_budget){
        .account = mix(rule->identity, holder.ptr, holder.len),
        .unit = c->unit,
        .window = c->window,
        .hard = c->hard,
        .invented = is_chosen(c->scope),
        .limit = c->limit,
        .constraint = rule->constraint,
        .name = image_text(image, c->name),
        .holder = holder,
    };
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
        struct ledger_budget *b = &a->budgets[a->budget_count++];
        *b = account_budget(p, rule, holder);
        if (is_chosen(c->scope))
            b->account = chosen(r, rule->identity, holder);
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
    a->bearing_count = 0;
    for (uint32_t i = 0; i < a->budget_count; i++)
        if (!r->decision ||
            fit_constraint(&r->deciding.run, (uint32_t)a->budgets[i].constraint) != TRI_FALSE)
            a->bearing[a->bearing_count++] = (uint8_t)i;
}

// --- before an attempt

static const struct image_zone *zone_of(const struct policy_image *p, const struct image_model *m)
{
    return m->zone == IMAGE_NONE ? NULL : IMAGE_AT(p, p->zones, struct image_zone) + m->zone;
}

// Where it is going: the row of the place as the decision saw it.
static const struct pool_place *row_of(const struct request *r)
{
    return r->kind == REQUEST_CHAT && r->pool.places && r->place >= 0 ? &r->pool.places[r->place]
                                                                      : NULL;
}

static struct price_here here_of(const struct request *r, int32_t model)
{
    return reckon_here(r->g->shared->reckon, image_of(r), model, row_of(r), false,
                       r->account.attempts ? 0 : r->decide_ns);
}

static struct lengths_task task_of(const struct request *r)
{
    const struct policy_image *p = image_of(r);
    const struct decision *d = r->decision;
    if (!d)
        return lengths_task_of(&r->work, p, NULL, NULL);
    return lengths_task_of(&r->work, p, d->route == IMAGE_NONE ? NULL : image_route(p, d->route),
                           d->facts);
}

// What an engine adds to a prompt: its template, a system prompt of its own, the framing of tools. Grade guessed, 2026-11
// (a provider's prompt for the use of tools has some hundred tokens).
enum { ACCOUNT_TEMPLATE_TOK = 512 };

// No text has more tokens than bytes; what is only named in the body may be long. What tools of the upstream find is read by
// the model, too, and nobody knows how long a document or a film is: then there is no end but the window's.
static uint64_t input_most(const struct request *r)
{
    const struct work *w = &r->work;
    uint64_t named = 0;
    if (r->openai.acts)
        return UINT32_MAX;
    for (uint32_t i = 0; i < w->part_count; i++) {
        if (w->parts[i].kind == WORK_FILE || w->parts[i].kind == WORK_PART_OTHER)
            return UINT32_MAX;
        named += w->parts[i].kind != WORK_TEXT;
    }
    return w->body.len + named * ACCOUNT_IMAGE_TOK + ACCOUNT_TEMPLATE_TOK;
}

bool account_counts_input(const struct request *r)
{
    static const struct slice end = {"/embeddings", 11};
    struct slice path = r->x->head->path;
    return r->pass != IMAGE_NONE && path.len >= end.len &&
           slice_eq(slice_from(path, path.len - end.len), end);
}

static int64_t known(int64_t bound)
{
    return bound == ESTIMATE_UNBOUNDED ? -1 : bound;
}

// Micrograms a kWh that the attempt will be settled by; negative: not known.
static int64_t carbon_of(const struct account_try *t, const struct image_zone *zone)
{
    if (t->here.carbon_ug_kwh < 0 && zone && zone->carbon_stated)
        return zone->carbon_ug_kwh;
    return t->here.carbon_ug_kwh;
}

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
    static const enum image_unit bounded[] = {IMAGE_UNIT_NUSD, IMAGE_UNIT_UJ, IMAGE_UNIT_MS,
                                              IMAGE_UNIT_TOK};
    for (size_t i = 0; i < MERIT_COUNT(bounded); i++)
        t->bound.of[bounded[i]] = known(estimate_bound(&most, &m, bounded[i], 0, &step));
    t->bound.of[IMAGE_UNIT_CALLS] = 1;
    t->bound.of[IMAGE_UNIT_REQUESTS] = r->account.attempts == 0;
    // As it will be settled: by the carbon of now.
    t->bound.of[IMAGE_UNIT_UG] = energy_carbon_ug(t->bound.of[IMAGE_UNIT_UJ], carbon_of(t, zone));
    t->input_most_tok = most.input_tok;
    uint64_t output = (uint64_t)estimate_output_most_tok(&most, &m, &step) * t->task.choices;
    t->output_most_tok = !output || output > UINT32_MAX ? UINT32_MAX : (uint32_t)output;
}

// Of a path that is passed on: what the policy states of it; of embeddings else what their input comes to.
static void bound_of_unread(const struct request *r, struct account_try *t)
{
    const struct policy_image *p = image_of(r);
    const struct image_model *m = image_model(p, t->binding.model);
    const struct image_pass *pass = IMAGE_AT(p, p->passes, struct image_pass) + r->pass;
    const struct image_step step = {.kind = IMAGE_STEP_ANSWER};
    // Several texts share a request, so the model's window bounds nothing. One token of output stands for none: its bound is
    // the least that there is.
    uint64_t input = r->x->body.len + (uint64_t)ACCOUNT_TEMPLATE_TOK;
    struct work most = {.max_output_tok = 1, .choices = 1};
    struct image_model one = *m;
    one.endpoints.count = 1;
    t->input_only = account_counts_input(r);
    most.input_tok = t->input_most_tok = input > UINT32_MAX ? UINT32_MAX : (uint32_t)input;
    for (int u = 0; u < LEDGER_UNITS; u++)
        t->bound.of[u] = t->input_only || u == IMAGE_UNIT_MS
                             ? known(estimate_bound(&most, &one, (enum image_unit)u, 0, &step))
                             : -1;
    for (int u = 0; u <= IMAGE_UNIT_TOK; u++)
        if (pass->most[u] >= 0)
            t->bound.of[u] = pass->most[u];
    t->bound.of[IMAGE_UNIT_CALLS] = 1;
    t->bound.of[IMAGE_UNIT_REQUESTS] = r->account.attempts == 0;
    if (pass->most[IMAGE_UNIT_UG] < 0)
        t->bound.of[IMAGE_UNIT_UG] =
            energy_carbon_ug(t->bound.of[IMAGE_UNIT_UJ], carbon_of(t, zone_of(p, m)));
}

int64_t account_bound(const struct request *r, int32_t model, enum image_unit unit)
{
    struct account_try t = {
        .binding = {model, IMAGE_EFFORT_DEFAULT}, .task = task_of(r), .here = here_of(r, model)};
    const struct after_terms terms = {.binding = t.binding};
    bound_of(r, &t, &terms);
    return t.bound.of[unit];
}

static void expect_unread(const struct request *r, struct account_try *t)
{
    const struct policy_image *p = image_of(r);
    const struct image_model *m = image_model(p, t->binding.model);
    uint32_t tok = t->input_only ? tokens_of_text(r->x->body) : 0;
    const struct price_length length = {.input_tok =
                                            tok < t->input_most_tok ? tok : t->input_most_tok};
    price_expect(m, zone_of(p, m), &length, &t->here, &t->expect);
    if (t->input_only)
        return;
    t->expect.cost_nusd = t->bound.of[IMAGE_UNIT_NUSD];
    t->expect.energy_uj = t->bound.of[IMAGE_UNIT_UJ];
    t->expect.carbon_ug = t->bound.of[IMAGE_UNIT_UG];
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
    price_expect(m, zone_of(p, m), &length, &t->here, &t->expect);
}

// Whether a hard budget that bears counts what is generated.
static bool needs_cap(const struct request *r)
{
    const struct account *a = &r->account;
    if (r->epoch->serving->rules.strict)
        return true;
    for (uint32_t i = 0; i < a->bearing_count; i++) {
        const struct ledger_budget *b = &a->budgets[a->bearing[i]];
        if (b->hard && (b->unit == IMAGE_UNIT_NUSD || b->unit == IMAGE_UNIT_UJ ||
                        b->unit == IMAGE_UNIT_UG || b->unit == IMAGE_UNIT_TOK))
            return true;
    }
    return false;
}

// Engines refuse a cap that does not fit their window behind the prompt, so where the policy states no output but the
// window, the prompt is taken off it, as long as it may be.
static void set_cap(const struct request *r, const struct account_try *t, struct after_terms *terms)
{
    const struct policy_image *p = image_of(r);
    const struct image_model *m = image_model(p, t->binding.model);
    const struct image_step step = {.kind = IMAGE_STEP_ANSWER};
    uint32_t cap = terms->output_cap_tok;
    if (!r->obeyed || r->work.max_output_tok || (!cap && !needs_cap(r)))
        return;
    if (!cap)
        cap = estimate_output_most_tok(&r->work, m, &step);
    uint64_t name = lengths_name(image_text(p, m->name)), most = input_most(r);
    uint64_t input = lengths_input(r->g->lengths, name, t->task.input_tok).high_tok;
    input = input < most ? input : most;
    if (m->context_tok && input + cap > m->context_tok)
        cap = input < m->context_tok ? m->context_tok - (uint32_t)input : 1;
    terms->output_cap_tok = cap;
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
    bool unread = r->kind != REQUEST_CHAT && !t->input_only;
    *ask = (struct ledger_ask){
        .who = {.key = r->key ? r->key->id : SLICE_EMPTY,
                .session = session_of(r),
                .loop = loop_id(r),
                .route = d && d->route != IMAGE_NONE ? image_text(p, image_route(p, d->route)->name)
                                                     : SLICE_EMPTY,
                .model = t->model,
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
                            [IMAGE_UNIT_TOK] =
                                unread ? t->bound.of[IMAGE_UNIT_TOK]
                                       : (int64_t)t->expect.input_tok + t->expect.output_tok,
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

// Under `observe` what hard budgets would have refused is only counted.
static void count_unborne(struct request *r, const struct ledger_ask *ask)
{
    struct budget_state states[LEDGER_BUDGETS_MAX];
    const uint16_t *slots = r->epoch->serving->budget_slots;
    ledger_budget_states(r->g->shared->ledger, ask->budgets, ask->budget_count, ask->now_us,
                         states);
    for (uint32_t i = 0; i < ask->budget_count; i++) {
        const struct ledger_budget *b = &ask->budgets[i];
        int64_t need = ask->bound.of[b->unit];
        if (b->hard && (need < 0 || need > states[i].left))
            metric_add(&r->g->metrics->budget_refusals[slots[b->constraint]], 1);
    }
}

// The try into every budget that bears, or into none.
static enum result draw(struct request *r, struct account_try *t)
{
    struct account *a = &r->account;
    struct ledger_budget bearing[LEDGER_BUDGETS_MAX];
    struct ledger_ask ask;
    if (!r->g->shared->ledger)
        return RESULT_OK;
    if (a->bearing_count > LEDGER_BUDGETS_MAX) {
        a->refusal = (struct ledger_refusal){.kind = LEDGER_FULL, .constraint = IMAGE_NONE};
        return RESULT_LIMIT;
    }
    fill_ask(r, t, &ask);
    for (uint32_t i = 0; i < a->bearing_count; i++)
        bearing[i] = a->budgets[a->bearing[i]];
    ask.budgets = bearing;
    ask.budget_count = a->bearing_count;
    if (MERIT_UNLIKELY(r->epoch->serving->observe_model != IMAGE_NONE)) {
        count_unborne(r, &ask);
        for (uint32_t i = 0; i < a->bearing_count; i++)
            bearing[i].hard = false;
    }
    return ledger_reserve(r->g->shared->ledger, &ask, &t->ticket, &a->refusal);
}

// What earlier attempts of the request took or may take; negative: not known.
static int64_t spent_of(const struct account *a, enum image_unit unit)
{
    const int64_t settled[] = {[IMAGE_UNIT_NUSD] = a->settled.cost_nusd,
                               [IMAGE_UNIT_UJ] = a->settled.energy_uj,
                               [IMAGE_UNIT_UG] = a->settled.carbon_ug,
                               [IMAGE_UNIT_TOK] = a->settled.tok};
    int64_t sum = settled[unit];
    for (size_t i = 0; i < MERIT_COUNT(a->tries) && sum >= 0; i++) {
        if (!a->tries[i])
            continue;
        int64_t most = a->tries[i]->bound.of[unit];
        if (most < 0 || __builtin_add_overflow(sum, most, &sum))
            sum = -1;
    }
    return sum;
}

// Whether the strict budgets per request bear the try. A guard that the decision did not need counts as if it held.
static bool strict_bears(struct request *r, const struct account_try *t)
{
    const struct policy_image *p = image_of(r);
    for (uint32_t i = 0; i < p->constraints.count; i++) {
        const struct image_constraint *c = constraint_of(p, (int32_t)i);
        if (c->kind != IMAGE_BUDGET || !c->strict ||
            (r->decision && fit_constraint(&r->deciding.run, i) == TRI_FALSE))
            continue;
        int64_t need = t->bound.of[c->unit], spent = spent_of(&r->account, c->unit);
        int64_t left = spent < 0 || spent > c->limit ? 0 : c->limit - spent;
        if (need >= 0 && need <= left)
            continue;
        r->account.refusal =
            (struct ledger_refusal){.kind = need < 0 ? LEDGER_UNBOUNDED : LEDGER_SPENT,
                                    .constraint = (int32_t)i,
                                    .limit = c->limit,
                                    .left = left,
                                    .need = need};
        return false;
    }
    return true;
}

static enum result reserve(struct request *r, uint32_t slot, struct account_try *t)
{
    struct account *a = &r->account;
    bool strict = r->epoch->serving->rules.strict && r->kind == REQUEST_CHAT &&
                  r->epoch->serving->observe_model == IMAGE_NONE;
    enum result res = strict && !strict_bears(r, t) ? RESULT_LIMIT : draw(r, t);
    a->refused = res != RESULT_OK;
    if (res)
        return res;
    a->tries[slot] = t;
    t->reserved = true;
    a->attempts++;
    return RESULT_OK;
}

enum result account_reserve(struct request *r, uint32_t slot, struct after_terms *terms)
{
    struct account_try *t = ARENA_NEW(r->x->arena, struct account_try);
    if (!t)
        return RESULT_NOMEM;
    t->binding = terms->binding;
    t->model = image_text(image_of(r), image_model(image_of(r), t->binding.model)->name);
    t->task.choices = 1;
    t->here = here_of(r, t->binding.model);
    if (r->kind == REQUEST_CHAT) {
        t->task = task_of(r);
        set_cap(r, t, terms);
        bound_of(r, t, terms);
        expect_of(r, t, terms);
    } else {
        bound_of_unread(r, t);
        expect_unread(r, t);
    }
    enum result res = reserve(r, slot, t);
    if (res)
        return res;
    const struct pool_place *row = row_of(r);
    t->meter =
        reckon_meter_begin(r->g->shared->reckon, image_of(r), row ? row->endpoint : IMAGE_NONE);
    return RESULT_OK;
}

// --- Merit's own encoder

// Of a core for one token, as reserved: 10 ms at ENERGY_CORE_MILLIWATTS, some thirty times what a small encoder takes and what
// one of 500 million parameters comes to. Grade guessed, 2026-11.
enum { ACCOUNT_LOCAL_TOK_NS = 10 * 1000 * 1000, ACCOUNT_LOCAL_TEXT_TOK = 16 };

// Nobody says where Merit stands: the most carbon among the zones.
static int64_t local_carbon(const struct request *r)
{
    const struct policy_image *p = image_of(r);
    int64_t most = -1;
    for (uint32_t i = 0; i < p->models.count; i++) {
        const struct account_try t = {
            .here = reckon_here(r->g->shared->reckon, p, (int32_t)i, NULL, false, 0)};
        int64_t ug = carbon_of(&t, zone_of(p, image_model(p, (int32_t)i)));
        most = ug > most ? ug : most;
    }
    return most;
}

enum result account_reserve_local(struct request *r, struct slice model, uint64_t bytes,
                                  uint32_t texts, uint64_t most_ms)
{
    struct account_try *t = ARENA_NEW(r->x->arena, struct account_try);
    if (!t)
        return RESULT_NOMEM;
    uint64_t tok = bytes + (uint64_t)texts * ACCOUNT_LOCAL_TEXT_TOK;
    t->binding = (struct image_binding){IMAGE_NONE, IMAGE_EFFORT_DEFAULT};
    t->model = model;
    t->input_only = true;
    t->input_most_tok = (uint32_t)tok; // of a body, so far below 32 bits
    t->here.carbon_ug_kwh = local_carbon(r);
    int64_t uj = energy_router_uj(tok * ACCOUNT_LOCAL_TOK_NS, 0);
    t->bound = (struct ledger_amounts){
        .of = {[IMAGE_UNIT_NUSD] = 0,
               [IMAGE_UNIT_UJ] = uj,
               [IMAGE_UNIT_UG] = energy_carbon_ug(uj, t->here.carbon_ug_kwh),
               [IMAGE_UNIT_MS] = (int64_t)most_ms,
               [IMAGE_UNIT_TOK] = (int64_t)tok,
               [IMAGE_UNIT_CALLS] = 1,
               [IMAGE_UNIT_REQUESTS] = 1}};
    t->expect = (struct estimate){.input_tok = (uint32_t)(bytes / 4 + texts),
                                  .energy_uj = uj / 100,
                                  .carbon_ug = t->bound.of[IMAGE_UNIT_UG] / 100};
    return reserve(r, 0, t);
}

bool account_may_go_on(const struct request *r)
{
    const struct ledger_refusal *f = &r->account.refusal;
    if (!r->account.refused)
        return true;
    if (f->kind != LEDGER_SPENT && f->kind != LEDGER_UNBOUNDED)
        return false;
    if (f->constraint == IMAGE_NONE)
        return false;
    // A budget per request leaves what it bears.
    const struct image_constraint *c = constraint_of(image_of(r), f->constraint);
    return c->exhausted == IMAGE_EXHAUSTED_CHEAPER || c->window == IMAGE_PER_REQUEST;
}
