#include "path/path.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "path/answer_error.h"

enum { MODE_WAIT, MODE_GATHER, MODE_STREAM, MODE_RELAY, MODE_PASS_ERROR };
enum {
    GATHER_ARENA_MAX = 64 * 1024
}; // a stated length up to this is gathered in the request's arena

const struct path_settings path_settings_default = {
    .connect_timeout_ms = 5000,
    .first_byte_timeout_ms = 300000,
    .idle_timeout_ms = 120000,
    .total_timeout_ms = 1800000,
    .attempts_max = 3,
    .answer_bytes_max = 64 * 1024 * 1024,
    .event_bytes_max = 4 * 1024 * 1024,
    .high_water_bytes = 256 * 1024,
};

static void attempt(struct path *p);

static void clear_meter(struct answer_meter *m)
{
    memset(m, 0, offsetof(struct answer_meter, id));
}

static void drop_gathered(struct path *p)
{
    if (!p->gathered_in_arena)
        buf_deinit(&p->gathered);
    p->gathered_in_arena = false;
    buf_init(&p->gathered, p->plan.settings->answer_bytes_max);
}

static void finish(struct path *p, enum path_end end, int status, const char *reason)
{
    assert(!p->over);
    p->over = true;
    p->result.end = end;
    p->result.status = status;
    p->result.reason = reason;
    p->result.place = p->place;
    if (p->place != IMAGE_NONE)
        p->result.url = pool_site(p->pool->pool, p->place)->url;
    if (!p->result.usage.known && p->mode == MODE_STREAM) {
        p->result.usage = p->meter.usage;
        if (!p->meter.usage.known && p->meter.events) {
            p->result.usage.input_tok = p->plan.input_tok;
            p->result.usage.output_tok = usage_guess_tok(p->meter.content_bytes);
        }
    }
    drop_gathered(p);
    if (p->mode == MODE_STREAM)
        sse_deinit(&p->sse);
    p->ops->on_end(p, &p->result);
}

// The call is over or given up: settles it with the pool.
static void leave(struct path *p, enum pool_outcome outcome)
{
    const struct usage *u = p->mode == MODE_STREAM ? &p->meter.usage : &p->result.usage;
    struct pool_report report = {.outcome = outcome,
                                 .retry_after_s = p->upstream_retry_after_s,
                                 .known = u->known,
                                 .input_tok = u->input_tok,
                                 .cached_tok = u->cached_tok,
                                 .output_tok = u->output_tok};
    p->call = NULL;
    pool_end(p->pool, &p->pool_call, &report, loop_now_us(p->loop));
}

static void stamp_first_byte(struct path *p)
{
    p->head_sent = true;
    p->result.first_byte_us = loop_now_us(p->loop);
}

// Sends our own error. Nothing has gone to the client yet.
static void end_with_error(struct path *p, const struct api_error *e, enum path_end end)
{
    struct http_header headers[PATH_HEADERS_MAX];
    size_t n = 0;
    struct http_exchange *x = p->x;
    const struct dialect *dialect = p->plan.dialect;
    p->ops->on_head(p, e->status, NULL, headers, &n);
    stamp_first_byte(p);
    finish(p, end, e->status, e->code);
    answer_error(x, dialect, e, headers, n);
}

struct failure {
    int status;
    const char *code;
    enum pool_outcome outcome;
    unsigned flags;
    const char *message;
};
enum {
    REPEAT = 1, // another endpoint may do better
    FINAL = 2,  // the client need not come again
};

