#include "api/openai_answer.h"

#include "text/json.h"

static const struct json_limits ANSWER_LIMITS = {.depth_max = 64, .token_max = 1000000};

static void error_body(const struct api_error *e, struct buf *out)
{
    BUF_LIT(out, "{\"error\":{\"message\":");
    json_write_string(out, e->message);
    BUF_LIT(out, ",\"type\":");
    json_write_string(out, slice_cstr(e->type));
    BUF_LIT(out, ",\"param\":");
    if (e->param)
        json_write_string(out, slice_cstr(e->param));
    else
        BUF_LIT(out, "null");
    BUF_LIT(out, ",\"code\":");
    json_write_string(out, slice_cstr(e->code));
    buf_add(out, e->members);
    BUF_LIT(out, "}}");
}

static void error_event(const struct api_error *e, struct buf *out)
{
    BUF_LIT(out, "data: ");
    error_body(e, out);
    BUF_LIT(out, "\n\n");
}

// False: it is there and no number of tokens.
static bool number_of(const struct json *j, uint32_t object, struct slice key, uint32_t *out)
{
    uint64_t v;
    uint32_t token = json_get(j, object, key, NULL);
    *out = 0;
    if (token == JSON_NONE || json_type(j, token) == JSON_NULL)
        return true;
    if (json_u64(j, token, &v))
        return false;
    *out = v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
    return true;
}

// True when `root` has a usage object with numbers that can be believed.
static bool read_usage(const struct json *j, uint32_t root, struct usage *u)
{
    uint32_t usage = json_get(j, root, SLICE("usage"), NULL);
    if (usage == JSON_NONE || json_type(j, usage) != JSON_OBJECT)
        return false;
    struct usage told = {.known = true};
    uint32_t details = json_get(j, usage, SLICE("prompt_tokens_details"), NULL);
    bool whole = number_of(j, usage, SLICE("prompt_tokens"), &told.input_tok) &&
                 json_get(j, usage, SLICE("completion_tokens"), NULL) != JSON_NONE &&
                 number_of(j, usage, SLICE("completion_tokens"), &told.output_tok);
    if (details != JSON_NONE && json_type(j, details) == JSON_OBJECT)
        whole = number_of(j, details, SLICE("cached_tokens"), &told.cached_tok) && whole;
    u->odd = !whole;
    if (!whole)
        return false;
    // Streams may tell it again and again, and counts only grow: a later event that takes something back is not believed.
    if (u->known && u->input_tok > told.input_tok)
        told.input_tok = u->input_tok;
    if (u->known && u->cached_tok > told.cached_tok)
        told.cached_tok = u->cached_tok;
    if (u->known && u->output_tok > told.output_tok)
        told.output_tok = u->output_tok;
    *u = told;
    return true;
}

static size_t string_len(const struct json *j, uint32_t object, struct slice key)
{
    uint32_t token = json_get(j, object, key, NULL);
    return token == JSON_NONE || json_type(j, token) != JSON_STRING ? 0 : json_raw(j, token).len;
}

// Bytes of text and of calls in a whole answer's choices.
static size_t content_of(const struct json *j, uint32_t choices)
{
    size_t bytes = 0;
    for (uint32_t i = choices + 1; i < j->tokens[choices].next; i = j->tokens[i].next) {
        uint32_t message =
            json_type(j, i) == JSON_OBJECT ? json_get(j, i, SLICE("message"), NULL) : JSON_NONE;
        if (message == JSON_NONE || json_type(j, message) != JSON_OBJECT)
            continue;
        uint32_t calls = json_get(j, message, SLICE("tool_calls"), NULL);
        // Engines call it one or the other, some both.
        size_t thought = string_len(j, message, SLICE("reasoning_content"));
        if (!thought)
            thought = string_len(j, message, SLICE("reasoning"));
        bytes += string_len(j, message, SLICE("content")) + thought +
                 string_len(j, message, SLICE("refusal"));
        if (calls != JSON_NONE && json_type(j, calls) == JSON_ARRAY)
            bytes += json_raw(j, calls).len;
    }
    return bytes;
}

static void keep(const struct json *j, uint32_t root, struct slice key, char *to, size_t room,
                 uint8_t *len)
{
    uint32_t token = json_get(j, root, key, NULL);
    if (token == JSON_NONE || json_type(j, token) != JSON_STRING)
        return;
    struct slice raw = json_raw(j, token);
    if (raw.len > room)
        return;
    memcpy(to, raw.ptr, raw.len);
    *len = (uint8_t)raw.len;
}

