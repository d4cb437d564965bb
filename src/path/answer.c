// What comes back: an answer is gathered and read, a stream is relayed event by event, and errors are told apart.

#include <string.h>

#include "net/http_retry.h"
#include "path/path_inner.h"

enum {
    GATHER_ARENA_MAX = 64 * 1024
}; // a stated length up to this is gathered in the request's arena

// The stream broke behind its first event: say so in the protocol, then make sure that no client takes it for whole.
MERIT_COLD static void break_off(struct path_try *t, const char *code, const char *message,
                                 bool tell)
{
    struct path *p = t->path;
    struct http_exchange *x = p->x;
    path_leave(t, PATH_DID_NOT, code);
    if (tell) {
        struct buf event;
        struct api_error e = {
            .status = 502, .type = "upstream_error", .code = code, .message = slice_cstr(message)};
        buf_init(&event, PATH_ERROR_BYTES_MAX);
        p->plan.dialect->error_event(&e, &event);
        http_respond_body(x, buf_slice(&event));
        buf_deinit(&event);
    }
    path_finish(p, PATH_BROKEN, p->result.status, code, NULL);
    http_respond_abort(x);
}

static void send_head(struct path_try *t, int status, const struct usage *usage, int64_t length)
{
    struct path *p = t->path;
    struct http_header headers[PATH_HEADERS_MAX];
    size_t n = t->kept_count;
    memcpy(headers, t->kept, n * sizeof *headers);
    p->result.status = status;
    p->ops->on_head(p, status, usage, headers, &n);
    path_stamp_first_byte(p);
    http_respond_head(p->x, status, headers, n, length);
}

// --- the answer's head

static bool passes(struct slice name)
{
    // What a client may see of an upstream; anything else could tell of the inside.
    static const struct slice names[] = {
        {"content-type", 12},         {"cache-control", 13},       {"content-language", 16},
        {"retry-after", 11},          {"retry-after-ms", 14},      {"x-should-retry", 14},
        {"openai-processing-ms", 20}, {"content-disposition", 19}, {"content-encoding", 16},
    };
    for (size_t i = 0; i < MERIT_COUNT(names); i++) {
        if (slice_ieq(name, names[i]))
            return true;
    }
    return false;
}

static bool keep_headers(struct path_try *t, const struct http_head *head)
{
    struct arena *arena = t->path->x->arena;
    bool in_ms = false;
    t->kept_count = 0;
    for (uint32_t i = 0; i < head->header_count && t->kept_count < MERIT_COUNT(t->kept); i++) {
        const struct http_header *h = &head->headers[i];
        // A hint: without memory for it, it was not given.
        if (h->name.len == 21 && slice_ieq(h->name, SLICE("endpoint-load-metrics")))
            t->load = arena_copy(arena, h->value);
        if (!passes(h->name))
            continue;
        struct http_header *to = &t->kept[t->kept_count++];
        to->name = arena_copy(arena, h->name);
        to->value = arena_copy(arena, h->value);
        if (!to->name.ptr || !to->value.ptr)
            return false;
        if (slice_ieq(h->name, SLICE("content-type")))
            t->type = to->value;
        // Of both the finer one, in whichever order they come.
        if (slice_ieq(h->name, SLICE("retry-after")) && !in_ms)
            t->retry_after_s =
                http_retry_after_s(to->value, http_peer_clock_us(http_header_get(head, "date"),
                                                                 loop_wall_us(t->path->loop)));
        if (slice_ieq(h->name, SLICE("retry-after-ms")) && http_retry_after_ms_s(to->value)) {
            t->retry_after_s = http_retry_after_ms_s(to->value);
            in_ms = true;
        }
    }
    return true;
}

static bool is_type(struct slice value, struct slice type)
{
    return slice_ieq(slice_head(value, type.len), type) &&
           (value.len == type.len || value.ptr[type.len] == ';' || value.ptr[type.len] == ' ');
}

static bool is_requests_fault(int status)
{
    return status == 400 || status == 405 || status == 409 || status == 413 || status == 415 ||
           status == 422;
}

