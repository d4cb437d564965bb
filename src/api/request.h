// One request of the traffic side while it is worked on; shared by gateway.c (doors, epochs), chat.c (deciding), attempt.c
// (sending), reply.c and outcome.c.
// Private to api/.
#ifndef MERIT_API_REQUEST_H
#define MERIT_API_REQUEST_H

#include "api/account.h"
#include "api/decider.h"
#include "api/gateway.h"
#include "api/openai_request.h"
#include "base/compiler.h"
#include "base/rng.h"
#include "route/after.h"
#include "text/json.h"

// A policy as one loop serves it: the shared half, and this loop's own. Counted by requests and ring slots of this
// loop, so without atomics.
struct gateway_epoch {
    struct gateway *gateway;
    struct serving *serving;
    struct plan_scratch *scratch;
    struct measured_epoch *costs; // by which signals are bought; NULL: the guess
    struct pool_loop pool;
    struct arena arena;
    uint32_t refs;
};

struct gateway {
    const struct gateway_shared *shared;
    struct loop *loop;
    uint32_t index;
    struct http_server *server;
    struct http_client *client;
    struct gateway_epoch *epoch; // the current one
    struct key_set *keys;        // may be NULL
    struct key_cache key_cache;
    bool key_required;
    struct log_stream *access_log, *decision_log;
    struct metrics_shard *metrics;
    struct lengths_epoch *lengths; // NULL: the guess
    struct ring ring;
    struct rng rng;
    struct arena scratch;     // of answers that are read; reset between uses
    struct buf line;          // of the logs
    struct clock_stamp stamp; // of the access log
    struct request *paused;   // with a slice done and more to do, the next one first
    struct loop_task resume;  // the next one
    bool draining;
    struct loop_timer drain_timer;
    void (*on_idle)(void *ctx);
    void *idle_ctx;
};

enum request_kind { REQUEST_CHAT, REQUEST_PASS, REQUEST_EMBED };

// An attempt under way.
struct request_try {
    int32_t model;
    int32_t place; // IMAGE_NONE: free
    struct pool_call call;
};

struct waiting;    // api/waiting.h
struct embeddings; // api/embeddings.c

struct request {
    struct gateway *g;
    struct gateway_epoch *epoch;
    struct http_exchange *x;
    const struct key *key; // NULL: unknown caller
    struct key_set *keys;  // reference that keeps `key` alive
    enum request_kind kind;
    bool running; // the path is under way
    bool ended;   // outcome written
    bool hoping;  // it was decided as if what has died were back
    bool anew;    // an else was decided, or could not be, while the path waits
    bool paused;  // stands in gateway.paused
    struct request *paused_next;
    bool obeyed;                     // it goes where it was decided to; else to `fixed`
    int32_t pass;                    // of the policy, by which it is passed on; IMAGE_NONE: by none
    int32_t model;                   // that it goes to, or went to last
    int32_t place;                   // of the last attempt, or IMAGE_NONE
    struct slice place_url;          // of that place
    struct slice region;             // where it comes from; empty: not known
    const struct decision *decision; // NULL when none was taken
    struct ring_slot *slot;
    uint64_t decide_ns;
    struct waiting *waiting;       // for the compute pool; NULL: it does not
    uint64_t waited_us;            // CPU that the pool spent for it the last time
    struct measured_epoch *costs;  // that it began with
    struct lengths_epoch *lengths; // the same; NULL: the guess
    bool measured;                 // one of the sample
    uint64_t decide_until_ns;      // of CLOCK_MONOTONIC; 0: no deadline
    struct embeddings *embeddings;
    struct after_terms fixed; // where it goes when it is not obeyed
    struct after_spent spent; // by attempts that failed
    struct account account;
    uint32_t made;        // attempts of this step
    uint32_t body_option; // that `pieces` were made for; UINT32_MAX: none
    enum result else_result;
    uint64_t models_asked; // bit per model, number modulo 64
    uint64_t hammer_key;   // 0: not made yet
    uint32_t tried_count, denied_count, copies;
    size_t piece_count;
    struct affinity_ask affinity;
    struct slice target; // behind the endpoint's prefix: "/chat/completions"
    struct path path;
    struct request_try tries[1 + PATH_COPIES_MAX];
    struct {
        int32_t model;
        uint64_t places; // bit per place of the model
    } tried[DECISION_OPTIONS_MAX];
    struct {
        int32_t model, place;
        const struct place *who;
        int status;
    } denied[POOL_MODEL_REFUSALS]; // that refused its key, account or model
    struct pool_view pool;
    struct route_options options;
    struct decider_job deciding;
    struct http_header headers[PATH_UPSTREAM_HEADERS_MAX];
    size_t header_count;
    struct slice pieces[2 * JSON_EDITS_MAX + 1];
    struct work work;
    struct openai_request openai;
};

// gateway.c
// Gives back what the request holds. The server's last callback does it, and where none follows whoever aborts.
void request_close(struct request *r);
void gateway_epoch_unref(struct gateway_epoch *e);
// An error before there is an answer, in the protocol's shape; counts it.
MERIT_COLD void request_reject(struct http_exchange *x, struct gateway *g,
                               const struct api_error *e, enum metrics_reject reason);
extern const struct api_error request_error_no_memory;
// reply.c: all places of the model refuse Merit's key.
extern const struct api_error request_error_denied;
MERIT_COLD void request_no_memory(struct http_exchange *x, struct gateway *g);
// Headers of the client that go on to the upstream, into r->headers.
void request_forward_headers(struct request *r);

// attempt.c
// Whether the same request has just failed, and was answered by its error.
bool request_is_repeated(struct request *r);

// chat.c
void chat_begin(struct request *r);
// Goes on with the next paused request: one in a turn, so that many of them keep nobody waiting longer than one.
void chat_resume(struct loop_task *t);
// The client left while the request waited for the compute pool or its turn.
void chat_client_gone(struct request *r);
// Decides again, behind the chain that failed. RESULT_OK: r->decision is the new one, whatever it says. RESULT_AGAIN: it is
// being decided, and path_resume follows with r->anew and r->else_result. RESULT_NOT_FOUND: the policy has no else.
enum result chat_decide_else(struct request *r);
// What waits for it is dropped.
void chat_stop(struct request *r);

// outcome.c
// Accounts for a request that came past the doors: metrics, logs, the ring's outcome. Once; `result` may be NULL.
void request_end(struct request *r, enum metrics_end end, const struct path_result *result,
                 int status);

// reply.c
// Merit's headers of an answer; `usage` NULL: not known yet.
void request_headers(struct request *r, const struct usage *usage, struct http_header *headers,
                     size_t *n);
// Ends a request that came past the doors with an error, when nothing was sent on.
MERIT_COLD void request_refuse(struct request *r, const struct api_error *e, enum metrics_end end);
// What was decided is that nothing can serve it, or that the model does not exist.
MERIT_COLD void request_infeasible(struct request *r);
MERIT_COLD void request_no_model(struct request *r);

#endif
