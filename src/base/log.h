// Log lines that never make an event loop wait.
//
// A `log_sink` owns a file and one writer thread. Each producer thread has a `log_stream` of its own: a
// single-producer single-consumer ring. `log_line` copies a whole line into it or, when it is full, counts the line
// as dropped; it makes no system call. The writer wakes when a ring is half full and every LOG_FLUSH_MS otherwise
// while there is something to write. `log_sink_reopen` is for log rotation.
#ifndef MERIT_BASE_LOG_H
#define MERIT_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"
#include "base/slice.h"

enum { LOG_RING_BYTES = 256 * 1024, LOG_FLUSH_MS = 100, LOG_STREAMS_MAX = 64 };

struct log_sink;
struct log_stream;

// `path` "-" is standard output, "stderr" standard error; otherwise the file is appended to, mode 0640.
// RESULT_IO (errno says why), RESULT_NOMEM.
enum result log_sink_open(struct log_sink **out, const char *path);
// Writes what is left, joins the writer, frees the sink and its streams. Producers must have stopped.
void log_sink_close(struct log_sink *s);
// Opens the path anew before the next write. Any thread.
void log_sink_reopen(struct log_sink *s);
// Waits (bounded by a second) until all lines so far are written; for tests and shutdown.
void log_sink_flush(struct log_sink *s);

// A ring for the calling thread, owned by the sink. RESULT_LIMIT past LOG_STREAMS_MAX.
enum result log_stream_open(struct log_sink *s, struct log_stream **out);
// Appends `line` and a newline. False when it was dropped. Wait-free.
bool log_line(struct log_stream *s, struct slice line);
// Lines dropped so far, all streams.
uint64_t log_sink_dropped(const struct log_sink *s);

#endif
