// The demo pool's server: one thread, one loop.
#include "sim/pool.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/map.h"
#include "net/http_server.h"
#include "net/loop.h"
#include "sim/respond.h"
#include "sim/wire.h"

enum {
    ABORT_AFTER_MS = 30, // so that what was sent before is on its way
    BACKLOG_BYTES = 64 * 1024,
    COUNTED_MAX = 1024, // directive texts with times=
    HEADERS_MAX = 80,
    FILLER_BYTES = 4000, // of one filler header
};

struct sim {
    struct loop *loop;
    struct http_server *server;
    pthread_t thread;
    uint16_t port;
    double pace;
    uint64_t seed, serial;
    struct arena names;
    struct slice *models;
    uint32_t model_count;
    bool any_model;
    struct call *calls;   // that run
    struct call *current; // the one that is sending; cleared when it ends meanwhile
    struct map counted;   // directive text -> struct counter
    atomic_uint_fast64_t requests;
    struct live *live; // NULL without an engine
};

struct counter {
    uint64_t seen;
    char text[];
};

// One chat completion, in its exchange's arena.
struct call {
    struct call *next, **link;
    struct sim *sim;
    struct http_exchange *x;
    struct loop_timer timer;
    void (*on_due)(struct call *c);
    struct sim_request request;
    struct sim_directive directive;
    const struct sim_profile *profile;
    struct sim_answer answers[SIM_CHOICES_MAX];
    struct sim_wire wire;
    struct sim_cursor cursor;
    uint32_t sent; // events
    bool paused, begun;
    struct live_call live;
};

static struct call *call_of(struct loop_timer *t)
{
    return MERIT_CONTAINER(t, struct call, timer);
}

static void call_end(struct call *c)
{
    loop_timer_cancel(c->sim->loop, &c->timer);
    if (c->sim->live)
        live_drop(c->sim->live, &c->live);
    if (c->link) {
        *c->link = c->next;
        if (c->next)
            c->next->link = c->link;
        c->link = NULL;
    }
    if (c->sim->current == c)
        c->sim->current = NULL;
}

static void timer_due(struct loop_timer *t)
{
    struct call *c = call_of(t);
    c->on_due(c);
}

static void call_later(struct call *c, uint32_t ms, void (*run)(struct call *))
{
    c->on_due = run;
    c->timer.on_due = timer_due;
    if (ms)
        loop_timer_set(c->sim->loop, &c->timer, ms);
    else
        run(c);
}

// ---- Answers

// The headers of an answer, with a directive's own; returns how many.
static size_t headers_of(struct call *c, const char *type, struct http_header *h)
{
    const struct sim_directive *d = &c->directive;
    struct arena *arena = c->x->arena;
    size_t n = 0;
    h[n++] = sim_header("content-type", d->type.len ? d->type : slice_cstr(type));
    h[n++] = sim_header("x-request-id",
                        arena_printf(arena, "req-sim-%llu", (unsigned long long)c->wire.serial));
    if (d->retry_after_s != UINT32_MAX)
        h[n++] = sim_header("retry-after", arena_printf(arena, "%u", d->retry_after_s));
    struct slice load = http_header_get(c->x->head, "endpoint-load-metrics-format");
    if (c->sim->live && load.len && (load = live_orca(c->sim->live, load, arena)).len)
        h[n++] = sim_header("endpoint-load-metrics", load);
    uint32_t filler = d->header_bytes == UINT32_MAX ? 0 : d->header_bytes;
    char *fill = filler ? arena_alloc(arena, FILLER_BYTES) : NULL;
    if (fill)
        memset(fill, 'f', FILLER_BYTES);
    for (uint32_t i = 0; fill && filler && n < HEADERS_MAX; i++) {
        uint32_t piece = filler < FILLER_BYTES ? filler : FILLER_BYTES;
        struct slice name = arena_printf(arena, "x-filler-%u", i);
        h[n++] = (struct http_header){name, slice_make(fill, piece)};
        filler -= piece;
    }
    for (size_t i = 0; i < n; i++) {
        if (!h[i].name.ptr || !h[i].value.ptr)
            h[i] = sim_header("x-nomem", SLICE("1"));
    }
    return n;
}

static void call_abort(struct call *c)
{
    struct http_exchange *x = c->x;
    call_end(c);
    http_respond_abort(x);
}

