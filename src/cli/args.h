// The options of a command line, the same way for every command.
//
// `--name value`, `--name=value`, `--switch`; `--` ends options; everything else is a word. `--help` prints the usage.
// Mistakes go to standard error with the nearest known option.
#ifndef MERIT_CLI_ARGS_H
#define MERIT_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

// An option that may stand several times, and its values.
enum { ARGS_MANY_MAX = 64 };
struct args_many {
    const char *name; // "--claim"
    const char *at[ARGS_MANY_MAX];
    size_t count;
};

struct args_option {
    const char *name;   // "--caller"
    const char **value; // where its value goes, or NULL
    bool *flag;         // set to true, for an option without value
};

struct args {
    const char *command; // "merit key create", for messages
    const char *usage;   // printed by --help
    const struct args_option *options;
    size_t option_count;
    struct args_many *many; // or NULL
    size_t word_min, word_max;
    const char *words[8]; // out
    size_t word_count;    // out
};

enum { ARGS_GO_ON = -1 };
// Reads argv[1] to the end. ARGS_GO_ON, or the exit code to leave with.
int args_read(struct args *a, int argc, char **argv);

// "90d", "12h", "30m", "45s", in seconds; at most 100 years.
bool args_duration(const char *text, uint64_t *seconds);

// Writes a buffer to standard output. EXIT_DONE, or EXIT_FOUND with a message when it was cut or cannot be written.
int args_put(const struct buf *out);

#endif
