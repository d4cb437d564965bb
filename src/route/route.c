#include "route/route.h"

#include <assert.h>
#include <string.h>

#include "route/buy.h"
#include "route/derive.h"
#include "route/estimate.h"
#include "route/fit.h"
#include "route/table.h"

static bool text_among(const struct policy_image *p, const struct image_atom *atom,
                       struct slice text)
{
    const struct image_str *texts = IMAGE_AT(p, atom->texts, struct image_str);
    for (uint32_t i = 0; i < atom->texts.count; i++)
        if (slice_eq(image_text(p, texts[i]), text))
            return true;
    return false;
}

static bool number_holds(const struct image_atom *atom, double v)
{
    switch (atom->op) {
    case IMAGE_OP_TRUE:
        return v != 0;
    case IMAGE_OP_EQ:
        return v == atom->number;
    case IMAGE_OP_NE:
        return v != atom->number;
    case IMAGE_OP_LT:
        return v < atom->number;
    case IMAGE_OP_LE:
        return v <= atom->number;
    case IMAGE_OP_GT:
        return v > atom->number;
    case IMAGE_OP_GE:
        return v >= atom->number;
    case IMAGE_OP_IN:
        return v >= 0 && v < 64 && (atom->words >> (unsigned)v & 1);
    case IMAGE_OP_FAILED: // asked of the fact, not of its value
        break;
    }
    return false;
}

bool route_atom_holds(const struct policy_image *image, const struct image_atom *atom,
                      const struct fact *fact)
{
    bool among = false;
    if (atom->op == IMAGE_OP_FAILED)
        return fact->state == FACT_FAILED;
    switch (image_signal(image, atom->signal)->type) {
    case SIGNAL_BOOL:
    case SIGNAL_NUMBER:
    case SIGNAL_ENUM:
        return number_holds(atom, fact->number);
    case SIGNAL_TEXT:
        if (atom->op == IMAGE_OP_TRUE)
            return fact->text.len > 0;
        among = text_among(image, atom, fact->text);
        break;
    case SIGNAL_SET:
        if (atom->op == IMAGE_OP_TRUE)
            return fact->text_count > 0;
        for (uint32_t i = 0; i < fact->text_count && !among; i++)
            among = text_among(image, atom, fact->texts[i]);
        break;
    }
    return atom->op == IMAGE_OP_NE ? !among : among;
}

static uint32_t group_bit(const struct route_run *run, int32_t signal)
{
    return route_groups_paid(run->costs->group[signal], run->length);
}

// Whether the signal has brought its group's artifact. Cheap ones always; a dear one (an encoder's pass) may have been
// spared because a first tier was sure, and then the next signal still has to pay: what it cost tells, and a pass is
// always measured.
static bool paid_for_group(const struct route_run *run, int32_t signal, const struct fact *fact)
{
    enum { DEAR_NS = 100 * 1000 };
    if (fact->share)
        return true;
    uint32_t group_ns = run->costs->group_ns[run->costs->group[signal]][run->length];
    return group_ns < DEAR_NS || fact->cost_ns >= DEAR_NS;
}

static void learn(struct route_run *run, int32_t signal, const struct fact *fact)
{
    const struct route_table *t = run->table;
    for (uint32_t i = t->signal_at[signal]; i < t->signal_at[signal + 1]; i++) {
        uint32_t atom = t->signal_atoms[i];
        uint64_t bit = UINT64_C(1) << (atom % 64);
        run->known[atom / 64] |= bit;
        if (table_atom_holds(t, atom, fact))
            run->value[atom / 64] |= bit;
    }
    if (!t->derived_count)
        return;
    if (t->derived_of[signal] != IMAGE_NONE)
        derive_given(run, signal);
    derive_touch(run, signal);
}

struct fact *route_fact(struct route_run *run, int32_t signal)
{
    assert(signal >= 0 && (uint32_t)signal < run->table->image->signals.count);
    return &run->decision->facts[signal];
}