static void fail_with_status(struct call *c)
{
    static const struct {
        int status;
        const char *type, *code;
    } kinds[] = {
        {400, "invalid_request_error", "invalid_request"},
        {401, "invalid_request_error", "invalid_api_key"},
        {402, "insufficient_quota", "insufficient_quota"},
        {403, "invalid_request_error", "forbidden"},
        {404, "invalid_request_error", "model_not_found"},
        {429, "requests", "rate_limit_exceeded"},
        {500, "server_error", "server_error"},
        {503, "server_error", "overloaded"},
    };
    struct sim_error e = {.status = (int)c->directive.status,
                          .type = "server_error",
                          .message = SLICE("Simulated failure, as the request's directive asked.")};
    for (size_t i = 0; i < MERIT_COUNT(kinds); i++) {
        if (kinds[i].status == e.status) {
            e.type = kinds[i].type;
            e.code = kinds[i].code;
        }
    }
    struct http_header h[HEADERS_MAX];
    struct buf body;
    buf_init(&body, 64 * 1024);
    if (c->directive.garbage)
        BUF_LIT(&body, "<html>\x01\xff this is no JSON");
    else if (!c->directive.empty)
        sim_wire_error(&e, &body);
    size_t n = headers_of(c, "application/json", h);
    http_respond(c->x, e.status, h, n, buf_slice(&body));
    buf_deinit(&body);
}

static void stream_pump(struct call *c);

static void send_error_event(struct call *c)
{
    struct sim_error e = {.type = "server_error",
                          .code = "server_error",
                          .message = SLICE("Simulated failure in the middle of a stream.")};
    struct buf out;
    buf_init(&out, 4096);
    BUF_LIT(&out, "data: ");
    sim_wire_error(&e, &out);
    BUF_LIT(&out, "\n\n");
    http_respond_body(c->x, buf_slice(&out));
    buf_deinit(&out);
}

// True when a directive ends the stream here.
static bool stream_broken(struct call *c)
{
    const struct sim_directive *d = &c->directive;
    if (c->sent == d->hang_after)
        return true;
    if (c->sent == d->error_after)
        send_error_event(c);
    else if (c->sent != d->cut_after)
        return false;
    if (c->sim->current == c)
        call_later(c, ABORT_AFTER_MS, call_abort);
    return true;
}

static uint32_t paced(const struct call *c, double ms)
{
    return (uint32_t)(ms * c->sim->pace + 0.5);
}

// The next token has not come yet. The cursor stands at what was sent last until the next event is made.
static bool engine_is_behind(const struct call *c)
{
    uint32_t next = c->cursor.token + (c->cursor.choice >= c->request.choices);
    return c->sim->live && c->live.on_progress && c->cursor.phase == SIM_AT_TOKEN &&
           next >= c->live.granted;
}

static void stream_pump(struct call *c)
{
    struct sim *s = c->sim;
    struct buf event;
    buf_init(&event, 1024 * 1024);
    s->current = c;
    while (s->current == c) {
        c->paused = http_backlog(c->x) > BACKLOG_BYTES;
        if (c->paused || engine_is_behind(c) || stream_broken(c))
            break;
        buf_reset(&event);
        bool more = !(c->directive.no_done && c->cursor.phase >= SIM_AT_USAGE) &&
                    sim_wire_event(&c->wire, &c->cursor, &event);
        if (buf_result(&event)) {
            call_abort(c);
            break;
        }
        if (!more) {
            http_respond_end(c->x);
            break;
        }
        c->sent++;
        http_respond_body(c->x, buf_slice(&event));
        bool token = c->cursor.phase == SIM_AT_TOKEN;
        uint32_t wait = c->directive.slow_ms != UINT32_MAX ? c->directive.slow_ms
                        : token && !s->live                ? paced(c, c->profile->each_ms)
                                                           : 0;
        if (wait && s->current == c) {
            call_later(c, wait, stream_pump);
            break;
        }
    }
    s->current = NULL;
    buf_deinit(&event);
}

static void stream_begin(struct call *c)
{
    struct http_header h[HEADERS_MAX];
    c->begun = true;
    size_t n = headers_of(c, "text/event-stream", h);
    c->sim->current = c;
    http_respond_head(c->x, 200, h, n, -1);
    if (c->sim->current == c)
        stream_pump(c);
}

