#include "net/http_client_call.h"

#include <assert.h>
#include <string.h>

#include "net/http_put.h"

enum {
    COPY_BYTES_MAX = 16 * 1024, // a request up to this size is copied into one piece
    PIN_BYTES_MIN = 1024,
    INTERIMS_MAX = 16,
};

// --- time

static void arm(struct http_call *call)
{
    struct loop *l = call->origin->client->loop;
    uint64_t due = call->deadline_ms;
    if (call->total_deadline_ms && (!due || call->total_deadline_ms < due))
        due = call->total_deadline_ms;
    if (!due || (loop_timer_is_set(&call->timer) && call->timer.due_ms <= due + 1))
        return;
    uint64_t now_ms = loop_now_us(l) / 1000;
    loop_timer_set(l, &call->timer, due > now_ms ? (uint32_t)(due - now_ms) : 0);
}

static void set_deadline(struct http_call *call, uint32_t after_ms)
{
    call->deadline_ms = after_ms ? loop_now_us(call->origin->client->loop) / 1000 + after_ms : 0;
    if (after_ms)
        arm(call);
}

// --- the end of a call

// Takes it out of everything but memory.
static void detach(struct http_call *call)
{
    struct http_client *c = call->origin->client;
    call->over = true;
    *call->link = call->next;
    if (call->next)
        call->next->link = call->link;
    loop_timer_cancel(c->loop, &call->timer);
    loop_task_cancel(&call->step);
    if (call->resolving)
        dns_cancel(&call->query);
    call->resolving = false;
}

static void drop_conn(struct http_call *call)
{
    if (call->conn)
        client_conn_close(call->conn);
    call->conn = NULL;
}

// Only from the loop.
static void fail(struct http_call *call, enum result why)
{
    struct http_client *c = call->origin->client;
    detach(call);
    drop_conn(call);
    call->ops->on_error(call, call->user, why, call->phase, call->reused);
    client_call_give(c, call);
}

MERIT_COLD static void fail_later(struct http_call *call, enum result why)
{
    call->failure = why;
    loop_defer(call->origin->client->loop, &call->step);
}

// The answer is whole. `clean` when nothing came behind it.
static void finish(struct http_call *call, bool clean)
{
    struct http_client *c = call->origin->client;
    struct client_conn *cc = call->conn;
    detach(call);
    call->conn = NULL;
    // With part of the request still to be sent the connection is no good, and its pieces must go unpinned.
    if (call->keep && clean && !conn_queued(&cc->c))
        client_conn_keep(cc);
    else
        client_conn_close(cc);
    call->ops->on_end(call, call->user);
    client_call_give(c, call);
}

enum http_phase http_call_phase(const struct http_call *call)
{
    return call->phase;
}

void http_call_cancel(struct http_call *call)
{
    if (call->over)
        return;
    struct http_client *c = call->origin->client;
    detach(call);
    drop_conn(call);
    client_call_give(c, call);
}

// --- connecting and sending

static void send_request(struct http_call *call)
{
    struct conn *c = &call->conn->c;
    call->phase = HTTP_PHASE_SENT;
    bool copy = call->head.len + call->body_bytes <= COPY_BYTES_MAX;
    conn_send(c, buf_slice(&call->head), CONN_COPY);
    for (uint32_t i = 0; i < call->piece_count; i++) {
        struct slice piece = call->pieces[i];
        conn_send(c, piece, copy || piece.len < PIN_BYTES_MIN ? CONN_COPY : CONN_PINNED);
    }
    set_deadline(call, call->first_byte_timeout_ms);
    if (call->paused)
        conn_pause(c);
}

static void use_conn(struct http_call *call, struct client_conn *cc)
{
    call->conn = cc;
    call->reused = cc->reused;
    cc->call = call;
}

