// Reading a chat completion request.
#include "base/hash.h"
#include "sim/script.h"

static enum result refuse(struct sim_error *e, int status, const char *code, const char *param,
                          struct slice message)
{
    *e = (struct sim_error){.status = status,
                            .type = "invalid_request_error",
                            .code = code,
                            .param = param,
                            .message = message};
    return RESULT_SYNTAX;
}

static struct slice string_of(const struct json *j, uint32_t token, struct arena *arena)
{
    if (token == JSON_NONE || json_type(j, token) != JSON_STRING)
        return SLICE_EMPTY;
    return json_string(j, token, arena);
}

struct slice sim_content(const struct json *j, uint32_t message, struct arena *arena)
{
    uint32_t content = json_get(j, message, SLICE("content"), NULL), at = 0, part;
    if (content == JSON_NONE || json_type(j, content) != JSON_ARRAY)
        return string_of(j, content, arena);
    struct slice all = SLICE("");
    while (json_element(j, content, &at, &part)) {
        if (json_type(j, part) != JSON_OBJECT)
            continue;
        struct slice text = string_of(j, json_get(j, part, SLICE("text"), NULL), arena);
        if (text.len)
            all =
                all.len ? arena_printf(arena, "%.*s\n%.*s", SLICE_FMT(all), SLICE_FMT(text)) : text;
    }
    return all;
}

static void find_directive(struct sim_request *r)
{
    ptrdiff_t at = slice_find(r->user, SLICE("[[sim:"));
    if (at < 0)
        return;
    struct slice rest = slice_from(r->user, (size_t)at + 6);
    ptrdiff_t end = slice_find(rest, SLICE("]]"));
    if (end >= 0)
        r->directive = slice_head(rest, (size_t)end);
}

static enum result read_messages(struct sim_request *r, struct arena *arena,
                                 struct sim_error *error)
{
    const struct json *j = &r->json;
    uint32_t messages = json_get(j, 0, SLICE("messages"), NULL), at = 0, message;
    if (messages == JSON_NONE || json_type(j, messages) != JSON_ARRAY ||
        json_raw(j, messages).len <= 2)
        return refuse(error, 400, NULL, "messages",
                      SLICE("'messages' must be an array with at least one message."));
    while (json_element(j, messages, &at, &message)) {
        if (json_type(j, message) != JSON_OBJECT)
            return refuse(error, 400, NULL, "messages",
                          SLICE("Each of 'messages' must be an object."));
        struct slice role = string_of(j, json_get(j, message, SLICE("role"), NULL), arena);
        struct slice text = sim_content(j, message, arena);
        // Four bytes a token and four tokens a message; grade guessed, 2026-11.
        r->prompt_tok += (uint32_t)(text.len + 3) / 4 + 4;
        r->tool_text = SLICE_EMPTY;
        if (slice_eq_cstr(role, "user"))
            r->user = text;
        else if (slice_eq_cstr(role, "tool"))
            r->tool_text = text.len ? text : SLICE("nothing");
        else if (!role.len)
            return refuse(error, 400, NULL, "messages",
                          SLICE("Each of 'messages' needs a 'role'."));
    }
    find_directive(r);
    return RESULT_OK;
}

static bool is_letter(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           (unsigned char)c >= 0x80;
}

static bool same_letter(char a, char b)
{
    bool gap = (a == ' ' || a == '-' || a == '_') && (b == ' ' || b == '-' || b == '_');
    return gap || slice_ieq(slice_make(&a, 1), slice_make(&b, 1));
}

// Whole words, in any case; "get weather" is get_weather.
static bool contains_word(struct slice text, struct slice word)
{
    for (size_t i = 0; word.len && i + word.len <= text.len; i++) {
        size_t n = 0, end = i + word.len;
        while (n < word.len && same_letter(text.ptr[i + n], word.ptr[n]))
            n++;
        if (n == word.len && (!i || !is_letter(text.ptr[i - 1])) &&
            (end == text.len || !is_letter(text.ptr[end])))
            return true;
    }
    return false;
}

// A tool is called when tool_choice forces one, or when the last user text names it or speaks of tools; but not when
// its result is what came last.
static void read_tools(struct sim_request *r, struct arena *arena)
{
    const struct json *j = &r->json;
    uint32_t tools = json_get(j, 0, SLICE("tools"), NULL), at = 0, tool;
    uint32_t choice = json_get(j, 0, SLICE("tool_choice"), NULL);
    if (tools == JSON_NONE || json_type(j, tools) != JSON_ARRAY)
        return;
    r->prompt_tok += (uint32_t)(json_raw(j, tools).len + 3) / 4;
    struct slice mode = string_of(j, choice, arena), forced = SLICE_EMPTY;
    if (choice != JSON_NONE && json_type(j, choice) == JSON_OBJECT) {
        uint32_t function = json_get(j, choice, SLICE("function"), NULL);
        if (function != JSON_NONE && json_type(j, function) == JSON_OBJECT)
            forced = string_of(j, json_get(j, function, SLICE("name"), NULL), arena);
    }
    bool any = slice_eq_cstr(mode, "required") ||
               (!r->tool_text.ptr && contains_word(r->user, SLICE("tool")));
    if (slice_eq_cstr(mode, "none"))
        return;
    while (json_element(j, tools, &at, &tool)) {
        uint32_t function = json_type(j, tool) == JSON_OBJECT
                                ? json_get(j, tool, SLICE("function"), NULL)
                                : JSON_NONE;
        if (function == JSON_NONE || json_type(j, function) != JSON_OBJECT)
            continue;
        struct slice name = string_of(j, json_get(j, function, SLICE("name"), NULL), arena);
        bool named =
            forced.len ? slice_eq(name, forced) : !r->tool_text.ptr && contains_word(r->user, name);
        if (!name.len || !(named || (any && !forced.len && !r->tool.ptr)))
            continue;
        r->tool = name;
        r->tool_schema = json_get(j, function, SLICE("parameters"), NULL);
        if (named)
            return;
    }
}

