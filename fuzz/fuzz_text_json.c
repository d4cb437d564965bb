// JSON: every tier gives the same verdict and tape; what was read survives decoding and writing; random edits of an
// accepted text give a text that is accepted, with the members that were asked for.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "text/json.h"
#include "text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static const struct json_limits limits = {40, 20000};

// The tape of the best tier, after all others gave the same.
static enum result parse_all(struct json *j, struct slice text, struct arena *arena)
{
    enum result r = json_parse(j, text, &limits, arena);
    for (int tier = 0; tier < JSON_TIER_BEST; tier++) {
        struct json other;
        if (json_force_tier((enum json_tier)tier))
            continue;
        MUST(json_parse(&other, text, &limits, arena) == r);
        MUST(other.error_at == j->error_at && other.count == j->count);
        for (uint32_t i = 0; i < j->count; i++) {
            const struct json_token *a = &j->tokens[i], *b = &other.tokens[i];
            MUST(a->at == b->at && a->len == b->len && a->next == b->next && a->type == b->type);
            MUST(a->escaped == b->escaped && a->is_key == b->is_key);
        }
    }
    MUST(!json_force_tier(JSON_TIER_BEST));
    MUST(!r || j->error_at <= text.len);
    return r;
}

static void check_token(const struct json *j, uint32_t token, struct arena *arena)
{
    struct buf out;
    struct json again;
    double d, back;
    buf_init(&out, 1 << 20);
    MUST(json_end(j, token) <= j->text.len && j->tokens[token].next <= j->count);
    if (json_type(j, token) == JSON_STRING) {
        struct slice s = json_string(j, token, arena);
        MUST((s.ptr || !s.len) && utf8_valid(s) && json_string_is(j, token, s));
        MUST(json_raw_offset(json_raw(j, token), (uint32_t)s.len) == j->tokens[token].len);
        json_write_string(&out, s);
        MUST(!json_parse(&again, buf_slice(&out), &limits, arena));
        MUST(json_string_is(&again, 0, s));
    } else if (json_type(j, token) == JSON_NUMBER && !json_double(j, token, &d)) {
        char text[64];
        struct slice raw = json_raw(j, token);
        if (raw.len < sizeof text) {
            memcpy(text, raw.ptr, raw.len);
            text[raw.len] = '\0';
            back = strtod(text, NULL);
            MUST(!memcmp(&back, &d, sizeof d));
        }
        json_write_double(&out, d);
        MUST(!json_parse(&again, buf_slice(&out), &limits, arena) &&
             !json_double(&again, 0, &back));
        MUST(!memcmp(&back, &d, sizeof d));
    }
    buf_deinit(&out);
}

static void check_edits(const struct json *j, struct rng *r, struct arena *arena)
{
    struct json_edits edits;
    struct slice pieces[2 * JSON_EDITS_MAX + 1];
    uint64_t total;
    uint32_t at = 0, key, value, members = 0, removed = 0, added = 0, replaced = 0;
    if (json_type(j, 0) != JSON_OBJECT)
        return;
    json_edits_init(&edits);
    while (json_member(j, 0, &at, &key, &value)) {
        members++;
        switch (rng_below(r, 4)) {
        case 0:
            removed += !json_edit_remove(&edits, j, 0, key);
            break;
        case 1:
            replaced += !json_edit_value(&edits, j, value, SLICE("{\"\\u0000new\":[]}"));
            break;
        case 2:
            added += !json_edit_member(&edits, j, 0, SLICE("\"\\u0000added\":7"));
            break;
        default:
            if (json_type(j, value) == JSON_OBJECT)
                json_edit_member(&edits, j, value, SLICE("\"\\u0000inner\":8"));
        }
    }
    struct buf text;
    buf_init(&text, 1 << 22);
    uint32_t n = json_edit_pieces(&edits, j->text, pieces, &total);
    for (uint32_t i = 0; i < n; i++)
        buf_add(&text, pieces[i]);
    MUST(n <= 2 * JSON_EDITS_MAX + 1 && text.len == total);
    struct json after;
    struct json_limits wider = {limits.depth_max + 1, limits.token_max + 64};
    MUST(!json_parse(&after, buf_slice(&text), &wider, arena));
    uint32_t left = 0, new_values = 0, new_members = 0;
    for (at = 0; json_member(&after, 0, &at, &key, &value); left++) {
        new_members += json_string_is(&after, key, SLICE("\0added"));
        if (json_type(&after, value) == JSON_OBJECT && after.tokens[value].next == value + 3)
            new_values += json_string_is(&after, value + 1, SLICE("\0new"));
    }
    MUST(left == members - removed + added && new_members >= added && new_values >= replaced);
    buf_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct json j;
    struct rng r;
    arena_init(&arena, 16384, 64 << 20);
    // A copy of just this length, so that reads behind it are seen.
    char *text = malloc(size ? size : 1);
    MUST(text);
    if (size)
        memcpy(text, data, size);
    if (!parse_all(&j, slice_make(text, size), &arena)) {
        MUST(j.count && j.tokens[0].next == j.count);
        for (uint32_t i = 0; i < j.count && i < 2000; i++)
            check_token(&j, i, &arena);
        rng_seed(&r, size + j.count);
        for (int i = 0; i < 3; i++)
            check_edits(&j, &r, &arena);
    }
    free(text);
    arena_deinit(&arena);
    return 0;
}
