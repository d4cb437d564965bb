#include "api/openai_request.h"

#include <stdarg.h>
#include <stdio.h>

#include "work/anchor.h"
#include "work/tokens.h"

// The keys of the body that routing or editing reads. Each may stand once.
enum field {
    FIELD_MODEL,
    FIELD_MESSAGES,
    FIELD_TOOLS,
    FIELD_FUNCTIONS,
    FIELD_TOOL_CHOICE,
    FIELD_FUNCTION_CALL,
    FIELD_RESPONSE_FORMAT,
    FIELD_MAX_TOKENS,
    FIELD_MAX_COMPLETION_TOKENS,
    FIELD_N_PREDICT,
    FIELD_N,
    FIELD_STREAM,
    FIELD_STREAM_OPTIONS,
    FIELD_LOGPROBS,
    FIELD_MODALITIES,
    FIELD_METADATA,
    FIELD_REASONING_EFFORT,
    FIELD_SESSION_ID,
    FIELD_CONVERSATION_ID,
    FIELD_PROMPT_CACHE_KEY,
    FIELD_USER,
    FIELD_TEMPLATE,
    FIELD_WEB_SEARCH,
    FIELD_PLUGINS,
    FIELD_MCP_SERVERS,
    FIELD_COUNT_
};

struct name {
    const char *text;
    uint8_t len;
};
#define NAME(text)                                                                                 \
    {                                                                                              \
        text, sizeof text - 1                                                                      \
    }

static const struct name field_names[FIELD_COUNT_] = {
    NAME("model"),
    NAME("messages"),
    NAME("tools"),
    NAME("functions"),
    NAME("tool_choice"),
    NAME("function_call"),
    NAME("response_format"),
    NAME("max_tokens"),
    NAME("max_completion_tokens"),
    NAME("n_predict"),
    NAME("n"),
    NAME("stream"),
    NAME("stream_options"),
    NAME("logprobs"),
    NAME("modalities"),
    NAME("metadata"),
    NAME("reasoning_effort"),
    NAME("session_id"),
    NAME("conversation_id"),
    NAME("prompt_cache_key"),
    NAME("user"),
    NAME("chat_template_kwargs"),
    NAME("web_search_options"),
    NAME("plugins"),
    NAME("mcp_servers"),
};

struct reader {
    struct openai_request *r;
    const struct json *j;
    struct work *w;
    struct arena *arena;
    struct openai_fault *fault;
    uint32_t value[FIELD_COUNT_], key[FIELD_COUNT_];
    struct work_message *messages;
    struct work_part *parts;
    uint32_t part_room;
};

static enum result refuse(struct reader *rd, enum result r, const char *code, const char *param,
                          const char *fmt, ...) MERIT_PRINTF(5, 6);

static enum result refuse(struct reader *rd, enum result r, const char *code, const char *param,
                          const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    struct slice message = arena_copy(rd->arena, slice_cstr(text));
    if (!message.ptr)
        message = SLICE("the request is malformed");
    *rd->fault = (struct openai_fault){400, code, param, message};
    return r;
}

// Of a message or a part: "messages[3].role" as the param.
static enum result refuse_at(struct reader *rd, enum result r, const char *code, uint32_t message,
                             const char *field, const char *what)
{
    char path[64];
    snprintf(path, sizeof path, "messages[%u]%s", message, field);
    const char *param = arena_cstr(rd->arena, slice_cstr(path));
    return refuse(rd, r, code, param ? param : "messages", "%s %s", path, what);
}

static bool is_null(const struct json *j, uint32_t token)
{
    return token == JSON_NONE || json_type(j, token) == JSON_NULL;
}

static bool key_is(const struct json *j, uint32_t key, const char *name, size_t len)
{
    const struct json_token *t = &j->tokens[key];
    if (MERIT_UNLIKELY(t->escaped))
        return json_string_is(j, key, slice_make(name, len));
    return t->len == len && memcmp(j->text.ptr + t->at, name, len) == 0;
}

#define KEY_IS(j, key, literal) key_is((j), (key), (literal), sizeof(literal) - 1)
#define STRING_IS KEY_IS

