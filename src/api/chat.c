// One chat request: parse, decide, send on, account. See gateway.h for the road.

#include <time.h>

#include "api/openai_answer.h"
#include "api/request.h"
#include "api/waiting.h"
#include "path/answer_error.h"
#include "route/estimate.h"
#include "route/explain.h"
#include "route/record.h"

enum { MESSAGE_MAX = 4096, MODEL_SHOWN_MAX = 200 };

static uint64_t mono_ns(void *ctx)
{
    struct timespec t;
    (void)ctx;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

// --- accounting

static const enum metrics_end END_OF_PATH[] = {
    [PATH_ANSWERED] = METRICS_ANSWERED, [PATH_PASSED] = METRICS_PASSED,
    [PATH_FAILED] = METRICS_FAILED,     [PATH_BROKEN] = METRICS_BROKEN,
    [PATH_GONE] = METRICS_GONE,
};

static const struct image_model *model_of(const struct request *r)
{
    return r->model == IMAGE_NONE ? NULL : image_model(r->epoch->serving->image, r->model);
}

static int64_t settle_cost(const struct request *r, const struct usage *u)
{
    const struct image_model *m = model_of(r);
    if (!m || !(u->input_tok | u->output_tok))
        return m && m->priced ? 0 : -1;
    return estimate_cost_nusd(m, u->input_tok, u->cached_tok, u->output_tok);
}

static void count(struct request *r, enum metrics_end end, const struct path_result *result,
                  int64_t cost_nusd)
{
    struct metrics_shard *s = r->g->metrics;
    const struct serving *serving = r->epoch->serving;
    uint64_t now = loop_now_us(r->g->loop);
    if (r->decision && r->decision->route != IMAGE_NONE)
        metric_add(&s->route_ends[serving->route_slots[r->decision->route]][end], 1);
    else
        metric_add(&s->route_ends[0][end], 1);
    metrics_observe_ns(&s->request, &METRICS_REQUEST, (now - r->x->begin_us) * 1000);
    if (result && result->first_byte_us)
        metrics_observe_ns(&s->first_byte, &METRICS_REQUEST,
                           (result->first_byte_us - r->x->begin_us) * 1000);
    if (r->model == IMAGE_NONE)
        return;
    struct metrics_model *m = &s->models[serving->model_slots[r->model]];
    metric_add(&m->ends[end], 1);
    if (!result)
        return;
    metric_add(&m->attempts, result->attempts);
    metric_add(&m->input_tok, result->usage.input_tok);
    metric_add(&m->output_tok, result->usage.output_tok);
    metric_add(&m->cached_tok, result->usage.cached_tok);
    if (end == METRICS_ANSWERED || end == METRICS_BROKEN) {
        metric_add(&m->estimated, !result->usage.known);
        if (cost_nusd < 0)
            metric_add(&m->unpriced, 1);
        else
            metric_add(&m->cost_nusd, (uint64_t)cost_nusd);
    }
}

static void add_string(struct buf *out, const char *key, struct slice value)
{
    buf_byte(out, ',');
    buf_byte(out, '"');
    buf_cstr(out, key);
    BUF_LIT(out, "\":");
    json_write_string(out, value);
}

static void add_number(struct buf *out, const char *key, uint64_t value)
{
    buf_byte(out, ',');
    buf_byte(out, '"');
    buf_cstr(out, key);
    BUF_LIT(out, "\":");
    buf_u64(out, value);
}

// What came of it: the tail of the access log's line, and the ring's outcome. Begins without a brace.
static void write_outcome(const struct request *r, enum metrics_end end,
                          const struct path_result *result, int status, int64_t cost_nusd,
                          struct buf *out)
{
    uint64_t now = loop_now_us(r->g->loop);
    BUF_LIT(out, "\"end\":\"");
    buf_cstr(out, metrics_end_names[end]);
    BUF_LIT(out, "\",\"status\":");
    buf_u64(out, (uint64_t)status);
    add_number(out, "us", now - r->x->begin_us);
    if (!result)
        return;
    if (result->first_byte_us)
        add_number(out, "first_byte_us", result->first_byte_us - r->x->begin_us);
    add_number(out, "attempts", result->attempts);
    add_number(out, "input_tok", result->usage.input_tok);
    add_number(out, "output_tok", result->usage.output_tok);
    if (result->usage.cached_tok)
        add_number(out, "cached_tok", result->usage.cached_tok);
    if (!result->usage.known)
        BUF_LIT(out, ",\"usage_estimated\":true");
    if (cost_nusd >= 0)
        add_number(out, "cost_nusd", (uint64_t)cost_nusd);
    if (result->endpoint != IMAGE_NONE)
        add_string(out, "endpoint", r->epoch->serving->pool.endpoints[result->endpoint].url);
    if (result->reason[0])
        add_string(out, "reason", slice_cstr(result->reason));
}

static void write_access(struct request *r, struct slice outcome)
{
    struct buf *out = &r->g->line;
    buf_reset(out);
    BUF_LIT(out, "{\"time\":\"");
    clock_stamp(&r->g->stamp, loop_wall_us(r->g->loop), out);
    BUF_LIT(out, "\",\"peer\":\"");
    buf_cstr(out, r->x->peer);
    buf_byte(out, '"');
    if (r->decision)
        add_string(out, "id", slice_cstr(r->decision->id));
    if (r->key)
        add_string(out, "key", r->key->id);
    add_string(out, "path", r->x->head->path);
    if (r->decision && r->decision->route != IMAGE_NONE)
        add_string(out, "route",
                   image_text(r->epoch->serving->image,
                              image_route(r->epoch->serving->image, r->decision->route)->name));
    if (r->model != IMAGE_NONE)
        add_string(out, "model", r->epoch->serving->pool.models[r->model].name);
    if (r->kind == REQUEST_CHAT && r->work.stream)
        BUF_LIT(out, ",\"stream\":true");
    buf_byte(out, ',');
    buf_add(out, outcome);
    buf_byte(out, '}');
    if (!buf_result(out))
        log_line(r->g->access_log, buf_slice(out));
}

void request_end(struct request *r, enum metrics_end end, const struct path_result *result,
                 int status)
{
    struct gateway *g = r->g;
    int64_t cost = result ? settle_cost(r, &result->usage) : -1;
    metric_add(&g->metrics->in_flight, (uint64_t)-1);
    count(r, end, result, cost);
    bool kept =
        r->slot && r->decision && memcmp(r->slot->id, r->decision->id, DECISION_ID_LEN) == 0;
    if (!g->access_log && !kept)
        return;
    char room[RING_OUTCOME_MAX];
    struct buf outcome = {.ptr = room, .room = sizeof room, .cap = sizeof room};
    write_outcome(r, end, result, status, cost, &outcome);
    if (buf_result(&outcome))
        return;
    if (kept) {
        buf_byte(&r->slot->outcome, '{');
        buf_add(&r->slot->outcome, buf_slice(&outcome));
        buf_byte(&r->slot->outcome, '}');
    }
    if (g->access_log)
        write_access(r, buf_slice(&outcome));
}

// --- answers

// "0.000123", with ";est" when it is not settled; "unknown" without a price.
static struct slice cost_text(struct request *r, int64_t nusd, bool estimated)
{
    struct buf b = {.ptr = r->cost, .room = sizeof r->cost, .cap = sizeof r->cost};
    explain_usd(nusd, &b);
    if (estimated && nusd >= 0)
        BUF_LIT(&b, ";est");
    return buf_slice(&b);
}

static void merit_headers(struct request *r, const struct usage *usage, struct http_header *headers,
                          size_t *n)
{
    const struct policy_image *p = r->epoch->serving->image;
    const struct decision *d = r->decision;
    if (d) {
        headers[(*n)++] =
            (struct http_header){SLICE("x-merit-decision"), slice_make(d->id, DECISION_ID_LEN)};
        if (d->route != IMAGE_NONE)
            headers[(*n)++] = (struct http_header){SLICE("x-merit-route"),
                                                   image_text(p, image_route(p, d->route)->name)};
    }
    if (r->model == IMAGE_NONE)
        return;
    struct slice model = image_text(p, model_of(r)->name);
    headers[(*n)++] = (struct http_header){SLICE("x-merit-model"), model};
    headers[(*n)++] = (struct http_header){SLICE("x-selected-model"), model};
    if (usage)
        headers[(*n)++] = (struct http_header){SLICE("x-merit-cost-usd"),
                                               cost_text(r, settle_cost(r, usage), false)};
    else if (d)
        headers[(*n)++] =
            (struct http_header){SLICE("x-merit-cost-usd"), cost_text(r, d->cost_nusd, true)};
}

static void on_path_head(struct path *p, int status, const struct usage *usage,
                         struct http_header *headers, size_t *n)
{
    struct request *r = p->user;
    (void)status;
    merit_headers(r, usage, headers, n);
}

static void on_path_end(struct path *p, const struct path_result *result)
{
    struct request *r = p->user;
    r->running = false;
    request_end(r, END_OF_PATH[result->end], result, result->status);
    if (result->end == PATH_BROKEN)
        request_close(r); // the path aborts the exchange next, and no callback follows that
}

static const struct path_ops PATH_OPS = {on_path_head, on_path_end};

static void end_with_error(struct request *r, const struct api_error *e, enum metrics_end end)
{
    struct http_header headers[PATH_HEADERS_MAX];
    size_t n = 0;
    merit_headers(r, NULL, headers, &n);
    request_end(r, end, NULL, e->status);
    answer_error(r->x, &openai_chat, e, headers, n);
}

// No model could serve it. What an agent does next hangs on the status: a window that is too small makes it compact,
// an overload makes it wait, anything else makes it stop.
static void answer_infeasible(struct request *r)
{
    const struct decision *d = r->decision;
    bool down = false, window = false, output = false, missing_key = false;
    int32_t waiting = IMAGE_NONE;
    for (uint32_t i = 0; i < d->image->models.count; i++) {
        enum model_verdict v = d->model_outcomes[i].verdict;
        if (v == MODEL_DOWN) {
            down = true;
            waiting = (int32_t)i;
        }
        window |= v == MODEL_WINDOW;
        output |= v == MODEL_OUTPUT;
        missing_key |= v == MODEL_NO_KEY;
    }
    struct buf why;
    buf_init(&why, MESSAGE_MAX);
    explain_infeasible(d, &why);
    bool policy = false;
    for (uint32_t i = 0; i < (d->image->constraints.count + 63) / 64; i++)
        policy |= d->core && d->core[i];
    struct api_error e = {.status = policy ? 403 : 400,
                          .type = policy ? "policy_refusal" : "invalid_request_error",
                          .code = policy ? "no_feasible_path" : "no_feasible_model",
                          .message = buf_slice(&why),
                          .final = true};
    if (policy) {
        // Waiting or asking for less does not help.
    } else if (down) {
        e.status = 503;
        e.type = "server_error";
        e.code = "model_unavailable";
        e.final = false;
        e.retry_after_s = pool_retry_after_s(&r->epoch->pool, waiting, loop_now_us(r->g->loop));
    } else if (window) {
        e.code = "context_length_exceeded";
        e.param = "messages";
    } else if (output) {
        e.param = "max_tokens";
    } else if (missing_key) {
        e.status = 503;
        e.type = "server_error";
        e.code = "model_key_missing";
    }
    end_with_error(r, &e, METRICS_INFEASIBLE);
    buf_deinit(&why);
}

static void answer_no_model(struct request *r)
{
    char text[512];
    struct buf b = {.ptr = text, .room = sizeof text, .cap = sizeof text};
    struct slice asked = r->decision->model_asked;
    size_t n = asked.len > MODEL_SHOWN_MAX ? MODEL_SHOWN_MAX : asked.len;
    while (n < asked.len && n && ((unsigned char)asked.ptr[n] & 0xc0) == 0x80)
        n--; // not inside a character
    BUF_LIT(&b, "The model \"");
    buf_add(&b, slice_head(asked, n));
    BUF_LIT(&b, "\" does not exist here; GET /v1/models lists what does, and \"auto\" routes.");
    metric_add(&r->g->metrics->rejects[METRICS_REJECT_MODEL], 1);
    end_with_error(r,
                   &(struct api_error){.status = 404,
                                       .type = "invalid_request_error",
                                       .code = "model_not_found",
                                       .param = "model",
                                       .message = buf_slice(&b),
                                       .final = true},
                   METRICS_INFEASIBLE);
}

// --- the body that goes on

static enum result edit_model(struct request *r, struct json_edits *e)
{
    const struct openai_request *o = &r->openai;
    const struct pool_model *m = &r->epoch->serving->pool.models[r->model];
    if (o->model == JSON_NONE)
        return json_edit_member(e, &o->json, 0, m->upstream_json);
    if (json_string_is(&o->json, o->model, m->upstream_name))
        return RESULT_OK;
    return json_edit_value(e, &o->json, o->model,
                           slice_from(m->upstream_json, sizeof "\"model\":" - 1));
}

// Merit needs usage to account for a stream, so it asks for it; path/ hides it again.
static enum result edit_usage(struct request *r, struct json_edits *e)
{
    const struct openai_request *o = &r->openai;
    if (!r->work.stream || r->work.usage_asked)
        return RESULT_OK;
    if (o->include_usage != JSON_NONE)
        return json_edit_value(e, &o->json, o->include_usage, SLICE("true"));
    if (o->stream_options == JSON_NONE)
        return json_edit_member(e, &o->json, 0,
                                SLICE("\"stream_options\":{\"include_usage\":true}"));
    if (json_type(&o->json, o->stream_options) == JSON_OBJECT)
        return json_edit_member(e, &o->json, o->stream_options, SLICE("\"include_usage\":true"));
    return json_edit_value(e, &o->json, o->stream_options, SLICE("{\"include_usage\":true}"));
}

static const struct slice EFFORTS[IMAGE_EFFORT_COUNT_] = {
    [IMAGE_EFFORT_OFF] = {"\"none\"", 6},
    [IMAGE_EFFORT_LOW] = {"\"low\"", 5},
    [IMAGE_EFFORT_MEDIUM] = {"\"medium\"", 8},
    [IMAGE_EFFORT_HIGH] = {"\"high\"", 6},
};

// What the client asks for, as far as the policy has a word for it.
static enum image_effort effort_asked(const struct request *r)
{
    const struct openai_request *o = &r->openai;
    if (o->reasoning_effort == JSON_NONE || json_type(&o->json, o->reasoning_effort) != JSON_STRING)
        return IMAGE_EFFORT_DEFAULT;
    for (int i = 0; i < IMAGE_EFFORT_COUNT_; i++)
        if (EFFORTS[i].len && json_string_is(&o->json, o->reasoning_effort,
                                             slice_make(EFFORTS[i].ptr + 1, EFFORTS[i].len - 2)))
            return (enum image_effort)i;
    return IMAGE_EFFORT_DEFAULT;
}

static enum result edit_effort(struct request *r, struct json_edits *e)
{
    const struct openai_request *o = &r->openai;
    struct slice value = EFFORTS[r->decision->effort];
    if (r->decision->effort_dropped && o->reasoning_effort != JSON_NONE)
        return json_edit_remove(e, &o->json, 0, o->reasoning_effort_key);
    if (!value.len)
        return RESULT_OK;
    if (o->reasoning_effort != JSON_NONE)
        return json_edit_value(e, &o->json, o->reasoning_effort, value);
    struct slice member = arena_printf(r->x->arena, "\"reasoning_effort\":%.*s", SLICE_FMT(value));
    return member.ptr ? json_edit_member(e, &o->json, 0, member) : RESULT_NOMEM;
}

// The most output that the policy counted on, where the client asks for more or leaves it open.
static enum result edit_cap(struct request *r, struct json_edits *e)
{
    const struct openai_request *o = &r->openai;
    uint32_t cap = r->decision->output_cap_tok;
    const uint32_t given[] = {o->max_tokens, o->max_completion_tokens};
    bool said = false;
    enum result res = RESULT_OK;
    for (size_t i = 0; cap && i < MERIT_COUNT(given) && !res; i++) {
        uint64_t tok;
        if (given[i] == JSON_NONE || json_u64(&o->json, given[i], &tok))
            continue; // null stands for nothing
        said = true;
        struct slice value = tok > cap ? arena_printf(r->x->arena, "%u", cap) : SLICE_EMPTY;
        if (tok > cap)
            res = value.ptr ? json_edit_value(e, &o->json, given[i], value) : RESULT_NOMEM;
    }
    if (!cap || said || res)
        return res;
    const struct policy_image *p = r->decision->image;
    bool openai = slice_eq_cstr(image_text(p, image_model(p, r->model)->provider), "openai");
    uint32_t null = openai ? o->max_completion_tokens : o->max_tokens;
    struct slice value = arena_printf(r->x->arena, "%u", cap);
    struct slice member = arena_printf(r->x->arena, "\"%s\":%u",
                                       openai ? "max_completion_tokens" : "max_tokens", cap);
    if (!value.ptr || !member.ptr)
        return RESULT_NOMEM;
    return null != JSON_NONE ? json_edit_value(e, &o->json, null, value)
                             : json_edit_member(e, &o->json, 0, member);
}

static enum result make_pieces(struct request *r, size_t *count)
{
    struct json_edits edits = {.count = 0};
    uint64_t total;
    enum result res = edit_model(r, &edits);
    if (!res)
        res = edit_usage(r, &edits);
    if (!res)
        res = edit_effort(r, &edits);
    if (!res)
        res = edit_cap(r, &edits);
    if (!res)
        *count = json_edit_pieces(&edits, r->work.body, r->pieces, &total);
    return res;
}

// --- deciding

static void read_headers(struct request *r)
{
    const struct http_head *head = r->x->head;
    uint32_t n = head->header_count < WORK_HEADERS_MAX ? head->header_count : WORK_HEADERS_MAX;
    struct work_pair *pairs = arena_alloc(r->x->arena, n * sizeof *pairs);
    uint32_t kept = 0;
    for (uint32_t i = 0; pairs && i < n; i++) {
        const struct http_header *h = &head->headers[i];
        if (r->epoch->serving->reads_headers || openai_names_session(h->name))
            pairs[kept++] = (struct work_pair){h->name, h->value};
    }
    r->work.headers = pairs;
    r->work.header_count = kept;
}

static void read_caller(struct request *r)
{
    struct work_caller *c = &r->work.caller;
    if (r->key) {
        *c = r->key->caller;
        if (r->key->scopes & KEY_SCOPE_ROUTE_HEADERS)
            work_caller_label(c, http_header_get(r->x->head, "x-merit-label"));
        return;
    }
    c->known = false;
    c->group_count = c->label_count = 0;
    c->id = c->team = c->tenant = SLICE_EMPTY;
}

static void count_signals(struct request *r)
{
    const struct decision *d = r->decision;
    struct metrics_shard *s = r->g->metrics;
    const uint16_t *slots = r->epoch->serving->signal_slots;
    for (uint32_t i = 0; i < d->image->signals.count; i++) {
        metric_add(
            d->facts[i].state == FACT_UNKNOWN ? &s->avoided[slots[i]] : &s->signals[slots[i]], 1);
        if (d->facts[i].state == FACT_FAILED)
            metric_add(&s->signal_errors[slots[i]], 1);
    }
    metric_add(&s->decisions, 1);
    metrics_observe_ns(&s->decision, &METRICS_DECISION, r->decide_ns);
}

static void go_on(struct request *r, uint64_t begin_ns);

static void on_answers(struct request *r, enum result why)
{
    if (why == RESULT_TIMEOUT)
        decider_expire(&r->deciding);
    else if (why)
        plan_answer_all(r->deciding.signals, why);
    else
        r->decide_ns += r->waited_us * 1000;
    go_on(r, mono_ns(NULL));
}

// Others have their turn before this one goes on.
static void pause_turn(struct request *r)
{
    struct request **at = &r->g->paused;
    while (*at)
        at = &(*at)->paused_next;
    *at = r;
    r->paused_next = NULL;
    r->paused = true;
    loop_later(r->g->loop, &r->g->resume);
}

static void unpause(struct request *r)
{
    struct request **at = &r->g->paused;
    while (*at && *at != r)
        at = &(*at)->paused_next;
    if (*at)
        *at = r->paused_next;
    r->paused = false;
}

void chat_resume(struct loop_task *t)
{
    struct gateway *g = MERIT_CONTAINER(t, struct gateway, resume);
    struct request *r = g->paused;
    if (!r)
        return;
    unpause(r);
    if (g->paused)
        loop_later(g->loop, t);
    go_on(r, mono_ns(NULL));
}

// Has the asks answered within what is left of the time for deciding.
static enum result wait_for_answers(struct request *r, uint64_t now_ns)
{
    uint32_t left_ms = 0;
    if (r->decide_until_ns)
        left_ms = (uint32_t)((r->decide_until_ns - now_ns + 999999) / 1000000);
    return waiting_begin(r, plan_asks(r->deciding.signals), left_ms, on_answers);
}

// RESULT_OK: decided. RESULT_AGAIN: the request waits for an encoder or its turn, and goes on by itself. RESULT_NOMEM.
static enum result decide(struct request *r, uint64_t begin_ns)
{
    for (;;) {
        enum result res = decider_step(&r->deciding);
        uint64_t end_ns = mono_ns(NULL);
        r->decide_ns += end_ns - begin_ns;
        begin_ns = end_ns;
        if (res != RESULT_AGAIN)
            return res;
        if (r->decide_until_ns && end_ns >= r->decide_until_ns) {
            decider_expire(&r->deciding);
            continue;
        }
        if (!plan_waits(r->deciding.signals)) {
            pause_turn(r);
            return RESULT_AGAIN;
        }
        res = wait_for_answers(r, end_ns);
        if (!res)
            return RESULT_AGAIN;
        // No room or no pool: signals make do without.
        plan_answer_all(r->deciding.signals, res);
    }
}

static void record_decision(struct request *r)
{
    struct gateway *g = r->g;
    struct decision *d = r->deciding.run.decision;
    d->wall_us = loop_wall_us(g->loop);
    d->decide_ns = r->decide_ns > UINT32_MAX ? UINT32_MAX : (uint32_t)r->decide_ns;
    record_id(d->wall_us, rng_next(&g->rng), d->id);
    r->decision = d;
    count_signals(r);
    if (r->measured)
        measured_count(r->epoch->serving->measured, g->index, &r->deciding.run);
    if (!g->decision_log && !g->ring.size)
        return;
    buf_reset(&g->line);
    record_compact(d, &g->line);
    if (buf_result(&g->line))
        return; // a record over its limit is not worth a request
    if (g->decision_log)
        log_line(g->decision_log, buf_slice(&g->line));
    r->slot = ring_put(&g->ring, d, buf_slice(&g->line), r->epoch);
    if (r->slot)
        r->epoch->refs++;
}

static void send_on(struct request *r, const struct slice *pieces, size_t count)
{
    const struct decision *d = r->decision;
    // What is only observed is decided for nobody.
    bool obeyed = d->end == DECISION_ANSWER && d->model == r->model && !d->observed;
    struct path_plan plan = {
        .settings = &r->g->shared->path,
        .dialect = &openai_chat,
        .model = r->model,
        .method = HTTP_POST,
        .target = SLICE("/chat/completions"),
        .headers = r->headers,
        .pieces = pieces,
        .piece_count = count,
        .stream = r->work.stream,
        .usage_asked = r->work.usage_asked,
        .input_tok = r->work.input_tok,
        .closed = obeyed ? d->endpoints_closed : 0,
        .attempts_max = obeyed ? d->attempts_max : 0,
        .timeout_ms = obeyed ? image_model(d->image, r->model)->timeout_ms : 0,
    };
    request_forward_headers(r);
    plan.header_count = r->header_count;
    r->running = true;
    path_start(&r->path, &plan, r->x, &r->epoch->pool, r->g->loop, &r->g->scratch, &PATH_OPS, r);
}

// Does what was decided.
static void obey(struct request *r)
{
    const struct serving *s = r->epoch->serving;
    const struct decision *d = r->decision;
    if (s->observe_model != IMAGE_NONE) {
        // Decided and recorded, not obeyed: the request goes where it went before, byte for byte.
        metric_add(&r->g->metrics->observed, 1);
        r->model = s->observe_model;
        r->pieces[0] = r->work.body;
        send_on(r, r->pieces, 1);
        return;
    }
    size_t count = 0;
    switch (d->end) {
    case DECISION_ANSWER:
        r->model = d->model;
        if (make_pieces(r, &count) == RESULT_OK)
            send_on(r, r->pieces, count);
        else
            end_with_error(r, &request_error_no_memory, METRICS_FAILED);
        return;
    case DECISION_REFUSE:
        end_with_error(r,
                       &(struct api_error){.status = 403,
                                           .type = "policy_refusal",
                                           .code = "refused",
                                           .message = d->message,
                                           .final = true},
                       METRICS_REFUSED);
        return;
    case DECISION_NO_MODEL:
        answer_no_model(r);
        return;
    case DECISION_INFEASIBLE:
        answer_infeasible(r);
        return;
    }
}

static void go_on(struct request *r, uint64_t begin_ns)
{
    enum result res = decide(r, begin_ns);
    if (res == RESULT_AGAIN)
        return;
    if (res) {
        metric_add(&r->g->metrics->in_flight, (uint64_t)-1);
        request_no_memory(r->x, r->g);
        return;
    }
    record_decision(r);
    obey(r);
}

// The time for deciding: the setting's, and what a caller whose key may steer asks for where that is less. False: the
// header is no such number.
static bool set_deadline(struct request *r, uint64_t begin_ns)
{
    uint64_t most_ms = r->g->shared->compute_deadline_ms, asked_ms = 0;
    struct slice header = SLICE_EMPTY;
    if (r->key && (r->key->scopes & KEY_SCOPE_ROUTE_HEADERS))
        header = http_header_get(r->x->head, "x-merit-deadline-ms");
    if (header.ptr && (!slice_u64(header, &asked_ms) || !asked_ms))
        return false;
    if (asked_ms && asked_ms < most_ms)
        most_ms = asked_ms;
    r->decide_until_ns = most_ms ? begin_ns + most_ms * 1000000 : 0;
    return true;
}

void chat_begin(struct request *r)
{
    static const struct plan_clock clock = {mono_ns, NULL};
    struct openai_fault fault;
    struct gateway *g = r->g;
    const struct serving *s = r->epoch->serving;
    read_headers(r);
    read_caller(r);
    enum result res = openai_request_parse(r->x->body, r->x->arena, &r->work, &r->openai, &fault);
    if (res == RESULT_NOMEM) {
        metric_add(&g->metrics->in_flight, (uint64_t)-1);
        request_no_memory(r->x, g);
        return;
    }
    if (res) {
        metric_add(&g->metrics->in_flight, (uint64_t)-1);
        request_reject(r->x, g,
                       &(struct api_error){.status = fault.status,
                                           .type = "invalid_request_error",
                                           .code = fault.code,
                                           .param = fault.param,
                                           .message = fault.message,
                                           .final = true},
                       METRICS_REJECT_BAD_REQUEST);
        return;
    }
    uint64_t begin = mono_ns(NULL);
    if (!set_deadline(r, begin)) {
        metric_add(&g->metrics->in_flight, (uint64_t)-1);
        request_reject(r->x, g,
                       &(struct api_error){.status = 400,
                                           .type = "invalid_request_error",
                                           .code = "bad_deadline",
                                           .param = "x-merit-deadline-ms",
                                           .message = SLICE("x-merit-deadline-ms is a number of "
                                                            "milliseconds, 1 or more."),
                                           .final = true},
                       METRICS_REJECT_BAD_REQUEST);
        return;
    }
    r->model = IMAGE_NONE;
    r->pool = pool_loop_view(&r->epoch->pool, loop_now_us(g->loop));
    r->options = (struct route_options){.observe = s->observe_model != IMAGE_NONE,
                                        .effort = effort_asked(r)};
    r->costs = r->epoch->costs;
    if (r->costs) {
        r->costs->refs++;
        r->options.costs = &r->costs->costs;
    }
    r->measured = s->measured && measured_wants(s->measured, g->index);
    if (decider_begin(&s->decider, r->epoch->scratch, &r->work, &r->pool, &r->options,
                      r->measured ? &clock : NULL, r->x->arena, &r->deciding)) {
        metric_add(&g->metrics->in_flight, (uint64_t)-1);
        request_no_memory(r->x, g);
        return;
    }
    r->deciding.sliced = true;
    go_on(r, begin);
}

void chat_client_gone(struct request *r)
{
    waiting_drop(r);
    if (r->paused)
        unpause(r);
    request_end(r, METRICS_GONE, NULL, 0);
}

// No signal has read these bytes, so only what is forbidden always can be in the way.
static void refuse_pass(struct request *r, int32_t constraint)
{
    const struct policy_image *p = r->epoch->serving->image;
    struct slice name = SLICE_EMPTY;
    if (constraint != IMAGE_NONE)
        name = image_text(p, IMAGE_AT(p, p->constraints, struct image_constraint)[constraint].name);
    struct slice message = arena_printf(
        r->x->arena, "The policy forbids to pass this path on: \"%.*s\".", SLICE_FMT(name));
    end_with_error(r,
                   &(struct api_error){.status = 403,
                                       .type = "policy_refusal",
                                       .code = "forbidden",
                                       .message = message,
                                       .final = true},
                   METRICS_REFUSED);
}

void pass_begin(struct request *r, int32_t model)
{
    uint32_t closed;
    int32_t constraint;
    r->model = model;
    if (!route_may_pass(r->epoch->serving->decider.table, model, &closed, &constraint)) {
        refuse_pass(r, constraint);
        return;
    }
    r->pieces[0] = r->x->body;
    metric_add(&r->g->metrics->passed_through, 1);
    struct slice target = r->x->head->target;
    // An endpoint's prefix ends in the API's version, and so does the path of the request begin.
    if (slice_starts_with(target, SLICE("/v1/")))
        target = slice_from(target, 3);
    struct path_plan plan = {
        .settings = &r->g->shared->path,
        .dialect = &openai_chat,
        .model = model,
        .method = r->x->head->method,
        .target = target,
        .headers = r->headers,
        .pieces = r->pieces,
        .piece_count = r->x->body.len ? 1 : 0,
        .closed = closed,
        .timeout_ms = image_model(r->epoch->serving->image, model)->timeout_ms,
        .relay = true,
    };
    request_forward_headers(r);
    plan.header_count = r->header_count;
    r->running = true;
    path_start(&r->path, &plan, r->x, &r->epoch->pool, r->g->loop, &r->g->scratch, &PATH_OPS, r);
}
