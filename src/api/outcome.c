// What became of a request: metrics, logs, the ring's outcome.

#include "api/request.h"
#include "route/estimate.h"

static const struct image_model *model_of(const struct request *r)
{
    return r->model == IMAGE_NONE ? NULL : image_model(r->epoch->serving->image, r->model);
}

int64_t request_cost_nusd(const struct request *r, const struct usage *u)
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
    if (r->place != IMAGE_NONE)
        add_string(out, "endpoint", r->place_url);
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
    int64_t cost = result ? request_cost_nusd(r, &result->usage) : -1;
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
