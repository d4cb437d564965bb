// What clients are told of money: headers of an answer, and refusals when a budget does not bear it.

#include <string.h>

#include "api/account.h"
#include "api/request.h"
#include "base/clock.h"
#include "text/json.h"

enum { MESSAGE_BYTES = 512, MEMBERS_BYTES = 1024, WARN_PERCENT = 80 };

static const struct image_constraint *constraint_of(const struct request *r, int32_t i)
{
    const struct policy_image *p = r->epoch->serving->image;
    return IMAGE_AT(p, p->constraints, struct image_constraint) + i;
}

static const char *unit_name(enum image_unit u)
{
    static const char *const names[LEDGER_UNITS] = {"usd", "J",     "g",       "ms",
                                                    "tok", "calls", "requests"};
    return names[u];
}

static const char *window_name(enum image_window w)
{
    static const char *const names[] = {"request", "minute", "hour", "day", "month", "life"};
    return names[w];
}

static const char *scope_name(enum image_scope s)
{
    static const char *const names[] = {"all",  "session", "key", "caller",
                                        "team", "tenant",  "loop"};
    return names[s];
}

// In the unit that people write: nano-USD as dollars, microjoule as joule.
static void put_amount(struct buf *out, enum image_unit u, int64_t v)
{
    if (u == IMAGE_UNIT_NUSD)
        buf_nano(out, v);
    else if (u == IMAGE_UNIT_UJ || u == IMAGE_UNIT_UG)
        buf_micro(out, v);
    else
        buf_u64(out, (uint64_t)v);
}

static bool is_rate(const struct image_constraint *c)
{
    return c->window == IMAGE_PER_MINUTE &&
           (c->unit == IMAGE_UNIT_REQUESTS || c->unit == IMAGE_UNIT_TOK ||
            c->unit == IMAGE_UNIT_CALLS);
}

static uint32_t seconds_to(uint64_t then_us, uint64_t now_us)
{
    if (then_us <= now_us)
        return 1;
    uint64_t s = (then_us - now_us + 999999) / 1000000;
    return s > UINT32_MAX ? UINT32_MAX : (uint32_t)s;
}

static void put_time(struct buf *out, uint64_t wall_us)
{
    char text[KEY_TIME_LEN + 1];
    key_time_print(wall_us / 1000000, text);
    buf_cstr(out, text);
}

// --- refusals

static struct slice message_of(struct request *r, const struct image_constraint *c,
                               const struct ledger_refusal *f)
{
    char *room = arena_alloc_aligned(r->x->arena, MESSAGE_BYTES, 1);
    struct buf b = {.ptr = room, .room = MESSAGE_BYTES, .cap = MESSAGE_BYTES};
    const char *unit = unit_name(c->unit);
    if (!room)
        return SLICE("A budget of the policy does not bear this request.");
    BUF_LIT(&b, "The budget \"");
    buf_add(&b, slice_head(image_text(r->epoch->serving->image, c->name), 200));
    if (f->kind == LEDGER_UNBOUNDED) {
        buf_printf(&b, "\" counts %s, and nothing bounds how much of that this request could take.",
                   unit);
    } else {
        BUF_LIT(&b, "\" has ");
        put_amount(&b, c->unit, f->left);
        buf_printf(&b, " %s left; this request may take ", unit);
        put_amount(&b, c->unit, f->need);
        buf_printf(&b, " %s.", unit);
    }
    if (f->renews_us) {
        BUF_LIT(&b, " It renews at ");
        put_time(&b, f->renews_us);
        buf_byte(&b, '.');
    }
    return buf_result(&b) ? SLICE("A budget of the policy does not bear this request.")
                          : buf_slice(&b);
}

static struct slice members_of(struct request *r, const struct image_constraint *c,
                               const struct ledger_refusal *f)
{
    char *room = arena_alloc_aligned(r->x->arena, MEMBERS_BYTES, 1);
    struct buf b = {.ptr = room, .room = MEMBERS_BYTES, .cap = MEMBERS_BYTES};
    if (!room)
        return SLICE_EMPTY;
    BUF_LIT(&b, ",\"budget\":{\"name\":");
    json_write_string(&b, slice_head(image_text(r->epoch->serving->image, c->name), 200));
    buf_printf(&b, ",\"scope\":\"%s\",\"unit\":\"%s\",\"window\":\"%s\",\"limit\":",
               scope_name(c->scope), unit_name(c->unit), window_name(c->window));
    put_amount(&b, c->unit, f->limit);
    BUF_LIT(&b, ",\"left\":");
    put_amount(&b, c->unit, f->left);
    BUF_LIT(&b, ",\"needed\":");
    if (f->need < 0)
        BUF_LIT(&b, "null");
    else
        put_amount(&b, c->unit, f->need);
    BUF_LIT(&b, ",\"renews_at\":");
    if (f->renews_us) {
        buf_byte(&b, '"');
        put_time(&b, f->renews_us);
        buf_printf(&b, "\",\"renews_in_s\":%u", seconds_to(f->renews_us, loop_wall_us(r->g->loop)));
    } else {
        BUF_LIT(&b, "null");
    }
    buf_byte(&b, '}');
    return buf_result(&b) ? SLICE_EMPTY : buf_slice(&b);
}

