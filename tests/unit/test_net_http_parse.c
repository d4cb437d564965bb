// net/http_parse: one reading of every message or none; the same reading however the bytes are cut.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "net/http_parse.h"

enum { TEXT_MAX = 512, MESSAGE_MAX = 64 * 1024 };

// What a reader made of a message: "refused WHY", "more", or the reading in words.
static void describe_body(struct http_chunked *d, bool chunked, int64_t left, bool until_end,
                          struct slice *in, char *body, size_t *body_len, enum result *res)
{
    struct slice piece;
    if (!chunked) {
        size_t n = until_end || (uint64_t)left > in->len ? in->len : (size_t)left;
        memcpy(body + *body_len, in->ptr ? in->ptr : "", n);
        *body_len += n;
        *in = slice_from(*in, n);
        *res = until_end || (int64_t)n == left ? RESULT_EOF : RESULT_AGAIN;
        return;
    }
    while ((*res = http_chunked_next(d, in, &piece)) == RESULT_OK) {
        memcpy(body + *body_len, piece.ptr, piece.len);
        *body_len += piece.len;
    }
}

// Reads `m` in pieces: `cut` bytes at a time, or of random size when 0.
static void read_message(struct slice m, bool response, size_t cut, struct rng *rng, char *out)
{
    static char head_bytes[MESSAGE_MAX], body[MESSAGE_MAX];
    struct http_head h;
    struct http_chunked d = {0};
    size_t have = 0, at = 0, head_len = 0, body_len = 0;
    enum result res = RESULT_AGAIN;
    bool in_body = false;
    while (res == RESULT_AGAIN) {
        size_t n = cut ? cut : 1 + rng_below(rng, 40);
        n = n > m.len - have ? m.len - have : n;
        if (n == 0) {
            snprintf(out, TEXT_MAX, "more");
            return;
        }
        memcpy(head_bytes + have, m.ptr + have, n);
        size_t fresh = have;
        have += n;
        if (!in_body) {
            res = http_head_scan(head_bytes, have, &at, &head_len);
            if (res == RESULT_AGAIN)
                continue;
            if (!res)
                res = response ? http_parse_response(&h, head_bytes, head_len)
                               : http_parse_request(&h, head_bytes, head_len);
            if (res)
                break;
            in_body = true;
            fresh = head_len;
        }
        enum http_framing framing = response               ? http_response_framing(&h, false)
                                    : h.chunked            ? HTTP_BODY_CHUNKED
                                    : h.content_length > 0 ? HTTP_BODY_LENGTH
                                                           : HTTP_BODY_NONE;
        struct slice in = slice_make(head_bytes + fresh, have - fresh);
        int64_t left = framing == HTTP_BODY_LENGTH ? h.content_length - (int64_t)body_len : 0;
        describe_body(&d, framing == HTTP_BODY_CHUNKED, left,
                      framing == HTTP_BODY_EOF && have == m.len, &in, body, &body_len, &res);
        if (framing == HTTP_BODY_EOF && have < m.len) {
            memcpy(body + body_len, in.ptr, in.len);
            body_len += in.len;
            in = SLICE_EMPTY;
            res = RESULT_AGAIN;
        }
        have -= in.len; // what is not of this message
    }
    if (res != RESULT_EOF) {
        snprintf(out, TEXT_MAX, "refused %s", result_name(res));
        return;
    }
    int n = response ? snprintf(out, TEXT_MAX, "%d", h.status)
                     : snprintf(out, TEXT_MAX, "%.*s %.*s", SLICE_FMT(h.method_text),
                                SLICE_FMT(h.target));
    snprintf(out + n, TEXT_MAX - (size_t)n, "%s%s body '%.*s' rest %zu", h.http10 ? " 1.0" : "",
             h.keep_alive ? "" : " close", (int)body_len, body, m.len - have);
}

struct vector {
    const char *name;
    struct slice message;
    const char *reading;
};

