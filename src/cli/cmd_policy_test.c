// merit policy test
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/args.h"
#include "cli/commands.h"
#include "cli/encoders.h"
#include "cli/policy_mutants.h"
#include "cli/policy_session.h"
#include "policy/explain.h"
#include "proof/describe.h"
#include "text/json.h"

static const char usage[] =
    "usage: merit policy test FILE [--mutants] [--json]\n"
    "\n"
    "Runs the `test` statements of a policy. What a test does not say is arbitrary: it passes when "
    "what it\n"
    "expects holds for every request that is as it is given. With `given user \"...\"` the signals "
    "of that text\n"
    "are computed, and what else is given is fixed. Behind the tests stands what they look at: "
    "routes,\n"
    "constraints, sinks, and the conditions of guards that are both true and false somewhere.\n"
    "\n"
    "  --mutants   change the policy in small ways (turn a condition round, move a threshold one "
    "step, leave\n"
    "              out a constraint, exchange two routes) and name the changes that no test, no "
    "proof and no\n"
    "              check notices, with a request that shows each; changes that change nothing do "
    "not count\n"
    "  --json      {\"tests\": [...], \"coverage\": {...}, \"mutants\": {...}}\n"
    "\n"
    "A corpus (`test corpus \"cases.jsonl\" expect agree >= 0.98`) has a JSON object on each "
    "line:\n"
    "  {\"user\": \"...\", \"given\": {\"SIGNAL\": VALUE}, \"expect\": {\"route\": ..., \"model\": "
    "..., \"zone\": ...,\n"
    "   \"refuse\": true}}\n"
    "\n"
    "Exit: 0 all passed, 1 one failed, 2 usage.\n"
    "\n"
    "  merit policy test clinic.merit --mutants\n";

struct run {
    struct policy_session session;
    struct encoders encoders;
    struct policy_bench bench;
    struct test_result *tests;
    uint32_t count, passed;
    struct test_coverage coverage;
    struct mutant_list mutants;
    struct mutant_result *fates;
    uint32_t fate[MUTANT_FATES];
    struct buf out;
    bool with_mutants, json;
};

static const struct policy_image *image_of(const struct run *r)
{
    return r->session.image;
}

// ---- running

static enum result run_tests(struct run *r)
{
    const struct policy_image *p = image_of(r);
    const struct image_theorem *t = IMAGE_AT(p, p->theorems, struct image_theorem);
    enum result e = RESULT_OK;
    r->tests = ARENA_ARRAY(&r->session.arena, struct test_result, p->theorems.count + 1);
    if (!r->tests)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < p->theorems.count && !e; i++) {
        if (!t[i].is_test)
            continue;
        e = policy_test_run(&r->bench, i, NULL, r->session.file, &r->tests[r->count]);
        r->passed += !e && r->tests[r->count].state == TEST_PASSED;
        r->count++;
    }
    return e ? e : policy_test_coverage(&r->bench, r->tests, r->count, &r->coverage);
}

static void progress(void *ctx, uint32_t done, uint32_t all)
{
    (void)ctx;
    fprintf(stderr, "\r%u of %u mutants%s", done, all, done == all ? "\r\033[K" : "");
    fflush(stderr);
}

static enum result run_mutants(struct run *r)
{
    const struct policy_image *p = image_of(r);
    const struct image_theorem *t = IMAGE_AT(p, p->theorems, struct image_theorem);
    uint8_t *proved = ARENA_ARRAY(&r->session.arena, uint8_t, p->theorems.count + 1);
    struct theorem_answer a;
    enum result e =
        proved ? mutants_make(r->session.tree, &r->session.arena, &r->mutants) : RESULT_NOMEM;
    for (uint32_t i = 0; i < p->theorems.count && !e; i++) {
        if (t[i].is_test)
            continue;
        e = theorem_ask(&r->bench.prover, i, NULL, &a);
        proved[i] = a.verdict == THEOREM_PROVED;
    }
    r->fates = ARENA_ARRAY(&r->session.arena, struct mutant_result, r->mutants.count + 1);
    if (!e && !r->fates)
        e = RESULT_NOMEM;
    const struct mutant_run run = {.source = buf_slice(&r->session.text),
                                   .image = p,
                                   .trunk = r->encoders.service,
                                   .tests = r->tests,
                                   .test_count = r->count,
                                   .proved = proved,
                                   .arena = &r->session.arena,
                                   .progress = isatty(STDERR_FILENO) ? progress : NULL};
    if (!e)
        e = policy_mutants_run(&run, &r->mutants, r->fates);
    for (uint32_t i = 0; i < r->mutants.count && !e; i++)
        r->fate[r->fates[i].fate]++;
    return e;
}