static unsigned field_of(const struct json *j, uint32_t key)
{
    for (unsigned f = 0; f < FIELD_COUNT_; f++)
        if (key_is(j, key, field_names[f].text, field_names[f].len))
            return f;
    return FIELD_COUNT_;
}

static enum result read_fields(struct reader *rd)
{
    for (unsigned f = 0; f < FIELD_COUNT_; f++)
        rd->value[f] = rd->key[f] = JSON_NONE;
    uint32_t at = 0, key, value;
    while (json_member(rd->j, 0, &at, &key, &value)) {
        unsigned f = field_of(rd->j, key);
        if (f == FIELD_COUNT_)
            continue;
        if (rd->value[f] != JSON_NONE)
            return refuse(rd, RESULT_DUPLICATE, "duplicate_field", field_names[f].text,
                          "\"%s\" stands twice in the body", field_names[f].text);
        rd->value[f] = value;
        rd->key[f] = key;
    }
    return RESULT_OK;
}

static enum result wrong_type(struct reader *rd, enum field f, const char *wanted)
{
    return refuse(rd, RESULT_TYPE, "invalid_type", field_names[f].text, "\"%s\" must be %s",
                  field_names[f].text, wanted);
}

static enum result read_bool(struct reader *rd, enum field f, bool *out)
{
    *out = false;
    if (is_null(rd->j, rd->value[f]))
        return RESULT_OK;
    enum json_type t = json_type(rd->j, rd->value[f]);
    if (t != JSON_TRUE && t != JSON_FALSE)
        return wrong_type(rd, f, "true or false");
    *out = t == JSON_TRUE;
    return RESULT_OK;
}

// A count of at least 1; 0 in `*out` when it is absent.
static enum result read_count(struct reader *rd, enum field f, uint32_t most, uint32_t *out)
{
    *out = 0;
    if (is_null(rd->j, rd->value[f]))
        return RESULT_OK;
    uint64_t v;
    enum result r = json_u64(rd->j, rd->value[f], &v);
    if (r == RESULT_TYPE)
        return wrong_type(rd, f, "a whole number");
    if (r || v < 1 || v > most)
        return refuse(rd, RESULT_RANGE, "invalid_value", field_names[f].text,
                      "\"%s\" must be a whole number from 1 to %u", field_names[f].text, most);
    *out = (uint32_t)v;
    return RESULT_OK;
}

static enum result read_string(struct reader *rd, enum field f, struct slice *out)
{
    *out = SLICE_EMPTY;
    if (is_null(rd->j, rd->value[f]))
        return RESULT_OK;
    if (json_type(rd->j, rd->value[f]) != JSON_STRING)
        return wrong_type(rd, f, "a string");
    *out = json_string(rd->j, rd->value[f], rd->arena);
    return out->ptr ? RESULT_OK : RESULT_NOMEM;
}

static struct work_part *part_add(struct reader *rd)
{
    struct work *w = rd->w;
    if (w->part_count == rd->part_room) {
        uint32_t room = rd->part_room * 2;
        struct work_part *more = arena_alloc(rd->arena, room * sizeof *more);
        if (!more)
            return NULL;
        memcpy(more, rd->parts, w->part_count * sizeof *more);
        rd->parts = more;
        rd->part_room = room;
    }
    struct work_part *p = &rd->parts[w->part_count++];
    *p = (struct work_part){WORK_PART_OTHER, SLICE_EMPTY, SLICE_EMPTY};
    return p;
}

static enum result part_text(struct reader *rd, struct work_part *p, uint32_t token)
{
    p->kind = WORK_TEXT;
    p->raw = json_raw(rd->j, token);
    p->text = json_string(rd->j, token, rd->arena);
    return p->text.ptr ? RESULT_OK : RESULT_NOMEM;
}