static struct slice skip_blanks(struct slice s)
{
    while (s.len && (*s.ptr == ' ' || *s.ptr == '\t' || *s.ptr == '\n' || *s.ptr == '\r'))
        s = slice_from(s, 1);
    return s;
}

// The value behind `"key":`, white space skipped; empty when the key does not occur. A look for text, not a parse:
// whatever object it stands in. Texts cannot look like a key, as their quotes are escaped.
static struct slice peek(struct slice data, struct slice key)
{
    ptrdiff_t at;
    while ((at = slice_find(data, key)) >= 0) {
        data = slice_from(data, (size_t)at + key.len);
        struct slice rest = skip_blanks(data);
        if (rest.len && *rest.ptr == ':')
            return skip_blanks(slice_from(rest, 1));
    }
    return SLICE_EMPTY;
}

static size_t string_bytes(struct slice at)
{
    if (!at.len || *at.ptr != '"')
        return 0;
    for (size_t i = 1; i < at.len; i++) {
        if (at.ptr[i] == '\\')
            i++;
        else if (at.ptr[i] == '"')
            return i - 1;
    }
    return at.len - 1;
}

// The rare events: the first one, one with usage, one with an error. Parsed whole.
static enum stream_verdict read_event(struct answer_meter *m, struct slice data, bool hide_usage,
                                      struct arena *scratch)
{
    struct json j;
    enum stream_verdict verdict = STREAM_FORWARD;
    if (json_parse(&j, data, &ANSWER_LIMITS, scratch) || json_type(&j, 0) != JSON_OBJECT)
        return STREAM_BAD;
    uint32_t error = json_get(&j, 0, SLICE("error"), NULL);
    if (error != JSON_NONE && json_type(&j, error) != JSON_NULL) {
        m->failed = true;
        return STREAM_ERROR;
    }
    if (!m->begun) {
        m->begun = true;
        keep(&j, 0, SLICE("id"), m->id, sizeof m->id, &m->id_len);
        keep(&j, 0, SLICE("model"), m->model, sizeof m->model, &m->model_len);
        uint64_t created;
        uint32_t token = json_get(&j, 0, SLICE("created"), NULL);
        if (token != JSON_NONE && !json_u64(&j, token, &created))
            m->created = created;
    }
    if (read_usage(&j, 0, &m->usage)) {
        uint32_t choices = json_get(&j, 0, SLICE("choices"), NULL);
        bool empty = choices == JSON_NONE || j.tokens[choices].next == choices + 1;
        if (empty && hide_usage)
            verdict = STREAM_HIDE;
    }
    return verdict;
}

// Bytes of what the event adds to the answer: text, a call's arguments, thoughts, a refusal.
static size_t added_by(struct slice data)
{
    static const struct slice keys[] = {{"\"content\"", 9},
                                        {"\"arguments\"", 11},
                                        {"\"reasoning_content\"", 19},
                                        {"\"reasoning\"", 11},
                                        {"\"refusal\"", 9}};
    size_t bytes = 0;
    for (size_t i = 0; i < MERIT_COUNT(keys) && !bytes; i++)
        bytes = string_bytes(peek(data, keys[i]));
    return bytes;
}

static enum stream_verdict stream_event(struct answer_meter *m, struct slice data, bool hide_usage,
                                        struct arena *scratch)
{
    if (slice_eq(data, SLICE("[DONE]"))) {
        m->done = true;
        return STREAM_DONE;
    }
    if (m->done)
        return STREAM_BAD;
    data = skip_blanks(data);
    struct slice usage = peek(data, SLICE("\"usage\"")), finish, error = SLICE_EMPTY;
    size_t bytes = added_by(data);
    finish = peek(data, SLICE("\"finish_reason\""));
    bool finishes = finish.len && *finish.ptr == '"';
    // Some report an error in an event that is otherwise like the others; it brings no text or ends the answer.
    if (!bytes || finishes || slice_starts_with(data, SLICE("{\"error\"")))
        error = peek(data, SLICE("\"error\""));
    if (!m->begun || (usage.len && *usage.ptr == '{') || (error.len && *error.ptr != 'n')) {
        enum stream_verdict v = read_event(m, data, hide_usage, scratch);
        if (v != STREAM_FORWARD)
            return v;
    } else if (!data.len || data.ptr[0] != '{') {
        return STREAM_BAD;
    }
    m->finished |= finishes;
    m->content_bytes += bytes;
    m->events++;
    return STREAM_FORWARD;
}

