#include "path/answer_error.h"

#include <assert.h>

void answer_error(struct http_exchange *x, const struct dialect *dialect, const struct api_error *e,
                  const struct http_header *headers, size_t count)
{
    struct http_header all[ANSWER_ERROR_HEADERS_MAX + 3];
    struct buf body;
    char seconds[16];
    size_t n = 0;
    assert(count <= ANSWER_ERROR_HEADERS_MAX);
    all[n++] = (struct http_header){SLICE("content-type"), SLICE("application/json")};
    if (e->retry_after_s) {
        struct buf digits = {.ptr = seconds, .room = sizeof seconds, .cap = sizeof seconds};
        buf_u64(&digits, e->retry_after_s);
        all[n++] = (struct http_header){SLICE("retry-after"), buf_slice(&digits)};
    }
    if (e->final)
        all[n++] = (struct http_header){SLICE("x-should-retry"), SLICE("false")};
    for (size_t i = 0; i < count; i++)
        all[n++] = headers[i];
    buf_init(&body, ANSWER_ERROR_BYTES_MAX);
    dialect->error_body(e, &body);
    http_respond(x, e->status, all, n, buf_slice(&body));
    buf_deinit(&body);
}
