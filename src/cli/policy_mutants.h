// Whether the tests of a policy notice when it is changed (proof/mutant.h).
#ifndef MERIT_CLI_POLICY_MUTANTS_H
#define MERIT_CLI_POLICY_MUTANTS_H

#include "cli/policy_tests.h"
#include "proof/mutant.h"

enum mutant_fate {
    MUTANT_KILLED_TEST,
    MUTANT_KILLED_PROOF,
    MUTANT_KILLED_CHECK, // it does not compile, or the check finds an error: it would not load
    MUTANT_EQUAL,        // no request gets anything else: not counted
    MUTANT_LIVES,
    MUTANT_OPEN, // nothing kills it, and whether it changes anything is not proved
    MUTANT_FATES
};

struct mutant_result {
    const struct mutant *mutant;
    enum mutant_fate fate;
    struct slice by;      // the test or proof that kills it
    struct slice witness; // of one that lives: signal values for which it does something else
    struct slice becomes; // ... as the changed signals are; empty when they are the same
};

struct mutant_run {
    struct slice source; // of the policy
    const struct policy_image *image;
    const struct trunk_service *trunk;
    const struct test_result *tests; // as they ran on the policy: those that passed judge
    uint32_t test_count;
    const uint8_t *proved;                                    // per theorem: a `prove` that holds
    struct arena *arena;                                      // of the results
    void (*progress)(void *ctx, uint32_t done, uint32_t all); // or NULL
    void *ctx;
};

// RESULT_NOMEM.
enum result policy_mutants_run(const struct mutant_run *run, const struct mutant_list *mutants,
                               struct mutant_result *results) MERIT_NODISCARD;

#endif