// Half of the body, then a break.
static void cut_whole(struct call *c, const struct http_header *h, size_t n, struct slice body)
{
    c->sim->current = c;
    http_respond_head(c->x, 200, h, n, (int64_t)body.len);
    if (c->sim->current == c)
        http_respond_body(c->x, slice_head(body, body.len / 2));
    if (c->sim->current == c)
        call_later(c, ABORT_AFTER_MS, call_abort);
    c->sim->current = NULL;
}

static void answer_whole(struct call *c)
{
    struct http_header h[HEADERS_MAX];
    struct buf body;
    buf_init(&body, 32 * 1024 * 1024);
    sim_wire_completion(&c->wire, &body);
    size_t n = headers_of(c, "application/json", h);
    if (buf_result(&body))
        sim_respond_nomem(c->x);
    else if (c->directive.cut_after != UINT32_MAX)
        cut_whole(c, h, n, buf_slice(&body));
    else
        http_respond(c->x, 200, h, n, buf_slice(&body));
    buf_deinit(&body);
}

static void call_answer(struct call *c)
{
    const struct sim_directive *d = &c->directive;
    struct http_header h[HEADERS_MAX];
    if (d->status != UINT32_MAX && d->status != 200) {
        fail_with_status(c);
    } else if (d->empty || d->garbage) {
        size_t n = headers_of(c, c->request.stream ? "text/event-stream" : "application/json", h);
        http_respond(c->x, 200, h, n,
                     d->empty ? SLICE("")
                              : SLICE("<html>\x01\xff this is neither JSON nor events"));
    } else if (c->request.stream) {
        stream_begin(c);
    } else if (d->error_after != UINT32_MAX) {
        c->directive.status = 500;
        fail_with_status(c);
    } else {
        answer_whole(c);
    }
}

// ---- The engine behind it

static void on_progress(struct live_call *l, bool ended, enum engine_end why)
{
    struct call *c = MERIT_CONTAINER(l, struct call, live);
    c->wire.cached_tok = l->cached_tok;
    if (ended)
        l->granted = UINT32_MAX; // what is left is the stream's end
    if (ended && why == ENGINE_LOST)
        call_abort(c);
    else if (c->request.stream && !c->begun)
        call_answer(c);
    else if (c->request.stream && !c->paused && !loop_timer_is_set(&c->timer))
        stream_pump(c);
    else if (ended && !c->request.stream)
        call_answer(c);
}

static void refuse_by_engine(struct call *c, enum result why)
{
    const struct live_options *o = live_options(c->sim->live);
    struct sim_error e = {.status = 400,
                          .type = "invalid_request_error",
                          .code = "context_length_exceeded",
                          .param = "messages",
                          .message = SLICE("The prompt and the answer are longer than this engine "
                                           "takes.")};
    if (why == RESULT_AGAIN) {
        call_abort(c);
        return;
    }
    if (why == RESULT_NOMEM) {
        sim_respond_nomem(c->x);
        return;
    }
    if (why == RESULT_LIMIT) {
        e = (struct sim_error){.status = o->full_status,
                               .type = o->full_status == 429 ? "requests" : "server_error",
                               .code = "queue_full",
                               .message = SLICE("Too many requests wait.")};
        c->directive.retry_after_s = 1;
    }
    struct http_header h[HEADERS_MAX];
    struct buf body;
    buf_init(&body, 64 * 1024);
    sim_wire_error(&e, &body);
    size_t n = headers_of(c, "application/json", h);
    http_respond(c->x, e.status, h, n, buf_slice(&body));
    buf_deinit(&body);
}

static void call_submit(struct call *c)
{
    struct engine_ask ask = {.prompt_tok = c->request.prompt_tok ? c->request.prompt_tok : 1,
                             .output_tok = 1,
                             .hash_tok = SIM_PREFIX_TOK,
                             .adapter = live_adapter(c->sim->live, c->request.model)};
    for (uint32_t i = 0; i < c->request.choices; i++) {
        if (c->answers[i].count > ask.output_tok)
            ask.output_tok = c->answers[i].count;
    }
    enum result r =
        sim_request_prefix(&c->request, c->answers, c->x->arena, &ask.hashes, &ask.hash_count);
    // A block of several pieces goes by the hash of its last one.
    uint32_t block = engine_profile(live_engine(c->sim->live))->block_tok;
    if (!r && block > SIM_PREFIX_TOK) {
        uint64_t *hashes = (uint64_t *)ask.hashes;
        uint32_t per = block / SIM_PREFIX_TOK;
        ask.hash_count /= per;
        ask.hash_tok = block;
        for (uint32_t i = 0; i < ask.hash_count; i++)
            hashes[i] = hashes[(i + 1) * per - 1];
    }
    c->live.on_progress = on_progress;
    if (!r)
        r = live_submit(c->sim->live, &c->live, &ask);
    if (r)
        refuse_by_engine(c, r);
}