// Tries the addresses that are left, in order.
static void connect_next(struct http_call *call, enum result why)
{
    struct loop *l = call->origin->client->loop;
    const struct dns_answer *a = &call->addresses;
    while (call->address_at < a->count) {
        uint32_t left = a->count - call->address_at;
        struct client_conn *cc;
        why = client_conn_open(call->origin, &a->addresses[call->address_at++], &cc);
        if (why)
            continue;
        use_conn(call, cc);
        // An address that does not answer must not use up the time of those behind it.
        uint64_t now_ms = loop_now_us(l) / 1000;
        uint64_t rest = call->connect_deadline_ms > now_ms ? call->connect_deadline_ms - now_ms : 0;
        if (call->connect_deadline_ms)
            set_deadline(call, (uint32_t)(rest / left + 1));
        return;
    }
    fail_later(call, why);
}

static void on_answer(struct dns_query *q, const struct dns_answer *a)
{
    struct http_call *call = MERIT_CONTAINER(q, struct http_call, query);
    call->resolving = false;
    if (a->result || !a->count) {
        fail_later(call, a->result ? a->result : RESULT_DNS);
        return;
    }
    call->addresses.count = a->count;
    memcpy(call->addresses.addresses, a->addresses, a->count * sizeof a->addresses[0]);
    connect_next(call, RESULT_DNS);
}

static void begin(struct http_call *call)
{
    struct http_origin *o = call->origin;
    struct http_client *c = o->client;
    struct client_conn *cc = call->fresh ? NULL : client_conn_idle(o);
    if (cc) {
        use_conn(call, cc);
        send_request(call);
        return;
    }
    if (c->limits.connections_per_origin && o->conn_count >= c->limits.connections_per_origin) {
        fail_later(call, RESULT_LIMIT);
        return;
    }
    call->resolving = true;
    call->query = (struct dns_query){.on_answer = on_answer};
    dns_resolve(c->dns, c->loop, &call->query, o->connect, o->port);
}

void client_call_opened(struct http_call *call)
{
    send_request(call);
}

// --- reading the answer

static bool gone(const struct client_conn *cc, const struct http_call *call)
{
    return cc->call != call;
}

// Keeps bytes for later: of a head until it is whole, of a body until the reader resumes.
static bool keep_part(struct http_call *call, const char *data, size_t len)
{
    buf_append(&call->part, data, len);
    return buf_result(&call->part) == RESULT_OK;
}

static enum result begin_body(struct http_call *call, const struct http_head *h)
{
    if (h->status < 200) {
        // A change of protocol was not asked for, and hints without end are no answer.
        if (h->status == 101 || ++call->interims > INTERIMS_MAX)
            return RESULT_PROTOCOL;
        return RESULT_OK;
    }
    call->framing = (uint8_t)http_response_framing(h, call->to_head);
    call->left = call->framing == HTTP_BODY_LENGTH ? h->content_length : 0;
    call->keep = h->keep_alive && call->framing != HTTP_BODY_EOF;
    call->phase = HTTP_PHASE_BODY;
    call->in_body = true;
    call->ops->on_head(call, call->user, h);
    return RESULT_OK;
}

// Takes the head off `*in`. RESULT_AGAIN when it is not whole. The call may be over.
static enum result read_head(struct http_call *call, struct slice *in)
{
    struct http_client *c = call->origin->client;
    size_t cap = c->limits.head_bytes, before = call->part.len, head_len = 0;
    struct slice bytes = *in;
    if (before) {
        if (!keep_part(call, in->ptr, in->len < cap - before ? in->len : cap - before))
            return RESULT_NOMEM;
        bytes = buf_slice(&call->part);
    }
    enum result res = http_head_scan(bytes.ptr, bytes.len, &call->scan_at, &head_len);
    if (res == RESULT_SYNTAX)
        return RESULT_PROTOCOL;
    if (res ? bytes.len >= cap : head_len > cap)
        return RESULT_LIMIT;
    if (res) {
        if (!before && !keep_part(call, in->ptr, in->len))
            return RESULT_NOMEM;
        *in = SLICE_EMPTY;
        return RESULT_AGAIN;
    }
    res = http_parse_response(&c->head, bytes.ptr, head_len);
    if (res)
        return res == RESULT_LIMIT ? res : RESULT_PROTOCOL;
    *in = slice_from(*in, head_len - before);
    call->scan_at = 0;
    // The next head, after an interim one, begins anew; the bytes stay as they are until on_head has returned.
    buf_reset(&call->part);
    return begin_body(call, &c->head);
}

