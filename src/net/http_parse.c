#include "net/http_parse.h"

// llhttp.h takes some names of ours.
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

#define ONES 0x0101010101010101u
#define TOPS 0x8080808080808080u

// Control bytes but the tab have no place in a line.
static bool line_is_clean(const char *p, size_t len)
{
    uint64_t bad = 0, w;
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        memcpy(&w, p + i, 8);
        uint64_t del = w ^ (ONES * 0x7f);
        bad |= ((w - ONES * 0x20) & ~w) | ((del - ONES) & ~del);
    }
    if (!(bad & TOPS)) {
        for (; i < len; i++)
            if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
                break;
        if (i == len)
            return true;
    }
    for (i = 0; i < len; i++)
        if (((unsigned char)p[i] < 0x20 && p[i] != '\t') || p[i] == 0x7f)
            return false;
    return true;
}

enum result http_head_scan(const char *bytes, size_t len, size_t *at, size_t *head_len)
{
    size_t line = *at;
    if (line == 0 && len && (bytes[0] < 'A' || bytes[0] > 'Z'))
        return RESULT_SYNTAX;
    for (;;) {
        const char *lf = line < len ? memchr(bytes + line, '\n', len - line) : NULL;
        if (!lf)
            break;
        size_t n = (size_t)(lf - (bytes + line));
        if (n == 0 || lf[-1] != '\r')
            return RESULT_SYNTAX;
        if (n == 1) {
            *head_len = line + 2;
            return RESULT_OK;
        }
        // A line that begins with white space continues the one before it: two readings are about.
        if (bytes[line] == ' ' || bytes[line] == '\t' || !line_is_clean(bytes + line, n - 1))
            return RESULT_SYNTAX;
        line += n + 1;
    }
    *at = line;
    return RESULT_AGAIN;
}

struct reading {
    llhttp_t parser;
    struct http_head *h;
    bool done, overflow;
};

static int on_field(llhttp_t *p, const char *at, size_t len)
{
    struct reading *r = p->data;
    if (r->h->header_count == HTTP_HEADERS_MAX) {
        r->overflow = true;
        return -1;
    }
    r->h->headers[r->h->header_count++] = (struct http_header){{at, len}, {at + len, 0}};
    return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t len)
{
    struct reading *r = p->data;
    // The head lies in one piece, so a second span of one value could only come from a folded line.
    struct slice *value = &r->h->headers[r->h->header_count - 1].value;
    if (value->len)
        return -1;
    *value = slice_make(at, len);
    return 0;
}

static int on_complete(llhttp_t *p)
{
    struct reading *r = p->data;
    r->done = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_complete,
};

static enum result lex(struct http_head *h, const char *bytes, size_t len, llhttp_type_t type)
{
    struct reading r;
    llhttp_init(&r.parser, type, &settings);
    r.parser.data = &r;
    r.h = h;
    r.done = r.overflow = false;
    llhttp_execute(&r.parser, bytes, len);
    if (r.overflow)
        return RESULT_LIMIT;
    return r.done ? RESULT_OK : RESULT_SYNTAX;
}

