// POST /v1/embeddings in OpenAI's shape, answered by the encoder of this process (work/trunk.h). Private to api/.
//
// Inputs go to the compute pool some at a time, in turn with what decisions ask, and the answer goes out when the last one is
// there. A text that is longer than the encoder's window is read in windows that overlap, and its vector is their mean; it is
// never cut short silently.
#ifndef MERIT_API_EMBEDDINGS_H
#define MERIT_API_EMBEDDINGS_H

#include "api/request.h"

enum {
    EMBEDDINGS_INPUTS_MAX = 2048,
    EMBEDDINGS_TEXT_BYTES_MAX = 128 * 1024, // of one input
    EMBEDDINGS_ANSWER_MAX = 64 * 1024 * 1024,
    EMBEDDINGS_STEP_TEXTS = 16,         // that go to the pool together,
    EMBEDDINGS_STEP_TOK = 2048,         // estimated
    EMBEDDINGS_DEADLINE_MS = 60 * 1000, // of one step
};

// Takes the request over: answers it, or passes it on to r->model when it asks for a model that is not here and the policy
// passes this path on.
void embeddings_begin(struct request *r);
// The client left.
void embeddings_client_gone(struct request *r);
// Frees what the request holds; no-op when there is nothing.
void embeddings_close(struct request *r);

#endif
