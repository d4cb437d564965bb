// merit policy check | fmt | explain
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/encoders.h"
#include "cli/policy_file.h"
#include "cli/price_file.h"
#include "policy/explain.h"
#include "policy/fmt.h"
#include "policy/policy.h"
#include "proof/check.h"
#include "route/costs.h"
#include "signal/doubt.h"
#include "signal/plan.h"
#include "signal/registry.h"

static const char usage[] =
    "usage: merit policy check FILE [--serve] [--notes] [--json | --quiet]\n"
    "           prove it: what is wrong, with a request that shows it and a remedy; what\n"
    "           routes cost; with --serve also what the server of this build cannot run,\n"
    "           with --notes which routes overlap and what is left to `otherwise`\n"
    "       merit policy fmt FILE [--write | --check]  one layout; comments stay\n"
    "       merit policy explain FILE [--json]         what the policy says, in plain language\n"
    "       merit policy prove FILE [--claim TEXT]... [--json]   answers what it claims, for every "
    "request\n"
    "       merit policy test FILE [--mutants] [--json]          runs its tests\n"
    "       merit policy diff OLD NEW [--markdown | --json]      what changes, for every request\n"
    "       merit policy export FILE --smtlib | --json | --dot   for other programs\n"
    "       merit policy lsp                           a language server for editors, on stdin and "
    "stdout\n"
    "\n"
    "FILE is the path of a policy, `-` for standard input, or `demo` for the built-in one.\n"
    "Exit: 0 done, 1 found something, 2 usage.\n"
    "\n"
    "  merit policy check home.merit\n"
    "  merit policy fmt --write home.merit\n"
    "  merit policy explain demo\n";

enum verb { VERB_CHECK, VERB_FMT, VERB_EXPLAIN };

struct options {
    enum verb verb;
    const char *path;
    bool json, quiet, serve, notes, write, check_only, help;
};

// What all three commands hold.
struct session {
    struct options options;
    struct buf text, out;
    const char *name, *file;
    struct arena arena;
    struct diag_list diags;
};

static bool usage_error(const char *what, const char *arg)
{
    fprintf(stderr, "merit policy: %s%s%s\n%s", what, arg ? " " : "", arg ? arg : "", usage);
    return false;
}

static bool read_options(int argc, char **argv, struct options *o)
{
    bool verb = false;
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (!strcmp(a, "--help") || !strcmp(a, "-h"))
            o->help = true;
        else if (!strcmp(a, "--json"))
            o->json = true;
        else if (!strcmp(a, "--quiet"))
            o->quiet = true;
        else if (!strcmp(a, "--notes"))
            o->notes = true;
        else if (!strcmp(a, "--serve"))
            o->serve = true;
        else if (!strcmp(a, "--write"))
            o->write = true;
        else if (!strcmp(a, "--check"))
            o->check_only = true;
        else if (a[0] == '-' && a[1])
            return usage_error("there is no flag", a);
        else if (!verb && (!strcmp(a, "check") || !strcmp(a, "fmt") || !strcmp(a, "explain")))
            verb = true, o->verb = !strcmp(a, "check") ? VERB_CHECK
                                   : !strcmp(a, "fmt") ? VERB_FMT
                                                       : VERB_EXPLAIN;
        else if (!verb)
            return usage_error("there is no command", a);
        else if (o->path)
            return usage_error("one file at a time, not also", a);
        else
            o->path = a;
    }
    if (o->help)
        return true;
    if (!verb)
        return usage_error("say check, fmt or explain", NULL);
    if (!o->path)
        return usage_error("name the policy's file", NULL);
    if ((o->write || o->check_only) && o->verb != VERB_FMT)
        return usage_error("--write and --check belong to fmt", NULL);
    if (o->quiet && (o->verb != VERB_CHECK || o->json))
        return usage_error("--quiet belongs to check, without --json", NULL);
    if ((o->serve || o->notes) && o->verb != VERB_CHECK)
        return usage_error("--serve and --notes belong to check", NULL);
    if (o->json && o->verb == VERB_FMT)
        return usage_error("--json belongs to check and explain", NULL);
    return true;
}

static void print(FILE *to, const struct buf *b)
{
    if (b->len)
        fwrite(b->ptr, 1, b->len, to);
}

static void report(struct session *s)
{
    struct buf text;
    buf_init(&text, 16 * 1024 * 1024);
    diag_render(&s->diags, buf_slice(&s->text), slice_cstr(s->name),
                isatty(STDERR_FILENO) && !s->options.json, &text);
    print(stderr, &text);
    buf_deinit(&text);
}

