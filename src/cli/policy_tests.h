// Runs the tests of a policy.
#ifndef MERIT_CLI_POLICY_TESTS_H
#define MERIT_CLI_POLICY_TESTS_H

#include "cli/corpus.h"
#include "cli/policy_bench.h"

enum { TESTS_SHOWN = 5 }; // disagreements of a corpus that are kept

enum test_state {
    TEST_PASSED,
    TEST_FAILED,
    TEST_EMPTY,      // no request is as it says: it tests nothing
    TEST_NOT_PROVED, // a limit
    TEST_BROKEN,     // the corpus cannot be read: `problem`
};

struct test_result {
    const struct image_theorem *theorem;
    enum test_state state;
    struct theorem_answer answer; // of one without corpus
    const struct fact *facts;     // of one with `user`
    uint32_t lines, agreed;       // of a corpus
    bool *routes;                 // ... which routes its lines took
    struct {
        uint32_t line;
        struct slice why;
    } shown[TESTS_SHOWN];
    uint32_t shown_count;
    struct slice problem;
};

// What tests look at.
struct test_coverage {
    bool *routes, *constraints, *sinks; // one per route, ...
    // Conditions of route guards: per node of the image, whether a test has a request for which it decides with this value.
    bool *held, *failed;
    uint32_t route_count, constraint_count, sink_count, conditions, conditions_both;
};

// Runs one test. `facts` (may be NULL): those of an earlier run, which `user` tests use instead of computing. `policy`:
// its path, for a corpus. RESULT_NOMEM.
enum result policy_test_run(struct policy_bench *b, uint32_t theorem, const struct fact *facts,
                            const char *policy, struct test_result *out) MERIT_NODISCARD;
// What all tests of the image look at. RESULT_NOMEM.
enum result policy_test_coverage(struct policy_bench *b, const struct test_result *results,
                                 uint32_t count, struct test_coverage *out) MERIT_NODISCARD;

#endif
