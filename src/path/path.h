// A request on its way to a model and back: attempts, streaming, one end.
//
// The path asks whoever started it for each attempt (`on_attempt`: where, with what), sends it, and brings the answer to
// the client's exchange. Before the first byte has gone to the client a failed attempt is followed by another one where
// that is safe:
//
//   what happened                                            what may follow
//   no connection (refused, no route, DNS, TLS, timeout)     another place or model
//   429 and 503 (529): not taken                             another place or model
//   a kept connection was closed as the request went out     the same place, once, over a new connection
//   reset, cut or garbage before the first event or the whole body; 408, and other statuses from 500 up
//                                                            another place or model, unless tools may have acted
//   401, 402, 403, 404, 407: key, account or name refused    another place or model
//   no first byte in time                                    nothing: it may still be working, and would be paid twice
//   other statuses                                           nothing: they are about the request
//
// `plan.acts` says that tools of the request run on the upstream's side. Then a request of which a byte was sent is only
// followed by another where the first was refused for sure (the first two lines and 401 to 407), and it goes over a
// connection of its own, because a kept one may be closed as it is used and nobody could tell what was read.
//
// At most `attempts_max` attempts are made that an upstream may have worked on; refused connections, keys and names cost
// nothing and are not counted, but end at PATH_REFUSED_MAX. All of them share `total_timeout_ms`.
//
// A copy: when an attempt has given no byte of its answer after `copy_after_ms`, `on_attempt` is asked for a copy at
// another place. The one that gives a byte first (of a stream: an event) wins; the others are stopped.
//
// A whole answer is gathered and read before the client gets its first byte, so nothing broken passes for an answer. A
// stream is relayed event by event; when it breaks, the client gets an error event and an aborted connection.
//
// One loop, one thread. A `struct path` is embedded in the request's state and lives in the exchange's arena. It knows
// nothing of models, places and money: that is on_attempt's.
#ifndef MERIT_PATH_PATH_H
#define MERIT_PATH_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include "net/http_client.h"
#include "net/http_server.h"
#include "text/sse.h"
#include "work/dialect.h"

struct path_settings {
    uint32_t connect_timeout_ms, first_byte_timeout_ms, idle_timeout_ms, total_timeout_ms;
    uint32_t attempts_max;     // 1 and up
    uint32_t answer_bytes_max; // of a gathered answer
    uint32_t event_bytes_max;  // of one event of a stream
    uint32_t high_water_bytes; // of the client's queue, above which the upstream is not read
};
extern const struct path_settings path_settings_default;

enum {
    PATH_HEADERS_MAX = 32,
    PATH_UPSTREAM_HEADERS_MAX = 104,
    PATH_ERROR_BYTES_MAX = 64 * 1024,
    PATH_COPIES_MAX = 4,
    PATH_REFUSED_MAX = 64
};

// What holds for all attempts. Everything lives at least as long as the exchange.
struct path_plan {
    const struct path_settings *settings;
    const struct dialect *dialect;
    enum http_method method;
    bool relay;         // no answer of the dialect: pass it on as it comes
    bool counts_input;  // ... and read the usage from its first or last bytes
    bool stream;        // the client wants a stream
    bool usage_asked;   // and its usage event
    bool acts;          // its tools may act on the upstream's side
    uint32_t input_tok; // estimated, for usage that nobody counted
};

// One attempt. The origin lives as long as the loop's client, the bytes of the pieces until the attempt is over, the
// rest until then or the next call of on_attempt.
struct path_attempt {
    struct http_origin *origin;
    struct slice target;
    const struct http_header *headers;
    size_t header_count;
    const struct slice *pieces; // of the body
    size_t piece_count;
    uint32_t timeout_ms;    // of this attempt, below what is left of the settings' total; 0: that
    uint32_t copy_after_ms; // 0: no copy
    uint32_t slot;          // the asker's own name for it
    bool anew;              // of another chain of the policy: attempts are counted from here on
};

enum path_ask {
    PATH_FIRST,
    PATH_ELSEWHERE, // after a failure: another place of the model, or another model
    PATH_OTHER_CHAIN, // after as many attempts as there may be: only what the policy goes on with then
    PATH_COPY,        // of the attempt that runs, at another place of its model
};
enum path_next {
    PATH_SEND,
    PATH_STOP,  // there is none
    PATH_LATER, // not known yet: path_resume follows, in another turn
};

enum path_outcome {
    PATH_DID,     // it answered as it should; errors that the request brought about are its right
    PATH_REFUSED, // no connection came about: it has seen nothing
    PATH_DENIED, // it does not take Merit's key, has no credit left or no such model: it has done nothing
    PATH_LIMITED, // it did not take the request: busy, not broken
    PATH_DID_NOT, // it did not answer as it should
    PATH_DROPPED, // the client left, another attempt was faster, or Merit itself failed: says nothing of it
};