// True when the answer was a failure that the options ask for.
static bool fails_by_chance(struct call *c)
{
    static const int statuses[] = {429, 401, 400, 500, 400, 404, 503, 0};
    enum live_failure how;
    if (!live_fails(c->sim->live, &how))
        return false;
    if (how == LIVE_BREAK) {
        call_abort(c);
        return true;
    }
    if (how == LIVE_CONTEXT_LENGTH) {
        refuse_by_engine(c, RESULT_RANGE);
        return true;
    }
    if (how == LIVE_RATE_LIMIT || how == LIVE_OVERLOADED)
        c->directive.retry_after_s = 1;
    c->directive.status = (uint32_t)statuses[how];
    fail_with_status(c);
    return true;
}

// Answered without the engine: what the directive says is about the answer's status or form.
static bool is_odd(const struct sim_directive *d)
{
    return (d->status != UINT32_MAX && d->status != 200) || d->empty || d->garbage;
}

// ---- Requests

// Whether a directive holds for this request: its model, its port, its count.
static bool directive_applies(struct sim *s, const struct sim_request *r,
                              const struct sim_directive *d)
{
    if ((d->model.len && !slice_eq(d->model, r->model)) ||
        (d->port != UINT32_MAX && d->port != s->port))
        return false;
    if (d->times == UINT32_MAX)
        return true;
    struct counter *n = map_get(&s->counted, d->text);
    if (!n) {
        n = alloc_zeroed(1, sizeof *n + d->text.len + 1);
        if (!n)
            return true;
        memcpy(n->text, d->text.ptr, d->text.len);
        if (map_put(&s->counted, slice_make(n->text, d->text.len), n)) {
            alloc_free(n);
            return true;
        }
    }
    return n->seen++ < d->times;
}

static bool lists(const struct sim *s, struct slice model)
{
    for (uint32_t i = 0; i < s->model_count; i++) {
        if (slice_eq(s->models[i], model))
            return true;
    }
    return false;
}

static bool serves(const struct sim *s, struct slice model)
{
    return s->any_model || lists(s, model) || (s->live && live_adapter(s->live, model) >= 0);
}

// False when the request was refused.
static bool call_check(struct call *c)
{
    struct sim_request *r = &c->request;
    struct arena *arena = c->x->arena;
    struct slice bad;
    if (sim_directive_parse(r->directive, &c->directive, &bad)) {
        sim_respond_refusal(
            c->x, 400, "bad_directive",
            arena_printf(arena, "The directive's word \"%.*s\" is not known.", SLICE_FMT(bad)));
        return false;
    }
    if (!directive_applies(c->sim, r, &c->directive))
        (void)sim_directive_parse(SLICE_EMPTY, &c->directive, &bad);
    if (!serves(c->sim, r->model)) {
        sim_respond_refusal(c->x, 404, "model_not_found",
                            arena_printf(arena, "The model \"%.*s\" does not exist.",
                                         SLICE_FMT(slice_head(r->model, 200))));
        return false;
    }
    c->profile = sim_profile_for(r->model);
    uint64_t need = r->prompt_tok + (uint64_t)(r->max_tok == UINT32_MAX ? 0 : r->max_tok);
    uint32_t window = c->sim->live ? engine_profile(live_engine(c->sim->live))->max_len_tok
                                   : c->profile->context_tok;
    if (need > window && lists(c->sim, r->model)) {
        struct sim_error e = {.status = 400,
                              .type = "invalid_request_error",
                              .param = "messages",
                              .code = "context_length_exceeded"};
        e.message = arena_printf(
            arena,
            "This model's maximum context length is %u tokens. However, you requested %llu "
            "tokens. Please reduce the length of the messages or the completion.",
            window, (unsigned long long)need);
        sim_respond_error(c->x, &e);
        return false;
    }
    return true;
}

