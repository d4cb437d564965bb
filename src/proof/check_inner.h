// Inside of the check: what its passes share. For proof/ only.
#ifndef MERIT_PROOF_CHECK_INNER_H
#define MERIT_PROOF_CHECK_INNER_H

#include "proof/check.h"
#include "proof/feasible.h"
#include "proof/space.h"
#include "work/image_layout.h"

enum { PROOF_TEXT_MAX = 400 }; // bytes of a made-up text in a message

struct proof {
    const struct policy_image *image;
    const struct proof_options *options;
    struct arena *arena;
    struct diag_list *diags;
    struct proof_report *report;
    struct space *space;
    struct feasible *feasible;
    struct way_list ways;
    bool *assume_used; // per assume
    bool *obliged;     // per way: an obligation was found missing
    bool *barred; // per way: an extra is not allowed, or nothing bounds what a hard budget covers
    bool gave_up; // the space or the formulas failed, and that was told
    enum result err;
};

// A finding about `name` (of a route, constraint, place), which an `assume` may name.
struct diag *proof_finding(struct proof *p, enum diag_severity severity, const char *code,
                           struct slice name, struct span span, const char *fmt, ...)
    MERIT_PRINTF(6, 7);
// The finding `not-proved` about `what`.
void proof_unknown(struct proof *p, struct slice name, struct span span, const char *what);
// SAT_YES: with the request of the last question as the witness of `d`.
void proof_witness(struct proof *p, struct diag *d, const uint32_t *claims, uint32_t count);

struct span proof_span(const struct proof *p, enum image_section s, uint32_t i);
static inline struct span proof_route_span(const struct proof *p, int32_t route)
{
    return route >= 0 ? proof_span(p, IMAGE_ROUTES, (uint32_t)route) : (struct span){0, 0};
}
struct slice proof_constraint_name(const struct proof *p, uint32_t constraint);
// "by route `quick`, else", "when the client names it": static words or in the arena.
struct slice proof_way_text(struct proof *p, const struct way *way, uint32_t chain);
// "model `frontier` in zone `cloud`", "judge `x`".
struct slice proof_model_text(struct proof *p, int32_t model);
struct slice proof_sink_text(struct proof *p, int32_t sink);
struct slice proof_level_name(const struct proof *p, int32_t lattice, uint32_t level);
// Some request whose signals could all be computed may take the way, as far as the order of routes goes.
bool proof_alive(const struct proof *p, const struct way *way);
// A signal of the policy sends text to be embedded.
bool proof_signals_embed(const struct proof *p);
const char *proof_step_word(enum image_step_kind kind);

// The passes, in the order in which they run.
void proof_order(struct proof *p);       // those of proof/order.h
void proof_overlaps(struct proof *p);    // its notes: last, as nothing hangs on them
void proof_flow(struct proof *p);        // leak, on-error, trusted
void proof_obligations(struct proof *p); // obligation
void proof_extras(struct proof *p);      // not-allowed
void proof_infeasible(struct proof *p);  // infeasible, dead-chain
void proof_bounds(struct proof *p);      // unbounded
void proof_unused(struct proof *p);      // unused-*, vacuous, redundant
void proof_serving(struct proof *p);     // unserved, unenforced
void proof_theorems(struct proof *p);    // theorem
void proof_costs(struct proof *p, struct proof_route *routes); // signal costs

#endif
