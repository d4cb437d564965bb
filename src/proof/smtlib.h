// A policy and what is claimed of it as one script in standard SMT-LIB 2, for any solver that reads it: so that nobody
// has to believe this project's own one.
//
// The script declares the signals with their ranges and failures, defines derived signals, guards, which route is taken,
// what constraints take away, and which labels reach which place, and then asks one question at a time:
//
//   ; question shadowed quick
//   ; expect sat
//   (push 1)
//   (assert |takes quick|)
//   (check-sat)
//   (pop 1)
//
// It is made of the image alone and shares nothing with the space of requests (proof/space.h), which answers the same
// questions. What cannot be said in linear arithmetic (exclusive groups of three and more members between two bounds) is
// left open and marked `; inexact`: then "unsat" holds of the policy too, and "sat" may not.
//
// What it does not speak of (budgets over time, prices beyond bounds, endpoints, dispatch, how efforts are said) it lists by name in
// comments `; not modelled: ...`, with the reason.
//
// Pure. Memory from base/alloc.h, freed before it returns.
#ifndef MERIT_PROOF_SMTLIB_H
#define MERIT_PROOF_SMTLIB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/result.h"
#include "proof/sat.h"
#include "work/image.h"

enum smtlib_ask {
    SMTLIB_VACUOUS,    // route `a`: its guard can hold
    SMTLIB_SHADOWED,   // route `a`: it can be taken
    SMTLIB_REDUNDANT,  // route `a`: it is taken where without it something else would be done
    SMTLIB_OVERLAP,    // routes `a` and `b`, with different effects: both guards can hold
    SMTLIB_INFEASIBLE, // route `a`: taken, and no chain of it is feasible
    SMTLIB_FLOW, // route `a` (or a model named by the client, a pass: `entry`): place `b` sees what it does not clear
    SMTLIB_OBLIGATION, // route `a`: an answer is delivered that has not passed what constraint `b` requires
    SMTLIB_CLAIM, // theorem `a`, claim `b`: a request under its guard for which the claim does not hold
    SMTLIB_ASK_COUNT_
};

struct smtlib_question {
    enum smtlib_ask ask;
    int32_t a, b;
};

// "vacuous", "shadowed", ...
const char *smtlib_ask_name(enum smtlib_ask ask);

// Whether two routes do the same with a request: paths, objective, limits.
bool smtlib_same_effect(const struct policy_image *image, int32_t route, int32_t other);

enum { SMTLIB_BYTES_MAX = 256 * 1024 * 1024, SMTLIB_PAIRS_MAX = 20000 };

struct smtlib_options {
    // What Merit answers; SAT_UNKNOWN writes no `expect`. NULL: none.
    enum sat_answer (*answer)(void *ctx, const struct smtlib_question *q);
    void *ctx;
};

// RESULT_LIMIT when `out` is full, RESULT_NOMEM.
enum result smtlib_write(const struct policy_image *image, const struct smtlib_options *options,
                         struct buf *out) MERIT_NODISCARD;

#endif
