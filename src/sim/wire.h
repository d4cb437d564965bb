// OpenAI's wire format for chat completions, as the simulation writes it.
#ifndef MERIT_SIM_WIRE_H
#define MERIT_SIM_WIRE_H

#include "sim/script.h"

struct sim_wire {
    struct slice id, model; // "chatcmpl-sim-..."
    uint64_t created_s, serial;
    const struct sim_request *request;
    const struct sim_answer *answers; // one per choice
    bool no_usage;
    uint32_t cached_tok; // of the prompt
};

// The whole answer, a JSON object.
void sim_wire_completion(const struct sim_wire *w, struct buf *out);

// A stream is a row of events; `at` begins as zero and sim_wire_event appends the next one, `data: ...` with its
// blank line. False at the end, after `data: [DONE]`. With several choices their tokens take turns.
struct sim_cursor {
    enum { SIM_AT_ROLE, SIM_AT_TOKEN, SIM_AT_FINISH, SIM_AT_USAGE, SIM_AT_DONE, SIM_AT_END } phase;
    uint32_t choice, token;
};
bool sim_wire_event(const struct sim_wire *w, struct sim_cursor *at, struct buf *out);

// {"error": {...}}
void sim_wire_error(const struct sim_error *e, struct buf *out);
void sim_wire_model(struct slice name, struct buf *out);

#endif