// ---- for people

static void test_name(const struct run *r, const struct test_result *t, struct buf *out)
{
    const struct image_theorem *m = t->theorem;
    buf_reset(out);
    if (m->corpus.len)
        buf_printf(out, "corpus \"%.*s\"", SLICE_FMT(image_text(image_of(r), m->corpus)));
    else
        buf_printf(out, "\"%.*s\"", SLICE_FMT(image_text(image_of(r), m->name)));
}

static void failed_signals(struct run *r, const struct test_result *t)
{
    bool any = false;
    for (uint32_t i = 0; t->facts && i < image_of(r)->signals.count; i++) {
        const struct image_signal *s = image_signal(image_of(r), (int32_t)i);
        if (t->facts[i].state != FACT_FAILED || s->derive)
            continue;
        buf_printf(&r->out, "%s%.*s", any ? ", " : "        could not be computed here: ",
                   SLICE_FMT(image_text(image_of(r), s->name)));
        any = true;
    }
    if (any)
        BUF_LIT(&r->out, "\n");
}

static void tell_why(struct run *r, const struct test_result *t)
{
    const struct policy_image *p = image_of(r);
    const struct theorem_answer *a = &t->answer;
    struct buf *o = &r->out;
    if (t->state == TEST_EMPTY)
        BUF_LIT(o, "        no request is as this test says: it tests nothing\n");
    if (t->state == TEST_BROKEN)
        buf_printf(o, "        %.*s\n", SLICE_FMT(t->problem));
    if (t->theorem->corpus.len && t->state == TEST_FAILED)
        buf_printf(o, "        %u of %u lines agree, %.6g is asked for\n", t->agreed, t->lines,
                   t->theorem->agree_min);
    for (uint32_t i = 0; i < t->shown_count && t->state == TEST_FAILED; i++)
        buf_printf(o, "        line %u: %.*s\n", t->shown[i].line, SLICE_FMT(t->shown[i].why));
    if (a->claim >= 0 && !t->theorem->corpus.len) {
        BUF_LIT(o, "        expected ");
        theorem_claim_text(p, IMAGE_AT(p, t->theorem->claims, struct image_claim) + a->claim, o);
        buf_printf(o, ": %.*s\n", SLICE_FMT(a->why));
    }
    if (t->state == TEST_FAILED && a->witness.len) {
        BUF_LIT(o, "        merit route");
        if (r->session.file)
            buf_printf(o, " --policy %s", r->session.file);
        buf_printf(o, " --given '%.*s' ", SLICE_FMT(a->witness));
        if (t->theorem->user.len)
            json_write_string(o, image_text(p, t->theorem->user));
        else
            BUF_LIT(o, "\"...\"");
        BUF_LIT(o, "\n");
    }
    if (t->state != TEST_PASSED)
        failed_signals(r, t);
}

