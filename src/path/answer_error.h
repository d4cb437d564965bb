// An error as a whole answer, in the protocol's shape.
#ifndef MERIT_PATH_ANSWER_ERROR_H
#define MERIT_PATH_ANSWER_ERROR_H

#include "base/compiler.h"
#include "net/http_server.h"
#include "work/dialect.h"

// Sends it with `count` headers more (at most ANSWER_ERROR_HEADERS_MAX). Content type, Retry-After and x-should-retry
// are added. Nothing of `e` is kept.
enum { ANSWER_ERROR_HEADERS_MAX = 16, ANSWER_ERROR_BYTES_MAX = 64 * 1024 };
MERIT_COLD void answer_error(struct http_exchange *x, const struct dialect *dialect,
                             const struct api_error *e, const struct http_header *headers,
                             size_t count);

#endif
