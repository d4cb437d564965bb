#include "text/token_open.h"

uint32_t token_member(const struct json *j, uint32_t object, struct slice key)
{
    if (object == JSON_NONE || json_type(j, object) != JSON_OBJECT)
        return JSON_NONE;
    uint32_t value = json_get(j, object, key, NULL);
    return value == JSON_NONE || json_type(j, value) == JSON_NULL ? JSON_NONE : value;
}

enum result token_text(const struct json *j, uint32_t node, struct arena *arena, struct slice *out)
{
    struct slice raw = json_raw(j, node), s = json_string(j, node, arena);
    if (raw.len && !s.ptr)
        return RESULT_NOMEM;
    *out = arena_copy(arena, s);
    return out->ptr ? RESULT_OK : RESULT_NOMEM;
}

enum result token_string(const struct json *j, uint32_t object, struct slice key,
                         struct arena *arena, char *problem, bool *found, struct slice *out)
{
    uint32_t value = token_member(j, object, key);
    *out = SLICE_EMPTY;
    if (found)
        *found = value != JSON_NONE;
    if (value == JSON_NONE && found)
        return RESULT_OK;
    if (value == JSON_NONE || json_type(j, value) != JSON_STRING)
        return token_problem(problem, RESULT_SYNTAX, "\"%.*s\" is no string", SLICE_FMT(key));
    return token_text(j, value, arena, out);
}

enum result token_bool(const struct json *j, uint32_t object, struct slice key, bool otherwise,
                       char *problem, bool *out)
{
    uint32_t value = token_member(j, object, key);
    *out = otherwise;
    if (value == JSON_NONE)
        return RESULT_OK;
    if (json_type(j, value) != JSON_TRUE && json_type(j, value) != JSON_FALSE)
        return token_problem(problem, RESULT_SYNTAX, "\"%.*s\" is neither true nor false",
                             SLICE_FMT(key));
    *out = json_type(j, value) == JSON_TRUE;
    return RESULT_OK;
}

struct slice token_type(const struct json *j, uint32_t object)
{
    uint32_t value = token_member(j, object, SLICE("type"));
    return value == JSON_NONE || json_type(j, value) != JSON_STRING ? SLICE_EMPTY
                                                                    : json_raw(j, value);
}