#define SYNTAX "refused syntax"
#define H "Host: a\r\n"
#define POST "POST / HTTP/1.1\r\n" H
#define V(name, text, reading)                                                                     \
    {                                                                                              \
        name, {text, sizeof(text) - 1}, reading                                                    \
    }

static const struct vector requests[] = {
    // Lengths.
    V("plain", "GET /a?b HTTP/1.1\r\n" H "\r\n", "GET /a?b body '' rest 0"),
    V("length", POST "Content-Length: 5\r\n\r\nhelloX", "POST / body 'hello' rest 1"),
    V("length and chunked", POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      SYNTAX),
    V("chunked and length", POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
      SYNTAX),
    V("two lengths, equal", POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", SYNTAX),
    V("two lengths, different", POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", SYNTAX),
    V("two lengths, case", POST "content-length: 5\r\nCONTENT-LENGTH: 5\r\n\r\nhello", SYNTAX),
    V("length with plus", POST "Content-Length: +5\r\n\r\nhello", SYNTAX),
    V("length with minus", POST "Content-Length: -5\r\n\r\nhello", SYNTAX),
    V("length with space inside", POST "Content-Length: 5 5\r\n\r\nhello", SYNTAX),
    V("length in spaces", POST "Content-Length:  5 \r\n\r\nhello", "POST / body 'hello' rest 0"),
    V("length in tabs", POST "Content-Length: 5\t\r\n\r\nhello", SYNTAX),
    V("length in hex", POST "Content-Length: 0x5\r\n\r\nhello", SYNTAX),
    V("length list", POST "Content-Length: 5,5\r\n\r\nhello", SYNTAX),
    V("length list, spaced", POST "Content-Length: 5, 5\r\n\r\nhello", SYNTAX),
    V("length huge", POST "Content-Length: 18446744073709551616\r\n\r\n", SYNTAX),
    V("length beyond int64", POST "Content-Length: 9223372036854775808\r\n\r\n", SYNTAX),
    V("length empty", POST "Content-Length: \r\n\r\n", SYNTAX),
    V("length not a number", POST "Content-Length: five\r\n\r\n", SYNTAX),
    V("length with leading zeros", POST "Content-Length: 005\r\n\r\nhello",
      "POST / body 'hello' rest 0"),
    V("length folded", POST "Content-Length:\r\n 5\r\n\r\nhello", SYNTAX),
    // Line ends and white space.
    V("bare CR hides a coding", POST "X-Abc:\rxTransfer-Encoding: chunked\r\n\r\n", SYNTAX),
    V("bare CR in a value", POST "X: a\rb\r\n\r\n", SYNTAX),
    V("CR CR LF", POST "X: a\r\r\n\r\n", SYNTAX),
    V("bare LF ends a header", POST "X: a\nContent-Length: 5\r\n\r\nhello", SYNTAX),
    V("bare LF ends the request line", "GET / HTTP/1.1\n" H "\r\n", SYNTAX),
    V("bare LF ends the head", "GET / HTTP/1.1\r\n" H "\n", SYNTAX),
    V("folded line", POST "X: a\r\n b\r\n\r\n", SYNTAX),
    V("folded line with a tab", POST "X: a\r\n\tTransfer-Encoding: chunked\r\n\r\n", SYNTAX),
    V("space before the first header", "GET / HTTP/1.1\r\n " H "\r\n", SYNTAX),
    V("space before colon", POST "Content-Length : 5\r\n\r\nhello", SYNTAX),
    V("tab before colon", POST "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", SYNTAX),
    V("space in a name", POST "X Y: a\r\n\r\n", SYNTAX),
    V("NUL in a value", POST "X: a\0b\r\n\r\n", SYNTAX),
    V("NUL in a name", POST "X\0Y: a\r\n\r\n", SYNTAX),
    V("control byte in a value", POST "X: a\x01z\r\n\r\n", SYNTAX),
    V("DEL in a value", POST "X: a\x7fz\r\n\r\n", SYNTAX),
    V("tab in a value", POST "X: a\tz\r\n\r\n", "POST / body '' rest 0"),
    V("bytes above 127 in a value", POST "X: \xc3\xa4\r\n\r\n", "POST / body '' rest 0"),
    V("empty name", POST ": a\r\n\r\n", SYNTAX),
    V("no colon", POST "Xa\r\n\r\n", SYNTAX),
    V("name with a bracket", POST "X[]: a\r\n\r\n", SYNTAX),
    V("name above 127", POST "X\xe4: a\r\n\r\n", SYNTAX),
    // Codings.
    V("chunked", POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nX",
      "POST / body 'abc' rest 1"),
    V("Chunked", POST "transfer-encoding: CHUNKED\r\n\r\n2\r\nab\r\n0\r\n\r\n",
      "POST / body 'ab' rest 0"),
    V("chunked, identity", POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", SYNTAX),
    V("identity, chunked", POST "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", SYNTAX),
    V("gzip, chunked", POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", SYNTAX),
    V("identity", POST "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello", SYNTAX),
    V("identity alone", POST "Transfer-Encoding: identity\r\n\r\n", SYNTAX),
    V("chunked with a tab behind", POST "Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n", SYNTAX),
    V("xchunked", POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", SYNTAX),
    V("chunkedx", POST "Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n", SYNTAX),
    V("quoted chunked", POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", SYNTAX),
    V("chunked with vertical tab",
      POST "Transfer-Encoding: \x0b"
           "chunked\r\n\r\n0\r\n\r\n",
      SYNTAX),
    V("empty coding", POST "Transfer-Encoding: \r\n\r\n", SYNTAX),
    V("two codings, equal",
      POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", SYNTAX),
    V("two codings", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
      SYNTAX),
    V("chunked, chunked", POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", SYNTAX),
    V("coding in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", SYNTAX),
// Chunks.
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
    V("chunk size with plus", CHUNKED "+3\r\nabc\r\n0\r\n\r\n", SYNTAX),
    V("chunk size with minus", CHUNKED "-3\r\nabc\r\n0\r\n\r\n", SYNTAX),
    V("chunk size after a space", CHUNKED " 3\r\nabc\r\n0\r\n\r\n", SYNTAX),
    V("chunk size before a space", CHUNKED "3 \r\nabc\r\n0\r\n\r\n", SYNTAX),
    V("chunk size with 0x", CHUNKED "0x3\r\nabc\r\n0\r\n\r\n", SYNTAX),
    V("chunk size overflows", CHUNKED "10000000000000003\r\nabc\r\n0\r\n\r\n", SYNTAX),
    V("chunk size of many zeros", CHUNKED "00000000000000000003\r\nabc\r\n0\r\n\r\n", SYNTAX),
    V("chunk size, few zeros, hex", CHUNKED "00B\r\nhello world\r\n0\r\n\r\n",
      "POST / body 'hello world' rest 0"),
    V("chunk size empty", CHUNKED "\r\nabc\r\n0\r\n\r\n", SYNTAX),
    V("chunk size with underscore", CHUNKED "1_0\r\nabc", SYNTAX),
    V("chunk size and bare LF", CHUNKED "3\nabc\r\n0\r\n\r\n", SYNTAX),
    V("chunk size and bare CR", CHUNKED "3\rXabc\r\n0\r\n\r\n", SYNTAX),
    V("chunk extension", CHUNKED "3;a=b\r\nabc\r\n0;z\r\n\r\n", "POST / body 'abc' rest 0"),
    V("chunk extension with bare LF", CHUNKED "3;a\nabc\r\n0\r\n\r\n", SYNTAX),
    V("chunk extension with NUL", CHUNKED "3;a\0\r\nabc\r\n0\r\n\r\n", SYNTAX),
    V("chunk longer than its size", CHUNKED "3\r\nabcd\r\n0\r\n\r\n", SYNTAX),
    V("chunk ended by bare LF", CHUNKED "3\r\nabc\n0\r\n\r\n", SYNTAX),
    V("last chunk cut", CHUNKED "3\r\nabc\r\n0\r\n", "more"),
    V("garbage after the last chunk", CHUNKED "3\r\nabc\r\n0\r\n\r\ngarbage",
      "POST / body 'abc' rest 7"),
    V("trailer", CHUNKED "0\r\nX: y\r\nContent-Length: 9\r\n\r\n", "POST / body '' rest 0"),
    V("trailer without colon", CHUNKED "0\r\nX\r\n\r\n", SYNTAX),
    V("trailer with an empty name", CHUNKED "0\r\n: x\r\n\r\n", SYNTAX),
    V("trailer folded", CHUNKED "0\r\nX: y\r\n z\r\n\r\n", SYNTAX),
    V("trailer with bare LF", CHUNKED "0\r\nX: y\n\r\n", SYNTAX),
    V("last chunk and bare LF", CHUNKED "0\r\n\n", SYNTAX),
    // Host.
    V("two hosts", "GET / HTTP/1.1\r\n" H H "\r\n", SYNTAX),
    V("two hosts, case", "GET / HTTP/1.1\r\n" H "HOST: b\r\n\r\n", SYNTAX),
    V("no host", "GET / HTTP/1.1\r\n\r\n", SYNTAX),
    V("no host in 1.0", "GET / HTTP/1.0\r\n\r\n", "GET / 1.0 close body '' rest 0"),
    V("empty host", "GET / HTTP/1.1\r\nHost: \r\n\r\n", SYNTAX),
    V("host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", SYNTAX),
    V("host with user info", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", SYNTAX),
    V("host list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", SYNTAX),
    V("host with port", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET / body '' rest 0"),
    // Request line.
    V("control byte in target", "GET /a\x01 HTTP/1.1\r\n" H "\r\n", SYNTAX),
    V("tab in target", "GET /a\tb HTTP/1.1\r\n" H "\r\n", SYNTAX),
    V("space in target", "GET /a b HTTP/1.1\r\n" H "\r\n", SYNTAX),
    V("byte above 127 in target", "GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n", SYNTAX),
    V("fragment", "GET /a#b HTTP/1.1\r\n" H "\r\n", SYNTAX),
    V("absolute-form", "GET http://a/x?y HTTP/1.1\r\n" H "\r\n", "GET /x?y body '' rest 0"),
    V("absolute-form without path", "GET http://A HTTP/1.1\r\n" H "\r\n", "GET / body '' rest 0"),
    V("absolute-form, other host", "GET http://b/ HTTP/1.1\r\n" H "\r\n", SYNTAX),
    V("absolute-form, query only", "GET http://a?x HTTP/1.1\r\n" H "\r\n", SYNTAX),
    V("absolute-form, other scheme", "GET ftp://a/ HTTP/1.1\r\n" H "\r\n", SYNTAX),
    V("asterisk", "OPTIONS * HTTP/1.1\r\n" H "\r\n", "OPTIONS * body '' rest 0"),
    V("asterisk for GET", "GET * HTTP/1.1\r\n" H "\r\n", SYNTAX),
    V("target without slash", "GET a HTTP/1.1\r\n" H "\r\n", SYNTAX),
    V("CONNECT", "CONNECT a:443 HTTP/1.1\r\n" H "\r\n", SYNTAX),
    V("CONNECT in origin-form", "CONNECT / HTTP/1.1\r\n" H "\r\n", SYNTAX),
    V("upgrade is not taken up",
      "GET / HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrade: x\r\n\r\nX", "GET / body '' rest 1"),
    V("HTTP/1.2", "GET / HTTP/1.2\r\n" H "\r\n", "refused version"),
    V("HTTP/2.0", "GET / HTTP/2.0\r\n" H "\r\n", "refused version"),
    V("HTTP/0.9", "GET / HTTP/0.9\r\n" H "\r\n", "refused version"),
    V("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "refused version"),
    V("no version", "GET /\r\n" H "\r\n", SYNTAX),
    V("lower-case http", "GET / http/1.1\r\n" H "\r\n", SYNTAX),
    V("HTTP/1.10", "GET / HTTP/1.10\r\n" H "\r\n", SYNTAX),
    V("HTTP/11", "GET / HTTP/1,1\r\n" H "\r\n", SYNTAX),
    V("RTSP", "SETUP / RTSP/1.0\r\n" H "\r\n", SYNTAX),
    V("ICE", "SOURCE / ICE/1.0\r\n" H "\r\n", SYNTAX),
    V("space after version", "GET / HTTP/1.1 \r\n" H "\r\n", SYNTAX),
    V("leading CRLF", "\r\nGET / HTTP/1.1\r\n" H "\r\n", SYNTAX),
    V("leading space", " GET / HTTP/1.1\r\n" H "\r\n", SYNTAX),
    V("two spaces before target", "GET  / HTTP/1.1\r\n" H "\r\n", SYNTAX),
    V("two spaces before version", "GET /  HTTP/1.1\r\n" H "\r\n", SYNTAX),
    V("tab between", "GET\t/ HTTP/1.1\r\n" H "\r\n", SYNTAX),
    V("unknown method", "FROB / HTTP/1.1\r\n" H "\r\n", SYNTAX),
    V("lower-case method", "get / HTTP/1.1\r\n" H "\r\n", SYNTAX),
    V("TLS on the plain port", "\x16\x03\x01\x02\x01", SYNTAX),
    V("binary first", "\0\0\0", SYNTAX),
    // Connection and Expect.
    V("close", "GET / HTTP/1.1\r\n" H "Connection: x, Close\r\n\r\n", "GET / close body '' rest 0"),
    V("close wins", "GET / HTTP/1.1\r\n" H "Connection: keep-alive\r\nConnection: close\r\n\r\n",
      "GET / close body '' rest 0"),
    V("1.0 keep-alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
      "GET / 1.0 body '' rest 0"),
    V("expect", POST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\na",
      "POST / body 'a' rest 0"),
    V("expect other", POST "Expect: 200-ok\r\n\r\n", "refused unsupported"),
    V("expect twice, one other", POST "Expect: 100-continue\r\nExpect: x\r\n\r\n",
      "refused unsupported"),
};

#define R "HTTP/1.1 200 OK\r\n"
static const struct vector responses[] = {
    V("length", R "Content-Length: 2\r\n\r\nhi", "200 body 'hi' rest 0"),
    V("extra bytes", R "Content-Length: 2\r\n\r\nhiHTTP/1.1 200", "200 body 'hi' rest 12"),
    V("until the end", R "\r\nhi there", "200 body 'hi there' rest 0"),
    V("chunked", R "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
      "200 body 'hi' rest 0"),
    V("both lengths", R "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", SYNTAX),
    V("two lengths, equal", R "Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", SYNTAX),
    V("two lengths", R "Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi", SYNTAX),
    V("length with plus", R "Content-Length: +2\r\n\r\nhi", SYNTAX),
    V("length list", R "Content-Length: 2, 2\r\n\r\nhi", SYNTAX),
    V("length negative", R "Content-Length: -2\r\n\r\nhi", SYNTAX),
    V("length huge", R "Content-Length: 99999999999999999999\r\n\r\nhi", SYNTAX),
    V("identity", R "Transfer-Encoding: identity\r\n\r\nhi", SYNTAX),
    V("chunked with a tab behind", R "Transfer-Encoding: chunked \t\r\n\r\n0\r\n\r\n", SYNTAX),
    V("chunked, identity", R "Transfer-Encoding: chunked, identity\r\n\r\nhi", SYNTAX),
    V("gzip, chunked", R "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", SYNTAX),
    V("two codings", R "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      SYNTAX),
    V("coding in 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", SYNTAX),
    V("bare CR", R "X: a\rTransfer-Encoding: chunked\r\n\r\n", SYNTAX),
    V("bare LF", R "X: a\nContent-Length: 1\r\n\r\na", SYNTAX),
    V("bare LF after the status", "HTTP/1.1 200 OK\nX: y\r\n\r\n", SYNTAX),
    V("folded line", R "X: a\r\n Content-Length: 1\r\n\r\n", SYNTAX),
    V("space before colon", R "Content-Length : 2\r\n\r\nhi", SYNTAX),
    V("NUL in a value", R "X: a\0b\r\n\r\n", SYNTAX),
    V("empty name", R ": a\r\n\r\n", SYNTAX),
    V("chunk size with plus", R "Transfer-Encoding: chunked\r\n\r\n+2\r\nhi\r\n0\r\n\r\n", SYNTAX),
    V("chunk size and bare LF", R "Transfer-Encoding: chunked\r\n\r\n2\nhi\r\n0\r\n\r\n", SYNTAX),
    V("chunk size overflows",
      R "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhi\r\n0\r\n\r\n", SYNTAX),
    V("204 has no body", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
      "204 body '' rest 5"),
    V("304 has no body", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
      "304 body '' rest 0"),
    V("interim", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP", "103 body '' rest 4"),
    V("no reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200 body '' rest 0"),
    V("empty reason", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "200 body '' rest 0"),
    V("1.0 closes", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na",
      "200 1.0 close body 'a' rest 0"),
    V("close", R "Connection: close\r\nContent-Length: 0\r\n\r\n", "200 close body '' rest 0"),
    V("four digits", "HTTP/1.1 2000 OK\r\n\r\n", SYNTAX),
    V("two digits", "HTTP/1.1 20 OK\r\n\r\n", SYNTAX),
    V("status 600", "HTTP/1.1 600 X\r\n\r\n", SYNTAX),
    V("status 099", "HTTP/1.1 099 X\r\n\r\n", SYNTAX),
    V("two spaces", "HTTP/1.1  200 OK\r\n\r\n", SYNTAX),
    V("HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n", "refused version"),
    V("lower-case http", "http/1.1 200 OK\r\n\r\n", SYNTAX),
    V("not HTTP", "SSH-2.0-OpenSSH_9\r\n\r\n", SYNTAX),
    V("control byte in the reason", "HTTP/1.1 200 O\x02K\r\n\r\n", SYNTAX),
    V("leading CRLF", "\r\n" R "\r\n", SYNTAX),
};

static void check_vectors(const struct vector *v, size_t count, bool response)
{
    struct rng rng;
    rng_seed(&rng, 7);
    int wrong = 0;
    for (size_t i = 0; i < count; i++) {
        char got[TEXT_MAX];
        for (int round = 0; round < 12; round++) {
            size_t cut = round == 0 ? MESSAGE_MAX : round == 1 ? 1 : 0;
            read_message(v[i].message, response, cut, &rng, got);
            if (strcmp(got, v[i].reading) == 0)
                continue;
            print_error("%s (round %d): %s, not %s\n", v[i].name, round, got, v[i].reading);
            wrong++;
            break;
        }
    }
    assert_int_equal(wrong, 0);
}

static void requests_have_one_reading(void **state)
{
    (void)state;
    check_vectors(requests, MERIT_COUNT(requests), false);
}

static void responses_have_one_reading(void **state)
{
    (void)state;
    check_vectors(responses, MERIT_COUNT(responses), true);
}

static size_t headers_of(char *to, int count, const char *line)
{
    size_t n = (size_t)sprintf(to, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 1; i < count; i++)
        n += (size_t)sprintf(to + n, "%s\r\n", line);
    return n + (size_t)sprintf(to + n, "\r\n");
}

static void limits_are_named(void **state)
{
    (void)state;
    static char m[MESSAGE_MAX];
    struct http_head h;
    size_t n = headers_of(m, HTTP_HEADERS_MAX, "X: y");
    assert_int_equal(http_parse_request(&h, m, n), RESULT_OK);
    assert_int_equal(h.header_count, HTTP_HEADERS_MAX);
    n = headers_of(m, HTTP_HEADERS_MAX + 1, "X: y");
    assert_int_equal(http_parse_request(&h, m, n), RESULT_LIMIT);
    assert_int_equal(h.header_count, 0);

    struct slice in, piece;
    for (size_t len = HTTP_CHUNK_EXTENSION_MAX; len <= HTTP_CHUNK_EXTENSION_MAX + 1; len++) {
        struct http_chunked d = {0};
        n = (size_t)sprintf(m, "1;%0*d\r\na", (int)len, 0);
        in = slice_make(m, n);
        assert_int_equal(http_chunked_next(&d, &in, &piece),
                         len > HTTP_CHUNK_EXTENSION_MAX ? RESULT_LIMIT : RESULT_OK);
    }
    for (int trailers = HTTP_TRAILERS_MAX; trailers <= HTTP_TRAILERS_MAX + 1; trailers++) {
        struct http_chunked d = {0};
        n = (size_t)sprintf(m, "0\r\n");
        for (int i = 0; i < trailers; i++)
            n += (size_t)sprintf(m + n, "X: y\r\n");
        n += (size_t)sprintf(m + n, "\r\n");
        in = slice_make(m, n);
        assert_int_equal(http_chunked_next(&d, &in, &piece),
                         trailers > HTTP_TRAILERS_MAX ? RESULT_LIMIT : RESULT_EOF);
    }
    struct http_chunked d = {0};
    n = (size_t)sprintf(m, "0\r\nX: %0*d\r\n\r\n", HTTP_TRAILER_BYTES_MAX, 0);
    in = slice_make(m, n);
    assert_int_equal(http_chunked_next(&d, &in, &piece), RESULT_LIMIT);
}

static void heads_are_taken_apart(void **state)
{
    (void)state;
    static const char m[] =
        "POST /v1/chat?x=1&y HTTP/1.1\r\nHost: a\r\nAccept:\r\nX-Long:  some value \t\r\n"
        "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nProxy-Authorization: x\r\n\r\n";
    struct http_head h;
    assert_int_equal(http_parse_request(&h, m, sizeof m - 1), RESULT_OK);
    assert_int_equal(h.method, HTTP_POST);
    assert_true(slice_eq_cstr(h.path, "/v1/chat"));
    assert_true(slice_eq_cstr(h.query, "x=1&y"));
    assert_int_equal(h.header_count, 6);
    assert_true(slice_eq_cstr(http_header_get(&h, "x-long"), "some value"));
    struct slice empty = http_header_get(&h, "accept");
    assert_true(empty.ptr && empty.len == 0);
    assert_null(http_header_get(&h, "absent").ptr);
    assert_true(http_is_hop_by_hop(&h, SLICE("x-hop")));
    assert_true(http_is_hop_by_hop(&h, SLICE("proxy-authorization")));
    assert_true(http_is_hop_by_hop(&h, SLICE("Transfer-Encoding")));
    assert_true(http_is_hop_by_hop(&h, SLICE("TE")));
    assert_false(http_is_hop_by_hop(&h, SLICE("x-long")));
    assert_int_equal(h.content_length, -1);
    assert_true(h.keep_alive);
    assert_string_equal(http_method_name(HTTP_PATCH), "PATCH");
    assert_string_equal(http_status_text(429), "Too Many Requests");
}

// A message of random parts, and a cut of it at every place: the reading is that of the whole.
static size_t random_message(struct rng *r, char *to, bool response)
{
    size_t n =
        response ? (size_t)sprintf(to, "HTTP/1.%d %d X\r\n", rng_below(r, 8) ? 1 : 0,
                                   200 + (int)rng_below(r, 250))
                 : (size_t)sprintf(to, "POST /p%d HTTP/1.1\r\nHost: h\r\n", (int)rng_below(r, 100));
    bool old = response && to[7] == '0';
    for (uint64_t i = rng_below(r, 6); i; i--)
        n += (size_t)sprintf(to + n, "X-%d: %.*s\r\n", (int)i, (int)rng_below(r, 30),
                             "aaaaaaaa\tbbbbbbb ccccccccccccc;=,");
    size_t len = rng_below(r, 60);
    if (old || rng_below(r, 2)) {
        n += (size_t)sprintf(to + n, "Content-Length: %zu\r\n\r\n", len);
        memset(to + n, 'z', len);
        return n + len;
    }
    n += (size_t)sprintf(to + n, "Transfer-Encoding: chunked\r\n\r\n");
    while (len) {
        size_t part = 1 + rng_below(r, len);
        n += (size_t)sprintf(to + n, rng_below(r, 2) ? "%zx\r\n" : "%zX;e=1\r\n", part);
        memset(to + n, 'y', part);
        n += part;
        n += (size_t)sprintf(to + n, "\r\n");
        len -= part;
    }
    return n + (size_t)sprintf(to + n, rng_below(r, 2) ? "0\r\n\r\n" : "0\r\nT: u\r\n\r\n");
}

static void any_cut_gives_the_same_reading(void **state)
{
    (void)state;
    static char m[MESSAGE_MAX];
    struct rng r;
    rng_seed(&r, 11);
    for (int i = 0; i < 2000; i++) {
        bool response = i & 1;
        size_t n = random_message(&r, m, response);
        char whole[TEXT_MAX], cut[TEXT_MAX];
        read_message(slice_make(m, n), response, MESSAGE_MAX, NULL, whole);
        assert_true(strncmp(whole, "refused", 7) != 0 && strcmp(whole, "more") != 0);
        for (int k = 0; k < 6; k++) {
            read_message(slice_make(m, n), response, k ? 0 : 1, &r, cut);
            assert_string_equal(cut, whole);
        }
    }
}

static void urls(void **state)
{
    (void)state;
    static const struct {
        const char *url, *host, *path;
        int port;
        bool tls;
    } good[] = {
        {"http://a", "a", "", 80, false},
        {"https://api.example.com/v1/", "api.example.com", "/v1", 443, true},
        {"HTTP://127.0.0.1:8000/a/b", "127.0.0.1", "/a/b", 8000, false},
        {"http://[::1]:1/x//", "::1", "/x", 1, false},
        {"https://[fe80::1%eth0]", "fe80::1%eth0", "", 443, true},
        {"http://a_b-c.d:65535/", "a_b-c.d", "", 65535, false},
    };
    static const char *const bad[] = {
        "",
        "http://",
        "http:///x",
        "ftp://a",
        "a",
        "//a",
        "http://u@a/",
        "http://u:p@a/",
        "http://a:0",
        "http://a:65536",
        "http://a:",
        "http://a:+1",
        "http://a:1x",
        "http://a?x",
        "http://a/x?y",
        "http://a/x#y",
        "http://a#y",
        "http://a b/",
        "http://a/b c",
        "http://[::1",
        "http://[::1]x",
        "http://[]",
        "http://a:1:2",
        "http://a\\b",
        "http://a/\\",
        "http://a/\x7f",
        "http://a\n/",
        "http://[a.b-c]/",
    };
    struct http_url u;
    for (size_t i = 0; i < MERIT_COUNT(good); i++) {
        assert_int_equal(http_url_parse(slice_cstr(good[i].url), &u), RESULT_OK);
        assert_true(slice_eq_cstr(u.host, good[i].host));
        assert_true(slice_eq_cstr(u.path, good[i].path));
        assert_int_equal(u.port, good[i].port);
        assert_int_equal(u.tls, good[i].tls);
    }
    for (size_t i = 0; i < MERIT_COUNT(bad); i++)
        if (http_url_parse(slice_cstr(bad[i]), &u) != RESULT_SYNTAX)
            fail_msg("%s", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_have_one_reading),
        cmocka_unit_test(responses_have_one_reading),
        cmocka_unit_test(limits_are_named),
        cmocka_unit_test(heads_are_taken_apart),
        cmocka_unit_test(any_cut_gives_the_same_reading),
        cmocka_unit_test(urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
