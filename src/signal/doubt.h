// Thresholds that say less than they seem to: cuts inside a head's own calibration error, and examples of two signals so
// near to each other that one text can be like both.
//
// Asks the definitions of an open plan; so it needs the heads, and for examples the encoder, that the plan was opened
// with. All findings are warnings. Pure.
//
//   threshold-in-doubt   a cut nearer than the calibration error to another cut of the signal, or to 0 or 1
//   both-fire            two `similar` signals with thresholds a and b, whose nearest examples u and v are not further
//                        apart than their caps reach: angle(u, v) <= acos(a) + acos(b) (conflict-free policies over
//                        embeddings, arXiv 2603.18174). The value is at most the best cosine, so that a larger angle
//                        proves that no text is like both. Members of an exclusive group that nothing else looks at are
//                        not compared: the group tells them apart.
#ifndef MERIT_SIGNAL_DOUBT_H
#define MERIT_SIGNAL_DOUBT_H

#include "base/diag.h"
#include "policy/policy.h"
#include "signal/plan.h"

enum { DOUBT_SIGNALS_MAX = 256 }; // `similar` signals that are compared; further ones are not

// `places` are those of the image's compilation. RESULT_NOMEM.
enum result plan_doubts(const struct plan *p, const struct policy_places *places,
                        struct diag_list *diags) MERIT_NODISCARD;

// The greatest cosine of two thresholds' caps: both can hold for one unit vector only when the cosine between their
// centres is at least this. `a` and `b` in -1..1.
double doubt_reach(double a, double b);

#endif