static bool call_write(struct call *c)
{
    struct sim *s = c->sim;
    struct arena *arena = c->x->arena;
    for (uint32_t i = 0; i < c->request.choices; i++) {
        if (sim_answer(&c->request, c->profile, c->request.model, i, s->seed, c->directive.tokens,
                       arena, c->answers + i))
            return false;
    }
    c->wire = (struct sim_wire){.model = c->request.model,
                                .created_s = loop_wall_us(s->loop) / 1000000,
                                .serial = ++s->serial,
                                .request = &c->request,
                                .answers = c->answers,
                                .no_usage = c->directive.no_usage};
    // Unique over restarts too: some clients lose messages whose ids they have seen before.
    c->wire.id =
        arena_printf(arena, "chatcmpl-sim-%llx-%llu", (unsigned long long)loop_wall_us(s->loop),
                     (unsigned long long)s->serial);
    return c->wire.id.ptr;
}

static void chat(struct sim *s, struct http_exchange *x)
{
    struct call *c = ARENA_NEW(x->arena, struct call);
    if (!c) {
        sim_respond_nomem(x);
        return;
    }
    c->sim = s;
    c->x = x;
    struct sim_error error;
    enum result r =
        sim_request_read(&c->request, x->body, http_header_get(x->head, "x-sim"), x->arena, &error);
    if (r == RESULT_SYNTAX)
        sim_respond_error(x, &error);
    else if (r)
        sim_respond_nomem(x);
    if (s->live)
        c->request.echo = live_options(s->live)->echo;
    if (r || !call_check(c))
        return;
    if (!call_write(c)) {
        sim_respond_nomem(x);
        return;
    }
    c->next = s->calls;
    c->link = &s->calls;
    if (c->next)
        c->next->link = &c->next;
    s->calls = c;
    x->user = c;
    const struct sim_directive *d = &c->directive;
    if (d->hang_after == 0)
        return;
    if (s->live && !is_odd(d)) {
        if (!fails_by_chance(c))
            call_later(c, d->delay_ms == UINT32_MAX ? 0 : d->delay_ms, call_submit);
        return;
    }
    double tokens = c->request.stream ? 0 : c->answers[0].count;
    uint32_t wait = paced(c, c->profile->first_ms + tokens * c->profile->each_ms);
    if (d->delay_ms != UINT32_MAX)
        wait += d->delay_ms;
    call_later(c, wait, call_answer);
}

static void list_models(struct sim *s, struct http_exchange *x)
{
    struct buf body;
    buf_init(&body, 1024 * 1024);
    BUF_LIT(&body, "{\"object\":\"list\",\"data\":[");
    for (uint32_t i = 0; i < s->model_count; i++) {
        if (i)
            buf_byte(&body, ',');
        sim_wire_model(s->models[i], &body);
    }
    for (uint32_t i = 0; s->live && i < live_adapters(s->live); i++) {
        struct slice name = live_adapter_name(s->live, (int32_t)i);
        if (live_adapter(s->live, name) < 0)
            continue;
        buf_byte(&body, ',');
        sim_wire_model(name, &body);
    }
    BUF_LIT(&body, "]}");
    if (buf_result(&body))
        sim_respond_nomem(x);
    else
        sim_respond_json(x, 200, buf_slice(&body));
    buf_deinit(&body);
}

static void one_model(struct sim *s, struct http_exchange *x, struct slice name)
{
    struct buf body;
    if (!serves(s, name)) {
        sim_respond_refusal(x, 404, "model_not_found", SLICE("There is no such model."));
        return;
    }
    buf_init(&body, 4096);
    sim_wire_model(name, &body);
    sim_respond_json(x, 200, buf_slice(&body));
    buf_deinit(&body);
}

static void on_request(struct http_exchange *x)
{
    static const struct slice models = {"/v1/models", 10};
    struct sim *s = http_server_user(x->server);
    struct slice path = x->head->path;
    bool get = x->head->method == HTTP_GET || x->head->method == HTTP_HEAD;
    bool is_chat = slice_eq_cstr(path, "/v1/chat/completions");
    atomic_fetch_add_explicit(&s->requests, 1, memory_order_relaxed);
    if (s->live && !live_is_up(s->live)) {
        http_respond_abort(x);
        return;
    }
    if (s->live && sim_engine_request(s->live, x, get))
        return;
    if (is_chat && x->head->method == HTTP_POST)
        chat(s, x);
    else if (get && slice_eq(path, models))
        list_models(s, x);
    else if (get && slice_starts_with(path, models) && path.len > 11 && path.ptr[10] == '/')
        one_model(s, x, slice_from(path, 11));
    else if (get && slice_eq_cstr(path, "/health"))
        sim_respond_json(x, 200, SLICE("{\"status\":\"ok\",\"simulated\":true}"));
    else if (is_chat || slice_eq(path, models) || slice_eq_cstr(path, "/health"))
        sim_respond_refusal(x, 405, "method_not_allowed",
                            SLICE("This path does not take that method."));
    else
        sim_respond_refusal(x, 404, "unknown_path",
                            SLICE("The demo pool does not serve this path."));
}