// Most facts have no evidence, and that is most of them.
static void copy_fact(struct fact *to, const struct fact *from)
{
    enum { HEAD = offsetof(struct fact, evidence), TAIL = offsetof(struct fact, evidence_count) };
    memcpy(to, from, HEAD);
    memcpy((char *)to + TAIL, (const char *)from + TAIL, sizeof *to - TAIL);
    for (uint32_t i = 0; i < from->evidence_count && i < FACT_EVIDENCE_MAX; i++)
        to->evidence[i] = from->evidence[i];
}

static void take_in(struct route_run *run, int32_t signal, const struct fact *fact)
{
    struct fact *at = route_fact(run, signal);
    assert(!run->decided && fact->state != FACT_UNKNOWN);
    if (at != fact)
        copy_fact(at, fact);
    run->taken_in++;
    bool bought = at->state != FACT_GIVEN && at->error != FACT_ERROR_GIVEN;
    if (bought && paid_for_group(run, signal, at))
        run->groups_paid |= group_bit(run, signal);
    learn(run, signal, at);
}

void route_feed(struct route_run *run, int32_t signal, const struct fact *fact)
{
    take_in(run, signal, fact);
    derive_refresh(run);
    route_fact(run, signal)->step = fact->state == FACT_GIVEN ? 0 : run->bought;
    if (signal == run->asked)
        run->asked = IMAGE_NONE;
}

void route_failed_fact(const struct policy_image *image, int32_t signal, enum fact_error why,
                       struct fact *out)
{
    const struct image_signal *s = image_signal(image, signal);
    *out = (struct fact){.state = FACT_FAILED, .error = why, .number = s->error_number};
    if (s->derive == IMAGE_DERIVE_LABEL)
        out->number = s->error_level;
    if (s->derive == IMAGE_DERIVE_EXCLUSIVE)
        out->number = s->otherwise;
    out->text = image_text(image, s->error_text);
}

void route_fail(struct route_run *run, int32_t signal, enum fact_error why)
{
    struct fact *f = route_fact(run, signal);
    route_failed_fact(run->table->image, signal, why, f);
    if (image_signal(run->table->image, signal)->type == SIGNAL_SET && f->text.len) {
        f->texts = &f->text;
        f->text_count = 1;
    }
    route_feed(run, signal, f);
}

// Which question refuted a route is asked again when somebody wants to know, of all that was known in the end: so a replay,
// which knows it from the start, names the same.
struct route_outcome route_outcome(const struct decision *d, uint32_t route)
{
    struct route_outcome o = {ROUTE_NOT_REACHED, IMAGE_NONE};
    if (d->route_outcomes)
        return d->route_outcomes[route];
    if ((int32_t)route == d->route)
        o.verdict = d->end == DECISION_INFEASIBLE ? ROUTE_INFEASIBLE : ROUTE_MATCHED;
    else if (d->by != DECISION_BY_ROUTES)
        o.verdict = ROUTE_BYPASSED;
    else if (d->route == IMAGE_NONE || (int32_t)route < d->route) {
        o.verdict = ROUTE_FALSE;
        table_eval(d->table, d->table->guard_at[route], d->atoms_known, d->atoms_hold, &o.atom);
    }
    return o;
}

// Estimates for all models: the choice needs them for some, and the record shows them for all.
static void estimate(struct route_run *run)
{
    const struct policy_image *p = run->table->image;
    struct decision *d = run->decision;
    for (uint32_t i = 0; i < p->models.count; i++) {
        const struct image_model *m = image_model(p, (int32_t)i);
        d->model_outcomes[i] = (struct model_outcome){
            .verdict = MODEL_NOT_CANDIDATE,
            .constraint = IMAGE_NONE,
            .cost_nusd = estimate_cost_nusd(m, run->work->input_tok, 0,
                                            estimate_output_tok(run->work, m, run->output_tok)),
        };
    }
}

