// A dialect: how one protocol of clients says things that the path has to say or to read.
//
// The path (path/) moves bytes and knows no protocol; the api/ layer hands it one of these tables. All functions are
// pure. Today there is one, api/openai_answer.c.
#ifndef MERIT_WORK_DIALECT_H
#define MERIT_WORK_DIALECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/result.h"
#include "base/slice.h"

// What a client is told when it gets no answer. Static strings, but for the message.
struct api_error {
    int status;
    const char *type;       // "invalid_request_error"
    const char *code;       // "context_length_exceeded"
    const char *param;      // the field at fault, or NULL
    struct slice message;   // one or two sentences
    uint32_t retry_after_s; // 0: none
    bool final;             // sending it again cannot help: x-should-retry: false
    struct slice members;   // more of the error object, JSON from a comma on; empty without
};

struct usage {
    bool known;        // as the upstream counted; otherwise estimated from the bytes that passed
    bool odd;          // it told of usage, but no numbers that can be tokens
    bool error_inside; // an error in the clothes of a success
    uint32_t input_tok, output_tok, cached_tok;
    uint32_t seen_tok; // of output, by the text that passed, whatever was told; 0: not looked at
    // That the answer names, as it stands in the JSON; lies in the answer, so only for who reads it while that is there.
    struct slice model;
};

// What has been seen of one streamed answer.
struct answer_meter {
    struct usage usage;
    uint64_t events;        // forwarded
    uint64_t content_bytes; // of text and of tool arguments, as they stand in the JSON
    bool begun, finished, done,
        failed; // a first event; a finish reason; the terminal event; an error event
    uint64_t created;
    uint8_t id_len, model_len;
    char id[80],
        model[120]; // of the first event, JSON-escaped as they came; as far as the lengths say
};

// What to do with one event of a stream.
enum stream_verdict {
    STREAM_FORWARD,
    STREAM_HIDE,  // it only carries what the client did not ask for
    STREAM_DONE,  // the terminal event; forward it
    STREAM_ERROR, // the upstream reports an error in the stream; forward it, then break off
    STREAM_BAD,   // no event of this protocol
};

struct dialect {
    const char *name;
    // The body of an error answer, and the same as one event of a stream.
    void (*error_body)(const struct api_error *e, struct buf *out);
    void (*error_event)(const struct api_error *e, struct buf *out);
    // Reads an event's data. `hide_usage`: the client did not ask for the usage event. `scratch` may be used freely.
    enum stream_verdict (*stream_event)(struct answer_meter *m, struct slice data, bool hide_usage,
                                        struct arena *scratch);
    // Events that the upstream left out, to be sent before the terminal one: usage, when the client asked for it.
    void (*stream_usage)(const struct answer_meter *m, struct buf *out);
    struct slice stream_end; // the terminal event
    // Reads a whole answer. RESULT_SYNTAX or RESULT_TYPE when it is none; RESULT_DENIED when it is an error in the
    // clothes of a success.
    enum result (*answer)(struct slice body, struct arena *scratch, struct usage *usage);
    // Looks for the usage of what was only read (embeddings) in a part of an answer. False: it is not in there whole.
    bool (*input_usage)(struct slice part, struct arena *scratch, struct usage *usage);
};

// Tokens of so many bytes of text when nobody counted: four bytes each (work/tokens.h tells how wrong that is).
static inline uint32_t usage_guess_tok(uint64_t bytes)
{
    uint64_t tok = (bytes + 3) / 4;
    return tok > UINT32_MAX ? UINT32_MAX : (uint32_t)tok;
}

#endif
