#include "path/path.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "path/answer_error.h"
#include "path/path_inner.h"

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

static void next(struct path *p, enum path_ask ask);

// --- ends

void path_drop_gathered(struct path_try *t)
{
    if (!t->gathered_in_arena)
        buf_deinit(&t->gathered);
    t->gathered_in_arena = false;
    buf_init(&t->gathered, t->path->plan.settings->answer_bytes_max);
}

void path_stamp_first_byte(struct path *p)
{
    p->head_sent = true;
    p->result.first_byte_us = loop_now_us(p->loop);
}

void path_finish(struct path *p, enum path_end end, int status, const char *reason,
                 const struct api_error *error)
{
    assert(!p->over && !p->running_count);
    p->over = true;
    p->result.end = end;
    p->result.status = status;
    p->result.reason = reason;
    p->result.error = error;
    loop_timer_cancel(p->loop, &p->copy_timer);
    p->ops->on_end(p, &p->result);
    p->result.error = NULL;
    if (p->now)
        path_drop_gathered(p->now);
}

void path_end_with_error(struct path *p, const struct api_error *e, enum path_end end)
{
    struct http_header headers[PATH_HEADERS_MAX];
    size_t n = 0;
    struct http_exchange *x = p->x;
    const struct dialect *dialect = p->plan.dialect;
    p->ops->on_head(p, e->status, NULL, headers, &n);
    path_stamp_first_byte(p);
    bool failed = p->failure && e->code == p->failure->code;
    path_finish(p, end, e->status, e->code, failed ? e : NULL);
    answer_error(x, dialect, e, headers, n);
}

// --- attempts that end

// What was used, as far as can be told: counted, or guessed by what came.
static struct usage usage_of(const struct path_try *t)
{
    const struct path *p = t->path;
    struct usage u = t->meter.usage;
    if (t->mode == MODE_GATHER && !p->head_sent && !p->result.usage.error_inside) {
        // Nobody read it as an answer: it is too large, cut or garbage, or the client left.
        u.seen_tok = usage_guess_tok(t->gathered.len);
        u.output_tok = u.seen_tok;
        u.input_tok = t->gathered.len ? p->plan.input_tok : 0;
        return u;
    }
    if (t->mode != MODE_STREAM)
        return p->result.usage;
    u.seen_tok = usage_guess_tok(t->meter.content_bytes);
    u.error_inside = t->meter.failed;
    u.model = slice_make(t->meter.model, t->meter.model_len);
    if (!u.known && t->meter.events) {
        u.input_tok = p->plan.input_tok;
        u.output_tok = u.seen_tok;
    }
    return u;
}

static void forget(struct path_try *t)
{
    struct path *p = t->path;
    uint32_t i = 0;
    while (i < p->running_count && p->running[i] != t)
        i++;
    assert(i < p->running_count);
    p->running[i] = p->running[--p->running_count];
}

static void leave(struct path_try *t, enum path_outcome outcome, const char *reason, bool sent,
                  bool taken)
{
    struct path *p = t->path;
    struct http_call *call = t->call;
    bool answer = t->mode == MODE_STREAM || p->now == t;
    struct path_attempt_end end = {
        .slot = t->attempt.slot,
        .outcome = outcome,
        .sent = sent,
        .taken = taken,
        .cut_off = outcome != PATH_DID && (strcmp(reason, "upstream_cut") == 0 ||
                                           strcmp(reason, "upstream_unreachable") == 0),
        .status = t->status,
        .reason = reason,
        .usage = answer ? usage_of(t) : (struct usage){.known = false},
        .retry_after_s = t->retry_after_s,
        .load = t->load,
        .begin_us = t->begin_us,
        .first_byte_us = t->first_byte_us,
        .end_us = loop_now_us(p->loop),
    };
    if (p->now == t)
        p->result.usage = end.usage;
    t->call = NULL;
    if (call)
        http_call_cancel(call);
    if (t->mode == MODE_STREAM)
        sse_deinit(&t->sse);
    forget(t);
    p->ops->on_attempt_end(p, &end);
    p->result.usage.model = SLICE_EMPTY; // it lay in the answer
}

void path_leave(struct path_try *t, enum path_outcome outcome, const char *reason)
{
    leave(t, outcome, reason, true, true);
}

