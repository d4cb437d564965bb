// What a policy says, in plain language, read off its image.
#ifndef MERIT_POLICY_EXPLAIN_H
#define MERIT_POLICY_EXPLAIN_H

#include "base/buf.h"
#include "work/image.h"

// Models with price and window, names that clients may ask for, signals, and each route in a sentence. Lines of text,
// about 100 columns. Never a key. Check buf_result afterwards. Pure.
void explain_policy(const struct policy_image *p, struct buf *out);
// One route's sentence without its name: "when urgent: deep or swift answers, whichever costs least".
void explain_route(const struct policy_image *p, int32_t route, struct buf *out);
// A guard in infix: `sqlish or (depth >= 3 and not urgent)`.
void explain_guard(const struct policy_image *p, struct image_list guard, struct buf *out);
// The same facts as explain_policy as one JSON object.
void explain_policy_json(const struct policy_image *p, struct buf *out);

#endif
