#include "cli/policy_mutants.h"

#include <string.h>

#include "policy/policy.h"
#include "proof/check.h"
#include "proof/diff.h"
#include "signal/registry.h"

// One mutant, compiled in memory that is used again for the next.
struct trial {
    const struct mutant_run *run;
    const struct mutant *mutant;
    struct mutant_result *result;
    struct arena arena;
    struct buf text;
    struct diag_list diags;
    const struct policy_image *image;
    struct policy_bench bench;
};

static enum result keep(struct trial *t, struct slice s, struct slice *out)
{
    *out = arena_copy(t->run->arena, s);
    return out->ptr ? RESULT_OK : RESULT_NOMEM;
}

// A theorem of the mutant stands where it stood: nothing that is changed adds or removes one.
static enum result ask_test(struct trial *t, const struct test_result *was, bool *killed)
{
    const struct image_theorem *first =
        IMAGE_AT(t->run->image, t->run->image->theorems, struct image_theorem);
    uint32_t index = (uint32_t)(was->theorem - first);
    struct test_result now;
    if (was->state != TEST_PASSED || was->theorem->corpus.len)
        return RESULT_OK;
    // Values that were computed hold for the mutant, unless it defines its signals otherwise.
    const struct fact *facts = t->mutant->signals ? NULL : was->facts;
    enum result r = policy_test_run(&t->bench, index, facts, NULL, &now);
    if (!r && now.state != TEST_PASSED && now.state != TEST_NOT_PROVED) {
        *killed = true;
        t->result->fate = MUTANT_KILLED_TEST;
        r = keep(t, image_text(t->run->image, was->theorem->name), &t->result->by);
    }
    return r;
}

static enum result ask_proof(struct trial *t, uint32_t theorem, bool *killed)
{
    struct theorem_answer now;
    enum result r = theorem_ask(&t->bench.prover, theorem, NULL, &now);
    if (!r && now.verdict == THEOREM_REFUTED) {
        *killed = true;
        t->result->fate = MUTANT_KILLED_PROOF;
    }
    return r;
}

static enum result judge(struct trial *t, bool *killed)
{
    const struct mutant_run *run = t->run;
    enum result r = RESULT_OK;
    for (uint32_t i = 0; i < run->test_count && !r && !*killed; i++)
        r = ask_test(t, &run->tests[i], killed);
    for (uint32_t i = 0; i < run->image->theorems.count && !r && !*killed; i++)
        if (run->proved[i])
            r = ask_proof(t, i, killed);
    return r;
}

static enum result check(struct trial *t, bool *killed)
{
    struct proof_report report;
    const struct proof_options options = {.registry = &signal_registry};
    enum result r = proof_check(t->image, &options, &t->arena, &t->diags, &report);
    if (!r && t->diags.errors) {
        *killed = true;
        t->result->fate = MUTANT_KILLED_CHECK;
    }
    return r;
}

static enum result compare(struct trial *t)
{
    struct slice witness, becomes;
    enum sat_answer a = diff_differs(t->run->image, t->image, NULL, &t->arena, &witness, &becomes);
    t->result->fate = a == SAT_NO ? MUTANT_EQUAL : a == SAT_YES ? MUTANT_LIVES : MUTANT_OPEN;
    if (a != SAT_YES)
        return RESULT_OK;
    enum result r = keep(t, witness, &t->result->witness);
    if (!r && !slice_eq(witness, becomes))
        r = keep(t, becomes, &t->result->becomes);
    return r;
}

static enum result run_one(struct trial *t)
{
    bool killed = false;
    buf_reset(&t->text);
    mutant_apply(t->run->source, t->mutant, &t->text);
    enum result r = buf_result(&t->text);
    if (!r)
        r = policy_load(buf_slice(&t->text), &signal_registry, &t->arena, &t->diags, &t->image);
    if (r && t->diags.errors) {
        t->result->fate = MUTANT_KILLED_CHECK;
        return RESULT_OK;
    }
    if (!r)
        r = policy_bench_open(&t->bench, t->image, t->run->trunk, &t->arena, &t->diags);
    if (!r)
        r = judge(t, &killed);
    if (!r && !killed)
        r = check(t, &killed);
    if (!r && !killed)
        r = compare(t);
    policy_bench_close(&t->bench);
    if (r == RESULT_LIMIT) {
        t->result->fate = MUTANT_OPEN;
        r = RESULT_OK;
    }
    return r;
}

enum result policy_mutants_run(const struct mutant_run *run, const struct mutant_list *mutants,
                               struct mutant_result *results)
{
    struct trial t;
    enum result r = RESULT_OK;
    memset(&t, 0, sizeof t);
    t.run = run;
    arena_init(&t.arena, 256 * 1024, POLICY_ARENA_MAX);
    buf_init(&t.text, POLICY_BYTES_MAX);
    for (uint32_t i = 0; i < mutants->count && !r; i++) {
        arena_reset(&t.arena);
        diag_init(&t.diags, &t.arena, POLICY_DIAGS_MAX);
        t.mutant = &mutants->at[i];
        t.result = &results[i];
        *t.result = (struct mutant_result){.mutant = t.mutant, .fate = MUTANT_OPEN};
        r = run_one(&t);
        if (run->progress)
            run->progress(run->ctx, i + 1, mutants->count);
    }
    buf_deinit(&t.text);
    arena_deinit(&t.arena);
    return r;
}