static void finish(struct route_run *run)
{
    const struct policy_image *p = run->table->image;
    const struct route_costs *c = run->costs;
    struct decision *d = run->decision;
    const struct image_model *m = d->model >= 0 ? image_model(p, d->model) : NULL;
    d->output_tok =
        d->end == DECISION_REFUSE ? 0 : estimate_output_tok(run->work, m, run->output_tok);
    d->cost_nusd = m ? d->model_outcomes[d->model].cost_nusd : d->end == DECISION_REFUSE ? 0 : -1;
    if (d->end == DECISION_ANSWER && (d->priced || d->lengths_count)) {
        d->output_tok = d->options[0].expect.output_tok;
        d->cost_nusd = d->options[0].expect.cost_nusd;
    }
    uint64_t avoided = 0;
    uint32_t groups = run->groups_paid;
    for (uint32_t i = 0; run->taken_in < p->signals.count && i < p->signals.count; i++) {
        if (d->facts[i].state != FACT_UNKNOWN)
            continue;
        avoided += route_price_ns(c, run->length, groups, (int32_t)i);
        groups |= group_bit(run, (int32_t)i);
    }
    d->avoided_ns = avoided > UINT32_MAX ? UINT32_MAX : (uint32_t)avoided;
    run->decided = true;
}

// Bytes of the message that most signals read.
static uint64_t anchor_bytes(const struct work *w)
{
    uint64_t sum = 0;
    if (w->anchor == WORK_NO_ANCHOR || w->anchor >= w->message_count)
        return 0;
    const struct work_message *m = &w->messages[w->anchor];
    for (uint32_t i = 0; i < m->part_count; i++)
        sum += w->parts[m->part_first + i].text.len;
    return sum;
}

// Once more over what was tried, now that all is known that will be: so a replay, which knows it from the start, tells the
// same of it.
static void tell(struct route_run *run, uint32_t chains)
{
    struct decision *d = run->decision;
    struct fit_ask ask;
    estimate(run);
    for (uint32_t i = 0; i < chains; i++) {
        struct chain_outcome *o = &d->chain_outcomes[i];
        *o = (struct chain_outcome){CHAIN_FAILED, IMAGE_NONE, IMAGE_NONE};
        if (i < d->first_chain)
            continue;
        fit_ask_of(run, i, &ask);
        fit_chain(run, &ask, o);
    }
    d->chain_count = chains;
}

// Every chain before run->next_chain is out, and that one, if there is one, is to be taken.
static void settle(struct route_run *run)
{
    struct decision *d = run->decision;
    struct fit_ask ask;
    uint32_t chain = run->next_chain, count = fit_chains(run);
    bool found = chain < count;
    for (uint32_t i = 0; i < run->table->constraints.count; i++)
        fit_constraint(run, i);
    if (!found && run->table->constraints.count)
        fit_core(run, run->core);
    if (chain > 0 || run->table->endpoints_forbidden || run->asked_effort ||
        (!found && run->table->constraints.count))
        tell(run, found ? chain + 1 : count);
    if (d->route >= 0) {
        d->took_else = chain > 0 && count > 1;
    }
    if (found) {
        d->chain = d->route >= 0 ? (int32_t)chain : IMAGE_NONE;
        fit_ask_of(run, chain, &ask);
        fit_choose(run, &ask);
    } else {
        d->end = DECISION_INFEASIBLE;
        d->model = IMAGE_NONE;
    }
    finish(run);
}

// What is to be done is known; whether it may be comes next.
static void matched(struct route_run *run, int32_t route)
{
    run->decision->route = route;
    run->matched = true;
    estimate(run);
}

// What the client asked for by name.
static void aim(struct route_run *run)
{
    const struct policy_image *p = run->table->image;
    struct decision *d = run->decision;
    struct slice asked = d->model_asked;
    if (!asked.len)
        return;
    const struct image_alias *alias = image_find_alias(p, asked);
    int32_t model = alias ? IMAGE_NONE : image_find_model(p, asked);
    if (alias) {
        if (alias->target == IMAGE_TARGET_ROUTES)
            return;
        d->by = DECISION_BY_ALIAS;
    } else if (model == IMAGE_NONE && slice_eq(asked, SLICE("auto"))) {
        return;
    } else {
        d->by = DECISION_BY_NAME;
    }
    if (alias && alias->target == IMAGE_TARGET_ROUTE) {
        matched(run, alias->index);
    } else if (alias || model != IMAGE_NONE) {
        run->named = (struct image_binding){alias ? alias->index : model, IMAGE_EFFORT_DEFAULT};
        matched(run, IMAGE_NONE);
    } else {
        estimate(run);
        d->end = DECISION_NO_MODEL;
        finish(run);
    }
}

