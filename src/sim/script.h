// What a simulated model answers: a pure function of the request, its model's profile and a seed.
#ifndef MERIT_SIM_SCRIPT_H
#define MERIT_SIM_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/result.h"
#include "base/slice.h"
#include "text/json.h"

enum sim_manner { SIM_SHORT, SIM_PLAIN, SIM_STEPS, SIM_LONG };

struct sim_profile {
    const char *name;
    uint32_t first_ms, each_ms; // to the first token, and for each one more
    uint32_t context_tok, output_tok;
    enum sim_manner manner;
};

enum {
    SIM_PROFILES = 4,
    SIM_CHOICES_MAX = 8,
    SIM_STOPS_MAX = 4,
    SIM_DEPTH_MAX = 8,
    SIM_OUTPUT_MAX = 100000
};
extern const struct sim_profile sim_profiles[SIM_PROFILES];
// By name, or by the hash of an unknown one.
const struct sim_profile *sim_profile_for(struct slice model);

// Misbehaviour on request; the words are in sim/pool.h. Numbers are UINT32_MAX when not given.
struct sim_directive {
    struct slice text; // all of it, for counting
    uint32_t status, retry_after_s, delay_ms, slow_ms, header_bytes, tokens, times, port;
    uint32_t cut_after, error_after, hang_after;
    struct slice type, model;
    bool garbage, empty, no_done, no_usage;
};
// RESULT_SYNTAX: `*bad` is the word that is not understood. Slices are of `text`.
enum result sim_directive_parse(struct slice text, struct sim_directive *out, struct slice *bad);

struct sim_answer;

// The request as far as the simulation looks at it. Slices are of the body or in the arena.
struct sim_request {
    struct json json;
    struct slice model;
    struct slice user;      // text of the last user message
    struct slice tool_text; // the last message's text when that is a tool's result
    struct slice directive; // in the text or in metadata.sim; ptr NULL without
    bool stream, usage, logprobs, wants_json;
    uint32_t choices, max_tok, prompt_tok; // max_tok UINT32_MAX without
    struct slice stops[SIM_STOPS_MAX];
    uint32_t stop_count;
    uint64_t seed;
    uint32_t schema;      // token of a JSON schema to follow, or JSON_NONE
    bool echo;            // the answer is the last user message
    struct slice tool;    // name of the tool to call; ptr NULL without
    uint32_t tool_schema; // of its parameters, or JSON_NONE
};

// The text of a message's content: a string, or its text parts one after the other.
struct slice sim_content(const struct json *j, uint32_t message, struct arena *arena);

// Why a request is refused, in OpenAI's words.
struct sim_error {
    int status;
    const char *type, *code, *param; // code and param may be NULL
    struct slice message;
};

// RESULT_SYNTAX with `error`; RESULT_NOMEM. `header` is a directive that came as a header, or empty.
enum result sim_request_read(struct sim_request *r, struct slice body, struct slice header,
                             struct arena *arena, struct sim_error *error);

// Chained hashes of the prompt as a chat template would lay it out, tools first, then the messages, one for each
// SIM_PREFIX_TOK tokens of four bytes; then of `answer`, when it is text, as the next turn would repeat it. So two requests
// share hashes as far as their prompts are the same. RESULT_NOMEM.
enum { SIM_PREFIX_TOK = 16 };
enum result sim_request_prefix(const struct sim_request *r, const struct sim_answer *answer,
                               struct arena *arena, const uint64_t **hashes, uint32_t *count);

// One choice: its tokens in order. For a tool call they are the pieces of its arguments.
struct sim_answer {
    struct slice *tokens;
    uint32_t count;
    bool tool_call;
    const char *finish; // "stop", "length", "tool_calls"
};
// `tokens_wanted` UINT32_MAX: as many as it takes. RESULT_NOMEM.
enum result sim_answer(const struct sim_request *r, const struct sim_profile *p, struct slice model,
                       uint32_t choice, uint64_t seed, uint32_t tokens_wanted, struct arena *arena,
                       struct sim_answer *out);

// A value that a JSON schema accepts, as far as type, enum, const, properties, items, anyOf and local $ref go.
// Strings become `hint`.
void sim_schema_write(const struct json *j, uint32_t schema, struct slice hint, struct buf *out);

#endif
