// Between path.c (attempts) and answer.c (what comes back). Private to path/.
#ifndef MERIT_PATH_PATH_INNER_H
#define MERIT_PATH_PATH_INNER_H

#include "base/compiler.h"
#include "path/path.h"

enum path_mode { MODE_WAIT, MODE_GATHER, MODE_STREAM, MODE_RELAY, MODE_PASS_ERROR };

// Why an attempt came to nothing, and what the client is told when nothing follows.
struct path_failure {
    int status;
    const char *code;
    enum path_outcome outcome;
    unsigned flags;
    const char *message;
};
enum {
    FAIL_ELSEWHERE = 1, // another place or model may do better
    FAIL_UNTAKEN = 2,   // the upstream has done nothing for it, for sure
    FAIL_FINAL = 4,     // the client need not come again
};

// failure.c
const struct path_failure *path_failure_of_error(enum result why, enum http_phase phase);
const struct path_failure *path_failure_of_status(int status);
extern const struct path_failure FAILURE_NO_MEMORY, FAILURE_NO_ROOM, FAILURE_NOT_ANSWERED,
    FAILURE_NOT_A_STREAM, FAILURE_NOT_JSON, FAILURE_ANSWER_TOO_LARGE, FAILURE_BAD_STREAM,
    FAILURE_ERROR_EVENT, FAILURE_EVENT_TOO_LARGE, FAILURE_EMPTY_STREAM, FAILURE_BAD_ANSWER,
    FAILURE_ERROR_ANSWER;

// path.c
// The attempt came to nothing and the client has seen no byte: a copy goes on, another attempt follows, or an error.
MERIT_COLD void path_fail(struct path_try *t, const struct path_failure *f);
// Its answer is the one that the client gets: the others are stopped.
void path_win(struct path_try *t);
// It is over: tells so, stops its call where it still runs, gives back what it holds but for what was gathered.
void path_leave(struct path_try *t, enum path_outcome outcome, const char *reason);
void path_finish(struct path *p, enum path_end end, int status, const char *reason,
                 const struct api_error *error);
void path_stamp_first_byte(struct path *p);
void path_drop_gathered(struct path_try *t);
// Sends Merit's own error. Nothing has gone to the client yet.
void path_end_with_error(struct path *p, const struct api_error *e, enum path_end end);
// The same attempt again, over a new connection.
void path_again(struct path_try *t);

// answer.c
extern const struct http_call_ops path_call_ops;

#endif