// RFC 9110, 5.6.2.
static const bool token_bytes[256] = {
    ['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true, ['!'] = true,  ['#'] = true,
    ['$'] = true,         ['%'] = true,         ['&'] = true,         ['\''] = true, ['*'] = true,
    ['+'] = true,         ['-'] = true,         ['.'] = true,         ['^'] = true,  ['_'] = true,
    ['`'] = true,         ['|'] = true,         ['~'] = true,
};

static bool is_token_byte(char c)
{
    return token_bytes[(unsigned char)c];
}

// Eight bytes at the end of the line: "HTTP/1.x".
static enum result version_of(const char *p, bool *http10)
{
    if (memcmp(p, "HTTP/", 5) != 0 || p[5] < '0' || p[5] > '9' || p[6] != '.' || p[7] < '0' ||
        p[7] > '9')
        return RESULT_SYNTAX;
    if (p[5] != '1' || p[7] > '1')
        return RESULT_VERSION;
    *http10 = p[7] == '0';
    return RESULT_OK;
}

static enum http_method method_of(struct slice m)
{
    static const struct {
        struct slice name;
        enum http_method method;
    } known[] = {
        {{"POST", 4}, HTTP_POST},   {{"GET", 3}, HTTP_GET},       {{"HEAD", 4}, HTTP_HEAD},
        {{"PUT", 3}, HTTP_PUT},     {{"DELETE", 6}, HTTP_DELETE}, {{"OPTIONS", 7}, HTTP_OPTIONS},
        {{"PATCH", 5}, HTTP_PATCH},
    };
    for (size_t i = 0; i < MERIT_COUNT(known); i++)
        if (slice_eq(m, known[i].name))
            return known[i].method;
    return HTTP_OTHER;
}

// method SP target SP version, with single spaces. `*authority` is that of an absolute-form.
static enum result read_request_line(struct http_head *h, struct slice line,
                                     struct slice *authority)
{
    const char *space = memchr(line.ptr, ' ', line.len);
    if (!space || line.len < 10 || line.ptr[line.len - 9] != ' ')
        return RESULT_SYNTAX;
    h->method_text = slice_make(line.ptr, (size_t)(space - line.ptr));
    const char *target = space + 1, *end = line.ptr + line.len - 9;
    if (target >= end)
        return RESULT_SYNTAX;
    unsigned bad = 0;
    for (const char *p = target; p < end; p++)
        bad |= (unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f || *p == '#';
    if (bad)
        return RESULT_SYNTAX;
    enum result res = version_of(end + 1, &h->http10);
    if (res)
        return res;
    h->method = method_of(h->method_text);
    h->target = slice_make(target, (size_t)(end - target));
    *authority = SLICE_EMPTY;
    if (*target == '/')
        return RESULT_OK;
    if (h->target.len == 1 && *target == '*')
        return h->method == HTTP_OPTIONS ? RESULT_OK : RESULT_SYNTAX;
    size_t skip = 0;
    if (h->target.len > 7 && slice_ieq(slice_head(h->target, 7), SLICE("http://")))
        skip = 7;
    else if (h->target.len > 8 && slice_ieq(slice_head(h->target, 8), SLICE("https://")))
        skip = 8;
    if (!skip)
        return RESULT_SYNTAX;
    const char *slash = memchr(target + skip, '/', h->target.len - skip);
    *authority = slice_make(target + skip, (size_t)((slash ? slash : end) - (target + skip)));
    h->target = slash ? slice_make(slash, (size_t)(end - slash)) : SLICE("/");
    return authority->len ? RESULT_OK : RESULT_SYNTAX;
}

static bool is_host(struct slice host)
{
    for (size_t i = 0; i < host.len; i++) {
        unsigned char c = (unsigned char)host.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (c && strchr(".-_:[]%~", c))))
            return false;
    }
    return host.len > 0;
}

struct seen {
    uint32_t hosts, lengths, codings;
    bool close, keep_alive, expect_other;
    struct slice host;
};

static void read_connection(struct http_head *h, struct seen *s, struct slice value)
{
    struct slice item;
    while (slice_split(&value, ',', &item)) {
        item = slice_trim(item);
        if (slice_ieq(item, SLICE("close")))
            s->close = true;
        else if (slice_ieq(item, SLICE("keep-alive")))
            s->keep_alive = true;
        else if (item.len)
            h->connection_names = true;
    }
}

