#include "text/json.h"

#include <assert.h>
#include <string.h>

#include "text/json_scan.h"
#include "text/utf8.h"

enum { TOKENS_FIRST_MAX = 1024 };

const struct json_limits json_limits_default = {JSON_DEPTH_MAX_DEFAULT, 1000000};

// The parser at work. `tokens` has room for `room`, at most token_max.
struct tape {
    const unsigned char *text, *end;
    struct json_token *tokens;
    uint32_t count, room;
    const struct json_limits *limits;
    struct arena *arena;
    const struct json_kernels *kernels;
    const unsigned char *wrong;
};

static enum result tape_grow(struct tape *t)
{
    if (t->room >= t->limits->token_max)
        return RESULT_LIMIT;
    uint32_t room = t->room > t->limits->token_max / 2 ? t->limits->token_max : t->room * 2;
    size_t old = (size_t)t->room * sizeof *t->tokens, size = (size_t)room * sizeof *t->tokens;
    if (!arena_resize_last(t->arena, t->tokens, old, size)) {
        struct json_token *tokens = arena_alloc(t->arena, size);
        if (!tokens)
            return RESULT_NOMEM;
        memcpy(tokens, t->tokens, old);
        t->tokens = tokens;
    }
    t->room = room;
    return RESULT_OK;
}

static inline enum result tape_push(struct tape *t, const unsigned char *p, size_t len,
                                    enum json_type type, bool escaped, bool is_key)
{
    if (MERIT_UNLIKELY(t->count == t->room)) {
        enum result r = tape_grow(t);
        if (r) {
            t->wrong = p;
            return r;
        }
    }
    struct json_token *token = &t->tokens[t->count++];
    *token = (struct json_token){
        .at = (uint32_t)(p - t->text),
        .len = (uint32_t)len,
        .next = t->count,
        .type = (uint8_t)type,
        .escaped = escaped,
        .is_key = is_key,
    };
    return RESULT_OK;
}

