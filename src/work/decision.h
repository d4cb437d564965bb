// The record of one decision: the only place where "why" lives.
//
// route/ fills it in the request's arena; it is serialised once (route/record.h) and never changed afterwards. The
// schema of the JSON form is docs/decision.schema.json; DECISION_SCHEMA is its version.
#ifndef MERIT_WORK_DECISION_H
#define MERIT_WORK_DECISION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "work/budget.h"
#include "work/fact.h"
#include "work/image.h"
#include "work/pool.h"

struct route_table; // route/route.h

enum { DECISION_SCHEMA = 1, DECISION_ID_LEN = 20 };

// What became of a route while deciding.
enum route_verdict {
    ROUTE_NOT_REACHED, // an earlier one matched
    ROUTE_FALSE,       // its guard does not hold; `atom` refuted it
    ROUTE_MATCHED,
    ROUTE_INFEASIBLE, // it matched, but no model could serve it, and it has no else
    ROUTE_BYPASSED,   // the client named a model or an alias of one
};

struct route_outcome {
    enum route_verdict verdict;
    int32_t atom; // the deciding question, or IMAGE_NONE
};

// Why a model is not the one.
enum model_verdict {
    MODEL_CHOSEN,
    MODEL_NOT_CANDIDATE, // the path does not name it
    MODEL_DEARER,        // feasible, another one has the better objective
    MODEL_LATER,         // feasible, another one stands before it in the policy's order
    MODEL_LOWER_QUALITY, // feasible, under `maximise quality`
    MODEL_LACKS,         // it cannot do what the work needs: `missing`
    MODEL_WINDOW,        // input and output do not fit its window
    MODEL_OUTPUT,        // the output asked for is longer than it gives
    MODEL_QUALITY,       // below `where quality >=`
    MODEL_COST,          // above `within`
    MODEL_UNPRICED,      // `within` or `minimise cost` needs a price and it states none
    MODEL_DOWN,          // no endpoint of it is up
    MODEL_NO_KEY,        // its key is missing in the environment or file
    MODEL_FORBIDDEN,     // by `constraint`
    MODEL_OVER_BUDGET,   // the most that it can cost is above `constraint`
    MODEL_UNMETERED,     // `minimise energy` needs an energy and it states none
    MODEL_HUNGRIER,      // feasible, under `minimise energy`
    MODEL_PRICIER, // feasible, another one has the lower total price: shadow prices, waiting or its session tell
    MODEL_BUSY,  // feasible, but no place of it has room
    MODEL_SPENT, // `constraint`, a hard budget over time, does not bear it any more
};

struct model_outcome {
    enum model_verdict verdict;
    uint32_t missing;   // enum work_need bits, for MODEL_LACKS
    uint32_t need_tok;  // for MODEL_WINDOW and MODEL_OUTPUT
    int64_t cost_nusd;  // expected; negative when unknown
    int32_t constraint; // for MODEL_FORBIDDEN, MODEL_OVER_BUDGET and MODEL_SPENT, else IMAGE_NONE
};

// What became of a chain of the route's path.
enum chain_verdict {
    CHAIN_NOT_REACHED,
    CHAIN_TAKEN,
    CHAIN_CANNOT_RUN,  // this build cannot run `step`
    CHAIN_FORBIDDEN,   // `constraint` forbids `step` or its sink
    CHAIN_UNMET,       // `constraint` requires a step that its answer has not passed
    CHAIN_NOT_ALLOWED, // `step` needs an `allow` that does not hold
    CHAIN_NO_MODEL,    // no model can serve `step`
    CHAIN_FAILED,      // it was taken before, and no attempt came to an answer
};

struct chain_outcome {
    enum chain_verdict verdict;
    int32_t step;       // place in the chain, or IMAGE_NONE
    int32_t constraint; // or IMAGE_NONE
};

// What one attempt is expected to take: the value, and an interval that holds it in 80 % of cases. -1: not known.
struct estimate {
    uint32_t input_tok, output_tok;
    uint32_t output_low_tok, output_high_tok; // 80 %
    int64_t cost_nusd, cost_low_nusd, cost_high_nusd;
    int64_t energy_uj, energy_low_uj, energy_high_uj; // average, PUE included: what is accounted
    int64_t marginal_uj; // what one more request adds to a running replica
    int64_t carbon_ug;
    bool carbon_marginal;
};

// The terms of a total price, nano-USD (route/dispatch.h).
enum price_term {
    PRICE_MONEY,
    PRICE_ENERGY,
    PRICE_CARBON,
    PRICE_BUDGETS,
    PRICE_SECONDS,
    PRICE_SLOTS,
    PRICE_SESSION,
    PRICE_OTHER, // adapter, context, KV cache
    PRICE_TERMS
};

// An action with the place that is best for it, in the order of preference.
struct decision_option {
    struct image_binding binding;
    int32_t place;       // of the pool's view, or -1: any of the model's
    uint32_t binding_at; // place of the binding among the step's
    double price_nusd;   // the sum of the terms
    double terms_nusd[PRICE_TERMS];
    struct estimate expect;
};
enum { DECISION_OPTIONS_MAX = 16 };

