// OpenAI's chat completions, the asking side: from a body to work. Pure, no sockets.
//
// Strict where routing depends on it, blind to everything else: unknown fields and unknown kinds of parts pass
// untouched, because the upstream may know them. A missing or empty `model` means "auto". The keys that routing reads
// may stand once only (compared after unescaping), so that no upstream can read another request than Merit did.
#ifndef MERIT_API_OPENAI_REQUEST_H
#define MERIT_API_OPENAI_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "text/json.h"
#include "work/work.h"

// Why a body is refused, in OpenAI's terms. Static strings, but for the message and a param with an
// index, which lie in the arena. Codes: invalid_json, missing_field, invalid_type, invalid_value,
// duplicate_field, limit, no_memory.
struct openai_fault {
    int status; // 400, 413, 500
    const char *code;
    const char *param;    // "messages", "messages[3].role"; NULL when none is at fault
    struct slice message; // one sentence
};

// Where the things stand that are edited before the body goes on: tokens of `json`, JSON_NONE when absent.
struct openai_request {
    struct json json;
    uint32_t model, model_key; // value and key
    uint32_t stream_options, stream_options_key;
    uint32_t include_usage;
    uint32_t max_tokens, max_completion_tokens, n_predict; // values
    uint32_t template_kwargs;                              // chat_template_kwargs
    bool multiple_choices;                                 // n > 1
    // Tools that the upstream runs by itself may act: a tool of any type but "function" and "custom", or one of
    // web_search_options, plugins and mcp_servers.
    bool acts;
};

enum { OPENAI_BODY_MAX = 64 * 1024 * 1024, OPENAI_CHOICES_MAX = 128, OPENAI_SESSION_MAX = 256 };

// Fills `w` but for headers, header_count and caller, which the caller sets before: the session is taken from the
// headers first (x-session-id, x-inferoa-session-id, x-claude-code-session-id, session_id, session-id), then from the
// body (session_id, conversation_id, prompt_cache_key, metadata.user_id, user). `body` must outlive the work.
// RESULT_OK; RESULT_NOMEM; anything else with `*fault` filled: RESULT_SYNTAX, RESULT_UTF8, RESULT_DEPTH, RESULT_LIMIT,
// RESULT_DUPLICATE, RESULT_TYPE, RESULT_RANGE, RESULT_NOT_FOUND (a field is missing).
enum result openai_request_parse(struct slice body, struct arena *arena, struct work *w,
                                 struct openai_request *r,
                                 struct openai_fault *fault) MERIT_NODISCARD;

// Whether a header of this name may hold the session; the others can be left out of work.headers when no signal reads
// headers.
bool openai_names_session(struct slice name);

#endif
