// A decision as JSON.
//
// Two forms of the same struct. The full form has names and units and is made to be read (docs/decision.schema.json;
// `merit route --json`, GET /merit/v1/decisions/{id}). The compact form is one line for the decision log: the same
// facts with verdicts as small numbers and signals, routes and models by their place in the policy, whose digest it
// carries; docs/decision-record.md tells how to read it. From both a decision can be replayed: the
// recorded signal values, fed as given, give the same decision.
//
// Evidence is a place (message, part, offset, length in decoded text). Its text appears only when asked for, which only
// `merit route` does: a log may not hold what a prompt says.
#ifndef MERIT_ROUTE_RECORD_H
#define MERIT_ROUTE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/result.h"
#include "route/route.h"
#include "work/decision.h"
#include "work/work.h"

struct record_options {
    const struct work *work; // for evidence texts; may be NULL otherwise
    bool with_text;          // evidence texts, cut at RECORD_TEXT_MAX bytes
};

enum { RECORD_TEXT_MAX = 120 };

// One JSON object without a newline. `options` may be NULL. Errors stick to the buffer.
void record_json(const struct decision *d, const struct record_options *options, struct buf *out);
// One line for the log, without the newline: what was seen and what came of it. Of the options only the best is in it; the
// others follow from what was seen, and record_replay gives them.
void record_compact(const struct decision *d, struct buf *out);

// The decision that a compact line records, under the policy of the same digest (the caller's to compare). Everything
// lies in `arena`, or in the image. Probabilities come back to four places. RESULT_NOMEM;
// RESULT_SYNTAX and others for a line that is none, or not of this policy.
enum result record_read(const struct policy_image *image, struct slice line, struct arena *arena,
                        struct decision **out);

// Decides again from what a decision recorded: the same policy's table, the recorded facts with their states and reasons,
// the models that were down or without a key, the same needs. The result equals `d` in everything that route/ decides; its
// name, its times and the marks of its caller are taken over. RESULT_SYNTAX when a signal is asked for that `d` does not
// have (another build's record), RESULT_NOMEM.
enum result record_replay(const struct route_table *table, const struct decision *d,
                          struct arena *arena, struct decision **out) MERIT_NODISCARD;

// Stable words, as in the full form.
const char *record_route_verdict_name(enum route_verdict v);
const char *record_model_verdict_name(enum model_verdict v);
const char *record_by_name(enum decision_by by);
const char *record_end_name(enum decision_end end);
const char *record_fact_state_name(enum fact_state s);
const char *record_fact_error_name(enum fact_error e);
const char *record_chain_verdict_name(enum chain_verdict v);
const char *record_term_name(enum price_term term);
const char *record_place_state_name(enum pool_place_state state);
const char *record_step_name(enum image_step_kind kind);

// The value of a fact as JSON: true, 0.25, "word", ["a","b"]; null when unknown.
void record_value(const struct policy_image *image, int32_t signal, const struct fact *f,
                  struct buf *out);

// A decision's name: ten characters of time (milliseconds) and ten of `random`, Crockford's base 32 in lower case, so
// that names sort by time. NUL-terminated.
void record_id(uint64_t wall_us, uint64_t random, char out[DECISION_ID_LEN + 1]);

#endif