static enum result read_part(struct reader *rd, uint32_t message, uint32_t token)
{
    const struct json *j = rd->j;
    if (json_type(j, token) != JSON_OBJECT)
        return refuse_at(rd, RESULT_TYPE, "invalid_type", message, ".content",
                         "must be a string or an array of objects");
    if (rd->w->part_count >= WORK_PARTS_MAX)
        return refuse(rd, RESULT_LIMIT, "limit", "messages",
                      "more than %u content parts in the request", (unsigned)WORK_PARTS_MAX);
    uint32_t type = JSON_NONE, text = JSON_NONE, refusal = JSON_NONE, at = 0, key, value;
    while (json_member(j, token, &at, &key, &value)) {
        uint32_t *slot = KEY_IS(j, key, "type")      ? &type
                         : KEY_IS(j, key, "text")    ? &text
                         : KEY_IS(j, key, "refusal") ? &refusal
                                                     : NULL;
        if (!slot)
            continue;
        if (*slot != JSON_NONE)
            return refuse_at(rd, RESULT_DUPLICATE, "duplicate_field", message, ".content",
                             "has a key twice in one part");
        *slot = value;
    }
    if (type == JSON_NONE || json_type(j, type) != JSON_STRING)
        return refuse_at(rd, RESULT_TYPE, "invalid_type", message, ".content",
                         "has a part without a \"type\" string");
    struct work_part *p = part_add(rd);
    if (!p)
        return RESULT_NOMEM;
    bool is_text = STRING_IS(j, type, "text");
    if (is_text || STRING_IS(j, type, "refusal")) {
        uint32_t t = is_text ? text : refusal;
        if (t == JSON_NONE || json_type(j, t) != JSON_STRING)
            return refuse_at(rd, RESULT_TYPE, "invalid_type", message, ".content",
                             "has a text part without a text string");
        return part_text(rd, p, t);
    }
    if (STRING_IS(j, type, "image_url")) {
        p->kind = WORK_IMAGE;
        rd->w->image_count++;
        rd->w->needs |= WORK_NEED_IMAGES;
    } else if (STRING_IS(j, type, "input_audio")) {
        p->kind = WORK_AUDIO;
        rd->w->audio_count++;
        rd->w->needs |= WORK_NEED_AUDIO;
    } else if (STRING_IS(j, type, "file")) {
        p->kind = WORK_FILE;
        rd->w->needs |= WORK_NEED_FILES;
    }
    return RESULT_OK;
}

static enum work_role role_of(const struct json *j, uint32_t token)
{
    if (STRING_IS(j, token, "user"))
        return WORK_USER;
    if (STRING_IS(j, token, "assistant"))
        return WORK_ASSISTANT;
    if (STRING_IS(j, token, "system"))
        return WORK_SYSTEM;
    if (STRING_IS(j, token, "tool") || STRING_IS(j, token, "function"))
        return WORK_TOOL;
    if (STRING_IS(j, token, "developer"))
        return WORK_DEVELOPER;
    return WORK_OTHER;
}

static uint32_t array_count(const struct json *j, uint32_t array)
{
    uint32_t n = 0, at = 0, value;
    while (json_element(j, array, &at, &value))
        n++;
    return n;
}

static enum result read_content(struct reader *rd, uint32_t index, uint32_t content)
{
    const struct json *j = rd->j;
    if (is_null(j, content))
        return RESULT_OK;
    if (json_type(j, content) == JSON_STRING) {
        if (rd->w->part_count >= WORK_PARTS_MAX)
            return refuse(rd, RESULT_LIMIT, "limit", "messages",
                          "more than %u content parts in the request", (unsigned)WORK_PARTS_MAX);
        struct work_part *p = part_add(rd);
        return p ? part_text(rd, p, content) : RESULT_NOMEM;
    }
    if (json_type(j, content) != JSON_ARRAY)
        return refuse_at(rd, RESULT_TYPE, "invalid_type", index, ".content",
                         "must be a string or an array of objects");
    uint32_t at = 0, value;
    while (json_element(j, content, &at, &value)) {
        enum result r = read_part(rd, index, value);
        if (r)
            return r;
    }
    return RESULT_OK;
}

