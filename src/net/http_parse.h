// Reading HTTP/1.1: heads through llhttp in strict mode with checks of our own, chunked bodies by a decoder of our own.
//
// Pure functions over bytes: no I/O, no memory of their own. A message has one reading or is refused; the result does
// not depend on how the bytes were cut into pieces.
#ifndef MERIT_NET_HTTP_PARSE_H
#define MERIT_NET_HTTP_PARSE_H

#include "net/http.h"

// Looks for the end of a head in the first `len` bytes of a message. `*at` is 0 at first and remembers the lines seen
// when more bytes are needed (they must stay before it). RESULT_OK with *head_len (the empty line included),
// RESULT_AGAIN, RESULT_SYNTAX (a bare CR or LF, a control byte, a folded line, no upper-case letter at the start).
enum result http_head_scan(const char *bytes, size_t len, size_t *at, size_t *head_len);

// Reads a head that http_head_scan has found. The slices of `h` are of `bytes` (or static). RESULT_SYNTAX,
// RESULT_VERSION, RESULT_LIMIT (more than HTTP_HEADERS_MAX headers), RESULT_UNSUPPORTED (of a request: an expectation
// other than 100-continue). On a failure `h` holds nothing.
enum result http_parse_request(struct http_head *h, const char *bytes, size_t len);
enum result http_parse_response(struct http_head *h, const char *bytes, size_t len);

enum http_framing { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED, HTTP_BODY_EOF };
// How the body of a response ends; `to_head` when it answers HEAD.
enum http_framing http_response_framing(const struct http_head *h, bool to_head);

// A chunked body. Zero-initialise.
struct http_chunked {
    uint64_t left; // of the chunk
    uint16_t extension, trailers, trailer_bytes;
    uint8_t state, digits;
};
// Takes the next run of body bytes off `*in`. RESULT_OK with a `*piece` of at least one byte,
// RESULT_AGAIN when `*in` is used up, RESULT_EOF when the body and its trailers are over (the rest
// of `*in` is not of this message), RESULT_SYNTAX, RESULT_LIMIT.
enum result http_chunked_next(struct http_chunked *d, struct slice *in, struct slice *piece);

#endif
