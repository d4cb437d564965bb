// What a path can cost at most, for the requests under a guard.
//
// The bound of a way is a sum over its chains and steps, each with the worst binding that may be used. Which bindings may
// be used together depends on the request. First the sum of all worst ones that may be used at all: it mostly settles the
// matter. Where it is too much, a walk over the steps, dearest binding first, looks for one request that may use a
// combination that is too much; it gives up a branch as soon as no request is left, or as what remains cannot exceed.
#include "base/alloc.h"
#include "proof/theorem_inner.h"

// What a step, or a whole chain, can add: nothing, or this amount where the formula holds.
struct choice {
    uint32_t when;
    struct way_amount amount;
};

struct stage {
    uint32_t choice_at, choice_count; // dearest first
    int64_t most;                     // of what is possible at all
    int64_t rest;                     // of this stage and those behind it
    struct way_amount open;           // of a binding without bound; WAY_BOUNDED when there is none
};

struct walk {
    struct theorem_run *r;
    const struct way *way;
    enum image_unit unit;
    int64_t limit;
    VEC(struct choice) choices;
    VEC(struct stage) stages;
    uint32_t asked; // of THEOREM_WALKS_MAX, while walking
    bool unknown;
    struct theorem_case found;
    int64_t found_sum;
};

static bool possible(struct walk *w, uint32_t when)
{
    if (when == SPACE_FALSE)
        return false;
    enum sat_answer a = theorem_question(w->r, &when, 1);
    w->unknown |= a == SAT_UNKNOWN;
    return a != SAT_NO;
}

static void add_choice(struct walk *w, struct stage *s, uint32_t when, struct way_amount amount)
{
    if (!amount.open && amount.value == 0)
        return;
    if (!possible(w, when))
        return;
    if (!VEC_PUSH(&w->choices, (struct choice){when, amount})) {
        w->r->err = RESULT_NOMEM;
        return;
    }
    // Without a bound is dearest of all.
    uint32_t i = s->choice_at + s->choice_count++;
    struct choice *c = w->choices.at;
    while (i > s->choice_at && !c[i - 1].amount.open &&
           (c[i].amount.open || c[i].amount.value > c[i - 1].amount.value)) {
        struct choice swap = c[i];
        c[i] = c[i - 1];
        c[i - 1] = swap;
        i--;
    }
}

// The bound of one step with one of its bindings, or of its sink.
static struct way_amount step_bound(const struct walk *w, const struct way_chain *chain,
                                    uint32_t step, uint32_t binding)
{
    struct way_chain one = {.steps = &chain->steps[step], .count = 1};
    struct way_step alone = chain->steps[step];
    if (alone.binding_count) {
        alone.bindings += binding;
        alone.binding_count = 1;
        one.steps = &alone;
    }
    return way_chain_bound(w->r->p->image, &one, NULL).unit[w->unit];
}

// Only where no hard budget keeps the sum down.
static uint32_t unkept(struct walk *w, uint32_t when)
{
    const uint32_t all[] = {when, feasible_unkept(w->r->p->feasible, w->unit, w->limit)};
    return space_and(w->r->p->space, all, 2);
}

static void close_stage(struct walk *w, struct stage *s)
{
    if (!s->choice_count)
        return;
    const struct choice *first = &w->choices.at[s->choice_at];
    s->open = first->amount;
    s->most = first->amount.open ? 0 : first->amount.value;
    if (!VEC_PUSH(&w->stages, *s))
        w->r->err = RESULT_NOMEM;
}

// A step that asks one of its bindings is one stage; `fuse` asks all that it may, so each is a stage of its own.
static void stages_of(struct walk *w, uint32_t c, uint32_t i)
{
    struct feasible *f = w->r->p->feasible;
    const struct way_chain *chain = &w->way->chains[c];
    const struct way_step *s = &chain->steps[i];
    bool all = s->is->kind == IMAGE_STEP_FUSE && w->unit != IMAGE_UNIT_MS;
    struct stage st = {.choice_at = (uint32_t)w->choices.len};
    if (!s->binding_count)
        add_choice(w, &st, unkept(w, feasible_tried(f, w->way, c)), step_bound(w, chain, i, 0));
    for (uint32_t b = 0; b < s->binding_count && !w->r->err; b++) {
        add_choice(w, &st, unkept(w, feasible_used(f, w->way, c, i, b)),
                   step_bound(w, chain, i, b));
        if (all) {
            close_stage(w, &st);
            st = (struct stage){.choice_at = (uint32_t)w->choices.len};
        }
    }
    close_stage(w, &st);
}

