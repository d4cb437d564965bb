// Where a command finds its policy.
#ifndef MERIT_CLI_POLICY_FILE_H
#define MERIT_CLI_POLICY_FILE_H

#include "base/buf.h"
#include "base/result.h"
#include "base/slice.h"

// The policy that is built in: the demo pool and everything that rules can see. Source: examples/demo.merit.
extern const struct slice POLICY_DEMO;

// Reads the policy that `path` names into `text` (its cap is the limit) and tells its name for messages. "demo" is the
// built-in one; NULL looks at $MERIT_POLICY, then at ./merit.merit, then takes the built-in one.
// `*name` is `path`, static or of the environment. `*file` (may be NULL) is the path to watch, or
// NULL for the built-in one. Results as file_read.
enum result policy_file_read(const char *path, struct buf *text, const char **name,
                             const char **file) MERIT_NODISCARD;

#endif