static enum result read_message(struct reader *rd, uint32_t index, uint32_t token)
{
    const struct json *j = rd->j;
    if (json_type(j, token) != JSON_OBJECT)
        return refuse_at(rd, RESULT_TYPE, "invalid_type", index, "", "must be an object");
    uint32_t role = JSON_NONE, content = JSON_NONE, calls = JSON_NONE, call = JSON_NONE, at = 0,
             key, value;
    while (json_member(j, token, &at, &key, &value)) {
        uint32_t *slot = KEY_IS(j, key, "role")            ? &role
                         : KEY_IS(j, key, "content")       ? &content
                         : KEY_IS(j, key, "tool_calls")    ? &calls
                         : KEY_IS(j, key, "function_call") ? &call
                                                           : NULL;
        if (!slot)
            continue;
        if (*slot != JSON_NONE)
            return refuse_at(rd, RESULT_DUPLICATE, "duplicate_field", index, "", "has a key twice");
        *slot = value;
    }
    if (role == JSON_NONE)
        return refuse_at(rd, RESULT_NOT_FOUND, "missing_field", index, ".role", "is missing");
    if (json_type(j, role) != JSON_STRING)
        return refuse_at(rd, RESULT_TYPE, "invalid_type", index, ".role", "must be a string");
    struct work_message *m = &rd->messages[index];
    *m = (struct work_message){.role = role_of(j, role), .part_first = rd->w->part_count};
    enum result r = read_content(rd, index, content);
    if (r)
        return r;
    m->part_count = rd->w->part_count - m->part_first;
    if (!is_null(j, calls)) {
        if (json_type(j, calls) != JSON_ARRAY)
            return refuse_at(rd, RESULT_TYPE, "invalid_type", index, ".tool_calls",
                             "must be an array");
        m->tool_calls = array_count(j, calls);
    }
    if (!is_null(j, call))
        m->tool_calls++;
    return RESULT_OK;
}

static enum result read_messages(struct reader *rd)
{
    const struct json *j = rd->j;
    uint32_t list = rd->value[FIELD_MESSAGES];
    if (list == JSON_NONE)
        return refuse(rd, RESULT_NOT_FOUND, "missing_field", "messages", "\"messages\" is missing");
    if (json_type(j, list) != JSON_ARRAY)
        return wrong_type(rd, FIELD_MESSAGES, "an array");
    uint32_t n = array_count(j, list);
    if (!n)
        return refuse(rd, RESULT_RANGE, "invalid_value", "messages", "\"messages\" is empty");
    if (n > WORK_MESSAGES_MAX)
        return refuse(rd, RESULT_LIMIT, "limit", "messages",
                      "%u messages are more than the limit of %u", n, (unsigned)WORK_MESSAGES_MAX);
    rd->messages = arena_alloc(rd->arena, n * sizeof *rd->messages);
    rd->part_room = n + 8;
    rd->parts = arena_alloc(rd->arena, rd->part_room * sizeof *rd->parts);
    if (!rd->messages || !rd->parts)
        return RESULT_NOMEM;
    uint32_t at = 0, value;
    for (uint32_t i = 0; json_element(j, list, &at, &value); i++) {
        enum result r = read_message(rd, i, value);
        if (r)
            return r;
    }
    rd->w->messages = rd->messages;
    rd->w->message_count = n;
    rd->w->parts = rd->parts;
    return RESULT_OK;
}

// The name of one tool: function.name, else name (legacy and vendors' own kinds), else its type.
static uint32_t tool_name(const struct json *j, uint32_t tool)
{
    uint32_t function = json_get(j, tool, SLICE("function"), NULL), name = JSON_NONE;
    if (function != JSON_NONE && json_type(j, function) == JSON_OBJECT)
        name = json_get(j, function, SLICE("name"), NULL);
    if (name == JSON_NONE)
        name = json_get(j, tool, SLICE("name"), NULL);
    if (name == JSON_NONE)
        name = json_get(j, tool, SLICE("type"), NULL);
    return name;
}

// Whether a tool of this type is run by whoever answers. What is not known to be the client's own to run is taken for one.
static bool tool_acts(const struct json *j, uint32_t tool)
{
    uint32_t type = json_get(j, tool, SLICE("type"), NULL);
    if (type == JSON_NONE)
        return false; // the old form, `functions`
    return json_type(j, type) != JSON_STRING ||
           !(STRING_IS(j, type, "function") || STRING_IS(j, type, "custom"));
}