// Room for `count` objects behind what was given out so far; the first time over, without memory, only sizes are summed.
static void *piece(char *block, size_t *used, size_t count, size_t size)
{
    size_t at = (*used + 7) & ~(size_t)7;
    *used = at + count * size;
    return block ? block + at : NULL;
}

static size_t lay_out(struct route_run *run, char *block, struct decision **out)
{
    const struct route_table *t = run->table;
    const struct policy_image *p = t->image;
    const size_t word = sizeof(uint64_t), c = t->constraints.words;
    struct decision scratch, *d;
    size_t used = 0;
    *out = piece(block, &used, 1, sizeof *d);
    d = block ? *out : &scratch;
    run->known = piece(block, &used, t->words, word);
    run->value = piece(block, &used, t->words, word);
    run->fits = piece(block, &used, (t->bindings_max + 63) / 64, word);
    run->constraints_known = piece(block, &used, c, word);
    run->constraints_hold = piece(block, &used, c, word);
    run->core = piece(block, &used, c, word);
    run->dirty = piece(block, &used, (t->derived_count + 63) / 64, word);
    // Up to here it is cleared.
    run->cleared = used;
    run->open = piece(block, &used, c, word);
    run->spare = piece(block, &used, c, word);
    run->seen = piece(block, &used, derive_seen_words(t), word);
    run->derived = piece(block, &used, t->derived_count, sizeof *run->derived);
    d->facts = piece(block, &used, p->signals.count, sizeof *d->facts);
    d->model_outcomes = piece(block, &used, p->models.count, sizeof *d->model_outcomes);
    run->states = piece(block, &used, p->models.count, 1);
    d->chain_outcomes = piece(block, &used, t->chains_max, sizeof *d->chain_outcomes);
    uint32_t most = t->bindings_max < DECISION_OPTIONS_MAX ? t->bindings_max : DECISION_OPTIONS_MAX;
    run->options = piece(block, &used, most, sizeof *run->options);
    if (!run->rows_room && !run->budgets && !run->lengths && !run->expected)
        return used;
    run->places = piece(block, &used, run->rows_room ? p->models.count : 0, sizeof *run->places);
    run->rows = piece(block, &used, run->rows_room, sizeof *run->rows);
    run->kept_first =
        piece(block, &used, run->rows_room ? p->models.count + 1 : 0, sizeof(uint32_t));
    run->kept_end = piece(block, &used, run->rows_room ? p->models.count : 0, sizeof(uint32_t));
    run->budgets_seen =
        piece(block, &used, run->budgets ? p->constraints.count : 0, sizeof *run->budgets_seen);
    run->lengths_seen = piece(block, &used, run->lengths || run->expected ? t->bindings_max : 0,
                              sizeof *run->lengths_seen);
    return used;
}

// Rows that a decision may have to keep.
static uint32_t rows_of(const struct pool_view *pool, uint32_t models)
{
    uint64_t sum = 0;
    if (!pool || !pool->places)
        return 0;
    for (uint32_t m = 0; m < pool->count && m < models; m++)
        sum += (pool->end ? pool->end[m] : pool->first[m + 1]) - pool->first[m];
    return sum < POOL_PLACES_MAX ? (uint32_t)sum : POOL_PLACES_MAX;
}

// One block for the decision and all it points to.
static struct decision *decision_alloc(struct route_run *run, struct arena *arena)
{
    const struct policy_image *p = run->table->image;
    struct decision *d;
    char *block = arena_alloc(arena, lay_out(run, NULL, &d));
    if (!block)
        return NULL;
    memset(block, 0, run->cleared);
    lay_out(run, block, &d);
    d->constraints_known = run->constraints_known;
    d->constraints_hold = run->constraints_hold;
    d->core = run->core;
    d->fits = run->fits;
    d->table = run->table;
    d->atoms_known = run->known;
    d->atoms_hold = run->value;
    d->pool_states = run->states;
    // A fact that nobody asked for has a state and nothing else: clearing all of them would cost more than deciding.
    for (uint32_t i = 0; i < p->signals.count; i++)
        d->facts[i].state = FACT_UNKNOWN;
    return d;
}

