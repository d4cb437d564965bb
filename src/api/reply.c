// What Merit itself says to a client: its headers, and errors when nothing could be sent on.

#include "api/openai_answer.h"
#include "api/request.h"
#include "path/answer_error.h"
#include "route/explain.h"

#define DENIED "The model's endpoint refused Merit's key for it; see `merit doctor`."

enum { MESSAGE_MAX = 4096, MODEL_SHOWN_MAX = 200 };

void request_headers(struct request *r, const struct usage *usage, struct http_header *headers,
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
    if (r->model == IMAGE_NONE) {
        account_headers(r, NULL, headers, n);
        return;
    }
    struct slice model = image_text(p, image_model(p, r->model)->name);
    headers[(*n)++] = (struct http_header){SLICE("x-merit-model"), model};
    headers[(*n)++] = (struct http_header){SLICE("x-selected-model"), model};
    account_headers(r, usage, headers, n);
}

void request_refuse(struct request *r, const struct api_error *e, enum metrics_end end)
{
    struct http_header headers[PATH_HEADERS_MAX];
    size_t n = 0;
    request_headers(r, NULL, headers, &n);
    request_end(r, end, NULL, e->status);
    answer_error(r->x, &openai_chat, e, headers, n);
}

// What could serve it refuses Merit's key: the same as a request is told that finds it out.
const struct api_error request_error_denied = {
    .status = 502,
    .type = "upstream_error",
    .code = "upstream_auth",
    .message = {DENIED, sizeof DENIED - 1},
    .final = true,
};

// No model could serve it. What an agent does next hangs on the status: a window that is too small makes it compact,
// an overload makes it wait, anything else makes it stop.
void request_infeasible(struct request *r)
{
    const struct decision *d = r->decision;
    const struct pool_loop *l = &r->epoch->pool;
    uint64_t now = loop_now_us(r->g->loop);
    bool down = false, window = false, output = false, missing_key = false, denied = true;
    uint32_t back_s = UINT32_MAX;
    for (uint32_t i = 0; i < d->image->models.count; i++) {
        enum model_verdict v = d->model_outcomes[i].verdict;
        if (v == MODEL_DOWN) {
            uint32_t s = pool_retry_after_s(l, (int32_t)i, now);
            down = true;
            back_s = s < back_s ? s : back_s;
            denied &= pool_is_denied(l, (int32_t)i, now);
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
    if (account_spent(r, &e)) {
        // Asking for less may help, or waiting until it renews.
    } else if (policy) {
        // Waiting or asking for less does not help.
    } else if (down) {
        e.status = 503;
        e.type = "server_error";
        e.code = "model_unavailable";
        e.final = false;
        e.retry_after_s = back_s;
        if (denied) {
            e = request_error_denied;
            e.retry_after_s = back_s;
        }
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
    request_refuse(r, &e, METRICS_INFEASIBLE);
    buf_deinit(&why);
}

void request_no_model(struct request *r)
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
    request_refuse(r,
                   &(struct api_error){.status = 404,
                                       .type = "invalid_request_error",
                                       .code = "model_not_found",
                                       .param = "model",
                                       .message = buf_slice(&b),
                                       .final = true},
                   METRICS_INFEASIBLE);
}
