// Files mapped read-only: weights are looked at where the page cache has them, shared between processes.
//
// A file that another program cuts short while it is mapped ends the process by SIGBUS, as with any mapped file:
// model files are replaced by renaming, never written in place.
#ifndef MERIT_MODEL_MAPPED_H
#define MERIT_MODEL_MAPPED_H

#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"

// What stays the same as long as nobody changed the file.
struct mapped_identity {
    uint64_t device, inode, bytes;
    int64_t changed_ns, modified_ns;
};

struct mapped {
    struct slice bytes; // ptr NULL when empty
    struct mapped_identity identity;
    uid_t owner;
    mode_t mode;
};

// RESULT_NOT_FOUND, RESULT_IO (errno; a folder is EISDIR, anything that is no file EINVAL), RESULT_LIMIT (more than
// `max_bytes`). An empty file is RESULT_OK.
enum result mapped_open(const char *path, uint64_t max_bytes, struct mapped *out) MERIT_NODISCARD;
void mapped_close(struct mapped *m);

// Without opening it. Results as mapped_open.
enum result mapped_identify(const char *path, struct mapped_identity *out) MERIT_NODISCARD;

#endif