// Room for a body whose length is stated, where it is small.
static void reserve(struct path_try *t, int64_t length)
{
    if (length <= 0 || length > GATHER_ARENA_MAX)
        return;
    size_t n = (size_t)length;
    char *room = arena_alloc_aligned(t->path->x->arena, n, 1);
    if (room) {
        t->gathered = (struct buf){.ptr = room, .room = n, .cap = n};
        t->gathered_in_arena = true;
    }
}

// The first and the last bytes of an answer that nobody gathers.
enum { ENDS_BYTES = 1024 };
struct path_ends {
    uint32_t first_len, last_len;
    char first[ENDS_BYTES], last[2 * ENDS_BYTES];
};

static void see_ends(struct path_ends *e, struct slice piece)
{
    size_t n = ENDS_BYTES - e->first_len < piece.len ? ENDS_BYTES - e->first_len : piece.len;
    memcpy(e->first + e->first_len, piece.ptr, n);
    e->first_len += (uint32_t)n;
    if (piece.len > sizeof e->last)
        piece = slice_from(piece, piece.len - sizeof e->last);
    if (e->last_len + piece.len > sizeof e->last) {
        size_t kept = sizeof e->last - piece.len;
        kept = kept < e->last_len ? kept : e->last_len;
        memmove(e->last, e->last + e->last_len - kept, kept);
        e->last_len = (uint32_t)kept;
    }
    memcpy(e->last + e->last_len, piece.ptr, piece.len);
    e->last_len += (uint32_t)piece.len;
}

static void count_input(struct path_try *t)
{
    struct path *p = t->path;
    struct usage *u = &p->result.usage;
    if (!t->ends || !p->plan.dialect->input_usage)
        return;
    arena_reset(p->scratch);
    if (!p->plan.dialect->input_usage(slice_make(t->ends->last, t->ends->last_len), p->scratch, u))
        p->plan.dialect->input_usage(slice_make(t->ends->first, t->ends->first_len), p->scratch, u);
}

static void on_head(struct http_call *call, void *user, const struct http_head *head)
{
    struct path_try *t = user;
    struct path *p = t->path;
    (void)call;
    t->status = head->status;
    if (!keep_headers(t, head)) {
        path_fail(t, &FAILURE_NO_MEMORY);
        return;
    }
    if (p->plan.relay && (head->status < 400 || is_requests_fault(head->status))) {
        t->mode = MODE_RELAY;
        if (p->plan.counts_input && head->status < 400)
            t->ends = ARENA_NEW(p->x->arena, struct path_ends); // without memory it is not counted
        path_win(t);
        send_head(t, head->status, NULL, head->content_length);
        return;
    }
    if (is_requests_fault(head->status)) {
        t->mode = MODE_PASS_ERROR;
        path_win(t);
        return;
    }
    if (head->status != 200) {
        path_fail(t, path_failure_of_status(head->status));
        return;
    }
    bool events = is_type(t->type, SLICE("text/event-stream"));
    bool json = is_type(t->type, SLICE("application/json"));
    if (p->plan.stream ? !events : !json) {
        path_fail(t, p->plan.stream ? &FAILURE_NOT_A_STREAM : &FAILURE_NOT_JSON);
        return;
    }
    if (p->plan.stream) {
        // It has won with its first event: engines send the head at once and think then.
        t->mode = MODE_STREAM;
        sse_init(&t->sse, p->plan.settings->event_bytes_max);
        return;
    }
    t->mode = MODE_GATHER;
    path_win(t);
    reserve(t, head->content_length);
    if (head->content_length > (int64_t)p->plan.settings->answer_bytes_max)
        path_fail(t, &FAILURE_ANSWER_TOO_LARGE);
}

// --- the answer's body

static void forward(struct path_try *t, struct slice bytes)
{
    struct path *p = t->path;
    if (!bytes.len)
        return;
    http_respond_body(p->x, bytes);
    if (!p->paused && t->call && http_backlog(p->x) > p->plan.settings->high_water_bytes) {
        p->paused = true;
        http_call_pause(t->call);
    }
}

