// How many tokens a request has, estimated without a tokenizer.
//
// A text is counted by kinds of characters with weights that were fitted to the mean of two public
// vocabularies, OpenAI's o200k_base and cl100k_base (grade: measured, 2026-11-21; least relative
// deviation on half of 7,176 texts with the npm package gpt-tokenizer 3; the command is
// `node scripts/token_error.js build/dev/tests/tokens_cli`, see there). Error on the other half,
// |estimate - true| / true against o200k_base, median and 95th percentile; cl100k_base in brackets:
//   English prompts     4.8 %  17.8 %   (4.8 %, 18.6 %)
//   code                5.0 %  16.1 %   (5.4 %, 17.8 %)
//   German, Spanish, French, Italian, Portuguese, Polish   5 to 14 %, 11 to 25 %  (5 to 25 %, 11 to 30 %)
//   Chinese, Japanese, Korean   19 to 30 %, 27 to 37 % above   (14 to 19 %, 18 to 23 % below)
//   Russian, Arabic, Greek, Hebrew, Hindi, Thai, Vietnamese    30 to 95 % above   (4 to 36 % below)
// In the last two rows the vocabularies themselves differ by up to three times.
//
// Other weights, with their sources:
//   4 per message, 3 per request   framing of OpenAI's chat format (cited: OpenAI cookbook)
//   tools: bytes / 3               JSON has 2.8 to 3.1 bytes a token (quartiles, measured as above)
//   image 1,600                    OpenAI 765 at 1024 x 1024 in high detail, Anthropic up to about
//                                  1,600 (cited); the size is not known here
//   audio 600                      a minute at OpenAI's 10 a second (guessed length)
//   file 3,000                     one or two pages of a PDF (guessed)
#ifndef MERIT_WORK_TOKENS_H
#define MERIT_WORK_TOKENS_H

#include <stdint.h>

#include "base/slice.h"
#include "work/work.h"

enum {
    TOKENS_PER_MESSAGE = 4,
    TOKENS_PER_REQUEST = 3,
    TOKENS_PER_IMAGE = 1600,
    TOKENS_PER_AUDIO = 600,
    TOKENS_PER_FILE = 3000,
    TOKENS_TOOL_BYTES = 3,  // bytes of a tool's JSON that make a token
};

// Of a text, which need not be UTF-8. Saturates at UINT32_MAX. About 0.1 ns a byte of ASCII with AVX2,
// 1.5 ns of other text.
uint32_t tokens_of_text(struct slice text);
// The same without vector instructions, for tests.
uint32_t tokens_of_text_scalar(struct slice text);
// Of the whole request: texts, framing, tools, images. Saturates at UINT32_MAX. Whoever builds a work
// sets `work.input_tok` to it.
uint32_t tokens_of_work(const struct work *w);

#endif
