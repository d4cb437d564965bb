#include "net/dns_message.h"

#include <string.h>

enum { HEADER = 12, TYPE_CNAME = 5, TYPE_SRV = 33, TYPE_OPT = 41, CLASS_IN = 1, LABEL_MAX = 63 };

static bool is_name_byte(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static unsigned char lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + 32) : c;
}

static void put16(uint8_t *to, unsigned v)
{
    to[0] = (uint8_t)(v >> 8);
    to[1] = (uint8_t)v;
}

size_t dns_ask_for_srv(uint8_t out[DNS_QUESTION_MAX], uint16_t id, struct slice name)
{
    struct slice label;
    size_t at = HEADER;
    if (name.len && name.ptr[name.len - 1] == '.')
        name.len--;
    if (!name.len || name.len > DNS_NAME_MAX)
        return 0;
    memset(out, 0, HEADER);
    put16(out, id);
    put16(out + 2, 0x0100); // recursion is desired
    put16(out + 4, 1);
    put16(out + 10, 1);
    while (slice_split(&name, '.', &label)) {
        if (!label.len || label.len > LABEL_MAX)
            return 0;
        out[at++] = (uint8_t)label.len;
        for (size_t i = 0; i < label.len; i++) {
            unsigned char c = lower((unsigned char)label.ptr[i]);
            if (!is_name_byte(c))
                return 0;
            out[at++] = c;
        }
    }
    out[at++] = 0;
    put16(out + at, TYPE_SRV);
    put16(out + at + 2, CLASS_IN);
    at += 4;
    // EDNS: how much we take (RFC 6891).
    memset(out + at, 0, 11);
    put16(out + at + 1, TYPE_OPT);
    put16(out + at + 3, DNS_UDP_MAX);
    return at + 11;
}

// ---- reading

struct reader {
    const uint8_t *at;
    size_t len, pos;
    bool bad;
};

static unsigned get16(struct reader *r)
{
    if (r->len - r->pos < 2) {
        r->bad = true;
        return 0;
    }
    r->pos += 2;
    return (unsigned)r->at[r->pos - 2] << 8 | r->at[r->pos - 1];
}

static uint32_t get32(struct reader *r)
{
    uint32_t high = get16(r);
    return high << 16 | get16(r);
}

// A name as text. `*clean` false: it has bytes that no host's name has; its text means nothing then.
static void get_name(struct reader *r, char text[DNS_NAME_MAX + 1], bool *clean)
{
    size_t pos = r->pos, n = 0, floor = r->pos;
    bool jumped = false;
    *clean = true;
    for (;;) {
        if (pos >= r->len)
            break;
        unsigned c = r->at[pos];
        if (c >= 0xc0) {
            // Only to what stands before, and ever further before.
            size_t to = pos + 1 < r->len ? (size_t)(c & 0x3f) << 8 | r->at[pos + 1] : r->len;
            if (to >= floor)
                break;
            if (!jumped)
                r->pos = pos + 2;
            jumped = true;
            pos = floor = to;
            continue;
        }
        if (c > LABEL_MAX || c >= r->len - pos || n + (n > 0) + c > DNS_NAME_MAX)
            break;
        pos++;
        if (!c) {
            if (!jumped)
                r->pos = pos;
            text[n] = '\0';
            return;
        }
        if (n)
            text[n++] = '.';
        for (unsigned i = 0; i < c; i++, pos++) {
            unsigned char b = lower(r->at[pos]);
            *clean &= is_name_byte(b);
            text[n++] = (char)b;
        }
    }
    text[0] = '\0';
    r->bad = true;
}

struct record {
    char owner[DNS_NAME_MAX + 1];
    bool clean;
    unsigned type, class;
    uint32_t ttl_s;
    size_t data, end; // of its data
};

static bool get_record(struct reader *r, struct record *out)
{
    get_name(r, out->owner, &out->clean);
    out->type = get16(r);
    out->class = get16(r);
    out->ttl_s = get32(r);
    size_t len = get16(r);
    if (r->bad || len > r->len - r->pos) {
        r->bad = true;
        return false;
    }
    // The highest bit is no part of it (RFC 2181).
    out->ttl_s = out->ttl_s >> 31 ? 0 : out->ttl_s;
    out->data = r->pos;
    out->end = r->pos + len;
    r->pos = out->end;
    return true;
}

