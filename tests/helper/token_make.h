// Models from texts of JSON, and random words and texts over a small alphabet.
#ifndef MERIT_TESTS_TOKEN_MAKE_H
#define MERIT_TESTS_TOKEN_MAKE_H

#include <stdlib.h>

#include "base/arena.h"
#include "base/rng.h"
#include "text/token_model.h"

static const char *const token_letters[] = {
    "a", "b", "c", "d", "_", "\xc3\xa9", "\xe2\x96\x81", "\xe6\xbc\xa2", "\xf0\x9f\x98\x80", "e"};
enum { TOKEN_LETTERS = 10 };

// Up to `most` of the first `letters` letters; returns the bytes, which are not ended by a zero.
static inline size_t token_make_text(struct rng *rng, char *out, size_t least, size_t most,
                                     unsigned letters)
{
    size_t len = 0;
    for (uint64_t n = least + rng_below(rng, most - least + 1); n > 0; n--) {
        const char *letter = token_letters[rng_below(rng, letters)];
        memcpy(out + len, letter, strlen(letter));
        len += strlen(letter);
    }
    return len;
}

static inline enum result token_make_model(const struct token_model_kind *kind, struct slice text,
                                           bool byte_level, char *problem, void **model)
{
    struct arena arena;
    struct json j;
    *model = NULL;
    arena_init(&arena, 0, 1 << 28);
    enum result r = json_parse(&j, text, &json_limits_default, &arena);
    if (!r)
        r = kind->open(&j, 0, byte_level, problem, model);
    arena_deinit(&arena);
    return r;
}

#endif
