// A policy that a `merit policy` command works on: read, compiled, with its findings told.
#ifndef MERIT_CLI_POLICY_SESSION_H
#define MERIT_CLI_POLICY_SESSION_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/diag.h"
#include "policy/policy.h"

struct policy_session {
    const char *command;     // "merit policy prove", for messages
    const char *name, *file; // for messages; the path, NULL for the built-in policy
    struct buf text;         // the file, then what was added to it
    size_t own_len;          // ... of which this is the file
    struct arena arena;
    struct diag_list diags;
    const struct tree *tree;
    const struct policy_image *image;
    const struct policy_places *places;
};

// Reads what `path` names (policy_file_read) and compiles it together with `added`: statements, each on lines of its own.
// EXIT_DONE, or the exit code to leave with, after a message on standard error. Close it in both cases.
int policy_session_open(struct policy_session *s, const char *command, const char *path,
                        struct slice added);
void policy_session_close(struct policy_session *s);

// Tells the findings on standard error, as policy_session_open does when there is an error.
void policy_session_report(struct policy_session *s);

// The text of a span on one line: runs of white space are one space, comments are left out.
void policy_session_quote(const struct policy_session *s, uint32_t begin, uint32_t end,
                          struct buf *out);

#endif