static void read_format(struct sim_request *r, struct arena *arena)
{
    const struct json *j = &r->json;
    uint32_t format = json_get(j, 0, SLICE("response_format"), NULL);
    if (format == JSON_NONE || json_type(j, format) != JSON_OBJECT)
        return;
    struct slice type = string_of(j, json_get(j, format, SLICE("type"), NULL), arena);
    uint32_t holder = json_get(j, format, SLICE("json_schema"), NULL);
    r->wants_json = slice_eq_cstr(type, "json_object") || slice_eq_cstr(type, "json_schema");
    if (holder != JSON_NONE && json_type(j, holder) == JSON_OBJECT)
        r->schema = json_get(j, holder, SLICE("schema"), NULL);
}

static enum result read_number(struct sim_request *r, const char *name, uint32_t least,
                               uint32_t most, uint32_t *out, struct arena *arena,
                               struct sim_error *error)
{
    uint32_t token = json_get(&r->json, 0, slice_cstr(name), NULL);
    uint64_t v;
    if (token == JSON_NONE || json_type(&r->json, token) == JSON_NULL)
        return RESULT_OK;
    if (json_u64(&r->json, token, &v) || v < least || v > most)
        return refuse(
            error, 400, NULL, name,
            arena_printf(arena, "'%s' must be a whole number from %u to %u.", name, least, most));
    *out = (uint32_t)v;
    return RESULT_OK;
}

static void read_stops(struct sim_request *r, struct arena *arena)
{
    uint32_t stop = json_get(&r->json, 0, SLICE("stop"), NULL), at = 0, item;
    if (stop == JSON_NONE)
        return;
    if (json_type(&r->json, stop) == JSON_STRING)
        r->stops[r->stop_count++] = string_of(&r->json, stop, arena);
    while (json_type(&r->json, stop) == JSON_ARRAY && json_element(&r->json, stop, &at, &item)) {
        if (r->stop_count < SIM_STOPS_MAX)
            r->stops[r->stop_count++] = string_of(&r->json, item, arena);
    }
}

static void read_switches(struct sim_request *r, struct arena *arena)
{
    const struct json *j = &r->json;
    uint32_t token = json_get(j, 0, SLICE("stream"), NULL);
    r->stream = token != JSON_NONE && json_bool(j, token, false);
    token = json_get(j, 0, SLICE("logprobs"), NULL);
    r->logprobs = token != JSON_NONE && json_bool(j, token, false);
    token = json_get(j, 0, SLICE("stream_options"), NULL);
    if (token != JSON_NONE && json_type(j, token) == JSON_OBJECT) {
        token = json_get(j, token, SLICE("include_usage"), NULL);
        r->usage = token != JSON_NONE && json_bool(j, token, false);
    }
    token = json_get(j, 0, SLICE("metadata"), NULL);
    if (token != JSON_NONE && json_type(j, token) == JSON_OBJECT) {
        struct slice sim = string_of(j, json_get(j, token, SLICE("sim"), NULL), arena);
        if (sim.len)
            r->directive = sim;
    }
    token = json_get(j, 0, SLICE("seed"), NULL);
    if (token != JSON_NONE)
        r->seed = hash_fnv(1, json_raw(j, token));
}

enum result sim_request_read(struct sim_request *r, struct slice body, struct slice header,
                             struct arena *arena, struct sim_error *error)
{
    *r = (struct sim_request){
        .choices = 1, .max_tok = UINT32_MAX, .schema = JSON_NONE, .tool_schema = JSON_NONE};
    enum result res = json_parse(&r->json, body, &json_limits_default, arena);
    if (res == RESULT_NOMEM)
        return res;
    if (res || json_type(&r->json, 0) != JSON_OBJECT)
        return refuse(error, 400, NULL, NULL,
                      SLICE("The body of the request is not a JSON object."));
    r->model = string_of(&r->json, json_get(&r->json, 0, SLICE("model"), NULL), arena);
    if (!r->model.len)
        return refuse(error, 400, NULL, "model", SLICE("You must provide a model parameter."));
    res = read_messages(r, arena, error);
    if (!res)
        res = read_number(r, "n", 1, SIM_CHOICES_MAX, &r->choices, arena, error);
    if (!res)
        res = read_number(r, "max_tokens", 1, SIM_OUTPUT_MAX, &r->max_tok, arena, error);
    if (!res)
        res = read_number(r, "max_completion_tokens", 1, SIM_OUTPUT_MAX, &r->max_tok, arena, error);
    if (res)
        return res;
    read_stops(r, arena);
    read_switches(r, arena);
    read_tools(r, arena);
    read_format(r, arena);
    if (header.len)
        r->directive = header;
    return RESULT_OK;
}