// The headers that say where a message ends and what becomes of its connection.
static bool read_header(struct http_head *h, struct seen *s, const struct http_header *header)
{
    uint64_t length;
    struct slice name = header->name;
    switch (name.len) {
    case 4:
        if (slice_ieq(name, SLICE("host"))) {
            s->hosts++;
            s->host = header->value;
        }
        return true;
    case 6:
        if (slice_ieq(name, SLICE("expect"))) {
            h->expect_continue = slice_ieq(header->value, SLICE("100-continue"));
            s->expect_other = s->expect_other || !h->expect_continue;
        }
        return true;
    case 10:
        if (slice_ieq(name, SLICE("connection")))
            read_connection(h, s, header->value);
        return true;
    case 14:
        if (!slice_ieq(name, SLICE("content-length")))
            return true;
        if (s->lengths++ || !slice_u64(header->value, &length) || length > INT64_MAX)
            return false;
        h->content_length = (int64_t)length;
        return true;
    case 17:
        if (!slice_ieq(name, SLICE("transfer-encoding")))
            return true;
        h->chunked = true;
        // Allowed by the grammar, but other readers do not see the coding behind a tab: then there are two readings.
        for (const char *at = header->value.ptr + header->value.len; *at == ' ' || *at == '\t';
             at++)
            if (*at == '\t')
                return false;
        return s->codings++ == 0 && slice_ieq(header->value, SLICE("chunked"));
    default:
        return true;
    }
}

static bool read_headers(struct http_head *h, struct seen *s)
{
    for (uint32_t i = 0; i < h->header_count; i++) {
        struct http_header *header = &h->headers[i];
        if (header->name.len == 0)
            return false;
        // llhttp in strict mode refuses other bytes; a name that got through with one must not be forwarded.
        for (size_t k = 0; k < header->name.len; k++)
            if (!is_token_byte(header->name.ptr[k]))
                return false;
        header->value = slice_trim(header->value);
        if (!read_header(h, s, header))
            return false;
    }
    if (h->chunked && (h->content_length >= 0 || h->http10))
        return false;
    h->keep_alive = !s->close && (!h->http10 || s->keep_alive);
    return true;
}

static void begin(struct http_head *h)
{
    memset(h, 0, offsetof(struct http_head, headers));
    h->header_count = 0;
    h->content_length = -1;
    h->chunked = h->keep_alive = h->expect_continue = h->connection_names = false;
}

static struct slice first_line(const char *bytes, size_t len)
{
    const char *cr = memchr(bytes, '\r', len);
    return slice_make(bytes, cr ? (size_t)(cr - bytes) : 0);
}

enum result http_parse_request(struct http_head *h, const char *bytes, size_t len)
{
    begin(h);
    struct slice authority;
    struct seen s = {0};
    enum result res = read_request_line(h, first_line(bytes, len), &authority);
    if (!res)
        res = lex(h, bytes, len, HTTP_REQUEST);
    if (res)
        goto out;
    res = RESULT_SYNTAX;
    if (!read_headers(h, &s))
        goto out;
    if (s.hosts > 1 || (s.hosts == 0 && !h->http10) || (s.hosts && !is_host(s.host)))
        goto out;
    if (authority.len && s.hosts && !slice_ieq(authority, s.host))
        goto out;
    if (slice_eq(h->method_text, SLICE("CONNECT")) || slice_eq(h->method_text, SLICE("PRI")))
        goto out;
    if (h->http10)
        h->expect_continue = false;
    else if (s.expect_other) {
        res = RESULT_UNSUPPORTED;
        goto out;
    }
    const char *mark = memchr(h->target.ptr, '?', h->target.len);
    h->path = mark ? slice_make(h->target.ptr, (size_t)(mark - h->target.ptr)) : h->target;
    if (mark)
        h->query = slice_from(h->target, h->path.len + 1);
    return RESULT_OK;
out:
    begin(h);
    return res;
}

enum result http_parse_response(struct http_head *h, const char *bytes, size_t len)
{
    begin(h);
    struct seen s = {0};
    struct slice line = first_line(bytes, len);
    enum result res = RESULT_SYNTAX;
    if (line.len < 12)
        goto out;
    res = version_of(line.ptr, &h->http10);
    if (res)
        goto out;
    res = RESULT_SYNTAX;
    const char *p = line.ptr + 8;
    if (p[0] != ' ' || p[1] < '1' || p[1] > '5' || p[2] < '0' || p[2] > '9' || p[3] < '0' ||
        p[3] > '9' || (line.len > 12 && p[4] != ' '))
        goto out;
    h->status = (p[1] - '0') * 100 + (p[2] - '0') * 10 + (p[3] - '0');
    res = lex(h, bytes, len, HTTP_RESPONSE);
    if (res)
        goto out;
    if (read_headers(h, &s))
        return RESULT_OK;
    res = RESULT_SYNTAX;
out:
    begin(h);
    return res;
}

