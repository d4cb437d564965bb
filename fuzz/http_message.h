// Shared by fuzz_net_http_request and fuzz_net_http_response: reads one message whole and in pieces, and beside llhttp.
//
// Three things must hold: the reading does not depend on the cut; slices lie inside the message; and where llhttp, on
// its own, reads the message to its end, it finds the same body and the same end.
#ifndef MERIT_FUZZ_HTTP_MESSAGE_H
#define MERIT_FUZZ_HTTP_MESSAGE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/http_parse.h"

#define HTTP_DELETE LLHTTP_DELETE
#define HTTP_GET LLHTTP_GET
#define HTTP_HEAD LLHTTP_HEAD
#define HTTP_POST LLHTTP_POST
#define HTTP_PUT LLHTTP_PUT
#define HTTP_OPTIONS LLHTTP_OPTIONS
#define HTTP_PATCH LLHTTP_PATCH
#include <llhttp.h>
#undef HTTP_DELETE
#undef HTTP_GET
#undef HTTP_HEAD
#undef HTTP_POST
#undef HTTP_PUT
#undef HTTP_OPTIONS
#undef HTTP_PATCH

#define REQUIRE(what) ((what) ? (void)0 : (fprintf(stderr, "not so: %s\n", #what), abort()))

enum { FUZZ_MAX = 64 * 1024 };

struct reading {
    enum result result; // RESULT_EOF: whole
    struct http_head head;
    enum http_framing framing;
    size_t end; // of the message
    size_t body_len;
    char body[FUZZ_MAX];
};

static enum http_framing framing_of(const struct http_head *h, bool response)
{
    if (response)
        return http_response_framing(h, false);
    return h->chunked              ? HTTP_BODY_CHUNKED
           : h->content_length > 0 ? HTTP_BODY_LENGTH
                                   : HTTP_BODY_NONE;
}

static void take(struct reading *r, struct slice piece)
{
    REQUIRE(piece.len <= sizeof r->body - r->body_len);
    memcpy(r->body + r->body_len, piece.ptr, piece.len);
    r->body_len += piece.len;
}

// `cuts` gives the sizes of the pieces, round and round; none: in one piece.
static void read_message(struct reading *r, bool response, const char *m, size_t len,
                         const uint8_t *cuts, size_t cut_count)
{
    struct http_chunked d = {0};
    size_t have = 0, at = 0, head_len = 0, used = 0, turn = 0;
    bool in_body = false;
    r->body_len = r->end = 0;
    r->result = RESULT_AGAIN;
    while (have < len) {
        size_t n = cut_count ? 1 + cuts[turn++ % cut_count] % 64 : len;
        have = n < len - have ? have + n : len;
        if (!in_body) {
            r->result = http_head_scan(m, have, &at, &head_len);
            if (r->result == RESULT_AGAIN)
                continue;
            REQUIRE(r->result || head_len <= have);
            if (!r->result)
                r->result = response ? http_parse_response(&r->head, m, head_len)
                                     : http_parse_request(&r->head, m, head_len);
            if (r->result)
                return;
            r->framing = framing_of(&r->head, response);
            in_body = true;
            used = head_len;
        }
        struct slice in = {m + used, have - used}, piece;
        if (r->framing == HTTP_BODY_CHUNKED) {
            while ((r->result = http_chunked_next(&d, &in, &piece)) == RESULT_OK)
                take(r, piece);
        } else if (r->framing == HTTP_BODY_EOF) {
            take(r, in);
            in = SLICE_EMPTY;
            r->result = RESULT_AGAIN;
        } else {
            size_t rest =
                r->framing == HTTP_BODY_NONE ? 0 : (size_t)r->head.content_length - r->body_len;
            piece = slice_head(in, rest);
            take(r, piece);
            in = slice_from(in, piece.len);
            r->result = piece.len == rest ? RESULT_EOF : RESULT_AGAIN;
        }
        used = have - in.len;
        if (r->result != RESULT_AGAIN)
            break;
    }
    r->end = used;
}

static void check_slice(struct slice s, const char *m, size_t len)
{
    bool inside = s.ptr >= m && s.ptr + s.len <= m + len;
    REQUIRE(inside || s.len == 0 || slice_eq_cstr(s, "/"));
    for (size_t i = 0; i < s.len; i++)
        REQUIRE(s.ptr[i] != '\r' && s.ptr[i] != '\n' && s.ptr[i] != '\0');
}

static void check_head(const struct http_head *h, const char *m, size_t len)
{
    REQUIRE(h->header_count <= HTTP_HEADERS_MAX && !(h->chunked && h->content_length >= 0));
    check_slice(h->target, m, len);
    check_slice(h->path, m, len);
    check_slice(h->query, m, len);
    for (uint32_t i = 0; i < h->header_count; i++) {
        REQUIRE(h->headers[i].name.len > 0);
        check_slice(h->headers[i].name, m, len);
        check_slice(h->headers[i].value, m, len);
    }
}

// --- the second reader

struct other {
    size_t body_len;
    char body[FUZZ_MAX];
    bool whole, bodiless;
};

// It must be told that 204 and 304 have no body.
static int other_head(llhttp_t *p)
{
    return ((struct other *)p->data)->bodiless;
}

static int other_body(llhttp_t *p, const char *at, size_t n)
{
    struct other *o = p->data;
    memcpy(o->body + o->body_len, at, n);
    o->body_len += n;
    return 0;
}

static int other_complete(llhttp_t *p)
{
    struct other *o = p->data;
    o->whole = true;
    return HPE_PAUSED;
}

static void compare(const struct reading *r, bool response, const char *m)
{
    static struct other o;
    static const llhttp_settings_t settings = {.on_headers_complete = other_head,
                                               .on_body = other_body,
                                               .on_message_complete = other_complete};
    llhttp_t p;
    o.body_len = 0;
    o.whole = false;
    o.bodiless = response && r->framing == HTTP_BODY_NONE;
    llhttp_init(&p, response ? HTTP_RESPONSE : HTTP_REQUEST, &settings);
    p.data = &o;
    llhttp_errno_t e = llhttp_execute(&p, m, r->end);
    if (!o.whole) {
        // It may refuse what we read, or see a change of protocol that we do not take up; but it may not wait for more.
        REQUIRE(e != HPE_OK);
        return;
    }
    REQUIRE(o.body_len == r->body_len && memcmp(o.body, r->body, r->body_len) == 0);
    if (p.error == HPE_PAUSED)
        REQUIRE(llhttp_get_error_pos(&p) >= m + r->end - 1);
}

static int fuzz_message(const uint8_t *data, size_t size, bool response)
{
    static struct reading whole, cut;
    if (size < 1 || size > FUZZ_MAX)
        return 0;
    size_t cuts = data[0] % 8;
    if (size < 1 + cuts)
        return 0;
    const char *bytes = (const char *)data + 1 + cuts;
    size_t len = size - 1 - cuts;
    char *m = malloc(len + 1); // of its own, so that a read past the end is seen
    memcpy(m, bytes, len);
    m = realloc(m, len ? len : 1);
    read_message(&whole, response, m, len, NULL, 0);
    read_message(&cut, response, m, len, data + 1, cuts);
    REQUIRE(whole.result == cut.result && whole.end == cut.end && whole.body_len == cut.body_len);
    REQUIRE(memcmp(whole.body, cut.body, whole.body_len) == 0);
    if (whole.result == RESULT_EOF) {
        check_head(&whole.head, m, len);
        compare(&whole, response, m);
    }
    free(m);
    return 0;
}

#endif
