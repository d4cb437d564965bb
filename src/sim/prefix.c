// The prompt's layout for a prefix cache.
#include "base/hash.h"
#include "sim/script.h"

enum { PIECE = SIM_PREFIX_TOK * 4, FRAME = 16 };

struct chain {
    uint64_t *hashes;
    uint32_t count, room;
    uint64_t before; // the last hash
    char piece[PIECE];
    uint32_t fill;
};

static void feed(struct chain *c, struct slice s)
{
    while (s.len) {
        size_t n = PIECE - c->fill < s.len ? PIECE - c->fill : s.len;
        memcpy(c->piece + c->fill, s.ptr, n);
        c->fill += (uint32_t)n;
        s = slice_from(s, n);
        if (c->fill < PIECE)
            return;
        c->fill = 0;
        c->before = hash_fnv(c->before, slice_make(c->piece, PIECE));
        if (c->count < c->room)
            c->hashes[c->count++] = c->before;
    }
}

// To whole tokens, as they are counted.
static void feed_padded(struct chain *c, struct slice s)
{
    static const char zeros[4];
    feed(c, s);
    feed(c, slice_make(zeros, (4 - s.len % 4) % 4));
}

static void feed_message(struct chain *c, struct slice role, struct slice text)
{
    char frame[FRAME] = {0};
    memcpy(frame, role.ptr, role.len < FRAME ? role.len : FRAME);
    feed(c, slice_make(frame, FRAME));
    feed_padded(c, text);
}

enum result sim_request_prefix(const struct sim_request *r, const struct sim_answer *answer,
                               struct arena *arena, const uint64_t **hashes, uint32_t *count)
{
    const struct json *j = &r->json;
    uint32_t tools = json_get(j, 0, SLICE("tools"), NULL), at = 0, message;
    uint32_t messages = json_get(j, 0, SLICE("messages"), NULL);
    uint32_t salt = json_get(j, 0, SLICE("cache_salt"), NULL);
    struct chain c = {.before = hash_fnv(2, r->model)};
    struct slice said = SLICE_EMPTY;
    if (answer && answer->count && !answer->tool_call) {
        const struct slice *last = answer->tokens + answer->count - 1;
        said =
            slice_make(answer->tokens->ptr, (size_t)(last->ptr + last->len - answer->tokens->ptr));
    }
    c.room = (uint32_t)((j->text.len + said.len) / SIM_PREFIX_TOK + 4);
    c.hashes = ARENA_ARRAY(arena, uint64_t, c.room);
    if (!c.hashes)
        return RESULT_NOMEM;
    if (salt != JSON_NONE)
        c.before = hash_fnv(c.before, json_raw(j, salt));
    if (tools != JSON_NONE && json_type(j, tools) == JSON_ARRAY)
        feed_padded(&c, json_raw(j, tools));
    while (json_element(j, messages, &at, &message)) {
        uint32_t role = json_get(j, message, SLICE("role"), NULL);
        feed_message(&c, json_raw(j, role), sim_content(j, message, arena));
    }
    if (said.len)
        feed_message(&c, SLICE("assistant"), said);
    *hashes = c.hashes;
    *count = c.count;
    return RESULT_OK;
}
