// Where the sessions are: of each the place and model that answered last, how much of its prompt that place holds, and
// whether a call of a tool is outstanding.
//
// A session belongs to one caller: its identity is the hash of the key's id with the session's name, under a key of this
// process, so that nobody finds another's session by guessing its name and equal names of two callers are two sessions.
// After SESSIONS_IDLE_S without a request a session is nobody's: its prefix has most likely been evicted (llm-d and vLLM-SR
// use 300 s, too). An outstanding call of a tool holds the model (dispatch locks it), because the model that asked for the
// call has to read the result; it is released by time like everything else.
//
// Fixed memory: the table has room for SESSIONS_MAX; the one idle for longest of a bucket makes room. Any thread may look and
// note without a lock; of two that note at the same place at once one stays.
#ifndef MERIT_POOL_SESSIONS_H
#define MERIT_POOL_SESSIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"

enum {
    SESSIONS_MAX = 32768, // 768 kB
    SESSIONS_IDLE_S = 300,
    SESSIONS_PLACES_MAX = 1 << 11, // numbers of places and models that fit
    SESSIONS_MODELS_MAX = 1 << 12,
    SESSIONS_TOK_MAX = (1 << 24) - 1,
};

struct sessions;

// RESULT_NOMEM, RESULT_IO (no random key).
enum result sessions_open(struct sessions **out) MERIT_NODISCARD;
void sessions_close(struct sessions *s); // NULL: no-op

// The name of a caller's session; 0 without one: such a request has no session.
uint64_t sessions_name(const struct sessions *s, struct slice caller, struct slice session);

struct session_seen {
    int32_t place, model;
    uint32_t tok;  // of its prompt and answer that the place holds
    bool tool_out; // a call of a tool is outstanding
};
// False: not known, or idle for too long. `now_s`: of a clock that does not go back.
bool sessions_look(const struct sessions *s, uint64_t name, uint32_t now_s,
                   struct session_seen *out);
void sessions_note(struct sessions *s, uint64_t name, uint32_t now_s,
                   const struct session_seen *seen);
// The place's cache is empty now, or the place is gone: sessions stay with their model, and hold nothing.
void sessions_forget_place(struct sessions *s, int32_t place);

#endif
