// merit policy diff
#include <stdio.h>

#include "cli/args.h"
#include "cli/commands.h"
#include "cli/policy_session.h"
#include "proof/diff.h"

static const char usage[] = "usage: merit policy diff OLD NEW [--markdown | --json]\n"
                            "\n"
                            "Tells what changes from one policy to another, for every request "
                            "there is: whether the new one allows\n"
                            "the same, less (stricter), more (looser) or both; which share of "
                            "requests moves from which route to\n"
                            "which, with one request each; and what is written differently. A "
                            "share is of all combinations of\n"
                            "signal values, each value weighing the same: it says how much of the "
                            "policy moves, not of the traffic.\n"
                            "\n"
                            "  --markdown   for a pull request\n"
                            "  --json       one JSON document\n"
                            "\n"
                            "Exit: 0 every request gets the same, 1 something changes, 2 usage.\n"
                            "\n"
                            "  merit policy diff main.merit branch.merit --markdown\n";

int cmd_policy_diff(int argc, char **argv)
{
    bool markdown = false, json = false;
    const struct args_option options[] = {{"--markdown", NULL, &markdown}, {"--json", NULL, &json}};
    struct args a = {.command = "merit policy diff",
                     .usage = usage,
                     .options = options,
                     .option_count = MERIT_COUNT(options),
                     .word_min = 2,
                     .word_max = 2};
    struct policy_session old, new;
    struct diff_report report;
    struct buf out;
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    if (markdown && json) {
        fprintf(stderr, "%s: --markdown or --json, not both\n", a.command);
        return EXIT_USAGE;
    }
    buf_init(&out, 64 * 1024 * 1024);
    int code_old = policy_session_open(&old, a.command, a.words[0], SLICE_EMPTY);
    int code_new = policy_session_open(&new, a.command, a.words[1], SLICE_EMPTY);
    code = code_old ? code_old : code_new;
    if (!code) {
        enum result r = diff_policies(old.image, new.image, NULL, &new.arena, &report);
        if (r) {
            fprintf(stderr, "%s: %s\n", a.command,
                    r == RESULT_LIMIT ? "the two policies are too large to be compared"
                                      : result_name(r));
            code = EXIT_FOUND;
        } else {
            if (markdown)
                diff_markdown(&report, slice_cstr(old.name), slice_cstr(new.name), &out);
            else if (json)
                diff_json(&report, &out);
            else
                diff_text(&report, &out);
            code = args_put(&out);
            code = code ? code : report.same ? EXIT_DONE : EXIT_FOUND;
        }
    }
    buf_deinit(&out);
    policy_session_close(&old);
    policy_session_close(&new);
    return code;
}