static const char *code_of(const struct image_constraint *c, const struct ledger_refusal *f)
{
    static const char *const codes[] = {"budget_exceeded",      "session_budget_exceeded",
                                        "key_budget_exceeded",  "caller_budget_exceeded",
                                        "team_budget_exceeded", "tenant_budget_exceeded",
                                        "loop_budget_exceeded"};
    if (f->kind == LEDGER_UNBOUNDED)
        return "budget_unbounded";
    return is_rate(c) ? "rate_limit_exceeded" : codes[c->scope];
}

static void refuse(struct request *r, const struct ledger_refusal *f, struct api_error *e)
{
    if (f->constraint == IMAGE_NONE || f->kind == LEDGER_FULL || f->kind == LEDGER_BACKLOG) {
        *e = (struct api_error){.status = 503,
                                .type = "server_error",
                                .code = "ledger_full",
                                .message =
                                    SLICE("Merit's ledger has no room for another reservation."),
                                .retry_after_s = 1};
        return;
    }
    const struct image_constraint *c = constraint_of(r, f->constraint);
    if (c->window != IMAGE_PER_REQUEST)
        metric_add(&r->g->metrics->budget_refusals[r->epoch->serving->budget_slots[f->constraint]],
                   1);
    bool rate = is_rate(c) && f->kind == LEDGER_SPENT && f->need <= f->limit;
    int spent = r->g->shared->budget_status ? r->g->shared->budget_status : 402;
    int status = rate ? 429 : spent;
    *e = (struct api_error){.status = status,
                            .type = rate ? "rate_limit_error" : "budget_exceeded",
                            .code = code_of(c, f),
                            .message = message_of(r, c, f),
                            .members = members_of(r, c, f),
                            .final = !rate};
    if (status == 429 && f->renews_us)
        e->retry_after_s = seconds_to(f->renews_us, loop_wall_us(r->g->loop));
}

void account_refuse(struct request *r, struct api_error *error)
{
    refuse(r, &r->account.refusal, error);
}

bool account_spent(struct request *r, struct api_error *error)
{
    const struct decision *d = r->decision;
    const struct account *a = &r->account;
    const struct model_outcome *o = NULL;
    for (uint32_t i = 0; i < d->image->models.count && !o; i++)
        if (d->model_outcomes[i].verdict == MODEL_SPENT)
            o = &d->model_outcomes[i];
    if (!o || o->constraint == IMAGE_NONE || !a->view.states)
        return false;
    const struct image_constraint *c = constraint_of(r, o->constraint);
    const struct budget_state *s = &a->view.states[o->constraint];
    int64_t need = account_bound(r, (int32_t)(o - d->model_outcomes), c->unit);
    const struct ledger_refusal f = {.kind = need < 0 ? LEDGER_UNBOUNDED : LEDGER_SPENT,
                                     .constraint = o->constraint,
                                     .limit = c->limit,
                                     .left = s->left > 0 ? s->left : 0,
                                     .need = need,
                                     .renews_us = s->renews_us};
    refuse(r, &f, error);
    return true;
}

// --- headers

static struct slice amount_text(struct request *r, enum image_unit u, int64_t v, bool estimated)
{
    enum { BYTES = 40 };
    char *room = arena_alloc_aligned(r->x->arena, BYTES, 1);
    struct buf b = {.ptr = room, .room = BYTES, .cap = BYTES};
    if (!room || v < 0)
        return SLICE("unknown");
    put_amount(&b, u, v);
    if (estimated)
        BUF_LIT(&b, ";est");
    return buf_slice(&b);
}

struct left {
    const struct ledger_budget *budget;
    int64_t left;
    uint64_t renews_us;
    uint32_t percent; // used
};

// What is left once the running attempt is settled with what it is known to take: until then its bound is taken out.
static int64_t after_settling(const struct account_try *t, const struct account_sum *now,
                              const struct account *a, enum image_unit unit, int64_t left)
{
    const struct account_sum *old = &a->settled;
    const int64_t took[LEDGER_UNITS] = {[IMAGE_UNIT_NUSD] = now->cost_nusd,
                                        [IMAGE_UNIT_UJ] = now->energy_uj,
                                        [IMAGE_UNIT_UG] = now->carbon_ug,
                                        [IMAGE_UNIT_TOK] = now->tok};
    const int64_t before[LEDGER_UNITS] = {[IMAGE_UNIT_NUSD] = old->cost_nusd,
                                          [IMAGE_UNIT_UJ] = old->energy_uj,
                                          [IMAGE_UNIT_UG] = old->carbon_ug,
                                          [IMAGE_UNIT_TOK] = old->tok};
    bool counted = unit <= IMAGE_UNIT_UG || unit == IMAGE_UNIT_TOK;
    if (!t || !counted || t->bound.of[unit] < 0 || took[unit] < 0 || before[unit] < 0)
        return left;
    return left + t->bound.of[unit] - (took[unit] - before[unit]);
}

