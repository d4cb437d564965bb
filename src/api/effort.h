// How much a model is to think: what the client asks for, and how it is said to the endpoint. Private to api/.
//
// What the policy chose is said by the model's own knob (`effort off, on by template "enable_thinking"`):
//
//   reasoning_effort      "none", "low", "medium", "high"
//   template "NAME"       {"NAME": true or false} in chat_template_kwargs, beside what the client has there
//   thinking "NAME"       a number of tokens in the member NAME ("thinking_budget" unless named); 0 is off
//
// Whatever else of the body says how much to think is taken out then: members of the names that engines and providers know
// (`thinking`, `reasoning`, `enable_thinking`, `thinking_budget`, ...) and that models of the policy have, in the body itself and
// in the objects that hand such members on (`extra_body`, `chat_template_kwargs`, ...), in any case and however they are
// escaped. Other bytes stay. Words in the messages ("/no_think") are not looked at.
//
// Where the policy leaves it open, the client's word counts: it is said by the model's knob, or taken out where the model does
// not know it. A model that states no efforts gets what the client wrote, unless what it asks for is forbidden.
#ifndef MERIT_API_EFFORT_H
#define MERIT_API_EFFORT_H

#include "api/openai_request.h"
#include "base/compiler.h"
#include "work/image.h"

enum { EFFORT_KNOBS_MAX = 16 }; // members of one body that say it

// What the client asks for, as far as the policy has a word for it: `on` for a switch or a budget of tokens, `off` for a budget of
// 0, `high` for "xhigh" and "max", `low` for "minimal"; the most where several are said. RESULT_LIMIT: more than
// EFFORT_KNOBS_MAX say it; RESULT_NOMEM.
enum result effort_asked(const struct openai_request *o, const struct policy_image *p,
                         struct arena *arena, enum image_effort *asked) MERIT_NODISCARD;
// Says it in the body. `chosen`: by the policy; `dropped`: what the client asks for is forbidden. RESULT_NOMEM,
// RESULT_LIMIT.
enum result effort_edit(const struct openai_request *o, const struct policy_image *p,
                        const struct image_model *m, enum image_effort chosen, bool dropped,
                        struct json_edits *e, struct arena *arena) MERIT_NODISCARD;

#endif