// Members that let the upstream act without naming a tool.
static bool body_acts(const struct reader *rd)
{
    static const enum field fields[] = {FIELD_WEB_SEARCH, FIELD_PLUGINS, FIELD_MCP_SERVERS};
    for (unsigned i = 0; i < MERIT_COUNT(fields); i++)
        if (!is_null(rd->j, rd->value[fields[i]]))
            return true;
    return false;
}

static enum result read_tools(struct reader *rd)
{
    static const enum field fields[] = {FIELD_TOOLS, FIELD_FUNCTIONS};
    const struct json *j = rd->j;
    struct work *w = rd->w;
    uint32_t n = 0;
    rd->r->acts = body_acts(rd);
    for (unsigned i = 0; i < MERIT_COUNT(fields); i++) {
        uint32_t list = rd->value[fields[i]];
        if (is_null(j, list))
            continue;
        if (json_type(j, list) != JSON_ARRAY)
            return wrong_type(rd, fields[i], "an array");
        n += array_count(j, list);
        w->tool_bytes += json_end(j, list) - json_begin(j, list);
    }
    if (!n)
        return RESULT_OK;
    if (n > WORK_TOOLS_MAX)
        return refuse(rd, RESULT_LIMIT, "limit", "tools", "%u tools are more than the limit of %u",
                      n, (unsigned)WORK_TOOLS_MAX);
    struct slice *names = arena_alloc(rd->arena, n * sizeof *names);
    if (!names)
        return RESULT_NOMEM;
    for (unsigned i = 0; i < MERIT_COUNT(fields); i++) {
        uint32_t at = 0, tool;
        if (is_null(j, rd->value[fields[i]]))
            continue;
        while (json_element(j, rd->value[fields[i]], &at, &tool)) {
            if (json_type(j, tool) != JSON_OBJECT)
                return wrong_type(rd, fields[i], "an array of objects");
            rd->r->acts |= fields[i] == FIELD_TOOLS && tool_acts(j, tool);
            uint32_t name = tool_name(j, tool);
            if (name == JSON_NONE || json_type(j, name) != JSON_STRING)
                return wrong_type(rd, fields[i], "an array of objects with a name");
            names[w->tool_count] = json_string(j, name, rd->arena);
            if (!names[w->tool_count++].ptr)
                return RESULT_NOMEM;
        }
    }
    w->tool_names = names;
    w->needs |= WORK_NEED_TOOLS;
    return RESULT_OK;
}

static enum result read_tool_choice(struct reader *rd)
{
    const struct json *j = rd->j;
    uint32_t choice = rd->value[FIELD_TOOL_CHOICE], call = rd->value[FIELD_FUNCTION_CALL];
    if (!is_null(j, choice)) {
        if (json_type(j, choice) == JSON_STRING) {
            rd->w->tool_required = STRING_IS(j, choice, "required");
        } else if (json_type(j, choice) == JSON_OBJECT) {
            // {"type":"function",...} forces a call; {"type":"allowed_tools","mode":"auto"} does not.
            uint32_t mode = json_get(j, choice, SLICE("mode"), NULL);
            uint32_t allowed = json_get(j, choice, SLICE("allowed_tools"), NULL);
            if (mode == JSON_NONE && allowed != JSON_NONE && json_type(j, allowed) == JSON_OBJECT)
                mode = json_get(j, allowed, SLICE("mode"), NULL);
            rd->w->tool_required = mode == JSON_NONE || json_type(j, mode) != JSON_STRING ||
                                   STRING_IS(j, mode, "required");
        } else {
            return wrong_type(rd, FIELD_TOOL_CHOICE, "a string or an object");
        }
    }
    if (!is_null(j, call)) {
        if (json_type(j, call) != JSON_STRING && json_type(j, call) != JSON_OBJECT)
            return wrong_type(rd, FIELD_FUNCTION_CALL, "a string or an object");
        rd->w->tool_required |= json_type(j, call) == JSON_OBJECT;
    }
    return RESULT_OK;
}

