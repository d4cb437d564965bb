// Another program, run to its end: its output kept for the error message, its time bounded.
#ifndef MERIT_MODEL_PROCESS_H
#define MERIT_MODEL_PROCESS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/result.h"

// Finds argv[0] by PATH, gives it an empty standard input, and appends standard output and error to `output`; what is over
// its cap is dropped. The program is of the caller's process group, so that an interrupt of the terminal ends both.
// RESULT_OK with the exit status in `*status` (128 + n: ended by signal n); RESULT_NOT_FOUND (no such program),
// RESULT_TIMEOUT (it was ended after `timeout_ms`), RESULT_IO, RESULT_NOMEM.
enum result process_run(const char *const *argv, uint32_t timeout_ms, struct buf *output,
                        int *status) MERIT_NODISCARD;

#endif
