// A state of the pool that a person states: `merit route --pool FILE`, in the words of a decision record's `places`.
#ifndef MERIT_CLI_SEEN_H
#define MERIT_CLI_SEEN_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "work/image.h"
#include "work/pool.h"

// {"places": [{"model": "m", "in_flight": 3, "running": 3, "each_ms": 20, ...}, ...], "session": {"place": 0, "model": "m",
// "locked": true, "tok": 3000}, "first_deadline_ms": 500, "region": "eu", "seed": 1, "turn": 1}. Places of a model stand
// together; they are numbered from 0 as they come. What a place does not say is not known; its endpoint is the one whose URL it
// names, else the model's first. A whole decision record (`merit route --json`) is such a state. Fills everything of `out` but
// epoch and states. RESULT_SYNTAX, RESULT_NOT_FOUND, RESULT_TYPE, RESULT_LIMIT with a sentence in `why`; RESULT_NOMEM. `json`
// and the arena must outlive the view.
enum result seen_parse(const struct policy_image *image, struct slice json, struct arena *arena,
                       struct pool_view *out, struct buf *why) MERIT_NODISCARD;

#endif