static void tell_tests(struct run *r)
{
    static const char *const words[] = {"pass", "FAIL", "FAIL", "FAIL", "FAIL"};
    struct buf name;
    buf_init(&name, POLICY_BYTES_MAX);
    for (uint32_t i = 0; i < r->count; i++) {
        const struct test_result *t = &r->tests[i];
        test_name(r, t, &name);
        buf_printf(&r->out, "%s    line %u  %.*s", words[t->state], t->theorem->line,
                   SLICE_FMT(buf_slice(&name)));
        if (t->theorem->corpus.len && t->state == TEST_PASSED)
            buf_printf(&r->out, ", %u of %u lines agree", t->agreed, t->lines);
        BUF_LIT(&r->out, "\n");
        tell_why(r, t);
    }
    buf_printf(&r->out, "%u test%s, %u passed, %u failed\n", r->count, r->count == 1 ? "" : "s",
               r->passed, r->count - r->passed);
    buf_deinit(&name);
}

static void gap(struct run *r, const char *what, struct slice name, uint32_t line)
{
    buf_printf(&r->out, "        no test reaches %s %.*s, line %u\n", what, SLICE_FMT(name), line);
}

static void tell_conditions(struct run *r)
{
    const struct policy_image *p = image_of(r);
    const struct test_coverage *c = &r->coverage;
    const struct image_node *all = IMAGE_AT(p, p->nodes, struct image_node);
    const struct image_atom *atoms = IMAGE_AT(p, p->atoms, struct image_atom);
    for (uint32_t i = 0; i < p->routes.count; i++) {
        const struct image_route *route = image_route(p, (int32_t)i);
        const struct image_node *n = IMAGE_AT(p, route->guard, struct image_node);
        for (uint32_t k = 0; k < route->guard.count; k++) {
            uint32_t at = (uint32_t)(n + k - all);
            if (n[k].kind != IMAGE_NODE_ATOM || (c->held[at] && c->failed[at]))
                continue;
            buf_printf(&r->out, "        %.*s of route %.*s, line %u: no test where it %s\n",
                       SLICE_FMT(image_text(p, atoms[n[k].arg].shown)),
                       SLICE_FMT(image_text(p, route->name)), route->line,
                       c->held[at]     ? "does not hold"
                       : c->failed[at] ? "holds"
                                       : "is asked");
        }
    }
}

static void tell_coverage(struct run *r)
{
    const struct policy_image *p = image_of(r);
    const struct test_coverage *c = &r->coverage;
    const struct image_constraint *q = IMAGE_AT(p, p->constraints, struct image_constraint);
    const struct image_sink *s = IMAGE_AT(p, p->sinks, struct image_sink);
    if (!r->count)
        return;
    buf_printf(
        &r->out,
        "covered: %u of %u routes, %u of %u constraints, %u of %u sinks, %u of %u conditions "
        "both ways\n",
        c->route_count, p->routes.count, c->constraint_count, p->constraints.count, c->sink_count,
        p->sinks.count, c->conditions_both, c->conditions);
    for (uint32_t i = 0; i < p->routes.count; i++)
        if (!c->routes[i])
            gap(r, "route", image_text(p, image_route(p, (int32_t)i)->name),
                image_route(p, (int32_t)i)->line);
    for (uint32_t i = 0; i < p->constraints.count; i++)
        if (!c->constraints[i])
            gap(r, "constraint", image_text(p, q[i].name), q[i].line);
    for (uint32_t i = 0; i < p->sinks.count; i++)
        if (!c->sinks[i])
            gap(r, "sink", image_text(p, s[i].name), s[i].line);
    tell_conditions(r);
}

static uint32_t killed(const struct run *r)
{
    return r->fate[MUTANT_KILLED_TEST] + r->fate[MUTANT_KILLED_PROOF] +
           r->fate[MUTANT_KILLED_CHECK];
}

