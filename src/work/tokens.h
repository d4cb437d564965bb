// How many tokens a request has, estimated without a tokenizer.
//
// A text is counted by kinds of characters with weights that were fitted to the mean of two public
// vocabularies, OpenAI's o200k_base and cl100k_base (grade: measured, 2026-11-21; 7,176 texts, half
// of them used). The error |estimate - true| / true, median and 95th percentile, by
// `scripts/token-error` with the npm package gpt-tokenizer 4.0.0, 2026-11-21:
//                                    o200k_base        cl100k_base
//   English prompts                   5.2 %  18.2 %     5.1 %  18.9 %
//   C code                            3.3 %  10.4 %     3.3 %  10.1 %
//   JSON of one line                  5.0 %  33.3 %     4.9 %  33.3 %
//   German, Polish                    4 to 8 % (p95 14 to 17)       20 to 21 % below (28 to 29)
//   French, Spanish, Italian, Portuguese, Dutch   13 to 15 % (17 to 25)   4 to 30 % (9 to 37)
//   Chinese, Japanese, Korean        20 to 32 % above (25 to 40)    13 to 19 % below (18 to 24)
//   Russian, Ukrainian, Turkish      20 to 51 % above (35 to 69)    10 to 25 % below (16 to 30)
//   Greek, Arabic, Hebrew, Hindi, Thai, Vietnamese
//                                    65 to 97 % above (85 to 121)    9 to 36 % off (21 to 38)
// In the last three rows the vocabularies themselves differ, by up to three times.
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
    TOKENS_TOOL_BYTES = 3, // bytes of a tool's JSON that make a token
};

// Of a text, which need not be UTF-8. Saturates at UINT32_MAX. About 0.1 ns a byte of ASCII with
// AVX2, 1.5 ns of other text.
uint32_t tokens_of_text(struct slice text);
// The same without vector instructions, for tests.
uint32_t tokens_of_text_scalar(struct slice text);
// Of the whole request: texts, framing, tools, images. Saturates at UINT32_MAX. Whoever builds a
// work sets `work.input_tok` to it.
uint32_t tokens_of_work(const struct work *w);

#endif