static enum result read_format(struct reader *rd)
{
    const struct json *j = rd->j;
    uint32_t format = rd->value[FIELD_RESPONSE_FORMAT];
    if (is_null(j, format))
        return RESULT_OK;
    if (json_type(j, format) != JSON_OBJECT)
        return wrong_type(rd, FIELD_RESPONSE_FORMAT, "an object");
    bool twice = false;
    uint32_t type = json_get(j, format, SLICE("type"), &twice);
    if (type == JSON_NONE || json_type(j, type) != JSON_STRING)
        return wrong_type(rd, FIELD_RESPONSE_FORMAT, "an object with a \"type\" string");
    if (twice)
        return refuse(rd, RESULT_DUPLICATE, "duplicate_field", "response_format",
                      "\"type\" stands twice in \"response_format\"");
    if (STRING_IS(j, type, "json_object")) {
        rd->w->format = WORK_FORMAT_JSON;
        rd->w->needs |= WORK_NEED_JSON;
    } else if (STRING_IS(j, type, "json_schema")) {
        rd->w->format = WORK_FORMAT_SCHEMA;
        rd->w->needs |= WORK_NEED_SCHEMA;
    }
    return RESULT_OK;
}

static enum result read_stream(struct reader *rd)
{
    const struct json *j = rd->j;
    uint32_t options = rd->value[FIELD_STREAM_OPTIONS];
    rd->r->include_usage = JSON_NONE;
    enum result r = read_bool(rd, FIELD_STREAM, &rd->w->stream);
    if (r || is_null(j, options))
        return r;
    if (json_type(j, options) != JSON_OBJECT)
        return wrong_type(rd, FIELD_STREAM_OPTIONS, "an object");
    bool twice = false;
    uint32_t usage = json_get(j, options, SLICE("include_usage"), &twice);
    if (twice)
        return refuse(rd, RESULT_DUPLICATE, "duplicate_field", "stream_options",
                      "\"include_usage\" stands twice in \"stream_options\"");
    rd->r->include_usage = usage;
    rd->w->usage_asked = usage != JSON_NONE && json_type(j, usage) == JSON_TRUE;
    return RESULT_OK;
}

static enum result read_metadata(struct reader *rd)
{
    const struct json *j = rd->j;
    struct work *w = rd->w;
    uint32_t object = rd->value[FIELD_METADATA], at = 0, key, value;
    if (is_null(j, object))
        return RESULT_OK;
    if (json_type(j, object) != JSON_OBJECT)
        return wrong_type(rd, FIELD_METADATA, "an object");
    while (json_member(j, object, &at, &key, &value)) {
        // Values that are no strings are some upstream's own business; no signal reads them.
        if (json_type(j, value) != JSON_STRING)
            continue;
        struct work_pair pair = {json_string(j, key, rd->arena), json_string(j, value, rd->arena)};
        if (!pair.name.ptr || !pair.value.ptr)
            return RESULT_NOMEM;
        if (w->metadata_count == WORK_METADATA_MAX || pair.name.len > WORK_METADATA_KEY_MAX ||
            pair.value.len > WORK_METADATA_VALUE_MAX)
            return refuse(
                rd, RESULT_LIMIT, "limit", "metadata",
                "\"metadata\" may have %u entries with names of %u and values of %u bytes",
                (unsigned)WORK_METADATA_MAX, (unsigned)WORK_METADATA_KEY_MAX,
                (unsigned)WORK_METADATA_VALUE_MAX);
        for (uint32_t i = 0; i < w->metadata_count; i++)
            if (slice_eq(w->metadata[i].name, pair.name))
                return refuse(rd, RESULT_DUPLICATE, "duplicate_field", "metadata",
                              "a name stands twice in \"metadata\"");
        w->metadata[w->metadata_count++] = pair;
    }
    return RESULT_OK;
}

static enum result read_modalities(struct reader *rd)
{
    const struct json *j = rd->j;
    uint32_t list = rd->value[FIELD_MODALITIES], at = 0, value;
    if (is_null(j, list))
        return RESULT_OK;
    if (json_type(j, list) != JSON_ARRAY)
        return wrong_type(rd, FIELD_MODALITIES, "an array");
    while (json_element(j, list, &at, &value))
        if (json_type(j, value) == JSON_STRING && STRING_IS(j, value, "audio"))
            rd->w->needs |= WORK_NEED_AUDIO;
    return RESULT_OK;
}

static bool session_fits(struct slice s)
{
    return s.len > 0 && s.len <= OPENAI_SESSION_MAX;
}