static void on_head(struct http_exchange *x)
{
    (void)x;
}

static void on_writable(struct http_exchange *x)
{
    struct call *c = x->user;
    if (c && c->paused && !loop_timer_is_set(&c->timer)) {
        c->paused = false;
        stream_pump(c);
    }
}

static void on_abort(struct http_exchange *x, enum result why)
{
    (void)why;
    if (x->user)
        call_end(x->user);
}

static void on_done(struct http_exchange *x)
{
    if (x->user)
        call_end(x->user);
}

static const struct http_server_ops ops = {
    .on_head = on_head,
    .on_request = on_request,
    .on_writable = on_writable,
    .on_abort = on_abort,
    .on_done = on_done,
};

// ---- Life

static void *run(void *arg)
{
    struct sim *s = arg;
    loop_run(s->loop);
    return NULL;
}

static void sim_free(struct sim *s)
{
    while (s->calls)
        call_end(s->calls);
    if (s->server)
        http_server_close(s->server);
    live_close(s->live);
    if (s->loop)
        loop_close(s->loop);
    size_t at = 0;
    const struct map_entry *e;
    while ((e = map_next(&s->counted, &at)))
        alloc_free(e->value);
    map_deinit(&s->counted);
    arena_deinit(&s->names);
    alloc_free(s);
}

static enum result name_models(struct sim *s, const struct sim_options *o)
{
    s->any_model = o->any_model;
    s->model_count = o->models ? o->model_count : SIM_PROFILES;
    if (!s->model_count || s->model_count > SIM_MODELS_MAX)
        return RESULT_LIMIT;
    s->models = ARENA_ARRAY(&s->names, struct slice, s->model_count);
    if (!s->models)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < s->model_count; i++) {
        s->models[i] =
            arena_copy(&s->names, slice_cstr(o->models ? o->models[i] : sim_profiles[i].name));
        if (!s->models[i].ptr)
            return RESULT_NOMEM;
    }
    return RESULT_OK;
}

enum result sim_open(struct sim **out, const struct sim_options *options)
{
    struct sim *s = alloc_zeroed(1, sizeof *s);
    if (!s)
        return RESULT_NOMEM;
    s->pace = options->pace;
    s->seed = options->seed;
    arena_init(&s->names, 1024, 64 * 1024);
    map_init(&s->counted, (struct hash_key){0, 0}, COUNTED_MAX);
    struct http_limits limits = http_limits_default;
    limits.high_water_bytes = BACKLOG_BYTES;
    enum result r = name_models(s, options);
    if (!r)
        r = loop_open(&s->loop, 0);
    if (!r)
        r = http_server_open(&s->server, s->loop, &ops, &limits, s);
    if (!r)
        r = http_server_claim(options->host ? options->host : "127.0.0.1", options->port);
    if (!r)
        r = http_server_listen(s->server, options->host ? options->host : "127.0.0.1",
                               options->port, NULL);
    if (!r) {
        s->port = http_server_port(s->server);
        if (options->live)
            r = live_open(&s->live, s->loop, options->live, s->models[0], s->port, options->seed,
                          &s->names);
    }
    if (!r) {
        if (pthread_create(&s->thread, NULL, run, s))
            r = RESULT_NOMEM;
    }
    if (r) {
        sim_free(s);
        return r;
    }
    *out = s;
    return RESULT_OK;
}

uint16_t sim_port(const struct sim *s)
{
    return s->port;
}

uint64_t sim_requests(const struct sim *s)
{
    return atomic_load_explicit(&s->requests, memory_order_relaxed);
}

void sim_close(struct sim *s)
{
    if (!s)
        return;
    loop_stop(s->loop);
    pthread_join(s->thread, NULL);
    sim_free(s);
}
