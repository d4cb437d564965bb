// What each of the two policies allows: a thing (a model may answer, a place may see a level) and for which requests.
#include <string.h>

#include "proof/describe.h"
#include "proof/diff_inner.h"

static bool is_answer(const struct way_step *s)
{
    return s->is->kind == IMAGE_STEP_ANSWER || s->is->kind == IMAGE_STEP_FUSE;
}

static bool passes(const struct way_chain *c, enum image_step_kind step)
{
    if (!way_chain_passes(c, step, IMAGE_NONE))
        return false;
    for (uint32_t i = 0; i < c->count; i++)
        if (c->steps[i].is->kind == IMAGE_STEP_CACHE && !way_hit_passes(c, i, step, IMAGE_NONE))
            return false;
    return true;
}

// Requests for which the model with this effort may be asked for an answer, by routes, aliases or its name; of chains
// only that miss `without` (IMAGE_STEP_KIND_COUNT_: of all).
static uint32_t may_answer(struct diff *d, const struct diff_side *side, int32_t model,
                           enum image_effort effort, enum image_step_kind without)
{
    uint32_t any = SPACE_FALSE;
    struct feasible *f = side->prover.feasible;
    for (uint32_t w = 0; w < side->prover.ways.count; w++) {
        const struct way *way = &side->prover.ways.at[w];
        for (uint32_t c = 0; way->kind != WAY_PASS && c < way->count; c++) {
            const struct way_chain *chain = &way->chains[c];
            if (without != IMAGE_STEP_KIND_COUNT_ && (!chain->delivers || passes(chain, without)))
                continue;
            for (uint32_t i = 0; i < chain->count; i++)
                for (uint32_t b = 0; b < chain->steps[i].binding_count; b++)
                    if (is_answer(&chain->steps[i]) && chain->steps[i].bindings[b].model == model &&
                        chain->steps[i].bindings[b].effort == effort)
                        any = diff_or2(d, any, feasible_used(f, way, c, i, b));
        }
    }
    return any;
}

// Requests of which the place sees something of at least this level.
static uint32_t sees(struct diff *d, struct diff_side *side, enum image_target target,
                     int32_t index, int32_t lattice, uint32_t level)
{
    const struct image_claim claim = {.kind = IMAGE_CLAIM_REACHES,
                                      .negated = true,
                                      .target = target,
                                      .index = index,
                                      .lattice = lattice,
                                      .level = level};
    struct theorem_run r = {.p = &side->prover, .claim = &claim, .cases = {.cap = 1u << 24}};
    uint32_t any = SPACE_FALSE;
    for (uint32_t w = 0; w < side->prover.ways.count && !r.err; w++)
        theorem_shows(&r, &side->prover.ways.at[w]);
    for (size_t i = 0; i < r.cases.len; i++)
        any = diff_or2(d, any, space_and(d->space, r.cases.at[i].formulas, r.cases.at[i].count));
    if (r.err)
        d->err = r.err;
    VEC_DEINIT(&r.cases);
    return any;
}

// What has been told of the thing that is compared: what follows from it is not told again.
struct telling {
    bool gained, lost;
};

static void told(struct diff *d, bool gained, const struct buf *text, const uint32_t *claims,
                 struct telling *t)
{
    struct diff_power p = {.gained = gained};
    bool *here = gained ? &t->gained : &t->lost, again = *here;
    *(gained ? &d->gained : &d->lost) = true;
    *here = true;
    if (again)
        return;
    if (d->powers.len == DIFF_POWERS_MAX) {
        d->more++;
        return;
    }
    p.text = diff_keep(d, text);
    p.witness = diff_witness(d, gained ? NEW : OLD, claims, 2);
    if (!VEC_PUSH(&d->powers, p))
        d->err = RESULT_NOMEM;
}

// Whether one allows the thing for a request for which the other does not.
static void compare(struct diff *d, uint32_t old, uint32_t new, const struct buf *text,
                    struct telling *t)
{
    for (unsigned gained = 0; gained < 2; gained++) {
        const uint32_t claims[] = {gained ? new : old, space_not(gained ? old : new)};
        // A request whose signals were all computed shows it better than one where something failed.
        enum sat_answer a = space_ask(d->space, claims, 2, 0);
        if (a != SAT_YES)
            a = space_ask(d->space, claims, 2, SPACE_FAILURES);
        if (a == SAT_YES)
            told(d, gained, text, claims, t);
        d->open_powers |= a == SAT_UNKNOWN;
        d->open += a == SAT_UNKNOWN;
    }
}

