// Log lines that never make an event loop wait.
//
// A `log_sink` owns a file and one writer thread. Each producer thread has a `log_stream` of its own: a
// single-producer single-consumer ring. `log_line` copies a whole line into it or, when it is full, counts the line
// as dropped. It makes no system call while lines come in steadily: only the line that finds the writer idle wakes it,
// and the one that fills a ring past its half. The writer writes LOG_FLUSH_MS after the first line or at that half,
// and sleeps without a timer while nothing is written. Lines of one stream keep their order; those of several
// streams mix whole. Lines that the system refuses to take (disk full, pipe closed) are counted as dropped.
// `log_sink_reopen` is for log rotation.
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
// Opens the path anew before the next write, and soon; the old file stays when that fails. Any thread.
void log_sink_reopen(struct log_sink *s);
// Waits (bounded by a second) until all lines so far are written; for tests and shutdown.
void log_sink_flush(struct log_sink *s);

// A ring for the calling thread, owned by the sink. RESULT_LIMIT past LOG_STREAMS_MAX, RESULT_NOMEM. Any thread.
enum result log_stream_open(struct log_sink *s, struct log_stream **out);
// Appends `line`, which should hold no newline, and a newline. False when it was dropped (a line of LOG_RING_BYTES
// always is). Wait-free. Only the stream's own thread.
bool log_line(struct log_stream *s, struct slice line);
// Lines dropped so far, all streams. Any thread.
uint64_t log_sink_dropped(const struct log_sink *s);

#endif
