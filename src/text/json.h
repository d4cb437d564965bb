// Strict JSON: a flat tape of tokens over the caller's bytes, and edits that splice those bytes.
//
// json_parse accepts RFC 8259 and nothing else: UTF-8 without a byte order mark, no unescaped
// control characters (NUL is one; its escape is legal and decodes to a zero byte), no lone
// surrogates, one value, nesting up to `depth_max`. The tape's tokens are in document order; a
// container is followed by its content. Nothing is decoded until asked for. Tokens hold 32-bit
// offsets, so a text is shorter than 4 GiB. The tape is memory from an arena and lives as long as
// that and the text.
//
// Vector instructions are chosen at run time (AVX2, else SSE2 or NEON, else scalar); json_force_tier is for tests.
#ifndef MERIT_TEXT_JSON_H
#define MERIT_TEXT_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/result.h"
#include "base/slice.h"

enum json_type {
    JSON_OBJECT,
    JSON_ARRAY,
    JSON_STRING,
    JSON_NUMBER,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL
};

struct json_token {
    uint32_t at, len; // of a string without its quotes; of a container from bracket to bracket
    uint32_t next; // index of the token behind this value (behind the whole content of a container)
    uint8_t type;  // enum json_type
    bool escaped;  // a string with a backslash
    bool is_key;
};

enum { JSON_NONE = UINT32_MAX, JSON_DEPTH_MAX_DEFAULT = 64 };

struct json_limits {
    uint32_t depth_max, token_max;
};
extern const struct json_limits json_limits_default; // 64 deep, 1,000,000 tokens

struct json {
    struct slice text;
    const struct json_token *tokens;
    uint32_t count;
    uint32_t error_at; // byte offset where parsing failed
};

// RESULT_SYNTAX, RESULT_UTF8, RESULT_DEPTH, RESULT_LIMIT (tokens), RESULT_NOMEM. Token 0 is the root.
enum result json_parse(struct json *j, struct slice text, const struct json_limits *limits,
                       struct arena *arena);

// The token of the key's value, or JSON_NONE. Keys are compared after unescaping. RESULT-free look-up for one key:
// when the key stands twice, the first is returned and `*duplicate` (may be NULL) is set.
uint32_t json_get(const struct json *j, uint32_t object, struct slice key, bool *duplicate);

// Walks an object: `*key` and `*value` of the next member; begin with *at = 0. False at the end.
bool json_member(const struct json *j, uint32_t object, uint32_t *at, uint32_t *key,
                 uint32_t *value);
// Walks an array likewise.
bool json_element(const struct json *j, uint32_t array, uint32_t *at, uint32_t *value);

static inline enum json_type json_type(const struct json *j, uint32_t token)
{
    return (enum json_type)j->tokens[token].type;
}

// The bytes of a token as they stand (a string without its quotes).
static inline struct slice json_raw(const struct json *j, uint32_t token)
{
    return slice_make(j->text.ptr + j->tokens[token].at, j->tokens[token].len);
}

// A string's bytes stand between quotes: where the value begins and ends in the text, quotes and brackets included.
static inline uint32_t json_begin(const struct json *j, uint32_t token)
{
    return j->tokens[token].at - (j->tokens[token].type == JSON_STRING);
}
static inline uint32_t json_end(const struct json *j, uint32_t token)
{
    return j->tokens[token].at + j->tokens[token].len + (j->tokens[token].type == JSON_STRING);
}

// The decoded string: a slice of the text when nothing is escaped, else decoded into the arena (ptr NULL: no memory).
struct slice json_string(const struct json *j, uint32_t token, struct arena *arena);
// Equal after unescaping, without allocating.
bool json_string_is(const struct json *j, uint32_t token, struct slice s);
// For each byte of the decoded string the place in the raw one: the raw offset of decoded offset `at` (<= length).
uint32_t json_raw_offset(struct slice raw, uint32_t at);
// RESULT_TYPE (also for JSON_NONE), RESULT_RANGE (a fraction, negative or too large). 1e3 and 5.0 are whole.
enum result json_u64(const struct json *j, uint32_t token, uint64_t *out);
// The nearest double. RESULT_TYPE (also for JSON_NONE), RESULT_RANGE (beyond the largest).
enum result json_double(const struct json *j, uint32_t token, double *out);
// `otherwise` when the token is JSON_NONE or neither true nor false.
bool json_bool(const struct json *j, uint32_t token, bool otherwise);

// Edits of the text, applied together without touching what is not edited; commas are settled when they are applied,
// so members may be added to and removed from one object in any order and number. Edits must not overlap otherwise (a
// value replaced inside a member that is removed: asserted when applied). New bytes are JSON already and must outlive
// the list. JSON_EDITS_MAX edits fit, where a member that is added counts twice; RESULT_LIMIT beyond.
enum { JSON_EDITS_MAX = 32 };
struct json_edit {
    uint32_t at, remove;
    struct slice insert;
    uint32_t object, prev_end, next_at; // private, as are the rest
    uint8_t kind;
    bool comma;
};
struct json_edits {
    struct json_edit items[JSON_EDITS_MAX];
    uint32_t count;
};
// Empties the list.
static inline void json_edits_init(struct json_edits *e)
{
    e->count = 0;
}
// Replaces a whole value (quotes included).
enum result json_edit_value(struct json_edits *e, const struct json *j, uint32_t value,
                            struct slice with);
// Adds a member at the front of an object (of several, in the order they were added); `member` is `"key":value` without
// a comma.
enum result json_edit_member(struct json_edits *e, const struct json *j, uint32_t object,
                             struct slice member);
// Takes a member out, with the comma that goes with it. `key` is the key's token.
enum result json_edit_remove(struct json_edits *e, const struct json *j, uint32_t object,
                             uint32_t key);
// The edited text as at most 2 * JSON_EDITS_MAX + 1 pieces, in order, slices of the text and of the edits; returns how
// many and their total length. Sorts the list and settles the commas: apply a list once.
uint32_t json_edit_pieces(struct json_edits *e, struct slice text,
                          struct slice pieces[2 * JSON_EDITS_MAX + 1], uint64_t *total);

// Writing. Appends the string with quotes, escaping what must be; invalid UTF-8 becomes U+FFFD.
void json_write_string(struct buf *out, struct slice s);
// A finite number in the shortest form that reads back the same (at most 17 digits); null when not finite.
void json_write_double(struct buf *out, double v);

enum json_tier { JSON_TIER_SCALAR, JSON_TIER_SSE2, JSON_TIER_AVX2, JSON_TIER_NEON, JSON_TIER_BEST };
// RESULT_UNSUPPORTED when this CPU lacks it. Tests only.
enum result json_force_tier(enum json_tier tier);

#endif
