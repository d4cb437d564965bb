#include "api/attempt.h"

#include "api/effort.h"
#include "api/openai_answer.h"

static const enum metrics_end END_OF_PATH[] = {
    [PATH_ANSWERED] = METRICS_ANSWERED, [PATH_PASSED] = METRICS_PASSED,
    [PATH_FAILED] = METRICS_FAILED,     [PATH_BROKEN] = METRICS_BROKEN,
    [PATH_GONE] = METRICS_GONE,
};

static void on_path_head(struct path *p, int status, const struct usage *usage,
                         struct http_header *headers, size_t *n)
{
    struct request *r = p->user;
    (void)status;
    request_headers(r, usage, headers, n);
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
        res = effort_edit(r, &edits);
    if (!res)
        res = edit_cap(r, &edits);
    if (!res)
        *count = json_edit_pieces(&edits, r->work.body, r->pieces, &total);
    return res;
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

void attempt_observed(struct request *r)
{
    r->pieces[0] = r->work.body;
    send_on(r, r->pieces, 1);
}

void attempt_begin(struct request *r)
{
    size_t count = 0;
    r->model = r->decision->model;
    if (make_pieces(r, &count) == RESULT_OK)
        send_on(r, r->pieces, count);
    else
        request_refuse(r, &request_error_no_memory, METRICS_FAILED);
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
    request_refuse(r,
                   &(struct api_error){.status = 403,
                                       .type = "policy_refusal",
                                       .code = "forbidden",
                                       .message = message,
                                       .final = true},
                   METRICS_REFUSED);
}

void attempt_pass(struct request *r, int32_t model)
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
