#include "lsp/message.h"

#include "base/alloc.h"

// A document of the greatest size as one string, with a tape of a few tokens; a million edits at most.
static const struct json_limits limits = {.depth_max = 64, .token_max = 1000000};
enum { MESSAGE_BYTES_MAX = 160 * 1024 * 1024, ID_MAX = 256 };

uint32_t lsp_get(const struct lsp_message *m, uint32_t object, const char *key)
{
    if (object == JSON_NONE || json_type(&m->json, object) != JSON_OBJECT)
        return JSON_NONE;
    uint32_t value = json_get(&m->json, object, slice_cstr(key), NULL);
    return value != JSON_NONE && json_type(&m->json, value) == JSON_NULL ? JSON_NONE : value;
}

uint32_t lsp_find(const struct lsp_message *m, uint32_t object, const char *path)
{
    struct slice rest = slice_cstr(path), key;
    char name[64];
    while (slice_split(&rest, '.', &key)) {
        memcpy(name, key.ptr, key.len);
        name[key.len] = '\0';
        object = lsp_get(m, object, name);
    }
    return object;
}

struct slice lsp_string(struct lsp_message *m, uint32_t token)
{
    if (token == JSON_NONE || json_type(&m->json, token) != JSON_STRING)
        return SLICE_EMPTY;
    return json_string(&m->json, token, &m->arena);
}

bool lsp_position_read(const struct lsp_message *m, uint32_t token, struct lsp_position *out)
{
    uint64_t line, character;
    if (json_u64(&m->json, lsp_get(m, token, "line"), &line) ||
        json_u64(&m->json, lsp_get(m, token, "character"), &character) || line > UINT32_MAX ||
        character > UINT32_MAX)
        return false;
    *out = (struct lsp_position){(uint32_t)line, (uint32_t)character};
    return true;
}

bool lsp_range_read(const struct lsp_message *m, uint32_t token, struct lsp_range *out)
{
    return lsp_position_read(m, lsp_get(m, token, "start"), &out->start) &&
           lsp_position_read(m, lsp_get(m, token, "end"), &out->end);
}

// An id is a number or a string; it is given back as it came.
static struct slice id_of(const struct lsp_message *m)
{
    uint32_t id = json_get(&m->json, 0, SLICE("id"), NULL);
    if (id == JSON_NONE)
        return SLICE_EMPTY;
    enum json_type type = json_type(&m->json, id);
    uint32_t begin = json_begin(&m->json, id), end = json_end(&m->json, id);
    if ((type != JSON_STRING && type != JSON_NUMBER) || end - begin > ID_MAX)
        return SLICE_EMPTY;
    return slice_make(m->json.text.ptr + begin, end - begin);
}

static enum result read_message(struct lsp_message *m, struct slice body)
{
    struct slice text = arena_copy(&m->arena, body);
    if (!text.ptr)
        return RESULT_NOMEM;
    enum result r = json_parse(&m->json, text, &limits, &m->arena);
    if (r)
        return r == RESULT_NOMEM ? r : RESULT_SYNTAX;
    if (json_type(&m->json, 0) != JSON_OBJECT)
        return RESULT_TYPE;
    m->id = id_of(m);
    uint32_t version = json_get(&m->json, 0, SLICE("jsonrpc"), NULL),
             method = json_get(&m->json, 0, SLICE("method"), NULL);
    bool has_id = json_get(&m->json, 0, SLICE("id"), NULL) != JSON_NONE;
    m->params = lsp_get(m, 0, "params");
    if (version == JSON_NONE || json_type(&m->json, version) != JSON_STRING ||
        !json_string_is(&m->json, version, SLICE("2.0")))
        return RESULT_TYPE;
    if (method == JSON_NONE)
        return has_id ? RESULT_OK : RESULT_TYPE;
    m->method = lsp_string(m, method);
    return m->method.len && (m->id.len || !has_id) ? RESULT_OK : RESULT_TYPE;
}

static struct lsp_message *make(size_t size)
{
    struct lsp_message *m = alloc_zeroed(1, sizeof *m);
    if (m)
        arena_init(&m->arena, size, MESSAGE_BYTES_MAX);
    return m;
}

struct lsp_message *lsp_message_complaint(int error, const char *why)
{
    struct lsp_message *m = make(0);
    if (m) {
        m->error = error;
        m->why = why;
    }
    return m;
}

struct lsp_message *lsp_message_open(struct slice body)
{
    struct lsp_message *m = make(body.len + 1024);
    enum result r = m ? read_message(m, body) : RESULT_NOMEM;
    if (r == RESULT_NOMEM) {
        lsp_message_close(m);
        return NULL;
    }
    if (r == RESULT_SYNTAX) {
        lsp_message_close(m);
        return lsp_message_complaint(LSP_PARSE_ERROR, "the message is no JSON");
    }
    if (r) {
        m->error = LSP_INVALID_REQUEST;
        m->why = "the message is not of JSON-RPC 2.0";
    }
    return m;
}

void lsp_message_close(struct lsp_message *m)
{
    if (!m)
        return;
    arena_deinit(&m->arena);
    alloc_free(m);
}

void lsp_put_position(struct buf *out, struct lsp_position p)
{
    buf_printf(out, "{\"line\":%u,\"character\":%u}", p.line, p.character);
}

void lsp_put_range(struct buf *out, struct lsp_range r)
{
    BUF_LIT(out, "{\"start\":");
    lsp_put_position(out, r.start);
    BUF_LIT(out, ",\"end\":");
    lsp_put_position(out, r.end);
    BUF_LIT(out, "}");
}