static const struct failure
    UNREACHABLE = {502, "upstream_unreachable", POOL_FAILED, REPEAT,
                   "The model's endpoint cannot be reached."},
    NOT_ACCEPTED = {504, "upstream_timeout", POOL_FAILED, REPEAT,
                    "The model's endpoint did not accept a connection in time."},
    NO_HANDSHAKE = {502, "upstream_tls", POOL_FAILED, REPEAT,
                    "The TLS handshake with the model's endpoint failed."},
    NO_CONNECTION = {503, "upstream_connections", POOL_LIMITED, REPEAT,
                     "All connections to the model's endpoint are in use."},
    NOT_ANSWERED = {504, "upstream_timeout", POOL_FAILED, 0,
                    "The model's endpoint did not answer in time."},
    HEAD_TOO_LARGE = {502, "upstream_headers_too_large", POOL_FAILED, REPEAT,
                      "The head of the answer of the model's endpoint is over the limit."},
    NOT_HTTP = {502, "upstream_invalid_response", POOL_FAILED, REPEAT,
                "The model's endpoint did not answer in valid HTTP."},
    CUT = {502, "upstream_cut", POOL_FAILED, REPEAT,
           "The model's endpoint broke off before its answer was whole."},
    RATE_LIMITED = {429, "upstream_rate_limited", POOL_LIMITED, REPEAT,
                    "The model's endpoint is limiting its rate."},
    OVERLOADED = {503, "upstream_overloaded", POOL_FAILED, REPEAT,
                  "The model's endpoint is overloaded."},
    TIMED_OUT = {504, "upstream_timeout", POOL_FAILED, REPEAT, "The model's endpoint timed out."},
    KEY_REFUSED = {502, "upstream_auth", POOL_REFUSED, FINAL,
                   "The model's endpoint refused Merit's key for it; see `merit doctor`."},
    NO_CREDIT = {502, "upstream_payment", POOL_REFUSED, FINAL,
                 "The account at the model's endpoint has no credit."},
    NOT_KNOWN = {502, "upstream_not_found", POOL_REFUSED, FINAL,
                 "The model's endpoint does not know the path or the model; see `merit doctor`."},
    BROKEN = {502, "upstream_error", POOL_FAILED, REPEAT, "The model's endpoint failed."},
    ODD_STATUS = {502, "upstream_error", POOL_FAILED, 0, "The model's endpoint failed."},
    NO_MEMORY = {503, "no_memory", POOL_DROPPED, 0, "Merit has no memory for this answer."},
    NOT_A_STREAM = {502, "upstream_content_type", POOL_FAILED, REPEAT,
                    "The model's endpoint did not answer with an event stream."},
    NOT_JSON = {502, "upstream_content_type", POOL_FAILED, REPEAT,
                "The model's endpoint did not answer with JSON."},
    ANSWER_TOO_LARGE = {502, "upstream_answer_too_large", POOL_OK, 0,
                        "The answer of the model's endpoint is over the limit."},
    BAD_STREAM = {502, "upstream_invalid_response", POOL_FAILED, REPEAT,
                  "The model's endpoint sent no valid event stream."},
    ERROR_EVENT = {502, "upstream_error_event", POOL_FAILED, REPEAT,
                   "The model's endpoint reported an error."},
    EVENT_TOO_LARGE = {502, "upstream_event_too_large", POOL_FAILED, 0,
                       "An event of the model's endpoint is over the limit."},
    EMPTY_STREAM = {502, "upstream_empty_stream", POOL_FAILED, REPEAT,
                    "The model's endpoint ended its stream without an event."},
    BAD_ANSWER = {502, "upstream_invalid_response", POOL_FAILED, REPEAT,
                  "The model's endpoint sent no valid answer."},
    ERROR_ANSWER = {502, "upstream_error", POOL_FAILED, REPEAT,
                    "The model's endpoint reported an error."};

static const struct failure *failure_of_error(enum result why, enum http_phase phase)
{
    if (phase == HTTP_PHASE_CONNECT)
        return why == RESULT_TIMEOUT ? &NOT_ACCEPTED
               : why == RESULT_TLS   ? &NO_HANDSHAKE
               : why == RESULT_LIMIT ? &NO_CONNECTION
                                     : &UNREACHABLE;
    return why == RESULT_TIMEOUT    ? &NOT_ANSWERED
           : why == RESULT_LIMIT    ? &HEAD_TOO_LARGE
           : why == RESULT_PROTOCOL ? &NOT_HTTP
                                    : &CUT;
}

