// Server-sent events: framing that survives any split of the bytes.
//
// The scanner is fed pieces of a stream and tells where events end. It copies nothing while an event lies whole in one
// piece; an event that is cut between pieces is gathered in a capped buffer. Line ends may be LF, CRLF or CR, mixed, as
// the standard has it. An event is what stands up to and with a blank line; comments and unknown fields belong to it
// and are kept in its bytes, as is a byte order mark at the start of the stream (it is no part of the first field).
// A blank line with nothing before it is an event of its own, without fields. So the bytes of all events in a row are
// the bytes of the stream, and any split of it gives the same events.
//
// A blank line's CR waits for the byte behind it, which may be its LF, unless the line before ended with a bare CR.
// One owner, one thread.
#ifndef MERIT_TEXT_SSE_H
#define MERIT_TEXT_SSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/result.h"
#include "base/slice.h"

struct sse {
    struct buf partial; // the beginning of an event whose end has not come
    enum result failed; // private, as are the rest
    uint8_t state;
    bool begun, given;
};

struct sse_event {
    struct slice bytes; // all of it, blank line included: forward these
    struct slice
        data; // of the first data line, without "data:" and one space; empty when there is none
    uint32_t data_lines;
    struct slice name; // of the last event line; empty without
    bool comment_only; // no field at all: comments or nothing
    bool gathered;     // the slices are of the scanner's own buffer, not of the piece
};

// `event_max`: most bytes of one event. Allocates nothing yet.
void sse_init(struct sse *s, uint32_t event_max);
void sse_deinit(struct sse *s);
// The next whole event of `*piece`, which is moved on behind it. RESULT_OK with an event whose slices are valid until
// the next call; RESULT_AGAIN when the piece is used up (its rest is kept); RESULT_LIMIT and RESULT_NOMEM, which stay.
enum result sse_next(struct sse *s, struct slice *piece, struct sse_event *event);
// After the last piece. RESULT_OK: one more event, which had only waited for an LF behind its CR. RESULT_NOT_FOUND:
// nothing is left. RESULT_EOF: the stream ended inside an event; its bytes so far are in event->bytes.
enum result sse_finish(struct sse *s, struct sse_event *event);
// True when the stream so far ends between events.
bool sse_at_boundary(const struct sse *s);
// The values of all data lines joined by LF, as the standard has it; a slice of the event when there is one line at
// most, else made in the arena. RESULT_NOMEM.
enum result sse_data(const struct sse_event *event, struct arena *arena, struct slice *out);

#endif