// Best first.
static const struct name session_headers[] = {NAME("x-session-id"), NAME("x-inferoa-session-id"),
                                              NAME("x-claude-code-session-id"), NAME("session_id"),
                                              NAME("session-id")};

bool openai_names_session(struct slice name)
{
    for (unsigned k = 0; k < MERIT_COUNT(session_headers); k++)
        if (name.len == session_headers[k].len &&
            slice_ieq(name, slice_make(session_headers[k].text, name.len)))
            return true;
    return false;
}

// The session of the best-ranked header, or empty.
static struct slice header_session(const struct work *w)
{
    const struct name *names = session_headers;
    struct slice best = SLICE_EMPTY;
    unsigned rank = MERIT_COUNT(session_headers);
    for (uint32_t i = 0; i < w->header_count; i++) {
        struct slice n = w->headers[i].name;
        for (unsigned k = 0; k < rank; k++) {
            if (n.len == names[k].len && slice_ieq(n, slice_make(names[k].text, n.len)) &&
                session_fits(w->headers[i].value)) {
                best = w->headers[i].value;
                rank = k;
            }
        }
    }
    return best;
}

static enum result read_session(struct reader *rd)
{
    static const enum field before[] = {FIELD_SESSION_ID, FIELD_CONVERSATION_ID,
                                        FIELD_PROMPT_CACHE_KEY};
    struct work *w = rd->w;
    w->session = header_session(w);
    struct slice s;
    enum result r;
    for (unsigned i = 0; i < MERIT_COUNT(before); i++) {
        if ((r = read_string(rd, before[i], &s)))
            return r;
        if (!w->session.len && session_fits(s))
            w->session = s;
    }
    for (uint32_t i = 0; !w->session.len && i < w->metadata_count; i++)
        if (slice_eq(w->metadata[i].name, SLICE("user_id")) && session_fits(w->metadata[i].value))
            w->session = w->metadata[i].value;
    if ((r = read_string(rd, FIELD_USER, &s)))
        return r;
    if (!w->session.len && session_fits(s))
        w->session = s;
    return RESULT_OK;
}

// llama.cpp's own name of the limit, which it puts above the other two; anything that is no count is no limit to it.
static bool read_n_predict(const struct reader *rd, uint32_t *out)
{
    uint64_t v;
    *out = 0;
    if (is_null(rd->j, rd->value[FIELD_N_PREDICT]))
        return true;
    if (json_u64(rd->j, rd->value[FIELD_N_PREDICT], &v) || v > UINT32_MAX / 2)
        return false;
    *out = (uint32_t)v;
    return true;
}

static enum result read_numbers(struct reader *rd)
{
    uint32_t old, now, own, choices;
    enum result r;
    if ((r = read_count(rd, FIELD_MAX_TOKENS, UINT32_MAX / 2, &old)) ||
        (r = read_count(rd, FIELD_MAX_COMPLETION_TOKENS, UINT32_MAX / 2, &now)) ||
        (r = read_count(rd, FIELD_N, OPENAI_CHOICES_MAX, &choices)))
        return r;
    // Upstreams differ in which of them they read: the largest one must fit. `n_predict` alone limits nothing, as most
    // engines do not know it.
    bool limited = read_n_predict(rd, &own) && (old || now);
    uint32_t most = old > now ? old : now;
    rd->w->max_output_tok = !limited ? 0 : own > most ? own : most;
    rd->w->choices = choices ? choices : 1;
    rd->r->multiple_choices = choices > 1;
    return RESULT_OK;
}

static enum result read_model(struct reader *rd)
{
    struct slice *name = &rd->w->model_asked;
    enum result r = read_string(rd, FIELD_MODEL, name);
    if (!r && name->len > WORK_MODEL_BYTES_MAX)
        return refuse(rd, RESULT_LIMIT, "limit", "model", "\"model\" may have %u bytes",
                      (unsigned)WORK_MODEL_BYTES_MAX);
    return r;
}

