// Inside of explain: what its files share. For policy/ only.
#ifndef MERIT_POLICY_SAY_H
#define MERIT_POLICY_SAY_H

#include "policy/explain.h"

void say_text(struct buf *out, const struct policy_image *p, struct image_str s);
void say_pad(struct buf *out, struct slice name, size_t width);
// 128000 -> 128,000.
void say_grouped(struct buf *out, uint32_t v);
// Nano-USD as USD.
void say_usd(struct buf *out, int64_t nusd);
// Family and arguments: `pii(email, ssn)`.
void say_family(const struct policy_image *p, const struct image_signal *s, struct buf *out);
void say_json_string(struct buf *out, struct slice s);

// say_price.c
// ", PUE 1.2, 380 g/kWh on average".
void say_zone_energy(const struct policy_image *p, const struct image_zone *z, struct buf *out);
void say_zone_energy_json(const struct policy_image *p, const struct image_zone *z,
                          struct buf *out);
// Price and energy of a model: "1.25 USD in, ... per million tokens since 2026-11-21; ...".
void say_price(const struct policy_image *p, const struct image_model *m, struct buf *out);
// Members, each with a comma before it.
void say_price_json(const struct policy_image *p, const struct image_model *m, struct buf *out);
// " (vLLM, weight 2, up to 32 at once)"; nothing of an endpoint that only has an address.
void say_endpoint(const struct policy_image *p, const struct image_endpoint *e, struct buf *out);
void say_endpoint_json(const struct policy_image *p, const struct image_endpoint *e,
                       struct buf *out);
// How efforts are said, where that is not the ordinary way.
void say_knob(const struct policy_image *p, const struct image_model *m, struct buf *out);
// The paragraph, or nothing where the policy has no `dispatch`.
void say_dispatch(const struct policy_image *p, struct buf *out);
void say_dispatch_json(const struct policy_image *p, struct buf *out);

// say.c
// "0.05 USD", "2 kJ", "60 s".
void say_amount(struct buf *out, enum image_unit unit, int64_t v);
// ", at most 0.05 USD, 20 J"; nothing where nothing is stated.
void say_pass_most(const struct image_pass *pass, struct buf *out);
// One chain: "answered by a, then verified by nli".
void say_chain(const struct policy_image *p, const struct image_chain *c, struct buf *out);
// What a derived signal is made of.
void say_derived(const struct policy_image *p, const struct image_signal *s, struct buf *out);
void say_lattices(const struct policy_image *p, size_t width, struct buf *out);
void say_places(const struct policy_image *p, size_t width, struct buf *out);
void say_rules(const struct policy_image *p, struct buf *out);
// Members "lattices", "zones", "sinks", "constraints", "theorems", "assumes", each with a comma before it.
void say_rules_json(const struct policy_image *p, struct buf *out);

#endif