// Not wanted any more; it may not even have a connection yet.
static void drop(struct path_try *t, const char *reason)
{
    bool sent = !t->call || http_call_phase(t->call) != HTTP_PHASE_CONNECT;
    leave(t, PATH_DROPPED, reason, sent, sent);
}

static void stop_copies(struct path *p)
{
    loop_timer_cancel(p->loop, &p->copy_timer);
    for (uint32_t i = p->running_count; i-- > 0;) {
        struct path_try *t = p->running[i];
        if (t == p->now)
            continue;
        drop(t, "another_was_faster");
        path_drop_gathered(t);
    }
}

void path_win(struct path_try *t)
{
    struct path *p = t->path;
    if (p->now == t)
        return;
    assert(!p->now);
    p->now = t;
    t->first_byte_us = loop_now_us(p->loop);
    if (t->mode == MODE_STREAM)
        p->ops->on_first(p, t->attempt.slot);
    if (p->running_count > 1 || loop_timer_is_set(&p->copy_timer))
        stop_copies(p);
}

// The error that the failures so far come to.
static void describe(const struct path *p, struct api_error *e)
{
    const struct path_failure *f = p->failure;
    *e = (struct api_error){.status = f->status,
                            .type = f->status == 429 ? "rate_limit_error" : "upstream_error",
                            .code = f->code,
                            .message = slice_cstr(f->message),
                            .retry_after_s = p->retry_after_s,
                            .final = (f->flags & FAIL_FINAL) != 0};
    if (f == &FAILURE_NO_MEMORY || f == &FAILURE_NO_ROOM) {
        e->type = "server_error";
        e->retry_after_s = 1;
    }
}

static void give_up(struct path *p)
{
    struct api_error e;
    describe(p, &e);
    path_end_with_error(p, &e, PATH_FAILED);
}

// Of several failures the client is told the last one that time can mend.
static void note(struct path *p, const struct path_try *t, const struct path_failure *f)
{
    if (!p->failure || !(f->flags & FAIL_FINAL) || (p->failure->flags & FAIL_FINAL))
        p->failure = f;
    if (t->retry_after_s && (!p->retry_after_s || t->retry_after_s < p->retry_after_s))
        p->retry_after_s = t->retry_after_s;
}

static bool may_follow(const struct path *p, const struct path_failure *f)
{
    if (!(f->flags & FAIL_ELSEWHERE) || (p->plan.acts && !(f->flags & FAIL_UNTAKEN)))
        return false;
    return !p->deadline_us || loop_now_us(p->loop) < p->deadline_us;
}

void path_fail(struct path_try *t, const struct path_failure *f)
{
    struct path *p = t->path;
    bool refused = f->outcome == PATH_REFUSED;
    note(p, t, f);
    leave(t, f->outcome, f->code, !refused, !(f->flags & FAIL_UNTAKEN));
    p->now = NULL;
    path_drop_gathered(t);
    // Nothing was done by who did not let it in.
    bool free = refused || f->outcome == PATH_DENIED;
    p->counted += !free;
    p->refused += free;
    if (p->running_count)
        return; // a copy goes on
    loop_timer_cancel(p->loop, &p->copy_timer);
    if (may_follow(p, f))
        next(p, p->counted >= p->plan.settings->attempts_max || p->refused >= PATH_REFUSED_MAX
                    ? PATH_OTHER_CHAIN
                    : PATH_ELSEWHERE);
    else
        give_up(p);
}

// --- attempts that begin

