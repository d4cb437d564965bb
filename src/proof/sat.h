// Whether a set of clauses can be satisfied: an incremental solver by conflict-driven clause learning.
//
//   sat_open(&limits, &s);
//   a = sat_new(s); b = sat_new(s);
//   sat_clause(s, (uint32_t[]){a, sat_not(b)}, 2);      a or not b
//   if (sat_solve(s, assumed, n) == SAT_YES) ... sat_value(s, a) ...
//   else sat_core(s, &n) tells which of the assumptions exclude each other
//
// A literal is an uint32_t: a variable times two, plus one when it is negated. SAT_TRUE and SAT_FALSE are literals that
// always and never hold. Clauses stay; questions are asked under assumptions, which hold for one question only. What is
// learned while one is answered speeds up the next.
//
// Two watched literals, activities with phases, Luby restarts, clauses learned at the first unique implication point
// and minimised, deleted by their number of levels (Marques-Silva and Sakallah 1999; Eén and Sörensson 2003; Audemard
// and Simon 2009). Nothing depends on time, on addresses or on floating point: the same calls give the same answers,
// models and cores everywhere. Limits are counts. Memory from base/alloc.h, freed by sat_close; one owner, one thread.
#ifndef MERIT_PROOF_SAT_H
#define MERIT_PROOF_SAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"

enum sat_answer { SAT_NO, SAT_YES, SAT_UNKNOWN };
enum { SAT_TRUE = 0, SAT_FALSE = 1 };

static inline uint32_t sat_not(uint32_t literal)
{
    return literal ^ 1;
}

struct sat_limits {
    uint64_t conflicts, propagations;         // of one question
    uint64_t conflicts_all, propagations_all; // of all questions since sat_open
    size_t bytes;                             // of memory at any time
};

// What is spent: for reports, and to see how near a limit is.
struct sat_effort {
    uint64_t questions, conflicts, propagations;
    size_t bytes;
};

// A check of what clauses cannot say. It is called with a model in which all clauses hold (sat_value) and may add
// variables and clauses.
enum sat_fit {
    SAT_FITS,    // the model stands
    SAT_REFINED, // it does not, and a clause was added that it breaks
    SAT_UNSURE,  // cannot tell: the question ends with SAT_UNKNOWN
};
struct sat_theory {
    enum sat_fit (*check)(void *ctx);
    void *ctx;
};

struct sat;

// RESULT_NOMEM, RESULT_LIMIT.
enum result sat_open(const struct sat_limits *limits, struct sat **out) MERIT_NODISCARD;
void sat_close(struct sat *s);

// The positive literal of a new variable. After a failure (sat_result) it is SAT_TRUE.
uint32_t sat_new(struct sat *s);
// The same of a variable that is never guessed: clauses make it follow from others once these are known. There are fewer
// guesses to make, and to take back.
uint32_t sat_new_defined(struct sat *s);
// Adds a clause: one of the literals holds, from now on. Duplicates and opposites are allowed.
void sat_clause(struct sat *s, const uint32_t *literals, uint32_t count);
// The first failure: RESULT_OK, RESULT_NOMEM, or RESULT_LIMIT for the bytes. It sticks, and every later question is
// answered with SAT_UNKNOWN.
enum result sat_result(const struct sat *s);

// NULL: none. `theory` must outlive the solver's use.
void sat_theory(struct sat *s, const struct sat_theory *theory);

// Whether all clauses and all assumptions can hold together.
enum sat_answer sat_solve(struct sat *s, const uint32_t *assumed, uint32_t count) MERIT_NODISCARD;
// The same when it is enough that the variables of `wanted` (literals, any sign) have values: for who knows that the
// others can always be given some. No theory is asked.
enum sat_answer sat_solve_part(struct sat *s, const uint32_t *assumed, uint32_t count,
                               const uint32_t *wanted, uint32_t wanted_count) MERIT_NODISCARD;
// In the model of the last SAT_YES (or of the theory's check that runs).
// A variable without a value (sat_solve_part) counts as false; sat_known tells it apart.
bool sat_value(const struct sat *s, uint32_t literal);
bool sat_known(const struct sat *s, uint32_t literal);
// After SAT_NO: those of the assumptions that cannot hold together (not always the fewest), in the order of the
// assumptions; none when the clauses alone exclude each other. Valid until the next call of sat_solve.
const uint32_t *sat_core(const struct sat *s, uint32_t *count);

struct sat_effort sat_effort(const struct sat *s);

#endif