static void tell_mutants(struct run *r)
{
    uint32_t total = r->mutants.count - r->fate[MUTANT_EQUAL];
    buf_printf(
        &r->out,
        "mutants: %u, of which %u change nothing; %u of %u noticed (%u by tests, %u by proofs, "
        "%u by the check)\n",
        r->mutants.count, r->fate[MUTANT_EQUAL], killed(r), total, r->fate[MUTANT_KILLED_TEST],
        r->fate[MUTANT_KILLED_PROOF], r->fate[MUTANT_KILLED_CHECK]);
    if (r->mutants.dropped)
        buf_printf(&r->out, "        %u more were not made: at most %d\n", r->mutants.dropped,
                   MUTANTS_MAX);
    for (uint32_t i = 0; i < r->mutants.count; i++) {
        const struct mutant_result *m = &r->fates[i];
        if (m->fate != MUTANT_LIVES && m->fate != MUTANT_OPEN)
            continue;
        buf_printf(&r->out, "        line %u, %s: %.*s", m->mutant->line,
                   mutant_kind_name(m->mutant->kind), SLICE_FMT(m->mutant->was));
        if (m->mutant->is.len)
            buf_printf(&r->out, "  →  %.*s", SLICE_FMT(m->mutant->is));
        if (m->fate == MUTANT_LIVES)
            buf_printf(&r->out, "\n            another outcome for %.*s%s%.*s\n",
                       SLICE_FMT(m->witness), m->becomes.len ? ", which becomes " : "",
                       SLICE_FMT(m->becomes));
        else
            BUF_LIT(&r->out, "\n            not proved that it changes anything\n");
    }
}

// ---- for programs

static void json_text(struct run *r, const char *key, struct slice s)
{
    buf_printf(&r->out, "\"%s\": ", key);
    json_write_string(&r->out, s);
}

static void json_test(struct run *r, const struct test_result *t)
{
    static const char *const states[] = {"passed", "failed", "empty", "not proved", "broken"};
    const struct policy_image *p = image_of(r);
    struct buf *o = &r->out, claim;
    buf_printf(o, "{\"line\": %u, ", t->theorem->line);
    json_text(r, "name",
              image_text(p, t->theorem->corpus.len ? t->theorem->corpus : t->theorem->name));
    buf_printf(o, ", \"result\": \"%s\"", states[t->state]);
    if (t->theorem->corpus.len)
        buf_printf(o, ", \"lines\": %u, \"agreed\": %u", t->lines, t->agreed);
    if (t->problem.len) {
        BUF_LIT(o, ", ");
        json_text(r, "problem", t->problem);
    }
    if (t->answer.claim >= 0 && !t->theorem->corpus.len) {
        buf_init(&claim, 64 * 1024);
        theorem_claim_text(p, IMAGE_AT(p, t->theorem->claims, struct image_claim) + t->answer.claim,
                           &claim);
        BUF_LIT(o, ", ");
        json_text(r, "expected", buf_slice(&claim));
        BUF_LIT(o, ", ");
        json_text(r, "why", t->answer.why);
        buf_deinit(&claim);
    }
    if (t->state == TEST_FAILED && t->answer.witness.len)
        buf_printf(o, ", \"witness\": %.*s", SLICE_FMT(t->answer.witness));
    if (t->shown_count) {
        BUF_LIT(o, ", \"disagree\": [");
        for (uint32_t i = 0; i < t->shown_count; i++) {
            buf_printf(o, "%s{\"line\": %u, ", i ? ", " : "", t->shown[i].line);
            json_text(r, "why", t->shown[i].why);
            BUF_LIT(o, "}");
        }
        BUF_LIT(o, "]");
    }
    BUF_LIT(o, "}");
}

static void json_coverage(struct run *r)
{
    const struct policy_image *p = image_of(r);
    const struct test_coverage *c = &r->coverage;
    buf_printf(&r->out,
               "{\"routes\": [%u, %u], \"constraints\": [%u, %u], \"sinks\": [%u, %u], "
               "\"conditions\": [%u, %u]}",
               c->route_count, p->routes.count, c->constraint_count, p->constraints.count,
               c->sink_count, p->sinks.count, c->conditions_both, c->conditions);
}