static const struct failure *failure_of_status(int status)
{
    switch (status) {
    case 429:
        return &RATE_LIMITED;
    case 503:
    case 529:
        return &OVERLOADED;
    case 504:
        return &TIMED_OUT;
    case 401:
    case 403:
    case 407:
        return &KEY_REFUSED;
    case 402:
        return &NO_CREDIT;
    case 404:
        return &NOT_KNOWN;
    default:
        return status >= 500 ? &BROKEN : &ODD_STATUS;
    }
}

static uint32_t attempts_max(const struct path_plan *plan)
{
    uint32_t most = plan->settings->attempts_max;
    return plan->attempts_max && plan->attempts_max < most ? plan->attempts_max : most;
}

// Whether there is an endpoint for another attempt. Where the policy itself asks for retries they may go where one failed
// before, once all the others have been asked.
static bool another(struct path *p, uint64_t now)
{
    const struct path_plan *plan = &p->plan;
    if (pool_pick(p->pool, plan->model, p->tried, plan->closed, false, now) != IMAGE_NONE)
        return true;
    if (!plan->attempts_max ||
        pool_pick(p->pool, plan->model, 0, plan->closed, false, now) == IMAGE_NONE)
        return false;
    p->tried = 0;
    return true;
}

// An attempt came to nothing and the client has seen no byte: again elsewhere, or an error.
static void fail(struct path *p, const struct failure *f)
{
    if (p->call) {
        struct http_call *call = p->call;
        leave(p, f->outcome);
        http_call_cancel(call);
    }
    if (p->mode == MODE_STREAM)
        sse_deinit(&p->sse);
    p->mode = MODE_WAIT;
    drop_gathered(p);
    clear_meter(&p->meter);
    p->tried |= pool_bit(p->pool, p->place);
    uint64_t now = loop_now_us(p->loop);
    if ((f->flags & REPEAT) && p->result.attempts < attempts_max(&p->plan) && another(p, now)) {
        attempt(p);
        return;
    }
    struct api_error e = {.status = f->status,
                          .type = f->status == 429 ? "rate_limit_error" : "upstream_error",
                          .code = f->code,
                          .message = slice_cstr(f->message),
                          .final = (f->flags & FINAL) != 0};
    if (f->status == 429 || f->status == 503)
        e.retry_after_s = p->upstream_retry_after_s
                              ? p->upstream_retry_after_s
                              : pool_retry_after_s(p->pool, p->plan.model, now);
    end_with_error(p, &e, PATH_FAILED);
}

// The stream broke behind its first event: say so in the protocol, then make sure that no client takes it for whole.
static void break_off(struct path *p, const char *code, const char *message, bool tell)
{
    if (tell) {
        struct buf event;
        struct api_error e = {
            .status = 502, .type = "upstream_error", .code = code, .message = slice_cstr(message)};
        buf_init(&event, PATH_ERROR_BYTES_MAX);
        p->plan.dialect->error_event(&e, &event);
        http_respond_body(p->x, buf_slice(&event));
        buf_deinit(&event);
    }
    struct http_exchange *x = p->x;
    finish(p, PATH_BROKEN, p->result.status, code);
    http_respond_abort(x);
}

static void give_up_stream(struct path *p, const char *code, const char *message, bool tell)
{
    struct http_call *call = p->call;
    if (call) {
        leave(p, POOL_FAILED);
        http_call_cancel(call);
    }
    break_off(p, code, message, tell);
}

