// How many tokens a request has, estimated without a tokenizer.
#ifndef MERIT_WORK_TOKENS_H
#define MERIT_WORK_TOKENS_H

#include <stdint.h>

#include "base/slice.h"
#include "work/work.h"

// Of a text: UTF-8 (bad bytes count as other).
uint32_t tokens_of_text(struct slice text);
// Of the whole request: texts, framing, tools, images. Saturates at UINT32_MAX. Whoever builds a work sets
// `work.input_tok` to it.
uint32_t tokens_of_work(const struct work *w);

#endif
