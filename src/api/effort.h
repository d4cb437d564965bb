// How much a model is to think: what the client asks for, and how it is said to the endpoint. Private to api/.
//
// What the policy chose is said by the model's own knob (`effort off, on by template "enable_thinking"`):
//
//   reasoning_effort      "none", "low", "medium", "high"
//   template "NAME"       {"NAME": true or false} in chat_template_kwargs, beside what the client has there
//   thinking "NAME"       a number of tokens in the member NAME ("thinking_budget" unless named); 0 is off
//
// Where the policy leaves it open, the client's `reasoning_effort` counts: it is said by the same knob, or taken out where
// the model does not know it. A model that states no efforts gets what the client wrote.
#ifndef MERIT_API_EFFORT_H
#define MERIT_API_EFFORT_H

#include "api/openai_request.h"
#include "base/compiler.h"
#include "work/image.h"

// What the client asks for, as far as the policy has a word for it.
enum image_effort effort_asked(const struct openai_request *o);
// Says it in the body. `chosen`: by the policy; `dropped`: what the client asks for is forbidden. RESULT_NOMEM,
// RESULT_LIMIT.
enum result effort_edit(const struct openai_request *o, const struct policy_image *p,
                        const struct image_model *m, enum image_effort chosen, bool dropped,
                        struct json_edits *e, struct arena *arena) MERIT_NODISCARD;

#endif
