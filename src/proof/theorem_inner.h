// Inside of the prover: what its files share. For proof/theorem*.c only.
#ifndef MERIT_PROOF_THEOREM_INNER_H
#define MERIT_PROOF_THEOREM_INNER_H

#include "base/vec.h"
#include "proof/theorem.h"

// One way of breaking a claim: all formulas hold.
struct theorem_case {
    uint32_t formulas[4];
    uint32_t count;
    const struct way *way; // or NULL
    int32_t model, sink;   // who is asked, or IMAGE_NONE
    int32_t route;         // taken instead, or IMAGE_NONE
    const char *what;      // "asks", "shows it to", ...
};

struct theorem_run {
    struct theorem_prover *p;
    const struct image_theorem *theorem;
    const struct image_claim *claim;
    struct theorem_answer *answer;
    unsigned flags;
    uint32_t guard; // its guard, and what is known of a text
    VEC(struct theorem_case) cases;
    enum result err;
};

// Whether the claim speaks of requests that come this way.
bool theorem_speaks_of(const struct theorem_run *r, const struct way *way);
// theorem_claim.c: the ways of breaking the claim, for all kinds but COSTS.
void theorem_cases(struct theorem_run *r);
// The times that the way shows the claim's target something of the claim's level, as cases. A lattice
// THEOREM_UNCLEARED: something that the target does not clear.
enum { THEOREM_UNCLEARED = -2 };
void theorem_shows(struct theorem_run *r, const struct way *way);
// theorem_cost.c: answers a COSTS claim.
void theorem_costs(struct theorem_run *r);

// Asks for a request under the guard for which all formulas hold; counts.
enum sat_answer theorem_question(struct theorem_run *r, const uint32_t *formulas, uint32_t count);
// Fills the answer from the request behind the last SAT_YES.
void theorem_refute(struct theorem_run *r, const struct theorem_case *c, struct slice why);
void theorem_unproved(struct theorem_run *r);
// "route quick", "a request for model frontier", ...
void theorem_way_text(const struct policy_image *p, const struct way *w, struct buf *out);

#endif
