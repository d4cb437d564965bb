// Asking an encoder: the joint between signals, which want to know what a text means, and the service that runs
// encoders (model/).
//
// A signal's `compute` records an ask and returns RESULT_AGAIN; the caller of the plan has it answered, on the compute
// pool or at once, and goes on. Asks of the same texts are one ask: several heads share one pass.
//
// An ask and its texts live in the run's arena, and so does the answer: the service copies into `arena` on the thread
// that owns it.
#ifndef MERIT_WORK_TRUNK_H
#define MERIT_WORK_TRUNK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"

enum trunk_model {
    TRUNK_EMBED,  // texts to vectors of length 1
    TRUNK_ENTITY, // texts to spans of names, places and the like
    TRUNK_MODELS
};

// What of a long text is read.
enum trunk_reading {
    TRUNK_TOPIC, // one window when it fits, else a window of its head, its middle and its tail
    TRUNK_WHOLE, // windows that overlap, over everything: for what must not be overlooked
};

struct trunk_window {
    uint32_t text, begin, end; // bytes of texts[text]
    const float *vector;       // [dim]
};

struct trunk_entity {
    uint32_t text, begin, end; // bytes of texts[text]
    uint32_t label;            // of trunk_service.labels
    float probability;         // calibrated by nobody yet: the softmax of the model
};

struct trunk_answer {
    // RESULT_OK; RESULT_NOT_FOUND (no such model here: signals make do without), RESULT_LIMIT (more tokens than are
    // taken, or the pool is full), RESULT_TIMEOUT, RESULT_CANCELLED, RESULT_NOMEM
    enum result result;
    const struct trunk_window *windows; // TRUNK_EMBED; of one text in order
    uint32_t window_count;
    const struct trunk_entity *entities; // TRUNK_ENTITY, in order
    uint32_t entity_count;
    uint32_t tokens;          // read, special ones included
    const uint32_t *text_tok; // [count of texts] of each of them; NULL where the result is none
    uint32_t cost_us;         // CPU; 0 when it was remembered
    bool remembered;          // from the cache of answers
};

struct trunk_ask {
    enum trunk_model model;
    enum trunk_reading reading;
    const struct slice *texts;
    uint32_t count;
    bool answered;
    bool used; // some signal has taken the answer
    struct trunk_answer answer;
    struct trunk_ask *next; // of the same run
};

// The service as a plan sees it while it is opened, and as callers that may wait use it.
struct trunk_service {
    void *ctx;
    uint32_t dim[TRUNK_MODELS];         // of vectors; 0: the model is not here
    struct slice name[TRUNK_MODELS];    // "all-minilm-l6-v2"
    struct slice digest[TRUNK_MODELS];  // lower-case hex
    struct slice version[TRUNK_MODELS]; // its first 8 digits
    const struct slice *labels;         // of TRUNK_ENTITY
    uint32_t label_count;
    uint32_t window_tok; // of TRUNK_EMBED
    // Answers every ask of the list that is not answered; waits. Sets `answer` and `answered` whatever happens.
    void (*answer)(void *ctx, struct trunk_ask *asks, struct arena *arena);
    // The bytes of a head file that a policy names; they live as long as the service. RESULT_NOT_FOUND, ...
    enum result (*head)(void *ctx, struct slice name, struct slice *bytes);
};

#endif
