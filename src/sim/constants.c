#include "sim/constants.h"

#include <stdio.h>

#include "base/arena.h"
#include "text/json.h"

enum kind { REAL, COUNT, SWITCH };

static const struct {
    const char *name;
    enum kind kind;
    size_t at;
} fields[] = {
#define FIELD(name, kind)                                                                          \
    {                                                                                              \
#name, kind, offsetof(struct engine_profile, name)                                         \
    }
    FIELD(overhead_us, REAL),    FIELD(weights_us, REAL),   FIELD(token_us, REAL),
    FIELD(context_ns, REAL),     FIELD(pair_ns, REAL),      FIELD(first_us, REAL),
    FIELD(jitter, REAL),         FIELD(first_jitter, REAL), FIELD(load_factor, REAL),
    FIELD(block_tok, COUNT),     FIELD(blocks, COUNT),      FIELD(max_seqs, COUNT),
    FIELD(chunk_tok, COUNT),     FIELD(max_len_tok, COUNT), FIELD(queue_max, COUNT),
    FIELD(prefix_cache, SWITCH), FIELD(max_lora, COUNT),    FIELD(lora_load_us, REAL),
    FIELD(idle_w, REAL),         FIELD(nominal_w, REAL),    FIELD(steep, REAL),
    FIELD(middle, REAL),         FIELD(restart_us, REAL),
#undef FIELD
};

struct reader {
    struct json j;
    struct constants *c;
    char *diag;
};

static enum result wrong(struct reader *r, enum result why, const char *what, struct slice name)
{
    snprintf(r->diag, CONSTANTS_DIAG_BYTES, "%s: \"%.*s\"", what,
             SLICE_FMT(slice_head(name, name.len < 60 ? name.len : 60)));
    return why;
}

static enum result read_field(struct reader *r, struct engine_profile *p, struct slice name,
                              uint32_t token)
{
    double v = 0;
    if (json_type(&r->j, token) == JSON_OBJECT) {
        token = json_get(&r->j, token, SLICE("value"), NULL);
        if (token == JSON_NONE)
            return wrong(r, RESULT_SYNTAX, "a constant without a value", name);
    }
    for (size_t i = 0; i < MERIT_COUNT(fields); i++) {
        char *at = (char *)p + fields[i].at;
        if (!slice_eq_cstr(name, fields[i].name))
            continue;
        if (fields[i].kind == SWITCH) {
            bool on = json_bool(&r->j, token, true);
            memcpy(at, &on, sizeof on);
            return RESULT_OK;
        }
        if (json_double(&r->j, token, &v) ||
            (fields[i].kind == COUNT && !(v >= 0 && v <= UINT32_MAX)))
            return wrong(r, RESULT_RANGE, "a constant must be a number", name);
        uint32_t n = fields[i].kind == COUNT ? (uint32_t)v : 0;
        if (fields[i].kind == COUNT)
            memcpy(at, &n, sizeof n);
        else
            memcpy(at, &v, sizeof v);
        return RESULT_OK;
    }
    return wrong(r, RESULT_SYNTAX, "no such constant", name);
}

const struct engine_profile *constants_profile(const struct constants *c, struct slice name)
{
    for (uint32_t i = 0; i < c->profile_count; i++) {
        if (slice_eq_cstr(name, c->profiles[i].name))
            return c->profiles + i;
    }
    return NULL;
}