static struct slice model_name(const struct policy_image *p, int32_t i)
{
    return image_text(p, image_model(p, i)->name);
}

// Whether any binding of the policy, or its name, uses the model with this effort.
static bool uses(const struct policy_image *p, int32_t model, enum image_effort effort)
{
    const struct image_binding *b = IMAGE_AT(p, p->bindings, struct image_binding);
    if (model == IMAGE_NONE)
        return false;
    for (uint32_t i = 0; i < p->bindings.count; i++)
        if (b[i].model == model && b[i].effort == effort)
            return true;
    return effort == IMAGE_EFFORT_DEFAULT;
}

// Answers without a step are told of steps that one of the two requires, and of verifications and redactions where one
// of the two has any.
static bool wanted_step(const struct diff *d, enum image_step_kind step)
{
    for (unsigned i = 0; i < 2 && (step == IMAGE_STEP_VERIFY || step == IMAGE_STEP_REDACT); i++) {
        const struct policy_image *p = d->side[i].image;
        const struct image_step *s = IMAGE_AT(p, p->steps, struct image_step);
        for (uint32_t k = 0; k < p->steps.count; k++)
            if (s[k].kind == step)
                return true;
    }
    for (unsigned i = 0; i < 2; i++) {
        const struct policy_image *p = d->side[i].image;
        const struct image_constraint *c = IMAGE_AT(p, p->constraints, struct image_constraint);
        for (uint32_t k = 0; k < p->constraints.count; k++)
            if (c[k].kind == IMAGE_REQUIRE && c[k].step == step)
                return true;
    }
    return false;
}

static void compare_model(struct diff *d, const int32_t model[2], struct buf *text)
{
    struct slice name = model[OLD] >= 0 ? model_name(d->side[OLD].image, model[OLD])
                                        : model_name(d->side[NEW].image, model[NEW]);
    for (int e = 0; e < IMAGE_EFFORT_COUNT_; e++) {
        enum image_effort effort = (enum image_effort)e;
        struct telling t = {false, false};
        for (int step = IMAGE_STEP_KIND_COUNT_; step >= 0; step--) {
            uint32_t f[2];
            bool used = false;
            if (step != IMAGE_STEP_KIND_COUNT_ && !wanted_step(d, (enum image_step_kind)step))
                continue;
            for (unsigned i = 0; i < 2; i++) {
                bool own = uses(d->side[i].image, model[i], effort);
                used |= own;
                f[i] =
                    own ? may_answer(d, &d->side[i], model[i], effort, (enum image_step_kind)step)
                        : SPACE_FALSE;
            }
            if (!used)
                continue;
            buf_reset(text);
            buf_printf(text, "%.*s%s%s may answer", SLICE_FMT(name), e ? " " : "",
                       e ? image_effort_name(effort) : "");
            if (step != IMAGE_STEP_KIND_COUNT_)
                buf_printf(text, " without `%s`", describe_step((enum image_step_kind)step));
            compare(d, f[OLD], f[NEW], text, &t);
        }
    }
}

// The level of this name in the policy's lattices.
static bool find_level(const struct policy_image *p, struct slice name, int32_t *lattice,
                       uint32_t *level)
{
    const struct image_lattice *l = IMAGE_AT(p, p->lattices, struct image_lattice);
    for (uint32_t i = 0; i < p->lattices.count; i++) {
        const struct image_str *levels = IMAGE_AT(p, l[i].levels, struct image_str);
        for (uint32_t k = 0; k < l[i].levels.count; k++)
            if (slice_eq(image_text(p, levels[k]), name)) {
                *lattice = (int32_t)i;
                *level = k;
                return true;
            }
    }
    return false;
}

