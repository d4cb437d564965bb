// Building heads by memcpy: each writes at `to` and returns the place behind. Used by net/http_*.c only.
#ifndef MERIT_NET_HTTP_PUT_H
#define MERIT_NET_HTTP_PUT_H

#include <stdint.h>
#include <string.h>

#include "base/slice.h"
#include "net/http.h"

static inline char *http_put(char *to, struct slice s)
{
    if (s.len)
        memcpy(to, s.ptr, s.len);
    return to + s.len;
}
#define HTTP_PUT_LIT(to, literal) http_put((to), SLICE(literal))

// A line end smuggled into a name or value would split the message: control bytes become spaces.
static inline char *http_put_clean(char *to, struct slice s)
{
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    size_t i = 0;
    for (; i + 8 <= s.len; i += 8) {
        uint64_t w, del;
        memcpy(&w, s.ptr + i, 8);
        del = w ^ (ones * 0x7f);
        if ((((w - ones * 0x20) & ~w) | ((del - ones) & ~del)) & tops)
            break;
        memcpy(to + i, &w, 8);
    }
    for (; i < s.len; i++)
        to[i] = (unsigned char)s.ptr[i] >= 0x20 && s.ptr[i] != 0x7f ? s.ptr[i] : ' ';
    return to + s.len;
}

static inline char *http_put_headers(char *to, const struct http_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        to = http_put_clean(to, headers[i].name);
        to = HTTP_PUT_LIT(to, ": ");
        to = http_put_clean(to, headers[i].value);
        to = HTTP_PUT_LIT(to, "\r\n");
    }
    return to;
}

// Bytes that http_put_headers writes.
static inline size_t http_put_headers_len(const struct http_header *headers, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += headers[i].name.len + headers[i].value.len + 4;
    return n;
}

#endif
