// Answers of the simulated pool that no model gives.
#include "sim/respond.h"

#include "sim/wire.h"

struct http_header sim_header(const char *name, struct slice value)
{
    return (struct http_header){slice_cstr(name), value};
}

void sim_respond_json(struct http_exchange *x, int status, struct slice body)
{
    struct http_header h = sim_header("content-type", SLICE("application/json"));
    http_respond(x, status, &h, 1, body);
}

void sim_respond_error(struct http_exchange *x, const struct sim_error *e)
{
    struct buf body;
    buf_init(&body, 64 * 1024);
    sim_wire_error(e, &body);
    sim_respond_json(x, e->status, buf_slice(&body));
    buf_deinit(&body);
}

void sim_respond_refusal(struct http_exchange *x, int status, const char *code,
                         struct slice message)
{
    struct sim_error e = {
        .status = status, .type = "invalid_request_error", .code = code, .message = message};
    sim_respond_error(x, &e);
}

void sim_respond_nomem(struct http_exchange *x)
{
    struct sim_error e = {.status = 500,
                          .type = "server_error",
                          .code = "nomem",
                          .message = SLICE("The demo pool has no memory left.")};
    sim_respond_error(x, &e);
}

static void adapter_change(struct live *l, struct http_exchange *x, bool load)
{
    struct json j;
    struct slice name = SLICE_EMPTY;
    uint32_t token = JSON_NONE;
    if (!json_parse(&j, x->body, &json_limits_default, x->arena) && json_type(&j, 0) == JSON_OBJECT)
        token = json_get(&j, 0, SLICE("lora_name"), NULL);
    if (token != JSON_NONE && json_type(&j, token) == JSON_STRING)
        name = json_string(&j, token, x->arena);
    if (!name.len) {
        sim_respond_refusal(x, 400, "invalid_request", SLICE("'lora_name' must be a string."));
        return;
    }
    enum result r = load ? live_adapter_add(l, name) : live_adapter_remove(l, name);
    if (r == RESULT_EXISTS)
        sim_respond_refusal(x, 400, "adapter_loaded", SLICE("This adapter is loaded already."));
    else if (r == RESULT_NOT_FOUND)
        sim_respond_refusal(x, 404, "adapter_not_found", SLICE("There is no such adapter."));
    else if (r)
        sim_respond_refusal(x, 400, "adapter_limit", SLICE("There is no room for this adapter."));
    else
        http_respond(x, 200, &(struct http_header){SLICE("content-type"), SLICE("text/plain")}, 1,
                     load ? SLICE("Success: the adapter was added.")
                          : SLICE("Success: the adapter was removed."));
}

static void restart(struct live *l, struct http_exchange *x)
{
    struct json j;
    uint64_t down_ms = 0;
    if (!json_parse(&j, x->body, &json_limits_default, x->arena) && json_type(&j, 0) == JSON_OBJECT)
        (void)json_u64(&j, json_get(&j, 0, SLICE("down_ms"), NULL), &down_ms);
    sim_respond_json(x, 200, SLICE("{}"));
    live_restart(l, down_ms > 3600000 ? 3600000 : (uint32_t)down_ms);
}

bool sim_engine_request(struct live *l, struct http_exchange *x, bool get)
{
    struct slice path = x->head->path;
    struct buf body;
    if (get && slice_eq_cstr(path, "/metrics")) {
        struct http_header h =
            sim_header("content-type", SLICE("text/plain; version=0.0.4; charset=utf-8"));
        buf_init(&body, 4 << 20);
        live_metrics(l, &body);
        http_respond(x, 200, &h, 1, buf_slice(&body));
        buf_deinit(&body);
    } else if (get && slice_eq_cstr(path, "/sim/state")) {
        buf_init(&body, 64 * 1024);
        live_state(l, &body);
        sim_respond_json(x, 200, buf_slice(&body));
        buf_deinit(&body);
    } else if (x->head->method == HTTP_POST && slice_eq_cstr(path, "/v1/load_lora_adapter")) {
        adapter_change(l, x, true);
    } else if (x->head->method == HTTP_POST && slice_eq_cstr(path, "/v1/unload_lora_adapter")) {
        adapter_change(l, x, false);
    } else if (x->head->method == HTTP_POST && slice_eq_cstr(path, "/sim/restart")) {
        restart(l, x);
    } else {
        return false;
    }
    return true;
}