static uint32_t time_left_ms(const struct path *p)
{
    uint64_t now = loop_now_us(p->loop);
    if (!p->deadline_us)
        return 0;
    uint64_t ms = p->deadline_us > now ? (p->deadline_us - now + 999) / 1000 : 1;
    return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static enum result call(struct path_try *t, bool fresh)
{
    const struct path *p = t->path;
    const struct path_settings *s = p->plan.settings;
    const struct path_attempt *a = &t->attempt;
    uint32_t left = time_left_ms(p);
    struct http_request request = {
        .method = p->plan.method,
        .target = a->target,
        .headers = a->headers,
        .header_count = a->header_count,
        .pieces = a->pieces,
        .piece_count = a->piece_count,
        .connect_timeout_ms = s->connect_timeout_ms,
        .first_byte_timeout_ms = s->first_byte_timeout_ms,
        .idle_timeout_ms = s->idle_timeout_ms,
        .total_timeout_ms = a->timeout_ms && (!left || a->timeout_ms < left) ? a->timeout_ms : left,
        .fresh = fresh || p->plan.acts,
    };
    return http_call_start(a->origin, &request, &path_call_ops, t, &t->call);
}

static void clear(struct path_try *t, struct path *p)
{
    memset(t, 0, offsetof(struct path_try, kept));
    memset(&t->meter, 0, offsetof(struct answer_meter, id));
    t->path = p;
    buf_init(&t->gathered, p->plan.settings->answer_bytes_max);
}

static void on_copy_due(struct loop_timer *timer);

static void start(struct path_try *t)
{
    struct path *p = t->path;
    t->begin_us = loop_now_us(p->loop);
    p->result.attempts++;
    p->running[p->running_count++] = t;
    if (t->attempt.anew)
        p->counted = 0;
    if (call(t, false)) {
        path_fail(t, &FAILURE_NO_ROOM);
        return;
    }
    if (t->attempt.copy_after_ms) {
        p->copy_timer.on_due = on_copy_due;
        loop_timer_set(p->loop, &p->copy_timer, t->attempt.copy_after_ms);
    }
}

void path_again(struct path_try *t)
{
    t->retried_stale = true;
    t->path->result.attempts++;
    t->call = NULL;
    if (call(t, true))
        path_fail(t, &FAILURE_NO_ROOM);
}

static void on_copy_due(struct loop_timer *timer)
{
    struct path *p = MERIT_CONTAINER(timer, struct path, copy_timer);
    struct path_try *t;
    if (p->over || p->now || !p->running_count || p->running_count > PATH_COPIES_MAX ||
        p->counted + p->running_count >= p->plan.settings->attempts_max)
        return;
    // The first one's memory is free when it has failed and a copy went on.
    bool first_free = true;
    for (uint32_t i = 0; i < p->running_count; i++)
        first_free &= p->running[i] != &p->first;
    t = first_free ? &p->first : arena_alloc(p->x->arena, sizeof *t);
    if (!t)
        return;
    clear(t, p);
    if (p->ops->on_attempt(p, PATH_COPY, &t->attempt, NULL) == PATH_SEND) {
        p->copies++;
        start(t);
    }
}

static void next(struct path *p, enum path_ask ask)
{
    struct path_try *t = &p->first;
    struct api_error error = {.status = 0};
    p->next_ask = ask;
    p->result.usage = (struct usage){.known = false}; // of the attempt before
    clear(t, p);
    if (p->failure)
        describe(p, &error);
    switch (p->ops->on_attempt(p, ask, &t->attempt, &error)) {
    case PATH_SEND:
        start(t);
        return;
    case PATH_STOP:
        path_end_with_error(p, &error, PATH_FAILED);
        return;
    case PATH_LATER:
        return;
    }
}

void path_start(struct path *p, const struct path_plan *plan, struct http_exchange *x,
                struct loop *loop, struct arena *scratch, const struct path_ops *ops, void *user)
{
    memset(p, 0, offsetof(struct path, first));
    p->plan = *plan;
    p->ops = ops;
    p->user = user;
    p->x = x;
    p->loop = loop;
    p->scratch = scratch;
    if (plan->settings->total_timeout_ms)
        p->deadline_us = loop_now_us(loop) + (uint64_t)plan->settings->total_timeout_ms * 1000;
    next(p, PATH_FIRST);
}

void path_resume(struct path *p)
{
    assert(!p->over && !p->running_count);
    next(p, p->next_ask);
}

void path_writable(struct path *p)
{
    if (p->paused && p->now && p->now->call) {
        p->paused = false;
        http_call_resume(p->now->call);
    }
}

void path_client_gone(struct path *p)
{
    if (p->over)
        return;
    // Clients need not wait for more than the answer's last event, which it has been handed.
    struct path_try *whole = p->now;
    if (whole && whole->mode == MODE_STREAM && whole->meter.done && !p->paused) {
        path_leave(whole, PATH_DID, "");
        path_finish(p, PATH_ANSWERED, p->result.status, "", NULL);
        return;
    }
    while (p->running_count) {
        struct path_try *t = p->running[p->running_count - 1];
        drop(t, "client_gone");
        if (t != p->now)
            path_drop_gathered(t);
    }
    path_finish(p, PATH_GONE, p->result.status, "client_gone", NULL);
}
