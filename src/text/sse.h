// Server-sent events: framing that survives any split of the bytes.
//
// The scanner is fed pieces of a stream and tells where events end. It copies nothing while an event lies whole in one
// piece; an event that is cut between pieces is gathered in a capped buffer. Line ends may be LF, CRLF or CR, mixed, as
// the standard has it; a byte order mark at the start is skipped. An event is what stands between blank lines; comments
// and unknown fields belong to it and are kept in its bytes.
#ifndef MERIT_TEXT_SSE_H
#define MERIT_TEXT_SSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/result.h"
#include "base/slice.h"

struct sse {
    struct buf partial;  // the beginning of an event whose end has not come
    uint8_t state;       // private
    bool begun;
};

struct sse_event {
    struct slice bytes;  // all of it, blank line included: forward these
    struct slice data;   // of the first data line, without "data:" and one space; empty when there is none
    uint32_t data_lines;
    struct slice name;   // of the last event line; empty without
    bool comment_only;
};

// `event_max`: most bytes of one event. Allocates nothing yet.
void sse_init(struct sse *s, uint32_t event_max);
void sse_deinit(struct sse *s);
// The next whole event of `*piece`, which is moved on behind it. RESULT_OK with an event whose slices are valid until
// the next call; RESULT_AGAIN when the piece is used up (its rest is kept); RESULT_LIMIT, RESULT_NOMEM.
enum result sse_next(struct sse *s, struct slice *piece, struct sse_event *event);
// True when the stream so far ends between events.
bool sse_at_boundary(const struct sse *s);

#endif
