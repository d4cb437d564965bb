#include "route/after.h"

#include "route/estimate.h"
#include "route/fit.h"

// The step that answers; of a model that the client named, one without modifiers.
static struct image_step step_of(const struct route_run *run)
{
    const struct decision *d = run->decision;
    struct fit_ask ask;
    fit_ask_of(run, d->chain >= 0 ? (uint32_t)d->chain : 0, &ask);
    return ask.steps[0];
}

// The `n`th binding of the feasible set beside the one that was chosen, in the policy's order; false: there is none.
static bool other_feasible(const struct route_run *run, uint32_t n, struct image_binding *out)
{
    const struct decision *d = run->decision;
    const struct image_step step = step_of(run);
    const struct image_binding *b =
        IMAGE_AT(run->table->image, step.bindings, struct image_binding);
    for (uint32_t i = 0; d->route >= 0 && i < step.bindings.count; i++) {
        if (!table_bit(d->fits, i) || (b[i].model == d->model && b[i].effort == d->effort))
            continue;
        if (n--)
            continue;
        *out = b[i];
        return true;
    }
    return false;
}

uint32_t after_options(const struct route_run *run)
{
    const struct decision *d = run->decision;
    struct image_binding other;
    uint32_t n = 1;
    if (d->end != DECISION_ANSWER)
        return 0;
    if (d->option_count)
        return d->option_count;
    while (n < DECISION_OPTIONS_MAX && other_feasible(run, n - 1, &other))
        n++;
    return n;
}

static struct image_binding binding_of(const struct route_run *run, uint32_t option)
{
    const struct decision *d = run->decision;
    struct image_binding b = {d->model, d->effort};
    if (option && d->option_count)
        return d->options[option].binding;
    if (option)
        other_feasible(run, option - 1, &b);
    return b;
}

// The endpoints that are closed to the request, or could be.
static uint64_t closed_of(struct route_run *run, int32_t model)
{
    const struct policy_image *p = run->table->image;
    const struct table_constraints *t = &run->table->constraints;
    uint32_t closed;
    if (!run->table->endpoints_forbidden)
        return 0;
    if (fit_endpoints(run, model, &closed) == TRI_TRUE)
        return closed;
    // What is open about it stands in run->open: as if it held.
    const struct image_constraint *c = IMAGE_AT(p, p->constraints, struct image_constraint);
    const struct image_endpoint *named = IMAGE_AT(p, p->endpoints, struct image_endpoint);
    const struct image_model *m = image_model(p, model);
    const struct image_endpoint *e = IMAGE_AT(p, m->endpoints, struct image_endpoint);
    for (uint32_t i = 0; i < t->count; i++)
        for (uint32_t k = 0; table_bit(run->open, i) && k < m->endpoints.count; k++)
            if (slice_eq(image_text(p, named[c[i].index].url), image_text(p, e[k].url)))
                closed |= UINT32_C(1) << k;
    return closed;
}

// Whether the client's own effort, which counts where the policy leaves it open, is forbidden or could be.
static bool effort_forbidden(struct route_run *run)
{
    const struct table_constraints *t = &run->table->constraints;
    if (run->asked_effort == IMAGE_EFFORT_DEFAULT)
        return false;
    for (uint32_t i = 0; i < t->count; i++)
        if (table_bit(t->effort + (size_t)run->asked_effort * t->words, i) &&
            fit_constraint(run, i) != TRI_FALSE)
            return true;
    return false;
}

void after_terms(struct route_run *run, uint32_t option, struct after_terms *out)
{
    const struct decision *d = run->decision;
    *out = (struct after_terms){.binding = binding_of(run, option)};
    const struct image_model *m = image_model(run->table->image, out->binding.model);
    out->timeout_ms = m->timeout_ms;
    out->copies = step_of(run).hedges;
    if (!option) {
        out->closed = d->endpoints_closed;
        out->output_cap_tok = d->output_cap_tok;
        out->effort_dropped = d->effort_dropped;
        return;
    }
    out->closed =
        out->binding.model == d->model ? d->endpoints_closed : closed_of(run, out->binding.model);
    out->effort_dropped = out->binding.effort == IMAGE_EFFORT_DEFAULT && effort_forbidden(run);
    if (d->output_cap_tok) {
        const struct image_step step = step_of(run);
        out->output_cap_tok = estimate_output_most_tok(run->work, m, &step);
    }
}

// Of one attempt: no retries, and no copies, which are attempts of their own. `window`: whatever is asked, its window full.
static int64_t one_bound(const struct route_run *run, int32_t model, enum image_unit unit,
                         bool window)
{
    struct image_step once = step_of(run);
    struct image_model m = *image_model(run->table->image, model);
    once.retries = once.hedges = 0;
    m.endpoints.count = 1;
    if (window)
        once.kind = IMAGE_STEP_VERIFY; // whose input is its window
    if (unit == IMAGE_UNIT_REQUESTS)
        return 0;
    if (unit == IMAGE_UNIT_UG)
        return estimate_carbon_bound(run->table->image, m.zone,
                                     estimate_bound(run->work, &m, IMAGE_UNIT_UJ, 0, &once));
    return estimate_bound(run->work, &m, unit, 0, &once);
}

static int64_t add(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? ESTIMATE_UNBOUNDED : sum;
}

void after_spend(struct after_spent *spent, const struct route_run *run, int32_t model)
{
    for (int u = 0; u < AFTER_UNITS; u++) {
        if (u == IMAGE_UNIT_MS)
            continue;
        spent->unit[u] = add(spent->unit[u], one_bound(run, model, (enum image_unit)u, false));
        spent->window[u] = add(spent->window[u], one_bound(run, model, (enum image_unit)u, true));
    }
}

bool after_may(struct route_run *run, const struct after_spent *spent, int32_t model)
{
    const struct policy_image *p = run->table->image;
    const struct table_constraints *t = &run->table->constraints;
    const struct image_constraint *c = IMAGE_AT(p, p->constraints, struct image_constraint);
    const struct image_claim *claims = IMAGE_AT(p, p->claims, struct image_claim);
    for (uint32_t i = 0; i < t->count; i++)
        if (table_bit(t->budget, i) && fit_constraint(run, i) != TRI_FALSE &&
            add(spent->unit[c[i].unit], one_bound(run, model, c[i].unit, false)) > c[i].limit)
            return false;
    for (uint32_t i = 0; i < p->claims.count; i++)
        if (claims[i].kind == IMAGE_CLAIM_COSTS && !claims[i].negated &&
            add(spent->window[claims[i].unit], one_bound(run, model, claims[i].unit, true)) >
                claims[i].limit)
            return false;
    return true;
}