static enum result read_body(struct reader *rd)
{
    struct work *w = rd->w;
    bool logprobs = false;
    enum result r;
    if ((r = read_fields(rd)) || (r = read_model(rd)) || (r = read_messages(rd)) ||
        (r = read_tools(rd)) || (r = read_tool_choice(rd)) || (r = read_format(rd)) ||
        (r = read_numbers(rd)) || (r = read_stream(rd)) ||
        (r = read_bool(rd, FIELD_LOGPROBS, &logprobs)) || (r = read_metadata(rd)) ||
        (r = read_modalities(rd)) || (r = read_session(rd)))
        return r;
    if (logprobs)
        w->needs |= WORK_NEED_LOGPROBS;
    struct openai_request *q = rd->r;
    q->model = rd->value[FIELD_MODEL];
    q->model_key = rd->key[FIELD_MODEL];
    q->stream_options = rd->value[FIELD_STREAM_OPTIONS];
    q->stream_options_key = rd->key[FIELD_STREAM_OPTIONS];
    q->max_tokens = rd->value[FIELD_MAX_TOKENS];
    q->max_completion_tokens = rd->value[FIELD_MAX_COMPLETION_TOKENS];
    q->n_predict = rd->value[FIELD_N_PREDICT];
    q->template_kwargs = rd->value[FIELD_TEMPLATE];
    w->anchor = work_anchor(rd->messages, w->message_count, w->parts);
    w->input_tok = tokens_of_work(w);
    return RESULT_OK;
}

// Everything but what the caller has set. Field by field: the struct is large, most of it the caller's groups and room
// for metadata.
static void work_clear(struct work *w, struct slice body)
{
    w->body = body;
    w->model_asked = w->session = SLICE_EMPTY;
    w->messages = NULL;
    w->parts = NULL;
    w->tool_names = NULL;
    w->message_count = w->part_count = w->tool_count = w->tool_bytes = w->needs = 0;
    w->tool_required = w->stream = w->usage_asked = false;
    w->format = WORK_FORMAT_TEXT;
    w->max_output_tok = w->image_count = w->audio_count = w->metadata_count = w->input_tok = 0;
    w->choices = 1;
    w->anchor = WORK_NO_ANCHOR;
}

static enum result not_json(struct reader *rd, enum result r)
{
    switch (r) {
    case RESULT_NOMEM:
        return r;
    case RESULT_LIMIT:
        return refuse(rd, r, "limit", NULL, "the body has more than %u JSON values",
                      json_limits_default.token_max);
    case RESULT_DEPTH:
        return refuse(rd, r, "limit", NULL, "the body is nested deeper than %u levels",
                      json_limits_default.depth_max);
    case RESULT_UTF8:
        return refuse(rd, r, "invalid_json", NULL, "the body is not UTF-8 at byte %u",
                      rd->j->error_at);
    default:
        return refuse(rd, RESULT_SYNTAX, "invalid_json", NULL, "the body is not JSON: see byte %u",
                      rd->j->error_at);
    }
}

enum result openai_request_parse(struct slice body, struct arena *arena, struct work *w,
                                 struct openai_request *r, struct openai_fault *fault)
{
    struct reader rd = {.r = r, .j = &r->json, .w = w, .arena = arena, .fault = fault};
    work_clear(w, body);
    r->model = r->model_key = r->stream_options = r->stream_options_key = r->include_usage =
        JSON_NONE;
    r->max_tokens = r->max_completion_tokens = r->n_predict = JSON_NONE;
    r->template_kwargs = JSON_NONE;
    r->multiple_choices = r->acts = false;
    if (body.len > OPENAI_BODY_MAX) {
        refuse(&rd, RESULT_LIMIT, "limit", NULL, "the body is larger than %u bytes",
               (unsigned)OPENAI_BODY_MAX);
        fault->status = 413;
        return RESULT_LIMIT;
    }
    enum result e = json_parse(&r->json, body, &json_limits_default, arena);
    if (e)
        e = not_json(&rd, e);
    else if (json_type(&r->json, 0) != JSON_OBJECT)
        e = refuse(&rd, RESULT_TYPE, "invalid_type", NULL, "the body must be a JSON object");
    else
        e = read_body(&rd);
    if (e == RESULT_NOMEM)
        *fault = (struct openai_fault){500, "no_memory", NULL,
                                       SLICE("the request needs more memory than it may have")};
    return e;
}
