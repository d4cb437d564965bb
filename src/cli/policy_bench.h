// A policy made ready to be tested: its signals can be computed for a text, decisions made, theorems answered.
#ifndef MERIT_CLI_POLICY_BENCH_H
#define MERIT_CLI_POLICY_BENCH_H

#include "api/decider.h"
#include "api/openai_request.h"
#include "base/arena.h"
#include "base/diag.h"
#include "base/result.h"
#include "proof/theorem.h"

struct policy_bench {
    struct arena *arena; // of the caller
    const struct policy_image *image;
    struct decider decider;
    struct plan_scratch *scratch;
    struct theorem_prover prover;
    bool ready, proving;
};

// `image`, `trunk` (NULL: no encoder) and `arena` outlive it. RESULT_NOMEM, RESULT_LIMIT, RESULT_SYNTAX with findings in
// `diags`. Close it in every case.
enum result policy_bench_open(struct policy_bench *b, const struct policy_image *image,
                              const struct trunk_service *trunk, struct arena *arena,
                              struct diag_list *diags) MERIT_NODISCARD;
void policy_bench_close(struct policy_bench *b);

// All signals of what a user says, one fact each, in `arena`; those that `given` (may be NULL) knows are taken as they
// are. RESULT_NOMEM, RESULT_LIMIT (the text).
enum result policy_bench_facts(struct policy_bench *b, struct slice user, const struct fact *given,
                               struct arena *arena, const struct fact **out) MERIT_NODISCARD;
// What is decided for what a user says.
enum result policy_bench_decide(struct policy_bench *b, struct slice user, const struct fact *given,
                                struct arena *arena, struct decision **out) MERIT_NODISCARD;

#endif
