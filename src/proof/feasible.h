// Which requests may do what: the constraints of a policy as formulas over its space of requests (proof/space.h).
//
// Everything here is by constraints alone: that a pool is down, or a request too long for a window, only takes more
// away. A hard budget per request takes an action away when no request can stay below it, or when nothing bounds it;
// that long requests cost more than the budget is left to the router.
//
// Formulas are made once and kept. After a failure of the space or of memory they are SPACE_TRUE and feasible_result says
// why: whoever asks last looks once. Memory from the arena; space and image must outlive it.
#ifndef MERIT_PROOF_FEASIBLE_H
#define MERIT_PROOF_FEASIBLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/result.h"
#include "proof/space.h"
#include "proof/ways.h"
#include "work/image.h"

struct feasible;

// `index` is the image's in the space. RESULT_NOMEM.
enum result feasible_open(struct space *space, uint32_t index, const struct policy_image *image,
                          struct arena *arena, struct feasible **out) MERIT_NODISCARD;
enum result feasible_result(const struct feasible *f);

// The request comes this way: the route's guard and none before it; always, where nobody asks a guard.
uint32_t feasible_enters(struct feasible *f, const struct way *way);
// The constraint's guard.
uint32_t feasible_active(struct feasible *f, uint32_t constraint);
// The step may use its binding `k`, costs aside; `way` tells the route whose `where` and `within` count, too. Behind a
// `redact` what is forbidden to levels above it is not forbidden.
uint32_t feasible_binding(struct feasible *f, const struct way *way, const struct way_step *step,
                          uint32_t k);
// The sink may be used for text as it came.
uint32_t feasible_sink(struct feasible *f, int32_t sink);
// Nothing forbids the model, whatever its effort and its costs.
uint32_t feasible_model(struct feasible *f, int32_t model);
// Chain `c` can be completed as far as constraints go.
uint32_t feasible_chain(struct feasible *f, const struct way *way, uint32_t c);
// The same without its obligations.
uint32_t feasible_chain_bare(struct feasible *f, const struct way *way, uint32_t c);
// What chain `c` escalates, fuses or hedges is allowed.
uint32_t feasible_extras(struct feasible *f, const struct way *way, uint32_t c,
                         enum image_extra extra);
// The request comes this way and chain `c` is tried: it is feasible, and none before it ends the request for sure.
uint32_t feasible_tried(struct feasible *f, const struct way *way, uint32_t c);
// ... and a step of it may use the binding.
uint32_t feasible_used(struct feasible *f, const struct way *way, uint32_t c, uint32_t step,
                       uint32_t binding);
// The request's label of this lattice is at least `level`: a label signal is.
uint32_t feasible_label(struct feasible *f, int32_t lattice, uint32_t level);
// `label` of it is above what is cleared, in some lattice.
uint32_t feasible_above(struct feasible *f, const struct way_label *label,
                        const struct image_clearance *clears);

// No hard budget per request of at most `limit` holds: only then a request can cost more than that, whatever its way.
uint32_t feasible_unkept(struct feasible *f, enum image_unit unit, int64_t limit);
// The least hard budget per request of the unit that holds for every request of this way, or IMAGE_NONE.
int32_t feasible_budget(struct feasible *f, const struct way *way, enum image_unit unit);

// Constraints without effect until feasible_all: for the question which of them matter. Formulas asked for meanwhile are
// not kept.
void feasible_without(struct feasible *f, uint32_t constraint);
void feasible_with(struct feasible *f, uint32_t constraint);
void feasible_all(struct feasible *f);
// Counts steps of whoever loops over bindings and constraints; false when there were too many (RESULT_LIMIT).
bool feasible_spend(struct feasible *f, uint64_t steps);
bool feasible_counts(const struct feasible *f, uint32_t constraint);
// Whether it can take something away from the way: names it, or what it uses.
bool feasible_touches(const struct feasible *f, const struct way *way, uint32_t constraint);

#endif
