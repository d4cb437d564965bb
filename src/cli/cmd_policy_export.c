// merit policy export
#include <stdio.h>

#include "cli/args.h"
#include "cli/commands.h"
#include "cli/policy_session.h"
#include "proof/graph.h"
#include "proof/smtlib.h"
#include "proof/theorem.h"
#include "signal/registry.h"

static const char usage[] =
    "usage: merit policy export FILE --smtlib | --json | --dot\n"
    "\n"
    "Writes a policy in a form that other programs read.\n"
    "\n"
    "  --smtlib   what is proved of it, as one script in SMT-LIB 2 for z3, cvc5 and others. Each "
    "question\n"
    "             stands between (push) and (pop) with what Merit answers: `; expect sat` or "
    "`unsat`\n"
    "  --json     its routes, steps, models and sinks as nodes and edges\n"
    "  --dot      the same as a picture for Graphviz\n"
    "\n"
    "  merit policy export clinic.merit --smtlib > clinic.smt2 && z3 clinic.smt2\n"
    "  merit policy export clinic.merit --dot | dot -Tsvg > clinic.svg\n";

static enum result write_smtlib(struct policy_session *s, struct buf *out)
{
    struct theorem_prover prover;
    const struct smtlib_options answers = {theorem_expect, &prover};
    enum result r = theorem_open(&prover, s->image, &signal_registry, NULL, &s->arena);
    // Without room for its own answers the questions are worth as much.
    if (r && r != RESULT_LIMIT)
        return r;
    bool open = !r;
    r = smtlib_write(s->image, open ? &answers : NULL, out);
    if (open)
        theorem_close(&prover);
    return r;
}

int cmd_policy_export(int argc, char **argv)
{
    bool smtlib = false, json = false, dot = false;
    const struct args_option options[] = {
        {"--smtlib", NULL, &smtlib}, {"--json", NULL, &json}, {"--dot", NULL, &dot}};
    struct args a = {.command = "merit policy export",
                     .usage = usage,
                     .options = options,
                     .option_count = MERIT_COUNT(options),
                     .word_min = 1,
                     .word_max = 1};
    struct policy_session s;
    struct buf out;
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    if (smtlib + json + dot != 1) {
        fprintf(stderr, "%s: say one of --smtlib, --json and --dot\n", a.command);
        return EXIT_USAGE;
    }
    buf_init(&out, SMTLIB_BYTES_MAX);
    code = policy_session_open(&s, a.command, a.words[0], SLICE_EMPTY);
    if (!code) {
        enum result r = RESULT_OK;
        if (smtlib)
            r = write_smtlib(&s, &out);
        else if (json)
            graph_json(s.image, &out);
        else
            graph_dot(s.image, &out);
        if (r) {
            fprintf(stderr, "%s: %s: %s\n", a.command, s.name, result_name(r));
            code = EXIT_FOUND;
        } else {
            code = args_put(&out);
        }
    }
    buf_deinit(&out);
    policy_session_close(&s);
    return code;
}