// Looks for a request under what is chosen so far for which the sum comes to more than the limit.
static bool search(struct walk *w, size_t stage, uint32_t chosen, int64_t sum)
{
    if (sum > w->limit) {
        w->found.count = 0;
        w->found.formulas[w->found.count++] = chosen;
        w->found_sum = sum;
        return theorem_question(w->r, &chosen, 1) == SAT_YES;
    }
    if (stage == w->stages.len || sum + w->stages.at[stage].rest <= w->limit || w->unknown)
        return false;
    const struct stage *s = &w->stages.at[stage];
    for (uint32_t i = 0; i < s->choice_count; i++) {
        const struct choice *c = &w->choices.at[s->choice_at + i];
        uint32_t next = space_and(w->r->p->space, (const uint32_t[]){chosen, c->when}, 2);
        if (w->asked++ >= THEOREM_WALKS_MAX) {
            w->unknown = true;
            return false;
        }
        enum sat_answer a = theorem_question(w->r, &next, 1);
        w->unknown |= a == SAT_UNKNOWN;
        if (a == SAT_YES && search(w, stage + 1, next, sum + c->amount.value))
            return true;
    }
    // Or none of it, though more would be possible: what follows may exceed on its own.
    return search(w, stage + 1, chosen, sum);
}

static void tell(struct walk *w, struct slice why, int64_t sum)
{
    const struct policy_image *p = w->r->p->image;
    struct buf text;
    buf_init(&text, 64 * 1024);
    theorem_way_text(p, w->way, &text);
    BUF_LIT(&text, " can cost ");
    if (why.len) {
        buf_add(&text, why);
    } else {
        theorem_amount_text(w->unit, sum, &text);
        BUF_LIT(&text, ", more than ");
        theorem_amount_text(w->unit, w->limit, &text);
    }
    if (buf_result(&text))
        w->r->err = buf_result(&text);
    else
        theorem_refute(w->r, &w->found, buf_slice(&text));
    buf_deinit(&text);
}

static bool tell_open(struct walk *w)
{
    const struct policy_image *p = w->r->p->image;
    for (size_t i = 0; i < w->stages.len; i++) {
        const struct way_amount *a = &w->stages.at[i].open;
        const struct choice *c = &w->choices.at[w->stages.at[i].choice_at];
        if (!a->open)
            continue;
        w->found.formulas[0] = c->when;
        w->found.count = 1;
        if (theorem_question(w->r, &c->when, 1) != SAT_YES)
            continue;
        bool sink = a->open >= WAY_NO_SINK_PRICE && a->open <= WAY_NO_ADDS;
        struct slice name =
            a->index < 0 ? SLICE("this")
            : sink       ? image_text(p, IMAGE_AT(p, p->sinks, struct image_sink)[a->index].name)
                         : image_text(p, image_model(p, a->index)->name);
        struct slice why = arena_printf(w->r->p->arena, "anything: %.*s %s", SLICE_FMT(name),
                                        way_open_text(a->open));
        if (why.ptr)
            tell(w, why, 0);
        else
            w->r->err = RESULT_NOMEM;
        return true;
    }
    return false;
}

static void way_costs(struct walk *w, const struct way *way)
{
    int64_t rest = 0;
    struct way_amount worst = way_bound(w->r->p->image, way, NULL).unit[w->unit];
    if (!worst.open && worst.value <= w->limit)
        return;
    w->way = way;
    w->choices.len = w->stages.len = 0;
    w->found = (struct theorem_case){
        .way = way, .model = IMAGE_NONE, .sink = IMAGE_NONE, .route = IMAGE_NONE};
    for (uint32_t c = 0; c < way->count; c++)
        for (uint32_t i = 0; i < way->chains[c].count && !w->r->err; i++)
            stages_of(w, c, i);
    if (w->r->err || tell_open(w))
        return;
    for (size_t i = w->stages.len; i-- > 0;) {
        if (__builtin_add_overflow(rest, w->stages.at[i].most, &rest))
            rest = INT64_MAX;
        w->stages.at[i].rest = rest;
    }
    uint32_t enters = unkept(w, feasible_enters(w->r->p->feasible, way));
    if (rest > w->limit && search(w, 0, enters, 0))
        tell(w, SLICE_EMPTY, w->found_sum);
    else if (w->unknown)
        theorem_unproved(w->r);
}

void theorem_costs(struct theorem_run *r)
{
    struct walk w = {.r = r,
                     .unit = r->claim->unit,
                     .limit = r->claim->limit,
                     .choices = {.cap = 1u << 24},
                     .stages = {.cap = 1u << 24}};
    for (uint32_t i = 0; i < r->p->ways.count && !r->err && r->answer->verdict == THEOREM_PROVED;
         i++) {
        const struct way *way = &r->p->ways.at[i];
        if (r->claim->index >= 0 ? way->route == r->claim->index : theorem_speaks_of(r, way))
            way_costs(&w, way);
    }
    VEC_DEINIT(&w.choices);
    VEC_DEINIT(&w.stages);
}
