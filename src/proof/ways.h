// The ways that a request can take through a policy, and what can happen on each: which places see its data with which
// label, what is delivered, and what it can cost at most.
//
// A way is an entrance: a route that its guard leads to, an alias that names a route, a model that the client names, a
// path of the API that is passed on. It has chains; each is tried when the one before it cannot be completed. Ways are
// bounded by their form: a walk visits each step of each chain at most once, times its retries and hedges, so it ends.
//
// Pure; memory from the arena; a map is immutable. The image must have passed image_open or come from the compiler.
#ifndef MERIT_PROOF_WAYS_H
#define MERIT_PROOF_WAYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/result.h"
#include "work/image.h"

enum way_kind {
    WAY_ROUTE, // the first route whose guard holds
    WAY_ALIAS, // an alias names the route: no guard is asked
    WAY_MODEL, // the client names the model, itself or by an alias: no guard is asked
    WAY_PASS,  // bytes are passed to a model without a signal that reads them
};

// What has become of a request's label at some place: in each lattice max(low, min(high, label)). Redacting lowers both
// ends to a level, joining what is retrieved raises both.
struct way_label {
    uint8_t low[IMAGE_LATTICES_MAX], high[IMAGE_LATTICES_MAX];
};

struct way_step {
    const struct image_step *is;
    const struct image_binding *bindings; // of `is`, or the one that the client named
    uint32_t binding_count;
    struct way_label label; // of the text that the step sees
    // Per lattice the lowest level that a `redact` before the step has left; UINT8_MAX without one.
    uint8_t redacted[IMAGE_LATTICES_MAX];
};

struct way_chain {
    const struct way_step *steps;
    uint32_t count;
    bool refuses;  // ends with a refusal
    bool delivers; // an answer can come out of it
    bool fails;    // a step of it can fail, so that the next chain is tried
    struct way_label end;
};

struct way {
    enum way_kind kind;
    int32_t route; // IMAGE_NONE for WAY_MODEL and WAY_PASS
    int32_t model; // of WAY_MODEL and WAY_PASS
    int32_t index; // of the alias or pass, else IMAGE_NONE
    const struct way_chain *chains;
    uint32_t count;
};

struct way_list {
    const struct way *at;
    uint32_t count;
};

// All of them: routes in their order, aliases of routes, models, passes. RESULT_NOMEM.
enum result ways_open(const struct policy_image *image, struct arena *arena,
                      struct way_list *out) MERIT_NODISCARD;

// What a place may see, per lattice: a model what its zone clears, a sink what both it and its zone clear.
struct image_clearance way_model_clears(const struct policy_image *image, int32_t model);
struct image_clearance way_sink_clears(const struct policy_image *image, int32_t sink);

// Whether every answer of the chain has passed such a step (`sink` IMAGE_NONE: any): a verification behind its last
// answer, anything else before its first one. A hit of a cache is not looked at: way_hit_passes.
bool way_chain_passes(const struct way_chain *chain, enum image_step_kind step, int32_t sink);
// Whether what the cache of step `at` hands out has passed the step: it stands before it.
bool way_hit_passes(const struct way_chain *chain, uint32_t at, enum image_step_kind step,
                    int32_t sink);

// An amount of one unit, or why there is no bound.
enum way_open {
    WAY_BOUNDED,
    WAY_NO_PRICE,   // `index` is the model
    WAY_NO_ENERGY,  // the model
    WAY_NO_TIMEOUT, // the model
    WAY_NO_WINDOW,  // the model
    WAY_NO_SINK_PRICE,
    WAY_NO_SINK_ENERGY,
    WAY_NO_SINK_TIMEOUT,
    WAY_NO_SINK_CARBON,
    WAY_NO_ADDS,     // the retriever does not say how much it adds
    WAY_NO_CARBON,   // the model's zone does not say how much a joule emits
    WAY_CARBON_FILE, // the zone has it by the hour, which no figure bounds
    WAY_OVERFLOW,    // over 2^63 of the smallest unit
};
struct way_amount {
    int64_t value; // of WAY_BOUNDED: nano-USD, microjoule, microgram, ms, tokens, calls
    enum way_open open;
    int32_t index;
};
// What a path takes; of requests it is always one.
enum { WAY_UNITS = IMAGE_UNIT_CALLS + 1 };
struct way_bound {
    struct way_amount unit[WAY_UNITS];
};

// Which bindings and chains may be used at all; NULL members: every one.
struct way_filter {
    bool (*chain)(void *ctx, const struct way_chain *chain);
    bool (*binding)(void *ctx, const struct way_chain *chain, const struct way_step *step,
                    const struct image_binding *binding);
    void *ctx;
};

// What one answer of this binding can cost at most, attempts and hedges included: input and output fill the model's
// window, the output is at most its limit and the step's cap, for one choice (`n`). Without `retry` each of the model's
// endpoints may be tried once. The least it can cost is one token in and one out, tried once.
struct way_bound way_binding_bound(const struct policy_image *image, const struct image_step *step,
                                   const struct image_binding *binding);
struct way_bound way_binding_least(const struct policy_image *image, const struct image_step *step,
                                   const struct image_binding *binding);
// The same of the sink that a step names.
struct way_bound way_sink_bound(const struct policy_image *image, const struct image_step *step);
// The worst of the bindings of each step, all steps of the chain; and all chains of the way, one after the other.
struct way_bound way_chain_bound(const struct policy_image *image, const struct way_chain *chain,
                                 const struct way_filter *filter);
struct way_bound way_bound(const struct policy_image *image, const struct way *way,
                           const struct way_filter *filter);
// The least that a completed chain costs, without step `except` (UINT32_MAX: all of them).
struct way_bound way_chain_least(const struct policy_image *image, const struct way_chain *chain,
                                 uint32_t except);

// Steps of the longest walk: all chains, with retries and hedges.
uint64_t way_longest(const struct way *way);

// The sum; the first reason stays.
struct way_amount way_add(struct way_amount a, struct way_amount b);
// The greater one; without a bound is greater than any.
struct way_amount way_max(struct way_amount a, struct way_amount b);
// "states no price", ...
const char *way_open_text(enum way_open open);

#endif