// The terminal event, with the usage in front of it that the client asked for and the upstream left out.
static void forward_end(struct path_try *t, struct slice end)
{
    struct path *p = t->path;
    if (p->plan.usage_asked && !t->meter.usage.known) {
        struct buf usage;
        t->meter.usage.input_tok = p->plan.input_tok;
        t->meter.usage.output_tok = usage_guess_tok(t->meter.content_bytes);
        buf_init(&usage, PATH_ERROR_BYTES_MAX);
        p->plan.dialect->stream_usage(&t->meter, &usage);
        forward(t, buf_slice(&usage));
        buf_deinit(&usage);
    }
    forward(t, end);
}

// One event. `run` collects neighbours that go out together. False: the attempt has ended.
static bool take_event(struct path_try *t, const struct sse_event *event, struct slice *run)
{
    struct path *p = t->path;
    enum stream_verdict v = STREAM_FORWARD;
    if (event->data_lines) {
        struct slice data = event->data;
        arena_reset(p->scratch);
        if (event->data_lines > 1 && sse_data(event, p->scratch, &data))
            data = SLICE_EMPTY;
        v = p->plan.dialect->stream_event(&t->meter, data, !p->plan.usage_asked, p->scratch);
    }
    bool joins = run->len && run->ptr + run->len == event->bytes.ptr;
    if (run->len && (!joins || v != STREAM_FORWARD)) {
        forward(t, *run);
        *run = SLICE_EMPTY;
    }
    if (!p->head_sent && (v == STREAM_ERROR || v == STREAM_BAD)) {
        path_fail(t, v == STREAM_ERROR ? &FAILURE_ERROR_EVENT : &FAILURE_BAD_STREAM);
        return false;
    }
    // Comments before the first event wait for it, so that an attempt can still be repeated.
    if (!p->head_sent && event->data_lines) {
        path_win(t);
        send_head(t, 200, NULL, -1);
    }
    switch (v) {
    case STREAM_FORWARD:
        if (p->head_sent)
            *run = run->len ? slice_make(run->ptr, run->len + event->bytes.len) : event->bytes;
        return true;
    case STREAM_HIDE:
        return true;
    case STREAM_DONE:
        forward_end(t, event->bytes);
        return true;
    case STREAM_ERROR:
        forward(t, event->bytes);
        break_off(t, "upstream_error_event", "The model's endpoint reported an error.", false);
        return false;
    case STREAM_BAD:
        break;
    }
    break_off(t, "upstream_invalid_response", "The model's endpoint sent no valid event stream.",
              true);
    return false;
}

static void stream_body(struct path_try *t, struct slice piece)
{
    struct sse_event event;
    struct slice run = SLICE_EMPTY;
    enum result r;
    while ((r = sse_next(&t->sse, &piece, &event)) == RESULT_OK) {
        if (!take_event(t, &event, &run))
            return;
        // What was gathered lies in the scanner's own buffer, which its next call uses again.
        if (event.gathered && run.len) {
            forward(t, run);
            run = SLICE_EMPTY;
        }
    }
    if (t->path->ops->on_output)
        t->path->ops->on_output(t->path, t->attempt.slot, t->meter.content_bytes);
    forward(t, run);
    if (r == RESULT_AGAIN)
        return;
    if (t->path->head_sent)
        break_off(t, "upstream_event_too_large",
                  "An event of the model's endpoint is over the limit.", true);
    else
        path_fail(t, &FAILURE_EVENT_TOO_LARGE);
}

static void on_body(struct http_call *call, void *user, struct slice piece)
{
    struct path_try *t = user;
    (void)call;
    switch (t->mode) {
    case MODE_STREAM:
        stream_body(t, piece);
        break;
    case MODE_RELAY:
        if (t->ends)
            see_ends(t->ends, piece);
        forward(t, piece);
        break;
    case MODE_PASS_ERROR:
        // What is over the cap is not worth passing on; the client gets our own words then.
        if (t->gathered.len + piece.len <= PATH_ERROR_BYTES_MAX)
            buf_add(&t->gathered, piece);
        else
            t->gathered.err = RESULT_LIMIT;
        break;
    default:
        buf_add(&t->gathered, piece);
        if (buf_result(&t->gathered))
            path_fail(t, &FAILURE_ANSWER_TOO_LARGE);
    }
}

// --- the answer's end

