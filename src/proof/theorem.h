// Answers to what a policy claims of itself: `prove` and `test`, for every request at once.
//
// A claim is turned into the ways of breaking it ("this route's chain may ask that model"), and the space of requests
// (proof/space.h) is asked for a request that takes one of them. No such request: proved. One: refuted, with its signal
// values, as few as show it. A limit of the solver: not proved, with what was tried.
//
// `prove` speaks of every request, however it came: by the routes, an alias of one, a model's name, and, where it is about
// who sees what, a path that is passed on; and it counts signals that could not be computed. `test`, and what is said
// about routes and refusals, speaks of requests that the routes decide on and whose signals could be computed.
//
// Pure and deterministic. A prover belongs to one thread; memory from base/alloc.h and the arena.
#ifndef MERIT_PROOF_THEOREM_H
#define MERIT_PROOF_THEOREM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "proof/feasible.h"
#include "proof/smtlib.h"
#include "proof/space.h"
#include "proof/ways.h"
#include "work/fact.h"
#include "work/image.h"
#include "work/signal.h"

enum theorem_verdict {
    THEOREM_PROVED,
    THEOREM_REFUTED,
    THEOREM_EMPTY,      // no request is as its guard says: it holds of nothing
    THEOREM_NOT_PROVED, // a limit
};

struct theorem_answer {
    enum theorem_verdict verdict;
    int32_t claim;    // index in the theorem's claims: broken, or not decided; else IMAGE_NONE
    struct slice why; // a sentence: "route quick asks frontier, in zone cloud"; empty when proved
    struct slice witness; // signal values for `merit route --given`; empty unless refuted
    struct slice
        model; // what the client asks for in it: a model, an alias or a path; empty: nothing
    const struct fact *facts; // the same as the witness, one per signal
    int32_t route;            // that it takes, or IMAGE_NONE
    uint64_t questions;       // asked of the solver
};

struct theorem_prover {
    const struct policy_image *image;
    struct arena *arena;
    struct space *space;
    struct way_list ways;
    struct feasible *feasible;
    bool signals_embed; // a signal sends text to the sink `embedding`
};

enum { THEOREM_WALKS_MAX = 20000 }; // questions about sums along paths, per claim

// RESULT_NOMEM, RESULT_LIMIT (of the space). `image` and `arena` outlive the prover. `registry` NULL: no signal is known
// to embed; `limits` NULL: the default.
enum result theorem_open(struct theorem_prover *p, const struct policy_image *image,
                         const struct signal_registry *registry, const struct sat_limits *limits,
                         struct arena *arena) MERIT_NODISCARD;
void theorem_close(struct theorem_prover *p);

// Theorem `index` of the image. `computed`: what is known of a text (one fact per signal), for a test with `user`: then
// every signal that its guard does not speak of has the value that its fact says; NULL: arbitrary.
// RESULT_NOMEM; a limit is an answer.
enum result theorem_ask(struct theorem_prover *p, uint32_t index, const struct fact *computed,
                        struct theorem_answer *out) MERIT_NODISCARD;

// What theorem `index` is given, as a formula of the prover's space; `computed` as for theorem_ask.
enum result theorem_given(struct theorem_prover *p, uint32_t index, const struct fact *computed,
                          uint32_t *formula) MERIT_NODISCARD;

// What Merit answers to a question of the SMT-LIB script: for smtlib_options.answer, with a prover as `ctx`.
enum sat_answer theorem_expect(void *ctx, const struct smtlib_question *q);

// "proved", "refuted", ...
const char *theorem_verdict_name(enum theorem_verdict v);
// "0.25 usd", "60000 ms"
void theorem_amount_text(enum image_unit unit, int64_t value, struct buf *out);
// The claim in words: "no phi reaches zone cloud".
void theorem_claim_text(const struct policy_image *image, const struct image_claim *c,
                        struct buf *out);

#endif
