#include "cli/seen.h"

#include "base/compiler.h"
#include "text/json.h"

struct reader {
    struct json json;
    struct arena *arena;
    const struct policy_image *image;
    struct buf *why;
};

static enum result refuse(struct reader *r, enum result code, const char *what, uint32_t place)
{
    buf_printf(r->why, "place %u: %s", place, what);
    return code;
}

static uint32_t member(const struct reader *r, uint32_t object, const char *key)
{
    uint32_t t = json_get(&r->json, object, slice_cstr(key), NULL);
    return t != JSON_NONE && json_type(&r->json, t) == JSON_NULL ? JSON_NONE : t;
}

// Not known where it is absent or null.
static float amount(const struct reader *r, uint32_t object, const char *key)
{
    double v = -1;
    uint32_t t = member(r, object, key);
    if (t == JSON_NONE || json_double(&r->json, t, &v) || !(v >= 0 && v < 1e15))
        return -1;
    return (float)v;
}

static uint64_t count(const struct reader *r, uint32_t object, const char *key, uint64_t most)
{
    uint64_t v = 0;
    uint32_t t = member(r, object, key);
    if (t == JSON_NONE || json_u64(&r->json, t, &v))
        return 0;
    return v < most ? v : most;
}

static bool is_true(const struct reader *r, uint32_t object, const char *key)
{
    uint32_t t = member(r, object, key);
    return t != JSON_NONE && json_type(&r->json, t) == JSON_TRUE;
}

static struct slice text(const struct reader *r, uint32_t object, const char *key)
{
    uint32_t t = member(r, object, key);
    if (t == JSON_NONE || json_type(&r->json, t) != JSON_STRING)
        return SLICE_EMPTY;
    return json_string(&r->json, t, r->arena);
}

static int32_t endpoint_of(const struct reader *r, int32_t model, struct slice url)
{
    const struct policy_image *p = r->image;
    const struct image_endpoint *e = IMAGE_AT(p, p->endpoints, struct image_endpoint);
    int32_t first = IMAGE_NONE;
    for (uint32_t i = 0; i < p->endpoints.count; i++) {
        if (e[i].model != model)
            continue;
        if (slice_eq(image_text(p, e[i].url), url))
            return (int32_t)i;
        first = first == IMAGE_NONE ? (int32_t)i : first;
    }
    return first;
}

static enum result read_place(struct reader *r, uint32_t object, uint32_t at,
                              struct pool_place *row)
{
    static const char *const states[] = {"up",       "trying", "out",    "limited",
                                         "draining", "gone",   "standby"};
    if (json_type(&r->json, object) != JSON_OBJECT)
        return refuse(r, RESULT_TYPE, "not an object", at);
    int32_t model = image_find_model(r->image, text(r, object, "model"));
    if (model == IMAGE_NONE)
        return refuse(r, RESULT_NOT_FOUND, "\"model\" names no model of the policy", at);
    struct slice state = text(r, object, "state"), adapter = text(r, object, "adapter");
    *row = (struct pool_place){
        .endpoint = endpoint_of(r, model, text(r, object, "endpoint")),
        .model = model,
        .stale = is_true(r, object, "stale"),
        .lora_loaded = slice_eq(adapter, SLICE("loaded")),
        .lora_room = slice_eq(adapter, SLICE("room")),
        .in_flight = (uint32_t)count(r, object, "in_flight", UINT32_MAX),
        .in_flight_tok = (uint32_t)count(r, object, "in_flight_tok", UINT32_MAX),
        .wait_tok = (uint32_t)count(r, object, "wait_tok", UINT32_MAX),
        .slots = (uint32_t)count(r, object, "slots", UINT32_MAX),
        .queue = amount(r, object, "queue"),
        .running = amount(r, object, "running"),
        .kv_use = amount(r, object, "kv_use"),
        .kv_tok = (uint32_t)count(r, object, "kv_tok", UINT32_MAX),
        .prefill_tok_s = amount(r, object, "prefill_tok_s"),
        .first_ms = amount(r, object, "first_ms"),
        .each_ms = amount(r, object, "each_ms"),
        .carbon_g_kwh = amount(r, object, "carbon_g_kwh"),
        .prefix_tok = (uint32_t)count(r, object, "prefix_tok", UINT32_MAX),
        .weight = amount(r, object, "weight"),
        .slot_nusd_s = amount(r, object, "slot_nusd_s"),
        .drain_tok_s = amount(r, object, "drain_tok_s"),
    };
    for (unsigned i = 0; i < MERIT_COUNT(states); i++)
        if (slice_eq_cstr(state, states[i])) {
            row->state = (uint8_t)i;
            return RESULT_OK;
        }
    return state.len ? refuse(r, RESULT_SYNTAX, "no such state", at) : RESULT_OK;
}

