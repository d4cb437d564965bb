// How much a model is to think: what the client asks for, and how it is said to the endpoint. Private to api/.
#ifndef MERIT_API_EFFORT_H
#define MERIT_API_EFFORT_H

#include "api/request.h"

// What the client asks for, as far as the policy has a word for it.
enum image_effort effort_asked(const struct request *r);
// Says the decision's effort in the body. RESULT_NOMEM, RESULT_LIMIT.
enum result effort_edit(struct request *r, struct json_edits *e) MERIT_NODISCARD;

#endif
