// The `merit` program: finds the command and hands over.
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "base/diag.h"
#include "cli/commands.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"serve", cmd_serve, "the router as a server: an OpenAI endpoint in front of your models"},
    {"route", cmd_route, "decide on one request without calling anything, and say why"},
    {"init", cmd_init, "find model servers and keys, and write a policy for them"},
    {"policy", cmd_policy, "check, format and explain a policy"},
    {"doctor", cmd_doctor, "check a set-up and say what to do"},
    {"key", cmd_key, "keys of callers: create, list, rotate, revoke"},
    {"pool", cmd_pool, "the live pool of a running server: list, add, drain, resume, remove"},
    {"ledger", cmd_ledger, "what requests took and saved, budgets, export, reconciliation"},
    {"signal", cmd_signal, "list signals, and measure them on labelled texts"},
    {"train", cmd_train, "train the head of a signal on labelled texts"},
    {"model", cmd_model, "encoder models: list, fetch, add, time"},
    {"price", cmd_price, "what a request takes: prices, curves of energy, one request reckoned"},
    {"embed", cmd_embed, "the embedding of a text"},
    {"classify", cmd_classify, "what a classifier says of a text"},
    {"sim", cmd_sim, "simulated models behind an OpenAI endpoint"},
};

static void usage(FILE *to)
{
    fputs("merit " MERIT_VERSION ": a semantic router for LLM traffic\n\n"
          "usage: merit COMMAND [options]\n\n",
          to);
    for (size_t i = 0; i < MERIT_COUNT(commands); i++)
        fprintf(to, "  %-8s  %s\n", commands[i].name, commands[i].summary);
    fputs("  version   the version of this program\n"
          "  help      this text, or the help of a command\n\n"
          "Each command has --help. Exit codes: 0 done, 1 found something, 2 usage.\n",
          to);
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < MERIT_COUNT(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

// The only name that begins so, as `pol` does `policy`; -1 when there are none or several.
static int beginning(struct slice given, const struct slice *names, size_t n)
{
    int found = -1;
    for (size_t i = 0; i < n; i++) {
        if (!given.len || !slice_starts_with(names[i], given))
            continue;
        if (found >= 0)
            return -1;
        found = (int)i;
    }
    return found;
}

static int unknown(const char *name)
{
    struct slice names[MERIT_COUNT(commands) + 2];
    size_t n = 0;
    for (size_t i = 0; i < MERIT_COUNT(commands); i++)
        names[n++] = slice_cstr(commands[i].name);
    names[n++] = SLICE("version");
    names[n++] = SLICE("help");
    fprintf(stderr, "merit: there is no command \"%s\"", name);
    int near = beginning(slice_cstr(name), names, n);
    if (near < 0)
        near = diag_nearest(slice_cstr(name), names, n);
    if (near >= 0)
        fprintf(stderr, "; did you mean \"%.*s\"?", SLICE_FMT(names[near]));
    fputs("\n`merit --help` lists them.\n", stderr);
    return EXIT_USAGE;
}

static int help(int argc, char **argv)
{
    if (argc < 2) {
        usage(stdout);
        return EXIT_DONE;
    }
    const struct command *c = find(argv[1]);
    if (!c)
        return unknown(argv[1]);
    static char flag[] = "--help";
    char *args[] = {argv[1], flag, NULL};
    return c->run(2, args);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
        return help(argc - 1, argv + 1);
    if (strcmp(name, "version") == 0 || strcmp(name, "--version") == 0) {
        bool json = argc > 2 && strcmp(argv[2], "--json") == 0;
        puts(json ? "{\"version\":\"" MERIT_VERSION "\"}" : "merit " MERIT_VERSION);
        return EXIT_DONE;
    }
    const struct command *c = find(name);
    return c ? c->run(argc - 1, argv + 1) : unknown(name);
}