static int failed(const struct session *s, const char *what, enum result r)
{
    char room[FILE_ERROR_BYTES];
    fprintf(stderr, "merit policy: %s %s: %s\n", what, s->name, file_problem(r, room));
    return EXIT_FOUND;
}

// What only shows when the signals are made ready, as a server would: heads, their encoder, patterns. With what signals
// are guessed to cost.
static enum result prepare(struct session *s, const struct policy_image *image,
                           const struct policy_places *places, struct route_costs *costs)
{
    struct encoders encoders;
    struct plan *plan = NULL;
    enum result r = encoders_open(&encoders, &encoders_for_commands, &s->out);
    buf_reset(&s->out);
    if (!r)
        r = plan_open(image, &signal_registry, encoders.service, SLICE_EMPTY, &s->diags, &plan);
    if (!r)
        r = plan_doubts(plan, places, &s->diags);
    if (!r)
        r = route_costs_guess(image, plan, &s->arena, costs);
    if (plan)
        plan_close(plan);
    encoders_close(&encoders);
    return r;
}

// What the check is about, compiled and proved.
struct checked {
    const struct policy_image *image;
    struct proof_report report;
};

static enum result prove(struct session *s, struct checked *c)
{
    const struct tree *tree;
    const struct policy_places *places;
    struct route_costs costs;
    enum result r = policy_parse(buf_slice(&s->text), &s->arena, &s->diags, &tree);
    if (r && !tree)
        return r;
    const struct price_list *prices;
    enum result compiled = price_file_open(NULL, &s->arena, &prices);
    if (!compiled)
        compiled = policy_compile_priced(tree, &signal_registry, prices, &s->arena, &s->diags,
                                         &c->image, &places);
    if (r || compiled)
        return r ? r : compiled;
    if ((r = prepare(s, c->image, places, &costs)))
        return r;
    const struct proof_options options = {.places = places,
                                          .registry = &signal_registry,
                                          .costs = &costs,
                                          .serving = s->options.serve,
                                          .notes = s->options.notes,
                                          .report = true};
    r = proof_check(c->image, &options, &s->arena, &s->diags, &c->report);
    return r ? r : s->diags.errors ? RESULT_SYNTAX : RESULT_OK;
}

static void print_check_json(struct session *s, const struct checked *c, enum result r)
{
    buf_printf(&s->out, "{\"ok\":%s,\"findings\":", r ? "false" : "true");
    diag_render_json(&s->diags, buf_slice(&s->text), &s->out);
    BUF_LIT(&s->out, ",\"routes\":");
    if (c->report.routes)
        proof_write_routes_json(c->image, &c->report, &s->out);
    else
        BUF_LIT(&s->out, "[]");
    buf_printf(&s->out,
               ",\"not_proved\":%u,\"assumed\":%u,\"places\":%u,\"effort\":{\"questions\":%llu,"
               "\"conflicts\":%llu,\"propagations\":%llu}}\n",
               c->report.not_proved, c->report.assumed, c->report.places,
               (unsigned long long)c->report.effort.questions,
               (unsigned long long)c->report.effort.conflicts,
               (unsigned long long)c->report.effort.propagations);
    print(stdout, &s->out);
}

static uint32_t count_of(const struct diag_list *l, enum diag_severity severity)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->count; i++)
        n += l->items[i].severity == severity;
    return n;
}

static int check(struct session *s)
{
    struct checked c = {0};
    enum result r = prove(s, &c);
    if (s->options.json) {
        print_check_json(s, &c, r);
        return r ? EXIT_FOUND : EXIT_DONE;
    }
    report(s);
    if (r && !s->diags.errors)
        return failed(s, "cannot check", r);
    if (c.report.routes && !s->options.quiet)
        proof_write_routes(c.image, &c.report, &s->out);
    print(stdout, &s->out);
    fflush(stdout); // so that what stands on both stays in order
    if (r) {
        fprintf(stderr, "%s: %u error%s\n", s->name, s->diags.errors,
                s->diags.errors == 1 ? "" : "s");
        return EXIT_FOUND;
    }
    const struct policy_image *image = c.image;
    uint32_t warnings = count_of(&s->diags, DIAG_WARNING);
    if (!s->options.quiet) {
        buf_reset(&s->out);
        proof_write_guarantee(image, &s->out);
        printf("proved: %.*s\n", SLICE_FMT(buf_slice(&s->out)));
    }
    printf("%s: ok, %u model%s, %u signal%s, %u route%s", s->name, image->models.count,
           image->models.count == 1 ? "" : "s", image->signals.count,
           image->signals.count == 1 ? "" : "s", image->routes.count,
           image->routes.count == 1 ? "" : "s");
    if (warnings)
        printf(", %u warning%s", warnings, warnings == 1 ? "" : "s");
    printf("\n");
    return EXIT_DONE;
}

