// Making and sending the attempts of a request: the body for the model, headers, limits. Private to api/.
#ifndef MERIT_API_ATTEMPT_H
#define MERIT_API_ATTEMPT_H

#include "api/request.h"

// Sends the request to what was decided; when that fails, to what else the decision found feasible (route/after.h).
void attempt_begin(struct request *r);
// Sends it to a model as it came: decided, not obeyed.
void attempt_observed(struct request *r, int32_t model);
// `POST /v1/...` as it is, to `model`.
void attempt_pass(struct request *r, int32_t model);

#endif