// --- chunked bodies

enum {
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    TRAILER_START,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    LAST_LF,
    CHUNKED_DONE,
};

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_text_byte(char c)
{
    return c == '\t' || ((unsigned char)c >= 0x20 && c != 0x7f);
}

static enum result size_byte(struct http_chunked *d, char c)
{
    int digit = hex_of(c);
    if (digit >= 0) {
        // Fifteen digits are an exbibyte: more is a trick, leading zeros or not.
        if (d->digits == 15)
            return RESULT_SYNTAX;
        d->digits++;
        d->left = d->left << 4 | (unsigned)digit;
        return RESULT_OK;
    }
    if (d->digits == 0 || (c != '\r' && c != ';'))
        return RESULT_SYNTAX;
    d->state = c == '\r' ? CHUNK_SIZE_LF : CHUNK_EXTENSION;
    d->extension = 0;
    return RESULT_OK;
}

static enum result trailer_byte(struct http_chunked *d, char c)
{
    if (++d->trailer_bytes > HTTP_TRAILER_BYTES_MAX)
        return RESULT_LIMIT;
    switch (d->state) {
    case TRAILER_START:
        if (c == '\r') {
            d->state = LAST_LF;
            return RESULT_OK;
        }
        if (++d->trailers > HTTP_TRAILERS_MAX)
            return RESULT_LIMIT;
        d->state = TRAILER_NAME;
        return is_token_byte(c) ? RESULT_OK : RESULT_SYNTAX;
    case TRAILER_NAME:
        if (c == ':')
            d->state = TRAILER_VALUE;
        return c == ':' || is_token_byte(c) ? RESULT_OK : RESULT_SYNTAX;
    case TRAILER_VALUE:
        if (c == '\r')
            d->state = TRAILER_LF;
        return c == '\r' || is_text_byte(c) ? RESULT_OK : RESULT_SYNTAX;
    default:
        d->state = TRAILER_START;
        return c == '\n' ? RESULT_OK : RESULT_SYNTAX;
    }
}

static enum result frame_byte(struct http_chunked *d, char c)
{
    switch (d->state) {
    case CHUNK_SIZE:
        return size_byte(d, c);
    case CHUNK_EXTENSION:
        if (c == '\r')
            d->state = CHUNK_SIZE_LF;
        else if (++d->extension > HTTP_CHUNK_EXTENSION_MAX)
            return RESULT_LIMIT;
        return c == '\r' || is_text_byte(c) ? RESULT_OK : RESULT_SYNTAX;
    case CHUNK_SIZE_LF:
        d->state = d->left ? CHUNK_DATA : TRAILER_START;
        return c == '\n' ? RESULT_OK : RESULT_SYNTAX;
    case CHUNK_DATA_CR:
        d->state = CHUNK_DATA_LF;
        return c == '\r' ? RESULT_OK : RESULT_SYNTAX;
    case CHUNK_DATA_LF:
        d->state = CHUNK_SIZE;
        d->digits = 0;
        return c == '\n' ? RESULT_OK : RESULT_SYNTAX;
    case LAST_LF:
        d->state = CHUNKED_DONE;
        return c == '\n' ? RESULT_OK : RESULT_SYNTAX;
    default:
        return trailer_byte(d, c);
    }
}

enum result http_chunked_next(struct http_chunked *d, struct slice *in, struct slice *piece)
{
    while (d->state != CHUNKED_DONE) {
        if (in->len == 0)
            return RESULT_AGAIN;
        if (d->state == CHUNK_DATA) {
            *piece = slice_head(*in, d->left < in->len ? (size_t)d->left : in->len);
            *in = slice_from(*in, piece->len);
            d->left -= piece->len;
            if (d->left == 0)
                d->state = CHUNK_DATA_CR;
            return RESULT_OK;
        }
        enum result res = frame_byte(d, in->ptr[0]);
        if (res)
            return res;
        *in = slice_from(*in, 1);
    }
    return RESULT_EOF;
}