static void send_head(struct path *p, int status, const struct usage *usage, int64_t length)
{
    struct http_header headers[PATH_HEADERS_MAX];
    size_t n = p->kept_count;
    memcpy(headers, p->kept, n * sizeof *headers);
    p->result.status = status;
    p->ops->on_head(p, status, usage, headers, &n);
    stamp_first_byte(p);
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

static bool keep_headers(struct path *p, const struct http_head *head)
{
    p->kept_count = 0;
    for (uint32_t i = 0; i < head->header_count && p->kept_count < MERIT_COUNT(p->kept); i++) {
        const struct http_header *h = &head->headers[i];
        if (!passes(h->name))
            continue;
        struct http_header *to = &p->kept[p->kept_count++];
        to->name = arena_copy(p->x->arena, h->name);
        to->value = arena_copy(p->x->arena, h->value);
        if (!to->name.ptr || !to->value.ptr)
            return false;
        if (slice_ieq(h->name, SLICE("content-type")))
            p->upstream_type = to->value;
        uint64_t seconds;
        if (slice_ieq(h->name, SLICE("retry-after")) && slice_u64(to->value, &seconds) &&
            seconds < 86400)
            p->upstream_retry_after_s = (uint32_t)seconds;
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

static void on_head(struct http_call *call, void *user, const struct http_head *head)
{
    (void)call;
    struct path *p = user;
    p->upstream_status = head->status;
    p->upstream_type = SLICE_EMPTY;
    p->upstream_retry_after_s = 0;
    if (!keep_headers(p, head)) {
        fail(p, &NO_MEMORY);
        return;
    }
    if (p->plan.relay && (head->status < 400 || is_requests_fault(head->status))) {
        p->mode = MODE_RELAY;
        send_head(p, head->status, NULL, head->content_length);
        return;
    }
    if (is_requests_fault(head->status)) {
        p->mode = MODE_PASS_ERROR;
        return;
    }
    if (head->status != 200) {
        fail(p, failure_of_status(head->status));
        return;
    }
    bool events = is_type(p->upstream_type, SLICE("text/event-stream"));
    bool json = is_type(p->upstream_type, SLICE("application/json"));
    if (p->plan.stream ? !events : !json) {
        fail(p, p->plan.stream ? &NOT_A_STREAM : &NOT_JSON);
        return;
    }
    if (p->plan.stream) {
        p->mode = MODE_STREAM;
        sse_init(&p->sse, p->plan.settings->event_bytes_max);
        return;
    }
    p->mode = MODE_GATHER;
    if (head->content_length > 0 && head->content_length <= GATHER_ARENA_MAX) {
        size_t n = (size_t)head->content_length;
        char *room = arena_alloc_aligned(p->x->arena, n, 1);
        if (room) {
            p->gathered = (struct buf){.ptr = room, .room = n, .cap = n};
            p->gathered_in_arena = true;
        }
    }
    if (head->content_length > (int64_t)p->plan.settings->answer_bytes_max)
        fail(p, &ANSWER_TOO_LARGE);
}

// --- the answer's body

static void forward(struct path *p, struct slice bytes)
{
    if (!bytes.len)
        return;
    http_respond_body(p->x, bytes);
    if (!p->paused && p->call && http_backlog(p->x) > p->plan.settings->high_water_bytes) {
        p->paused = true;
        http_call_pause(p->call);
    }
}

// The terminal event, with the usage in front of it that the client asked for and the upstream left out.
static void forward_end(struct path *p, struct slice end)
{
    if (p->plan.usage_asked && !p->meter.usage.known) {
        struct buf usage;
        p->meter.usage.input_tok = p->plan.input_tok;
        p->meter.usage.output_tok = usage_guess_tok(p->meter.content_bytes);
        buf_init(&usage, PATH_ERROR_BYTES_MAX);
        p->plan.dialect->stream_usage(&p->meter, &usage);
        forward(p, buf_slice(&usage));
        buf_deinit(&usage);
    }
    forward(p, end);
}

// One event. `run` collects neighbours that go out together. False: the path has ended.
static bool take_event(struct path *p, const struct sse_event *event, struct slice *run)
{
    enum stream_verdict v = STREAM_FORWARD;
    if (event->data_lines) {
        struct slice data = event->data;
        arena_reset(p->scratch);
        if (event->data_lines > 1 && sse_data(event, p->scratch, &data))
            data = SLICE_EMPTY;
        v = p->plan.dialect->stream_event(&p->meter, data, !p->plan.usage_asked, p->scratch);
    }
    bool joins = run->len && run->ptr + run->len == event->bytes.ptr;
    if (run->len && (!joins || v != STREAM_FORWARD)) {
        forward(p, *run);
        *run = SLICE_EMPTY;
    }
    if (!p->head_sent && (v == STREAM_ERROR || v == STREAM_BAD)) {
        fail(p, v == STREAM_ERROR ? &ERROR_EVENT : &BAD_STREAM);
        return false;
    }
    // Comments before the first event wait for it, so that an attempt can still be repeated.
    if (!p->head_sent && event->data_lines) {
        pool_first(p->pool, &p->pool_call, loop_now_us(p->loop));
        send_head(p, 200, NULL, -1);
    }
    switch (v) {
    case STREAM_FORWARD:
        if (p->head_sent)
            *run = run->len ? slice_make(run->ptr, run->len + event->bytes.len) : event->bytes;
        return true;
    case STREAM_HIDE:
        return true;
    case STREAM_DONE:
        forward_end(p, event->bytes);
        return true;
    case STREAM_ERROR:
        forward(p, event->bytes);
        give_up_stream(p, "upstream_error_event", "The model's endpoint reported an error.", false);
        return false;
    case STREAM_BAD:
        break;
    }
    give_up_stream(p, "upstream_invalid_response",
                   "The model's endpoint sent no valid event stream.", true);
    return false;
}

static void stream_body(struct path *p, struct slice piece)
{
    struct sse_event event;
    struct slice run = SLICE_EMPTY;
    enum result r;
    while ((r = sse_next(&p->sse, &piece, &event)) == RESULT_OK) {
        if (!take_event(p, &event, &run))
            return;
        // What was gathered lies in the scanner's own buffer, which its next call uses again.
        if (event.gathered && run.len) {
            forward(p, run);
            run = SLICE_EMPTY;
        }
    }
    forward(p, run);
    if (r == RESULT_AGAIN)
        return;
    if (p->head_sent)
        give_up_stream(p, "upstream_event_too_large",
                       "An event of the model's endpoint is over the limit.", true);
    else
        fail(p, &EVENT_TOO_LARGE);
}

static void on_body(struct http_call *call, void *user, struct slice piece)
{
    (void)call;
    struct path *p = user;
    switch (p->mode) {
    case MODE_STREAM:
        stream_body(p, piece);
        break;
    case MODE_RELAY:
        forward(p, piece);
        break;
    case MODE_PASS_ERROR:
        // What is over the cap is not worth passing on; the client gets our own words then.
        if (p->gathered.len + piece.len <= PATH_ERROR_BYTES_MAX)
            buf_add(&p->gathered, piece);
        else
            p->gathered.err = RESULT_LIMIT;
        break;
    default:
        buf_add(&p->gathered, piece);
        if (buf_result(&p->gathered))
            fail(p, &ANSWER_TOO_LARGE);
    }
}

static void end_stream(struct path *p)
{
    struct sse_event event;
    struct slice run = SLICE_EMPTY;
    enum result rest = sse_finish(&p->sse, &event);
    if (rest == RESULT_OK) {
        if (!take_event(p, &event, &run))
            return;
        forward(p, run);
    }
    if (!p->head_sent) {
        fail(p, &EMPTY_STREAM);
        return;
    }
    if (p->meter.done || (p->meter.finished && rest != RESULT_EOF)) {
        if (!p->meter.done)
            forward_end(p, p->plan.dialect->stream_end);
        struct http_exchange *x = p->x;
        finish(p, PATH_ANSWERED, 200, "");
        http_respond_end(x);
        return;
    }
    break_off(p, "upstream_cut",
              "The model's endpoint ended its stream before the answer was whole.", true);
}

static void end_gathered(struct path *p)
{
    arena_reset(p->scratch);
    enum result r = p->plan.dialect->answer(buf_slice(&p->gathered), p->scratch, &p->result.usage);
    if (r) {
        leave(p, POOL_FAILED);
        fail(p, r == RESULT_DENIED ? &ERROR_ANSWER : &BAD_ANSWER);
        return;
    }
    leave(p, POOL_OK);
    if (!p->result.usage.known) {
        p->result.usage.input_tok = p->plan.input_tok;
        p->result.usage.output_tok = usage_guess_tok(p->gathered.len);
    }
    struct http_exchange *x = p->x;
    send_head(p, 200, &p->result.usage, (int64_t)p->gathered.len);
    http_respond_body(x, buf_slice(&p->gathered));
    finish(p, PATH_ANSWERED, 200, "");
    http_respond_end(x);
}

// An error that the request itself brought about: the upstream's own words are the best explanation.
static void end_error(struct path *p)
{
    if (buf_result(&p->gathered) || !p->gathered.len ||
        !is_type(p->upstream_type, SLICE("application/json"))) {
        struct api_error e = {.status = p->upstream_status,
                              .type = "invalid_request_error",
                              .code = "upstream_rejected",
                              .message = SLICE("The model's endpoint rejected the request."),
                              .final = true};
        end_with_error(p, &e, PATH_PASSED);
        return;
    }
    struct http_exchange *x = p->x;
    send_head(p, p->upstream_status, NULL, (int64_t)p->gathered.len);
    http_respond_body(x, buf_slice(&p->gathered));
    finish(p, PATH_PASSED, p->upstream_status, "upstream_rejected");
    http_respond_end(x);
}

static void on_end(struct http_call *call, void *user)
{
    (void)call;
    struct path *p = user;
    if (p->mode == MODE_GATHER) {
        end_gathered(p);
        return;
    }
    bool whole = p->mode != MODE_STREAM || p->meter.done || p->meter.finished;
    leave(p, whole ? POOL_OK : POOL_FAILED);
    if (p->mode == MODE_STREAM) {
        end_stream(p);
    } else if (p->mode == MODE_PASS_ERROR) {
        end_error(p);
    } else {
        struct http_exchange *x = p->x;
        finish(p, PATH_ANSWERED, p->result.status, "");
        http_respond_end(x);
    }
}

static void on_error(struct http_call *call, void *user, enum result why, enum http_phase phase,
                     bool reused)
{
    (void)call;
    struct path *p = user;
    bool stale = reused && phase == HTTP_PHASE_SENT && (why == RESULT_RESET || why == RESULT_EOF);
    if (stale && !p->retried_stale) {
        // The peer closed a kept connection as we took it: that says nothing of its health.
        p->retried_stale = true;
        leave(p, POOL_DROPPED);
        attempt(p);
        return;
    }
    if (p->head_sent && p->mode == MODE_STREAM && p->meter.done) {
        leave(p, POOL_OK);
        end_stream(p);
        return;
    }
    if (!p->head_sent) {
        const struct failure *f = failure_of_error(why, phase);
        leave(p, f->outcome);
        fail(p, f);
        return;
    }
    leave(p, POOL_FAILED);
    if (p->mode == MODE_STREAM) {
        break_off(p, why == RESULT_TIMEOUT ? "upstream_timeout" : "upstream_cut",
                  why == RESULT_TIMEOUT
                      ? "The model's endpoint fell silent in the middle of its answer."
                      : "The model's endpoint broke off in the middle of its answer.",
                  true);
    } else {
        break_off(p, "upstream_cut", "", false);
    }
}

static const struct http_call_ops CALL_OPS = {on_head, on_body, on_end, on_error};

// --- attempts

static uint32_t total_timeout_ms(const struct path_plan *plan)
{
    uint32_t all = plan->settings->total_timeout_ms;
    return plan->timeout_ms && (!all || plan->timeout_ms < all) ? plan->timeout_ms : all;
}

// A place for the next attempt, claimed; IMAGE_NONE: every one is out of bounds or full.
static int32_t claim_place(struct path *p, uint64_t now)
{
    const struct path_plan *plan = &p->plan;
    uint64_t tried = p->tried;
    struct pool_ask ask = {.compute_tok = plan->input_tok};
    for (;;) {
        int32_t at = pool_pick(p->pool, plan->model, tried, plan->closed, true, now);
        if (at == IMAGE_NONE)
            return IMAGE_NONE;
        ask.force = pool_pick(p->pool, plan->model, tried, plan->closed, false, now) == IMAGE_NONE;
        if (pool_begin(p->pool, at, &ask, now, &p->pool_call) == RESULT_OK)
            return at;
        tried |= pool_bit(p->pool, at);
    }
}

static void attempt(struct path *p)
{
    const struct path_plan *plan = &p->plan;
    const struct path_settings *s = plan->settings;
    uint64_t now = loop_now_us(p->loop);
    const struct pool_model *m = &p->pool->pool->models[plan->model];
    p->upstream_retry_after_s = 0;
    int32_t at = claim_place(p, now);
    if (at == IMAGE_NONE) {
        struct api_error busy = {.status = 503,
                                 .type = "upstream_error",
                                 .code = "upstream_busy",
                                 .retry_after_s = pool_retry_after_s(p->pool, plan->model, now),
                                 .message = SLICE("No endpoint of the model has room now.")};
        end_with_error(p, &busy, PATH_FAILED);
        return;
    }
    p->place = at;
    p->result.attempts++;
    size_t skip = m->authorization.len ? 0 : 1;
    plan->headers[0] = (struct http_header){SLICE("authorization"), m->authorization};
    const struct pool_site *site = pool_site(p->pool->pool, at);
    size_t length = site->path.len + plan->target.len;
    char *target = arena_alloc_aligned(p->x->arena, length, 1);
    struct http_origin *origin;
    enum result r = target ? pool_origin(p->pool, at, &origin) : RESULT_NOMEM;
    if (!r) {
        memcpy(target, site->path.ptr, site->path.len);
        memcpy(target + site->path.len, plan->target.ptr, plan->target.len);
        struct http_request request = {
            .method = plan->method,
            .target = slice_make(target, length),
            .headers = plan->headers + skip,
            .header_count = plan->header_count - skip,
            .pieces = plan->pieces,
            .piece_count = plan->piece_count,
            .connect_timeout_ms = s->connect_timeout_ms,
            .first_byte_timeout_ms = s->first_byte_timeout_ms,
            .idle_timeout_ms = s->idle_timeout_ms,
            .total_timeout_ms = total_timeout_ms(plan),
        };
        r = http_call_start(origin, &request, &CALL_OPS, p, &p->call);
    }
    if (r) {
        leave(p, POOL_DROPPED);
        struct api_error none = {.status = 503,
                                 .type = "server_error",
                                 .code = "no_memory",
                                 .retry_after_s = 1,
                                 .message = SLICE("Merit has no room for another call.")};
        end_with_error(p, &none, PATH_FAILED);
    }
}

void path_start(struct path *p, const struct path_plan *plan, struct http_exchange *x,
                struct pool_loop *pool, struct loop *loop, struct arena *scratch,
                const struct path_ops *ops, void *user)
{
    assert(plan->model >= 0 && (uint32_t)plan->model < pool->pool->model_count);
    // The arrays at the end are filled before they are read.
    memset(p, 0, offsetof(struct path, kept));
    clear_meter(&p->meter);
    p->plan = *plan;
    p->ops = ops;
    p->user = user;
    p->x = x;
    p->pool = pool;
    p->loop = loop;
    p->scratch = scratch;
    p->place = p->result.place = IMAGE_NONE;
    buf_init(&p->gathered, plan->settings->answer_bytes_max);
    attempt(p);
}

void path_writable(struct path *p)
{
    if (p->paused && p->call) {
        p->paused = false;
        http_call_resume(p->call);
    }
}

void path_client_gone(struct path *p)
{
    if (p->over)
        return;
    if (p->call) {
        struct http_call *call = p->call;
        leave(p, POOL_DROPPED);
        http_call_cancel(call);
    }
    finish(p, PATH_GONE, p->result.status, "client_gone");
}