static void json_mutants(struct run *r)
{
    bool any = false;
    buf_printf(
        &r->out,
        ",\n\"mutants\": {\"made\": %u, \"equivalent\": %u, \"total\": %u, \"killed\": %u, "
        "\"by_tests\": %u, \"by_proofs\": %u, \"by_check\": %u, \"open\": %u, \"dropped\": %u, "
        "\"alive\": [",
        r->mutants.count, r->fate[MUTANT_EQUAL], r->mutants.count - r->fate[MUTANT_EQUAL],
        killed(r), r->fate[MUTANT_KILLED_TEST], r->fate[MUTANT_KILLED_PROOF],
        r->fate[MUTANT_KILLED_CHECK], r->fate[MUTANT_OPEN], r->mutants.dropped);
    for (uint32_t i = 0; i < r->mutants.count; i++) {
        const struct mutant_result *m = &r->fates[i];
        if (m->fate != MUTANT_LIVES && m->fate != MUTANT_OPEN)
            continue;
        buf_printf(&r->out, "%s\n  {\"line\": %u, \"kind\": \"%s\", ", any ? "," : "",
                   m->mutant->line, mutant_kind_name(m->mutant->kind));
        json_text(r, "was", m->mutant->was);
        BUF_LIT(&r->out, ", ");
        json_text(r, "is", m->mutant->is);
        if (m->witness.len)
            buf_printf(&r->out, ", \"witness\": %.*s", SLICE_FMT(m->witness));
        if (m->becomes.len)
            buf_printf(&r->out, ", \"becomes\": %.*s", SLICE_FMT(m->becomes));
        BUF_LIT(&r->out, "}");
        any = true;
    }
    BUF_LIT(&r->out, "]}");
}

static void tell_json(struct run *r)
{
    BUF_LIT(&r->out, "{\"tests\": [");
    for (uint32_t i = 0; i < r->count; i++) {
        buf_cstr(&r->out, i ? ",\n  " : "\n  ");
        json_test(r, &r->tests[i]);
    }
    BUF_LIT(&r->out, "],\n\"coverage\": ");
    json_coverage(r);
    if (r->with_mutants)
        json_mutants(r);
    BUF_LIT(&r->out, "}\n");
}

// ---- the command

static int test(struct run *r)
{
    struct policy_session *s = &r->session;
    struct buf notes;
    buf_init(&notes, 64 * 1024);
    enum result e = encoders_open(&r->encoders, &encoders_for_commands, &notes);
    buf_deinit(&notes);
    if (!e)
        e = policy_bench_open(&r->bench, s->image, r->encoders.service, &s->arena, &s->diags);
    if (!e)
        e = run_tests(r);
    if (!e && r->with_mutants)
        e = run_mutants(r);
    if (e && s->diags.errors) {
        policy_session_report(s);
        return EXIT_FOUND;
    }
    if (e) {
        fprintf(stderr, "%s: %s: %s\n", s->command, s->name,
                e == RESULT_LIMIT ? "the policy is too large to be tested" : result_name(e));
        return EXIT_FOUND;
    }
    if (r->json) {
        tell_json(r);
    } else {
        tell_tests(r);
        tell_coverage(r);
        if (r->with_mutants)
            tell_mutants(r);
    }
    int code = args_put(&r->out);
    return code ? code : r->passed < r->count ? EXIT_FOUND : EXIT_DONE;
}

int cmd_policy_test(int argc, char **argv)
{
    struct run r;
    memset(&r, 0, sizeof r);
    const struct args_option options[] = {{"--mutants", NULL, &r.with_mutants},
                                          {"--json", NULL, &r.json}};
    struct args a = {.command = "merit policy test",
                     .usage = usage,
                     .options = options,
                     .option_count = MERIT_COUNT(options),
                     .word_min = 1,
                     .word_max = 1};
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    buf_init(&r.out, 256 * 1024 * 1024);
    code = policy_session_open(&r.session, a.command, a.words[0], SLICE_EMPTY);
    if (!code)
        code = test(&r);
    policy_bench_close(&r.bench);
    encoders_close(&r.encoders);
    buf_deinit(&r.out);
    policy_session_close(&r.session);
    return code;
}