// What became of an attempt.
struct path_attempt_end {
    uint32_t slot;
    enum path_outcome outcome;
    bool sent;          // bytes of the request left: it may have been worked on
    bool taken;         // ... and it was not refused for sure
    bool cut_off;       // its connection failed or broke before any answer
    int status;         // of the upstream; 0: none came
    const char *reason; // "" when answered
    struct usage
        usage; // what was counted, or a guess at what came of a stream; zero where nothing came
    uint32_t retry_after_s; // that the upstream asks for; 0: it does not
    struct slice load;      // what it says of its load (`endpoint-load-metrics`), valid in the call
    uint64_t begin_us, first_byte_us,
        end_us; // first byte of the answer, of a stream its first event; 0: none came
};

enum path_end {
    PATH_ANSWERED, // the client has a whole answer
    PATH_PASSED,   // the upstream's error was handed on: the request's own fault
    PATH_FAILED,   // no upstream gave an answer; the client has an error
    PATH_BROKEN,   // the stream broke behind its first event
    PATH_GONE,     // the client left
};

struct path_result {
    enum path_end end;
    int status;         // that the client saw
    const char *reason; // "upstream_timeout", ... for logs and metrics; "" when answered
    struct usage usage;
    uint32_t attempts;
    uint64_t first_byte_us; // loop time at which the first byte went to the client; 0: none did
    // Of PATH_FAILED: what attempts failed of, as the client was told; valid in on_end, its texts for ever. NULL: the client
    // was told something else.
    const struct api_error *error;
};

struct path;
struct path_ops {
    // The next attempt into `*out`. With PATH_STOP an `error` whose status is set is what the client is told; left alone,
    // it holds what the last attempts failed of, with the Retry-After that upstreams gave, which may be added to. For
    // PATH_COPY there is PATH_SEND and PATH_STOP only, and no error.
    enum path_next (*on_attempt)(struct path *p, enum path_ask ask, struct path_attempt *out,
                                 struct api_error *error);
    // The first event of an attempt at a stream has come, good as it is.
    void (*on_first)(struct path *p, uint32_t slot);
    // Once for every attempt given, before on_end.
    void (*on_attempt_end)(struct path *p, const struct path_attempt_end *end);
    // The answer's head is about to go out: add headers at `headers[*count]` (room for PATH_HEADERS_MAX). `usage` is
    // NULL in a stream, where it is not known yet.
    void (*on_head)(struct path *p, int status, const struct usage *usage,
                    struct http_header *headers, size_t *count);
    // It is over; called once. The exchange may still be flushing.
    void (*on_end)(struct path *p, const struct path_result *r);
    // More of a stream's answer has come: bytes of text so far. May be NULL.
    void (*on_output)(struct path *p, uint32_t slot, uint64_t content_bytes);
};

// One attempt under way. Private to path/.
struct path_try {
    struct path *path;
    struct http_call *call;
    struct path_attempt attempt;
    uint64_t begin_us, first_byte_us;
    struct buf gathered;
    struct sse sse;
    struct slice type; // content type, in the arena
    struct slice load; // endpoint-load-metrics, in the arena; empty without
    int status;
    uint32_t retry_after_s, kept_count;
    uint8_t mode;
    bool retried_stale, gathered_in_arena;
    struct path_ends *ends; // of an answer that is relayed; NULL: nobody counts
    // Filled before they are read.
    struct http_header kept[8]; // headers of the upstream that pass
    struct answer_meter meter;
};

struct path_failure; // path/path_inner.h
struct path_ends;    // path/answer.c

struct path {
    struct path_plan plan;
    const struct path_ops *ops;
    void *user;
    // private
    struct http_exchange *x;
    struct loop *loop;
    struct arena *scratch;
    struct path_result result;
    struct loop_timer copy_timer;
    uint64_t deadline_us; // of all attempts; 0: none
    struct path_try *running[1 + PATH_COPIES_MAX];
    uint32_t running_count;
    struct path_try *now; // whose answer the client gets, once it has begun
    const struct path_failure *failure;
    enum path_ask next_ask;
    uint32_t counted, refused; // attempts
    uint32_t copies;
    uint32_t retry_after_s; // the least that an upstream asked for
    bool head_sent, paused, over;
    struct path_try first; // its last fields are not cleared
};

// `scratch` is the loop's, reset by the path between uses. The callbacks come later in this turn or another one, never
// inside this call... except on_attempt, and an immediate failure, which may.
void path_start(struct path *p, const struct path_plan *plan, struct http_exchange *x,
                struct loop *loop, struct arena *scratch, const struct path_ops *ops, void *user);
// After PATH_LATER: asks again.
void path_resume(struct path *p);
// From the server's on_writable.
void path_writable(struct path *p);
// From the server's on_abort: stops the upstream at once.
void path_client_gone(struct path *p);

#endif