// The budget that is nearest to its end.
static bool tightest(const struct request *r, const struct account_try *t,
                     const struct account_sum *now, bool settled, struct left *out)
{
    const struct account *a = &r->account;
    struct ledger_budget bearing[LEDGER_BUDGETS_MAX];
    struct budget_state states[LEDGER_BUDGETS_MAX];
    uint32_t n = a->bearing_count < LEDGER_BUDGETS_MAX ? a->bearing_count : LEDGER_BUDGETS_MAX;
    if (!n || !r->g->shared->ledger)
        return false;
    for (uint32_t i = 0; i < n; i++)
        bearing[i] = a->budgets[a->bearing[i]];
    ledger_budget_states(r->g->shared->ledger, bearing, n, loop_wall_us(r->g->loop), states);
    out->budget = NULL;
    for (uint32_t i = 0; i < n; i++) {
        const struct ledger_budget *b = &a->budgets[a->bearing[i]];
        int64_t left = states[i].left;
        if (left <= 0) // of a paced one it may be less
            left = b->limit - ledger_used(r->g->shared->ledger, b, loop_wall_us(r->g->loop));
        if (settled)
            left = after_settling(t, now, a, b->unit, left);
        left = left < 0 ? 0 : left > b->limit ? b->limit : left;
        uint32_t percent =
            b->limit > 0 ? (uint32_t)(100 - (double)left / (double)b->limit * 100) : 100;
        if (!out->budget || percent > out->percent)
            *out = (struct left){b, left, states[i].renews_us, percent};
    }
    return true;
}

static struct slice left_text(struct request *r, const struct left *l)
{
    char *room = arena_alloc_aligned(r->x->arena, ACCOUNT_HEADER_BYTES, 1);
    struct buf b = {.ptr = room, .room = ACCOUNT_HEADER_BYTES, .cap = ACCOUNT_HEADER_BYTES};
    const struct image_constraint *c = constraint_of(r, l->budget->constraint);
    if (!room)
        return SLICE_EMPTY;
    put_amount(&b, c->unit, l->left);
    buf_printf(&b, " %s;of=", unit_name(c->unit));
    put_amount(&b, c->unit, l->budget->limit);
    buf_printf(&b, ";scope=%s;window=%s;used=%u%%", scope_name(c->scope), window_name(c->window),
               l->percent);
    if (l->renews_us)
        buf_printf(&b, ";renews=%u", seconds_to(l->renews_us, loop_wall_us(r->g->loop)));
    return buf_result(&b) ? SLICE_EMPTY : buf_slice(&b);
}

static void budget_headers(struct request *r, const struct account_try *t,
                           const struct account_sum *now, bool settled, struct http_header *headers,
                           size_t *n)
{
    struct left l;
    if (!tightest(r, t, now, settled, &l))
        return;
    struct slice text = left_text(r, &l);
    if (text.len)
        headers[(*n)++] = (struct http_header){SLICE("x-merit-budget-left"), text};
    if (l.percent >= WARN_PERCENT)
        headers[(*n)++] =
            (struct http_header){SLICE("x-merit-budget-warning"), l.percent >= 100  ? SLICE("100")
                                                                  : l.percent >= 90 ? SLICE("90")
                                                                                    : SLICE("80")};
}

void account_headers(struct request *r, const struct usage *usage, struct http_header *headers,
                     size_t *n)
{
    const struct account_try *t = NULL;
    int32_t slot = -1;
    if (r->running && r->path.now) {
        slot = (int32_t)r->path.now->attempt.slot;
        t = r->account.tries[slot];
    }
    struct account_sum s = account_sum(r, slot, usage);
    bool est = t && !usage;
    if (r->model == IMAGE_NONE && !r->account.attempts) {
        budget_headers(r, t, &s, false, headers, n);
        return;
    }
    headers[(*n)++] = (struct http_header){SLICE("x-merit-cost-usd"),
                                           amount_text(r, IMAGE_UNIT_NUSD, s.cost_nusd, est)};
    if (s.energy_uj >= 0)
        headers[(*n)++] = (struct http_header){SLICE("x-merit-energy-j"),
                                               amount_text(r, IMAGE_UNIT_UJ, s.energy_uj, est)};
    if (s.carbon_ug >= 0)
        headers[(*n)++] = (struct http_header){SLICE("x-merit-carbon-g"),
                                               amount_text(r, IMAGE_UNIT_UG, s.carbon_ug, est)};
    budget_headers(r, t, &s, usage != NULL, headers, n);
}
