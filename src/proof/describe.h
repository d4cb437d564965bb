// What parts of a policy say, written out from the image in one form: two parts mean the same where their texts are equal.
// Names stand for what they name. For comparing policies, and for showing the difference.
#ifndef MERIT_PROOF_DESCRIBE_H
#define MERIT_PROOF_DESCRIBE_H

#include "base/buf.h"
#include "work/image.h"

// `answer(small, big high) -> verify(check) else refuse "no" minimise cost`: without name and guard.
void describe_effect(const struct policy_image *p, int32_t route, struct buf *out);
// One chain of it, and one step.
void describe_chain(const struct policy_image *p, const struct image_chain *c, struct buf *out);
// `forbid zone cloud when data == phi`
void describe_constraint(const struct policy_image *p, uint32_t constraint, struct buf *out);
// `keywords("a", "b") above 0.7 on_error ...`: without name.
void describe_signal(const struct policy_image *p, int32_t signal, struct buf *out);
// "0.25 usd", "2 kJ/1000" ...: an amount with its unit.
void describe_amount(enum image_unit unit, int64_t value, struct buf *out);
// "internal, eu"; "nothing above the lowest".
void describe_clearance(const struct policy_image *p, const struct image_clearance *c,
                        struct buf *out);
// Each a list with ", " before its pieces: prices and energy of a model, how its efforts are said, what a zone takes.
void describe_prices(const struct policy_image *p, const struct image_model *m, struct buf *out);
void describe_knob(const struct policy_image *p, const struct image_model *m, struct buf *out);
void describe_zone_energy(const struct policy_image *p, const struct image_zone *z,
                          struct buf *out);
// " at most 0.05 usd, 20 J"; nothing where nothing is stated.
void describe_pass_most(const struct image_pass *pass, struct buf *out);
// One piece: its address and what is said of it.
void describe_endpoint(const struct policy_image *p, const struct image_endpoint *e,
                       struct buf *out);
// "price, second 0.001 usd, ...": also the defaults of a policy that says nothing.
void describe_dispatch(const struct policy_image *p, struct buf *out);
const char *describe_step(enum image_step_kind kind);
const char *describe_unit(enum image_unit unit);

#endif
