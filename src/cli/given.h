// Signal values that a person states: `--given '{"attack": true, "topic": "law"}'`.
#ifndef MERIT_CLI_GIVEN_H
#define MERIT_CLI_GIVEN_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "work/fact.h"
#include "work/image.h"

// One fact per signal of the image: FACT_GIVEN for those that `json` names, FACT_UNKNOWN for the others. A truth value
// is true, false, 0 or 1; a number a number; an enum one of its words, a label one of its levels; a text a string; a set an
// array of strings. {"failed": true}, or null, is a signal that could not be computed: FACT_FAILED with its on_error.
// RESULT_SYNTAX, RESULT_NOT_FOUND (no such signal), RESULT_TYPE, RESULT_DUPLICATE with a sentence in `why`;
// RESULT_NOMEM. `json` and the arena must outlive the facts.
enum result given_parse(const struct policy_image *image, struct slice json, struct arena *arena,
                        const struct fact **out, struct buf *why) MERIT_NODISCARD;

#endif
