// OpenAI's chat completions, the answering side: error bodies, stream events, usage.
#ifndef MERIT_API_OPENAI_ANSWER_H
#define MERIT_API_OPENAI_ANSWER_H

#include "work/dialect.h"

extern const struct dialect openai_chat;

#endif