static int order_of(const struct dns_srv *a, const struct dns_srv *b)
{
    if (a->priority != b->priority)
        return a->priority < b->priority ? -1 : 1;
    int c = strcmp(a->target, b->target);
    return c ? c : (int)a->port - (int)b->port;
}

static void keep(struct dns_srv_answer *out, const struct dns_srv *s)
{
    uint32_t at = 0;
    int order = 1;
    while (at < out->count && (order = order_of(&out->records[at], s)) < 0)
        at++;
    if ((at < out->count && order == 0) || at == DNS_SRV_MAX)
        return;
    uint32_t more = out->count < DNS_SRV_MAX;
    memmove(&out->records[at + 1], &out->records[at],
            (out->count + more - 1 - at) * sizeof out->records[0]);
    out->records[at] = *s;
    out->count += more;
}

// What is malformed inside of a record's data makes the message bad; a target that is no host's name is passed over.
static void take_srv(struct reader *r, const struct record *rr, struct dns_srv_answer *out)
{
    struct reader data = {r->at, r->len, rr->data, false};
    struct dns_srv s;
    bool clean;
    memset(&s, 0, sizeof s);
    s.priority = (uint16_t)get16(&data);
    s.weight = (uint16_t)get16(&data);
    s.port = (uint16_t)get16(&data);
    get_name(&data, s.target, &clean);
    r->bad |= data.bad || data.pos != rr->end;
    if (r->bad || !clean || !s.target[0] || !s.port)
        return;
    out->ttl_s = rr->ttl_s < out->ttl_s ? rr->ttl_s : out->ttl_s;
    keep(out, &s);
}

// One walk over the answers; `owner` is led on by CNAMEs. True: it was.
static bool walk(struct reader r, unsigned count, char owner[DNS_NAME_MAX + 1],
                 struct dns_srv_answer *out, bool *bad)
{
    struct record rr;
    bool led = false, clean;
    for (unsigned i = 0; i < count && get_record(&r, &rr); i++) {
        if (rr.class != CLASS_IN || !rr.clean || strcmp(rr.owner, owner) != 0)
            continue;
        if (rr.type == TYPE_SRV)
            take_srv(&r, &rr, out);
        if (rr.type == TYPE_CNAME && !led) {
            struct reader data = {r.at, r.len, rr.data, false};
            get_name(&data, owner, &clean);
            r.bad |= data.bad || !clean || data.pos != rr.end;
            out->ttl_s = rr.ttl_s < out->ttl_s ? rr.ttl_s : out->ttl_s;
            led = true;
        }
    }
    *bad |= r.bad;
    return led;
}

static bool is_asked(struct reader *r, struct slice name)
{
    char asked[DNS_NAME_MAX + 1];
    bool clean;
    if (name.len && name.ptr[name.len - 1] == '.')
        name.len--;
    get_name(r, asked, &clean);
    return !r->bad && clean && slice_ieq(slice_cstr(asked), name) && get16(r) == TYPE_SRV &&
           get16(r) == CLASS_IN && !r->bad;
}

enum result dns_read_srv(struct slice message, uint16_t id, struct slice name,
                         struct dns_srv_answer *out)
{
    struct reader r = {(const uint8_t *)message.ptr, message.len, 0, false};
    char owner[DNS_NAME_MAX + 1];
    bool bad = false;
    out->count = 0;
    out->ttl_s = UINT32_MAX;
    unsigned got = get16(&r), flags = get16(&r), questions = get16(&r), answers = get16(&r);
    get32(&r);
    if (r.bad || got != id || !(flags >> 15) || (flags >> 11 & 15) || questions != 1 ||
        !is_asked(&r, name))
        return RESULT_PROTOCOL;
    if (flags >> 9 & 1)
        return RESULT_AGAIN;
    unsigned code = flags & 15;
    if (code)
        return code == 3 ? RESULT_NOT_FOUND : RESULT_DNS;
    if (name.len && name.ptr[name.len - 1] == '.')
        name.len--;
    for (size_t i = 0; i < name.len; i++)
        owner[i] = (char)lower((unsigned char)name.ptr[i]);
    owner[name.len] = '\0';
    // A chain may stand in any order, so each step of it begins anew.
    for (int i = 0; i <= DNS_CNAMES_MAX && walk(r, answers, owner, out, &bad) && !bad; i++)
        ;
    if (bad)
        out->count = 0;
    return bad ? RESULT_PROTOCOL : out->count ? RESULT_OK : RESULT_NOT_FOUND;
}