static void stream_usage(const struct answer_meter *m, struct buf *out)
{
    uint64_t total = (uint64_t)m->usage.input_tok + m->usage.output_tok;
    BUF_LIT(out, "data: {\"id\":\"");
    buf_append(out, m->id, m->id_len);
    BUF_LIT(out, "\",\"object\":\"chat.completion.chunk\",\"created\":");
    buf_u64(out, m->created);
    BUF_LIT(out, ",\"model\":\"");
    buf_append(out, m->model, m->model_len);
    BUF_LIT(out, "\",\"choices\":[],\"usage\":{\"prompt_tokens\":");
    buf_u64(out, m->usage.input_tok);
    BUF_LIT(out, ",\"completion_tokens\":");
    buf_u64(out, m->usage.output_tok);
    BUF_LIT(out, ",\"total_tokens\":");
    buf_u64(out, total);
    BUF_LIT(out, "}}\n\n");
}

static enum result answer(struct slice body, struct arena *scratch, struct usage *usage)
{
    struct json j;
    enum result r = json_parse(&j, body, &ANSWER_LIMITS, scratch);
    if (r)
        return r;
    if (json_type(&j, 0) != JSON_OBJECT)
        return RESULT_TYPE;
    uint32_t choices = json_get(&j, 0, SLICE("choices"), NULL);
    uint32_t error = json_get(&j, 0, SLICE("error"), NULL);
    *usage = (struct usage){.known = false};
    if (error != JSON_NONE && json_type(&j, error) != JSON_NULL && choices == JSON_NONE) {
        usage->error_inside = true;
        return RESULT_DENIED;
    }
    if (choices == JSON_NONE || json_type(&j, choices) != JSON_ARRAY)
        return RESULT_TYPE;
    read_usage(&j, 0, usage);
    uint32_t model = json_get(&j, 0, SLICE("model"), NULL);
    if (model != JSON_NONE && json_type(&j, model) == JSON_STRING)
        usage->model = json_raw(&j, model);
    usage->seen_tok = usage_guess_tok(content_of(&j, choices));
    return RESULT_OK;
}

// The object behind `"usage"` when `rest` holds it whole.
static bool usage_behind(struct slice rest, struct arena *scratch, struct usage *usage)
{
    struct json j;
    uint32_t depth = 0;
    size_t n = 0;
    do {
        if (n == rest.len)
            return false;
        depth += rest.ptr[n] == '{';
        depth -= rest.ptr[n] == '}';
        n++;
    } while (depth || rest.ptr[n - 1] != '}');
    struct slice whole = arena_printf(scratch, "{\"usage\"%.*s}", (int)n, rest.ptr);
    struct usage told = {.known = true};
    if (!whole.ptr || json_parse(&j, whole, &json_limits_default, scratch))
        return false;
    uint32_t object = json_get(&j, 0, SLICE("usage"), NULL);
    if (object == JSON_NONE || json_type(&j, object) != JSON_OBJECT ||
        json_get(&j, object, SLICE("prompt_tokens"), NULL) == JSON_NONE)
        return false;
    *usage = (struct usage){.odd = true};
    if (number_of(&j, object, SLICE("prompt_tokens"), &told.input_tok))
        *usage = told;
    return true;
}

// Arrays of numbers and base64 hold no `"usage"`; the name of a model might.
static bool input_usage(struct slice part, struct arena *scratch, struct usage *usage)
{
    static const struct slice name = {"\"usage\"", 7};
    ptrdiff_t at;
    while ((at = slice_find(part, name)) >= 0) {
        part = slice_from(part, (size_t)at + name.len);
        if (usage_behind(part, scratch, usage))
            return true;
    }
    return false;
}

const struct dialect openai_chat = {
    .name = "openai",
    .error_body = error_body,
    .error_event = error_event,
    .stream_event = stream_event,
    .stream_usage = stream_usage,
    .stream_end = {"data: [DONE]\n\n", 14},
    .answer = answer,
    .input_usage = input_usage,
};
