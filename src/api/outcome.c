// What became of a request: metrics, logs, the ring's outcome.

#include "api/request.h"

static void count(struct request *r, enum metrics_end end, const struct path_result *result)
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
}

#define KEY(out, key) BUF_LIT(out, ",\"" key "\":")

#define ADD_STRING(out, key, value)                                                                \
    do {                                                                                           \
        KEY(out, key);                                                                             \
        json_write_string(out, value);                                                             \
    } while (0)

#define ADD_NUMBER(out, key, value)                                                                \
    do {                                                                                           \
        KEY(out, key);                                                                             \
        buf_u64(out, value);                                                                       \
    } while (0)

// Sums over all attempts, as they were settled.
static void write_account(const struct account *a, struct buf *out)
{
    ADD_NUMBER(out, "input_tok", a->input_tok);
    ADD_NUMBER(out, "output_tok", a->output_tok);
    if (a->cached_tok)
        ADD_NUMBER(out, "cached_tok", a->cached_tok);
    if (a->estimated)
        BUF_LIT(out, ",\"usage_estimated\":true");
    const struct account_sum *s = &a->settled;
    if (s->cost_nusd >= 0)
        ADD_NUMBER(out, "cost_nusd", (uint64_t)s->cost_nusd);
    if (s->energy_uj >= 0)
        ADD_NUMBER(out, "energy_uj", (uint64_t)s->energy_uj);
    if (s->carbon_ug >= 0)
        ADD_NUMBER(out, "carbon_ug", (uint64_t)s->carbon_ug);
    if (s->baseline_nusd >= 0)
        ADD_NUMBER(out, "baseline_nusd", (uint64_t)s->baseline_nusd);
    for (int i = 1; i < ACCOUNT_LIES; i++)
        if (a->lies >> i & 1)
            ADD_STRING(out, "usage_wrong", slice_cstr(account_lie_names[i]));
}

// What came of it: the tail of the access log's line, and the ring's outcome. Begins without a brace.
static void write_outcome(const struct request *r, enum metrics_end end,
                          const struct path_result *result, int status, struct buf *out)
{
    uint64_t now = loop_now_us(r->g->loop);
    BUF_LIT(out, "\"end\":\"");
    buf_cstr(out, metrics_end_names[end]);
    BUF_LIT(out, "\",\"status\":");
    buf_u64(out, (uint64_t)status);
    ADD_NUMBER(out, "us", now - r->x->begin_us);
    if (!result) {
        if (r->account.attempts)
            write_account(&r->account, out);
        return;
    }
    if (result->first_byte_us)
        ADD_NUMBER(out, "first_byte_us", result->first_byte_us - r->x->begin_us);
    ADD_NUMBER(out, "attempts", result->attempts);
    write_account(&r->account, out);
    if (r->place != IMAGE_NONE)
        ADD_STRING(out, "endpoint", r->place_url);
    if (result->reason[0])
        ADD_STRING(out, "reason", slice_cstr(result->reason));
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
        ADD_STRING(out, "id", slice_cstr(r->decision->id));
    if (r->key)
        ADD_STRING(out, "key", r->key->id);
    ADD_STRING(out, "path", r->x->head->path);
    if (r->decision && r->decision->route != IMAGE_NONE)
        ADD_STRING(out, "route",
                   image_text(r->epoch->serving->image,
                              image_route(r->epoch->serving->image, r->decision->route)->name));
    if (r->model != IMAGE_NONE)
        ADD_STRING(out, "model", r->epoch->serving->pool.models[r->model].name);
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
    metric_add(&g->metrics->in_flight, (uint64_t)-1);
    count(r, end, result);
    bool kept =
        r->slot && r->decision && memcmp(r->slot->id, r->decision->id, DECISION_ID_LEN) == 0;
    if (!g->access_log && !kept)
        return;
    char room[RING_OUTCOME_MAX];
    struct buf outcome = {.ptr = room, .room = sizeof room, .cap = sizeof room};
    write_outcome(r, end, result, status, &outcome);
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