static void compare_place(struct diff *d, enum image_target target, const int32_t index[2],
                          struct slice place, struct buf *text)
{
    for (unsigned from = 0; from < 2; from++) {
        const struct policy_image *p = d->side[from].image;
        const struct image_lattice *l = IMAGE_AT(p, p->lattices, struct image_lattice);
        for (uint32_t i = 0; i < p->lattices.count; i++) {
            struct telling t = {false, false};
            for (uint32_t k = l[i].levels.count; k-- > 1;) {
                struct slice level = image_text(p, IMAGE_AT(p, l[i].levels, struct image_str)[k]);
                uint32_t f[2], other;
                int32_t lattice;
                // Levels of both are compared once.
                if (from == NEW && find_level(d->side[OLD].image, level, &lattice, &other))
                    continue;
                for (unsigned s = 0; s < 2; s++) {
                    f[s] = SPACE_FALSE;
                    if (index[s] >= 0 && find_level(d->side[s].image, level, &lattice, &other))
                        f[s] = sees(d, &d->side[s], target, index[s], lattice, other);
                }
                buf_reset(text);
                buf_printf(text, "%.*s may see %.*s", SLICE_FMT(place), SLICE_FMT(level));
                compare(d, f[OLD], f[NEW], text, &t);
            }
        }
    }
}

// Whether some way of one of the two could cost more.
static bool could_cost(const struct diff *d, enum image_unit unit, int64_t limit)
{
    for (unsigned i = 0; i < 2; i++)
        for (uint32_t w = 0; w < d->side[i].prover.ways.count; w++) {
            struct way_amount a =
                way_bound(d->side[i].image, &d->side[i].prover.ways.at[w], NULL).unit[unit];
            if (a.open || a.value > limit)
                return true;
        }
    return false;
}

bool diff_budget(const struct diff *d, unsigned side, uint32_t i, enum image_unit *unit,
                 int64_t *limit)
{
    const struct policy_image *p = d->side[side].image;
    const struct image_constraint *c = IMAGE_AT(p, p->constraints, struct image_constraint) + i;
    if (c->kind != IMAGE_BUDGET || !c->hard || c->window != IMAGE_PER_REQUEST)
        return false;
    *unit = c->unit;
    *limit = c->limit;
    return could_cost(d, c->unit, c->limit);
}

// A hard budget per request takes away what could cost more.
static void compare_budgets(struct diff *d, struct buf *text)
{
    for (unsigned side = 0; side < 2; side++)
        for (uint32_t i = 0; i < d->side[side].image->constraints.count && !d->err; i++) {
            enum image_unit unit;
            int64_t limit;
            struct telling t = {false, false};
            if (!diff_budget(d, side, i, &unit, &limit))
                continue;
            buf_reset(text);
            BUF_LIT(text, "a request may cost more than ");
            describe_amount(unit, limit, text);
            compare(d, feasible_unkept(d->side[OLD].prover.feasible, unit, limit),
                    feasible_unkept(d->side[NEW].prover.feasible, unit, limit), text, &t);
        }
}

static int32_t find_sink(const struct policy_image *p, struct slice name)
{
    const struct image_sink *s = IMAGE_AT(p, p->sinks, struct image_sink);
    for (uint32_t i = 0; i < p->sinks.count; i++)
        if (slice_eq(image_text(p, s[i].name), name))
            return (int32_t)i;
    return IMAGE_NONE;
}

void diff_allows(struct diff *d)
{
    struct buf text;
    buf_init(&text, 1024 * 1024);
    for (unsigned from = 0; from < 2; from++) {
        const struct policy_image *p = d->side[from].image, *q = d->side[!from].image;
        for (uint32_t m = 0; m < p->models.count && !d->err; m++) {
            int32_t index[2], other = image_find_model(q, model_name(p, (int32_t)m));
            if (from == NEW && other >= 0)
                continue;
            index[from] = (int32_t)m;
            index[!from] = other;
            compare_model(d, index, &text);
            compare_place(d, IMAGE_FORBID_MODEL, index, model_name(p, (int32_t)m), &text);
        }
        for (uint32_t k = 0; k < p->sinks.count && !d->err; k++) {
            struct slice name = image_text(p, IMAGE_AT(p, p->sinks, struct image_sink)[k].name);
            int32_t index[2], other = find_sink(q, name);
            if (from == NEW && other >= 0)
                continue;
            index[from] = (int32_t)k;
            index[!from] = other;
            compare_place(d, IMAGE_FORBID_SINK, index, name, &text);
        }
    }
    compare_budgets(d, &text);
    buf_deinit(&text);
}
