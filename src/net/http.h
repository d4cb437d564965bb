// What HTTP/1.1 server and client share: heads, limits, and the header contract.
//
// Parsing is llhttp in strict mode with our own checks above it (net/http_parse.h): one reading of every message or
// none. Refused: both Content-Length and Transfer-Encoding, repeated Content-Length (even equal), signs, spaces or
// lists in it, any transfer coding but a single final `chunked`, bare CR or LF, folded lines, white space before the
// colon, missing, empty or duplicate Host, NUL and control bytes anywhere, empty lines before a message, CONNECT,
// fragments, absolute-form targets of another scheme or another authority than Host's, versions but 1.0 and 1.1.
#ifndef MERIT_NET_HTTP_H
#define MERIT_NET_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"
#include "base/slice.h"

enum {
    HTTP_HEADERS_MAX = 100,
    HTTP_HEAD_BYTES_MAX_DEFAULT = 32 * 1024,
    HTTP_BODY_BYTES_MAX_DEFAULT = 32 * 1024 * 1024,
    HTTP_TRAILERS_MAX = 16,
    HTTP_TRAILER_BYTES_MAX = 8 * 1024, // all trailers of a message; they are checked and dropped
    HTTP_CHUNK_EXTENSION_MAX = 256,    // bytes of extensions on one chunk; they are dropped
};

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_PATCH,
    HTTP_OTHER
};

struct http_header {
    struct slice name;  // as sent; compare with slice_ieq
    struct slice value; // without surrounding white space
};

struct http_head {
    enum http_method method; // of a request
    struct slice method_text;
    struct slice
        target; // origin-form ("*" for OPTIONS); of an absolute-form only the part after the authority
    struct slice path, query; // target up to and after '?'
    int status;               // of a response
    bool http10;
    struct http_header headers[HTTP_HEADERS_MAX];
    uint32_t header_count;
    int64_t content_length; // -1 when not stated
    bool chunked;
    bool keep_alive; // by version and Connection
    bool expect_continue;
    bool connection_names; // Connection names headers of this message
};

// The first header of that name, or an empty slice with ptr NULL.
struct slice http_header_get(const struct http_head *h, const char *name);
// Connection, Keep-Alive, Proxy-*, TE, Trailer, Transfer-Encoding, Upgrade, and what `Connection` names.
bool http_is_hop_by_hop(const struct http_head *h, struct slice name);
const char *http_status_text(int status);
const char *http_method_name(enum http_method m);

// A URL of an endpoint: scheme http or https, host (an IPv6 literal loses its brackets), port, and the path without a
// trailing slash. Slices of `url`. RESULT_SYNTAX; user info, query and fragment are refused.
struct http_url {
    bool tls;
    struct slice host;
    uint16_t port;
    struct slice path;
};
enum result http_url_parse(struct slice url, struct http_url *out);

#endif