static void see_pool(struct route_run *run, const struct pool_view *pool)
{
    uint32_t seen = pool && pool->states ? pool->count : 0, all = run->table->image->models.count;
    seen = seen < all ? seen : all;
    if (seen)
        memcpy(run->states, pool->states, seen);
    memset(run->states + seen, POOL_MODEL_UP, all - seen);
}

// Budgets over time as they are now, for the record. What is overdrawn has nothing left.
static void keep_budgets(struct route_run *run)
{
    const struct budget_view *b = run->budgets;
    const struct table_constraints *t = &run->table->constraints;
    for (uint32_t i = 0; b && i < t->count; i++) {
        bool over = i < b->count && table_bit(t->over, i);
        run->budgets_seen[i] = over ? b->states[i] : (struct budget_state){.open = true};
        if (run->budgets_seen[i].left < 0)
            run->budgets_seen[i].left = 0;
    }
    run->decision->budgets = b ? run->budgets_seen : NULL;
}

// What is given from the start. A derived signal that was computed is computed again.
static void take_given(struct route_run *run, const struct fact *given)
{
    const struct route_table *t = run->table;
    for (uint32_t i = 0; given && i < t->image->signals.count; i++)
        if (given[i].state != FACT_UNKNOWN &&
            (given[i].state != FACT_KNOWN || t->derived_of[i] == IMAGE_NONE))
            take_in(run, (int32_t)i, &given[i]);
    derive_refresh(run);
}

static const struct route_options no_options = {.given = NULL};

enum result route_begin(struct route_run *run, const struct route_table *table,
                        const struct work *work, const struct pool_view *pool,
                        const struct route_options *options, struct arena *arena)
{
    if (!options)
        options = &no_options;
    *run = (struct route_run){
        .table = table,
        .work = work,
        .costs = options->costs ? options->costs : table->costs,
        .output_tok = options->output_tok,
        .all_steps = options->all_steps,
        .estimates = options->estimates,
        .pool = pool,
        .budgets = options->budgets && options->budgets->states ? options->budgets : NULL,
        .lengths = options->lengths,
        .expected = options->expected,
        .expected_count = options->expected_count,
        .rows_room = rows_of(pool, table->image->models.count),
        .asked_effort = options->effort,
        .length = route_length_class(anchor_bytes(work)),
        .asked = IMAGE_NONE,
    };
    struct decision *d = run->decision = decision_alloc(run, arena);
    if (!d)
        return RESULT_NOMEM;
    d->image = table->image;
    d->pool_epoch = pool ? pool->epoch : 0;
    see_pool(run, pool);
    d->costs_epoch = run->costs->epoch;
    d->by = DECISION_BY_ROUTES;
    d->route = d->model = d->chain = d->place = IMAGE_NONE;
    d->seen.session_place = d->seen.session_model = IMAGE_NONE;
    d->observed = options->observe;
    d->model_asked = options->model.len ? options->model : work->model_asked;
    d->needs = work->needs;
    d->max_output_tok = work->max_output_tok;
    d->choices = work->choices;
    d->streams = work->stream;
    d->effort_asked = options->effort;
    d->expected_tok = options->output_tok;
    d->all_steps = options->all_steps;
    run->next_chain = d->first_chain = options->first_chain;
    if (options->spent)
        memcpy(d->spent, options->spent, sizeof d->spent);
    d->input_tok = work->input_tok;
    d->anchor = work->anchor;
    d->message_count = work->message_count;
    keep_budgets(run);
    derive_begin(run);
    take_given(run, options->given);
    aim(run);
    return RESULT_OK;
}

// Goes on as far as what is known reaches. The open guards are run->node, or those of the constraints in run->open.
enum open { OPEN_NOTHING, OPEN_ROUTE, OPEN_CONSTRAINTS };

