// How fast a place is, learned from Merit's own calls: least squares with a memory of about 50 calls, and with surprises
// cut to what is usual, so that one stuck call teaches next to nothing and several in a row are soon believed.
//
//   first byte of a call that found a free slot  =  first_ms + tokens to compute / prefill_tok_s
//   the rest of a stream / (output tokens - 1)   =  each_ms
//
// What was learned fades when nothing comes to confirm it: after SPEEDS_FADE_AFTER_MS without a lesson by half every two seconds,
// so that a place that was left alone for half a minute is known by its next call and not by fifty old ones.
//
// A call that was not streamed has only its whole time; it teaches each_ms while nothing better is known. A call that may
// have waited for a slot teaches each_ms only. Not thread-safe: places.h keeps one learner at a time.
#ifndef MERIT_POOL_SPEEDS_H
#define MERIT_POOL_SPEEDS_H

#include <stdbool.h>
#include <stdint.h>

struct speeds {
    // Decayed sums over calls: n, tokens, milliseconds, their products.
    double n, x, y, xx, xy;
    double first_spread_ms; // mean distance from what was expected
    double each_ms, each_spread_ms;
    double slow_ms; // 19 of 20 first bytes come sooner, waiting included
    uint32_t slows;
    uint32_t firsts, eaches;    // calls that taught, ever
    uint64_t at_ms;             // of the last of them
    bool each_guessed;          // of whole answers only
    int8_t first_row, each_row; // surprises in a row: < 0 quicker, > 0 slower than was expected
};

struct speeds_call {
    uint32_t computed_tok; // of the prompt, without what was cached
    uint32_t output_tok;
    double first_ms, total_ms; // since the request went out; first_ms < 0: not known
    bool streamed;
    bool waited;    // it may have stood in a queue
    uint64_t at_ms; // when it ended; 0: not told, nothing fades
};

enum { SPEEDS_FIRSTS_MIN = 3, SPEEDS_OUTPUT_MIN = 8, SPEEDS_SLOWS_MIN = 20 };

enum { SPEEDS_FADE_AFTER_MS = 10000, SPEEDS_FADE_MS = 3000 };

void speeds_learn(struct speeds *s, const struct speeds_call *call);
// < 0: not known. prefill_tok_s needs prompts of different lengths; until then the whole is in first_ms.
double speeds_prefill_tok_s(const struct speeds *s);
double speeds_first_ms(const struct speeds *s);
double speeds_each_ms(const struct speeds *s);
// What is slow for a first byte there: 95 of 100 come sooner.
double speeds_slow_ms(const struct speeds *s);

#endif