static enum result read_places(struct reader *r, uint32_t array, struct pool_view *out)
{
    uint32_t models = r->image->models.count, at = 0, token, n = 0;
    struct pool_place *rows = ARENA_ARRAY(r->arena, struct pool_place, POOL_PLACES_MAX);
    uint32_t *first = ARENA_ARRAY(r->arena, uint32_t, models + 1);
    uint32_t *end = ARENA_ARRAY(r->arena, uint32_t, models + 1);
    if (!rows || !first || !end)
        return RESULT_NOMEM;
    while (json_element(&r->json, array, &at, &token)) {
        if (n == POOL_PLACES_MAX)
            return refuse(r, RESULT_LIMIT, "there are too many", n);
        enum result res = read_place(r, token, n, &rows[n]);
        if (res)
            return res;
        int32_t m = rows[n].model;
        if (end[m] && end[m] != n)
            return refuse(r, RESULT_SYNTAX, "the places of a model stand together", n);
        first[m] = end[m] ? first[m] : n;
        end[m] = ++n;
        if (end[m] - first[m] > POOL_PLACES_PER_MODEL_MAX)
            return refuse(r, RESULT_LIMIT, "there are too many of the model", n - 1);
    }
    out->places = rows;
    out->first = first;
    out->end = end;
    return RESULT_OK;
}

enum result seen_parse(const struct policy_image *image, struct slice json, struct arena *arena,
                       struct pool_view *out, struct buf *why)
{
    struct reader r = {.arena = arena, .image = image, .why = why};
    enum result res = json_parse(&r.json, json, &json_limits_default, arena);
    if (res || json_type(&r.json, 0) != JSON_OBJECT) {
        buf_cstr(why, "not a JSON object");
        return res ? res : RESULT_TYPE;
    }
    uint32_t places = member(&r, 0, "places"), session = member(&r, 0, "session");
    out->session_place = out->session_model = IMAGE_NONE;
    out->count = image->models.count;
    if (places == JSON_NONE || json_type(&r.json, places) != JSON_ARRAY) {
        buf_cstr(why, "it has no array \"places\"");
        return RESULT_TYPE;
    }
    res = read_places(&r, places, out);
    if (res)
        return res;
    if (session != JSON_NONE && json_type(&r.json, session) == JSON_OBJECT) {
        uint64_t place = POOL_PLACES_MAX;
        uint32_t t = member(&r, session, "place");
        if (t != JSON_NONE && !json_u64(&r.json, t, &place) && place < POOL_PLACES_MAX)
            out->session_place = (int32_t)place;
        out->session_model = image_find_model(image, text(&r, session, "model"));
        out->session_locked = is_true(&r, session, "locked");
        out->session_tok = (uint32_t)count(&r, session, "tok", UINT32_MAX);
    }
    out->deadline_ms = (uint32_t)count(&r, 0, "first_deadline_ms", UINT32_MAX);
    out->region = text(&r, 0, "region");
    out->seed = count(&r, 0, "seed", UINT64_MAX);
    out->turn = count(&r, 0, "turn", UINT64_MAX);
    return RESULT_OK;
}