// The next run of the body off `*in`. RESULT_EOF when the body is over, RESULT_AGAIN when `*in` is used up.
static enum result next_piece(struct http_call *call, struct slice *in, struct slice *piece)
{
    if (call->framing == HTTP_BODY_CHUNKED) {
        enum result res = http_chunked_next(&call->chunked, in, piece);
        return res == RESULT_SYNTAX ? RESULT_PROTOCOL : res;
    }
    if (call->framing == HTTP_BODY_NONE || (call->framing == HTTP_BODY_LENGTH && !call->left))
        return RESULT_EOF;
    if (!in->len)
        return RESULT_AGAIN;
    *piece = *in;
    if (call->framing == HTTP_BODY_LENGTH) {
        *piece = slice_head(*in, (uint64_t)call->left < in->len ? (size_t)call->left : in->len);
        call->left -= (int64_t)piece->len;
    }
    *in = slice_from(*in, piece->len);
    return RESULT_OK;
}

// Hands over what it can of `in`; the rest waits in `part` when the reader paused.
static void process(struct http_call *call, struct slice in)
{
    struct client_conn *cc = call->conn;
    struct slice piece;
    enum result res = RESULT_OK;
    while (!res && !call->paused) {
        if (!call->in_body) {
            res = in.len ? read_head(call, &in) : RESULT_AGAIN;
        } else {
            res = next_piece(call, &in, &piece);
            if (!res)
                call->ops->on_body(call, call->user, piece);
        }
        if (gone(cc, call))
            return;
    }
    if (res == RESULT_EOF) {
        finish(call, in.len == 0);
    } else if (!res) {
        if (in.len && !keep_part(call, in.ptr, in.len))
            fail(call, RESULT_NOMEM);
    } else if (res != RESULT_AGAIN) {
        fail(call, res);
    }
}

void client_call_data(struct http_call *call, const char *data, size_t len)
{
    struct client_conn *cc = call->conn;
    if (call->phase == HTTP_PHASE_SENT)
        call->phase = HTTP_PHASE_HEAD;
    process(call, slice_make(data, len));
    // A head that comes drop by drop must be whole in the time that was given for its first byte.
    if (!gone(cc, call) && !call->paused && call->in_body)
        set_deadline(call, call->idle_timeout_ms);
}

void client_call_eof(struct http_call *call)
{
    if (call->in_body && call->framing == HTTP_BODY_EOF)
        finish(call, false);
    else
        fail(call, call->phase == HTTP_PHASE_SENT ? RESULT_RESET : RESULT_EOF);
}

void client_call_failed(struct http_call *call, enum result why)
{
    if (call->phase == HTTP_PHASE_CONNECT && call->address_at < call->addresses.count) {
        drop_conn(call);
        connect_next(call, why);
        return;
    }
    fail(call, why);
}

// What waited while the reader had paused.
static void go_on(struct http_call *call)
{
    struct client_conn *cc = call->conn;
    if (call->paused || !cc)
        return;
    struct buf held = call->part;
    buf_init(&call->part, held.cap);
    process(call, buf_slice(&held));
    buf_deinit(&held);
    if (gone(cc, call) || call->paused)
        return;
    set_deadline(call, call->idle_timeout_ms);
    conn_resume(&cc->c);
}

static void run_step(struct loop_task *t)
{
    struct http_call *call = MERIT_CONTAINER(t, struct http_call, step);
    if (call->failure)
        fail(call, call->failure);
    else
        go_on(call);
}

