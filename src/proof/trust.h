// What a proof about a policy takes on trust, for whoever prints one.
#ifndef MERIT_PROOF_TRUST_H
#define MERIT_PROOF_TRUST_H

#include "base/buf.h"
#include "work/image.h"

// One line each, indented by two spaces: redactions that are believed to leave nothing above their level; labels that
// signals guess, whose misses no proof sees; assumptions with their reasons. Nothing when there are none. Pure.
void trust_text(const struct policy_image *image, struct buf *out);
// What a label rests on, with how much each signal was measured to miss (90 % interval; docs/signals.md has the sets):
// "caller, pii, which misses 9.5 % (8.6 to 10.5) where that was measured".
void trust_labellers(const struct policy_image *image, const struct image_signal *label,
                     struct buf *out);
// A JSON array of {"kind": "redact" | "label" | "assume", "name", "text"}.
void trust_json(const struct policy_image *image, struct buf *out);

#endif