static enum result read_profile(struct reader *r, struct slice name, uint32_t object)
{
    struct constants *c = r->c;
    uint32_t at = 0, key, value;
    if (json_type(&r->j, object) != JSON_OBJECT)
        return wrong(r, RESULT_SYNTAX, "a profile must be an object", name);
    if (c->profile_count == CONSTANTS_PROFILES_MAX)
        return wrong(r, RESULT_LIMIT, "too many profiles at", name);
    if (!name.len || name.len >= ENGINE_NAME_BYTES || constants_profile(c, name))
        return wrong(r, RESULT_SYNTAX, "a profile's name is empty, too long or stands twice", name);
    struct engine_profile p = engine_profile_default;
    uint32_t like = json_get(&r->j, object, SLICE("like"), NULL);
    if (like != JSON_NONE) {
        const struct engine_profile *other = constants_profile(c, json_raw(&r->j, like));
        if (!other)
            return wrong(r, RESULT_SYNTAX, "no such profile before it", json_raw(&r->j, like));
        p = *other;
    }
    memset(p.name, 0, sizeof p.name);
    memcpy(p.name, name.ptr, name.len);
    while (json_member(&r->j, object, &at, &key, &value)) {
        struct slice field = json_raw(&r->j, key);
        if (slice_eq_cstr(field, "like") || slice_eq_cstr(field, "about"))
            continue;
        enum result res = read_field(r, &p, field, value);
        if (res)
            return res;
    }
    c->profiles[c->profile_count++] = p;
    return RESULT_OK;
}

static enum result read_fleet(struct reader *r, uint32_t array)
{
    uint32_t at = 0, item;
    while (json_element(&r->j, array, &at, &item)) {
        uint32_t name = JSON_NONE, count = JSON_NONE;
        uint64_t n = 0;
        if (json_type(&r->j, item) == JSON_OBJECT) {
            name = json_get(&r->j, item, SLICE("profile"), NULL);
            count = json_get(&r->j, item, SLICE("replicas"), NULL);
        }
        if (name == JSON_NONE || json_u64(&r->j, count, &n))
            return wrong(r, RESULT_SYNTAX, "a part of the fleet needs \"profile\" and \"replicas\"",
                         json_raw(&r->j, item));
        const struct engine_profile *p = constants_profile(r->c, json_raw(&r->j, name));
        if (!p)
            return wrong(r, RESULT_SYNTAX, "no such profile", json_raw(&r->j, name));
        if (n > CONSTANTS_REPLICAS_MAX - r->c->replicas)
            return wrong(r, RESULT_LIMIT, "too many replicas at", json_raw(&r->j, name));
        while (n--)
            r->c->fleet[r->c->replicas++] = (uint32_t)(p - r->c->profiles);
    }
    return RESULT_OK;
}

static enum result read_all(struct reader *r)
{
    if (json_type(&r->j, 0) != JSON_OBJECT)
        return wrong(r, RESULT_SYNTAX, "the file is no object", SLICE(""));
    uint32_t profiles = json_get(&r->j, 0, SLICE("profiles"), NULL);
    uint32_t fleet = json_get(&r->j, 0, SLICE("fleet"), NULL), at = 0, key, value;
    if (profiles == JSON_NONE || json_type(&r->j, profiles) != JSON_OBJECT)
        return wrong(r, RESULT_SYNTAX, "the file has no object", SLICE("profiles"));
    while (json_member(&r->j, profiles, &at, &key, &value)) {
        enum result res = read_profile(r, json_raw(&r->j, key), value);
        if (res)
            return res;
    }
    if (fleet == JSON_NONE)
        return RESULT_OK;
    if (json_type(&r->j, fleet) != JSON_ARRAY)
        return wrong(r, RESULT_SYNTAX, "this must be an array", SLICE("fleet"));
    return read_fleet(r, fleet);
}

enum result constants_read(struct slice text, struct constants *out,
                           char diag[CONSTANTS_DIAG_BYTES])
{
    struct arena arena;
    struct reader r = {.c = out, .diag = diag};
    *out = (struct constants){0};
    *diag = 0;
    arena_init(&arena, 0, 64 << 20);
    enum result res = json_parse(&r.j, text, &json_limits_default, &arena);
    if (res == RESULT_NOMEM)
        snprintf(diag, CONSTANTS_DIAG_BYTES, "no memory");
    else if (res)
        snprintf(diag, CONSTANTS_DIAG_BYTES, "no JSON at byte %u", r.j.error_at);
    else
        res = read_all(&r);
    arena_deinit(&arena);
    return res;
}
