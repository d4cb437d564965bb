// The base protocol: header fields, an empty line, Content-Length bytes.
//
// Bytes go in as they come; whole bodies come out one by one. A body longer than the limit is skipped without being held,
// and told once it is over, so that the stream stays in step. A head that is not of the protocol ends it: nobody can say
// where the next message begins. One owner, one thread.
#ifndef MERIT_LSP_FRAME_H
#define MERIT_LSP_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/result.h"
#include "base/slice.h"

enum {
    LSP_HEAD_MAX = 4096, // bytes of the header fields of a message
    LSP_BODY_MAX =
        32 * 1024 *
        1024, // bytes of a message: a policy of the greatest size, every byte of it escaped
};

struct lsp_frames {
    struct buf head, body;
    uint64_t left;   // bytes of the body that are still to come
    uint64_t length; // of the body
    bool in_body, skips, utf8;
    const char *broken; // why the stream has ended, or NULL
};

void lsp_frames_init(struct lsp_frames *f);
void lsp_frames_deinit(struct lsp_frames *f);

// Takes bytes off `*bytes` up to the end of a message. RESULT_OK: `*body` is whole and stands until the next call.
// RESULT_AGAIN: all bytes are used, the message is not whole. RESULT_LIMIT: a body of `length` bytes was skipped.
// RESULT_UNSUPPORTED: a body in another charset than UTF-8 was skipped. RESULT_PROTOCOL: `broken` says why; it sticks.
// RESULT_NOMEM sticks as well.
enum result lsp_frames_next(struct lsp_frames *f, struct slice *bytes,
                            struct slice *body) MERIT_NODISCARD;

// A message is written between these two: `begin` leaves room for its head and gives the place for `end`. When the body
// did not fit or there was no memory nothing is left of it, and `end` says why; `out` can go on.
size_t lsp_frame_begin(struct buf *out);
enum result lsp_frame_end(struct buf *out, size_t from) MERIT_NODISCARD;

#endif
