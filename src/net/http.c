#include "net/http.h"

#include "net/http_parse.h"

struct slice http_header_get(const struct http_head *h, const char *name)
{
    struct slice wanted = slice_cstr(name);
    for (uint32_t i = 0; i < h->header_count; i++)
        if (slice_ieq(h->headers[i].name, wanted))
            return h->headers[i].value;
    return SLICE_EMPTY;
}

static bool named_by_connection(const struct http_head *h, struct slice name)
{
    for (uint32_t i = 0; i < h->header_count; i++) {
        if (!slice_ieq(h->headers[i].name, SLICE("connection")))
            continue;
        struct slice rest = h->headers[i].value, item;
        while (slice_split(&rest, ',', &item))
            if (slice_ieq(slice_trim(item), name))
                return true;
    }
    return false;
}

bool http_is_hop_by_hop(const struct http_head *h, struct slice name)
{
    static const struct slice fixed[] = {
        {"connection", 10}, {"keep-alive", 10},        {"te", 2},
        {"trailer", 7},     {"transfer-encoding", 17}, {"upgrade", 7},
    };
    for (size_t i = 0; i < MERIT_COUNT(fixed); i++)
        if (fixed[i].len == name.len && slice_ieq(fixed[i], name))
            return true;
    if (name.len >= 6 && slice_ieq(slice_head(name, 6), SLICE("proxy-")))
        return true;
    return h->connection_names && named_by_connection(h, name);
}

const char *http_status_text(int status)
{
    static const char *const texts[] = {
        [100] = "Continue",
        [200] = "OK",
        [201] = "Created",
        [202] = "Accepted",
        [204] = "No Content",
        [206] = "Partial Content",
        [301] = "Moved Permanently",
        [302] = "Found",
        [303] = "See Other",
        [304] = "Not Modified",
        [307] = "Temporary Redirect",
        [308] = "Permanent Redirect",
        [400] = "Bad Request",
        [401] = "Unauthorized",
        [402] = "Payment Required",
        [403] = "Forbidden",
        [404] = "Not Found",
        [405] = "Method Not Allowed",
        [406] = "Not Acceptable",
        [408] = "Request Timeout",
        [409] = "Conflict",
        [410] = "Gone",
        [411] = "Length Required",
        [412] = "Precondition Failed",
        [413] = "Content Too Large",
        [414] = "URI Too Long",
        [415] = "Unsupported Media Type",
        [417] = "Expectation Failed",
        [421] = "Misdirected Request",
        [422] = "Unprocessable Content",
        [425] = "Too Early",
        [429] = "Too Many Requests",
        [431] = "Request Header Fields Too Large",
        [451] = "Unavailable For Legal Reasons",
        [499] = "Client Closed Request",
        [500] = "Internal Server Error",
        [501] = "Not Implemented",
        [502] = "Bad Gateway",
        [503] = "Service Unavailable",
        [504] = "Gateway Timeout",
        [505] = "HTTP Version Not Supported",
        [529] = "Overloaded",
    };
    bool known = status >= 0 && (size_t)status < MERIT_COUNT(texts) && texts[status];
    return known ? texts[status] : "Unknown";
}

const char *http_method_name(enum http_method m)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"};
    return (unsigned)m < MERIT_COUNT(names) ? names[m] : "OTHER";
}

enum http_framing http_response_framing(const struct http_head *h, bool to_head)
{
    if (to_head || h->status < 200 || h->status == 204 || h->status == 304)
        return HTTP_BODY_NONE;
    if (h->chunked)
        return HTTP_BODY_CHUNKED;
    if (h->content_length >= 0)
        return h->content_length ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
    return HTTP_BODY_EOF;
}

static bool port_of(struct slice text, uint16_t *port)
{
    uint64_t v;
    if (text.len > 5 || !slice_u64(text, &v) || v == 0 || v > 65535)
        return false;
    *port = (uint16_t)v;
    return true;
}

static bool is_host_byte(unsigned char c, bool ipv6)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return c == '.' || (ipv6 ? c == ':' || c == '%' : c == '-' || c == '_');
}

// A path keeps what RFC 3986 allows in one; dot segments and empty ones are left to whoever serves it.
static bool is_path_byte(unsigned char c)
{
    return c > 0x20 && c < 0x7f && !strchr("?#\"<>\\^`{|}", c);
}

enum result http_url_parse(struct slice url, struct http_url *out)
{
    *out = (struct http_url){.port = 80};
    struct slice rest;
    if (url.len > 7 && slice_ieq(slice_head(url, 7), SLICE("http://"))) {
        rest = slice_from(url, 7);
    } else if (url.len > 8 && slice_ieq(slice_head(url, 8), SLICE("https://"))) {
        rest = slice_from(url, 8);
        out->tls = true;
        out->port = 443;
    } else {
        return RESULT_SYNTAX;
    }
    size_t end = 0;
    while (end < rest.len && rest.ptr[end] != '/')
        end++;
    struct slice authority = slice_head(rest, end), path = slice_from(rest, end);
    bool ipv6 = authority.len && authority.ptr[0] == '[';
    size_t at = ipv6 ? 1 : 0, begin = at;
    while (at < authority.len && is_host_byte((unsigned char)authority.ptr[at], ipv6))
        at++;
    out->host = slice_make(authority.ptr + begin, at - begin);
    if (out->host.len == 0 || out->host.len > 253)
        return RESULT_SYNTAX;
    if (ipv6 && (at == authority.len || authority.ptr[at++] != ']'))
        return RESULT_SYNTAX;
    if (at < authority.len &&
        (authority.ptr[at] != ':' || !port_of(slice_from(authority, at + 1), &out->port)))
        return RESULT_SYNTAX;
    for (size_t i = 0; i < path.len; i++)
        if (!is_path_byte((unsigned char)path.ptr[i]))
            return RESULT_SYNTAX;
    while (path.len && path.ptr[path.len - 1] == '/')
        path.len--;
    out->path = path;
    return RESULT_OK;
}