static int explain(struct session *s)
{
    const struct policy_image *image = NULL;
    const struct policy_places *places;
    const struct price_list *prices;
    const struct tree *tree = NULL;
    enum result r = price_file_open(NULL, &s->arena, &prices);
    if (!r)
        r = policy_parse(buf_slice(&s->text), &s->arena, &s->diags, &tree);
    if (tree) {
        enum result compiled = policy_compile_priced(tree, &signal_registry, prices, &s->arena,
                                                     &s->diags, &image, &places);
        r = r ? r : compiled;
    }
    if (r) {
        report(s);
        return failed(s, "does not load:", r);
    }
    if (s->options.json)
        explain_policy_json(image, &s->out);
    else
        explain_policy(image, &s->out);
    print(stdout, &s->out);
    return EXIT_DONE;
}

static int format(struct session *s)
{
    const struct tree *tree, *again;
    enum result r = policy_parse(buf_slice(&s->text), &s->arena, &s->diags, &tree);
    if (r) {
        report(s);
        return failed(s, "cannot format", r);
    }
    if ((r = fmt_policy(tree, &s->out)))
        return failed(s, "cannot format", r);
    // Nothing is written that does not read back as the same policy.
    if (policy_parse(buf_slice(&s->out), &s->arena, &s->diags, &again) || !tree_equal(tree, again))
        return failed(s, "formatting would change", RESULT_TYPE);
    bool same = slice_eq(buf_slice(&s->text), buf_slice(&s->out));
    if (s->options.check_only) {
        if (!same)
            fprintf(stderr, "%s: not formatted; `merit policy fmt --write %s` does it\n", s->name,
                    s->name);
        return same ? EXIT_DONE : EXIT_FOUND;
    }
    if (!s->options.write) {
        print(stdout, &s->out);
        return EXIT_DONE;
    }
    if (!s->file || !strcmp(s->options.path, "-")) {
        fprintf(stderr, "merit policy: there is no file to write to\n");
        return EXIT_USAGE;
    }
    struct stat st;
    unsigned mode = stat(s->file, &st) == 0 ? st.st_mode & 0777 : 0644;
    if (!same && (r = file_replace(s->file, buf_slice(&s->out), mode)))
        return failed(s, "cannot write", r);
    return EXIT_DONE;
}

// Commands with options of their own, each in its file.
static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} others[] = {{"prove", cmd_policy_prove},
              {"test", cmd_policy_test},
              {"diff", cmd_policy_diff},
              {"export", cmd_policy_export},
              {"lsp", cmd_policy_lsp}};

int cmd_policy(int argc, char **argv)
{
    for (size_t i = 0; i < MERIT_COUNT(others) && argc > 1; i++)
        if (!strcmp(argv[1], others[i].name))
            return others[i].run(argc - 1, argv + 1);
    struct session s;
    memset(&s, 0, sizeof s);
    if (!read_options(argc, argv, &s.options))
        return EXIT_USAGE;
    if (s.options.help) {
        fputs(usage, stdout);
        return EXIT_DONE;
    }
    // One byte more than the limit, so that a longer file is told as a finding with the limit's name.
    buf_init(&s.text, POLICY_BYTES_MAX + 1);
    buf_init(&s.out, 64 * 1024 * 1024);
    arena_init(&s.arena, 0, POLICY_ARENA_MAX);
    diag_init(&s.diags, &s.arena, POLICY_DIAGS_MAX);
    int status;
    enum result r = policy_file_read(s.options.path, &s.text, &s.name, &s.file);
    if (!s.name)
        s.name = s.options.path;
    if (r == RESULT_LIMIT) {
        fprintf(stderr, "error[limit]: %s is longer than a policy may be, %d MiB\n", s.name,
                POLICY_BYTES_MAX / 1024 / 1024);
        status = EXIT_FOUND;
    } else if (r) {
        status = failed(&s, "cannot read", r);
    } else {
        status = s.options.verb == VERB_CHECK ? check(&s)
                 : s.options.verb == VERB_FMT ? format(&s)
                                              : explain(&s);
    }
    buf_deinit(&s.text);
    buf_deinit(&s.out);
    arena_deinit(&s.arena);
    return status;
}
