// What the server sends: heads built by memcpy, bodies by length, in chunks or until the end.
#include <assert.h>
#include <string.h>
#include <time.h>

#include "net/http_put.h"
#include "net/http_server_conn.h"

static struct exchange *of(struct http_exchange *x)
{
    return (struct exchange *)(void *)x;
}

static void two_digits(char *to, int v)
{
    to[0] = (char)('0' + v / 10);
    to[1] = (char)('0' + v % 10);
}

// IMF-fixdate (RFC 9110, 5.6.7), made once a second.
static const char *date_of(struct http_server *s)
{
    static const char days[] = "SunMonTueWedThuFriSat",
                      months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    uint64_t now = loop_now_us(s->loop);
    if (now < s->date_until_us)
        return s->date;
    uint64_t wall = loop_wall_us(s->loop);
    s->date_until_us = now + 1000000 - wall % 1000000;
    time_t seconds = (time_t)(wall / 1000000);
    struct tm t;
    gmtime_r(&seconds, &t);
    memcpy(s->date, "Sun, 00 Jan 0000 00:00:00 GMT", HTTP_DATE_LEN);
    memcpy(s->date, days + 3 * t.tm_wday, 3);
    two_digits(s->date + 5, t.tm_mday);
    memcpy(s->date + 8, months + 3 * t.tm_mon, 3);
    two_digits(s->date + 12, (t.tm_year + 1900) / 100);
    two_digits(s->date + 14, (t.tm_year + 1900) % 100);
    two_digits(s->date + 17, t.tm_hour);
    two_digits(s->date + 20, t.tm_min);
    two_digits(s->date + 23, t.tm_sec);
    return s->date;
}

static void send_bytes(struct server_conn *hc, const char *p, size_t n)
{
    hc->sent += n;
    conn_send(&hc->c, slice_make(p, n), CONN_COPY);
}

static void watch_writing(struct server_conn *hc)
{
    if (hc->deadline_ms || hc->state == SERVER_BODY || hc->state == SERVER_HEAD)
        return;
    hc->taken = hc->sent - conn_queued(&hc->c);
    server_conn_set_deadline(hc, hc->server->limits.write_timeout_ms);
}

// How the body ends, and whether the connection outlives the answer.
static void choose_framing(struct exchange *x, int status, int64_t content_length)
{
    const struct http_head *h = x->pub.head;
    x->close = !h || !h->keep_alive || x->unread || x->conn->server->draining;
    x->bodiless = (h && h->method == HTTP_HEAD) || status == 204 || status == 304;
    x->left = content_length;
    if (content_length < 0) {
        x->chunks = h && !h->http10;
        x->until_close = !x->chunks;
        if (x->until_close && !x->bodiless)
            x->close = true;
    }
}

static char *put_framing(char *to, const struct exchange *x, int status)
{
    if (status == 204 || status == 304) {
        // Neither has a body, and a length would speak of another answer's.
    } else if (x->chunks) {
        to = HTTP_PUT_LIT(to, "Transfer-Encoding: chunked\r\n");
    } else if (x->left >= 0) {
        to = HTTP_PUT_LIT(to, "Content-Length: ");
        to = buf_put_u64(to, (uint64_t)x->left);
        to = HTTP_PUT_LIT(to, "\r\n");
    }
    if (x->close)
        to = HTTP_PUT_LIT(to, "Connection: close\r\n");
    else if (x->pub.head->http10)
        to = HTTP_PUT_LIT(to, "Connection: keep-alive\r\n");
    return HTTP_PUT_LIT(to, "\r\n");
}

void http_respond_head(struct http_exchange *pub, int status, const struct http_header *headers,
                       size_t count, int64_t content_length)
{
    struct exchange *x = of(pub);
    struct server_conn *hc = x->conn;
    assert(!x->answered && status >= 200 && status <= 599);
    x->answered = true;
    pub->status = status;
    choose_framing(x, status, content_length);
    struct buf *b = &hc->server->head;
    size_t need = 256 + http_put_headers_len(headers, count);
    buf_reset(b);
    char *begin = buf_reserve(b, need), *to = begin;
    if (!to) {
        x->broken = x->bodiless = true;
        return;
    }
    to = HTTP_PUT_LIT(to, "HTTP/1.1 ");
    to = buf_put_u64(to, (uint64_t)status);
    *to++ = ' ';
    const char *text = http_status_text(status);
    to = http_put(to, slice_cstr(text));
    to = HTTP_PUT_LIT(to, "\r\nDate: ");
    to = http_put(to, slice_make(date_of(hc->server), HTTP_DATE_LEN));
    to = HTTP_PUT_LIT(to, "\r\n");
    to = http_put_headers(to, headers, count);
    to = put_framing(to, x, status);
    send_bytes(hc, begin, (size_t)(to - begin));
    watch_writing(hc);
}

void http_respond_body(struct http_exchange *pub, struct slice piece)
{
    struct exchange *x = of(pub);
    struct server_conn *hc = x->conn;
    assert(x->answered && !x->ended);
    if (!piece.len)
        return;
    if (x->bodiless)
        return;
    if (x->chunks) {
        char size[18], *at = size + sizeof size;
        *--at = '\n';
        *--at = '\r';
        for (size_t v = piece.len; v; v >>= 4)
            *--at = "0123456789abcdef"[v & 15];
        send_bytes(hc, at, (size_t)(size + sizeof size - at));
        send_bytes(hc, piece.ptr, piece.len);
        send_bytes(hc, "\r\n", 2);
    } else if (x->until_close) {
        send_bytes(hc, piece.ptr, piece.len);
    } else {
        assert((uint64_t)x->left >= piece.len);
        x->left -= (int64_t)piece.len;
        send_bytes(hc, piece.ptr, piece.len);
    }
    if (conn_queued(&hc->c) > hc->server->limits.high_water_bytes)
        x->above = true;
    watch_writing(hc);
}

void http_respond_end(struct http_exchange *pub)
{
    struct exchange *x = of(pub);
    struct server_conn *hc = x->conn;
    assert(x->answered && !x->ended);
    if (x->left > 0 && !x->bodiless)
        x->broken = true;
    x->ended = true;
    if (x->chunks && !x->bodiless)
        send_bytes(hc, "0\r\n\r\n", 5);
    server_conn_ended(hc);
}

void http_respond(struct http_exchange *pub, int status, const struct http_header *headers,
                  size_t count, struct slice body)
{
    http_respond_head(pub, status, headers, count, (int64_t)body.len);
    http_respond_body(pub, body);
    http_respond_end(pub);
}

size_t http_backlog(const struct http_exchange *pub)
{
    return conn_queued(&((const struct exchange *)(const void *)pub)->conn->c);
}

void server_answer_continue(struct server_conn *hc)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    send_bytes(hc, text, sizeof text - 1);
}

void server_answer_bad(struct server_conn *hc, const struct http_bad *bad)
{
    struct exchange *x = hc->x;
    struct slice type = SLICE("text/plain; charset=utf-8"), body = slice_cstr(bad->message);
    x->pub.status = bad->status;
    if (hc->server->ops->on_bad)
        body = hc->server->ops->on_bad(&x->pub, bad, &type);
    if (hc->state == SERVER_CLOSED)
        return;
    const struct http_header header = {SLICE("Content-Type"), type};
    x->unread = true; // so that the head says close
    http_respond_head(&x->pub, bad->status, &header, 1, (int64_t)body.len);
    http_respond_body(&x->pub, body);
}