static inline bool is_space(unsigned char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

// Pretty-printed text: indentation goes by words.
static const unsigned char *skip_long_space(const unsigned char *p, const unsigned char *end)
{
    static const char spaces[8] = "        ";
    while (p < end && is_space(*p)) {
        p++;
        while (end - p >= 8 && memcmp(p, spaces, 8) == 0)
            p += 8;
    }
    return p;
}

static inline const unsigned char *skip_space(const unsigned char *p, const unsigned char *end)
{
    if (p < end && *p == ' ')
        p++;
    return p < end && *p <= ' ' ? skip_long_space(p, end) : p;
}

static inline bool is_digit(const unsigned char *p, const unsigned char *end)
{
    return p < end && (unsigned)(*p - '0') < 10;
}

static inline const unsigned char *skip_digits(const unsigned char *p, const unsigned char *end)
{
    while (is_digit(p, end))
        p++;
    return p;
}

// Behind the number at *p; NULL when it is none, with *p at the byte that is wrong.
static const unsigned char *scan_number(const unsigned char **at, const unsigned char *end)
{
    const unsigned char *p = *at;
    if (*p == '-')
        p++;
    if (!is_digit(p, end))
        goto wrong;
    p = *p == '0' ? p + 1 : skip_digits(p, end);
    if (p < end && *p == '.') {
        p++;
        if (!is_digit(p, end))
            goto wrong;
        p = skip_digits(p, end);
    }
    if (p < end && (*p | 0x20) == 'e') {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        if (!is_digit(p, end))
            goto wrong;
        p = skip_digits(p, end);
    }
    return p;
wrong:
    *at = p;
    return NULL;
}

// A string whose opening quote is at *p, which moves behind its closing quote.
static inline enum result tape_string(struct tape *t, const unsigned char **p, bool is_key)
{
    const unsigned char *first = *p + 1;
    int short_len = t->kernels->probe ? json_scan_probe(first, t->end) : -1;
    if (short_len >= 0) {
        *p = first + short_len + 1;
        return tape_push(t, first, (size_t)short_len, JSON_STRING, false, is_key);
    }
    struct json_found found = t->kernels->scan(first, t->end);
    if (MERIT_UNLIKELY(!found.closed)) {
        t->wrong = found.stop;
        return RESULT_SYNTAX;
    }
    size_t len = (size_t)(found.stop - first);
    if (MERIT_UNLIKELY(found.high) && !utf8_valid(slice_make(first, len))) {
        t->wrong = first;
        return RESULT_UTF8;
    }
    *p = found.stop + 1;
    return tape_push(t, first, len, JSON_STRING, found.escaped, is_key);
}

// A number, true, false or null at *p, which moves behind it.
static inline enum result tape_scalar(struct tape *t, const unsigned char **p)
{
    static const struct {
        char text[5];
        unsigned char len;
        enum json_type type;
    } words[] = {{"true", 4, JSON_TRUE}, {"false", 5, JSON_FALSE}, {"null", 4, JSON_NULL}};
    const unsigned char *first = *p;
    if (*first == '-' || is_digit(first, t->end)) {
        const unsigned char *stop = scan_number(p, t->end);
        if (!stop) {
            t->wrong = *p;
            return RESULT_SYNTAX;
        }
        *p = stop;
        return tape_push(t, first, (size_t)(stop - first), JSON_NUMBER, false, false);
    }
    for (size_t i = 0; i < MERIT_COUNT(words); i++) {
        size_t len = words[i].len;
        if ((size_t)(t->end - first) >= len && memcmp(first, words[i].text, len) == 0) {
            *p = first + len;
            return tape_push(t, first, len, words[i].type, false, false);
        }
    }
    t->wrong = first;
    return RESULT_SYNTAX;
}

// The grammar as a machine of five states. An open container keeps its parent's index in `next`, so that nesting
// needs no stack.
static enum result tape_fill(struct tape *t)
{
    const unsigned char *p = t->text, *end = t->end;
    uint32_t open = JSON_NONE, depth = 0;
    enum result r = RESULT_SYNTAX;
    bool object;

value:
    p = skip_space(p, end);
    if (p == end)
        goto wrong;
    if (*p == '"') {
        if ((r = tape_string(t, &p, false)))
            return r;
        goto after;
    }
    if (*p != '{' && *p != '[') {
        if ((r = tape_scalar(t, &p)))
            return r;
        goto after;
    }
    if (depth == t->limits->depth_max) {
        r = RESULT_DEPTH;
        goto wrong;
    }
    object = *p == '{';
    if ((r = tape_push(t, p, 0, object ? JSON_OBJECT : JSON_ARRAY, false, false)))
        return r;
    t->tokens[t->count - 1].next = open;
    open = t->count - 1;
    depth++;
    p = skip_space(p + 1, end);
    r = RESULT_SYNTAX;
    if (p == end)
        goto wrong;
    if (*p == (object ? '}' : ']'))
        goto close;
    if (!object)
        goto value;
key:
    r = RESULT_SYNTAX;
    if (p == end || *p != '"')
        goto wrong;
    if ((r = tape_string(t, &p, true)))
        return r;
    p = skip_space(p, end);
    r = RESULT_SYNTAX;
    if (p == end || *p != ':')
        goto wrong;
    p++;
    goto value;
after:
    p = skip_space(p, end);
    if (open == JSON_NONE) {
        if (p == end)
            return RESULT_OK;
        r = RESULT_SYNTAX;
        goto wrong;
    }
    r = RESULT_SYNTAX;
    object = t->tokens[open].type == JSON_OBJECT;
    if (p == end)
        goto wrong;
    if (*p == ',') {
        p++;
        if (!object)
            goto value;
        p = skip_space(p, end);
        goto key;
    }
    if (*p != (object ? '}' : ']'))
        goto wrong;
close:
    p++;
    {
        struct json_token *c = &t->tokens[open];
        open = c->next;
        c->next = t->count;
        c->len = (uint32_t)(p - t->text) - c->at;
        depth--;
    }
    goto after;
wrong:
    t->wrong = p;
    return r;
}

enum result json_parse(struct json *j, struct slice text, const struct json_limits *limits,
                       struct arena *arena)
{
    *j = (struct json){.text = text};
    if (text.len >= UINT32_MAX)
        return RESULT_LIMIT;
    if (!text.len)
        return RESULT_SYNTAX;
    if (!limits->token_max)
        return RESULT_LIMIT;
    // A chat body has about one token in 20 bytes; a body of numbers grows the array as it goes.
    size_t room = text.len / 16 + 8;
    if (room > TOKENS_FIRST_MAX)
        room = TOKENS_FIRST_MAX;
    if (room > limits->token_max)
        room = limits->token_max;
    struct tape t = {
        .text = (const unsigned char *)text.ptr,
        .end = (const unsigned char *)text.ptr + text.len,
        .tokens = arena_alloc(arena, room * sizeof *t.tokens),
        .room = (uint32_t)room,
        .limits = limits,
        .arena = arena,
        .kernels = json_kernels_active(),
    };
    if (!t.tokens)
        return RESULT_NOMEM;
    enum result r = tape_fill(&t);
    // What was not used goes back to the arena: everything after a failure.
    arena_resize_last(arena, t.tokens, t.room * sizeof *t.tokens,
                      r ? 0 : t.count * sizeof *t.tokens);
    if (r) {
        j->error_at = (uint32_t)(t.wrong - t.text);
        return r;
    }
    j->tokens = t.tokens;
    j->count = t.count;
    return RESULT_OK;
}

uint32_t json_get(const struct json *j, uint32_t object, struct slice key, bool *duplicate)
{
    assert(object < j->count && j->tokens[object].type == JSON_OBJECT);
    uint32_t found = JSON_NONE, end = j->tokens[object].next;
    if (duplicate)
        *duplicate = false;
    for (uint32_t at = object + 1; at < end; at = j->tokens[at + 1].next) {
        const struct json_token *token = &j->tokens[at];
        if (token->escaped ? !json_string_is(j, at, key)
                           : token->len != key.len ||
                                 (key.len && memcmp(j->text.ptr + token->at, key.ptr, key.len)))
            continue;
        if (found == JSON_NONE)
            found = at + 1;
        else if (duplicate)
            *duplicate = true;
        if (!duplicate || *duplicate)
            break;
    }
    return found;
}

bool json_member(const struct json *j, uint32_t object, uint32_t *at, uint32_t *key,
                 uint32_t *value)
{
    assert(object < j->count && j->tokens[object].type == JSON_OBJECT);
    uint32_t next = *at ? *at : object + 1;
    if (next >= j->tokens[object].next)
        return false;
    *key = next;
    *value = next + 1;
    *at = j->tokens[next + 1].next;
    return true;
}

bool json_element(const struct json *j, uint32_t array, uint32_t *at, uint32_t *value)
{
    assert(array < j->count && j->tokens[array].type == JSON_ARRAY);
    uint32_t next = *at ? *at : array + 1;
    if (next >= j->tokens[array].next)
        return false;
    *value = next;
    *at = j->tokens[next].next;
    return true;
}

// The decoded bytes of the escape at p; returns how many.
static unsigned decode_escape(const unsigned char *p, char out[4])
{
    return utf8_put(json_escape_code(p), out);
}

struct slice json_string(const struct json *j, uint32_t token, struct arena *arena)
{
    assert(token < j->count && j->tokens[token].type == JSON_STRING);
    struct slice raw = json_raw(j, token);
    if (!j->tokens[token].escaped)
        return raw;
    char *text = arena_alloc_aligned(arena, raw.len, 1), *out = text;
    if (!text)
        return SLICE_EMPTY;
    const unsigned char *p = (const unsigned char *)raw.ptr, *end = p + raw.len;
    while (p < end) {
        const unsigned char *slash = memchr(p, '\\', (size_t)(end - p));
        size_t plain = (size_t)((slash ? slash : end) - p);
        memcpy(out, p, plain);
        out += plain;
        p += plain;
        // Escapes often come in rows (code, JSON in JSON), each with a few bytes between.
        if (slash) {
            out += decode_escape(p, out);
            p += json_escape_length(p, end);
        }
    }
    size_t len = (size_t)(out - text);
    arena_resize_last(arena, text, raw.len, len);
    return slice_make(text, len);
}

bool json_string_is(const struct json *j, uint32_t token, struct slice s)
{
    if (j->tokens[token].type != JSON_STRING)
        return false;
    struct slice raw = json_raw(j, token);
    if (!j->tokens[token].escaped)
        return slice_eq(raw, s);
    const unsigned char *p = (const unsigned char *)raw.ptr, *end = p + raw.len;
    size_t at = 0;
    while (p < end) {
        char piece[4];
        unsigned raw_len = 1, len = 1;
        piece[0] = (char)*p;
        if (*p == '\\') {
            raw_len = json_escape_length(p, end);
            len = decode_escape(p, piece);
        }
        if (s.len - at < len || memcmp(s.ptr + at, piece, len))
            return false;
        at += len;
        p += raw_len;
    }
    return at == s.len;
}

uint32_t json_raw_offset(struct slice raw, uint32_t at)
{
    if (!raw.len)
        return 0;
    const unsigned char *first = (const unsigned char *)raw.ptr, *p = first, *end = p + raw.len;
    while (p < end) {
        const unsigned char *slash = memchr(p, '\\', (size_t)(end - p));
        size_t plain = (size_t)((slash ? slash : end) - p);
        if (at < plain)
            return (uint32_t)(p - first) + at;
        at -= (uint32_t)plain;
        p += plain;
        if (!slash)
            break;
        char piece[4];
        unsigned len = decode_escape(p, piece);
        if (at < len)
            break;
        at -= len;
        p += json_escape_length(p, end);
    }
    return (uint32_t)(p - first);
}

bool json_bool(const struct json *j, uint32_t token, bool otherwise)
{
    if (token == JSON_NONE)
        return otherwise;
    enum json_type type = json_type(j, token);
    return type == JSON_TRUE || (type != JSON_FALSE && otherwise);
}
