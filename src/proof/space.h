// The space of requests that a policy can tell apart, and questions about it.
//
// A policy sees a request only through its signals, and of a signal only what its atoms ask. From the signals and atoms
// of one or more images `space_open` makes fields with finitely many cells: a truth value has two; an enum one for each
// set of words that no atom tells apart; a number the intervals between the values it is compared with (>, >= and == kept
// apart, within the range that its family declares); a text the texts that are mentioned, the empty one and any other; a
// set one truth value for each member that is asked for and one for "some other member". Signals of one family with
// equal arguments are one value, whatever their names and thresholds are, also across images: so two policies can be
// compared. Derived signals (labels, scores, exclusive groups) follow from their inputs.
//
// A question is made of formulas: guards of the images, and what space_and and space_or make of them. A formula is an
// uint32_t that can be negated with space_not; equal formulas are made once.
//
//   space_open(&image, 1, &space_limits_default, &s);
//   uint32_t claims[] = {space_route(s, 0, 3), space_not(space_route(s, 0, 1))};
//   switch (space_ask(s, claims, 2, 0)) {
//   case SAT_YES:     there is a request for which all claims hold:
//       space_witness(s, 0, claims, 2, arena, &w);    its signal values, as few as show it
//   case SAT_NO:      there is none: space_core, space_least tell which claims exclude each other
//   case SAT_UNKNOWN: a limit was reached (space_result), or arithmetic that cannot be decided: say "not proved"
//   }
//   space_share(s, claims, 2) tells which part of all requests they hold for
//
// A few thousand requests are drawn once, with a fixed seed, every field's cells with equal weight; formulas are
// evaluated for 64 of them at a time as they are made. Most questions that have an answer "yes" are answered by one of
// these; the solver (proof/sat.h) is for the others. A space of at most SPACE_EXACT requests is enumerated instead.
//
// What a request may be: signals that are computed, unless SPACE_FAILURES is asked for; then any signal can fail, and
// its on_error holds. A proof that something never happens wants SPACE_FAILURES; a finding that a rule is useless does not.
//
// Pure and deterministic: the same images and calls give the same answers and witnesses everywhere. The images must
// outlive the space. Memory from base/alloc.h; one owner, one thread.
#ifndef MERIT_PROOF_SPACE_H
#define MERIT_PROOF_SPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "proof/sat.h"
#include "work/fact.h"
#include "work/image.h"

enum { SPACE_TRUE = 0, SPACE_FALSE = 1 };
enum {
    SPACE_IMAGES_MAX = 4,
    SPACE_EXACT = 65536,     // requests that are enumerated rather than drawn
    SPACE_SAMPLES = 8192,    // requests drawn; fewer where a policy is very large
    SPACE_CELLS_MAX = 65000, // of one field
};

static inline uint32_t space_not(uint32_t formula)
{
    return formula ^ 1;
}

struct space;

extern const struct sat_limits space_limits_default;

// RESULT_NOMEM; RESULT_LIMIT: more bytes than the limits allow, or more than SPACE_CELLS_MAX different values of one
// signal. The guards of the images must be in shape (image_open, or the compiler's own).
enum result space_open(const struct policy_image *const *images, uint32_t count,
                       const struct sat_limits *limits, struct space **out) MERIT_NODISCARD;
void space_close(struct space *s);
// The first failure since space_open: RESULT_OK, RESULT_NOMEM, RESULT_LIMIT. It sticks; formulas made after it are
// SPACE_TRUE and questions are answered with SAT_UNKNOWN, so that whoever asks last may look once.
enum result space_result(const struct space *s);
struct sat_effort space_effort(const struct space *s);
const struct policy_image *space_image(const struct space *s, uint32_t image);

// ---- formulas

uint32_t space_atom(struct space *s, uint32_t image, uint32_t atom);
// struct image_node of that image; the empty list always holds.
uint32_t space_guard(struct space *s, uint32_t image, struct image_list guard);
// The route's own guard, whatever stands before it.
uint32_t space_route(struct space *s, uint32_t image, int32_t route);
uint32_t space_and(struct space *s, const uint32_t *formulas, uint32_t count);
uint32_t space_or(struct space *s, const uint32_t *formulas, uint32_t count);
// The signal's value comes from its on_error.
uint32_t space_failed(struct space *s, uint32_t image, int32_t signal);
// The label signal is at `level` or above.
uint32_t space_label(struct space *s, uint32_t image, int32_t signal, uint32_t level);
// For solvers beside this one: the literal that stands for a formula.
uint32_t space_literal(const struct space *s, uint32_t formula);

// ---- questions

enum {
    SPACE_FAILURES = 1, // signals may fail
    SPACE_DRAWN_ONLY =
        2, // SAT_UNKNOWN rather than asking the solver (a space that is enumerated: SAT_NO)
    SPACE_NOT_DRAWN = 4, // no drawn request is looked at: the caller knows that none holds
};

// Whether all claims can hold for one request.
enum sat_answer space_ask(struct space *s, const uint32_t *claims, uint32_t count,
                          unsigned flags) MERIT_NODISCARD;
// After SAT_NO: indices of claims, ascending, that cannot hold together (none when there is no request at all). Valid
// until the next question. Not always the fewest: see space_least.
const uint32_t *space_core(const struct space *s, uint32_t *count);
// After SAT_NO for `claims`: takes claims out of the core until none can be spared, asking a question for each, later ones
// first. The first `hard` claims are kept in any case, so that the rest is what they need beside them. False when a
// limit was met on the way: the core excludes itself, but perhaps not the least.
bool space_least(struct space *s, const uint32_t *claims, uint32_t hard, unsigned flags);

struct space_share {
    double
        share; // 0 to 1, of all requests with every field's cells weighing the same, without failures
    double error; // half a 95 % interval; 0 when exact
    bool exact;
};
struct space_share space_share(const struct space *s, const uint32_t *claims, uint32_t count);
// The share of `held` drawn requests, for who counts them in space_bits.
struct space_share space_share_of(const struct space *s, uint64_t held);
// Whether a formula holds for drawn request `i` of space_drawn: for sweeps over many formulas at once.
uint32_t space_drawn(const struct space *s);
const uint64_t *space_bits(const struct space *s,
                           uint32_t formula); // of formula & ~1: negate yourself
// The drawn requests that count: bits beyond space_drawn are 0.
const uint64_t *space_live(const struct space *s);
// Makes drawn request `i` the model that space_witness tells.
void space_choose(struct space *s, uint32_t i);
// Whether a formula holds in the model of the last SAT_YES (or space_choose). False also without memory (space_result).
bool space_holds(struct space *s, uint32_t formula);

// ---- witnesses

struct space_witness {
    const struct fact *facts; // one per signal of the image; FACT_UNKNOWN where it does not matter
    struct slice json;        // the same for `merit route --given`
    uint32_t given;           // signals that are not FACT_UNKNOWN
};

// The request behind the last SAT_YES (or space_choose), told in the signals of one image: first all that the claims
// look at, then without every signal that they do not depend on (their three-valued evaluation stays true). `claims`
// must hold for it. A signal that fails in it is FACT_FAILED with its on_error, {"failed": true}. RESULT_NOMEM.
enum result space_witness(struct space *s, uint32_t image, const uint32_t *claims, uint32_t count,
                          struct arena *arena, struct space_witness *out) MERIT_NODISCARD;
// All of that request: a fact for every signal of the image that is not derived, into `facts`. RESULT_NOMEM.
enum result space_model(struct space *s, uint32_t image, struct arena *arena,
                        struct fact *facts) MERIT_NODISCARD;

#endif
