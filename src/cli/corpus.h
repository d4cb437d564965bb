// Requests with what is expected of them, one JSON object a line:
//
//   {"user": "My SSN is 219-09-9999", "given": {"tier": "pro"}, "expect": {"route": "sober", "zone": "house"}}
//
// `user` is what the user says (empty when missing), `given` values of signals as for `merit route --given`, `expect` one
// or more of "route", "model", "zone" (of the model that is chosen) and "refuse" (true or false). Empty lines and lines that
// begin with # are skipped; members with other names are an error, so that a slip of the pen is no silent agreement.
#ifndef MERIT_CLI_CORPUS_H
#define MERIT_CLI_CORPUS_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "work/decision.h"
#include "work/image.h"

enum {
    CORPUS_BYTES_MAX = 64 * 1024 * 1024,
    CORPUS_LINE_MAX = 1024 * 1024,
    CORPUS_LINES_MAX = 200000,
};

struct corpus_line {
    uint32_t line; // 1-based
    struct slice user;
    const struct fact *given;        // one per signal
    struct slice route, model, zone; // expected; empty: not said
    bool says_refuse, refuse;
};

// Walks the lines: begin with *rest = the text and *line = 0. RESULT_EOF at the end. Otherwise `out` is filled and points
// into the text and the arena; RESULT_SYNTAX, RESULT_NOT_FOUND, RESULT_TYPE, RESULT_DUPLICATE, RESULT_LIMIT with a sentence
// in `why`; RESULT_NOMEM. `need_expect`: a line without `expect` is an error.
enum result corpus_next(const struct policy_image *image, struct slice *rest, uint32_t *line,
                        bool need_expect, struct arena *arena, struct corpus_line *out,
                        struct buf *why) MERIT_NODISCARD;

// Whether the decision is as expected; else says in `why` what it is instead.
bool corpus_agrees(const struct corpus_line *l, const struct decision *d, struct buf *why);

// Reads the corpus that a policy names: `path` is relative to the folder of `policy` and may not leave it, by links
// neither. RESULT_DENIED (it does, or is absolute, or the policy is no file), RESULT_NOT_FOUND, RESULT_IO, RESULT_LIMIT.
enum result corpus_read(const char *policy, struct slice path, struct buf *out) MERIT_NODISCARD;

#endif