static void answered(struct path_try *t)
{
    struct path *p = t->path;
    struct http_exchange *x = p->x;
    count_input(t);
    path_leave(t, PATH_DID, "");
    path_finish(p, PATH_ANSWERED, p->result.status, "", NULL);
    http_respond_end(x);
}

static void end_stream(struct path_try *t)
{
    struct path *p = t->path;
    struct sse_event event;
    struct slice run = SLICE_EMPTY;
    enum result rest = sse_finish(&t->sse, &event);
    if (rest == RESULT_OK) {
        if (!take_event(t, &event, &run))
            return;
        forward(t, run);
    }
    if (!p->head_sent) {
        path_fail(t, &FAILURE_EMPTY_STREAM);
        return;
    }
    if (t->meter.done || (t->meter.finished && rest != RESULT_EOF)) {
        if (!t->meter.done)
            forward_end(t, p->plan.dialect->stream_end);
        answered(t);
        return;
    }
    break_off(t, "upstream_cut",
              "The model's endpoint ended its stream before the answer was whole.", true);
}

static void end_gathered(struct path_try *t)
{
    struct path *p = t->path;
    arena_reset(p->scratch);
    enum result r = p->plan.dialect->answer(buf_slice(&t->gathered), p->scratch, &p->result.usage);
    if (r) {
        path_fail(t, r == RESULT_DENIED ? &FAILURE_ERROR_ANSWER : &FAILURE_BAD_ANSWER);
        return;
    }
    if (!p->result.usage.known) {
        p->result.usage.input_tok = p->plan.input_tok;
        p->result.usage.output_tok = p->result.usage.seen_tok;
    }
    send_head(t, 200, &p->result.usage, (int64_t)t->gathered.len);
    http_respond_body(p->x, buf_slice(&t->gathered));
    answered(t);
}

// An error that the request itself brought about: the upstream's own words are the best explanation.
static void end_error(struct path_try *t)
{
    struct path *p = t->path;
    struct http_exchange *x = p->x;
    path_leave(t, PATH_DID, "upstream_rejected");
    if (buf_result(&t->gathered) || !t->gathered.len ||
        !is_type(t->type, SLICE("application/json"))) {
        struct api_error e = {.status = t->status,
                              .type = "invalid_request_error",
                              .code = "upstream_rejected",
                              .message = SLICE("The model's endpoint rejected the request."),
                              .final = true};
        path_end_with_error(p, &e, PATH_PASSED);
        return;
    }
    send_head(t, t->status, NULL, (int64_t)t->gathered.len);
    http_respond_body(x, buf_slice(&t->gathered));
    path_finish(p, PATH_PASSED, t->status, "upstream_rejected", NULL);
    http_respond_end(x);
}

static void on_end(struct http_call *call, void *user)
{
    struct path_try *t = user;
    (void)call;
    t->call = NULL;
    switch (t->mode) {
    case MODE_GATHER:
        end_gathered(t);
        break;
    case MODE_STREAM:
        end_stream(t);
        break;
    case MODE_PASS_ERROR:
        end_error(t);
        break;
    default:
        answered(t);
    }
}

static void on_error(struct http_call *call, void *user, enum result why, enum http_phase phase,
                     bool reused)
{
    struct path_try *t = user;
    struct path *p = t->path;
    (void)call;
    t->call = NULL;
    bool stale = reused && phase == HTTP_PHASE_SENT && (why == RESULT_RESET || why == RESULT_EOF);
    if (stale && !t->retried_stale) {
        // The peer closed a kept connection as we took it: that says nothing of its health.
        path_again(t);
        return;
    }
    if (p->now == t && p->head_sent && t->mode == MODE_STREAM && t->meter.done) {
        end_stream(t);
        return;
    }
    if (p->now != t || !p->head_sent) {
        path_fail(t, path_failure_of_error(why, phase));
        return;
    }
    if (t->mode == MODE_STREAM)
        break_off(t, why == RESULT_TIMEOUT ? "upstream_timeout" : "upstream_cut",
                  why == RESULT_TIMEOUT
                      ? "The model's endpoint fell silent in the middle of its answer."
                      : "The model's endpoint broke off in the middle of its answer.",
                  true);
    else
        break_off(t, "upstream_cut", "", false);
}

const struct http_call_ops path_call_ops = {on_head, on_body, on_end, on_error};