void http_call_pause(struct http_call *call)
{
    if (call->over || call->paused)
        return;
    call->paused = true;
    if (call->in_body)
        call->deadline_ms = 0;
    if (call->conn && call->phase != HTTP_PHASE_CONNECT)
        conn_pause(&call->conn->c);
}

void http_call_resume(struct http_call *call)
{
    if (call->over || !call->paused)
        return;
    call->paused = false;
    // Not from inside this call: the reader may be in the middle of something.
    loop_defer(call->origin->client->loop, &call->step);
}

static void on_due(struct loop_timer *t)
{
    struct http_call *call = MERIT_CONTAINER(t, struct http_call, timer);
    uint64_t now_ms = loop_now_us(call->origin->client->loop) / 1000;
    bool total = call->total_deadline_ms && now_ms >= call->total_deadline_ms;
    if (!total && !(call->deadline_ms && now_ms >= call->deadline_ms)) {
        arm(call);
        return;
    }
    if (!total)
        client_call_failed(call, RESULT_TIMEOUT);
    else
        fail(call, RESULT_TIMEOUT);
}

// --- starting

static enum result build_head(struct http_call *call, const struct http_request *r)
{
    static const char *const methods[] = {"GET ",    "HEAD ",    "POST ", "PUT ",
                                          "DELETE ", "OPTIONS ", "PATCH "};
    const struct http_origin *o = call->origin;
    size_t need = 128 + r->target.len + o->host_header.len +
                  http_put_headers_len(r->headers, r->header_count);
    char *begin_at = buf_reserve(&call->head, need), *to = begin_at;
    if (!to)
        return buf_result(&call->head);
    assert((unsigned)r->method < MERIT_COUNT(methods));
    to = http_put(to, slice_cstr(methods[r->method]));
    to = http_put_clean(to, r->target);
    to = HTTP_PUT_LIT(to, " HTTP/1.1\r\nHost: ");
    to = http_put(to, o->host_header);
    to = HTTP_PUT_LIT(to, "\r\n");
    to = http_put_headers(to, r->headers, r->header_count);
    if (call->body_bytes || r->method == HTTP_POST || r->method == HTTP_PUT ||
        r->method == HTTP_PATCH) {
        to = HTTP_PUT_LIT(to, "Content-Length: ");
        to = buf_put_u64(to, call->body_bytes);
        to = HTTP_PUT_LIT(to, "\r\n");
    }
    to = HTTP_PUT_LIT(to, "\r\n");
    call->head.len = (size_t)(to - begin_at);
    return RESULT_OK;
}

enum result http_call_start(struct http_origin *o, const struct http_request *r,
                            const struct http_call_ops *ops, void *user, struct http_call **out)
{
    *out = NULL;
    if (r->piece_count > HTTP_CALL_PIECES_MAX)
        return RESULT_LIMIT;
    struct http_call *call = client_call_take(o->client);
    if (!call)
        return RESULT_NOMEM;
    call->origin = o;
    call->ops = ops;
    call->user = user;
    call->timer.on_due = on_due;
    call->step.run = run_step;
    call->to_head = r->method == HTTP_HEAD;
    call->fresh = r->fresh;
    for (size_t i = 0; i < r->piece_count; i++) {
        if (!r->pieces[i].len)
            continue;
        call->pieces[call->piece_count++] = r->pieces[i];
        call->body_bytes += r->pieces[i].len;
    }
    enum result res = build_head(call, r);
    if (res) {
        http_call_cancel(call);
        return res;
    }
    uint64_t now_ms = loop_now_us(o->client->loop) / 1000;
    call->total_deadline_ms = r->total_timeout_ms ? now_ms + r->total_timeout_ms : 0;
    call->connect_deadline_ms = r->connect_timeout_ms ? now_ms + r->connect_timeout_ms : 0;
    call->first_byte_timeout_ms = r->first_byte_timeout_ms;
    call->idle_timeout_ms = r->idle_timeout_ms;
    set_deadline(call, r->connect_timeout_ms);
    arm(call);
    *out = call;
    begin(call);
    return RESULT_OK;
}
