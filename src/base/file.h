// Whole small files: read with a cap, replaced at once or not at all.
#ifndef MERIT_BASE_FILE_H
#define MERIT_BASE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"

// Appends the file to `out`, at most out->cap bytes in all. RESULT_NOT_FOUND, RESULT_IO (errno; a directory is
// EISDIR), RESULT_LIMIT, RESULT_NOMEM. `path` "-" is standard input.
enum result file_read(const char *path, struct buf *out) MERIT_NODISCARD;

// Writes a temporary file beside `path`, syncs it and renames it over `path`, so that a reader sees the old or the new
// text and a power cut leaves one of them. RESULT_IO (errno; the old file is untouched and the temporary one gone).
enum result file_replace(const char *path, struct slice text, unsigned mode) MERIT_NODISCARD;
// Creates a new file; RESULT_EXISTS when there is one.
enum result file_create(const char *path, struct slice text, unsigned mode) MERIT_NODISCARD;

// Makes a folder and those above it that are missing. RESULT_OK also when it is there. RESULT_IO (errno), RESULT_LIMIT.
enum result file_make_folder(const char *path, unsigned mode) MERIT_NODISCARD;

// The system's words for an errno, in `room`: "No such file or directory".
enum { FILE_ERROR_BYTES = 128 };
const char *file_error(int err, char room[FILE_ERROR_BYTES]);
// Why a function of this file failed, right behind the call: errno's words for RESULT_IO and RESULT_NOT_FOUND, else
// a word for `r`.
const char *file_problem(enum result r, char room[FILE_ERROR_BYTES]);

// Tests only, process-wide: the n-th open, read, write, sync or rename of this file's functions from now on fails with
// EIO (1 is the next one); 0 disarms.
void file_fail_at(uint64_t n);
// For modules that make such calls themselves: true, with errno set, when this one must fail.
bool file_fails(void);

#endif
