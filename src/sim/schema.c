#include "sim/script.h"

struct schema_writer {
    const struct json *json;
    uint32_t root;
    struct slice hint;
    struct buf *out;
    uint32_t budget; // values left to write: a schema that names itself grows fast
};

static uint32_t member(const struct schema_writer *w, uint32_t schema, const char *key)
{
    return json_get(w->json, schema, slice_cstr(key), NULL);
}

static uint32_t first_element(const struct schema_writer *w, uint32_t array)
{
    uint32_t at = 0, value;
    if (array == JSON_NONE || json_type(w->json, array) != JSON_ARRAY ||
        !json_element(w->json, array, &at, &value))
        return JSON_NONE;
    return value;
}

// "#/$defs/Name" and "#/definitions/Name".
static uint32_t resolve(const struct schema_writer *w, struct slice ref)
{
    uint32_t at = w->root;
    struct slice step;
    if (!slice_starts_with(ref, SLICE("#/")))
        return JSON_NONE;
    ref = slice_from(ref, 2);
    while (at != JSON_NONE && slice_split(&ref, '/', &step))
        at = json_type(w->json, at) == JSON_OBJECT ? json_get(w->json, at, step, NULL) : JSON_NONE;
    return at;
}

static void value(struct schema_writer *w, uint32_t schema, unsigned depth);

static void object(struct schema_writer *w, uint32_t schema, unsigned depth)
{
    uint32_t properties = member(w, schema, "properties"), at = 0, key, child;
    bool first = true;
    buf_byte(w->out, '{');
    while (properties != JSON_NONE && json_type(w->json, properties) == JSON_OBJECT &&
           json_member(w->json, properties, &at, &key, &child)) {
        if (!first)
            BUF_LIT(w->out, ", ");
        first = false;
        buf_byte(w->out, '"');
        buf_add(w->out, json_raw(w->json, key));
        BUF_LIT(w->out, "\": ");
        value(w, child, depth + 1);
    }
    buf_byte(w->out, '}');
}

static void number(struct schema_writer *w, uint32_t schema)
{
    uint32_t least = member(w, schema, "minimum");
    if (least != JSON_NONE && json_type(w->json, least) == JSON_NUMBER)
        buf_add(w->out, json_raw(w->json, least));
    else
        buf_byte(w->out, '1');
}

static struct slice type_of(const struct schema_writer *w, uint32_t schema)
{
    uint32_t type = member(w, schema, "type");
    if (type != JSON_NONE && json_type(w->json, type) == JSON_ARRAY)
        type = first_element(w, type);
    if (type != JSON_NONE && json_type(w->json, type) == JSON_STRING)
        return json_raw(w->json, type);
    return member(w, schema, "properties") == JSON_NONE ? SLICE("string") : SLICE("object");
}

static void value(struct schema_writer *w, uint32_t schema, unsigned depth)
{
    if (depth > SIM_DEPTH_MAX || !w->budget || json_type(w->json, schema) != JSON_OBJECT) {
        BUF_LIT(w->out, "null");
        return;
    }
    w->budget--;
    uint32_t fixed = member(w, schema, "const");
    if (fixed == JSON_NONE)
        fixed = first_element(w, member(w, schema, "enum"));
    if (fixed != JSON_NONE) {
        bool quoted = json_type(w->json, fixed) == JSON_STRING;
        if (quoted)
            buf_byte(w->out, '"');
        buf_add(w->out, json_raw(w->json, fixed));
        if (quoted)
            buf_byte(w->out, '"');
        return;
    }
    static const char *const wrappers[] = {"anyOf", "oneOf", "allOf"};
    uint32_t inner = JSON_NONE, ref = member(w, schema, "$ref");
    if (ref != JSON_NONE && json_type(w->json, ref) == JSON_STRING)
        inner = resolve(w, json_raw(w->json, ref));
    for (size_t i = 0; inner == JSON_NONE && i < MERIT_COUNT(wrappers); i++)
        inner = first_element(w, member(w, schema, wrappers[i]));
    if (inner != JSON_NONE) {
        value(w, inner, depth + 1);
        return;
    }
    struct slice type = type_of(w, schema);
    uint32_t items = member(w, schema, "items");
    if (slice_eq_cstr(type, "object")) {
        object(w, schema, depth);
    } else if (slice_eq_cstr(type, "array")) {
        buf_byte(w->out, '[');
        if (items != JSON_NONE)
            value(w, items, depth + 1);
        buf_byte(w->out, ']');
    } else if (slice_eq_cstr(type, "integer") || slice_eq_cstr(type, "number")) {
        number(w, schema);
    } else if (slice_eq_cstr(type, "boolean")) {
        BUF_LIT(w->out, "true");
    } else if (slice_eq_cstr(type, "null")) {
        BUF_LIT(w->out, "null");
    } else {
        json_write_string(w->out, w->hint);
    }
}

void sim_schema_write(const struct json *j, uint32_t schema, struct slice hint, struct buf *out)
{
    enum { VALUES_MAX = 1000 };
    struct schema_writer w = {
        .json = j, .root = schema, .hint = hint, .out = out, .budget = VALUES_MAX};
    value(&w, schema, 0);
}