static enum open advance_routes(struct route_run *run)
{
    if (run->matched)
        return OPEN_NOTHING;
    enum tri v = table_first(run->table, run->known, run->value, &run->next_route);
    if (v == TRI_TRUE)
        matched(run, (int32_t)run->next_route);
    return v == TRI_UNKNOWN ? OPEN_ROUTE : OPEN_NOTHING;
}

static enum open advance_chains(struct route_run *run)
{
    struct decision *d = run->decision;
    struct fit_ask ask;
    for (; run->next_chain < fit_chains(run); run->next_chain++) {
        fit_ask_of(run, run->next_chain, &ask);
        enum tri v = fit_chain(run, &ask, &d->chain_outcomes[run->next_chain]);
        if (v == TRI_UNKNOWN)
            return OPEN_CONSTRAINTS;
        if (v == TRI_FALSE)
            continue;
        d->chain_count = run->next_chain + 1;
        if (d->budgets && !fit_refuses(&ask) && fit_budgets(run) == TRI_UNKNOWN)
            return OPEN_CONSTRAINTS;
        if (!run->table->endpoints_forbidden && !run->asked_effort)
            break;
        if (fit_places(run, &ask) == TRI_UNKNOWN)
            return OPEN_CONSTRAINTS;
        fit_choose(run, &ask);
        if (d->end == DECISION_ANSWER &&
            (fit_endpoints(run, d->model, &d->endpoints_closed) == TRI_UNKNOWN ||
             fit_asked_effort(run, &d->effort_dropped) == TRI_UNKNOWN))
            return OPEN_CONSTRAINTS;
        break;
    }
    return OPEN_NOTHING;
}

static struct buy_view view_of(struct route_run *run)
{
    return (struct buy_view){run->table,       run->costs,  run->known, run->value,
                             run->groups_paid, run->length, run};
}

// The first guards that are open: of constraints where those are what is asked, else of routes.
static uint32_t open_guards(struct route_run *run, uint32_t nodes[ROUTE_BESIDE_ROUTES])
{
    const struct route_table *t = run->table;
    uint32_t count = 0;
    int32_t why;
    for (uint32_t i = 0; run->matched && i < t->constraints.count && count < ROUTE_BESIDE_ROUTES;
         i++)
        if (table_bit(run->open, i))
            nodes[count++] = t->constraints.guard_at[i];
    for (uint32_t i = run->next_route;
         !run->matched && i < t->image->routes.count && count < ROUTE_BESIDE_ROUTES; i++) {
        enum tri v = table_eval(t, t->guard_at[i], run->known, run->value, &why);
        if (v == TRI_TRUE)
            break;
        if (v == TRI_UNKNOWN)
            nodes[count++] = t->guard_at[i];
    }
    return count;
}

uint32_t route_beside(struct route_run *run, int32_t signal, int32_t out[ROUTE_BESIDE_MAX])
{
    const struct buy_view view = view_of(run);
    uint32_t nodes[ROUTE_BESIDE_ROUTES], count = open_guards(run, nodes);
    return buy_beside(&view, signal, nodes, count, out, ROUTE_BESIDE_MAX);
}

enum route_status route_step(struct route_run *run, int32_t *signal)
{
    const struct route_table *t = run->table;
    if (run->decided)
        return ROUTE_DECIDED;
    enum open open = advance_routes(run);
    if (!open && run->matched)
        open = advance_chains(run);
    if (open) {
        const struct buy_view view = view_of(run);
        *signal = open == OPEN_ROUTE
                      ? buy_next(&view, t->guard_at[run->next_route])
                      : buy_among(&view, t->constraints.guard_at, run->open, t->constraints.words);
        assert(*signal != IMAGE_NONE);
        // What is fed while this one is asked for belongs to the same step.
        if (run->asked != *signal)
            run->bought++;
        run->asked = *signal;
        return ROUTE_NEED;
    }
    if (run->matched) {
        settle(run);
    } else {
        // A policy ends with `otherwise`, so this is an image that was not compiled by Merit: refuse to guess.
        estimate(run);
        run->decision->end = DECISION_INFEASIBLE;
        finish(run);
    }
    return ROUTE_DECIDED;
}