// The places of a model as the decision saw them: numbers `first` and up. prefix_tok is that of this request's prompt.
struct decision_places {
    int32_t model;
    uint32_t first, count;
    const struct pool_place *rows;
};

// What a binding was expected to take, where lengths were learned: tokens.
struct decision_length {
    uint32_t binding_at;
    uint32_t input_tok, output_tok, low_tok, high_tok;
};

// What was seen besides rows, as in struct pool_view.
struct decision_seen {
    int32_t session_place, session_model; // -1: none
    bool session_locked;
    uint32_t session_tok, deadline_ms;
    uint64_t seed, turn;
    struct slice region;
};

enum decision_by {
    DECISION_BY_ROUTES, // the routes, first match
    DECISION_BY_ALIAS,  // an alias named the route or model
    DECISION_BY_NAME,   // the client named a model, also one that does not exist
};

enum decision_end {
    DECISION_ANSWER,     // `model` with `effort`
    DECISION_REFUSE,     // the path refuses, with `message`
    DECISION_INFEASIBLE, // nothing can serve it: `model_outcomes` say why
    DECISION_NO_MODEL,   // the client asked for a model that the policy does not have
};

struct decision {
    char id[DECISION_ID_LEN + 1];
    uint64_t wall_us;
    const struct policy_image *image;
    uint64_t pool_epoch;
    const uint8_t *pool_states; // enum pool_model_state per model, as they were seen
    uint64_t costs_epoch;       // of the statistics by which signals were bought; 0: guessed costs

    enum decision_by by;
    enum decision_end end;
    int32_t route; // index, or IMAGE_NONE
    int32_t model; // index, or IMAGE_NONE
    enum image_effort effort;
    bool effort_dropped; // the effort that the client asks for is forbidden and left out
    bool took_else;      // another chain than the path's first was taken, or none could
    int32_t chain;       // place among the route's chains, or IMAGE_NONE
    // Chains before this one were taken by decisions before this one, and failed; what their attempts may have taken counts
    // against budgets per request. Per enum image_unit.
    uint32_t first_chain;
    int64_t spent[IMAGE_UNIT_REQUESTS + 1];
    uint32_t attempts_max; // that the step allows; 0: each endpoint once
    uint32_t
        output_cap_tok; // most output of a choice that the upstream is to be told; 0: the request's own
    uint32_t endpoints_closed; // bit per endpoint of `model`: those that a constraint forbids
    bool late; // the deadline passed: what was still asked for has failed with FACT_ERROR_DEADLINE
    bool observed;        // observe-only: decided, not obeyed
    struct slice message; // of a refusal
    struct slice model_asked;

    struct fact *facts; // one per signal of the policy
    // One per route, of a decision that was read from a record; NULL: ask route_outcome (route/route.h), which makes them
    // of what the decision knew.
    struct route_outcome *route_outcomes;
    const struct route_table *table;
    const uint64_t *atoms_known, *atoms_hold; // bit per atom
    struct model_outcome *model_outcomes;     // one per model
    struct chain_outcome
        *chain_outcomes;  // one per chain of `route`; those behind the one taken are not filled
    uint32_t chain_count; // filled
    // Bit per constraint, (constraints + 63) / 64 words: what is known of them and which hold; for DECISION_INFEASIBLE
    // `core` has a few that empty the set together, none of which can be spared.
    const uint64_t *constraints_known, *constraints_hold, *core;
    // Bit per binding of the step that answers (the first of the chain): the feasible set.
    const uint64_t *fits;

    // What was asked of the work, for deciding again from a record.
    uint32_t needs;          // enum work_need bits
    uint32_t max_output_tok; // 0: the client gave none
    uint32_t choices;
    bool streams;
    enum image_effort effort_asked;
    uint32_t expected_tok; // of output, as the caller expected; 0: by rule
    bool all_steps;        // chains that this build cannot run were not passed over

    // What may serve it, best first; [0] is what is chosen. The path goes through them when one fails.
    struct decision_option *options;
    uint32_t option_count;
    int32_t place; // of options[0], as the pool's view numbers them, or -1
    // What the choice rests on besides the policy; empty where nothing was known of places, budgets and lengths, or where there
    // was nothing to choose.
    bool priced;    // chosen by dispatch (route/dispatch.h), else by the objective alone
    bool estimated; // all options have prices and whole estimates, else the first one only
    const struct decision_places *places; // of the feasible models
    uint32_t places_count;
    struct decision_seen seen;
    const struct budget_state *budgets;    // one per constraint; NULL: none bears
    const struct decision_length *lengths; // of the feasible bindings; NULL: by rule
    uint32_t lengths_count;

    uint32_t input_tok;  // estimated
    uint32_t output_tok; // expected
    int64_t cost_nusd;   // expected cost of the choice; negative when unknown
    uint32_t decide_ns;  // time of deciding, signals included
    // What the signals that were not computed would have cost, by the current costs.
    uint32_t avoided_ns;
    uint32_t anchor; // message index, or WORK_NO_ANCHOR
    uint32_t message_count;
};

#endif
